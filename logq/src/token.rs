//! `logq token`: makes, lists and revokes tokens, in the file that the servers read.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::json;
use service::principal::Right;
use service::tokens::{self, NewToken, Token, TokenError};

use crate::arguments::ReportForm;
use crate::exit::Exit;
use crate::settings::Settings;

/// Tokens: who may come in
#[derive(Debug, Args)]
pub(crate) struct TokenArguments {
    #[command(subcommand)]
    command: TokenCommand,
    /// The file of tokens; `tokens` in [doors] of the configuration if not said
    #[arg(long, global = true)]
    file: Option<PathBuf>,
    /// Configuration file
    #[arg(long, global = true, conflicts_with = "file")]
    config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    /// Make a token and print it, which happens this once; the file is made if absent
    Create {
        /// Whose data it is for; `*` for all tenants, which looking after the process needs
        #[arg(long)]
        tenant: String,
        /// What it gives, of ingest, query and admin; none contains another
        #[arg(long, value_delimiter = ',', required = true)]
        rights: Vec<Right>,
        /// How long it is good for, such as 90d; until it is revoked if not said
        #[arg(long, value_name = "DURATION", value_parser = service::config::parse_duration)]
        expires: Option<Duration>,
        /// For people
        #[arg(long)]
        note: Option<String>,
    },
    /// Show all tokens, without their secrets
    List {
        /// How to print
        #[arg(short, long, value_enum, default_value_t = ReportForm::Text)]
        output: ReportForm,
    },
    /// Take a token out; servers hear of it within a second
    Revoke {
        /// As `list` shows it
        id: String,
    },
}

pub(crate) fn run(arguments: TokenArguments) -> Result<Exit> {
    let file = match arguments.file {
        Some(file) => file,
        None => match Settings::load(arguments.config.as_deref()) {
            Ok(Settings { doors, .. }) if doors.tokens.is_some() => {
                doors.tokens.unwrap_or_default()
            }
            Ok(_) => {
                eprintln!(
                    "logq: which file? name it with --file, or the configuration that has `tokens` in [doors] with --config"
                );
                return Ok(Exit::Usage);
            }
            Err(error) => {
                eprintln!("{error:#}");
                return Ok(Exit::Usage);
            }
        },
    };
    let done = match arguments.command {
        TokenCommand::Create { tenant, rights, expires, note } => {
            let rights = rights.into_iter().collect();
            create(&file, NewToken { tenant, rights, expires_in: expires, note })
        }
        TokenCommand::List { output } => tokens::list(&file).map(|tokens| {
            print!("{}", shown(&tokens, output));
            Exit::Success
        }),
        TokenCommand::Revoke { id } => revoke(&file, &id),
    };
    match done {
        Ok(exit) => Ok(exit),
        Err(error @ (TokenError::Wrong(_) | TokenError::Absent { .. })) => {
            eprintln!("logq: {error}");
            Ok(Exit::Usage)
        }
        Err(error) => Err(error.into()),
    }
}

fn create(file: &std::path::Path, new: NewToken) -> Result<Exit, TokenError> {
    let created = tokens::create(file, new)?;
    eprintln!(
        "token {} is in {}; this is the only time that it is shown:",
        created.id,
        file.display()
    );
    println!("{}", created.token);
    Ok(Exit::Success)
}

fn revoke(file: &std::path::Path, id: &str) -> Result<Exit, TokenError> {
    if tokens::revoke(file, id)? {
        println!("{id} is revoked");
        return Ok(Exit::Success);
    }
    eprintln!("logq: there is no token {id:?}; `logq token list` shows which there are");
    Ok(Exit::Failure)
}

fn shown(tokens: &[Token], output: ReportForm) -> String {
    match output {
        ReportForm::Json => tokens
            .iter()
            .map(|token| {
                let line = json!({
                    "id": token.id, "tenant": token.tenant, "rights": token.rights,
                    "created_at": token.created_at(), "expires_at": token.expires_at(),
                    "expired": token.is_expired(), "note": token.note,
                });
                format!("{line}\n")
            })
            .collect(),
        ReportForm::Text => table(tokens),
    }
}

fn table(tokens: &[Token]) -> String {
    let head = ["id", "tenant", "rights", "created", "expires", "note"].map(str::to_owned);
    let rows = tokens.iter().map(|token| {
        let rights: Vec<&str> = token.rights.iter().map(|right| right.name()).collect();
        let expires = match token.expires_at() {
            Some(at) if token.is_expired() => format!("{at} (expired)"),
            Some(at) => at,
            None => "never".to_owned(),
        };
        let note = token.note.as_deref().unwrap_or_default();
        let note = note.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        [
            token.id.escape_debug().to_string(),
            token.tenant.clone(),
            rights.join(","),
            token.created_at(),
            expires,
            note,
        ]
    });
    let rows: Vec<[String; 6]> = std::iter::once(head).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..6).map(|column| width(column).unwrap_or(0)).collect();
    let line = |row: &[String; 6]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        let line = cells.collect::<Vec<_>>().join("  ");
        format!("{}\n", line.trim_end())
    };
    rows.iter().map(line).collect()
}
