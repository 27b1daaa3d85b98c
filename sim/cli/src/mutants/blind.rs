//! The blind sample: mutants that nobody chose, drawn by a seed from what cargo-mutants can do to the crates that hold
//! the promises, each built alone and given to the simulator, without any unit test.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

use anyhow::{Context, Result, ensure};
use barnabas_base::Keyed;
use barnabas_plan::Lane;
use serde_json::Value;

use super::chase::chase;
use super::copy::WorkspaceCopy;
use crate::arena::{Arena, Binary, Range};
use crate::expected::{Counts, Expected};

/// Crates that are drawn from.
const PACKAGES: [&str; 4] = ["barnabas-commitlog", "barnabas-logstate", "barnabas-group", "barnabas-metadata"];
/// What no simulated run can reach: the dump for people, and text for logs.
const EXCLUDED_FILES: &str = "broker/commitlog/src/dump/**";
const EXCLUDED_FUNCTIONS: &str = "::fmt ->";
/// The tool and its release.
const TOOL: &str = "cargo-mutants";
const TOOL_VERSION: &str = "27.1.0";
/// Builds of one mutant each: what did not change is not compiled again, and nobody debugs them.
const PROFILE: &str = "sim";
const QUICK_BUILD: [&str; 2] = ["profile.sim.codegen-units=64", "profile.sim.debug=false"];
/// Seeds of each lane before any lane goes on: most mutants die of one of the first, in a lane that nobody can tell.
const FIRST_SEEDS: u64 = 10;
/// What the names of runners begin with.
const RUNNER: &str = "mutant-";
/// Killed at least, of a hundred.
const KILLED_PERCENT_MIN: usize = 70;

/// A place in a file: line and column from 1, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    line: u64,
    column: u64,
}

/// One mutant.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mutant {
    /// Where and what, in words.
    name: String,
    file: String,
    from: Place,
    to: Place,
    replacement: String,
}

/// How many mutants, and how they are run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Blind {
    /// Mutants that build.
    pub(crate) count: usize,
    /// The place in the draw of the first one.
    pub(crate) from: usize,
    /// Which ones.
    pub(crate) draw_seed: u64,
    /// Seeds of each lane.
    pub(crate) lane_seeds: u64,
}

/// What became of a mutant.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fate {
    /// In one lane, unless it takes all of them to see it.
    Killed {
        checker: String,
        lane: Option<Lane>,
        after: u64,
    },
    Survived,
}

impl Mutant {
    fn read(json: &Value) -> Option<Self> {
        let place = |end: &str| {
            let place = &json["span"][end];
            Some(Place { line: place["line"].as_u64()?, column: place["column"].as_u64()? })
        };
        let word = |key: &str| json[key].as_str().map(str::to_owned);
        Some(Self {
            name: word("name")?,
            file: word("file")?,
            from: place("start")?,
            to: place("end")?,
            replacement: word("replacement")?,
        })
    }

    /// The file with the mutant in it.
    fn apply(&self, text: &str) -> Result<String> {
        let (from, to) = (position(text, self.from), position(text, self.to));
        let (Some(from), Some(to)) = (from, to) else { anyhow::bail!("{}: there is no such place", self.name) };
        ensure!(from <= to, "{}: it ends before it begins", self.name);
        Ok(format!("{}{}{}", &text[..from], self.replacement, &text[to..]))
    }
}

/// Bytes before a place.
fn position(text: &str, place: Place) -> Option<usize> {
    let mut start = 0;
    for (number, line) in (1..).zip(text.split_inclusive('\n')) {
        if number == place.line {
            let column = usize::try_from(place.column).ok()?.checked_sub(1)?;
            let within = line.char_indices().map(|(at, _)| at).chain([line.len()]).nth(column)?;
            return Some(start + within);
        }
        start += line.len();
    }
    None
}

