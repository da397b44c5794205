//! What a file is that is not known: a new log, or a copy of a known one.
//!
//! A copy that is made to cut the original afterwards, and a compressed one that replaces it, must not be read as
//! new. So a file that holds the same as a known one under a related name is held back, a *candidate*, while the
//! known one is there; once that was cut or went away, the candidate is what is left of it.

use std::fs::File;
use std::io;
use std::ops::ControlFlow::{self, Continue};
use std::path::Path;
use std::time::Instant;

use super::identity::{
    HEAD_BYTES, Head, Place, Stamp, is_compressed_name, open_regular, originals, read_at,
    read_decompressed_head, read_head,
};
use super::known::KnownFile;
use super::patterns::Found;
use super::read::Look;
use super::rotation::Body;
use super::scan::real;
use super::settings::StartAt;
use super::{FileSource, Sink};
use crate::lines::LINE_BYTES_MAX;

/// A file that is held back.
#[derive(Debug)]
pub(super) struct Candidate {
    stamp: Stamp,
    /// Since when it looks like that.
    since: Instant,
    /// What it is a copy of, and where that was.
    of: Option<(u64, Place)>,
    /// The last scan that found it.
    pub(super) scan: u32,
    /// Whether it existed when nothing had ever been read.
    old: bool,
}

/// What a file is to a known one.
enum Kinship {
    /// It holds the same.
    Copy,
    /// The known one is no longer there, and it holds what is left.
    Rest,
    /// The known one was cut.
    Cut,
    None,
}

impl FileSource {
    pub(super) fn classify(
        &mut self,
        unknown: Vec<Found>,
        now: Instant,
        sink: Sink<'_>,
    ) -> ControlFlow<()> {
        for found in unknown {
            // A second name of one that has become known.
            if self.table.at(found.place).is_some() {
                continue;
            }
            if self.is_still_held(&found) || self.table.len() >= self.settings.files_max {
                continue;
            }
            let path = found.path.clone();
            let flow = if is_compressed_name(&path) {
                self.classify_compressed(found, now, sink)
            } else {
                self.classify_plain(found, now, sink)
            };
            match flow {
                Ok(flow) => flow?,
                Err(error) if super::identity::is_absent(&error) => {}
                Err(error) => self.unreadable(&path, &error, sink)?,
            }
        }
        Continue(())
    }

    /// Whether nothing has changed for a file that was held back.
    fn is_still_held(&mut self, found: &Found) -> bool {
        let Some(candidate) = self.candidates.get(&found.place) else { return false };
        let Some((id, place)) = candidate.of else { return false };
        let held = candidate.stamp == found.stamp
            && self.table.get(id).is_some_and(|of| of.record.place().is(place))
            && self.is_present(id);
        if held {
            self.hold(found, Some(id), candidate.since);
        }
        held
    }

    /// Whether the file of `id` is still to be found.
    fn is_present(&self, id: u64) -> bool {
        let Some(followed) = self.table.get(id) else { return false };
        self.table.at(followed.record.place()) == Some(id)
            && (followed.file.is_some() || !matches!(followed.stamp(), Ok(None)))
    }

    fn hold(&mut self, found: &Found, of: Option<u64>, now: Instant) {
        let of = of.and_then(|id| Some((id, self.table.get(id)?.record.place())));
        let before = self.candidates.get(&found.place);
        let since = before.filter(|one| one.stamp == found.stamp).map_or(now, |one| one.since);
        let old = before.map_or(self.first_start, |one| one.old);
        let candidate = Candidate { stamp: found.stamp, since, of, scan: self.scans, old };
        self.candidates.insert(found.place, candidate);
    }

