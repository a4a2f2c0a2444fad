//! Sums of distinct members' power: `docs/consensus.md#model`.

use std::collections::BTreeMap;

use quorate_verifier::primitives::{Digest, Power};
use quorate_verifier::rule::QuorumRule;
use quorate_verifier::set::ValidatorSet;
use quorate_verifier::signature::Signature;

use crate::defect::{Build, Defect};

/// Whether `signed` is a quorum of a set with this total.
pub(crate) fn is_quorum(build: &impl Build, rule: QuorumRule, signed: Power, total: Power) -> bool {
    if build.lacks(Defect::TwoThirdsEnough) {
        return 3 * u128::from(signed.get()) >= 2 * u128::from(total.get());
    }
    rule.holds(signed, total)
}

/// Whether `signed` is more than a third, so that a correct validator is among the signers.
pub(crate) fn is_blocking(signed: Power, total: Power) -> bool {
    QuorumRule::OVERLAP.holds(signed, total)
}

/// Power of a list of signers; `None` unless they are members and strictly increase.
pub(crate) fn power_of(
    build: &impl Build,
    set: &ValidatorSet,
    signers: impl Iterator<Item = u16>,
) -> Option<Power> {
    let (mut sum, mut last) = (Power::ZERO, None);
    for signer in signers {
        let repeated = last.is_some_and(|last| last >= signer);
        if repeated && !build.lacks(Defect::DuplicateCounted) {
            return None;
        }
        last = Some(signer);
        sum = sum.checked_add(set.get(signer)?.power)?;
    }
    Some(sum)
}

/// Signatures of one message by members of a set, each counted once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    votes: BTreeMap<u16, Signature>,
    power: u64,
}

impl Tally {
    /// Counts a checked vote, unless this signer was counted before.
    pub(crate) fn add(&mut self, build: &impl Build, signer: u16, power: Power, vote: Signature) {
        let counted = self.votes.insert(signer, vote).is_some();
        if counted && !build.lacks(Defect::DuplicateCounted) {
            return;
        }
        self.power += power.get();
    }

    pub(crate) fn has(&self, signer: u16) -> bool {
        self.votes.contains_key(&signer)
    }

    pub(crate) fn get(&self, signer: u16) -> Option<&Signature> {
        self.votes.get(&signer)
    }

    /// Power of the signers, at most the set's total.
    pub(crate) fn power(&self) -> Power {
        Power::new(self.power).unwrap_or(Power::ZERO)
    }

    /// The signatures, by increasing signer.
    pub(crate) fn votes(&self) -> impl Iterator<Item = (u16, Signature)> + '_ {
        self.votes.iter().map(|(signer, vote)| (*signer, *vote))
    }
}

/// Votes of one step and view: one block per signer.
#[derive(Clone, Debug, Default)]
pub(crate) struct OneEach {
    choices: BTreeMap<u16, Digest>,
    tallies: BTreeMap<Digest, Tally>,
}

impl OneEach {
    /// What this signer voted for, and its signature.
    pub(crate) fn choice(&self, signer: u16) -> Option<(Digest, Signature)> {
        let block = self.choices.get(&signer)?;
        Some((*block, *self.tallies.get(block)?.get(signer)?))
    }

    /// Counts a checked vote of a signer that has made no other choice.
    pub(crate) fn add(
        &mut self,
        build: &impl Build,
        signer: u16,
        power: Power,
        block: Digest,
        vote: Signature,
    ) {
        self.choices.entry(signer).or_insert(block);
        self.tallies
            .entry(block)
            .or_default()
            .add(build, signer, power, vote);
    }

    pub(crate) fn tally(&self, block: &Digest) -> Option<&Tally> {
        self.tallies.get(block)
    }
}
