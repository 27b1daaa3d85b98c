//! [`Piece`]: hand-written evidence in short words, for the tests of checkers: partition 0 of topic t0 unless said.

use barnabas_base::{
    LeaderEpoch, Monotonic, Observation, Offset, PartitionIndex, ProducerEpoch, ProducerId, RestartKind, Sequence,
    ShardId, TimestampMs, TopicId, TopicPartition, Uuid,
};
use barnabas_history::{
    Call, CallId, ClientLife, Content, DiskImage, Evidence, Happening, LogName, Membership, Outcome, Reply, Seen,
    Value, What,
};
use barnabas_plan::{ClientName, GroupName, Lane, NodeName, OffsetSpec, Plan, PlannedClient, TopicName};

use crate::facts::Facts;
use crate::{Promise, Verdict};

pub(crate) const T0: TopicName = TopicName(0);
/// The log as brokers name it.
pub(crate) const LOG: TopicPartition =
    TopicPartition { topic_id: TopicId(Uuid([1; 16])), partition: PartitionIndex(0) };
pub(crate) const G0: GroupName = GroupName(0);

/// Evidence in the making.
pub(crate) struct Piece {
    pub evidence: Evidence,
    calls: u32,
    life: u64,
    idempotent: bool,
    key: Option<u32>,
    acks: i16,
    log: LogName,
    timestamp: i64,
    /// Time that went by beside that of the steps.
    waited_ms: u64,
}

pub(crate) const fn life(client: u16) -> ClientLife {
    ClientLife { client: ClientName(client), life: 0 }
}

pub(crate) const fn log(id: u8) -> LogName {
    LogName { topic: T0, id: Uuid([id; 16]), partition: 0 }
}

/// A record without key.
pub(crate) fn seen(offset: i64, value: u64) -> Seen {
    let content = Content::Value(Value(value));
    Seen { offset: Offset(offset), timestamp: TimestampMs(0), key: None, content }
}

/// Evidence of the durable lane.
pub(crate) fn durable() -> Piece {
    Piece::of(Lane::Durable)
}

impl Piece {
    pub(crate) fn of(lane: Lane) -> Self {
        let mut plan = Plan::empty(1, lane);
        for name in 0..3 {
            plan.clients.push(PlannedClient {
                name: ClientName(name),
                acks: -1,
                idempotent: true,
                in_flight: 5,
                compression: "none".to_owned(),
                delivery_timeout_ms: 30_000,
                session_timeout_ms: 6_000,
                fetch_bytes: 1_024,
            });
        }
        let evidence = Evidence::new(plan);
        Self {
            evidence,
            calls: 0,
            life: 0,
            idempotent: true,
            key: None,
            acks: -1,
            log: log(1),
            timestamp: 0,
            waited_ms: 0,
        }
    }

    pub(crate) fn plan(mut self, change: impl FnOnce(&mut Plan)) -> Self {
        change(&mut self.evidence.plan);
        self
    }

    pub(crate) fn plain(mut self) -> Self {
        self.idempotent = false;
        self
    }

    pub(crate) fn acks(mut self, acks: i16) -> Self {
        self.acks = acks;
        self
    }

    pub(crate) fn key(mut self, key: u32) -> Self {
        self.key = Some(key);
        self
    }

    pub(crate) fn on(mut self, log: LogName) -> Self {
        self.log = log;
        self
    }

    pub(crate) fn push(mut self, what: What) -> Self {
        let at = Monotonic((self.evidence.steps.len() as u64 + self.waited_ms) * 1_000_000);
        self.evidence.push(at, what);
        self
    }

    /// So much time goes by; a step takes a millisecond.
    pub(crate) fn waits(mut self, ms: u64) -> Self {
        self.waited_ms += ms;
        self
    }

    pub(crate) fn happened(self, happening: Happening) -> Self {
        self.push(What::Happened(happening))
    }

    /// Begins a call; [`Self::ends`] names it by the order of beginnings, from 0 on.
    pub(crate) fn invoke(mut self, client: u16, call: Call) -> Self {
        let id = CallId(self.calls);
        self.calls += 1;
        self.push(What::Invoked { id, by: life(client), call })
    }

