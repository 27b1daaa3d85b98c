//! Logs of a disk image: folders with their segments in order.

use std::collections::BTreeMap;

use barnabas_base::{Offset, PartitionIndex, TopicId, TopicPartition, Uuid};
use barnabas_history::DiskImage;

use super::Batch;

/// Kafka's checkpoint of where logs begin.
pub(crate) const LOG_STARTS: &str = "log-start-offset-checkpoint";

/// A segment with its caches.
pub(crate) struct ScannedSegment<'a> {
    pub base: Offset,
    /// Each whole batch with its position.
    pub batches: Vec<(usize, Batch<'a>)>,
    /// Bytes behind the last whole batch that are not zero.
    pub torn_bytes: usize,
    pub offset_index: Option<&'a [u8]>,
    pub time_index: Option<&'a [u8]>,
    /// The file of checksums.
    pub check: Option<&'a [u8]>,
    /// The whole file.
    pub bytes: &'a [u8],
}

/// A log as it stands on a disk.
pub(crate) struct ScannedLog<'a> {
    /// What stands before the name of its folder.
    pub directory: &'a str,
    /// Name of the topic.
    pub topic: &'a str,
    pub partition: TopicPartition,
    pub segments: Vec<ScannedSegment<'a>>,
    /// Producer snapshots by their offsets.
    pub snapshots: Vec<(Offset, &'a [u8])>,
    /// The checkpoint of leader epochs.
    pub epochs: Option<&'a [u8]>,
}

impl<'a> ScannedLog<'a> {
    /// Every batch in order.
    pub(crate) fn batches(&self) -> impl Iterator<Item = &Batch<'a>> {
        self.segments.iter().flat_map(|segment| segment.batches.iter().map(|(_, batch)| batch))
    }

    /// What one of Kafka's checkpoints says of the log.
    pub(crate) fn checkpointed(&self, image: &DiskImage, file: &str) -> Option<Offset> {
        let lines = counted_lines(image.files.get(&format!("{}{file}", self.directory))?)?;
        let of_log = format!("{} {} ", self.topic, self.partition.partition);
        lines.into_iter().find_map(|line| line.strip_prefix(&of_log)?.parse().ok().map(Offset))
    }

    /// The segments in which the log stands; files of deleted ones may be there for a while.
    pub(crate) fn living(&self, image: &DiskImage) -> impl Iterator<Item = &ScannedSegment<'a>> {
        let start = self.checkpointed(image, LOG_STARTS).unwrap_or(Offset(0));
        let next = self.segments.iter().skip(1).map(|segment| segment.base).map(Some).chain([None]);
        let living = self.segments.iter().zip(next).filter(move |(_, next)| next.is_none_or(|next| next > start));
        living.map(|(segment, _)| segment)
    }

    /// Behind the last offset that was given out, also where cleaning has taken it away since.
    pub(crate) fn end(&self) -> Offset {
        let last = self.batches().last().map_or(Offset(0), |batch| batch.last_offset.plus(1));
        self.segments.last().map_or(last, |segment| segment.base.max(last))
    }
}

/// Every log of an image whose topic id is known. Files with a suffix wait for their removal or are not finished.
pub(crate) fn logs(image: &DiskImage) -> Vec<ScannedLog<'_>> {
    let mut folders = BTreeMap::<&str, Vec<(&str, &[u8])>>::new();
    for (path, bytes) in &image.files {
        if let Some((folder, file)) = path.rsplit_once('/') {
            folders.entry(folder).or_default().push((file, bytes));
        }
    }
    folders.into_iter().filter_map(|(folder, files)| scan(folder, &files)).collect()
}

fn scan<'a>(folder: &'a str, files: &[(&'a str, &'a [u8])]) -> Option<ScannedLog<'a>> {
    let name = folder.rsplit('/').next()?;
    let (topic, partition) = name.rsplit_once('-')?;
    let partition = PartitionIndex(partition.parse().ok()?);
    let of_kind = |kind: &str| {
        let of_kind = files.iter().filter_map(|(file, bytes)| {
            let (base, extension) = file.split_once('.')?;
            Some((Offset(base.parse().ok()?), *bytes)).filter(|_| extension == kind)
        });
        of_kind.collect::<BTreeMap<Offset, &'a [u8]>>()
    };
    let named = |name: &str| files.iter().find(|(file, _)| *file == name).map(|(_, bytes)| *bytes);
    let metadata = named("partition.metadata")?;
    let topic_id = TopicId(topic_id(std::str::from_utf8(metadata).ok()?)?);
    let (offset_indexes, time_indexes) = (of_kind("index"), of_kind("timeindex"));
    let checks = of_kind("barnabas-check");
    let segment = |(base, bytes): (Offset, &'a [u8])| {
        let (batches, torn_bytes) = batches(bytes);
        let (offset_index, time_index) = (offset_indexes.get(&base).copied(), time_indexes.get(&base).copied());
        let check = checks.get(&base).copied();
        ScannedSegment { base, batches, torn_bytes, offset_index, time_index, check, bytes }
    };
    let segments = of_kind("log").into_iter().map(segment).collect();
    let snapshots = of_kind("snapshot").into_iter().collect();
    let (directory, epochs) = (folder.strip_suffix(name)?, named("leader-epoch-checkpoint"));
    let partition = TopicPartition { topic_id, partition };
    Some(ScannedLog { directory, topic, partition, segments, snapshots, epochs })
}

/// The lines of one of Kafka's checkpoints, which says its version and how many they are.
pub(crate) fn counted_lines(file: &[u8]) -> Option<Vec<&str>> {
    let mut lines = std::str::from_utf8(file).ok()?.lines();
    let count: usize = lines.next().filter(|version| *version == "0").and_then(|_| lines.next())?.parse().ok()?;
    let lines: Vec<&str> = lines.collect();
    (lines.len() == count).then_some(lines)
}

fn topic_id(metadata: &str) -> Option<Uuid> {
    metadata.lines().find_map(|line| line.strip_prefix("topic_id:")?.trim().parse().ok())
}

/// Whole batches, and how many bytes behind them are not zero.
pub(crate) fn batches(bytes: &[u8]) -> (Vec<(usize, Batch<'_>)>, usize) {
    let mut batches = Vec::new();
    let mut position = 0;
    while let Some(batch) = Batch::read(&bytes[position..]) {
        batches.push((position, batch));
        position += batch.size_bytes;
    }
    let torn = bytes[position..].iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    (batches, torn)
}
