//! `cargo ci durability`: what was acknowledged is on the disk. Two ways to see it: the order of system calls, and
//! what is left after the process was killed. Power loss is the simulated disk's part.

mod kill;
mod proof;
mod strace;
mod trace;
mod verdict;
mod writer;

use std::path::Path;

use anyhow::Result;
use clap::Subcommand;

/// Which check.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Traces the broker's system calls: each answer to acks=all comes after a completed sync of what it acknowledges.
    Strace(strace::Options),
    /// Kills the broker again and again while clients write, and looks for what it had acknowledged.
    Kill(kill::Options),
}

/// Runs one.
pub(crate) fn run(command: &Command, binary: Option<&Path>) -> Result<()> {
    match command {
        Command::Strace(options) => strace::run(options, binary),
        Command::Kill(options) => kill::run(options, binary),
    }
}
