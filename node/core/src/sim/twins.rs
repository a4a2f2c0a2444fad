//! Every way to split four validators, one of them a pair of twins, view by view.
//!
//! After Bano, Sonnino, Chursin, Perelman, Li, Ching and Malkhi, Twins: BFT systems made robust,
//! OPODIS 2021. A case says which validator has a twin and, for each view of the first height, on
//! which of two sides each of the five machines is; proposals and prepares of a view pass within a
//! side. View changes for a view do too, unless neither side holds a quorum, in which case nobody
//! would ever get to that view: then all hear them. Commits of the first views are heard by any
//! choice of machines, whoever sends them, and those of the other views within a side. What tells
//! of decisions waits. Once the views are over everything passes again, and there must be progress.
//!
//! Primaries are not chosen case by case. Three views of the first height have three of them, as
//! those of most heights do, and whose twin it is then covers every order of leaders but for the
//! validators' names. At one height in eighteen the third view's primary is the first one's again;
//! that order is not searched.

use super::keys::Symbolic;
use super::liars::LiarKind;
use super::oracle::Violation;
use super::setup::Setup;
use super::world::World;
use crate::ballot::Step;
use crate::defect::{Broken, Defect};
use crate::message::{Message, Vote};
use crate::time::Timing;

/// Validators.
const VALIDATORS: usize = 4;
/// The twin's place among the machines.
const SECOND: usize = VALIDATORS;
/// Ways to put the validators on two sides; the second twin's side is the first one.
const SPLITS: u8 = 1 << VALIDATORS;
/// Choices of who hears commits among the validators and the second twin.
const HEARERS: u8 = 1 << (VALIDATORS + 1);
/// Length of the first view, in ms.
const VIEW_MS: u64 = 16;

/// Who has a twin, and who hears whom in each view.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Case {
    /// The validator with a twin.
    pub twin: usize,
    /// For each view: bit i says whether validator i is on the other side than the second twin.
    pub splits: Vec<u8>,
    /// For each of the first views: bit i says whether machine i hears commits, the second twin
    /// being machine 4.
    pub hears: Vec<u8>,
}

/// What became of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The view in which somebody decided while the splits lasted.
    pub decided_in: Option<u64>,
    /// Broken promises.
    pub violations: Vec<Violation>,
}

impl Case {
    /// Every case of so many views, with a choice of who hears commits in the first `choices` of
    /// them, but for cases that differ in the names of the twins only, and for choices of who hears
    /// commits in a first view that cannot have any.
    pub fn all(views: u32, choices: u32) -> impl Iterator<Item = Self> {
        let (splits, hearers) = (u64::from(SPLITS), u64::from(HEARERS));
        let of_one = splits.pow(views) * hearers.pow(choices);
        let case = move |number: u64| {
            let mut rest = number;
            let mut digit = |base: u64| {
                let digit = rest % base;
                rest /= base;
                u8::try_from(digit).expect("a small base")
            };
            Self {
                splits: (0..views).map(|_| digit(splits)).collect(),
                hears: (0..choices).map(|_| digit(hearers)).collect(),
                twin: usize::try_from(number / of_one).expect("below 4"),
            }
        };
        (0..of_one * VALIDATORS as u64)
            .map(case)
            .filter(|case| *case <= case.renamed() && !case.is_idle())
    }

    /// Whether nobody can commit in the first view, and yet somebody is kept from hearing it.
    fn is_idle(&self) -> bool {
        match (self.splits.first(), self.hears.first()) {
            (Some(split), Some(hears)) => *hears != HEARERS - 1 && !self.has_quorum(*split),
            _ => false,
        }
    }

    /// The case with the twins in each other's place.
    fn renamed(&self) -> Self {
        let swap = |split: &u8| {
            // The second twin's side is the first one by definition: if the first twin was on
            // the other side, the sides change their names.
            let bit = 1 << self.twin;
            let renamed = if split & bit == 0 {
                *split
            } else {
                !split | bit
            };
            renamed & (SPLITS - 1)
        };
        let swap_hearers = |hears: &u8| {
            let (first, second) = (hears >> self.twin & 1, hears >> SECOND & 1);
            let others = hears & !(1 << self.twin | 1 << SECOND);
            others | second << self.twin | first << SECOND
        };
        Self {
            twin: self.twin,
            splits: self.splits.iter().map(swap).collect(),
            hears: self.hears.iter().map(swap_hearers).collect(),
        }
    }

    /// Which side a machine is on.
    fn side(split: u8, machine: usize) -> bool {
        machine != SECOND && split >> machine & 1 == 1
    }

    /// Whether three validators hear each other.
    fn has_quorum(&self, split: u8) -> bool {
        let voices = |side: bool| {
            let present = |validator: &usize| {
                Self::side(split, *validator) == side || *validator == self.twin && !side
            };
            (0..VALIDATORS).filter(present).count()
        };
        voices(true) >= 3 || voices(false) >= 3
    }

    /// Whether a message passes while the splits last.
    fn passes(&self, from: usize, to: usize, message: &Message) -> bool {
        let (height, view) = match message {
            Message::PrePrepare(proposal) => (proposal.block.height(), proposal.view),
            Message::Vote(vote) => (vote.height, vote.view),
            Message::ViewChange(change) => (change.height, change.view),
            _ => return false, // what tells of decisions waits
        };
        let view = usize::try_from(view.get()).unwrap_or(usize::MAX);
        let Some(split) = self.splits.get(view).filter(|_| height.get() == 1) else {
            return false;
        };
        if let Message::Vote(Vote {
            step: Step::Commit, ..
        }) = message
            && let Some(hears) = self.hears.get(view)
        {
            return hears >> to & 1 == 1;
        }
        let together = Self::side(*split, from) == Self::side(*split, to);
        let lost = matches!(message, Message::ViewChange(_)) && !self.has_quorum(*split);
        together || lost
    }

    /// Runs the case, with a line of defence missing if one is named.
    pub fn run(&self, defect: Option<Defect>) -> Outcome {
        let mut setup = Setup::calm(VALIDATORS);
        setup.liars = vec![(self.twin, LiarKind::Twins)];
        // The second twin's clock differs, so that its proposals do.
        setup.clocks = vec![0, 0, 0, 0, 3];
        (setup.request_ms, setup.interval_ms, setup.snapshot_every) = (0, 1, 0);
        setup.wire = false;
        setup.timing = Timing {
            view_ms: VIEW_MS,
            view_max_ms: VIEW_MS << self.splits.len(),
            idle_ms: 1,
            resend_ms: 10,
            resend_max_ms: 40,
        };
        let symbolic = Symbolic::new(setup.seed);
        let mut world = World::new(setup, symbolic, Broken(defect));
        let case = self.clone();
        world.filter = Some(Box::new(move |from, to, message| {
            case.passes(from, to, message)
        }));
        // The views one after another, and some time to change from each to the next.
        world.run_until((VIEW_MS << self.splits.len()) + 8 * self.splits.len() as u64);
        let decided = world.decisions().next();
        let decided_in = decided.map(|d| d.block.certificate.view().get());
        world.filter = None;
        world.demand_progress(2, 5_000);
        Outcome {
            decided_in,
            violations: world.violations().to_vec(),
        }
    }
}
