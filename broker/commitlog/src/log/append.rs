//! Appending: validation and offsets at once, in the order of calls; writing behind that, many batches in one call;
//! state moves when the write has succeeded. A full device or a failed write takes back everything staged.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use barnabas_base::{LeaderEpoch, Observation, Offset, TimestampMs};
use barnabas_logstate::{CompletedTxn, FoldError, Origin, ProduceContext, Refusal, Verdict, validate};
use barnabas_runtime::File;
use barnabas_runtime::sync::oneshot;
use barnabas_wire::ErrorCode;
use barnabas_wire::record::{Batch, BatchHeader, HEADER_BYTES, RecordError, Tail, batches};
use bytes::Bytes;

use super::{Capture, Log, State, TailBatch};
use crate::committer::Piece;
use crate::directory::unless_without;
use crate::limits::{APPEND_QUEUE_MAX, PRODUCER_SWEEP_PAUSE_MS, TAIL_COPY_BYTES_MAX, WRITE_BYTES_MAX, WRITE_PARTS_MAX};
use crate::segment::RollTest;
use crate::{AppendError, FlushPolicy, StorageError};

/// Who appends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendOrigin {
    /// A Produce request of this version: one batch, validated as Kafka's leader does.
    Client {
        /// Version of the request.
        produce_version: i16,
    },
    /// A coordinator or the metadata quorum of this broker: one batch, control batches allowed.
    Coordinator,
    /// A leader elsewhere: batches that already have offsets and epochs, kept byte for byte.
    Replica,
}

/// What an append needs to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppendOptions {
    /// Who appends.
    pub origin: AppendOrigin,
    /// Epoch that the batch is stamped with; batches of a [`AppendOrigin::Replica`] keep theirs.
    pub leader_epoch: LeaderEpoch,
}

/// What became of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Offset of the first record.
    pub base_offset: Offset,
    /// The offset after the last record.
    pub end_offset: Offset,
    /// Append time, in topics that are dated by the broker.
    pub log_append_time: Option<TimestampMs>,
    /// Whether the batch had been appended before; the offsets are those of the first time.
    pub duplicate: bool,
}

/// The answer to an append: resolves when the batch is in the page cache, or refused.
#[derive(Debug)]
#[must_use = "an append is answered for by its ticket"]
pub struct AppendTicket {
    inner: Ticket,
}

#[derive(Debug)]
enum Ticket {
    Done(Option<Result<Appended, AppendError>>),
    Waiting(oneshot::Receiver<Result<Appended, AppendError>>),
}

impl AppendTicket {
    const fn done(outcome: Result<Appended, AppendError>) -> Self {
        Self { inner: Ticket::Done(Some(outcome)) }
    }

    /// The answer for a batch that could not be made, so that it takes its turn with those of batches that were.
    pub fn refused(code: ErrorCode, message: impl Into<String>) -> Self {
        Self::done(Err(refuse(Refusal::new(code, message))))
    }
}

impl Future for AppendTicket {
    type Output = Result<Appended, AppendError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.inner {
            Ticket::Done(outcome) => Poll::Ready(outcome.take().expect("a ticket is redeemed once")),
            Ticket::Waiting(receiver) => Pin::new(receiver).poll(context).map(|answer| {
                answer.unwrap_or_else(|oneshot::Dropped| Err(AppendError::Storage(StorageError::closed())))
            }),
        }
    }
}

type Answer = oneshot::Sender<Result<Appended, AppendError>>;

/// A staged batch, or a duplicate that waits for the batches before it.
pub(crate) struct Queued {
    header: BatchHeader,
    /// The batch in one or two pieces; none for a duplicate.
    bytes: Vec<Bytes>,
    /// Begin a segment first, with this producer snapshot.
    roll: Option<Capture>,
    /// Producer state before this batch, for the settled point.
    capture: Option<Capture>,
    completed: Option<CompletedTxn>,
    appended: Appended,
    answer: Option<Answer>,
}

/// A batch that is ready to be staged.
struct Ready {
    header: BatchHeader,
    bytes: Vec<Bytes>,
    log_append_time: Option<TimestampMs>,
}

