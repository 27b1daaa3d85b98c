//! `cargo sim shrink`: takes away what a failure does not need: faults, then operations, then knobs, clients and times. A
//! smaller plan counts only when it breaks the same promise.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use barnabas_base::Keyed;
use barnabas_plan::{Lane, Plan};
use barnabas_sim_world::{Options, Scope};
use serde_json::json;

use crate::runner::{plan_of, run};
use crate::{ledger, report};

/// Run seeds that a smaller plan is tried under.
const RUN_SEEDS: u64 = 8;
/// Run seeds for pieces so small that there are many of them.
const RUN_SEEDS_SMALL: u64 = 2;
/// How long it looks for a smaller plan.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often the result has to show the failure again.
const CONFIRMATIONS: u32 = 10;

/// What to shrink.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ShrinkOptions {
    /// A seed, or a plan file.
    what: String,
    /// The lane of the seed; its own otherwise.
    #[arg(long)]
    lane: Option<Lane>,
    /// Where the plan goes; beside the failures otherwise.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Planted bugs that are switched on.
    #[arg(long, value_delimiter = ',', value_name = "ID", hide = true)]
    planted: Vec<String>,
    /// One line of JSON.
    #[arg(long, hide = true)]
    quiet_json: bool,
}

struct Shrinker {
    signature: String,
    until: Instant,
    runs: u32,
}

/// Shrinks a failure and writes what is left.
///
/// # Errors
/// The seed does not fail, or a file cannot be read or written.
pub(crate) fn shrink(options: &ShrinkOptions) -> Result<()> {
    let began = Instant::now();
    let mut plan = plan_named(&options.what, options.lane)?;
    plan.planted.extend(options.planted.iter().cloned());
    let first = run(plan.clone(), Scope::All, Options::default())?;
    let Some(broken) = first.broken() else { bail!("every promise was kept: there is nothing to shrink") };
    let mut shrinker = Shrinker { signature: broken.signature(), until: began + PATIENCE, runs: 0 };
    let before = (plan.faults.len(), plan.operations.len());
    let plan = shrinker.all(plan)?;
    let confirmed = confirm(&plan, &shrinker.signature)?;
    let text = plan_text(&plan, &shrinker.signature, &format!("{confirmed:#018x}"));
    let out = match &options.out {
        Some(out) => out.clone(),
        None => failure_file(&format!("shrunk-{}-{:#x}", plan.lane, plan.seed)),
    };
    write_plan(&out, &text)?;
    let took = began.elapsed();
    if options.quiet_json {
        let line = json!({
            "faults": plan.faults.len(),
            "operations": plan.operations.len(),
            "took_ms": u64::try_from(took.as_millis())?,
        });
        println!("{line}");
        return Ok(());
    }
    println!(
        "{} faults and {} operations became {} and {} in {} runs and {:.0} s; shown again {CONFIRMATIONS} times",
        before.0,
        before.1,
        plan.faults.len(),
        plan.operations.len(),
        shrinker.runs,
        took.as_secs_f64()
    );
    println!("{text}");
    let again = run(plan, Scope::All, Options::default())?;
    println!("{}", report::failure(&again, &format!("cargo sim replay {}", out.display())));
    Ok(())
}

/// The plan of a seed or of a file.
///
/// # Errors
/// It is neither.
pub(crate) fn plan_named(what: &str, lane: Option<Lane>) -> Result<Plan> {
    if let Some(seed) = barnabas_plan::parse_seed(what) {
        return Ok(plan_of(seed, lane, &[]));
    }
    let text = std::fs::read_to_string(what).with_context(|| format!("{what} is neither a seed nor a file"))?;
    Plan::parse(&text).map_err(|malformed| anyhow::anyhow!("{what}: {malformed}"))
}

/// A plan with what is known of its failure in front.
pub(crate) fn plan_text(plan: &Plan, signature: &str, hash: &str) -> String {
    let text = plan.to_string();
    let commit = ledger::commit();
    let (first, rest) = text.split_once('\n').unwrap_or((text.as_str(), ""));
    format!("{first}\n# breaks: {signature}\n# commit: {commit}\n# trace hash: {hash}\n{rest}")
}

