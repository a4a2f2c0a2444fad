//! Whole proofs of the quorum circuit, and where their time goes: 2^18 rows, and 2^19 too when
//! `QUORATE_BENCH_LARGE` is set. Keys are made at the first run and kept in the build directory.
#![allow(missing_docs, reason = "criterion's macros make undocumented items")]

use std::hint::black_box;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use ark_bn254::{Fr, G1Affine, G1Projective, G2Affine, G2Projective};
use ark_ec::{AffineRepr, CurveGroup};
use ark_ff::UniformRand;
use ark_std::rand::{SeedableRng, rngs::StdRng};
use criterion::{BenchmarkId, Criterion, SamplingMode, criterion_group, criterion_main};
use quorate_circuits::circuit::QuorumCircuit;
use quorate_circuits::ground::Circuit;
use quorate_fixtures::Network;
use quorate_prover::testing::insecure_key;
use quorate_prover::{
    Phase, Prover, attest, check_provable, machine, open_prover, sum_of_multiples,
};
use quorate_verifier::certificate::SignedHeader;
use quorate_verifier::primitives::{CircuitSize, View};
use quorate_verifier::rule::QuorumRule;
use quorate_verifier::sizes::NAMED_SIZES;

const RULE: QuorumRule = QuorumRule::COMMIT;
const PROOFS: usize = 10;

/// A certificate that takes every slot, and the prover for it.
struct Case {
    prover: Prover,
    network: Network,
    block: SignedHeader,
}

impl Case {
    fn new(size: CircuitSize) -> Self {
        let (_, key) = insecure_key(Path::new(env!("CARGO_TARGET_TMPDIR")), size);
        let network = Network::equal(1, usize::from(size.slots()), size.slots());
        let signers: Vec<u16> = (0..size.slots()).collect();
        let header = network.child(&network.genesis_header());
        let block = network.finalize(header, View::FIRST, &signers);
        let prover = open_prover(key).expect("a good key");
        Self {
            prover,
            network,
            block,
        }
    }

    /// What each phase of a proof took.
    fn prove(&self) -> Vec<Duration> {
        let chain = self.network.genesis.chain_id().expect("a good name");
        let mut marks = Vec::new();
        let watch = |_| {
            marks.push(Instant::now());
            ControlFlow::Continue(())
        };
        let proof = attest(
            &self.prover,
            &self.block,
            &chain,
            &self.network.set,
            RULE,
            watch,
        );
        proof.expect("a quorum");
        marks.push(Instant::now());
        marks.windows(2).map(|pair| pair[1] - pair[0]).collect()
    }
}

fn phases(c: &mut Criterion) {
    let sizes = if std::env::var_os("QUORATE_BENCH_LARGE").is_some() {
        2
    } else {
        1
    };
    for named in &NAMED_SIZES[..sizes] {
        let case = Case::new(named.size);
        let proofs: Vec<Vec<Duration>> = (0..PROOFS).map(|_| case.prove()).collect();
        let name = format!("prove, 2^{} rows", named.domain_log2);
        let mut group = c.benchmark_group(name);
        group.sample_size(PROOFS).sampling_mode(SamplingMode::Flat);
        // Every proof was made once; here its parts are only reported.
        let mut report = |name: &str, time: &dyn Fn(&Vec<Duration>) -> Duration| {
            let mut next = proofs.iter().cycle();
            group.bench_function(name, |b| {
                b.iter_custom(|count| (0..count).filter_map(|_| next.next()).map(time).sum());
            });
        };
        report("all", &|proof| proof.iter().sum());
        for (i, phase) in Phase::ALL.iter().enumerate() {
            report(phase.name(), &|proof| proof[i]);
        }
        group.finish();
    }
}

/// Values of the first stage alone, without a key.
fn witness(c: &mut Criterion) {
    let size = NAMED_SIZES[0].size;
    let network = Network::equal(1, usize::from(size.slots()), size.slots());
    let signers: Vec<u16> = (0..size.slots()).collect();
    let header = network.child(&network.genesis_header());
    let block = network.finalize(header, View::FIRST, &signers);
    let chain = network.genesis.chain_id().expect("a good name");
    let witness = check_provable(&block, &chain, &network.set, RULE).expect("a quorum");
    let circuit = QuorumCircuit::new(witness);
    let mut group = c.benchmark_group("witness");
    group.sample_size(10);
    group.bench_function("filling", |b| b.iter(|| circuit.fill()));
    group.bench_function("recording rows", |b| b.iter(|| circuit.record()));
    group.finish();
}

/// Our sums against the library's, on full-size scalars.
fn sums(c: &mut Criterion) {
    use ark_ec::VariableBaseMSM;
    let mut rng = StdRng::seed_from_u64(1);
    let count = 1 << 16;
    let scalars: Vec<Fr> = (0..count).map(|_| Fr::rand(&mut rng)).collect();
    let mut g1 = vec![G1Affine::generator().into_group(); 1];
    let mut g2 = vec![G2Affine::generator().into_group(); 1];
    while g1.len() < count {
        let (one, two) = (g1[g1.len() - 1], g2[g2.len() - 1]);
        g1.push(one + one + g1[g1.len() / 2]);
        g2.push(two + two + g2[g2.len() / 2]);
    }
    let (g1, g2) = (
        G1Projective::normalize_batch(&g1),
        G2Projective::normalize_batch(&g2),
    );
    let mut group = c.benchmark_group("sum of 2^16 multiples");
    group.sample_size(10);
    let id = |name, group| BenchmarkId::new(name, group);
    // Processor seconds of all threads: a clock would favour whoever starts more of them.
    fn work<T>(count: u64, sum: impl Fn() -> T) -> Duration {
        let start = machine::processor_seconds().unwrap_or_default();
        (0..count).for_each(|_| drop(black_box(sum())));
        let end = machine::processor_seconds().unwrap_or_default();
        Duration::from_secs_f64(end - start)
    }
    group.bench_function(id("library", "G1"), |b| {
        b.iter_custom(|n| work(n, || G1Projective::msm_unchecked(&g1, &scalars)));
    });
    group.bench_function(id("ours", "G1"), |b| {
        b.iter_custom(|n| work(n, || sum_of_multiples(&g1, &scalars)))
    });
    group.bench_function(id("library", "G2"), |b| {
        b.iter_custom(|n| work(n, || G2Projective::msm_unchecked(&g2, &scalars)));
    });
    group.bench_function(id("ours", "G2"), |b| {
        b.iter_custom(|n| work(n, || sum_of_multiples(&g2, &scalars)))
    });
    group.finish();
}

criterion_group!(benches, sums, witness, phases);
criterion_main!(benches);
