//! Completion in shells: commands, flags, and what goes into a query, with fields and values asked from the server.
//!
//! `logq completions SHELL` prints a script (`bash.sh`, `zsh.sh`, `fish.fish` beside this file) that hands the command
//! line up to the cursor back to the hidden `logq complete`. All that is known about words is decided here, so that the
//! shells offer the same. A server that is silent for [`PATIENCE`] is done without.

mod words;

use std::time::Duration;

use anyhow::Result;
use clap::{Command, CommandFactory, FromArgMatches};

use self::words::Split;
use crate::arguments::{Arguments, Complete, Completions, Look};
use crate::browse::{Question, Server, Wanted};
use crate::exit::Exit;
use crate::{browse, contexts};

pub(crate) use self::words::Shell;

/// How long the server may take.
const PATIENCE: Duration = Duration::from_millis(1_500);
/// Values that are asked for.
const VALUES: usize = 50;
/// Of which time fields and values are offered.
const SINCE: &str = "24h";

/// Something that can stand where the cursor is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Candidate {
    /// The whole word.
    word: String,
    what: String,
}

impl Candidate {
    fn new(word: impl Into<String>, what: impl ToString) -> Self {
        let what = what.to_string();
        Self { word: word.into(), what: what.lines().next().unwrap_or_default().to_owned() }
    }
}

/// What is known about the word at the cursor.
#[derive(Debug, PartialEq, Eq)]
enum Known {
    These(Vec<Candidate>),
    /// It is (the beginning of) a query, or one of these commands.
    Query(Vec<Candidate>),
    /// It is the name of a field.
    Field,
    /// It is a path; shells know those best.
    Path,
}

/// `logq completions SHELL`
pub(crate) fn print_script(completions: &Completions) -> Result<Exit> {
    print!("{}", completions.shell.script());
    Ok(Exit::Success)
}

/// `logq complete SHELL LINE CURRENT`
pub(crate) async fn complete(complete: &Complete) -> Result<Exit> {
    let split = Split::of(&complete.line);
    let candidates = match known(&Arguments::command(), &split) {
        Known::These(candidates) => candidates,
        Known::Path => {
            println!("{}", words::PATHS);
            return Ok(Exit::Success);
        }
        Known::Query(commands) => {
            let asked = tokio::time::timeout(PATIENCE, of_query(&split, true)).await;
            commands.into_iter().chain(asked.unwrap_or_default()).collect()
        }
        Known::Field => {
            tokio::time::timeout(PATIENCE, of_query(&split, false)).await.unwrap_or_default()
        }
    };
    for Candidate { word, what } in &candidates {
        if let Some(line) = complete.shell.line(&split.last, &complete.current, word, what) {
            println!("{line}");
        }
    }
    Ok(Exit::Success)
}

/// What the command line itself says about the last word.
fn known(root: &Command, split: &Split) -> Known {
    let mut command = root;
    let (mut place, mut value_of, mut only_words) = (0, None, false);
    for word in &split.words {
        if value_of.take().is_some() {
            continue;
        }
        if !only_words && word == "--" {
            only_words = true;
        } else if !only_words && word.starts_with('-') && word.len() > 1 {
            // A query needs no command; its flags may come first.
            let of_search = || option(root.find_subcommand("search")?, word);
            let is_root = command.get_name() == root.get_name();
            value_of = option(command, word).or_else(|| is_root.then(of_search)?);
        } else if let Some(found) = (place == 0).then(|| command.find_subcommand(word)).flatten() {
            command = found;
        } else {
            // A query that comes first needs no command.
            if command.get_name() == root.get_name() {
                command = root.find_subcommand("search").unwrap_or(root);
            }
            place += 1;
        }
    }
    let written = split.last.text.as_str();
    if let Some(option) = value_of {
        return value(option, written);
    }
    if !only_words && written.starts_with("--") && split.last.quote.is_none() {
        let flags = command.get_arguments().filter(|argument| !argument.is_hide_set());
        let flags = flags.filter_map(|argument| {
            let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
            Some(Candidate::new(format!("--{}", argument.get_long()?), help))
        });
        return Known::These(beginning_with(written, flags));
    }
    if place == 0 && command.has_subcommands() {
        let commands = command.get_subcommands().filter(|command| !command.is_hide_set());
        let commands = commands.map(|command| {
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            Candidate::new(command.get_name(), about)
        });
        let commands = beginning_with(written, commands);
        let is_root = command.get_name() == root.get_name();
        return match (is_root, split.last.quote) {
            // Nobody puts the name of a command in quotes.
            (true, Some(_)) => Known::Query(Vec::new()),
            (true, None) if !written.is_empty() => Known::Query(commands),
            _ => Known::These(commands),
        };
    }
    let argument = command.get_positionals().nth(place).or_else(|| {
        // The last one may stand several times.
        command.get_positionals().last().filter(|argument| {
            argument.get_num_args().is_some_and(|values| values.max_values() > 1)
        })
    });
    match argument {
        Some(argument) => value(argument, written),
        None => Known::These(Vec::new()),
    }
}

