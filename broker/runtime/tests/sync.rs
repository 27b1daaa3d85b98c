//! Waiting within one shard, polled by hand: who is woken, in which order, and what a dropped side means.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use barnabas_runtime::sync::{Notify, oneshot, queue};
use barnabas_runtime::{Either, TaskHandle, TaskState, join_all, race};

/// Counts wake-ups.
#[derive(Default)]
struct Bell(AtomicUsize);

impl Bell {
    fn rung(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn poll<F: Future>(future: std::pin::Pin<&mut F>, bell: &Arc<Bell>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(&Waker::from(Arc::clone(bell))))
}

#[test]
fn an_answer_wakes_its_receiver() {
    let bell = Arc::new(Bell::default());
    let (sender, receiver) = oneshot::channel();
    assert!(!sender.is_closed());
    let mut receiver = pin!(receiver);
    assert!(poll(receiver.as_mut(), &bell).is_pending());
    sender.send(5);
    assert_eq!(bell.rung(), 1);
    assert_eq!(poll(receiver.as_mut(), &bell), Poll::Ready(Ok(5)));
}

#[test]
fn a_dropped_sender_is_told_and_a_dropped_receiver_is_seen() {
    let bell = Arc::new(Bell::default());
    let (sender, receiver) = oneshot::channel::<u8>();
    let mut receiver = pin!(receiver);
    assert!(poll(receiver.as_mut(), &bell).is_pending());
    drop(sender);
    assert_eq!(bell.rung(), 1);
    assert_eq!(poll(receiver.as_mut(), &bell), Poll::Ready(Err(oneshot::Dropped)));
    let (sender, receiver) = oneshot::channel::<u8>();
    drop(receiver);
    assert!(sender.is_closed());
    sender.send(1);
    let (_sender, mut receiver) = oneshot::channel::<u8>();
    assert_eq!(receiver.try_take(), None, "looking does not take the place of waiting");
    assert_eq!(receiver.try_take(), None);
}

#[test]
fn a_queue_is_fifo_and_holds_its_senders() {
    let bell = Arc::new(Bell::default());
    let (sender, mut receiver) = queue::bounded(2);
    assert_eq!(sender.try_send(1), Ok(()));
    assert_eq!(sender.try_send(2), Ok(()));
    assert_eq!(sender.try_send(3), Err(3));
    let mut waiting = pin!(sender.send(3));
    assert!(poll(waiting.as_mut(), &bell).is_pending());
    assert_eq!(receiver.try_receive(), Some(1));
    assert_eq!(bell.rung(), 1, "room wakes who waits for it");
    assert_eq!(poll(waiting.as_mut(), &bell), Poll::Ready(Ok(())));
    assert_eq!((receiver.try_receive(), receiver.try_receive(), receiver.try_receive()), (Some(2), Some(3), None));
}

#[test]
fn a_queue_ends_with_its_last_sender_or_its_receiver() {
    let bell = Arc::new(Bell::default());
    let (sender, mut receiver) = queue::bounded(1);
    let second = sender.clone();
    assert_eq!(second.try_send(7), Ok(()));
    drop(sender);
    assert_eq!(poll(pin!(receiver.receive()), &bell), Poll::Ready(Some(7)));
    assert!(poll(pin!(receiver.receive()), &bell).is_pending());
    drop(second);
    assert_eq!(bell.rung(), 1, "the end wakes the receiver");
    assert_eq!(poll(pin!(receiver.receive()), &bell), Poll::Ready(None));

    let (sender, receiver) = queue::bounded(1);
    assert_eq!(sender.try_send(1), Ok(()));
    let mut waiting = pin!(sender.send(2));
    assert!(poll(waiting.as_mut(), &bell).is_pending());
    drop(receiver);
    assert_eq!(poll(waiting.as_mut(), &bell), Poll::Ready(Err(queue::Closed(2))), "the item comes back");
}

#[test]
fn nobody_overtakes_who_waits_for_a_place() {
    let (first_bell, second_bell) = (Arc::new(Bell::default()), Arc::new(Bell::default()));
    let (sender, mut receiver) = queue::bounded(2);
    assert_eq!((sender.try_send(1), sender.try_send(2)), (Ok(()), Ok(())));
    let (mut first, mut second) = (pin!(sender.send(3)), pin!(sender.send(4)));
    assert!(poll(first.as_mut(), &first_bell).is_pending());
    assert!(poll(second.as_mut(), &second_bell).is_pending());
    assert_eq!(receiver.try_receive(), Some(1));
    assert_eq!((first_bell.rung(), second_bell.rung()), (1, 0), "one place wakes the one whose turn it is");
    assert_eq!(sender.try_send(5), Err(5), "the place is waited for");
    assert!(poll(second.as_mut(), &second_bell).is_pending(), "the second waits behind the first");
    assert_eq!(poll(first.as_mut(), &first_bell), Poll::Ready(Ok(())));
    assert_eq!(receiver.try_receive(), Some(2));
    assert_eq!(poll(second.as_mut(), &second_bell), Poll::Ready(Ok(())));
    assert_eq!((receiver.try_receive(), receiver.try_receive()), (Some(3), Some(4)));
}

#[test]
fn who_gives_up_passes_the_turn_on() {
    let bell = Arc::new(Bell::default());
    let (sender, mut receiver) = queue::bounded(1);
    assert_eq!(sender.try_send(1), Ok(()));
    let mut first = Box::pin(sender.reserve());
    let mut second = pin!(sender.reserve());
    assert!(poll(first.as_mut(), &Arc::new(Bell::default())).is_pending());
    assert!(poll(second.as_mut(), &bell).is_pending());
    assert_eq!(receiver.try_receive(), Some(1));
    assert_eq!(bell.rung(), 0);
    drop(first);
    assert_eq!(bell.rung(), 1, "a turn that nobody takes is the next one's");
    let Poll::Ready(Some(place)) = poll(second, &bell) else { panic!("there is room") };
    assert_eq!(sender.try_send(2), Err(2), "a place that is kept is taken");
    drop(place);
    assert_eq!(sender.try_send(2), Ok(()), "and free again when it is given back");

    let mut third = pin!(sender.reserve());
    assert_eq!(receiver.try_receive(), Some(2));
    let Poll::Ready(Some(place)) = poll(third.as_mut(), &bell) else { panic!("there is room") };
    drop(receiver);
    assert_eq!(place.put(3), Err(queue::Closed(3)), "the item comes back");
}

#[test]
fn a_notification_between_look_and_wait_is_not_lost() {
    let bell = Arc::new(Bell::default());
    let notify = Notify::new();
    let seen = notify.version();
    notify.notify();
    assert!(poll(pin!(notify.changed_since(seen)), &bell).is_ready());
    let seen = notify.version();
    let (mut first, mut second) = (pin!(notify.changed_since(seen)), pin!(notify.changed_since(seen)));
    let other = Arc::new(Bell::default());
    assert!(poll(first.as_mut(), &bell).is_pending());
    assert!(poll(second.as_mut(), &other).is_pending());
    notify.notify();
    assert_eq!((bell.rung(), other.rung()), (1, 1), "all who wait are woken");
    assert!(poll(first, &bell).is_ready());
    assert!(poll(second, &other).is_ready());
}

#[test]
fn the_first_future_of_a_race_is_polled_first() {
    let bell = Arc::new(Bell::default());
    let both = race(std::future::ready(1), std::future::ready(2));
    assert_eq!(poll(pin!(both), &bell), Poll::Ready(Either::First(1)));
    let one = race(std::future::pending::<u8>(), std::future::ready(2));
    assert_eq!(poll(pin!(one), &bell), Poll::Ready(Either::Second(2)));
}

#[test]
fn joined_values_keep_their_order() {
    let bell = Arc::new(Bell::default());
    let (sender, receiver) = oneshot::channel();
    let mut joined = pin!(join_all(vec![
        Box::pin(async { receiver.await.expect("it is sent") }),
        Box::pin(async { 2_u8 }) as std::pin::Pin<Box<dyn Future<Output = u8>>>,
    ]));
    assert!(poll(joined.as_mut(), &bell).is_pending());
    sender.send(1);
    assert_eq!(poll(joined, &bell), Poll::Ready(vec![1, 2]));
    assert_eq!(poll(pin!(join_all::<u8>(Vec::new())), &bell), Poll::Ready(Vec::new()));
}

#[test]
fn a_task_handle_aborts_once_unless_detached() {
    let aborts = std::rc::Rc::new(std::cell::Cell::new(0));
    let task = || {
        let counted = std::rc::Rc::clone(&aborts);
        TaskState::new(Box::new(move || counted.set(counted.get() + 1)))
    };
    drop(TaskHandle::new(task()));
    assert_eq!(aborts.get(), 1);
    TaskHandle::new(task()).detach();
    assert_eq!(aborts.get(), 1);
    let handle = TaskHandle::new(task());
    handle.abort();
    handle.abort();
    assert!(handle.is_finished());
    drop(handle);
    assert_eq!(aborts.get(), 2);
    let (bell, state) = (Arc::new(Bell::default()), task());
    let mut handle = TaskHandle::new(std::rc::Rc::clone(&state));
    assert!(poll(pin!(handle.join()), &bell).is_pending());
    state.finish();
    assert_eq!(bell.rung(), 1, "who joins hears of the end");
    assert!(poll(pin!(handle.join()), &bell).is_ready());
    drop(handle);
    assert_eq!(aborts.get(), 2, "what has ended is not aborted");
}
