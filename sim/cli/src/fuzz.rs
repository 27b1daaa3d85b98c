//! `cargo sim fuzz`: seed after seed, in several processes, until something breaks or time is up. Adds to a ledger of the
//! commit, so that sweeps add up over days.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use barnabas_plan::Lane;
use barnabas_sim_world::{Options, Scope};
use serde_json::Value;

use crate::runner::{plan_of, run};
use crate::{ledger::Ledger, parse_duration, random_seed, shrink};

/// Seeds that one process runs before it ends.
const CHUNK: u64 = 16;
/// One seed in this many runs a second time, in a process of its own that differs in all it may differ in.
const TWICE_ONE_IN: u64 = 40;
/// More void seeds than this share of a lane, in percent, prove that the lane is drawn badly.
const VOID_MAX_PERCENT: u64 = 10;

/// What to sweep, and how long.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct FuzzOptions {
    /// How long, as 90s, 10m or 2h.
    #[arg(long = "for", value_parser = parse_duration, value_name = "TIME")]
    duration: Option<Duration>,
    /// So many seeds.
    #[arg(long, value_name = "N")]
    seeds: Option<u64>,
    /// The first seed; a random one otherwise.
    #[arg(long, value_parser = crate::parse_seed_argument, value_name = "SEED")]
    from: Option<u64>,
    /// Only this lane; all take turns otherwise.
    #[arg(long)]
    lane: Option<Lane>,
    /// Processes at the same time.
    #[arg(long, default_value_t = 2, value_name = "N")]
    jobs: usize,
    /// Goes on behind the last seed of this commit's ledger.
    #[arg(long)]
    resume: bool,
    /// Goes on after a failure.
    #[arg(long)]
    keep_going: bool,
    /// Planted bugs that are switched on.
    #[arg(long, value_delimiter = ',', value_name = "ID", hide = true)]
    planted: Vec<String>,
    /// Only what clients see is judged.
    #[arg(long, hide = true)]
    black_box_only: bool,
    /// Stops at the first failure; the way of the other commands that drive this one.
    #[arg(long, hide = true)]
    stop_at_first: bool,
    /// One line of JSON a seed, in this process.
    #[arg(long, hide = true)]
    quiet_json: bool,
}

/// Sweeps. Says whether nothing failed.
///
/// # Errors
/// Something could not be run.
pub(crate) fn fuzz(options: &FuzzOptions) -> Result<bool> {
    if options.quiet_json { in_this_process(options) } else { Sweep::new(options)?.run() }
}

fn in_this_process(options: &FuzzOptions) -> Result<bool> {
    let from = options.from.context("--from says where to begin")?;
    let seeds = options.seeds.context("--seeds says how many")?;
    let scope = if options.black_box_only { Scope::ClientsOnly } else { Scope::All };
    let mut out = std::io::stdout().lock();
    let mut passed = true;
    for seed in from..from.saturating_add(seeds) {
        let ran = run(plan_of(seed, options.lane, &options.planted), scope, Options::default())?;
        writeln!(out, "{}", ran.json())?;
        if ran.broken().is_some() {
            passed = false;
            if options.stop_at_first {
                break;
            }
        }
    }
    Ok(passed)
}

/// What is counted while a sweep runs.
#[derive(Default)]
struct Tally {
    seeds: u64,
    voids: BTreeMap<String, u64>,
    by_lane: BTreeMap<String, u64>,
    acknowledged: u64,
    events: u64,
    simulated_ms: u64,
    twice: u64,
    failed: u64,
    /// The first failure of each signature.
    failures: BTreeMap<String, Value>,
    matrix: BTreeMap<barnabas_nemesis::Cell, u64>,
}

struct Sweep<'a> {
    options: &'a FuzzOptions,
    from: u64,
    began: Instant,
    next: AtomicU64,
    stop: AtomicBool,
    tally: Mutex<Tally>,
}

impl<'a> Sweep<'a> {
    fn new(options: &'a FuzzOptions) -> Result<Self> {
        let resumed = if options.resume { Ledger::load()?.next_seed() } else { None };
        let from = options.from.or(resumed).unwrap_or_else(random_seed);
        let (next, began) = (AtomicU64::new(from), Instant::now());
        Ok(Self { options, from, began, next, stop: AtomicBool::new(false), tally: Mutex::default() })
    }

