//! The table of verdicts in `docs/signatures.md`.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{Case, Verdicts, own, predicate_word, published, set_check_word};

/// The page with the table.
pub(crate) const PAGE: &str = "docs/signatures.md";

/// All cases by source, in the order of the table.
pub(crate) fn sources() -> Vec<(&'static str, Vec<Case>)> {
    vec![
        (
            "RFC 8032",
            published::rfc8032()
                .into_iter()
                .map(|(_, case)| case)
                .collect(),
        ),
        ("Wycheproof", published::wycheproof()),
        ("ZIP-215", published::zip215()),
        ("speccheck", published::speccheck()),
        ("own", own::cases()),
    ]
}

/// The page with its table replaced by one of `verdicts`; `None` if it has no place for it.
pub(crate) fn replaced(page: &str, verdicts: impl Fn(&Case) -> Verdicts) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!(
        "{before}{BEGIN}\n{}{END}{after}",
        rendered(verdicts)
    ))
}

fn rendered(verdicts: impl Fn(&Case) -> Verdicts) -> String {
    let mut text = String::from(
        "| source | class | cases | key, by the set check | the predicate | a vote | dalek `verify` | dalek `verify_strict` | ZIP-215 |\n\
         |---|---|---|---|---|---|---|---|---|\n",
    );
    for (source, cases) in sources() {
        let mut classes: Vec<&str> = Vec::new();
        for case in &cases {
            if !classes.contains(&case.class.as_str()) {
                classes.push(&case.class);
            }
        }
        for class in classes {
            let said: Vec<Verdicts> = cases
                .iter()
                .filter(|case| case.class == class)
                .map(&verdicts)
                .collect();
            let share = |accepts: fn(&Verdicts) -> bool| {
                share(said.iter().filter(|v| accepts(v)).count(), said.len())
            };
            writeln!(
                text,
                "| {source} | {class} | {} | {} | {} | {} | {} | {} | {} |",
                said.len(),
                words(said.iter().map(|v| set_check_word(v.set_check))),
                words(said.iter().map(|v| predicate_word(v.predicate))),
                share(Verdicts::vote),
                share(|v| v.dalek_verify),
                share(|v| v.dalek_verify_strict),
                share(|v| v.zip215),
            )
            .expect("a string takes all that is written to it");
        }
    }
    text
}

/// "yes", "no", or how many.
fn share(accepted: usize, of: usize) -> String {
    match accepted {
        0 => "no".into(),
        all if all == of => "yes".into(),
        some => format!("{some} of {of}"),
    }
}

/// One word if all agree, else each with its count.
fn words(said: impl Iterator<Item = &'static str>) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for word in said {
        *counts.entry(word).or_default() += 1;
    }
    if counts.len() == 1 {
        return counts.into_keys().collect();
    }
    let counted: Vec<String> = counts
        .into_iter()
        .map(|(word, count)| format!("{word} {count}"))
        .collect();
    counted.join(", ")
}

const BEGIN: &str = "<!-- table of verdicts: written and checked by code -->";
const END: &str = "<!-- end of table -->";
