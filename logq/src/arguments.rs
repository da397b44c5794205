//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use agent::access::AccessArguments;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::completions::Shell;
use crate::output::ColorChoice;
use crate::times;
use crate::token::TokenArguments;

/// Where queries go if nothing is said.
pub(crate) const QUERY_ADDR: &str = "http://127.0.0.1:3100";
/// Where records go if nothing is said.
pub(crate) const INGEST_ADDR: &str = "http://127.0.0.1:4318";

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
  logq up --demo                               try it: three small services, an agent, one story to look at
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
    /// Run collector and query in this process
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
    pub(crate) const NAMES: [&'static str; 29] = [
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
        "rules",
        "story",
        "stories",
        "diff",
        "trace",
        "complete",
    ];
}

#[derive(Debug, Args)]
pub(crate) struct Search {
    /// What to look for, such as `level:error service:nova "timed out"`; a leading -word needs `--` before it
    pub(crate) query: String,
    /// Go on with records as they come in, as `logq tail` does
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Do not use a pager ($LOGQ_PAGER, $PAGER, less) on a terminal
    #[arg(long)]
    pub(crate) no_pager: bool,
    /// Whether to colour; NO_COLOR and CLICOLOR_FORCE are heard too
    #[arg(long, value_enum, default_value_t)]
    pub(crate) color: ColorChoice,
    /// Say what the query would do, run it, and say what it did; no rows are printed
    #[arg(long)]
    pub(crate) explain: bool,
    /// From when: a length before now (15m, 2h, 7d, 100y), a time, or as people say it (`yesterday 14:00`)
    #[arg(long, default_value = "15m", value_parser = times::parse, allow_hyphen_values = true)]
    pub(crate) since: String,
    /// Until when: as --since, or `now`
    #[arg(long, default_value = "now", value_parser = times::parse, allow_hyphen_values = true)]
    pub(crate) until: String,
    /// Records or rows at most, the newest first, or `all`; if not said: 100 records, or all rows of stages such as stats
    #[arg(short = 'n', long)]
    pub(crate) limit: Option<Limit>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t = OutputForm::Text)]
    pub(crate) output: OutputForm,
    /// The query address
    #[arg(long, env = "LOGQ_ADDR", default_value = QUERY_ADDR)]
    pub(crate) addr: String,
    #[command(flatten)]
    pub(crate) access: AccessArguments,
}

#[derive(Debug, Args)]
pub(crate) struct Browse {
    /// What to look for first; `*` is all of it
    #[arg(default_value = "*")]
    pub(crate) query: String,
    /// From when: a length before now (15m, 2h, 7d, 100y) or a time
    #[arg(long, default_value = "15m")]
    pub(crate) since: String,
    /// The query address
    #[arg(long, env = "LOGQ_ADDR", default_value = QUERY_ADDR)]
    pub(crate) addr: String,
    #[command(flatten)]
    pub(crate) access: AccessArguments,
}