impl Log {
    /// Appends `records`. Validation, offsets and the place in the order are settled when this returns; the ticket
    /// resolves when the batch is written or refused.
    pub fn append(self: &Rc<Self>, records: Bytes, options: AppendOptions) -> AppendTicket {
        match self.enqueue(records, options) {
            Ok(receiver) => AppendTicket { inner: Ticket::Waiting(receiver) },
            Err(error) => AppendTicket::done(Err(error)),
        }
    }

    fn enqueue(
        self: &Rc<Self>,
        records: Bytes,
        options: AppendOptions,
    ) -> Result<oneshot::Receiver<Result<Appended, AppendError>>, AppendError> {
        self.directory.check().map_err(AppendError::Storage)?;
        let mut state = self.state.borrow_mut();
        if state.is_closed || state.is_exclusive {
            return Err(AppendError::Storage(StorageError::closed()));
        }
        if state.queue.len() >= APPEND_QUEUE_MAX {
            barnabas_base::reachable!(self.env, APPEND_QUEUE_FULL);
            return Err(AppendError::Overloaded);
        }
        let (answer, receiver) = oneshot::channel();
        match options.origin {
            AppendOrigin::Client { produce_version } => {
                self.stage_client(&mut state, &records, produce_version, options.leader_epoch, answer)?;
            }
            AppendOrigin::Coordinator => self.stage_internal(&mut state, records, options.leader_epoch, answer)?,
            AppendOrigin::Replica => self.stage_replica(&mut state, &records, answer)?,
        }
        if !state.is_writing && !state.is_paused {
            state.is_writing = true;
            drop(state);
            self.directory.write_soon(self);
        }
        Ok(receiver)
    }

    fn stage_client(
        &self,
        state: &mut State,
        records: &Bytes,
        version: i16,
        epoch: LeaderEpoch,
        answer: Answer,
    ) -> Result<(), AppendError> {
        let context = ProduceContext { version, now: self.env.wall() };
        let mut codecs = self.directory.codecs.borrow_mut();
        let validated = validate(records, &context, &state.rules, &mut codecs).map_err(refuse)?;
        drop(codecs);
        match state.fold.producers().check(validated.header(), Origin::Client).map_err(refuse)? {
            Verdict::Duplicate(before) => {
                let appended = Appended {
                    base_offset: before.first_offset(),
                    end_offset: before.last_offset.plus(1),
                    // When what is there was appended, not when it came once more.
                    log_append_time: validated.log_append_time().map(|_| before.timestamp),
                    duplicate: true,
                };
                barnabas_base::sometimes!(
                    self.env,
                    DUPLICATE_AWAITED,
                    state.fold.committed_end() < appended.end_offset
                );
                barnabas_base::sometimes!(
                    self.env,
                    DUPLICATE_OF_WRITTEN,
                    state.fold.committed_end() >= appended.end_offset
                );
                state.queue.push_back(Queued::duplicate(*validated.header(), appended, answer));
                Ok(())
            }
            Verdict::Append => {
                self.make_room_for_producer(state, validated.header())?;
                let ready = stamp(validated.batch(), state.fold.end_offset(), epoch, validated.log_append_time());
                self.stage(state, ready, Some(answer))
            }
        }
    }

    /// A producer that is not known yet adds to the memory of the shard. When its account is full, producers that were
    /// silent for long are forgotten before their time (`producer.id.expiration.ms`); without any, the batch is refused
    /// with an error after which every client sends it again.
    fn make_room_for_producer(&self, state: &mut State, header: &BatchHeader) -> Result<(), AppendError> {
        let is_known = !header.has_producer() || state.fold.producers().get(header.producer_id).is_some();
        if is_known || self.directory.resources.has_room_for_producers() {
            return Ok(());
        }
        let now = self.env.now();
        if state.producers_swept.is_none_or(|swept| now >= swept.after_ms(PRODUCER_SWEEP_PAUSE_MS)) {
            state.producers_swept = Some(now);
            self.forget_silent_producers(state);
            barnabas_base::reachable!(self.env, PRODUCERS_FORGOTTEN_FOR_ROOM);
        }
        if self.directory.resources.has_room_for_producers() {
            return Ok(());
        }
        barnabas_base::reachable!(self.env, PRODUCER_REFUSED_FOR_ROOM);
        let why = "the memory for producers is full, see barnabas.memory.bytes and producer.id.expiration.ms";
        Err(refuse(Refusal::new(ErrorCode::RequestTimedOut, why)))
    }

