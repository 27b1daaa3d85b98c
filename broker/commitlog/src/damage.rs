//! Ranges of a log that do not read back as they were written and have no other copy: offsets that answer
//! CORRUPT_MESSAGE while the rest is served. A text file in the partition's folder keeps the list over restarts. Pure;
//! recovery and reads add to it.
//!
//! ```text
//! 0                                    version
//! 1                                    lines that follow
//! 120 130 0 4096 8192                  from offset, to offset, segment, from position, to position
//! ```

use std::fmt::Write as _;

use barnabas_base::Offset;

use crate::checkpoint::{CheckpointError, counted_lines};
use crate::limits::DAMAGED_RANGES_MAX;

/// One damaged range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DamagedRange {
    /// First offset that is not served.
    pub from: Offset,
    /// Exclusive end of what is not served. The same at the end of a log, where the bytes are none of any record.
    pub to: Offset,
    /// Base offset of the segment.
    pub segment: Offset,
    /// Where in the segment the bytes begin that are not a sound batch.
    pub from_position: u64,
    /// Where the next sound batch begins, or the segment ends.
    pub to_position: u64,
}

impl DamagedRange {
    /// Covers what `other`, of the same segment, covers as well.
    fn take_in(&mut self, other: &Self) {
        self.from = self.from.min(other.from);
        self.to = self.to.max(other.to);
        self.from_position = self.from_position.min(other.from_position);
        self.to_position = self.to_position.max(other.to_position);
    }
}

/// Makes one range of the two neighbours with the fewest offsets between them, which are not served from here on. False
/// when no segment has two.
fn fold_nearest(by_segment: &mut Vec<DamagedRange>) -> bool {
    let neighbours = by_segment.windows(2).enumerate().filter(|(_, pair)| pair[0].segment == pair[1].segment);
    let nearest = neighbours.min_by_key(|(_, pair)| pair[1].from.0 - pair[0].to.0);
    let Some(first) = nearest.map(|(index, _)| index) else { return false };
    let second = by_segment.remove(first + 1);
    by_segment[first].take_in(&second);
    true
}

/// The damaged ranges of a log, by segment and offset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Damage {
    ranges: Vec<DamagedRange>,
}

impl Damage {
    pub(crate) fn ranges(&self) -> &[DamagedRange] {
        &self.ranges
    }

    /// Adds a range; one that overlaps or touches another in the same segment is merged with it. Those of two segments stay
    /// apart, whatever offsets they claim: a walk steps over what is listed at the position where it stands.
    pub(crate) fn add(&mut self, range: DamagedRange) {
        assert!(range.from <= range.to, "a damaged range ends before it begins");
        self.ranges.push(range);
        self.ranges.sort_unstable_by_key(|range| (range.segment, *range));
        let mut merged: Vec<DamagedRange> = Vec::with_capacity(self.ranges.len());
        for range in self.ranges.drain(..) {
            match merged.last_mut() {
                Some(last) if last.segment == range.segment && range.from <= last.to => last.take_in(&range),
                Some(_) | None => merged.push(range),
            }
        }
        while merged.len() > DAMAGED_RANGES_MAX && fold_nearest(&mut merged) {}
        self.ranges = merged;
    }

    /// The range that holds `offset`.
    pub(crate) fn at(&self, offset: Offset) -> Option<&DamagedRange> {
        self.ranges.iter().find(|range| range.from <= offset && offset < range.to)
    }

    /// Where the first range above `offset` begins.
    pub(crate) fn next_from(&self, offset: Offset) -> Option<Offset> {
        self.ranges.iter().map(|range| range.from).filter(|from| *from > offset).min()
    }

    /// The range whose bytes hold `position` of a segment.
    pub(crate) fn at_position(&self, segment: Offset, position: u64) -> Option<&DamagedRange> {
        self.ranges
            .iter()
            .find(|range| range.segment == segment && range.from_position <= position && position < range.to_position)
    }

    /// Where the damage of a segment lies, in ascending order.
    pub(crate) fn positions_in(&self, segment: Offset) -> Vec<(u64, u64)> {
        let of_segment = self.ranges.iter().filter(|range| range.segment == segment);
        let mut positions: Vec<_> = of_segment.map(|range| (range.from_position, range.to_position)).collect();
        positions.sort_unstable();
        positions
    }

