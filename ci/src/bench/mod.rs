//! `cargo ci bench`: Barnabas and Apache Kafka side by side, on the same cores and the same real file system, with the
//! same client, one after the other in turn. It prints a table and writes it as Markdown and JSON. Not part of any gate.

mod contestant;
mod disk;
mod load;
pub(crate) mod meter;
mod report;
mod rows;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::workspace;
use contestant::Contestant;
use report::Report;
use rows::{Bench, Row};

/// What to measure.
#[derive(Args)]
pub(crate) struct Options {
    /// How often each contestant is measured, in turn.
    #[arg(long, default_value_t = 5)]
    pairs: u32,
    /// Length of each measurement after its warm-up, in seconds.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// Only these rows.
    #[arg(long, value_enum, value_delimiter = ',')]
    rows: Vec<Row>,
    /// Only these contestants.
    #[arg(long, value_enum, value_delimiter = ',')]
    contestants: Vec<Contestant>,
    /// How much the cold reader reads, in gigabytes.
    #[arg(long, default_value_t = 10.0)]
    cold_gb: f64,
    /// Where the tables go, instead of the target folder.
    #[arg(long)]
    output: Option<PathBuf>,
}

/// Runs the rows.
pub(crate) fn run(options: &Options, binary: Option<&Path>) -> Result<()> {
    let chosen = chosen_contestants(options);
    if chosen.iter().any(|contestant| contestant.is_barnabas()) {
        workspace::broker_binary(binary)?;
    }
    let place = workspace::scratch("bench")?;
    let disk = disk::examine(&place)?;
    println!("{disk}\n");
    let mut report = Report::new(disk, options.pairs, options.seconds);
    for row in chosen_rows(options) {
        println!("{}: {}", row.name(), row.what());
        for pair in 0..options.pairs {
            for contestant in in_turn(&chosen, pair) {
                let folder = place.join(format!("{}-{}-{pair}", row.name(), contestant.name()));
                std::fs::create_dir_all(&folder)?;
                let bench = Bench {
                    spec: contestant.spec(binary)?,
                    folder: folder.clone(),
                    length: Duration::from_secs(options.seconds),
                    cold_bytes: (options.cold_gb * 1e9) as u64,
                };
                let sample = row.measure(&bench).with_context(|| format!("{}, {}", row.name(), contestant.name()))?;
                println!("  {:<24}{}", contestant.name(), report::line(&sample));
                report.add(row, contestant, sample);
                std::fs::remove_dir_all(&folder)?;
            }
        }
        // A bench of hours that is interrupted keeps its finished rows.
        report.write(&output_folder(options))?;
    }
    std::fs::remove_dir_all(&place)?;
    println!("\n{}", report.markdown());
    println!("written to {}", output_folder(options).display());
    Ok(())
}

fn output_folder(options: &Options) -> PathBuf {
    options.output.clone().unwrap_or_else(|| workspace::target().join("bench"))
}

fn chosen_contestants(options: &Options) -> Vec<Contestant> {
    if options.contestants.is_empty() { Contestant::ALL.to_vec() } else { options.contestants.clone() }
}

/// The churn takes half an hour each time, so it runs only when it is named.
fn chosen_rows(options: &Options) -> Vec<Row> {
    if options.rows.is_empty() {
        Row::ALL.into_iter().filter(|row| *row != Row::Churn).collect()
    } else {
        options.rows.clone()
    }
}

/// Each round begins with another contestant, so that none always runs on a warmer disk.
fn in_turn(contestants: &[Contestant], pair: u32) -> Vec<Contestant> {
    let mut turned = contestants.to_vec();
    let by = pair as usize % turned.len().max(1);
    turned.rotate_left(by);
    turned
}

/// Refuses a number that a division would make of nothing.
fn per(amount: f64, divisor: f64) -> Result<f64> {
    ensure!(divisor > 0.0, "nothing was measured");
    Ok(amount / divisor)
}
