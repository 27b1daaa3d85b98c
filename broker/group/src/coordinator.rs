//! [`Coordinator`]: all classic groups of one `__consumer_offsets` partition. Routes requests and timers to groups,
//! loads the log, and hands over what they decide. One shard owns it and drives it.

use barnabas_base::{Budget, Monotonic, Offset, TimestampMs, TopicPartition, mark};
use barnabas_wire::ErrorCode;
use barnabas_wire::message::{
    HeartbeatRequest, HeartbeatResponse, LeaveGroupRequest, LeaveGroupResponse, SyncGroupRequest, SyncGroupResponse,
};
use bytes::Bytes;

use crate::appends::{Appends, Effect};
use crate::classic::{
    ClassicGroup, Context, JoinCall, leave_response, leaving_members, names_protocol, refuse_members,
};
use crate::config::{
    APPENDS_IN_FLIGHT_LIMIT, APPENDS_IN_FLIGHT_MAX, Config, GROUPS_PER_COORDINATOR_MAX, TOMBSTONE_BATCH_BYTES_MAX,
};
use crate::fold::{CommittedGroup, Groups, Image};
use crate::id::{AppendId, GroupId, Token};
use crate::input::{Input, Output, Response};
use crate::record::{Record, RecordReader, ReplayError, Replayed};
use crate::timers::{Timer, Timers};

/// What requests are told that would add to a full account. Java's consumer, librdkafka and kafka-python wait and send
/// JoinGroup and OffsetCommit again on it; COORDINATOR_NOT_AVAILABLE would have them look for a coordinator elsewhere.
pub(crate) const NO_ROOM: ErrorCode = ErrorCode::CoordinatorLoadInProgress;

/// The coordinator of the groups of one partition.
///
/// Life: [`new`](Self::new), [`replay`](Self::replay) for each record of the log up to the high watermark,
/// [`loaded`](Self::loaded); then [`step`](Self::step) and the reports of its batches; at last
/// [`resign`](Self::resign). Requests before `loaded` are refused with `COORDINATOR_LOAD_IN_PROGRESS`: an answer from
/// half a log would send consumers back to their beginnings. A log that does not read ends in
/// [`failed_to_load`](Self::failed_to_load).
#[derive(Debug)]
pub struct Coordinator {
    pub(crate) config: Config,
    /// The partition of `__consumer_offsets`, for observations.
    pub(crate) partition: TopicPartition,
    pub(crate) groups: Groups,
    pub(crate) timers: Timers,
    pub(crate) appends: Appends,
    pub(crate) sweep_cursor: Option<GroupId>,
    /// What one batch of tombstones may take, as far as the log has not refused that.
    pub(crate) tombstone_batch_bytes_max: usize,
    reader: RecordReader,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Loading,
    Active,
    /// The log does not read: what is committed is not known.
    Failed,
    Resigned,
}

/// The time of one step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    pub(crate) monotonic: Monotonic,
    pub(crate) wall: TimestampMs,
}

impl Coordinator {
    /// A coordinator that has not read its log. What its groups hold is charged to `budget`; when the account is full,
    /// what would add to it is refused with COORDINATOR_LOAD_IN_PROGRESS, which every client retries in place.
    #[must_use]
    pub fn new(config: Config, partition: TopicPartition, budget: Budget) -> Self {
        Self {
            config,
            partition,
            groups: Groups::new(budget),
            timers: Timers::default(),
            appends: Appends::default(),
            sweep_cursor: None,
            tombstone_batch_bytes_max: TOMBSTONE_BATCH_BYTES_MAX,
            reader: RecordReader::default(),
            phase: Phase::Loading,
        }
    }

    /// Takes one record of the log while loading. One that does not read ends the load: what it says of its key is not
    /// known, and what older records say is not true any more.
    pub fn replay(&mut self, key: Bytes, value: Option<Bytes>, offset: Offset) -> Result<Replayed, ReplayError> {
        assert!(self.phase == Phase::Loading, "records are replayed before the coordinator serves");
        let record = self.reader.read(key, value).map_err(|reason| {
            self.phase = Phase::Failed;
            ReplayError { offset, reason }
        })?;
        let replayed = if record == Record::Ignored { Replayed::PassedOver } else { Replayed::Applied };
        self.groups.apply(record);
        Ok(replayed)
    }

