//! `cargo sim catalog`: what can be drawn, carried out, judged and reached, each with what it is for.

use barnabas_base::mark;
use barnabas_checkers::{ALL, Kind};
use barnabas_nemesis::{FAMILIES, knob_names};
use barnabas_plan::{Action, Lane, RawTrick, Workload, WrongRequest};

use crate::codes::RETURNED;

/// Prints the catalog.
pub(crate) fn print() {
    println!("lanes:");
    for lane in Lane::ALL {
        let join = |words: Vec<&str>| words.join(" ");
        println!("  {lane:<12} {}", lane.guarantee());
        println!(
            "  {:<12}   workloads: {}",
            "",
            join(lane.workloads().iter().map(|one: &Workload| one.word()).collect())
        );
        println!("  {:<12}   faults: {}", "", join(lane.families().iter().map(|one| one.word()).collect()));
    }
    println!("\nfault families:");
    for entry in FAMILIES {
        println!("  {:<12} {:<12} {}", entry.family, entry.number, entry.words);
    }
    println!("\noperations: {}", Action::WORDS.join(" "));
    println!("raw tricks: {}", RawTrick::ALL.iter().map(|trick| trick.word()).collect::<Vec<_>>().join(" "));
    println!("wrong requests: {}", WrongRequest::ALL.iter().map(|one| one.word()).collect::<Vec<_>>().join(" "));
    println!("\nknobs:");
    for (name, values) in knob_names() {
        println!("  {name:<58} {values:?}");
    }
    println!("\npromises:");
    for promise in ALL {
        let kind = if promise.kind == Kind::BlackBox { "clients see it" } else { "brokers observe it" };
        println!("  {:<24} {} ({kind})", promise.name, promise.words);
    }
    println!("\nmarks:");
    for mark in mark::ALL {
        let rare = mark.rare.map(|why| format!(" (need not be reached: {why})")).unwrap_or_default();
        println!("  {:<34} {}{rare}", mark.name, mark.words);
    }
    println!("\nerror codes that are answered:");
    for (code, rare) in RETURNED {
        let rare = rare.map(|why| format!(" need not be seen: {why}")).unwrap_or_default();
        println!("  {:<34}{rare}", code.name());
    }
}
