//! What can be found in a folder besides good files, and how a source is woken.

use std::fs::{self, Permissions};
use std::ops::ControlFlow::{Break, Continue};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::{Duration, Instant};

use agent::source::file::{FileEvent, FileSettings, FileSource, StartAt};

use crate::harness::{Agent, open};

fn none() -> Vec<String> {
    Vec::new()
}

#[test]
fn a_file_with_two_names_is_read_once() {
    let mut agent = Agent::new(&["*.log"]);
    agent.append("a.log", "one\n");
    fs::hard_link(agent.path("a.log"), agent.path("b.log")).unwrap();
    symlink("a.log", agent.path("c.log")).unwrap();
    assert_eq!(agent.settled(), ["one"]);
    assert_eq!(agent.state.lines[0].0, "a.log");
    agent.remove("a.log");
    agent.append("b.log", "two\n");
    assert_eq!(agent.settled(), ["two"]);
}

#[test]
fn a_link_that_leads_to_another_file_is_a_rotation() {
    let mut agent = Agent::new(&["current"]);
    agent.append("first", "one\n");
    symlink("first", agent.path("current")).unwrap();
    assert_eq!(agent.read(), ["one"]);
    agent.append("first", "two\n");
    agent.append("second", "three\n");
    agent.remove("current");
    symlink("second", agent.path("current")).unwrap();
    assert_eq!(agent.read(), ["two", "three"]);
    assert!(agent.state.lines.iter().all(|(origin, _)| origin == "current"));
    // The target is rotated away while the agent is down, and the link leads to a new one.
    agent.commit();
    agent.append("second", "four\n");
    agent.rename("second", "second.1");
    agent.append("second", "five\n");
    agent.restart();
    assert_eq!(agent.settled(), ["four", "five"]);
    assert_eq!(agent.notices(), none());
}

#[test]
fn a_folder_that_appears_later_is_read() {
    let mut agent = Agent::new(&["deep/**/*.log", "flat/a.log"]);
    assert_eq!(agent.settled(), none());
    fs::create_dir_all(agent.path("deep/er")).unwrap();
    fs::create_dir_all(agent.path("flat")).unwrap();
    agent.append("deep/er/a.log", "one\n");
    agent.append("flat/a.log", "two\n");
    assert_eq!(agent.settled(), ["one", "two"]);
}

#[test]
fn a_file_that_becomes_a_folder_or_a_pipe_is_left() {
    let mut agent = Agent::new(&["*.log"]);
    agent.append("a.log", "one\n");
    agent.append("b.log", "two\n");
    assert_eq!(agent.read(), ["one", "two"]);
    agent.remove("a.log");
    fs::create_dir(agent.path("a.log")).unwrap();
    agent.remove("b.log");
    let (fifo, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU);
    rustix::fs::mknodat(rustix::fs::CWD, agent.path("b.log"), fifo, mode, 0).unwrap();
    assert_eq!(agent.settled(), none());
    assert_eq!(agent.notices(), ["not a file b.log named pipe"], "once");
}

#[test]
fn a_file_that_may_not_be_read_is_told_once_and_read_later() {
    let mut agent = Agent::new(&["*.log"]);
    agent.append("a.log", "one\n");
    let path = agent.path("a.log");
    fs::set_permissions(&path, Permissions::from_mode(0o000)).unwrap();
    // Who may read everything sees no fault.
    if open_fails(&path) {
        assert_eq!(agent.settled(), none());
        assert_eq!(agent.notices(), ["unreadable a.log PermissionDenied"]);
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    }
    assert_eq!(agent.settled(), ["one"]);
}

#[test]
fn a_path_that_leads_nowhere_for_ever_is_told_once_and_read_later() {
    let mut agent = Agent::new(&["*.log"]);
    symlink("a.log", agent.path("a.log")).unwrap();
    assert_eq!(agent.settled(), none());
    assert_eq!(agent.notices(), ["unreadable a.log FilesystemLoop"]);
    agent.remove("a.log");
    agent.append("a.log", "one\n");
    assert_eq!(agent.settled(), ["one"]);
    assert_eq!(agent.notices(), none());
}

fn open_fails(path: &std::path::Path) -> bool {
    fs::File::open(path).is_err()
}

#[test]
fn more_files_than_allowed_are_told_and_the_others_are_read() {
    let mut agent = Agent::with(&["*.log"], |_| {}, |settings| settings.files_max = 3);
    for name in 0..5 {
        agent.append(&format!("{name}.log"), "line\n");
    }
    assert_eq!(agent.settled().len(), 3);
    assert_eq!(agent.notices(), ["too many 3"]);
}

