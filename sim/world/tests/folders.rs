//! Folders and log directories that are not where the metadata says: moved, renamed, of another topic, away, broken.
//! Nothing of them is lost by a start.
//! Driven over the wire against the whole broker, whose disk is changed while it stands.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use barnabas_runtime_madsim::{DiskCallKind, DiskVerdict};
use barnabas_sim_world::{RawClient, Scene, play, requests};
use barnabas_wire::message::create_topics::CreatableTopicConfig;
use barnabas_wire::message::metadata::MetadataRequestTopic;
use barnabas_wire::message::{DescribeLogDirsRequest, MetadataRequest, ProduceResponse};
use barnabas_wire::record::BatchOptions;
use barnabas_wire::{ErrorCode, Records, ResponseBody};

const PRODUCE: i16 = 12;
const METADATA: &str = "__cluster_metadata-0";
const DIRECTORIES: [&str; 3] = ["/data/a", "/data/b", "/data/c"];
const PARTITIONS: i32 = 12;
const SEVERAL: [(&str, &str); 1] = [("log.dirs", "/data/a,/data/b,/data/c")];

async fn produce(client: &mut RawClient, topic: &str) -> i64 {
    let records = requests::batch(BatchOptions::default(), &[&[7; 100]]);
    let response = client.call(PRODUCE, requests::produce(topic, 0, -1, records)).await;
    let answer = &response.responses[0].partition_responses[0];
    assert_eq!(answer.error_code, 0, "{answer:?}");
    answer.base_offset
}

fn is_accepted(answer: &ProduceResponse) -> bool {
    answer.responses[0].partition_responses[0].error_code == 0
}

async fn create(client: &mut RawClient, topic: &str, partitions: i32) {
    let created = client.call(7, requests::create_topic(topic, partitions)).await;
    assert_eq!(created.topics[0].error_code, 0, "{created:?}");
}

/// A topic of three records, and the broker stopped.
fn three_records(scene: &Scene) {
    scene.visit(async |visitor| {
        let mut client = visitor.connect().await;
        create(&mut client, "t", 1).await;
        for expected in 0..3 {
            assert_eq!(produce(&mut client, "t").await, expected);
        }
    });
    scene.broker().stop().expect("it stops");
}

fn next_offset(scene: &Scene) -> i64 {
    scene.visit(async |visitor| produce(&mut visitor.connect().await, "t").await)
}

/// The files named `file`, with how many bytes each has.
fn found(scene: &Scene, file: &str) -> BTreeMap<PathBuf, usize> {
    let files = scene.broker().machine().files().into_iter();
    files.filter(|(path, _)| path.ends_with(file)).map(|(path, content)| (path, content.len())).collect()
}

/// Size of the first segment in the one folder that was set apart from `folder`.
fn kept_bytes(scene: &Scene, folder: &str) -> usize {
    let is_kept = |path: &Path| {
        let name = path.parent().and_then(Path::file_name).and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with(&format!("{folder}.")) && name.ends_with("-stray"))
    };
    let segments = found(scene, "00000000000000000000.log");
    let mut kept = segments.iter().filter(|(path, _)| is_kept(path));
    let (_, bytes) = kept.next().expect("the folder is kept under another name");
    assert!(kept.next().is_none(), "and once: {segments:?}");
    *bytes
}

/// Turns one letter of a topic id into another.
fn change_topic_id(scene: &Scene, file: &Path) {
    let machine = scene.broker().machine();
    let files = machine.files();
    let (_, content) = files.iter().find(|(path, _)| path == file).expect("it is there");
    let id_at = content.windows(10).position(|window| window == b"topic_id: ").expect("it names a topic") + 10;
    // So many bits as rot is never taken for: all letters but the last, of which not every one ends an id.
    for at in id_at..id_at + 21 {
        let bit = (0..8).find(|bit| (content[at] ^ (1 << bit)).is_ascii_alphanumeric()).expect("a letter one bit away");
        assert!(machine.flip_bit(file, at as u64, bit));
    }
}

#[test]
fn a_folder_of_another_topic_is_kept_and_the_topic_begins_anew() {
    play(1, &[], |scene| {
        three_records(scene);
        let segment = Path::new("/data/t-0/00000000000000000000.log");
        let before = found(scene, "00000000000000000000.log")[segment];
        assert!(before > 0);
        change_topic_id(scene, Path::new("/data/t-0/partition.metadata"));
        scene.broker().start().expect("one folder is no reason not to start");
        assert_eq!(next_offset(scene), 0);
        assert_eq!(kept_bytes(scene, "t-0"), before);
        scene.broker().stop().expect("it stops");
        scene.broker().start().expect("it starts");
        assert_eq!(kept_bytes(scene, "t-0"), before, "it is left alone from then on");
    });
}

