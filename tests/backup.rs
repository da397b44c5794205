//! `logq backup` and `logq restore` on the real binary: what was acknowledged before is there again and adds up, whoever
//! is killed when, and nothing else than a whole backup passes for one.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod server;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use server::requests::{ids, lines};
use server::small_disk::SmallDisk;
use server::{Home, LOGQ, Output, Server, eventually, logq, run, without_settings};
use tempfile::TempDir;

/// A folder for a backup, and whatever else a test makes of it.
struct Shelf(TempDir);

impl Shelf {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn backup(&self) -> PathBuf {
        self.path("backup")
    }

    /// `logq backup` of a server, which has to go well.
    fn take(&self, server: &Server) -> Output {
        let output = server.logq(&["backup", self.backup().to_str().unwrap()]);
        assert_eq!(output.code, 0, "{output:?}");
        output
    }

    fn verify(&self) -> Output {
        logq(&["backup", "--verify", self.backup().to_str().unwrap()])
    }

    /// `logq restore` into the place of a home's data.
    fn restore_to(&self, data: &Path) -> Output {
        logq(&["restore", self.backup().to_str().unwrap(), "--data", data.to_str().unwrap()])
    }

    /// A server on a data folder that is made of the backup.
    fn restored(&self) -> (Home, Server) {
        let home = Home::with_config(QUIET);
        let output = self.restore_to(&home.data());
        assert_eq!(output.code, 0, "{output:?}");
        let server = home.start();
        (home, server)
    }

