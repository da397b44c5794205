//! Lines out of a plain file.
//!
//! Each piece that is read is believed only if the file still begins as it did *after* the piece was read: so
//! what was written after a file was cut is never taken for the rest of what it held before.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read};
use std::ops::ControlFlow::{self, Continue};
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use super::identity::{
    HEAD_BYTES, Head, Place, Stamp, is_absent, open_regular, read_at, read_head,
};
use super::known::KnownFile;
use super::table::{Followed, Trouble};
use super::{FileEvent, FileSource, Notice, Sink};
use crate::lines::{LINE_BYTES_MAX, LineReader};

/// How much of a file is handed out before it is the next one's turn.
pub(super) const TURN_BYTES: u64 = 256 << 10;

/// An unfinished line that is longer is not read again before it has an end.
const SEARCH_BYTES: u64 = 64 << 10;

/// How long a file that cannot be read is left alone at most.
const RETRY_MAX: Duration = Duration::from_secs(60);

/// What a look at a file showed.
#[derive(Debug)]
pub(super) enum Look {
    /// It is the one it was, and stands so.
    Same(Stamp),
    /// It does not begin as it did, or is shorter than what was read.
    Anew,
    /// It is not at its path.
    Absent,
}

/// How a reading ended.
enum End {
    /// There is no more, for now.
    Empty,
    /// It is another file's turn.
    Turn,
    /// The file began anew meanwhile.
    Anew,
    /// It cannot be read; that was told.
    Trouble,
}

impl FileSource {
    /// Reads a piece of a file; answers how many bytes were handed out.
    pub(super) fn visit(
        &mut self,
        id: u64,
        now: Instant,
        sink: Sink<'_>,
    ) -> ControlFlow<(), usize> {
        let Some(followed) = self.table.get(id) else { return Continue(0) };
        let resting = followed.trouble.as_ref().is_some_and(|trouble| trouble.retry_at > now);
        if resting || self.has_to_wait(id, now) {
            self.blocked.insert(id);
            return Continue(0);
        }
        let Some(followed) = self.table.get(id) else { return Continue(0) };
        if followed.record.compressed {
            return self.visit_compressed(id, now, sink);
        }
        match self.look(id, now) {
            Ok(Look::Same(stamp)) => self.visit_same(id, stamp, now, sink),
            Ok(Look::Anew) => {
                self.began_anew(id, now, sink)?;
                Continue(0)
            }
            Ok(Look::Absent) => {
                // The next scan knows where it went.
                self.scan_wanted = true;
                if let Some(followed) = self.table.get_mut(id) {
                    followed.seen = Stamp::NEVER;
                }
                Continue(0)
            }
            Err(error) => {
                self.in_trouble(id, error, now, sink)?;
                Continue(0)
            }
        }
    }

    /// Whether an older incarnation of the same log has lines that come first. Of one that is at its end an
    /// unfinished line is waited for, but not for ever.
    fn has_to_wait(&mut self, id: u64, now: Instant) -> bool {
        let Some(followed) = self.table.get(id) else { return false };
        let origin = followed.record.origin.clone();
        if self.table.of_origin(&origin).len() < 2 {
            return false;
        }
        let mut unread = None;
        for older in self.table.of_origin(&origin).iter().take_while(|older| **older < id) {
            let Some(one) = self.table.get(*older).filter(|one| !one.record.finished) else {
                continue;
            };
            if one.record.compressed {
                unread = Some(*older);
                break;
            }
            let Ok(Some(stamp)) = one.stamp() else { continue };
            let unfinished = stamp.size == one.searched && stamp == one.seen;
            if stamp.size == one.record.offset || one.trouble.is_some() {
                continue;
            }
            let done = one.finish_at <= now;
            if unfinished && !done && now >= one.left_at + self.settings.finish_after {
                continue;
            }
            unread = Some(*older);
            if !unfinished || done {
                self.queue(*older);
            }
            break;
        }
        unread.is_some()
    }

    /// Opens the file if it is not open, and sees whether it is what is known of it.
    pub(super) fn look(&mut self, id: u64, now: Instant) -> io::Result<Look> {
        let Some(followed) = self.table.get(id) else { return Ok(Look::Absent) };
        if followed.file.is_none() {
            let (file, about) = match open_regular(&followed.record.path) {
                Ok(opened) => opened,
                Err(error) if is_absent(&error) => return Ok(Look::Absent),
                Err(error) => return Err(error),
            };
            if !Place::of(&about).is(followed.record.place()) {
                return Ok(Look::Absent);
            }
            self.table.keep_open(id, file, now);
        }
        self.table.touch(id, now);
        let Some(followed) = self.table.get_mut(id) else { return Ok(Look::Absent) };
        let Some(file) = &followed.file else { return Ok(Look::Absent) };
        let stamp = Stamp::of(&file.metadata()?);
        if followed.record.compressed {
            return Ok(Look::Same(stamp));
        }
        let head = read_head(file)?;
        let record = &mut followed.record;
        let shorter = stamp.size < record.offset.max(record.head.length.into());
        if record.rotated && shorter && record.head.begins_or_cut(&head) {
            // A copy that lacks what was read from the original after it was made.
            record.offset = record.offset.min(stamp.size);
            record.head = Head::of(&head);
            followed.proven = true;
            return Ok(Look::Same(stamp));
        }
        if stamp.size < record.offset || !record.head.begins(&head) {
            return Ok(Look::Anew);
        }
        if !followed.proven && !record.rotated && !ends_a_line(record, file)? {
            return Ok(Look::Anew);
        }
        followed.proven = true;
        Ok(Look::Same(stamp))
    }

