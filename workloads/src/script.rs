//! [`run_client`]: carries out the operations of one client, one after the other, and records them. The world begins it
//! once for every life of the client.

use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use barnabas_base::{Monotonic, Offset, PartitionIndex};
use barnabas_client::{Address, MemberConfig, Membership, RecordToSend, StartAt};
use barnabas_history::{Call, Outcome, Payload, Reply};
use barnabas_plan::{Action, GroupName, Lane, Operation, PlannedClient, TopicName};
use barnabas_runtime::Env;
use bytes::Bytes;

use crate::life::{Joined, Life, TOMBSTONE_HEADER, polled};
use crate::{Recorder, admin};

/// Records on their way beyond which a client waits.
const UNDELIVERED_MAX: usize = 64;
/// How long an operation waits for metadata.
const METADATA_WAIT: Duration = Duration::from_secs(5);
/// How long a member waits for the answer to its goodbye.
const GOODBYE_WAIT: Duration = Duration::from_secs(10);
/// Most records of one poll.
const POLL_RECORDS_MAX: usize = 500;

/// What one client is to do.
pub struct Script {
    /// How it behaves.
    pub client: PlannedClient,
    /// The brokers.
    pub bootstrap: Vec<Address>,
    /// Its operations by time.
    pub operations: Rc<[Operation]>,
    /// The lane of the run.
    pub lane: Lane,
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Script").field("client", &self.client.name).finish_non_exhaustive()
    }
}

/// How a life ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientEnd {
    /// By a crash; the next life goes on with this operation.
    Crashed {
        /// Position in the script.
        next: usize,
    },
    /// All is done, and every record is delivered or given up.
    Done,
}

/// Carries out the operations of `script` from the one at `from` on. `elapsed_ms` is how much of the safety phase has
/// passed, by the world's clock.
pub async fn run_client(
    env: Env,
    script: Rc<Script>,
    from: usize,
    life: u32,
    elapsed_ms: Rc<dyn Fn() -> u64>,
    recorder: Recorder,
) -> ClientEnd {
    let mut life = Life::new(&env, &script.client, &script.bootstrap, life, recorder);
    for (index, operation) in script.operations.iter().enumerate().skip(from) {
        life.wait_for(operation.at_ms, &elapsed_ms).await;
        if matches!(operation.action, Action::Crash {}) {
            return ClientEnd::Crashed { next: index + 1 };
        }
        life.perform(&operation.action).await;
    }
    life.finish().await;
    ClientEnd::Done
}

impl Life {
    /// Moves along until its time has come.
    async fn wait_for(&mut self, at_ms: u64, elapsed_ms: &Rc<dyn Fn() -> u64>) {
        loop {
            let left_ms = at_ms.saturating_sub(elapsed_ms());
            if left_ms == 0 {
                return;
            }
            let deadline = self.env.now().after(Duration::from_millis(left_ms));
            self.turn(deadline).await;
        }
    }

    async fn perform(&mut self, action: &Action) {
        match action {
            Action::Send { topic, partition, records, bytes } => {
                for _ in 0..*records {
                    self.send(*topic, *partition, None, Some(*bytes)).await;
                }
            }
            Action::Put { topic, partition, key, bytes } => {
                self.send(*topic, *partition, Some(*key), Some(*bytes)).await;
            }
            Action::Delete { topic, partition, key } => self.send(*topic, *partition, Some(*key), None).await,
            Action::Assign { topic, from_start } => self.assign(*topic, *from_start).await,
            Action::Poll { wait_ms } => self.poll(*wait_ms).await,
            Action::Join { group, topic, instance } => self.join(*group, *topic, *instance).await,
            Action::Commit {} => self.commit(),
            Action::Leave {} => self.leave().await,
            Action::Committed { group, topic } => admin::committed(self, *group, *topic).await,
            Action::Offsets { topic, partition, spec } => admin::offsets(self, *topic, *partition, *spec).await,
            Action::Trim { topic, partition, percent } => admin::trim(self, *topic, *partition, *percent).await,
            Action::Create { topic, partitions } => admin::create(self, *topic, *partitions).await,
            Action::Drop { topic } => admin::drop_topic(self, *topic).await,
            Action::Grow { topic, partitions } => admin::grow(self, *topic, *partitions).await,
            Action::Configure { topic, key, value } => admin::configure(self, *topic, key, value).await,
            Action::Raw { trick, topic, partition } => crate::raw::play(self, *trick, *topic, *partition).await,
            Action::Crash {} => unreachable!("a crash ends the life before it is performed"),
        }
    }

