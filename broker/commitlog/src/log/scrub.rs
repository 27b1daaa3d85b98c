//! Comparing what a segment's file holds with the checksums of its ranges: before the first read after a start, before
//! the cleaner copies anything, and from time to time in the background. What differs is looked at batch by batch, and
//! what is wrong is listed as damage. Reads, the cleaner and the node drive it.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use barnabas_base::Offset;
use barnabas_runtime::File;
use barnabas_wire::record::{Batch, BatchHeader, HEADER_BYTES, crc32c};

use super::Log;
use crate::StorageError;
use crate::check::{Checksums, Range, Sums};
use crate::confirm::{Content, Piece, Placed, Progress, Wrong, confirmed, wrong};
use crate::damage::DamagedRange;
use crate::name::FileKind;
use crate::scan::{Scanner, Step};

/// Times that a log is gone through again because it was cut, or a segment replaced, in the midst of it.
const SCRUB_ATTEMPTS: u32 = 3;

/// Which ranges are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    /// Those that nobody has compared since they came from the device.
    Unseen,
    /// All of them: rot comes later, too.
    All,
}

/// What a walk through the batches of a range found.
struct Walk {
    pieces: Vec<Piece>,
    /// The offset at which the first of them begins if what stands before it claims the right ones, and the one at which
    /// it begins at the earliest.
    before: Offset,
    begins: Offset,
    /// How far it has come.
    progress: Progress,
    /// The offset at which the last of them must end, where that is known.
    after: Option<Offset>,
    /// With the checksum of the places that they claim.
    sums: Sums,
}

impl Log {
    /// Compares bytes `from..to` of a segment with its checksums, where that was not done since they came from the device
    /// or where they will be brought from it. True when they are what was written; damage is listed otherwise.
    pub(crate) async fn verify(self: &Rc<Self>, base: Offset, from: u64, to: u64) -> io::Result<bool> {
        self.compare(base, (from, to), Which::Unseen, u64::MAX).await
    }

    /// As [`Log::verify`], for bytes that did not turn out to be there, whatever is known of them.
    pub(crate) async fn verify_anew(self: &Rc<Self>, base: Offset, from: u64, to: u64) -> io::Result<bool> {
        self.compare(base, (from, to), Which::All, u64::MAX).await
    }

    /// Compares every byte of a segment that others are about to be made from.
    pub(crate) async fn verify_whole(self: &Rc<Self>, base: Offset) -> io::Result<bool> {
        self.compare(base, (0, u64::MAX), Which::All, u64::MAX).await
    }

