//! Uncompressed record batches (magic 2), built for Produce and read back from Fetch. Driven by the durability checks
//! and the load client; compression is the real clients' part.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};

use super::bytes::{Reader, Writer};

/// Bytes of a batch before the field that its length counts from.
const LOG_OVERHEAD: usize = 12;
/// Where the checksummed part of a batch begins.
const CHECKSUMMED_FROM: usize = 21;
/// A batch without records.
const HEADER_LEN: usize = 61;

/// Who an idempotent producer is, and which sequence its next batch begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProducerIdentity {
    /// The producer id the broker gave.
    pub(crate) producer_id: i64,
    /// Its epoch.
    pub(crate) producer_epoch: i16,
    /// The sequence of the first record.
    pub(crate) base_sequence: i32,
}

impl ProducerIdentity {
    /// A producer without idempotence.
    pub(crate) const NONE: ProducerIdentity =
        ProducerIdentity { producer_id: -1, producer_epoch: -1, base_sequence: -1 };
}

/// A batch as a consumer sees it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Batch {
    /// The offset of the first record.
    pub(crate) base_offset: i64,
    /// Who wrote it.
    pub(crate) producer: ProducerIdentity,
    /// Offset and value of each record.
    pub(crate) records: Vec<(i64, Vec<u8>)>,
}

/// Milliseconds since 1970. Records carry the real time: a broker forgets a producer whose last record is old, which
/// after a restart it tells by the records' own timestamps.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970");
    i64::try_from(since.as_millis()).expect("a date of this age")
}

/// Builds a batch of records without keys, all of one timestamp.
pub(crate) fn build(producer: ProducerIdentity, timestamp_ms: i64, values: &[&[u8]]) -> Vec<u8> {
    assert!(!values.is_empty(), "a batch holds at least one record");
    let mut records = Writer::default();
    for (delta, value) in values.iter().enumerate() {
        write_record(&mut records, delta, value);
    }
    let records = records.finish();
    let last_offset_delta = i32::try_from(values.len() - 1).expect("the checks build short batches");
    let mut checked = Writer::default();
    checked
        .i16(0)
        .i32(last_offset_delta)
        .i64(timestamp_ms)
        .i64(timestamp_ms)
        .i64(producer.producer_id)
        .i16(producer.producer_epoch)
        .i32(producer.base_sequence)
        .count(values.len())
        .raw(&records);
    let checked = checked.finish();
    let mut batch = Writer::default();
    batch
        .i64(0)
        .count(CHECKSUMMED_FROM - LOG_OVERHEAD + checked.len())
        .i32(-1)
        .u8(2)
        .raw(&crc32c::crc32c(&checked).to_be_bytes())
        .raw(&checked);
    batch.finish()
}

fn write_record(records: &mut Writer, delta: usize, value: &[u8]) {
    let mut body = Writer::default();
    body.u8(0)
        .varint(0)
        .varint(i64::try_from(delta).expect("a short batch"))
        .varint(-1)
        .varint(i64::try_from(value.len()).expect("a short record"))
        .raw(value)
        .varint(0);
    records.varint(i64::try_from(body.len()).expect("a short record")).raw(&body.finish());
}

/// Reads the whole batches of a Fetch answer; a partial batch at the end is left out, as the protocol allows it.
pub(crate) fn parse_all(bytes: &[u8]) -> Result<Vec<Batch>> {
    let mut batches = Vec::new();
    let mut reader = Reader::new(bytes);
    while reader.left() >= HEADER_LEN {
        let base_offset = reader.i64()?;
        let len = usize::try_from(reader.i32()?)?;
        if reader.left() < len {
            break;
        }
        batches.push(parse(base_offset, reader.take(len)?)?);
    }
    Ok(batches)
}

fn parse(base_offset: i64, bytes: &[u8]) -> Result<Batch> {
    let mut reader = Reader::new(bytes);
    let _leader_epoch = reader.i32()?;
    let magic = reader.u8()?;
    ensure!(magic == 2, "magic {magic} at offset {base_offset}");
    let crc = reader.i32()?.cast_unsigned();
    let checked = &bytes[CHECKSUMMED_FROM - LOG_OVERHEAD..];
    ensure!(crc32c::crc32c(checked) == crc, "the checksum of the batch at {base_offset} does not match");
    let attributes = reader.i16()?;
    ensure!(attributes & 0x7 == 0, "the checks write no compressed batches");
    let _last_offset_delta = reader.i32()?;
    let _timestamps_ms = (reader.i64()?, reader.i64()?);
    let producer =
        ProducerIdentity { producer_id: reader.i64()?, producer_epoch: reader.i16()?, base_sequence: reader.i32()? };
    let count = reader.i32()?;
    let mut records = Vec::new();
    for _ in 0..count {
        records.push(parse_record(base_offset, &mut reader)?);
    }
    ensure!(reader.is_empty(), "bytes after the last record of the batch at {base_offset}");
    Ok(Batch { base_offset, producer, records })
}

fn parse_record(base_offset: i64, reader: &mut Reader<'_>) -> Result<(i64, Vec<u8>)> {
    let len = usize::try_from(reader.varint()?)?;
    let mut record = Reader::new(reader.take(len)?);
    let _attributes = record.u8()?;
    let _timestamp_delta_ms = record.varint()?;
    let offset = base_offset + record.varint()?;
    let key_len = record.varint()?;
    record.take(usize::try_from(key_len.max(0))?)?;
    let value_len = usize::try_from(record.varint()?.max(0))?;
    let value = record.take(value_len)?.to_vec();
    Ok((offset, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_built_batch_reads_back() {
        let producer = ProducerIdentity { producer_id: 7, producer_epoch: 1, base_sequence: 40 };
        let bytes = build(producer, 1_000, &[b"one", b"", b"three"]);
        let batches = parse_all(&bytes).expect("it was built whole");
        let records = vec![(0, b"one".to_vec()), (1, Vec::new()), (2, b"three".to_vec())];
        assert_eq!(batches, [Batch { base_offset: 0, producer, records }]);
    }

    #[test]
    fn a_flipped_bit_and_a_cut_tail_are_seen() {
        let mut bytes = build(ProducerIdentity::NONE, 0, &[b"value"]);
        let whole = bytes.clone();
        assert_eq!(parse_all(&bytes[..bytes.len() - 1]).expect("a partial batch is legal"), []);
        let last = bytes.len() - 2;
        bytes[last] ^= 1;
        assert!(parse_all(&bytes).is_err());
        assert_eq!(parse_all(&whole).expect("the untouched one").len(), 1);
    }
}
