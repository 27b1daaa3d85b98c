//! [`Watch`]: the triggers that wait for an event, and what has come of them. The world's hook tells it every happening;
//! the director takes the faults that are due before time moves on.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;

use barnabas_base::{Monotonic, Observation};
use barnabas_plan::{Api, Call, Fact, FileClass, Trigger};
use barnabas_runtime_madsim::DiskCallKind;

use crate::files::{is_call, is_of};

/// Where a disk call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It has been issued.
    Issued,
    /// It has taken effect, and nothing has followed from it.
    Done,
}

/// A trigger that waits.
#[derive(Debug)]
struct Waiting {
    /// Position of the fault in the plan.
    fault: usize,
    wants: Wants,
    since: Monotonic,
    left: u32,
}

#[derive(Debug)]
enum Wants {
    Disk(Phase, Call, FileClass),
    Answer(i16),
    Fact(Fact),
    Start,
}

/// Triggers of one node.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    waiting: Vec<Waiting>,
    due: Vec<usize>,
}

/// A watch that the world's hooks and the director share.
pub(crate) type SharedWatch = Rc<RefCell<Watch>>;

impl Watch {
    /// Adds the trigger of a fault; `since` is when counting begins. A trigger at a time is the agenda's business.
    pub(crate) fn add(&mut self, fault: usize, trigger: &Trigger, since: Monotonic) {
        let (wants, count) = match trigger {
            Trigger::At { .. } => return,
            Trigger::Issued { call, file, count, .. } => (Wants::Disk(Phase::Issued, *call, *file), *count),
            Trigger::Done { call, file, count, .. } => (Wants::Disk(Phase::Done, *call, *file), *count),
            Trigger::Answered { api, count, .. } => (Wants::Answer(api_key(*api)), *count),
            Trigger::Observed { fact, count, .. } => (Wants::Fact(*fact), *count),
            Trigger::Started { count, .. } => (Wants::Start, *count),
        };
        self.waiting.push(Waiting { fault, wants, since, left: count.max(1) });
    }

    /// Whether a fault is due.
    pub(crate) fn is_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// Takes a fault that is due.
    pub(crate) fn take_due(&mut self) -> Option<usize> {
        if self.due.is_empty() { None } else { Some(self.due.remove(0)) }
    }

    /// Nothing more becomes due.
    pub(crate) fn clear(&mut self) {
        self.waiting.clear();
        self.due.clear();
    }

    pub(crate) fn on_disk(&mut self, now: Monotonic, phase: Phase, kind: DiskCallKind, path: &Path) {
        self.count(now, |wants| match wants {
            Wants::Disk(wanted, call, file) => *wanted == phase && is_call(*call, kind) && is_of(*file, path, kind),
            Wants::Answer(_) | Wants::Fact(_) | Wants::Start => false,
        });
    }

    pub(crate) fn on_observation(&mut self, now: Monotonic, observation: &Observation) {
        self.count(now, |wants| match wants {
            Wants::Fact(fact) => is_fact(*fact, observation),
            Wants::Answer(key) => matches!(observation, Observation::ResponseSent { api_key, .. } if api_key == key),
            Wants::Disk(..) | Wants::Start => false,
        });
    }

    pub(crate) fn on_start(&mut self, now: Monotonic) {
        self.count(now, |wants| matches!(wants, Wants::Start));
    }

    fn count(&mut self, now: Monotonic, is_wanted: impl Fn(&Wants) -> bool) {
        let due = &mut self.due;
        self.waiting.retain_mut(|waiting| {
            if now < waiting.since || !is_wanted(&waiting.wants) {
                return true;
            }
            waiting.left -= 1;
            if waiting.left == 0 {
                due.push(waiting.fault);
            }
            waiting.left > 0
        });
    }
}

/// Kafka's key of an API that a plan can name.
const fn api_key(api: Api) -> i16 {
    match api {
        Api::Produce => 0,
        Api::Fetch => 1,
        Api::OffsetCommit => 8,
        Api::JoinGroup => 11,
        Api::SyncGroup => 14,
        Api::CreateTopics => 19,
        Api::DeleteRecords => 21,
        Api::InitProducerId => 22,
    }
}

const fn is_fact(fact: Fact, observation: &Observation) -> bool {
    matches!(
        (fact, observation),
        (Fact::Appended, Observation::Appended { .. })
            | (Fact::Synced, Observation::Synced { .. })
            | (Fact::HighWatermark, Observation::HighWatermarkSet { .. })
            | (Fact::Acked, Observation::Acked { .. })
            | (Fact::Served, Observation::Served { .. })
            | (Fact::LogStart, Observation::LogStartSet { .. })
            | (Fact::OffsetCommitted, Observation::OffsetCommitted { .. })
            | (Fact::MetadataApplied, Observation::MetadataApplied { .. })
            | (Fact::LogLoaded, Observation::LogLoaded { .. })
            | (Fact::Mark, Observation::Mark { .. })
    )
}

#[cfg(test)]
mod tests {
    use barnabas_base::Observation;
    use barnabas_plan::NodeName;

    use super::*;

    #[test]
    fn a_trigger_counts_from_its_time_and_fires_once() {
        let mut watch = Watch::default();
        let trigger = Trigger::Observed { node: NodeName(0), fact: Fact::Mark, count: 2, since_ms: 0 };
        watch.add(7, &trigger, Monotonic(100));
        let mark = Observation::Mark { name: "rare" };
        watch.on_observation(Monotonic(50), &mark);
        watch.on_observation(Monotonic(100), &mark);
        watch.on_observation(Monotonic(101), &Observation::ConnectionOpened);
        assert!(!watch.is_due());
        watch.on_observation(Monotonic(102), &mark);
        assert_eq!(watch.take_due(), Some(7));
        watch.on_observation(Monotonic(103), &mark);
        assert!(!watch.is_due());
    }
}
