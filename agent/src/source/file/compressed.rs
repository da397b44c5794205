//! Lines out of a compressed file, one such file at a time.
//!
//! It is read once it was quiet for `finish_after`. Positions are those of its content, so going on in the middle
//! means unpacking what is before. What is broken ends the file there: what came before is handed out.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::ops::ControlFlow::{self, Continue};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::identity::{Place, Stamp, open_regular};
use super::read::TURN_BYTES;
use super::rotation::gzip_size;
use super::{FileEvent, FileSource, Notice, Sink};
use crate::lines::{LineReader, decompressed};

/// How much is unpacked at a time to get to a position.
const SKIP_BYTES: u64 = 8 << 20;

/// The compressed file that is being read.
pub(super) struct Unpacking {
    file: u64,
    fault: Fault,
    stage: Stage,
}

enum Stage {
    /// Still before the offset.
    Skipping {
        input: Tolerant,
        left: u64,
    },
    Reading(LineReader<Tolerant>),
}

type Fault = Arc<Mutex<Option<io::Error>>>;

/// Ends where the input is broken, and keeps why.
struct Tolerant {
    input: Box<dyn Read + Send>,
    fault: Fault,
}

impl Read for Tolerant {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self.input.read(into) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                Ok(0)
            }
            other => other,
        }
    }
}

impl fmt::Debug for Unpacking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unpacking").field("file", &self.file).finish_non_exhaustive()
    }
}

impl FileSource {
    /// As [`visit`](Self::visit), for a compressed file.
    pub(super) fn visit_compressed(
        &mut self,
        id: u64,
        now: Instant,
        sink: Sink<'_>,
    ) -> ControlFlow<(), usize> {
        if let Some(other) = self.unpacking.as_ref().map(|unpacking| unpacking.file)
            && other != id
        {
            if self.table.get(other).is_some_and(|followed| !followed.record.finished) {
                self.queue(other);
                self.blocked.insert(id);
                return Continue(0);
            }
            self.unpacking = None;
        }
        if self.unpacking.is_none() {
            match self.begin_unpacking(id, now, sink) {
                Ok(begun) => {
                    if !begun? {
                        return Continue(0);
                    }
                }
                Err(error) => {
                    self.in_trouble(id, error, now, sink)?;
                    return Continue(0);
                }
            }
        }
        self.unpack(id, sink)
    }

    /// Whether there is something to unpack now.
    fn begin_unpacking(
        &mut self,
        id: u64,
        now: Instant,
        sink: Sink<'_>,
    ) -> io::Result<ControlFlow<(), bool>> {
        let finish_at = now + self.settings.finish_after;
        let Some(followed) = self.table.get_mut(id) else { return Ok(Continue(false)) };
        if followed.record.finished {
            return Ok(Continue(false));
        }
        let Some(stamp) = followed.stamp()? else {
            followed.seen = Stamp::NEVER;
            self.scan_wanted = true;
            return Ok(Continue(false));
        };
        if followed.seen != stamp {
            // What was found quiet when it became known has not been seen yet.
            let quiet = followed.seen == Stamp::NEVER && followed.proven;
            followed.seen = stamp;
            followed.finish_at = if quiet { now } else { finish_at };
        }
        self.leaving.insert(id);
        if followed.finish_at > now {
            self.blocked.insert(id);
            return Ok(Continue(false));
        }
        let (file, about) = open_regular(&followed.record.path)?;
        if !Place::of(&about).is(followed.record.place()) {
            self.scan_wanted = true;
            return Ok(Continue(false));
        }
        let offset = followed.record.offset;
        if offset > 0 && is_gzip_of(&file, offset) {
            return Ok(self.finish(id, sink).map_continue(|()| false));
        }
        let fault = Fault::default();
        let input = Tolerant { input: decompressed(file)?, fault: fault.clone() };
        let stage = Stage::Skipping { input, left: offset };
        self.unpacking = Some(Unpacking { file: id, fault, stage });
        Ok(Continue(true))
    }

    fn unpack(&mut self, id: u64, sink: Sink<'_>) -> ControlFlow<(), usize> {
        let Some(unpacking) = self.unpacking.take() else { return Continue(0) };
        let Some(followed) = self.table.get_mut(id) else { return Continue(0) };
        let Unpacking { file, fault, stage } = unpacking;
        let record = &mut followed.record;
        let mut reader = match stage {
            Stage::Reading(reader) => reader,
            Stage::Skipping { mut input, left } => {
                let some = left.min(SKIP_BYTES);
                let skipped = io::copy(&mut (&mut input).take(some), &mut io::sink()).unwrap_or(0);
                let left = left - skipped;
                if left > 0 && skipped == some {
                    let stage = Stage::Skipping { input, left };
                    self.unpacking = Some(Unpacking { file, fault, stage });
                    self.queue(id);
                    return Continue(skipped as usize);
                }
                let (offset, number) = (record.offset - left, record.line_number);
                LineReader::resume(input, Vec::new(), offset, number, record.parts)
            }
        };
        let begin = reader.position();
        let mut ended = false;
        let mut flow = Continue(());
        while flow.is_continue() && reader.position() - begin < TURN_BYTES {
            // Tolerant input has no errors.
            let Ok(Some((line, end))) = reader.next_line_and_end() else {
                ended = true;
                break;
            };
            flow = sink(FileEvent::Line { file: id, line: &line, end });
        }
        let bytes = (reader.position() - begin) as usize;
        record.offset = record.offset.max(reader.position());
        record.line_number = reader.number();
        record.parts = reader.parts();
        let path = record.path.to_path_buf();
        if !ended {
            let stage = Stage::Reading(reader);
            self.unpacking = Some(Unpacking { file, fault, stage });
            self.queue(id);
            flow?;
            return Continue(bytes);
        }
        let error = fault.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(error) = error {
            let at = reader.position();
            sink(FileEvent::Notice(Notice::CompressedDamaged { path, at, error }))?;
        }
        self.finish(id, sink)?;
        Continue(bytes)
    }
}

/// Whether a gzip file says that it holds `size` bytes: then nothing is new, and it need not be unpacked.
fn is_gzip_of(file: &File, size: u64) -> bool {
    let mut magic = [0; 2];
    matches!(super::identity::read_at(file, &mut magic, 0), Ok(2))
        && magic == [0x1f, 0x8b]
        && gzip_size(file) == Some(size as u32)
}
