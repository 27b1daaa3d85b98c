//! One answer from one sender to one receiver.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

enum Slot<T> {
    Empty(Option<Waker>),
    Full(T),
    Closed,
}

/// Creates a connected pair.
#[must_use]
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let slot = Rc::new(RefCell::new(Slot::Empty(None)));
    (Sender { slot: Rc::clone(&slot) }, Receiver { slot })
}

/// Gives the answer; dropping it without one wakes the receiver with [`Dropped`].
#[derive(Debug)]
pub struct Sender<T> {
    slot: Rc<RefCell<Slot<T>>>,
}

/// The sender went away without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dropped;

impl<T> Sender<T> {
    /// Hands over `value`. A receiver that has gone is not an error: the answer is abandoned.
    pub fn send(self, value: T) {
        let before = std::mem::replace(&mut *self.slot.borrow_mut(), Slot::Full(value));
        if let Slot::Empty(Some(waker)) = before {
            waker.wake();
        }
    }

    /// Whether nobody waits any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        Rc::strong_count(&self.slot) == 1
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut slot = self.slot.borrow_mut();
        if let Slot::Empty(waker) = &mut *slot {
            let waker = waker.take();
            *slot = Slot::Closed;
            drop(slot);
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

/// Waits for the answer.
#[derive(Debug)]
pub struct Receiver<T> {
    slot: Rc<RefCell<Slot<T>>>,
}

impl<T> Receiver<T> {
    /// The answer, if it is there.
    pub fn try_take(&mut self) -> Option<Result<T, Dropped>> {
        let mut slot = self.slot.borrow_mut();
        match std::mem::replace(&mut *slot, Slot::Closed) {
            Slot::Full(value) => Some(Ok(value)),
            Slot::Closed => Some(Err(Dropped)),
            empty @ Slot::Empty(_) => {
                *slot = empty;
                None
            }
        }
    }
}

impl<T> Future for Receiver<T> {
    type Output = Result<T, Dropped>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(answer) = self.try_take() {
            return Poll::Ready(answer);
        }
        *self.slot.borrow_mut() = Slot::Empty(Some(context.waker().clone()));
        Poll::Pending
    }
}

impl<T> std::fmt::Debug for Slot<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Empty(_) => "Empty",
            Self::Full(_) => "Full",
            Self::Closed => "Closed",
        })
    }
}
