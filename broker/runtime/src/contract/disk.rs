//! Promises of files and directories on a healthy disk. Power loss and disk errors are the simulator's own tests: Linux
//! cannot be made to show them. Driven by `contract`.

use std::future::Future;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;

use crate::{Env, File, FileKind, OpenMode};

/// Parts of one write; more than any system takes at once.
const PARTS: usize = 3_000;

/// Looks at something that happens in its own time, a millisecond apart.
const LOOKS_MAX: usize = 5_000;

/// Questions about the page cache, which may give up at any time what it holds.
const ASKS_MAX: usize = 1_000;

/// How far a time stamp of the disk may lie from the clock, in milliseconds.
const CLOCK_TOLERANCE_MS: i64 = 60_000;

/// Creates `name` with `content`.
async fn create(env: &Env, path: &Path, content: &'static [u8]) -> Rc<dyn File> {
    let file = env.disk.open(path, OpenMode::CreateNew).await.expect("the name is free");
    write(&*file, 0, content).await;
    file
}

async fn write(file: &dyn File, offset: u64, content: &'static [u8]) {
    file.write_at(offset, &[Bytes::from_static(content)]).await.expect("room for the bytes");
}

async fn read(file: &dyn File) -> Bytes {
    file.read_at(0, 1_000).await.expect("a healthy disk")
}

async fn open_kind(env: &Env, path: &Path, mode: OpenMode) -> Result<Bytes, ErrorKind> {
    let file = env.disk.open(path, mode).await.map_err(|error| error.kind())?;
    Ok(read(&*file).await)
}

/// Polls `future` once and drops it.
async fn start_and_drop<T>(future: impl Future<Output = T>) {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|context| {
        let _ = future.as_mut().poll(context);
        std::task::Poll::Ready(())
    })
    .await;
}

pub(super) async fn modes_of_opening(env: Env, root: PathBuf) {
    let path = root.join("file");
    assert_eq!(open_kind(&env, &path, OpenMode::Read).await, Err(ErrorKind::NotFound));
    assert_eq!(open_kind(&env, &path, OpenMode::Write).await, Err(ErrorKind::NotFound));
    let file = create(&env, &path, b"content").await;
    assert_eq!(file.path(), path);
    assert_eq!(open_kind(&env, &path, OpenMode::CreateNew).await, Err(ErrorKind::AlreadyExists));
    for mode in [OpenMode::Read, OpenMode::Write, OpenMode::CreateOrOpen] {
        assert_eq!(open_kind(&env, &path, mode).await, Ok(Bytes::from_static(b"content")), "{mode:?}");
    }
    let read_only = env.disk.open(&path, OpenMode::Read).await.expect("it exists");
    assert!(read_only.write_at(0, &[Bytes::from_static(b"x")]).await.is_err(), "opened to read");
    assert_eq!(open_kind(&env, &path, OpenMode::CreateTruncated).await, Ok(Bytes::new()));
    assert_eq!(read(&*file).await, "", "all handles see one file");
    assert_eq!(open_kind(&env, &root.join("other"), OpenMode::CreateOrOpen).await, Ok(Bytes::new()));
    assert_eq!(open_kind(&env, &root.join("no/file"), OpenMode::CreateNew).await, Err(ErrorKind::NotFound));
    assert_eq!(open_kind(&env, &path.join("below"), OpenMode::CreateNew).await, Err(ErrorKind::NotADirectory));
    assert_eq!(open_kind(&env, &root, OpenMode::Write).await, Err(ErrorKind::IsADirectory));
}

