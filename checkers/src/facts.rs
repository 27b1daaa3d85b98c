//! [`Facts`]: the evidence of a run, looked through once, in the shape that checkers ask for. Judges nothing.

use std::collections::{BTreeMap, BTreeSet};

use barnabas_base::{Offset, TimestampMs};
use barnabas_history::{Call, CallView, ClientLife, Evidence, Happening, LogName, Outcome, Reply, Seen, Value, What};
use barnabas_plan::{Plan, Promises, TopicName};

/// One send with its end.
#[derive(Clone, Debug)]
pub struct Send<'a> {
    /// Who.
    pub by: ClientLife,
    /// Where to.
    pub topic: TopicName,
    /// Where to.
    pub partition: u32,
    /// What.
    pub value: Value,
    /// Its key.
    pub key: Option<u32>,
    /// Whether it is a tombstone.
    pub tombstone: bool,
    /// `acks`.
    pub acks: i16,
    /// Whether the producer is idempotent.
    pub idempotent: bool,
    /// Its timestamp.
    pub timestamp: TimestampMs,
    /// When it began: position in the steps.
    pub invoked: usize,
    /// When it ended.
    pub ended: Option<usize>,
    /// How it ended.
    pub outcome: Option<&'a Outcome>,
    /// Where it was acknowledged.
    pub acked: Option<(LogName, Offset)>,
}

impl Send<'_> {
    /// Whether it was refused for certain.
    #[must_use]
    pub const fn failed(&self) -> bool {
        matches!(self.outcome, Some(Outcome::Failed(_)))
    }
}

/// Records of one log in one poll.
#[derive(Clone, Copy, Debug)]
pub struct Read<'a> {
    /// Who.
    pub by: ClientLife,
    /// When the poll began.
    pub invoked: usize,
    /// When it ended.
    pub ended: usize,
    /// From where.
    pub log: LogName,
    /// What.
    pub records: &'a [Seen],
    /// Whether it belongs to the last read of everything.
    pub is_final: bool,
}

/// Evidence, arranged.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// The evidence itself.
    pub evidence: &'a Evidence,
    /// What the lane promises.
    pub promises: Promises,
    /// Every call.
    pub calls: Vec<CallView<'a>>,
    /// Every send by its value.
    pub sends: BTreeMap<Value, Send<'a>>,
    /// Every poll's records, by log.
    pub reads: Vec<Read<'a>>,
    /// Position of the first step of the last read of everything.
    pub final_read: Option<usize>,
    /// What the last read found, by log.
    pub found: BTreeMap<LogName, Vec<Seen>>,
    /// Logs whose ends the last read asked for: what exists at the end, with earliest and latest offset.
    pub ends: BTreeMap<LogName, (Option<Offset>, Option<Offset>)>,
    /// Topics somebody wanted to delete, successfully or maybe.
    pub dropped: BTreeSet<TopicName>,
    /// Up to where logs may have been trimmed.
    pub trims: BTreeMap<LogName, Offset>,
    /// Topics that lose old records by retention.
    pub retained: BTreeSet<TopicName>,
    /// Topics that keep the last value of a key.
    pub compacted: BTreeSet<TopicName>,
    /// Whether bytes that were not synced were lost.
    pub lost_unsynced: bool,
}

impl<'a> Facts<'a> {
    /// Looks through the evidence of a run.
    #[must_use]
    pub fn new(evidence: &'a Evidence) -> Self {
        let mut facts = Self {
            evidence,
            promises: evidence.plan.lane.promises(),
            calls: evidence.calls(),
            sends: BTreeMap::new(),
            reads: Vec::new(),
            final_read: evidence.final_read(),
            found: BTreeMap::new(),
            ends: BTreeMap::new(),
            dropped: BTreeSet::new(),
            trims: BTreeMap::new(),
            retained: BTreeSet::new(),
            compacted: BTreeSet::new(),
            lost_unsynced: evidence.steps.iter().any(|step| loses_unsynced(&step.what)),
        };
        facts.arrange_topics();
        for index in 0..facts.calls.len() {
            let view = facts.calls[index];
            facts.arrange(&view);
        }
        facts
    }

    /// The plan.
    #[must_use]
    pub const fn plan(&self) -> &Plan {
        &self.evidence.plan
    }

    /// Whether what was acknowledged has to be there whatever happened in this run.
    #[must_use]
    pub fn acked_survives(&self) -> bool {
        self.promises.acked_survives || !self.promises.detection_only && !self.lost_unsynced
    }

    /// Whether records of a log never go away and offsets of the log are never used again.
    #[must_use]
    pub fn is_whole(&self, log: &LogName) -> bool {
        let goes_away = self.dropped.contains(&log.topic) || self.retained.contains(&log.topic);
        !goes_away && !self.compacted.contains(&log.topic) && !self.trims.contains_key(log)
    }

