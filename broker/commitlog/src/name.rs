//! Names of files and folders in a log directory, exactly as Kafka 4.x spells them, and our own beside them. Pure text.
//!
//! A segment is a set of files that share a 20-digit base offset (`LogFileUtils`). A suffix behind the extension tells
//! what is going on with a file: `.deleted` waits for removal, `.cleaned` is being written by the cleaner, `.swap` has
//! been cleaned and replaces what it was made of.

use std::fmt::Write as _;

use barnabas_base::{Offset, PartitionIndex, Uuid};

/// Digits of a base offset in a file name.
const OFFSET_DIGITS: usize = 20;
/// Longest file name of common file systems; Kafka shortens topic names in `-delete` folders to stay within it.
const FILE_NAME_CHARS_MAX: usize = 255;

/// What a file of a segment holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileKind {
    /// Record batches.
    Log,
    /// Offset to position.
    Index,
    /// Timestamp to offset.
    TimeIndex,
    /// Aborted transactions.
    TxnIndex,
    /// Producer state at the offset in the name.
    Snapshot,
    /// Our checksums per range of the `.log` file.
    Check,
}

impl FileKind {
    /// All kinds, the `.log` last: whoever creates or renames a set makes the log file the one that completes it.
    pub const ALL: [Self; 6] = [Self::Index, Self::TimeIndex, Self::TxnIndex, Self::Check, Self::Snapshot, Self::Log];

    /// The kinds that make up a segment; snapshots stand on their own.
    pub const OF_SEGMENT: [Self; 5] = [Self::Index, Self::TimeIndex, Self::TxnIndex, Self::Check, Self::Log];

    /// Extension with its dot.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Log => ".log",
            Self::Index => ".index",
            Self::TimeIndex => ".timeindex",
            Self::TxnIndex => ".txnindex",
            Self::Snapshot => ".snapshot",
            Self::Check => ".barnabas-check",
        }
    }
}

/// What is going on with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Suffix {
    /// In use.
    None,
    /// Waits for removal.
    Deleted,
    /// The cleaner writes it; worthless after a crash.
    Cleaned,
    /// Complete; replaces the segments it was made of.
    Swap,
}

impl Suffix {
    /// The suffix with its dot.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Deleted => ".deleted",
            Self::Cleaned => ".cleaned",
            Self::Swap => ".swap",
        }
    }
}

/// A parsed name of a segment file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SegmentFile {
    /// Base offset of the segment; of a snapshot, the offset it describes.
    pub offset: Offset,
    /// What the file holds.
    pub kind: FileKind,
    /// What is going on with it.
    pub suffix: Suffix,
}

impl SegmentFile {
    /// The file of `kind` of the segment at `offset`, in use.
    #[must_use]
    pub const fn new(offset: Offset, kind: FileKind) -> Self {
        Self { offset, kind, suffix: Suffix::None }
    }

    /// The same file with another suffix.
    #[must_use]
    pub const fn with(self, suffix: Suffix) -> Self {
        Self { suffix, ..self }
    }

    /// The name on disk.
    #[must_use]
    pub fn name(self) -> String {
        let mut name = String::with_capacity(OFFSET_DIGITS + 32);
        write!(name, "{:020}", self.offset.0).expect("writing to a string does not fail");
        name.push_str(self.kind.extension());
        name.push_str(self.suffix.text());
        name
    }

    /// Reads a name; `None` for files that are not part of a segment.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let (digits, rest) = name.split_at_checked(OFFSET_DIGITS)?;
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let offset = Offset(digits.parse().ok()?);
        for kind in FileKind::ALL {
            let Some(tail) = rest.strip_prefix(kind.extension()) else { continue };
            let known = [Suffix::None, Suffix::Deleted, Suffix::Cleaned, Suffix::Swap];
            let suffix = known.into_iter().find(|suffix| suffix.text() == tail)?;
            return Some(Self { offset, kind, suffix });
        }
        None
    }
}

/// What a folder of a log directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FolderState {
    /// A partition.
    Live,
    /// A deleted partition that waits for removal.
    Deleted,
    /// A copy in the making for a move between directories.
    Future,
    /// A partition the metadata does not know.
    Stray,
}

/// A parsed folder name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Folder {
    /// Topic name; cut short in deleted folders of very long names.
    pub topic: String,
    /// Partition.
    pub partition: PartitionIndex,
    /// What the folder is.
    pub state: FolderState,
}

/// `topic-partition`.
#[must_use]
pub fn folder_name(topic: &str, partition: PartitionIndex) -> String {
    format!("{topic}-{partition}")
}

/// The name a partition's folder gets when it is deleted: `topic-partition.<unique>-delete`, at most 255 characters.
#[must_use]
pub fn deleted_folder_name(topic: &str, partition: PartitionIndex, unique: Uuid) -> String {
    marked_folder_name(topic, partition, unique, "-delete")
}

