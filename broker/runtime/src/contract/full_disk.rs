//! Promises of a disk without room. They fill a small file system of their own. Driven by `contract`.

use std::io::ErrorKind;
use std::path::PathBuf;

use bytes::Bytes;

use super::FULL_DISK_BYTES_MAX;
use crate::{Env, File, OpenMode};

/// Bytes of one write.
const CHUNK_BYTES: usize = 64 * 1024;

/// Writes to `file` from `offset` on until the disk is full; where it stopped.
async fn fill(env: &Env, file: &dyn File, mut offset: u64) -> u64 {
    let chunk = Bytes::from(vec![7; CHUNK_BYTES]);
    loop {
        assert!(offset <= FULL_DISK_BYTES_MAX, "the harness gives a small file system");
        let Err(error) = file.write_at(offset, std::slice::from_ref(&chunk)).await else {
            offset += CHUNK_BYTES as u64;
            continue;
        };
        assert_eq!(error.kind(), ErrorKind::StorageFull);
        assert!(env.disk.space(file.path()).await.expect("it exists").usable_bytes < 2 * CHUNK_BYTES as u64);
        return offset;
    }
}

pub(super) async fn a_full_disk_refuses_writes_until_room_returns(env: Env, root: PathBuf) {
    let kept = env.disk.open(&root.join("kept"), OpenMode::CreateNew).await.expect("a free name");
    kept.write_at(0, &[Bytes::from_static(b"kept")]).await.expect("room for it");
    let filler = env.disk.open(&root.join("filler"), OpenMode::CreateNew).await.expect("a free name");
    let end = fill(&env, &*filler, 0).await;
    // What is there can be read, replaced, synced and cut.
    filler.truncate(end).await.expect("cutting needs no room");
    kept.write_at(0, &[Bytes::from_static(b"KEPT")]).await.expect("the room is its own");
    kept.sync().await.expect("a healthy disk");
    assert_eq!(kept.read_at(0, 9).await.expect("a healthy disk"), "KEPT");
    filler.truncate(end / 2).await.expect("cutting needs no room");
    filler.write_at(end / 2, &[Bytes::from_static(b"room")]).await.expect("room returned");
    env.disk.remove(&root.join("filler")).await.expect("removing needs no room");
}

pub(super) async fn allocated_room_is_kept_free(env: Env, root: PathBuf) {
    let reserve = env.disk.open(&root.join("reserve"), OpenMode::CreateNew).await.expect("a free name");
    reserve.allocate(0, 4 * CHUNK_BYTES as u64).await.expect("room for it");
    let filler = env.disk.open(&root.join("filler"), OpenMode::CreateNew).await.expect("a free name");
    fill(&env, &*filler, 0).await;
    let chunk = Bytes::from(vec![9; 4 * CHUNK_BYTES]);
    reserve.write_at(0, &[chunk]).await.expect("the room was reserved");
    reserve.sync().await.expect("a healthy disk");
    env.disk.remove(&root.join("reserve")).await.expect("removing needs no room");
    env.disk.remove(&root.join("filler")).await.expect("removing needs no room");
}

pub(super) async fn an_allocation_that_does_not_fit_is_refused(env: Env, root: PathBuf) {
    let file = env.disk.open(&root.join("file"), OpenMode::CreateNew).await.expect("a free name");
    let refused = file.allocate(0, 2 * FULL_DISK_BYTES_MAX).await.expect_err("there is less");
    assert_eq!(refused.kind(), ErrorKind::StorageFull);
    assert_eq!(file.size().await.expect("open"), 0);
    env.disk.remove(&root.join("file")).await.expect("removing needs no room");
}
