//! Promises of how connections end: what still arrives, what is lost, and who is told what. Driven by `contract`.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::net::{ANY_PORT, pair, read_exactly, read_once, send};
use crate::{Either, Env, ReadHalf, Segment, Stream, race};

/// Bytes that come again and again: a prime number of them, so that they do not fall in with any buffer.
const PERIOD_BYTES: u8 = 251;

/// Bytes of one segment.
const CHUNK_BYTES: usize = PERIOD_BYTES as usize * 4096;

/// More segments than a connection holds between a sender and a reader that does not read.
const TOO_MANY_CHUNKS: usize = 64;

/// Time given to something that must not happen.
const SHORT: Duration = Duration::from_millis(20);

/// Bytes that tell at each place which it is.
fn chunk() -> Bytes {
    (0..PERIOD_BYTES).collect::<Vec<u8>>().repeat(CHUNK_BYTES / usize::from(PERIOD_BYTES)).into()
}

fn chunks(count: usize) -> Vec<Segment> {
    vec![Segment::Bytes(chunk()); count]
}

/// Whether `bytes` are those that [`chunks`] begin with.
fn is_the_beginning(bytes: &[u8]) -> bool {
    let chunk = chunk();
    bytes.chunks(CHUNK_BYTES).all(|arrived| *arrived == chunk[..arrived.len()])
}

/// Reads to the end; what arrived, and how it ended.
async fn read_to_the_end(read: &mut dyn ReadHalf) -> (BytesMut, Result<(), ErrorKind>) {
    let mut buffer = BytesMut::new();
    loop {
        match read.read(&mut buffer, CHUNK_BYTES).await {
            Ok(0) => return (buffer, Ok(())),
            Ok(_) => {}
            Err(error) => return (buffer, Err(error.kind())),
        }
    }
}

pub(super) async fn a_read_does_not_wait_for_more(env: Env, _root: PathBuf) {
    let (mut client, mut server) = pair(&env).await;
    for sent in [&b"a"[..], b"bcd", b"ef"] {
        client.write.send(&[Segment::Bytes(Bytes::from_static(sent))]).await.expect("an open connection");
        let mut buffer = BytesMut::new();
        while buffer.len() < sent.len() {
            let count = server.read.read(&mut buffer, 1_000).await.expect("an open connection");
            assert!(count > 0, "the connection is open");
        }
        assert_eq!(buffer, sent, "a read with room for more gives what there is");
    }
}

pub(super) async fn what_was_sent_arrives_after_the_close(env: Env, _root: PathBuf) {
    let (client, mut server) = pair(&env).await;
    let Stream { read, mut write, .. } = client;
    let mut sending = env.spawn("sender", async move {
        write.send(&chunks(1)).await.expect("the reader reads");
        drop((read, write));
    });
    let (arrived, end) = read_to_the_end(&mut *server.read).await;
    assert_eq!(end, Ok(()), "a sender that leaves in order says so");
    assert_eq!(arrived.len(), CHUNK_BYTES, "all that was sent arrives");
    assert!(is_the_beginning(&arrived));
    sending.join().await;
}

pub(super) async fn a_dropped_send_leaves_a_prefix(env: Env, _root: PathBuf) {
    let (mut client, mut server) = pair(&env).await;
    let segments = chunks(TOO_MANY_CHUNKS);
    let given_up = race(client.write.send(&segments), env.sleep(SHORT)).await;
    assert!(matches!(given_up, Either::Second(())), "nobody reads");
    drop(client);
    let (arrived, end) = read_to_the_end(&mut *server.read).await;
    assert_eq!(end, Ok(()));
    assert!(arrived.len() < TOO_MANY_CHUNKS * CHUNK_BYTES, "the rest was never sent");
    assert!(is_the_beginning(&arrived), "what arrived is the beginning");
}

pub(super) async fn an_abort_loses_what_is_under_way(env: Env, _root: PathBuf) {
    let (mut client, mut server) = pair(&env).await;
    let segments = chunks(TOO_MANY_CHUNKS);
    let given_up = race(client.write.send(&segments), env.sleep(SHORT)).await;
    assert!(matches!(given_up, Either::Second(())), "nobody reads");
    client.write.abort();
    let (arrived, end) = read_to_the_end(&mut *server.read).await;
    assert_eq!(end, Err(ErrorKind::ConnectionReset), "an abort never looks like the end");
    assert!(is_the_beginning(&arrived), "what arrived is the beginning");
}

