//! Reading whole batches from an offset: small answers from memory, large ones as ranges of the segment file. Bounded by
//! the high watermark, the last stable offset or the end of the log.

use std::io;
use std::rc::Rc;

use barnabas_base::{Offset, ProducerId};
use barnabas_logstate::{AbortedTxn, collect_aborted};
use barnabas_runtime::{File, Segment};
use bytes::Bytes;

use super::Log;
use super::locate::{Found, Located};
use crate::ReadError;
use crate::limits::FILE_RANGE_BYTES_MIN;

/// How far a read may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadBound {
    /// Consumers.
    HighWatermark,
    /// Consumers with `read_committed`.
    LastStable,
    /// Followers and coordinators that load.
    End,
}

/// Why a read gave no more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReadStop {
    /// There is no more to be read yet.
    #[default]
    End,
    /// The next batch does not fit.
    Limit,
    /// A segment ends there, or damage begins: the next read goes on behind.
    Boundary,
}

/// An aborted transaction whose records a reader may meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedTransaction {
    /// Its producer.
    pub producer_id: ProducerId,
    /// Its first record.
    pub first_offset: Offset,
}

/// What a read gives.
#[derive(Debug, Default)]
pub struct ReadResult {
    /// Whole batches, in memory or as ranges of a segment file.
    pub segments: Vec<Segment>,
    /// Bytes of all segments.
    pub size_bytes: u64,
    /// Base offset of the first batch; the offset asked for when there is none.
    pub first_offset: Offset,
    /// The offset after the last batch; the offset asked for when there is none.
    pub next_offset: Offset,
    /// Aborted transactions in the range, sorted by first offset; only under [`ReadBound::LastStable`].
    pub aborted: Vec<AbortedTransaction>,
    /// Why there is no more.
    pub stop: ReadStop,
}

/// What a read into memory gives.
#[derive(Clone, Debug, Default)]
pub struct ReadBytes {
    /// Whole batches.
    pub bytes: Bytes,
    /// The offset after the last batch; the offset asked for when there is none.
    pub next_offset: Offset,
}

/// What is to be read.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    from: Offset,
    bound: Offset,
    /// Whether damage begins at the bound: a reader who finds nothing before it has come to that.
    is_before_damage: bool,
    max_bytes: u64,
    min_one_batch: bool,
}

impl Wanted {
    /// The answer when no batch stands before the bound: cleaning may have taken those that did.
    const fn nothing(&self) -> Result<Option<Stretch>, SearchError> {
        if self.is_before_damage { Err(SearchError::Read(ReadError::Damaged)) } else { Ok(None) }
    }

    /// Why a read that comes to the bound stops there.
    const fn stop_at_bound(&self) -> ReadStop {
        if self.is_before_damage { ReadStop::Boundary } else { ReadStop::End }
    }
}

/// Why no stretch was found.
enum SearchError {
    /// The log was cut or a segment replaced meanwhile.
    Changed,
    /// The first batch does not fit.
    Limit,
    Read(ReadError),
    Io(io::Error),
}

impl From<io::Error> for SearchError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::Interrupted { Self::Changed } else { Self::Io(error) }
    }
}

/// A stretch of one segment.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    segment: Offset,
    position: u64,
    len: u64,
    first_offset: Offset,
    next_offset: Offset,
    stop: ReadStop,
}

/// A stretch with the layout in which it lies, or why there is none.
type Sought = Result<(Stretch, u64), ReadStop>;

