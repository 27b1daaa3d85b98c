//! `cargo sim fuzz`: seed after seed, in several processes, until something breaks or time is up. Adds to a ledger of the
//! commit, so that sweeps add up over days.

use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use barnabas_plan::Lane;
use barnabas_sim_world::{Options, Scope};
use signal_hook::consts::SIGINT;

use crate::arena::{Arena, Binary, Ended, Range};
use crate::expected::{Expected, Silence};
use crate::line::Line;
use crate::runner::{plan_of, run};
use crate::tally::Tally;
use crate::{ledger::Ledger, parse_duration, random_seed, shrink};

/// Seeds that one process runs before it ends.
const CHUNK: u64 = 16;
/// One seed in this many runs a second time, in a process of its own that differs in all it may differ in.
const TWICE_ONE_IN: u64 = 40;
/// How often a terminal is told how far a sweep is.
const PROGRESS_EVERY: Duration = Duration::from_millis(500);

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
    /// Keeps in how many seeds each mark and error code came up, for sweeps to come to be compared with.
    #[arg(long)]
    write_reached: bool,
    /// Planted bugs that are switched on.
    #[arg(long, value_delimiter = ',', value_name = "ID", hide = true)]
    planted: Vec<String>,
    /// Only what clients see is judged.
    #[arg(long, hide = true)]
    black_box_only: bool,
    /// Stops this process at the first failure.
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
        out.flush()?;
        if ran.broken().is_some() {
            passed = false;
            if options.stop_at_first {
                break;
            }
        }
    }
    Ok(passed)
}

struct Sweep<'a> {
    options: &'a FuzzOptions,
    runner: Binary,
    from: u64,
    began: Instant,
    next: AtomicU64,
    /// Set by the first failure, by an accident, and by Ctrl-C.
    stop: Arc<AtomicBool>,
    tally: Mutex<Tally>,
}

impl<'a> Sweep<'a> {
    fn new(options: &'a FuzzOptions) -> Result<Self> {
        let resumed = if options.resume { Ledger::load()?.next_seed() } else { None };
        let from = options.from.or(resumed).unwrap_or_else(random_seed);
        let stop = Arc::new(AtomicBool::new(false));
        // The second Ctrl-C ends the process at once, should the first take too long.
        signal_hook::flag::register_conditional_shutdown(SIGINT, 130, Arc::clone(&stop))?;
        signal_hook::flag::register(SIGINT, Arc::clone(&stop))?;
        let runner = Binary::new(std::env::current_exe()?);
        let (next, began) = (AtomicU64::new(from), Instant::now());
        Ok(Self { options, runner, from, began, next, stop, tally: Mutex::default() })
    }

    fn run(&self) -> Result<bool> {
        let end = self.options.seeds.map(|seeds| self.from.saturating_add(seeds));
        ensure!(end.is_some() || self.options.duration.is_some(), "say how long: --for 10m, or --seeds 1000");
        println!("from seed {:#x} on, {} processes", self.from, self.options.jobs);
        let outcome: Result<Vec<()>> = thread::scope(|scope| {
            let workers: Vec<_> = (0..self.options.jobs.max(1)).map(|_| scope.spawn(|| self.work(end))).collect();
            let progress = scope.spawn(|| self.show_progress());
            let joined = workers.into_iter().map(|worker| worker.join().expect("workers do not panic")).collect();
            self.stop.store(true, Ordering::Relaxed);
            progress.thread().unpark();
            joined
        });
        outcome?;
        self.finish()
    }

    fn is_over(&self) -> bool {
        let is_late = self.options.duration.is_some_and(|duration| self.began.elapsed() >= duration);
        is_late || self.stop.load(Ordering::Relaxed)
    }

    fn work(&self, end: Option<u64>) -> Result<()> {
        loop {
            let from = self.next.fetch_add(CHUNK, Ordering::Relaxed);
            let until = end.map_or(from.saturating_add(CHUNK), |end| end.min(from.saturating_add(CHUNK)));
            if from >= until || self.is_over() {
                return Ok(());
            }
            let outcome = self.chunk(from, until);
            if outcome.is_err() {
                self.stop.store(true, Ordering::Relaxed);
            }
            outcome?;
        }
    }

