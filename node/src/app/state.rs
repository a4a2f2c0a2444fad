//! The state: entries in the order of their making, their tree, and drafts of changes.

use std::collections::{BTreeMap, BTreeSet};

use quorate_pbft::limits::SNAPSHOT_BYTES_MAX;
use quorate_pbft::request::{ClientKey, LEAF_SALT_BYTES};
use quorate_verifier::encoding::{Canonical, DecodeError, Reader};
use quorate_verifier::merkle;
use quorate_verifier::primitives::Digest;
use sha2::{Digest as _, Sha256};

use super::entry::{Account, ClientRecord, Entry, EntryKey, Holding, Instrument, Meta};
use super::names::{AccountId, Amount, InstrumentId, NAME_MAX_BYTES};
use super::operation::{Kind, OptionTerms, Right};
use super::outcome::{Reason, Rejection};
use super::tree::{Tree, Version};

/// Most accounts that hold or have written contracts of one series: an expiry touches all.
pub const HOLDERS_MAX: usize = 4096;
/// Most entries of a state: a snapshot of so many stays below what a replica takes from a peer.
pub const ENTRIES_MAX: usize = 800_000;
/// No entry with its salt is longer: an account of eight keys.
pub(super) const ENTRY_MAX_BYTES: usize = LEAF_SALT_BYTES + 1 + 2 + NAME_MAX_BYTES + 2 + 8 * 32;
const _: () = assert!((ENTRIES_MAX * ENTRY_MAX_BYTES) as u64 + 64 < SNAPSHOT_BYTES_MAX);
/// Domain of the salts of the state's leaves; no tag of the claim has these bytes.
pub(super) const SALT_DOMAIN: &[u8; 15] = b"quorate-ssalts1";

/// An entry with the salt of its leaf.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Slot {
    salt: [u8; LEAF_SALT_BYTES],
    entry: Entry,
}

impl Slot {
    fn leaf(&self) -> Vec<u8> {
        let mut leaf = self.salt.to_vec();
        self.entry.write(&mut leaf);
        leaf
    }
}

/// All entries, by the place at which each was made; places are never given up.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    slots: Vec<Slot>,
    places: BTreeMap<EntryKey, usize>,
    /// Accounts with contracts of an open series, and those of them that have written some.
    holders: BTreeMap<InstrumentId, BTreeSet<AccountId>>,
    writers: BTreeMap<InstrumentId, BTreeSet<AccountId>>,
    tree: Tree,
    /// Changed since the tree was brought up to date, each as it was before; `None` if it is new.
    before: BTreeMap<usize, Option<Slot>>,
    /// From which the salts of this block's changes come.
    salt: [u8; 32],
    room: Room,
}

/// Entries that there may be: [`ENTRIES_MAX`], and fewer in a test.
#[derive(Clone, Copy, Debug)]
struct Room(usize);

impl Default for Room {
    fn default() -> Self {
        Self(ENTRIES_MAX)
    }
}

impl State {
    pub(super) fn get(&self, key: &EntryKey) -> Option<&Entry> {
        self.places.get(key).map(|place| &self.slots[*place].entry)
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.slots.iter().map(|slot| &slot.entry)
    }

    pub(super) fn client(&self, key: &ClientKey) -> Option<&ClientRecord> {
        match self.get(&EntryKey::Client(*key)) {
            Some(Entry::Client(client)) => Some(client),
            _ => None,
        }
    }

    pub(super) fn holding(&self, account: AccountId, instrument: InstrumentId) -> Holding {
        match self.get(&EntryKey::Holding(account, instrument)) {
            Some(Entry::Holding(holding)) => *holding,
            _ => Holding::nothing(account, instrument),
        }
    }

    pub(super) fn root(&self) -> Digest {
        self.tree.root()
    }

    /// Starts a block, or the state itself: from now on changes are salted with this.
    pub(super) fn begin(&mut self, salt: [u8; 32]) {
        self.salt = salt;
        self.before.clear();
    }

    /// Ends it: the root is up to date.
    pub(super) fn finish(&mut self) {
        let slots = &self.slots;
        let hash = |place: &usize| (*place, merkle::leaf_hash(&slots[*place].leaf()));
        self.tree.set(self.before.keys().map(hash));
    }

