//! `docs/consensus.md` names what is there, and all of it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::defences::file_of;

pub(crate) const CRATE: &str = env!("CARGO_MANIFEST_DIR");

pub(crate) fn page() -> String {
    std::fs::read_to_string(Path::new(CRATE).join("../../docs/consensus.md")).unwrap()
}

fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(CRATE).join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    found
}

/// As the page's readers see a heading's link.
fn anchor(heading: &str) -> String {
    let letters = heading.trim_start_matches('#').trim().to_lowercase();
    letters.replace(' ', "-")
}

/// Every section that a handler names exists.
#[test]
fn sections_that_the_code_names_exist() {
    let page = page();
    let anchors: BTreeSet<_> = page
        .lines()
        .filter(|l| l.starts_with('#'))
        .map(anchor)
        .collect();
    let mut named = 0;
    for (path, text) in sources("src") {
        // The first one of a list stands behind the page's name, others behind a comma.
        for part in text.split("docs/consensus.md").skip(1) {
            for link in part.split('`').next().unwrap_or("").split('#').skip(1) {
                let link = link.trim_end_matches([',', '.', ' ']);
                assert!(anchors.contains(link), "{}: #{link}", path.display());
                named += 1;
            }
        }
    }
    assert!(named > 30, "{named} sections are named");
}

/// Names of tests in a folder, as `module::test`.
fn tests_of(folder: &str) -> BTreeSet<String> {
    let mut tests = BTreeSet::new();
    for (path, text) in sources(folder) {
        let module = path.file_stem().unwrap().to_string_lossy().into_owned();
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            if line.trim() != "#[test]" {
                continue;
            }
            let name = lines.find_map(|line| line.trim().strip_prefix("fn "));
            let name = name.unwrap().split('(').next().unwrap();
            tests.insert(format!("{module}::{name}"));
        }
    }
    tests
}

/// The rows of the page's tables of scenarios and bugs.
pub(crate) fn rows(page: &str) -> Vec<Vec<String>> {
    let section = page.split("\n## Scenarios and bugs\n").nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let cells = |line: &str| {
        let cells = line.trim_matches('|').split('|');
        cells.map(|cell| cell.trim().to_owned()).collect()
    };
    let rows = section.lines().filter(|line| line.starts_with('|'));
    rows.map(cells).collect()
}

/// What stands between back-quotes.
pub(crate) fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// Names of the defects that there are.
pub(crate) fn defects() -> BTreeSet<String> {
    let source = std::fs::read_to_string(Path::new(CRATE).join("src/defect.rs")).unwrap();
    let list = source.split("pub enum Defect {").nth(1).unwrap();
    let lines = list.split('}').next().unwrap().lines().map(str::trim);
    let names = lines.filter_map(|line| line.strip_suffix(','));
    names.map(str::to_owned).collect()
}

/// Every test that the tables name exists, and every scenario's test stands in a table.
#[test]
fn the_tables_name_every_scenarios_test() {
    let page = page();
    let (tests, node) = (tests_of("tests/it"), tests_of("../tests/it/shell"));
    let mut named = BTreeSet::new();
    for row in rows(&page) {
        for name in row.get(2).map(|cell| quoted(cell)).unwrap_or_default() {
            if let Some(of_node) = name.strip_prefix("node: ") {
                assert!(node.contains(of_node), "the page names {name}");
            } else if name.contains("::") {
                assert!(tests.contains(name), "the page names {name}");
                named.insert(name.to_owned());
            }
        }
    }
    let scenarios = tests_of("tests/it/scenarios");
    let broken: BTreeSet<_> = tests_of("tests/it");
    let broken = broken
        .into_iter()
        .filter(|name| name.starts_with("broken::"));
    for name in scenarios.into_iter().chain(broken) {
        assert!(named.contains(&name), "the page does not name {name}");
    }
}

/// Every line of defence that the tables name is a function of that file, and every one that can be
/// removed is removed in some test.
#[test]
fn the_tables_name_lines_of_defence_that_exist() {
    for row in rows(&page()) {
        for place in row.get(3).map(|cell| quoted(cell)).unwrap_or_default() {
            let Some((_, function)) = place.split_once(".rs: ") else {
                continue;
            };
            let path = Path::new(CRATE).join("../..").join(file_of(place));
            let text = std::fs::read_to_string(&path)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            assert!(text.contains(&format!("fn {function}")), "{place}");
        }
    }
    let tests: String = sources("tests/it")
        .into_iter()
        .map(|(_, text)| text)
        .collect();
    for name in defects() {
        assert!(
            tests.contains(&format!("Defect::{name}")),
            "no test removes {name}"
        );
    }
}

/// Numbers 1 to 35 and 1 to 25 have a row each.
#[test]
fn every_scenario_and_bug_has_a_row() {
    let rows = rows(&page());
    let first: Vec<_> = rows.iter().filter_map(|row| row.first()).collect();
    for (letter, count) in [('S', 35), ('B', 25)] {
        for number in 1..=count {
            let name = format!("{letter}{number}");
            assert_eq!(first.iter().filter(|f| ***f == name).count(), 1, "{name}");
        }
    }
}
