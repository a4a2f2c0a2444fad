//! `quorate init`: a whole network on one host.

mod service;

use quorate_node::app::{
    AccountId, Amount, Genesis, GenesisAccount, GenesisHolding, GenesisInstrument, InstrumentId,
    KeyBytes, Kind, OptionTerms, Right, SaltBytes,
};
use quorate_verifier::primitives::{ChainId, Power, TimeMs};
use quorate_verifier::roster::{Address, MachineName, Roster, RosterEntry};

use super::founding::{self, DevelopmentKeys};
use crate::args::{InitArgs, KeyArg};
use crate::failure::Failure;
use crate::files::{Access, NewDirectory};
use crate::keys;
use crate::output::{Report, Verdict};
use service::Attestor;

pub(super) fn run(args: &InitArgs) -> Result<Report, Failure> {
    let last = u32::from(args.base_port) + u32::from(args.validators) - 1;
    if last > u32::from(u16::MAX) {
        return Err(Failure::usage(format!(
            "--base-port: the last node's port would be {last}"
        )));
    }
    let dir = NewDirectory::begin(&args.dir)?;
    let machines = (0..args.validators)
        .map(|place| Machine::make(place, args.base_port + place))
        .collect::<Result<Vec<_>, _>>()?;
    let roster = Roster::new(machines.iter().map(Machine::entry).collect())
        .expect("fresh keys, names and ports are all different");
    let (ledger, clients) = ledger(args)?;
    let mut chain = args.chain.clone();
    let mut attestor = None;
    if args.service {
        let size = founding::circuit_size(&roster, &chain)?;
        let made = attestor.insert(Attestor::make(args, size)?);
        chain.verifying_keys.push(KeyArg::Named(made.accepted()));
    }
    let development = DevelopmentKeys::Accepted;
    let mut founding = founding::make(&args.name, roster, &chain, ledger.as_ref(), development)?;
    founding.policy.log_key = attestor.as_ref().map(Attestor::log_key);
    founding::write(&dir, &founding)?;
    if let Some(ledger) = &ledger {
        founding::write_ledger(&dir, ledger)?;
    }
    dir.directory("nodes", Access::Private)?;
    let chain = &founding.anchor.header.chain_id;
    for machine in &machines {
        // The service reads the first node's certificates.
        let is_source = machine.name == machines[0].name;
        let observer = attestor.as_ref().filter(|_| is_source);
        let observer = observer.map(Attestor::observer_entry).unwrap_or_default();
        machine.write(&dir, chain, ledger.is_some(), &observer)?;
    }
    if let Some(attestor) = &attestor {
        attestor.write(&dir, &machines[0])?;
    }
    if !clients.is_empty() {
        dir.directory("clients", Access::Private)?;
    }
    for (name, key) in &clients {
        write_key(&dir, &format!("clients/{name}"), key)?;
    }
    dir.finish()?;

    let summary = format!(
        "made a network of {} in {}",
        args.validators,
        args.dir.display()
    );
    let mut report = Report::new(Verdict::Done, summary);
    founding::describe(&mut report, &founding);
    if ledger.is_some() {
        let file = args.dir.join(founding::LEDGER_FILE);
        report.fact("ledger", file.display().to_string());
    }
    if !clients.is_empty() {
        let names: Vec<_> = clients.iter().map(|(name, _)| *name).collect();
        report.fact("accounts with keys in clients/", names.join(", "));
    }
    if let Some(attestor) = &attestor {
        attestor.describe(&mut report, args, chain);
    }
    founding::warn(&mut report, &founding.set, &founding.anchor.keys);
    report.warn("all secret keys are on this host and not encrypted: for development only");
    report.next(format!(
        "quorate node --new --config {}/nodes/node-0/node.toml, and so for every node",
        args.dir.display()
    ));
    Ok(report)
}

