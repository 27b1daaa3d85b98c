//! The mutable part of a log: plain data and the steps on it that need no disk. The other modules of
//! [`log`](super) borrow it between their awaits.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::rc::Rc;

use barnabas_base::{Charge, Monotonic, Offset, TimestampMs};
use barnabas_logstate::{LogFold, TopicCompression, TopicRules};
use barnabas_runtime::File;
use barnabas_runtime::sync::oneshot;
use bytes::Bytes;

use super::append::Queued;
use super::commit::HighWatermark;
use super::past_ends::PastEnds;
use crate::committer::{Piece, SegmentFiles};
use crate::damage::Damage;
use crate::journal::format::Point;
use crate::limits::{READ_HINTS_MAX, TAIL_BATCHES_MAX};
use crate::segment::{RollTest, Segment};
use crate::{LogConfig, StorageError};

/// Bytes a batch may have once decompressed.
const DECOMPRESSED_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Producer state at an offset between two batches, for a snapshot file.
#[derive(Clone, Debug)]
pub(crate) struct Capture {
    pub(crate) offset: Offset,
    pub(crate) segment: Offset,
    pub(crate) position: u64,
    pub(crate) snapshot: Bytes,
}

impl Capture {
    /// Of what `fold` has seen, which ends at `position` of the segment.
    pub(crate) fn of(fold: &LogFold, segment: Offset, position: u64) -> Self {
        Self { offset: fold.end_offset(), segment, position, snapshot: Bytes::from(fold.producers().to_snapshot()) }
    }
}

/// A batch near the end of the log: where it is, and its bytes while there is room for them.
pub(crate) struct TailBatch {
    pub(crate) base_offset: Offset,
    pub(crate) end_offset: Offset,
    pub(crate) segment: Offset,
    pub(crate) position: u64,
    pub(crate) size: u64,
    pub(crate) bytes: Option<(Vec<Bytes>, Charge)>,
}

/// Where a reader stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hint {
    pub(crate) offset: Offset,
    pub(crate) segment: Offset,
    pub(crate) position: u64,
}

/// What was written since the last commit.
#[derive(Default)]
pub(crate) struct Uncommitted {
    /// Whether the committer knows.
    pub(crate) is_dirty: bool,
    /// End of what was written; what `flush.policy=os` wrote behind it is not for the committer.
    pub(crate) end_offset: Offset,
    pub(crate) size_bytes: u64,
    /// The bytes, while they are few enough for the journal.
    pub(crate) pieces: Vec<Piece>,
    pub(crate) has_all_pieces: bool,
    pub(crate) files: SegmentFiles,
    pub(crate) folders: Vec<PathBuf>,
    /// `partition.metadata` was found, and may be in the page cache alone.
    pub(crate) is_topic_id_unsure: bool,
    /// Files written since the last journal checkpoint and not synced since.
    pub(crate) unchecked: SegmentFiles,
}

impl Uncommitted {
    /// Counts a write of whole batches to `file`.
    pub(crate) fn push(&mut self, file: &Rc<dyn File>, piece: Piece, journal_bytes_max: u64) {
        let size: u64 = piece.bytes.iter().map(|bytes| bytes.len() as u64).sum();
        if self.size_bytes == 0 {
            self.has_all_pieces = true;
        }
        self.size_bytes += size;
        self.end_offset = piece.end_offset;
        note_file(&mut self.files, piece.segment, file);
        note_file(&mut self.unchecked, piece.segment, file);
        if self.size_bytes > journal_bytes_max {
            self.has_all_pieces = false;
            self.pieces = Vec::new();
        }
        if !self.has_all_pieces {
            return;
        }
        match self.pieces.last_mut() {
            Some(last) if last.segment == piece.segment => {
                last.end_offset = piece.end_offset;
                last.bytes.extend(piece.bytes);
            }
            Some(_) | None => self.pieces.push(piece),
        }
    }
}

pub(super) fn note_file(files: &mut SegmentFiles, segment: Offset, file: &Rc<dyn File>) {
    match files.last() {
        Some((last, open)) if *last == segment && Rc::ptr_eq(open, file) => {}
        Some(_) | None => files.push((segment, Rc::clone(file))),
    }
}

type Waiter = oneshot::Sender<Result<(), StorageError>>;

