//! [`Session`]: one command's dealings with a cluster: the shared options, typed calls, and what a failure means.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use barnabas_base::Monotonic;
use barnabas_client::{Address, CallError, Client, ClientConfig, Destination};
use barnabas_runtime::Env;
use barnabas_runtime_tokio::{NodeConfig, block_on_single};
use barnabas_wire::{RequestBody, ResponseBody};

use super::Driver;
use crate::output::{Failure, Format, Output, complain};

const BOOTSTRAP_VARIABLE: &str = "BOOTSTRAP_SERVERS";
const BOOTSTRAP_DEFAULT: &str = "localhost:9092";
/// How long no broker may be reachable before a command gives up, whatever its own timeout.
const CONNECT_PATIENCE: Duration = Duration::from_secs(3);

/// Options of every command that talks to a cluster.
#[derive(clap::Args, Debug)]
pub(crate) struct ClusterArgs {
    /// Brokers to ask first, as host:port,host:port [default: $BOOTSTRAP_SERVERS or localhost:9092]
    #[arg(long, value_name = "SERVERS", alias = "bootstrap-servers", short = 'b')]
    bootstrap_server: Option<String>,
    /// A file of client settings, one key=value a line
    #[arg(long, value_name = "FILE")]
    command_config: Option<PathBuf>,
    /// Set one client setting; may be repeated, and wins over the file
    #[arg(long, value_name = "KEY=VALUE", short = 'X')]
    command_property: Vec<String>,
    /// Form of the output
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

/// The client settings that mean something here. Others are refused rather than ignored.
#[derive(Debug, PartialEq, Eq)]
struct Settings {
    bootstrap: String,
    client_id: String,
    request_timeout_ms: i64,
}

impl ClusterArgs {
    fn settings(&self) -> Result<Settings, Failure> {
        let mut settings = Settings {
            bootstrap: std::env::var(BOOTSTRAP_VARIABLE).unwrap_or_else(|_| BOOTSTRAP_DEFAULT.to_owned()),
            client_id: "barnabas-cli".to_owned(),
            request_timeout_ms: 30_000,
        };
        if let Some(path) = &self.command_config {
            let text = crate::start::read_properties(path)
                .map_err(|error| Failure::usage(format!("cannot read {}: {error}", path.display())))?;
            for (number, line) in (1..).zip(text.lines()) {
                let line = line.trim();
                if !line.is_empty() && !line.starts_with(['#', '!']) {
                    let place = format!("{}:{number}", path.display());
                    settings.set(line, &place)?;
                }
            }
        }
        for property in &self.command_property {
            settings.set(property, "--command-property")?;
        }
        if let Some(bootstrap) = &self.bootstrap_server {
            settings.bootstrap.clone_from(bootstrap);
        }
        Ok(settings)
    }
}

impl Settings {
    fn set(&mut self, property: &str, place: &str) -> Result<(), Failure> {
        let malformed = || Failure::usage(format!("{place}: '{property}' is not key=value"));
        let (key, value) = property.split_once('=').ok_or_else(malformed)?;
        let (key, value) = (key.trim(), value.trim());
        match key {
            "bootstrap.servers" => value.clone_into(&mut self.bootstrap),
            "client.id" => value.clone_into(&mut self.client_id),
            "request.timeout.ms" => {
                let timeout = value.parse().ok().filter(|timeout| *timeout > 0);
                self.request_timeout_ms =
                    timeout.ok_or_else(|| Failure::usage(format!("{place}: '{value}' is no time in milliseconds")))?;
            }
            "security.protocol" if value.eq_ignore_ascii_case("PLAINTEXT") => {}
            _ => return Err(Failure::usage(format!("{place}: '{property}' is not supported by this command"))),
        }
        Ok(())
    }

    fn client(&self) -> Result<ClientConfig, Failure> {
        let addresses = self.bootstrap.split(',').map(str::trim).filter(|text| !text.is_empty());
        let bootstrap: Result<Vec<Address>, _> = addresses.map(str::parse).collect();
        let bootstrap = bootstrap.map_err(|error| Failure::usage(format!("--bootstrap-server: {error}")))?;
        if bootstrap.is_empty() {
            return Err(Failure::usage("--bootstrap-server names no broker"));
        }
        Ok(ClientConfig { client_id: self.client_id.clone(), bootstrap, auto_create_topics: false })
    }
}

/// A command at work.
pub(crate) struct Session {
    pub(crate) driver: Driver,
    pub(crate) out: Output,
    pub(crate) request_timeout_ms: i64,
    /// Whether it was told that no broker answers.
    told_of_silence: bool,
}

/// Runs a command against a cluster. `auto_create_topics` says whether naming a topic may create it.
pub(crate) fn run(
    args: &ClusterArgs,
    auto_create_topics: bool,
    command: impl AsyncFnOnce(&mut Session) -> Result<(), Failure> + 'static,
) -> ExitCode {
    let format = args.format;
    let prepared = args.settings().and_then(|settings| Ok((settings.client()?, settings.request_timeout_ms)));
    let (config, request_timeout_ms) = match prepared {
        Ok(prepared) => prepared,
        Err(failure) => return Output::new(format).finish(Err(failure)),
    };
    let config = ClientConfig { auto_create_topics, ..config };
    let outcome = block_on_single(&NodeConfig::new("barnabas-cli", 1), async move |env: Env| {
        let driver = Driver::new(env, Client::new(config));
        let out = Output::new(format);
        let mut session = Session { driver, out, request_timeout_ms, told_of_silence: false };
        let result = command(&mut session).await;
        session.out.finish(result)
    });
    outcome.unwrap_or_else(|error| {
        Output::new(format).finish(Err(Failure::refused(format!("cannot start an event loop: {error}"))))
    })
}

impl Session {
    /// Asks and waits for the answer.
    pub(crate) async fn ask(
        &mut self,
        destination: Destination,
        request: RequestBody,
        version_cap: Option<i16>,
    ) -> Result<ResponseBody, Failure> {
        self.reach_cluster().await?;
        let reply = self.driver.call(destination, request, version_cap, self.request_timeout_ms).await;
        reply.map_err(|error| self.explain(&error))
    }