    pub(crate) fn ends(self, call: u32, outcome: Outcome) -> Self {
        self.push(What::Ended { id: CallId(call), outcome })
    }

    /// A call that ends at once.
    pub(crate) fn call(self, client: u16, call: Call, outcome: Outcome) -> Self {
        let piece = self.invoke(client, call);
        let id = piece.calls - 1;
        piece.ends(id, outcome)
    }

    pub(crate) fn ok(self, client: u16, call: Call, reply: Reply) -> Self {
        self.call(client, call, Outcome::Ok(reply))
    }

    fn to_send(&self, value: u64, tombstone: bool) -> Call {
        Call::Send {
            topic: self.log.topic,
            partition: self.log.partition,
            value: Value(value),
            key: self.key,
            tombstone,
            acks: self.acks,
            idempotent: self.idempotent,
            timestamp: TimestampMs(self.timestamp),
        }
    }

    pub(crate) fn at_offset(&self, offset: i64) -> Outcome {
        Outcome::Ok(Reply::Sent { log: self.log, offset: Some(Offset(offset)) })
    }

    /// Begins a send.
    pub(crate) fn send(self, client: u16, value: u64) -> Self {
        let call = self.to_send(value, false);
        self.invoke(client, call)
    }

    /// A send that was acknowledged.
    pub(crate) fn sent(self, client: u16, value: u64, offset: i64) -> Self {
        let (call, outcome) = (self.to_send(value, false), self.at_offset(offset));
        self.call(client, call, outcome)
    }

    /// A tombstone that was acknowledged.
    pub(crate) fn deleted(self, client: u16, value: u64, offset: i64) -> Self {
        let (call, outcome) = (self.to_send(value, true), self.at_offset(offset));
        self.call(client, call, outcome)
    }

    pub(crate) fn failed(self, client: u16, value: u64) -> Self {
        let call = self.to_send(value, false);
        self.call(client, call, Outcome::Failed("MESSAGE_TOO_LARGE".to_owned()))
    }

    pub(crate) fn unknown(self, client: u16, value: u64) -> Self {
        let call = self.to_send(value, false);
        self.call(client, call, Outcome::Unknown("timed out".to_owned()))
    }

    pub(crate) fn assign(self, client: u16, from_start: bool) -> Self {
        let topic = self.log.topic;
        self.ok(client, Call::Assign { topic, from_start }, Reply::Done)
    }

    /// A poll that was answered: offsets and values.
    pub(crate) fn polled(self, client: u16, records: &[(i64, u64)]) -> Self {
        let records = records.iter().map(|(offset, value)| Seen { key: self.key, ..seen(*offset, *value) }).collect();
        self.saw(client, records)
    }

    pub(crate) fn saw(self, client: u16, records: Vec<Seen>) -> Self {
        let logs = vec![(self.log, records)];
        self.ok(client, Call::Poll { group: None }, Reply::Polled { logs })
    }

    /// The same as a member of the group.
    pub(crate) fn polled_as_member(self, client: u16, records: &[(i64, u64)]) -> Self {
        let records = records.iter().map(|(offset, value)| seen(*offset, *value)).collect();
        let logs = vec![(self.log, records)];
        self.ok(client, Call::Poll { group: Some(G0) }, Reply::Polled { logs })
    }

    /// The last read of the log.
    pub(crate) fn last(self, records: &[(i64, u64)]) -> Self {
        self.happened(Happening::FinalRead).assign(2, true).polled(2, records)
    }

    pub(crate) fn last_saw(self, records: Vec<Seen>) -> Self {
        self.happened(Happening::FinalRead).assign(2, true).saw(2, records)
    }

    pub(crate) fn power_lost(self) -> Self {
        self.happened(Happening::PowerLost { node: NodeName(0), lost_bytes: 9 })
    }

    pub(crate) fn started(self, life: u64) -> Self {
        self.happened(Happening::Started { node: NodeName(0), life })
    }

