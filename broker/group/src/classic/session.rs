//! Heartbeats and what happens without them.

use barnabas_base::{GenerationId, mark};
use barnabas_wire::ErrorCode;
use barnabas_wire::message::{HeartbeatRequest, JoinGroupResponse};

use super::member::Member;
use super::{ClassicGroup, Context, GroupState};
use crate::id::{AppendId, MemberId};
use crate::timers::TimerId;
use crate::weight;

impl ClassicGroup {
    /// Handles a Heartbeat and says what it is answered with.
    pub(crate) fn heartbeat(&mut self, cx: &mut Context<'_>, request: &HeartbeatRequest) -> ErrorCode {
        if let Err(code) = self.validate_member(&request.member_id, request.group_instance_id.as_deref()) {
            return code;
        }
        if GenerationId(request.generation_id) != self.generation {
            return ErrorCode::IllegalGeneration;
        }
        self.touch(cx, &request.member_id);
        match self.state {
            GroupState::Empty => ErrorCode::UnknownMemberId,
            GroupState::PreparingRebalance => ErrorCode::RebalanceInProgress,
            // A client begins to send heartbeats as soon as it has joined.
            GroupState::CompletingRebalance | GroupState::Stable => ErrorCode::None,
        }
    }

    /// A sign of life of a member: its session starts over.
    pub(crate) fn touch(&mut self, cx: &mut Context<'_>, member: &str) {
        if let Some((id, _)) = self.members.get_key_value(member) {
            let id = id.clone();
            self.restart_session(cx, &id);
        }
    }

    pub(super) fn restart_session(&mut self, cx: &mut Context<'_>, id: &MemberId) {
        let member = self.members.get_mut(id).expect("only members have sessions");
        let timer = cx.schedule_session(member.session_timer, member.session_timeout_ms, &self.id, id);
        member.session_timer = Some(timer);
    }

    /// Starts the sessions of members that a log named.
    pub(crate) fn start_sessions(&mut self, cx: &mut Context<'_>) -> Option<AppendId> {
        let ids: Vec<MemberId> = self.members.keys().cloned().collect();
        for id in &ids {
            self.restart_session(cx, id);
        }
        if ids.len() > cx.config.group_size_max {
            // `group.max.size` was lowered: a rebalance lets in as many as fit.
            cx.mark(mark::GROUP_OVER_CAPACITY);
            return self.prepare_rebalance(cx);
        }
        None
    }

    /// A session ran out.
    pub(crate) fn on_session_timer(&mut self, cx: &mut Context<'_>, id: &MemberId) -> Option<AppendId> {
        if self.pending_members.contains_key(id) {
            cx.mark(mark::GROUP_PENDING_MEMBER_EXPIRED);
            self.remove_member(cx, id.as_str());
            return self.maybe_complete_join(cx);
        }
        let member = self.members.get_mut(id)?;
        member.session_timer = None;
        if member.is_excused() {
            return None;
        }
        cx.mark(mark::GROUP_MEMBER_EXPIRED);
        self.remove_member(cx, id.as_str());
        self.after_departure(cx)
    }

    /// Members left or failed: a group at work rebalances, an open round may be complete without them.
    pub(super) fn after_departure(&mut self, cx: &mut Context<'_>) -> Option<AppendId> {
        match self.state {
            GroupState::Stable | GroupState::CompletingRebalance => self.prepare_rebalance(cx),
            GroupState::PreparingRebalance => self.maybe_complete_join(cx),
            GroupState::Empty => None,
        }
    }

    /// Takes a member, or an id that was only handed out, out of the group. Its parked requests are answered, so that
    /// a client that still lives joins again.
    pub(super) fn remove_member(&mut self, cx: &mut Context<'_>, id: &str) {
        if let Some(timer) = self.take_pending(id) {
            cx.timers.cancel(timer);
        }
        let Some((id, _)) = self.members.get_key_value(id) else { return };
        let id = id.clone();
        let unknown = JoinGroupResponse {
            error_code: ErrorCode::UnknownMemberId.code(),
            protocol_name: None,
            ..Default::default()
        };
        self.complete_join_of(cx, &id, unknown);
        self.refuse_parked_sync(cx, id.as_str(), ErrorCode::UnknownMemberId);
        let member = self.members.remove(&id).expect("the member was found above");
        self.charge.shrink(weight::member(&id, &member));
        let is_nothing_held = self.members.is_empty() && self.pending_members.is_empty();
        assert!(is_nothing_held == (self.charge.bytes() == 0), "what is charged for members is what there is of them");
        cx.timers.cancel(member.session_timer);
        self.forget_protocols(&member.protocols);
        if let Some(instance) = &member.instance_id {
            self.static_members.remove(instance);
        }
        self.pending_sync.remove(&id);
        if self.is_leader(id.as_str()) {
            self.leader = self.members.keys().next().cloned();
        }
    }

    /// Takes back an id that was handed out and not used; its timer, if it was one.
    pub(super) fn take_pending(&mut self, id: &str) -> Option<Option<TimerId>> {
        let timer = self.pending_members.remove(id)?;
        self.charge.shrink(weight::PENDING_MEMBER_BYTES);
        Some(timer)
    }

    /// Stops all timers: the group is deleted or its coordinator moves away.
    pub(crate) fn stop_timers(&mut self, cx: &mut Context<'_>) {
        let sessions = self.members.values_mut().map(|member: &mut Member| member.session_timer.take());
        sessions.for_each(|timer| cx.timers.cancel(timer));
        self.pending_members.values().for_each(|timer| cx.timers.cancel(*timer));
        cx.timers.cancel(self.join_timer.take());
        cx.timers.cancel(self.sync_timer.take());
    }

    /// Answers everything that is parked with `code` and stops the timers: the group ends here.
    pub(crate) fn abandon(&mut self, cx: &mut Context<'_>, code: ErrorCode) {
        let ids: Vec<MemberId> = self.members.keys().cloned().collect();
        for id in ids {
            let response = JoinGroupResponse {
                error_code: code.code(),
                member_id: String::from(&id),
                protocol_name: None,
                ..Default::default()
            };
            self.complete_join_of(cx, &id, response);
            self.refuse_parked_sync(cx, id.as_str(), code);
        }
        self.stop_timers(cx);
    }
}
