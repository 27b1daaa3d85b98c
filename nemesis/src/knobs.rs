//! Knobs of a run: the world's and the broker's, each with its extremes. A knob that is not drawn keeps its default.

use barnabas_base::Keyed;
use barnabas_plan::{Lane, Plan};

use crate::dice::Dice;

/// Knobs with the values they take; the first and the last are the extremes.
const WORLD: &[(&str, &[u64])] = &[
    ("world.link.max_us", &[200, 2_000, 20_000, 200_000]),
    ("world.poll.max_us", &[1, 20, 100, 400]),
    ("world.message.max_us", &[1, 50, 1_000, 10_000]),
    ("world.sync.max_us", &[80, 3_000, 30_000, 200_000]),
    ("world.metadata.max_us", &[10, 300, 5_000]),
    ("world.device_read.max_us", &[60, 2_000, 30_000]),
    ("world.window_bytes_max", &[65_536, 4_194_304]),
    ("world.short_transfer_one_in", &[0, 2, 8]),
    ("world.cold_read_one_in", &[0, 1, 8]),
    ("world.dirty_write_one_in", &[0, 1, 16]),
    ("world.loss_one_in", &[0, 50, 500]),
    ("world.bandwidth_bytes_per_s", &[0, 100_000, 10_000_000]),
];

const BROKER: &[(&str, &[u64])] = &[
    ("broker.barnabas.tail.cache.bytes", &[0, 4_096, 65_536, 33_554_432]),
    (INDEX_INTERVAL, &[0, 512, 4_096]),
    ("broker.log.segment.delete.delay.ms", &[0, 1_000, 60_000]),
    ("broker.log.retention.check.interval.ms", &[1_000, 10_000, 300_000]),
    ("broker.log.cleaner.backoff.ms", &[100, 1_000, 15_000]),
    ("broker.offsets.topic.num.partitions", &[1, 3, 50]),
    ("broker.offsets.retention.check.interval.ms", &[1_000, 60_000, 600_000]),
    ("broker.group.initial.rebalance.delay.ms", &[0, 100, 3_000]),
    ("broker.group.max.size", &[1, 3, 1_000]),
    ("broker.producer.id.expiration.check.interval.ms", &[1_000, 60_000, 600_000]),
    ("broker.max.incremental.fetch.session.cache.slots", &[0, 2, 1_000]),
    ("broker.connections.max.idle.ms", &[2_000, 60_000, 600_000]),
    ("broker.internal.metadata.log.segment.bytes", &[4_096, 65_536, 8_388_608]),
    ("broker.metadata.log.max.record.bytes.between.snapshots", &[200, 5_000, 20_971_520]),
    ("broker.replica.high.watermark.checkpoint.interval.ms", &[200, 5_000]),
    ("broker.log.flush.offset.checkpoint.interval.ms", &[500, 60_000]),
    ("broker.log.flush.start.offset.checkpoint.interval.ms", &[500, 60_000]),
    (SCRUB_INTERVAL, SCRUB_INTERVALS_MS),
    ("broker.log.scrub.io.max.bytes.per.second", &[65_536, 10_485_760]),
];

/// Bounds that a run of a minute never meets as they are. Drawn by dice of their own.
const BOUNDS: &[(&str, &[u64])] = &[
    ("broker.internal.barnabas.journal.file.bytes", &[65_536, 262_144, 33_554_432]),
    ("broker.internal.barnabas.unsettled.bytes", &[4_096, 65_536, 134_217_728]),
    ("broker.barnabas.memory.bytes", &[1_048_576, 4_194_304, 67_108_864]),
    ("broker.internal.barnabas.dedupe.buffer.bytes", &[480, 134_217_728]),
    ("broker.internal.barnabas.sync.files", &[1, 3, 64]),
    ("broker.internal.barnabas.scan.bytes", &[1_024, 16_384, 1_048_576]),
    ("broker.internal.barnabas.check.range.bytes", &[1_024, 16_384, 1_048_576]),
    ("broker.internal.barnabas.index.cache.bytes", &[0, 512, 8_388_608]),
    ("broker.internal.barnabas.open.files", &[1, 4, 4_096]),
];

/// Bounds that only clients without manners meet.
const MANNERS: &[(&str, &[u64])] =
    &[("broker.max.connections", &[40, 1_000]), ("broker.max.connection.creation.rate", &[20, 1_000])];

const INDEX_INTERVAL: &str = "broker.log.index.interval.bytes";
const SCRUB_INTERVAL: &str = "broker.log.scrub.interval.ms";
const SCRUB_INTERVALS_MS: &[u64] = &[500, 5_000, 60_000];

/// Knobs that say how often something comes round, in milliseconds.
const INTERVALS: &[&str] = &[
    "broker.log.retention.check.interval.ms",
    "broker.log.cleaner.backoff.ms",
    "broker.offsets.retention.check.interval.ms",
    "broker.producer.id.expiration.check.interval.ms",
    "broker.replica.high.watermark.checkpoint.interval.ms",
    "broker.log.flush.offset.checkpoint.interval.ms",
    "broker.log.flush.start.offset.checkpoint.interval.ms",
    SCRUB_INTERVAL,
];
/// Longer than a topic of the lane of retention keeps what its time is up for, and than what is deleted stays.
const REST_MS: u64 = 75_000;
/// Longer than a group lasts whose offsets are kept for a minute: the sessions of its members come before.
const OFFSETS_REST_MS: u64 = 110_000;
/// How often one thing comes round in a quiet stretch, at most.
const TICKS_MAX: u64 = 1_000;

