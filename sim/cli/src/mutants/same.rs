//! That planting changes nothing while no bug is on: the copy gives the trace hashes of the build for people.

use std::ops::ControlFlow;

use anyhow::{Result, ensure};
use barnabas_plan::Lane;

use crate::arena::{Arena, Range};
use crate::line::{Line, Verdict};

/// Seeds of this check begin here, beside those of the hunts.
const FROM: u64 = 500_000_000;

/// Compares `seeds` seeds, shared out among all lanes.
///
/// # Errors
/// The first seed that differs; a runner that cannot be run.
pub(crate) fn check(normal: &dyn Arena, planted: &dyn Arena, seeds: u64) -> Result<u64> {
    let lanes = Lane::ALL.len() as u64;
    let mut compared = 0;
    for (number, lane) in (0..lanes).zip(Lane::ALL) {
        let share = seeds / lanes + u64::from(number < seeds % lanes);
        if share == 0 {
            continue;
        }
        let (ours, theirs) = (outcomes(normal, *lane, share)?, outcomes(planted, *lane, share)?);
        ensure!(ours.len() as u64 == share, "{lane}: {} of {share} seeds were run", ours.len());
        for (left, right) in ours.iter().zip(&theirs) {
            ensure!(!left.1.is_empty(), "{lane}: seed {:#x} has no trace hash", left.0);
            ensure!(
                left == right,
                "{lane}: seed {:#x} gives {} normally and {} in the planted build with no bug on",
                left.0,
                left.1,
                right.1
            );
        }
        ensure!(ours.len() == theirs.len(), "{lane}: the planted build ran {} of {share} seeds", theirs.len());
        compared += share;
    }
    Ok(compared)
}

/// Seed, hash and verdict of each.
fn outcomes(arena: &dyn Arena, lane: Lane, seeds: u64) -> Result<Vec<(u64, String, Verdict)>> {
    let mut outcomes = Vec::new();
    let range = Range { lane: Some(lane), from: FROM, seeds, planted: &[], is_black_box: false, stops_at_first: false };
    let ended = arena.fuzz(&range, &mut |line: Line| {
        outcomes.push((line.seed, line.hash, line.verdict));
        ControlFlow::Continue(())
    })?;
    ended.well()?;
    Ok(outcomes)
}

#[cfg(test)]
mod tests {
    use super::super::hunt::tests_support::Fake;
    use super::*;

    #[test]
    fn equal_runs_are_equal_and_all_lanes_take_part() {
        let (one, other) = (Fake::new(|_: &[String], _, _, _| None), Fake::new(|_: &[String], _, _, _| None));
        assert_eq!(check(&one, &other, 100).expect("they are the same"), 100);
        assert_eq!(one.asked.into_inner().expect("nobody panics").into_inner().len(), Lane::ALL.len());
    }

    #[test]
    fn a_seed_that_differs_is_named() {
        let one = Fake::new(|_: &[String], _, _, _| None);
        let other = Fake::new(|_: &[String], lane, seed, _| (lane == Lane::Raw && seed == FROM + 2).then_some("order"));
        let error = check(&one, &other, 100).expect_err("one differs").to_string();
        assert!(error.starts_with("raw: seed 0x1dcd6502 gives"), "{error}");
    }
}