    /// Queues one record, a tombstone without `bytes`, and goes on at once.
    async fn send(&mut self, topic: TopicName, partition: u32, key: Option<u32>, bytes: Option<u32>) {
        while self.producer.undelivered() >= UNDELIVERED_MAX {
            let deadline = Monotonic::NEVER;
            self.turn(deadline).await;
        }
        let value = self.next_value();
        let payload = Payload { value, topic, partition };
        let encoded = payload.encode(usize::try_from(bytes.unwrap_or(0)).expect("payloads are small"));
        let timestamp = self.env.wall();
        let mut record = RecordToSend {
            topic: topic.to_string(),
            partition: Some(PartitionIndex(i32::try_from(partition).unwrap_or(i32::MAX))),
            key: key.map(|key| Bytes::from(format!("key-{key}"))),
            timestamp,
            ..RecordToSend::default()
        };
        let tombstone = bytes.is_none();
        if tombstone {
            record.headers.push((Bytes::from_static(TOMBSTONE_HEADER), Some(Bytes::from(encoded))));
        } else {
            record.value = Some(Bytes::from(encoded));
        }
        let (acks, idempotent) = (self.planned.acks, self.planned.idempotent);
        let call = Call::Send { topic, partition, value, key, tombstone, acks, idempotent, timestamp };
        let call = self.recorder.call(self.by, call);
        let ordinal = self.producer.send(self.env.now(), record);
        self.sends.insert(ordinal, (call, topic, partition));
    }

    /// Waits until the partitions of a topic are known; none when they do not become so.
    pub(crate) async fn partitions(&mut self, topic: TopicName) -> Vec<PartitionIndex> {
        let name = topic.to_string();
        let until = self.env.now().after(METADATA_WAIT);
        loop {
            self.client.want_topic(self.env.now(), &name);
            if let Some(known) = self.client.cluster().topic(&name) {
                return known.partitions.keys().copied().collect();
            }
            if self.env.now() >= until || self.client.cluster().refusal(&name).is_some() {
                return Vec::new();
            }
            self.turn(until).await;
        }
    }

    async fn assign(&mut self, topic: TopicName, from_start: bool) {
        // A member reads what the group gives it.
        if self.joined.is_some() {
            return;
        }
        let call = self.recorder.call(self.by, Call::Assign { topic, from_start });
        let partitions = self.partitions(topic).await;
        let name = topic.to_string();
        let positions: BTreeMap<PartitionIndex, Offset> =
            partitions.iter().filter_map(|partition| Some((*partition, self.position(&name, *partition)?))).collect();
        self.read_nothing();
        for partition in &partitions {
            let kept = positions.get(partition).copied().filter(|_| !from_start);
            self.consumer.assign(&name, *partition, kept.map_or(StartAt::Beginning, StartAt::Offset));
        }
        let outcome = if partitions.is_empty() {
            Outcome::Failed("the topic is not known".to_owned())
        } else {
            Outcome::Ok(Reply::Done)
        };
        self.recorder.end(call, outcome);
    }

