//! Carries out a plan: starts nodes and clients, begins and ends faults between the events of the world, heals it, and waits
//! for everybody to be served. What is true of the history afterwards is `linear`'s business.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use barnabas_base::{Monotonic, Observation};
use barnabas_runtime::sync::Notify;
use barnabas_runtime::{Either, race};
use barnabas_runtime_madsim::{Config, DiskCallKind, DiskVerdict, Node, SlowWay, Span, World, simulate};

use crate::client::{self, Recorder};
use crate::linear::{self, Done};
use crate::plan::{CLIENTS, Fault, MACHINES, Plan, SAFETY_MS, What, When};
use crate::register::{self, NODES};

/// A node that ended by itself starts again after this long.
const RESTART_MS: u64 = 200;
/// Within this time after the healing everybody is served.
const LIVENESS_MS: u64 = 30_000;
const DISK_BYTES: u64 = 1024 * 1024;
/// Where a misdirected write goes: behind everything that a node keeps.
const MISDIRECTED_TO: u64 = 4096;

/// What came of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ran {
    /// Why the history is not linearizable, if it is not.
    pub(crate) violation: Option<String>,
    /// How long after the healing every client had been served; `None` when not in time.
    pub(crate) served_after: Option<Duration>,
    /// Nodes that stay down because they found their disk damaged.
    pub(crate) refusing: Vec<u64>,
    pub(crate) history: Vec<Done>,
    pub(crate) trace_hash: u64,
    /// How often each fault took place, and other things worth counting.
    pub(crate) counters: BTreeMap<&'static str, u64>,
}

type Counters = Rc<RefCell<BTreeMap<&'static str, u64>>>;

fn count(counters: &Counters, name: &'static str) {
    *counters.borrow_mut().entry(name).or_default() += 1;
}

/// Runs a plan in a world of its own.
pub(crate) fn run(plan: &Plan) -> Ran {
    let knobs = plan.knobs;
    let config = Config {
        loss_one_in: knobs.loss_one_in,
        window_bytes_max: knobs.window_bytes_max,
        link: Span::micros(50, knobs.link_us_max),
        sync: Span::micros(70, knobs.sync_us_max),
        disk_bytes: DISK_BYTES,
        ..Config::default()
    };
    let plan = plan.clone();
    simulate(plan.seed, config, move |world| {
        let mut director = Director::new(world, plan);
        director.run_until(SAFETY_MS, || false);
        director.heal();
        let clients = director.machines[place(NODES)..].to_vec();
        // A client ends when it has been served.
        let is_served =
            director.run_until(SAFETY_MS + LIVENESS_MS, || clients.iter().all(|client| !client.is_running()));
        director.ran(is_served)
    })
}

/// What has to be done at a time. Faults by their place in the plan.
#[derive(Clone, Copy)]
enum Cue {
    /// With the node that its event happened to.
    Begin(usize, Option<u64>),
    End(usize),
    Flip(usize, bool),
    Start(u64),
}

/// A call to the disk of a node that fails, or is held, or does something else.
struct Rule {
    node: u64,
    call: DiskCallKind,
    name: &'static str,
    verdict: DiskVerdict,
}

/// What a fault may wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Done(u64, DiskCallKind),
    Observed(&'static str),
}

/// A fault that waits for an event, the how many-th, and so many from there on.
struct Armed {
    fault: usize,
    event: Event,
    ordinal: u64,
    times: u64,
    after_ms: u64,
}

/// What the disks tell the director, and what it tells them.
#[derive(Default)]
struct Watch {
    /// How often each thing has happened.
    happened: BTreeMap<Event, u64>,
    /// Faults that wait for an event, and those whose event came: to whom, and how long they wait from there.
    armed: Vec<Armed>,
    due: Vec<(usize, u64, u64)>,
    rules: Vec<Rule>,
}

impl Watch {
    fn happened(&mut self, node: u64, event: Event) {
        let happened = self.happened.entry(event).or_default();
        *happened += 1;
        let has_come = |armed: &&Armed| (armed.ordinal..armed.ordinal + armed.times).contains(happened);
        let due = self.armed.iter().filter(|armed| armed.event == event).filter(has_come);
        self.due.extend(due.map(|armed| (armed.fault, node, armed.after_ms)));
    }
}

struct Director<'a> {
    world: &'a World,
    plan: Plan,
    machines: Vec<Node>,
    agenda: BTreeMap<(Monotonic, u64), Cue>,
    cues: u64,
    watch: Rc<RefCell<Watch>>,
    /// Faults that have begun and not ended.
    active: BTreeMap<usize, What>,
    /// Whether the process of each node is meant to run.
    is_up: Vec<bool>,
    stops: Vec<Rc<Notify>>,
    /// Nodes that found their disk damaged: they stay down.
    refuses: Vec<Rc<Cell<bool>>>,
    recorder: Rc<Recorder>,
    healed: Rc<Cell<bool>>,
    counters: Counters,
}