#[test]
fn a_folder_that_no_topic_has_is_kept() {
    play(2, &[], |scene| {
        three_records(scene);
        let before = found(scene, "00000000000000000000.log")[Path::new("/data/t-0/00000000000000000000.log")];
        scene.broker().machine().move_file(Path::new("/data/t-0"), Path::new("/data/foo-0"));
        scene.broker().start().expect("one folder is no reason not to start");
        assert_eq!(kept_bytes(scene, "foo-0"), before);
        assert_eq!(next_offset(scene), 0);
    });
}

#[test]
fn a_start_without_the_metadata_log_is_refused_beside_partitions() {
    play(3, &[], |scene| {
        three_records(scene);
        let (metadata, away) = (Path::new("/data").join(METADATA), Path::new("/data/away"));
        scene.broker().machine().move_file(&metadata, away);
        for _ in 0..2 {
            let refusal = scene.broker().start().expect_err("nobody would know the partitions");
            assert!(refusal.contains("t-0") && refusal.contains("metadata log in /data is empty"), "{refusal}");
        }
        // What the refused start made.
        scene.broker().machine().move_file(&metadata, Path::new("/data/made-by-the-refused-start"));
        scene.broker().machine().move_file(away, &metadata);
        scene.broker().start().expect("it is back");
        assert_eq!(next_offset(scene), 3);
    });
}

#[test]
fn a_metadata_log_in_another_directory_is_not_begun_anew() {
    play(4, &SEVERAL, |scene| {
        three_records(scene);
        let [here, there, _] = DIRECTORIES.map(|directory| Path::new(directory).join(METADATA));
        scene.broker().machine().move_file(&here, &there);
        let refusal = scene.broker().start().expect_err("a new cluster would begin");
        let words = "Found unexpected metadata location in data directory `/data/b` (the configured metadata directory is \
                     `/data/a`).";
        assert!(refusal.starts_with(words), "{refusal}");
        let begun: Vec<_> =
            scene.broker().machine().paths().into_iter().filter(|path| path.starts_with(&here)).collect();
        assert_eq!(begun, Vec::<PathBuf>::new(), "nothing was begun");
        scene.broker().machine().move_file(&there, &here);
        scene.broker().start().expect("it is back");
        assert_eq!(next_offset(scene), 3);
    });
}

/// The folder of a partition.
fn folder_of(scene: &Scene, name: &str) -> PathBuf {
    let segments = found(scene, "00000000000000000000.log");
    let mut folders = segments.into_keys().filter_map(|path| path.parent().map(Path::to_owned));
    folders.find(|folder| folder.ends_with(name)).expect("the partition has a folder")
}

#[test]
fn a_partition_in_two_directories_is_not_begun_with_either() {
    play(7, &SEVERAL, |scene| {
        scene.visit(async |visitor| create(&mut visitor.connect().await, "u", 12).await);
        three_records(scene);
        let folder = folder_of(scene, "t-0");
        let others = (0..12).map(|index| folder_of(scene, &format!("u-{index}")));
        let other = others.into_iter().find(|other| other.parent() != folder.parent()).expect("twelve are spread");
        let twin = other.with_file_name("t-0");
        scene.broker().machine().move_file(&other, &twin);
        let refusal = scene.broker().start().expect_err("either may have the records");
        assert!(refusal.starts_with("Duplicate log directories for t-0 are found in both /data/"), "{refusal}");
        scene.broker().machine().move_file(&twin, &other);
        scene.broker().start().expect("there is one of each");
        assert_eq!(next_offset(scene), 3);
    });
}

#[test]
fn a_topic_may_be_named_like_a_journal() {
    const NAME: &str = ".barnabas-journal";
    play(6, &[], |scene| {
        scene.visit(async |visitor| {
            let mut client = visitor.connect().await;
            create(&mut client, NAME, 2).await;
            assert_eq!(produce(&mut client, NAME).await, 0);
        });
        for expected in 1..4 {
            if expected == 2 {
                scene.broker().machine().crash();
            } else {
                scene.broker().stop().expect("it stops");
            }
            scene.broker().start().expect("it starts");
            let offset = scene.visit(async |visitor| produce(&mut visitor.connect().await, NAME).await);
            assert_eq!(offset, expected);
        }
    });
}

