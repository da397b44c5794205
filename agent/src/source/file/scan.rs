//! The full look at what there is: which files are where, which left, and which are new.
//!
//! Only what can be seen is concluded: a file that cannot be looked at, or that was beyond a bound, has not left.

use std::collections::BTreeMap;
use std::io;
use std::ops::ControlFlow::{self, Continue};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::identity::{
    Place, Stamp, is_related, open_regular, place_at, read_decompressed_head, read_head,
};
use super::known::KnownFile;
use super::patterns::{Found, Walked};
use super::read::Look;
use super::{FileEvent, FileSource, Notice, Sink};

/// How long a finished file is remembered that is no longer found: its compressed form may turn up.
const REMEMBER: Duration = Duration::from_secs(3600);

/// At most so many of them.
const REMEMBERED_MAX: usize = 10_000;

impl FileSource {
    /// Looks through all globs.
    pub(super) fn scan(&mut self, now: Instant, sink: Sink<'_>) -> ControlFlow<()> {
        let started = Instant::now();
        self.scans += 1;
        self.scan_wanted = false;
        self.scanned_at = Some(now);
        let walked = self.patterns.walk(self.settings.files_max);
        for folder in &walked.folders {
            // What came before the folder was watched, and after it was listed, is found by another scan.
            self.scan_wanted |= self.watch.add(folder);
        }
        self.tell(&walked, sink)?;
        let unknown = self.recognise(walked.files, now, sink)?;
        self.miss(now, sink)?;
        self.classify(unknown, now, sink)?;
        let scans = self.scans;
        self.told.retain(|_, scan| *scan == scans);
        self.candidates.retain(|_, candidate| candidate.scan == scans);
        self.forget(now, sink)?;
        if let Some(before) = now.checked_sub(self.settings.close_idle) {
            for id in self.table.idle(before) {
                self.table.close(id);
            }
        }
        self.first_start = false;
        self.scan_took = started.elapsed();
        Continue(())
    }

    fn tell(&mut self, walked: &Walked, sink: Sink<'_>) -> ControlFlow<()> {
        for (path, what) in &walked.not_files {
            if self.is_untold(path) {
                let (path, what) = (path.clone(), *what);
                sink(FileEvent::Notice(Notice::NotAFile { path, what }))?;
            }
        }
        for (path, error) in &walked.faults {
            self.unreadable(path, error, sink)?;
        }
        let too_many = walked.too_many || self.table.len() >= self.settings.files_max;
        if too_many && !self.too_many_told {
            let files_max = self.settings.files_max;
            sink(FileEvent::Notice(Notice::TooManyFiles { files_max }))?;
        }
        self.too_many_told = too_many;
        Continue(())
    }

    fn is_untold(&mut self, path: &Path) -> bool {
        self.told.insert(path.to_owned(), self.scans).is_none()
    }

    /// A path that is not followed cannot be read; told once, while it stays so.
    pub(super) fn unreadable(
        &mut self,
        path: &Path,
        error: &io::Error,
        sink: Sink<'_>,
    ) -> ControlFlow<()> {
        if !self.is_untold(path) {
            return Continue(());
        }
        // An error of the system keeps its number, another one its text.
        let error = match error.raw_os_error() {
            Some(number) => io::Error::from_raw_os_error(number),
            None => io::Error::new(error.kind(), error.to_string()),
        };
        sink(FileEvent::Notice(Notice::Unreadable { path: path.to_owned(), error }))
    }

    /// Takes in where known files are; answers with those that are not known.
    fn recognise(
        &mut self,
        files: Vec<Found>,
        now: Instant,
        sink: Sink<'_>,
    ) -> ControlFlow<(), Vec<Found>> {
        let mut unknown = Vec::new();
        let mut elsewhere: BTreeMap<u64, Found> = BTreeMap::new();
        for found in files {
            let Some(id) = self.table.at(found.place) else {
                unknown.push(found);
                continue;
            };
            let Some(followed) = self.table.get(id) else { continue };
            if *found.path == *followed.record.origin {
                if !self.at_origin(id, &found, now, sink)? {
                    unknown.push(found);
                }
            } else if *found.path == *followed.record.path {
                elsewhere.insert(id, found);
            } else {
                elsewhere.entry(id).or_insert(found);
            }
        }
        for (id, found) in elsewhere {
            if self.table.get(id).is_some_and(|followed| followed.scan == self.scans) {
                continue;
            }
            if !self.at_other_path(id, &found, now, sink)? {
                unknown.push(found);
            }
        }
        Continue(unknown)
    }

