//! What a start makes of the files: replays entries from the newest good checkpoint on. Changes nothing.
//!
//! Usually that is one file. If the newest checkpoint is bad, the way goes back along the predecessors to a good
//! one and forward again. If there is none the state is lost; batches that are there are kept all the same.

mod entries;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use file_system::FileSystem;

use crate::error::{Result, SpoolError};
use crate::format::{
    Counters, FILE_VERSION, FileHeader, FileInfo, HEADER_BYTES, Kind, NEW_SUFFIX, Place, SUFFIX,
    decode_checkpoint, file_name, file_number,
};
use crate::scan::ScannedFile;
use entries::vouched;

/// A change of the user's state, in the order in which they were made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replay<'a> {
    /// The whole state; comes first, and once. There is none if the spool is new or the state is lost.
    Checkpoint(&'a [u8]),
    /// A batch was appended.
    Batch {
        /// Its number.
        number: u64,
        /// What was given with it.
        note: &'a [u8],
    },
    /// The state changed without a batch.
    Note(&'a [u8]),
    /// The queue was acknowledged up to and with this batch.
    Acknowledged {
        /// The last one acknowledged.
        number: u64,
        /// What was given with it.
        note: &'a [u8],
    },
}

/// What was found at a start. Everything but `created` and `torn_bytes` is found again by the next start,
/// until a new file was begun, which the first append, note or acknowledgement does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opening {
    /// There was no spool.
    pub created: bool,
    /// No checkpoint could be read: replay began with the empty state.
    pub state_lost: bool,
    /// What came last may be gone, so numbers that were given once may be given again, to other batches. Who
    /// names batches by them has to begin a new series of names.
    pub rewound: bool,
    /// Bytes of writes that were not confirmed, cut off.
    pub torn_bytes: u64,
    /// Bytes that should have been entries and are not.
    pub damaged: Vec<Damage>,
}

/// Bytes that are not what was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub file: PathBuf,
    /// Where the damage begins.
    pub from: u64,
    /// Where it ends.
    pub to: u64,
    /// In words.
    pub what: &'static str,
    /// Unacknowledged batches that are gone; the queue gives them as [`Front::Damaged`](crate::Front::Damaged).
    pub lost: Option<RangeInclusive<u64>>,
    /// Whether changes of the state may have been in it.
    pub changes_lost: bool,
    /// Where its bytes are kept.
    pub quarantined: Option<PathBuf>,
}

/// What recovery knows in the end.
#[derive(Debug, Default)]
pub(crate) struct Recovered {
    pub(crate) spool_id: Option<u128>,
    pub(crate) counters: Counters,
    /// Files that are needed, oldest first; the last one is the newest.
    pub(crate) files: Vec<FileInfo>,
    /// Files of which nothing can be read, newer than all others or with nothing to explain them.
    pub(crate) unreadable: Vec<u64>,
    pub(crate) next_file: u64,
    /// The end of the newest file that nobody vouches for: to be written again before it is relied on.
    pub(crate) unconfirmed: Option<(u64, u64)>,
    pub(crate) opening: Opening,
}

/// Reads the folder and replays; `replay` may be called before an error is given.
pub(crate) fn recover(
    fs: &dyn FileSystem,
    folder: &Path,
    replay: &mut dyn FnMut(Replay<'_>),
) -> Result<Recovered> {
    let listed = fs.list(folder).map_err(SpoolError::io("list", folder))?;
    let number = |name: &str| file_number(name, SUFFIX).or_else(|| file_number(name, NEW_SUFFIX));
    let last = listed.iter().filter_map(|(name, _)| number(name)).max().unwrap_or(0);
    let lengths = listed
        .iter()
        .filter_map(|(name, length)| Some((file_number(name, SUFFIX)?, *length)))
        .collect();
    let result = Recovered { next_file: last + 1, ..Recovered::default() };
    let mut recovery =
        Recovery { fs, folder, lengths, replay, silent: false, adrift: false, result };
    recovery.run()?;
    Ok(recovery.result)
}

/// A checkpoint as far as it could be read.
#[derive(Default)]
struct CheckpointFound {
    counters: Option<(Counters, Vec<FileInfo>)>,
    state: Option<Vec<u8>>,
    end: u64,
}

impl CheckpointFound {
    fn is_whole(&self) -> bool {
        self.counters.is_some() && self.state.is_some()
    }
}

/// A file that is replayed.
struct Link {
    file: ScannedFile,
    header: FileHeader,
    /// From the header of the next one.
    trusted_end: Option<u64>,
}

struct Recovery<'a> {
    fs: &'a dyn FileSystem,
    folder: &'a Path,
    lengths: BTreeMap<u64, u64>,
    replay: &'a mut dyn FnMut(Replay<'_>),
    /// Entries are counted, but what they say of the state is worth nothing.
    silent: bool,
    /// No number is known yet; the first one that is seen is believed.
    adrift: bool,
    result: Recovered,
}