/// What a reader finds at an offset of a topic of one partition: an error code, and where the first batch begins.
async fn fetch_at(client: &mut RawClient, topic: &str, offset: i64) -> (i16, Option<i64>) {
    let answer = client.call(12, requests::fetch(topic, 0, offset)).await;
    let partition = &answer.responses[0].partitions[0];
    let Records::Bytes(bytes) = &partition.records else { return (partition.error_code, None) };
    (partition.error_code, bytes.first_chunk().map(|first| i64::from_be_bytes(*first)))
}

/// Removes or empties one segment of a log of four, while the broker stands.
fn without_segment(seed: u64, position: usize, is_emptied: bool) {
    play(seed, &[("log.index.interval.bytes", "0")], move |scene| {
        scene.visit(async |visitor| {
            let mut client = visitor.connect().await;
            let mut request = requests::create_topic("t", 1);
            let config =
                CreatableTopicConfig { name: "internal.segment.bytes".to_owned(), value: Some("500".to_owned()) };
            request.topics[0].configs.push(config);
            assert_eq!(client.call(7, request).await.topics[0].error_code, 0);
            for expected in 0..8 {
                assert_eq!(produce(&mut client, "t").await, expected);
            }
        });
        scene.broker().stop().expect("it stops");
        let segments: Vec<i64> = (scene.broker().machine().paths().iter())
            .filter(|path| path.starts_with("/data/t-0") && path.extension().is_some_and(|ending| ending == "log"))
            .map(|path| path.file_stem().and_then(|name| name.to_str()).expect("a name").parse().expect("an offset"))
            .collect();
        assert!(segments.len() >= 4, "{segments:?}");
        let (from, to) = (segments[position], segments[position + 1]);
        let path = PathBuf::from(format!("/data/t-0/{from:020}.log"));
        if is_emptied {
            scene.broker().machine().empty_file(&path);
        } else {
            scene.broker().machine().move_file(&path, Path::new("/data/away"));
        }
        for _ in 0..2 {
            scene.broker().start().expect("one log is no reason not to start");
            scene.visit(async move |visitor| {
                let mut client = visitor.connect().await;
                for offset in from..to {
                    let found = fetch_at(&mut client, "t", offset).await;
                    assert_eq!(found, (ErrorCode::CorruptMessage.code(), None), "offset {offset} of {from} to {to}");
                }
                for offset in (0..from).chain(to..8) {
                    let (code, first) = fetch_at(&mut client, "t", offset).await;
                    assert_eq!((code, first), (0, Some(offset)));
                }
                let start = client.call(7, requests::list_offset("t", 0, -2)).await;
                assert_eq!(start.topics[0].partitions[0].offset, 0);
            });
            scene.broker().stop().expect("it stops");
        }
    });
}

#[test]
fn what_a_segment_held_that_is_gone_or_empty_is_listed_as_damage() {
    for (seed, is_emptied) in [(7, false), (8, true)] {
        for position in 0..3 {
            without_segment(seed, position, is_emptied);
        }
    }
}

#[test]
fn a_broker_whose_folder_has_gone_does_not_go_on() {
    play(9, &[("log.flush.offset.checkpoint.interval.ms", "1000")], |scene| {
        scene.visit(async |visitor| create(&mut visitor.connect().await, "t", 1).await);
        scene.broker().machine().move_file(Path::new("/data"), Path::new("/gone"));
        scene.visit(async |visitor| {
            let mut client = visitor.connect().await;
            let mut acknowledged = 0;
            loop {
                let records = requests::batch(BatchOptions::default(), &[&[7; 100]]);
                match client.ask(PRODUCE, requests::produce("t", 0, -1, records)).await {
                    Ok(ResponseBody::Produce(answer)) if is_accepted(&answer) => acknowledged += 1,
                    Ok(_) | Err(_) => break,
                }
                assert!(acknowledged < 100, "it goes on");
                visitor.env.sleep(Duration::from_millis(100)).await;
            }
        });
        let ended = scene.world().run_until(Duration::from_secs(60), || !scene.broker().machine().is_running());
        assert!(ended && scene.broker().failure().is_some(), "it ends, and says why");
    });
}

