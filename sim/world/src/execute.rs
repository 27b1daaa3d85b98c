//! [`execute`]: carries out a plan in a world of its own and brings back the evidence. Set-up, safety phase under faults,
//! heal, liveness phase, two final reads.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use barnabas_base::Observation;
use barnabas_history::{ClientLife, DiskImage, Evidence, Happening, SPARE_SNAPSHOTS_MAX, What};
use barnabas_plan::{ClientName, Fate, Plan};
use barnabas_runtime::Local;
use barnabas_runtime_madsim::{Busy, Opens, TraceEvent, World, simulate};
use barnabas_workloads::{Recorder, read_everything, set_up};

use crate::Broker;
use crate::crew::Crew;
use crate::director::{Director, NODE};
use crate::disk_rules::DiskRules;
use crate::knobs::{broker_setup, rest, world_config};
use crate::watch::{Phase, SharedWatch};

/// Simulated time in which topics have to be there.
const SET_UP_MAX: Duration = Duration::from_secs(120);
/// Simulated time after the first read in which the broker lets go of what it read, and comes to the end of a sync that
/// takes long.
const LETS_GO_MAX: Duration = Duration::from_secs(60);
/// Simulated time in which everything has to settle after the heal.
const SETTLE_MAX: Duration = Duration::from_secs(300);
/// Simulated time for one final read.
const READ_MAX: Duration = Duration::from_secs(900);
/// Bytes in one fetch of the first and of the second final read. Through the narrowest window and over the longest way of
/// a world a mebibyte takes a minute, and a client gives up a request after half of one.
const FIRST_READ_BYTES: u32 = 262_144;
/// The same of the first where devices lie: what follows damage is fetched again for each record of it.
const DAMAGED_READ_BYTES: u32 = 65_536;
const FINAL_READ_BYTES: u32 = 4_096;
/// Tasks that a report names.
const BUSIEST: usize = 12;
/// Where a broker's data is on its disk.
const DATA: &str = "/data/";

/// How a run is watched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Whether every event of the world is kept, to find where two runs part.
    pub keep_events: bool,
}

/// What a run leaves behind.
#[derive(Clone, Debug)]
pub struct RunReport {
    /// For the checkers.
    pub evidence: Evidence,
    /// Hash over everything that happened.
    pub trace_hash: u64,
    /// How many things the hash is over.
    pub events: u64,
    /// Simulated time of the whole run.
    pub simulated: Duration,
    /// The tasks that were polled most.
    pub busiest: Vec<Busy>,
    /// Every event, when they were to be kept.
    pub trace: Vec<TraceEvent>,
}

/// Carries out `plan`. The same plan on the same build gives the same report.
///
/// # Panics
/// When the world itself fails, or never comes to rest.
#[must_use]
pub fn execute(plan: &Plan, options: Options) -> RunReport {
    let plan = plan.clone();
    let config = world_config(&plan.knobs, options.keep_events);
    simulate(plan.seed, config, move |world| run(world, plan))
}

fn run(world: &World, plan: Plan) -> RunReport {
    let evidence = Rc::new(RefCell::new(Evidence::new(plan.clone())));
    let recorder = recorder(world, &evidence);
    let broker = Broker::new(world, &NODE.to_string(), broker_setup(&plan.knobs));
    let watch = SharedWatch::default();
    let rules = Rc::new(RefCell::new(DiskRules::default()));
    let life = Rc::new(Cell::new(0));
    watch_world(world, &broker, &watch, &rules, (&recorder, &life));
    let began = Rc::new(Cell::new(world.now()));
    let elapsed_ms = {
        let (world, began) = (world.clone(), Rc::clone(&began));
        Rc::new(move || u64::try_from(world.now().since(began.get()).as_millis()).unwrap_or(u64::MAX))
    };
    let crew = Crew::new(world, &plan, &[broker.address()], elapsed_ms, recorder.clone());
    let mut director = Director::new((world, &plan, &broker), crew, (recorder, life, began), (watch, rules));
    if let Err(what) = play(&mut director) {
        director.happened(Happening::Unsettled { what });
    }
    let damaged = director.rules.borrow().damaged().map(|path| path.display().to_string()).collect();
    let left = std::mem::take(&mut director.left);
    drop(director);
    // Taken, not copied: what machines still say while the world ends is nobody's evidence.
    let mut evidence = evidence.replace(Evidence::new(plan));
    evidence.disks = left.into_iter().chain([left_disk(&broker, evidence.steps.len())]).collect();
    evidence.damaged = damaged;
    RunReport {
        evidence,
        trace_hash: world.trace_hash(),
        events: world.trace_count(),
        simulated: world.now().since(barnabas_base::Monotonic::ZERO),
        busiest: world.busiest(BUSIEST),
        trace: world.events(),
    }
}

