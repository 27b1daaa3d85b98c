//! JoinGroup: who may enter, as whom, and whether that starts a rebalance.

use std::collections::BTreeSet;

use barnabas_base::{Uuid, mark};
use barnabas_wire::ErrorCode;
use barnabas_wire::limits::STRING_BYTES_MAX;
use barnabas_wire::message::JoinGroupRequest;
use barnabas_wire::message::JoinGroupResponse;
use barnabas_wire::message::join_group::{JoinGroupRequestProtocol, JoinGroupResponseMember};
use bytes::Bytes;

use super::member::{Member, ParkedJoin};
use super::{ClassicGroup, Context, GroupState};
use crate::config::{NEW_MEMBER_JOIN_TIMEOUT_MS, PENDING_MEMBERS_PER_GROUP_MAX};
use crate::id::{AppendId, InstanceId, MemberId, Token};
use crate::input::{ClientInfo, Response};
use crate::weight;

/// From this version on a dynamic member is told its id before it is let in (KIP-394): a client whose first JoinGroup
/// is lost on the way back would otherwise leave a member behind that nobody speaks for.
const MEMBER_ID_REQUIRED_FROM_VERSION: i16 = 4;
/// Before this version the answer cannot say "no protocol" but by an empty name.
const NULLABLE_PROTOCOL_FROM_VERSION: i16 = 7;

/// A JoinGroup request with what its header says.
#[derive(Debug)]
pub(crate) struct JoinCall {
    pub(crate) token: Token,
    pub(crate) version: i16,
    pub(crate) client: ClientInfo,
    pub(crate) fresh_uuid: Uuid,
    pub(crate) request: JoinGroupRequest,
}

impl JoinCall {
    const fn parked(&self) -> ParkedJoin {
        ParkedJoin { token: self.token, version: self.version }
    }

    /// JoinGroup 0 has no rebalance timeout; Kafka uses the session timeout.
    const fn rebalance_timeout_ms(&self) -> i32 {
        if self.version == 0 { self.request.session_timeout_ms } else { self.request.rebalance_timeout_ms }
    }

    pub(crate) fn refuse(&self, cx: &mut Context<'_>, member_id: &str, code: ErrorCode) {
        refuse_join(cx, self.parked(), member_id, code);
    }
}

/// Answers a JoinGroup with an error.
pub(crate) fn refuse_join(cx: &mut Context<'_>, parked: ParkedJoin, member_id: &str, code: ErrorCode) {
    let response = JoinGroupResponse {
        error_code: code.code(),
        member_id: member_id.to_owned(),
        protocol_name: None,
        ..Default::default()
    };
    reply_join(cx, parked, response);
}

/// Answers a JoinGroup, in the form its version has.
pub(crate) fn reply_join(cx: &mut Context<'_>, parked: ParkedJoin, mut response: JoinGroupResponse) {
    if parked.version < NULLABLE_PROTOCOL_FROM_VERSION && response.protocol_name.is_none() {
        response.protocol_name = Some(String::new());
    }
    cx.reply(parked.token, Response::JoinGroup(response));
}

impl ClassicGroup {
    /// Handles a JoinGroup; the answer may be parked. Says whether the group has anything to show for it, which a
    /// refused first JoinGroup has not.
    pub(crate) fn join(&mut self, cx: &mut Context<'_>, call: JoinCall) {
        let member_id = call.request.member_id.clone();
        if !self.accepts(cx, &member_id) {
            cx.mark(mark::GROUP_FULL);
            self.remove_member(cx, &member_id);
            call.refuse(cx, "", ErrorCode::GroupMaxSizeReached);
            self.maybe_complete_join(cx);
        } else if !self.supports(&call.request.protocol_type, &call.request.protocols) {
            call.refuse(cx, &member_id, ErrorCode::InconsistentGroupProtocol);
        } else if member_id.is_empty() {
            self.join_unknown(cx, call);
        } else {
            self.join_known(cx, call);
        }
    }

