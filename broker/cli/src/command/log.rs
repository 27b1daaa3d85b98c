//! `barnabas log`: the files of a log directory for people. Talks to no broker.

use std::path::PathBuf;
use std::process::ExitCode;

use barnabas_commitlog::dump::{Decoder, DumpOptions, IndexMode, dump};
use barnabas_runtime::Env;
use barnabas_runtime_tokio::{NodeConfig, block_on_single};
use serde_json::json;

use crate::output::{Failure, Format, Output};

/// Options of `barnabas log`.
#[derive(clap::Args, Debug)]
pub(crate) struct Log {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand, Debug)]
enum Action {
    /// Print segments, indexes, snapshots, journals and checkpoints as Kafka's own tool does
    Dump(Dump),
}

const EXAMPLES: &str = "\
Examples:
  barnabas log dump barnabas-data/orders-0/00000000000000000000.log
  barnabas log dump barnabas-data/orders-0/00000000000000000000.log --print-data-log
  barnabas log dump barnabas-data/__consumer_offsets-7/*.log --offsets-decoder
  barnabas log dump barnabas-data/__cluster_metadata-0/*.log --cluster-metadata-decoder
  barnabas log dump barnabas-data/orders-0/*.index --verify-index-only";

#[derive(clap::Args, Debug)]
#[command(after_long_help = EXAMPLES)]
struct Dump {
    /// The files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Print the records of each batch
    #[arg(long, alias = "deep-iteration")]
    deep: bool,
    /// Print keys and values of the records
    #[arg(long)]
    print_data_log: bool,
    /// Print keys and values only
    #[arg(long)]
    skip_record_metadata: bool,
    /// The records are committed offsets and groups
    #[arg(long, conflicts_with_all = ["transaction_log_decoder", "cluster_metadata_decoder"])]
    offsets_decoder: bool,
    /// The records are transactions
    #[arg(long, conflicts_with = "cluster_metadata_decoder")]
    transaction_log_decoder: bool,
    /// The records are cluster metadata
    #[arg(long)]
    cluster_metadata_decoder: bool,
    /// Stop behind this many bytes of a segment
    #[arg(long, value_name = "BYTES")]
    max_bytes: Option<u64>,
    /// Compare indexes with their segments without printing them
    #[arg(long, conflicts_with = "index_sanity_check")]
    verify_index_only: bool,
    /// Check the shape of indexes only
    #[arg(long)]
    index_sanity_check: bool,
    /// Form of the output
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

impl Log {
    pub(crate) fn run(self) -> ExitCode {
        let Action::Dump(arguments) = self.action;
        let format = arguments.format;
        let outcome = block_on_single(&NodeConfig::new("barnabas-cli", 1), async move |env: Env| {
            let mut out = Output::new(format);
            let result = arguments.print(&env, &mut out).await;
            out.finish(result)
        });
        outcome.unwrap_or_else(|error| {
            Output::new(format).finish(Err(Failure::refused(format!("cannot start an event loop: {error}"))))
        })
    }
}

impl Dump {
    const fn options(&self) -> DumpOptions {
        let decoder = match (self.offsets_decoder, self.transaction_log_decoder, self.cluster_metadata_decoder) {
            (true, _, _) => Decoder::Offsets,
            (_, true, _) => Decoder::Transactions,
            (_, _, true) => Decoder::ClusterMetadata,
            (false, false, false) => Decoder::Text,
        };
        let index = match (self.verify_index_only, self.index_sanity_check) {
            (true, _) => IndexMode::VerifyOnly,
            (_, true) => IndexMode::SanityOnly,
            (false, false) => IndexMode::Print,
        };
        DumpOptions {
            deep: self.deep,
            print_data: self.print_data_log,
            decoder,
            skip_record_metadata: self.skip_record_metadata,
            max_bytes: self.max_bytes,
            index,
        }
    }

    async fn print(&self, env: &Env, out: &mut Output) -> Result<(), Failure> {
        let options = self.options();
        let mut problems = 0;
        for file in &self.files {
            let name = file.display().to_string();
            let mut written = Ok(());
            let mut print = |line: &str| {
                if written.is_ok() {
                    written = out.line(|| line.to_owned(), || json!({ "file": name, "line": line }));
                }
            };
            let found = dump(&*env.disk, file, &options, &mut print).await;
            written?;
            let found = found.map_err(|error| Failure::refused(format!("cannot read {name}: {error}")))?;
            out.flush()?;
            problems += found.lines.len() as u64 + found.unlisted;
            for line in &found.lines {
                if out.is_json() {
                    out.line(String::new, || json!({ "file": name, "problem": line }))?;
                } else {
                    crate::output::complain(line);
                }
            }
        }
        if problems == 0 { Ok(()) } else { Err(Failure::refused(format!("{problems} problems were found"))) }
    }
}
