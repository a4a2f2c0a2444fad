//! Named liars: each stands between an honest core and the network of a corrupt node.

mod bad_peer;
mod censor;
mod certificate_forger;
mod deviator;
mod equivocator;
mod garbage;
mod silent;
mod slow_primary;
mod snapshot_forger;
mod stale_replier;
mod time_pusher;
mod twins;
mod view_change_forger;

use std::sync::Arc;

use quorate_verifier::primitives::{Digest, Height, TimeMs, View};
use quorate_verifier::set::ValidatorSet;
use quorate_verifier::signature::Signature;

use super::keys::{Crypto, KeyId};
use super::rng::Rng;
use crate::app::App;
use crate::ballot::{Ballot, Step};
use crate::block::Block;
use crate::chain::Chain;
use crate::message::{Claim, Message, PrePrepare, ViewChange, Vote};
use crate::request::Payload;
use crate::time::Now;

/// The kinds of liar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LiarKind {
    /// Two honest cores with one key.
    Twins,
    /// Proposes and votes for different blocks to different nodes.
    Equivocator,
    /// Says again what was said long ago, by anyone, with new labels.
    StaleReplier,
    /// Says nothing, or nothing to some.
    Silent,
    /// Proposes just before its time is up.
    SlowPrimary,
    /// Proposes headers of the future and of the past.
    TimePusher,
    /// Shows certificates with too few, repeated and invented signatures.
    CertificateForger,
    /// Claims what it has not prepared, hides what it has, opens views with blocks of its choice.
    ViewChangeForger,
    /// Serves gaps, old blocks and forgeries, or promises and never serves.
    BadPeer,
    /// Offers states that nobody has certified, and garbles those that somebody has.
    SnapshotForger,
    /// Leaves one client's requests out.
    Censor,
    /// Floods with well-formed nonsense.
    Garbage,
    /// Deviates in one step and in one way only.
    Deviator(Step, Deviation),
}

/// What is wrong with a deviator's messages of its step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Deviation {
    /// They are not sent.
    Omits,
    /// Half of the listeners get another choice.
    Equivocates,
    /// Their signatures do not hold.
    Garbles,
    /// They repeat what was said before: an old vote, a request that was executed.
    Repeats,
    /// They are labelled with the next view.
    Misplaces,
}

impl Deviation {
    /// Every deviation.
    pub const ALL: [Self; 5] = [
        Self::Omits,
        Self::Equivocates,
        Self::Garbles,
        Self::Repeats,
        Self::Misplaces,
    ];
}

impl LiarKind {
    /// Every kind that a seed may choose.
    pub const ALL: [Self; 12] = [
        Self::Twins,
        Self::Equivocator,
        Self::StaleReplier,
        Self::Silent,
        Self::SlowPrimary,
        Self::TimePusher,
        Self::CertificateForger,
        Self::ViewChangeForger,
        Self::BadPeer,
        Self::SnapshotForger,
        Self::Censor,
        Self::Garbage,
    ];

    /// As the command line spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Twins => "twins",
            Self::Equivocator => "equivocator",
            Self::StaleReplier => "stale-replier",
            Self::Silent => "silent",
            Self::SlowPrimary => "slow-primary",
            Self::TimePusher => "time-pusher",
            Self::CertificateForger => "certificate-forger",
            Self::ViewChangeForger => "view-change-forger",
            Self::BadPeer => "bad-peer",
            Self::SnapshotForger => "snapshot-forger",
            Self::Censor => "censor",
            Self::Garbage => "garbage",
            Self::Deviator(..) => "deviator",
        }
    }

    /// The kind with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    pub(crate) fn make<C: Crypto, A: App>(self) -> Box<dyn Liar<C, A>> {
        match self {
            Self::Twins => Box::new(twins::Twin),
            Self::Equivocator => Box::new(equivocator::Equivocator::default()),
            Self::StaleReplier => Box::new(stale_replier::StaleReplier::default()),
            Self::Silent => Box::new(silent::Silent),
            Self::SlowPrimary => Box::new(slow_primary::SlowPrimary),
            Self::TimePusher => Box::new(time_pusher::TimePusher),
            Self::CertificateForger => Box::new(certificate_forger::CertificateForger::default()),
            Self::ViewChangeForger => Box::new(view_change_forger::ViewChangeForger::default()),
            Self::BadPeer => Box::new(bad_peer::BadPeer::default()),
            Self::SnapshotForger => Box::new(snapshot_forger::SnapshotForger::default()),
            Self::Censor => Box::new(censor::Censor),
            Self::Garbage => Box::new(garbage::Garbage),
            Self::Deviator(step, how) => Box::new(deviator::Deviator::new(step, how)),
        }
    }
}

/// Something that a corrupt node says.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    pub(crate) to: usize,
    pub(crate) message: Message,
    /// Whether a correct node would not have said it.
    pub(crate) lie: bool,
    /// Held back for so long, in ms.
    pub(crate) delay_ms: u64,
    /// Not sent at all: the silence is the lie.
    pub(crate) withheld: bool,
}

impl Said {
    pub(crate) const fn truth(to: usize, message: Message) -> Self {
        Self {
            to,
            message,
            lie: false,
            delay_ms: 0,
            withheld: false,
        }
    }

