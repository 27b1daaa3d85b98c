//! The cases of a run: what each is called, how it ended, how long it took. Printed as they end and counted at the end.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// The cases so far.
#[derive(Default)]
pub(crate) struct Results {
    passed: usize,
    failures: Vec<Failure>,
}

struct Failure {
    name: String,
    reason: String,
}

impl Results {
    /// Runs one case and prints its line.
    pub(crate) fn case(&mut self, suite: &str, name: &str, body: impl FnOnce() -> Result<()>) {
        let began = Instant::now();
        let outcome = body();
        self.note(suite, name, began.elapsed(), outcome);
    }

    /// Counts a case that ran elsewhere and prints its line.
    pub(crate) fn note(&mut self, suite: &str, name: &str, took: Duration, outcome: Result<()>) {
        let verdict = if outcome.is_ok() { "ok" } else { "FAILED" };
        println!("{verdict:<7}{suite:<9}{name:<58}{:>7.2} s", took.as_secs_f64());
        self.count(suite, name, outcome);
    }

    /// Counts a case whose line is part of a table.
    pub(crate) fn count(&mut self, suite: &str, name: &str, outcome: Result<()>) {
        match outcome {
            Ok(()) => self.passed += 1,
            Err(error) => {
                self.failures.push(Failure { name: format!("{suite}: {name}"), reason: format!("{error:#}") })
            }
        }
    }

    /// Prints what failed and the count; a failure, or a run without a case, is an error.
    pub(crate) fn close(self) -> Result<()> {
        for failure in &self.failures {
            println!("\nFAILED {}\n  {}", failure.name, failure.reason.replace('\n', "\n  "));
        }
        println!("\n{} passed, {} failed", self.passed, self.failures.len());
        match (self.passed, self.failures.len()) {
            (0, 0) => bail!("no case was selected"),
            (_, 0) => Ok(()),
            (_, failed) => bail!("{failed} cases failed"),
        }
    }
}
