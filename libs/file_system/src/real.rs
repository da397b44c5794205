//! The operating system's files.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::{FileReader, FileSystem, JournalFile};

/// The operating system's files.
#[derive(Debug, Default)]
pub struct RealFileSystem;

/// Space of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskSpace {
    /// What a process without privileges can still write.
    pub free_bytes: u64,
    /// All of it, used or free.
    pub size_bytes: u64,
}

/// Space of the disk that a path is on.
///
/// # Errors
/// The operating system's answer.
pub fn disk_space(path: &Path) -> io::Result<DiskSpace> {
    let told = rustix::fs::statvfs(path)?;
    let bytes = |blocks: u64| blocks.saturating_mul(told.f_frsize);
    Ok(DiskSpace { free_bytes: bytes(told.f_bavail), size_bytes: bytes(told.f_blocks) })
}

impl FileSystem for RealFileSystem {
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        std::fs::create_dir_all(path)
    }

    fn create_preallocated(&self, path: &Path, length: u64) -> io::Result<Box<dyn JournalFile>> {
        let file = OpenOptions::new().write(true).create_new(true).open(path)?;
        if let Err(error) =
            rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, length)
        {
            // A file system without fallocate still works, only with slower syncs.
            if error != rustix::io::Errno::OPNOTSUPP {
                let _ = std::fs::remove_file(path);
                return Err(error.into());
            }
        }
        file.sync_all()?;
        Ok(Box::new(RealJournalFile(file)))
    }

    fn open_write(&self, path: &Path) -> io::Result<Box<dyn JournalFile>> {
        Ok(Box::new(RealJournalFile(OpenOptions::new().write(true).open(path)?)))
    }

    fn open_read(&self, path: &Path) -> io::Result<Box<dyn FileReader>> {
        Ok(Box::new(RealFileReader(File::open(path)?)))
    }

    fn write_synced(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
        let written = file.write_all_at(content, 0).and_then(|()| file.sync_all());
        if written.is_err() {
            // Half a file is worth nothing, and its space may be what is missing.
            let _ = std::fs::remove_file(path);
        }
        written
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        std::fs::read(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<(String, u64)>> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let metadata = match entry.metadata() {
                // Removed meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                metadata => metadata?,
            };
            if let (true, Ok(name)) = (metadata.is_file(), entry.file_name().into_string()) {
                files.push((name, metadata.len()));
            }
        }
        files.sort();
        Ok(files)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }
}

#[derive(Debug)]
struct RealJournalFile(File);

impl JournalFile for RealJournalFile {
    fn write_at(&mut self, bytes: &[u8], position: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, position)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn set_length(&mut self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }
}

#[derive(Debug)]
struct RealFileReader(File);

impl FileReader for RealFileReader {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.0.read_at(&mut buffer[filled..], position + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}
