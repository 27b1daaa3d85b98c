//! The ledger of a commit: how many seeds of each lane have run on it, with what outcome, and what
//! came up in them. `fuzz` adds to it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;
use serde_json::{Value, json};

use crate::reached::Reached;

/// What has run on one commit.
pub(crate) struct Ledger {
    file: PathBuf,
    content: Value,
}

impl Ledger {
    /// The ledger of what is checked out.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn load() -> Result<Self> {
        let folder = crate::root().join("target/sim-ledger");
        std::fs::create_dir_all(&folder)?;
        let file = folder.join(format!("{}.json", commit()));
        let content = match std::fs::read_to_string(&file) {
            Ok(text) => serde_json::from_str(&text)?,
            Err(_) => json!({ "lanes": {}, "failures": 0, "next": null }),
        };
        Ok(Self { file, content })
    }

    /// Behind the last seed that has run.
    pub(crate) fn next_seed(&self) -> Option<u64> {
        self.content["next"].as_u64()
    }

    /// Adds a sweep.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn add(
        &mut self,
        from: u64,
        by_lane: &BTreeMap<String, u64>,
        failures: u64,
        reached: &Reached,
    ) -> Result<()> {
        let mut all = 0;
        for (lane, seeds) in by_lane {
            let before = self.content["lanes"][lane].as_u64().unwrap_or(0);
            self.content["lanes"][lane] = json!(before + seeds);
            all += seeds;
        }
        let before = self.content["failures"].as_u64().unwrap_or(0);
        self.content["failures"] = json!(before + failures);
        let next = self.next_seed().unwrap_or(0).max(from.saturating_add(all));
        self.content["next"] = json!(next);
        let mut all_reached = self.reached()?;
        all_reached.unite(reached);
        self.content["reached"] = serde_json::to_value(&all_reached)?;
        std::fs::write(&self.file, serde_json::to_string_pretty(&self.content)?)?;
        let failed = before + failures;
        println!("ledger of this commit: {} seeds, {failed} failed; {}", self.seeds(), all_reached.count());
        Ok(())
    }

    /// Seeds of all lanes that have run.
    fn seeds(&self) -> u64 {
        self.content["lanes"].as_object().map_or(0, |lanes| lanes.values().filter_map(Value::as_u64).sum())
    }

    /// Marks and error codes that came up in any of them.
    fn reached(&self) -> Result<Reached> {
        match &self.content["reached"] {
            Value::Null => Ok(Reached::default()),
            reached => Ok(serde_json::from_value(reached.clone())?),
        }
    }

    /// What all the sweeps of the commit together did not prove although they are many.
    ///
    /// # Errors
    /// The file is no ledger.
    pub(crate) fn hollow(&self) -> Result<Vec<String>> {
        Ok(self.reached()?.complaints(self.seeds()))
    }
}

/// The commit that is checked out, with a mark when files differ from it.
pub(crate) fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).current_dir(crate::root()).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"]) else { return "unknown".to_owned() };
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|text| !text.is_empty());
    if changed { format!("{commit}-changed") } else { commit }
}
