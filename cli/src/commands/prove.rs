//! `quorate prove`: from a certificate, which names its signers, to an attestation, which does not.

use std::ops::ControlFlow;

use quorate_prover::{
    AttestError, Cost, KeyError, OpenError, Phase, ProveError, Prover, Store, StoreError,
    StoredKey, attest, check_provable, open_prover,
};
use quorate_verifier::attestation::Attestation;
use quorate_verifier::certificate::SignedHeader;
use quorate_verifier::file::FileType;
use quorate_verifier::genesis::AcceptedKey;
use quorate_verifier::primitives::{ChainId, CircuitSize};
use quorate_verifier::proof::{Origin, Proof};
use quorate_verifier::rule::{Intersection, QuorumRule};
use quorate_verifier::set::ValidatorSet;
use quorate_verifier::trust::{Policy, TrustAnchor};

use super::setup::{self, ONE_PARTY};
use super::{certificate, work};
use crate::args::{ProveArgs, WorkArgs};
use crate::failure::{Failure, Role};
use crate::files::Access;
use crate::output::{Report, Verdict};
use crate::progress::{Progress, Taken, spoken, spoken_bytes};
use crate::value::Value;

/// What the caller says about those who will check the proof.
struct Demand {
    chain: ChainId,
    rule: QuorumRule,
    /// The keys that they accept, if that is known.
    keys: Option<Vec<AcceptedKey>>,
    development_keys: bool,
}

pub(super) fn run(args: &ProveArgs) -> Result<Report, Failure> {
    let existing = work::existing(args.force);
    args.out.check(existing)?;
    work::set_threads(&args.work)?;
    let demand = Demand::read(args)?;
    let set: ValidatorSet = args.set.document(Role::Given)?;
    let block: SignedHeader = args.signed.document(Role::Judged)?;
    if let Err(error) = check_provable(&block, &demand.chain, &set, demand.rule) {
        return refused(&error, &block, &set);
    }
    let store = work::store(&args.store)?;
    let mut warnings = Vec::new();
    let key = choose(args, &demand, &store, set.size(), &mut warnings)?;
    let is_development = key.verifying().origin == Origin::Development;
    let prover = open(key, &args.work)?;
    let (attestation, taken) = match prove(&prover, &block, &set, &demand, &args.work) {
        Ok(done) => done,
        Err(AttestError::Prove(error)) => return Err(prove_failure(&error)),
        Err(error) => return refused(&error, &block, &set),
    };

    let mut report = describe(&attestation);
    report.fact(
        "phases",
        taken
            .iter()
            .map(|(name, seconds)| phase(name, *seconds))
            .collect::<Value>(),
    );
    args.out
        .write(attestation.to_file(), Access::Public, existing, &mut report)?;
    report.check(
        "certificate",
        Ok::<_, StoreError>("a quorum of the set signed the block".into()),
    );
    report.check(
        "proof",
        Ok::<_, StoreError>("the verifier accepts its bytes".into()),
    );
    report.not_checked("whether the set is to be trusted: that is for who verifies");
    warnings.into_iter().for_each(|warning| {
        report.warn(warning);
    });
    if is_development {
        report.warn(ONE_PARTY);
    }
    if demand.rule.guaranteed_intersection() == Intersection::None {
        report.warn(format!(
            "{}: {}",
            demand.rule,
            demand.rule.guaranteed_intersection()
        ));
    }
    Ok(report)
}

impl Demand {
    fn read(args: &ProveArgs) -> Result<Self, Failure> {
        let rule = args.rule.unwrap_or(QuorumRule::COMMIT);
        if let Some(source) = &args.policy {
            let policy: Policy = source.document(Role::Given)?;
            return Ok(Self {
                chain: policy.anchor.header.chain_id,
                rule: policy.rule,
                keys: Some(policy.keys),
                development_keys: policy.development_keys,
            });
        }
        if let Some(source) = &args.anchor {
            let anchor: TrustAnchor = source.document(Role::Given)?;
            return Ok(Self {
                chain: anchor.header.chain_id,
                rule,
                keys: Some(anchor.keys),
                development_keys: true,
            });
        }
        let chain = args.chain.clone();
        let chain =
            chain.ok_or_else(|| Failure::usage("--policy, --anchor or --chain is needed"))?;
        Ok(Self {
            chain,
            rule,
            keys: None,
            development_keys: true,
        })
    }

