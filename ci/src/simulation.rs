//! `cargo ci simulation`: a simulated run is a function of its seed. The same seeds are run in debug and optimised, in
//! processes that differ in folder, environment, addresses and what they ran before; strace shows that a run asks the kernel for
//! nothing but memory and the thread it lives on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::process;
use crate::workspace;

/// Seeds that are compared.
const SEEDS: u64 = 6;
/// Has glibc hand out addresses in another order, which the kernel's randomness does not change.
const OTHER_ADDRESSES: &str = "glibc.malloc.arena_max=1:glibc.malloc.tcache_count=0:glibc.malloc.mxfast=0";
/// Seeds by which two traced processes differ.
const TRACED_SEEDS: u64 = 4;
/// Building the simulator from nothing takes minutes.
const BUILD_DEADLINE: Duration = Duration::from_secs(1_800);
const RUN_DEADLINE: Duration = Duration::from_secs(600);

/// System calls that a run may add to those of its process: memory, its thread with what that needs, waiting for it, and
/// the line that is printed of it.
const OF_A_RUN: &[&str] = &[
    "brk",
    "clone3",
    "exit",
    "futex",
    // Asked for no bytes, to see whether the call is there; calls for more are counted apart.
    "getrandom",
    // Its thread learns its own number.
    "gettid",
    "madvise",
    "mmap",
    "mprotect",
    "munmap",
    "mremap",
    "prctl",
    "rseq",
    "rt_sigprocmask",
    "sched_getaffinity",
    "sched_yield",
    "set_robust_list",
    "sigaltstack",
    "write",
];

/// Shows it.
pub(crate) fn run() -> Result<()> {
    let optimised = build("sim", "sim")?;
    let debug = build("dev", "debug")?;
    same_everywhere(&optimised, &debug)?;
    asks_the_kernel_for_nothing(&optimised)
}

fn build(profile: &str, folder: &str) -> Result<PathBuf> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--locked", "--package", "barnabas-sim", "--profile", profile]);
    process::run(cargo.current_dir(workspace::root()), &[], BUILD_DEADLINE)?.success()?;
    Ok(workspace::root().join("target").join(folder).join("barnabas-sim"))
}

/// Runs seeds in one process; a line a seed. Whoever gives it a noise gets other addresses, too.
fn lines(runner: &Path, from: u64, seeds: u64, folder: &Path, noise: &str) -> Result<Vec<String>> {
    let mut command = Command::new(runner);
    command.args(["fuzz", "--quiet-json", "--from", &from.to_string(), "--seeds", &seeds.to_string()]);
    command.current_dir(folder).env("NOISE", noise);
    if !noise.is_empty() {
        command.env("GLIBC_TUNABLES", OTHER_ADDRESSES);
    }
    let ran = process::run(&mut command, &[], RUN_DEADLINE)?;
    let lines: Vec<String> = ran.text().lines().map(str::to_owned).collect();
    ensure!(
        lines.len() as u64 == seeds,
        "{} ran {} of {seeds} seeds: {}",
        runner.display(),
        lines.len(),
        ran.last_words()
    );
    Ok(lines)
}

fn same_everywhere(optimised: &Path, debug: &Path) -> Result<()> {
    let first = lines(optimised, 0, SEEDS, workspace::root(), "")?;
    let in_debug = lines(debug, 0, SEEDS, Path::new("/"), "a value of another length")?;
    let mut alone = Vec::new();
    for seed in (0..SEEDS).rev() {
        alone.extend(lines(optimised, seed, 1, Path::new("/tmp"), "1")?);
    }
    alone.reverse();
    for (seed, line) in first.iter().enumerate() {
        ensure!(*line == in_debug[seed], "seed {seed} runs differently in debug:\n{line}\n{}", in_debug[seed]);
        ensure!(*line == alone[seed], "seed {seed} runs differently when it runs alone:\n{line}\n{}", alone[seed]);
    }
    println!("{SEEDS} seeds gave the same lines, trace hashes included, in debug, optimised, and each alone");
    Ok(())
}

