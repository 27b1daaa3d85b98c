//! OffsetDelete, DeleteGroups, and offsets of topics that are gone: everything that writes tombstones on request.

use std::collections::BTreeSet;

use barnabas_base::{Monotonic, TimestampMs, Uuid, mark};
use barnabas_wire::ErrorCode;
use barnabas_wire::message::delete_groups::DeletableGroupResult;
use barnabas_wire::message::offset_delete::{
    OffsetDeleteRequestTopic, OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use barnabas_wire::message::{OffsetDeleteRequest, OffsetDeleteResponse};

use crate::appends::Waiter;
use crate::classic::ClassicGroup;
use crate::config::RECORDS_PER_APPEND_MAX;
use crate::coordinator::{Coordinator, Now};
use crate::id::{AppendId, GroupId, Token, TopicName};
use crate::input::{Output, Response};
use crate::record::Record;

impl Coordinator {
    pub(crate) fn delete_offsets(&mut self, token: Token, request: &OffsetDeleteRequest, out: &mut Vec<Output>) {
        if let Err(code) = self.validate_offset_delete(&request.group_id) {
            let response = OffsetDeleteResponse { error_code: code.code(), ..Default::default() };
            out.push(Output::Reply { token, response: Response::OffsetDelete(response) });
            return;
        }
        let group = GroupId::from(request.group_id.as_str());
        let mut tombstones = Vec::new();
        let topics = request.topics.iter().map(|topic| self.delete_topic_offsets(&group, topic, &mut tombstones));
        let response = OffsetDeleteResponse { topics: topics.collect(), ..Default::default() };
        let append_id = self.emit_in_batches(tombstones, out);
        self.reply_when_settled(append_id, &[group], token, Response::OffsetDelete(response), out);
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
        tombstones: &mut Vec<Record>,
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
        let mut results = Vec::with_capacity(groups.len());
        let mut tombstones = Vec::new();
        let mut ids = Vec::with_capacity(groups.len());
        for group_id in groups {
            if !asked.insert(group_id.clone()) {
                continue;
            }
            let id = GroupId::from(group_id.as_str());
            let code = self.delete_group(now, &id, &mut tombstones, out).err().unwrap_or(ErrorCode::None);
            results.push(DeletableGroupResult { group_id, error_code: code.code() });
            ids.push(id);
        }
        let append_id = self.emit_in_batches(tombstones, out);
        self.reply_when_settled(append_id, &ids, token, Response::DeleteGroups(results), out);
    }

    /// Takes a group out of the pending view and collects the records that will take it out of the committed one.
    fn delete_group(
        &mut self,
        now: Now,
        id: &GroupId,
        tombstones: &mut Vec<Record>,
        out: &mut Vec<Output>,
    ) -> Result<(), ErrorCode> {
        let entry = self.groups.get(id.as_str()).ok_or(ErrorCode::GroupIdNotFound)?;
        let live = entry.live.as_ref().ok_or(ErrorCode::GroupIdNotFound)?;
        if !live.is_empty() {
            return Err(ErrorCode::NonEmptyGroup);
        }
        let offsets = entry.offsets.all_latest();
        tombstones.extend(offsets.map(|(topic, partition, _)| offset_tombstone(id, topic, partition)));
        tombstones.push(Record::Group { group: id.clone(), value: None });
        self.remove_live(now, id, out);
        Ok(())
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
    /// have another id and went with that one.
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
        let mut tombstones = Vec::new();
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
        self.emit_in_batches(tombstones, out);
    }

    /// Emits tombstones in batches of bounded size and says which is the last.
    pub(crate) fn emit_in_batches(&mut self, mut records: Vec<Record>, out: &mut Vec<Output>) -> Option<AppendId> {
        let mut last = None;
        while !records.is_empty() {
            let rest = records.split_off(records.len().min(RECORDS_PER_APPEND_MAX));
            last = Some(self.emit(records, out));
            records = rest;
        }
        last
    }

    /// Answers when the batch is committed. With nothing to write the answer still rests on what is pending: "it is
    /// gone" is true only once the deletion in flight is committed.
    fn reply_when_settled(
        &mut self,
        append_id: Option<AppendId>,
        groups: &[GroupId],
        token: Token,
        response: Response,
        out: &mut Vec<Output>,
    ) {
        let pending = || groups.iter().filter_map(|group| self.appends.last_id_of(group.as_str())).max();
        match append_id.or_else(pending) {
            Some(append_id) => self.appends.wait_for(append_id, Waiter::Reply { token, response }),
            None => out.push(Output::Reply { token, response }),
        }
    }
}

pub(crate) fn offset_tombstone(group: &GroupId, topic: &TopicName, partition: i32) -> Record {
    Record::Offset { group: group.clone(), topic: topic.clone(), partition, value: None }
}
