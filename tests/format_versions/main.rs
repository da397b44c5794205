//! A data folder that an earlier release wrote is read by this one, and written on.
//!
//! `tests/fixtures/data-vN.tar.zst` are folders that the real binary of their time made, killed with records in its
//! journal that no segment had: segments of two tenants and several days, merged ones, attributes of every type and more
//! names than columns, senders with batches to compare and epochs that were retired, bodies in every format and encoding.
//! `backup-vN.tar.zst` are backups of the same.
//! What has to be in them is computed (`records.rs`, `folder.rs`). Before the format of anything in the folder changes,
//! one more is kept:
//!
//! ```text
//! LOGQ_KEEP_FIXTURE=2 cargo test -p logq --test format_versions
//! ```

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod folder;
mod records;
#[path = "../server/mod.rs"]
mod server;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use folder::{Folder, Left};
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

/// The archives that are kept of a kind.
fn fixtures(kind: &str) -> Vec<PathBuf> {
    let mut archives = Vec::new();
    for entry in std::fs::read_dir(root().join("tests/fixtures")).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if name.starts_with(kind) {
            let bytes = entry.metadata().unwrap().len();
            assert!(bytes <= FIXTURE_BYTES_MAX, "{name} is too large to be kept");
            eprintln!("{name}");
            archives.push(entry.path());
        }
    }
    assert!(!archives.is_empty());
    archives
}

/// Keeps a folder if that is asked for.
fn keep(kind: &str, folder: &Path) {
    if let Some(version) = std::env::var_os("LOGQ_KEEP_FIXTURE") {
        let name = format!("{kind}{}.tar.zst", version.to_string_lossy());
        pack(folder, &root().join("tests/fixtures").join(name));
    }
}

#[test]
fn data_folders_of_earlier_releases_are_read_and_written_on() {
    for archive in fixtures("data-v") {
        let home = Home::new();
        unpack(&archive, &home.data());
        Folder::new().check(&home, Left::ByAKill);
    }
}

#[test]
fn backups_of_earlier_releases_are_restored() {
    for archive in fixtures("backup-v") {
        let home = Home::new();
        let backup = home.data().with_file_name("backup");
        unpack(&archive, &backup);
        restore(&backup, &home);
        Folder::new().check(&home, Left::ByABackup);
    }
}

#[test]
fn data_and_backups_of_this_release_are_what_the_next_one_has_to_read() {
    let home = Home::new();
    let folder = Folder::new();
    folder.make(&home);
    keep("data-v", &home.data());
    let backup = home.data().with_file_name("backup");
    let server = home.start();
    let taken = server.logq(&["backup", backup.to_str().unwrap()]);
    assert_eq!(taken.code, 0, "{taken:?}");
    server.kill();
    keep("backup-v", &backup);
    let restored = Home::new();
    restore(&backup, &restored);
    folder.check(&restored, Left::ByABackup);
}

fn restore(backup: &Path, home: &Home) {
    let data = home.data();
    let output =
        server::logq(&["restore", backup.to_str().unwrap(), "--data", data.to_str().unwrap()]);
    assert_eq!(output.code, 0, "{output:?}");
}
