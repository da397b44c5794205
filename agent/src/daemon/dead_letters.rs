//! Batches that the collector refused for good: kept as files until a person decides.
//!
//! ```text
//! STATE/dead-letters/3fa9c1d2-42.batch         batch 42 of the spool whose id begins so
//! STATE/dead-letters/retry/3fa9c1d2-42.batch   to be shipped again, under a new name
//!
//! one line of JSON   id, agent, epoch, sequence, records, status, message, at
//! the rest           the batch as it was sent: ExportLogsServiceRequest, zstd
//! ```
//!
//! A file is there, whole and synced, before the batch leaves the spool, so a crash leaves it in one of the two or
//! in both, and never in none; in both it is told by its number.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use file_system::{FileSystem, write_whole};
use record::Timestamp;
use serde::{Deserialize, Serialize};

use super::durable::Durable;
use super::state::Note;

const SUFFIX: &str = ".batch";

/// The folder of dead letters.
#[derive(Clone, Debug)]
pub(crate) struct DeadLetters {
    fs: Arc<dyn FileSystem>,
    folder: PathBuf,
    bytes_max: u64,
}

/// Why a batch is dead, and what it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Which it is: eight digits of the spool's id, and the batch's number there.
    pub id: String,
    /// Its name.
    pub agent: String,
    /// Its name.
    pub epoch: String,
    /// Its name.
    pub sequence: u64,
    /// How many records it holds.
    pub records: u64,
    /// They are spans.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub spans: bool,
    /// The HTTP status of the refusal; 0 if it was never sent.
    pub status: u16,
    /// What the collector said, or why it was not sent.
    pub message: String,
    /// When, RFC 3339.
    pub at: String,
}

impl DeadLetters {
    /// # Errors
    /// The folders cannot be made.
    pub(crate) fn open(fs: Arc<dyn FileSystem>, state: &Path, bytes_max: u64) -> io::Result<Self> {
        let folder = state.join("dead-letters");
        fs.create_folder(&folder)?;
        fs.create_folder(&folder.join("retry"))?;
        fs.sync_folder(&folder)?;
        Ok(Self { fs, folder, bytes_max })
    }

    /// Keeps a batch; durable when it returns.
    ///
    /// # Errors
    /// There is no room for it, or the disk refuses; it can be tried again.
    pub(crate) fn keep(&self, letter: &DeadLetter, payload: &[u8]) -> io::Result<()> {
        let used: u64 = self.fs.list(&self.folder)?.iter().map(|(_, length)| length).sum();
        if used + payload.len() as u64 > self.bytes_max {
            return Err(io::Error::other(format!(
                "the dead letters take {used} bytes of {}; retry or remove some in {}",
                self.bytes_max,
                self.folder.display()
            )));
        }
        let mut content = serde_json::to_vec(letter).map_err(io::Error::other)?;
        content.push(b'\n');
        content.extend_from_slice(payload);
        write_whole(&*self.fs, &self.folder, &file_name(&letter.id), &content)?;
        self.fs.sync_folder(&self.folder)
    }