    /// Whether what is found under the origin of `id` is still its file.
    fn at_origin(
        &mut self,
        id: u64,
        found: &Found,
        now: Instant,
        sink: Sink<'_>,
    ) -> ControlFlow<(), bool> {
        let Some(followed) = self.table.get(id) else { return Continue(false) };
        let back = followed.record.rotated && !followed.record.compressed;
        let doubtful = followed.is_doubtful(found, back);
        if doubtful && !may_be(&followed.record, &found.path) {
            self.table.release(id);
            return Continue(false);
        }
        if back {
            self.table.settle(id, found.place, real(&found.path));
            self.leaving.remove(&id);
        }
        let Some(followed) = self.table.get_mut(id) else { return Continue(false) };
        followed.scan = self.scans;
        followed.gone_since = None;
        if back {
            followed.record.rotated = false;
            followed.record.finished = false;
            followed.complete = false;
            self.known(id, sink)?;
        }
        self.stamped(id, found.stamp, now);
        Continue(true)
    }

    /// Whether what is found under another name than the origin of `id` is its file.
    fn at_other_path(
        &mut self,
        id: u64,
        found: &Found,
        now: Instant,
        sink: Sink<'_>,
    ) -> ControlFlow<(), bool> {
        let Some(followed) = self.table.get(id) else { return Continue(false) };
        let record = &followed.record;
        let mut path = record.path.clone();
        if *found.path != *record.path {
            path = real(&found.path);
        }
        let moved = path != record.path || !record.rotated;
        let doubtful = followed.is_doubtful(found, moved);
        if doubtful && !may_be(record, &found.path) {
            self.table.release(id);
            return Continue(false);
        }
        if moved {
            self.leave(id, now);
            self.table.settle(id, found.place, path);
        }
        let Some(followed) = self.table.get_mut(id) else { return Continue(false) };
        followed.scan = self.scans;
        followed.gone_since = None;
        if !followed.record.finished {
            self.leaving.insert(id);
        }
        if moved {
            self.known(id, sink)?;
        }
        self.stamped(id, found.stamp, now);
        Continue(true)
    }

    /// It is no longer under its origin.
    fn leave(&mut self, id: u64, now: Instant) {
        let finish_at = now + self.settings.finish_after;
        let Some(followed) = self.table.get_mut(id) else { return };
        if followed.record.rotated {
            return;
        }
        followed.record.rotated = true;
        followed.left_at = now;
        followed.finish_at = finish_at;
        if !followed.record.finished {
            self.leaving.insert(id);
        }
        self.queue(id);
    }

    /// Lets a file be visited if it looks otherwise than before.
    fn stamped(&mut self, id: u64, stamp: Stamp, now: Instant) {
        let finish_at = now + self.settings.finish_after;
        let Some(followed) = self.table.get_mut(id).filter(|one| one.seen != stamp) else { return };
        let record = &mut followed.record;
        if record.finished && record.compressed {
            if std::mem::replace(&mut followed.seen, stamp) == Stamp::NEVER {
                return;
            }
            // It was not whole yet when it was read.
            record.finished = false;
            followed.finish_at = finish_at;
            self.leaving.insert(id);
        }
        self.queue(id);
    }

    /// Sees to known files that no glob led to.
    fn miss(&mut self, now: Instant, sink: Sink<'_>) -> ControlFlow<()> {
        let scans = self.scans;
        let missed = self.table.iter().filter(|(_, followed)| followed.scan != scans);
        let missed: Vec<u64> = missed.map(|(id, _)| id).collect();
        for id in missed {
            let Some(followed) = self.table.get_mut(id) else { continue };
            if followed.record.finished {
                followed.gone_since.get_or_insert(now);
                continue;
            }
            let record = followed.record.clone();
            if !record.rotated {
                match place_at(&record.origin) {
                    Ok(Some((place, stamp))) if self.table.at(place) == Some(id) => {
                        self.stamped(id, stamp, now);
                        continue;
                    }
                    Ok(_) if self.was_cut(id, now) => {
                        // What it holds now left as well, which the next scan finds; nothing else leads to it.
                        self.scan_wanted = true;
                        self.began_anew(id, now, sink)?;
                        continue;
                    }
                    Ok(_) => self.left(id, &record, now, sink)?,
                    // Nothing can be said of it.
                    Err(_) => continue,
                }
            }
            if self.table.get(id).is_some_and(|followed| followed.file.is_none()) {
                self.locate(id, now, sink)?;
            }
        }
        Continue(())
    }

