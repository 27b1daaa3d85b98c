//! Drives one group coordinator core: loads it from its partition of `__consumer_offsets`, appends what it emits, tells
//! it what became durable, keeps its timers and hands its replies back.
//!
//! Decides nothing about groups. Lives on the shard of the partition; the group handlers ask it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use barnabas_base::{TimestampMs, TopicId};
use barnabas_commitlog::{AppendOptions, AppendOrigin, AppendTicket, ReadBound};
use barnabas_group::{APPENDS_IN_FLIGHT_LIMIT, AppendId, Coordinator, Input, Output, Replayed, Response, Token};
use barnabas_runtime::sync::{Notify, oneshot, queue};
use barnabas_runtime::{Env, Local, TaskHandle};
use barnabas_wire::ErrorCode;
use barnabas_wire::record::{
    Batch, BatchBuilder, BatchOptions, BuildError, Compressor, Decompressor, RecordError, Tail, batches,
};
use bytes::Bytes;

use crate::partition::Partition;
use crate::shard::Shard;

/// Bytes of log read at once while loading.
const LOAD_CHUNK_BYTES: usize = 1024 * 1024;
/// Most bytes one batch of the topic may decompress to.
const LOADED_BATCH_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The log refuses no batch because others wait before it: the core stops earlier.
const _: () = assert!(APPENDS_IN_FLIGHT_LIMIT < barnabas_commitlog::limits::APPEND_QUEUE_MAX);

/// A coordinator at work.
pub(crate) struct GroupCoordinator {
    env: Env,
    partition: Rc<Partition>,
    core: RefCell<Coordinator>,
    next_token: Cell<u64>,
    waiting: RefCell<BTreeMap<Token, oneshot::Sender<Response>>>,
    appending: queue::Sender<(AppendId, AppendTicket)>,
    /// Counts every step, because each may bring a nearer deadline.
    stepped: Notify,
    tasks: RefCell<Vec<TaskHandle>>,
}

impl GroupCoordinator {
    /// Starts to load; until that is done every request is answered COORDINATOR_LOAD_IN_PROGRESS, and for good
    /// NOT_COORDINATOR when the log does not read.
    pub(crate) fn start(shard: &Rc<Shard>, partition: Rc<Partition>) -> Rc<Self> {
        let (appending, appended) = queue::bounded(2 * APPENDS_IN_FLIGHT_LIMIT);
        let core = Coordinator::new(shard.options.group(), partition.id, shard.budget.clone());
        let coordinator = Rc::new(Self {
            env: shard.env.clone(),
            partition,
            core: RefCell::new(core),
            next_token: Cell::new(0),
            waiting: RefCell::default(),
            appending,
            stepped: Notify::new(),
            tasks: RefCell::default(),
        });
        let load = shard.env.spawn("coordinator load", Rc::clone(&coordinator).load());
        let settle = shard.env.spawn("coordinator appends", Rc::clone(&coordinator).settle(appended));
        let timers = shard.env.spawn("coordinator timers", Rc::clone(&coordinator).keep_time());
        coordinator.tasks.borrow_mut().extend([load, settle, timers]);
        coordinator
    }

    /// Stops everything; whoever waits gets NOT_COORDINATOR.
    pub(crate) fn stop(self: &Rc<Self>) {
        barnabas_base::reachable!(self.env, GROUP_COORDINATOR_STOPPED);
        let mut out = Vec::new();
        self.core.borrow_mut().resign(self.env.now(), self.env.wall(), &mut out);
        self.perform(out);
        self.waiting.borrow_mut().clear();
        self.tasks.borrow_mut().clear();
    }

