//! Sweeps: lies of every kind of hint, and what refuses them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use ark_bn254::Fr;
use ark_ff::{AdditiveGroup, Field};

use super::{Built, Forge, Hint, Trial, Verdict};

/// The kinds of hints that every look-up brings.
pub const LOOKUP_HINTS: [&str; 4] = [
    "chunk",
    "lookup/inverse",
    "lookup/multiplicity",
    "lookup/share",
];

/// For each kind of hint what refused the lies about it: of each lie the first row that did not hold
/// and the first stray look-up, without numbers. `./row` stands in the hint's own scope, other
/// names are whole paths, and [`ACCEPTED`] says that nothing refused.
pub type Found = BTreeMap<&'static str, BTreeSet<String>>;

/// In the place of a refusal.
pub const ACCEPTED: &str = "accepted";

/// Lies about the hints of a build.
#[derive(Clone, Copy, Debug)]
pub struct Sweep<'a> {
    /// The honest build.
    pub honest: &'a Built,
    /// An honest build for another case, whose hints are tried here.
    pub other: &'a Built,
    /// Which occurrences of a kind are forged, given all of them.
    pub choose: fn(&[Hint]) -> Vec<usize>,
}

impl<'a> Sweep<'a> {
    /// Forges the first, the middle and the last occurrence of each kind.
    #[must_use]
    pub fn new(honest: &'a Built, other: &'a Built) -> Self {
        Self {
            honest,
            other,
            choose: |hints| {
                let last = hints.len() - 1;
                BTreeSet::from([0, hints.len() / 2, last])
                    .into_iter()
                    .collect()
            },
        }
    }

    /// All lies about hints of this kind: zero, one, minus one, one more, and what another case has
    /// in its place.
    #[must_use]
    pub fn forgeries(&self, kind: &'static str) -> Vec<Forge> {
        let hints = &self.honest.hints()[kind];
        let lies = |occurrence: usize| {
            let elsewhere = self.other.hints().get(kind).and_then(|h| h.get(occurrence));
            let values = [Fr::ZERO, Fr::ONE, -Fr::ONE].into_iter();
            let values = values.chain(elsewhere.map(|hint| hint.value));
            values
                .map(move |value| Forge::value(kind, occurrence, value))
                .chain([Forge::plus(kind, occurrence, 1)])
        };
        (self.choose)(hints).into_iter().flat_map(lies).collect()
    }

    /// Tells all lies of all kinds, one at a time, on all cores, and asks `judge` about each.
    pub fn run(&self, judge: impl Fn(Vec<Forge>) -> Verdict + Sync) -> Found {
        let kinds = self.honest.hints().keys();
        let lies: Vec<Forge> = kinds.flat_map(|kind| self.forgeries(kind)).collect();
        let found = Mutex::new(Found::new());
        on_all_cores(&lies, |lie| {
            let verdict = judge(vec![*lie]);
            let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
            let entry = found.entry(lie.kind).or_default();
            if !verdict.differs {
                return; // the honest value
            }
            if verdict.is_accepted() {
                entry.insert(ACCEPTED.into());
                return;
            }
            let scope = &self.honest.hints()[lie.kind][lie.occurrence].scope;
            let refusals = verdict.refusals();
            let rows = refusals.len() - verdict.strays.len();
            let (rows, strays) = refusals.split_at(rows);
            let first = rows.first().into_iter().chain(strays.first());
            entry.extend(first.map(|name| seen_from(scope, name)));
        });
        found.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells all lies to a gadget, built anew for each.
    pub fn run_on(&self, build: impl Fn(Trial) -> Built + Sync) -> Found {
        self.run(|lies| {
            let trial = lies.into_iter().fold(self.honest.trial(), Trial::lie);
            self.honest.compare(&build(trial))
        })
    }
}

/// # Panics
/// Unless every kind of hint is in the table, with exactly what refused the lies about it.
pub fn assert_found(found: &Found, table: &[(&str, &[&str])]) {
    let own = |names: &[&str]| names.iter().map(ToString::to_string).collect();
    let table: BTreeMap<&str, BTreeSet<String>> = table
        .iter()
        .map(|(kind, names)| (*kind, own(names)))
        .collect();
    let differ = found
        .iter()
        .filter(|(kind, names)| table.get(**kind) != Some(names));
    let differ: BTreeMap<_, _> = differ.collect();
    assert!(differ.is_empty(), "not in the table like this: {differ:#?}");
    let gone: Vec<_> = table
        .keys()
        .filter(|kind| !found.contains_key(*kind))
        .collect();
    assert!(gone.is_empty(), "there are no such hints: {gone:?}");
}

/// Calls `each` for every item, on as many threads as the machine has cores.
pub fn on_all_cores<T: Sync>(items: &[T], each: impl Fn(&T) + Sync) {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                    each(item);
                }
            });
        }
    });
}

