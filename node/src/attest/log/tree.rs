//! The tree over tiles: which tile holds what, and roots and proofs from them.
//!
//! A tile of level L holds up to 256 hashes, each the root of 256^L entries. The last tile of a
//! level is partial and says its width in its name.

use std::io;

use quorate_verifier::merkle;
use quorate_verifier::primitives::Digest;

/// Hashes in a full tile, and entries in a full bundle.
pub const TILE_WIDTH: u64 = 256;
/// Levels of a tree of fewer than 2^64 entries.
const LEVELS: u8 = 8;

/// Where tiles come from.
pub trait TileSource {
    /// The hashes of tile `index` of `level`, exactly `width` of them.
    ///
    /// # Errors
    /// What reading says; whoever asks proves nothing by it, and checks the outcome against a
    /// signed root.
    fn tile(&self, level: u8, index: u64, width: u64) -> io::Result<Vec<Digest>>;
}

/// Width of tile `index` of `level` in a tree of `size` entries: 256, less for the last, and 0
/// where there is none.
pub const fn tile_width(size: u64, level: u8, index: u64) -> u64 {
    let hashes = match 8 * level as u32 {
        shift @ 0..64 => size >> shift,
        _ => 0,
    };
    let (full, rest) = (hashes / TILE_WIDTH, hashes % TILE_WIDTH);
    if index < full {
        TILE_WIDTH
    } else if index == full {
        rest
    } else {
        0
    }
}

/// `tile/<level>/<index>[.p/<width>]`.
pub fn tile_path(level: u8, index: u64, width: u64) -> String {
    format!("tile/{level}/{}", numbered(index, width))
}

/// `tile/entries/<index>[.p/<width>]`.
pub fn bundle_path(index: u64, width: u64) -> String {
    format!("tile/entries/{}", numbered(index, width))
}

/// Three digits a directory, all but the last with an `x` before: 1234067 is `x001/x234/067`.
fn numbered(index: u64, width: u64) -> String {
    let mut path = format!("{:03}", index % 1000);
    let mut rest = index / 1000;
    while rest > 0 {
        path = format!("x{:03}/{path}", rest % 1000);
        rest /= 1000;
    }
    if width < TILE_WIDTH {
        path.push_str(&format!(".p/{width}"));
    }
    path
}

/// Level (`None` for a bundle of entries), index and width of what follows `tile/` in a path;
/// `None` for what no log has.
pub fn parse_tile_path(path: &str) -> Option<(Option<u8>, u64, u64)> {
    let (level, rest) = path.split_once('/')?;
    let level = match level {
        "entries" => None,
        digits => Some(digits.parse().ok().filter(|level| *level < LEVELS)?),
    };
    let (number, width) = match rest.split_once(".p/") {
        Some((number, width)) => (number, width.parse().ok().filter(|w| (1..256).contains(w))?),
        None => (rest, TILE_WIDTH),
    };
    let mut index: u64 = 0;
    for part in number.split('/') {
        let digits = part.strip_prefix('x').unwrap_or(part);
        index = index.checked_mul(1000)?.checked_add(digits.parse().ok()?)?;
    }
    // One path for each tile, and that one only.
    let canonical = match level {
        Some(level) => tile_path(level, index, width),
        None => bundle_path(index, width),
    };
    (canonical.strip_prefix("tile/") == Some(path)).then_some((level, index, width))
}

/// A tree of a size, read from tiles.
#[derive(Debug)]
pub struct Tree<'a, S> {
    source: &'a S,
    size: u64,
}

impl<'a, S: TileSource> Tree<'a, S> {
    /// The first `size` entries of what `source` holds.
    pub const fn new(source: &'a S, size: u64) -> Self {
        Self { source, size }
    }

    /// RFC 6962 root.
    ///
    /// # Errors
    /// What the source says.
    pub fn root(&self) -> io::Result<Digest> {
        if self.size == 0 {
            return Ok(merkle::root(&[]));
        }
        self.range(0, self.size)
    }