pub(crate) fn draw(dice: &mut Dice, plan: &mut Plan) {
    // One shard hides every interleaving; it is one of the extremes all the same.
    let shards = *dice.pick(&[1_u64, 2, 2, 3, 4]);
    plan.knobs.set("world.shards", shards);
    draw_some(dice, plan, WORLD);
    draw_some(dice, plan, BROKER);
    // A narrow window over a long way carries a few hundred bytes a second: nothing would come to its end.
    if plan.knobs.number("world.link.max_us", 0) > 2_000 {
        plan.knobs.unset("world.window_bytes_max");
    }
    if plan.lane == Lane::PageCache {
        plan.knobs.set("broker.flush.policy", "os");
    }
    // What rots is served until it is scrubbed: once a week there would be nothing to see.
    if plan.lane == Lane::Rot {
        plan.knobs.set(SCRUB_INTERVAL, *dice.pick(SCRUB_INTERVALS_MS));
    }
    if matches!(plan.lane, Lane::Clock | Lane::Groups) && dice.chance(1, 2) {
        plan.knobs.set("broker.offsets.retention.minutes", *dice.pick(&[1_u64, 60, 10_080]));
    }
    if plan.lane == Lane::Clock && dice.chance(1, 2) {
        plan.knobs.set("broker.producer.id.expiration.ms", *dice.pick(&[60_000_u64, 3_600_000, 86_400_000]));
    }
}

/// Journals that fill, and logs that are settled, within a run. Dice of their own leave all else of the plan as it is.
pub(crate) fn lower_bounds(plan: &mut Plan) {
    let mut dice = Dice::new(Keyed::new(plan.seed, "bounds").with(plan.lane as u64).bits());
    draw_some(&mut dice, plan, BOUNDS);
}

/// One knob in three is drawn.
fn draw_some(dice: &mut Dice, plan: &mut Plan, knobs: &[(&str, &[u64])]) {
    for (name, values) in knobs {
        if dice.chance(1, 3) {
            plan.knobs.set(name, *dice.pick(values));
        }
    }
}

/// What a lane is about comes up within a run: at Kafka's defaults retention looks at a log every five minutes, and at
/// committed offsets every ten. Dice of its own leave all else of the plan as it is.
pub(crate) fn suit_lane(plan: &mut Plan) {
    let mut dice = Dice::new(Keyed::new(plan.seed, "knobs of the lane").with(plan.lane as u64).bits());
    if !dice.chance(3, 4) {
        return;
    }
    match plan.lane {
        Lane::Retention => {
            plan.knobs.set("broker.log.retention.check.interval.ms", *dice.pick(&[500, 1_000, 5_000]));
            if dice.chance(1, 2) {
                plan.knobs.set("world.rest_ms", REST_MS);
            }
        }
        Lane::Groups => {
            if dice.chance(1, 4) {
                plan.knobs.set("broker.offsets.retention.minutes", 1_u64);
                plan.knobs.set("broker.offsets.retention.check.interval.ms", *dice.pick(&[500, 1_000, 10_000]));
                plan.knobs.set("world.rest_ms", OFFSETS_REST_MS);
            }
        }
        // Indexes with entries to be wrong.
        Lane::Caches => plan.knobs.set(INDEX_INTERVAL, *dice.pick(&[0, 0, 512])),
        // Reads that may end at any batch, and bytes that come from the device.
        Lane::Rot => {
            plan.knobs.set(INDEX_INTERVAL, *dice.pick(&[0, 512, 4_096]));
            plan.knobs.set("world.cold_read_one_in", *dice.pick(&[1, 1, 8]));
        }
        // Cleaned while clients are at work.
        Lane::Compacted => plan.knobs.set("broker.log.cleaner.backoff.ms", *dice.pick(&[100, 1_000, 1_000])),
        Lane::Clock => {
            plan.knobs.set("broker.offsets.retention.check.interval.ms", *dice.pick(&[500, 1_000, 10_000]));
            plan.knobs.set("broker.producer.id.expiration.check.interval.ms", *dice.pick(&[500, 1_000, 10_000]));
        }
        Lane::Raw => {
            draw_some(&mut dice, plan, MANNERS);
            if dice.chance(1, 3) {
                plan.knobs.set("broker.delete.topic.enable", "false");
            }
        }
        // Folders of deleted logs are gone by then.
        Lane::Admin => {
            if dice.chance(1, 2) {
                plan.knobs.set("world.rest_ms", REST_MS);
            }
        }
        Lane::Durable | Lane::PageCache | Lane::Acks | Lane::Device | Lane::Replaced => {}
    }
}

/// In a quiet stretch of days, what comes round ten times a second is most of a run: the plan's intervals are so long that
/// each comes round [`TICKS_MAX`] times at most.
pub(crate) fn slow_down_ticks(plan: &mut Plan) {
    let Some(quiet) = plan.quiet else { return };
    let floor = quiet.for_ms.div_ceil(TICKS_MAX).next_multiple_of(1_000);
    for name in INTERVALS {
        if plan.knobs.number(name, u64::MAX) < floor {
            plan.knobs.set(name, floor);
        }
    }
}

/// The names of all knobs, for the catalog.
pub(crate) fn names() -> impl Iterator<Item = (&'static str, &'static [u64])> {
    WORLD.iter().chain(BROKER).chain(BOUNDS).chain(MANNERS).copied()
}