    /// Whether an open file has another content now.
    fn was_cut(&mut self, id: u64, now: Instant) -> bool {
        let is_open = self.table.get(id).is_some_and(|followed| followed.file.is_some());
        is_open && matches!(self.look(id, now), Ok(Look::Anew))
    }

    /// A file left its origin. If it is open, it is read on under any name; the name is for the next start.
    fn left(
        &mut self,
        id: u64,
        record: &KnownFile,
        now: Instant,
        sink: Sink<'_>,
    ) -> ControlFlow<()> {
        self.leave(id, now);
        if self.table.get(id).is_none_or(|followed| followed.file.is_none()) {
            return Continue(());
        }
        if let Some(path) = self.find_renamed(record) {
            self.table.settle(id, record.place(), path.into());
        }
        self.known(id, sink)
    }

    /// Looks for a file that is not open and not where it was expected.
    fn locate(&mut self, id: u64, now: Instant, sink: Sink<'_>) -> ControlFlow<()> {
        let Some(followed) = self.table.get(id) else { return Continue(()) };
        let record = followed.record.clone();
        let unread = followed.seen == Stamp::NEVER || followed.seen.size > record.offset;
        self.leaving.insert(id);
        match place_at(&record.path) {
            Ok(Some((place, stamp))) if self.table.at(place) == Some(id) => {
                self.stamped(id, stamp, now);
                return Continue(());
            }
            Ok(_) => {}
            Err(_) => return Continue(()),
        }
        let renamed = self.find_renamed(&record).filter(|path| may_be(&record, path));
        if let Some(path) = renamed {
            self.table.settle(id, record.place(), path.into());
            self.queue(id);
            return self.known(id, sink);
        }
        self.table.release(id);
        if let Some(body) = self.find_body(&record, false) {
            return self.move_to(id, body, false, now, sink);
        }
        if let Some(followed) = self.table.get_mut(id) {
            followed.gone_since = Some(now);
        }
        if unread {
            let path = record.path.to_path_buf();
            sink(FileEvent::Notice(Notice::Vanished { path, read_to: record.offset }))?;
        }
        self.finish(id, sink)
    }

    /// Forgets finished files that were not found for long. The one with the highest number stays, so that after
    /// a restart no number is given twice.
    fn forget(&mut self, now: Instant, sink: Sink<'_>) -> ControlFlow<()> {
        let newest = self.table.newest();
        let gone = self.table.iter().filter(|(id, _)| Some(*id) != newest);
        let mut gone: Vec<_> = gone.filter_map(|(id, one)| Some((one.gone_since?, id))).collect();
        gone.sort_unstable();
        let surplus = gone.len().saturating_sub(REMEMBERED_MAX);
        for (at, (since, id)) in gone.into_iter().enumerate() {
            if at < surplus || now.saturating_duration_since(since) >= REMEMBER {
                self.table.remove(id);
                sink(FileEvent::Forgotten { file: id })?;
            }
        }
        Continue(())
    }
}

/// The path with its links resolved.
pub(super) fn real(path: &Path) -> Arc<Path> {
    std::fs::canonicalize(path).map_or_else(|_| path.into(), Into::into)
}

/// As [`is_same`], for a file that has another name now. An empty one says nothing of what it is, so its name has
/// to be a likely one.
fn may_be(record: &KnownFile, path: &Path) -> bool {
    if record.head.length > 0 || record.compressed {
        return is_same(record, path);
    }
    let names = record.path.file_name().zip(path.file_name());
    !record.finished && names.is_some_and(|(before, now)| before == now || is_related(before, now))
}

/// Whether the file at `path` holds what `record` does; not being able to tell is a yes.
pub(super) fn is_same(record: &KnownFile, path: &Path) -> bool {
    let Ok((file, about)) = open_regular(path) else { return true };
    if !Place::of(&about).is(record.place()) {
        return false;
    }
    let head = if record.compressed { read_decompressed_head(file) } else { read_head(&file) };
    // A copy may lack what was read from its original.
    let long_enough = record.compressed || record.rotated || about.len() >= record.offset;
    head.map_or(true, |head| long_enough && record.head.begins(&head))
}
