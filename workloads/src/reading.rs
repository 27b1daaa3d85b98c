//! Reading: a consumer with what it was assigned, polls that record what came, and where reading goes on.

use std::collections::BTreeMap;
use std::fmt;

use barnabas_base::{Offset, PartitionIndex};
use barnabas_client::{Consumer, ConsumerConfig, StartAt};
use barnabas_history::{Call, LogName, Outcome, Reply, Seen};
use barnabas_plan::{GroupName, TopicName};

use crate::record::seen;
use crate::session::{Purpose, Session};

/// `fetch.max.wait.ms`.
const FETCH_WAIT_MS: i32 = 500;
/// `fetch.max.bytes`. A fetch of many partitions has to arrive within the time of a request on the slowest link that is
/// drawn, 100 kB/s.
const FETCH_BYTES_MAX: u32 = 1_048_576;
/// Records of one poll (`max.poll.records`).
const POLL_RECORDS_MAX: usize = 500;

/// Something that cannot be read.
pub(crate) struct Damage {
    pub(crate) log: LogName,
    /// Where, once that is known.
    pub(crate) at: Option<Offset>,
    pub(crate) reason: String,
}

/// A consumer and how far it came.
pub(crate) struct Reader {
    pub(crate) consumer: Consumer,
    fetch_bytes: u32,
    /// Bytes of one fetch, all partitions together.
    bytes_max: u32,
    /// The logs it is to read, as metadata had them when they were assigned.
    logs: Vec<LogName>,
    /// Where logs go on that it does not read at the moment.
    left_at: BTreeMap<LogName, Offset>,
    /// What cannot be read.
    damage: Vec<Damage>,
}

impl Reader {
    pub(crate) fn new(fetch_bytes: u32) -> Self {
        let bytes_max = FETCH_BYTES_MAX;
        let consumer = consumer(fetch_bytes, bytes_max);
        Self { consumer, fetch_bytes, bytes_max, logs: Vec::new(), left_at: BTreeMap::new(), damage: Vec::new() }
    }

    /// From the next assignment on a fetch is no larger, however many partitions it is of: on the slowest link a mebibyte takes
    /// longer than a request may.
    pub(crate) const fn bound_fetches(&mut self) {
        self.bytes_max = self.fetch_bytes;
    }

    /// Reads these logs and nothing else; from its position, else from where it was left, else from the start.
    pub(crate) fn assign(&mut self, logs: &[(LogName, Option<Offset>)], from_start: bool) {
        self.release();
        self.consumer = consumer(self.fetch_bytes, self.bytes_max);
        for (log, position) in logs {
            let left_at = self.left_at.get(log).copied().filter(|_| !from_start);
            // Where it goes on after damage that it meets before any record.
            match position.or(left_at) {
                Some(offset) => self.left_at.insert(*log, offset),
                None => self.left_at.remove(log),
            };
            let start = position.or(left_at).map_or(StartAt::Beginning, StartAt::Offset);
            self.consumer.assign(&log.topic.to_string(), index(log), start);
            self.logs.push(*log);
        }
    }

    /// Reads nothing any more, and remembers where it was.
    pub(crate) fn release(&mut self) {
        self.damage.clear();
        for log in std::mem::take(&mut self.logs) {
            if let Some(offset) = self.consumer.position(&log.topic.to_string(), index(&log)) {
                self.left_at.insert(log, offset);
            }
            self.consumer.unassign(&log.topic.to_string(), index(&log));
        }
    }

    /// The next offset of each log whose position is known.
    pub(crate) fn positions(&self) -> Vec<(LogName, Offset)> {
        let position = |log: &LogName| Some((*log, self.consumer.position(&log.topic.to_string(), index(log))?));
        self.logs.iter().filter_map(position).collect()
    }

    /// Takes up to `max` records, by log in the order of the answers.
    pub(crate) fn take(&mut self, max: usize) -> Vec<(LogName, Vec<Seen>)> {
        let mut logs: Vec<(LogName, Vec<Seen>)> = Vec::new();
        for _ in 0..max {
            let Some(received) = self.consumer.poll_record() else { break };
            let Some((log, record)) = seen(&received) else { continue };
            // An assignment may not know the incarnation; what was left is found again by the name it had there.
            let is_it = |name: &&LogName| (name.topic, name.partition) == (log.topic, log.partition);
            let assigned = self.logs.iter().find(is_it).copied().unwrap_or(log);
            self.left_at.insert(assigned, record.offset.plus(1));
            match logs.iter_mut().find(|(name, _)| *name == log) {
                Some((_, records)) => records.push(record),
                None => logs.push((log, vec![record])),
            }
        }
        logs
    }

