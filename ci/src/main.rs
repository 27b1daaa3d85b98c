//! `cargo ci`: the suites of real clients, the durability checks and the benchmarks. It drives processes from
//! outside and is not part of the product; developers and `.ci/run` start it.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool answers on its standard output")]

mod bench;
mod broker;
mod clients;
mod disk_full;
mod durability;
mod process;
mod random;
mod raw;
mod scale;
mod setup;
mod simulation;
mod workloads;
mod workspace;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo ci", about = "Suites of real clients, durability checks and benchmarks")]
struct Arguments {
    /// The broker binary under test instead of the release build of this workspace.
    #[arg(long, global = true)]
    binary: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Installs what the other commands need: kcat, strace, a JVM, the Python clients, Apache Kafka.
    Setup,
    /// Runs unmodified clients against a broker and compares what each of them saw.
    Clients(clients::Options),
    /// Shows that what was acknowledged is on the disk.
    #[command(subcommand)]
    Durability(durability::Command),
    /// Fills a small file system of its own below a broker: what is refused, what goes on, and a start without a free
    /// byte. Needs the right to mount.
    DiskFull,
    /// Commits many million offsets and writes many gigabytes, kills the broker and measures until it answers rightly.
    Scale(scale::Options),
    /// Shows that a simulated run is a function of its seed and touches nothing outside.
    Simulation,
    /// Runs the simulator's clients and checkers against real processes.
    Workloads(workloads::Options),
    /// Measures Barnabas and Apache Kafka side by side.
    Bench(bench::Options),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match arguments.command {
        Command::Setup => setup::run(),
        Command::Clients(options) => clients::run(&options, arguments.binary.as_deref()),
        Command::Durability(command) => durability::run(&command, arguments.binary.as_deref()),
        Command::DiskFull => disk_full::run(arguments.binary.as_deref()),
        Command::Scale(options) => scale::run(&options, arguments.binary.as_deref()),
        Command::Simulation => simulation::run(),
        Command::Workloads(options) => workloads::run(&options, arguments.binary.as_deref()),
        Command::Bench(options) => bench::run(&options, arguments.binary.as_deref()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