    fn stage_internal(
        &self,
        state: &mut State,
        records: Bytes,
        epoch: LeaderEpoch,
        answer: Answer,
    ) -> Result<(), AppendError> {
        let batch = Batch::parse(records).map_err(|error| corrupt(&error))?;
        batch.check_crc().map_err(|error| corrupt(&error))?;
        let header = batch.header();
        if header.record_count == 0 || header.last_offset_delta != header.record_count - 1 {
            return Err(corrupt(&RecordError::OffsetRange));
        }
        if header.size_bytes > state.config.segment_bytes {
            return Err(refuse(Refusal::new(ErrorCode::RecordListTooLarge, "the batch is larger than a segment")));
        }
        // Kafka holds its coordinators to it as well (`CoordinatorRuntime`).
        if header.size_bytes > state.config.max_message_bytes {
            return Err(refuse(Refusal::new(ErrorCode::MessageTooLarge, "the batch passes max.message.bytes")));
        }
        if !header.attributes.is_control() {
            match state.fold.producers().check(header, Origin::Coordinator).map_err(refuse)? {
                Verdict::Append | Verdict::Duplicate(_) => {}
            }
        }
        let ready = stamp(&batch, state.fold.end_offset(), epoch, None);
        self.stage(state, ready, Some(answer))
    }

    /// Stages what a leader sent; batches before the log's end are not ours to overwrite.
    fn stage_replica(&self, state: &mut State, records: &Bytes, answer: Answer) -> Result<(), AppendError> {
        let mut all = Vec::new();
        let mut end_offset = state.fold.end_offset();
        for batch in batches(records, Tail::MayBeCut) {
            let batch = batch.map_err(|error| corrupt(&error))?;
            batch.check_crc().map_err(|error| corrupt(&error))?;
            let base_offset = batch.header().base_offset;
            if base_offset < end_offset {
                return Err(AppendError::NotContinuous { end_offset, base_offset });
            }
            end_offset = batch.header().end_offset();
            all.push(batch);
        }
        let last = all.len().checked_sub(1).ok_or_else(|| corrupt(&RecordError::MissingRecords))?;
        let mut answer = Some(answer);
        for (index, batch) in all.into_iter().enumerate() {
            let header = *batch.header();
            let ready = Ready { header, bytes: vec![batch.into_bytes()], log_append_time: None };
            let answer = if index == last { answer.take() } else { None };
            self.stage(state, ready, answer)?;
        }
        Ok(())
    }

    fn stage(&self, state: &mut State, ready: Ready, answer: Option<Answer>) -> Result<(), AppendError> {
        let header = ready.header;
        let must_roll = state.staged.must_roll(&header, &state.config, self.env.wall());
        let roll = must_roll.then(|| state.capture());
        let capture = (!must_roll && state.settling.is_wanted).then(|| state.capture());
        let body = ready.bytes.last().map_or(&[][..], |bytes| body_of(bytes, ready.bytes.len()));
        let folded = state.fold.stage(&header, body).map_err(|error| refuse_fold(&error))?;
        state.weigh_producers();
        if must_roll {
            self.env.observe(&state.staged.why_roll(&header, &state.config).seen());
            state.staged = state.staged.rolled(header.base_offset, self.env.wall());
        }
        if capture.is_some() {
            state.settling.is_wanted = false;
        }
        let interval = state.config.index_interval_bytes;
        state.staged.push(&header, interval);
        state.queue.push_back(Queued {
            header,
            bytes: ready.bytes,
            roll,
            capture,
            completed: folded.completed,
            appended: Appended {
                base_offset: header.base_offset,
                end_offset: header.end_offset(),
                log_append_time: ready.log_append_time,
                duplicate: false,
            },
            answer,
        });
        Ok(())
    }

