//! Schemes: faults that do their harm together. Drawn one by one they hardly ever meet: a sync that stands still when the
//! power goes, a death soon after a flush that failed, an index that changes before it is read again.

use barnabas_base::Keyed;
use barnabas_plan::{
    Api, Call, ClientName, Fact, Family, Fate, Fault, FileClass, Lane, Machine, NodeName, Plan, PlannedFault, Trigger,
};

use crate::dice::Dice;

/// So many runs of four carry out a scheme.
const OF_FOUR: u64 = 3;
/// Longest way back up: what follows in a scheme comes soon.
const BACK_MAX_MS: u64 = 400;

/// A scheme: what it needs of a lane, and its faults from a time on.
struct Scheme {
    /// How often it is taken, against the others that fit.
    weight: u32,
    families: &'static [Family],
    not_in: &'static [Lane],
    faults: Faults,
}

type Faults = fn(&mut Dice, Lane, u64) -> Vec<(Trigger, Fault)>;

const SCHEMES: &[Scheme] = &[
    scheme(2, &[Family::Slow, Family::Power], answered_before_a_sync),
    scheme(2, &[Family::Slow, Family::Power, Family::Kill], two_deaths_before_a_sync),
    scheme(2, &[Family::Slow, Family::Power], power_before_segments),
    scheme(2, &[Family::Slow, Family::Power], answered_out_of_time),
    scheme(4, &[Family::Slow, Family::Power, Family::Kill], found_before_a_sync),
    scheme(2, &[Family::Power, Family::Kill], left_in_the_page_cache),
    scheme(12, &[Family::DiskError, Family::Power], failed_sync_then_power),
    scheme(12, &[Family::DiskError, Family::Power, Family::Kill], failed_sync_then_two_deaths),
    scheme(6, &[Family::DiskError, Family::Power, Family::Kill, Family::Slow], torn_end_whose_cut_fails),
    scheme(6, &[Family::Full, Family::Kill, Family::Stop], full_at_a_start),
    scheme(12, &[Family::Full], full_behind_an_answer),
    scheme(1, &[Family::Rot, Family::Misplaced, Family::Stop, Family::Kill], index_that_changed),
    in_records(scheme(2, &[Family::Rot, Family::Kill], heads_that_rot)),
    in_records(scheme(2, &[Family::Rot, Family::Kill], damage_before_a_false_head)),
    in_records(scheme(3, &[Family::Rot, Family::Power], heads_and_their_indexes)),
    in_records(scheme(3, &[Family::Rot], heads_of_a_living_broker)),
    scheme(4, &[Family::Slow, Family::Kill], slow_start),
    scheme(3, &[Family::Slow], slow_names),
    scheme(3, &[Family::Slow, Family::Kill], late_open_after_a_start),
    scheme(8, &[Family::Clock], clock_that_runs_ahead),
    scheme(8, &[Family::Clock, Family::Pause, Family::Connection, Family::Slow], forgotten_before_a_retry),
    scheme(1, &[Family::Disk], ids_of_an_old_disk),
];

const fn scheme(weight: u32, families: &'static [Family], faults: Faults) -> Scheme {
    Scheme { weight, families, not_in: &[], faults }
}

/// Of records: there is a lane in which only what can be made again from them is damaged.
const fn in_records(scheme: Scheme) -> Scheme {
    Scheme { not_in: &[Lane::Caches], ..scheme }
}

impl Scheme {
    fn fits(&self, lane: Lane) -> bool {
        !self.not_in.contains(&lane) && self.families.iter().all(|family| lane.families().contains(family))
    }
}

