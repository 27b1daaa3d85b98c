//! Promises of sockets: FIN, RST, refusal, half-close, backpressure, cancellation. Driven by `contract`.

use std::cell::Cell;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use crate::{Either, Env, Listener, ReadHalf, Segment, Stream, WriteHalf, race};

/// A free port of the own host.
pub(super) const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// No socket buffers as much as this.
const BUFFERED_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Bytes of one send in a long series.
const CHUNK_BYTES: usize = 64 * 1024;

/// Attempts within which a closed peer is noticed.
const SENDS_MAX: usize = 1_000;

/// Time given to something that must not happen.
const SHORT: Duration = Duration::from_millis(20);

/// Both ends of a fresh connection: who connected, who accepted.
pub(super) async fn pair(env: &Env) -> (Stream, Stream) {
    let listener = env.net.listen(ANY_PORT).await.expect("a free port");
    connect_through(env, &*listener).await
}

async fn connect_through(env: &Env, listener: &dyn Listener) -> (Stream, Stream) {
    let client = env.net.connect(listener.local_addr()).await.expect("the listener is there");
    let accepted = listener.accept().await.expect("a connection waits");
    assert_eq!(accepted.peer_addr, client.local_addr, "both ends agree on addresses");
    assert_eq!(accepted.local_addr, client.peer_addr, "both ends agree on addresses");
    let server = env.net.adopt(accepted).expect("an accepted connection can be used");
    (client, server)
}

/// Sends `bytes` as one segment.
pub(super) async fn send(write: &mut dyn WriteHalf, bytes: &'static [u8]) -> std::io::Result<()> {
    write.send(&[Segment::Bytes(Bytes::from_static(bytes))]).await
}

/// Reads until `len` bytes are there.
pub(super) async fn read_exactly(read: &mut dyn ReadHalf, len: usize) -> Bytes {
    let mut buffer = BytesMut::new();
    while buffer.len() < len {
        let max = len - buffer.len();
        let count = read.read(&mut buffer, max).await.expect("the connection lives");
        assert!(count > 0, "the peer sends {len} bytes, not {}", buffer.len());
        assert!(count <= max, "a read keeps to its bound");
    }
    buffer.freeze()
}

/// Reads once; the count or the kind of error.
pub(super) async fn read_once(read: &mut dyn ReadHalf) -> Result<usize, ErrorKind> {
    read.read(&mut BytesMut::new(), 1024).await.map_err(|error| error.kind())
}

pub(super) async fn bytes_arrive_in_order(env: Env, _root: PathBuf) {
    let (mut client, mut server) = pair(&env).await;
    let (first, second) = (Bytes::from_static(b"first "), Bytes::from_static(b"second"));
    let segments = [Segment::Bytes(first), Segment::Bytes(Bytes::new()), Segment::Bytes(second)];
    client.write.send(&segments).await.expect("an open connection");
    assert_eq!(read_exactly(&mut *server.read, 12).await, "first second");
    send(&mut *server.write, b"answer").await.expect("an open connection");
    let mut buffer = BytesMut::from("kept ");
    let mut expected = 6;
    while expected > 0 {
        // A bound of one byte still makes progress, and what the buffer held stays.
        expected -= client.read.read(&mut buffer, 1).await.expect("an open connection");
    }
    assert_eq!(buffer, "kept answer");
    client.write.send(&[]).await.expect("nothing to send is sent");
}

pub(super) async fn a_finished_peer_reads_as_the_end(env: Env, _root: PathBuf) {
    let (client, mut server) = pair(&env).await;
    let Stream { mut read, mut write, .. } = client;
    send(&mut *write, b"last").await.expect("an open connection");
    write.finish().await.expect("an open connection");
    assert_eq!(read_exactly(&mut *server.read, 4).await, "last");
    assert_eq!(read_once(&mut *server.read).await, Ok(0));
    assert_eq!(read_once(&mut *server.read).await, Ok(0), "the end stays the end");
    // Dropping both halves says the same as finishing.
    drop(server);
    assert_eq!(read_once(&mut *read).await, Ok(0));
    let (client, mut server) = pair(&env).await;
    drop(client);
    assert_eq!(read_once(&mut *server.read).await, Ok(0));
}

