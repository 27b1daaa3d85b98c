//! One broker on one simulated node.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use barnabas_client::Address;
use barnabas_metadata::config::{BrokerConfig, ConfigSources};
use barnabas_node::{Node, NodeOptions};
use barnabas_runtime::sync::Notify;
use barnabas_runtime::{Env, Local};
use barnabas_runtime_madsim::{Node as Machine, World};

/// How a broker is laid out.
#[derive(Clone, Debug)]
pub struct BrokerSetup {
    /// Shards that own partitions.
    pub data_shards: u16,
    /// Configuration beside where it listens and where its data is.
    pub overrides: Vec<(String, String)>,
}

impl Default for BrokerSetup {
    fn default() -> Self {
        Self { data_shards: 2, overrides: Vec::new() }
    }
}

/// Port brokers listen on.
const PORT: u16 = 9_092;
/// Port that their controllers name; a cluster of one has nobody to listen to there.
const CONTROLLER_PORT: u16 = 9_093;
/// Where their data is, on their own disk.
const DATA: &str = "/data";
/// A start that takes longer than this in simulated time is a failure.
const START_MAX: Duration = Duration::from_secs(60);

/// A broker and the machine it runs on.
pub struct Broker {
    machine: Machine,
    world: World,
    setup: BrokerSetup,
    /// What it was told beside its set-up.
    told: RefCell<Vec<(String, String)>>,
    state: Rc<State>,
}

#[derive(Default)]
struct State {
    serving: Cell<bool>,
    stop: RefCell<Rc<Notify>>,
    node: RefCell<Option<Node>>,
    /// Why the life before the one that starts ended, when it said so.
    failed_before: RefCell<Option<String>>,
}

impl Broker {
    /// Makes the machine; nothing runs on it yet.
    #[must_use]
    pub fn new(world: &World, name: &str, setup: BrokerSetup) -> Self {
        let machine = world.node(name);
        Self { machine, world: world.clone(), setup, told: RefCell::default(), state: Rc::default() }
    }

    /// Where clients reach it.
    #[must_use]
    pub fn address(&self) -> Address {
        Address { host: self.machine.ip().to_string(), port: PORT }
    }

    /// Changes its configuration from the next start on.
    pub fn configure(&self, key: &str, value: &str) {
        self.told.borrow_mut().push((key.to_owned(), value.to_owned()));
    }

    /// The machine, for faults.
    #[must_use]
    pub const fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Starts the broker and waits until it serves.
    ///
    /// # Errors
    /// What the broker said when it could not start, or that it took too long.
    pub fn start(&self) -> Result<(), String> {
        self.launch();
        let (state, machine) = (Rc::clone(&self.state), self.machine.clone());
        let ended = self.world.run_until(START_MAX, || state.serving.get() || !machine.is_running());
        match (self.state.serving.get(), self.failure()) {
            (true, _) => Ok(()),
            (false, Some(failure)) => Err(failure),
            (false, None) if ended => Err("the broker ended without a word".to_owned()),
            (false, None) => Err("the broker did not serve in time".to_owned()),
        }
    }

    /// Whether it serves clients.
    #[must_use]
    pub fn is_serving(&self) -> bool {
        self.state.serving.get() && self.machine.is_running()
    }

    /// Why its last process ended, when it said so.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        self.state.node.borrow().as_ref().and_then(|node| node.outcome().failure())
    }

    /// Why it does not serve: one that is started again and again may be in the middle of the next attempt.
    #[must_use]
    pub fn why_down(&self) -> Option<String> {
        self.failure().or_else(|| self.state.failed_before.borrow().clone())
    }

    /// Asks the broker to stop, as SIGTERM does.
    pub fn ask_to_stop(&self) {
        self.state.stop.borrow().notify();
    }

    /// Starts the broker's process; it serves after a while.
    pub fn launch(&self) {
        let options = Arc::new(NodeOptions {
            config: self.config(),
            data_shards: self.setup.data_shards,
            version: env!("CARGO_PKG_VERSION"),
        });
        let node = Node::new(options);
        let state = Rc::clone(&self.state);
        state.serving.set(false);
        *state.stop.borrow_mut() = Rc::new(Notify::new());
        *state.failed_before.borrow_mut() = self.failure();
        *state.node.borrow_mut() = Some(node.clone());
        let controller = self.setup.data_shards;
        let running = Rc::clone(&state);
        self.machine.start(controller + 1, move |env| -> Local<'static, ()> {
            if env.shards.this().0 == controller {
                Box::pin(run_controller(env, node.clone(), Rc::clone(&running)))
            } else {
                let node = node.clone();
                Box::pin(async move { node.run_data_shard(env).await })
            }
        });
    }

    /// Stops the broker as SIGTERM does and waits for its end.
    ///
    /// # Errors
    /// That it did not stop, or what went wrong while it did.
    pub fn stop(&self) -> Result<(), String> {
        self.ask_to_stop();
        if !self.machine.run_until_stopped(START_MAX) {
            return Err("the broker did not stop".to_owned());
        }
        self.failure().map_or(Ok(()), Err)
    }

    /// What it was set up with stands in a file, as people do it; what it is told later wins over that.
    fn config(&self) -> BrokerConfig {
        let own = [
            ("process.roles", "broker,controller".to_owned()),
            ("listeners", format!("PLAINTEXT://0.0.0.0:{PORT},CONTROLLER://0.0.0.0:{CONTROLLER_PORT}")),
            ("controller.listener.names", "CONTROLLER".to_owned()),
            ("inter.broker.listener.name", "PLAINTEXT".to_owned()),
            ("log.dirs", DATA.to_owned()),
        ];
        let own = own.iter().map(|(key, value)| (*key, value.as_str()));
        let set_up = self.setup.overrides.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let text: String = own.chain(set_up).map(|(key, value)| format!("{key} = {value}\n")).collect();
        let file = Some(("server.properties".to_owned(), text));
        let sources = ConfigSources { file, overrides: self.told.borrow().clone(), ..ConfigSources::default() };
        match BrokerConfig::from_sources(&sources) {
            Ok((config, _)) => config,
            Err(problems) => panic!("the scenario's configuration is refused: {}", problems[0]),
        }
    }
}

async fn run_controller(env: Env, node: Node, state: Rc<State>) {
    let stop = Rc::clone(&state.stop.borrow());
    let serving = Rc::clone(&state);
    let stopped = async move { stop.changed_since(0).await };
    node.run_controller_shard(env, move |_| serving.serving.set(true), stopped).await;
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker").field("machine", &self.machine).finish_non_exhaustive()
    }
}
