//! A file that lines are appended to, with one write a line.
//!
//! * It is renamed to `NAME.1` before a line would take it over its bound; that one is replaced the next time.
//! * Once a second the path is compared with the open file, so that what someone else renamed or cut is let go of.
//! * After an error the next line opens the file anew. What a failed write left of itself is ended, so that the next
//!   line stands alone.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// The file and the one before it.
#[derive(Debug)]
pub(super) struct RotatingFile {
    path: PathBuf,
    /// Where the full file goes.
    before: PathBuf,
    open: Option<Open>,
    checked_at: Instant,
    bytes_max: u64,
    check_interval: Duration,
}

#[derive(Debug)]
struct Open {
    file: File,
    /// Device and inode.
    identity: (u64, u64),
    bytes: u64,
    /// It ends within a line.
    torn: bool,
}

impl RotatingFile {
    /// # Errors
    /// If the file cannot be opened now; later on it is tried again for each line.
    pub(super) fn open(path: &Path, bytes_max: u64) -> io::Result<Self> {
        let mut before = OsString::from(path);
        before.push(".1");
        Ok(Self {
            path: path.to_owned(),
            before: before.into(),
            open: Some(Open::at(path)?),
            checked_at: Instant::now(),
            bytes_max,
            check_interval: CHECK_INTERVAL,
        })
    }

    /// Appends a line, which has no end yet. Short enough a write to be done on an async thread.
    pub(super) fn write(&mut self, line: &str) -> io::Result<()> {
        if self.checked_at.elapsed() >= self.check_interval {
            self.checked_at = Instant::now();
            let path = &self.path;
            self.open = self.open.take().filter(|open| open.is_at(path));
        }
        let mut open = self.open.take().map_or_else(|| Open::at(&self.path), Ok)?;
        if open.bytes > 0 && open.bytes + line.len() as u64 + 1 > self.bytes_max {
            if open.is_at(&self.path) {
                fs::rename(&self.path, &self.before)?;
            }
            open = Open::at(&self.path)?;
        }
        // Only what took the line whole is kept open; after an error the next line looks anew.
        open.append(
            if open.torn { format!("\n{line}\n") } else { format!("{line}\n") }.as_bytes(),
        )?;
        self.open = Some(open);
        Ok(())
    }
}

impl Open {
    fn at(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let found = file.metadata()?;
        let (identity, bytes) = ((found.dev(), found.ino()), found.len());
        let mut last = [b'\n'];
        if bytes > 0 {
            file.read_exact_at(&mut last, bytes - 1)?;
        }
        Ok(Self { file, identity, bytes, torn: last != *b"\n" })
    }

    /// Whether the path still leads here, and to nothing but what was written here.
    fn is_at(&self, path: &Path) -> bool {
        fs::metadata(path).is_ok_and(|found| {
            (found.dev(), found.ino()) == self.identity && found.len() == self.bytes
        })
    }

    fn append(&mut self, text: &[u8]) -> io::Result<()> {
        let written = loop {
            match self.file.write(text) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        if written < text.len() {
            return Err(io::Error::new(
                io::ErrorKind::StorageFull,
                "only a part of a line was written",
            ));
        }
        self.bytes += written as u64;
        self.torn = false;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const BYTES_MAX: u64 = 8 << 20;

    /// A file that looks at its path before each line.
    fn open(folder: &Path, bytes_max: u64) -> RotatingFile {
        let mut file = RotatingFile::open(&folder.join("orders.log"), bytes_max).unwrap();
        file.check_interval = Duration::ZERO;
        file
    }

    fn write(file: &mut RotatingFile, number: u64) -> bool {
        file.write(&format!("{{\"message\":\"order received\",\"number\":{number}}}")).is_ok()
    }

    /// The numbers of the lines; -1 for what is no JSON.
    fn numbers(path: &Path) -> Vec<i64> {
        let text = fs::read_to_string(path).unwrap();
        assert!(text.is_empty() || text.ends_with('\n'), "{text}");
        let number =
            |line| serde_json::from_str::<serde_json::Value>(line).ok()?["number"].as_i64();
        text.lines().map(|line| number(line).unwrap_or(-1)).collect()
    }

    #[test]
    fn a_full_file_is_renamed_and_one_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = open(folder.path(), 500);
        assert!((0..40).all(|number| write(&mut file, number)));
        let (current, kept) =
            (folder.path().join("orders.log"), folder.path().join("orders.log.1"));
        let both = [numbers(&kept), numbers(&current)].concat();
        assert_eq!(both, (40 - both.len() as i64..40).collect::<Vec<_>>());
        assert!(both.len() < 30 && fs::metadata(kept).unwrap().len() <= 500);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_full_file_that_cannot_be_renamed_does_not_grow() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("orders.log.1/in-the-way")).unwrap();
        let mut file = open(folder.path(), 500);
        let told = (0..40).filter(|number| write(&mut file, *number)).count();
        let written = numbers(&folder.path().join("orders.log")).len();
        assert!((1..20).contains(&written) && written == told, "{written} of {told}");
    }

    #[test]
    fn what_others_rename_or_cut_is_let_go_of() {
        let folder = tempfile::tempdir().unwrap();
        let (current, moved) = (folder.path().join("orders.log"), folder.path().join("orders.old"));
        let mut file = open(folder.path(), BYTES_MAX);
        write(&mut file, 1);
        fs::rename(&current, &moved).unwrap();
        write(&mut file, 2);
        assert_eq!((numbers(&moved), numbers(&current)), (vec![1], vec![2]));
        File::options().write(true).open(&current).unwrap().set_len(0).unwrap();
        assert!(write(&mut file, 3));
        assert_eq!(numbers(&current), [3]);
    }

    #[test]
    fn a_full_disk_costs_lines_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let current = folder.path().join("orders.log");
        symlink("/dev/full", &current).unwrap();
        let mut file = open(folder.path(), BYTES_MAX);
        assert!((0..3).all(|number| !write(&mut file, number)));
        fs::remove_file(&current).unwrap();
        assert!(write(&mut file, 4));
        assert_eq!(numbers(&current), [4]);
    }

    #[test]
    fn a_torn_line_is_ended_before_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let current = folder.path().join("orders.log");
        fs::write(&current, "{\"timest").unwrap();
        let mut file = open(folder.path(), BYTES_MAX);
        assert!((1..3).all(|number| write(&mut file, number)));
        assert_eq!(numbers(&current), [-1, 1, 2]);
    }
}
