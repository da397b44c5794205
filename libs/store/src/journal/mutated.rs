//! Mutated journal files: never a panic or a hang, and no entry that was not written.
//!
//! Half of the inputs get good checksums again after they were mutated, as a fault of ours or a malicious disk would
//! make them: those only must not panic, whatever their entries say.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use file_system::{FileSystem, ModelFileSystem};
use record::Timestamp;
use wire::{BatchName, Encoding, Format, Limits, compress};

use super::entry::{HEADER_BYTES, MAGIC, checksum};
use super::*;

const FOLDER: &str = "/journal";
const FILE_ID: u64 = 1;
const JSON_LINES: &[u8] = b"{\"msg\":\"paid\",\"correlation_id\":\"c-1\"}\n{\"msg\":\"shipped\"}\n";
const OTLP_JSON: &[u8] =
    br#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"sent"}}]}]}]}"#;
const OTLP_PROTOBUF: &[u8] = b"\x0a\x0c\x12\x0a\x12\x08\x2a\x06\x0a\x04sent";
const ZIPKIN_JSON: &[u8] = br#"[{"id":"1","name":"send"},{}]"#;

/// What the tests read of an entry, whole.
type Owned = (i64, u64, u32, u16, Format, Encoding, String, Option<BatchName>, u32, Vec<u8>);

fn owned(entry: &Entry<'_>) -> Owned {
    (
        entry.received_at.0,
        entry.first_record_seq,
        entry.records,
        entry.decoder_version,
        entry.format,
        entry.encoding,
        entry.tenant.to_owned(),
        entry.name.clone(),
        entry.rejected,
        entry.payload.to_vec(),
    )
}

fn path() -> PathBuf {
    Path::new(FOLDER).join(file_name(FILE_ID))
}

/// A file of three groups of batches in every format, and the entries in it.
fn written(encoding: Encoding, zeros: u64) -> (Vec<u8>, Vec<Owned>) {
    let fs = ModelFileSystem::new(0);
    fs.create_folder(Path::new(FOLDER)).unwrap();
    let bodies = [JSON_LINES, OTLP_JSON, OTLP_PROTOBUF, ZIPKIN_JSON];
    let payloads = bodies.map(|body| compress(encoding, body));
    let formats = [Format::JsonLines, Format::OtlpJson, Format::OtlpProtobuf, Format::ZipkinJson];
    let mut writer = JournalWriter::new(Arc::new(fs.clone()), FOLDER.into(), 1_200 + zeros, (0, 0));
    let mut all = Vec::new();
    for group in 0..3_u64 {
        let entry = |(index, payload): (usize, _)| Entry {
            received_at: Timestamp(1_700_000_000_000_000_000),
            first_record_seq: 10 * group + index as u64,
            records: 2,
            synced_to: 0,
            decoder_version: wire::DECODER_VERSION,
            format: formats[index],
            encoding,
            tenant: "default",
            name: (index > 0).then(|| BatchName {
                agent: "3fa9c1d2".into(),
                epoch: "e1".into(),
                sequence: 7 * group,
                first_unacknowledged: (index > 1).then_some(group),
            }),
            rejected: group as u32,
            payload,
        };
        let mut entries: Vec<Entry<'_>> =
            payloads.iter().map(Vec::as_slice).enumerate().map(entry).collect();
        writer.append(&mut entries).unwrap();
        all.extend(entries.iter().map(owned));
    }
    (fs.read(&path()).unwrap(), all)
}

/// Gives everything that looks like a header or an entry a checksum that is right.
fn made_good(mut bytes: Vec<u8>) -> Vec<u8> {
    if let Some(header) = bytes.get_mut(..FILE_HEADER_BYTES as usize) {
        let crc = crc32c::crc32c(&header[..60]);
        header[60..].copy_from_slice(&crc.to_le_bytes());
    }
    for at in memchr::memmem::find_iter(&bytes.clone(), &MAGIC) {
        let start = at + HEADER_BYTES;
        let Some(length) = bytes.get(at + 4..at + 8) else { continue };
        let length = u32::from_le_bytes(length.try_into().unwrap()) as usize;
        let Some(content) = bytes.get(start..start.saturating_add(length)) else { continue };
        let crc = checksum(FILE_ID, at as u64, content);
        bytes[at + 8..at + 12].copy_from_slice(&crc.to_le_bytes());
    }
    bytes
}

/// Reads a file; whether it had a good entry. `known` are the entries that there may be, if that is certain.
fn is_read(fs: &ModelFileSystem, bytes: &[u8], known: Option<&[Owned]>) -> bool {
    fs.corrupt(&path(), |content| bytes.clone_into(content));
    let length = bytes.len() as u64;
    // The last file, one that was synced to its end, one that was not.
    let sum = u64::from(crc32c::crc32c(bytes)) >> 1;
    let trusted_to = [None, Some(length), Some(sum % 1_500)][sum as usize % 3];
    let Some(file) = read_file(fs, FILE_ID, &path(), trusted_to).unwrap() else { return false };
    assert!(file.end <= length.max(FILE_HEADER_BYTES));
    for damage in &file.damage {
        assert!(!file.bytes(damage).is_empty(), "{damage:?}");
    }
    for entry in file.entries() {
        if let Some(known) = known {
            assert!(known.contains(&owned(&entry)), "{entry:?} was never written");
        }
        // What a start does with it.
        let limits = Limits { decoded_bytes_max: 1 << 20, ..Limits::default() };
        if let Ok(body) = wire::decompress(entry.encoding, entry.payload, &limits) {
            let _ = wire::decode(entry.format, &body, entry.received_at, &limits, &mut |_| {});
        }
    }
    file.entries().next().is_some()
}

#[test]
fn mutated_files_give_no_entry_that_was_not_written() {
    let fs = ModelFileSystem::new(0);
    fs.create_folder(Path::new(FOLDER)).unwrap();
    fs.write_synced(&path(), b"").unwrap();
    let files = [
        written(Encoding::Identity, 2_048),
        written(Encoding::Zstd, 0),
        written(Encoding::Gzip, 600),
    ];
    let (seeds, entries): (Vec<_>, Vec<_>) = files.into_iter().unzip();
    let entries = entries.concat();
    let tokens: [&[u8]; 8] = [
        &MAGIC,
        &FILE_MAGIC,
        b"LQE1\x40\0\0\0",
        b"LQE1\0\0\0\0",
        b"\x07default",
        &[0; 64],
        &[0; 512],
        &[0xff; 8],
    ];
    mutation::run("journal", &seeds, &tokens, |input| match crc32c::crc32c(input) & 1 {
        0 => is_read(&fs, input, Some(&entries)),
        _ => is_read(&fs, &made_good(input.to_vec()), None),
    });
}
