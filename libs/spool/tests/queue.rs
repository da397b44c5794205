//! What a user of the queue relies on, one behaviour at a time.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use file_system::{Fault, FileReader, FileSystem, JournalFile, ModelFileSystem, RealFileSystem};
use spool::{Front, Spool, SpoolError, SpoolOptions};

const FOLDER: &str = "/state/spool";
const SMALL: SpoolOptions = SpoolOptions { file_bytes: 4096, bytes_max: 64 << 10 };

fn open(fs: &ModelFileSystem, options: SpoolOptions) -> Spool {
    let (spool, opening) =
        Spool::open(Arc::new(fs.clone()), Path::new(FOLDER), options, &mut |_| {}).unwrap();
    assert!(opening.damaged.is_empty() && !opening.state_lost, "{opening:?}");
    spool
}

fn append(spool: &mut Spool, payload: &[u8]) -> Result<u64, SpoolError> {
    spool.append(b"note", payload, &mut || b"state".to_vec())
}

/// Takes out all that is there.
fn drained(spool: &mut Spool) -> Vec<(u64, Vec<u8>)> {
    let mut all = Vec::new();
    while let Some(front) = spool.front().unwrap() {
        let Front::Batch { number, payload, .. } = front else { panic!("{front:?}") };
        spool.acknowledge(number, b"", &mut || b"state".to_vec()).unwrap();
        all.push((number, payload));
    }
    all
}

fn numbered(count: u64, payload: &[u8]) -> Vec<(u64, Vec<u8>)> {
    (0..count).map(|number| (number, payload.to_vec())).collect()
}

#[test]
fn on_a_real_disk_batches_come_back_in_order_and_files_go() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state/spool");
    let open = || Spool::open(Arc::new(RealFileSystem), &path, SMALL, &mut |_| {}).unwrap();
    let (mut spool, opening) = open();
    assert!(opening.created);
    let id = spool.id();
    for number in 0..20 {
        assert_eq!(append(&mut spool, &[7; 1000]).unwrap(), number);
    }
    drop(spool);
    let (mut spool, opening) = open();
    assert!(!opening.created);
    assert_eq!(spool.id(), id);
    assert_eq!(drained(&mut spool), numbered(20, &[7; 1000]));
    spool.sync(&mut Vec::new).unwrap();
    let files = || RealFileSystem.list(&path).unwrap().len();
    assert_eq!(files(), 2);
    let report = spool::check(&RealFileSystem, &path).unwrap();
    assert!(report.is_sound() && report.to_string().ends_with("sound\n"), "{report}");
}

#[test]
fn at_the_bound_append_is_refused_and_everything_else_goes_on() {
    let fs = ModelFileSystem::new(0);
    let mut spool = open(&fs, SMALL);
    let mut appended = 0;
    let refused = loop {
        match append(&mut spool, &[1; 700]) {
            Ok(_) => appended += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, SpoolError::Full { .. }) && refused.is_full());
    assert!(appended > 40, "{appended}");
    let usage = spool.usage();
    assert!(append(&mut spool, &[1; 700]).is_err());
    assert_eq!(spool.usage(), usage);
    spool.note(b"still", &mut Vec::new).unwrap();
    assert_eq!(drained(&mut spool), numbered(appended, &[1; 700]));
    assert_eq!(append(&mut spool, &[1; 700]).unwrap(), appended);
    assert!(spool.usage().disk_bytes <= SMALL.bytes_max);
}

#[test]
fn an_entry_that_never_fits_is_refused_as_such() {
    let mut spool = open(&ModelFileSystem::new(0), SMALL);
    let refused = append(&mut spool, &[0; 8200]).unwrap_err();
    assert!(matches!(refused, SpoolError::TooLarge { bytes_max: 8192, .. }) && !refused.is_full());
    assert_eq!(append(&mut spool, &[0; 8000]).unwrap(), 0);
}

