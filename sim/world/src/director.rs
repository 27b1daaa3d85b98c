//! [`Director`]: carries out a plan: begins and ends faults when they are due, brings back what went down, begins the lives
//! of clients. It acts between the events of the world, before time moves on.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use barnabas_base::Monotonic;
use barnabas_history::{self as history, Happening, What};
use barnabas_plan::{Fault, Machine, NodeName, Plan, Trigger};
use barnabas_runtime_madsim::{DiskImage, Node as MachineOf, World};
use barnabas_workloads::Recorder;

use crate::Broker;
use crate::agenda::{Agenda, Cue};
use crate::crew::Crew;
use crate::disk_rules::DiskRules;
use crate::execute::left_disk;
use crate::watch::SharedWatch;

/// A broker that ended without having been asked to starts again after this long, as a service manager has it.
const RESTART_MS: u64 = 1_000;
/// One that cannot start is not tried more often than this in a quiet stretch, as what comes round in a broker is not.
const RESTARTS_MAX: u64 = 10_000;
/// A client that crashed comes back after this long.
const REBIRTH_MS: u64 = 200;
/// Old disks are kept at this interval, when the plan has a use for them.
const IMAGE_EVERY_MS: u64 = 2_000;

/// Disks that clean stops have left are kept for the checkers, the last so many: each is a copy.
const LEFT_DISKS_MAX: usize = 3;

/// The only broker of a run.
pub(crate) const NODE: NodeName = NodeName(0);

/// What happens to a run's machines.
pub(crate) struct Director<'a> {
    pub(crate) world: &'a World,
    pub(crate) plan: &'a Plan,
    pub(crate) broker: &'a Broker,
    pub(crate) crew: Crew,
    pub(crate) recorder: Recorder,
    pub(crate) watch: SharedWatch,
    pub(crate) rules: Rc<RefCell<DiskRules>>,
    pub(crate) agenda: Agenda,
    /// The disk of the broker as it was, the oldest first; none is older than a fault of the plan asks for.
    pub(crate) images: VecDeque<(Monotonic, DiskImage)>,
    /// Faults that have begun and not ended.
    pub(crate) active: Vec<usize>,
    /// When the safety phase began; clients look at it as well.
    began: Rc<Cell<Monotonic>>,
    /// Lives of the broker so far.
    pub(crate) lives: Rc<Cell<u64>>,
    /// When it starts again after a stop that was asked for, in milliseconds after its end.
    pub(crate) back_ms: Option<u64>,
    /// Whether the broker's process is expected to run.
    pub(crate) is_up: bool,
    was_serving: bool,
    /// Whether the last life of the broker ended by a clean stop.
    ended_cleanly: bool,
    /// What clean stops have left, as the next life found it.
    pub(crate) left: VecDeque<history::DiskImage>,
    /// Kills that the plan asked for; a process that ends otherwise did so by itself.
    pub(crate) asked_to_stop: bool,
}