pub(super) async fn reads_are_short_only_at_the_end(env: Env, root: PathBuf) {
    let file = create(&env, &root.join("file"), b"0123456789").await;
    let read = |offset, len| file.read_at(offset, len);
    assert_eq!(read(0, 10).await.expect("in the file"), "0123456789");
    assert_eq!(read(3, 4).await.expect("in the file"), "3456");
    assert_eq!(read(7, 100).await.expect("over the end"), "789");
    assert_eq!(read(10, 1).await.expect("at the end"), "");
    assert_eq!(read(99, 1).await.expect("past the end"), "");
    assert_eq!(read(5, 0).await.expect("nothing"), "");
    if let Some(cached) = file.try_read_at(7, 100) {
        assert_eq!(cached.expect("in the cache"), "789", "a cached read is short at the end alone too");
    }
    let mut is_cached = false;
    for _ in 0..ASKS_MAX {
        is_cached |= file.is_cached(0, 10) && file.is_cached(7, 100) && file.is_cached(99, 1);
    }
    assert!(is_cached, "what was just read is in the page cache, and nothing past the end has to be fetched");
    assert_eq!(file.size().await.expect("open"), 10);
}

pub(super) async fn parts_are_written_one_behind_the_other(env: Env, root: PathBuf) {
    let file = create(&env, &root.join("file"), b"abc").await;
    let parts: Vec<Bytes> = (0..PARTS).map(|index| Bytes::from(vec![(index % 256) as u8; index % 5])).collect();
    file.write_at(2, &parts).await.expect("room for the bytes");
    let expected = parts.concat();
    assert_eq!(file.size().await.expect("open"), 2 + expected.len() as u64);
    assert_eq!(file.read_at(2, expected.len()).await.expect("in the file"), expected);
    assert_eq!(file.read_at(0, 2).await.expect("in the file"), "ab");
    file.write_at(1, &[]).await.expect("nothing is written");
    file.write_at(1, &[Bytes::new(), Bytes::new()]).await.expect("nothing is written");
    file.write_at(1, &[Bytes::new(), Bytes::from_static(b"X")]).await.expect("room for the byte");
    assert_eq!(file.read_at(0, 2).await.expect("in the file"), "aX", "a write inside replaces");
}

pub(super) async fn a_gap_reads_as_zeroes(env: Env, root: PathBuf) {
    let file = create(&env, &root.join("file"), b"ab").await;
    write(&*file, 5, b"z").await;
    assert_eq!(read(&*file).await, Bytes::from_static(b"ab\0\0\0z"));
    file.write_at(9, &[Bytes::new()]).await.expect("nothing is written");
    assert_eq!(file.size().await.expect("open"), 6, "writing nothing does not extend");
}

pub(super) async fn truncation_cuts_and_extends(env: Env, root: PathBuf) {
    let file = create(&env, &root.join("file"), b"0123456789").await;
    file.truncate(4).await.expect("open to write");
    assert_eq!(read(&*file).await, "0123");
    file.truncate(6).await.expect("open to write");
    assert_eq!(read(&*file).await, Bytes::from_static(b"0123\0\0"), "what was cut does not come back");
    file.truncate(2).await.expect("open to write");
    write(&*file, 5, b"z").await;
    assert_eq!(read(&*file).await, Bytes::from_static(b"01\0\0\0z"), "nor behind a gap");
    let other = env.disk.open(file.path(), OpenMode::Write).await.expect("it exists");
    other.truncate(0).await.expect("open to write");
    assert_eq!(file.size().await.expect("open"), 0, "all handles see one length");
    assert_eq!(read(&*file).await, "");
    let read_only = env.disk.open(file.path(), OpenMode::Read).await.expect("it exists");
    assert!(read_only.truncate(9).await.is_err(), "opened to read");
    assert_eq!(file.size().await.expect("open"), 0);
}

pub(super) async fn allocation_keeps_the_length(env: Env, root: PathBuf) {
    let file = create(&env, &root.join("file"), b"data").await;
    file.allocate(0, 64 * 1024).await.expect("room for it");
    assert_eq!(file.size().await.expect("open"), 4);
    assert_eq!(read(&*file).await, "data");
    file.will_need(0, 4);
    file.wont_need(0, 64 * 1024);
    assert_eq!(read(&*file).await, "data", "hints change nothing");
}

