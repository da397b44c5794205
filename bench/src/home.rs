//! Where a run keeps its data: a folder that the user named, or one that goes with the run.
//!
//! Beside `data/` lies `corpus.json`, written when everything is loaded: it says which corpus the folder holds, so
//! that a later run can use it instead of loading again.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde_json::{Value, json};

use crate::corpus::CorpusOptions;

const MARKER: &str = "corpus.json";

/// Where a run finds and leaves what it needs.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Places {
    /// The server's binary [default: `logq` beside this program]
    #[arg(long)]
    pub(crate) logq: Option<PathBuf>,
    /// Folder for the data, kept afterwards, and used again when it holds this corpus
    #[arg(long)]
    pub(crate) keep: Option<PathBuf>,
    /// Folder for the report
    #[arg(long)]
    pub(crate) results: Option<PathBuf>,
}

/// The folder of a run.
#[derive(Debug)]
pub(crate) struct Home {
    path: PathBuf,
    /// Holds a folder that goes with the run.
    _temporary: Option<tempfile::TempDir>,
}

impl Home {
    /// `keep` is the user's folder. Without one, a folder beside this program: that is on a disk, where the
    /// system's folder for temporary files may be in memory.
    ///
    /// # Errors
    /// When no folder can be made.
    pub(crate) fn open(keep: Option<&Path>) -> anyhow::Result<Self> {
        if let Some(path) = keep {
            fs::create_dir_all(path)
                .with_context(|| format!("cannot create {}", path.display()))?;
            return Ok(Self { path: path.to_owned(), _temporary: None });
        }
        let program = std::env::current_exe().context("cannot tell where this program is")?;
        let beside = program.parent().context("this program is in no folder")?;
        let temporary = tempfile::Builder::new()
            .prefix("bench-")
            .tempdir_in(beside)
            .context("cannot make a folder")?;
        Ok(Self { path: temporary.path().to_owned(), _temporary: Some(temporary) })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the folder holds this corpus already.
    ///
    /// # Errors
    /// When it holds something else.
    pub(crate) fn holds(&self, corpus: &CorpusOptions) -> anyhow::Result<bool> {
        let marker = self.path.join(MARKER);
        match fs::read(&marker) {
            Ok(bytes) if serde_json::from_slice::<Value>(&bytes)? == describe(corpus) => Ok(true),
            Ok(bytes) => {
                bail!(
                    "{} holds another corpus, {}",
                    self.path.display(),
                    String::from_utf8_lossy(&bytes).trim()
                )
            }
            Err(_) if self.path.join("data").exists() => {
                bail!(
                    "{} holds data that was not wholly loaded; name another folder",
                    self.path.display()
                )
            }
            Err(_) => Ok(false),
        }
    }

    /// Notes that the corpus is loaded.
    ///
    /// # Errors
    /// When the note cannot be written.
    pub(crate) fn mark(&self, corpus: &CorpusOptions) -> anyhow::Result<()> {
        fs::write(self.path.join(MARKER), format!("{}\n", describe(corpus)))
            .context("cannot note which corpus is loaded")
    }
}

fn describe(corpus: &CorpusOptions) -> Value {
    json!({ "records": corpus.records, "seed": corpus.seed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_used_again_only_for_the_same_corpus() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::open(Some(folder.path())).unwrap();
        let corpus = CorpusOptions { records: 10, seed: 1 };
        assert!(!home.holds(&corpus).unwrap());
        fs::create_dir(folder.path().join("data")).unwrap();
        assert!(home.holds(&corpus).unwrap_err().to_string().contains("not wholly loaded"));
        home.mark(&corpus).unwrap();
        assert!(home.holds(&corpus).unwrap());
        assert!(home.holds(&CorpusOptions { seed: 2, ..corpus }).is_err());
    }
}
