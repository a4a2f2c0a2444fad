//! The store in one file, for one process: redb, whose commits are synced and survive a crash.

use std::collections::BTreeSet;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use quorate_verifier::attestation::Attestation;
use quorate_verifier::certificate::SignedHeader;
use quorate_verifier::encoding::Canonical;
use quorate_verifier::genesis::Parameters;
use quorate_verifier::header::Header;
use quorate_verifier::primitives::{Digest, Height};
use quorate_verifier::set::{SetCommitment, ValidatorSet};
use redb::{
    Database, Key, ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata,
    TableDefinition, Value, WriteTransaction,
};

use super::job::{
    Class, Failure, Job, JobId, JobState, Lease, LeaseToken, MAX_ATTEMPTS, REQUESTS_MAX,
};
use super::{AddError, Counts, LeaseError, Store, StoreError, Submitted};
use crate::attest::disk;
use crate::shell::stream::Contents;

type Bytes = TableDefinition<'static, &'static [u8], &'static [u8]>;
type ByHeight = TableDefinition<'static, u64, &'static [u8]>;

/// Signed headers, by height. Name their signers.
const BLOCKS: ByHeight = TableDefinition::new("blocks");
/// Headers, by height.
const HEADERS: ByHeight = TableDefinition::new("headers");
/// Heights, by header digest.
const HEIGHTS: TableDefinition<'static, &'static [u8], u64> = TableDefinition::new("heights");
/// Contradicting signed headers, by height.
const FORKS: ByHeight = TableDefinition::new("forks");
/// Opened sets, by commitment. Name the members.
const SETS: Bytes = TableDefinition::new("sets");
/// Attestations, by height.
const ATTESTATIONS: ByHeight = TableDefinition::new("attestations");
/// Requests and outcomes, by height. Name clients and what they trade.
const CONTENTS: ByHeight = TableDefinition::new("contents");
/// Places of requests: client, sequence, height, place.
const REQUESTS: TableDefinition<'static, &'static [u8], ()> = TableDefinition::new("requests");
/// Opened parameters, by digest.
const PARAMETERS: Bytes = TableDefinition::new("parameters");
/// Jobs as JSON, by id.
const JOBS: Bytes = TableDefinition::new("jobs");
/// Ids of jobs that are waiting or leased, by class and order.
const OPEN: TableDefinition<'static, (u8, u64), &'static [u8]> = TableDefinition::new("open");
/// When leases end, by job id.
const LEASED: TableDefinition<'static, &'static [u8], u64> = TableDefinition::new("leased");
/// Ids of jobs that were given up.
const FAILED: TableDefinition<'static, &'static [u8], u64> = TableDefinition::new("failed");
/// Counters and values of other parts.
const VALUES: TableDefinition<'static, &'static str, &'static [u8]> =
    TableDefinition::new("values");

const TOKEN: &str = "queue/token";
const REQUEST: &str = "queue/request";
const TURN: &str = "queue/turn";
/// Whether pages of this file may still have bytes of what was forgotten.
const UNFINISHED: &str = "retention/unfinished";

/// The embedded store.
#[derive(Debug)]
pub struct EmbeddedStore {
    path: PathBuf,
    /// Held for reading by whoever writes a transaction: another file takes its place in between
    /// only.
    database: RwLock<Database>,
}

/// A transaction that no other file takes the place of.
struct Writing<'a> {
    transaction: WriteTransaction,
    _held: RwLockReadGuard<'a, Database>,
}

impl Deref for Writing<'_> {
    type Target = WriteTransaction;
    fn deref(&self) -> &WriteTransaction {
        &self.transaction
    }
}

impl Writing<'_> {
    fn commit(self) -> Result<(), redb::CommitError> {
        self.transaction.commit()
    }
}

