//! Judges what is on the log against what the writers were told: every acknowledged record at its offset, each
//! writer's records in order, none twice, none that nobody sent. Pure; driven by the check that kills.

use anyhow::{Context, Result, ensure};

use super::writer::{Acknowledged, Writer};

/// What one writer promises about its records.
#[derive(Clone, Copy, Debug)]
pub(super) struct Promise<'a> {
    /// Its number.
    pub(super) id: u32,
    /// The partition of all its records.
    pub(super) partition: i32,
    /// Every record it sent has a lower number.
    pub(super) end: u32,
    /// What it was told.
    pub(super) acknowledged: &'a [Acknowledged],
}

impl<'a> From<&'a Writer> for Promise<'a> {
    fn from(writer: &'a Writer) -> Self {
        Promise { id: writer.id, partition: writer.partition, end: writer.end(), acknowledged: writer.acknowledged() }
    }
}

/// One partition's log: the values from offset 0 on, one an offset.
pub(super) struct PartitionLog {
    /// Its number.
    pub(super) partition: i32,
    /// The values.
    pub(super) values: Vec<Vec<u8>>,
}

impl PartitionLog {
    /// Takes records as they were read; a hole between offsets is an error.
    pub(super) fn new(partition: i32, records: impl IntoIterator<Item = (i64, Vec<u8>)>) -> Result<Self> {
        let mut values = Vec::new();
        for (offset, value) in records {
            let next = i64::try_from(values.len())?;
            ensure!(offset == next, "partition {partition}: offset {offset} follows {}", next - 1);
            values.push(value);
        }
        Ok(PartitionLog { partition, values })
    }
}

/// Checks all promises; the number of acknowledged records that were found.
pub(super) fn judge(logs: &[PartitionLog], promises: &[Promise<'_>]) -> Result<u64> {
    for log in logs {
        check_order(log, promises)?;
    }
    let mut found = 0;
    for promise in promises {
        let log = logs.iter().find(|log| log.partition == promise.partition).context("a partition was not read")?;
        for acknowledged in promise.acknowledged {
            check_acknowledged(log, promise.id, acknowledged)?;
            found += u64::from(acknowledged.records);
        }
    }
    Ok(found)
}

/// Each writer's numbers rise along the log: that is their order, and that none is there twice.
fn check_order(log: &PartitionLog, promises: &[Promise<'_>]) -> Result<()> {
    let mut last_numbers = vec![None; promises.len()];
    for (offset, value) in log.values.iter().enumerate() {
        let place = format!("offset {offset} of partition {}", log.partition);
        let (id, number) = parse(value).with_context(|| place.clone())?;
        let position = promises.iter().position(|promise| promise.id == id).with_context(|| place.clone())?;
        let promise = &promises[position];
        ensure!(promise.partition == log.partition, "writer {id} has not written to {place}");
        ensure!(number < promise.end, "writer {id} has not sent record {number}, which is at {place}");
        let last = last_numbers[position].replace(number);
        ensure!(last < Some(number), "writer {id}: record {number} at {place} comes after record {last:?}");
    }
    Ok(())
}

fn check_acknowledged(log: &PartitionLog, id: u32, acknowledged: &Acknowledged) -> Result<()> {
    for delta in 0..acknowledged.records {
        let number = acknowledged.first + delta;
        let offset = acknowledged.base_offset + i64::from(delta);
        let place = format!("offset {offset} of partition {}", log.partition);
        let value = usize::try_from(offset).ok().and_then(|offset| log.values.get(offset));
        let value = value.with_context(|| format!("LOST: record {number} of writer {id}, acknowledged at {place}"))?;
        ensure!(
            parse(value)? == (id, number),
            "record {number} of writer {id} was acknowledged at {place}, where another record is"
        );
    }
    Ok(())
}

/// Writer and number of a value.
fn parse(value: &[u8]) -> Result<(u32, u32)> {
    let text = std::str::from_utf8(value)?;
    let mut fields = text.split(':');
    let mut number = || fields.next().and_then(|field| field.parse().ok());
    number().zip(number()).with_context(|| format!("not a record of the check: {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(values: &[&str]) -> PartitionLog {
        let values = values.iter().map(|value| value.as_bytes().to_vec());
        PartitionLog::new(0, (0..).zip(values)).expect("offsets from 0 on")
    }

    fn promise(acknowledged: &[Acknowledged]) -> [Promise<'_>; 1] {
        [Promise { id: 1, partition: 0, end: 4, acknowledged }]
    }

    const TWO: [Acknowledged; 1] = [Acknowledged { first: 0, records: 2, base_offset: 0 }];

    #[test]
    fn what_was_acknowledged_is_found_and_what_was_not_may_be_there() {
        let logs = [log(&["1:0:x", "1:1:", "1:3:"])];
        assert_eq!(judge(&logs, &promise(&TWO)).expect("all is well"), 2);
    }

    #[test]
    fn a_lost_record_is_seen() {
        assert!(judge(&[log(&["1:0:"])], &promise(&TWO)).is_err());
    }

    #[test]
    fn a_record_at_another_offset_is_seen() {
        assert!(judge(&[log(&["1:1:", "1:2:"])], &promise(&TWO)).is_err());
    }

    #[test]
    fn a_duplicate_and_a_swap_are_seen() {
        assert!(judge(&[log(&["1:0:", "1:1:", "1:1:"])], &promise(&TWO)).is_err());
        assert!(judge(&[log(&["1:0:", "1:1:", "1:3:", "1:2:"])], &promise(&TWO)).is_err());
    }

    #[test]
    fn a_record_nobody_sent_is_seen() {
        assert!(judge(&[log(&["1:0:", "1:1:", "1:4:"])], &promise(&TWO)).is_err());
        assert!(judge(&[log(&["1:0:", "1:1:", "2:0:"])], &promise(&TWO)).is_err());
    }

    #[test]
    fn a_hole_between_offsets_is_seen() {
        assert!(PartitionLog::new(0, [(0, Vec::new()), (2, Vec::new())]).is_err());
    }
}
