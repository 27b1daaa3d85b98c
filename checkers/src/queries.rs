//! Promises of offset queries, deletion and administration: what ListOffsets answers fits what was acknowledged and read;
//! what was trimmed stays away; what was created is there.

use std::collections::{BTreeMap, BTreeSet};

use barnabas_base::Offset;
use barnabas_history::{Call, LogName, Outcome, Reply};
use barnabas_plan::OffsetSpec;

use crate::{Facts, Verdict};

/// The end of a log never falls, and covers what was acknowledged before it was asked for.
#[must_use]
pub fn end_offset(facts: &Facts<'_>) -> Verdict {
    let mut verdict = Verdict::default();
    if !facts.offsets_are_stable() {
        return verdict;
    }
    // What is known of each log's end, by the step at which it became known.
    let mut floors: Vec<(usize, LogName, Offset)> = Vec::new();
    for send in facts.sends.values() {
        if let (Some((log, offset)), Some(ended)) = (send.acked, send.ended)
            && send.acks != 0
        {
            floors.push((ended, log, Offset(offset.0 + 1)));
        }
    }
    let latest = answers(facts, OffsetSpec::Latest);
    floors.extend(latest.iter().map(|(_, ended, log, offset)| (*ended, *log, *offset)));
    floors.sort_unstable();
    for (invoked, ended, log, offset) in latest {
        let known = floors.iter().filter(|(at, of, _)| *at < invoked && *of == log).map(|(_, _, floor)| *floor).max();
        if let Some(known) = known {
            verdict.judge(offset < known, ended, Some(log), || {
                format!("the end of {}-{} is {offset} after it was {known}", log.topic, log.partition)
            });
        }
    }
    verdict
}

/// The start of a log never falls, and is not before what was trimmed.
#[must_use]
pub fn start_offset(facts: &Facts<'_>) -> Verdict {
    let mut verdict = Verdict::default();
    if !facts.offsets_are_stable() {
        return verdict;
    }
    let mut floors: Vec<(usize, LogName, Offset)> = Vec::new();
    for view in &facts.calls {
        if let (Some(ended), Some(Outcome::Ok(Reply::Trimmed { log, low_watermark }))) = (view.ended, view.outcome) {
            floors.push((ended, *log, *low_watermark));
        }
    }
    let earliest = answers(facts, OffsetSpec::Earliest);
    floors.extend(earliest.iter().map(|(_, ended, log, offset)| (*ended, *log, *offset)));
    for (invoked, ended, log, offset) in earliest {
        let known = floors.iter().filter(|(at, of, _)| *at < invoked && *of == log).map(|(_, _, floor)| *floor).max();
        if let Some(known) = known {
            verdict.judge(offset < known, ended, Some(log), || {
                format!("the start of {}-{} is {offset} after it was {known}", log.topic, log.partition)
            });
        }
    }
    verdict
}

fn answers(facts: &Facts<'_>, wanted: OffsetSpec) -> Vec<(usize, usize, LogName, Offset)> {
    let mut answers = Vec::new();
    for view in &facts.calls {
        let Call::Offsets { topic, spec, .. } = view.call else { continue };
        let (Some(ended), Some(Outcome::Ok(Reply::Offset { log, offset, .. }))) = (view.ended, view.outcome) else {
            continue;
        };
        if *spec == wanted && !facts.dropped.contains(topic) {
            answers.push((view.invoked, ended, *log, *offset));
        }
    }
    answers
}

/// A search by time finds the first record at or after it: none that was acknowledged before and stands earlier is as
/// young.
#[must_use]
pub fn timestamp_offset(facts: &Facts<'_>) -> Verdict {
    let mut verdict = Verdict::default();
    if !facts.offsets_are_stable() {
        return verdict;
    }
    let mut times: BTreeMap<LogName, Vec<(Offset, i64)>> = BTreeMap::new();
    for (log, records) in &facts.found {
        times.entry(*log).or_default().extend(records.iter().map(|seen| (seen.offset, seen.timestamp.0)));
    }
    for view in &facts.calls {
        let Call::Offsets { spec: OffsetSpec::Timestamp, timestamp, .. } = view.call else { continue };
        let (Some(ended), Some(Outcome::Ok(Reply::Offset { log, offset, .. }))) = (view.ended, view.outcome) else {
            continue;
        };
        let Some(known) = times.get(log).filter(|_| facts.is_whole(log)) else { continue };
        let acked = |at: Offset| {
            let acked = facts.sends.values().filter(|send| send.ended.is_some_and(|ended| ended < view.invoked));
            acked.filter_map(|send| send.acked).any(|place| place == (*log, at))
        };
        let is_missed =
            |(at, time): &&(Offset, i64)| *time >= timestamp.0 && (offset.0 < 0 || *at < *offset) && acked(*at);
        let missed = known.iter().find(is_missed);
        verdict.judge(missed.is_some(), ended, Some(*log), || {
            let (at, _) = missed.copied().unwrap_or((Offset(-1), 0));
            format!("a search of {}-{} from {timestamp} gave {offset} and passed over {at}", log.topic, log.partition)
        });
    }
    verdict
}

/// What was deleted by DeleteRecords does not come back.
#[must_use]
pub fn trimmed(facts: &Facts<'_>) -> Verdict {
    let mut verdict = Verdict::default();
    let Some(final_read) = facts.final_read.filter(|_| facts.offsets_are_stable()) else { return verdict };
    for view in &facts.calls {
        let Some(Outcome::Ok(Reply::Trimmed { log, low_watermark })) = view.outcome else { continue };
        let first = facts.found.get(log).and_then(|records| records.first()).map(|seen| seen.offset);
        let start = facts.ends.get(log).and_then(|(earliest, _)| *earliest);
        for offset in first.into_iter().chain(start) {
            verdict.judge(offset < *low_watermark, final_read, Some(*log), || {
                format!("{}-{}:{offset} is back after all before {low_watermark} was deleted", log.topic, log.partition)
            });
        }
    }
    verdict
}

/// A topic that was created and that nobody deletes is there at the end.
#[must_use]
pub fn created(facts: &Facts<'_>) -> Verdict {
    let mut verdict = Verdict::default();
    let Some(final_read) = facts.final_read.filter(|_| facts.acked_survives()) else { return verdict };
    let there: BTreeSet<_> = facts.ends.keys().map(|log| log.topic).collect();
    for view in &facts.calls {
        let Call::Create { topic, .. } = view.call else { continue };
        if !matches!(view.outcome, Some(Outcome::Ok(_))) || facts.dropped.contains(topic) {
            continue;
        }
        verdict.judge(!there.contains(topic), final_read, None, || format!("{topic} was created and is not there"));
    }
    for topic in facts.plan().topics.iter().filter(|topic| !facts.dropped.contains(&topic.name)) {
        let name = topic.name;
        verdict.judge(!there.contains(&name), final_read, None, || format!("{name} was created and is not there"));
    }
    verdict
}

/// A raw trick is taken as it has to be.
#[must_use]
pub fn manners(facts: &Facts<'_>) -> Verdict {
    let mut verdict = Verdict::default();
    for view in &facts.calls {
        let Call::Raw { trick } = view.call else { continue };
        let Some(ended) = view.ended else { continue };
        let wrong = match view.outcome {
            Some(Outcome::Failed(what)) => Some(what),
            _ => None,
        };
        verdict.judge(wrong.is_some(), ended, None, || format!("{trick}: {}", wrong.cloned().unwrap_or_default()));
    }
    verdict
}