    /// Known files of which one at `path` may be a copy, newest first.
    fn relatives(&self, path: &Path) -> Vec<u64> {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return Vec::new();
        };
        let mut ids = Vec::new();
        for original in originals(name) {
            ids.extend_from_slice(self.table.of_origin(&folder.join(original)));
        }
        ids.sort_unstable_by(|one, other| other.cmp(one));
        ids.dedup();
        ids
    }

    fn classify_plain(
        &mut self,
        found: Found,
        now: Instant,
        sink: Sink<'_>,
    ) -> io::Result<ControlFlow<()>> {
        let (file, about) = open_regular(&found.path)?;
        if !Place::of(&about).is(found.place) {
            self.scan_wanted = true;
            return Ok(Continue(()));
        }
        let size = about.len();
        let relatives = self.relatives(&found.path);
        if size == 0 && !relatives.is_empty() {
            // A copy that is about to be made looks like that, too.
            self.hold(&found, None, now);
            return Ok(Continue(()));
        }
        let head = read_head(&file)?;
        for id in relatives {
            match self.kinship(id, &file, &head, size, now)? {
                Kinship::None => {}
                Kinship::Copy => {
                    self.hold(&found, Some(id), now);
                    // If the original is cut now, that has to show in what is known of it.
                    return Ok(match self.look(id, now)? {
                        Look::Same(stamp) => self.grow_head(id, stamp.size, sink),
                        Look::Anew | Look::Absent => Continue(()),
                    });
                }
                Kinship::Rest => {
                    let (path, place) = (real(&found.path).to_path_buf(), found.place);
                    let body = Body { path, place, stamp: Stamp::of(&about), compressed: false };
                    return Ok(self.move_to(id, body, true, now, sink));
                }
                Kinship::Cut => {
                    let flow = self.began_anew(id, now, sink);
                    if self.table.at(found.place).is_none() {
                        // It may be a second copy, or have been compressed meanwhile: the next scan knows what of the
                        // cut content lies where.
                        self.hold(&found, None, now);
                        self.scan_wanted = true;
                    }
                    return Ok(flow);
                }
            }
        }
        let old = self.candidates.remove(&found.place).map_or(self.first_start, |one| one.old);
        let at_end = old && self.settings.start_at == StartAt::End;
        let (offset, parts) = if at_end { last_line_end(&file, size)? } else { (0, 0) };
        let record = KnownFile {
            origin: found.path.as_path().into(),
            path: real(&found.path),
            device: found.place.device,
            inode: found.place.inode,
            born: found.place.born,
            head: Head::of(&head),
            offset,
            line_number: 1,
            parts,
            compressed: false,
            rotated: false,
            finished: false,
        };
        Ok(self.follow_new(record, Some(file), now, sink))
    }

    fn kinship(
        &mut self,
        id: u64,
        file: &File,
        head: &[u8],
        size: u64,
        now: Instant,
    ) -> io::Result<Kinship> {
        let present = self.is_present(id);
        let Some(followed) = self.table.get(id) else { return Ok(Kinship::None) };
        let record = &followed.record;
        let begins = record.head.length > 0 && record.head.begins(head);
        if !present {
            let rest = begins && size >= record.offset;
            return Ok(if rest { Kinship::Rest } else { Kinship::None });
        }
        if record.compressed {
            return Ok(if begins { Kinship::Copy } else { Kinship::None });
        }
        let opened;
        let original = match &followed.file {
            Some(original) => original,
            None => {
                opened = open_regular(&record.path)?.0;
                &opened
            }
        };
        if is_copy(file, size, original)? {
            return Ok(Kinship::Copy);
        }
        // It may be one of what the original held before it was cut.
        Ok(match self.look(id, now)? {
            Look::Anew => Kinship::Cut,
            Look::Same(_) | Look::Absent => Kinship::None,
        })
    }

    fn classify_compressed(
        &mut self,
        found: Found,
        now: Instant,
        sink: Sink<'_>,
    ) -> io::Result<ControlFlow<()>> {
        let mut record = KnownFile {
            origin: found.path.as_path().into(),
            path: real(&found.path),
            device: found.place.device,
            inode: found.place.inode,
            born: found.place.born,
            head: Head::default(),
            offset: 0,
            line_number: 1,
            parts: 0,
            compressed: true,
            rotated: true,
            finished: false,
        };
        if self.first_start && self.settings.start_at == StartAt::End {
            record.finished = true;
            return Ok(self.follow_new(record, None, now, sink));
        }
        self.hold(&found, None, now);
        let since = self.candidates.get(&found.place).map_or(now, |candidate| candidate.since);
        if now.saturating_duration_since(since) < self.settings.finish_after {
            return Ok(Continue(()));
        }
        let (file, _) = open_regular(&found.path)?;
        let head = read_decompressed_head(file)?;
        let mut rest = None;
        let mut relatives = self.relatives(&found.path);
        relatives.extend(self.table.of_family(&found.path));
        for id in relatives {
            let Some(followed) = self.table.get(id) else { continue };
            let known = &followed.record;
            if known.head.length == 0 || !known.head.begins(&head) {
                continue;
            }
            if self.is_present(id) || !known.finished {
                self.hold(&found, Some(id), now);
                return Ok(Continue(()));
            }
            rest.get_or_insert(id);
        }
        self.candidates.remove(&found.place);
        if let Some(id) = rest {
            let path = record.path.to_path_buf();
            let body = Body { path, place: found.place, stamp: found.stamp, compressed: true };
            return Ok(self.move_to(id, body, true, now, sink));
        }
        record.head = Head::of(&head);
        Ok(self.follow_new(record, None, now, sink))
    }
}

/// Whether what `copy` holds is how `original` begins; its first and last 1,024 bytes are compared.
fn is_copy(copy: &File, size: u64, original: &File) -> io::Result<bool> {
    if size == 0 || size > original.metadata()?.len() {
        return Ok(false);
    }
    let (mut one, mut other) = ([0; HEAD_BYTES], [0; HEAD_BYTES]);
    for offset in [0, size.saturating_sub(HEAD_BYTES as u64)] {
        let length = size.min(HEAD_BYTES as u64) as usize;
        let read = read_at(copy, &mut one[..length], offset)?;
        if read != read_at(original, &mut other[..length], offset)? || one[..read] != other[..read]
        {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Where the last line ends; where there is none near the end, reading begins in the middle of one, as if its
/// first part had been handed out.
fn last_line_end(file: &File, size: u64) -> io::Result<(u64, u32)> {
    let mut buffer = vec![0; (64 << 10).min(size as usize)];
    let mut end = size;
    while end > 0 && size - end < LINE_BYTES_MAX as u64 {
        let begin = end.saturating_sub(buffer.len() as u64);
        let piece = &mut buffer[..(end - begin) as usize];
        let read = read_at(file, piece, begin)?;
        if let Some(at) = memchr::memrchr(b'\n', &piece[..read]) {
            return Ok((begin + at as u64 + 1, 0));
        }
        end = begin;
    }
    Ok(if end == 0 { (0, 0) } else { (size, 1) })
}
