//! Transactions as a partition sees them: the markers that end one, what ended, and the entries of the transaction
//! index. Not the coordinator; the fold and the index file drive it.

use std::fmt;

use barnabas_base::{Offset, ProducerId, TimestampMs};
use barnabas_wire::record::{BatchHeader, Compression, EndTxnMarker, RecordError, Records};

/// A transaction marker as a batch carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marker {
    /// Commit or abort, and by which coordinator epoch.
    pub end: EndTxnMarker,
    /// Timestamp of the control record; it refreshes the producer's expiry.
    pub timestamp: TimestampMs,
}

impl Marker {
    /// The marker that the batch of `header` and `body` (all behind the header) is. None for data, for the quorum's
    /// control batches, which have no producer, and for a marker whose record compaction removed.
    ///
    /// # Errors
    /// [`RecordError`] when a control batch of a producer holds no readable control record.
    pub fn of(header: &BatchHeader, body: &[u8]) -> Result<Option<Self>, RecordError> {
        if !header.attributes.is_control() || !header.has_producer() || header.record_count == 0 {
            return Ok(None);
        }
        if header.compression() != Compression::None {
            return Err(RecordError::ControlRecord);
        }
        let record = Records::new(header, body).next().ok_or(RecordError::MissingRecords)??;
        let end = EndTxnMarker::parse(&record)?.ok_or(RecordError::ControlRecord)?;
        Ok(Some(Self { end, timestamp: record.timestamp }))
    }
}

/// A transaction that ended on this partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompletedTxn {
    /// Its producer.
    pub producer_id: ProducerId,
    /// Its first record here.
    pub first_offset: Offset,
    /// Its marker.
    pub last_offset: Offset,
    /// Whether it was aborted.
    pub is_aborted: bool,
    /// First offset of the oldest other open transaction, or the offset after the marker. It lets a search of the
    /// transaction index stop early.
    pub last_stable_offset: Offset,
}

impl CompletedTxn {
    /// The entry for the transaction index; none for a commit, which readers need not know.
    #[must_use]
    pub fn aborted(&self) -> Option<AbortedTxn> {
        self.is_aborted.then_some(AbortedTxn {
            producer_id: self.producer_id,
            first_offset: self.first_offset,
            last_offset: self.last_offset,
            last_stable_offset: self.last_stable_offset,
        })
    }
}

/// One entry of a `.txnindex` file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedTxn {
    /// The producer.
    pub producer_id: ProducerId,
    /// First record of the transaction on this partition.
    pub first_offset: Offset,
    /// Its abort marker.
    pub last_offset: Offset,
    /// See [`CompletedTxn::last_stable_offset`].
    pub last_stable_offset: Offset,
}

impl AbortedTxn {
    /// Bytes of an entry: version i16, producer id, first offset, last offset, last stable offset, i64 each.
    pub const BYTES: usize = 34;
    const VERSION: i16 = 0;

    /// The entry as it stands in the file.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[0..2].copy_from_slice(&Self::VERSION.to_be_bytes());
        bytes[2..10].copy_from_slice(&self.producer_id.0.to_be_bytes());
        bytes[10..18].copy_from_slice(&self.first_offset.0.to_be_bytes());
        bytes[18..26].copy_from_slice(&self.last_offset.0.to_be_bytes());
        bytes[26..34].copy_from_slice(&self.last_stable_offset.0.to_be_bytes());
        bytes
    }

    /// Reads one entry.
    ///
    /// # Errors
    /// [`AbortedTxnError`] for another version or offsets out of order.
    pub fn parse(bytes: &[u8; Self::BYTES]) -> Result<Self, AbortedTxnError> {
        let version = i16::from_be_bytes([bytes[0], bytes[1]]);
        if version != Self::VERSION {
            return Err(AbortedTxnError::Version(version));
        }
        let [producer_id, first_offset, last_offset, last_stable_offset] = [2, 10, 18, 26].map(|at| {
            let field = bytes[at..at + 8].try_into();
            i64::from_be_bytes(field.expect("eight bytes lie behind each of these positions"))
        });
        if first_offset < 0 || last_offset < first_offset {
            return Err(AbortedTxnError::Offsets);
        }
        Ok(Self {
            producer_id: ProducerId(producer_id),
            first_offset: Offset(first_offset),
            last_offset: Offset(last_offset),
            last_stable_offset: Offset(last_stable_offset),
        })
    }
}

/// Why bytes are not an entry of a transaction index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AbortedTxnError {
    /// Another version than 0.
    Version(i16),
    /// The transaction ends before it begins.
    Offsets,
}

impl fmt::Display for AbortedTxnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => write!(f, "transaction index version {version}"),
            Self::Offsets => f.write_str("transaction index entry with offsets out of order"),
        }
    }
}

impl std::error::Error for AbortedTxnError {}

/// The aborted transactions of which records may lie in `[fetch_offset, upper_bound)`, from the entries of one
/// segment in file order, and whether no later segment can hold another. Also those that began before the fetch
/// offset count: their records are in range all the same.
pub fn collect_aborted(
    entries: impl IntoIterator<Item = AbortedTxn>,
    fetch_offset: Offset,
    upper_bound: Offset,
) -> (Vec<AbortedTxn>, bool) {
    let mut found = Vec::new();
    for entry in entries {
        if entry.last_offset >= fetch_offset && entry.first_offset < upper_bound {
            found.push(entry);
        }
        // Every transaction that ends later began at or past this offset.
        if entry.last_stable_offset >= upper_bound {
            return (found, true);
        }
    }
    (found, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn aborted(first: i64, last: i64, stable: i64) -> AbortedTxn {
        AbortedTxn {
            producer_id: ProducerId(7),
            first_offset: Offset(first),
            last_offset: Offset(last),
            last_stable_offset: Offset(stable),
        }
    }

    #[test]
    fn entries_are_kafkas_34_bytes() {
        let entry = aborted(1, 2, 3);
        let bytes = entry.to_bytes();
        let mut expected = vec![0, 0];
        for field in [7_i64, 1, 2, 3] {
            expected.extend_from_slice(&field.to_be_bytes());
        }
        assert_eq!(bytes[..], expected[..]);
        assert_eq!(AbortedTxn::parse(&bytes), Ok(entry));
    }

    #[test]
    fn damaged_entries_are_refused() {
        let mut bytes = aborted(1, 2, 3).to_bytes();
        bytes[1] = 1;
        assert_eq!(AbortedTxn::parse(&bytes), Err(AbortedTxnError::Version(1)));
        let bytes = aborted(5, 4, 6).to_bytes();
        assert_eq!(AbortedTxn::parse(&bytes), Err(AbortedTxnError::Offsets));
        let bytes = aborted(-1, 4, 6).to_bytes();
        assert_eq!(AbortedTxn::parse(&bytes), Err(AbortedTxnError::Offsets));
    }

    #[test]
    fn a_search_takes_what_overlaps_and_stops_early() {
        let entries = [aborted(0, 10, 5), aborted(5, 20, 12), aborted(12, 30, 31)];
        let search = |from, to| collect_aborted(entries, Offset(from), Offset(to));
        assert_eq!(search(11, 12), (entries[1..2].to_vec(), true));
        assert_eq!(search(10, 13), (entries.to_vec(), true));
        assert_eq!(search(21, 40), (entries[2..].to_vec(), false));
        assert_eq!(search(31, 40), (Vec::new(), false));
    }
}
