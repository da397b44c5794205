//! The followed files, found by number, place, path and origin, and which of them are open.
//!
//! What always holds: a place belongs to at most one file; the files of one origin are listed oldest first; of
//! the open files those that were not used for longest are closed first, and an unlinked one is closed last,
//! because it cannot be opened again.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::identity::{Place, Stamp, family, place_at};
use super::known::KnownFile;
use super::patterns::Found;

/// A file that cannot be read at the moment.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) message: String,
    pub(super) tries: u32,
    pub(super) retry_at: Instant,
}

/// One incarnation, and how far its reading is.
#[derive(Debug)]
pub(super) struct Followed {
    pub(super) record: KnownFile,
    pub(super) file: Option<File>,
    /// When it was last used, in openings and readings; its place in `Table::open`.
    tick: u64,
    used_at: Instant,
    /// As it was when it was last looked at.
    pub(super) seen: Stamp,
    /// Up to here there is no LF behind the offset.
    pub(super) searched: u64,
    /// Waits in the ready queue.
    pub(super) queued: bool,
    /// The last scan that found it where it is expected.
    pub(super) scan: u32,
    /// Whether it was compared with its record since the start.
    pub(super) proven: bool,
    /// Whether it is a copy, or compressed: what it has at first sight is all.
    pub(super) complete: bool,
    /// When a file that left is done if nothing comes; when a compressed one is quiet.
    pub(super) finish_at: Instant,
    /// When it left its origin.
    pub(super) left_at: Instant,
    /// Since when it is finished and not to be found.
    pub(super) gone_since: Option<Instant>,
    pub(super) trouble: Option<Box<Trouble>>,
}

impl Followed {
    /// As it is now, if it is still there: what its descriptor says, or what lies at its path.
    pub(super) fn stamp(&self) -> io::Result<Option<Stamp>> {
        if let Some(file) = &self.file {
            return Ok(Some(Stamp::of(&file.metadata()?)));
        }
        let there = place_at(&self.record.path)?;
        Ok(there.filter(|(place, _)| place.is(self.record.place())).map(|(_, stamp)| stamp))
    }

    /// Whether what is found at its place may be another file, with an inode that was free: not while it is open,
    /// nor if the inode is known to be as old.
    pub(super) fn is_doubtful(&self, found: &Found, moved: bool) -> bool {
        if self.file.is_some() || self.record.born != 0 && self.record.born == found.place.born {
            return false;
        }
        let stamp = found.stamp;
        let was_empty = self.record.finished && self.record.head.length == 0 && stamp.size > 0;
        let gone = self.gone_since.is_some();
        moved || gone || was_empty || self.record.compressed && self.seen != stamp
    }

    /// Whether it looks otherwise than before; what cannot be looked at is left to the next scan.
    pub(super) fn has_changed(&self) -> bool {
        matches!(self.stamp(), Ok(Some(stamp)) if stamp != self.seen)
    }
}

/// All files of a source.
#[derive(Debug)]
pub(super) struct Table {
    files: BTreeMap<u64, Followed>,
    places: HashMap<(u64, u64), u64>,
    paths: HashMap<Arc<Path>, u64>,
    origins: HashMap<Arc<Path>, Vec<u64>>,
    /// By the path of the origin without what rotation adds to it, if that is another one.
    families: HashMap<PathBuf, BTreeSet<u64>>,
    open: BTreeMap<u64, u64>,
    open_max: usize,
    ticks: u64,
    /// The next free number; shared by all sources of an agent.
    next: Arc<AtomicU64>,
}

