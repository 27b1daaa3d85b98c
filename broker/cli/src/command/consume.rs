//! `barnabas consume`: records to standard output, of chosen partitions or as a member of a group.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use barnabas_base::{Monotonic, Offset, PartitionIndex, TimestampMs};
use barnabas_client::{Consumer, ConsumerConfig, MemberConfig, MemberEvent, Membership, Received, StartAt};
use barnabas_runtime::{Either, race};
use barnabas_runtime_tokio::{Signal, Signals};
use bytes::Bytes;
use serde_json::{Value, json};

use super::topic_partitions::TopicPartitions;
use crate::client::{ClusterArgs, Session, run};
use crate::output::{Failure, complain};

/// How often a group member commits what was printed, in milliseconds (`auto.commit.interval.ms`).
const COMMIT_INTERVAL_MS: i64 = 5_000;
/// How long the last commit and the farewell to the group may take, in milliseconds.
const FAREWELL_MS: i64 = 5_000;

/// Options of `barnabas consume`.
#[derive(clap::Args, Debug)]
pub(crate) struct Consume {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Topics, or some of their partitions as TOPIC:0,2-4
    #[arg(required = true, value_name = "TOPIC")]
    topics: Vec<TopicPartitions>,
    /// Begin at the first record [default: at the end, or where the group has committed]
    #[arg(long)]
    from_beginning: bool,
    /// Begin here: beginning, end, an offset, or @ and a time in milliseconds. In a group beginning or end, and only where it
    /// has not committed
    #[arg(long, short = 'o', value_parser = parse_start, conflicts_with = "from_beginning")]
    offset: Option<StartAt>,
    /// Consume as a member of this group, and commit what was printed
    #[arg(long, short = 'g')]
    group: Option<String>,
    /// Stop after this many records
    #[arg(long, short = 'n', value_name = "COUNT")]
    max_messages: Option<u64>,
    /// Stop at the end of the partitions as it is when it is reached
    #[arg(long, short = 'e')]
    exit_at_end: bool,
    /// Stop when no record came for this long
    #[arg(long, value_name = "MS")]
    timeout_ms: Option<i64>,
    /// Print keys, and what separates them from values
    #[arg(long, short = 'K', value_name = "TEXT", num_args = 0..=1, default_missing_value = "\t")]
    print_key: Option<String>,
    /// Print partition, offset and timestamp in front of each value
    #[arg(long)]
    print_position: bool,
    /// Print headers in front of each value
    #[arg(long)]
    print_headers: bool,
}

fn parse_start(text: &str) -> Result<StartAt, String> {
    let number = |text: &str| text.parse::<i64>().ok().filter(|number| *number >= 0);
    match text {
        "beginning" | "earliest" => Ok(StartAt::Beginning),
        "end" | "latest" => Ok(StartAt::End),
        _ => match text.strip_prefix('@') {
            Some(time) => number(time).map(|time| StartAt::Timestamp(TimestampMs(time))),
            None => number(text).map(|offset| StartAt::Offset(Offset(offset))),
        }
        .ok_or_else(|| "expected beginning, end, an offset, or @ and milliseconds".to_owned()),
    }
}

/// How records are printed.
struct Layout {
    key_separator: Option<String>,
    position: bool,
    headers: bool,
}

/// When to stop.
struct Limits {
    messages: Option<u64>,
    at_end: bool,
    idle_ms: Option<i64>,
}

impl Consume {
    pub(crate) fn run(self) -> ExitCode {
        let start = if self.from_beginning { Some(StartAt::Beginning) } else { self.offset };
        let layout =
            Layout { key_separator: self.print_key, position: self.print_position, headers: self.print_headers };
        let limits = Limits { messages: self.max_messages, at_end: self.exit_at_end, idle_ms: self.timeout_ms };
        let (topics, group) = (self.topics, self.group);
        run(&self.cluster, false, async move |session| {
            session.reach_cluster().await?;
            let mut printing = Printing::new(session, start, layout, limits);
            match group {
                None => printing.prepare(session, &topics).await?,
                Some(group) => printing.join(&group, topics)?,
            }
            printing.run(session).await
        })
    }
}

/// A consumer whose records are printed.
struct Printing {
    consumer: Consumer,
    member: Option<Membership>,
    start: StartAt,
    layout: Layout,
    limits: Limits,
    printed: u64,
    last_record: Monotonic,
    next_commit: Monotonic,
    /// What was committed last, or offered to be.
    committed: BTreeMap<(String, PartitionIndex), Offset>,
    commits_in_flight: u32,
    is_assigned: bool,
    failed_partitions: usize,
}

