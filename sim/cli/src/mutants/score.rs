//! The table of a campaign and its score: what people read, and whether the campaign passed.

use std::io::{self, Write};

use super::hunt::{Fate, Hunted, Kill};
use super::patch::{Bug, Kind};

/// The promise that no process panics.
const PANICKED: &str = "panicked";

/// Who or what found a bug, by where it looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Judge {
    /// An invariant of the broker.
    Inside,
    /// A panic, a failed assertion, a process that died or hung.
    Panic,
    /// What clients saw.
    Outside,
}

/// Who stands behind a name. What is no promise is an accident of the process, or of the world in it.
fn judge(checker: &str) -> Judge {
    let promise = barnabas_checkers::ALL.iter().find(|promise| promise.name == checker);
    match promise.map(|promise| promise.kind) {
        None => Judge::Panic,
        Some(_) if checker == PANICKED => Judge::Panic,
        Some(barnabas_checkers::Kind::WhiteBox) => Judge::Inside,
        Some(barnabas_checkers::Kind::BlackBox) => Judge::Outside,
    }
}

/// Writes one row.
///
/// # Errors
/// The output is gone.
pub(crate) fn row(out: &mut dyn Write, bug: &Bug, hunted: &Hunted) -> io::Result<()> {
    let clients = match &hunted.black_box {
        None => "-".to_owned(),
        Some(None) => "NOT SEEN".to_owned(),
        Some(Some(kill)) => format!("{} ({})", kill.checker, kill.after),
    };
    let (fate, lane) = match &hunted.fate {
        Fate::Killed(kill) => (killed(bug, kill), kill.lane.word()),
        Fate::Survived { hits } => (format!("SURVIVED {} seeds, reached {hits} times", hunted.seeds_run), ""),
        Fate::NeverReached => (format!("NEVER REACHED in {} seeds", hunted.seeds_run), ""),
        Fate::Blinds(blinds) => (format!("noticed: {} survives", blinds.join(", ")), ""),
    };
    let median = hunted.median_seeds().map_or_else(String::new, |seeds| seeds.to_string());
    writeln!(out, "{:<5} {fate:<26} {lane:<11} {median:>6}  {clients:<24} {}", bug.id, bug.title)?;
    for passed in &hunted.passed_over {
        writeln!(out, "      passed over seed {:#x} of {}: {}", passed.seed, passed.lane, passed.why)?;
    }
    Ok(())
}

/// The first killer, with a mark when somebody else was expected.
fn killed(bug: &Bug, kill: &Kill) -> String {
    let is_expected = bug.expects.contains(&kill.checker);
    if is_expected { kill.checker.clone() } else { format!("{} (expected {})", kill.checker, bug.expects.join(", ")) }
}

/// Writes the head of the table.
///
/// # Errors
/// The output is gone.
pub(crate) fn head(out: &mut dyn Write) -> io::Result<()> {
    let (fate, lane, median, clients) = ("killed by", "lane", "median", "by clients alone (seeds)");
    writeln!(out, "{:<5} {fate:<26} {lane:<11} {median:>6}  {clients:<24} title", "id")
}

/// The score of a campaign.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Score {
    bugs: usize,
    found: usize,
    inside: usize,
    panics: usize,
    outside: usize,
    must_show: usize,
    shown: usize,
    medians: Vec<u64>,
    missed: Vec<String>,
    seeds_run: u64,
    passed_over: usize,
}

impl Score {
    /// Counts one bug.
    pub(crate) fn count(&mut self, bug: &Bug, hunted: &Hunted) {
        self.bugs += 1;
        self.seeds_run += hunted.seeds_run;
        self.passed_over += hunted.passed_over.len();
        self.medians.extend(hunted.median_seeds());
        if let Fate::Killed(kill) = &hunted.fate {
            match judge(&kill.checker) {
                Judge::Inside => self.inside += 1,
                Judge::Panic => self.panics += 1,
                Judge::Outside => self.outside += 1,
            }
        }
        if bug.kind == Kind::Broker && bug.harm.shows_to_clients() {
            self.must_show += 1;
            self.shown += usize::from(matches!(hunted.black_box, Some(Some(_))));
        }
        if hunted.is_found() {
            self.found += 1;
        } else {
            self.missed.push(bug.id.clone());
        }
    }

    /// Whether everything was found.
    pub(crate) fn passed(&self) -> bool {
        self.missed.is_empty()
    }

