//! The Grain LFSR that the Poseidon paper draws its constants from.
//!
//! Nobody chooses the numbers: a self-shrinking 80-bit shift register, started with a description of
//! the instance, gives every round constant and the two vectors behind the mixing matrix.
//!
//! Source: Grassi, Khovratovich, Rechberger, Roy, Schofnegger, "Poseidon", eprint 2019/458,
//! appendix E (initialisation and filter) and section 2.3 (Cauchy matrix).

use ark_bn254::Fr;
use ark_ff::{BigInt, PrimeField};

/// The register. Bit 0 is the oldest bit, the one that falls out next.
pub(super) struct Grain {
    register: u128,
    /// Bits that passed the filter and were not asked for yet; the oldest is the highest.
    pool: u128,
    /// How many bits of `pool` are filled.
    pooled: u32,
}

impl Grain {
    /// The register for an instance over the BN254 scalar field with the S-box x^5.
    pub(super) fn new(width: usize, full_rounds: usize, partial_rounds: usize) -> Self {
        let description = [
            (1, 2), // a prime field
            (0, 4), // the S-box is a power, not an inverse
            (Fr::MODULUS_BIT_SIZE as usize, 12),
            (width, 12),
            (full_rounds, 10),
            (partial_rounds, 10),
            ((1 << 30) - 1, 30),
        ];
        let mut register = 0;
        let mut filled = 0;
        for (value, bits) in description {
            for i in (0..bits).rev() {
                register |= ((value as u128 >> i) & 1) << filled;
                filled += 1;
            }
        }
        assert_eq!(filled, REGISTER_BITS, "the description fills the register");

        let mut grain = Self {
            register,
            pool: 0,
            pooled: 0,
        };
        for _ in 0..DISCARDED_BITS / 2 {
            grain.shift(2);
        }
        grain
    }

    /// The next field element, by rejection: uniform below the modulus.
    pub(super) fn element(&mut self) -> Fr {
        loop {
            if let Some(element) = Fr::from_bigint(self.integer()) {
                return element;
            }
        }
    }

    /// The next field element, by reduction of one draw: what the paper does for the matrix.
    pub(super) fn reduced_element(&mut self) -> Fr {
        let mut bytes = [0; 32];
        for (chunk, limb) in bytes.chunks_exact_mut(8).zip(self.integer().0) {
            chunk.copy_from_slice(&limb.to_le_bytes());
        }
        Fr::from_le_bytes_mod_order(&bytes)
    }

    /// As many filtered bits as the modulus has, first bit highest.
    fn integer(&mut self) -> BigInt<4> {
        let high = self.bits(Fr::MODULUS_BIT_SIZE - 192);
        let [c, b, a] = [self.bits(64), self.bits(64), self.bits(64)];
        BigInt::new([a, b, c, high])
    }

    /// `n <= 64` filtered bits, first bit highest.
    fn bits(&mut self, n: u32) -> u64 {
        while self.pooled < n {
            self.refill();
        }
        self.pooled -= n;
        let bits = self.pool >> self.pooled;
        self.pool &= (1 << self.pooled) - 1;
        u64::try_from(bits).expect("at most 64 bits are asked for")
    }

    /// Filters one shift: of each pair of bits, a first bit of 1 lets the second one through.
    fn refill(&mut self) {
        let mut raw = self.shift(SHIFT);
        for _ in 0..SHIFT / 2 {
            let passes = (raw & 1) as u32;
            self.pool = (self.pool << passes) | ((raw >> 1) & u128::from(passes));
            self.pooled += passes;
            raw >>= 2;
        }
    }

    /// Advances by `n <= SHIFT` steps and returns the new bits, oldest lowest.
    ///
    /// A step is `b[i+80] = b[i+62] + b[i+51] + b[i+38] + b[i+23] + b[i+13] + b[i]`. The newest
    /// bit a step reads is 18 older than the one it makes, so 18 steps go at once.
    fn shift(&mut self, n: u32) -> u128 {
        let r = self.register;
        let new = (r >> 62 ^ r >> 51 ^ r >> 38 ^ r >> 23 ^ r >> 13 ^ r) & ((1 << n) - 1);
        self.register = r >> n | new << (REGISTER_BITS - n);
        new
    }
}

/// Width of the register.
const REGISTER_BITS: u32 = 80;

/// The newest tap is at 62, so this many new bits depend on none of each other.
const SHIFT: u32 = REGISTER_BITS - 62;

/// The paper throws these away before the first filtered bit.
const DISCARDED_BITS: u32 = 160;

#[cfg(test)]
mod tests {
    use alloc::collections::VecDeque;
    use alloc::vec::Vec;

    use super::*;

    /// The register bit by bit, as the paper words it: the oracle for the shifts of 18.
    fn one_by_one(width: usize, partial_rounds: usize, count: usize) -> Vec<bool> {
        let mut bits = VecDeque::new();
        for (value, n) in [
            (1, 2),
            (0, 4),
            (254, 12),
            (width, 12),
            (8, 10),
            (partial_rounds, 10),
            (0x3fff_ffff, 30),
        ] {
            bits.extend((0..n).rev().map(|i| value >> i & 1 == 1));
        }
        let mut step = move || {
            let new = [62, 51, 38, 23, 13, 0]
                .iter()
                .fold(false, |sum, &i| sum ^ bits[i]);
            bits.pop_front();
            bits.push_back(new);
            new
        };
        for _ in 0..160 {
            step();
        }
        let mut filtered = Vec::new();
        while filtered.len() < count {
            let (first, second) = (step(), step());
            if first {
                filtered.push(second);
            }
        }
        filtered
    }

    #[test]
    fn shifting_eighteen_bits_at_once_changes_nothing() {
        let expected = one_by_one(3, 57, 2000);
        let mut grain = Grain::new(3, 8, 57);
        let got: Vec<bool> = (0..2000).map(|_| grain.bits(1) == 1).collect();
        assert_eq!(got, expected);

        // and however many are taken at a time, first bit highest
        let mut grain = Grain::new(3, 8, 57);
        let mut rest = expected.as_slice();
        for n in [64, 1, 62, 63, 17, 64, 64] {
            let (now, later) = rest.split_at(n as usize);
            let value = now.iter().fold(0, |sum, &bit| sum << 1 | u64::from(bit));
            assert_eq!(grain.bits(n), value);
            rest = later;
        }
    }
}
