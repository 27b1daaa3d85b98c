//! The copy of the workspace that bugs are planted in, and its build. Files that did not change are left alone, so that
//! cargo builds only what did.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::patch::{Bug, apply};

/// Where the switches go.
const SWITCHES: &str = "broker/base/src/planted.rs";
/// The file that names them to the rest of the house, with the line that does.
const HOUSE: &str = "broker/base/src/lib.rs";
const HOUSE_LINE: &str = "pub mod limits;";
/// The runner's end of the switches.
const HOOK: &str = "sim/cli/src/mutants/switch.rs";

/// A copy of the workspace.
#[derive(Debug)]
pub(crate) struct WorkspaceCopy {
    source: PathBuf,
    target: PathBuf,
}

/// The bugs of `ci/planted`, in the order of their files.
///
/// # Errors
/// The file that is no bug.
pub(crate) fn read_bugs(folder: &Path) -> Result<Vec<Bug>> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "planted"));
    paths.sort();
    let mut ids = BTreeSet::new();
    let mut bugs = Vec::new();
    for path in paths {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let bug = Bug::parse(&fs::read_to_string(&path)?).with_context(|| name.clone())?;
        ensure!(name.split('-').next() == Some(&bug.id), "{name} holds {}: the file is named by its bug", bug.id);
        ensure!(ids.insert(bug.id.clone()), "{name}: {} is there twice", bug.id);
        bugs.push(bug);
    }
    Ok(bugs)
}

impl WorkspaceCopy {
    /// The copy below `folder`, which may be there from an earlier time.
    pub(crate) fn below(folder: &Path) -> Self {
        Self { source: folder.join("src"), target: folder.join("target") }
    }

    /// Makes the copy like the workspace with `bugs` planted.
    ///
    /// # Errors
    /// A bug that does not fit; a file that cannot be read or written.
    pub(crate) fn plant(&self, root: &Path, bugs: &[Bug]) -> Result<()> {
        let mut files = workspace_files(root)?;
        let mut sources = BTreeMap::new();
        for path in bugs.iter().flat_map(|bug| &bug.edits).map(|edit| edit.file.as_str()).chain([HOUSE]) {
            if let Some(bytes) = files.get(path) {
                sources.insert(path.to_owned(), String::from_utf8(bytes.clone()).with_context(|| path.to_owned())?);
            }
        }
        apply(bugs, &mut sources)?;
        let house = sources.get_mut(HOUSE).context("the house has no base")?;
        let line = format!("{HOUSE_LINE}\n");
        ensure!(house.matches(&line).count() == 1, "{HOUSE}: `{HOUSE_LINE}` should stand there once");
        *house = house.replacen(&line, &format!("{line}pub mod planted;\n"), 1);
        let ids: Vec<String> = bugs.iter().map(|bug| format!("{:?}", bug.id)).collect();
        let switches = include_str!("planted.txt").replace("/* ids */", &ids.join(", "));
        sources.insert(SWITCHES.to_owned(), switches);
        sources.insert(HOOK.to_owned(), include_str!("switch_planted.txt").to_owned());
        files.extend(sources.into_iter().map(|(path, text)| (path, text.into_bytes())));
        write_all(&self.source, &files)
    }

    /// The text of one file of the copy.
    pub(crate) fn read(&self, path: &str) -> Result<String> {
        fs::read_to_string(self.source.join(path)).with_context(|| path.to_owned())
    }

    /// Replaces the text of one file of the copy.
    pub(crate) fn write(&self, path: &str, text: &str) -> Result<()> {
        fs::write(self.source.join(path), text).with_context(|| path.to_owned())
    }

    /// Where the sources are.
    pub(crate) fn source(&self) -> &Path {
        &self.source
    }

    /// Builds the runner and gives its path. `settings` are handed to cargo's `--config`.
    ///
    /// # Errors
    /// What the compiler said last.
    pub(crate) fn build(&self, profile: &str, settings: &[&str]) -> Result<PathBuf> {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.current_dir(&self.source).env_remove("CARGO_TARGET_DIR");
        cargo.args(["build", "--quiet", "--locked", "--package", "barnabas-sim", "--profile", profile, "--target-dir"]);
        cargo.arg(&self.target);
        for setting in settings {
            cargo.args(["--config", setting]);
        }
        let output = cargo.output().context("cargo does not start")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "the copy does not build:\n{}", first_error(&said));
        let folder = if profile == "dev" { "debug" } else { profile };
        Ok(self.target.join(folder).join("barnabas-sim"))
    }
}

