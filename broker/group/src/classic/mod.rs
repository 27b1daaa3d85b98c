//! One classic consumer group: members, generation, votes, parked requests. The state machine of Kafka's
//! `ClassicGroup`, driven by requests and timers through the coordinator; it sees time and the log through a
//! [`Context`] only.
//!
//! ```text
//!             first member joins            all joined, or time is up
//!   Empty ─────────────────────▶ PreparingRebalance ──────────────▶ CompletingRebalance
//!     ▲                            │        ▲   ▲                       │         │
//!     └────────────────────────────┘        │   └───────────────────────┘         │ leader's assignment
//!            nobody joined                  │     member joins, leaves,           │ is committed
//!                                           │     fails, or never syncs           ▼
//!                                           └─────────────────────────────────  Stable
//! ```

mod context;
mod join;
mod leave;
mod member;
mod rebalance;
mod session;
mod statics;
mod sync;

use std::collections::{BTreeMap, BTreeSet};

use barnabas_base::{Account, Budget, Charge, GenerationId, TimestampMs};
use barnabas_wire::ErrorCode;
use barnabas_wire::internal::offsets_schema::{GroupMetadataValue, MemberMetadata};

pub(crate) use context::Context;
pub(crate) use join::JoinCall;
pub(crate) use leave::{leave_response, leaving_members, refuse_members};
pub(crate) use member::Member;
pub(crate) use statics::StaticReplacement;
pub(crate) use sync::{Assignment, names_protocol};

use crate::id::{GroupId, InstanceId, MemberId, TopicName};
use crate::record::Record;
use crate::subscription::{CONSUMER_PROTOCOL_TYPE, collect_topics};
use crate::timers::TimerId;
use crate::weight;

/// State of a classic group, named as tools print it. A group that does not exist is shown as `Dead`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GroupState {
    /// No members; committed offsets may exist.
    Empty,
    /// Waits for members to join.
    PreparingRebalance,
    /// Waits for the leader's assignment.
    CompletingRebalance,
    /// Members consume.
    Stable,
}

impl GroupState {
    /// What tools show for a group that does not exist.
    pub const DEAD_NAME: &'static str = "Dead";

    /// Kafka's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
        }
    }

    const fn may_become(self, next: Self) -> bool {
        match next {
            Self::Empty | Self::CompletingRebalance => matches!(self, Self::PreparingRebalance),
            Self::PreparingRebalance => !matches!(self, Self::PreparingRebalance),
            Self::Stable => matches!(self, Self::CompletingRebalance),
        }
    }
}

/// One group.
#[derive(Debug)]
pub(crate) struct ClassicGroup {
    id: GroupId,
    state: GroupState,
    previous_state: GroupState,
    /// Wall-clock time of the last change of state: offsets of an empty group expire by it.
    state_since: Option<TimestampMs>,
    protocol_type: Option<String>,
    protocol_name: Option<String>,
    generation: GenerationId,
    leader: Option<MemberId>,
    members: BTreeMap<MemberId, Member>,
    static_members: BTreeMap<InstanceId, MemberId>,
    /// Ids handed out with MEMBER_ID_REQUIRED whose owners have not come back yet.
    pending_members: BTreeMap<MemberId, Option<TimerId>>,
    /// Members with a parked JoinGroup.
    awaiting_join: usize,
    /// How many members can use each protocol.
    supported: BTreeMap<String, usize>,
    /// Members of this generation that have not asked for their assignment.
    pending_sync: BTreeSet<MemberId>,
    /// Topics the members consume; none when their protocol does not tell.
    subscribed: Option<BTreeSet<TopicName>>,
    /// Somebody joined during the initial delay, which therefore may be prolonged.
    new_member_added: bool,
    /// The generation whose assignment is emitted and not settled.
    assignment_in_flight: Option<GenerationId>,
    join_timer: Option<TimerId>,
    sync_timer: Option<TimerId>,
    /// For members and the ids that were handed out.
    charge: Charge,
}

