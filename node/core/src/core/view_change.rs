//! View change: time out, join, new view.

use std::cmp::Ordering;
use std::sync::Arc;

use quorate_verifier::primitives::{Power, View};
use quorate_verifier::signature::Signature;

use super::round::Mode;
use super::{Core, Fault, Peer};
use crate::app::App;
use crate::ballot::{Ballot, Choice, Step};
use crate::defect::{Build, Defect};
use crate::evidence::DoubleVote;
use crate::message::{Claim, Message, Opening, PrePrepare, Prepared, ViewChange};
use crate::quorum::{is_blocking, is_quorum, power_of};
use crate::record::Record;
use crate::scheme::Scheme;
use crate::time::Tick;

impl<S: Scheme, A: App, B: Build> Core<S, A, B> {
    /// Length of a view, in ms; that of view 0 depends on its primary: `docs/consensus.md#timeout`,
    /// `#slow-primaries`.
    pub(super) fn view_length(&self, view: View) -> u64 {
        let timing = &self.config.timing;
        if self.build.lacks(Defect::NoBackoff) {
            return timing.view_ms;
        }
        if view == View::FIRST
            && !self.build.lacks(Defect::NoWatch)
            && let Some(primary) = self.round.set.get(self.primary(view))
        {
            return self.watch.patience(&primary.key, timing);
        }
        timing.view_length(view.get())
    }

    /// When the present view ends, if it has begun and this replica votes in it.
    pub(super) fn deadline(&self) -> Option<Tick> {
        if !self.may_vote() || self.round.timeless {
            return None;
        }
        if self.round.view > View::FIRST || self.round.mode == Mode::Changing {
            return self.round.deadline;
        }
        let due = self.due();
        let start = self
            .round
            .proposed
            .map_or(due, |proposed| proposed.min(due));
        Some(start.plus(self.view_length(View::FIRST)))
    }

    /// `docs/consensus.md#timeout`.
    pub(super) fn try_time_out(&mut self) -> bool {
        self.start_timer();
        if self.build.lacks(Defect::NoTimeout) {
            return false;
        }
        let over = self
            .deadline()
            .is_some_and(|deadline| self.now.tick >= deadline);
        let Some(next) = self.round.view.next().filter(|_| over) else {
            return false;
        };
        self.change_view(next);
        true
    }

    /// The timer of a view that was asked for starts when a quorum has asked for it or a later one.
    fn start_timer(&mut self) {
        if self.round.mode != Mode::Changing || self.round.deadline.is_some() {
            return;
        }
        let asked = self.power_of_changes(|view| view >= self.round.view);
        let together = is_quorum(&self.build, self.round.rule, asked, self.round.set.total());
        if together || self.build.lacks(Defect::RunsAhead) {
            let length = self.view_length(self.round.view);
            self.round.deadline = Some(self.now.tick.plus(length));
        }
    }

    fn power_of_changes(&self, counts: impl Fn(View) -> bool) -> Power {
        let asking = self
            .round
            .changes
            .values()
            .filter(|change| counts(change.view));
        asking
            .filter_map(|change| Some(self.round.member(change.claim.signer)?.power))
            .fold(Power::ZERO, |sum, power| {
                sum.checked_add(power).unwrap_or(sum)
            })
    }

    /// `docs/consensus.md#join`.
    pub(super) fn try_join(&mut self) -> bool {
        if self.build.lacks(Defect::NoJoin) || !self.may_vote() {
            return false;
        }
        let own = self.round.view;
        let mut above: Vec<_> = self
            .round
            .changes
            .values()
            .map(|change| change.view)
            .filter(|v| *v > own)
            .collect();
        above.sort_unstable();
        let total = self.round.set.total();
        let reached = above
            .into_iter()
            .rev()
            .find(|view| is_blocking(self.power_of_changes(|asked| asked >= *view), total));
        let Some(view) = reached else { return false };
        self.change_view(view);
        true
    }

