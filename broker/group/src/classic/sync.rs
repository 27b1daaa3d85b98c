//! SyncGroup: the leader hands in the assignment, and everybody learns theirs once it is committed.

use std::collections::BTreeMap;

use barnabas_base::{GenerationId, mark};
use barnabas_wire::ErrorCode;
use barnabas_wire::message::{SyncGroupRequest, SyncGroupResponse};
use bytes::Bytes;

use super::{ClassicGroup, Context, GroupState};
use crate::appends::Effect;
use crate::id::{AppendId, GroupId, MemberId, Token};
use crate::input::Response;
use crate::weight;

/// An assignment that is emitted and not settled.
#[derive(Debug)]
pub(crate) struct Assignment {
    pub(crate) group: GroupId,
    generation: GenerationId,
    by_member: BTreeMap<String, Bytes>,
}

/// From this version on the request says for which protocol it wants an assignment (KIP-559).
const PROTOCOL_REQUIRED_FROM_VERSION: i16 = 5;

/// Whether the request names its protocol, if its version has to. Kafka looks at nothing else of one that does not
/// (`SyncGroupRequest.areMandatoryProtocolTypeAndNamePresent`).
pub(crate) const fn names_protocol(version: i16, request: &SyncGroupRequest) -> bool {
    version < PROTOCOL_REQUIRED_FROM_VERSION || (request.protocol_type.is_some() && request.protocol_name.is_some())
}

fn refuse_sync(cx: &mut Context<'_>, token: Token, code: ErrorCode) {
    let response = SyncGroupResponse { error_code: code.code(), ..Default::default() };
    cx.reply(token, Response::SyncGroup(response));
}

impl ClassicGroup {
    /// Handles a SyncGroup; the answer is parked while the assignment is awaited.
    pub(crate) fn sync(&mut self, cx: &mut Context<'_>, token: Token, request: SyncGroupRequest) {
        if let Err(code) = self.validate_sync(&request) {
            refuse_sync(cx, token, code);
            return;
        }
        match self.state {
            GroupState::Empty => refuse_sync(cx, token, ErrorCode::UnknownMemberId),
            GroupState::PreparingRebalance => refuse_sync(cx, token, ErrorCode::RebalanceInProgress),
            GroupState::CompletingRebalance => {
                self.synced(cx, &request.member_id);
                self.park_sync(cx, token, &request.member_id);
                if self.is_leader(&request.member_id) {
                    self.accept_assignment(cx, request);
                }
            }
            GroupState::Stable => {
                self.synced(cx, &request.member_id);
                self.reply_assignment(cx, token, &request.member_id);
            }
        }
    }

    fn validate_sync(&self, request: &SyncGroupRequest) -> Result<(), ErrorCode> {
        self.validate_member(&request.member_id, request.group_instance_id.as_deref())?;
        if GenerationId(request.generation_id) != self.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        let differs = |asked: &Option<String>, own: &Option<String>| match (asked, own) {
            (Some(asked), Some(own)) => asked != own,
            (None, _) | (_, None) => false,
        };
        // KIP-559: a client that has mixed up its groups must not get another protocol's assignment.
        let inconsistent = differs(&request.protocol_type, &self.protocol_type)
            || differs(&request.protocol_name, &self.protocol_name);
        if inconsistent { Err(ErrorCode::InconsistentGroupProtocol) } else { Ok(()) }
    }

    /// The member has asked for its assignment in time.
    fn synced(&mut self, cx: &mut Context<'_>, member: &str) {
        self.pending_sync.remove(member);
        if self.pending_sync.is_empty() {
            cx.timers.cancel(self.sync_timer.take());
        }
    }

    fn park_sync(&mut self, cx: &mut Context<'_>, token: Token, member: &str) {
        let member = self.members.get_mut(member).expect("the member was validated");
        if let Some(superseded) = member.parked_sync.replace(token) {
            refuse_sync(cx, superseded, ErrorCode::RebalanceInProgress);
        }
    }

