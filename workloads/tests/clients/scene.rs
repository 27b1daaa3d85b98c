//! One broker and some clients in a simulated world: what a plan has them do, and the evidence they leave.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use barnabas_client::Address;
use barnabas_history::{ClientLife, Evidence};
use barnabas_metadata::config::{BrokerConfig, ConfigSources};
use barnabas_node::{Node, NodeOptions};
use barnabas_plan::{Action, ClientName, Lane, Operation, Plan, PlannedClient, PlannedTopic, TopicName};
use barnabas_runtime::sync::Notify;
use barnabas_runtime::{Env, Local};
use barnabas_runtime_madsim::{Config, Node as Machine, World, simulate};
use barnabas_workloads::{ClientEnd, Recorder, Script, read_everything, run_client, set_up};

const PORT: u16 = 9_092;
const DATA_SHARDS: u16 = 2;
/// Longest simulated time for anything to be done.
const DONE_MAX: Duration = Duration::from_secs(600);
/// Who reads everything at the end.
pub(crate) const READER: ClientLife = ClientLife { client: ClientName(900), life: 0 };

/// A world with one broker.
pub(crate) struct Scene {
    pub(crate) world: World,
    pub(crate) machine: Machine,
    pub(crate) evidence: Rc<RefCell<Evidence>>,
    recorder: Recorder,
    overrides: Vec<(String, String)>,
    plan: Plan,
    visits: Cell<u32>,
}

pub(crate) fn topic(number: u16, partitions: u32) -> PlannedTopic {
    PlannedTopic { name: TopicName(number), partitions, configs: Default::default() }
}

pub(crate) fn client(number: u16) -> PlannedClient {
    PlannedClient {
        name: ClientName(number),
        acks: -1,
        idempotent: true,
        in_flight: 5,
        compression: "none".to_owned(),
        delivery_timeout_ms: 30_000,
        session_timeout_ms: 6_000,
        fetch_bytes: 4_096,
    }
}

/// Adds an operation to a plan.
pub(crate) fn add(plan: &mut Plan, client: u16, at_ms: u64, action: Action) {
    let id = u32::try_from(plan.operations.len()).expect("few");
    plan.operations.push(Operation { id, client: ClientName(client), at_ms, action });
}

/// A plan with these topics and clients.
pub(crate) fn plan(lane: Lane, topics: Vec<PlannedTopic>, clients: Vec<PlannedClient>) -> Plan {
    Plan { topics, clients, ..Plan::empty(1, lane) }
}

/// Plays a plan: sets up, lets all clients run while `meanwhile` happens, reads everything.
pub(crate) fn play(
    plan: Plan,
    overrides: &[(&str, &str)],
    meanwhile: impl FnOnce(&Scene) + Send + 'static,
) -> Evidence {
    let overrides = overrides.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    simulate(plan.seed, Config::default(), move |world| {
        let scene = Scene::new(world, plan, overrides);
        scene.start();
        scene.set_up();
        let left = scene.run_clients();
        meanwhile(&scene);
        assert!(world.run_until(DONE_MAX, || left.get() == 0), "every client ends");
        scene.no_panics();
        scene.read();
        scene.no_panics();
        scene.evidence.borrow().clone()
    })
}

impl Scene {
    fn new(world: &World, plan: Plan, overrides: Vec<(String, String)>) -> Self {
        let evidence = Rc::new(RefCell::new(Evidence::new(plan.clone())));
        let clock = world.clone();
        let recorder = Recorder::new(Rc::clone(&evidence), Rc::new(move || clock.now()));
        let machine = world.node("broker");
        Self { world: world.clone(), machine, evidence, recorder, overrides, plan, visits: Cell::new(0) }
    }

