//! What is stored: checked, accounted for, deleted, and copied.

use std::path::PathBuf;

use clap::Args;

use super::{CollectorServer, ReportForm};
use crate::times;

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
pub(crate) struct Audit {
    #[command(flatten)]
    pub(crate) collector: CollectorServer,
    /// How to print
    #[arg(short, long, value_enum, default_value_t = ReportForm::Text)]
    pub(crate) output: ReportForm,
}

#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// Which records: a filter such as `correlation:req-42`, without stages; `*` is all of them
    pub(crate) query: String,
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
    #[command(flatten)]
    pub(crate) collector: CollectorServer,
}

#[derive(Debug, Args)]
pub(crate) struct Backup {
    /// The backup's folder, made if absent; what it has already is not copied again
    pub(crate) folder: PathBuf,
    #[command(flatten)]
    pub(crate) collector: CollectorServer,
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
