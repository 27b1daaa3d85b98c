//! What clients ask for beside records: topics that come into being when they are written to, metadata, offsets by
//! time. Driven by the suite on the running broker.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::client::{Client, Codec};
use super::{Suite, kcat, record};
use crate::broker::Kind;
use crate::raw::{ProducerIdentity, batch};

/// An error that takes longer was a timeout; the clients' own are a minute.
const TOLD_WITHIN: Duration = Duration::from_secs(30);

/// Runs the cases; the short run has one client create a topic by writing to it.
pub(super) fn run(suite: &mut Suite<'_>) {
    let bootstrap = suite.broker.bootstrap();
    let writers = if suite.options.short { &suite.clients[..1] } else { &suite.clients };
    for client in writers {
        let name = format!("{} writes to a topic that is not there", client.name());
        suite.results.case("queries", &name, || auto_create(&bootstrap, *client));
    }
    transactions(suite);
    if suite.clients.contains(&Client::Kcat) {
        let broker = &suite.broker;
        suite.results.case("queries", "kcat lists the cluster", || {
            broker.create_topic("queries-list", 3, &[])?;
            list(&bootstrap)
        });
        suite.results.case("queries", "kcat finds offsets by time", || {
            broker.create_topic("queries-time", 1, &[])?;
            // Three batches a second apart, in the past, where no clock is needed to know them.
            let first_ms = batch::now_ms() - 3_600_000;
            for step in 0..3 {
                let values: [&[u8]; 2] = [b"one", b"two"];
                let batch = batch::build(ProducerIdentity::NONE, first_ms + step * 1_000, &values);
                broker.connect()?.append("queries-time", 0, &batch)?;
            }
            find_by_time(&bootstrap, first_ms)
        });
    }
}

/// What a client that wants transactions is told. Barnabas has none yet, and every client must say so at once instead of
/// running into its timeout.
fn transactions(suite: &mut Suite<'_>) {
    let able = suite.clients.iter().copied().filter(|client| *client != Client::Kcat);
    let clients: Vec<Client> = if suite.options.short { able.take(1).collect() } else { able.collect() };
    for client in clients {
        let (broker, against) = (&suite.broker, suite.options.against);
        let case = || -> Result<()> {
            let topic = format!("transactions-of-{}", client.name());
            broker.create_topic(&topic, 1, &[])?;
            let began = Instant::now();
            let said = client.transact(&broker.bootstrap(), &topic)?;
            let took = began.elapsed();
            match (against, said) {
                (Kind::Kafka, None) => Ok(()),
                (Kind::Kafka, Some(error)) => bail!("Kafka refused: {error}"),
                (Kind::Barnabas, None) => bail!("a transaction of a broker without transactions went through"),
                (Kind::Barnabas, Some(error)) => {
                    println!("       {} says: {error}", client.name());
                    ensure!(error.to_lowercase().contains("transaction"), "it does not say why: {error}");
                    ensure!(took < TOLD_WITHIN, "it took {took:?} to say: {error}");
                    Ok(())
                }
            }
        };
        suite.results.case("queries", &format!("{} asks for transactions", client.name()), case);
    }
}

fn auto_create(bootstrap: &str, client: Client) -> Result<()> {
    let topic = format!("queries-created-by-{}", client.name());
    let records = record::sample(&topic, client.expressible());
    client.produce(bootstrap, &topic, Codec::None, &records)?;
    let wanted = BTreeMap::from([(topic, records.len())]);
    let seen = client.consume(bootstrap, &wanted)?;
    ensure!(seen.len() == records.len(), "{} of {} records", seen.len(), records.len());
    Ok(())
}

fn list(bootstrap: &str) -> Result<()> {
    let answer: serde_json::Value = serde_json::from_str(&kcat::ask(bootstrap, &["-L", "-J"])?)?;
    let brokers = answer["brokers"].as_array().context("no brokers")?;
    ensure!(brokers.len() == 1, "{} brokers", brokers.len());
    // Kafka advertises what it listens on; Barnabas tells a client of this machine a name that is right for it.
    let advertised = brokers[0]["name"].as_str().context("a broker without an address")?;
    let by_name = bootstrap.replace("127.0.0.1", "localhost");
    ensure!([bootstrap, &by_name].contains(&advertised), "the broker is advertised as {advertised}");
    let topics = answer["topics"].as_array().context("no topics")?;
    let topic = topics.iter().find(|topic| topic["topic"] == "queries-list").context("a topic is missing")?;
    let partitions = topic["partitions"].as_array().context("no partitions")?;
    ensure!(partitions.len() == 3, "{} partitions", partitions.len());
    let leader = &brokers[0]["id"];
    ensure!(partitions.iter().all(|partition| partition["leader"] == *leader), "{topic}");
    Ok(())
}

fn find_by_time(bootstrap: &str, first_ms: i64) -> Result<()> {
    for (moment, wanted) in [(first_ms - 1, 0), (first_ms, 0), (first_ms + 1, 2), (first_ms + 2_000, 4)] {
        let said = kcat::ask(bootstrap, &["-Q", "-t", &format!("queries-time:0:{moment}")])?;
        let expected = format!("queries-time [0] offset {wanted}");
        ensure!(said.trim() == expected, "{} ms after the first: {said}", moment - first_ms);
    }
    Ok(())
}
