//! Arithmetic modulo p = 2^255 - 19 in rows over the BN254 scalar field.
//!
//! An [`Element`] is an integer in limbs; a sum of products of elements is a [`Form`], left
//! unreduced as long as it occurs linearly; a relation between forms is checked by
//! [`Field::vanish`], and [`Field::reduce`] gives a sum a new element. Whatever is known of a value
//! beyond its residue (range, canonical form) is said by an [`Extent`].
//!
//! | chunk width | limbs | product rows | look-ups of an element, quotient, carry |
//! |---|---|---|---|
//! | 16 (or 8) | 4 of 64 bits | 5 | 16 + 5 + 5 |
//! | 13 | 5 of 52 bits | 6 | 20 (21 below 2^256) + 5 + 5 or 6 |
//! | 17 | 5 of 51 bits | 6 | 15 + 4 + 4 |
//!
//! `docs/circuit/arithmetic.md` compares these and says why nothing wraps.

mod element;
mod form;
mod fp;
mod int;
mod pencil;
mod size;
#[cfg(test)]
mod tests;

use core::cell::RefCell;
use std::sync::OnceLock;

use ark_bn254::Fr;

use crate::ground::Builder;
use pencil::Pencil;

pub use element::{Element, Extent};
pub use form::Form;
pub use fp::{Curve25519Base, Fp, canonical, modulus, residue};
pub use int::{Int, Modulus};
pub use size::{Size, Span};

/// The arithmetic for one chunk width: limbs, moduli, decomposition of products.
#[derive(Debug)]
pub struct Field {
    chunk_bits: usize,
    /// Number of limbs, n.
    count: usize,
    /// Bits of a limb.
    width: usize,
    p: Modulus,
    /// `2^(n width) mod p`.
    kappa: Int,
    /// Low part of each limb's radix: `v 2^(width i) mod m`, m = 2^(2 width).
    low: Vec<Int>,
    /// The unit v, an integer whose low part is that of 1.
    low_unit: Int,
    /// Low part of p: `v p mod m`, the representative of least magnitude.
    low_p: Int,
    low_unit_inverse: Int,
    /// `1/N mod m`.
    native_inverse: Int,
    p_native: Fr,
    low_p_native: Fr,
    /// m.
    carry_native: Fr,
    radix_native: Vec<Fr>,
    low_native: Vec<Fr>,
    pencil: &'static Pencil,
    ledger: RefCell<Vec<Reduction>>,
}

/// What was declared about one relation `V = 0 mod d`; see [`Field::vanish`].
#[derive(Clone, Copy, Debug)]
pub struct Reduction {
    /// The relation.
    pub kind: &'static str,
    /// The divisor d, p or L.
    pub divisor: Int,
    /// V for the witness at hand.
    pub value: Int,
    /// Range of V.
    pub range: Span,
    /// The offset M: `V + M d` is not negative.
    pub lift: Int,
    /// Range of the quotient, in bits.
    pub quotient_bits: usize,
    /// Range of the carry, in bits.
    pub carry_bits: usize,
    /// Range of `G - m (t + T)`.
    pub low: Span,
    /// The second modulus m.
    pub modulus: Int,
}

impl Reduction {
    /// Range of `E = V + M d - q d`, over all values that the look-ups allow.
    #[must_use]
    pub fn exact(&self) -> Span {
        self.range + (Span::of(self.lift) - Span::bits(self.quotient_bits)).times(self.divisor)
    }

    /// `|E| < N m`, and `|G - m (t + T)| < N`.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        let native = Int::native_modulus();
        self.exact().magnitude() < native * self.modulus && self.low.magnitude() < native
    }
}

impl Field {
    /// The arithmetic that suits chunks of this width.
    ///
    /// # Panics
    /// Unless the width is 8, 13, 16 or 17.
    #[must_use]
    pub fn new(chunk_bits: u32) -> Self {
        let (count, width) = match chunk_bits {
            8 | 16 => (4, 64),
            13 => (5, 52),
            17 => (5, 51),
            other => panic!("no limbs are made of chunks of {other} bits"),
        };
        let p = modulus();
        let radix: Vec<Int> = (0..count).map(|i| Int::power_of_two(width * i)).collect();
        let (_, kappa) = p.div_rem(Int::power_of_two(width * count));
        // With four limbs and v = 1 the decomposition of a product needs a sixth row: X^4 - 38 is
        // irreducible over F_N, and the two forms lie in a quadratic subfield. v = 1 + 2^64 avoids it.
        let low_unit = if count == 4 {
            Int::ONE + radix[1]
        } else {
            Int::ONE
        };
        let low: Vec<Int> = radix
            .iter()
            .map(|r| (*r * low_unit).low_bits(2 * width))
            .collect();
        let native = |values: &[Int]| values.iter().map(|x| x.to_native()).collect::<Vec<Fr>>();
        let (radix_native, low_native) = (native(&radix), native(&low));
        let pencil = pencil(width, || {
            Pencil::new(&radix_native, &low_native, kappa.to_native())
        });
        let low_p = -(low_unit * Int::from(19)); // m = 2^(2 width) divides 2^255
        Self {
            chunk_bits: chunk_bits as usize,
            count,
            width,
            p,
            kappa,
            low,
            low_unit,
            low_p,
            low_unit_inverse: inverse_mod_power(low_unit, 2 * width),
            native_inverse: inverse_mod_power(Int::native_modulus(), 2 * width),
            p_native: p.value().to_native(),
            low_p_native: low_p.to_native(),
            carry_native: Int::power_of_two(2 * width).to_native(),
            radix_native,
            low_native,
            pencil,
            ledger: RefCell::default(),
        }
    }

    /// Limbs of an element.
    #[must_use]
    pub fn limb_count(&self) -> usize {
        self.count
    }

    /// Every relation declared while rows were recorded, in order.
    #[must_use]
    pub fn ledger(&self) -> Vec<Reduction> {
        self.ledger.borrow().clone()
    }

    /// Adds a relation of another modulus, checked elsewhere, to the ledger.
    pub fn note(&self, g: &Builder, reduction: Reduction) {
        if g.is_recording() {
            self.ledger.borrow_mut().push(reduction);
        }
    }

    fn declare(&self, g: &Builder, reduction: Reduction) {
        assert!(
            reduction.is_exact(),
            "ranges too wide to be exact: {reduction:?}"
        );
        self.note(g, reduction);
    }
}

/// The decomposition for limbs of this width, searched for once in a process.
fn pencil(width: usize, search: impl FnOnce() -> Pencil) -> &'static Pencil {
    static FOUND: [OnceLock<Pencil>; 3] = [const { OnceLock::new() }; 3];
    let place = [51, 52, 64].iter().position(|w| *w == width);
    FOUND[place.expect("limbs have one of three widths")].get_or_init(search)
}

/// The inverse of an odd integer modulo `2^bits`, `bits <= 128`, by Newton's iteration.
fn inverse_mod_power(x: Int, bits: usize) -> Int {
    let x = x.low_bits(bits);
    let mut inverse = Int::ONE;
    for _ in 0..7 {
        // correct bits double: 1, 2, .., 128
        let error = (Int::from(2) - (x * inverse).low_bits(bits)).low_bits(bits);
        inverse = (inverse * error).low_bits(bits);
    }
    inverse
}
