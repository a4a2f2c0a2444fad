//! Starting, starting again, and coming back without a log: `docs/consensus.md#restart`.

use std::collections::BTreeMap;
use std::sync::Arc;

use quorate_verifier::primitives::{Digest, Height, Power};
use quorate_verifier::rule::QuorumRule;
use quorate_verifier::signature::Signature;

use super::pool::Pool;
use super::requests::Doubts;
use super::round::{Mode, Proposing, Round};
use super::snapshot::Snapshots;
use super::sync::{Asking, NextBuffer};
use super::watch::Watch;
use super::{Config, Core, Effect, Fault, Peer, Recipients};
use crate::app::App;
use crate::ballot::{Ballot, Choice, ReportBody, Slot, Step, Unsigned};
use crate::chain::Chain;
use crate::defect::{Build, Defect};
use crate::limits::EVIDENCE_HELD;
use crate::message::{Message, Report};
use crate::quorum::is_quorum;
use crate::record::Record;
use crate::scheme::Scheme;
use crate::snapshot::Snapshot;
use crate::time::Now;

/// What the disk remembers.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// The vote log, in the order in which it was written.
    pub records: Vec<Record>,
    /// The last slot that the signer has signed, as the signer remembers it.
    pub mark: Option<Slot>,
    /// The stored state from which the chain was taken up, to be offered to others.
    pub snapshot: Option<Arc<Snapshot>>,
    /// A fresh nonce if the whole log is gone: the replica must rejoin.
    pub rejoin: Option<u64>,
}

/// When a replica that forgot something may vote again.
#[derive(Clone, Debug, Default)]
pub(super) struct Resume {
    /// It votes only above this height.
    above: Option<Height>,
    rejoin: Option<Rejoin>,
}

/// `docs/consensus.md#rejoin`.
#[derive(Clone, Debug)]
struct Rejoin {
    nonce: u64,
    /// By key: the last report.
    reports: BTreeMap<[u8; 32], (Height, Digest)>,
}

impl Resume {
    /// The nonce to ask reports under, while rejoining.
    pub(super) fn nonce(&self) -> Option<u64> {
        self.rejoin.as_ref().map(|rejoin| rejoin.nonce)
    }
}

/// Heights above the highest report in which a forgotten vote may lie.
const FORGOTTEN_HEIGHTS: u64 = 2;

impl<S: Scheme, A: App, B: Build> Core<S, A, B> {
    /// A replica at the end of `chain`, with what its disk remembers. Answers the first effects.
    pub fn start(
        config: Config,
        scheme: S,
        build: B,
        chain: Chain<A>,
        memory: Memory,
        now: Now,
    ) -> (Self, Vec<Effect>) {
        let round = new_round(&config, &chain, &now);
        let offered = memory
            .snapshot
            .clone()
            .filter(|_| config.snapshot_every > 0);
        let mut core = Self {
            scheme,
            build,
            config,
            chain,
            round,
            closing: None,
            next: NextBuffer::default(),
            pool: Pool::default(),
            doubts: Doubts::default(),
            watch: Watch::default(),
            peers: BTreeMap::new(),
            asking: Asking::default(),
            snapshots: Snapshots::stored(offered),
            wanted_set: None,
            resume: Resume::default(),
            memory: BTreeMap::new(),
            evidence: Vec::new(),
            halted: false,
            woken_at: None,
            now,
            effects: Vec::new(),
        };
        core.remember(memory);
        core.recall();
        core.advance();
        core.set_alarm();
        let effects = std::mem::take(&mut core.effects);
        (core, effects)
    }

