//! What a start makes of the segments it finds. Everything below the settled point is trusted; from there on every batch
//! is checked and folded. The tail that a crash tore is cut. A batch that does not check out *below* the durable point
//! was acknowledged: it is damage, listed and kept.

use std::io;
use std::rc::Rc;

use barnabas_base::{Offset, RestartKind, TimestampMs};
use barnabas_logstate::{AbortedTxn, EpochCache, LogFold, ProducerState};
use barnabas_runtime::File;
use barnabas_wire::record::{Batch, BatchHeader};

use super::open::Listing;
use super::rebuilt::Rebuilt;
use super::{Capture, LoadReport, Log};
use crate::FlushPolicy;
use crate::damage::DamagedRange;
use crate::directory::checkpoint_key;
use crate::index::{OffsetIndex, TimeIndex};
use crate::name::{FileKind, SegmentFile, Suffix};
use crate::scan::{Scanner, Step};
use crate::segment::{Indexes, Segment, is_within_reach};
use crate::small_file;

/// Bytes that are written again at once.
const WRITE_AGAIN_BYTES: usize = 1024 * 1024;

/// Where the walk begins and what is known to have been durable.
#[derive(Clone, Copy, Debug)]
struct Plan {
    kind: RestartKind,
    /// Everything below was acknowledged, or would have been had anybody asked.
    durable: Offset,
    /// Caches are complete up to here.
    settled: Offset,
}

/// What the walk did.
#[derive(Debug, Default)]
struct Walked {
    scanned_bytes: u64,
    cut_bytes: u64,
    /// The offset after the last batch that is there.
    last_end: Offset,
    /// What there is to walk through, as far as is known.
    to_walk_bytes: u64,
    midway: Option<Capture>,
}

impl Walked {
    /// Counts what was walked from `from` on, and after a crash takes a capture once half is done: from there on a later
    /// start may go on, with the batches of the other half to know the last five of each producer by.
    fn pass(&mut self, plan: &Plan, fold: &LogFold, segment: Offset, (from, rebuilt): (u64, &Rebuilt)) {
        self.scanned_bytes += rebuilt.size - from;
        let is_wanted = plan.kind == RestartKind::Unclean && self.midway.is_none();
        let is_due = is_wanted && 2 * self.scanned_bytes >= self.to_walk_bytes;
        if is_due && fold.end_offset() == rebuilt.last_end {
            self.midway = Some(Capture::of(fold, segment, rebuilt.size));
        }
    }
}

/// How the walk through one segment ended.
enum Ended {
    /// All of it is sound, or its damage listed.
    Whole,
    /// The log ends within it.
    Cut,
}

impl Log {
    /// Recovers with the leader epochs of the checkpoint; with none where it cannot be read, and then from the first
    /// segment on: only the batches know them.
    pub(crate) async fn recover(
        self: &Rc<Self>,
        listing: &Listing,
        epochs: Option<EpochCache>,
    ) -> io::Result<LoadReport> {
        let plan = self.plan();
        let range_bytes = self.directory.scan.range_bytes;
        let mut segments: Vec<Segment> = listing
            .files
            .iter()
            .filter(|(file, _)| file.kind == FileKind::Log && file.suffix == Suffix::None)
            .map(|(file, entry)| {
                Segment::found(file.offset, entry.size_bytes, TimestampMs(entry.modified_ms), range_bytes)
            })
            .collect();
        let log_start = self.log_start_found();
        if segments.is_empty() {
            barnabas_base::reachable!(self.env, SEGMENT_MADE_WHERE_NONE);
            let (_, segment) = self.create_segment(log_start).await?;
            segments.push(segment);
        }
        self.state.borrow_mut().segments = segments;
        self.list_missing(listing, (plan.kind, plan.durable)).await?;
        let first = self.state.borrow().segments[0].base;
        self.load_aborted(listing).await?;
        let trusted = if epochs.is_some() { plan.settled } else { first };
        let (from, producers) = self.usable_snapshot(listing, trusted, first).await?;
        barnabas_base::sometimes!(self.env, EPOCHS_FOUND_AGAIN, epochs.is_none() && plan.settled > first);
        let mut fold = LogFold::resume(from, producers, epochs.unwrap_or_default());
        let walked = self.walk_all(&plan, listing, &mut fold, from).await?;
        self.finish(&plan, fold, log_start, walked.last_end).await?;
        if plan.kind == RestartKind::Unclean {
            self.found_unsettled(walked.scanned_bytes, walked.midway);
        }
        // What the walk found may be in memory alone.
        self.state.borrow_mut().epochs_written_to = from;
        self.resume_checks().await?;
        self.remove_strays(listing, plan.settled).await?;
        Ok(self.report_of(plan.kind, walked.scanned_bytes, walked.cut_bytes))
    }

