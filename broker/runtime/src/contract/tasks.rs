//! Promises of tasks, timers and entropy. Driven by `contract`.

use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use barnabas_base::Monotonic;

use crate::{Either, Env, race};

/// Sets its flag when it is dropped.
struct SetOnDrop(Rc<Cell<bool>>);

impl Drop for SetOnDrop {
    fn drop(&mut self) {
        self.0.set(true);
    }
}

pub(super) async fn spawned_tasks_start_in_order(env: Env, _root: PathBuf) {
    let order = Rc::new(RefCell::new(Vec::new()));
    let mut tasks = Vec::new();
    for index in 0..5 {
        let order = Rc::clone(&order);
        tasks.push(env.spawn("ordered", async move { order.borrow_mut().push(index) }));
    }
    assert!(order.borrow().is_empty(), "a task starts when its spawner waits");
    for task in &mut tasks {
        task.join().await;
        assert!(task.is_finished());
        task.join().await;
    }
    assert_eq!(*order.borrow(), [0, 1, 2, 3, 4]);
}

pub(super) async fn a_dropped_handle_stops_the_task(env: Env, _root: PathBuf) {
    let (started, dropped, ran_on) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(false)), Rc::new(Cell::new(false)));
    let task = {
        let (env, started, guard, ran_on) =
            (env.clone(), Rc::clone(&started), SetOnDrop(Rc::clone(&dropped)), Rc::clone(&ran_on));
        let inner = env.clone();
        env.spawn("stopped", async move {
            started.set(true);
            inner.sleep(Duration::from_millis(5)).await;
            ran_on.set(true);
            drop(guard);
        })
    };
    env.tasks.yield_now().await;
    assert!(started.get(), "a spawned task runs");
    drop(task);
    env.sleep(Duration::from_millis(20)).await;
    assert!(dropped.get(), "what a stopped task held is dropped");
    assert!(!ran_on.get(), "a stopped task stops");
    let never = Rc::new(Cell::new(false));
    let ran = Rc::clone(&never);
    let task = env.spawn("never", async move { ran.set(true) });
    task.abort();
    assert!(task.is_finished());
    env.tasks.yield_now().await;
    env.tasks.yield_now().await;
    assert!(!never.get(), "a task that was stopped before it started does not run");
}

pub(super) async fn a_detached_task_runs_on(env: Env, _root: PathBuf) {
    let (sender, receiver) = crate::sync::oneshot::channel();
    let inner = env.clone();
    env.spawn("detached", async move {
        inner.sleep(Duration::from_millis(5)).await;
        sender.send(42);
    })
    .detach();
    assert_eq!(receiver.await, Ok(42));
    // A task may hold its own handle and stop itself.
    let slot = Rc::new(RefCell::new(None));
    let (own, reached) = (Rc::clone(&slot), Rc::new(Cell::new(false)));
    let passed = Rc::clone(&reached);
    let inner = env.clone();
    let task = env.spawn("suicide", async move {
        drop(own.borrow_mut().take());
        inner.tasks.yield_now().await;
        passed.set(true);
    });
    *slot.borrow_mut() = Some(task);
    env.sleep(Duration::from_millis(5)).await;
    assert!(!reached.get(), "a task that dropped its own handle ends where it waits next");
}

pub(super) async fn a_yield_lets_others_run(env: Env, _root: PathBuf) {
    let turns = Rc::new(RefCell::new(Vec::new()));
    let mut tasks = Vec::new();
    for name in ["a", "b"] {
        let (turns, inner) = (Rc::clone(&turns), env.clone());
        tasks.push(env.spawn(name, async move {
            for _ in 0..3 {
                turns.borrow_mut().push(name);
                inner.tasks.yield_now().await;
            }
        }));
    }
    for task in &mut tasks {
        task.join().await;
    }
    assert_eq!(*turns.borrow(), ["a", "b", "a", "b", "a", "b"]);
}

