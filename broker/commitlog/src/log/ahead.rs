//! What the segments behind say of the last batch of one. The walk of a start asks.

use std::io;
use std::rc::Rc;

use barnabas_base::{LeaderEpoch, Offset};
use barnabas_logstate::LogFold;
use barnabas_wire::record::Batch;

use super::Log;

impl Log {
    /// The position of the last of `batches` if it ends its segment and has a false leader epoch: a later one than the batch
    /// that begins the next segment, which does not go back behind the batch before. Its checksum leaves the epoch out; without
    /// the look ahead one flipped bit would have every later batch refused.
    pub(crate) async fn contradicted(
        self: &Rc<Self>,
        fold: &LogFold,
        (position, size): (u64, u64),
        batches: &[Batch],
        next_base: Option<Offset>,
    ) -> io::Result<Option<u64>> {
        let (Some(next_base), Some((last, before))) = (next_base, batches.split_last()) else { return Ok(None) };
        let last = last.header();
        let epoch_of = |batch: &Batch| batch.header().partition_leader_epoch;
        let epoch_before = before.last().map_or(fold.last_epoch(), epoch_of);
        let at = position + before.iter().map(|batch| u64::from(batch.header().size_bytes)).sum::<u64>();
        if at + u64::from(last.size_bytes) < size || last.partition_leader_epoch <= epoch_before {
            return Ok(None);
        }
        let epoch_behind = self.epoch_from(next_base).await?;
        let is_false =
            epoch_behind.is_some_and(|behind| epoch_before <= behind && behind < last.partition_leader_epoch);
        barnabas_base::sometimes!(self.env, FALSE_EPOCH_BEFORE_SEGMENT, is_false);
        Ok(is_false.then_some(at))
    }

    /// The leader epoch of the batch that begins the segment at `base`, or the first later one that begins with a sound one.
    async fn epoch_from(self: &Rc<Self>, base: Offset) -> io::Result<Option<LeaderEpoch>> {
        for base in self.segment_bases().into_iter().filter(|from| *from >= base) {
            let size = self.state.borrow().segment(base).map_or(0, |segment| segment.size);
            let file = self.segment_file(base).await?;
            if let Some(header) = self.scanner(file, 0, size).sound_here().await? {
                return Ok(Some(header.partition_leader_epoch));
            }
        }
        Ok(None)
    }
}
