//! Promises of sending file ranges. Driven by `contract`.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::rc::Rc;

use bytes::Bytes;

use super::net::{pair, read_exactly};
use crate::{Env, File, OpenMode, Segment, Stream};

/// Longer than a chunk of any implementation, and no multiple of a page.
const LONG_BYTES: usize = 2 * 1024 * 1024 + 77;

async fn file_with(env: &Env, root: &std::path::Path, bytes: &Bytes) -> Rc<dyn File> {
    let file = env.disk.open(&root.join("segment"), OpenMode::CreateNew).await.expect("an empty directory");
    file.write_at(0, std::slice::from_ref(bytes)).await.expect("room for the file");
    file
}

fn range(file: &Rc<dyn File>, offset: u64, len: u64) -> Segment {
    Segment::File { file: file.handle(), offset, len }
}

pub(super) async fn segments_arrive_in_order(env: Env, root: PathBuf) {
    let file = file_with(&env, &root, &Bytes::from_static(b"0123456789")).await;
    let (mut client, mut server) = pair(&env).await;
    let segments = [
        Segment::Bytes(Bytes::from_static(b"head ")),
        range(&file, 2, 3),
        range(&file, 9, 0),
        Segment::Bytes(Bytes::from_static(b" tail ")),
        range(&file, 9, 1),
    ];
    client.write.send(&segments).await.expect("an open connection");
    assert_eq!(read_exactly(&mut *server.read, 15).await, "head 234 tail 9");
}

pub(super) async fn a_long_range_arrives_whole(env: Env, root: PathBuf) {
    let bytes: Bytes = (0..LONG_BYTES).map(|index| (index % 253) as u8).collect();
    let file = file_with(&env, &root, &bytes).await;
    let (client, mut server) = pair(&env).await;
    let Stream { read: _read, mut write, .. } = client;
    let (offset, len) = (11, (LONG_BYTES - 11) as u64);
    let segment = range(&file, offset, len);
    let mut sending = env.spawn("sender", async move {
        write.send(&[segment]).await.expect("the reader reads");
    });
    assert_eq!(read_exactly(&mut *server.read, LONG_BYTES - 11).await, bytes.slice(11..));
    sending.join().await;
    // The same from a cache that was told to forget.
    file.sync().await.expect("a healthy disk");
    file.wont_need(0, LONG_BYTES as u64);
    let (mut client, mut server) = pair(&env).await;
    let segment = range(&file, 0, LONG_BYTES as u64);
    let mut sending = env.spawn("sender", async move {
        client.write.send(&[segment]).await.expect("the reader reads");
    });
    assert_eq!(read_exactly(&mut *server.read, LONG_BYTES).await, bytes);
    sending.join().await;
}

pub(super) async fn a_range_past_the_end_is_reported(env: Env, root: PathBuf) {
    let file = file_with(&env, &root, &Bytes::from_static(b"short")).await;
    let (mut client, mut server) = pair(&env).await;
    let failed = client.write.send(&[range(&file, 3, 10)]).await.expect_err("five bytes are no thirteen");
    assert_eq!(failed.kind(), ErrorKind::UnexpectedEof);
    assert_eq!(read_exactly(&mut *server.read, 2).await, "rt", "what there was has been sent");
}

pub(super) async fn a_handle_outlives_name_and_file(env: Env, root: PathBuf) {
    let file = file_with(&env, &root, &Bytes::from_static(b"leased")).await;
    let own = file.handle();
    assert!(!own.is_shared(), "the file and one handle");
    let leased = file.handle();
    assert!(own.is_shared(), "a second handle is a lease");
    drop(own);
    env.disk.remove(&root.join("segment")).await.expect("the name is there");
    drop(file);
    let (mut client, mut server) = pair(&env).await;
    let segment = Segment::File { file: leased, offset: 0, len: 6 };
    client.write.send(&[segment]).await.expect("the lease keeps the bytes");
    assert_eq!(read_exactly(&mut *server.read, 6).await, "leased");
}
