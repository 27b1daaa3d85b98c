//! Plays input lines to a coordinator, with a clock that moves by command and a log that is a list.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use barnabas_base::{Budget, Monotonic, Offset, PartitionIndex, TimestampMs, TopicId, TopicPartition, Uuid};
use barnabas_group::{AppendId, ClientInfo, Config, Coordinator, Input, Output, Token};
use barnabas_wire::message::join_group::JoinGroupRequestProtocol;
use barnabas_wire::message::leave_group::MemberIdentity;
use barnabas_wire::message::offset_commit::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use barnabas_wire::message::offset_delete::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use barnabas_wire::message::offset_fetch::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use barnabas_wire::message::sync_group::SyncGroupRequestAssignment;
use barnabas_wire::message::{
    HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest, ListGroupsRequest, OffsetCommitRequest, OffsetDeleteRequest,
    SyncGroupRequest,
};
use barnabas_wire::{ErrorCode, Message};
use bytes::{BufMut, Bytes, BytesMut};

use crate::scribe::{self, LONG_SUFFIX};

const WALL_AT_START_MS: i64 = 1_000_000;

type Pair = (Bytes, Option<Bytes>);

pub(crate) struct Stage {
    config: Config,
    budget: Budget,
    coordinator: Coordinator,
    now: Monotonic,
    /// Batches emitted and not yet in the log.
    emitted: VecDeque<(AppendId, Vec<Pair>)>,
    /// The log, all of it committed.
    log: Vec<Pair>,
    next_uuid: u8,
    /// `auto`: the log takes every batch at once.
    auto: bool,
    unanswered: BTreeSet<u64>,
}

/// The words of an input line: `verb token group key=value ...`.
struct Line<'a> {
    words: Vec<&'a str>,
    options: BTreeMap<&'a str, &'a str>,
}

impl<'a> Line<'a> {
    fn parse(line: &'a str) -> Self {
        let (options, words) = line.split_whitespace().partition::<Vec<_>, _>(|word| word.contains('='));
        let options = options.into_iter().filter_map(|option| option.split_once('=')).collect();
        Self { words, options }
    }

    fn word(&self, index: usize) -> &'a str {
        self.words.get(index).copied().unwrap_or_default()
    }

    /// The group, `-` for the empty name.
    fn group(&self) -> String {
        if self.word(2) == "-" { String::new() } else { self.word(2).to_owned() }
    }

    fn token(&self) -> Token {
        Token(self.word(1).parse().expect("the second word is a token"))
    }

    fn option(&self, name: &str) -> Option<&'a str> {
        self.options.get(name).copied()
    }

    fn text(&self, name: &str) -> String {
        long(self.option(name).unwrap_or_default())
    }

    fn number<T: std::str::FromStr>(&self, name: &str, default: T) -> T {
        self.option(name).map_or(default, |text| text.parse().ok().expect("a number"))
    }

    fn list(&self, name: &str) -> Vec<&'a str> {
        self.option(name).into_iter().flat_map(|text| text.split(',')).filter(|item| !item.is_empty()).collect()
    }

    fn instance(&self) -> Option<String> {
        self.option("instance").map(str::to_owned)
    }
}

fn long(text: &str) -> String {
    text.replace('#', LONG_SUFFIX)
}

fn pair(text: &str) -> (String, Bytes) {
    let (name, value) = text.split_once(':').unwrap_or((text, ""));
    (long(name), Bytes::copy_from_slice(value.as_bytes()))
}

impl Stage {
    pub(crate) fn new() -> Self {
        let config = Config::default();
        let budget = Budget::new(|_| u64::MAX);
        let mut stage = Self {
            coordinator: Coordinator::new(config.clone(), partition(), budget.clone()),
            config,
            budget,
            now: Monotonic::ZERO,
            emitted: VecDeque::new(),
            log: Vec::new(),
            next_uuid: 1,
            auto: false,
            unanswered: BTreeSet::new(),
        };
        stage.reload();
        stage
    }

