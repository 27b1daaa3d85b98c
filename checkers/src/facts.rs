//! [`Facts`]: evidence in the form in which black-box checkers ask for it: sends with their ends, polls with their logs,
//! the last read, and where a lane allows acknowledged records to vanish. Built once for all checkers.

use std::collections::{BTreeMap, BTreeSet};

use barnabas_base::{Offset, TimestampMs, Uuid};
use barnabas_history::{
    Call, CallView, ClientLife, DiskImage, Evidence, Happening, LogName, Membership, Outcome, Reply, Seen, Step, Value,
    What,
};
use barnabas_plan::{Fault, OffsetSpec, Plan, TopicName};

/// One send and what is known of its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    pub by: ClientLife,
    /// Position of the invocation.
    pub invoked: usize,
    /// Position of the end; beyond every step when there was none.
    pub ended: usize,
    pub topic: TopicName,
    pub partition: u32,
    pub value: Value,
    pub key: Option<u32>,
    pub tombstone: bool,
    pub acks: i16,
    pub idempotent: bool,
    pub end: End,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Acknowledged; where, if that is known.
    Ok(Option<(LogName, Offset)>),
    Failed,
    Unknown,
}

/// Records of one log in one answered poll.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Polled<'a> {
    pub by: ClientLife,
    pub invoked: usize,
    pub ended: usize,
    /// The log, unless it could be several incarnations.
    pub log: Option<LogName>,
    pub records: &'a [Seen],
    /// Position at which the reader was last given another set of partitions or another position; 0 for never.
    pub assigned: usize,
    /// Whether that happened again while the poll was under way.
    pub disturbed: bool,
    /// Position from which on the reader has fetched what it returns.
    pub since: usize,
    /// Stretch between losses in which all of that lies.
    pub stretch: Option<usize>,
}

/// One answered query for an offset.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Query {
    pub log: LogName,
    pub spec: OffsetSpec,
    /// The timestamp that was asked for.
    pub asked: TimestampMs,
    pub offset: Offset,
    /// The timestamp that was answered.
    pub timestamp: TimestampMs,
    pub invoked: usize,
    pub ended: usize,
}

/// Where readers were given what they read, by position.
#[derive(Default)]
struct Assignments {
    /// Any change.
    changed: Vec<usize>,
    /// Changes after which a reader that assigns returns nothing of before, and those of a member: each has what it fetched
    /// for itself, and a client that has left its group returns what it had fetched by assignment.
    afresh: [Vec<usize>; 2],
}

impl Assignments {
    /// The last change up to `position` after which nothing of before is returned; 0 for none.
    fn afresh(&self, by: By, position: usize) -> usize {
        let changes = &self.afresh[by as usize];
        let count = changes.partition_point(|change| *change <= position);
        count.checked_sub(1).map_or(0, |last| changes[last])
    }
}

/// Whose records a client returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Assignment = 0,
    Membership = 1,
}

/// Evidence, arranged.
pub(crate) struct Facts<'a> {
    pub evidence: &'a Evidence,
    pub calls: Vec<CallView<'a>>,
    /// Incarnations of each topic by which anybody named it.
    incarnations: BTreeMap<TopicName, BTreeSet<Uuid>>,
    /// Topics that may have been deleted.
    dropped: BTreeSet<TopicName>,
    sends: Vec<Sent>,
    polls: Vec<Polled<'a>>,
    queries: Vec<Query>,
    last_read: Option<LastRead>,
    /// Positions at which the lane allows what was acknowledged to vanish.
    pub losses: Vec<usize>,
}

/// Whether what is acknowledged survives everything that `plan` draws.
pub(crate) fn survives(plan: &Plan) -> bool {
    plan.lane.promises().acked_survives && plan.knobs.get("broker.flush.policy") != Some("os")
}

/// Whether served records are trusted to be all there are: everywhere but on a device that lies.
pub(crate) fn whole(plan: &Plan) -> bool {
    !plan.lane.promises().detection_only
}

/// Whether a machine lost power before `step`: caches that were not synced may be torn until somebody needs them.
pub(crate) fn lost_power(evidence: &Evidence, step: usize) -> bool {
    let before = evidence.steps.iter().take(step);
    before.into_iter().any(|step| matches!(step.what, What::Happened(Happening::PowerLost { .. })))
}

/// Disks whose caches are what a clean stop wrote: what a power loss tore is made anew when somebody needs it.
pub(crate) fn exact_disks(evidence: &Evidence) -> impl Iterator<Item = &DiskImage> {
    evidence.disks.iter().filter(|image| image.stopped_cleanly && !lost_power(evidence, image.after_step))
}