/// Adds the faults of a scheme to the plans of [`OF_FOUR`] runs of four. Dice of its own leave all else of the plan as it is.
pub(crate) fn draw(plan: &mut Plan) {
    let mut dice = Dice::new(Keyed::new(plan.seed, "scheme").with(plan.lane as u64).bits());
    let often = |scheme: &'static Scheme| (0..scheme.weight).map(move |_| scheme);
    let fitting: Vec<&Scheme> = SCHEMES.iter().filter(|scheme| scheme.fits(plan.lane)).flat_map(often).collect();
    if fitting.is_empty() || plan.faults.is_empty() || !dice.chance(OF_FOUR, 4) {
        return;
    }
    // The last part is left alone, so that what broke can come back before the heal.
    let at_ms = dice.between(plan.safety_ms / 20, plan.safety_ms * 8 / 10);
    let scheme = *dice.pick(&fitting);
    let next = plan.faults.iter().map(|planned| planned.id + 1).max().unwrap_or(0);
    let faults = (scheme.faults)(&mut dice, plan.lane, at_ms);
    plan.faults.extend((next..).zip(faults).map(|(id, (trigger, fault))| PlannedFault { id, trigger, fault }));
}

const NODE: NodeName = NodeName(0);

const fn at(ms: u64) -> Trigger {
    Trigger::At { ms }
}

fn soon(dice: &mut Dice, max: u64) -> u64 {
    dice.magnitude(1, max)
}

fn few(dice: &mut Dice, max: u64) -> u32 {
    u32::try_from(dice.magnitude(1, max)).expect("a few")
}

fn crash(dice: &mut Dice) -> Fault {
    Fault::Crash { node: NODE, back_ms: soon(dice, BACK_MAX_MS) }
}

fn power_loss(dice: &mut Dice, fates: &[Fate]) -> Fault {
    Fault::PowerLoss { node: NODE, fate: *dice.pick(fates), back_ms: soon(dice, BACK_MAX_MS) }
}

/// Files that hold what was promised.
fn promised_file(dice: &mut Dice) -> FileClass {
    *dice.pick(&[
        FileClass::Any,
        FileClass::Any,
        FileClass::Journal,
        FileClass::Segment,
        FileClass::Segment,
        FileClass::OffsetsSegment,
        FileClass::MetadataSegment,
    ])
}

/// What a lane is about is what its brokers answer most.
fn api_of(dice: &mut Dice, lane: Lane) -> Api {
    match lane {
        Lane::Groups => *dice.pick(&[Api::OffsetCommit, Api::OffsetCommit, Api::Produce, Api::JoinGroup]),
        Lane::Admin => *dice.pick(&[Api::CreateTopics, Api::Produce]),
        Lane::Retention => *dice.pick(&[Api::Produce, Api::DeleteRecords, Api::DeleteRecords, Api::Fetch]),
        Lane::Durable
        | Lane::PageCache
        | Lane::Acks
        | Lane::Compacted
        | Lane::Device
        | Lane::Rot
        | Lane::Replaced
        | Lane::Clock
        | Lane::Raw
        | Lane::Caches => Api::Produce,
    }
}

fn slow_syncs(dice: &mut Dice, at_ms: u64) -> (Trigger, Fault) {
    let (file, each_ms) = (promised_file(dice), dice.magnitude(100, 8_000));
    let for_ms = dice.between(2_000, 8_000);
    (at(at_ms), Fault::Stall { node: NODE, call: Call::Sync, file, each_ms, for_ms })
}

/// The power goes while syncs stand still and answers go out: what was answered and is not safe is gone.
fn answered_before_a_sync(dice: &mut Dice, lane: Lane, at_ms: u64) -> Vec<(Trigger, Fault)> {
    let stalled = slow_syncs(dice, at_ms);
    let (api, count, since_ms) = (api_of(dice, lane), few(dice, 16), at_ms + dice.between(1, 6_000));
    let answered = Trigger::Answered { node: NODE, api, count, since_ms };
    let fates = [Fate::Nothing, Fate::Nothing, Fate::Drawn, Fate::Prefix, Fate::NoNames, Fate::Zeroes];
    vec![stalled, (answered, power_loss(dice, &fates))]
}

/// The power goes while segments stand still and the journal, which is what makes a commit, does not.
fn power_before_segments(dice: &mut Dice, _: Lane, at_ms: u64) -> Vec<(Trigger, Fault)> {
    let (file, each_ms) = (FileClass::Segment, dice.between(2_000, 10_000));
    let stalled = Fault::Stall { node: NODE, call: Call::Sync, file, each_ms, for_ms: 10_000 };
    let lost_ms = at_ms + dice.between(1_000, 8_000);
    vec![(at(at_ms), stalled), (at(lost_ms), power_loss(dice, &[Fate::Nothing, Fate::Nothing, Fate::Drawn]))]
}