impl EmbeddedStore {
    /// Opens or creates the file, for the owner alone: it holds certificates.
    ///
    /// # Errors
    /// [`StoreError`], also when another process has it.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        remove_fresh(path)?;
        let database = create(path)?;
        let write = database.begin_write().map_err(failed)?;
        for table in [BLOCKS, HEADERS, FORKS, ATTESTATIONS, CONTENTS] {
            write.open_table(table).map_err(failed)?;
        }
        for table in [SETS, JOBS, PARAMETERS] {
            write.open_table(table).map_err(failed)?;
        }
        for table in [HEIGHTS, LEASED, FAILED] {
            write.open_table(table).map_err(failed)?;
        }
        write.open_table(REQUESTS).map_err(failed)?;
        write.open_table(OPEN).map_err(failed)?;
        write.open_table(VALUES).map_err(failed)?;
        write.commit().map_err(failed)?;
        let store = Self {
            path: path.into(),
            database: RwLock::new(database),
        };
        store.finish_forgetting()?;
        Ok(store)
    }

    fn held(&self) -> RwLockReadGuard<'_, Database> {
        self.database.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self) -> Result<ReadTransaction, StoreError> {
        self.held().begin_read().map_err(failed)
    }

    fn write(&self) -> Result<Writing<'_>, StoreError> {
        let held = self.held();
        let transaction = held.begin_write().map_err(failed)?;
        Ok(Writing {
            transaction,
            _held: held,
        })
    }

    /// Copies what is kept into a new file, which takes the place of the old one: pages that were
    /// freed keep their bytes, and files that were unlinked do not.
    fn rewrite(&self) -> Result<(), StoreError> {
        let mut database = self
            .database
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        remove_fresh(&self.path)?;
        let beside = fresh(&self.path);
        let new = create(&beside)?;
        let read = database.begin_read().map_err(failed)?;
        let write = new.begin_write().map_err(failed)?;
        for table in [BLOCKS, HEADERS, FORKS, ATTESTATIONS, CONTENTS] {
            copy(&read, &write, table)?;
        }
        for table in [SETS, JOBS, PARAMETERS] {
            copy(&read, &write, table)?;
        }
        for table in [HEIGHTS, LEASED, FAILED] {
            copy(&read, &write, table)?;
        }
        copy(&read, &write, REQUESTS)?;
        copy(&read, &write, OPEN)?;
        copy(&read, &write, VALUES)?;
        set_u64(&write, UNFINISHED, 0)?;
        write.commit().map_err(failed)?;
        drop(read);
        std::fs::rename(&beside, &self.path).map_err(io)?;
        disk::sync_directory_of(&self.path).map_err(io)?;
        *database = new;
        Ok(())
    }

    fn lowest(&self, table: ByHeight) -> Result<Option<Height>, StoreError> {
        let read = self.read()?;
        let table = read.open_table(table).map_err(failed)?;
        let first = table.first().map_err(failed)?;
        Ok(first.map(|(height, _)| Height::new(height.value())))
    }

    fn at<T: Canonical>(&self, table: ByHeight, height: Height) -> Result<Option<T>, StoreError> {
        let read = self.read()?;
        let table = read.open_table(table).map_err(failed)?;
        let found = table.get(height.get()).map_err(failed)?;
        found.map(|bytes| decode(bytes.value())).transpose()
    }

    /// Changes a job whose lease is still the caller's.
    fn with_lease(
        &self,
        lease: &LeaseToken,
        change: impl FnOnce(&WriteTransaction, &mut Job) -> Result<(), StoreError>,
    ) -> Result<(), LeaseError> {
        let write = self.write()?;
        let mut job = read_job(&write, &lease.job)?.ok_or(LeaseError::Lost)?;
        match &job.state {
            JobState::Leased { token, .. } if *token == lease.token => {}
            _ => return Err(LeaseError::Lost),
        }
        change(&write, &mut job)?;
        write_job(&write, &job)?;
        write.commit().map_err(failed)?;
        Ok(())
    }
}

