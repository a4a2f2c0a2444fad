//! An append-only log of records over any storage: framing, checksums, segments, recovery.
//!
//! A frame is `length u32 ‖ sequence u64 ‖ synced u64 ‖ body ‖ check`, the check being the first
//! 16 bytes of SHA-256 over everything before it in the frame. `synced` is the highest sequence
//! that was known to be durable when the frame was written. So a damaged frame is *torn*, and may
//! be dropped, if no later frame says that it was durable; otherwise the disk has lost something
//! that a vote may rely on, and the log refuses to open.
//!
//! A frame lost from the very end leaves no trace in the log; the signer's mark notices it
//! (`docs/consensus.md#restart`).

use std::collections::VecDeque;

use quorate_verifier::encoding::{Canonical, DecodeError, MAGIC};
use quorate_verifier::primitives::Height;
use sha2::{Digest, Sha256};

use crate::limits::MESSAGE_BYTES_MAX;
use crate::record::Record;

/// Where a log lives. Names are file names; the shell gives them a directory.
pub trait Storage {
    /// What goes wrong below.
    type Error: std::error::Error + 'static;

    /// Names of all files, in any order.
    ///
    /// # Errors
    /// Whatever the device says.
    fn list(&self) -> Result<Vec<String>, Self::Error>;
    /// The content of a file.
    ///
    /// # Errors
    /// Whatever the device says.
    fn read(&self, name: &str) -> Result<Vec<u8>, Self::Error>;
    /// Makes an empty file.
    ///
    /// # Errors
    /// Whatever the device says.
    fn create(&mut self, name: &str) -> Result<(), Self::Error>;
    /// Writes at the end.
    ///
    /// # Errors
    /// Whatever the device says; the write may have happened in part.
    fn append(&mut self, name: &str, bytes: &[u8]) -> Result<(), Self::Error>;
    /// Cuts a file.
    ///
    /// # Errors
    /// Whatever the device says.
    fn truncate(&mut self, name: &str, length: usize) -> Result<(), Self::Error>;
    /// Makes a file's content durable.
    ///
    /// # Errors
    /// Whatever the device says. It must not be tried again: the data may be gone from the cache.
    fn sync(&mut self, name: &str) -> Result<(), Self::Error>;
    /// Makes creations and removals durable.
    ///
    /// # Errors
    /// Whatever the device says.
    fn sync_directory(&mut self) -> Result<(), Self::Error>;
    /// Removes a file.
    ///
    /// # Errors
    /// Whatever the device says.
    fn remove(&mut self, name: &str) -> Result<(), Self::Error>;
}

/// Why a log cannot be opened or written. A replica stops; it does not try again.
#[derive(Debug, thiserror::Error)]
pub enum LogError<E: std::error::Error + 'static> {
    /// The device failed.
    #[error("the device failed: {0}")]
    Device(#[from] E),
    /// A record that was durable is damaged.
    #[error("record {sequence} of {segment}, at byte {offset}, was durable and is damaged")]
    Damaged {
        /// The file.
        segment: String,
        /// Where the damage starts.
        offset: usize,
        /// The first damaged record.
        sequence: u64,
    },
    /// A segment is missing from the middle.
    #[error("records from {0} on are missing")]
    Missing(u64),
    /// A record whose check holds does not decode: written by another program version.
    #[error("record {sequence} does not decode: {error}")]
    Undecodable {
        /// Which record.
        sequence: u64,
        /// Why.
        error: DecodeError,
    },
}

/// What opening found.
#[derive(Debug)]
pub struct Opened {
    /// Every durable record, oldest first.
    pub records: Vec<Record>,
    /// Bytes of a torn tail that were cut off.
    pub torn_bytes: usize,
}

/// A log with the files `<prefix>-<first sequence>`.
#[derive(Clone, Debug)]
pub struct RecordLog {
    prefix: &'static str,
    /// First sequence and highest height of each segment, the last being written.
    segments: VecDeque<(u64, Height)>,
    next: u64,
    synced: u64,
    unsynced: bool,
    bytes: usize,
    segment_bytes: usize,
}

const HEADER: [u8; 9] = {
    let [a, b, c, d, e, f, g] = MAGIC;
    [a, b, c, d, e, f, g, b'L', 1]
};
const LENGTH_BYTES: usize = 4;
const FRONT_BYTES: usize = LENGTH_BYTES + 8 + 8;
const CHECK_BYTES: usize = 16;