impl Printing {
    fn new(session: &Session, start: Option<StartAt>, layout: Layout, limits: Limits) -> Self {
        let now = session.driver.now();
        let start = start.unwrap_or(StartAt::End);
        let config = ConsumerConfig { reset: None, ..Default::default() };
        Self {
            consumer: Consumer::new(config),
            member: None,
            start,
            layout,
            limits,
            printed: 0,
            last_record: now,
            next_commit: now.after_ms(COMMIT_INTERVAL_MS),
            committed: BTreeMap::new(),
            commits_in_flight: 0,
            is_assigned: false,
            failed_partitions: 0,
        }
    }

    /// Assigns the partitions that were named.
    async fn prepare(&mut self, session: &mut Session, topics: &[TopicPartitions]) -> Result<(), Failure> {
        for wanted in topics {
            session.await_topic(&wanted.topic).await?;
            let known = session.driver.client.cluster().topic(&wanted.topic);
            let known: BTreeSet<PartitionIndex> =
                known.into_iter().flat_map(|topic| topic.partitions.keys().copied()).collect();
            let chosen = wanted.partitions.as_ref().unwrap_or(&known);
            if let Some(missing) = chosen.iter().find(|partition| !known.contains(partition)) {
                return Err(Failure::refused(format!("{} has no partition {missing}", wanted.topic)));
            }
            for partition in chosen {
                self.consumer.assign(&wanted.topic, *partition, self.start);
            }
        }
        self.is_assigned = true;
        Ok(())
    }

    fn join(&mut self, group: &str, topics: Vec<TopicPartitions>) -> Result<(), Failure> {
        if topics.iter().any(|topic| topic.partitions.is_some()) {
            return Err(Failure::usage("partitions cannot be chosen together with --group"));
        }
        if matches!(self.start, StartAt::Offset(_) | StartAt::Timestamp(_)) {
            let why = "an offset or a time cannot be chosen together with --group: `barnabas groups reset-offsets` moves a group";
            return Err(Failure::usage(why));
        }
        let topics = topics.into_iter().map(|topic| topic.topic).collect();
        self.member = Some(Membership::new(MemberConfig::new(group, topics)));
        Ok(())
    }

    /// Prints until a limit is reached or somebody presses Ctrl-C.
    async fn run(&mut self, session: &mut Session) -> Result<(), Failure> {
        let mut signals =
            Signals::listen().map_err(|error| Failure::refused(format!("cannot take over signals: {error}")))?;
        let outcome = loop {
            self.pump(session)?;
            self.print(session)?;
            if let Some(outcome) = self.outcome(session) {
                break outcome;
            }
            session.out.flush()?;
            let until = self.next_wakeup(session);
            match race(signals.next(), session.step(until)).await {
                Either::First(Signal::Interrupt | Signal::Terminate) => break Err(Failure::interrupted()),
                Either::First(Signal::Hangup) | Either::Second(()) => {}
            }
        };
        // What the reader did not get is read again by whoever comes next.
        let printed = session.out.flush();
        self.say_farewell(session, printed.is_ok()).await?;
        printed.and(outcome)
    }

    fn next_wakeup(&self, session: &Session) -> Option<Monotonic> {
        let idle = self.limits.idle_ms.map(|idle_ms| self.last_record.after_ms(idle_ms));
        let member = self.member.as_ref().and_then(Membership::next_wakeup);
        let commit = self.member.as_ref().map(|_| self.next_commit.max(session.driver.now().after_ms(1)));
        [self.consumer.next_wakeup(), idle, member, commit].into_iter().flatten().min()
    }

    /// Lets member and consumer do what they can.
    fn pump(&mut self, session: &mut Session) -> Result<(), Failure> {
        loop {
            let now = session.driver.now();
            let client = &mut session.driver.client;
            if let Some(member) = &mut self.member {
                member.poll(now, client);
            }
            self.consumer.poll(now, client);
            let Some(event) = session.driver.poll_event() else { break };
            let client = &mut session.driver.client;
            let taken = self.member.as_mut().is_some_and(|member| member.on_event(now, client, &event));
            if !taken {
                self.consumer.on_event(now, client, &event);
            }
            self.on_member_events()?;
        }
        self.on_member_events()?;
        while let Some(error) = self.consumer.poll_error() {
            self.failed_partitions += 1;
            complain(&error.to_string());
        }
        if session.driver.now() >= self.next_commit {
            self.commit(session);
        }
        Ok(())
    }

