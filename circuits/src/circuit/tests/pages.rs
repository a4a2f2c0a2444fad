//! `docs/circuit/attacks.md` says what the tests say.

use std::fs;
use std::path::{Path, PathBuf};

use super::attacks::ATTACKS;
use super::forgery::{FREE_IF_UNUSED, REFUSED};

const PAGE: &str = include_str!("../../../../docs/circuit/attacks.md");

fn quoted(names: &[&str]) -> String {
    let quote = |name: &&str| match name.strip_prefix("look-up ") {
        Some(name) => format!("look-up `{name}`"),
        None => format!("`{name}`"),
    };
    names.iter().map(quote).collect::<Vec<_>>().join(", ")
}

/// The lists that the tests of the whole circuit run are the page's first two tables.
#[test]
fn the_page_shows_the_lists() {
    let row = |what: &str, names: &[&str]| format!("| {what} | {} |\n", quoted(names));
    let attacks = ATTACKS
        .iter()
        .map(|attack| row(attack.what, attack.refused_by));
    let attacks =
        String::from("| attack | refused by |\n|---|---|\n") + &attacks.collect::<String>();
    assert!(PAGE.contains(&attacks), "the page lacks:\n{attacks}");
    let hints = REFUSED
        .iter()
        .map(|(kind, names)| row(&format!("`{kind}`"), names));
    let hints = String::from("| hint | refused by |\n|---|---|\n") + &hints.collect::<String>();
    assert!(PAGE.contains(&hints), "the page lacks:\n{hints}");
    let free = quoted(&FREE_IF_UNUSED);
    assert!(PAGE.contains(&free), "the page lacks:\n{free}");
}

/// Every test that the page names exists, and speaks of the rows that the page gives it.
#[test]
fn the_pages_tests_exist_and_name_these_rows() {
    let mut tests = 0;
    for line in PAGE.lines() {
        let cells: Vec<&str> = line.split(" | ").collect();
        let [_, refused_by, test] = cells[..] else {
            continue;
        };
        let Some(test) = backticked(test)
            .next()
            .filter(|test| test.contains("::tests::"))
        else {
            continue;
        };
        let body = body_of(test);
        for row in backticked(refused_by) {
            assert!(body.contains(row), "{test} says nothing of {row}");
        }
        tests += 1;
    }
    assert!(tests > 30, "{tests} lines name a test");
}

/// Every test of the gadgets whose name tells of a refusal is on the page.
#[test]
fn no_refusal_is_left_out() {
    let mut left_out = Vec::new();
    let mut folders = vec![source()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder of sources") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = fs::read_to_string(&path).expect("source text");
            let names = text.split("#[test]").skip(1).filter_map(name_of_first);
            let refusals = names.filter(|name| name.contains("refused") || name.contains("forged"));
            left_out.extend(
                refusals
                    .filter(|name| !PAGE.contains(name))
                    .map(String::from),
            );
        }
    }
    assert_eq!(left_out, [""; 0], "attacks that the page does not list");
}

fn name_of_first(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("fn ")?;
    rest.split_once('(').map(|(name, _)| name)
}

fn backticked(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The text of a test, given by its path in the crate.
fn body_of(test: &str) -> String {
    let (modules, name) = test.rsplit_once("::").expect("a path");
    let parts: Vec<&str> = modules.split("::").collect();
    let files = (1..=parts.len()).rev().flat_map(|count| {
        let folder = source().join(parts[..count].join("/"));
        [folder.with_extension("rs"), folder.join("mod.rs")]
    });
    let start = format!("fn {name}(");
    for file in files {
        let Ok(text) = fs::read_to_string(&file) else {
            continue;
        };
        if let Some((before, after)) = text.split_once(&start) {
            assert!(before.trim_end().ends_with(']'), "{test} is a test");
            let indent = before.len() - before.trim_end_matches(' ').len();
            let end = format!("\n{}}}\n", " ".repeat(indent));
            let (body, _) = after.split_once(&end).expect("a function ends");
            return body.into();
        }
    }
    panic!("there is no test {test}");
}