#[derive(Debug, Args)]
pub(crate) struct RulesArguments {
    #[command(subcommand)]
    pub(crate) command: RulesCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RulesCommand {
    /// Say all that is wrong with files of rules, or that nothing is
    Check(CheckRules),
    /// Run unit tests of rules: records with their times, and the alerts that they make
    Test(TestRules),
    /// Say when rules would have fired over stored history, how often and for how long
    Backtest(BacktestRules),
    /// Say how often old and new rules would have fired over the same history
    Diff(DiffRules),
}

#[derive(Debug, Args)]
pub(crate) struct CheckRules {
    /// Files of rules
    #[arg(required = true)]
    pub(crate) files: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct TestRules {
    /// Files of tests, each of which names its rules
    #[arg(required = true)]
    pub(crate) files: Vec<PathBuf>,
}

/// Over which history, and whose.
#[derive(Debug, Args)]
pub(crate) struct Past {
    /// From when: a length before now (15m, 2h, 7d), a time, or as people say it (`yesterday 14:00`)
    #[arg(long, default_value = "7d", value_parser = times::parse, allow_hyphen_values = true)]
    pub(crate) since: String,
    /// Until when: as --since, or `now`
    #[arg(long, default_value = "now", value_parser = times::parse, allow_hyphen_values = true)]
    pub(crate) until: String,
    /// How far apart evaluations are; the interval of each group if not said
    #[arg(long, value_name = "DURATION", value_parser = crate::rules::step)]
    pub(crate) step: Option<Duration>,
    /// The query address
    #[arg(long, env = "LOGQ_ADDR", default_value = QUERY_ADDR)]
    pub(crate) addr: String,
    #[command(flatten)]
    pub(crate) access: AccessArguments,
}

#[derive(Debug, Args)]
pub(crate) struct BacktestRules {
    /// File of rules
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) past: Past,
    /// How to print
    #[arg(short, long, value_enum, default_value_t = OutputForm::Text)]
    pub(crate) output: OutputForm,
}

#[derive(Debug, Args)]
pub(crate) struct DiffRules {
    /// The rules as they are
    pub(crate) old: PathBuf,
    /// The rules as they are to be
    pub(crate) new: PathBuf,
    #[command(flatten)]
    pub(crate) past: Past,
    /// How to print
    #[arg(short, long, value_enum, default_value_t = OutputForm::Text)]
    pub(crate) output: OutputForm,
}

/// How one thing is looked at.
#[derive(Debug, Args)]
pub(crate) struct View {
    /// Rows at most; of more the middle is left out
    #[arg(long)]
    pub(crate) rows: Option<usize>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t = ReportForm::Text)]
    pub(crate) output: ReportForm,
    /// Do not use a pager ($LOGQ_PAGER, $PAGER, less) on a terminal
    #[arg(long)]
    pub(crate) no_pager: bool,
    /// Whether to colour; NO_COLOR and CLICOLOR_FORCE are heard too
    #[arg(long, value_enum, default_value_t)]
    pub(crate) color: ColorChoice,
    /// The query address
    #[arg(long, env = "LOGQ_ADDR", default_value = QUERY_ADDR)]
    pub(crate) addr: String,
    #[command(flatten)]
    pub(crate) access: AccessArguments,
}

#[derive(Debug, Args)]
pub(crate) struct TraceOf {
    /// The trace id, 32 hex digits
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) view: View,
}

#[derive(Debug, Args)]
pub(crate) struct StoryOf {
    /// The correlation id
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) view: View,
}

#[derive(Debug, Args)]
pub(crate) struct Stories {
    /// Which records or spans (`from spans …`) they have, such as `level:error`; a filter, without stages
    #[arg(default_value = "*")]
    pub(crate) query: String,
    /// Interactions at most, the newest
    #[arg(short = 'n', long, default_value_t = 20)]
    pub(crate) limit: usize,
    #[command(flatten)]
    pub(crate) time: Times,
    #[command(flatten)]
    pub(crate) asking: Asking,
}

#[derive(Debug, Args)]
pub(crate) struct Diff {
    /// Which records the interactions of the first set have, such as `level:error`
    pub(crate) query: String,
    /// Which those of the second set have; those of the first are left out of it
    #[arg(default_value = "*")]
    pub(crate) other: String,
    #[command(flatten)]
    pub(crate) time: Times,
    #[command(flatten)]
    pub(crate) asking: Asking,
}

#[derive(Debug, Args)]
pub(crate) struct Context {
    /// The one that is meant from now on
    pub(crate) name: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// For bash: `source <(logq completions bash)`; for zsh the same; for fish: `logq completions fish | source`
    pub(crate) shell: Shell,
}

#[derive(Debug, Args)]
pub(crate) struct Complete {
    pub(crate) shell: Shell,
    /// The command line up to the cursor
    #[arg(allow_hyphen_values = true)]
    pub(crate) line: String,
    /// What the shell takes for the word at the cursor
    #[arg(allow_hyphen_values = true, default_value = "")]
    pub(crate) current: String,
}

/// How a report is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportForm {
    /// For people
    Text,
    /// One JSON object
    Json,
}

/// How many records or rows are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    All,
    Rows(usize),
}

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "all" => Ok(Self::All),
            number => {
                number.parse().map(Self::Rows).map_err(|_| "give a number, or `all`".to_owned())
            }
        }
    }
}