/// The name a folder gets that the metadata does not know: `topic-partition.<unique>-stray`.
#[must_use]
pub fn stray_folder_name(topic: &str, partition: PartitionIndex, unique: Uuid) -> String {
    marked_folder_name(topic, partition, unique, "-stray")
}

fn marked_folder_name(topic: &str, partition: PartitionIndex, unique: Uuid, mark: &str) -> String {
    let mut tail = format!("-{partition}.");
    for byte in unique.as_bytes() {
        write!(tail, "{byte:02x}").expect("writing to a string does not fail");
    }
    tail.push_str(mark);
    let topic_chars = topic.len().min(FILE_NAME_CHARS_MAX - tail.len());
    let kept = topic.get(..topic_chars).unwrap_or(topic);
    format!("{kept}{tail}")
}

impl Folder {
    /// Reads a folder name; `None` for what cannot be a partition.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let marks =
            [("-delete", FolderState::Deleted), ("-future", FolderState::Future), ("-stray", FolderState::Stray)];
        for (mark, state) in marks {
            let Some(rest) = name.strip_suffix(mark) else { continue };
            let (before, unique) = rest.rsplit_once('.')?;
            let is_unique = unique.len() == 32 && unique.bytes().all(|byte| byte.is_ascii_hexdigit());
            return if is_unique { Self::split(before, state) } else { None };
        }
        Self::split(name, FolderState::Live)
    }

    fn split(name: &str, state: FolderState) -> Option<Self> {
        let (topic, partition) = name.rsplit_once('-')?;
        let is_number = !partition.is_empty() && partition.bytes().all(|byte| byte.is_ascii_digit());
        if topic.is_empty() || !is_number {
            return None;
        }
        Some(Self { topic: topic.to_owned(), partition: PartitionIndex(partition.parse().ok()?), state })
    }
}

/// Kafka's per-partition checkpoint of leader epochs.
pub const LEADER_EPOCH_CHECKPOINT: &str = "leader-epoch-checkpoint";
/// Topic id of a partition folder.
pub const PARTITION_METADATA: &str = "partition.metadata";
/// Our list of damaged ranges of a partition.
pub const DAMAGE_LIST: &str = "barnabas-damage";
/// Identity of a log directory.
pub const META_PROPERTIES: &str = "meta.properties";
/// Held while a process uses the directory.
pub const LOCK: &str = ".lock";
/// Left by a clean stop (`CleanShutdownFileHandler`).
pub const CLEAN_SHUTDOWN: &str = ".kafka_cleanshutdown";
/// Recovery points of all partitions of a directory.
pub const RECOVERY_POINTS: &str = "recovery-point-offset-checkpoint";
/// Log start offsets.
pub const LOG_STARTS: &str = "log-start-offset-checkpoint";
/// High watermarks.
pub const HIGH_WATERMARKS: &str = "replication-offset-checkpoint";
/// First dirty offsets of compacted partitions.
pub const CLEANER_POINTS: &str = "cleaner-offset-checkpoint";
/// Allocated and empty: room for a start on a full device.
pub const RESERVE: &str = ".barnabas-reserve";
/// Journal file with the points that a start found, until the journals of this run say more.
pub const JOURNAL_POINTS: &str = ".barnabas-journal-points";
/// Empty file that says that the journals beside it are over: checkpoints tell what they told.
pub const JOURNALS_OVER: &str = ".barnabas-journals-over";
/// How names of journal files begin; shard, dot and file letter follow.
pub const JOURNAL_PREFIX: &str = ".barnabas-journal-";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segment_names_round_trip() {
        for kind in FileKind::ALL {
            for suffix in [Suffix::None, Suffix::Deleted, Suffix::Cleaned, Suffix::Swap] {
                let file = SegmentFile::new(Offset(1_234), kind).with(suffix);
                assert_eq!(SegmentFile::parse(&file.name()), Some(file));
            }
        }
        assert_eq!(SegmentFile::new(Offset(0), FileKind::Log).name(), "00000000000000000000.log");
        let foreign =
            ["0.log", "00000000000000000000.logx", "leader-epoch-checkpoint", "0000000000000000000a.log", "é"];
        for name in foreign {
            assert_eq!(SegmentFile::parse(name), None, "{name}");
        }
    }

    #[test]
    fn folder_names_round_trip() {
        let partition = PartitionIndex(7);
        let live = Folder::parse("a-b-7").expect("a partition folder");
        assert_eq!((live.topic.as_str(), live.partition, live.state), ("a-b", partition, FolderState::Live));
        let name = deleted_folder_name(&"t".repeat(249), partition, Uuid([0xab; 16]));
        assert_eq!(name.len(), 255);
        let deleted = Folder::parse(&name).expect("a deleted folder");
        assert_eq!((deleted.partition, deleted.state), (partition, FolderState::Deleted));
        for name in ["nodash", "-1", "a-", "a-x", "a-1.zz-delete"] {
            assert_eq!(Folder::parse(name), None, "{name}");
        }
    }
}
