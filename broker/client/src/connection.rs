//! One connection: which versions the broker speaks, requests to bytes, bytes to responses, in order.
//!
//! Knows no cluster and no time. [`crate::Client`] drives it; tools that talk to one broker only may as well.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::ops::RangeInclusive;

use barnabas_wire::framing::{FrameError, split_frame};
use barnabas_wire::message::api_versions::{ApiVersion, ApiVersionsRequest};
use barnabas_wire::{ApiKey, DecodeError, EncodeError, ErrorCode, RequestBody, RequestHeader, ResponseBody, Segment};
use bytes::{Bytes, BytesMut};

use crate::CallError;
use crate::limits::{CALLS_PER_CONNECTION_MAX, RESPONSE_BYTES_MAX};

/// What we call ourselves in ApiVersions (KIP-511).
const SOFTWARE_NAME: &str = "barnabas";
const SOFTWARE_VERSION: &str = env!("CARGO_PKG_VERSION");

/// Why a connection cannot be used any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConnectionError {
    /// The stream is not cut into frames.
    Frame(FrameError),
    /// A response is not what its request asks for.
    Decode(DecodeError),
    /// A response answers another request, or none.
    OutOfOrder,
    /// The broker refuses to say what it speaks.
    Negotiation(ErrorCode),
}

impl fmt::Display for ConnectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frame(error) => write!(f, "{error}"),
            Self::Decode(error) => write!(f, "unreadable response: {error}"),
            Self::OutOfOrder => f.write_str("a response to another request"),
            Self::Negotiation(code) => write!(f, "the broker refuses ApiVersions: {}", code.name()),
        }
    }
}

impl std::error::Error for ConnectionError {}

/// A response with the number that [`Connection::send`] was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The caller's number.
    pub call: u64,
    /// Version of request and response.
    pub version: i16,
    /// The response.
    pub body: ResponseBody,
}

/// A request that was sent.
#[derive(Debug)]
struct Sent {
    correlation_id: i32,
    api: ApiKey,
    version: i16,
    purpose: Purpose,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Negotiation,
    Call(u64),
}

/// State of one connection, from its first byte to its last.
#[derive(Debug)]
pub struct Connection {
    client_id: String,
    next_correlation_id: i32,
    /// What the broker speaks; none until it has said so.
    versions: Option<BTreeMap<i16, RangeInclusive<i16>>>,
    sent: VecDeque<Sent>,
    outgoing: VecDeque<Bytes>,
    arrived: BytesMut,
    answers: VecDeque<Answer>,
}

impl Connection {
    /// A connection whose first request asks for versions.
    #[must_use]
    pub fn new(client_id: &str) -> Self {
        let mut connection = Self {
            client_id: client_id.to_owned(),
            next_correlation_id: 0,
            versions: None,
            sent: VecDeque::new(),
            outgoing: VecDeque::new(),
            arrived: BytesMut::new(),
            answers: VecDeque::new(),
        };
        let newest = newest_version(ApiKey::ApiVersions);
        connection.ask_for_versions(newest);
        connection
    }

    /// Whether the broker has said what it speaks, so that requests can be sent.
    #[must_use]
    pub const fn is_ready(&self) -> bool {
        self.versions.is_some()
    }