    /// Leaves the present view and asks for a higher one.
    fn change_view(&mut self, view: View) {
        let left = self.round.accepted.map(|block| (self.round.view, block));
        self.round.left = left.or(self.round.left);
        let resend_ms = self.config.timing.resend_ms;
        self.round
            .move_to(view, Mode::Changing, self.now.tick, resend_ms);
        let prepared = self.round.prepared.as_ref().map(|p| (p.view, p.block));
        let claim = prepared.filter(|_| !self.build.lacks(Defect::PreparedDropped));
        let ballot = Ballot::claim(self.round.height, view, claim);
        self.cast(
            ballot,
            Record::Vote {
                ballot,
                prepared: None,
                opening: None,
            },
        );
    }

    pub(super) fn signed_view_change(
        &mut self,
        ballot: Ballot,
        me: u16,
        signature: Signature,
    ) -> Option<Message> {
        let Choice::Claim(prepared) = ballot.choice else {
            return None;
        };
        let proof = match prepared {
            // The certificate of that very claim: the replica may have prepared more since.
            Some(key) => Some(self.round.proven.get(&key)?.clone()),
            None => None,
        };
        let claim = Claim {
            prepared,
            signer: me,
            signature,
        };
        let (height, view) = (ballot.slot.height, ballot.slot.view);
        let change = Arc::new(ViewChange {
            height,
            view,
            claim,
            proof,
        });
        self.keep_change(change.clone());
        Some(Message::ViewChange(change))
    }

    /// Keeps the highest view change of each validator.
    fn keep_change(&mut self, change: Arc<ViewChange>) {
        let higher = self.round.changes.get(&change.claim.signer);
        if higher.is_none_or(|kept| kept.view < change.view) {
            self.round.changes.insert(change.claim.signer, change);
        }
    }

    /// A view change with an invalid proof is dropped alone.
    pub(super) fn on_view_change(&mut self, from: Peer, change: Arc<ViewChange>) {
        match change.height.cmp(&self.round.height) {
            Ordering::Less => return self.serve(from, change.height),
            Ordering::Greater => return self.keep_for_next(from, Message::ViewChange(change)),
            Ordering::Equal => {}
        }
        let Claim {
            signer,
            signature,
            prepared,
        } = change.claim;
        if change.view < self.round.view || change.view == View::FIRST {
            return; // asks for a view that was reached before
        }
        if let Some(kept) = self.round.changes.get(&signer).cloned() {
            if kept.view == change.view && kept.claim.prepared != prepared {
                if !self.is_accused(signer, change.ballot().slot) {
                    self.second_view_change(from, &kept, &change);
                }
                return;
            }
            if kept.view >= change.view {
                return;
            }
        }
        if let Err(fault) = self.verify(signer, &change.ballot(), &signature) {
            return self.blame(from, fault);
        }
        if self.is_own_elsewhere(signer, &change.ballot()) {
            return;
        }
        if !self.is_shown(&change) {
            if self.build.lacks(Defect::InvalidSpoils) {
                self.round.spoiled = true;
            }
            return self.blame(from, Fault::Claim);
        }
        self.keep_change(change);
    }

    fn second_view_change(&mut self, from: Peer, first: &ViewChange, second: &ViewChange) {
        let signer = second.claim.signer;
        if let Err(fault) = self.verify(signer, &second.ballot(), &second.claim.signature) {
            return self.blame(from, fault);
        }
        let Some(member) = self.round.member(signer) else {
            return;
        };
        let proof = DoubleVote {
            key: member.key.clone(),
            slot: first.ballot().slot,
            first: (first.ballot().choice, first.claim.signature),
            second: (second.ballot().choice, second.claim.signature),
            headers: None,
        };
        self.accuse(proof);
    }

    /// Whether a view change's proof shows its claim.
    fn is_shown(&mut self, change: &ViewChange) -> bool {
        match (change.claim.prepared, &change.proof) {
            (None, None) => true,
            (Some((view, block)), Some(proof)) => {
                let fits = (proof.view, proof.block) == (view, block) && view < change.view;
                fits && self.is_proven(proof)
            }
            _ => false,
        }
    }

