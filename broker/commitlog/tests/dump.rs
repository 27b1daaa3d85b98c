//! The dump against Kafka's own: files that Apache Kafka 4.3.1 wrote (`kafka-4.3.1/`), and beside them what its
//! `DumpLogSegments` printed of each, standard error behind standard output.
//!
//! `damaged-0` is `plain-0` with one bit turned in a batch, in an index entry and in two time index entries, and eleven
//! bytes behind the last batch.

use std::path::{Path, PathBuf};

use barnabas_commitlog::dump::{Decoder, DumpOptions, IndexMode, dump};
use barnabas_runtime_tokio::{NodeConfig, block_on_single};

const LOG: &str = "00000000000000000000.log";
const INDEX: &str = "00000000000000000000.index";
const TIME_INDEX: &str = "00000000000000000000.timeindex";
const TXN_INDEX: &str = "00000000000000000000.txnindex";

/// What is printed of `files`, with paths as Kafka's tool was given them.
fn printed(files: &[PathBuf], options: DumpOptions) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kafka-4.3.1");
    let prefix = format!("{}/", root.display());
    let files: Vec<PathBuf> = files.iter().map(|file| root.join(file)).collect();
    let text = block_on_single(&NodeConfig::new("dump", 1), async move |env| {
        let mut lines = Vec::new();
        let mut problems = Vec::new();
        for file in files {
            let found = dump(&*env.disk, &file, &options, &mut |line| lines.push(line.to_owned())).await;
            problems.extend(found.expect("the file reads").lines);
        }
        lines.extend(problems);
        lines.join("\n") + "\n"
    });
    text.expect("the runtime starts").replace(&prefix, "")
}

fn files(folder: &str, names: &[&str]) -> Vec<PathBuf> {
    names.iter().map(|name| Path::new(folder).join(name)).collect()
}

fn assert_same(found: &str, expected: &str) {
    for (number, (found, expected)) in found.lines().zip(expected.lines()).enumerate() {
        assert_eq!(found, expected, "line {}", number + 1);
    }
    assert_eq!(found.lines().count(), expected.lines().count(), "number of lines");
}

fn records(decoder: Decoder) -> DumpOptions {
    DumpOptions { print_data: true, decoder, ..DumpOptions::default() }
}

#[test]
fn segments_indexes_and_snapshots() {
    let all = files("plain-0", &[LOG, INDEX, TIME_INDEX, "00000000000000000040.snapshot"]);
    assert_same(&printed(&all, DumpOptions::default()), include_str!("kafka-4.3.1/plain-0.expected"));
    let all = files("plain-1", &[LOG, INDEX, TIME_INDEX, TXN_INDEX, "00000000000000000088.snapshot"]);
    assert_same(&printed(&all, DumpOptions::default()), include_str!("kafka-4.3.1/plain-1.expected"));
}

#[test]
fn records_keys_headers_codecs_and_transaction_markers() {
    let log = files("plain-0", &[LOG]);
    assert_same(&printed(&log, records(Decoder::Text)), include_str!("kafka-4.3.1/plain-0-data.expected"));
    let deep = DumpOptions { deep: true, ..DumpOptions::default() };
    assert_same(&printed(&files("plain-1", &[LOG]), deep), include_str!("kafka-4.3.1/plain-1-deep.expected"));
    let bare = DumpOptions { skip_record_metadata: true, ..records(Decoder::Text) };
    assert_same(&printed(&files("compact-0", &[LOG]), bare), include_str!("kafka-4.3.1/compact-0-skip.expected"));
}

#[test]
fn committed_offsets_and_groups() {
    let classic = files("__consumer_offsets-18", &[LOG]);
    let expected = include_str!("kafka-4.3.1/offsets-classic.expected");
    assert_same(&printed(&classic, records(Decoder::Offsets)), expected);
    let consumer = files("__consumer_offsets-32", &[LOG]);
    let expected = include_str!("kafka-4.3.1/offsets-consumer.expected");
    assert_same(&printed(&consumer, records(Decoder::Offsets)), expected);
}

#[test]
fn transactional_ids() {
    let log = files("__transaction_state-44", &[LOG]);
    assert_same(&printed(&log, records(Decoder::Transactions)), include_str!("kafka-4.3.1/transactions.expected"));
}

#[test]
fn cluster_metadata_log_and_snapshots() {
    let names = [LOG, "bootstrap.checkpoint", "00000000000000000036-0000000001.checkpoint"];
    let all = files("__cluster_metadata-0", &names);
    assert_same(&printed(&all, records(Decoder::ClusterMetadata)), include_str!("kafka-4.3.1/metadata.expected"));
}

#[test]
fn damage_is_told_as_kafka_tells_it() {
    let print = |name, index| printed(&files("damaged-0", &[name]), DumpOptions { index, ..DumpOptions::default() });
    assert_same(&print(LOG, IndexMode::Print), include_str!("kafka-4.3.1/damaged-log.expected"));
    assert_same(&print(INDEX, IndexMode::Print), include_str!("kafka-4.3.1/damaged-index.expected"));
    assert_same(&print(TIME_INDEX, IndexMode::Print), include_str!("kafka-4.3.1/damaged-timeindex.expected"));
    assert_same(&print(INDEX, IndexMode::VerifyOnly), include_str!("kafka-4.3.1/damaged-verify.expected"));
}

#[test]
fn sanity_checks() {
    let options = DumpOptions { index: IndexMode::SanityOnly, ..DumpOptions::default() };
    let indexes = files("plain-0", &[INDEX, TIME_INDEX]);
    assert_same(&printed(&indexes, options), include_str!("kafka-4.3.1/sanity.expected"));
}

#[test]
fn reading_stops_where_it_is_told_to() {
    let options = DumpOptions { max_bytes: Some(600), ..DumpOptions::default() };
    let found = printed(&files("plain-0", &[LOG]), options);
    let lines: Vec<&str> = found.lines().collect();
    assert_eq!(lines.len(), 4, "two batches lie within 600 bytes: {lines:?}");
    assert!(lines[3].starts_with("baseOffset: 10 lastOffset: 19 "));
}