pub(super) async fn an_unlinked_file_stays_usable(env: Env, root: PathBuf) {
    let path = root.join("file");
    let file = create(&env, &path, b"before").await;
    env.disk.remove(&path).await.expect("it exists");
    assert_eq!(open_kind(&env, &path, OpenMode::Read).await, Err(ErrorKind::NotFound));
    write(&*file, 6, b" after").await;
    file.sync().await.expect("a healthy disk");
    assert_eq!(read(&*file).await, "before after");
    let fresh = create(&env, &path, b"another").await;
    assert_eq!(read(&*file).await, "before after", "the name is free for another file");
    assert_eq!(read(&*fresh).await, "another");
}

pub(super) async fn a_rename_replaces(env: Env, root: PathBuf) {
    let (from, to) = (root.join("new"), root.join("name"));
    let old = create(&env, &to, b"old").await;
    let new = create(&env, &from, b"new").await;
    env.disk.rename(&from, &to).await.expect("both exist");
    assert_eq!(open_kind(&env, &from, OpenMode::Read).await, Err(ErrorKind::NotFound));
    assert_eq!(open_kind(&env, &to, OpenMode::Read).await, Ok(Bytes::from_static(b"new")));
    assert_eq!(read(&*old).await, "old", "who had the replaced file open keeps it");
    write(&*new, 3, b"er").await;
    assert_eq!(new.path(), from, "a rename does not change the path a file was opened under");
    assert_eq!(open_kind(&env, &to, OpenMode::Read).await, Ok(Bytes::from_static(b"newer")));
    env.disk.rename(&to, &to).await.expect("a rename to itself is nothing");
    assert_eq!(open_kind(&env, &to, OpenMode::Read).await, Ok(Bytes::from_static(b"newer")));
}

pub(super) async fn directories_are_renamed_and_removed(env: Env, root: PathBuf) {
    let disk = &env.disk;
    let (from, to) = (root.join("a/b"), root.join("c"));
    disk.create_dir_all(&from).await.expect("parents are made");
    disk.create_dir_all(&from).await.expect("an existing one is fine");
    let file = create(&env, &from.join("file"), b"x").await;
    disk.rename(&from, &to).await.expect("the new name is free");
    assert_eq!(open_kind(&env, &to.join("file"), OpenMode::Read).await, Ok(Bytes::from_static(b"x")));
    write(&*file, 1, b"y").await;
    assert_eq!(open_kind(&env, &to.join("file"), OpenMode::Read).await, Ok(Bytes::from_static(b"xy")));
    let busy = disk.rename(&root.join("a"), &to).await.expect_err("a directory with entries is not replaced");
    assert_eq!(busy.kind(), ErrorKind::DirectoryNotEmpty);
    let wrong = disk.rename(&to.join("file"), &root.join("a")).await.expect_err("a file replaces no directory");
    assert_eq!(wrong.kind(), ErrorKind::IsADirectory);
    let wrong = disk.remove(&to).await.expect_err("remove is for files");
    assert_eq!(wrong.kind(), ErrorKind::IsADirectory);
    let blocked = disk.create_dir_all(&to.join("file/below")).await.expect_err("a file has no entries");
    assert_eq!(blocked.kind(), ErrorKind::NotADirectory);
    disk.remove_dir_all(&to).await.expect("with all that is in it");
    assert_eq!(read(&*file).await, "xy", "an open file stays");
    let names: Vec<_> = disk.list(&root).await.expect("it exists").into_iter().map(|entry| entry.name).collect();
    assert_eq!(names, ["a"]);
}

pub(super) async fn listings_are_sorted(env: Env, root: PathBuf) {
    for name in ["b", "a-10", "a-9", "Z"] {
        create(&env, &root.join(name), b"1234").await;
    }
    env.disk.create_dir_all(&root.join("c")).await.expect("a free name");
    let entries = env.disk.list(&root).await.expect("it exists");
    let names: Vec<_> = entries.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(names, ["Z", "a-10", "a-9", "b", "c"]);
    let kinds: Vec<_> = entries.iter().map(|entry| (entry.kind, entry.size_bytes)).collect();
    let file = (FileKind::File, 4);
    assert_eq!(kinds, [file, file, file, file, (FileKind::Directory, 0)]);
    let one = env.disk.metadata(&root.join("b")).await.expect("it exists");
    assert_eq!(one, entries[3], "metadata says what the listing says");
    assert_eq!(env.disk.list(&root.join("c")).await.expect("it exists"), []);
}