    /// The log is read: sessions of the members it names begin, and requests are served.
    pub fn loaded(&mut self, now: Monotonic, wall: TimestampMs, out: &mut Vec<Output>) {
        assert!(self.phase == Phase::Loading, "a coordinator is loaded once");
        self.phase = Phase::Active;
        let now = Now { monotonic: now, wall };
        let budget = self.groups.budget().clone();
        let (groups, mut cx) = self.split(now, out);
        for (id, entry) in groups.iter_mut() {
            if entry.other_protocol {
                continue;
            }
            let Some(committed) = &entry.committed else { continue };
            let mut group = revive(id, committed, wall, &budget);
            group.start_sessions(&mut cx);
            entry.live = Some(group);
        }
        self.schedule_sweep(now);
    }

    /// The log does not read, so that nobody knows what is committed: nothing of it is served. Requests get
    /// NOT_COORDINATOR, as from a coordinator of Kafka that failed to load (`CoordinatorRuntime`, state FAILED); it goes
    /// on only by loading anew.
    pub fn failed_to_load(&mut self, out: &mut Vec<Output>) {
        assert!(matches!(self.phase, Phase::Loading | Phase::Failed), "only what loads fails to load");
        self.phase = Phase::Failed;
        self.groups.clear();
        out.push(Output::Observe(mark::GROUP_LOAD_FAILED.seen()));
    }

