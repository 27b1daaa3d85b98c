//! The seed corpus against the planted bugs: a plan that names bugs is red with them and green without.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use barnabas_plan::Plan;

use crate::arena::Arena;
use crate::line::Verdict;

/// Folder of the corpus, below the root of the workspace.
pub(crate) const FOLDER: &str = "ci/seeds";

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
    let without = scratch.join(name);
    fs::write(&without, clean.to_string()).with_context(|| without.display().to_string())?;
    let line = arena.replay(&without)?;
    Ok((line.verdict == Verdict::Fail).then(|| format!("is red without its bug: {}: {}", line.checker, line.what)))
}

/// Judges the whole corpus; true when every plan is as it should be.
///
/// # Errors
/// The runner cannot be run; the output is gone.
pub(crate) fn judge(arena: &dyn Arena, folder: &Path, scratch: &Path, out: &mut dyn Write) -> Result<bool> {
    fs::create_dir_all(scratch)?;
    let plans = plans(folder)?;
    let mut passed = true;
    for (path, plan) in &plans {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match wrong(arena, path, plan, scratch)? {
            None => writeln!(out, "{name:<40} red with {}, green without", plan.planted.join(", "))?,
            Some(wrong) => {
                passed = false;
                writeln!(out, "{name:<40} {wrong}")?;
            }
        }
    }
    writeln!(out, "{} plans name planted bugs", plans.len())?;
    Ok(passed)
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

        fn judge(&self, fails: impl Fn(&[String]) -> bool + Sync) -> (bool, String) {
            let fake = Fake::new(|planted: &[String], _, _, _| fails(planted).then_some("lost-write"));
            let mut out = Vec::new();
            let passed = judge(&fake, &self.0, &self.0.join("scratch"), &mut out).expect("it runs");
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
        let (passed, text) = seeds.judge(|planted| planted == ["M25"]);
        assert!(passed, "{text}");
        assert!(text.contains("red with M25, green without") && text.contains("1 plans"), "{text}");
    }

    #[test]
    fn a_plan_that_turned_green_or_is_red_anyway_is_told() {
        let seeds = Seeds::new("wrong");
        let (passed, text) = seeds.judge(|_| false);
        assert!(!passed && text.contains("is green with M25"), "{text}");
        let (passed, text) = seeds.judge(|_| true);
        assert!(!passed && text.contains("is red without its bug: lost-write"), "{text}");
    }
}