    fn run(&self) -> Result<bool> {
        let end = self.options.seeds.map(|seeds| self.from.saturating_add(seeds));
        ensure!(end.is_some() || self.options.duration.is_some(), "say how long: --for 10m, or --seeds 1000");
        println!("from seed {:#x} on, {} processes", self.from, self.options.jobs);
        let outcome: Result<Vec<()>> = thread::scope(|scope| {
            let workers: Vec<_> = (0..self.options.jobs.max(1)).map(|_| scope.spawn(|| self.work(end))).collect();
            scope.spawn(|| self.show_progress());
            let joined = workers.into_iter().map(|worker| worker.join().expect("workers do not panic")).collect();
            self.stop.store(true, Ordering::Relaxed);
            joined
        });
        outcome?;
        self.finish()
    }

    fn work(&self, end: Option<u64>) -> Result<()> {
        loop {
            let late = self.options.duration.is_some_and(|duration| self.began.elapsed() >= duration);
            let from = self.next.fetch_add(CHUNK, Ordering::Relaxed);
            let left = end.map_or(CHUNK, |end| end.saturating_sub(from));
            if late || left == 0 || self.stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            let outcome = self.chunk(from, left.min(CHUNK));
            if outcome.is_err() {
                self.stop.store(true, Ordering::Relaxed);
            }
            outcome?;
        }
    }

    fn chunk(&self, from: u64, seeds: u64) -> Result<()> {
        let lines = child(self.options, from, seeds, Path::new("."))?;
        for line in lines {
            let line: Value = serde_json::from_str(&line).context("a run says what came of it as JSON")?;
            let seed = line["seed"].as_str().and_then(barnabas_plan::parse_seed).unwrap_or(0);
            if seed.is_multiple_of(TWICE_ONE_IN) {
                self.run_again(seed, &line)?;
            }
            self.count(seed, line);
        }
        Ok(())
    }

    /// The same seed in a process that has run nothing before, in another folder and with another environment.
    fn run_again(&self, seed: u64, first: &Value) -> Result<()> {
        let lines = child(self.options, seed, 1, Path::new("/"))?;
        let second: Value = serde_json::from_str(lines.first().map_or("null", String::as_str))?;
        ensure!(
            first["hash"] == second["hash"],
            "seed {seed:#x} gave {} and then {} in another process: `cargo sim diff {seed:#x} {seed:#x}` shows where",
            first["hash"],
            second["hash"]
        );
        self.tally.lock().unwrap_or_else(PoisonError::into_inner).twice += 1;
        Ok(())
    }

    fn count(&self, seed: u64, line: Value) {
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        let lane = line["lane"].as_str().unwrap_or("").to_owned();
        let number = |key: &str| line[key].as_u64().unwrap_or(0);
        tally.seeds += 1;
        *tally.by_lane.entry(lane.clone()).or_default() += 1;
        tally.acknowledged += number("acknowledged");
        tally.events += number("events");
        tally.simulated_ms += number("simulated_ms");
        if let Ok(lane) = lane.parse::<Lane>() {
            barnabas_nemesis::matrix(&plan_of(seed, Some(lane), &[]), &mut tally.matrix);
        }
        match line["verdict"].as_str() {
            Some("void") => *tally.voids.entry(lane).or_default() += 1,
            Some("fail") => {
                tally.failed += 1;
                let Entry::Vacant(first) = tally.failures.entry(line["signature"].to_string()) else { return };
                println!("\nseed {} in {lane}: {}: {}", line["seed"], line["checker"], line["what"]);
                first.insert(line);
                if !self.options.keep_going {
                    self.stop.store(true, Ordering::Relaxed);
                }
            }
            _ => {}
        }
    }

