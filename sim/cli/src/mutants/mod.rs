//! `cargo sim mutants`: proof that the simulator finds bugs. Plants the bugs of `ci/planted` in a copy of the workspace,
//! builds it once with all of them behind switches, and hunts each alone. Drives the built runner as a process; knows
//! nothing of how a run works.

mod blind;
mod chase;
mod copy;
mod corpus;
mod hunt;
mod patch;
mod same;
mod score;
pub(crate) mod switch;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context, Result, bail, ensure};
use barnabas_base::Keyed;
use barnabas_plan::Plan;

use crate::arena::{Arena, Binary, Shrunk};
use crate::root;

use blind::Blind;
use copy::{WorkspaceCopy, own_profile, read_bugs};
use hunt::{Effort, Fate, Hunted, hunt};
use patch::Bug;
use score::Score;

/// Seeds on which the planted build with no bug on must be the build for people.
const SAME_SEEDS: u64 = 100;

/// What to hunt, and how long.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct MutantsOptions {
    /// Only these bugs.
    #[arg(long, value_delimiter = ',', value_name = "ID")]
    only: Vec<String>,
    /// So many bugs, drawn by the draw seed from those that sweeps find more than seldom.
    #[arg(long, value_name = "N", conflicts_with = "only")]
    sample: Option<usize>,
    /// Which bugs or mutants are drawn.
    #[arg(long, default_value_t = 0, value_name = "SEED")]
    draw_seed: u64,
    /// Bugs that are hunted at the same time.
    #[arg(long, default_value_t = 1, value_name = "N")]
    jobs: usize,
    /// Seeds of a lane before the next lane is tried.
    #[arg(long, default_value_t = 500, value_name = "N")]
    seeds: u64,
    /// Seeds of each lane before a bug counts as a survivor.
    #[arg(long, default_value_t = 2_000, value_name = "N")]
    survivor_seeds: u64,
    /// Ranges of seeds over which the median of seeds to kill is taken.
    #[arg(long, default_value_t = 3, value_name = "N")]
    ranges: u64,
    /// Shrink the plan of every kill, and check that it is red with the bug and green without.
    #[arg(long)]
    shrink: bool,
    /// Check the plans of the seed corpus that name planted bugs, and hunt nothing.
    #[arg(long)]
    corpus: bool,
    /// Write run seeds that show the bugs into plans that no longer do.
    #[arg(long, requires = "corpus")]
    renew: bool,
    /// A blind sample of so many mutants of cargo-mutants instead of planted bugs.
    #[arg(long, value_name = "N")]
    blind: Option<usize>,
    /// Begin at this place of the draw: a long sample is taken in several runs.
    #[arg(long, default_value_t = 0, value_name = "PLACE", requires = "blind")]
    blind_from: usize,
    /// Seeds of each lane that a blind mutant is given.
    #[arg(long, default_value_t = 100, value_name = "N")]
    blind_seeds: u64,
    /// Print the planted bugs and do nothing.
    #[arg(long)]
    list: bool,
}

/// Runs the campaign.
///
/// # Errors
/// Something was not found, or could not be run.
pub(crate) fn run(options: &MutantsOptions) -> Result<()> {
    let out = &mut io::stdout().lock();
    let bugs = chosen(read_bugs(&root().join("ci/planted"))?, options)?;
    if options.list {
        return list(out, &bugs);
    }
    let folder = root().join("target/planted");
    if let Some(count) = options.blind {
        let (from, draw_seed, lane_seeds) = (options.blind_from, options.draw_seed, options.blind_seeds);
        let blind = Blind { count, from, draw_seed, lane_seeds };
        let passed = blind::run(&blind, root(), &folder.join("blind"), &root().join("target/tools"), out)?;
        ensure!(passed, "too many blind mutants survived");
        return Ok(());
    }
    let (own, profile) = own_profile()?;
    let planted = build(&folder, &profile, out)?;
    let compared = same::check(&Binary::new(own), &planted, SAME_SEEDS)?;
    writeln!(out, "with no bug on, {compared} seeds give the trace hashes of the normal build")?;
    let plans = folder.join("plans");
    if options.corpus {
        let passed = corpus::judge(&planted, &root().join(corpus::FOLDER), &plans, options.renew, out)?;
        ensure!(passed, "the corpus is not what it says");
        return Ok(());
    }
    campaign(&planted, &bugs, options, &plans, out)
}

/// The bugs that were asked for.
fn chosen(bugs: Vec<Bug>, options: &MutantsOptions) -> Result<Vec<Bug>> {
    for id in &options.only {
        ensure!(bugs.iter().any(|bug| bug.id == *id), "there is no planted bug {id}");
    }
    if let Some(count) = options.sample {
        let draw = Keyed::new(options.draw_seed, "sample of planted bugs");
        let mut drawn: Vec<Bug> = bugs.into_iter().filter(|bug| bug.seldom.is_none()).collect();
        drawn.sort_by_cached_key(|bug| draw.with(barnabas_base::keyed_hash(0, bug.id.as_bytes())).below(u64::MAX));
        drawn.truncate(count);
        drawn.sort_by(|one, other| one.id.cmp(&other.id));
        return Ok(drawn);
    }
    Ok(bugs.into_iter().filter(|bug| options.only.is_empty() || options.only.contains(&bug.id)).collect())
}

