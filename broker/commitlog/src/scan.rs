//! Walks through the batches of a segment file, a chunk at a time, checking every checksum away from the shard's
//! thread. Recovery, index rebuilding, timestamp searches, cleaning and `log dump` drive it; it decides nothing about
//! what is wrong.

use std::io;
use std::rc::Rc;

use barnabas_base::{LeaderEpoch, Offset};
use barnabas_runtime::{Env, File};
use barnabas_wire::record::{Batch, BatchHeader, CRC_START, HEADER_BYTES, RecordError, crc32c_append};
use bytes::Bytes;

use crate::directory::ScanLimits;
use crate::limits::BATCH_BYTES_MAX;
use crate::sweep::{Head, Sweep};

/// What a step found.
#[derive(Debug)]
pub(crate) enum Step {
    /// Whole batches with sound checksums, the first at the position given.
    Batches {
        /// Position of the first batch.
        position: u64,
        /// The batches.
        batches: Vec<Batch>,
    },
    /// What stands at this position is not a whole sound batch.
    Bad {
        /// The position.
        position: u64,
        /// What is wrong.
        error: RecordError,
    },
    /// The end of what was to be walked.
    End,
}

/// A walk from one batch boundary to a position.
#[derive(Debug)]
pub(crate) struct Scanner {
    env: Env,
    limits: ScanLimits,
    file: Rc<dyn File>,
    position: u64,
    end: u64,
    checks_crc: bool,
    /// Stretches in which no batch is looked for.
    damaged: Vec<(u64, u64)>,
    is_chained: bool,
    /// Batches end below or at this offset.
    limit: Offset,
    chain: Chain,
    /// The last batch read, which the next one has to confirm.
    held: Option<(u64, Batch)>,
}

/// What the batches before a position add up to.
#[derive(Clone, Copy, Debug)]
struct Chain {
    end_offset: Offset,
    epoch: LeaderEpoch,
}

impl Chain {
    const START: Self = Self { end_offset: Offset::ZERO, epoch: LeaderEpoch::UNKNOWN };

    fn allows(&self, header: &BatchHeader) -> bool {
        header.base_offset >= self.end_offset && header.partition_leader_epoch >= self.epoch
    }

    fn after(header: &BatchHeader) -> Self {
        Self { end_offset: header.end_offset(), epoch: header.partition_leader_epoch }
    }
}

impl Scanner {
    /// A walk from `position`, where a batch begins, up to `end`.
    pub(crate) fn new(env: &Env, limits: ScanLimits, file: Rc<dyn File>, position: u64, end: u64) -> Self {
        Self {
            env: env.clone(),
            limits,
            file,
            position,
            end,
            checks_crc: true,
            damaged: Vec::new(),
            is_chained: true,
            limit: Offset(i64::MAX),
            chain: Chain::START,
            held: None,
        }
    }

    /// Batches that begin before `base`, where the segment begins, or end past `limit`, where another one does, are no
    /// sound ones.
    pub(crate) fn within(self, base: Offset, limit: Offset) -> Self {
        let chain = Chain { end_offset: base, ..self.chain };
        Self { limit, chain, ..self }
    }

    /// Without comparing checksums: the bytes are known to be sound, or somebody else looks at them. What is `damaged`, by
    /// position, may well look like a batch and is none.
    pub(crate) fn trusting(self, damaged: Vec<(u64, u64)>) -> Self {
        Self { checks_crc: false, damaged, ..self }
    }

    /// Without comparing batches with their neighbours: whoever walks does that himself.
    pub(crate) fn unchained(self) -> Self {
        Self { is_chained: false, ..self }
    }

    /// Goes on at another batch boundary.
    pub(crate) fn seek(&mut self, position: u64) {
        self.position = position;
        self.held = None;
    }

