//! The binary's dependency tree against `ci/dependencies.md`: at most 120 packages, each with a line and a reason.

use std::collections::{BTreeMap, BTreeSet};

use crate::{cargo, none_broken, root};

/// What the product may drag in.
const PACKAGES_MAX: usize = 120;

/// Every package in the binary's tree, in the form built for users.
fn tree() -> BTreeSet<String> {
    let printed = cargo(&["tree", "--locked", "-e", "normal", "-p", "barnabas", "--prefix", "none", "--format", "{p}"]);
    printed.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

/// The table's lines: package and reason.
fn reasons() -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(root().join("ci/dependencies.md")).expect("the table is there");
    text.lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .map(|line| {
            let (name, rest) = line.split_once('`').expect("a name ends");
            (name.to_owned(), rest.trim_matches(['|', ' ']).to_owned())
        })
        .collect()
}

#[test]
fn the_binary_has_few_dependencies() {
    let packages = tree();
    assert!(packages.len() <= PACKAGES_MAX, "{} packages, {PACKAGES_MAX} are allowed", packages.len());
}

#[test]
fn every_dependency_has_its_reason() {
    let reasons = reasons();
    let foreign: BTreeSet<String> = tree().into_iter().filter(|name| !name.starts_with("barnabas")).collect();
    let mut broken: Vec<String> = foreign
        .iter()
        .filter(|name| reasons.get(*name).is_none_or(String::is_empty))
        .map(|name| format!("{name} has no reason"))
        .collect();
    let stale = reasons.keys().filter(|name| !foreign.contains(*name));
    broken.extend(stale.map(|name| format!("{name} is listed but no longer there")));
    none_broken(&broken);
}
