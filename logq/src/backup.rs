//! `logq backup`: a running store into a folder, or what it lacks of it.
//!
//! The server holds a snapshot while its files are fetched. Whatever goes wrong, the backup that was in the folder stays
//! whole, and files that came whole are not fetched again by the next try.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use indicatif::{HumanBytes, ProgressBar};
use reqwest::{Client, Response};
use serde::Deserialize;
use serde_json::Value;
use store::StoreError;
use store::backup::{BackupError, BackupFile, BackupFolder, Kept, LEASE, Manifest};
use tokio::task::block_in_place;

use crate::arguments::Backup;
use crate::exit::Exit;
use crate::restore::{failed, print_ledger};
use crate::ship::progress_bar;

/// How long a server may take for the next piece of a file.
const PIECE_TIME_MAX: Duration = Duration::from_secs(60);
/// How often a file is fetched that does not come as the manifest says.
const TRIES: usize = 2;

/// Why there is no new backup.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Unreachable(#[from] reqwest::Error),
    #[error("{url} answered {answer}")]
    Refused { url: String, answer: String },
    #[error("{url}: nothing came for {} s; try again, what came whole is kept", PIECE_TIME_MAX.as_secs())]
    Stalled { url: String },
    #[error(transparent)]
    Backup(#[from] BackupError),
    #[error(
        "interrupted; the backup that was there is as it was, and what came whole is kept for the next try"
    )]
    Interrupted,
}

/// What was done.
#[derive(Debug, Default)]
struct Copied {
    files: u64,
    bytes: u64,
    kept_files: u64,
    kept_bytes: u64,
    /// Files that were there with other bytes than they should have.
    damaged: u64,
}

/// A snapshot that the server holds.
#[derive(Debug)]
struct Snapshot<'a> {
    client: &'a Client,
    url: String,
    manifest: Manifest,
}

pub(crate) async fn run(arguments: Backup) -> Result<Exit> {
    let started = Instant::now();
    let client = match crate::client::new(&arguments.collector.addr, &arguments.collector.access) {
        Ok(client) => client,
        Err(exit) => return Ok(exit),
    };
    let folder = &arguments.folder;
    match back_up(&client, folder, &arguments.collector.addr).await {
        Ok((manifest, copied)) => {
            print(&manifest, &copied, started.elapsed());
            Ok(Exit::Success)
        }
        Err(Failure::Unreachable(error)) => {
            Ok(crate::client::unreachable(&arguments.collector.addr, &error))
        }
        Err(Failure::Backup(error)) => Ok(failed(&error)),
        Err(other) => {
            eprintln!("logq: {other}");
            Ok(Exit::Failure)
        }
    }
}

async fn back_up(
    client: &Client,
    folder: &Path,
    addr: &str,
) -> Result<(Manifest, Copied), Failure> {
    // The folder first: nothing is asked of a server for a backup that cannot be kept.
    let mut folder = BackupFolder::open(folder)?;
    let snapshot = Snapshot::begin(client, addr).await?;
    let bar = progress_bar();
    bar.set_length(snapshot.manifest.bytes());
    let copied = tokio::select! {
        copied = snapshot.copy(&folder, &bar) => copied,
        never = snapshot.renew() => never,
        _ = tokio::signal::ctrl_c() => Err(Failure::Interrupted),
    };
    bar.finish_and_clear();
    // A server that does not hear this lets go by itself.
    let _ = client.delete(&snapshot.url).send().await;
    let copied = copied?;
    let manifest = snapshot.manifest;
    block_in_place(|| folder.commit(manifest.clone()))?;
    Ok((manifest, copied))
}

