//! A connected stream and its halves, which share one socket on one thread.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use barnabas_runtime::{Local, ReadHalf, Segment, Stream, WriteHalf};
use bytes::{BufMut, BytesMut};
use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, Interest};
use tokio::net::TcpStream;

use crate::pool::Pool;
use crate::send_file::send_file;
use crate::tasks::yield_now;

/// Room a read makes when the caller's buffer has less than [`READ_SPARE_BYTES_MIN`] left.
const READ_BYTES: usize = 64 * 1024;

/// Less room than this is not worth a system call.
const READ_SPARE_BYTES_MIN: usize = 4 * 1024;

/// Parts handed to the kernel with one `sendmsg`; the kernel takes at most 1024.
const PARTS_PER_SEND_MAX: usize = 64;

/// Bytes one connection sends before other tasks of the shard get a turn, as long as the socket takes them.
const SEND_TURN_BYTES: u64 = 1024 * 1024;

/// Makes a stream of a connected socket.
pub(crate) fn split(socket: TcpStream, peer_addr: SocketAddr, local_addr: SocketAddr, reads: Pool) -> Stream {
    let connection = Rc::new(Connection {
        socket: RefCell::new(Some(socket)),
        reader: RefCell::new(None),
        duplicate: RefCell::new(None),
    });
    Stream {
        read: Box::new(TokioReadHalf { connection: Rc::clone(&connection) }),
        write: Box::new(TokioWriteHalf { connection, reads }),
        peer_addr,
        local_addr,
    }
}

/// The socket of both halves; it closes with the second of them, or when it is aborted.
pub(crate) struct Connection {
    socket: RefCell<Option<TcpStream>>,
    /// Who waits to read: an abort by the other half has to tell.
    reader: RefCell<Option<Waker>>,
    /// A second descriptor that pool threads may hold; made when a cold range is sent for the first time.
    duplicate: RefCell<Option<Arc<OwnedFd>>>,
}

impl Connection {
    /// Calls `operation` whenever the socket may take bytes, until it does something else than `WouldBlock`.
    pub(crate) async fn when_writable<T>(
        &self,
        mut operation: impl FnMut(&TcpStream) -> io::Result<T>,
    ) -> io::Result<T> {
        std::future::poll_fn(|context| {
            let slot = self.socket.borrow();
            let Some(socket) = slot.as_ref() else { return Poll::Ready(Err(aborted())) };
            loop {
                if socket.poll_write_ready(context)?.is_pending() {
                    return Poll::Pending;
                }
                match socket.try_io(Interest::WRITABLE, || operation(socket)) {
                    // The readiness is used up: the next round registers for more.
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    outcome => return Poll::Ready(outcome),
                }
            }
        })
        .await
    }

    /// A descriptor of the socket that a pool thread can hold.
    pub(crate) fn descriptor(&self) -> io::Result<Arc<OwnedFd>> {
        let mut duplicate = self.duplicate.borrow_mut();
        if let Some(duplicate) = &*duplicate {
            return Ok(Arc::clone(duplicate));
        }
        let slot = self.socket.borrow();
        let socket = slot.as_ref().ok_or_else(aborted)?;
        let made = Arc::new(socket.as_fd().try_clone_to_owned()?);
        *duplicate = Some(Arc::clone(&made));
        Ok(made)
    }

    fn poll_read(&self, context: &mut Context<'_>, buffer: &mut BytesMut, max: usize) -> Poll<io::Result<usize>> {
        let mut slot = self.socket.borrow_mut();
        let Some(socket) = slot.as_mut() else { return Poll::Ready(Err(aborted())) };
        // Tokio's own read knows that a short read emptied the socket, and saves the call that would say so.
        let mut room = buffer.limit(max);
        let polled = pin!(socket.read_buf(&mut room)).poll(context);
        if polled.is_pending() {
            *self.reader.borrow_mut() = Some(context.waker().clone());
        }
        polled
    }