    /// The next batches. Offsets and epochs lie outside a batch's checksum, so each batch is held back until the one
    /// behind it confirms them: when one goes back behind its predecessor but not behind the one before that, it is the
    /// predecessor that is wrong.
    pub(crate) async fn step(&mut self) -> io::Result<Step> {
        if !self.is_chained {
            return self.read().await;
        }
        loop {
            let (first, mut batches) = match self.read().await? {
                Step::Batches { position, batches } => (position, batches),
                Step::End => {
                    let Some((position, batch)) = self.held.take() else { return Ok(Step::End) };
                    return Ok(self.release(position, vec![batch]));
                }
                Step::Bad { position, error } => match self.held.take() {
                    // What was held is as good as it gets; the bad one comes again.
                    Some((held, batch)) => return Ok(self.release(held, vec![batch])),
                    None => return Ok(Step::Bad { position, error }),
                },
            };
            let mut position = first;
            if let Some((held, batch)) = self.held.take() {
                position = held;
                batches.insert(0, batch);
            }
            let last = batches.pop().expect("a step that finds batches finds one");
            let held_at = position + batches.iter().map(|batch| u64::from(batch.header().size_bytes)).sum::<u64>();
            if let Some(wrong) = self.first_wrong(&batches, last.header()) {
                batches.truncate(wrong);
                let bytes: u64 = batches.iter().map(|batch| u64::from(batch.header().size_bytes)).sum();
                self.seek(position + bytes);
                if batches.is_empty() {
                    return Ok(Step::Bad { position, error: RecordError::OffsetRange });
                }
                return Ok(self.release(position, batches));
            }
            self.held = Some((held_at, last));
            if !batches.is_empty() {
                return Ok(self.release(position, batches));
            }
        }
    }

    /// Index of the first of `batches` that its neighbours contradict; `next` is the batch behind them.
    fn first_wrong(&self, batches: &[Batch], next: &BatchHeader) -> Option<usize> {
        let mut before = self.chain;
        for (index, batch) in batches.iter().enumerate() {
            let header = batch.header();
            if !before.allows(header) || header.end_offset() > self.limit {
                return Some(index);
            }
            let behind = batches.get(index + 1).map_or(next, Batch::header);
            if !Chain::after(header).allows(behind) && before.allows(behind) {
                return Some(index);
            }
            before = Chain::after(header);
        }
        None
    }

    /// Hands out batches, the first of which may contradict what came before it.
    fn release(&mut self, position: u64, batches: Vec<Batch>) -> Step {
        let is_wrong = |batch: &Batch| !self.chain.allows(batch.header()) || batch.header().end_offset() > self.limit;
        if batches.first().is_some_and(is_wrong) {
            self.seek(position);
            return Step::Bad { position, error: RecordError::OffsetRange };
        }
        if let Some(last) = batches.last() {
            self.chain = Chain::after(last.header());
        }
        Step::Batches { position, batches }
    }

    /// Reads and splits a chunk.
    async fn read(&mut self) -> io::Result<Step> {
        if self.position >= self.end {
            return Ok(Step::End);
        }
        let position = self.position;
        let end = match self.damaged.iter().find(|(_, to)| *to > position) {
            Some((from, _)) if *from <= position => {
                return Ok(Step::Bad { position, error: RecordError::OffsetRange });
            }
            Some((from, _)) => self.end.min(*from),
            None => self.end,
        };
        let left = usize::try_from(end - position).unwrap_or(usize::MAX);
        let mut chunk = self.file.read_at(position, left.min(self.limits.chunk_bytes)).await?;
        // A batch larger than the chunk is read whole; its length is bounded by what the file has left.
        if let Ok(header) = BatchHeader::parse(&chunk) {
            let size = usize::try_from(header.size_bytes).expect("a batch fits the address space");
            if header.size_bytes <= BATCH_BYTES_MAX && size > chunk.len() && size <= left {
                barnabas_base::reachable!(self.env, BATCH_OVER_CHUNK);
                chunk = self.file.read_at(position, size).await?;
            }
        }
        if chunk.is_empty() {
            let error = RecordError::Truncated { needed: HEADER_BYTES, available: 0 };
            return Ok(Step::Bad { position, error });
        }
        let checks_crc = self.checks_crc;
        let parsed = if checks_crc && chunk.len() >= self.limits.offload_bytes_min() {
            self.env.offload(move || split(chunk, checks_crc)).await
        } else {
            split(chunk, checks_crc)
        };
        self.position += parsed.bytes;
        match parsed.error {
            Some(error) if parsed.batches.is_empty() => Ok(Step::Bad { position, error }),
            Some(_) | None => Ok(Step::Batches { position, batches: parsed.batches }),
        }
    }

