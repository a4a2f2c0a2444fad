//! Files: nine bytes before the canonical encoding, or a JSON document with a `type`.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Serialize, de::DeserializeOwned};

use crate::encoding::{
    Canonical, DecodeError, FILE_HEADER_BYTES, FORMAT_VERSION, Kind, MAGIC, Reader,
};
use crate::json;

/// A value that is stored in files of its own kind, binary or JSON.
pub trait FileType: Canonical + Serialize + DeserializeOwned {
    /// The kind byte and the word in `type`.
    const KIND: Kind;
    /// No encoding is longer; nothing longer is read. JSON may take eight times as much.
    const MAX_BYTES: usize;

    /// Magic, kind, version, canonical bytes.
    fn to_file(&self) -> Vec<u8> {
        let mut out = file_header(Self::KIND);
        self.write(&mut out);
        out
    }

    /// An indented JSON document.
    fn to_json(&self) -> String {
        json::to_json(Self::KIND, self)
    }

    /// Reads either form; JSON is known by a first byte that is not `Q`.
    ///
    /// # Errors
    /// [`DecodeError`] names what is wrong.
    fn from_file(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.first().is_some_and(|first| *first == MAGIC[0]) {
            Self::from_binary(bytes)
        } else {
            Self::from_json_bytes(bytes)
        }
    }

    /// Reads the binary form.
    ///
    /// # Errors
    /// [`DecodeError`] names what is wrong.
    fn from_binary(bytes: &[u8]) -> Result<Self, DecodeError> {
        limit("file", bytes.len(), Self::MAX_BYTES + FILE_HEADER_BYTES)?;
        let kind = binary_kind(bytes)?;
        if kind != Self::KIND {
            return Err(DecodeError::WrongKind {
                expected: Self::KIND,
                found: kind,
            });
        }
        Self::from_bytes(&bytes[FILE_HEADER_BYTES..])
    }

    /// Reads the JSON form.
    ///
    /// # Errors
    /// [`DecodeError`] names what is wrong.
    fn from_json_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        limit("JSON", bytes.len(), Self::MAX_BYTES * 8)?;
        json::from_json(Self::KIND, utf8(bytes)?)
    }
}

/// Magic, kind and version: the first nine bytes of a binary file.
pub fn file_header(kind: Kind) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&[kind as u8, FORMAT_VERSION]);
    out
}

/// The kind of a binary file, from its first nine bytes.
///
/// # Errors
/// [`DecodeError`] when they are not those of a file that this program knows.
pub fn binary_kind(bytes: &[u8]) -> Result<Kind, DecodeError> {
    let mut input = Reader::new(bytes);
    if !bytes.starts_with(&MAGIC) {
        return Err(DecodeError::Magic);
    }
    input.take("magic", MAGIC.len())?;
    let kind = input.u8("kind")?;
    let kind = Kind::from_byte(kind).ok_or(DecodeError::UnknownKind(kind))?;
    match input.u8("format version")? {
        FORMAT_VERSION => Ok(kind),
        version => Err(DecodeError::UnknownVersion { kind, version }),
    }
}

/// The kind of a file in either form, without a hint.
///
/// # Errors
/// [`DecodeError`] when it is neither.
pub fn kind_of(bytes: &[u8]) -> Result<Kind, DecodeError> {
    if bytes.starts_with(&MAGIC) {
        return binary_kind(bytes);
    }
    let text = utf8(bytes).map_err(|_| DecodeError::Magic)?;
    let name = json::json_type(text)?;
    let word = name
        .strip_prefix("quorate/")
        .and_then(|rest| rest.strip_suffix("/v1"));
    word.and_then(|word| Kind::ALL.iter().copied().find(|kind| kind.word() == word))
        .ok_or_else(|| DecodeError::rule("type", alloc::format!("{name:?} is unknown")))
}

fn utf8(bytes: &[u8]) -> Result<&str, DecodeError> {
    core::str::from_utf8(bytes).map_err(|_| DecodeError::Magic)
}

fn limit(field: &'static str, length: usize, limit: usize) -> Result<(), DecodeError> {
    if length <= limit {
        Ok(())
    } else {
        Err(DecodeError::TooLong {
            field,
            length,
            limit,
        })
    }
}
