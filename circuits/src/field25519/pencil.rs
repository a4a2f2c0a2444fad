//! Few rows for a product of which only two linear forms are wanted.
//!
//! A product mod p enters the rows as two bilinear forms of the limbs: its value mod N and its low
//! part (see `form`). Both are functionals of one commutative algebra `K = F_N[X]/(X^n - kappa)`,
//! so with `low(f) = native(u f)` and the basis `1, u, .., u^(n-1)` their matrices are the Hankel
//! matrices of one sequence `h_k = native(u^k)`, `k < 2n`. Any polynomial with distinct roots `x_l`
//! in F_N that annihilates the sequence gives weights with `h_k = sum c_l x_l^k`, hence
//!
//! `native(ab) = sum c_l A_l(a) A_l(b)`   `low(ab) = sum c_l x_l A_l(a) A_l(b)`
//!
//! where `A_l` evaluates at `x_l` in that basis: one row for each root. Degree n + 1 leaves three
//! dimensions of annihilators: two roots are prescribed and varied until the rest splits.
//! (Degree n would need `u`'s minimal polynomial to split; it does not for our parameters. This is
//! the rank of a pencil of matrices, after Ja'Ja', "Optimal evaluation of pairs of bilinear forms",
//! 1979.) Interpolation of the whole product would take 2n - 1 rows.

use ark_bn254::Fr;
use ark_ff::{AdditiveGroup, Field, PrimeField};

/// Two bilinear forms on limb vectors, as sums of products of evaluations.
#[derive(Debug, Clone)]
pub(super) struct Pencil {
    /// `evaluations[l][i]` is `A_l` on limb i.
    pub(super) evaluations: Vec<Vec<Fr>>,
    /// `c_l`.
    pub(super) native: Vec<Fr>,
    /// `c_l x_l`.
    pub(super) low: Vec<Fr>,
}

impl Pencil {
    /// The forms whose value on the limbs i and j is `native[i + j]` and `low[i + j]`, where index
    /// `n + k` stands for `kappa` times index `k`.
    ///
    /// # Panics
    /// If the functionals are so special that no decomposition into `n + 1` products is found.
    pub(super) fn new(native: &[Fr], low: &[Fr], kappa: Fr) -> Self {
        let n = native.len();
        let at = |form: &[Fr], k: usize| if k < n { form[k] } else { kappa * form[k - n] };
        let matrix: Vec<Vec<Fr>> = (0..n)
            .map(|i| (0..n).map(|j| at(native, i + j)).collect())
            .collect();
        let u = solve(&matrix, low);
        let powers = powers(&u, kappa, 2 * n);
        let h: Vec<Fr> = powers.iter().map(|f| dot(f, native)).collect();
        let roots = annihilating_roots(&h, n);
        let weights = solve(&vandermonde(&roots, n + 1), &h[..=n]);
        let basis: Vec<Vec<Fr>> = (0..n)
            .map(|i| (0..n).map(|j| powers[j][i]).collect())
            .collect();
        // A_l = (1, x_l, .., x_l^(n-1)) * basis^-1
        let transposed: Vec<Vec<Fr>> = (0..n)
            .map(|i| (0..n).map(|j| basis[j][i]).collect())
            .collect();
        let evaluations = roots
            .iter()
            .map(|x| solve(&transposed, &geometric(*x, n)))
            .collect();
        let low = weights.iter().zip(&roots).map(|(c, x)| *c * x).collect();
        Self {
            evaluations,
            native: weights,
            low,
        }
    }

    /// Number of rows of a product.
    pub(super) fn rank(&self) -> usize {
        self.native.len()
    }
}