/// A sync stands still for longer than clients wait, and the power goes when they are told something.
fn answered_out_of_time(dice: &mut Dice, lane: Lane, at_ms: u64) -> Vec<(Trigger, Fault)> {
    let file = *dice.pick(&[FileClass::Any, FileClass::Journal]);
    let each_ms = dice.between(3_000, 20_000);
    let stalled = Fault::Stall { node: NODE, call: Call::Sync, file, each_ms, for_ms: each_ms };
    let (api, since_ms) = (api_of(dice, lane), at_ms + dice.between(500, each_ms));
    let answered = Trigger::Answered { node: NODE, api, count: few(dice, 4), since_ms };
    vec![(at(at_ms), stalled), (answered, power_loss(dice, &[Fate::Nothing, Fate::Nothing, Fate::Drawn]))]
}

/// The process dies before the journal is synced, its successor finds in the page cache what it left there, and the power
/// goes once that was served and before it is synced.
fn found_before_a_sync(dice: &mut Dice, _: Lane, at_ms: u64) -> Vec<(Trigger, Fault)> {
    let stall = |file, each_ms, for_ms| Fault::Stall { node: NODE, call: Call::Sync, file, each_ms, for_ms };
    let crashes_ms = at_ms + dice.between(50, 2_000);
    let before = stall(*dice.pick(&[FileClass::Journal, FileClass::Any]), 10_000, crashes_ms - at_ms);
    let after = stall(FileClass::Segment, dice.between(5_000, 10_000), 10_000);
    let observed = |fact, count| Trigger::Observed { node: NODE, fact, count, since_ms: crashes_ms + 1 };
    let fact = *dice.pick(&[Fact::Served, Fact::Served, Fact::HighWatermark]);
    // What the journal holds is synced before any log is loaded.
    let (loaded, served) = (observed(Fact::LogLoaded, few(dice, 4)), observed(fact, few(dice, 16)));
    vec![
        (at(at_ms), before),
        (at(crashes_ms), crash(dice)),
        (loaded, after),
        (served, power_loss(dice, &[Fate::Nothing, Fate::Nothing, Fate::Drawn])),
    ]
}

/// The process dies between the writing of a small file and its sync, and the power goes while a later life goes by it.
fn left_in_the_page_cache(dice: &mut Dice, _: Lane, at_ms: u64) -> Vec<(Trigger, Fault)> {
    let file = *dice.pick(&[
        FileClass::Meta,
        FileClass::Meta,
        FileClass::Checkpoint,
        FileClass::Check,
        FileClass::Index,
        FileClass::Snapshot,
    ]);
    // Topics are made early in most lanes.
    let since_ms = if file == FileClass::Meta { 0 } else { at_ms };
    let written = Trigger::Done { node: NODE, call: Call::Write, file, count: few(dice, 8), since_ms };
    let lost_ms = at_ms + BACK_MAX_MS + soon(dice, 8_000);
    vec![(written, crash(dice)), (at(lost_ms), power_loss(dice, &[Fate::Nothing, Fate::Nothing, Fate::Drawn]))]
}

/// The process dies while syncs stand still, and the power goes when its successor has shown what it found.
fn two_deaths_before_a_sync(dice: &mut Dice, _: Lane, at_ms: u64) -> Vec<(Trigger, Fault)> {
    let (file, each_ms) = (*dice.pick(&[FileClass::Any, FileClass::Journal]), dice.magnitude(500, 4_000));
    let stalled = Fault::Stall { node: NODE, call: Call::Sync, file, each_ms, for_ms: 10_000 };
    let crashes_ms = at_ms + dice.between(50, 1_000);
    let died = (at(crashes_ms), crash(dice));
    let fact = *dice.pick(&[Fact::Served, Fact::Served, Fact::Served, Fact::LogLoaded, Fact::HighWatermark]);
    let served = Trigger::Observed { node: NODE, fact, count: few(dice, 32), since_ms: crashes_ms + 1 };
    vec![(at(at_ms), stalled), died, (served, power_loss(dice, &[Fate::Nothing, Fate::Nothing, Fate::Drawn]))]
}

