//! The running store: one thread commits batches to the journal, one flushes parts into segments, one
//! compacts and expires.
//!
//! ```text
//! append ─▶ commit thread: dedup · record_seq · journal (one fdatasync a group) · memtable · view · answer
//!                │ cut: the journal rolls, all parts are sealed
//!                ▼
//!           flush thread: segments · catalog transaction · view · unlink journal files below the floor
//!                │ after each flush
//!                ▼
//!           compaction thread: merge like-sized segments · expire by age and bytes
//! ```

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, SyncSender};
use std::sync::{Arc, Mutex, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use file_system::{DiskSpace, RealFileSystem};
use record::Timestamp;
use wire::{BatchName, Encoding, Format};

use crate::backup::{Snapshots, remove_copies};
use crate::catalog::{Catalog, CatalogState};
use crate::chunk::DecodedBatch;
use crate::commit::{Command, Committer};
use crate::compact;
use crate::damage;
use crate::dedup::{AgentAccount, Dedup};
use crate::deletes::{self};
use crate::error::{Result, StoreError};
use crate::files::StoreFiles;
use crate::flush;
use crate::ledger::Ledger;
use crate::lock::{FolderLock, lock_folder};
use crate::observed::{Observed, Work};
use crate::options::StoreOptions;
use crate::recover;
use crate::segment::{Segment, SegmentFolder};
use crate::sender::Sender;
pub use crate::shared::{Reservation, Statistics};
pub(crate) use crate::shared::{Shared, ViewPieces, locked};
use crate::view::View;

/// Batches that may wait for the journal; more wait in their callers.
const COMMANDS_MAX: usize = 256;

/// Damaged segments that the health page names.
const DAMAGE_LISTED: usize = 5;

/// A batch that is decoded and wants to be durable.
#[derive(Debug)]
pub struct Append {
    /// Whose records; at most 255 bytes.
    pub tenant: Arc<str>,
    /// `logs` or `spans`: that of the format, by which a replay goes.
    pub signal: &'static str,
    /// Its name, if its sender gave one.
    pub name: Option<BatchName>,
    /// When it came.
    pub received_at: Timestamp,
    /// How the payload is to be decoded again.
    pub format: Format,
    /// How it is to be decompressed first.
    pub encoding: Encoding,
    /// The bytes as they came.
    pub payload: Bytes,
    /// The records in it that were refused, by reason.
    pub rejected: BTreeMap<&'static str, u64>,
    /// Records whose time could not be read.
    pub timestamps_replaced: u64,
    /// The records in it.
    pub decoded: DecodedBatch,
}

/// The refused records of a decoded body by reason; those beyond the listed ones have the last reason.
pub fn rejected_by_reason(decoded: &wire::Decoded) -> BTreeMap<&'static str, u64> {
    let mut by_reason = BTreeMap::new();
    let mut last = None;
    for rejected in &decoded.rejected {
        *by_reason.entry(rejected.reason.name()).or_default() += 1;
        last = Some(rejected.reason.name());
    }
    let unlisted = u64::from(decoded.rejected_total) - decoded.rejected.len() as u64;
    if let (Some(reason), 1..) = (last, unlisted) {
        *by_reason.entry(reason).or_default() += unlisted;
    }
    by_reason
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// It had been accepted before.
    pub duplicate: bool,
    /// Records acknowledged by this answer.
    pub records: u32,
    /// Batches that its sender calls settled and that were never seen here, found with this one: if they had been
    /// acknowledged, this store has lost them.
    pub lost_batches: u64,
}

/// Takes the answer to an append; called on the commit thread, so it must not block.
pub type OnAppended = Box<dyn FnOnce(Result<Appended>) + Send>;

/// A running store. Dropping it stops the threads without a flush; see [`Store::close`].
#[derive(Debug)]
pub struct Store {
    pub(crate) shared: Arc<Shared>,
    pub(crate) commands: SyncSender<Command>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Store {
    /// Opens the store in `folder`, replaying what a crash left in the journal.
    ///
    /// # Errors
    /// [`StoreError::Locked`], [`StoreError::NewerVersion`], or whatever the disk says.
    pub fn open(folder: &Path, options: StoreOptions) -> Result<Self> {
        Self::open_with(folder, options, Arc::new(RealFileSystem))
    }

    /// As [`Store::open`], with the file system given.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_with(
        folder: &Path,
        options: StoreOptions,
        fs: Arc<dyn StoreFiles>,
    ) -> Result<Self> {
        let lock = lock_folder(folder)?;
        let (catalog, state, rebuilt) = damage::open_catalog(&*fs, folder)?;
        let store = Self::start(folder, options, fs, Box::new(catalog), state, Some(lock))?;
        store.shared.trouble("catalog", rebuilt);
        Ok(store)
    }

