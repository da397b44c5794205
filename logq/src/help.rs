//! `logq help TOPIC` and `logq fmt`: the language, explained by what the code itself says of it.

use std::io::{Read, Write};

use anyhow::{Context, Result};
use clap::CommandFactory;
use ql::FUNCTIONS;
use query::STAGES;

use crate::arguments::{Arguments, Fmt};
use crate::exit::Exit;

const TOPICS: [&str; 4] = ["language", "stages", "functions", "fields"];

pub(crate) fn run(topic: Option<&str>) -> Result<Exit> {
    let Some(topic) = topic else {
        Arguments::command().print_help()?;
        println!(
            "\nAbout queries: logq help language, logq help stages, logq help functions, logq help fields, or the name of a stage."
        );
        return Ok(Exit::Success);
    };
    let text = match topic {
        "language" => language(),
        "stages" => stages(),
        "functions" => functions(),
        "fields" => fields(),
        "reference" => reference(),
        other => {
            let found = STAGES.iter().find(|help| help.name == other).map(|help| stage(help));
            match (command(other)?, found) {
                (true, Some(stage)) => format!("\nAs a stage of a query:\n\n{stage}"),
                (true, None) => return Ok(Exit::Success),
                (false, Some(stage)) => stage,
                (false, None) => return Ok(unknown(other)),
            }
        }
    };
    // Who pages through it may stop early.
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(Exit::Success),
    }
}

/// Prints the help of a command, if there is one of this name.
fn command(name: &str) -> Result<bool> {
    let mut arguments = Arguments::command();
    let Some(found) = arguments.find_subcommand_mut(name) else { return Ok(false) };
    found.clone().bin_name(format!("logq {name}")).print_help()?;
    Ok(true)
}

fn unknown(name: &str) -> Exit {
    let arguments = Arguments::command();
    let names = arguments.get_subcommands().map(|one| one.get_name().to_owned());
    let known: Vec<String> = names.collect();
    let known = known.iter().map(String::as_str).chain(TOPICS);
    let known: Vec<&str> = known.chain(STAGES.iter().map(|help| help.name)).collect();
    let meant = ql::nearest(name, known.iter().copied())
        .map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
    eprintln!("logq: there is no help on `{name}`{meant}");
    Exit::Usage
}

fn language() -> String {
    let mut text = "A query is a filter, and stages behind it:\n\n  \
                    level:error service:orders \"timed out\" | stats count() by host | sort -count\n\n\
                    The filter:\n\n"
        .to_owned();
    let width = ql::LANGUAGE.iter().map(|(written, _)| written.chars().count()).max().unwrap_or(0);
    let width = width.min(44);
    for (written, meaning) in ql::LANGUAGE {
        text += &format!("  {written:<width$}  {meaning}\n");
    }
    text += "\nStages (`logq help stages`, `logq help NAME`): ";
    text += &STAGES.iter().map(|help| help.name).collect::<Vec<_>>().join(", ");
    text += "\nFields of a record: `logq help fields`. Expressions of `where` and `eval`: `logq help functions`.\n";
    text
}

fn stages() -> String {
    let mut text = String::new();
    for help in STAGES {
        text += &stage(help);
        text.push('\n');
    }
    text
}

fn stage(help: &query::StageHelp) -> String {
    format!("{}\n    {}\n    for example: logq '{}'\n", help.usage, help.summary, help.example)
}

fn functions() -> String {
    let mut text = "Expressions of `where` and `eval`, loosest first:\n\n  \
                    or · and · not · == != < <= > >= =~ !~ in · + - · * / % · - (sign)\n\n\
                    Texts stand in quotes, odd names in backticks: `odd name`. A duration beside a field is in the field's unit\n\
                    (duration_ms > 200ms), elsewhere in seconds; a size is its bytes. Levels compare by their severity\n\
                    (level >= \"warn\"), times by their beginning (time >= \"2026-01-01\"). What a record does not have is null.\n\n"
        .to_owned();
    let width = FUNCTIONS.iter().map(|help| help.usage.chars().count()).max().unwrap_or(0);
    for help in FUNCTIONS {
        text += &format!("  {:<width$}  {}\n", help.usage, help.summary);
    }
    text
}

fn fields() -> String {
    let mut text =
        "Every record may have these fields; every other name is an attribute of the record.\n\n"
            .to_owned();
    for field in ql::Field::fixed() {
        let names: Vec<&str> = field.names().collect();
        text += &format!("  {:<20}  {}\n", names[0], names[1..].join(", "));
    }
    text += "\n`logq fields` lists what your records have. A name in quotes is always an attribute's.\n";
    text
}

/// All of it as a page in Markdown.
fn reference() -> String {
    let cell = |text: &str| text.replace('|', "\\|");
    let mut text = "# The query language, for reference\n\n\
                    Written by `logq help reference`; [query-language.md](query-language.md) explains it.\n\n\
                    ## Filters\n\n| written | finds |\n|---|---|\n"
        .to_owned();
    for (written, meaning) in ql::LANGUAGE {
        text += &format!("| `{}` | {} |\n", cell(written), cell(meaning));
    }
    text += "\n## Fields\n\nEvery other name is an attribute.\n\n| field | also |\n|---|---|\n";
    for field in ql::Field::fixed() {
        let names: Vec<String> = field.names().map(|name| format!("`{name}`")).collect();
        text += &format!("| {} | {} |\n", names[0], names[1..].join(", "));
    }
    text += "\n## Stages\n";
    for help in STAGES {
        text += &format!(
            "\n### {}\n\n```text\n{}\n```\n\n{}.\n\n```text\n{}\n```\n",
            help.name, help.usage, help.summary, help.example
        );
    }
    text += "\n## Functions of `where` and `eval`\n\n| function | gives |\n|---|---|\n";
    for help in FUNCTIONS {
        text += &format!("| `{}` | {} |\n", cell(help.usage), cell(help.summary));
    }
    text
}

pub(crate) fn fmt(fmt: Fmt) -> Result<Exit> {
    let query = match fmt.query {
        Some(query) => query,
        None => {
            let mut text = String::new();
            let most = ql::QUERY_BYTES_MAX as u64 + 1;
            std::io::stdin()
                .take(most)
                .read_to_string(&mut text)
                .context("cannot read the query")?;
            text
        }
    };
    if let Err(error) = query::Plan::new(&query) {
        eprintln!("{error}");
        return Ok(Exit::Usage);
    }
    println!("{}", ql::format(&query));
    Ok(Exit::Success)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_page_is_what_the_code_says() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/query-reference.md");
        let page = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            page == reference(),
            "write it anew: logq help reference > docs/query-reference.md"
        );
    }
}
