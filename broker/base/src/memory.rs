//! A byte budget with named accounts: what a shard may hold in memory, and for what. Pure arithmetic; the owner of a
//! charge gives it back, the shell makes readers wait when an account is full.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;

/// What memory is held for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Account {
    /// Large request frames, as far as they have arrived, until they are answered (`queued.max.request.bytes`).
    RequestFrames,
    /// Small request frames until they are answered, a share of `queued.max.request.bytes` that no large one takes.
    SmallRequestFrames,
    /// Recently appended batches kept for small reads.
    TailCache,
    /// Responses that wait for a slow reader.
    ResponseSegments,
    /// Groups, members, offsets and producer state.
    Coordinators,
}

impl Account {
    /// All accounts, in the order they are reported.
    pub const ALL: [Self; 5] =
        [Self::RequestFrames, Self::SmallRequestFrames, Self::TailCache, Self::ResponseSegments, Self::Coordinators];

    /// What is held for what clients ask for and are sent: nothing, once they are gone.
    pub const OF_CLIENTS: [Self; 3] = [Self::RequestFrames, Self::SmallRequestFrames, Self::ResponseSegments];

    const fn index(self) -> usize {
        match self {
            Self::RequestFrames => 0,
            Self::SmallRequestFrames => 1,
            Self::TailCache => 2,
            Self::ResponseSegments => 3,
            Self::Coordinators => 4,
        }
    }
}

/// The memory budget of one shard. Cheap to clone; clones share the counters.
#[derive(Clone)]
pub struct Budget {
    accounts: Rc<[Counters; Account::ALL.len()]>,
}

#[derive(Default)]
struct Counters {
    limit_bytes: Cell<u64>,
    used_bytes: Cell<u64>,
}

impl Budget {
    /// A budget that gives each account the limit `limit_bytes` names, in bytes.
    #[must_use]
    pub fn new(limit_bytes: impl Fn(Account) -> u64) -> Self {
        let accounts: [Counters; Account::ALL.len()] = Default::default();
        for account in Account::ALL {
            accounts[account.index()].limit_bytes.set(limit_bytes(account));
        }
        Self { accounts: Rc::new(accounts) }
    }

    /// Takes `bytes` from `account`, or `None` when that would pass its limit. A charge larger than the whole account
    /// is granted while the account is empty, or nothing of that size would ever find room.
    #[must_use]
    pub fn try_charge(&self, account: Account, bytes: u64) -> Option<Charge> {
        let counters = &self.accounts[account.index()];
        let used = counters.used_bytes.get();
        let fits = used.saturating_add(bytes) <= counters.limit_bytes.get();
        if !fits && used > 0 {
            return None;
        }
        counters.used_bytes.set(used + bytes);
        Some(Charge { budget: self.clone(), account, bytes })
    }

    /// Takes `bytes` from `account`, also past its limit: they are in memory already. Whoever would add to them asks
    /// [`Budget::is_full`] first.
    #[must_use]
    pub fn charge(&self, account: Account, bytes: u64) -> Charge {
        let counters = &self.accounts[account.index()];
        counters.used_bytes.set(counters.used_bytes.get().saturating_add(bytes));
        Charge { budget: self.clone(), account, bytes }
    }

    /// Whether `account` has reached its limit.
    #[must_use]
    pub fn is_full(&self, account: Account) -> bool {
        self.used_bytes(account) >= self.limit_bytes(account)
    }

    /// Bytes held by `account`.
    #[must_use]
    pub fn used_bytes(&self, account: Account) -> u64 {
        self.accounts[account.index()].used_bytes.get()
    }

    /// The limit of `account` in bytes.
    #[must_use]
    pub fn limit_bytes(&self, account: Account) -> u64 {
        self.accounts[account.index()].limit_bytes.get()
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let used = Account::ALL.map(|account| (account, self.used_bytes(account)));
        f.debug_map().entries(used).finish()
    }
}

/// Bytes taken from an account; dropping it gives them back.
#[derive(Debug)]
pub struct Charge {
    budget: Budget,
    account: Account,
    bytes: u64,
}

