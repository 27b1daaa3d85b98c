//! Where each leader epoch of a log begins (KIP-101): the answer to OffsetForLeaderEpoch and the ground on which a
//! follower truncates. Equal to a scan of the log but for an epoch that began without a batch so far. Knows no file;
//! gives and takes the text of `leader-epoch-checkpoint`.

use std::fmt;
use std::fmt::Write;

use barnabas_base::{LeaderEpoch, Offset};

/// Most entries a checkpoint file may hold; a log that changes its leader once a minute reaches it after two years.
const ENTRIES_MAX: usize = 1_000_000;
/// Version of the checkpoint's text format.
const FILE_VERSION: &str = "0";

/// Start of one leader epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochEntry {
    /// The epoch.
    pub epoch: LeaderEpoch,
    /// Offset of the first batch in it, or the log end offset when it began without one.
    pub start_offset: Offset,
}

/// Effect of an assignment: entries from `keep` on go, and the epoch is added unless it `is_there`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Assignment {
    pub(crate) keep: usize,
    is_there: bool,
}

/// All epochs of a log, rising strictly in epoch and start offset (I12).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EpochCache {
    entries: Vec<EpochEntry>,
}

impl EpochCache {
    /// An empty cache.
    #[must_use]
    pub const fn new() -> Self {
        Self { entries: Vec::new() }
    }

    /// All entries, oldest first.
    #[must_use]
    pub fn entries(&self) -> &[EpochEntry] {
        &self.entries
    }

    /// The latest epoch.
    #[must_use]
    pub fn latest(&self) -> Option<EpochEntry> {
        self.entries.last().copied()
    }

    /// Notes that `epoch` has a batch at, or begins at, `start_offset`; true when that was news and the checkpoint is
    /// to be written. Entries that contradict the new one go: an epoch that began at the same offset has no batch.
    pub fn assign(&mut self, epoch: LeaderEpoch, start_offset: Offset) -> bool {
        let Some(assignment) = self.plan(epoch, start_offset) else {
            return false;
        };
        self.entries.truncate(assignment.keep);
        if !assignment.is_there {
            self.entries.push(EpochEntry { epoch, start_offset });
        }
        true
    }

    /// What [`EpochCache::assign`] would do, none for nothing.
    pub(crate) fn plan(&self, epoch: LeaderEpoch, start_offset: Offset) -> Option<Assignment> {
        assert!(epoch.0 >= 0, "only real epochs begin");
        assert!(start_offset.0 >= 0, "epochs begin at real offsets");
        let below = self.entries.partition_point(|entry| entry.epoch < epoch && entry.start_offset < start_offset);
        // A former leader that follows again may have begun a later epoch in vain. Its own epoch then goes on from
        // where it began, not from here.
        let is_there =
            self.entries.get(below).is_some_and(|entry| entry.epoch == epoch && entry.start_offset <= start_offset);
        let keep = below + usize::from(is_there);
        let is_news = !is_there || keep < self.entries.len();
        is_news.then_some(Assignment { keep, is_there })
    }

    /// The largest epoch not above `requested` and the offset at which it ends here, `log_end` for the latest. None
    /// when `requested` is unknown or later than all: the asker then knows more than this log.
    ///
    /// An epoch before all known ones gets the start of the first: what came before was deleted, and the asker can
    /// only go on from there.
    #[must_use]
    pub fn end_offset_for(&self, requested: LeaderEpoch, log_end: Offset) -> Option<(LeaderEpoch, Offset)> {
        let latest = self.latest()?;
        if requested.0 < 0 || requested > latest.epoch {
            return None;
        }
        if requested == latest.epoch {
            return Some((requested, log_end));
        }
        let above = self.entries.partition_point(|entry| entry.epoch <= requested);
        let end = self.entries[above].start_offset;
        let found = above.checked_sub(1).map(|below| self.entries[below].epoch);
        Some((found.unwrap_or(requested), end))
    }

    /// The epoch in which the record at `offset` was appended.
    #[must_use]
    pub fn epoch_for_offset(&self, offset: Offset) -> Option<LeaderEpoch> {
        let above = self.entries.partition_point(|entry| entry.start_offset <= offset);
        let below = above.checked_sub(1)?;
        Some(self.entries[below].epoch)
    }