/// A name as seen from a hint's scope, without numbers.
fn seen_from(scope: &str, name: &str) -> String {
    match name.strip_prefix(scope) {
        Some(rest) if !scope.is_empty() => format!("./{}", without_numbers(rest)),
        _ => without_numbers(name),
    }
}

/// `slot[3]/sha512/block[0]/xor[2]` without what stands in brackets.
#[must_use]
pub fn without_numbers(name: &str) -> String {
    let parts = name.split('[').map(|part| match part.split_once(']') {
        Some((_, rest)) => rest,
        None => part,
    });
    parts.collect()
}

impl Built {
    /// # Panics
    /// Unless the kinds of hints, those of the look-up argument apart, are exactly `tested`: a new
    /// hint needs a forgery.
    pub fn assert_hints_tested(&self, tested: &[&str]) {
        let kinds = self.hints().keys().copied();
        let kinds: BTreeSet<&str> = kinds.filter(|kind| !LOOKUP_HINTS.contains(kind)).collect();
        let tested: BTreeSet<&str> = tested.iter().copied().collect();
        assert_eq!(kinds, tested, "the hints, and those with a forgery");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ground::Builder;

    /// `root^2 = square` under a scope, and a hint that no row reads.
    fn gadget(g: &mut Builder) {
        g.scope("roots[0]", |g| {
            let root = g.hint("root", Fr::from(3));
            g.row("square[7]", root, root, Fr::from(9));
        });
        let _ = g.hint("loose", Fr::ONE);
        let _ = g.limb("limb", 77_u64, 12);
    }

    #[test]
    fn a_sweep_finds_what_refuses_and_what_is_free() {
        let honest = Trial::new().build(gadget);
        let found = Sweep::new(&honest, &honest).run_on(|trial| trial.build(gadget));
        let table: &[(&str, &[&str])] = &[
            ("root", &["./square"]),
            ("loose", &[ACCEPTED]),
            // nothing binds it to a value, but it is in its range
            ("limb", &[ACCEPTED, "limb/chunk/range"]),
            ("chunk", &[ACCEPTED, "./chunk/range"]),
            (
                "lookup/inverse",
                &["limb/chunk/range", "limb/chunk/shifted"],
            ),
            ("lookup/multiplicity", &["./sum"]),
            ("lookup/share", &["./entry"]),
        ];
        assert_found(&found, table);
        // minus three is a root as well: sweeps tell few lies, rows are judged by their argument
        let minus = Trial::new().lie(Forge::value("root", 0, -Fr::from(3)));
        assert!(minus.build(gadget).holds());
    }

    #[test]
    #[should_panic(expected = "those with a forgery")]
    fn a_hint_without_a_forgery_is_noticed() {
        Trial::new()
            .build(gadget)
            .assert_hints_tested(&["root", "limb"]);
    }

    #[test]
    fn numbers_are_left_out() {
        assert_eq!(without_numbers("a[1]/b/c[22]/d"), "a/b/c/d");
        assert_eq!(seen_from("a[1]/", "a[1]/b[3]"), "./b");
        assert_eq!(seen_from("a[1]/", "a[2]/b[3]"), "a/b");
        assert_eq!(seen_from("", "a[2]/b"), "a/b");
    }
}
