//! Reading the chain from the store at a start.

use std::collections::BTreeMap;
use std::sync::Arc;

use quorate_pbft::app::App;
use quorate_pbft::block::FinalBlock;
use quorate_pbft::chain::Chain;
use quorate_pbft::defect::Sound;
use quorate_pbft::limits::RECENT_HEADERS;
use quorate_pbft::scheme::Ed25519;
use quorate_pbft::snapshot::Snapshot;
use quorate_verifier::genesis::Genesis;
use quorate_verifier::primitives::Height;
use quorate_verifier::set::ValidatorSet;
use tracing::warn;

use super::Stop;
use crate::shell::store::{Entry, Store, StoreError};

/// The chain as the store has it: the last certified state, and the blocks above it executed
/// again. Without such a state, or if what is stored as one is not the certified one, all blocks.
/// Then the final blocks that only the vote log has: they are stored now.
pub(super) fn replay<A: App>(
    genesis: &Genesis,
    set: Arc<ValidatorSet>,
    app: A,
    store: &Store,
    logged: &BTreeMap<Height, Arc<FinalBlock>>,
) -> Result<(Chain<A>, Option<Arc<Snapshot>>), Stop> {
    let mut chain = Chain::genesis(genesis, set, app)?;
    let mut from = store.snapshot()?.map(Arc::new);
    if let Some(snapshot) = &from {
        let sets = store.sets()?.into_iter().map(Arc::new);
        sets.for_each(|set| chain.open_set(set));
        if let Err(error) = chain.adopt(&Ed25519, &Sound, snapshot) {
            if store.block(chain.next_height())?.is_none() {
                return Err(Stop::Start(format!(
                    "the stored state is not the certified one ({error}), and the blocks below it \
                     are not here: move the data directory away and start again"
                )));
            }
            warn!("the stored state is not used: {error}; all blocks are executed again");
            from = None;
        }
    }
    remember_below(&mut chain, store)?;
    let last = store.last_height()?.unwrap_or(Height::GENESIS);
    let open = |chain: &mut Chain<A>, commitment| -> Result<(), Stop> {
        if chain.set(&commitment).is_none()
            && let Some(set) = store.set(&commitment)?
        {
            chain.open_set(Arc::new(set));
        }
        Ok(())
    };
    loop {
        let height = chain.next_height();
        let wrong = |what: &str| Stop::Start(format!("height {}: {what}", height.get()));
        let block = match (store.block(height)?, logged.get(&height)) {
            (Some(stored), _) => Arc::new(stored),
            (None, _) if height <= last => return Err(wrong("the stored blocks have a gap")),
            (None, Some(logged)) => logged.clone(),
            (None, None) => break,
        };
        let (header, tip) = (block.block.header(), chain.tip());
        if header.parent != tip.digest {
            return Err(wrong("the stored block does not follow the one before"));
        }
        if (header.state_root, header.outcomes_root) != (tip.state_root, tip.outcomes_root) {
            return Err(wrong(
                "executing the stored blocks again gives another state than the one that was \
                 agreed: this program, or this machine, computes something else",
            ));
        }
        let next = header.next_validators;
        open(&mut chain, next)?;
        if chain.set(&next).is_none() {
            if height > last {
                break; // nothing was signed after it, so others may hand it over again
            }
            return Err(wrong("the set that signs the next height was not kept"));
        }
        let (outcomes, _) = chain.execute(&Ed25519, &Sound, &block);
        if store.outcomes(height)?.is_none() {
            store.keep(&[Entry::Executed(block, outcomes.into())])?;
        }
    }
    let named = chain.tip().next;
    open(&mut chain, named)?;
    Ok((chain, from))
}

/// Headers below a state that was taken up, as far as their blocks are here: to see forks there.
fn remember_below<A: App>(chain: &mut Chain<A>, store: &Store) -> Result<(), StoreError> {
    let mut child = chain.tip().header.clone();
    for _ in 1..RECENT_HEADERS {
        let below = child.height.get().checked_sub(1).map(Height::new);
        let Some(block) = below.map(|h| store.block(h)).transpose()?.flatten() else {
            break;
        };
        if block.block.digest() != child.parent {
            break;
        }
        child = block.block.header().clone();
        chain.recall(&child);
    }
    Ok(())
}