    pub(crate) fn trimmed(self, before: i64) -> Self {
        let (topic, partition, log) = (self.log.topic, self.log.partition, self.log);
        let low_watermark = Offset(before);
        self.ok(0, Call::Trim { topic, partition, before: low_watermark }, Reply::Trimmed { log, low_watermark })
    }

    pub(crate) fn dropped(self, outcome: Outcome) -> Self {
        let topic = self.log.topic;
        self.call(0, Call::Drop { topic }, outcome)
    }

    pub(crate) fn configured(self, key: &str, value: &str) -> Self {
        let call = Call::Configure { topic: self.log.topic, key: key.to_owned(), value: value.to_owned() };
        self.ok(0, call, Reply::Done)
    }

    pub(crate) fn asked(self, spec: OffsetSpec, timestamp: i64, answer: i64) -> Self {
        let (topic, partition, log) = (self.log.topic, self.log.partition, self.log);
        let call = Call::Offsets { topic, partition, spec, timestamp: TimestampMs(timestamp) };
        let (offset, timestamp) = (Offset(answer), TimestampMs::NONE);
        self.ok(0, call, Reply::Offset { log, offset, timestamp, epoch: LeaderEpoch(0) })
    }

    /// A fetch at an offset that began with the record at another; −1 for none.
    pub(crate) fn looked(self, from: i64, found: i64) -> Self {
        let (topic, partition, log) = (self.log.topic, self.log.partition, self.log);
        let call = Call::Look { topic, partition, from: Offset(from) };
        let (timestamp, epoch) = (TimestampMs::NONE, LeaderEpoch::UNKNOWN);
        self.ok(0, call, Reply::Offset { log, offset: Offset(found), timestamp, epoch })
    }

    pub(crate) fn looked_out_of_range(self, from: i64) -> Self {
        let call = Call::Look { topic: self.log.topic, partition: self.log.partition, from: Offset(from) };
        self.call(0, call, Outcome::Failed("OFFSET_OUT_OF_RANGE".to_owned()))
    }

    pub(crate) fn assigned(self, client: u16, generation: i32, position: Option<i64>) -> Self {
        let positions = position.map(|position| (self.log, Offset(position))).into_iter().collect();
        let (group, member, logs) = (G0, format!("m{client}"), vec![self.log]);
        self.push(What::Member {
            by: life(client),
            change: Membership::Assigned { group, generation, member, logs, positions },
        })
    }

    /// The member loses what it owns.
    pub(crate) fn revoked(self, client: u16) -> Self {
        let change = Membership::Revoked { group: G0, reason: "the group rebalances".to_owned() };
        self.push(What::Member { by: life(client), change })
    }

    pub(crate) fn to_commit(&self, client: u16, generation: i32, offset: i64) -> Call {
        Call::Commit { group: G0, generation, member: format!("m{client}"), offsets: vec![(self.log, Offset(offset))] }
    }

    pub(crate) fn commit(self, client: u16, generation: i32, offset: i64, outcome: Outcome) -> Self {
        let call = self.to_commit(client, generation, offset);
        self.call(client, call, outcome)
    }

    pub(crate) fn commits(self, client: u16, generation: i32, offset: i64) -> Self {
        self.commit(client, generation, offset, Outcome::Ok(Reply::Done))
    }

    pub(crate) fn committed(self, answer: Option<i64>) -> Self {
        let (topic, log) = (self.log.topic, self.log);
        let offsets = answer.map(|answer| (log, Offset(answer))).into_iter().collect();
        self.ok(0, Call::Committed { group: G0, topic }, Reply::Committed { offsets })
    }

    pub(crate) fn disk(mut self, image: DiskImage) -> Self {
        self.evidence.disks.push(image);
        self
    }

    /// The device lied about this file.
    pub(crate) fn damaged(mut self, path: &str) -> Self {
        self.evidence.damaged.insert(path.to_owned());
        self
    }

    /// A broker's observation, in the life given by [`Self::lives`].
    pub(crate) fn observed(self, observation: Observation) -> Self {
        self.observed_on(ShardId(0), observation)
    }

