//! What holds however clients, time and the log behave: every request is answered once, the committed view is the
//! replay of the log (I24), no offset outlives its group, commits are accepted from the current generation only (I26),
//! reads see what is committed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use barnabas_base::{Budget, Monotonic, Offset, PartitionIndex, TimestampMs, TopicId, TopicPartition, Uuid};
use barnabas_group::{AppendId, ClientInfo, Config, Coordinator, Input, Output, Record, Response, Token};
use barnabas_wire::ErrorCode;
use barnabas_wire::message::join_group::JoinGroupRequestProtocol;
use barnabas_wire::message::leave_group::MemberIdentity;
use barnabas_wire::message::offset_commit::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use barnabas_wire::message::offset_delete::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use barnabas_wire::message::offset_fetch::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use barnabas_wire::message::sync_group::SyncGroupRequestAssignment;
use barnabas_wire::message::{
    HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest, OffsetCommitRequest, OffsetDeleteRequest, SyncGroupRequest,
};
use bytes::Bytes;
use proptest::prelude::*;

const GROUPS: [&str; 2] = ["g", "h"];
const CLIENTS: usize = 4;
const PARTITIONS: i32 = 2;

/// One thing that happens. Clients 2 and 3 are static members.
#[derive(Clone, Debug)]
enum Step {
    Join { client: usize, restart: bool, version: i16 },
    Sync { client: usize },
    Beat { client: usize },
    Leave { client: usize },
    Commit { client: usize, partition: i32, stale: bool },
    SimpleCommit { group: usize, partition: i32 },
    Fetch { group: usize, partition: i32, require_stable: bool },
    DeleteOffset { group: usize, partition: i32 },
    DeleteGroup { group: usize },
    Advance { ms: i64 },
    Settle,
    FailOldest,
    FailYoungest,
    Reload,
}

fn steps() -> impl Strategy<Value = Step> {
    let client = 0..CLIENTS;
    let group = 0..GROUPS.len();
    let partition = 0..PARTITIONS;
    prop_oneof![
        6 => (client.clone(), prop::bool::weighted(0.2), prop_oneof![Just(3_i16), Just(9)])
            .prop_map(|(client, restart, version)| Step::Join { client, restart, version }),
        6 => client.clone().prop_map(|client| Step::Sync { client }),
        2 => client.clone().prop_map(|client| Step::Beat { client }),
        1 => client.clone().prop_map(|client| Step::Leave { client }),
        3 => (client, partition.clone(), prop::bool::weighted(0.2))
            .prop_map(|(client, partition, stale)| Step::Commit { client, partition, stale }),
        1 => (group.clone(), partition.clone()).prop_map(|(group, partition)| Step::SimpleCommit { group, partition }),
        2 => (group.clone(), partition.clone(), any::<bool>())
            .prop_map(|(group, partition, require_stable)| Step::Fetch { group, partition, require_stable }),
        1 => (group.clone(), partition).prop_map(|(group, partition)| Step::DeleteOffset { group, partition }),
        1 => group.prop_map(|group| Step::DeleteGroup { group }),
        4 => (1_i64..8_000).prop_map(|ms| Step::Advance { ms }),
        1 => Just(Step::Advance { ms: 100_000 }),
        8 => Just(Step::Settle),
        1 => Just(Step::FailOldest),
        1 => Just(Step::FailYoungest),
        1 => Just(Step::Reload),
    ]
}

/// Key and value of a record.
type Pair = (Bytes, Option<Bytes>);

/// What a client knows.
#[derive(Clone, Debug, Default)]
struct Client {
    member_id: String,
    generation: i32,
    leads: Vec<String>,
}

/// A request under way.
#[derive(Clone, Debug)]
enum Asked {
    Join { client: usize },
    Commit { group: usize, generation: i32, announced: Option<i32>, offset: i64 },
    Fetch { group: usize, partition: i32 },
    Other,
}

struct World {
    config: Config,
    coordinator: Coordinator,
    now: Monotonic,
    clients: Vec<Client>,
    emitted: VecDeque<(AppendId, Vec<Pair>)>,
    log: Vec<Pair>,
    asked: BTreeMap<u64, Asked>,
    answered: BTreeSet<u64>,
    next_token: u64,
    /// The generation of each group that members were last told, or that was written last.
    announced: [Option<i32>; 2],
}

impl World {
    fn new() -> Self {
        let config = Config { offsets_retention_ms: 60_000, group_size_max: 3, ..Config::default() };
        let mut world = Self {
            coordinator: replayed(&config, &[]),
            config,
            now: Monotonic::ZERO,
            clients: vec![Client::default(); CLIENTS],
            emitted: VecDeque::new(),
            log: Vec::new(),
            asked: BTreeMap::new(),
            answered: BTreeSet::new(),
            next_token: 0,
            announced: [None; 2],
        };
        world.call(Coordinator::loaded);
        world
    }

