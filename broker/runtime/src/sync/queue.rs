//! A FIFO queue between tasks of one shard: many senders, one receiver, with a bound the sender may ask about.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;
use std::task::{Poll, Waker};

struct Shared<T> {
    items: VecDeque<T>,
    capacity: usize,
    senders: usize,
    receiver_alive: bool,
    receiver: Option<Waker>,
    waiting_senders: VecDeque<Waker>,
}

/// Creates a queue that holds at most `capacity` items.
#[must_use]
pub fn bounded<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    assert!(capacity > 0, "a queue holds at least one item");
    let shared = Rc::new(RefCell::new(Shared {
        items: VecDeque::new(),
        capacity,
        senders: 1,
        receiver_alive: true,
        receiver: None,
        waiting_senders: VecDeque::new(),
    }));
    (Sender { shared: Rc::clone(&shared) }, Receiver { shared })
}

/// Puts items in.
pub struct Sender<T> {
    shared: Rc<RefCell<Shared<T>>>,
}

/// The receiver has gone; the item comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed<T>(pub T);

impl<T> Sender<T> {
    /// Waits for room and puts `item` in.
    pub async fn send(&self, item: T) -> Result<(), Closed<T>> {
        let mut item = Some(item);
        std::future::poll_fn(|context| {
            let mut shared = self.shared.borrow_mut();
            let value = item.take().expect("polled until ready, once");
            if !shared.receiver_alive {
                return Poll::Ready(Err(Closed(value)));
            }
            if shared.items.len() >= shared.capacity {
                item = Some(value);
                shared.waiting_senders.push_back(context.waker().clone());
                return Poll::Pending;
            }
            shared.items.push_back(value);
            wake_receiver(shared);
            Poll::Ready(Ok(()))
        })
        .await
    }

    /// Puts `item` in if there is room; gives it back otherwise.
    pub fn try_send(&self, item: T) -> Result<(), T> {
        let mut shared = self.shared.borrow_mut();
        if !shared.receiver_alive || shared.items.len() >= shared.capacity {
            return Err(item);
        }
        shared.items.push_back(item);
        wake_receiver(shared);
        Ok(())
    }

    /// Items waiting.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.borrow().items.len()
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn wake_receiver<T>(mut shared: std::cell::RefMut<'_, Shared<T>>) {
    let waker = shared.receiver.take();
    drop(shared);
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.shared.borrow_mut().senders += 1;
        Self { shared: Rc::clone(&self.shared) }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut shared = self.shared.borrow_mut();
        shared.senders -= 1;
        if shared.senders == 0 {
            wake_receiver(shared);
        }
    }
}

/// Takes items out.
pub struct Receiver<T> {
    shared: Rc<RefCell<Shared<T>>>,
}

impl<T> Receiver<T> {
    /// The next item; `None` when all senders have gone and the queue is empty.
    pub async fn receive(&mut self) -> Option<T> {
        std::future::poll_fn(|context| {
            if let Some(item) = self.try_receive() {
                return Poll::Ready(Some(item));
            }
            let mut shared = self.shared.borrow_mut();
            if shared.senders == 0 {
                return Poll::Ready(None);
            }
            shared.receiver = Some(context.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// The next item, if one waits.
    pub fn try_receive(&mut self) -> Option<T> {
        let mut shared = self.shared.borrow_mut();
        let item = shared.items.pop_front()?;
        // All of them: the first may belong to a send that was dropped while it waited.
        let waiting = std::mem::take(&mut shared.waiting_senders);
        drop(shared);
        for waker in waiting {
            waker.wake();
        }
        Some(item)
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut shared = self.shared.borrow_mut();
        shared.receiver_alive = false;
        let items = std::mem::take(&mut shared.items);
        let waiting = std::mem::take(&mut shared.waiting_senders);
        drop(shared);
        drop(items);
        for waker in waiting {
            waker.wake();
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("len", &self.len()).finish()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}
