//! What becomes of emitted batches: appended, committed, failed.

use barnabas_base::{Monotonic, Observation, Offset, TimestampMs, mark};
use barnabas_wire::ErrorCode;

use crate::appends::{Effect, InFlight, Waiter};
use crate::classic::ClassicGroup;
use crate::coordinator::{Coordinator, Now};
use crate::fold::CommittedGroup;
use crate::id::{AppendId, GroupId};
use crate::input::{Output, Response};
use crate::record::Record;

impl Coordinator {
    /// The batch lies in the log and ends before `end_offset`. Reported in the order of emission, before or after
    /// the high watermark passes it.
    pub fn on_appended(
        &mut self,
        now: Monotonic,
        wall: TimestampMs,
        append_id: AppendId,
        end_offset: Offset,
        out: &mut Vec<Output>,
    ) {
        if self.is_active() {
            self.appends.appended(append_id, end_offset);
            self.settle_committed(Now { monotonic: now, wall }, out);
        }
    }

    /// The high watermark of the partition is now here: batches below it are committed.
    pub fn on_high_watermark(
        &mut self,
        now: Monotonic,
        wall: TimestampMs,
        high_watermark: Offset,
        out: &mut Vec<Output>,
    ) {
        if self.is_active() {
            self.appends.set_high_watermark(high_watermark);
            self.settle_committed(Now { monotonic: now, wall }, out);
        }
    }

    /// The batch is not and will not be in the log: what it was to do is taken back. Batches emitted later stand on
    /// their own; each record is the whole state of its key.
    pub fn on_append_failed(
        &mut self,
        now: Monotonic,
        wall: TimestampMs,
        append_id: AppendId,
        code: ErrorCode,
        out: &mut Vec<Output>,
    ) {
        if !self.is_active() {
            return;
        }
        let now = Now { monotonic: now, wall };
        let in_flight = self.appends.take_failed(append_id).expect("only batches in flight fail");
        self.learn_batch_bytes(code, &in_flight.records);
        let code = answer_to_append_error(code);
        self.groups.forget(append_id, &in_flight.records);
        self.fail_effect(now, in_flight.effect, code, out);
        self.undo_deletions(now, &in_flight.records, out);
        self.drop_orphans(now, &in_flight.records, code, out);
        for waiter in in_flight.waiters {
            let (token, response) = match waiter {
                Waiter::Fetch { token, request } => (token, Response::OffsetFetch(self.fetched(request))),
                waiter => waiter.refuse(code),
            };
            out.push(Output::Reply { token, response });
        }
        // What was behind the failed batch may have waited for it.
        self.settle_committed(now, out);
    }

    fn settle_committed(&mut self, now: Now, out: &mut Vec<Output>) {
        while let Some(in_flight) = self.appends.pop_committed() {
            self.settle(now, in_flight, out);
        }
    }

    fn settle(&mut self, now: Now, in_flight: InFlight, out: &mut Vec<Output>) {
        let InFlight { id, records, effect, waiters, .. } = in_flight;
        for record in &records {
            if let Record::Offset { value: Some(value), .. } = record {
                let (partition, offset) = (self.partition, Offset(value.offset));
                out.push(Output::Observe(Observation::OffsetCommitted { partition, offset }));
            }
            self.groups.apply(record.clone());
        }
        self.groups.forget(id, &records);
        records.iter().filter_map(group_of).for_each(|group| self.groups.drop_vacant(group));
        self.commit_effect(now, effect, out);
        for waiter in waiters {
            let (token, response) = match waiter {
                Waiter::Reply { token, response } => (token, response),
                Waiter::Fetch { token, request } => (token, Response::OffsetFetch(self.fetched(request))),
                Waiter::Deletion(deletion) => {
                    self.advance_deletion(now, deletion, out);
                    continue;
                }
            };
            out.push(Output::Reply { token, response });
        }
    }

    fn commit_effect(&mut self, now: Now, effect: Effect, out: &mut Vec<Output>) {
        let (groups, mut cx) = self.split(now, out);
        match effect {
            Effect::Nothing | Effect::GroupCreated(_) | Effect::PartOf(_) => {}
            Effect::Assignment(assignment) => {
                if let Some(group) = groups.live_mut(assignment.group.as_str()) {
                    group.on_assignment_committed(&mut cx, assignment);
                }
            }
            Effect::StaticReplaced(replacement) => {
                if let Some(group) = groups.live_mut(replacement.group.as_str()) {
                    group.on_static_replaced(&mut cx, &replacement);
                }
            }
        }
    }

