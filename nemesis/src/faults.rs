//! Faults of a run: a subset of the families, each with its parameters from gentle to cruel.

use barnabas_plan::{Call, Family, Fate, Fault, FileClass, Lane, Machine, NodeName, Plan, PlannedFault, Trigger};

use crate::dice::Dice;
use crate::draw::Swarm;
use crate::triggers;

/// Most faults of a run.
const FAULTS_MAX: u64 = 14;
/// How long a node is down at most.
const DOWN_MAX_MS: u64 = 6_000;
/// How long a disturbance lasts at most.
const FOR_MAX_MS: u64 = 8_000;

pub(crate) fn draw(dice: &mut Dice, swarm: &Swarm, plan: &mut Plan) {
    let families: Vec<Family> = swarm.families.iter().copied().filter(|family| *family != Family::Client).collect();
    if families.is_empty() {
        return;
    }
    let count = dice.magnitude(1, FAULTS_MAX);
    for id in 0..count {
        let family = *dice.pick(&families);
        let node = NodeName(0);
        let trigger = triggers::draw(dice, node, plan.safety_ms);
        let fault = draw_fault(dice, family, node, plan);
        let id = u32::try_from(id).expect("few faults");
        plan.faults.push(PlannedFault { id, trigger: sensible(trigger, &fault), fault });
    }
}

/// A node that is down makes no calls: faults on its way back are worth most while it recovers.
fn sensible(trigger: Trigger, fault: &Fault) -> Trigger {
    match (&trigger, fault) {
        (Trigger::Started { node, since_ms, .. }, Fault::Stop { .. }) => {
            Trigger::Started { node: *node, count: 2, since_ms: *since_ms }
        }
        _ => trigger,
    }
}

fn machine(dice: &mut Dice, plan: &Plan) -> Machine {
    Machine::Client(dice.pick(&plan.clients).name)
}

/// A broker and a client, in one order or the other.
fn ends(dice: &mut Dice, node: NodeName, plan: &Plan) -> (Machine, Machine) {
    let client = machine(dice, plan);
    if dice.chance(1, 2) { (Machine::Node(node), client) } else { (client, Machine::Node(node)) }
}

fn back_ms(dice: &mut Dice) -> u64 {
    dice.magnitude(1, DOWN_MAX_MS)
}

fn for_ms(dice: &mut Dice) -> u64 {
    dice.magnitude(50, FOR_MAX_MS)
}

fn draw_fault(dice: &mut Dice, family: Family, node: NodeName, plan: &Plan) -> Fault {
    match family {
        Family::Kill | Family::Client => Fault::Crash { node, back_ms: back_ms(dice) },
        Family::Power => Fault::PowerLoss { node, fate: *dice.pick(Fate::ALL), back_ms: back_ms(dice) },
        Family::Pause => draw_pause(dice, node, plan),
        Family::Stop => {
            let kill_ms = *dice.pick(&[1, 20, 200, 30_000, 30_000]);
            Fault::Stop { node, kill_ms, back_ms: back_ms(dice) }
        }
        Family::Disk => draw_disk(dice, node),
        Family::Partition => draw_partition(dice, node, plan),
        Family::Delay => {
            let (from, to) = ends(dice, node, plan);
            let extra_ms = dice.magnitude(1, 2_000);
            Fault::Delay { from, to, extra_ms, loss_one_in: *dice.pick(&[0, 3, 20]), for_ms: for_ms(dice) }
        }
        Family::Connection => draw_connection(dice, node, plan),
        Family::Rot => Fault::Rot {
            node,
            file: draw_lied_about(dice, plan.lane),
            bits: u32::try_from(dice.magnitude(1, 64)).expect("few"),
        },
        Family::Misplaced => draw_misplaced(dice, node, plan.lane),
        Family::DiskError => draw_disk_error(dice, node),
        Family::Full if dice.chance(1, 3) => Fault::NoDescriptors { node, for_ms: for_ms(dice) },
        Family::Full => {
            let room_bytes = *dice.pick(&[0, 100, 4_096, 20_000, 200_000]);
            Fault::DiskFull { node, room_bytes, for_ms: for_ms(dice) }
        }
        Family::Slow => draw_slow(dice, node, plan),
        Family::Clock => draw_clock(dice, node, plan),
    }
}

fn draw_pause(dice: &mut Dice, node: NodeName, plan: &Plan) -> Fault {
    let for_ms = dice.magnitude(1, 20_000);
    match dice.below(3) {
        0 => Fault::Pause { machine: Machine::Node(node), for_ms },
        1 => Fault::Pause { machine: machine(dice, plan), for_ms },
        _ => Fault::FreezeShard { node, shard: u16::try_from(dice.below(5)).expect("few shards"), for_ms },
    }
}