    /// Drops the epochs that begin at or past `end_offset`, the new end of the log; true when there were some. An
    /// epoch that begins exactly at the end goes too: kept, it would claim offsets that the next leader fills (H05).
    pub fn truncate_from_end(&mut self, end_offset: Offset) -> bool {
        let keep = self.entries.partition_point(|entry| entry.start_offset < end_offset);
        let is_cut = keep < self.entries.len();
        self.entries.truncate(keep);
        is_cut
    }

    /// Drops what lies before `start_offset`, the new start of the log. The epoch of the first remaining record stays and
    /// begins there.
    pub fn truncate_from_start(&mut self, start_offset: Offset) {
        let below = self.entries.partition_point(|entry| entry.start_offset <= start_offset);
        let Some(first) = below.checked_sub(1) else { return };
        self.entries.drain(..first);
        self.entries[0].start_offset = start_offset;
    }

    /// Replaces the entries from `keep` on by `tail`: undoes an [`EpochCache::assign`].
    pub(crate) fn restore_tail(&mut self, keep: usize, tail: &[EpochEntry]) {
        self.entries.truncate(keep);
        self.entries.extend_from_slice(tail);
    }

    /// Text of `leader-epoch-checkpoint`: version, count, then a line with epoch and start offset for each entry.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = format!("{FILE_VERSION}\n{}\n", self.entries.len());
        for entry in &self.entries {
            writeln!(text, "{} {}", entry.epoch, entry.start_offset).expect("writing to a string cannot fail");
        }
        text
    }

    /// Reads such a text.
    ///
    /// # Errors
    /// [`EpochFileError`]; the cache can then be rebuilt from the log.
    pub fn from_text(text: &str) -> Result<Self, EpochFileError> {
        let mut lines = text.lines();
        let version = lines.next().ok_or(EpochFileError::Truncated)?.trim();
        if version != FILE_VERSION {
            return Err(EpochFileError::Version);
        }
        let count = lines.next().ok_or(EpochFileError::Truncated)?.trim();
        let count: usize = count.parse().map_err(|_| EpochFileError::Line(2))?;
        if count > ENTRIES_MAX {
            return Err(EpochFileError::Line(2));
        }
        let mut cache = Self::new();
        for index in 0..count {
            let line_number = index + 3;
            let line = lines.next().ok_or(EpochFileError::Truncated)?;
            let entry = parse_entry(line).ok_or(EpochFileError::Line(line_number))?;
            let is_rising = cache
                .latest()
                .is_none_or(|latest| latest.epoch < entry.epoch && latest.start_offset < entry.start_offset);
            if !is_rising {
                return Err(EpochFileError::Order(line_number));
            }
            cache.entries.push(entry);
        }
        match lines.next() {
            None => Ok(cache),
            Some(_) => Err(EpochFileError::Line(count + 3)),
        }
    }
}

fn parse_entry(line: &str) -> Option<EpochEntry> {
    let mut words = line.split_whitespace();
    let epoch = words.next()?.parse().ok().filter(|epoch| *epoch >= 0)?;
    let start_offset = words.next()?.parse().ok().filter(|offset| *offset >= 0)?;
    match words.next() {
        None => Some(EpochEntry { epoch: LeaderEpoch(epoch), start_offset: Offset(start_offset) }),
        Some(_) => None,
    }
}

/// Why a text is not a checkpoint of leader epochs. Lines count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EpochFileError {
    /// Another version than 0.
    Version,
    /// Fewer lines than announced.
    Truncated,
    /// A line that does not read.
    Line(usize),
    /// A line that does not rise above the one before.
    Order(usize),
}

impl fmt::Display for EpochFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version => f.write_str("unknown version of the epoch checkpoint"),
            Self::Truncated => f.write_str("epoch checkpoint ends early"),
            Self::Line(line) => write!(f, "epoch checkpoint line {line} does not read"),
            Self::Order(line) => write!(f, "epoch checkpoint line {line} is out of order"),
        }
    }
}

impl std::error::Error for EpochFileError {}

#[cfg(test)]
#[path = "epoch_cache_test.rs"]
mod tests;