pub(super) async fn offloaded_work_returns(env: Env, _root: PathBuf) {
    let sum = env.offload(|| (1..=100).sum::<u32>()).await;
    assert_eq!(sum, 5_050);
    let (done, look) = std::sync::mpsc::channel();
    {
        let mut dropped = std::pin::pin!(env.offload(move || done.send(7)));
        std::future::poll_fn(|context| {
            let _ = dropped.as_mut().poll(context);
            std::task::Poll::Ready(())
        })
        .await;
    }
    loop {
        if let Ok(value) = look.try_recv() {
            assert_eq!(value, 7);
            return;
        }
        env.sleep(Duration::from_millis(1)).await;
    }
}

pub(super) async fn timers_fire_in_order_and_never_early(env: Env, _root: PathBuf) {
    let order = Rc::new(RefCell::new(Vec::new()));
    let start = env.now();
    let mut tasks = Vec::new();
    for wait_ms in [30, 10, 20, 0] {
        let (order, inner) = (Rc::clone(&order), env.clone());
        tasks.push(env.spawn("timer", async move {
            let deadline = start.after_ms(wait_ms);
            inner.sleep_until(deadline).await;
            assert!(inner.now() >= deadline, "a timer never fires early");
            order.borrow_mut().push(wait_ms);
        }));
    }
    for task in &mut tasks {
        task.join().await;
    }
    assert_eq!(*order.borrow(), [0, 10, 20, 30]);
    assert!(env.now() >= start.after_ms(30));
    env.sleep_until(Monotonic::ZERO).await;
    env.sleep_until(env.now()).await;
}

pub(super) async fn a_dropped_timer_is_cancelled(env: Env, _root: PathBuf) {
    let (long, short) = (Duration::from_secs(3_600), Duration::from_millis(5));
    let start = env.now();
    assert_eq!(race(env.sleep(long), env.sleep(short)).await, Either::Second(()));
    assert_eq!(race(env.sleep(short), env.sleep_until(Monotonic::NEVER)).await, Either::First(()));
    assert_eq!(env.timeout_at(env.now().after(short), std::future::pending::<()>()).await, None);
    assert_eq!(env.timeout_at(env.now().after(long), std::future::ready(1)).await, Some(1));
    assert!(env.now().since(start) < long, "no dropped timer holds anybody up");
}

pub(super) async fn a_timer_wakes_whoever_polled_it_last(env: Env, _root: PathBuf) {
    let mut timer = env.sleep(Duration::from_millis(10));
    let pending = std::future::poll_fn(|context| std::task::Poll::Ready(timer.as_mut().poll(context).is_pending()));
    assert!(pending.await, "its time has not come");
    let (sender, receiver) = crate::sync::oneshot::channel();
    env.spawn("heir", async move {
        timer.await;
        sender.send(());
    })
    .detach();
    assert_eq!(receiver.await, Ok(()), "a timer that moved to another task wakes that");
}

pub(super) async fn a_waker_outlives_its_task(env: Env, _root: PathBuf) {
    let kept = Rc::new(RefCell::new(None));
    let keeper = Rc::clone(&kept);
    let mut task = env.spawn("short", async move {
        std::future::poll_fn(|context| {
            *keeper.borrow_mut() = Some(context.waker().clone());
            std::task::Poll::Ready(())
        })
        .await;
    });
    task.join().await;
    let waker = kept.borrow_mut().take().expect("the task ran");
    waker.wake_by_ref();
    env.tasks.yield_now().await;
    waker.wake();
    env.tasks.yield_now().await;
    assert!(task.is_finished(), "an ended task is not woken");
}

pub(super) async fn clocks_go_forward(env: Env, _root: PathBuf) {
    let mut before = env.now();
    for _ in 0..100 {
        env.tasks.yield_now().await;
        let now = env.now();
        assert!(now >= before, "the monotonic clock never steps back");
        before = now;
    }
    let (start, wall) = (env.now(), env.wall());
    env.sleep(Duration::from_millis(30)).await;
    assert!(env.now().since(start) >= Duration::from_millis(30));
    assert!(env.wall().0 - wall.0 >= 29, "the wall clock moves with it, when nobody sets it");
}

pub(super) async fn random_words_differ(env: Env, _root: PathBuf) {
    let mut words: Vec<_> = (0..100).map(|_| env.entropy.next_u64()).collect();
    words.sort_unstable();
    words.dedup();
    assert_eq!(words.len(), 100);
    assert_ne!(env.random_uuid(), env.random_uuid());
}
