//! The simulator's workloads and checkers against a broker that is a process, Barnabas or Apache Kafka. Whoever starts this
//! owns the broker (`cargo ci workloads` does), and is told on standard output what to do to it:
//!
//! ```text
//! do kill          answered `dead` when the process is gone, `serving` when another one serves
//! do restart       the same, after a clean stop
//! do pause 250     answered `done` after so many milliseconds
//! do reset         answered `done` when every connection is reset
//! ```
//!
//! Every other line is for people. A broken promise ends this with status 1.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool answers on its standard output")]

mod fit;
mod owner;
mod story;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use barnabas_checkers::{ALL, Broken, Judgement, Scope, edn, judge};
use barnabas_client::Address;
use barnabas_plan::Lane;
use clap::{Args, Parser, Subcommand};

#[derive(Parser)]
#[command(about = "The simulator's workloads against a broker that is a process")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Prints what the plan of a seed wants of the broker's configuration, as key=value.
    Config(Which),
    /// Carries out the plan of a seed.
    Run {
        #[command(flatten)]
        which: Which,
        /// Where clients connect: host:port.
        #[arg(long)]
        bootstrap: String,
        /// Promises that this broker does not make: what is broken of them is told and does not count.
        #[arg(long, value_name = "PROMISE")]
        excuse: Vec<String>,
        /// Where what clients saw goes as Jepsen's EDN.
        #[arg(long)]
        history: Option<PathBuf>,
    },
}

/// Which plan.
#[derive(Args)]
struct Which {
    /// The seed.
    #[arg(long)]
    seed: u64,
    /// The lane; the seed's own otherwise.
    #[arg(long)]
    lane: Option<Lane>,
    /// How long clients work while things go wrong.
    #[arg(long, default_value_t = 20_000)]
    safety_ms: u64,
}

impl Which {
    fn plan(&self) -> barnabas_plan::Plan {
        let lane = self.lane.unwrap_or_else(|| fit::lane_of(self.seed));
        fit::fit(barnabas_nemesis::draw(self.seed, lane), self.safety_ms)
    }
}

fn main() -> ExitCode {
    match command(&Arguments::parse().command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Whether every promise was kept.
fn command(command: &Command) -> Result<bool> {
    match command {
        Command::Config(which) => {
            fit::broker_config(&which.plan()).iter().for_each(|(key, value)| println!("{key}={value}"));
            Ok(true)
        }
        Command::Run { which, bootstrap, excuse, history } => {
            let Some((host, port)) = bootstrap.rsplit_once(':') else { bail!("--bootstrap is host:port") };
            let address = Address { host: host.to_owned(), port: port.parse().context("--bootstrap is host:port")? };
            let plan = which.plan();
            let lane = plan.lane;
            let evidence = story::tell(plan, address)?;
            if let Some(file) = history {
                std::fs::write(file, edn(&evidence))?;
            }
            let unknown = excuse.iter().find(|name| ALL.iter().all(|promise| promise.name != **name));
            if let Some(unknown) = unknown {
                bail!("there is no promise `{unknown}` to excuse");
            }
            let mut judgement = judge(&evidence, Scope::ClientsOnly);
            let is_excused = |broken: &Broken| excuse.iter().any(|name| name == broken.promise);
            judgement.broken.extract_if(.., |broken| is_excused(broken)).for_each(|broken| tell("excused", &broken));
            show(which.seed, lane, &judgement);
            Ok(judgement.broken.is_empty())
        }
    }
}

fn show(seed: u64, lane: Lane, judgement: &Judgement) {
    let facts: usize = judgement.judged.values().sum();
    let (sent, acknowledged) = (judgement.sent, judgement.acknowledged);
    let verdict = if judgement.broken.is_empty() { "every promise was kept" } else { "BROKEN" };
    println!(
        "seed {seed:#x}, lane {lane}: {acknowledged} of {sent} records acknowledged, {facts} facts judged: {verdict}"
    );
    judgement.broken.iter().for_each(|broken| tell("broken", broken));
}

fn tell(how: &str, broken: &Broken) {
    let Broken { promise, words, what, at, more, .. } = broken;
    println!("  {how}: {words} ({promise}), at {:.3} s: {what}; {more} more", at.as_secs_f64());
}