    fn plan(&self) -> Plan {
        let found = &self.directory.found;
        let key = checkpoint_key(&self.topic, self.partition);
        let point = found.points.get(&self.partition).copied();
        // Kafka's checkpoints know a log by its topic's name and may speak of an earlier topic of that name. The journal
        // knows it by the topic's id, from its creation on, and what it says is as late or later.
        let is_credible = |checkpoint: &Offset| point.is_none_or(|point| *checkpoint <= point.durable);
        let named = found.recovery_points.get(&key).copied();
        let checkpoint = named.filter(is_credible);
        barnabas_base::sometimes!(self.env, CHECKPOINT_DISBELIEVED, named.is_some() && checkpoint.is_none());
        let durable = point.map_or(checkpoint.unwrap_or(Offset::ZERO), |point| point.durable);
        // A folder that is new since the clean stop, or that another release forgot, has no checkpoint.
        if self.directory.is_clean
            && let Some(end) = checkpoint
        {
            return Plan { kind: RestartKind::Clean, durable, settled: end };
        }
        let settled = point.map(|point| point.settled).filter(|settled| *settled >= Offset::ZERO);
        Plan {
            kind: RestartKind::Unclean,
            durable,
            settled: settled.unwrap_or(Offset::ZERO).max(checkpoint.unwrap_or(Offset::ZERO)),
        }
    }

    fn log_start_found(&self) -> Offset {
        self.log_start_noted().unwrap_or(Offset::ZERO)
    }

    /// Where the log begins, as the journal or Kafka's checkpoint has it. Kafka's own leaves out logs that begin with their
    /// first segment.
    pub(crate) fn log_start_noted(&self) -> Option<Offset> {
        let found = &self.directory.found;
        let checkpoint = || found.log_starts.get(&checkpoint_key(&self.topic, self.partition)).copied();
        found.points.get(&self.partition).map(|point| point.log_start).or_else(checkpoint)
    }

    /// Producer state to begin with: the newest snapshot at or below `limit`, else nothing from the first segment on.
    async fn usable_snapshot(
        &self,
        listing: &Listing,
        limit: Offset,
        first: Offset,
    ) -> io::Result<(Offset, ProducerState)> {
        let mut offsets: Vec<Offset> =
            listing.snapshots().into_iter().filter(|at| *at <= limit && *at >= first).collect();
        while let Some(at) = offsets.pop() {
            let path = self.path_of(SegmentFile::new(at, FileKind::Snapshot));
            let bytes = small_file::read(&*self.env.disk, &path).await?.unwrap_or_default();
            if let Ok(producers) = ProducerState::from_snapshot(&bytes, at) {
                barnabas_base::reachable!(self.env, PRODUCER_SNAPSHOT_USED);
                return Ok((at, producers));
            }
            barnabas_base::reachable!(self.env, PRODUCER_SNAPSHOT_PASSED_OVER);
        }
        Ok((first, ProducerState::new()))
    }

    /// Transactions are few; their index files are read whole, those that do not read are found again by the walk.
    async fn load_aborted(self: &Rc<Self>, listing: &Listing) -> io::Result<()> {
        for base in self.segment_bases() {
            if listing.size_of(base, FileKind::TxnIndex).unwrap_or(0) == 0 {
                continue;
            }
            let path = self.path_of(SegmentFile::new(base, FileKind::TxnIndex));
            let bytes = small_file::read(&*self.env.disk, &path).await?.unwrap_or_default();
            let (entries, _) = bytes.as_chunks::<{ AbortedTxn::BYTES }>();
            let parsed: Vec<AbortedTxn> = entries.iter().map_while(|entry| AbortedTxn::parse(entry).ok()).collect();
            if let Some(segment) = self.state.borrow_mut().segment_mut(base) {
                segment.aborted_written = parsed.len();
                segment.aborted = parsed;
            }
        }
        Ok(())
    }