#[test]
fn a_full_disk_refuses_loses_nothing_and_goes_on_when_there_is_space() {
    for seed in 0..50 {
        let fs = ModelFileSystem::new(seed);
        fs.set_capacity(Some(20 << 10));
        let mut spool = open(&fs, SMALL);
        let mut appended = 0;
        let refused = loop {
            match append(&mut spool, &[1; 500]) {
                Ok(_) => appended += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(refused, SpoolError::Io { .. }) && refused.is_full(), "{refused}");
        for _ in 0..3 {
            assert!(append(&mut spool, &[2; 500]).is_err());
        }
        // The disk is still full, and the file keeps room to acknowledge some; that frees a file, too.
        assert!(matches!(spool.front().unwrap(), Some(Front::Batch { number: 0, .. })));
        spool.acknowledge(0, b"", &mut Vec::new).unwrap();
        fs.set_capacity(None);
        assert_eq!(append(&mut spool, &[1; 500]).unwrap(), appended);
        drop(spool);
        fs.crash();
        let mut spool = open(&fs, SMALL);
        assert_eq!(drained(&mut spool), numbered(appended + 1, &[1; 500])[1..], "seed {seed}");
    }
}

#[test]
fn a_batch_whose_sync_failed_is_there_once_however_it_is_tried_again() {
    for seed in 0..200 {
        let fs = ModelFileSystem::new(seed);
        let mut spool = open(&fs, SMALL);
        append(&mut spool, b"first").unwrap();
        // Head, payload, sync.
        fs.plan(3, Fault::Fail(io::ErrorKind::Other));
        assert!(append(&mut spool, b"second").is_err());
        assert_eq!(spool.usage().batches, 1);
        assert_eq!(append(&mut spool, b"other").unwrap(), 1);
        drop(spool);
        fs.crash();
        let expected = [(0, b"first".to_vec()), (1, b"other".to_vec())];
        assert_eq!(drained(&mut open(&fs, SMALL)), expected, "seed {seed}");
    }
}

#[test]
fn only_the_front_can_be_acknowledged_and_once() {
    let mut spool = open(&ModelFileSystem::new(0), SMALL);
    let refused = spool.acknowledge(0, b"", &mut Vec::new).unwrap_err();
    assert!(matches!(refused, SpoolError::NotTheFront { number: 0, front: None }));
    append(&mut spool, b"a").unwrap();
    append(&mut spool, b"b").unwrap();
    for (number, front) in [(1, 0), (7, 0)] {
        let refused = spool.acknowledge(number, b"", &mut Vec::new).unwrap_err();
        assert!(matches!(refused, SpoolError::NotTheFront { front: Some(at), .. } if at == front));
    }
    spool.acknowledge(0, b"", &mut Vec::new).unwrap();
    assert!(spool.acknowledge(0, b"", &mut Vec::new).is_err());
    assert_eq!(drained(&mut spool), [(1, b"b".to_vec())]);
}

#[test]
fn at_most_64_acknowledgements_can_be_taken_back_by_a_crash() {
    let options = SpoolOptions { file_bytes: 1 << 20, bytes_max: 64 << 20 };
    for seed in 0..50 {
        let fs = ModelFileSystem::new(seed);
        let mut spool = open(&fs, options);
        for _ in 0..150 {
            append(&mut spool, b"payload").unwrap();
        }
        for number in 0..150 {
            spool.acknowledge(number, b"", &mut Vec::new).unwrap();
        }
        drop(spool);
        fs.crash();
        let left = open(&fs, options).usage().batches;
        assert!(left <= spool::UNSYNCED_ACKNOWLEDGEMENTS_MAX as u64, "{left}");
    }
}

#[test]
fn a_restart_takes_space_only_for_what_it_writes() {
    let fs = ModelFileSystem::new(0);
    let options = SpoolOptions { file_bytes: 64 << 10, bytes_max: 1 << 20 };
    for number in 0..40 {
        let mut spool = open(&fs, options);
        assert_eq!(append(&mut spool, b"one a life").unwrap(), number);
        assert!(spool.usage().disk_bytes < (64 << 10) + 5000 * (number + 1));
    }
    assert_eq!(drained(&mut open(&fs, options)), numbered(40, b"one a life"));
}

/// Counts the longest read that was asked for.
#[derive(Debug)]
struct Watched {
    fs: ModelFileSystem,
    longest: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct WatchedReader(Box<dyn FileReader>, Arc<AtomicUsize>);

impl FileReader for WatchedReader {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.1.fetch_max(buffer.len(), Ordering::Relaxed);
        self.0.read_at(buffer, position)
    }
    fn length(&self) -> io::Result<u64> {
        self.0.length()
    }
}

impl FileSystem for Watched {
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        self.fs.create_folder(path)
    }
    fn create_preallocated(&self, path: &Path, length: u64) -> io::Result<Box<dyn JournalFile>> {
        self.fs.create_preallocated(path, length)
    }
    fn open_write(&self, path: &Path) -> io::Result<Box<dyn JournalFile>> {
        self.fs.open_write(path)
    }
    fn open_read(&self, path: &Path) -> io::Result<Box<dyn FileReader>> {
        Ok(Box::new(WatchedReader(self.fs.open_read(path)?, Arc::clone(&self.longest))))
    }
    fn write_synced(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        self.fs.write_synced(path, content)
    }
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        panic!("{} is read whole", path.display())
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.fs.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.fs.remove(path)
    }
    fn list(&self, folder: &Path) -> io::Result<Vec<(String, u64)>> {
        self.fs.list(folder)
    }
    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.fs.sync_folder(folder)
    }
}

#[test]
fn opening_reads_payloads_through_a_small_window_even_when_damaged() {
    let fs = ModelFileSystem::new(0);
    let options = SpoolOptions { file_bytes: 16 << 20, bytes_max: 256 << 20 };
    let mut spool = open(&fs, options);
    // Full of what looks like the beginning of an entry with a huge length.
    let payload = b"LQSE\x02\0\0\0\xff\xff\xff\xff".repeat(90_000);
    for _ in 0..12 {
        append(&mut spool, &payload).unwrap();
    }
    drop(spool);
    for damaged in [false, true] {
        let path = Path::new("/state/spool/0000000000000001.spool");
        if damaged {
            // The head of the second batch.
            let at = 1024 + 48 + 44 + 5 + (48 + 8 + payload.len()) + 20;
            fs.corrupt(path, |content| content[at] ^= 1);
        }
        let longest = Arc::new(AtomicUsize::new(0));
        let watched = Watched { fs: fs.clone(), longest: Arc::clone(&longest) };
        let (spool, opening) =
            Spool::open(Arc::new(watched), Path::new(FOLDER), options, &mut |_| {}).unwrap();
        assert_eq!(opening.damaged.len(), usize::from(damaged), "{opening:?}");
        assert!(!damaged || opening.damaged[0].lost == Some(1..=1), "{opening:?}");
        assert_eq!(spool.usage().batches, 12);
        // But for the copy of the damaged bytes themselves.
        let longest = longest.load(Ordering::Relaxed);
        let allowed = if damaged { payload.len() + 56 } else { 256 << 10 };
        assert!(longest <= allowed, "{longest}");
    }
}
