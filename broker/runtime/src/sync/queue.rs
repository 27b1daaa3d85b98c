//! A FIFO queue between tasks of one shard: many senders, one receiver, with a bound the sender may ask about. Who waits
//! for room gets it in the order of asking: nobody overtakes.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

struct Shared<T> {
    items: VecDeque<T>,
    capacity: usize,
    /// Places given out and not filled yet.
    reserved: usize,
    senders: usize,
    receiver_alive: bool,
    receiver: Option<Waker>,
    tickets: u64,
    /// Who waits for a place, by ticket.
    waiting: BTreeMap<u64, Waker>,
}

impl<T> Shared<T> {
    fn has_room(&self) -> bool {
        self.items.len() + self.reserved < self.capacity
    }

    /// The one whose turn it is, if there is room for it.
    fn next_waiting(&self) -> Option<Waker> {
        let (_, waker) = self.waiting.first_key_value()?;
        self.has_room().then(|| waker.clone())
    }
}

fn wake_next<T>(shared: &RefCell<Shared<T>>) {
    let waker = shared.borrow().next_waiting();
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// Creates a queue that holds at most `capacity` items.
#[must_use]
pub fn bounded<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    assert!(capacity > 0, "a queue holds at least one item");
    let shared = Rc::new(RefCell::new(Shared {
        items: VecDeque::new(),
        capacity,
        reserved: 0,
        senders: 1,
        receiver_alive: true,
        receiver: None,
        tickets: 0,
        waiting: BTreeMap::new(),
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
        match self.reserve().await {
            Some(place) => place.put(item),
            None => Err(Closed(item)),
        }
    }

    /// Waits for room and keeps it, for what is only made once there is room. `None` when the receiver has gone.
    pub fn reserve(&self) -> Reserve<'_, T> {
        Reserve { shared: &self.shared, ticket: None }
    }

    /// Puts `item` in if there is room that nobody waits for; gives it back otherwise.
    pub fn try_send(&self, item: T) -> Result<(), T> {
        let mut shared = self.shared.borrow_mut();
        if !shared.receiver_alive || !shared.has_room() || !shared.waiting.is_empty() {
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

/// Waits for a place; gives up its turn when dropped.
#[must_use = "futures do nothing unless awaited"]
pub struct Reserve<'a, T> {
    shared: &'a RefCell<Shared<T>>,
    ticket: Option<u64>,
}

impl<'a, T> Future for Reserve<'a, T> {
    type Output = Option<Place<'a, T>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut shared = self.shared.borrow_mut();
        if !shared.receiver_alive {
            return Poll::Ready(None);
        }
        let first = shared.waiting.first_key_value().map(|(&ticket, _)| ticket);
        if shared.has_room() && first.is_none_or(|first| Some(first) == self.ticket) {
            if let Some(ticket) = first {
                shared.waiting.remove(&ticket);
            }
            shared.reserved += 1;
            drop(shared);
            self.ticket = None;
            wake_next(self.shared);
            return Poll::Ready(Some(Place { shared: self.shared }));
        }
        let ticket = self.ticket.unwrap_or(shared.tickets);
        shared.tickets = shared.tickets.max(ticket + 1);
        shared.waiting.insert(ticket, context.waker().clone());
        drop(shared);
        self.ticket = Some(ticket);
        Poll::Pending
    }
}

impl<T> Drop for Reserve<'_, T> {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket else { return };
        self.shared.borrow_mut().waiting.remove(&ticket);
        wake_next(self.shared);
    }
}

/// Room for one item, given back when dropped.
#[must_use = "a place that is dropped stays empty"]
pub struct Place<'a, T> {
    shared: &'a RefCell<Shared<T>>,
}

impl<T> Place<'_, T> {
    /// Puts `item` in. It comes back when the receiver has gone meanwhile.
    pub fn put(self, item: T) -> Result<(), Closed<T>> {
        let mut shared = self.shared.borrow_mut();
        if !shared.receiver_alive {
            return Err(Closed(item));
        }
        shared.items.push_back(item);
        wake_receiver(shared);
        Ok(())
    }
}

impl<T> Drop for Place<'_, T> {
    fn drop(&mut self) {
        self.shared.borrow_mut().reserved -= 1;
        wake_next(self.shared);
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

    /// Shows `look` everything that waits, and has the task woken when more comes.
    pub fn look_at_all(&mut self, context: &mut Context<'_>, mut look: impl FnMut(&mut Context<'_>, &mut T)) {
        let mut shared = self.shared.borrow_mut();
        shared.receiver = Some(context.waker().clone());
        for item in &mut shared.items {
            look(context, item);
        }
    }

    /// The next item, if one waits.
    pub fn try_receive(&mut self) -> Option<T> {
        let mut shared = self.shared.borrow_mut();
        let item = shared.items.pop_front()?;
        drop(shared);
        wake_next(&self.shared);
        Some(item)
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut shared = self.shared.borrow_mut();
        shared.receiver_alive = false;
        let items = std::mem::take(&mut shared.items);
        let waiting = std::mem::take(&mut shared.waiting);
        drop(shared);
        drop(items);
        for waker in waiting.into_values() {
            waker.wake();
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("len", &self.len()).finish()
    }
}

impl<T> fmt::Debug for Reserve<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reserve").field("ticket", &self.ticket).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Place<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}
