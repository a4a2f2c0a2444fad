//! Who may connect, and as what: the roster, and whom `node.toml` lists besides.

use std::collections::BTreeMap;

use quorate_pbft::Peer;
use quorate_verifier::roster::{Address, MachineName, Roster};
use quorate_verifier::signature::VoteKey;

use super::config::NodeConfig;
use super::tls::{NetworkKey, Role};

/// A validator's machine.
#[derive(Clone, Debug)]
pub struct Machine {
    /// What people call it.
    pub name: MachineName,
    /// The key of its links.
    pub network_key: NetworkKey,
    /// The key that signs its votes.
    pub consensus_key: VoteKey,
    /// Where it listens.
    pub address: Address,
}

/// One who may connect.
#[derive(Clone, Debug)]
pub struct Party {
    /// What people call it.
    pub name: MachineName,
    /// Its place among the machines, if it is one.
    pub peer: Option<Peer>,
    /// Whether it is this machine's own key: its operator's commands.
    pub own: bool,
    client: bool,
    observer: bool,
}

impl Party {
    /// Whether it may have a link of this role.
    pub fn may(&self, role: Role) -> bool {
        match role {
            Role::Peer => self.peer.is_some() && !self.own,
            Role::Client => self.client || self.own,
            Role::Observer => self.observer || self.own,
        }
    }
}

/// Why the lists do not fit each other.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PartiesError {
    /// The own keys are not in the roster.
    #[error("the network key {0} is neither in the roster nor among the peers")]
    NotListed(NetworkKey),
    /// The entry with the own network key has another name or consensus key.
    #[error("the entry of the own network key has another {0} than the configuration")]
    OwnEntry(&'static str),
    /// A key, name or address that two machines have.
    #[error("two machines have the {what} {value}")]
    Twice {
        /// `name`, `network key`, `consensus key` or `address`.
        what: &'static str,
        /// Which.
        value: String,
    },
}

/// Everybody that this machine knows.
#[derive(Clone, Debug)]
pub struct Parties {
    own: Peer,
    machines: Vec<Machine>,
    by_key: BTreeMap<NetworkKey, Party>,
}

impl Parties {
    /// From the founding roster and the configuration; `network` and `consensus` are the own keys.
    ///
    /// # Errors
    /// [`PartiesError`].
    pub fn new(
        roster: &Roster,
        config: &NodeConfig,
        network: NetworkKey,
        consensus: &VoteKey,
    ) -> Result<Self, PartiesError> {
        let founding = roster.entries().iter().map(|entry| Machine {
            name: entry.name.clone(),
            network_key: NetworkKey(*entry.network_key.as_bytes()),
            consensus_key: entry.consensus_key.clone(),
            address: entry.address.clone(),
        });
        let later = config.peers.iter().map(|entry| Machine {
            name: entry.name.clone(),
            network_key: NetworkKey(*entry.network_key.as_bytes()),
            consensus_key: entry.consensus_key.clone(),
            address: entry.address.clone(),
        });
        let machines: Vec<_> = founding.chain(later).collect();
        check_once(&machines)?;
        let place = machines.iter().position(|m| m.network_key == network);
        let place = place.ok_or(PartiesError::NotListed(network))?;
        if machines[place].name != config.name {
            return Err(PartiesError::OwnEntry("name"));
        }
        if machines[place].consensus_key != *consensus {
            return Err(PartiesError::OwnEntry("consensus key"));
        }
        let own = peer(place);
        let mut by_key = BTreeMap::new();
        for (at, machine) in machines.iter().enumerate() {
            let party = Party {
                name: machine.name.clone(),
                peer: Some(peer(at)),
                own: at == place,
                client: false,
                observer: false,
            };
            by_key.insert(machine.network_key, party);
        }
        let lists = [(&config.clients, true), (&config.observers, false)];
        for (entries, client) in lists {
            for entry in entries {
                let key = NetworkKey(*entry.key.as_bytes());
                let party = by_key.entry(key).or_insert_with(|| Party {
                    name: entry.name.clone(),
                    peer: None,
                    own: false,
                    client: false,
                    observer: false,
                });
                party.client |= client;
                party.observer |= !client;
            }
        }
        Ok(Self {
            own,
            machines,
            by_key,
        })
    }

    /// This machine's place.
    pub fn own(&self) -> Peer {
        self.own
    }

    /// All machines, this one included, in the order of their places.
    pub fn machines(&self) -> &[Machine] {
        &self.machines
    }

    /// A machine by its place.
    pub fn machine(&self, peer: Peer) -> Option<&Machine> {
        self.machines.get(usize::from(peer.0))
    }

    /// All but this one.
    pub fn others(&self) -> impl Iterator<Item = (Peer, &Machine)> {
        let own = self.own;
        let all = self.machines.iter().enumerate();
        all.map(|(at, machine)| (peer(at), machine))
            .filter(move |(at, _)| *at != own)
    }

    /// Who has this key.
    pub fn party(&self, key: &NetworkKey) -> Option<&Party> {
        self.by_key.get(key)
    }

    /// Every key that may connect.
    pub fn keys(&self) -> impl Iterator<Item = NetworkKey> + '_ {
        self.by_key.keys().copied()
    }
}

fn peer(place: usize) -> Peer {
    Peer(u16::try_from(place).expect("at most 512 machines"))
}

fn check_once(machines: &[Machine]) -> Result<(), PartiesError> {
    type Field = (&'static str, fn(&Machine) -> String);
    let fields: [Field; 4] = [
        ("name", |m| m.name.to_string()),
        ("network key", |m| m.network_key.to_string()),
        ("consensus key", |m| hex::encode(m.consensus_key.as_bytes())),
        ("address", |m| m.address.to_string()),
    ];
    for (what, field) in fields {
        let mut seen = std::collections::BTreeSet::new();
        for value in machines.iter().map(field) {
            if !seen.insert(value.clone()) {
                return Err(PartiesError::Twice { what, value });
            }
        }
    }
    Ok(())
}
