//! The log cleaner at work on one log: a map of the latest offsets over the dirty part, then every sealed segment up to
//! its end written again with what is left. Readers go on; appends go on. The node decides when.

use std::io;
use std::rc::Rc;

use barnabas_base::{Offset, TimestampMs};
use barnabas_runtime::{File, OpenMode};
use barnabas_wire::record::{Batch, BatchHeader};
use bytes::Bytes;

use super::Log;
use super::files::Replacement;
use crate::StorageError;
use crate::clean::{
    AbortedRanges, CleanError, CleanRules, Cleanable, Cleaned, Filter, LogFacts, OffsetMap, SegmentFacts,
    group_segments,
};
use crate::committer::Note;
use crate::limits::{CLEAN_WRITE_BYTES, CLEANER_MAP_BYTES_DEFAULT};
use crate::name::{FileKind, SegmentFile, Suffix};
use crate::scan::Step;
use crate::segment::Segment;

/// What a cleaning did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CleanOutcome {
    /// Bytes of the segments that were read.
    pub bytes_read: u64,
    /// Bytes of the segments that took their place.
    pub bytes_written: u64,
    /// Records read.
    pub records_read: u64,
    /// Records kept.
    pub records_kept: u64,
    /// First offset that is dirty from here on.
    pub first_dirty: Offset,
}

/// A segment in the making.
struct Target {
    segment: Segment,
    file: Rc<dyn File>,
    pending: Vec<Bytes>,
    pending_bytes: usize,
    position: u64,
}

/// What goes to another thread and comes back.
struct Work {
    filter: Filter,
    map: OffsetMap,
    rules: CleanRules,
}

impl Log {
    /// What the cleaner would find now; `None` for a log that is not compacted.
    ///
    /// # Errors
    /// [`StorageError`].
    pub async fn cleanable(self: &Rc<Self>, now: TimestampMs) -> Result<Option<Cleanable>, StorageError> {
        self.directory.check()?;
        if !self.state.borrow().config.cleanup.compact {
            return Ok(None);
        }
        let found = self.facts().await.map(|facts| self.judge(&facts, now));
        found.map(Some).map_err(|error| self.storage_error(&error))
    }

    async fn facts(self: &Rc<Self>) -> io::Result<Vec<SegmentFacts>> {
        let mut facts = Vec::new();
        for base in self.segment_bases() {
            let largest = self.largest_of(base).await?.map_or(TimestampMs::NONE, |largest| largest.timestamp);
            let first_timestamp = self.first_timestamp_of(base).await?;
            let state = self.state.borrow();
            let Some(segment) = state.segment(base) else { continue };
            let sizes = segment
                .indexes
                .as_ref()
                .map_or((0, 0), |indexes| (indexes.offset.size_bytes(), indexes.time.size_bytes()));
            facts.push(SegmentFacts {
                base_offset: base,
                size_bytes: segment.size,
                index_bytes: sizes.0,
                time_index_bytes: sizes.1,
                first_timestamp,
                largest_timestamp: largest,
            });
        }
        Ok(facts)
    }

    async fn first_timestamp_of(self: &Rc<Self>, base: Offset) -> io::Result<TimestampMs> {
        let known = self.state.borrow().segment(base).map(|segment| (segment.first_timestamp, segment.size));
        match known {
            None | Some((None, 0)) => Ok(TimestampMs::NONE),
            Some((Some(timestamp), _)) => Ok(timestamp),
            Some((None, _)) => {
                let header = self.header_at(base, 0).await?;
                let timestamp = header.map_or(TimestampMs::NONE, |header| header.max_timestamp);
                if let Some(segment) = self.state.borrow_mut().segment_mut(base) {
                    segment.first_timestamp = Some(timestamp);
                }
                Ok(timestamp)
            }
        }
    }

    fn judge(&self, facts: &[SegmentFacts], now: TimestampMs) -> Cleanable {
        let state = self.state.borrow();
        // A damaged segment is not read for rewriting, nor is anything behind it.
        let damaged = state.damage.ranges().first().map(|range| range.segment);
        let facts = LogFacts {
            segments: facts,
            log_start: state.log_start,
            last_stable: damaged.map_or(state.last_stable, |damaged| damaged.min(state.last_stable)),
            log_end: state.fold.committed_end(),
            cleaned_to: state.first_dirty,
        };
        Cleanable::of(&facts, &state.config, now)
    }

