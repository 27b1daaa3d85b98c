//! What is bounded stays so: names, batches of tombstones, batches in flight.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use barnabas_base::{Account, Budget, Monotonic, Offset, PartitionIndex, TimestampMs, TopicId, TopicPartition, Uuid};
use barnabas_group::{
    APPENDS_IN_FLIGHT_LIMIT, APPENDS_IN_FLIGHT_MAX, AppendId, COMMIT_BATCH_BYTES_MAX, ClientInfo, Config, Coordinator,
    Input, Output, RECORDS_PER_APPEND_MAX, Record, Response, TOMBSTONE_BATCH_BYTES_MAX, Token,
};
use barnabas_wire::ErrorCode;
use barnabas_wire::limits::STRING_BYTES_MAX;
use barnabas_wire::message::join_group::JoinGroupRequestProtocol;
use barnabas_wire::message::leave_group::MemberIdentity;
use barnabas_wire::message::offset_commit::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use barnabas_wire::message::offset_delete::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use barnabas_wire::message::{JoinGroupRequest, LeaveGroupRequest, OffsetCommitRequest, OffsetDeleteRequest};
use bytes::Bytes;

/// Key and value of a record.
type Pair = (Bytes, Option<Bytes>);

/// A coordinator with a log that takes batches when told to.
struct Desk {
    coordinator: Coordinator,
    budget: Budget,
    now: Monotonic,
    emitted: VecDeque<(AppendId, Vec<Pair>)>,
    log: Vec<Pair>,
    replies: BTreeMap<u64, Response>,
    next_token: u64,
}

impl Desk {
    fn new(config: Config) -> Self {
        let partition = TopicPartition { topic_id: TopicId(Uuid([7; 16])), partition: PartitionIndex(0) };
        let budget = Budget::new(|_| u64::MAX);
        let mut desk = Self {
            coordinator: Coordinator::new(config, partition, budget.clone()),
            budget,
            now: Monotonic::ZERO,
            emitted: VecDeque::new(),
            log: Vec::new(),
            replies: BTreeMap::new(),
            next_token: 0,
        };
        desk.call(Coordinator::loaded);
        desk
    }

    fn call(&mut self, action: impl FnOnce(&mut Coordinator, Monotonic, TimestampMs, &mut Vec<Output>)) {
        let mut out = Vec::new();
        let wall = TimestampMs(i64::try_from(self.now.0 / 1_000_000).expect("a short run"));
        action(&mut self.coordinator, self.now, wall, &mut out);
        for output in out {
            match output {
                Output::Append { append_id, records } => self.emitted.push_back((append_id, records)),
                Output::Reply { token, response } => {
                    assert!(self.replies.insert(token.0, response).is_none(), "{token:?} is answered once");
                }
                Output::Observe(_) => {}
            }
        }
    }

    /// Sends a request and says under which token.
    fn ask(&mut self, input: impl FnOnce(Token) -> Input) -> u64 {
        let token = self.next_token;
        self.next_token += 1;
        let input = input(Token(token));
        self.call(|coordinator, now, wall, out| coordinator.step(now, wall, input, out));
        token
    }

    fn join(&mut self, group: &str, version: i16, client: &str, instance: Option<&str>) -> u64 {
        let protocol = JoinGroupRequestProtocol { name: "range".to_owned(), metadata: Bytes::new() };
        let request = JoinGroupRequest {
            group_id: group.to_owned(),
            session_timeout_ms: 10_000,
            rebalance_timeout_ms: 20_000,
            group_instance_id: instance.map(str::to_owned),
            protocol_type: "test".to_owned(),
            protocols: vec![protocol],
            ..Default::default()
        };
        let client = ClientInfo { id: client.to_owned(), host: "/h".to_owned() };
        let mut uuid = [0; 16];
        uuid[..8].copy_from_slice(&self.next_token.to_be_bytes());
        let fresh_uuid = Uuid(uuid);
        self.ask(|token| Input::JoinGroup { token, version, client, fresh_uuid, request })
    }

