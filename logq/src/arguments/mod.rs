//! The command line.

mod interactions;
mod rules;
mod running;
mod searching;
mod shell;
mod store;

use agent::access::AccessArguments;
use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use self::interactions::*;
pub(crate) use self::rules::*;
pub(crate) use self::running::*;
pub(crate) use self::searching::*;
pub(crate) use self::shell::*;
pub(crate) use self::store::*;
use crate::times;
use crate::token::TokenArguments;

/// Where queries go if nothing is said.
pub(crate) const QUERY_ADDR: &str = "http://127.0.0.1:3100";
/// Where records go if nothing is said.
pub(crate) const INGEST_ADDR: &str = "http://127.0.0.1:4318";
/// Where alerting listens if nothing else is said.
pub(crate) const ALERTS_ADDR: &str = "http://127.0.0.1:3101";

/// A correlation-first log pipeline: ship, store, search.
#[derive(Debug, Parser)]
#[command(
    name = "logq",
    version,
    max_term_width = 100,
    disable_help_subcommand = true,
    after_help = "\
`logq 'QUERY'` is short for `logq search 'QUERY'`.

Examples:
  logq up --demo                               try it: a shop of small services, an agent, one story to look at
  logq up                                      start collector and query on this machine
  logq run agent --config agent.toml           follow logs and ship them, from beside the services
  logq ship --service nova nova-api.log        send a file into it
  logq 'correlation:req-42'                    every record of one interaction, over all services
  logq 'level:>=warn service:nova' --since 2h  what went wrong lately
  logq '* | stats count() by service, level'   who says how much
  logq story req-42                            the same as a story: how it ended, and why
  logq tail 'level:error'                      what goes wrong now
  logq wait 'service:orders ready' --timeout 30s
  logq help language                           how queries are written

Exit codes: 0 found, 1 nothing found, 2 bad query or usage, 3 server unreachable, 4 the answer is partial."
)]
pub(crate) struct Arguments {
    /// Which servers are meant, of those in ~/.config/logq/config.toml; the current one if not said
    #[arg(long, global = true, env = crate::contexts::VARIABLE, value_name = "NAME", display_order = 900)]
    pub(crate) context: Option<String>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Search records
    Search(Search),
    /// Search, look and follow on the whole screen
    Browse(Browse),
    /// Follow records as they come in, in the order of their times
    Tail(Follow),
    /// Wait until a record matches, print it, and end; with 1 when the time is over
    Wait(Wait),
    /// Tell everything of one correlation in causal order: how it ended, what went wrong first, what is missing
    Story(StoryOf),
    /// List the interactions of what a query finds, and how each of them ended
    Stories(Stories),
    /// Rank what sets two sets of interactions apart, such as those that failed and those that did not
    Diff(Diff),
    /// Draw a trace as a waterfall, with the records that were told in its spans
    Trace(TraceOf),
    /// List the fields that records have, with examples
    Fields(Look),
    /// List the commonest values of a field
    Values(Values),
    /// List the services, with their records and errors
    Services(Look),
    /// Say what is stored, by service and day
    Stats(Stats),
    /// Say what a query would do, without running it
    Explain(Look),
    /// Print a query well spaced, a stage a line
    Fmt(Fmt),
    /// List the alerts that are pending or firing, or those that fired
    Alerts(Alerts),
    /// Tell nobody of some alerts for a time
    Silence(SilenceArguments),
    /// Check, test and try alert rules before they page anybody
    Rules(RulesArguments),
    /// List the servers that have names, or change which of them is meant if none is named
    Context(Context),
    /// Print the script that completes commands, fields and values in a shell
    Completions(Completions),
    /// Say what can stand at the end of a command line
    #[command(hide = true)]
    Complete(Complete),
    /// Explain a command, or the query language
    Help(Help),
    /// Run collector, query and alerting in this process
    ///
    /// It runs no agent but the demo's: `logq run agent` follows what the table [agent] says.
    Up(Up),
    /// Run one role as a process of its own
    Run(Run),
    /// Ship whole files once
    Ship(Ship),
    /// Read everything in the data folder of a logq that does not run, and say what is damaged
    Check(Check),
    /// Check a configuration file and say all that is wrong with it
    CheckConfig(CheckConfig),
    /// Print the account of every record; fail where it does not add up
    Audit(Audit),
    /// Make, list and revoke tokens
    Token(TokenArguments),
    /// Delete records for good: hidden at once, removed from the disk in the background, with proof
    Delete(Delete),
    /// Copy a running store into a folder, or bring the copy that is there up to date
    Backup(Backup),
    /// Make a data folder of a backup; needs no server
    Restore(Restore),
}

