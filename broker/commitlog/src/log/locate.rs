//! Finding the batch that holds an offset: by what is remembered of readers and of recent batches, else by the sparse
//! index and a walk over batch headers.

use std::io;
use std::rc::Rc;

use barnabas_base::Offset;
use barnabas_runtime::File;
use barnabas_wire::record::{BatchHeader, HEADER_BYTES};
use bytes::Bytes;

use super::Log;
use super::state::Hint;
use crate::limits::WALK_CHUNK_BYTES;
use crate::segment::{Indexes, is_within_reach};

/// A batch and where it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Located {
    pub(crate) position: u64,
    pub(crate) header: BatchHeader,
}

/// What a search in one segment found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// The first batch that ends above the offset.
    Batch(Located),
    /// No batch of the segment ends above it.
    None,
    /// What stands at this position is not a batch.
    Damaged(u64),
}

impl Log {
    /// The first batch of the segment at `base` that ends above `offset`, at or after `from_position` if that is given
    /// and a batch begins there.
    pub(crate) async fn locate(self: &Rc<Self>, base: Offset, offset: Offset) -> io::Result<Found> {
        if let Some(position) = self.remembered(base, offset) {
            return self.walk(base, position, offset).await;
        }
        for attempt in 0..2 {
            if !self.load_indexes(base).await? {
                return Ok(Found::None);
            }
            let start = {
                let state = self.state.borrow();
                let Some(segment) = state.segment(base) else { return Ok(Found::None) };
                match &segment.indexes {
                    Some(indexes) => indexes.offset.lookup(offset),
                    // Dropped between two awaits for lack of room.
                    None => continue,
                }
            };
            if start.from_entry && !self.is_entry_true(base, start.position, start.offset).await? {
                // A wrong index is rebuilt once; the segment itself decides then.
                if attempt == 0 && !self.is_active(base) {
                    self.replace_indexes(base).await?;
                    continue;
                }
                return self.walk(base, 0, offset).await;
            }
            return self.walk(base, start.position, offset).await;
        }
        self.walk(base, 0, offset).await
    }

    fn is_active(&self, base: Offset) -> bool {
        self.state.borrow().active().base == base
    }

    /// A position where a batch at or before `offset` is known to begin.
    fn remembered(&self, base: Offset, offset: Offset) -> Option<u64> {
        let state = self.state.borrow();
        if let Some(hint) = state.hints.iter().find(|hint| hint.offset == offset && hint.segment == base) {
            return Some(hint.position);
        }
        let after = state.tail.partition_point(|batch| batch.end_offset <= offset);
        state
            .tail
            .get(after)
            .filter(|batch| batch.segment == base && batch.base_offset <= offset)
            .map(|batch| batch.position)
    }

    /// Whether the batch at `position` ends with `last_offset`, as an index entry claims.
    async fn is_entry_true(self: &Rc<Self>, base: Offset, position: u64, last_offset: Offset) -> io::Result<bool> {
        Ok(self.header_at(base, position).await?.is_some_and(|header| header.last_offset() == last_offset))
    }

    async fn replace_indexes(self: &Rc<Self>, base: Offset) -> io::Result<()> {
        let (size, layout) = {
            let state = self.state.borrow();
            match state.segment(base) {
                Some(segment) => (segment.size, state.layout),
                None => return Ok(()),
            }
        };
        let indexes = self.rebuild_indexes(base, size).await?;
        {
            let mut state = self.state.borrow_mut();
            if state.layout != layout {
                return Ok(());
            }
            if let Some(segment) = state.segment_mut(base) {
                segment.indexes = Some(indexes);
            }
        }
        self.write_caches_if_room(base).await
    }

    /// The indexes of a segment, made from its batches.
    pub(crate) async fn rebuild_indexes(self: &Rc<Self>, base: Offset, size: u64) -> io::Result<Indexes> {
        let file = self.segment_file(base).await?;
        let interval = self.state.borrow().config.index_interval_bytes;
        let limit = self.end_of_segment(base);
        let mut end_offset = base;
        let mut scratch = self.empty_segment(base, 0);
        let mut position = 0;
        let mut window = Window::new(&*file, size);
        while position < size {
            if let Some(end) = self.damage_end(base, position) {
                position = end;
                continue;
            }
            // An index points at what fits into the chain. Whoever reads on from its last entry finds the damage.
            let fits = |header: &BatchHeader| {
                header.base_offset >= end_offset && header.end_offset() <= limit && is_within_reach(base, header)
            };
            let Some(header) = window.header_at(position).await?.filter(fits) else { break };
            end_offset = header.end_offset();
            scratch.size = position;
            scratch.push(&header, interval);
            position += u64::from(header.size_bytes);
        }
        scratch.seal();
        let indexes = scratch.indexes.take().expect("a segment that was begun has indexes");
        Ok(indexes)
    }