    fn call(&mut self, action: impl FnOnce(&mut Coordinator, Monotonic, TimestampMs, &mut Vec<Output>)) {
        let mut out = Vec::new();
        let wall = TimestampMs(i64::try_from(self.now.0 / 1_000_000).expect("a short run"));
        action(&mut self.coordinator, self.now, wall, &mut out);
        for output in out {
            match output {
                Output::Append { append_id, records } => {
                    self.learn_generations(&records);
                    self.emitted.push_back((append_id, records));
                }
                Output::Reply { token, response } => self.on_reply(token, response),
                Output::Observe(_) => {}
            }
        }
    }

    /// A generation in which everybody is gone is told to nobody, and is the current one all the same.
    fn learn_generations(&mut self, records: &[Pair]) {
        for (key, value) in records {
            let Ok(Record::Group { group, value: Some(value) }) = Record::decode(key.clone(), value.clone()) else {
                continue;
            };
            let index = GROUPS.iter().position(|name| *name == group.as_str()).expect("one of two");
            self.announced[index] = Some(value.generation);
        }
    }

    fn on_reply(&mut self, token: Token, response: Response) {
        assert!(self.answered.insert(token.0), "{token:?} is answered once");
        let asked = self.asked.remove(&token.0).expect("only requests are answered");
        match (asked, response) {
            (Asked::Join { client }, Response::JoinGroup(answer)) => {
                let known = &mut self.clients[client];
                if answer.error_code == ErrorCode::MemberIdRequired.code() {
                    known.member_id = answer.member_id;
                } else if answer.error_code == 0 {
                    self.announced[client % 2] = Some(answer.generation_id);
                    known.member_id = answer.member_id;
                    known.generation = answer.generation_id;
                    known.leads = answer.members.into_iter().map(|member| member.member_id).collect();
                } else if answer.error_code != ErrorCode::RebalanceInProgress.code() {
                    known.member_id.clear();
                }
            }
            (Asked::Fetch { group, partition }, Response::OffsetFetch(answer)) => {
                let Some(topic) = answer.topics.first() else {
                    assert_eq!(answer.error_code, ErrorCode::NotCoordinator.code(), "only who resigns does not say");
                    return;
                };
                let image = replayed(&self.config, &self.log).image();
                let committed = image.offsets.get(&(GROUPS[group].into(), "t".into(), partition));
                let committed = committed.map_or(-1, |value| value.offset);
                assert_eq!(topic.partitions[0].committed_offset, committed, "reads see what is committed");
            }
            (Asked::Commit { group, generation, announced, offset }, Response::OffsetCommit(answer)) => {
                let accepted = answer.topics[0].partitions[0].error_code == 0;
                assert!(!accepted || self.log_has(offset), "an accepted commit is in the log");
                // Generation 0 is the one before the first round of a group, and is announced to nobody.
                if accepted && generation > 0 {
                    assert_eq!(announced, Some(generation), "group {group}: only the current generation commits");
                }
            }
            (Asked::Other, _) => {}
            (asked, response) => panic!("{asked:?} is not answered with {response:?}"),
        }
    }

    fn log_has(&self, offset: i64) -> bool {
        self.log.iter().any(|(key, value)| match Record::decode(key.clone(), value.clone()) {
            Ok(Record::Offset { value: Some(value), .. }) => value.offset == offset,
            _ => false,
        })
    }

    fn ask(&mut self, asked: Asked, input: impl FnOnce(Token) -> Input) {
        let token = Token(self.next_token);
        self.next_token += 1;
        self.asked.insert(token.0, asked);
        let input = input(token);
        self.call(|coordinator, now, wall, out| coordinator.step(now, wall, input, out));
    }

