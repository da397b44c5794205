//! `logq`: one binary for every role. Reads the command line and hands over; the exit code says how it went.

mod arguments;
mod audit;
mod client;
mod exit;
mod search;
mod settings;
mod ship;
mod text;
mod up;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use crate::arguments::{Arguments, CheckConfig, Command};
use crate::exit::Exit;
use crate::settings::Settings;

fn main() -> ExitCode {
    let arguments = arguments::with_search(std::env::args_os().collect());
    let arguments = Arguments::parse_from(arguments);
    match run(arguments.command) {
        Ok(exit) => exit.into(),
        Err(error) => {
            eprintln!("logq: {error:#}");
            Exit::Failure.into()
        }
    }
}

fn run(command: Command) -> Result<Exit> {
    let threads = match &command {
        Command::Up(_) => std::thread::available_parallelism().map_or(2, usize::from),
        // A command that waits for one server needs no more.
        _ => 1,
    };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()?;
    runtime.block_on(async {
        match command {
            Command::Up(up) => up::run(&up).await,
            Command::Search(search) => search::run(&search).await,
            Command::Ship(ship) => ship::run(ship).await,
            Command::CheckConfig(check) => Ok(check_config(&check)),
            Command::Audit(audit) => audit::run(&audit).await,
        }
    })
}

fn check_config(check: &CheckConfig) -> Exit {
    if check.reference {
        print!("{}", settings::reference());
        return Exit::Success;
    }
    match check.file.as_deref().map(|file| Settings::load(Some(file))) {
        Some(Ok(_)) => {
            println!(
                "{} is fine",
                check.file.as_deref().unwrap_or(std::path::Path::new("")).display()
            );
            Exit::Success
        }
        Some(Err(error)) => {
            eprintln!("{error:#}");
            Exit::Usage
        }
        None => {
            eprintln!("logq: name the file to check, or ask for the --reference");
            Exit::Usage
        }
    }
}
