//! Records of the metadata log and its snapshots, as far as their order is judged.

use super::{bytes, read_i16, uvarint};

/// The only frame of metadata records there is.
const FRAME_VERSION: u64 = 1;
const REGISTER_BROKER_RECORD: u64 = 0;
const TOPIC_RECORD: u64 = 2;
const PARTITION_RECORD: u64 = 3;
const FEATURE_LEVEL_RECORD: u64 = 12;
const REGISTER_CONTROLLER_RECORD: u64 = 27;

/// What a record says, of what the checkers ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MetadataRecord {
    /// The level of a feature.
    FeatureLevel { name: String, level: i16 },
    /// A broker is there.
    Broker,
    /// A controller is there.
    Controller,
    /// There is a topic of this id.
    Topic { id: [u8; 16] },
    /// A topic of this id has a partition.
    Partition { topic_id: [u8; 16] },
    /// Something else.
    Other,
}

/// Reads a record's value; `None` when it is none of the metadata log.
pub(crate) fn metadata_record(value: &[u8]) -> Option<MetadataRecord> {
    let mut rest = value;
    if uvarint(&mut rest)? != FRAME_VERSION {
        return None;
    }
    let kind = uvarint(&mut rest)?;
    uvarint(&mut rest)?;
    Some(match kind {
        FEATURE_LEVEL_RECORD => {
            let name = name(&mut rest)?;
            MetadataRecord::FeatureLevel { name, level: read_i16(rest, 0)? }
        }
        REGISTER_BROKER_RECORD => MetadataRecord::Broker,
        REGISTER_CONTROLLER_RECORD => MetadataRecord::Controller,
        TOPIC_RECORD => {
            name(&mut rest)?;
            MetadataRecord::Topic { id: bytes(rest, 0)? }
        }
        // Its index stands before its topic.
        PARTITION_RECORD => MetadataRecord::Partition { topic_id: bytes(rest, 4)? },
        _ => MetadataRecord::Other,
    })
}

/// A compact string: its length and one.
fn name(from: &mut &[u8]) -> Option<String> {
    let length = usize::try_from(uvarint(from)?).ok()?.checked_sub(1)?;
    let (name, rest) = from.split_at_checked(length)?;
    *from = rest;
    String::from_utf8(name.to_vec()).ok()
}
