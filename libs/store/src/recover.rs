//! What a start does with what the last end left: removes orphans, replays the journal.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::UInt64Type;
use file_system::FileSystem;
use wire::Limits;

use crate::catalog::CatalogState;
use crate::chunk::{BatchBuilder, Chunk, DecodedBatch};
use crate::commit::Committer;
use crate::damage::{self, RowNumbers};
use crate::dedup;
use crate::error::{Result, StoreError};
use crate::flush::{self, Cut};
use crate::journal::{self, Entry, JournalDamage, JournalWriter, ReplayedFile};
use crate::memtable::Memtable;
use crate::segment::{self, SegmentId};
use crate::sender::Sender;
use crate::store::{Shared, locked, rejected_by_reason};

/// Records that a damaged entry is believed to have had.
const CLAIMED_RECORDS_MAX: u32 = 10_000_000;

/// Removes segment files that the catalog does not know: of flushes and compactions that did not end. Those that it
/// has set apart are moved to the quarantine.
pub(crate) fn remove_orphans(fs: &dyn FileSystem, data: &Path, state: &CatalogState) -> Result<()> {
    let folder = data.join("segments");
    let known: HashSet<SegmentId> = state.segments.iter().map(|meta| meta.id).collect();
    for segment in &state.quarantined {
        damage::move_files(fs, data, segment.meta.id)?;
    }
    for (name, _) in fs.list(&folder).map_err(StoreError::io("list", &folder))? {
        let whole = name.strip_suffix(".tmp");
        // Files that are not ours are left alone, whoever put them there.
        let Some(id) = segment::segment_of_file(whole.unwrap_or(&name)) else { continue };
        if whole.is_some() || !known.contains(&id) {
            tracing::info!(file = name, "removing a segment file that was never published");
            let path = folder.join(name);
            fs.remove(&path).map_err(StoreError::io("remove", &path))?;
        }
    }
    Ok(())
}

/// Replays the journal from its floor; gives the commit thread's first state.
pub(crate) fn replay(shared: &Arc<Shared>) -> Result<Committer> {
    let folder = shared.journal_folder();
    let (floor, next_record_seq, rebuilding) = {
        let marks = locked(&shared.marks);
        (marks.journal_floor, marks.next_record_seq, marks.rebuilding)
    };
    // Files below the floor are in segments: a crash came before they were unlinked.
    JournalWriter::remove_below(&*shared.fs, &folder, floor)?;
    let files = journal::list_files(&*shared.fs, &folder)?;
    let mut last = (floor.saturating_sub(1), 0);
    let mut replay = Replay {
        committer: Committer {
            shared: Arc::clone(shared),
            journal: writer(shared, last),
            memtable: Memtable::default(),
            next_record_seq,
            next_cut: 0,
            pending: Vec::new(),
        },
        known: None,
        damaged: false,
    };
    for (index, (file_id, path)) in files.iter().enumerate() {
        let trusted_to = match files.get(index + 1) {
            Some((next_id, next_path)) => {
                journal::read_file(&*shared.fs, *next_id, next_path, None)?
                    .filter(|next| next.header.previous_file_id == *file_id)
                    .map(|next| next.header.previous_end)
            }
            None => None,
        };
        let Some(file) = journal::read_file(&*shared.fs, *file_id, path, trusted_to)? else {
            last = (*file_id, 0);
            continue;
        };
        if rebuilding && index == 0 {
            let first = file.header.first_record_seq;
            replay.known = Some(damage::in_segments(shared, first));
            replay.committer.next_record_seq = first;
        }
        if index + 1 == files.len() {
            make_durable(shared, path, &file)?;
        }
        replay.missing_before(&file, last.0, floor);
        replay.file(&file)?;
        last = (*file_id, file.end);
        // A file is the least that can be let go of, so memory is looked at between files.
        if replay.committer.memtable.bytes() >= shared.options.flush_bytes {
            flush_replayed(&mut replay.committer, file_id + 1);
        }
    }
    let mut committer = replay.committer;
    locked(&shared.dedup).keep_bounds();
    // Should the journal have lost its end: what comes now is not what a delete from before is about.
    let floors = shared.view().deletes.iter().map(|delete| delete.before_seq).max();
    committer.next_record_seq =
        committer.next_record_seq.max(next_record_seq).max(floors.unwrap_or(0));
    committer.journal = writer(shared, last);
    if replay.damaged || rebuilding {
        // What was set apart is in the account from here on, and is not found a second time.
        flush_replayed(&mut committer, last.0 + 1);
    }
    shared.change_view(|pieces| pieces.growing = committer.memtable.parts());
    Ok(committer)
}