    /// Writes it in words.
    ///
    /// # Errors
    /// The output is gone.
    pub(crate) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let Self { bugs, found, inside, panics, outside, must_show, shown, seeds_run, passed_over, .. } = self;
        writeln!(out, "\n{found} of {bugs} planted bugs found in {seeds_run} seeds, {passed_over} passed over")?;
        writeln!(
            out,
            "  first by what the broker shows of itself {inside}, by a panic {panics}, by clients {outside}"
        )?;
        writeln!(out, "  {shown} of {must_show} that lose, duplicate, reorder or misreport: by clients alone too")?;
        let mut medians = self.medians.clone();
        medians.sort_unstable();
        if let (Some(median), Some(worst)) = (medians.get(medians.len() / 2), medians.last()) {
            writeln!(out, "  seeds to kill: median {median}, worst {worst}")?;
        }
        if !self.missed.is_empty() {
            writeln!(out, "  missed: {}", self.missed.join(", "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use barnabas_plan::Lane;

    use super::super::hunt::PassedOver;
    use super::super::hunt::tests_support::bug;
    use super::*;

    fn kill(checker: &str, after: u64) -> Kill {
        Kill { lane: Lane::Durable, seed: after - 1, checker: checker.to_owned(), what: String::new(), after }
    }

    fn hunted(fate: Fate, black_box: Option<Option<Kill>>) -> Hunted {
        let seeds_to_kill = if let Fate::Killed(kill) = &fate { vec![kill.after] } else { Vec::new() };
        Hunted { fate, seeds_to_kill, black_box, seeds_run: 2_000, passed_over: Vec::new() }
    }

    fn text(write: impl Fn(&mut Vec<u8>) -> io::Result<()>) -> String {
        let mut bytes = Vec::new();
        write(&mut bytes).expect("memory takes everything");
        String::from_utf8(bytes).expect("it is text")
    }

    #[test]
    fn rows_say_what_became_of_a_bug() {
        let bug = bug("M25", "loses", "durable");
        let rows = [
            (hunted(Fate::Killed(kill("lost-write", 3)), Some(Some(kill("lost-write", 4)))), "lost-write (4)"),
            (hunted(Fate::Killed(kill("order", 3)), Some(None)), "order (expected lost-write)"),
            (hunted(Fate::Killed(kill("order", 3)), Some(None)), "NOT SEEN"),
            (hunted(Fate::Survived { hits: 9 }, None), "SURVIVED 2000 seeds, reached 9 times"),
            (hunted(Fate::NeverReached, None), "NEVER REACHED in 2000 seeds"),
            (hunted(Fate::Blinds(vec!["M25".to_owned()]), None), "noticed: M25 survives"),
        ];
        for (hunted, expected) in rows {
            let row = text(|out| row(out, &bug, &hunted));
            assert!(row.starts_with("M25") && row.contains(expected) && row.ends_with("t\n"), "{row}");
        }
    }

    #[test]
    fn seeds_that_say_nothing_are_told() {
        let passed = PassedOver { lane: Lane::Raw, seed: 12, why: "red without it: order".to_owned() };
        let hunted = Hunted { passed_over: vec![passed], ..hunted(Fate::Survived { hits: 9 }, None) };
        let text = text(|out| row(out, &bug("M25", "loses", "durable"), &hunted));
        assert!(text.ends_with("      passed over seed 0xc of raw: red without it: order\n"), "{text}");
    }

    #[test]
    fn names_of_checkers_tell_who_judged() {
        for (name, expected) in [
            ("lost-write", Judge::Outside),
            ("settled", Judge::Outside),
            ("disk-log", Judge::Inside),
            ("panicked", Judge::Panic),
            ("crash", Judge::Panic),
            ("world", Judge::Panic),
        ] {
            assert_eq!(judge(name), expected, "{name}");
        }
    }

    #[test]
    fn a_campaign_passes_when_nothing_is_missed() {
        let (loses, none) = (bug("M25", "loses", "durable"), bug("M34", "none", "durable"));
        let mut score = Score::default();
        score.count(&loses, &hunted(Fate::Killed(kill("lost-write", 3)), Some(Some(kill("lost-write", 4)))));
        score.count(&none, &hunted(Fate::Killed(kill("disk-log", 9)), None));
        assert!(score.passed());
        score.count(&bug("M35", "duplicates", "raw"), &hunted(Fate::Killed(kill("panicked", 1)), Some(None)));
        assert!(!score.passed(), "clients did not see it");
        let text = text(|out| score.write(out));
        assert!(text.contains("2 of 3 planted bugs found"), "{text}");
        assert!(text.contains("of itself 1, by a panic 1, by clients 1"), "{text}");
        assert!(text.contains("1 of 2 that lose"), "{text}");
        assert!(text.contains("median 3, worst 9"), "{text}");
        assert!(text.contains("missed: M35"), "{text}");
    }
}
