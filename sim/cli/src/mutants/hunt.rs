//! One planted bug against the campaign: which seed of its lanes finds it, by whom, after how many, and whether clients
//! alone see it.

use anyhow::Result;
use barnabas_plan::Lane;

use super::chase::chase;
use super::patch::{Bug, Kind};
use crate::arena::{Arena, Range};
use crate::line::Line;

/// How much is run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    /// Seeds of a lane before the next is tried, and of each further range.
    pub(crate) seeds: u64,
    /// Seeds of each lane until a bug has survived.
    pub(crate) survivor_seeds: u64,
    /// Ranges of seeds over which the median is taken.
    pub(crate) ranges: u64,
}

/// Ranges begin this far from one another, so that they never overlap.
const RANGE_STRIDE: u64 = 1_000_000;

/// A seed that found a bug.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kill {
    pub(crate) lane: Lane,
    pub(crate) seed: u64,
    pub(crate) checker: String,
    pub(crate) what: String,
    /// How many seeds were run, this one included.
    pub(crate) after: u64,
}

/// A seed that says nothing of a bug.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PassedOver {
    pub(crate) lane: Lane,
    pub(crate) seed: u64,
    /// Why not.
    pub(crate) why: String,
}

/// What became of a bug.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Found.
    Killed(Kill),
    /// Reached so often and never found.
    Survived { hits: u64 },
    /// No seed got there.
    NeverReached,
    /// Of the simulator: with it these bugs are not found any more, which is how it shows.
    Blinds(Vec<String>),
}

/// All that is known of a bug after the hunt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hunted {
    pub(crate) fate: Fate,
    /// Seeds to kill in each range that killed it.
    pub(crate) seeds_to_kill: Vec<u64>,
    /// By clients alone; `None` where nobody asked.
    pub(crate) black_box: Option<Option<Kill>>,
    /// Seeds that were run.
    pub(crate) seeds_run: u64,
    /// Those that say nothing of the bug.
    pub(crate) passed_over: Vec<PassedOver>,
}

impl Hunted {
    /// Whether the bug counts as found, by clients too where they must see it.
    pub(crate) const fn is_found(&self) -> bool {
        let is_seen = !matches!(self.black_box, Some(None));
        is_seen && matches!(self.fate, Fate::Killed(_) | Fate::Blinds(_))
    }

    /// The median over the ranges.
    pub(crate) fn median_seeds(&self) -> Option<u64> {
        let mut seeds = self.seeds_to_kill.clone();
        seeds.sort_unstable();
        seeds.get(seeds.len() / 2).copied()
    }
}

/// Hunts `bug`.
///
/// # Errors
/// The runner cannot be run.
pub(crate) fn hunt(arena: &dyn Arena, bug: &Bug, effort: &Effort) -> Result<Hunted> {
    let mut hunter = Hunter { arena, effort, seeds_run: 0, hits: 0, passed_over: Vec::new() };
    let planted = [bug.id.clone()];
    let first = hunter.first_kill(bug, &planted, false)?;
    let mut seeds_to_kill: Vec<u64> = first.iter().map(|kill| kill.after).collect();
    let fate = match (first, &bug.kind) {
        (Some(kill), _) => {
            for number in 1..effort.ranges {
                let range = hunter.range(kill.lane, number * RANGE_STRIDE, effort.seeds, &planted);
                seeds_to_kill.extend(hunter.run(&range)?.map(|kill| kill.after));
            }
            Fate::Killed(kill)
        }
        (None, Kind::Harness { blinds }) => hunter.blinded(bug, blinds)?,
        (None, Kind::Broker) if hunter.hits == 0 => Fate::NeverReached,
        (None, Kind::Broker) => Fate::Survived { hits: hunter.hits },
    };
    let black_box = match (&fate, bug.harm.shows_to_clients()) {
        (Fate::Killed(_), true) => Some(hunter.first_kill(bug, &planted, true)?),
        _ => None,
    };
    let Hunter { seeds_run, passed_over, .. } = hunter;
    Ok(Hunted { fate, seeds_to_kill, black_box, seeds_run, passed_over })
}

