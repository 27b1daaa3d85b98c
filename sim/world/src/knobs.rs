//! A plan's knobs as the world and the broker understand them.

use std::time::Duration;

use barnabas_plan::Knobs;
use barnabas_runtime_madsim::{Config, Span};

use crate::BrokerSetup;

/// A run of more polls than this is a livelock: ten times what the longest lawful runs need.
const POLLS_MAX: u64 = 10_000_000;
/// A run of more events than this is one.
const EVENTS_MAX: u64 = 40_000_000;
/// A disk with room for everything but files that are written ahead for speed alone: those cost a run most of its time.
pub(crate) const DISK_BYTES: u64 = 1024 * 1024 * 1024;
/// Shards that own partitions, when no knob says how many.
const SHARDS: u64 = 2;

/// The world as the knobs have it.
pub(crate) fn world_config(knobs: &Knobs, keep_events: bool) -> Config {
    let mut config = Config {
        polls_max: POLLS_MAX,
        events_max: EVENTS_MAX,
        leaves_nothing: true,
        keep_events,
        disk_bytes: DISK_BYTES,
        ..Config::default()
    };
    let set_max = |span: &mut Span, name: &str| {
        let max_ns = knobs.number(name, span.max_ns / 1_000) * 1_000;
        *span = Span { min_ns: span.min_ns.min(max_ns), max_ns };
    };
    set_max(&mut config.link, "world.link.max_us");
    set_max(&mut config.poll, "world.poll.max_us");
    set_max(&mut config.message, "world.message.max_us");
    set_max(&mut config.sync, "world.sync.max_us");
    set_max(&mut config.metadata, "world.metadata.max_us");
    set_max(&mut config.device_read, "world.device_read.max_us");
    config.window_bytes_max = knobs.number("world.window_bytes_max", config.window_bytes_max);
    config.short_transfer_one_in = knobs.number("world.short_transfer_one_in", config.short_transfer_one_in);
    config.cold_read_one_in = knobs.number("world.cold_read_one_in", config.cold_read_one_in);
    config.dirty_write_one_in = knobs.number("world.dirty_write_one_in", config.dirty_write_one_in);
    config.loss_one_in = knobs.number("world.loss_one_in", config.loss_one_in);
    config.bandwidth_bytes_per_s = knobs.number("world.bandwidth_bytes_per_s", config.bandwidth_bytes_per_s);
    config
}

/// How long everything rests before it is read, so that what expires does.
pub(crate) fn rest(knobs: &Knobs) -> Duration {
    Duration::from_millis(knobs.number("world.rest_ms", 0))
}

/// The broker as the knobs have it.
pub(crate) fn broker_setup(knobs: &Knobs) -> BrokerSetup {
    let shards = knobs.number("world.shards", SHARDS);
    let mut overrides: Vec<(String, String)> =
        knobs.under("broker.").map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    // Topics are made by the plan, not by whoever asks for one first.
    if knobs.get("broker.auto.create.topics.enable").is_none() {
        overrides.push(("auto.create.topics.enable".to_owned(), "false".to_owned()));
    }
    BrokerSetup { data_shards: u16::try_from(shards.clamp(1, 64)).expect("clamped"), overrides }
}
