//! OffsetFetch: the committed view of a group's offsets.

use barnabas_base::Uuid;
use barnabas_wire::message::offset_fetch::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopics, OffsetFetchResponseGroup, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopics,
};

use crate::appends::Waiter;
use crate::coordinator::Coordinator;
use crate::fold::{CommittedOffset, GroupOffsets};
use crate::id::Token;
use crate::input::{Output, Response};

impl Coordinator {
    /// Answers from the committed view, once the commits of the group are in it that were accepted before the request
    /// came: a client may send a commit and ask right behind it, and Kafka reads the second request when the first is
    /// answered. With `require_stable` (KIP-447) the answer waits for everything that is in flight for the group.
    pub(crate) fn fetch(
        &mut self,
        token: Token,
        require_stable: bool,
        request: OffsetFetchRequestGroup,
        out: &mut Vec<Output>,
    ) {
        let group = &request.group_id;
        let awaited = if require_stable { self.appends.last_id_of(group) } else { self.appends.last_commit_of(group) };
        match awaited {
            Some(append_id) => self.appends.wait_for(append_id, Waiter::Fetch { token, request }),
            None => {
                let response = Response::OffsetFetch(self.fetched(request));
                out.push(Output::Reply { token, response });
            }
        }
    }

    /// What the committed view says. A group that does not exist has committed nothing: that is no error.
    pub(crate) fn fetched(&self, request: OffsetFetchRequestGroup) -> OffsetFetchResponseGroup {
        let offsets = self.groups.get(&request.group_id).map(|entry| &entry.offsets);
        let topics = match request.topics {
            Some(topics) => topics.into_iter().map(|topic| fetched_topic(offsets, topic)).collect(),
            None => offsets.map(fetched_all).unwrap_or_default(),
        };
        OffsetFetchResponseGroup { group_id: request.group_id, topics, error_code: 0 }
    }
}

fn fetched_topic(offsets: Option<&GroupOffsets>, topic: OffsetFetchRequestTopics) -> OffsetFetchResponseTopics {
    let committed = |partition: i32| {
        let value = offsets.and_then(|offsets| offsets.committed(&topic.name, partition));
        value.filter(|value| !is_of_another_topic(topic.topic_id, value.topic_id))
    };
    let partitions = topic.partition_indexes.iter().map(|index| fetched_partition(*index, committed(*index)));
    let partitions = partitions.collect();
    OffsetFetchResponseTopics { name: topic.name, topic_id: topic.topic_id, partitions }
}

fn fetched_all(offsets: &GroupOffsets) -> Vec<OffsetFetchResponseTopics> {
    let mut topics: Vec<OffsetFetchResponseTopics> = Vec::new();
    for (name, partition, value) in offsets.all_committed() {
        if topics.last().is_none_or(|topic| topic.name != name.as_str()) {
            let (name, topic_id) = (String::from(name), value.topic_id);
            topics.push(OffsetFetchResponseTopics { name, topic_id, partitions: Vec::new() });
        }
        let topic = topics.last_mut().expect("the topic has just been put there");
        topic.partitions.push(fetched_partition(partition, Some(value)));
    }
    topics
}

/// An offset committed for a topic that was deleted and made anew under its name says nothing about the new one.
fn is_of_another_topic(asked: Uuid, committed: Uuid) -> bool {
    !asked.is_zero() && !committed.is_zero() && asked != committed
}

fn fetched_partition(partition_index: i32, value: Option<&CommittedOffset>) -> OffsetFetchResponsePartitions {
    match value {
        Some(value) => OffsetFetchResponsePartitions {
            partition_index,
            committed_offset: value.offset,
            committed_leader_epoch: value.leader_epoch,
            metadata: Some(value.metadata.to_string()),
            error_code: 0,
        },
        None => OffsetFetchResponsePartitions {
            partition_index,
            committed_offset: -1,
            committed_leader_epoch: -1,
            metadata: Some(String::new()),
            error_code: 0,
        },
    }
}
