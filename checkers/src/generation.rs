//! Promises of classic groups: a commit is accepted only of the current generation, and a partition has one owner in each.
//! Session timeouts make views overlap lawfully, so that only accepted commits and assignments of one generation count.

use std::collections::{BTreeMap, BTreeSet};

use barnabas_base::Offset;
use barnabas_history::{Call, CallId, CallView, ClientLife, Evidence, LogName, Membership, Outcome, What};
use barnabas_plan::{GroupName, Plan};

use crate::facts::{Facts, survives};
use crate::verdict::{Court, shown};
use crate::{Kind, Promise, Verdict};

/// No two members own a partition in one generation.
pub(crate) const ONE_OWNER: Promise = Promise {
    name: "one-owner",
    words: "a partition has one owner in a group at a time",
    kind: Kind::BlackBox,
    applies: survives,
    check: one_owner,
};

/// No commit of a passed generation is accepted.
pub(crate) const STALE_COMMIT: Promise = Promise {
    name: "stale-commit",
    words: "a commit is accepted of the current generation only",
    kind: Kind::BlackBox,
    applies: survives,
    check: stale_commit,
};

/// Who owns a partition, as far as fencing goes: a static member and its successor are one.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Owner {
    Dynamic(String),
    Static(u32),
}

/// Instance ids of members: the last Join of each life.
struct Instances(BTreeMap<ClientLife, Vec<(usize, u32)>>);

impl Instances {
    fn new(facts: &Facts<'_>) -> Self {
        let mut joins = BTreeMap::<_, Vec<_>>::new();
        for view in &facts.calls {
            if let Call::Join { instance, .. } = view.call {
                joins.entry(view.by).or_default().push((view.invoked, *instance));
            }
        }
        Self(joins)
    }

    fn owner(&self, by: ClientLife, member: &str, at: usize) -> Owner {
        let joins = self.0.get(&by).map_or(&[][..], Vec::as_slice);
        let before = joins.partition_point(|(invoked, _)| *invoked <= at);
        match before.checked_sub(1).map(|index| joins[index].1) {
            Some(instance) if instance > 0 => Owner::Static(instance),
            Some(_) | None => Owner::Dynamic(member.to_owned()),
        }
    }
}

/// Judges every assigned partition and every position of an accepted commit.
fn one_owner(facts: &Facts<'_>) -> Verdict {
    let evidence = facts.evidence;
    let mut court = Court::new(evidence);
    let instances = Instances::new(facts);
    let mut owners = BTreeMap::<(GroupName, u32, i32, LogName), Owner>::new();
    let epochs = Rebirths::new(evidence);
    let mut own = |group: GroupName, generation: i32, log: LogName, owner: &Owner, at: usize| {
        let key = (group, epochs.at(group, at), generation, log);
        let first = owners.entry(key).or_insert_with(|| owner.clone()).clone();
        court.judge(first != *owner, Some(at), Some(log), || {
            format!("{} belongs to {first:?} and {owner:?} in generation {generation} of {group}", shown(log))
        });
    };
    for (at, step) in evidence.steps.iter().enumerate() {
        let What::Member { by, change: Membership::Assigned { group, generation, member, logs, .. } } = &step.what
        else {
            continue;
        };
        let owner = instances.owner(*by, member, at);
        logs.iter().for_each(|log| own(*group, *generation, *log, &owner, at));
    }
    for view in &facts.calls {
        let Some(commit) = accepted(view) else { continue };
        let owner = instances.owner(view.by, commit.member, view.invoked);
        for (log, _) in commit.offsets {
            own(commit.group, commit.generation, *log, &owner, commit.ended);
        }
    }
    court.verdict()
}

/// Judges every accepted commit against the generations that had begun before it.
fn stale_commit(facts: &Facts<'_>) -> Verdict {
    let evidence = facts.evidence;
    let mut court = Court::new(evidence);
    let epochs = Rebirths::new(evidence);
    let mut begun = Vec::new();
    for (at, step) in evidence.steps.iter().enumerate() {
        if let What::Member { change: Membership::Assigned { group, generation, .. }, .. } = &step.what {
            begun.push((at, *group, *generation));
        }
    }
    begun.extend(facts.calls.iter().filter_map(accepted).map(|commit| (commit.ended, commit.group, commit.generation)));
    begun.sort_unstable();
    let mut begun = begun.into_iter().peekable();
    let mut highest = BTreeMap::<(GroupName, u32), i32>::new();
    for view in &facts.calls {
        let Some(commit) = accepted(view) else { continue };
        while let Some((at, group, generation)) = begun.next_if(|(at, ..)| *at < view.invoked) {
            let top = highest.entry((group, epochs.at(group, at))).or_insert(generation);
            *top = (*top).max(generation);
        }
        let key = (commit.group, epochs.at(commit.group, view.invoked));
        let current = highest.get(&key).copied().unwrap_or(commit.generation);
        court.judge(commit.generation < current, Some(commit.ended), None, || {
            let (group, generation) = (commit.group, commit.generation);
            format!("{group} accepted a commit of generation {generation} after generation {current} had begun")
        });
    }
    court.verdict()
}