    async fn walk_all(
        self: &Rc<Self>,
        plan: &Plan,
        listing: &Listing,
        fold: &mut LogFold,
        from: Offset,
    ) -> io::Result<Walked> {
        let bases = self.segment_bases();
        let first = bases.partition_point(|base| *base <= from.min(plan.settled)).saturating_sub(1);
        let to_walk_bytes = self.state.borrow().segments[first..].iter().map(|segment| segment.size).sum();
        let mut walked = Walked { to_walk_bytes, ..Walked::default() };
        for (index, base) in bases.iter().enumerate().skip(first) {
            let is_last = index + 1 == bases.len();
            let next_base = bases.get(index + 1).copied();
            let cut_before = walked.cut_bytes;
            let ended = self.walk_segment(plan, listing, fold, (*base, next_base), &mut walked).await?;
            self.observe_end(&ended, walked.cut_bytes > cut_before);
            if matches!(ended, Ended::Cut) && !is_last {
                // What lies behind a torn batch was never acknowledged.
                for later in &bases[index + 1..] {
                    barnabas_base::reachable!(self.env, SEGMENTS_BEHIND_CUT_REMOVED);
                    walked.cut_bytes += self.remove_segment(*later).await?;
                }
                break;
            }
        }
        Ok(walked)
    }

    /// Observes what was lost at the end of a segment.
    fn observe_end(&self, ended: &Ended, is_shorter: bool) {
        match (ended, is_shorter) {
            (Ended::Whole, false) => {}
            (Ended::Whole, true) => barnabas_base::reachable!(self.env, SURPLUS_CUT),
            (Ended::Cut, true) => barnabas_base::reachable!(self.env, TORN_TAIL_CUT),
            (Ended::Cut, false) => barnabas_base::reachable!(self.env, SEGMENT_END_LOST),
        }
    }

    /// Walks through a segment from where its index is known to be right, folds what the fold has not seen and completes
    /// the indexes.
    async fn walk_segment(
        self: &Rc<Self>,
        plan: &Plan,
        listing: &Listing,
        fold: &mut LogFold,
        (base, next_base): (Offset, Option<Offset>),
        walked: &mut Walked,
    ) -> io::Result<Ended> {
        let size = self.state.borrow().segment(base).map_or(0, |segment| segment.size);
        let target = fold.end_offset().min(plan.settled).max(base);
        let mut rebuilt = self.partial_indexes(listing, base, size, target, next_base.is_none()).await?;
        walked.to_walk_bytes -= rebuilt.size;
        let file = self.segment_file(base).await?;
        let limit = next_base.unwrap_or(Offset(i64::MAX));
        let mut scanner = self.scanner(Rc::clone(&file), rebuilt.size, size).within(base, limit);
        let bounds = (self.state.borrow().config.index_interval_bytes, plan.durable, next_base.is_none());
        loop {
            let bad = match scanner.step().await? {
                Step::End => break,
                Step::Batches { position, batches } => {
                    let from = rebuilt.size;
                    let contradicted = self.contradicted(fold, (position, size), &batches, next_base).await?;
                    let sound = &batches[..batches.len() - usize::from(contradicted.is_some())];
                    let bad = self.fold_batches(fold, &mut rebuilt, position, sound, bounds);
                    walked.pass(plan, fold, base, (from, &rebuilt));
                    match bad.or(contradicted) {
                        None => continue,
                        Some(bad) => bad,
                    }
                }
                Step::Bad { position, .. } => position,
            };
            let expected = rebuilt.last_end;
            rebuilt.size = bad;
            let known = self.listed_at(base, bad);
            if let Some(range) = known {
                jump(fold, range.to);
                rebuilt.skip(range.to_position, range.to);
                scanner.seek(range.to_position);
                continue;
            }
            let is_surplus = expected >= limit && self.is_surplus(&file, (base, bad), size).await?;
            if is_surplus || expected >= plan.durable {
                walked.cut_bytes += cut(&*file, size, bad).await?;
                if is_surplus {
                    break;
                }
                self.complete(rebuilt, base, true, walked).await?;
                return Ok(Ended::Cut);
            }
            scanner.seek(bad);
            let bound = next_base.unwrap_or(plan.durable);
            let range = self.list_bad(&mut scanner, (base, bad), (expected, bound), size).await?;
            jump(fold, range.to);
            rebuilt.skip(range.to_position, range.to);
            scanner.seek(range.to_position);
        }
        self.end_segment(plan, fold, (rebuilt, size), (base, next_base), walked).await
    }