#[test]
fn partitions_of_one_topic_are_spread_over_the_directories() {
    play(5, &SEVERAL, |scene| {
        scene.visit(async |visitor| create(&mut visitor.connect().await, "t", 12).await);
        let files = found(scene, "partition.metadata");
        let in_directory =
            |directory: &&str| files.keys().filter(|path| path.starts_with(directory) && is_of_t(path)).count();
        let counts = DIRECTORIES.each_ref().map(in_directory);
        // Each of two shards gives every directory a third of its own.
        assert_eq!(counts.iter().sum::<usize>(), 12);
        assert!(counts.iter().all(|count| (2..=6).contains(count)), "{counts:?}");
    });
}

/// What a producer is told of each partition of `t`: an error code and an offset.
fn told(scene: &Scene) -> Vec<(i16, i64)> {
    scene.visit(async |visitor| {
        let mut client = visitor.connect().await;
        let mut told = Vec::new();
        for index in 0..PARTITIONS {
            let records = requests::batch(BatchOptions::default(), &[&[7; 100]]);
            let response = client.call(PRODUCE, requests::produce("t", index, -1, records)).await;
            let answer = &response.responses[0].partition_responses[0];
            told.push((answer.error_code, answer.base_offset));
        }
        told
    })
}

/// A topic of twelve partitions over three directories with a record in each, the broker stopped, and how many of them the
/// second directory has.
fn twelve_partitions(scene: &Scene) -> usize {
    scene.visit(async |visitor| create(&mut visitor.connect().await, "t", PARTITIONS).await);
    assert!(told(scene).iter().all(|answer| *answer == (0, 0)));
    scene.broker().stop().expect("it stops");
    let files = found(scene, "partition.metadata");
    let count = files.keys().filter(|path| path.starts_with(DIRECTORIES[1]) && is_of_t(path)).count();
    assert!((1..12).contains(&count), "{count}");
    count
}

/// Starts the broker and expects `away` partitions to be offline and the others to go on at `offset`; stops it.
fn serves_but(scene: &Scene, away: usize, offset: i64) {
    scene.broker().start().expect("the others serve");
    let answers = told(scene);
    let offline = answers.iter().filter(|(code, _)| *code == ErrorCode::KafkaStorageError.code()).count();
    let served = answers.iter().filter(|answer| **answer == (0, offset)).count();
    assert_eq!((offline, served), (away, 12 - away), "{answers:?}");
    assert_eq!(leaderless(scene), away);
    scene.broker().stop().expect("it stops");
}

/// How many partitions of `t` clients are told to have no leader, and an offline replica.
fn leaderless(scene: &Scene) -> usize {
    let metadata = scene.visit(async |visitor| {
        let mut client = visitor.connect().await;
        let topics = Some(vec![MetadataRequestTopic { name: Some("t".to_owned()), ..MetadataRequestTopic::default() }]);
        client.call(12, MetadataRequest { topics, ..MetadataRequest::default() }).await
    });
    let partitions = &metadata.topics[0].partitions;
    let leaderless = partitions.iter().filter(|partition| partition.leader_id == -1);
    assert!(leaderless.clone().all(|partition| partition.offline_replicas == partition.replica_nodes));
    leaderless.count()
}

#[test]
fn partitions_whose_directory_is_away_wait_for_it() {
    play(10, &SEVERAL, |scene| {
        let away = twelve_partitions(scene);
        scene.broker().configure("log.dirs", "/data/a,/data/c");
        serves_but(scene, away, 1);
        serves_but(scene, away, 2);
        scene.broker().configure("log.dirs", "/data/a,/data/b,/data/c");
        scene.broker().start().expect("it is back");
        let answers = told(scene);
        assert_eq!(answers.iter().filter(|answer| **answer == (0, 1)).count(), away, "{answers:?}");
        assert_eq!(answers.iter().filter(|answer| **answer == (0, 3)).count(), 12 - away, "{answers:?}");
    });
}