    /// Writes what is queued until nothing is, one vectored write at a time.
    pub(crate) async fn write_queue(self: Rc<Self>) {
        while let Some((roll, group)) = self.take_group() {
            match self.write_group(roll, &group).await {
                Ok(file) => self.written(group, file.as_ref()),
                Err(error) => self.write_failed(group, &error).await,
            }
        }
        self.changed.notify();
    }

    fn take_group(&self) -> Option<(Option<Capture>, Vec<Queued>)> {
        let mut state = self.state.borrow_mut();
        if state.is_paused || state.queue.is_empty() {
            state.is_writing = false;
            return None;
        }
        let mut group = Vec::with_capacity(state.queue.len().min(WRITE_PARTS_MAX / 2));
        let mut size = 0;
        let mut roll = None;
        while let Some(next) = state.queue.front_mut() {
            let bytes: usize = next.bytes.iter().map(Bytes::len).sum();
            let is_first = group.is_empty();
            if !is_first && (next.roll.is_some() || size + bytes > WRITE_BYTES_MAX)
                || group.len() * 2 >= WRITE_PARTS_MAX
            {
                break;
            }
            if is_first {
                roll = next.roll.take();
            }
            size += bytes;
            group.push(state.queue.pop_front().expect("the front was looked at"));
        }
        Some((roll, group))
    }

    /// Writes a group; gives the file, or nothing when the group is all duplicates.
    async fn write_group(self: &Rc<Self>, roll: Option<Capture>, group: &[Queued]) -> io::Result<Option<Rc<dyn File>>> {
        if let Some(capture) = roll {
            self.begin_segment_or_stay(capture, group).await?;
        }
        let parts: Vec<Bytes> = group.iter().flat_map(|queued| queued.bytes.iter().cloned()).collect();
        if parts.is_empty() {
            return Ok(None);
        }
        self.directory.check().map_err(|error| io::Error::new(error.kind, error.message.to_string()))?;
        let file = self.active_file().await?;
        let position = self.state.borrow().active().size;
        let len: usize = parts.iter().map(Bytes::len).sum();
        self.keep_headroom(&*file, position + len as u64).await?;
        file.write_at(position, &parts).await?;
        Ok(Some(file))
    }

