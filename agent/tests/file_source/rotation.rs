//! Each kind of rotation, seen while it happens.

use std::io::Write;

use crate::harness::{Agent, open};

/// Nothing more comes, and nothing is told.
fn nothing_more(agent: &mut Agent) {
    assert_eq!(agent.settled(), Vec::<String>::new());
    assert_eq!(agent.notices(), Vec::<String>::new());
}

#[test]
fn a_file_that_grows_gives_its_lines_and_keeps_an_unfinished_one() {
    let mut agent = Agent::new(&["*.log"]);
    agent.append("a.log", "one\r\ntwo\nthr");
    assert_eq!(agent.read(), ["one", "two"]);
    let status = agent.source.status();
    assert_eq!((status[0].offset, status[0].lag_bytes, status[0].incomplete_line_bytes), (9, 3, 3));
    agent.append("a.log", "ee\nfour\n");
    assert_eq!(agent.read(), ["three", "four"]);
    nothing_more(&mut agent);
}

#[test]
fn a_renamed_file_is_read_to_its_end_before_the_new_one() {
    for globs in [["*.log"], ["*.log*"]] {
        let mut agent = Agent::new(&globs);
        agent.append("a.log", "one\n");
        assert_eq!(agent.read(), ["one"]);
        let mut writer = open(&agent.path("a.log"));
        writer.write_all(b"two\n").unwrap();
        agent.rename("a.log", "a.log.1");
        writer.write_all(b"three\n").unwrap();
        agent.append("a.log", "five\n");
        writer.write_all(b"four\n").unwrap();
        assert_eq!(agent.read(), ["two", "three", "four", "five"], "{globs:?}");
        // The writer has not noticed yet.
        writer.write_all(b"late\n").unwrap();
        assert_eq!(agent.read(), ["late"], "{globs:?}");
        nothing_more(&mut agent);
        assert_eq!(agent.source.status().len(), 1, "the old one is finished");
    }
}

#[test]
fn a_file_renamed_without_a_new_one_is_followed_until_quiet() {
    let mut agent = Agent::new(&["a.log"]);
    agent.append("a.log", "one\n");
    agent.turn();
    agent.rename("a.log", "old");
    agent.pass(1);
    agent.turn();
    let mut writer = open(&agent.path("old"));
    for line in ["two", "three", "four"] {
        writeln!(writer, "{line}").unwrap();
        agent.pass(3);
        agent.turn();
    }
    write!(writer, "no end").unwrap();
    agent.pass(1);
    agent.turn();
    assert_eq!(agent.lines(), ["one", "two", "three", "four"]);
    agent.pass(6);
    agent.turn();
    assert_eq!(agent.lines(), ["no end"]);
    agent.append("a.log", "new\n");
    assert_eq!(agent.read(), ["new"]);
    nothing_more(&mut agent);
}

#[test]
fn a_chain_of_renames_is_followed() {
    let mut agent = Agent::new(&["*"]);
    let mut expected = Vec::new();
    for round in 0..5 {
        for old in (1..round).rev() {
            agent.rename(&format!("a.log.{old}"), &format!("a.log.{}", old + 1));
        }
        if round > 0 {
            agent.rename("a.log", "a.log.1");
        }
        agent.append("a.log", &format!("round {round} begins\nround {round} ends\n"));
        expected.extend([format!("round {round} begins"), format!("round {round} ends")]);
        agent.pass(2);
        agent.turn();
    }
    assert_eq!(agent.settled(), expected);
    nothing_more(&mut agent);
}

#[test]
fn an_unfinished_line_of_the_old_file_comes_before_the_new_file() {
    let mut agent = Agent::new(&["*.log"]);
    agent.append("a.log", "one\ntw");
    agent.turn();
    let mut writer = open(&agent.path("a.log"));
    agent.rename("a.log", "a.log.1");
    agent.append("a.log", "three\n");
    assert_eq!(agent.read(), ["one"], "the new one waits");
    writer.write_all(b"o\n").unwrap();
    assert_eq!(agent.read(), ["two", "three"]);
    nothing_more(&mut agent);
}

#[test]
fn a_copy_is_not_read_and_its_original_begins_anew() {
    for globs in [["a.log"], ["a.log*"]] {
        let mut agent = Agent::new(&globs);
        agent.append("a.log", "the first line\nthe second line\n");
        assert_eq!(agent.read().len(), 2);
        agent.copy("a.log", "a.log.1");
        agent.settle();
        agent.truncate("a.log");
        agent.append("a.log", "the third line\n");
        assert_eq!(agent.settled(), ["the third line"], "{globs:?}");
        assert_eq!(agent.notices(), ["truncated a.log at 31, copy, unread 0"]);
        nothing_more(&mut agent);
    }
}

