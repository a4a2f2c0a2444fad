//! From rows to polynomials: the quotient that a prover evaluates, and what the generator needs.
//!
//! The reduction is libsnark's without the rows that it adds for public inputs: our circuits hold
//! such rows themselves, for the values that a verifier supplies and for the blinder, and not for
//! the committed cells, which need none
//! ([`Matrices::commitment_fault`](quorate_circuits::ground::Matrices::commitment_fault)).

use ark_bn254::Fr;
use ark_ff::{AdditiveGroup, FftField, Field, PrimeField};
use ark_groth16::r1cs_to_qap::{R1CSToQAP, evaluate_constraint};
use ark_poly::{EvaluationDomain, GeneralEvaluationDomain};
use ark_relations::gr1cs::{
    ConstraintSystemRef, Matrix, R1CS_PREDICATE_LABEL, Result as SynthesisResult, SynthesisError,
};
use quorate_circuits::ground::Matrices;
use rayon::prelude::*;

/// A row that the assignment does not satisfy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("row {row} does not hold")]
pub struct Unsatisfied {
    /// Its index.
    pub row: usize,
}

/// Coefficients of `h = (a b - c) / t`, with `a`, `b`, `c` the polynomials that take the values of
/// the three sides of the rows on the domain, and `t` the polynomial that vanishes there.
///
/// # Errors
/// The first row that does not hold: then there is no such polynomial.
pub fn quotient(matrices: &Matrices, z: &[Fr]) -> Result<Vec<Fr>, Unsatisfied> {
    let rows = matrices.rows();
    let domain: GeneralEvaluationDomain<Fr> =
        domain(rows).expect("a circuit has at most 2^28 rows");
    let [mut a, mut b, mut c] = [(); 3].map(|()| vec![Fr::ZERO; domain.size()]);
    let broken = (a[..rows].par_iter_mut())
        .zip(&mut b[..rows])
        .zip(&mut c[..rows])
        .enumerate()
        .filter_map(|(row, ((a, b), c))| {
            *a = matrices.dot(&matrices.a, row, z);
            *b = matrices.dot(&matrices.b, row, z);
            *c = matrices.dot(&matrices.c, row, z);
            (*a * *b != *c).then_some(row)
        })
        .min();
    if let Some(row) = broken {
        return Err(Unsatisfied { row });
    }
    Ok(divide(domain, a, b, c))
}

/// The coefficients of `(a b - c) / t` from values on the domain.
fn divide(
    domain: GeneralEvaluationDomain<Fr>,
    mut a: Vec<Fr>,
    mut b: Vec<Fr>,
    mut c: Vec<Fr>,
) -> Vec<Fr> {
    let coset = domain
        .get_coset(Fr::GENERATOR)
        .expect("the generator is not zero");
    for side in [&mut a, &mut b, &mut c] {
        domain.ifft_in_place(side);
        coset.fft_in_place(side);
    }
    let vanishing = domain.evaluate_vanishing_polynomial(Fr::GENERATOR);
    let inverse = vanishing.inverse().expect("the coset avoids the domain");
    a.par_iter_mut()
        .zip(b)
        .zip(c)
        .for_each(|((a, b), c)| *a = (*a * b - c) * inverse);
    coset.ifft_in_place(&mut a);
    a
}

fn domain<F: PrimeField, D: EvaluationDomain<F>>(rows: usize) -> SynthesisResult<D> {
    D::new(rows).ok_or(SynthesisError::PolynomialDegreeTooLarge)
}

/// The reduction for the library's generator: the rows of the circuit and no others.
#[derive(Clone, Copy, Debug)]
pub struct RowsOnly;

impl R1CSToQAP for RowsOnly {
    fn instance_map_with_evaluation<F: PrimeField, D: EvaluationDomain<F>>(
        cs: ConstraintSystemRef<F>,
        t: &F,
    ) -> SynthesisResult<(Vec<F>, Vec<F>, Vec<F>, F, usize, usize)> {
        let cs = cs.borrow().ok_or(SynthesisError::MissingCS)?;
        let rows = cs.num_constraints();
        let domain: D = domain(rows)?;
        let lagrange = domain.evaluate_all_lagrange_coefficients(*t);
        let columns = cs.num_variables();
        let sides = cs.predicate_constraint_systems[R1CS_PREDICATE_LABEL].get_constraints();
        let [a, b, c] = [0, 1, 2].map(|side| {
            let mut values = vec![F::zero(); columns];
            for (lc, weight) in sides[side].iter().zip(&lagrange) {
                for (coefficient, variable) in cs.get_lc(*lc).iter() {
                    if let Some(i) = variable.get_variable_index(cs.num_instance_variables()) {
                        values[i] += *coefficient * weight;
                    }
                }
            }
            values
        });
        let vanishing = domain.evaluate_vanishing_polynomial(*t);
        Ok((a, b, c, vanishing, columns - 1, domain.size()))
    }

    fn witness_map_from_matrices<F: PrimeField, D: EvaluationDomain<F>>(
        matrices: &[Matrix<F>],
        _inputs: usize,
        rows: usize,
        z: &[F],
    ) -> SynthesisResult<Vec<F>> {
        let domain: D = domain(rows)?;
        let coset = domain
            .get_coset(F::GENERATOR)
            .ok_or(SynthesisError::DivisionByZero)?;
        let mut sides = Vec::with_capacity(matrices.len());
        for matrix in matrices {
            let mut side: Vec<F> = matrix
                .iter()
                .map(|row| evaluate_constraint(row, z))
                .collect();
            side.resize(domain.size(), F::zero());
            domain.ifft_in_place(&mut side);
            coset.fft_in_place(&mut side);
            sides.push(side);
        }
        let inverse = domain
            .evaluate_vanishing_polynomial(F::GENERATOR)
            .inverse()
            .ok_or(SynthesisError::DivisionByZero)?;
        let mut h: Vec<F> = (0..domain.size())
            .map(|i| (sides[0][i] * sides[1][i] - sides[2][i]) * inverse)
            .collect();
        coset.ifft_in_place(&mut h);
        Ok(h)
    }

    fn h_query_scalars<F: PrimeField, D: EvaluationDomain<F>>(
        count: usize,
        t: F,
        vanishing: F,
        delta_inverse: F,
    ) -> SynthesisResult<Vec<F>> {
        let mut scalars = vec![F::zero(); count];
        let run = count.div_ceil(rayon::current_num_threads()).max(1);
        scalars
            .par_chunks_mut(run)
            .enumerate()
            .for_each(|(i, chunk)| {
                let mut power = vanishing * delta_inverse * t.pow([(i * run) as u64]);
                for scalar in chunk {
                    *scalar = power;
                    power *= t;
                }
            });
        Ok(scalars)
    }
}