/// Futures that wait for an offset to be passed.
#[derive(Default)]
pub(crate) struct Waiters {
    by_offset: BTreeMap<(Offset, u64), Waiter>,
    next: u64,
}

impl Waiters {
    pub(crate) fn wait(&mut self, offset: Offset) -> oneshot::Receiver<Result<(), StorageError>> {
        let (sender, receiver) = oneshot::channel();
        self.by_offset.insert((offset, self.next), sender);
        self.next += 1;
        receiver
    }

    /// Takes out those who waited for `reached` or less.
    pub(crate) fn take_up_to(&mut self, reached: Offset) -> Vec<Waiter> {
        if self.by_offset.first_key_value().is_none_or(|((first, _), _)| *first > reached) {
            return Vec::new();
        }
        let later = self.by_offset.split_off(&(reached, u64::MAX));
        let ready = std::mem::replace(&mut self.by_offset, later);
        ready.into_values().collect()
    }

    pub(crate) fn take_all(&mut self) -> Vec<Waiter> {
        std::mem::take(&mut self.by_offset).into_values().collect()
    }
}

/// How far a start after a crash need not look, and what is being done to move that.
#[derive(Default)]
pub(crate) struct Settling {
    /// The settled point: segment and position, offset apart.
    pub(crate) settled: Option<(Offset, Offset, u64)>,
    /// A capture that is published when the next one is taken: between the two lie the batches by which a producer's
    /// last five are known again, of which a snapshot keeps one.
    pub(crate) armed: Option<Capture>,
    /// A capture is to be taken at the next chance.
    pub(crate) is_wanted: bool,
    pub(crate) is_running: bool,
    /// Bytes written since the last capture.
    pub(crate) unsettled_bytes: u64,
}

/// The mutable part of a log.
pub(crate) struct State {
    pub(crate) config: LogConfig,
    pub(crate) rules: TopicRules,
    pub(crate) is_closed: bool,
    pub(crate) segments: Vec<Segment>,
    pub(crate) fold: LogFold,
    /// For the producers that the fold remembers.
    pub(crate) producers_charge: Charge,
    /// When room was last made among them.
    pub(crate) producers_swept: Option<Monotonic>,
    /// By which producers are judged that have to make room.
    pub(crate) past_ends: PastEnds,
    /// When the log was opened, by both clocks.
    pub(crate) opened: (TimestampMs, Monotonic),
    /// The active segment as it will be when all staged batches are written.
    pub(crate) staged: RollTest,
    pub(crate) queue: VecDeque<Queued>,
    pub(crate) is_writing: bool,
    /// Somebody needs the files for himself: appends wait in the queue.
    pub(crate) is_paused: bool,
    /// The log is being cut or closed: appends are refused.
    pub(crate) is_exclusive: bool,
    pub(crate) log_start: Offset,
    /// The log start that the journal is given: never below `log_start`, which follows once it is durable.
    pub(crate) log_start_due: Offset,
    pub(crate) synced: Offset,
    /// From where on a segment's own file may lack what was written to it, by base offset; only such segments.
    pub(crate) not_in_file: BTreeMap<Offset, Offset>,
    pub(crate) high_watermark: Offset,
    pub(crate) last_stable: Offset,
    pub(crate) high_watermark_source: HighWatermark,
    pub(crate) uncommitted: Uncommitted,
    pub(crate) safe_waiters: Waiters,
    pub(crate) high_watermark_waiters: Waiters,
    pub(crate) tail: VecDeque<TailBatch>,
    pub(crate) hints: VecDeque<Hint>,
    pub(crate) damage: Damage,
    pub(crate) settling: Settling,
    /// Segments that wait to be completed, each with the state at its end.
    pub(crate) sealing: VecDeque<(Offset, Capture)>,
    /// Sealed segments whose indexes are not durable: no start may trust them.
    pub(crate) unindexed: BTreeSet<Offset>,
    /// Segments that a start found with bytes that were not known to be durable, under `flush.policy=os`.
    pub(crate) unsure: BTreeSet<Offset>,
    /// First offset that the cleaner has not been through.
    pub(crate) first_dirty: Option<Offset>,
    pub(crate) is_cleaning: bool,
    /// The checkpoint of leader epochs, once this run has made it durable.
    pub(crate) epochs_on_disk: Option<Bytes>,
    /// That checkpoint has every epoch that begins below.
    pub(crate) epochs_written_to: Offset,
    /// Whether a small file is being replaced.
    pub(crate) is_replacing: bool,
    /// Counts when caches began to be written and when that ended: odd while somebody writes them.
    pub(crate) cache_writes: u64,
    /// How many are changing names or caches in the folder.
    pub(crate) changes: usize,
    /// Counts changes that invalidate positions: truncations and swaps.
    pub(crate) layout: u64,
}

