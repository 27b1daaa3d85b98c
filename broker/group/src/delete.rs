//! OffsetDelete, DeleteGroups, and offsets of topics that are gone: everything that writes tombstones on request.
//!
//! Each batch of them is all or nothing, and a second one may be written when the first was refused. So the tombstone of
//! a group is written with the last of its offsets and after all others are committed: offsets that outlive their group
//! would come back with the next group of its name.

use std::collections::{BTreeSet, VecDeque};

use barnabas_base::{Monotonic, TimestampMs, Uuid, mark};
use barnabas_wire::ErrorCode;
use barnabas_wire::message::delete_groups::DeletableGroupResult;
use barnabas_wire::message::offset_delete::{
    OffsetDeleteRequestTopic, OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use barnabas_wire::message::{OffsetDeleteRequest, OffsetDeleteResponse};

use crate::appends::{Effect, Waiter};
use crate::classic::ClassicGroup;
use crate::coordinator::{Coordinator, Now};
use crate::id::{AppendId, GroupId, Token, TopicName};
use crate::input::{Output, Response};
use crate::record::Record;
use crate::tombstones::{Tombstones, bytes_of};

/// By how much batches shrink when one was refused for its size: a few refusals lead from Kafka's default of
/// `max.message.bytes` to anything that holds a record.
const BATCH_SHRINKS_BY: usize = 8;

/// A DeleteGroups under way. It writes one batch at a time and looks at the groups anew before the next.
#[derive(Debug)]
pub(crate) struct GroupDeletion {
    token: Token,
    /// Groups that are still there, the first of them perhaps without some of its offsets.
    todo: VecDeque<String>,
    /// What became of the others, if the batch in flight is committed.
    results: Vec<DeletableGroupResult>,
    /// A batch of it is committed: the answer rests on nothing else.
    has_written: bool,
}

impl GroupDeletion {
    /// The answer when a batch could not be written. What was committed before stays deleted; whoever asks again is told
    /// so.
    pub(crate) fn failed(mut self, code: ErrorCode) -> (Token, Response) {
        for group_id in std::mem::take(&mut self.todo) {
            self.results.push(DeletableGroupResult { group_id, error_code: code.code() });
        }
        (self.token, Response::DeleteGroups(self.results).failed(code))
    }
}

impl Coordinator {
    pub(crate) fn delete_offsets(&mut self, token: Token, request: &OffsetDeleteRequest, out: &mut Vec<Output>) {
        let refuse = |code: ErrorCode| {
            let response = OffsetDeleteResponse { error_code: code.code(), ..Default::default() };
            Output::Reply { token, response: Response::OffsetDelete(response) }
        };
        if let Err(code) = self.validate_offset_delete(&request.group_id) {
            out.push(refuse(code));
            return;
        }
        let group = GroupId::from(request.group_id.as_str());
        let mut tombstones = self.tombstones(self.appends_left());
        let topics = request.topics.iter().map(|topic| self.delete_topic_offsets(&group, topic, &mut tombstones));
        let response = OffsetDeleteResponse { topics: topics.collect(), ..Default::default() };
        if tombstones.has_overflowed() {
            out.push(Output::Observe(mark::GROUP_APPENDS_FULL.seen()));
            out.push(refuse(ErrorCode::CoordinatorLoadInProgress));
            return;
        }
        let append_id = self.emit_tombstones(tombstones, out);
        let group_id = std::iter::once(request.group_id.as_str());
        self.reply_when_settled(append_id, group_id, token, Response::OffsetDelete(response), out);
    }

    /// A group at work may lose offsets only where it is known what it works on (KIP-496).
    fn validate_offset_delete(&self, group: &str) -> Result<(), ErrorCode> {
        if group.is_empty() {
            return Err(ErrorCode::InvalidGroupId);
        }
        let live = self.groups.get(group).and_then(|entry| entry.live.as_ref());
        match live {
            None => Err(ErrorCode::GroupIdNotFound),
            Some(group) if !group.is_empty() && !group.uses_consumer_protocol() => Err(ErrorCode::NonEmptyGroup),
            Some(_) => Ok(()),
        }
    }

    fn delete_topic_offsets(
        &self,
        group: &GroupId,
        topic: &OffsetDeleteRequestTopic,
        tombstones: &mut Tombstones,
    ) -> OffsetDeleteResponseTopic {
        let entry = self.groups.get(group.as_str()).expect("the group was validated");
        let subscribed = entry.live.as_ref().is_some_and(|live| live.is_subscribed_to(&topic.name));
        let code = if subscribed { ErrorCode::GroupSubscribedToTopic } else { ErrorCode::None };
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for partition in &topic.partitions {
            let partition_index = partition.partition_index;
            partitions.push(OffsetDeleteResponsePartition { partition_index, error_code: code.code() });
            if !subscribed && entry.offsets.latest(&topic.name, partition_index).is_some() {
                tombstones.push(offset_tombstone(group, &topic.name.as_str().into(), partition_index));
            }
        }
        OffsetDeleteResponseTopic { name: topic.name.clone(), partitions }
    }

    pub(crate) fn delete_groups(&mut self, now: Now, token: Token, groups: Vec<String>, out: &mut Vec<Output>) {
        let mut asked = BTreeSet::new();
        let todo = groups.into_iter().filter(|group_id| asked.insert(group_id.clone())).collect();
        self.advance_deletion(now, GroupDeletion { token, todo, results: Vec::new(), has_written: false }, out);
    }

    /// Emits the next batch of a deletion, or answers when there is nothing left to write.
    pub(crate) fn advance_deletion(&mut self, now: Now, mut deletion: GroupDeletion, out: &mut Vec<Output>) {
        let mut tombstones = self.tombstones(1);
        while let Some(group_id) = deletion.todo.pop_front() {
            let code = match self.delete_group(now, &group_id, &mut tombstones, out) {
                Ok(true) => ErrorCode::None,
                Ok(false) => {
                    deletion.todo.push_front(group_id);
                    break;
                }
                Err(code) => code,
            };
            deletion.results.push(DeletableGroupResult { group_id, error_code: code.code() });
        }
        if let Some(append_id) = self.emit_tombstones(tombstones, out) {
            deletion.has_written = true;
            self.appends.wait_for(append_id, Waiter::Deletion(deletion));
            return;
        }
        let GroupDeletion { token, results, has_written, .. } = deletion;
        let response = Response::DeleteGroups(results.clone());
        let groups = results.iter().map(|result| result.group_id.as_str()).filter(|_| !has_written);
        self.reply_when_settled(None, groups, token, response, out);
    }

    /// Collects the records that take a group out of the committed view. When all of them have room, the last of which is
    /// its own, it leaves the pending view; says whether it did.
    fn delete_group(
        &mut self,
        now: Now,
        group_id: &str,
        tombstones: &mut Tombstones,
        out: &mut Vec<Output>,
    ) -> Result<bool, ErrorCode> {
        let entry = self.groups.get(group_id).ok_or(ErrorCode::GroupIdNotFound)?;
        let live = entry.live.as_ref().ok_or(ErrorCode::GroupIdNotFound)?;
        if !live.is_empty() {
            return Err(ErrorCode::NonEmptyGroup);
        }
        let id = GroupId::from(group_id);
        // An offset whose deletion is in flight is deleted again: that one may fail when the group is gone.
        let has_room = entry
            .offsets
            .all_known()
            .all(|(topic, partition)| tombstones.push(offset_tombstone(&id, topic, partition)))
            && tombstones.push(Record::Group { group: id.clone(), value: None });
        if has_room {
            self.remove_live(now, &id, out);
        }
        Ok(has_room)
    }

    /// Ends a group in the pending view.
    pub(crate) fn remove_live(&mut self, now: Now, id: &GroupId, out: &mut Vec<Output>) {
        let (groups, mut cx) = self.split(now, out);
        let live: Option<ClassicGroup> = groups.get_mut(id.as_str()).and_then(|entry| entry.live.take());
        if let Some(mut group) = live {
            group.abandon(&mut cx, ErrorCode::UnknownMemberId);
        }
    }

    /// A topic is deleted: what groups committed for it is worth nothing. Offsets of an older topic of the same name
    /// have another id and went with that one. What finds no room stays until it expires.
    pub fn on_topic_deleted(
        &mut self,
        _now: Monotonic,
        _wall: TimestampMs,
        name: &str,
        topic_id: Uuid,
        out: &mut Vec<Output>,
    ) {
        if !self.is_active() {
            return;
        }
        let topic = TopicName::from(name);
        let mut tombstones = self.tombstones(self.appends_left());
        for (group, entry) in self.groups.iter() {
            for (partition, value) in entry.offsets.latest_of(name) {
                if value.topic_id.is_zero() || value.topic_id == topic_id {
                    tombstones.push(offset_tombstone(group, &topic, partition));
                }
            }
        }
        if !tombstones.is_empty() {
            out.push(Output::Observe(mark::GROUP_OFFSETS_OF_DELETED_TOPIC.seen()));
        }
        self.emit_tombstones(tombstones, out);
    }

    /// An empty collection for up to `batches_max` batches.
    pub(crate) const fn tombstones(&self, batches_max: usize) -> Tombstones {
        Tombstones::new(self.tombstone_batch_bytes_max, batches_max)
    }

    /// Emits the batches and says which is the last: whoever waits for it learns of a failure of any.
    pub(crate) fn emit_tombstones(&mut self, tombstones: Tombstones, out: &mut Vec<Output>) -> Option<AppendId> {
        let batches = tombstones.into_batches();
        let mut ahead = batches.len();
        let mut emitted = None;
        for records in batches {
            ahead -= 1;
            let last = self.appends.id_after(ahead);
            let effect = if ahead == 0 { Effect::Nothing } else { Effect::PartOf(last) };
            emitted = Some(self.emit(records, effect, out));
        }
        emitted
    }

    /// Learns from a refused batch that the topic takes smaller ones only (`max.message.bytes`): the next deletion, or the
    /// next sweep, would be refused for ever.
    pub(crate) fn learn_batch_bytes(&mut self, code: ErrorCode, refused: &[Record]) {
        let is_too_large = matches!(code, ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge);
        if is_too_large && refused.iter().all(Record::is_tombstone) {
            let bytes = bytes_of(refused) / BATCH_SHRINKS_BY;
            self.tombstone_batch_bytes_max = self.tombstone_batch_bytes_max.min(bytes);
        }
    }

    /// Answers when the batch is committed. With nothing to write the answer still rests on what is pending: "it is
    /// gone" is true only once the deletion in flight is committed.
    fn reply_when_settled<'a>(
        &mut self,
        append_id: Option<AppendId>,
        groups: impl Iterator<Item = &'a str>,
        token: Token,
        response: Response,
        out: &mut Vec<Output>,
    ) {
        let pending = || groups.filter_map(|group| self.appends.last_id_of(group)).max();
        match append_id.or_else(pending) {
            Some(append_id) => self.appends.wait_for(append_id, Waiter::Reply { token, response }),
            None => out.push(Output::Reply { token, response }),
        }
    }
}

pub(crate) fn offset_tombstone(group: &GroupId, topic: &TopicName, partition: i32) -> Record {
    Record::Offset { group: group.clone(), topic: topic.clone(), partition, value: None }
}
