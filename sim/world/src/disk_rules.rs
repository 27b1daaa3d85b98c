//! [`DiskRules`]: disk faults that are in force on one node, as rules that each call is held against. The director adds
//! and removes rules, the node's disk asks.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use barnabas_plan::{Call, FileClass};
use barnabas_runtime_madsim::{DiskCall, DiskVerdict};

use crate::files::{is_call, is_of};

/// What a rule does to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It gets this verdict.
    Verdict(DiskVerdict),
    /// It lands so many bytes further back.
    Back(u64),
}

/// One rule.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    /// Position of the fault in the plan.
    pub(crate) fault: usize,
    /// The calls concerned; any when `None`.
    pub(crate) call: Option<Call>,
    /// The files concerned.
    pub(crate) file: FileClass,
    /// What happens.
    pub(crate) effect: Effect,
    /// How many calls it still concerns.
    pub(crate) left: u32,
}

/// The rules of one node, oldest first; the first that fits decides.
#[derive(Debug, Default)]
pub(crate) struct DiskRules {
    rules: Vec<Rule>,
    /// Files in which the device has changed or left out something without saying so.
    damaged: BTreeSet<PathBuf>,
}

impl DiskRules {
    pub(crate) fn add(&mut self, rule: Rule) {
        self.rules.push(rule);
    }

    /// Ends what a fault of the plan had begun.
    pub(crate) fn end(&mut self, fault: usize) {
        self.rules.retain(|rule| rule.fault != fault);
    }

    pub(crate) fn clear(&mut self) {
        self.rules.clear();
    }

    /// The device has lied about this file.
    pub(crate) fn note_damage(&mut self, path: &Path) {
        self.damaged.insert(path.to_owned());
    }

    /// The files about which the device has lied.
    pub(crate) fn damaged(&self) -> impl Iterator<Item = &Path> {
        self.damaged.iter().map(PathBuf::as_path)
    }

    /// Judges a call.
    pub(crate) fn judge(&mut self, call: &DiskCall<'_>) -> DiskVerdict {
        let fits = |rule: &&mut Rule| {
            let is_call = rule.call.is_none_or(|wanted| is_call(wanted, call.kind));
            is_call && is_of(rule.file, call.path, call.kind)
        };
        let Some(rule) = self.rules.iter_mut().find(fits) else { return DiskVerdict::Pass };
        rule.left -= 1;
        let verdict = match rule.effect {
            Effect::Verdict(verdict) => verdict,
            Effect::Back(bytes) => DiskVerdict::Misdirected(call.offset.saturating_sub(bytes)),
        };
        self.rules.retain(|rule| rule.left > 0);
        if matches!(verdict, DiskVerdict::Lost | DiskVerdict::Misdirected(_)) {
            self.note_damage(call.path);
        }
        verdict
    }
}

/// A verdict that holds a call up.
pub(crate) const fn delay_ms(ms: u64) -> Effect {
    Effect::Verdict(DiskVerdict::Delay(Duration::from_millis(ms)))
}

#[cfg(test)]
mod tests {
    use barnabas_runtime_madsim::DiskCallKind;

    use super::*;

    fn write(path: &str) -> DiskCall<'_> {
        DiskCall { kind: DiskCallKind::Write, path: Path::new(path), offset: 0, len: 10, ordinal: 1 }
    }

    #[test]
    fn a_rule_concerns_its_files_as_often_as_it_says() {
        let mut rules = DiskRules::default();
        let effect = Effect::Verdict(DiskVerdict::INPUT_OUTPUT_ERROR);
        rules.add(Rule { fault: 0, call: Some(Call::Write), file: FileClass::Index, effect, left: 2 });
        assert_eq!(rules.judge(&write("/d/t0-0/0.log")), DiskVerdict::Pass);
        assert_eq!(rules.judge(&write("/d/t0-0/0.index")), DiskVerdict::INPUT_OUTPUT_ERROR);
        assert_eq!(rules.judge(&write("/d/t0-0/0.index")), DiskVerdict::INPUT_OUTPUT_ERROR);
        assert_eq!(rules.judge(&write("/d/t0-0/0.index")), DiskVerdict::Pass);
        rules.add(Rule { fault: 1, call: None, file: FileClass::Any, effect, left: u32::MAX });
        rules.end(1);
        assert_eq!(rules.judge(&write("/d/t0-0/0.index")), DiskVerdict::Pass);
        assert_eq!(rules.damaged().count(), 0, "a device that fails says so");
    }

    #[test]
    fn a_file_about_which_the_device_lied_is_remembered() {
        let mut rules = DiskRules::default();
        rules.add(Rule { fault: 0, call: Some(Call::Write), file: FileClass::Index, effect: Effect::Back(4), left: 1 });
        assert_eq!(rules.judge(&write("/d/t0-0/0.log")), DiskVerdict::Pass);
        assert_eq!(rules.judge(&write("/d/t0-0/0.index")), DiskVerdict::Misdirected(0));
        rules.clear();
        assert_eq!(rules.damaged().collect::<Vec<_>>(), [Path::new("/d/t0-0/0.index")]);
    }
}
