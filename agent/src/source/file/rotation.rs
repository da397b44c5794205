//! What becomes of a content whose file was cut, or went away: the rest of it may lie under another name, in a
//! copy, or in a compressed file.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::ops::ControlFlow::{self, Continue};
use std::os::unix::fs::DirEntryExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::identity::{
    Head, Place, Stamp, is_compressed_name, is_related, open_regular, place_at, read_at,
    read_decompressed_head, read_head,
};
use super::known::KnownFile;
use super::scan::is_same;
use super::{FileEvent, FileSource, Notice, Sink};

/// A file that holds the content of another.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) path: PathBuf,
    pub(super) place: Place,
    pub(super) stamp: Stamp,
    pub(super) compressed: bool,
}

impl FileSource {
    /// The file of `id` has another content now: cut, or replaced under the same inode. The rest of the old one
    /// may be in a copy; the new one is read from its beginning.
    pub(super) fn began_anew(&mut self, id: u64, now: Instant, sink: Sink<'_>) -> ControlFlow<()> {
        let Some(followed) = self.table.get(id) else { return Continue(()) };
        let old = followed.record.clone();
        let seen = followed.seen.size.max(followed.searched);
        let file = self.table.close(id);
        self.table.release(id);
        let body = self.find_body(&old, true);
        let notice = Notice::Truncated {
            path: old.path.to_path_buf(),
            at: old.offset,
            copy_found: body.is_some(),
            bytes_unread_at_least: if body.is_none() { seen.saturating_sub(old.offset) } else { 0 },
        };
        if !old.finished {
            sink(FileEvent::Notice(notice))?;
        }
        match body {
            Some(body) => self.move_to(id, body, true, now, sink)?,
            None => {
                if let Some(followed) = self.table.get_mut(id) {
                    followed.gone_since = Some(now);
                    followed.record.rotated = true;
                }
                if !old.finished {
                    self.finish(id, sink)?;
                }
            }
        }
        if old.rotated {
            // Under a rotated name, the new content may be a copy as well: the next scan decides.
            self.scan_wanted = true;
            return Continue(());
        }
        let record = KnownFile {
            head: Head::default(),
            offset: 0,
            line_number: 1,
            parts: 0,
            rotated: false,
            finished: false,
            ..old
        };
        self.follow_new(record, file, now, sink)
    }

    /// Adds an incarnation, and lets it be read.
    pub(super) fn follow_new(
        &mut self,
        mut record: KnownFile,
        file: Option<File>,
        now: Instant,
        sink: Sink<'_>,
    ) -> ControlFlow<()> {
        if let Some(head) = file.as_ref().and_then(|file| read_head(file).ok())
            && !record.compressed
        {
            record.head = Head::of(&head);
        }
        if record.origin == record.path {
            record.path = record.origin.clone();
        }
        if let Some(folder) = record.path.parent() {
            self.scan_wanted |= self.watch.add(folder);
        }
        let id = self.table.add(record, now);
        if let Some(followed) = self.table.get_mut(id) {
            followed.proven = true;
            followed.scan = self.scans;
        }
        if let Some(file) = file {
            self.table.keep_open(id, file, now);
        }
        self.queue(id);
        self.known(id, sink)
    }

    /// The content of `id` lies in `body` from now on. `quiet`: that is known to be whole.
    pub(super) fn move_to(
        &mut self,
        id: u64,
        body: Body,
        quiet: bool,
        now: Instant,
        sink: Sink<'_>,
    ) -> ControlFlow<()> {
        self.table.close(id);
        self.candidates.remove(&body.place);
        let head = head_at(&body.path).ok();
        self.table.settle(id, body.place, body.path.into());
        let finish_after = self.settings.finish_after;
        let Some(followed) = self.table.get_mut(id) else { return Continue(()) };
        followed.record.compressed = body.compressed;
        followed.record.rotated = true;
        followed.record.finished = false;
        // It may lack what was read from the original after the copy was made.
        if let Some(head) = head.filter(|head| !followed.record.head.begins(head)) {
            followed.record.head = Head::of(&head);
        }
        if !body.compressed {
            followed.record.offset = followed.record.offset.min(body.stamp.size);
        }
        followed.complete = true;
        followed.proven = true;
        followed.gone_since = None;
        followed.trouble = None;
        followed.seen = body.stamp;
        followed.searched = 0;
        followed.scan = self.scans;
        followed.left_at = now;
        followed.finish_at = if quiet { now } else { now + finish_after };
        self.leaving.insert(id);
        self.queue(id);
        self.known(id, sink)
    }