/// All of them in the order of the draw: each mutant's place depends on its name alone, not on what else there is.
fn drawn(mut mutants: Vec<Mutant>, seed: u64) -> Vec<Mutant> {
    let key = |mutant: &Mutant| {
        let name = barnabas_base::keyed_hash(0, mutant.name.as_bytes());
        (Keyed::new(seed, "blind mutant").with(name).below(u64::MAX), mutant.name.clone())
    };
    mutants.sort_by_cached_key(key);
    mutants
}

/// Runs the sample; true when enough died.
///
/// # Errors
/// The tool, the compiler or the runner cannot be run.
pub(crate) fn run(blind: &Blind, root: &Path, folder: &Path, tools: &Path, out: &mut dyn Write) -> Result<bool> {
    let copy = WorkspaceCopy::below(folder);
    copy.plant(root, &[])?;
    let all = list(&install(tools)?, copy.source())?;
    writeln!(
        out,
        "{} mutants of {}; {} are drawn by {:#x}, from place {} on",
        all.len(),
        PACKAGES.join(", "),
        blind.count,
        blind.draw_seed,
        blind.from
    )?;
    let healthy = copy.build(PROFILE, &QUICK_BUILD)?;
    let expected = Expected::load()?;
    if let Fate::Killed { checker, lane, after } = judge(&Binary::new(healthy), blind.lane_seeds, &expected)? {
        anyhow::bail!("without any mutant, {checker} fails a seed of {} after {after}", place_of(lane));
    }
    let mut tally = Tally::default();
    // While one is judged, the next is built.
    thread::scope(|scope| {
        let (sender, built) = sync_channel(1);
        let copy = &copy;
        let drawn = drawn(all, blind.draw_seed).into_iter().enumerate().skip(blind.from);
        scope.spawn(move || build_all(copy, drawn, folder, &sender));
        while tally.built() < blind.count {
            let Ok((place, mutant, binary)) = built.recv() else { break };
            let Some(binary) = binary? else { continue };
            let fate = judge(&Binary::new(binary.clone()), blind.lane_seeds, &expected)?;
            std::fs::remove_file(&binary).with_context(|| binary.display().to_string())?;
            tally.count(place, &mutant, fate, out)?;
        }
        Ok::<(), anyhow::Error>(())
    })?;
    remove_runners(folder)?;
    tally.write(out)
}

/// A mutant with its place in the draw and its runner, unless it does not build.
type Built = (usize, Mutant, Result<Option<PathBuf>>);

/// Builds one mutant after the other until nobody wants any more.
fn build_all(
    copy: &WorkspaceCopy,
    mutants: impl Iterator<Item = (usize, Mutant)>,
    folder: &Path,
    sender: &SyncSender<Built>,
) {
    for (place, mutant) in mutants {
        let binary = build_one(copy, &mutant, &folder.join(format!("{RUNNER}{place}")));
        if sender.send((place, mutant, binary)).is_err() {
            return;
        }
    }
}

/// What was built and is judged by nobody, because the sample is complete.
fn remove_runners(folder: &Path) -> Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(RUNNER) {
            std::fs::remove_file(entry.path()).with_context(|| entry.path().display().to_string())?;
        }
    }
    Ok(())
}

/// Builds one mutant, and takes it out of the sources again. The next one is built over it: its runner goes to a place of
/// its own.
fn build_one(copy: &WorkspaceCopy, mutant: &Mutant, place: &Path) -> Result<Option<PathBuf>> {
    let before = copy.read(&mutant.file)?;
    copy.write(&mutant.file, &mutant.apply(&before)?)?;
    let built = copy.build(PROFILE, &QUICK_BUILD);
    copy.write(&mutant.file, &before)?;
    let Ok(built) = built else { return Ok(None) };
    std::fs::copy(&built, place).with_context(|| place.display().to_string())?;
    Ok(Some(place.to_owned()))
}