impl Store for EmbeddedStore {
    fn add_block(
        &self,
        block: &SignedHeader,
        set: &ValidatorSet,
        job: Option<(Digest, Class)>,
        now: u64,
    ) -> Result<bool, AddError> {
        let header = &block.header;
        let height = header.height.get();
        let write = self.write()?;
        let mut fork = false;
        {
            let mut headers = write.open_table(HEADERS).map_err(failed)?;
            let known = headers.get(height).map_err(failed)?;
            let known: Option<Header> = known.map(|b| decode(b.value())).transpose()?;
            match known {
                Some(known) if known == *header => return Ok(false),
                Some(_) => fork = true,
                None => {}
            }
            if let Some((tip, below)) = headers.last().map_err(failed)?
                && !fork
            {
                let (tip, below): (u64, Header) = (tip.value(), decode(below.value())?);
                if tip.checked_add(1) != Some(height) {
                    return Err(AddError::Gap { tip, found: height });
                }
                fork = header.parent != below.digest();
            }
            if !fork {
                headers
                    .insert(height, header.to_bytes().as_slice())
                    .map_err(failed)?;
            }
        }
        if fork {
            let mut forks = write.open_table(FORKS).map_err(failed)?;
            forks
                .insert(height, block.to_bytes().as_slice())
                .map_err(failed)?;
            drop(forks);
            write.commit().map_err(failed)?;
            return Err(AddError::Fork(height));
        }
        {
            let mut blocks = write.open_table(BLOCKS).map_err(failed)?;
            blocks
                .insert(height, block.to_bytes().as_slice())
                .map_err(failed)?;
            let mut heights = write.open_table(HEIGHTS).map_err(failed)?;
            heights
                .insert(header.digest().as_bytes().as_slice(), height)
                .map_err(failed)?;
            let mut sets = write.open_table(SETS).map_err(failed)?;
            let name = set.commitment().to_bytes();
            if sets.get(name.as_slice()).map_err(failed)?.is_none() {
                sets.insert(name.as_slice(), set.to_bytes().as_slice())
                    .map_err(failed)?;
            }
        }
        if let Some((key, class)) = job {
            let order = match class {
                Class::Head => height,
                Class::Request => count(&write, REQUEST)?,
            };
            let job = Job {
                id: JobId::new(header, &key),
                height,
                key,
                class,
                state: JobState::Queued { not_before: 0 },
                attempts: 0,
                created_at: now,
                order,
            };
            open_job(&write, &job)?;
        }
        write.commit().map_err(failed)?;
        Ok(true)
    }

    fn keep_contents(&self, height: Height, contents: &Contents) -> Result<(), StoreError> {
        let write = self.write()?;
        {
            let mut table = write.open_table(CONTENTS).map_err(failed)?;
            table
                .insert(height.get(), contents.to_bytes().as_slice())
                .map_err(failed)?;
            let mut places = write.open_table(REQUESTS).map_err(failed)?;
            for (place, request) in (0..).zip(&contents.payload.requests) {
                let key = place_key(&request.client.0, request.sequence, height.get(), place);
                places.insert(key.as_slice(), ()).map_err(failed)?;
            }
        }
        write.commit().map_err(failed)
    }

    fn contents(&self, height: Height) -> Result<Option<Contents>, StoreError> {
        self.at(CONTENTS, height)
    }

    fn requests(
        &self,
        client: &[u8; 32],
        sequence: u64,
        (height, place): (Height, u64),
        limit: usize,
    ) -> Result<Vec<(Height, u64)>, StoreError> {
        let read = self.read()?;
        let places = read.open_table(REQUESTS).map_err(failed)?;
        let first = place_key(client, sequence, height.get(), place);
        let last = place_key(client, sequence, u64::MAX, u64::MAX);
        let range = places.range(first.as_slice()..=last.as_slice());
        let mut found = Vec::new();
        for entry in range.map_err(failed)?.take(limit) {
            let (key, ()) = entry
                .map(|(key, value)| (key, value.value()))
                .map_err(failed)?;
            let number = |at: usize| {
                let bytes = key.value().get(at..at + 8).and_then(|b| b.try_into().ok());
                bytes
                    .map(u64::from_be_bytes)
                    .ok_or_else(|| damaged("a request's place"))
            };
            found.push((Height::new(number(40)?), number(48)?));
        }
        Ok(found)
    }

    fn keep_parameters(&self, parameters: &Parameters) -> Result<(), StoreError> {
        let write = self.write()?;
        {
            let mut table = write.open_table(PARAMETERS).map_err(failed)?;
            let digest = parameters.digest();
            table
                .insert(
                    digest.as_bytes().as_slice(),
                    parameters.to_bytes().as_slice(),
                )
                .map_err(failed)?;
        }
        write.commit().map_err(failed)
    }

    fn parameters(&self, digest: &Digest) -> Result<Option<Parameters>, StoreError> {
        let read = self.read()?;
        let table = read.open_table(PARAMETERS).map_err(failed)?;
        let found = table.get(digest.as_bytes().as_slice()).map_err(failed)?;
        found.map(|bytes| decode(bytes.value())).transpose()
    }

    fn first_certified(&self) -> Result<Option<Height>, StoreError> {
        self.lowest(BLOCKS)
    }

    fn first_contents(&self) -> Result<Option<Height>, StoreError> {
        self.lowest(CONTENTS)
    }