    /// Runs the seeds from `from` up to `until`. A process that dies or hangs fails the seed it was at; another goes on.
    fn chunk(&self, mut from: u64, until: u64) -> Result<()> {
        while from < until && !self.is_over() {
            let mut again = Vec::new();
            let ran = self.runner.fuzz(&self.range(from, until - from), &mut |line| {
                from = line.seed.saturating_add(1);
                if line.seed.is_multiple_of(TWICE_ONE_IN) {
                    again.push(line.clone());
                }
                self.count(line);
                if self.is_over() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            let accident = match ran {
                Ok(Ended::Well) => None,
                // A sweep cannot know who killed its runner: whoever reads of it can.
                Ok(Ended::Accident(what) | Ended::Interrupted(what)) => Some(what),
                Err(error) => Some(format!("{error:#}")),
            };
            if let Some(what) = accident {
                self.count(Line::accident(from, self.range(from, 1).lane_of(from), what));
                from += 1;
            }
            for line in again {
                self.run_again(&line)?;
            }
        }
        Ok(())
    }

    fn range(&self, from: u64, seeds: u64) -> Range<'_> {
        let FuzzOptions { lane, planted, black_box_only, .. } = self.options;
        Range { lane: *lane, from, seeds, planted, is_black_box: *black_box_only, stops_at_first: false }
    }

    /// The same seed in a process that has run nothing before, in another folder and with another environment.
    fn run_again(&self, first: &Line) -> Result<()> {
        let (seed, mut second) = (first.seed, None);
        let elsewhere = self.runner.elsewhere(Path::new("/"));
        let ended = elsewhere.fuzz(&self.range(seed, 1), &mut |line| {
            second = Some(line);
            ControlFlow::Continue(())
        })?;
        ended.well()?;
        let second = second.with_context(|| format!("seed {seed:#x} was not run a second time"))?;
        ensure!(
            first.hash == second.hash,
            "seed {seed:#x} gave {} and then {} in another process: `cargo sim diff {seed:#x} {seed:#x}` shows where",
            first.hash,
            second.hash
        );
        self.tally().twice += 1;
        Ok(())
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, line: Line) {
        let plan = plan_of(line.seed, Some(line.lane), &[]);
        if let Some(failure) = self.tally().add(&plan, line) {
            println!("\nseed {:#x} in {}: {}: {}", failure.seed, failure.lane, failure.checker, failure.what);
            if !self.options.keep_going {
                self.stop.store(true, Ordering::Relaxed);
            }
        }
    }

    fn show_progress(&self) {
        // A line that is written over and over is of use on a terminal only.
        let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
        while is_terminal && !self.stop.load(Ordering::Relaxed) {
            thread::park_timeout(PROGRESS_EVERY);
            eprint!("\r{}  ", self.tally().progress(self.began.elapsed()));
        }
        if is_terminal {
            eprintln!();
        }
    }

    fn finish(&self) -> Result<bool> {
        let tally = self.tally();
        println!("{}", tally.summary(self.began.elapsed()));
        let mut hollow = tally.hollow();
        if self.options.planted.is_empty() {
            let mut ledger = Ledger::load()?;
            ledger.add(self.from, &tally.seeds_by_lane(), tally.failed, &tally.reached)?;
            hollow.extend(ledger.hollow()?);
        }
        if self.options.write_reached {
            tally.counts.write()?;
        }
        hollow.extend(Expected::load()?.missing(&tally.counts).iter().map(Silence::to_string));
        for failure in tally.failures() {
            let file = write_failure(failure, &self.options.planted)?;
            println!("failed: {} {}: {}", failure.lane, failure.checker, failure.what);
            println!("  cargo sim replay {0}\n  cargo sim shrink {0}", file.display());
        }
        for complaint in &hollow {
            println!("failed: {complaint}");
        }
        Ok(hollow.is_empty() && tally.failures().next().is_none())
    }
}

fn write_failure(failure: &Line, planted: &[String]) -> Result<PathBuf> {
    let plan = plan_of(failure.seed, Some(failure.lane), planted);
    let text = shrink::plan_text(&plan, &failure.signature, &failure.hash);
    let file = shrink::failure_file(&format!("{}-{:#x}", failure.lane, failure.seed));
    shrink::write_plan(&file, &text)?;
    Ok(file)
}