    /// Begins another segment for `group`. Without room for one, a log that keeps headroom goes on in the segment that has
    /// it: what makes room is decided there.
    async fn begin_segment_or_stay(self: &Rc<Self>, capture: Capture, group: &[Queued]) -> io::Result<()> {
        match self.begin_segment(capture).await {
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                let mut state = self.state.borrow_mut();
                if state.config.headroom_bytes == 0 || !state.active().can_hold(group.iter().map(|each| &each.header)) {
                    return Err(error);
                }
                barnabas_base::reachable!(self.env, ROLL_WAITS_FOR_ROOM);
                state.restage_behind(group, self.env.wall());
                Ok(())
            }
            outcome => outcome,
        }
    }

    /// Allocates room behind `end`, where the active segment is about to end, when little of it is left. Without any the
    /// batch is written all the same: into what was allocated before.
    pub(crate) async fn keep_headroom(&self, file: &dyn File, end: u64) -> io::Result<()> {
        let (headroom_bytes, allocated_to) = {
            let state = self.state.borrow();
            (state.config.headroom_bytes, state.active().allocated_to)
        };
        if headroom_bytes == 0 || allocated_to >= end + headroom_bytes / 2 {
            return Ok(());
        }
        let allocated = file.allocate(end, headroom_bytes).await;
        if allocated.is_ok() {
            self.state.borrow_mut().active_mut().allocated_to = end + headroom_bytes;
        }
        unless_without(allocated)
    }

    /// Moves the state of the log past a group that is in the page cache, and answers for it.
    fn written(self: &Rc<Self>, group: Vec<Queued>, file: Option<&Rc<dyn File>>) {
        let mut tail = Vec::new();
        let mut captures = Vec::new();
        let written_bytes;
        {
            let mut state = self.state.borrow_mut();
            let now = self.env.wall();
            let before = state.active().size;
            for queued in group.iter().filter(|queued| !queued.bytes.is_empty()) {
                let file = file.expect("a group with bytes was written to a file");
                tail.push(self.written_batch(&mut state, queued, file));
                captures.extend(queued.capture.clone());
            }
            state.active_mut().modified = now;
            written_bytes = state.active().size - before;
        }
        if let Some(last) = group.iter().rev().find(|queued| !queued.bytes.is_empty()) {
            self.after_write(tail, captures, written_bytes, last.header.end_offset());
        }
        for queued in group {
            if let Some(answer) = queued.answer {
                answer.send(Ok(queued.appended));
            }
        }
    }

    fn written_batch(&self, state: &mut State, queued: &Queued, file: &Rc<dyn File>) -> (TailBatch, Vec<Bytes>) {
        let header = &queued.header;
        let interval = state.config.index_interval_bytes;
        let segment = state.active_mut();
        let (base, position) = (segment.base, segment.size);
        segment.push(header, interval);
        segment.checks.push_batch(header, queued.bytes.iter().map(|part| &part[..]));
        segment.aborted.extend(queued.completed.and_then(|completed| completed.aborted()));
        state.fold.commit(header.end_offset());
        if state.config.flush_policy == FlushPolicy::Ack {
            let bytes = queued.bytes.clone();
            let piece = Piece { segment: base, position, end_offset: header.end_offset(), bytes };
            let journal_bytes_max = self.directory.committer.limits.journal_log_bytes_max;
            state.uncommitted.push(file, piece, journal_bytes_max);
            state.written_to(base, header.base_offset);
        }
        self.env.observe(&Observation::Appended {
            partition: self.partition,
            base_offset: header.base_offset,
            end_offset: header.end_offset(),
            leader_epoch: header.partition_leader_epoch,
            crc: header.crc,
            size_bytes: header.size_bytes,
            producer: header.has_producer().then_some((
                header.producer_id,
                header.producer_epoch,
                header.base_sequence,
            )),
        });
        let batch = TailBatch {
            base_offset: header.base_offset,
            end_offset: header.end_offset(),
            segment: base,
            position,
            size: u64::from(header.size_bytes),
            bytes: None,
        };
        (batch, queued.bytes.clone())
    }

    fn after_write(
        self: &Rc<Self>,
        tail: Vec<(TailBatch, Vec<Bytes>)>,
        captures: Vec<Capture>,
        written_bytes: u64,
        end_offset: Offset,
    ) {
        for (batch, pieces) in tail {
            self.cache_tail(batch, pieces);
        }
        for capture in captures {
            self.arm(capture);
        }
        let policy = self.state.borrow().config.flush_policy;
        match policy {
            FlushPolicy::Ack => self.dirty(),
            FlushPolicy::Os => self.safe_moved(end_offset),
        }
        self.count_unsettled(written_bytes);
        self.changed.notify();
    }

    /// Takes back everything staged: the batches of the failed write and all that were judged on top of them.
    async fn write_failed(self: &Rc<Self>, group: Vec<Queued>, error: &io::Error) {
        let is_full = error.kind() == io::ErrorKind::StorageFull;
        let outcome = if is_full {
            match self.undo_write().await {
                Ok(()) => {
                    barnabas_base::reachable!(self.env, WRITE_TAKEN_BACK);
                    AppendError::Full
                }
                Err(error) => AppendError::Storage(self.directory.fault(&self.folder, &error)),
            }
        } else {
            barnabas_base::reachable!(self.env, WRITE_FAILED);
            AppendError::Storage(self.directory.fault(&self.folder, error))
        };
        let mut refused: Vec<Answer> = group.into_iter().filter_map(|queued| queued.answer).collect();
        {
            let mut state = self.state.borrow_mut();
            barnabas_base::sometimes!(self.env, STAGED_BEHIND_REFUSED, !state.queue.is_empty());
            refused.extend(std::mem::take(&mut state.queue).into_iter().filter_map(|queued| queued.answer));
            let written = state.fold.committed_end();
            state.fold.rollback(written);
            state.restage(self.env.wall());
        }
        for answer in refused {
            answer.send(Err(outcome.clone()));
        }
    }

    /// Cuts the file back to what is written. Synced, because a later batch at the same place must never meet the old
    /// one after a power loss: a replay of the journal would take it for another program's.
    async fn undo_write(&self) -> io::Result<()> {
        let (file, size) = {
            let state = self.state.borrow();
            (state.active().file.clone(), state.active().size)
        };
        let Some(file) = file else { return Ok(()) };
        if file.size().await? > size {
            barnabas_base::reachable!(self.env, PARTIAL_WRITE_CUT);
            file.truncate(size).await?;
            // What was allocated past the end went with it.
            self.state.borrow_mut().active_mut().allocated_to = 0;
            file.sync().await?;
        }
        Ok(())
    }

    /// The directory went offline: nothing that waits will happen.
    pub(crate) fn on_directory_failed(&self, error: &StorageError) {
        let (queue, waiters) = {
            let mut state = self.state.borrow_mut();
            let queue = if state.is_writing { Vec::new() } else { std::mem::take(&mut state.queue).into() };
            let mut waiters = state.safe_waiters.take_all();
            waiters.extend(state.high_watermark_waiters.take_all());
            (queue, waiters)
        };
        for queued in queue.into_iter().filter_map(|queued: Queued| queued.answer) {
            queued.send(Err(AppendError::Storage(error.clone())));
        }
        for waiter in waiters {
            waiter.send(Err(error.clone()));
        }
        self.changed.notify();
    }

    fn cache_tail(self: &Rc<Self>, mut batch: TailBatch, pieces: Vec<Bytes>) {
        batch.bytes = self.directory.resources.charge_tail(self, batch.base_offset, batch.size).map(|charge| {
            // A small batch is a small part of the frame it came in, and would pin all of it.
            let is_small = batch.size <= TAIL_COPY_BYTES_MAX;
            let kept = if is_small { vec![Bytes::from(pieces.concat())] } else { pieces };
            (kept, charge)
        });
        self.state.borrow_mut().push_tail(batch);
    }
}