    fn remember(&mut self, memory: Memory) {
        let last = memory.records.iter().filter_map(Record::slot).max();
        if memory.mark > last && !self.build.lacks(Defect::MarkIgnored) {
            self.resume.above = memory.mark.map(|mark| mark.height);
        }
        // Votes above the chain's end: blocks were lost. Slots only grow, so the heights between
        // are not voted in again.
        let voted = last
            .map(|slot| slot.height)
            .filter(|voted| *voted > self.round.height);
        let below = voted
            .and_then(|voted| voted.get().checked_sub(1))
            .map(Height::new);
        self.resume.above = self.resume.above.max(below);
        if let Some(nonce) = memory
            .rejoin
            .filter(|_| !self.build.lacks(Defect::NoRejoin))
        {
            self.resume.rejoin = Some(Rejoin {
                nonce,
                reports: BTreeMap::new(),
            });
            self.send(Recipients::All, Message::Probe(nonce));
        }
        for record in memory.records {
            match record {
                Record::Evidence(proof) if self.evidence.len() < EVIDENCE_HELD => {
                    self.evidence.push(proof);
                }
                Record::Evidence(_)
                | Record::Final(_)
                | Record::Certificate(..)
                | Record::Set(_) => {}
                _ if self.build.lacks(Defect::RecordsIgnored) => {}
                _ => self.memory.entry(record.height()).or_default().push(record),
            }
        }
    }

    /// Whether this replica may vote at the height in flight.
    pub(super) fn may_vote(&self) -> bool {
        let remembers = self
            .resume
            .above
            .is_none_or(|above| self.round.height > above);
        self.round.me.is_some() && remembers && self.resume.rejoin.is_none()
    }

    pub(super) fn begin_round(&mut self) {
        self.round = new_round(&self.config, &self.chain, &self.now);
        self.recall();
        self.replay_next();
        self.confirm_reports();
    }

    /// Takes up the votes that the log has of this height, and asks for their signatures again.
    fn recall(&mut self) {
        let mut above = self.memory.split_off(&self.round.height);
        let records = above.remove(&self.round.height).unwrap_or_default();
        self.memory = above;
        for record in records {
            match record {
                Record::Block(block) => {
                    self.round.stored.insert(block.digest());
                    self.round.blocks.push(block);
                }
                Record::Vote {
                    ballot,
                    prepared,
                    opening,
                } => {
                    self.round.cast.insert(ballot.slot, ballot.choice);
                    self.round.prepared = prepared.clone().or(self.round.prepared.take());
                    if let Some(prepared) = prepared {
                        self.round
                            .proven
                            .insert((prepared.view, prepared.block), prepared);
                    }
                    if let (Step::PrePrepare, Choice::Block(block)) =
                        (ballot.slot.step, ballot.choice)
                    {
                        let block = self.round.block(&block).cloned();
                        self.round.proposing = block.map(|block| Proposing {
                            view: ballot.slot.view,
                            block,
                            opening,
                        });
                    }
                }
                Record::Final(_)
                | Record::Certificate(..)
                | Record::Evidence(_)
                | Record::Set(_) => {}
            }
        }
        self.return_to_view();
    }

    /// The view of the last vote, in which nothing but what was voted may be voted again.
    fn return_to_view(&mut self) {
        let Some((last, _)) = self.round.cast.last_key_value() else {
            return;
        };
        let (view, step) = (last.view, last.step);
        let mode = if step == Step::ViewChange {
            Mode::Changing
        } else {
            Mode::Active
        };
        let resend_ms = self.config.timing.resend_ms;
        self.round.move_to(view, mode, self.now.tick, resend_ms);
        if mode == Mode::Active {
            self.round.deadline = Some(self.now.tick.plus(self.view_length(view)));
        }
        if self
            .round
            .proposing
            .as_ref()
            .is_some_and(|p| p.view != view)
        {
            self.round.proposing = None;
        }
        let prepare = Slot {
            height: self.round.height,
            view,
            step: Step::Prepare,
        };
        if let Some(Choice::Block(block)) = self.round.cast.get(&prepare) {
            self.round.accepted = Some(*block);
        }
        // Only the present view's votes, and the last commit, can still matter to others.
        let commit = self
            .round
            .cast
            .keys()
            .rev()
            .find(|s| s.step == Step::Commit)
            .copied();
        let again: Vec<Ballot> = self
            .round
            .cast
            .iter()
            .filter(|(slot, _)| slot.view == view || Some(**slot) == commit)
            .filter(|(slot, _)| slot.step != Step::ViewChange || mode == Mode::Changing)
            .map(|(slot, choice)| Ballot {
                slot: *slot,
                choice: *choice,
            })
            .collect();
        let sign = |ballot| Effect::Sign(Unsigned::Ballot(ballot));
        self.effects.extend(again.into_iter().map(sign));
    }