    pub(crate) fn play(&mut self, line: &str) -> Vec<String> {
        let line = Line::parse(line);
        let mut outputs = match line.word(0) {
            "auto" => self.set_auto(true),
            "manual" => self.set_auto(false),
            "config" => self.configure(&line),
            "memory" => self.limit_memory(line.word(1).parse().expect("bytes")),
            "after" => self.advance(line.word(1).parse().expect("milliseconds")),
            "settle" => self.settle(),
            "fail" => self.fail(&line),
            "reload" => self.reload(),
            "resign" => self.call(Coordinator::resign),
            "unload" => {
                self.coordinator = Coordinator::new(self.config.clone(), partition(), self.budget.clone());
                Vec::new()
            }
            "topic-deleted" => {
                let name = line.word(1);
                self.call(|coordinator, now, wall, out| {
                    coordinator.on_topic_deleted(now, wall, name, topic_id(name), out);
                })
            }
            _ => {
                let input = self.input(&line);
                assert!(self.unanswered.insert(input.token().0), "a token is used once");
                self.call(|coordinator, now, wall, out| coordinator.step(now, wall, input, out))
            }
        };
        if self.auto {
            outputs.extend(self.settle());
        }
        outputs.iter().filter_map(scribe::describe).collect()
    }

    /// Everything was answered, and the log says what the coordinator knows.
    pub(crate) fn finish(mut self) {
        if self.coordinator.is_active() {
            self.assert_image_is_replay();
        }
        self.call(Coordinator::resign);
        assert!(self.unanswered.is_empty(), "never answered: {:?}", self.unanswered);
    }

    /// Lets the coordinator do one thing and takes note of what it asks for.
    fn call(&mut self, action: impl FnOnce(&mut Coordinator, Monotonic, TimestampMs, &mut Vec<Output>)) -> Vec<Output> {
        let mut out = Vec::new();
        let wall = self.wall();
        action(&mut self.coordinator, self.now, wall, &mut out);
        for output in &out {
            match output {
                Output::Append { append_id, records } => self.emitted.push_back((*append_id, records.clone())),
                Output::Reply { token, .. } => {
                    assert!(self.unanswered.remove(&token.0), "{token:?} is answered once");
                }
                Output::Observe(_) => {}
            }
        }
        out
    }

    fn set_auto(&mut self, auto: bool) -> Vec<Output> {
        self.auto = auto;
        Vec::new()
    }

    fn wall(&self) -> TimestampMs {
        TimestampMs(WALL_AT_START_MS + i64::try_from(self.now.0 / 1_000_000).expect("a script is short"))
    }

    fn configure(&mut self, line: &Line<'_>) -> Vec<Output> {
        let config = &mut self.config;
        config.initial_rebalance_delay_ms = line.number("initial_delay", config.initial_rebalance_delay_ms);
        config.group_size_max = line.number("group_size_max", config.group_size_max);
        config.offset_metadata_size_max = line.number("metadata_max", config.offset_metadata_size_max);
        config.offsets_retention_ms = line.number("retention", config.offsets_retention_ms);
        config.offsets_retention_check_interval_ms =
            line.number("check_interval", config.offsets_retention_check_interval_ms);
        self.reload()
    }

    /// A start with another budget.
    fn limit_memory(&mut self, limit_bytes: u64) -> Vec<Output> {
        self.budget = Budget::new(|_| limit_bytes);
        self.reload()
    }

    fn reload(&mut self) -> Vec<Output> {
        self.coordinator = replayed(&self.config, &self.budget, &self.log);
        self.call(Coordinator::loaded)
    }

    fn advance(&mut self, by_ms: i64) -> Vec<Output> {
        let target = self.now.after_ms(by_ms);
        let mut outputs = Vec::new();
        while let Some(due) = self.coordinator.next_wakeup().filter(|due| *due <= target) {
            self.now = self.now.max(due);
            outputs.extend(self.call(Coordinator::on_wakeup));
        }
        self.now = target;
        outputs
    }

    fn settle(&mut self) -> Vec<Output> {
        let mut outputs = Vec::new();
        while let Some((append_id, records)) = self.emitted.pop_front() {
            self.log.extend(records);
            let end_offset = Offset(i64::try_from(self.log.len()).expect("a script is short"));
            outputs.extend(self.call(|coordinator, now, wall, out| {
                coordinator.on_appended(now, wall, append_id, end_offset, out);
                coordinator.on_high_watermark(now, wall, end_offset, out);
            }));
            self.assert_image_is_replay();
        }
        outputs
    }