    /// Compares the whole log with its checksums, the active segment included, reading `bytes_per_second` at most: what
    /// rots is found before anybody reads it. False when the log was cut or closed meanwhile.
    ///
    /// # Errors
    /// [`StorageError`] when the disk fails.
    pub async fn scrub(self: &Rc<Self>, bytes_per_second: u64) -> Result<bool, StorageError> {
        for _ in 0..SCRUB_ATTEMPTS {
            let mut is_whole = true;
            for base in self.segment_bases() {
                self.directory.check()?;
                match self.compare(base, (0, u64::MAX), Which::All, bytes_per_second).await {
                    Ok(_) => {}
                    // Deleted, cut or replaced meanwhile.
                    Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::Interrupted) => {
                        is_whole = false;
                    }
                    Err(error) => return Err(self.storage_error(&error)),
                }
            }
            if is_whole {
                return Ok(true);
            }
            barnabas_base::reachable!(self.env, LOG_COMPARED_AGAIN);
            if self.state.borrow().is_exclusive {
                break;
            }
        }
        Ok(false)
    }

    async fn compare(
        self: &Rc<Self>,
        base: Offset,
        (from, to): (u64, u64),
        which: Which,
        bytes_per_second: u64,
    ) -> io::Result<bool> {
        self.load_checks(base).await?;
        let (ranges, layout) = {
            // Let go of before the pauses below: a segment that is deleted meanwhile gives its room back.
            let file = self.segment_file(base).await?;
            let state = self.state.borrow();
            let Some(segment) = state.segment(base) else { return Ok(true) };
            let is_cached = |range: &Range| {
                let start = range.start.max(from);
                file.is_cached(start, to.min(range.start + range.len).saturating_sub(start))
            };
            let is_wanted = |range: &Range| which == Which::All || !range.is_known || !is_cached(range);
            let ranges: Vec<Range> = segment.checks.ranges(from, to).filter(is_wanted).collect();
            (ranges, state.layout)
        };
        let mut is_sound = true;
        for range in ranges {
            is_sound &= self.compare_range(base, range, layout).await?;
            let pause = Duration::from_micros(range.len.saturating_mul(1_000_000) / bytes_per_second.max(1));
            if !pause.is_zero() {
                self.env.sleep(pause).await;
            }
        }
        Ok(is_sound)
    }

    async fn compare_range(self: &Rc<Self>, base: Offset, range: Range, layout: u64) -> io::Result<bool> {
        let file = self.segment_file(base).await?;
        let len = usize::try_from(range.len).expect("ranges are small");
        let bytes = file.read_at(range.start, len).await?;
        let crc = self.env.offload(move || crc32c(&bytes)).await;
        if !self.state.borrow().is_unchanged(layout) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        if crc == range.sums.bytes {
            if let Some(segment) = self.state.borrow_mut().segment_mut(base) {
                segment.checks.seen(&range, range.sums);
            }
            return Ok(true);
        }
        let (is_sound, places) = self.inspect(base, &range, layout).await?;
        if let Some(segment) = self.state.borrow_mut().segment_mut(base) {
            // What is wrong is listed; from here on these bytes are what should be there.
            segment.checks.seen(&range, Sums { bytes: crc, places });
        }
        self.write_caches_if_room(base).await?;
        Ok(is_sound)
    }

    /// Finds out what is wrong in a range that differs from its checksum, and lists it; false when that was anything.
    /// Gives the checksum of the places of what is left.
    ///
    /// What does not pass its own checksum is damage. The rest is sound when all of it claims the places it was written
    /// to, in which case another program has rewritten records. When it does not, their checksum names the head in which
    /// one bit has changed; where it was more, neighbours and the leader epochs have to confirm each batch.
    async fn inspect(self: &Rc<Self>, base: Offset, range: &Range, layout: u64) -> io::Result<(bool, u32)> {
        let walk = self.walk_range(base, range).await?;
        if !self.state.borrow().is_unchanged(layout) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let has_gaps = self.state.borrow().config.cleanup.compact;
        let sums = (walk.sums.places, range.sums.places);
        let placed = Placed::of(&walk.pieces, &walk.heads(range.start), sums, has_gaps);
        let confirmed = confirmed(&walk.pieces, (Some(walk.before), walk.after), placed);
        let runs = wrong(&walk.pieces, &confirmed, (walk.begins, self.end_of_segment(base)));
        for run in &runs {
            if run.from >= self.end_of_segment(base) {
                // Behind the last offset of a sealed segment, which may simply end before it.
                self.quarantine((base, run.from_position), run.from, layout).await?;
                continue;
            }
            let Wrong { from, to, from_position, to_position } = *run;
            self.list_damage(DamagedRange { from, to, segment: base, from_position, to_position }).await?;
        }
        barnabas_base::sometimes!(self.env, DAMAGE_FOUND_BY_COMPARING, !runs.is_empty());
        barnabas_base::sometimes!(self.env, REWRITTEN_BYTES_ACCEPTED, runs.is_empty());
        let mut left = Sums::default();
        for (piece, _) in walk.pieces.iter().zip(&confirmed).filter(|(_, is_confirmed)| **is_confirmed) {
            if let Content::Batch { from, epoch, .. } = piece.content
                && piece.from_position >= range.start
            {
                left.place(from, epoch);
            }
        }
        Ok((runs.is_empty(), left.places))
    }

    /// Walks from the start of a segment, where it is sure which offset comes next, through the batches that touch a range.
    async fn walk_range(self: &Rc<Self>, base: Offset, range: &Range) -> io::Result<Walk> {
        let size = self.state.borrow().segment(base).map_or(0, |segment| segment.size);
        let (end, limit) = (range.start + range.len, self.end_of_segment(base));
        let file = self.segment_file(base).await?;
        let mut scanner = self.scanner(Rc::clone(&file), 0, size).within(base, limit).unchained();
        let mut walk = Walk {
            pieces: Vec::new(),
            before: base,
            begins: base,
            progress: Progress::from(base),
            after: Some(limit),
            sums: Sums::default(),
        };
        loop {
            let (position, batches) = match scanner.step().await? {
                Step::End => break,
                Step::Batches { position, batches } => (position, batches),
                Step::Bad { position, .. } if position >= end => {
                    walk.after = None;
                    break;
                }
                Step::Bad { position, .. } => {
                    let piece = self.unsound_piece(&mut scanner, base, (position, size), walk.progress.sure).await?;
                    if piece.content == Content::Unsound && position >= range.start {
                        walk.sums.place_unsound(&file.read_at(position, HEADER_BYTES).await?);
                    }
                    scanner.seek(piece.to_position);
                    walk.push(piece, range.start);
                    continue;
                }
            };
            let mut position = position;
            for header in batches.iter().map(Batch::header) {
                if position >= end {
                    walk.after = Some(header.base_offset);
                    return Ok(walk);
                }
                if position >= range.start {
                    walk.sums.place(header.base_offset, header.partition_leader_epoch);
                }
                let piece = self.batch_piece(position, header, limit);
                position = piece.to_position;
                walk.push(piece, range.start);
            }
        }
        Ok(walk)
    }

    /// A sound batch, unless it claims offsets behind `limit`, where its segment ends.
    fn batch_piece(&self, position: u64, header: &BatchHeader, limit: Offset) -> Piece {
        let (from, to, epoch) = (header.base_offset, header.end_offset(), header.partition_leader_epoch);
        let began = self.state.borrow().fold.epochs().epoch_for_offset(from);
        let has_right_epoch = began.is_none_or(|began| began == epoch);
        let is_within = to <= limit;
        Piece {
            from_position: position,
            to_position: position + u64::from(header.size_bytes),
            content: if is_within { Content::Batch { from, to, epoch, has_right_epoch } } else { Content::Unsound },
        }
    }

    /// The stretch that begins at `position` with what is no sound batch.
    async fn unsound_piece(
        &self,
        scanner: &mut Scanner,
        base: Offset,
        (position, size): (u64, u64),
        expected: Offset,
    ) -> io::Result<Piece> {
        let listed = self.state.borrow().damage.at_position(base, position).copied();
        if let Some(range) = listed {
            let content = Content::Listed { from: range.from, to: range.to };
            return Ok(Piece { from_position: position, to_position: range.to_position, content });
        }
        scanner.seek(position);
        let next = scanner.find_sound(expected, |_| true).await?;
        let to_position = next.map_or(size, |(next, _)| next);
        Ok(Piece { from_position: position, to_position, content: Content::Unsound })
    }

    /// Looks at every batch that touches `from..to` of a segment without checksums, and lists what is damaged.
    async fn check_batches(self: &Rc<Self>, base: Offset, (from, to): (u64, u64), layout: u64) -> io::Result<()> {
        let start = {
            let state = self.state.borrow();
            let Some(segment) = state.segment(base) else { return Ok(()) };
            segment.indexes.as_ref().map_or(0, |indexes| indexes.offset.before_position(from).position)
        };
        let size = self.state.borrow().segment(base).map_or(0, |segment| segment.size);
        let limit = self.end_of_segment(base);
        let file = self.segment_file(base).await?;
        let mut scanner = self.scanner(file, start, size).within(base, limit);
        let mut expected = self.offset_at(base, start).await?;
        loop {
            match scanner.step().await? {
                Step::End => return Ok(()),
                Step::Batches { position, .. } | Step::Bad { position, .. } if position >= to => return Ok(()),
                Step::Batches { batches, .. } => {
                    expected = batches.last().map_or(expected, |batch| batch.header().end_offset());
                }
                Step::Bad { position, .. } => {
                    let known = self.state.borrow().damage.at_position(base, position).copied();
                    let range = match known {
                        Some(range) => range,
                        None => self.quarantine((base, position), expected, layout).await?,
                    };
                    expected = range.to;
                    scanner.seek(range.to_position);
                }
            }
        }
    }

    /// Base offset of the batch that begins at a position where an index says that one does.
    async fn offset_at(self: &Rc<Self>, base: Offset, position: u64) -> io::Result<Offset> {
        if position == 0 {
            return Ok(base);
        }
        Ok(self.header_at(base, position).await?.map_or(base, |header| header.base_offset))
    }

    /// Has the checksums of a segment in memory, as far as its check file or this process knows them. The rest is made from
    /// the segment, once every batch of it has been found sound.
    async fn load_checks(self: &Rc<Self>, base: Offset) -> io::Result<()> {
        let (size, is_active, layout) = {
            let state = self.state.borrow();
            let is_active = state.active().base == base;
            match state.segment(base) {
                Some(segment) if segment.checks.covers(segment.size) => return Ok(()),
                Some(segment) => (segment.size, is_active, state.layout),
                None => return Ok(()),
            }
        };
        let checks = self
            .kept_checks(base, size)
            .await?
            .unwrap_or_else(|| Checksums::written_here(self.directory.scan.range_bytes));
        if checks.covered() < size {
            self.load_indexes(base).await?;
            self.check_batches(base, (checks.covered(), size), layout).await?;
        }
        let is_new = self.complete_checks(base, layout, checks).await?;
        if is_new && !is_active { self.write_caches_if_room(base).await } else { Ok(()) }
    }

    /// Has the checksums of a segment complete before a start may trust it without walking through it: a false offset in it
    /// is found by them alone. False when the log was cut or a segment replaced meanwhile.
    pub(crate) async fn sum_up(self: &Rc<Self>, base: Offset) -> io::Result<bool> {
        match self.load_checks(base).await {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(false),
            loaded => loaded.map(|()| true),
        }
    }

    /// After a start the checksums of the active segment go on where its check file ends; without one they are made when
    /// the segment is read.
    pub(crate) async fn resume_checks(self: &Rc<Self>) -> io::Result<()> {
        let (base, size, layout) = {
            let state = self.state.borrow();
            (state.active().base, state.active().size, state.layout)
        };
        if size == 0 {
            return Ok(());
        }
        match self.kept_checks(base, size).await?.filter(|checks| checks.covered() > 0) {
            Some(checks) => {
                barnabas_base::reachable!(self.env, CHECKSUMS_RESUMED);
                self.complete_checks(base, layout, checks).await.map(drop)
            }
            None => Ok(()),
        }
    }

    /// What the check file of a segment of `size` bytes says, which may be about its beginning only.
    pub(crate) async fn kept_checks(&self, base: Offset, size: u64) -> io::Result<Option<Checksums>> {
        let bytes = self.read_at_rest(async || self.read_cache(base, FileKind::Check).await).await?;
        Ok(bytes.flatten().and_then(|bytes| self.parse_checks(&bytes, base, size)))
    }

    /// Adds what checksums do not cover yet as it is in the file, and hands them to their segment. True when that was
    /// anything; nothing happens to a segment that was cut or replaced meanwhile.
    async fn complete_checks(self: &Rc<Self>, base: Offset, layout: u64, mut checks: Checksums) -> io::Result<bool> {
        let mut is_new = false;
        loop {
            {
                let mut state = self.state.borrow_mut();
                let is_same = state.layout == layout;
                let Some(segment) = state.segment_mut(base).filter(|_| is_same) else { return Ok(false) };
                // An active segment grows while it is read.
                if checks.covers(segment.size) {
                    segment.checks = checks;
                    return Ok(is_new);
                }
            }
            let from = checks.covered();
            let size = self.state.borrow().segment(base).map_or(0, |segment| segment.size);
            let file = self.segment_file(base).await?;
            let mut scanner =
                self.scanner(Rc::clone(&file), from, size).unchained().trusting(self.damaged_positions(base));
            while checks.covered() < size {
                match scanner.step().await? {
                    Step::Batches { batches, .. } => {
                        batches.iter().for_each(|batch| checks.push_batch(batch.header(), [&batch.bytes()[..]]));
                    }
                    Step::Bad { position, .. } => {
                        // Listed by here. It is no batch of which a place is kept.
                        let end = self.damage_end(base, position).unwrap_or(size).min(size);
                        if !push_bytes(&mut checks, &*file, end).await? {
                            return Ok(false);
                        }
                        scanner.seek(end);
                    }
                    Step::End => return Ok(false),
                }
            }
            if checks.covered() == from {
                return Ok(false);
            }
            is_new = true;
        }
    }
}

