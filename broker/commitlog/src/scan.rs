//! Walks through the batches of a segment file, a mebibyte at a time, checking every checksum away from the shard's
//! thread. Recovery, index rebuilding, timestamp searches, cleaning and `log dump` drive it; it decides nothing about
//! what is wrong.

use std::io;
use std::rc::Rc;

use barnabas_base::{LeaderEpoch, Offset};
use barnabas_runtime::{Env, File};
use barnabas_wire::record::{Batch, BatchHeader, HEADER_BYTES, RecordError};
use bytes::Bytes;

use crate::limits::{BATCH_BYTES_MAX, SCAN_CHUNK_BYTES};
use crate::small_file::read_exact;

/// Bytes below which a chunk is checked on the spot: handing it to another thread costs more.
const OFFLOAD_BYTES_MIN: usize = 128 * 1024;

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
    pub(crate) fn new(env: &Env, file: Rc<dyn File>, position: u64, end: u64) -> Self {
        Self {
            env: env.clone(),
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
        let mut chunk = read_exact(&*self.file, position, left.min(SCAN_CHUNK_BYTES)).await?;
        // A batch larger than the chunk is read whole; its length is bounded by what the file has left.
        if let Ok(header) = BatchHeader::parse(&chunk) {
            let size = usize::try_from(header.size_bytes).expect("a batch fits the address space");
            if header.size_bytes <= BATCH_BYTES_MAX && size > chunk.len() && size <= left {
                chunk = read_exact(&*self.file, position, size).await?;
            }
        }
        if chunk.is_empty() {
            let error = RecordError::Truncated { needed: HEADER_BYTES, available: 0 };
            return Ok(Step::Bad { position, error });
        }
        let checks_crc = self.checks_crc;
        let parsed = if checks_crc && chunk.len() >= OFFLOAD_BYTES_MIN {
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
        let bad = read_exact(&*self.file, self.position, HEADER_BYTES).await?;
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

    /// The batch at `boundary` if that is a sound one which follows, else the first such that begins at `from` or later.
    async fn sound_from(
        &self,
        boundary: Option<u64>,
        from: u64,
        follows: &impl Fn(&BatchHeader) -> bool,
    ) -> io::Result<Option<(u64, BatchHeader)>> {
        if let Some(boundary) = boundary
            && let Some(header) = self.sound_at(boundary).await?.filter(follows)
        {
            return Ok(Some((boundary, header)));
        }
        let mut position = from;
        while position + HEADER_BYTES as u64 <= self.end {
            let left = usize::try_from(self.end - position).unwrap_or(usize::MAX);
            let chunk = read_exact(&*self.file, position, left.min(SCAN_CHUNK_BYTES)).await?;
            if chunk.len() < HEADER_BYTES {
                return Ok(None);
            }
            let looked = chunk.len() - HEADER_BYTES + 1;
            for at in 0..looked {
                let Ok(header) = BatchHeader::parse(&chunk[at..at + HEADER_BYTES]) else { continue };
                let start = position + at as u64;
                if follows(&header)
                    && let Some(header) = self.sound_at(start).await?
                {
                    return Ok(Some((start, header)));
                }
            }
            position += looked as u64;
        }
        Ok(None)
    }

    /// The header of the batch at `position`, if a whole sound one stands there.
    async fn sound_at(&self, position: u64) -> io::Result<Option<BatchHeader>> {
        let head = read_exact(&*self.file, position, HEADER_BYTES).await?;
        let Ok(header) = BatchHeader::parse(&head) else { return Ok(None) };
        if u64::from(header.size_bytes) > self.end.saturating_sub(position) {
            return Ok(None);
        }
        let size = usize::try_from(header.size_bytes).expect("a batch fits the address space");
        let bytes = read_exact(&*self.file, position, size).await?;
        Ok((bytes.len() == size && header.check_crc(&bytes).is_ok()).then_some(header))
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