impl<'a> Snapshot<'a> {
    async fn begin(client: &'a Client, addr: &str) -> Result<Self, Failure> {
        #[derive(Deserialize)]
        struct Begun {
            id: String,
            manifest: Value,
        }
        let url = format!("{}/api/v1/backups", addr.trim_end_matches('/'));
        let answer = answer(client.post(&url), &url).await?.bytes().await?;
        let not_ours = |error: serde_json::Error| Failure::Refused {
            url: url.clone(),
            answer: format!("no manifest of logq: {error}"),
        };
        let begun: Begun = serde_json::from_slice(&answer).map_err(not_ours)?;
        let manifest = begun.manifest.to_string();
        let manifest =
            Manifest::parse_unsealed(manifest.as_bytes(), Path::new("the server's manifest"))?;
        Ok(Self { client, url: format!("{url}/{}", begun.id), manifest })
    }

    /// Fetches what the folder lacks.
    async fn copy(&self, folder: &BackupFolder, bar: &ProgressBar) -> Result<Copied, Failure> {
        folder.belongs_to(&self.manifest)?;
        let mut copied = Copied::default();
        for file in &self.manifest.files {
            let before = bar.position();
            let kept = block_in_place(|| folder.kept(file))?;
            if kept == Kept::Whole {
                copied.kept_files += 1;
                copied.kept_bytes += file.length;
                bar.inc(file.length);
            } else {
                copied.damaged += u64::from(kept == Kept::Damaged);
                let mut tries = 1;
                while let Err(error) = self.fetch(folder, file, bar).await {
                    bar.set_position(before);
                    let corrupt = matches!(
                        error,
                        Failure::Backup(BackupError::Store(StoreError::Corrupt { .. }))
                    );
                    if !corrupt || tries == TRIES {
                        return Err(error);
                    }
                    tries += 1;
                }
                copied.files += 1;
                copied.bytes += file.length;
            }
            // Gives the other branches of the select a turn.
            tokio::task::yield_now().await;
        }
        Ok(copied)
    }

    async fn fetch(
        &self,
        folder: &BackupFolder,
        file: &BackupFile,
        bar: &ProgressBar,
    ) -> Result<(), Failure> {
        let url = format!("{}/files/{}", self.url, file.name);
        let mut response = answer(self.client.get(&url), &url).await?;
        let mut writer = block_in_place(|| folder.create(file))?;
        loop {
            let piece = tokio::time::timeout(PIECE_TIME_MAX, response.chunk()).await;
            let piece = piece.map_err(|_| Failure::Stalled { url: url.clone() })?;
            let Some(piece) = piece? else { break };
            block_in_place(|| writer.write(&piece))?;
            bar.inc(piece.len() as u64);
        }
        Ok(block_in_place(|| writer.finish())?)
    }

    /// Keeps the lease while files that are there are read; never ends.
    async fn renew<T>(&self) -> T {
        loop {
            tokio::time::sleep(LEASE / 10).await;
            // If it fails, the next file that is fetched tells.
            let _ = self.client.get(&self.url).send().await;
        }
    }
}

/// The answer to a request, if it was granted.
async fn answer(request: reqwest::RequestBuilder, url: &str) -> Result<Response, Failure> {
    let response = request.send().await?;
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let body = response.bytes().await?;
    let error: Value = serde_json::from_slice(&body).unwrap_or_default();
    let message = error["error"]["message"].as_str().map(str::to_owned);
    let message = message.unwrap_or_else(|| String::from_utf8_lossy(&body).trim_end().to_owned());
    Err(Failure::Refused { url: url.to_owned(), answer: format!("{status}: {message}") })
}

fn print(manifest: &Manifest, copied: &Copied, took: Duration) {
    let Manifest { store_id, generation, created_at, ledger, segments, .. } = manifest;
    println!("backup of store {store_id} generation {generation} at {created_at}");
    println!("records                 {:>16} in {segments} segments", ledger.indexed);
    println!("files copied            {:>16} {}", copied.files, HumanBytes(copied.bytes));
    println!("files kept              {:>16} {}", copied.kept_files, HumanBytes(copied.kept_bytes));
    if copied.damaged > 0 {
        println!("damaged, copied again   {:>16}", copied.damaged);
    }
    println!("took                    {:>16.1} s", took.as_secs_f64());
    print_ledger(ledger);
}
