//! The shell and its user: help, completions, and which server is meant.

use clap::Args;

use crate::completions::Shell;

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

#[derive(Debug, Args)]
pub(crate) struct Help {
    /// A command, or `language`, `stages`, `functions`, `fields`, or the name of one stage
    pub(crate) topic: Option<String>,
}
