//! Tombstones as batches of bounded size. Plain data: whoever deletes fills it, the coordinator emits it.

use crate::config::RECORDS_PER_APPEND_MAX;
use crate::record::Record;

/// Batches of tombstones in the order in which they are to be emitted.
#[derive(Debug)]
pub(crate) struct Tombstones {
    batches: Vec<Vec<Record>>,
    /// Bytes of the last batch.
    last_bytes: usize,
    batch_bytes_max: usize,
    batches_max: usize,
    has_overflowed: bool,
}

impl Tombstones {
    /// Takes up to `batches_max` batches of `batch_bytes_max` bytes. A record that is larger has a batch for itself.
    pub(crate) const fn new(batch_bytes_max: usize, batches_max: usize) -> Self {
        Self { batches: Vec::new(), last_bytes: 0, batch_bytes_max, batches_max, has_overflowed: false }
    }

    /// Adds a tombstone; says whether there was room for it.
    pub(crate) fn push(&mut self, record: Record) -> bool {
        self.push_together(vec![record])
    }

    /// Adds tombstones that only the same batch may hold; says whether there was room for them.
    pub(crate) fn push_together(&mut self, records: Vec<Record>) -> bool {
        let bytes = bytes_of(&records);
        let fits =
            |len: usize, bytes: usize| len <= RECORDS_PER_APPEND_MAX && (len <= 1 || bytes <= self.batch_bytes_max);
        let fits_last =
            self.batches.last().is_some_and(|last| fits(last.len() + records.len(), self.last_bytes + bytes));
        if !fits_last {
            if self.batches.len() >= self.batches_max || !fits(records.len(), bytes) {
                self.has_overflowed = true;
                return false;
            }
            self.batches.push(Vec::new());
            self.last_bytes = 0;
        }
        self.last_bytes += bytes;
        self.batches.last_mut().expect("a batch has been put there").extend(records);
        true
    }

    /// Whether there was no room for a tombstone.
    pub(crate) const fn has_overflowed(&self) -> bool {
        self.has_overflowed
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Number of tombstones.
    pub(crate) fn len(&self) -> usize {
        self.batches.iter().map(Vec::len).sum()
    }

    pub(crate) fn into_batches(self) -> Vec<Vec<Record>> {
        self.batches
    }
}

/// What tombstones take in a batch.
pub(crate) fn bytes_of(records: &[Record]) -> usize {
    records.iter().map(Record::tombstone_bytes).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::GroupId;

    fn tombstone(id_bytes: usize) -> Record {
        Record::Group { group: GroupId::from("g".repeat(id_bytes)), value: None }
    }

    #[test]
    fn batches_are_bounded_by_bytes_and_number() {
        let bytes = tombstone(10).tombstone_bytes();
        let mut tombstones = Tombstones::new(2 * bytes, 2);
        for _ in 0..4 {
            assert!(tombstones.push(tombstone(10)));
        }
        assert!(!tombstones.push(tombstone(10)));
        assert!(tombstones.has_overflowed());
        assert_eq!(tombstones.len(), 4);
        assert!(tombstones.into_batches().iter().all(|batch| batch.len() == 2));
    }

    #[test]
    fn what_belongs_together_is_not_split() {
        let bytes = tombstone(10).tombstone_bytes();
        let mut tombstones = Tombstones::new(3 * bytes, 2);
        assert!(tombstones.push_together(vec![tombstone(10); 2]));
        assert!(tombstones.push_together(vec![tombstone(10); 2]));
        assert!(!tombstones.push_together(vec![tombstone(10); 2]));
        assert!(tombstones.push(tombstone(10)));
        assert_eq!(tombstones.into_batches().iter().map(Vec::len).collect::<Vec<_>>(), [2, 3]);
    }

    #[test]
    fn a_tombstone_larger_than_a_batch_has_one_for_itself() {
        let mut tombstones = Tombstones::new(1, 2);
        assert!(!tombstones.push_together(vec![tombstone(10); 2]));
        assert!(tombstones.push(tombstone(10)));
        assert!(tombstones.push(tombstone(10)));
        assert_eq!(tombstones.into_batches().iter().map(Vec::len).collect::<Vec<_>>(), [1, 1]);
    }
}