    /// Starts the broker and waits until it serves.
    pub(crate) fn start(&self) {
        let own = [("listeners", format!("PLAINTEXT://0.0.0.0:{PORT}")), ("log.dirs", "/data".to_owned())];
        let own = own.into_iter().map(|(key, value)| (key.to_owned(), value));
        let overrides = own.chain(self.overrides.iter().cloned()).collect();
        let (config, _) = BrokerConfig::from_sources(&ConfigSources { overrides, ..ConfigSources::default() })
            .unwrap_or_else(|problems| panic!("the configuration is refused: {}", problems[0]));
        let options = NodeOptions { config, data_shards: DATA_SHARDS, version: "test" };
        let node = Node::new(Arc::new(options));
        let serving = Rc::new(Cell::new(false));
        let started = Rc::clone(&serving);
        self.machine.start(DATA_SHARDS + 1, move |env| -> Local<'static, ()> {
            let node = node.clone();
            if env.shards.this().0 != DATA_SHARDS {
                return Box::pin(async move { node.run_data_shard(env).await });
            }
            let started = Rc::clone(&started);
            let never = Rc::new(Notify::new());
            Box::pin(async move {
                let stopped = async move { never.changed_since(0).await };
                node.run_controller_shard(env, move |_| started.set(true), stopped).await;
            })
        });
        assert!(self.world.run_until(DONE_MAX, || serving.get()), "the broker serves");
    }

    fn bootstrap(&self) -> Vec<Address> {
        vec![Address { host: self.machine.ip().to_string(), port: PORT }]
    }

    /// Runs one task on a machine of its own to its end.
    fn visit(&self, story: impl AsyncFnOnce(Env) -> Result<(), String> + 'static) {
        let number = self.visits.get();
        self.visits.set(number + 1);
        let told: Rc<RefCell<Option<Result<(), String>>>> = Rc::default();
        let (teller, story) = (Rc::clone(&told), Rc::new(RefCell::new(Some(story))));
        self.world.node(&format!("visitor {number}")).start(1, move |env| -> Local<'static, ()> {
            let story = story.borrow_mut().take().expect("a visitor comes once");
            let teller = Rc::clone(&teller);
            Box::pin(async move {
                let outcome = story(env).await;
                *teller.borrow_mut() = Some(outcome);
            })
        });
        self.world.run_until(DONE_MAX, || told.borrow().is_some());
        self.no_panics();
        let outcome = told.borrow_mut().take();
        outcome.expect("the visit ends").expect("the visit goes well");
    }

    fn set_up(&self) {
        let (bootstrap, topics) = (self.bootstrap(), self.plan.topics.clone());
        self.visit(async move |env| set_up(env, bootstrap, topics).await);
    }

    fn read(&self) {
        let (bootstrap, recorder, lane) = (self.bootstrap(), self.recorder.clone(), self.plan.lane);
        self.visit(async move |env| read_everything(env, bootstrap, 1_024, lane, READER, recorder).await);
    }

    /// Starts every client; the cell counts those that have not ended.
    fn run_clients(&self) -> Rc<Cell<usize>> {
        let left = Rc::new(Cell::new(self.plan.clients.len()));
        let (world, began) = (self.world.clone(), self.world.now());
        let elapsed_ms: Rc<dyn Fn() -> u64> =
            Rc::new(move || u64::try_from(world.now().since(began).as_millis()).expect("short"));
        for client in &self.plan.clients {
            let own = |operation: &&Operation| operation.client == client.name;
            let script = Rc::new(Script {
                client: client.clone(),
                bootstrap: self.bootstrap(),
                operations: self.plan.operations.iter().filter(own).cloned().collect(),
                lane: self.plan.lane,
                safety_ms: self.plan.safety_ms,
            });
            let (elapsed_ms, recorder, left) = (Rc::clone(&elapsed_ms), self.recorder.clone(), Rc::clone(&left));
            // A crash is played here by dropping everything the life had.
            self.world.node(&client.name.to_string()).start(1, move |env| -> Local<'static, ()> {
                let (script, elapsed_ms) = (Rc::clone(&script), Rc::clone(&elapsed_ms));
                let (recorder, left) = (recorder.clone(), Rc::clone(&left));
                Box::pin(async move {
                    let (mut from, mut life) = (0, 0);
                    loop {
                        let life_of = run_client(
                            env.clone(),
                            Rc::clone(&script),
                            from,
                            life,
                            Rc::clone(&elapsed_ms),
                            recorder.clone(),
                        );
                        match life_of.await {
                            ClientEnd::Crashed { next } => (from, life) = (next, life + 1),
                            ClientEnd::Done => break,
                        }
                    }
                    left.set(left.get() - 1);
                })
            });
        }
        left
    }

    fn no_panics(&self) {
        if let Some(panicked) = self.world.take_panics().into_iter().next() {
            std::panic::resume_unwind(panicked.payload);
        }
    }

    /// Lets simulated time pass.
    pub(crate) fn wait_ms(&self, ms: u64) {
        self.world.run_for(Duration::from_millis(ms));
    }
}
