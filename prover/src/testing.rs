//! The one key of the real circuit that all tests share.
//!
//! **Its randomness is a constant: whoever reads this can forge proofs under it.** It is made once,
//! by whichever test comes first, and kept in the build directory; a circuit that changed gets a
//! new one.

use std::fs::{self, File};
use std::ops::ControlFlow;
use std::path::Path;

use ark_std::rand::SeedableRng;
use ark_std::rand::rngs::StdRng;
use quorate_circuits::circuit::QuorumCircuit;
use quorate_circuits::ground::Circuit;
use quorate_verifier::primitives::CircuitSize;
use quorate_verifier::sizes::NAMED_SIZES;

use crate::finality::development_key;
use crate::store::{Store, StoredKey};

/// The size that the shared key is for: the smallest that has a name.
pub const INSECURE_TEST_SIZE: CircuitSize = NAMED_SIZES[0].size;

/// The store with the shared key in it, and the key. `target` is what cargo tells tests in
/// `CARGO_TARGET_TMPDIR`. Test binaries that come while the key is made wait for it.
///
/// # Panics
/// When the disk or the key generator fails: no test can go on then.
#[must_use]
pub fn insecure_test_key(target: &Path) -> (Store, StoredKey) {
    insecure_key(target, INSECURE_TEST_SIZE)
}

/// The same for another size: for benchmarks.
///
/// # Panics
/// As [`insecure_test_key`].
#[must_use]
pub fn insecure_key(target: &Path, size: CircuitSize) -> (Store, StoredKey) {
    let dir = target.join("quorate-test-keys");
    fs::create_dir_all(&dir).expect("the build directory can be written");
    let lock = File::create(dir.join("lock")).expect("the build directory can be written");
    lock.lock().expect("the file system has locks");
    let store = Store::at(dir);
    let circuit = QuorumCircuit::of_size(size).record().digest();
    store.remove_unfinished().expect("nobody else has the lock");
    for entry in store.entries().expect("our own directory") {
        match entry.key {
            Ok(key) if key.verifying().circuit.slots != size => {}
            Ok(key)
                if *key.verifying().circuit.digest.as_bytes() == circuit
                    && key.check(|_| ControlFlow::Continue(())).is_ok() =>
            {
                return (store, key);
            }
            // Of another version of the circuit, or damaged.
            _ => store.remove(&entry.digest).expect("our own directory"),
        }
    }
    let mut rng = StdRng::seed_from_u64(41);
    let key = development_key(size, &mut rng).expect("the circuit has a key");
    let draft = store.begin().expect("our own directory");
    let key = draft.finish(&key, |_| ControlFlow::Continue(()));
    (store, key.expect("there is room for a key"))
}