/// Where the query service is, and who asks.
#[derive(Debug, Args)]
pub(crate) struct Asking {
    /// How to print
    #[arg(short, long, value_enum, default_value_t = OutputForm::Text)]
    pub(crate) output: OutputForm,
    /// The query address
    #[arg(long, env = "LOGQ_ADDR", default_value = QUERY_ADDR)]
    pub(crate) addr: String,
    #[command(flatten)]
    pub(crate) access: AccessArguments,
}

#[derive(Debug, Args)]
pub(crate) struct Follow {
    /// Which records, such as `level:>=warn service:orders`; `*` is all of them
    #[arg(default_value = "*")]
    pub(crate) query: String,
    #[command(flatten)]
    pub(crate) asking: Asking,
}

#[derive(Debug, Args)]
pub(crate) struct Wait {
    /// What to wait for, such as `service:orders "listening on"`
    pub(crate) query: String,
    /// How long
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = service::config::parse_duration)]
    pub(crate) timeout: Duration,
    /// A record that came since then counts too
    #[arg(long, default_value = "15m", value_parser = times::parse, allow_hyphen_values = true)]
    pub(crate) since: String,
    #[command(flatten)]
    pub(crate) asking: Asking,
}

#[derive(Debug, Args)]
pub(crate) struct Look {
    /// Of which records; `*` is all of them
    #[arg(default_value = "*")]
    pub(crate) query: String,
    #[command(flatten)]
    pub(crate) time: Times,
    #[command(flatten)]
    pub(crate) asking: Asking,
}

#[derive(Debug, Args)]
pub(crate) struct Values {
    /// The field
    pub(crate) field: String,
    /// Of which records; `*` is all of them
    #[arg(default_value = "*")]
    pub(crate) query: String,
    /// Values at most
    #[arg(short = 'n', long, default_value_t = 20)]
    pub(crate) limit: usize,
    #[command(flatten)]
    pub(crate) time: Times,
    #[command(flatten)]
    pub(crate) asking: Asking,
}

#[derive(Debug, Args)]
pub(crate) struct Stats {
    /// Days back that are listed
    #[arg(long, default_value_t = 14)]
    pub(crate) days: u32,
    #[command(flatten)]
    pub(crate) asking: Asking,
}

