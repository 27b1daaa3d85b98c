//! What people read of a run: a line when it went well, at most 25 when it did not.

use std::fmt::Write as _;
use std::time::Duration;

use barnabas_history::{Happening, What};
use barnabas_sim_world::Broken;

use crate::line::Verdict;
use crate::runner::Ran;

/// Most faults that are listed.
const FAULTS_MAX: usize = 6;
/// Most events that are listed.
const EVENTS_MAX: usize = 8;
/// Most characters of a line.
const LINE_MAX: usize = 150;

fn cut(text: &str) -> String {
    let text = text.replace('\n', " ");
    if text.chars().count() <= LINE_MAX { text } else { text.chars().take(LINE_MAX - 1).chain(['…']).collect() }
}

/// The run in a few lines.
pub(crate) fn summary(ran: &Ran) -> String {
    let plan = &ran.plan;
    let verdict = match ran.outcome() {
        Verdict::Pass => "every promise was kept",
        Verdict::Fail => "a promise was broken",
        Verdict::Void => "void: too little was acknowledged to prove anything",
    };
    let simulated = ran.report.as_ref().map_or(0, |report| report.simulated.as_secs());
    let judged: usize = ran.judgement.judged.values().sum();
    let mut text = String::new();
    let _ = writeln!(text, "seed {:#x}, lane {}: {}", plan.seed, plan.lane, plan.lane.guarantee());
    let _ = writeln!(
        text,
        "  {} clients, {} topics, {} operations, {} faults{}; {simulated} simulated seconds in {:.2} s",
        plan.clients.len(),
        plan.topics.len(),
        plan.operations.len(),
        plan.faults.len(),
        if plan.quiet.is_some() { ", a quiet stretch" } else { "" },
        ran.took.as_secs_f64(),
    );
    let _ = writeln!(
        text,
        "  {} of {} records acknowledged, {judged} facts judged, trace hash {:#018x}",
        ran.judgement.acknowledged,
        ran.judgement.sent,
        ran.hash()
    );
    let _ = writeln!(text, "  {}", ran.reached().count());
    if !plan.planted.is_empty() {
        let _ = writeln!(text, "  planted {}: reached {} times", plan.planted.join(" "), ran.planted_hits);
    }
    let _ = write!(text, "  {verdict}");
    text
}

/// A failure: the promise, when, the faults, the last events, the line that shows it again. `again` is that line.
pub(crate) fn failure(ran: &Ran, again: &str) -> String {
    let Some(broken) = ran.broken() else { return summary(ran) };
    let mut lines = vec![
        format!("BROKEN: {} ({})", broken.words, broken.promise),
        format!("  {}", cut(&broken.what)),
        format!("  at {:.3} simulated seconds, in lane {}", broken.at.as_secs_f64(), ran.plan.lane),
    ];
    let others: Vec<&str> = ran.judgement.broken.iter().skip(1).map(|other| other.promise).collect();
    if !others.is_empty() || broken.more > 0 {
        lines.push(format!("  and {} more of it; also broken: {}", broken.more, others.join(", ")));
    }
    lines.push(format!(
        "faults of the plan ({} in all, {} operations):",
        ran.plan.faults.len(),
        ran.plan.operations.len()
    ));
    for planned in ran.plan.faults.iter().take(FAULTS_MAX) {
        lines.push(cut(&format!("  {} : {}", planned.trigger, planned.fault)));
    }
    lines.push("what happened before it shows:".to_owned());
    lines.extend(last_events(ran, broken));
    lines.push(format!("to see it again: {again}"));
    lines.join("\n")
}

/// The last events of the world in front of the step at which a failure shows.
fn last_events(ran: &Ran, broken: &Broken) -> Vec<String> {
    let mut lines: Vec<String> = told(ran, broken.step + 1).rev().take(EVENTS_MAX).map(|line| cut(&line)).collect();
    lines.reverse();
    lines
}

/// Where the polls of a run went, a line each.
pub(crate) fn busiest(ran: &Ran) -> Vec<String> {
    let busiest = ran.report.as_ref().map_or(&[][..], |report| &report.busiest);
    busiest.iter().map(|busy| format!("  {busy}")).collect()
}

/// Everything that happened to machines, a line each.
pub(crate) fn happenings(ran: &Ran) -> Vec<String> {
    told(ran, usize::MAX).collect()
}

/// What happened to machines in the first `steps` steps of a run, a line each.
fn told(ran: &Ran, steps: usize) -> impl DoubleEndedIterator<Item = String> {
    let all = ran.report.as_ref().map_or(&[][..], |report| &report.evidence.steps);
    all[..steps.min(all.len())].iter().filter_map(|step| match &step.what {
        What::Happened(happening) => {
            let at = Duration::from_nanos(step.at.0).as_secs_f64();
            Some(format!("  {at:>10.3} s  {}", happened(happening)))
        }
        _ => None,
    })
}

fn happened(happening: &Happening) -> String {
    match happening {
        Happening::Started { node, life } => format!("{node} starts (life {life})"),
        Happening::Serving { node } => format!("{node} serves"),
        Happening::Ended { node, clean: true } => format!("{node} has stopped"),
        Happening::Ended { node, clean: false } => format!("{node} has died"),
        Happening::PowerLost { node, lost_bytes } => format!("{node} lost power with {lost_bytes} bytes not durable"),
        Happening::Panicked { machine, task, message } => format!("{machine} panicked in {task}: {message}"),
        Happening::Fault { id, fault } => format!("fault {id}: {fault}"),
        Happening::FaultEnded { id } => format!("fault {id} ends"),
        Happening::Quiet => "the quiet stretch begins".to_owned(),
        Happening::Healed => "everything is healed".to_owned(),
        Happening::FirstRead => "the first read of everything begins".to_owned(),
        Happening::FinalRead => "the last read of everything begins".to_owned(),
        Happening::Holds { node, named, nameless, files, .. } => {
            format!("{node} has {named} of {files} files open, and {nameless} that are gone")
        }
        Happening::Misanswered { by, what } => format!("{} was sent what it had not asked for: {what}", by.client),
        Happening::Unsettled { what } => format!("not settled: {what}"),
    }
}
