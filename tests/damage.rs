//! Damage on the disk, on the real binary: it starts, says what is wrong, and answers with everything else.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod server;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use server::requests::{ids, lines};
use server::{Home, Output, Server, eventually, logq};

/// Three segments of one day, and a hundred records in the journal alone; nobody runs.
fn home() -> Home {
    let home = Home::with_config("[collector]\nflush_age = \"1h\"\n");
    let server = home.start();
    for start in [0, 100, 200] {
        assert_eq!(server.jsonl(lines(start..start + 100)).accepted(), 100);
        assert_eq!(server.flush().status, 200);
    }
    assert_eq!(server.jsonl(lines(300..400)).accepted(), 100);
    server.kill();
    home
}

fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let mut files: Vec<PathBuf> =
        files.filter(|path| path.to_string_lossy().ends_with(ending)).collect();
    files.sort();
    files
}

fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    let at = at.min(bytes.len() - 1);
    bytes[at] ^= 16;
    std::fs::write(path, bytes).unwrap();
}

fn check(home: &Home) -> Output {
    logq(&["check", home.data().to_str().unwrap()])
}

/// Its status, and what the check of the store says.
fn ready(server: &Server) -> (String, String) {
    let answer = server.http().get(&format!("{}/health/ready", server.query));
    assert_eq!(answer.status, 200, "what is degraded can still be asked");
    let json = answer.json();
    let reason = json["checks"]["store"]["reason"].as_str().unwrap_or_default().to_owned();
    (json["status"].as_str().unwrap().to_owned(), reason)
}

fn degraded_by(server: &Server, name: &str) {
    eventually("health names what is damaged", || {
        let (status, reason) = ready(server);
        (status == "degraded" && reason.contains(name)).then_some(())
    });
}

#[test]
fn a_folder_without_damage_is_fine_and_one_in_use_is_not_checked() {
    let home = home();
    let output = check(&home);
    assert_eq!(output.code, 0, "{output:?}");
    assert!(output.stdout.ends_with("nothing is damaged\n"), "{output:?}");
    let server = home.start();
    let output = check(&home);
    assert_eq!(output.code, 2, "{output:?}");
    assert!(output.stderr.contains("in use by"), "{output:?}");
    assert_eq!(ids(&server), (0..400).collect());
    server.stop();
    // A folder that was restored has no journal before its first start.
    std::fs::remove_dir(home.data().join("journal")).unwrap();
    assert_eq!(check(&home).code, 0);
    let output = logq(&["check", "/nowhere"]);
    assert_eq!((output.code, output.stdout.as_str()), (2, ""), "{output:?}");
}

#[test]
fn a_damaged_segment_is_named_and_left_out_and_answers_say_that_they_are_partial() {
    let home = home();
    let segment = files(&home.data().join("segments"), ".parquet").swap_remove(1);
    let name = segment.file_name().unwrap().to_string_lossy().into_owned();
    flip(&segment, 700);
    let output = check(&home);
    assert_eq!(output.code, 1, "{output:?}");
    assert!(output.stdout.contains(&format!("DAMAGED segments/{name}")), "{output:?}");

    let server = home.start();
    let search = |query: &str| {
        server.logq(&["search", "--since", "1h", "-n", "1000", "-o", "json", "--", query])
    };
    let output = search("*");
    assert_eq!(output.code, 4, "{output:?}");
    assert!(output.stderr.contains("damaged"), "{output:?}");
    let found: BTreeSet<u64> = output
        .json_lines()
        .iter()
        .map(|record| record["attributes"]["id"].as_u64().unwrap())
        .collect();
    let rest: BTreeSet<u64> = (0..100).chain(200..400).collect();
    assert_eq!(found, rest);
    let output = search("* | stats count()");
    assert_eq!((output.code, &output.json_lines()[0]["count"]), (4, &300.into()), "{output:?}");
    degraded_by(&server, &name);
    let ledger = eventually("the segment is set apart", || {
        let ledger = server.ledger();
        (ledger["quarantined"] == 100).then_some(ledger)
    });
    assert_eq!(ledger["accepted"], 400, "{ledger}");
    assert!(home.data().join("quarantine").join(&name).is_file());
    assert_eq!(search("*").code, 4, "nothing of it is there, and it is said");
    // Another tenant has lost nothing.
    let other = server.logq(&["search", "--tenant", "other", "--", "*"]);
    assert_eq!(other.code, 1, "{other:?}");
    // It goes on.
    assert_eq!(server.jsonl(lines(400..500)).accepted(), 100);
    server.stop();

    assert_eq!(check(&home).code, 1, "still told");
    std::fs::remove_dir_all(home.data().join("quarantine")).unwrap();
    let server = home.start();
    assert_eq!(ready(&server), ("ok".to_owned(), String::new()));
    assert_eq!(ids(&server), rest.into_iter().chain(400..500).collect());
}

#[test]
fn a_damaged_index_is_built_again_and_nothing_is_lost() {
    let home = home();
    for index in files(&home.data().join("segments"), ".tantivy") {
        flip(&index, 300);
    }
    assert_eq!(check(&home).code, 1);
    let server = home.start();
    assert_eq!(ids(&server), (0..400).collect());
    // By words, for which the index is there.
    assert_eq!(server.search("record").len(), 400);
    eventually("the indexes are built again", || (ready(&server).0 == "ok").then_some(()));
    assert_eq!(server.search("record").len(), 400);
    server.ledger();
    server.stop();
    assert_eq!(check(&home).code, 0);
}

#[test]
fn a_catalog_of_garbage_or_none_is_made_again() {
    for damage in [
        |path: &Path| {
            std::fs::write(path, "no database at all, but some text").unwrap();
            // The write-ahead log of the killed process has all of it once more.
            std::fs::remove_file(path.with_extension("db-wal")).unwrap();
        },
        |path: &Path| std::fs::remove_file(path).unwrap(),
    ] {
        let home = home();
        damage(&home.data().join("catalog.db"));
        assert_eq!(check(&home).code, 1);
        let server = home.start();
        degraded_by(&server, "catalog");
        assert_eq!(ids(&server), (0..400).collect());
        let ledger = server.ledger();
        assert_eq!((&ledger["accepted"], &ledger["quarantined"]), (&400.into(), &0.into()));
        server.stop();
        assert_eq!(check(&home).code, 0);
    }
}

#[test]
fn a_damaged_journal_entry_is_named_and_the_others_are_kept() {
    let home = home();
    let server = home.start();
    assert_eq!(server.jsonl(lines(400..410)).accepted(), 10);
    assert_eq!(server.jsonl(lines(410..420)).accepted(), 10);
    server.kill();
    let journal = files(&home.data().join("journal"), ".journal").pop().unwrap();
    let name = journal.file_name().unwrap().to_string_lossy().into_owned();
    flip(&journal, 64 + 400);
    let output = check(&home);
    assert_eq!(output.code, 1, "{output:?}");
    assert!(output.stdout.contains(&format!("DAMAGED journal/{name}")), "{output:?}");
    let server = home.start();
    degraded_by(&server, &name);
    let there = ids(&server);
    assert_eq!(there.len(), 410, "one of the last two entries is gone: {there:?}");
    let ledger = server.ledger();
    assert_eq!(ledger["quarantined"].as_u64().unwrap(), 420 - there.len() as u64, "{ledger}");
}