    fn show_progress(&self) {
        while !self.stop.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(500));
            let tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
            let seconds = self.began.elapsed().as_secs_f64();
            eprint!(
                "\r{} seeds, {:.1} a second, {} void, {} failed, {:.1} simulated hours  ",
                tally.seeds,
                tally.seeds as f64 / seconds.max(0.001),
                tally.voids.values().sum::<u64>(),
                tally.failed,
                tally.simulated_ms as f64 / 3_600_000.0
            );
        }
        eprintln!();
    }

    fn finish(&self) -> Result<bool> {
        let tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        let seconds = self.began.elapsed().as_secs_f64();
        println!(
            "{} seeds in {seconds:.0} s ({:.0} an hour), {} run twice; {} records acknowledged, {} events a seed",
            tally.seeds,
            tally.seeds as f64 / seconds.max(0.001) * 3_600.0,
            tally.twice,
            tally.acknowledged,
            tally.events / tally.seeds.max(1),
        );
        for (lane, seeds) in &tally.by_lane {
            let voids = tally.voids.get(lane).copied().unwrap_or(0);
            println!("  {lane:<12} {seeds:>6} seeds, {voids} void");
        }
        print_matrix(&tally.matrix);
        if self.options.planted.is_empty() {
            Ledger::load()?.add(self.from, &tally.by_lane, tally.failed)?;
        }
        for failure in tally.failures.values() {
            let file = write_failure(failure, &self.options.planted)?;
            println!("failed: {} {}: {}", failure["lane"], failure["checker"], failure["what"]);
            println!("  cargo sim replay {0}\n  cargo sim shrink {0}", file.display());
        }
        let badly_drawn = tally.by_lane.iter().find(|(lane, seeds)| {
            let voids = tally.voids.get(*lane).copied().unwrap_or(0);
            **seeds >= 20 && voids * 100 > **seeds * VOID_MAX_PERCENT
        });
        if let Some((lane, seeds)) = badly_drawn {
            bail!("more than {VOID_MAX_PERCENT} % of the {seeds} seeds of lane {lane} are void");
        }
        Ok(tally.failures.is_empty())
    }
}

/// Runs seeds in a process of their own; the lines it prints.
fn child(options: &FuzzOptions, from: u64, seeds: u64, folder: &Path) -> Result<Vec<String>> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["fuzz", "--quiet-json", "--from", &from.to_string(), "--seeds", &seeds.to_string()]);
    command.current_dir(folder).env("BARNABAS_SIM_CHILD", folder);
    if let Some(lane) = options.lane {
        command.args(["--lane", lane.word()]);
    }
    if !options.planted.is_empty() {
        command.args(["--planted", &options.planted.join(",")]);
    }
    if options.black_box_only {
        command.arg("--black-box-only");
    }
    let mut running = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let output = running.stdout.take().context("the output is a pipe")?;
    let lines = BufReader::new(output).lines().collect::<std::io::Result<Vec<_>>>()?;
    running.wait()?;
    ensure!(
        lines.len() as u64 == seeds,
        "the process for the seeds from {from:#x} died after {} of {seeds}",
        lines.len()
    );
    Ok(lines)
}

fn write_failure(failure: &Value, planted: &[String]) -> Result<PathBuf> {
    let seed = failure["seed"].as_str().and_then(barnabas_plan::parse_seed).context("a failure has a seed")?;
    let lane: Lane = failure["lane"].as_str().and_then(|lane| lane.parse().ok()).context("a failure has a lane")?;
    let plan = plan_of(seed, Some(lane), planted);
    let text =
        shrink::plan_text(&plan, failure["signature"].as_str().unwrap_or(""), failure["hash"].as_str().unwrap_or(""));
    let file = shrink::failure_file(&format!("{lane}-{seed:#x}"));
    shrink::write_plan(&file, &text)?;
    Ok(file)
}

/// How often each event met each family; the empty cells by number.
fn print_matrix(matrix: &BTreeMap<barnabas_nemesis::Cell, u64>) {
    let mut by_event: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (cell, count) in matrix {
        by_event.entry(&cell.event).or_default().push(format!("{} {count}", cell.family));
    }
    let families = barnabas_nemesis::FAMILIES.len() - 1;
    println!("faults by what they waited for:");
    for (event, cells) in by_event {
        let empty = families - cells.len();
        println!(
            "  {event:<26} {}{}",
            cells.join(", "),
            if empty > 0 { format!(" ({empty} empty)") } else { String::new() }
        );
    }
}
