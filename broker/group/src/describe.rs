//! DescribeGroups and ListGroups: what tools are shown. Groups appear once their first record is committed.

use barnabas_base::{Budget, TimestampMs};
use barnabas_wire::ErrorCode;
use barnabas_wire::limits::STRING_BYTES_MAX;
use barnabas_wire::message::describe_groups::{DescribedGroup, DescribedGroupMember};
use barnabas_wire::message::list_groups::ListedGroup;
use barnabas_wire::message::{ListGroupsRequest, ListGroupsResponse};

use crate::classic::{ClassicGroup, GroupState};
use crate::coordinator::{Coordinator, revive};
use crate::fold::Entry;
use crate::id::{GroupId, Token};
use crate::input::{Output, Response};

/// From this version on an unknown group is an error, and not only `Dead` (KIP-1043).
const NOT_FOUND_FROM_VERSION: i16 = 6;
/// What ListGroups 5 calls the groups of this coordinator.
const TYPE_NAME: &str = "classic";

impl Coordinator {
    pub(crate) fn describe(&self, token: Token, version: i16, groups: Vec<String>, out: &mut Vec<Output>) {
        let budget = self.groups.budget();
        let described = groups.into_iter().map(|group_id| {
            let entry = self.groups.get(&group_id);
            let described =
                entry.and_then(|entry| show(&group_id, entry, budget, |group| described_group(&group_id, group)));
            described.unwrap_or_else(|| unknown_group(group_id, version))
        });
        let response = Response::DescribeGroups(described.collect());
        out.push(Output::Reply { token, response });
    }

    pub(crate) fn list(&self, token: Token, request: &ListGroupsRequest, out: &mut Vec<Output>) {
        let types = &request.types_filter;
        let type_matches = types.is_empty() || types.iter().any(|name| name.eq_ignore_ascii_case(TYPE_NAME));
        let states = &request.states_filter;
        let state_matches = |group: &ClassicGroup| {
            let name = group.state().name();
            states.is_empty() || states.iter().any(|wanted| wanted.trim().eq_ignore_ascii_case(name))
        };
        let budget = self.groups.budget();
        let listed = self.groups.iter().filter(|_| type_matches).filter_map(|(id, entry)| {
            show(id.as_str(), entry, budget, |group| state_matches(group).then(|| listed_group(id.into(), group)))
                .flatten()
        });
        let response = ListGroupsResponse { groups: listed.collect(), ..Default::default() };
        out.push(Output::Reply { token, response: Response::ListGroups(response) });
    }
}

/// Shows a group if its existence is committed; while its deletion is in flight, as its last record names it.
fn show<T>(id: &str, entry: &Entry, budget: &Budget, view: impl FnOnce(&ClassicGroup) -> T) -> Option<T> {
    let committed = entry.committed.as_ref()?;
    let shown = match &entry.live {
        Some(group) => view(group),
        None => view(&revive(&GroupId::from(id), committed, TimestampMs::NONE, budget)),
    };
    Some(shown)
}

fn listed_group(group_id: String, group: &ClassicGroup) -> ListedGroup {
    ListedGroup {
        group_id,
        protocol_type: group.protocol_type().to_owned(),
        group_state: group.state().name().to_owned(),
        group_type: TYPE_NAME.to_owned(),
    }
}

fn described_group(group_id: &str, group: &ClassicGroup) -> DescribedGroup {
    let protocol = group.protocol_name().filter(|_| group.state() == GroupState::Stable);
    let members = group.members().map(|(id, member)| DescribedGroupMember {
        member_id: id.into(),
        group_instance_id: member.instance_id.as_ref().map(String::from),
        client_id: member.client.id.clone(),
        client_host: member.client.host.clone(),
        member_metadata: protocol.and_then(|name| member.metadata(name)).cloned().unwrap_or_default(),
        member_assignment: member.assignment.clone(),
    });
    DescribedGroup {
        group_id: group_id.to_owned(),
        group_state: group.state().name().to_owned(),
        protocol_type: group.protocol_type().to_owned(),
        protocol_data: protocol.unwrap_or_default().to_owned(),
        members: members.collect(),
        ..Default::default()
    }
}

fn unknown_group(group_id: String, version: i16) -> DescribedGroup {
    let group_state = GroupState::DEAD_NAME.to_owned();
    if version < NOT_FOUND_FROM_VERSION {
        return DescribedGroup { group_id, group_state, ..Default::default() };
    }
    // The longest group ids leave no room for words around them.
    let error_message = Some(format!("Group {group_id} not found.")).filter(|text| text.len() <= STRING_BYTES_MAX);
    DescribedGroup {
        group_id,
        group_state,
        error_code: ErrorCode::GroupIdNotFound.code(),
        error_message,
        ..Default::default()
    }
}
