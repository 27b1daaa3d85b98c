//! What is bounded stays so: names, batches of tombstones, batches in flight.

use std::collections::{BTreeMap, VecDeque};

use barnabas_base::{Budget, Monotonic, Offset, PartitionIndex, TimestampMs, TopicId, TopicPartition, Uuid};
use barnabas_group::{AppendId, ClientInfo, Config, Coordinator, Input, Output, Response, Token};
use barnabas_wire::ErrorCode;
use barnabas_wire::limits::STRING_BYTES_MAX;
use barnabas_wire::message::JoinGroupRequest;
use barnabas_wire::message::join_group::JoinGroupRequestProtocol;
use bytes::Bytes;

/// Key and value of a record.
type Pair = (Bytes, Option<Bytes>);

/// A coordinator with a log that takes batches when told to.
struct Desk {
    coordinator: Coordinator,
    now: Monotonic,
    emitted: VecDeque<(AppendId, Vec<Pair>)>,
    log: Vec<Pair>,
    replies: BTreeMap<u64, Response>,
    next_token: u64,
}

impl Desk {
    fn new(config: Config) -> Self {
        let partition = TopicPartition { topic_id: TopicId(Uuid([7; 16])), partition: PartitionIndex(0) };
        let mut desk = Self {
            coordinator: Coordinator::new(config, partition, Budget::new(|_| u64::MAX)),
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
}

#[test]
fn a_member_that_no_string_can_name_is_refused() {
    let longest = "x".repeat(STRING_BYTES_MAX);
    let mut desk = Desk::new(Config::default());
    let asked = [
        desk.join("g", 3, &longest, None),
        desk.join("g", 9, &longest, None),
        desk.join("g", 9, "c", Some(&longest)),
    ];
    for token in asked {
        let Some(Response::JoinGroup(answer)) = desk.replies.get(&token) else { panic!("{token} is answered") };
        assert_eq!((answer.error_code, answer.member_id.as_str()), (ErrorCode::InvalidRequest.code(), ""));
    }
    assert!(desk.emitted.is_empty(), "nothing is written for it");
    assert_eq!(desk.coordinator.groups_len(), 0, "and nothing is kept");
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
