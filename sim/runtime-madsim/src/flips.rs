//! [`Flips`]: the bits of a file that rotted, so that what is on its way to a reader can be shown as it was before. The
//! volume drives it.

use bytes::{Bytes, BytesMut};

/// How long the page cache keeps what a response is made of, in nanoseconds: it was looked at when the response was made,
/// and a slow reader takes seconds.
const KEPT_NS: u64 = 10_000_000_000;

/// Bits of one file in the order in which they rotted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flips(Vec<Flip>);

#[derive(Clone, Debug)]
struct Flip {
    at_ns: u64,
    position: u64,
    mask: u8,
}

impl Flips {
    pub(crate) fn push(&mut self, at_ns: u64, position: u64, mask: u8) {
        self.0.push(Flip { at_ns, position, mask });
    }

    /// A range was written: what rotted there is no more.
    pub(crate) fn written(&mut self, offset: u64, len: u64) {
        self.0.retain(|flip| !(offset..offset + len).contains(&flip.position));
    }

    /// `bytes`, which stand at `offset`, as a response has them that is sent.
    pub(crate) fn as_sent(&self, now_ns: u64, offset: u64, bytes: Bytes) -> Bytes {
        let end = offset + bytes.len() as u64;
        let young = self.0.iter().rev().take_while(|flip| flip.at_ns + KEPT_NS > now_ns);
        let mut kept: Option<BytesMut> = None;
        for flip in young.filter(|flip| (offset..end).contains(&flip.position)) {
            let at = usize::try_from(flip.position - offset).expect("within the bytes");
            kept.get_or_insert_with(|| BytesMut::from(&bytes[..]))[at] ^= flip.mask;
        }
        kept.map_or(bytes, BytesMut::freeze)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rotted_a_moment_ago_is_sent_as_it_was() {
        let mut flips = Flips::default();
        flips.push(5, 11, 1);
        flips.push(KEPT_NS, 12, 4);
        flips.push(KEPT_NS, 13, 8);
        let sent = |flips: &Flips, now_ns| flips.as_sent(now_ns, 10, Bytes::from_static(&[0, 1, 4, 8])).to_vec();
        assert_eq!(sent(&flips, KEPT_NS), [0, 0, 0, 0]);
        assert_eq!(sent(&flips, KEPT_NS + 5), [0, 1, 0, 0], "what rotted long ago is seen");
        flips.written(13, 5);
        assert_eq!(sent(&flips, KEPT_NS + 5), [0, 1, 0, 8]);
        assert_eq!(flips.as_sent(0, 20, Bytes::from_static(b"elsewhere")), "elsewhere");
    }
}
