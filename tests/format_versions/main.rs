//! A data folder that an earlier release wrote is read by this one, and written on.
//!
//! `tests/fixtures/data-vN.tar.zst` are folders that the real binary of their time made, killed with records in its
//! journal that no segment had: segments of two tenants and several days, merged ones, attributes of every type and more
//! names than columns, senders with batches to compare and epochs that were retired, bodies in every format and encoding.
//! What has to be in them is computed (`records.rs`, `folder.rs`). Before the format of anything in the folder changes,
//! one more is kept:
//!
//! ```text
//! LOGQ_KEEP_FIXTURE=tests/fixtures/data-v2.tar.zst cargo test -p logq --test format_versions
//! ```

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod folder;
mod records;
#[path = "../server/mod.rs"]
mod server;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use folder::Folder;
use server::Home;

/// A clone should stay small.
const FIXTURE_BYTES_MAX: u64 = 100 << 10;
/// Long distances pay here: the end of a journal file is 64 MiB of zeros, and segments are like each other.
const COMPRESSION_LEVEL: i32 = 19;

/// The repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn unpack(archive: &Path, into: &Path) {
    std::fs::create_dir(into).unwrap();
    let mut tar = Command::new("tar")
        .args(["--extract", "--directory"])
        .arg(into)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let archive = std::fs::File::open(archive).unwrap();
    zstd::stream::copy_decode(archive, tar.stdin.take().unwrap()).unwrap();
    assert!(tar.wait().unwrap().success());
}

fn pack(folder: &Path, archive: &Path) {
    let output = Command::new("tar")
        .args([
            "--create",
            "--sort=name",
            "--owner=0",
            "--group=0",
            "--exclude=./LOCK",
            "--directory",
        ])
        .arg(folder)
        .arg(".")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::write(archive, zstd::encode_all(output.stdout.as_slice(), COMPRESSION_LEVEL).unwrap())
        .unwrap();
}

#[test]
fn data_folders_of_earlier_releases_are_read_and_written_on() {
    let mut archives = Vec::new();
    for entry in std::fs::read_dir(root().join("tests/fixtures")).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if name.starts_with("data-v") {
            assert!(
                entry.metadata().unwrap().len() <= FIXTURE_BYTES_MAX,
                "{name} is too large to be kept"
            );
            archives.push(entry.path());
        }
    }
    assert!(!archives.is_empty());
    for archive in archives {
        eprintln!("{}", archive.display());
        let home = Home::new();
        unpack(&archive, &home.data());
        Folder::new().check(&home);
    }
}

#[test]
fn a_data_folder_of_this_release_is_what_the_next_one_has_to_read() {
    let home = Home::new();
    let folder = Folder::new();
    folder.make(&home);
    if let Some(archive) = std::env::var_os("LOGQ_KEEP_FIXTURE") {
        pack(&home.data(), &root().join(archive));
    }
    folder.check(&home);
}
