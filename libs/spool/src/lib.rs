//! The durable queue of the agent: batches that are not acknowledged yet, and the state that goes with them.
//!
//! A bounded first-in first-out queue of batches on disk that keeps a small *state* of its user (positions in
//! files, counters) durable as well, each change of it atomically with a batch, an acknowledgement, or alone.
//! There is one log and nothing else. State, notes and payloads are bytes without meaning here.
//!
//! ```text
//! FOLDER/0000000000000007.spool           16 MiB (or more, see `SpoolOptions::file_bytes`), preallocated
//! FOLDER/0000000000000008.spool.new       being created; has its name only when its checkpoint is durable
//! FOLDER/quarantine/….spool.FROM-TO       bytes of damaged pieces; whole files where nothing could be read
//!
//! file   = header (512) · the same again (512) · checkpoint · entries without gaps · zeros
//! header = magic "LQSP" (4) · version u32 · spool id u128 · file number u64 · file id u64
//!        · predecessor: number u64 (0: none) · id u64 · trusted end u64 · zeros · crc32c u32 of the 508 before
//! entry  = head (48) · meta · payload
//! head   = magic "LQSE" (4) · kind u8 · zeros (3) · meta length u32 · payload length u32 · number u64
//!        · synced_to u64 · meta crc32c u32 · payload crc32c u32 · zeros (4) · crc32c u32
//! crc      of the head: over file id u64 · position of the entry u64 · the 44 bytes before
//!
//! kind            number               meta                                                   payload
//! 1 checkpoint    next number          counters, files                                        the state
//! 2 batch         its own              carried · note                                         the batch
//! 3 note          next number          carried · note
//! 4 acknowledge   last acknowledged    acknowledgement
//!
//! counters        = next number u64 · first unacknowledged u64 · its file u64 · where to look for it there u64
//!                 · unacknowledged payload bytes u64
//! files           = count u32 · (number u64 · id u64 · trusted end u64 · first batch u64 · batch after its last u64)…
//! carried         = count u32 · (number u64 · length u32 · acknowledgement)…
//! acknowledgement = file and position of the next batch u64 u64 · unacknowledged payload bytes then u64 · note
//! ```
//!
//! All numbers are little-endian. Batches are numbered from 0 without gaps. The checksum of a head covers the
//! file's random id and the entry's position, so that what an earlier file left on the disk is never taken for
//! an entry. It is apart from those of meta and payload, so that each is known to be good or bad by itself.
//!
//! What always holds:
//! * [`append`](Spool::append) and [`note`](Spool::note) are durable when they return. An acknowledgement is
//!   written at once and durable with the next of them, with [`sync`](Spool::sync), or before the 65th; until
//!   then a crash may take it back, and the same batch with the same bytes comes again.
//! * **`synced_to` vouches**: everything before it was durable when the entry was written. A bad entry that a
//!   later one vouches for is damage. One that nobody vouches for is the torn end of a write that was never
//!   confirmed, and is cut.
//! * **A synced entry carries the unsynced acknowledgements before it**, so that no order in which sectors reach
//!   the disk can leave an entry without what came before it.
//! * **A file in which a write or a sync failed is never written again.** The next file's header says up to where
//!   it is trusted; an entry whose append failed lies behind that and is ignored for ever.
//! * **A file that was opened is never written again** either, but for its unconfirmed end: that is rewritten in
//!   place and synced, because a process that died may have left bytes in memory that never reached the disk.
//! * Positions need only the newest file. An older one is unlinked when it has no unacknowledged batch and is not
//!   the predecessor of the newest, which stays: its checkpoint and entries lead to the same state if the newest
//!   checkpoint is damaged.
//!
//! One process at a time may use a folder; that is the caller's business. Read errors are errors, never damage:
//! the disk may come back.

mod check;
mod error;
mod format;
mod front;
mod options;
mod quarantine;
mod recover;
mod scan;
mod spool;

pub use check::{FileReport, Problem, Report, check, repair};
pub use error::SpoolError;
pub use front::Front;
pub use options::{SpoolOptions, Usage};
pub use recover::{Damage, Opening, Replay};
pub use spool::{Checkpoint, Spool};

/// Longest note, in bytes.
pub const NOTE_BYTES_MAX: usize = 16 << 20;
/// Longest payload, in bytes.
pub const PAYLOAD_BYTES_MAX: usize = 256 << 20;
/// How many acknowledgements may be written and not yet durable.
pub const UNSYNCED_ACKNOWLEDGEMENTS_MAX: usize = 64;
