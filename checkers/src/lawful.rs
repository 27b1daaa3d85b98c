//! [`Lawful`]: how a record may leave a log without anybody losing it: DeleteRecords, retention, compaction, the end of
//! its topic. Says what is possible, never what has happened.

use std::collections::{BTreeMap, BTreeSet};

use barnabas_base::Offset;
use barnabas_history::{Call, Evidence, Outcome, Reply};
use barnabas_plan::{Fault, TopicName};

use crate::facts::Facts;

/// Kafka's default of `log.retention.ms`.
const RETENTION_MS_DEFAULT: u64 = 7 * 24 * 60 * 60 * 1000;

/// Lawful ways out of a log.
pub(crate) struct Lawful {
    /// How far DeleteRecords may have reached.
    trims: BTreeMap<(TopicName, u32), Offset>,
    /// Values that `cleanup.policy` may have had, where it was set.
    policies: BTreeMap<TopicName, Vec<String>>,
    policy_default: String,
    /// Topics whose retention was set by somebody.
    limited: BTreeSet<TopicName>,
    /// Whether the broker's retention can reach records within the run.
    limited_by_default: bool,
}

impl Lawful {
    pub(crate) fn new(facts: &Facts<'_>) -> Self {
        let plan = &facts.evidence.plan;
        let mut lawful = Self {
            trims: BTreeMap::new(),
            policies: BTreeMap::new(),
            policy_default: plan.knobs.get("broker.log.cleanup.policy").unwrap_or("delete").to_owned(),
            limited: BTreeSet::new(),
            limited_by_default: plan.knobs.iter().any(|(name, _)| name.starts_with("broker.log.retention."))
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
            "retention.ms" | "retention.bytes" => {
                self.limited.insert(topic);
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
        deletes && (self.limited_by_default || self.limited.contains(&topic))
    }

    /// Exclusive end of what DeleteRecords may have deleted.
    pub(crate) fn trimmed(&self, topic: TopicName, partition: u32) -> Offset {
        self.trims.get(&(topic, partition)).copied().unwrap_or(Offset::ZERO)
    }
}

/// How old a record can look to the broker: the length of the run on the fastest clock, and every jump of one.
pub(crate) fn longest_age_ms(evidence: &Evidence) -> u64 {
    let length = evidence.steps.last().map_or(0, |step| step.at.0 / 1_000_000);
    let jumps = evidence.plan.faults.iter().map(|planned| match planned.fault {
        Fault::ClockJump { by_ms, .. } => by_ms.unsigned_abs(),
        Fault::ClockDrift { for_ms, .. } => for_ms,
        _ => 0,
    });
    length + jumps.sum::<u64>()
}