pub(super) async fn half_a_connection_can_be_closed(env: Env, _root: PathBuf) {
    let (mut client, mut server) = pair(&env).await;
    client.write.finish().await.expect("an open connection");
    let refused = send(&mut *client.write, b"late").await.expect_err("a finished half sends nothing");
    assert_eq!(refused.kind(), ErrorKind::BrokenPipe);
    assert_eq!(read_once(&mut *server.read).await, Ok(0));
    send(&mut *server.write, b"still here").await.expect("the other direction is open");
    assert_eq!(read_exactly(&mut *client.read, 10).await, "still here");
    // Only both halves together close: a reader that goes alone says nothing to the peer.
    let (client, mut server) = pair(&env).await;
    let Stream { read, mut write, .. } = client;
    drop(read);
    send(&mut *write, b"one way").await.expect("an open connection");
    assert_eq!(read_exactly(&mut *server.read, 7).await, "one way");
    let (client, mut server) = pair(&env).await;
    let Stream { mut read, write, .. } = client;
    drop(write);
    let silence = race(read_once(&mut *server.read), env.sleep(SHORT)).await;
    assert_eq!(silence, Either::Second(()), "dropping the sending half sends no FIN");
    send(&mut *server.write, b"other way").await.expect("an open connection");
    assert_eq!(read_exactly(&mut *read, 9).await, "other way");
}

