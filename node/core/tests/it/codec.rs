//! Scenario 32: the codec of messages and records against hostile bytes: no panic, and what
//! decodes encodes to the same bytes.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use bolero::check;
use quorate_pbft::defect::Broken;
use quorate_pbft::log::RecordLog;
use quorate_pbft::message::{Message, Opening, Prepared};
use quorate_pbft::record::Record;
use quorate_pbft::sim::{LiarKind, Setup, Weather};
use quorate_pbft::snapshot::Snapshot;
use quorate_verifier::encoding::{Canonical, DecodeError};
use quorate_verifier::primitives::{Digest, View};
use quorate_verifier::signature::Signature;

use crate::scenarios::world;

/// Good encodings by kind, the shortest and the longest of each that a troubled world has sent.
fn messages() -> Vec<Vec<u8>> {
    let seen: Rc<RefCell<BTreeMap<u8, [Vec<u8>; 2]>>> = Rc::default();
    for seed in 0..8 {
        let mut setup = Setup::calm(4);
        (setup.seed, setup.spares, setup.weak) = (seed, 1, vec![3]);
        (setup.wire, setup.snapshot_every) = (false, 4);
        setup.weather = Weather {
            delay_max_ms: 9,
            loss: 120,
            ..Weather::CALM
        };
        setup.liars = vec![(0, LiarKind::Silent)];
        let mut world = world(setup, Broken(None));
        let noted = seen.clone();
        world.filter = Some(Box::new(move |_, _, message| {
            let bytes = message.to_bytes();
            let mut noted = noted.borrow_mut();
            let [short, long] = noted
                .entry(bytes[0])
                .or_insert_with(|| [bytes.clone(), bytes.clone()]);
            if bytes.len() < short.len() {
                *short = bytes;
            } else if bytes.len() > long.len() {
                *long = bytes;
            }
            true
        }));
        world.run_until(300);
        world.submit_change();
        world.run_until(900);
        world.wipe(3);
        world.run_until(2_500);
        assert_eq!(world.violations(), []);
    }
    let seen = seen.take();
    let kinds: Vec<_> = seen.keys().copied().collect();
    assert_eq!(kinds, (1..=18).collect::<Vec<u8>>(), "every kind was sent");
    seen.into_values().flatten().collect()
}

/// The opening of a view that a silent primary's successor sends.
fn opening() -> Opening {
    let mut setup = Setup::calm(4);
    setup.liars = vec![(0, LiarKind::Silent)];
    let mut world = world(setup, Broken(None));
    let seen: Rc<RefCell<Option<Opening>>> = Rc::default();
    let noted = seen.clone();
    world.filter = Some(Box::new(move |_, _, message| {
        if let Message::PrePrepare(proposal) = message
            && let Some(opening) = &proposal.opening
        {
            *noted.borrow_mut() = Some(Opening::clone(opening));
        }
        true
    }));
    world.run_until(2_500);
    drop(world);
    seen.take().expect("a view was opened")
}

/// Records of a node's logs, one of each kind at least.
fn records() -> Vec<Vec<u8>> {
    let mut setup = Setup::calm(4);
    (setup.spares, setup.liars) = (1, vec![(0, LiarKind::Equivocator)]);
    let mut world = world(setup, Broken(None));
    world.run_until(200);
    world.submit_change();
    world.run_until(1_200);
    let mut records = BTreeMap::new();
    for node in 1..4 {
        let mut disk = world.image(node);
        for prefix in ["votes", "blocks"] {
            let (_, opened) = RecordLog::open(&mut disk, prefix, 1 << 20, false).unwrap();
            for record in opened.records {
                let bytes = record.to_bytes();
                records.insert(bytes[0], bytes);
            }
        }
    }
    let kinds: Vec<_> = records.keys().copied().collect();
    assert_eq!(kinds, [1, 2, 3, 4, 5, 6], "every kind was written");
    records.into_values().collect()
}

/// Bytes at the front of a good encoding that are edited one at a time.
const EDITED: usize = 400;

