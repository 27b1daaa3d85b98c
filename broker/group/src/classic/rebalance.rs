//! The rebalance itself: gathering members, closing the round, the next generation, and the time limits of both
//! halves.

use std::collections::{BTreeMap, BTreeSet};

use barnabas_base::{GenerationId, mark};
use barnabas_wire::ErrorCode;

use super::member::Member;
use super::{ClassicGroup, Context, GroupState};
use crate::appends::Effect;
use crate::id::{AppendId, MemberId};
use crate::timers::Timer;

impl ClassicGroup {
    /// Everybody is to join again. Says which batch was emitted, if the round closed at once with nobody left.
    pub(super) fn prepare_rebalance(&mut self, cx: &mut Context<'_>) -> Option<AppendId> {
        if self.state == GroupState::CompletingRebalance {
            self.cancel_assignment(cx, ErrorCode::RebalanceInProgress);
        }
        self.pending_sync.clear();
        cx.timers.cancel(self.sync_timer.take());
        let is_initial = self.is_empty();
        self.transition_to(GroupState::PreparingRebalance, cx.wall);
        if is_initial {
            // The first to come would otherwise get everything, and lose it again to the second a moment later.
            let delay_ms = cx.config.initial_rebalance_delay_ms;
            let remaining_ms = (self.rebalance_timeout_ms() - delay_ms).max(0);
            self.schedule_initial_join(cx, delay_ms, remaining_ms);
            return None;
        }
        if self.all_have_joined() {
            return self.complete_join(cx);
        }
        self.schedule_join(cx);
        None
    }

    /// Closes the round if nobody is missing. The first round of a group closes by time only.
    pub(super) fn maybe_complete_join(&mut self, cx: &mut Context<'_>) -> Option<AppendId> {
        let gathering = self.state == GroupState::PreparingRebalance && self.previous_state != GroupState::Empty;
        if gathering && self.all_have_joined() { self.complete_join(cx) } else { None }
    }

    /// The initial delay is over; as long as members kept coming and the rebalance timeout allows, wait once more.
    pub(crate) fn on_initial_join_timer(
        &mut self,
        cx: &mut Context<'_>,
        delay_ms: i32,
        remaining_ms: i32,
    ) -> Option<AppendId> {
        self.join_timer = None;
        if self.new_member_added && remaining_ms > 0 {
            self.new_member_added = false;
            let next_delay_ms = cx.config.initial_rebalance_delay_ms.min(remaining_ms);
            self.schedule_initial_join(cx, next_delay_ms, (remaining_ms - delay_ms).max(0));
            return None;
        }
        self.complete_join(cx)
    }

    /// The rebalance timeout is over.
    pub(crate) fn on_join_timer(&mut self, cx: &mut Context<'_>) -> Option<AppendId> {
        self.join_timer = None;
        if self.state != GroupState::PreparingRebalance {
            return None;
        }
        cx.mark(mark::GROUP_JOIN_TIMED_OUT);
        self.complete_join(cx)
    }

    /// Members that did not ask for their assignment within the rebalance timeout lose their place, also in a stable
    /// group: the leader thinks that they work.
    pub(crate) fn on_sync_timer(&mut self, cx: &mut Context<'_>) -> Option<AppendId> {
        self.sync_timer = None;
        let late = std::mem::take(&mut self.pending_sync);
        if late.is_empty() {
            return None;
        }
        cx.mark(mark::GROUP_SYNC_TIMED_OUT);
        for member in late {
            self.remove_member(cx, member.as_str());
        }
        self.prepare_rebalance(cx)
    }

    fn all_have_joined(&self) -> bool {
        self.members.len() == self.awaiting_join && self.pending_members.is_empty()
    }

    fn schedule_initial_join(&mut self, cx: &mut Context<'_>, delay_ms: i32, remaining_ms: i32) {
        let timer = Timer::InitialJoin { group: self.id.clone(), delay_ms, remaining_ms };
        self.join_timer = Some(cx.schedule(self.join_timer, delay_ms, timer));
    }

