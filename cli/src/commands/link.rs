//! What `node`, `status` and `submit` share: reading a node's configuration, keys and documents,
//! and links to nodes.

use std::path::Path;
use std::sync::Arc;

use quorate_node::app::{self, Ledger};
use quorate_node::shell::clients::{ClientError, ClientLink};
use quorate_node::shell::config::{CONFIG_MAX_BYTES, NodeConfig};
use quorate_node::shell::node::Setup;
use quorate_node::shell::tls::{Identity, NetworkKey};
use quorate_verifier::founding::Founding;
use quorate_verifier::primitives::Digest;
use quorate_verifier::set::ValidatorSet;
use quorate_verifier::trust::TrustAnchor;

use crate::args::LinkArgs;
use crate::failure::{Failure, Role};
use crate::files::{self, Source};
use crate::keys;

/// Reads `node.toml`.
pub(super) fn config(path: &Path) -> Result<NodeConfig, Failure> {
    let name = path.display().to_string();
    let bytes = Source::File(path.into()).read(CONFIG_MAX_BYTES)?;
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| Failure::usage(format!("{name}: a configuration is text in UTF-8")))?;
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    NodeConfig::parse(text, directory).map_err(|error| Failure::usage(format!("{name}: {error}")))
}

/// A secret key that nobody else can read. A file that others may read is refused, not warned
/// about: a node runs for years.
pub(super) fn private_key(
    path: &Path,
    passphrase: Option<&Path>,
) -> Result<ed25519_dalek::SigningKey, Failure> {
    for file in [Some(path), passphrase].into_iter().flatten() {
        if files::is_open_to_others(file) {
            return Err(Failure::Key {
                name: file.display().to_string(),
                rule: "it can be read by other users: chmod 600".into(),
            });
        }
    }
    let passphrase = passphrase.map(|path| Source::File(path.into()));
    let source = Source::File(path.into());
    keys::load_secret(&source, passphrase.as_ref()).map(|(key, _)| key)
}

/// Everything that a node starts from.
pub(super) fn setup(config: NodeConfig, fresh: bool) -> Result<Setup<Ledger>, Failure> {
    let paths = &config.keys;
    let consensus = private_key(&paths.consensus, paths.consensus_passphrase.as_deref())?;
    let network = private_key(&paths.network, paths.network_passphrase.as_deref())?;
    let file = |path: &Path| Source::File(path.into());
    let documents = &config.documents;
    let founding = Founding {
        genesis: file(&documents.genesis).document(Role::Given)?,
        anchor: file(&documents.anchor).document(Role::Given)?,
        policy: file(&documents.policy).document(Role::Given)?,
        set: file(&documents.set).document(Role::Given)?,
        roster: file(&documents.roster).document(Role::Given)?,
    };
    let sets = documents.sets.iter().map(|path| {
        file(path)
            .document::<ValidatorSet>(Role::Given)
            .map(Arc::new)
    });
    let sets = sets.collect::<Result<Vec<_>, _>>()?;
    let app = ledger(documents.state.as_deref())?;
    Ok(Setup {
        config,
        founding,
        sets,
        consensus,
        network,
        app,
        fresh,
    })
}

/// The ledger in its founding state: empty without a file.
fn ledger(state: Option<&Path>) -> Result<Ledger, Failure> {
    let Some(path) = state else {
        return Ok(Ledger::default());
    };
    let genesis: app::Genesis = Source::File(path.into()).document(Role::Given)?;
    genesis
        .ledger()
        .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
}

/// A node that can be asked.
pub(super) struct Target {
    address: String,
    key: NetworkKey,
    identity: Identity,
    /// Digest of the chain's genesis header.
    pub(super) chain: Digest,
}

impl Target {
    pub(super) fn of(args: &LinkArgs) -> Result<Self, Failure> {
        match (&args.config, &args.node) {
            (Some(path), None) => Self::own(config(path)?),
            (None, Some(address)) => Self::remote(args, address),
            _ => Err(Failure::usage("either --config or --node says which node")),
        }
    }

    /// The node that this configuration is of, as itself.
    pub(super) fn own(config: NodeConfig) -> Result<Self, Failure> {
        let passphrase = config.keys.network_passphrase.as_deref();
        let secret = private_key(&config.keys.network, passphrase)?;
        let anchor: TrustAnchor =
            Source::File(config.documents.anchor.clone()).document(Role::Given)?;
        let identity = Identity::new(secret, anchor.header.chain_id.clone());
        // A node that listens everywhere is reached on this machine.
        let listen = config.listen.as_str();
        let address = match listen.strip_prefix("0.0.0.0:") {
            Some(port) => format!("127.0.0.1:{port}"),
            None => listen.replacen("[::]:", "[::1]:", 1),
        };
        Ok(Self {
            address,
            key: identity.key(),
            identity,
            chain: anchor.header.digest(),
        })
    }

    fn remote(args: &LinkArgs, address: &str) -> Result<Self, Failure> {
        let (Some(node), Some(own), Some(anchor)) = (&args.node_key, &args.link_key, &args.anchor)
        else {
            return Err(Failure::usage(
                "--node needs --node-key, --link-key and --anchor",
            ));
        };
        let node = keys::load_public(node)?;
        let (secret, _) = keys::load_secret(own, None)?;
        let anchor: TrustAnchor = anchor.document(Role::Given)?;
        Ok(Self {
            address: address.into(),
            key: NetworkKey(*node.as_bytes()),
            identity: Identity::new(secret, anchor.header.chain_id.clone()),
            chain: anchor.header.digest(),
        })
    }

    pub(super) async fn connect(&self) -> Result<ClientLink, ClientError> {
        ClientLink::connect(&self.address, self.key, &self.identity).await
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::Machine(error.to_string())
    }
}

/// A runtime for one command.
pub(super) fn runtime(threads: usize) -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()
        .map_err(|error| Failure::Machine(format!("no threads from the system: {error}")))
}
