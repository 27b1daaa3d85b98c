//! The `barnabas` binary: `start` runs a broker, the other commands are tools for a cluster or for its files.
//!
//! Parses the command line and dispatches; each command has its file. Data goes to stdout, everything else to stderr.
//! Exit codes: 0 done, 1 the cluster refused or could not be reached, 2 wrong usage or configuration, 3 partly done,
//! 124 out of time, 130 interrupted.

mod client;
mod command;
mod logging;
mod output;
mod start;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use command::{completions, consume, groups, log, produce, topics, version};

/// An event streaming broker that speaks Apache Kafka's protocol, and its tools.
#[derive(Parser, Debug)]
#[command(
    name = "barnabas",
    version,
    propagate_version = true,
    arg_required_else_help = true,
    after_long_help = FIRST_STEPS
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const FIRST_STEPS: &str = "\
First steps:
  barnabas start                                  a broker on localhost:9092, data in ./barnabas-data
  echo hello | barnabas produce greetings         the topic is created by naming it
  barnabas consume greetings --from-beginning     and goes on as records come, until Ctrl-C

Commands find the cluster by --bootstrap-server, else by $BOOTSTRAP_SERVERS, else on localhost:9092. With --format json
each line of output is one JSON value; an error is {\"error\": {\"message\", \"code\", \"name\"}} with Kafka's number and name.

Exit status:
  0  done                                       3    partly done
  1  the cluster refused or was not reached     124  out of time
  2  wrong usage or configuration               130  interrupted";

#[derive(Subcommand, Debug)]
enum Command {
    /// Run a broker
    Start(start::Start),
    /// List, create, describe, alter and delete topics
    Topics(topics::Topics),
    /// Send lines of standard input as records
    Produce(produce::Produce),
    /// Print records
    Consume(consume::Consume),
    /// List, describe and delete consumer groups, and move their offsets
    Groups(groups::Groups),
    /// Look into the files of a log directory
    Log(log::Log),
    /// Print the version
    Version(version::Version),
    /// Print a script that completes this command line in a shell
    Completions(completions::Completions),
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Start(start) => start::run(&start).unwrap_or_else(|error| {
            output::complain(&format!("{error:#}"));
            ExitCode::FAILURE
        }),
        Command::Topics(topics) => topics.run(),
        Command::Produce(produce) => produce.run(),
        Command::Consume(consume) => consume.run(),
        Command::Groups(groups) => groups.run(),
        Command::Log(log) => log.run(),
        Command::Version(version) => version.run(),
        Command::Completions(completions) => completions.run(&mut Cli::command()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
