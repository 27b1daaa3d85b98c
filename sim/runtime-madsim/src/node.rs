//! A node: a machine with a disk and an address, and the process that runs on it, is killed and comes back.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::time::Duration;

use barnabas_base::{Incarnation, ShardId, TimestampMs};
use barnabas_runtime::{Env, Local};

use crate::fault::{DiskCall, DiskHook, DiskVerdict};
use crate::key::{NodeId, ProcessKey, ShardKey};
use crate::power::Fates;
use crate::shard::Shard;
use crate::volume::Volume;
use crate::world::World;

/// What a node runs: called once per shard at every start.
type Main = Rc<dyn Fn(Env) -> Local<'static, ()>>;

/// A disk operation that has begun: what it does when its time has come.
pub(crate) type Operation = Box<dyn FnOnce(&World)>;

/// Everything of one machine.
pub(crate) struct NodeState {
    pub(crate) name: String,
    pub(crate) main: Option<Main>,
    shards: u16,
    incarnation: Incarnation,
    pub(crate) process: Option<Process>,
    /// Whether the machine answers packets.
    pub(crate) powered: bool,
    pub(crate) volume: Volume,
    /// Disk operations that have begun and not ended, in the order in which they began.
    pub(crate) operations: BTreeMap<u64, Operation>,
    pub(crate) next_operation: u64,
    pub(crate) hook: Option<DiskHook>,
    pub(crate) calls: BTreeMap<crate::DiskCallKind, u64>,
    pub(crate) next_endpoint: u64,
    pub(crate) next_port: u16,
}

/// First of the ports that are handed out to those who do not ask for one.
pub(crate) const EPHEMERAL_PORT_MIN: u16 = 32_768;

/// One run of the node's program.
pub(crate) struct Process {
    pub(crate) key: ProcessKey,
    pub(crate) started_ns: u64,
    pub(crate) shards: Vec<Shard>,
}

impl NodeState {
    pub(crate) fn new(name: &str, disk_bytes: u64, now: TimestampMs) -> Self {
        Self {
            name: name.to_owned(),
            main: None,
            shards: 0,
            incarnation: Incarnation(0),
            process: None,
            powered: true,
            volume: Volume::new(disk_bytes, now.0),
            operations: BTreeMap::new(),
            next_operation: 0,
            hook: None,
            calls: BTreeMap::new(),
            next_endpoint: 0,
            next_port: EPHEMERAL_PORT_MIN,
        }
    }
}

/// A handle on one node, for scenarios.
#[derive(Clone)]
pub struct Node {
    world: World,
    id: NodeId,
}

impl Node {
    pub(crate) const fn new(world: World, id: NodeId) -> Self {
        Self { world, id }
    }

    /// Its id.
    #[must_use]
    pub const fn id(&self) -> NodeId {
        self.id
    }

    /// Its address on the network.
    #[must_use]
    pub const fn ip(&self) -> IpAddr {
        ip_of(self.id)
    }

    /// Starts a process of `shards` event loops, each running `main`. [`Node::restart`] will start the same again.
    pub fn start(&self, shards: u16, main: impl Fn(Env) -> Local<'static, ()> + 'static) {
        assert!(shards > 0, "a node has at least one shard");
        self.state(|node| {
            node.shards = shards;
            node.main = Some(Rc::new(main));
        });
        self.restart();
    }

    /// Starts what was started before.
    pub fn restart(&self) {
        assert!(!self.is_running(), "a node runs one process");
        let now_ns = self.world.now_ns();
        let (key, shards, main) = self.state(|node| {
            node.powered = true;
            node.incarnation = Incarnation(node.incarnation.0 + 1);
            let key = ProcessKey { node: self.id, incarnation: node.incarnation };
            let shards = (0..node.shards).map(|_| Shard::default()).collect();
            node.process = Some(Process { key, started_ns: now_ns, shards });
            (key, node.shards, node.main.clone().expect("a node is started before it is restarted"))
        });
        self.world.record("start", u64::from(self.id.0), key.incarnation.0);
        for index in 0..shards {
            let shard = ShardKey { process: key, shard: ShardId(index) };
            let future = main(self.world.env(shard));
            self.world.add_task(shard, "main", future, |_| None);
        }
    }

