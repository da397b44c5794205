//! Contexts: which servers there are, and which one is meant when nothing is said.
//!
//! They stand in `$LOGQ_CONTEXTS`, else `$XDG_CONFIG_HOME/logq/config.toml`, else `~/.config/logq/config.toml`:
//!
//! ```toml
//! current = "shop"
//!
//! [contexts.shop]
//! addr = "https://logs.example.org:3100"
//! ingest_addr = "https://logs.example.org:4318"
//! alerts_addr = "https://logs.example.org:3101"
//! tenant = "shop"
//! token_file = "~/.config/logq/shop.token"
//! ```
//!
//! A context gives defaults: a flag wins over a variable of the environment, and that over the context. `--context`
//! or `LOGQ_CONTEXT` choose another one for once. A token itself never stands in the file.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Command;
use serde::Deserialize;

use crate::exit::Exit;

/// The variable that names the context, as `--context` does.
pub(crate) const VARIABLE: &str = "LOGQ_CONTEXT";
/// Commands that ask no server.
const SERVERLESS: [&str; 9] =
    ["context", "complete", "completions", "help", "fmt", "up", "run", "check", "check-config"];
/// Largest file that is read.
const BYTES_MAX: u64 = 1 << 20;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contexts {
    current: Option<String>,
    #[serde(default)]
    contexts: BTreeMap<String, Context>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Context {
    addr: Option<String>,
    ingest_addr: Option<String>,
    alerts_addr: Option<String>,
    tenant: Option<String>,
    token_file: Option<String>,
    ca: Option<String>,
    cert: Option<String>,
    key: Option<String>,
}

impl Context {
    /// The variables of the environment that it stands for.
    fn variables(&self) -> impl Iterator<Item = (&'static str, String)> + '_ {
        let text = |text: &Option<String>| text.clone();
        let path = |path: &Option<String>| path.as_deref().map(at_home);
        [
            ("LOGQ_ADDR", text(&self.addr)),
            ("LOGQ_INGEST_ADDR", text(&self.ingest_addr)),
            ("LOGQ_ALERTS_ADDR", text(&self.alerts_addr)),
            ("LOGQ_TENANT", text(&self.tenant)),
            ("LOGQ_TOKEN_FILE", path(&self.token_file)),
            ("LOGQ_CA", path(&self.ca)),
            ("LOGQ_CERT", path(&self.cert)),
            ("LOGQ_KEY", path(&self.key)),
        ]
        .into_iter()
        .filter_map(|(variable, value)| Some((variable, value?)))
    }
}

/// The command line with the defaults of the context that is meant.
///
/// # Errors
/// The file cannot be used, or has no such context; the text names the file and the way out.
pub(crate) fn apply(command: Command, arguments: &[OsString]) -> Result<Command, String> {
    // What mends the file, or asks no server, works with a bad one too.
    let first = arguments.get(1).and_then(|first| first.to_str());
    if first.is_some_and(|first| SERVERLESS.contains(&first)) {
        return Ok(command);
    }
    let asked = asked(arguments);
    let file = file();
    let contexts = match &file {
        Some(file) => read(file)?,
        None => Contexts::default(),
    };
    let Some(name) = asked.as_ref().or(contexts.current.as_ref()) else { return Ok(command) };
    let Some(context) = contexts.contexts.get(name) else {
        let place = file.map_or_else(|| "no file".into(), |file| file.display().to_string());
        let known: Vec<&str> = contexts.contexts.keys().map(String::as_str).collect();
        let known = match known.is_empty() {
            true => "it has none".to_owned(),
            false => format!("it has {}", known.join(", ")),
        };
        return Err(format!("there is no context {name:?} in {place}; {known}"));
    };
    // A token that was given otherwise is the one that is meant.
    let with_token = std::env::var_os("LOGQ_TOKEN").is_some_and(|token| !token.is_empty())
        || arguments.iter().any(|argument| {
            argument
                .to_str()
                .is_some_and(|argument| argument == "--token" || argument.starts_with("--token="))
        });
    let variables: Vec<(&str, &'static str)> = context
        .variables()
        .filter(|(variable, _)| !(with_token && *variable == "LOGQ_TOKEN_FILE"))
        .map(|(variable, value)| (variable, &*value.leak()))
        .collect();
    Ok(with_defaults(command, &variables))
}

/// Every argument that reads one of the variables gets its value as the default.
fn with_defaults(command: Command, variables: &[(&str, &'static str)]) -> Command {
    let command = command.mut_args(|argument| {
        let value = argument.get_env().and_then(|variable| {
            variables.iter().find(|(name, _)| OsStr::new(name) == variable).map(|(_, value)| *value)
        });
        match value {
            Some(value) => argument.default_value(value),
            None => argument,
        }
    });
    command.mut_subcommands(|command| with_defaults(command, variables))
}

/// The context that the command line or the environment names.
fn asked(arguments: &[OsString]) -> Option<String> {
    let mut arguments = arguments.iter().skip(1).filter_map(|argument| argument.to_str());
    while let Some(argument) = arguments.next() {
        match argument {
            "--" => break,
            "--context" => return arguments.next().map(str::to_owned),
            other => {
                if let Some(name) = other.strip_prefix("--context=") {
                    return Some(name.to_owned());
                }
            }
        }
    }
    std::env::var(VARIABLE).ok().filter(|name| !name.is_empty())
}

/// Where the contexts stand.
fn file() -> Option<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(file) = variable("LOGQ_CONTEXTS") {
        return Some(file.into());
    }
    let folder = variable("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(variable("HOME")?).join(".config")))?;
    Some(folder.join("logq").join("config.toml"))
}

fn read(file: &Path) -> Result<Contexts, String> {
    let failed = |reason: &dyn std::fmt::Display| format!("{}: {reason}", file.display());
    let text = match std::fs::metadata(file) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Contexts::default()),
        Err(error) => return Err(failed(&error)),
        Ok(metadata) if metadata.len() > BYTES_MAX => {
            return Err(failed(&"it is larger than 1 MiB"));
        }
        Ok(_) => std::fs::read_to_string(file).map_err(|error| failed(&error))?,
    };
    toml::from_str(&text).map_err(|error| failed(&error.to_string().trim_end()))
}

/// A path that begins with `~/` is in the home folder.
fn at_home(path: &str) -> String {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    match (path.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => home.join(rest).to_string_lossy().into_owned(),
        _ => path.to_owned(),
    }
}

/// The names of all contexts, for completion; none where the file cannot be read.
pub(crate) fn names() -> Vec<String> {
    let contexts = file().and_then(|file| read(&file).ok()).unwrap_or_default();
    contexts.contexts.into_keys().collect()
}

/// `logq context [NAME]`: lists the contexts, or makes one the current one.
pub(crate) fn run(name: Option<&str>) -> Result<Exit> {
    let Some(file) = file() else {
        eprintln!("logq: there is no home folder; name the file in LOGQ_CONTEXTS");
        return Ok(Exit::Usage);
    };
    let contexts = match read(&file) {
        Ok(contexts) => contexts,
        Err(error) => {
            eprintln!("logq: {error}");
            return Ok(Exit::Usage);
        }
    };
    let Some(name) = name else {
        list(&file, &contexts);
        return Ok(if contexts.contexts.is_empty() { Exit::Failure } else { Exit::Success });
    };
    if !contexts.contexts.contains_key(name) {
        let known: Vec<&str> = contexts.contexts.keys().map(String::as_str).collect();
        let meant = ql::nearest(name, known.iter().copied())
            .map_or_else(String::new, |nearest| format!("; did you mean {nearest:?}?"));
        eprintln!("logq: there is no context {name:?} in {}{meant}", file.display());
        return Ok(Exit::Usage);
    }
    let text = std::fs::read_to_string(&file)?;
    let next = file.with_extension("toml.new");
    std::fs::write(&next, with_current(&text, name))?;
    std::fs::rename(&next, &file)?;
    println!("{name} is the current context");
    Ok(Exit::Success)
}

fn list(file: &Path, contexts: &Contexts) {
    if contexts.contexts.is_empty() {
        eprintln!(
            "there are no contexts; write one into {}:\n\n[contexts.shop]\naddr = \"https://logs.example.org:3100\"\n\
             ingest_addr = \"https://logs.example.org:4318\"\ntoken_file = \"~/.config/logq/shop.token\"",
            file.display()
        );
        return;
    }
    let widest = contexts.contexts.keys().map(String::len).max().unwrap_or(0);
    for (name, context) in &contexts.contexts {
        let mark = if contexts.current.as_ref() == Some(name) { '*' } else { ' ' };
        let addr = context.addr.as_deref().unwrap_or(crate::arguments::QUERY_ADDR);
        let tenant =
            context.tenant.as_ref().map_or_else(String::new, |tenant| format!("  tenant {tenant}"));
        println!("{mark} {name:widest$}  {addr}{tenant}");
    }
}

/// The text of the file with another current context; all else stays as people wrote it.
fn with_current(text: &str, name: &str) -> String {
    let line = format!("current = {}", toml::Value::String(name.to_owned()));
    let mut lines: Vec<&str> = text.lines().collect();
    let tables =
        lines.iter().position(|line| line.trim_start().starts_with('[')).unwrap_or(lines.len());
    let place = lines[..tables].iter().position(|line| {
        line.trim_start()
            .strip_prefix("current")
            .is_some_and(|rest| rest.trim_start().starts_with('='))
    });
    match place {
        Some(place) => lines[place] = &line,
        None => lines.insert(0, &line),
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_current_context_changes_and_all_else_stays() {
        let text = "# mine\n[contexts.a]\naddr = \"x\" # here\n\n[contexts.b]\n";
        let changed = with_current(text, "b");
        assert_eq!(
            changed,
            "current = \"b\"\n# mine\n[contexts.a]\naddr = \"x\" # here\n\n[contexts.b]\n"
        );
        let again = with_current(&changed, "a");
        assert_eq!(again.lines().next(), Some("current = \"a\""));
        assert_eq!(again.lines().count(), changed.lines().count());
        let read: Contexts = toml::from_str(&again).unwrap();
        assert_eq!(read.current.as_deref(), Some("a"));
        assert_eq!(read.contexts.len(), 2);
    }

    #[test]
    fn the_context_that_is_asked_for_stands_before_the_two_dashes() {
        let arguments = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
        assert_eq!(asked(&arguments(&["logq", "--context", "a", "x"])).as_deref(), Some("a"));
        assert_eq!(asked(&arguments(&["logq", "x", "--context=b"])).as_deref(), Some("b"));
    }
}