    fn manifest(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.backup().join("manifest.json")).unwrap())
            .unwrap()
    }

    /// Names and bytes of everything in the backup, but for the lock.
    fn content(&self) -> BTreeSet<(PathBuf, Vec<u8>)> {
        let mut files = BTreeSet::new();
        for folder in [self.backup(), self.backup().join("segments")] {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_file() && path.file_name().unwrap() != "LOCK" {
                    files.insert((path.clone(), std::fs::read(path).unwrap()));
                }
            }
        }
        files
    }

    /// A file of a segment in it.
    fn segment_file(&self) -> PathBuf {
        let mut files: Vec<PathBuf> = std::fs::read_dir(self.backup().join("segments"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        files.swap_remove(0)
    }
}

/// Nothing is flushed or merged but by a backup.
const QUIET: &str = "[collector]\nflush_age = \"1d\"\n";

/// The number that a line of a report gives.
fn count(output: &Output, name: &str) -> u64 {
    let line = output.stdout.lines().find_map(|line| line.strip_prefix(name));
    let line = line.unwrap_or_else(|| panic!("no {name} in {output:?}"));
    line.split_whitespace().next().unwrap().parse().unwrap()
}

fn metric(server: &Server, name: &str) -> u64 {
    let metrics = server.http().get(&format!("{}/metrics", server.ingest)).text();
    let value = metrics.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
    value.unwrap_or_else(|| panic!("no {name} in {metrics}")).parse().unwrap()
}

#[test]
fn a_backup_is_restored_with_the_same_records_and_the_same_account_under_a_higher_generation() {
    let home = Home::with_config(QUIET);
    let server = home.start();
    let shelf = Shelf::new();
    assert_eq!(server.jsonl(lines(0..500)).accepted(), 500);
    assert_eq!(server.flush().status, 200);
    assert_eq!(server.jsonl(lines(500..700)).accepted(), 200);
    let output = shelf.take(&server);
    assert!(output.stdout.ends_with("adds up\n"), "{output:?}");
    assert_eq!(count(&output, "accepted "), 700);
    let manifest = shelf.manifest();
    assert_eq!((&manifest["format_version"], &manifest["generation"]), (&1.into(), &1.into()));
    // What comes later is not in it.
    assert_eq!(server.jsonl(lines(700..800)).accepted(), 100);
    let before = server.ledger();
    assert_eq!(shelf.verify().code, 0);

    let (restored_home, restored) = shelf.restored();
    assert_eq!(ids(&restored), (0..700).collect());
    let ledger = restored.ledger();
    assert_eq!(ledger, manifest["ledger"]);
    assert_eq!((&ledger["accepted"], &ledger["in_parts"]), (&700.into(), &0.into()));
    let identity = |server: &Server| {
        let answer = server.http().get(&format!("{}/api/v1/ledger", server.ingest)).json();
        (answer["store_id"].clone(), answer["generation"].as_u64().unwrap())
    };
    assert_eq!(identity(&restored).0, identity(&server).0);
    assert!(identity(&restored).1 > identity(&server).1);
    // It goes on, and is backed up itself.
    assert_eq!(restored.jsonl(lines(700..710)).accepted(), 10);
    shelf.take(&restored);
    restored.stop();
    let restored = restored_home.start();
    assert_eq!(ids(&restored), (0..710).collect());
    // The store that it was made of never noticed.
    assert_eq!(server.ledger(), before);
    assert_eq!(metric(&server, "logq_store_snapshots"), 0);
}

#[test]
fn of_two_restores_of_one_backup_neither_passes_for_the_other() {
    let home = Home::with_config(QUIET);
    let server = home.start();
    let shelf = Shelf::new();
    server.jsonl(lines(0..10)).accepted();
    shelf.take(&server);
    let generation = |output: &Output| count(output, "generation ");
    let first = shelf.restore_to(&shelf.path("first"));
    let second = shelf.restore_to(&shelf.path("second"));
    assert!(generation(&second) > generation(&first), "{first:?} {second:?}");
}

#[test]
fn the_next_backup_copies_only_what_is_new_and_removes_what_is_gone() {
    let home = Home::with_config(QUIET);
    let server = home.start();
    let shelf = Shelf::new();
    server.jsonl(lines(0..300)).accepted();
    let first = shelf.take(&server);
    assert_eq!((count(&first, "files copied"), count(&first, "files kept")), (3, 0));
    server.jsonl(lines(300..310)).accepted();
    let second = shelf.take(&server);
    assert_eq!((count(&second, "files copied"), count(&second, "files kept")), (3, 2));
    // A segment and the manifest, two segments' files, one catalog.
    assert_eq!(shelf.content().len(), 1 + 1 + 4);
    let again = shelf.take(&server);
    assert_eq!(count(&again, "files kept"), 5 - count(&again, "files copied"));
    // What is damaged is found and copied anew.
    let damaged = shelf.segment_file();
    std::fs::write(&damaged, b"damaged").unwrap();
    assert_eq!(shelf.verify().code, 1);
    let repaired = shelf.take(&server);
    assert_eq!(count(&repaired, "damaged, copied again"), 1);
    assert_eq!(shelf.verify().code, 0);
    std::fs::write(shelf.backup().join("notes.txt"), "not ours").unwrap();
    shelf.take(&server);
    assert!(shelf.backup().join("notes.txt").exists(), "files that are not ours are left alone");
    let (_home, restored) = shelf.restored();
    assert_eq!(ids(&restored), (0..310).collect());
}

#[test]
fn a_damaged_backup_is_refused_by_the_name_of_the_file() {
    let home = Home::with_config(QUIET);
    let server = home.start();
    let shelf = Shelf::new();
    server.jsonl(lines(0..50)).accepted();
    shelf.take(&server);
    let data = shelf.path("data");
    let files: Vec<PathBuf> = shelf.content().into_iter().map(|(path, _)| path).collect();
    for path in &files {
        let whole = std::fs::read(path).unwrap();
        for place in [0, whole.len() / 3, whole.len() - 2] {
            let mut flipped = whole.clone();
            flipped[place] ^= 0x04;
            std::fs::write(path, &flipped).unwrap();
            let name = path.file_name().unwrap().to_str().unwrap();
            for output in [shelf.verify(), shelf.restore_to(&data)] {
                assert!([1, 2].contains(&output.code), "{name} {place}: {output:?}");
                assert!(output.stderr.contains(name), "{name} {place}: {output:?}");
            }
            assert!(!data.exists());
        }
        std::fs::write(path, &whole[..whole.len() - 2]).unwrap();
        assert!([1, 2].contains(&shelf.restore_to(&data).code));
        std::fs::remove_file(path).unwrap();
        assert!([1, 2].contains(&shelf.restore_to(&data).code));
        std::fs::write(path, &whole).unwrap();
    }
    let left: Vec<_> = std::fs::read_dir(shelf.path("")).unwrap().collect();
    assert_eq!(left.len(), 1, "only the backup is there: {left:?}");
    assert_eq!(shelf.verify().code, 0, "it is whole again");
}

#[test]
fn what_cannot_be_used_is_refused_with_2_and_nothing_is_touched() {
    let home = Home::with_config(QUIET);
    let server = home.start();
    server.jsonl(lines(0..5)).accepted();
    let shelf = Shelf::new();
    let backup_to = |path: &Path| server.logq(&["backup", path.to_str().unwrap()]);
    // A file, a place that cannot be made, a folder of something else, a data folder.
    let file = home.write("file", "x");
    for path in [
        &file,
        &file.join("below"),
        Path::new("/proc/backup"),
        file.parent().unwrap(),
        &home.data(),
    ] {
        let output = backup_to(path);
        assert_eq!(output.code, 2, "{}: {output:?}", path.display());
        assert!(output.stderr.contains(path.to_str().unwrap()), "{output:?}");
    }
    assert_eq!(metric(&server, "logq_store_snapshots"), 0);
    assert_eq!(shelf.verify().code, 2, "there is none yet");
    shelf.take(&server);
    // Another store's backup is not replaced.
    let other_home = Home::with_config(QUIET);
    let other = other_home.start();
    let before = shelf.content();
    let output = other.logq(&["backup", shelf.backup().to_str().unwrap()]);
    assert_eq!(output.code, 2, "{output:?}");
    assert_eq!(shelf.content(), before);
    assert_eq!(metric(&other, "logq_store_snapshots"), 0);
    // Data that is there is not written over; an empty folder is no data.
    for path in [home.data(), file.clone(), file.join("below")] {
        let output = shelf.restore_to(&path);
        assert_eq!(output.code, 2, "{}: {output:?}", path.display());
    }
    std::fs::create_dir(shelf.path("empty")).unwrap();
    assert_eq!(shelf.restore_to(&shelf.path("empty")).code, 0);
    assert_eq!(shelf.restore_to(&shelf.path("empty")).code, 2);
    // A newer program's.
    let manifest = std::fs::read_to_string(shelf.backup().join("manifest.json")).unwrap();
    let newer = manifest.replace("\"format_version\": 1", "\"format_version\": 2");
    std::fs::write(shelf.backup().join("manifest.json"), newer).unwrap();
    for output in [shelf.verify(), shelf.restore_to(&shelf.path("new")), backup_to(&shelf.backup())]
    {
        assert_eq!(output.code, 2, "{output:?}");
        assert!(output.stderr.contains("version 2"), "{output:?}");
    }
    // Nobody is there.
    let elsewhere = shelf.path("elsewhere");
    let output = logq(&["backup", elsewhere.to_str().unwrap(), "--addr", "http://127.0.0.1:1"]);
    assert_eq!(output.code, 3, "{output:?}");
}

/// `logq backup` that dies at a place.
fn dying(server: &Server, arguments: &[&str], failpoint: &str) -> Output {
    let mut command = Command::new(LOGQ);
    without_settings(&mut command)
        .args(arguments)
        .env("LOGQ_INGEST_ADDR", &server.ingest)
        .env("LOGQ_FAILPOINT", failpoint);
    let output = run(&mut command, b"");
    assert_eq!(output.code, -1, "killed at {failpoint}: {output:?}");
    output
}

#[test]
fn a_client_that_is_killed_leaves_the_backup_that_was_there_and_the_next_one_goes_on() {
    let home = Home::with_config(QUIET);
    let server = home.start();
    let shelf = Shelf::new();
    server.jsonl(lines(0..100)).accepted();
    let folder = shelf.backup();
    let arguments = ["backup", folder.to_str().unwrap()];
    // The first backup: there is none until it ends.
    dying(&server, &arguments, "backup.file_copied=kill@2");
    assert_eq!(shelf.verify().code, 2);
    let output = shelf.take(&server);
    assert_eq!(count(&output, "files kept") + count(&output, "files copied"), 3);
    for (round, failpoint) in
        ["backup.file_copied=kill@1", "backup.file_copied=kill@2", "file.written=kill"]
            .into_iter()
            .enumerate()
    {
        let first = 100 + round as u64 * 10;
        let before = shelf.manifest();
        server.jsonl(lines(first..first + 10)).accepted();
        dying(&server, &arguments, failpoint);
        assert_eq!(shelf.manifest(), before, "{failpoint}");
        assert_eq!(shelf.verify().code, 0, "{failpoint}");
        let whole = Shelf::new();
        assert_eq!(
            logq(&["restore", arguments[1], "--data", whole.path("data").to_str().unwrap()]).code,
            0
        );
        // The snapshots of those that were killed are held until their lease ends; four are too many.
        let held = server.http().get(&format!("{}/api/v1/backups", server.ingest)).json();
        for snapshot in held["snapshots"].as_array().unwrap() {
            let url =
                format!("{}/api/v1/backups/{}", server.ingest, snapshot["id"].as_str().unwrap());
            assert_eq!(server.http().delete(&url).status, 204);
        }
        shelf.take(&server);
        let names = shelf
            .content()
            .into_iter()
            .filter(|(path, _)| path.to_string_lossy().ends_with(".tmp"));
        assert_eq!(names.count(), 0, "what was begun is gone");
    }
    // Killed after the manifest was written: the new one counts, what is left over goes with the next.
    server.jsonl(lines(130..140)).accepted();
    dying(&server, &arguments, "backup.committed=kill");
    assert_eq!(shelf.verify().code, 0);
    let (_home, restored) = shelf.restored();
    assert_eq!(ids(&restored), (0..140).collect());
}

#[test]
fn a_server_that_is_killed_while_it_is_copied_starts_again_and_the_backup_that_was_there_is_whole()
{
    let home = Home::with_config(QUIET);
    let server = home.start();
    let shelf = Shelf::new();
    server.jsonl(lines(0..100)).accepted();
    shelf.take(&server);
    server.stop();
    let mut command = home.up();
    command.env("LOGQ_FAILPOINT", "backup.snapshot=kill");
    let server = home.start_by(command, "stop ");
    server.jsonl(lines(100..200)).accepted();
    let before = shelf.content();
    let output = server.logq(&["backup", shelf.backup().to_str().unwrap()]);
    assert_eq!(output.code, 3, "{output:?}");
    assert_eq!(shelf.content(), before);
    assert_eq!(shelf.verify().code, 0);
    drop(server);
    let snapshots = home.data().join("snapshots");
    assert_eq!(
        std::fs::read_dir(&snapshots).unwrap().count(),
        1,
        "the kill left a copy of the catalog"
    );
    let server = home.start();
    assert_eq!(std::fs::read_dir(&snapshots).unwrap().count(), 0);
    assert_eq!(ids(&server), (0..200).collect());
    shelf.take(&server);
    let (_home, restored) = shelf.restored();
    assert_eq!(ids(&restored), (0..200).collect());
}

#[test]
fn a_restore_that_is_killed_leaves_nothing_that_starts_and_the_next_one_ends() {
    let home = Home::with_config(QUIET);
    let server = home.start();
    let shelf = Shelf::new();
    server.jsonl(lines(0..100)).accepted();
    shelf.take(&server);
    let target = Home::with_config(QUIET);
    let (backup, data) = (shelf.backup(), target.data());
    let arguments = ["restore", backup.to_str().unwrap(), "--data", data.to_str().unwrap()];
    dying(&server, &arguments, "restore.copied=kill");
    assert!(!data.exists());
    let half = data.with_file_name(".data.restoring");
    let output = logq(&["up", "--data", half.to_str().unwrap()]);
    assert_ne!(output.code, 0, "{output:?}");
    assert!(output.stderr.contains("restoring"), "{output:?}");
    assert_eq!(shelf.restore_to(&data).code, 0);
    assert!(!half.exists());
    let restored = target.start();
    assert_eq!(ids(&restored), (0..100).collect());
    restored.stop();
    // After the rename it is whole.
    std::fs::remove_dir_all(&data).unwrap();
    dying(&server, &arguments, "restore.renamed=kill");
    let restored = target.start();
    assert_eq!(ids(&restored), (0..100).collect());
    assert_eq!(restored.ledger()["accepted"], 100);
}

#[test]
fn a_full_disk_ends_a_backup_and_a_restore_and_leaves_what_was_there() {
    let shelf = Shelf::new();
    let path = shelf.path("disk");
    std::fs::create_dir(&path).unwrap();
    let Some(disk) = SmallDisk::mount(path.clone(), 4) else { return };
    let on_disk = |arguments: &[&str], server: &Server| {
        let launcher = disk.launcher();
        let mut command = Command::new(&launcher[0]);
        without_settings(&mut command)
            .args(&launcher[1..])
            .arg(LOGQ)
            .args(arguments)
            .env("LOGQ_INGEST_ADDR", &server.ingest);
        run(&mut command, b"")
    };
    let home = Home::with_config(QUIET);
    let server = home.start();
    server.jsonl(lines(0..100)).accepted();
    let (backup, data) = (path.join("backup"), path.join("data"));
    let (backup, data) = (backup.to_str().unwrap(), data.to_str().unwrap());
    assert_eq!(on_disk(&["backup", backup], &server).code, 0);
    disk.fill();
    server.jsonl(lines(100..200)).accepted();
    let output = on_disk(&["backup", backup], &server);
    assert_eq!(output.code, 1, "{output:?}");
    assert!(output.stderr.contains("no space left"), "{output:?}");
    assert_eq!(metric(&server, "logq_store_snapshots"), 0);
    assert_eq!(on_disk(&["backup", "--verify", backup], &server).code, 0);
    let output = on_disk(&["restore", backup, "--data", data], &server);
    assert_eq!(output.code, 1, "{output:?}");
    assert!(output.stderr.contains("no space left"), "{output:?}");
    disk.free();
    assert_eq!(on_disk(&["restore", backup, "--data", data], &server).code, 0);
    assert_eq!(on_disk(&["backup", backup], &server).code, 0);
    assert_eq!(on_disk(&["backup", "--verify", backup], &server).code, 0);
}

#[test]
fn files_are_streamed_in_pieces_and_leases_are_bounded() {
    let home = Home::with_config(QUIET);
    let server = home.start();
    server.jsonl(lines(0..1_000)).accepted();
    let url = format!("{}/api/v1/backups", server.ingest);
    let begin = || server.http().post(&url, &[], "");
    let begun = begin();
    assert_eq!(begun.status, 201);
    let begun = begun.json();
    let (id, file) = (begun["id"].as_str().unwrap(), &begun["manifest"]["files"][2]);
    let length = file["length"].as_u64().unwrap();
    let get = |name: &str| server.http().get(&format!("{url}/{id}/files/{name}"));
    let whole = get(file["name"].as_str().unwrap());
    assert_eq!((whole.status, whole.body.len() as u64), (200, length));
    let kept = home.data().join(file["name"].as_str().unwrap());
    assert_eq!(whole.body, std::fs::read(kept).unwrap());
    for name in
        ["segments/../VERSION", "VERSION", "LOCK", "catalog.db-wal", "segments/9.records.parquet"]
    {
        assert_eq!(get(name).status, 404, "{name}");
    }
    let url_of_file = format!("{url}/{id}/files/{}", file["name"].as_str().unwrap());
    let range = |range: &str| {
        let answer = server.http().get_with(&url_of_file, ("range", &format!("bytes={range}")));
        (answer.status, answer.body)
    };
    assert_eq!(range("10-19"), (206, whole.body[10..20].to_vec()));
    assert_eq!(
        range(&format!("{}-", length - 5)),
        (206, whole.body[whole.body.len() - 5..].to_vec())
    );
    assert_eq!(range(&format!("{length}-")).0, 416);
    assert_eq!(range("1-2,4-5"), (200, whole.body.clone()));
    for _ in 1..4 {
        assert_eq!(begin().status, 201);
    }
    let refused = begin();
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("10")));
    assert_eq!(metric(&server, "logq_store_snapshots"), 4);
    assert_eq!(server.http().delete(&format!("{url}/{id}")).status, 204);
    let gone = server.http().get(&format!("{url}/{id}"));
    assert_eq!(gone.refusal().1, "no_such_backup");
    assert_eq!(begin().status, 201);
    server.stop();
    assert_eq!(std::fs::read_dir(home.data().join("snapshots")).unwrap().count(), 0);
}

