//! The vote log cut at every byte, with every bit flipped, and after power losses: it never
//! panics, never invents, and never loses silently what a later record shows to have been durable.

use quorate_pbft::defect::{Broken, Build as _, Defect};
use quorate_pbft::log::{LogError, RecordLog, Storage};
use quorate_pbft::record::Record;
use quorate_pbft::sim::{Disk, DiskError, Rng, Setup};

use crate::scenarios::{Verdict, defended_by, expect, world};

const PREFIX: &str = "votes";
/// Small, so that a few records fill several.
const SEGMENT_BYTES: usize = 700;
/// Bytes of a segment's header.
const HEADER_BYTES: usize = 9;

/// Votes, blocks, evidence and final blocks as a node has written them.
fn records() -> Vec<Record> {
    let mut world = world(Setup::calm(4), Broken(None));
    world.run_until(200);
    let mut disk = world.image(0);
    let mut records = Vec::new();
    for prefix in ["votes", "blocks"] {
        let (_, opened) = RecordLog::open(&mut disk, prefix, 1 << 20, false).unwrap();
        records.extend(opened.records.into_iter().take(7));
    }
    assert!(records.len() > 10);
    records
}

/// A log of some segments, with all records durable, and what is in it.
fn small_log() -> (Disk, Vec<Record>) {
    let (mut disk, records) = (Disk::default(), records());
    let (mut log, _) = open(&mut disk).unwrap();
    for record in &records {
        log.append(&mut disk, record, true).unwrap();
        log.sync(&mut disk).unwrap();
    }
    assert!(disk.list().unwrap().len() > 2, "several segments");
    (disk, records)
}

type Opened = Result<(RecordLog, Vec<Record>), LogError<DiskError>>;

fn open(disk: &mut Disk) -> Opened {
    open_by(Broken(None), disk)
}

fn open_by(build: Broken, disk: &mut Disk) -> Opened {
    let skip = build.lacks(Defect::DamageSkipped);
    let (log, opened) = RecordLog::open(disk, PREFIX, SEGMENT_BYTES, skip)?;
    Ok((log, opened.records))
}

fn names(disk: &Disk) -> Vec<String> {
    let mut names = disk.list().unwrap();
    names.sort();
    names
}

/// A file's content is replaced, and durable.
fn replace(disk: &mut Disk, name: &str, bytes: &[u8]) {
    disk.truncate(name, 0).unwrap();
    disk.append(name, bytes).unwrap();
    disk.sync(name).unwrap();
}

/// First byte behind each frame of a segment: `length u32, 16 bytes, body, 16 bytes`.
fn ends(bytes: &[u8]) -> Vec<usize> {
    let (mut ends, mut at) = (Vec::new(), HEADER_BYTES);
    while let Some(length) = bytes.get(at..at + 4) {
        let length = u32::from_le_bytes(length.try_into().unwrap());
        at += 4 + 16 + usize::try_from(length).unwrap() + 16;
        ends.push(at);
    }
    assert_eq!(ends.last().copied().unwrap_or(HEADER_BYTES), bytes.len());
    ends
}

/// A log that opened goes on: what it held is still there after a new record and another start.
fn goes_on(mut log: RecordLog, mut disk: Disk, held: &[Record], new: &Record) {
    log.append(&mut disk, new, true).unwrap();
    log.sync(&mut disk).unwrap();
    let (_, again) = open(&mut disk).unwrap();
    assert_eq!(again[..held.len()], *held);
    assert_eq!(again[held.len()..], *std::slice::from_ref(new));
}

/// Scenario 23: the last segment cut at every byte: every whole frame before the cut is there, the
/// rest is dropped, and the log goes on.
#[test]
fn the_tail_is_cut_at_every_byte() {
    let (disk, records) = small_log();
    let names = names(&disk);
    let last = names.last().unwrap();
    let bytes = disk.read(last).unwrap();
    let ends = ends(&bytes);
    let before = records.len() - ends.len();
    for cut in 0..=bytes.len() {
        let mut disk = disk.clone();
        disk.truncate(last, cut).unwrap();
        let whole = ends.iter().filter(|end| **end <= cut).count();
        let (log, held) = open(&mut disk).unwrap_or_else(|e| panic!("cut at {cut}: {e}"));
        assert_eq!(held, records[..before + whole], "cut at {cut}");
        goes_on(log, disk, &held, &records[0]);
    }
}