    fn reply_assignment(&mut self, cx: &mut Context<'_>, token: Token, member: &str) {
        let response = SyncGroupResponse {
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol_name.clone(),
            assignment: self.members.get(member).expect("the member was validated").assignment.clone(),
            ..Default::default()
        };
        cx.reply(token, Response::SyncGroup(response));
    }

    /// Emits the record of the new generation. A leader that repeats its SyncGroup while the first is not settled
    /// only waits: a second record with another assignment could be the one that a reload finds.
    fn accept_assignment(&mut self, cx: &mut Context<'_>, request: SyncGroupRequest) {
        if self.assignment_in_flight == Some(self.generation) {
            cx.mark(mark::GROUP_LEADER_REPEATS);
            return;
        }
        let by_member: BTreeMap<String, Bytes> =
            request.assignments.into_iter().map(|assigned| (assigned.member_id, assigned.assignment)).collect();
        let record = self.record(|id, _| by_member.get(id.as_str()).cloned().unwrap_or_default());
        let assignment = Assignment { group: self.id.clone(), generation: self.generation, by_member };
        self.assignment_in_flight = Some(self.generation);
        cx.emit(vec![record], Effect::Assignment(assignment));
    }

    /// The assignment is committed: the group is stable, unless it has moved on meanwhile.
    pub(crate) fn on_assignment_committed(&mut self, cx: &mut Context<'_>, assignment: Assignment) {
        if !self.still_awaits(&assignment) {
            cx.mark(mark::GROUP_ASSIGNMENT_OVERTAKEN);
            return;
        }
        self.assignment_in_flight = None;
        self.assign(|id| assignment.by_member.get(id.as_str()).cloned().unwrap_or_default());
        self.transition_to(GroupState::Stable, cx.wall);
        for (id, token) in self.take_parked_syncs() {
            self.reply_assignment(cx, token, id.as_str());
            // A session that ran out while the request was parked was excused and has no timer any more.
            self.restart_session(cx, &id);
        }
    }

    /// The assignment could not be written: everybody joins again.
    pub(crate) fn on_assignment_failed(
        &mut self,
        cx: &mut Context<'_>,
        assignment: &Assignment,
        code: ErrorCode,
    ) -> Option<AppendId> {
        if !self.still_awaits(assignment) {
            return None;
        }
        cx.mark(mark::GROUP_ASSIGNMENT_FAILED);
        self.assignment_in_flight = None;
        self.cancel_assignment(cx, code);
        self.prepare_rebalance(cx)
    }

    fn still_awaits(&self, assignment: &Assignment) -> bool {
        self.state == GroupState::CompletingRebalance && self.generation == assignment.generation
    }

    /// Answers all parked SyncGroups with an error.
    pub(super) fn cancel_assignment(&mut self, cx: &mut Context<'_>, code: ErrorCode) {
        self.assign(|_| Bytes::new());
        for (id, token) in self.take_parked_syncs() {
            refuse_sync(cx, token, code);
            self.restart_session(cx, &id);
        }
    }

    fn assign(&mut self, assignment_of: impl Fn(&MemberId) -> Bytes) {
        for (id, member) in &mut self.members {
            self.charge.shrink(weight::member(id, member));
            member.assignment = assignment_of(id);
            self.charge.grow(weight::member(id, member));
        }
    }

    fn take_parked_syncs(&mut self) -> Vec<(MemberId, Token)> {
        let parked = self.members.iter_mut().filter_map(|(id, member)| Some((id.clone(), member.parked_sync.take()?)));
        parked.collect()
    }

    pub(super) fn refuse_parked_sync(&mut self, cx: &mut Context<'_>, member: &str, code: ErrorCode) {
        let parked = self.members.get_mut(member).and_then(|member| member.parked_sync.take());
        if let Some(token) = parked {
            refuse_sync(cx, token, code);
        }
    }
}