struct Hunter<'a> {
    arena: &'a dyn Arena,
    effort: &'a Effort,
    seeds_run: u64,
    hits: u64,
    passed_over: Vec<PassedOver>,
}

impl Hunter<'_> {
    const fn range<'a>(&self, lane: Lane, from: u64, seeds: u64, planted: &'a [String]) -> Range<'a> {
        Range { lane: Some(lane), from, seeds, planted, is_black_box: false, stops_at_first: true }
    }

    /// Every lane for a while, then every lane for long.
    fn first_kill(&mut self, bug: &Bug, planted: &[String], is_black_box: bool) -> Result<Option<Kill>> {
        let short = (0, self.effort.seeds);
        let long = (self.effort.seeds, self.effort.survivor_seeds.saturating_sub(self.effort.seeds));
        for (from, seeds) in [short, long] {
            for lane in bug.lanes.iter().copied().filter(|_| seeds > 0) {
                let range = Range { is_black_box, ..self.range(lane, from, seeds, planted) };
                if let Some(kill) = self.run(&range)? {
                    return Ok(Some(Kill { after: from + kill.after, ..kill }));
                }
            }
        }
        Ok(None)
    }

    /// The first seed of a range that fails with the bugs and not without. One that fails without them too says nothing.
    fn run(&mut self, range: &Range<'_>) -> Result<Option<Kill>> {
        let mut after = 0;
        while after < range.seeds {
            let rest = Range { from: range.from + after, seeds: range.seeds - after, ..*range };
            let Some(failed) = self.chase(&rest, &mut after)? else { return Ok(None) };
            let without = Range { from: failed.seed, seeds: 1, planted: &[], ..*range };
            let Some(red) = self.chase(&without, &mut 0)? else {
                let Line { seed, lane, checker, what, .. } = failed;
                return Ok(Some(Kill { lane, seed, checker, what, after }));
            };
            let why = format!("red without it: {}: {}", red.checker, red.what);
            self.pass_over(PassedOver { lane: red.lane, seed: red.seed, why });
        }
        Ok(None)
    }

    fn chase(&mut self, range: &Range<'_>, after: &mut u64) -> Result<Option<Line>> {
        let chased = chase(self.arena, range)?;
        *after += chased.seeds_run;
        self.seeds_run += chased.seeds_run;
        self.hits += chased.hits;
        for (seed, why) in chased.interrupted {
            self.pass_over(PassedOver { lane: range.lane_of(seed), seed, why });
        }
        Ok(chased.failed)
    }

    /// Counts it once, though clients alone judge it a second time.
    fn pass_over(&mut self, passed: PassedOver) {
        if !self.passed_over.iter().any(|other| (other.lane, other.seed) == (passed.lane, passed.seed)) {
            self.passed_over.push(passed);
        }
    }

    /// A simulator that is broken and passes must hide bugs that are found otherwise: all of them.
    fn blinded(&mut self, bug: &Bug, blinds: &[String]) -> Result<Fate> {
        let hits = self.hits;
        for blinded in blinds {
            let planted = [blinded.clone(), bug.id.clone()];
            for lane in &bug.lanes {
                let range = self.range(*lane, 0, self.effort.seeds, &planted);
                if self.run(&range)?.is_some() {
                    return Ok(if hits == 0 { Fate::NeverReached } else { Fate::Survived { hits } });
                }
            }
        }
        Ok(if hits == 0 { Fate::NeverReached } else { Fate::Blinds(blinds.to_vec()) })
    }
}

#[cfg(test)]
pub(crate) mod tests_support {
    use std::cell::RefCell;
    use std::ops::ControlFlow;
    use std::path::Path;
    use std::sync::Mutex;

    use super::*;
    use crate::arena::{Ended, Shrunk};
    use crate::line::Verdict;