/// The option that the word names, if its value is the next word.
fn option<'a>(command: &'a Command, word: &str) -> Option<&'a clap::Arg> {
    let found = command.get_arguments().find(|argument| {
        let long = argument.get_long().is_some_and(|long| word.strip_prefix("--") == Some(long));
        let short = argument.get_short().is_some_and(|short| word == format!("-{short}"));
        long || short
    })?;
    found.get_action().takes_values().then_some(found)
}

/// What can be the value of an argument.
fn value(argument: &clap::Arg, written: &str) -> Known {
    let possible = argument.get_possible_values();
    if !possible.is_empty() {
        let values = possible.iter().map(|value| {
            let help = value.get_help().map(ToString::to_string).unwrap_or_default();
            Candidate::new(value.get_name(), help)
        });
        return Known::These(beginning_with(written, values));
    }
    let of = |texts: &[&str]| {
        let candidates = texts.iter().map(|text| Candidate::new(*text, ""));
        Known::These(beginning_with(written, candidates))
    };
    match argument.get_id().as_str() {
        "query" => Known::Query(Vec::new()),
        "field" => Known::Field,
        "files" | "folder" | "data" | "file" | "config" | "token_file" | "ca" | "cert" | "key" => {
            Known::Path
        }
        "since" => of(&["15m", "1h", "6h", "24h", "7d", "30d", "yesterday", "today"]),
        "until" => of(&["now", "1h", "24h", "yesterday", "today"]),
        "limit" => of(&["10", "100", "1000", "all"]),
        "context" | "name" => {
            let names = contexts::names();
            of(&names.iter().map(String::as_str).collect::<Vec<_>>())
        }
        "topic" => {
            let topics = ["language", "stages", "functions", "fields"];
            let stages = query::STAGES.iter().map(|help| help.name);
            of(&topics.into_iter().chain(stages).collect::<Vec<_>>())
        }
        _ => Known::These(Vec::new()),
    }
}

fn beginning_with(written: &str, candidates: impl Iterator<Item = Candidate>) -> Vec<Candidate> {
    candidates.filter(|candidate| candidate.word.starts_with(written)).collect()
}

/// What can stand at the end of a query; or, with `query` false, the names of fields.
async fn of_query(split: &Split, query: bool) -> Vec<Candidate> {
    let written = split.last.text.as_str();
    let (start, wanted) = match query {
        true => match browse::wanted(written) {
            Some(wanted) => wanted,
            None => return Vec::new(),
        },
        false => (0, Wanted::Field { filter: false }),
    };
    let (before, rest) = written.split_at(start);
    let whole = |end: &str, what: &str| Candidate::new(format!("{before}{end}"), what);
    let fits = |name: &&str| name.to_lowercase().starts_with(&rest.to_lowercase());
    match wanted {
        Wanted::Stage => {
            let stages = query::STAGES.iter().filter(|help| fits(&help.name));
            stages.map(|help| whole(help.name, help.summary)).collect()
        }
        Wanted::Field { filter } => {
            let end = if filter { ":" } else { "" };
            let names = match server(split) {
                Some(server) => server.fields(&question("*")).await.unwrap_or_default(),
                None => Vec::new(),
            };
            // Aliases only for who begins to write one, and not beside the name that they stand for.
            let fixed = ql::Field::fixed().map(|field| field.name().to_owned());
            let aliases = ql::Field::known_names()
                .filter(|alias| !rest.is_empty() && !fits(&ql::Field::resolve(alias).name()))
                .map(str::to_owned);
            let mut names: Vec<String> = names.into_iter().chain(fixed).chain(aliases).collect();
            let mut seen = std::collections::BTreeSet::new();
            names.retain(|name| seen.insert(name.clone()) && fits(&name.as_str()));
            match &names[..] {
                // A shell ends the word behind the only candidate: its values say how it goes on.
                [only] if filter => {
                    let values = values(split, only).await;
                    let value = |value: &String| whole(&format!("{only}:{value}"), "");
                    match values.is_empty() {
                        true => vec![whole(&format!("{only}:"), "")],
                        false => values.iter().map(value).collect(),
                    }
                }
                _ => names.iter().map(|name| whole(&format!("{name}{end}"), "")).collect(),
            }
        }
        Wanted::Value(name) => {
            let values = values(split, &name).await;
            values
                .iter()
                .filter(|value| fits(&value.as_str()))
                .map(|value| whole(value, ""))
                .collect()
        }
    }
}