/// Adds bytes of a file up to `end` that are no batches. False when the file ends before: it is being cut.
async fn push_bytes(checks: &mut Checksums, file: &dyn File, end: u64) -> io::Result<bool> {
    while checks.covered() < end {
        let len = usize::try_from((end - checks.covered()).min(checks.range_bytes())).expect("ranges are small");
        let bytes = file.read_at(checks.covered(), len).await?;
        if bytes.is_empty() {
            return Ok(false);
        }
        checks.push(&bytes);
    }
    Ok(true)
}

impl Walk {
    /// The pieces whose heads are in `sums`.
    fn heads(&self, range_start: u64) -> Vec<usize> {
        let is_head =
            |piece: &Piece| piece.from_position >= range_start && !matches!(piece.content, Content::Listed { .. });
        self.pieces.iter().enumerate().filter(|(_, piece)| is_head(piece)).map(|(index, _)| index).collect()
    }

    /// Adds a piece; one that lies before the range only says what comes next.
    fn push(&mut self, piece: Piece, range_start: u64) {
        self.progress.pass(&piece.content);
        if piece.to_position > range_start {
            self.pieces.push(piece);
            return;
        }
        self.begins = self.progress.sure;
        if let Some(to) = piece.content.end_offset() {
            self.before = to;
        }
    }
}