impl ClassicGroup {
    /// A group without members, as the first JoinGroup or the first commit of a simple consumer makes it.
    pub(crate) fn new(id: GroupId, wall: TimestampMs, budget: &Budget) -> Self {
        Self {
            id,
            state: GroupState::Empty,
            previous_state: GroupState::Empty,
            state_since: Some(wall),
            protocol_type: None,
            protocol_name: None,
            generation: GenerationId(0),
            leader: None,
            members: BTreeMap::new(),
            static_members: BTreeMap::new(),
            pending_members: BTreeMap::new(),
            awaiting_join: 0,
            supported: BTreeMap::new(),
            pending_sync: BTreeSet::new(),
            subscribed: None,
            new_member_added: false,
            assignment_in_flight: None,
            join_timer: None,
            sync_timer: None,
            charge: budget.charge(Account::Coordinators, 0),
        }
    }

    /// The group that a record describes. Sessions begin when the caller starts them.
    pub(crate) fn from_record(id: GroupId, value: &GroupMetadataValue, budget: &Budget) -> Self {
        let mut group = Self::new(id, TimestampMs::NONE, budget);
        group.state = if value.members.is_empty() { GroupState::Empty } else { GroupState::Stable };
        group.previous_state = group.state;
        group.state_since = (value.current_state_timestamp != -1).then_some(TimestampMs(value.current_state_timestamp));
        group.protocol_type = Some(value.protocol_type.clone()).filter(|name| !name.is_empty());
        group.protocol_name = value.protocol.clone();
        group.generation = GenerationId(value.generation);
        for recorded in &value.members {
            let protocol_name = value.protocol.clone().unwrap_or_default();
            let member = Member::from_record(recorded, protocol_name);
            group.insert_member(MemberId::from(recorded.member_id.as_str()), member);
        }
        group.leader = value.leader.as_deref().map(MemberId::from);
        group.subscribed = group.subscribed_by_members();
        group
    }

    /// The group that a record describes, when all its members have gone since.
    pub(crate) fn emptied(id: GroupId, value: &GroupMetadataValue, wall: TimestampMs, budget: &Budget) -> Self {
        let gone = GroupMetadataValue { protocol: None, leader: None, members: Vec::new(), ..value.clone() };
        let mut group = Self::from_record(id, &gone, budget);
        if !value.members.is_empty() {
            group.state_since = Some(wall);
        }
        group
    }

    pub(crate) const fn state(&self) -> GroupState {
        self.state
    }

    pub(crate) const fn state_since(&self) -> Option<TimestampMs> {
        self.state_since
    }

    pub(crate) fn protocol_type(&self) -> &str {
        self.protocol_type.as_deref().unwrap_or_default()
    }

    pub(crate) fn has_protocol_type(&self) -> bool {
        self.protocol_type.is_some()
    }

    pub(crate) fn protocol_name(&self) -> Option<&str> {
        self.protocol_name.as_deref()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.state == GroupState::Empty
    }

    /// Whether nobody is in the group or about to be.
    pub(crate) fn is_idle(&self) -> bool {
        self.is_empty() && self.members.is_empty() && self.pending_members.is_empty()
    }