fn place(machine: u64) -> usize {
    usize::try_from(machine).expect("there are few machines")
}

fn millis(ms: u64) -> Monotonic {
    Monotonic::ZERO.after(Duration::from_millis(ms))
}

impl<'a> Director<'a> {
    fn new(world: &'a World, plan: Plan) -> Self {
        let nodes = (0..NODES).map(|id| world.node(&format!("r{id}")));
        let machines: Vec<Node> = nodes.chain((0..CLIENTS).map(|id| world.node(&format!("c{id}")))).collect();
        let values = plan.operations.iter().filter_map(|operation| operation.write).max().unwrap_or(0);
        let mut director = Self {
            world,
            plan,
            machines,
            agenda: BTreeMap::new(),
            cues: 0,
            watch: Rc::default(),
            active: BTreeMap::new(),
            is_up: vec![true; place(NODES)],
            stops: (0..NODES).map(|_| Rc::default()).collect(),
            refuses: (0..NODES).map(|_| Rc::default()).collect(),
            recorder: Rc::new(Recorder::new(values + 1)),
            healed: Rc::default(),
            counters: Rc::default(),
        };
        director.listen();
        director.place_faults();
        (0..NODES).for_each(|id| director.start_node(id));
        (0..CLIENTS).for_each(|id| director.start_client(id));
        director
    }

    /// Hears of disk calls and of what nodes observe.
    fn listen(&self) {
        let watch = Rc::clone(&self.watch);
        self.world.on_disk_call_ended(move |node, call, _: &Path| {
            let node = u64::from(node.0);
            watch.borrow_mut().happened(node, Event::Done(node, call));
        });
        let (watch, counters) = (Rc::clone(&self.watch), Rc::clone(&self.counters));
        self.world.on_observation(move |observed| {
            if let Observation::Mark { name } = observed.observation {
                count(&counters, name);
                watch.borrow_mut().happened(u64::from(observed.node.0), Event::Observed(name));
            }
        });
        for id in 0..NODES {
            let (watch, counters) = (Rc::clone(&self.watch), Rc::clone(&self.counters));
            self.machines[place(id)].on_disk_call(move |call| {
                let rules = &mut watch.borrow_mut().rules;
                let rule = rules.iter().position(|rule| rule.node == id && rule.call == call.kind);
                let Some(rule) = rule.map(|index| rules.remove(index)) else { return DiskVerdict::Pass };
                count(&counters, rule.name);
                rule.verdict
            });
        }
    }

    fn place_faults(&mut self) {
        for index in 0..self.plan.faults.len() {
            let (event, ordinal, times, after_ms) = match self.plan.faults[index].when {
                When::At { ms } => {
                    self.add(millis(ms), Cue::Begin(index, None));
                    continue;
                }
                When::Done { node, call, ordinal } => (Event::Done(node, call), ordinal, 1, 0),
                When::Observed { mark, ordinal, times, after_ms } => (Event::Observed(mark), ordinal, times, after_ms),
            };
            self.watch.borrow_mut().armed.push(Armed { fault: index, event, ordinal, times, after_ms });
        }
    }

    fn start_node(&self, id: u64) {
        let (stop, refuses, bug) =
            (Rc::clone(&self.stops[place(id)]), Rc::clone(&self.refuses[place(id)]), self.plan.bug);
        self.machines[place(id)].start(1, move |env| {
            let (stop, refuses) = (Rc::clone(&stop), Rc::clone(&refuses));
            Box::pin(async move {
                let asked = stop.version();
                let ended = race(register::run(env, id, bug), stop.changed_since(asked)).await;
                refuses.set(matches!(ended, Either::First(Err(error)) if error.kind() == ErrorKind::InvalidData));
            })
        });
    }

    fn start_client(&self, id: u64) {
        let planned: Vec<_> = self.plan.operations.iter().filter(|operation| operation.client == id).copied().collect();
        let (recorder, healed) = (Rc::clone(&self.recorder), Rc::clone(&self.healed));
        self.machines[place(NODES + id)]
            .start(1, move |env| Box::pin(client::run(env, planned.clone(), Rc::clone(&recorder), Rc::clone(&healed))));
    }

    fn add(&mut self, at: Monotonic, cue: Cue) {
        self.agenda.insert((at, self.cues), cue);
        self.cues += 1;
    }

    fn later(&self, ms: u64) -> Monotonic {
        self.world.now().after(Duration::from_millis(ms))
    }