#[test]
fn an_empty_directory_in_the_place_of_one_that_is_missing_is_not_begun() {
    play(11, &SEVERAL, |scene| {
        twelve_partitions(scene);
        for (index, words) in [
            (1, "No meta.properties found in /data/b, and this broker had 1 log directories that are not there"),
            (0, "/data/a has no meta.properties, and /data/b has one: the metadata log is looked for in"),
        ] {
            let directory = Path::new(DIRECTORIES[index]);
            scene.broker().machine().move_file(directory, Path::new("/away"));
            let refusal = scene.broker().start().expect_err("it may not be mounted");
            assert!(refusal.starts_with(words), "{refusal}");
            let paths = scene.broker().machine().paths();
            assert!(!paths.iter().any(|path| path.starts_with(directory)), "nothing was begun: {paths:?}");
            scene.broker().machine().move_file(Path::new("/away"), directory);
        }
        serves_but(scene, 0, 1);
        // One that is named for the first time is begun.
        scene.broker().configure("log.dirs", "/data/a,/data/b,/data/c,/data/d");
        serves_but(scene, 0, 2);
        assert!(scene.broker().machine().paths().iter().any(|path| path.starts_with("/data/d")));
    });
}

#[test]
fn a_directory_that_cannot_be_opened_is_gone_without() {
    play(12, &SEVERAL, |scene| {
        let away = twelve_partitions(scene);
        let machine = scene.broker().machine();
        machine.move_file(Path::new("/data/b"), Path::new("/away"));
        machine.move_file(Path::new("/data/c/cleaner-offset-checkpoint"), Path::new("/data/b"));
        serves_but(scene, away, 1);
        scene.broker().start().expect("the others serve");
        let described = scene.visit(async |visitor| {
            let mut client = visitor.connect().await;
            client.call(4, DescribeLogDirsRequest { topics: None }).await
        });
        let of =
            |path: &str| described.results.iter().find(|result| result.log_dir == path).map(|result| result.error_code);
        assert_eq!(of("/data/b"), Some(ErrorCode::KafkaStorageError.code()));
        assert_eq!([of("/data/a"), of("/data/c")], [Some(0), Some(0)]);
        scene.broker().stop().expect("it stops");
        machine.move_file(Path::new("/data/b"), Path::new("/no-directory"));
        machine.move_file(Path::new("/away"), Path::new("/data/b"));
        scene.broker().start().expect("it is back");
        assert_eq!(told(scene).iter().filter(|answer| **answer == (0, 1)).count(), away);
    });
}

#[test]
fn what_a_directory_that_fails_holds_is_led_by_nobody_until_it_is_back() {
    play(14, &SEVERAL, |scene| {
        let away = twelve_partitions(scene);
        scene.broker().start().expect("it starts");
        let machine = scene.broker().machine();
        machine.on_disk_call(|call| {
            let fails = call.kind == DiskCallKind::Sync && call.path.starts_with("/data/b");
            if fails { DiskVerdict::INPUT_OUTPUT_ERROR } else { DiskVerdict::Pass }
        });
        let answers = told(scene);
        assert_eq!(answers.iter().filter(|answer| **answer == (0, 1)).count(), 12 - away, "{answers:?}");
        scene.visit(async |visitor| visitor.env.sleep(Duration::from_secs(1)).await);
        assert_eq!(leaderless(scene), away);
        machine.on_disk_call(|_| DiskVerdict::Pass);
        scene.broker().stop().expect("it stops");
        scene.broker().start().expect("it starts");
        assert_eq!(leaderless(scene), 0);
        let answers = told(scene);
        assert!(answers.iter().all(|(code, offset)| *code == 0 && *offset >= 1), "{answers:?}");
    });
}

#[test]
fn the_directory_of_the_metadata_log_takes_no_partitions() {
    play(13, &[("metadata.log.dir", "/data/m"), ("log.dirs", "/data/a,/data/b")], |scene| {
        scene.visit(async |visitor| {
            let mut client = visitor.connect().await;
            create(&mut client, "t", PARTITIONS).await;
            let described = client.call(4, DescribeLogDirsRequest { topics: None }).await;
            let mut paths: Vec<String> = described.results.into_iter().map(|result| result.log_dir).collect();
            paths.sort();
            assert_eq!(paths, ["/data/a", "/data/b"]);
        });
        assert!(told(scene).iter().all(|answer| *answer == (0, 0)));
        let files = found(scene, "partition.metadata");
        let names = |directory: &str| -> Vec<&Path> {
            files.keys().filter(|path| path.starts_with(directory)).map(PathBuf::as_path).collect()
        };
        assert_eq!(names("/data/m"), [Path::new("/data/m").join(METADATA).join("partition.metadata")]);
        assert_eq!(names("/data/a").len() + names("/data/b").len(), 12, "{files:?}");
        // Neither of the two is left.
        scene.broker().stop().expect("it stops");
        for (directory, away) in [("/data/a", "/away-a"), ("/data/b", "/away-b")] {
            let machine = scene.broker().machine();
            machine.move_file(Path::new(directory), Path::new(away));
            machine.move_file(&Path::new(away).join("cleaner-offset-checkpoint"), Path::new(directory));
        }
        let refusal = scene.broker().start().expect_err("nothing can be written");
        assert_eq!(refusal, "none of the directories of log.dirs can be used");
    });
}