    /// How many there are, and the bytes of their files; without those that go out again.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub(crate) fn usage(&self) -> io::Result<(u64, u64)> {
        let files = self.fs.list(&self.folder)?;
        let letters = files.iter().filter(|(name, _)| name.ends_with(SUFFIX));
        Ok(letters.fold((0, 0), |(count, sum), (_, length)| (count + 1, sum + length)))
    }

    /// Whether this batch is kept already.
    pub(crate) fn has(&self, id: &str) -> bool {
        let name = file_name(id);
        [self.folder.clone(), self.retry_folder()].iter().any(|folder| {
            self.fs.list(folder).is_ok_and(|files| files.iter().any(|(other, _)| *other == name))
        })
    }

    /// All of them, oldest first; files that are none are left out.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub(crate) fn list(&self) -> io::Result<Vec<DeadLetter>> {
        let ids = self.ids(&self.folder)?;
        let mut letters: Vec<_> = ids.iter().filter_map(|id| Some(self.read(id).ok()?.0)).collect();
        letters.sort_by(|a: &DeadLetter, b| a.at.cmp(&b.at));
        Ok(letters)
    }

    /// One of them with its batch.
    ///
    /// # Errors
    /// It is not there, or is damaged.
    pub(crate) fn read(&self, id: &str) -> io::Result<(DeadLetter, Vec<u8>)> {
        read(&*self.fs, &self.folder.join(file_name(id))).map_err(|error| unknown(id, error))
    }

    /// Marks one to be shipped again; the running agent, or the next one, takes it.
    ///
    /// # Errors
    /// It is not there.
    pub(crate) fn retry(&self, id: &str) -> io::Result<()> {
        let name = file_name(id);
        self.fs
            .rename(&self.folder.join(&name), &self.retry_folder().join(&name))
            .map_err(|error| unknown(id, error))?;
        self.fs.sync_folder(&self.retry_folder())?;
        self.fs.sync_folder(&self.folder)
    }

    /// Those that are to be shipped again.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub(crate) fn to_retry(&self) -> io::Result<Vec<String>> {
        self.ids(&self.retry_folder())
    }

    /// # Errors
    /// It is not there, or is damaged.
    pub(crate) fn read_retry(&self, id: &str) -> io::Result<(DeadLetter, Vec<u8>)> {
        read(&*self.fs, &self.retry_folder().join(file_name(id)))
    }

    /// It is in the spool again.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub(crate) fn remove_retry(&self, id: &str) -> io::Result<()> {
        self.fs.remove(&self.retry_folder().join(file_name(id)))?;
        self.fs.sync_folder(&self.retry_folder())
    }

    /// Puts those that are to be shipped again into the spool. A crash at any place doubles and loses none: the
    /// spool's note says that it is there before the file goes.
    ///
    /// # Errors
    /// The disk refuses, or a file is damaged; what was not done is done the next time.
    pub(crate) fn requeue(&self, durable: &Durable) -> io::Result<()> {
        let ids = self.to_retry()?.into_iter().filter(|id| !is_open(id, durable));
        ids.map(|id| self.requeue_one(id, durable)).fold(Ok(()), Result::and)
    }

    fn requeue_one(&self, id: String, durable: &Durable) -> io::Result<()> {
        if !durable.with_state(|state| state.requeued.contains(&id)) {
            let (letter, payload) = self.read_retry(&id)?;
            let note = Note {
                records: letter.records,
                spans: letter.spans,
                oldest: Some(Timestamp::now().0),
                requeued: Some(id.clone()),
                ..Note::default()
            };
            durable.append(&note, Some(&payload)).map_err(io::Error::other)?;
        }
        self.remove_retry(&id)?;
        let note = Note { requeue_done: Some(id), ..Note::default() };
        durable.append(&note, None).map_err(io::Error::other)
    }

    fn retry_folder(&self) -> PathBuf {
        self.folder.join("retry")
    }

    fn ids(&self, folder: &Path) -> io::Result<Vec<String>> {
        let id = |(name, _): (String, u64)| name.strip_suffix(SUFFIX).map(str::to_owned);
        Ok(self.fs.list(folder)?.into_iter().filter_map(id).collect())
    }
}

/// Whether the batch still stands in the spool, to be sent empty: whoever sends it must find the letter, or it would be
/// sent as it was, and once more under its new name.
fn is_open(id: &str, durable: &Durable) -> bool {
    let Some((_, number)) = id.rsplit_once('-') else { return false };
    let Ok(number) = number.parse() else { return false };
    let oldest = durable.usage().oldest;
    letter_id(&durable.spool_id(), number) == id && oldest.is_some_and(|oldest| number >= oldest)
}

fn unknown(id: &str, error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::NotFound => {
            io::Error::other(format!("there is no {id}; `dead-letters list` names them"))
        }
        _ => error,
    }
}

fn read(fs: &dyn FileSystem, path: &Path) -> io::Result<(DeadLetter, Vec<u8>)> {
    let mut content = fs.read(path)?;
    let damaged = || io::Error::other(format!("{} is no dead letter", path.display()));
    let end = memchr::memchr(b'\n', &content).ok_or_else(damaged)?;
    let letter = serde_json::from_slice(&content[..end]).map_err(|_| damaged())?;
    content.drain(..=end);
    Ok((letter, content))
}

/// Which dead letter a batch of a spool is.
pub(crate) fn letter_id(spool: &str, number: u64) -> String {
    format!("{}-{number}", &spool[..spool.len().min(8)])
}

fn file_name(id: &str) -> String {
    format!("{id}{SUFFIX}")
}