    /// Whether its process runs: it was started, and neither ended nor died.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.state(|node| node.process.is_some())
    }

    /// Kills the process (SIGKILL): the page cache stays, the kernel closes the connections, and of the operations in
    /// flight each happens or not.
    pub fn crash(&self) {
        self.world.record("crash", u64::from(self.id.0), 0);
        self.world.kill(self.id);
    }

    /// Takes the power away: nobody hears of it, and what was not synced is lost, torn or kept. Until the next
    /// [`Node::restart`] the machine is silent.
    pub fn power_loss(&self) {
        self.world.record("power loss", u64::from(self.id.0), 0);
        self.world.lose_power(self.id);
    }

    /// Changes the size of its file system.
    pub fn set_disk_bytes(&self, bytes: u64) {
        self.state(|node| node.volume.set_capacity(bytes));
    }

    /// Has `hook` decide about every disk call of the node from here on. It must not touch the world.
    pub fn on_disk_call(&self, hook: impl FnMut(&DiskCall<'_>) -> DiskVerdict + 'static) {
        self.state(|node| node.hook = Some(Box::new(hook)));
    }

    /// Whether packets from this node reach `to`. Packets on a closed way are not lost but sent again until they get
    /// through, or the sender gives up.
    pub fn set_way_open(&self, to: &Self, open: bool) {
        self.world.set_way_open(self.id, to.id, open);
    }

    /// Lets events happen until its process has ended; whether it did within `limit`.
    #[must_use]
    pub fn run_until_stopped(&self, limit: Duration) -> bool {
        self.world.run_until(limit, || !self.is_running())
    }

    fn state<T>(&self, with: impl FnOnce(&mut NodeState) -> T) -> T {
        self.world.with_node(self.id, with)
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("id", &self.id).field("running", &self.is_running()).finish()
    }
}

/// The address of a node.
pub(crate) const fn ip_of(node: NodeId) -> IpAddr {
    let [high, low] = node.0.to_be_bytes();
    IpAddr::V4(Ipv4Addr::new(10, high, low, 1))
}

impl World {
    /// The state of a node. `with` must not reach for the world.
    pub(crate) fn with_node<T>(&self, node: NodeId, with: impl FnOnce(&mut NodeState) -> T) -> T {
        let mut nodes = self.shared.nodes.borrow_mut();
        with(nodes.get_mut(usize::from(node.0)).expect("ids are given to nodes of the world"))
    }

    /// The state of a process; `None` when it has gone. `with` must not reach for the world.
    pub(crate) fn with_process<T>(&self, key: ProcessKey, with: impl FnOnce(&mut Process) -> T) -> Option<T> {
        self.with_node(key.node, |node| node.process.as_mut().filter(|process| process.key == key).map(with))
    }

    /// The state of a shard; `None` when it has ended or its process has gone. `with` must not reach for the world.
    pub(crate) fn with_shard<T>(&self, key: ShardKey, with: impl FnOnce(&mut Shard) -> T) -> Option<T> {
        let shard = |process: &mut Process| {
            let shard = process.shards.get_mut(usize::from(key.shard.0)).expect("a shard of its process");
            if shard.ended { None } else { Some(with(shard)) }
        };
        self.with_process(key.process, shard).flatten()
    }

    /// Whether the handles of `key` may still touch the world.
    pub(crate) fn is_alive(&self, key: ProcessKey) -> bool {
        self.with_process(key, |_| ()).is_some()
    }

    /// The process ends by itself: what it began still happens.
    pub(crate) fn exit(&self, key: ProcessKey) {
        self.record("exit", u64::from(key.node.0), key.incarnation.0);
        let process = self.with_node(key.node, |node| node.process.take());
        self.end_operations(key.node, |_| true);
        self.close_sockets(key);
        self.with_node(key.node, |node| node.volume.close_all());
        drop(process);
    }

    /// The process dies where it stands.
    pub(crate) fn kill(&self, node: NodeId) {
        let Some(process) = self.with_node(node, |node| node.process.take()) else { return };
        self.end_operations(node, |operation| self.draw("crash", u64::from(node.0), operation).chance(1, 2));
        self.close_sockets(process.key);
        self.with_node(node, |node| node.volume.close_all());
        drop(process);
    }

    fn lose_power(&self, id: NodeId) {
        let process = self.with_node(id, |node| {
            node.powered = false;
            node.process.take()
        });
        self.end_operations(id, |operation| self.draw("power loss", u64::from(id.0), operation).chance(1, 2));
        if let Some(process) = &process {
            self.forget_sockets(process.key);
        }
        let mut volume = self.with_node(id, |node| std::mem::replace(&mut node.volume, Volume::new(0, 0)));
        volume.lose_power(&Fates::new(&|purpose, entity| self.draw(purpose, u64::from(id.0), entity)));
        self.with_node(id, |node| node.volume = volume);
        drop(process);
    }

    /// Ends the disk operations in flight; those that `happens` names take effect.
    fn end_operations(&self, node: NodeId, happens: impl Fn(u64) -> bool) {
        let operations = self.with_node(node, |node| std::mem::take(&mut node.operations));
        for (ordinal, operation) in operations {
            if happens(ordinal) {
                operation(self);
            }
        }
    }
}
