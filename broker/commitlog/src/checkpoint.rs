//! The small text files of a log directory in Kafka's layout: offset checkpoints, `partition.metadata`,
//! `meta.properties`, the clean-shutdown marker. Pure text to values and back; [`small_file`](crate::small_file) does
//! the reading and writing.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use barnabas_base::{BrokerId, ClusterId, DirectoryId, Offset, PartitionIndex, TopicId, Uuid};

/// Why a small file cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckpointError {
    /// It is not UTF-8, or a line is missing or malformed.
    Malformed,
    /// It has a version that this release does not know.
    Version,
    /// A key is missing, or its value does not read.
    Key(&'static str),
}

impl std::fmt::Display for CheckpointError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Malformed => f.write_str("malformed file"),
            Self::Version => f.write_str("unknown version"),
            Self::Key(key) => write!(f, "{key} is missing, or its value does not read"),
        }
    }
}

impl std::error::Error for CheckpointError {}

/// Offsets by topic name and partition: recovery points, log start offsets, high watermarks, cleaner points.
pub type OffsetsByPartition = BTreeMap<(String, PartitionIndex), Offset>;

/// Reads an offset checkpoint (`OffsetCheckpointFile`, version 0).
///
/// # Errors
/// [`CheckpointError`] when the text is not one.
pub fn parse_offsets(bytes: &[u8]) -> Result<OffsetsByPartition, CheckpointError> {
    let mut offsets = BTreeMap::new();
    for line in counted_lines(bytes)? {
        let mut words = line.split_whitespace();
        let topic = words.next().ok_or(CheckpointError::Malformed)?;
        let partition = number(words.next())?;
        let offset = number(words.next())?;
        if words.next().is_some() || offset < 0 {
            return Err(CheckpointError::Malformed);
        }
        let partition = PartitionIndex(i32::try_from(partition).map_err(|_| CheckpointError::Malformed)?);
        offsets.insert((topic.to_owned(), partition), Offset(offset));
    }
    Ok(offsets)
}

/// Writes an offset checkpoint.
#[must_use]
pub fn format_offsets(offsets: &OffsetsByPartition) -> String {
    let mut text = format!("0\n{}\n", offsets.len());
    for ((topic, partition), offset) in offsets {
        writeln!(text, "{topic} {partition} {offset}").expect("writing to a string does not fail");
    }
    text
}

/// The lines of a file that says its version (0) and how many lines follow (`CheckpointFile`).
pub(crate) fn counted_lines(bytes: &[u8]) -> Result<Vec<&str>, CheckpointError> {
    let text = std::str::from_utf8(bytes).map_err(|_| CheckpointError::Malformed)?;
    let mut lines = text.lines();
    match number(lines.next())? {
        0 => {}
        _ => return Err(CheckpointError::Version),
    }
    let count = number(lines.next())?;
    let rest: Vec<&str> = lines.filter(|line| !line.trim().is_empty()).collect();
    if i64::try_from(rest.len()) == Ok(count) { Ok(rest) } else { Err(CheckpointError::Malformed) }
}

fn number(word: Option<&str>) -> Result<i64, CheckpointError> {
    word.and_then(|word| word.trim().parse().ok()).ok_or(CheckpointError::Malformed)
}

/// Bits in which an id on the disk may differ from the one that was written: two random ones differ in so few with odds of
/// 10⁻¹⁷, and one character that changes makes up to six.
const FLIPPED_BITS_MAX: u32 = 16;

