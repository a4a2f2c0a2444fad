//! Which of the last blocks were proved, which a later proof covers, and which wait: as a plot that
//! the server draws, and in words beside it.

use std::fmt::Write;

use quorate_verifier::primitives::Height;

use super::super::Context;
use super::super::finality::store;
use super::super::problem::Problem;

/// Blocks in the plot.
const BLOCKS: u64 = 120;
/// Size of the plot in its own units.
const WIDTH: u64 = 720;
const HEIGHT: u64 = 100;
/// Where bars stand, and the highest may reach.
const FLOOR: u64 = 98;
const REACH: u64 = 95;

/// What there is to draw.
#[derive(Debug, PartialEq, Eq)]
struct Timeline {
    first: u64,
    /// The last block that is known to be signed.
    tip: u64,
    /// For each block from the first one, the height of the proof that covers it.
    covered_by: Vec<Option<u64>>,
}

impl Timeline {
    fn new(first: u64, tip: u64, proved: &[u64]) -> Self {
        let covering = |height: u64| {
            let at = proved.partition_point(|one| *one < height);
            proved.get(at).copied()
        };
        Self {
            first,
            tip,
            covered_by: (first..=tip).map(covering).collect(),
        }
    }

    fn blocks(&self) -> impl Iterator<Item = (u64, Option<u64>)> {
        (self.first..).zip(self.covered_by.iter().copied())
    }

    fn waiting(&self) -> usize {
        self.covered_by.iter().filter(|one| one.is_none()).count()
    }

    fn proved(&self) -> usize {
        self.blocks()
            .filter(|(height, by)| *by == Some(*height))
            .count()
    }

    /// Blocks between the farthest block and the proof that covers it.
    fn longest(&self) -> u64 {
        let distance = |(height, by): (u64, Option<u64>)| by.map_or(0, |by| by - height);
        self.blocks().map(distance).max().unwrap_or(0)
    }

    fn words(&self) -> String {
        let (count, proved, waiting) = (self.covered_by.len(), self.proved(), self.waiting());
        let covered = count - proved - waiting;
        let last = match self.longest() {
            0 => String::new(),
            far => format!(" The longest way from a block to the proof that shows it is {far}."),
        };
        let waits = match waiting {
            0 => "None waits for a proof.".into(),
            1 => "One waits for its proof.".into(),
            more => format!("{more} wait for a proof."),
        };
        format!(
            "Blocks {} to {}: {proved} of {count} have a proof of their own, {covered} are shown \
             final by a later block's proof. {waits}{last}",
            self.first, self.tip
        )
    }

    fn svg(&self, out: &mut String) {
        let count = self.covered_by.len() as u64;
        // In hundredths, so that there is no rounding by floats.
        let left = |place: u64| place * WIDTH * 100 / count;
        let units = |hundredths: u64| format!("{}.{:02}", hundredths / 100, hundredths % 100);
        let longest = self.longest().max(1);
        let blocks = if longest == 1 { "block" } else { "blocks" };
        let _ = writeln!(
            out,
            "<div class=\"axis\"><span>{longest} {blocks} to the proof</span></div>"
        );
        let _ = writeln!(
            out,
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-labelledby=\"plot-title\">\
             <title id=\"plot-title\">{}</title>",
            self.words()
        );
        let _ = writeln!(out, "<path class=\"floor\" d=\"M0 {FLOOR}.5H{WIDTH}\"/>");
        for (place, (height, by)) in (0..).zip(self.blocks()) {
            let (x, end) = (left(place), left(place + 1));
            let wide = units((end - x) * 4 / 5);
            let (class, tall) = match by {
                Some(by) if by == height => ("proved", 10),
                Some(by) => ("covered", 10 + (by - height) * (REACH - 10) / longest),
                None => ("waiting", REACH),
            };
            let _ = writeln!(
                out,
                "<rect class=\"{class}\" x=\"{}\" y=\"{}\" width=\"{wide}\" height=\"{tall}\"/>",
                units(x),
                FLOOR - tall
            );
        }
        let _ = write!(
            out,
            "</svg>\n<div class=\"axis\"><span>block {}</span><span>block {}</span></div>\n",
            self.first, self.tip
        );
    }