    fn forget(&self, certificates: Height, contents: Height) -> Result<(), StoreError> {
        let write = self.write()?;
        forget_certificates(&write, certificates.get())?;
        forget_contents(&write, contents.get())?;
        set_u64(&write, UNFINISHED, 1)?;
        write.commit().map_err(failed)?;
        self.rewrite()
    }

    fn finish_forgetting(&self) -> Result<(), StoreError> {
        let write = self.write()?;
        let unfinished = value_u64(&write, UNFINISHED)? != 0;
        drop(write);
        if unfinished { self.rewrite() } else { Ok(()) }
    }

    fn tip(&self) -> Result<Option<Height>, StoreError> {
        let read = self.read()?;
        let headers = read.open_table(HEADERS).map_err(failed)?;
        let last = headers.last().map_err(failed)?;
        Ok(last.map(|(height, _)| Height::new(height.value())))
    }

    fn first(&self) -> Result<Option<Height>, StoreError> {
        let read = self.read()?;
        let headers = read.open_table(HEADERS).map_err(failed)?;
        let first = headers.first().map_err(failed)?;
        Ok(first.map(|(height, _)| Height::new(height.value())))
    }

    fn header(&self, height: Height) -> Result<Option<Header>, StoreError> {
        self.at(HEADERS, height)
    }

    fn height_of(&self, header: &Digest) -> Result<Option<Height>, StoreError> {
        let read = self.read()?;
        let heights = read.open_table(HEIGHTS).map_err(failed)?;
        let found = heights.get(header.as_bytes().as_slice()).map_err(failed)?;
        Ok(found.map(|height| Height::new(height.value())))
    }

    fn is_forked(&self, height: Height) -> Result<bool, StoreError> {
        let read = self.read()?;
        let forks = read.open_table(FORKS).map_err(failed)?;
        Ok(forks.get(height.get()).map_err(failed)?.is_some())
    }

    fn first_fork(&self) -> Result<Option<Height>, StoreError> {
        let read = self.read()?;
        let forks = read.open_table(FORKS).map_err(failed)?;
        let first = forks.first().map_err(failed)?;
        Ok(first.map(|(height, _)| Height::new(height.value())))
    }

    fn set(&self, commitment: &SetCommitment) -> Result<Option<ValidatorSet>, StoreError> {
        let read = self.read()?;
        let sets = read.open_table(SETS).map_err(failed)?;
        let name = commitment.to_bytes();
        let found = sets.get(name.as_slice()).map_err(failed)?;
        found.map(|bytes| decode(bytes.value())).transpose()
    }

    fn attestation(&self, height: Height) -> Result<Option<Attestation>, StoreError> {
        self.at(ATTESTATIONS, height)
    }

    fn proved_from(&self, height: Height) -> Result<Option<Attestation>, StoreError> {
        let read = self.read()?;
        let table = read.open_table(ATTESTATIONS).map_err(failed)?;
        let mut range = table.range(height.get()..).map_err(failed)?;
        let Some(found) = range.next() else {
            return Ok(None);
        };
        let (_, bytes) = found.map_err(failed)?;
        decode(bytes.value()).map(Some)
    }

    fn proved_between(&self, from: Height, to: Height) -> Result<Vec<Height>, StoreError> {
        if from > to {
            return Ok(Vec::new());
        }
        let read = self.read()?;
        let table = read.open_table(ATTESTATIONS).map_err(failed)?;
        let range = table.range(from.get()..=to.get()).map_err(failed)?;
        let height = |found: Result<(redb::AccessGuard<'_, u64>, _), redb::StorageError>| {
            found
                .map(|(height, _)| Height::new(height.value()))
                .map_err(failed)
        };
        range.map(height).collect()
    }

    fn last_proved(&self) -> Result<Option<Height>, StoreError> {
        let read = self.read()?;
        let table = read.open_table(ATTESTATIONS).map_err(failed)?;
        let last = table.last().map_err(failed)?;
        Ok(last.map(|(height, _)| Height::new(height.value())))
    }