    /// Whether one more request may be sent.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.is_ready() && self.sent.len() < CALLS_PER_CONNECTION_MAX
    }

    /// The newest version of an API that both sides speak, at most `cap`.
    #[must_use]
    pub fn version_of(&self, api: ApiKey, cap: Option<i16>) -> Option<i16> {
        let theirs = self.versions.as_ref()?.get(&api.code())?;
        let ours = RequestBody::versions(api)?;
        let newest = (*theirs.end()).min(*ours.end()).min(cap.unwrap_or(i16::MAX));
        (newest >= *theirs.start() && newest >= *ours.start()).then_some(newest)
    }

    /// Queues a request. Says whether an answer will come: none does to a Produce with `acks` 0.
    pub fn send(&mut self, call: u64, request: &RequestBody, cap: Option<i16>) -> Result<bool, CallError> {
        assert!(self.has_room(), "requests wait while the connection has no room");
        let version = self.version_of(request.api_key(), cap).ok_or(CallError::Unsupported)?;
        let expects_answer = !matches!(request, RequestBody::Produce(produce) if produce.acks == 0);
        self.transmit(request, version, Purpose::Call(call), expects_answer).map_err(CallError::Encode)?;
        Ok(expects_answer)
    }

    /// The next bytes to send.
    pub fn poll_transmit(&mut self) -> Option<Bytes> {
        self.outgoing.pop_front()
    }

    /// The next response that has arrived.
    pub fn poll_answer(&mut self) -> Option<Answer> {
        self.answers.pop_front()
    }

    /// Takes bytes from the broker. After an error the connection is to be closed.
    pub fn on_bytes(&mut self, bytes: &[u8]) -> Result<(), ConnectionError> {
        self.arrived.extend_from_slice(bytes);
        while let Some(frame) = split_frame(&mut self.arrived, RESPONSE_BYTES_MAX).map_err(ConnectionError::Frame)? {
            self.on_frame(frame)?;
        }
        Ok(())
    }

    fn on_frame(&mut self, frame: Bytes) -> Result<(), ConnectionError> {
        let sent = self.sent.pop_front().ok_or(ConnectionError::OutOfOrder)?;
        let correlation_id = frame.first_chunk::<4>().map(|chunk| i32::from_be_bytes(*chunk));
        if correlation_id != Some(sent.correlation_id) {
            return Err(ConnectionError::OutOfOrder);
        }
        match sent.purpose {
            Purpose::Negotiation => self.on_versions(sent.version, frame),
            Purpose::Call(call) => {
                let (_, body) =
                    ResponseBody::from_frame(sent.api, sent.version, frame).map_err(ConnectionError::Decode)?;
                self.answers.push_back(Answer { call, version: sent.version, body });
                Ok(())
            }
        }
    }

    /// A broker that does not know our version of ApiVersions answers in version 0 and lists its own.
    fn on_versions(&mut self, asked: i16, frame: Bytes) -> Result<(), ConnectionError> {
        let first_try = ResponseBody::from_frame(ApiKey::ApiVersions, asked, frame.clone());
        let response = match first_try {
            Ok((_, ResponseBody::ApiVersions(response))) if response.error_code == 0 => response,
            _ if asked > 0 => {
                let (_, body) =
                    ResponseBody::from_frame(ApiKey::ApiVersions, 0, frame).map_err(ConnectionError::Decode)?;
                let ResponseBody::ApiVersions(refusal) = body else { return Err(ConnectionError::OutOfOrder) };
                return self.ask_again(&refusal.api_keys, refusal.error_code);
            }
            Ok((_, ResponseBody::ApiVersions(response))) => return Err(negotiation_failed(response.error_code)),
            Ok(_) => return Err(ConnectionError::OutOfOrder),
            Err(error) => return Err(ConnectionError::Decode(error)),
        };
        let ranges = response.api_keys.iter().map(|key| (key.api_key, key.min_version..=key.max_version));
        self.versions = Some(ranges.collect());
        Ok(())
    }

    fn ask_again(&mut self, listed: &[ApiVersion], error_code: i16) -> Result<(), ConnectionError> {
        if error_code != ErrorCode::UnsupportedVersion.code() {
            return Err(negotiation_failed(error_code));
        }
        let theirs = listed.iter().find(|key| key.api_key == ApiKey::ApiVersions.code());
        let version = theirs.map_or(0, |key| key.max_version.clamp(0, newest_version(ApiKey::ApiVersions) - 1));
        self.ask_for_versions(version);
        Ok(())
    }

    fn ask_for_versions(&mut self, version: i16) {
        let request = RequestBody::ApiVersions(ApiVersionsRequest {
            client_software_name: SOFTWARE_NAME.to_owned(),
            client_software_version: SOFTWARE_VERSION.to_owned(),
        });
        let sent = self.transmit(&request, version, Purpose::Negotiation, true);
        sent.expect("two short strings fit every version");
    }

    fn transmit(
        &mut self,
        request: &RequestBody,
        api_version: i16,
        purpose: Purpose,
        expects_answer: bool,
    ) -> Result<(), EncodeError> {
        let correlation_id = self.next_correlation_id;
        let api_key = request.api_key();
        let client_id = Some(self.client_id.clone());
        let segments = request.to_frame(&RequestHeader { api_key, api_version, correlation_id, client_id })?;
        for segment in segments {
            match segment {
                Segment::Bytes(bytes) => self.outgoing.push_back(bytes),
                Segment::External { .. } => return Err(EncodeError::ExternalNotAllowed),
            }
        }
        // Correlation ids wrap; with at most a few requests under way they stay distinct.
        self.next_correlation_id = correlation_id.wrapping_add(1);
        if expects_answer {
            self.sent.push_back(Sent { correlation_id, api: api_key, version: api_version, purpose });
        }
        Ok(())
    }
}

fn newest_version(api: ApiKey) -> i16 {
    *RequestBody::versions(api).expect("our own requests are implemented").end()
}

fn negotiation_failed(error_code: i16) -> ConnectionError {
    ConnectionError::Negotiation(ErrorCode::from_code(error_code).unwrap_or(ErrorCode::UnknownServerError))
}

