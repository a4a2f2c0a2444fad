//! Deliberate defects, for tests of the tests: each removes one line of defence.
//!
//! A node is built with [`Sound`], for which every question below is the constant `false`, so the
//! compiler drops the defective branches. [`Broken`] exists for the simulator, which shows that
//! its oracles notice when a defence is missing.

/// A line of defence that can be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Defect {
    /// A vote is signed before its record is durable.
    VoteBeforePersist,
    /// A view change claims nothing, though the replica is prepared.
    PreparedDropped,
    /// A signer counts once for every message it sends.
    DuplicateCounted,
    /// A quorum of exactly two thirds is enough.
    TwoThirdsEnough,
    /// A new view may propose any block, whatever the claims say.
    OpeningIgnored,
    /// The certificate of the highest claim is not checked.
    ClaimUnproved,
    /// Records of the vote log are ignored at a restart.
    RecordsIgnored,
    /// A second block is prepared in one view.
    SecondPrepare,
    /// A replica that has left a view goes on voting in it.
    VotesInOldViews,
    /// Blocks of a peer are taken without a look at their certificates.
    BlocksUnchecked,
    /// A commit is sent as soon as a block is accepted, without a quorum of prepares.
    CommitUnprepared,
    /// Signatures of votes are not checked.
    VotesUnchecked,
    /// Header times are not checked.
    TimeUnchecked,
    /// Sequences of requests are not checked: one request may be executed twice.
    SequenceUnchecked,
    /// Signatures of requests are not checked.
    RequestsUnchecked,
    /// The state root of a header is not compared.
    StateUnchecked,
    /// Approvals of a change are not checked.
    ChangeUnchecked,
    /// A header is prepared though its next set was not opened.
    SetUnopened,
    /// A change takes effect one height too early.
    ChangeEarly,
    /// One invalid view change spoils the valid ones beside it.
    InvalidSpoils,
    /// The join rule is missing.
    NoJoin,
    /// Nothing is sent again.
    NoResend,
    /// Views do not grow longer.
    NoBackoff,
    /// A replica whose view change is alone goes on to ever higher views.
    RunsAhead,
    /// Messages of the next height are dropped.
    NextDropped,
    /// Commit votes for unseen blocks take the place of those for seen ones.
    UnseenCrowds,
    /// A conflicting vote is dropped without evidence.
    NoEvidence,
    /// A mark above the last record is ignored.
    MarkIgnored,
    /// A message with the own signature that was never sent is ignored.
    OwnVoteIgnored,
    /// A replica without its log votes at once.
    NoRejoin,
    /// A second certificate at one height is ignored.
    ForkIgnored,
    /// A primary that was slow is given full time again.
    NoWatch,
    /// Late votes are not added to the certificate.
    LateDropped,
    /// The chain is not part of what is signed.
    ChainUnbound,
    /// A damaged record in the middle of the log is skipped.
    DamageSkipped,
    /// The timer stops when a block comes by state transfer.
    TimerLost,
    /// One peer is asked for blocks over and over.
    OnePeerAsked,
    /// A new segment's directory entry is not made durable.
    DirectoryUnsynced,
    /// Requests of local clients are not passed on.
    RequestsKept,
    /// The pool takes what it is given.
    PoolUnbounded,
    /// Votes of any view are kept.
    WindowUnbounded,
    /// Messages of the next height are kept, however many.
    BufferUnbounded,
    /// Bad signatures cost a peer nothing.
    NoPenalty,
    /// Certificates on the way to a snapshot are not checked.
    LinksUnchecked,
    /// A snapshot's state is not compared with the certified root.
    SnapshotUnchecked,
    /// A state of any announced size is taken.
    SnapshotUnbounded,
    /// A peer that serves a snapshot is waited for, for ever.
    SnapshotPatience,
    /// A primary is waited for, for ever.
    NoTimeout,
    /// Who is behind is not served blocks.
    NothingServed,
    /// A request that waits already is passed on again.
    RequestsEchoed,
    /// Limits of requests and payloads are not checked.
    LimitsUnchecked,
    /// A peer is believed to be as far as it ever said.
    HeightsOnlyGrow,
    /// A decision is not written down before the next height's votes.
    DecisionUnlogged,
    /// A source that sent a bad signature is checked together with the others all the same.
    NoDoubt,
    /// A disk error is retried, and the vote sent.
    DiskErrorIgnored,
}

/// Which defences a core has.
pub trait Build {
    /// Whether this line of defence is missing.
    fn lacks(&self, defect: Defect) -> bool;

    /// Whether any is.
    fn is_broken(&self) -> bool;
}

/// Every defence in place: what a node runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sound;

impl Build for Sound {
    #[inline(always)]
    fn lacks(&self, _: Defect) -> bool {
        false
    }

    #[inline(always)]
    fn is_broken(&self) -> bool {
        false
    }
}

/// One defence missing, or none: for the simulator.
#[derive(Clone, Copy, Debug, Default)]
pub struct Broken(pub Option<Defect>);

impl Build for Broken {
    fn lacks(&self, defect: Defect) -> bool {
        self.0 == Some(defect)
    }

    fn is_broken(&self) -> bool {
        self.0.is_some()
    }
}
