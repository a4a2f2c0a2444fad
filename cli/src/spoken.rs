//! A digest in digits, to be compared by telephone.
//!
//! The first twenty bytes, two at a time as big-endian numbers of five digits: `00000` to `65535`,
//! ten groups. Digits are the same in every language and none sounds like a letter. All 160 bits
//! are needed: whoever makes the documents could otherwise search for two that read the same
//! (2^32 tries for 64 bits, 2^80 for these).

use quorate_verifier::primitives::Digest;

/// Bytes of the digest that are read out.
const SPOKEN_BYTES: usize = 20;

/// Ten groups of five digits, with blanks between them.
pub(crate) fn comparison_number(digest: &Digest) -> String {
    let groups: Vec<String> = digest.as_bytes()[..SPOKEN_BYTES]
        .chunks_exact(2)
        .map(|pair| format!("{:05}", u16::from_be_bytes([pair[0], pair[1]])))
        .collect();
    groups.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_bytes_are_five_digits() {
        let mut bytes = [0; 32];
        bytes[..6].copy_from_slice(&[0, 1, 1, 0, 0xff, 0xff]);
        bytes[18..21].copy_from_slice(&[0, 9, 77]);
        let number = comparison_number(&Digest::from_bytes(bytes));
        assert_eq!(
            number,
            "00001 00256 65535 00000 00000 00000 00000 00000 00000 00009"
        );
    }
}