#[test]
fn the_rest_of_a_cut_file_is_read_from_its_copy_first() {
    for (globs, copy) in [
        (["a.log"], "a.log.1"),
        (["a.log*"], "a.log-20260101"),
        (["a*"], "a-20260101.log"),
        (["a.log"], "a.log.old"),
    ] {
        let mut agent = Agent::new(&globs);
        agent.append("a.log", "the first line\n");
        assert_eq!(agent.read(), ["the first line"]);
        agent.append("a.log", "the second line\nno e");
        agent.copy("a.log", copy);
        agent.truncate("a.log");
        // Longer than what was read of the old content.
        agent.append("a.log", "after it was cut, there came more than there had been\n");
        let expected =
            ["the second line", "no e", "after it was cut, there came more than there had been"];
        assert_eq!(agent.read(), expected, "{copy}");
        assert_eq!(agent.notices(), ["truncated a.log at 15, copy, unread 0"], "{copy}");
        nothing_more(&mut agent);
        // Rotated once more, it is still known.
        agent.rename(copy, "a.log.2");
        nothing_more(&mut agent);
    }
}

#[test]
fn what_was_read_between_copy_and_cut_is_not_read_again() {
    let mut agent = Agent::new(&["a.log*"]);
    agent.append("a.log", "the first line\n");
    agent.copy("a.log", "a.log.1");
    agent.append("a.log", "in between\n");
    assert_eq!(agent.read(), ["the first line", "in between"]);
    agent.truncate("a.log");
    agent.append("a.log", "new\n");
    assert_eq!(agent.read(), ["new"]);
    assert_eq!(agent.notices(), ["truncated a.log at 26, copy, unread 0"]);
    nothing_more(&mut agent);
}

#[test]
fn of_two_copies_of_a_cut_file_only_one_is_read_on() {
    for (shorter, longer) in [("a.log.1", "a.log.2"), ("a.log.2", "a.log.1")] {
        let mut agent = Agent::new(&["a.log*"]);
        agent.append("a.log", "the first line\n");
        assert_eq!(agent.read(), ["the first line"]);
        agent.append("a.log", "the second line\n");
        agent.copy("a.log", shorter);
        agent.append("a.log", "the third line\n");
        agent.copy("a.log", longer);
        agent.truncate("a.log");
        // The scan that finds the copies finds out that it was cut as well.
        assert_eq!(agent.read(), ["the second line", "the third line"], "{shorter}");
        assert_eq!(agent.notices(), ["truncated a.log at 15, copy, unread 0"]);
        agent.append("a.log", "new\n");
        assert_eq!(agent.settled(), ["new"], "{shorter}");
        nothing_more(&mut agent);
    }
}

#[test]
fn a_file_that_is_cut_without_a_copy_is_told() {
    let mut agent = Agent::new(&["a.log*"]);
    agent.append("a.log", "the first line\nno end");
    agent.read();
    agent.truncate("a.log");
    agent.pass(1);
    agent.turn();
    assert_eq!(agent.notices(), ["truncated a.log at 15, no copy, unread 6"]);
    agent.append("a.log", "new\n");
    assert_eq!(agent.settled(), ["new"]);
    nothing_more(&mut agent);
}

#[test]
fn an_independent_file_with_a_related_name_is_read() {
    let mut agent = Agent::new(&["a.log*"]);
    agent.append("a.log", "same beginning\nthen one thing\n");
    agent.append("a.log.err", "same beginning\nthen another\n");
    let mut lines = agent.settled();
    lines.sort();
    assert_eq!(lines, ["same beginning", "same beginning", "then another", "then one thing"]);
}

#[test]
fn a_removed_file_is_read_to_its_end_while_it_is_open() {
    let mut agent = Agent::new(&["*.log"]);
    agent.append("a.log", "one\n");
    agent.turn();
    agent.append("a.log", "two\nno end");
    agent.remove("a.log");
    agent.append("a.log", "three\n");
    assert_eq!(agent.settled(), ["one", "two", "no end", "three"]);
    nothing_more(&mut agent);
    agent.pass(3601);
    agent.turn();
    assert_eq!(agent.state.records.len(), 1, "the removed one is forgotten after an hour");
}

#[test]
fn a_file_with_a_reused_inode_is_read_from_its_beginning() {
    // Closed at once, so that the inode is free when the file is removed.
    let mut agent = Agent::with(&["*.log"], |_| {}, |settings| settings.open_files_max = 1);
    for round in 0..20 {
        agent.append("a.log", &format!("round {round}, as long as any other\n"));
        agent.append("b.log", &format!("beside {round:2}, as long as any other\n"));
        agent.settle();
        let lines = agent.lines();
        assert_eq!(lines.len(), 2, "{round}: {lines:?}");
        agent.remove("a.log");
        agent.remove("b.log");
    }
}

