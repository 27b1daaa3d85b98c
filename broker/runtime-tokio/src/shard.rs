//! One shard: its runtime, its [`Env`], and the main future that it lives for.

use std::io;
use std::rc::Rc;

use barnabas_base::ShardId;
use barnabas_runtime::{Env, Local, SharedObserver};
use tokio::runtime::{Builder, LocalOptions};

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
    pub(crate) device: Pool,
    /// Threads for CPU work; apart, so that a recovery scan does not hold up a sync.
    pub(crate) work: Pool,
    pub(crate) dirty: DirtyGauge,
}

/// Runs `main` on the calling thread as shard `this` of `node` until it ends; the tasks it leaves are dropped.
pub(crate) fn run(
    node: &Node,
    this: ShardId,
    observer: SharedObserver,
    main: impl FnOnce(Env) -> Local<'static, ()>,
) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    let panics = Rc::new(PanicSlot::default());
    let env = Env {
        clock: Rc::new(node.clock),
        tasks: Rc::new(TokioTasks::new(node.work.clone(), Rc::clone(&panics))),
        net: Rc::new(TokioNet::new(node.device.clone())),
        disk: Rc::new(TokioDisk::new(node.device.clone(), node.dirty.clone())),
        entropy: Rc::new(KernelEntropy::default()),
        shards: Rc::new(node.inboxes.mailbox(this)),
        observer,
    };
    runtime.block_on(async move { panics.watch(main(env)).await });
    Ok(())
}
