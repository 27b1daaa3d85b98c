//! Damage below the durable point: bytes that were acknowledged and do not read back. They are listed, kept and not
//! served; everything around them is. Never silently cut.

use std::io;
use std::rc::Rc;

use barnabas_base::{Observation, Offset};
use bytes::Bytes;

use super::Log;
use crate::damage::DamagedRange;
use crate::name::DAMAGE_LIST;
use crate::small_file;

impl Log {
    /// Where the listed damage ends that holds `position` of a segment.
    pub(crate) fn damage_end(&self, base: Offset, position: u64) -> Option<u64> {
        let state = self.state.borrow();
        state.damage.at_position(base, position).map(|range| range.to_position)
    }

    /// Where the listed damage of a segment lies.
    pub(crate) fn damaged_positions(&self, base: Offset) -> Vec<(u64, u64)> {
        self.state.borrow().damage.positions_in(base)
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
        let mut scanner = self.scanner(file, position, size).within(base, next_base);
        let (to_position, to) = match scanner.find_sound(expected, |_| true).await? {
            // Two batches may touch where one of them claims another's offsets; the range still has to name one.
            Some((position, header)) => (position, header.base_offset.max(expected.plus(1))),
            // At the end of the log there is none: the next record gets it, and stands behind.
            None => (size, next_base.max(expected)),
        };
        let range = DamagedRange { from: expected, to, segment: base, from_position: position, to_position };
        if !self.state.borrow().is_unchanged(layout) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        if is_surplus && self.end_before(base, position) {
            barnabas_base::reachable!(self.env, SEGMENT_ENDED_EARLIER);
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

    /// The offset at which the next segment begins, or the log ends.
    pub(crate) fn end_of_segment(&self, base: Offset) -> Offset {
        let state = self.state.borrow();
        let after = state.segments.partition_point(|segment| segment.base <= base);
        state.segments.get(after).map_or(state.fold.committed_end(), |next| next.base)
    }
}
