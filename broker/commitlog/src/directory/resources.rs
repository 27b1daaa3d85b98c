//! What the logs of one shard and directory share: open segment files, bytes of the tail cache, loaded indexes of sealed
//! segments. Each has a bound; when it is reached, the log that used it longest ago gives something up. Knows logs only
//! as owners of what it counts.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, VecDeque};
use std::rc::{Rc, Weak};

use barnabas_base::{Account, Budget, Charge, Offset};

use super::ShardOptions;
use crate::limits::{RING_ENTRIES_MIN, UNSETTLED_LOGS_MANY};
use crate::log::Log;

/// The shared bounds.
pub(crate) struct Resources {
    budget: Budget,
    handles_max: usize,
    /// Open segment files, oldest first, for the second-chance rule.
    handles: RefCell<VecDeque<(Weak<Log>, Offset)>>,
    /// Where cached batches begin, oldest first. Of those that their logs gave up by themselves an entry may stand here
    /// until the next tidying.
    tails: RefCell<Ring<(Weak<Log>, Offset)>>,
    /// Loaded indexes of sealed segments, oldest first, with their bytes.
    indexes: RefCell<VecDeque<(Weak<Log>, Offset, u64)>>,
    index_bytes: Cell<u64>,
    index_bytes_max: u64,
    /// Logs with bytes past their settled point, longest unsettled first.
    unsettled: RefCell<Ring<Weak<Log>>>,
    unsettled_bytes: Cell<u64>,
    unsettled_bytes_max: u64,
}

/// A queue whose entries may lose their use without a word. It is looked through once it holds twice as many as were needed
/// the last time, so that it stays in proportion to them and a push costs the same on average.
struct Ring<T> {
    entries: VecDeque<T>,
    tidy_at: usize,
}

impl<T> Ring<T> {
    fn push(&mut self, entry: T, is_needed: impl FnMut(&T) -> bool) {
        if self.entries.len() >= self.tidy_at {
            self.entries.retain(is_needed);
            self.tidy_at = RING_ENTRIES_MIN.max(2 * self.entries.len());
        }
        self.entries.push_back(entry);
    }

    fn pop(&mut self) -> Option<T> {
        self.entries.pop_front()
    }
}

impl<T> Default for Ring<T> {
    fn default() -> Self {
        Self { entries: VecDeque::new(), tidy_at: RING_ENTRIES_MIN }
    }
}

impl Resources {
    pub(crate) fn new(options: &ShardOptions) -> Self {
        Self {
            budget: options.budget.clone(),
            handles_max: options.handles_max.max(1),
            handles: RefCell::default(),
            tails: RefCell::default(),
            indexes: RefCell::default(),
            index_bytes: Cell::new(0),
            index_bytes_max: options.index_bytes_max,
            unsettled: RefCell::default(),
            unsettled_bytes: Cell::new(0),
            unsettled_bytes_max: options.unsettled_bytes_max,
        }
    }

    /// Counts a file that `log` has just opened, and closes the one unused for longest when there are too many. A file
    /// that was used since it was last looked at gets a second chance.
    pub(crate) fn opened(&self, log: &Rc<Log>, segment: Offset) {
        let mut handles = self.handles.borrow_mut();
        handles.push_back((Rc::downgrade(log), segment));
        let mut looks = 2 * handles.len();
        while handles.len() > self.handles_max && looks > 0 {
            looks -= 1;
            let Some((owner, segment)) = handles.pop_front() else { break };
            let Some(log) = owner.upgrade() else { continue };
            if !log.try_close_file(segment) {
                handles.push_back((owner, segment));
            }
        }
    }

    /// Takes room for the batch at `offset` in the tail cache, from the oldest batches when need be. `None` when the account
    /// is too small for it.
    pub(crate) fn charge_tail(&self, log: &Rc<Log>, offset: Offset, bytes: u64) -> Option<Charge> {
        if bytes > self.budget.limit_bytes(Account::TailCache) {
            return None;
        }
        loop {
            if let Some(charge) = self.budget.try_charge(Account::TailCache, bytes) {
                let is_needed = |(owner, offset): &(Weak<Log>, Offset)| {
                    owner.upgrade().is_some_and(|owner| owner.holds_tail(*offset))
                };
                self.tails.borrow_mut().push((Rc::downgrade(log), offset), is_needed);
                return Some(charge);
            }
            let (owner, oldest) = self.tails.borrow_mut().pop()?;
            if let Some(owner) = owner.upgrade() {
                owner.evict_tail(oldest);
            }
        }
    }

