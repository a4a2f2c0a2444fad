//! The scenarios that a BFT node must survive, each with its own oracle, and each failing when
//! the one line that defends against it is removed.

mod certificates;
mod changes;
mod clients;
mod crashes;
mod faulty_third;
mod liveness;
mod snapshots;
mod sync;
mod views;

use quorate_pbft::ballot::{Ballot, Choice, PreparedClaim, Step};
use quorate_pbft::defect::{Broken, Defect};
use quorate_pbft::message::{Claim, Message, ViewChange, Vote};
use quorate_pbft::sim::keys::{Crypto, KeyId, Symbolic};
use quorate_pbft::sim::{Setup, Workload, World};
use quorate_verifier::primitives::{Digest, Height, View};
use std::sync::Arc;

/// A scenario's world.
pub(crate) type Sim = World<Symbolic, Broken>;

/// A scenario's verdict.
pub(crate) type Verdict = Result<(), String>;

/// A world by hand.
pub(crate) fn world(setup: Setup, build: Broken) -> Sim {
    let symbolic = Symbolic::new(setup.seed);
    World::new(setup, symbolic, build)
}

/// A world of another application, by hand.
pub(crate) fn world_of<W: Workload>(
    setup: Setup,
    build: Broken,
    workload: W,
) -> World<Symbolic, Broken, W> {
    let symbolic = Symbolic::new(setup.seed);
    World::of(setup, symbolic, build, workload)
}

/// The scenario passes with every defence in place, and fails without this one.
#[track_caller]
pub(crate) fn defended_by(defect: Defect, scenario: impl Fn(Broken) -> Verdict) {
    if let Err(why) = scenario(Broken(None)) {
        panic!("with every defence in place: {why}");
    }
    let broken = std::panic::AssertUnwindSafe(|| scenario(Broken(Some(defect))));
    match std::panic::catch_unwind(broken) {
        Ok(Ok(())) => panic!("nothing is noticed without {defect:?}"),
        Ok(Err(why)) => println!("without {defect:?}: {why}"),
        Err(_) => println!("without {defect:?}: an invariant breaks"),
    }
}

/// No promise was broken.
pub(crate) fn good<W: Workload>(world: &World<Symbolic, Broken, W>) -> Verdict {
    match world.violations() {
        [] => Ok(()),
        violations => Err(format!("{violations:?}")),
    }
}

/// Something that a scenario expects.
pub(crate) fn expect(holds: bool, what: impl std::fmt::Display) -> Verdict {
    if holds { Ok(()) } else { Err(what.to_string()) }
}

/// A vote of a key that a test plays.
pub(crate) fn vote(
    world: &Sim,
    key: usize,
    step: Step,
    height: u64,
    view: u64,
    block: Digest,
) -> Message {
    let (height, view) = (Height::new(height), View::new(view));
    let ballot = Ballot::block(step, height, view, block);
    let signature = world
        .crypto()
        .sign(KeyId(key), &ballot.signed_bytes(&chain(world)));
    let signer = u16::try_from(key).unwrap();
    Message::Vote(Vote {
        step,
        height,
        view,
        block,
        signer,
        signature,
    })
}

/// A view change of a key that a test plays, without a proof.
pub(crate) fn view_change(
    world: &Sim,
    key: usize,
    height: u64,
    view: u64,
    prepared: PreparedClaim,
) -> Message {
    let (height, view) = (Height::new(height), View::new(view));
    let ballot = Ballot {
        choice: Choice::Claim(prepared),
        ..Ballot::claim(height, view, None)
    };
    let signature = world
        .crypto()
        .sign(KeyId(key), &ballot.signed_bytes(&chain(world)));
    let claim = Claim {
        prepared,
        signer: u16::try_from(key).unwrap(),
        signature,
    };
    Message::ViewChange(Arc::new(ViewChange {
        height,
        view,
        claim,
        proof: None,
    }))
}

/// The digest under which votes on this chain are signed.
pub(crate) fn chain(world: &Sim) -> Digest {
    world.signing_context()
}

/// The primary of a height and view in a world whose set does not change.
pub(crate) fn primary(world: &Sim, height: u64, view: u64) -> usize {
    let set = quorate_pbft::sim::keys::set_of(&world.setup().powers);
    usize::from(quorate_pbft::schedule::primary(
        &set,
        Height::new(height),
        View::new(view),
    ))
}
