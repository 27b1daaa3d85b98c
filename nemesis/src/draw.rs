//! [`draw`]: a plan from a seed. The order of the draws is fixed: a change here changes every plan.

use barnabas_base::Keyed;
use barnabas_plan::{Family, Lane, Plan, Quiet, Workload};

use crate::dice::Dice;
use crate::{clients, faults, knobs, operations, schemes};

/// Length of the safety phase.
const SAFETY_MS: u64 = 60_000;

/// The lane of a seed, when nobody asks for one: all lanes take turns.
#[must_use]
pub fn lane_of(seed: u64) -> Lane {
    let turn = Keyed::new(seed, "lane").below(Lane::ALL.len() as u64);
    Lane::ALL[usize::try_from(turn).expect("a position")]
}

/// What was switched on for a run; the rest of the draws look at it.
pub(crate) struct Swarm {
    pub(crate) families: Vec<Family>,
    pub(crate) workloads: Vec<Workload>,
}

impl Swarm {
    pub(crate) fn has(&self, workload: Workload) -> bool {
        self.workloads.contains(&workload)
    }
}

/// Draws the plan of a seed in a lane.
#[must_use]
pub fn draw(seed: u64, lane: Lane) -> Plan {
    let mut dice = Dice::new(Keyed::new(seed, "plan").with(lane as u64).bits());
    let mut plan = Plan::empty(seed, lane);
    plan.safety_ms = SAFETY_MS;
    let mut swarm = Swarm { families: dice.subset(lane.families()), workloads: dice.subset(lane.workloads()) };
    // The first workload of a lane is what it is for.
    if !swarm.has(lane.workloads()[0]) {
        swarm.workloads.push(lane.workloads()[0]);
    }
    // One run in sixteen has no faults but what clients do: many bugs need none, and hide behind them.
    if dice.chance(1, 16) {
        swarm.families.clear();
    }
    knobs::draw(&mut dice, &mut plan);
    clients::draw(&mut dice, &swarm, &mut plan);
    clients::crowd(&mut plan);
    operations::draw(&mut dice, &swarm, &mut plan);
    faults::draw(&mut dice, &swarm, &mut plan);
    plan.quiet = draw_quiet(&mut dice, lane);
    schemes::draw(&mut plan);
    knobs::suit_lane(&mut plan);
    knobs::lower_bounds(&mut plan);
    knobs::slow_down_ticks(&mut plan);
    plan
}

/// One run in twenty is quiet for hours or days, every third in the lane of clocks.
fn draw_quiet(dice: &mut Dice, lane: Lane) -> Option<Quiet> {
    const MINUTE_MS: u64 = 60_000;
    const DAYS_MAX: u64 = 9;
    let one_in = if lane == Lane::Clock { 3 } else { 20 };
    let happens = dice.chance(1, one_in);
    let at_ms = dice.between(SAFETY_MS / 4, SAFETY_MS * 3 / 4);
    let for_ms = dice.magnitude(10 * MINUTE_MS, DAYS_MAX * 24 * 60 * MINUTE_MS);
    happens.then_some(Quiet { at_ms, for_ms })
}