    fn play(&mut self, step: Step) {
        match step {
            Step::Join { client, restart, version } => self.join(client, restart, version),
            Step::Sync { client } => self.sync(client),
            Step::Beat { client } => {
                let request = HeartbeatRequest {
                    group_id: group_of(client),
                    generation_id: self.clients[client].generation,
                    member_id: self.clients[client].member_id.clone(),
                    group_instance_id: instance_of(client),
                };
                self.ask(Asked::Other, |token| Input::Heartbeat { token, request });
            }
            Step::Leave { client } => {
                let member_id = std::mem::take(&mut self.clients[client].member_id);
                let members = vec![MemberIdentity { member_id, group_instance_id: instance_of(client), reason: None }];
                let request = LeaveGroupRequest { group_id: group_of(client), members, ..Default::default() };
                self.ask(Asked::Other, |token| Input::LeaveGroup { token, version: 5, request });
            }
            Step::Commit { client, partition, stale } => {
                let generation = self.clients[client].generation - i32::from(stale);
                let member_id = self.clients[client].member_id.clone();
                self.commit(client % 2, partition, generation, member_id, instance_of(client));
            }
            Step::SimpleCommit { group, partition } => self.commit(group, partition, -1, String::new(), None),
            Step::Fetch { group, partition, require_stable } => self.fetch(group, partition, require_stable),
            Step::DeleteOffset { group, partition } => {
                let partitions = vec![OffsetDeleteRequestPartition { partition_index: partition }];
                let topics = vec![OffsetDeleteRequestTopic { name: "t".to_owned(), partitions }];
                let request = OffsetDeleteRequest { group_id: GROUPS[group].to_owned(), topics };
                self.ask(Asked::Other, |token| Input::OffsetDelete { token, request });
            }
            Step::DeleteGroup { group } => {
                let groups = vec![GROUPS[group].to_owned()];
                self.ask(Asked::Other, |token| Input::DeleteGroups { token, groups });
            }
            Step::Advance { ms } => self.advance(ms),
            Step::Settle => self.settle(),
            Step::FailOldest => self.fail(0),
            Step::FailYoungest => self.fail(self.emitted.len().saturating_sub(1)),
            Step::Reload => self.reload(),
        }
    }

    fn join(&mut self, client: usize, restart: bool, version: i16) {
        if restart {
            self.clients[client].member_id.clear();
        }
        let mut uuid = [0; 16];
        uuid[..8].copy_from_slice(&self.next_token.to_be_bytes());
        let protocols = ["range", "rr"]
            .map(|name| JoinGroupRequestProtocol { name: name.to_owned(), metadata: Bytes::from(format!("{client}")) });
        let request = JoinGroupRequest {
            group_id: group_of(client),
            session_timeout_ms: 10_000,
            rebalance_timeout_ms: 20_000,
            member_id: self.clients[client].member_id.clone(),
            group_instance_id: instance_of(client),
            protocol_type: "consumer".to_owned(),
            protocols: protocols.to_vec(),
            reason: None,
        };
        let info = ClientInfo { id: format!("client{client}"), host: "/h".to_owned() };
        self.ask(Asked::Join { client }, |token| Input::JoinGroup {
            token,
            version,
            client: info,
            fresh_uuid: Uuid(uuid),
            request,
        });
    }

    fn sync(&mut self, client: usize) {
        let known = &self.clients[client];
        let assignment = Bytes::from(format!("{}", self.next_token));
        let assign = |member_id: &String| SyncGroupRequestAssignment {
            member_id: member_id.clone(),
            assignment: assignment.clone(),
        };
        let request = SyncGroupRequest {
            group_id: group_of(client),
            generation_id: known.generation,
            member_id: known.member_id.clone(),
            group_instance_id: instance_of(client),
            assignments: known.leads.iter().map(assign).collect(),
            ..Default::default()
        };
        self.ask(Asked::Other, |token| Input::SyncGroup { token, version: 4, request });
    }

    fn commit(&mut self, group: usize, partition: i32, generation: i32, member: String, instance: Option<String>) {
        let offset = i64::try_from(self.next_token).expect("a short run");
        let partitions = vec![OffsetCommitRequestPartition {
            partition_index: partition,
            committed_offset: offset,
            ..Default::default()
        }];
        let request = OffsetCommitRequest {
            group_id: GROUPS[group].to_owned(),
            generation_id_or_member_epoch: generation,
            member_id: member,
            group_instance_id: instance,
            topics: vec![OffsetCommitRequestTopic { name: "t".to_owned(), partitions, ..Default::default() }],
            ..Default::default()
        };
        let announced = self.announced[group];
        self.ask(Asked::Commit { group, generation, announced, offset }, |token| Input::OffsetCommit {
            token,
            version: 8,
            request,
        });
    }

    fn fetch(&mut self, group: usize, partition: i32, require_stable: bool) {
        let topics = vec![OffsetFetchRequestTopics {
            name: "t".to_owned(),
            partition_indexes: vec![partition],
            ..Default::default()
        }];
        let group_id = GROUPS[group].to_owned();
        let request = OffsetFetchRequestGroup { group_id, topics: Some(topics), ..Default::default() };
        self.ask(Asked::Fetch { group, partition }, |token| Input::OffsetFetch { token, require_stable, request });
    }

    fn advance(&mut self, ms: i64) {
        let target = self.now.after_ms(ms);
        while let Some(due) = self.coordinator.next_wakeup().filter(|due| *due <= target) {
            self.now = self.now.max(due);
            self.call(Coordinator::on_wakeup);
        }
        self.now = target;
    }

