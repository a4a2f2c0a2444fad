//! Every line of defence in `docs/consensus.md` is taken away in turn, and the tests beside it
//! have to notice.
//!
//! The tests are built once, from a copy of the repository in which each line asks the environment
//! whether it is there: so what a node runs has nothing of this in it.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "the clock is for programs that are run from here; no core is told of it"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::docs::{CRATE, defects, page, quoted, rows};

/// Names the line that is missing in a run of the copy's tests.
const MISSING: &str = "QUORATE_WITHOUT";
/// Rows to try, by their first cells and with commas between; all, if it is not set.
const ROWS: &str = "QUORATE_ROWS";
/// What the page sets before the name of a test of `quorate-node`.
const OF_NODE: &str = "node: ";
/// A world whose time stands still would never end.
const PATIENCE: Duration = Duration::from_secs(300);

/// A line without a [`quorate_pbft::defect::Defect`], since no build is at hand where it stands.
struct Line {
    /// As the page names it.
    place: &'static str,
    /// Text of the line, which its file has once.
    text: &'static str,
    /// What is there without it.
    instead: &'static str,
}

const LINES: [Line; 29] = [
    Line {
        place: "message.rs: ordered",
        text: "last.is_some_and(|last| last >= signer)",
        instead: "false",
    },
    Line {
        place: "message.rs: read",
        text: "input.u8(\"message kind\")?",
        instead: "input.u8(\"message kind\")? & 127",
    },
    Line {
        place: "record.rs: read",
        text: "input.u8(\"record kind\")?",
        instead: "input.u8(\"record kind\")? & 127",
    },
    Line {
        place: "snapshot.rs: read",
        text: "read_count(input, \"state\", most)?",
        instead: "read_count(input, \"state\", most)?.min(input.left())",
    },
    Line {
        place: "request.rs: read_count",
        text: "usize::try_from(input.u32(field)?).unwrap_or(usize::MAX)",
        instead: "usize::try_from(input.u32(field)?).unwrap_or(usize::MAX).min(limit)",
    },
    Line {
        place: "evidence.rs: culprits",
        text: "one.votes().iter().filter_map(both).collect()",
        instead: "Vec::new()",
    },
    Line {
        place: "core/normal.rs: try_decide",
        text: "is_quorum(&self.build, round.rule, tally.power(), total)",
        instead: "crate::quorum::is_blocking(tally.power(), total)",
    },
    Line {
        place: "core/normal.rs: new_block",
        text: "payload_salt(&self.config.salt_key, &tip.digest, self.round.view.get())",
        instead: "std::array::from_fn(|_| {
            use std::hash::{BuildHasher as _, Hasher as _};
            std::hash::RandomState::new().build_hasher().finish().to_le_bytes()[0]
        })",
    },
    Line {
        place: "core/view_change.rs: opening",
        text: "!is_quorum(&self.build, round.rule, asked, round.set.total())",
        instead: "false",
    },
    Line {
        place: "core/mod.rs: halt",
        text: "self.halted = true;
        self.effects.push(Effect::Halt(why));",
        instead: "let _ = why;",
    },
    Line {
        place: "log.rs: open",
        text: "end < bytes.len()",
        instead: "false",
    },
    Line {
        place: "log.rs: at",
        text: "hash[..CHECK_BYTES] != *check",
        instead: "false",
    },
    Line {
        place: "sim/machine.rs: read_snapshot",
        text: "Sha256::digest(content)[..] == check[..]",
        instead: "true",
    },
    Line {
        place: "core/snapshot.rs: try_adopt",
        text: "taking.offer.height() >= self.round.height",
        instead: "false",
    },
    Line {
        place: "core/snapshot.rs: stored",
        text: "snapshot.into_iter().collect()",
        instead: "Default::default()",
    },
    Line {
        place: "core/snapshot.rs: lacked_set",
        text: "self.snapshots.taking.as_ref()?.lacks",
        instead: "None",
    },
    Line {
        place: "core/snapshot.rs: on_chunk",
        text: "taking.chunk == chunk",
        instead: "true",
    },
    Line {
        place: "core/sync.rs: on_blocks",
        text: "self.halted || block.block.height() > self.round.height",
        instead: "self.halted",
    },
    Line {
        place: "core/view_change.rs: check_opening",
        // What holds nobody up is that there is no lock: a claim higher than any that is shown.
        text: "(highest, &opening.proof)",
        instead: "(highest.max(self.round.prepared.as_ref().map(|p| p.view)), &opening.proof)",
    },
    Line {
        place: "sim/world/verdict.rs: demand_progress",
        text: "self.oracle.report(Violation::NoProgress { why });",
        instead: "let _ = why;",
    },
    Line {
        place: "log.rs: sync",
        text: "disk.sync(&self.last_name())?",
        instead: "drop(disk.sync(&self.last_name()))",
    },
    Line {
        place: "node/src/shell/driver/own_key.rs: note_second_machine",
        text: "told * 3 <= u128::from(set.total().get())",
        instead: "true",
    },
    Line {
        place: "node/src/shell/driver/own_key.rs: never_signed",
        text: "mark < slot",
        instead: "false",
    },
    Line {
        place: "node/src/shell/node.rs: refuse_second",
        text: "Err(StartError::RunsElsewhere {
            address: address.into(),
            key: identity.key(),
        })",
        instead: "Ok(())",
    },
    Line {
        place: "node/src/shell/frame.rs: read",
        text: "length > limit",
        instead: "false",
    },
    Line {
        place: "node/src/shell/listener.rs: handshake",
        text: "!party.may(role)",
        instead: "false",
    },
    Line {
        place: "node/src/shell/clients.rs: serve",
        text: "warn!(client = %party.name, \"the client sent what is no question: {error}\");
                    return;",
        instead: "let _ = error;",
    },
    Line {
        place: "node/src/shell/driver/mod.rs: perform",
        text: "(before + 1).is_power_of_two()",
        instead: "false",
    },
    Line {
        place: "verifier/src/rule.rs: holds",
        text: "u128::from(signed.get()) * u128::from(self.den)
            > u128::from(total.get()) * u128::from(self.num)",
        instead: "signed.get().wrapping_mul(self.den.into())
            > total.get().wrapping_mul(self.num.into())",
    },
];