    /// Whether it has no members and never had: only commits made it.
    pub(crate) fn is_simple(&self) -> bool {
        self.is_idle() && self.protocol_type.is_none()
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = (&MemberId, &Member)> {
        self.members.iter()
    }

    pub(crate) fn uses_consumer_protocol(&self) -> bool {
        self.protocol_type.as_deref() == Some(CONSUMER_PROTOCOL_TYPE)
    }

    /// Whether members consume `topic`. A consumer group whose subscriptions cannot be read consumes everything.
    pub(crate) fn is_subscribed_to(&self, topic: &str) -> bool {
        match &self.subscribed {
            Some(topics) => topics.contains(topic),
            None => self.uses_consumer_protocol(),
        }
    }

    /// Whether it is known what the members consume.
    pub(crate) const fn knows_subscriptions(&self) -> bool {
        self.subscribed.is_some()
    }

    /// KIP-345: a static member is who its instance says, and any other member id claiming the instance is a twin.
    pub(crate) fn validate_member(&self, member: &str, instance: Option<&str>) -> Result<(), ErrorCode> {
        if let Some(instance) = instance {
            match self.static_members.get(instance) {
                None => return Err(ErrorCode::UnknownMemberId),
                Some(current) if current.as_str() != member => return Err(ErrorCode::FencedInstanceId),
                Some(_) => {}
            }
        }
        if self.members.contains_key(member) { Ok(()) } else { Err(ErrorCode::UnknownMemberId) }
    }

    /// Whether a commit of this member and generation may be accepted (`ClassicGroup.validateOffsetCommit`).
    pub(crate) fn validate_commit(
        &self,
        member: &str,
        instance: Option<&str>,
        generation: GenerationId,
    ) -> Result<(), ErrorCode> {
        if generation.0 < 0 && self.is_empty() {
            return Ok(());
        }
        if generation.0 >= 0 || !member.is_empty() || instance.is_some() {
            self.validate_member(member, instance)?;
            if generation != self.generation {
                return Err(ErrorCode::IllegalGeneration);
            }
        } else {
            // A simple consumer must not overwrite what a group with members is working on.
            return Err(ErrorCode::UnknownMemberId);
        }
        match self.state {
            GroupState::CompletingRebalance => Err(ErrorCode::RebalanceInProgress),
            GroupState::Empty | GroupState::PreparingRebalance | GroupState::Stable => Ok(()),
        }
    }

    fn transition_to(&mut self, next: GroupState, wall: TimestampMs) {
        let from = self.state;
        assert!(from.may_become(next), "group {} cannot go from {from:?} to {next:?}", self.id);
        self.previous_state = from;
        self.state = next;
        self.state_since = Some(wall);
    }

    fn is_leader(&self, member: &str) -> bool {
        self.leader.as_ref().is_some_and(|leader| leader.as_str() == member)
    }

    /// The longest rebalance timeout any member asked for, in milliseconds.
    fn rebalance_timeout_ms(&self) -> i32 {
        self.members.values().map(|member| member.rebalance_timeout_ms).max().unwrap_or(0).max(0)
    }

    fn insert_member(&mut self, id: MemberId, member: Member) {
        if let Some(instance) = &member.instance_id {
            let twin = self.static_members.insert(instance.clone(), id.clone());
            assert!(twin.is_none(), "a group instance id has one member");
        }
        self.count_protocols(&member.protocols);
        self.leader.get_or_insert_with(|| id.clone());
        self.charge.grow(weight::member(&id, &member));
        let replaced = self.members.insert(id, member);
        assert!(replaced.is_none(), "a member id is given once");
    }

    /// Topics of all members, when their protocol tells.
    fn subscribed_by_members(&self) -> Option<BTreeSet<TopicName>> {
        if !self.uses_consumer_protocol() {
            return None;
        }
        let mut topics = BTreeSet::new();
        if self.members.is_empty() {
            return Some(topics);
        }
        let protocol = self.protocol_name.as_deref()?;
        for member in self.members.values() {
            collect_topics(member.metadata(protocol)?, &mut topics).ok()?;
        }
        Some(topics)
    }

    /// The record of the group, with `assignment_of` each member.
    fn record(&self, assignment_of: impl Fn(&MemberId, &Member) -> bytes::Bytes) -> Record {
        let protocol = self.protocol_name.as_deref().unwrap_or_default();
        let members = self.members.iter().map(|(id, member)| MemberMetadata {
            member_id: id.into(),
            group_instance_id: member.instance_id.as_ref().map(String::from),
            client_id: member.client.id.clone(),
            client_host: member.client.host.clone(),
            rebalance_timeout: member.rebalance_timeout_ms,
            session_timeout: member.session_timeout_ms,
            subscription: member.metadata(protocol).cloned().unwrap_or_default(),
            assignment: assignment_of(id, member),
        });
        let value = GroupMetadataValue {
            protocol_type: self.protocol_type().to_owned(),
            generation: self.generation.0,
            protocol: self.protocol_name.clone(),
            leader: self.leader.as_ref().map(String::from),
            current_state_timestamp: self.state_since.unwrap_or(TimestampMs::NONE).0,
            members: members.collect(),
        };
        Record::Group { group: self.id.clone(), value: Some(Box::new(value)) }
    }

    /// The first record of a group that somebody has just begun to join.
    pub(crate) fn creation_record(&self) -> Record {
        let value = GroupMetadataValue {
            protocol: None,
            leader: None,
            current_state_timestamp: self.state_since.unwrap_or(TimestampMs::NONE).0,
            ..Default::default()
        };
        Record::Group { group: self.id.clone(), value: Some(Box::new(value)) }
    }
}