/// The step at which a life first ended otherwise than by a clean stop; behind the last one if none did.
pub(crate) fn first_death(evidence: &Evidence) -> usize {
    let is_death = |step: &Step| {
        matches!(step.what, What::Happened(Happening::Ended { clean: false, .. } | Happening::PowerLost { .. }))
    };
    evidence.steps.iter().position(is_death).unwrap_or(evidence.steps.len())
}

/// Disks that nothing but clean stops had a hand in: what a death leaves half done is finished when somebody needs it.
pub(crate) fn whole_disks(evidence: &Evidence) -> impl Iterator<Item = &DiskImage> {
    let first_death = first_death(evidence);
    evidence.disks.iter().filter(move |image| image.stopped_cleanly && image.after_step <= first_death)
}

/// For every plan.
pub(crate) const fn always(_: &Plan) -> bool {
    true
}

impl<'a> Facts<'a> {
    pub(crate) fn new(evidence: &'a Evidence) -> Self {
        let calls = evidence.calls();
        let mut facts = Self {
            evidence,
            calls,
            incarnations: BTreeMap::new(),
            dropped: BTreeSet::new(),
            sends: Vec::new(),
            polls: Vec::new(),
            queries: Vec::new(),
            last_read: None,
            losses: losses(evidence),
        };
        for view in &facts.calls {
            if let Call::Drop { topic } = view.call {
                facts.dropped.insert(*topic);
            }
            let Some(Outcome::Ok(reply)) = view.outcome else { continue };
            let mut name = |log: &LogName| {
                if log.id != Uuid::default() {
                    facts.incarnations.entry(log.topic).or_default().insert(log.id);
                }
            };
            match reply {
                Reply::Sent { log, .. } | Reply::Offset { log, .. } | Reply::Trimmed { log, .. } => name(log),
                Reply::Polled { logs } => logs.iter().for_each(|(log, _)| name(log)),
                Reply::Committed { offsets } => offsets.iter().for_each(|(log, _)| name(log)),
                Reply::Created { .. } | Reply::Done => {}
            }
        }
        // Which log each of them means takes all incarnations to be known.
        facts.sends = facts.calls.iter().filter_map(|view| facts.sent(view)).collect();
        facts.polls = facts.find_polls();
        facts.queries = facts.find_queries();
        facts.last_read = facts.find_last_read();
        facts
    }

    /// The log that is meant by `named`. A client that does not know the incarnation means the only one there was, and
    /// nobody can tell where there may have been several.
    pub(crate) fn log(&self, named: LogName) -> Option<LogName> {
        if named.id != Uuid::default() {
            return Some(named);
        }
        if self.dropped.contains(&named.topic) {
            return None;
        }
        let known = self.incarnations.get(&named.topic);
        match known.map_or(0, BTreeSet::len) {
            0 => Some(named),
            1 => known.and_then(BTreeSet::first).map(|id| LogName { id: *id, ..named }),
            _ => None,
        }
    }

    /// Whether somebody asked for the topic to be deleted.
    pub(crate) fn may_be_dropped(&self, topic: TopicName) -> bool {
        self.dropped.contains(&topic)
    }

    /// Position of the end of a call; beyond every step when nobody saw it.
    pub(crate) fn end_of(&self, view: &CallView<'_>) -> usize {
        view.ended.unwrap_or(self.evidence.steps.len())
    }

    /// Number of the stretch between losses in which all of `from..=to` lies; `None` when a loss lies within.
    pub(crate) fn stretch(&self, from: usize, to: usize) -> Option<usize> {
        let before = |position| self.losses.partition_point(|loss| *loss <= position);
        (before(from) == before(to)).then(|| before(from))
    }

    /// Every send, in the order of invocation.
    pub(crate) fn sends(&self) -> &[Sent] {
        &self.sends
    }

    fn sent(&self, view: &CallView<'_>) -> Option<Sent> {
        let Call::Send { topic, partition, value, key, tombstone, acks, idempotent, .. } = view.call else {
            return None;
        };
        let end = match view.outcome {
            Some(Outcome::Ok(Reply::Sent { log, offset })) => {
                let known = offset.filter(|offset| *offset >= Offset::ZERO);
                End::Ok(known.and_then(|offset| self.log(*log).map(|log| (log, offset))))
            }
            Some(Outcome::Failed(_)) => End::Failed,
            Some(Outcome::Ok(_) | Outcome::Unknown(_)) | None => End::Unknown,
        };
        Some(Sent {
            by: view.by,
            invoked: view.invoked,
            ended: self.end_of(view),
            topic: *topic,
            partition: *partition,
            value: *value,
            key: *key,
            tombstone: *tombstone,
            acks: *acks,
            idempotent: *idempotent,
            end,
        })
    }

