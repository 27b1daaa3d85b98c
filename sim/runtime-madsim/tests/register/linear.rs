//! Whether a history of one register is linearizable: exactly, by the zones of Gibbons and Korach ("Testing Shared
//! Memories", SIAM Journal on Computing 26, 1997), which need every write to have a value of its own. Knows nothing of how
//! a history came about.

use std::collections::BTreeMap;

use barnabas_base::Keyed;

/// What the register holds before anything is written.
pub(crate) const INITIAL: u64 = 0;

/// What an operation did. Reads without an answer have no place in a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Did {
    Read(u64),
    Write(u64),
}

/// One operation with its interval, in the order of all invocations and answers of the run: no two are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Done {
    pub(crate) did: Did,
    pub(crate) invoked: u64,
    /// `None`: unknown. A write may have been done at any time since, may still be done, or never.
    pub(crate) answered: Option<u64>,
}

/// Everything around one value: its write, and the reads of it.
#[derive(Clone, Copy, Debug, Default)]
struct Cluster {
    /// When its write began and ended.
    write: Option<(u64, u64)>,
    is_read: bool,
    /// The earliest answer to a read of it.
    first_answer: u64,
    /// The earliest end and the latest beginning of any operation: between the two the register holds the value.
    earliest_end: u64,
    latest_start: u64,
}

/// Why `history` is not linearizable, if it is not.
pub(crate) fn violation(history: &[Done]) -> Option<String> {
    let fresh = Cluster { earliest_end: u64::MAX, first_answer: u64::MAX, ..Cluster::default() };
    let initial = Cluster { write: Some((0, 0)), earliest_end: 0, ..fresh };
    let mut clusters = BTreeMap::from([(INITIAL, initial)]);
    for done in history {
        assert!(done.invoked > 0, "the first moment belongs to the initial value");
        let end = done.answered.unwrap_or(u64::MAX);
        let (Did::Read(value) | Did::Write(value)) = done.did;
        let cluster = clusters.entry(value).or_insert(fresh);
        match done.did {
            Did::Read(_) => {
                cluster.is_read = true;
                cluster.first_answer = cluster.first_answer.min(end);
            }
            Did::Write(_) => {
                assert!(cluster.write.is_none(), "every write has a value of its own");
                cluster.write = Some((done.invoked, end));
            }
        }
        cluster.earliest_end = cluster.earliest_end.min(end);
        cluster.latest_start = cluster.latest_start.max(done.invoked);
    }
    for (value, cluster) in &clusters {
        match cluster.write {
            None => return Some(format!("{value} was read and never written")),
            Some((began, _)) if cluster.is_read && cluster.first_answer < began => {
                return Some(format!("{value} was read before it was written"));
            }
            Some(_) => {}
        }
    }
    // A write that nobody read and nobody confirmed need not have happened.
    clusters.retain(|_, cluster| cluster.is_read || cluster.write.is_some_and(|(_, end)| end != u64::MAX));
    clashing_zones(&clusters)
}

/// Two values that the register would have to hold at the same time: one is there from its zone's beginning to its end, and
/// the other has to have been there at some time in between.
fn clashing_zones(clusters: &BTreeMap<u64, Cluster>) -> Option<String> {
    for (value, one) in clusters.iter().filter(|(_, one)| one.earliest_end < one.latest_start) {
        for (other_value, other) in clusters.iter().filter(|(other, _)| *other != value) {
            if one.earliest_end < other.latest_start && other.earliest_end < one.latest_start {
                return Some(format!("{value} was there before and after {other_value}"));
            }
        }
    }
    None
}

/// The same question by trying every order.
fn some_order_explains(history: &[Done], done: u64, value: u64) -> bool {
    let open = || (0..history.len()).filter(|index| done & (1 << index) == 0);
    if open().all(|index| history[index].answered.is_none()) {
        return true;
    }
    let first_answer = open().filter_map(|index| history[index].answered).min().unwrap_or(u64::MAX);
    open().filter(|index| history[*index].invoked < first_answer).any(|index| match history[index].did {
        Did::Read(read) => read == value && some_order_explains(history, done | 1 << index, value),
        Did::Write(written) => some_order_explains(history, done | 1 << index, written),
    })
}

