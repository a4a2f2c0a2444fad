//! `quorate light-client`: a state file, and files that take it further. No network.
//!
//! The rules are the library's. Here are the state's file, the order in which updates are tried,
//! and a file with the evidence of a fork, beside the state that is frozen by it.

mod store;
mod updates;

use quorate_verifier::light_client::{
    Accepted, Bisection, ClientError, ClientState, Fork, Options, Reached,
};
use quorate_verifier::primitives::{Height, TimeMs};
use quorate_verifier::proof::Origin;
use quorate_verifier::trust::Policy;
use quorate_verifier::{attestation::AttestationError, json};

use super::demands::{self, Keys, describe_key, verdict_of};
use crate::args::{
    LightClientCommand, LightClientInitArgs, LightClientResetArgs, LightClientStatusArgs,
    LightClientUpdateArgs,
};
use crate::failure::{Failure, Role};
use crate::output::{Report, Verdict};
use crate::spoken::comparison_number;
use crate::value::Value;
use store::Store;
use updates::{Candidate, Candidates};

pub(super) fn run(command: &LightClientCommand) -> Result<Report, Failure> {
    match command {
        LightClientCommand::Init(args) => init(args),
        LightClientCommand::Update(args) => update(args),
        LightClientCommand::Status(args) => status(args),
        LightClientCommand::Reset(args) => reset(args),
    }
}

fn init(args: &LightClientInitArgs) -> Result<Report, Failure> {
    let store = Store::new(&args.state.state)?;
    let policy: Policy = args.policy.document(Role::Given)?;
    let state = start(&policy, demands::time(args.state.now)?)?;
    store.create(&state)?;
    let mut report = Report::new(
        Verdict::Done,
        format!(
            "the client starts at height {}",
            state.header().height.get()
        ),
    );
    describe(&mut report, &state);
    starting_point(&mut report, &policy);
    report.next(format!(
        "quorate light-client update --state {} --key KEY.vk UPDATES",
        args.state.state.display()
    ));
    Ok(report)
}

/// The state that a policy begins with, unless nothing could follow it.
fn start(policy: &Policy, now: TimeMs) -> Result<ClientState, Failure> {
    let refused = |error: ClientError| Failure::Refused(error.to_string());
    let state = ClientState::new(policy).map_err(refused)?;
    state.check_usable(now).map_err(refused)?;
    Ok(state)
}

fn starting_point(report: &mut Report, policy: &Policy) {
    report
        .fact(
            "comparison number",
            comparison_number(&policy.anchor.digest()),
        )
        .not_checked("who made the anchor: compare the number by telephone");
    if policy.keys.is_empty() {
        report.warn("the policy accepts no verifying key: no update can ever be taken");
    }
    if policy.development_keys {
        report.warn("the policy accepts verifying keys that a single party made");
    }
}

fn describe(report: &mut Report, state: &ClientState) {
    let header = state.header();
    let until = state
        .trusted_until()
        .map_or_else(|| "for ever".into(), json::format_time);
    report
        .fact("chain", header.chain_id.as_str())
        .fact("height", header.height.get().to_string())
        .fact("block", header.digest().to_string())
        .fact("time", json::format_time(header.time))
        .fact("trusted set", header.next_validators.to_string())
        .fact("trusted until", until)
        .fact(
            "accepted keys",
            state
                .keys
                .iter()
                .map(|key| {
                    Value::members([
                        ("digest", key.digest.to_string().into()),
                        ("slots", key.slots.slots().into()),
                    ])
                })
                .collect::<Value>(),
        )
        .fact("anchor digest", state.anchor.to_string());
}

fn status(args: &LightClientStatusArgs) -> Result<Report, Failure> {
    let state = Store::new(&args.state.state)?.load()?;
    let now = demands::time(args.state.now)?;
    let height = state.header().height.get();
    let mut report = Report::new(Verdict::Done, format!("the client trusts height {height}"));
    describe(&mut report, &state);
    report.fact("frozen by a fork", state.fork.is_some());
    if let Err(error) = state.check_usable(now) {
        report.verdict = match error {
            ClientError::Frozen(_) => Verdict::Invalid,
            _ => Verdict::PolicyFailed,
        };
        report.summary = error.to_string();
        report.next("quorate light-client reset, from an anchor that you have reason to trust");
    }
    if let Some(fork) = &state.fork {
        describe_fork(&mut report, fork);
    }
    report.not_checked("that the chain has not gone on: a state knows what it was given");
    Ok(report)
}

fn describe_fork(report: &mut Report, fork: &Fork) {
    let (first, second) = (fork.trusted().header(), &fork.conflicting().header);
    report
        .fact("fork height", fork.height().get().to_string())
        .fact("trusted block", first.digest().to_string())
        .fact("conflicting block", second.digest().to_string());
}

