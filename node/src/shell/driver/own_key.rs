//! Signs that the own keys are in use elsewhere, or that the disk is an old copy.

use quorate_pbft::Peer;
use quorate_pbft::app::App;
use quorate_pbft::ballot::{Slot, Step};
use quorate_pbft::block::FinalBlock;
use quorate_pbft::log::Storage;
use quorate_pbft::message::Message;
use quorate_pbft::scheme::{Ed25519, Scheme};
use quorate_verifier::certificate::CommitCertificate;
use quorate_verifier::encoding::Canonical;
use tracing::warn;

use super::{Driver, Stop};
use crate::shell::signer::Past;

impl<A: App, D: Storage> Driver<A, D> {
    /// What the shell itself learns from a message, before the core sees it.
    pub(super) fn look_at(&mut self, from: Peer, message: &Message) -> Result<(), Stop> {
        match message {
            Message::Status(height, _) => self.hold.note(from, *height),
            Message::Vote(vote) => {
                let set = &self.core.chain().tip().set;
                let Some(member) = set.get(vote.signer) else {
                    return Ok(());
                };
                let machine = self.links.parties().machine(from);
                if machine.is_some_and(|m| m.consensus_key == member.key)
                    && let Some(outbox) = self.links.outbox(from)
                {
                    outbox.remember_vote(message.to_bytes().into());
                }
                let slot = vote.ballot().slot;
                if self.never_signed(slot) && member.key == *self.signer.key() {
                    let bytes = vote.ballot().signed_bytes(&self.chain);
                    if Ed25519.verify(&member.key, &bytes, &vote.signature) {
                        return Err(self.key_elsewhere(slot));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// A certificate with the own vote in a slot above everything that was ever signed here.
    pub(super) fn check_own_vote(&self, block: &FinalBlock) -> Result<(), Stop> {
        let set = &self.core.chain().tip().set;
        // The tip has moved on to the next height: its header names the set that signed.
        let set = self
            .core
            .chain()
            .set(&block.block.header().validators)
            .unwrap_or(set);
        let slot = Slot {
            height: block.block.height(),
            view: block.certificate.view(),
            step: Step::Commit,
        };
        let mine = set.index_of(self.signer.key());
        let voted = mine.is_some_and(|me| has_vote(&block.certificate, me));
        if voted && self.never_signed(slot) {
            return Err(self.key_elsewhere(slot));
        }
        Ok(())
    }

    /// Whether this disk is sure that no vote in this slot was signed with it. A node that rejoins
    /// is not: it knows that it has forgotten something.
    pub(super) fn never_signed(&self, slot: Slot) -> bool {
        match self.signer.mark() {
            Some(mark) => mark < slot,
            None => self.signer.past() == Past::Fresh,
        }
    }

    /// One liar stops nobody: it takes more than a third of the power to say so.
    pub(super) fn note_second_machine(&mut self, told_by: Peer) -> Result<(), Stop> {
        warn!(
            peer = %self.links.name(told_by),
            "the peer says that another machine has connected with this machine's network key"
        );
        self.told_by.insert(told_by);
        let (set, parties) = (&self.core.chain().tip().set, self.links.parties());
        let power = |peer: &Peer| {
            let machine = parties.machine(*peer)?;
            let member = set.get(set.index_of(&machine.consensus_key)?)?;
            Some(u128::from(member.power.get()))
        };
        let told: u128 = self.told_by.iter().filter_map(power).sum();
        if told * 3 <= u128::from(set.total().get()) {
            return Ok(());
        }
        let names: Vec<_> = self.told_by.iter().map(|p| self.links.name(*p)).collect();
        let own = parties.machine(parties.own()).ok_or_else(|| {
            Stop::Start("this machine is not among the machines that it knows".into())
        })?;
        Err(Stop::SecondMachine {
            name: own.name.to_string(),
            key: self.key_hex(),
            network_key: own.network_key,
            told_by: names.join(", "),
        })
    }

    pub(super) fn key_hex(&self) -> String {
        hex::encode(self.signer.key().as_bytes())
    }

    pub(super) fn key_elsewhere(&self, slot: Slot) -> Stop {
        let key = self.key_hex();
        Stop::KeyElsewhere { key, slot }
    }
}

fn has_vote(certificate: &CommitCertificate, signer: u16) -> bool {
    certificate.votes().iter().any(|vote| vote.index == signer)
}
