//! Colours, widths and characters that the terminal has, if there is one (<https://no-color.org>).

use std::borrow::Cow;
use std::io::{self, IsTerminal};

use clap::ValueEnum;

pub(super) const RESET: &str = "\x1b[0m";
pub(super) const DIM: &str = "\x1b[2m";
pub(super) const BOLD: &str = "\x1b[1m";
pub(super) const CYAN: &str = "\x1b[36m";
/// Colours of ids, which are well told apart on light and on dark.
const ID_COLOURS: [u8; 12] = [33, 39, 43, 71, 99, 107, 136, 139, 168, 172, 173, 205];

/// Whether to colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorChoice {
    /// On a terminal that wants it
    #[default]
    Auto,
    /// Also in a pipe
    Always,
    /// Never
    Never,
}

/// What the place where it is printed can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Style {
    pub(crate) colours: bool,
    /// Whether a person looks at it: ids are shortened, messages of several lines keep them.
    pub(crate) terminal: bool,
    /// Columns, of a terminal.
    pub(crate) width: Option<usize>,
    /// Whether it shows more than ASCII.
    pub(crate) unicode: bool,
}

impl Style {
    /// That of standard output.
    pub(crate) fn of_stdout(choice: ColorChoice) -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let is = |name: &str, value: &str| std::env::var(name).is_ok_and(|other| other == value);
        let terminal = io::stdout().is_terminal();
        let colours = match choice {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto if set("NO_COLOR") || is("TERM", "dumb") => false,
            ColorChoice::Auto => terminal || (set("CLICOLOR_FORCE") && !is("CLICOLOR_FORCE", "0")),
        };
        let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
        let size = || terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
        let width = if terminal { columns.or_else(size).filter(|width| *width > 0) } else { None };
        Self { colours, terminal, width, unicode: is_utf8() }
    }

    /// Neither colours nor a terminal.
    #[cfg(test)]
    pub(crate) const PLAIN: Style =
        Style { colours: false, terminal: false, width: None, unicode: true };

    pub(super) fn paint<'t>(&self, code: &str, text: &'t str) -> Cow<'t, str> {
        if self.colours && !text.is_empty() && !code.is_empty() {
            Cow::Owned(format!("{code}{text}{RESET}"))
        } else {
            Cow::Borrowed(text)
        }
    }
}

fn is_utf8() -> bool {
    let names = ["LC_ALL", "LC_CTYPE", "LANG"];
    let set = names.into_iter().filter_map(|name| std::env::var(name).ok());
    let first = set.into_iter().find(|value| !value.is_empty()).unwrap_or_default();
    // Without any locale what is piped goes to a program or a file, which take UTF-8.
    first.is_empty() || first.to_lowercase().replace('-', "").contains("utf8")
}

pub(super) fn level_colour(level: &str) -> &'static str {
    match level {
        "fatal" => "\x1b[1;31m",
        "error" => "\x1b[31m",
        "warn" => "\x1b[33m",
        "info" => "\x1b[32m",
        _ => "\x1b[34m",
    }
}

/// The colour of an id, always the same for the same.
pub(super) fn id_colour(id: &str) -> String {
    let mut hash = 5_381_u32;
    for byte in id.bytes() {
        hash = hash.wrapping_mul(33) ^ u32::from(byte);
    }
    format!("\x1b[38;5;{}m", ID_COLOURS[hash as usize % ID_COLOURS.len()])
}

/// Dimmed if standard error is a terminal.
pub(crate) fn dimmed_error(text: &str) -> String {
    let style = Style::of_stdout(ColorChoice::Auto);
    match io::stderr().is_terminal() {
        true => style.paint(DIM, text).into_owned(),
        false => text.to_owned(),
    }
}
