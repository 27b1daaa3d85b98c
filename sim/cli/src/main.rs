//! `cargo sim`: runs, sweeps, replays and shrinks simulated clusters. People and `.ci/run` drive it.

mod mutants;

use clap::{Parser, Subcommand};

/// Simulated clusters.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Proves that the simulator finds bugs, by planting some.
    Mutants(mutants::MutantsOptions),
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Mutants(options) => mutants::run(&options),
    }
}
