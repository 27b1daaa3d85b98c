//! The rules of direction: which package of the workspace may depend on which, and who may name the crates that reach
//! the world. The tables here are the rule; a new arrow is a change of the design and is added here with it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::{cargo, none_broken};

/// Each package with everything of the workspace that it may depend on, in order from the ground up. Arrows that
/// follow from others are spelled out, so that a line reads alone.
const ARROWS: [(&str, &[&str]); 22] = [
    ("barnabas-base", &[]),
    ("barnabas-wire-derive", &[]),
    ("barnabas-wire", &["barnabas-base", "barnabas-wire-derive"]),
    ("barnabas-client", &["barnabas-base", "barnabas-wire"]),
    ("barnabas-runtime", &["barnabas-base"]),
    ("barnabas-logstate", &["barnabas-base", "barnabas-wire"]),
    ("barnabas-commitlog", &["barnabas-base", "barnabas-wire", "barnabas-logstate", "barnabas-runtime"]),
    ("barnabas-metadata", &["barnabas-base", "barnabas-wire"]),
    ("barnabas-group", &["barnabas-base", "barnabas-wire"]),
    (
        "barnabas-node",
        &[
            "barnabas-base",
            "barnabas-wire",
            "barnabas-runtime",
            "barnabas-logstate",
            "barnabas-commitlog",
            "barnabas-metadata",
            "barnabas-group",
        ],
    ),
    ("barnabas-runtime-tokio", &["barnabas-base", "barnabas-runtime"]),
    (
        "barnabas",
        &[
            "barnabas-base",
            "barnabas-wire",
            "barnabas-client",
            "barnabas-runtime",
            "barnabas-commitlog",
            "barnabas-metadata",
            "barnabas-node",
            "barnabas-runtime-tokio",
        ],
    ),
    ("barnabas-plan", &["barnabas-base"]),
    ("barnabas-history", &["barnabas-base", "barnabas-plan"]),
    ("barnabas-runtime-madsim", &["barnabas-base", "barnabas-runtime"]),
    (
        "barnabas-sim-world",
        &[
            "barnabas-base",
            "barnabas-wire",
            "barnabas-client",
            "barnabas-runtime",
            "barnabas-commitlog",
            "barnabas-metadata",
            "barnabas-node",
            "barnabas-plan",
            "barnabas-history",
            "barnabas-runtime-madsim",
            "barnabas-workloads",
            "barnabas-checkers",
            "barnabas-nemesis",
        ],
    ),
    (
        "barnabas-workloads",
        &["barnabas-base", "barnabas-wire", "barnabas-client", "barnabas-runtime", "barnabas-plan", "barnabas-history"],
    ),
    ("barnabas-checkers", &["barnabas-base", "barnabas-plan", "barnabas-history"]),
    ("barnabas-nemesis", &["barnabas-base", "barnabas-plan"]),
    (
        "barnabas-sim",
        &[
            "barnabas-base",
            // For the names of error codes.
            "barnabas-wire",
            "barnabas-plan",
            "barnabas-history",
            "barnabas-nemesis",
            "barnabas-checkers",
            "barnabas-sim-world",
        ],
    ),
    (
        "barnabas-processes",
        &[
            "barnabas-base",
            "barnabas-client",
            "barnabas-runtime",
            "barnabas-runtime-tokio",
            "barnabas-plan",
            "barnabas-history",
            "barnabas-workloads",
            "barnabas-checkers",
            "barnabas-nemesis",
        ],
    ),
    // The checks share nothing with what they judge.
    ("barnabas-ci", &[]),
];

/// Arrows for tests alone.
const TEST_ARROWS: [(&str, &[&str]); 4] = [
    ("barnabas-wire", &["barnabas-wire"]),
    // The log on a real disk and on one that loses power.
    ("barnabas-commitlog", &["barnabas-runtime-tokio", "barnabas-runtime-madsim"]),
    // What the world finds on a replicated register is shrunk as what it finds on a broker.
    ("barnabas-runtime-madsim", &["barnabas-plan"]),
    // Clients against a broker in the simulated world, without the world's own opinions.
    ("barnabas-workloads", &["barnabas-metadata", "barnabas-node", "barnabas-runtime-madsim"]),
];

/// Crates that reach the world, or must not face it, with the only packages that may name them.
const RESERVED: [(&str, &[&str]); 8] = [
    ("tokio", &["barnabas-runtime-tokio"]),
    ("socket2", &["barnabas-runtime-tokio"]),
    ("rustix", &["barnabas-runtime-tokio", "barnabas-ci"]),
    ("libc", &[]),
    ("rand", &[]),
    ("madsim", &["barnabas-runtime-madsim"]),
    // Oracles for tests, where anybody may ask them.
    ("kafka-protocol", &[]),
    ("kafka-wire", &[]),
];