/// Where the plan of a failure is kept when nobody says where.
pub(crate) fn failure_file(name: &str) -> PathBuf {
    crate::root().join("target/sim-failures").join(format!("{name}.plan"))
}

/// Writes a plan, and the folder for it.
///
/// # Errors
/// The disk does not take it.
pub(crate) fn write_plan(file: &Path, text: &str) -> Result<()> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    Ok(std::fs::write(file, text)?)
}

/// Runs the result again and again; its trace hash.
fn confirm(plan: &Plan, signature: &str) -> Result<u64> {
    let mut hash = None;
    for _ in 0..CONFIRMATIONS {
        let ran = run(plan.clone(), Scope::All, Options::default())?;
        ensure!(ran.signatures().iter().any(|one| one == signature), "the shrunk plan does not fail every time");
        ensure!(*hash.get_or_insert(ran.hash()) == ran.hash(), "the shrunk plan does not run the same every time");
    }
    hash.context("it was run")
}

impl Shrinker {
    fn all(&mut self, plan: Plan) -> Result<Plan> {
        let plan = self.faults(plan)?;
        let plan = self.operations(plan)?;
        let plan = self.faults(plan)?;
        let plan = self.knobs(plan)?;
        self.rest(plan)
    }

    /// Whether a smaller plan breaks the same promise under one of some run seeds; the plan with that seed.
    fn fails(&mut self, candidate: Plan, run_seeds: u64) -> Result<Option<Plan>> {
        let seed = candidate.seed;
        for attempt in 0..run_seeds {
            if Instant::now() >= self.until {
                return Ok(None);
            }
            let seed = if attempt == 0 { seed } else { Keyed::new(seed, "shrink").with(attempt).bits() };
            let tried = Plan { seed, ..candidate.clone() };
            self.runs += 1;
            let ran = run(tried.clone(), Scope::All, Options::default())?;
            if ran.signatures().contains(&self.signature) {
                return Ok(Some(tried));
            }
        }
        Ok(None)
    }

    /// Thins a list of the plan. Small pieces are many, so that each is tried under fewer run seeds.
    fn thin<T>(&mut self, plan: Plan, list: impl Fn(&mut Plan) -> &mut Vec<T>) -> Result<Plan> {
        barnabas_plan::thin(plan, list, |smaller, piece| {
            let seeds = if piece.items * 4 >= piece.of { RUN_SEEDS } else { RUN_SEEDS_SMALL };
            self.fails(smaller, seeds)
        })
    }

    fn faults(&mut self, plan: Plan) -> Result<Plan> {
        self.thin(plan, |plan| &mut plan.faults)
    }

    fn operations(&mut self, plan: Plan) -> Result<Plan> {
        self.thin(plan, |plan| &mut plan.operations)
    }

    fn knobs(&mut self, mut plan: Plan) -> Result<Plan> {
        let names: Vec<String> = plan.knobs.iter().map(|(name, _)| name.to_owned()).collect();
        for name in names {
            let mut smaller = plan.clone();
            smaller.knobs.unset(&name);
            if let Some(smaller) = self.fails(smaller, RUN_SEEDS_SMALL)? {
                plan = smaller;
            }
        }
        Ok(plan)
    }

    /// Clients that do nothing, the quiet stretch, and what is left of the safety phase.
    fn rest(&mut self, mut plan: Plan) -> Result<Plan> {
        let mut smaller = plan.clone();
        let busy = |name| plan.operations.iter().any(|operation| operation.client == name);
        smaller.clients.retain(|client| busy(client.name));
        if smaller.clients.is_empty() {
            smaller.clients.extend(plan.clients.first().cloned());
        }
        smaller.quiet = None;
        if let Some(smaller) = self.fails(smaller, RUN_SEEDS_SMALL)? {
            plan = smaller;
        }
        let last = plan.operations.iter().map(|operation| operation.at_ms).max().unwrap_or(0);
        let mut smaller = plan.clone();
        smaller.safety_ms = smaller.safety_ms.min(last + 10_000);
        Ok(self.fails(smaller, RUN_SEEDS_SMALL)?.unwrap_or(plan))
    }
}
