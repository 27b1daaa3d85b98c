//! Tricks with bytes and connections: what is no request costs its connection and nobody else anything.

use std::time::Duration;

use barnabas_wire::message::list_offsets::{ListOffsetsPartition, ListOffsetsTopic};
use barnabas_wire::message::{
    ApiVersionsRequest, FindCoordinatorRequest, ListGroupsRequest, ListOffsetsRequest, MetadataRequest,
};
use barnabas_wire::{ApiKey, RequestBody, RequestHeader, Segment};
use bytes::{BufMut, Bytes, BytesMut};

use super::{ANSWER_MAX, Stage, Trouble};
use crate::record::partition_index;
use crate::{NoAnswer, RawClient};

/// Bytes of garbage in one frame.
const GARBAGE_BYTES: i32 = 64;
/// An API that nobody has.
const NO_API: i16 = 0x7f7f;
/// A version of Metadata that nobody has.
const NO_VERSION: i16 = 99;
/// How long somebody who sends nothing waits for the end of the connection.
const STALLED_MAX: Duration = Duration::from_secs(60);
/// How long a half frame is left alone.
const HALF_FRAME_WAIT: Duration = Duration::from_millis(200);
/// Connections at once, and how many of them say something.
const FLOOD: usize = 48;
const FLOOD_SPEAKERS: usize = 6;

