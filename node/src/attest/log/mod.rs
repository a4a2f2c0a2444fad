//! Transparency logs in C2SP form: what the service appends, and who watches over it.
//!
//! A log is an append-only RFC 6962 tree, kept as tiles in a directory that any file server could
//! serve. The writer signs a checkpoint after each batch of entries; a *cosigner* signs it too once
//! it has seen that it extends the one before; a *monitor* reads every entry. Both remember the
//! last checkpoint in stores of their own, so that a log whose past was rewritten is caught, even
//! by its own operator with its own key.

mod cosign;
mod handover;
mod monitor;
mod reader;
mod sign;
mod store;
mod tree;

pub use cosign::{CosignError, Cosigner};
pub use monitor::{Monitor, MonitorError, Seen};
pub use reader::{DirReader, LogReader, ReadError, split_bundle};
pub use sign::{CosignKey, LogSigner};
pub(super) use store::parse_keys;
pub use store::{KeyPeriod, Log, LogOpenError, LogStoreError, LogView};
pub use tree::{TILE_WIDTH, TileSource, Tree, bundle_path, parse_tile_path, tile_path, tile_width};
