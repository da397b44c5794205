//! What a file source hands out.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Instant;

use super::known::KnownFile;
use super::table::Followed;
use crate::lines::Line;

/// Something that the caller has to take, in this order.
#[derive(Debug)]
pub enum FileEvent<'a> {
    /// A new incarnation, or one of which something else than the offset changed: to be stored with the next
    /// durable batch. Of a file that the caller knows already it keeps its own offset, line number and parts,
    /// unless `record.offset` is smaller.
    Known {
        /// Its number, unique within the source for ever.
        file: u64,
        /// What is to be stored; its offset is what was handed out.
        record: &'a KnownFile,
    },
    /// The next line of a file.
    Line {
        /// Which file.
        file: u64,
        /// What it says.
        line: &'a Line<'a>,
        /// The position behind it.
        end: u64,
    },
    /// It was read to its end, and nothing more is expected. Should it be written to after all, `Known` and lines
    /// follow.
    Finished {
        /// Which file.
        file: u64,
    },
    /// Its record is not needed any more.
    Forgotten {
        /// Which file.
        file: u64,
    },
    /// What a person should be told, once for each occasion.
    Notice(Notice),
}

/// What a person should be told of.
#[derive(Debug)]
pub enum Notice {
    /// A file was cut, or replaced in place; its new content is read from the beginning. What was written after
    /// it was copied and before it was cut cannot be known.
    Truncated {
        /// Which file.
        path: PathBuf,
        /// Up to where its old content had been read.
        at: u64,
        /// Whether a copy of the old content was found, whose rest is read.
        copy_found: bool,
        /// How much of the old content was seen and can no longer be read.
        bytes_unread_at_least: u64,
    },
    /// A file is no longer there, and may have had more to read.
    Vanished {
        /// Where it was.
        path: PathBuf,
        /// Up to where it was read.
        read_to: u64,
    },
    /// A file or folder cannot be read; it is tried again.
    Unreadable {
        /// Which one.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A glob matches something that is no file; it is left alone.
    NotAFile {
        /// Where it is.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// There are more files than may be followed.
    TooManyFiles {
        /// How many may be.
        files_max: usize,
    },
    /// A compressed file is broken; what could be read was handed out.
    CompressedDamaged {
        /// Which file.
        path: PathBuf,
        /// How much of its content could be read.
        at: u64,
        /// What is wrong.
        error: io::Error,
    },
    /// The system does not tell when files change, so they are looked at each second.
    Polled {
        /// Why.
        error: io::Error,
    },
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated { path, at, copy_found: true, .. } => write!(
                f,
                "{} was cut after a copy was made; the copy is read on from byte {at}, lines written in between \
                 are lost",
                path.display()
            ),
            Self::Truncated { path, at, bytes_unread_at_least, .. } => write!(
                f,
                "{} was cut or replaced after byte {at} was read, at least {bytes_unread_at_least} bytes were not; \
                 rotate by renaming to lose nothing",
                path.display()
            ),
            Self::Vanished { path, read_to } => write!(
                f,
                "{} is gone, it was read up to byte {read_to}; keep rotated files until they are read",
                path.display()
            ),
            Self::Unreadable { path, error } => {
                write!(f, "{} cannot be read and is tried again: {error}", path.display())
            }
            Self::NotAFile { path, what } => write!(
                f,
                "{} is a {what} and is left alone; exclude it, or name it as another kind of source",
                path.display()
            ),
            Self::TooManyFiles { files_max } => write!(
                f,
                "more than {files_max} files match, the others are not read; narrow the globs or raise files_max"
            ),
            Self::CompressedDamaged { path, at, error } => write!(
                f,
                "{} is damaged after byte {at} of its content, what was before is read: {error}",
                path.display()
            ),
            Self::Polled { error } => write!(
                f,
                "changes of files are not told, they are looked at each second; raise \
                 fs.inotify.max_user_watches: {error}"
            ),
        }
    }
}

/// How a turn ended.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    /// Whether there is more to read at once.
    pub more: bool,
    /// When the next turn is due if nothing is told before.
    pub wake_at: Instant,
}

/// How far a file is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileStatus {
    /// Which file.
    pub file: u64,
    /// Where it is.
    pub path: PathBuf,
    /// Handed out up to here.
    pub offset: u64,
    /// As it was when last looked at; of a compressed file, its size as it is.
    pub size: u64,
    /// Seen and not handed out; 0 for compressed files.
    pub lag_bytes: u64,
    /// Of these, an unfinished last line.
    pub incomplete_line_bytes: u64,
    /// Why it cannot be read at the moment.
    pub error: Option<String>,
}

impl FileStatus {
    pub(super) fn of(file: u64, followed: &Followed) -> Self {
        let record = &followed.record;
        let size = followed.seen.size;
        let lag_bytes = if record.compressed { 0 } else { size.saturating_sub(record.offset) };
        Self {
            file,
            path: record.path.to_path_buf(),
            offset: record.offset,
            size,
            lag_bytes,
            incomplete_line_bytes: followed.searched.saturating_sub(record.offset).min(lag_bytes),
            error: followed.trouble.as_ref().map(|trouble| trouble.message.clone()),
        }
    }
}
