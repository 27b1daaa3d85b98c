//! Drives the controller core: appends what it decides to the metadata log, and once that is durable, applies it,
//! publishes the new image to every shard and lets the answer go.
//!
//! A quorum of one: append, sync, apply. Decides nothing about topics. Lives on a shard of its own.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use barnabas_base::{DirectoryId, LeaderEpoch, Observation, Offset, Uuid};
use barnabas_commitlog::{AppendOptions, AppendOrigin, AppendTicket, Log, StorageError};
use barnabas_metadata::controller::{ControllerCore, Decision};
use barnabas_metadata::image::{ClusterImage, Delta, MetadataPosition};
use barnabas_metadata::log::{Quorum, encode_batch};
use barnabas_runtime::sync::{oneshot, queue};
use barnabas_runtime::{Env, Local};
use barnabas_wire::ErrorCode;
use barnabas_wire::internal::MetadataRecord;

use crate::metadata_log::MetadataFiles;
use crate::producer_ids::ProducerIdBlock;
use crate::shard::Shard;

/// Decisions that may wait for the device at once; further ones wait before they are made.
const DECISIONS_IN_FLIGHT_MAX: usize = 1_024;

/// The controller at work.
pub(crate) struct Controller {
    env: Env,
    log: Rc<Log>,
    epoch: LeaderEpoch,
    core: RefCell<ControllerCore>,
    committing: queue::Sender<Commit>,
    files: MetadataFiles,
    quorum: Quorum,
    /// Bytes of log since the last snapshot.
    unsnapshotted_bytes: Cell<u64>,
    /// Where the log ends if everything that the pending view rests on is written.
    pending_end: Cell<Offset>,
    /// How often the pending view was dropped.
    drops: Cell<u64>,
}

/// A decision on its way to the device. One without records of its own waits for those before it.
struct Commit {
    /// Give every shard the image once more, in its turn.
    republishes: bool,
    appended: Option<(AppendTicket, Vec<MetadataRecord>)>,
    /// [`Controller::drops`] when it was made: a decision from before a drop rests on what was lost.
    drops: u64,
    done: oneshot::Sender<Result<(), ErrorCode>>,
}

/// The quorum as DescribeQuorum shows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QuorumView {
    pub(crate) epoch: LeaderEpoch,
    pub(crate) high_watermark: Offset,
    pub(crate) end_offset: Offset,
    pub(crate) directory_id: DirectoryId,
}

impl Controller {
    /// A controller that continues from `core`, which is what the log says.
    pub(crate) fn start(
        shard: &Rc<Shard>,
        log: Rc<Log>,
        epoch: LeaderEpoch,
        core: ControllerCore,
        files: MetadataFiles,
        quorum: Quorum,
    ) -> Rc<Self> {
        let (committing, commits) = queue::bounded(DECISIONS_IN_FLIGHT_MAX);
        let controller = Rc::new(Self {
            env: shard.env.clone(),
            unsnapshotted_bytes: Cell::new(log.size_bytes()),
            pending_end: Cell::new(log.next_offset()),
            drops: Cell::new(0),
            log,
            epoch,
            core: RefCell::new(core),
            committing,
            files,
            quorum,
        });
        let committer = Rc::clone(&controller).commit_all(Rc::clone(shard), commits);
        let task = shard.env.spawn("metadata commits", committer);
        shard.tasks.borrow_mut().push(task);
        *shard.controller.borrow_mut() = Some(Rc::clone(&controller));
        controller
    }

    /// What is committed.
    pub(crate) fn image(&self) -> Arc<ClusterImage> {
        self.core.borrow().committed()
    }

    /// The offset that the next record gets.
    pub(crate) fn next_offset(&self) -> Offset {
        self.log.end_offset()
    }

    fn quorum_view(&self) -> QuorumView {
        QuorumView {
            epoch: self.epoch,
            high_watermark: self.log.high_watermark(),
            end_offset: self.log.end_offset(),
            directory_id: self.quorum.directory,
        }
    }

