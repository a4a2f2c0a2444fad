//! A header with its payload, and a final block with its certificate.

use std::fmt;
use std::sync::Arc;

use quorate_verifier::certificate::CommitCertificate;
use quorate_verifier::encoding::{Canonical, DecodeError, Reader};
use quorate_verifier::header::Header;
use quorate_verifier::primitives::{Digest, Height};

use crate::request::Payload;

/// A header and the payload that it names. One cannot exist without the other fitting it.
#[derive(Clone, PartialEq, Eq)]
pub struct Block {
    header: Header,
    digest: Digest,
    payload: Payload,
}

impl Block {
    /// `None` when the payload is not the one that the header names.
    pub fn new(header: Header, payload: Payload) -> Option<Arc<Self>> {
        Self::checked(header, payload).map(Arc::new)
    }

    /// A new block, with the header that `header` makes for the payload's root.
    pub fn make(payload: Payload, header: impl FnOnce(Digest) -> Header) -> Arc<Self> {
        let payload_root = payload.root();
        let header = Header {
            payload_root,
            ..header(payload_root)
        };
        Arc::new(Self {
            digest: header.digest(),
            header,
            payload,
        })
    }

    fn checked(header: Header, payload: Payload) -> Option<Self> {
        let fits = payload.root() == header.payload_root;
        fits.then(|| Self {
            digest: header.digest(),
            header,
            payload,
        })
    }

    /// What the block is.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The header's digest: the block's name.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The header's height.
    pub fn height(&self) -> Height {
        self.header.height
    }

    /// The requests.
    pub fn payload(&self) -> &Payload {
        &self.payload
    }
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = u32::from_be_bytes(std::array::from_fn(|i| self.digest.as_bytes()[i]));
        write!(
            f,
            "Block({}, {short:08x}, {:?})",
            self.height().get(),
            self.payload
        )
    }
}

impl Canonical for Block {
    fn write(&self, out: &mut Vec<u8>) {
        self.header.write(out);
        self.payload.write(out);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let header = Header::read(input)?;
        Self::checked(header, Payload::read(input)?).ok_or_else(|| {
            DecodeError::rule("payload", "its root is the one that the header names")
        })
    }
}

/// A block and the certificate that makes it final.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinalBlock {
    /// The block.
    pub block: Arc<Block>,
    /// Commit votes of a quorum.
    pub certificate: CommitCertificate,
}

impl Canonical for FinalBlock {
    fn write(&self, out: &mut Vec<u8>) {
        self.block.write(out);
        self.certificate.write(out);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            block: Block::read(input).map(Arc::new)?,
            certificate: CommitCertificate::read(input)?,
        })
    }
}
