//! A circuit of some two thousand rows that uses everything the ground has, and its keys.

use core::ops::ControlFlow;
use std::sync::LazyLock;

use ark_bn254::{Fr, G1Affine};
use ark_ff::{Field, Zero};
use ark_std::rand::{SeedableRng, rngs::StdRng};
use quorate_circuits::ground::{Builder, Circuit, Lin};
use quorate_verifier::primitives::CircuitSize;
use quorate_verifier::proof::{Challenges, Origin, Proof};

use crate::{Prover, ProvingKey, Trapdoor};

/// "I know x below 2^50 and a digit d with these values of x^2, d x and 0": and a hundred limbs.
#[derive(Clone, Debug)]
pub(super) struct Toy {
    pub(super) x: u64,
    pub(super) digit: i64,
    /// What is claimed; the true statement unless a test lies.
    pub(super) statement: [Fr; 3],
}

impl Toy {
    pub(super) fn new(x: u64, digit: i64) -> Self {
        let x_fr = Fr::from(x);
        let digit_fr = Fr::from(digit);
        Self {
            x,
            digit,
            statement: [x_fr.square(), x_fr * digit_fr, Fr::zero()],
        }
    }
}

impl Circuit for Toy {
    fn chunk_bits(&self) -> u32 {
        8
    }

    fn statement(&self) -> Vec<Fr> {
        self.statement.to_vec()
    }

    fn build(&self, g: &mut Builder) {
        let x = g.limb("x", self.x, 50);
        let square = g.product("square", &x, &x);
        g.equal("claimed square", square, g.statement(0));
        let multiples = g.table("multiples", 2);
        for k in [1, 3, 5, 7] {
            let twice = g.product(format_args!("twice {k}"), &x, Fr::from(2 * k));
            let odd = x.lin() * Fr::from(k);
            g.entry_pair(
                multiples,
                [k, -k],
                vec![Lin::from(Fr::from(9_u64))],
                vec![odd],
            );
            g.equal(
                format_args!("twice {k} again"),
                twice,
                x.lin() * Fr::from(2 * k),
            );
        }
        let chosen = g.select(multiples, self.digit);
        g.equal("claimed multiple", chosen.values[1], g.statement(1));
        g.equal("nine", chosen.values[0], Fr::from(9_u64));
        let digit = g.witness("digit", Fr::from(self.digit));
        g.equal("chosen", digit, chosen.key);
        let mut last = self.x;
        for i in 0..100 {
            last = last.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(i);
            let limb = g.limb("filler", last, 64);
            let _ = g.product("filler square", &limb, &limb);
        }
    }
}

/// Makes a key whose secrets follow from `seed`; `gamma` is 1 in ceremonies' keys.
pub(crate) fn key(seed: u64, gamma: Option<Fr>) -> ProvingKey {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut trapdoor = Trapdoor::random(&mut rng);
    if let Some(gamma) = gamma {
        trapdoor.gamma = gamma;
    }
    let slots = CircuitSize::from_slots(1).expect("one slot");
    let toy = Toy::new(1, 1);
    ProvingKey::generate(&toy, slots, 1, Origin::Development, &trapdoor, &mut rng)
        .expect("the toy circuit has a key")
}

fn prover(seed: u64, gamma: Option<Fr>) -> Prover {
    Prover::new(key(seed, gamma), &Toy::new(2, 3)).expect("a fresh key is good")
}

/// The prover that most tests use.
pub(super) static PROVER: LazyLock<Prover> = LazyLock::new(|| prover(1, None));
/// One with a key as ceremonies make them: gamma is 1.
pub(super) static CEREMONY: LazyLock<Prover> = LazyLock::new(|| prover(2, Some(Fr::ONE)));

/// The key of a prover that has it in memory.
pub(super) fn in_memory(prover: &Prover) -> &ProvingKey {
    prover.key().expect("made with a key in memory")
}

/// An honest proof, decoded.
pub(super) fn prove(prover: &Prover, toy: &Toy) -> Proof {
    let proven = prover
        .prove(toy, |_| ControlFlow::Continue(()))
        .expect("a true statement");
    assert_eq!(proven.statement, toy.statement);
    Proof::decode(&proven.proof).expect("a proof decodes")
}

/// A proof of `toy` by somebody who may bend the commitment before the challenges are drawn, and
/// claims `claimed`. Returns the proof and the whole assignment.
pub(super) fn prove_bent(
    prover: &Prover,
    toy: &Toy,
    claimed: &[Fr],
    [blinder, r, s]: [Fr; 3],
    bend: impl FnOnce((G1Affine, G1Affine)) -> (G1Affine, G1Affine),
) -> (Proof, Vec<Fr>) {
    let stage = toy.fill().commit(|_, _| blinder);
    let commitment = bend(prover.commit(&stage.values()).expect("a key in memory"));
    let challenges = Challenges::draw(prover.verifier().digest(), claimed, &commitment.0);
    let z = stage.respond(challenges).into_assignment();
    let proof = prover
        .assemble(&z, commitment, [r, s], |_| Ok(()))
        .expect("the rows hold");
    (proof, z)
}

/// Three scalars that stand for fresh secrets.
pub(super) fn secrets() -> [Fr; 3] {
    [31_u64, 37, 41].map(|n| Fr::from(n).inverse().expect("not zero"))
}
