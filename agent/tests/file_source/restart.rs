//! Rotation while the agent is down: what is known is found again, and what cannot be is told.

use std::ops::ControlFlow::Break;
use std::time::Duration;

use crate::harness::Agent;

/// An agent that has read one line of `a.log` and is down; another line was written meanwhile.
fn down(globs: &[&str]) -> Agent {
    let mut agent = Agent::new(globs);
    agent.append("a.log", "the first line\n");
    assert_eq!(agent.read(), ["the first line"]);
    agent.commit();
    agent.append("a.log", "the second line\n");
    agent
}

fn check(mut agent: Agent, expected: &[&str], notices: &[&str]) {
    agent.restart();
    assert_eq!(agent.settled(), expected);
    assert_eq!(agent.notices(), notices);
    // Once more, from what is known now.
    agent.commit();
    agent.restart();
    assert_eq!(agent.settled(), Vec::<String>::new());
    assert_eq!(agent.notices(), Vec::<String>::new());
}

#[test]
fn reading_goes_on_where_it_was_durable() {
    check(down(&["*"]), &["the second line"], &[]);
}

#[test]
fn a_renamed_file_is_found_again_and_read_first() {
    for globs in [["a.log"], ["*"]] {
        let agent = down(&globs);
        agent.rename("a.log", "was-a");
        agent.append("a.log", "the third line\n");
        check(agent, &["the second line", "the third line"], &[]);
    }
}

#[test]
fn a_compressed_file_is_found_again_and_read_on() {
    for (globs, name) in
        [(["a.log"], "a.log.1.gz"), (["*"], "a.log.1.gz"), (["a.log"], "a-20260101.log.zst")]
    {
        let agent = down(&globs);
        agent.gzip("a.log", name);
        agent.remove("a.log");
        agent.append("a.log", "the third line, in a file that may have the same inode\n");
        let mut agent = agent;
        agent.restart();
        let lines = agent.settled();
        let third = "the third line, in a file that may have the same inode";
        assert_eq!(lines, ["the second line", third], "{name}");
        // With the same inode it looks like a file that was cut.
        let notices = agent.notices();
        assert!(
            notices.is_empty() || notices == ["truncated a.log at 15, copy, unread 0"],
            "{notices:?}"
        );
    }
}

#[test]
fn a_copied_and_cut_file_is_read_on_in_its_copy() {
    for globs in [["a.log"], ["*"]] {
        for more in
            ["", "more\n", "more than there was before, so that the size alone tells nothing\n"]
        {
            let agent = down(&globs);
            agent.copy("a.log", "a.log.1");
            agent.truncate("a.log");
            agent.append("a.log", more);
            let mut expected = vec!["the second line"];
            expected.extend(more.lines());
            check(agent, &expected, &["truncated a.log at 15, copy, unread 0"]);
        }
    }
}

#[test]
fn a_copy_that_was_cut_and_compressed_is_read_on() {
    let agent = down(&["*"]);
    agent.gzip("a.log", "a.log.1.gz");
    agent.truncate("a.log");
    check(agent, &["the second line"], &["truncated a.log at 15, copy, unread 0"]);
}

#[test]
fn a_file_that_is_gone_is_told() {
    let agent = down(&["*"]);
    agent.remove("a.log");
    check(agent, &[], &["vanished a.log at 15"]);
}

#[test]
fn an_agent_that_stops_after_each_event_reads_everything_once() {
    let mut agent = Agent::new(&["*"]);
    agent.append("a.log", "1\n2\n3\n");
    agent.append("b.log", "4\n5\n");
    agent.gzip("b.log", "c.gz");
    for _ in 0..60 {
        let state = &mut agent.state;
        agent.now += Duration::from_secs(6);
        for _ in 0..2 {
            // Twice, because a compressed file has to be quiet first.
            agent.now += Duration::from_secs(6);
            let turn = agent.source.turn(agent.now, 1 << 20, &mut |event| {
                state.take(&event);
                Break(())
            });
            if turn.more {
                break;
            }
        }
        agent.commit();
        agent.restart();
    }
    let mut lines = agent.lines();
    lines.sort();
    assert_eq!(lines, ["1", "2", "3", "4", "4", "5", "5"]);
}

#[test]
fn a_line_without_an_end_is_handed_out_once() {
    let mut agent = down(&["*"]);
    agent.append("a.log", "no end");
    agent.rename("a.log", "a.log.1");
    // Stop right behind each event of the turn that finishes it.
    for events in 1..6 {
        agent.durable.lines.clear();
        agent.restart();
        let before = agent.durable.clone();
        agent.pass(1);
        agent.turn();
        agent.pass(7);
        agent.turn_until(events);
        agent.restart();
        agent.settle();
        let lines: Vec<_> = agent.state.lines.iter().map(|(_, line)| line.as_str()).collect();
        assert_eq!(lines, ["the second line", "no end"], "{events}");
        agent.durable = before;
    }
}

#[test]
fn files_that_exist_at_the_first_start_are_read_from_their_end() {
    let prepare = |folder: &std::path::Path| {
        std::fs::write(folder.join("a.log"), "old\nold, no end").unwrap();
        std::fs::write(folder.join("a.log.1"), "old\n").unwrap();
        std::fs::write(folder.join("old.gz"), "not even compressed").unwrap();
    };
    let mut agent = Agent::with(&["*"], prepare, |settings| settings.start_at = Default::default());
    assert_eq!(agent.settled(), Vec::<String>::new());
    agent.append("a.log", ", now with one\nnew\n");
    agent.append("b.log", "later files are read whole\n");
    assert_eq!(agent.read(), ["old, no end, now with one", "new", "later files are read whole"]);
    agent.commit();
    agent.restart();
    assert_eq!(agent.settled(), Vec::<String>::new());
    assert_eq!(agent.notices(), Vec::<String>::new());
}

#[test]
fn numbers_are_never_given_twice() {
    let mut agent = Agent::new(&["*"]);
    let mut seen = std::collections::BTreeSet::new();
    for round in 0..5 {
        agent.append("a.log", &format!("round {round}\n"));
        agent.settle();
        let new: Vec<u64> = agent.state.records.keys().copied().collect();
        let newest = *new.last().unwrap();
        assert!(seen.insert(newest), "{newest} again");
        agent.remove("a.log");
        agent.settle();
        agent.pass(4000);
        agent.settle();
        agent.commit();
        agent.restart();
    }
}

#[test]
fn records_whose_files_are_no_longer_included_are_left_alone() {
    let mut agent = down(&["*"]);
    let include = agent.settings.include.clone();
    agent.settings.include = vec!["/nowhere/*".to_owned()];
    agent.restart();
    assert_eq!(agent.settled(), Vec::<String>::new());
    agent.commit();
    agent.settings.include = include;
    check(agent, &["the second line"], &[]);
}