/// What every changed file of the copy ends in.
const ASKS: &str = r#"
fn is_missing(line: &str) -> bool {
    extern crate std;
    static MISSING: std::sync::OnceLock<std::string::String> = std::sync::OnceLock::new();
    MISSING.get_or_init(|| std::env::var("QUORATE_WITHOUT").unwrap_or_default()) == line
}
"#;

/// What the copy's `defect.rs` ends in: a core asks often, so each defect's name is made once.
const ASKS_FOR_DEFECTS: &str = r#"
fn lacks(defect: Defect) -> bool {
    use std::sync::OnceLock;
    static KNOWN: [OnceLock<bool>; 256] = [const { OnceLock::new() }; 256];
    *KNOWN[defect as usize].get_or_init(|| is_missing(&format!("{defect:?}")))
}
fn any() -> bool {
    let missing = std::env::var("QUORATE_WITHOUT").unwrap_or_default();
    !missing.is_empty() && !missing.contains(".rs: ")
}
"#;

/// Edits of the copy's `defect.rs`, of text that it has once.
const DEFECTS: [(&str, &str); 4] = [
    (
        "lacks(&self, _: Defect) -> bool {\n        false",
        "lacks(&self, defect: Defect) -> bool {\n        lacks(defect)",
    ),
    (
        "is_broken(&self) -> bool {\n        false",
        "is_broken(&self) -> bool {\n        any()",
    ),
    (
        "self.0 == Some(defect)",
        "self.0 == Some(defect) || lacks(defect)",
    ),
    ("self.0.is_some()", "self.0.is_some() || any()"),
];

fn root() -> PathBuf {
    Path::new(CRATE).join("../..")
}

/// The file of a place that the page names, from the root.
pub(crate) fn file_of(place: &str) -> PathBuf {
    let file = format!("{}.rs", place.split(".rs: ").next().unwrap());
    if file.contains("/src/") {
        return PathBuf::from(file);
    }
    Path::new("node/core/src").join(file)
}

fn replace_once(source: &mut String, text: &str, new: &str, what: &str) {
    assert_eq!(source.matches(text).count(), 1, "{what}: {text}");
    *source = source.replace(text, new);
}

/// Every file that the copy has otherwise than the repository, and how.
fn changed() -> BTreeMap<PathBuf, String> {
    let mut changed = BTreeMap::new();
    let read = |file: &Path| std::fs::read_to_string(root().join(file)).unwrap() + ASKS;
    for Line {
        place,
        text,
        instead,
    } in &LINES
    {
        let source = changed
            .entry(file_of(place))
            .or_insert_with_key(|file| read(file));
        let asks = format!("{{ if is_missing({place:?}) {{ {instead} }} else {{ {text} }} }}");
        replace_once(source, text, &asks, place);
    }
    let file = PathBuf::from("node/core/src/defect.rs");
    let mut source = read(&file) + ASKS_FOR_DEFECTS;
    for (text, new) in DEFECTS {
        replace_once(&mut source, text, new, "defect.rs");
    }
    changed.insert(file, source);
    changed
}

