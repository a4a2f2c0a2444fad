#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::array;
use core::str::FromStr;

use ark_ff::{PrimeField, Zero};
use light_poseidon::{Poseidon, PoseidonHasher};
use proptest::prelude::*;
use serde::Deserialize;

use super::*;

/// `hash` for a number of inputs known only at run time.
fn hash_any(inputs: &[Fr]) -> Fr {
    fn of<const N: usize>(inputs: &[Fr]) -> Fr {
        hash::<N>(inputs.try_into().unwrap())
    }
    [of::<1>, of::<2>, of::<3>, of::<4>, of::<5>, of::<6>][inputs.len() - 1](inputs)
}

/// The permutation round by round as the paper states it: the oracle for the sparse form.
fn permute_as_stated(parameters: &Parameters, state: &mut [Fr]) {
    let width = parameters.width;
    let half = parameters.full_rounds / 2;
    for (round, constants) in parameters.constants.chunks(width).enumerate() {
        let partial = (half..half + parameters.partial_rounds).contains(&round);
        for (i, x) in state.iter_mut().enumerate() {
            *x += constants[i];
            if i == 0 || !partial {
                *x = x.pow([5]);
            }
        }
        let old = state.to_vec();
        for (x, row) in state.iter_mut().zip(parameters.mds.chunks(width)) {
            *x = row.iter().zip(&old).map(|(m, x)| *m * x).sum();
        }
    }
}

/// Near zero, near the modulus, or anything.
fn arb_element() -> impl Strategy<Value = Fr> {
    prop_oneof![
        (0u64..4).prop_map(Fr::from),
        (1u64..4).prop_map(|n| -Fr::from(n)),
        any::<[u8; 32]>().prop_map(|bytes| Fr::from_le_bytes_mod_order(&bytes)),
    ]
}

fn arb_inputs() -> impl Strategy<Value = Vec<Fr>> {
    prop::collection::vec(arb_element(), 1..=MAX_INPUTS)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn light_poseidon_agrees(inputs in arb_inputs()) {
        let theirs = Poseidon::<Fr>::new_circom(inputs.len()).unwrap().hash(&inputs).unwrap();
        prop_assert_eq!(hash_any(&inputs), theirs);
    }

    #[test]
    fn sparse_rounds_are_the_same_permutation(inputs in arb_inputs(), first in arb_element()) {
        let parameters = Parameters::for_inputs(inputs.len()).unwrap();
        let mut stated = vec![first];
        stated.extend(&inputs);
        fn sparse<const W: usize>(parameters: &Parameters, state: &[Fr]) -> Vec<Fr> {
            let mut state: [Fr; W] = state.try_into().unwrap();
            permute(parameters, &mut state);
            state.to_vec()
        }
        let by_width =
            [sparse::<2>, sparse::<3>, sparse::<4>, sparse::<5>, sparse::<6>, sparse::<7>];
        let quick = by_width[inputs.len() - 1](parameters, &stated);
        permute_as_stated(parameters, &mut stated);
        prop_assert_eq!(quick, stated);
    }
}

#[test]
fn light_poseidon_agrees_on_every_arity() {
    for inputs in 1..=MAX_INPUTS {
        let values: Vec<Fr> = (1..=inputs).map(|i| -Fr::from(i as u64)).collect();
        let theirs = Poseidon::<Fr>::new_circom(inputs)
            .unwrap()
            .hash(&values)
            .unwrap();
        assert_eq!(hash_any(&values), theirs);
    }
}

#[derive(Deserialize)]
struct HashVectors {
    hashes: Vec<HashVector>,
}

#[derive(Deserialize)]
struct HashVector {
    inputs: Vec<String>,
    hash: String,
}

#[test]
fn poseidon_lite_agrees() {
    let file = include_str!("../../../fixtures/vectors/poseidon/hash.json");
    let vectors: HashVectors = serde_json::from_str(file).unwrap();
    for arity in 1..=MAX_INPUTS {
        let of_arity = vectors.hashes.iter().filter(|v| v.inputs.len() == arity);
        assert_eq!(of_arity.count(), 6, "{arity} inputs");
    }
    for vector in &vectors.hashes {
        let inputs: Vec<Fr> = vector
            .inputs
            .iter()
            .map(|x| Fr::from_str(x).unwrap())
            .collect();
        assert_eq!(
            hash_any(&inputs),
            Fr::from_str(&vector.hash).unwrap(),
            "{:?}",
            vector.inputs
        );
    }
}

#[derive(Deserialize)]
struct SetVectors {
    depth: usize,
    blinding_tag: String,
    sets: Vec<SetVector>,
}

#[derive(Deserialize)]
struct SetVector {
    name: String,
    salt: Option<String>,
    validators: Vec<ValidatorVector>,
    root: String,
    total_power: String,
    count: u64,
    commitment: String,
}

#[derive(Deserialize)]
struct ValidatorVector {
    key: String,
    power: String,
    blinding: String,
    leaf: String,
}

