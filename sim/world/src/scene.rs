//! A scene for protocol tests: one broker, and visitors who come one after the other, each from a machine of its own.
//!
//! Asserts nothing but that broker and visitor go on living. Tests drive it.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use barnabas_client::Address;
use barnabas_runtime::{Env, Local};
use barnabas_runtime_madsim::{Config, World, simulate};

use crate::{Broker, BrokerSetup, RawClient};

/// A visit that takes longer than this in simulated time is a failure.
const VISIT_MAX: Duration = Duration::from_secs(7 * 24 * 3_600);

/// One broker in a world of its own.
pub struct Scene {
    world: World,
    broker: Broker,
    visits: Cell<u32>,
}

/// What a visitor has: a machine, and the address of the broker.
#[derive(Clone)]
pub struct Visitor {
    /// The visitor's machine.
    pub env: Env,
    /// Where the broker listens.
    pub address: Address,
}

/// Starts a broker and plays `story` with it.
///
/// # Panics
/// When the broker does not start, or panics.
pub fn play<T: Send + 'static>(
    seed: u64,
    overrides: &[(&str, &str)],
    story: impl FnOnce(&Scene) -> T + Send + 'static,
) -> T {
    let overrides = overrides.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let setup = BrokerSetup { overrides, ..BrokerSetup::default() };
    simulate(seed, Config::default(), move |world| {
        let broker = Broker::new(world, "broker", setup);
        let scene = Scene { world: world.clone(), broker, visits: Cell::new(0) };
        scene.broker.start().expect("a fresh broker starts");
        story(&scene)
    })
}

/// Starts a broker and lets one visitor play `story` over a first connection.
///
/// # Panics
/// When the broker does not start, when either side panics, when the story does not end.
pub fn with_broker<T: Send + 'static>(
    seed: u64,
    overrides: &[(&str, &str)],
    story: impl AsyncFnOnce(Visitor, RawClient) -> T + Send + 'static,
) -> T {
    play(seed, overrides, move |scene| {
        scene.visit(async move |visitor| {
            let client = visitor.connect().await;
            story(visitor, client).await
        })
    })
}

impl Scene {
    /// The broker.
    #[must_use]
    pub const fn broker(&self) -> &Broker {
        &self.broker
    }

    /// The world.
    #[must_use]
    pub const fn world(&self) -> &World {
        &self.world
    }

    /// Lets a visitor come from a fresh machine and play `story` to its end.
    ///
    /// # Panics
    /// When the visitor or the broker does, or the story does not end.
    pub fn visit<T: 'static>(&self, story: impl AsyncFnOnce(Visitor) -> T + 'static) -> T {
        let number = self.visits.get();
        self.visits.set(number + 1);
        let machine = self.world.node(&format!("visitor {number}"));
        let address = self.broker.address();
        let told: Rc<RefCell<Option<T>>> = Rc::default();
        let story = Rc::new(RefCell::new(Some(story)));
        let teller = Rc::clone(&told);
        machine.start(1, move |env| -> Local<'static, ()> {
            let story = story.borrow_mut().take().expect("a visitor comes once");
            let (teller, visitor) = (Rc::clone(&teller), Visitor { env, address: address.clone() });
            Box::pin(async move {
                let value = story(visitor).await;
                *teller.borrow_mut() = Some(value);
            })
        });
        let visitor = machine.clone();
        self.world.run_until(VISIT_MAX, || told.borrow().is_some() || !visitor.is_running());
        if let Some(panicked) = self.world.take_panics().into_iter().next() {
            std::panic::resume_unwind(panicked.payload);
        }
        let value = told.borrow_mut().take();
        value.expect("the story ends in a week")
    }
}

impl fmt::Debug for Scene {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scene").field("broker", &self.broker).finish_non_exhaustive()
    }
}

impl Visitor {
    /// A new connection.
    ///
    /// # Panics
    /// When nobody listens.
    pub async fn connect(&self) -> RawClient {
        match RawClient::connect(&self.env, &self.address).await {
            Ok(client) => client,
            Err(error) => panic!("cannot connect to the broker: {error}"),
        }
    }
}

impl fmt::Debug for Visitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Visitor").field("address", &self.address).finish_non_exhaustive()
    }
}