    /// Drops what lies below the log start or above its end.
    pub(crate) fn clip(&mut self, start: Offset, end: Offset) {
        self.ranges.retain(|range| range.to > start && range.from < end);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The file that keeps the list.
    pub(crate) fn to_text(&self) -> String {
        let mut text = format!("0\n{}\n", self.ranges.len());
        for range in &self.ranges {
            writeln!(
                text,
                "{} {} {} {} {}",
                range.from, range.to, range.segment, range.from_position, range.to_position
            )
            .expect("writing to a string does not fail");
        }
        text
    }

    /// Reads the file.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, CheckpointError> {
        let mut damage = Self::default();
        for line in counted_lines(bytes)? {
            let numbers: Vec<i64> = line
                .split_whitespace()
                .map(str::parse)
                .collect::<Result<_, _>>()
                .map_err(|_| CheckpointError::Malformed)?;
            let [from, to, segment, from_position, to_position] = numbers[..] else {
                return Err(CheckpointError::Malformed);
            };
            if from < 0 || from > to || segment < 0 || from_position < 0 || from_position > to_position {
                return Err(CheckpointError::Malformed);
            }
            damage.add(DamagedRange {
                from: Offset(from),
                to: Offset(to),
                segment: Offset(segment),
                from_position: from_position.unsigned_abs(),
                to_position: to_position.unsigned_abs(),
            });
        }
        Ok(damage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(from: i64, to: i64, position: u64) -> DamagedRange {
        DamagedRange {
            from: Offset(from),
            to: Offset(to),
            segment: Offset(0),
            from_position: position,
            to_position: position + 10,
        }
    }

    #[test]
    fn ranges_merge_and_round_trip() {
        let mut damage = Damage::default();
        damage.add(range(50, 60, 500));
        damage.add(range(10, 20, 100));
        damage.add(range(15, 30, 150));
        assert_eq!(damage.ranges().len(), 2);
        assert_eq!(damage.at(Offset(29)).map(|range| range.to_position), Some(160));
        assert_eq!(damage.at(Offset(30)), None);
        assert_eq!(damage.next_from(Offset(30)), Some(Offset(50)));
        assert_eq!(damage.at_position(Offset(0), 505).map(|range| range.from), Some(Offset(50)));
        assert_eq!(Damage::parse(damage.to_text().as_bytes()), Ok(damage.clone()));
        damage.clip(Offset(30), Offset(100));
        assert_eq!(damage.ranges().len(), 1);
    }

    #[test]
    fn what_is_listed_of_one_segment_is_not_lost_in_that_of_another() {
        let mut damage = Damage::default();
        damage.add(range(0, 9, 0));
        damage.add(DamagedRange { segment: Offset(7), ..range(8, 9, 162) });
        assert_eq!(damage.at_position(Offset(7), 162).map(|range| range.to_position), Some(172));
        assert_eq!(damage.at_position(Offset(0), 5).map(|range| range.to), Some(Offset(9)));
        assert_eq!(Damage::parse(damage.to_text().as_bytes()), Ok(damage));
    }

    #[test]
    fn bytes_of_no_record_take_no_offset() {
        let mut damage = Damage::default();
        damage.add(range(5, 5, 70));
        assert_eq!(damage.at(Offset(5)), None);
        assert_eq!(damage.next_from(Offset(4)), Some(Offset(5)), "what is read at once ends before them");
        assert_eq!(damage.positions_in(Offset(0)), [(70, 80)]);
        assert_eq!(Damage::parse(damage.to_text().as_bytes()), Ok(damage));
    }

    #[test]
    fn too_many_ranges_become_fewer_and_cover_what_they_covered() {
        let count = i64::try_from(DAMAGED_RANGES_MAX).expect("a small bound");
        let mut damage = Damage::default();
        damage.add(DamagedRange { segment: Offset(5), ..range(5, 6, 0) });
        for number in 0..count {
            damage.add(range(number * 10, number * 10 + 1, number.unsigned_abs() * 100));
        }
        assert_eq!(damage.ranges().len(), DAMAGED_RANGES_MAX);
        assert!(damage.at_position(Offset(5), 3).is_some(), "the only one of its segment stays as it was");
        for number in 0..count {
            assert!(damage.at(Offset(number * 10)).is_some());
            assert!(damage.at_position(Offset(0), number.unsigned_abs() * 100 + 9).is_some());
        }
    }

    #[test]
    fn a_list_that_does_not_read_is_refused() {
        for text in ["", "0\n1\n1 2 3\n", "0\n1\n5 4 0 0 0\n", "1\n0\n"] {
            assert!(Damage::parse(text.as_bytes()).is_err(), "{text:?}");
        }
    }
}