    pub(crate) const fn lie(to: usize, message: Message) -> Self {
        Self {
            to,
            message,
            lie: true,
            delay_ms: 0,
            withheld: false,
        }
    }

    pub(crate) const fn silence(to: usize, message: Message) -> Self {
        Self {
            to,
            message,
            lie: true,
            delay_ms: 0,
            withheld: true,
        }
    }
}

/// What a corrupt node can do: see its own chain, and sign with the corrupt keys only.
pub(crate) struct Hand<'a, C, A> {
    pub(crate) crypto: &'a C,
    /// The own key and those of the accomplices.
    pub(crate) keys: &'a [KeyId],
    pub(crate) own: KeyId,
    pub(crate) nodes: usize,
    pub(crate) chain: &'a Chain<A>,
    pub(crate) height: Height,
    pub(crate) view: View,
    pub(crate) view_ms: u64,
    pub(crate) now: Now,
    pub(crate) rng: &'a mut Rng,
}

impl<C: Crypto, A: App> Hand<'_, C, A> {
    pub(crate) fn set(&self) -> Arc<ValidatorSet> {
        self.chain.tip().set.clone()
    }

    pub(crate) fn place_of(&self, key: KeyId) -> Option<u16> {
        self.chain.tip().set.index_of(super::keys::public(key))
    }

    pub(crate) fn is_primary(&self, view: View) -> bool {
        let primary = crate::schedule::primary(&self.set(), self.height, view);
        self.place_of(self.own) == Some(primary)
    }

    pub(crate) fn sign_as(&self, key: KeyId, ballot: &Ballot) -> Signature {
        assert!(self.keys.contains(&key), "a liar has the corrupt keys only");
        self.crypto
            .sign(key, &ballot.signed_bytes(&self.chain.genesis_digest()))
    }

    pub(crate) fn sign(&self, ballot: &Ballot) -> Signature {
        self.sign_as(self.own, ballot)
    }

    /// A vote by the own key.
    pub(crate) fn vote(&self, ballot: &Ballot) -> Option<Message> {
        let crate::ballot::Choice::Block(block) = ballot.choice else {
            return None;
        };
        let crate::ballot::Slot { step, height, view } = ballot.slot;
        let signer = self.place_of(self.own)?;
        Some(Message::Vote(Vote {
            step,
            height,
            view,
            block,
            signer,
            signature: self.sign(ballot),
        }))
    }

    /// A view change by the own key.
    pub(crate) fn view_change(
        &self,
        view: View,
        prepared: crate::ballot::PreparedClaim,
        proof: Option<Arc<crate::message::Prepared>>,
    ) -> Option<Message> {
        let ballot = Ballot::claim(self.height, view, prepared);
        let signer = self.place_of(self.own)?;
        let claim = Claim {
            prepared,
            signer,
            signature: self.sign(&ballot),
        };
        Some(Message::ViewChange(Arc::new(ViewChange {
            height: self.height,
            view,
            claim,
            proof,
        })))
    }

    /// A block that extends the own chain, with the same payload as `like` but another time.
    pub(crate) fn block_like(&self, like: &Block, time: u64) -> Option<Arc<Block>> {
        let time = TimeMs::new(time)?;
        let header = self.chain.next_header(time, like.header().payload_root);
        Block::new(header, like.payload().clone())
    }

    /// An empty block that extends the own chain.
    pub(crate) fn empty_block(&self, time: u64) -> Option<Arc<Block>> {
        let payload = Payload {
            salt: [0x11; 32],
            requests: Vec::new(),
        };
        let header = self.chain.next_header(TimeMs::new(time)?, payload.root());
        Block::new(header, payload)
    }

    /// A proposal of the own key.
    pub(crate) fn proposal(
        &self,
        view: View,
        block: Arc<Block>,
        opening: Option<Arc<crate::message::Opening>>,
    ) -> Message {
        let step = crate::ballot::Step::PrePrepare;
        let ballot = Ballot::block(step, block.height(), view, block.digest());
        let signature = self.sign(&ballot);
        Message::PrePrepare(Arc::new(PrePrepare {
            view,
            block,
            opening,
            signature,
        }))
    }

    pub(crate) fn garbage_signature(&mut self) -> Signature {
        let mut bytes = [0; 64];
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.rng.next().to_le_bytes());
        }
        Signature::from_bytes(bytes)
    }

    pub(crate) fn garbage_digest(&mut self) -> Digest {
        let mut bytes = [0; 32];
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.rng.next().to_le_bytes());
        }
        Digest::from_bytes(bytes)
    }
}

/// A corrupt node's tongue.
pub(crate) trait Liar<C: Crypto, A: App> {
    /// What is sent instead of what the honest core behind would send.
    fn say(&mut self, hand: &mut Hand<'_, C, A>, to: usize, message: Message) -> Vec<Said>;

    /// A message has come; the honest core behind sees it too. What is said of the liar's own accord.
    fn hear(&mut self, _hand: &mut Hand<'_, C, A>, _from: usize, _message: &Message) -> Vec<Said> {
        Vec::new()
    }

    /// Called every now and then.
    fn act(&mut self, _hand: &mut Hand<'_, C, A>) -> Vec<Said> {
        Vec::new()
    }
}
