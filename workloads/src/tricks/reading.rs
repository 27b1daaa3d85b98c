//! Tricks of readers: a fetch that holds up its own connection, and fetch sessions whose answer got lost, or that are
//! elsewhere than their client says.

use std::time::Duration;

use barnabas_base::{Offset, Uuid};
use barnabas_wire::message::fetch::{FetchPartition, FetchTopic};
use barnabas_wire::message::{FetchRequest, FetchResponse};
use barnabas_wire::record::{Tail, batches};
use barnabas_wire::{ApiKey, ErrorCode, ResponseBody};

use super::{ANSWER_MAX, FETCH_VERSION, Stage, Trouble, code_of, must_be_accepted, must_be_refused, name_of};
use crate::RawClient;
use crate::record::partition_index;

/// ListOffsets behind a parked fetch.
const LIST_OFFSETS_VERSION: i16 = 5;
/// The last Fetch that names its topics.
const FETCH_BY_NAME_VERSION: i16 = 12;
/// The epoch that closes a fetch session.
const FINAL_EPOCH: i32 = -1;
/// How long a fetch is parked.
const PARKED_MS: i32 = 1_500;
const FETCH_BYTES: i32 = 64 * 1024;
/// Fetches of a reader that is deaf, and for how long it is.
const DEAF_FETCHES: u32 = 24;
const DEAF_FOR: Duration = Duration::from_secs(1);

impl Stage<'_> {
    pub(super) fn fetch(&self, offset: Offset, session_id: i32, session_epoch: i32) -> FetchRequest {
        let partition = partition_index(self.log.partition).0;
        let topic = (self.log.topic.to_string(), self.log.id);
        FetchRequest { session_id, session_epoch, ..fetch_request(topic, partition, offset) }
    }

    pub(super) async fn end_of_log(&self, raw: &mut RawClient) -> Result<Offset, Trouble> {
        raw.send(LIST_OFFSETS_VERSION, self.latest()).await?;
        let answer = raw.receive_within(ANSWER_MAX).await?;
        let ResponseBody::ListOffsets(response) = answer else {
            return Err(Trouble::Broken("ListOffsets is answered by something else".to_owned()));
        };
        let partition = response.topics.iter().flat_map(|topic| &topic.partitions).next();
        match partition {
            Some(partition) if partition.error_code == 0 => Ok(Offset(partition.offset)),
            Some(partition) => Err(Trouble::Unclear(name_of(partition.error_code))),
            None => Err(Trouble::Broken("ListOffsets is answered without its partition".to_owned())),
        }
    }

    /// Answers come in the order of the requests, whatever waits.
    pub(super) async fn parked_fetch(&mut self) -> Result<(), Trouble> {
        let mut raw = self.connect().await?;
        let end = self.end_of_log(&mut raw).await?;
        let parked = FetchRequest { max_wait_ms: PARKED_MS, min_bytes: FETCH_BYTES, ..self.fetch(end, 0, -1) };
        raw.send(FETCH_VERSION, parked).await?;
        raw.send(LIST_OFFSETS_VERSION, self.latest()).await?;
        raw.send(FETCH_VERSION, self.fetch(end, 0, -1)).await?;
        for expected in [ApiKey::Fetch, ApiKey::ListOffsets, ApiKey::Fetch] {
            let answer = raw.receive_within(ANSWER_MAX).await?;
            if answer.api_key() != expected {
                let (came, due) = (answer.api_key().name(), expected.name());
                return Err(Trouble::Broken(format!("{came} where {due} is due")));
            }
        }
        Ok(())
    }

    /// Who asks for much and reads nothing is answered in the end, and holds no memory of others meanwhile.
    pub(super) async fn deaf_reader(&mut self) -> Result<(), Trouble> {
        let mut raw = self.connect().await?;
        for _ in 0..DEAF_FETCHES {
            raw.send(FETCH_VERSION, self.fetch(Offset(0), 0, -1)).await?;
        }
        self.session.env.sleep(DEAF_FOR).await;
        for _ in 0..DEAF_FETCHES {
            let answer = raw.receive_within(ANSWER_MAX).await?;
            if answer.api_key() != ApiKey::Fetch {
                return Err(Trouble::Broken(format!("Fetch is answered by {:?}", answer.api_key())));
            }
        }
        Ok(())
    }

    /// A session stands where its client said it does: whoever throws an answer away, and names no partition in the next
    /// fetch, is sent the same again (KIP-227).
    pub(super) async fn lost_fetch_answer(&mut self) -> Result<(), Trouble> {
        let mut raw = self.connect().await?;
        let opened = fetched(&mut raw, self.fetch(Offset(0), 0, 0)).await?;
        let partition = opened.responses.iter().flat_map(|topic| &topic.partitions).next();
        let Some(start) = partition.filter(|data| data.error_code == 0).map(|data| data.log_start_offset) else {
            return Err(Trouble::Unclear("the session does not begin with the partition".to_owned()));
        };
        if opened.session_id == 0 {
            return Ok(());
        }
        let from = Offset(start.max(0));
        let thrown_away = fetched(&mut raw, self.fetch(from, opened.session_id, 1)).await?;
        drop(raw);
        let mut again = self.connect().await?;
        let end = self.end_of_log(&mut again).await?;
        let unnamed = FetchRequest { topics: Vec::new(), ..self.fetch(from, opened.session_id, 2) };
        let repeated = fetched(&mut again, unnamed).await?;
        for code in [thrown_away.error_code, repeated.error_code].map(code_of) {
            match code {
                ErrorCode::None => {}
                ErrorCode::InvalidFetchSessionEpoch | ErrorCode::FetchSessionIdNotFound => return Ok(()),
                code => return Err(Trouble::Unclear(format!("a fetch in a session: {}", code.name()))),
            }
        }
        self.nothing_is_skipped(&repeated, from, end)?;
        match (first_of(&thrown_away), first_of(&repeated)) {
            (Some(once), Some(again)) if once != again => {
                Err(Trouble::Broken(format!("a session went on from {once} to {again} by itself")))
            }
            _ => Ok(()),
        }
    }

    /// A session is left as it is by whoever says that it is elsewhere, or calls topics otherwise than it was begun with
    /// (KIP-227, KIP-516), and is gone once it is closed.
    pub(super) async fn stale_session(&mut self) -> Result<(), Trouble> {
        let mut raw = self.connect().await?;
        let opened = fetched(&mut raw, self.fetch(Offset(0), 0, 0)).await?;
        let id = opened.session_id;
        if id == 0 {
            return Ok(());
        }
        let gone = ErrorCode::FetchSessionIdNotFound;
        let ahead = fetched(&mut raw, self.fetch(Offset(0), id, 7)).await?;
        let expected = [ErrorCode::InvalidFetchSessionEpoch, gone];
        must_be_refused("a fetch from where its session is not", code_of(ahead.error_code), &expected)?;
        let by_name = fetched_in(FETCH_BY_NAME_VERSION, &mut raw, self.fetch(Offset(0), id, 1)).await?;
        let expected = [ErrorCode::FetchSessionTopicIdError, gone];
        must_be_refused("a fetch by name in a session of ids", code_of(by_name.error_code), &expected)?;
        let closing = FetchRequest { topics: Vec::new(), ..self.fetch(Offset(0), id, FINAL_EPOCH) };
        must_be_accepted("the end of a session", code_of(fetched(&mut raw, closing).await?.error_code))?;
        let after = fetched(&mut raw, self.fetch(Offset(0), id, 1)).await?;
        must_be_refused("a fetch in a session that was closed", code_of(after.error_code), &[gone])
    }

    fn nothing_is_skipped(&self, response: &FetchResponse, from: Offset, end: Offset) -> Result<(), Trouble> {
        let data = response.responses.iter().flat_map(|topic| &topic.partitions).next();
        let Some(data) = data else {
            let is_empty = from >= end;
            let skipped = || Trouble::Broken(format!("{} of {from} to {end} were skipped", self.log.topic));
            return if is_empty { Ok(()) } else { Err(skipped()) };
        };
        if data.error_code != 0 {
            return Err(Trouble::Unclear(name_of(data.error_code)));
        }
        let bytes = data.records.bytes().cloned().unwrap_or_default();
        let first = batches(&bytes, Tail::MayBeCut).next();
        match first {
            // Compaction and trims leave gaps: only a partition that is known to be dense proves a skip, and the start
            // of a log is where its first batch is.
            Some(Ok(batch)) if batch.header().base_offset > from && data.log_start_offset <= from.0 => {
                Err(Trouble::Unclear(format!("the log begins with {} behind {from}", batch.header().base_offset)))
            }
            Some(Ok(_)) => Ok(()),
            Some(Err(error)) => Err(Trouble::Broken(format!("a batch cannot be read: {error}"))),
            None if from >= end => Ok(()),
            None => Err(Trouble::Broken(format!("nothing of {from} to {end} was sent"))),
        }
    }
}