impl Queued {
    /// Counts the batch in what its segment will be.
    pub(crate) fn restage(&self, staged: &mut RollTest, index_interval_bytes: u32, now: TimestampMs) {
        if self.bytes.is_empty() {
            return;
        }
        if self.roll.is_some() {
            *staged = staged.rolled(self.header.base_offset, now);
        }
        staged.push(&self.header, index_interval_bytes);
    }

    /// Answers that it will not be written.
    pub(crate) fn refuse(self, error: AppendError) {
        if let Some(answer) = self.answer {
            answer.send(Err(error));
        }
    }

    const fn duplicate(header: BatchHeader, appended: Appended, answer: Answer) -> Self {
        Self { header, bytes: Vec::new(), roll: None, capture: None, completed: None, appended, answer: Some(answer) }
    }
}

/// The batch at its offset: a new header before the old body, so that nothing is copied.
fn stamp(batch: &Batch, base_offset: Offset, epoch: LeaderEpoch, log_append_time: Option<TimestampMs>) -> Ready {
    let header = BatchHeader { base_offset, partition_leader_epoch: epoch, ..*batch.header() };
    let head = Bytes::copy_from_slice(&header.to_bytes());
    let body = batch.bytes().slice(HEADER_BYTES..);
    Ready { header, bytes: vec![head, body], log_append_time }
}

/// What follows the header, in the last of the pieces.
fn body_of(last: &Bytes, pieces: usize) -> &[u8] {
    if pieces == 1 { &last[HEADER_BYTES..] } else { last }
}

fn refuse(refusal: Refusal) -> AppendError {
    AppendError::Refused(Rc::new(refusal))
}

fn corrupt(error: &RecordError) -> AppendError {
    refuse(Refusal::new(ErrorCode::CorruptMessage, error.to_string()))
}

fn refuse_fold(error: &FoldError) -> AppendError {
    match error {
        FoldError::TooManyPending => AppendError::Overloaded,
        FoldError::EpochRegress { .. } => {
            refuse(Refusal::new(ErrorCode::NotLeaderOrFollower, "an older leader epoch than the log's"))
        }
        FoldError::OffsetRegress { end_offset, base_offset } => {
            AppendError::NotContinuous { end_offset: *end_offset, base_offset: *base_offset }
        }
        FoldError::Record(error) => corrupt(error),
    }
}
