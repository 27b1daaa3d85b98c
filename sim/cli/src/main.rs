//! `cargo sim`: runs, sweeps, replays and shrinks simulated clusters. People and `.ci/run` drive it.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool answers on its standard output")]

mod arena;
mod broker_log;
mod catalog;
mod codes;
mod diff;
mod expected;
mod fuzz;
mod ledger;
mod line;
mod mutants;
mod reached;
mod report;
mod runner;
mod shrink;
mod tally;

use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use barnabas_plan::{Lane, Plan};
use barnabas_sim_world::{Options, Scope};
use clap::{Args, Parser, Subcommand};

/// Simulated clusters: any failure is one seed, and anybody runs it again.
#[derive(Parser)]
#[command(version, about, args_conflicts_with_subcommands = true)]
struct Arguments {
    /// The seed, as 0x7f3a or in decimal; a random one otherwise.
    #[arg(value_parser = parse_seed_argument)]
    seed: Option<u64>,
    /// The lane; the seed's own otherwise.
    #[arg(long)]
    lane: Option<Lane>,
    #[command(flatten)]
    showing: Showing,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What is shown of a run beside its outcome.
#[derive(Args)]
struct Showing {
    /// Prints the plan, everything that happened to machines, and the marks and error codes that came up.
    #[arg(long)]
    verbose: bool,
    /// Prints what brokers log, with simulated time: a level, or a filter such as info,LogCleaner=debug.
    #[arg(long, value_name = "FILTER", num_args = 0..=1, default_missing_value = "info")]
    log: Option<String>,
    /// Writes what clients saw as Jepsen's EDN.
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Command {
    /// Runs seed after seed until one fails or time is up.
    Fuzz(fuzz::FuzzOptions),
    /// Runs a plan file.
    Replay {
        /// The file.
        file: PathBuf,
        /// One line of JSON.
        #[arg(long, hide = true)]
        quiet_json: bool,
        #[command(flatten)]
        showing: Showing,
    },
    /// Prints the plan of a seed.
    Plan {
        /// The seed.
        #[arg(value_parser = parse_seed_argument)]
        seed: u64,
        /// The lane; the seed's own otherwise.
        #[arg(long)]
        lane: Option<Lane>,
    },
    /// Takes away what a failure does not need.
    Shrink(shrink::ShrinkOptions),
    /// Runs two seeds or plans and prints the first event in which they differ.
    Diff {
        /// A seed or a plan file.
        one: String,
        /// Another.
        other: String,
        /// The lane of seeds.
        #[arg(long)]
        lane: Option<Lane>,
    },
    /// Prints what can be drawn, carried out, judged and reached.
    Catalog,
    /// Proves that the simulator finds bugs, by planting some.
    Mutants(mutants::MutantsOptions),
}

fn main() -> ExitCode {
    // Panics of simulated nodes are caught and judged; they are no news on the terminal.
    std::panic::set_hook(Box::new(|_| {}));
    match command(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Whether nothing failed.
fn command(arguments: &Arguments) -> Result<bool> {
    match &arguments.command {
        None => one_seed(arguments),
        Some(Command::Fuzz(options)) => fuzz::fuzz(options),
        Some(Command::Replay { file, quiet_json: true, .. }) => replay_for_machines(file),
        Some(Command::Replay { file, showing, .. }) => replay(file, showing),
        Some(Command::Plan { seed, lane }) => {
            print!("{}", runner::plan_of(*seed, *lane, &[]));
            Ok(true)
        }
        Some(Command::Shrink(options)) => shrink::shrink(options).map(|()| true),
        Some(Command::Diff { one, other, lane }) => diff::diff(one, other, *lane),
        Some(Command::Catalog) => {
            catalog::print();
            Ok(true)
        }
        Some(Command::Mutants(options)) => mutants::run(options).map(|()| true),
    }
}

fn one_seed(arguments: &Arguments) -> Result<bool> {
    let seed = arguments.seed.unwrap_or_else(random_seed);
    println!("seed {seed:#x}");
    let plan = runner::plan_of(seed, arguments.lane, &[]);
    let again = format!("cargo sim {seed:#x} --lane {}", plan.lane);
    show(plan, &arguments.showing, &again)
}

fn replay(file: &Path, showing: &Showing) -> Result<bool> {
    let plan = shrink::plan_named(&file.to_string_lossy(), None)?;
    show(plan, showing, &format!("cargo sim replay {}", file.display()))
}

/// Runs a plan and shows what came of it; whether every promise was kept.
fn show(plan: Plan, showing: &Showing, again: &str) -> Result<bool> {
    if showing.verbose {
        println!("{plan}");
    }
    if let Some(filter) = &showing.log {
        broker_log::print(filter)?;
    }
    let ran = runner::run(plan, Scope::All, Options::default())?;
    if let (Some(file), Some(report)) = (&showing.history, &ran.report) {
        std::fs::write(file, barnabas_checkers::edn(&report.evidence))?;
    }
    if showing.verbose {
        report::happenings(&ran).iter().for_each(|line| println!("{line}"));
        println!("tasks that were polled most:");
        report::busiest(&ran).iter().for_each(|line| println!("{line}"));
        println!("{}", ran.reached().list());
    }
    let kept = ran.broken().is_none();
    println!("{}", if kept { report::summary(&ran) } else { report::failure(&ran, again) });
    Ok(kept)
}

fn replay_for_machines(file: &Path) -> Result<bool> {
    let plan = shrink::plan_named(&file.to_string_lossy(), None)?;
    let ran = runner::run(plan, Scope::All, Options::default())?;
    println!("{}", ran.json());
    Ok(ran.broken().is_none())
}

/// The root of the workspace that this binary was built from.
pub(crate) fn root() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().and_then(Path::parent).expect("the package lies two folders below the root")
}

/// A seed that nobody chose.
pub(crate) fn random_seed() -> u64 {
    RandomState::new().hash_one(std::process::id()) >> 24
}

fn parse_seed_argument(text: &str) -> Result<u64> {
    match barnabas_plan::parse_seed(text) {
        Some(seed) => Ok(seed),
        None => bail!("a seed is a number, as 42 or 0x7f3a"),
    }
}

fn parse_duration(text: &str) -> Result<Duration> {
    let split = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let seconds = match unit {
        "s" | "" => 1,
        "m" => 60,
        "h" => 3_600,
        _ => bail!("a time is like 90s, 10m or 2h"),
    };
    Ok(Duration::from_secs(number.parse::<u64>()?.saturating_mul(seconds)))
}