/// Reads `partition.metadata`: the id of the topic a folder belongs to (KIP-516).
///
/// # Errors
/// [`CheckpointError`] when the text is not one.
pub fn parse_partition_metadata(bytes: &[u8]) -> Result<TopicId, CheckpointError> {
    let text = std::str::from_utf8(bytes).map_err(|_| CheckpointError::Malformed)?;
    let mut version = None;
    let mut topic_id = None;
    for line in text.lines() {
        match line.split_once(':').map(|(key, value)| (key.trim(), value.trim())) {
            Some(("version", value)) => version = Some(value),
            Some(("topic_id", value)) => topic_id = value.parse::<Uuid>().ok(),
            _ => return Err(CheckpointError::Malformed),
        }
    }
    match (version, topic_id) {
        (Some("0"), Some(id)) if !id.is_zero() => Ok(TopicId(id)),
        (Some("0") | None, _) => Err(CheckpointError::Malformed),
        (Some(_), _) => Err(CheckpointError::Version),
    }
}

/// Whether a folder whose file names `found` is that of `topic`, bits of the file having flipped on the disk: it has no
/// checksum, and ids are random, so that no two of them come near each other.
pub(crate) fn is_topic(found: TopicId, topic: TopicId) -> bool {
    let bits = |id: TopicId| u128::from_be_bytes(id.0.0);
    (bits(found) ^ bits(topic)).count_ones() <= FLIPPED_BITS_MAX
}

/// Writes `partition.metadata`.
#[must_use]
pub fn format_partition_metadata(topic_id: TopicId) -> String {
    format!("version: 0\ntopic_id: {topic_id}\n")
}

/// What `meta.properties` says about a directory (version 1, KIP-858).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetaProperties {
    /// The cluster this directory belongs to.
    pub cluster_id: ClusterId,
    /// The node it belongs to.
    pub node_id: BrokerId,
    /// Its own identity; directories formatted by releases before 3.7 have none.
    pub directory_id: Option<DirectoryId>,
}

/// Reads `meta.properties`.
///
/// # Errors
/// [`CheckpointError`] when keys are missing or the version is not 1.
pub fn parse_meta_properties(bytes: &[u8]) -> Result<MetaProperties, CheckpointError> {
    let text = std::str::from_utf8(bytes).map_err(|_| CheckpointError::Malformed)?;
    let mut values = BTreeMap::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', '!'])) {
        let (key, value) = line.split_once(['=', ':']).ok_or(CheckpointError::Malformed)?;
        values.insert(key.trim(), unescaped(value.trim()));
    }
    if values.get("version").is_none_or(|version| version != "1") {
        return Err(CheckpointError::Version);
    }
    let value = |key: &'static str| values.get(key).ok_or(CheckpointError::Key(key));
    Ok(MetaProperties {
        cluster_id: value("cluster.id")?.parse().map_err(|_| CheckpointError::Key("cluster.id"))?,
        node_id: value("node.id")?.parse().map(BrokerId).map_err(|_| CheckpointError::Key("node.id"))?,
        directory_id: values.get("directory.id").and_then(|text| text.parse::<Uuid>().ok()).map(DirectoryId),
    })
}

/// A value without the backslashes that Java's `Properties` writes before what has a meaning in them.
fn unescaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(char) = chars.next() {
        text.extend(if char == '\\' { chars.next() } else { Some(char) });
    }
    text
}

fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for char in value.chars() {
        text.extend(['\\', '=', ':', '#', '!'].contains(&char).then_some('\\'));
        text.push(char);
    }
    text
}

/// Writes `meta.properties`.
#[must_use]
pub fn format_meta_properties(properties: &MetaProperties) -> String {
    let (cluster_id, node_id) = (escaped(properties.cluster_id.as_str()), properties.node_id);
    let mut text = format!("#\nversion=1\ncluster.id={cluster_id}\nnode.id={node_id}\n");
    if let Some(directory_id) = properties.directory_id {
        writeln!(text, "directory.id={directory_id}").expect("writing to a string does not fail");
    }
    text
}

/// Content of the clean-shutdown marker (`CleanShutdownFileHandler`, version 0).
#[must_use]
pub fn format_clean_shutdown(broker_epoch: i64) -> String {
    format!("{{\"version\":0,\"brokerEpoch\":{broker_epoch}}}")
}