/// The hashes of a set commitment, step by step; the set type has its own test with these files.
#[test]
fn poseidon_lite_agrees_on_set_commitments() {
    let file = include_str!("../../../fixtures/vectors/poseidon/set_commitment.json");
    let vectors: SetVectors = serde_json::from_str(file).unwrap();
    assert_eq!(vectors.sets.len(), 4);
    for set in &vectors.sets {
        let mut level = Vec::new();
        for (i, validator) in set.validators.iter().enumerate() {
            let blinding = set.salt.as_ref().map_or(Fr::ZERO, |salt| {
                let mut message = hex::decode(salt).unwrap();
                message.extend((i as u64).to_le_bytes());
                crate::hash_to_field::hash_to_field::<1>(vectors.blinding_tag.as_bytes(), &message)
                    [0]
            });
            assert_eq!(
                blinding,
                Fr::from_str(&validator.blinding).unwrap(),
                "{}: {i}",
                set.name
            );
            let key = hex::decode(&validator.key).unwrap();
            let [low, high] = [&key[..16], &key[16..]].map(Fr::from_le_bytes_mod_order);
            let power = Fr::from_str(&validator.power).unwrap();
            let leaf = hash(&[low, high, power, blinding]);
            assert_eq!(
                leaf,
                Fr::from_str(&validator.leaf).unwrap(),
                "{}: {i}",
                set.name
            );
            level.push(leaf);
        }
        level.resize(1 << vectors.depth, Fr::ZERO);
        while level.len() > 1 {
            level = level
                .chunks(2)
                .map(|pair| hash(&[pair[0], pair[1]]))
                .collect();
        }
        assert_eq!(level[0], Fr::from_str(&set.root).unwrap(), "{}", set.name);
        let total = Fr::from_str(&set.total_power).unwrap();
        assert_eq!(
            hash(&[level[0], total, Fr::from(set.count)]),
            Fr::from_str(&set.commitment).unwrap(),
            "{}",
            set.name
        );
    }
}

#[derive(Deserialize)]
struct FieldVectors {
    vectors: Vec<FieldVector>,
}

#[derive(Deserialize)]
struct FieldVector {
    dst: String,
    message: String,
    elements: Vec<String>,
}

#[test]
fn hash_to_field_agrees_with_another_implementation() {
    let file = include_str!("../../../fixtures/vectors/poseidon/hash_to_field.json");
    let vectors: FieldVectors = serde_json::from_str(file).unwrap();
    for v in &vectors.vectors {
        let (dst, message) = (v.dst.as_bytes(), v.message.as_bytes());
        let elements = match v.elements.len() {
            1 => crate::hash_to_field::hash_to_field::<1>(dst, message).to_vec(),
            3 => crate::hash_to_field::hash_to_field::<3>(dst, message).to_vec(),
            10 => crate::hash_to_field::hash_to_field::<10>(dst, message).to_vec(),
            n => panic!("no arm for {n} elements"),
        };
        let expected: Vec<Fr> = v
            .elements
            .iter()
            .map(|x| Fr::from_str(x).unwrap())
            .collect();
        assert_eq!(elements, expected);
    }
    assert_eq!(vectors.vectors.len(), 4);
}

/// What the register gives is what others carry as a table.
#[test]
fn constants_are_circomlibs() {
    for inputs in 1..=MAX_INPUTS {
        let ours = Parameters::for_inputs(inputs).unwrap();
        let width = u8::try_from(ours.width).unwrap();
        let theirs = light_poseidon::parameters::bn254_x5::get_poseidon_parameters(width).unwrap();
        assert_eq!(ours.full_rounds, theirs.full_rounds);
        assert_eq!(ours.partial_rounds, theirs.partial_rounds);
        assert_eq!(ours.constants, theirs.ark);
        assert_eq!(ours.mds, theirs.mds.concat());
    }
}

#[test]
fn parameters_have_the_stated_shape() {
    assert!(Parameters::for_inputs(0).is_none());
    assert!(Parameters::for_inputs(MAX_INPUTS + 1).is_none());
    for inputs in 1..=MAX_INPUTS {
        let p = Parameters::for_inputs(inputs).unwrap();
        let width = inputs + 1;
        assert_eq!(p.width, width);
        assert_eq!(
            p.constants.len(),
            (p.full_rounds + p.partial_rounds) * width
        );
        assert_eq!(p.mds.len(), width * width);
        assert_eq!(p.sparse.partial.len(), p.partial_rounds);
        assert_eq!(p.sparse.opening.len(), FULL_ROUNDS / 2 * width);
        assert_eq!(p.sparse.closing.len(), FULL_ROUNDS / 2 * width);
        assert!(p.constants.iter().chain(&p.mds).all(|x| !x.is_zero()));
    }
}

#[test]
fn arity_is_part_of_the_instance() {
    let zeros: [Fr; MAX_INPUTS] = array::from_fn(|i| hash_any(&vec![Fr::ZERO; i + 1]));
    for (i, x) in zeros.iter().enumerate() {
        assert!(zeros[i + 1..].iter().all(|y| x != y));
    }
}
