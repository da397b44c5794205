//! What is read from files and read again when they change, so that a change needs no restart.
//!
//! Looked at when it is asked for, at most once a second, by modification time, size and inode. What cannot be read
//! then leaves the old value in force; the fault is logged, kept to be told, and reading is tried again every second.

use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock, TryLockError};
use std::time::{Duration, Instant};

/// How often files are looked at.
pub const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Tells a file from what it was before: seconds and nanoseconds of its last change, size, inode.
type Stamp = Option<(i64, i64, u64, u64)>;
type Read<T> = Box<dyn Fn() -> Result<T, String> + Send + Sync>;

/// A value from files that may change.
pub struct Reread<T> {
    files: Vec<PathBuf>,
    read: Read<T>,
    value: RwLock<Arc<T>>,
    looked: Mutex<Looked>,
}

struct Looked {
    at: Instant,
    stamps: Vec<Stamp>,
    fault: Option<String>,
}

impl<T> fmt::Debug for Reread<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reread").field("files", &self.files).finish_non_exhaustive()
    }
}

impl<T> Reread<T> {
    /// Reads for the first time.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn new<E: fmt::Display>(
        files: Vec<PathBuf>,
        read: impl Fn() -> Result<T, E> + Send + Sync + 'static,
    ) -> Result<Self, E> {
        // Before the content: what changes meanwhile is read again.
        let stamps = stamps(&files);
        let value = RwLock::new(Arc::new(read()?));
        let read = Box::new(move || read().map_err(|error| error.to_string()));
        let looked = Mutex::new(Looked { at: Instant::now(), stamps, fault: None });
        Ok(Self { files, read, value, looked })
    }

    /// The value, read anew if the files changed and were not looked at within the last second.
    pub fn get(&self) -> Arc<T> {
        match self.looked.try_lock() {
            Ok(mut looked) if looked.at.elapsed() >= LOOK_INTERVAL => self.look(&mut looked),
            // Somebody else looks; what is there is at most as old as the interval.
            Ok(_) | Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Poisoned(looked)) => self.look(&mut looked.into_inner()),
        }
        Arc::clone(&self.value.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Why the files as they are now are not what is in force.
    pub fn fault(&self) -> Option<String> {
        self.looked.lock().unwrap_or_else(PoisonError::into_inner).fault.clone()
    }

    fn look(&self, looked: &mut Looked) {
        looked.at = Instant::now();
        let now = stamps(&self.files);
        if now == looked.stamps && looked.fault.is_none() {
            return;
        }
        match (self.read)() {
            Ok(value) => {
                *self.value.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(value);
                looked.stamps = now;
                looked.fault = None;
                tracing::info!(files = ?self.files, "read anew");
            }
            Err(fault) => {
                if looked.fault.as_ref() != Some(&fault) {
                    tracing::error!(fault, "cannot be read anew, the old one stays in force");
                }
                looked.fault = Some(fault);
            }
        }
    }
}

fn stamps(files: &[PathBuf]) -> Vec<Stamp> {
    let stamp = |file: &PathBuf| {
        let file = std::fs::metadata(file).ok()?;
        Some((file.mtime(), file.mtime_nsec(), file.len(), file.ino()))
    };
    files.iter().map(stamp).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As if a second had passed.
    fn later(reread: &Reread<String>) -> String {
        reread.looked.lock().unwrap().at -= LOOK_INTERVAL;
        reread.get().to_string()
    }

    #[test]
    fn a_change_is_seen_and_what_cannot_be_read_leaves_the_old_value_in_force() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("value");
        std::fs::write(&file, "one").unwrap();
        let path = file.clone();
        let read = move || match std::fs::read_to_string(&path) {
            Ok(text) if text.is_empty() => Err("it is empty".to_owned()),
            other => other.map_err(|error| error.to_string()),
        };
        let reread = Reread::new(vec![file.clone()], read).unwrap();
        std::fs::write(&file, "two!").unwrap();
        assert_eq!(*reread.get(), "one", "not within the interval");
        assert_eq!(later(&reread), "two!");
        std::fs::write(&file, "").unwrap();
        assert_eq!(later(&reread), "two!");
        assert_eq!(reread.fault().as_deref(), Some("it is empty"));
        std::fs::remove_file(&file).unwrap();
        assert_eq!(later(&reread), "two!");
        assert!(reread.fault().unwrap().contains("No such file"));
        std::fs::write(&file, "three").unwrap();
        assert_eq!((later(&reread).as_str(), reread.fault()), ("three", None));
    }
}
