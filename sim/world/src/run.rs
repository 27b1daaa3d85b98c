//! A run: producers write numbered records, the broker goes down in some way and comes back, everything is read twice.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use barnabas_base::Keyed;
use barnabas_history::{History, Process};
use barnabas_runtime::Local;
use barnabas_runtime_madsim::{Config, World, simulate};
use barnabas_workloads::{Numbered, final_read, produce};

use crate::{Broker, BrokerSetup};

/// How the broker goes down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// SIGTERM.
    Clean,
    /// SIGKILL: the page cache stays.
    Crash,
    /// The machine loses power: what was not synced is lost, torn or kept.
    PowerLoss,
}

/// What a run does.
#[derive(Clone, Debug)]
pub struct Run {
    /// The seed everything is drawn from.
    pub seed: u64,
    /// The broker.
    pub setup: BrokerSetup,
    /// Producers.
    pub producers: u32,
    /// Records of each producer.
    pub records: u64,
    /// Partitions of the topic.
    pub partitions: i32,
    /// How the broker goes down.
    pub stop: Stop,
    /// How often it goes down while producers write; a last time comes after they have ended.
    pub stops_under_load: u32,
}

/// What a run leaves behind.
#[derive(Clone, Debug)]
pub struct Report {
    /// What clients saw.
    pub history: History,
    /// Hash over everything that happened.
    pub trace_hash: u64,
    /// How many things the hash is over.
    pub trace_count: u64,
}

/// Longest simulated time from one stop to the next.
const STOP_AFTER_MAX_MS: u64 = 400;
/// Simulated time in which producers have to get everything delivered or given up once the broker stays up.
const DRAIN_MAX: Duration = Duration::from_secs(300);
/// Simulated time for one read of everything.
const READ_MAX: Duration = Duration::from_secs(300);

impl Run {
    /// Executes the run in a world of its own.
    #[must_use]
    pub fn execute(&self) -> Report {
        let run = self.clone();
        simulate(self.seed, Config::default(), move |world| run.scenario(world))
    }

    fn scenario(&self, world: &World) -> Report {
        let broker = Broker::new(world, "broker", self.setup.clone());
        broker.start().expect("a fresh broker starts");
        let plan = self.plan(&broker);
        let history = Rc::new(RefCell::new(History::new()));
        let writing = self.start_producers(world, &plan, &history);
        for round in 0..self.stops_under_load {
            let draw = Keyed::new(self.seed, "stop under load").with(u64::from(round));
            world.run_for(Duration::from_millis(1 + draw.below(STOP_AFTER_MAX_MS)));
            self.take_down(&broker);
            broker.start().expect("the broker comes back");
        }
        let drained = world.run_until(DRAIN_MAX, || writing.get() == 0);
        assert!(drained, "producers end once the broker stays up");
        read_all(world, "first reader", &plan, 1024 * 1024, &Rc::new(RefCell::new(History::new())));
        self.take_down(&broker);
        broker.start().expect("the broker comes back for the final read");
        read_all(world, "final reader", &plan, 4 * 1024, &history);
        let history = history.borrow().clone();
        Report { history, trace_hash: world.trace_hash(), trace_count: world.trace_count() }
    }

    fn plan(&self, broker: &Broker) -> Numbered {
        let draw = |purpose| Keyed::new(self.seed, purpose);
        Numbered {
            bootstrap: vec![broker.address()],
            topic: "numbered".to_owned(),
            partitions: self.partitions,
            in_flight_max: 1 + usize::try_from(draw("in flight").below(32)).expect("small"),
            padding_bytes: usize::try_from(draw("padding").below(2_000)).expect("small"),
            delivery_timeout_ms: 60_000,
            compression: barnabas_workloads::Compression::None,
        }
    }

    /// Starts the producers, each on a machine of its own; the cell counts those that have not ended.
    fn start_producers(&self, world: &World, plan: &Numbered, history: &Rc<RefCell<History>>) -> Rc<Cell<u32>> {
        let writing = Rc::new(Cell::new(self.producers));
        for index in 0..self.producers {
            let (plan, history, writing) = (plan.clone(), Rc::clone(history), Rc::clone(&writing));
            let count = self.records;
            world.node(&format!("producer {index}")).start(1, move |env| -> Local<'static, ()> {
                let (plan, history, writing) = (plan.clone(), Rc::clone(&history), Rc::clone(&writing));
                Box::pin(async move {
                    produce(env, plan, Process(index), count, history).await;
                    writing.set(writing.get() - 1);
                })
            });
        }
        writing
    }

    fn take_down(&self, broker: &Broker) {
        match self.stop {
            Stop::Clean => broker.stop().expect("the broker stops cleanly"),
            Stop::Crash => broker.machine().crash(),
            Stop::PowerLoss => broker.machine().power_loss(),
        }
    }
}

fn read_all(world: &World, name: &str, plan: &Numbered, bytes_max: i32, history: &Rc<RefCell<History>>) {
    let done = Rc::new(Cell::new(false));
    let (plan, history, ended) = (plan.clone(), Rc::clone(history), Rc::clone(&done));
    world.node(name).start(1, move |env| -> Local<'static, ()> {
        let (plan, history, ended) = (plan.clone(), Rc::clone(&history), Rc::clone(&ended));
        Box::pin(async move {
            final_read(env, plan, bytes_max, history).await;
            ended.set(true);
        })
    });
    assert!(world.run_until(READ_MAX, || done.get()), "everything can be read");
}