#[cfg(test)]
mod tests {
    use barnabas_wire::message::{ApiVersionsResponse, HeartbeatRequest, HeartbeatResponse, ProduceRequest};

    use super::*;

    fn take_request(connection: &mut Connection) -> (RequestHeader, RequestBody) {
        let mut bytes = BytesMut::new();
        while let Some(chunk) = connection.poll_transmit() {
            bytes.extend_from_slice(&chunk);
        }
        let frame = split_frame(&mut bytes, 1_000_000).expect("a frame").expect("a whole one");
        assert!(bytes.is_empty(), "one request at a time");
        RequestBody::from_frame(frame).expect("a request")
    }

    fn answer(connection: &mut Connection, body: &ResponseBody, version: i16, correlation_id: i32) {
        connection.on_bytes(&answer_bytes(body, version, correlation_id)).expect("a good answer");
    }

    fn answer_bytes(body: &ResponseBody, version: i16, correlation_id: i32) -> Vec<u8> {
        let segments = body.to_frame(version, correlation_id).expect("encodes");
        let bytes = segments.into_iter().map(|segment| match segment {
            Segment::Bytes(bytes) => bytes,
            Segment::External { .. } => panic!("no files here"),
        });
        bytes.collect::<Vec<_>>().concat()
    }

    fn versions(error_code: i16, keys: &[(ApiKey, i16, i16)]) -> ResponseBody {
        let api_key = |(api, min_version, max_version): &(ApiKey, i16, i16)| ApiVersion {
            api_key: api.code(),
            min_version: *min_version,
            max_version: *max_version,
        };
        let api_keys = keys.iter().map(api_key).collect();
        ResponseBody::ApiVersions(ApiVersionsResponse { error_code, api_keys, ..Default::default() })
    }

    fn ready(keys: &[(ApiKey, i16, i16)]) -> Connection {
        let mut connection = Connection::new("c");
        let (header, _) = take_request(&mut connection);
        answer(&mut connection, &versions(0, keys), header.api_version, header.correlation_id);
        connection
    }

    #[test]
    fn speaks_the_newest_common_version() {
        let mut connection = ready(&[(ApiKey::Heartbeat, 0, 2)]);
        let request = RequestBody::Heartbeat(HeartbeatRequest::default());
        assert_eq!(connection.send(7, &request, None), Ok(true));
        let (header, body) = take_request(&mut connection);
        assert_eq!((header.api_version, &body), (2, &request));
        let response = ResponseBody::Heartbeat(HeartbeatResponse { error_code: 27, ..Default::default() });
        answer(&mut connection, &response, 2, header.correlation_id);
        assert_eq!(connection.poll_answer(), Some(Answer { call: 7, version: 2, body: response }));
        assert_eq!(connection.version_of(ApiKey::Heartbeat, Some(1)), Some(1));
        assert_eq!(connection.version_of(ApiKey::JoinGroup, None), None);
    }

    #[test]
    fn an_old_broker_is_asked_again_in_its_version() {
        let mut connection = Connection::new("c");
        let (first, _) = take_request(&mut connection);
        assert!(first.api_version > 2);
        let refusal = versions(ErrorCode::UnsupportedVersion.code(), &[(ApiKey::ApiVersions, 0, 2)]);
        answer(&mut connection, &refusal, 0, first.correlation_id);
        let (second, _) = take_request(&mut connection);
        assert_eq!(second.api_version, 2);
        answer(&mut connection, &versions(0, &[]), 2, second.correlation_id);
        assert!(connection.is_ready());
    }

    #[test]
    fn a_produce_without_acks_is_not_answered() {
        let mut connection = ready(&[(ApiKey::Produce, 0, 13)]);
        let request = ProduceRequest { acks: 0, ..Default::default() };
        assert_eq!(connection.send(1, &RequestBody::Produce(request), None), Ok(false));
    }

    #[test]
    fn responses_may_arrive_in_pieces_and_must_be_in_order() {
        let mut connection = ready(&[(ApiKey::Heartbeat, 0, 0)]);
        let request = RequestBody::Heartbeat(HeartbeatRequest::default());
        connection.send(1, &request, None).expect("sent");
        let (header, _) = take_request(&mut connection);
        let response = ResponseBody::Heartbeat(HeartbeatResponse::default());
        let bytes = answer_bytes(&response, 0, header.correlation_id);
        for byte in &bytes {
            assert_eq!(connection.poll_answer(), None);
            connection.on_bytes(&[*byte]).expect("a piece");
        }
        assert!(connection.poll_answer().is_some());
        assert_eq!(connection.on_bytes(&bytes), Err(ConnectionError::OutOfOrder));
    }
}