    /// Cleans the log as far as it may be cleaned, or as far as a map of `map_bytes` reaches
    /// (`log.cleaner.dedupe.buffer.size`).
    ///
    /// # Errors
    /// [`StorageError`]; the log is as it was or partly cleaned, in either case whole.
    pub async fn clean(self: &Rc<Self>, map_bytes: Option<usize>) -> Result<CleanOutcome, StorageError> {
        self.directory.check()?;
        {
            let mut state = self.state.borrow_mut();
            if state.is_exclusive || std::mem::replace(&mut state.is_cleaning, true) {
                return Ok(CleanOutcome::default());
            }
        }
        // To its end, whoever waits: a stop takes the caller away and then waits until no cleaning is under way.
        let log = Rc::clone(self);
        let cleaned = self.env.spawn_detached("clean", async move {
            let outcome = log.clean_now(map_bytes.unwrap_or(CLEANER_MAP_BYTES_DEFAULT)).await;
            log.state.borrow_mut().is_cleaning = false;
            log.changed().notify();
            outcome
        });
        let outcome = cleaned.await.unwrap_or_else(|_| Ok(CleanOutcome::default()));
        outcome.map_err(|error| match error.kind() {
            // Left alone: the log is served as it is, and the cleaner's next round says so again.
            // Deleted under the cleaner's hands, likewise.
            io::ErrorKind::InvalidData | io::ErrorKind::NotFound => StorageError::new(&self.folder_name, &error),
            _ => self.storage_error(&error),
        })
    }

    async fn clean_now(self: &Rc<Self>, map_bytes: usize) -> io::Result<CleanOutcome> {
        let now = self.env.wall();
        let facts = self.facts().await?;
        let found = self.judge(&facts, now);
        if found.end <= found.first_dirty {
            return Ok(CleanOutcome { first_dirty: found.first_dirty, ..CleanOutcome::default() });
        }
        let keys = [self.env.entropy.next_u64(), self.env.entropy.next_u64()];
        let work = Work {
            filter: Filter::default(),
            map: OffsetMap::new(keys, map_bytes, found.first_dirty),
            rules: self.rules(now, found.end),
        };
        let mut work = self.build_map(&found, work).await?;
        self.check_sources(&self.dirty_bases(&found)).await?;
        let end = work.map.end();
        let dirty_segments: Vec<SegmentFacts> =
            facts.into_iter().filter(|facts| facts.base_offset < end && facts.base_offset < found.end).collect();
        let config = self.config();
        let mut outcome = CleanOutcome::default();
        for group in group_segments(&dirty_segments, &config, found.end) {
            let group: Vec<Offset> = dirty_segments[group].iter().map(|facts| facts.base_offset).collect();
            work = self.clean_group(&group, work, &mut outcome).await?;
        }
        barnabas_base::reachable!(self.env, LOG_CLEANED);
        barnabas_base::sometimes!(self.env, TOMBSTONE_DATED, work.filter.tombstones_dated > 0);
        barnabas_base::sometimes!(self.env, TOMBSTONE_DROPPED, work.filter.tombstones_dropped > 0);
        barnabas_base::sometimes!(self.env, EMPTY_BATCH_KEPT, work.filter.headers_kept > 0);
        outcome.records_read = work.filter.records_read;
        outcome.records_kept = work.filter.records_kept;
        outcome.first_dirty = end;
        self.state.borrow_mut().first_dirty = Some(end);
        Ok(outcome)
    }

    fn rules(&self, now: TimestampMs, end: Offset) -> CleanRules {
        let aborted = AbortedRanges::new(self.aborted_entries(self.log_start_offset(), end));
        let state = self.state.borrow();
        CleanRules {
            now,
            delete_retention_ms: state.config.delete_retention_ms,
            end,
            producers: CleanRules::last_records(state.fold.producers()),
            aborted,
            plain_bytes_max: state.rules.decompressed_bytes_max,
            compression_level: state.config.compression.zip(state.config.compression_level),
        }
    }