    /// Ends the walk through a segment of which nothing was cut.
    async fn end_segment(
        self: &Rc<Self>,
        plan: &Plan,
        fold: &mut LogFold,
        (rebuilt, size): (Rebuilt, u64),
        (base, next_base): (Offset, Option<Offset>),
        walked: &mut Walked,
    ) -> io::Result<Ended> {
        let Some(next_base) = next_base else {
            self.complete(rebuilt, base, true, walked).await?;
            return Ok(Ended::Whole);
        };
        if rebuilt.last_end < next_base && rebuilt.last_end >= plan.durable {
            // The end of this segment was lost whole; what the next one holds was not acknowledged either.
            self.complete(rebuilt, base, true, walked).await?;
            return Ok(Ended::Cut);
        }
        if rebuilt.last_end < next_base && !self.may_have_gaps(base, size).await? {
            self.list_damage(missing_end(base, size, rebuilt.last_end, next_base)).await?;
        }
        jump(fold, next_base);
        self.complete(rebuilt, base, false, walked).await?;
        Ok(Ended::Whole)
    }

    /// Whether nothing of a segment that holds all its offsets before `bad` is lost with what stands behind: no batch.
    /// An earlier cut of the file was in the page cache alone, where a flush that failed had left it, when the log went on
    /// in the next segment; the power took the cut back.
    pub(crate) async fn is_surplus(
        &self,
        file: &Rc<dyn File>,
        (base, bad): (Offset, u64),
        size: u64,
    ) -> io::Result<bool> {
        let mut scanner = self.scanner(Rc::clone(file), bad, size);
        Ok(scanner.find_sound(base, |_| true).await?.is_none())
    }

    /// The damage that an earlier life has listed there.
    fn listed_at(&self, base: Offset, position: u64) -> Option<DamagedRange> {
        let listed = self.state.borrow().damage.at_position(base, position).copied();
        barnabas_base::sometimes!(self.env, LISTED_DAMAGE_PASSED, listed.is_some());
        listed
    }

    /// Whether a segment may end before the next one begins: cleaning takes the last batches of a segment too.
    async fn may_have_gaps(&self, base: Offset, size: u64) -> io::Result<bool> {
        if self.state.borrow().config.cleanup.compact {
            return Ok(true);
        }
        let checks = self.kept_checks(base, size).await?;
        let is_known = checks.is_some_and(|checks| checks.covers(size));
        barnabas_base::sometimes!(self.env, MISSING_END_LISTED, !is_known);
        Ok(is_known)
    }

    /// Hands its caches to a segment. Those of a sealed one are written and let go.
    async fn complete(
        self: &Rc<Self>,
        rebuilt: Rebuilt,
        base: Offset,
        is_active: bool,
        walked: &mut Walked,
    ) -> io::Result<()> {
        walked.last_end = rebuilt.last_end;
        let size = rebuilt.size;
        {
            let mut state = self.state.borrow_mut();
            let segment = state.segment_mut(base).expect("a segment under recovery stays");
            rebuilt.install(segment);
            if !is_active {
                segment.seal();
            }
        }
        if is_active {
            return self.forget_lost(base, size).await;
        }
        self.write_caches_if_room(base).await?;
        if let Some(segment) = self.state.borrow_mut().segment_mut(base) {
            segment.indexes = None;
        }
        Ok(())
    }

    /// Takes away the check file of a segment that ends before what it is about: its checksums are those of records that were
    /// lost, and others will stand in their place. Durable before there are any.
    async fn forget_lost(self: &Rc<Self>, base: Offset, size: u64) -> io::Result<()> {
        let path = self.path_of(SegmentFile::new(base, FileKind::Check));
        let Some(bytes) = small_file::read(&*self.env.disk, &path).await? else { return Ok(()) };
        if self.parse_checks(&bytes, base, size).is_some() {
            return Ok(());
        }
        barnabas_base::reachable!(self.env, CHECKS_OF_LOST_REMOVED);
        small_file::remove(&*self.env.disk, &path).await?;
        self.sync_folder().await?;
        // The indexes are confirmed by it as well.
        self.write_caches_if_room(base).await
    }