    fn on_member_events(&mut self) -> Result<(), Failure> {
        while let Some(event) = self.member.as_mut().and_then(Membership::poll_event) {
            match event {
                MemberEvent::Assigned(partitions) => {
                    for ((topic, partition), committed) in partitions {
                        let start = committed.map_or(self.start, StartAt::Offset);
                        self.consumer.assign(&topic, partition, start);
                    }
                    self.is_assigned = true;
                }
                MemberEvent::Revoked { lost: _ } => {
                    let assigned: Vec<(String, PartitionIndex)> =
                        self.consumer.assigned().map(|(topic, partition)| (topic.to_owned(), partition)).collect();
                    for (topic, partition) in assigned {
                        self.consumer.unassign(&topic, partition);
                    }
                    self.committed.clear();
                    self.is_assigned = false;
                }
                MemberEvent::Committed(result) => {
                    self.commits_in_flight = self.commits_in_flight.saturating_sub(1);
                    if let Err(code) = result {
                        // The next interval tries again.
                        self.committed.clear();
                        if !code.is_retriable() {
                            complain(&format!("commit: {}", code.name()));
                        }
                    }
                }
                MemberEvent::Left => self.member = None,
                MemberEvent::Failed(code) => return Err(Failure::code("group", code, None)),
            }
        }
        Ok(())
    }

    /// Commits positions that have moved.
    fn commit(&mut self, session: &mut Session) {
        let now = session.driver.now();
        self.next_commit = now.after_ms(COMMIT_INTERVAL_MS);
        let Some(member) = &mut self.member else { return };
        if self.commits_in_flight > 0 || !self.is_assigned {
            return;
        }
        let positions = self.consumer.assigned().filter_map(|(topic, partition)| {
            let position = self.consumer.position(topic, partition)?;
            Some(((topic.to_owned(), partition), position))
        });
        let moved: BTreeMap<_, _> =
            positions.filter(|(key, position)| self.committed.get(key) != Some(position)).collect();
        if !moved.is_empty() {
            member.commit(now, &mut session.driver.client, &moved);
            self.committed.extend(moved);
            self.commits_in_flight += 1;
        }
    }

    fn print(&mut self, session: &mut Session) -> Result<(), Failure> {
        while self.limits.messages.is_none_or(|limit| self.printed < limit) {
            let Some(record) = self.consumer.poll_record() else { break };
            self.printed += 1;
            self.last_record = session.driver.now();
            if session.out.is_json() {
                session.out.line(String::new, || json_record(&record))?;
            } else {
                session.out.raw(&self.layout.text(&record))?;
            }
        }
        Ok(())
    }

    /// Whether it is time to stop, and how.
    fn outcome(&self, session: &Session) -> Option<Result<(), Failure>> {
        let failed = self.failed_partitions;
        if failed > 0 && failed >= self.consumer.assigned().count() {
            return Some(Err(Failure::refused("no partition can be read")));
        }
        let done = if failed == 0 { Ok(()) } else { Err(Failure::partly("some partitions could not be read")) };
        if self.limits.messages.is_some_and(|limit| self.printed >= limit) {
            return Some(done);
        }
        if self.limits.at_end && self.is_assigned && self.consumer.is_at_end() {
            return Some(done);
        }
        if self.limits.at_end
            && let Some(reason) = session.given_up()
        {
            return Some(Err(Failure::timed_out(format!("the end was not reached ({reason})"))));
        }
        let idle_deadline = self.limits.idle_ms.map(|idle_ms| self.last_record.after_ms(idle_ms));
        if idle_deadline.is_some_and(|deadline| session.driver.now() >= deadline) {
            return Some(Err(Failure::timed_out("no record came in time")));
        }
        None
    }

    /// Commits what was printed, if it is, and leaves the group; does not insist.
    async fn say_farewell(&mut self, session: &mut Session, is_printed: bool) -> Result<(), Failure> {
        let deadline = session.driver.now().after_ms(FAREWELL_MS);
        if is_printed {
            self.commit(session);
        }
        while self.commits_in_flight > 0 && session.driver.now() < deadline {
            session.step(Some(deadline)).await;
            self.pump_member(session)?;
        }
        if let Some(member) = &mut self.member {
            member.leave(session.driver.now(), &mut session.driver.client);
        }
        self.on_member_events()?;
        while self.member.is_some() && session.driver.now() < deadline {
            session.step(Some(deadline)).await;
            self.pump_member(session)?;
        }
        Ok(())
    }

