//! Offsets that nobody needs any more (KIP-211): found by a sweep every `offsets.retention.check.interval.ms`, deleted
//! with the groups they leave empty.

use barnabas_base::{TimestampMs, mark};

use crate::classic::{ClassicGroup, GroupState};
use crate::config::{Config, GROUPS_PER_SWEEP_STEP_MAX, SWEEP_STEP_BATCHES_MAX};
use crate::coordinator::{Coordinator, Now};
use crate::delete::offset_tombstone;
use crate::fold::{CommittedOffset, Entry};
use crate::id::GroupId;
use crate::input::Output;
use crate::record::Record;
use crate::timers::Timer;

/// Pause between two steps of one sweep, in milliseconds: other work of the shard goes first.
const SWEEP_STEP_PAUSE_MS: i64 = 1;

/// Since when an offset counts towards its retention.
enum Since {
    /// It was committed.
    Commit,
    /// The group became empty; for records that do not say when, the commit.
    GroupEmpty,
}

impl Coordinator {
    pub(crate) fn schedule_sweep(&mut self, now: Now) {
        let deadline = now.monotonic.after_ms(self.config.offsets_retention_check_interval_ms);
        self.timers.schedule(deadline, Timer::Sweep);
    }

    /// One step of the sweep, over a bounded number of groups.
    pub(crate) fn sweep(&mut self, now: Now, out: &mut Vec<Output>) {
        let mut tombstones = self.tombstones(self.appends_left().min(SWEEP_STEP_BATCHES_MAX));
        let mut emptied = Vec::new();
        let mut last = None;
        let mut examined = 0;
        for (id, entry) in self.groups.iter_after(self.sweep_cursor.as_ref()).take(GROUPS_PER_SWEEP_STEP_MAX) {
            examined += 1;
            last = Some(id.clone());
            let Some(group) = &entry.live else { continue };
            let mut expired = Vec::new();
            let all_expired = collect_expired(&self.config, now.wall, id, entry, group, &mut expired);
            // A group goes with the last of its offsets. One that does not is found without any by a later sweep.
            if all_expired && group.is_idle() && entry.offsets.is_settled() {
                let mut whole = expired.clone();
                whole.push(Record::Group { group: id.clone(), value: None });
                if tombstones.push_together(whole) {
                    emptied.push(id.clone());
                    continue;
                }
            }
            // What finds no room waits for the next sweep too: a step that begins with it again could be refused again.
            let _ = expired.into_iter().all(|record| tombstones.push(record));
        }
        if !emptied.is_empty() {
            out.push(Output::Observe(mark::GROUP_EXPIRED.seen()));
        }
        if tombstones.len() > emptied.len() {
            out.push(Output::Observe(mark::GROUP_OFFSETS_EXPIRED.seen()));
        }
        for id in &emptied {
            self.remove_live(now, id, out);
        }
        self.emit_tombstones(tombstones, out);
        if examined < GROUPS_PER_SWEEP_STEP_MAX {
            self.sweep_cursor = None;
            self.schedule_sweep(now);
        } else {
            self.sweep_cursor = last;
            let deadline = now.monotonic.after_ms(SWEEP_STEP_PAUSE_MS);
            self.timers.schedule(deadline, Timer::Sweep);
        }
    }
}

/// Collects tombstones of expired offsets; says whether the group has no others.
fn collect_expired(
    config: &Config,
    wall: TimestampMs,
    id: &GroupId,
    entry: &Entry,
    group: &ClassicGroup,
    tombstones: &mut Vec<Record>,
) -> bool {
    if entry.offsets.is_empty() {
        return true;
    }
    let Some(since) = expires_since(group) else { return false };
    let mut all_expired = true;
    for (topic, partition, value) in entry.offsets.all_latest() {
        let expired = !group.is_subscribed_to(topic.as_str()) && is_expired(config, wall, group, &since, value);
        if expired {
            tombstones.push(offset_tombstone(id, topic, partition));
        } else {
            all_expired = false;
        }
    }
    all_expired
}

/// When offsets of this group expire at all. Those of a group at work do only if it is known what it works on.
fn expires_since(group: &ClassicGroup) -> Option<Since> {
    if !group.has_protocol_type() {
        return Some(Since::Commit);
    }
    match group.state() {
        GroupState::Empty => Some(Since::GroupEmpty),
        GroupState::Stable if group.uses_consumer_protocol() && group.knows_subscriptions() => Some(Since::Commit),
        GroupState::Stable | GroupState::PreparingRebalance | GroupState::CompletingRebalance => None,
    }
}

fn is_expired(
    config: &Config,
    wall: TimestampMs,
    group: &ClassicGroup,
    since: &Since,
    value: &CommittedOffset,
) -> bool {
    if let Some(expire_at) = value.expire_at {
        return wall >= expire_at;
    }
    let since = match since {
        Since::Commit => value.committed_at,
        Since::GroupEmpty => group.state_since().unwrap_or(value.committed_at),
    };
    wall.0.saturating_sub(since.0) >= config.offsets_retention_ms
}