fn recorder(world: &World, evidence: &Rc<RefCell<Evidence>>) -> Recorder {
    let clock = world.clone();
    Recorder::new(Rc::clone(evidence), Rc::new(move || clock.now()))
}

/// Has the world tell the watch and the evidence what brokers do.
fn watch_world(
    world: &World,
    broker: &Broker,
    watch: &SharedWatch,
    rules: &Rc<RefCell<DiskRules>>,
    (recorder, life): (&Recorder, &Rc<Cell<u64>>),
) {
    let node = broker.machine().id();
    let (seen, recorder, life) = (Rc::clone(watch), recorder.clone(), Rc::clone(life));
    world.on_observation(move |observed| {
        if observed.node != node {
            return;
        }
        seen.borrow_mut().on_observation(observed.at, observed.observation);
        if is_evidence(observed.observation) {
            recorder.push(What::Observed {
                node: NODE,
                life: life.get(),
                shard: observed.shard,
                observation: observed.observation.clone(),
            });
        }
    });
    let (clock, seen, rules) = (world.clone(), Rc::clone(watch), Rc::clone(rules));
    broker.machine().on_disk_call(move |call| {
        seen.borrow_mut().on_disk(clock.now(), Phase::Issued, call.kind, call.path);
        rules.borrow_mut().judge(call)
    });
    let (clock, seen) = (world.clone(), Rc::clone(watch));
    world.on_disk_call_ended(move |of, kind, path| {
        if of == node {
            seen.borrow_mut().on_disk(clock.now(), Phase::Done, kind, path);
        }
    });
}

/// Counts that no checker looks at are left out.
const fn is_evidence(observation: &Observation) -> bool {
    !matches!(
        observation,
        Observation::RequestReceived { .. }
            | Observation::ResponseSent { .. }
            | Observation::ConnectionOpened
            | Observation::ConnectionClosed
    )
}

fn play(director: &mut Director<'_>) -> Result<(), String> {
    start(director)?;
    prepare(director)?;
    director.begin();
    let end = director.at(director.plan.safety_ms);
    director.run_until(end, || false);
    heal(director);
    settle(director)?;
    let rested = director.world.now().after(rest(&director.plan.knobs));
    director.run_until(rested, || false);
    let promises = director.plan.lane.promises();
    director.happened(Happening::FirstRead);
    let first_bytes = if promises.detection_only { DAMAGED_READ_BYTES } else { FIRST_READ_BYTES };
    read(director, "first reader", first_bytes)?;
    look_at_holdings(director);
    if promises.final_power_loss {
        director.lose_power(Fate::Drawn, 1);
    } else {
        stop(director)?;
        director.launch();
    }
    settle(director)?;
    director.happened(Happening::FinalRead);
    read(director, "final reader", FINAL_READ_BYTES)?;
    stop(director)
}

fn start(director: &mut Director<'_>) -> Result<(), String> {
    director.launch();
    let end = director.world.now().after(SET_UP_MAX);
    let broker = director.broker;
    if director.run_until(end, || broker.is_serving()) {
        return Ok(());
    }
    Err(format!("the start of a fresh broker: {}", director.broker.failure().unwrap_or_default()))
}

/// Creates the topics of the plan.
fn prepare(director: &mut Director<'_>) -> Result<(), String> {
    let topics = director.plan.topics.clone();
    let bootstrap = vec![director.broker.address()];
    visit(director, "set-up", SET_UP_MAX, move |env| Box::pin(set_up(env, bootstrap.clone(), topics.clone())))
}

/// Lets a visitor do `story` on a machine of its own until it is told.
fn visit(
    director: &mut Director<'_>,
    name: &str,
    limit: Duration,
    story: impl Fn(barnabas_runtime::Env) -> Local<'static, Result<(), String>> + 'static,
) -> Result<(), String> {
    let told: Rc<RefCell<Option<Result<(), String>>>> = Rc::default();
    let teller = Rc::clone(&told);
    let machine = director.world.node(name);
    machine.start(1, move |env| -> Local<'static, ()> {
        let (teller, told) = (Rc::clone(&teller), story(env));
        Box::pin(async move {
            let outcome = told.await;
            *teller.borrow_mut() = Some(outcome);
        })
    });
    let end = director.world.now().after(limit);
    director.run_until(end, || told.borrow().is_some() || !machine.is_running());
    let outcome = told.borrow_mut().take();
    outcome.unwrap_or_else(|| Err(format!("the {name} did not come to its end")))
}

