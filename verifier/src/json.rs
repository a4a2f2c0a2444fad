//! Readable JSON beside the canonical bytes.
//!
//! Every document has `"type": "quorate/<kind>/v1"`. Powers and integers above 2^32 are decimal
//! strings, bytes lower-case hex without `0x`, times RFC 3339 UTC with milliseconds. Unknown,
//! missing and repeated members are refused, wherever the `type` member stands.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;

use serde::de::{self, IntoDeserializer, MapAccess, Visitor, value::MapAccessDeserializer};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::encoding::{DecodeError, Kind};
use crate::primitives::{ChainId, Digest, Height, Power, TimeMs, View};

/// The `type` of a JSON document.
pub fn type_name(kind: Kind) -> String {
    format!("quorate/{kind}/v1")
}

/// Writes a document, indented.
pub fn to_json<T: Serialize>(kind: Kind, value: &T) -> String {
    #[derive(Serialize)]
    struct Document<'a, T> {
        #[serde(rename = "type")]
        kind: String,
        #[serde(flatten)]
        value: &'a T,
    }
    let document = Document {
        kind: type_name(kind),
        value,
    };
    serde_json::to_string_pretty(&document).expect("our documents have string keys only")
}

/// Reads a document of one kind.
///
/// # Errors
/// [`DecodeError::JsonType`] when it is of another type, [`DecodeError::Json`] for the rest.
pub fn from_json<'a, T: Deserialize<'a>>(kind: Kind, text: &'a str) -> Result<T, DecodeError> {
    let found = json_type(text)?;
    if found != type_name(kind) {
        return Err(DecodeError::JsonType {
            expected: kind,
            found,
        });
    }
    let document: Untyped<T> = serde_json::from_str(text).map_err(member_error)?;
    Ok(document.0)
}

/// The `type` member of a JSON document; empty when there is none.
///
/// # Errors
/// [`DecodeError::Json`] when the text is not one JSON object.
pub fn json_type(text: &str) -> Result<String, DecodeError> {
    #[derive(Deserialize)]
    struct TypeOnly {
        #[serde(rename = "type", default)]
        kind: String,
    }
    let only: TypeOnly = serde_json::from_str(text).map_err(json_error)?;
    Ok(only.kind)
}

fn json_error(error: serde_json::Error) -> DecodeError {
    DecodeError::Json(error.to_string())
}

/// Tells a document that breaks a rule from a text that is no document.
fn member_error(error: serde_json::Error) -> DecodeError {
    if !error.is_data() {
        return json_error(error);
    }
    let rule = error.to_string();
    // Serde hands on the words of a refusal only, so a version is known by them.
    let is_version = rule.contains(UNKNOWN_VERSION);
    DecodeError::rule(if is_version { VERSION_FIELD } else { "JSON" }, rule)
}

/// The field whose rule a newer program may keep.
pub(crate) const VERSION_FIELD: &str = "version";
/// How a refused version is worded, wherever it stands.
pub(crate) const UNKNOWN_VERSION: &str = "is unknown; this program knows version 1";

/// A document's members but for `type`.
struct Untyped<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Untyped<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WithoutType<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for WithoutType<T> {
            type Value = T;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(SkipType(map)))
            }
        }
        deserializer
            .deserialize_map(WithoutType(PhantomData))
            .map(Self)
    }
}

/// Hands on every member but `type`, which was checked before.
struct SkipType<A>(A);

impl<'de, A: MapAccess<'de>> MapAccess<'de> for SkipType<A> {
    type Error = A::Error;

    fn next_key_seed<K: de::DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        while let Some(key) = self.0.next_key::<String>()? {
            if key != "type" {
                return seed.deserialize(key.into_deserializer()).map(Some);
            }
            self.0.next_value::<de::IgnoredAny>()?;
        }
        Ok(None)
    }

    fn next_value_seed<V: de::DeserializeSeed<'de>>(
        &mut self,
        seed: V,
    ) -> Result<V::Value, A::Error> {
        self.0.next_value_seed(seed)
    }
}

/// Lower-case hex of a fixed length, nothing else.
///
/// # Errors
/// A text that says which of the two it is not.
pub fn parse_hex<const N: usize>(text: &str) -> Result<[u8; N], String> {
    let mut bytes = [0; N];
    if text.len() != 2 * N {
        return Err(format!(
            "{} hex digits are needed, not {}",
            2 * N,
            text.len()
        ));
    }
    if !text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return Err("bytes are written in lower-case hex".to_string());
    }
    hex::decode_to_slice(text, &mut bytes).map_err(|e| e.to_string())?;
    Ok(bytes)
}

