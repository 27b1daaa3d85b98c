//! `cargo ci clients`: unmodified clients against a broker, Barnabas or Apache Kafka. It compares what one client
//! wrote with what each other client read; it knows nothing of the broker but its address and its files.

mod client;
mod disk;
mod groups;
pub(crate) mod java;
mod kcat;
mod matrix;
mod python;
mod queries;
mod record;
mod results;
mod tools;

use std::path::Path;

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::broker::{Broker, Kind, Spec};
use crate::workspace;
use client::Client;
use results::Results;

/// What to run against what.
#[derive(Args)]
pub(crate) struct Options {
    /// The broker under test.
    #[arg(long, value_enum, default_value = "barnabas")]
    against: Kind,
    /// Only these clients; `java` brings the tools along.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Client>,
    /// One case per client and codec, one of the groups, one tool of each family.
    #[arg(long)]
    short: bool,
    /// Keep the broker's folder also after success.
    #[arg(long)]
    keep: bool,
}

impl Options {
    fn clients(&self) -> Vec<Client> {
        let chosen = |client: &Client| self.only.is_empty() || self.only.contains(client);
        Client::ALL.into_iter().filter(chosen).collect()
    }
}

/// One broker with its clients for the length of a run.
struct Suite<'a> {
    options: &'a Options,
    clients: Vec<Client>,
    broker: Broker,
    results: Results,
}

/// Runs the suite.
pub(crate) fn run(options: &Options, binary: Option<&Path>) -> Result<()> {
    ensure!(
        workspace::clients_venv().join("installed-requirements.txt").is_file(),
        "the clients are missing: run `cargo ci setup` first"
    );
    let folder = workspace::scratch("clients")?;
    let spec = Spec::new(options.against, binary)?;
    let broker = Broker::start(spec, &folder).context("starting the broker")?;
    println!(
        "{} on {}, ready after {:.2} s, in {}\n",
        options.against.name(),
        broker.bootstrap(),
        broker.ready_in().as_secs_f64(),
        folder.display()
    );
    let mut suite = Suite { options, clients: options.clients(), broker, results: Results::default() };
    let sent = matrix::run(&mut suite)?;
    queries::run(&mut suite);
    groups::run(&mut suite)?;
    matrix::read_again(&mut suite, &sent);
    if suite.clients.contains(&Client::Java) {
        tools::run(&mut suite)?;
        disk::run(&mut suite)?;
    }
    let Suite { broker, results, .. } = suite;
    drop(broker);
    let outcome = results.close();
    if outcome.is_ok() && !options.keep {
        std::fs::remove_dir_all(&folder)?;
    }
    outcome
}
