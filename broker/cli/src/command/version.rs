//! `barnabas version`: what this binary is. Talks to nobody.

use std::process::ExitCode;

use serde_json::json;

use crate::output::{Format, Output};

/// The Kafka release whose protocol is spoken.
const KAFKA_VERSION: &str = "4.3";

/// Options of `barnabas version`.
#[derive(clap::Args, Debug)]
pub(crate) struct Version {
    /// Form of the output
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

impl Version {
    pub(crate) fn run(&self) -> ExitCode {
        let mut out = Output::new(self.format);
        let version = env!("CARGO_PKG_VERSION");
        let printed = out.line(
            || format!("barnabas {version} (speaks Apache Kafka {KAFKA_VERSION})"),
            || json!({ "version": version, "kafka_version": KAFKA_VERSION }),
        );
        out.finish(printed)
    }
}
