//! Whole interactions: their traces, their stories, and what sets them apart.

use clap::Args;

use super::{Asking, QueryServer, ReportForm, Times};
use crate::output::ColorChoice;

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
    #[command(flatten)]
    pub(crate) server: QueryServer,
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