    /// An account entry for what a log remembers of its producers, which the log keeps as large as that.
    pub(crate) fn charge_producers(&self) -> Charge {
        self.budget.charge(Account::Coordinators, 0)
    }

    /// Whether another producer may be remembered.
    pub(crate) fn has_room_for_producers(&self) -> bool {
        !self.budget.is_full(Account::Coordinators)
    }

    /// Counts an index that `log` has loaded for a sealed segment, and drops the oldest when there are too many.
    pub(crate) fn index_loaded(&self, log: &Rc<Log>, segment: Offset, bytes: u64) {
        let mut indexes = self.indexes.borrow_mut();
        indexes.push_back((Rc::downgrade(log), segment, bytes));
        self.index_bytes.set(self.index_bytes.get() + bytes);
        while self.index_bytes.get() > self.index_bytes_max && indexes.len() > 1 {
            let Some((owner, segment, bytes)) = indexes.pop_front() else { break };
            self.index_bytes.set(self.index_bytes.get() - bytes);
            if let Some(log) = owner.upgrade() {
                log.drop_index(segment);
            }
        }
    }

    /// Counts bytes past a log's settled point, the first ones if `is_first`.
    pub(crate) fn count_unsettled(&self, log: &Rc<Log>, bytes: u64, is_first: bool) {
        if is_first {
            let mut seen = BTreeSet::new();
            self.unsettled.borrow_mut().push(Rc::downgrade(log), |owner| {
                owner.upgrade().is_some_and(|owner| owner.is_unsettled() && seen.insert(owner.number()))
            });
        }
        self.unsettled_bytes.set(self.unsettled_bytes.get() + bytes);
    }

    /// The log that is to be settled, if there are too many such bytes.
    pub(crate) fn due_to_settle(&self) -> Option<Rc<Log>> {
        let mut unsettled = self.unsettled.borrow_mut();
        if self.unsettled_bytes.get() <= unsettled_bound(self.unsettled_bytes_max, unsettled.entries.len()) {
            return None;
        }
        loop {
            match unsettled.pop()?.upgrade() {
                Some(log) => return Some(log),
                None => continue,
            }
        }
    }

    /// Takes back what a log had counted.
    pub(crate) fn settled(&self, bytes: u64) {
        self.unsettled_bytes.set(self.unsettled_bytes.get().saturating_sub(bytes));
    }
}

/// How many bytes so many logs may have past their settled points. Settling costs by the log and walking by the byte: a few
/// logs are settled early, and with more of them each as seldom as it can be.
fn unsettled_bound(max: u64, logs: usize) -> u64 {
    (max / 4).saturating_add((max / UNSETTLED_LOGS_MANY).saturating_mul(logs as u64)).min(max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_logs_are_settled_early() {
        let mib = |bytes: u64| bytes >> 20;
        let bounds = [1, 100, 1_000, 2_000, usize::MAX >> 40].map(|logs| mib(unsettled_bound(512 << 20, logs)));
        assert_eq!(bounds, [128, 153, 378, 512, 512]);
    }

    #[test]
    fn a_ring_forgets_what_nobody_needs() {
        let mut ring = Ring::default();
        let pushed = 100 * RING_ENTRIES_MIN;
        for entry in 0..pushed {
            ring.push(entry, |kept| kept % 1_000 == 0 || *kept + 10 > entry);
            assert!(ring.entries.len() <= RING_ENTRIES_MIN.max(4 * (entry / 1_000 + 11)), "at {entry}");
        }
        let kept: Vec<usize> = std::iter::from_fn(|| ring.pop()).collect();
        assert!(kept.is_sorted(), "the oldest comes first");
        assert!((0..pushed).step_by(1_000).all(|entry| kept.binary_search(&entry).is_ok()), "what is needed stays");
    }
}
