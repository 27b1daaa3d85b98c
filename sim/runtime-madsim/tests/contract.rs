//! The contract of the seam in the simulated world, on many seeds.

use std::path::PathBuf;
use std::time::Duration;

use barnabas_runtime::contract;
use barnabas_runtime_madsim::{Config, World, simulate};

/// Seeds that each case runs on.
const SEEDS: u64 = 20;

/// Simulated time within which a case ends.
const LIMIT: Duration = Duration::from_secs(600);

fn run_on(
    world: &World,
    shards: u16,
    main: impl Fn(barnabas_runtime::Env) -> barnabas_runtime::Local<'static, ()> + 'static,
) {
    let node = world.node("contract");
    node.start(shards, main);
    let ended = node.run_until_stopped(LIMIT);
    assert!(ended, "the case ends");
}

#[test]
fn one_shard() {
    for (name, case) in contract::cases() {
        for seed in 0..SEEDS {
            simulate(seed, Config::default(), move |world| {
                run_on(world, 1, move |env| {
                    Box::pin(async move {
                        let root = PathBuf::from("/contract");
                        env.disk.create_dir_all(&root).await.expect("an empty disk");
                        case(env, root).await;
                    })
                });
                let panics = world.take_panics();
                assert!(panics.is_empty(), "{name} at seed {seed}: {panics:?}");
            });
        }
    }
}

#[test]
fn full_disk() {
    for (name, case) in contract::full_disk_cases() {
        for seed in 0..SEEDS {
            let config = Config { disk_bytes: 16 * 1024 * 1024, ..Config::default() };
            simulate(seed, config, move |world| {
                run_on(world, 1, move |env| case(env, PathBuf::from("/")));
                let panics = world.take_panics();
                assert!(panics.is_empty(), "{name} at seed {seed}: {panics:?}");
            });
        }
    }
}

#[test]
fn all_shards() {
    for (name, case) in contract::shard_cases() {
        for seed in 0..SEEDS {
            simulate(seed, Config::default(), move |world| {
                run_on(world, contract::SHARDS, case);
                let panics = world.take_panics();
                assert!(panics.is_empty(), "{name} at seed {seed}: {panics:?}");
            });
        }
    }
}
