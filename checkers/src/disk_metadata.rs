//! Promise: a snapshot of the metadata log is one that Kafka reads (KIP-630): a header, the level of `metadata.version` before
//! anything that is read by it, each topic before its partitions, and a footer; nothing is torn or left out between. Who is
//! a broker here is a controller as well, so that none is told of without the other.

use std::collections::BTreeSet;

use barnabas_base::{LeaderEpoch, Offset};

use crate::facts::Facts;
use crate::observed::honest;
use crate::scan::{Batch, MetadataRecord, batches, metadata_record, read_i16};
use crate::verdict::Court;
use crate::{Kind, Promise, Verdict};

pub(crate) const PROMISE: Promise = Promise {
    name: "disk-metadata",
    words: "a metadata snapshot begins with the metadata version, has topics before their partitions, and is whole",
    kind: Kind::WhiteBox,
    applies: honest,
    check,
};

const FOLDER: &str = "__cluster_metadata-0";
const SUFFIX: &str = ".checkpoint";
const METADATA_VERSION: &str = "metadata.version";
/// Types of control records.
const HEADER: i16 = 3;
const FOOTER: i16 = 4;

/// Judges every snapshot that is in place, on every disk.
fn check(facts: &Facts<'_>) -> Verdict {
    let evidence = facts.evidence;
    let mut court = Court::new(evidence);
    for image in &evidence.disks {
        for (path, bytes) in &image.files {
            let Some(name) = name_of(path).filter(|_| !evidence.damaged.contains(path)) else { continue };
            let wrong = wrong(name, bytes);
            court.judge(wrong.is_some(), Some(image.after_step), None, || {
                format!("{path}: {}", wrong.unwrap_or_default())
            });
        }
    }
    court.verdict()
}

/// The name of a snapshot without its suffix. What is not in place yet, or waits for its removal, has another one.
fn name_of(path: &str) -> Option<&str> {
    let (folder, file) = path.rsplit_once('/')?;
    let name = file.strip_suffix(SUFFIX)?;
    (folder.rsplit('/').next() == Some(FOLDER) && name != "bootstrap").then_some(name)
}

/// What is wrong with a snapshot.
fn wrong(name: &str, bytes: &[u8]) -> Option<String> {
    let Some((end_offset, epoch)) = points(name) else { return Some("its name gives no offset and epoch".to_owned()) };
    if end_offset <= Offset(0) {
        return Some(format!("it stands for nothing: {end_offset}"));
    }
    let found: Vec<Batch<'_>> = batches(bytes).0.into_iter().map(|(_, batch)| batch).collect();
    let whole: usize = found.iter().map(|batch| batch.size_bytes).sum();
    if whole < bytes.len() {
        return Some(format!("{whole} of {} bytes are batches", bytes.len()));
    }
    let (Some(first), Some(last)) = (found.first(), found.last()) else { return Some("it is empty".to_owned()) };
    if control_type(first) != Some(HEADER) || control_type(last) != Some(FOOTER) {
        return Some("it has no header, or no footer".to_owned());
    }
    wrong_place(&found, epoch).or_else(|| wrong_content(&found))
}

fn points(name: &str) -> Option<(Offset, LeaderEpoch)> {
    let (offset, epoch) = name.split_once('-').filter(|(offset, epoch)| offset.len() == 20 && epoch.len() == 10)?;
    Some((Offset(offset.parse().ok()?), LeaderEpoch(epoch.parse().ok()?)))
}

/// The type of the first record of a control batch.
fn control_type(batch: &Batch<'_>) -> Option<i16> {
    let records = batch.is_control().then(|| batch.records()).flatten()?;
    read_i16(records.first()?.key?, 2)
}

