//! Small sets for tests, with everything a prover or a liar needs to know.

use ark_bn254::Fr;
use ark_ff::{AdditiveGroup, Field};
use quorate_verifier::poseidon;

use super::{Opening, SetOpening};

/// A tree of `2^depth` leaves, the first of which hold validators.
#[derive(Clone, Debug)]
pub(crate) struct ExampleSet {
    pub(crate) depth: usize,
    pub(crate) keys: Vec<[Fr; 2]>,
    pub(crate) powers: Vec<u64>,
    blindings: Vec<Fr>,
}

impl ExampleSet {
    /// Keys and blindings follow from `seed`, which tells sets apart.
    pub(crate) fn new(seed: u64, depth: usize, powers: &[u64]) -> Self {
        let element = |i: usize, what: u64| {
            poseidon::hash(&[Fr::from(seed), Fr::from(i as u64), Fr::from(what)])
        };
        let half = |i, what| {
            use ark_ff::PrimeField;
            let [a, b, ..] = element(i, what).into_bigint().0;
            Fr::from(a) + Fr::from(b) * Fr::from(2_u64).pow([64])
        };
        let all = 0..powers.len();
        Self {
            depth,
            keys: all.clone().map(|i| [half(i, 0), half(i, 1)]).collect(),
            powers: powers.to_vec(),
            blindings: all.map(|i| element(i, 2)).collect(),
        }
    }

    /// Hashes of each level, leaves first.
    fn levels(&self) -> Vec<Vec<Fr>> {
        let mut leaves: Vec<Fr> = (0..self.keys.len()).map(|i| self.leaf(i)).collect();
        leaves.resize(1 << self.depth, Fr::ZERO);
        let mut levels = vec![leaves];
        for level in 0..self.depth {
            let above = levels[level]
                .chunks(2)
                .map(|pair| poseidon::hash(&[pair[0], pair[1]]));
            levels.push(above.collect());
        }
        levels
    }

    fn leaf(&self, i: usize) -> Fr {
        let [low, high] = self.keys[i];
        poseidon::hash(&[low, high, Fr::from(self.powers[i]), self.blindings[i]])
    }

    pub(crate) fn root(&self) -> Fr {
        self.levels()[self.depth][0]
    }

    pub(crate) fn opening(&self) -> SetOpening {
        SetOpening {
            root: self.root(),
            total: self.powers.iter().sum(),
            count: self.keys.len() as u64,
        }
    }

    /// The opening of leaf `i`; an empty one has no power and no blinding.
    pub(crate) fn member(&self, i: usize) -> Opening {
        let levels = self.levels();
        Opening {
            power: self.powers.get(i).copied().unwrap_or_default(),
            blinding: self.blindings.get(i).copied().unwrap_or_default(),
            index: u32::try_from(i).expect("a small index"),
            siblings: (0..self.depth)
                .map(|level| levels[level][(i >> level) ^ 1])
                .collect(),
        }
    }
}