/// One row of the page.
struct Row {
    name: String,
    tests: Vec<String>,
    /// Names of defects, and places of lines without one.
    lines: Vec<String>,
}

/// The rows that name tests.
fn rows_with_tests() -> Vec<Row> {
    let known = defects();
    let mut found = Vec::new();
    for row in rows(&page()) {
        let [name, what, tests, defended] = &row[..] else {
            continue;
        };
        let tests: Vec<_> = quoted(tests)
            .into_iter()
            .filter(|test| test.contains("::"))
            .collect();
        if !tests.is_empty() {
            found.push(Row {
                name: if name.is_empty() { what } else { name }.clone(),
                tests: tests.into_iter().map(str::to_owned).collect(),
                lines: lines(defended, &known),
            });
        }
    }
    // "every line below" is all that other rows name.
    let all: BTreeSet<_> = found.iter().flat_map(|row| row.lines.clone()).collect();
    let first = found.first_mut().unwrap();
    assert!(first.name == "S1" && first.lines.is_empty());
    first.lines = all.into_iter().collect();
    found
}

/// The lines that a cell names: a place in back-quotes, and behind it in brackets the defect that
/// removes it, or both of two places with "and" between.
fn lines(cell: &str, known: &BTreeSet<String>) -> Vec<String> {
    let (mut lines, mut places) = (Vec::new(), Vec::new());
    for (at, part) in cell.split('`').enumerate() {
        if at % 2 == 1 {
            places.extend(part.contains(".rs: ").then(|| part.to_owned()));
            continue;
        }
        let names = part.split('(').filter_map(|rest| rest.split_once(')'));
        let names: Vec<_> = names.map(|(name, _)| name.to_owned()).collect();
        let names = names.into_iter().filter(|name| known.contains(name));
        if part.trim_start().starts_with('(') {
            places.clear(); // a defect stands for them
        } else if part.trim() != "and" {
            lines.append(&mut places);
        }
        lines.extend(names);
    }
    lines
}

/// The lines without a defect are where the copy looks for them, and each has a row.
#[test]
fn lines_without_a_defect_are_where_they_are_looked_for() {
    changed();
    let named: BTreeSet<_> = rows_with_tests()
        .into_iter()
        .flat_map(|row| row.lines)
        .collect();
    let known = defects();
    for line in &named {
        let patched = LINES.iter().any(|l| l.place == line);
        assert!(known.contains(line) || patched, "nothing takes {line} away");
    }
    for Line { place, .. } in &LINES {
        assert!(named.contains(*place), "no row names {place}");
    }
}

/// Copies the repository's files, changed ones changed. What the copy has already is left alone, so
/// that it need not be built again; a file that the repository has no more stays, and nothing names it.
fn copy() -> PathBuf {
    let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join("defences");
    let list = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others"])
        .arg("--exclude-standard")
        .current_dir(root())
        .output()
        .unwrap();
    let list = String::from_utf8(list.stdout).unwrap();
    let mut changed = changed();
    for file in list.split_terminator('\0') {
        let (from, to) = (root().join(file), copy.join(file));
        let source = match changed.remove(Path::new(file)) {
            Some(source) => source.into_bytes(),
            None if from.is_file() => std::fs::read(from).unwrap(),
            None => continue, // deleted, and not committed yet
        };
        if std::fs::read(&to).ok().as_ref() != Some(&source) {
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::write(to, source).unwrap();
        }
    }
    assert!(changed.is_empty(), "git does not know {:?}", changed.keys());
    copy
}

/// A program with tests of the copy, and their full names.
struct Program {
    path: PathBuf,
    folder: PathBuf,
    tests: Vec<String>,
}