/// A fetch of one partition, outside of any session.
pub(super) fn fetch_request((topic, topic_id): (String, Uuid), partition: i32, offset: Offset) -> FetchRequest {
    const NO_SESSION_EPOCH: i32 = -1;
    let partition =
        FetchPartition { partition, fetch_offset: offset.0, partition_max_bytes: FETCH_BYTES, ..Default::default() };
    FetchRequest {
        max_wait_ms: 0,
        min_bytes: 1,
        max_bytes: FETCH_BYTES,
        session_epoch: NO_SESSION_EPOCH,
        topics: vec![FetchTopic { topic, topic_id, partitions: vec![partition] }],
        ..Default::default()
    }
}

async fn fetched(raw: &mut RawClient, request: FetchRequest) -> Result<FetchResponse, Trouble> {
    fetched_in(FETCH_VERSION, raw, request).await
}

async fn fetched_in(version: i16, raw: &mut RawClient, request: FetchRequest) -> Result<FetchResponse, Trouble> {
    raw.send(version, request).await?;
    match raw.receive_within(ANSWER_MAX).await? {
        ResponseBody::Fetch(response) => Ok(response),
        other => Err(Trouble::Broken(format!("Fetch is answered by {:?}", other.api_key()))),
    }
}

/// Where the records of an answer begin.
fn first_of(response: &FetchResponse) -> Option<Offset> {
    let data = response.responses.iter().flat_map(|topic| &topic.partitions).next()?;
    let bytes = data.records.bytes()?;
    Some(batches(bytes, Tail::MayBeCut).next()?.ok()?.header().base_offset)
}