    fn submit(&self, height: Height, key: Digest, now: u64) -> Result<Submitted, StoreError> {
        let write = self.write()?;
        let header: Option<Header> = {
            let headers = write.open_table(HEADERS).map_err(failed)?;
            let found = headers.get(height.get()).map_err(failed)?;
            found.map(|bytes| decode(bytes.value())).transpose()?
        };
        // Without the certificate there is nothing to prove from.
        let blocks = write.open_table(BLOCKS).map_err(failed)?;
        let certified = blocks.get(height.get()).map_err(failed)?.is_some();
        drop(blocks);
        let Some(header) = header.filter(|_| certified) else {
            return Ok(Submitted::Unknown);
        };
        let id = JobId::new(&header, &key);
        let mut job = match read_job(&write, &id)? {
            Some(job) => match &job.state {
                JobState::Done | JobState::Leased { .. } => return Ok(Submitted::Job(job)),
                JobState::Queued { .. } if job.class == Class::Request => {
                    return Ok(Submitted::Job(job));
                }
                // A head that waits or is not needed any more, or one that was given up.
                _ => job,
            },
            None => Job {
                id,
                height: height.get(),
                key,
                class: Class::Head,
                state: JobState::Covered,
                attempts: 0,
                created_at: now,
                order: height.get(),
            },
        };
        let waiting = {
            let open = write.open_table(OPEN).map_err(failed)?;
            let requests = (Class::Request as u8, 0)..=(Class::Request as u8, u64::MAX);
            open.range(requests).map_err(failed)?.count()
        };
        if waiting >= REQUESTS_MAX {
            return Ok(Submitted::Full);
        }
        close_job(&write, &job)?;
        job.class = Class::Request;
        job.order = count(&write, REQUEST)?;
        job.attempts = 0;
        job.state = JobState::Queued { not_before: 0 };
        open_job(&write, &job)?;
        write.commit().map_err(failed)?;
        Ok(Submitted::Job(job))
    }

    fn job(&self, id: &JobId) -> Result<Option<Job>, StoreError> {
        let read = self.read()?;
        let jobs = read.open_table(JOBS).map_err(failed)?;
        let found = jobs.get(id.0.as_bytes().as_slice()).map_err(failed)?;
        found.map(|bytes| parse_job(bytes.value())).transpose()
    }

    fn claim(&self, worker: &str, lease_ms: u64, now: u64) -> Result<Option<Lease>, StoreError> {
        let write = self.write()?;
        end_leases(&write, now)?;
        let turn = value_u64(&write, TURN)?;
        let order = if turn == 1 + Class::Head as u64 {
            [Class::Request, Class::Head]
        } else {
            [Class::Head, Class::Request]
        };
        let mut found = None;
        for class in order {
            found = next_open(&write, class, now)?;
            if found.is_some() {
                break;
            }
        }
        let Some(mut job) = found else {
            write.commit().map_err(failed)?;
            return Ok(None);
        };
        let token = count(&write, TOKEN)?;
        let until = now.saturating_add(lease_ms);
        job.state = JobState::Leased {
            token,
            worker: worker.into(),
            until,
        };
        write_job(&write, &job)?;
        set_u64(&write, TURN, 1 + job.class as u64)?;
        let (block, set) = {
            let mut leased = write.open_table(LEASED).map_err(failed)?;
            leased
                .insert(job.id.0.as_bytes().as_slice(), until)
                .map_err(failed)?;
            let blocks = write.open_table(BLOCKS).map_err(failed)?;
            let block = blocks.get(job.height).map_err(failed)?;
            let block = block.ok_or_else(|| damaged("a job without its block"))?;
            let block: SignedHeader = decode(block.value())?;
            let sets = write.open_table(SETS).map_err(failed)?;
            let name = block.header.validators.to_bytes();
            let set = sets.get(name.as_slice()).map_err(failed)?;
            let set = set.ok_or_else(|| damaged("a block without its set"))?;
            let set: ValidatorSet = decode(set.value())?;
            (block, set)
        };
        write.commit().map_err(failed)?;
        Ok(Some(Lease {
            token: LeaseToken { job: job.id, token },
            job,
            block,
            set,
        }))
    }

    fn renew(&self, lease: &LeaseToken, lease_ms: u64, now: u64) -> Result<(), LeaseError> {
        self.with_lease(lease, |write, job| {
            if let JobState::Leased { until, .. } = &mut job.state {
                *until = now.saturating_add(lease_ms);
                let mut leased = write.open_table(LEASED).map_err(failed)?;
                leased
                    .insert(job.id.0.as_bytes().as_slice(), *until)
                    .map_err(failed)?;
            }
            Ok(())
        })
    }

