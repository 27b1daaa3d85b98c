//! Static members that come back (KIP-345): the new life takes the old one's place, without a rebalance when that
//! changes nothing for the others.

use barnabas_base::{GenerationId, mark};
use barnabas_wire::ErrorCode;
use barnabas_wire::message::JoinGroupResponse;
use barnabas_wire::message::join_group::JoinGroupRequestProtocol;

use super::join::{JoinCall, reply_join};
use super::{ClassicGroup, Context, GroupState};
use crate::appends::Effect;
use crate::id::{GroupId, InstanceId, MemberId};
use crate::weight;

/// From this version on a returning leader is told the members and that it need not assign anew (KIP-814).
const SKIP_ASSIGNMENT_FROM_VERSION: i16 = 9;

/// A replacement that is emitted and not settled.
#[derive(Debug)]
pub(crate) struct StaticReplacement {
    pub(crate) group: GroupId,
    generation: GenerationId,
    old_id: MemberId,
    new_id: MemberId,
    version: i16,
    /// Whom the group had as leader before: clients that do not know `skip_assignment` must not think they lead.
    previous_leader: Option<MemberId>,
    old_protocols: Vec<JoinGroupRequestProtocol>,
    old_rebalance_timeout_ms: i32,
    old_session_timeout_ms: i32,
}

impl ClassicGroup {
    /// A static member joins without knowing its member id: it was restarted, or somebody else took its name.
    pub(super) fn replace_static_and_join(
        &mut self,
        cx: &mut Context<'_>,
        call: JoinCall,
        old_id: &MemberId,
        new_id: MemberId,
    ) {
        let previous_leader = self.leader.clone();
        let was_awaiting = self.members.get(old_id).is_some_and(super::member::Member::awaits_join);
        self.replace_static(cx, old_id, &new_id);
        let member = self.members.get(&new_id).expect("the member has just been put there");
        let replacement = StaticReplacement {
            group: self.id.clone(),
            generation: self.generation,
            old_id: old_id.clone(),
            new_id: new_id.clone(),
            version: call.version,
            previous_leader,
            old_protocols: member.protocols.clone(),
            old_rebalance_timeout_ms: member.rebalance_timeout_ms,
            old_session_timeout_ms: member.session_timeout_ms,
        };
        self.update_member(cx, &new_id, &call);
        self.restart_session(cx, &new_id);
        match self.state {
            GroupState::Stable if self.select_protocol() == self.protocol_name => {
                let record = self.record(|_, member| member.assignment.clone());
                cx.emit(vec![record], Effect::StaticReplaced(replacement));
            }
            // The leader may already be computing an assignment that names the old member id.
            GroupState::Stable | GroupState::CompletingRebalance => {
                self.prepare_rebalance(cx);
            }
            GroupState::PreparingRebalance => {
                let twin =
                    if was_awaiting { mark::GROUP_TWIN_IN_REBALANCE } else { mark::GROUP_STATIC_REPLACED_IN_REBALANCE };
                cx.mark(twin);
                self.maybe_complete_join(cx);
            }
            GroupState::Empty => panic!("an empty group has no static members"),
        }
    }

    /// Gives the place of `old_id` to `new_id`. Requests parked under the old id belong to a twin: it is fenced.
    fn replace_static(&mut self, cx: &mut Context<'_>, old_id: &MemberId, new_id: &MemberId) {
        let fenced = JoinGroupResponse {
            error_code: ErrorCode::FencedInstanceId.code(),
            member_id: old_id.into(),
            protocol_name: None,
            ..Default::default()
        };
        self.complete_join_of(cx, old_id, fenced);
        self.refuse_parked_sync(cx, old_id.as_str(), ErrorCode::FencedInstanceId);
        let mut member = self.members.remove(old_id).expect("only members are replaced");
        self.charge.shrink(weight::member(old_id, &member));
        self.charge.grow(weight::member(new_id, &member));
        cx.timers.cancel(member.session_timer.take());
        member.is_new = false;
        let instance: InstanceId = member.instance_id.clone().expect("only static members are replaced");
        self.members.insert(new_id.clone(), member);
        self.static_members.insert(instance, new_id.clone());
        if self.pending_sync.remove(old_id) {
            self.pending_sync.insert(new_id.clone());
        }
        if self.is_leader(old_id.as_str()) {
            self.leader = Some(new_id.clone());
        }
    }

    /// The new member id is committed; its owner goes on with the assignment of the old one.
    pub(crate) fn on_static_replaced(&mut self, cx: &mut Context<'_>, replacement: &StaticReplacement) {
        if !self.still_expects(replacement) {
            return;
        }
        cx.mark(mark::GROUP_STATIC_REPLACED);
        let mut response = self.join_response(&replacement.new_id);
        if replacement.version >= SKIP_ASSIGNMENT_FROM_VERSION {
            response.skip_assignment = self.is_leader(replacement.new_id.as_str());
        } else {
            response.members.clear();
            response.leader = replacement.previous_leader.as_ref().map(String::from).unwrap_or_default();
        }
        self.complete_join_of(cx, &replacement.new_id, response);
        self.restart_session(cx, &replacement.new_id);
    }

    /// The new member id could not be written: the old one is back in its place.
    pub(crate) fn on_static_replacement_failed(
        &mut self,
        cx: &mut Context<'_>,
        replacement: &StaticReplacement,
        code: ErrorCode,
    ) {
        if !self.still_expects(replacement) {
            return;
        }
        cx.mark(mark::GROUP_STATIC_REPLACEMENT_FAILED);
        let member = self.members.get_mut(&replacement.new_id).expect("the replacement is still expected");
        member.rebalance_timeout_ms = replacement.old_rebalance_timeout_ms;
        member.session_timeout_ms = replacement.old_session_timeout_ms;
        if let Some(parked) = member.parked_join.take() {
            self.awaiting_join -= 1;
            let response = JoinGroupResponse { error_code: code.code(), protocol_name: None, ..Default::default() };
            reply_join(cx, parked, response);
        }
        self.set_protocols(&replacement.new_id, replacement.old_protocols.clone());
        self.replace_static(cx, &replacement.new_id, &replacement.old_id);
        self.restart_session(cx, &replacement.old_id);
    }

    /// Whether the group is as the replacement left it. If it has moved on, the rebalance answers the parked request
    /// and writes the next record.
    fn still_expects(&self, replacement: &StaticReplacement) -> bool {
        self.state == GroupState::Stable
            && self.generation == replacement.generation
            && self.members.contains_key(&replacement.new_id)
    }
}
