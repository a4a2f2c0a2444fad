//! `quorate init`: a whole network on one host.

use quorate_verifier::primitives::{ChainId, Power};
use quorate_verifier::roster::{Address, MachineName, Roster, RosterEntry};

use super::founding::{self, DevelopmentKeys};
use crate::args::InitArgs;
use crate::failure::Failure;
use crate::files::{Access, NewDirectory};
use crate::keys;
use crate::output::{Report, Verdict};

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
    let founding = founding::make(&args.name, roster, &args.chain, DevelopmentKeys::Accepted)?;
    founding::write(&dir, &founding)?;
    dir.directory("nodes", Access::Private)?;
    for machine in &machines {
        machine.write(&dir, &founding.anchor.header.chain_id)?;
    }
    dir.finish()?;

    let summary = format!(
        "made a network of {} in {}",
        args.validators,
        args.dir.display()
    );
    let mut report = Report::new(Verdict::Done, summary);
    founding::describe(&mut report, &founding);
    founding::warn(&mut report, &founding.set, &founding.anchor.keys);
    report.warn("all secret keys are on this host and not encrypted: for development only");
    report.next(format!(
        "quorate inspect {}/private/validator-set.json",
        args.dir.display()
    ));
    Ok(report)
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

    fn write(&self, dir: &NewDirectory, chain: &ChainId) -> Result<(), Failure> {
        let home = format!("nodes/{}", self.name);
        dir.directory(&home, Access::Private)?;
        for (name, key) in [("consensus", &self.consensus), ("network", &self.network)] {
            let pem = keys::secret_pem(key, None)?;
            dir.file(
                &format!("{home}/{name}.pem"),
                pem.as_bytes(),
                Access::Private,
            )?;
            let public = keys::public_pem(&keys::public(key));
            dir.file(
                &format!("{home}/{name}.pem.pub"),
                public.as_bytes(),
                Access::Public,
            )?;
        }
        let config = self.configuration(chain);
        dir.file(
            &format!("{home}/node.toml"),
            config.as_bytes(),
            Access::Private,
        )
    }

    /// Every value is of a small alphabet (chain id, name, address), so none needs escaping.
    fn configuration(&self, chain: &ChainId) -> String {
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
             roster = \"../../private/roster.json\"\n",
            name = self.name,
            address = self.address,
        )
    }
}
