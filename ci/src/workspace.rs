//! Where things are: the workspace, its target folder and what `cargo ci setup` put there. Nothing here creates
//! anything but scratch folders.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, ensure};

/// The root of the workspace: the parent of this package.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in a folder of the workspace")
}

/// Cargo's target folder, which also holds the clients that setup installs.
pub(crate) fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => root().join(folder),
        None => root().join("target"),
    }
}

/// The virtual environment of the Python clients.
pub(crate) fn clients_venv() -> PathBuf {
    target().join("clients-venv")
}

/// The folder of Apache Kafka's jars.
pub(crate) fn kafka_jars() -> PathBuf {
    target().join("kafka/libs")
}

/// The class-data archive that takes most of a tool's start time away.
pub(crate) fn kafka_class_archive() -> PathBuf {
    target().join("kafka/tools.jsa")
}

/// A file of this package, by its path below `ci/`.
pub(crate) fn own_file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The broker binary under test.
pub(crate) fn broker_binary(chosen: Option<&Path>) -> Result<PathBuf> {
    let path = match chosen {
        Some(path) => path.to_owned(),
        None => target().join("release/barnabas"),
    };
    ensure!(path.is_file(), "{} is missing: run `cargo build --release` first", path.display());
    path.canonicalize().context("the broker binary")
}

/// A new empty folder for one run below the target folder (the same file system as the build, never a memory disk
/// that was mounted for temporary files). The runner keeps it when the run failed.
pub(crate) fn scratch(purpose: &str) -> Result<PathBuf> {
    static SERIAL: AtomicU32 = AtomicU32::new(0);
    let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
    let path = target().join(format!("ci-scratch/{purpose}-{}-{serial}", std::process::id()));
    if path.exists() {
        std::fs::remove_dir_all(&path)?;
    }
    std::fs::create_dir_all(&path).with_context(|| format!("creating {}", path.display()))?;
    Ok(path)
}
