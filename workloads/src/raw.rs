//! A client without manners: sends any request in any version, or any bytes, and shows what comes back.
//!
//! Knows frames, versions and correlation ids; retries nothing, remembers nothing of the cluster. Protocol tests drive
//! it from a task on a simulated machine.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use barnabas_client::Address;
use barnabas_runtime::{Env, ReadHalf, Segment, WriteHalf};
use barnabas_wire::{ApiKey, Message, Request, RequestBody, RequestHeader, ResponseBody, Segment as WireSegment};
use bytes::{Buf, Bytes, BytesMut};

/// An answer that takes longer than this in simulated time counts as none.
const ANSWER_MAX: Duration = Duration::from_secs(120);
/// Bytes asked for in one read.
const READ_BYTES: usize = 64 * 1024;
/// Bytes of the size in front of every frame.
const FRAME_PREFIX_BYTES: usize = 4;

/// Why no answer came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoAnswer {
    /// The broker finished the stream at the end of a frame.
    Closed,
    /// The stream broke off, or was reset.
    Broken(io::ErrorKind),
    /// Nothing came for a long simulated time.
    Silence,
    /// The frame is no answer to the oldest request in flight.
    Unreadable(String),
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the connection was closed"),
            Self::Broken(kind) => write!(f, "the connection broke: {kind}"),
            Self::Silence => write!(f, "no answer within {} s", ANSWER_MAX.as_secs()),
            Self::Unreadable(why) => write!(f, "the answer cannot be read: {why}"),
        }
    }
}

/// A request whose answer is due.
#[derive(Clone, Copy, Debug)]
struct InFlight {
    api: ApiKey,
    version: i16,
    correlation_id: i32,
}

/// One connection to the broker.
pub struct RawClient {
    env: Env,
    read: Box<dyn ReadHalf>,
    write: Box<dyn WriteHalf>,
    arrived: BytesMut,
    in_flight: VecDeque<InFlight>,
    next_correlation_id: i32,
    /// Half a request has left and the rest did not: nothing else can be said by this connection.
    is_stuck: bool,
}

impl RawClient {
    /// Connects.
    ///
    /// # Errors
    /// That nobody listens there.
    pub async fn connect(env: &Env, address: &Address) -> io::Result<Self> {
        let host = env.net.resolve(&address.host, address.port).await?;
        let to: SocketAddr = *host.first().ok_or(io::ErrorKind::NotFound)?;
        let stream = env.net.connect(to).await?;
        Ok(Self {
            env: env.clone(),
            read: stream.read,
            write: stream.write,
            arrived: BytesMut::new(),
            in_flight: VecDeque::new(),
            next_correlation_id: 1,
            is_stuck: false,
        })
    }

    /// Sends a request and returns its correlation id; its answer is the next after those of earlier requests.
    ///
    /// # Errors
    /// That the connection is gone.
    ///
    /// # Panics
    /// When `version` cannot carry the request: the test asks for something that cannot be said.
    pub async fn send(&mut self, version: i16, request: impl Into<RequestBody>) -> Result<i32, NoAnswer> {
        let body = request.into();
        let correlation_id = self.send_unanswered(version, &body).await?;
        self.in_flight.push_back(InFlight { api: body.api_key(), version, correlation_id });
        Ok(correlation_id)
    }

    /// Sends a request that has no answer.
    ///
    /// # Errors
    /// That the connection is gone.
    ///
    /// # Panics
    /// As [`RawClient::send`].
    pub async fn send_unanswered(&mut self, version: i16, body: &RequestBody) -> Result<i32, NoAnswer> {
        let correlation_id = self.next_correlation_id;
        self.next_correlation_id += 1;
        let header = RequestHeader {
            api_key: body.api_key(),
            api_version: version,
            correlation_id,
            client_id: Some("raw".to_owned()),
        };
        let frame = match body.to_frame(&header) {
            Ok(segments) => segments,
            Err(error) => panic!("{} v{version} cannot carry this request: {error}", body.api_key().name()),
        };
        let segments: Vec<Segment> = frame.into_iter().map(in_memory).collect();
        self.put(&segments).await?;
        Ok(correlation_id)
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// That the connection is gone.
    pub async fn send_bytes(&mut self, bytes: impl Into<Bytes>) -> Result<(), NoAnswer> {
        self.put(&[Segment::Bytes(bytes.into())]).await
    }

    /// Writes, for as long as an answer is waited for: whoever is gone without a word takes no more bytes.
    async fn put(&mut self, segments: &[Segment]) -> Result<(), NoAnswer> {
        if self.is_stuck {
            return Err(NoAnswer::Silence);
        }
        let deadline = self.env.now().after(ANSWER_MAX);
        match self.env.timeout_at(deadline, self.write.send(segments)).await {
            Some(outcome) => outcome.map_err(|error| broken(&error)),
            None => {
                self.is_stuck = true;
                Err(NoAnswer::Silence)
            }
        }
    }

    /// Finishes the sending half: the broker sees the end of the stream.
    ///
    /// # Errors
    /// That the connection is gone.
    pub async fn finish(&mut self) -> Result<(), NoAnswer> {
        self.write.finish().await.map_err(|error| broken(&error))
    }

    /// The next frame without its size, whatever it is.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn frame(&mut self) -> Result<Bytes, NoAnswer> {
        self.frame_within(ANSWER_MAX).await
    }

