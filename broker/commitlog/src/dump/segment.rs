//! Prints the batches and records of a segment or of a metadata snapshot. Not the meaning of the records, which
//! `decode` has; `dump` drives it.

use std::fmt::Write as _;
use std::io;

use barnabas_runtime::File;
use barnabas_wire::record::{Batch, Decompressor, Record, RecordError, TimestampType};

use super::batches::BatchWalk;
use super::{DumpOptions, DumpProblems, decode, offset_of};

/// Bytes that one batch may have once decompressed.
const PLAIN_BYTES_MAX: usize = 1024 * 1024 * 1024;

/// Prints all batches of `file`.
pub(super) async fn dump_segment(
    file: &dyn File,
    name: &str,
    options: &DumpOptions,
    out: &mut dyn FnMut(&str),
    problems: &mut DumpProblems,
) -> io::Result<()> {
    out(&heading(name));
    let mut printer = Printer { options, decompressor: Decompressor::new(), last_offset: None, gaps: Vec::new() };
    let mut walk = BatchWalk::new(file, 0, options.max_bytes).await?;
    loop {
        let position = walk.position();
        match walk.next().await? {
            Ok(Some(batch)) => printer.print(&batch, position, out, problems),
            Ok(None) => break,
            Err(error) => {
                problems.push(|| format!("Position {position} of {name}: {error}"));
                break;
            }
        }
    }
    let invalid_bytes = file.size().await?.saturating_sub(walk.position());
    if invalid_bytes > 0 && options.max_bytes.is_none() {
        out(&format!("Found {invalid_bytes} invalid bytes at the end of {name}"));
    }
    let mut section = problems.section(format!("Non-consecutive offsets in {}", file.path().display()));
    for (before, after) in printer.gaps.iter().rev() {
        section.push(|| format!("  {before} is followed by {after}"));
    }
    Ok(())
}

fn heading(name: &str) -> String {
    if name == "bootstrap.checkpoint" {
        return "KRaft bootstrap snapshot".to_owned();
    }
    let snapshot = name.strip_suffix(".checkpoint").and_then(|id| id.split_once('-'));
    let snapshot = snapshot.map(|(offset, epoch)| (offset.parse::<i64>(), epoch.parse::<i32>()));
    match snapshot {
        Some((Ok(offset), Ok(epoch))) => format!("Snapshot end offset: {offset}, epoch: {epoch}"),
        _ => match offset_of(name) {
            Some(offset) => format!("Log starting offset: {offset}"),
            None => "Log starting offset: unknown".to_owned(),
        },
    }
}

struct Printer<'a> {
    options: &'a DumpOptions,
    decompressor: Decompressor,
    last_offset: Option<i64>,
    /// Offsets that do not follow one another.
    gaps: Vec<(i64, i64)>,
}

/// Gaps that are remembered; a compacted log is full of them.
const GAPS_MAX: usize = 1000;

impl Printer<'_> {
    fn print(&mut self, batch: &Batch, position: u64, out: &mut dyn FnMut(&str), problems: &mut DumpProblems) {
        out(&batch_line(batch, position));
        if !self.options.prints_records() {
            return;
        }
        let base_offset = batch.header().base_offset;
        if let Err(error) = self.print_records(batch, out) {
            problems.push(|| format!("Batch at offset {base_offset}: {error}"));
        }
    }

    fn print_records(&mut self, batch: &Batch, out: &mut dyn FnMut(&str)) -> Result<(), RecordError> {
        let payload = batch.payload(&mut self.decompressor, PLAIN_BYTES_MAX)?;
        for record in payload.records() {
            let record = record?;
            self.check_gap(record.offset.0);
            out(&self.record_line(batch, &record));
        }
        Ok(())
    }

    fn check_gap(&mut self, offset: i64) {
        if let Some(last) = self.last_offset
            && offset != last.wrapping_add(1)
            && self.gaps.len() < GAPS_MAX
        {
            self.gaps.push((last, offset));
        }
        self.last_offset = Some(offset);
    }

    fn record_line(&self, batch: &Batch, record: &Record<'_>) -> String {
        let mut line = String::from("|");
        if !self.options.skip_record_metadata {
            push_metadata(&mut line, batch, record);
        }
        if self.options.prints_data() && !batch.header().attributes.is_control() {
            let (key, payload) = decode::key_and_payload(self.options.decoder, record);
            if let Some(key) = key {
                push(&mut line, format_args!(" key: {key}"));
            }
            if let Some(payload) = payload {
                push(&mut line, format_args!(" payload: {payload}"));
            }
        }
        line
    }
}

fn push(line: &mut String, text: std::fmt::Arguments<'_>) {
    line.write_fmt(text).expect("a String takes all text");
}

fn batch_line(batch: &Batch, position: u64) -> String {
    let header = batch.header();
    let attributes = header.attributes;
    let horizon = match header.delete_horizon() {
        Some(horizon) => format!("OptionalLong[{horizon}]"),
        None => "OptionalLong.empty".to_owned(),
    };
    let mut line = format!(
        "baseOffset: {} lastOffset: {} count: {} baseSequence: {} lastSequence: {} producerId: {} producerEpoch: {}",
        header.base_offset,
        header.last_offset(),
        header.record_count,
        header.base_sequence,
        header.last_sequence(),
        header.producer_id,
        header.producer_epoch,
    );
    push(
        &mut line,
        format_args!(
            " partitionLeaderEpoch: {} isTransactional: {} isControl: {} deleteHorizonMs: {horizon} position: {position}",
            header.partition_leader_epoch,
            attributes.is_transactional(),
            attributes.is_control(),
        ),
    );
    push(
        &mut line,
        format_args!(
            " {}: {} size: {} magic: 2 compresscodec: {} crc: {} isvalid: {}",
            timestamp_name(attributes.timestamp_type()),
            header.max_timestamp,
            header.size_bytes,
            header.compression(),
            header.crc,
            batch.check_crc().is_ok(),
        ),
    );
    line
}

const fn timestamp_name(timestamp_type: TimestampType) -> &'static str {
    match timestamp_type {
        TimestampType::CreateTime => "CreateTime",
        TimestampType::LogAppendTime => "LogAppendTime",
    }
}

fn push_metadata(line: &mut String, batch: &Batch, record: &Record<'_>) {
    let header = batch.header();
    let size = |field: Option<&[u8]>| field.map_or(-1, |bytes| i64::try_from(bytes.len()).unwrap_or(i64::MAX));
    // Sequences follow the offset, as the last one of a batch does: compaction leaves gaps in both.
    let delta = i32::try_from(record.offset.minus(header.base_offset)).ok().filter(|delta| *delta >= 0);
    let sequence = match delta {
        Some(delta) if header.base_sequence.0 >= 0 => header.base_sequence.plus(delta).0,
        _ => -1,
    };
    push(
        line,
        format_args!(
            " offset: {} {}: {} keySize: {} valueSize: {} sequence: {sequence} headerKeys: [",
            record.offset,
            timestamp_name(header.attributes.timestamp_type()),
            record.timestamp,
            size(record.key),
            size(record.value),
        ),
    );
    for (index, header) in record.headers.iter().enumerate() {
        let comma = if index > 0 { "," } else { "" };
        push(line, format_args!("{comma}{}", String::from_utf8_lossy(header.key)));
    }
    line.push(']');
    if header.attributes.is_control() {
        push(line, format_args!(" {}", decode::control(record)));
    }
}
