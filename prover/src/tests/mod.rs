//! Proofs of a toy circuit: agreement with the library, and forgeries.

mod agreement;
mod batch;
mod forgeries;
mod keys;
pub(crate) mod toy;