    /// Lets the world go on until `end_ms` or until `done`; whether it is done.
    fn run_until(&mut self, end_ms: u64, done: impl Fn() -> bool) -> bool {
        let end = millis(end_ms);
        loop {
            self.attend();
            if done() || self.world.now() >= end {
                return done();
            }
            let next = self.agenda.first_key_value().map_or(end, |((at, _), _)| (*at).min(end));
            let (watch, machines, is_up) = (&self.watch, &self.machines, &self.is_up);
            let fell = || (0..place(NODES)).any(|id| is_up[id] && !machines[id].is_running());
            self.world.run_until(next.since(self.world.now()), || !watch.borrow().due.is_empty() || fell() || done());
        }
    }

    /// Takes care of what has happened and of what is due.
    fn attend(&mut self) {
        loop {
            self.note_ends();
            let due = self.watch.borrow_mut().due.pop();
            match due {
                Some((fault, here, 0)) => self.begin(fault, Some(here)),
                Some((fault, here, after_ms)) => self.add(self.later(after_ms), Cue::Begin(fault, Some(here))),
                None => {}
            }
            if due.is_some() {
                continue;
            }
            let now = self.world.now();
            let Some(cue) = self.agenda.first_entry().filter(|entry| entry.key().0 <= now) else { return };
            match cue.remove() {
                Cue::Begin(fault, here) => self.begin(fault, here),
                Cue::End(fault) => self.end(fault),
                Cue::Flip(fault, is_closed) => self.flip(fault, is_closed),
                Cue::Start(node) => self.restart(node),
            }
        }
    }

    fn note_ends(&mut self) {
        for id in 0..NODES {
            if self.is_up[place(id)] && !self.machines[place(id)].is_running() {
                self.is_up[place(id)] = false;
                count(&self.counters, "ended by itself");
                self.add(self.later(RESTART_MS), Cue::Start(id));
            }
        }
    }

    fn restart(&mut self, id: u64) {
        let machine = &self.machines[place(id)];
        if !machine.is_running() && !self.refuses[place(id)].get() {
            machine.restart();
            self.is_up[place(id)] = true;
        }
    }

    fn take_down(&mut self, id: u64, down_ms: u64, kill: impl FnOnce(&Node)) {
        kill(&self.machines[place(id)]);
        self.is_up[place(id)] = false;
        self.add(self.later(down_ms), Cue::Start(id));
    }

    fn begin(&mut self, index: usize, here: Option<u64>) {
        if self.healed.get() || self.active.contains_key(&index) {
            return;
        }
        let Fault { what, is_there, .. } = self.plan.faults[index];
        let what = here.filter(|_| is_there).map_or(what, |here| what.there(here));
        if let Some(for_ms) = what.for_ms() {
            self.active.insert(index, what);
            self.add(self.later(for_ms), Cue::End(index));
        }
        if self.begin_rule(what) {
            return;
        }
        let happened =
            self.begin_with_process(what) || self.begin_with_machine(what) || self.begin_with_link(index, what);
        if happened {
            count(&self.counters, what.name());
        }
    }

    /// Begins a fault that waits for a call to a disk and is counted there.
    fn begin_rule(&self, what: What) -> bool {
        let (node, call, verdict) = match what {
            What::DiskError { node, call } => (node, call, DiskVerdict::INPUT_OUTPUT_ERROR),
            What::Stall { node, call, by_ms } => (node, call, DiskVerdict::Delay(Duration::from_millis(by_ms))),
            What::ShortWrite { node, bytes } => (node, DiskCallKind::Write, DiskVerdict::Short(bytes)),
            What::LostWrite { node } => (node, DiskCallKind::Write, DiskVerdict::Lost),
            What::Misdirected { node } => (node, DiskCallKind::Write, DiskVerdict::Misdirected(MISDIRECTED_TO)),
            _ => return false,
        };
        self.watch.borrow_mut().rules.push(Rule { node, call, name: what.name(), verdict });
        true
    }

    fn begin_with_process(&mut self, what: What) -> bool {
        match what {
            What::Crash { node, down_ms } if self.is_up[place(node)] => self.take_down(node, down_ms, Node::crash),
            What::PowerLoss { nodes, fate, down_ms } => {
                for node in (0..NODES).filter(|node| nodes >> node & 1 == 1) {
                    self.take_down(node, down_ms, |machine| {
                        machine.power_loss_with(fate);
                    });
                }
            }
            What::Restart { node, down_ms } if self.is_up[place(node)] && !self.machines[place(node)].is_paused() => {
                self.stops[place(node)].notify();
                let world = self.world.clone();
                self.take_down(node, down_ms, move |machine| {
                    world.run_until(Duration::from_secs(1), || !machine.is_running());
                });
            }
            What::Pause { node, .. } if self.is_up[place(node)] => self.machines[place(node)].pause(),
            _ => return false,
        }
        true
    }