fn draw_disk(dice: &mut Dice, node: NodeName) -> Fault {
    if dice.chance(1, 3) {
        return Fault::WipedDisk { node, back_ms: back_ms(dice) };
    }
    Fault::OldDisk { node, age_ms: dice.magnitude(100, 20_000), back_ms: back_ms(dice) }
}

fn draw_partition(dice: &mut Dice, node: NodeName, plan: &Plan) -> Fault {
    let (from, to) = ends(dice, node, plan);
    if dice.chance(1, 3) {
        return Fault::Flap { from, to, period_ms: dice.magnitude(50, 3_000), for_ms: for_ms(dice) };
    }
    Fault::Cut { from, to, both: dice.chance(1, 2), for_ms: for_ms(dice) }
}

fn draw_connection(dice: &mut Dice, node: NodeName, plan: &Plan) -> Fault {
    let (from, to) = ends(dice, node, plan);
    match dice.below(4) {
        0 => Fault::Reset { from, to },
        1 => Fault::ResetAfter { from, to, bytes: dice.magnitude(1, 20_000) },
        2 => Fault::HalfOpen { from, to },
        _ => Fault::SlowReader { machine: from, rate: dice.magnitude(200, 100_000), for_ms: for_ms(dice) },
    }
}

/// A class of files; segments, which hold what is promised, most often.
fn draw_file(dice: &mut Dice) -> FileClass {
    if dice.chance(1, 2) {
        return FileClass::Segment;
    }
    *dice.pick(&[
        FileClass::Any,
        FileClass::OffsetsSegment,
        FileClass::Index,
        FileClass::Journal,
        FileClass::Snapshot,
        FileClass::Checkpoint,
        FileClass::Check,
    ])
}

/// A class of files about which the device of a lane lies.
fn draw_lied_about(dice: &mut Dice, lane: Lane) -> FileClass {
    if lane == Lane::Caches {
        return *dice.pick(&[
            FileClass::Index,
            FileClass::Index,
            FileClass::Index,
            FileClass::Snapshot,
            FileClass::Check,
        ]);
    }
    draw_file(dice)
}

fn draw_misplaced(dice: &mut Dice, node: NodeName, lane: Lane) -> Fault {
    let file = draw_lied_about(dice, lane);
    if dice.chance(1, 2) {
        return Fault::LostWrite { node, file, count: 1 + dice.small(3) };
    }
    Fault::Misdirected { node, file, back_bytes: dice.magnitude(1, 4_096) }
}

fn draw_disk_error(dice: &mut Dice, node: NodeName) -> Fault {
    let file = if dice.chance(1, 2) { FileClass::Any } else { draw_file(dice) };
    if dice.chance(1, 4) {
        return Fault::ShortWrite { node, file, bytes: dice.magnitude(1, 2_000) };
    }
    let calls = [Call::Sync, Call::Sync, Call::Write, Call::Read, Call::Rename, Call::SyncDir, Call::Open];
    let call = *dice.pick(&calls);
    Fault::DiskError { node, call, file, count: *dice.pick(&[1, 1, 3, 1_000]) }
}

fn draw_slow(dice: &mut Dice, node: NodeName, plan: &Plan) -> Fault {
    match dice.below(4) {
        0 => Fault::SlowDisk { node, factor: *dice.pick(&[10, 100, 1_000]), for_ms: for_ms(dice) },
        1 | 2 => {
            let call = *dice.pick(&[Call::Sync, Call::Sync, Call::Write, Call::Read, Call::Rename]);
            let each_ms = dice.magnitude(10, 5_000);
            Fault::Stall { node, call, file: FileClass::Any, each_ms, for_ms: for_ms(dice) }
        }
        _ => {
            let who = if dice.chance(2, 3) { Machine::Node(node) } else { machine(dice, plan) };
            Fault::SlowNode { machine: who, factor: *dice.pick(&[10, 100, 500]), for_ms: for_ms(dice) }
        }
    }
}

fn draw_clock(dice: &mut Dice, node: NodeName, plan: &Plan) -> Fault {
    const TEN_YEARS_MS: u64 = 10 * 365 * 86_400_000;
    let who = if dice.chance(2, 3) { Machine::Node(node) } else { machine(dice, plan) };
    if dice.chance(1, 2) {
        let rate_permille = *dice.pick(&[500, 900, 999, 1_001, 1_100, 2_000]);
        return Fault::ClockDrift { machine: who, rate_permille, for_ms: dice.magnitude(1_000, 60_000) };
    }
    let by = i64::try_from(dice.magnitude(10, TEN_YEARS_MS)).expect("ten years fit");
    Fault::ClockJump { machine: who, by_ms: if dice.chance(1, 2) { by } else { -by } }
}
