//! Too little room, or no descriptor: nothing is lost by it, and all goes on when there is again.

use super::*;

#[test]
fn a_full_device_refuses_writes_and_heals() {
    for seed in 0..20 {
        simulate(seed, Config { disk_bytes: 3_000_000, ..Config::default() }, move |world| {
            let node = world.node("broker");
            let (disk, small) =
                (node.clone(), LogConfig { segment_bytes: 100_000, file_delete_delay_ms: 0, ..LogConfig::default() });
            let config = small.clone();
            let kept = live(world, &node, move |env| {
                let (disk, config) = (disk.clone(), config.clone());
                Box::pin(async move {
                    let (_owner, directory) = start(&env, "/one").await;
                    let log = open(&directory, 0, config).await;
                    let full = loop {
                        match append(&log, batch(20_000)).await {
                            Ok(_) => {}
                            Err(error) => break error,
                        }
                    };
                    assert!(matches!(full, AppendError::Full), "{full}");
                    assert!(!directory.is_offline(), "a full device is not a broken one");
                    let end = log.end_offset();
                    assert_eq!(readable(&log).await, usize::try_from(end.0).expect("small"), "reading goes on");
                    // Deleting works on a full device, and makes room.
                    let start = log.delete_records_before(Offset(end.0 / 2)).await.expect("deletes");
                    env.sleep(Duration::from_millis(50)).await;
                    append(&log, batch(20_000)).await.expect("there is room again");
                    disk.set_disk_bytes(100_000_000);
                    for _ in 0..20 {
                        append(&log, batch(20_000)).await.expect("there is room");
                    }
                    (start, log.end_offset())
                })
            });
            node.power_loss();
            live(world, &node, move |env| {
                let config = small.clone();
                Box::pin(async move {
                    let (_owner, directory) = start(&env, "/one").await;
                    let log = open(&directory, 0, config).await;
                    log.wait_high_watermark(kept.1).await.expect("works");
                    assert_eq!((log.log_start_offset(), log.end_offset()), kept);
                    assert_eq!(log.damaged_ranges(), []);
                    assert_eq!(readable(&log).await, usize::try_from(kept.1.0 - kept.0.0).expect("small"));
                })
            });
        });
    }
}

/// A folder may need another block for a longer name, and there is none: deleting must make room all the same.
#[test]
fn segments_go_without_room_for_another_name() {
    simulate(4, Config::default(), |world| {
        let node = world.node("broker");
        let full = node.clone();
        live(world, &node, move |env| {
            let full = full.clone();
            Box::pin(async move {
                let (_owner, directory) = start(&env, "/one").await;
                let log = open(&directory, 0, LogConfig { segment_bytes: 5_000, ..LogConfig::default() }).await;
                for _ in 0..20 {
                    append(&log, batch(2_000)).await.expect("works");
                }
                failing(&full, DiskCallKind::Rename, ".log", DiskVerdict::Fail(NO_SPACE));
                assert_eq!(log.delete_records_before(Offset(15)).await, Ok(Offset(15)));
                assert!(!directory.is_offline());
                assert_eq!(readable(&log).await, 5);
            })
        });
        let is_deleted = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "deleted");
        let of_log = |path: &PathBuf| path.to_string_lossy().ends_with(".log");
        let paths = node.paths();
        assert!(!paths.iter().any(|path| of_log(path) && is_deleted(path)));
        assert!(paths.iter().filter(|path| of_log(path)).count() <= 4, "{paths:?}");
    });
}

#[test]
fn a_point_that_finds_no_room_leaves_no_snapshot() {
    simulate(3, Config::default(), |world| {
        let node = world.node("broker");
        let full = node.clone();
        live(world, &node, move |env| {
            let full = full.clone();
            Box::pin(async move {
                let (_owner, directory) = start_with(&env, "/one", &settling_often()).await;
                let log = open(&directory, 0, LogConfig::default()).await;
                failing(&full, DiskCallKind::Write, "barnabas-check", DiskVerdict::Short(0));
                for _ in 0..20 {
                    append(&log, batch(2_000)).await.expect("records have room");
                    env.sleep(Duration::from_millis(50)).await;
                }
                assert!(!directory.is_offline());
            })
        });
        let is_snapshot = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "snapshot");
        assert_eq!(node.paths().iter().filter(|path| is_snapshot(path)).count(), 0);
    });
}

