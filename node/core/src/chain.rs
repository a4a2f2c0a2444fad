//! The final chain as one replica has it: last header, state, sets in force.

use std::collections::BTreeMap;
use std::sync::Arc;

use quorate_verifier::certificate::CommitCertificate;
use quorate_verifier::genesis::{Genesis, Parameters};
use quorate_verifier::header::{HEADER_VERSION, Header};
use quorate_verifier::merkle;
use quorate_verifier::primitives::{Digest, Height, TimeMs};
use quorate_verifier::rule::QuorumRule;
use quorate_verifier::set::{SetCommitment, ValidatorSet};
use quorate_verifier::signature::VoteKey;

use crate::app::{App, ChangeError, check_parameters};
use crate::block::{Block, FinalBlock};
use crate::defect::{Build, Defect};
use crate::limits::{CLOCK_DRIFT_MS, RECENT_HEADERS, SETS_HELD, SIGNATURES_TOGETHER};
use crate::quorum::{is_quorum, power_of};
use crate::request::{Request, are_signed};
use crate::scheme::Scheme;
use crate::snapshot::{Link, Offer, Path, Snapshot, SnapshotError};

/// The end of the chain, with everything that determines the next header.
#[derive(Clone, Debug)]
pub struct Tip {
    /// The last final header.
    pub header: Header,
    /// Its digest.
    pub digest: Digest,
    /// Root of the state after it.
    pub state_root: Digest,
    /// RFC 6962 root over the outcomes of its requests.
    pub outcomes_root: Digest,
    /// The set that signs the next header: this header's `next_validators`, opened.
    pub set: Arc<ValidatorSet>,
    /// What the next header names as `next_validators`.
    pub next: SetCommitment,
    /// Parameters in force for the next header: those that this header names.
    pub parameters: Parameters,
    /// Parameters that the next header names.
    pub next_parameters: Parameters,
}

