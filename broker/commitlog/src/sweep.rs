//! Finds the first sound batch among places that look like the head of one, in one pass over the bytes. Heads are cheap to
//! forge: if each had the bytes that it claims summed, a value full of heads that claim a gigabyte would keep a start
//! busy for days. No head is left out for its size either, as a log may hold batches of another `max.message.bytes`.
//!
//! The pass sums all bytes from its start on. The checksum of a batch, combined with the sum up to where it covers, says
//! what the sum at the batch's end must be:
//!
//! ```text
//! start of the pass ──── sum a ────┬── checksum c of n bytes ──┐
//!                                  covered from                end: sum is combine(a, c, n), or the batch is not sound
//! ```
//!
//! Pure; [`Scanner`](crate::scan::Scanner) reads the bytes and drives it.

use std::collections::{BTreeMap, BTreeSet};

use barnabas_wire::record::{CRC_START, crc32c_append, crc32c_combine};

use crate::limits::SWEEP_HEADS_MAX;

/// What looks like the head of a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    /// Its position.
    pub(crate) start: u64,
    /// Bytes of the batch, by its own word.
    pub(crate) size_bytes: u32,
    /// Its checksum.
    pub(crate) crc: u32,
}

/// A pass over bytes.
#[derive(Debug)]
pub(crate) struct Sweep {
    /// The bytes up to here are summed.
    position: u64,
    sum: u32,
    /// By end and start, the sum at the end that makes the batch a sound one.
    open: BTreeMap<(u64, u64), u32>,
    /// The starts of the same.
    open_starts: BTreeSet<u64>,
    found: Option<u64>,
    left_out: Option<u64>,
}

impl Sweep {
    /// A pass that begins at `position`.
    pub(crate) const fn new(position: u64) -> Self {
        Self { position, sum: 0, open: BTreeMap::new(), open_starts: BTreeSet::new(), found: None, left_out: None }
    }

    /// Goes on to position `to` with `bytes`, which stand at `position`, and the `heads` among them that are whole.
    pub(crate) fn pass(&mut self, position: u64, bytes: &[u8], heads: &[Head], to: u64) {
        for head in heads {
            let covered_from = head.start + CRC_START as u64;
            self.sum_to(covered_from, position, bytes);
            if !self.is_looking() {
                break;
            }
            if self.open.len() >= SWEEP_HEADS_MAX {
                self.left_out = Some(head.start);
                break;
            }
            let end = head.start + u64::from(head.size_bytes);
            let covered = usize::try_from(end - covered_from).expect("a batch fits the address space");
            self.open.insert((end, head.start), crc32c_combine(self.sum, head.crc, covered));
            self.open_starts.insert(head.start);
        }
        self.sum_to(to, position, bytes);
    }

    /// Sums up to `to` and decides on what ends by then.
    fn sum_to(&mut self, to: u64, position: u64, bytes: &[u8]) {
        while let Some((&(end, start), &expected)) = self.open.first_key_value()
            && end <= to
        {
            self.add(end, position, bytes);
            self.open.remove(&(end, start));
            self.open_starts.remove(&start);
            if self.sum == expected && self.found.is_none_or(|found| start < found) {
                self.found = Some(start);
            }
        }
        self.add(to, position, bytes);
    }

    fn add(&mut self, to: u64, position: u64, bytes: &[u8]) {
        if to <= self.position {
            return;
        }
        let within = |at: u64| usize::try_from(at - position).expect("a chunk fits the address space");
        self.sum = crc32c_append(self.sum, &bytes[within(self.position)..within(to)]);
        self.position = to;
    }

    /// Whether heads that come now may still matter: one behind a sound batch does not.
    pub(crate) const fn is_looking(&self) -> bool {
        self.found.is_none() && self.left_out.is_none()
    }

    /// Whether going on changes nothing.
    pub(crate) fn is_decided(&self) -> bool {
        let earliest = self.open_starts.first();
        !self.is_looking() && earliest.is_none_or(|start| self.found.is_some_and(|found| found < *start))
    }