fn update(args: &LightClientUpdateArgs) -> Result<Report, Failure> {
    let store = Store::new(&args.state.state)?;
    let _lock = store.lock()?;
    let state = store.load()?;
    let now = demands::time(args.state.now)?;
    let candidates = Candidates::read(&args.updates)?;
    let mut keys = Keys::load(&known_keys(&state, &candidates), &args.keys)?;
    let options = Options {
        allow_skip: args.allow_skip,
        development_keys: !args.keys.production,
    };
    let mut walk = Walk {
        start: state.header().height,
        state,
        keys: &keys,
        options,
        now,
        taken: Vec::new(),
        old: 0,
    };
    let outcome = match args.bisect {
        true => walk.bisect(&candidates),
        false => walk.in_order(&candidates),
    };
    let mut report = conclude(&walk, &outcome, candidates.ignored);
    match outcome {
        Err((_, ClientError::Fork(frozen))) => {
            let fork = frozen
                .fork
                .as_deref()
                .expect("a frozen state has its evidence");
            // The state comes first: it has the evidence as well, and must be frozen whatever else.
            store.replace(&frozen)?;
            describe_fork(&mut report, fork);
            match store.keep_evidence(fork, args.evidence.as_deref()) {
                Ok(path) => report.fact("evidence", path.display().to_string()),
                Err(failure) => {
                    report.warn(format!("the evidence is in the state only: {failure}"))
                }
            };
            report.next("show the evidence to the other members, then reset from a new anchor");
        }
        _ if !walk.taken.is_empty() => store.replace(&walk.state)?,
        _ => {}
    }
    report.warnings.append(&mut keys.warnings);
    Ok(report)
}

/// Keys that may come to be accepted on the way: those of the state, and those that an update
/// brings. Which of them are accepted when is the library's to say.
fn known_keys(
    state: &ClientState,
    candidates: &Candidates,
) -> Vec<quorate_verifier::genesis::AcceptedKey> {
    let opened = candidates
        .list
        .iter()
        .filter_map(|c| c.update.parameters.as_ref());
    let brought = opened.flat_map(|parameters| parameters.keys.iter());
    state.keys.iter().chain(brought).copied().collect()
}

/// A state on its way through updates.
struct Walk<'a> {
    start: Height,
    state: ClientState,
    keys: &'a Keys,
    options: Options,
    now: TimeMs,
    taken: Vec<(Height, Reached)>,
    /// Updates that lead nowhere new.
    old: usize,
}

/// An update that was refused, by name, and why.
type Refusal<'c> = (&'c Candidate, ClientError);

impl Walk<'_> {
    fn take(&mut self, candidate: &Candidate) -> Result<(), ClientError> {
        let accepted =
            (self.state).update(&candidate.update, &self.keys.ring, self.options, self.now);
        match accepted {
            Ok(Accepted { state, by }) => {
                self.taken.push((state.header().height, by));
                self.state = state;
                Ok(())
            }
            Err(ClientError::AlreadyTrusted(_)) => {
                self.old += 1;
                Ok(())
            }
            // In a directory, what lies below the client is not news. What is given by name is.
            Err(ClientError::HeightNotAbove { .. }) if candidate.from_directory => {
                self.old += 1;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// One after the other, the lowest first; the first refusal ends it.
    fn in_order<'c>(&mut self, candidates: &'c Candidates) -> Result<(), Refusal<'c>> {
        for candidate in &candidates.list {
            self.take(candidate).map_err(|error| (candidate, error))?;
        }
        Ok(())
    }

    /// To the highest, over as few as it takes.
    fn bisect<'c>(&mut self, candidates: &'c Candidates) -> Result<(), Refusal<'c>> {
        let Some(last) = candidates.list.last() else {
            return Ok(());
        };
        let mut search = Bisection::new(last.height());
        while let Some(wanted) = search.wanted() {
            let at = candidates.list.partition_point(|c| c.height() < wanted);
            // The highest is always there, so there is one at or above whatever is wanted.
            let candidate = candidates.list.get(at).unwrap_or(last);
            let result = self.take(candidate);
            let goes_on = search.record(self.state.header().height, result.as_ref().copied());
            match result {
                Err(error) if !goes_on => return Err((candidate, error)),
                Ok(()) if !goes_on => break,
                _ => {}
            }
        }
        Ok(())
    }
}

fn conclude(walk: &Walk<'_>, outcome: &Result<(), Refusal<'_>>, ignored: usize) -> Report {
    let (from, to) = (walk.start.get(), walk.state.header().height.get());
    let mut report = Report::new(Verdict::Final, "");
    describe(&mut report, &walk.state);
    let skips = walk
        .taken
        .iter()
        .filter(|(_, by)| *by == Reached::Skip)
        .count();
    report
        .fact("from height", from.to_string())
        .fact("steps", walk.taken.len() - skips)
        .fact("skips", skips)
        .fact("not news", walk.old)
        .fact("files of other kinds", ignored);
    match outcome {
        Ok(()) if walk.taken.is_empty() => {
            report.verdict = Verdict::Verified;
            report.summary = format!("nothing new: the client stays at height {to}");
        }
        Ok(()) => {
            report.summary = format!("the client went from height {from} to {to}, which is final");
        }
        Err((candidate, error)) => {
            report.verdict = verdict_of(error.verdict());
            let stays = if to == from { "stays" } else { "stops" };
            report.summary = format!(
                "{}: {error}; the client {stays} at height {to}",
                candidate.name
            );
        }
    }
    let steps: Vec<_> = outcome.as_ref().err().into_iter().collect();
    for (candidate, error) in steps {
        report.fact("refused", refusal(error));
        report.fact("refused file", candidate.name.as_str());
        report.check("update", Err::<String, _>(error));
        if let Some(next) = remedy(error) {
            report.next(next);
        }
    }
    if outcome.is_ok() {
        report.check(
            "updates",
            Ok::<_, String>("every one that was news holds".into()),
        );
    }
    key_facts(&mut report, walk);
    if skips > 0 {
        report.warn("a skip takes only more than a third of the trusted set to forge");
    }
    report
        .not_checked("what the headers' roots stand for: payload, outcomes and state")
        .not_checked("that the chain has not gone on further");
    report
}