    /// Writes an entry, to its old place if it has one.
    pub(super) fn set(&mut self, entry: Entry) {
        let key = entry.key();
        if let Entry::Holding(holding) = &entry {
            self.index(holding);
        }
        let place = self.places.get(&key).copied().unwrap_or(self.slots.len());
        let salt = leaf_salt(&self.salt, place);
        let slot = Slot { salt, entry };
        match self.slots.get_mut(place) {
            Some(old) => {
                let old = std::mem::replace(old, slot);
                self.before.entry(place).or_insert(Some(old));
            }
            None => {
                self.slots.push(slot);
                self.places.insert(key, place);
                self.before.insert(place, None);
            }
        }
    }

    fn index(&mut self, holding: &Holding) {
        let (account, instrument) = (holding.account, holding.instrument);
        let kind = self.get(&EntryKey::Instrument(instrument));
        let is_option = |e: &Entry| matches!(e, Entry::Instrument(i) if i.terms().is_some());
        if !kind.is_some_and(is_option) {
            return;
        }
        let note = |index: &mut BTreeMap<InstrumentId, BTreeSet<_>>, is_in| {
            let accounts = index.entry(instrument).or_default();
            if is_in {
                accounts.insert(account);
            } else {
                accounts.remove(&account);
                if accounts.is_empty() {
                    index.remove(&instrument);
                }
            }
        };
        note(&mut self.holders, !holding.is_nothing());
        note(&mut self.writers, !holding.written.is_zero());
    }

    /// Writers of a series, in the order in which they are assigned: by name, after `last`.
    pub(super) fn writers(
        &self,
        series: InstrumentId,
        last: Option<AccountId>,
    ) -> impl Iterator<Item = AccountId> {
        use std::ops::Bound::{Excluded, Included, Unbounded};
        let writers = self.writers.get(&series);
        let start = last.map_or(Unbounded, Excluded);
        let after = writers
            .into_iter()
            .flat_map(move |w| w.range((start, Unbounded)));
        let until = writers.zip(last).into_iter();
        let until = until.flat_map(|(w, last)| w.range((Unbounded, Included(last))));
        after.chain(until).copied()
    }

    /// Accounts with contracts of a series, held or written.
    pub(super) fn holders(&self, series: InstrumentId) -> impl ExactSizeIterator<Item = AccountId> {
        let holders: Vec<_> = self
            .holders
            .get(&series)
            .into_iter()
            .flatten()
            .copied()
            .collect();
        holders.into_iter()
    }

    fn holder_count(&self, series: InstrumentId) -> usize {
        self.holders.get(&series).map_or(0, BTreeSet::len)
    }

    /// Leaf, place, count and path of an entry, in the state before the last block or after it,
    /// whichever has this root.
    pub(super) fn prove(
        &self,
        root: &Digest,
        key: &EntryKey,
    ) -> Option<(Vec<u8>, usize, usize, Vec<Digest>)> {
        let place = *self.places.get(key)?;
        let version = self.tree.version(root)?;
        let slot = match self.before.get(&place) {
            Some(before) if version == Version::Before => before.as_ref()?,
            _ => self.slots.get(place)?,
        };
        let path = self.tree.path(place, version)?;
        Some((slot.leaf(), place, self.tree.count(version), path))
    }

    /// Every salt and entry in order, after their count as `u32`.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let count = u32::try_from(self.slots.len()).expect("at most 800,000 entries");
        out.extend_from_slice(&count.to_le_bytes());
        for slot in &self.slots {
            out.extend_from_slice(&slot.salt);
            slot.entry.write(out);
        }
    }

    /// Reads what [`State::write`] wrote, and builds everything else anew.
    pub(super) fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let count = input.u32("entries")?;
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        if count > ENTRIES_MAX {
            return Err(DecodeError::TooLong {
                field: "entries",
                length: count,
                limit: ENTRIES_MAX,
            });
        }
        let mut state = Self::default();
        for place in 0..count {
            let salt = input.array("salt")?;
            let entry = Entry::read(input)?;
            if state.places.insert(entry.key(), place).is_some() {
                return Err(DecodeError::rule(
                    "entry",
                    "an entry of this name came before",
                ));
            }
            state.slots.push(Slot { salt, entry });
        }
        let holdings: Vec<Holding> = state
            .entries()
            .filter_map(|entry| match entry {
                Entry::Holding(holding) => Some(*holding),
                _ => None,
            })
            .collect();
        for holding in &holdings {
            state.index(holding);
        }
        let leaves = state
            .slots
            .iter()
            .map(|slot| merkle::leaf_hash(&slot.leaf()));
        let leaves: Vec<_> = leaves.enumerate().collect();
        state.tree.set(leaves);
        Ok(state)
    }
}