    fn visit_same(
        &mut self,
        id: u64,
        stamp: Stamp,
        now: Instant,
        sink: Sink<'_>,
    ) -> ControlFlow<(), usize> {
        let finish_after = self.settings.finish_after;
        let Some(followed) = self.table.get_mut(id) else { return Continue(0) };
        followed.trouble = None;
        let grown = followed.seen != stamp;
        followed.seen = stamp;
        if followed.record.finished {
            if stamp.size <= followed.record.offset {
                self.table.close(id);
                return Continue(0);
            }
            if followed.record.head.length == 0 && followed.record.born == 0 {
                // It was empty, so this may be anything.
                self.table.close(id);
                self.table.release(id);
                self.scan_wanted = true;
                return Continue(0);
            }
            followed.record.finished = false;
            followed.finish_at = now + finish_after;
            self.leaving.insert(id);
            self.known(id, sink)?;
        }
        self.grow_head(id, stamp.size, sink)?;
        let Some(followed) = self.table.get_mut(id) else { return Continue(0) };
        if grown && !followed.complete {
            followed.finish_at = followed.finish_at.max(now + finish_after);
        }
        let left = followed.record.rotated;
        let last = left && (followed.complete || followed.finish_at <= now);
        if !last && is_still_unfinished(followed, stamp, &mut self.buffer) {
            return Continue(0);
        }
        let begin = followed.record.offset;
        let end = self.read_lines(id, last, now, sink)?;
        let Some(followed) = self.table.get_mut(id) else { return Continue(0) };
        let bytes = (followed.record.offset - begin) as usize;
        match end {
            End::Turn => self.queue(id),
            End::Anew => self.began_anew(id, now, sink)?,
            End::Empty if last => self.finish(id, sink)?,
            End::Empty if left => self.release_blocked(),
            End::Empty | End::Trouble => {}
        }
        Continue(bytes)
    }

    /// Those that wait for an older file are visited in this turn still.
    pub(super) fn release_blocked(&mut self) {
        for id in std::mem::take(&mut self.blocked) {
            self.queue(id);
        }
    }

    /// Takes in more of how a short file begins, now that it is longer.
    pub(super) fn grow_head(&mut self, id: u64, size: u64, sink: Sink<'_>) -> ControlFlow<()> {
        let Some(followed) = self.table.get_mut(id) else { return Continue(()) };
        let record = &mut followed.record;
        if record.head.length as usize >= HEAD_BYTES || size <= record.head.length.into() {
            return Continue(());
        }
        let head = followed.file.as_ref().and_then(|file| read_head(file).ok());
        // If it began anew since the look, reading will find out.
        if let Some(head) = head.filter(|head| record.head.begins(head)) {
            record.head = Head::of(&head);
            self.known(id, sink)?;
        }
        Continue(())
    }

    fn read_lines(
        &mut self,
        id: u64,
        last: bool,
        now: Instant,
        sink: Sink<'_>,
    ) -> ControlFlow<(), End> {
        let Some(followed) = self.table.get_mut(id) else { return Continue(End::Empty) };
        let Some(file) = &followed.file else { return Continue(End::Turn) };
        let record = &mut followed.record;
        let begin = record.offset;
        let (limited, anew) = (Cell::new(false), Cell::new(false));
        let mut room = TURN_BYTES;
        let outcome = loop {
            let input = Input {
                file,
                head: &record.head,
                position: begin,
                end: begin + room,
                limited: &limited,
                anew: &anew,
            };
            let buffer = std::mem::take(&mut self.buffer);
            let (number, parts) = (record.line_number, record.parts);
            let mut reader = LineReader::resume(input, buffer, begin, number, parts).follow(true);
            let mut outcome = hand_out(id, &mut reader, begin + TURN_BYTES, sink);
            followed.searched = reader.position() + reader.unfinished_bytes() as u64;
            if last && !limited.get() && matches!(outcome, Ok(Continue(true))) {
                reader = reader.follow(false);
                outcome = hand_out(id, &mut reader, u64::MAX, sink);
            }
            (record.offset, record.line_number, record.parts) =
                (reader.position(), reader.number(), reader.parts());
            self.buffer = reader.into_buffer();
            if outcome.is_err() || !limited.get() || record.offset > begin || room > TURN_BYTES {
                break outcome;
            }
            // One line is longer than what is read at a time.
            room += LINE_BYTES_MAX as u64;
            limited.set(false);
        };
        match outcome {
            Ok(flow) => {
                let empty = |empty| if empty && !limited.get() { End::Empty } else { End::Turn };
                flow.map_continue(empty)
            }
            Err(_) if anew.get() => Continue(End::Anew),
            Err(error) => {
                self.in_trouble(id, error, now, sink)?;
                Continue(End::Trouble)
            }
        }
    }

