//! A connected stream of a simulated node and its halves.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll};

use barnabas_runtime::{FileHandle, Local, ReadHalf, Segment, Stream, WriteHalf};
use bytes::{Buf, Bytes, BytesMut};

use crate::endpoint::{EndpointId, Flight, Readable};
use crate::env::Place;
use crate::file::Lease;

/// Most bytes of a file range that are read and sent at once.
const RANGE_BYTES: u64 = 64 * 1024;

/// Makes a stream of one end of a connection.
pub(crate) fn split(place: Place, id: EndpointId, peer_addr: SocketAddr, local_addr: SocketAddr) -> Stream {
    let end = Rc::new(End { place, id });
    Stream { read: Box::new(SimReadHalf(Rc::clone(&end))), write: Box::new(SimWriteHalf(end)), peer_addr, local_addr }
}

/// One end, closed with the second of its halves.
struct End {
    place: Place,
    id: EndpointId,
}

impl Drop for End {
    fn drop(&mut self) {
        if self.place.is_alive() {
            self.place.world.close_endpoint(self.id);
        }
    }
}

impl End {
    fn poll_read(&self, context: &Context<'_>, buffer: &mut BytesMut, max: usize) -> Poll<io::Result<usize>> {
        let world = &self.place.world;
        let found = world.with_endpoint(self.id, |end| {
            let found = end.readable();
            if matches!(found, Readable::Nothing) {
                end.reader = Some(context.waker().clone());
            }
            (found, end.received.iter().map(Bytes::len).sum::<usize>(), end.next_ordinal())
        });
        // The process is being taken down.
        let Some((found, available, ordinal)) = found else { return Poll::Pending };
        match found {
            Readable::Nothing => return Poll::Pending,
            Readable::End => return Poll::Ready(Ok(0)),
            Readable::Fault(kind) => return Poll::Ready(Err(kind.into())),
            Readable::Bytes => {}
        }
        let Some(max) = self.allowed(context, max) else { return Poll::Pending };
        let count = self.shorten("short read", available.min(max), ordinal);
        world.with_endpoint(self.id, |end| {
            let mut left = count;
            while left > 0 {
                let first = end.received.front_mut().expect("as much was available");
                let taken = left.min(first.len());
                buffer.extend_from_slice(&first[..taken]);
                first.advance(taken);
                left -= taken;
                if first.is_empty() {
                    end.received.pop_front();
                }
            }
        });
        world.confirm(self.id, count as u64);
        Poll::Ready(Ok(count))
    }

    /// How much a reader may take, at the rate of its machine; `None` when it has to wait.
    fn allowed(&self, context: &Context<'_>, max: usize) -> Option<usize> {
        const TURNS_PER_S: u64 = 20;
        let world = &self.place.world;
        let Some(rate) = world.with_node(self.place.key.node(), |node| node.read_rate) else { return Some(max) };
        let (now_ns, turn_ns) = (world.now_ns(), 1_000_000_000 / TURNS_PER_S);
        let wait_ns = world.with_endpoint(self.id, |end| {
            let wait_ns = end.next_read_ns.saturating_sub(now_ns);
            if wait_ns == 0 {
                end.next_read_ns = now_ns + turn_ns;
            }
            wait_ns
        });
        match wait_ns {
            Some(0) => Some(max.min(usize::try_from((rate / TURNS_PER_S).max(1)).unwrap_or(max))),
            Some(wait_ns) => {
                let waker = context.waker().clone();
                world.schedule(wait_ns, "slow reader", self.id.0, move |_| waker.wake());
                None
            }
            None => None,
        }
    }

