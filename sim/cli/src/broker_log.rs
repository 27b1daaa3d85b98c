//! What simulated brokers log, beside a run and with its time. `cargo sim SEED --log debug` drives it; it changes no run.

use std::fmt;
use std::io;

use anyhow::{Context as _, Result};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

/// The clock of the world that runs on this thread.
struct SimulatedTime;

impl FormatTime for SimulatedTime {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        match barnabas_sim_world::elapsed() {
            Some(elapsed) => write!(writer, "{:>9.3} s", elapsed.as_secs_f64()),
            None => writer.write_str("        - s"),
        }
    }
}

/// Prints what brokers log on standard error. `filter` is a level or a filter such as `info,LogCleaner=debug`.
pub(crate) fn print(filter: &str) -> Result<()> {
    let filter = EnvFilter::try_new(filter).with_context(|| format!("'{filter}' is no log level"))?;
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_timer(SimulatedTime)
        .with_ansi(false)
        .finish();
    tracing::subscriber::set_global_default(subscriber).context("logging was started twice")
}