/// Broker epoch in a clean-shutdown marker; −1 when it names none.
#[must_use]
pub fn parse_clean_shutdown(bytes: &[u8]) -> i64 {
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    let Some((_, after)) = text.split_once("\"brokerEpoch\"") else { return -1 };
    let digits: String = after
        .chars()
        .skip_while(|char| !char.is_ascii_digit() && *char != '-')
        .take_while(|char| *char == '-' || char.is_ascii_digit())
        .collect();
    digits.parse().unwrap_or(-1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_round_trip() {
        let mut offsets = BTreeMap::new();
        offsets.insert(("a".to_owned(), PartitionIndex(0)), Offset(5));
        offsets.insert(("b.c".to_owned(), PartitionIndex(12)), Offset(0));
        let text = format_offsets(&offsets);
        assert_eq!(text, "0\n2\na 0 5\nb.c 12 0\n");
        assert_eq!(parse_offsets(text.as_bytes()), Ok(offsets));
    }

    #[test]
    fn offsets_are_refused_when_anything_is_off() {
        for text in ["", "0\n", "1\n0\n", "0\n2\na 0 5\n", "0\n1\na 0\n", "0\n1\na 0 -5\n", "0\n1\na 0 5 6\n", "x\n0\n"]
        {
            assert!(parse_offsets(text.as_bytes()).is_err(), "{text:?}");
        }
        assert_eq!(parse_offsets(b"7\n0\n"), Err(CheckpointError::Version));
    }

    #[test]
    fn partition_metadata_round_trips() {
        let id = TopicId(Uuid([9; 16]));
        assert_eq!(parse_partition_metadata(format_partition_metadata(id).as_bytes()), Ok(id));
        let flipped = |bits: u128| TopicId(Uuid((u128::from_be_bytes(id.0.0) ^ bits).to_be_bytes()));
        assert!(is_topic(id, id) && is_topic(flipped(0xffff << 40), id) && !is_topic(flipped(0x1_ffff), id));
        assert_eq!(parse_partition_metadata(b"version: 1\ntopic_id: x\n"), Err(CheckpointError::Version));
        assert_eq!(parse_partition_metadata(b""), Err(CheckpointError::Malformed));
    }

    #[test]
    fn meta_properties_read_what_kafka_writes() {
        let text = "#\n#Sat Nov 21 02:00:00 UTC 2026\nnode.id=3\ndirectory.id=5L6g3nShT-eMCtK--X86sw\nversion=1\n\
                    cluster.id=5L6g3nShT-eMCtK--X86sw\n";
        let properties = parse_meta_properties(text.as_bytes()).expect("what Kafka writes");
        assert_eq!(properties.node_id, BrokerId(3));
        assert_eq!(parse_meta_properties(format_meta_properties(&properties).as_bytes()), Ok(properties));
        let odd = b"version=1\nnode.id=1\ncluster.id=MkU3OEVBNTcwNTJENDM2Qg\\=\\=\n";
        let odd = parse_meta_properties(odd).expect("any text is a cluster's id");
        assert_eq!(odd.cluster_id.as_str(), "MkU3OEVBNTcwNTJENDM2Qg==");
        assert_eq!(parse_meta_properties(format_meta_properties(&odd).as_bytes()), Ok(odd));
        assert_eq!(parse_meta_properties(b"version=1\nnode.id=1\n"), Err(CheckpointError::Key("cluster.id")));
        assert_eq!(parse_meta_properties(b"version=1\ncluster.id=a\nnode.id=x"), Err(CheckpointError::Key("node.id")));
        assert_eq!(parse_meta_properties(b"version=0\n"), Err(CheckpointError::Version));
    }

    #[test]
    fn clean_shutdown_marker_names_the_broker_epoch() {
        assert_eq!(parse_clean_shutdown(format_clean_shutdown(42).as_bytes()), 42);
        assert_eq!(parse_clean_shutdown(b""), -1);
    }
}