    /// Looks for a file that holds what `record` does, next to where it was. `cut`: it was copied before it was
    /// cut, so that the copy may be shorter than what was read. The longest one counts: others are older copies.
    pub(super) fn find_body(&self, record: &KnownFile, cut: bool) -> Option<Body> {
        if record.head.length == 0 {
            return None;
        }
        let mut best: Option<Body> = None;
        for (folder, name) in homes(record) {
            let Ok(entries) = std::fs::read_dir(folder) else { continue };
            for entry in entries.flatten() {
                if !is_related(name, &entry.file_name()) {
                    continue;
                }
                let path = entry.path();
                let Ok(Some((place, stamp))) = place_at(&path) else { continue };
                if self.is_taken(place, &path) {
                    continue;
                }
                let Ok(Some(compressed)) = holds(record, &path, stamp, cut) else { continue };
                let rank = |body: &Body| (!body.compressed, body.stamp.size, body.stamp.age());
                let body = Body { path, place, stamp, compressed };
                if best.as_ref().is_none_or(|best| rank(best) < rank(&body)) {
                    best = Some(body);
                }
            }
        }
        best
    }

    /// Whether the file at `path` is that of a known one, and not of another with the inode it had.
    fn is_taken(&self, place: Place, path: &Path) -> bool {
        let owner = self.table.at(place).and_then(|id| self.table.get(id));
        owner.is_some_and(|owner| {
            owner.file.is_some() || owner.record.head.length > 0 && is_same(&owner.record, path)
        })
    }

    /// Where the file of `record` is now, if it was renamed within its folder.
    pub(super) fn find_renamed(&self, record: &KnownFile) -> Option<PathBuf> {
        for (folder, _) in homes(record) {
            let Ok(entries) = std::fs::read_dir(folder) else { continue };
            for entry in entries.flatten().filter(|entry| entry.ino() == record.inode) {
                let path = entry.path();
                if matches!(place_at(&path), Ok(Some((place, _))) if place.is(record.place())) {
                    return Some(path);
                }
            }
        }
        None
    }
}

/// Folders in which the content of a file may be found, with its name there.
fn homes(record: &KnownFile) -> Vec<(&Path, &OsStr)> {
    let mut homes: Vec<(&Path, &OsStr)> = Vec::new();
    for path in [&record.origin, &record.path] {
        if let (Some(folder), Some(name)) = (path.parent(), path.file_name())
            && !homes.contains(&(folder, name))
        {
            homes.push((folder, name));
        }
    }
    homes
}

/// Whether the file at `path` holds what `record` does, and if so, whether compressed.
fn holds(record: &KnownFile, path: &Path, stamp: Stamp, cut: bool) -> io::Result<Option<bool>> {
    let head = head_at(path)?;
    let begins = if cut { record.head.begins_or_cut(&head) } else { record.head.begins(&head) };
    if !begins || is_compressed_name(path) {
        return Ok(begins.then_some(true));
    }
    if stamp.size < record.offset {
        return Ok(cut.then_some(false));
    }
    let mut before = [b'\n'];
    if record.offset > 0 && record.parts == 0 && !record.finished {
        let (file, _) = open_regular(path)?;
        read_at(&file, &mut before, record.offset - 1)?;
    }
    Ok((before == [b'\n']).then_some(false))
}

/// How the content of the file at `path` begins, decompressed if it is named so.
fn head_at(path: &Path) -> io::Result<Vec<u8>> {
    let (file, _) = open_regular(path)?;
    if is_compressed_name(path) { read_decompressed_head(file) } else { read_head(&file) }
}

/// The size of what a gzip file holds, in 32 bits, as its end says; not to be relied on alone.
pub(super) fn gzip_size(file: &File) -> Option<u32> {
    let size = file.metadata().ok()?.len();
    let mut end = [0; 4];
    let read = read_at(file, &mut end, size.checked_sub(4)?).ok()?;
    (read == end.len()).then(|| u32::from_le_bytes(end))
}