#[test]
fn a_compressed_rotation_gives_nothing_new() {
    for end in ["gz", "zst"] {
        let mut agent = Agent::new(&["a.log*"]);
        agent.append("a.log", "one line\nanother line\n");
        agent.turn();
        agent.rename("a.log", "a.log.1");
        agent.append("a.log", "third line\n");
        assert_eq!(agent.settled().len(), 3);
        agent.gzip("a.log.1", &format!("a.log.1.{end}"));
        agent.settle();
        agent.remove("a.log.1");
        nothing_more(&mut agent);
        agent.rename(&format!("a.log.1.{end}"), &format!("a.log.2.{end}"));
        nothing_more(&mut agent);
        agent.commit();
        agent.restart();
        nothing_more(&mut agent);
    }
}

#[test]
fn a_compressed_file_that_is_new_is_read_once_it_is_quiet() {
    let mut agent = Agent::new(&["*.gz"]);
    agent.append("plain", "one\ntwo\nno end");
    agent.gzip("plain", "whole");
    let bytes = std::fs::read(agent.path("whole")).unwrap();
    std::fs::write(agent.path("a.log.gz"), &bytes[..bytes.len() / 2]).unwrap();
    agent.turn();
    agent.pass(4);
    std::fs::write(agent.path("a.log.gz"), &bytes).unwrap();
    assert_eq!(agent.read(), Vec::<String>::new());
    assert_eq!(agent.settled(), ["one", "two", "no end"]);
    nothing_more(&mut agent);
}

#[test]
fn a_damaged_compressed_file_gives_what_can_be_read() {
    let mut agent = Agent::new(&["*.gz"]);
    let text: String =
        (0..20_000_u32).map(|at| format!("line {}\n", at.wrapping_mul(77_777))).collect();
    agent.append("plain", &text);
    agent.gzip("plain", "whole");
    let bytes = std::fs::read(agent.path("whole")).unwrap();
    std::fs::write(agent.path("a.gz"), &bytes[..bytes.len() / 2]).unwrap();
    let lines = agent.settled();
    assert!(lines.len() > 1_000 && lines.len() < 20_000, "{}", lines.len());
    let notices = agent.notices();
    assert!(notices.len() == 1 && notices[0].starts_with("damaged a.gz at "), "{notices:?}");
    nothing_more(&mut agent);
}

#[test]
fn a_rotation_while_the_file_is_closed_is_found_in_its_folder() {
    let set = |settings: &mut agent::source::file::FileSettings| settings.open_files_max = 1;
    let mut agent = Agent::with(&["*.log"], |_| {}, set);
    agent.append("a.log", "one\n");
    agent.turn();
    agent.append("b.log", "other\n");
    agent.settle();
    agent.lines();
    agent.append("a.log", "two\n");
    agent.rename("a.log", "a.log.1");
    agent.append("a.log", "three\n");
    assert_eq!(agent.settled(), ["two", "three"]);
    nothing_more(&mut agent);
}

#[test]
fn a_file_that_was_cut_and_then_removed_is_read_while_it_is_open() {
    for copied in [true, false] {
        let mut agent = Agent::new(&["a.log"]);
        agent.append("a.log", "the first line\n");
        assert_eq!(agent.read(), ["the first line"]);
        let mut writer = open(&agent.path("a.log"));
        if copied {
            agent.copy("a.log", "a.log.1");
        }
        agent.truncate("a.log");
        agent.append("a.log", "the second line\n");
        agent.remove("a.log");
        agent.append("a.log", "the fourth line\n");
        assert_eq!(agent.read(), ["the second line", "the fourth line"], "{copied}");
        writer.write_all(b"the third line\n").unwrap();
        assert_eq!(agent.settled(), ["the third line"], "{copied}");
        let copy = if copied { "copy" } else { "no copy" };
        assert_eq!(agent.notices(), [format!("truncated a.log at 15, {copy}, unread 0")]);
        nothing_more(&mut agent);
    }
}

#[test]
fn a_file_that_was_cut_and_then_renamed_is_read_under_a_name_that_is_not_included() {
    let mut agent = Agent::new(&["a.log"]);
    agent.append("a.log", "the first line\n");
    assert_eq!(agent.read(), ["the first line"]);
    agent.copy("a.log", "a.log.1");
    agent.truncate("a.log");
    agent.append("a.log", "the second line\n");
    agent.rename("a.log", "a.log.2");
    agent.append("a.log", "the third line\n");
    assert_eq!(agent.settled(), ["the second line", "the third line"]);
    assert_eq!(agent.notices(), ["truncated a.log at 15, copy, unread 0"]);
    nothing_more(&mut agent);
}