    fn settle(&mut self) {
        let Some((append_id, records)) = self.emitted.pop_front() else { return };
        self.log.extend(records);
        let end = Offset(i64::try_from(self.log.len()).expect("a short run"));
        self.call(|coordinator, now, wall, out| {
            coordinator.on_appended(now, wall, append_id, end, out);
            coordinator.on_high_watermark(now, wall, end, out);
        });
        self.check_image();
    }

    fn check_image(&self) {
        let image = self.coordinator.image();
        assert_eq!(image, replayed(&self.config, &self.log).image());
        let orphan = image.offsets.keys().find(|(group, _, _)| !image.groups.contains_key(group));
        assert_eq!(orphan, None, "offsets go before their group");
    }

    fn fail(&mut self, index: usize) {
        let Some((append_id, failed)) = self.emitted.remove(index) else { return };
        let code = ErrorCode::NotEnoughReplicas;
        self.call(|coordinator, now, wall, out| coordinator.on_append_failed(now, wall, append_id, code, out));
        self.check_image();
        // A group whose deletion failed is what the log and what was under way before make of it, unless it has begun anew.
        for group in failed.iter().filter_map(deleted_group) {
            let names = |batch: &(AppendId, Vec<Pair>)| batch.1.iter().any(|pair| is_about(pair, group));
            if !self.emitted.iter().skip(index).any(names) {
                self.announced[group] = self.generation_in_log(group);
                let before = self.emitted.iter().take(index).flat_map(|batch| batch.1.clone());
                let before: Vec<Pair> = before.filter(|pair| is_about(pair, group)).collect();
                self.learn_generations(&before);
            }
        }
    }

    fn generation_in_log(&self, group: usize) -> Option<i32> {
        let image = self.coordinator.image();
        image.groups.get(GROUPS[group]).and_then(|value| value.as_ref()).map(|value| value.generation)
    }

    fn reload(&mut self) {
        self.call(Coordinator::resign);
        assert!(self.asked.is_empty(), "whoever resigns answers: {:?}", self.asked);
        self.emitted.clear();
        self.coordinator = replayed(&self.config, &self.log);
        self.call(Coordinator::loaded);
        // The generation that the log knows may be older than the one announced.
        self.announced = [0, 1].map(|group| self.generation_in_log(group));
    }
}

fn deleted_group((key, value): &Pair) -> Option<usize> {
    match Record::decode(key.clone(), value.clone()) {
        Ok(Record::Group { group, value: None }) => GROUPS.iter().position(|name| *name == group.as_str()),
        _ => None,
    }
}

fn is_about((key, value): &Pair, index: usize) -> bool {
    let record = Record::decode(key.clone(), value.clone());
    matches!(record, Ok(Record::Group { group, .. }) if group.as_str() == GROUPS[index])
}

fn group_of(client: usize) -> String {
    GROUPS[client % 2].to_owned()
}

fn instance_of(client: usize) -> Option<String> {
    (client >= 2).then(|| "instance".to_owned())
}

fn replayed(config: &Config, log: &[Pair]) -> Coordinator {
    let partition = TopicPartition { topic_id: TopicId(Uuid([7; 16])), partition: PartitionIndex(0) };
    let mut coordinator = Coordinator::new(config.clone(), partition, Budget::new(|_| u64::MAX));
    for (offset, (key, value)) in log.iter().enumerate() {
        let offset = Offset(i64::try_from(offset).expect("a short run"));
        coordinator.replay(key.clone(), value.clone(), offset).expect("a coordinator writes what it can read");
    }
    coordinator
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn promises_hold_whatever_happens(steps in prop::collection::vec(steps(), 1..120)) {
        let mut world = World::new();
        for step in steps {
            world.play(step);
        }
        world.reload();
    }
}

/// The group is empty in a generation that is in flight when its deletion fails: the members of the one before stay gone.
#[test]
fn a_failed_deletion_brings_back_no_older_generation() {
    let join = |client| Step::Join { client, restart: false, version: 3 };
    let steps = [
        join(3),
        Step::Settle,
        Step::Advance { ms: 3_000 },
        join(1),
        join(3),
        Step::Sync { client: 3 },
        Step::Settle,
        join(3),
        Step::Advance { ms: 100_000 },
        Step::DeleteGroup { group: 1 },
        Step::FailYoungest,
        Step::Commit { client: 1, partition: 0, stale: false },
        Step::Settle,
        Step::Settle,
    ];
    let mut world = World::new();
    steps.into_iter().for_each(|step| world.play(step));
}