    /// Whether this call would make the group hold more: another member, or one with more to say about itself.
    pub(crate) fn grows_by(&self, call: &JoinCall) -> bool {
        let instance = call.request.group_instance_id.as_deref();
        let replaced = instance.and_then(|instance| self.static_members.get(instance));
        let known = self.members.get(call.request.member_id.as_str()).or_else(|| self.members.get(replaced?));
        let said = |protocols: &[JoinGroupRequestProtocol]| -> usize {
            protocols.iter().map(|protocol| protocol.name.len() + protocol.metadata.len()).sum()
        };
        known.is_none_or(|member| said(&call.request.protocols) > said(&member.protocols))
    }

    /// Whether there is room. While a rebalance gathers members, those who have rejoined count: the group may have
    /// been larger than a lowered `group.max.size`, and then whoever comes last stays out.
    fn accepts(&self, cx: &Context<'_>, member_id: &str) -> bool {
        let member = self.members.get(member_id);
        match self.state {
            GroupState::Empty => true,
            GroupState::PreparingRebalance => {
                member.is_some_and(Member::awaits_join) || self.awaiting_join < cx.config.group_size_max
            }
            GroupState::CompletingRebalance | GroupState::Stable => {
                member.is_some() || self.members.len() < cx.config.group_size_max
            }
        }
    }

    /// Whether a member of this type with these protocols can work with the others.
    fn supports(&self, protocol_type: &str, protocols: &[JoinGroupRequestProtocol]) -> bool {
        if self.is_empty() {
            return !protocol_type.is_empty() && !protocols.is_empty();
        }
        let everybody = self.members.len();
        let known_to_all = |name: &str| self.supported.get(name).copied().unwrap_or(0) == everybody;
        self.protocol_type.as_deref() == Some(protocol_type)
            && protocols.iter().any(|protocol| known_to_all(&protocol.name))
    }

    fn join_unknown(&mut self, cx: &mut Context<'_>, call: JoinCall) {
        let instance = call.request.group_instance_id.as_deref();
        let Some(new_id) = new_member_id(instance.unwrap_or(&call.client.id), call.fresh_uuid) else {
            // Java's consumer and librdkafka end with this code at once: no second try would be shorter.
            call.refuse(cx, "", ErrorCode::InvalidRequest);
            return;
        };
        if self.members.contains_key(new_id.as_str()) || self.pending_members.contains_key(new_id.as_str()) {
            // Two equal random ids, or a client that guesses: the next try draws another one.
            call.refuse(cx, "", ErrorCode::CoordinatorLoadInProgress);
            return;
        }
        match instance.map(|instance| self.static_members.get(instance).cloned()) {
            Some(Some(old_id)) => self.replace_static_and_join(cx, call, &old_id, new_id),
            Some(None) => self.add_member_and_rebalance(cx, call, new_id),
            None if call.version >= MEMBER_ID_REQUIRED_FROM_VERSION => self.require_member_id(cx, &call, new_id),
            None => self.add_member_and_rebalance(cx, call, new_id),
        }
    }

    /// KIP-394: hands out an id and forgets it unless its owner comes back within a session timeout.
    fn require_member_id(&mut self, cx: &mut Context<'_>, call: &JoinCall, new_id: MemberId) {
        if self.pending_members.len() >= PENDING_MEMBERS_PER_GROUP_MAX {
            call.refuse(cx, "", ErrorCode::GroupMaxSizeReached);
            return;
        }
        call.refuse(cx, new_id.as_str(), ErrorCode::MemberIdRequired);
        let timer = cx.schedule_session(None, call.request.session_timeout_ms, &self.id, &new_id);
        self.pending_members.insert(new_id, Some(timer));
        self.charge.grow(weight::PENDING_MEMBER_BYTES);
    }

