//! [`Reached`]: which marks and error codes of the broker came up, in a run, in a sweep or in all sweeps of a commit. What
//! never came up in many seeds was not tried out, whatever the sweep says otherwise.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use barnabas_base::{Observation, mark};
use barnabas_history::{Evidence, What};
use barnabas_wire::ErrorCode;
use serde::{Deserialize, Serialize};

use crate::codes::RETURNED;

/// Seeds of a commit from which on a mark or code that never came up is held against its sweeps.
const REACHED_SEEDS_MIN: u64 = 20_000;
/// Most names that a summary lists.
const NAMES_MAX: usize = 12;

/// What came up, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reached {
    /// Marks.
    #[serde(default)]
    marks: BTreeSet<String>,
    /// Error codes that were answered.
    #[serde(default)]
    codes: BTreeSet<String>,
}

/// How much of what there is came up, and the names of what did not although it should.
struct Share {
    reached: usize,
    all: usize,
    never: Vec<&'static str>,
}

impl Reached {
    /// What came up in a run.
    pub(crate) fn of(evidence: &Evidence) -> Self {
        let mut reached = Self::default();
        for step in &evidence.steps {
            let What::Observed { observation, .. } = &step.what else { continue };
            match observation {
                Observation::Mark { name } if !reached.marks.contains(*name) => {
                    reached.marks.insert((*name).to_owned());
                }
                Observation::ErrorReturned { code, .. } => {
                    let name = ErrorCode::from_code(*code).map_or("?", ErrorCode::name);
                    if !reached.codes.contains(name) {
                        reached.codes.insert(name.to_owned());
                    }
                }
                _ => {}
            }
        }
        reached
    }

    /// The names of all that came up.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.marks.iter().chain(&self.codes).map(String::as_str)
    }

    #[cfg(test)]
    pub(crate) fn of_marks_named(names: &[&str]) -> Self {
        Self { marks: names.iter().map(|name| (*name).to_owned()).collect(), codes: BTreeSet::new() }
    }

    /// Adds what came up elsewhere.
    pub(crate) fn unite(&mut self, other: &Self) {
        self.marks.extend(other.marks.iter().cloned());
        self.codes.extend(other.codes.iter().cloned());
    }

    fn of_marks(&self) -> Share {
        share(&self.marks, mark::ALL.iter().map(|mark| (mark.name, mark.rare)))
    }

    fn of_codes(&self) -> Share {
        share(&self.codes, RETURNED.iter().map(|(code, rare)| (code.name(), *rare)))
    }

    /// How much came up, in a few words.
    pub(crate) fn count(&self) -> String {
        let (marks, codes) = (self.of_marks(), self.of_codes());
        format!("marks: {} of {} reached, codes: {} of {}", marks.reached, marks.all, codes.reached, codes.all)
    }

    /// The same, with the names of what never came up.
    pub(crate) fn summary(&self) -> String {
        let never = self.never();
        let mut text = self.count();
        if never.is_empty() {
            return text;
        }
        let _ = write!(text, "; never: {}", never[..never.len().min(NAMES_MAX)].join(", "));
        if never.len() > NAMES_MAX {
            let _ = write!(text, " and {} more", never.len() - NAMES_MAX);
        }
        text
    }

    /// Everything that came up, a line each for marks and codes.
    pub(crate) fn list(&self) -> String {
        let join = |names: &BTreeSet<String>| names.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
        format!("marks: {}\ncodes: {}", join(&self.marks), join(&self.codes))
    }

    /// Marks and codes that never came up and are not listed with a reason.
    fn never(&self) -> Vec<&'static str> {
        let mut never = self.of_marks().never;
        never.extend(self.of_codes().never);
        never
    }

    /// What `seeds` seeds of a commit should have reached and did not.
    pub(crate) fn complaints(&self, seeds: u64) -> Vec<String> {
        if seeds < REACHED_SEEDS_MIN {
            return Vec::new();
        }
        let marks = self.of_marks().never.into_iter().map(|name| format!("the mark `{name}`"));
        let codes = self.of_codes().never.into_iter().map(|name| format!("the error code {name}"));
        marks.chain(codes).map(|what| format!("{what} never came up in {seeds} seeds of this commit")).collect()
    }
}

fn share(
    reached: &BTreeSet<String>,
    all: impl ExactSizeIterator<Item = (&'static str, Option<&'static str>)>,
) -> Share {
    let mut share = Share { reached: 0, all: all.len(), never: Vec::new() };
    for (name, rare) in all {
        if reached.contains(name) {
            share.reached += 1;
        } else if rare.is_none() {
            share.never.push(name);
        }
    }
    share
}

#[cfg(test)]
mod tests {
    use super::*;

    fn everything() -> Reached {
        Reached {
            marks: mark::ALL.iter().map(|mark| mark.name.to_owned()).collect(),
            codes: RETURNED.iter().map(|(code, _)| code.name().to_owned()).collect(),
        }
    }

    #[test]
    fn what_never_came_up_is_told_once_there_were_seeds_enough() {
        let mut reached = everything();
        assert_eq!(reached.complaints(REACHED_SEEDS_MIN), Vec::<String>::new());
        reached.marks.remove(mark::LOG_CLEANED.name);
        reached.codes.remove(ErrorCode::OffsetOutOfRange.name());
        assert_eq!(reached.complaints(REACHED_SEEDS_MIN - 1), Vec::<String>::new(), "too few to tell");
        assert_eq!(
            reached.complaints(REACHED_SEEDS_MIN),
            [
                "the mark `log-cleaned` never came up in 20000 seeds of this commit",
                "the error code OFFSET_OUT_OF_RANGE never came up in 20000 seeds of this commit",
            ]
        );
        assert!(reached.summary().ends_with("; never: log-cleaned, OFFSET_OUT_OF_RANGE"), "{}", reached.summary());
    }

    #[test]
    fn what_is_listed_with_a_reason_may_stay_away() {
        let mut reached = everything();
        reached.marks.retain(|name| mark::ALL.iter().any(|mark| mark.name == name && mark.rare.is_none()));
        reached.codes.retain(|name| RETURNED.iter().any(|(code, rare)| code.name() == name && rare.is_none()));
        assert_ne!(reached, everything(), "some are listed");
        assert_eq!(reached.complaints(REACHED_SEEDS_MIN), Vec::<String>::new());
    }

    #[test]
    fn a_summary_stays_short() {
        let summary = Reached::default().summary();
        assert!(summary.starts_with("marks: 0 of ") && summary.ends_with(" more"), "{summary}");
        assert!(summary.len() < 600, "{summary}");
    }
}
