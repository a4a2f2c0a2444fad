//! Every split of four validators and a twin for three views, and every choice of who hears the
//! first view's commits; more by `quorate simulate --twins VIEWS --commits VIEWS`.

use std::sync::atomic::{AtomicUsize, Ordering};

use quorate_pbft::defect::Defect;
use quorate_pbft::sim::Violation;
use quorate_pbft::sim::twins::{Case, Outcome};

/// Runs every case of three views, with every choice of who hears commits in the first one, on two
/// threads, until one has the wanted outcome.
fn search(defect: Option<Defect>, wanted: fn(&Outcome) -> bool) -> Vec<(Case, Outcome)> {
    let cases: Vec<_> = Case::all(3, 1).collect();
    println!("{} cases", cases.len());
    let next = AtomicUsize::new(0);
    let run = || {
        let mut found = Vec::new();
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            let outcome = case.run(defect);
            if wanted(&outcome) {
                found.push((case.clone(), outcome));
                next.store(cases.len(), Ordering::Relaxed); // one is enough
            }
        }
        found
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(run);
        let mut found = run();
        found.extend(other.join().unwrap());
        found
    })
}

fn breaks(outcome: &Outcome) -> bool {
    !outcome.violations.is_empty()
}

fn forks(outcome: &Outcome) -> bool {
    let fork = |v: &Violation| matches!(v, Violation::Fork { .. });
    outcome.violations.iter().any(fork)
}

#[test]
fn every_split_of_three_views_keeps_every_promise() {
    let broken = search(None, breaks);
    assert!(broken.is_empty(), "{:?}", broken[0]);
}

/// The splits lead somewhere: there are decisions in each of the views, and stalemates.
#[test]
fn splits_lead_to_decisions_in_every_view() {
    let (mut in_view, mut none) = ([0; 3], 0);
    // Some of the cases, to be quick.
    for case in Case::all(3, 1).step_by(97) {
        match case.run(None).decided_in {
            Some(view) => in_view[usize::try_from(view).unwrap().min(2)] += 1,
            None => none += 1,
        }
    }
    let counts = (in_view, none);
    assert!(
        in_view.iter().all(|count| *count > 20) && none > 20,
        "{counts:?}"
    );
}

/// The search is worth its time: it finds the forks that a missing line of defence allows, in cases
/// that keep every promise with the line in place.
#[test]
fn the_splits_fork_cores_that_lack_a_defence() {
    for defect in [Defect::PreparedDropped, Defect::OpeningIgnored] {
        let found = search(Some(defect), forks);
        println!("{defect:?} {:?}", found.first());
        assert!(!found.is_empty(), "{defect:?} forks nothing");
        for (case, _) in found {
            assert_eq!(case.run(None).violations, [], "{case:?}");
        }
    }
}
