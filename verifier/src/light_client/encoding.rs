//! Bytes of a client's state and of what it is given.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::{ClientState, Fork, Overlap, Trusted, Update};
use crate::attestation::Attestation;
use crate::encoding::{Canonical, DecodeError, Kind, Reader, write_list};
use crate::file::FileType;
use crate::genesis::{KEYS_MAX, Parameters, read_keys};
use crate::header::Header;
use crate::primitives::Digest;
use crate::proof::Proof;

impl Canonical for Trusted {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Anchor(header) => {
                out.push(0);
                header.write(out);
            }
            Self::Proved(attestation) => {
                out.push(1);
                attestation.write(out);
            }
        }
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match input.flag("proved")? {
            false => Self::Anchor(Header::read(input)?),
            true => Self::Proved(Attestation::read(input)?),
        })
    }
}

impl Canonical for ClientState {
    fn write(&self, out: &mut Vec<u8>) {
        self.trusted.write(out);
        write_list(out, &self.keys);
        out.extend_from_slice(&self.trusting_period_ms.to_le_bytes());
        out.extend_from_slice(&self.clock_drift_ms.to_le_bytes());
        out.push(u8::from(self.development_keys));
        self.anchor.write(out);
        write_option(out, self.fork.as_deref());
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            trusted: Trusted::read(input)?,
            keys: read_keys(input)?,
            trusting_period_ms: input.u64("trusting period")?,
            clock_drift_ms: input.u32("clock drift")?,
            development_keys: input.flag("development keys")?,
            anchor: input.array("anchor").map(Digest::from_bytes)?,
            fork: read_option(input, "fork")?.map(Box::new),
        })
    }
}

impl FileType for ClientState {
    const KIND: Kind = Kind::ClientState;
    const MAX_BYTES: usize =
        1 + Attestation::MAX_BYTES + 2 + KEYS_MAX * 34 + 13 + 32 + 1 + Fork::MAX_BYTES;
}

impl Canonical for Overlap {
    fn write(&self, out: &mut Vec<u8>) {
        self.key.write(out);
        self.proof.write(out);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            key: input.array("key digest").map(Digest::from_bytes)?,
            proof: Proof::read(input)?,
        })
    }
}

impl Canonical for Update {
    fn write(&self, out: &mut Vec<u8>) {
        self.attestation.write(out);
        write_option(out, self.overlap.as_ref());
        write_option(out, self.parameters.as_ref());
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            attestation: Attestation::read(input)?,
            overlap: read_option(input, "overlap")?,
            parameters: read_option(input, "parameters")?,
        })
    }
}

impl FileType for Update {
    const KIND: Kind = Kind::ClientUpdate;
    const MAX_BYTES: usize =
        Attestation::MAX_BYTES + 1 + 32 + Proof::BYTES + 1 + Parameters::MAX_BYTES;
}

fn write_option<T: Canonical>(out: &mut Vec<u8>, value: Option<&T>) {
    out.push(u8::from(value.is_some()));
    if let Some(value) = value {
        value.write(out);
    }
}

fn read_option<T: Canonical>(
    input: &mut Reader<'_>,
    field: &'static str,
) -> Result<Option<T>, DecodeError> {
    match input.flag(field)? {
        true => T::read(input).map(Some),
        false => Ok(None),
    }
}
