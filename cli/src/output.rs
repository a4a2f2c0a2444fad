//! What a command answers: a verdict, what was checked, what was not, and one next step.
//!
//! The answer goes to stdout, in words or with `--json` as one document; warnings and errors go to
//! stderr. With `--json`, stdout holds one document on every path.

use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::files;
use crate::value::{Members, Value};

/// The outcome, as a word and an exit code that every command shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// What was asked for was made or shown; nothing was to be judged.
    Done,
    /// Everything asked was checked and holds.
    Verified,
    /// As `Verified`, and the block is final.
    Final,
    /// It does not hold: treat as an incident.
    Invalid,
    /// Sound in itself, refused by what the caller demands.
    PolicyFailed,
    /// Something that is needed is missing, or of an unknown kind or version.
    CannotEvaluate,
    /// Bad arguments or unreadable input.
    Usage,
    /// The machine failed us: a disk that is full, an output that is gone.
    Unavailable,
    /// Stopped by the user.
    Interrupted,
}

/// The table that `--help` and the man page print.
pub(crate) const EXIT_CODES: &str = "\
Exit codes, the same for every command:
    0  done, verified or final: everything that was asked holds
    1  invalid: what was judged does not hold; treat it as an incident
    2  policy-failed: sound in itself, refused by what you demand
    3  cannot-evaluate: something is missing, or of an unknown kind or version
    4  usage: bad arguments or unreadable input
    5  unavailable: reading or writing failed for reasons of the machine
  130  interrupted

Results go to stdout, all else to stderr. With --json, stdout is one JSON document on every path.";

impl Verdict {
    /// The word that a script may match.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Verified => "verified",
            Self::Final => "final",
            Self::Invalid => "invalid",
            Self::PolicyFailed => "policy-failed",
            Self::CannotEvaluate => "cannot-evaluate",
            Self::Usage => "usage",
            Self::Unavailable => "unavailable",
            Self::Interrupted => "interrupted",
        }
    }

    /// The process's exit code.
    pub(crate) const fn exit_code(self) -> u8 {
        match self {
            Self::Done | Self::Verified | Self::Final => 0,
            Self::Invalid => 1,
            Self::PolicyFailed => 2,
            Self::CannotEvaluate => 3,
            Self::Usage => 4,
            Self::Unavailable => 5,
            Self::Interrupted => 130,
        }
    }

    /// Whether the verdict is an answer about the input, not a failure to get at it.
    pub(crate) const fn is_answer(self) -> bool {
        !matches!(self, Self::Usage | Self::Unavailable | Self::Interrupted)
    }

    const fn colour(self) -> &'static str {
        match self {
            Self::Done | Self::Verified | Self::Final => "32",
            Self::PolicyFailed | Self::CannotEvaluate => "33",
            _ => "31",
        }
    }
}

/// How one check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// It holds.
    Pass,
    /// It does not.
    Fail,
    /// What it takes was not at hand.
    NotChecked,
}

impl Status {
    const fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::NotChecked => "not-checked",
        }
    }
}

/// One thing that was checked.
#[derive(Clone, Debug)]
pub(crate) struct Check {
    pub(crate) name: &'static str,
    pub(crate) status: Status,
    pub(crate) detail: String,
}

/// A command's whole answer.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    pub(crate) verdict: Verdict,
    /// One sentence.
    pub(crate) summary: String,
    /// Figures and names, by label: `set commitment` in words is `setCommitment` in JSON.
    facts: Vec<(&'static str, Value)>,
    pub(crate) checks: Vec<Check>,
    pub(crate) not_checked: Vec<String>,
    pub(crate) warnings: Vec<String>,
    pub(crate) next: Option<String>,
    /// Stands for the whole answer in words: a script, a man page.
    text: Option<String>,
    /// Stands for the whole answer: a file for another program.
    bytes: Option<Vec<u8>>,
}

impl Report {
    pub(crate) fn new(verdict: Verdict, summary: impl Into<String>) -> Self {
        Self {
            verdict,
            summary: summary.into(),
            facts: Vec::new(),
            checks: Vec::new(),
            not_checked: Vec::new(),
            warnings: Vec::new(),
            next: None,
            text: None,
            bytes: None,
        }
    }

    /// An answer that is a text for another program: printed as it is.
    pub(crate) fn text(summary: impl Into<String>, text: String) -> Self {
        Self {
            text: Some(text),
            ..Self::new(Verdict::Done, summary)
        }
    }

    /// A file in place of the answer in words: there is one stdout.
    pub(crate) fn bytes(&mut self, bytes: Vec<u8>) {
        self.bytes = Some(bytes);
    }

