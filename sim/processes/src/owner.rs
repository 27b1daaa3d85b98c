//! [`Owner`]: whoever owns the broker, at the other end of standard input and output. The story asks it for faults.

use std::io::{BufRead, Write};

use barnabas_runtime::Env;

/// The owner of the broker.
pub(crate) struct Owner {
    env: Env,
}

impl Owner {
    pub(crate) const fn new(env: Env) -> Self {
        Self { env }
    }

    /// Tells the owner what to do.
    pub(crate) fn ask(&self, what: &str) -> Result<(), String> {
        let mut output = std::io::stdout().lock();
        let written = writeln!(output, "do {what}").and_then(|()| output.flush());
        written.map_err(|error| format!("nobody listens: {error}"))
    }

    /// Waits for the answer, which has to be `expected`.
    pub(crate) async fn answer(&self, expected: &str) -> Result<(), String> {
        let read = self.env.offload(|| {
            let mut line = String::new();
            std::io::stdin().lock().read_line(&mut line).map(|_| line)
        });
        let line = read.await.map_err(|error| error.to_string())?;
        if line.trim() == expected {
            Ok(())
        } else {
            Err(format!("`{expected}` was awaited, and `{}` came", line.trim()))
        }
    }
}
