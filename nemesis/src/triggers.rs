//! When faults start: at least half of them at an event, for faults at drawn times almost never hit windows of
//! milliseconds.

use barnabas_plan::{Api, Call, Fact, FileClass, NodeName, Trigger};

use crate::dice::Dice;

/// Disk calls worth a trigger, with the files they are made on.
const CALLS: &[(Call, FileClass)] = &[
    (Call::Sync, FileClass::Any),
    (Call::Sync, FileClass::Segment),
    (Call::Sync, FileClass::Journal),
    (Call::Sync, FileClass::MetadataSegment),
    (Call::SyncDir, FileClass::Directory),
    (Call::Rename, FileClass::Any),
    (Call::Rename, FileClass::Checkpoint),
    (Call::Rename, FileClass::Segment),
    (Call::Write, FileClass::Segment),
    (Call::Write, FileClass::OffsetsSegment),
    (Call::Write, FileClass::MetadataSegment),
    (Call::Write, FileClass::Journal),
    (Call::Write, FileClass::Index),
    (Call::Write, FileClass::Snapshot),
    (Call::Write, FileClass::Checkpoint),
    (Call::Open, FileClass::Segment),
    (Call::Remove, FileClass::Any),
    (Call::Truncate, FileClass::Any),
];

/// A trigger on `node` somewhere in the safety phase.
pub(crate) fn draw(dice: &mut Dice, node: NodeName, safety_ms: u64) -> Trigger {
    // The last part is left alone, so that what broke can come back before the heal.
    let ms = dice.below(safety_ms * 9 / 10);
    if dice.chance(2, 5) {
        return Trigger::At { ms };
    }
    let (since_ms, count) = (ms, u32::try_from(dice.magnitude(1, 32)).expect("small"));
    match dice.below(10) {
        0..=2 => {
            let (call, file) = *dice.pick(CALLS);
            Trigger::Issued { node, call, file, count, since_ms }
        }
        3..=5 => {
            let (call, file) = *dice.pick(CALLS);
            Trigger::Done { node, call, file, count, since_ms }
        }
        6 | 7 => Trigger::Answered { node, api: *dice.pick(Api::ALL), count, since_ms },
        8 => Trigger::Started { node, count: 1, since_ms },
        _ => Trigger::Observed { node, fact: *dice.pick(Fact::ALL), count, since_ms },
    }
}