fn list(out: &mut dyn Write, bugs: &[Bug]) -> Result<()> {
    for bug in bugs {
        let lanes: Vec<&str> = bug.lanes.iter().map(|lane| lane.word()).collect();
        writeln!(out, "{:<5} {}", bug.id, bug.title)?;
        writeln!(
            out,
            "      {}; {}; lanes {}; first {}",
            bug.re_enacts,
            bug.harm,
            lanes.join(" "),
            bug.expects.join(" ")
        )?;
        if !bug.knobs.is_empty() {
            writeln!(out, "      likely with {}", bug.knobs)?;
        }
        if let Some(why) = &bug.seldom {
            writeln!(out, "      found seldom: {why}")?;
        }
    }
    Ok(())
}

/// All bugs in one build: whichever are hunted, cargo has nothing to do the next time.
fn build(folder: &Path, profile: &str, out: &mut dyn Write) -> Result<Binary> {
    let all = read_bugs(&root().join("ci/planted"))?;
    let copy = WorkspaceCopy::below(folder);
    copy.plant(root(), &all)?;
    writeln!(out, "{} bugs fit their places; building them in {}", all.len(), copy.source().display())?;
    Ok(Binary::new(copy.build(profile, &[])?))
}

/// Hunts `bugs`, some at a time, and prints them in their order.
fn campaign(
    arena: &dyn Arena,
    bugs: &[Bug],
    options: &MutantsOptions,
    plans: &Path,
    out: &mut dyn Write,
) -> Result<()> {
    let effort = Effort { seeds: options.seeds, survivor_seeds: options.survivor_seeds, ranges: options.ranges };
    score::head(out)?;
    let mut score = Score::default();
    let mut sizes = Vec::new();
    in_order(bugs, options.jobs, &|bug| hunt(arena, bug, &effort), &mut |bug, hunted: Hunted| {
        score::row(out, bug, &hunted)?;
        out.flush()?;
        score.count(bug, &hunted);
        if let (true, Fate::Killed(kill)) = (options.shrink, &hunted.fate) {
            let (path, shrunk) = shrink(arena, bug, kill, plans)?;
            writeln!(
                out,
                "      shrunk to {} faults and {} operations in {} ms: {}",
                shrunk.faults,
                shrunk.operations,
                shrunk.took_ms,
                path.display()
            )?;
            sizes.push(shrunk);
        }
        Ok(())
    })?;
    score.write(out)?;
    write_sizes(out, &sizes)?;
    if !score.passed() {
        bail!("not every planted bug was found");
    }
    Ok(())
}

/// Shrinks the plan of a kill; it must be red with the bug and green without.
fn shrink(arena: &dyn Arena, bug: &Bug, kill: &hunt::Kill, plans: &Path) -> Result<(PathBuf, Shrunk)> {
    std::fs::create_dir_all(plans)?;
    let path = plans.join(format!("{}.plan", bug.id));
    let shrunk = arena.shrink(kill.seed, kill.lane, std::slice::from_ref(&bug.id), &path)?;
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let plan = Plan::parse(&text).with_context(|| path.display().to_string())?;
    ensure!(plan.planted.contains(&bug.id), "{} does not name its bug", path.display());
    if let Some(wrong) = corpus::wrong(arena, &path, &plan, &plans.join("without"))? {
        bail!("the shrunk plan of {} {wrong}", bug.id);
    }
    Ok((path, shrunk))
}

fn write_sizes(out: &mut dyn Write, sizes: &[Shrunk]) -> Result<()> {
    let median = |of: fn(&Shrunk) -> u64| {
        let mut all: Vec<u64> = sizes.iter().map(of).collect();
        all.sort_unstable();
        all.get(all.len() / 2).copied()
    };
    let medians = (median(|size| size.faults), median(|size| size.operations), median(|size| size.took_ms));
    if let (Some(faults), Some(operations), Some(took_ms)) = medians {
        writeln!(out, "  shrunk plans: median {faults} faults, {operations} operations, {took_ms} ms")?;
    }
    Ok(())
}

/// Does `work` for every item, `jobs` at a time, and hands the results to `each` in the order of the items. The first
/// error ends it.
fn in_order<'a, T: Sync, R: Send>(
    items: &'a [T],
    jobs: usize,
    work: &(dyn Fn(&'a T) -> Result<R> + Sync),
    each: &mut dyn FnMut(&'a T, R) -> Result<()>,
) -> Result<()> {
    let next = AtomicUsize::new(0);
    let results: Vec<Mutex<Option<Result<R>>>> = items.iter().map(|_| Mutex::new(None)).collect();
    let (done, finished) = std::sync::mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, items.len().max(1)) {
            let (done, next, results) = (done.clone(), &next, &results);
            scope.spawn(move || {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(index) else { return };
                    *results[index].lock().expect("nobody panics with the lock") = Some(work(item));
                    // Nobody listens after an error.
                    if done.send(()).is_err() {
                        return;
                    }
                }
            });
        }
        drop(done);
        let outcome = hand_out(items, &results, &finished, each);
        // Whoever works still ends with his item.
        next.store(items.len(), Ordering::Relaxed);
        outcome
    })
}