/// A batch that does not follow the one before, or is of another epoch than the snapshot.
fn wrong_place(found: &[Batch<'_>], epoch: LeaderEpoch) -> Option<String> {
    let mut next = Offset(0);
    for batch in found {
        if batch.base_offset != next || batch.leader_epoch != epoch {
            let Batch { base_offset, leader_epoch, .. } = batch;
            return Some(format!(
                "a batch of epoch {leader_epoch} stands at {base_offset}, behind which {next} is due"
            ));
        }
        next = batch.last_offset.plus(1);
    }
    None
}

/// A record that stands before what it needs, or lacks what belongs to it.
fn wrong_content(found: &[Batch<'_>]) -> Option<String> {
    let (mut is_first, mut topics) = (true, BTreeSet::new());
    let (mut brokers, mut controllers) = (0, 0);
    for batch in found.iter().filter(|batch| !batch.is_control()) {
        let Some(records) = batch.records() else { return Some(format!("batch {} does not read", batch.base_offset)) };
        for record in records {
            let Some(what) = record.value.and_then(metadata_record) else {
                return Some(format!("record {} does not read", record.offset));
            };
            let is_version =
                matches!(&what, MetadataRecord::FeatureLevel { name, level } if name == METADATA_VERSION && *level > 0);
            if is_first && !is_version {
                return Some(format!("it begins with {what:?}, and not with the metadata version"));
            }
            is_first = false;
            match what {
                MetadataRecord::Topic { id } => drop(topics.insert(id)),
                MetadataRecord::Partition { topic_id } if !topics.contains(&topic_id) => {
                    return Some(format!("record {} is of a partition whose topic is not there", record.offset));
                }
                MetadataRecord::Broker => brokers += 1,
                MetadataRecord::Controller => controllers += 1,
                MetadataRecord::Partition { .. } | MetadataRecord::FeatureLevel { .. } | MetadataRecord::Other => {}
            }
        }
    }
    if is_first {
        return Some("it says nothing".to_owned());
    }
    (brokers != controllers).then(|| format!("it tells of {brokers} brokers and {controllers} controllers"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::piece::{Piece, accepts, durable, passes_over, rejects};
    use crate::scan::fixture::{Draft, draft, image};

    const NAME: &str = "00000000000000000009-0000000002.checkpoint";
    /// Frame, kind and version of each, and what is in it.
    const VERSION: &[u8] = b"\x01\x0c\x00\x11metadata.version\x00\x1d\x00";
    const GROUPS: &[u8] = b"\x01\x0c\x00\x0egroup.version\x00\x01\x00";
    const BROKER: &[u8] = b"\x01\x00\x03";
    const CONTROLLER: &[u8] = b"\x01\x1b\x00";
    const TOPIC: &[u8] = b"\x01\x02\x00\x03t0iiiiiiiiiiiiiiii\x00";
    const PARTITION: &[u8] = b"\x01\x03\x02\x00\x00\x00\x00iiiiiiiiiiiiiiii";

    fn control(base: i64, kind: i16) -> Vec<u8> {
        let key = [0_i16.to_be_bytes(), kind.to_be_bytes()].concat();
        Draft { epoch: 2, records: vec![(Some(key), Some(Vec::new()))], ..draft(base, 1) }.control_bytes()
    }

    fn data(base: i64, records: &[&[u8]]) -> Vec<u8> {
        let records = records.iter().map(|value| (None, Some(value.to_vec()))).collect();
        Draft { epoch: 2, records, ..draft(base, 1) }.bytes()
    }

    fn snapshot(records: &[&[u8]]) -> Vec<u8> {
        let end = 1 + i64::try_from(records.len()).expect("a few");
        [control(0, HEADER), data(1, records), control(end, FOOTER)].concat()
    }

    fn disk(name: &str, bytes: Vec<u8>) -> Piece {
        durable().disk(image(0, "data/__cluster_metadata-0", &[(name, bytes)]))
    }

    #[test]
    fn accepts_what_kafka_reads() {
        accepts(
            &PROMISE,
            [
                disk(NAME, snapshot(&[VERSION, GROUPS, BROKER, CONTROLLER, TOPIC, PARTITION])),
                disk(NAME, snapshot(&[VERSION])),
            ],
        );
    }

    #[test]
    fn rejects_anything_else() {
        let sound = || snapshot(&[VERSION, TOPIC]);
        let torn = sound()[..sound().len() - 1].to_vec();
        let headless = [data(0, &[VERSION]), control(1, FOOTER)].concat();
        let endless = [control(0, HEADER), data(1, &[VERSION])].concat();
        let gap = [control(0, HEADER), data(2, &[VERSION]), control(3, FOOTER)].concat();
        rejects(
            &PROMISE,
            [
                disk(NAME, snapshot(&[GROUPS, VERSION])),
                disk(NAME, snapshot(&[TOPIC, VERSION])),
                disk(NAME, snapshot(&[VERSION, PARTITION, TOPIC])),
                disk(NAME, snapshot(&[VERSION, BROKER, TOPIC])),
                disk(NAME, snapshot(&[VERSION, CONTROLLER])),
                disk(NAME, snapshot(&[VERSION, b"\x02\x0c"])),
                disk(NAME, [control(0, HEADER), control(1, FOOTER)].concat()),
                disk(NAME, torn),
                disk(NAME, headless),
                disk(NAME, endless),
                disk(NAME, gap),
                disk(NAME, Vec::new()),
                disk("00000000000000000009-0000000003.checkpoint", sound()),
                disk("00000000000000000000-0000000002.checkpoint", sound()),
                disk("9-2.checkpoint", sound()),
            ],
        );
    }

    #[test]
    fn passes_over_what_is_not_in_place_and_what_the_device_has_damaged() {
        passes_over(
            &PROMISE,
            [
                disk("00000000000000000009-0000000002.checkpoint.part", Vec::new()),
                disk("00000000000000000009-0000000002.checkpoint.deleted", Vec::new()),
                disk("bootstrap.checkpoint", Vec::new()),
                disk(NAME, Vec::new()).damaged("data/__cluster_metadata-0/00000000000000000009-0000000002.checkpoint"),
            ],
        );
    }
}