/// Roots, all distinct and in F_N, of a polynomial of degree `n + 1` that annihilates `h`.
fn annihilating_roots(h: &[Fr], n: usize) -> Vec<Fr> {
    // Unknown coefficients g_0 .. g_(n+1): n - 1 recurrences, two prescribed roots, g_(n+1) = 1.
    for seed in 1..SEARCH {
        let prescribed = [Fr::from(seed), -Fr::from(seed) - Fr::ONE];
        let mut system: Vec<Vec<Fr>> = (0..n - 1).map(|k| h[k..=k + n + 1].to_vec()).collect();
        system.extend(prescribed.iter().map(|x| geometric(*x, n + 2)));
        let right: Vec<Fr> = system.iter().map(|row| -row[n + 1]).collect();
        let left: Vec<Vec<Fr>> = system.iter().map(|row| row[..=n].to_vec()).collect();
        let Some(mut rest) = try_solve(&left, &right) else {
            continue;
        };
        rest.push(Fr::ONE);
        for x in prescribed {
            rest = divide_by_root(&rest, x);
        }
        if let Some(mut roots) = distinct_roots(&rest) {
            roots.extend(prescribed);
            let distinct = roots
                .iter()
                .enumerate()
                .all(|(i, x)| !roots[..i].contains(x));
            if distinct && !roots.contains(&Fr::ZERO) {
                return roots;
            }
        }
    }
    unreachable!("one polynomial in (n-1)! splits, and the search tries {SEARCH}");
}

const SEARCH: u64 = 10_000;

/// The roots of a monic polynomial (coefficients from the constant up), if it splits into distinct
/// linear factors.
fn distinct_roots(f: &[Fr]) -> Option<Vec<Fr>> {
    let x = vec![Fr::ZERO, Fr::ONE];
    if f.len() == 2 {
        return Some(vec![-f[0]]);
    }
    if trim(power(&x, Fr::MODULUS.as_ref(), f)) != x {
        return None;
    }
    // Cantor-Zassenhaus: x + a is a square at about half the roots
    for a in 1..SEARCH {
        let mut half = power(
            &[Fr::from(a), Fr::ONE],
            Fr::MODULUS_MINUS_ONE_DIV_TWO.as_ref(),
            f,
        );
        half[0] -= Fr::ONE;
        let factor = gcd(f.to_vec(), trim(half));
        if (2..f.len()).contains(&factor.len()) {
            let mut roots = distinct_roots(&factor)?;
            let others = roots.iter().fold(f.to_vec(), |f, x| divide_by_root(&f, *x));
            roots.extend(distinct_roots(&others)?);
            return Some(roots);
        }
    }
    None
}

/// `f / (X - x)` for a root `x` of the monic `f`.
fn divide_by_root(f: &[Fr], x: Fr) -> Vec<Fr> {
    let mut quotient = vec![Fr::ZERO; f.len() - 1];
    let mut carry = Fr::ZERO;
    for i in (0..quotient.len()).rev() {
        carry = f[i + 1] + carry * x;
        quotient[i] = carry;
    }
    quotient
}

/// `base^exponent mod f`, `f` monic.
fn power(base: &[Fr], exponent: &[u64], f: &[Fr]) -> Vec<Fr> {
    let mut result = vec![Fr::ZERO; f.len() - 1];
    result[0] = Fr::ONE;
    for word in exponent.iter().rev() {
        for bit in (0..64).rev() {
            result = multiply(&result, &result, f);
            if word >> bit & 1 == 1 {
                result = multiply(&result, base, f);
            }
        }
    }
    result
}

fn multiply(a: &[Fr], b: &[Fr], f: &[Fr]) -> Vec<Fr> {
    let mut product = vec![Fr::ZERO; a.len() + b.len() - 1];
    for (i, x) in a.iter().enumerate() {
        for (j, y) in b.iter().enumerate() {
            product[i + j] += *x * y;
        }
    }
    remainder(product, f)
}

/// The remainder by a monic `f`, with `f.len() - 1` coefficients.
fn remainder(mut a: Vec<Fr>, f: &[Fr]) -> Vec<Fr> {
    let degree = f.len() - 1;
    while a.len() > degree {
        let Some(top) = a.pop() else { break };
        let shift = a.len() - degree;
        for (i, c) in f[..degree].iter().enumerate() {
            a[shift + i] -= top * c;
        }
    }
    a.resize(degree, Fr::ZERO);
    a
}

/// The monic greatest common divisor.
fn gcd(mut a: Vec<Fr>, mut b: Vec<Fr>) -> Vec<Fr> {
    while let Some(lead) = b.last().and_then(Field::inverse) {
        for c in &mut b {
            *c *= lead;
        }
        let rest = if b.len() == 1 {
            Vec::new()
        } else {
            trim(remainder(a, &b))
        };
        (a, b) = (b, rest);
    }
    a
}

