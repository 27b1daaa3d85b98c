//! What the volume makes durable, and when; which errors it gives; that room is accounted for.

use super::*;
use crate::fault::PowerFate;
use barnabas_base::Keyed;

const NOW_MS: i64 = 1_000;

fn volume() -> Volume {
    Volume::new(64 * BLOCK_BYTES, NOW_MS)
}

fn create(volume: &mut Volume, path: &str) -> Inode {
    volume.open(Path::new(path), OpenMode::CreateNew, NOW_MS).expect("a free name")
}

fn write(volume: &mut Volume, inode: Inode, offset: u64, bytes: &'static [u8]) {
    volume.write(inode, offset, Bytes::from_static(bytes), NOW_MS).expect("room for it");
}

fn content(volume: &Volume, path: &str) -> Option<Bytes> {
    let inode = volume.find(Path::new(path)).ok()?;
    volume.read(inode, 0, usize::MAX).ok()
}

/// Takes the power away so that everything unsynced is lost: the draws name the harshest outcome.
fn lose_everything(volume: &mut Volume) {
    lose(volume, |draw| draw.below(8) == 0);
}

/// Takes the power away with the first seed whose modes satisfy `wanted`.
fn lose(volume: &mut Volume, wanted: impl Fn(Keyed) -> bool) {
    let draw = |purpose: &'static str, entity: u64| {
        let mut seeds = (0..).map(|seed| Keyed::new(seed, purpose).with(entity));
        seeds.find(|draw| wanted(*draw)).expect("one in eight does")
    };
    volume.lose_power(&Fates::new(&draw, PowerFate::Drawn));
}

#[test]
fn synced_bytes_and_names_survive() {
    let mut volume = volume();
    let file = create(&mut volume, "/file");
    write(&mut volume, file, 0, b"synced");
    let upto = volume.last_change();
    write(&mut volume, file, 6, b" later");
    volume.sync_file(file, upto);
    volume.sync_dir(ROOT, upto);
    create(&mut volume, "/other");
    assert_eq!(content(&volume, "/file").expect("it exists"), "synced later");
    lose_everything(&mut volume);
    assert_eq!(content(&volume, "/file").expect("its name was synced"), "synced", "the write after the sync was lost");
    assert_eq!(content(&volume, "/other"), None, "its name was not synced");
}

#[test]
fn a_name_is_not_content() {
    let mut volume = volume();
    let file = create(&mut volume, "/checkpoint.tmp");
    write(&mut volume, file, 0, b"content");
    volume.rename(Path::new("/checkpoint.tmp"), Path::new("/checkpoint"), NOW_MS).expect("a free name");
    let upto = volume.last_change();
    volume.sync_dir(ROOT, upto);
    lose_everything(&mut volume);
    assert_eq!(content(&volume, "/checkpoint").expect("the rename was synced"), "", "its bytes were not");
    assert_eq!(content(&volume, "/checkpoint.tmp"), None);
}

#[test]
fn an_unsynced_rename_leaves_the_old_file() {
    let mut volume = volume();
    for (path, bytes) in [("/name", b"old"), ("/name.tmp", b"new")] {
        let file = create(&mut volume, path);
        write(&mut volume, file, 0, bytes);
    }
    let upto = volume.last_change();
    volume.sync_all(upto);
    volume.rename(Path::new("/name.tmp"), Path::new("/name"), NOW_MS).expect("both exist");
    assert_eq!(content(&volume, "/name").expect("it exists"), "new");
    lose_everything(&mut volume);
    assert_eq!(content(&volume, "/name").expect("it was synced"), "old");
    assert_eq!(content(&volume, "/name.tmp").expect("it was synced"), "new");
}

#[test]
fn syncing_one_end_of_a_rename_syncs_both() {
    let mut volume = volume();
    volume.create_dir_all(Path::new("/a"), NOW_MS).expect("a free name");
    volume.create_dir_all(Path::new("/b"), NOW_MS).expect("a free name");
    create(&mut volume, "/a/file");
    let upto = volume.last_change();
    volume.sync_all(upto);
    volume.rename(Path::new("/a/file"), Path::new("/b/file"), NOW_MS).expect("a free name");
    let (to, upto) = (volume.find(Path::new("/b")).expect("it exists"), volume.last_change());
    volume.sync_dir(to, upto);
    lose_everything(&mut volume);
    assert_eq!(content(&volume, "/a/file"), None);
    assert_eq!(content(&volume, "/b/file").expect("the rename was synced"), "");
}

