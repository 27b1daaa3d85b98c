//! `cargo sim diff`: runs two plans and shows the first event in which they part.

use anyhow::{Context, Result};
use barnabas_plan::Lane;
use barnabas_sim_world::{Options, Scope};

use crate::runner::run;
use crate::shrink::plan_named;

/// Events that are shown in front of the difference.
const BEFORE: usize = 5;

/// Shows where two runs part; whether they do not.
///
/// # Errors
/// One of them is neither a seed nor a plan.
pub(crate) fn diff(one: &str, other: &str, lane: Option<Lane>) -> Result<bool> {
    let options = Options { keep_events: true };
    let traces = [one, other].map(|what| -> Result<_> {
        let ran = run(plan_named(what, lane)?, Scope::All, options)?;
        Ok(ran.report.context("the world came to its end")?.trace)
    });
    let [first, second] = traces;
    let (first, second) = (first?, second?);
    let at = first.iter().zip(&second).position(|(one, other)| one != other);
    let at = at.or_else(|| (first.len() != second.len()).then(|| first.len().min(second.len())));
    let Some(at) = at else {
        println!("the same {} events", first.len());
        return Ok(true);
    };
    println!("the first {at} events are the same; before they part:");
    for event in &first[at.saturating_sub(BEFORE)..at] {
        println!("    {event:?}");
    }
    println!("one:   {:?}", first.get(at));
    println!("other: {:?}", second.get(at));
    Ok(false)
}
