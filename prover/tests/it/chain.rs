//! A chain of headers with real proofs about them.
//!
//! **The circuit behind the proofs is a toy: its rows take any four values and say nothing about
//! signatures.** That a statement is true is the quorum circuit's matter and is tested there. What
//! is tested here is everything after it: real proofs by the real prover, bound to the statement of
//! a header, under real verifying keys. No check is replaced by another.

use core::ops::ControlFlow;
use std::sync::LazyLock;

use ark_bn254::Fr;
use ark_std::rand::{SeedableRng, rngs::StdRng};
use quorate_circuits::ground::{Builder, Circuit};
use quorate_prover::{Prover, ProvingKey, Trapdoor};
use quorate_verifier::attestation::{Attestation, KeyRing};
use quorate_verifier::genesis::{AcceptedKey, Limits, Parameters};
use quorate_verifier::header::{HEADER_VERSION, Header};
use quorate_verifier::light_client::{Options, Overlap};
use quorate_verifier::merkle;
use quorate_verifier::primitives::{ChainId, CircuitSize, Digest, Height, TimeMs, View};
use quorate_verifier::proof::{Origin, Proof};
use quorate_verifier::rule::QuorumRule;
use quorate_verifier::set::SetCommitment;
use quorate_verifier::statement::Statement;
use quorate_verifier::trust::{Cosigners, Policy, TrustAnchor};

/// Any values, each bound by a row, and one looked-up limb.
struct Toy(Vec<Fr>);

impl Circuit for Toy {
    fn chunk_bits(&self) -> u32 {
        4
    }
    fn statement(&self) -> Vec<Fr> {
        self.0.clone()
    }
    fn build(&self, g: &mut Builder) {
        for (i, value) in self.0.iter().enumerate() {
            let cell = g.witness("value", *value);
            g.equal("claimed", cell, g.statement(i));
            let _ = g.product("square", cell, cell);
        }
        let _ = g.limb("limb", 5_u64, 8);
    }
}

/// A prover whose key follows from `seed`, for statements of `values` values.
pub(crate) fn prover(seed: u64, slots: u16, values: usize, origin: Origin) -> Prover {
    let mut rng = StdRng::seed_from_u64(seed);
    let trapdoor = Trapdoor::random(&mut rng);
    let toy = Toy(vec![Fr::from(1_u64); values]);
    let key = ProvingKey::generate(&toy, size(slots), 1, origin, &trapdoor, &mut rng).unwrap();
    Prover::new(key, &toy).unwrap()
}

fn size(slots: u16) -> CircuitSize {
    CircuitSize::from_slots(slots).unwrap()
}

/// The key that the chain accepts from its start.
pub(crate) static FIRST: LazyLock<Prover> = LazyLock::new(|| prover(1, 1, 4, Origin::Development));
/// One that enters later. It bears the mark of a ceremony, without there having been one.
pub(crate) static SECOND: LazyLock<Prover> = LazyLock::new(|| prover(2, 2, 4, Origin::Ceremony));
/// One for statements of three values: of no use for a header.
pub(crate) static SHORT: LazyLock<Prover> = LazyLock::new(|| prover(3, 1, 3, Origin::Development));

/// An honest proof of a statement.
pub(crate) fn prove(prover: &Prover, statement: &Statement) -> Proof {
    let toy = Toy(statement.inputs().to_vec());
    let proven = prover.prove(&toy, |_| ControlFlow::Continue(())).unwrap();
    Proof::decode(&proven.proof).unwrap()
}

/// A key as it is listed.
pub(crate) fn listed(prover: &Prover) -> AcceptedKey {
    AcceptedKey {
        digest: *prover.verifier().digest(),
        slots: prover.verifier().key().circuit.slots,
    }
}

/// Keys as they are listed, in order.
pub(crate) fn list(provers: &[&Prover]) -> Vec<AcceptedKey> {
    let mut keys: Vec<_> = provers.iter().map(|p| listed(p)).collect();
    keys.sort();
    keys
}

/// All keys at hand.
pub(crate) fn ring() -> KeyRing {
    let mut ring = KeyRing::new();
    for prover in [&*FIRST, &*SECOND, &*SHORT] {
        ring.insert(prover.verifier().clone());
    }
    ring
}