    /// A runner whose seeds fail as `fails` says: by bugs, lane, seed and whether only clients judge.
    pub(crate) struct Fake<F> {
        pub(crate) fails: F,
        pub(crate) hits: u64,
        pub(crate) asked: Mutex<RefCell<Vec<String>>>,
    }

    impl<F: Fn(&[String], Lane, u64, bool) -> Option<&'static str> + Sync> Fake<F> {
        pub(crate) fn new(fails: F) -> Self {
            Self { fails, hits: 1, asked: Mutex::default() }
        }

        fn line(lane: Lane, seed: u64, found: Option<&'static str>, planted_hits: u64) -> Line {
            Line {
                verdict: if found.is_some() { Verdict::Fail } else { Verdict::Pass },
                checker: found.unwrap_or_default().to_owned(),
                what: String::new(),
                hash: format!("{seed:#x}"),
                planted_hits,
                ..Line::accident(seed, lane, "replaced".to_owned())
            }
        }
    }

    impl<F: Fn(&[String], Lane, u64, bool) -> Option<&'static str> + Sync> Arena for Fake<F> {
        fn fuzz(&self, range: &Range<'_>, each: &mut dyn FnMut(Line) -> ControlFlow<()>) -> Result<Ended> {
            let asked = self.asked.lock().expect("nobody panics");
            asked.borrow_mut().push(format!("{} {}+{} {:?}", range.lane_of(0), range.from, range.seeds, range.planted));
            for seed in range.from..range.from + range.seeds {
                let found = (self.fails)(range.planted, range.lane_of(seed), seed, range.is_black_box);
                let hits = if range.planted.is_empty() { 0 } else { self.hits };
                let line = Self::line(range.lane_of(seed), seed, found, hits);
                if each(line).is_break() || found.is_some() && range.stops_at_first {
                    break;
                }
            }
            Ok(Ended::Well)
        }

        fn replay(&self, plan: &Path) -> Result<Line> {
            let text = std::fs::read_to_string(plan)?;
            let plan = barnabas_plan::Plan::parse(&text)?;
            let found = (self.fails)(&plan.planted, plan.lane, plan.seed, false);
            Ok(Self::line(plan.lane, plan.seed, found, 0))
        }

        fn shrink(&self, seed: u64, lane: Lane, planted: &[String], out: &Path) -> Result<Shrunk> {
            let mut plan = barnabas_plan::Plan::empty(seed, lane);
            plan.planted = planted.to_vec();
            std::fs::write(out, plan.to_string())?;
            Ok(Shrunk { faults: 3, operations: 8, took_ms: 10 })
        }
    }

    /// A bug without edits.
    pub(crate) fn bug(id: &str, harm: &str, lanes: &str) -> Bug {
        let text = format!(
            "id {id}\ntitle t\nre-enacts r\nharm {harm}\nlanes {lanes}\nexpects lost-write\n\n@ file f\n@ find\nx\n@ replace\ny\n@ end\n"
        );
        Bug::parse(&text).expect("it is sound")
    }
}

#[cfg(test)]
mod tests {
    use super::tests_support::{Fake, bug};
    use super::*;

    const EFFORT: Effort = Effort { seeds: 10, survivor_seeds: 30, ranges: 3 };

    fn hunt_all(arena: &dyn Arena, bug: &Bug) -> Hunted {
        hunt(arena, bug, &EFFORT).expect("it runs")
    }

    fn is_planted(planted: &[String], id: &str) -> bool {
        planted.iter().any(|planted| planted == id)
    }

    #[test]
    fn the_first_lane_that_finds_it_counts_and_is_confirmed() {
        let fails = |planted: &[String], lane, seed, _| {
            let is_found = is_planted(planted, "M25") && lane == Lane::Acks && seed % RANGE_STRIDE == 4;
            is_found.then_some("lost-write")
        };
        let fake = Fake::new(fails);
        let hunted = hunt_all(&fake, &bug("M25", "loses", "durable acks"));
        let Fate::Killed(kill) = &hunted.fate else { panic!("{:?}", hunted.fate) };
        assert_eq!((kill.lane, kill.seed, kill.after, kill.checker.as_str()), (Lane::Acks, 4, 5, "lost-write"));
        assert_eq!((hunted.median_seeds(), hunted.seeds_to_kill.len()), (Some(5), 3));
        assert!(matches!(&hunted.black_box, Some(Some(_))));
        assert!(hunted.is_found());
        let asked = fake.asked.into_inner().expect("nobody panics").into_inner();
        assert!(asked.contains(&"acks 4+1 []".to_owned()), "{asked:?}");
    }