    /// Walks over headers from a batch boundary to the first batch that ends above `offset`.
    pub(crate) async fn walk(self: &Rc<Self>, base: Offset, position: u64, offset: Offset) -> io::Result<Found> {
        let size = match self.state.borrow().segment(base) {
            Some(segment) => segment.size,
            None => return Ok(Found::None),
        };
        if position >= size {
            return Ok(Found::None);
        }
        let file = self.segment_file(base).await?;
        let mut window = Window::new(&*file, size);
        let mut position = position;
        let mut before = Offset::UNKNOWN;
        while position < size {
            if let Some(end) = self.damage_end(base, position) {
                position = end;
                continue;
            }
            let Some(header) = window.header_at(position).await? else { return Ok(Found::Damaged(position)) };
            let end = position + u64::from(header.size_bytes);
            // The checksum does not cover offset and length: the chain does.
            if header.base_offset < before || end > size {
                return Ok(Found::Damaged(position));
            }
            before = header.end_offset();
            if header.end_offset() > offset {
                return Ok(Found::Batch(Located { position, header }));
            }
            position = end;
        }
        Ok(Found::None)
    }

    /// The last batch boundary at or below `limit`, walking from a boundary at `position`; with the offset that follows.
    pub(crate) async fn boundary(
        self: &Rc<Self>,
        base: Offset,
        position: u64,
        limit: u64,
    ) -> io::Result<(u64, Option<Offset>)> {
        let (size, start) = {
            let state = self.state.borrow();
            let Some(segment) = state.segment(base) else { return Ok((position, None)) };
            let boundary = segment.indexes.as_ref().and_then(|indexes| indexes.offset.boundary_at_or_below(limit));
            let start = boundary.unwrap_or(0).max(position);
            // What is listed since the index was made may hold boundaries that it names.
            let damaged = state.damage.at_position(base, start).map_or(start, |range| range.from_position);
            (segment.size, damaged.max(position))
        };
        let file = self.segment_file(base).await?;
        let mut window = Window::new(&*file, size);
        let mut at = start;
        let mut next = None;
        while at < limit && self.damage_end(base, at).is_none() {
            let Some(header) = window.header_at(at).await? else { break };
            let end = at + u64::from(header.size_bytes);
            if end > limit {
                break;
            }
            at = end;
            next = Some(header.end_offset());
        }
        if next.is_none() && at > position {
            // The index named a boundary and no whole batch follows it: what is listed there, or the batch behind, tells the
            // offset.
            let listed = self.state.borrow().damage.at_position(base, at).map(|range| range.from);
            next = match listed {
                Some(from) => Some(from),
                None => window.header_at(at).await?.map(|header| header.base_offset),
            };
        }
        Ok((at, next))
    }

    /// Remembers where a reader stopped.
    pub(crate) fn remember(&self, offset: Offset, segment: Offset, position: u64) {
        self.state.borrow_mut().remember(Hint { offset, segment, position });
    }
}

/// A stretch of a file in memory, for a walk over headers.
struct Window<'a> {
    file: &'a dyn File,
    size: u64,
    start: u64,
    bytes: Bytes,
}

impl<'a> Window<'a> {
    const fn new(file: &'a dyn File, size: u64) -> Self {
        Self { file, size, start: 0, bytes: Bytes::new() }
    }

    /// The header at `position`; `None` when none stands there.
    async fn header_at(&mut self, position: u64) -> io::Result<Option<BatchHeader>> {
        let end = self.start + self.bytes.len() as u64;
        if position < self.start || position + HEADER_BYTES as u64 > end {
            let left = usize::try_from(self.size.saturating_sub(position)).unwrap_or(usize::MAX);
            self.bytes = self.file.read_at(position, left.min(WALK_CHUNK_BYTES)).await?;
            self.start = position;
        }
        let at = usize::try_from(position - self.start).expect("within the window");
        Ok(self.bytes.get(at..).and_then(|bytes| BatchHeader::parse(bytes).ok()))
    }
}
