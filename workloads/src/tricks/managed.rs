//! A topic of the trick's own from its creation to its end: what is told of it is what was done to it.

use barnabas_base::Uuid;
use barnabas_wire::ErrorCode;
use barnabas_wire::message::create_partitions::{CreatePartitionsAssignment, CreatePartitionsTopic};
use barnabas_wire::message::describe_topic_partitions::{Cursor, TopicRequest};
use barnabas_wire::message::metadata::{MetadataRequestTopic, MetadataResponseTopic};
use barnabas_wire::message::{
    CreatePartitionsRequest, CreateTopicsRequest, DescribeClusterRequest, DescribeTopicPartitionsRequest,
    MetadataRequest,
};

use super::own::{
    OPERATIONS_OMITTED, OwnTopic, Seen, ask, create, creation, delete, deletion_by_id, deletion_by_name, first_code,
    is_due, operations,
};
use super::{Stage, TIMEOUT_MS, Trouble, code_of, must_be_accepted, must_be_refused};
use crate::RawClient;

/// Partitions at first, and later on.
const FEW: i32 = 2;
const MORE: i32 = 3;
/// The first Metadata that asks for no automatic creation, and the first that takes a topic's id for its name.
const METADATA_WITHOUT_CREATION: i16 = 4;
const METADATA_BY_ID: i16 = 12;
/// The first Metadata that tells ids, and the first in which no topics are not all topics.
const METADATA_WITH_IDS: i16 = 10;
const METADATA_OF_NONE: i16 = 1;
/// The first Metadata that tells what a client may do, and the last that tells it of the cluster (DescribeCluster does since).
const METADATA_WITH_OPERATIONS: i16 = 8;
const METADATA_OF_CLUSTER_UNTIL: i16 = 10;
const DESCRIBE_VERSION: i16 = 0;
/// Fewer than a topic has partitions, so that it takes two pages.
const PAGE: i32 = 2;
/// More pages than all topics have.
const PAGES_MAX: u32 = 200;
/// What no topic can be called.
const NO_NAME: &str = "no/name";
/// All that may be done with a topic and with the cluster, as bits of `AclOperation`: nobody is kept from anything.
const TOPIC_OPERATIONS: i32 = 0b1101_1111_1000;
const CLUSTER_OPERATIONS: i32 = 0b1_1111_1010_0000;

