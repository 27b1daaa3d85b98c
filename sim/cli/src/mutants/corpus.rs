//! The seed corpus against the planted bugs: a plan that names bugs is red with them and green without.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use barnabas_base::Keyed;
use barnabas_plan::Plan;

use crate::arena::Arena;
use crate::line::Verdict;

/// Folder of the corpus, below the root of the workspace.
pub(crate) const FOLDER: &str = "ci/seeds";

/// Run seeds under which a plan that turned green is tried.
const RUN_SEEDS: u64 = 64;

/// Plans below `folder` that name planted bugs, by path.
///
/// # Errors
/// A file that is no plan.
pub(crate) fn plans(folder: &Path) -> Result<Vec<(PathBuf, Plan)>> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else { return Ok(found) };
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "plan"));
    paths.sort();
    for path in paths {
        let plan = Plan::parse(&fs::read_to_string(&path)?).with_context(|| path.display().to_string())?;
        if !plan.planted.is_empty() {
            found.push((path, plan));
        }
    }
    Ok(found)
}

/// Runs `plan` with its bugs and without; says what is wrong, if anything is. `scratch` takes the plan without.
///
/// # Errors
/// The runner cannot be run.
pub(crate) fn wrong(arena: &dyn Arena, path: &Path, plan: &Plan, scratch: &Path) -> Result<Option<String>> {
    let with = arena.replay(path)?;
    if with.verdict != Verdict::Fail {
        return Ok(Some(format!("is green with {}: search for another seed", plan.planted.join(", "))));
    }
    let clean = Plan { planted: Vec::new(), ..plan.clone() };
    let name = path.file_name().context("a plan has a name")?;
    fs::create_dir_all(scratch)?;
    let without = scratch.join(name);
    fs::write(&without, clean.to_string()).with_context(|| without.display().to_string())?;
    let line = arena.replay(&without)?;
    Ok((line.verdict == Verdict::Fail).then(|| format!("is red without its bug: {}: {}", line.checker, line.what)))
}

/// Judges the whole corpus; true when every plan is as it should be. What a plan does to a broker changes with the broker: one
/// that turned green is tried under other run seeds, and one of them is written into its file if it `renews`.
///
/// # Errors
/// The runner cannot be run; the output is gone.
pub(crate) fn judge(
    arena: &dyn Arena,
    folder: &Path,
    scratch: &Path,
    renews: bool,
    out: &mut dyn Write,
) -> Result<bool> {
    fs::create_dir_all(scratch)?;
    let plans = plans(folder)?;
    let mut passed = true;
    for (path, plan) in &plans {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some(wrong) = wrong(arena, path, plan, scratch)? else {
            writeln!(out, "{name:<40} red with {}, green without", plan.planted.join(", "))?;
            continue;
        };
        match shown_under(arena, plan, scratch)? {
            Some(seed) if renews => {
                fs::write(path, with_run_seed(&fs::read_to_string(path)?, seed))?;
                writeln!(out, "{name:<40} red with {} under run seed {seed:#x}, written", plan.planted.join(", "))?;
            }
            Some(seed) => {
                passed = false;
                writeln!(out, "{name:<40} {wrong}; {seed:#x} shows it, and --renew writes that")?;
            }
            None => {
                passed = false;
                writeln!(out, "{name:<40} {wrong}; none of {RUN_SEEDS} run seeds shows it")?;
            }
        }
    }
    writeln!(out, "{} plans name planted bugs", plans.len())?;
    Ok(passed)
}

/// A run seed under which `plan` is red with its bugs and green without.
fn shown_under(arena: &dyn Arena, plan: &Plan, scratch: &Path) -> Result<Option<u64>> {
    let candidate = scratch.join("candidate.plan");
    for number in 0..RUN_SEEDS {
        let seed = Keyed::new(plan.seed, "run seed of a plan").with(number).below(u64::MAX);
        let plan = Plan { seed, ..plan.clone() };
        fs::write(&candidate, plan.to_string())?;
        if wrong(arena, &candidate, &plan, &scratch.join("without"))?.is_none() {
            return Ok(Some(seed));
        }
    }
    Ok(None)
}

