//! What the threads of a store share with its readers: the view and its pieces, the catalog, the account, memory.
//!
//! The order in which its locks are taken stands in ARCHITECTURE.md.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use crate::backup::Snapshots;
use crate::catalog::{Catalog, CatalogChange, Marks};
use crate::damage::Quarantined;
use crate::dedup::Dedup;
use crate::deletes::{ActiveDelete, Register};
use crate::error::Result;
use crate::files::StoreFiles;
use crate::ledger::{Counters, Ledger};
use crate::lock::FolderLock;
use crate::observed::Observed;
use crate::options::StoreOptions;
use crate::segment::{self, Segment, SegmentFolder, SegmentId};
use crate::view::{Part, View};

/// What the threads and the readers share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) options: StoreOptions,
    pub(crate) fs: Arc<dyn StoreFiles>,
    pub(crate) folder: PathBuf,
    pub(crate) segments: Arc<SegmentFolder>,
    pub(crate) store_id: String,
    pub(crate) generation: u64,
    pub(crate) view: RwLock<Arc<View>>,
    pub(crate) pieces: Mutex<ViewPieces>,
    pub(crate) catalog: Mutex<Box<dyn Catalog>>,
    /// Counters that include what was committed after the last cut.
    pub(crate) counters: Mutex<Counters>,
    /// The catalog's marks as last written; counters in it are those of the last cut.
    pub(crate) marks: Mutex<Marks>,
    pub(crate) dedup: Mutex<Dedup>,
    /// All deletes as the catalog has them; the last lock to be taken.
    pub(crate) deletes: Mutex<Register>,
    /// Cuts with a smaller number are in segments, and their journal files are removed.
    pub(crate) flushed_cuts: AtomicU64,
    pub(crate) next_segment_id: AtomicU64,
    /// Segments of catalog transactions that failed: whether they happened shows at the next start, so their files
    /// must stay until a later transaction has succeeded, which is built on the state before them.
    pub(crate) in_doubt: Mutex<Vec<SegmentId>>,
    /// Memory of parts, growing and sealed.
    pub(crate) part_bytes: AtomicUsize,
    pub(crate) reserved_bytes: AtomicUsize,
    pub(crate) statistics: Statistics,
    pub(crate) observed: Observed,
    /// Held by whoever merges or expires: one at a time.
    pub(crate) compacting: Mutex<()>,
    /// What running backups hold.
    pub(crate) snapshots: Snapshots,
    /// Why the store is not wholly well; shown by the health page.
    pub(crate) troubles: Mutex<BTreeMap<&'static str, String>>,
    /// None over a model, which nobody else can open.
    pub(crate) _lock: Option<FolderLock>,
}

/// What the view is made of; whoever changes it publishes a new view.
#[derive(Debug, Default)]
pub(crate) struct ViewPieces {
    pub(crate) segments: Vec<Arc<Segment>>,
    /// Sealed parts by their cut.
    pub(crate) sealed: Vec<(u64, Vec<Arc<Part>>)>,
    pub(crate) growing: Vec<Arc<Part>>,
    /// Deletes that are not done, by id.
    pub(crate) deletes: Vec<Arc<ActiveDelete>>,
    /// Segments set apart because they cannot be read.
    pub(crate) quarantined: Vec<Arc<Quarantined>>,
}

/// Counts since the start, for metrics.
#[derive(Debug, Default)]
#[allow(missing_docs)]
pub struct Statistics {
    pub journal_syncs: AtomicU64,
    pub journal_bytes: AtomicU64,
    pub flushes: AtomicU64,
    pub segments_written: AtomicU64,
    pub compactions: AtomicU64,
    pub segments_compacted: AtomicU64,
}