    /// The next position at which a sound batch begins that may follow a log that ends at `end_offset` and `is_possible`,
    /// with its header: what lies before it is damage. One that the next sound batch contradicts has a false offset, and
    /// is damage as well.
    pub(crate) async fn find_sound(
        &mut self,
        end_offset: Offset,
        is_possible: impl Fn(&BatchHeader) -> bool,
    ) -> io::Result<Option<(u64, BatchHeader)>> {
        let limit = self.limit;
        let follows = |header: &BatchHeader| {
            let is_behind = header.base_offset >= end_offset && is_possible(header);
            is_behind && header.end_offset() <= limit
        };
        // Rot in a body leaves the length alone. Trying that first also keeps a batch that somebody sent as the value of
        // a record from being taken for one of the log.
        let bad = self.file.read_at(self.position, HEADER_BYTES).await?;
        let next = BatchHeader::parse(&bad).map(|header| self.position + u64::from(header.size_bytes));
        let mut found = self.sound_from(next.ok(), self.position + 1, &follows).await?;
        while let Some((position, header)) = found {
            let end = position + u64::from(header.size_bytes);
            let behind = self.sound_from(Some(end), end + 1, &follows).await?;
            match behind {
                Some((_, next)) if next.base_offset < header.end_offset() => found = behind,
                Some(_) | None => break,
            }
        }
        Ok(found)
    }

    /// The header of the batch at the walk's position, if a sound one begins there.
    pub(crate) async fn sound_here(&self) -> io::Result<Option<BatchHeader>> {
        let Some(header) = self.header_at(self.position).await? else { return Ok(None) };
        Ok(self.is_sound(self.position, &header).await?.then_some(header))
    }

    /// The batch at `boundary` if that is a sound one which follows, else the first such that begins at `from` or later.
    async fn sound_from(
        &self,
        boundary: Option<u64>,
        from: u64,
        follows: &impl Fn(&BatchHeader) -> bool,
    ) -> io::Result<Option<(u64, BatchHeader)>> {
        if let Some(boundary) = boundary
            && let Some(header) = self.header_at(boundary).await?.filter(follows)
            && self.is_sound(boundary, &header).await?
        {
            return Ok(Some((boundary, header)));
        }
        let mut from = from;
        loop {
            let sweep = self.sweep(from, follows).await?;
            match (sweep.found(), sweep.left_out()) {
                (Some(found), _) => {
                    barnabas_base::reachable!(self.env, SOUND_FOUND_BY_SWEEP);
                    return Ok(self.header_at(found).await?.map(|header| (found, header)));
                }
                (None, Some(next)) => from = next,
                (None, None) => return Ok(None),
            }
        }
    }

    /// A pass over what begins at `from`, which looks for sound batches that follow.
    async fn sweep(&self, from: u64, follows: &impl Fn(&BatchHeader) -> bool) -> io::Result<Sweep> {
        let mut sweep = Sweep::new(from);
        let mut position = from;
        while position < self.end && !sweep.is_decided() {
            let left = usize::try_from(self.end - position).unwrap_or(usize::MAX);
            let wanted = left.min(self.limits.chunk_bytes);
            let chunk = self.file.read_at(position, wanted).await?;
            let is_last = chunk.len() < wanted || wanted == left;
            let heads = if sweep.is_looking() { self.heads_in(&chunk, position, follows) } else { Vec::new() };
            // A header that the end of the chunk cuts is looked at with the next one.
            let passed = if is_last { chunk.len() } else { chunk.len() - (HEADER_BYTES - 1) };
            let to = position + passed as u64;
            let pass = move || {
                sweep.pass(position, &chunk, &heads, to);
                sweep
            };
            sweep = if passed >= self.limits.offload_bytes_min() { self.env.offload(pass).await } else { pass() };
            if is_last {
                break;
            }
            position = to;
        }
        Ok(sweep)
    }

    /// What looks like a batch among the bytes at `position`, and follows.
    fn heads_in(&self, chunk: &[u8], position: u64, follows: &impl Fn(&BatchHeader) -> bool) -> Vec<Head> {
        let starts = position..;
        let heads = starts.zip(chunk.windows(HEADER_BYTES)).filter_map(|(start, head)| {
            let header = BatchHeader::parse(head).ok()?;
            let fits = start + u64::from(header.size_bytes) <= self.end;
            let is_one = fits && follows(&header);
            is_one.then_some(Head { start, size_bytes: header.size_bytes, crc: header.crc })
        });
        heads.collect()
    }

    /// The header at `position`, if it is one of a batch that the file has room for.
    async fn header_at(&self, position: u64) -> io::Result<Option<BatchHeader>> {
        let head = self.file.read_at(position, HEADER_BYTES).await?;
        let header = BatchHeader::parse(&head).ok();
        Ok(header.filter(|header| u64::from(header.size_bytes) <= self.end.saturating_sub(position)))
    }

