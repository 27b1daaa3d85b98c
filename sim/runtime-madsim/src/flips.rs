//! [`Flips`]: the bits of a file that rotted, so that what is on its way to a reader can be shown as it was before. The
//! volume drives it.

use bytes::{Bytes, BytesMut};

/// Bits of one file in the order in which they rotted: a position and a mask, which is empty once the byte was written over.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flips(Vec<(u64, u8)>);

impl Flips {
    pub(crate) fn push(&mut self, position: u64, mask: u8) {
        self.0.push((position, mask));
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// A range was written: what rotted there is no more.
    pub(crate) fn written(&mut self, offset: u64, len: u64) {
        for (_, mask) in self.0.iter_mut().filter(|(at, _)| (offset..offset + len).contains(at)) {
            *mask = 0;
        }
    }

    /// `bytes`, which stand at `offset`, as they were when only `seen` bits had rotted.
    pub(crate) fn taken_back(&self, offset: u64, bytes: Bytes, seen: usize) -> Bytes {
        let end = offset + bytes.len() as u64;
        let later = self.0.get(seen..).unwrap_or_default();
        if !later.iter().any(|(at, _)| (offset..end).contains(at)) {
            return bytes;
        }
        let mut whole = BytesMut::from(&bytes[..]);
        for (at, mask) in later.iter().filter(|(at, _)| (offset..end).contains(at)) {
            whole[usize::try_from(at - offset).expect("within the bytes")] ^= mask;
        }
        whole.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rotted_later_is_taken_back_unless_it_was_written_over() {
        let mut flips = Flips::default();
        flips.push(11, 1);
        let seen = flips.len();
        flips.push(12, 4);
        flips.push(13, 8);
        let taken_back = |flips: &Flips| flips.taken_back(10, Bytes::from_static(&[0, 1, 4, 8]), seen).to_vec();
        assert_eq!(taken_back(&flips), [0, 1, 0, 0]);
        flips.written(13, 5);
        assert_eq!(taken_back(&flips), [0, 1, 0, 8]);
        assert_eq!(flips.taken_back(20, Bytes::from_static(b"elsewhere"), 0), "elsewhere");
    }
}