struct Accepted<'a> {
    group: GroupName,
    generation: i32,
    member: &'a str,
    offsets: &'a [(LogName, Offset)],
    ended: usize,
}

fn accepted<'a>(view: &CallView<'a>) -> Option<Accepted<'a>> {
    let Call::Commit { group, generation, member, offsets } = view.call else { return None };
    let ok = matches!(view.outcome, Some(Outcome::Ok(_))) && *generation >= 0;
    let ended = view.ended.filter(|_| ok)?;
    Some(Accepted { group: *group, generation: *generation, member, offsets, ended })
}

/// When a group may have begun anew: an empty group is forgotten, and the next one counts from 1 again.
struct Rebirths(BTreeMap<GroupName, Vec<usize>>);

/// What is known of a group since it began.
#[derive(Default)]
struct Birth {
    /// The highest generation that was assigned.
    top: i32,
    /// Who was assigned something and has neither left nor died since.
    members: BTreeSet<ClientLife>,
}

impl Birth {
    /// Whether the group may be another one by the time at which `by` is assigned something in `generation`.
    fn is_over(&self, by: ClientLife, generation: i32, signs: &Signs<'_>, now_ns: u64) -> bool {
        if generation <= 1 && self.top > 1 {
            return true;
        }
        // A group that everybody left or was silent in for too long, and that nobody committed for: Kafka's cleanup of
        // expired offsets forgets it (`GroupCoordinatorShard.cleanupExpiredOffsets`, `maybeDeleteGroup`). Of the first
        // generations of the next one nobody may have learned.
        let is_gone = |member: &ClientLife| *member == by || signs.may_be_expired(*member, now_ns);
        let may_be_forgotten = now_ns >= signs.forgets_after_ns && self.members.iter().all(is_gone);
        let goes_back = generation < self.top || generation == self.top && (generation <= 1 || !self.is_member(by));
        may_be_forgotten && goes_back
    }

    fn is_member(&self, by: ClientLife) -> bool {
        self.members.contains(&by)
    }
}

/// When clients last showed that they were alive. One that does not, while it waits for what a broker does not answer, may
/// have sent no heartbeats either.
struct Signs<'a> {
    plan: &'a Plan,
    callers: BTreeMap<CallId, ClientLife>,
    last_ns: BTreeMap<ClientLife, u64>,
    /// Before that no empty group is forgotten.
    forgets_after_ns: u64,
}

impl<'a> Signs<'a> {
    fn new(plan: &'a Plan) -> Self {
        /// Kafka's default of `offsets.retention.check.interval.ms`.
        const CHECK_INTERVAL_MS: u64 = 600_000;
        let interval_ms = plan.knobs.number("broker.offsets.retention.check.interval.ms", CHECK_INTERVAL_MS);
        Self { plan, callers: BTreeMap::new(), last_ns: BTreeMap::new(), forgets_after_ns: interval_ms * 1_000_000 }
    }

    fn note(&mut self, what: &What, now_ns: u64) {
        let by = match what {
            What::Invoked { id, by, .. } => {
                self.callers.insert(*id, *by);
                *by
            }
            What::Ended { id, .. } => match self.callers.get(id) {
                Some(by) => *by,
                None => return,
            },
            What::Member { by, .. } | What::Reborn { by } => *by,
            What::Observed { .. } | What::Happened(_) => return,
        };
        self.last_ns.insert(by, now_ns);
    }

    /// Whether the session of a member may have run out.
    fn may_be_expired(&self, member: ClientLife, now_ns: u64) -> bool {
        let planned = self.plan.clients.iter().find(|planned| planned.name == member.client);
        let (Some(planned), Some(last_ns)) = (planned, self.last_ns.get(&member)) else { return false };
        now_ns.saturating_sub(*last_ns) > planned.session_timeout_ms * 1_000_000
    }
}