fn leaf_salt(salt: &[u8; 32], place: usize) -> [u8; LEAF_SALT_BYTES] {
    let hash = Sha256::new()
        .chain_update(SALT_DOMAIN)
        .chain_update(salt)
        .chain_update((place as u64).to_le_bytes())
        .finalize();
    std::array::from_fn(|i| hash[i])
}

impl Instrument {
    /// Terms, if it is an option.
    pub fn terms(&self) -> Option<&OptionTerms> {
        match &self.kind {
            Kind::Option(terms) => Some(terms),
            _ => None,
        }
    }
}

impl OptionTerms {
    /// What covers so many written contracts: the underlying of calls, the strike of puts.
    pub fn cover(&self, contracts: Amount) -> Option<(InstrumentId, Amount)> {
        match self.right {
            Right::Call => Some((self.underlying, self.lot.checked_mul(contracts)?)),
            Right::Put => Some((self.currency, self.price(contracts)?)),
        }
    }

    /// What exercising so many contracts costs or brings: `strike · lot · contracts`.
    pub fn price(&self, contracts: Amount) -> Option<Amount> {
        self.strike.checked_mul(self.lot)?.checked_mul(contracts)
    }
}

/// Changes that are made together or not at all.
pub(super) struct Draft<'a> {
    state: &'a State,
    changed: BTreeMap<EntryKey, Entry>,
    added: usize,
}

impl<'a> Draft<'a> {
    pub(super) fn new(state: &'a State) -> Self {
        Self {
            state,
            changed: BTreeMap::new(),
            added: 0,
        }
    }

    /// The state before this draft.
    pub(super) fn state(&self) -> &'a State {
        self.state
    }

    /// What [`State::set`] is to be called with, in order.
    pub(super) fn into_changes(self) -> impl Iterator<Item = Entry> {
        self.changed.into_values()
    }

    fn get(&self, key: &EntryKey) -> Option<&Entry> {
        self.changed.get(key).or_else(|| self.state.get(key))
    }

    pub(super) fn put(&mut self, entry: Entry) -> Result<(), Rejection> {
        let key = entry.key();
        if self.get(&key).is_none() {
            self.added += 1;
            if self.state.slots.len() + self.added > self.state.room.0 {
                return Err(Reason::StateFull.into());
            }
        }
        self.changed.insert(key, entry);
        Ok(())
    }

    pub(super) fn meta(&self) -> Result<&Meta, Rejection> {
        match self.get(&EntryKey::Ledger) {
            Some(Entry::Ledger(meta)) => Ok(meta),
            _ => Err(Reason::UnknownAccount.into()),
        }
    }

    pub(super) fn account(&self, account: AccountId) -> Result<&Account, Rejection> {
        match self.get(&EntryKey::Account(account)) {
            Some(Entry::Account(found)) => Ok(found),
            _ => Err(Rejection::new(Reason::UnknownAccount).account(account)),
        }
    }

    pub(super) fn client(&self, key: &ClientKey) -> Option<&ClientRecord> {
        match self.get(&EntryKey::Client(*key)) {
            Some(Entry::Client(client)) => Some(client),
            _ => None,
        }
    }

    pub(super) fn instrument(&self, instrument: InstrumentId) -> Result<Instrument, Rejection> {
        match self.get(&EntryKey::Instrument(instrument)) {
            Some(Entry::Instrument(found)) => Ok(*found),
            _ => Err(Rejection::new(Reason::UnknownInstrument).instrument(instrument)),
        }
    }

    pub(super) fn holding(&self, account: AccountId, instrument: InstrumentId) -> Holding {
        match self.get(&EntryKey::Holding(account, instrument)) {
            Some(Entry::Holding(holding)) => *holding,
            _ => Holding::nothing(account, instrument),
        }
    }

    /// Writes a holding; of an option only while the series has room for one more account.
    pub(super) fn put_holding(&mut self, holding: Holding) -> Result<(), Rejection> {
        let (account, instrument) = (holding.account, holding.instrument);
        let is_new = self.state.holding(account, instrument).is_nothing() && !holding.is_nothing();
        if is_new
            && self.state.holder_count(instrument) >= HOLDERS_MAX
            && self.instrument(instrument)?.terms().is_some()
        {
            return Err(Rejection::new(Reason::TooManyHolders).instrument(instrument));
        }
        self.put(Entry::Holding(holding))
    }

    /// Takes units that are at an account's disposal.
    pub(super) fn debit(
        &mut self,
        account: AccountId,
        instrument: InstrumentId,
        amount: Amount,
    ) -> Result<(), Rejection> {
        let mut holding = self.holding(account, instrument);
        holding.free = take(&holding, holding.free, amount)?;
        self.put_holding(holding)
    }

    /// Gives units to an account that exists.
    pub(super) fn credit(
        &mut self,
        account: AccountId,
        instrument: InstrumentId,
        amount: Amount,
    ) -> Result<(), Rejection> {
        let mut holding = self.holding(account, instrument);
        holding.free = give(&holding, holding.free, amount)?;
        self.put_holding(holding)
    }

    /// Sets units aside as cover.
    pub(super) fn lock(
        &mut self,
        account: AccountId,
        (instrument, amount): (InstrumentId, Amount),
    ) -> Result<(), Rejection> {
        let mut holding = self.holding(account, instrument);
        holding.free = take(&holding, holding.free, amount)?;
        holding.locked = give(&holding, holding.locked, amount)?;
        self.put_holding(holding)
    }

    /// Takes cover out of its lock, to nobody yet.
    pub(super) fn take_cover(
        &mut self,
        account: AccountId,
        (instrument, amount): (InstrumentId, Amount),
    ) -> Result<(), Rejection> {
        let mut holding = self.holding(account, instrument);
        holding.locked = take(&holding, holding.locked, amount)?;
        self.put_holding(holding)
    }

    /// Gives cover back to the account that it is of.
    pub(super) fn unlock(
        &mut self,
        account: AccountId,
        cover: (InstrumentId, Amount),
    ) -> Result<(), Rejection> {
        self.take_cover(account, cover)?;
        self.credit(account, cover.0, cover.1)
    }
}

