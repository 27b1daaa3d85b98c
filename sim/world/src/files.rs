//! Which class a broker's file belongs to, by its name. Triggers and disk rules ask.

use std::path::Path;

use barnabas_plan::{Call, FileClass};
use barnabas_runtime_madsim::DiskCallKind;

/// Whether `path` is of `class`. A directory has no suffix that says so: it is one by the call that is made on it.
pub(crate) fn is_of(class: FileClass, path: &Path, kind: DiskCallKind) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("");
    let folder = path.parent().and_then(Path::file_name).and_then(|name| name.to_str()).unwrap_or("");
    let is_segment = name.ends_with(".log");
    match class {
        FileClass::Any => true,
        FileClass::Segment => is_segment && !folder.starts_with("__"),
        FileClass::OffsetsSegment => is_segment && folder.starts_with("__consumer_offsets"),
        FileClass::MetadataSegment => is_segment && folder.starts_with("__cluster_metadata"),
        FileClass::Index => [".index", ".timeindex", ".txnindex"].iter().any(|suffix| name.ends_with(suffix)),
        FileClass::Journal => name.starts_with(".barnabas-journal"),
        FileClass::Snapshot => name.ends_with(".snapshot"),
        FileClass::MetadataSnapshot => name.ends_with(".checkpoint"),
        FileClass::Checkpoint => name.contains("checkpoint") && !name.ends_with(".checkpoint"),
        FileClass::QuorumState => name.starts_with("quorum-state"),
        FileClass::Meta => name.starts_with("meta.properties") || name.starts_with("partition.metadata"),
        FileClass::Check => name.ends_with(".barnabas-check"),
        FileClass::Directory => kind == DiskCallKind::SyncDir,
    }
}

/// Bytes at the start of a batch that its checksum leaves out: base offset, length, leader epoch, magic, the checksum.
pub(crate) const BATCH_HEAD_BYTES: u64 = 21;

/// Where the batches of a segment begin, as their lengths say.
pub(crate) fn batch_positions(segment: &[u8]) -> Vec<u64> {
    /// Base offset and length, which the length itself does not count.
    const BEFORE_LENGTH_BYTES: u64 = 12;
    let mut positions = Vec::new();
    let mut at = 0;
    while let Some(head) = segment.get(at..).and_then(<[u8]>::first_chunk::<12>) {
        let length = u32::from_be_bytes([head[8], head[9], head[10], head[11]]);
        let end = at as u64 + BEFORE_LENGTH_BYTES + u64::from(length);
        if u64::from(length) < BATCH_HEAD_BYTES || end > segment.len() as u64 {
            break;
        }
        positions.push(at as u64);
        at = usize::try_from(end).expect("within the segment");
    }
    positions
}

/// Whether a call of a node is what a plan calls `call`.
pub(crate) const fn is_call(call: Call, kind: DiskCallKind) -> bool {
    matches!(
        (call, kind),
        (Call::Open, DiskCallKind::Open)
            | (Call::Read, DiskCallKind::Read)
            | (Call::Write, DiskCallKind::Write)
            | (Call::Sync, DiskCallKind::Sync | DiskCallKind::SyncFilesystem)
            | (Call::SyncDir, DiskCallKind::SyncDir)
            | (Call::Rename, DiskCallKind::Rename)
            | (Call::Remove, DiskCallKind::Remove)
            | (Call::Truncate, DiskCallKind::Truncate)
            | (Call::Allocate, DiskCallKind::Allocate)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_fall_into_their_classes() {
        let class = |path: &str| {
            let is_of = |class: &FileClass| is_of(*class, Path::new(path), DiskCallKind::Write);
            FileClass::ALL.iter().copied().filter(is_of).skip(1).collect::<Vec<_>>()
        };
        assert_eq!(class("/data/t0-1/00000000000000000000.log"), [FileClass::Segment]);
        assert_eq!(class("/data/__consumer_offsets-0/00000000000000000000.log"), [FileClass::OffsetsSegment]);
        assert_eq!(class("/data/__cluster_metadata-0/00000000000000000000.log"), [FileClass::MetadataSegment]);
        assert_eq!(class("/data/t0-1/00000000000000000000.timeindex"), [FileClass::Index]);
        assert_eq!(class("/data/.barnabas-journal-0.a"), [FileClass::Journal]);
        assert_eq!(class("/data/recovery-point-offset-checkpoint.tmp"), [FileClass::Checkpoint]);
        assert_eq!(class("/data/t0-1/leader-epoch-checkpoint"), [FileClass::Checkpoint]);
        assert_eq!(
            class("/data/__cluster_metadata-0/00000000000000000007-0000000001.checkpoint"),
            [FileClass::MetadataSnapshot]
        );
    }
}
