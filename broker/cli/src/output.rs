//! What a command says: data on stdout as text or JSON, complaints on stderr, and the exit code it ends with.

use std::io::{self, BufWriter, Stdout, Write};
use std::process::ExitCode;

use barnabas_client::CallError;
use barnabas_wire::ErrorCode;
use serde_json::{Value, json};

const EXIT_REFUSED: u8 = 1;
const EXIT_USAGE: u8 = 2;
const EXIT_PARTLY: u8 = 3;
const EXIT_TIMED_OUT: u8 = 124;
const EXIT_INTERRUPTED: u8 = 130;

/// Form of the data on stdout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// For programs: one JSON value a line.
    Json,
}

/// One thing that went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cause {
    pub(crate) message: String,
    /// The cluster's error, if it was the cluster that refused.
    pub(crate) code: Option<ErrorCode>,
}

impl Cause {
    fn to_json(&self) -> Value {
        let (code, name) = (self.code.map(ErrorCode::code), self.code.map(ErrorCode::name));
        json!({ "error": { "message": self.message, "code": code, "name": name } })
    }
}

impl From<String> for Cause {
    fn from(message: String) -> Self {
        Self { message, code: None }
    }
}

/// Why a command ends without having done all it was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    exit: u8,
    /// Nothing when there is nobody to tell: the reader of our output has gone.
    causes: Vec<Cause>,
}

impl Failure {
    fn new(exit: u8, message: impl Into<String>) -> Self {
        Self { exit, causes: vec![Cause::from(message.into())] }
    }

    /// The cluster refused, or could not be reached.
    pub(crate) fn refused(message: impl Into<String>) -> Self {
        Self::new(EXIT_REFUSED, message)
    }

    /// The command line or a file it names is wrong.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(EXIT_USAGE, message)
    }

    /// Some of what was asked is done, some is not.
    pub(crate) fn partly(message: impl Into<String>) -> Self {
        Self::new(EXIT_PARTLY, message)
    }

    /// The command ran out of the time it was given.
    pub(crate) fn timed_out(message: impl Into<String>) -> Self {
        Self::new(EXIT_TIMED_OUT, message)
    }

    /// Ctrl-C.
    pub(crate) const fn interrupted() -> Self {
        Self { exit: EXIT_INTERRUPTED, causes: Vec::new() }
    }

    /// An error of the cluster about `subject`.
    pub(crate) fn code(subject: &str, code: ErrorCode, message: Option<&str>) -> Self {
        Self { exit: EXIT_REFUSED, causes: vec![explain(subject, code, message)] }
    }

    /// What a command on several things amounts to when some of them were refused.
    pub(crate) const fn several(done: usize, causes: Vec<Cause>) -> Self {
        Self { exit: if done == 0 { EXIT_REFUSED } else { EXIT_PARTLY }, causes }
    }

    /// The same, with the cluster's error behind it.
    pub(crate) fn with_code(mut self, code: Option<ErrorCode>) -> Self {
        for cause in &mut self.causes {
            cause.code = cause.code.or(code);
        }
        self
    }

    /// A call that got no answer.
    pub(crate) fn call(error: &CallError) -> Self {
        match error {
            CallError::TimedOut => Self::timed_out(error.to_string()),
            CallError::Refused(code) => Self::refused(error.to_string()).with_code(Some(*code)),
            CallError::Disconnected | CallError::Unsupported | CallError::Encode(_) | CallError::Overloaded => {
                Self::refused(error.to_string())
            }
        }
    }
}

/// `subject: NAME: the broker's words`.
pub(crate) fn explain(subject: &str, code: ErrorCode, message: Option<&str>) -> Cause {
    let message = match message.filter(|message| !message.is_empty()) {
        Some(message) => format!("{subject}: {} ({message})", code.name()),
        None => format!("{subject}: {}", code.name()),
    };
    Cause { message, code: Some(code) }
}

/// The code of a number on the wire.
pub(crate) fn known_code(code: i16) -> ErrorCode {
    ErrorCode::from_code(code).unwrap_or(ErrorCode::UnknownServerError)
}

/// Says what went wrong to a person.
pub(crate) fn complain(message: &str) {
    // Nobody is left to tell when stderr is gone.
    drop(writeln!(io::stderr(), "barnabas: {message}"));
}

