//! Runs seeds and prints what broke; a developer's probe.
use barnabas_nemesis::{draw, lane_of};
use barnabas_plan::Lane;
use barnabas_sim_world::{Options, Scope, execute, judge};
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let from: u64 = args[1].parse().expect("seed");
    let count: u64 = args[2].parse().expect("count");
    let lane: Option<Lane> = args.get(3).map(|l| l.parse().expect("lane"));
    for seed in from..from + count {
        let lane = lane.unwrap_or_else(|| lane_of(seed));
        let plan = draw(seed, lane);
        let t = std::time::Instant::now();
        let report = match std::panic::catch_unwind(|| execute(&plan, Options::default())) {
            Ok(r) => r,
            Err(_) => {
                println!("{seed} {lane} WORLD PANIC");
                continue;
            }
        };
        let took = t.elapsed();
        let t = std::time::Instant::now();
        let judgement = judge(&report.evidence, Scope::All);
        println!(
            "{seed} {lane} {:x} events {} sim {:?} took {took:?} judge {:?} sent {} acked {} faults {} void {}",
            report.trace_hash,
            report.events,
            report.simulated,
            t.elapsed(),
            judgement.sent,
            judgement.acknowledged,
            plan.faults.len(),
            judgement.is_void()
        );
        for b in &judgement.broken {
            println!("    BROKEN {} at {:?} (+{}): {}", b.promise, b.at, b.more, b.what);
        }
    }
}
