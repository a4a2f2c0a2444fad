//! Proofs of double votes, kept beside the data for `quorate inspect` and for lawyers.

use std::fs;
use std::io::Write;

use quorate_pbft::app::App;
use quorate_pbft::ballot::Slot;
use quorate_pbft::block::FinalBlock;
use quorate_pbft::evidence::{DoubleVote, culprits};
use quorate_pbft::log::Storage;
use quorate_verifier::file::FileType;
use tracing::error;

use super::{Driver, Stop};

impl<A: App, D: Storage> Driver<A, D> {
    /// Writes a proof beside the data, for `quorate inspect` and for lawyers.
    pub(super) fn keep_evidence(&self, proof: &DoubleVote) -> Result<(), Stop> {
        let Slot { height, view, step } = proof.slot;
        let key = hex::encode(proof.key.as_bytes());
        let set = &self.core.chain().tip().set;
        let machines = self.links.parties().machines();
        let name = machines.iter().find(|m| m.consensus_key == proof.key);
        error!(
            validator = name.map_or("unknown", |m| m.name.as_str()),
            member = set.index_of(&proof.key).is_some(),
            %key,
            height = height.get(),
            view = view.get(),
            ?step,
            "a validator has signed twice; both signatures are kept as evidence"
        );
        let file = format!("{}-{}-{step:?}-{}", height.get(), view.get(), &key[..16]);
        let path = self.evidence.join(file.to_lowercase() + ".double-vote");
        if path.exists() {
            return Ok(());
        }
        let write = || -> std::io::Result<()> {
            let mut file = fs::File::create_new(&path)?;
            file.write_all(&proof.to_file())?;
            file.sync_all()
        };
        write().map_err(Stop::Evidence)
    }

    /// Who has signed both sides of a fork, as far as the own block shows it.
    pub(super) fn keep_culprits(&self, other: &FinalBlock) {
        let height = other.block.height();
        let set = self.core.chain().recent(height);
        let set = set.and_then(|(_, set)| self.core.chain().set(&set).cloned());
        let (Ok(Some(own)), Some(set)) = (self.store.block(height), set) else {
            return;
        };
        for proof in culprits(&set, &own, other) {
            if let Err(why) = self.keep_evidence(&proof) {
                error!("{why}");
            }
        }
    }
}