    /// Folds batches that the fold has not seen; gives the position of the first that breaks the chain.
    fn fold_batches(
        &self,
        fold: &mut LogFold,
        rebuilt: &mut Rebuilt,
        mut position: u64,
        batches: &[Batch],
        (interval, durable, is_active): (u32, Offset, bool),
    ) -> Option<u64> {
        for batch in batches {
            let header = batch.header();
            if is_misplaced(header, rebuilt, durable, is_active) {
                barnabas_base::reachable!(self.env, MISPLACED_BATCH_FOUND);
                return Some(position);
            }
            if header.end_offset() > fold.end_offset() {
                let Ok(folded) = fold.replay(header, batch.body()) else { return Some(position) };
                let aborted = folded.completed.and_then(|completed| completed.aborted());
                rebuilt.aborted.extend(aborted);
            } else if header.base_offset < rebuilt.last_end {
                return Some(position);
            }
            rebuilt.last_end = header.end_offset();
            rebuilt.push(header, interval);
            rebuilt.sum(batch);
            position += u64::from(header.size_bytes);
        }
        None
    }

    /// Lists damage below the durable point, at position `bad` of a segment that should go on with `expected` and ends
    /// at offset `bound`.
    async fn list_bad(
        self: &Rc<Self>,
        scanner: &mut Scanner,
        (base, bad): (Offset, u64),
        (expected, bound): (Offset, Offset),
        size: u64,
    ) -> io::Result<DamagedRange> {
        // What is durable ends where a batch does, and nothing that lies behind a gap beyond that point was acknowledged.
        let is_possible = |header: &BatchHeader| header.end_offset() <= bound || header.base_offset == bound;
        let found = scanner.find_sound(expected, is_possible).await?;
        let (to_position, to) = match found {
            Some((position, header)) => (position, header.base_offset),
            None => (size, bound),
        };
        // Two batches may touch where one of them claims another's offsets; the range still has to name one.
        let to = to.max(expected.plus(1));
        let range = DamagedRange { from: expected, to, segment: base, from_position: bad, to_position };
        barnabas_base::reachable!(self.env, DAMAGE_FOUND_BY_START);
        self.list_damage(range).await?;
        Ok(range)
    }

    /// The indexes of a segment up to a batch boundary at or below `target`, from the files beside it; from its start
    /// when they are no use.
    async fn partial_indexes(
        self: &Rc<Self>,
        listing: &Listing,
        base: Offset,
        size: u64,
        target: Offset,
        is_active: bool,
    ) -> io::Result<Rebuilt> {
        let mut rebuilt = Rebuilt::new(base, self.directory.scan.range_bytes);
        let has_entries = listing.size_of(base, FileKind::Index).unwrap_or(0) > 0;
        if !has_entries || size == 0 {
            return Ok(rebuilt);
        }
        let Some(found) = self.index_files(base, size).await? else { return Ok(rebuilt) };
        let parsed = (OffsetIndex::parse(base, &found.offset, size), TimeIndex::parse(base, &found.time));
        barnabas_base::sometimes!(self.env, INDEXES_REBUILT, parsed.0.is_err() || parsed.1.is_err());
        let (Ok(mut offset), Ok(mut time)) = parsed else { return Ok(rebuilt) };
        let start = offset.lookup(target);
        if !start.from_entry {
            return Ok(rebuilt);
        }
        let Some(header) = self.header_at(base, start.position).await? else { return Ok(rebuilt) };
        if header.last_offset() != start.offset {
            return Ok(rebuilt);
        }
        barnabas_base::reachable!(self.env, INDEXES_KEPT);
        // The entry's own batch is walked again: it is pushed as the last run pushed it.
        offset.truncate(start.offset);
        time.truncate(start.offset);
        let interval = u64::from(self.state.borrow().config.index_interval_bytes);
        rebuilt.segment.largest = Some(time.last());
        rebuilt.segment.indexes = Some(Indexes { offset, time });
        rebuilt.segment.unindexed_bytes = interval + 1;
        rebuilt.segment.size = start.position;
        rebuilt.size = start.position;
        rebuilt.checks = None;
        rebuilt.last_end = header.base_offset;
        if is_active {
            rebuilt.segment.first_timestamp = self.header_at(base, 0).await?.map(|header| header.max_timestamp);
        }
        Ok(rebuilt)
    }