impl<'a> Director<'a> {
    pub(crate) fn new(
        (world, plan, broker): (&'a World, &'a Plan, &'a Broker),
        crew: Crew,
        (recorder, lives, began): (Recorder, Rc<Cell<u64>>, Rc<Cell<Monotonic>>),
        (watch, rules): (SharedWatch, Rc<RefCell<DiskRules>>),
    ) -> Self {
        Self {
            world,
            plan,
            broker,
            crew,
            recorder,
            watch,
            rules,
            agenda: Agenda::default(),
            images: VecDeque::new(),
            active: Vec::new(),
            began,
            lives,
            back_ms: None,
            is_up: false,
            was_serving: false,
            ended_cleanly: false,
            left: VecDeque::new(),
            asked_to_stop: false,
        }
    }

    /// Begins the safety phase: every fault gets its place, every client its first life.
    pub(crate) fn begin(&mut self) {
        self.began.set(self.world.now());
        for (index, planned) in self.plan.faults.iter().enumerate() {
            let since = self.at(planned.trigger.since_ms());
            match planned.trigger {
                Trigger::At { .. } => self.agenda.add(since, Cue::Begin(index)),
                Trigger::Issued { .. }
                | Trigger::Done { .. }
                | Trigger::Answered { .. }
                | Trigger::Observed { .. }
                | Trigger::Started { .. } => self.watch.borrow_mut().add(index, &planned.trigger, since),
            }
        }
        if let Some((begins, _)) = self.quiet() {
            self.agenda.add(begins, Cue::Quiet);
        }
        if self.oldest_disk().is_some() {
            self.agenda.add(self.world.now(), Cue::TakeImage(NODE));
        }
        for name in self.crew.names() {
            self.crew.begin_life(name);
        }
    }

    /// World time of a time of the safety phase.
    pub(crate) fn at(&self, ms: u64) -> Monotonic {
        self.began.get().after(Duration::from_millis(self.plan.after_quiet_ms(ms)))
    }

    /// When the quiet stretch begins and how long it lasts, if the plan has one.
    fn quiet(&self) -> Option<(Monotonic, Duration)> {
        let quiet = self.plan.quiet?;
        let begins = self.began.get().after(Duration::from_millis(quiet.at_ms));
        Some((begins, Duration::from_millis(quiet.for_ms)))
    }

    /// How much of the safety phase has passed by `at`, in milliseconds.
    pub(crate) fn passed_ms(&self, at: Monotonic) -> u128 {
        at.since(self.began.get()).as_millis()
    }

    pub(crate) fn later(&self, ms: u64) -> Monotonic {
        self.world.now().after(Duration::from_millis(ms))
    }

    pub(crate) fn happened(&self, happening: Happening) {
        self.recorder.push(What::Happened(happening));
    }

    /// Lets the world go on until `end`, or until `done`; whether it is done.
    pub(crate) fn run_until(&mut self, end: Monotonic, done: impl Fn() -> bool) -> bool {
        loop {
            self.attend();
            if done() {
                return true;
            }
            let now = self.world.now();
            if now >= end {
                return false;
            }
            let next = self.agenda.next_at().map_or(end, |at| at.min(end));
            let (watch, news) = (Rc::clone(&self.watch), self.crew.has_news());
            let (broker, is_up, was_serving) = (self.broker, self.is_up, self.was_serving);
            self.world.run_until(next.since(now), || {
                watch.borrow().is_due()
                    || done()
                    || news.get()
                    || is_up != broker.machine().is_running()
                    || was_serving != broker.is_serving()
            });
        }
    }

    /// Takes care of everything that has happened and is due.
    fn attend(&mut self) {
        loop {
            self.note_panics();
            self.note_the_broker();
            for name in self.crew.take_ended() {
                self.agenda.add(self.later(REBIRTH_MS), Cue::Rebirth(name));
            }
            let due = self.watch.borrow_mut().take_due();
            if let Some(fault) = due {
                self.begin_fault(fault);
                continue;
            }
            match self.agenda.take_due(self.world.now()) {
                Some(cue) => self.perform(cue),
                None => return,
            }
        }
    }

    fn note_panics(&self) {
        for panicked in self.world.take_panics() {
            let node = self.broker.machine().id();
            let of_client = |machine: &&MachineOf| machine.id() == panicked.node;
            let client =
                self.crew.names().into_iter().find(|name| self.crew.machine(*name).is_some_and(|m| of_client(&m)));
            let machine = match client {
                Some(name) if panicked.node != node => Machine::Client(name),
                _ => Machine::Node(NODE),
            };
            let (task, message) = (panicked.task.to_owned(), panicked.message().to_owned());
            self.happened(Happening::Panicked { machine, task, message });
        }
    }

    fn note_the_broker(&mut self) {
        if self.is_up && !self.broker.machine().is_running() {
            self.is_up = false;
            let clean = self.asked_to_stop && self.broker.failure().is_none();
            self.happened(Happening::Ended { node: NODE, clean });
            self.ended_cleanly = clean;
            let back_ms = if self.asked_to_stop { self.back_ms.take() } else { Some(self.restart_ms()) };
            if let Some(back_ms) = back_ms {
                self.agenda.add(self.later(back_ms), Cue::Launch(NODE));
            }
            self.asked_to_stop = false;
        }
        let is_serving = self.broker.is_serving();
        if is_serving && !self.was_serving {
            self.happened(Happening::Serving { node: NODE });
        }
        self.was_serving = is_serving;
    }

    /// How long a broker that ended by itself stays down.
    fn restart_ms(&self) -> u64 {
        let now = self.world.now();
        match self.plan.quiet.zip(self.quiet()) {
            Some((quiet, (begins, lasts))) if begins <= now && now < begins.after(lasts) => {
                RESTART_MS.max(quiet.for_ms / RESTARTS_MAX)
            }
            Some(_) | None => RESTART_MS,
        }
    }

    fn perform(&mut self, cue: Cue) {
        match cue {
            Cue::Begin(fault) => self.begin_fault(fault),
            Cue::End(fault) => self.end_fault(fault),
            Cue::Flip(fault) => self.flip(fault),
            Cue::Launch(_) => self.launch(),
            Cue::Kill(_, life) => {
                if self.lives.get() == life && self.is_up {
                    // A stop that is cut short is none.
                    let back_ms = self.back_ms.take().unwrap_or(1);
                    self.take_down(back_ms, |machine| machine.crash());
                }
            }
            Cue::Rebirth(name) => self.crew.begin_life(name),
            Cue::TakeImage(_) => self.take_image(),
            Cue::Quiet => self.happened(Happening::Quiet),
        }
    }

    /// The greatest age of an old disk that the plan puts back.
    fn oldest_disk(&self) -> Option<Duration> {
        let age = |fault: &Fault| match fault {
            Fault::OldDisk { age_ms, .. } => Some(Duration::from_millis(*age_ms)),
            _ => None,
        };
        self.plan.faults.iter().filter_map(|planned| age(&planned.fault)).max()
    }

    /// Keeps the disk as it is, and those before it as far back as the plan looks: a quiet stretch of days would fill the
    /// memory otherwise.
    fn take_image(&mut self) {
        let (now, oldest) = (self.world.now(), self.oldest_disk().unwrap_or_default());
        self.images.push_back((now, self.broker.machine().disk_image()));
        while self.images.get(1).is_some_and(|(at, _)| at.after(oldest) <= now) {
            self.images.pop_front();
        }
        let mut next = self.later(IMAGE_EVERY_MS);
        if let Some((begins, lasts)) = self.quiet() {
            let needed = begins.after(lasts.saturating_sub(oldest));
            if next > begins {
                next = next.max(needed);
            }
        }
        self.agenda.add(next, Cue::TakeImage(NODE));
    }

    /// Starts the broker's process, if none runs.
    pub(crate) fn launch(&mut self) {
        if self.is_up {
            return;
        }
        if std::mem::take(&mut self.ended_cleanly) {
            self.left.push_back(left_disk(self.broker, self.recorder.steps()));
            if self.left.len() > LEFT_DISKS_MAX {
                self.left.pop_front();
            }
        }
        self.lives.set(self.lives.get() + 1);
        self.is_up = true;
        self.asked_to_stop = false;
        self.happened(Happening::Started { node: NODE, life: self.lives.get() });
        self.broker.launch();
        self.watch.borrow_mut().on_start(self.world.now());
    }

    /// The broker goes down by `kill` and comes back after `back_ms`.
    pub(crate) fn take_down(&mut self, back_ms: u64, kill: impl FnOnce(&MachineOf)) {
        kill(self.broker.machine());
        self.ended_cleanly = false;
        if self.is_up {
            self.is_up = false;
            self.asked_to_stop = false;
            self.happened(Happening::Ended { node: NODE, clean: false });
        }
        self.was_serving = false;
        self.agenda.add(self.later(back_ms), Cue::Launch(NODE));
    }

    /// The machine of that name.
    pub(crate) fn machine(&self, machine: Machine) -> Option<&MachineOf> {
        match machine {
            Machine::Node(_) => Some(self.broker.machine()),
            Machine::Client(name) => self.crew.machine(name),
        }
    }
}