pub(super) async fn a_listing_follows_what_happens_to_names(env: Env, root: PathBuf) {
    let disk = &env.disk;
    let listed = async || {
        let entries = disk.list(&root).await.expect("it exists");
        entries.into_iter().map(|entry| (entry.name, entry.size_bytes)).collect::<Vec<_>>()
    };
    let of = |name: &str, size| (name.to_owned(), size);
    assert_eq!(listed().await, []);
    let file = create(&env, &root.join("b"), b"12").await;
    create(&env, &root.join("c"), b"345").await;
    assert_eq!(listed().await, [of("b", 2), of("c", 3)]);
    disk.rename(&root.join("b"), &root.join("d")).await.expect("the new name is free");
    assert_eq!(listed().await, [of("c", 3), of("d", 2)]);
    write(&*file, 9, b"x").await;
    disk.rename(&root.join("d"), &root.join("c")).await.expect("a file replaces a file");
    assert_eq!(listed().await, [of("c", 10)]);
    disk.remove(&root.join("c")).await.expect("it exists");
    assert_eq!(listed().await, []);
}

pub(super) async fn a_name_may_be_so_long_and_no_longer(env: Env, root: PathBuf) {
    let (longest, longer) = (root.join("x".repeat(255)), root.join("x".repeat(256)));
    create(&env, &longest, b"name").await;
    assert_eq!(open_kind(&env, &longest, OpenMode::Read).await, Ok(Bytes::from_static(b"name")));
    assert_eq!(open_kind(&env, &longer, OpenMode::CreateNew).await, Err(ErrorKind::InvalidFilename));
    let refused = env.disk.create_dir_all(&longer).await.expect_err("the name is too long");
    assert_eq!(refused.kind(), ErrorKind::InvalidFilename);
}

pub(super) async fn missing_names_are_not_found(env: Env, root: PathBuf) {
    let missing = root.join("missing");
    let disk = &env.disk;
    let kinds = [
        disk.list(&missing).await.expect_err("missing").kind(),
        disk.metadata(&missing).await.expect_err("missing").kind(),
        disk.remove(&missing).await.expect_err("missing").kind(),
        disk.remove_dir_all(&missing).await.expect_err("missing").kind(),
        disk.rename(&missing, &root.join("x")).await.expect_err("missing").kind(),
        disk.sync_dir(&missing).await.expect_err("missing").kind(),
        disk.sync_filesystem(&missing).await.expect_err("missing").kind(),
        disk.space(&missing).await.expect_err("missing").kind(),
        disk.lock(&missing.join("lock")).await.expect_err("missing").kind(),
    ];
    assert_eq!(kinds, [ErrorKind::NotFound; 9]);
    let file = create(&env, &root.join("file"), b"").await;
    let wrong = disk.list(file.path()).await.expect_err("a file has no entries");
    assert_eq!(wrong.kind(), ErrorKind::NotADirectory);
}

pub(super) async fn a_write_may_overtake_a_sync(env: Env, root: PathBuf) {
    let path = root.join("file");
    let file = create(&env, &path, b"covered").await;
    // The sync has begun with its first poll; the write is later and not covered by it.
    let mut sync = file.sync();
    let pending = std::future::poll_fn(|context| {
        let polled = sync.as_mut().poll(context);
        std::task::Poll::Ready(polled.is_pending())
    })
    .await;
    write(&*file, 7, b" later").await;
    if pending {
        sync.await.expect("a healthy disk");
    }
    assert_eq!(read(&*file).await, "covered later");
    file.sync().await.expect("a healthy disk");
}