    /// The indexes of the active segment, made from its batches.
    pub(crate) async fn rebuild_unsealed(self: &Rc<Self>, base: Offset, size: u64) -> io::Result<Rebuilt> {
        let mut rebuilt = Rebuilt::new(base, self.directory.scan.range_bytes);
        let interval = self.state.borrow().config.index_interval_bytes;
        let file = self.segment_file(base).await?;
        let mut scanner = self.scanner(file, 0, size).trusting(self.damaged_positions(base));
        loop {
            match scanner.step().await? {
                Step::End => return Ok(rebuilt),
                Step::Batches { batches, .. } => {
                    batches.iter().for_each(|batch| rebuilt.push(batch.header(), interval));
                }
                Step::Bad { position, .. } => {
                    let Some(end) = self.damage_end(base, position) else { return Ok(rebuilt) };
                    rebuilt.size = end;
                    scanner.seek(end);
                }
            }
        }
    }

    /// Folds the batches of `from..to`.
    pub(crate) async fn replay_into(self: &Rc<Self>, fold: &mut LogFold, from: Offset, to: Offset) -> io::Result<()> {
        let bases = self.segment_bases();
        let first = bases.partition_point(|base| *base <= from).saturating_sub(1);
        for base in &bases[first..] {
            let size = self.state.borrow().segment(*base).map_or(0, |segment| segment.size);
            let position = match self.locate(*base, from).await? {
                super::locate::Found::Batch(batch) => batch.position,
                super::locate::Found::None | super::locate::Found::Damaged(_) => continue,
            };
            let file = self.segment_file(*base).await?;
            let mut scanner = self.scanner(file, position, size).trusting(self.damaged_positions(*base));
            loop {
                match scanner.step().await? {
                    Step::End => break,
                    Step::Batches { batches, .. } => {
                        for batch in &batches {
                            let is_new = batch.header().end_offset() > fold.end_offset();
                            if is_new && batch.header().end_offset() <= to {
                                // What does not fold was listed as damage when it was found.
                                let _ = fold.replay(batch.header(), batch.body());
                            }
                        }
                    }
                    Step::Bad { position, .. } => match self.damage_end(*base, position) {
                        Some(end) => scanner.seek(end),
                        None => break,
                    },
                }
            }
        }
        if fold.end_offset() < to {
            jump(fold, to);
        }
        Ok(())
    }

    async fn remove_segment(self: &Rc<Self>, base: Offset) -> io::Result<u64> {
        let size = self.state.borrow().segment(base).map_or(0, |segment| segment.size);
        self.state.borrow_mut().segments.retain(|segment| segment.base != base);
        for kind in FileKind::ALL {
            small_file::remove(&*self.env.disk, &self.path_of(SegmentFile::new(base, kind))).await?;
        }
        Ok(size)
    }

    /// Kafka's rule: a log start past the end means that everything was deleted.
    async fn begin_anew_at(self: &Rc<Self>, log_start: Offset) -> io::Result<()> {
        barnabas_base::reachable!(self.env, LOG_START_BEYOND_END);
        for base in self.segment_bases() {
            self.remove_segment(base).await?;
        }
        let (_, segment) = self.create_segment(log_start).await?;
        self.state.borrow_mut().segments = vec![segment];
        Ok(())
    }

