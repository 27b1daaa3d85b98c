//! Promises of consumer groups: one owner of a partition per generation, commits of the current generation only, and
//! committed offsets that stay what was last accepted (R13, I24-I26).

use std::collections::BTreeMap;

use barnabas_base::Offset;
use barnabas_history::{Call, LogName, Membership, Outcome, Reply, What};
use barnabas_plan::{Family, GroupName};

use crate::{Facts, Verdict};

/// In one generation a partition belongs to one member.
#[must_use]
pub fn one_owner(facts: &Facts<'_>) -> Verdict {
    let mut verdict = Verdict::default();
    let mut owners = BTreeMap::new();
    for (step, happened) in facts.evidence.steps.iter().enumerate() {
        let What::Member { change: Membership::Assigned { group, generation, member, logs, .. }, .. } = &happened.what
        else {
            continue;
        };
        for log in logs {
            let owner = owners.entry((*group, *generation, *log)).or_insert_with(|| member.clone());
            verdict.judge(owner != member, step, Some(*log), || {
                format!(
                    "{}-{} belongs to {owner} and to {member} in generation {generation} of {group}",
                    log.topic, log.partition
                )
            });
        }
    }
    verdict
}

/// A commit is accepted from a member of the current generation only.
#[must_use]
pub fn stale_commit(facts: &Facts<'_>) -> Verdict {
    let mut verdict = Verdict::default();
    let mut assigned = Vec::new();
    for (step, happened) in facts.evidence.steps.iter().enumerate() {
        if let What::Member { change: Membership::Assigned { group, generation, .. }, .. } = &happened.what {
            assigned.push((step, *group, *generation));
        }
    }
    for view in &facts.calls {
        let Call::Commit { group, generation, member, .. } = view.call else { continue };
        let (Some(ended), Some(Outcome::Ok(_))) = (view.ended, view.outcome) else { continue };
        let later = assigned
            .iter()
            .filter(|(step, of, _)| *step < view.invoked && of == group)
            .map(|(_, _, generation)| *generation)
            .max();
        verdict.judge(later.is_some_and(|later| later > *generation), ended, None, || {
            let later = later.unwrap_or_default();
            format!(
                "{group} accepted a commit of {member} in generation {generation} after generation {later} had begun"
            )
        });
    }
    verdict
}

/// One commit of one partition's offset.
struct Committed {
    invoked: usize,
    /// When it can have taken effect at the latest; never when it was not answered.
    ended: usize,
    accepted: bool,
    offset: Offset,
}

/// A committed offset that is read is the last that was accepted, or one that may have come after it.
#[must_use]
pub fn committed_offset(facts: &Facts<'_>) -> Verdict {
    let mut verdict = Verdict::default();
    if !facts.acked_survives() || expires(facts) {
        return verdict;
    }
    let commits = commits(facts);
    for view in &facts.calls {
        let Call::Committed { group, topic } = view.call else { continue };
        let (Some(ended), Some(Outcome::Ok(Reply::Committed { offsets }))) = (view.ended, view.outcome) else {
            continue;
        };
        let of_topic = commits.iter().filter(|((of, log), _)| of == group && log.topic == *topic);
        for ((_, log), commits) in of_topic.filter(|((_, log), _)| !facts.dropped.contains(&log.topic)) {
            let before = commits.iter().filter(|commit| commit.accepted && commit.ended < view.invoked);
            let Some(last) = before.max_by_key(|commit| commit.invoked) else { continue };
            let read = offsets.iter().find(|(of, _)| of == log).map(|(_, offset)| *offset);
            let explains = |commit: &&Committed| {
                Some(commit.offset) == read && commit.invoked < ended && commit.ended >= last.invoked
            };
            verdict.judge(!commits.iter().any(|commit| explains(&commit)), ended, Some(*log), || {
                let (topic, partition) = (log.topic, log.partition);
                let read = read.map_or("nothing".to_owned(), |offset| offset.to_string());
                format!("{group} has {read} committed for {topic}-{partition} after {} was accepted", last.offset)
            });
        }
    }
    verdict
}

/// Committed offsets may expire where time flies.
fn expires(facts: &Facts<'_>) -> bool {
    let by_clock = facts.plan().faults.iter().any(|planned| planned.fault.family() == Family::Clock);
    facts.plan().quiet.is_some() || by_clock || facts.plan().knobs.get("broker.offsets.retention.minutes").is_some()
}

fn commits(facts: &Facts<'_>) -> BTreeMap<(GroupName, LogName), Vec<Committed>> {
    let mut commits: BTreeMap<(GroupName, LogName), Vec<Committed>> = BTreeMap::new();
    for view in &facts.calls {
        let Call::Commit { group, offsets, .. } = view.call else { continue };
        if matches!(view.outcome, Some(Outcome::Failed(_))) {
            continue;
        }
        let accepted = matches!(view.outcome, Some(Outcome::Ok(_)));
        let ended = if accepted { view.ended.unwrap_or(usize::MAX) } else { usize::MAX };
        for (log, offset) in offsets {
            let commit = Committed { invoked: view.invoked, ended, accepted, offset: *offset };
            commits.entry((*group, *log)).or_default().push(commit);
        }
    }
    commits
}