#[test]
fn many_files_take_turns_with_few_descriptors() {
    let mut agent = Agent::with(&["*.log"], |_| {}, |settings| settings.open_files_max = 4);
    for round in 0..3 {
        for name in 0..50 {
            agent.append(&format!("{name:02}.log"), &format!("{name} {round}\n"));
        }
        assert_eq!(agent.read().len(), 50);
    }
    // A big one does not keep a small one waiting.
    agent.append("00.log", &"x\n".repeat(1 << 20));
    agent.append("49.log", "small\n");
    agent.pass(1);
    let mut before = 0;
    let _ = agent.source.turn(agent.now, 4 << 20, &mut |event| match event {
        FileEvent::Line { line, .. } if line.bytes == b"small" => Break(()),
        FileEvent::Line { .. } => {
            before += 1;
            Continue(())
        }
        _ => Continue(()),
    });
    assert!(before <= 256 << 10, "{before}");
}

#[test]
fn a_long_line_comes_in_parts_and_holes_are_content() {
    let mut agent = Agent::new(&["*.log"]);
    let long = "y".repeat((5 << 20) / 2);
    agent.append("a.log", &format!("short\n{long}"));
    assert_eq!(agent.read().iter().map(String::len).collect::<Vec<_>>(), [5, 1 << 20, 1 << 20]);
    agent.commit();
    agent.restart();
    agent.append("a.log", "\nnext\n");
    let rest = agent.settled();
    assert_eq!(rest.iter().map(String::len).collect::<Vec<_>>(), [1 << 19, 4]);
    open(&agent.path("hole.log")).set_len(3 << 19).unwrap();
    agent.append("hole.log", "\n");
    assert_eq!(agent.settled().iter().map(String::len).sum::<usize>(), 3 << 19);
}

#[test]
fn a_long_line_in_small_pieces_waits_for_its_end() {
    let mut agent = Agent::new(&["*.log"]);
    for _ in 0..100 {
        agent.append("a.log", &"z".repeat(5_000));
        assert_eq!(agent.read(), none());
    }
    agent.append("a.log", "\n");
    assert_eq!(agent.read().iter().map(String::len).collect::<Vec<_>>(), [500_000]);
}

#[test]
fn without_being_told_files_are_looked_at() {
    let mut agent = Agent::with(&["*.log"], |_| {}, |settings| settings.watch = false);
    agent.append("a.log", "one\n");
    assert_eq!(agent.read(), ["one"]);
    agent.append("a.log", "two\n");
    assert_eq!(agent.read(), ["two"]);
    agent.rename("a.log", "a.log.1");
    agent.append("a.log", "three\n");
    assert_eq!(agent.settled(), ["three"]);
}

#[test]
fn a_write_a_new_file_and_a_waker_end_the_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.log");
    open(&path);
    let settings = FileSettings {
        include: vec![folder.path().join("*.log").to_str().unwrap().to_owned()],
        start_at: StartAt::Beginning,
        scan_interval: Duration::from_secs(1000),
        ..FileSettings::default()
    };
    let mut source = FileSource::new(settings, Vec::new(), true).unwrap();
    let limit = Instant::now() + Duration::from_secs(60);
    let mut wait_for = |text: &str| loop {
        let mut found = false;
        let turn = source.turn(Instant::now(), 1 << 20, &mut |event| {
            found |= matches!(event, FileEvent::Line { line, .. } if line.bytes == text.as_bytes());
            Continue(())
        });
        if found || text.is_empty() {
            break turn;
        }
        assert!(Instant::now() < limit, "{text} was not seen");
        source.wait(turn.wake_at.min(limit));
    };
    // The folder is watched from the second scan on at the latest.
    wait_for("");
    let _ = std::iter::repeat_with(|| wait_for(""))
        .find(|turn| turn.wake_at > Instant::now() + Duration::from_secs(500));
    let thread = std::thread::spawn(move || {
        use std::io::Write;
        open(&path).write_all(b"written\n").unwrap();
        fs::write(path.with_file_name("b.log"), "new\n").unwrap();
    });
    wait_for("written");
    thread.join().unwrap();
    wait_for("new");
    let waker = source.waker();
    waker.wake();
    let before = Instant::now();
    source.wait(before + Duration::from_secs(30));
    assert!(before.elapsed() < Duration::from_secs(20));
}