    /// Makes a decision and waits until it is durable and every shard has acted on it.
    pub(crate) async fn decide<T>(
        &self,
        decide: impl FnOnce(&mut ControllerCore, &mut dyn FnMut() -> Uuid) -> Decision<T>,
    ) -> Result<T, ErrorCode> {
        let Some(place) = self.committing.reserve().await else { return Err(ErrorCode::NotController) };
        let env = self.env.clone();
        let Decision { records, response, rests_on_pending } =
            decide(&mut self.core.borrow_mut(), &mut || env.random_uuid());
        if records.is_empty() && !rests_on_pending {
            return Ok(response);
        }
        let (done, outcome) = oneshot::channel();
        // A decision before this one was lost, and the pending view that this one is made from is about to be dropped.
        // Nothing that rests on it may reach the log.
        if self.log.next_offset() != self.pending_end.get() {
            barnabas_base::reachable!(self.env, DECISION_REFUSED_WITH_LOST);
            return Err(ErrorCode::KafkaStorageError);
        }
        let end = self.pending_end.get().plus(i64::try_from(records.len()).expect("a decision has few records"));
        let appended = (!records.is_empty()).then(|| (self.append(&records), records));
        self.pending_end.set(end);
        // Nothing is awaited between the decision and its place behind those before it.
        if place.put(Commit { republishes: false, appended, drops: self.drops.get(), done }).is_err() {
            return Err(ErrorCode::NotController);
        }
        outcome.await.unwrap_or(Err(ErrorCode::NotController))?;
        Ok(response)
    }

    /// Has every shard act once more on what is committed, after what was decided before: a shard that could not do all
    /// of it tries the rest again.
    pub(crate) async fn republish(&self) {
        let (done, outcome) = oneshot::channel();
        let commit = Commit { republishes: true, appended: None, drops: self.drops.get(), done };
        if self.committing.send(commit).await.is_ok() {
            // A drop that came between is followed by another attempt.
            let _ = outcome.await;
        }
    }

    /// Takes no more decisions, and returns once every shard has acted on those before: a log that is about to be made, or
    /// to be led, while its directory closes would leave a stop that is not a clean one.
    pub(crate) async fn retire(&self, shard: &Rc<Shard>) {
        drop(shard.controller.take());
        barnabas_base::sometimes!(self.env, STOP_AWAITED_DECISIONS, self.core.borrow().in_flight() > 0);
        let (done, outcome) = oneshot::channel();
        let last = Commit { republishes: false, appended: None, drops: self.drops.get(), done };
        if self.committing.send(last).await.is_ok() {
            // A drop that came between leaves nothing to wait for either.
            let _ = outcome.await;
        }
    }

    fn append(&self, records: &[MetadataRecord]) -> AppendTicket {
        let batch = encode_batch(records, self.env.wall());
        let size = u64::try_from(batch.len()).expect("a size fits 64 bits");
        self.unsnapshotted_bytes.set(self.unsnapshotted_bytes.get() + size);
        let options = AppendOptions { origin: AppendOrigin::Coordinator, leader_epoch: self.epoch };
        self.log.append(batch, options)
    }

    /// Commits decisions in their order.
    async fn commit_all(self: Rc<Self>, shard: Rc<Shard>, mut commits: queue::Receiver<Commit>) {
        while let Some(Commit { republishes, appended, drops, done }) = commits.receive().await {
            if drops != self.drops.get() {
                barnabas_base::reachable!(self.env, DECISION_REFUSED_WITH_LOST);
                self.refuse_lost(appended).await;
                done.send(Err(ErrorCode::KafkaStorageError));
                continue;
            }
            let outcome = match appended {
                Some((ticket, records)) => self.commit(&shard, ticket, &records).await,
                None => Ok(()),
            };
            if republishes {
                publish(&shard, self.image(), Arc::default(), shard.metadata_offset.get()).await;
            }
            if let Err(code) = outcome {
                tracing::error!(target: "QuorumController", "a decision could not be written: {}", code.name());
                self.drop_pending();
            }
            done.send(outcome);
            self.snapshot_if_due().await;
        }
    }

    /// A decision was not written: what was decided after it may rest on it and is refused with it, and the next one is
    /// made from what is committed.
    fn drop_pending(&self) {
        barnabas_base::reachable!(self.env, PENDING_DROPPED);
        self.core.borrow_mut().drop_pending();
        self.drops.set(self.drops.get() + 1);
        self.pending_end.set(self.log.next_offset());
    }

    /// The log takes back everything that was staged behind a write that failed, and nothing is appended behind a lost
    /// decision: one from before the drop is not in the log. If it were, it would not fit what is there.
    async fn refuse_lost(&self, appended: Option<(AppendTicket, Vec<MetadataRecord>)>) {
        let Some((ticket, _)) = appended else { return };
        if ticket.await.is_ok() {
            let error = StorageError::reported(io::ErrorKind::Other, "a decision was written behind a lost one");
            self.log.directory().fail(error);
        }
    }