impl Log {
    /// Reads whole batches from the one that holds `from`, at most `max_bytes` of them; with `min_one_batch` the first
    /// is given whatever its size.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn read(
        self: &Rc<Self>,
        from: Offset,
        max_bytes: usize,
        bound: ReadBound,
        min_one_batch: bool,
    ) -> Result<ReadResult, ReadError> {
        let mut result = loop {
            let wanted = match self.wanted(from, max_bytes, bound, min_one_batch)? {
                Ok(wanted) => wanted,
                Err(stop) => break empty(from, stop),
            };
            if let Some(result) = self.read_tail(&wanted) {
                break result;
            }
            let (stretch, layout) = match self.find_stretch(&wanted).await? {
                Ok(found) => found,
                Err(stop) => break empty(from, stop),
            };
            if let Some(result) = self.answer(&stretch, layout).await? {
                break result;
            }
        };
        if bound == ReadBound::LastStable && result.size_bytes > 0 {
            result.aborted = self.aborted_in(from, result.next_offset);
        }
        Ok(result)
    }

    /// As [`Log::read`], but into memory and with at least one batch: for coordinators that load, and for tools.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn read_bytes(
        self: &Rc<Self>,
        from: Offset,
        max_bytes: usize,
        bound: ReadBound,
    ) -> Result<ReadBytes, ReadError> {
        let nothing = ReadBytes { bytes: Bytes::new(), next_offset: from };
        loop {
            let Ok(wanted) = self.wanted(from, max_bytes, bound, true)? else { return Ok(nothing) };
            let Ok((stretch, layout)) = self.find_stretch(&wanted).await? else { return Ok(nothing) };
            if let Some(bytes) = self.stretch_bytes(&stretch, layout).await? {
                return Ok(ReadBytes { bytes, next_offset: stretch.next_offset });
            }
        }
    }

    /// Checks the offset; a reason when there is nothing to be read.
    fn wanted(
        &self,
        from: Offset,
        max_bytes: usize,
        bound: ReadBound,
        min_one_batch: bool,
    ) -> Result<Result<Wanted, ReadStop>, ReadError> {
        self.directory.check()?;
        let state = self.state.borrow();
        if state.is_closed {
            return Err(ReadError::Storage);
        }
        if from < state.log_start || from > state.fold.committed_end() {
            return Err(ReadError::OutOfRange);
        }
        if state.damage.at(from).is_some() {
            return Err(ReadError::Damaged);
        }
        let bound = match bound {
            ReadBound::HighWatermark => state.high_watermark,
            ReadBound::LastStable => state.last_stable,
            ReadBound::End => state.fold.committed_end(),
        };
        let damaged = state.damage.next_from(from).filter(|damaged| *damaged < bound);
        barnabas_base::sometimes!(self.env, READ_SERVED_BEFORE_DAMAGE, damaged.is_some());
        let (bound, is_before_damage) = (damaged.unwrap_or(bound), damaged.is_some());
        if from >= bound {
            return Ok(Err(ReadStop::End));
        }
        if max_bytes == 0 && !min_one_batch {
            return Ok(Err(ReadStop::Limit));
        }
        Ok(Ok(Wanted { from, bound, is_before_damage, max_bytes: max_bytes as u64, min_one_batch }))
    }

    /// Reads recent batches; `None` when the offset lies before what is remembered.
    fn read_tail(&self, wanted: &Wanted) -> Option<ReadResult> {
        let mut state = self.state.borrow_mut();
        let first = state.tail.partition_point(|batch| batch.end_offset <= wanted.from);
        let head = state.tail.get(first)?;
        if head.base_offset > wanted.from {
            return None;
        }
        let (segment, position, first_offset) = (head.segment, head.position, head.base_offset);
        let mut result = empty(wanted.from, wanted.stop_at_bound());
        let mut in_memory = true;
        let mut pieces = Vec::new();
        for batch in state.tail.range(first..) {
            let is_first = result.size_bytes == 0;
            let fits = result.size_bytes + batch.size <= wanted.max_bytes || is_first && wanted.min_one_batch;
            if batch.end_offset > wanted.bound {
                break;
            }
            if batch.segment != segment || !fits {
                result.stop = if fits { ReadStop::Boundary } else { ReadStop::Limit };
                break;
            }
            match &batch.bytes {
                Some((bytes, _)) => pieces.extend(bytes.iter().cloned().map(Segment::Bytes)),
                None => in_memory = false,
            }
            result.size_bytes += batch.size;
            result.next_offset = batch.end_offset;
        }
        if result.size_bytes == 0 {
            return Some(result);
        }
        result.first_offset = first_offset;
        let is_small = result.size_bytes <= FILE_RANGE_BYTES_MIN;
        if is_small && in_memory {
            result.segments = pieces;
            return Some(result);
        }
        let open = state.segment_mut(segment)?;
        open.was_used = true;
        let is_known = open.checks.are_known(position, position + result.size_bytes);
        // What the page cache gave up is compared once it has come back, whoever brought it.
        let is_sound = |file: &Rc<dyn File>| is_known && file.is_cached(position, result.size_bytes);
        match &open.file {
            Some(file) if !is_small && !is_sound(file) => None,
            Some(file) if !is_small => {
                let range = Segment::File { file: file.handle(), offset: position, len: result.size_bytes };
                result.segments = vec![range];
                Some(result)
            }
            Some(_) | None if in_memory => {
                result.segments = pieces;
                Some(result)
            }
            Some(_) | None => None,
        }
    }

    /// The stretch of a segment that answers a read, and the layout in which it does; none while the log is being cut.
    async fn find_stretch(self: &Rc<Self>, wanted: &Wanted) -> Result<Sought, ReadError> {
        loop {
            let layout = {
                let state = self.state.borrow();
                if state.is_exclusive {
                    return Ok(Err(ReadStop::End));
                }
                state.layout
            };
            let found = self.search(wanted, layout).await;
            // Positions found before a cut or a swap mean nothing after it, nor does what looked wrong meanwhile.
            if !self.state.borrow().is_unchanged(layout) {
                barnabas_base::reachable!(self.env, READ_REPEATED);
                continue;
            }
            return match found {
                Err(SearchError::Changed) | Ok(None) => Ok(Err(ReadStop::End)),
                Err(SearchError::Limit) => Ok(Err(ReadStop::Limit)),
                Err(SearchError::Read(error)) => Err(error),
                Err(SearchError::Io(error)) => Err(self.read_error(&error)),
                Ok(Some(stretch)) => {
                    self.remember(stretch.next_offset, stretch.segment, stretch.position + stretch.len);
                    Ok(Ok((stretch, layout)))
                }
            };
        }
    }

    async fn search(self: &Rc<Self>, wanted: &Wanted, layout: u64) -> Result<Option<Stretch>, SearchError> {
        let first = self.state.borrow().segment_index(wanted.from);
        let mut index = first.ok_or(SearchError::Read(ReadError::OutOfRange))?;
        loop {
            let (base, size) = {
                let state = self.state.borrow();
                match state.segments.get(index) {
                    Some(segment) if segment.base < wanted.bound => (segment.base, segment.size),
                    Some(_) | None => return wanted.nothing(),
                }
            };
            match self.locate(base, wanted.from).await? {
                Found::Batch(first) => {
                    // Before anything the header says is believed. What is damaged is listed then, and stepped over.
                    let end = (first.position + u64::from(first.header.size_bytes)).min(size);
                    if self.verify(base, first.position, end).await? {
                        return self.measure((base, size), first, wanted).await;
                    }
                    self.check_damage(wanted.from)?;
                }
                Found::None => index += 1,
                Found::Damaged(position) => {
                    let expected = self.expected_at(base, position, wanted.from).await?;
                    barnabas_base::reachable!(self.env, DAMAGE_FOUND_BY_READ);
                    self.quarantine((base, position), expected, layout).await?;
                    self.check_damage(wanted.from)?;
                }
            }
            if !self.state.borrow().is_unchanged(layout) {
                return Err(SearchError::Changed);
            }
        }
    }

    fn check_damage(&self, offset: Offset) -> Result<(), SearchError> {
        match self.state.borrow().damage.at(offset) {
            Some(_) => Err(SearchError::Read(ReadError::Damaged)),
            None => Ok(()),
        }
    }

    /// The offset with which the log should go on at `position`, where no batch stands.
    async fn expected_at(self: &Rc<Self>, base: Offset, position: u64, from: Offset) -> io::Result<Offset> {
        let (start, next) = {
            let state = self.state.borrow();
            let indexes = state.segment(base).and_then(|segment| segment.indexes.as_ref());
            let start = indexes.map_or(0, |indexes| indexes.offset.before_position(position).position);
            (start, base)
        };
        let before = self.boundary_from(base, start, position).await?;
        Ok(before.unwrap_or(next).min(from))
    }

    async fn boundary_from(self: &Rc<Self>, base: Offset, start: u64, position: u64) -> io::Result<Option<Offset>> {
        let mut at = start;
        let mut expected = None;
        while at < position {
            let Some(header) = self.header_at(base, at).await? else { break };
            at += u64::from(header.size_bytes);
            expected = Some(header.end_offset());
        }
        Ok(expected)
    }

    /// How far the stretch goes that begins with `first`.
    async fn measure(
        self: &Rc<Self>,
        (base, size): (Offset, u64),
        first: Located,
        wanted: &Wanted,
    ) -> Result<Option<Stretch>, SearchError> {
        let first_bytes = u64::from(first.header.size_bytes);
        if first.header.end_offset() > wanted.bound {
            return wanted.nothing();
        }
        if wanted.max_bytes < first_bytes && !wanted.min_one_batch {
            return Err(SearchError::Limit);
        }
        let mut bound = wanted.bound;
        loop {
            let bound_position = self.position_of_bound(base, size, bound).await?;
            let limit = (first.position + wanted.max_bytes.max(first_bytes)).min(bound_position);
            let (mut end, mut next) = (first.position + first_bytes, first.header.end_offset());
            if limit > end
                && let (position, Some(offset)) = self.boundary(base, end, limit).await?
            {
                (end, next) = (position, offset);
            }
            let next = next.min(bound);
            let is_sound = self.verify(base, first.position, end).await?;
            self.check_damage(wanted.from)?;
            if !is_sound {
                // The offset behind may be what a false header says: once more, with the damage listed.
                continue;
            }
            // What lies before damage is served; the next read meets it.
            match self.state.borrow().damage.next_from(wanted.from) {
                Some(damaged) if damaged < next => bound = damaged,
                Some(_) | None => {
                    let is_behind = end >= bound_position;
                    return Ok(Some(Stretch {
                        segment: base,
                        position: first.position,
                        len: end - first.position,
                        first_offset: first.header.base_offset,
                        next_offset: next,
                        stop: if is_behind { self.stop_behind(base, bound, wanted) } else { ReadStop::Limit },
                    }));
                }
            }
        }
    }

    /// Why a stretch stops that holds all of a segment up to `bound`.
    fn stop_behind(&self, base: Offset, bound: Offset, wanted: &Wanted) -> ReadStop {
        if bound < wanted.bound || self.end_of_segment(base) < wanted.bound {
            return ReadStop::Boundary;
        }
        wanted.stop_at_bound()
    }

    /// Where in the segment the bound lies; the end of the segment when it lies behind.
    async fn position_of_bound(self: &Rc<Self>, base: Offset, size: u64, bound: Offset) -> io::Result<u64> {
        {
            let state = self.state.borrow();
            let index = state.segments.partition_point(|segment| segment.base <= base);
            let end = state.segments.get(index).map_or(state.fold.committed_end(), |next| next.base);
            if bound >= end {
                return Ok(size);
            }
            // The walk steps over damage; a bound at its beginning lies where it begins.
            let damage = state.damage.ranges().iter().find(|range| range.from == bound && range.segment == base);
            if let Some(damage) = damage {
                return Ok(damage.from_position);
            }
            let known = state.tail.partition_point(|batch| batch.base_offset < bound);
            if let Some(batch) = state.tail.get(known)
                && batch.base_offset == bound
                && batch.segment == base
            {
                return Ok(batch.position);
            }
        }
        match self.locate(base, bound).await? {
            Found::Batch(batch) => Ok(batch.position),
            Found::None => Ok(size),
            Found::Damaged(position) => Ok(position),
        }
    }

    /// The answer to a read; `None` as for [`Log::stretch_bytes`].
    async fn answer(self: &Rc<Self>, stretch: &Stretch, layout: u64) -> Result<Option<ReadResult>, ReadError> {
        let segment = if stretch.len <= FILE_RANGE_BYTES_MIN {
            self.stretch_bytes(stretch, layout).await?.map(Segment::Bytes)
        } else {
            let file = self.stretch_file(stretch, layout).await.map_err(|error| self.read_error(&error))?;
            file.map(|file| Segment::File { file: file.handle(), offset: stretch.position, len: stretch.len })
        };
        let Some(segment) = segment else {
            barnabas_base::reachable!(self.env, READ_REPEATED);
            return Ok(None);
        };
        Ok(Some(ReadResult {
            segments: vec![segment],
            size_bytes: stretch.len,
            first_offset: stretch.first_offset,
            next_offset: stretch.next_offset,
            aborted: Vec::new(),
            stop: stretch.stop,
        }))
    }

    /// The file of a stretch; `None` when the log was cut or a segment replaced since it was found: positions mean nothing
    /// afterwards, and a segment that is gone may be part of another one.
    async fn stretch_file(self: &Rc<Self>, stretch: &Stretch, layout: u64) -> io::Result<Option<Rc<dyn File>>> {
        let opened = self.segment_file(stretch.segment).await;
        if self.state.borrow().is_unchanged(layout) { opened.map(Some) } else { Ok(None) }
    }

    /// The bytes of a stretch; `None` when they came from the device and are not what was written, when the file does not
    /// have them, or the log has changed meanwhile: who reads begins again, and finds damage listed.
    async fn stretch_bytes(self: &Rc<Self>, stretch: &Stretch, layout: u64) -> Result<Option<Bytes>, ReadError> {
        let len = usize::try_from(stretch.len).expect("a stretch fits the address space");
        let read = async {
            let Some(file) = self.stretch_file(stretch, layout).await? else { return Ok(None) };
            if let Some(read) = file.try_read_at(stretch.position, len) {
                return read.map(Some);
            }
            let bytes = file.read_at(stretch.position, len).await?;
            let is_sound = self.verify(stretch.segment, stretch.position, stretch.position + stretch.len).await;
            if self.state.borrow().is_unchanged(layout) { Ok(is_sound?.then_some(bytes)) } else { Ok(None) }
        };
        let Some(bytes) = read.await.map_err(|error| self.read_error(&error))? else { return Ok(None) };
        if bytes.len() == len {
            return Ok(Some(bytes));
        }
        barnabas_base::reachable!(self.env, READ_SHORTER_THAN_SEGMENT);
        self.list_what_is_cut(stretch).await?;
        Ok(None)
    }

    /// Lists what is missing of a stretch: its file was cut behind our back, and the page cache does not tell. Whoever reads
    /// once more finds the damage listed.
    async fn list_what_is_cut(self: &Rc<Self>, stretch: &Stretch) -> Result<(), ReadError> {
        let (from, to) = (stretch.position, stretch.position + stretch.len);
        match self.verify_anew(stretch.segment, from, to).await {
            // Whole by now: a reader that came back at once could go on like that for ever.
            Ok(true) => Err(ReadError::Damaged),
            Ok(false) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(self.read_error(&error)),
        }
    }

    /// The aborted transactions that a reader of `from..to` may meet.
    pub(crate) fn aborted_in(&self, from: Offset, to: Offset) -> Vec<AbortedTransaction> {
        let mut found: Vec<AbortedTransaction> = self
            .aborted_entries(from, to)
            .into_iter()
            .map(|entry| AbortedTransaction { producer_id: entry.producer_id, first_offset: entry.first_offset })
            .collect();
        found.sort_by_key(|entry| entry.first_offset);
        found
    }

    pub(crate) fn aborted_entries(&self, from: Offset, to: Offset) -> Vec<AbortedTxn> {
        let state = self.state.borrow();
        let mut found = Vec::new();
        let start = state.segment_index(from).unwrap_or(0);
        for segment in &state.segments[start..] {
            let (entries, is_last) = collect_aborted(segment.aborted.iter().copied(), from, to);
            found.extend(entries);
            if is_last {
                break;
            }
        }
        found
    }

    /// A failed read takes the directory offline, as in Kafka: what cannot be read cannot be served or replicated. A
    /// segment that was deleted meanwhile is out of range.
    pub(crate) fn read_error(&self, error: &io::Error) -> ReadError {
        if error.kind() == io::ErrorKind::NotFound {
            return ReadError::OutOfRange;
        }
        drop(self.directory.fault(&self.folder, error));
        ReadError::Storage
    }
}

const fn empty(from: Offset, stop: ReadStop) -> ReadResult {
    ReadResult { segments: Vec::new(), size_bytes: 0, first_offset: from, next_offset: from, aborted: Vec::new(), stop }
}
