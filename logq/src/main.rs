//! `logq`: one binary for every role. Reads the command line and hands over; the exit code says how it went.

mod alerts;
mod arguments;
mod audit;
mod backup;
mod browse;
mod check;
mod client;
mod completions;
mod contexts;
mod delete;
mod demo;
mod exit;
mod follow;
mod help;
mod lines;
mod look;
mod output;
mod ready;
mod restore;
mod rules;
mod search;
mod settings;
mod ship;
mod silence;
mod stories;
mod times;
mod token;
mod up;

use std::process::ExitCode;

use anyhow::Result;
use clap::{CommandFactory, FromArgMatches};

use crate::arguments::{Arguments, CheckConfig, Command, Role, Run, RunAgent};
use crate::exit::Exit;

fn main() -> ExitCode {
    let arguments = arguments::with_search(std::env::args_os().collect());
    let command = match contexts::apply(Arguments::command(), &arguments) {
        Ok(command) => command,
        Err(error) => {
            eprintln!("logq: {error}");
            return Exit::Usage.into();
        }
    };
    let matches = command.get_matches_from(arguments);
    let arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match run(arguments.command) {
        Ok(exit) => exit,
        Err(error) => {
            eprintln!("logq: {error:#}");
            Exit::Failure.into()
        }
    }
}

fn run(command: Command) -> Result<ExitCode> {
    let exit = match command {
        Command::Run(Run { role: Role::Agent(RunAgent { command, config, insecure }) }) => {
            let command = command.unwrap_or(agent::command::Command::Run);
            return Ok(agent::command::run("logq", command, config.as_deref(), insecure));
        }
        Command::Up(up) => {
            let cores = std::thread::available_parallelism().map_or(2, usize::from);
            wait(cores, up::run(&up))
        }
        // A command that waits for one server needs one thread.
        Command::Search(search) if search.explain => wait(1, look::explained(&search)),
        Command::Search(search) if search.follow => wait(1, follow::search(search)),
        Command::Search(search) => wait(1, search::run(&search)),
        Command::Browse(browse) => wait(1, browse::run(&browse)),
        Command::Tail(follow) => wait(1, follow::tail(&follow)),
        Command::Wait(one) => wait(1, follow::wait(&one)),
        Command::Fields(look) => wait(1, look::fields(&look)),
        Command::Values(values) => wait(1, look::values(&values)),
        Command::Services(look) => wait(1, look::services(&look)),
        Command::Stats(stats) => wait(1, look::stats(&stats)),
        Command::Trace(trace) => wait(1, stories::trace(&trace)),
        Command::Story(story) => wait(1, stories::story(&story)),
        Command::Stories(all) => wait(1, stories::stories(&all)),
        Command::Diff(diff) => wait(1, stories::diff(&diff)),
        Command::Explain(look) => wait(1, look::explain(&look)),
        Command::Fmt(fmt) => help::fmt(fmt),
        Command::Alerts(alerts) => wait(1, alerts::run(&alerts)),
        Command::Silence(silence) => wait(1, silence::run(silence.command)),
        Command::Rules(rules) => wait(2, rules::run(rules.command)),
        Command::Context(context) => contexts::run(context.name.as_deref()),
        Command::Completions(shell) => completions::print_script(&shell),
        Command::Complete(complete) => wait(1, completions::complete(&complete)),
        Command::Help(topic) => help::run(topic.topic.as_deref()),
        Command::Ship(ship) => wait(1, ship::run(ship)),
        Command::Audit(audit) => wait(1, audit::run(&audit)),
        Command::Token(token) => token::run(token),
        Command::Delete(delete) => wait(1, delete::run(&delete)),
        Command::Check(check) => check::run(&check),
        Command::Backup(backup) if backup.verify => restore::verify(&backup.folder),
        Command::Backup(backup) => wait(1, backup::run(backup)),
        Command::Restore(restore) => restore::run(&restore),
        Command::CheckConfig(check) => Ok(check_config(&check)),
    };
    exit.map(ExitCode::from)
}

fn wait(threads: usize, command: impl Future<Output = Result<Exit>>) -> Result<Exit> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(threads).enable_all().build()?.block_on(command)
}

fn check_config(check: &CheckConfig) -> Exit {
    if check.reference {
        print!("{}", settings::reference());
        return Exit::Success;
    }
    let Some(file) = &check.file else {
        eprintln!("logq: name the file to check, or ask for the --reference");
        return Exit::Usage;
    };
    match settings::check(file) {
        Ok(()) => {
            println!("{} is fine", file.display());
            Exit::Success
        }
        Err(error) => {
            eprintln!("{error:#}");
            Exit::Usage
        }
    }
}
