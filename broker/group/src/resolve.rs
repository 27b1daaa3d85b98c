//! Requests that several coordinators answer, or that name topics by id, brought into the form one coordinator takes,
//! and the answers brought back. Pure functions; the shell calls them before and after.

use barnabas_base::Uuid;
use barnabas_wire::ErrorCode;
use barnabas_wire::message::offset_commit::{
    OffsetCommitRequestTopic, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use barnabas_wire::message::offset_delete::{
    OffsetDeleteRequestTopic, OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use barnabas_wire::message::offset_fetch::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopics, OffsetFetchResponseGroup, OffsetFetchResponsePartition,
    OffsetFetchResponsePartitions, OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use barnabas_wire::message::{
    OffsetCommitRequest, OffsetCommitResponse, OffsetDeleteRequest, OffsetDeleteResponse, OffsetFetchRequest,
    OffsetFetchResponse,
};

/// From this version on OffsetCommit and OffsetFetch name topics by id (KIP-848, KAFKA-14690).
const TOPIC_IDS_FROM_VERSION: i16 = 10;
/// From this version on OffsetFetch names several groups (KIP-709).
const GROUPS_FROM_VERSION: i16 = 8;
/// From this version on OffsetFetch has an error for the whole answer.
const TOP_LEVEL_ERROR_FROM_VERSION: i16 = 2;

/// The cluster image as far as names go.
pub trait TopicNames {
    /// Name of the topic with this id.
    fn name_of(&self, topic_id: Uuid) -> Option<String>;
    /// Id of the topic of this name.
    fn id_of(&self, name: &str) -> Option<Uuid>;
    /// Whether the topic with this id has this partition.
    fn has_partition(&self, topic_id: Uuid, partition: i32) -> bool;
}

/// Fills in what a commit does not say of its topics, and takes out topics and partitions that do not exist. Gives the
/// answer to those that were taken out; when no topic is left, that is the whole answer.
pub fn resolve_offset_commit(
    version: i16,
    mut request: OffsetCommitRequest,
    names: &impl TopicNames,
) -> (OffsetCommitRequest, Vec<OffsetCommitResponseTopic>) {
    let mut refused = Vec::new();
    let mut known = Vec::with_capacity(request.topics.len());
    for mut topic in request.topics {
        let code = if version >= TOPIC_IDS_FROM_VERSION {
            topic.name = names.name_of(topic.topic_id).unwrap_or_default();
            topic.name.is_empty().then_some(ErrorCode::UnknownTopicId)
        } else {
            let topic_id = names.id_of(&topic.name);
            topic.topic_id = topic_id.unwrap_or(Uuid::ZERO);
            topic_id.is_none().then_some(ErrorCode::UnknownTopicOrPartition)
        };
        if let Some(code) = code {
            refused.push(refuse_commit_topic(&topic, code));
            continue;
        }
        let exists = |index| names.has_partition(topic.topic_id, index);
        let (existing, missing) =
            std::mem::take(&mut topic.partitions).into_iter().partition(|partition| exists(partition.partition_index));
        topic.partitions = missing;
        if !topic.partitions.is_empty() {
            refused.push(refuse_commit_topic(&topic, ErrorCode::UnknownTopicOrPartition));
        }
        topic.partitions = existing;
        if !topic.partitions.is_empty() {
            known.push(topic);
        }
    }
    request.topics = known;
    (request, refused)
}

/// Completes the answer to a commit with what was refused before: a topic stands in it once.
#[must_use]
pub fn complete_offset_commit(
    mut response: OffsetCommitResponse,
    refused: Vec<OffsetCommitResponseTopic>,
) -> OffsetCommitResponse {
    for topic in refused {
        let is_it =
            |known: &&mut OffsetCommitResponseTopic| (&known.name, known.topic_id) == (&topic.name, topic.topic_id);
        match response.topics.iter_mut().find(is_it) {
            Some(known) => known.partitions.extend(topic.partitions),
            None => response.topics.push(topic),
        }
    }
    response
}

/// Takes topics and partitions that do not exist out of an OffsetDelete, and gives the answer to them.
pub fn resolve_offset_delete(
    mut request: OffsetDeleteRequest,
    names: &impl TopicNames,
) -> (OffsetDeleteRequest, Vec<OffsetDeleteResponseTopic>) {
    let mut refused = Vec::new();
    for topic in &mut request.topics {
        let topic_id = names.id_of(&topic.name);
        let exists = |index| topic_id.is_some_and(|topic_id| names.has_partition(topic_id, index));
        let (existing, missing): (Vec<_>, Vec<_>) =
            std::mem::take(&mut topic.partitions).into_iter().partition(|partition| exists(partition.partition_index));
        topic.partitions = existing;
        if !missing.is_empty() {
            let refuse = |partition_index| OffsetDeleteResponsePartition {
                partition_index,
                error_code: ErrorCode::UnknownTopicOrPartition.code(),
            };
            let partitions = missing.iter().map(|partition| refuse(partition.partition_index)).collect();
            refused.push(OffsetDeleteResponseTopic { name: topic.name.clone(), partitions });
        }
    }
    request.topics.retain(|topic: &OffsetDeleteRequestTopic| !topic.partitions.is_empty());
    (request, refused)
}

/// Completes the answer to an OffsetDelete with what was refused before, unless it refuses everything.
#[must_use]
pub fn complete_offset_delete(
    mut response: OffsetDeleteResponse,
    refused: Vec<OffsetDeleteResponseTopic>,
) -> OffsetDeleteResponse {
    if response.error_code != ErrorCode::None.code() {
        return response;
    }
    for topic in refused {
        match response.topics.iter_mut().find(|known| known.name == topic.name) {
            Some(known) => known.partitions.extend(topic.partitions),
            None => response.topics.push(topic),
        }
    }
    response
}

/// The answer that refuses every partition of a commit.
#[must_use]
pub fn refuse_offset_commit(request: &OffsetCommitRequest, code: ErrorCode) -> OffsetCommitResponse {
    let topics = request.topics.iter().map(|topic| refuse_commit_topic(topic, code)).collect();
    OffsetCommitResponse { topics, ..Default::default() }
}

fn refuse_commit_topic(topic: &OffsetCommitRequestTopic, code: ErrorCode) -> OffsetCommitResponseTopic {
    let refuse = |partition_index| OffsetCommitResponsePartition { partition_index, error_code: code.code() };
    let partitions = topic.partitions.iter().map(|partition| refuse(partition.partition_index)).collect();
    OffsetCommitResponseTopic { name: topic.name.clone(), topic_id: topic.topic_id, partitions }
}

/// The groups of an OffsetFetch of any version, each in the form of version 8.
#[must_use]
pub fn offset_fetch_groups(version: i16, request: OffsetFetchRequest) -> Vec<OffsetFetchRequestGroup> {
    if version >= GROUPS_FROM_VERSION {
        return request.groups;
    }
    let by_name =
        |(name, partition_indexes)| OffsetFetchRequestTopics { name, partition_indexes, ..Default::default() };
    let topics = request.topics.map(|topics| {
        topics.into_iter().map(|topic| by_name((topic.name, topic.partition_indexes))).collect::<Vec<_>>()
    });
    vec![OffsetFetchRequestGroup { group_id: request.group_id, topics, ..Default::default() }]
}

/// Fills in names of topics that are asked for by id, and takes out ids that no topic has. Gives the answer to those.
pub fn resolve_offset_fetch(
    version: i16,
    mut group: OffsetFetchRequestGroup,
    names: &impl TopicNames,
) -> (OffsetFetchRequestGroup, Vec<OffsetFetchResponseTopics>) {
    let mut refused = Vec::new();
    if version >= TOPIC_IDS_FROM_VERSION {
        for topic in group.topics.iter_mut().flatten() {
            topic.name = names.name_of(topic.topic_id).unwrap_or_default();
        }
    }
    if let Some(topics) = &mut group.topics {
        let is_known = |topic: &OffsetFetchRequestTopics| version < TOPIC_IDS_FROM_VERSION || !topic.name.is_empty();
        refused.extend(topics.iter().filter(|topic| !is_known(topic)).map(refuse_fetch_topic));
        topics.retain(is_known);
    }
    (group, refused)
}

fn refuse_fetch_topic(topic: &OffsetFetchRequestTopics) -> OffsetFetchResponseTopics {
    let refuse = |partition_index: &i32| OffsetFetchResponsePartitions {
        partition_index: *partition_index,
        committed_offset: -1,
        committed_leader_epoch: -1,
        metadata: Some(String::new()),
        error_code: ErrorCode::UnknownTopicId.code(),
    };
    let partitions = topic.partition_indexes.iter().map(refuse).collect();
    OffsetFetchResponseTopics { name: String::new(), topic_id: topic.topic_id, partitions }
}

/// Completes the answer of one group: topics that were refused before, and, for answers to "all topics", ids. Topics
/// that no longer exist cannot be named by id and are left out.
#[must_use]
pub fn complete_offset_fetch(
    version: i16,
    mut group: OffsetFetchResponseGroup,
    refused: Vec<OffsetFetchResponseTopics>,
    names: &impl TopicNames,
) -> OffsetFetchResponseGroup {
    if version >= TOPIC_IDS_FROM_VERSION {
        for topic in &mut group.topics {
            if topic.topic_id.is_zero() {
                topic.topic_id = names.id_of(&topic.name).unwrap_or(Uuid::ZERO);
            }
        }
        group.topics.retain(|topic| !topic.topic_id.is_zero());
    }
    if group.error_code == ErrorCode::None.code() {
        group.topics.extend(refused);
    }
    group
}

/// The answer of an OffsetFetch of any version. Before version 2 an error can stand only at partitions, and those are
/// asked for in `asked`.
#[must_use]
pub fn offset_fetch_response(
    version: i16,
    asked: Option<&OffsetFetchRequestGroup>,
    groups: Vec<OffsetFetchResponseGroup>,
) -> OffsetFetchResponse {
    if version >= GROUPS_FROM_VERSION {
        return OffsetFetchResponse { groups, ..Default::default() };
    }
    let Some(group) = groups.into_iter().next() else { return OffsetFetchResponse::default() };
    if group.error_code == ErrorCode::None.code() || version >= TOP_LEVEL_ERROR_FROM_VERSION {
        let topics = group.topics.into_iter().map(legacy_topic).collect();
        return OffsetFetchResponse { topics, error_code: group.error_code, ..Default::default() };
    }
    let topics = asked.and_then(|asked| asked.topics.as_ref()).into_iter().flatten();
    let topics = topics.map(|topic| {
        let refused = refuse_fetch_topic(topic);
        let mut legacy = legacy_topic(OffsetFetchResponseTopics { name: topic.name.clone(), ..refused });
        legacy.partitions.iter_mut().for_each(|partition| partition.error_code = group.error_code);
        legacy
    });
    OffsetFetchResponse { topics: topics.collect(), ..Default::default() }
}

fn legacy_topic(topic: OffsetFetchResponseTopics) -> OffsetFetchResponseTopic {
    let partitions = topic.partitions.into_iter().map(|partition| OffsetFetchResponsePartition {
        partition_index: partition.partition_index,
        committed_offset: partition.committed_offset,
        committed_leader_epoch: partition.committed_leader_epoch,
        metadata: partition.metadata,
        error_code: partition.error_code,
    });
    OffsetFetchResponseTopic { name: topic.name, partitions: partitions.collect() }
}

#[cfg(test)]
mod tests {
    use barnabas_wire::message::offset_commit::OffsetCommitRequestPartition;
    use barnabas_wire::message::offset_delete::OffsetDeleteRequestPartition;

    use super::*;

    /// One topic of one partition: `t`, id 7.
    struct OneTopic;

    const ID: Uuid = Uuid([7; 16]);

    impl TopicNames for OneTopic {
        fn name_of(&self, topic_id: Uuid) -> Option<String> {
            (topic_id == ID).then(|| "t".to_owned())
        }

        fn id_of(&self, name: &str) -> Option<Uuid> {
            (name == "t").then_some(ID)
        }

        fn has_partition(&self, topic_id: Uuid, partition: i32) -> bool {
            topic_id == ID && partition == 0
        }
    }

    fn commit_of(topics: &[(&str, Uuid)]) -> OffsetCommitRequest {
        let topic = |(name, topic_id): &(&str, Uuid)| OffsetCommitRequestTopic {
            name: (*name).to_owned(),
            topic_id: *topic_id,
            partitions: vec![Default::default()],
        };
        OffsetCommitRequest { topics: topics.iter().map(topic).collect(), ..Default::default() }
    }

    #[test]
    fn commits_by_name_learn_the_id_and_unknown_names_are_refused() {
        let (resolved, refused) =
            resolve_offset_commit(9, commit_of(&[("t", Uuid::ZERO), ("x", Uuid::ZERO)]), &OneTopic);
        assert_eq!(resolved, commit_of(&[("t", ID)]));
        assert_eq!(refused[0].name, "x");
        assert_eq!(refused[0].partitions[0].error_code, ErrorCode::UnknownTopicOrPartition.code());
    }

    #[test]
    fn commits_by_id_learn_the_name_and_unknown_ids_are_refused() {
        let other = Uuid([8; 16]);
        let (resolved, refused) = resolve_offset_commit(10, commit_of(&[("", ID), ("", other)]), &OneTopic);
        assert_eq!(resolved, commit_of(&[("t", ID)]));
        assert_eq!(refused[0].topic_id, other);
        assert_eq!(refused[0].partitions[0].error_code, ErrorCode::UnknownTopicId.code());
    }

    #[test]
    fn commits_to_partitions_that_do_not_exist_are_refused_and_answered_with_the_others() {
        for version in [9, 10] {
            let mut request = commit_of(&[("t", ID)]);
            let partition = |partition_index| OffsetCommitRequestPartition { partition_index, ..Default::default() };
            request.topics[0].partitions = vec![partition(0), partition(1), partition(-1)];
            let (resolved, refused) = resolve_offset_commit(version, request, &OneTopic);
            assert_eq!(resolved, commit_of(&[("t", ID)]));
            let answered = refuse_offset_commit(&resolved, ErrorCode::None);
            let completed = complete_offset_commit(answered, refused);
            assert_eq!(completed.topics.len(), 1);
            let codes: Vec<(i32, i16)> =
                completed.topics[0].partitions.iter().map(|one| (one.partition_index, one.error_code)).collect();
            let unknown = ErrorCode::UnknownTopicOrPartition.code();
            assert_eq!(codes, [(0, 0), (1, unknown), (-1, unknown)]);
        }
    }

    #[test]
    fn a_commit_of_nothing_that_exists_is_refused_whole() {
        let mut request = commit_of(&[("t", ID)]);
        request.topics[0].partitions[0].partition_index = 7;
        let (resolved, refused) = resolve_offset_commit(10, request, &OneTopic);
        assert_eq!((resolved.topics.len(), refused.len()), (0, 1));
    }

    #[test]
    fn offsets_of_what_does_not_exist_are_not_deleted_and_said_to_be_unknown() {
        let partition = |partition_index| OffsetDeleteRequestPartition { partition_index };
        let topic = |name: &str| OffsetDeleteRequestTopic {
            name: name.to_owned(),
            partitions: vec![partition(0), partition(3)],
        };
        let request = OffsetDeleteRequest { topics: vec![topic("t"), topic("x")], ..Default::default() };
        let (resolved, refused) = resolve_offset_delete(request, &OneTopic);
        let known = vec![OffsetDeleteRequestTopic { name: "t".to_owned(), partitions: vec![partition(0)] }];
        assert_eq!(resolved.topics, known);
        let one = OffsetDeleteResponsePartition::default();
        let topics = vec![OffsetDeleteResponseTopic { name: "t".to_owned(), partitions: vec![one] }];
        let answered = OffsetDeleteResponse { topics, ..Default::default() };
        let completed = complete_offset_delete(answered, refused.clone());
        let errors: Vec<(&str, i32, i16)> = completed
            .topics
            .iter()
            .flat_map(|topic| topic.partitions.iter().map(|one| (&*topic.name, one.partition_index, one.error_code)))
            .collect();
        let unknown = ErrorCode::UnknownTopicOrPartition.code();
        assert_eq!(errors, [("t", 0, 0), ("t", 3, unknown), ("x", 0, unknown), ("x", 3, unknown)]);
        let failed = OffsetDeleteResponse { error_code: ErrorCode::GroupIdNotFound.code(), ..Default::default() };
        assert_eq!(complete_offset_delete(failed.clone(), refused), failed, "it stands for everything");
    }

    fn fetched(name: &str, topic_id: Uuid) -> OffsetFetchResponseTopics {
        OffsetFetchResponseTopics { name: name.to_owned(), topic_id, partitions: vec![Default::default()] }
    }

    #[test]
    fn null_topics_stay_null_and_empty_stay_empty() {
        for topics in [None, Some(Vec::new())] {
            let request = OffsetFetchRequest { group_id: "g".to_owned(), topics, ..Default::default() };
            let wants_all = request.topics.is_none();
            let groups = offset_fetch_groups(7, request);
            assert_eq!(groups[0].topics.is_none(), wants_all);
        }
    }

    #[test]
    fn ids_are_refused_before_and_completed_after() {
        let topic = |topic_id| OffsetFetchRequestTopics { topic_id, partition_indexes: vec![0], ..Default::default() };
        let asked =
            OffsetFetchRequestGroup { topics: Some(vec![topic(ID), topic(Uuid([8; 16]))]), ..Default::default() };
        let (resolved, refused) = resolve_offset_fetch(10, asked, &OneTopic);
        assert_eq!(resolved.topics.as_ref().map(Vec::len), Some(1));
        // The answer to "all topics" names one that is gone; it has no id and is left out.
        let answered = OffsetFetchResponseGroup {
            topics: vec![fetched("t", Uuid::ZERO), fetched("gone", Uuid::ZERO)],
            ..Default::default()
        };
        let completed = complete_offset_fetch(10, answered, refused, &OneTopic);
        let ids: Vec<Uuid> = completed.topics.iter().map(|topic| topic.topic_id).collect();
        assert_eq!(ids, [ID, Uuid([8; 16])]);
    }

    #[test]
    fn version_1_has_errors_at_partitions_only() {
        let topics =
            vec![OffsetFetchRequestTopics { name: "t".to_owned(), partition_indexes: vec![3], ..Default::default() }];
        let asked = OffsetFetchRequestGroup { topics: Some(topics), ..Default::default() };
        let error_code = ErrorCode::CoordinatorLoadInProgress.code();
        let answered = || vec![OffsetFetchResponseGroup { error_code, ..Default::default() }];
        let first = offset_fetch_response(1, Some(&asked), answered());
        assert_eq!(first.topics[0].partitions[0].error_code, error_code);
        assert_eq!(first.topics[0].partitions[0].committed_offset, -1);
        assert_eq!(offset_fetch_response(2, Some(&asked), answered()).error_code, error_code);
        assert_eq!(offset_fetch_response(8, Some(&asked), answered()).groups[0].error_code, error_code);
    }
}