    fn schedule_join(&mut self, cx: &mut Context<'_>) {
        let timer = Timer::Join { group: self.id.clone() };
        self.join_timer = Some(cx.schedule(self.join_timer, self.rebalance_timeout_ms(), timer));
    }

    /// Closes the round: those who are missing are out, the rest gets a new generation.
    pub(super) fn complete_join(&mut self, cx: &mut Context<'_>) -> Option<AppendId> {
        assert!(self.state == GroupState::PreparingRebalance, "only a round that is open is closed");
        cx.timers.cancel(self.join_timer.take());
        self.remove_absent_dynamic_members(cx);
        let has_leader = self.elect_leader_among_joined(cx);
        if !has_leader && !self.members.is_empty() {
            // Only static members are left and none rejoined. Their sessions decide.
            cx.mark(mark::GROUP_NOBODY_REJOINED);
            self.schedule_join(cx);
            return None;
        }
        self.begin_next_generation(cx);
        if self.is_empty() {
            // The record frees the members the log still names, and says since when offsets may expire.
            let record = self.record(|_, member| member.assignment.clone());
            return Some(cx.emit(vec![record], Effect::Nothing));
        }
        self.announce_generation(cx);
        None
    }

    fn remove_absent_dynamic_members(&mut self, cx: &mut Context<'_>) {
        let is_absent = |member: &Member| !member.is_static() && !member.awaits_join();
        let absent: Vec<MemberId> =
            self.members.iter().filter(|(_, member)| is_absent(member)).map(|(id, _)| id.clone()).collect();
        for id in absent {
            self.remove_member(cx, id.as_str());
        }
    }

    /// Keeps the leader if it has joined, else takes somebody who has. Says whether there is one.
    fn elect_leader_among_joined(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(leader) = &self.leader else { return false };
        if self.members.get(leader).is_some_and(Member::awaits_join) {
            return true;
        }
        let Some((id, _)) = self.members.iter().find(|(_, member)| member.awaits_join()) else { return false };
        cx.mark(mark::GROUP_LEADER_REPLACED);
        self.leader = Some(id.clone());
        true
    }

    fn begin_next_generation(&mut self, cx: &Context<'_>) {
        // Negative generations mean "no member"; after 2³¹−1 rounds the count starts over.
        self.generation = GenerationId(self.generation.0.checked_add(1).unwrap_or(1));
        self.protocol_name = self.select_protocol();
        self.subscribed = self.subscribed_by_members();
        self.new_member_added = false;
        self.pending_sync.clear();
        let next = if self.members.is_empty() { GroupState::Empty } else { GroupState::CompletingRebalance };
        self.transition_to(next, cx.wall);
    }

    /// The protocol that all members can use and most of them like best; among equals the first by name.
    pub(super) fn select_protocol(&self) -> Option<String> {
        let everybody = self.members.len();
        let known_to_all = self.supported.iter().filter(|(_, count)| **count == everybody);
        let candidates: BTreeSet<&str> = known_to_all.map(|(name, _)| name.as_str()).collect();
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for member in self.members.values() {
            let vote = member.vote(&candidates).expect("members are let in with a protocol that all others know");
            *votes.entry(vote).or_insert(0) += 1;
        }
        let most = votes.values().copied().max()?;
        votes.into_iter().find(|(_, count)| *count == most).map(|(name, _)| name.to_owned())
    }

    fn announce_generation(&mut self, cx: &mut Context<'_>) {
        let ids: Vec<MemberId> = self.members.keys().cloned().collect();
        for id in ids {
            if self.members.get(&id).is_some_and(Member::awaits_join) {
                let response = self.join_response(&id);
                self.complete_join_of(cx, &id, response);
            }
            self.restart_session(cx, &id);
            self.members.get_mut(&id).expect("nobody left meanwhile").is_new = false;
            self.pending_sync.insert(id);
        }
        let timer = Timer::Sync { group: self.id.clone() };
        self.sync_timer = Some(cx.schedule(self.sync_timer, self.rebalance_timeout_ms(), timer));
    }
}