    /// As [`Store::open`], with everything given that reaches the disk.
    pub(crate) fn start(
        folder: &Path,
        options: StoreOptions,
        fs: Arc<dyn StoreFiles>,
        mut catalog: Box<dyn Catalog>,
        mut state: CatalogState,
        lock: Option<FolderLock>,
    ) -> Result<Self> {
        for name in ["journal", "segments"] {
            let path = folder.join(name);
            fs.create_folder(&path).map_err(StoreError::io("create", &path))?;
        }
        remove_copies(&*fs, folder)?;
        recover::remove_orphans(&*fs, folder, &state)?;
        let unreadable = deletes::adopt(&*fs, folder, &mut *catalog, &mut state)?;
        let segment_folder = SegmentFolder::new(
            Arc::clone(&fs),
            folder.join("segments"),
            options.open_bytes,
            options.mapped_bytes,
        );
        let segments = state
            .segments
            .into_iter()
            .map(|meta| Arc::new(Segment::new(meta, Arc::clone(&segment_folder))))
            .collect();
        let (register, active) = deletes::restore(state.deletes)?;
        let shared = Arc::new(Shared {
            fs,
            folder: folder.to_owned(),
            segments: segment_folder,
            store_id: state.store_id,
            generation: state.generation,
            view: RwLock::default(),
            pieces: Mutex::new(ViewPieces {
                segments,
                deletes: active,
                quarantined: state.quarantined.into_iter().map(Arc::new).collect(),
                ..ViewPieces::default()
            }),
            catalog: Mutex::new(catalog),
            counters: Mutex::new(state.marks.counters.clone()),
            dedup: Mutex::new(Dedup::restore(state.senders, state.agents, state.marks.forgotten)),
            deletes: Mutex::new(register),
            flushed_cuts: AtomicU64::new(0),
            next_segment_id: AtomicU64::new(state.marks.next_segment_id.max(1)),
            marks: Mutex::new(state.marks),
            in_doubt: Mutex::default(),
            part_bytes: AtomicUsize::new(0),
            reserved_bytes: AtomicUsize::new(0),
            statistics: Statistics::default(),
            observed: Observed::default(),
            compacting: Mutex::default(),
            snapshots: Snapshots::default(),
            troubles: Mutex::default(),
            options,
            _lock: lock,
        });
        shared.publish();
        let committer = recover::replay(&shared)?;
        damage::release_gone(&shared)?;
        let unreadable = unreadable
            .first()
            .map(|path| format!("{} cannot be read; records that it hid may show", path.display()));
        shared.trouble("kept deletes", unreadable);
        shared.trouble("quarantine", damage::left_to_look_at(&*shared.fs, folder));
        let (commands, receiver) = mpsc::sync_channel(COMMANDS_MAX);
        let (cuts, cut_receiver) = mpsc::channel();
        let (compactions, compaction_receiver) = mpsc::sync_channel(1);
        let spawn = |name: &str, run: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new()
                .name(name.to_owned())
                .spawn(run)
                .map_err(StoreError::io("start a thread for", folder))
        };
        let (for_flush, for_compaction) = (Arc::clone(&shared), Arc::clone(&shared));
        let threads = vec![
            spawn("logq-commit", Box::new(move || Committer::run(committer, &receiver, &cuts)))?,
            spawn(
                "logq-flush",
                Box::new(move || flush::run(&for_flush, &cut_receiver, &compactions)),
            )?,
            spawn(
                "logq-compact",
                Box::new(move || compact::run(&for_compaction, &compaction_receiver)),
            )?,
        ];
        Ok(Self { shared, commands, threads: Mutex::new(threads) })
    }

    /// Hands a batch to the journal; `answer` is called when it is durable and visible, or refused.
    /// Blocks while the journal is behind.
    pub fn append(&self, append: Append, answer: OnAppended) {
        if let Err(mpsc::SendError(command)) =
            self.commands.send(Command::Append(Box::new((append, answer))))
        {
            command.refuse(StoreError::Closed);
        }
    }

    /// Sets memory for a request apart, or refuses; it is given back when the reservation is dropped.
    ///
    /// # Errors
    /// [`StoreError::Overloaded`].
    pub fn reserve(&self, bytes: usize) -> Result<Reservation> {
        let limit_bytes = self.shared.options.memory_bytes_max;
        let reserved = self.shared.reserved_bytes.fetch_add(bytes, Ordering::AcqRel) + bytes;
        let reservation = Reservation { shared: Arc::clone(&self.shared), bytes };
        if reserved + self.shared.part_bytes.load(Ordering::Acquire) > limit_bytes {
            return Err(StoreError::Overloaded { limit_bytes });
        }
        Ok(reservation)
    }

    /// Everything that can be found now.
    pub fn view(&self) -> Arc<View> {
        self.shared.view()
    }

    /// Counts refused requests that never reached the journal.
    pub fn count_rejected(&self, reason: &'static str, records: u64) {
        *locked(&self.shared.counters).rejected.entry(reason.to_owned()).or_default() += records;
    }

    /// The account of every record, at one moment.
    pub fn ledger(&self) -> Ledger {
        self.shared.ledger()
    }

    /// What was accepted from an agent, and from one epoch of it.
    pub fn agent_account(&self, tenant: &str, agent: &str, epoch: &str) -> AgentAccount {
        locked(&self.shared.dedup).agent_account(&sender(tenant, agent, epoch))
    }

    /// As [`Store::agent_account`]; and the agent is alive, so that its batches stay known although it sends none.
    pub fn heard_of(&self, tenant: &str, agent: &str, epoch: &str, at: Timestamp) -> AgentAccount {
        let sender = sender(tenant, agent, epoch);
        let mut dedup = locked(&self.shared.dedup);
        dedup.heard_of(&sender, at);
        dedup.agent_account(&sender)
    }

    /// The id made with the data folder, and the generation.
    pub fn identity(&self) -> (&str, u64) {
        (&self.shared.store_id, self.shared.generation)
    }

    /// Counts since the start.
    pub fn statistics(&self) -> &Statistics {
        &self.shared.statistics
    }

    /// Has `observer` told of work from now on: how long it took, or `None` if it failed. It is called on the thread that
    /// did it, so it must not block. Only the first observer is told.
    pub fn observe(&self, observer: impl Fn(Work, Option<Duration>) + Send + Sync + 'static) {
        self.shared.observed.by(observer);
    }

    /// Bytes of the journal's files, reserved ones included; 0 if the disk does not say.
    pub fn journal_disk_bytes(&self) -> u64 {
        let files = self.shared.fs.list(&self.shared.journal_folder()).unwrap_or_default();
        files.iter().map(|(_, bytes)| bytes).sum()
    }

    /// Space of the disk that the data folder is on; `None` if the disk does not say.
    pub fn disk_space(&self) -> Option<DiskSpace> {
        file_system::disk_space(&self.shared.folder).ok()
    }

    /// Memory of parts and of requests in flight, bytes.
    pub fn memory_bytes(&self) -> (usize, usize) {
        (
            self.shared.part_bytes.load(Ordering::Acquire),
            self.shared.reserved_bytes.load(Ordering::Acquire),
        )
    }

    /// Memory of what is open of segments, about, and bytes of their mapped indexes, of which only what was touched is
    /// in memory.
    pub fn open_bytes(&self) -> (usize, usize) {
        self.shared.segments.open_bytes()
    }

    /// What is wrong, by subject; empty when all is well.
    pub fn troubles(&self) -> BTreeMap<&'static str, String> {
        let mut troubles = locked(&self.shared.troubles).clone();
        let view = self.view();
        let damaged = view.segments.iter().filter_map(|segment| segment.damage());
        let apart = view.quarantined.iter().map(|segment| {
            format!("{} (its {} rows cannot be read)", segment.reason, segment.meta.rows)
        });
        let mut damage: Vec<String> = damaged.chain(apart).collect();
        let more = damage.len().saturating_sub(DAMAGE_LISTED);
        damage.truncate(DAMAGE_LISTED);
        if more > 0 {
            damage.push(format!("and {more} more"));
        }
        if !damage.is_empty() {
            troubles.insert("segment damage", damage.join("; "));
        }
        troubles
    }

    /// Seals and flushes everything committed so far; returns when it is in segments.
    ///
    /// # Errors
    /// What kept the flush from ending; the records stay in parts and in the journal.
    pub fn flush(&self) -> Result<()> {
        let (done, wait) = mpsc::sync_channel(1);
        self.commands.send(Command::Flush(done)).map_err(|_| StoreError::Closed)?;
        wait.recv().map_err(|_| StoreError::Closed)?
    }

    /// Merges everything that can be merged, whatever its size, and expires what is due.
    ///
    /// # Errors
    /// When a segment cannot be read or written; the old ones stay.
    pub fn compact_all(&self) -> Result<()> {
        compact::compact_everything(&self.shared)
    }

    /// Stops taking batches, flushes, and ends the threads.
    ///
    /// # Errors
    /// As [`Store::flush`]; the threads end all the same and the journal has what is not in segments.
    pub fn close(&self) -> Result<()> {
        let flushed = self.flush();
        let _ = self.commands.send(Command::Stop);
        for thread in locked(&self.threads).drain(..) {
            let _ = thread.join();
        }
        flushed
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let _ = self.commands.send(Command::Stop);
        for thread in locked(&self.threads).drain(..) {
            let _ = thread.join();
        }
    }
}

fn sender(tenant: &str, agent: &str, epoch: &str) -> Sender {
    Sender { tenant: tenant.to_owned(), agent: agent.to_owned(), epoch: epoch.to_owned() }
}