    /// Whether offsets keep their meaning throughout the run.
    #[must_use]
    pub fn offsets_are_stable(&self) -> bool {
        self.acked_survives()
    }

    fn arrange_topics(&mut self) {
        for topic in &self.evidence.plan.topics {
            let get = |key: &str| topic.configs.get(key);
            if get("cleanup.policy").is_some_and(|policy| policy.contains("compact")) {
                self.compacted.insert(topic.name);
            }
            if get("retention.ms").is_some() || get("retention.bytes").is_some() {
                self.retained.insert(topic.name);
            }
        }
        // The default retention of a week passes where days are quiet or clocks jump.
        let time_flies = |what: &What| match what {
            What::Happened(Happening::Quiet) => true,
            What::Happened(Happening::Fault { fault, .. }) => fault.family() == barnabas_plan::Family::Clock,
            _ => false,
        };
        if self.evidence.steps.iter().any(|step| time_flies(&step.what)) {
            self.retained.extend(self.evidence.plan.topics.iter().map(|topic| topic.name));
        }
    }

    fn arrange(&mut self, view: &CallView<'a>) {
        let failed = matches!(view.outcome, Some(Outcome::Failed(_)));
        match view.call {
            Call::Send { .. } => self.arrange_send(view),
            Call::Poll { .. } => self.arrange_poll(view),
            Call::Drop { topic } if !failed => {
                self.dropped.insert(*topic);
            }
            Call::Configure { topic, key, .. } if !failed && key.starts_with("retention") => {
                self.retained.insert(*topic);
            }
            Call::Trim { topic, partition, before } if !failed => {
                let id = match view.outcome {
                    Some(Outcome::Ok(Reply::Trimmed { log, .. })) => log.id,
                    _ => self.id_of(*topic),
                };
                let log = LogName { topic: *topic, id, partition: *partition };
                let floor = self.trims.entry(log).or_insert(*before);
                *floor = (*floor).max(*before);
            }
            Call::Offsets { spec, .. } => self.arrange_offset(view, *spec),
            Call::Drop { .. }
            | Call::Configure { .. }
            | Call::Trim { .. }
            | Call::Assign { .. }
            | Call::Join { .. }
            | Call::Leave { .. }
            | Call::Commit { .. }
            | Call::Committed { .. }
            | Call::Create { .. }
            | Call::Grow { .. }
            | Call::Raw { .. } => {}
        }
    }

    /// The incarnation of a topic that is never dropped, as anybody saw it.
    fn id_of(&self, topic: TopicName) -> barnabas_base::Uuid {
        let acked = self.sends.values().filter_map(|send| send.acked).find(|(log, _)| log.topic == topic);
        acked.map_or_else(barnabas_base::Uuid::default, |(log, _)| log.id)
    }

    fn arrange_send(&mut self, view: &CallView<'a>) {
        let Call::Send { topic, partition, value, key, tombstone, acks, idempotent, timestamp } = view.call else {
            return;
        };
        let acked = match view.outcome {
            Some(Outcome::Ok(Reply::Sent { log, offset: Some(offset) })) => Some((*log, *offset)),
            _ => None,
        };
        let send = Send {
            by: view.by,
            topic: *topic,
            partition: *partition,
            value: *value,
            key: *key,
            tombstone: *tombstone,
            acks: *acks,
            idempotent: *idempotent,
            timestamp: *timestamp,
            invoked: view.invoked,
            ended: view.ended,
            outcome: view.outcome,
            acked,
        };
        self.sends.insert(*value, send);
    }

    fn arrange_poll(&mut self, view: &CallView<'a>) {
        let (Some(ended), Some(Outcome::Ok(Reply::Polled { logs }))) = (view.ended, view.outcome) else { return };
        let is_final = self.final_read.is_some_and(|at| view.invoked > at);
        for (log, records) in logs {
            if is_final {
                self.found.entry(*log).or_default().extend(records.iter().copied());
            }
            self.reads.push(Read { by: view.by, invoked: view.invoked, ended, log: *log, records, is_final });
        }
    }

    fn arrange_offset(&mut self, view: &CallView<'a>, spec: barnabas_plan::OffsetSpec) {
        if self.final_read.is_none_or(|at| view.invoked < at) {
            return;
        }
        let Some(Outcome::Ok(Reply::Offset { log, offset, .. })) = view.outcome else { return };
        let ends = self.ends.entry(*log).or_default();
        match spec {
            barnabas_plan::OffsetSpec::Earliest => ends.0 = Some(*offset),
            barnabas_plan::OffsetSpec::Latest => ends.1 = Some(*offset),
            barnabas_plan::OffsetSpec::MaxTimestamp | barnabas_plan::OffsetSpec::Timestamp => {}
        }
    }
}

const fn loses_unsynced(what: &What) -> bool {
    matches!(what, What::Happened(Happening::PowerLost { .. }))
}
