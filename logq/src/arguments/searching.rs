//! Searching records, looking at them and waiting for them.

use std::str::FromStr;
use std::time::Duration;

use clap::Args;

use super::{Asking, QueryServer, Times};
use crate::output::ColorChoice;
use crate::times;

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
    #[command(flatten)]
    pub(crate) time: Times,
    /// Records or rows at most, the newest first, or `all`; if not said: 100 records, or all rows of stages such as stats
    #[arg(short = 'n', long)]
    pub(crate) limit: Option<Limit>,
    #[command(flatten)]
    pub(crate) asking: Asking,
}

#[derive(Debug, Args)]
pub(crate) struct Browse {
    /// What to look for first; `*` is all of it
    #[arg(default_value = "*")]
    pub(crate) query: String,
    /// From when: a length before now (15m, 2h, 7d, 100y), a time, or as people say it (`yesterday 14:00`)
    #[arg(long, default_value = "15m", value_parser = times::parse, allow_hyphen_values = true)]
    pub(crate) since: String,
    #[command(flatten)]
    pub(crate) server: QueryServer,
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
