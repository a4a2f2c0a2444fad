//! The roster: who the validators are, by name, keys, address and power. Private.
//!
//! A validator set knows keys and powers only, in the order of the roster. Names and addresses are
//! written by people and end up in file names, terminals and configurations, so both are held to a
//! small alphabet.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::encoding::{Canonical, DecodeError, Kind, Reader, write_bytes, write_list};
use crate::file::FileType;
use crate::json;
use crate::primitives::{CircuitSize, Power, VALIDATORS_MAX};
use crate::set::{Salt, SetError, Validator, ValidatorSet};
use crate::signature::{KeyError, VoteKey};

/// Longest name of a machine, in bytes.
pub const NAME_MAX_BYTES: usize = 32;
/// Longest address: a host name of 253 bytes, a colon, five digits.
pub const ADDRESS_MAX_BYTES: usize = 259;

/// Name of a validator's machine: 1 to 32 bytes of `a-z 0-9 -`, the first a letter or digit.
///
/// Safe as the name of a file on every system that tells files apart by letters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MachineName(String);

/// Why a text is not a machine's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Empty or longer than 32 bytes.
    #[error("a name has 1 to 32 bytes, this one has {0}")]
    Length(usize),
    /// A byte outside `a-z 0-9 -`.
    #[error("a name is made of a-z, 0-9 and '-', this one has the byte 0x{0:02x}")]
    Character(u8),
    /// It starts with `-`.
    #[error("a name starts with a letter or digit")]
    Start,
}