#[test]
fn a_failed_flush_forgets_the_pages() {
    let mut volume = volume();
    let file = create(&mut volume, "/file");
    write(&mut volume, file, 0, b"dropped");
    let upto = volume.last_change();
    volume.drop_dirty(file, upto);
    assert_eq!(content(&volume, "/file").expect("it exists"), "dropped", "the cache still shows them");
    let upto = volume.last_change();
    volume.sync_all(upto);
    lose_everything(&mut volume);
    assert_eq!(
        content(&volume, "/file").expect("its name was synced"),
        "",
        "a second flush that succeeds proves nothing"
    );
}

#[test]
fn a_removed_name_may_come_back_with_its_bytes() {
    let mut volume = volume();
    let file = create(&mut volume, "/file");
    write(&mut volume, file, 0, b"bytes");
    let upto = volume.last_change();
    volume.sync_all(upto);
    volume.close(file);
    volume.remove(Path::new("/file"), NOW_MS).expect("it exists");
    assert_eq!(volume.space().usable_bytes, 64 * BLOCK_BYTES, "the room is free at once");
    lose_everything(&mut volume);
    assert_eq!(content(&volume, "/file").expect("the removal was not synced"), "bytes");
    assert_eq!(volume.space().usable_bytes, 63 * BLOCK_BYTES);
}

#[test]
fn everything_may_survive_without_a_sync() {
    let mut volume = volume();
    let file = create(&mut volume, "/file");
    write(&mut volume, file, 0, b"lucky");
    lose(&mut volume, |draw| matches!(draw.below(8), 1..=2));
    assert!(content(&volume, "/file").is_some(), "kinder outcomes are possible too");
}

#[test]
fn a_process_that_dies_leaves_the_cache() {
    let mut volume = volume();
    let file = create(&mut volume, "/file");
    volume.lock(file).expect("nobody has it");
    write(&mut volume, file, 0, b"cached");
    volume.remove(Path::new("/file"), NOW_MS).expect("it exists");
    assert_eq!(volume.space().usable_bytes, 63 * BLOCK_BYTES, "an open file keeps its room");
    volume.close_all();
    assert_eq!(volume.space().usable_bytes, 64 * BLOCK_BYTES);
    let file = create(&mut volume, "/file");
    volume.lock(file).expect("locks end with the process");
}

#[test]
fn a_full_disk_takes_what_fits() {
    let mut volume = volume();
    let file = create(&mut volume, "/file");
    let much = Bytes::from(vec![1; 65 * 4096]);
    let refused = volume.write(file, 0, much, NOW_MS).expect_err("65 blocks do not fit 64");
    assert_eq!(refused.kind(), ErrorKind::StorageFull);
    assert_eq!(volume.size(file).expect("open"), 64 * BLOCK_BYTES, "a short write wrote a prefix");
    assert_eq!(volume.space().usable_bytes, 0);
    volume.truncate(file, 1, NOW_MS).expect("cutting needs no room");
    assert_eq!(volume.space().usable_bytes, 63 * BLOCK_BYTES);
    volume.allocate(file, 64 * BLOCK_BYTES).expect("it fits exactly");
    assert_eq!(volume.space().usable_bytes, 0);
    let refused = volume.allocate(file, 65 * BLOCK_BYTES).expect_err("one too many");
    assert_eq!(refused.kind(), ErrorKind::StorageFull);
}

#[test]
fn unreachable_objects_are_dropped() {
    let mut volume = volume();
    for round in 0..10 * ORPHANS_MAX {
        let path = format!("/file-{round}");
        let file = create(&mut volume, &path);
        volume.close(file);
        volume.remove(Path::new(&path), NOW_MS).expect("it exists");
        let upto = volume.last_change();
        volume.sync_dir(ROOT, upto);
    }
    assert!(volume.objects.len() <= ORPHANS_MAX + 1, "{} objects", volume.objects.len());
}

#[test]
fn old_changes_are_written_back_by_themselves() {
    let mut volume = volume();
    let file = create(&mut volume, "/file");
    write(&mut volume, file, 0, b"old");
    let upto = volume.last_change();
    volume.sync_dir(ROOT, upto);
    let later_ms = NOW_MS + WRITEBACK_MS + 1;
    volume.write(file, 3, Bytes::from_static(b" new"), later_ms).expect("room for it");
    lose_everything(&mut volume);
    assert_eq!(content(&volume, "/file").expect("its name was synced"), "old");
}