    /// Another replica asks where this one is.
    pub(super) fn on_probe(&mut self, from: Peer, nonce: u64) {
        let tip = self.chain.tip();
        let body = ReportBody {
            nonce,
            height: tip.header.height,
            header: tip.digest,
        };
        if self.round.me.is_some() && self.resume.rejoin.is_none() && self.may_answer(from) {
            self.peers.entry(from).or_default().probe = Some(nonce);
            self.effects.push(Effect::Sign(Unsigned::Report(body)));
        }
    }

    pub(super) fn on_signed_report(&mut self, body: ReportBody, signature: Signature) {
        let Some(signer) = self.round.me else { return };
        let report = Message::Report(Report {
            body,
            signer,
            signature,
        });
        let asked = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.probe == Some(body.nonce));
        let asked: Vec<_> = asked.map(|(name, _)| *name).collect();
        for peer in asked {
            self.send(Recipients::One(peer), report.clone());
        }
    }

    pub(super) fn on_report(&mut self, from: Peer, report: Report) {
        let height = report.body.height;
        if self.resume.nonce() != Some(report.body.nonce) || height >= self.round.height {
            return; // for another replica, or to be asked again once the chain is here
        }
        let Some(member) = self.round.member(report.signer) else {
            return;
        };
        let bytes = report.body.signed_bytes(&self.signing_context());
        let key = member.key.clone();
        if !self.scheme.verify(&key, &bytes, &report.signature) {
            // The place may be one in an earlier set.
            if height.next() == Some(self.round.height) {
                self.blame(from, Fault::Signature);
            }
            return;
        }
        if let Some(rejoin) = &mut self.resume.rejoin {
            rejoin
                .reports
                .insert(*key.as_bytes(), (height, report.body.header));
        }
        self.confirm_reports();
    }

    /// Votes again once a quorum of the others has reported heights that the own chain confirms.
    fn confirm_reports(&mut self) {
        let Some(rejoin) = &self.resume.rejoin else {
            return;
        };
        let (mut signed, mut highest) = (Power::ZERO, Height::GENESIS);
        for (place, member) in (0u16..).zip(self.round.set.validators()) {
            let Some((height, header)) = rejoin.reports.get(member.key.as_bytes()) else {
                continue;
            };
            let confirmed = self
                .chain
                .recent(*height)
                .is_some_and(|(own, _)| own == *header);
            if confirmed && self.round.me != Some(place) {
                signed = signed.checked_add(member.power).unwrap_or(signed);
                highest = highest.max(*height);
            }
        }
        if is_quorum(
            &self.build,
            QuorumRule::COMMIT,
            signed,
            self.round.set.total(),
        ) {
            let above = Height::new(highest.get().saturating_add(FORGOTTEN_HEIGHTS));
            self.resume.above = self.resume.above.max(Some(above));
            self.resume.rejoin = None;
        }
    }
}

fn new_round<A: App>(config: &Config, chain: &Chain<A>, now: &Now) -> Round {
    let tip = chain.tip();
    Round::new(
        chain.next_height(),
        tip.set.clone(),
        tip.parameters.rule,
        config.key.as_ref(),
        now.tick,
        config.timing.resend_ms,
    )
}