pub(super) async fn many_files_are_synced(env: Env, root: PathBuf) {
    let mut files = Vec::new();
    for index in 0..100 {
        files.push(create(&env, &root.join(format!("file-{index}")), b"dirty").await);
    }
    env.disk.sync_files(&files).await.expect("a healthy disk");
    env.disk.sync_files(&files[..1]).await.expect("one file");
    env.disk.sync_files(&[]).await.expect("no file");
    env.disk.sync_dir(&root).await.expect("a healthy disk");
    env.disk.sync_filesystem(&root).await.expect("a healthy disk");
}

pub(super) async fn a_dropped_future_still_happens(env: Env, root: PathBuf) {
    let file = create(&env, &root.join("file"), b"0123456789").await;
    start_and_drop(file.truncate(4)).await;
    look_until(&env, async || file.size().await.expect("open") == 4).await;
    start_and_drop(file.write_at(4, &[Bytes::from_static(b"abc")])).await;
    look_until(&env, async || file.size().await.expect("open") == 7).await;
    start_and_drop(file.sync()).await;
    start_and_drop(env.disk.rename(&root.join("file"), &root.join("renamed"))).await;
    look_until(&env, async || open_kind(&env, &root.join("renamed"), OpenMode::Read).await.is_ok()).await;
    start_and_drop(env.disk.remove(&root.join("renamed"))).await;
    look_until(&env, async || open_kind(&env, &root.join("renamed"), OpenMode::Read).await.is_err()).await;
    assert_eq!(read(&*file).await, "0123abc");
    let below = root.join("a/b");
    start_and_drop(env.disk.create_dir_all(&below)).await;
    look_until(&env, async || env.disk.list(&below).await.is_ok()).await;
    start_and_drop(env.disk.open(&below.join("file"), OpenMode::CreateNew)).await;
    look_until(&env, async || open_kind(&env, &below.join("file"), OpenMode::Read).await.is_ok()).await;
    start_and_drop(env.disk.remove_dir_all(&root.join("a"))).await;
    look_until(&env, async || env.disk.list(&root).await.expect("it exists").is_empty()).await;
}

pub(super) async fn a_lock_that_nobody_waits_for_is_given_back(env: Env, root: PathBuf) {
    let path = root.join(".lock");
    start_and_drop(env.disk.lock(&path)).await;
    look_until(&env, async || env.disk.metadata(&path).await.is_ok()).await;
    look_until(&env, async || env.disk.lock(&path).await.is_ok()).await;
}

async fn look_until(env: &Env, happened: impl AsyncFn() -> bool) {
    for _ in 0..LOOKS_MAX {
        if happened().await {
            return;
        }
        env.sleep(Duration::from_millis(1)).await;
    }
    panic!("an operation that was started happens, also when nobody waits for it");
}

pub(super) async fn a_lock_excludes(env: Env, root: PathBuf) {
    let path = root.join(".lock");
    let held = env.disk.lock(&path).await.expect("nobody has it");
    for _ in 0..2 {
        let refused = env.disk.lock(&path).await.expect_err("it is held");
        assert_eq!(refused.kind(), ErrorKind::WouldBlock);
    }
    let other = env.disk.lock(&root.join("other")).await.expect("another lock");
    drop(held);
    let again = env.disk.lock(&path).await.expect("it was given back");
    assert_eq!(env.disk.metadata(&path).await.expect("a lock creates its file").kind, FileKind::File);
    drop((again, other));
}

pub(super) async fn space_and_times_are_plausible(env: Env, root: PathBuf) {
    let space = env.disk.space(&root).await.expect("it exists");
    assert!(space.usable_bytes > 0, "{space:?}");
    assert!(space.usable_bytes <= space.total_bytes, "{space:?}");
    create(&env, &root.join("file"), b"now").await;
    let entry = env.disk.metadata(&root.join("file")).await.expect("it exists");
    let age_ms = env.wall().0 - entry.modified_ms;
    assert!(age_ms.abs() < CLOCK_TOLERANCE_MS, "a fresh file is {age_ms} ms old");
}