    fn join_known(&mut self, cx: &mut Context<'_>, call: JoinCall) {
        let member_id = call.request.member_id.clone();
        let instance = call.request.group_instance_id.as_deref();
        if self.pending_members.contains_key(member_id.as_str()) {
            if instance.is_some() {
                // The id was given to a dynamic member.
                call.refuse(cx, &member_id, ErrorCode::UnknownMemberId);
                return;
            }
            self.add_member_and_rebalance(cx, call, MemberId::from(member_id));
            return;
        }
        if let Err(code) = self.validate_member(&member_id, instance) {
            if code == ErrorCode::FencedInstanceId {
                cx.mark(mark::GROUP_TWIN_FENCED);
            }
            call.refuse(cx, &member_id, code);
            return;
        }
        let member_id = MemberId::from(member_id);
        if self.rejoin_changes_nothing(&member_id, &call.request) {
            let response = self.join_response(&member_id);
            reply_join(cx, call.parked(), response);
        } else {
            self.update_member(cx, &member_id, &call);
            self.rebalance(cx);
        }
    }

    /// Whether a rejoining member may be told the current generation at once. In a stable group the leader rejoins to
    /// ask for a new assignment (topics changed), so that it always starts a rebalance.
    fn rejoin_changes_nothing(&self, member_id: &MemberId, request: &JoinGroupRequest) -> bool {
        let unchanged = self.members.get(member_id).is_some_and(|member| member.protocols == request.protocols);
        match self.state {
            GroupState::CompletingRebalance => unchanged,
            GroupState::Stable => unchanged && !self.is_leader(member_id.as_str()),
            GroupState::Empty | GroupState::PreparingRebalance => false,
        }
    }

    /// What a member of the current generation is told; the leader also learns who the others are.
    pub(super) fn join_response(&self, member_id: &MemberId) -> JoinGroupResponse {
        let is_leader = self.is_leader(member_id.as_str());
        // A follower never hears of the others; the stable leader rejoining is answered by a rebalance.
        let members = if is_leader { self.members_for_leader() } else { Vec::new() };
        JoinGroupResponse {
            generation_id: self.generation.0,
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol_name.clone(),
            leader: self.leader.as_ref().map(String::from).unwrap_or_default(),
            member_id: member_id.into(),
            members,
            ..Default::default()
        }
    }

    fn members_for_leader(&self) -> Vec<JoinGroupResponseMember> {
        let protocol = self.protocol_name.as_deref().unwrap_or_default();
        let describe = |(id, member): (&MemberId, &Member)| JoinGroupResponseMember {
            member_id: id.into(),
            group_instance_id: member.instance_id.as_ref().map(String::from),
            metadata: member.metadata(protocol).cloned().unwrap_or_default(),
        };
        self.members.iter().map(describe).collect()
    }

    fn add_member_and_rebalance(&mut self, cx: &mut Context<'_>, call: JoinCall, id: MemberId) {
        let pending_timer = self.take_pending(id.as_str()).flatten();
        if self.members.is_empty() {
            self.protocol_type = Some(call.request.protocol_type.clone());
        }
        if self.state == GroupState::PreparingRebalance && self.previous_state == GroupState::Empty {
            self.new_member_added = true;
        }
        // A parked client cannot send heartbeats and its disconnect is not seen; it is given a fixed time to wait.
        let session_timer = cx.schedule_session(pending_timer, NEW_MEMBER_JOIN_TIMEOUT_MS, &self.id, &id);
        let member = Member {
            instance_id: call.request.group_instance_id.as_deref().map(InstanceId::from),
            rebalance_timeout_ms: call.rebalance_timeout_ms(),
            session_timeout_ms: call.request.session_timeout_ms,
            parked_join: Some(call.parked()),
            client: call.client,
            protocols: call.request.protocols,
            assignment: Bytes::new(),
            parked_sync: None,
            is_new: true,
            session_timer: Some(session_timer),
        };
        self.insert_member(id, member);
        self.awaiting_join += 1;
        self.rebalance(cx);
    }