impl Shared {
    pub(crate) fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the pieces and publishes the view made of them.
    pub(crate) fn change_view(&self, change: impl FnOnce(&mut ViewPieces)) {
        let mut pieces = locked(&self.pieces);
        change(&mut pieces);
        let parts: Vec<Arc<Part>> = pieces
            .sealed
            .iter()
            .flat_map(|(_, parts)| parts)
            .chain(&pieces.growing)
            .cloned()
            .collect();
        self.part_bytes.store(parts.iter().map(|part| part.bytes()).sum(), Ordering::Release);
        let view = Arc::new(View {
            segments: pieces.segments.clone(),
            parts,
            deletes: pieces.deletes.clone(),
            quarantined: pieces.quarantined.clone(),
        });
        let old = std::mem::replace(
            &mut *self.view.write().unwrap_or_else(PoisonError::into_inner),
            view,
        );
        drop(pieces);
        // Dropping the old view may unlink files.
        drop(old);
    }

    pub(crate) fn publish(&self) {
        self.change_view(|_| {});
    }

    /// One transaction of the catalog. When it fails, nobody knows whether it happened until the next start.
    pub(crate) fn apply(&self, change: &CatalogChange) -> Result<()> {
        let applied = locked(&self.catalog).apply(change);
        let mut in_doubt = locked(&self.in_doubt);
        match &applied {
            Ok(()) => {
                let folder = self.segment_folder();
                in_doubt.drain(..).for_each(|id| segment::remove_files(&*self.fs, &folder, id));
            }
            Err(_) => in_doubt.extend(change.add.iter().map(|meta| meta.id)),
        }
        applied
    }

    /// Lets a transaction that changes nothing succeed if an earlier one failed, so that no more files than those of
    /// one attempt wait for the catalog.
    pub(crate) fn settle(&self) -> Result<()> {
        if locked(&self.in_doubt).is_empty() {
            return Ok(());
        }
        let marks = locked(&self.marks);
        self.apply(&CatalogChange { marks: marks.clone(), ..CatalogChange::default() })
    }

    pub(crate) fn new_segment_id(&self) -> SegmentId {
        SegmentId(self.next_segment_id.fetch_add(1, Ordering::AcqRel))
    }

    pub(crate) fn next_segment_id(&self) -> u64 {
        self.next_segment_id.load(Ordering::Acquire)
    }

    pub(crate) fn journal_folder(&self) -> PathBuf {
        self.folder.join("journal")
    }

    pub(crate) fn segment_folder(&self) -> PathBuf {
        self.folder.join("segments")
    }

    pub(crate) fn trouble(&self, subject: &'static str, detail: Option<String>) {
        let mut troubles = locked(&self.troubles);
        match detail {
            Some(detail) => troubles.insert(subject, detail),
            None => troubles.remove(subject),
        };
    }

    /// Adds to what is told of a subject.
    pub(crate) fn add_trouble(&self, subject: &'static str, detail: String) {
        let mut troubles = locked(&self.troubles);
        let all = troubles.entry(subject).or_default();
        if !all.is_empty() {
            all.push_str("; ");
        }
        all.push_str(&detail);
    }

    pub(crate) fn ledger(&self) -> Ledger {
        // Counters and pieces change together under both locks (commit, expiry), so this is one moment. Whoever
        // takes more than one of these locks takes them in this order.
        let counters = locked(&self.counters);
        let pieces = locked(&self.pieces);
        let in_parts = pieces
            .sealed
            .iter()
            .flat_map(|(_, parts)| parts)
            .chain(&pieces.growing)
            .map(|part| part.rows() as u64)
            .sum();
        let indexed = pieces.segments.iter().map(|segment| u64::from(segment.meta().rows)).sum();
        let dedup = locked(&self.dedup);
        Ledger {
            received: counters.duplicate + counters.rejected_total() + counters.accepted,
            counters: counters.clone(),
            in_parts,
            indexed,
            lost_batches: dedup.account().lost_batches,
            senders: dedup.len() as u64,
            senders_forgotten: dedup.senders_forgotten(),
        }
    }
}

/// Memory set apart for a request.
#[derive(Debug)]
pub struct Reservation {
    pub(crate) shared: Arc<Shared>,
    pub(crate) bytes: usize,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.shared.reserved_bytes.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

/// A lock whose holder panicked still guards whole values: every change under it is a single assignment.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