    fn finish(&self, lease: &LeaseToken, proof: &Attestation, now: u64) -> Result<(), LeaseError> {
        self.with_lease(lease, |write, job| {
            close_job(write, job)?;
            job.state = JobState::Done;
            {
                let mut table = write.open_table(ATTESTATIONS).map_err(failed)?;
                // The first proof of a height stays: what was served does not change.
                if table.get(job.height).map_err(failed)?.is_none() {
                    table
                        .insert(job.height, proof.to_bytes().as_slice())
                        .map_err(failed)?;
                }
            }
            cover_below(write, job.height, now)
        })
    }

    fn fail(&self, lease: &LeaseToken, failure: &Failure, now: u64) -> Result<(), LeaseError> {
        self.with_lease(lease, |write, job| {
            close_job(write, job)?;
            after_failure(write, job, failure, now)
        })
    }

    fn release(&self, lease: &LeaseToken) -> Result<(), LeaseError> {
        self.with_lease(lease, |write, job| {
            close_job(write, job)?;
            job.state = JobState::Queued { not_before: 0 };
            open_job(write, job)
        })
    }

    fn counts(&self, now: u64) -> Result<Counts, StoreError> {
        let read = self.read()?;
        let open = read.open_table(OPEN).map_err(failed)?;
        let open = open.len().map_err(failed)?;
        let failed_jobs = read.open_table(FAILED).map_err(failed)?;
        let failed_jobs = failed_jobs.len().map_err(failed)?;
        let mut leased = 0;
        let leases = read.open_table(LEASED).map_err(failed)?;
        for entry in leases.iter().map_err(failed)? {
            leased += u64::from(entry.map_err(failed)?.1.value() > now);
        }
        Ok(Counts {
            queued: open.saturating_sub(leased),
            leased,
            failed: failed_jobs,
            proofs: read
                .open_table(ATTESTATIONS)
                .map_err(failed)?
                .len()
                .map_err(failed)?,
        })
    }

    fn value(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let read = self.read()?;
        let values = read.open_table(VALUES).map_err(failed)?;
        let found = values.get(name).map_err(failed)?;
        Ok(found.map(|bytes| bytes.value().to_vec()))
    }

    fn set_value(&self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        let write = self.write()?;
        {
            let mut values = write.open_table(VALUES).map_err(failed)?;
            values.insert(name, value).map_err(failed)?;
        }
        write.commit().map_err(failed)
    }
}

/// Where a new file is made.
fn fresh(path: &Path) -> PathBuf {
    path.with_extension("redb.new")
}

/// What an interrupted deletion left has certificates too, and none of it may come back.
fn remove_fresh(path: &Path) -> Result<(), StoreError> {
    match std::fs::remove_file(fresh(path)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(io),
    }
}

/// Opens or creates a file for the owner alone.
fn create(path: &Path) -> Result<Database, StoreError> {
    if !path.exists() {
        disk::write(path, &[], disk::Access::Private).map_err(io)?;
    }
    Database::create(path).map_err(failed)
}

fn copy<K: Key + 'static, V: Value + 'static>(
    read: &ReadTransaction,
    write: &WriteTransaction,
    table: TableDefinition<'static, K, V>,
) -> Result<(), StoreError> {
    let from = read.open_table(table).map_err(failed)?;
    let mut to = write.open_table(table).map_err(failed)?;
    for entry in from.iter().map_err(failed)? {
        let (key, value) = entry.map_err(failed)?;
        to.insert(key.value(), value.value()).map_err(failed)?;
    }
    Ok(())
}

/// Certificates below a height, the jobs that were about them, and the sets that signed nothing
/// above.
fn forget_certificates(write: &WriteTransaction, below: u64) -> Result<(), StoreError> {
    let mut blocks = write.open_table(BLOCKS).map_err(failed)?;
    blocks.retain_in(..below, |_, _| false).map_err(failed)?;
    drop(blocks);
    let mut gone = Vec::new();
    {
        let jobs = write.open_table(JOBS).map_err(failed)?;
        for entry in jobs.iter().map_err(failed)? {
            let job = parse_job(entry.map_err(failed)?.1.value())?;
            if job.height < below {
                gone.push(job);
            }
        }
    }
    for job in gone {
        close_job(write, &job)?;
        let id = job.id.0;
        let mut jobs = write.open_table(JOBS).map_err(failed)?;
        jobs.remove(id.as_bytes().as_slice()).map_err(failed)?;
        let mut table = write.open_table(FAILED).map_err(failed)?;
        table.remove(id.as_bytes().as_slice()).map_err(failed)?;
    }
    let mut signing = BTreeSet::new();
    {
        let headers = write.open_table(HEADERS).map_err(failed)?;
        for entry in headers.range(below..).map_err(failed)? {
            let header: Header = decode(entry.map_err(failed)?.1.value())?;
            signing.insert(header.validators.to_bytes());
        }
    }
    let mut sets = write.open_table(SETS).map_err(failed)?;
    sets.retain(|name, _| signing.contains(name))
        .map_err(failed)?;
    Ok(())
}