    /// Whether the log has been read and the partition is still led.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.phase == Phase::Active
    }

    /// Handles one request.
    pub fn step(&mut self, now: Monotonic, wall: TimestampMs, input: Input, out: &mut Vec<Output>) {
        match self.phase {
            Phase::Active => self.dispatch(Now { monotonic: now, wall }, input, out),
            Phase::Loading => {
                // A member that lives is not told to worry; its session begins when the log is read.
                let code = match input {
                    Input::Heartbeat { .. } => ErrorCode::None,
                    _ => ErrorCode::CoordinatorLoadInProgress,
                };
                out.push(Output::Observe(mark::GROUP_REQUEST_WHILE_LOADING.seen()));
                out.push(Output::Reply { token: input.token(), response: input.refusal(code) });
            }
            Phase::Failed | Phase::Resigned => {
                let response = input.refusal(ErrorCode::NotCoordinator);
                out.push(Output::Reply { token: input.token(), response });
            }
        }
    }

    /// When [`on_wakeup`](Self::on_wakeup) is due. Ask again after each step; while the batches in flight leave no room for
    /// others it never is, until one of them settles.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Monotonic> {
        self.timers.next().filter(|_| self.appends_left() > 0)
    }

    /// Handles deadlines that are not after `now`, as many as may still write. When a network fails, all sessions end at
    /// once, and each empties a group: the log would refuse most of so many batches. The other deadlines stay due.
    pub fn on_wakeup(&mut self, now: Monotonic, wall: TimestampMs, out: &mut Vec<Output>) {
        while self.appends_left() > 0
            && let Some(timer) = self.timers.pop_due(now)
        {
            self.on_timer(Now { monotonic: now, wall }, timer, out);
        }
    }

    /// Leadership of the partition is lost: everything pending is refused and forgotten.
    pub fn resign(&mut self, now: Monotonic, wall: TimestampMs, out: &mut Vec<Output>) {
        let code = ErrorCode::NotCoordinator;
        let now = Now { monotonic: now, wall };
        while let Some(in_flight) = self.appends.pop_oldest() {
            for waiter in in_flight.waiters {
                let (token, response) = waiter.refuse(code);
                out.push(Output::Reply { token, response });
            }
        }
        let (groups, mut cx) = self.split(now, out);
        for (_, entry) in groups.iter_mut() {
            if let Some(group) = &mut entry.live {
                group.abandon(&mut cx, code);
            }
        }
        self.groups.clear();
        self.timers.clear();
        self.phase = Phase::Resigned;
    }

    /// The committed view.
    #[must_use]
    pub fn image(&self) -> Image {
        self.groups.image()
    }

    /// The groups, and everything else a step of one of them may touch.
    pub(crate) fn split<'a>(&'a mut self, now: Now, out: &'a mut Vec<Output>) -> (&'a mut Groups, Context<'a>) {
        let context = Context {
            config: &self.config,
            now: now.monotonic,
            wall: now.wall,
            timers: &mut self.timers,
            appends: &mut self.appends,
            out,
        };
        (&mut self.groups, context)
    }

    /// Emits a batch whose offsets the pending view shows from here on.
    pub(crate) fn emit(&mut self, records: Vec<Record>, effect: Effect, out: &mut Vec<Output>) -> AppendId {
        self.groups.emit(self.appends.next_id(), &records);
        self.appends.emit(records, effect, out)
    }

    /// How many more batches may be emitted before others settle.
    pub(crate) fn appends_left(&self) -> usize {
        APPENDS_IN_FLIGHT_MAX.saturating_sub(self.appends.len())
    }

    fn dispatch(&mut self, now: Now, input: Input, out: &mut Vec<Output>) {
        if let Some(code) = self.refuse_append(&input) {
            let response = input.refusal(code);
            out.push(Output::Observe(mark::GROUP_APPENDS_FULL.seen()));
            out.push(Output::Reply { token: input.token(), response });
            return;
        }
        match input {
            Input::JoinGroup { token, version, client, fresh_uuid, request } => {
                self.join(now, JoinCall { token, version, client, fresh_uuid, request }, out);
            }
            Input::SyncGroup { token, version, request } => self.sync(now, token, version, request, out),
            Input::Heartbeat { token, request } => self.heartbeat(now, token, &request, out),
            Input::LeaveGroup { token, version, request } => self.leave(now, token, version, request, out),
            Input::OffsetCommit { token, version, request } => self.commit(now, token, version, request, out),
            Input::OffsetFetch { token, require_stable, request } => self.fetch(token, require_stable, request, out),
            Input::OffsetDelete { token, request } => self.delete_offsets(token, &request, out),
            Input::DescribeGroups { token, version, groups } => self.describe(token, version, groups, out),
            Input::ListGroups { token, request } => self.list(token, &request, out),
            Input::DeleteGroups { token, groups } => self.delete_groups(now, token, groups, out),
        }
    }

    /// Whether there is no room for what the request may write.
    fn refuse_append(&self, input: &Input) -> Option<ErrorCode> {
        match writes(input) {
            Writes::Always if self.appends_left() == 0 => Some(ErrorCode::CoordinatorLoadInProgress),
            // Members that wait for each other know no better answer; they look for the coordinator and join again.
            Writes::Sometimes if self.appends.len() >= APPENDS_IN_FLIGHT_LIMIT => {
                Some(ErrorCode::CoordinatorNotAvailable)
            }
            Writes::Always | Writes::Sometimes | Writes::Never => None,
        }
    }

    fn join(&mut self, now: Now, call: JoinCall, out: &mut Vec<Output>) {
        let member_id = call.request.member_id.clone();
        let group_id = GroupId::from(call.request.group_id.as_str());
        let refusal = self.refuse_join(&group_id, &call);
        let budget = self.groups.budget().clone();
        let (groups, mut cx) = self.split(now, out);
        if let Some(code) = refusal {
            if code == NO_ROOM {
                cx.mark(mark::GROUP_MEMORY_FULL);
            }
            call.refuse(&mut cx, &member_id, code);
            return;
        }
        let entry = groups.entry(&group_id);
        if let Some(group) = &mut entry.live {
            group.join(&mut cx, call);
            return;
        }
        let mut group = ClassicGroup::new(group_id.clone(), now.wall, &budget);
        group.join(&mut cx, call);
        if group.is_idle() {
            groups.drop_vacant(&group_id);
            return;
        }
        // The group is in the log before its first rebalance ends, so that reads show it.
        cx.emit(vec![group.creation_record()], Effect::GroupCreated(group_id));
        entry.live = Some(group);
    }

    fn refuse_join(&self, group_id: &GroupId, call: &JoinCall) -> Option<ErrorCode> {
        if group_id.as_str().is_empty() {
            return Some(ErrorCode::InvalidGroupId);
        }
        let session_timeouts_ms = self.config.session_timeout_min_ms..=self.config.session_timeout_max_ms;
        if !session_timeouts_ms.contains(&call.request.session_timeout_ms) {
            return Some(ErrorCode::InvalidSessionTimeout);
        }
        let entry = self.groups.get(group_id.as_str());
        if entry.is_some_and(|entry| entry.other_protocol) {
            return Some(ErrorCode::InconsistentGroupProtocol);
        }
        if let Some(group) = entry.and_then(|entry| entry.live.as_ref()) {
            let has_no_room = self.groups.is_full() && group.grows_by(call);
            return has_no_room.then_some(NO_ROOM);
        }
        if !call.request.member_id.is_empty() {
            return Some(ErrorCode::UnknownMemberId);
        }
        self.refuse_new_group().or_else(|| self.groups.is_full().then_some(NO_ROOM))
    }

    /// Whether there is no room for one more group.
    pub(crate) fn refuse_new_group(&self) -> Option<ErrorCode> {
        (self.groups.len() >= GROUPS_PER_COORDINATOR_MAX).then_some(ErrorCode::PolicyViolation)
    }

    fn sync(&mut self, now: Now, token: Token, version: i16, request: SyncGroupRequest, out: &mut Vec<Output>) {
        let (groups, mut cx) = self.split(now, out);
        let code = match groups.live_mut(&request.group_id) {
            _ if !names_protocol(version, &request) => ErrorCode::InconsistentGroupProtocol,
            _ if request.group_id.is_empty() => ErrorCode::InvalidGroupId,
            Some(group) => return group.sync(&mut cx, token, request),
            None => ErrorCode::UnknownMemberId,
        };
        let response = SyncGroupResponse { error_code: code.code(), ..Default::default() };
        cx.reply(token, Response::SyncGroup(response));
    }

    fn heartbeat(&mut self, now: Now, token: Token, request: &HeartbeatRequest, out: &mut Vec<Output>) {
        let (groups, mut cx) = self.split(now, out);
        let code = match groups.live_mut(&request.group_id) {
            _ if request.group_id.is_empty() => ErrorCode::InvalidGroupId,
            Some(group) => group.heartbeat(&mut cx, request),
            None => ErrorCode::UnknownMemberId,
        };
        let response = HeartbeatResponse { error_code: code.code(), ..Default::default() };
        cx.reply(token, Response::Heartbeat(response));
    }

    fn leave(&mut self, now: Now, token: Token, version: i16, request: LeaveGroupRequest, out: &mut Vec<Output>) {
        let (groups, mut cx) = self.split(now, out);
        if request.group_id.is_empty() {
            let error_code = ErrorCode::InvalidGroupId.code();
            let response = LeaveGroupResponse { error_code, ..Default::default() };
            cx.reply(token, Response::LeaveGroup(response));
            return;
        }
        let members = leaving_members(version, request.member_id, request.members);
        let (responses, append_id) = match groups.live_mut(&request.group_id) {
            Some(group) => group.leave(&mut cx, members),
            None => (refuse_members(members, ErrorCode::UnknownMemberId), None),
        };
        cx.reply_after(append_id, token, Response::LeaveGroup(leave_response(version, responses)));
    }

    fn on_timer(&mut self, now: Now, timer: Timer, out: &mut Vec<Output>) {
        let (groups, mut cx) = self.split(now, out);
        match timer {
            Timer::Session { group, member } => {
                if let Some(group) = groups.live_mut(group.as_str()) {
                    group.on_session_timer(&mut cx, &member);
                }
            }
            Timer::InitialJoin { group, delay_ms, remaining_ms } => {
                if let Some(group) = groups.live_mut(group.as_str()) {
                    group.on_initial_join_timer(&mut cx, delay_ms, remaining_ms);
                }
            }
            Timer::Join { group } => {
                if let Some(group) = groups.live_mut(group.as_str()) {
                    group.on_join_timer(&mut cx);
                }
            }
            Timer::Sync { group } => {
                if let Some(group) = groups.live_mut(group.as_str()) {
                    group.on_sync_timer(&mut cx);
                }
            }
            Timer::Sweep => self.sweep(now, out),
        }
    }
}

/// The group that the committed view describes, with no requests and no timers.
pub(crate) fn revive(id: &GroupId, committed: &CommittedGroup, wall: TimestampMs, budget: &Budget) -> ClassicGroup {
    match committed {
        CommittedGroup::Simple => ClassicGroup::new(id.clone(), wall, budget),
        CommittedGroup::Recorded(value) => ClassicGroup::from_record(id.clone(), value, budget),
    }
}

/// Whether a request emits records when it succeeds.
enum Writes {
    Always,
    /// Only as the last step of something: all have joined, the assignment is there, nobody is left.
    Sometimes,
    Never,
}

const fn writes(input: &Input) -> Writes {
    match input {
        Input::OffsetCommit { .. } | Input::OffsetDelete { .. } | Input::DeleteGroups { .. } => Writes::Always,
        Input::JoinGroup { request, .. } if request.member_id.is_empty() => Writes::Always,
        Input::JoinGroup { .. } | Input::SyncGroup { .. } | Input::LeaveGroup { .. } => Writes::Sometimes,
        Input::Heartbeat { .. }
        | Input::OffsetFetch { .. }
        | Input::DescribeGroups { .. }
        | Input::ListGroups { .. } => Writes::Never,
    }
}