/// Good encodings with edits, cuts and tails, and bytes of all sorts behind a good kind byte.
fn fuzz<T: Canonical>(goods: &[Vec<u8>], iterations: usize) {
    for good in goods {
        assert!(is_canonical::<T>(good), "a good one decodes");
        for cut in 0..good.len().min(600) {
            assert!(!is_canonical::<T>(&good[..cut]), "cut at {cut}");
        }
        let longer = [&good[..], &[0]].concat();
        assert!(!is_canonical::<T>(&longer), "nothing follows the end");
        for at in 0..good.len().min(EDITED) {
            let mut bytes = good.clone();
            for value in [0, 1, 2, 127, 128, 255, good[at] ^ 1, good[at] ^ 128] {
                bytes[at] = value;
                is_canonical::<T>(&bytes);
            }
        }
        for kind in 0..=255 {
            is_canonical::<T>(&[&[kind], &good[1..]].concat());
        }
    }
    check!()
        .with_type::<(u8, u8, Vec<u8>, Vec<(u16, u8)>)>()
        .with_iterations(iterations)
        .for_each(|(pick, form, tail, edits)| {
            let good = &goods[usize::from(*pick) % goods.len()];
            let mut bytes = match form % 3 {
                0 => [&good[..1], tail].concat(),
                1 => tail.clone(),
                _ => good.clone(),
            };
            for (at, value) in edits.iter().take(4) {
                if let Some(last) = bytes.len().checked_sub(1) {
                    bytes[usize::from(*at).min(last)] = *value;
                }
            }
            if form & 8 != 0 {
                bytes.truncate(edits.first().map_or(0, |(at, _)| usize::from(*at)));
            }
            is_canonical::<T>(&bytes);
        });
}

/// Whether bytes decode; those that do are the only encoding of what they mean.
fn is_canonical<T: Canonical>(bytes: &[u8]) -> bool {
    match T::from_bytes(bytes) {
        Ok(value) => {
            assert_eq!(value.to_bytes(), bytes);
            true
        }
        Err(_) => false,
    }
}

#[test]
fn messages_hold_against_hostile_bytes() {
    fuzz::<Message>(&messages(), 200_000);
}

#[test]
fn records_hold_against_hostile_bytes() {
    fuzz::<Record>(&records(), 100_000);
}

/// A stored snapshot, taken from a node that has adopted one.
#[test]
fn snapshots_hold_against_hostile_bytes() {
    let mut setup = Setup::calm(4);
    (setup.weak, setup.snapshot_every) = (vec![3], 4);
    let mut world = world(setup, Broken(None));
    world.run_until(900);
    world.wipe(3);
    world.filter = Some(Box::new(|_, _, message| match message {
        Message::Blocks(blocks) => blocks.iter().all(|b| b.block.height().get() > 20),
        _ => true,
    }));
    world.run_until(2_000);
    let disk = world.image(3);
    use quorate_pbft::log::Storage as _;
    let names = disk.list().unwrap();
    let name = names.iter().find(|name| name.starts_with("snapshot-"));
    let file = disk.read(name.unwrap()).unwrap();
    // The file ends in 32 bytes of check.
    fuzz::<Snapshot>(&[file[..file.len() - 32].to_vec()], 50_000);
}

/// Scenario 6: prepared certificates and openings that name a signer twice, or out of order, do not
/// decode.
#[test]
fn signers_out_of_order_are_refused() {
    let signature = Signature::from_bytes([7; 64]);
    let prepared = |signers: &[u16]| Prepared {
        view: View::FIRST,
        block: Digest::ZERO,
        votes: signers.iter().map(|signer| (*signer, signature)).collect(),
    };
    assert!(Prepared::from_bytes(&prepared(&[0, 1, 3]).to_bytes()).is_ok());
    for signers in [[1, 1, 2], [0, 2, 1]] {
        let error = Prepared::from_bytes(&prepared(&signers).to_bytes()).unwrap_err();
        assert!(error.to_string().contains("strictly increase"), "{error}");
    }
    let opening = opening();
    assert!(Opening::from_bytes(&opening.to_bytes()).is_ok());
    for (from, to) in [(0, 1), (1, 0)] {
        let mut wrong = Opening::clone(&opening);
        wrong.claims[to] = wrong.claims[from];
        let error = Opening::from_bytes(&wrong.to_bytes()).unwrap_err();
        assert!(error.to_string().contains("strictly increase"), "{error}");
    }
}

/// Lengths are refused before anything is allocated or read for them.
#[test]
fn lengths_above_their_limits_are_refused() {
    let height = [1, 0, 0, 0, 0, 0, 0, 0];
    let long = u32::MAX.to_le_bytes();
    // A request: client key, sequence, length of the body.
    let request = [&[1][..], &[7; 32], &height, &long].concat();
    // A chunk: height, place, length.
    let chunk = [&[18][..], &height, &[0; 4], &long].concat();
    // Blocks: how many.
    let blocks = [&[10][..], &u16::MAX.to_le_bytes()].concat();
    for bytes in [request, chunk, blocks] {
        let error = Message::from_bytes(&bytes).unwrap_err();
        assert!(matches!(error, DecodeError::TooLong { .. }), "{error:?}");
    }
}
