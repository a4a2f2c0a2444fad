//! The attestation service of a network on one host: its keys, its configuration, and its place
//! among the observers of the first node.

use std::path::PathBuf;

use ed25519_dalek::SigningKey;
use quorate_node::attest::tls::SelfSigned;
use quorate_prover::{Store, open_prover};
use quorate_verifier::file::FileType;
use quorate_verifier::genesis::AcceptedKey;
use quorate_verifier::primitives::{ChainId, CircuitSize};
use quorate_verifier::proof::VerifyingKey;
use quorate_verifier::sizes::NAMED_SIZES;
use quorate_verifier::tlog::finality_log;
use quorate_verifier::trust::LogKey;
use serde_json::Value as Json;

use super::Machine;
use crate::args::InitArgs;
use crate::commands::{tls, work};
use crate::failure::Failure;
use crate::files::{Access, NewDirectory};
use crate::keys;
use crate::output::Report;

/// Where everything of the service lies.
pub(super) const HOME: &str = "service";

/// The service's TLS key; its certificate is beside it.
const TLS_KEY: &str = "tls.pem";
/// How long that certificate is good for.
const TLS_DAYS: u32 = 365;

/// What the service starts from.
pub(super) struct Attestor {
    verifying: VerifyingKey,
    /// The key's directory, when it is not the user's own.
    store: Option<PathBuf>,
    observer: SigningKey,
    finality: SigningKey,
    access: SigningKey,
    public_port: u16,
    tls: Option<SelfSigned>,
}

impl Attestor {
    /// Fresh keys, and the key on this machine that proves in a circuit of this size.
    pub(super) fn make(args: &InitArgs, size: CircuitSize) -> Result<Self, Failure> {
        let store = work::store(&args.store)?;
        let absolute = |dir: &PathBuf| {
            dir.canonicalize().map_err(|error| Failure::Read {
                name: dir.display().to_string(),
                error,
            })
        };
        let tls = || {
            let names = ["localhost", "127.0.0.1"].map(String::from);
            tls::own_certificate(&names, TLS_DAYS).map(|(made, _)| made)
        };
        Ok(Self {
            verifying: proving_key(&store, size)?,
            store: args.store.keys.as_ref().map(absolute).transpose()?,
            observer: keys::generate()?,
            finality: keys::generate()?,
            access: keys::generate()?,
            public_port: args.service_port,
            tls: args.service_tls.then(tls).transpose()?,
        })
    }

    /// What the chain accepts.
    pub(super) fn accepted(&self) -> AcceptedKey {
        AcceptedKey {
            digest: self.verifying.digest(),
            slots: self.verifying.circuit.slots,
        }
    }

    /// The public half of the key that signs the finality log.
    pub(super) fn log_key(&self) -> LogKey {
        LogKey(*keys::public(&self.finality).as_bytes())
    }

    /// What lets the service read a node's certificates, for the end of that node's configuration.
    pub(super) fn observer_entry(&self) -> String {
        let key = hex::encode(keys::public(&self.observer).as_bytes());
        format!("\n[[observers]]\nname = \"service\"\nkey = \"{key}\"\n")
    }

    pub(super) fn write(&self, dir: &NewDirectory, source: &Machine) -> Result<(), Failure> {
        dir.directory(HOME, Access::Private)?;
        for (name, key) in [
            ("observer", &self.observer),
            ("finality", &self.finality),
            ("access", &self.access),
        ] {
            super::write_key(dir, &format!("{HOME}/{name}"), key)?;
        }
        let light = self.verifying.to_file();
        dir.file(&format!("{HOME}/key.vk"), &light, Access::Public)?;
        if let Some(tls) = &self.tls {
            let (key, certificate) = (format!("{HOME}/{TLS_KEY}"), format!("{HOME}/{TLS_KEY}.crt"));
            dir.file(&key, tls.key.as_bytes(), Access::Private)?;
            dir.file(&certificate, tls.certificate.as_bytes(), Access::Public)?;
        }
        let config = self.configuration(source);
        let name = format!("{HOME}/serve.toml");
        dir.file(&name, config.as_bytes(), Access::Private)
    }

    /// Only the directory of keys can hold what needs escaping.
    fn configuration(&self, source: &Machine) -> String {
        let port = |above: u16| match self.public_port {
            0 => 0,
            public => public + above,
        };
        let keys = self.store.as_ref().map_or_else(String::new, |dir| {
            // A JSON string is a TOML string, too.
            format!("keys = {}\n", Json::from(dir.to_string_lossy()))
        });
        let tls = self.tls.as_ref().map_or_else(String::new, |_| {
            format!("\n[listen.tls]\ncertificate = \"{TLS_KEY}.crt\"\nkey = \"{TLS_KEY}\"\n")
        });
        format!(
            "# Configuration of the attestation service. Paths are relative to this file.\n\
             data = \"data\"\n\
             policy = \"../public/policy.json\"\n\
             verifying_keys = [\"key.vk\"]\n\
             \n\
             [log]\n\
             finality_key = \"finality.pem\"\n\
             access_key = \"access.pem\"\n\
             \n\
             [source]\n\
             node = \"{address}\"\n\
             node_key = \"{node_key}\"\n\
             key = \"observer.pem\"\n\
             \n\
             [listen]\n\
             public = \"127.0.0.1:{public}\"\n\
             operator = \"127.0.0.1:{operator}\"\n\
             metrics = \"127.0.0.1:{metrics}\"\n\
             {tls}\
             \n\
             [worker]\n\
             nice = 10\n\
             {keys}",
            address = source.address,
            node_key = hex::encode(keys::public(&source.network).as_bytes()),
            public = port(0),
            operator = port(1),
            metrics = port(2),
        )
    }

    /// What the user may want to know of it.
    pub(super) fn describe(&self, report: &mut Report, args: &InitArgs, chain: &ChainId) {
        let log = finality_log(chain, self.log_key());
        let config = args.dir.join(HOME).join("serve.toml");
        report
            .fact("service", config.display().to_string())
            .fact("verifying key", self.verifying.digest().to_string())
            .fact("finality log", log.to_string());
    }
}

/// The first key of this size that the program can prove with.
fn proving_key(store: &Store, size: CircuitSize) -> Result<VerifyingKey, Failure> {
    for key in store.entries()?.into_iter().filter_map(|e| e.key.ok()) {
        let verifying = key.verifying().clone();
        if verifying.circuit.slots == size && open_prover(key).is_ok() {
            return Ok(verifying);
        }
    }
    let named = NAMED_SIZES.iter().find(|named| named.size == size);
    let which = named.map_or_else(
        || format!("--slots {}", size.slots()),
        |named| format!("--size 2^{}", named.domain_log2),
    );
    Err(Failure::Unknown(format!(
        "there is no key in {} that this program proves {} signers with; quorate setup {which} \
         makes one",
        store.dir().display(),
        size.slots()
    )))
}
