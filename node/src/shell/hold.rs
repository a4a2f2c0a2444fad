//! No vote leaves right after a start. First the node hears from a quorum where they are, and gets
//! the blocks that they have: if its disk is an old copy, it sees votes of its own in them, or is
//! told of them, before it can contradict one.
//!
//! That costs nothing: without a quorum within reach no vote is of any use.

use std::collections::BTreeMap;

use quorate_pbft::Peer;
use quorate_pbft::ballot::Ballot;
use quorate_verifier::primitives::{Height, Power};
use quorate_verifier::rule::QuorumRule;
use quorate_verifier::set::ValidatorSet;

use super::driver::is_timely;
use super::parties::Parties;

/// Votes that wait for the end of the start.
#[derive(Debug)]
pub struct Hold {
    /// Power of each machine that is in the set.
    powers: BTreeMap<Peer, Power>,
    own: Power,
    total: Power,
    heights: BTreeMap<Peer, Height>,
    held: Vec<Ballot>,
    over: bool,
}

impl Hold {
    /// For a node that starts with this set in force.
    pub fn new(set: &ValidatorSet, parties: &Parties) -> Self {
        let power = |peer: Peer| {
            let machine = parties.machine(peer)?;
            let member = set.index_of(&machine.consensus_key)?;
            set.get(member).map(|member| member.power)
        };
        let powers = parties
            .others()
            .filter_map(|(peer, _)| Some((peer, power(peer)?)));
        Self {
            powers: powers.collect(),
            own: power(parties.own()).unwrap_or(Power::ZERO),
            total: set.total(),
            heights: BTreeMap::new(),
            held: Vec::new(),
            over: false,
        }
    }

    /// A peer works on this height.
    pub fn note(&mut self, peer: Peer, height: Height) {
        if !self.over && self.powers.contains_key(&peer) {
            self.heights.insert(peer, height);
        }
    }

    /// Whether votes still wait.
    pub fn is_held(&self) -> bool {
        !self.over
    }

    /// Keeps votes back while the start lasts; answers those that may go.
    pub fn keep(&mut self, ballots: Vec<Ballot>) -> Vec<Ballot> {
        if self.over {
            return ballots;
        }
        self.held.extend(ballots);
        Vec::new()
    }

    /// The votes of this height and later that waited, once the start is over.
    pub fn release(&mut self, height: Height) -> Vec<Ballot> {
        if !self.over && self.heard() && self.agreed() <= height {
            self.over = true;
        }
        if !self.over {
            return Vec::new();
        }
        let mut held = std::mem::take(&mut self.held);
        held.retain(|ballot| is_timely(ballot, height));
        held
    }

    /// Whether a quorum, this node counted, has said where it is.
    fn heard(&self) -> bool {
        let heard = self.power_of(|_| true).checked_add(self.own);
        heard.is_some_and(|heard| QuorumRule::COMMIT.holds(heard, self.total))
    }

    /// The highest height that more than a third of the power works on: one of them is correct.
    fn agreed(&self) -> Height {
        let third = |height: Height| {
            let power = self.power_of(|h| h >= height);
            u128::from(power.get()) * 3 > u128::from(self.total.get())
        };
        let claimed = self.heights.values().copied();
        claimed
            .filter(|height| third(*height))
            .max()
            .unwrap_or(Height::GENESIS)
    }

    fn power_of(&self, counts: impl Fn(Height) -> bool) -> Power {
        let heard = self.heights.iter().filter(|(_, height)| counts(**height));
        let powers = heard.filter_map(|(peer, _)| self.powers.get(peer));
        powers.fold(Power::ZERO, |sum, power| {
            sum.checked_add(*power).unwrap_or(sum)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate_pbft::ballot::Step;
    use quorate_verifier::primitives::{Digest, View};

    fn hold(powers: &[u64]) -> Hold {
        let power = |p: u64| Power::new(p).expect("small");
        let others = powers[1..].iter().zip(1u16..);
        Hold {
            powers: others.map(|(p, peer)| (Peer(peer), power(*p))).collect(),
            own: power(powers[0]),
            total: power(powers.iter().sum()),
            heights: BTreeMap::new(),
            held: Vec::new(),
            over: false,
        }
    }

    fn vote(height: u64) -> Ballot {
        Ballot::block(
            Step::Prepare,
            Height::new(height),
            View::FIRST,
            Digest::ZERO,
        )
    }

    #[test]
    fn votes_wait_for_a_quorum() {
        let mut hold = hold(&[1, 1, 1, 1]);
        assert!(hold.keep(vec![vote(5)]).is_empty());
        hold.note(Peer(1), Height::new(5));
        hold.note(Peer(9), Height::new(5)); // no member
        assert!(hold.release(Height::new(5)).is_empty());
        hold.note(Peer(2), Height::new(5));
        assert_eq!(hold.release(Height::new(5)), [vote(5)]);
        assert_eq!(hold.keep(vec![vote(6)]), [vote(6)], "and never again");
    }

    #[test]
    fn votes_wait_for_the_blocks_that_a_correct_one_has() {
        let mut hold = hold(&[1, 1, 1, 1]);
        hold.keep(vec![vote(5)]);
        hold.note(Peer(1), Height::new(9));
        hold.note(Peer(2), Height::new(9));
        assert!(hold.release(Height::new(5)).is_empty());
        assert!(hold.release(Height::new(8)).is_empty());
        assert!(
            hold.release(Height::new(9)).is_empty(),
            "an old vote is of no use"
        );
        assert!(!hold.is_held());
    }

    #[test]
    fn one_liar_cannot_hold_anybody_for_ever() {
        let mut hold = hold(&[1, 1, 1, 1]);
        hold.keep(vec![vote(5)]);
        hold.note(Peer(1), Height::new(u64::MAX));
        hold.note(Peer(2), Height::new(5));
        assert_eq!(hold.release(Height::new(5)), [vote(5)]);
    }

    #[test]
    fn a_lone_validator_is_its_own_quorum() {
        let mut hold = hold(&[3]);
        hold.keep(vec![vote(1)]);
        assert_eq!(hold.release(Height::new(1)), [vote(1)]);
    }
}