/// A history of `clients` that do one thing after another, with reads that need not make sense.
fn random_history(seed: u64, clients: u64, operations: u64) -> Vec<Done> {
    let draw = |purpose, index: u64| Keyed::new(seed, purpose).with(index);
    let mut open: BTreeMap<u64, (Did, u64)> = BTreeMap::new();
    let (mut history, mut started) = (Vec::new(), 0);
    for moment in 1.. {
        let client = draw("client", moment).below(clients);
        match open.remove(&client) {
            Some((did, invoked)) => {
                let lost = matches!(did, Did::Write(_)) && draw("lost", moment).chance(1, 4);
                history.push(Done { did, invoked, answered: (!lost).then_some(moment) });
            }
            None if started < operations => {
                started += 1;
                let is_write = draw("kind", moment).chance(1, 2);
                let did =
                    if is_write { Did::Write(started) } else { Did::Read(draw("read", moment).below(started + 1)) };
                open.insert(client, (did, moment));
            }
            None if open.is_empty() => return history,
            None => {}
        }
    }
    unreachable!("the operations end")
}

#[test]
fn zones_say_what_trying_every_order_says() {
    let mut linearizable = 0;
    for seed in 0..20_000 {
        let history = random_history(seed, 3, 6);
        let expected = some_order_explains(&history, 0, INITIAL);
        assert_eq!(violation(&history).is_none(), expected, "{history:?}: {:?}", violation(&history));
        linearizable += u32::from(expected);
    }
    assert!((2_000..18_000).contains(&linearizable), "both happen: {linearizable} of 20,000 are linearizable");
}

fn read(value: u64, invoked: u64, answered: u64) -> Done {
    Done { did: Did::Read(value), invoked, answered: Some(answered) }
}

fn write(value: u64, invoked: u64, answered: u64) -> Done {
    Done { did: Did::Write(value), invoked, answered: Some(answered) }
}

const fn lost(value: u64, invoked: u64) -> Done {
    Done { did: Did::Write(value), invoked, answered: None }
}

#[test]
fn what_can_have_happened_is_accepted() {
    let accepted: [&[Done]; 8] = [
        &[],
        &[read(INITIAL, 1, 2), write(1, 3, 4), read(1, 5, 6)],
        // Beside a write, both are right, in this order.
        &[write(1, 1, 10), read(INITIAL, 2, 3), read(1, 4, 5)],
        &[write(1, 1, 8), write(2, 2, 9), read(2, 3, 4), read(1, 5, 6)],
        // A write without an answer may have been done, never, or long after.
        &[lost(1, 1), read(1, 2, 3)],
        &[lost(1, 1), read(INITIAL, 2, 3)],
        &[lost(1, 1), read(INITIAL, 2, 3), write(2, 4, 5), read(2, 6, 7), read(1, 8, 9)],
        &[write(1, 1, 2), write(2, 3, 4), read(2, 5, 6), read(2, 7, 8)],
    ];
    for history in accepted {
        assert_eq!(violation(history), None, "{history:?}");
    }
}

#[test]
fn what_cannot_have_happened_is_rejected() {
    let rejected: [&[Done]; 9] = [
        // Never written; read before it was written.
        &[read(7, 1, 2)],
        &[read(1, 1, 2), write(1, 3, 4)],
        &[read(1, 1, 2), lost(1, 3)],
        // A write that was confirmed is lost.
        &[write(1, 1, 2), read(INITIAL, 3, 4)],
        &[write(1, 1, 2), write(2, 3, 4), read(1, 5, 6)],
        // A read that goes back behind an earlier one.
        &[write(1, 1, 10), read(1, 2, 3), read(INITIAL, 4, 5)],
        &[lost(1, 1), read(1, 2, 3), read(INITIAL, 4, 5)],
        // Back and forth.
        &[write(1, 1, 10), write(2, 2, 11), read(1, 3, 4), read(2, 5, 6), read(1, 7, 8)],
        // Two values at once.
        &[write(1, 1, 2), write(2, 3, 4), read(1, 5, 8), read(2, 6, 7)],
    ];
    for history in rejected {
        assert!(violation(history).is_some(), "{history:?}");
        assert!(!some_order_explains(history, 0, INITIAL), "{history:?}");
    }
}
