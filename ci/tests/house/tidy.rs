//! The form of every source file: what it says first, how long it and its functions are, and what it never says.

use std::fs;
use std::path::PathBuf;

use crate::{files_of_rooms, none_broken, shown};

const FILE_LINES_MAX: usize = 800;
const FUNCTION_LINES_MAX: usize = 70;

/// Source files with their text.
fn sources() -> Vec<(PathBuf, String)> {
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("a source file is text");
        (path, text)
    };
    files_of_rooms(".rs").into_iter().map(read).collect()
}

#[test]
fn every_file_says_first_what_it_is() {
    let silent = sources().into_iter().filter(|(_, text)| !text.starts_with("//! "));
    none_broken(&silent.map(|(path, _)| shown(&path)).collect::<Vec<_>>());
}

#[test]
fn no_file_is_too_long() {
    let mut broken = Vec::new();
    for (path, text) in sources() {
        let lines = text.lines().count();
        if lines > FILE_LINES_MAX {
            broken.push(format!("{}: {lines} lines", shown(&path)));
        }
    }
    none_broken(&broken);
}

#[test]
fn no_function_is_too_long() {
    let mut broken = Vec::new();
    for (path, text) in sources() {
        for (name, lines) in function_lengths(&text) {
            if lines > FUNCTION_LINES_MAX {
                broken.push(format!("{}: {name} has {lines} lines", shown(&path)));
            }
        }
    }
    none_broken(&broken);
}

/// Functions with their lengths, by the form the formatter gives them: the end stands under the beginning.
fn function_lengths(text: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else {
            continue;
        };
        let indent = line.len() - line.trim_start().len();
        let end = format!("{}}}", " ".repeat(indent));
        let is_end = |line: &&str| line.trim_end() == end || (line.starts_with(&end) && line.ends_with('}'));
        if line.trim_end().ends_with(['}', ';']) {
            continue;
        }
        let length = lines[start..].iter().position(is_end).unwrap_or(0);
        found.push((name, length + 1));
    }
    found
}

/// The name of the function that begins on this line.
fn function_name(line: &str) -> Option<String> {
    let (before, after) = line.split_once("fn ")?;
    let is_qualifier = |word: &str| {
        word.starts_with("pub")
            || word.ends_with(')')
            || matches!(word, "const" | "async" | "unsafe" | "extern" | "\"C\"")
    };
    if !before.split_whitespace().all(is_qualifier) {
        return None;
    }
    let name: String = after.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect();
    (!name.is_empty()).then_some(name)
}

#[test]
fn nothing_unwraps() {
    // Written in two parts, so that this file does not hold what it looks for.
    let call = concat!(".unwrap", "()");
    let mut broken = Vec::new();
    for (path, text) in sources() {
        for (number, _) in text.lines().enumerate().filter(|(_, line)| line.contains(call)) {
            broken.push(format!("{}:{}", shown(&path), number + 1));
        }
    }
    none_broken(&broken);
}

#[test]
fn nothing_names_a_place_of_one_machine() {
    let places = [
        concat!("/ho", "me/"),
        concat!("/ro", "ot/"),
        concat!("/wo", "rk/"),
        concat!("/Use", "rs/"),
        concat!("/tmp/", "target"),
    ];
    let mut broken = Vec::new();
    for ending in [".rs", ".toml", ".md", ".py", ".xml", ".properties", "run", "full"] {
        for path in files_of_rooms_or_none(ending) {
            let text = fs::read_to_string(&path).unwrap_or_default();
            let named = text.lines().enumerate().filter(|(_, line)| places.iter().any(|place| line.contains(place)));
            broken.extend(named.map(|(number, _)| format!("{}:{}", shown(&path), number + 1)));
        }
    }
    none_broken(&broken);
}

/// As [`files_of_rooms`] but for endings that a room need not have.
fn files_of_rooms_or_none(ending: &str) -> Vec<PathBuf> {
    files_of_rooms("").into_iter().filter(|path| path.to_string_lossy().ends_with(ending)).collect()
}

#[test]
fn function_lengths_are_counted() {
    let text = "impl A {\n    pub(crate) async fn one(\n        a: u8,\n    ) {\n        b\n    }\n}\nfn two() {}\nfn three() {\n    let x = 1;\n}\n";
    assert_eq!(function_lengths(text), [("one".to_owned(), 5), ("three".to_owned(), 3)]);
}