    pub(crate) fn observed_on(self, shard: ShardId, observation: Observation) -> Self {
        let (node, life) = (NodeName(0), self.life);
        self.push(What::Observed { node, life, shard, observation })
    }

    /// Another life of the broker; how the one before it ended.
    pub(crate) fn lives(mut self, clean: bool) -> Self {
        self.life += 1;
        let life = self.life;
        self.happened(Happening::Ended { node: NodeName(0), clean }).started(life)
    }

    pub(crate) fn loaded(self, kind: RestartKind, start: i64, end: i64) -> Self {
        let (start_offset, end_offset) = (Offset(start), Offset(end));
        self.observed(Observation::LogLoaded { partition: LOG, kind, start_offset, end_offset, cut_bytes: 0 })
    }

    pub(crate) fn appended(self, base: i64, end: i64) -> Self {
        self.batch(base, end, 0, None)
    }

    pub(crate) fn batch(self, base: i64, end: i64, epoch: i32, producer: Option<(i64, i16, i32)>) -> Self {
        self.observed(Observation::Appended {
            partition: LOG,
            base_offset: Offset(base),
            end_offset: Offset(end),
            leader_epoch: LeaderEpoch(epoch),
            crc: 0,
            size_bytes: 100,
            producer: producer.map(|(id, epoch, first)| (ProducerId(id), ProducerEpoch(epoch), Sequence(first))),
        })
    }

    pub(crate) fn synced(self, offset: i64) -> Self {
        self.observed(Observation::Synced { partition: LOG, offset: Offset(offset) })
    }

    pub(crate) fn high_watermark(self, offset: i64) -> Self {
        self.observed(Observation::HighWatermarkSet { partition: LOG, offset: Offset(offset) })
    }

    pub(crate) fn log_start(self, offset: i64) -> Self {
        self.observed(Observation::LogStartSet { partition: LOG, offset: Offset(offset) })
    }

    pub(crate) fn truncated(self, offset: i64) -> Self {
        self.observed(Observation::Truncated { partition: LOG, offset: Offset(offset) })
    }

    pub(crate) fn epoch(self, epoch: i32, start: i64) -> Self {
        let (epoch, start_offset) = (LeaderEpoch(epoch), Offset(start));
        self.observed(Observation::EpochSet { partition: LOG, epoch, start_offset })
    }

    pub(crate) fn acked(self, base: i64, end: i64, acks: i16) -> Self {
        let (base_offset, end_offset) = (Offset(base), Offset(end));
        self.observed(Observation::Acked { partition: LOG, base_offset, end_offset, acks, duplicate: false })
    }

    pub(crate) fn served(self, from: i64, bound: i64) -> Self {
        let (fetch_offset, bound) = (Offset(from), Offset(bound));
        self.observed(Observation::Served { partition: LOG, fetch_offset, bound, size_bytes: 100 })
    }

    pub(crate) fn judged_by(&self, promise: &Promise) -> Verdict {
        (promise.check)(&Facts::new(&self.evidence))
    }
}

/// That `promise` holds for each piece, and that something was judged.
pub(crate) fn accepts<const N: usize>(promise: &Promise, pieces: [Piece; N]) {
    for (index, piece) in pieces.iter().enumerate() {
        let verdict = piece.judged_by(promise);
        assert!(verdict.holds(), "{} piece {index}: {:?}", promise.name, verdict.anomalies);
        assert!(verdict.judged > 0, "{} piece {index} judged nothing", promise.name);
    }
}

/// That nothing in each piece lets `promise` be judged or broken.
pub(crate) fn passes_over<const N: usize>(promise: &Promise, pieces: [Piece; N]) {
    for (index, piece) in pieces.iter().enumerate() {
        let verdict = piece.judged_by(promise);
        assert!(verdict.holds(), "{} piece {index}: {:?}", promise.name, verdict.anomalies);
    }
}

/// That `promise` is broken in each piece.
pub(crate) fn rejects<const N: usize>(promise: &Promise, pieces: [Piece; N]) {
    for (index, piece) in pieces.iter().enumerate() {
        assert!(!piece.judged_by(promise).holds(), "{} piece {index} was accepted", promise.name);
    }
}