fn failed_sync(dice: &mut Dice, at_ms: u64) -> (Trigger, Fault) {
    // Commits sync the journal; what syncs a segment comes rarely.
    let file = *dice.pick(&[FileClass::Journal, FileClass::Journal, FileClass::Any, FileClass::MetadataSegment]);
    // Who tries again after one failure is told that all is well.
    let count = *dice.pick(&[1, 1, 1, 2, 4]);
    let fault = Fault::DiskError { node: NODE, call: Call::Sync, file, count };
    (at(at_ms), fault)
}

/// A flush fails, and a device that says no more of it loses power.
fn failed_sync_then_power(dice: &mut Dice, lane: Lane, at_ms: u64) -> Vec<(Trigger, Fault)> {
    let failed = failed_sync(dice, at_ms);
    let (api, count) = (api_of(dice, lane), few(dice, 64));
    let trigger = if dice.chance(1, 2) {
        Trigger::Answered { node: NODE, api, count, since_ms: at_ms + 1 }
    } else {
        at(at_ms + soon(dice, 4_000))
    };
    vec![failed, (trigger, power_loss(dice, &[Fate::Nothing, Fate::Drawn]))]
}

/// A flush fails, its process dies, and the power goes before or after the successor has put things right.
fn failed_sync_then_two_deaths(dice: &mut Dice, _: Lane, at_ms: u64) -> Vec<(Trigger, Fault)> {
    let failed = failed_sync(dice, at_ms);
    let crashes_ms = at_ms + soon(dice, 1_000);
    let died = (at(crashes_ms), crash(dice));
    let trigger = match dice.below(3) {
        0 => at(crashes_ms + BACK_MAX_MS + soon(dice, 4_000)),
        1 => Trigger::Observed {
            node: NODE,
            fact: *dice.pick(&[Fact::Served, Fact::LogLoaded, Fact::Acked]),
            count: few(dice, 16),
            since_ms: crashes_ms + 1,
        },
        _ => Trigger::Done {
            node: NODE,
            call: Call::Sync,
            file: *dice.pick(&[FileClass::Any, FileClass::Segment, FileClass::MetadataSegment]),
            count: few(dice, 32),
            since_ms: crashes_ms + 1,
        },
    };
    vec![failed, died, (trigger, power_loss(dice, &[Fate::Nothing, Fate::Nothing, Fate::Drawn]))]
}

/// The power tears the ends of files, the flush of their cut fails, and the power goes once more, while what would make the
/// cut durable after all stands still.
fn torn_end_whose_cut_fails(dice: &mut Dice, _: Lane, at_ms: u64) -> Vec<(Trigger, Fault)> {
    let segment = FileClass::Segment;
    let done = |call, count| Trigger::Done { node: NODE, call, file: segment, count, since_ms: at_ms };
    let writing = done(Call::Write, few(dice, 8));
    let torn = power_loss(dice, &[Fate::Sectors, Fate::Prefix, Fate::Zeroes]);
    // The first that is cut after the restart, or whatever is synced first.
    let restarted = Trigger::Started { node: NODE, count: 1, since_ms: at_ms };
    let cut = if dice.chance(2, 3) { done(Call::Truncate, few(dice, 3)) } else { restarted };
    let failed = Fault::DiskError { node: NODE, call: Call::Sync, file: segment, count: few(dice, 3) };
    let crashes_ms = at_ms + 500 + soon(dice, 3_000);
    let died = (at(crashes_ms), crash(dice));
    let slow_ms = crashes_ms + BACK_MAX_MS + soon(dice, 1_000);
    let slow = Fault::Stall { node: NODE, call: Call::Sync, file: segment, each_ms: 10_000, for_ms: 10_000 };
    let lost = (at(slow_ms + soon(dice, 4_000)), power_loss(dice, &[Fate::Nothing, Fate::Nothing, Fate::Drawn]));
    let mut faults = vec![(writing, torn), (cut, failed), died, lost];
    if dice.chance(1, 2) {
        faults.push((at(slow_ms), slow));
    }
    faults
}

