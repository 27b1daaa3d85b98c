//! [`chase`]: a range of seeds up to the first that fails. The hunt for planted bugs and the blind sample drive it.

use std::ops::ControlFlow;

use anyhow::Result;

use crate::arena::{Arena, Ended, Range};
use crate::expected::Counts;
use crate::line::{Line, Verdict};

/// How often a runner may be interrupted at one seed before that seed is passed over.
const INTERRUPTIONS_MAX: u32 = 3;

/// What came of a range.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chased {
    /// The first seed that failed. One that its process died or hung of has failed.
    pub(crate) failed: Option<Line>,
    /// Seeds that were run, and those that were passed over.
    pub(crate) seeds_run: u64,
    /// How often planted bugs were reached.
    pub(crate) hits: u64,
    /// What came up in them.
    pub(crate) counts: Counts,
    /// Seeds that nothing is known of, with what interrupted them.
    pub(crate) interrupted: Vec<(u64, String)>,
}

/// Runs the seeds of a range until one fails. Who is interrupted begins again at the seed he was at.
///
/// # Errors
/// The runner cannot be run.
pub(crate) fn chase(arena: &dyn Arena, range: &Range<'_>) -> Result<Chased> {
    let mut chased = Chased::default();
    let mut interruptions = 0;
    while chased.seeds_run < range.seeds {
        let seed = range.from + chased.seeds_run;
        let rest = Range { from: seed, seeds: range.seeds - chased.seeds_run, stops_at_first: true, ..*range };
        let before = chased.seeds_run;
        let ended = run(arena, &rest, &mut chased)?;
        let seed = range.from + chased.seeds_run;
        match ended {
            Ended::Well => break,
            Ended::Accident(what) => {
                chased.seeds_run += 1;
                chased.failed = Some(Line::accident(seed, range.lane_of(seed), what));
                break;
            }
            Ended::Interrupted(what) => {
                interruptions = if chased.seeds_run == before { interruptions + 1 } else { 1 };
                if interruptions == INTERRUPTIONS_MAX {
                    chased.seeds_run += 1;
                    chased.interrupted.push((seed, what));
                    interruptions = 0;
                }
            }
        }
    }
    Ok(chased)
}

/// One process.
fn run(arena: &dyn Arena, range: &Range<'_>, chased: &mut Chased) -> Result<Ended> {
    arena.fuzz(range, &mut |line: Line| {
        chased.seeds_run += 1;
        chased.hits += line.planted_hits;
        chased.counts.add(line.lane, &line.reached);
        match line.verdict {
            Verdict::Pass | Verdict::Void => ControlFlow::Continue(()),
            Verdict::Fail => {
                chased.failed = Some(line);
                ControlFlow::Break(())
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::path::Path;
    use std::sync::Mutex;

    use barnabas_plan::Lane;

    use super::super::hunt::tests_support::Fake;
    use super::*;
    use crate::arena::Shrunk;
    use crate::line::ACCIDENT;

    /// A runner whose process ends at given seeds, once for every entry.
    struct Frail(Mutex<RefCell<Vec<(u64, Ended)>>>);

    impl Frail {
        fn new(ends: &[(u64, Ended)]) -> Self {
            Self(Mutex::new(RefCell::new(ends.to_vec())))
        }
    }

    impl Arena for Frail {
        fn fuzz(&self, range: &Range<'_>, each: &mut dyn FnMut(Line) -> ControlFlow<()>) -> Result<Ended> {
            let guard = self.0.lock().expect("nobody panics");
            let mut ends = guard.borrow_mut();
            for seed in range.from..range.from + range.seeds {
                if let Some(at) = ends.iter().position(|(end, _)| *end == seed) {
                    return Ok(ends.remove(at).1);
                }
                let line = Line::accident(seed, Lane::Raw, String::new());
                if each(Line { verdict: Verdict::Pass, planted_hits: 2, ..line }).is_break() {
                    break;
                }
            }
            Ok(Ended::Well)
        }

        fn replay(&self, _: &Path) -> Result<Line> {
            unreachable!("nobody replays")
        }

        fn shrink(&self, _: u64, _: Lane, _: &[String], _: &Path) -> Result<Shrunk> {
            unreachable!("nobody shrinks")
        }
    }

    fn range() -> Range<'static> {
        Range { lane: Some(Lane::Raw), from: 5, seeds: 10, planted: &[], is_black_box: false, stops_at_first: true }
    }

    fn interrupted() -> Ended {
        Ended::Interrupted("killed".to_owned())
    }

    #[test]
    fn the_first_seed_that_fails_ends_it() {
        let fake = Fake::new(|_: &[String], _, seed, _| (seed == 8).then_some("order"));
        let chased = chase(&fake, &range()).expect("it runs");
        let failed = chased.failed.expect("it is found");
        assert_eq!((failed.seed, failed.checker.as_str(), chased.seeds_run), (8, "order", 4));
        let chased = chase(&Fake::new(|_: &[String], _, _, _| None), &range()).expect("it runs");
        assert_eq!((chased.failed, chased.seeds_run), (None, 10));
    }

    #[test]
    fn an_accident_fails_the_seed_it_came_at() {
        let dies = Frail::new(&[(7, Ended::Accident("aborted".to_owned()))]);
        let chased = chase(&dies, &range()).expect("it runs");
        let failed = chased.failed.expect("it is found");
        assert_eq!((failed.seed, failed.lane, failed.checker.as_str()), (7, Lane::Raw, ACCIDENT));
        assert_eq!((chased.seeds_run, chased.hits), (3, 4));
    }

    #[test]
    fn whoever_is_interrupted_goes_on_where_he_was() {
        let killed = Frail::new(&[(7, interrupted()), (7, interrupted()), (9, interrupted())]);
        let chased = chase(&killed, &range()).expect("it runs");
        assert_eq!((chased.seeds_run, chased.hits), (10, 20));
        assert!(chased.failed.is_none() && chased.interrupted.is_empty());
    }

    #[test]
    fn a_seed_that_is_never_let_finish_is_passed_over() {
        let killed = Frail::new(&[(7, interrupted()), (7, interrupted()), (7, interrupted())]);
        let chased = chase(&killed, &range()).expect("it runs");
        assert_eq!(chased.interrupted, [(7, "killed".to_owned())]);
        assert_eq!((chased.failed, chased.seeds_run, chased.hits), (None, 10, 18));
    }
}
