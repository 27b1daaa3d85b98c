//! [`Dice`]: the stream of draws that a plan is made of. Every file of this crate rolls them; nothing within a run does.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A stream of draws from a seed.
pub(crate) struct Dice(ChaCha8Rng);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// A number from 0 up to and without `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "a draw has at least one outcome");
        let wide = u128::from(self.0.next_u64()) * u128::from(bound);
        u64::try_from(wide >> 64).expect("the high half of a 128-bit product fits 64 bits")
    }

    /// As [`Dice::below`], for small numbers.
    pub(crate) fn small(&mut self, bound: u32) -> u32 {
        u32::try_from(self.below(u64::from(bound))).expect("below a 32-bit bound")
    }

    /// A number between two, both included.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// A number between two, evenly over its orders of magnitude: small ones are as likely as large ones.
    pub(crate) fn magnitude(&mut self, low: u64, high: u64) -> u64 {
        assert!(low > 0, "zero has no magnitude");
        let steps = u64::from((high / low).max(1).ilog2());
        let shift = self.below(steps + 1);
        let floor = low << shift;
        self.between(floor, (floor * 2 - 1).min(high).max(floor))
    }

    /// Whether something of probability `numerator / denominator` happens.
    pub(crate) fn chance(&mut self, numerator: u64, denominator: u64) -> bool {
        self.below(denominator) < numerator
    }

    /// One of several.
    pub(crate) fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[usize::try_from(self.below(choices.len() as u64)).expect("a position")]
    }

    /// A subset that is never empty: each with probability one half, or all, or one alone.
    pub(crate) fn subset<T: Copy>(&mut self, choices: &[T]) -> Vec<T> {
        match self.below(8) {
            0 => choices.to_vec(),
            1 => vec![*self.pick(choices)],
            _ => {
                let some: Vec<T> = choices.iter().copied().filter(|_| self.chance(1, 2)).collect();
                if some.is_empty() { vec![*self.pick(choices)] } else { some }
            }
        }
    }
}