/// The disk is full for a while, and the process ends and starts in it: what would be written at a start has no room.
fn full_at_a_start(dice: &mut Dice, _: Lane, at_ms: u64) -> Vec<(Trigger, Fault)> {
    let room_bytes = *dice.pick(&[0, 100, 5_000, 60_000]);
    let full = Fault::DiskFull { node: NODE, room_bytes, for_ms: dice.between(4_000, 12_000) };
    let back_ms = soon(dice, BACK_MAX_MS);
    let ended = if dice.chance(1, 2) { Fault::Stop { node: NODE, kill_ms: 30_000, back_ms } } else { crash(dice) };
    vec![(at(at_ms), full), (at(at_ms + dice.between(500, 3_000)), ended)]
}

/// The disk is full just when somebody was told something, or when it was written: what follows from it has no room.
fn full_behind_an_answer(dice: &mut Dice, _: Lane, at_ms: u64) -> Vec<(Trigger, Fault)> {
    let mut since_ms = at_ms / 3;
    let mut faults = Vec::new();
    for _ in 0..dice.between(2, 4) {
        let count = few(dice, 12);
        let done = |file| Trigger::Done { node: NODE, call: Call::Write, file, count, since_ms };
        let trigger = match dice.below(6) {
            0 | 1 => Trigger::Answered { node: NODE, api: Api::JoinGroup, count, since_ms },
            2 => Trigger::Answered { node: NODE, api: Api::CreateTopics, count, since_ms },
            3 => done(FileClass::MetadataSegment),
            _ => done(FileClass::OffsetsSegment),
        };
        let (room_bytes, for_ms) = (*dice.pick(&[0, 0, 100, 4_096]), dice.between(300, 6_000));
        faults.push((trigger, Fault::DiskFull { node: NODE, room_bytes, for_ms }));
        since_ms += for_ms + dice.between(500, 5_000);
    }
    faults
}

/// An index changes on its disk, and a start reads it.
fn index_that_changed(dice: &mut Dice, _: Lane, at_ms: u64) -> Vec<(Trigger, Fault)> {
    let file = FileClass::Index;
    let mut faults = Vec::new();
    for _ in 0..dice.between(1, 3) {
        let changed = match dice.below(4) {
            0 => Fault::LostWrite { node: NODE, file, count: few(dice, 4) },
            1 => Fault::Misdirected { node: NODE, file, back_bytes: dice.magnitude(1, 64) },
            _ => Fault::Rot { node: NODE, file, bits: few(dice, 64) },
        };
        faults.push((at(at_ms), changed));
    }
    let back_ms = soon(dice, BACK_MAX_MS);
    let ended = if dice.chance(2, 3) { Fault::Stop { node: NODE, kill_ms: 30_000, back_ms } } else { crash(dice) };
    faults.push((at(at_ms + soon(dice, 2_000)), ended));
    faults
}

/// What no checksum of a batch covers changes on the disk between two lives: nothing of it may be served. While a log is
/// open it is, until it is scrubbed.
fn heads_that_rot(dice: &mut Dice, _: Lane, at_ms: u64) -> Vec<(Trigger, Fault)> {
    let (died, down_ms) = (between_two_lives(dice, at_ms), at_ms + 50);
    vec![died, (at(down_ms), Fault::RotHeads { node: NODE, bits: few(dice, 24) })]
}

/// Heads and indexes rot between the same two lives, more than once: neither tells where the other is wrong, and damage comes
/// to lie beside damage.
fn heads_and_their_indexes(dice: &mut Dice, _: Lane, at_ms: u64) -> Vec<(Trigger, Fault)> {
    let mut faults = Vec::new();
    let mut lost_ms = at_ms / 3;
    for _ in 0..dice.between(2, 4) {
        let back_ms = 100 + soon(dice, BACK_MAX_MS);
        let (indexes, heads) = (few(dice, 600), few(dice, 100));
        faults.extend([
            (at(lost_ms), Fault::PowerLoss { node: NODE, fate: Fate::Drawn, back_ms }),
            (at(lost_ms + 50), Fault::Rot { node: NODE, file: FileClass::Index, bits: indexes }),
            (at(lost_ms + 60), Fault::RotHeads { node: NODE, bits: heads }),
        ]);
        lost_ms += dice.between(2_000, 10_000);
    }
    faults
}