/// Standard output.
pub(crate) struct Output {
    format: Format,
    stdout: BufWriter<Stdout>,
}

impl Output {
    pub(crate) fn new(format: Format) -> Self {
        Self { format, stdout: BufWriter::new(io::stdout()) }
    }

    pub(crate) const fn is_json(&self) -> bool {
        matches!(self.format, Format::Json)
    }

    /// One line of data: as a person reads it, or as a value.
    pub(crate) fn line(&mut self, text: impl FnOnce() -> String, value: impl FnOnce() -> Value) -> Result<(), Failure> {
        let line = match self.format {
            Format::Text => text(),
            Format::Json => value().to_string(),
        };
        self.raw(line.as_bytes())?;
        self.raw(b"\n")
    }

    /// Bytes as they are.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.stdout.write_all(bytes).map_err(|error| write_failure(&error))
    }

    /// Rows under a heading, in columns; as JSON one object a row, with the names of `fields`.
    pub(crate) fn table(&mut self, fields: &[&str], rows: &[Vec<Value>]) -> Result<(), Failure> {
        if self.is_json() {
            for row in rows {
                let object: serde_json::Map<String, Value> =
                    fields.iter().map(|name| (*name).to_owned()).zip(row.iter().cloned()).collect();
                self.line(String::new, || Value::Object(object))?;
            }
            return Ok(());
        }
        let heading: Vec<String> = fields.iter().map(|name| name.to_uppercase().replace('_', "-")).collect();
        let lines: Vec<Vec<String>> =
            std::iter::once(heading).chain(rows.iter().map(|row| row.iter().map(cell).collect())).collect();
        for line in columns(&lines) {
            self.raw(line.as_bytes())?;
            self.raw(b"\n")?;
        }
        Ok(())
    }

    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        self.stdout.flush().map_err(|error| write_failure(&error))
    }

    /// Says what went wrong while the command goes on: to a person on stderr, to a program as a value among the others.
    pub(crate) fn complain(&mut self, cause: &Cause) -> Result<(), Failure> {
        if self.is_json() {
            return self.line(String::new, || cause.to_json());
        }
        complain(&cause.message);
        Ok(())
    }

    /// Ends a command.
    pub(crate) fn finish(mut self, result: Result<(), Failure>) -> ExitCode {
        let Err(failure) = result.and_then(|()| self.flush()) else { return ExitCode::SUCCESS };
        // The failure is told by the exit code in any case.
        if !self.is_json() {
            drop(self.flush());
        }
        for cause in &failure.causes {
            drop(self.complain(cause));
        }
        drop(self.flush());
        ExitCode::from(failure.exit)
    }
}

/// A reader that has seen enough (`barnabas consume ... | head`) is no failure worth a word.
fn write_failure(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Failure { exit: EXIT_REFUSED, causes: Vec::new() },
        _ => Failure::refused(format!("cannot write to standard output: {error}")),
    }
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(cell).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

/// Lines with their cells under one another, two blanks apart.
fn columns(lines: &[Vec<String>]) -> Vec<String> {
    let count = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..count).map(width).collect();
    let render = |line: &Vec<String>| {
        let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    lines.iter().map(render).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_cluster_carry_number_and_name() {
        let refused = explain("t", ErrorCode::TopicAlreadyExists, Some("it is there"));
        let error =
            json!({ "message": "t: TOPIC_ALREADY_EXISTS (it is there)", "code": 36, "name": "TOPIC_ALREADY_EXISTS" });
        assert_eq!(refused.to_json(), json!({ "error": error }));
        let local = Cause::from("no such file".to_owned()).to_json();
        assert_eq!(local, json!({ "error": { "message": "no such file", "code": null, "name": null } }));
    }

    #[test]
    fn cells_stand_under_one_another() {
        let row = |cells: &[&str]| cells.iter().map(|cell| (*cell).to_owned()).collect();
        let lines = columns(&[row(&["TOPIC", "N"]), row(&["a-long-name", "1"]), row(&["b", ""])]);
        assert_eq!(lines, ["TOPIC        N", "a-long-name  1", "b"]);
    }

    #[test]
    fn values_are_shown_without_quotes() {
        assert_eq!(cell(&json!("x")), "x");
        assert_eq!(cell(&json!([1, 2])), "1,2");
        assert_eq!(cell(&Value::Null), "-");
    }
}
