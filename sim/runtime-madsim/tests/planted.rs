//! Nondeterminism that is planted in what a node runs, and the comparison that has to find it: the same seeds in another
//! process, in another folder, with another environment and other addresses, that has run nothing before.
#![allow(clippy::print_stdout, reason = "one process tells its hashes to another")]
#![expect(clippy::disallowed_types, reason = "what is banned is planted here")]

use std::collections::{BTreeMap, HashMap};
use std::hash::RandomState;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use barnabas_runtime::Env;
use barnabas_runtime_madsim::{Config, simulate};

const SEEDS: u64 = 8;
/// Decisions of one run: none of them may come out the same by chance.
const ITEMS: u64 = 64;
/// A run that came before the others, in the process that compares.
const EARLIER_SEED: u64 = 77;
/// Names the planted program to the other process.
const PLANTED: &str = "PLANTED";
/// Another layout of addresses, without relying on the kernel's randomness: one arena, and what is freed is not handed out
/// again in the order in which it came.
const OTHER_ADDRESSES: (&str, &str) =
    ("GLIBC_TUNABLES", "glibc.malloc.arena_max=1:glibc.malloc.tcache_count=0:glibc.malloc.mxfast=0");

/// What decides the order in which a node does its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// Keys.
    Sorted,
    /// A `HashMap` that is made within the run.
    HashedInTheRun,
    /// One with keys that somebody drew outside.
    HashedOutside,
    /// One with keys that the first run of the process drew, and that a static kept.
    HashedEarlier,
    /// Which of two addresses is the lower.
    ByAddress,
    /// The bits of an address.
    ByBits,
}

const ORDERS: [Order; 6] =
    [Order::Sorted, Order::HashedInTheRun, Order::HashedOutside, Order::HashedEarlier, Order::ByAddress, Order::ByBits];

static KEPT: OnceLock<RandomState> = OnceLock::new();

impl Order {
    /// The items in this order.
    fn of_items(self, outside: RandomState) -> Vec<u64> {
        let hashed = |state| {
            let mut map = HashMap::with_hasher(state);
            map.extend((0..ITEMS).map(|item| (item, ())));
            map.into_keys().collect()
        };
        match self {
            Self::Sorted => (0..ITEMS).collect(),
            Self::HashedInTheRun => hashed(RandomState::new()),
            Self::HashedOutside => hashed(outside),
            Self::HashedEarlier => hashed(KEPT.get_or_init(RandomState::new).clone()),
            Self::ByAddress | Self::ByBits => {
                let boxed = || (0..ITEMS).map(Box::new).collect::<Vec<Box<u64>>>();
                // What lived before has left its places.
                drop(boxed());
                let boxes = boxed();
                let address = |item: &u64| std::ptr::from_ref(item).addr();
                // Every page of a region has bits of its own, which is what a hash of pointers makes use of.
                let key =
                    |item: &u64| if self == Self::ByBits { address(item).rotate_right(12) } else { address(item) };
                let by_key: BTreeMap<usize, u64> = boxes.iter().map(|item| (key(item), **item)).collect();
                let lowest = by_key.first_key_value().map_or(0, |(key, _)| *key as u64);
                let bits = (self == Self::ByBits).then_some(lowest % ITEMS);
                bits.into_iter().chain(by_key.into_values()).collect()
            }
        }
    }
}

/// Works in an order; the trace hash, and the order.
fn run(order: Order, seed: u64) -> (u64, Vec<u64>) {
    let outside = RandomState::new();
    simulate(seed, Config::default(), move |world| {
        let node = world.node("n");
        let (sender, receiver) = std::sync::mpsc::channel();
        node.start(1, move |env: Env| {
            let (outside, sender) = (outside.clone(), sender.clone());
            Box::pin(async move {
                let items = order.of_items(outside);
                for item in &items {
                    env.sleep(Duration::from_micros(1 + item)).await;
                }
                sender.send(items).expect("the scenario waits");
            })
        });
        assert!(node.run_until_stopped(Duration::from_secs(1)), "the work ends");
        (world.trace_hash(), receiver.recv().expect("the work ended"))
    })
}

fn hashes(order: Order) -> String {
    let hashes: Vec<u64> = (0..SEEDS).map(|seed| run(order, seed).0).collect();
    format!("hashes of {order:?}: {hashes:x?}")
}

/// Not a test: what another process prints for [`elsewhere`].
#[test]
#[ignore = "run in a process of its own by those that compare"]
fn print_hashes() {
    let planted = std::env::var(PLANTED).expect("named by the process that compares");
    let order = ORDERS.into_iter().find(|order| format!("{order:?}") == planted);
    println!("{}", hashes(order.expect("one of them")));
}

/// The hashes that another process comes to.
fn elsewhere(order: Order) -> String {
    let mut command = Command::new(std::env::current_exe().expect("a running test has a program"));
    command.args(["--exact", "print_hashes", "--ignored", "--nocapture"]);
    command.current_dir("/").env(PLANTED, format!("{order:?}")).env(OTHER_ADDRESSES.0, OTHER_ADDRESSES.1);
    let output = command.output().expect("the program runs again");
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find_map(|line| line.find("hashes of").map(|at| line[at..].to_owned()));
    line.unwrap_or_else(|| panic!("the other process said {text}"))
}

fn is_found(order: Order) -> bool {
    run(order, EARLIER_SEED);
    hashes(order) != elsewhere(order)
}

#[test]
fn what_is_sound_agrees() {
    assert!(!is_found(Order::Sorted));
}

#[test]
fn an_order_of_a_foreign_hash_map_is_found() {
    assert!(is_found(Order::HashedOutside), "keys from outside the run");
    assert!(is_found(Order::HashedEarlier), "keys that an earlier run left behind");
}

#[test]
fn an_address_in_a_decision_is_found() {
    assert!(is_found(Order::ByAddress), "the order of addresses");
    assert!(is_found(Order::ByBits), "the bits of an address");
}

/// Within a run the standard library asks madsim for the keys, which draws them from the seed: such an order cannot differ
/// between two runs of a seed, and another seed tries another.
#[test]
fn an_order_of_a_hash_map_of_the_run_is_the_seed_s() {
    assert!(!is_found(Order::HashedInTheRun));
    let mut orders: Vec<_> = (0..SEEDS).map(|seed| run(Order::HashedInTheRun, seed).1).collect();
    orders.sort_unstable();
    orders.dedup();
    assert_eq!(orders.len() as u64, SEEDS, "every seed has an order of its own");
}
