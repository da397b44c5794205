//! `logq-agent`: the agent alone, without store and query.

use std::path::PathBuf;
use std::process::ExitCode;

use agent::command::{self, Command};
use clap::Parser;

/// Ships what services write, from beside them: follows files, never loses or doubles a line.
#[derive(Debug, Parser)]
#[command(name = "logq-agent", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Configuration file; the table [agent] of it is read
    #[arg(long, global = true, env = "LOGQ_CONFIG")]
    config: Option<PathBuf>,
    /// Listen beyond this machine without asking for tokens
    #[arg(long, global = true, env = "LOGQ_INSECURE")]
    insecure: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let command = arguments.command.unwrap_or(Command::Run);
    command::run("logq-agent", command, arguments.config.as_deref(), arguments.insecure)
}