    fn fail_effect(&mut self, now: Now, effect: Effect, code: ErrorCode, out: &mut Vec<Output>) {
        let (groups, mut cx) = self.split(now, out);
        match effect {
            Effect::Nothing => {}
            Effect::PartOf(last) => cx.appends.fail_replies(last, code),
            Effect::GroupCreated(group) => {
                cx.mark(mark::GROUP_CREATION_FAILED);
                // Members joined a group that nobody else will ever hear of, unless a later record says so.
                let Some(entry) = groups.get_mut(group.as_str()) else { return };
                if entry.committed.is_none() && cx.appends.last_id_of(group.as_str()).is_none() {
                    if let Some(mut live) = entry.live.take() {
                        live.abandon(&mut cx, code);
                    }
                    groups.drop_vacant(&group);
                }
            }
            Effect::Assignment(assignment) => {
                if let Some(group) = groups.live_mut(assignment.group.as_str()) {
                    group.on_assignment_failed(&mut cx, &assignment, code);
                }
            }
            Effect::StaticReplaced(replacement) => {
                if let Some(group) = groups.live_mut(replacement.group.as_str()) {
                    group.on_static_replacement_failed(&mut cx, &replacement, code);
                }
            }
        }
    }

    /// A group whose deletion failed is as the record before it left it. That one may be in flight: what is committed can
    /// be a generation older, with members that went long ago. Only empty groups are deleted, so that it comes back empty
    /// whatever the record says: the one that emptied it may have failed before the deletion did. Its members would have
    /// no sessions, and nobody would ever take them out.
    fn undo_deletions(&mut self, now: Now, records: &[Record], out: &mut Vec<Output>) {
        let budget = self.groups.budget().clone();
        for record in records {
            let Record::Group { group, value: None } = record else { continue };
            let Some(entry) = self.groups.get_mut(group.as_str()).filter(|entry| entry.live.is_none()) else {
                continue;
            };
            out.push(Output::Observe(mark::GROUP_DELETION_UNDONE.seen()));
            let emptied = |value| ClassicGroup::emptied(group.clone(), value, now.wall, &budget);
            entry.live = match (self.appends.last_state_of(group.as_str()), &entry.committed) {
                (Some(Some(value)), _) => Some(emptied(value)),
                (Some(None), _) | (None, None) => None,
                (None, Some(CommittedGroup::Recorded(value))) => Some(emptied(value)),
                (None, Some(CommittedGroup::Simple)) => Some(ClassicGroup::new(group.clone(), now.wall, &budget)),
            };
        }
    }

    /// A simple group whose first commit failed was never there.
    fn drop_orphans(&mut self, now: Now, records: &[Record], code: ErrorCode, out: &mut Vec<Output>) {
        for group in records.iter().filter_map(group_of) {
            let (groups, mut cx) = self.split(now, out);
            let Some(entry) = groups.get_mut(group.as_str()) else { continue };
            let is_orphan = entry.committed.is_none()
                && entry.offsets.is_empty()
                && entry.live.as_ref().is_some_and(ClassicGroup::is_simple)
                && cx.appends.last_id_of(group.as_str()).is_none();
            if let Some(mut live) = entry.live.take_if(|_| is_orphan) {
                live.abandon(&mut cx, code);
            }
            groups.drop_vacant(group);
        }
    }
}

const fn group_of(record: &Record) -> Option<&GroupId> {
    match record {
        Record::Offset { group, .. } | Record::Group { group, .. } | Record::OtherProtocol { group, .. } => Some(group),
        Record::Ignored => None,
    }
}

/// What clients are told when their record could not be written: a code that they know from coordinators.
pub(crate) const fn answer_to_append_error(code: ErrorCode) -> ErrorCode {
    match code {
        ErrorCode::UnknownTopicOrPartition
        | ErrorCode::NotEnoughReplicas
        | ErrorCode::NotEnoughReplicasAfterAppend
        | ErrorCode::RequestTimedOut => ErrorCode::CoordinatorNotAvailable,
        ErrorCode::NotLeaderOrFollower | ErrorCode::KafkaStorageError => ErrorCode::NotCoordinator,
        ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge | ErrorCode::InvalidFetchSize => {
            ErrorCode::UnknownServerError
        }
        other => other,
    }
}
