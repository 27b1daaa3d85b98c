//! Damage below the durable point: bytes that were acknowledged and do not read back. They are listed, kept and not
//! served; everything around them is. Never silently cut.

use std::io;
use std::rc::Rc;

use barnabas_base::{LeaderEpoch, Observation, Offset};
use barnabas_wire::record::{BatchHeader, HEADER_BYTES, crc32c};
use bytes::Bytes;

use super::Log;
use super::locate::read_some;
use crate::check::Checksums;
use crate::damage::DamagedRange;
use crate::name::DAMAGE_LIST;
use crate::scan::{Scanner, Step};
use crate::small_file;

impl Log {
    /// Where the listed damage ends that holds `position` of a segment.
    pub(crate) fn damage_end(&self, base: Offset, position: u64) -> Option<u64> {
        let state = self.state.borrow();
        state.damage.at_position(base, position).map(|range| range.to_position)
    }

    /// Lists the damage that begins at `position` of a segment, a batch boundary, where the log should go on with
    /// `expected`. Gives the range. `Interrupted` when the log was cut or a segment replaced since `layout` was noted:
    /// what looked like damage may have been that. Bytes behind the last offset of a sealed segment are no damage: the
    /// segment ends before them from here on, and this is `Interrupted` too.
    pub(crate) async fn quarantine(
        self: &Rc<Self>,
        (base, position): (Offset, u64),
        expected: Offset,
        layout: u64,
    ) -> io::Result<DamagedRange> {
        let size = self.state.borrow().segment(base).map_or(position, |segment| segment.size);
        let next_base = self.end_of_segment(base);
        let file = self.segment_file(base).await?;
        let is_surplus = expected >= next_base && self.is_surplus(&file, (base, position), size).await?;
        let mut scanner = Scanner::new(&self.env, file, position, size).below(next_base);
        let (to_position, to) = match scanner.find_sound(expected, LeaderEpoch::UNKNOWN).await? {
            Some((position, header)) => (position, header.base_offset),
            None => (size, next_base),
        };
        let range = DamagedRange {
            from: expected,
            to: to.max(expected.plus(1)),
            segment: base,
            from_position: position,
            to_position,
        };
        if !self.state.borrow().is_unchanged(layout) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        if is_surplus && self.end_before(base, position) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        self.list_damage(range).await?;
        Ok(range)
    }

    /// Ends a sealed segment before what follows its last batch in its file. False for the active one.
    fn end_before(&self, base: Offset, position: u64) -> bool {
        let mut state = self.state.borrow_mut();
        if state.active().base == base {
            return false;
        }
        let Some(segment) = state.segment_mut(base) else { return false };
        segment.size = position;
        segment.checks.reset();
        state.layout_changed();
        true
    }

    /// Adds a range to the list, on disk as well.
    pub(crate) async fn list_damage(self: &Rc<Self>, range: DamagedRange) -> io::Result<()> {
        self.state.borrow_mut().damage.add(range);
        self.env.observe(&Observation::Damaged { partition: self.partition, from: range.from, to: range.to });
        self.write_damage().await
    }

    pub(crate) async fn write_damage(self: &Rc<Self>) -> io::Result<()> {
        let _replacement = self.begin_replacement().await?;
        let (text, is_empty) = {
            let state = self.state.borrow();
            (state.damage.to_text(), state.damage.is_empty())
        };
        let path = self.folder.join(DAMAGE_LIST);
        let disk = &*self.env.disk;
        if is_empty {
            return small_file::remove(disk, &path).await;
        }
        match small_file::replace(disk, &path, Bytes::from(text)).await {
            // The list is found again by reading; a full device is no reason to stop serving.
            Err(error) if error.kind() == io::ErrorKind::StorageFull => Ok(()),
            other => other,
        }
    }

    /// Compares bytes `from..to` of a sealed segment with its checksums, once after each start. True when they are what
    /// was written; damage is listed otherwise.
    pub(crate) async fn verify(self: &Rc<Self>, base: Offset, from: u64, to: u64) -> io::Result<bool> {
        self.load_checks(base).await?;
        let (open, layout) = {
            let state = self.state.borrow();
            match state.segment(base) {
                Some(segment) => (segment.checks.unverified(from, to), state.layout),
                None => return Ok(true),
            }
        };
        let mut is_sound = true;
        for (start, len) in open {
            let file = self.segment_file(base).await?;
            let len = usize::try_from(len).expect("ranges are a mebibyte");
            let bytes = read_some(&*file, start, len).await?;
            let crc = self.env.offload(move || crc32c(&bytes)).await;
            if !self.state.borrow().is_unchanged(layout) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let matches =
                self.state.borrow_mut().segment_mut(base).is_none_or(|segment| segment.checks.verify(start, crc));
            if !matches {
                is_sound &= !self.inspect(base, (start, start + len as u64), layout).await?;
                if let Some(segment) = self.state.borrow_mut().segment_mut(base) {
                    segment.checks.accept(start);
                }
            }
        }
        Ok(is_sound)
    }

