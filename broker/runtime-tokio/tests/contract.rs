//! The contract of the seam on real threads, sockets and files.
#![allow(clippy::print_stdout, reason = "names the case that runs: the last one printed is the one that failed")]

use std::path::{Path, PathBuf};
use std::process::Command;

use barnabas_runtime::contract::{self, Case};
use barnabas_runtime_tokio::{NodeConfig, block_on_single, run};

/// A directory that is removed with its owner.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("cargo's own scratch directory is writable");
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Left to cargo when it does not work.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn run_case(name: &'static str, case: Case, root: PathBuf) {
    println!("{name}");
    block_on_single(&NodeConfig::new("contract", 1), async move |env| case(env, root).await).expect("a shard starts");
}

#[test]
fn one_shard() {
    let scratch = Scratch::new("one-shard");
    for (name, case) in contract::cases() {
        let root = scratch.0.join(name.replace("::", "-"));
        std::fs::create_dir(&root).expect("a free name");
        run_case(name, case, root);
    }
}

#[test]
fn all_shards() {
    for (name, case) in contract::shard_cases() {
        println!("{name}");
        run(&NodeConfig::new("contract", contract::SHARDS), case).expect("the shards start");
    }
}

#[test]
fn full_disk() {
    let scratch = Scratch::new("full-disk");
    let Some(mount) = Mount::small_ext4(&scratch.0) else {
        println!("left out: only root can mount a small file system");
        return;
    };
    for (name, case) in contract::full_disk_cases() {
        run_case(name, case, mount.0.clone());
    }
}

/// A mounted file system of its own.
struct Mount(PathBuf);

impl Mount {
    /// Mounts a fresh ext4 of 16 MiB; `None` where that is not allowed.
    fn small_ext4(scratch: &Path) -> Option<Self> {
        let (image, point) = (scratch.join("image"), scratch.join("mount"));
        std::fs::File::create(&image).and_then(|file| file.set_len(16 * 1024 * 1024)).expect("room for an image");
        std::fs::create_dir(&point).expect("a free name");
        let done = |command: &mut Command| command.output().is_ok_and(|output| output.status.success());
        let made = done(Command::new("mkfs.ext4").arg("-q").args(["-m", "0"]).arg(&image));
        let mounted = made && done(Command::new("mount").args(["-o", "loop"]).args([&image, &point]));
        mounted.then_some(Self(point))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).output();
    }
}