/// All lanes, until a seed fails; where none does, what does not come up any more. The seeds are those that passed without a
/// mutant.
fn judge(arena: &dyn Arena, lane_seeds: u64, expected: &Expected) -> Result<Fate> {
    let mut after = 0;
    let mut counts = Counts::default();
    let first = FIRST_SEEDS.min(lane_seeds);
    let every_lane = |from, seeds| Lane::ALL.iter().map(move |lane| (*lane, from, seeds));
    for (lane, from, seeds) in every_lane(0, first).chain(every_lane(first, lane_seeds - first)) {
        let range = Range { lane: Some(lane), from, seeds, planted: &[], is_black_box: false, stops_at_first: true };
        let chased = chase(arena, &range)?;
        after += chased.seeds_run;
        counts.unite(&chased.counts);
        if let Some(failed) = chased.failed {
            return Ok(Fate::Killed { checker: failed.checker, lane: Some(lane), after });
        }
        if let Some((seed, what)) = chased.interrupted.first() {
            anyhow::bail!("seed {seed:#x} of {lane} could not be run: {what}");
        }
    }
    Ok(match expected.missing(&counts).into_iter().next() {
        Some(silence) => Fate::Killed { checker: format!("no `{}`", silence.name), lane: silence.lane, after },
        None => Fate::Survived,
    })
}

fn place_of(lane: Option<Lane>) -> String {
    lane.map_or_else(|| "all lanes".to_owned(), |lane| lane.to_string())
}

/// The tool below `tools`, installed when it is missing.
fn install(tools: &Path) -> Result<PathBuf> {
    let path = tools.join("bin").join(TOOL);
    if !path.is_file() {
        let mut cargo = Command::new("cargo");
        cargo.args(["install", TOOL, "--version", TOOL_VERSION, "--locked", "--quiet", "--root"]).arg(tools);
        let status = cargo.status().context("cargo does not start")?;
        ensure!(status.success(), "cargo install {TOOL}: {status}");
    }
    Ok(path)
}

/// Every mutant there is.
fn list(tool: &Path, source: &Path) -> Result<Vec<Mutant>> {
    let mut command = Command::new(tool);
    command.current_dir(source).args(["mutants", "--list", "--json"]);
    command.args(["--exclude", EXCLUDED_FILES, "--exclude-re", EXCLUDED_FUNCTIONS]);
    command.args(PACKAGES.iter().flat_map(|package| ["--package", package]));
    let output = command.output().context("cargo-mutants does not start")?;
    ensure!(output.status.success(), "cargo-mutants: {}", String::from_utf8_lossy(&output.stderr));
    read_list(&output.stdout)
}

fn read_list(json: &[u8]) -> Result<Vec<Mutant>> {
    let json: Value = serde_json::from_slice(json).context("cargo-mutants prints JSON")?;
    let all = json.as_array().context("cargo-mutants prints a list")?;
    all.iter().map(|one| Mutant::read(one).with_context(|| format!("not a mutant: {one}"))).collect()
}

/// What became of all.
#[derive(Debug, Default)]
struct Tally {
    killed: usize,
    survivors: Vec<String>,
    by: BTreeMap<String, usize>,
}

impl Tally {
    fn built(&self) -> usize {
        self.killed + self.survivors.len()
    }

    fn count(&mut self, place: usize, mutant: &Mutant, fate: Fate, out: &mut dyn Write) -> Result<()> {
        match fate {
            Fate::Survived => {
                writeln!(out, "{place:>4} SURVIVED  {}", mutant.name)?;
                self.survivors.push(mutant.name.clone());
            }
            Fate::Killed { checker, lane, after } => {
                writeln!(
                    out,
                    "{place:>4} killed    {} by {checker} in {} after {after} seeds",
                    mutant.name,
                    place_of(lane)
                )?;
                self.killed += 1;
                *self.by.entry(checker).or_default() += 1;
            }
        }
        Ok(())
    }