    /// Segments that hold what was not cleaned yet and may be.
    fn dirty_bases(&self, found: &Cleanable) -> Vec<Offset> {
        let bases = self.segment_bases();
        let first = bases.partition_point(|base| *base <= found.first_dirty).saturating_sub(1);
        bases[first..].iter().copied().take_while(|base| *base < found.end).collect()
    }

    /// The latest offset of each key from the first dirty offset on, until the map is full.
    async fn build_map(self: &Rc<Self>, found: &Cleanable, work: Work) -> io::Result<Work> {
        let mut work = work;
        for base in self.dirty_bases(found) {
            let size = self.state.borrow().segment(base).map_or(0, |segment| segment.size);
            let file = self.segment_file(base).await?;
            let mut scanner = self.scanner(file, 0, size).within(base, self.end_of_segment(base));
            loop {
                let batches = match scanner.step().await? {
                    Step::End => break,
                    Step::Bad { position, error } => return Err(self.found_bad(base, position, &error).await?),
                    Step::Batches { batches, .. } => batches,
                };
                self.check_interrupted()?;
                let indexed = self.env.offload(move || index(work, &batches)).await;
                work = indexed.map_err(|error| left_alone(&error.to_string()))?;
                if work.map.is_full() {
                    barnabas_base::reachable!(self.env, CLEANER_MAP_FULL);
                    return Ok(work);
                }
            }
            // Offsets that an earlier cleaning took out are seen as well.
            work.map.advance_to(self.end_of_segment(base).min(found.end));
        }
        Ok(work)
    }

    async fn clean_group(
        self: &Rc<Self>,
        group: &[Offset],
        work: Work,
        outcome: &mut CleanOutcome,
    ) -> io::Result<Work> {
        let base = group[0];
        let path = self.path_of(SegmentFile::new(base, FileKind::Log).with(Suffix::Cleaned));
        let file = self.env.disk.open(&path, OpenMode::CreateTruncated).await?;
        let segment = self.empty_segment(base, 0);
        let mut target = Target { segment, file, pending: Vec::new(), pending_bytes: 0, position: 0 };
        let (work, _replacement) = match self.prepare(group, work, &mut target).await {
            Ok(prepared) => prepared,
            Err(error) => {
                barnabas_base::reachable!(self.env, CLEANED_GIVEN_UP);
                self.remove_cleaned(base).await?;
                return Err(error);
            }
        };
        let sizes = |base: &Offset| self.state.borrow().segment(*base).map_or(0, |segment| segment.size);
        outcome.bytes_read += group.iter().map(sizes).sum::<u64>();
        outcome.bytes_written += target.segment.size;
        self.swap_in(group, target).await?;
        Ok(work)
    }

    /// Writes a cleaned segment and all that belongs to it, up to the point from which there is no way back. Until the swap
    /// has ended nobody else writes caches: they would be those of a segment that had the same name.
    async fn prepare(
        self: &Rc<Self>,
        group: &[Offset],
        work: Work,
        target: &mut Target,
    ) -> io::Result<(Work, Replacement)> {
        let work = self.copy_group(group, work, target).await?;
        target.segment.seal();
        {
            let state = self.state.borrow();
            for segment in group.iter().filter_map(|source| state.segment(*source)) {
                target.segment.modified = segment.modified;
                target.segment.aborted.extend(segment.aborted.iter().copied());
            }
        }
        self.write_cleaned(target).await?;
        barnabas_base::sometimes!(self.env, SEGMENTS_MERGED, group.len() > 1);
        self.wait_until_sealed(Offset(i64::MAX)).await;
        // From here on positions in these segments change: the journal must not be replayed into them.
        let noted = self.directory.committer.note_durably(&self.directory, self, Note::Point).await;
        noted.map_err(|error| io::Error::new(error.kind, error.message.to_string()))?;
        let replacement = self.begin_replacement().await?;
        self.begin_swap(group[0]).await?;
        Ok((work, replacement))
    }

