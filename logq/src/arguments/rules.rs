//! Alert rules before they page anybody.

use std::path::PathBuf;
use std::time::Duration;

use agent::access::AccessArguments;
use alerting::Matcher;
use clap::{Args, Subcommand};

use super::{ALERTS_ADDR, Asking, OutputForm};
use crate::times;

#[derive(Debug, Args)]
pub(crate) struct Alerts {
    /// Go on, and print each alert when it begins to fire and when it is over
    #[arg(long, conflicts_with = "history")]
    pub(crate) watch: bool,
    /// Those that fired, the newest first, with what was told of them
    #[arg(long)]
    pub(crate) history: bool,
    /// At most so many of them
    #[arg(short = 'n', long, default_value_t = 20, requires = "history")]
    pub(crate) limit: usize,
    /// How to print
    #[arg(short, long, value_enum, default_value_t = OutputForm::Text)]
    pub(crate) output: OutputForm,
    #[command(flatten)]
    pub(crate) server: AlertServer,
}

/// Where alerting is, and who asks.
#[derive(Clone, Debug, Args)]
pub(crate) struct AlertServer {
    /// The address of alerting
    #[arg(long, env = "LOGQ_ALERTS_ADDR", default_value = ALERTS_ADDR)]
    pub(crate) addr: String,
    #[command(flatten)]
    pub(crate) access: AccessArguments,
}

#[derive(Debug, Args)]
pub(crate) struct SilenceArguments {
    #[command(subcommand)]
    pub(crate) command: SilenceCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SilenceCommand {
    /// Tell nobody of some alerts for a time
    Add(AddSilence),
    /// List the silences that go on, and those that ended lately
    List(ListSilences),
    /// End a silence
    End(EndSilence),
}

#[derive(Debug, Args)]
pub(crate) struct AddSilence {
    /// Conditions on labels: NAME=VALUE, NAME!=VALUE, NAME=~EXPRESSION or NAME!~EXPRESSION
    #[arg(required = true, value_name = "CONDITION")]
    pub(crate) conditions: Vec<Matcher>,
    /// For how long
    #[arg(long = "for", value_name = "DURATION", value_parser = service::config::parse_duration)]
    pub(crate) length: Duration,
    /// Why
    #[arg(long, default_value = "")]
    pub(crate) comment: String,
    /// Who says so
    #[arg(long, env = "USER", default_value = "")]
    pub(crate) by: String,
    #[command(flatten)]
    pub(crate) server: AlertServer,
}

#[derive(Debug, Args)]
pub(crate) struct ListSilences {
    /// How to print
    #[arg(short, long, value_enum, default_value_t = OutputForm::Text)]
    pub(crate) output: OutputForm,
    #[command(flatten)]
    pub(crate) server: AlertServer,
}

#[derive(Debug, Args)]
pub(crate) struct EndSilence {
    /// The silence, as `logq silence list` names it
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) server: AlertServer,
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
    #[command(flatten)]
    pub(crate) asking: Asking,
}

#[derive(Debug, Args)]
pub(crate) struct BacktestRules {
    /// File of rules
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) past: Past,
}

#[derive(Debug, Args)]
pub(crate) struct DiffRules {
    /// The rules as they are
    pub(crate) old: PathBuf,
    /// The rules as they are to be
    pub(crate) new: PathBuf,
    #[command(flatten)]
    pub(crate) past: Past,
}
