//! [`Membership`]: one member of a classic consumer group, with eager rebalancing and the range assignor.
//!
//! Joins, assigns when it leads, keeps its session, commits and reads offsets, leaves. Does not fetch records; its
//! owner stops at [`MemberEvent::Revoked`] and goes on at [`MemberEvent::Assigned`]. Driven through a [`Client`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use barnabas_base::{Monotonic, Offset, PartitionIndex};
use barnabas_wire::message::join_group::JoinGroupRequestProtocol;
use barnabas_wire::message::leave_group::MemberIdentity;
use barnabas_wire::message::offset_commit::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use barnabas_wire::message::offset_fetch::OffsetFetchRequestTopic;
use barnabas_wire::message::sync_group::SyncGroupRequestAssignment;
use barnabas_wire::message::{
    HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, OffsetCommitRequest, OffsetFetchRequest,
    OffsetFetchResponse, SyncGroupRequest,
};
use barnabas_wire::{ErrorCode, RequestBody, ResponseBody};
use bytes::Bytes;

use crate::CallError;
use crate::assignor::{Assignment, range_assign};
use crate::client::{Client, Destination, Event, Tag};
use crate::limits::{MEMBERSHIP_TOPICS_MAX, backoff_ms};
use crate::protocol::{Subscription, decode_assignment, decode_subscription, encode_assignment, encode_subscription};

const PROTOCOL_TYPE: &str = "consumer";
const PROTOCOL_NAME: &str = "range";
/// OffsetCommit and OffsetFetch with names; OffsetFetch with one group.
const COMMIT_VERSION_MAX: i16 = 9;
const FETCH_VERSION_MAX: i16 = 7;
const CALL_TIMEOUT_MS: i64 = 30_000;
/// How much longer than the rebalance a JoinGroup may take, in milliseconds.
const JOIN_GRACE_MS: i64 = 5_000;

/// Settings of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberConfig {
    /// `group.id`.
    pub group_id: String,
    /// `group.instance.id`, for static membership.
    pub instance_id: Option<String>,
    /// The topics to consume.
    pub topics: BTreeSet<String>,
    /// `session.timeout.ms`.
    pub session_timeout_ms: i32,
    /// `max.poll.interval.ms`: how long others wait for this member in a rebalance.
    pub rebalance_timeout_ms: i32,
    /// `heartbeat.interval.ms`.
    pub heartbeat_interval_ms: i64,
}

impl MemberConfig {
    /// A dynamic member with Kafka's default times.
    #[must_use]
    pub fn new(group_id: &str, topics: BTreeSet<String>) -> Self {
        Self {
            group_id: group_id.to_owned(),
            instance_id: None,
            topics,
            session_timeout_ms: 45_000,
            rebalance_timeout_ms: 300_000,
            heartbeat_interval_ms: 3_000,
        }
    }
}

/// What happened to the membership.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberEvent {
    /// These partitions are ours, with the group's committed offsets.
    Assigned(BTreeMap<(String, PartitionIndex), Option<Offset>>),
    /// Nothing is ours any more. When not `lost`, what was read may still be committed now.
    Revoked {
        /// Others may already be working on what was ours.
        lost: bool,
    },
    /// A commit was accepted, or refused with a code.
    Committed(Result<(), ErrorCode>),
    /// The member has left.
    Left,
    /// The group refuses this member for good.
    Failed(ErrorCode),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// Joins when the pause is over.
    Outside {
        not_before: Monotonic,
    },
    Joining(Tag),
    /// Leads, and waits to know the topics' partitions.
    Leading {
        subscriptions: BTreeMap<String, BTreeSet<String>>,
        until: Monotonic,
    },
    Syncing(Tag),
    /// Reads the offsets of its assignment.
    Reading {
        assignment: Assignment,
        call: Tag,
    },
    Stable {
        next_heartbeat: Monotonic,
        heartbeat: Option<Tag>,
    },
    Leaving(Tag),
    Ended,
}

/// One member.
#[derive(Debug)]
pub struct Membership {
    config: MemberConfig,
    state: State,
    member_id: String,
    generation: i32,
    owned: Assignment,
    attempt: u32,
    commits: BTreeSet<Tag>,
    events: VecDeque<MemberEvent>,
}

