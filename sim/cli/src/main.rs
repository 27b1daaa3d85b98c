//! `cargo sim`: runs, sweeps, replays and shrinks simulated clusters. People and `.ci/run` drive it.

fn main() {}
