//! What a start does with what the last end left: removes orphans, replays the journal.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use file_system::{FileSystem, write_whole};
use wire::Limits;

use crate::chunk::{BatchBuilder, DecodedBatch};
use crate::commit::Committer;
use crate::dedup;
use crate::error::{Result, StoreError};
use crate::flush::{self, Cut};
use crate::journal::{self, Entry, JournalWriter, ReplayedFile};
use crate::memtable::Memtable;
use crate::segment::{self, SegmentId, SegmentMeta};
use crate::sender::Sender;
use crate::store::{Shared, locked, rejected_by_reason};

/// Removes segment files that the catalog does not know: of flushes and compactions that did not end.
pub(crate) fn remove_orphans(
    fs: &dyn FileSystem,
    folder: &Path,
    known: &[SegmentMeta],
) -> Result<()> {
    let known: HashSet<SegmentId> = known.iter().map(|meta| meta.id).collect();
    for (name, _) in fs.list(folder).map_err(StoreError::io("list", folder))? {
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
    let (floor, next_record_seq) = {
        let marks = locked(&shared.marks);
        (marks.journal_floor, marks.next_record_seq)
    };
    let mut committer = Committer {
        shared: Arc::clone(shared),
        journal: JournalWriter::new(
            shared.fs.clone(),
            folder.clone(),
            shared.options.journal_file_bytes,
            (floor.saturating_sub(1), 0),
        ),
        memtable: Memtable::default(),
        next_record_seq,
        next_cut: 0,
    };
    // Files below the floor are in segments: a crash came before they were unlinked.
    JournalWriter::remove_below(&*shared.fs, &folder, floor)?;
    let files = journal::list_files(&*shared.fs, &folder)?;
    let mut last = (floor.saturating_sub(1), 0);
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
        replay_file(&mut committer, &file)?;
        last = (*file_id, file.end);
        // A file is the least that can be let go of, so memory is looked at between files.
        if committer.memtable.bytes() >= shared.options.flush_bytes {
            flush_replayed(&mut committer, file_id + 1)?;
        }
    }
    locked(&shared.dedup).keep_bounds();
    // Should the journal have lost its end: what comes now is not what a delete from before is about.
    let floors = shared.view().deletes.iter().map(|delete| delete.before_seq).max();
    committer.next_record_seq = committer.next_record_seq.max(floors.unwrap_or(0));
    committer.journal =
        JournalWriter::new(shared.fs.clone(), folder, shared.options.journal_file_bytes, last);
    shared.change_view(|pieces| pieces.growing = committer.memtable.parts());
    Ok(committer)
}

fn replay_file(committer: &mut Committer, file: &ReplayedFile) -> Result<()> {
    for damage in &file.damage {
        quarantine(&committer.shared, damage, file.bytes(damage))?;
    }
    for entry in file.entries() {
        replay_entry(committer, &entry, !file.damage.is_empty())?;
    }
    Ok(())
}

fn replay_entry(committer: &mut Committer, entry: &Entry<'_>, damaged: bool) -> Result<()> {
    if entry.first_record_seq < committer.next_record_seq && entry.records > 0 {
        return Ok(());
    }
    let shared = Arc::clone(&committer.shared);
    if let Some(name) = &entry.name {
        let sender = Sender {
            tenant: entry.tenant.to_owned(),
            agent: name.agent.clone(),
            epoch: name.epoch.clone(),
        };
        locked(&shared.dedup).accept_again(
            &sender,
            name,
            dedup::checksum(entry.payload),
            entry.records,
            entry.received_at,
        );
    }
    if entry.records == 0 {
        committer.memtable.add_empty(entry.payload.len());
        return Ok(());
    }
    let decoded = decode(entry)?;
    let mut counters = locked(&shared.counters);
    let gap = entry.first_record_seq.saturating_sub(committer.next_record_seq);
    if damaged && gap > 0 {
        counters.accepted += gap;
        counters.quarantined += gap;
    }
    counters.accepted += u64::from(decoded.batch.records());
    counters.timestamps_replaced += decoded.timestamps_replaced;
    for (reason, count) in decoded.rejected {
        *counters.rejected.entry(reason.to_owned()).or_default() += count;
    }
    committer.next_record_seq = entry.first_record_seq + u64::from(decoded.batch.records());
    let tenant: Arc<str> = entry.tenant.into();
    for (day, chunk) in decoded.batch.place(entry.first_record_seq) {
        committer.memtable.add(&tenant, "logs", day, chunk, shared.options.open_parts_max);
    }
    Ok(())
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

fn flush_replayed(committer: &mut Committer, journal_floor: u64) -> Result<()> {
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
    flush::flush(&shared, &cut)
}

/// Keeps damaged bytes for a person to look at.
fn quarantine(shared: &Shared, damage: &journal::JournalDamage, bytes: &[u8]) -> Result<()> {
    let folder = shared.folder.join("quarantine");
    let source =
        damage.path.file_name().map_or_else(|| "journal".into(), |name| name.to_string_lossy());
    let name = format!("{source}.{}-{}", damage.start, damage.end);
    shared
        .fs
        .create_folder(&folder)
        .and_then(|()| write_whole(&*shared.fs, &folder, &name, bytes))
        .map_err(StoreError::io("write", &folder))?;
    let detail = format!(
        "{} has damaged bytes {} to {}, kept in quarantine/{name}",
        damage.path.display(),
        damage.start,
        damage.end
    );
    tracing::error!(file = %damage.path.display(), start = damage.start, end = damage.end, "journal is damaged; bytes set apart");
    shared.trouble("journal damage", Some(detail));
    Ok(())
}