/// Every decision is followed by a snapshot.
const SNAPSHOTS: [(&str, &str); 1] = [("metadata.log.max.record.bytes.between.snapshots", "1")];

/// The one snapshot of the metadata log, and the offset at which it ends.
fn snapshot(scene: &Scene) -> (PathBuf, i64) {
    let paths = scene.broker().machine().paths().into_iter();
    let mut snapshots = paths.filter(|path| {
        path.parent().is_some_and(|folder| folder.ends_with(METADATA))
            && path.extension().is_some_and(|ending| ending == "checkpoint")
    });
    let path = snapshots.next().expect("there is a snapshot");
    assert_eq!(snapshots.next(), None, "older ones are gone");
    let end = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.get(..20)).expect("a name");
    let end = end.parse().expect("an offset");
    (path, end)
}

/// The name of a snapshot that claims to end elsewhere.
fn ending_at(snapshot: &Path, end: i64) -> PathBuf {
    let name = snapshot.file_name().and_then(|name| name.to_str()).expect("a name");
    snapshot.with_file_name(format!("{end:020}{}", &name[20..]))
}

/// What lies between a snapshot and the log would be missing, deletions among it.
#[test]
fn a_snapshot_and_a_log_that_do_not_meet_refuse_the_start() {
    play(15, &SNAPSHOTS, |scene| {
        three_records(scene);
        let machine = scene.broker().machine();
        let (path, end) = snapshot(scene);
        for other in [end - 1, end + 1_000_000] {
            let renamed = ending_at(&path, other);
            machine.move_file(&path, &renamed);
            let refusal = scene.broker().start().expect_err("the log does not go on from it");
            assert!(refusal.starts_with(&format!("{} ends at offset {other}", renamed.display())), "{refusal}");
            machine.move_file(&renamed, &path);
        }
        machine.move_file(&path, Path::new("/away"));
        let refusal = scene.broker().start().expect_err("the log does not begin at 0");
        assert!(refusal.contains("there is no snapshot"), "{refusal}");
        machine.move_file(Path::new("/away"), &path);
        scene.broker().start().expect("it is back");
        assert_eq!(next_offset(scene), 3);
    });
}

/// Decisions would get offsets that the next start takes for those of the snapshot.
#[test]
fn a_log_that_ends_before_its_snapshot_goes_on_behind_it() {
    play(16, &SNAPSHOTS, |scene| {
        three_records(scene);
        let (path, end) = snapshot(scene);
        scene.broker().machine().move_file(&path, &ending_at(&path, end + 500));
        scene.broker().start().expect("the snapshot has it all");
        scene.visit(async |visitor| create(&mut visitor.connect().await, "u", 1).await);
        for _ in 0..2 {
            scene.broker().stop().expect("it stops");
            scene.broker().start().expect("it starts");
            let found = scene.visit(async |visitor| fetch_at(&mut visitor.connect().await, "u", 0).await);
            assert_eq!(found.0, 0, "the topic is known");
        }
        assert_eq!(next_offset(scene), 3);
    });
}

/// A copy may have been made of the snapshot alone.
#[test]
fn a_snapshot_without_its_log_is_gone_on_from() {
    play(17, &SNAPSHOTS, |scene| {
        three_records(scene);
        let machine = scene.broker().machine();
        let (path, _) = snapshot(scene);
        let others = machine.paths().into_iter().filter(|other| other.parent() == path.parent() && *other != path);
        for (index, other) in others.enumerate() {
            machine.move_file(&other, &Path::new("/").join(index.to_string()));
        }
        for _ in 0..2 {
            scene.broker().start().expect("the snapshot has it all");
            scene.broker().stop().expect("it stops");
        }
        scene.broker().start().expect("it starts");
        assert_eq!(next_offset(scene), 3);
    });
}

fn is_of_t(path: &Path) -> bool {
    let folder = path.parent().and_then(Path::file_name).and_then(|name| name.to_str());
    folder.is_some_and(|name| name.starts_with("t-"))
}
