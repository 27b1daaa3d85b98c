//! Apache Kafka's dump tool reads the files of the stopped broker: every segment, index and snapshot, the committed
//! offsets and the cluster metadata. It complains about nothing, and the codecs on disk are those that were asked for.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::client::{CASE_DEADLINE, Codec};
use super::{Suite, java};
use crate::process;

const DUMP: &str = "org.apache.kafka.tools.DumpLogSegments";
/// What the dump tool says about a file it does not believe.
const COMPLAINTS: [&str; 7] = [
    "isvalid: false",
    "Mismatches in",
    "Non-consecutive offsets",
    "Unable to find",
    "out of order",
    "invalid",
    "Exception",
];

/// Stops the broker and dumps its files.
pub(super) fn run(suite: &mut Suite<'_>) -> Result<()> {
    let broker = &mut suite.broker;
    suite.results.case("disk", "the broker stops cleanly", || broker.stop());
    let data = suite.broker.data();
    suite.results.case("disk", "dump-log: segments with their records", || dump_segments(&data));
    suite.results.case("disk", "dump-log: codecs are those asked for", || dump_codecs(&data));
    suite.results.case("disk", "dump-log: indexes and snapshots", || dump_indexes(&data));
    suite.results.case("disk", "dump-log: committed offsets", || dump_offsets(&data));
    suite.results.case("disk", "dump-log: cluster metadata", || dump_metadata(&data));
    Ok(())
}

fn dump(files: &[PathBuf], options: &[&str]) -> Result<String> {
    ensure!(!files.is_empty(), "no files to dump");
    let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    let mut command = java::tool(DUMP);
    command.args(["--files", &names.join(",")]).args(options);
    let finished = process::run(&mut command, &[], CASE_DEADLINE)?.success()?;
    let text = finished.text();
    let complaints = finished.complaints();
    let complained = text
        .lines()
        .chain(complaints.lines())
        .filter(|line| !line.contains("payload:"))
        .find(|line| COMPLAINTS.iter().any(|complaint| line.contains(complaint)));
    ensure!(complained.is_none(), "the dump tool says: {}", complained.unwrap_or_default());
    Ok(text)
}

/// The files of all topic folders that `belongs` to, by their ending.
fn files(data: &Path, ending: &str, belongs: impl Fn(&str) -> bool) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for folder in std::fs::read_dir(data)? {
        let folder = folder?;
        let name = folder.file_name().to_string_lossy().into_owned();
        if !folder.file_type()?.is_dir() || !belongs(&name) {
            continue;
        }
        for file in std::fs::read_dir(folder.path())? {
            let path = file?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            // A snapshot of the metadata has a format of its own and its own case.
            if name.ends_with(ending) && !name.contains('-') {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn is_client_topic(folder: &str) -> bool {
    !folder.starts_with("__") && !folder.ends_with("-delete")
}

fn dump_segments(data: &Path) -> Result<()> {
    let segments = files(data, ".log", is_client_topic)?;
    let text = dump(&segments, &["--print-data-log"])?;
    let dumped = text.lines().filter(|line| line.starts_with("Dumping ")).count();
    ensure!(dumped == segments.len(), "{dumped} of {} segments were dumped", segments.len());
    let records = text.lines().filter(|line| line.contains("payload:")).count();
    ensure!(records > 0, "no record was printed");
    Ok(())
}

/// Guards against a client that quietly does not compress, which it does where a broker advertises less than Kafka.
/// A single batch may stay as it is where compression would not shrink it, which librdkafka decides by batch.
fn dump_codecs(data: &Path) -> Result<()> {
    let matrix = files(data, ".log", |folder| folder.starts_with("matrix-"))?;
    ensure!(!matrix.is_empty(), "the matrix has left no segments");
    let text = dump(&matrix, &["--deep-iteration"])?;
    for section in text.split("Dumping ").filter(|section| !section.trim().is_empty()) {
        let file = section.lines().next().unwrap_or_default();
        let of_file = |codec: &Codec| file.contains(&format!("-{}-0/", codec.name()));
        let codec = Codec::ALL.into_iter().find(of_file).context("a file of no codec")?;
        let batches = section.lines().filter_map(|line| line.split_once("compresscodec: "));
        let found: Vec<&str> = batches.filter_map(|(_, rest)| rest.split_whitespace().next()).collect();
        let is_codec = |name: &&str| name.eq_ignore_ascii_case(codec.name());
        let is_none = |name: &&str| name.eq_ignore_ascii_case(Codec::None.name());
        ensure!(found.iter().any(is_codec), "{file} holds only {found:?}");
        ensure!(found.iter().all(|name| is_codec(name) || is_none(name)), "{file} holds {found:?}");
    }
    Ok(())
}

fn dump_indexes(data: &Path) -> Result<()> {
    for ending in [".index", ".timeindex", ".snapshot"] {
        let found = files(data, ending, is_client_topic)?;
        ensure!(!found.is_empty(), "there is no file *{ending}");
        dump(&found, &[])?;
    }
    Ok(())
}

fn dump_offsets(data: &Path) -> Result<()> {
    let segments = files(data, ".log", |folder| folder.starts_with("__consumer_offsets-"))?;
    let text = dump(&segments, &["--offsets-decoder"])?;
    for wanted in ["\"type\":\"1\"", "\"type\":\"2\"", "\"offset\":", "\"protocolType\":\"consumer\""] {
        ensure!(text.contains(wanted), "{wanted} is nowhere in the committed offsets");
    }
    Ok(())
}

fn dump_metadata(data: &Path) -> Result<()> {
    let segments = files(data, ".log", |folder| folder == "__cluster_metadata-0")?;
    let text = dump(&segments, &["--cluster-metadata-decoder"])?;
    for wanted in ["TOPIC_RECORD", "PARTITION_RECORD", "CONFIG_RECORD", "FEATURE_LEVEL_RECORD"] {
        ensure!(text.contains(wanted), "there is no {wanted} in the cluster metadata");
    }
    Ok(())
}