    fn fail(&mut self, line: &Line<'_>) -> Vec<Output> {
        let id: u64 = line.word(1).parse().expect("the second word is a batch");
        let code = ErrorCode::ALL.iter().find(|code| code.name() == line.word(2)).expect("the third is a code");
        self.emitted.retain(|(append_id, _)| append_id.0 != id);
        self.call(|coordinator, now, wall, out| coordinator.on_append_failed(now, wall, AppendId(id), *code, out))
    }

    fn assert_image_is_replay(&self) {
        assert_eq!(self.coordinator.image(), replayed(&self.config, &self.budget, &self.log).image());
    }

    fn input(&mut self, line: &Line<'_>) -> Input {
        let (token, version, group_id) = (line.token(), line.number("version", 9), line.group());
        match line.word(0) {
            "join" => self.join(line),
            "sync" => Input::SyncGroup { token, version: line.number("version", 4), request: sync(line) },
            "beat" => Input::Heartbeat { token, request: heartbeat(line) },
            "leave" => Input::LeaveGroup { token, version: line.number("version", 5), request: leave(line) },
            "commit" => Input::OffsetCommit { token, version, request: commit(line) },
            "fetch" => {
                let request = OffsetFetchRequestGroup { group_id, topics: fetch_topics(line), ..Default::default() };
                Input::OffsetFetch { token, require_stable: line.word(3) == "stable", request }
            }
            "delete-offsets" => Input::OffsetDelete { token, request: delete_offsets(line) },
            "delete-groups" => Input::DeleteGroups { token, groups: names(line.word(2)) },
            "describe" => {
                Input::DescribeGroups { token, version: line.number("version", 6), groups: names(line.word(2)) }
            }
            "list" => {
                let states_filter = line.list("states").into_iter().map(str::to_owned).collect();
                let types_filter = line.list("types").into_iter().map(str::to_owned).collect();
                Input::ListGroups { token, request: ListGroupsRequest { states_filter, types_filter } }
            }
            verb => panic!("no such input: {verb}"),
        }
    }

    fn join(&mut self, line: &Line<'_>) -> Input {
        let mut uuid = [0; 16];
        uuid[15] = self.next_uuid;
        let protocol_type = line.option("type").unwrap_or("test").to_owned();
        let client = ClientInfo { id: line.option("client").unwrap_or("c").to_owned(), host: "/h".to_owned() };
        let protocols = line.list("protocols").into_iter().map(|text| protocol(&protocol_type, text));
        let request = JoinGroupRequest {
            group_id: line.group(),
            session_timeout_ms: line.number("session", 10_000),
            rebalance_timeout_ms: line.number("rebalance", 30_000),
            member_id: line.text("member"),
            group_instance_id: line.instance(),
            protocols: protocols.collect(),
            protocol_type,
            reason: None,
        };
        if request.member_id.is_empty() {
            self.next_uuid += 1;
        }
        let version = line.number("version", 9);
        Input::JoinGroup { token: line.token(), version, client, fresh_uuid: Uuid(uuid), request }
    }
}

fn partition() -> TopicPartition {
    TopicPartition { topic_id: TopicId(Uuid([7; 16])), partition: PartitionIndex(0) }
}

fn topic_id(name: &str) -> Uuid {
    let mut bytes = [0; 16];
    for (byte, char) in bytes.iter_mut().zip(name.bytes()) {
        *byte = char;
    }
    Uuid(bytes)
}

fn replayed(config: &Config, budget: &Budget, log: &[Pair]) -> Coordinator {
    let mut coordinator = Coordinator::new(config.clone(), partition(), budget.clone());
    for (offset, (key, value)) in log.iter().enumerate() {
        let offset = Offset(i64::try_from(offset).expect("a script is short"));
        coordinator.replay(key.clone(), value.clone(), offset).expect("a coordinator writes what it can read");
    }
    coordinator
}