    pub(crate) fn fact(&mut self, label: &'static str, value: impl Into<Value>) -> &mut Self {
        self.facts.push((label, value.into()));
        self
    }

    /// Notes a check; a failed one is not yet a verdict.
    pub(crate) fn check<E: std::fmt::Display>(
        &mut self,
        name: &'static str,
        outcome: Result<String, E>,
    ) -> bool {
        let (status, detail) = match outcome {
            Ok(detail) => (Status::Pass, detail),
            Err(error) => (Status::Fail, error.to_string()),
        };
        self.checks.push(Check {
            name,
            status,
            detail,
        });
        status == Status::Pass
    }

    /// Notes the steps of one check in their order, up to the one that failed.
    pub(crate) fn steps<E: std::fmt::Display>(
        &mut self,
        steps: impl IntoIterator<Item = (&'static str, String)>,
        failed: Option<(usize, &E)>,
    ) {
        for (step, (name, words)) in steps.into_iter().enumerate() {
            match failed {
                Some((at, error)) if step == at => {
                    self.check(name, Err::<String, _>(error));
                }
                Some((at, _)) if step > at => self.skip(name, "a check before it failed"),
                _ => {
                    self.check(name, Ok::<_, E>(words));
                }
            }
        }
    }

    pub(crate) fn skip(&mut self, name: &'static str, why: &str) {
        self.checks.push(Check {
            name,
            status: Status::NotChecked,
            detail: why.into(),
        });
    }

    pub(crate) fn not_checked(&mut self, what: impl Into<String>) -> &mut Self {
        self.not_checked.push(what.into());
        self
    }

    pub(crate) fn warn(&mut self, what: impl Into<String>) -> &mut Self {
        self.warnings.push(what.into());
        self
    }

    pub(crate) fn next(&mut self, what: impl Into<String>) -> &mut Self {
        self.next = Some(what.into());
        self
    }

    /// The same for a terminal: what came from a file can neither steer it nor start a line.
    fn for_people(&self) -> Self {
        let plain = |text: &String| escape(text, |c| is_obeyed(c) || c == '\n');
        let list = |texts: &[String]| texts.iter().map(plain).collect();
        let check = |check: &Check| Check {
            detail: plain(&check.detail),
            ..check.clone()
        };
        let fact = |(label, value): &(&'static str, Value)| (*label, value.map_texts(&plain));
        Self {
            summary: plain(&self.summary),
            facts: self.facts.iter().map(fact).collect(),
            checks: self.checks.iter().map(check).collect(),
            not_checked: list(&self.not_checked),
            warnings: list(&self.warnings),
            next: self.next.as_ref().map(|next| escape(next, is_obeyed)),
            ..self.clone()
        }
    }

    fn json(&self, command: &str) -> Value {
        let mut result: Members = self
            .facts
            .iter()
            .map(|(label, value)| (camel_case(label), value.clone()))
            .collect();
        result.extend(
            self.text
                .as_ref()
                .map(|text| ("text".into(), text.as_str().into())),
        );
        let check = |check: &Check| {
            Value::members([
                ("name", check.name.into()),
                ("status", check.status.word().into()),
                ("detail", check.detail.as_str().into()),
            ])
        };
        let texts = |list: &[String]| list.iter().map(String::as_str).collect();
        Value::members([
            ("type", "quorate/result/v1".into()),
            ("command", command.into()),
            ("verdict", self.verdict.word().into()),
            ("exitCode", Value::Number(self.verdict.exit_code().into())),
            ("summary", self.summary.as_str().into()),
            ("result", Value::Members(result)),
            ("checks", self.checks.iter().map(check).collect()),
            ("notChecked", texts(&self.not_checked)),
            ("warnings", texts(&self.warnings)),
            ("next", self.next.as_deref().into()),
        ])
    }

    fn words(&self, style: Style) -> String {
        if let Some(text) = &self.text {
            return text.clone();
        }
        let mut out = String::new();
        let verdict = style.paint(self.verdict.colour(), self.verdict.word());
        out.push_str(&format!("{verdict}: {}\n", self.summary));
        if !self.facts.is_empty() {
            out.push('\n');
            let width = self
                .facts
                .iter()
                .map(|(label, _)| label.len())
                .max()
                .unwrap_or(0);
            for (label, value) in &self.facts {
                write_fact(&mut out, label, width, value);
            }
        }
        if !self.checks.is_empty() {
            out.push('\n');
            let width = self.checks.iter().map(|c| c.name.len()).max().unwrap_or(0);
            for Check {
                name,
                status,
                detail,
            } in &self.checks
            {
                let colour = match status {
                    Status::Pass => "32",
                    Status::Fail => "31",
                    Status::NotChecked => "33",
                };
                let word = style.paint(colour, &format!("{:<11}", status.word()));
                out.push_str(&format!("  {word}  {name:<width$}  {detail}\n"));
            }
        }
        if !self.not_checked.is_empty() {
            out.push_str("\nNot checked:\n");
            for what in &self.not_checked {
                out.push_str(&format!("  - {what}\n"));
            }
        }
        if let Some(next) = &self.next {
            out.push_str(&format!("\nNext: {next}\n"));
        }
        out
    }
}

/// What is being run and how it is to be answered; fixed once the arguments are read.
#[derive(Clone, Debug)]
pub(crate) struct Mode {
    pub(crate) json: bool,
    pub(crate) command: String,
}

static MODE: OnceLock<Mode> = OnceLock::new();
/// Whether the answer was given: there is one, whoever gives it first.
static ANSWERED: Mutex<bool> = Mutex::new(false);

/// Says once how answers are to be given.
pub(crate) fn set_mode(mode: Mode) {
    let _ = MODE.set(mode);
}

/// Whether the answer will be one JSON document.
pub(crate) fn is_json() -> bool {
    MODE.get().is_some_and(|mode| mode.json)
}

/// Gives the answer and returns the exit code. An answer that could not be written is no answer:
/// a verdict of 0 becomes `unavailable`.
pub(crate) fn answer(report: &Report) -> u8 {
    let mut answered = ANSWERED.lock().unwrap_or_else(PoisonError::into_inner);
    if *answered {
        return report.verdict.exit_code();
    }
    *answered = true;
    match write_answer(report) {
        Ok(()) => report.verdict.exit_code(),
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: stdout: {error}");
            match report.verdict.exit_code() {
                0 => Verdict::Unavailable.exit_code(),
                code => code,
            }
        }
    }
}

fn write_answer(report: &Report) -> io::Result<()> {
    let mode = MODE.get();
    let (json, command) = mode.map_or((false, ""), |mode| (mode.json, mode.command.as_str()));
    let spoken = report.for_people();
    // A stderr that is gone is no reason to hold the result back.
    for warning in &spoken.warnings {
        let _ = writeln!(io::stderr(), "warning: {warning}");
    }
    let mut stdout = io::stdout().lock();
    if json {
        let text = serde_json::to_string_pretty(&report.json(command)).map_err(io::Error::other)?;
        writeln!(stdout, "{}", escape(&text, is_obeyed))?;
    } else if let Some(bytes) = &report.bytes {
        stdout.write_all(bytes)?;
    } else if report.verdict.is_answer() {
        stdout.write_all(spoken.words(Style::of(&stdout)).as_bytes())?;
    }
    if !report.verdict.is_answer() {
        let _ = writeln!(io::stderr(), "error: {}", spoken.summary);
        if let Some(next) = &spoken.next {
            let _ = writeln!(io::stderr(), "next: {next}");
        }
    }
    stdout.flush()
}

/// Whether a terminal would do something else with a character than show it: control characters,
/// and those that turn the direction of what follows.
fn is_obeyed(c: char) -> bool {
    let turns =
        matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    (c.is_control() && c != '\n') || turns
}

/// Writes characters as JSON escapes; in JSON that changes nothing, since they stand in strings.
fn escape(text: &str, which: fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if which(c) {
            out.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    out
}

type Stopper = Box<dyn Fn() + Send>;

/// What an interrupt does instead of ending the process, the first time.
static STOPPER: Mutex<Option<Stopper>> = Mutex::new(None);

/// From now on the user's first interrupt calls this; the second ends the process as ever.
pub(crate) fn stop_by(stopper: impl Fn() + Send + 'static) {
    *STOPPER.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(stopper));
}

/// The user interrupts: a command that can stop by itself is told to, any other ends here.
pub(crate) fn interrupt() {
    let stopper = STOPPER
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    match stopper {
        Some(stop) => stop(),
        None => interrupted(),
    }
}

/// Answers `interrupted`, removes what was half made, and ends the process.
fn interrupted() -> ! {
    files::remove_unfinished();
    let report = Report::new(
        Verdict::Interrupted,
        "interrupted; nothing was left half made",
    );
    std::process::exit(i32::from(answer(&report)))
}

#[derive(Clone, Copy)]
struct Style {
    colours: bool,
}

impl Style {
    /// Colours on a terminal, unless `NO_COLOR` is set or the terminal is dumb.
    fn of(stream: &impl IsTerminal) -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self {
            colours: stream.is_terminal() && !refused && !dumb,
        }
    }

