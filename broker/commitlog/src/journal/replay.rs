//! What a start does with the journals it finds: puts back into the segments what a crash took from them, and learns
//! how far each log was durable. Runs once per log directory, before any log of it is opened; nothing else reads
//! journals.
//!
//! Replay never overwrites a batch that checks out: after a crash Apache Kafka may have run on the folder and written
//! batches of its own where ours stood.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use barnabas_base::{DirectoryId, Offset, TopicPartition};
use barnabas_runtime::{Env, File, Local, OpenMode, join_all};
use barnabas_wire::record::BatchHeader;
use bytes::Bytes;

use super::format::{FileHeaderError, JournalFile, Part, Point, parse_file};
use crate::checkpoint::{is_topic, parse_partition_metadata};
use crate::name::{FileKind, JOURNAL_PREFIX, PARTITION_METADATA, SegmentFile};
use crate::small_file;

/// Logs that are repaired at the same time.
const REPAIRS_AT_ONCE: usize = 32;

/// What the journals of a directory said and what became of it.
#[derive(Debug, Default)]
pub(crate) struct Replayed {
    /// How far each log was durable. `in_file` equals `durable`: the replay has synced what it put back.
    pub(crate) points: BTreeMap<TopicPartition, (String, Point)>,
    /// A generation above all that were found.
    pub(crate) next_generation: u64,
    /// The journal files, to be removed once the points are safe.
    pub(crate) files: Vec<PathBuf>,
    /// What happened.
    pub(crate) report: ReplayReport,
}

/// Counts of a replay, for the log line and the tests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplayReport {
    /// Entries read.
    pub entries: u64,
    /// Bytes that a segment lacked and got back.
    pub restored_bytes: u64,
    /// Logs whose segments hold batches that another program wrote there since.
    pub foreign_logs: u64,
    /// Pieces that fit no segment any more: the topic or the segment was deleted.
    pub skipped_pieces: u64,
    /// Journal files that could not be read, or that lack an entry in the middle.
    pub damaged_files: Vec<String>,
}

/// Why a directory with this journal must not be started on.
#[derive(Debug)]
pub(crate) enum ReplayError {
    /// A later release wrote the journal.
    Version { file: PathBuf, version: u32 },
    /// The disk failed.
    Io(io::Error),
}

impl From<io::Error> for ReplayError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Batches that the journal has for a segment.
#[derive(Debug)]
struct Piece {
    segment: Offset,
    position: u64,
    end_offset: Offset,
    bytes: Bytes,
}

#[derive(Debug, Default)]
struct LogHistory {
    folder: String,
    point: Option<Point>,
    durable: Offset,
    pieces: Vec<Piece>,
}

/// Replays all journals of `directory`. `names` are the files in it.
pub(crate) async fn replay(
    env: &Env,
    directory: &Path,
    directory_id: DirectoryId,
    names: &[String],
) -> Result<Replayed, ReplayError> {
    let mut replayed = Replayed::default();
    let mut journals: Vec<JournalFile> = Vec::new();
    for name in names.iter().filter(|name| name.starts_with(JOURNAL_PREFIX)) {
        let path = directory.join(name);
        // A points file whose writing a crash interrupted: what it was made of is still there.
        if name.ends_with(".tmp") {
            barnabas_base::reachable!(env, JOURNAL_STAGED_LEFT);
            replayed.files.push(path);
            continue;
        }
        let bytes = small_file::read(&*env.disk, &path).await?.unwrap_or_default();
        match parse_file(&bytes) {
            Ok(journal) if journal.header.directory_id == directory_id => {
                if journal.has_hole {
                    barnabas_base::reachable!(env, JOURNAL_HOLE);
                    replayed.report.damaged_files.push(name.clone());
                }
                replayed.next_generation = replayed.next_generation.max(journal.header.generation + 1);
                journals.push(journal);
            }
            Err(FileHeaderError::Version(version)) => return Err(ReplayError::Version { file: path, version }),
            Err(FileHeaderError::Empty) => barnabas_base::reachable!(env, JOURNAL_EMPTY),
            // A journal of another directory was copied here; it says nothing about these logs.
            Ok(_) | Err(FileHeaderError::Damaged) => {
                barnabas_base::reachable!(env, JOURNAL_UNREADABLE);
                replayed.report.damaged_files.push(name.clone());
            }
        }
        replayed.files.push(path);
    }
    journals.sort_by_key(|journal| journal.header.generation);
    let mut logs = BTreeMap::new();
    for journal in journals {
        replayed.report.entries += journal.entries.len() as u64;
        fold(journal, &mut logs);
    }
    repair_all(env, directory, &logs, &mut replayed.report).await?;
    for (partition, history) in logs {
        let durable = history.durable;
        let point = history.point.unwrap_or(Point {
            durable,
            in_file: durable,
            log_start: Offset::ZERO,
            settled: Offset::UNKNOWN,
            settled_segment: Offset::UNKNOWN,
            settled_position: 0,
        });
        let point = Point { durable, in_file: durable, ..point };
        replayed.points.insert(partition, (history.folder, point));
    }
    Ok(replayed)
}

