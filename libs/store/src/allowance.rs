//! What a reader of the store may use: time until it is stopped, and memory.
//!
//! Who reads says so by an [`Allowance`]; the store asks it once a block of rows whether to go on, and takes from it
//! the memory that it holds. So a query that was cancelled or is too large ends inside of a long read, not after it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Rows of a block at most: between two of them a reader can be stopped. Code that is not optimized takes several times
/// as long for a row.
pub const BLOCK_ROWS: usize = if cfg!(debug_assertions) { 2_048 } else { 8_192 };
/// Memory of a block at most, where nothing else is said.
const BLOCK_BYTES: usize = 4 << 20;

/// What a reader may use.
pub trait Allowance: fmt::Debug + Send + Sync {
    /// Whether to go on; asked once a block.
    ///
    /// # Errors
    /// Why not.
    fn check(&self) -> Result<(), Stopped>;

    /// Takes memory, all of it or none.
    ///
    /// # Errors
    /// When a bound does not allow it.
    fn take(&self, bytes: usize) -> Result<(), Stopped>;

    /// Gives memory back that was taken.
    fn give_back(&self, bytes: usize);

    /// Rows of one block at most, and the memory that it should take at most.
    fn block(&self) -> (usize, usize) {
        (BLOCK_ROWS, BLOCK_BYTES)
    }
}

/// Why a reader has to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stopped {
    /// Nobody wants the result any more.
    #[error("the read was cancelled")]
    Cancelled,
    /// Time is up.
    #[error("the read took longer than {after:?}")]
    Deadline {
        /// The bound.
        after: Duration,
    },
    /// The reader holds what one may hold.
    #[error("the read needs more than {limit_bytes} bytes of memory")]
    Memory {
        /// The bound.
        limit_bytes: usize,
    },
    /// All readers together hold what they may, and this one the most.
    #[error("all reads together need more than {limit_bytes} bytes of memory")]
    MemoryTotal {
        /// The bound.
        limit_bytes: usize,
    },
}

/// Allows everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unbounded;

impl Unbounded {
    /// As the functions of the store want it.
    pub fn allowance() -> Arc<dyn Allowance> {
        Arc::new(Self)
    }
}

impl Allowance for Unbounded {
    fn check(&self) -> Result<(), Stopped> {
        Ok(())
    }

    fn take(&self, _bytes: usize) -> Result<(), Stopped> {
        Ok(())
    }

    fn give_back(&self, _bytes: usize) {}

    /// Nobody is to stop it: one block is quickest.
    fn block(&self) -> (usize, usize) {
        (usize::MAX, usize::MAX)
    }
}

/// Memory that was taken; given back when it is dropped.
#[derive(Debug)]
pub struct Held {
    allowance: Arc<dyn Allowance>,
    bytes: usize,
}

impl Held {
    /// Nothing yet.
    pub fn nothing(allowance: &Arc<dyn Allowance>) -> Self {
        Self { allowance: Arc::clone(allowance), bytes: 0 }
    }

    /// Takes memory.
    ///
    /// # Errors
    /// As [`Allowance::take`].
    pub fn take(allowance: &Arc<dyn Allowance>, bytes: usize) -> Result<Self, Stopped> {
        let mut held = Self::nothing(allowance);
        held.grow(bytes)?;
        Ok(held)
    }

    /// Takes more.
    ///
    /// # Errors
    /// As [`Allowance::take`]; then it holds what it held before.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Stopped> {
        self.allowance.take(bytes)?;
        self.bytes += bytes;
        Ok(())
    }

    /// Holds this much from now on.
    ///
    /// # Errors
    /// As [`Held::grow`].
    pub fn set(&mut self, bytes: usize) -> Result<(), Stopped> {
        if let Some(less) = self.bytes.checked_sub(bytes) {
            self.allowance.give_back(less);
            self.bytes = bytes;
            return Ok(());
        }
        self.grow(bytes - self.bytes)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.allowance.give_back(self.bytes);
    }
}