    fn abort(&self) {
        let Some(socket) = self.socket.borrow_mut().take() else { return };
        // Closing with a linger of zero is how Linux sends RST. A peer that reset first makes this fail, and is welcome.
        let _ = SockRef::from(&socket).set_linger(Some(Duration::ZERO));
        drop(self.duplicate.borrow_mut().take());
        drop(socket);
        if let Some(reader) = self.reader.borrow_mut().take() {
            reader.wake();
        }
    }
}

fn aborted() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the connection was aborted on this side")
}

struct TokioReadHalf {
    connection: Rc<Connection>,
}

impl ReadHalf for TokioReadHalf {
    fn read<'a>(&'a mut self, buffer: &'a mut BytesMut, max: usize) -> Local<'a, io::Result<usize>> {
        assert!(max > 0, "a read asks for at least one byte, or its answer would look like the end");
        if buffer.capacity() - buffer.len() < max.min(READ_SPARE_BYTES_MIN) {
            buffer.reserve(max.min(READ_BYTES));
        }
        Box::pin(std::future::poll_fn(move |context| self.connection.poll_read(context, buffer, max)))
    }
}

struct TokioWriteHalf {
    connection: Rc<Connection>,
    reads: Pool,
}

impl WriteHalf for TokioWriteHalf {
    fn send<'a>(&'a mut self, segments: &'a [Segment]) -> Local<'a, io::Result<()>> {
        Box::pin(self.send_all(segments))
    }

    fn finish(&mut self) -> Local<'_, io::Result<()>> {
        let shut = || {
            let slot = self.connection.socket.borrow();
            SockRef::from(slot.as_ref().ok_or_else(aborted)?).shutdown(Shutdown::Write)
        };
        Box::pin(std::future::ready(shut()))
    }

    fn abort(&mut self) {
        self.connection.abort();
    }
}

impl TokioWriteHalf {
    async fn send_all(&self, segments: &[Segment]) -> io::Result<()> {
        let mut rest = Rest { segments, done: 0 };
        let mut turn_bytes = 0;
        while rest.skip_sent() {
            turn_bytes += match &rest.segments[0] {
                Segment::Bytes(_) => {
                    let sent = self.connection.when_writable(|socket| rest.send_bytes(socket)).await?;
                    rest.done += sent;
                    sent
                }
                Segment::File { file, offset, len } => {
                    let (at, left) = (offset + rest.done, len - rest.done);
                    let sent = send_file(&self.connection, &self.reads, file, at, left).await?;
                    rest.done += sent;
                    sent
                }
            };
            if turn_bytes >= SEND_TURN_BYTES && !rest.segments.is_empty() {
                turn_bytes = 0;
                yield_now().await;
            }
        }
        Ok(())
    }
}

/// What is left to send: `segments` but for the first `done` bytes.
struct Rest<'a> {
    segments: &'a [Segment],
    done: u64,
}

impl Rest<'_> {
    /// Drops segments that are sent or empty; whether any is left.
    fn skip_sent(&mut self) -> bool {
        while let Some(first) = self.segments.first() {
            if self.done < first.len() {
                return true;
            }
            self.done -= first.len();
            self.segments = &self.segments[1..];
        }
        assert_eq!(self.done, 0, "no more was sent than there is");
        false
    }

    /// Sends the bytes at the head. When a file range follows, the kernel is told to wait for it, so that a small header
    /// does not travel alone and wake the peer for nothing.
    fn send_bytes(&self, socket: &TcpStream) -> io::Result<u64> {
        let mut parts = [IoSlice::new(&[]); PARTS_PER_SEND_MAX];
        let mut count = 0;
        for (part, segment) in parts.iter_mut().zip(self.segments) {
            let Segment::Bytes(bytes) = segment else { break };
            let skip = if count == 0 { usize::try_from(self.done).expect("within a segment in memory") } else { 0 };
            *part = IoSlice::new(&bytes[skip..]);
            count += 1;
        }
        let mut flags = SendFlags::NOSIGNAL;
        if count < self.segments.len() {
            flags |= SendFlags::MORE;
        }
        let sent = sendmsg(socket, &parts[..count], &mut SendAncillaryBuffer::default(), flags)?;
        Ok(sent as u64)
    }
}