/// Folds the entries of one file, oldest file first.
fn fold(journal: JournalFile, logs: &mut BTreeMap<TopicPartition, LogHistory>) {
    let mut numbers: BTreeMap<u32, TopicPartition> = BTreeMap::new();
    for part in journal.entries.into_iter().flat_map(|entry| entry.parts) {
        let number = match &part {
            Part::Log { number, .. }
            | Part::Data { number, .. }
            | Part::Point { number, .. }
            | Part::Truncated { number, .. }
            | Part::Removed { number } => *number,
        };
        if let Part::Log { partition, folder, .. } = part {
            numbers.insert(number, partition);
            logs.entry(partition).or_default().folder = folder;
            continue;
        }
        // A number without its `log` part stood behind a hole; the hole has been reported.
        let Some(partition) = numbers.get(&number) else { continue };
        let history = logs.entry(*partition).or_default();
        match part {
            Part::Log { .. } => {}
            Part::Data { segment, position, end_offset, bytes, .. } => {
                history.durable = history.durable.max(end_offset);
                history.pieces.push(Piece { segment, position, end_offset, bytes });
            }
            Part::Point { point, .. } => {
                history.durable = history.durable.max(point.durable);
                history.pieces.retain(|piece| piece.end_offset > point.in_file);
                history.point = Some(point);
            }
            // All below was in the file before this was said, and is cut after it.
            Part::Truncated { end_offset, .. } => {
                history.durable = history.durable.min(end_offset);
                history.pieces.clear();
                if let Some(point) = &mut history.point {
                    point.durable = point.durable.min(end_offset);
                    point.in_file = point.in_file.min(end_offset);
                    if point.settled > end_offset {
                        point.settled = Offset::UNKNOWN;
                    }
                }
            }
            Part::Removed { .. } => {
                logs.remove(partition);
            }
        }
    }
}

async fn repair_all(
    env: &Env,
    directory: &Path,
    logs: &BTreeMap<TopicPartition, LogHistory>,
    report: &mut ReplayReport,
) -> io::Result<()> {
    let work: Vec<_> = logs.iter().filter(|(_, history)| !history.pieces.is_empty()).collect();
    for chunk in work.chunks(REPAIRS_AT_ONCE) {
        let repairs = chunk.iter().map(|(partition, history)| {
            let repair: Local<'_, io::Result<Repair>> = Box::pin(repair(env, directory, **partition, history));
            repair
        });
        let mut files = Vec::new();
        for outcome in join_all(repairs.collect()).await {
            let outcome = outcome?;
            report.restored_bytes += outcome.restored_bytes;
            report.skipped_pieces += outcome.skipped_pieces;
            report.foreign_logs += u64::from(outcome.is_foreign);
            files.extend(outcome.files);
        }
        // Also where nothing was missing: after a crash of the process alone the bytes are in the page cache only.
        if !files.is_empty() {
            env.disk.sync_files(&files).await?;
        }
    }
    Ok(())
}

#[derive(Default)]
struct Repair {
    files: Vec<Rc<dyn File>>,
    restored_bytes: u64,
    skipped_pieces: u64,
    is_foreign: bool,
}

