//! [`Lawful`]: how a record may leave a log without anybody losing it: DeleteRecords, retention, compaction, the end of
//! its topic. Says what is possible, never what has happened.

use std::collections::BTreeMap;

use barnabas_base::Offset;
use barnabas_history::{Call, Evidence, Outcome, Reply, Step};
use barnabas_plan::{Fault, TopicName};

use crate::facts::Facts;

/// Kafka's default of `log.retention.ms`.
const RETENTION_MS_DEFAULT: u64 = 7 * 24 * 60 * 60 * 1000;

/// Kafka's default of `delete.retention.ms`.
const TOMBSTONES_MS_DEFAULT: u64 = 24 * 60 * 60 * 1000;

/// Lawful ways out of a log.
pub(crate) struct Lawful {
    /// How far DeleteRecords may have reached.
    trims: BTreeMap<(TopicName, u32), Offset>,
    /// Values that `cleanup.policy` may have had, where it was set.
    policies: BTreeMap<TopicName, Vec<String>>,
    policy_default: String,
    /// Topics whose retention was set by somebody.
    limited: BTreeMap<TopicName, Limit>,
    /// The shortest that `delete.retention.ms` may have been, where it was set.
    tombstones_ms: BTreeMap<TopicName, u64>,
    /// Whether the broker's retention can reach records within the run.
    limited_by_default: bool,
}

/// The narrowest that the retention of a topic may have been.
#[derive(Clone, Copy, Default)]
struct Limit {
    /// Whether its size was bounded.
    by_bytes: bool,
    /// The shortest time.
    ms: Option<u64>,
}

/// Keys of the broker's own retention.
const RETENTION_KEYS: [&str; 4] = [
    "broker.log.retention.bytes",
    "broker.log.retention.ms",
    "broker.log.retention.minutes",
    "broker.log.retention.hours",
];

impl Lawful {
    pub(crate) fn new(facts: &Facts<'_>) -> Self {
        let plan = &facts.evidence.plan;
        let mut lawful = Self {
            trims: BTreeMap::new(),
            policies: BTreeMap::new(),
            policy_default: plan.knobs.get("broker.log.cleanup.policy").unwrap_or("delete").to_owned(),
            limited: BTreeMap::new(),
            tombstones_ms: BTreeMap::new(),
            limited_by_default: RETENTION_KEYS.iter().any(|name| plan.knobs.get(name).is_some())
                || longest_age_ms(facts.evidence) >= RETENTION_MS_DEFAULT,
        };
        for topic in &plan.topics {
            topic.configs.iter().for_each(|(key, value)| lawful.configure(topic.name, key, value));
        }
        for view in &facts.calls {
            if matches!(view.outcome, Some(Outcome::Failed(_))) {
                continue;
            }
            if let Call::Configure { topic, key, value } = view.call {
                lawful.configure(*topic, key, value);
            }
            let Call::Trim { topic, partition, before } = view.call else { continue };
            let reached = match view.outcome {
                Some(Outcome::Ok(Reply::Trimmed { low_watermark, .. })) => *low_watermark,
                // Up to the high watermark, wherever that was.
                Some(_) | None if *before < Offset::ZERO => Offset(i64::MAX),
                Some(_) | None => *before,
            };
            let known = lawful.trims.entry((*topic, *partition)).or_insert(reached);
            *known = (*known).max(reached);
        }
        lawful
    }

    fn configure(&mut self, topic: TopicName, key: &str, value: &str) {
        match key {
            "cleanup.policy" => self.policies.entry(topic).or_insert_with(|| vec![self.policy_default.clone()]),
            "retention.ms" => {
                let limit = self.limited.entry(topic).or_default();
                limit.ms = shortest(limit.ms, value);
                return;
            }
            "retention.bytes" => {
                self.limited.entry(topic).or_default().by_bytes = true;
                return;
            }
            "delete.retention.ms" => {
                let known = self.tombstones_ms.get(&topic).copied().unwrap_or(TOMBSTONES_MS_DEFAULT);
                self.tombstones_ms.insert(topic, shortest(Some(known), value).unwrap_or(known));
                return;
            }
            _ => return,
        }
        .push(value.to_owned());
    }

    /// Whether compaction may have cleaned the topic.
    pub(crate) fn compacts(&self, topic: TopicName) -> bool {
        self.policies.get(&topic).map_or_else(
            || self.policy_default.contains("compact"),
            |policies| policies.iter().any(|policy| policy.contains("compact")),
        )
    }

    /// Whether retention may have deleted old segments of the topic. A topic keeps the broker's policy until its own is
    /// set, and the broker's only counts where somebody reconfigures a living topic.
    pub(crate) fn retains(&self, topic: TopicName) -> bool {
        let deletes = self.policies.get(&topic).map_or_else(
            || self.policy_default.contains("delete"),
            |policies| policies.iter().any(|policy| policy.contains("delete")),
        );
        deletes && (self.limited_by_default || self.limited.contains_key(&topic))
    }

    /// Whether retention leaves alone a record of the topic that is at most so old: a segment goes by its age only when
    /// the newest of its records is too old (KIP-33).
    pub(crate) fn spares(&self, topic: TopicName, age_ms: u64) -> bool {
        let limit = self.limited.get(&topic).copied().unwrap_or_default();
        !self.limited_by_default && !limit.by_bytes && limit.ms.is_none_or(|ms| age_ms < ms)
    }

    /// Whether cleaning leaves alone a tombstone of the topic that is at most so old: its horizon lies
    /// `delete.retention.ms` behind its first cleaning (KIP-534), where no knob says otherwise.
    pub(crate) fn spares_tombstone(&self, topic: TopicName, age_ms: u64) -> bool {
        age_ms < self.tombstones_ms.get(&topic).copied().unwrap_or(TOMBSTONES_MS_DEFAULT)
    }

    /// Exclusive end of what DeleteRecords may have deleted.
    pub(crate) fn trimmed(&self, topic: TopicName, partition: u32) -> Offset {
        self.trims.get(&(topic, partition)).copied().unwrap_or(Offset::ZERO)
    }
}

/// The shorter of a time that is known and the one that a configuration says; below zero means for ever.
fn shortest(known: Option<u64>, value: &str) -> Option<u64> {
    let said = value.parse::<i64>().ok().and_then(|ms| u64::try_from(ms).ok());
    [known, said].into_iter().flatten().min()
}

/// How old a record can look to the broker: the length of the run on the fastest clock, and every jump of one.
pub(crate) fn longest_age_ms(evidence: &Evidence) -> u64 {
    age_ms(evidence, 0)
}

/// How old what was sent at step `since` can look to the broker before the run ends.
pub(crate) fn age_ms(evidence: &Evidence, since: usize) -> u64 {
    let ms = |step: Option<&Step>| step.map_or(0, |step| step.at.0 / 1_000_000);
    let length = ms(evidence.steps.last()).saturating_sub(ms(evidence.steps.get(since))) + 1;
    let jumps = evidence.plan.faults.iter().map(|planned| match planned.fault {
        Fault::ClockJump { by_ms, .. } => by_ms.unsigned_abs(),
        Fault::ClockDrift { for_ms, .. } => for_ms,
        _ => 0,
    });
    length + jumps.sum::<u64>()
}