/// Parameters that list these keys.
pub(crate) fn parameters(keys: Vec<AcceptedKey>) -> Parameters {
    Parameters {
        rule: QuorumRule::COMMIT,
        slots: size(1),
        keys,
        block_interval_ms: 1000,
        limits: Limits::DEFAULT,
    }
}

/// Heights whose header is signed by another set than the one below.
pub(crate) const CHANGES: [u64; 4] = [4, 7, 8, 13];
/// The last height.
pub(crate) const TIP: u64 = 16;
/// From this height on the parameters list a second key.
pub(crate) const NEW_KEY: u64 = 10;

/// Set number `n`: a commitment to nothing in particular.
pub(crate) fn set(n: u64) -> SetCommitment {
    SetCommitment::from_scalar(&Fr::from(1000 + n))
}

fn set_at(height: u64) -> SetCommitment {
    set(CHANGES.iter().filter(|c| **c <= height).count() as u64)
}

pub(crate) fn time(ms: u64) -> TimeMs {
    TimeMs::new(1_767_225_600_000 + ms).unwrap()
}

/// Parameters in force at a height.
pub(crate) fn parameters_at(height: u64) -> Parameters {
    if height < NEW_KEY {
        parameters(list(&[&FIRST]))
    } else {
        parameters(list(&[&FIRST, &SECOND]))
    }
}

/// The headers from genesis to [`TIP`], a second apart.
pub(crate) static HEADERS: LazyLock<Vec<Header>> = LazyLock::new(|| {
    let nothing = merkle::root(&[]);
    let mut headers: Vec<Header> = Vec::new();
    for height in 0..=TIP {
        headers.push(Header {
            version: HEADER_VERSION,
            chain_id: ChainId::from_genesis("toy", &Digest::ZERO).unwrap(),
            height: Height::new(height),
            time: time(1000 * height),
            parent: headers.last().map_or(Digest::ZERO, Header::digest),
            payload_root: nothing,
            outcomes_root: nothing,
            state_root: Digest::ZERO,
            parameters: parameters_at(height).digest(),
            validators: set_at(height),
            next_validators: set_at(height + 1),
        });
    }
    headers
});

/// A header of the chain.
pub(crate) fn header(height: u64) -> Header {
    HEADERS[usize::try_from(height).unwrap()].clone()
}

/// The header that a test bends.
pub(crate) fn bent(height: u64, bend: impl FnOnce(&mut Header)) -> Header {
    let mut header = header(height);
    bend(&mut header);
    header
}

/// An honest attestation of any header, in view 0, under [`FIRST`].
pub(crate) fn attest(header: Header) -> Attestation {
    attest_with(&FIRST, header, 0)
}

pub(crate) fn attest_with(prover: &Prover, header: Header, view: u64) -> Attestation {
    let (view, rule) = (View::new(view), QuorumRule::COMMIT);
    let proof = prove(prover, &Statement::of(&header, view, rule));
    Attestation {
        header,
        view,
        rule,
        key: *prover.verifier().digest(),
        proof,
    }
}

/// An honest proof that more than a third of `set` signed this header in this view.
pub(crate) fn overlap(set: SetCommitment, header: &Header, view: u64) -> Overlap {
    let statement = Statement::over(set, header, View::new(view), QuorumRule::OVERLAP);
    Overlap {
        key: *FIRST.verifier().digest(),
        proof: prove(&FIRST, &statement),
    }
}

/// Trust in the header at `height`, for an hour.
pub(crate) fn anchor(height: u64) -> TrustAnchor {
    TrustAnchor {
        header: header(height),
        keys: parameters_at(height).keys,
        trusting_period_ms: 3_600_000,
        clock_drift_ms: 5_000,
        made_at: time(1000 * height),
    }
}

/// The commit rule over [`anchor`].
pub(crate) fn policy(height: u64) -> Policy {
    let anchor = anchor(height);
    Policy {
        rule: QuorumRule::COMMIT,
        keys: anchor.keys.clone(),
        anchor,
        log_key: None,
        cosigners: Cosigners::NONE,
        development_keys: true,
    }
}

/// What most tests allow.
pub(crate) const OPTIONS: Options = Options {
    allow_skip: false,
    development_keys: true,
};
