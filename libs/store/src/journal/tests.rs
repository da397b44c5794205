//! Tests of the journal's file format: what is read back after damage, torn ends and failures.

use std::path::Path;
use std::sync::Arc;

use file_system::{FileSystem, RealFileSystem};
use record::Timestamp;
use wire::{BatchName, Encoding, Format};

use super::*;
use crate::files::StoreFiles;

fn entry(seq: u64, payload: &[u8]) -> Entry<'_> {
    Entry {
        received_at: Timestamp(7),
        first_record_seq: seq,
        records: 1,
        synced_to: 0,
        decoder_version: 1,
        format: Format::JsonLines,
        encoding: Encoding::Identity,
        tenant: "default",
        name: Some(BatchName {
            agent: "a".into(),
            epoch: "e".into(),
            sequence: seq,
            first_unacknowledged: None,
        }),
        rejected: 3,
        payload,
    }
}

const FILE_BYTES: u64 = 1 << 20;

fn writer(fs: Arc<dyn FileSystem>, folder: &Path) -> JournalWriter {
    JournalWriter::new(fs, folder.to_owned(), FILE_BYTES, (0, 0))
}

/// Writes each payload as a group of its own; gives the file.
fn written(folder: &Path, payloads: &[&[u8]]) -> std::path::PathBuf {
    let mut writer = writer(Arc::new(RealFileSystem), folder);
    for (seq, payload) in payloads.iter().enumerate() {
        writer.append(&mut [entry(seq as u64, payload)]).unwrap();
    }
    folder.join(file_name(1))
}

fn replay(path: &Path, trusted_to: Option<u64>) -> (Vec<Vec<u8>>, usize) {
    let file = read_file(&RealFileSystem, 1, path, trusted_to).unwrap().unwrap();
    (file.entries().map(|entry| entry.payload.to_vec()).collect(), file.damage.len())
}

#[test]
fn what_was_appended_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path(), &[b"one", b"", b"three"]);
    let file = read_file(&RealFileSystem, 1, &path, None).unwrap().unwrap();
    let entries: Vec<_> = file.entries().collect();
    assert_eq!(entries.len(), 3);
    assert_eq!(entries[2], Entry { synced_to: entries[2].synced_to, ..entry(2, b"three") });
    assert!(file.damage.is_empty());
}

#[test]
fn a_torn_end_is_cut_at_every_length() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path(), &[b"one", b"two"]);
    let whole = std::fs::read(&path).unwrap();
    let end = read_file(&RealFileSystem, 1, &path, None).unwrap().unwrap().end as usize;
    for length in 0..end {
        std::fs::write(&path, &whole[..length]).unwrap();
        match read_file(&RealFileSystem, 1, &path, None).unwrap() {
            None => assert!(length < FILE_HEADER_BYTES as usize + 12, "{length}"),
            Some(file) => {
                assert!(file.entries().count() < 2, "{length}");
                assert!(file.damage.is_empty(), "{length}");
            }
        }
    }
}

#[test]
fn a_flipped_bit_before_a_later_group_is_damage_and_the_rest_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path(), &[b"one", b"two", b"three"]);
    let mut bytes = std::fs::read(&path).unwrap();
    let place = memchr::memmem::find(&bytes, b"two").unwrap();
    bytes[place] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    assert_eq!(replay(&path, None), (vec![b"one".to_vec(), b"three".to_vec()], 1));
}

#[test]
fn a_bad_entry_that_nobody_vouches_for_is_a_torn_group_if_it_has_sectors_that_were_never_written() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = writer(Arc::new(RealFileSystem), folder.path());
    writer.append(&mut [entry(0, b"one"), entry(1, b"two")]).unwrap();
    let path = folder.path().join(file_name(1));
    let mut bytes = std::fs::read(&path).unwrap();
    let (first, second) =
        (FILE_HEADER_BYTES as usize, memchr::memmem::rfind(&bytes, b"LQE1").unwrap());
    bytes[first..second].fill(0);
    std::fs::write(&path, bytes).unwrap();
    assert_eq!(replay(&path, None), (vec![b"two".to_vec()], 0));
    // The next file's header says that all of it was durable: then it is damage.
    let end = read_file(&RealFileSystem, 1, &path, None).unwrap().unwrap().end;
    assert_eq!(replay(&path, Some(end)), (vec![b"two".to_vec()], 1));
}

#[test]
fn a_bit_that_changed_anywhere_in_an_entry_is_damage_although_nothing_follows() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = writer(Arc::new(RealFileSystem), folder.path());
    let long = vec![b'x'; 3_000];
    writer.append(&mut [entry(0, b"one")]).unwrap();
    writer.append(&mut [entry(1, b"two"), entry(2, &long)]).unwrap();
    let path = folder.path().join(file_name(1));
    let good = std::fs::read(&path).unwrap();
    let file = read_file(&RealFileSystem, 1, &path, None).unwrap().unwrap();
    let (start, end) = (file.entries().nth(1).unwrap().synced_to as usize, file.end as usize);
    drop(file);
    for place in (start..end).step_by(7).chain(start..start + 64) {
        let mut bytes = good.clone();
        bytes[place] ^= 1 << (place % 8);
        std::fs::write(&path, bytes).unwrap();
        let (entries, damage) = replay(&path, None);
        assert_eq!((entries.len(), damage), (2, 1), "at {place} of {start}..{end}");
    }
    // A write that ended anywhere is no damage.
    for length in (start..end).step_by(13).chain(start..start + 40) {
        let mut bytes = good.clone();
        bytes[length..].fill(0);
        std::fs::write(&path, bytes).unwrap();
        let (entries, damage) = replay(&path, None);
        assert_eq!((entries.len() <= 2, damage), (true, 0), "cut at {length} of {start}..{end}");
    }
}

#[test]
fn nothing_behind_the_trusted_end_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path(), &[b"one", b"two"]);
    let file = read_file(&RealFileSystem, 1, &path, None).unwrap().unwrap();
    let first_end = file.entries().nth(1).unwrap().synced_to;
    assert_eq!(replay(&path, Some(first_end)), (vec![b"one".to_vec()], 0));
}

#[test]
fn a_new_file_tells_where_the_one_before_ends() {
    let folder = tempfile::tempdir().unwrap();
    let fs: Arc<dyn StoreFiles> = Arc::new(RealFileSystem);
    let mut writer = writer(fs.clone(), folder.path());
    writer.append(&mut [entry(0, b"one")]).unwrap();
    let end = read_file(&*fs, 1, &folder.path().join(file_name(1)), None).unwrap().unwrap().end;
    assert_eq!(writer.roll(), 2);
    writer.append(&mut [entry(1, b"two")]).unwrap();
    let second = read_file(&*fs, 2, &folder.path().join(file_name(2)), None).unwrap().unwrap();
    assert_eq!(
        second.header,
        FileHeader { file_id: 2, previous_file_id: 1, previous_end: end, first_record_seq: 1 }
    );
}

#[test]
fn an_entry_larger_than_a_file_gets_a_file_of_its_size() {
    let folder = tempfile::tempdir().unwrap();
    let large = vec![b'x'; FILE_BYTES as usize + 1];
    let path = written(folder.path(), &[&large]);
    assert_eq!(replay(&path, None).0[0].len(), large.len());
}
