//! `node.toml`: what one machine's operator chooses. Everything that members must agree on is in
//! the founding documents instead.

use std::path::{Path, PathBuf};

use quorate_pbft::time::Timing;
use quorate_verifier::json;
use quorate_verifier::primitives::ChainId;
use quorate_verifier::roster::{Address, MachineName};
use quorate_verifier::signature::VoteKey;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};

/// No configuration is longer.
pub const CONFIG_MAX_BYTES: usize = 1 << 18;
/// Most peers, observers or clients that a configuration lists beside the roster.
pub const PARTIES_MAX: usize = 256;

/// A whole `node.toml`, its paths resolved against its directory.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeConfig {
    /// This machine's name in the roster.
    #[serde(deserialize_with = "machine_name")]
    pub name: MachineName,
    /// The chain that the documents must be of.
    #[serde(deserialize_with = "chain_id")]
    pub chain: ChainId,
    /// Where it listens for peers, clients and observers.
    #[serde(deserialize_with = "address")]
    pub listen: Address,
    /// Directory of logs, blocks and evidence.
    pub data: PathBuf,
    /// Files with secret keys.
    pub keys: KeyPaths,
    /// Founding documents.
    pub documents: DocumentPaths,
    /// Machines beside those of the founding roster: members that joined later.
    #[serde(default)]
    pub peers: Vec<PeerEntry>,
    /// Who may read the certificate stream.
    #[serde(default)]
    pub observers: Vec<PartyEntry>,
    /// Who may submit requests and ask for the status from another machine.
    #[serde(default)]
    pub clients: Vec<PartyEntry>,
    /// The private listener for metrics; none without it.
    pub metrics: Option<MetricsConfig>,
    /// How patient the replica is.
    #[serde(default)]
    pub timing: TimingConfig,
    /// What is logged.
    #[serde(default)]
    pub log: LogConfig,
}

/// Files with secret keys, and what goes with them.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyPaths {
    /// The key that signs votes.
    pub consensus: PathBuf,
    /// Passphrase file of that key.
    pub consensus_passphrase: Option<PathBuf>,
    /// The key of the machine's links.
    pub network: PathBuf,
    /// Passphrase file of that key.
    pub network_passphrase: Option<PathBuf>,
    /// The signer's high-water mark; `signer.mark` in the data directory unless it is named. On
    /// another disk it survives what happens to the first.
    pub mark: Option<PathBuf>,
}

/// Founding documents, and sets that were opened since.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DocumentPaths {
    /// The genesis document.
    pub genesis: PathBuf,
    /// The trust anchor.
    pub anchor: PathBuf,
    /// The policy.
    pub policy: PathBuf,
    /// The founding validator set.
    pub set: PathBuf,
    /// The founding roster.
    pub roster: PathBuf,
    /// The state before the first block, for a chain whose ledger does not start empty.
    pub state: Option<PathBuf>,
    /// Sets of changes to come, which this operator has opened and checked.
    #[serde(default)]
    pub sets: Vec<PathBuf>,
}

/// A machine that is not in the founding roster.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerEntry {
    /// What people call it.
    #[serde(deserialize_with = "machine_name")]
    pub name: MachineName,
    /// The key of its links.
    #[serde(deserialize_with = "public_key")]
    pub network_key: VoteKey,
    /// The key that signs its votes.
    #[serde(deserialize_with = "public_key")]
    pub consensus_key: VoteKey,
    /// Where it listens.
    #[serde(deserialize_with = "address")]
    pub address: Address,
}

/// Somebody who may connect but is no validator.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartyEntry {
    /// What people call it.
    #[serde(deserialize_with = "machine_name")]
    pub name: MachineName,
    /// The key of its links.
    #[serde(deserialize_with = "public_key")]
    pub key: VoteKey,
}

/// The metrics listener.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricsConfig {
    /// A loopback or otherwise private address: whoever reaches it reads the figures.
    pub listen: std::net::SocketAddr,
}

/// [`Timing`], every field optional.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimingConfig {
    /// Length of view 0, in ms.
    pub view_ms: Option<u64>,
    /// The longest view, in ms.
    pub view_max_ms: Option<u64>,
    /// Time without requests after which an empty block is proposed, in ms.
    pub idle_ms: Option<u64>,
    /// First interval after which own messages are sent again, in ms.
    pub resend_ms: Option<u64>,
    /// The longest such interval, in ms.
    pub resend_max_ms: Option<u64>,
    /// Heights after which a copy of the state is made for machines that are far behind, and that a
    /// machine has to be behind to ask for one; 0 for neither.
    pub snapshot_every: Option<u64>,
}

/// A day of blocks, one a second, is executed in less than a state is worth fetching.
const SNAPSHOT_EVERY: u64 = 10_000;

impl TimingConfig {
    /// Heights between copies of the state.
    pub fn snapshot_every(&self) -> u64 {
        self.snapshot_every.unwrap_or(SNAPSHOT_EVERY)
    }

    /// What the core is told; [`Timing::WIDE`] where nothing was said.
    pub fn timing(&self) -> Timing {
        let wide = Timing::WIDE;
        Timing {
            view_ms: self.view_ms.unwrap_or(wide.view_ms),
            view_max_ms: self.view_max_ms.unwrap_or(wide.view_max_ms),
            idle_ms: self.idle_ms.unwrap_or(wide.idle_ms),
            resend_ms: self.resend_ms.unwrap_or(wide.resend_ms),
            resend_max_ms: self.resend_max_ms.unwrap_or(wide.resend_max_ms),
        }
    }
}

/// What is logged.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogConfig {
    /// `error`, `warn`, `info`, `debug` or `trace`.
    #[serde(default)]
    pub level: Level,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// What stops the node or shows somebody faulty.
    Error,
    /// And peers that misbehave.
    Warn,
    /// And what an operator wants to know in quiet times.
    #[default]
    Info,
    /// And every block and connection.
    Debug,
    /// And every step.
    Trace,
}