impl Table {
    pub(super) fn new(open_max: usize) -> Self {
        Self {
            files: BTreeMap::new(),
            places: HashMap::new(),
            paths: HashMap::new(),
            origins: HashMap::new(),
            families: HashMap::new(),
            open: BTreeMap::new(),
            open_max: open_max.max(1),
            ticks: 0,
            next: Arc::new(AtomicU64::new(1)),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.files.len()
    }

    pub(super) fn get(&self, id: u64) -> Option<&Followed> {
        self.files.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: u64) -> Option<&mut Followed> {
        self.files.get_mut(&id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &Followed)> {
        self.files.iter().map(|(id, followed)| (*id, followed))
    }

    /// The files after `id`, in their order.
    pub(super) fn after(&self, id: u64) -> impl Iterator<Item = (u64, &Followed)> {
        self.files.range(id.saturating_add(1)..).map(|(id, followed)| (*id, followed))
    }

    pub(super) fn at(&self, place: Place) -> Option<u64> {
        let id = *self.places.get(&(place.device, place.inode))?;
        let followed = self.files.get(&id)?;
        followed.record.place().is(place).then_some(id)
    }

    pub(super) fn at_path(&self, path: &Path) -> Option<u64> {
        self.paths.get(path).copied()
    }

    /// The incarnations of one log, oldest first.
    pub(super) fn of_origin(&self, origin: &Path) -> &[u64] {
        self.origins.get(origin).map_or(&[], Vec::as_slice)
    }

    /// Files whose origin differs from `path` in what rotation adds only.
    pub(super) fn of_family(&self, path: &Path) -> Vec<u64> {
        let family = family_path(path).unwrap_or_else(|| path.to_owned());
        let rotated = self.families.get(&family).into_iter().flatten();
        self.of_origin(&family).iter().chain(rotated).copied().collect()
    }

    pub(super) fn newest(&self) -> Option<u64> {
        self.files.last_key_value().map(|(id, _)| *id)
    }

    /// Takes numbers from `next` from here on.
    pub(super) fn number_from(&mut self, next: Arc<AtomicU64>) {
        next.fetch_max(self.next.load(Ordering::Relaxed), Ordering::Relaxed);
        self.next = next;
    }

    /// Numbers from here on are free.
    pub(super) fn reserve(&mut self, id: u64) {
        self.next.fetch_max(id.saturating_add(1), Ordering::Relaxed);
    }

    pub(super) fn add(&mut self, record: KnownFile, now: Instant) -> u64 {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.restore(id, record, now);
        id
    }

    /// Adds one with a number from an earlier run.
    pub(super) fn restore(&mut self, id: u64, record: KnownFile, now: Instant) {
        self.reserve(id);
        let complete = record.compressed;
        match self.origins.entry(record.origin.clone()) {
            Entry::Occupied(entry) => entry.into_mut().push(id),
            Entry::Vacant(entry) => _ = entry.insert(vec![id]),
        }
        if let Some(family) = family_path(&record.origin) {
            self.families.entry(family).or_default().insert(id);
        }
        // Of two that claim one place, the newer is right.
        self.places.insert((record.device, record.inode), id);
        self.paths.insert(record.path.clone(), id);
        let followed = Followed {
            record,
            file: None,
            tick: 0,
            used_at: now,
            seen: Stamp::NEVER,
            searched: 0,
            queued: false,
            scan: 0,
            proven: false,
            complete,
            finish_at: now,
            left_at: now,
            gone_since: None,
            trouble: None,
        };
        self.files.insert(id, followed);
    }

    /// Its place may belong to another from now on.
    pub(super) fn release(&mut self, id: u64) {
        let Some(followed) = self.files.get(&id) else { return };
        let place = (followed.record.device, followed.record.inode);
        if self.places.get(&place) == Some(&id) {
            self.places.remove(&place);
        }
    }

    /// It lies elsewhere now.
    pub(super) fn settle(&mut self, id: u64, place: Place, path: Arc<Path>) {
        self.release(id);
        let Some(followed) = self.files.get_mut(&id) else { return };
        if self.paths.get(&followed.record.path) == Some(&id) {
            self.paths.remove(&followed.record.path);
        }
        followed.record.device = place.device;
        followed.record.inode = place.inode;
        followed.record.born = place.born;
        followed.record.path = path.clone();
        self.places.insert((place.device, place.inode), id);
        self.paths.insert(path, id);
    }

    pub(super) fn remove(&mut self, id: u64) {
        self.close(id);
        self.release(id);
        let Some(followed) = self.files.remove(&id) else { return };
        if self.paths.get(&followed.record.path) == Some(&id) {
            self.paths.remove(&followed.record.path);
        }
        let origin = &followed.record.origin;
        if let Some(ids) = self.origins.get_mut(origin) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.origins.remove(origin);
            }
        }
        if let Some(family) = family_path(origin)
            && let Some(ids) = self.families.get_mut(&family)
        {
            ids.remove(&id);
            if ids.is_empty() {
                self.families.remove(&family);
            }
        }
    }

    /// Keeps `file` open as that of `id`, and closes another one if there are too many.
    pub(super) fn keep_open(&mut self, id: u64, file: File, now: Instant) {
        self.close(id);
        while self.open.len() >= self.open_max {
            // One that was unlinked is given up only if all of the oldest were.
            let oldest = self.open.values().take(16).copied().collect::<Vec<_>>();
            let Some(first) = oldest.first().copied() else { break };
            let victim = oldest.into_iter().find(|id| !self.is_unlinked(*id)).unwrap_or(first);
            self.close(victim);
        }
        let Some(followed) = self.files.get_mut(&id) else { return };
        followed.file = Some(file);
        self.touch(id, now);
    }

    /// It was used.
    pub(super) fn touch(&mut self, id: u64, now: Instant) {
        let Some(followed) = self.files.get_mut(&id).filter(|one| one.file.is_some()) else {
            return;
        };
        self.open.remove(&followed.tick);
        self.ticks += 1;
        followed.tick = self.ticks;
        followed.used_at = now;
        self.open.insert(self.ticks, id);
    }

    pub(super) fn close(&mut self, id: u64) -> Option<File> {
        let followed = self.files.get_mut(&id)?;
        let file = followed.file.take()?;
        self.open.remove(&followed.tick);
        Some(file)
    }

    /// Open files that were not used since `before`, and that can be opened again.
    pub(super) fn idle(&self, before: Instant) -> Vec<u64> {
        let ids = self.open.values().copied();
        let idle = ids.take_while(|id| self.files.get(id).is_some_and(|one| one.used_at <= before));
        idle.filter(|id| self.files.get(id).is_some_and(|one| !one.record.rotated)).collect()
    }

    fn is_unlinked(&self, id: u64) -> bool {
        let file = self.files.get(&id).and_then(|followed| followed.file.as_ref());
        file.and_then(|file| file.metadata().ok()).is_some_and(|about| about.nlink() == 0)
    }
}

fn family_path(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?;
    let family = family(name);
    (family != name).then(|| path.with_file_name(family))
}
