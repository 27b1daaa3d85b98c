//! One end of a simulated connection as data: what it has received, what it has under way, and how it ended. Moves nothing
//! by itself; `link` carries flights from one end to the other.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::task::Waker;

use bytes::Bytes;

use crate::key::{NodeId, ProcessKey};

/// Names one end of a connection for ever: the node, and a count of that node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EndpointId(pub(crate) u64);

impl EndpointId {
    pub(crate) const fn new(node: NodeId, ordinal: u64) -> Self {
        Self((node.0 as u64) << 48 | ordinal)
    }
}

/// What travels from one end to the other, in order.
#[derive(Clone, Debug)]
pub(crate) enum Flight {
    Bytes(Bytes),
    /// No more bytes will come.
    Finish,
    /// The connection is gone; whatever had not arrived is lost.
    Reset,
}

/// One end of a connection.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) process: ProcessKey,
    pub(crate) local_addr: SocketAddr,
    pub(crate) peer_addr: SocketAddr,
    pub(crate) peer: EndpointId,
    pub(crate) peer_node: NodeId,

    /// Bytes that have arrived and were not read.
    pub(crate) received: VecDeque<Bytes>,
    /// The peer sends no more.
    pub(crate) finished: bool,
    /// Why the connection broke, until it is told.
    pub(crate) fault: Option<ErrorKind>,
    /// The connection broke.
    pub(crate) broken: bool,
    /// It was this side that broke it.
    pub(crate) aborted: bool,
    /// Nobody holds this end any more; it lives on until its flights have arrived.
    pub(crate) closed: bool,
    pub(crate) reader: Option<Waker>,
    pub(crate) writer: Option<Waker>,
    /// Bytes that were read and whose room the peer does not know of.
    pub(crate) unconfirmed: u64,
    pub(crate) confirming: bool,
    /// When a slow machine reads again.
    pub(crate) next_read_ns: u64,

    /// Under way, with the time at which each arrives.
    pub(crate) flights: VecDeque<(u64, Flight)>,
    /// Bytes that are under way or wait at the peer to be read.
    pub(crate) outstanding: u64,
    pub(crate) window: u64,
    pub(crate) last_arrival_ns: u64,
    pub(crate) arriving: bool,
    /// Attempts to deliver the first flight that failed.
    pub(crate) retries: u32,
    /// Probes that asked the peer for room and were not answered; `None` while nobody waits for room.
    pub(crate) probes: Option<u32>,
    /// This side sends no more.
    pub(crate) shut: bool,
    /// Tells the draws of this end apart.
    pub(crate) ordinal: u64,
}

impl Endpoint {
    pub(crate) fn new(
        process: ProcessKey,
        addresses: (SocketAddr, SocketAddr),
        peer: EndpointId,
        node: NodeId,
    ) -> Self {
        Self {
            process,
            local_addr: addresses.0,
            peer_addr: addresses.1,
            peer,
            peer_node: node,
            received: VecDeque::new(),
            finished: false,
            fault: None,
            broken: false,
            aborted: false,
            closed: false,
            reader: None,
            writer: None,
            unconfirmed: 0,
            confirming: false,
            next_read_ns: 0,
            flights: VecDeque::new(),
            outstanding: 0,
            window: 0,
            last_arrival_ns: 0,
            arriving: false,
            retries: 0,
            probes: None,
            shut: false,
            ordinal: 0,
        }
    }

    /// A number that no earlier draw of this end had.
    pub(crate) const fn next_ordinal(&mut self) -> u64 {
        self.ordinal += 1;
        self.ordinal
    }

    /// What a read finds: bytes to take, the end, a fault, or nothing yet.
    pub(crate) fn readable(&mut self) -> Readable {
        if self.aborted {
            return Readable::Fault(ErrorKind::ConnectionAborted);
        }
        if !self.received.is_empty() {
            return Readable::Bytes;
        }
        if self.finished {
            return Readable::End;
        }
        match self.fault.take() {
            Some(fault) => Readable::Fault(fault),
            None if self.broken => Readable::End,
            None => Readable::Nothing,
        }
    }

    /// Whether a writer has to wait for room.
    pub(crate) const fn is_full(&self) -> bool {
        !self.aborted && !self.broken && !self.shut && self.fault.is_none() && self.outstanding == self.window
    }

    /// How many bytes a write may put in; an error when it may none ever.
    pub(crate) fn room(&mut self) -> Result<u64, ErrorKind> {
        if self.aborted {
            return Err(ErrorKind::ConnectionAborted);
        }
        if let Some(fault) = self.fault.take() {
            return Err(fault);
        }
        if self.broken || self.shut {
            return Err(ErrorKind::BrokenPipe);
        }
        assert!(self.outstanding <= self.window, "a sender keeps to its window");
        Ok(self.window - self.outstanding)
    }

    /// Breaks the connection: what has arrived can still be read, what is under way is gone.
    pub(crate) fn break_off(&mut self, fault: ErrorKind) {
        self.broken = true;
        // After a FIN a reset can only concern what was sent since (Linux says EPIPE then).
        self.fault = Some(if self.finished { ErrorKind::BrokenPipe } else { fault });
        self.flights.clear();
        self.wake();
    }

    /// Wakes whoever waits at this end.
    pub(crate) fn wake(&mut self) {
        for waker in self.reader.take().into_iter().chain(self.writer.take()) {
            waker.wake();
        }
    }
}

/// See [`Endpoint::readable`].
pub(crate) enum Readable {
    Bytes,
    End,
    Fault(ErrorKind),
    Nothing,
}