    /// Commits an offset for each partition of `t` below `partitions`, as a simple consumer; the log has them.
    fn commit(&mut self, group: &str, partitions: i32) -> u64 {
        let partitions = (0..partitions).map(|partition_index| OffsetCommitRequestPartition {
            partition_index,
            committed_offset: 1,
            ..Default::default()
        });
        let topic =
            OffsetCommitRequestTopic { name: "t".to_owned(), partitions: partitions.collect(), ..Default::default() };
        let request = OffsetCommitRequest {
            group_id: group.to_owned(),
            generation_id_or_member_epoch: -1,
            retention_time_ms: -1,
            topics: vec![topic],
            ..Default::default()
        };
        let token = self.ask(|token| Input::OffsetCommit { token, version: 8, request });
        self.settle_all();
        token
    }

    fn delete_groups(&mut self, groups: &[&str]) -> u64 {
        let groups = groups.iter().map(|group| (*group).to_owned()).collect();
        self.ask(|token| Input::DeleteGroups { token, groups })
    }

    fn delete_offsets(&mut self, group: &str, partitions: i32) -> u64 {
        let partitions = (0..partitions).map(|partition_index| OffsetDeleteRequestPartition { partition_index });
        let topics = vec![OffsetDeleteRequestTopic { name: "t".to_owned(), partitions: partitions.collect() }];
        let request = OffsetDeleteRequest { group_id: group.to_owned(), topics };
        self.ask(|token| Input::OffsetDelete { token, request })
    }

    /// The log takes the oldest batch.
    fn settle(&mut self) {
        let (append_id, records) = self.emitted.pop_front().expect("a batch is in flight");
        self.log.extend(records);
        let end_offset = Offset(i64::try_from(self.log.len()).expect("a short run"));
        self.call(|coordinator, now, wall, out| {
            coordinator.on_appended(now, wall, append_id, end_offset, out);
            coordinator.on_high_watermark(now, wall, end_offset, out);
        });
    }

    fn settle_all(&mut self) {
        while !self.emitted.is_empty() {
            self.settle();
        }
    }

    /// The log refuses the oldest batch.
    fn refuse(&mut self, code: ErrorCode) {
        let (append_id, _) = self.emitted.pop_front().expect("a batch is in flight");
        self.call(|coordinator, now, wall, out| coordinator.on_append_failed(now, wall, append_id, code, out));
    }

    fn advance(&mut self, ms: i64) {
        let target = self.now.after_ms(ms);
        while let Some(due) = self.coordinator.next_wakeup().filter(|due| *due <= target) {
            self.now = self.now.max(due);
            self.call(Coordinator::on_wakeup);
        }
        self.now = target;
    }