#[derive(Debug, Args)]
pub(crate) struct Fmt {
    /// The query; standard input if it is left out
    pub(crate) query: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Help {
    /// A command, or `language`, `stages`, `functions`, `fields`, or the name of one stage
    pub(crate) topic: Option<String>,
}

/// Of which time.
#[derive(Debug, Args)]
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

#[derive(Debug, Args)]
pub(crate) struct Up {
    /// Folder of the data
    #[arg(long)]
    pub(crate) data: Option<PathBuf>,
    /// Configuration file
    #[arg(long)]
    pub(crate) config: Option<PathBuf>,
    /// Also run three small services that write logs, and an agent that ships them; all of it stays in the data folder
    #[arg(long)]
    pub(crate) demo: bool,
    /// Listen beyond this machine without asking for tokens
    #[arg(long, env = "LOGQ_INSECURE")]
    pub(crate) insecure: bool,
    /// Where the demo's gateway takes orders; another port if this one is taken
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080", requires = "demo")]
    pub(crate) demo_http: SocketAddr,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    #[command(subcommand)]
    pub(crate) role: Role,
}

/// A role that can be a process of its own.
#[derive(Debug, Subcommand)]
pub(crate) enum Role {
    /// Follow what services write and ship it; the same as the small binary `logq-agent`
    Agent(RunAgent),
}

#[derive(Debug, Args)]
pub(crate) struct RunAgent {
    #[command(subcommand)]
    pub(crate) command: Option<agent::command::Command>,
    /// Configuration file; the table [agent] of it is read
    #[arg(long, global = true, env = "LOGQ_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Listen beyond this machine without asking for tokens
    #[arg(long, global = true, env = "LOGQ_INSECURE")]
    pub(crate) insecure: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The data folder
    #[arg(default_value = "logq-data")]
    pub(crate) data: PathBuf,
    /// How to print
    #[arg(short, long, value_enum, default_value_t = ReportForm::Text)]
    pub(crate) output: ReportForm,
}

#[derive(Debug, Args)]
pub(crate) struct CheckConfig {
    /// Configuration file
    pub(crate) file: Option<PathBuf>,
    /// Print every key with its default instead, as a file that can be used
    #[arg(long)]
    pub(crate) reference: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Audit {
    /// The ingest address
    #[arg(long, env = "LOGQ_INGEST_ADDR", default_value = INGEST_ADDR)]
    pub(crate) addr: String,
    #[command(flatten)]
    pub(crate) access: AccessArguments,
    /// How to print
    #[arg(short, long, value_enum, default_value_t = ReportForm::Text)]
    pub(crate) output: ReportForm,
}

#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// Which records: a filter such as `correlation:req-42`, without stages; `*` is all of them
    pub(crate) query: String,
    #[command(flatten)]
    pub(crate) access: AccessArguments,
    /// From when: a length before now (15m, 2h, 7d) or a time; since ever if not said
    #[arg(long, value_parser = times::parse, allow_hyphen_values = true)]
    pub(crate) since: Option<String>,
    /// Until when: as --since; records of the future too if not said
    #[arg(long, value_parser = times::parse, allow_hyphen_values = true)]
    pub(crate) until: Option<String>,
    /// Only say how many records match
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
    /// Wait until they are gone from the disk and show the proof; this is so if nothing is said
    #[arg(long, overrides_with = "no_wait")]
    pub(crate) wait: bool,
    /// Do not wait until they are gone from the disk
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// The ingest address
    #[arg(long, env = "LOGQ_INGEST_ADDR", default_value = INGEST_ADDR)]
    pub(crate) addr: String,
}

#[derive(Debug, Args)]
pub(crate) struct Backup {
    /// The backup's folder, made if absent; what it has already is not copied again
    pub(crate) folder: PathBuf,
    /// The ingest address
    #[arg(long, env = "LOGQ_INGEST_ADDR", default_value = INGEST_ADDR)]
    pub(crate) addr: String,
    #[command(flatten)]
    pub(crate) access: AccessArguments,
    /// Only check that every file of the backup is there and as it was; needs no server
    #[arg(long)]
    pub(crate) verify: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// The backup's folder
    pub(crate) folder: PathBuf,
    /// The data folder to make; must be absent or empty
    #[arg(long)]
    pub(crate) data: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Ship {
    /// Files, each shipped whole; `-` is standard input
    #[arg(required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// The ingest address
    #[arg(long, env = "LOGQ_INGEST_ADDR", default_value = INGEST_ADDR)]
    pub(crate) addr: String,
    #[command(flatten)]
    pub(crate) access: AccessArguments,
    /// The service that wrote the files; wins over what a line says
    #[arg(long)]
    pub(crate) service: Option<String>,
    /// The host they were written on; wins over what a line says
    #[arg(long)]
    pub(crate) host: Option<String>,
    /// How lines are read: auto, json, logfmt, regex, openstack, hdfs, syslog, log4j, apache_error, apache_access,
    /// nginx, envoy_access, klog, python or raw
    #[arg(long, default_value = "auto")]
    pub(crate) format: String,
    /// For --format regex: an expression with named groups, such as `(?<time>\S+) (?<level>\w+) (?<message>.*)`
    #[arg(long, value_name = "RE")]
    pub(crate) pattern: Option<String>,
    /// Layout of times, such as `%d/%b/%Y:%H:%M:%S %z`
    #[arg(long, value_name = "F")]
    pub(crate) time_format: Option<String>,
    /// Zone of times that have none: an IANA name or an offset; UTC if not said
    #[arg(long, value_name = "Z")]
    pub(crate) timezone: Option<String>,
    /// Year of times that have none
    #[arg(long, value_name = "Y")]
    pub(crate) year: Option<i16>,
    /// Finds the correlation id in the message: group `correlation`, else the first group, else the whole match
    #[arg(long, value_name = "RE")]
    pub(crate) correlation: Option<String>,
    /// Seconds without any acknowledgement after which to give up
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub(crate) give_up_after: u64,
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
