//! What can be drawn, for people: the families with what they are, and the matrix of triggers and families.

use std::collections::BTreeMap;

use barnabas_plan::{Family, Plan, Trigger};

use crate::knobs;

/// A family with its number in the fault model and what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FamilyEntry {
    /// The family.
    pub family: Family,
    /// Its numbers in the fault model.
    pub number: &'static str,
    /// In words.
    pub words: &'static str,
}

const fn entry(family: Family, number: &'static str, words: &'static str) -> FamilyEntry {
    FamilyEntry { family, number, words }
}

/// Every family.
pub const FAMILIES: &[FamilyEntry] = &[
    entry(Family::Kill, "F01", "the process is killed; the page cache survives"),
    entry(Family::Power, "F02 F20", "power loss: unsynced bytes and names are lost, torn, zero-filled or kept"),
    entry(Family::Pause, "F03", "a process, a client or one shard stands still and goes on"),
    entry(Family::Stop, "F04", "SIGTERM, followed by SIGKILL when patience ends"),
    entry(Family::Disk, "F05", "the machine comes back with an old or an empty disk"),
    entry(Family::Partition, "F06-F09", "ways that are cut, in one direction or both, or flap"),
    entry(Family::Delay, "F10", "what goes one way is late, lost and sent again, or overtaken"),
    entry(Family::Connection, "F12", "resets, also after n bytes; half-open connections; slow readers"),
    entry(Family::Rot, "F13", "bits flip at rest"),
    entry(Family::Misplaced, "F14", "writes that never arrive, or arrive elsewhere"),
    entry(Family::DiskError, "F15-F17", "calls fail with EIO; a failed flush loses its pages; short writes"),
    entry(Family::Full, "F18", "the disk is full, or the process without a descriptor, for a while"),
    entry(Family::Slow, "F19", "a slow disk, calls that stall, a slow processor"),
    entry(Family::Clock, "F22-F25", "wall clocks that jump, clocks that run at another rate"),
    entry(Family::Client, "F27 F28 F30", "what clients do: crashes, floods, twins, zombies, garbage"),
];

/// Names of the knobs with the values they take.
pub fn knob_names() -> impl Iterator<Item = (&'static str, &'static [u64])> {
    knobs::names()
}

/// A cell of the matrix of triggers and families.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cell {
    /// The kind of event: what a trigger waits for, without its numbers.
    pub event: String,
    /// The family.
    pub family: Family,
}

/// Counts the cells of a plan's faults.
pub fn matrix(plan: &Plan, counts: &mut BTreeMap<Cell, u64>) {
    for planned in &plan.faults {
        let event = match &planned.trigger {
            Trigger::At { .. } => "time".to_owned(),
            Trigger::Issued { call, .. } => format!("{call} issued"),
            Trigger::Done { call, .. } => format!("{call} done"),
            Trigger::Answered { api, .. } => format!("{api} answered"),
            Trigger::Observed { fact, .. } => format!("{fact} observed"),
            Trigger::Started { .. } => "started".to_owned(),
        };
        *counts.entry(Cell { event, family: planned.fault.family() }).or_default() += 1;
    }
}