impl Command {
    /// Names that are not taken for a query when they come first.
    pub(crate) const NAMES: [&'static str; 31] = [
        "search",
        "browse",
        "tail",
        "wait",
        "fields",
        "values",
        "services",
        "stats",
        "explain",
        "fmt",
        "up",
        "run",
        "ship",
        "check",
        "check-config",
        "audit",
        "delete",
        "backup",
        "restore",
        "token",
        "help",
        "context",
        "completions",
        "alerts",
        "silence",
        "rules",
        "story",
        "stories",
        "diff",
        "trace",
        "complete",
    ];
}

/// How a report is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportForm {
    /// For people
    Text,
    /// One JSON object
    Json,
}

/// How to print, and who is asked.
#[derive(Clone, Debug, Args)]
pub(crate) struct Asking {
    /// How to print
    #[arg(short, long, value_enum, default_value_t = OutputForm::Text)]
    pub(crate) output: OutputForm,
    #[command(flatten)]
    pub(crate) server: QueryServer,
}

/// Where the query service is, and who asks.
#[derive(Clone, Debug, Args)]
pub(crate) struct QueryServer {
    /// The query address
    #[arg(long, env = "LOGQ_ADDR", default_value = QUERY_ADDR)]
    pub(crate) addr: String,
    #[command(flatten)]
    pub(crate) access: AccessArguments,
}

/// Where the collector is, and who asks.
#[derive(Clone, Debug, Args)]
pub(crate) struct CollectorServer {
    /// The ingest address
    #[arg(long, env = "LOGQ_INGEST_ADDR", default_value = INGEST_ADDR)]
    pub(crate) addr: String,
    #[command(flatten)]
    pub(crate) access: AccessArguments,
}

/// Of which time.
#[derive(Clone, Debug, Args)]
pub(crate) struct Times {
    /// From when: a length before now (15m, 2h, 7d, 100y), a time, or as people say it (`yesterday 14:00`)
    #[arg(long, default_value = "15m", value_parser = times::parse, allow_hyphen_values = true)]
    pub(crate) since: String,
    /// Until when: as --since, or `now`
    #[arg(long, default_value = "now", value_parser = times::parse, allow_hyphen_values = true)]
    pub(crate) until: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputForm {
    /// One line a record, coloured on a terminal; rows as a table, timecharts as bars
    Text,
    /// One JSON object a line
    Json,
    /// Comma-separated values
    Csv,
    /// A table, of records too
    Table,
}

/// The arguments with `search` put in where a query comes first.
pub(crate) fn with_search(mut arguments: Vec<std::ffi::OsString>) -> Vec<std::ffi::OsString> {
    // `--context NAME` may stand before a command.
    let place = match arguments.get(1).and_then(|first| first.to_str()) {
        Some("--context") => 3,
        Some(flag) if flag.starts_with("--context=") => 2,
        _ => 1,
    };
    let first = arguments.get(place).and_then(|first| first.to_str());
    let command = first.is_none_or(|first| {
        Command::NAMES.contains(&first) || ["-h", "--help", "-V", "--version"].contains(&first)
    });
    if !command {
        arguments.insert(place.min(arguments.len()), "search".into());
    }
    arguments
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent_and_every_command_is_listed() {
        Arguments::command().debug_assert();
        for command in Arguments::command().get_subcommands() {
            assert!(Command::NAMES.contains(&command.get_name()), "{}", command.get_name());
        }
    }

    #[test]
    fn a_query_needs_no_command() {
        let parse = |arguments: &[&str]| {
            let all =
                std::iter::once("logq").chain(arguments.iter().copied()).map(Into::into).collect();
            Arguments::try_parse_from(with_search(all)).map(|arguments| arguments.command)
        };
        for arguments in [
            &["level:error", "-n", "5"][..],
            &["-n", "5", "level:error"],
            &["search", "level:error", "-n5"],
        ] {
            assert!(
                matches!(parse(arguments), Ok(Command::Search(search)) if search.query == "level:error" && search.limit == Some(Limit::Rows(5)))
            );
        }
        assert!(
            matches!(parse(&["--", "-health"]), Ok(Command::Search(search)) if search.query == "-health")
        );
        assert!(matches!(parse(&["up"]), Ok(Command::Up(_))));
        for arguments in [
            &["run", "agent", "--config", "a.toml"][..],
            &["run", "agent", "status", "--config", "a.toml"],
        ] {
            assert!(
                matches!(parse(arguments), Ok(Command::Run(Run { role: Role::Agent(agent) })) if agent.config.is_some())
            );
        }
        assert!(parse(&[]).is_err());
    }
}
