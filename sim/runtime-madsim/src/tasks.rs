//! Tasks of a simulated shard, and jobs that leave it.

use std::cell::Cell;

use barnabas_runtime::sync::oneshot;
use barnabas_runtime::{Local, OffloadJob, TaskHandle, TaskState, Tasks};

use crate::env::Place;

/// Spawns on one shard.
pub(crate) struct SimTasks {
    place: Place,
}

impl SimTasks {
    pub(crate) const fn new(place: Place) -> Self {
        Self { place }
    }
}

impl Tasks for SimTasks {
    fn spawn(&self, name: &'static str, future: Local<'static, ()>) -> TaskHandle {
        let Place { world, key } = &self.place;
        // A destructor of a process that is being taken down: nothing runs there any more.
        if world.with_shard(*key, |_| ()).is_none() {
            let state = TaskState::new(Box::new(|| {}));
            state.finish();
            return TaskHandle::new(state);
        }
        let mut made = None;
        world.add_task(*key, name, future, |task| {
            let aborting = world.clone();
            let state = TaskState::new(Box::new(move || aborting.abort_task(task)));
            made = Some(TaskHandle::new(std::rc::Rc::clone(&state)));
            Some(state)
        });
        made.expect("a task is made with its handle")
    }

    fn offload(&self, job: OffloadJob) -> Local<'static, ()> {
        let place = self.place.clone();
        Box::pin(async move {
            if !place.is_alive() {
                return std::future::pending().await;
            }
            let (world, entity) = (&place.world, place.key.entity());
            // The result of a pure job does not depend on when it is computed, only on when it is seen.
            job();
            let delay_ns = world.draw_ns("offload", world.shared.config.offload, entity, place.next_ordinal());
            let (sender, receiver) = oneshot::channel();
            world.schedule(delay_ns, "offloaded", entity, move |_| sender.send(()));
            if receiver.await.is_err() {
                std::future::pending::<()>().await;
            }
        })
    }

    fn yield_now(&self) -> Local<'static, ()> {
        let yielded = Cell::new(false);
        Box::pin(std::future::poll_fn(move |context| {
            if yielded.replace(true) {
                return std::task::Poll::Ready(());
            }
            context.waker().wake_by_ref();
            std::task::Poll::Pending
        }))
    }
}