    /// Start of the first sound batch.
    pub(crate) const fn found(&self) -> Option<u64> {
        self.found
    }

    /// Start of the first head for which there was no room.
    pub(crate) const fn left_out(&self) -> Option<u64> {
        self.left_out
    }
}

#[cfg(test)]
mod tests {
    use barnabas_wire::record::{HEADER_BYTES, crc32c};

    use super::*;

    /// A head at `start` of the `size` bytes there, with the right checksum or a wrong one.
    fn head(bytes: &[u8], start: usize, size: usize, is_sound: bool) -> Head {
        let crc = crc32c(&bytes[start + CRC_START..start + size]);
        let size_bytes = u32::try_from(size).expect("small");
        Head { start: start as u64, size_bytes, crc: if is_sound { crc } else { !crc } }
    }

    /// What is found in `bytes` that come in chunks, and how many bytes were read for it.
    fn sweep(bytes: &[u8], heads: &[Head], chunk: usize) -> (Option<u64>, usize) {
        let mut sweep = Sweep::new(0);
        let mut at = 0;
        while at < bytes.len() && !sweep.is_decided() {
            let to = (at + chunk).min(bytes.len());
            let read_to = (to + HEADER_BYTES - 1).min(bytes.len());
            let within: Vec<Head> =
                heads.iter().filter(|head| (at..to).contains(&(head.start as usize))).copied().collect();
            sweep.pass(at as u64, &bytes[at..read_to], &within, to as u64);
            at = to;
        }
        (sweep.found(), at)
    }

    fn noise(len: usize) -> Vec<u8> {
        (0..len as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
    }

    #[test]
    fn the_first_sound_one_is_found_whatever_overlaps_it() {
        let bytes = noise(4_000);
        let wrong = |start, size| head(&bytes, start, size, false);
        let sound = |start, size| head(&bytes, start, size, true);
        for chunk in [1, 7, 60, 61, 500, 4_000] {
            let found = |heads: &[Head]| sweep(&bytes, heads, chunk).0;
            assert_eq!(found(&[]), None);
            assert_eq!(found(&[wrong(0, 4_000), wrong(1, 61)]), None);
            assert_eq!(found(&[wrong(0, 4_000), sound(700, 61), sound(2_000, 61)]), Some(700));
            assert_eq!(found(&[sound(10, 3_900), sound(700, 61)]), Some(10), "a batch within a batch");
            assert_eq!(found(&[wrong(10, 61), wrong(11, 300), sound(12, 61), sound(13, 61)]), Some(12));
            assert_eq!(found(&[sound(3_939, 61)]), Some(3_939), "the last one");
        }
    }

    #[test]
    fn forged_heads_cost_one_pass() {
        let bytes = noise(30_000);
        let mut heads: Vec<Head> = (0..20_000).map(|at| head(&bytes, at, 4_000, false)).collect();
        assert_eq!(sweep(&bytes, &heads, 1_000), (None, 30_000));
        heads.push(head(&bytes, 20_000, 100, true));
        let (found, read) = sweep(&bytes, &heads, 1_000);
        assert_eq!(found, Some(20_000));
        assert!(read <= 24_000, "no further than the forged ones before it claim: {read}");
    }

    #[test]
    fn what_there_is_no_room_for_is_left_for_another_pass() {
        let bytes = noise(SWEEP_HEADS_MAX + 1_000);
        let size = |at: usize| u32::try_from(bytes.len() - at).expect("small");
        let forged = |at: usize| Head { start: at as u64, size_bytes: size(at), crc: 0 };
        let heads: Vec<Head> = (0..SWEEP_HEADS_MAX + 2).map(forged).collect();
        let mut sweep = Sweep::new(0);
        sweep.pass(0, &bytes, &heads, bytes.len() as u64);
        assert_eq!((sweep.found(), sweep.left_out()), (None, Some(SWEEP_HEADS_MAX as u64)));
        assert!(sweep.is_decided() && !sweep.is_looking());
    }
}