pub(super) async fn an_aborted_peer_reads_as_a_reset(env: Env, _root: PathBuf) {
    let (mut client, mut server) = pair(&env).await;
    client.write.abort();
    assert_eq!(read_once(&mut *server.read).await, Err(ErrorKind::ConnectionReset));
    let broken = send(&mut *server.write, b"late").await.expect_err("the connection is gone");
    assert!(matches!(broken.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{broken}");
    // The reset is told once; then there is nothing more to read.
    assert_eq!(read_once(&mut *server.read).await, Ok(0));
    let (mut client, mut server) = pair(&env).await;
    send(&mut *client.write, b"arrived").await.expect("an open connection");
    env.sleep(SHORT).await;
    client.write.abort();
    env.sleep(SHORT).await;
    assert_eq!(read_exactly(&mut *server.read, 7).await, "arrived", "a reset takes nothing back");
    assert_eq!(read_once(&mut *server.read).await, Err(ErrorKind::ConnectionReset));
}

pub(super) async fn an_abort_wakes_the_own_reader(env: Env, _root: PathBuf) {
    let (client, _server) = pair(&env).await;
    let Stream { mut read, mut write, .. } = client;
    let waiting = env.spawn_detached("reader", async move {
        let first = read_once(&mut *read).await;
        (first, read_once(&mut *read).await)
    });
    env.tasks.yield_now().await;
    write.abort();
    write.abort();
    let outcome = waiting.await.expect("the reader ends");
    assert_eq!(outcome, (Err(ErrorKind::ConnectionAborted), Err(ErrorKind::ConnectionAborted)));
    let broken = send(&mut *write, b"late").await.expect_err("both halves are gone");
    assert_eq!(broken.kind(), ErrorKind::ConnectionAborted);
    let broken = write.finish().await.expect_err("both halves are gone");
    assert_eq!(broken.kind(), ErrorKind::ConnectionAborted);
}

pub(super) async fn closing_with_unread_bytes_resets(env: Env, _root: PathBuf) {
    let (mut client, mut server) = pair(&env).await;
    send(&mut *client.write, b"never read").await.expect("an open connection");
    assert_eq!(read_exactly(&mut *server.read, 1).await, "n");
    // Long enough for the others to arrive, if they did not travel together.
    env.sleep(SHORT).await;
    drop(server);
    assert_eq!(read_once(&mut *client.read).await, Err(ErrorKind::ConnectionReset));
}

pub(super) async fn writing_to_a_closed_peer_fails_in_the_end(env: Env, _root: PathBuf) {
    let (mut client, server) = pair(&env).await;
    drop(server);
    assert_eq!(read_once(&mut *client.read).await, Ok(0));
    // A FIN alone may be half a close, so that the first bytes are sent; the answer to them is a reset.
    for _ in 0..SENDS_MAX {
        let Err(error) = send(&mut *client.write, b"anybody?").await else {
            env.sleep(Duration::from_millis(1)).await;
            continue;
        };
        assert!(matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{error}");
        return;
    }
    panic!("a closed peer is noticed");
}

pub(super) async fn nobody_listening_refuses(env: Env, _root: PathBuf) {
    let listener = env.net.listen(ANY_PORT).await.expect("a free port");
    let address = listener.local_addr();
    assert_ne!(address.port(), 0, "a listener tells its real port");
    // A connection that waits for accept dies with the listener.
    let mut waiting = env.net.connect(address).await.expect("the listener is there");
    drop(listener);
    assert_eq!(read_once(&mut *waiting.read).await, Err(ErrorKind::ConnectionReset));
    let refused = env.net.connect(address).await.expect_err("nobody listens");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
}

pub(super) async fn a_bound_port_is_taken(env: Env, _root: PathBuf) {
    let listener = env.net.listen(ANY_PORT).await.expect("a free port");
    let address = listener.local_addr();
    let taken = env.net.listen(address).await.err().expect("the port is taken");
    assert_eq!(taken.kind(), ErrorKind::AddrInUse);
    let (client, server) = connect_through(&env, &*listener).await;
    drop(listener);
    // Live connections of the old listener do not keep a restarted broker off its port.
    drop((client, server));
    let again = env.net.listen(address).await.expect("the port is free again");
    connect_through(&env, &*again).await;
}

pub(super) async fn dropped_accepts_and_reads_lose_nothing(env: Env, _root: PathBuf) {
    let listener = env.net.listen(ANY_PORT).await.expect("a free port");
    let given_up = race(listener.accept(), env.sleep(SHORT)).await;
    assert!(matches!(given_up, Either::Second(())), "nobody connects");
    let (mut client, mut server) = connect_through(&env, &*listener).await;
    let mut buffer = BytesMut::new();
    let given_up = race(server.read.read(&mut buffer, 10), env.sleep(SHORT)).await;
    assert!(matches!(given_up, Either::Second(())), "nobody sends");
    assert!(buffer.is_empty(), "a dropped read has read nothing");
    send(&mut *client.write, b"whole").await.expect("an open connection");
    assert_eq!(read_exactly(&mut *server.read, 5).await, "whole");
}

pub(super) async fn connections_wait_for_accept(env: Env, _root: PathBuf) {
    let listener = env.net.listen(ANY_PORT).await.expect("a free port");
    let mut clients = Vec::new();
    for _ in 0..10 {
        let mut client = env.net.connect(listener.local_addr()).await.expect("the backlog has room");
        send(&mut *client.write, b"early").await.expect("the backlog takes bytes");
        clients.push(client);
    }
    for client in &clients {
        let accepted = listener.accept().await.expect("a connection waits");
        assert_eq!(accepted.peer_addr, client.local_addr, "connections are accepted in order");
        let mut server = env.net.adopt(accepted).expect("an accepted connection can be used");
        assert_eq!(read_exactly(&mut *server.read, 5).await, "early");
    }
}

pub(super) async fn a_slow_reader_holds_the_sender(env: Env, _root: PathBuf) {
    let (client, mut server) = pair(&env).await;
    let Stream { read: _read, mut write, .. } = client;
    let (enough, sent) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(0)));
    let mut sending = {
        let (enough, sent) = (Rc::clone(&enough), Rc::clone(&sent));
        let chunk = Bytes::from_iter((0..CHUNK_BYTES).map(|index| (index % 251) as u8));
        env.spawn("sender", async move {
            while !enough.get() {
                write.send(&[Segment::Bytes(chunk.clone())]).await.expect("the reader comes back");
                sent.set(sent.get() + CHUNK_BYTES);
            }
            write.finish().await.expect("an open connection");
        })
    };
    let mut before = usize::MAX;
    while before != sent.get() {
        before = sent.get();
        assert!(before < BUFFERED_BYTES_MAX, "a sender waits for its reader");
        env.sleep(SHORT).await;
    }
    enough.set(true);
    let (mut buffer, mut received) = (BytesMut::new(), 0);
    while server.read.read(&mut buffer, CHUNK_BYTES).await.expect("an open connection") > 0 {
        let expected = |(index, byte): (usize, &u8)| usize::from(*byte) == (received + index) % CHUNK_BYTES % 251;
        assert!(buffer.iter().enumerate().all(expected), "bytes arrive in order");
        received += buffer.len();
        buffer.clear();
    }
    sending.join().await;
    assert_eq!(received, sent.get(), "every byte arrives");
}

pub(super) async fn a_host_resolves(env: Env, _root: PathBuf) {
    let found = env.net.resolve("localhost", 9092).await.expect("every host knows itself");
    assert!(found.iter().all(|address| address.port() == 9092), "{found:?}");
    assert!(found.iter().any(|address| address.ip().is_loopback()), "{found:?}");
    let found = env.net.resolve("127.0.0.1", 1).await.expect("an address is its own name");
    assert_eq!(found, [SocketAddr::from((Ipv4Addr::LOCALHOST, 1))]);
    assert!(env.net.resolve("no-such-host.invalid", 1).await.is_err(), "RFC 2606 reserves the name");
}