/// Heads rot below a broker that goes on: what reads them next is a consumer or the cleaner. Mostly one at a time, for the
/// first that is no likely offset ends what is made of a log.
fn heads_of_a_living_broker(dice: &mut Dice, _: Lane, at_ms: u64) -> Vec<(Trigger, Fault)> {
    let mut rots_ms = at_ms / 2;
    let mut faults = Vec::new();
    for _ in 0..dice.between(1, 4) {
        let bits = *dice.pick(&[1, 1, 1, 2, 16]);
        faults.push((at(rots_ms), Fault::RotHeads { node: NODE, bits }));
        rots_ms += dice.between(500, 8_000);
    }
    faults
}

/// A batch rots, and the head of the one behind it, between two lives or once a log is open and nobody has read it: what
/// follows damage is taken on its own word.
fn damage_before_a_false_head(dice: &mut Dice, _: Lane, at_ms: u64) -> Vec<(Trigger, Fault)> {
    let died = between_two_lives(dice, at_ms);
    let rots = Fault::RotBehind { node: NODE, bits: few(dice, 3) };
    if dice.chance(1, 2) {
        return vec![died, (at(at_ms + 50), rots)];
    }
    let loaded = Trigger::Observed { node: NODE, fact: Fact::LogLoaded, count: few(dice, 8), since_ms: at_ms + 1 };
    vec![died, (loaded, rots)]
}

/// A death with at least 100 ms in which nothing runs.
fn between_two_lives(dice: &mut Dice, at_ms: u64) -> (Trigger, Fault) {
    (at(at_ms), Fault::Crash { node: NODE, back_ms: 100 + soon(dice, BACK_MAX_MS) })
}

/// A process starts, and what is read once its first logs are there is read slowly, while clients ask.
fn slow_start(dice: &mut Dice, _: Lane, at_ms: u64) -> Vec<(Trigger, Fault)> {
    let died = (at(at_ms), crash(dice));
    let loaded = Trigger::Observed { node: NODE, fact: Fact::LogLoaded, count: few(dice, 8), since_ms: at_ms + 1 };
    let file =
        *dice.pick(&[FileClass::OffsetsSegment, FileClass::OffsetsSegment, FileClass::OffsetsSegment, FileClass::Any]);
    let (each_ms, for_ms) = (dice.magnitude(1_000, 8_000), dice.between(5_000, 10_000));
    vec![died, (loaded, Fault::Stall { node: NODE, call: Call::Read, file, each_ms, for_ms })]
}

/// Names change slowly: what makes, renames and removes files takes long enough for others to meet it. Where topics come
/// and go, one of the same name is made while the last one's folders still have theirs.
fn slow_names(dice: &mut Dice, lane: Lane, at_ms: u64) -> Vec<(Trigger, Fault)> {
    let any = [Call::Open, Call::Rename, Call::SyncDir, Call::Remove, Call::Sync];
    let call = if lane == Lane::Admin && dice.chance(2, 3) { Call::Rename } else { *dice.pick(&any) };
    let (each_ms, for_ms) = (dice.magnitude(20, 2_000), dice.between(2_000, 8_000));
    let stall = Fault::Stall { node: NODE, call, file: FileClass::Any, each_ms, for_ms };
    vec![(at(at_ms), stall)]
}

/// A process starts, and the opening of one small file, then or soon after, takes seconds, while others are opened at once:
/// what it was meant for may have gone meanwhile, and its name be that of another.
fn late_open_after_a_start(dice: &mut Dice, _: Lane, at_ms: u64) -> Vec<(Trigger, Fault)> {
    let died = (at(at_ms), crash(dice));
    let count = few(dice, 40);
    let opened = Trigger::Issued { node: NODE, call: Call::Open, file: FileClass::Meta, count, since_ms: at_ms + 1 };
    let (each_ms, for_ms) = (dice.magnitude(1_000, 8_000), dice.magnitude(1, 20));
    vec![died, (opened, Fault::Stall { node: NODE, call: Call::Open, file: FileClass::Meta, each_ms, for_ms })]
}