async fn repair(env: &Env, directory: &Path, partition: TopicPartition, history: &LogHistory) -> io::Result<Repair> {
    let mut outcome = Repair::default();
    let folder = directory.join(&history.folder);
    let metadata = small_file::read(&*env.disk, &folder.join(PARTITION_METADATA)).await?;
    let whose = metadata.and_then(|bytes| parse_partition_metadata(&bytes).ok());
    let is_same_topic = whose.is_some_and(|found| is_topic(found, partition.topic_id));
    if !is_same_topic {
        barnabas_base::reachable!(env, JOURNAL_OF_GONE_TOPIC);
        outcome.skipped_pieces = history.pieces.len() as u64;
        return Ok(outcome);
    }
    let mut open: Option<(Offset, Rc<dyn File>)> = None;
    for piece in &history.pieces {
        let file = match &open {
            Some((segment, file)) if *segment == piece.segment => Rc::clone(file),
            _ => {
                let path = folder.join(SegmentFile::new(piece.segment, FileKind::Log).name());
                match env.disk.open(&path, OpenMode::Write).await {
                    Ok(file) => {
                        outcome.files.push(Rc::clone(&file));
                        open = Some((piece.segment, Rc::clone(&file)));
                        file
                    }
                    // Names are durable before anything in them is acknowledged: the segment was deleted.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {
                        barnabas_base::reachable!(env, JOURNAL_OF_GONE_SEGMENT);
                        outcome.skipped_pieces += 1;
                        continue;
                    }
                    Err(error) => return Err(error),
                }
            }
        };
        match restore(&*file, piece).await? {
            Restored::Nothing => barnabas_base::reachable!(env, JOURNAL_PIECE_THERE),
            Restored::Bytes(bytes) => {
                barnabas_base::reachable!(env, JOURNAL_RESTORED);
                outcome.restored_bytes += bytes;
            }
            Restored::Foreign => {
                barnabas_base::reachable!(env, JOURNAL_FOREIGN_BATCH);
                outcome.is_foreign = true;
                return Ok(outcome);
            }
            Restored::Gap => {
                barnabas_base::reachable!(env, JOURNAL_GAP);
                outcome.skipped_pieces += 1;
            }
        }
    }
    Ok(outcome)
}

enum Restored {
    Nothing,
    Bytes(u64),
    Foreign,
    Gap,
}

/// Bytes of a batch that its checksum does not cover: base offset, length, leader epoch, magic, the checksum itself.
const UNPROTECTED_BYTES: usize = 21;

async fn restore(file: &dyn File, piece: &Piece) -> io::Result<Restored> {
    let there = file.read_at(piece.position, piece.bytes.len()).await?;
    if there == piece.bytes {
        // A flush that failed has left it in the page cache alone, as if it were written: only what is written again is
        // flushed again, and this piece leaves the journal on the word of that flush.
        file.write_at(piece.position, std::slice::from_ref(&piece.bytes)).await?;
        return Ok(Restored::Nothing);
    }
    // What lies before was in the file once; zeroes in its place would only hide that it is gone.
    if there.is_empty() && file.size().await? < piece.position {
        return Ok(Restored::Gap);
    }
    // More than the piece: a foreign batch may be longer than ours.
    if let Ok(header) = BatchHeader::parse(&there) {
        let size = usize::try_from(header.size_bytes).expect("a batch fits the address space");
        let batch = file.read_at(piece.position, size).await?;
        // What the checksum covers decides: a sector boundary within the first 21 bytes may have cost our own batch its
        // offset or epoch and nothing else, and such a batch still passes its checksum.
        let is_ours = piece.bytes.get(UNPROTECTED_BYTES..size) == batch.get(UNPROTECTED_BYTES..);
        // A sector that was lost may hold no more of a batch than its base offset, which the checksum does not cover.
        // Another program's batch would go on where ours did.
        let is_next = BatchHeader::parse(&piece.bytes).is_ok_and(|ours| ours.base_offset == header.base_offset);
        if is_next && batch.len() == size && header.check_crc(&batch).is_ok() && !is_ours {
            return Ok(Restored::Foreign);
        }
    }
    file.write_at(piece.position, std::slice::from_ref(&piece.bytes)).await?;
    Ok(Restored::Bytes(piece.bytes.len() as u64))
}