    /// Siblings of entry `index` from the leaf up; `None` past the last entry.
    ///
    /// # Errors
    /// What the source says.
    pub fn inclusion(&self, index: u64) -> io::Result<Option<Vec<Digest>>> {
        if index >= self.size {
            return Ok(None);
        }
        let mut path = Vec::new();
        let (mut low, mut high) = (0, self.size);
        while high - low > 1 {
            let middle = low + left_width(high - low);
            if index < middle {
                path.push(self.range(middle, high)?);
                high = middle;
            } else {
                path.push(self.range(low, middle)?);
                low = middle;
            }
        }
        path.reverse();
        Ok(Some(path))
    }

    /// Shows that the first `earlier` entries are this tree's; `None` when it has fewer.
    ///
    /// # Errors
    /// What the source says.
    pub fn consistency(&self, earlier: u64) -> io::Result<Option<Vec<Digest>>> {
        if earlier > self.size {
            return Ok(None);
        }
        if earlier == 0 || earlier == self.size {
            return Ok(Some(Vec::new()));
        }
        // RFC 6962 §2.1.2: down to the last subtree of the earlier tree.
        let mut path = Vec::new();
        let (mut low, mut high) = (0, self.size);
        while high != earlier {
            let middle = low + left_width(high - low);
            if earlier <= middle {
                path.push(self.range(middle, high)?);
                high = middle;
            } else {
                path.push(self.range(low, middle)?);
                low = middle;
            }
        }
        if low > 0 {
            path.push(self.range(low, high)?);
        }
        path.reverse();
        Ok(Some(path))
    }

    /// Root over entries `low..high`, a subtree of the whole.
    fn range(&self, low: u64, high: u64) -> io::Result<Digest> {
        let width = high - low;
        if width.is_power_of_two() {
            return self.node(width.trailing_zeros(), low / width);
        }
        let middle = low + left_width(width);
        Ok(merkle::node_hash(
            &self.range(low, middle)?,
            &self.range(middle, high)?,
        ))
    }

    /// Root of the `index`-th run of 2^`height` entries.
    fn node(&self, height: u32, index: u64) -> io::Result<Digest> {
        let level = u8::try_from(height / 8).expect("a tree has fewer than 2^64 entries");
        // 2^rest hashes of this level, all in one tile.
        let rest = height % 8;
        let first = index << rest;
        let tile = first / TILE_WIDTH;
        let width = tile_width(self.size, level, tile);
        let hashes = self.source.tile(level, tile, width)?;
        let start = usize::try_from(first % TILE_WIDTH).expect("below 256");
        let hashes = hashes.get(start..start + (1 << rest)).ok_or_else(|| {
            let what = format!("tile {} is too short", tile_path(level, tile, width));
            io::Error::new(io::ErrorKind::InvalidData, what)
        })?;
        Ok(merkle::root(hashes))
    }
}

/// Largest power of two below `count`, for `count` ≥ 2.
const fn left_width(count: u64) -> u64 {
    1 << (u64::BITS - 1 - (count - 1).leading_zeros())
}

#[cfg(test)]
mod tests {
    use quorate_verifier::tlog::check_consistency;

    use super::*;

    /// Tiles made from all leaf hashes at once.
    struct Whole(Vec<Digest>);

    impl Whole {
        fn of(count: u64) -> Self {
            let leaf = |i: u64| merkle::leaf_hash(&i.to_le_bytes());
            Self((0..count).map(leaf).collect())
        }
    }

    impl TileSource for Whole {
        fn tile(&self, level: u8, index: u64, width: u64) -> io::Result<Vec<Digest>> {
            let span = 256_usize.pow(u32::from(level));
            let all: Vec<_> = self.0.chunks_exact(span).map(merkle::root).collect();
            let start = usize::try_from(index * TILE_WIDTH).expect("small");
            let width = usize::try_from(width).expect("small");
            assert!(width > 0, "an empty tile is never asked for");
            Ok(all[start..start + width].to_vec())
        }
    }