    /// Hands a request to the core. Its effects are in order before this returns.
    pub(crate) fn ask(self: &Rc<Self>, input: impl FnOnce(Token) -> Input) -> Local<'static, Response> {
        let token = Token(self.next_token.get());
        self.next_token.set(token.0 + 1);
        let input = input(token);
        let refusal = input.refusal(ErrorCode::NotCoordinator);
        let (sender, receiver) = oneshot::channel();
        self.waiting.borrow_mut().insert(token, sender);
        let mut out = Vec::new();
        self.core.borrow_mut().step(self.env.now(), self.env.wall(), input, &mut out);
        self.perform(out);
        Box::pin(async move { receiver.await.unwrap_or(refusal) })
    }

    /// The high watermark of the log moved: what lies below it is committed.
    pub(crate) fn high_watermark_moved(self: &Rc<Self>) {
        let mut out = Vec::new();
        let high_watermark = self.partition.log.high_watermark();
        self.core.borrow_mut().on_high_watermark(self.env.now(), self.env.wall(), high_watermark, &mut out);
        self.perform(out);
    }

    /// A topic is gone, and the offsets committed for it with it.
    pub(crate) fn topic_deleted(self: &Rc<Self>, name: &str, id: TopicId) {
        let mut out = Vec::new();
        self.core.borrow_mut().on_topic_deleted(self.env.now(), self.env.wall(), name, id.0, &mut out);
        self.perform(out);
    }

    fn perform(self: &Rc<Self>, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Append { append_id, records } => self.append(append_id, &records),
                Output::Reply { token, response } => {
                    let sender = self.waiting.borrow_mut().remove(&token);
                    if let Some(sender) = sender {
                        sender.send(response);
                    }
                }
                Output::Observe(observation) => self.env.observe(&observation),
            }
        }
        self.stepped.notify();
    }

    fn append(&self, append_id: AppendId, records: &[(Bytes, Option<Bytes>)]) {
        let options = AppendOptions { origin: AppendOrigin::Coordinator, leader_epoch: self.partition.leader_epoch() };
        let ticket = match offsets_batch(records, self.env.wall()) {
            Ok(batch) => self.partition.log.append(batch, options),
            Err(error) => AppendTicket::refused(ErrorCode::RecordListTooLarge, error.to_string()),
        };
        let sent = self.appending.try_send((append_id, ticket));
        assert!(sent.is_ok(), "the core bounds its appends in flight");
    }

    /// Reports the outcome of every append, in order.
    async fn settle(self: Rc<Self>, mut appended: queue::Receiver<(AppendId, AppendTicket)>) {
        while let Some((append_id, ticket)) = appended.receive().await {
            let outcome = ticket.await;
            let mut out = Vec::new();
            {
                let mut core = self.core.borrow_mut();
                let (now, wall) = (self.env.now(), self.env.wall());
                match outcome {
                    Ok(appended) => core.on_appended(now, wall, append_id, appended.end_offset, &mut out),
                    Err(error) => {
                        let code = error.code();
                        tracing::error!(target: "GroupCoordinator", "cannot write to {:?}: {code}", self.partition);
                        core.on_append_failed(now, wall, append_id, code, &mut out);
                    }
                }
            }
            self.perform(out);
            self.high_watermark_moved();
        }
    }

    /// Loads the core from the log, or has it refuse everything: an answer from half a log would send consumers back.
    async fn load(self: Rc<Self>) {
        let replayed = self.replay_log().await;
        let mut out = Vec::new();
        match replayed {
            Ok(()) => self.core.borrow_mut().loaded(self.env.now(), self.env.wall(), &mut out),
            Err(why) => {
                tracing::error!(target: "GroupCoordinator", "cannot load {:?}, its groups are not served: {why}", self.partition);
                self.core.borrow_mut().failed_to_load(&mut out);
            }
        }
        self.perform(out);
        self.high_watermark_moved();
    }

    /// Replays the log. Everything up to its end counts: what is there survived, so that it will be committed.
    async fn replay_log(&self) -> Result<(), String> {
        let log = &self.partition.log;
        let mut offset = log.log_start_offset();
        let end = log.end_offset();
        while offset < end {
            let read = log.read_bytes(offset, LOAD_CHUNK_BYTES, ReadBound::End).await;
            let read = read.map_err(|error| format!("at {offset}: {error:?}"))?;
            if read.bytes.is_empty() {
                return Err(format!("there is nothing at {offset}, below the end at {end}"));
            }
            self.replay(&read.bytes).map_err(|error| format!("behind {offset}: {error}"))?;
            assert!(read.next_offset > offset, "a read that returns batches advances");
            offset = read.next_offset;
            // A read from memory does not give way to anybody, and there may be hundreds of chunks.
            barnabas_base::sometimes!(self.env, GROUP_LOAD_GAVE_WAY, offset < end);
            self.env.tasks.yield_now().await;
        }
        Ok(())
    }

    fn replay(&self, bytes: &Bytes) -> Result<(), String> {
        let mut decompressor = Decompressor::new();
        for batch in batches(bytes, Tail::MayBeCut) {
            let batch = batch.map_err(|error| error.to_string())?;
            if !batch.header().attributes.is_control() {
                self.replay_batch(&batch, &mut decompressor)?;
            }
        }
        Ok(())
    }

    fn replay_batch(&self, batch: &Batch, decompressor: &mut Decompressor) -> Result<(), String> {
        let mut core = self.core.borrow_mut();
        let unreadable = |error: RecordError| error.to_string();
        let payload = batch.payload(decompressor, LOADED_BATCH_BYTES_MAX).map_err(unreadable)?;
        for record in payload.records() {
            let record = record.map_err(unreadable)?;
            let Some(key) = record.key.map(|key| payload.share(key)) else { continue };
            let value = record.value.map(|value| payload.share(value));
            if core.replay(key, value, record.offset).map_err(|error| error.to_string())? == Replayed::PassedOver {
                barnabas_base::reachable!(self.env, GROUP_RECORD_PASSED_OVER);
            }
        }
        Ok(())
    }

    async fn keep_time(self: Rc<Self>) {
        loop {
            let seen = self.stepped.version();
            let next = self.core.borrow().next_wakeup();
            let changed = self.stepped.changed_since(seen);
            let due = match next {
                Some(deadline) => self.env.timeout_at(deadline, changed).await.is_none(),
                None => {
                    changed.await;
                    false
                }
            };
            if due {
                let mut out = Vec::new();
                self.core.borrow_mut().on_wakeup(self.env.now(), self.env.wall(), &mut out);
                self.perform(out);
            }
        }
    }
}

/// The records as one batch, dated `wall`.
fn offsets_batch(records: &[(Bytes, Option<Bytes>)], wall: TimestampMs) -> Result<Bytes, BuildError> {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    for (key, value) in records {
        builder.append(wall, Some(key), value.as_deref(), std::iter::empty())?;
    }
    builder.build(&mut Compressor::new())
}

impl fmt::Debug for GroupCoordinator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupCoordinator").field("partition", &self.partition).finish_non_exhaustive()
    }
}