/// `logq backup` that waits after each file that it copied.
fn slow(server: &Server, shelf: &Shelf) -> Child {
    let mut command = Command::new(LOGQ);
    without_settings(&mut command)
        .args(["backup", shelf.backup().to_str().unwrap()])
        .env("LOGQ_INGEST_ADDR", &server.ingest)
        .env("LOGQ_FAILPOINT", "backup.file_copied=sleep:700")
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let before = std::fs::read_dir(shelf.backup()).map_or(0, Iterator::count);
    let child = command.spawn().unwrap();
    // The catalog is the first file.
    eventually("a file is copied", || {
        let now = std::fs::read_dir(shelf.backup()).map_or(0, Iterator::count);
        (now > before + usize::from(before == 0) * 2).then_some(())
    });
    child
}

fn end_of(child: Child) -> Output {
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Output {
        code: output.status.code().unwrap_or(-1),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

#[test]
fn two_backups_into_one_folder_do_not_meet_and_nobody_reads_it_half_made() {
    let home = Home::with_config(QUIET);
    let server = home.start();
    let shelf = Shelf::new();
    server.jsonl(lines(0..100)).accepted();
    let first = slow(&server, &shelf);
    for output in [
        server.logq(&["backup", shelf.backup().to_str().unwrap()]),
        shelf.verify(),
        shelf.restore_to(&shelf.path("data")),
    ] {
        assert_eq!(output.code, 2, "{output:?}");
        assert!(output.stderr.contains("is in use by logq (process"), "{output:?}");
    }
    assert_eq!(end_of(first).code, 0);
    assert_eq!(shelf.verify().code, 0);
    assert_eq!(shelf.restore_to(&shelf.path("data")).code, 0);
}

#[test]
fn an_interrupted_backup_lets_go_of_its_snapshot_and_leaves_the_one_before() {
    let home = Home::with_config(QUIET);
    let server = home.start();
    let shelf = Shelf::new();
    server.jsonl(lines(0..100)).accepted();
    shelf.take(&server);
    server.jsonl(lines(100..200)).accepted();
    let before = shelf.manifest();
    let client = slow(&server, &shelf);
    assert_eq!(metric(&server, "logq_store_snapshots"), 1);
    let pid = client.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let output = end_of(client);
    assert_eq!(output.code, 1, "{output:?}");
    assert!(output.stderr.contains("interrupted"), "{output:?}");
    assert_eq!(metric(&server, "logq_store_snapshots"), 0);
    assert_eq!(shelf.manifest(), before);
    assert_eq!(shelf.verify().code, 0);
}

#[test]
fn a_server_that_goes_away_while_files_are_copied_ends_the_backup_with_3() {
    let home = Home::with_config(QUIET);
    let server = home.start();
    let shelf = Shelf::new();
    server.jsonl(lines(0..100)).accepted();
    shelf.take(&server);
    server.jsonl(lines(100..200)).accepted();
    let before = shelf.manifest();
    let client = slow(&server, &shelf);
    server.kill();
    let output = end_of(client);
    assert_eq!(output.code, 3, "{output:?}");
    assert_eq!(shelf.manifest(), before);
    assert_eq!(shelf.verify().code, 0);
    let server = home.start();
    let output = shelf.take(&server);
    assert!(count(&output, "files kept") >= 2, "{output:?}");
    let (_home, restored) = shelf.restored();
    assert_eq!(ids(&restored), (0..200).collect());
}

#[test]
fn records_that_come_while_a_backup_is_made_are_neither_refused_nor_torn() {
    let home = Home::with_config("[collector]\nflush_age = \"100ms\"\n");
    let server = home.start();
    let shelf = Shelf::new();
    server.jsonl(lines(0..1_000)).accepted();
    let client = slow(&server, &shelf);
    for round in 10..40 {
        assert_eq!(server.jsonl(lines(round * 100..(round + 1) * 100)).accepted(), 100);
    }
    assert_eq!(end_of(client).code, 0);
    assert_eq!(server.ledger()["accepted"], 4_000);
    let (_home, restored) = shelf.restored();
    assert_eq!(ids(&restored), (0..1_000).collect());
}

#[test]
fn a_server_whose_disk_is_full_refuses_a_backup_and_holds_nothing_for_it() {
    let folder = tempfile::tempdir().unwrap();
    // Room for two preallocated files of the journal, 64 MiB each.
    let Some(disk) = SmallDisk::mount(folder.path().to_owned(), 150) else { return };
    let home = Home::with_config(QUIET).launched_by(disk.launcher(), folder.path().join("data"));
    let server = home.start();
    let shelf = Shelf::new();
    server.jsonl(lines(0..100)).accepted();
    shelf.take(&server);
    server.jsonl(lines(100..200)).accepted();
    disk.fill();
    let (before, backup) = (shelf.content(), shelf.backup());
    for _ in 0..5 {
        let output = server.logq(&["backup", backup.to_str().unwrap()]);
        assert_eq!(output.code, 1, "{output:?}");
        assert!(
            output.stderr.contains("507") && output.stderr.contains("no space left"),
            "{output:?}"
        );
    }
    assert_eq!(metric(&server, "logq_store_snapshots"), 0);
    assert_eq!(shelf.content(), before);
    disk.free();
    shelf.take(&server);
    let (_home, restored) = shelf.restored();
    assert_eq!(ids(&restored), (0..200).collect());
}