    /// Takes over what the walk found.
    async fn finish(
        self: &Rc<Self>,
        plan: &Plan,
        mut fold: LogFold,
        log_start: Offset,
        present: Offset,
    ) -> io::Result<()> {
        if fold.end_offset() < log_start {
            self.begin_anew_at(log_start).await?;
            jump(&mut fold, log_start);
        }
        // What was acknowledged behind that start is missing all the same.
        let present = present.max(log_start);
        let active = self.state.borrow().active().base;
        let policy = self.state.borrow().config.flush_policy;
        let known = self.state.borrow().damage.at(present).copied();
        let to = plan.durable.max(fold.end_offset()).max(known.map_or(present, |range| range.to));
        if present < to {
            // Shorter than what was acknowledged. The offsets are never given twice.
            if known.is_none_or(|range| range.to < to) {
                barnabas_base::reachable!(self.env, SHORTER_THAN_DURABLE);
                let size = self.state.borrow().active().size;
                let from = known.map_or(present, |range| range.to);
                let range = DamagedRange { from, to, segment: active, from_position: size, to_position: size };
                self.list_damage(range).await?;
            }
            jump(&mut fold, to);
        }
        let end = fold.end_offset();
        let has_garbage = self.ends_in_garbage();
        {
            let mut state = self.state.borrow_mut();
            state.log_start = log_start.max(state.segments[0].base);
            let start = state.log_start;
            state.log_start_due = start;
            fold.on_log_start(start);
            state.fold = fold;
            state.weigh_producers();
            state.synced = if plan.kind == RestartKind::Clean { end } else { plan.durable.min(end) };
            state.damage.clip(start, end);
            let settled = plan.settled.min(end);
            if let Some(segment) = state.segment_index(settled).map(|index| state.segments[index].base)
                && plan.kind == RestartKind::Unclean
            {
                state.settling.settled = Some((settled, segment, 0));
            }
            if state.synced < end && policy == FlushPolicy::Os {
                let synced = state.synced;
                let first = state.segments.partition_point(|segment| segment.base <= synced).saturating_sub(1);
                state.unsure = state.segments[first..].iter().map(|segment| segment.base).collect();
            }
            if state.synced < end && policy == FlushPolicy::Ack {
                // Read from the page cache, maybe never synced: committed before it counts.
                state.uncommitted.size_bytes = 1;
                state.uncommitted.end_offset = end;
                state.uncommitted.has_all_pieces = false;
            }
        }
        if plan.kind == RestartKind::Unclean {
            self.cut_again().await?;
        }
        if has_garbage {
            self.leave_garbage(active).await?;
        }
        self.open_uncommitted().await
    }

    /// Has the log go on in a segment of its own: batches that followed what does not read would not be found by other
    /// programs.
    async fn leave_garbage(self: &Rc<Self>, active: Offset) -> io::Result<()> {
        let capture = {
            let mut state = self.state.borrow_mut();
            state.restage(self.env.wall());
            state.capture()
        };
        if active < capture.offset {
            barnabas_base::reachable!(self.env, WENT_ON_BEHIND_GARBAGE);
            self.begin_segment(capture).await?;
        }
        Ok(())
    }

    /// Whether the active segment ends in bytes that are no batch.
    fn ends_in_garbage(&self) -> bool {
        let state = self.state.borrow();
        let active = state.active();
        let ends_it = |range: &DamagedRange| range.segment == active.base && range.to_position >= active.size;
        state.damage.ranges().iter().any(|range| ends_it(range) && range.from_position < range.to_position)
    }

    /// Has the first commit sync the names and the topic id, which a life that committed nothing here may not have done,
    /// and opens the files that it has to sync.
    async fn open_uncommitted(self: &Rc<Self>) -> io::Result<()> {
        let (is_needed, synced) = {
            let mut state = self.state.borrow_mut();
            state.uncommitted.folders.extend([self.folder.clone(), self.directory.path.clone()]);
            state.uncommitted.is_topic_id_unsure = true;
            (state.uncommitted.size_bytes > 0, state.synced)
        };
        if !is_needed {
            return Ok(());
        }
        let bases = self.segment_bases();
        let first = bases.partition_point(|base| *base <= synced).saturating_sub(1);
        for base in &bases[first..] {
            let file = self.segment_file(*base).await?;
            self.write_again(*base, synced, &*file).await?;
            let mut state = self.state.borrow_mut();
            state.uncommitted.files.push((*base, Rc::clone(&file)));
            state.uncommitted.unchecked.push((*base, file));
            state.written_to(*base, (*base).max(synced));
        }
        Ok(())
    }

    /// Says once more where the active segment ends. An earlier life may have cut it, and the flush of the cut may have
    /// failed: the page cache shows the cut, and only what is done again is flushed with what follows.
    async fn cut_again(self: &Rc<Self>) -> io::Result<()> {
        let (active, size) = {
            let state = self.state.borrow();
            (state.active().base, state.active().size)
        };
        barnabas_base::reachable!(self.env, END_SAID_AGAIN);
        self.segment_file(active).await?.truncate(size).await
    }

