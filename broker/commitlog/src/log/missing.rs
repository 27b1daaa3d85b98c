//! Segments that were there and are gone, or are empty: what a start can tell of them without reading the log. Recovery
//! drives it before it walks through what there is; what a walk finds missing it lists itself.

use std::collections::BTreeSet;
use std::io;
use std::rc::Rc;

use barnabas_base::{Offset, RestartKind};

use super::Log;
use super::open::Listing;
use super::recover::missing_end;
use crate::name::{FileKind, SegmentFile, Suffix};

impl Log {
    /// Lists as damage what segments held that were removed or emptied since the last stop. From `durable` on nobody was
    /// promised anything: what an earlier life wrote beside a segment there may have outlived the segment's own bytes.
    pub(crate) async fn list_missing(
        self: &Rc<Self>,
        listing: &Listing,
        (kind, durable): (RestartKind, Offset),
    ) -> io::Result<()> {
        self.list_missing_start().await?;
        let bases = self.segment_bases();
        // After a crash, what is left beside a segment may be that of a deletion; cleaning takes segments from between
        // others and their offsets into those.
        let tells = kind == RestartKind::Clean && !self.state.borrow().config.cleanup.compact;
        let orphans = if tells { orphans(listing, &bases) } else { BTreeSet::new() };
        for pair in bases.windows(2) {
            let (base, next_base) = (pair[0], pair[1]);
            let size = self.state.borrow().segment(base).map_or(0, |segment| segment.size);
            let from = if size == 0 && base < durable && self.held_bytes(base).await? {
                Some(base)
            } else {
                orphans.range(base..next_base).next().copied()
            };
            if let Some(from) = from {
                self.list_missing_range(base, size, (from, next_base)).await?;
            }
        }
        Ok(())
    }

    /// The start of a log is noted before the segments below it go. What is missing between it and the first segment
    /// gets an empty one, so that it has a place, or that the walk finds nothing there and cuts what follows.
    async fn list_missing_start(self: &Rc<Self>) -> io::Result<()> {
        let first = self.state.borrow().segments[0].base;
        let Some(start) = self.log_start_noted().filter(|start| *start < first) else { return Ok(()) };
        let (_, segment) = self.create_segment(start).await?;
        self.state.borrow_mut().segments.insert(0, segment);
        // Apache Kafka's recovery point, where the journal says nothing, is no word on what was promised.
        let is_promised = self.directory.found.points.get(&self.partition).is_none_or(|point| start < point.durable);
        if !is_promised {
            return Ok(());
        }
        self.list_missing_range(start, 0, (start, first)).await
    }

    async fn list_missing_range(
        self: &Rc<Self>,
        base: Offset,
        size: u64,
        (from, to): (Offset, Offset),
    ) -> io::Result<()> {
        if self.state.borrow().damage.at(from).is_some() {
            return Ok(());
        }
        barnabas_base::reachable!(self.env, SEGMENT_GONE);
        self.list_damage(missing_end(base, size, from, to)).await
    }

    /// Whether a segment held bytes at the last stop, as its checksums say. Those of a compacted log are believed only beside
    /// the indexes that they were made for: Apache Kafka's cleaner leaves segments empty, with indexes of its own.
    async fn held_bytes(&self, base: Offset) -> io::Result<bool> {
        let Some(checks) = self.kept_checks(base, u64::MAX).await?.filter(|checks| checks.covered() > 0) else {
            return Ok(false);
        };
        if !self.state.borrow().config.cleanup.compact {
            return Ok(true);
        }
        let offset = self.read_cache(base, FileKind::Index).await?;
        let time = self.read_cache(base, FileKind::TimeIndex).await?;
        let (Some(sums), Some(offset), Some(time)) = (checks.indexes(), offset, time) else { return Ok(false) };
        let is_theirs = sums.confirmed(&offset, &time).is_some_and(|(offset, time)| offset + time > 0);
        barnabas_base::sometimes!(self.env, EMPTIED_BY_OTHERS, !is_theirs);
        Ok(is_theirs)
    }
}

/// Offsets without a segment at which something stands that only a segment has beside it.
fn orphans(listing: &Listing, bases: &[Offset]) -> BTreeSet<Offset> {
    let is_beside = |file: &&SegmentFile| {
        matches!(file.kind, FileKind::Index | FileKind::TimeIndex | FileKind::Check) && file.suffix == Suffix::None
    };
    let offsets = listing.files.keys().filter(is_beside).map(|file| file.offset);
    offsets.filter(|offset| bases.binary_search(offset).is_err()).collect()
}