    fn paint(self, colour: &str, text: &str) -> String {
        if self.colours {
            format!("\u{1b}[1;{colour}m{text}\u{1b}[0m")
        } else {
            text.into()
        }
    }
}

fn camel_case(label: &str) -> String {
    let mut out = String::with_capacity(label.len());
    let mut raise = false;
    for c in label.chars() {
        match c {
            ' ' => raise = true,
            _ if raise => {
                out.push(c.to_ascii_uppercase());
                raise = false;
            }
            _ => out.push(c),
        }
    }
    out
}

fn write_fact(out: &mut String, label: &str, width: usize, value: &Value) {
    if value.is_scalar() {
        out.push_str(&format!("  {label:<width$}  {}\n", value.words()));
    } else {
        out.push_str(&format!("  {label}\n"));
        write_nested(out, 4, value);
    }
}

/// Objects as lines, lists of objects as tables, other lists one item a line.
fn write_nested(out: &mut String, indent: usize, value: &Value) {
    let pad = " ".repeat(indent);
    match value {
        Value::Members(members) => {
            let width = members
                .iter()
                .map(|(name, _)| name.len())
                .max()
                .unwrap_or(0);
            for (name, member) in members {
                if member.is_scalar() {
                    out.push_str(&format!("{pad}{name:<width$}  {}\n", member.words()));
                } else {
                    out.push_str(&format!("{pad}{name}\n"));
                    write_nested(out, indent + 2, member);
                }
            }
        }
        Value::List(items) if items.is_empty() => out.push_str(&format!("{pad}none\n")),
        Value::List(items) => match table(items) {
            Some(rows) => {
                for row in rows {
                    out.push_str(&format!("{pad}{}\n", row.trim_end()));
                }
            }
            None => items
                .iter()
                .for_each(|item| write_nested(out, indent, item)),
        },
        scalar => out.push_str(&format!("{pad}{}\n", scalar.words())),
    }
}