async fn values(split: &Split, name: &str) -> Vec<String> {
    let query = format!("* | top {VALUES} {name}");
    let known = matches!(name, "level" | "severity")
        .then(|| ["trace", "debug", "info", "warn", "error", "fatal"].map(str::to_owned).to_vec());
    if let Some(levels) = known {
        return levels;
    }
    match server(split) {
        Some(server) if query::Plan::new(&query).is_ok() => {
            let page = server.rows(&question(&query), None, None).await;
            page.map(|page| browse::values(&page.rows)).unwrap_or_default()
        }
        _ => Vec::new(),
    }
}

fn question(query: &str) -> Question {
    Question { query: query.to_owned(), since: SINCE.to_owned(), until: None }
}

/// The server that the words of the command line, the environment or the context name.
fn server(split: &Split) -> Option<Server> {
    let mut words = vec!["logq".to_owned(), "fields".to_owned()];
    let mut given = split.words.iter();
    while let Some(word) = given.next() {
        let name = word.split('=').next().unwrap_or_default();
        let access = [
            "--addr",
            "--tenant",
            "--token",
            "--token-file",
            "--ca",
            "--cert",
            "--key",
            "--context",
        ];
        if access.contains(&name) {
            words.push(word.clone());
            if name == word {
                words.push(given.next()?.clone());
            }
        }
    }
    let arguments: Vec<std::ffi::OsString> = words.iter().map(Into::into).collect();
    let command = contexts::apply(Arguments::command(), &arguments).ok()?;
    let matches = command.try_get_matches_from(&words).ok()?;
    let (_, matches) = matches.subcommand()?;
    let look = Look::from_arg_matches(matches).ok()?;
    let client = look.asking.server.client().ok()?;
    Some(Server::new(client, &look.asking.server.addr))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVICES: &str = "List the services, with their records and errors";

    fn words(known: &Known) -> Vec<&str> {
        match known {
            Known::These(candidates) => candidates.iter().map(|one| one.word.as_str()).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_place_in_the_line_says_what_is_wanted() {
        let root = Arguments::command();
        let known = |line: &str| super::known(&root, &Split::of(line));
        let services = Known::Query(vec![Candidate::new("services", SERVICES)]);
        assert_eq!(known("logq ser"), services);
        assert_eq!(known("logq 'ser"), Known::Query(Vec::new()));
        assert!(words(&known("logq ")).contains(&"tail"));
        assert!(!words(&known("logq ")).contains(&"complete"));
        assert_eq!(known("logq level:er"), Known::Query(Vec::new()));
        assert_eq!(known("logq 'level:er"), Known::Query(Vec::new()));
        assert_eq!(known("logq tail 'level:error ser"), Known::Query(Vec::new()));
        assert_eq!(known("logq -n 5 lev"), Known::Query(Vec::new()));
        assert_eq!(known("logq values "), Known::Field);
        assert_eq!(known("logq values service lev"), Known::Query(Vec::new()));
        assert_eq!(known("logq ship "), Known::Path);
        assert_eq!(known("logq ship a.log b"), Known::Path);
        assert_eq!(known("logq search x --token-file "), Known::Path);
        assert_eq!(words(&known("logq level:error --out")), ["--output"]);
        assert_eq!(words(&known("logq level:error -o c")), ["csv"]);
        assert_eq!(words(&known("logq x --since y")), ["yesterday"]);
        assert_eq!(words(&known("logq help dedu")), ["dedup"]);
        assert_eq!(words(&known("logq run ")), ["agent"]);
        assert_eq!(words(&known("logq audit ")), Vec::<&str>::new());
    }
}