fn trim(mut f: Vec<Fr>) -> Vec<Fr> {
    while f.last() == Some(&Fr::ZERO) {
        f.pop();
    }
    f
}

/// `1, u, .., u^(count - 1)` in the algebra, as coordinates.
fn powers(u: &[Fr], kappa: Fr, count: usize) -> Vec<Vec<Fr>> {
    let n = u.len();
    let mut modulus = vec![Fr::ZERO; n + 1];
    modulus[0] = -kappa;
    modulus[n] = Fr::ONE;
    let mut power = vec![Fr::ZERO; n];
    power[0] = Fr::ONE;
    let mut all = Vec::with_capacity(count);
    for _ in 0..count {
        let next = multiply(&power, u, &modulus);
        all.push(core::mem::replace(&mut power, next));
    }
    all
}

fn geometric(x: Fr, count: usize) -> Vec<Fr> {
    core::iter::successors(Some(Fr::ONE), |power| Some(*power * x))
        .take(count)
        .collect()
}

fn vandermonde(x: &[Fr], rows: usize) -> Vec<Vec<Fr>> {
    let columns: Vec<Vec<Fr>> = x.iter().map(|x| geometric(*x, rows)).collect();
    (0..rows)
        .map(|k| columns.iter().map(|column| column[k]).collect())
        .collect()
}

fn dot(a: &[Fr], b: &[Fr]) -> Fr {
    a.iter().zip(b).map(|(x, y)| *x * y).sum()
}

fn solve(matrix: &[Vec<Fr>], right: &[Fr]) -> Vec<Fr> {
    try_solve(matrix, right).expect("the forms are not degenerate")
}

/// The solution of a square system, by elimination; `None` if it is singular.
fn try_solve(matrix: &[Vec<Fr>], right: &[Fr]) -> Option<Vec<Fr>> {
    let n = matrix.len();
    let mut rows: Vec<Vec<Fr>> = matrix
        .iter()
        .zip(right)
        .map(|(row, r)| row.iter().copied().chain([*r]).collect())
        .collect();
    for column in 0..n {
        let pivot = (column..n).find(|i| rows[*i][column] != Fr::ZERO)?;
        rows.swap(column, pivot);
        let inverse = rows[column][column].inverse()?;
        for c in &mut rows[column] {
            *c *= inverse;
        }
        let lead = rows[column].clone();
        for (i, row) in rows.iter_mut().enumerate().filter(|(i, _)| *i != column) {
            let _ = i;
            let factor = row[column];
            for (c, l) in row.iter_mut().zip(&lead) {
                *c -= factor * l;
            }
        }
    }
    Some(rows.iter().map(|row| row[n]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ground::pow2;

    /// The decomposition is the pair of forms, on every pair of limbs.
    #[test]
    fn every_pair_of_limbs_is_right() {
        for (n, width, kappa, low) in [
            (
                4,
                64,
                38,
                vec![pow2(64) + Fr::ONE, pow2(64), Fr::ZERO, Fr::ZERO],
            ),
            (
                5,
                52,
                608,
                vec![Fr::ONE, pow2(52), Fr::ZERO, Fr::ZERO, Fr::ZERO],
            ),
        ] {
            let (kappa, native) = (Fr::from(kappa), geometric(pow2(width), n));
            let pencil = Pencil::new(&native, &low, kappa);
            assert_eq!(pencil.rank(), n + 1);
            for i in 0..n {
                for j in 0..n {
                    let form = |weights: &[Fr]| -> Fr {
                        let rows = weights.iter().zip(&pencil.evaluations);
                        rows.map(|(c, a)| *c * a[i] * a[j]).sum()
                    };
                    let wrap = if i + j < n { Fr::ONE } else { kappa };
                    assert_eq!(form(&pencil.native), wrap * native[(i + j) % n]);
                    assert_eq!(form(&pencil.low), wrap * low[(i + j) % n]);
                }
            }
        }
    }
}