    /// Whether the checksum of the batch at `position` is right. It may be as large as a segment: summed piece by piece.
    async fn is_sound(&self, position: u64, header: &BatchHeader) -> io::Result<bool> {
        let end = position + u64::from(header.size_bytes);
        let mut at = position + CRC_START as u64;
        let mut crc = 0;
        while at < end {
            let left = usize::try_from(end - at).unwrap_or(usize::MAX);
            let chunk = self.file.read_at(at, left.min(self.limits.chunk_bytes)).await?;
            if chunk.is_empty() {
                return Ok(false);
            }
            at += chunk.len() as u64;
            crc = if chunk.len() >= self.limits.offload_bytes_min() {
                self.env.offload(move || crc32c_append(crc, &chunk)).await
            } else {
                crc32c_append(crc, &chunk)
            };
        }
        Ok(crc == header.crc)
    }
}

struct Split {
    batches: Vec<Batch>,
    bytes: u64,
    error: Option<RecordError>,
}

fn split(mut chunk: Bytes, checks_crc: bool) -> Split {
    let mut batches = Vec::new();
    let mut bytes = 0;
    while !chunk.is_empty() {
        let batch = match Batch::split_first(&mut chunk) {
            Ok(batch) => batch,
            Err(error) => return Split { batches, bytes, error: Some(error) },
        };
        if checks_crc && let Err(error) = batch.check_crc() {
            return Split { batches, bytes, error: Some(error) };
        }
        bytes += u64::from(batch.header().size_bytes);
        batches.push(batch);
    }
    Split { batches, bytes, error: None }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::path::Path;
    use std::time::Duration;

    use barnabas_base::TimestampMs;
    use barnabas_runtime::{Local, OpenMode};
    use barnabas_runtime_madsim::{Config, DiskCallKind, DiskVerdict, simulate};
    use barnabas_wire::record::{BatchBuilder, BatchOptions, Compressor};

    use super::*;

    const FORGED: usize = 2_000;
    const MINUTE: Duration = Duration::from_secs(60);

    fn batch(base_offset: i64, value_bytes: usize) -> Bytes {
        let mut builder =
            BatchBuilder::new(BatchOptions { base_offset: Offset(base_offset), ..BatchOptions::default() });
        let value = vec![7; value_bytes];
        builder.append(TimestampMs(1), None, Some(&value), std::iter::empty()).expect("fits a batch");
        builder.build(&mut Compressor::new()).expect("builds")
    }

    /// Damage, heads each of which claims everything up to the end, and two batches, the first larger than a chunk.
    /// Gives where that one stands.
    fn forged() -> (Vec<u8>, u64) {
        let sound = batch(10, 2 * ScanLimits::default().chunk_bytes);
        let next = batch(11, 100);
        let damage = 100;
        let at = damage + FORGED * HEADER_BYTES;
        let size = at + sound.len() + next.len();
        let mut bytes = vec![0; damage];
        for start in (damage..at).step_by(HEADER_BYTES) {
            let mut head = sound[..HEADER_BYTES].to_vec();
            let length = i32::try_from(size - start - 12).expect("small");
            head[8..12].copy_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(&head);
        }
        bytes.extend_from_slice(&sound);
        bytes.extend_from_slice(&next);
        (bytes, at as u64)
    }

    #[test]
    fn forged_heads_are_not_summed_one_by_one() {
        simulate(1, Config::default(), |world| {
            let node = world.node("broker");
            let read_bytes = Rc::new(Cell::new(0));
            let counted = Rc::clone(&read_bytes);
            node.on_disk_call(move |call| {
                if call.kind == DiskCallKind::Read {
                    counted.set(counted.get() + call.len);
                }
                DiskVerdict::Pass
            });
            let is_over = Rc::new(Cell::new(false));
            let over = Rc::clone(&is_over);
            node.start(1, move |env| -> Local<'static, ()> {
                let (over, read_bytes) = (Rc::clone(&over), Rc::clone(&read_bytes));
                Box::pin(async move {
                    let (bytes, at) = forged();
                    let size = bytes.len() as u64;
                    env.disk.create_dir_all(Path::new("/data")).await.expect("works");
                    let path = Path::new("/data/00000000000000000000.log");
                    let file = env.disk.open(path, OpenMode::CreateTruncated).await.expect("works");
                    file.write_at(0, &[Bytes::from(bytes)]).await.expect("works");
                    let mut scanner = Scanner::new(&env, ScanLimits::default(), file, 0, size);
                    let found = scanner.find_sound(Offset::ZERO, |_| true).await.expect("works");
                    assert_eq!(found.map(|(position, header)| (position, header.base_offset)), Some((at, Offset(10))));
                    assert!(read_bytes.get() < 2 * size, "{} bytes were read", read_bytes.get());
                    over.set(true);
                })
            });
            assert!(world.run_until(MINUTE, || is_over.get()), "the life ends");
        });
    }
}