impl Charge {
    /// How many bytes are held.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Holds `bytes` from here on, also past the limit, for an owner that grows and shrinks.
    pub fn resize(&mut self, bytes: u64) {
        let counters = &self.budget.accounts[self.account.index()];
        let others = counters.used_bytes.get().checked_sub(self.bytes);
        let others = others.expect("an account has lent what its charges hold");
        counters.used_bytes.set(others.saturating_add(bytes));
        self.bytes = bytes;
    }

    /// Holds `bytes` more.
    pub fn grow(&mut self, bytes: u64) {
        self.resize(self.bytes.saturating_add(bytes));
    }

    /// Holds `bytes` more if that does not pass the limit; says whether it did.
    #[must_use]
    pub fn try_grow(&mut self, bytes: u64) -> bool {
        let used = self.budget.used_bytes(self.account);
        let fits = used.saturating_add(bytes) <= self.budget.limit_bytes(self.account);
        if fits {
            self.grow(bytes);
        }
        fits
    }

    /// Holds `bytes` less.
    ///
    /// # Panics
    /// When it does not hold as many.
    pub fn shrink(&mut self, bytes: u64) {
        self.resize(self.bytes.checked_sub(bytes).expect("nobody gives back more than was counted"));
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        let counters = &self.budget.accounts[self.account.index()];
        let used = counters.used_bytes.get();
        assert!(used >= self.bytes, "an account never gives back more than it lent");
        counters.used_bytes.set(used - self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charges_are_bounded_and_given_back() {
        let budget = Budget::new(|_| 100);
        let first = budget.try_charge(Account::TailCache, 60).expect("fits");
        assert!(budget.try_charge(Account::TailCache, 60).is_none());
        assert!(budget.try_charge(Account::RequestFrames, 60).is_some(), "accounts are apart");
        drop(first);
        assert_eq!(budget.used_bytes(Account::TailCache), 0);
    }

    #[test]
    fn what_is_there_is_charged_past_the_limit() {
        let budget = Budget::new(|_| 100);
        let first = budget.charge(Account::ResponseSegments, 60);
        assert!(!budget.is_full(Account::ResponseSegments));
        let second = budget.charge(Account::ResponseSegments, 60);
        assert!(budget.is_full(Account::ResponseSegments));
        assert!(budget.try_charge(Account::ResponseSegments, 1).is_none());
        drop((first, second));
        assert_eq!(budget.used_bytes(Account::ResponseSegments), 0);
    }

    #[test]
    fn a_charge_follows_its_owner() {
        let budget = Budget::new(|_| 100);
        let mut charge = budget.charge(Account::Coordinators, 0);
        charge.grow(70);
        charge.grow(70);
        assert!(budget.is_full(Account::Coordinators));
        charge.shrink(100);
        assert_eq!(budget.used_bytes(Account::Coordinators), 40);
        let other = budget.charge(Account::Coordinators, 5);
        charge.resize(1);
        assert_eq!(budget.used_bytes(Account::Coordinators), 6);
        drop((charge, other));
        assert_eq!(budget.used_bytes(Account::Coordinators), 0);
    }

    #[test]
    fn a_charge_grows_to_the_limit_and_not_past_it() {
        let budget = Budget::new(|_| 100);
        let other = budget.charge(Account::RequestFrames, 60);
        let mut charge = budget.charge(Account::RequestFrames, 0);
        assert!(charge.try_grow(40));
        assert!(!charge.try_grow(1));
        assert_eq!((charge.bytes(), budget.used_bytes(Account::RequestFrames)), (40, 100));
        drop(other);
        assert!(charge.try_grow(60));
        assert!(!charge.try_grow(u64::MAX));
        drop(charge);
        assert_eq!(budget.used_bytes(Account::RequestFrames), 0);
    }

    #[test]
    fn an_oversized_charge_passes_alone() {
        let budget = Budget::new(|_| 100);
        let large = budget.try_charge(Account::TailCache, 1_000).expect("alone");
        assert!(budget.try_charge(Account::TailCache, 1).is_none());
        drop(large);
        assert!(budget.try_charge(Account::TailCache, 1).is_some());
    }
}