impl MachineName {
    /// Checks a text.
    ///
    /// # Errors
    /// [`NameError`] names the rule that is broken.
    pub fn new(text: &str) -> Result<Self, NameError> {
        if text.is_empty() || text.len() > NAME_MAX_BYTES {
            return Err(NameError::Length(text.len()));
        }
        let allowed = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        if let Some(byte) = text.bytes().find(|byte| !allowed(byte)) {
            return Err(NameError::Character(byte));
        }
        if text.starts_with('-') {
            return Err(NameError::Start);
        }
        Ok(Self(text.to_string()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MachineName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a machine listens: `host:port`, `1.2.3.4:port` or `[v6]:port`, the port not 0.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(String);

/// A text that is not an address in its only form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "an address is host:port, 192.0.2.1:port or [2001:db8::1]:port in lower case, with a port from \
     1 to 65535 and without leading zeros"
)]
pub struct AddressError;

impl Address {
    /// Checks a text.
    ///
    /// # Errors
    /// [`AddressError`]; other spellings of one address are refused, so that two entries are the
    /// same exactly when their bytes are.
    pub fn new(text: &str) -> Result<Self, AddressError> {
        let (host, port) = text.rsplit_once(':').ok_or(AddressError)?;
        let number: u16 = port.parse().map_err(|_| AddressError)?;
        let is_canonical = number != 0 && number.to_string() == port;
        let is_host = match text.parse::<SocketAddr>() {
            // A zone (`%1`) means something on one machine only.
            Ok(address) => address.to_string() == text && !text.contains('%'),
            Err(_) => is_host_name(host),
        };
        if is_canonical && is_host {
            Ok(Self(text.to_string()))
        } else {
            Err(AddressError)
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Labels of 1 to 63 bytes of `a-z 0-9 -`, joined by dots; the last is no number, as those of an
/// IPv4 address are.
fn is_host_name(host: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = host.rsplit('.').next().unwrap_or_default();
    host.len() <= 253
        && host.split('.').all(is_label)
        && !last.bytes().all(|byte| byte.is_ascii_digit())
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One validator, as people and machines know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RosterEntry {
    /// What people call its machine.
    pub name: MachineName,
    /// The key that signs votes.
    pub consensus_key: VoteKey,
    /// The key that proves the machine's identity on the network and opens its bundle. Held to the
    /// rules of a vote key: sealing to a point of small order would seal for everybody.
    pub network_key: VoteKey,
    /// Where the machine listens.
    pub address: Address,
    /// Voting power.
    pub power: Power,
}

/// Which rule of a roster is broken (places count from 0).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RosterError {
    /// No validators, or more than 256.
    #[error("a roster has 1 to 256 validators, this one has {0}")]
    Count(usize),
    /// Two machines of one name.
    #[error("validators {first} and {second} have the same name, {name}")]
    DuplicateName {
        /// The first place.
        first: usize,
        /// The second place.
        second: usize,
        /// The name.
        name: MachineName,
    },
    /// Two machines at one address.
    #[error("validators {first} and {second} have the same address, {address}")]
    DuplicateAddress {
        /// The first place.
        first: usize,
        /// The second place.
        second: usize,
        /// The address.
        address: Address,
    },
    /// A key that is used twice, whether for votes or on the network.
    #[error(
        "validators {first} and {second} have the same key, {}",
        hex::encode(key)
    )]
    DuplicateKey {
        /// The first place.
        first: usize,
        /// The second place.
        second: usize,
        /// The key's bytes.
        key: [u8; 32],
    },
    /// One key for votes and network.
    #[error("validator {0} has one key for votes and network: two keys are needed")]
    OneKey(usize),
}

/// All validators, in the order of their set.
///
/// Keys are canonical and of prime order, and no name, address or key occurs twice, not even once
/// for votes and once on the network. The rules on powers are the set's: see
/// [`Roster::validator_set`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RosterJson", into = "RosterJson")]
pub struct Roster {
    entries: Vec<RosterEntry>,
}

impl Roster {
    /// Checks the rules.
    ///
    /// # Errors
    /// [`RosterError`] names the rule and the validators.
    pub fn new(entries: Vec<RosterEntry>) -> Result<Self, RosterError> {
        if entries.is_empty() || entries.len() > VALIDATORS_MAX {
            return Err(RosterError::Count(entries.len()));
        }
        let (mut names, mut addresses, mut keys) =
            (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for (second, entry) in entries.iter().enumerate() {
            let RosterEntry {
                name,
                consensus_key,
                network_key,
                address,
                ..
            } = entry;
            if consensus_key == network_key {
                return Err(RosterError::OneKey(second));
            }
            if let Some(first) = names.insert(name, second) {
                return Err(RosterError::DuplicateName {
                    first,
                    second,
                    name: name.clone(),
                });
            }
            if let Some(first) = addresses.insert(address, second) {
                let address = address.clone();
                return Err(RosterError::DuplicateAddress {
                    first,
                    second,
                    address,
                });
            }
            for key in [consensus_key, network_key] {
                if let Some(first) = keys.insert(key, second) {
                    return Err(RosterError::DuplicateKey {
                        first,
                        second,
                        key: *key.as_bytes(),
                    });
                }
            }
        }
        Ok(Self { entries })
    }

    /// The validators, in their order.
    pub fn entries(&self) -> &[RosterEntry] {
        &self.entries
    }

    /// The place of a machine, by its network key.
    pub fn index_of_machine(&self, network_key: &VoteKey) -> Option<u16> {
        let place = self
            .entries
            .iter()
            .position(|entry| entry.network_key == *network_key)?;
        u16::try_from(place).ok()
    }

    /// The set of these validators.
    ///
    /// # Errors
    /// [`SetError`]: a validator without power, or a total from 2^60 on.
    pub fn validator_set(
        &self,
        salt: Option<Salt>,
        size: CircuitSize,
    ) -> Result<ValidatorSet, SetError> {
        let member = |entry: &RosterEntry| Validator {
            key: entry.consensus_key.clone(),
            power: entry.power,
        };
        ValidatorSet::new(self.entries.iter().map(member).collect(), salt, size)
    }
}

impl Canonical for RosterEntry {
    fn write(&self, out: &mut Vec<u8>) {
        write_bytes(out, self.name.as_str().as_bytes());
        out.extend_from_slice(self.consensus_key.as_bytes());
        out.extend_from_slice(self.network_key.as_bytes());
        write_bytes(out, self.address.as_str().as_bytes());
        self.power.write(out);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let name = MachineName::new(input.text("name", NAME_MAX_BYTES)?)
            .map_err(|e| DecodeError::rule("name", e))?;
        let key = |field, bytes: [u8; 32]| {
            VoteKey::from_bytes(&bytes).map_err(|e| DecodeError::rule(field, e))
        };
        let consensus_key = key("consensus key", input.array("consensus key")?)?;
        let network_key = key("network key", input.array("network key")?)?;
        let address = Address::new(input.text("address", ADDRESS_MAX_BYTES)?)
            .map_err(|e| DecodeError::rule("address", e))?;
        Ok(Self {
            name,
            consensus_key,
            network_key,
            address,
            power: Power::read(input)?,
        })
    }
}

impl Canonical for Roster {
    fn write(&self, out: &mut Vec<u8>) {
        write_list(out, &self.entries);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let entries = input.list("validators", VALIDATORS_MAX, RosterEntry::read)?;
        Self::new(entries).map_err(|e| DecodeError::rule("validators", e))
    }
}

impl FileType for Roster {
    const KIND: Kind = Kind::Roster;
    const MAX_BYTES: usize =
        2 + VALIDATORS_MAX * (2 + NAME_MAX_BYTES + 64 + 2 + ADDRESS_MAX_BYTES + 8);
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryJson {
    name: String,
    #[serde(with = "json::hex_bytes")]
    consensus_key: [u8; 32],
    #[serde(with = "json::hex_bytes")]
    network_key: [u8; 32],
    address: String,
    power: Power,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum EntryError {
    #[error("validator {0}: {1}")]
    Name(usize, NameError),
    #[error("validator {0}: consensus key: {1}")]
    ConsensusKey(usize, KeyError),
    #[error("validator {0}: network key: {1}")]
    NetworkKey(usize, KeyError),
    #[error("validator {0}: {1}")]
    Address(usize, AddressError),
    #[error(transparent)]
    Roster(#[from] RosterError),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RosterJson {
    validators: Vec<EntryJson>,
}

impl TryFrom<RosterJson> for Roster {
    type Error = EntryError;
    fn try_from(json: RosterJson) -> Result<Self, EntryError> {
        let entry = |(place, entry): (usize, EntryJson)| {
            Ok(RosterEntry {
                name: MachineName::new(&entry.name).map_err(|e| EntryError::Name(place, e))?,
                consensus_key: VoteKey::from_bytes(&entry.consensus_key)
                    .map_err(|e| EntryError::ConsensusKey(place, e))?,
                network_key: VoteKey::from_bytes(&entry.network_key)
                    .map_err(|e| EntryError::NetworkKey(place, e))?,
                address: Address::new(&entry.address).map_err(|e| EntryError::Address(place, e))?,
                power: entry.power,
            })
        };
        let entries: Result<Vec<_>, EntryError> =
            json.validators.into_iter().enumerate().map(entry).collect();
        Ok(Self::new(entries?)?)
    }
}

impl From<Roster> for RosterJson {
    fn from(roster: Roster) -> Self {
        let entry = |entry: RosterEntry| EntryJson {
            name: entry.name.0,
            consensus_key: *entry.consensus_key.as_bytes(),
            network_key: *entry.network_key.as_bytes(),
            address: entry.address.0,
            power: entry.power,
        };
        Self {
            validators: roster.entries.into_iter().map(entry).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u8) -> VoteKey {
        let secret = ed25519_dalek::SigningKey::from_bytes(&[seed; 32]);
        VoteKey::from_bytes(secret.verifying_key().as_bytes()).expect("a key of our own making")
    }

    fn entry(place: u8) -> RosterEntry {
        RosterEntry {
            name: MachineName::new(&alloc::format!("node-{place}")).expect("a good name"),
            consensus_key: key(2 * place + 1),
            network_key: key(2 * place + 2),
            address: Address::new(&alloc::format!("127.0.0.1:{}", 9000 + u16::from(place)))
                .expect("a good address"),
            power: Power::new(1).expect("below the limit"),
        }
    }

    fn roster() -> Roster {
        Roster::new((0..4).map(entry).collect()).expect("four good entries")
    }

    #[test]
    fn both_forms_round_trip() {
        let roster = roster();
        assert_eq!(Roster::from_file(&roster.to_file()), Ok(roster.clone()));
        assert_eq!(Roster::from_file(roster.to_json().as_bytes()), Ok(roster));
    }

    #[test]
    fn nothing_occurs_twice() {
        let broken = |change: fn(&mut Vec<RosterEntry>)| {
            let mut entries = roster().entries;
            change(&mut entries);
            Roster::new(entries).expect_err("a broken rule").to_string()
        };
        let same = "validators 0 and 1 have the same";
        assert!(broken(|e| e[1].name = e[0].name.clone()).starts_with(same));
        assert!(broken(|e| e[1].address = e[0].address.clone()).starts_with(same));
        assert!(broken(|e| e[1].consensus_key = e[0].consensus_key.clone()).starts_with(same));
        assert!(broken(|e| e[1].network_key = e[0].network_key.clone()).starts_with(same));
        assert!(broken(|e| e[1].network_key = e[0].consensus_key.clone()).starts_with(same));
        assert!(broken(|e| e[2].network_key = e[2].consensus_key.clone()).contains("two keys"));
        assert!(broken(|e| e.clear()).contains("has 0"));
        assert!(broken(|e| *e = (0..=255).chain(0..1).map(|_| entry(0)).collect()).contains("257"));
    }

    #[test]
    fn every_cut_and_every_changed_byte_is_refused_or_another_roster() {
        let file = roster().to_file();
        for end in 0..file.len() {
            assert!(Roster::from_file(&file[..end]).is_err(), "cut at {end}");
        }
        for at in 0..file.len() {
            let mut changed = file.clone();
            changed[at] ^= 1;
            if let Ok(other) = Roster::from_file(&changed) {
                assert_ne!(other, roster(), "byte {at}");
                assert_eq!(other.to_file(), changed, "byte {at}");
            }
        }
    }

    #[test]
    fn names_and_addresses_are_plain() {
        for good in ["a", "node-0", "0", &"x".repeat(32)] {
            assert!(MachineName::new(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "-a",
            "A",
            "a b",
            "../a",
            "a/b",
            "é",
            "a\u{1b}[31m",
            &"x".repeat(33),
        ] {
            assert!(MachineName::new(bad).is_err(), "{bad}");
        }
        for good in [
            "localhost:1",
            "node-1.example.com:65535",
            "192.0.2.1:26600",
            "[2001:db8::1]:26600",
            "[::1]:1",
        ] {
            assert!(Address::new(good).is_ok(), "{good}");
        }
        for bad in [
            "localhost",
            "localhost:0",
            "localhost:65536",
            "localhost:+1",
            "localhost:01",
            ":1",
            "Local:1",
            "a_b:1",
            "-a:1",
            "a-:1",
            "a..b:1",
            "192.0.2.01:1",
            "192.0.2:1",
            "1.2.3.256:1",
            "2001:db8::1:26600",
            "[2001:DB8::1]:26600",
            "[2001:db8:0::1]:26600",
            "[::1%1]:1",
            "a b:1",
            "a\u{0}:1",
        ] {
            assert!(Address::new(bad).is_err(), "{bad}");
        }
        assert!(Address::new(&alloc::format!("{}:1", "a.".repeat(127) + "b")).is_err());
    }

    #[test]
    fn a_small_order_network_key_is_refused() {
        let mut file = roster().to_file();
        // Header 9, count 2, name 2 + 6, consensus key 32, then the first network key.
        file[51..83].fill(0);
        let error = Roster::from_file(&file)
            .expect_err("32 zero bytes")
            .to_string();
        assert!(
            error.starts_with("network key") && error.contains("small order"),
            "{error}"
        );
    }
}