/// The broker's wall clock jumps forward, by minutes to months: what expires does, and what is in use does not.
fn clock_that_runs_ahead(dice: &mut Dice, _: Lane, at_ms: u64) -> Vec<(Trigger, Fault)> {
    const MONTHS_MS: u64 = 90 * 86_400_000;
    let mut jump = |at_ms| {
        let by_ms = i64::try_from(dice.magnitude(120_000, MONTHS_MS)).expect("months fit");
        (at(at_ms), Fault::ClockJump { machine: Machine::Node(NODE), by_ms })
    };
    vec![jump(at_ms / 3), jump(at_ms * 2 / 3), jump(at_ms)]
}

/// A client stands still while what it sent is appended, its producer grows old by the broker's wall clock, its connection
/// is reset before it reads the answer, and it sends the same again.
fn forgotten_before_a_retry(dice: &mut Dice, _: Lane, at_ms: u64) -> Vec<(Trigger, Fault)> {
    const DAY_MS: u64 = 86_400_000;
    let (node, client) = (Machine::Node(NODE), Machine::Client(ClientName(0)));
    // Syncs that take a while: something of the client is under way.
    let each_ms = dice.between(100, 500);
    let slow = Fault::Stall { node: NODE, call: Call::Sync, file: FileClass::Any, each_ms, for_ms: each_ms * 3 };
    let stands_ms = at_ms + each_ms * 2;
    let jumps_ms = stands_ms + each_ms + 100;
    let by_ms = i64::try_from(dice.between(DAY_MS, 30 * DAY_MS) + DAY_MS).expect("a month fits");
    let resets_ms = jumps_ms + dice.between(500, 3_000);
    vec![
        (at(at_ms), slow),
        (at(stands_ms), Fault::Pause { machine: client, for_ms: resets_ms + 100 - stands_ms }),
        (at(jumps_ms), Fault::ClockJump { machine: node, by_ms }),
        (at(resets_ms), Fault::Reset { from: node, to: client }),
    ]
}

/// A disk goes back in time twice, and the second time to before what was given out since the first.
fn ids_of_an_old_disk(dice: &mut Dice, _: Lane, at_ms: u64) -> Vec<(Trigger, Fault)> {
    let since_ms = BACK_MAX_MS + dice.magnitude(200, 8_000);
    let (age_ms, before_ms) = (soon(dice, 8_000), soon(dice, 4_000));
    let mut old = |age_ms| Fault::OldDisk { node: NODE, age_ms, back_ms: soon(dice, BACK_MAX_MS) };
    let (first, second) = (old(age_ms), old(since_ms + before_ms));
    vec![(at(at_ms), first), (at(at_ms + since_ms), second)]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_scheme_adds_faults_of_its_lane_and_changes_nothing_else() {
        for lane in Lane::ALL {
            let mut drawn = 0;
            for seed in 0..40 {
                let mut bare = Plan::empty(seed, *lane);
                bare.safety_ms = 60_000;
                let mut without = bare.clone();
                draw(&mut without);
                assert_eq!(without, bare, "a run without faults stays without");
                let planned = PlannedFault { id: 7, trigger: at(1), fault: crash(&mut Dice::new(seed)) };
                bare.faults.push(planned);
                let mut plan = bare.clone();
                draw(&mut plan);
                let added = plan.faults.split_off(1);
                assert_eq!(plan, bare);
                let ids: BTreeSet<u32> = added.iter().map(|planned| planned.id).collect();
                assert!(ids.len() == added.len() && ids.iter().all(|id| *id > 7));
                assert!(added.iter().all(|planned| lane.families().contains(&planned.fault.family())));
                drawn += usize::from(!added.is_empty());
            }
            let fits = SCHEMES.iter().any(|scheme| scheme.fits(*lane));
            assert_eq!(fits, drawn > 8, "{lane}: {drawn} of 40");
        }
    }
}