    /// As [`RawClient::frame`], but not longer than `limit`: what arrived until then is kept.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn frame_within(&mut self, limit: Duration) -> Result<Bytes, NoAnswer> {
        let deadline = self.env.now().after(limit);
        loop {
            if let Some(mut prefix) = self.arrived.get(..FRAME_PREFIX_BYTES) {
                let size = prefix.get_i32();
                let Ok(size) = usize::try_from(size) else {
                    return Err(NoAnswer::Unreadable(format!("a frame of {size} bytes")));
                };
                if self.arrived.len() >= FRAME_PREFIX_BYTES + size {
                    self.arrived.advance(FRAME_PREFIX_BYTES);
                    return Ok(self.arrived.split_to(size).freeze());
                }
            }
            let reading = self.read.read(&mut self.arrived, READ_BYTES);
            match self.env.timeout_at(deadline, reading).await {
                None => return Err(NoAnswer::Silence),
                Some(Ok(0)) if self.arrived.is_empty() => return Err(NoAnswer::Closed),
                Some(Ok(0)) => return Err(NoAnswer::Broken(io::ErrorKind::UnexpectedEof)),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(broken(&error)),
            }
        }
    }

    /// The answer to the oldest request in flight: of its correlation id and its version, read to the last byte.
    ///
    /// # Errors
    /// Why there is none.
    ///
    /// # Panics
    /// When nothing is in flight.
    pub async fn receive(&mut self) -> Result<ResponseBody, NoAnswer> {
        let frame = self.frame().await?;
        self.read_answer(frame)
    }

    /// As [`RawClient::receive`], but not longer than `limit`.
    ///
    /// # Errors
    /// Why there is none.
    ///
    /// # Panics
    /// When nothing is in flight.
    pub async fn receive_within(&mut self, limit: Duration) -> Result<ResponseBody, NoAnswer> {
        let frame = self.frame_within(limit).await?;
        self.read_answer(frame)
    }

    fn read_answer(&mut self, frame: Bytes) -> Result<ResponseBody, NoAnswer> {
        let due = self.in_flight.pop_front().expect("an answer is awaited for a request");
        let read = ResponseBody::from_frame(due.api, due.version, frame);
        let (header, body) = read.map_err(|error| NoAnswer::Unreadable(error.to_string()))?;
        if header.correlation_id != due.correlation_id {
            let (expected, got) = (due.correlation_id, header.correlation_id);
            return Err(NoAnswer::Unreadable(format!("correlation id {got} where {expected} is due")));
        }
        Ok(body)
    }

    /// Sends a request and reads its answer; nothing else is in flight.
    ///
    /// # Errors
    /// Why there is no answer.
    ///
    /// # Panics
    /// As [`RawClient::send`].
    pub async fn ask(&mut self, version: i16, request: impl Into<RequestBody>) -> Result<ResponseBody, NoAnswer> {
        assert!(self.in_flight.is_empty(), "one request at a time");
        self.send(version, request).await?;
        self.receive().await
    }

    /// Sends a request and returns the answer in its own type; nothing else is in flight.
    ///
    /// # Errors
    /// Why there is no answer within `limit`.
    ///
    /// # Panics
    /// As [`RawClient::send`].
    pub async fn ask_within<R>(&mut self, limit: Duration, version: i16, request: R) -> Result<R::Response, NoAnswer>
    where
        R: Request + Into<RequestBody>,
    {
        assert!(self.in_flight.is_empty(), "one request at a time");
        let correlation_id = self.send(version, request).await?;
        let frame = self.frame_within(limit).await?;
        self.in_flight.pop_front();
        decode::<R>(version, correlation_id, frame)
    }

    /// Sends a request that has to be answered, and returns the answer in its own type.
    ///
    /// # Panics
    /// When no answer comes.
    pub async fn call<R>(&mut self, version: i16, request: R) -> R::Response
    where
        R: Request + Into<RequestBody>,
    {
        match self.ask_within(ANSWER_MAX, version, request).await {
            Ok(response) => response,
            Err(error) => panic!("{} v{version}: {error}", R::NAME),
        }
    }
}

impl fmt::Debug for RawClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawClient").field("in_flight", &self.in_flight).finish_non_exhaustive()
    }
}

fn decode<R: Request>(version: i16, correlation_id: i32, frame: Bytes) -> Result<R::Response, NoAnswer> {
    let unreadable = |why: String| NoAnswer::Unreadable(why);
    let mut decoder = barnabas_wire::Decoder::new(frame);
    let header = barnabas_wire::ResponseHeader::decode(R::KEY, version, &mut decoder);
    let header = header.map_err(|error| unreadable(error.to_string()))?;
    if header.correlation_id != correlation_id {
        return Err(unreadable(format!("correlation id {} where {correlation_id} is due", header.correlation_id)));
    }
    let response = R::Response::decode(version, &mut decoder).map_err(|error| unreadable(error.to_string()))?;
    decoder.finish().map_err(|error| unreadable(error.to_string()))?;
    Ok(response)
}

fn in_memory(segment: WireSegment) -> Segment {
    match segment {
        WireSegment::Bytes(bytes) => Segment::Bytes(bytes),
        WireSegment::External { .. } => unreachable!("a request carries its records itself"),
    }
}

fn broken(error: &io::Error) -> NoAnswer {
    NoAnswer::Broken(error.kind())
}
