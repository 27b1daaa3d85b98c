//! How the broker logs: Kafka's text layout on stdout, or one JSON object a line. Driven by `start`.

use std::fmt::{self, Write as _};
use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Layout of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// `[2026-11-20 21:03:11,042] INFO message (logger)`, as Kafka writes it.
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts logging to stdout. `level` is one of Kafka's levels or a filter such as `info,commitlog=debug`.
pub(crate) fn init(format: LogFormat, level: &str) -> anyhow::Result<()> {
    // A filter takes any lone word for a target of which everything is printed.
    let is_known = level.contains('=') || level.parse::<LevelFilter>().is_ok();
    let parsed = EnvFilter::try_new(level).ok().filter(|_| is_known);
    let filter = parsed.with_context(|| {
        format!("'{level}' is no log level: off, error, warn, info, debug, trace, or a list like info,LogManager=debug")
    })?;
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| Output)
        .log_internal_errors(false)
        .event_format(KafkaLayout { format })
        .finish();
    tracing::subscriber::set_global_default(subscriber).context("logging was started twice")
}

/// Standard output for as long as it takes anything: a broker whose reader, terminal or device is gone lives on. The library
/// would say on stderr that a line was not written, and panic when that fails as well.
struct Output;

impl io::Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match io::Write::write(&mut io::stdout(), bytes) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Ok(bytes.len()),
            written => written,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        let _ = io::Write::flush(&mut io::stdout());
        Ok(())
    }
}

struct KafkaLayout {
    format: LogFormat,
}

impl<S, N> FormatEvent<S, N> for KafkaLayout
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut message = Message::default();
        event.record(&mut message);
        let level = level_name(*event.metadata().level());
        let logger = event.metadata().target();
        let now = Civil::from_system_time(SystemTime::now());
        match self.format {
            LogFormat::Text => writeln!(writer, "[{now}] {level} {} ({logger})", message.text),
            LogFormat::Json => {
                let line = serde_json::json!({
                    "timestamp": now.iso8601(),
                    "level": level,
                    "logger": logger,
                    "message": message.text,
                    "thread": std::thread::current().name().unwrap_or_default(),
                });
                writeln!(writer, "{line}")
            }
        }
    }
}

/// log4j's name of a level.
const fn level_name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "ERROR",
        Level::WARN => "WARN",
        Level::INFO => "INFO",
        Level::DEBUG => "DEBUG",
        Level::TRACE => "TRACE",
    }
}

/// The message of an event with its other fields behind it.
#[derive(Default)]
struct Message {
    text: String,
}

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string cannot fail.
        if field.name() == "message" {
            let _ = write!(self.text, "{value:?}");
        } else {
            let _ = write!(self.text, " {}={value:?}", field.name());
        }
    }
}

/// A wall-clock time in UTC, taken apart.
struct Civil {
    year: i64,
    month: u32,
    day: u32,
    second_of_day: u32,
    millis: u32,
}

const SECONDS_PER_DAY: u64 = 86_400;

impl Civil {
    fn from_system_time(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let days = since.as_secs() / SECONDS_PER_DAY;
        let (year, month, day) = civil_from_days(i64::try_from(days).unwrap_or(0));
        let second_of_day = u32::try_from(since.as_secs() % SECONDS_PER_DAY).expect("below a day");
        Self { year, month, day, second_of_day, millis: since.subsec_millis() }
    }

    fn iso8601(&self) -> String {
        let [hour, minute, second] = self.clock();
        let Self { year, month, day, millis, .. } = self;
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
    }

    fn clock(&self) -> [u32; 3] {
        [self.second_of_day / 3600, self.second_of_day / 60 % 60, self.second_of_day % 60]
    }
}

impl fmt::Display for Civil {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [hour, minute, second] = self.clock();
        let Self { year, month, day, millis, .. } = self;
        write!(f, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02},{millis:03}")
    }
}

/// Year, month and day of a number of days since 1970-01-01 in the Gregorian calendar: years are counted from March,
/// so that the leap day is the last of its year, and in eras of 400 years, which all have the same number of days.
fn civil_from_days(days: i64) -> (i64, u32, u32) {
    const DAYS_PER_ERA: i64 = 146_097;
    const DAYS_TO_EPOCH: i64 = 719_468;
    let shifted = days + DAYS_TO_EPOCH;
    let era = shifted.div_euclid(DAYS_PER_ERA);
    let day_of_era = shifted.rem_euclid(DAYS_PER_ERA);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    let small = |value: i64| u32::try_from(value).expect("months and days are small");
    (year, small(month), small(day))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn dates_are_gregorian() {
        assert_eq!(civil_from_days(0), (1970, 1, 1));
        assert_eq!(civil_from_days(11_016), (2000, 2, 29));
        assert_eq!(civil_from_days(11_017), (2000, 3, 1));
        assert_eq!(civil_from_days(20_778), (2026, 11, 21));
    }

    #[test]
    fn lines_look_like_kafkas() {
        let time = UNIX_EPOCH + Duration::from_millis(1_795_208_591_042);
        let civil = Civil::from_system_time(time);
        assert_eq!(civil.to_string(), "2026-11-20 21:03:11,042");
        assert_eq!(civil.iso8601(), "2026-11-20T21:03:11.042Z");
    }
}
