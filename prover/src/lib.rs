//! Keys, commitment layer and proving pipeline for quorum proofs.
