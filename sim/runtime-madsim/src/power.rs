//! What a power loss leaves of a change that was not synced. Decided by keyed draws, so that the fate of one change does
//! not depend on any other; `volume` applies it.

use std::ops::RangeInclusive;

use barnabas_base::Keyed;

use crate::fault::PowerFate;
use crate::volume::{ChangeSeq, FileChange, Inode, write_into};

/// The unit in which a device keeps or loses bytes.
const SECTOR_BYTES: u64 = 512;

/// Whether a change of names survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Kept,
    Lost,
}

/// The draws of one power loss.
pub(crate) struct Fates<'a> {
    draw: &'a dyn Fn(&'static str, u64) -> Keyed,
    fate: PowerFate,
}

impl<'a> Fates<'a> {
    /// Fates that come from `draw`, called with a purpose and an entity.
    pub(crate) fn new(draw: &'a dyn Fn(&'static str, u64) -> Keyed, fate: PowerFate) -> Self {
        Self { draw, fate }
    }

    /// The fate of the change of names `seq` among those in `pending`. A whole loss may keep or lose all of them, keep a
    /// prefix, as a journal does, or any subset, as POSIX allows.
    pub(crate) fn names(&self, seq: ChangeSeq, pending: &RangeInclusive<ChangeSeq>) -> Fate {
        assert!(pending.contains(&seq), "a pending change lies in the range of pending changes");
        let mode = match self.fate {
            PowerFate::Drawn => (self.draw)("names: mode", 0).below(8),
            PowerFate::Nothing | PowerFate::NoNames => 0,
            PowerFate::Zeroes => 1,
            PowerFate::Prefix => 2,
            PowerFate::Sectors => 5,
        };
        let kept = match mode {
            0 => false,
            1 => true,
            2..=4 => seq - pending.start() < (self.draw)("names: cut", 0).below(pending.end() - pending.start() + 2),
            _ => (self.draw)("names: one", seq).chance(1, 2),
        };
        if kept { Fate::Kept } else { Fate::Lost }
    }

    /// What is left of a file that had `device` durable and `changes` not.
    pub(crate) fn file(
        &self,
        inode: Inode,
        device: Vec<u8>,
        changes: impl Iterator<Item = (ChangeSeq, FileChange)>,
    ) -> Vec<u8> {
        let mode = match self.fate {
            PowerFate::Drawn => (self.draw)("file: mode", inode).below(8),
            PowerFate::Nothing => 0,
            PowerFate::NoNames => 2,
            PowerFate::Prefix | PowerFate::Sectors | PowerFate::Zeroes => 3,
        };
        let mut content = device;
        for (seq, change) in changes {
            match mode {
                0 | 1 => {}
                2 => change.apply(&mut content),
                _ => self.tear(seq, &change, &mut content),
            }
        }
        content
    }

    fn tear(&self, seq: ChangeSeq, change: &FileChange, content: &mut Vec<u8>) {
        let outcome = match self.fate {
            PowerFate::Prefix => 4,
            PowerFate::Zeroes => 5,
            PowerFate::Sectors => 6,
            PowerFate::Drawn | PowerFate::Nothing | PowerFate::NoNames => (self.draw)("change", seq).below(8),
        };
        match (change, outcome) {
            (_, 0 | 1) => {}
            (_, 2 | 3) | (FileChange::Truncate { .. }, _) => change.apply(content),
            (FileChange::Write { offset, bytes }, 4) => {
                let kept = (self.draw)("prefix", seq).below(bytes.len() as u64 + 1);
                let kept = usize::try_from(kept).expect("not longer than the write");
                write_into(content, *offset, &bytes[..kept]);
            }
            // The inode with the new length made it, the blocks did not: zeroes.
            (FileChange::Write { offset, bytes }, 5) => extend(content, offset + bytes.len() as u64),
            (FileChange::Write { offset, bytes }, _) => self.keep_sectors(seq, *offset, bytes, content),
        }
    }

    fn keep_sectors(&self, seq: ChangeSeq, offset: u64, bytes: &[u8], content: &mut Vec<u8>) {
        extend(content, offset + bytes.len() as u64);
        let mut done = 0;
        while done < bytes.len() {
            let at = offset + done as u64;
            let sector = at / SECTOR_BYTES;
            let left = usize::try_from((sector + 1) * SECTOR_BYTES - at).expect("within a sector");
            let end = (done + left).min(bytes.len());
            if (self.draw)("sector", seq.wrapping_shl(24) ^ sector).chance(1, 2) {
                write_into(content, at, &bytes[done..end]);
            }
            done = end;
        }
    }
}

fn extend(content: &mut Vec<u8>, len: u64) {
    let len = usize::try_from(len).expect("simulated files fit memory");
    if content.len() < len {
        content.resize(len, 0);
    }
}