impl Stage<'_> {
    /// Somebody else is served as always.
    async fn others_are_served(&self) -> Result<(), Trouble> {
        let mut other = self.connect().await?;
        other.send(0, ApiVersionsRequest::default()).await?;
        other.receive_within(ANSWER_MAX).await?;
        Ok(())
    }

    /// Bytes that are no request, after which the connection is to be closed.
    async fn expect_close(&self, bytes: Bytes, what: &str) -> Result<(), Trouble> {
        let mut raw = self.connect().await?;
        raw.send_bytes(bytes).await?;
        match raw.frame_within(ANSWER_MAX).await {
            Ok(_) => return Err(Trouble::Broken(format!("{what} was answered"))),
            Err(NoAnswer::Closed | NoAnswer::Broken(_)) => {}
            Err(NoAnswer::Unreadable(why)) => return Err(Trouble::Broken(format!("{what} was answered: {why}"))),
            Err(NoAnswer::Silence) => return Err(Trouble::Unclear(format!("{what} was met with silence"))),
        }
        self.others_are_served().await
    }

    pub(super) async fn garbage(&mut self) -> Result<(), Trouble> {
        let mut bytes = BytesMut::new();
        bytes.put_i32(GARBAGE_BYTES);
        bytes.put_i16(NO_API);
        while bytes.len() < 4 + usize::try_from(GARBAGE_BYTES).expect("positive") {
            bytes.put_u8(self.session.env.entropy.next_u64().to_be_bytes()[0]);
        }
        self.expect_close(bytes.freeze(), "garbage").await
    }

    pub(super) async fn huge_frame(&mut self) -> Result<(), Trouble> {
        let mut bytes = BytesMut::new();
        bytes.put_i32(i32::MAX);
        bytes.put_bytes(0, 16);
        self.expect_close(bytes.freeze(), "a frame of 2 GiB").await
    }

    pub(super) async fn half_frame(&mut self) -> Result<(), Trouble> {
        let mut raw = self.connect().await?;
        raw.send_bytes(beginning_of_a_frame()).await?;
        self.session.env.sleep(HALF_FRAME_WAIT).await;
        self.others_are_served().await
    }

    pub(super) async fn no_such_version(&mut self) -> Result<(), Trouble> {
        let mut bytes = BytesMut::new();
        bytes.put_i32(GARBAGE_BYTES);
        bytes.put_i16(ApiKey::Metadata.code());
        bytes.put_i16(NO_VERSION);
        bytes.put_bytes(0, usize::try_from(GARBAGE_BYTES).expect("positive") - 4);
        self.expect_close(bytes.freeze(), "a request in a version that nobody has").await
    }

    /// Kafka lets `connections.max.idle.ms` end it; how soon is nobody's promise, as long as others are served.
    pub(super) async fn stalled_frame(&mut self) -> Result<(), Trouble> {
        let mut raw = self.connect().await?;
        raw.send_bytes(beginning_of_a_frame()).await?;
        match raw.frame_within(STALLED_MAX).await {
            Ok(_) => Err(Trouble::Broken("half a frame was answered".to_owned())),
            Err(_) => self.others_are_served().await,
        }
    }

    /// ListOffsets, which changes nothing whatever it says.
    pub(super) async fn flipped_request(&mut self) -> Result<(), Trouble> {
        const VERSION: i16 = 5;
        let header =
            RequestHeader { api_key: ApiKey::ListOffsets, api_version: VERSION, correlation_id: 1, client_id: None };
        let frame = RequestBody::ListOffsets(self.latest()).to_frame(&header).expect("the version has all of it");
        let mut bytes: Vec<u8> = Vec::new();
        for segment in frame {
            let Segment::Bytes(part) = segment else { unreachable!("there are no records in it") };
            bytes.extend_from_slice(&part);
        }
        // Behind the size, the API, its version, the correlation id and the client id.
        const BODY: usize = 14;
        for _ in 0..3 {
            let draw = self.session.env.entropy.next_u64();
            let body_bytes = u64::try_from(bytes.len() - BODY).expect("small");
            let at = BODY + usize::try_from(draw % body_bytes).expect("small");
            bytes[at] ^= 1 << (draw >> 61);
        }
        let mut raw = self.connect().await?;
        raw.send_bytes(bytes).await?;
        // An answer, an error or the end of the connection: all that counts is that nobody else notices.
        drop(raw.frame_within(ANSWER_MAX).await);
        self.others_are_served().await
    }

    pub(super) async fn connection_flood(&mut self) -> Result<(), Trouble> {
        let mut flood: Vec<RawClient> = Vec::new();
        for number in 0..FLOOD {
            // Whoever is refused has learned that there is a limit.
            let Ok(mut raw) = self.connect().await else { continue };
            if number < FLOOD_SPEAKERS {
                raw.send(0, ApiVersionsRequest::default()).await?;
                raw.receive_within(ANSWER_MAX).await?;
            }
            flood.push(raw);
        }
        let served = self.others_are_served().await;
        drop(flood);
        served
    }

    /// The oldest version of what changes nothing, of which the answer is read to its last byte.
    pub(super) async fn old_versions(&mut self) -> Result<(), Trouble> {
        let mut raw = self.connect().await?;
        let requests: [RequestBody; 5] = [
            ApiVersionsRequest::default().into(),
            MetadataRequest { topics: Some(Vec::new()), ..Default::default() }.into(),
            ListGroupsRequest::default().into(),
            self.latest().into(),
            FindCoordinatorRequest { key: "raw".to_owned(), ..Default::default() }.into(),
        ];
        for request in requests {
            let versions = RequestBody::advertised(request.api_key());
            let oldest = *versions.expect("our own requests are advertised").start();
            raw.send(oldest, request).await?;
            raw.receive_within(ANSWER_MAX).await?;
        }
        Ok(())
    }

    /// A question for the end of the log.
    pub(super) fn latest(&self) -> ListOffsetsRequest {
        let partition_index = partition_index(self.log.partition).0;
        let partitions = vec![ListOffsetsPartition { partition_index, timestamp: -1, ..Default::default() }];
        let topics = vec![ListOffsetsTopic { name: self.log.topic.to_string(), partitions }];
        ListOffsetsRequest { replica_id: -1, topics, ..Default::default() }
    }
}

/// The size of a frame and the first two bytes of it.
fn beginning_of_a_frame() -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_i32(GARBAGE_BYTES);
    bytes.put_i16(ApiKey::ApiVersions.code());
    bytes.freeze()
}