    /// Every answered poll, one entry a log, in the order of the answers' invocations.
    pub(crate) fn polls(&self) -> &[Polled<'a>] {
        &self.polls
    }

    /// Every answered query for an offset whose log is known.
    pub(crate) fn queries(&self) -> &[Query] {
        &self.queries
    }

    fn find_polls(&self) -> Vec<Polled<'a>> {
        let assignments = self.assignments();
        let none = Assignments::default();
        let mut polls = Vec::new();
        for view in &self.calls {
            let (Some(Outcome::Ok(Reply::Polled { logs })), Some(ended)) = (view.outcome, view.ended) else { continue };
            let is_member = matches!(view.call, Call::Poll { group: Some(_) });
            let given = assignments.get(&view.by).unwrap_or(&none);
            let changes = given.changed.partition_point(|position| *position <= view.invoked);
            let disturbed = given.changed.get(changes).is_some_and(|position| *position < ended);
            let assigned = changes.checked_sub(1).map_or(0, |index| given.changed[index]);
            let since = match (disturbed, is_member) {
                // Whose records they are is not known of one that was a member at one end of it.
                (true, _) => given.afresh(By::Assignment, view.invoked).min(given.afresh(By::Membership, view.invoked)),
                (false, true) => given.afresh(By::Membership, view.invoked),
                (false, false) => given.afresh(By::Assignment, view.invoked),
            };
            let stretch = self.stretch(since, ended);
            for (named, records) in logs {
                let (by, invoked, log) = (view.by, view.invoked, self.log(*named));
                polls.push(Polled { by, invoked, ended, log, records, assigned, disturbed, since, stretch });
            }
        }
        polls
    }

    fn find_queries(&self) -> Vec<Query> {
        let query = |view: &CallView<'_>| {
            let Call::Offsets { spec, timestamp: asked, .. } = view.call else { return None };
            let Some(Outcome::Ok(Reply::Offset { log, offset, timestamp, .. })) = view.outcome else { return None };
            let (log, invoked, ended) = (self.log(*log)?, view.invoked, view.ended?);
            Some(Query { log, spec: *spec, asked: *asked, offset: *offset, timestamp: *timestamp, invoked, ended })
        };
        self.calls.iter().filter_map(query).collect()
    }

    /// Every answered DeleteRecords: the log, its start afterwards, and when that was answered.
    pub(crate) fn trims(&self) -> Vec<(LogName, Offset, usize)> {
        let trim = |view: &CallView<'_>| {
            let Some(Outcome::Ok(Reply::Trimmed { log, low_watermark })) = view.outcome else { return None };
            Some((self.log(*log)?, *low_watermark, view.ended?))
        };
        self.calls.iter().filter_map(trim).collect()
    }

    /// By log and offset, the first position since the last loss at which it was known that a record stands there.
    pub(crate) fn known_since(&self) -> BTreeMap<(LogName, Offset), usize> {
        let mut known = BTreeMap::new();
        let latest = Some(self.losses.len());
        let mut see = |log: LogName, offset: Offset, step: usize| {
            let first = known.entry((log, offset)).or_insert(step);
            *first = step.min(*first);
        };
        let counts = |send: &&Sent| send.acks < 0 && self.stretch(send.invoked, send.ended) == latest;
        for send in self.sends.iter().filter(counts) {
            if let End::Ok(Some((log, offset))) = send.end {
                see(log, offset, send.ended);
            }
        }
        for poll in self.polls.iter().filter(|poll| poll.stretch == latest) {
            if let Some(log) = poll.log {
                poll.records.iter().for_each(|seen| see(log, seen.offset, poll.ended));
            }
        }
        known
    }

    fn assignments(&self) -> BTreeMap<ClientLife, Assignments> {
        let mut lives = BTreeMap::<ClientLife, Assignments>::new();
        // A reader that could not learn of the topic goes on with what it had, and returns what it had fetched of that.
        let failed = |view: &&CallView<'_>| matches!(view.outcome, Some(Outcome::Failed(_)));
        let kept: BTreeSet<usize> = self.calls.iter().filter(failed).map(|view| view.invoked).collect();
        for (position, step) in self.evidence.steps.iter().enumerate() {
            let (by, afresh): (_, &[By]) = match &step.what {
                What::Invoked { call: Call::Assign { .. }, .. } if kept.contains(&position) => continue,
                What::Invoked { by, call: Call::Assign { from_start: true, .. }, .. } => (*by, &[By::Assignment]),
                What::Invoked { by, call: Call::Assign { .. } | Call::Join { .. } | Call::Leave { .. }, .. } => {
                    (*by, &[])
                }
                What::Member { by, change: Membership::Assigned { .. } } => (*by, &[By::Membership]),
                What::Member { by, change: Membership::Revoked { .. } } => (*by, &[]),
                What::Reborn { by } => (*by, &[By::Assignment, By::Membership]),
                What::Invoked { .. } | What::Ended { .. } | What::Observed { .. } | What::Happened(_) => continue,
            };
            let life = lives.entry(by).or_default();
            life.changed.push(position);
            for whose in afresh {
                life.afresh[*whose as usize].push(position);
            }
        }
        lives
    }

    /// The last read, when there was one and it came to its end.
    pub(crate) const fn last_read(&self) -> Option<&LastRead> {
        self.last_read.as_ref()
    }

    /// The disk as the clean stop behind the last read left it.
    pub(crate) fn last_disk(&self) -> Option<&'a DiskImage> {
        let read = self.evidence.final_read()?;
        self.evidence.disks.last().filter(|image| image.stopped_cleanly && image.after_step > read)
    }

    fn find_last_read(&self) -> Option<LastRead> {
        let start = self.evidence.final_read()?;
        let stuck = |step: &Step| matches!(step.what, What::Happened(Happening::Unsettled { .. }));
        if self.evidence.steps[start..].iter().any(stuck) {
            return None;
        }
        let mut read = LastRead { start, topics: BTreeSet::new(), logs: BTreeMap::new(), begins: BTreeMap::new() };
        let views = self.calls.iter().filter(|view| view.invoked > start);
        let begun = |view: &CallView<'_>| {
            if let Call::Assign { topic, from_start: true } = view.call { Some(*topic) } else { None }
        };
        read.topics.extend(views.filter_map(begun));
        for poll in &self.polls {
            let Some(log) = poll.log.filter(|_| poll.invoked > start) else { continue };
            read.topics.insert(log.topic);
            let records = poll.records.iter().map(|seen| (seen.offset, *seen));
            read.logs.entry(log).or_default().extend(records);
        }
        for query in self.queries.iter().filter(|query| query.invoked > start && query.spec == OffsetSpec::Earliest) {
            let begins = read.begins.entry(query.log).or_insert(query.offset);
            *begins = query.offset.max(*begins);
        }
        Some(read)
    }
}

