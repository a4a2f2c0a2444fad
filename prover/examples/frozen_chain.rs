//! Makes the frozen chain of `fixtures/frozen/`, once and never again.
//!
//! ```text
//! cargo run --release -p quorate-prover --example frozen_chain
//! ```
//!
//! Fifty headers with five changes of the validator set, each with a real proof of the whole quorum
//! circuit from a real certificate, and a few that a light client must refuse although they are
//! proved. The key is new at every run, so the files are too: the command refuses to write where
//! something is. They must verify for ever, whatever becomes of the circuit.

use std::error::Error;
use std::fs;
use std::ops::ControlFlow;
use std::time::Instant;

use ark_std::rand::{SeedableRng, rngs::StdRng};
use quorate_circuits::circuit::{QuorumCircuit, QuorumWitness};
use quorate_fixtures::rolling::Rolling;
use quorate_fixtures::{Network, frozen};
use quorate_prover::{Prover, attest, development_key, finality_prover};
use quorate_verifier::attestation::Attestation;
use quorate_verifier::certificate::SignedHeader;
use quorate_verifier::file::FileType;
use quorate_verifier::genesis::AcceptedKey;
use quorate_verifier::header::Header;
use quorate_verifier::light_client::{Overlap, Update};
use quorate_verifier::merkle;
use quorate_verifier::primitives::{CircuitSize, TimeMs, View};
use quorate_verifier::proof::Proof;
use quorate_verifier::rule::QuorumRule;
use quorate_verifier::set::ValidatorSet;

const SEED: u64 = 50;
const SLOTS: u16 = 3;

fn main() -> Result<(), Box<dyn Error>> {
    let dir = frozen::dir();
    if dir.join("chain").exists() {
        return Err(format!("{}: is there, and is never made again", dir.display()).into());
    }
    let start = Instant::now();
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)?;
    let key = development_key(
        CircuitSize::from_slots(SLOTS)?,
        &mut StdRng::from_seed(seed),
    )?;
    let prover = finality_prover(key)?;
    let listed = AcceptedKey {
        digest: *prover.verifier().digest(),
        slots: prover.verifier().key().circuit.slots,
    };
    let chain = Rolling::new(SEED, listed, &frozen::CHANGES);
    println!(
        "key {} after {:.0} s",
        listed.digest,
        start.elapsed().as_secs_f64()
    );

    // Written beside its place, so that what is cut short leaves nothing that looks finished.
    let draft = dir.with_extension("draft");
    fs::create_dir_all(draft.join("chain"))?;
    fs::create_dir_all(draft.join("hostile"))?;
    fs::write(draft.join("key.vk"), prover.verifier().key().to_file())?;
    let genesis = chain.networks[0].genesis.to_json() + "\n";
    fs::write(draft.join("genesis.json"), genesis)?;
    let policy = chain.policy(chain.genesis_header()).to_json() + "\n";
    fs::write(draft.join("policy.json"), policy)?;

    let headers = chain.headers(frozen::TIP);
    for header in &headers[1..] {
        let height = header.height;
        let made = prove(&prover, &chain.finalize(header), &chain.at(height).set)?;
        let name = frozen::path(height.get());
        let name = name.file_name().ok_or("a name")?;
        fs::write(draft.join("chain").join(name), made.to_file())?;
        println!(
            "height {} after {:.0} s",
            height.get(),
            start.elapsed().as_secs_f64()
        );
    }
    for (name, file) in hostile(&prover, &chain, &headers)? {
        fs::write(draft.join("hostile").join(name), file)?;
        println!("{name} after {:.0} s", start.elapsed().as_secs_f64());
    }
    fs::write(draft.join("README.md"), readme(&prover))?;
    fs::rename(&draft, &dir)?;
    Ok(())
}

fn prove(
    prover: &Prover,
    block: &SignedHeader,
    set: &ValidatorSet,
) -> Result<Attestation, Box<dyn Error>> {
    let chain = &block.header.chain_id;
    Ok(attest(
        prover,
        block,
        chain,
        set,
        QuorumRule::COMMIT,
        |_| ControlFlow::Continue(()),
    )?)
}