    #[test]
    fn paths_are_those_of_the_specification() {
        assert_eq!(tile_path(0, 1_234_067, 256), "tile/0/x001/x234/067");
        assert_eq!(tile_path(3, 7, 12), "tile/3/007.p/12");
        assert_eq!(bundle_path(1000, 256), "tile/entries/x001/000");
        for (level, index, width) in [
            (Some(0), 0, 256),
            (Some(2), 999, 255),
            (None, 1000, 1),
            (None, 1_234_067, 256),
        ] {
            let path = match level {
                Some(level) => tile_path(level, index, width),
                None => bundle_path(index, width),
            };
            let parsed = parse_tile_path(path.strip_prefix("tile/").expect("a prefix"));
            assert_eq!(parsed, Some((level, index, width)));
        }
        for bad in [
            "",
            "0",
            "0/",
            "0/1",
            "0/0001",
            "00/001",
            "8/001",
            "-1/001",
            "0/x000/001",
            "0/001.p/0",
            "0/001.p/256",
            "0/001.p/01",
            "0/+01",
            "entries/../001",
            "0/001/x002",
            "x/001",
            "0/x999/x999/x999/x999/x999/x999/x999/999",
        ] {
            assert_eq!(parse_tile_path(bad), None, "{bad}");
        }
        // The example of the specification.
        let width = |level, index| tile_width(70_000, level, index);
        assert_eq!((width(0, 272), width(0, 273), width(0, 274)), (256, 112, 0));
        assert_eq!((width(1, 0), width(1, 1)), (256, 17));
        assert_eq!((width(2, 0), width(3, 0), width(9, 0)), (1, 0, 0));
    }

    #[test]
    fn roots_and_paths_agree_with_the_whole_tree() {
        for size in [1, 2, 3, 7, 255, 256, 257, 511, 513, 700] {
            let whole = Whole::of(size);
            let tree = Tree::new(&whole, size);
            let root = merkle::root(&whole.0);
            assert_eq!(tree.root().expect("in memory"), root, "{size}");
            for index in (0..size).step_by(37).chain([size - 1]) {
                let at = usize::try_from(index).expect("small");
                let path = tree.inclusion(index).expect("in memory").expect("a leaf");
                assert_eq!(Some(&path), merkle::inclusion_path(&whole.0, at).as_ref());
                assert!(merkle::is_included(&whole.0[at], index, size, &path, &root));
            }
            assert_eq!(tree.inclusion(size).expect("in memory"), None);
        }
    }

    #[test]
    fn consistency_between_many_sizes() {
        let whole = Whole::of(700);
        for later in [1, 2, 5, 256, 257, 600, 700] {
            let new = merkle::root(&whole.0[..later]);
            let size = later as u64;
            let tree = Tree::new(&whole, size);
            for earlier in (0..=later).step_by(23).chain([later - 1, later]) {
                let old = merkle::root(&whole.0[..earlier]);
                let first = earlier as u64;
                let proof = tree
                    .consistency(first)
                    .expect("in memory")
                    .expect("smaller");
                let checked = check_consistency((first, &old), (size, &new), &proof);
                assert_eq!(checked, Ok(()), "{earlier} {later}");
            }
            assert_eq!(tree.consistency(size + 1).expect("in memory"), None);
        }
    }

    #[test]
    fn a_tile_that_is_too_short_is_an_error() {
        struct Short;
        impl TileSource for Short {
            fn tile(&self, _: u8, _: u64, _: u64) -> io::Result<Vec<Digest>> {
                Ok(vec![Digest::ZERO])
            }
        }
        assert!(Tree::new(&Short, 3).root().is_err());
        assert!(Tree::new(&Short, u64::MAX).root().is_err());
    }
}