impl State {
    pub(crate) fn set_config(&mut self, config: LogConfig) {
        self.rules = rules(&config);
        self.config = config;
    }

    pub(crate) fn active(&self) -> &Segment {
        self.segments.last().expect("a log has an active segment")
    }

    pub(crate) fn active_mut(&mut self) -> &mut Segment {
        self.segments.last_mut().expect("a log has an active segment")
    }

    /// Index of the segment that holds `offset`, were it there.
    pub(crate) fn segment_index(&self, offset: Offset) -> Option<usize> {
        self.segments.partition_point(|segment| segment.base <= offset).checked_sub(1)
    }

    /// The segment that begins at `base`.
    pub(crate) fn segment(&self, base: Offset) -> Option<&Segment> {
        let index = self.segments.binary_search_by_key(&base, |segment| segment.base).ok()?;
        Some(&self.segments[index])
    }

    /// `offset`, when the producer snapshot of that name is neither a segment's nor that of the settled point.
    pub(crate) fn spare_snapshot(&self, offset: Offset) -> Option<Offset> {
        let is_settled = self.settling.settled.is_some_and(|(settled, ..)| settled == offset);
        (!is_settled && self.segment(offset).is_none()).then_some(offset)
    }

    /// The segment that begins at `base`.
    pub(crate) fn segment_mut(&mut self, base: Offset) -> Option<&mut Segment> {
        let index = self.segments.binary_search_by_key(&base, |segment| segment.base).ok()?;
        Some(&mut self.segments[index])
    }

    /// Producer state at the point where the next batch is staged.
    pub(crate) fn capture(&self) -> Capture {
        Capture::of(&self.fold, self.staged.base, self.staged.size)
    }

    /// What the journal is told of this log.
    pub(crate) fn point(&self) -> Point {
        let (settled, settled_segment, settled_position) =
            self.settling.settled.unwrap_or((Offset::UNKNOWN, Offset::UNKNOWN, 0));
        Point {
            durable: self.synced,
            in_file: self.in_file(),
            log_start: self.log_start_due,
            settled,
            settled_segment,
            settled_position,
        }
    }

    /// From where Apache Kafka would have to recover: it knows nothing of the journal, and takes the indexes below for
    /// complete, as we do. A time index that lost its end to a power loss reads like a sound one and hides records; so
    /// does a checkpoint of leader epochs that lacks one of them.
    pub(crate) fn kafka_recovery_point(&self) -> Offset {
        let in_file = self.in_file();
        if self.is_closed {
            return in_file;
        }
        let settled = self.settling.settled.map_or(Offset::ZERO, |(offset, ..)| offset);
        in_file.min(self.indexed_to().max(settled)).min(self.first_unwritten_epoch())
    }

    /// Where the first leader epoch begins that may not be in its checkpoint on disk.
    fn first_unwritten_epoch(&self) -> Offset {
        let entries = self.fold.epochs().entries();
        let written = entries.partition_point(|entry| entry.start_offset < self.epochs_written_to);
        entries.get(written).map_or(Offset(i64::MAX), |entry| entry.start_offset)
    }

    /// The first segment whose indexes are not durable: an unsealed one's never are.
    pub(crate) fn indexed_to(&self) -> Offset {
        let unindexed = self.segments.iter().map(|segment| segment.base).find(|base| self.unindexed.contains(base));
        unindexed.unwrap_or(self.active().base)
    }

    /// Everything below is durable in the segments' own files.
    pub(crate) fn in_file(&self) -> Offset {
        let first = self.not_in_file.values().min().copied().unwrap_or(self.synced);
        first.min(self.synced)
    }

    /// A batch at `offset` went to the segment at `base`.
    pub(crate) fn written_to(&mut self, base: Offset, offset: Offset) {
        self.not_in_file.entry(base).or_insert(offset);
    }

    /// Every segment is in its own file, and synced. Without this a descriptor would be kept for each segment that was
    /// written since the last checkpoint of the journal, also of those that are gone.
    pub(crate) fn all_in_files(&mut self) {
        self.not_in_file.clear();
        self.uncommitted.unchecked.clear();
    }

