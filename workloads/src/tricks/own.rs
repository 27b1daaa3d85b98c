//! A topic of a trick's own: nobody else names it, so that the trick knows all that is true of it.

use std::fmt::Debug;

use barnabas_base::{Offset, Uuid};
use barnabas_wire::message::create_topics::{CreatableTopic, CreatableTopicResult};
use barnabas_wire::message::delete_topics::DeleteTopicState;
use barnabas_wire::message::fetch::PartitionData;
use barnabas_wire::message::produce::{PartitionProduceData, PartitionProduceResponse, TopicProduceData};
use barnabas_wire::message::{CreateTopicsRequest, DeleteTopicsRequest, FetchRequest, ProduceRequest};
use barnabas_wire::{ErrorCode, Records, Request, RequestBody};
use bytes::Bytes;

use super::groups::{LOOKUP_PAUSE, LOOKUPS_MAX};
use super::reading::fetch_request;
use super::wrong::{CREATE_TOPICS_VERSION, DELETE_TOPICS_VERSION};
use super::{
    ANSWER_MAX, FETCH_VERSION, PRODUCE_VERSION, Stage, TIMEOUT_MS, Trouble, code_of, must_be_accepted, produced,
};
use crate::RawClient;

/// What is told of operations where nobody asked (`MetadataResponse.AUTHORIZED_OPERATIONS_OMITTED`).
pub(super) const OPERATIONS_OMITTED: i32 = i32::MIN;

/// What is told of operations: `all`, if that was asked for.
pub(super) const fn operations(is_asked: bool, all: i32) -> i32 {
    if is_asked { all } else { OPERATIONS_OMITTED }
}

/// A topic of a trick's own.
#[derive(Clone, Debug)]
pub(super) struct OwnTopic {
    pub(super) name: String,
    pub(super) id: Uuid,
}

impl Stage<'_> {
    /// A name that was never given before, for a topic or a group.
    pub(super) fn own_name(&mut self) -> String {
        let draw = self.session.env.entropy.next_u64();
        format!("own-{}-{}-{draw:016x}", self.session.by.client, self.session.by.life)
    }

    /// Makes a topic under a name that was never given before.
    pub(super) async fn make_own(&mut self, raw: &mut RawClient, partitions: i32) -> Result<OwnTopic, Trouble> {
        let name = self.own_name();
        let made = create(raw, creation(&name, partitions)).await?;
        must_be_accepted("a topic of one's own", code_of(made.error_code))?;
        Ok(OwnTopic { name, id: made.topic_id })
    }

    /// Deletes it, where topics can be deleted, by a connection of which nothing is left to read.
    pub(super) async fn drop_own(&self, own: &OwnTopic) -> Result<(), Trouble> {
        let mut raw = self.connect().await?;
        match delete(&mut raw, deletion_by_id(own.id)).await? {
            ErrorCode::TopicDeletionDisabled => Ok(()),
            code => must_be_accepted("the deletion of a topic of one's own", code),
        }
    }

    /// Sends a batch to its first partition.
    pub(super) async fn produce_own(
        &self,
        raw: &mut RawClient,
        own: &OwnTopic,
        batch: &Bytes,
    ) -> Result<PartitionProduceResponse, Trouble> {
        let partition_data = vec![PartitionProduceData { index: 0, records: Records::Bytes(batch.clone()) }];
        let topic_data = vec![TopicProduceData { name: own.name.clone(), topic_id: own.id, partition_data }];
        let request = ProduceRequest { transactional_id: None, acks: -1, timeout_ms: TIMEOUT_MS, topic_data };
        Ok(produced(ask(raw, PRODUCE_VERSION, request).await?.into())?)
    }

    /// Fetches from its first partition whatever there is.
    pub(super) async fn fetch_own(
        &self,
        raw: &mut RawClient,
        own: &OwnTopic,
        from: i64,
    ) -> Result<PartitionData, Trouble> {
        let request = fetch_request((own.name.clone(), own.id), 0, Offset(from));
        fetched_partition(raw, request).await
    }

    /// A version of `R` that is advertised, any of them.
    pub(super) fn any_version<R: Request>(&mut self) -> i16 {
        self.any_version_from::<R>(0)
    }

    /// As [`Stage::any_version`], but none below `first`.
    pub(super) fn any_version_from<R: Request>(&mut self, first: i16) -> i16 {
        let (first, last) = (first.max(*R::ADVERTISED.start()), *R::ADVERTISED.end());
        let count = u64::try_from(last - first + 1).expect("there is a version");
        first + i16::try_from(self.below(count)).expect("few versions")
    }

    /// A number below `bound`.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.session.env.entropy.next_u64() % bound
    }

    /// Looks until what is seen is right. Every broker learns of a change after a while only; one that never does is
    /// wrong.
    pub(super) async fn sees(
        &mut self,
        what: &str,
        mut look: impl AsyncFnMut(&mut Self) -> Result<Seen, Trouble>,
    ) -> Result<(), Trouble> {
        let mut last = Trouble::Unclear(format!("{what}: nobody looked"));
        for _ in 0..LOOKUPS_MAX {
            match look(self).await?.judged(what) {
                Ok(()) => return Ok(()),
                Err(trouble) => last = trouble,
            }
            self.session.env.sleep(LOOKUP_PAUSE).await;
        }
        Err(last)
    }
}