/// A file by name.
type Named = (&'static str, Vec<u8>);

/// What is proved and yet must not be taken, and the skip.
fn hostile(
    prover: &Prover,
    chain: &Rolling,
    headers: &[Header],
) -> Result<Vec<Named>, Box<dyn Error>> {
    let bent = |height: usize, bend: fn(&mut Header, &[Header])| {
        let mut header = headers[height].clone();
        bend(&mut header, headers);
        header
    };
    let dishonest = |header: Header| -> Result<Vec<u8>, Box<dyn Error>> {
        let network = chain.at(header.height);
        let signed = network.finalize(header, View::new(5), &[0, 1]);
        Ok(prove(prover, &signed, &network.set)?.to_file())
    };
    let forked = bent(25, |header, _| header.payload_root = merkle::root(&[]));
    let orphan = bent(31, |header, headers| header.parent = headers[29].digest());
    let early = bent(31, |header, headers| {
        let before = headers[30].time.get() - 1000;
        header.time = TimeMs::new(before).expect("before the year 10000");
    });
    let strangers = Network::new(99, &quorate_fixtures::rolling::POWERS, SLOTS);
    let mut usurped = headers[26].clone();
    usurped.validators = strangers.set.commitment();
    let usurped = strangers.finalize(usurped, View::FIRST, &[0, 1]);
    Ok(vec![
        (frozen::FORKED, dishonest(forked)?),
        (frozen::WRONG_PARENT, dishonest(orphan)?),
        (frozen::TIME_BACK, dishonest(early)?),
        (
            frozen::WRONG_SET,
            prove(prover, &usurped, &strangers.set)?.to_file(),
        ),
        (frozen::SKIP, skip(prover, chain, &headers[12])?.to_file()),
    ])
}

/// Height 12, signed by the second set, with a proof that more than a third of the first signed it.
fn skip(prover: &Prover, chain: &Rolling, header: &Header) -> Result<Update, Box<dyn Error>> {
    let signed = chain.finalize(header);
    let attestation = prove(prover, &signed, &chain.at(header.height).set)?;
    let seen = chain.seen_from(&signed, 0);
    let witness = QuorumWitness::new(&seen, &chain.networks[0].set, QuorumRule::OVERLAP)?;
    let proven = prover.prove(&QuorumCircuit::new(witness), |_| ControlFlow::Continue(()))?;
    let overlap = Overlap {
        key: *prover.verifier().digest(),
        proof: Proof::decode(&proven.proof)?,
    };
    Ok(Update {
        overlap: Some(overlap),
        ..Update::step(attestation)
    })
}

fn readme(prover: &Prover) -> String {
    let key = prover.verifier().key();
    format!(
        "# A frozen chain\n\n\
         Fifty headers with five changes of the validator set, each with a real proof of the whole \
         quorum circuit. Made once by\n\n\
         ```sh\n\
         cargo run --release -p quorate-prover --example frozen_chain\n\
         ```\n\n\
         which refuses to write over it. **Never made again**: these files must keep verifying \
         whatever becomes of the circuit, because they bring the key that they were made under.\n\n\
         | file | what |\n\
         |---|---|\n\
         | `key.vk` | light verifying key `{digest}`, of circuit `{circuit}`, {slots} slots, {rows} rows; \
         made by one party |\n\
         | `genesis.json`, `policy.json` | the chain, and a verifier that starts from its genesis header |\n\
         | `chain/NN.attestation` | height NN; the first that a new set signs are {changes:?} |\n\
         | `hostile/` | proved, and yet to be refused: a fork, a wrong parent, a time that goes back, a \
         set that nobody named; and a skip to height 12, to be taken only where skips are allowed |\n\n\
         Signers and sets follow from seeds in `fixtures/src/rolling.rs`; the key's secrets were random \
         and are gone.\n",
        digest = key.digest(),
        circuit = key.circuit.digest,
        slots = key.circuit.slots.slots(),
        rows = prover.matrices().rows(),
        changes = frozen::CHANGES,
    )
}
