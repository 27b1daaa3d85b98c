//! One shard: its runtime, its [`Env`], and the main future that it lives for.

use std::io;
use std::rc::Rc;

use barnabas_base::ShardId;
use barnabas_runtime::{Env, Local, SharedObserver};
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};

use crate::clock::TokioClock;
use crate::dirty::DirtyGauge;
use crate::disk::TokioDisk;
use crate::entropy::KernelEntropy;
use crate::mailbox::Inboxes;
use crate::net::TokioNet;
use crate::pool::Pool;
use crate::tasks::{PanicSlot, TokioTasks};

/// What the shards of a node share. All of it is `Send` and cheap to clone.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) clock: TokioClock,
    pub(crate) inboxes: Inboxes,
    /// Threads for what waits for the device.
    pub(crate) device: Device,
    /// Threads that look up names of hosts: a server that does not answer keeps one for many seconds.
    pub(crate) names: Pool,
    /// Threads for CPU work; apart, so that a recovery scan does not hold up a sync.
    pub(crate) work: Pool,
    pub(crate) dirty: DirtyGauge,
}

/// Threads for what waits for the device, as many at once for reads as for the rest. Clients that fetch cold segments queue
/// reads without end; no sync and no write waits behind them. A read and a sync have no order between them but that of
/// whoever awaits one before the other.
#[derive(Clone)]
pub(crate) struct Device {
    /// Reads, the sending of ranges that are not in memory, and hints about either.
    pub(crate) reads: Pool,
    /// Syncs, writes that may not be made on a shard's thread, and names of files.
    pub(crate) writes: Pool,
}

impl Node {
    /// Waits until every job has run and all threads have ended.
    pub(crate) fn close(&self) {
        self.device.reads.close();
        self.device.writes.close();
        self.names.close();
        self.work.close();
    }
}

/// What a shard runs on. Lives on the thread that made it.
pub(crate) struct EventLoop {
    runtime: LocalRuntime,
}

impl EventLoop {
    /// An event loop for the calling thread.
    pub(crate) fn new() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
        Ok(Self { runtime })
    }

    /// Runs `main` as shard `this` of `node` until it ends; the tasks it leaves are dropped.
    pub(crate) fn run(
        self,
        node: &Node,
        this: ShardId,
        observer: SharedObserver,
        main: impl FnOnce(Env) -> Local<'static, ()>,
    ) {
        let panics = Rc::new(PanicSlot::default());
        let env = Env {
            clock: Rc::new(node.clock),
            tasks: Rc::new(TokioTasks::new(node.work.clone(), Rc::clone(&panics))),
            net: Rc::new(TokioNet::new(node.device.reads.clone(), node.names.clone())),
            disk: Rc::new(TokioDisk::new(node.device.clone(), node.dirty.clone())),
            entropy: Rc::new(KernelEntropy::default()),
            shards: Rc::new(node.inboxes.mailbox(this)),
            observer,
        };
        self.runtime.block_on(async move { panics.watch(main(env)).await });
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::mpsc;

    use barnabas_runtime::{File, OpenMode};

    use super::*;
    use crate::NodeConfig;
    use crate::file::TokioFile;

    /// Runs `main` while every thread of the pool that `busy` picks waits for it to end.
    fn run_beside(busy: impl FnOnce(&Node) -> &Pool, main: impl AsyncFnOnce(Env, Device) + 'static) {
        let node =
            NodeConfig { pool_threads: 1, ..NodeConfig::new("beside", 1) }.node().expect("the system has threads");
        let (release, held) = mpsc::channel::<()>();
        let pool = busy(&node);
        assert_eq!(pool.threads_max(), 1);
        pool.run_detached(move || {
            let _ = held.recv();
        });
        let event_loop = EventLoop::new().expect("the system has descriptors");
        let observer = (NodeConfig::new("beside", 1).observer)(ShardId(0));
        let device = node.device.clone();
        event_loop.run(&node, ShardId(0), observer, |env| Box::pin(main(env, device)));
        drop(release);
        node.close();
    }

    #[test]
    fn syncs_and_names_do_not_wait_for_reads() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        run_beside(
            |node| &node.device.reads,
            async move |env, _| {
                let file = env.disk.open(&path, OpenMode::Read).await.expect("the package has a manifest");
                file.sync().await.expect("a device that syncs");
                env.net.resolve("localhost", 1).await.expect("this host has a name");
            },
        );
    }

    #[test]
    fn reads_do_not_wait_for_syncs() {
        // The kernel makes the text as it is read, and gives none to who does not wait.
        let maps = std::fs::File::open("/proc/self/maps").expect("Linux");
        run_beside(
            |node| &node.device.writes,
            async move |_, device| {
                let file = TokioFile::new("/proc/self/maps".into(), maps.into(), device, DirtyGauge::default());
                assert!(!file.read_at(0, 1).await.expect("a process has memory").is_empty());
            },
        );
    }
}