    /// Whether who verifies will accept this key.
    fn check(&self, key: &StoredKey) -> Result<(), Failure> {
        let slots = key.verifying().circuit.slots;
        let listed = |keys: &Vec<AcceptedKey>| {
            let mut keys = keys.iter();
            keys.any(|listed| listed.digest == *key.digest() && listed.slots == slots)
        };
        if self.keys.as_ref().is_some_and(|keys| !listed(keys)) {
            return Err(Failure::Refused(format!(
                "key {} is not among those that are accepted",
                key.digest()
            )));
        }
        if key.verifying().origin == Origin::Development && !self.development_keys {
            return Err(Failure::Refused(format!(
                "key {} is a development key, and the policy refuses those",
                key.digest()
            )));
        }
        Ok(())
    }
}

/// A certificate that is none, or that the set's circuit does not hold.
fn refused(
    error: &AttestError,
    block: &SignedHeader,
    set: &ValidatorSet,
) -> Result<Report, Failure> {
    let verdict = match error {
        AttestError::Certificate(error) => certificate::verdict_of(error, block, set),
        _ => Verdict::CannotEvaluate,
    };
    let mut report = Report::new(verdict, error.to_string());
    report.check("certificate", Err::<String, _>(error));
    report.skip("proof", "there is nothing to be proved");
    Ok(report)
}

/// The key of the set's size: the one that is named, or one that is accepted, or any.
fn choose(
    args: &ProveArgs,
    demand: &Demand,
    store: &Store,
    size: CircuitSize,
    warnings: &mut Vec<String>,
) -> Result<StoredKey, Failure> {
    if let Some(digits) = &args.key {
        let key = work::open(store, digits)?;
        let slots = key.verifying().circuit.slots;
        if slots != size {
            return Err(Failure::Unknown(format!(
                "key {} is for {} slots, the set's circuit has {}",
                key.digest(),
                slots.slots(),
                size.slots()
            )));
        }
        demand.check(&key)?;
        return Ok(key);
    }
    if let Some(accepted) = &demand.keys {
        return accepted_key(accepted, demand, store, size);
    }
    let fits = |key: &StoredKey| key.verifying().circuit.slots == size;
    let entries = store.entries()?.into_iter();
    let mut keys: Vec<StoredKey> = entries
        .filter_map(|entry| entry.key.ok())
        .filter(fits)
        .collect();
    match (keys.pop(), keys.len()) {
        (Some(key), 0) => Ok(key),
        (Some(_), more) => Err(Failure::usage(format!(
            "{} keys are for {} slots: say which with --key",
            more + 1,
            size.slots()
        ))),
        (None, _) => make(args, store, size, warnings),
    }
}

/// One of the keys that are accepted, if it is here.
fn accepted_key(
    accepted: &[AcceptedKey],
    demand: &Demand,
    store: &Store,
    size: CircuitSize,
) -> Result<StoredKey, Failure> {
    let slots = size.slots();
    let mut listed = accepted.iter().filter(|key| key.slots == size).peekable();
    if listed.peek().is_none() {
        return Err(Failure::Refused(format!(
            "no key for {slots} slots is accepted, and the set's circuit has so many"
        )));
    }
    let mut missing = Vec::new();
    let mut last = None;
    for key in listed {
        match store.open(&key.digest) {
            Ok(key) => match demand.check(&key) {
                Ok(()) => return Ok(key),
                Err(error) => last = Some(error),
            },
            Err(StoreError::Missing { digest, .. }) => missing.push(digest.to_string()),
            Err(error) => last = Some(error.into()),
        }
    }
    Err(last.unwrap_or_else(|| {
        Failure::Unknown(format!(
            "the accepted key for {slots} slots is not in {}: {}; copy its directory there from \
             where it was made",
            store.dir().display(),
            missing.join(", ")
        ))
    }))
}