impl Membership {
    /// A member that has not joined.
    #[must_use]
    pub fn new(config: MemberConfig) -> Self {
        assert!(config.topics.len() <= MEMBERSHIP_TOPICS_MAX, "a member subscribes to a bounded number of topics");
        Self {
            config,
            state: State::Outside { not_before: Monotonic::ZERO },
            member_id: String::new(),
            generation: -1,
            owned: Assignment::new(),
            attempt: 0,
            commits: BTreeSet::new(),
            events: VecDeque::new(),
        }
    }

    /// The member id the coordinator gave, empty before.
    #[must_use]
    pub fn member_id(&self) -> &str {
        &self.member_id
    }

    /// The generation this member belongs to; −1 outside.
    #[must_use]
    pub const fn generation(&self) -> i32 {
        self.generation
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<MemberEvent> {
        self.events.pop_front()
    }

    /// When [`poll`](Self::poll) is due, if nothing happens before.
    #[must_use]
    pub const fn next_wakeup(&self) -> Option<Monotonic> {
        match &self.state {
            State::Outside { not_before } => Some(*not_before),
            State::Leading { until, .. } => Some(*until),
            State::Stable { next_heartbeat, heartbeat: None } => Some(*next_heartbeat),
            State::Stable { heartbeat: Some(_), .. }
            | State::Joining(_)
            | State::Syncing(_)
            | State::Reading { .. }
            | State::Leaving(_)
            | State::Ended => None,
        }
    }

    /// Does what is due.
    pub fn poll(&mut self, now: Monotonic, client: &mut Client) {
        match &self.state {
            State::Outside { not_before } if now >= *not_before => self.join(now, client),
            State::Leading { .. } => self.lead(now, client),
            State::Stable { next_heartbeat, heartbeat: None } if now >= *next_heartbeat => self.beat(now, client),
            State::Outside { .. }
            | State::Stable { .. }
            | State::Joining(_)
            | State::Syncing(_)
            | State::Reading { .. }
            | State::Leaving(_)
            | State::Ended => {}
        }
    }

    /// Commits positions in the name of this member.
    pub fn commit(
        &mut self,
        now: Monotonic,
        client: &mut Client,
        positions: &BTreeMap<(String, PartitionIndex), Offset>,
    ) {
        let mut topics: BTreeMap<&str, Vec<OffsetCommitRequestPartition>> = BTreeMap::new();
        for ((topic, partition), offset) in positions {
            topics.entry(topic).or_default().push(OffsetCommitRequestPartition {
                partition_index: partition.0,
                committed_offset: offset.0,
                ..Default::default()
            });
        }
        let topics = topics.into_iter().map(|(name, partitions)| OffsetCommitRequestTopic {
            name: name.to_owned(),
            partitions,
            ..Default::default()
        });
        let request = OffsetCommitRequest {
            group_id: self.config.group_id.clone(),
            generation_id_or_member_epoch: self.generation,
            member_id: self.member_id.clone(),
            group_instance_id: self.config.instance_id.clone(),
            topics: topics.collect(),
            ..Default::default()
        };
        let tag = self.call(now, client, RequestBody::OffsetCommit(request), Some(COMMIT_VERSION_MAX), CALL_TIMEOUT_MS);
        self.commits.insert(tag);
    }

    /// Leaves the group, so that others need not wait for the session to end. Static members stay, as in Kafka.
    pub fn leave(&mut self, now: Monotonic, client: &mut Client) {
        if self.member_id.is_empty() || self.config.instance_id.is_some() {
            self.state = State::Ended;
            self.events.push_back(MemberEvent::Left);
            return;
        }
        let member = MemberIdentity { member_id: self.member_id.clone(), ..Default::default() };
        let request =
            LeaveGroupRequest { group_id: self.config.group_id.clone(), members: vec![member], ..Default::default() };
        let tag = self.call(now, client, RequestBody::LeaveGroup(request), None, CALL_TIMEOUT_MS);
        self.state = State::Leaving(tag);
    }

    /// Takes a reply of the client; says whether it was one of ours.
    pub fn on_event(&mut self, now: Monotonic, client: &mut Client, event: &Event) -> bool {
        if self.commits.remove(&event.tag) {
            let result = self.commit_result(client, &event.reply);
            self.events.push_back(MemberEvent::Committed(result));
            return true;
        }
        let is_ours = match &self.state {
            State::Joining(tag) | State::Syncing(tag) | State::Leaving(tag) | State::Reading { call: tag, .. } => {
                *tag == event.tag
            }
            State::Stable { heartbeat, .. } => *heartbeat == Some(event.tag),
            State::Outside { .. } | State::Leading { .. } | State::Ended => false,
        };
        if is_ours {
            self.on_reply(now, client, &event.reply);
        }
        is_ours
    }

    fn on_reply(&mut self, now: Monotonic, client: &mut Client, reply: &Result<(i16, ResponseBody), CallError>) {
        match (&self.state, reply) {
            (State::Joining(_), Ok((_, ResponseBody::JoinGroup(response)))) => self.on_joined(now, client, response),
            (State::Syncing(_), Ok((_, ResponseBody::SyncGroup(response)))) => match code_of(response.error_code) {
                ErrorCode::None => self.on_assigned(now, client, response.assignment.clone()),
                code => self.on_refused(now, client, code),
            },
            (State::Reading { assignment, .. }, Ok((_, ResponseBody::OffsetFetch(response)))) => {
                let assignment = assignment.clone();
                self.on_offsets(now, client, assignment, response);
            }
            (State::Stable { next_heartbeat, .. }, Ok((_, ResponseBody::Heartbeat(response)))) => {
                let next_heartbeat = *next_heartbeat;
                match code_of(response.error_code) {
                    ErrorCode::None => self.state = State::Stable { next_heartbeat, heartbeat: None },
                    code => self.on_refused(now, client, code),
                }
            }
            (State::Leaving(_), _) => {
                self.state = State::Ended;
                self.events.push_back(MemberEvent::Left);
            }
            (_, Err(CallError::Refused(code))) => self.on_refused(now, client, *code),
            (_, Err(CallError::Unsupported | CallError::Encode(_)) | Ok(_)) => {
                self.on_refused(now, client, ErrorCode::UnsupportedVersion);
            }
            (_, Err(CallError::TimedOut | CallError::Disconnected | CallError::Overloaded)) => {
                self.on_refused(now, client, ErrorCode::CoordinatorNotAvailable);
            }
        }
    }

    fn join(&mut self, now: Monotonic, client: &mut Client) {
        let subscription =
            Subscription { topics: self.config.topics.clone(), owned: self.owned.clone(), generation: self.generation };
        let metadata = encode_subscription(&subscription).expect("a bounded number of topic names fits a message");
        let request = JoinGroupRequest {
            group_id: self.config.group_id.clone(),
            session_timeout_ms: self.config.session_timeout_ms,
            rebalance_timeout_ms: self.config.rebalance_timeout_ms,
            member_id: self.member_id.clone(),
            group_instance_id: self.config.instance_id.clone(),
            protocol_type: PROTOCOL_TYPE.to_owned(),
            protocols: vec![JoinGroupRequestProtocol { name: PROTOCOL_NAME.to_owned(), metadata }],
            reason: None,
        };
        let timeout_ms = i64::from(self.config.rebalance_timeout_ms) + JOIN_GRACE_MS;
        let tag = self.call(now, client, RequestBody::JoinGroup(request), None, timeout_ms);
        self.state = State::Joining(tag);
    }

    fn on_joined(&mut self, now: Monotonic, client: &mut Client, response: &JoinGroupResponse) {
        match code_of(response.error_code) {
            ErrorCode::None => {}
            ErrorCode::MemberIdRequired => {
                self.member_id = response.member_id.clone();
                return self.join(now, client);
            }
            code => return self.on_refused(now, client, code),
        }
        self.member_id = response.member_id.clone();
        self.generation = response.generation_id;
        self.attempt = 0;
        if response.leader != response.member_id || response.skip_assignment {
            return self.sync(now, client, BTreeMap::new());
        }
        let mut subscriptions = BTreeMap::new();
        for member in &response.members {
            // A member whose words cannot be read gets nothing rather than failing all others.
            let topics = decode_subscription(member.metadata.clone()).map(|subscription| subscription.topics);
            subscriptions.insert(member.member_id.clone(), topics.unwrap_or_default());
        }
        let until = now.after_ms(i64::from(self.config.rebalance_timeout_ms) / 2);
        self.state = State::Leading { subscriptions, until };
        self.lead(now, client);
    }

    /// Assigns once every topic is known or known not to be there.
    fn lead(&mut self, now: Monotonic, client: &mut Client) {
        let State::Leading { subscriptions, until } = &self.state else { return };
        let topics: BTreeSet<&String> = subscriptions.values().flatten().collect();
        let mut partitions = BTreeMap::new();
        let mut all_known = true;
        for topic in topics {
            client.want_topic(now, topic);
            let cluster = client.cluster();
            match (cluster.topic(topic), cluster.refusal(topic)) {
                (Some(known), _) => {
                    let count = i32::try_from(known.partitions.len()).expect("a topic has at most 2³¹ partitions");
                    partitions.insert(topic.clone(), count);
                }
                (None, Some(_)) => {}
                (None, None) => all_known = false,
            }
        }
        if all_known || now >= *until {
            let assigned = range_assign(subscriptions, &partitions);
            self.sync(now, client, assigned);
        }
    }

    fn sync(&mut self, now: Monotonic, client: &mut Client, assigned: BTreeMap<String, Assignment>) {
        let assignments = assigned.into_iter().map(|(member_id, assignment)| SyncGroupRequestAssignment {
            member_id,
            assignment: encode_assignment(&assignment).expect("an assignment of known topics fits a message"),
        });
        let request = SyncGroupRequest {
            group_id: self.config.group_id.clone(),
            generation_id: self.generation,
            member_id: self.member_id.clone(),
            group_instance_id: self.config.instance_id.clone(),
            protocol_type: Some(PROTOCOL_TYPE.to_owned()),
            protocol_name: Some(PROTOCOL_NAME.to_owned()),
            assignments: assignments.collect(),
        };
        let timeout_ms = i64::from(self.config.rebalance_timeout_ms) + JOIN_GRACE_MS;
        let tag = self.call(now, client, RequestBody::SyncGroup(request), None, timeout_ms);
        self.state = State::Syncing(tag);
    }

    fn on_assigned(&mut self, now: Monotonic, client: &mut Client, bytes: Bytes) {
        let Ok(assignment) = decode_assignment(bytes) else {
            return self.on_refused(now, client, ErrorCode::InconsistentGroupProtocol);
        };
        let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
        for (topic, partition) in &assignment {
            client.want_topic(now, topic);
            topics.entry(topic).or_default().push(*partition);
        }
        let topics = topics.into_iter();
        let topics = topics
            .map(|(name, partition_indexes)| OffsetFetchRequestTopic { name: name.to_owned(), partition_indexes });
        let request = OffsetFetchRequest {
            group_id: self.config.group_id.clone(),
            topics: Some(topics.collect()),
            ..Default::default()
        };
        let call = self.call(now, client, RequestBody::OffsetFetch(request), Some(FETCH_VERSION_MAX), CALL_TIMEOUT_MS);
        self.state = State::Reading { assignment, call };
    }

    fn on_offsets(
        &mut self,
        now: Monotonic,
        client: &mut Client,
        assignment: Assignment,
        response: &OffsetFetchResponse,
    ) {
        let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
        let errors = partitions.map(|partition| partition.error_code).chain([response.error_code]);
        let first_error = errors.map(code_of).find(|code| *code != ErrorCode::None);
        if let Some(code) = first_error {
            return self.on_refused(now, client, code);
        }
        let mut assigned: BTreeMap<(String, PartitionIndex), Option<Offset>> =
            assignment.iter().map(|(topic, partition)| ((topic.clone(), PartitionIndex(*partition)), None)).collect();
        for topic in &response.topics {
            for partition in &topic.partitions {
                let key = (topic.name.clone(), PartitionIndex(partition.partition_index));
                let committed = (partition.committed_offset >= 0).then_some(Offset(partition.committed_offset));
                if let Some(entry) = assigned.get_mut(&key) {
                    *entry = committed;
                }
            }
        }
        self.owned = assignment;
        self.attempt = 0;
        self.events.push_back(MemberEvent::Assigned(assigned));
        let next_heartbeat = now.after_ms(self.config.heartbeat_interval_ms);
        self.state = State::Stable { next_heartbeat, heartbeat: None };
    }

    fn beat(&mut self, now: Monotonic, client: &mut Client) {
        let request = HeartbeatRequest {
            group_id: self.config.group_id.clone(),
            generation_id: self.generation,
            member_id: self.member_id.clone(),
            group_instance_id: self.config.instance_id.clone(),
        };
        let timeout_ms = i64::from(self.config.session_timeout_ms);
        let tag = self.call(now, client, RequestBody::Heartbeat(request), None, timeout_ms);
        let next_heartbeat = now.after_ms(self.config.heartbeat_interval_ms);
        self.state = State::Stable { next_heartbeat, heartbeat: Some(tag) };
    }

    /// The coordinator says no, or nothing: what that means for the membership.
    fn on_refused(&mut self, now: Monotonic, client: &mut Client, code: ErrorCode) {
        match code {
            ErrorCode::RebalanceInProgress => self.step_out(now, false, false),
            ErrorCode::IllegalGeneration => self.step_out(now, true, false),
            ErrorCode::UnknownMemberId => {
                self.member_id.clear();
                self.step_out(now, true, false);
            }
            ErrorCode::NotCoordinator | ErrorCode::CoordinatorNotAvailable => {
                client.forget_coordinator(&self.config.group_id);
                self.pause_or_step_out(now);
            }
            code if code.is_retriable() => self.pause_or_step_out(now),
            code => {
                self.step_out(now, true, false);
                self.state = State::Ended;
                self.events.push_back(MemberEvent::Failed(code));
            }
        }
    }

    /// Trouble on the way to the coordinator: a stable member goes on until its session would have ended anyway.
    fn pause_or_step_out(&mut self, now: Monotonic) {
        if let State::Stable { .. } = self.state {
            let next_heartbeat = now.after_ms(backoff_ms(self.attempt));
            self.attempt += 1;
            self.state = State::Stable { next_heartbeat, heartbeat: None };
            return;
        }
        self.step_out(now, false, true);
    }

    fn step_out(&mut self, now: Monotonic, lost: bool, pause: bool) {
        if let State::Stable { .. } = self.state {
            self.events.push_back(MemberEvent::Revoked { lost });
        }
        if lost {
            self.generation = -1;
            self.owned.clear();
        }
        let not_before = if pause { now.after_ms(backoff_ms(self.attempt)) } else { now };
        self.attempt += u32::from(pause);
        self.state = State::Outside { not_before };
    }

    fn commit_result(
        &self,
        client: &mut Client,
        reply: &Result<(i16, ResponseBody), CallError>,
    ) -> Result<(), ErrorCode> {
        let code = match reply {
            Ok((_, ResponseBody::OffsetCommit(response))) => {
                let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
                let codes = partitions.map(|partition| code_of(partition.error_code));
                codes.into_iter().find(|code| *code != ErrorCode::None).unwrap_or(ErrorCode::None)
            }
            Err(CallError::Refused(code)) => *code,
            Ok(_) | Err(CallError::Unsupported | CallError::Encode(_)) => ErrorCode::UnsupportedVersion,
            Err(CallError::TimedOut | CallError::Disconnected | CallError::Overloaded) => ErrorCode::RequestTimedOut,
        };
        match code {
            ErrorCode::None => Ok(()),
            ErrorCode::NotCoordinator | ErrorCode::CoordinatorNotAvailable => {
                client.forget_coordinator(&self.config.group_id);
                Err(code)
            }
            code => Err(code),
        }
    }

    fn call(
        &self,
        now: Monotonic,
        client: &mut Client,
        request: RequestBody,
        version_cap: Option<i16>,
        timeout_ms: i64,
    ) -> Tag {
        let destination = Destination::Coordinator(self.config.group_id.clone());
        client.call(now, destination, request, version_cap, timeout_ms)
    }
}

fn code_of(code: i16) -> ErrorCode {
    ErrorCode::from_code(code).unwrap_or(ErrorCode::UnknownServerError)
}