pub(super) fn take(holding: &Holding, from: Amount, amount: Amount) -> Result<Amount, Rejection> {
    from.checked_sub(amount).ok_or_else(|| {
        Rejection::new(Reason::Short)
            .account(holding.account)
            .instrument(holding.instrument)
            .figures(amount.get(), from.get())
    })
}

pub(super) fn give(holding: &Holding, to: Amount, amount: Amount) -> Result<Amount, Rejection> {
    to.checked_add(amount).ok_or_else(|| {
        Rejection::new(Reason::Overflow)
            .account(holding.account)
            .instrument(holding.instrument)
    })
}

#[cfg(test)]
mod tests {
    use quorate_verifier::message::Tag;

    use super::super::operation::{KEYS_PER_ACCOUNT, KeyBytes};
    use super::*;

    fn account(name: &str, keys: u8) -> Entry {
        Entry::Account(Account {
            account: AccountId::new(name).expect("a name"),
            keys: (0..keys).map(|i| KeyBytes([i; 32])).collect(),
        })
    }

    #[test]
    fn no_entry_is_longer_than_its_bound() {
        let keys = u8::try_from(KEYS_PER_ACCOUNT).expect("eight");
        let entry = account(&"x".repeat(NAME_MAX_BYTES), keys);
        assert_eq!(LEAF_SALT_BYTES + entry.to_bytes().len(), ENTRY_MAX_BYTES);
    }

    #[test]
    fn a_full_state_takes_no_new_entry_and_still_changes_old_ones() {
        let mut state = State {
            room: Room(2),
            ..State::default()
        };
        state.set(account("a", 1));
        let mut draft = Draft::new(&state);
        assert_eq!(draft.put(account("b", 1)), Ok(()));
        assert_eq!(draft.put(account("a", 2)), Ok(()));
        assert_eq!(draft.put(account("c", 1)), Err(Reason::StateFull.into()));
    }

    #[test]
    fn salts_have_a_domain_of_their_own() {
        let domains = [SALT_DOMAIN, super::super::ledger::OUTCOME_SALT_DOMAIN];
        assert_ne!(domains[0], domains[1]);
        for domain in domains {
            assert!(Tag::ALL.iter().all(|tag| tag.as_bytes() != domain));
            assert_ne!(domain, b"quorate-psalts1", "the core's");
        }
    }
}
