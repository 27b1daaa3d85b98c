//! LeaveGroup: members go, or an administrator sends them away (KIP-345).

use barnabas_wire::ErrorCode;
use barnabas_wire::message::LeaveGroupResponse;
use barnabas_wire::message::leave_group::{MemberIdentity, MemberResponse};

use super::{ClassicGroup, Context};
use crate::id::AppendId;

/// Up to this version the request names one member and the answer has one error.
const SINGLE_MEMBER_UNTIL_VERSION: i16 = 2;

impl ClassicGroup {
    /// Handles a LeaveGroup; the answer may rest on a batch.
    pub(crate) fn leave(
        &mut self,
        cx: &mut Context<'_>,
        members: Vec<MemberIdentity>,
    ) -> (Vec<MemberResponse>, Option<AppendId>) {
        let mut responses = Vec::with_capacity(members.len());
        for member in members {
            let code = self.leave_one(cx, &member).err().unwrap_or(ErrorCode::None);
            responses.push(member_response(member, code));
        }
        let anybody_left = responses.iter().any(|response| response.error_code == ErrorCode::None.code());
        let append_id = if anybody_left { self.after_departure(cx) } else { None };
        (responses, append_id)
    }

    fn leave_one(&mut self, cx: &mut Context<'_>, leaving: &MemberIdentity) -> Result<(), ErrorCode> {
        let instance = leaving.group_instance_id.as_deref();
        if leaving.member_id.is_empty() {
            // An administrator names the instance only.
            let member = instance.and_then(|instance| self.static_members.get(instance)).cloned();
            let member = member.ok_or(ErrorCode::UnknownMemberId)?;
            self.remove_member(cx, member.as_str());
            return Ok(());
        }
        if !self.pending_members.contains_key(leaving.member_id.as_str()) {
            self.validate_member(&leaving.member_id, instance)?;
        }
        self.remove_member(cx, &leaving.member_id);
        Ok(())
    }
}

/// The members that a request of `version` names.
pub(crate) fn leaving_members(version: i16, member_id: String, members: Vec<MemberIdentity>) -> Vec<MemberIdentity> {
    if version <= SINGLE_MEMBER_UNTIL_VERSION {
        return vec![MemberIdentity { member_id, ..Default::default() }];
    }
    members
}

/// The answer to a group that is not there.
pub(crate) fn refuse_members(members: Vec<MemberIdentity>, code: ErrorCode) -> Vec<MemberResponse> {
    members.into_iter().map(|member| member_response(member, code)).collect()
}

/// The answer in the form that `version` has.
pub(crate) fn leave_response(version: i16, members: Vec<MemberResponse>) -> LeaveGroupResponse {
    if version <= SINGLE_MEMBER_UNTIL_VERSION {
        let error_code = members.first().map_or(ErrorCode::None.code(), |member| member.error_code);
        return LeaveGroupResponse { error_code, ..Default::default() };
    }
    LeaveGroupResponse { members, ..Default::default() }
}

fn member_response(member: MemberIdentity, code: ErrorCode) -> MemberResponse {
    MemberResponse { member_id: member.member_id, group_instance_id: member.group_instance_id, error_code: code.code() }
}