    #[test]
    fn a_survivor_is_given_more_seeds_and_told_from_one_never_reached() {
        let hunted = hunt_all(&Fake::new(|_: &[String], _, _, _| None), &bug("M26", "loses", "durable raw"));
        assert_eq!((hunted.fate.clone(), hunted.seeds_run), (Fate::Survived { hits: 60 }, 60));
        assert!(!hunted.is_found());
        let never = Fake { hits: 0, ..Fake::new(|_: &[String], _, _, _| None) };
        let hunted = hunt_all(&never, &bug("M26", "loses", "durable"));
        assert_eq!(hunted.fate, Fate::NeverReached);
    }

    #[test]
    fn a_late_kill_counts_all_seeds_before_it() {
        let late = |planted: &[String], _, seed, _| (is_planted(planted, "M26") && seed == 25).then_some("disk-log");
        let hunted = hunt_all(&Fake::new(late), &bug("M26", "none", "durable"));
        assert_eq!(hunted.median_seeds(), Some(26));
        assert_eq!(hunted.black_box, None);
    }

    #[test]
    fn a_seed_that_fails_anyway_is_passed_over() {
        let fails =
            |planted: &[String], _, seed, _| (seed == 3 || seed == 7 && is_planted(planted, "M26")).then_some("order");
        let hunted = hunt_all(&Fake::new(fails), &bug("M26", "loses", "raw"));
        let Fate::Killed(kill) = &hunted.fate else { panic!("{:?}", hunted.fate) };
        assert_eq!((kill.seed, kill.after), (7, 8));
        assert!(hunted.is_found());
        let passed: Vec<(u64, &str)> = hunted.passed_over.iter().map(|it| (it.seed, it.why.as_str())).collect();
        assert_eq!(passed, [(3, "red without it: order: ")]);
    }

    #[test]
    fn seeds_that_all_fail_anyway_kill_nothing() {
        let hunted = hunt_all(&Fake::new(|_: &[String], _, _, _| Some("order")), &bug("M26", "none", "raw"));
        assert!(!hunted.is_found(), "{:?}", hunted.fate);
        assert_eq!(hunted.passed_over.len(), 30);
    }

    #[test]
    fn clients_must_see_what_harms_them() {
        let inside = |planted: &[String], _, seed, is_black_box: bool| {
            (is_planted(planted, "M25") && seed == 2 && !is_black_box).then_some("disk-log")
        };
        let hunted = hunt_all(&Fake::new(inside), &bug("M25", "loses", "durable"));
        assert_eq!(hunted.black_box, Some(None));
        assert!(!hunted.is_found());
    }

    #[test]
    fn a_broken_simulator_shows_by_what_it_hides() {
        let mut harness = bug("M81", "none", "durable");
        harness.kind = Kind::Harness { blinds: vec!["M25".to_owned()] };
        let kind_disk = |planted: &[String], _, _, _| {
            (is_planted(planted, "M25") && !is_planted(planted, "M81")).then_some("lost-write")
        };
        let hunted = hunt_all(&Fake::new(kind_disk), &harness);
        assert_eq!(hunted.fate, Fate::Blinds(vec!["M25".to_owned()]));
        assert!(hunted.is_found());
        let harmless = |planted: &[String], _, _, _| is_planted(planted, "M25").then_some("lost-write");
        let hunted = hunt_all(&Fake::new(harmless), &harness);
        assert!(!hunted.is_found(), "{:?}", hunted.fate);
    }
}
