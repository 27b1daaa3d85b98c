//! Prints the files of a log directory for people: segments, indexes, producer snapshots, metadata snapshots, journals,
//! checkpoints. The layout is that of Kafka's `DumpLogSegments`, so that scripts for it read ours. Reads files on its
//! own: it must also print what a log would refuse. `barnabas log dump` drives it.

mod batches;
mod decode;
mod index;
mod journal;
mod segment;
mod snapshot;

use std::io;
use std::path::Path;

use barnabas_runtime::{Disk, OpenMode, file_name};

use crate::name::JOURNAL_PREFIX;
use crate::small_file;

/// Problems that one dump lists; the rest are counted.
const PROBLEMS_MAX: usize = 1000;

/// What is printed of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DumpOptions {
    /// Print the records of each batch (`--deep-iteration`).
    pub deep: bool,
    /// Print keys and values of the records (`--print-data-log`). Any decoder but [`Decoder::Text`] implies it.
    pub print_data: bool,
    /// What the records are.
    pub decoder: Decoder,
    /// Print keys and values only (`--skip-record-metadata`).
    pub skip_record_metadata: bool,
    /// Stop behind this many bytes of a segment (`--max-bytes`).
    pub max_bytes: Option<u64>,
    /// What is done with an index.
    pub index: IndexMode,
}

impl Default for DumpOptions {
    fn default() -> Self {
        Self {
            deep: false,
            print_data: false,
            decoder: Decoder::Text,
            skip_record_metadata: false,
            max_bytes: None,
            index: IndexMode::Print,
        }
    }
}

impl DumpOptions {
    const fn prints_data(&self) -> bool {
        self.print_data || !matches!(self.decoder, Decoder::Text)
    }

    const fn prints_records(&self) -> bool {
        self.deep || self.prints_data()
    }
}

/// What the records of a segment are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoder {
    /// Text.
    Text,
    /// `__consumer_offsets` (`--offsets-decoder`).
    Offsets,
    /// `__transaction_state` (`--transaction-log-decoder`).
    Transactions,
    /// `__cluster_metadata` (`--cluster-metadata-decoder`).
    ClusterMetadata,
}

/// What is done with an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IndexMode {
    /// Its entries are printed and compared with the segment.
    Print,
    /// Its entries are compared with the segment (`--verify-index-only`).
    VerifyOnly,
    /// Only its shape is checked (`--index-sanity-check`).
    SanityOnly,
}

/// What is wrong with the dumped file, for standard error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DumpProblems {
    /// One a line.
    pub lines: Vec<String>,
    /// Problems beyond those listed.
    pub unlisted: u64,
}

impl DumpProblems {
    fn push(&mut self, line: impl FnOnce() -> String) {
        if self.lines.len() < PROBLEMS_MAX {
            self.lines.push(line());
        } else {
            self.unlisted += 1;
        }
    }

    /// Problems under one heading, which is written with the first of them.
    fn section(&mut self, heading: String) -> Section<'_> {
        Section { problems: self, heading: Some(heading) }
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.unlisted == 0
    }
}

struct Section<'a> {
    problems: &'a mut DumpProblems,
    heading: Option<String>,
}

impl Section<'_> {
    fn push(&mut self, line: impl FnOnce() -> String) {
        if let Some(heading) = self.heading.take() {
            self.problems.push(|| heading);
        }
        self.problems.push(line);
    }
}

/// Prints the file at `path`, line by line, to `out`.
///
/// # Errors
/// Those of the disk, and `InvalidData` for a file that cannot be told by its name.
pub async fn dump(
    disk: &dyn Disk,
    path: &Path,
    options: &DumpOptions,
    out: &mut dyn FnMut(&str),
) -> io::Result<DumpProblems> {
    let mut problems = DumpProblems::default();
    disk.metadata(path).await?;
    out(&format!("Dumping {}", path.display()));
    let name = file_name(path).unwrap_or_default();
    if name.starts_with(JOURNAL_PREFIX) {
        journal::dump_journal(&read_whole(disk, path).await?, out, &mut problems);
        return Ok(problems);
    }
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("log" | "checkpoint") => {
            let file = disk.open(path, OpenMode::Read).await?;
            segment::dump_segment(&*file, &name, options, out, &mut problems).await?;
        }
        Some("index") => index::dump_offset_index(disk, path, options, out, &mut problems).await?,
        Some("timeindex") => index::dump_time_index(disk, path, options, out, &mut problems).await?,
        Some("txnindex") => index::dump_txn_index(&read_whole(disk, path).await?, out, &mut problems),
        Some("snapshot") => snapshot::dump_snapshot(&read_whole(disk, path).await?, &name, out, &mut problems),
        _ if is_text(&name) => {
            let bytes = read_whole(disk, path).await?;
            String::from_utf8_lossy(&bytes).lines().for_each(out);
        }
        _ => problems.push(|| format!("Ignoring unknown file {}", path.display())),
    }
    Ok(problems)
}

/// Small files that are text already.
fn is_text(name: &str) -> bool {
    const TEXT_FILES: [&str; 4] = ["partition.metadata", "meta.properties", "quorum-state", "leader-epoch-checkpoint"];
    TEXT_FILES.contains(&name) || name.ends_with("-checkpoint")
}

async fn read_whole(disk: &dyn Disk, path: &Path) -> io::Result<bytes::Bytes> {
    small_file::read(disk, path).await?.ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// The offset that a segment's file is named after.
fn offset_of(name: &str) -> Option<i64> {
    name.split('.').next()?.parse().ok()
}