/// The text of a plan with another run seed; its comments stay.
fn with_run_seed(text: &str, seed: u64) -> String {
    let renewed = |line: &str| match line.strip_prefix("run seed=").and_then(|rest| rest.split_once(' ')) {
        Some((_, rest)) => format!("run seed={seed:#x} {rest}\n"),
        None => format!("{line}\n"),
    };
    text.lines().map(renewed).collect()
}

#[cfg(test)]
mod tests {
    use barnabas_plan::Lane;

    use super::super::hunt::tests_support::Fake;
    use super::*;

    /// A folder with one plan of each kind; gone with it.
    struct Seeds(PathBuf);

    impl Seeds {
        fn new(name: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("barnabas-corpus-{name}-{}", std::process::id()));
            fs::create_dir_all(&folder).expect("it can be made");
            for (name, planted) in [("a.plan", "M25"), ("b.plan", "")] {
                let mut plan = Plan::empty(7, Lane::Durable);
                plan.planted.extend((!planted.is_empty()).then(|| planted.to_owned()));
                fs::write(folder.join(name), plan.to_string()).expect("it can be written");
            }
            Self(folder)
        }

        fn judge(&self, renews: bool, fails: impl Fn(&[String], u64) -> bool + Sync) -> (bool, String) {
            let fake = Fake::new(|planted: &[String], _, seed, _| fails(planted, seed).then_some("lost-write"));
            let mut out = Vec::new();
            let passed = judge(&fake, &self.0, &self.0.join("scratch"), renews, &mut out).expect("it runs");
            (passed, String::from_utf8(out).expect("it is text"))
        }
    }

    impl Drop for Seeds {
        fn drop(&mut self) {
            drop(fs::remove_dir_all(&self.0));
        }
    }

    #[test]
    fn a_plan_is_red_with_its_bug_and_green_without() {
        let seeds = Seeds::new("right");
        let (passed, text) = seeds.judge(false, |planted, _| planted == ["M25"]);
        assert!(passed, "{text}");
        assert!(text.contains("red with M25, green without") && text.contains("1 plans"), "{text}");
    }

    #[test]
    fn a_plan_that_turned_green_or_is_red_anyway_is_told() {
        let seeds = Seeds::new("wrong");
        let (passed, text) = seeds.judge(true, |_, _| false);
        assert!(!passed && text.contains("is green with M25"), "{text}");
        let (passed, text) = seeds.judge(true, |_, _| true);
        assert!(!passed && text.contains("is red without its bug: lost-write"), "{text}");
    }

    #[test]
    fn a_plan_that_shows_its_bug_under_another_run_seed_gets_that() {
        let seeds = Seeds::new("another");
        let fails = |planted: &[String], seed| planted == ["M25"] && seed % 5 == 0;
        let path = seeds.0.join("a.plan");
        let before = fs::read_to_string(&path).expect("it is there");
        let (passed, text) = seeds.judge(false, fails);
        assert!(!passed && text.contains("--renew"), "{text}");
        assert_eq!(fs::read_to_string(&path).expect("it is there"), before);
        let (passed, text) = seeds.judge(true, fails);
        assert!(passed && text.contains("written"), "{text}");
        let (passed, text) = seeds.judge(false, fails);
        assert!(passed && text.contains("red with M25, green without"), "{text}");
    }

    #[test]
    fn comments_and_all_but_the_seed_stay() {
        let text = "barnabas plan 1\n# run seed=1 lane=acks\nrun seed=0x7 lane=acks safety_ms=9\nplanted M25\n";
        let renewed = "barnabas plan 1\n# run seed=1 lane=acks\nrun seed=0x2a lane=acks safety_ms=9\nplanted M25\n";
        assert_eq!(with_run_seed(text, 42), renewed);
    }
}
