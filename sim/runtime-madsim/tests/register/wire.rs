//! What the nodes of the register and their clients say to one another: questions and answers of five words.

use std::io::{self, ErrorKind};

use barnabas_runtime::{Env, Segment, Stream};
use bytes::{Bytes, BytesMut};

/// Where every node listens.
pub(crate) const PORT: u16 = 7_000;

/// What nodes and clients send, as five words each.
pub(crate) type Frame = [u64; 5];
pub(crate) const FRAME_BYTES: usize = 40;

// Questions, in the first word of a frame.
pub(crate) const VOTE: u64 = 1; // term, candidate
pub(crate) const KEEP: u64 = 2; // term, ordinal, value, leader
pub(crate) const READ: u64 = 3;
pub(crate) const WRITE: u64 = 4; // value

// Answers.
pub(crate) const GRANTED: u64 = 10; // term and ordinal of the last write, its value
pub(crate) const KEPT: u64 = 11;
pub(crate) const REFUSED: u64 = 12; // the term that the node has promised itself to
/// To clients: done, with the value that was read.
pub(crate) const DONE: u64 = 13;
/// To clients: this node does not lead, and nothing was done.
pub(crate) const NOT_LEADER: u64 = 14;
/// To clients: it may have been done, or may still be.
pub(crate) const UNKNOWN: u64 = 15;

/// Connects to node `id`, counted from zero.
pub(crate) async fn connect(env: &Env, id: u64) -> io::Result<Stream> {
    let addresses = env.net.resolve(&format!("r{id}"), PORT).await?;
    env.net.connect(addresses[0]).await
}

/// Asks and waits for the answer.
pub(crate) async fn exchange(stream: &mut Stream, question: &Frame) -> io::Result<Frame> {
    send(stream, question).await?;
    receive(stream).await
}

pub(crate) async fn send(stream: &mut Stream, frame: &Frame) -> io::Result<()> {
    stream.write.send(&[Segment::Bytes(to_bytes(frame))]).await
}

pub(crate) async fn receive(stream: &mut Stream) -> io::Result<Frame> {
    let mut buffer = BytesMut::new();
    while buffer.len() < FRAME_BYTES {
        let missing = FRAME_BYTES - buffer.len();
        if stream.read.read(&mut buffer, missing).await? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(to_frame(&buffer))
}

pub(crate) fn to_bytes(frame: &Frame) -> Bytes {
    frame.iter().flat_map(|word| word.to_le_bytes()).collect()
}

pub(crate) fn to_frame(bytes: &[u8]) -> Frame {
    std::array::from_fn(|word| u64::from_le_bytes(bytes[word * 8..word * 8 + 8].try_into().expect("eight bytes")))
}
