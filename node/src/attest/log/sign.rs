//! Keys that sign for a log and for a cosigner.

use std::fmt;

use ed25519_dalek::{Signer, SigningKey};
use quorate_verifier::tlog::{
    Checkpoint, LogError, NoteAlgorithm, NoteKey, NoteSignature, TreeHead,
};
use quorate_verifier::trust::LogKey;

/// A log's own key.
pub struct LogSigner {
    secret: SigningKey,
    public: NoteKey,
}

impl LogSigner {
    /// The key of the log of this name.
    ///
    /// # Errors
    /// [`LogError::Form`] for a name with spaces or `+`.
    pub fn new(origin: &str, secret: SigningKey) -> Result<Self, LogError> {
        let key = LogKey(secret.verifying_key().to_bytes());
        let public = NoteKey::new(origin, NoteAlgorithm::Log, key)?;
        Ok(Self { secret, public })
    }

    /// The public half, with the log's name.
    pub const fn public(&self) -> &NoteKey {
        &self.public
    }

    /// Signs a head. That it extends the last one is [`super::Log`]'s to know.
    pub(super) fn sign(&self, size: u64, root: quorate_verifier::primitives::Digest) -> Checkpoint {
        let head = TreeHead {
            origin: self.public.name().into(),
            size,
            root,
        };
        let signature = self.sign_text(head.body().as_bytes());
        Checkpoint::new(head, vec![signature])
    }

    fn sign_text(&self, text: &[u8]) -> NoteSignature {
        NoteSignature {
            name: self.public.name().into(),
            id: self.public.id(),
            bytes: self.secret.sign(text).to_bytes().to_vec(),
        }
    }
}

impl fmt::Debug for LogSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogSigner({})", self.public)
    }
}

/// A cosigner's key.
pub struct CosignKey {
    secret: SigningKey,
    public: NoteKey,
}

impl CosignKey {
    /// The key of the cosigner of this name.
    ///
    /// # Errors
    /// [`LogError::Form`] for a name with spaces or `+`.
    pub fn new(name: &str, secret: SigningKey) -> Result<Self, LogError> {
        let key = LogKey(secret.verifying_key().to_bytes());
        let public = NoteKey::new(name, NoteAlgorithm::Cosigner, key)?;
        Ok(Self { secret, public })
    }

    /// The public half, with the cosigner's name.
    pub const fn public(&self) -> &NoteKey {
        &self.public
    }

    /// Cosigns a head that was seen to extend the last, at `time` seconds since 1970.
    pub(super) fn sign(&self, head: &TreeHead, time: u64) -> NoteSignature {
        let signature = self.secret.sign(&head.cosigned(time));
        NoteSignature {
            name: self.public.name().into(),
            id: self.public.id(),
            bytes: [time.to_be_bytes().as_slice(), &signature.to_bytes()].concat(),
        }
    }
}

impl fmt::Debug for CosignKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CosignKey({})", self.public)
    }
}