fn forget_contents(write: &WriteTransaction, below: u64) -> Result<(), StoreError> {
    let mut contents = write.open_table(CONTENTS).map_err(failed)?;
    contents.retain_in(..below, |_, _| false).map_err(failed)?;
    let mut places = write.open_table(REQUESTS).map_err(failed)?;
    let height = |key: &[u8]| key.get(40..48).and_then(|b| b.try_into().ok());
    places
        .retain(|key, ()| height(key).is_some_and(|bytes| u64::from_be_bytes(bytes) >= below))
        .map_err(failed)
}

/// Ends the leases whose time is over, each a failed attempt.
fn end_leases(write: &WriteTransaction, now: u64) -> Result<(), StoreError> {
    let mut ended = Vec::new();
    {
        let leased = write.open_table(LEASED).map_err(failed)?;
        for entry in leased.iter().map_err(failed)? {
            let (id, until) = entry.map_err(failed)?;
            if until.value() <= now {
                ended.push(job_id(id.value())?);
            }
        }
    }
    for id in ended {
        let mut job = read_job(write, &id)?.ok_or_else(|| damaged("a lease without its job"))?;
        close_job(write, &job)?;
        let failure = Failure {
            permanent: false,
            reason: "the lease ended without a word from the worker".into(),
        };
        after_failure(write, &mut job, &failure, now)?;
    }
    Ok(())
}

/// Queues a job again after an attempt that failed, or gives it up.
fn after_failure(
    write: &WriteTransaction,
    job: &mut Job,
    failure: &Failure,
    now: u64,
) -> Result<(), StoreError> {
    job.attempts += 1;
    if failure.permanent || job.attempts >= MAX_ATTEMPTS {
        job.state = JobState::Failed {
            reason: failure.reason.clone(),
        };
        let mut table = write.open_table(FAILED).map_err(failed)?;
        table
            .insert(job.id.0.as_bytes().as_slice(), now)
            .map_err(failed)?;
        drop(table);
        return write_job(write, job);
    }
    // A head that a later proof has covered meanwhile is not tried again.
    if job.class == Class::Head && highest_proved(write)?.is_some_and(|top| top > job.height) {
        job.state = JobState::Covered;
        return write_job(write, job);
    }
    let wait = 1000 << job.attempts.min(6);
    job.state = JobState::Queued {
        not_before: now.saturating_add(wait),
    };
    open_job(write, job)
}

/// The job of a class that is to be taken next: heads from the newest, requests from the oldest.
fn next_open(write: &WriteTransaction, class: Class, now: u64) -> Result<Option<Job>, StoreError> {
    let open = write.open_table(OPEN).map_err(failed)?;
    let all = (class as u8, 0)..=(class as u8, u64::MAX);
    let mut range = open.range(all).map_err(failed)?;
    loop {
        let next = match class {
            Class::Head => range.next_back(),
            Class::Request => range.next(),
        };
        let Some(entry) = next else { return Ok(None) };
        let (_, id) = entry.map_err(failed)?;
        let id = job_id(id.value())?;
        let job = read_job(write, &id)?.ok_or_else(|| damaged("an open job that is not there"))?;
        if matches!(job.state, JobState::Queued { not_before } if not_before <= now) {
            return Ok(Some(job));
        }
    }
}

/// Waiting heads below a proved height are not needed any more; one that a worker has goes on.
fn cover_below(write: &WriteTransaction, height: u64, _now: u64) -> Result<(), StoreError> {
    let mut below = Vec::new();
    {
        let open = write.open_table(OPEN).map_err(failed)?;
        let head = Class::Head as u8;
        for entry in open.range((head, 0)..(head, height)).map_err(failed)? {
            below.push(job_id(entry.map_err(failed)?.1.value())?);
        }
    }
    for id in below {
        let job = read_job(write, &id)?.ok_or_else(|| damaged("an open job that is not there"))?;
        if matches!(job.state, JobState::Queued { .. }) {
            close_job(write, &job)?;
            let state = JobState::Covered;
            write_job(write, &Job { state, ..job })?;
        }
    }
    Ok(())
}

