//! Work of the store that somebody may watch: how long it took when it ended well, and how often it failed.

use std::fmt;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::error::Result;

/// A kind of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// A group of batches is written to the journal and synced.
    JournalSync,
    /// A cut becomes segments.
    Flush,
    /// Segments become one, or one is made again.
    Compaction,
}

/// Is told of work; `None` if it failed. Called on the thread that did it, so it must not block.
type Observer = Box<dyn Fn(Work, Option<Duration>) + Send + Sync>;

/// Who watches, if anybody does.
#[derive(Default)]
pub(crate) struct Observed {
    observer: OnceLock<Observer>,
}

impl fmt::Debug for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observed").finish_non_exhaustive()
    }
}

impl Observed {
    /// The first one stays.
    pub(crate) fn by(&self, observer: impl Fn(Work, Option<Duration>) + Send + Sync + 'static) {
        let _ = self.observer.set(Box::new(observer));
    }

    /// Does it.
    pub(crate) fn run<T>(&self, work: Work, run: impl FnOnce() -> Result<T>) -> Result<T> {
        let began = Instant::now();
        let result = run();
        if let Some(observer) = self.observer.get() {
            observer(work, result.is_ok().then(|| began.elapsed()));
        }
        result
    }
}