/// An account's name and key.
type ClientOf = (&'static str, ed25519_dalek::SigningKey);

/// The first state that was asked for; by default a small one whose keys are made here.
fn ledger(args: &InitArgs) -> Result<(Option<Genesis>, Vec<ClientOf>), Failure> {
    if args.chain.ledger.is_some() || args.chain.state_root.is_some() {
        return Ok((founding::given_ledger(&args.chain)?, Vec::new()));
    }
    let make = |name| Ok((name, keys::generate()?));
    let clients = ["operator", "bank", "alice", "bob"]
        .map(make)
        .into_iter()
        .collect::<Result<Vec<ClientOf>, Failure>>()?;
    Ok((Some(small_ledger(&clients, keys::random()?)), clients))
}

/// Two traders with money and shares, a bank that issues both, an operator, a call and a put that
/// expire with the year 2099.
fn small_ledger(clients: &[ClientOf], salt: [u8; 32]) -> Genesis {
    let account = |name: &str| AccountId::new(name).expect("a good name");
    let instrument = |name: &str| InstrumentId::new(name).expect("a good name");
    let amount = |units| Amount::new(units).expect("below 2^60");
    let issuer = account("bank");
    let option = |right| {
        Kind::Option(OptionTerms {
            right,
            underlying: instrument("ACME"),
            currency: instrument("EUR"),
            strike: amount(10_000),
            lot: amount(100),
            expiry: TimeMs::new(4_102_444_799_000).expect("before the year 10000"),
        })
    };
    let listed = |name: &str, kind| GenesisInstrument {
        instrument: instrument(name),
        kind,
    };
    let holding = |name: &str, of: &str, units| GenesisHolding {
        account: account(name),
        instrument: instrument(of),
        amount: amount(units),
    };
    let opened = clients.iter().map(|(name, key)| GenesisAccount {
        account: account(name),
        keys: vec![KeyBytes(*keys::public(key).as_bytes())],
    });
    Genesis {
        salt: Some(SaltBytes(salt)),
        operator: account("operator"),
        accounts: opened.collect(),
        instruments: vec![
            listed(
                "EUR",
                Kind::Money {
                    issuer,
                    decimals: 2,
                },
            ),
            listed(
                "ACME",
                Kind::Asset {
                    issuer,
                    decimals: 0,
                },
            ),
            listed("ACME-C-100", option(Right::Call)),
            listed("ACME-P-100", option(Right::Put)),
        ],
        holdings: vec![
            holding("alice", "EUR", 100_000_000),
            holding("alice", "ACME", 10_000),
            holding("bob", "EUR", 100_000_000),
            holding("bob", "ACME", 10_000),
        ],
    }
}

/// A secret key that is not encrypted, with its public half beside it.
fn write_key(
    dir: &NewDirectory,
    place: &str,
    key: &ed25519_dalek::SigningKey,
) -> Result<(), Failure> {
    let pem = keys::secret_pem(key, None)?;
    dir.file(&format!("{place}.pem"), pem.as_bytes(), Access::Private)?;
    let public = keys::public_pem(&keys::public(key));
    dir.file(
        &format!("{place}.pem.pub"),
        public.as_bytes(),
        Access::Public,
    )
}

/// Keys and address of one node.
pub(super) struct Machine {
    pub(super) name: MachineName,
    pub(super) consensus: ed25519_dalek::SigningKey,
    network: ed25519_dalek::SigningKey,
    address: Address,
}

impl Machine {
    pub(super) fn make(place: u16, port: u16) -> Result<Self, Failure> {
        Ok(Self {
            name: MachineName::new(&format!("node-{place}")).expect("at most eight letters"),
            consensus: keys::generate()?,
            network: keys::generate()?,
            address: Address::new(&format!("127.0.0.1:{port}")).expect("a port above 0"),
        })
    }

    pub(super) fn entry(&self) -> RosterEntry {
        RosterEntry {
            name: self.name.clone(),
            consensus_key: keys::public(&self.consensus),
            network_key: keys::public(&self.network),
            address: self.address.clone(),
            power: Power::new(1).expect("below 2^60"),
        }
    }

    /// Writes keys and configuration, which ends with `more`.
    fn write(
        &self,
        dir: &NewDirectory,
        chain: &ChainId,
        has_ledger: bool,
        more: &str,
    ) -> Result<(), Failure> {
        let home = format!("nodes/{}", self.name);
        dir.directory(&home, Access::Private)?;
        for (name, key) in [("consensus", &self.consensus), ("network", &self.network)] {
            write_key(dir, &format!("{home}/{name}"), key)?;
        }
        let config = self.configuration(chain, has_ledger) + more;
        dir.file(
            &format!("{home}/node.toml"),
            config.as_bytes(),
            Access::Private,
        )
    }

    /// Every value is of a small alphabet (chain id, name, address), so none needs escaping.
    fn configuration(&self, chain: &ChainId, has_ledger: bool) -> String {
        let state = if has_ledger {
            format!("state = \"../../{}\"\n", founding::LEDGER_FILE)
        } else {
            String::new()
        };
        format!(
            "# Configuration of one node. Paths are relative to this file.\n\
             name = \"{name}\"\n\
             chain = \"{chain}\"\n\
             listen = \"{address}\"\n\
             data = \"data\"\n\
             \n\
             [keys]\n\
             consensus = \"consensus.pem\"\n\
             network = \"network.pem\"\n\
             \n\
             [documents]\n\
             genesis = \"../../public/genesis.json\"\n\
             anchor = \"../../public/trust-anchor.json\"\n\
             policy = \"../../public/policy.json\"\n\
             set = \"../../private/validator-set.json\"\n\
             roster = \"../../private/roster.json\"\n\
             {state}",
            name = self.name,
            address = self.address,
        )
    }
}