/// Makes a small key on the spot, where nobody has said which keys are accepted.
fn make(
    args: &ProveArgs,
    store: &Store,
    size: CircuitSize,
    warnings: &mut Vec<String>,
) -> Result<StoredKey, Failure> {
    let cost = Cost::of(size);
    if cost.domain_log2 > ON_THE_SPOT_LOG2 {
        return Err(Failure::Unknown(format!(
            "there is no key for {} slots in {}; quorate setup --slots {} makes one: about {}, {} \
             of disk, {} of memory",
            size.slots(),
            store.dir().display(),
            size.slots(),
            spoken(cost.setup_seconds),
            spoken_bytes(cost.key_bytes),
            spoken_bytes(cost.setup_peak_bytes)
        )));
    }
    let (key, _) = setup::make(store, size, &args.work)?;
    warnings.push(format!(
        "there was no key for {} slots, so one was made",
        size.slots()
    ));
    Ok(key)
}

/// Larger keys take minutes: they are made when they are asked for.
const ON_THE_SPOT_LOG2: u8 = 20;

/// Opens a key, if there is room for a proof under it.
pub(super) fn open(key: StoredKey, args: &WorkArgs) -> Result<Prover, Failure> {
    let slots = key.verifying().circuit.slots;
    let cost = Cost::of(slots);
    let what = format!("a proof of {} slots", slots.slots());
    work::check_memory(args, &what, cost.prove_peak_bytes)?;
    let digest = *key.digest();
    open_prover(key).map_err(|error| match error {
        OpenError::Store(error) => error.into(),
        OpenError::Key(error @ KeyError::OtherCircuit { .. }) => Failure::Unknown(format!(
            "key {digest} is not for this version of the program: {error}"
        )),
        OpenError::Key(error) => Failure::Unknown(format!("key {digest}: {error}")),
    })
}

fn prove(
    prover: &Prover,
    block: &SignedHeader,
    set: &ValidatorSet,
    demand: &Demand,
    args: &WorkArgs,
) -> Result<(Attestation, Taken), AttestError> {
    let progress = progress(set.size(), args);
    let watch = |phase: Phase| {
        progress.enter(phase.name());
        ControlFlow::Continue(())
    };
    let attestation = attest(prover, block, &demand.chain, set, demand.rule, watch)?;
    Ok((attestation, progress.finish()))
}

/// Progress of one proof.
pub(super) fn progress(size: CircuitSize, args: &WorkArgs) -> Progress {
    let plan = Phase::ALL.map(|phase| (phase.name(), f64::from(phase.share())));
    Progress::new(args.progress, plan.into(), Cost::of(size).prove_seconds)
}

/// A phase and its time, in milliseconds.
pub(super) fn phase(name: &str, seconds: f64) -> Value {
    Value::members([
        ("phase", name.into()),
        ("milliseconds", milliseconds(seconds)),
    ])
}

/// Whole milliseconds.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a time is not negative, and not that long"
)]
pub(super) fn milliseconds(seconds: f64) -> Value {
    Value::Number((1000.0 * seconds).round() as u64)
}

/// The certificate was good and still there is no proof: key, machine or caller.
pub(super) fn prove_failure(error: &ProveError) -> Failure {
    match error {
        ProveError::Key(_) => Failure::Unknown(error.to_string()),
        ProveError::Cancelled(_) => StoreError::Cancelled.into(),
        ProveError::Randomness(error) => Failure::Randomness(*error),
        error => Failure::Machine(format!("{error}: the key or this machine is faulty")),
    }
}

/// What the attestation says, and nothing that it hides.
fn describe(attestation: &Attestation) -> Report {
    let header = &attestation.header;
    let mut report = Report::new(
        Verdict::Done,
        format!(
            "proved that block {} at height {} of {} is signed by {} of the power",
            header.digest(),
            header.height.get(),
            header.chain_id,
            attestation.rule
        ),
    );
    report
        .fact("chain", header.chain_id.as_str())
        .fact("height", header.height.get().to_string())
        .fact("block", header.digest().to_string())
        .fact("view", attestation.view.get().to_string())
        .fact("rule", attestation.rule.to_string())
        .fact("key", attestation.key.to_string())
        .fact("proof bytes", Proof::BYTES);
    report
}