    fn begin_with_machine(&self, what: What) -> bool {
        match what {
            What::SlowNode { node, factor, .. } => self.machines[place(node)].set_slowdown(factor),
            What::SlowReader { machine, bytes_per_s, .. } => {
                self.machines[place(machine)].set_read_rate(Some(bytes_per_s));
            }
            What::SlowDisk { node, factor, .. } => self.machines[place(node)].set_disk_slowdown(factor),
            What::FullDisk { node, .. } => self.machines[place(node)].set_disk_bytes(0),
            What::Rot { node, byte, bit } => {
                return self.machines[place(node)].flip_bit(Path::new(register::STATE), byte, bit);
            }
            What::ClockJump { node, by_ms } => self.machines[place(node)].jump_wall(by_ms),
            What::ClockDrift { node, rate_permille, .. } => self.machines[place(node)].set_clock_rate(rate_permille),
            _ => return false,
        }
        true
    }

    fn begin_with_link(&mut self, index: usize, what: What) -> bool {
        let machine = |machine: u64| &self.machines[place(machine)];
        match what {
            What::Cut { .. } | What::Partition { .. } | What::Isolate { .. } | What::Partial { .. } => {
                self.set_ways(what, false)
            }
            What::Flap { .. } => self.flip(index, true),
            What::SlowWay { from, to, extra_ms, loss_one_in, .. } => {
                let extra = Span::micros(0, extra_ms * 1_000);
                machine(from).set_way_slow(machine(to), Some(SlowWay { extra, loss_one_in }));
            }
            What::Reset { one, other } => machine(one).reset_connections(machine(other)),
            What::HalfOpen { at, with } => machine(at).forget_connections(machine(with)),
            What::ResetAfter { from, to, bytes } => machine(from).reset_after(machine(to), bytes),
            _ => return false,
        }
        true
    }

    /// Opens or closes the ways of a fault; a way that another one closes stays closed.
    fn set_ways(&self, what: What, open: bool) {
        for (from, to) in what.closed_ways() {
            let others = self.active.values();
            if !open || !others.flat_map(|other| other.closed_ways()).any(|way| way == (from, to)) {
                self.machines[place(from)].set_way_open(&self.machines[place(to)], open);
            }
        }
    }

    fn flip(&mut self, index: usize, is_closed: bool) {
        if let Some(what @ What::Flap { every_ms, .. }) = self.active.get(&index).copied() {
            self.set_ways(what, !is_closed);
            self.add(self.later(every_ms), Cue::Flip(index, !is_closed));
        }
    }

    fn end(&mut self, index: usize) {
        let Some(what) = self.active.remove(&index) else { return };
        let machine = |machine: u64| &self.machines[place(machine)];
        match what {
            What::Pause { node, .. } if machine(node).is_running() => machine(node).resume(),
            What::SlowNode { node, .. } => machine(node).set_slowdown(1),
            What::SlowReader { machine: slow, .. } => machine(slow).set_read_rate(None),
            What::SlowDisk { node, .. } => machine(node).set_disk_slowdown(1),
            What::FullDisk { node, .. } => machine(node).set_disk_bytes(DISK_BYTES),
            What::ClockDrift { node, .. } => machine(node).set_clock_rate(1_000),
            What::SlowWay { from, to, .. } => machine(from).set_way_slow(machine(to), None),
            _ => self.set_ways(what, true),
        }
    }

    /// Ends every fault and brings back whoever is down and does not refuse.
    fn heal(&mut self) {
        self.healed.set(true);
        self.watch.borrow_mut().rules.clear();
        for index in self.active.clone().into_keys() {
            self.end(index);
        }
        for from in 0..MACHINES {
            (0..MACHINES).for_each(|to| self.machines[place(from)].set_way_open(&self.machines[place(to)], true));
        }
        (0..NODES).for_each(|id| self.restart(id));
    }

    fn ran(&self, is_served: bool) -> Ran {
        let served_after = is_served.then(|| self.world.now().since(millis(SAFETY_MS)));
        let refusing = (0..NODES).filter(|id| self.refuses[place(*id)].get()).collect();
        let history = self.recorder.history();
        let mut counters = self.counters.take();
        counters.insert("acknowledged", self.recorder.acknowledged.get());
        counters.insert("unknown", self.recorder.unknown.get());
        let trace_hash = self.world.trace_hash();
        Ran { violation: linear::violation(&history), served_after, refusing, history, trace_hash, counters }
    }
}