    fn write(&self, out: &mut dyn Write) -> Result<bool> {
        let built = self.built();
        let by: Vec<String> = self.by.iter().map(|(checker, count)| format!("{checker} {count}")).collect();
        writeln!(out, "{} of {built} killed ({})", self.killed, by.join(", "))?;
        for survivor in &self.survivors {
            writeln!(out, "  survived: {survivor}")?;
        }
        Ok(built > 0 && self.killed * 100 >= built * KILLED_PERCENT_MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::super::hunt::tests_support::Fake;
    use super::*;

    const LIST: &str = r#"[{"name":"a.rs:2:5: replace f with 1","file":"a.rs","genre":"FnValue","package":"p",
        "replacement":"1","span":{"start":{"line":2,"column":5},"end":{"line":2,"column":10}}}]"#;

    #[test]
    fn a_mutant_takes_the_place_of_its_span() {
        let mutants = read_list(LIST.as_bytes()).expect("it is a list");
        assert_eq!(mutants[0].apply("fn f() {\n    é + 2\n}\n").expect("it fits"), "fn f() {\n    1\n}\n");
        assert!(mutants[0].apply("fn f() {}\n").is_err());
        assert!(read_list(b"[{}]").is_err());
    }

    #[test]
    fn the_draw_follows_the_seed_and_not_the_company() {
        let named =
            |name: u32| Mutant { name: name.to_string(), ..read_list(LIST.as_bytes()).expect("a list")[0].clone() };
        let order = |mutants: Vec<Mutant>| mutants.into_iter().map(|mutant| mutant.name).collect::<Vec<_>>();
        let all = order(drawn((0..20).map(named).collect(), 1));
        assert_ne!(all, order(drawn((0..20).map(named).collect(), 2)));
        let fewer = order(drawn((0..20).filter(|name| *name != 7).map(named).collect(), 1));
        assert_eq!(fewer, all.into_iter().filter(|name| name != "7").collect::<Vec<_>>());
    }

    #[test]
    fn every_lane_has_a_say() {
        let raw = |_: &[String], lane, seed, _| (lane == Lane::Raw && seed == 3).then_some("order");
        let fate = judge(&Fake::new(raw), 5, &Expected::default()).expect("it runs");
        let before = 5 * Lane::ALL.iter().take_while(|lane| **lane != Lane::Raw).count() as u64;
        assert_eq!(fate, Fate::Killed { checker: "order".to_owned(), lane: Some(Lane::Raw), after: before + 4 });
        let fine = Fake::new(|_: &[String], _, _, _| None);
        assert_eq!(judge(&fine, 5, &Expected::default()).expect("it runs"), Fate::Survived);
    }

    #[test]
    fn no_lane_goes_on_before_every_lane_had_its_first_seeds() {
        let late = |_: &[String], lane, seed, _| {
            let is_first = lane == Lane::ALL[0] && seed == FIRST_SEEDS;
            (is_first || lane == Lane::Raw && seed == FIRST_SEEDS + 1).then_some("order")
        };
        let fate = judge(&Fake::new(late), FIRST_SEEDS + 2, &Expected::default()).expect("it runs");
        let after = FIRST_SEEDS * Lane::ALL.len() as u64 + 1;
        assert_eq!(fate, Fate::Killed { checker: "order".to_owned(), lane: Some(Lane::ALL[0]), after });
    }

    #[test]
    fn seven_of_ten_must_die() {
        let mutant = read_list(LIST.as_bytes()).expect("it is a list").remove(0);
        let tally = |killed: usize, survived: usize| {
            let (mut tally, mut out) = (Tally::default(), Vec::new());
            let kill = Fate::Killed { checker: "disk-log".to_owned(), lane: Some(Lane::Raw), after: 1 };
            let fates = vec![kill; killed].into_iter().chain(vec![Fate::Survived; survived]);
            fates.for_each(|fate| tally.count(0, &mutant, fate, &mut out).expect("memory takes everything"));
            tally.write(&mut out).expect("memory takes everything")
        };
        assert!(tally(7, 3) && !tally(6, 4) && !tally(0, 0));
    }
}