impl Program {
    fn build(copy: &Path, package: &str, folder: &str) -> Self {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("defences-target");
        let built = Command::new(env!("CARGO"))
            .args(["test", "--release", "--locked", "--no-run"])
            .args(["--test", "it", "-p", package])
            .env("CARGO_TARGET_DIR", target)
            .current_dir(copy)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&built.stderr);
        assert!(built.status.success(), "{said}");
        let path = said.split("tests/it/main.rs (").nth(1).unwrap();
        let path = PathBuf::from(path.split(')').next().unwrap());
        let list = Command::new(&path).arg("--list").output().unwrap();
        let list = String::from_utf8(list.stdout).unwrap();
        let tests = list.lines().filter_map(|line| line.strip_suffix(": test"));
        Self {
            tests: tests.map(str::to_owned).collect(),
            folder: copy.join(folder),
            path,
        }
    }

    /// Runs a test, by its last module and its name, without a line.
    fn run(&self, test: &str, missing: &str) -> Verdict {
        let is_it = |full: &&String| full.ends_with(&format!("::{test}")) || *full == test;
        let full = self.tests.iter().find(is_it);
        let full = full.unwrap_or_else(|| panic!("{test} is not in the copy"));
        let mut child = Command::new(&self.path)
            .args(["--exact", full])
            .env(MISSING, missing)
            .current_dir(&self.folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let start = Instant::now();
        loop {
            match child.try_wait().unwrap() {
                Some(status) if status.success() => return Verdict::Passes,
                Some(_) => return Verdict::Fails,
                None if start.elapsed() > PATIENCE => {
                    child.kill().unwrap();
                    child.wait().unwrap();
                    return Verdict::DoesNotEnd;
                }
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }
}

/// How a test ended without a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Passes,
    Fails,
    /// It was stopped when the patience was over.
    DoesNotEnd,
}

/// Every test of a row fails without one of the row's lines, and without each of these lines one of
/// the row's tests fails. With all of them in place every test passes, in the copy too.
#[test]
#[ignore = "builds a copy and takes many minutes: its last result is in docs/consensus.md"]
fn every_test_fails_without_its_line() {
    let start = Instant::now();
    let wanted = std::env::var(ROWS).ok();
    let wanted = |row: &Row| {
        let names = wanted.as_deref();
        names.is_none_or(|names| names.split(',').any(|name| name == row.name))
    };
    let rows: Vec<_> = rows_with_tests().into_iter().filter(wanted).collect();
    let copy = copy();
    let core = Program::build(&copy, "quorate-pbft", "node/core");
    let mut tests = rows.iter().flat_map(|row| &row.tests);
    let node = tests.any(|test| test.starts_with(OF_NODE));
    let node = node.then(|| Program::build(&copy, "quorate-node", "node"));
    println!("built in {} s", start.elapsed().as_secs());
    let run = |test: &str, line: &str| match (test.strip_prefix(OF_NODE), &node) {
        (Some(test), Some(node)) => node.run(test, line),
        _ => core.run(test, line),
    };

    let pairs = rows.iter().flat_map(|row| {
        let lines = [String::new()].into_iter().chain(row.lines.clone());
        lines.flat_map(|line| {
            row.tests
                .iter()
                .map(move |test| (line.clone(), test.clone()))
        })
    });
    let pairs: BTreeSet<_> = pairs.collect();
    let (waiting, verdicts) = (Mutex::new(pairs.into_iter()), Mutex::new(BTreeMap::new()));
    let next = || waiting.lock().unwrap().next();
    let work = || {
        while let Some((line, test)) = next() {
            let verdict = run(&test, &line);
            verdicts.lock().unwrap().insert((line, test), verdict);
        }
    };
    std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        (0..threads).for_each(|_| drop(scope.spawn(work)));
    });
    let verdicts = verdicts.into_inner().unwrap();

    let mut wrong = Vec::new();
    let mut lines = BTreeSet::new();
    for row in &rows {
        let notices = |line: &str, test: &str| {
            verdicts[&(line.to_owned(), test.to_owned())] != Verdict::Passes
        };
        for test in &row.tests {
            if notices("", test) {
                wrong.push(format!(
                    "{}: {test} fails with every line in place",
                    row.name
                ));
            }
            if !row.lines.iter().any(|line| notices(line, test)) {
                wrong.push(format!(
                    "{}: {test} passes without any of its lines",
                    row.name
                ));
            }
        }
        println!("{}", row.name);
        for line in &row.lines {
            lines.insert(line);
            let tests: Vec<_> = row
                .tests
                .iter()
                .filter(|test| notices(line, test))
                .collect();
            let all = tests.len() == row.tests.len();
            println!(
                "    without {line}: {} of {} fail{}",
                tests.len(),
                row.tests.len(),
                match all {
                    true => String::new(),
                    false => format!(": {tests:?}"),
                }
            );
            if tests.is_empty() && row.name != "S1" {
                wrong.push(format!("{}: nothing is noticed without {line}", row.name));
            }
        }
    }
    for ((line, test), verdict) in &verdicts {
        if *verdict == Verdict::DoesNotEnd {
            println!("without {line}: {test} does not end");
        }
    }
    let tests: BTreeSet<_> = rows.iter().flat_map(|row| &row.tests).collect();
    println!(
        "{} rows, {} tests, {} lines, {} runs, {} s",
        rows.len(),
        tests.len(),
        lines.len(),
        verdicts.len(),
        start.elapsed().as_secs()
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
