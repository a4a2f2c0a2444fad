//! SHA-512 on machine words: what the rows must agree with, and what fills their cells.
//!
//! Source  FIPS 180-4, sections 4.1.3, 4.2.3, 5.1.2, 5.3.5 and 6.4

/// Bytes of a block.
pub(super) const BLOCK: usize = 128;

/// Two rotations and a rotation or shift, the three results added modulo 2, bit by bit.
///
/// Section 4.1.3 has four such functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sigma {
    /// Of the register a.
    Big0,
    /// Of the register e.
    Big1,
    /// Of the schedule, 15 words back.
    Small0,
    /// Of the schedule, 2 words back.
    Small1,
}

impl Sigma {
    /// Two rotations, then the third or a shift.
    fn turns(self) -> ([u32; 2], Third) {
        match self {
            Self::Big0 => ([28, 34], Third::Rotate(39)),
            Self::Big1 => ([14, 18], Third::Rotate(41)),
            Self::Small0 => ([1, 8], Third::Shift(7)),
            Self::Small1 => ([19, 61], Third::Shift(6)),
        }
    }

    /// The function of the standard.
    pub(super) fn of(self, x: u64) -> u64 {
        let (rotate, third) = self.turns();
        let third = match third {
            Third::Rotate(n) => x.rotate_right(n),
            Third::Shift(n) => x >> n,
        };
        x.rotate_right(rotate[0]) ^ x.rotate_right(rotate[1]) ^ third
    }

    /// Which bits of the word meet in lane `i`; a shift brings nothing into its last lanes.
    pub(super) fn sources(self, i: usize) -> [Option<usize>; 3] {
        let (rotate, third) = self.turns();
        let turn = |n: u32| Some((i + n as usize) % 64);
        let third = match third {
            Third::Rotate(n) => turn(n),
            Third::Shift(n) => Some(i + n as usize).filter(|&j| j < 64),
        };
        [turn(rotate[0]), turn(rotate[1]), third]
    }
}

enum Third {
    Rotate(u32),
    Shift(u32),
}

/// Bits of `x` choose between those of `y` and those of `z`.
pub(super) fn choice(x: u64, y: u64, z: u64) -> u64 {
    (x & y) | (!x & z)
}

/// What two of three bits say.
pub(super) fn majority(x: u64, y: u64, z: u64) -> u64 {
    (x & y) | (x & z) | (y & z)
}

/// The message followed by 1, zeros and its length in bits, a whole number of blocks.
pub(super) fn pad(message: &[u8]) -> Vec<u8> {
    let mut padded = message.to_vec();
    padded.extend(padding(message.len()));
    padded
}

/// What follows a message of this many bytes.
pub(super) fn padding(bytes: usize) -> Vec<u8> {
    let zeros = (2 * BLOCK - 17 - bytes % BLOCK) % BLOCK;
    let mut padding = vec![0x80];
    padding.resize(1 + zeros, 0);
    padding.extend((8 * bytes as u128).to_be_bytes());
    padding
}

/// One block added to the state.
pub(super) fn compress(state: [u64; 8], block: [u64; 16]) -> [u64; 8] {
    let mut w = [0_u64; 80];
    w[..16].copy_from_slice(&block);
    for t in 16..80 {
        w[t] = Sigma::Small1
            .of(w[t - 2])
            .wrapping_add(w[t - 7])
            .wrapping_add(Sigma::Small0.of(w[t - 15]))
            .wrapping_add(w[t - 16]);
    }
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = state;
    for t in 0..80 {
        let first = h
            .wrapping_add(Sigma::Big1.of(e))
            .wrapping_add(choice(e, f, g))
            .wrapping_add(K[t])
            .wrapping_add(w[t]);
        let second = Sigma::Big0.of(a).wrapping_add(majority(a, b, c));
        (h, g, f, e) = (g, f, e, d.wrapping_add(first));
        (d, c, b, a) = (c, b, a, first.wrapping_add(second));
    }
    let end = [a, b, c, d, e, f, g, h];
    core::array::from_fn(|i| state[i].wrapping_add(end[i]))
}

/// SHA-512 of a message: the native twin of [`sha512`](super::sha512).
#[must_use]
pub fn sha512_native(message: &[u8]) -> [u8; 64] {
    let mut state = INITIAL;
    for block in pad(message).chunks_exact(BLOCK) {
        let mut words = [0; 16];
        for (word, bytes) in words.iter_mut().zip(block.chunks_exact(8)) {
            *word = bytes.iter().fold(0, |w, b| w << 8 | u64::from(*b));
        }
        state = compress(state, words);
    }
    let mut digest = [0; 64];
    for (bytes, word) in digest.chunks_exact_mut(8).zip(state) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    digest
}

/// First 64 bits of the fractional parts of the square roots of the first 8 primes.
pub(super) const INITIAL: [u64; 8] = [
    0x6a09_e667_f3bc_c908,
    0xbb67_ae85_84ca_a73b,
    0x3c6e_f372_fe94_f82b,
    0xa54f_f53a_5f1d_36f1,
    0x510e_527f_ade6_82d1,
    0x9b05_688c_2b3e_6c1f,
    0x1f83_d9ab_fb41_bd6b,
    0x5be0_cd19_137e_2179,
];

