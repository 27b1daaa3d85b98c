//! `cargo sim catalog`: what can be drawn, carried out and judged, each with what it is for.

use barnabas_checkers::{ALL, Kind};
use barnabas_nemesis::{FAMILIES, knob_names};
use barnabas_plan::{Action, Lane, RawTrick, Workload};

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
    println!("\nknobs:");
    for (name, values) in knob_names() {
        println!("  {name:<58} {values:?}");
    }
    println!("\npromises:");
    for promise in ALL {
        let kind = if promise.kind == Kind::BlackBox { "clients see it" } else { "brokers observe it" };
        println!("  {:<24} {} ({kind})", promise.name, promise.words);
    }
}
