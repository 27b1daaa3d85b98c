//! A node: a machine with a disk and an address, and the process that runs on it, is killed and comes back.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use barnabas_base::{Incarnation, ShardId, TimestampMs};
use barnabas_runtime::{Env, Local};
use bytes::Bytes;

use crate::clock::ClockState;
use crate::fault::{DiskCall, DiskHook, DiskVerdict, PowerFate};
use crate::key::{NodeId, ProcessKey, ShardKey};
use crate::net::SlowWay;
use crate::power::Fates;
use crate::shard::Shard;
use crate::volume::{Opens, Volume};
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
    pub(crate) clock: ClockState,
    /// Nothing of the process runs.
    pub(crate) paused: bool,
    /// How many times longer a poll takes.
    pub(crate) slowdown: u64,
    /// How many times longer the disk takes.
    pub(crate) disk_slowdown: u64,
    /// Bytes a second that its connections are read at.
    pub(crate) read_rate: Option<u64>,
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
            clock: ClockState::default(),
            paused: false,
            slowdown: 1,
            disk_slowdown: 1,
            read_rate: None,
        }
    }
}

/// The durable state of a disk at one moment.
#[derive(Clone, Debug)]
pub struct DiskImage(Volume);

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
        let now_ns = self.world.local_ns(self.id);
        let (key, shards, main) = self.state(|node| {
            node.powered = true;
            node.paused = false;
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
        self.power_loss_with(PowerFate::Drawn);
    }

    /// As [`Node::power_loss`], with a say in what is left. Gives how many bytes were not durable.
    pub fn power_loss_with(&self, fate: PowerFate) -> u64 {
        self.world.record("power loss", u64::from(self.id.0), 0);
        let at_risk = self.state(|node| node.volume.unsynced_bytes());
        self.world.lose_power(self.id, fate);
        at_risk
    }

    /// Stops its process where it stands (SIGSTOP); connections stay, timers go off late.
    pub fn pause(&self) {
        self.world.record("pause", u64::from(self.id.0), 0);
        self.state(|node| node.paused = true);
    }

    /// Lets its process go on (SIGCONT).
    pub fn resume(&self) {
        self.world.record("resume", u64::from(self.id.0), 0);
        self.state(|node| node.paused = false);
        self.world.wake_shards(self.id);
    }

    /// Whether its process is stopped.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.state(|node| node.paused)
    }

    /// One of its shards, counted round, does nothing for a while.
    pub fn freeze_shard(&self, shard: u16, duration: Duration) {
        self.world.record("freeze", u64::from(self.id.0), u64::from(shard));
        self.world.freeze_shard(self.id, shard, u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Its polls take `factor` times longer; 1 is its own speed.
    pub fn set_slowdown(&self, factor: u64) {
        self.state(|node| node.slowdown = factor.max(1));
    }

    /// Its disk takes `factor` times longer; 1 is its own speed.
    pub fn set_disk_slowdown(&self, factor: u64) {
        self.state(|node| node.disk_slowdown = factor.max(1));
    }

    /// Its connections are read at so many bytes a second each; `None` for as fast as it can.
    pub fn set_read_rate(&self, bytes_per_s: Option<u64>) {
        self.state(|node| node.read_rate = bytes_per_s);
    }

    /// Its clock runs at this rate, in thousandths of the world's.
    pub fn set_clock_rate(&self, rate_permille: u32) {
        let now_ns = self.world.now_ns();
        self.state(|node| node.clock.set_rate(now_ns, rate_permille));
    }

    /// Its wall clock jumps.
    pub fn jump_wall(&self, by_ms: i64) {
        self.state(|node| node.clock.jump(by_ms));
    }

    /// What is durable on its disk.
    #[must_use]
    pub fn disk_image(&self) -> DiskImage {
        DiskImage(self.state(|node| node.volume.durable()))
    }

    /// Puts a disk in place of its own. Its process must not run.
    pub fn replace_disk(&self, image: &DiskImage) {
        assert!(!self.is_running(), "a disk is replaced in a machine that stands");
        self.world.record("disk replaced", u64::from(self.id.0), 0);
        self.state(|node| node.volume = image.0.clone());
    }

    /// Puts an empty disk in place of its own. Its process must not run.
    pub fn wipe_disk(&self) {
        let empty = Volume::new(self.world.shared.config.disk_bytes, self.world.wall_of(self.id).0);
        self.replace_disk(&DiskImage(empty));
    }

    /// What its process holds of its disk.
    #[must_use]
    pub fn opens(&self) -> Opens {
        self.state(|node| node.volume.opens())
    }

    /// Every file on its disk with its content, as its programs see it.
    #[must_use]
    pub fn files(&self) -> Vec<(PathBuf, Bytes)> {
        let content = |node: &NodeState, inode| node.volume.read(inode, 0, usize::MAX).expect("a file can be read");
        self.state(|node| node.volume.files().into_iter().map(|(path, inode)| (path, content(node, inode))).collect())
    }

    /// The path of every file on its disk.
    #[must_use]
    pub fn paths(&self) -> Vec<PathBuf> {
        self.state(|node| node.volume.files().into_iter().map(|(path, _)| path).collect())
    }

    /// Gives a file or folder another name, as a person does. Durable.
    ///
    /// # Panics
    /// When there is no such file.
    pub fn move_file(&self, from: &Path, to: &Path) {
        self.world.record("file moved", u64::from(self.id.0), 0);
        let now_ms = self.world.wall_of(self.id).0;
        self.state(|node| {
            node.volume.rename(from, to, now_ms).expect("there is a file to move");
            node.volume.sync_all(u64::MAX);
        });
    }

    /// Takes everything out of a file, as a person does at a machine that stands. Durable.
    ///
    /// # Panics
    /// When its process runs, or there is no such file.
    pub fn empty_file(&self, path: &Path) {
        assert!(!self.is_running(), "files are emptied in a machine that stands");
        self.world.record("file emptied", u64::from(self.id.0), 0);
        let now_ms = self.world.wall_of(self.id).0;
        self.state(|node| {
            let inode = node.volume.find(path).expect("there is a file to empty");
            node.volume.truncate(inode, 0, now_ms).expect("a file can be cut");
            node.volume.sync_all(u64::MAX);
        });
    }

    /// Flips one bit of a file, wherever it is kept; false when there is no such byte.
    pub fn flip_bit(&self, path: &Path, offset: u64, bit: u8) -> bool {
        self.world.record("bit flipped", u64::from(self.id.0), offset);
        let now_ns = self.world.now_ns();
        self.state(|node| {
            let found = node.volume.find(path);
            found.is_ok_and(|inode| node.volume.flip(inode, now_ns, (offset, bit)))
        })
    }

    /// Bytes that its disk has room for.
    #[must_use]
    pub fn free_bytes(&self) -> u64 {
        self.state(|node| node.volume.space().usable_bytes)
    }

    /// What goes from this node to `to` takes longer; `None` for as long as everywhere.
    pub fn set_way_slow(&self, to: &Self, slow: Option<SlowWay>) {
        self.world.set_way_slow(self.id, to.id, slow);
    }

    /// Resets the connections with `other` at both ends.
    pub fn reset_connections(&self, other: &Self) {
        self.world.reset_connections(self.id, other.id);
    }

    /// The end at this node of every connection with `other` breaks; the other end is not told.
    pub fn forget_connections(&self, other: &Self) {
        self.world.forget_connections(self.id, other.id);
    }

    /// A connection breaks at both ends when so many more bytes have arrived from this node at `to`.
    pub fn reset_after(&self, to: &Self, bytes: u64) {
        self.world.set_fuse(self.id, to.id, bytes);
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

    fn lose_power(&self, id: NodeId, fate: PowerFate) {
        let process = self.with_node(id, |node| {
            node.powered = false;
            node.process.take()
        });
        self.end_operations(id, |operation| self.draw("power loss", u64::from(id.0), operation).chance(1, 2));
        if let Some(process) = &process {
            self.forget_sockets(process.key);
        }
        let mut volume = self.with_node(id, |node| std::mem::replace(&mut node.volume, Volume::new(0, 0)));
        volume.lose_power(&Fates::new(&|purpose, entity| self.draw(purpose, u64::from(id.0), entity), fate));
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
