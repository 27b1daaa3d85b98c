//! A topic of the trick's own that goes while a group has committed offsets in it.

use barnabas_wire::message::offset_commit::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use barnabas_wire::message::offset_fetch::OffsetFetchRequestTopic;
use barnabas_wire::message::{OffsetCommitRequest, OffsetFetchRequest, OffsetFetchResponse};
use barnabas_wire::{ErrorCode, RequestBody, ResponseBody};

use super::groups::{COMMIT_VERSION, LOOKUP_PAUSE, LOOKUPS_MAX};
use super::own::{creation, deletion_by_name};
use super::wrong::{CREATE_TOPICS_VERSION, DELETE_TOPICS_VERSION};
use super::{ANSWER_MAX, Stage, Trouble, code_of, refusal_in};
use crate::RawClient;

/// Names one group, and topics by name.
const OFFSET_FETCH_VERSION: i16 = 5;
const COMMITTED: i64 = 7;

impl Stage<'_> {
    /// Offsets go with their topic: the one that is made again under its name begins without.
    pub(super) async fn commit_then_drop(&mut self) -> Result<(), Trouble> {
        let mut raw = self.coordinator().await?;
        let topic = format!("dropped-{}", self.group());
        done(&mut raw, CREATE_TOPICS_VERSION, creation(&topic, 1).into(), "a topic that is made").await?;
        done(&mut raw, COMMIT_VERSION, self.commit_in(&topic), "a commit").await?;
        done(&mut raw, DELETE_TOPICS_VERSION, deletion_by_name(&topic).into(), "a topic that is deleted").await?;
        done(&mut raw, CREATE_TOPICS_VERSION, creation(&topic, 1).into(), "a topic that is made again").await?;
        let left = self.wait_until_forgotten(&mut raw, &topic).await;
        done(&mut raw, DELETE_TOPICS_VERSION, deletion_by_name(&topic).into(), "a topic that is deleted again").await?;
        left
    }

    fn commit_in(&self, topic: &str) -> RequestBody {
        let partition = OffsetCommitRequestPartition { committed_offset: COMMITTED, ..Default::default() };
        let topics = vec![OffsetCommitRequestTopic {
            name: topic.to_owned(),
            partitions: vec![partition],
            ..Default::default()
        }];
        let group_id = self.group();
        OffsetCommitRequest { group_id, generation_id_or_member_epoch: -1, topics, ..Default::default() }.into()
    }

    async fn wait_until_forgotten(&self, raw: &mut RawClient, topic: &str) -> Result<(), Trouble> {
        for _ in 0..LOOKUPS_MAX {
            let topics = vec![OffsetFetchRequestTopic { name: topic.to_owned(), partition_indexes: vec![0] }];
            let request = OffsetFetchRequest { group_id: self.group(), topics: Some(topics), ..Default::default() };
            raw.send(OFFSET_FETCH_VERSION, request).await?;
            let ResponseBody::OffsetFetch(response) = raw.receive_within(ANSWER_MAX).await? else {
                return Err(Trouble::Broken("OffsetFetch is answered by something else".to_owned()));
            };
            match committed(&response) {
                Some(-1) => return Ok(()),
                None | Some(COMMITTED) => self.session.env.sleep(LOOKUP_PAUSE).await,
                Some(other) => return Err(Trouble::Broken(format!("{COMMITTED} was committed, {other} is told"))),
            }
        }
        // How soon offsets follow their topic is nobody's promise.
        Err(Trouble::Unclear("offsets of a topic that is gone are still there".to_owned()))
    }
}

/// Asks for what is refused only where faults are.
async fn done(raw: &mut RawClient, version: i16, request: RequestBody, what: &str) -> Result<(), Trouble> {
    raw.send(version, request).await?;
    match refusal_in(&raw.receive_within(ANSWER_MAX).await?) {
        ErrorCode::None => Ok(()),
        code => Err(Trouble::Unclear(format!("{what}: {}", code.name()))),
    }
}

/// The offset, without one -1; none while the coordinator refuses to tell.
fn committed(response: &OffsetFetchResponse) -> Option<i64> {
    let partition = response.topics.iter().flat_map(|topic| &topic.partitions).next()?;
    let is_told = [response.error_code, partition.error_code].map(code_of) == [ErrorCode::None; 2];
    is_told.then_some(partition.committed_offset)
}
