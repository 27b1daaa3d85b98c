//! Properties of images under random histories, and what does not fit an image.

use std::sync::Arc;

use barnabas_base::{BrokerId, LeaderEpoch, Offset, PartitionIndex, TimestampMs, TopicId, TopicPartition, Uuid};
use barnabas_wire::internal::MetadataRecord;
use barnabas_wire::internal::access_schema::{AccessControlEntryRecord, RemoveAccessControlEntryRecord};
use barnabas_wire::internal::metadata_schema::*;
use barnabas_wire::internal::node_schema::*;
use proptest::prelude::*;

use super::*;

/// A small world, so that histories meet the same names again.
const TOPICS: u8 = 6;
const PARTITIONS: i32 = 4;
const BROKERS: i32 = 3;

/// One step of a history; the image decides what it amounts to.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Topic(u8),
    Partition(u8, i32),
    Change(u8, i32, Option<i32>, bool),
    Remove(u8),
    Config(u8, u8, Option<u8>),
    Broker(i32),
    Fence(i32, i8),
    Unregister(i32),
    Feature(u8, i16),
    ProducerIds,
    Acl(u8, bool),
    ClearElr(u8),
    Nothing,
}

pub(crate) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let topic = || 0..TOPICS;
    let step = prop_oneof![
        4 => topic().prop_map(Step::Topic),
        6 => (topic(), 0..PARTITIONS).prop_map(|(topic, partition)| Step::Partition(topic, partition)),
        6 => (topic(), 0..PARTITIONS, prop::option::of(-1..BROKERS), any::<bool>())
            .prop_map(|(topic, partition, leader, isr)| Step::Change(topic, partition, leader, isr)),
        2 => topic().prop_map(Step::Remove),
        4 => (topic(), 0..3_u8, prop::option::of(0..9_u8)).prop_map(|(topic, key, value)| Step::Config(topic, key, value)),
        2 => (0..BROKERS).prop_map(Step::Broker),
        2 => (0..BROKERS, -1..=1_i8).prop_map(|(broker, fenced)| Step::Fence(broker, fenced)),
        1 => (0..BROKERS).prop_map(Step::Unregister),
        1 => (0..3_u8, 0..4_i16).prop_map(|(feature, level)| Step::Feature(feature, level)),
        1 => Just(Step::ProducerIds),
        1 => (0..3_u8, any::<bool>()).prop_map(|(entry, removed)| Step::Acl(entry, removed)),
        1 => topic().prop_map(Step::ClearElr),
        1 => Just(Step::Nothing),
    ];
    prop::collection::vec(step, 0..60)
}

fn name(topic: u8) -> String {
    // Half of the names can collide with others.
    if topic.is_multiple_of(2) { format!("t.{topic}") } else { format!("plain{topic}") }
}

/// Ids are never used twice: the count of records so far makes them.
fn fresh(ordinal: u64) -> Uuid {
    Uuid::from_random(ordinal, ordinal.rotate_left(17)).unwrap_or(Uuid([9; 16]))
}