    async fn poll(&mut self, wait_ms: u64) {
        let group = self.joined.as_ref().map(|joined| joined.group);
        let call = self.recorder.call(self.by, Call::Poll { group });
        let until = self.env.now().after(Duration::from_millis(wait_ms));
        loop {
            if !self.records.borrow().is_empty() || self.env.now() >= until {
                break;
            }
            self.turn(until).await;
        }
        let records = {
            let mut waiting = self.records.borrow_mut();
            let count = waiting.len().min(POLL_RECORDS_MAX);
            waiting.drain(..count).collect()
        };
        let logs = polled(records, |topic, partition| self.log(topic, partition));
        self.recorder.end(call, Outcome::Ok(Reply::Polled { logs }));
    }

    async fn join(&mut self, group: GroupName, topic: TopicName, instance: u32) {
        if self.joined.as_ref().is_some_and(|joined| !joined.is_over) {
            return;
        }
        self.read_nothing();
        let call = self.recorder.call(self.by, Call::Join { group, topic, instance });
        let mut config = MemberConfig::new(&group.to_string(), [topic.to_string()].into());
        config.session_timeout_ms = i32::try_from(self.planned.session_timeout_ms).unwrap_or(i32::MAX);
        config.rebalance_timeout_ms = 10_000;
        config.heartbeat_interval_ms = 1_000;
        config.instance_id = (instance > 0).then(|| format!("instance-{instance}"));
        self.joined = Some(Joined {
            group,
            topic,
            membership: Membership::new(config),
            commits: Vec::new(),
            joining: Some(call),
            leaving: None,
            is_assigned: false,
            is_over: false,
        });
        let now = self.env.now();
        self.turn(now).await;
    }

    /// Commits the positions of everything it owns, and goes on at once.
    fn commit(&mut self) {
        let Some(joined) = self.joined.as_ref().filter(|joined| joined.is_assigned) else { return };
        let (group, topic) = (joined.group, joined.topic);
        let (generation, member) = (joined.membership.generation(), joined.membership.member_id().to_owned());
        let owned: Vec<(String, PartitionIndex)> =
            self.consumer.assigned().map(|(name, partition)| (name.to_owned(), partition)).collect();
        let mut positions = BTreeMap::new();
        let mut offsets = Vec::new();
        for (name, partition) in owned {
            let Some(offset) = self.position(&name, partition) else { continue };
            offsets.push((self.log(topic, partition.0.unsigned_abs()), offset));
            positions.insert((name, partition), offset);
        }
        if positions.is_empty() {
            return;
        }
        let call = self.recorder.call(self.by, Call::Commit { group, generation, member, offsets });
        let now = self.env.now();
        if let Some(joined) = &mut self.joined {
            joined.commits.push(call);
            joined.membership.commit(now, &mut self.client, &positions);
        }
    }

    async fn leave(&mut self) {
        let Some(joined) = self.joined.as_mut().filter(|joined| !joined.is_over) else { return };
        let call = self.recorder.call(self.by, Call::Leave { group: joined.group });
        let now = self.env.now();
        joined.leaving = Some(call);
        if let Some(joining) = joined.joining.take() {
            self.recorder.end(joining, Outcome::Unknown("it left before it was assigned anything".to_owned()));
        }
        joined.membership.leave(now, &mut self.client);
        let until = now.after(GOODBYE_WAIT);
        while self.joined.as_ref().is_some_and(|joined| !joined.is_over) && self.env.now() < until {
            self.turn(until).await;
        }
        if let Some(call) = self.joined.as_mut().and_then(|joined| joined.leaving.take()) {
            self.recorder.end(call, Outcome::Unknown("no answer in time".to_owned()));
        }
        self.joined = None;
        self.read_nothing();
    }

    /// Waits for everything that is on its way, and leaves the group.
    async fn finish(&mut self) {
        while self.producer.undelivered() > 0 {
            self.turn(Monotonic::NEVER).await;
        }
        let until = self.env.now().after(GOODBYE_WAIT);
        while self.joined.as_ref().is_some_and(|joined| !joined.commits.is_empty()) && self.env.now() < until {
            self.turn(until).await;
        }
        self.leave().await;
    }
}