/// A heading and a line for each object, when all are objects with the same scalar members.
fn table(items: &[Value]) -> Option<Vec<String>> {
    let members = |item: &Value| match item {
        Value::Members(members) if members.iter().all(|(_, v)| v.is_scalar()) => {
            Some(members.clone())
        }
        _ => None,
    };
    let items: Vec<Members> = items.iter().map(members).collect::<Option<_>>()?;
    let names = |item: &Members| {
        item.iter()
            .map(|(name, _)| name.clone())
            .collect::<Vec<_>>()
    };
    let heading = names(items.first()?);
    if items.iter().any(|item| names(item) != heading) {
        return None;
    }
    let cells = |item: &Members| item.iter().map(|(_, value)| value.words()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(heading.clone())
        .chain(items.iter().map(cells))
        .collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..heading.len())
        .map(|column| width(column).unwrap_or(0))
        .collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths);
        cells
            .map(|(cell, width)| format!("{cell:<width$}  "))
            .collect::<String>()
    };
    Some(rows.iter().map(line).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        let mut report = Report::new(Verdict::Invalid, "a\u{1b}[2J\nfinal: b\u{9b}c\u{202e}d");
        report.fact("name", Value::members([("x", "\r\n".into())]));
        let words = report.for_people().words(Style { colours: false });
        assert!(!words.chars().any(is_obeyed), "{words:?}");
        assert!(!words.contains("\nfinal"), "{words}");
        let json = serde_json::to_string(&report.json("test")).expect("strings for names");
        let escaped = escape(&json, is_obeyed);
        assert!(!escaped.chars().any(is_obeyed));
        let (before, after): (Value, Value) = (
            serde_json::from_str(&json).expect("good JSON"),
            serde_json::from_str(&escaped).expect("still good JSON"),
        );
        assert_eq!(before, after);
    }

    #[test]
    fn labels_become_members() {
        assert_eq!(camel_case("set commitment"), "setCommitment");
        assert_eq!(camel_case("key"), "key");
        assert_eq!(camel_case("a b c"), "aBC");
    }

    #[test]
    fn lists_of_like_objects_are_tables() {
        let item =
            |a: &str, power: &str| Value::members([("a", a.into()), ("power", power.into())]);
        let rows = table(&[item("x", "10"), item("longer", "1")]).expect("like objects");
        assert_eq!(
            rows,
            ["a       power  ", "x       10     ", "longer  1      "]
        );
        let other = Value::members([("b", Value::Null)]);
        assert!(table(&[item("x", "1"), other]).is_none());
        assert!(table(&[Value::members([("a", Value::List(vec![]))])]).is_none());
        assert!(table(&[Value::Null]).is_none());
    }
}
