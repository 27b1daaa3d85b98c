//! The rules of the house that no compiler checks: which package may depend on which, what the product drags in, and
//! the form of every source file. It reads the workspace and `cargo`'s own answers, and runs nothing else.

mod arrows;
mod dependencies;
mod marks;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::Command;

/// The root of the workspace.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in a folder of the workspace")
}

/// What a cargo command prints.
fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO")).args(arguments).current_dir(root()).output().expect("cargo runs");
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {}: {complaints}", arguments.join(" "));
    String::from_utf8(output.stdout).expect("cargo prints text")
}

/// The source folders of the house; the top level is the customer's.
const ROOMS: [&str; 6] = ["broker", "sim", "workloads", "checkers", "nemesis", "ci"];

/// Every file of the rooms whose name ends so, but for what builds leave behind.
fn files_of_rooms(ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = ROOMS.iter().map(|room| root().join(room)).collect();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a room can be listed") {
            let path = entry.expect("an entry can be read").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                folders.push(path);
            } else if name.ends_with(ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "no file *{ending} in the house");
    found
}

/// A path as a reader writes it.
fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

/// Fails with every broken rule at once.
fn none_broken(broken: &[String]) {
    assert!(broken.is_empty(), "{} places break the rule:\n  {}", broken.len(), broken.join("\n  "));
}
