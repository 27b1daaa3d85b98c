//! Batches that were emitted and are not settled: their records, what is to happen when they are, and who waits.
//!
//! Batches settle in order. Knows nothing of groups; the coordinator drives it.

use std::collections::VecDeque;

use barnabas_base::Offset;
use barnabas_wire::ErrorCode;
use barnabas_wire::internal::offsets_schema::GroupMetadataValue;
use barnabas_wire::message::offset_fetch::OffsetFetchRequestGroup;

use crate::classic::{Assignment, StaticReplacement};
use crate::delete::GroupDeletion;
use crate::id::{AppendId, GroupId, Token};
use crate::input::{Input, Output, Response};
use crate::record::Record;

/// What a settled batch means to the group that emitted it.
#[derive(Debug)]
pub(crate) enum Effect {
    /// Nothing but the records themselves.
    Nothing,
    /// The first record of a new group.
    GroupCreated(GroupId),
    /// The leader's assignment: members learn theirs when it is committed.
    Assignment(Assignment),
    /// A static member came back under a new member id and no rebalance is needed.
    StaticReplaced(StaticReplacement),
    /// A part of what is done with this later batch: whoever waits there learns when this one fails.
    PartOf(AppendId),
}

/// Somebody who waits until a batch is settled.
#[derive(Debug)]
pub(crate) enum Waiter {
    /// Gets this answer when the batch is committed, a refusal when it failed.
    Reply { token: Token, response: Response },
    /// Reads offsets as of then (`require_stable`).
    Fetch { token: Token, request: OffsetFetchRequestGroup },
    /// Goes on with its next batch.
    Deletion(GroupDeletion),
}

impl Waiter {
    /// What it is answered when nothing becomes of the batch.
    pub(crate) fn refuse(self, code: ErrorCode) -> (Token, Response) {
        match self {
            Self::Reply { token, response } => (token, response.failed(code)),
            Self::Fetch { token, request } => {
                let input = Input::OffsetFetch { token, require_stable: true, request };
                (token, input.refusal(code))
            }
            Self::Deletion(deletion) => deletion.failed(code),
        }
    }
}

/// One batch in flight.
#[derive(Debug)]
pub(crate) struct InFlight {
    pub(crate) id: AppendId,
    pub(crate) records: Vec<Record>,
    pub(crate) effect: Effect,
    pub(crate) waiters: Vec<Waiter>,
    /// Exclusive end of the batch in the log, once it is there.
    end_offset: Option<Offset>,
}

/// All batches in flight, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Appends {
    queue: VecDeque<InFlight>,
    next_id: u64,
    high_watermark: Option<Offset>,
}

impl Appends {
    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Emits a batch.
    pub(crate) fn emit(&mut self, records: Vec<Record>, effect: Effect, out: &mut Vec<Output>) -> AppendId {
        assert!(!records.is_empty(), "a batch has records");
        let id = AppendId(self.next_id);
        self.next_id += 1;
        out.push(Output::append(id, &records));
        self.queue.push_back(InFlight { id, records, effect, waiters: Vec::new(), end_offset: None });
        id
    }

    /// The id the next batch will have.
    pub(crate) const fn next_id(&self) -> AppendId {
        AppendId(self.next_id)
    }

    /// The id that a batch will have before which `ahead` others are emitted.
    pub(crate) fn id_after(&self, ahead: usize) -> AppendId {
        AppendId(self.next_id + u64::try_from(ahead).expect("a count fits 64 bits"))
    }

    /// Turns the answers that wait for `id` into refusals, if it is still in flight.
    pub(crate) fn fail_replies(&mut self, id: AppendId, code: ErrorCode) {
        let Some(in_flight) = self.queue.iter_mut().find(|in_flight| in_flight.id == id) else { return };
        for waiter in std::mem::take(&mut in_flight.waiters) {
            in_flight.waiters.push(match waiter {
                Waiter::Reply { token, response } => Waiter::Reply { token, response: response.failed(code) },
                other => other,
            });
        }
    }

    /// Makes somebody wait for a batch in flight.
    pub(crate) fn wait_for(&mut self, id: AppendId, waiter: Waiter) {
        let in_flight = self.queue.iter_mut().rev().find(|in_flight| in_flight.id == id);
        in_flight.expect("only batches in flight are waited for").waiters.push(waiter);
    }

    /// The youngest batch in flight that touches `group`.
    pub(crate) fn last_id_of(&self, group: &str) -> Option<AppendId> {
        let touches = |record: &Record| match record {
            Record::Offset { group: id, .. } | Record::Group { group: id, .. } => id.as_str() == group,
            Record::OtherProtocol { .. } | Record::Ignored => false,
        };
        let youngest = self.queue.iter().rev().find(|in_flight| in_flight.records.iter().any(touches));
        youngest.map(|in_flight| in_flight.id)
    }

    /// The youngest batch in flight that commits an offset of `group`.
    pub(crate) fn last_commit_of(&self, group: &str) -> Option<AppendId> {
        let commits = |record: &Record| match record {
            Record::Offset { group: id, value, .. } => id.as_str() == group && value.is_some(),
            Record::Group { .. } | Record::OtherProtocol { .. } | Record::Ignored => false,
        };
        let youngest = self.queue.iter().rev().find(|in_flight| in_flight.records.iter().any(commits));
        youngest.map(|in_flight| in_flight.id)
    }

    /// What the youngest record in flight makes of `group`: its state, or `None` within for a deletion.
    pub(crate) fn last_state_of(&self, group: &str) -> Option<Option<&GroupMetadataValue>> {
        let mut youngest_first = self.queue.iter().rev().flat_map(|in_flight| in_flight.records.iter().rev());
        youngest_first.find_map(|record| state_in(record, group))
    }

    /// The batch is in the log up to `end_offset`.
    pub(crate) fn appended(&mut self, id: AppendId, end_offset: Offset) {
        let mut previous = None;
        for in_flight in &mut self.queue {
            if in_flight.id == id {
                assert!(in_flight.end_offset.is_none(), "a batch is appended once");
                assert!(previous < Some(end_offset), "batches lie in the log in the order they were emitted");
                in_flight.end_offset = Some(end_offset);
                return;
            }
            assert!(in_flight.end_offset.is_some(), "batches are appended in the order they were emitted");
            previous = in_flight.end_offset;
        }
        panic!("only batches in flight are reported as appended");
    }

    pub(crate) fn set_high_watermark(&mut self, high_watermark: Offset) {
        self.high_watermark = self.high_watermark.max(Some(high_watermark));
    }

    /// The oldest batch, when the high watermark has passed it.
    pub(crate) fn pop_committed(&mut self) -> Option<InFlight> {
        let end_offset = self.queue.front()?.end_offset?;
        if Some(end_offset) <= self.high_watermark { self.queue.pop_front() } else { None }
    }

    /// A batch that failed.
    pub(crate) fn take_failed(&mut self, id: AppendId) -> Option<InFlight> {
        let position = self.queue.iter().position(|in_flight| in_flight.id == id)?;
        self.queue.remove(position)
    }

    /// The oldest batch, whatever became of it.
    pub(crate) fn pop_oldest(&mut self) -> Option<InFlight> {
        self.queue.pop_front()
    }
}

/// What a record makes of `group`, if it is about it.
fn state_in<'a>(record: &'a Record, group: &str) -> Option<Option<&'a GroupMetadataValue>> {
    match record {
        Record::Group { group: id, value } if id.as_str() == group => Some(value.as_deref()),
        _ => None,
    }
}
