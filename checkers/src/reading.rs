//! [`readings`]: how readers went on, poll by poll: where one stood in a log and where its next record was.

use std::collections::BTreeMap;

use barnabas_base::Offset;
use barnabas_history::{Call, ClientLife, LogName, Membership, Outcome, What};

use crate::facts::Facts;

/// One step of a reader in one log.
pub(crate) struct Reading {
    pub by: ClientLife,
    pub log: LogName,
    /// Where it stood: the next offset it had to read.
    pub position: Offset,
    /// Where its next record was.
    pub first: Offset,
    /// Position of the end of the poll.
    pub ended: usize,
    /// Stretch between losses in which it has kept its partitions.
    pub stretch: usize,
}

/// Every step between two polls of readers that kept their partitions, and from a committed position to a first poll.
///
/// A poll that did not end well leaves open where its reader stands.
pub(crate) fn readings(facts: &Facts<'_>) -> Vec<Reading> {
    let mut positions = Positions::new(facts);
    let mut readings = Vec::new();
    let mut blurred = BTreeMap::new();
    for poll in facts.polls() {
        let Some(log) = poll.log else { continue };
        let (Some(first), Some(last)) = (poll.records.first(), poll.records.last()) else { continue };
        let place = (poll.by, log);
        if poll.disturbed {
            positions.stands.remove(&place);
            // It may have read from the assignment that came in its midst.
            blurred.insert(place, poll.ended);
            continue;
        }
        let unsure = positions.unsure_until(poll.by, poll.invoked);
        let known = positions.stands.get(&place).filter(|(since, _)| *since >= poll.assigned && *since >= unsure);
        let is_clear = unsure <= poll.assigned && blurred.get(&place).is_none_or(|ended| *ended < poll.assigned);
        let begins = || positions.begins.get(&(poll.by, poll.assigned, log)).filter(|_| is_clear);
        let position = known.map(|(_, position)| *position).or_else(|| begins().copied());
        if let (Some(position), Some(stretch)) = (position, poll.stretch) {
            let (by, ended) = (poll.by, poll.ended);
            readings.push(Reading { by, log, position, first: first.offset, ended, stretch });
        }
        positions.stands.insert(place, (poll.ended, last.offset.plus(1)));
    }
    readings
}

/// Where readers stand.
struct Positions {
    /// Since when, and the next offset.
    stands: BTreeMap<(ClientLife, LogName), (usize, Offset)>,
    /// Committed positions with which memberships began, by the position of the assignment.
    begins: BTreeMap<(ClientLife, usize, LogName), Offset>,
    /// Ends of polls that did not end well.
    unsure: BTreeMap<ClientLife, Vec<usize>>,
}

impl Positions {
    fn new(facts: &Facts<'_>) -> Self {
        let mut found = Self { stands: BTreeMap::new(), begins: BTreeMap::new(), unsure: BTreeMap::new() };
        for (at, step) in facts.evidence.steps.iter().enumerate() {
            let What::Member { by, change: Membership::Assigned { positions, .. } } = &step.what else { continue };
            for (log, offset) in positions {
                if let Some(log) = facts.log(*log) {
                    found.begins.insert((*by, at, log), *offset);
                }
            }
        }
        for view in &facts.calls {
            let well = matches!(view.outcome, Some(Outcome::Ok(_)));
            if matches!(view.call, Call::Poll { .. }) && !well {
                found.unsure.entry(view.by).or_default().push(facts.end_of(view));
            }
        }
        found
    }

    /// Position of the last end of a bad poll of `by` before `position`.
    fn unsure_until(&self, by: ClientLife, position: usize) -> usize {
        let Some(ends) = self.unsure.get(&by) else { return 0 };
        let before = ends.partition_point(|end| *end < position);
        before.checked_sub(1).map_or(0, |index| ends[index])
    }
}
