//! The one rule by which a vote's Ed25519 signature is judged, alone and in a batch.
//!
//! A signature `(R, s)` of a message `M` by a key `A` is valid when
//!
//! 1. `A` and `R` are canonical encodings of curve points, and `s < L`;
//! 2. `x(R) != 0`: R is neither the identity nor the point of order two;
//! 3. `8(sB - R - kA) = O` with `k = SHA-512(R || A || M) mod L`, over the bytes as given.
//!
//! A key that may vote has passed one more check, made once, when its set is made: it has prime order.
//! [`VoteKey`] is the proof of that. Node, certificate check and circuit all use this predicate; a single
//! vote on the wire is held to [`verify_strict`], which accepts a subset. `docs/signatures.md` says why each
//! line is as it is and lists the verdict on every published edge case.
//!
//! Everything here is public data, so everything here runs in variable time. No secret key belongs in it.

mod batch;
mod encoding;
mod key;
mod predicate;

pub use batch::{BadSignature, BatchError, verify_batch};
pub use encoding::PointError;
pub use key::{KeyError, VoteKey};
pub use predicate::{
    RawError, Signature, SignatureError, StrictError, challenge, verify, verify_raw, verify_strict,
};

/// The curve arithmetic that the signatures' points and scalars are made of.
pub use curve25519_dalek;