/// First 64 bits of the fractional parts of the cube roots of the first 80 primes.
#[rustfmt::skip]
pub(super) const K: [u64; 80] = [
    0x428a_2f98_d728_ae22, 0x7137_4491_23ef_65cd, 0xb5c0_fbcf_ec4d_3b2f, 0xe9b5_dba5_8189_dbbc,
    0x3956_c25b_f348_b538, 0x59f1_11f1_b605_d019, 0x923f_82a4_af19_4f9b, 0xab1c_5ed5_da6d_8118,
    0xd807_aa98_a303_0242, 0x1283_5b01_4570_6fbe, 0x2431_85be_4ee4_b28c, 0x550c_7dc3_d5ff_b4e2,
    0x72be_5d74_f27b_896f, 0x80de_b1fe_3b16_96b1, 0x9bdc_06a7_25c7_1235, 0xc19b_f174_cf69_2694,
    0xe49b_69c1_9ef1_4ad2, 0xefbe_4786_384f_25e3, 0x0fc1_9dc6_8b8c_d5b5, 0x240c_a1cc_77ac_9c65,
    0x2de9_2c6f_592b_0275, 0x4a74_84aa_6ea6_e483, 0x5cb0_a9dc_bd41_fbd4, 0x76f9_88da_8311_53b5,
    0x983e_5152_ee66_dfab, 0xa831_c66d_2db4_3210, 0xb003_27c8_98fb_213f, 0xbf59_7fc7_beef_0ee4,
    0xc6e0_0bf3_3da8_8fc2, 0xd5a7_9147_930a_a725, 0x06ca_6351_e003_826f, 0x1429_2967_0a0e_6e70,
    0x27b7_0a85_46d2_2ffc, 0x2e1b_2138_5c26_c926, 0x4d2c_6dfc_5ac4_2aed, 0x5338_0d13_9d95_b3df,
    0x650a_7354_8baf_63de, 0x766a_0abb_3c77_b2a8, 0x81c2_c92e_47ed_aee6, 0x9272_2c85_1482_353b,
    0xa2bf_e8a1_4cf1_0364, 0xa81a_664b_bc42_3001, 0xc24b_8b70_d0f8_9791, 0xc76c_51a3_0654_be30,
    0xd192_e819_d6ef_5218, 0xd699_0624_5565_a910, 0xf40e_3585_5771_202a, 0x106a_a070_32bb_d1b8,
    0x19a4_c116_b8d2_d0c8, 0x1e37_6c08_5141_ab53, 0x2748_774c_df8e_eb99, 0x34b0_bcb5_e19b_48a8,
    0x391c_0cb3_c5c9_5a63, 0x4ed8_aa4a_e341_8acb, 0x5b9c_ca4f_7763_e373, 0x682e_6ff3_d6b2_b8a3,
    0x748f_82ee_5def_b2fc, 0x78a5_636f_4317_2f60, 0x84c8_7814_a1f0_ab72, 0x8cc7_0208_1a64_39ec,
    0x90be_fffa_2363_1e28, 0xa450_6ceb_de82_bde9, 0xbef9_a3f7_b2c6_7915, 0xc671_78f2_e372_532b,
    0xca27_3ece_ea26_619c, 0xd186_b8c7_21c0_c207, 0xeada_7dd6_cde0_eb1e, 0xf57d_4f7f_ee6e_d178,
    0x06f0_67aa_7217_6fba, 0x0a63_7dc5_a2c8_98a6, 0x113f_9804_bef9_0dae, 0x1b71_0b35_131c_471b,
    0x28db_77f5_2304_7d84, 0x32ca_ab7b_40c7_2493, 0x3c9e_be0a_15c9_bebc, 0x431d_67c4_9c10_0d4c,
    0x4cc5_d4be_cb3e_42b6, 0x597f_299c_fc65_7e2a, 0x5fcb_6fab_3ad6_faec, 0x6c44_198c_4a47_5817,
];

/// Messages and digests: the empty one, and the one- and two-block examples that NIST publishes with
/// FIPS 180-4.
#[cfg(test)]
pub(super) const KNOWN_ANSWERS: [(&[u8], &str); 3] = [
    (
        b"",
        "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce\
         47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e",
    ),
    (
        b"abc",
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
         2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
    ),
    (
        b"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmn\
          hijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
        "8e959b75dae313da8cf4f72814fc143f8f7779c6eb9f7fa17299aeadb6889018\
         501d289e4900f7e4331b99dec4b5433ac7d329eeb6dd26545e96e55b874be909",
    ),
];

#[cfg(test)]
mod tests {
    use ark_bn254::Fr;
    use ark_ff::{Field, PrimeField};

    use super::*;

    #[test]
    fn known_answers() {
        for (message, digest) in KNOWN_ANSWERS {
            assert_eq!(hex(&sha512_native(message)), digest);
        }
    }

    /// The largest x with x^n <= prime * 2^(64 n) has the 64 bits as its last; all below 2^202.
    #[test]
    fn constants_are_the_roots_of_primes() {
        let prime = |n: &u64| (2..*n).all(|d| !n.is_multiple_of(d));
        let primes: Vec<u64> = (2..).filter(prime).take(80).collect();
        let root = |p: u64, n: u64| {
            let limit = (Fr::from(p) * Fr::from(2_u64).pow([64 * n])).into_bigint();
            let mut x = 0_u128;
            for bit in (0..68).rev() {
                let y = x | 1 << bit;
                if Fr::from(y).pow([n]).into_bigint() <= limit {
                    x = y;
                }
            }
            u64::try_from(x & u128::from(u64::MAX)).expect("64 bits")
        };
        for (k, p) in K.iter().zip(&primes) {
            assert_eq!(*k, root(*p, 3));
        }
        for (h, p) in INITIAL.iter().zip(&primes) {
            assert_eq!(*h, root(*p, 2));
        }
    }

    #[test]
    fn padding_fills_blocks() {
        for bytes in 0..400 {
            let padding = padding(bytes);
            assert_eq!((bytes + padding.len()) % BLOCK, 0);
            assert!((17..17 + BLOCK).contains(&padding.len()));
        }
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }
}