    /// Looks at every batch that touches `from..to` of a segment; true when damage was found and listed. Bytes that
    /// differ from their checksum but form sound batches were written by another program.
    async fn inspect(self: &Rc<Self>, base: Offset, (from, to): (u64, u64), layout: u64) -> io::Result<bool> {
        let start = {
            let state = self.state.borrow();
            let Some(segment) = state.segment(base) else { return Ok(false) };
            segment.indexes.as_ref().map_or(0, |indexes| indexes.offset.before_position(from).position)
        };
        let size = self.state.borrow().segment(base).map_or(0, |segment| segment.size);
        let limit = self.end_of_segment(base);
        let file = self.segment_file(base).await?;
        let mut scanner = Scanner::new(&self.env, file, start, size).below(limit);
        let mut expected = self.offset_at(base, start).await?;
        let mut found = false;
        loop {
            match scanner.step().await? {
                Step::Batches { position, .. } if position >= to => break,
                Step::End => break,
                Step::Batches { batches, .. } => {
                    expected = batches.last().map_or(expected, |batch| batch.header().end_offset());
                }
                Step::Bad { position, .. } if position >= to => break,
                Step::Bad { position, .. } => {
                    let known = self.state.borrow().damage.at_position(base, position).copied();
                    let range = match known {
                        Some(range) => range,
                        None => {
                            found = true;
                            self.quarantine((base, position), expected, layout).await?
                        }
                    };
                    expected = range.to;
                    scanner.seek(range.to_position);
                }
            }
        }
        Ok(found)
    }

    /// Base offset of the batch that begins at a position where an index says that one does.
    async fn offset_at(self: &Rc<Self>, base: Offset, position: u64) -> io::Result<Offset> {
        if position == 0 {
            return Ok(base);
        }
        let file = self.segment_file(base).await?;
        let head = read_some(&*file, position, HEADER_BYTES).await?;
        Ok(BatchHeader::parse(&head).map_or(base, |header| header.base_offset))
    }

    /// The offset at which the next segment begins, or the log ends.
    pub(crate) fn end_of_segment(&self, base: Offset) -> Offset {
        let state = self.state.borrow();
        let after = state.segments.partition_point(|segment| segment.base <= base);
        state.segments.get(after).map_or(state.fold.committed_end(), |next| next.base)
    }

    /// Verifies every range of every sealed segment that was not verified since the start; a background scrub calls it
    /// again from time to time after [`Log::forget_verified`].
    ///
    /// # Errors
    /// [`crate::StorageError`] when the disk fails.
    pub async fn scrub(self: &Rc<Self>) -> Result<(), crate::StorageError> {
        let sealed: Vec<(Offset, u64)> = {
            let state = self.state.borrow();
            let sealed = state.segments.len() - 1;
            state.segments[..sealed].iter().map(|segment| (segment.base, segment.size)).collect()
        };
        for (base, size) in sealed {
            self.directory.check()?;
            match self.verify(base, 0, size).await {
                Ok(_) => {}
                // Deleted, cut or replaced meanwhile.
                Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::Interrupted) => {}
                Err(error) => return Err(self.storage_error(&error)),
            }
        }
        Ok(())
    }

    /// Has the checksums of a sealed segment in memory; without a file they are made from the segment, once every batch
    /// of it has been found sound.
    async fn load_checks(self: &Rc<Self>, base: Offset) -> io::Result<()> {
        let (size, layout) = {
            let state = self.state.borrow();
            match state.segment(base) {
                Some(segment) if segment.checks.covers(segment.size) || base == state.active().base => return Ok(()),
                Some(segment) => (segment.size, state.layout),
                None => return Ok(()),
            }
        };
        let path = self.path_of(crate::name::SegmentFile::new(base, crate::name::FileKind::Check));
        let bytes = small_file::read(&*self.env.disk, &path).await?;
        if let Some(checks) = bytes.and_then(|bytes| Checksums::parse(&bytes, base, size)) {
            self.install_checks(base, layout, checks);
            return Ok(());
        }
        self.make_checks(base, size, layout).await
    }

    /// Hands checksums to the segment they were made of, unless it was cut or replaced meanwhile.
    fn install_checks(&self, base: Offset, layout: u64, checks: Checksums) -> bool {
        let mut state = self.state.borrow_mut();
        let is_same = state.layout == layout;
        match state.segment_mut(base).filter(|_| is_same) {
            Some(segment) => {
                segment.checks = checks;
                true
            }
            None => false,
        }
    }

    async fn make_checks(self: &Rc<Self>, base: Offset, size: u64, layout: u64) -> io::Result<()> {
        self.load_indexes(base).await?;
        self.inspect(base, (0, size), layout).await?;
        let file = self.segment_file(base).await?;
        let mut checks = Checksums::written_here();
        let mut position = 0;
        while position < size {
            let len = usize::try_from((size - position).min(crate::limits::CHECK_RANGE_BYTES)).expect("a mebibyte");
            let bytes = small_file::read_exact(&*file, position, len).await?;
            if bytes.is_empty() {
                break;
            }
            checks.push(&bytes);
            position += bytes.len() as u64;
        }
        let is_whole = self.install_checks(base, layout, checks);
        if is_whole { self.write_caches_if_room(base).await } else { Ok(()) }
    }
}