/// From the first error on, at most 30 lines.
fn first_error(said: &str) -> String {
    let lines: Vec<&str> = said.lines().skip_while(|line| !line.starts_with("error")).take(30).collect();
    if lines.is_empty() { said.to_owned() } else { lines.join("\n") }
}

/// The profile that this binary was built with, by the folder it lies in.
///
/// # Errors
/// It does not lie in a target folder.
pub(crate) fn own_profile() -> Result<(PathBuf, String)> {
    let binary = std::env::current_exe().context("where this binary is")?;
    let folder = binary.parent().and_then(Path::file_name).context("the binary lies in a folder")?;
    let profile = match folder.to_string_lossy().as_ref() {
        "debug" => "dev".to_owned(),
        other => other.to_owned(),
    };
    Ok((binary, profile))
}

/// Every file that git knows or would know, by path; cargo's settings are found in the folders above the copy.
fn workspace_files(root: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .context("git does not start")?;
    ensure!(listed.status.success(), "git ls-files: {}", String::from_utf8_lossy(&listed.stderr));
    let names = String::from_utf8(listed.stdout).context("a path that is no text")?;
    let mut files = BTreeMap::new();
    for name in names.split('\0').filter(|name| !name.is_empty() && !name.starts_with(".cargo/")) {
        // Deleted and not yet committed: git still lists it.
        if let Ok(bytes) = fs::read(root.join(name)) {
            files.insert(name.to_owned(), bytes);
        }
    }
    Ok(files)
}

/// Makes `folder` hold exactly `files`.
fn write_all(folder: &Path, files: &BTreeMap<String, Vec<u8>>) -> Result<()> {
    for stale in files_below(folder)?.difference(&files.keys().cloned().collect()) {
        fs::remove_file(folder.join(stale))?;
    }
    for (name, bytes) in files {
        let path = folder.join(name);
        if fs::read(&path).is_ok_and(|there| there == *bytes) {
            continue;
        }
        let parent = path.parent().expect("a file lies in a folder");
        fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
        fs::write(&path, bytes).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

fn files_below(folder: &Path) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        let Ok(entries) = fs::read_dir(&next) else { continue };
        for entry in entries {
            let entry = entry?;
            let path = entry.path();
            if entry.file_type()?.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).expect("it was found below");
                found.insert(name.to_string_lossy().into_owned());
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::root;

    /// A fresh folder of one test.
    fn scratch(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("barnabas-copy-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        folder
    }

    fn files(list: &[(&str, &str)]) -> BTreeMap<String, Vec<u8>> {
        list.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect()
    }

    #[test]
    fn a_copy_follows_its_source_and_leaves_alone_what_is_right() {
        let folder = scratch("follows");
        write_all(&folder, &files(&[("a/one", "1"), ("a/two", "2"), ("b", "3")])).expect("it is written");
        let modified = || fs::metadata(folder.join("b")).and_then(|metadata| metadata.modified()).expect("it is there");
        let before = modified();
        write_all(&folder, &files(&[("a/one", "other"), ("b", "3")])).expect("it is written");
        assert_eq!(files_below(&folder).expect("it can be listed"), BTreeSet::from(["a/one".into(), "b".into()]));
        assert_eq!(fs::read(folder.join("a/one")).expect("it is there"), b"other");
        assert_eq!(modified(), before);
        fs::remove_dir_all(&folder).expect("the folder is ours");
    }

    #[test]
    fn every_planted_bug_fits_the_workspace() {
        let bugs = read_bugs(&root().join("ci/planted")).expect("every file is a bug");
        assert!(bugs.len() >= 40, "{} bugs", bugs.len());
        let folder = scratch("fits");
        let copy = WorkspaceCopy::below(&folder);
        copy.plant(root(), &bugs).expect("every edit has its place");
        let house = copy.read(HOUSE).expect("the house is there");
        assert!(house.contains("pub mod planted;"));
        let switches = copy.read(SWITCHES).expect("the switches are there");
        assert!(bugs.iter().all(|bug| switches.contains(&format!("{:?}", bug.id))));
        fs::remove_dir_all(&folder).expect("the folder is ours");
    }

    #[test]
    fn every_planted_bug_asks_for_its_own_switch() {
        for bug in read_bugs(&root().join("ci/planted")).expect("every file is a bug") {
            let question = format!("barnabas_base::planted::is_on({:?})", bug.id);
            assert!(bug.edits.iter().any(|edit| edit.replace.contains(&question)), "{} is always on", bug.id);
            for edit in &bug.edits {
                let questions = edit.replace.matches("planted::is_on(").count();
                assert_eq!(questions, edit.replace.matches(&question).count(), "{} asks for another bug", bug.id);
            }
        }
    }
}