/// Ends everything that is broken, and lets nothing else break.
fn heal(director: &mut Director<'_>) {
    director.watch.borrow_mut().clear();
    director.agenda.retain(|cue| !matches!(cue, crate::agenda::Cue::Begin(_) | crate::agenda::Cue::Flip(_)));
    for index in director.active.clone() {
        director.end_fault(index);
    }
    director.rules.borrow_mut().clear();
    director.happened(Happening::Healed);
    let failed = |step: &barnabas_history::Step| {
        matches!(&step.what, What::Observed { observation: Observation::DirectoryFailed { .. }, .. })
    };
    // Whoever looks after a broker whose directory has failed starts it again once the device is well.
    if director.recorder.any(failed) {
        director.take_down(1, |machine| machine.crash());
    }
}

fn settle(director: &mut Director<'_>) -> Result<(), String> {
    let end = director.world.now().after(SETTLE_MAX);
    let (broker, living) = (director.broker, director.crew.living());
    if director.run_until(end, || broker.is_serving() && living.get() == 0) {
        return Ok(());
    }
    let mut pending = director.crew.pending();
    if !director.broker.is_serving() {
        pending.push(format!("the broker: {}", director.broker.why_down().unwrap_or_else(|| "not serving".to_owned())));
    }
    Err(pending.join(", "))
}

fn stop(director: &mut Director<'_>) -> Result<(), String> {
    director.asked_to_stop = true;
    director.broker.ask_to_stop();
    let end = director.world.now().after(SETTLE_MAX);
    let broker = director.broker;
    if !director.run_until(end, || !broker.machine().is_running()) {
        return Err("the stop of the broker".to_owned());
    }
    director.broker.failure().map_or(Ok(()), |failure| Err(format!("a clean stop: {failure}")))
}

fn read(director: &mut Director<'_>, name: &'static str, fetch_bytes: u32) -> Result<(), String> {
    let lane = director.plan.lane;
    let (bootstrap, recorder) = (vec![director.broker.address()], director.recorder.clone());
    let life = u32::from(name == "final reader");
    let by = ClientLife { client: ClientName(u16::MAX), life };
    visit(director, name, READ_MAX, move |env| {
        Box::pin(read_everything(env, bootstrap.clone(), fetch_bytes, lane, by, recorder.clone()))
    })
}

/// Notes what the broker holds when nobody asks it for anything.
fn look_at_holdings(director: &mut Director<'_>) {
    let end = director.world.now().after(LETS_GO_MAX);
    let machine = director.broker.machine();
    // A point that is being settled has its snapshot before the one before it goes.
    let is_at_rest = || machine.opens().nameless == 0 && spare_snapshots(&machine.paths()) <= SPARE_SNAPSHOTS_MAX;
    director.run_until(end, is_at_rest);
    let Opens { named, nameless, files } = machine.opens();
    let paths = machine.paths();
    let (spare_snapshots, deleted_folders) = (spare_snapshots(&paths), deleted_folders(&paths));
    director.happened(Happening::Holds { node: NODE, named, nameless, files, spare_snapshots, deleted_folders });
}

fn deleted_folders(paths: &[PathBuf]) -> u64 {
    let names = paths.iter().filter_map(|path| path.parent()?.file_name()?.to_str());
    names.filter(|name| name.ends_with("-delete")).collect::<BTreeSet<_>>().len() as u64
}

fn spare_snapshots(paths: &[PathBuf]) -> u64 {
    let mut folders = BTreeMap::<Option<&Path>, (u64, u64)>::new();
    for path in paths {
        let (snapshots, segments) = folders.entry(path.parent()).or_default();
        match path.extension().and_then(OsStr::to_str) {
            Some("snapshot") => *snapshots += 1,
            Some("log") => *segments += 1,
            _ => {}
        }
    }
    folders.into_values().map(|(snapshots, segments)| snapshots.saturating_sub(segments)).max().unwrap_or(0)
}

/// The files of the broker as its last process left them.
pub(crate) fn left_disk(broker: &Broker, after_step: usize) -> DiskImage {
    let relative = |path: PathBuf| path.to_str().and_then(|path| path.strip_prefix(DATA)).map(str::to_owned);
    let files: BTreeMap<String, Vec<u8>> = broker
        .machine()
        .files()
        .into_iter()
        .filter_map(|(path, content)| Some((relative(path)?, content.to_vec())))
        .collect();
    let stopped_cleanly = !broker.machine().is_running() && broker.failure().is_none();
    DiskImage { node: NODE.0, after_step, stopped_cleanly, files }
}