/// What lacked a descriptor on the way to its sync must not be passed over by the next commit.
#[test]
fn a_commit_that_lacks_descriptors_is_made_again() {
    for kind in [DiskCallKind::SyncDir, DiskCallKind::Open] {
        simulate(6, Config::default(), move |world| {
            let node = world.node("broker");
            let short = node.clone();
            live(world, &node, move |env| {
                let short = short.clone();
                Box::pin(async move {
                    let (_owner, directory) = start(&env, "/one").await;
                    let log = open(&directory, 0, LogConfig::default()).await;
                    let path = if kind == DiskCallKind::SyncDir { "/one" } else { "journal" };
                    failing(&short, kind, path, DiskVerdict::NO_DESCRIPTORS);
                    let is_written = Rc::new(Cell::new(false));
                    let (first, flag) = (Rc::clone(&log), Rc::clone(&is_written));
                    let mut appending = env.spawn("append", async move {
                        append(&first, batch(100)).await.expect("there are descriptors again");
                        flag.set(true);
                    });
                    env.sleep(Duration::from_secs(1)).await;
                    let is_early = kind == DiskCallKind::SyncDir && is_written.get();
                    assert!(!is_early, "nothing is durable while its folder is not");
                    short.on_disk_call(|_| DiskVerdict::Pass);
                    append(&log, batch(100)).await.expect("works");
                    assert!(is_written.get(), "what came first is durable before what came after");
                    appending.join().await;
                    assert!(!directory.is_offline());
                })
            });
            node.power_loss_with(PowerFate::Nothing);
            live(world, &node, move |env| {
                Box::pin(async move {
                    let (_owner, directory) = start(&env, "/one").await;
                    let log = open(&directory, 0, LogConfig::default()).await;
                    log.wait_high_watermark(Offset(2)).await.expect("works");
                    assert_eq!((readable(&log).await, log.damaged_ranges()), (2, Vec::new()));
                })
            });
        });
    }
}

fn has_suffix(path: &Path, suffix: &str) -> bool {
    path.to_string_lossy().ends_with(suffix)
}

fn is_of_cleaning(path: &Path) -> bool {
    has_suffix(path, ".cleaned") || has_suffix(path, ".swap")
}

/// Three to a segment, of which the middle one stays.
async fn fill_segments(log: &Rc<Log>) {
    for index in 0..18 {
        let key = if index % 3 == 1 { format!("{index}") } else { "key".to_owned() };
        append(log, keyed(&key, 1_500)).await.expect("works");
    }
}

fn compacted() -> LogConfig {
    LogConfig { segment_bytes: 5_000, cleanup: COMPACT, ..LogConfig::default() }
}

/// A start takes what follows a `.cleaned` file for unfinished: one that is left over would cost a segment.
#[test]
fn a_cleaning_without_room_leaves_nothing_behind() {
    for (kind, path) in [
        (DiskCallKind::Open, ".index.cleaned"),
        (DiskCallKind::Sync, ".log.cleaned"),
        (DiskCallKind::Rename, ".cleaned"),
    ] {
        simulate(7, Config::default(), move |world| {
            let node = world.node("broker");
            let full = node.clone();
            live(world, &node, move |env| {
                let full = full.clone();
                Box::pin(async move {
                    let (_owner, directory) = start(&env, "/one").await;
                    let log = open(&directory, 0, compacted()).await;
                    fill_segments(&log).await;
                    failing(
                        &full,
                        kind,
                        path,
                        if kind == DiskCallKind::Open { DiskVerdict::NO_DESCRIPTORS } else { DiskVerdict::NO_SPACE },
                    );
                    let outcome = log.clean(None).await;
                    outcome.expect_err("there is no room");
                    assert!(!directory.is_offline());
                    let left = full.paths();
                    assert_eq!(left.iter().find(|path| is_of_cleaning(path)), None);
                    full.on_disk_call(|_| DiskVerdict::Pass);
                    log.clean(None).await.expect("there is room");
                    assert_eq!(readable(&log).await, 18, "offsets stay");
                })
            });
        });
    }
}

