//! Sending a range of a file without a copy through user space. Asking a socket not to block does not keep `sendfile`
//! from sleeping on a page that has to come from the device: such ranges are sent by a pool thread.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

use barnabas_runtime::FileHandle;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::file::{Descriptor, is_cached};
use crate::pool::Pool;
use crate::stream::Connection;

/// Bytes looked at and sent with one call.
const CHUNK_BYTES: u64 = 512 * 1024;

/// Sends a piece of the range `at`, `left` of `file`; the number of bytes sent, at least one.
pub(crate) async fn send_file(
    connection: &Connection,
    reads: &Pool,
    file: &FileHandle,
    at: u64,
    left: u64,
) -> io::Result<u64> {
    let file = Descriptor::of(file);
    let chunk = left.min(CHUNK_BYTES);
    if is_cached(&file, at, chunk) {
        return connection.when_writable(|socket| call(socket, &file, at, chunk)).await;
    }
    loop {
        // A pool thread cannot tell tokio that the socket is full: only a thread that finds room is worth sending.
        connection.when_writable(has_room).await?;
        let (socket, file) = (connection.descriptor()?, Arc::clone(&file));
        match reads.run(move || call(&*socket, &file, at, chunk)).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            sent => return sent,
        }
    }
}

fn call(socket: impl AsFd, file: &Descriptor, at: u64, chunk: u64) -> io::Result<u64> {
    let mut position = at;
    let count = usize::try_from(chunk).expect("a chunk fits memory");
    loop {
        match rustix::fs::sendfile(&socket, file, Some(&mut position), count) {
            Ok(0) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file is shorter than was promised")),
            Ok(sent) => return Ok(sent as u64),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// `WouldBlock` unless the socket takes bytes.
fn has_room(socket: &tokio::net::TcpStream) -> io::Result<()> {
    let mut polled = [PollFd::new(socket, PollFlags::OUT)];
    match poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))? {
        0 => Err(io::ErrorKind::WouldBlock.into()),
        _ => Ok(()),
    }
}