    async fn copy_group(self: &Rc<Self>, group: &[Offset], work: Work, target: &mut Target) -> io::Result<Work> {
        let mut work = work;
        for source in group {
            work = self.clean_segment(*source, work, target).await?;
        }
        self.flush_cleaned(target).await?;
        // After they were read: what is sound then was sound before.
        self.check_sources(group).await?;
        Ok(work)
    }

    async fn clean_segment(self: &Rc<Self>, source: Offset, work: Work, target: &mut Target) -> io::Result<Work> {
        let size = self.state.borrow().segment(source).map_or(0, |segment| segment.size);
        let file = self.segment_file(source).await?;
        let interval = self.state.borrow().config.index_interval_bytes;
        let mut scanner = self.scanner(file, 0, size).within(source, self.end_of_segment(source));
        let mut work = work;
        loop {
            self.check_interrupted()?;
            let batches = match scanner.step().await? {
                Step::End => return Ok(work),
                Step::Bad { position, error } => return Err(self.found_bad(source, position, &error).await?),
                Step::Batches { batches, .. } => batches,
            };
            let filtered = self.env.offload(move || filter(work, batches)).await;
            let (back, kept) = filtered.map_err(|error| left_alone(&error.to_string()))?;
            work = back;
            for (header, bytes) in kept {
                target.segment.push(&header, interval);
                target.segment.checks.push_batch(&header, [&bytes[..]]);
                target.pending_bytes += bytes.len();
                target.pending.push(bytes);
            }
            if target.pending_bytes >= CLEAN_WRITE_BYTES {
                self.flush_cleaned(target).await?;
            }
        }
    }

    /// The cleaner came upon what is no sound batch: it is listed, so that the next cleaning ends before it.
    async fn found_bad(
        self: &Rc<Self>,
        base: Offset,
        position: u64,
        error: &barnabas_wire::record::RecordError,
    ) -> io::Result<io::Error> {
        self.check_sources(&[base]).await?;
        Ok(left_alone(&format!("position {position}: {error}")))
    }