pub(super) async fn a_blocked_sender_hears_of_the_end(env: Env, _root: PathBuf) {
    for is_abort in [true, false] {
        let (client, mut server) = pair(&env).await;
        let Stream { read: _read, mut write, .. } = client;
        let sent = env.spawn_detached("sender", async move {
            write.send(&chunks(TOO_MANY_CHUNKS)).await.map_err(|error| error.kind())
        });
        env.sleep(SHORT).await;
        if is_abort {
            server.write.abort();
        }
        // Without the abort it is the bytes nobody read that make the close a reset.
        drop(server);
        let error = sent.await.expect("the sender ends").expect_err("the reader has gone");
        assert!(matches!(error, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{error:?}");
    }
}

pub(super) async fn finishing_is_said_once_and_not_to_nobody(env: Env, _root: PathBuf) {
    let (mut client, mut server) = pair(&env).await;
    client.write.finish().await.expect("an open connection");
    client.write.finish().await.expect("it is finished");
    assert_eq!(read_once(&mut *server.read).await, Ok(0));
    server.write.finish().await.expect("the other direction is open");
    assert_eq!(read_once(&mut *client.read).await, Ok(0));
    let (mut client, mut server) = pair(&env).await;
    server.write.abort();
    assert_eq!(read_once(&mut *client.read).await, Err(ErrorKind::ConnectionReset));
    let failed = client.write.finish().await.expect_err("the connection is gone");
    assert_eq!(failed.kind(), ErrorKind::NotConnected);
}

pub(super) async fn a_reset_behind_the_end_concerns_the_sender(env: Env, _root: PathBuf) {
    let (mut client, mut server) = pair(&env).await;
    send(&mut *client.write, b"never read").await.expect("an open connection");
    server.write.finish().await.expect("an open connection");
    assert_eq!(read_once(&mut *client.read).await, Ok(0));
    env.sleep(SHORT).await;
    drop(server);
    env.sleep(SHORT).await;
    assert_eq!(read_once(&mut *client.read).await, Ok(0), "the end stays the end");
    let broken = send(&mut *client.write, b"late").await.expect_err("the connection is gone");
    assert_eq!(broken.kind(), ErrorKind::BrokenPipe);
}

pub(super) async fn an_accepted_connection_that_nobody_takes_is_closed(env: Env, _root: PathBuf) {
    let listener = env.net.listen(ANY_PORT).await.expect("a free port");
    let mut client = env.net.connect(listener.local_addr()).await.expect("the listener is there");
    drop(listener.accept().await.expect("a connection waits"));
    assert_eq!(read_once(&mut *client.read).await, Ok(0));
}

pub(super) async fn a_dropped_connect_leaves_nobody(env: Env, _root: PathBuf) {
    let listener = env.net.listen(ANY_PORT).await.expect("a free port");
    let given_up = race(env.net.connect(listener.local_addr()), std::future::ready(())).await;
    drop(given_up);
    let mut client = env.net.connect(listener.local_addr()).await.expect("the listener is there");
    send(&mut *client.write, b"here").await.expect("an open connection");
    // The kernel may have made the first connection before it was given up: then it is closed.
    loop {
        let accepted = listener.accept().await.expect("a connection waits");
        let is_ours = accepted.peer_addr == client.local_addr;
        let mut server = env.net.adopt(accepted).expect("an accepted connection can be used");
        if is_ours {
            assert_eq!(read_exactly(&mut *server.read, 4).await, "here");
            return;
        }
        let end = read_once(&mut *server.read).await;
        assert!(matches!(end, Ok(0) | Err(ErrorKind::ConnectionReset)), "{end:?}");
    }
}

pub(super) async fn a_listener_may_take_every_address(env: Env, _root: PathBuf) {
    let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let listener = env.net.listen(any).await.expect("a free port");
    let bound = listener.local_addr();
    assert!(bound.ip().is_unspecified() && bound.port() != 0, "{bound}");
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, bound.port()));
    let client = env.net.connect(address).await.expect("the own host is one of them");
    let accepted = listener.accept().await.expect("a connection waits");
    assert_eq!(accepted.local_addr, address, "an accepted connection knows the address it came to");
    assert_eq!(accepted.peer_addr, client.local_addr);
}
