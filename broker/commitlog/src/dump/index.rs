//! Prints offset, time and transaction indexes and compares them with the segment they belong to. Reads them raw: what
//! is printed is what stands there, also where a log would build the index anew. `dump` drives it.

use std::io;
use std::path::Path;
use std::rc::Rc;

use barnabas_base::{Offset, TimestampMs};
use barnabas_logstate::AbortedTxn;
use barnabas_runtime::{Disk, File, OpenMode, file_name};
use barnabas_wire::record::{Batch, Decompressor};

use super::batches::BatchWalk;
use super::{DumpOptions, DumpProblems, IndexMode, offset_of, read_whole};
use crate::index::{OFFSET_ENTRY_BYTES, TIME_ENTRY_BYTES};

/// Bytes that one batch may have once decompressed.
const PLAIN_BYTES_MAX: usize = 1024 * 1024 * 1024;

#[derive(Clone, Copy)]
struct OffsetEntry {
    offset: i64,
    position: u64,
}

/// The entries of an offset index. Zeroes behind the first entry are room that was reserved.
fn offset_entries(bytes: &[u8], base: i64) -> Vec<OffsetEntry> {
    let (entries, _) = bytes.as_chunks::<OFFSET_ENTRY_BYTES>();
    let read = |entry: &[u8; OFFSET_ENTRY_BYTES]| {
        let [a, b, c, d, rest @ ..] = *entry;
        OffsetEntry {
            offset: base.wrapping_add(i64::from(i32::from_be_bytes([a, b, c, d]))),
            position: u64::from(u32::from_be_bytes(rest)),
        }
    };
    let is_reserved = |(index, entry): &(usize, OffsetEntry)| *index > 0 && entry.offset == base;
    let found = entries.iter().map(read).enumerate().take_while(|entry| !is_reserved(entry));
    found.map(|(_, entry)| entry).collect()
}

/// What both indexes need of their surroundings.
struct Indexed {
    base: i64,
    log: Rc<dyn File>,
}

async fn open_log(disk: &dyn Disk, path: &Path) -> io::Result<Indexed> {
    let name = file_name(path).unwrap_or_default();
    let base = offset_of(&name).ok_or(io::ErrorKind::InvalidData)?;
    let log = disk.open(&path.with_extension("log"), OpenMode::Read).await?;
    Ok(Indexed { base, log })
}

/// Prints an offset index.
pub(super) async fn dump_offset_index(
    disk: &dyn Disk,
    path: &Path,
    options: &DumpOptions,
    out: &mut dyn FnMut(&str),
    problems: &mut DumpProblems,
) -> io::Result<()> {
    let bytes = read_whole(disk, path).await?;
    let Indexed { base, log } = open_log(disk, path).await?;
    let entries = offset_entries(&bytes, base);
    if entries.is_empty() {
        out(&format!("{} is empty.", path.display()));
        return Ok(());
    }
    if options.index == IndexMode::SanityOnly {
        let is_whole = bytes.len().is_multiple_of(OFFSET_ENTRY_BYTES);
        let is_sane = is_whole && entries.last().is_some_and(|last| last.offset >= base);
        sanity(path, is_sane, out, problems);
        return Ok(());
    }
    let mut mismatches = Vec::new();
    for entry in entries {
        let found = match BatchWalk::new(&*log, entry.position, None).await?.next().await? {
            Ok(Some(batch)) => batch.header().last_offset().0,
            Ok(None) | Err(_) => -1,
        };
        if found != entry.offset {
            mismatches.push((entry.offset, found));
        }
        if options.index == IndexMode::Print {
            out(&format!("offset: {} position: {}", entry.offset, entry.position));
        }
    }
    let mut section = problems.section(format!("Mismatches in :{}", path.display()));
    for (entry, found) in mismatches.iter().rev() {
        section.push(|| format!("  Index offset: {entry}, log offset: {found}"));
    }
    Ok(())
}

fn sanity(path: &Path, is_sane: bool, out: &mut dyn FnMut(&str), problems: &mut DumpProblems) {
    if is_sane {
        out(&format!("{} passed sanity check.", path.display()));
    } else {
        problems.push(|| format!("{} did not pass the sanity check.", path.display()));
    }
}

#[derive(Clone, Copy)]
struct TimeEntry {
    timestamp: i64,
    offset: i64,
}

fn time_entries(bytes: &[u8], base: i64) -> Vec<TimeEntry> {
    let (entries, _) = bytes.as_chunks::<TIME_ENTRY_BYTES>();
    let read = |entry: &[u8; TIME_ENTRY_BYTES]| {
        let [a, b, c, d, e, f, g, h, rest @ ..] = *entry;
        TimeEntry {
            timestamp: i64::from_be_bytes([a, b, c, d, e, f, g, h]),
            offset: base.wrapping_add(i64::from(i32::from_be_bytes(rest))),
        }
    };
    let is_reserved = |(index, entry): &(usize, TimeEntry)| *index > 0 && entry.offset == base;
    let found = entries.iter().map(read).enumerate().take_while(|entry| !is_reserved(entry));
    found.map(|(_, entry)| entry).collect()
}