/// A decimal number without sign, leading zeros or blanks.
///
/// # Errors
/// A text that names the rule.
pub fn parse_decimal(text: &str) -> Result<u64, String> {
    let canonical = text == "0" || !text.starts_with('0');
    if text.is_empty() || !canonical || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!("{text:?} is not a decimal number"));
    }
    text.parse()
        .map_err(|_| format!("{text} is above 2^64 - 1"))
}

/// Serde of `[u8; N]` as lower-case hex: `#[serde(with = "json::hex_bytes")]`.
pub mod hex_bytes {
    use super::{Deserialize, Deserializer, Serializer, String, de, parse_hex};

    /// Writes hex.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer, const N: usize>(
        bytes: &[u8; N],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(bytes))
    }

    /// Reads hex.
    ///
    /// # Errors
    /// When the text has another length or other characters.
    pub fn deserialize<'de, D: Deserializer<'de>, const N: usize>(
        deserializer: D,
    ) -> Result<[u8; N], D::Error> {
        parse_hex(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

/// Serde of a `u64` as a decimal string: `#[serde(with = "json::decimal")]`.
pub mod decimal {
    use super::{Deserialize, Deserializer, Serializer, String, ToString, de, parse_decimal};

    /// Writes the number as a string.
    ///
    /// # Errors
    /// Those of the serializer.
    #[allow(
        clippy::trivially_copy_pass_by_ref,
        reason = "the shape that serde calls"
    )]
    pub fn serialize<S: Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&number.to_string())
    }

    /// Reads a decimal string.
    ///
    /// # Errors
    /// When it is not one, or above 2^64 - 1.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        parse_decimal(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

macro_rules! json_text {
    ($($type:ty, |$value:ident| $write:expr, |$text:ident| $read:expr;)*) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let $value = self;
                serializer.serialize_str($write.as_ref())
            }
        }
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                let $text = text.as_str();
                let value: Result<Self, String> = $read;
                value.map_err(de::Error::custom)
            }
        }
    )*};
}

json_text! {
    Digest, |d| hex::encode(d.as_bytes()), |t| parse_hex(t).map(Digest::from_bytes);
    Height, |h| h.get().to_string(), |t| parse_decimal(t).map(Height::new);
    View, |v| v.get().to_string(), |t| parse_decimal(t).map(View::new);
    Power, |p| p.get().to_string(), |t| parse_decimal(t)
        .and_then(|n| Power::new(n).ok_or_else(|| format!("power is below 2^60, not {n}")));
    ChainId, |c| c.as_str(), |t| ChainId::new(t).map_err(|e| e.to_string());
    TimeMs, |t| format_time(*t), |t| parse_time(t);
}