/// What the last read found.
pub(crate) struct LastRead {
    /// Position of its beginning.
    pub start: usize,
    /// Topics that were read from their start.
    pub topics: BTreeSet<TopicName>,
    /// Records by log and offset.
    pub logs: BTreeMap<LogName, BTreeMap<Offset, Seen>>,
    /// Where logs began afterwards, as the broker said. Retention does not stop for a reader: one that took a log's first
    /// records, and then fell behind its start, was told OFFSET_OUT_OF_RANGE and went on at the start.
    pub begins: BTreeMap<LogName, Offset>,
}

fn losses(evidence: &Evidence) -> Vec<usize> {
    if survives(&evidence.plan) {
        return Vec::new();
    }
    let lies = !whole(&evidence.plan);
    let loses = |step: &Step| {
        let What::Happened(happening) = &step.what else { return false };
        let replaced = |fault: &Fault| matches!(fault, Fault::OldDisk { .. } | Fault::WipedDisk { .. });
        match happening {
            Happening::PowerLost { .. } => true,
            Happening::Fault { fault, .. } => replaced(fault),
            Happening::Started { .. } => lies,
            Happening::Serving { .. }
            | Happening::Ended { .. }
            | Happening::Panicked { .. }
            | Happening::FaultEnded { .. }
            | Happening::Quiet
            | Happening::Healed
            | Happening::FirstRead
            | Happening::FinalRead
            | Happening::Holds { .. }
            | Happening::Misanswered { .. }
            | Happening::Unsettled { .. } => false,
        }
    };
    let steps = evidence.steps.iter().enumerate();
    steps.filter(|(_, step)| loses(step)).map(|(position, _)| position).collect()
}

impl LastRead {
    /// The value at an offset of a log.
    pub(crate) fn value(&self, log: LogName, offset: Offset) -> Option<Value> {
        self.logs.get(&log)?.get(&offset)?.content.value()
    }

    /// First offset that was found in a log.
    pub(crate) fn first(&self, log: LogName) -> Option<Offset> {
        self.logs.get(&log)?.first_key_value().map(|(offset, _)| *offset)
    }

    /// Last offset that was found in a log.
    pub(crate) fn last(&self, log: LogName) -> Option<Offset> {
        self.logs.get(&log)?.last_key_value().map(|(offset, _)| *offset)
    }
}
