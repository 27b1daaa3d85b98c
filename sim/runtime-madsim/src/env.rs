//! What a shard of a simulated node gets: its [`Env`], with entropy and observations. The larger parts have files of their
//! own.

use std::rc::Rc;

use barnabas_base::Observation;
use barnabas_runtime::{Entropy, Env, Observer};

use crate::clock::SimClock;
use crate::disk::SimDisk;
use crate::key::ShardKey;
use crate::mailbox::SimShards;
use crate::net::SimNet;
use crate::shard::Shard;
use crate::tasks::SimTasks;
use crate::world::World;

/// Where in the world a handle belongs.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) world: World,
    pub(crate) key: ShardKey,
}

impl Place {
    /// Whether the process that the handle was given to still runs.
    pub(crate) fn is_alive(&self) -> bool {
        self.world.is_alive(self.key.process)
    }

    /// A number that no earlier draw of the shard had; 0 when it has gone.
    pub(crate) fn next_ordinal(&self) -> u64 {
        self.world.with_shard(self.key, Shard::next_ordinal).unwrap_or(0)
    }
}

impl World {
    /// The world as shard `key` sees it.
    pub(crate) fn env(&self, key: ShardKey) -> Env {
        let place = || Place { world: self.clone(), key };
        let started_ns = self.with_process(key.process, |process| process.started_ns);
        let started_ns = started_ns.expect("a shard is given its world when its process starts");
        Env {
            clock: Rc::new(SimClock::new(place(), started_ns)),
            tasks: Rc::new(SimTasks::new(place())),
            net: Rc::new(SimNet::new(place())),
            disk: Rc::new(SimDisk::new(place())),
            entropy: Rc::new(SimEntropy(place())),
            shards: Rc::new(SimShards::new(place())),
            observer: Rc::new(SimObserver(place())),
        }
    }
}

struct SimEntropy(Place);

impl Entropy for SimEntropy {
    fn next_u64(&self) -> u64 {
        let Self(place) = self;
        place.world.draw("entropy", place.key.entity(), place.next_ordinal()).bits()
    }
}

struct SimObserver(Place);

impl Observer for SimObserver {
    fn observe(&self, observation: &Observation) {
        let Self(place) = self;
        if place.is_alive() {
            place.world.observe(place.key.node(), place.key.shard, observation);
        }
    }
}