/// A log that lacks descriptors to be created or loaded says that this passes, and opens whole once there are some.
#[test]
fn a_log_that_lacks_descriptors_opens_later() {
    for part in ["partition.metadata", ".log"] {
        simulate(10, Config::default(), move |world| {
            let node = world.node("broker");
            for life in 0..2 {
                let short = node.clone();
                live(world, &node, move |env| {
                    let short = short.clone();
                    Box::pin(async move {
                        let (_owner, directory) = start(&env, "/one").await;
                        // Going through a folder to remove it takes a descriptor as well.
                        short.on_disk_call(move |call| {
                            let is_it = call.kind == DiskCallKind::Open && call.path.to_string_lossy().contains(part);
                            let lacks = is_it || call.kind == DiskCallKind::Remove;
                            if lacks { DiskVerdict::NO_DESCRIPTORS } else { DiskVerdict::Pass }
                        });
                        for _ in 0..2 {
                            let refused = try_load(&directory, 0, LogConfig::default()).await;
                            let passes = matches!(&refused, Err(OpenLogError::Storage(error)) if error.passes);
                            assert!(passes, "{part}, life {life}: {:?}", refused.err());
                        }
                        short.on_disk_call(|_| DiskVerdict::Pass);
                        let log = open(&directory, 0, LogConfig::default()).await;
                        append(&log, batch(100)).await.expect("works");
                        assert_eq!((readable(&log).await, log.damaged_ranges()), (life + 1, Vec::new()));
                        assert!(!directory.is_offline());
                    })
                });
                node.power_loss_with(PowerFate::Nothing);
            }
        });
    }
}

/// From the moment at which a cleaned segment begins to take its place there is no way back.
#[test]
fn half_a_swap_waits_for_room_and_descriptors() {
    for (kind, suffix, verdict) in [
        (DiskCallKind::SyncDir, "t-0", DiskVerdict::NO_DESCRIPTORS),
        (DiskCallKind::Rename, "0.log", DiskVerdict::NO_SPACE),
        (DiskCallKind::Rename, ".swap", DiskVerdict::NO_SPACE),
    ] {
        simulate(8, Config::default(), move |world| {
            let node = world.node("broker");
            let short = node.clone();
            live(world, &node, move |env| {
                let short = short.clone();
                Box::pin(async move {
                    let (_owner, directory) = start(&env, "/one").await;
                    let log = open(&directory, 0, compacted()).await;
                    fill_segments(&log).await;
                    short.on_disk_call(move |call| {
                        let is_it = call.kind == kind && has_suffix(call.path, suffix);
                        if is_it { verdict } else { DiskVerdict::Pass }
                    });
                    let cleaned = Rc::clone(&log);
                    let mut cleaning =
                        env.spawn("cleaning", async move { cleaned.clean(None).await.map(drop).expect("cleans") });
                    env.sleep(Duration::from_secs(2)).await;
                    assert_eq!(readable(&log).await, 18, "what is cleaned is read on the way");
                    short.on_disk_call(|_| DiskVerdict::Pass);
                    cleaning.join().await;
                    assert!(!directory.is_offline());
                    assert!(!short.paths().iter().any(|path| is_of_cleaning(path)));
                })
            });
            node.power_loss_with(PowerFate::Nothing);
            find_whole(world, &node, &compacted(), 18);
        });
    }
}

