//! What one step of a group may touch besides the group itself: the time, the timers, the batches in flight, the
//! outputs. Built by the coordinator for each step.

use barnabas_base::{Mark, Monotonic, TimestampMs};

use crate::appends::{Appends, Effect, Waiter};
use crate::config::Config;
use crate::id::{AppendId, GroupId, MemberId, Token};
use crate::input::{Output, Response};
use crate::record::Record;
use crate::timers::{Timer, TimerId, Timers};

pub(crate) struct Context<'a> {
    pub(crate) config: &'a Config,
    pub(crate) now: Monotonic,
    pub(crate) wall: TimestampMs,
    pub(crate) timers: &'a mut Timers,
    pub(crate) appends: &'a mut Appends,
    pub(crate) out: &'a mut Vec<Output>,
}

impl Context<'_> {
    pub(crate) fn reply(&mut self, token: Token, response: Response) {
        self.out.push(Output::Reply { token, response });
    }

    /// Answers now, or once the batch that the answer rests on is committed.
    pub(crate) fn reply_after(&mut self, append_id: Option<AppendId>, token: Token, response: Response) {
        match append_id {
            Some(append_id) => self.appends.wait_for(append_id, Waiter::Reply { token, response }),
            None => self.reply(token, response),
        }
    }

    pub(crate) fn emit(&mut self, records: Vec<Record>, effect: Effect) -> AppendId {
        self.appends.emit(records, effect, self.out)
    }

    /// Observes a branch that runs seldom.
    pub(crate) fn mark(&mut self, mark: Mark) {
        self.out.push(Output::Observe(mark.seen()));
    }

    /// Schedules `timer` in place of `previous`.
    pub(crate) fn schedule(&mut self, previous: Option<TimerId>, timeout_ms: i32, timer: Timer) -> TimerId {
        self.timers.cancel(previous);
        self.timers.schedule(self.now.after_ms(i64::from(timeout_ms)), timer)
    }

    pub(crate) fn schedule_session(
        &mut self,
        previous: Option<TimerId>,
        timeout_ms: i32,
        group: &GroupId,
        member: &MemberId,
    ) -> TimerId {
        let timer = Timer::Session { group: group.clone(), member: member.clone() };
        self.schedule(previous, timeout_ms, timer)
    }
}
