//! `barnabas completions`: a script for a shell that completes commands, options and their values. Talks to nobody.

use std::process::ExitCode;

use clap_complete::{Shell, generate};

use crate::output::{Format, Output};

/// Options of `barnabas completions`.
#[derive(clap::Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

const EXAMPLES: &str = "\
Examples:
  barnabas completions bash > ~/.local/share/bash-completion/completions/barnabas
  barnabas completions zsh  > ~/.zfunc/_barnabas      (with ~/.zfunc in $fpath)
  barnabas completions fish > ~/.config/fish/completions/barnabas.fish";

impl Completions {
    pub(crate) fn run(&self, cli: &mut clap::Command) -> ExitCode {
        let mut out = Output::new(Format::Text);
        let printed = out.raw(&script(self.shell, cli));
        out.finish(printed)
    }
}

fn script(shell: Shell, cli: &mut clap::Command) -> Vec<u8> {
    let mut script = Vec::new();
    generate(shell, cli, "barnabas", &mut script);
    script
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, ValueEnum};

    use super::*;

    #[test]
    fn every_shell_learns_commands_and_options() {
        for shell in Shell::value_variants() {
            let script = script(*shell, &mut crate::Cli::command());
            let script = String::from_utf8(script).expect("scripts are text");
            for word in ["consume", "from-beginning", "completions"] {
                assert!(script.contains(word), "{shell} does not learn {word}");
            }
        }
    }
}