    /// Writes what a segment holds from `synced` on over itself. A flush that failed in an earlier life has left it in the
    /// page cache as if it were written, and only what is written again is flushed again.
    pub(crate) async fn write_again(self: &Rc<Self>, base: Offset, synced: Offset, file: &dyn File) -> io::Result<()> {
        let size = self.state.borrow().segment(base).map_or(0, |segment| segment.size);
        let mut position = match synced > base {
            false => 0,
            true => match self.locate(base, synced).await? {
                super::locate::Found::Batch(batch) => batch.position,
                super::locate::Found::Damaged(position) => position,
                super::locate::Found::None => size,
            },
        };
        barnabas_base::sometimes!(self.env, TAIL_WRITTEN_AGAIN, position < size);
        while position < size {
            let len = usize::try_from(size - position).unwrap_or(usize::MAX).min(WRITE_AGAIN_BYTES);
            let bytes = file.read_at(position, len).await?;
            if bytes.is_empty() {
                break;
            }
            file.write_at(position, std::slice::from_ref(&bytes)).await?;
            position += bytes.len() as u64;
        }
        Ok(())
    }

    /// Removes caches that belong to no segment, and snapshots past the end of the log.
    async fn remove_strays(self: &Rc<Self>, listing: &Listing, settled: Offset) -> io::Result<()> {
        let end = self.end_offset();
        let bases = self.segment_bases();
        // Beside those of segments the one that this start could use: each crash may leave others, which no settled point
        // will take away.
        let kept = listing.snapshots().into_iter().filter(|at| *at <= settled.min(end)).max();
        let mut has_lost_snapshot = false;
        for file in listing.files.keys() {
            let is_stray = match file.kind {
                FileKind::Log => false,
                FileKind::Snapshot => file.offset > end || !bases.contains(&file.offset) && kept != Some(file.offset),
                FileKind::Index | FileKind::TimeIndex | FileKind::TxnIndex | FileKind::Check => {
                    !bases.contains(&file.offset)
                }
            };
            if is_stray && file.suffix == Suffix::None {
                small_file::remove(&*self.env.disk, &self.path_of(*file)).await?;
                has_lost_snapshot |= file.kind == FileKind::Snapshot && file.offset > end;
            }
        }
        if has_lost_snapshot {
            barnabas_base::reachable!(self.env, SNAPSHOT_PAST_END_REMOVED);
            // Or its name comes back with the next power loss, when the log has grown past it with other records.
            self.sync_folder().await?;
        }
        Ok(())
    }
}

/// Has the fold go on at `to`, past offsets that cannot be read.
fn jump(fold: &mut LogFold, to: Offset) {
    if fold.end_offset() < to {
        *fold = LogFold::resume(to, fold.producers().clone(), fold.epochs().clone());
    }
}

/// Whether a batch has a false offset, which its checksum does not cover: one that leaves a gap and ends above what is
/// durable, since that ends where a batch does, and nothing that followed without a gap is cleaned while it is in the active
/// segment; or one so far from the base of its segment that it was never put there.
fn is_misplaced(header: &BatchHeader, rebuilt: &Rebuilt, durable: Offset, is_active: bool) -> bool {
    let leaves_gap = header.base_offset > rebuilt.last_end;
    let spans_durable = rebuilt.last_end < durable && header.end_offset() > durable;
    let is_unsure = is_active && rebuilt.last_end >= durable;
    leaves_gap && (spans_durable || is_unsure) || !is_within_reach(rebuilt.segment.base, header)
}

/// Cuts a file of `size` bytes, durably. Gives the bytes that went.
async fn cut(file: &dyn File, size: u64, to: u64) -> io::Result<u64> {
    file.truncate(to).await?;
    file.sync().await?;
    Ok(size - to)
}

/// The range of offsets that should stand at the end of a segment of `size` bytes and do not.
pub(crate) fn missing_end(segment: Offset, size: u64, from: Offset, to: Offset) -> DamagedRange {
    DamagedRange { from, to, segment, from_position: size, to_position: size }
}