/// A process that died between a write and its sync, or after a sync that failed, leaves a group that can be read and is
/// not durable. From here on it counts as accepted, and who sends it again is told so: it is written once more, because
/// after a sync that failed a second one proves nothing, and synced.
fn make_durable(shared: &Shared, path: &Path, file: &ReplayedFile) -> Result<()> {
    let Some((position, bytes)) = file.last_group() else { return Ok(()) };
    let mut handle = shared.fs.open_write(path).map_err(StoreError::io("open", path))?;
    handle
        .write_at(bytes, position)
        .and_then(|()| handle.sync())
        .map_err(StoreError::io("write", path))
}

fn writer(shared: &Shared, last: (u64, u64)) -> JournalWriter {
    let file_bytes = shared.options.journal_file_bytes;
    JournalWriter::new(shared.fs.clone(), shared.journal_folder(), file_bytes, last)
}

/// A replay under way.
struct Replay {
    committer: Committer,
    /// After the catalog was lost: the records that are in segments already.
    known: Option<RowNumbers>,
    /// Something was damaged, so that numbers may be missing.
    damaged: bool,
}

impl Replay {
    /// Tells of a file between the last one and this one that is gone. Without a catalog it may be one whose records
    /// are in segments; then the numbers tell (see [`Replay::entry`]).
    fn missing_before(&mut self, file: &ReplayedFile, last: u64, floor: u64) {
        let previous = file.header.previous_file_id;
        if self.known.is_none() && previous > last && previous >= floor {
            let detail = format!("file {previous:016}.journal is gone");
            tracing::error!(detail, "journal is damaged");
            self.committer.shared.add_trouble("journal damage", detail);
            self.damaged = true;
        }
    }

    fn file(&mut self, file: &ReplayedFile) -> Result<()> {
        let shared = Arc::clone(&self.committer.shared);
        self.damaged |= !file.damage.is_empty();
        for damage in &file.damage {
            quarantine(&shared, damage, file.bytes(damage))?;
        }
        for entry in file.entries() {
            self.entry(&entry)?;
        }
        // Nothing behind the last damage tells how many records it had, so it is asked itself.
        let claimed = file.damage.last().and_then(|damage| damage.claimed);
        if let Some((first, records)) = claimed
            && first == self.committer.next_record_seq
            && records <= CLAIMED_RECORDS_MAX
        {
            self.set_apart(u64::from(records));
        }
        Ok(())
    }

    fn entry(&mut self, entry: &Entry<'_>) -> Result<()> {
        let shared = Arc::clone(&self.committer.shared);
        if entry.records > 0 && entry.first_record_seq < self.committer.next_record_seq {
            return Ok(());
        }
        self.take_name(entry);
        if entry.records == 0 {
            self.committer.memtable.add_empty(entry.payload.len());
            return Ok(());
        }
        let gap = entry.first_record_seq - self.committer.next_record_seq;
        let missing = match &self.known {
            Some(known) => {
                gap - known.count(self.committer.next_record_seq..entry.first_record_seq)
            }
            None if self.damaged => gap,
            None => 0,
        };
        if missing > 0 {
            if self.known.is_some() {
                let detail = format!("{missing} records before one of {} are gone", entry.tenant);
                shared.add_trouble("journal damage", detail);
            }
            self.set_apart(missing);
        }
        self.committer.next_record_seq = entry.first_record_seq;
        let decoded = match decode(entry) {
            Ok(decoded) => decoded,
            Err(error) => return self.undecodable(entry, &error),
        };
        self.committer.next_record_seq += u64::from(decoded.batch.records());
        let tenant: Arc<str> = entry.tenant.into();
        let signal = entry.format.signal().name();
        let mut records = 0;
        for (day, chunk) in decoded.batch.place(entry.first_record_seq) {
            let Some(chunk) = self.without_known(chunk)? else { continue };
            records += chunk.rows() as u64;
            let open_parts_max = shared.options.open_parts_max;
            self.committer.memtable.add(&tenant, signal, day, chunk, open_parts_max);
        }
        let mut counters = locked(&shared.counters);
        counters.accepted += records;
        counters.timestamps_replaced += decoded.timestamps_replaced;
        for (reason, count) in decoded.rejected {
            *counters.rejected.entry(reason.to_owned()).or_default() += count;
        }
        Ok(())
    }

    /// Notes that the batch was accepted.
    fn take_name(&self, entry: &Entry<'_>) {
        let Some(name) = &entry.name else { return };
        let sender = Sender {
            tenant: entry.tenant.to_owned(),
            agent: name.agent.clone(),
            epoch: name.epoch.clone(),
        };
        let checksum = dedup::checksum(entry.payload);
        let mut dedup = locked(&self.committer.shared.dedup);
        if self.known.is_some() {
            // A footer may know of it already, and then it is refused as a duplicate, which is right.
            let _ = dedup.accept(&sender, name, checksum, entry.records, entry.received_at);
        } else {
            dedup.accept_again(&sender, name, checksum, entry.records, entry.received_at);
        }
    }

