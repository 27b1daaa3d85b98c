//! Random values of every message for tests; never part of a release build.
//!
//! The derive implements `Generate` for its structs. Same seed, same value.

use barnabas_base::Uuid;
use bytes::Bytes;

use crate::{Records, Version};

/// The most elements of a generated array: arrays nest up to five deep.
const ELEMENTS_MAX: u64 = 3;

/// A small seeded generator (SplitMix64).
#[derive(Clone, Debug)]
pub struct Generator {
    state: u64,
}

impl Generator {
    /// A generator whose values follow from `seed`.
    pub const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "a range has at least one number");
        self.bits() % bound
    }

    /// An integer of 64 bits, often one at an edge.
    fn integer(&mut self) -> i64 {
        match self.below(8) {
            0 => 0,
            1 => -1,
            2 => i64::MAX,
            3 => i64::MIN,
            4 => self.below(256) as i64,
            _ => self.bits() as i64,
        }
    }

    fn byte_vec(&mut self, max: u64) -> Vec<u8> {
        let length = self.below(max + 1);
        (0..length).map(|_| self.bits() as u8).collect()
    }
}

/// A type of which random values can be made for a version.
pub trait Generate: Sized {
    /// A value that `version` can carry.
    fn generate(generator: &mut Generator, version: Version) -> Self;
}

macro_rules! integers {
    ($($ty:ty),*) => {$(
        impl Generate for $ty {
            fn generate(generator: &mut Generator, _: Version) -> Self {
                match generator.below(8) {
                    0 => <$ty>::MAX,
                    1 => <$ty>::MIN,
                    _ => generator.integer() as $ty,
                }
            }
        }
    )*};
}

integers!(i8, i16, u16, i32, u32, i64);

impl Generate for bool {
    fn generate(generator: &mut Generator, _: Version) -> Self {
        generator.below(2) == 1
    }
}

impl Generate for f64 {
    fn generate(generator: &mut Generator, _: Version) -> Self {
        (generator.integer() as Self) / 64.0
    }
}

impl Generate for Uuid {
    fn generate(generator: &mut Generator, _: Version) -> Self {
        let mut bytes = [0; 16];
        if generator.below(4) > 0 {
            bytes[..8].copy_from_slice(&generator.bits().to_be_bytes());
            bytes[8..].copy_from_slice(&generator.bits().to_be_bytes());
        }
        Self(bytes)
    }
}

impl Generate for String {
    fn generate(generator: &mut Generator, _: Version) -> Self {
        match generator.below(16) {
            0 => Self::new(),
            1 => "żółć-😀".to_owned(),
            2 => "x".repeat(130 + generator.below(400) as usize),
            _ => {
                let length = 1 + generator.below(12);
                let letter = |bits: u64| char::from(b'a' + (bits % 26) as u8);
                (0..length).map(|_| letter(generator.bits())).collect()
            }
        }
    }
}

impl Generate for Bytes {
    fn generate(generator: &mut Generator, _: Version) -> Self {
        let max = if generator.below(16) == 0 { 2_000 } else { 40 };
        Self::from(generator.byte_vec(max))
    }
}

impl Generate for Records {
    fn generate(generator: &mut Generator, version: Version) -> Self {
        match generator.below(4) {
            0 => Self::Null,
            _ => Self::Bytes(Bytes::generate(generator, version)),
        }
    }
}

impl<T: Generate> Generate for Vec<T> {
    fn generate(generator: &mut Generator, version: Version) -> Self {
        let count = generator.below(ELEMENTS_MAX + 1);
        (0..count).map(|_| T::generate(generator, version)).collect()
    }
}

impl<T: Generate> Generate for Option<T> {
    fn generate(generator: &mut Generator, version: Version) -> Self {
        match generator.below(4) {
            0 => None,
            _ => Some(T::generate(generator, version)),
        }
    }
}
