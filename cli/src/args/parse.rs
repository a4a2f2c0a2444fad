//! Values on the command line.

use quorate_verifier::genesis::AcceptedKey;
use quorate_verifier::json;
use quorate_verifier::primitives::{ChainId, CircuitSize, Digest, TimeMs};
use quorate_verifier::rule::QuorumRule;
use quorate_verifier::sizes::{NAMED_SIZES, NamedSize};

use super::KeyArg;

pub(super) fn parse_slots(text: &str) -> Result<CircuitSize, String> {
    let number: u16 = text
        .parse()
        .map_err(|_| "a circuit has 1 to 256 slots".to_string())?;
    CircuitSize::from_slots(number).map_err(|error| error.to_string())
}

pub(super) fn parse_named(text: &str) -> Result<NamedSize, String> {
    let wrong = || {
        let names: Vec<_> = NAMED_SIZES
            .iter()
            .map(|named| format!("2^{} ({} slots)", named.domain_log2, named.size.slots()))
            .collect();
        format!("the sizes are {}", names.join(", "))
    };
    let log2 = text.strip_prefix("2^").ok_or_else(wrong)?;
    NAMED_SIZES
        .into_iter()
        .find(|named| named.domain_log2.to_string() == log2)
        .ok_or_else(wrong)
}

/// Bytes, with one of the usual letters for powers of 1024 behind them.
pub(super) fn parse_bytes(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is no number of bytes, such as 500M or 8G");
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match &text[digits.len()..] {
        "" => 0,
        "K" | "k" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return Err(wrong()),
    };
    let number = json::parse_decimal(digits).map_err(|_| wrong())?;
    number.checked_mul(1 << shift).ok_or_else(wrong)
}

pub(super) fn parse_digest(text: &str) -> Result<Digest, String> {
    json::parse_hex(text).map(Digest::from_bytes)
}

pub(super) fn parse_key(text: &str) -> Result<KeyArg, String> {
    match text.split_once(':') {
        Some((digest, slots)) if digest.len() == 64 => Ok(KeyArg::Named(AcceptedKey {
            digest: parse_digest(digest)?,
            slots: parse_slots(slots)?,
        })),
        _ => Ok(KeyArg::File(std::ffi::OsString::from(text).into())),
    }
}

pub(super) fn parse_time(text: &str) -> Result<TimeMs, String> {
    json::parse_time(text)
}

pub(super) fn parse_chain(text: &str) -> Result<ChainId, String> {
    ChainId::new(text).map_err(|error| error.to_string())
}

pub(super) fn parse_rule(text: &str) -> Result<QuorumRule, String> {
    let numbers = text.split_once('/').and_then(|(num, den)| {
        Some((
            json::parse_decimal(num).ok()?,
            json::parse_decimal(den).ok()?,
        ))
    });
    let wrong = || "a rule is given as NUM/DEN, such as 2/3".to_string();
    let (num, den) = numbers.ok_or_else(wrong)?;
    let narrow = |n: u64| u32::try_from(n).map_err(|_| wrong());
    QuorumRule::new(narrow(num)?, narrow(den)?).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_bytes_are_read_in_full() {
        for named in NAMED_SIZES {
            assert_eq!(parse_named(&format!("2^{}", named.domain_log2)), Ok(named));
        }
        for bad in ["2^17", "2^018", "18", "2^", "2^18 "] {
            assert!(parse_named(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_bytes("16G"), Ok(16 << 30));
        assert_eq!(parse_bytes("7"), Ok(7));
        for bad in ["", "G", "1.5G", "-1", "1GB", "18446744073709551615K"] {
            assert!(parse_bytes(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn rules_are_fractions_in_lowest_terms() {
        assert_eq!(parse_rule("2/3"), Ok(QuorumRule::COMMIT));
        for bad in [
            "",
            "2",
            "2/3/4",
            "4/6",
            "0/1",
            "3/2",
            "-1/2",
            "02/3",
            "1/4294967297",
        ] {
            assert!(parse_rule(bad).is_err(), "{bad}");
        }
    }
}