/// Scenario 23: an earlier segment cut at every byte, or gone: later records show that it was
/// durable, and the log does not open.
#[test]
fn an_earlier_segment_cannot_be_cut() {
    defended_by(Defect::DamageSkipped, |build| {
        let (disk, records) = small_log();
        let names = names(&disk);
        for name in &names[..names.len() - 1] {
            let bytes = disk.read(name).unwrap();
            for cut in 0..bytes.len() {
                let mut disk = disk.clone();
                disk.truncate(name, cut).unwrap();
                let refused = open_by(build, &mut disk);
                let named = matches!(
                    refused,
                    Err(LogError::Damaged { .. } | LogError::Missing(_))
                );
                let why = || format!("{name} cut at {cut}: {:?}", refused.map(|r| r.1.len()));
                if !named {
                    return Err(why());
                }
            }
        }
        // Segments that are no longer needed are taken away from the front, which is no damage.
        let mut disk = disk.clone();
        disk.remove(&names[0]).unwrap();
        let held = open_by(build, &mut disk).unwrap().1;
        expect(
            !held.is_empty() && records.ends_with(&held),
            "the rest is lost",
        )?;
        // From the middle it is.
        disk.remove(&names[2]).unwrap();
        let refused = names.len() > 3 && open_by(build, &mut disk).is_err();
        expect(refused, "a segment may be missing")
    });
}

/// Scenario 23, bug 13: every bit of the log flipped: what a later record shows to have been
/// durable is there or the log does not open, and nothing is there that was not written.
#[test]
fn every_bit_is_flipped() {
    defended_by(Defect::DamageSkipped, every_bit);
}

fn every_bit(build: Broken) -> Verdict {
    let (disk, records) = small_log();
    let names = names(&disk);
    let (mut opened, mut refused, mut first) = (0, 0, 0);
    for (place, name) in names.iter().enumerate() {
        let good = disk.read(name).unwrap();
        let ends = ends(&good);
        let last_segment = place + 1 == names.len();
        for bit in 0..8 * good.len() {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let mut disk = disk.clone();
            replace(&mut disk, name, &bytes);
            // The last frame of all is the only one that no other frame vouches for.
            let vouched = !last_segment || bit / 8 < ends.iter().rev().nth(1).copied().unwrap_or(0);
            match open_by(build, &mut disk) {
                Ok((log, held)) => {
                    opened += 1;
                    expect(!vouched, format!("{name}: bit {bit} is lost"))?;
                    let kept = held.len() + 1 >= records.len() && records.starts_with(&held);
                    expect(kept, format!("{name}: bit {bit}: {} records", held.len()))?;
                    if bit % 64 == 0 {
                        goes_on(log, disk, &held, &records[0]);
                    }
                }
                Err(LogError::Damaged { .. } | LogError::Missing(_)) => refused += 1,
                Err(error) => return Err(format!("{name}: bit {bit}: {error}")),
            }
        }
        first += ends.len();
    }
    assert_eq!(first, records.len());
    expect(
        opened > 0 && refused > 3 * opened,
        format!("{opened} {refused}"),
    )
}

/// Scenarios 22 and 23: power losses that tear what was not durable, at any operation: every
/// record that was synced is there afterwards, with its segment's directory entry.
#[test]
fn what_was_durable_survives_power_losses() {
    defended_by(Defect::DirectoryUnsynced, |build| {
        let records = records();
        (0..400).try_for_each(|seed| a_life_of_a_log(seed, build, &records))
    });
}

fn a_life_of_a_log(seed: u64, build: Broken, records: &[Record]) -> Verdict {
    let sync_directory = !build.lacks(Defect::DirectoryUnsynced);
    let (mut rng, mut disk) = (Rng::new(seed, 7), Disk::default());
    let (mut written, mut durable) = (Vec::new(), 0);
    for _ in 0..4 {
        disk.crash_in = None;
        let (mut log, held) = match open(&mut disk) {
            Ok(opened) => opened,
            Err(error) => return Err(format!("seed {seed}: {error}")),
        };
        let kept = held.len() >= durable && written.starts_with(&held);
        expect(kept, format!("seed {seed}: {} of {durable}", held.len()))?;
        (written, durable) = (held.clone(), held.len());
        disk.crash_in = Some(rng.between(1, 25));
        for _ in 0..12 {
            let record = &records[rng.place(records.len())];
            written.push(record.clone());
            if log.append(&mut disk, record, sync_directory).is_err() {
                break;
            }
            if rng.chance(600) {
                if log.sync(&mut disk).is_err() {
                    break;
                }
                durable = written.len();
            }
        }
        disk.crash(&mut rng);
    }
    Ok(())
}