/// The key of the last proof that was taken.
fn key_facts(report: &mut Report, walk: &Walk<'_>) {
    let quorate_verifier::light_client::Trusted::Proved(last) = &walk.state.trusted else {
        return;
    };
    let Some(key) = walk.keys.ring.get(&last.key) else {
        return;
    };
    describe_key(report, key.key());
    if key.key().origin == Origin::Development {
        report.warn(format!(
            "verifying key {} is a development key: whoever made it can forge proofs",
            last.key
        ));
    }
}

/// A word for each refusal, for scripts.
const fn refusal(error: &ClientError) -> &'static str {
    use ClientError as E;
    match error {
        E::Frozen(_) => "frozen",
        E::TrustExpired { .. } => "trust-expired",
        E::WrongChain { .. } => "wrong-chain",
        E::HeightNotAbove { .. } => "height-not-above",
        E::AlreadyTrusted(_) => "already-trusted",
        E::TimeNotAbove => "time-not-above",
        E::FromTheFuture { .. } => "from-the-future",
        E::WrongParent { .. } => "wrong-parent",
        E::UnknownSet { .. } => "unknown-set",
        E::SkipNotAllowed => "skip-not-allowed",
        E::WrongRule(_) => "wrong-rule",
        E::WrongParameters { .. } => "wrong-parameters",
        E::ParametersNeeded(_) => "parameters-needed",
        E::Fork(_) => "fork",
        E::Attestation(error) => match error {
            AttestationError::KeyNotAccepted(_) => "key-not-accepted",
            AttestationError::KeyMissing(_) => "key-missing",
            AttestationError::WrongSize { .. } => "key-size",
            AttestationError::DevelopmentKey(_) => "development-key",
            AttestationError::Proof(_) => "proof",
            _ => "attestation",
        },
    }
}

fn remedy(error: &ClientError) -> Option<&'static str> {
    match error {
        ClientError::UnknownSet { .. } => {
            Some("give the headers between, at least those that change the set")
        }
        ClientError::ParametersNeeded(_) => Some("give the update that opens the parameters"),
        ClientError::TrustExpired { .. } => {
            Some("quorate light-client reset, from an anchor that you have reason to trust")
        }
        ClientError::Frozen(_) => {
            Some("look into the fork, then quorate light-client reset with --acknowledge-fork")
        }
        ClientError::Attestation(error) => demands::remedy(error),
        _ => None,
    }
}

fn reset(args: &LightClientResetArgs) -> Result<Report, Failure> {
    let store = Store::new(&args.state.state)?;
    let _lock = store.lock()?;
    let old = store.load()?;
    let policy: Policy = args.policy.document(Role::Given)?;
    let new = start(&policy, demands::time(args.state.now)?)?;
    let (chain, other) = (&old.header().chain_id, &new.header().chain_id);
    if chain != other {
        return Err(Failure::Refused(format!(
            "the client follows {chain}, the policy is of {other}: that takes a new state"
        )));
    }
    let forked = old.fork.as_deref().map(|fork| fork.height().get());
    match (forked, args.acknowledge_fork) {
        (Some(height), Some(given)) if height == given => {}
        (None, None) => {}
        (Some(height), _) => {
            return Err(Failure::Refused(format!(
                "the client is frozen by a fork at height {height}: say that you have looked into \
                 it with --acknowledge-fork {height}"
            )));
        }
        (None, Some(_)) => return Err(Failure::usage("--acknowledge-fork: there is no fork")),
    }
    let evidence = old
        .fork
        .as_deref()
        .map(|fork| store.keep_evidence(fork, None))
        .transpose()?;
    store.replace(&new)?;
    let height = new.header().height;
    let mut report = Report::new(
        Verdict::Done,
        format!("the client starts again at height {}", height.get()),
    );
    describe(&mut report, &new);
    starting_point(&mut report, &policy);
    if height < old.header().height {
        report.warn(format!(
            "the new anchor is below height {}, which the client had reached",
            old.header().height.get()
        ));
    }
    if new.anchor == old.anchor {
        report.warn("the anchor is the one that the client had started from");
    }
    if let Some(path) = evidence {
        report.fact("evidence", path.display().to_string());
    }
    Ok(report)
}
