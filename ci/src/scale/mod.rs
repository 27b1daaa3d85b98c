//! `cargo ci scale`: what a long life leaves behind. Many million committed offsets must not make the folder of
//! `__consumer_offsets` grow nor a start wait for it, and a long log must not make one wait after SIGKILL. It runs a
//! broker with its default configuration on a real file system, prints what it measured and fails past the goals.

mod commits;
mod records;

use std::path::Path;

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::bench::meter;
use crate::broker::{Broker, Kind, Spec};
use crate::workspace;

/// How much; 0 leaves a part out.
#[derive(Args)]
pub(crate) struct Options {
    /// Committed offsets that are acknowledged before the broker is killed.
    #[arg(long, default_value_t = 50_000_000)]
    commits: u64,
    /// Records that are acknowledged before the broker is killed, as in 10GB or 500MB.
    #[arg(long, default_value = "10GB", value_parser = parse_bytes)]
    bytes: u64,
}

/// Runs both parts on one broker each.
pub(crate) fn run(options: &Options, binary: Option<&Path>) -> Result<()> {
    ensure!(options.commits > 0 || options.bytes > 0, "nothing is asked for");
    if options.commits > 0 {
        on_fresh_broker("scale-commits", binary, |broker| commits::play(broker, options.commits))?;
    }
    if options.bytes > 0 {
        on_fresh_broker("scale-records", binary, |broker| records::play(broker, options.bytes))?;
    }
    Ok(())
}

fn on_fresh_broker(name: &str, binary: Option<&Path>, play: impl FnOnce(&mut Broker) -> Result<()>) -> Result<()> {
    let folder = workspace::scratch(name)?;
    let mut broker = Broker::start(Spec::new(Kind::Barnabas, binary)?, &folder)?;
    let outcome = play(&mut broker);
    if outcome.is_err() {
        eprintln!("{}", broker.last_log_lines());
    }
    drop(broker);
    // Gigabytes are not kept for a look at them: what was wrong is said above.
    let log = std::fs::read(folder.join("broker.log")).context("the broker's log")?;
    std::fs::remove_dir_all(&folder)?;
    if outcome.is_err() {
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join("broker.log"), log)?;
    }
    outcome
}

/// What a start has cost, as the kernel counts it: on a busy machine most of the time that passed is others'.
fn cost_of_start(broker: &Broker) -> Result<String> {
    let pid = broker.pid()?;
    let text = std::fs::read_to_string(format!("/proc/{pid}/io")).context("what the broker has read")?;
    let line = text.lines().find_map(|line| line.strip_prefix("rchar:")).context("no count of bytes read")?;
    let (read, resident) = (line.trim().parse()?, meter::resident_bytes(pid)?);
    let cpu_s = meter::cpu_time(pid)?.as_secs_f64();
    let (read, resident) = (megabytes(read), megabytes(resident));
    Ok(format!("{cpu_s:.2} s of processor time, {read:.0} MB read, {resident:.0} MB resident"))
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// A number of bytes with a decimal unit.
fn parse_bytes(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|letter: char| !letter.is_ascii_digit());
    let unit = match &text[digits.len()..] {
        "" | "B" => 1,
        "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        other => return Err(format!("{other} is none of the units B, kB, MB, GB")),
    };
    let number: u64 = digits.parse().map_err(|error| format!("{digits:?}: {error}"))?;
    number.checked_mul(unit).ok_or_else(|| format!("{text} is too much"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_units() {
        assert_eq!(parse_bytes("10GB"), Ok(10_000_000_000));
        assert_eq!(parse_bytes("512"), Ok(512));
        assert_eq!(parse_bytes("0"), Ok(0));
        assert!(parse_bytes("10GiB").is_err());
        assert!(parse_bytes("GB").is_err());
        assert!(parse_bytes("99999999999GB").is_err());
    }
}