/// What a time index says that its segment does not.
#[derive(Default)]
struct TimeProblems {
    mismatches: Vec<(i64, i64)>,
    out_of_order: Vec<(i64, i64)>,
    not_found: Vec<(i64, i64)>,
}

/// Prints a time index.
pub(super) async fn dump_time_index(
    disk: &dyn Disk,
    path: &Path,
    options: &DumpOptions,
    out: &mut dyn FnMut(&str),
    problems: &mut DumpProblems,
) -> io::Result<()> {
    let bytes = read_whole(disk, path).await?;
    let Indexed { base, log } = open_log(disk, path).await?;
    let offsets = offset_entries(&read_whole(disk, &path.with_extension("index")).await?, base);
    let entries = time_entries(&bytes, base);
    if options.index == IndexMode::SanityOnly {
        let is_whole = bytes.len().is_multiple_of(TIME_ENTRY_BYTES);
        let is_sane = is_whole && entries.last().is_none_or(|last| last.offset >= base);
        sanity(path, is_sane, out, problems);
        return Ok(());
    }
    let mut found = TimeProblems::default();
    let mut previous = TimestampMs::NONE.0;
    for entry in entries {
        let after = offsets.partition_point(|indexed| indexed.offset <= entry.offset);
        let position = after.checked_sub(1).map_or(0, |index| offsets[index].position);
        match batch_with(&*log, position, Offset(entry.offset)).await? {
            Some(batch) if batch.header().last_offset().0 == entry.offset => {
                let largest = largest_timestamp(&batch);
                if largest != entry.timestamp {
                    found.mismatches.push((entry.timestamp, largest));
                }
                if previous >= entry.timestamp {
                    found.out_of_order.push((entry.timestamp, previous));
                }
            }
            Some(batch) => found.not_found.push((entry.offset, batch.header().last_offset().0)),
            None => found.not_found.push((entry.offset, -1)),
        }
        if options.index == IndexMode::Print {
            out(&format!("timestamp: {} offset: {}", entry.timestamp, entry.offset));
        }
        previous = entry.timestamp;
    }
    found.report(path, problems);
    Ok(())
}

impl TimeProblems {
    fn report(&self, path: &Path, problems: &mut DumpProblems) {
        let mut section = problems.section(format!("Found timestamp mismatch in :{}", path.display()));
        for (index, log) in &self.mismatches {
            section.push(|| format!("  Index timestamp: {index}, log timestamp: {log}"));
        }
        let mut section = problems.section(format!("Found out of order timestamp in :{}", path.display()));
        for (index, previous) in &self.out_of_order {
            section.push(|| format!("  Index timestamp: {index}, Previously indexed timestamp: {previous}"));
        }
        let mut section =
            problems.section(format!("The following indexed offsets are not found in :{}", path.display()));
        for (index, log) in &self.not_found {
            section.push(|| format!("Indexed offset: {index}, found log offset: {log}"));
        }
    }
}

/// The first batch from `position` on that ends at or past `offset`.
async fn batch_with(log: &dyn File, position: u64, offset: Offset) -> io::Result<Option<Batch>> {
    let mut walk = BatchWalk::new(log, position, None).await?;
    while let Ok(Some(batch)) = walk.next().await? {
        if batch.header().last_offset() >= offset {
            return Ok(Some(batch));
        }
    }
    Ok(None)
}

/// The largest timestamp of the batch's own records; the header may say otherwise.
fn largest_timestamp(batch: &Batch) -> i64 {
    let Ok(payload) = batch.payload(&mut Decompressor::new(), PLAIN_BYTES_MAX) else { return TimestampMs::NONE.0 };
    let timestamps = payload.records().map_while(Result::ok).map(|record| record.timestamp.0);
    timestamps.max().unwrap_or(TimestampMs::NONE.0)
}

/// Prints a transaction index.
pub(super) fn dump_txn_index(bytes: &[u8], out: &mut dyn FnMut(&str), problems: &mut DumpProblems) {
    let (entries, rest) = bytes.as_chunks::<{ AbortedTxn::BYTES }>();
    for entry in entries {
        match AbortedTxn::parse(entry) {
            Ok(txn) => out(&format!(
                "version: 0 producerId: {} firstOffset: {} lastOffset: {} lastStableOffset: {}",
                txn.producer_id, txn.first_offset, txn.last_offset, txn.last_stable_offset
            )),
            Err(error) => problems.push(|| error.to_string()),
        }
    }
    if !rest.is_empty() {
        problems.push(|| format!("{} bytes behind the last entry", rest.len()));
    }
}