/// Of these the ones that tests keep away from too: with them a test would run in a third world.
const RESERVED_IN_TESTS: [&str; 2] = ["tokio", "madsim"];

/// The packages without input, output, clock, lock or task, with the foreign crates each may use.
const PURE: [(&str, &[&str]); 6] = [
    ("barnabas-base", &[]),
    ("barnabas-wire", &["bytes", "crc32c", "flate2", "lz4_flex", "snap", "zstd"]),
    ("barnabas-client", &["bytes"]),
    ("barnabas-logstate", &["bytes"]),
    // The quorum-state file is JSON, Kafka's and so ours.
    ("barnabas-metadata", &["bytes", "serde_json"]),
    ("barnabas-group", &["bytes"]),
];

/// One dependency of a package.
struct Dependency {
    name: String,
    is_for_tests: bool,
    is_ours: bool,
}

fn dependencies() -> BTreeMap<String, Vec<Dependency>> {
    let metadata: Value =
        serde_json::from_str(&cargo(&["metadata", "--no-deps", "--format-version", "1"])).expect("cargo prints JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    packages
        .iter()
        .map(|package| {
            let dependencies = package["dependencies"].as_array().expect("dependencies").iter();
            let read = |dependency: &Value| Dependency {
                name: dependency["name"].as_str().expect("a name").to_owned(),
                is_for_tests: dependency["kind"] == "dev",
                is_ours: dependency["path"].is_string(),
            };
            (package["name"].as_str().expect("a name").to_owned(), dependencies.map(read).collect())
        })
        .collect()
}

fn listed<'a>(table: &[(&str, &'a [&'a str])], package: &str) -> &'a [&'a str] {
    table.iter().find(|(name, _)| *name == package).map_or(&[], |(_, allowed)| allowed)
}

#[test]
fn every_package_has_its_line() {
    let real: BTreeSet<String> = dependencies().into_keys().collect();
    let lines: BTreeSet<String> = ARROWS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let broken: Vec<String> = real.symmetric_difference(&lines).cloned().collect();
    none_broken(&broken);
}

#[test]
fn packages_depend_only_as_listed() {
    let mut broken = Vec::new();
    for (package, dependencies) in dependencies() {
        for dependency in dependencies.iter().filter(|dependency| dependency.is_ours) {
            let name = dependency.name.as_str();
            let in_tests = dependency.is_for_tests && listed(&TEST_ARROWS, &package).contains(&name);
            if !in_tests && !listed(&ARROWS, &package).contains(&name) {
                broken.push(format!("{package} -> {name}"));
            }
        }
    }
    none_broken(&broken);
}

#[test]
fn arrows_point_down() {
    let mut broken = Vec::new();
    for (position, (package, allowed)) in ARROWS.iter().enumerate() {
        for name in *allowed {
            // The rooms around the broker stand in the customer's order, where the world comes before what it runs.
            let below = ARROWS.iter().position(|(other, _)| other == name);
            if *package != "barnabas-sim-world" && below.is_none_or(|below| below >= position) {
                broken.push(format!("{package} -> {name}"));
            }
        }
    }
    none_broken(&broken);
}

#[test]
fn the_world_is_reached_from_its_rooms_only() {
    let mut broken = Vec::new();
    for (package, dependencies) in dependencies() {
        let counts = |dependency: &&Dependency| {
            !dependency.is_for_tests || RESERVED_IN_TESTS.contains(&dependency.name.as_str())
        };
        for dependency in dependencies.iter().filter(counts) {
            let reserved = RESERVED.iter().find(|(name, _)| *name == dependency.name);
            if reserved.is_some_and(|(_, rooms)| !rooms.contains(&package.as_str())) {
                broken.push(format!("{package} -> {}", dependency.name));
            }
        }
    }
    none_broken(&broken);
}

#[test]
fn pure_packages_are_pure() {
    let mut broken = Vec::new();
    for (package, dependencies) in dependencies() {
        let Some((_, allowed)) = PURE.iter().find(|(name, _)| *name == package) else {
            continue;
        };
        for dependency in dependencies.iter().filter(|dependency| !dependency.is_ours && !dependency.is_for_tests) {
            if !allowed.contains(&dependency.name.as_str()) {
                broken.push(format!("{package} -> {}", dependency.name));
            }
        }
    }
    none_broken(&broken);
}
