//! Marks and error codes: every mark that is declared is observed somewhere, nobody observes a name that is not declared,
//! and the simulator's table of the error codes that the broker answers is what the broker's sources name.

use std::collections::BTreeSet;
use std::fs;

use crate::{files_of_rooms, none_broken, root, shown};

/// Where marks are declared.
const MARKS: &str = "broker/base/src/mark.rs";
/// Where the codes are listed that sweeps look for.
const CODES: &str = "sim/cli/src/codes.rs";
/// The packages that decide what a request is answered with.
const ANSWERING: [&str; 5] = ["broker/node", "broker/group", "broker/metadata", "broker/commitlog", "broker/logstate"];

/// Sources of the broker with their text, without tests.
fn sources() -> Vec<(String, String)> {
    let paths = files_of_rooms(".rs").into_iter().map(|path| (shown(&path), path));
    let is_product = |shown: &str| {
        let is_test = shown.contains("/tests/") || shown.ends_with("_test.rs") || shown.ends_with("_tests.rs");
        shown.starts_with("broker/") && shown.contains("/src/") && !is_test
    };
    let read = |path| fs::read_to_string(path).expect("a source file is text");
    let product = |text: String| text.split("#[cfg(test)]").next().unwrap_or_default().to_owned();
    paths.filter(|(shown, _)| is_product(shown)).map(|(shown, path)| (shown, product(read(path)))).collect()
}

/// The words of a text, as Rust has them.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter: char| !letter.is_alphanumeric() && letter != '_').filter(|word| !word.is_empty())
}

/// What stands behind `ErrorCode::` and is a code, but for that of success.
fn codes(text: &str) -> impl Iterator<Item = &str> {
    let named = text.split("ErrorCode::").skip(1).filter_map(|after| words(after).next());
    let is_code = |name: &&str| name.starts_with(char::is_uppercase) && name.contains(char::is_lowercase);
    named.filter(is_code).filter(|name| *name != "None")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).expect("the file is there")
}

/// The constants of the table, by the form that the formatter leaves alone: `NAME = "name", ...`.
fn declared(text: &str) -> Vec<&str> {
    let entries = text.lines().filter_map(|line| line.trim().split_once(" = \""));
    let is_constant = |name: &&str| name.chars().all(|letter| letter.is_ascii_uppercase() || letter == '_');
    entries.map(|(name, _)| name).filter(is_constant).collect()
}

#[test]
fn every_mark_is_observed_somewhere() {
    let table = read(MARKS);
    let declared = declared(&table);
    assert!(declared.len() > 100, "the table of marks is not read any more: {declared:?}");
    let sources = sources();
    let used: BTreeSet<&str> =
        sources.iter().filter(|(path, _)| path != MARKS).flat_map(|(_, text)| words(text)).collect();
    let unused = declared.iter().filter(|mark| !used.contains(**mark));
    none_broken(&unused.map(|mark| format!("{mark} is declared and nobody observes it")).collect::<Vec<_>>());
}

#[test]
fn nobody_observes_what_is_not_declared() {
    // Written in two parts, so that this file does not hold what it looks for.
    let made_up = concat!("Mark { na", "me: ");
    let outside = |(path, text): &(String, String)| path != MARKS && text.contains(made_up);
    none_broken(&sources().into_iter().filter(outside).map(|(path, _)| path).collect::<Vec<_>>());
}

#[test]
fn the_codes_that_sweeps_look_for_are_those_that_the_broker_names() {
    let is_answering = |path: &str| ANSWERING.iter().any(|package| path.starts_with(&format!("{package}/src/")));
    let sources = sources();
    let named: BTreeSet<&str> =
        sources.iter().filter(|(path, _)| is_answering(path)).flat_map(|(_, text)| codes(text)).collect();
    assert!(named.len() > 30, "the broker's sources are not read any more: {named:?}");
    let table = read(CODES);
    let listed: BTreeSet<&str> = codes(&table).collect();
    let missing = named.difference(&listed).map(|code| format!("{code} is answered and not listed in {CODES}"));
    let stale = listed.difference(&named).map(|code| format!("{code} is listed in {CODES} and answered by nobody"));
    none_broken(&missing.chain(stale).collect::<Vec<_>>());
}

#[test]
fn codes_and_constants_are_found_in_text() {
    let text = "Err(ErrorCode::InvalidConfig) ErrorCode::ALL, ErrorCode::None ErrorCode::from_code(1) ErrorCode::NotCoordinator,";
    assert_eq!(codes(text).collect::<Vec<_>>(), ["InvalidConfig", "NotCoordinator"]);
    assert_eq!(declared("    LOG_CUT = \"log-cut\", \"words\";\n    let x = \"y\";\n"), ["LOG_CUT"]);
}
