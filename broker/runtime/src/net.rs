//! Sockets: listeners and byte streams with independent halves. Implemented by the two runtimes.

use std::any::Any;
use std::fmt;
use std::io;
use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};

use crate::{FileHandle, Local};

/// Listening and connecting.
pub trait Net {
    /// Listens on `address`; port 0 takes a free one.
    fn listen(&self, address: SocketAddr) -> Local<'_, io::Result<Box<dyn Listener>>>;
    /// Connects to `address`.
    fn connect(&self, address: SocketAddr) -> Local<'_, io::Result<Stream>>;
    /// Addresses of a host name, in the resolver's order. Never empty on success.
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Local<'a, io::Result<Vec<SocketAddr>>>;
    /// Turns a connection that another shard of this node accepted into a stream of this shard.
    fn adopt(&self, accepted: Accepted) -> io::Result<Stream>;
}

/// A listening socket.
pub trait Listener {
    /// Waits for the next connection. Errors of one connection (`ConnectionAborted`) are not errors of the listener;
    /// running out of descriptors is reported and the caller waits before it asks again.
    fn accept(&self) -> Local<'_, io::Result<Accepted>>;
    /// The bound address, with the real port.
    fn local_addr(&self) -> SocketAddr;
}

/// An accepted connection that can be sent to another shard before it is used.
pub struct Accepted {
    /// Address of the peer.
    pub peer_addr: SocketAddr,
    /// Address the peer connected to.
    pub local_addr: SocketAddr,
    /// The runtime's own handle.
    pub handle: Box<dyn Any + Send>,
}

impl fmt::Debug for Accepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accepted").field("peer_addr", &self.peer_addr).finish_non_exhaustive()
    }
}

/// A connected stream. The halves are independent; the connection closes when both are dropped.
pub struct Stream {
    /// Bytes from the peer.
    pub read: Box<dyn ReadHalf>,
    /// Bytes to the peer.
    pub write: Box<dyn WriteHalf>,
    /// Address of the peer.
    pub peer_addr: SocketAddr,
    /// Own address.
    pub local_addr: SocketAddr,
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("peer_addr", &self.peer_addr).finish_non_exhaustive()
    }
}

/// The receiving half.
pub trait ReadHalf {
    /// Appends at least one and at most `max` bytes to `buffer`; 0 means the peer finished. A reset is
    /// `ConnectionReset`. Cancel-safe: a dropped future has read nothing.
    fn read<'a>(&'a mut self, buffer: &'a mut BytesMut, max: usize) -> Local<'a, io::Result<usize>>;
}

/// A piece of a response.
#[derive(Clone, Debug)]
pub enum Segment {
    /// Bytes in memory.
    Bytes(Bytes),
    /// A range of a file, sent without passing through user space where the runtime can.
    File {
        /// The file.
        file: FileHandle,
        /// Where the range begins.
        offset: u64,
        /// Its length in bytes.
        len: u64,
    },
}

impl Segment {
    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { len, .. } => *len,
        }
    }

    /// Whether there is nothing to send.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The sending half.
pub trait WriteHalf {
    /// Sends all segments in order. A file range that ends early is `UnexpectedEof`: the caller closes the connection,
    /// because the peer was promised more bytes. Not cancel-safe: a dropped future may have sent a prefix.
    fn send<'a>(&'a mut self, segments: &'a [Segment]) -> Local<'a, io::Result<()>>;
    /// Sends FIN: the peer reads to the end and then 0.
    fn finish(&mut self) -> Local<'_, io::Result<()>>;
    /// Sends RST and forgets unsent bytes; both halves fail from here on.
    fn abort(&mut self);
}