impl RecordLog {
    /// Opens or makes a log; segments are closed when they have more than `segment_bytes`.
    ///
    /// # Errors
    /// [`LogError`]: damage that is not a torn tail is never repaired.
    pub fn open<D: Storage>(
        disk: &mut D,
        prefix: &'static str,
        segment_bytes: usize,
        skip_damage: bool,
    ) -> Result<(Self, Opened), LogError<D::Error>> {
        let mut names: Vec<_> = disk
            .list()?
            .into_iter()
            .filter_map(|n| sequence_of(prefix, &n))
            .collect();
        names.sort_unstable();
        let mut log = Self {
            prefix,
            segments: VecDeque::new(),
            next: names.first().copied().unwrap_or(0),
            synced: 0,
            unsynced: false,
            bytes: 0,
            segment_bytes,
        };
        let mut opened = Opened {
            records: Vec::new(),
            torn_bytes: 0,
        };
        // Read everything before judging: whether damage was durable is said by later frames.
        let mut files = Vec::new();
        for first in names {
            files.push((first, disk.read(&log.name(first))?));
        }
        let durable = files
            .iter()
            .flat_map(|(_, bytes)| frames(bytes))
            .map(|f| f.synced)
            .max();
        for (place, (first, bytes)) in files.iter().enumerate() {
            if *first != log.next {
                if durable.is_some_and(|d| d > log.next) && !skip_damage {
                    return Err(LogError::Missing(log.next));
                }
                // The segment before was torn, so nothing in this one was durable.
                log.drop_files(disk, files.iter().skip(place).map(|f| f.0))?;
                break;
            }
            log.segments.push_back((*first, Height::GENESIS));
            let end = log.replay(*first, bytes, durable, skip_damage, &mut opened)?;
            log.bytes = end;
            if end < bytes.len() {
                opened.torn_bytes += bytes.len() - end;
                disk.truncate(&log.name(*first), end)?;
                disk.sync(&log.name(*first))?;
            }
        }
        log.synced = log.next;
        if log.segments.is_empty() {
            log.start_segment(disk, false)?;
        } else if log.bytes < HEADER.len() {
            // Even the header was torn.
            let name = log.last_name();
            disk.truncate(&name, 0)?;
            disk.append(&name, &HEADER)?;
            disk.sync(&name)?;
            log.bytes = HEADER.len();
        } else {
            // What a killed process left in the cache is about to be relied on.
            disk.sync(&log.last_name())?;
        }
        disk.sync_directory()?;
        Ok((log, opened))
    }

    /// Reads one segment's frames; answers where the good ones end.
    fn replay<E: std::error::Error + 'static>(
        &mut self,
        first: u64,
        bytes: &[u8],
        durable: Option<u64>,
        skip_damage: bool,
        opened: &mut Opened,
    ) -> Result<usize, LogError<E>> {
        if !bytes.starts_with(&HEADER) {
            if durable.is_some_and(|d| d > self.next) && !skip_damage {
                let segment = self.name(first);
                return Err(LogError::Damaged {
                    segment,
                    offset: 0,
                    sequence: self.next,
                });
            }
            return Ok(0);
        }
        let mut offset = HEADER.len();
        while let Some(frame) = Frame::at(bytes, offset).filter(|f| f.sequence == self.next) {
            let record = Record::from_bytes(frame.body).map_err(|error| LogError::Undecodable {
                sequence: frame.sequence,
                error,
            })?;
            self.note(record.height());
            opened.records.push(record);
            self.next += 1;
            offset += frame.length();
        }
        if offset < bytes.len() && durable.is_some_and(|d| d > self.next) && !skip_damage {
            let segment = self.name(first);
            return Err(LogError::Damaged {
                segment,
                offset,
                sequence: self.next,
            });
        }
        Ok(offset)
    }

    fn drop_files<D: Storage>(
        &self,
        disk: &mut D,
        firsts: impl Iterator<Item = u64>,
    ) -> Result<(), LogError<D::Error>> {
        for first in firsts {
            disk.remove(&self.name(first))?;
        }
        Ok(())
    }

    /// Writes a record; it is durable after the next [`RecordLog::sync`].
    ///
    /// # Errors
    /// [`LogError::Device`].
    pub fn append<D: Storage>(
        &mut self,
        disk: &mut D,
        record: &Record,
        sync_directory: bool,
    ) -> Result<(), LogError<D::Error>> {
        if self.bytes > self.segment_bytes {
            self.sync(disk)?;
            self.start_segment(disk, sync_directory)?;
        }
        let frame = encode_frame(self.next, self.synced, record);
        disk.append(&self.last_name(), &frame)?;
        self.bytes += frame.len();
        self.next += 1;
        self.unsynced = true;
        self.note(record.height());
        Ok(())
    }

    /// Makes everything written durable.
    ///
    /// # Errors
    /// [`LogError::Device`]; the replica must stop.
    pub fn sync<D: Storage>(&mut self, disk: &mut D) -> Result<(), LogError<D::Error>> {
        if self.unsynced {
            disk.sync(&self.last_name())?;
            self.unsynced = false;
            self.synced = self.next;
        }
        Ok(())
    }

    /// Whether something written is not durable yet.
    pub fn is_unsynced(&self) -> bool {
        self.unsynced
    }

    /// Removes closed segments that hold only records of heights up to `height`.
    ///
    /// # Errors
    /// [`LogError::Device`].
    pub fn forget<D: Storage>(
        &mut self,
        disk: &mut D,
        height: Height,
    ) -> Result<(), LogError<D::Error>> {
        while self.segments.len() > 1 && self.segments.front().is_some_and(|s| s.1 <= height) {
            if let Some((first, _)) = self.segments.pop_front() {
                disk.remove(&self.name(first))?;
                // One at a time: if a removal is lost, what comes back is next to what is left.
                disk.sync_directory()?;
            }
        }
        Ok(())
    }

    fn start_segment<D: Storage>(
        &mut self,
        disk: &mut D,
        sync_directory: bool,
    ) -> Result<(), LogError<D::Error>> {
        self.segments.push_back((self.next, Height::GENESIS));
        let name = self.last_name();
        disk.create(&name)?;
        disk.append(&name, &HEADER)?;
        self.bytes = HEADER.len();
        self.unsynced = true;
        if sync_directory {
            disk.sync_directory()?;
        }
        Ok(())
    }

    fn note(&mut self, height: Height) {
        if let Some(last) = self.segments.back_mut() {
            last.1 = last.1.max(height);
        }
    }

    fn last_name(&self) -> String {
        self.name(self.segments.back().map_or(0, |s| s.0))
    }

    fn name(&self, first: u64) -> String {
        format!("{}-{first:016x}", self.prefix)
    }
}