    /// The rows that no segment has; `None` if there are none.
    fn without_known(&self, chunk: Chunk) -> Result<Option<Chunk>> {
        let Some(known) = &self.known else { return Ok(Some(chunk)) };
        let seqs = chunk.batch.column(1).as_primitive::<UInt64Type>();
        let new: BooleanArray =
            seqs.values().iter().map(|seq| Some(!known.contains(*seq))).collect();
        if new.true_count() == 0 {
            return Ok(None);
        }
        let batch =
            filter_record_batch(&chunk.batch, &new).map_err(StoreError::segment("replay"))?;
        Ok(Some(Chunk::new(batch, chunk.overflow_names, chunk.received_at_max)))
    }

    /// An entry that is whole and yet no batch: it must not keep the store from starting.
    fn undecodable(&mut self, entry: &Entry<'_>, error: &StoreError) -> Result<()> {
        let shared = Arc::clone(&self.committer.shared);
        let range = (entry.first_record_seq, entry.first_record_seq + u64::from(entry.records));
        let source = Path::new("undecodable-records");
        let name = damage::keep_bytes(&*shared.fs, &shared.folder, source, range, entry.payload)?;
        tracing::error!(%error, "a batch of the journal cannot be decoded again; set apart");
        shared.add_trouble("journal damage", format!("{error}, kept in quarantine/{name}"));
        self.damaged = true;
        self.set_apart(u64::from(entry.records));
        Ok(())
    }

    fn set_apart(&mut self, records: u64) {
        let mut counters = locked(&self.committer.shared.counters);
        counters.accepted += records;
        counters.quarantined += records;
        self.committer.next_record_seq += records;
    }
}

struct Replayed {
    batch: DecodedBatch,
    rejected: BTreeMap<&'static str, u64>,
    timestamps_replaced: u64,
}

fn decode(entry: &Entry<'_>) -> Result<Replayed> {
    let failed = |error: wire::DecodeError| StoreError::Journal {
        detail: format!("an entry of {} records cannot be decoded again: {error}", entry.records),
    };
    let limits = Limits::default();
    let body = wire::decompress(entry.encoding, entry.payload, &limits).map_err(failed)?;
    let mut builder = BatchBuilder::new(entry.received_at, entry.records as usize);
    let decoded = wire::decode(entry.format, &body, entry.received_at, &limits, &mut |record| {
        builder.push(record)
    })
    .map_err(failed)?;
    let rejected = rejected_by_reason(&decoded);
    Ok(Replayed {
        batch: builder.finish(),
        rejected,
        timestamps_replaced: decoded.timestamps_replaced,
    })
}

/// Puts what was replayed into segments. If that fails, say on a full disk, the flush thread tries on.
fn flush_replayed(committer: &mut Committer, journal_floor: u64) {
    let shared = Arc::clone(&committer.shared);
    let senders = locked(&shared.dedup).take_changed();
    let counters = locked(&shared.counters).clone();
    let cut = Cut {
        cut: committer.next_cut,
        parts: committer.memtable.seal(),
        journal_floor,
        next_record_seq: committer.next_record_seq,
        senders,
        counters,
        done: None,
    };
    committer.next_cut += 1;
    shared.change_view(|pieces| pieces.sealed.push((cut.cut, cut.parts.clone())));
    // An earlier one that failed has to go first, for the later floor includes it.
    let flushed = match committer.pending.is_empty() {
        true => flush::caught("flush", || flush::flush(&shared, &cut)),
        false => Err(StoreError::Closed),
    };
    if let Err(error) = flushed {
        tracing::error!(%error, "cannot flush what was replayed; tried on later");
        committer.pending.push(cut);
    }
}

/// Keeps damaged bytes for a person to look at.
fn quarantine(shared: &Shared, damage: &JournalDamage, bytes: &[u8]) -> Result<()> {
    let range = (damage.start, damage.end);
    let name = damage::keep_bytes(&*shared.fs, &shared.folder, &damage.path, range, bytes)?;
    tracing::error!(file = %damage.path.display(), start = damage.start, end = damage.end, "journal is damaged; bytes set apart");
    let file = damage.path.file_name().unwrap_or_default().to_string_lossy();
    let detail =
        format!("{file} has damaged bytes {} to {}, kept in quarantine/{name}", range.0, range.1);
    shared.add_trouble("journal damage", detail);
    Ok(())
}
