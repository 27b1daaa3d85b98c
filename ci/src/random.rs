//! Seeded numbers for the checks that kill and measure: the same seed gives the same sequence. Not for anything that
//! must be hard to guess.

/// SplitMix64.
pub(crate) struct Random {
    state: u64,
}

impl Random {
    /// A sequence of its own for each seed and purpose.
    pub(crate) fn new(seed: u64, purpose: u64) -> Self {
        let mut random = Random { state: seed ^ purpose.wrapping_mul(0xa076_1d64_78bd_642f) };
        random.next();
        random
    }

    /// The next number.
    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from `low` up to and without `high`.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        assert!(low < high, "an empty range has no number");
        low + self.next() % (high - low)
    }
}