fn sequence_of(prefix: &str, name: &str) -> Option<u64> {
    let digits = name.strip_prefix(prefix)?.strip_prefix('-')?;
    (digits.len() == 16).then(|| u64::from_str_radix(digits, 16).ok())?
}

fn encode_frame(sequence: u64, synced: u64, record: &Record) -> Vec<u8> {
    let mut frame = vec![0; FRONT_BYTES];
    record.write(&mut frame);
    let length = frame.len() - FRONT_BYTES;
    let length = u32::try_from(length).expect("a record is smaller than a message");
    frame[..LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
    frame[LENGTH_BYTES..LENGTH_BYTES + 8].copy_from_slice(&sequence.to_le_bytes());
    frame[LENGTH_BYTES + 8..FRONT_BYTES].copy_from_slice(&synced.to_le_bytes());
    let check = Sha256::digest(&frame);
    frame.extend_from_slice(&check[..CHECK_BYTES]);
    frame
}

struct Frame<'a> {
    sequence: u64,
    synced: u64,
    body: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The frame at a place, if its check holds.
    fn at(bytes: &'a [u8], offset: usize) -> Option<Self> {
        let rest = bytes.get(offset..)?;
        let number = |at: usize| Some(u64::from_le_bytes(rest.get(at..at + 8)?.try_into().ok()?));
        let length = u32::from_le_bytes(rest.get(..LENGTH_BYTES)?.try_into().ok()?);
        let length = usize::try_from(length)
            .ok()
            .filter(|l| *l <= MESSAGE_BYTES_MAX)?;
        let end = FRONT_BYTES + length;
        let check = rest.get(end..end + CHECK_BYTES)?;
        let hash = Sha256::digest(rest.get(..end)?);
        if hash[..CHECK_BYTES] != *check {
            return None;
        }
        let (sequence, synced) = (number(LENGTH_BYTES)?, number(LENGTH_BYTES + 8)?);
        Some(Self {
            sequence,
            synced,
            body: rest.get(FRONT_BYTES..end)?,
        })
    }

    fn length(&self) -> usize {
        FRONT_BYTES + self.body.len() + CHECK_BYTES
    }
}

/// Every good frame of a segment, also those behind damage.
fn frames(bytes: &[u8]) -> Vec<Frame<'_>> {
    let (mut found, mut offset) = (Vec::new(), HEADER.len());
    while offset < bytes.len() {
        match Frame::at(bytes, offset) {
            Some(frame) => {
                offset += frame.length();
                found.push(frame);
            }
            None => offset += 1, // hashes only where a plausible length stands
        }
    }
    found
}