/// The records of `step`, none when it makes no sense on `image`.
pub(crate) fn records_of(step: &Step, image: &ClusterImage, ordinal: u64) -> Vec<MetadataRecord> {
    let record = match step {
        Step::Nothing => Some(NoOpRecord {}.into()),
        Step::Config(topic, key, value) => Some(
            ConfigRecord {
                resource_type: 2,
                resource_name: name(*topic),
                name: format!("key{key}"),
                value: value.map(|value| value.to_string()),
            }
            .into(),
        ),
        Step::Broker(id) => Some(
            RegisterBrokerRecord {
                broker_id: *id,
                broker_epoch: i64::try_from(ordinal).expect("histories are short"),
                incarnation_id: fresh(ordinal),
                log_dirs: vec![fresh(ordinal + 1)],
                rack: None,
                ..RegisterBrokerRecord::default()
            }
            .into(),
        ),
        Step::Fence(id, fenced) => image.broker(BrokerId(*id)).map(|broker| {
            BrokerRegistrationChangeRecord {
                broker_id: *id,
                broker_epoch: broker.epoch.0,
                fenced: *fenced,
                ..BrokerRegistrationChangeRecord::default()
            }
            .into()
        }),
        Step::Unregister(id) => image
            .broker(BrokerId(*id))
            .map(|broker| UnregisterBrokerRecord { broker_id: *id, broker_epoch: broker.epoch.0 }.into()),
        Step::Feature(feature, level) => {
            Some(FeatureLevelRecord { name: format!("feature{feature}"), feature_level: *level }.into())
        }
        Step::ProducerIds => {
            let next_producer_id = image.next_producer_id().0 + 1_000;
            Some(ProducerIdsRecord { broker_id: 0, broker_epoch: 0, next_producer_id }.into())
        }
        Step::Acl(entry, false) => {
            Some(AccessControlEntryRecord { id: Uuid([*entry; 16]), ..AccessControlEntryRecord::default() }.into())
        }
        Step::Acl(entry, true) => Some(RemoveAccessControlEntryRecord { id: Uuid([*entry; 16]) }.into()),
        Step::Topic(_) | Step::Partition(..) | Step::Change(..) | Step::Remove(_) | Step::ClearElr(_) => {
            topic_record(step, image, ordinal)
        }
    };
    record.into_iter().collect()
}

fn topic_record(step: &Step, image: &ClusterImage, ordinal: u64) -> Option<MetadataRecord> {
    match step {
        Step::Topic(topic) if image.topic_by_name(&name(*topic)).is_none() => {
            Some(TopicRecord { name: name(*topic), topic_id: fresh(ordinal) }.into())
        }
        Step::Partition(topic, partition) => image.topic_id(&name(*topic)).map(|id| {
            let image = PartitionImage {
                replicas: vec![BrokerId(0), BrokerId(1)],
                directories: vec![DIRECTORY_UNASSIGNED, DIRECTORY_MIGRATING],
                isr: vec![BrokerId(0)],
                eligible_leader_replicas: vec![BrokerId(1)],
                leader: BrokerId(0),
                leader_epoch: LeaderEpoch(0),
                ..PartitionImage::default()
            };
            image.to_record(id, PartitionIndex(*partition)).into()
        }),
        Step::Change(topic, partition, leader, isr) => image
            .topic_by_name(&name(*topic))
            .filter(|topic| topic.partition(PartitionIndex(*partition)).is_some())
            .map(|topic| {
                let change = partition_change(topic.id, PartitionIndex(*partition));
                let isr = isr.then(|| vec![0, 1]);
                PartitionChangeRecord { leader: leader.unwrap_or(-2), isr, ..change }.into()
            }),
        Step::Remove(topic) => image.topic_id(&name(*topic)).map(|id| RemoveTopicRecord { topic_id: id.0 }.into()),
        Step::ClearElr(topic) => {
            image.topic_by_name(&name(*topic)).map(|topic| ClearElrRecord { topic_name: topic.name.to_string() }.into())
        }
        _ => None,
    }
}

