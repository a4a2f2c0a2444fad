//! Keys and documents of a cluster on loopback: the same for both systems, the same in every run.

use std::path::Path;

use ed25519_dalek::SigningKey;
use quorate_node::shell::config::NodeConfig;
use quorate_node::shell::tls::{Identity, NetworkKey};
use quorate_pbft::app::App;
use quorate_verifier::founding::Founding;
use quorate_verifier::genesis::{Genesis, Limits, Parameters};
use quorate_verifier::primitives::{Digest, Power, TimeMs};
use quorate_verifier::roster::{Address, MachineName, Roster, RosterEntry};
use quorate_verifier::rule::QuorumRule;
use quorate_verifier::set::Salt;
use quorate_verifier::signature::VoteKey;
use quorate_verifier::sizes;
use quorate_verifier::trust::{Cosigners, Policy, TrustAnchor};

use crate::Failure;
use crate::app::Appender;

/// What a cluster is made with.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    /// Where each replica listens on 127.0.0.1.
    pub(crate) ports: Vec<u16>,
    /// Most requests in a block.
    pub(crate) batch: u32,
    /// Least time between blocks, in ms.
    pub(crate) block_ms: u32,
}

fn key(kind: u8, index: usize) -> SigningKey {
    let place = u8::try_from(index).expect("few replicas");
    let mut seed = [kind; 32];
    seed[0] = place;
    SigningKey::from_bytes(&seed)
}

/// Signs votes.
pub(crate) fn consensus_key(index: usize) -> SigningKey {
    key(1, index)
}

/// Names a machine on its links.
pub(crate) fn network_key(index: usize) -> SigningKey {
    key(2, index)
}

/// The load generator's on its links.
pub(crate) fn guest_key() -> SigningKey {
    key(3, 0)
}

/// A replica's name.
pub(crate) fn name(index: usize) -> String {
    format!("node-{index}")
}

/// The network key of a replica, as others see it.
pub(crate) fn network_id(index: usize) -> NetworkKey {
    NetworkKey(network_key(index).verifying_key().to_bytes())
}

fn public(key: &SigningKey) -> Result<VoteKey, Failure> {
    Ok(VoteKey::from_bytes(key.verifying_key().as_bytes())?)
}

impl Shape {
    /// A replica's address.
    pub(crate) fn address(&self, index: usize) -> String {
        format!("127.0.0.1:{}", self.ports[index])
    }

    /// The documents of Quorate's chain.
    ///
    /// The chain id, which requests are signed for, depends on the number of replicas and the two
    /// limits, not on the ports.
    pub(crate) fn founding(&self) -> Result<Founding, Failure> {
        let entry = |index| -> Result<RosterEntry, Failure> {
            Ok(RosterEntry {
                name: MachineName::new(&name(index))?,
                consensus_key: public(&consensus_key(index))?,
                network_key: public(&network_key(index))?,
                address: Address::new(&self.address(index))?,
                power: Power::new(1).ok_or("one is a power")?,
            })
        };
        let entries: Result<Vec<_>, _> = (0..self.ports.len()).map(entry).collect();
        let roster = Roster::new(entries?)?;
        let set = roster.validator_set(Some(Salt::from_bytes([9; 32])), sizes::largest().size)?;
        let genesis = Genesis {
            name: "versus".into(),
            time: TimeMs::new(1_700_000_000_000).ok_or("a time")?,
            parameters: Parameters {
                rule: QuorumRule::COMMIT,
                slots: set.size(),
                keys: Vec::new(),
                block_interval_ms: self.block_ms.max(1),
                limits: Limits {
                    block_bytes: 8 << 20,
                    block_requests: self.batch,
                    request_bytes: 1 << 16,
                },
            },
            validators: set.commitment(),
            state_root: Appender::default().root(),
        };
        let anchor = TrustAnchor {
            header: genesis.header()?,
            keys: Vec::new(),
            trusting_period_ms: 86_400_000,
            clock_drift_ms: 10_000,
            made_at: genesis.time,
        };
        let policy = Policy {
            anchor: anchor.clone(),
            rule: QuorumRule::COMMIT,
            keys: Vec::new(),
            log_key: None,
            cosigners: Cosigners::NONE,
            development_keys: true,
        };
        Ok(Founding {
            genesis,
            anchor,
            policy,
            set,
            roster,
        })
    }

    /// A replica's `node.toml`: everything at its default, but who the load generator is, and that
    /// nothing is sent twice within the first view: links on loopback lose nothing, and at
    /// saturation a block takes longer than the default patience of 250 ms.
    pub(crate) fn config(&self, index: usize, dir: &Path) -> Result<NodeConfig, Failure> {
        let text = format!(
            "name = \"{name}\"\nchain = \"{chain}\"\nlisten = \"{listen}\"\ndata = \"data\"\n\
             [keys]\nconsensus = \"c\"\nnetwork = \"n\"\n\
             [documents]\ngenesis = \"g\"\nanchor = \"a\"\npolicy = \"p\"\nset = \"s\"\nroster = \"r\"\n\
             [timing]\nresend_ms = 1000\n\
             [[clients]]\nname = \"guest\"\nkey = \"{guest}\"\n",
            name = name(index),
            chain = self.founding()?.anchor.header.chain_id.as_str(),
            listen = self.address(index),
            guest = hex::encode(guest_key().verifying_key().as_bytes()),
        );
        Ok(NodeConfig::parse(&text, dir)?)
    }

    /// What every request is signed for: the genesis header's digest.
    pub(crate) fn chain(&self) -> Result<Digest, Failure> {
        Ok(self.founding()?.anchor.header.digest())
    }

    /// Somebody on the links of this chain.
    pub(crate) fn identity(&self, secret: SigningKey) -> Result<Identity, Failure> {
        let chain = self.founding()?.anchor.header.chain_id;
        Ok(Identity::new(secret, chain))
    }
}