    /// Compares segments with their checksums: a false offset, which the checksum of its batch does not cover, must neither
    /// hide other records nor be sealed anew.
    async fn check_sources(self: &Rc<Self>, bases: &[Offset]) -> io::Result<()> {
        for base in bases {
            self.check_interrupted()?;
            match self.verify_whole(*base).await {
                Ok(true) => {}
                Ok(false) => {
                    barnabas_base::reachable!(self.env, CLEANING_FOUND_DAMAGE);
                    return Err(left_alone(&format!("the segment at {base} is damaged")));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                    return Err(left_alone("the log is being cut or closed"));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Whoever wants the log for himself does not wait for a cleaning to end.
    fn check_interrupted(&self) -> io::Result<()> {
        self.directory.check().map_err(|error| io::Error::new(error.kind, error.message.to_string()))?;
        if !self.state.borrow().is_exclusive {
            return Ok(());
        }
        barnabas_base::reachable!(self.env, CLEANING_INTERRUPTED);
        Err(left_alone("the log is being cut or closed"))
    }

    async fn flush_cleaned(&self, target: &mut Target) -> io::Result<()> {
        let parts = std::mem::take(&mut target.pending);
        if !parts.is_empty() {
            target.file.write_at(target.position, &parts).await?;
        }
        target.position += target.pending_bytes as u64;
        target.pending_bytes = 0;
        Ok(())
    }

    /// Puts a cleaned segment in the place of `group`.
    async fn swap_in(self: &Rc<Self>, group: &[Offset], target: Target) -> io::Result<()> {
        let base = group[0];
        self.persist(async || self.sync_folder().await).await?;
        let Target { mut segment, file, .. } = target;
        segment.file = Some(self.watch(base, file));
        segment.was_used = true;
        segment.is_pinned = true;
        segment.aborted_written = segment.aborted.len();
        let index_bytes = segment.indexes.as_ref().map_or(0, |indexes| indexes.size_bytes());
        let delay_ms = {
            let mut state = self.state.borrow_mut();
            state.segments.retain(|segment| !group.contains(&segment.base));
            let at = state.segments.partition_point(|other| other.base < base);
            state.segments.insert(at, segment);
            state.retain_tail(|batch| !group.contains(&batch.segment));
            state.layout_changed();
            state.config.file_delete_delay_ms
        };
        self.directory.resources.opened(self, base);
        let mut deleted = Vec::new();
        for source in group {
            deleted.extend(self.mark_replaced(*source, *source != base).await?);
        }
        self.persist(async || self.sync_folder().await).await?;
        self.end_swap(base).await?;
        if let Some(segment) = self.state.borrow_mut().segment_mut(base) {
            segment.is_pinned = false;
        }
        self.directory.resources.index_loaded(self, base, index_bytes);
        self.remove_later(deleted, delay_ms);
        Ok(())
    }

    /// Waits until nothing is left to do for the sealed segments that begin before `base`: their bytes are in their files,
    /// and nobody is at work on them.
    pub(crate) async fn wait_until_sealed(&self, base: Offset) {
        loop {
            let seen = self.changed().version();
            let is_sealed = self.state.borrow().sealing.iter().all(|(sealing, _)| *sealing >= base);
            if is_sealed || self.directory.is_offline() {
                return;
            }
            self.changed().changed_since(seen).await;
        }
    }

    async fn write_cleaned(&self, target: &mut Target) -> io::Result<()> {
        let base = target.segment.base;
        let disk = &*self.env.disk;
        let mut files = vec![Rc::clone(&target.file)];
        let checks = target.segment.check_file();
        let indexes = target.segment.indexes.as_mut().expect("a segment that was begun has indexes");
        let aborted: Vec<u8> = target.segment.aborted.iter().flat_map(|entry| entry.to_bytes()).collect();
        let mut contents = vec![
            (FileKind::Index, indexes.offset.unwritten().1),
            (FileKind::TimeIndex, indexes.time.unwritten().1),
            (FileKind::Check, checks),
        ];
        if !aborted.is_empty() {
            contents.push((FileKind::TxnIndex, Bytes::from(aborted)));
        }
        for (kind, content) in contents {
            let path = self.path_of(SegmentFile::new(base, kind).with(Suffix::Cleaned));
            let file = disk.open(&path, OpenMode::CreateTruncated).await?;
            if !content.is_empty() {
                file.write_at(0, &[content]).await?;
            }
            files.push(file);
        }
        let (offsets, times) = (indexes.offset.len(), indexes.time.len());
        indexes.offset.set_written(offsets);
        indexes.time.set_written(times);
        disk.sync_files(&files).await
    }

    /// Renames the files of a replaced segment. Its snapshot stays with a segment that goes on under the same name.
    async fn mark_replaced(&self, base: Offset, with_snapshot: bool) -> io::Result<Vec<SegmentFile>> {
        let mut renamed = Vec::new();
        for kind in FileKind::ALL {
            if kind == FileKind::Snapshot && !with_snapshot {
                continue;
            }
            let file = SegmentFile::new(base, kind);
            renamed.extend(self.persist(async || self.retire(file).await).await?);
        }
        Ok(renamed)
    }
}

fn index(mut work: Work, batches: &[Batch]) -> Result<Work, CleanError> {
    for batch in batches {
        work.filter.index(batch, &mut work.map, &work.rules)?;
        if work.map.is_full() {
            break;
        }
    }
    Ok(work)
}

fn filter(mut work: Work, batches: Vec<Batch>) -> Result<(Work, Vec<(BatchHeader, Bytes)>), CleanError> {
    let mut kept = Vec::with_capacity(batches.len());
    for batch in batches {
        match work.filter.clean(&batch, &work.map, &work.rules)? {
            Cleaned::Dropped => {}
            Cleaned::Kept => kept.push((*batch.header(), batch.into_bytes())),
            Cleaned::Rewritten(bytes) => {
                let header = BatchHeader::parse(&bytes).expect("a batch that was built reads");
                kept.push((header, bytes));
            }
        }
    }
    Ok((work, kept))
}

fn left_alone(error: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("cannot clean: {error}"))
}