    /// The errors of an OffsetCommit, each once.
    fn committed(&self, token: u64) -> Vec<i16> {
        let Some(Response::OffsetCommit(response)) = self.replies.get(&token) else {
            panic!("{token} was an OffsetCommit")
        };
        let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
        partitions.map(|partition| partition.error_code).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Error of the only group of a DeleteGroups.
    fn deleted(&self, token: u64) -> Option<i16> {
        match self.replies.get(&token)? {
            Response::DeleteGroups(results) => Some(results[0].error_code),
            other => panic!("{token} was a DeleteGroups: {other:?}"),
        }
    }

    /// Offsets that are committed, and whether the group exists.
    fn known(&self, group: &str) -> (usize, bool) {
        let image = self.coordinator.image();
        let offsets = image.offsets.keys().filter(|(id, _, _)| id.as_str() == group).count();
        (offsets, image.groups.contains_key(group))
    }
}

/// What a batch takes in the log, but for its own header.
fn bytes_of(records: &[Pair]) -> usize {
    records.iter().map(|(key, value)| key.len() + value.as_ref().map_or(0, Bytes::len)).sum()
}

fn deletes_group((key, value): &Pair) -> bool {
    matches!(Record::decode(key.clone(), value.clone()), Ok(Record::Group { value: None, .. }))
}

#[test]
fn a_member_that_no_string_can_name_is_refused() {
    let longest = "x".repeat(STRING_BYTES_MAX);
    let mut desk = Desk::new(Config::default());
    let asked =
        [desk.join("g", 3, &longest, None), desk.join("g", 9, &longest, None), desk.join("g", 9, "c", Some(&longest))];
    for token in asked {
        let Some(Response::JoinGroup(answer)) = desk.replies.get(&token) else { panic!("{token} is answered") };
        assert_eq!((answer.error_code, answer.member_id.as_str()), (ErrorCode::InvalidRequest.code(), ""));
    }
    assert!(desk.emitted.is_empty(), "nothing is written for it");
    assert_eq!(desk.budget.used_bytes(Account::Coordinators), 0, "and nothing is kept");
}

#[test]
fn the_longest_group_id_can_be_said_not_to_exist() {
    let mut desk = Desk::new(Config::default());
    let groups = vec!["x".repeat(STRING_BYTES_MAX)];
    let token = desk.ask(|token| Input::DescribeGroups { token, version: 6, groups });
    let Some(Response::DescribeGroups(groups)) = desk.replies.get(&token) else { panic!("{token} is answered") };
    assert_eq!(groups[0].error_code, ErrorCode::GroupIdNotFound.code());
    assert!(groups[0].error_message.as_ref().is_none_or(|text| text.len() <= STRING_BYTES_MAX));
}

#[test]
fn a_group_goes_when_all_its_offsets_have_gone() {
    let mut desk = Desk::new(Config::default());
    desk.commit("g", 2_500);
    let token = desk.delete_groups(&["g"]);
    for left in [1_500, 500] {
        assert_eq!(desk.emitted.len(), 1, "one batch after the other");
        assert!(!desk.emitted[0].1.iter().any(deletes_group), "the group goes last");
        desk.settle();
        assert_eq!((desk.known("g"), desk.deleted(token)), ((left, true), None));
    }
    assert!(desk.emitted[0].1.last().is_some_and(deletes_group));
    desk.settle();
    assert_eq!((desk.known("g"), desk.deleted(token)), ((0, false), Some(0)));
}

#[test]
fn a_group_stays_when_some_of_its_offsets_do() {
    let mut desk = Desk::new(Config::default());
    desk.commit("g", 2_500);
    let token = desk.delete_groups(&["g"]);
    desk.refuse(ErrorCode::NotEnoughReplicas);
    desk.settle_all();
    assert_eq!(desk.deleted(token), Some(ErrorCode::CoordinatorNotAvailable.code()));
    assert_eq!(desk.known("g"), (2_500, true));
    let token = desk.delete_groups(&["g"]);
    desk.settle_all();
    assert_eq!((desk.known("g"), desk.deleted(token)), ((0, false), Some(0)));
}

/// The deletion of an offset is in flight and fails when the group has been deleted.
#[test]
fn a_group_takes_along_offsets_whose_own_deletion_fails() {
    let mut desk = Desk::new(Config::default());
    desk.commit("g", 2);
    desk.delete_offsets("g", 1);
    let token = desk.delete_groups(&["g"]);
    desk.refuse(ErrorCode::NotEnoughReplicas);
    desk.settle_all();
    assert_eq!((desk.known("g"), desk.deleted(token)), ((0, false), Some(0)));
}

#[test]
fn a_deletion_of_offsets_is_told_of_every_batch() {
    for failing in 0..3 {
        let mut desk = Desk::new(Config::default());
        desk.commit("g", 2_500);
        let token = desk.delete_offsets("g", 2_500);
        (0..failing).for_each(|_| desk.settle());
        desk.refuse(ErrorCode::MessageTooLarge);
        desk.settle_all();
        let Some(Response::OffsetDelete(answer)) = desk.replies.get(&token) else { panic!("{token} is answered") };
        assert_eq!(answer.error_code, ErrorCode::UnknownServerError.code());
    }
}

#[test]
fn batches_of_long_names_are_bounded_by_their_bytes() {
    let mut desk = Desk::new(Config::default());
    let longest = "x".repeat(STRING_BYTES_MAX);
    desk.commit(&longest, 20);
    let token = desk.delete_groups(&[&longest]);
    while let Some((_, records)) = desk.emitted.front() {
        assert!(bytes_of(records) <= TOMBSTONE_BATCH_BYTES_MAX, "{} bytes", bytes_of(records));
        desk.settle();
    }
    assert_eq!((desk.known(&longest), desk.deleted(token)), ((0, false), Some(0)));
}

#[test]
fn an_expired_group_goes_when_all_its_offsets_have_gone() {
    let config = Config { offsets_retention_ms: 1_000, ..Config::default() };
    let sweep_ms = config.offsets_retention_check_interval_ms;
    let mut desk = Desk::new(config);
    desk.commit("g", 2_500);
    desk.advance(sweep_ms);
    assert!(!desk.emitted.iter().any(|(_, records)| records.iter().any(deletes_group)));
    desk.settle();
    desk.refuse(ErrorCode::NotEnoughReplicas);
    desk.settle_all();
    assert_eq!(desk.known("g"), (1_000, true), "what could not be written is still there");
    for known in [(0, true), (0, false)] {
        desk.advance(sweep_ms);
        desk.settle_all();
        assert_eq!(desk.known("g"), known);
    }
}

/// `max.message.bytes` of the topic is below what a batch of tombstones takes.
#[test]
fn a_sweep_that_is_refused_for_its_size_comes_smaller() {
    let config = Config { offsets_retention_ms: 1_000, ..Config::default() };
    let sweep_ms = config.offsets_retention_check_interval_ms;
    let mut desk = Desk::new(config);
    desk.commit("g", i32::try_from(RECORDS_PER_APPEND_MAX).expect("a small number"));
    for _ in 0..4 {
        desk.advance(sweep_ms);
        while let Some((_, records)) = desk.emitted.front() {
            if bytes_of(records) > 1_000 { desk.refuse(ErrorCode::MessageTooLarge) } else { desk.settle() }
        }
    }
    assert_eq!(desk.known("g"), (0, false));
}

/// A long group id stands in the record of each partition: a megabyte of partitions would be gigabytes of records.
#[test]
fn a_commit_whose_records_pass_any_batch_is_refused_before_they_are_made() {
    let mut desk = Desk::new(Config::default());
    let group = "g".repeat(32_000);
    let within = i32::try_from(COMMIT_BATCH_BYTES_MAX / 33_000).expect("a small number");
    let taken = desk.commit(&group, within);
    assert_eq!(desk.committed(taken), [ErrorCode::None.code()]);
    let records = desk.log.len();
    let refused = desk.commit(&group, 2 * within);
    assert_eq!(desk.committed(refused), [ErrorCode::UnknownServerError.code()]);
    assert_eq!(desk.log.len(), records, "nothing of it was written");
}

/// Clients go all at once, and the session of each ends in a record.
#[test]
fn deadlines_wait_for_room_in_the_log() {
    let groups = APPENDS_IN_FLIGHT_MAX + 500;
    let mut desk = Desk::new(Config::default());
    for group in 0..groups {
        desk.join(&format!("g{group}"), 3, "c", None);
        desk.settle_all();
    }
    desk.advance(3_000);
    assert_eq!(desk.replies.len(), groups, "everybody has joined");
    desk.advance(10_000);
    assert_eq!(desk.emitted.len(), APPENDS_IN_FLIGHT_MAX);
    assert_eq!(desk.coordinator.next_wakeup(), None, "a shell that is told of a deadline in vain asks for ever");
    (0..200).for_each(|_| desk.settle());
    assert!(desk.coordinator.next_wakeup().is_some_and(|due| due <= desk.now));
    desk.advance(0);
    assert_eq!(desk.emitted.len(), APPENDS_IN_FLIGHT_MAX);
    desk.settle_all();
    desk.advance(0);
    desk.settle_all();
    let image = desk.coordinator.image();
    let emptied = image.groups.values().flatten().filter(|group| group.generation == 2 && group.members.is_empty());
    assert_eq!(emptied.count(), groups);
}

/// A request that goes on with what was begun finds room when one that begins does not, but not without end.
#[test]
fn no_request_writes_beyond_the_limit() {
    let mut desk = Desk::new(Config::default());
    for group in 0..=APPENDS_IN_FLIGHT_LIMIT {
        desk.join(&format!("g{group}"), 3, "c", None);
        desk.settle_all();
    }
    desk.advance(3_000);
    let members: Vec<String> = desk
        .replies
        .values()
        .map(|reply| match reply {
            Response::JoinGroup(answer) => answer.member_id.clone(),
            other => panic!("all were joins: {other:?}"),
        })
        .collect();
    let asked: Vec<u64> = members
        .into_iter()
        .enumerate()
        .map(|(group, member_id)| {
            let members = vec![MemberIdentity { member_id, ..Default::default() }];
            let request = LeaveGroupRequest { group_id: format!("g{group}"), members, ..Default::default() };
            desk.ask(|token| Input::LeaveGroup { token, version: 5, request })
        })
        .collect();
    assert_eq!(desk.emitted.len(), APPENDS_IN_FLIGHT_LIMIT);
    let refused = asked.last().and_then(|token| desk.replies.get(token));
    let Some(Response::LeaveGroup(answer)) = refused else { panic!("the last of them is answered at once") };
    assert_eq!(answer.error_code, ErrorCode::CoordinatorNotAvailable.code());
}