    /// Waits for the first connection, but not long: a wrong address should be seen at once.
    pub(crate) async fn reach_cluster(&mut self) -> Result<(), Failure> {
        if self.driver.was_connected() {
            return Ok(());
        }
        let started = self.driver.now();
        self.driver.client.refresh_metadata(started);
        let deadline = started.after(CONNECT_PATIENCE);
        while !self.driver.was_connected() {
            if self.driver.now() >= deadline {
                return Err(Failure::refused(self.why_silent()));
            }
            self.driver.step(deadline).await;
        }
        Ok(())
    }

    /// A failed call in words, with what happened to the connection.
    pub(crate) fn explain(&self, error: &CallError) -> Failure {
        match (error, self.driver.client.last_failure()) {
            (CallError::TimedOut, Some(reason)) => Failure::timed_out(format!("{error} ({reason})")),
            _ => Failure::call(error),
        }
    }

    /// Waits until the metadata of a topic is there.
    pub(crate) async fn await_topic(&mut self, topic: &str) -> Result<(), Failure> {
        self.reach_cluster().await?;
        let deadline = self.driver.now().after_ms(self.request_timeout_ms);
        self.driver.client.want_topic(self.driver.now(), topic);
        loop {
            let cluster = self.driver.client.cluster();
            let refusal = cluster.refusal(topic);
            if cluster.topic(topic).is_some_and(|topic| !topic.partitions.is_empty()) {
                return Ok(());
            }
            let waits_for_creation = self.driver.now() < deadline;
            match refusal {
                Some(code) if !waits_for_creation || !may_appear(code) => {
                    return Err(Failure::code(topic, code, None));
                }
                None if !waits_for_creation => return Err(self.explain(&CallError::TimedOut)),
                Some(_) | None => self.driver.step(deadline).await,
            }
        }
    }

    /// Waits for something to happen, at most until `until`.
    pub(crate) async fn step(&mut self, until: Option<Monotonic>) {
        self.driver.step(until.unwrap_or(Monotonic::NEVER)).await;
        self.tell_of_silence();
    }

    /// Why no broker has answered for longer than a request may take, if that is so.
    pub(crate) fn given_up(&self) -> Option<&str> {
        let deadline = self.driver.silent_since()?.after_ms(self.request_timeout_ms);
        (self.driver.now() >= deadline).then(|| self.why_silent())
    }

    /// Says once when brokers stop answering, and once when one does again: a command that goes on trying looks the same
    /// as one that has nothing to do.
    fn tell_of_silence(&mut self) {
        let is_silent = self.driver.silent_since().is_some();
        if is_silent != self.told_of_silence {
            self.told_of_silence = is_silent;
            if is_silent {
                complain(&format!("{}; trying again", self.why_silent()));
            } else {
                complain("a broker answers again");
            }
        }
    }

    fn why_silent(&self) -> &str {
        self.driver.client.last_failure().unwrap_or("no broker answers")
    }
}

/// Whether a topic that is refused so may be there in a moment: it is being created. One that is not known at all is
/// somebody's typing error.
const fn may_appear(code: barnabas_wire::ErrorCode) -> bool {
    matches!(code, barnabas_wire::ErrorCode::LeaderNotAvailable)
}

/// The response of the API that was asked, out of the enum of all.
macro_rules! expect_response {
    ($body:expr, $api:ident) => {
        match $body {
            barnabas_wire::ResponseBody::$api(response) => Ok(response),
            other => Err($crate::output::Failure::refused(format!("unexpected answer {}", other.api_key()))),
        }
    };
}

pub(crate) use expect_response;

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings { bootstrap: "a:1, b:2".to_owned(), client_id: String::new(), request_timeout_ms: 1 }
    }

    #[test]
    fn known_settings_are_taken_and_others_refused() {
        let mut settings = settings();
        for property in ["client.id=me", "request.timeout.ms = 5", "security.protocol=plaintext"] {
            assert_eq!(settings.set(property, "here"), Ok(()), "{property}");
        }
        assert_eq!((settings.client_id.as_str(), settings.request_timeout_ms), ("me", 5));
        for property in ["security.protocol=SSL", "request.timeout.ms=0", "sasl.mechanism=PLAIN", "nonsense"] {
            assert!(settings.set(property, "here").is_err(), "{property}");
        }
    }

    #[test]
    fn several_brokers_may_be_named() {
        let config = settings().client().expect("two addresses");
        let addresses: Vec<String> = config.bootstrap.iter().map(Address::to_string).collect();
        assert_eq!(addresses, ["a:1", "b:2"]);
    }
}