    /// Nothing more is expected of it.
    pub(super) fn finish(&mut self, id: u64, sink: Sink<'_>) -> ControlFlow<()> {
        self.table.close(id);
        self.leaving.remove(&id);
        if let Some(followed) = self.table.get_mut(id) {
            followed.record.finished = true;
            followed.trouble = None;
        }
        self.release_blocked();
        sink(FileEvent::Finished { file: id })
    }

    /// It cannot be read; it is tried again, less and less often.
    pub(super) fn in_trouble(
        &mut self,
        id: u64,
        error: io::Error,
        now: Instant,
        sink: Sink<'_>,
    ) -> ControlFlow<()> {
        // A descriptor may have gone stale; the path may lead to a good one.
        let unlinked = self.table.get(id).is_some_and(|followed| followed.record.rotated);
        if !unlinked {
            self.table.close(id);
        }
        let Some(followed) = self.table.get_mut(id) else { return Continue(()) };
        let message = error.to_string();
        let before = followed.trouble.take();
        let tries = before.as_ref().map_or(0, |trouble| trouble.tries.saturating_add(1));
        let pause = Duration::from_secs(1 << tries.min(6)).min(RETRY_MAX);
        let told = before.is_some();
        followed.trouble = Some(Box::new(Trouble { message, tries, retry_at: now + pause }));
        let path = followed.record.path.to_path_buf();
        self.blocked.insert(id);
        if told {
            return Continue(());
        }
        sink(FileEvent::Notice(Notice::Unreadable { path, error }))
    }
}

/// Hands out lines until there is none, or one ends beyond `until`; whether there is none.
fn hand_out<R: Read>(
    id: u64,
    reader: &mut LineReader<R>,
    until: u64,
    sink: Sink<'_>,
) -> io::Result<ControlFlow<(), bool>> {
    while reader.position() < until {
        let Some((line, end)) = reader.next_line_and_end()? else {
            return Ok(Continue(true));
        };
        if sink(FileEvent::Line { file: id, line: &line, end }).is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(Continue(false))
}

/// Whether the byte before the offset ends a line, where it should.
fn ends_a_line(record: &KnownFile, file: &File) -> io::Result<bool> {
    if record.offset == 0 || record.parts > 0 {
        return Ok(true);
    }
    let mut byte = [0];
    Ok(read_at(file, &mut byte, record.offset - 1)? == 1 && byte[0] == b'\n')
}

/// Whether a long last line that had no end still has none, and can wait: only what is new is looked at, so that
/// a long line that comes in many pieces is not read once for each.
fn is_still_unfinished(followed: &mut Followed, stamp: Stamp, buffer: &mut Vec<u8>) -> bool {
    let begin = followed.record.offset;
    let searched = followed.searched;
    if searched < begin + SEARCH_BYTES
        || searched > stamp.size
        || stamp.size - begin > LINE_BYTES_MAX as u64
    {
        return false;
    }
    let Some(file) = &followed.file else { return false };
    let length = (stamp.size - searched) as usize;
    if buffer.len() < length {
        buffer.resize(length, 0);
    }
    let Ok(read) = read_at(file, &mut buffer[..length], searched) else { return false };
    let found = memchr::memchr(b'\n', &buffer[..read]).is_some();
    if !found {
        followed.searched = searched + read as u64;
    }
    !found
}

/// A piece of a file, up to `end`.
struct Input<'a> {
    file: &'a File,
    head: &'a Head,
    position: u64,
    end: u64,
    /// Set if there may be more behind `end`.
    limited: &'a Cell<bool>,
    /// Set if the file does not begin as it did.
    anew: &'a Cell<bool>,
}

impl Read for Input<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let room = (self.end - self.position).min(into.len() as u64) as usize;
        if room == 0 && !into.is_empty() {
            self.limited.set(true);
        }
        let read = self.file.read_at(&mut into[..room], self.position)?;
        if read > 0 {
            let mut head = [0; HEAD_BYTES];
            let head = &mut head[..self.head.length as usize];
            let length = read_at(self.file, head, 0)?;
            if !self.head.begins(&head[..length]) {
                self.anew.set(true);
                return Err(io::Error::other("the file began anew"));
            }
        }
        self.position += read as u64;
        Ok(read)
    }
}