/// Why a header may not be prepared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A field that the parent determines has another value.
    #[error("the header's {0} is not the one that its parent determines")]
    Field(&'static str),
    /// Not later than the parent.
    #[error("the header's time is not after its parent's")]
    NotAfterParent,
    /// More than 500 ms ahead of the clock.
    #[error("the header's time is {ahead_ms} ms ahead, {CLOCK_DRIFT_MS} ms are allowed")]
    Early {
        /// How far ahead of the clock.
        ahead_ms: u64,
    },
    /// A set that was not opened here.
    #[error("the set {0} was not opened")]
    SetUnopened(SetCommitment),
    /// More requests or bytes than the parameters allow.
    #[error("the payload is above the limit of {0}")]
    Limit(&'static str),
    /// A request by a stranger.
    #[error("request {0} is by an unknown client")]
    UnknownClient(usize),
    /// A request that is not its client's next.
    #[error("request {index} has sequence {found}, its client's next is {next}")]
    Sequence {
        /// Its place in the payload.
        index: usize,
        /// Its sequence.
        found: u64,
        /// The client's next.
        next: u64,
    },
    /// A request whose signature does not hold.
    #[error("request {0} is not signed by its client")]
    RequestSignature(usize),
    /// The application does not admit a request.
    #[error("request {0} is not admitted: {1}")]
    NotAdmitted(usize, String),
}

/// Why a certified block does not extend the chain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertifiedError {
    /// The header is another chain's.
    #[error("the header is another chain's")]
    WrongChain,
    /// The certificate is for another block.
    #[error("the certificate is for another block")]
    WrongBlock,
    /// Not a quorum of the set that signs this height.
    #[error("the certificate does not hold a quorum")]
    NoQuorum,
    /// A signature does not hold.
    #[error("a signature of the certificate does not hold")]
    Signature,
    /// Certified, and yet not what this replica's own execution determines.
    #[error("a certified header differs from this replica's execution in its {0}")]
    Diverged(&'static str),
}

/// Chain, state and sets of one replica.
#[derive(Clone, Debug)]
pub struct Chain<A> {
    genesis: Digest,
    tip: Tip,
    app: A,
    sets: BTreeMap<SetCommitment, Arc<ValidatorSet>>,
    recent: BTreeMap<Height, (Digest, SetCommitment)>,
    /// Final headers that announce another set than their own, from genesis on.
    links: Vec<Link>,
}

/// Why a genesis document, set and application do not fit each other.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GenesisError {
    /// The chain's name is none.
    #[error(transparent)]
    Name(#[from] quorate_verifier::primitives::ChainIdError),
    /// The opened set is another one.
    #[error("the set at hand is not the one that genesis names")]
    Set,
    /// The application starts from another state.
    #[error("the application's state is not the one that genesis names")]
    State,
    /// The parameters are not safe.
    #[error("the parameters are unsafe: {0}")]
    Parameters(&'static str),
}

impl<A: App> Chain<A> {
    /// The chain before its first block.
    ///
    /// # Errors
    /// [`GenesisError`] when the parts do not fit.
    pub fn genesis(
        genesis: &Genesis,
        set: Arc<ValidatorSet>,
        app: A,
    ) -> Result<Self, GenesisError> {
        check_parameters(&genesis.parameters).map_err(GenesisError::Parameters)?;
        if set.commitment() != genesis.validators {
            return Err(GenesisError::Set);
        }
        if app.root() != genesis.state_root {
            return Err(GenesisError::State);
        }
        let header = genesis.header()?;
        let digest = header.digest();
        let tip = Tip {
            state_root: genesis.state_root,
            outcomes_root: merkle::root(&[]),
            set: set.clone(),
            next: genesis.validators,
            parameters: genesis.parameters.clone(),
            next_parameters: genesis.parameters.clone(),
            header,
            digest,
        };
        let recent = BTreeMap::from([(Height::GENESIS, (digest, set.commitment()))]);
        let sets = BTreeMap::from([(set.commitment(), set)]);
        Ok(Self {
            genesis: digest,
            tip,
            app,
            sets,
            recent,
            links: Vec::new(),
        })
    }

    /// The genesis header's digest: the chain's name in everything that is signed.
    pub fn genesis_digest(&self) -> Digest {
        self.genesis
    }

    /// The end of the chain.
    pub fn tip(&self) -> &Tip {
        &self.tip
    }

    /// The application, in the state after the tip.
    pub fn app(&self) -> &A {
        &self.app
    }

    /// The height that is not final yet.
    ///
    /// # Panics
    /// After 2^64 heights.
    pub fn next_height(&self) -> Height {
        self.tip
            .header
            .height
            .next()
            .expect("a chain ends long before 2^64 heights")
    }

    /// Digest and signing set of a recent final header.
    pub fn recent(&self, height: Height) -> Option<(Digest, SetCommitment)> {
        self.recent.get(&height).copied()
    }

    /// An opened set.
    pub fn set(&self, commitment: &SetCommitment) -> Option<&Arc<ValidatorSet>> {
        self.sets.get(commitment)
    }

    /// Keeps an opened set (its rules were checked when it was made) for a change to come.
    pub fn open_set(&mut self, set: Arc<ValidatorSet>) {
        if self.sets.len() >= SETS_HELD {
            let (tip, named) = (self.tip.set.commitment(), self.tip.next);
            // Those that links name are kept for replicas that follow from far behind.
            let linked = |set: &SetCommitment| {
                let mut links = self.links.iter().map(|link| &link.header);
                links.any(|header| header.validators == *set || header.next_validators == *set)
            };
            let spare = self
                .sets
                .keys()
                .copied()
                .find(|c| *c != tip && *c != named && !linked(c));
            if let Some(spare) = spare {
                self.sets.remove(&spare);
            }
        }
        self.sets.insert(set.commitment(), set);
    }

    /// The next header, but for its time and payload.
    pub fn next_header(&self, time: TimeMs, payload_root: Digest) -> Header {
        Header {
            version: HEADER_VERSION,
            chain_id: self.tip.header.chain_id.clone(),
            height: self.next_height(),
            time,
            parent: self.tip.digest,
            payload_root,
            outcomes_root: self.tip.outcomes_root,
            state_root: self.tip.state_root,
            parameters: self.tip.next_parameters.digest(),
            validators: self.tip.set.commitment(),
            next_validators: self.tip.next,
        }
    }

    /// The first determined field in which a header differs.
    fn mismatch(&self, build: &impl Build, header: &Header) -> Option<&'static str> {
        let own = self.next_header(header.time, header.payload_root);
        let state = build.lacks(Defect::StateUnchecked) || header.state_root == own.state_root;
        let outcomes =
            build.lacks(Defect::StateUnchecked) || header.outcomes_root == own.outcomes_root;
        let fields = [
            (header.version == own.version, "version"),
            (header.chain_id == own.chain_id, "chain id"),
            (header.height == own.height, "height"),
            (header.parent == own.parent, "parent"),
            (outcomes, "outcomes root"),
            (state, "state root"),
            (header.parameters == own.parameters, "parameters"),
            (header.validators == own.validators, "validators"),
            (
                header.next_validators == own.next_validators,
                "next validators",
            ),
        ];
        fields.iter().find(|(same, _)| !same).map(|(_, name)| *name)
    }

    /// Whether a block may be prepared: `docs/consensus.md#header`.
    ///
    /// `wall` is the clock against which the time is judged; `None` for a block that a quorum has
    /// judged before. `vouched` says whether a request's signature was checked before.
    ///
    /// # Errors
    /// [`Refusal`] names the rule that is broken, or what is missing as yet.
    pub fn judge<S: Scheme, B: Build>(
        &self,
        scheme: &S,
        build: &B,
        block: &Block,
        wall: Option<TimeMs>,
        vouched: impl Fn(&Request) -> bool,
    ) -> Result<(), Refusal> {
        let header = block.header();
        if let Some(field) = self.mismatch(build, header) {
            return Err(Refusal::Field(field));
        }
        self.check_time(build, header, wall)?;
        if !self.sets.contains_key(&header.next_validators) && !build.lacks(Defect::SetUnopened) {
            return Err(Refusal::SetUnopened(header.next_validators));
        }
        self.check_requests(scheme, build, block, vouched)
    }

    fn check_time(
        &self,
        build: &impl Build,
        header: &Header,
        wall: Option<TimeMs>,
    ) -> Result<(), Refusal> {
        if build.lacks(Defect::TimeUnchecked) {
            return Ok(());
        }
        if header.time <= self.tip.header.time {
            return Err(Refusal::NotAfterParent);
        }
        match wall {
            Some(wall) if header.time.get() > wall.get() + CLOCK_DRIFT_MS => Err(Refusal::Early {
                ahead_ms: header.time.get() - wall.get(),
            }),
            _ => Ok(()),
        }
    }

    fn check_requests<S: Scheme, B: Build>(
        &self,
        scheme: &S,
        build: &B,
        block: &Block,
        vouched: impl Fn(&Request) -> bool,
    ) -> Result<(), Refusal> {
        let payload = block.payload();
        let limits = self.tip.parameters.limits;
        let unlimited = build.lacks(Defect::LimitsUnchecked);
        let above = |count: usize, limit: u32| {
            !unlimited && u32::try_from(count).map_or(true, |count| count > limit)
        };
        if above(payload.requests.len(), limits.block_requests) {
            return Err(Refusal::Limit("requests"));
        }
        if above(payload.size(), limits.block_bytes) {
            return Err(Refusal::Limit("bytes"));
        }
        let mut sequences = BTreeMap::new();
        let mut unchecked = Vec::new();
        for (index, request) in payload.requests.iter().enumerate() {
            if above(request.size(), limits.request_bytes) {
                return Err(Refusal::Limit("bytes in a request"));
            }
            let client = self
                .app
                .client(&request.client)
                .ok_or(Refusal::UnknownClient(index))?;
            let last = sequences.entry(request.client).or_insert(client.sequence);
            let next = last.wrapping_add(1);
            if request.sequence != next && !build.lacks(Defect::SequenceUnchecked) {
                return Err(Refusal::Sequence {
                    index,
                    found: request.sequence,
                    next,
                });
            }
            *last = request.sequence;
            self.app
                .admit(request)
                .map_err(|reason| Refusal::NotAdmitted(index, reason))?;
            if !vouched(request) {
                unchecked.push((index, request, client.key));
            }
        }
        for group in unchecked.chunks(SIGNATURES_TOGETHER) {
            let requests = group.iter().map(|(_, request, key)| (&***request, key));
            let signed = self.are_signed(scheme, build, &requests.collect::<Vec<_>>());
            if let Some(((index, ..), _)) = group.iter().zip(signed).find(|(_, signed)| !signed) {
                return Err(Refusal::RequestSignature(*index));
            }
        }
        Ok(())
    }

    /// For each of these requests whether it is signed by the key beside it.
    pub(crate) fn are_signed<S: Scheme, B: Build>(
        &self,
        scheme: &S,
        build: &B,
        requests: &[(&Request, &VoteKey)],
    ) -> Vec<bool> {
        if build.lacks(Defect::RequestsUnchecked) {
            return vec![true; requests.len()];
        }
        are_signed(scheme, &self.genesis, requests)
    }

    /// Whether a block is final and the next one: `docs/consensus.md#state-transfer`.
    ///
    /// # Errors
    /// [`CertifiedError`]. `Diverged` means that this replica's execution went wrong.
    pub fn certified<S: Scheme, B: Build>(
        &self,
        scheme: &S,
        build: &B,
        block: &FinalBlock,
    ) -> Result<(), CertifiedError> {
        // Another chain's block may be certified by the same keys; it says nothing of this chain.
        if block.block.header().chain_id != self.tip.header.chain_id
            && !build.lacks(Defect::ChainUnbound)
        {
            return Err(CertifiedError::WrongChain);
        }
        self.certified_by(scheme, build, block, &self.tip.set)?;
        match self.mismatch(build, block.block.header()) {
            Some(field) => Err(CertifiedError::Diverged(field)),
            None => Ok(()),
        }
    }

    /// Whether a quorum of `set` has signed a block.
    ///
    /// # Errors
    /// [`CertifiedError`], never `Diverged`.
    pub fn certified_by<S: Scheme, B: Build>(
        &self,
        scheme: &S,
        build: &B,
        block: &FinalBlock,
        set: &ValidatorSet,
    ) -> Result<(), CertifiedError> {
        let certificate = &block.certificate;
        if certificate.block() != block.block.digest() {
            return Err(CertifiedError::WrongBlock);
        }
        if build.lacks(Defect::BlocksUnchecked) {
            return Ok(());
        }
        check_votes(scheme, build, certificate, set, self.tip.parameters.rule)
    }

    /// Executes a final block; its next set must be open. Answers the outcomes, and why a change
    /// that the application handed out was not made.
    ///
    /// # Panics
    /// If the set that signs the next height was not opened: the caller checks that.
    pub fn execute<S: Scheme, B: Build>(
        &mut self,
        scheme: &S,
        build: &B,
        block: &FinalBlock,
    ) -> (Vec<Vec<u8>>, Option<ChangeError>) {
        let link = Link {
            header: block.block.header().clone(),
            certificate: block.certificate.clone(),
        };
        let block = &block.block;
        let (header, payload) = (block.header(), block.payload());
        let applied = self.app.apply(header, payload);
        let mut next = header.next_validators;
        let mut next_parameters = self.tip.next_parameters.clone();
        let mut refused = None;
        if let Some(change) = applied.change {
            let rule = self.tip.parameters.rule;
            match change.check(scheme, build, &self.genesis, &self.tip.set, rule, payload) {
                Ok(()) => {
                    next = change.validators.unwrap_or(next);
                    next_parameters = change.parameters.unwrap_or(next_parameters);
                }
                Err(error) => refused = Some(error),
            }
        }
        let signs_next = if build.lacks(Defect::ChangeEarly) {
            next
        } else {
            header.next_validators
        };
        let set = self
            .sets
            .get(&signs_next)
            .or_else(|| self.sets.get(&header.next_validators));
        // Only a core without that defence gets here with a set that is not open.
        let set = set.or(build.lacks(Defect::SetUnopened).then_some(&self.tip.set));
        let set = set.cloned();
        let set = set.expect("a height is left only when the set after it was opened");
        self.tip = Tip {
            header: header.clone(),
            digest: block.digest(),
            state_root: self.app.root(),
            outcomes_root: merkle::root_of(&applied.outcomes),
            set,
            next,
            parameters: self.tip.next_parameters.clone(),
            next_parameters,
        };
        if link.announces() {
            self.links.push(link);
        }
        self.note_recent();
        (applied.outcomes, refused)
    }

    /// Tells of a final header below the state that the chain was taken up from, so that a fork is
    /// seen there too: one after another, from the state's own header downwards.
    pub fn recall(&mut self, header: &Header) {
        if self.recent.len() < RECENT_HEADERS && header.height < self.tip.header.height {
            let known = (header.digest(), header.validators);
            self.recent.entry(header.height).or_insert(known);
        }
    }

    fn note_recent(&mut self) {
        let Tip { header, digest, .. } = &self.tip;
        self.recent
            .insert(header.height, (*digest, header.validators));
        if self.recent.len() > RECENT_HEADERS {
            self.recent.pop_first();
        }
    }

    /// Final headers from a height on that announce another set, as long as the way of a snapshot
    /// may be.
    pub(crate) fn announcements(&self, from: Height) -> impl Iterator<Item = &Link> {
        self.links.iter().filter(move |l| l.header.height >= from)
    }

    /// Takes over the state of a stored snapshot, at a restart: `docs/consensus.md#snapshot`. The
    /// chain is at genesis, with every set open that the snapshot's links name.
    ///
    /// # Errors
    /// [`SnapshotError`]; the chain is then as before.
    pub fn adopt<S: Scheme, B: Build>(
        &mut self,
        scheme: &S,
        build: &B,
        snapshot: &Snapshot,
    ) -> Result<(), SnapshotError> {
        let offer = &snapshot.offer;
        offer.check(&self.tip.header.chain_id, self.next_height())?;
        let mut path = Path::from(self.tip.set.clone());
        let set = path.walk(scheme, build, offer, |set| self.sets.get(set).cloned())?;
        self.install(build, offer, &snapshot.state, set)
    }

    /// Takes over a state whose offer was checked, if it is the certified one; `set` signs the
    /// next header.
    pub(crate) fn install(
        &mut self,
        build: &impl Build,
        offer: &Offer,
        state: &[u8],
        set: Arc<ValidatorSet>,
    ) -> Result<(), SnapshotError> {
        let above = &offer
            .above()
            .ok_or(SnapshotError::Unfit("list of links"))?
            .header;
        let before = self.app.snapshot();
        self.app.restore(state).map_err(SnapshotError::State)?;
        if self.app.root() != above.state_root && !build.lacks(Defect::SnapshotUnchecked) {
            self.app
                .restore(&before)
                .expect("an application reads what it has written");
            return Err(SnapshotError::Root);
        }
        let (_, below) = offer.links.split_last().expect("it has a last link");
        self.links.extend_from_slice(below);
        self.tip = Tip {
            header: offer.header.clone(),
            digest: offer.header.digest(),
            state_root: above.state_root,
            outcomes_root: above.outcomes_root,
            set: set.clone(),
            next: above.next_validators,
            parameters: offer.parameters.clone(),
            next_parameters: offer.next_parameters.clone(),
        };
        self.sets.insert(set.commitment(), set);
        self.note_recent();
        Ok(())
    }
}

/// Whether distinct members of a set that hold a quorum have signed a certificate's message.
pub(crate) fn check_votes<S: Scheme, B: Build>(
    scheme: &S,
    build: &B,
    certificate: &CommitCertificate,
    set: &ValidatorSet,
    rule: QuorumRule,
) -> Result<(), CertifiedError> {
    let signers = certificate.votes().iter().map(|vote| vote.index);
    let signed = power_of(build, set, signers).ok_or(CertifiedError::NoQuorum)?;
    if !is_quorum(build, rule, signed, set.total()) {
        return Err(CertifiedError::NoQuorum);
    }
    let message = certificate.message();
    let items: Vec<_> = certificate
        .votes()
        .iter()
        .filter_map(|vote| {
            let key = &set.get(vote.index)?.key;
            Some((key, message.as_bytes().as_slice(), &vote.signature))
        })
        .collect();
    if scheme.verify_all(&items) {
        Ok(())
    } else {
        Err(CertifiedError::Signature)
    }
}
