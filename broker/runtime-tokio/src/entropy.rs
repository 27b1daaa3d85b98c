//! Random bits from the kernel, fetched a page of words at a time. For ids only, never for decisions.

use std::cell::RefCell;

use barnabas_runtime::Entropy;
use rustix::rand::{GetRandomFlags, getrandom};

/// Words fetched with one system call.
const WORDS: usize = 32;

/// Words from `getrandom`, each handed out once.
#[derive(Debug, Default)]
pub(crate) struct KernelEntropy {
    words: RefCell<Vec<u64>>,
}

impl Entropy for KernelEntropy {
    fn next_u64(&self) -> u64 {
        let mut words = self.words.borrow_mut();
        if words.is_empty() {
            let mut bytes = [0_u8; WORDS * 8];
            // The kernel fills requests up to 256 bytes whole, once its pool is seeded, which precedes user space.
            let filled = getrandom(&mut bytes, GetRandomFlags::empty()).expect("the kernel has a random source");
            assert_eq!(filled, bytes.len(), "the kernel never cuts a request of at most 256 bytes");
            words.extend(
                bytes.chunks_exact(8).map(|word| u64::from_ne_bytes(word.try_into().expect("chunks of 8 bytes"))),
            );
        }
        words.pop().expect("the batch was just filled")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_differ_across_batches() {
        let entropy = KernelEntropy::default();
        let mut words: Vec<_> = (0..3 * WORDS).map(|_| entropy.next_u64()).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), 3 * WORDS, "64-bit words do not repeat");
    }
}