impl Rebirths {
    fn new(evidence: &Evidence) -> Self {
        let mut births = BTreeMap::<GroupName, Vec<usize>>::new();
        let mut groups = BTreeMap::<GroupName, Birth>::new();
        let mut signs = Signs::new(&evidence.plan);
        for (at, step) in evidence.steps.iter().enumerate() {
            let now_ns = step.at.0;
            match &step.what {
                What::Member { by, change: Membership::Assigned { group, generation, .. } } => {
                    let birth = groups.entry(*group).or_default();
                    if birth.is_over(*by, *generation, &signs, now_ns) {
                        births.entry(*group).or_default().push(at);
                        *birth = Birth::default();
                    }
                    birth.top = birth.top.max(*generation);
                    birth.members.insert(*by);
                }
                What::Member { by, change: Membership::Revoked { group, .. } } => {
                    groups.entry(*group).or_default().members.remove(by);
                }
                What::Reborn { by } => {
                    groups.values_mut().for_each(|birth| birth.members.retain(|member| member.client != by.client));
                }
                What::Invoked { .. } | What::Ended { .. } | What::Observed { .. } | What::Happened(_) => {}
            }
            signs.note(&step.what, now_ns);
        }
        Self(births)
    }

    fn at(&self, group: GroupName, position: usize) -> u32 {
        let births = self.0.get(&group).map_or(0, |births| births.partition_point(|birth| *birth <= position));
        u32::try_from(births).expect("few rebirths")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::piece::{Piece, accepts, durable, passes_over, rejects};

    #[test]
    fn accepts_one_owner() {
        let join = |instance| Call::Join { group: GroupName(0), topic: crate::piece::T0, instance };
        let done = || barnabas_history::Reply::Done;
        accepts(
            &ONE_OWNER,
            [
                durable().assigned(1, 1, None).assigned(2, 2, None).commits(2, 2, 5),
                durable().assigned(1, 1, None).commits(1, 1, 5).assigned(1, 1, None),
                durable().ok(1, join(4), done()).assigned(1, 1, None).ok(2, join(4), done()).assigned(2, 1, None),
                durable().assigned(1, 1, None).assigned(2, 2, None).assigned(2, 1, None).commits(2, 1, 3),
                sweeps(durable().assigned(1, 1, None).revoked(1)).assigned(2, 1, None).commits(2, 1, 3),
                // Of the next group nobody saw the first generation.
                sweeps(durable().assigned(1, 2, None).revoked(1)).assigned(2, 2, None).commits(2, 2, 3),
                sweeps(durable().assigned(1, 2, None).assigned(1, 3, None).revoked(1)).assigned(2, 2, None),
                // Who says nothing for longer than its session is a member no more.
                sweeps(durable().assigned(1, 1, None)).waits(SESSION_MS + 10).assigned(2, 1, None).commits(2, 1, 3),
            ],
        );
    }

    /// Of the clients of a piece.
    const SESSION_MS: u64 = 6_000;

    /// Groups that are empty are forgotten at any time.
    fn sweeps(piece: Piece) -> Piece {
        piece.plan(|plan| plan.knobs.set("broker.offsets.retention.check.interval.ms", 0))
    }

    #[test]
    fn rejects_two_owners() {
        rejects(
            &ONE_OWNER,
            [
                durable().assigned(1, 3, None).assigned(2, 3, None),
                durable().commits(1, 3, 5).commits(2, 3, 5),
                durable().assigned(1, 2, None).commits(2, 2, 5),
                durable().assigned(1, 1, None).revoked(1).assigned(2, 1, None),
                sweeps(durable().assigned(1, 1, None)).assigned(2, 1, None),
                sweeps(durable().assigned(1, 1, None)).waits(SESSION_MS - 10).assigned(2, 1, None),
                durable().assigned(1, 1, None).waits(SESSION_MS + 10).assigned(2, 1, None),
                sweeps(durable().assigned(1, 2, None).assigned(1, 3, None)).assigned(2, 2, None),
                sweeps(durable().assigned(1, 2, None)).assigned(2, 2, None),
                durable().assigned(1, 2, None).assigned(1, 3, None).revoked(1).assigned(2, 2, None),
            ],
        );
    }

    #[test]
    fn accepts_commits_of_the_current_generation() {
        let refused = || Outcome::Failed("ILLEGAL_GENERATION".to_owned());
        accepts(
            &STALE_COMMIT,
            [
                durable().assigned(1, 1, None).commits(1, 1, 5).assigned(2, 2, None).commits(2, 2, 6),
                durable().assigned(2, 2, None).commits(2, 2, 6).assigned(1, 1, None).commits(1, 1, 5),
                durable()
                    .invoke(1, durable().to_commit(1, 1, 5))
                    .assigned(2, 2, None)
                    .ends(0, Outcome::Ok(barnabas_history::Reply::Done)),
            ],
        );
        passes_over(&STALE_COMMIT, [durable().assigned(2, 2, None).commit(1, 1, 5, refused()), durable()]);
    }

    #[test]
    fn rejects_commits_of_a_passed_generation() {
        rejects(
            &STALE_COMMIT,
            [
                durable().assigned(1, 1, None).assigned(2, 2, None).commits(1, 1, 5),
                durable().commits(2, 4, 6).commits(1, 3, 5),
                durable().assigned(2, 2, None).power_lost().commits(1, 1, 5),
            ],
        );
    }
}