    /// Whether a quorum has prepared this block in this view. What was shown once stays shown.
    fn is_proven(&mut self, proof: &Arc<Prepared>) -> bool {
        let key = (proof.view, proof.block);
        if self.round.proven.contains_key(&key) || self.build.lacks(Defect::ClaimUnproved) {
            return true;
        }
        let (set, build) = (self.round.set.clone(), &self.build);
        let signers = proof.votes.iter().map(|v| v.0);
        let Some(signed) = power_of(build, &set, signers) else {
            return false;
        };
        if !is_quorum(build, self.round.rule, signed, set.total()) {
            return false;
        }
        let ballot = Ballot::block(Step::Prepare, self.round.height, proof.view, proof.block);
        let bytes = ballot.signed_bytes(&self.signing_context());
        let items: Vec<_> = proof
            .votes
            .iter()
            .filter_map(|(signer, vote)| Some((&set.get(*signer)?.key, bytes.as_slice(), vote)))
            .collect();
        let holds = self.build.lacks(Defect::VotesUnchecked) || self.scheme.verify_all(&items);
        if holds {
            self.round.proven.insert(key, proof.clone());
        }
        holds
    }

    /// What opens the present view, once a quorum has asked for it: `docs/consensus.md#new-view`.
    pub(super) fn opening(&self) -> Option<Opening> {
        let round = &self.round;
        if round.mode != Mode::Changing {
            return None;
        }
        let asked = self.power_of_changes(|view| view == round.view);
        if !is_quorum(&self.build, round.rule, asked, round.set.total()) {
            return None;
        }
        let claims: Vec<_> = round
            .changes
            .values()
            .filter(|c| c.view == round.view)
            .map(|c| c.claim)
            .collect();
        if round.spoiled {
            return Some(Opening {
                claims,
                proof: None,
            });
        }
        let highest = claims
            .iter()
            .filter_map(|claim| claim.prepared)
            .max_by_key(|(v, _)| *v);
        // Every claim was shown when it came, so its proof is at hand.
        let proof = highest.and_then(|key| {
            let shown = round.proven.get(&key).cloned();
            shown.or_else(|| {
                let changes = round.changes.values().filter_map(|c| c.proof.clone());
                changes
                    .into_iter()
                    .find(|proof| (proof.view, proof.block) == key)
            })
        });
        (highest.is_none() || proof.is_some()).then_some(Opening { claims, proof })
    }

    /// Whether the claims justify the new view's block: `docs/consensus.md#new-view`.
    pub(super) fn check_opening(&mut self, message: &PrePrepare) -> Result<(), Fault> {
        let opening = message.opening.as_ref().ok_or(Fault::Opening)?;
        let (height, view) = (self.round.height, message.view);
        let signers = opening.claims.iter().map(|c| c.signer);
        let signed = power_of(&self.build, &self.round.set, signers).ok_or(Fault::Opening)?;
        if !is_quorum(&self.build, self.round.rule, signed, self.round.set.total()) {
            return Err(Fault::Opening);
        }
        for claim in &opening.claims {
            let known = self.round.changes.get(&claim.signer);
            if known.is_some_and(|c| c.view == view && c.claim == *claim) {
                continue; // checked when it came
            }
            let ballot = Ballot::claim(height, view, claim.prepared);
            self.verify(claim.signer, &ballot, &claim.signature)?;
        }
        if self.build.lacks(Defect::OpeningIgnored) {
            return Ok(());
        }
        let highest = opening
            .claims
            .iter()
            .filter_map(|c| c.prepared.map(|p| p.0))
            .max();
        match (highest, &opening.proof) {
            (None, None) => Ok(()),
            (Some(highest), Some(proof)) => {
                let claimed = |c: &Claim| c.prepared == Some((proof.view, proof.block));
                let fits = proof.view == highest
                    && highest < view
                    && proof.block == message.block.digest()
                    && opening.claims.iter().any(claimed);
                if fits && self.is_proven(proof) {
                    Ok(())
                } else {
                    Err(Fault::Opening)
                }
            }
            _ => Err(Fault::Opening),
        }
    }
}