/// `2026-11-23T05:45:00.000Z`.
pub fn format_time(time: TimeMs) -> String {
    let ms = time.get();
    let (year, month, day) = civil_from_days(ms / 86_400_000);
    let second = ms / 1000 % 86_400;
    let (hour, minute, second, ms) = (second / 3600, second / 60 % 60, second % 60, ms % 1000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

/// Reads what [`format_time`] writes; the milliseconds may be left out when they are zero.
///
/// # Errors
/// A text that says what was expected, or that the date does not exist.
pub fn parse_time(text: &str) -> Result<TimeMs, String> {
    let wrong = || format!("{text:?} is not a time of the form 2026-11-23T05:45:00.000Z");
    let shape = match text.len() {
        20 => "dddd-dd-ddTdd:dd:ddZ",
        24 => "dddd-dd-ddTdd:dd:dd.dddZ",
        _ => return Err(wrong()),
    };
    let fits = |(found, wanted): (u8, u8)| match wanted {
        b'd' => found.is_ascii_digit(),
        _ => found == wanted,
    };
    if !text.bytes().zip(shape.bytes()).all(fits) {
        return Err(wrong());
    }
    let number = |at: usize, digits: usize| -> u64 {
        text.as_bytes()[at..at + digits]
            .iter()
            .fold(0, |n, b| n * 10 + u64::from(b - b'0'))
    };
    let date = (number(0, 4), number(5, 2), number(8, 2));
    let (hour, minute, second) = (number(11, 2), number(14, 2), number(17, 2));
    let ms = if text.len() == 24 { number(20, 3) } else { 0 };
    let days = days_from_civil(date).ok_or_else(|| format!("{text:?}: no such day since 1970"))?;
    if hour > 23 || minute > 59 || second > 59 {
        return Err(format!("{text:?}: no such time of day"));
    }
    let seconds = days * 86_400 + hour * 3600 + minute * 60 + second;
    TimeMs::new(seconds * 1000 + ms).ok_or_else(wrong)
}

/// Days since 1970-01-01 to a Gregorian date, by 400-year cycles that start on 1 March of year 0
/// (so that the leap day is the last of its year).
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468; // from 0000-03-01
    let (cycle, day_of_cycle) = (days / 146_097, days % 146_097);
    let year_of_cycle =
        (day_of_cycle - day_of_cycle / 1460 + day_of_cycle / 36_524 - day_of_cycle / 146_096) / 365;
    let day_of_year =
        day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    (
        cycle * 400 + year_of_cycle + u64::from(month <= 2),
        month,
        day,
    )
}

/// The inverse; `None` before 1970 and for days that no month has.
fn days_from_civil((year, month, day): (u64, u64, u64)) -> Option<u64> {
    if year < 1970 || !(1..=12).contains(&month) || day == 0 {
        return None;
    }
    let shifted = year - u64::from(month <= 2);
    let (cycle, year_of_cycle) = (shifted / 400, shifted % 400);
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_cycle = year_of_cycle * 365 + year_of_cycle / 4 - year_of_cycle / 100 + day_of_year;
    let days = (cycle * 146_097 + day_of_cycle).checked_sub(719_468)?;
    (civil_from_days(days) == (year, month, day)).then_some(days)
}

/// Names of the members that a JSON object has, for error messages of callers that dispatch.
///
/// # Errors
/// [`DecodeError::Json`] when the text is not one JSON object.
pub fn member_names(text: &str) -> Result<Vec<String>, DecodeError> {
    let value: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(text).map_err(json_error)?;
    Ok(value.keys().cloned().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        power: Power,
        digest: Digest,
    }

    fn read(text: &str) -> Result<Sample, DecodeError> {
        from_json(Kind::Header, text)
    }

    #[test]
    fn members_are_exact() {
        let digest = "00".repeat(32);
        let good =
            format!(r#"{{"power": "7", "type": "quorate/header/v1", "digest": "{digest}"}}"#);
        let sample = read(&good).expect("type may stand anywhere");
        assert_eq!(read(&to_json(Kind::Header, &sample)), Ok(sample));
        for (from, to, word) in [
            (r#""power": "7""#, r#""power": 7"#, "string"),
            (r#""power": "7""#, r#""power": "07""#, "decimal"),
            (r#""power": "7""#, r#""power": "+7""#, "decimal"),
            (
                r#""power": "7""#,
                r#""power": "1152921504606846976""#,
                "2^60",
            ),
            (
                r#""power": "7""#,
                r#""power": "7", "power": "8""#,
                "duplicate",
            ),
            (
                r#""power": "7""#,
                r#""power": "7", "other": "8""#,
                "unknown",
            ),
            (r#""power": "7", "#, "", "missing"),
            (r#""type": "#, r#""type": "x", "type": "#, "duplicate"),
            ("00\"", "0A\"", "lower-case"),
            ("00\"", "\"", "hex digits"),
        ] {
            let bad = good.replacen(from, to, 1);
            assert_ne!(bad, good);
            let error = read(&bad).expect_err(&bad).to_string();
            assert!(error.contains(word), "{bad}: {error}");
        }
    }

    #[test]
    fn another_type_is_named() {
        let error = read(r#"{"type": "quorate/policy/v1"}"#).expect_err("another type");
        assert!(!error.is_unsupported());
        let error = read(r#"{"type": "quorate/header/v2"}"#).expect_err("another version");
        assert!(error.is_unsupported());
        assert!(matches!(read("{}"), Err(DecodeError::JsonType { found, .. }) if found.is_empty()));
        assert!(matches!(read("[1]"), Err(DecodeError::Json(_))));
    }

    #[test]
    fn times_round_trip() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_795_412_699_999, "2026-11-23T05:44:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (TimeMs::LIMIT - 1, "9999-12-31T23:59:59.999Z"),
        ] {
            let time = TimeMs::new(ms).expect("before the year 10000");
            assert_eq!(format_time(time), text);
            assert_eq!(parse_time(text), Ok(time));
        }
        for bad in [
            "2100-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "2026-04-31T00:00:00Z",
            "1969-12-31T00:00:00Z",
            "2026-11-23T24:00:00Z",
            "2026-11-23T00:00:60Z",
            "2026-11-23 00:00:00Z",
            "2026-11-23T00:00:00+00:00",
            "2026-11-23T00:00:00.0Z",
        ] {
            assert!(parse_time(bad).is_err(), "{bad}");
        }
        for day in 0..100_000 {
            assert_eq!(days_from_civil(civil_from_days(day)), Some(day));
        }
    }
}