    fn poll_send(&self, context: &Context<'_>, bytes: &Bytes) -> Poll<io::Result<usize>> {
        let world = &self.place.world;
        let room = world.with_endpoint(self.id, |end| {
            let room = end.room();
            if room == Ok(0) {
                end.writer = Some(context.waker().clone());
            }
            room.map(|room| (room, end.next_ordinal()))
        });
        let Some(room) = room else { return Poll::Pending };
        let (room, ordinal) = room?;
        if room == 0 {
            world.ask_for_room(self.id);
            return Poll::Pending;
        }
        let most = bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        let count = self.shorten("short write", most, ordinal);
        world.depart(self.id, Flight::Bytes(bytes.slice(..count)));
        Poll::Ready(Ok(count))
    }

    /// Between one and `most` bytes: mostly all, at times fewer.
    fn shorten(&self, purpose: &'static str, most: usize, ordinal: u64) -> usize {
        assert!(most > 0, "a transfer moves something");
        let world = &self.place.world;
        if !world.draw_one_in(purpose, world.shared.config.short_transfer_one_in, self.id.0, ordinal) {
            return most;
        }
        let fewer = world.draw("how short", self.id.0, ordinal).below(most as u64);
        1 + usize::try_from(fewer).expect("fewer than a usize")
    }
}

struct SimReadHalf(Rc<End>);

impl ReadHalf for SimReadHalf {
    fn read<'a>(&'a mut self, buffer: &'a mut BytesMut, max: usize) -> Local<'a, io::Result<usize>> {
        assert!(max > 0, "a read asks for at least one byte, or its answer would look like the end");
        let Self(end) = self;
        Box::pin(std::future::poll_fn(move |context| end.poll_read(context, buffer, max)))
    }
}

struct SimWriteHalf(Rc<End>);

impl SimWriteHalf {
    async fn send_bytes(&self, mut bytes: Bytes) -> io::Result<()> {
        while !bytes.is_empty() {
            let sent = std::future::poll_fn(|context| self.0.poll_send(context, &bytes)).await?;
            bytes.advance(sent);
        }
        Ok(())
    }

    async fn send_range(&self, file: &FileHandle, mut offset: u64, mut len: u64) -> io::Result<()> {
        let lease = Lease::of(file);
        while len > 0 {
            let ask = usize::try_from(len.min(RANGE_BYTES)).expect("a small number");
            let bytes = self.0.place.read_to_send(&lease, offset, ask).await?;
            if bytes.is_empty() {
                return Err(io::Error::new(ErrorKind::UnexpectedEof, "the file is shorter than was promised"));
            }
            offset += bytes.len() as u64;
            len -= bytes.len() as u64;
            self.send_bytes(bytes).await?;
        }
        Ok(())
    }
}

impl WriteHalf for SimWriteHalf {
    fn send<'a>(&'a mut self, segments: &'a [Segment]) -> Local<'a, io::Result<()>> {
        Box::pin(async move {
            for segment in segments {
                match segment {
                    Segment::Bytes(bytes) => self.send_bytes(bytes.clone()).await?,
                    Segment::File { file, offset, len } => self.send_range(file, *offset, *len).await?,
                }
            }
            Ok(())
        })
    }

    fn finish(&mut self) -> Local<'_, io::Result<()>> {
        let Self(end) = self;
        let world = &end.place.world;
        let outcome = world.with_endpoint(end.id, |end| match (end.aborted, end.broken) {
            (true, _) => Err(ErrorKind::ConnectionAborted),
            (false, true) => Err(ErrorKind::NotConnected),
            (false, false) => Ok(!std::mem::replace(&mut end.shut, true)),
        });
        if outcome == Some(Ok(true)) {
            world.depart(end.id, Flight::Finish);
        }
        let outcome = outcome.unwrap_or(Err(ErrorKind::NotConnected));
        Box::pin(std::future::ready(outcome.map(|_| ()).map_err(io::Error::from)))
    }

    fn abort(&mut self) {
        let Self(end) = self;
        let world = &end.place.world;
        let first = world.with_endpoint(end.id, |end| !std::mem::replace(&mut end.aborted, true));
        if first == Some(true) {
            world.abort_endpoint(end.id);
        }
    }
}