/// `name:metadata`; for groups of type `consumer` the metadata is a subscription to the topics named, `a+b`.
fn protocol(protocol_type: &str, text: &str) -> JoinGroupRequestProtocol {
    let (name, metadata) = pair(text);
    if protocol_type != "consumer" {
        return JoinGroupRequestProtocol { name, metadata };
    }
    use barnabas_wire::internal::consumer_protocol::ConsumerProtocolSubscription;
    let topics = text.split_once(':').map_or("", |(_, topics)| topics).split('+').map(str::to_owned).collect();
    let body = ConsumerProtocolSubscription { topics, ..Default::default() }.to_bytes(1).expect("a subscription");
    let mut metadata = BytesMut::new();
    metadata.put_i16(1);
    metadata.put_slice(&body);
    JoinGroupRequestProtocol { name, metadata: metadata.freeze() }
}

fn names(text: &str) -> Vec<String> {
    text.split(',').map(|name| if name == "-" { String::new() } else { name.to_owned() }).collect()
}

fn sync(line: &Line<'_>) -> SyncGroupRequest {
    let assignments = line.list("assign").into_iter().map(pair);
    SyncGroupRequest {
        group_id: line.group(),
        generation_id: line.number("gen", -1),
        member_id: line.text("member"),
        group_instance_id: line.instance(),
        protocol_type: line.option("type").map(str::to_owned),
        protocol_name: line.option("protocol").map(str::to_owned),
        assignments: assignments
            .map(|(member_id, assignment)| SyncGroupRequestAssignment { member_id, assignment })
            .collect(),
    }
}

fn heartbeat(line: &Line<'_>) -> HeartbeatRequest {
    HeartbeatRequest {
        group_id: line.group(),
        generation_id: line.number("gen", -1),
        member_id: line.text("member"),
        group_instance_id: line.instance(),
    }
}

/// `members=a,b,/i1,c/i2`: member ids, instance ids behind a slash.
fn leave(line: &Line<'_>) -> LeaveGroupRequest {
    let members = line.list("members").into_iter().map(|text| {
        let (member, instance) = text.split_once('/').map_or((text, None), |(member, id)| (member, Some(id)));
        MemberIdentity { member_id: long(member), group_instance_id: instance.map(str::to_owned), reason: None }
    });
    LeaveGroupRequest { group_id: line.group(), member_id: line.text("member"), members: members.collect() }
}

/// Words behind the group are `topic-partition:offset`.
fn commit(line: &Line<'_>) -> OffsetCommitRequest {
    let topics = line.words[3..].iter().map(|word| {
        let (target, offset) = word.split_once(':').expect("topic-partition:offset");
        let (name, partition_index) = target_of(target);
        let partition = OffsetCommitRequestPartition {
            partition_index,
            committed_offset: offset.parse().expect("an offset"),
            committed_leader_epoch: -1,
            committed_metadata: line.option("metadata").map(str::to_owned),
        };
        let topic_id = line.option("ids").map_or(Uuid::ZERO, |_| topic_id(&name));
        OffsetCommitRequestTopic { name, topic_id, partitions: vec![partition] }
    });
    OffsetCommitRequest {
        group_id: line.group(),
        generation_id_or_member_epoch: line.number("gen", -1),
        member_id: line.text("member"),
        group_instance_id: line.instance(),
        retention_time_ms: line.number("retention", -1),
        topics: topics.collect(),
    }
}

fn target_of(text: &str) -> (String, i32) {
    let (name, partition) = text.rsplit_once('-').expect("topic-partition");
    (name.to_owned(), partition.parse().expect("a partition"))
}

fn fetch_topics(line: &Line<'_>) -> Option<Vec<OffsetFetchRequestTopics>> {
    let asked: Vec<&str> = line.words[3..].iter().copied().filter(|word| *word != "stable").collect();
    if asked == ["all"] {
        return None;
    }
    let topics = asked.into_iter().map(|word| {
        let (name, partition) = target_of(word);
        OffsetFetchRequestTopics { name, partition_indexes: vec![partition], ..Default::default() }
    });
    Some(topics.collect())
}

fn delete_offsets(line: &Line<'_>) -> OffsetDeleteRequest {
    let topics = line.words[3..].iter().map(|word| {
        let (name, partition_index) = target_of(word);
        OffsetDeleteRequestTopic { name, partitions: vec![OffsetDeleteRequestPartition { partition_index }] }
    });
    OffsetDeleteRequest { group_id: line.group(), topics: topics.collect() }
}