fn asks_the_kernel_for_nothing(runner: &Path) -> Result<()> {
    let one = calls(runner, 1)?;
    let more = calls(runner, 1 + TRACED_SEEDS)?;
    let added = added(&one, &more);
    let foreign: Vec<&str> = added.keys().map(String::as_str).filter(|call| !OF_A_RUN.contains(call)).collect();
    ensure!(foreign.is_empty(), "{TRACED_SEEDS} runs called {}: a run touches the world outside", foreign.join(", "));
    let threads = added.get("clone3").copied().unwrap_or(0);
    ensure!(threads == TRACED_SEEDS, "{TRACED_SEEDS} runs started {threads} threads");
    let (before, after) = (draws(runner, 1)?, draws(runner, 1 + TRACED_SEEDS)?);
    ensure!(before == after, "{TRACED_SEEDS} runs drew real entropy: {before} draws became {after}");
    let named: Vec<String> = added.iter().map(|(call, count)| format!("{call} {count}")).collect();
    println!("{TRACED_SEEDS} runs asked the kernel for: {}", named.join(", "));
    Ok(())
}

/// How often each system call was made by a process that ran `seeds` seeds.
fn calls(runner: &Path, seeds: u64) -> Result<BTreeMap<String, u64>> {
    summary(&traced(runner, seeds, &["-c"])?)
}

/// How often a process that ran `seeds` seeds asked the kernel for random bytes.
fn draws(runner: &Path, seeds: u64) -> Result<usize> {
    let trace = traced(runner, seeds, &["-e", "trace=getrandom"])?;
    Ok(trace.lines().filter(|line| asks_for_entropy(line)).count())
}

fn asks_for_entropy(line: &str) -> bool {
    line.split_once("getrandom(").is_some_and(|(_, arguments)| !arguments.starts_with("NULL, 0,"))
}

/// What strace says of a process that ran `seeds` seeds.
fn traced(runner: &Path, seeds: u64, how: &[&str]) -> Result<String> {
    let report = workspace::scratch("simulation")?.join("strace.txt");
    let mut strace = Command::new("strace");
    strace.arg("-f").args(how).arg("-o").arg(&report).arg(runner);
    strace.args(["fuzz", "--quiet-json", "--from", "0", "--seeds", &seeds.to_string()]);
    let ran = process::run(&mut strace, &[], RUN_DEADLINE).context("`cargo ci setup` installs strace")?;
    ensure!(ran.text().lines().count() as u64 == seeds, "the traced process ended early: {}", ran.last_words());
    std::fs::read_to_string(&report).with_context(|| report.display().to_string())
}

/// Reads the table of `strace -c`: share, seconds, microseconds a call, calls, errors if any, name.
fn summary(text: &str) -> Result<BTreeMap<String, u64>> {
    let mut calls = BTreeMap::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (Some(first), Some(name)) = (words.first(), words.last()) else { continue };
        if first.parse::<f64>().is_err() || *name == "total" {
            continue;
        }
        let count = words.get(3).and_then(|word| word.parse().ok());
        calls.insert((*name).to_owned(), count.with_context(|| format!("no number of calls in `{line}`"))?);
    }
    ensure!(!calls.is_empty(), "strace counted nothing");
    Ok(calls)
}

/// What the second process did more than the first.
fn added(one: &BTreeMap<String, u64>, more: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let difference = |(call, count): (&String, &u64)| {
        let before = one.get(call).copied().unwrap_or(0);
        (*count > before).then(|| (call.clone(), count - before))
    };
    more.iter().filter_map(difference).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "% time     seconds  usecs/call     calls    errors syscall\n\
        ------ ----------- ----------- --------- --------- ----------------\n \
        60.00    0.001000          10       100        40 futex\n \
        40.00    0.000500           5         7           openat\n\
        ------ ----------- ----------- --------- --------- ----------------\n\
        100.00    0.001500           7       107        40 total\n";

    #[test]
    fn the_table_of_strace_is_read() {
        let calls = summary(TABLE).expect("strace writes it so");
        assert_eq!(calls, [("futex".to_owned(), 100), ("openat".to_owned(), 7)].into());
        assert!(summary("nothing\n").is_err());
    }

    #[test]
    fn a_question_for_no_bytes_draws_nothing() {
        assert!(!asks_for_entropy("77 getrandom(NULL, 0, 0) = 0"));
        assert!(asks_for_entropy("77 getrandom(\"\\x01\\x02\", 2, GRND_NONBLOCK) = 2"));
        assert!(!asks_for_entropy("77 +++ exited with 0 +++"));
    }

    #[test]
    fn only_what_more_runs_add_counts() {
        let one = summary(TABLE).expect("strace writes it so");
        let mut more = one.clone();
        more.insert("futex".to_owned(), 90);
        more.insert("openat".to_owned(), 9);
        more.insert("getrandom".to_owned(), 1);
        assert_eq!(added(&one, &more), [("openat".to_owned(), 2), ("getrandom".to_owned(), 1)].into());
    }
}