/// A history as batches of records, with the image after all of them.
fn history(steps: &[Step], batch: usize) -> (Vec<Vec<MetadataRecord>>, ClusterImage) {
    let (mut image, mut batches) = (ClusterImage::default(), vec![Vec::new()]);
    for (ordinal, step) in (1..).zip(steps) {
        let records = records_of(step, &image, ordinal);
        image = image.apply(&records).expect("steps fit the image").0;
        if batches.last().is_some_and(|last| last.len() >= batch) {
            batches.push(Vec::new());
        }
        batches.last_mut().expect("there is a batch").extend(records);
    }
    (batches, image)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_snapshot_is_what_the_replay_gives(steps in steps()) {
        let (_, image) = history(&steps, 1);
        let dump: Vec<MetadataRecord> = image.records().collect();
        for record in &dump {
            let bytes = record.to_bytes().expect("every record of a dump has a byte form");
            let (decoded, _) = MetadataRecord::from_bytes(bytes).expect("what is written is read");
            prop_assert_eq!(&decoded, record);
        }
        let (restored, _) = ClusterImage::default().apply(&dump).expect("a dump fits the empty image");
        prop_assert_eq!(restored, image);
    }

    #[test]
    fn batches_make_no_difference(steps in steps(), size in 1..9_usize) {
        let (batches, image) = history(&steps, size);
        let mut loader = ImageLoader::default();
        let mut position = MetadataPosition::default();
        for batch in &batches {
            position.end_offset = position.end_offset.plus(i64::try_from(batch.len()).expect("short"));
            loader.replay(batch, position).expect("the history fits");
        }
        prop_assert_eq!(loader.image(), &image);
        prop_assert_eq!(loader.position(), position);
    }

    #[test]
    fn deltas_name_all_that_changed(earlier in steps(), later in steps()) {
        let (_, before) = history(&earlier, 1);
        let (mut after, mut delta) = (before.clone(), Delta::default());
        for (ordinal, step) in (1_000..).zip(&later) {
            let (image, change) = after.apply(&records_of(step, &after, ordinal)).expect("steps fit the image");
            after = image;
            delta.merge(change);
        }
        for topic in after.topics() {
            let old = before.topic(topic.id);
            prop_assert_eq!(delta.created_topics.contains(&topic.id), old.is_none());
            for (index, partition) in topic.partitions.iter() {
                let place = TopicPartition { topic_id: topic.id, partition: *index };
                if !delta.changed_partitions.contains(&place) {
                    prop_assert_eq!(before.partition(place), Some(partition.as_ref()));
                }
            }
            if !delta.changed_partitions.iter().any(|place| place.topic_id == topic.id) {
                prop_assert!(old.is_none_or(|old| Arc::ptr_eq(old, topic)), "what did not change is shared");
            }
        }
        for topic in before.topics() {
            prop_assert_eq!(delta.deleted_topics.contains_key(&topic.id), after.topic(topic.id).is_none());
        }
        prop_assert!(delta.changed_partitions.iter().all(|place| after.partition(*place).is_some()));
        let set = after.configs().flat_map(|(resource, config)| config.iter().map(move |entry| (resource, entry)));
        let bytes = set.map(|(resource, (key, value))| resource.name.len() + key.len() + value.len());
        prop_assert_eq!(after.config_bytes(), bytes.sum::<usize>());
        for (resource, config) in before.configs().chain(after.configs()) {
            if !delta.changed_configs.contains(resource) {
                prop_assert_eq!(before.config(resource), config);
                prop_assert_eq!(after.config(resource), config);
            }
        }
    }
}

#[test]
fn naming_a_leader_raises_the_leader_epoch_even_if_it_stays() {
    let id = TopicId(fresh(7));
    let partition = PartitionImage { leader: BrokerId(1), ..PartitionImage::default() };
    let change = partition_change(id, PartitionIndex(0));
    let same = partition.changed_by(&PartitionChangeRecord { leader: 1, ..change.clone() });
    assert_eq!((same.leader, same.leader_epoch, same.partition_epoch), (BrokerId(1), LeaderEpoch(1), 1));
    let untouched = partition.changed_by(&change);
    assert_eq!((untouched.leader, untouched.leader_epoch, untouched.partition_epoch), (BrokerId(1), LeaderEpoch(0), 1));
}