/// Why a configuration is none.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It is no text in UTF-8, or not TOML with the members of a configuration.
    #[error("{0}")]
    Form(String),
    /// A value that breaks a rule.
    #[error("{field}: {rule}")]
    Rule {
        /// The member.
        field: &'static str,
        /// The rule, in words.
        rule: String,
    },
}

impl NodeConfig {
    /// Reads the text of a file in `directory`.
    ///
    /// # Errors
    /// [`ConfigError`] says where and what.
    pub fn parse(text: &str, directory: &Path) -> Result<Self, ConfigError> {
        let mut config: Self =
            toml::from_str(text).map_err(|error| ConfigError::Form(error.to_string()))?;
        config.check()?;
        config.resolve(directory);
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let rule = |field, rule: &str| {
            let rule = rule.to_string();
            Err(ConfigError::Rule { field, rule })
        };
        let lists = [self.peers.len(), self.observers.len(), self.clients.len()];
        if lists.iter().any(|count| *count > PARTIES_MAX) {
            return rule(
                "peers, observers, clients",
                "at most 256 are listed of each",
            );
        }
        let timing = self.timing.timing();
        if timing.view_ms == 0 || timing.resend_ms == 0 || timing.idle_ms == 0 {
            return rule("timing", "no interval is 0 ms");
        }
        if timing.view_max_ms < timing.view_ms || timing.resend_max_ms < timing.resend_ms {
            return rule("timing", "a longest interval is not below the first one");
        }
        match &self.metrics {
            Some(metrics) if metrics.listen.ip().is_unspecified() => rule(
                "metrics.listen",
                "the listener is private: name an address, not all of them",
            ),
            _ => Ok(()),
        }
    }

    fn resolve(&mut self, directory: &Path) {
        let KeyPaths {
            consensus,
            consensus_passphrase,
            network,
            network_passphrase,
            mark,
        } = &mut self.keys;
        let DocumentPaths {
            genesis,
            anchor,
            policy,
            set,
            roster,
            state,
            sets,
        } = &mut self.documents;
        let named = [
            &mut self.data,
            consensus,
            network,
            genesis,
            anchor,
            policy,
            set,
            roster,
        ];
        let optional = [consensus_passphrase, network_passphrase, mark, state];
        let all = named
            .into_iter()
            .chain(optional.into_iter().flatten())
            .chain(sets);
        for path in all {
            *path = directory.join(&*path);
        }
    }

    /// Where the signer's mark lies.
    pub fn mark_path(&self) -> PathBuf {
        let default = || self.data.join("signer.mark");
        self.keys.mark.clone().unwrap_or_else(default)
    }
}

fn machine_name<'de, D: Deserializer<'de>>(input: D) -> Result<MachineName, D::Error> {
    MachineName::new(&String::deserialize(input)?).map_err(D::Error::custom)
}

fn chain_id<'de, D: Deserializer<'de>>(input: D) -> Result<ChainId, D::Error> {
    ChainId::new(&String::deserialize(input)?).map_err(D::Error::custom)
}

fn address<'de, D: Deserializer<'de>>(input: D) -> Result<Address, D::Error> {
    Address::new(&String::deserialize(input)?).map_err(D::Error::custom)
}

fn public_key<'de, D: Deserializer<'de>>(input: D) -> Result<VoteKey, D::Error> {
    let bytes = json::parse_hex::<32>(&String::deserialize(input)?).map_err(D::Error::custom)?;
    VoteKey::from_bytes(&bytes).map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = r#"
        name = "node-0"
        chain = "local-0123456789abcdef"
        listen = "127.0.0.1:26600"
        data = "data"
        [keys]
        consensus = "consensus.pem"
        network = "/keys/network.pem"
        [documents]
        genesis = "../../public/genesis.json"
        anchor = "a"
        policy = "p"
        set = "s"
        roster = "r"
    "#;

    fn parse(text: &str) -> Result<NodeConfig, String> {
        NodeConfig::parse(text, Path::new("/net/node")).map_err(|error| error.to_string())
    }

    #[test]
    fn paths_are_relative_to_the_file() {
        let config = parse(SMALL).expect("a good file");
        assert_eq!(config.keys.consensus, Path::new("/net/node/consensus.pem"));
        assert_eq!(config.keys.network, Path::new("/keys/network.pem"));
        assert_eq!(config.mark_path(), Path::new("/net/node/data/signer.mark"));
        assert_eq!(config.timing.timing(), Timing::WIDE);
    }

    #[test]
    fn whatever_is_not_understood_is_refused() {
        let broken = [
            (SMALL.replace("node-0", "Node 0"), "a-z"),
            (SMALL.replace("data =", "date ="), "date"),
            (SMALL.replace(":26600", ":0"), "port"),
            (SMALL.replace("-0123456789abcdef", ""), "chain id"),
            (format!("{SMALL}\n[timing]\nview_ms = 0"), "0 ms"),
            (format!("{SMALL}\n[timing]\nview_ms = 99999"), "longest"),
            (
                format!("{SMALL}\n[metrics]\nlisten = \"0.0.0.0:1\""),
                "private",
            ),
            (
                format!("{SMALL}\n[[observers]]\nname = \"a\"\nkey = \"00\""),
                "hex",
            ),
            (
                format!(
                    "{SMALL}\n[[observers]]\nname = \"a\"\nkey = \"{}\"",
                    "00".repeat(32)
                ),
                "order",
            ),
        ];
        for (text, word) in broken {
            let error = parse(&text).expect_err(word);
            assert!(error.contains(word), "{word}: {error}");
        }
    }
}