/// Big-endian, so that places are in order.
fn place_key(client: &[u8; 32], sequence: u64, height: u64, place: u64) -> Vec<u8> {
    let numbers = [sequence, height, place].map(u64::to_be_bytes);
    [client.as_slice(), numbers.as_flattened()].concat()
}

fn highest_proved(write: &WriteTransaction) -> Result<Option<u64>, StoreError> {
    let table = write.open_table(ATTESTATIONS).map_err(failed)?;
    let last = table.last().map_err(failed)?;
    Ok(last.map(|(height, _)| height.value()))
}

fn open_job(write: &WriteTransaction, job: &Job) -> Result<(), StoreError> {
    write_job(write, job)?;
    let mut open = write.open_table(OPEN).map_err(failed)?;
    let place = (job.class as u8, job.order);
    open.insert(place, job.id.0.as_bytes().as_slice())
        .map_err(failed)?;
    let mut table = write.open_table(FAILED).map_err(failed)?;
    table
        .remove(job.id.0.as_bytes().as_slice())
        .map_err(failed)?;
    Ok(())
}

/// Takes a job from the waiting and the leased ones.
fn close_job(write: &WriteTransaction, job: &Job) -> Result<(), StoreError> {
    let id = job.id.0;
    let mut open = write.open_table(OPEN).map_err(failed)?;
    let place = (job.class as u8, job.order);
    let own = open.get(place).map_err(failed)?;
    let own = own.is_some_and(|found| found.value() == id.as_bytes());
    if own {
        open.remove(place).map_err(failed)?;
    }
    let mut leased = write.open_table(LEASED).map_err(failed)?;
    leased.remove(id.as_bytes().as_slice()).map_err(failed)?;
    Ok(())
}

fn read_job(write: &WriteTransaction, id: &JobId) -> Result<Option<Job>, StoreError> {
    let jobs = write.open_table(JOBS).map_err(failed)?;
    let found = jobs.get(id.0.as_bytes().as_slice()).map_err(failed)?;
    found.map(|bytes| parse_job(bytes.value())).transpose()
}

fn write_job(write: &WriteTransaction, job: &Job) -> Result<(), StoreError> {
    let bytes = serde_json::to_vec(job).expect("a job has string keys only");
    let mut jobs = write.open_table(JOBS).map_err(failed)?;
    jobs.insert(job.id.0.as_bytes().as_slice(), bytes.as_slice())
        .map_err(failed)?;
    Ok(())
}

fn parse_job(bytes: &[u8]) -> Result<Job, StoreError> {
    serde_json::from_slice(bytes).map_err(|error| damaged(&error.to_string()))
}

fn job_id(bytes: &[u8]) -> Result<JobId, StoreError> {
    let bytes = bytes.try_into().map_err(|_| damaged("a job's id"))?;
    Ok(JobId(Digest::from_bytes(bytes)))
}

/// Raises a counter and answers it: 1 at first.
fn count(write: &WriteTransaction, name: &str) -> Result<u64, StoreError> {
    let next = value_u64(write, name)? + 1;
    set_u64(write, name, next)?;
    Ok(next)
}

fn value_u64(write: &WriteTransaction, name: &str) -> Result<u64, StoreError> {
    let values = write.open_table(VALUES).map_err(failed)?;
    let found = values.get(name).map_err(failed)?;
    let Some(found) = found else { return Ok(0) };
    let bytes = found.value().try_into().map_err(|_| damaged(name))?;
    Ok(u64::from_le_bytes(bytes))
}

fn set_u64(write: &WriteTransaction, name: &str, number: u64) -> Result<(), StoreError> {
    let mut values = write.open_table(VALUES).map_err(failed)?;
    values
        .insert(name, number.to_le_bytes().as_slice())
        .map_err(failed)?;
    Ok(())
}

fn decode<T: Canonical>(bytes: &[u8]) -> Result<T, StoreError> {
    T::from_bytes(bytes).map_err(|error| damaged(&error.to_string()))
}

fn damaged(what: &str) -> StoreError {
    StoreError::Damaged(what.into())
}

fn io(error: std::io::Error) -> StoreError {
    failed(redb::Error::Io(error))
}

fn failed(error: impl Into<redb::Error>) -> StoreError {
    StoreError::Database(Box::new(error.into()))
}