    async fn commit(
        &self,
        shard: &Rc<Shard>,
        ticket: AppendTicket,
        records: &[MetadataRecord],
    ) -> Result<(), ErrorCode> {
        let appended = ticket.await.map_err(|error| error.code())?;
        let durable = self.log.wait_high_watermark(appended.end_offset).await;
        durable.map_err(|_| ErrorCode::KafkaStorageError)?;
        assert!(appended.end_offset > shard.metadata_offset.get(), "decisions are committed in the order of the log");
        let last = Offset(appended.end_offset.0 - 1);
        let (image, delta) = self.core.borrow_mut().commit(last, self.epoch, records);
        self.env.observe(&Observation::MetadataApplied { offset: last, epoch: self.epoch });
        publish(shard, image, Arc::new(delta), appended.end_offset).await;
        Ok(())
    }

    /// Writes a snapshot when enough has been appended since the last one, so that the log does not grow for ever.
    async fn snapshot_if_due(&self) {
        let limit = self.core.borrow().config().metadata_log.bytes_between_snapshots;
        if self.unsnapshotted_bytes.get() < limit.unsigned_abs() || self.core.borrow().in_flight() > 0 {
            return;
        }
        let position =
            MetadataPosition { end_offset: self.log.high_watermark(), epoch: self.epoch, timestamp: self.env.wall() };
        match self.files.snapshot(&self.log, &self.quorum, &self.image(), position).await {
            Ok(()) => self.unsnapshotted_bytes.set(0),
            Err(why) => {
                barnabas_base::reachable!(self.env, METADATA_SNAPSHOT_FAILED);
                tracing::error!(target: "SnapshotGenerator", "no snapshot of the metadata log: {why}");
            }
        }
    }
}

/// Gives every shard the new image and waits until each has acted on it.
async fn publish(shard: &Rc<Shard>, image: Arc<ClusterImage>, delta: Arc<Delta>, end_offset: Offset) {
    shard.set_image(Arc::clone(&image), end_offset);
    let applied = move |shard: &Rc<Shard>| -> Local<'static, ()> {
        let (shard, image, delta) = (Rc::clone(shard), Arc::clone(&image), Arc::clone(&delta));
        shard.set_image(Arc::clone(&image), end_offset);
        Box::pin(async move { crate::apply::apply(&shard, &image, &delta).await })
    };
    shard.on_all(applied).await;
}

/// The quorum, from any shard.
pub(crate) async fn quorum_view(shard: &Rc<Shard>) -> Option<QuorumView> {
    let asked = shard.on(shard.controller_shard(), |shard| {
        let view = shard.controller.borrow().as_ref().map(|controller| controller.quorum_view());
        Box::pin(std::future::ready(view))
    });
    asked.await
}

/// Makes a decision on the controller's shard, from any shard.
pub(crate) async fn decide<T: Send + 'static>(
    shard: &Rc<Shard>,
    decide: impl FnOnce(&mut ControllerCore, &mut dyn FnMut() -> Uuid) -> Decision<T> + Send + 'static,
) -> Result<T, ErrorCode> {
    let asked = shard.on(shard.controller_shard(), move |shard| {
        let controller = shard.controller.borrow().clone();
        Box::pin(async move {
            match controller {
                Some(controller) => controller.decide(decide).await,
                None => Err(ErrorCode::NotController),
            }
        })
    });
    asked.await
}

/// [`Controller::republish`], from any shard.
pub(crate) async fn republish(shard: &Rc<Shard>) {
    let asked = shard.on(shard.controller_shard(), |shard| -> Local<'static, ()> {
        let controller = shard.controller.borrow().clone();
        Box::pin(async move {
            if let Some(controller) = controller {
                controller.republish().await;
            }
        })
    });
    asked.await;
}

/// A fresh block of producer ids, durable before it is given out.
pub(crate) async fn allocate_producer_ids(shard: &Rc<Shard>) -> Result<ProducerIdBlock, ErrorCode> {
    let now = shard.env.wall();
    let (first, len) = decide(shard, move |core, _| core.allocate_producer_ids(now)).await?;
    Ok(ProducerIdBlock::new(first.0, len))
}

impl fmt::Debug for Controller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Controller").field("epoch", &self.epoch).finish_non_exhaustive()
    }
}