/// A journal file whose table found no room has left the other one all the same, which a checkpoint must free.
#[test]
fn a_journal_whose_table_finds_no_room_goes_on() {
    simulate(9, Config::default(), |world| {
        let node = world.node("broker");
        let full = node.clone();
        live(world, &node, move |env| {
            let full = full.clone();
            Box::pin(async move {
                let small = ShardOptions {
                    commit: CommitLimits { warms_journal: false, ..CommitLimits::of_journal_file(16_384) },
                    ..ShardOptions::new(Budget::new(|_| 1 << 20))
                };
                let (_owner, directory) = start_with(&env, "/one", &small).await;
                let log = open(&directory, 0, LogConfig::default()).await;
                // Entries stand behind the first block, which names the file.
                full.on_disk_call(|call| {
                    let is_table =
                        call.kind == DiskCallKind::Write && has_suffix(call.path, "journal-0.b") && call.offset > 0;
                    if is_table { DiskVerdict::NO_SPACE } else { DiskVerdict::Pass }
                });
                for _ in 0..200 {
                    append(&log, batch(200)).await.expect("the log has room");
                }
                full.on_disk_call(|_| DiskVerdict::Pass);
                assert_eq!(log.delete_records_before(Offset(100)).await, Ok(Offset(100)));
                assert!(!directory.is_offline());
            })
        });
    });
}

/// Room that was to be reserved for another segment is not there: the log must neither go on below an empty file of a
/// higher name, which a start takes for its end, nor need what only helps.
#[test]
fn a_segment_that_cannot_be_reserved_is_begun_all_the_same() {
    for verdict in [DiskVerdict::NO_SPACE, DiskVerdict::Fail(NOT_SUPPORTED)] {
        simulate(10, Config::default(), move |world| {
            let node = world.node("broker");
            let config = LogConfig { preallocate: true, segment_bytes: 4_000, ..LogConfig::default() };
            failing(&node, DiskCallKind::Allocate, "/one", verdict);
            let first = config.clone();
            live(world, &node, move |env| {
                let first = first.clone();
                Box::pin(async move {
                    let (owner, directory) = start(&env, "/one").await;
                    let log = open(&directory, 0, first).await;
                    for size in [1_500, 1_500, 1_500, 100] {
                        append(&log, batch(size)).await.expect("the device has room for records");
                    }
                    assert_eq!(log.segment_count(), 2);
                    stop(owner, &directory).await;
                })
            });
            find_whole(world, &node, &config, 4);
        });
    }
}

/// A start that lacks descriptors opens some logs and not others, and is stopped before it gets to them.
#[test]
fn a_log_that_was_never_opened_is_known_to_the_next_start() {
    simulate(12, Config::default(), |world| {
        let node = world.node("broker");
        live(world, &node, |env| {
            Box::pin(async move {
                let (owner, directory) = start(&env, "/one").await;
                let log = open(&directory, 0, compacted()).await;
                fill_segments(&log).await;
                log.clean(None).await.expect("cleans");
                stop(owner, &directory).await;
            })
        });
        for _ in 0..2 {
            live(world, &node, |env| {
                Box::pin(async move {
                    let (mut owner, directory) = start(&env, "/one").await;
                    owner.checkpoint(vec![directory.report()]).await.expect("works");
                    let report = directory.close().await.expect("closes");
                    let stopped = owner.close(vec![report], 2).await.expect_err("it was no clean stop");
                    assert!(stopped.to_string().contains("the log in t-0 was never opened"), "{stopped}");
                })
            });
        }
        find_whole(world, &node, &compacted(), 18);
    });
}

/// A device that promised more room than it has: the kernel says once that it could not write, to whoever syncs first.
#[test]
fn a_segment_that_is_sealed_without_room_takes_its_directory_offline() {
    simulate(13, Config::default(), |world| {
        let node = world.node("broker");
        let thin = node.clone();
        live(world, &node, move |env| {
            let thin = thin.clone();
            Box::pin(async move {
                let (_owner, directory) = start(&env, "/one").await;
                let log = open(&directory, 0, LogConfig { segment_bytes: 4_000, ..LogConfig::default() }).await;
                for _ in 0..2 {
                    append(&log, batch(1_500)).await.expect("works");
                }
                failing(&thin, DiskCallKind::Sync, "00000000000000000000.log", DiskVerdict::NO_SPACE);
                // It goes into the next segment, and is durable or not; the one before is sealed.
                drop(append(&log, batch(1_500)).await);
                directory.offline().await;
            })
        });
    });
}