impl Recovery<'_> {
    fn run(&mut self) -> Result<()> {
        let Some(newest) = self.newest()? else {
            self.result.opening.created = self.lengths.is_empty();
            self.result.opening.state_lost = !self.lengths.is_empty();
            return Ok(());
        };
        self.result.spool_id = Some(newest.header.spool_id);
        let newest_number = newest.header.number;
        // Newest first, until a file whose checkpoint is whole.
        let mut chain = vec![newest];
        let mut found = vec![checkpoint_of(&mut chain[0].file)?];
        while !found.last().is_some_and(CheckpointFound::is_whole) {
            let Some(mut link) = self.predecessor(&chain[chain.len() - 1])? else { break };
            found.push(checkpoint_of(&mut link.file)?);
            chain.push(link);
        }
        if !found.last().is_some_and(CheckpointFound::is_whole) {
            // The state is lost, but perhaps not where the queue stands.
            self.result.opening.state_lost = true;
            chain.truncate(1);
            found.truncate(1);
        }
        match found.pop() {
            Some(CheckpointFound { counters: Some((counters, files)), state, end }) => {
                self.result.counters = counters;
                let base = &chain[chain.len() - 1];
                let older = files.into_iter().filter(|file| file.number < base.header.number);
                self.result.files = older.collect();
                // A bad checkpoint is walked over, and reported on the way.
                let start = if state.is_some() { end } else { HEADER_BYTES };
                if let Some(state) = state {
                    (self.replay)(Replay::Checkpoint(&state));
                }
                for (index, link) in chain.into_iter().rev().enumerate() {
                    self.walk(link, if index == 0 { start } else { HEADER_BYTES })?;
                }
            }
            _ => self.walk_everything(newest_number)?,
        }
        self.finish();
        Ok(())
    }

    /// The newest file that has a header.
    fn newest(&mut self) -> Result<Option<Link>> {
        let numbers: Vec<(u64, u64)> =
            self.lengths.iter().rev().map(|(number, length)| (*number, *length)).collect();
        for (number, length) in numbers {
            let Some(mut file) = self.open(number)? else { continue };
            let found = file.header()?;
            let Some(header) = found.header else {
                self.damage(&file.path, 0, length, "a file without a header", true);
                self.result.unreadable.push(number);
                self.result.opening.rewound = true;
                continue;
            };
            if header.version > FILE_VERSION {
                return Err(SpoolError::NewerVersion {
                    path: file.path,
                    found: header.version,
                    supported: FILE_VERSION,
                });
            }
            if let Some((from, to)) = found.bad {
                self.damage(&file.path, from, to, "one of two copies of a header", false);
            }
            file.set_id(header.id);
            return Ok(Some(Link { file, header, trusted_end: None }));
        }
        Ok(None)
    }

    fn predecessor(&self, link: &Link) -> Result<Option<Link>> {
        let (number, id, end) = link.header.predecessor;
        Ok(self
            .link(number, Some(end))?
            .filter(|found| found.header.id == id && found.header.spool_id == link.header.spool_id))
    }

    fn link(&self, number: u64, trusted_end: Option<u64>) -> Result<Option<Link>> {
        let Some(mut file) = self.open(number)? else { return Ok(None) };
        let Some(header) = file.header()?.header else { return Ok(None) };
        file.set_id(header.id);
        Ok(Some(Link { file, header, trusted_end }))
    }

    fn open(&self, number: u64) -> Result<Option<ScannedFile>> {
        ScannedFile::open(self.fs, &self.folder.join(file_name(number)), number, 0)
    }

    /// Without any checkpoint: all files that there are, for their batches; only the newest for its notes.
    fn walk_everything(&mut self, newest: u64) -> Result<()> {
        self.result.opening.rewound = true;
        self.adrift = true;
        let numbers: Vec<u64> = self.lengths.range(..=newest).map(|(number, _)| *number).collect();
        let mut links: Vec<Link> = Vec::new();
        for number in numbers {
            let link = self.link(number, None)?;
            let Some(link) = link.filter(|link| Some(link.header.spool_id) == self.result.spool_id)
            else {
                let path = self.folder.join(file_name(number));
                let length = self.lengths[&number];
                self.damage(&path, 0, length, "a file without a header of this spool", true);
                self.result.unreadable.push(number);
                continue;
            };
            if let Some(before) = links.last_mut().filter(|before| {
                (before.header.number, before.header.id)
                    == (link.header.predecessor.0, link.header.predecessor.1)
            }) {
                before.trusted_end = Some(link.header.predecessor.2);
            }
            links.push(link);
        }
        for link in links {
            self.silent = link.header.number != newest;
            self.walk(link, HEADER_BYTES)?;
        }
        Ok(())
    }

    /// Replays one file.
    fn walk(&mut self, mut link: Link, start: u64) -> Result<()> {
        let file = &mut link.file;
        let first_batch = self.result.counters.next;
        let length = file.length()?;
        let damaged_before = self.result.opening.damaged.len();
        let end = match link.trusted_end {
            Some(end) => {
                let limit = end.min(length);
                self.walk_entries(file, start, limit, None)?;
                if limit < end {
                    self.damage(&file.path, limit, end, "the end of a file is missing", true);
                }
                end
            }
            None => {
                let (vouched, limit) = vouched(file, start, length)?;
                let end = self.walk_entries(file, start, limit, Some(vouched))?;
                let written = file.written_end(end, length)?;
                let torn_from = if end < vouched && self.covered(damaged_before) < vouched {
                    // Not even the checkpoint that once was there tells what came after it.
                    self.damage(&file.path, end, written.max(end), "no entry", true);
                    self.result.opening.rewound = true;
                    written
                } else {
                    end.max(vouched)
                };
                self.result.opening.torn_bytes = written.saturating_sub(torn_from);
                self.result.unconfirmed = Some((vouched.min(end), end)).filter(|(a, b)| a < b);
                end
            }
        };
        let batches = (first_batch, self.result.counters.next);
        self.result.files.push(FileInfo {
            number: link.header.number,
            id: link.header.id,
            end,
            batches,
        });
        Ok(())
    }

    /// Up to where damage was reported since there were `before` reports.
    fn covered(&self, before: usize) -> u64 {
        self.result.opening.damaged[before..].iter().map(|damage| damage.to).max().unwrap_or(0)
    }

    fn say(&mut self, replay: Replay<'_>) {
        if !self.silent {
            (self.replay)(replay);
        }
    }

    fn damage(&mut self, file: &Path, from: u64, to: u64, what: &'static str, changes_lost: bool) {
        self.result.opening.damaged.push(Damage {
            file: file.to_owned(),
            from,
            to,
            what,
            lost: None,
            changes_lost,
            quarantined: None,
        });
    }

    /// Looks after files that were not read, and leaves out of the report what was acknowledged since.
    fn finish(&mut self) {
        let Counters { next, first, .. } = self.result.counters;
        let needed = std::mem::take(&mut self.result.files);
        let newest = needed.last().map_or(0, |file| file.number);
        for file in &needed {
            let length = self.lengths.get(&file.number).copied().unwrap_or(0);
            if file.number < newest && file.batches.1 > first && length < file.end {
                let path = self.folder.join(file_name(file.number));
                self.damage(&path, length, file.end, "a file is missing or too short", false);
                if length == 0 {
                    let last = self.result.opening.damaged.last_mut().expect("just pushed");
                    last.lost = Some(file.batches.0..=file.batches.1 - 1);
                }
            }
        }
        let there = |file: &FileInfo| self.lengths.contains_key(&file.number);
        self.result.files = needed.into_iter().filter(there).collect();
        for damage in &mut self.result.opening.damaged {
            let lost = damage.lost.take().filter(|lost| *lost.end() >= first);
            damage.lost = lost.map(|lost| first.max(*lost.start())..=*lost.end());
        }
        if first == next {
            self.result.counters.payload_bytes = 0;
        }
    }
}

fn checkpoint_of(file: &mut ScannedFile) -> Result<CheckpointFound> {
    let length = file.length()?;
    let head = file.head_at(HEADER_BYTES, length)?.filter(|head| head.kind == Kind::Checkpoint);
    let Some(head) = head else { return Ok(CheckpointFound::default()) };
    Ok(CheckpointFound {
        counters: file.meta(HEADER_BYTES, &head)?.as_deref().and_then(decode_checkpoint),
        state: file.payload(HEADER_BYTES, &head)?,
        end: HEADER_BYTES + head.total(),
    })
}

/// Where a batch may lie that is looked for from the beginning of a file on.
pub(crate) fn beginning(file: u64) -> Place {
    Place { file, position: HEADER_BYTES }
}
