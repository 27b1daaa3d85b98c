//! OffsetCommit: who may commit, and the records of what was committed.

use barnabas_base::{GenerationId, TimestampMs, mark};
use barnabas_wire::ErrorCode;
use barnabas_wire::message::offset_commit::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use barnabas_wire::message::{OffsetCommitRequest, OffsetCommitResponse};

use crate::appends::{Effect, Waiter};
use crate::classic::{ClassicGroup, GroupState};
use crate::config::COMMIT_BATCH_BYTES_MAX;
use crate::coordinator::{Coordinator, NO_ROOM, Now};
use crate::fold::CommittedOffset;
use crate::id::{GroupId, Token, TopicName};
use crate::input::{Output, Response};
use crate::record::{OFFSET_FIXED_BYTES, Record};

/// From this version on clients know GROUP_ID_NOT_FOUND for a member of a group that is gone.
const GROUP_NOT_FOUND_FROM_VERSION: i16 = 9;
/// The retention time of clients that leave it to the broker.
const RETENTION_OF_BROKER_MS: i64 = -1;

impl Coordinator {
    pub(crate) fn commit(
        &mut self,
        now: Now,
        token: Token,
        version: i16,
        request: OffsetCommitRequest,
        out: &mut Vec<Output>,
    ) {
        if let Err(code) = self.validate_commit(version, &request) {
            let response = crate::resolve::refuse_offset_commit(&request, code);
            out.push(Output::Reply { token, response: Response::OffsetCommit(response) });
            return;
        }
        self.touch_committer(now, &request, out);
        if records_bytes(&request) > COMMIT_BATCH_BYTES_MAX {
            let code = crate::settle::answer_to_append_error(ErrorCode::MessageTooLarge);
            let response = crate::resolve::refuse_offset_commit(&request, code);
            out.push(Output::Reply { token, response: Response::OffsetCommit(response) });
            return;
        }
        let group = GroupId::from(request.group_id.as_str());
        let (records, response) = self.commit_records(now, &group, request);
        if has_no_room(&response) {
            out.push(Output::Observe(mark::GROUP_MEMORY_FULL.seen()));
        }
        let response = Response::OffsetCommit(response);
        if records.is_empty() {
            out.push(Output::Reply { token, response });
            return;
        }
        // The first commit of a simple consumer makes the group.
        let budget = self.groups.budget().clone();
        let entry = self.groups.entry(&group);
        entry.live.get_or_insert_with(|| ClassicGroup::new(group, now.wall, &budget));
        let append_id = self.emit(records, Effect::Nothing, out);
        self.appends.wait_for(append_id, Waiter::Reply { token, response });
    }

    fn validate_commit(&self, version: i16, request: &OffsetCommitRequest) -> Result<(), ErrorCode> {
        let generation = GenerationId(request.generation_id_or_member_epoch);
        let entry = self.groups.get(&request.group_id);
        if entry.is_some_and(|entry| entry.other_protocol) {
            return Err(ErrorCode::UnknownMemberId);
        }
        match entry.and_then(|entry| entry.live.as_ref()) {
            Some(group) => group.validate_commit(&request.member_id, request.group_instance_id.as_deref(), generation),
            None if generation.0 < 0 => self.refuse_new_group().map_or(Ok(()), Err),
            None if version >= GROUP_NOT_FOUND_FROM_VERSION => Err(ErrorCode::GroupIdNotFound),
            None => Err(ErrorCode::IllegalGeneration),
        }
    }

    /// A commit is a sign of life, but for the moment in which nobody may commit anyway.
    fn touch_committer(&mut self, now: Now, request: &OffsetCommitRequest, out: &mut Vec<Output>) {
        let (groups, mut cx) = self.split(now, out);
        if let Some(group) = groups.live_mut(&request.group_id) {
            match group.state() {
                GroupState::Stable | GroupState::PreparingRebalance => group.touch(&mut cx, &request.member_id),
                GroupState::Empty | GroupState::CompletingRebalance => {}
            }
        }
    }

    fn commit_records(
        &self,
        now: Now,
        group: &GroupId,
        request: OffsetCommitRequest,
    ) -> (Vec<Record>, OffsetCommitResponse) {
        let expire_at = (request.retention_time_ms != RETENTION_OF_BROKER_MS)
            .then(|| now.wall.saturating_add_ms(request.retention_time_ms));
        let mut records = Vec::new();
        let mut response = OffsetCommitResponse::default();
        for topic in request.topics {
            let name = TopicName::from(topic.name.as_str());
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for partition in topic.partitions {
                let partition_index = partition.partition_index;
                let metadata = partition.committed_metadata.as_deref();
                let code = if !self.accepts_metadata(metadata) {
                    ErrorCode::OffsetMetadataTooLarge
                } else if self.groups.is_full() && self.grows_by(group, &name, partition_index, metadata) {
                    NO_ROOM
                } else {
                    let value = committed_offset(now.wall, expire_at, topic.topic_id, partition);
                    let (group, topic) = (group.clone(), name.clone());
                    records.push(Record::Offset { group, topic, partition: partition_index, value: Some(value) });
                    ErrorCode::None
                };
                partitions.push(OffsetCommitResponsePartition { partition_index, error_code: code.code() });
            }
            let (name, topic_id) = (topic.name, topic.topic_id);
            response.topics.push(OffsetCommitResponseTopic { name, topic_id, partitions });
        }
        (records, response)
    }

    /// Whether this commit would make the group hold more. One that replaces another is never refused for want of room:
    /// a consumer that goes on must not lose its place.
    fn grows_by(&self, group: &GroupId, topic: &TopicName, partition: i32, metadata: Option<&str>) -> bool {
        let known = self.groups.get(group.as_str()).and_then(|entry| entry.offsets.latest(topic.as_str(), partition));
        known.is_none_or(|known| metadata.map_or(0, str::len) > known.metadata.len())
    }

    fn accepts_metadata(&self, metadata: Option<&str>) -> bool {
        let max = self.config.offset_metadata_size_max;
        // No text has more UTF-16 units than bytes; only long ones are counted.
        metadata.is_none_or(|text| text.len() <= max || text.encode_utf16().count() <= max)
    }
}

/// What the records of a commit take in their batch, a little more rather than less.
fn records_bytes(request: &OffsetCommitRequest) -> usize {
    let of_topic = |topic: &OffsetCommitRequestTopic| {
        let names_bytes = request.group_id.len() + topic.name.len();
        let metadata = topic.partitions.iter().map(|at| at.committed_metadata.as_deref().map_or(0, str::len));
        topic.partitions.len() * (OFFSET_FIXED_BYTES + names_bytes) + metadata.sum::<usize>()
    };
    request.topics.iter().map(of_topic).sum()
}

/// Whether any of the commits was refused for want of room.
fn has_no_room(response: &OffsetCommitResponse) -> bool {
    let mut partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
    partitions.any(|partition| partition.error_code == NO_ROOM.code())
}

fn committed_offset(
    wall: TimestampMs,
    expire_at: Option<TimestampMs>,
    topic_id: barnabas_base::Uuid,
    partition: OffsetCommitRequestPartition,
) -> CommittedOffset {
    CommittedOffset {
        offset: partition.committed_offset,
        leader_epoch: partition.committed_leader_epoch,
        metadata: partition.committed_metadata.unwrap_or_default().into_boxed_str(),
        committed_at: wall,
        expire_at,
        topic_id,
    }
}
