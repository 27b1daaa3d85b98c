//! Topics and clients of a run.

use std::collections::BTreeMap;

use barnabas_base::Keyed;
use barnabas_plan::{ClientName, Lane, Plan, PlannedClient, PlannedTopic, TopicName, Workload};

use crate::dice::Dice;
use crate::draw::Swarm;

/// Most clients of a run.
const CLIENTS_MAX: u64 = 6;
/// Most topics that exist from the start.
const TOPICS_MAX: u64 = 3;
/// One run in so many is crowded.
const CROWDED_ONE_IN: u64 = 4;

pub(crate) fn draw(dice: &mut Dice, swarm: &Swarm, plan: &mut Plan) {
    let topics = dice.between(1, TOPICS_MAX);
    for index in 0..topics {
        let name = TopicName(u16::try_from(index).expect("few topics"));
        let topic = draw_topic(dice, plan.lane, name);
        plan.topics.push(topic);
    }
    let compacted = swarm.has(Workload::Compacted) && plan.lane != Lane::Compacted;
    if compacted {
        let name = TopicName(u16::try_from(topics).expect("few topics"));
        let configs = compacted_configs(dice);
        plan.topics.push(PlannedTopic { name, partitions: 1 + dice.small(2), configs });
    }
    for index in 0..dice.between(2, CLIENTS_MAX) {
        let name = ClientName(u16::try_from(index).expect("few clients"));
        let client = draw_client(dice, plan.lane, name);
        plan.clients.push(client);
    }
}

/// Leaves one partition of one topic to the clients of a crowded run: what takes two things in one log hardly comes about
/// where a run spreads over many. Dice of its own leave the plans of other runs as they are.
pub(crate) fn crowd(plan: &mut Plan) {
    let mut dice = Dice::new(Keyed::new(plan.seed, "crowd").with(plan.lane as u64).bits());
    if dice.chance(1, CROWDED_ONE_IN) {
        let topic = dice.pick(&plan.topics).clone();
        plan.topics = vec![PlannedTopic { name: TopicName(0), partitions: 1, ..topic }];
    }
}

fn draw_topic(dice: &mut Dice, lane: Lane, name: TopicName) -> PlannedTopic {
    let partitions = *dice.pick(&[1, 1, 2, 3, 5]);
    let mut configs = match lane {
        Lane::Compacted => compacted_configs(dice),
        Lane::Retention => retention_configs(dice),
        Lane::Durable
        | Lane::PageCache
        | Lane::Acks
        | Lane::Groups
        | Lane::Admin
        | Lane::Device
        | Lane::Rot
        | Lane::Replaced
        | Lane::Clock
        | Lane::Raw
        | Lane::Caches => BTreeMap::new(),
    };
    if !configs.contains_key("internal.segment.bytes") && dice.chance(2, 3) {
        set(&mut configs, "internal.segment.bytes", dice.magnitude(2_000, 200_000));
    }
    if dice.chance(1, 6) {
        set(&mut configs, "segment.ms", dice.magnitude(1_000, 3_600_000));
    }
    if configs.contains_key("segment.ms") && dice.chance(1, 3) {
        set(&mut configs, "segment.jitter.ms", dice.magnitude(10, 10_000));
    }
    if dice.chance(1, 8) {
        set(&mut configs, "segment.index.bytes", dice.magnitude(16, 4_096));
    }
    if dice.chance(1, 8) {
        set(&mut configs, "message.timestamp.type", "LogAppendTime");
    }
    if dice.chance(1, 8) {
        set(&mut configs, "compression.type", dice.pick(&["zstd", "lz4", "snappy", "gzip", "uncompressed"]));
    }
    PlannedTopic { name, partitions, configs }
}

fn set(configs: &mut BTreeMap<String, String>, key: &str, value: impl ToString) {
    configs.insert(key.to_owned(), value.to_string());
}

fn compacted_configs(dice: &mut Dice) -> BTreeMap<String, String> {
    let mut configs = BTreeMap::new();
    set(&mut configs, "cleanup.policy", "compact");
    set(&mut configs, "internal.segment.bytes", dice.magnitude(1_000, 20_000));
    set(&mut configs, "min.cleanable.dirty.ratio", dice.pick(&["0.01", "0.1", "0.5"]));
    set(&mut configs, "segment.ms", dice.magnitude(500, 20_000));
    set(&mut configs, "delete.retention.ms", *dice.pick(&[0_u64, 1_000, 10_000, 86_400_000]));
    configs
}

fn retention_configs(dice: &mut Dice) -> BTreeMap<String, String> {
    let mut configs = BTreeMap::new();
    set(&mut configs, "internal.segment.bytes", dice.magnitude(1_000, 20_000));
    if dice.chance(1, 2) {
        set(&mut configs, "retention.bytes", dice.magnitude(4_000, 100_000));
    }
    if dice.chance(1, 2) {
        set(&mut configs, "retention.ms", dice.magnitude(1_000, 60_000));
    }
    configs
}

fn draw_client(dice: &mut Dice, lane: Lane, name: ClientName) -> PlannedClient {
    let acks = if lane == Lane::Acks { *dice.pick(&[-1, 1, 1, 0]) } else { -1 };
    let idempotent = acks == -1 && dice.chance(3, 4);
    PlannedClient {
        name,
        acks,
        idempotent,
        in_flight: if idempotent { *dice.pick(&[1, 2, 5, 5]) } else { 1 },
        compression: (*dice.pick(&["none", "none", "gzip", "snappy", "lz4", "zstd"])).to_owned(),
        delivery_timeout_ms: *dice.pick(&[2_000, 10_000, 30_000, 120_000]),
        session_timeout_ms: *dice.pick(&[6_000, 6_000, 10_000, 30_000]),
        fetch_bytes: *dice.pick(&[1, 1_000, 10_000, 1_048_576]),
    }
}