    /// Takes over what a known member says in a new JoinGroup, and parks it.
    pub(super) fn update_member(&mut self, cx: &mut Context<'_>, id: &MemberId, call: &JoinCall) {
        self.set_protocols(id, call.request.protocols.clone());
        let member = self.members.get_mut(id).expect("only members are updated");
        member.rebalance_timeout_ms = call.rebalance_timeout_ms();
        member.session_timeout_ms = call.request.session_timeout_ms;
        match member.parked_join.replace(call.parked()) {
            None => self.awaiting_join += 1,
            // The client gave up on its first request; whoever still listens there is told to try again.
            Some(superseded) => refuse_join(cx, superseded, id.as_str(), ErrorCode::RebalanceInProgress),
        }
    }

    pub(super) fn set_protocols(&mut self, id: &MemberId, protocols: Vec<JoinGroupRequestProtocol>) {
        self.count_protocols(&protocols);
        let member = self.members.get_mut(id).expect("only members have protocols");
        self.charge.shrink(weight::member(id, member));
        let previous = std::mem::replace(&mut member.protocols, protocols);
        self.charge.grow(weight::member(id, member));
        self.forget_protocols(&previous);
    }

    pub(super) fn count_protocols(&mut self, protocols: &[JoinGroupRequestProtocol]) {
        for name in distinct_names(protocols) {
            *self.supported.entry(name.to_owned()).or_insert(0) += 1;
        }
    }

    pub(super) fn forget_protocols(&mut self, protocols: &[JoinGroupRequestProtocol]) {
        for name in distinct_names(protocols) {
            let count = self.supported.get_mut(name).expect("protocols of members are counted");
            *count -= 1;
            if *count == 0 {
                self.supported.remove(name);
            }
        }
    }

    /// Answers a parked JoinGroup, if there is one.
    pub(super) fn complete_join_of(&mut self, cx: &mut Context<'_>, id: &MemberId, response: JoinGroupResponse) {
        let member = self.members.get_mut(id).expect("only members have parked requests");
        if let Some(parked) = member.parked_join.take() {
            self.awaiting_join -= 1;
            reply_join(cx, parked, response);
        }
    }

    /// Starts a rebalance where one may start, or completes the one that is going on.
    pub(super) fn rebalance(&mut self, cx: &mut Context<'_>) -> Option<AppendId> {
        match self.state {
            GroupState::Empty | GroupState::CompletingRebalance | GroupState::Stable => self.prepare_rebalance(cx),
            GroupState::PreparingRebalance => self.maybe_complete_join(cx),
        }
    }
}

/// The names among `protocols`. A request may give one twice, as Kafka lets it, and its member is still one that knows it.
fn distinct_names(protocols: &[JoinGroupRequestProtocol]) -> BTreeSet<&str> {
    protocols.iter().map(|protocol| protocol.name.as_str()).collect()
}

/// `prefix-uuid`, with the UUID in Java's form, as every tool shows it; none when no string of the protocol can hold it.
/// A prefix as long as a string may be arrives in a request, but records and answers could not carry what is made of it.
fn new_member_id(prefix: &str, uuid: Uuid) -> Option<MemberId> {
    let hex: String = uuid.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let text = format!("{prefix}-{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]);
    (text.len() <= STRING_BYTES_MAX).then(|| MemberId::from(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn member_ids_look_like_javas() {
        let uuid = Uuid([0x12, 0x3e, 0x45, 0x67, 0xe8, 0x9b, 0x12, 0xd3, 0xa4, 0x56, 0x42, 0x66, 0x14, 0x17, 0x40, 0]);
        let id = new_member_id("app", uuid);
        assert_eq!(id.as_ref().map(MemberId::as_str), Some("app-123e4567-e89b-12d3-a456-426614174000"));
    }

    #[test]
    fn a_member_id_is_no_longer_than_a_string_may_be() {
        let fits = "x".repeat(STRING_BYTES_MAX - "-123e4567-e89b-12d3-a456-426614174000".len());
        assert!(new_member_id(&fits, Uuid([1; 16])).is_some_and(|id| id.as_str().len() == STRING_BYTES_MAX));
        assert_eq!(new_member_id(&format!("{fits}x"), Uuid([1; 16])), None);
    }
}