    /// These segments are gone.
    pub(crate) fn forget_files(&mut self, bases: &[Offset]) {
        self.not_in_file.retain(|base, _| !bases.contains(base));
        self.uncommitted.unchecked.retain(|(base, _)| !bases.contains(base));
    }

    /// A sync of these segments' files has ended that was begun when the log ended at `end_offset`.
    pub(crate) fn files_synced(&mut self, bases: impl Iterator<Item = Offset>, end_offset: Offset) {
        for base in bases {
            let after = self.segments.partition_point(|segment| segment.base <= base);
            let segment_end = self.segments.get(after).map_or(self.fold.committed_end(), |next| next.base);
            if end_offset >= segment_end {
                self.not_in_file.remove(&base);
                self.uncommitted.unchecked.retain(|(unchecked, _)| *unchecked != base);
            } else if let Some(from) = self.not_in_file.get_mut(&base) {
                *from = (*from).max(end_offset);
            }
        }
    }

    pub(crate) fn remember(&mut self, hint: Hint) {
        if self.hints.contains(&hint) {
            return;
        }
        if self.hints.len() >= READ_HINTS_MAX {
            self.hints.pop_front();
        }
        self.hints.push_back(hint);
    }
    /// Gives up the bytes of the batch at `offset`; where it is stays known, as a hint for readers.
    pub(crate) fn evict_tail(&mut self, offset: Offset) {
        if let Some(batch) = self.tail_at(offset).and_then(|at| self.tail.get_mut(at)) {
            batch.bytes = None;
        }
    }

    /// Whether the bytes of the batch at `offset` are in memory.
    pub(crate) fn holds_tail(&self, offset: Offset) -> bool {
        self.tail_at(offset).and_then(|at| self.tail.get(at)).is_some_and(|batch| batch.bytes.is_some())
    }

    fn tail_at(&self, offset: Offset) -> Option<usize> {
        self.tail.binary_search_by_key(&offset, |batch| batch.base_offset).ok()
    }

    /// Keeps the batches that `keeps` names.
    pub(crate) fn retain_tail(&mut self, keeps: impl Fn(&TailBatch) -> bool) {
        self.tail.retain(keeps);
    }

    pub(crate) fn push_tail(&mut self, batch: TailBatch) {
        if self.tail.len() >= TAIL_BATCHES_MAX {
            self.tail.pop_front();
        }
        self.tail.push_back(batch);
    }

    /// Whether positions are as they were when `layout` was noted.
    pub(crate) const fn is_unchanged(&self, layout: u64) -> bool {
        self.layout == layout && !self.is_exclusive
    }

    /// Positions have changed.
    pub(crate) fn layout_changed(&mut self) {
        self.layout += 1;
        self.hints.clear();
    }

    /// Charges what the fold remembers of producers.
    pub(crate) fn weigh_producers(&mut self) {
        let bytes = self.fold.producers().held_bytes();
        if self.producers_charge.bytes() != bytes {
            self.producers_charge.resize(bytes);
        }
    }

    /// The active segment as it will be, from what is written and what is queued. Nothing is being written.
    pub(crate) fn restage(&mut self, now: TimestampMs) {
        self.restage_behind(&[], now);
    }

    /// The same while `group` is on its way into the active segment.
    pub(crate) fn restage_behind(&mut self, group: &[Queued], now: TimestampMs) {
        let mut staged = RollTest::of(self.active());
        let interval = self.config.index_interval_bytes;
        group.iter().chain(&self.queue).for_each(|queued| queued.restage(&mut staged, interval, now));
        self.staged = staged;
    }
}

/// What validation needs of a configuration.
pub(crate) fn rules(config: &LogConfig) -> TopicRules {
    TopicRules {
        batch_bytes_max: config.max_message_bytes,
        segment_bytes_max: config.segment_bytes,
        decompressed_bytes_max: DECOMPRESSED_BYTES_MAX,
        compression: match config.compression {
            None => TopicCompression::Producer,
            Some(codec) => TopicCompression::Codec(codec, config.compression_level),
        },
        timestamp_type: config.timestamp_type,
        timestamp_before_max_ms: config.before_max_ms,
        timestamp_after_max_ms: config.after_max_ms,
        is_compacted: config.cleanup.compact,
    }
}
