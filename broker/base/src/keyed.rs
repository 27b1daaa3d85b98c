//! Keyed randomness: SipHash-2-4 over named parts, so that a draw depends on what it is for and on nothing else.
//!
//! Not a stream: removing one draw leaves all others as they were, which is what lets the simulator shrink a failure.
//! Pure functions; the production entropy source does not use them.

/// SipHash-2-4 of `bytes` under a 64-bit key (Aumasson and Bernstein, 2012). Stable for ever: shard placement and
/// recorded simulation seeds depend on it.
#[must_use]
pub fn keyed_hash(key: u64, bytes: &[u8]) -> u64 {
    let mut state = State::new(key, key.rotate_left(32) ^ 0x6261_726e_6162_6173);
    let mut chunks = bytes.chunks_exact(8);
    for chunk in &mut chunks {
        state.absorb(u64::from_le_bytes(chunk.try_into().expect("chunks_exact yields 8 bytes")));
    }
    let mut last = (bytes.len() as u64) << 56;
    for (index, byte) in chunks.remainder().iter().enumerate() {
        last |= u64::from(*byte) << (8 * index);
    }
    state.absorb(last);
    state.finish()
}

/// A draw in the making: a seed plus the purpose and the entities it concerns.
///
/// ```
/// use barnabas_base::Keyed;
/// let latency = Keyed::new(7, "link latency").with(3).with(5).below(1_000);
/// assert!(latency < 1_000);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Keyed {
    state: u64,
}

impl Keyed {
    /// Starts a draw for one purpose under `seed`.
    #[must_use]
    pub fn new(seed: u64, purpose: &str) -> Self {
        Self { state: keyed_hash(seed, purpose.as_bytes()) }
    }

    /// Adds an entity, a simulated time or an ordinal.
    #[must_use]
    pub fn with(self, part: u64) -> Self {
        Self { state: keyed_hash(self.state, &part.to_le_bytes()) }
    }

    /// 64 uniformly drawn bits.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.state
    }

    /// A number from 0 up to and without `bound`.
    #[must_use]
    pub fn below(self, bound: u64) -> u64 {
        assert!(bound > 0, "a draw has at least one outcome");
        let wide = u128::from(self.state) * u128::from(bound);
        u64::try_from(wide >> 64).expect("the high half of a 128-bit product fits 64 bits")
    }

    /// Whether an event of probability `numerator / denominator` happens.
    #[must_use]
    pub fn chance(self, numerator: u64, denominator: u64) -> bool {
        self.below(denominator) < numerator
    }
}

/// The four words of SipHash.
struct State {
    v: [u64; 4],
}

impl State {
    const fn new(k0: u64, k1: u64) -> Self {
        Self {
            v: [
                k0 ^ 0x736f_6d65_7073_6575,
                k1 ^ 0x646f_7261_6e64_6f6d,
                k0 ^ 0x6c79_6765_6e65_7261,
                k1 ^ 0x7465_6462_7974_6573,
            ],
        }
    }

    fn absorb(&mut self, word: u64) {
        self.v[3] ^= word;
        self.round();
        self.round();
        self.v[0] ^= word;
    }

    fn finish(mut self) -> u64 {
        self.v[2] ^= 0xff;
        for _ in 0..4 {
            self.round();
        }
        self.v[0] ^ self.v[1] ^ self.v[2] ^ self.v[3]
    }

    fn round(&mut self) {
        let [mut v0, mut v1, mut v2, mut v3] = self.v;
        v0 = v0.wrapping_add(v1);
        v1 = v1.rotate_left(13) ^ v0;
        v0 = v0.rotate_left(32);
        v2 = v2.wrapping_add(v3);
        v3 = v3.rotate_left(16) ^ v2;
        v0 = v0.wrapping_add(v3);
        v3 = v3.rotate_left(21) ^ v0;
        v2 = v2.wrapping_add(v1);
        v1 = v1.rotate_left(17) ^ v2;
        v2 = v2.rotate_left(32);
        self.v = [v0, v1, v2, v3];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_core_is_siphash_2_4() {
        // Test vector of the SipHash paper: key 00..0f, input 00..0e.
        let mut state = State::new(0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908);
        state.absorb(0x0706_0504_0302_0100);
        state.absorb(0x0f0e_0d0c_0b0a_0908 & 0x00ff_ffff_ffff_ffff | 15 << 56);
        assert_eq!(state.finish(), 0xa129_ca61_49be_45e5);
    }

    #[test]
    fn a_draw_depends_on_all_its_parts() {
        let base = Keyed::new(1, "a").with(2);
        assert_eq!(base.bits(), Keyed::new(1, "a").with(2).bits());
        assert_ne!(base.bits(), Keyed::new(1, "b").with(2).bits());
        assert_ne!(base.bits(), Keyed::new(2, "a").with(2).bits());
        assert_ne!(base.bits(), Keyed::new(1, "a").with(3).bits());
    }

    #[test]
    fn draws_are_spread_over_their_range() {
        let mut buckets = [0_u32; 10];
        for ordinal in 0..10_000 {
            let draw = Keyed::new(9, "spread").with(ordinal).below(10);
            buckets[usize::try_from(draw).expect("below ten")] += 1;
        }
        assert!(buckets.iter().all(|count| (850..1_150).contains(count)), "{buckets:?}");
    }
}