/// What a look shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// What it should.
    Right,
    /// Something else.
    Wrong(String),
    /// That who is asked cannot tell yet.
    Later(ErrorCode),
}

impl Seen {
    /// Right if both are the same, once the answer is one.
    pub(super) fn answered<T: PartialEq + Debug>(code: ErrorCode, seen: &T, expected: &T) -> Self {
        if code.is_retriable() { Self::Later(code) } else { Self::equal(seen, expected) }
    }

    /// Right if both are the same.
    pub(super) fn equal<T: PartialEq + Debug>(seen: &T, expected: &T) -> Self {
        if seen == expected { Self::Right } else { Self::Wrong(format!("{seen:?} where {expected:?} is due")) }
    }

    fn judged(self, what: &str) -> Result<(), Trouble> {
        match self {
            Self::Right => Ok(()),
            Self::Wrong(other) => Err(Trouble::Broken(format!("{what}: {other}"))),
            Self::Later(code) => Err(Trouble::Unclear(format!("{what}: {}", code.name()))),
        }
    }
}

/// What is told at once or never.
pub(super) fn is_due<T: PartialEq + Debug>(what: &str, seen: &T, expected: &T) -> Result<(), Trouble> {
    Seen::equal(seen, expected).judged(what)
}

/// Sends a request and waits for its answer.
pub(super) async fn ask<R>(raw: &mut RawClient, version: i16, request: R) -> Result<R::Response, Trouble>
where
    R: Request + Into<RequestBody>,
{
    Ok(raw.ask_within(ANSWER_MAX, version, request).await?)
}

/// The first code of an answer that has one for each thing asked for. One that has none is wrong.
pub(super) fn first_code(codes: impl IntoIterator<Item = i16>) -> ErrorCode {
    codes.into_iter().next().map_or(ErrorCode::UnknownServerError, code_of)
}

/// Asks for topics; what it is told of the first.
pub(super) async fn create(raw: &mut RawClient, request: CreateTopicsRequest) -> Result<CreatableTopicResult, Trouble> {
    let response = ask(raw, CREATE_TOPICS_VERSION, request).await?;
    let first = response.topics.into_iter().next();
    first.ok_or_else(|| Trouble::Broken("CreateTopics is answered without its topic".to_owned()))
}

/// Has topics deleted; the code of the first.
pub(super) async fn delete(raw: &mut RawClient, request: DeleteTopicsRequest) -> Result<ErrorCode, Trouble> {
    let response = ask(raw, DELETE_TOPICS_VERSION, request).await?;
    Ok(first_code(response.responses.iter().map(|one| one.error_code)))
}

/// Sends a fetch of one partition; what it is told of it.
pub(super) async fn fetched_partition(raw: &mut RawClient, request: FetchRequest) -> Result<PartitionData, Trouble> {
    let response = ask(raw, FETCH_VERSION, request).await?;
    must_be_accepted("a fetch", code_of(response.error_code))?;
    let first = response.responses.into_iter().flat_map(|topic| topic.partitions).next();
    first.ok_or_else(|| Trouble::Broken("Fetch is answered without its partition".to_owned()))
}

pub(super) fn creation(name: &str, num_partitions: i32) -> CreateTopicsRequest {
    let name = name.to_owned();
    let topic = CreatableTopic { name, num_partitions, replication_factor: 1, ..Default::default() };
    CreateTopicsRequest { topics: vec![topic], timeout_ms: TIMEOUT_MS, validate_only: false }
}

pub(super) fn deletion_by_id(topic_id: Uuid) -> DeleteTopicsRequest {
    deletion(DeleteTopicState { name: None, topic_id })
}

pub(super) fn deletion_by_name(name: &str) -> DeleteTopicsRequest {
    deletion(DeleteTopicState { name: Some(name.to_owned()), topic_id: Uuid::ZERO })
}

fn deletion(topic: DeleteTopicState) -> DeleteTopicsRequest {
    DeleteTopicsRequest { topics: vec![topic], timeout_ms: TIMEOUT_MS, ..Default::default() }
}