fn hand_out<'a, T, R>(
    items: &'a [T],
    results: &[Mutex<Option<Result<R>>>],
    finished: &std::sync::mpsc::Receiver<()>,
    each: &mut dyn FnMut(&'a T, R) -> Result<()>,
) -> Result<()> {
    let mut handed = 0;
    while handed < items.len() {
        let taken = results[handed].lock().expect("nobody panics with the lock").take();
        match taken {
            Some(result) => {
                each(&items[handed], result?)?;
                handed += 1;
            }
            None => finished.recv().context("a hunter is gone")?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::hunt::tests_support::{Fake, bug};
    use super::*;

    #[derive(Parser)]
    struct Arguments {
        #[command(flatten)]
        options: MutantsOptions,
    }

    fn options(arguments: &[&str]) -> MutantsOptions {
        Arguments::try_parse_from(["mutants"].iter().chain(arguments)).expect("they are arguments").options
    }

    fn folder(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("barnabas-mutants-{name}-{}", std::process::id()))
    }

    fn run_campaign(arena: &dyn Arena, bugs: &[Bug], arguments: &[&str], name: &str) -> (Result<()>, String) {
        let (mut out, folder) = (Vec::new(), folder(name));
        let outcome = campaign(arena, bugs, &options(arguments), &folder, &mut out);
        drop(std::fs::remove_dir_all(&folder));
        (outcome, String::from_utf8(out).expect("it is text"))
    }

    #[test]
    fn bugs_are_chosen_by_name_or_drawn() {
        let bugs = || ["M25", "M26", "M29", "M30"].map(|id| bug(id, "none", "durable")).to_vec();
        let ids = |bugs: Vec<Bug>| bugs.into_iter().map(|bug| bug.id).collect::<Vec<_>>();
        assert_eq!(ids(chosen(bugs(), &options(&["--only", "M26,M29"])).expect("they are there")), ["M26", "M29"]);
        assert!(chosen(bugs(), &options(&["--only", "M99"])).is_err());
        let drawn =
            |seed: &str| ids(chosen(bugs(), &options(&["--sample", "2", "--draw-seed", seed])).expect("it draws"));
        assert_eq!((drawn("1").len(), drawn("1")), (2, drawn("1")));
        assert!((0..20).any(|seed| drawn(&seed.to_string()) != drawn("1")));
        let mut seldom = bugs();
        seldom.iter_mut().skip(1).for_each(|bug| bug.seldom = Some("it takes two".to_owned()));
        assert_eq!(ids(chosen(seldom, &options(&["--sample", "2"])).expect("it draws")), ["M25"]);
    }

    #[test]
    fn a_campaign_that_finds_everything_passes_and_shrinks() {
        let bugs = [bug("M25", "loses", "durable"), bug("M26", "none", "durable")];
        let fake =
            Fake::new(|planted: &[String], _, seed, _| (!planted.is_empty() && seed == 2).then_some("lost-write"));
        let (outcome, text) = run_campaign(&fake, &bugs, &["--shrink", "--jobs", "2", "--seeds", "5"], "passes");
        assert!(outcome.is_ok(), "{outcome:?}\n{text}");
        assert!(text.contains("2 of 2 planted bugs found"), "{text}");
        assert!(text.contains("shrunk plans: median 3 faults, 8 operations"), "{text}");
    }

    #[test]
    fn a_survivor_fails_the_campaign() {
        let bugs = [bug("M25", "none", "durable"), bug("M26", "none", "durable")];
        let fake = Fake::new(|planted: &[String], _, _, _| (planted == ["M25"]).then_some("disk-log"));
        let (outcome, text) = run_campaign(&fake, &bugs, &["--seeds", "5", "--survivor-seeds", "9"], "fails");
        assert_eq!(outcome.expect_err("one survives").to_string(), "not every planted bug was found");
        assert!(text.contains("SURVIVED 9 seeds") && text.contains("missed: M26"), "{text}");
    }

    #[test]
    fn results_come_in_order_and_the_first_error_ends_it() {
        let items: Vec<u32> = (0..50).collect();
        let mut seen = Vec::new();
        let ran = in_order(&items, 4, &|item| Ok(*item * 2), &mut |_, double| {
            seen.push(double);
            Ok(())
        });
        assert!(ran.is_ok());
        assert_eq!(seen, (0..50).map(|item| item * 2).collect::<Vec<_>>());
        let fails = |item: &u32| if *item == 3 { bail!("three") } else { Ok(*item) };
        let ran = in_order(&items, 4, &fails, &mut |_, _| Ok(()));
        assert_eq!(ran.expect_err("one fails").to_string(), "three");
    }
}