    /// Notes what keeps logs from being read.
    fn note_damage(&mut self) {
        while let Some(error) = self.consumer.poll_error() {
            let is_it = |log: &&LogName| log.topic.to_string() == error.topic && index(log) == error.partition;
            if let Some(log) = self.logs.iter().find(is_it) {
                self.damage.push(Damage { log: *log, at: error.offset, reason: error.reason });
            }
        }
    }

    /// Whether something cannot be read.
    pub(crate) const fn is_damaged(&self) -> bool {
        !self.damage.is_empty()
    }

    /// The next log that cannot be read.
    pub(crate) fn take_damage(&mut self) -> Option<Damage> {
        self.damage.pop()
    }

    /// The first log that is not read to its end.
    pub(crate) fn first_unfinished(&self) -> Option<LogName> {
        let (topic, partition) = self.consumer.unfinished().next()?;
        self.logs.iter().find(|log| log.topic.to_string() == topic && index(log) == partition).copied()
    }

    /// Reads on at an offset.
    pub(crate) fn go_on_at(&mut self, log: LogName, offset: Offset) {
        self.left_at.insert(log, offset);
        self.consumer.assign(&log.topic.to_string(), index(&log), StartAt::Offset(offset));
    }

    /// Tries again to read what could not be read.
    fn try_again(&mut self) {
        while let Some(Damage { log, .. }) = self.take_damage() {
            let start = self.left_at.get(&log).map_or(StartAt::Beginning, |offset| StartAt::Offset(*offset));
            self.consumer.assign(&log.topic.to_string(), index(&log), start);
        }
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("logs", &self.logs).finish_non_exhaustive()
    }
}

fn consumer(fetch_bytes: u32, bytes_max: u32) -> Consumer {
    let bytes = |bytes: u32| i32::try_from(bytes).expect("a fetch is small");
    Consumer::new(ConsumerConfig {
        max_wait_ms: FETCH_WAIT_MS,
        max_bytes: bytes(bytes_max),
        partition_max_bytes: bytes(fetch_bytes),
        reset: Some(StartAt::Beginning),
        ..ConsumerConfig::default()
    })
}

fn index(log: &LogName) -> PartitionIndex {
    crate::record::partition_index(log.partition)
}

impl Session {
    /// Replaces what is read by one topic.
    ///
    /// A member leaves its group for that: as with Kafka's consumer, one excludes the other.
    pub(crate) async fn assign(&mut self, topic: TopicName, from_start: bool) {
        self.leave("assigns").await;
        let call = self.call(Call::Assign { topic, from_start });
        if !self.know(Purpose::Read, topic).await {
            return self.recorder.end(call, Outcome::Failed("the topic is not known".to_owned()));
        }
        let logs: Vec<_> = self.logs_of(Purpose::Read, topic).into_iter().map(|log| (log, None)).collect();
        self.reader.assign(&logs, from_start);
        self.recorder.end(call, Outcome::Ok(Reply::Done));
    }

    /// All partitions of a topic that is known.
    pub(crate) fn logs_of(&self, purpose: Purpose, topic: TopicName) -> Vec<LogName> {
        let known = self.client(purpose).cluster().topic(&topic.to_string());
        let known = known.map(|known| (known.id, known.partitions.keys().copied()));
        let log = |id| move |partition| crate::record::log_name(topic, id, partition);
        known.map(|(id, partitions)| partitions.map(log(id)).collect()).unwrap_or_default()
    }

    /// Takes what there is, and waits for a first record, or for the news that one cannot be read, not longer than
    /// `wait_ms`. Says whether records came.
    pub(crate) async fn poll(&mut self, wait_ms: u64) -> bool {
        let group: Option<GroupName> = self.member.as_ref().map(|member| member.group);
        let call = self.call(Call::Poll { group });
        let deadline = self.env.now().after_ms(i64::try_from(wait_ms).expect("plans are short"));
        self.reader_mut().try_again();
        self.is_reading = true;
        let logs = loop {
            let logs = self.reader_mut().take(POLL_RECORDS_MAX);
            self.reader_mut().note_damage();
            if !logs.is_empty() || self.reader_mut().is_damaged() || self.env.now() >= deadline {
                break logs;
            }
            self.turn(deadline).await;
        };
        self.is_reading = false;
        for (log, records) in &logs {
            if let Some(last) = records.last() {
                self.learn_end(*log, last.offset.plus(1));
            }
        }
        let came = !logs.is_empty();
        self.recorder.end(call, Outcome::Ok(Reply::Polled { logs }));
        came
    }

    fn reader_mut(&mut self) -> &mut Reader {
        match &mut self.member {
            Some(member) => &mut member.reader,
            None => &mut self.reader,
        }
    }
}