    /// Replies to the member only: no more records.
    fn pump_member(&mut self, session: &mut Session) -> Result<(), Failure> {
        while let Some(event) = session.driver.poll_event() {
            let now = session.driver.now();
            if let Some(member) = &mut self.member {
                member.on_event(now, &mut session.driver.client, &event);
            }
        }
        self.on_member_events()
    }
}

impl Layout {
    fn text(&self, record: &Received) -> Vec<u8> {
        let mut line = Vec::new();
        if self.position {
            let position = format!("{}-{}@{} {}\t", record.topic, record.partition, record.offset, record.timestamp);
            line.extend_from_slice(position.as_bytes());
        }
        if self.headers {
            for (index, (key, value)) in record.headers.iter().enumerate() {
                line.extend_from_slice(if index > 0 { b"," } else { b"" });
                line.extend_from_slice(key);
                line.push(b'=');
                line.extend_from_slice(value.as_deref().unwrap_or(b"null"));
            }
            line.push(b'\t');
        }
        if let Some(separator) = &self.key_separator {
            line.extend_from_slice(record.key.as_deref().unwrap_or(b"null"));
            line.extend_from_slice(separator.as_bytes());
        }
        line.extend_from_slice(record.value.as_deref().unwrap_or(b"null"));
        line.push(b'\n');
        line
    }
}

fn json_record(record: &Received) -> Value {
    let mut value = json!({
        "topic": record.topic,
        "partition": record.partition.0,
        "offset": record.offset.0,
        "timestamp_ms": record.timestamp.0,
    });
    let fields = value.as_object_mut().expect("an object was just made");
    insert_bytes(fields, "key", record.key.as_ref());
    insert_bytes(fields, "value", record.value.as_ref());
    let headers = record.headers.iter().map(|(key, value)| {
        let mut header = serde_json::Map::new();
        insert_bytes(&mut header, "key", Some(key));
        insert_bytes(&mut header, "value", value.as_ref());
        Value::Object(header)
    });
    fields.insert("headers".to_owned(), headers.collect());
    value
}

/// Text as it is; other bytes under `name_hex`, in hexadecimal.
fn insert_bytes(fields: &mut serde_json::Map<String, Value>, name: &str, bytes: Option<&Bytes>) {
    match bytes.map(|bytes| std::str::from_utf8(bytes)) {
        None => fields.insert(name.to_owned(), Value::Null),
        Some(Ok(text)) => fields.insert(name.to_owned(), json!(text)),
        Some(Err(_)) => {
            let hex: String = bytes.into_iter().flatten().map(|byte| format!("{byte:02x}")).collect();
            fields.insert(format!("{name}_hex"), json!(hex))
        }
    };
}

#[cfg(test)]
mod tests {
    use barnabas_base::Uuid;

    use super::*;

    fn record() -> Received {
        Received {
            topic: "t".to_owned(),
            topic_id: Uuid::ZERO,
            partition: PartitionIndex(1),
            offset: Offset(2),
            timestamp: TimestampMs(3),
            key: Some(Bytes::from_static(b"k")),
            value: Some(Bytes::from_static(b"\xff\x00")),
            headers: vec![(Bytes::from_static(b"h"), None)],
        }
    }

    #[test]
    fn records_as_json_keep_bytes_that_are_no_text() {
        let expected = json!({
            "topic": "t", "partition": 1, "offset": 2, "timestamp_ms": 3,
            "key": "k", "value_hex": "ff00", "headers": [{ "key": "h", "value": null }],
        });
        assert_eq!(json_record(&record()), expected);
    }

    #[test]
    fn records_as_text_have_what_was_asked_for() {
        let plain = Layout { key_separator: None, position: false, headers: false };
        assert_eq!(plain.text(&record()), b"\xff\x00\n");
        let full = Layout { key_separator: Some(":".to_owned()), position: true, headers: true };
        assert_eq!(full.text(&record()), b"t-1@2 3\th=null\tk:\xff\x00\n");
    }

    #[test]
    fn beginnings_have_names() {
        assert_eq!(parse_start("beginning"), Ok(StartAt::Beginning));
        assert_eq!(parse_start("latest"), Ok(StartAt::End));
        assert_eq!(parse_start("12"), Ok(StartAt::Offset(Offset(12))));
        assert_eq!(parse_start("@34"), Ok(StartAt::Timestamp(TimestampMs(34))));
        assert!(parse_start("-1").is_err());
        assert!(parse_start("@x").is_err());
    }
}