    /// The same as a list, by the proof that covers.
    fn list(&self, out: &mut String) {
        out.push_str("<details><summary>The same as a list</summary>\n<ul>\n");
        let blocks: Vec<_> = self.blocks().collect();
        for group in blocks.chunk_by(|one, other| one.1 == other.1).rev() {
            let (first, last) = (group[0].0, group[group.len() - 1].0);
            let which = if first == last {
                format!("Block {first}")
            } else {
                format!("Blocks {first} to {last}")
            };
            let how = match group[0].1 {
                Some(by) if by == first => "a proof of its own".to_owned(),
                Some(by) => format!("the proof of block {by}"),
                None => "waiting".to_owned(),
            };
            let _ = writeln!(out, "<li>{which}: {how}");
        }
        out.push_str("</ul></details>\n");
    }
}

/// The section of the page.
pub(super) fn write(context: &Context, out: &mut String) -> Result<(), Problem> {
    let service = &context.service;
    out.push_str("<h2>The last blocks</h2>\n");
    let Some(tip) = service.store().tip().map_err(store)? else {
        out.push_str("<p id=\"timeline\">No block has been seen yet.</p>\n");
        return Ok(());
    };
    let start = service.first_height().get();
    let first = tip.get().saturating_sub(BLOCKS - 1).max(start);
    // A height is covered once the log has it: the proof may be there a moment before.
    let proved = match service.covered() {
        Some(covered) => service.store().proved_between(Height::new(first), covered),
        None => Ok(Vec::new()),
    };
    let proved: Vec<u64> = proved
        .map_err(store)?
        .iter()
        .map(|height| height.get())
        .collect();
    let timeline = Timeline::new(first, tip.get(), &proved);
    let progress = service.progress().map_err(store)?;
    out.push_str("<figure>\n");
    timeline.svg(out);
    let _ = write!(
        out,
        "<figcaption><p id=\"timeline\">{}</p>\n\
         <p class=\"legend\"><span class=\"proved\"></span> proof of its own \
         <span class=\"covered\"></span> a later block's proof, the higher the later \
         <span class=\"waiting\"></span> waiting</p>\n\
         <p id=\"backlog\">Behind: {} blocks, {} seconds of the chain's own time.</p></figcaption>\n\
         </figure>\n",
        timeline.words(),
        progress.behind,
        progress.behind_ms / 1000
    );
    timeline.list(out);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_plot_say_the_same() {
        let timeline = Timeline::new(3, 12, &[5, 9, 10]);
        assert_eq!(
            timeline.words(),
            "Blocks 3 to 12: 3 of 10 have a proof of their own, 5 are shown final by a later \
             block's proof. 2 wait for a proof. The longest way from a block to the proof that \
             shows it is 3."
        );
        let mut svg = String::new();
        timeline.svg(&mut svg);
        let count = |class: &str| svg.matches(&format!("<rect class=\"{class}\"")).count();
        assert_eq!(
            (count("proved"), count("covered"), count("waiting")),
            (3, 5, 2)
        );
        assert!(svg.contains(">block 3<") && svg.contains(">block 12<"));
        let mut list = String::new();
        timeline.list(&mut list);
        for line in [
            "<li>Blocks 11 to 12: waiting",
            "<li>Block 10: a proof of its own",
            "<li>Blocks 6 to 9: the proof of block 9",
            "<li>Blocks 3 to 5: the proof of block 5",
        ] {
            assert!(list.contains(line), "{line}: {list}");
        }
    }

    #[test]
    fn one_block_is_drawn_whole() {
        for proved in [&[][..], &[7][..]] {
            let timeline = Timeline::new(7, 7, proved);
            let mut svg = String::new();
            timeline.svg(&mut svg);
            assert!(svg.contains("width=\"576.00\""), "{svg}");
        }
    }
}
