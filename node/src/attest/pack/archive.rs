//! A ustar archive in which nothing is left free: the reader takes exactly what the writer writes.

use std::collections::BTreeMap;

use super::FILES_MAX;

const BLOCK: usize = 512;
/// Longest name.
const NAME_MAX: usize = 100;

/// Plain files in order of their names; no owner, mode, time or padding that could differ.
///
/// # Panics
/// When a name is longer than 100 bytes: names are this module's callers' own.
pub(super) fn write(files: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, bytes) in files {
        assert!(name.len() <= NAME_MAX, "names of files in a pack are short");
        out.extend_from_slice(&head(name, bytes.len()));
        out.extend_from_slice(bytes);
        out.resize(out.len().next_multiple_of(BLOCK), 0);
    }
    out.resize(out.len() + 2 * BLOCK, 0);
    out
}

/// The block before a file.
fn head(name: &str, bytes: usize) -> [u8; BLOCK] {
    let mut head = [0_u8; BLOCK];
    let mut put =
        |at: usize, text: &str| head[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, "0000644\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{bytes:011o}\0"));
    put(136, "00000000000\0");
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\x0000");
    let sum: u32 = head.iter().map(|byte| u32::from(*byte)).sum();
    let text = format!("{sum:06o}\0 ");
    head[148..156].copy_from_slice(text.as_bytes());
    head
}

/// The files of an archive that [`write`] made.
///
/// # Errors
/// What is wrong, and in which file or at which byte.
pub(super) fn read(archive: &[u8]) -> Result<BTreeMap<String, &[u8]>, String> {
    let mut files = BTreeMap::new();
    let mut last = String::new();
    let mut at = 0;
    loop {
        let (found, tail) = archive[at..]
            .split_at_checked(BLOCK)
            .ok_or_else(|| format!("the archive is cut off at byte {at}"))?;
        if found.iter().all(|byte| *byte == 0) {
            let good = tail.len() == BLOCK && tail.iter().all(|byte| *byte == 0);
            return good.then_some(files).ok_or_else(|| {
                format!("the archive ends at byte {at}, and something else follows")
            });
        }
        let (name, size) = named(found).ok_or_else(|| format!("no file's name at byte {at}"))?;
        let wrong = |what: &str| format!("{name}, at byte {at}: {what}");
        // Owner, mode, time, sum and padding are the same in every pack.
        if size.is_none_or(|size| head(&name, size) != *found) {
            return Err(wrong("its header was changed: it is not that of a pack"));
        }
        let size = size.unwrap_or_default();
        let padded = size.checked_next_multiple_of(BLOCK);
        let (body, _) = padded
            .and_then(|padded| tail.split_at_checked(padded))
            .ok_or_else(|| wrong("it is cut off"))?;
        if body[size..].iter().any(|byte| *byte != 0) {
            return Err(wrong("there are bytes in its padding"));
        }
        if name <= last {
            return Err(wrong("it is out of order"));
        }
        if files.len() >= FILES_MAX {
            return Err(wrong("the archive has too many files"));
        }
        at += BLOCK + body.len();
        files.insert(name.clone(), &body[..size]);
        last = name;
    }
}

/// The name in a header block, and the size if that is a number.
fn named(head: &[u8]) -> Option<(String, Option<usize>)> {
    let field = &head[..NAME_MAX];
    let end = field.iter().position(|byte| *byte == 0);
    let name = std::str::from_utf8(&field[..end.unwrap_or(NAME_MAX)]).ok()?;
    let plain = |c: char| c.is_ascii_graphic();
    if name.is_empty() || !name.chars().all(plain) {
        return None;
    }
    let size = std::str::from_utf8(&head[124..135]).ok();
    let size = size.and_then(|digits| usize::from_str_radix(digits, 8).ok());
    Some((name.to_owned(), size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_nothing_else_is() {
        let bodies = [0, 1, 511, 512, 513];
        let file = |size: &usize| (format!("f/{size:03}"), vec![7; *size]);
        let files: BTreeMap<String, Vec<u8>> = bodies.iter().map(file).collect();
        let archive = write(&files);
        let found = read(&archive).unwrap();
        assert_eq!(found.len(), files.len());
        assert!(found.iter().all(|(name, body)| files[name] == *body));
        for at in 0..archive.len() {
            let mut bent = archive.clone();
            bent[at] ^= 0x10;
            match read(&bent) {
                // A body is its reader's business.
                Ok(other) => assert_eq!(
                    other.values().filter(|body| body.contains(&0x17)).count(),
                    1,
                    "byte {at}"
                ),
                Err(what) => assert!(what.contains("byte"), "{what}"),
            }
        }
        for end in 0..archive.len() {
            assert!(read(&archive[..end]).is_err(), "cut at {end}");
        }
        assert!(read(&[archive, vec![0; BLOCK]].concat()).is_err());
    }

    #[test]
    fn order_and_names_are_held_to() {
        let one = |name: &str| {
            let files = BTreeMap::from([(name.to_owned(), Vec::new())]);
            write(&files)[..BLOCK].to_vec()
        };
        let end = vec![0; 2 * BLOCK];
        for (pair, good) in [(["a", "b"], true), (["b", "a"], false), (["a", "a"], false)] {
            let archive = [one(pair[0]), one(pair[1]), end.clone()].concat();
            assert_eq!(read(&archive).is_ok(), good, "{pair:?}");
        }
        for name in ["a b", "a\n", "\u{e9}"] {
            assert!(
                read(&[one(name), end.clone()].concat()).is_err(),
                "{name:?}"
            );
        }
    }
}