/// How a topic is named in a question.
#[derive(Clone, Copy, Debug)]
enum Named<'a> {
    ByName(&'a str),
    ById(Uuid),
    /// All topics are asked for.
    AmongAll(&'a str),
}

impl Stage<'_> {
    pub(super) async fn managed_topic(&mut self) -> Result<(), Trouble> {
        let mut raw = self.connect().await?;
        self.nothing_is_created(&mut raw).await?;
        let own = self.make_own(&mut raw, FEW).await?;
        self.is_shown(&mut raw, &own, FEW).await?;
        let again = create(&mut raw, creation(&own.name, FEW)).await?;
        let expected = [ErrorCode::TopicAlreadyExists];
        must_be_refused("a topic that is there already", code_of(again.error_code), &expected)?;
        self.cluster_is_shown(&mut raw).await?;
        self.grows(&mut raw, &own).await?;
        self.goes(&mut raw, &own).await
    }

    /// A trial, and a request that names one topic twice.
    async fn nothing_is_created(&mut self, raw: &mut RawClient) -> Result<(), Trouble> {
        let name = self.own_name();
        let trial = CreateTopicsRequest { validate_only: true, ..creation(&name, FEW) };
        let tried = create(raw, trial).await?;
        must_be_accepted("the trial of a topic", code_of(tried.error_code))?;
        let mut twice = creation(&name, FEW);
        twice.topics.extend(twice.topics.clone());
        let refused = create(raw, twice).await?;
        must_be_refused("a topic named twice", code_of(refused.error_code), &[ErrorCode::InvalidRequest])?;
        self.is_gone(raw, Named::ByName(&name), "a topic was only tried").await
    }

    async fn grows(&mut self, raw: &mut RawClient, own: &OwnTopic) -> Result<(), Trouble> {
        must_be_accepted("the trial of partitions", self.grow(raw, own, MORE, None, true).await?)?;
        self.is_shown(raw, own, FEW).await?;
        must_be_accepted("partitions", self.grow(raw, own, MORE, None, false).await?)?;
        self.is_shown(raw, own, MORE).await?;
        let code = self.grow(raw, own, MORE, None, false).await?;
        must_be_refused("as many partitions as there are", code, &[ErrorCode::InvalidPartitions])?;
        // One assignment where two partitions come.
        let one = vec![CreatePartitionsAssignment { broker_ids: vec![0] }];
        let code = self.grow(raw, own, MORE + 2, Some(one), false).await?;
        must_be_refused("too few assignments", code, &[ErrorCode::InvalidReplicaAssignment])?;
        self.is_shown(raw, own, MORE).await
    }

    async fn grow(
        &mut self,
        raw: &mut RawClient,
        own: &OwnTopic,
        count: i32,
        assignments: Option<Vec<CreatePartitionsAssignment>>,
        validate_only: bool,
    ) -> Result<ErrorCode, Trouble> {
        let topics = vec![CreatePartitionsTopic { name: own.name.clone(), count, assignments }];
        let request = CreatePartitionsRequest { topics, timeout_ms: TIMEOUT_MS, validate_only };
        let version = self.any_version::<CreatePartitionsRequest>();
        let response = ask(raw, version, request).await?;
        Ok(first_code(response.results.iter().map(|one| one.error_code)))
    }

    /// Named twice it stays, named once it goes.
    async fn goes(&mut self, raw: &mut RawClient, own: &OwnTopic) -> Result<(), Trouble> {
        let mut twice = deletion_by_name(&own.name);
        twice.topics.extend(twice.topics.clone());
        let code = delete(raw, twice).await?;
        if code == ErrorCode::TopicDeletionDisabled {
            return Ok(());
        }
        must_be_refused("the deletion of a topic named twice", code, &[ErrorCode::InvalidRequest])?;
        self.is_shown(raw, own, MORE).await?;
        let deletion = if self.below(2) == 0 { deletion_by_id(own.id) } else { deletion_by_name(&own.name) };
        must_be_accepted("the deletion of a topic", delete(raw, deletion).await?)?;
        self.is_gone(raw, Named::ByName(&own.name), "a topic was deleted").await?;
        self.is_gone(raw, Named::ById(own.id), "a topic was deleted").await?;
        self.has_no_page(raw, &own.name, ErrorCode::UnknownTopicOrPartition).await?;
        self.has_no_page(raw, NO_NAME, ErrorCode::InvalidTopicException).await?;
        let code = delete(raw, deletion_by_name(&own.name)).await?;
        must_be_refused("a second deletion", code, &[ErrorCode::UnknownTopicOrPartition])?;
        let code = delete(raw, deletion_by_id(own.id)).await?;
        must_be_refused("a second deletion by id", code, &[ErrorCode::UnknownTopicId])
    }

    /// Every way to ask shows the topic with so many partitions, each led by the only replica.
    async fn is_shown(&mut self, raw: &mut RawClient, own: &OwnTopic, partitions: i32) -> Result<(), Trouble> {
        for named in [Named::ByName(&own.name), Named::ById(own.id), Named::AmongAll(&own.name)] {
            let look = async |stage: &mut Self| {
                let (version, topic) = stage.metadata_of(raw, named).await?;
                let id = (version >= METADATA_WITH_IDS).then_some(own.id);
                Ok(topic.map_or_else(|| Seen::Wrong("nothing".to_owned()), |topic| own.judge(&topic, id, partitions)))
            };
            self.sees("the metadata of a topic", look).await?;
        }
        self.none_are_shown(raw).await?;
        for is_alone in [true, false] {
            let look = async |stage: &mut Self| {
                let indexes = stage.pages_of(raw, own, is_alone).await?;
                Ok(Seen::equal(&indexes, &(0..partitions).collect()))
            };
            self.sees("the pages of a topic", look).await?;
        }
        Ok(())
    }

    /// Who asks for no topic is told of none.
    async fn none_are_shown(&mut self, raw: &mut RawClient) -> Result<(), Trouble> {
        let version = self.any_version_from::<MetadataRequest>(METADATA_OF_NONE);
        let request = MetadataRequest { topics: Some(Vec::new()), ..Default::default() };
        let response = ask(raw, version, request).await?;
        is_due("topics where none was asked for", &response.topics, &Vec::new())
    }

    async fn is_gone(&mut self, raw: &mut RawClient, named: Named<'_>, what: &str) -> Result<(), Trouble> {
        let expected = match named {
            Named::ByName(_) | Named::AmongAll(_) => ErrorCode::UnknownTopicOrPartition,
            Named::ById(_) => ErrorCode::UnknownTopicId,
        };
        let look = async |stage: &mut Self| {
            let (_, topic) = stage.metadata_of(raw, named).await?;
            let code = topic.map_or(ErrorCode::None, |topic| code_of(topic.error_code));
            Ok(Seen::equal(&code, &expected))
        };
        self.sees(what, look).await
    }

    /// The description of a cluster of one broker, which is its own controller.
    async fn cluster_is_shown(&mut self, raw: &mut RawClient) -> Result<(), Trouble> {
        let asks = self.below(2) == 0;
        let request = DescribeClusterRequest { include_cluster_authorized_operations: asks, ..Default::default() };
        let version = self.any_version::<DescribeClusterRequest>();
        let response = ask(raw, version, request).await?;
        must_be_accepted("the description of a cluster", code_of(response.error_code))?;
        let brokers: Vec<_> = response.brokers.iter().map(|broker| broker.broker_id).collect();
        is_due("the brokers of a cluster of one", &brokers, &vec![response.controller_id])?;
        let due = operations(asks, CLUSTER_OPERATIONS);
        is_due("what may be done with a cluster", &response.cluster_authorized_operations, &due)
    }

    /// A page that nobody has: of a topic that is gone, or of a name that none can have.
    async fn has_no_page(&mut self, raw: &mut RawClient, name: &str, code: ErrorCode) -> Result<(), Trouble> {
        let look = async |_: &mut Self| {
            let topics = vec![TopicRequest { name: name.to_owned() }];
            let request = DescribeTopicPartitionsRequest { topics, response_partition_limit: PAGE, cursor: None };
            let response = ask(raw, DESCRIBE_VERSION, request).await?;
            let shown = response.topics.iter().map(|topic| {
                (code_of(topic.error_code), topic.name.as_deref(), topic.topic_id, topic.topic_authorized_operations)
            });
            let due = vec![(code, Some(name), Uuid::ZERO, OPERATIONS_OMITTED)];
            Ok(Seen::equal(&(shown.collect(), response.next_cursor), &(due, None)))
        };
        self.sees("a page of no topic", look).await
    }

    /// Asks in any version that can be asked so.
    async fn metadata_of(
        &mut self,
        raw: &mut RawClient,
        named: Named<'_>,
    ) -> Result<(i16, Option<MetadataResponseTopic>), Trouble> {
        let version = self.any_version_from::<MetadataRequest>(match named {
            Named::ByName(_) => METADATA_WITHOUT_CREATION,
            Named::ById(_) => METADATA_BY_ID,
            Named::AmongAll(_) => 0,
        });
        let wanted =
            |topic_id, name: Option<&str>| Some(vec![MetadataRequestTopic { topic_id, name: name.map(str::to_owned) }]);
        let topics = match named {
            // Who is named twice is told of once.
            Named::ByName(name) => wanted(Uuid::ZERO, Some(name)).map(|one| [one.clone(), one].concat()),
            Named::ById(id) => wanted(id, None),
            Named::AmongAll(_) if version < METADATA_OF_NONE => Some(Vec::new()),
            Named::AmongAll(_) => None,
        };
        let allow_auto_topic_creation = version < METADATA_WITHOUT_CREATION;
        let asks = version >= METADATA_WITH_OPERATIONS && self.below(2) == 0;
        let request = MetadataRequest {
            topics,
            allow_auto_topic_creation,
            include_topic_authorized_operations: asks,
            include_cluster_authorized_operations: asks && version <= METADATA_OF_CLUSTER_UNTIL,
        };
        let due = operations(request.include_cluster_authorized_operations, CLUSTER_OPERATIONS);
        let response = ask(raw, version, request).await?;
        is_due("what may be done with a cluster", &response.cluster_authorized_operations, &due)?;
        let is_meant = |topic: &MetadataResponseTopic| match named {
            Named::ByName(name) | Named::AmongAll(name) => topic.name.as_deref() == Some(name),
            Named::ById(id) => topic.topic_id == id,
        };
        let mut found: Vec<_> = response.topics.into_iter().filter(is_meant).collect();
        if found.len() > 1 {
            return Err(Trouble::Broken(format!("a topic is told of {} times at once", found.len())));
        }
        let topic = found.pop();
        if let Some(shown) = topic.as_ref().filter(|topic| topic.error_code == 0) {
            let due = operations(asks, TOPIC_OPERATIONS);
            is_due("what may be done with a topic", &shown.topic_authorized_operations, &due)?;
        }
        Ok((version, topic))
    }

    /// The partitions of DescribeTopicPartitions, one page after the other, of this topic alone or among those of all.
    async fn pages_of(&mut self, raw: &mut RawClient, own: &OwnTopic, is_alone: bool) -> Result<Vec<i32>, Trouble> {
        let mut found: Vec<(String, i32)> = Vec::new();
        let mut cursor: Option<Cursor> = None;
        for _ in 0..PAGES_MAX {
            let topics = is_alone.then(|| TopicRequest { name: own.name.clone() }).into_iter().collect();
            let request = DescribeTopicPartitionsRequest { topics, response_partition_limit: PAGE, cursor };
            let response = ask(raw, DESCRIBE_VERSION, request).await?;
            for topic in &response.topics {
                must_be_accepted("a page of a topic", code_of(topic.error_code))?;
                let name = topic.name.clone().unwrap_or_default();
                if (name == own.name) != (topic.topic_id == own.id) {
                    return Err(Trouble::Broken(format!("a page is of {name} {}", topic.topic_id)));
                }
                is_due("what may be done with a topic", &topic.topic_authorized_operations, &TOPIC_OPERATIONS)?;
                found.extend(topic.partitions.iter().map(|partition| (name.clone(), partition.partition_index)));
            }
            cursor = response.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        if cursor.is_some() {
            return Err(Trouble::Unclear("there are more pages than anybody reads".to_owned()));
        }
        if !found.is_sorted_by(|before, after| before < after) {
            return Err(Trouble::Broken(format!("pages show {found:?}")));
        }
        Ok(found.into_iter().filter(|(name, _)| *name == own.name).map(|(_, index)| index).collect())
    }
}

impl OwnTopic {
    /// Whether this is what it should be; `id` as far as the version tells one.
    fn judge(&self, topic: &MetadataResponseTopic, id: Option<Uuid>, partitions: i32) -> Seen {
        let named = (topic.error_code, topic.name.as_deref(), topic.topic_id, topic.is_internal);
        let expected = (0, Some(self.name.as_str()), id.unwrap_or(Uuid::ZERO), false);
        if named != expected {
            return Seen::equal(&named, &expected);
        }
        let mut indexes: Vec<i32> = topic.partitions.iter().map(|partition| partition.partition_index).collect();
        indexes.sort_unstable();
        let expected: Vec<i32> = (0..partitions).collect();
        if indexes != expected {
            return Seen::equal(&indexes, &expected);
        }
        let is_led =
            |leader: i32, replicas: &[i32], isr: &[i32]| leader >= 0 && replicas == [leader] && isr == [leader];
        let lone = topic.partitions.iter().find(|partition| {
            let is_well = is_led(partition.leader_id, &partition.replica_nodes, &partition.isr_nodes);
            !is_well || partition.error_code != 0
        });
        lone.map_or(Seen::Right, |partition| Seen::Wrong(format!("{partition:?}")))
    }
}