#[test]
fn what_does_not_fit_is_an_error_and_changes_nothing() {
    let topic: MetadataRecord = TopicRecord { name: "a".to_owned(), topic_id: fresh(1) }.into();
    let (image, _) = ClusterImage::default().apply(std::slice::from_ref(&topic)).expect("the first topic");
    let other = |name: &str, id| TopicRecord { name: name.to_owned(), topic_id: fresh(id) }.into();
    let unknown = partition_change(TopicId(fresh(1)), PartitionIndex(5));
    let misfits: [MetadataRecord; 8] = [
        topic,
        other("a", 2),
        other("b", 1),
        RemoveTopicRecord { topic_id: fresh(2) }.into(),
        PartitionRecord { topic_id: fresh(2), partition_id: 0, ..PartitionRecord::default() }.into(),
        PartitionRecord { topic_id: fresh(1), partition_id: -3, ..PartitionRecord::default() }.into(),
        unknown.into(),
        ConfigRecord { resource_type: 77, ..ConfigRecord::default() }.into(),
    ];
    for record in misfits {
        let mut loader = ImageLoader::new(image.clone(), MetadataPosition::default());
        let fits = other("c", 3);
        let error = loader.replay(&[fits, record], MetadataPosition::default()).expect_err("it does not fit");
        assert!(!error.reason.is_empty());
        assert_eq!(loader.image(), &image);
    }
}

/// Copying what is set on a resource for each of its records would take a start the better part of an hour.
#[test]
fn very_many_settings_of_one_resource_apply() {
    const SETTINGS: usize = 200_000;
    let records = (0..SETTINGS).map(|index| {
        let (name, value) = (format!("key-{index}"), Some("value".to_owned()));
        ConfigRecord { resource_type: ResourceKind::Broker.code(), name, value, ..ConfigRecord::default() }.into()
    });
    let records: Vec<MetadataRecord> = records.collect();
    let (image, _) = ClusterImage::default().apply(&records).expect("settings fit an empty image");
    assert_eq!(image.config(&ConfigResource::all_brokers()).len(), SETTINGS);
}

fn position(end_offset: i64) -> MetadataPosition {
    MetadataPosition { end_offset: Offset(end_offset), epoch: LeaderEpoch(1), timestamp: TimestampMs(0) }
}

#[test]
fn an_open_transaction_is_invisible() {
    let topic = |name: &str, id| MetadataRecord::from(TopicRecord { name: name.to_owned(), topic_id: fresh(id) });
    let begin = || MetadataRecord::from(BeginTransactionRecord { name: None });
    let mut loader = ImageLoader::default();
    loader.replay(&[topic("a", 1), begin(), topic("b", 2)], position(3)).expect("a transaction begins");
    assert_eq!(loader.image().topics().count(), 1);
    assert_eq!(loader.position(), position(3));
    let delta = loader.replay(&[EndTransactionRecord {}.into()], position(4)).expect("it ends");
    assert_eq!(delta.created_topics.len(), 1);
    assert_eq!(loader.image().topics().count(), 2);
    loader.replay(&[begin(), topic("c", 3)], position(6)).expect("another begins");
    loader.replay(&[AbortTransactionRecord { reason: None }.into()], position(7)).expect("it is aborted");
    assert_eq!(loader.image().topics().count(), 2);
    assert!(loader.replay(&[EndTransactionRecord {}.into()], position(8)).is_err());
}

#[test]
fn names_that_differ_in_dots_and_underscores_collide() {
    let topic = |name: &str, id| MetadataRecord::from(TopicRecord { name: name.to_owned(), topic_id: fresh(id) });
    let (image, _) = ClusterImage::default().apply(&[topic("a.b", 1), topic("plain", 2)]).expect("two topics");
    assert_eq!(image.colliding_topic("a_b"), Some("a.b"));
    assert_eq!(image.colliding_topic("a.b"), None);
    assert_eq!(image.colliding_topic("plain"), None);
    let (image, _) = image.apply(&[RemoveTopicRecord { topic_id: fresh(1) }.into()]).expect("it is there");
    assert_eq!(image.colliding_topic("a_b"), None);
}
