//! Bad input is normal input: files, rights, clocks and configurations as they come.

use std::fs::{File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::collector::Collector;
use crate::kill::Random;
use crate::process::{Home, eventually, lines, messages, skipped};

const MIB: u64 = 1 << 20;

#[test]
fn a_binary_file_is_shipped_line_by_line() {
    let collector = Collector::start();
    let home = Home::new();
    home.configure(&[&collector.addr], "", &home.logs_source("format = \"auto\""));
    let mut random = Random::seeded();
    let bytes: Vec<u8> = (0..300_000).map(|_| random.below(256) as u8).collect();
    // Where the bytes begin with a compressed file's magic, that is what they are taken for.
    home.log("a.log", [b"\x7fELF\x02\x01\0\0", &bytes[..], b"\nthe end\n"].concat());
    let agent = home.start();
    eventually("the end arrives", || {
        collector.messages().contains(&"the end".to_owned()).then_some(())
    });
    let expected = bytes.split(|byte| *byte == b'\n').count() as u64 + 1;
    let status = agent.status();
    let read = status["ledger"]["read"].as_u64().unwrap();
    assert!(read > expected * 9 / 10 && read <= expected, "{read} records of {expected} lines");
    agent.settled(read);
    agent.stop();
}

#[test]
fn a_line_of_a_gigabyte_is_shipped_in_parts_within_bounded_memory() {
    let collector = Collector::start();
    let home = Home::reading_logs(&collector.addr, "batch_records = 10000");
    File::create(home.path("logs/a.log")).unwrap().set_len(1_024 * MIB).unwrap();
    let agent = home.start();
    agent.settled(1_023);
    home.log("a.log", "\nnext\n");
    agent.settled(1_025);
    let peak = agent.memory_peak_bytes();
    assert!(peak < 160 * MIB, "{} MiB", peak / MIB);
    eprintln!("{} MiB at most for a line of 1 GiB", peak / MIB);
    assert_eq!(collector.messages().last().map(String::as_str), Some("next"));
    collector.assert_in_order();
    agent.stop();
}

#[test]
fn a_file_that_is_removed_while_it_is_read_is_read_to_its_end() {
    let collector = Collector::start();
    let home = Home::reading_logs(&collector.addr, "");
    home.log("a.log", lines(0..40_000));
    let agent = home.start();
    eventually("some of it is read", || (collector.requests_len() > 2).then_some(()));
    std::fs::remove_file(home.path("logs/a.log")).unwrap();
    agent.settled(40_000);
    collector.assert_whole(messages(0..40_000));
    collector.assert_in_order();
    agent.stop();
}

#[test]
fn what_may_not_be_read_is_told_and_read_once_it_may() {
    let collector = Collector::start();
    let mut home = Home::new();
    let everyone =
        |path: &Path| std::fs::set_permissions(path, Permissions::from_mode(0o777)).unwrap();
    let nobody =
        |path: &Path| std::fs::set_permissions(path, Permissions::from_mode(0o000)).unwrap();
    everyone(home.path("logs").parent().unwrap());
    std::fs::create_dir(home.path("logs/closed")).unwrap();
    let source = home.logs_source("").replace("/logs/*.log", "/logs/**/*.log");
    home.configure(&[&collector.addr], "", &source);
    home.log("open.log", lines(0..10));
    home.log("secret.log", lines(10..20));
    home.log("closed/c.log", lines(20..30));
    nobody(&home.path("logs/secret.log"));
    nobody(&home.path("logs/closed"));
    if File::open(home.path("logs/secret.log")).is_ok() {
        // Who may read everything has to become somebody else.
        let words = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
        let may = Command::new(words[0]).args(&words[1..]).arg("true").status();
        if !may.is_ok_and(|status| status.success()) {
            return skipped("rights cannot be given up here");
        }
        home.launcher = words.map(str::to_owned).to_vec();
    }
    let agent = home.start();
    agent.settled(10);
    eventually("it is told", || {
        let log = agent.log();
        (log.contains("secret.log cannot be read") && log.contains("closed cannot be read"))
            .then_some(())
    });
    everyone(&home.path("logs/secret.log"));
    agent.settled(20);
    everyone(&home.path("logs/closed"));
    agent.settled(30);
    collector.assert_whole(messages(0..30));
    agent.stop();
}

#[test]
fn many_files_are_followed_within_bounded_memory() {
    let files = std::env::var("LOGQ_TEST_FILES").map_or(20_000, |files| files.parse().unwrap());
    let collector = Collector::start();
    let home = Home::new();
    let source = home.logs_source("").replace("/logs/*.log", "/logs/**/*.log");
    home.configure(&[&collector.addr], "batch_records = 2000", &source);
    for folder in 0..files / 1_000 {
        std::fs::create_dir(home.path(&format!("logs/{folder}"))).unwrap();
        for file in folder * 1_000..(folder + 1) * 1_000 {
            std::fs::write(home.path(&format!("logs/{folder}/{file}.log")), lines([file])).unwrap();
        }
    }
    let agent = home.start();
    agent.settled(files as u64);
    collector.assert_whole(messages(0..files));
    // Some go on, others are new.
    for file in (0..files).step_by(97) {
        let path = home.path(&format!("logs/{}/{file}.log", file / 1_000));
        let mut file_again = File::options().append(true).open(path).unwrap();
        writeln!(file_again, "line {}", file + files).unwrap();
    }
    let again = (0..files).step_by(97).map(|file| file + files);
    agent.settled(files as u64 + again.clone().count() as u64);
    collector.assert_whole(messages(0..files).chain(messages(again.clone())));
    let peak = agent.memory_peak_bytes();
    eprintln!("{} MiB at most for {files} files", peak / MIB);
    assert!(peak < 64 * MIB + 4_096 * files as u64, "{} MiB", peak / MIB);
    agent.stop();
    // Nothing is read again.
    let agent = home.start();
    home.log("last.log", "line last\n");
    let total = files as u64 + again.clone().count() as u64 + 1;
    agent.settled(total);
    collector.assert_in_order();
    assert_eq!(collector.messages().len() as u64, total);
    agent.stop();
}

#[test]
fn logs_that_were_rotated_while_the_agent_was_stopped_are_read_once() {
    let collector = Collector::start();
    let home = Home::new();
    let source = home.logs_source("").replace("/logs/*.log", "/logs/a.log*");
    home.configure(&[&collector.addr], "", &source);
    home.log("a.log", lines(0..100));
    let agent = home.start();
    agent.settled(100);
    agent.stop();
    let rename = |from: &str, to: &str| {
        std::fs::rename(home.path("logs").join(from), home.path("logs").join(to)).unwrap();
    };
    // More is written, and then it is rotated twice and the oldest is compressed.
    home.log("a.log", lines(100..200));
    rename("a.log", "a.log.1");
    home.log("a.log", lines(200..300));
    rename("a.log.1", "a.log.2");
    rename("a.log", "a.log.1");
    home.log("a.log", lines(300..400));
    let gzip = Command::new("gzip").arg(home.path("logs/a.log.2")).status().unwrap();
    assert!(gzip.success());
    let agent = home.start();
    agent.settled(400);
    home.log("a.log", lines(400..410));
    agent.settled(410);
    collector.assert_whole(messages(0..410));
    collector.assert_in_order();
    agent.stop();
}

#[test]
fn a_clock_that_is_set_back_loses_doubles_and_stops_nothing() {
    let folder = Path::new("/usr/lib/x86_64-linux-gnu/faketime");
    let library = folder.join("libfaketimeMT.so.1");
    if !library.exists() {
        return skipped("libfaketime is not installed, so the clock cannot be set back");
    }
    let collector = Collector::start();
    let home = Home::new();
    let keys = "[agent.sample]\nkeep_ratio = 0.0\nwindow = \"1s\"";
    let sampled = home.logs_source("format = \"json\"");
    home.configure(&[&collector.addr], keys, &sampled);
    let clock = home.path("clock");
    let set = |offset: &str| {
        std::fs::write(home.path("clock.new"), offset).unwrap();
        std::fs::rename(home.path("clock.new"), &clock).unwrap();
    };
    set("+0d");
    let start = || {
        let mut command = home.command();
        command
            .env("LD_PRELOAD", &library)
            .env("FAKETIME_TIMESTAMP_FILE", &clock)
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        home.start_as(&mut command)
    };
    let line = |number: usize, level: &str| {
        format!(
            "{{\"level\":\"{level}\",\"msg\":\"line {number}\",\"correlation_id\":\"c{number}\"}}\n"
        )
    };
    let agent = start();
    let mut read = 0;
    let mut kept = Vec::new();
    for offset in ["+0d", "+2d", "-3d", "+1d", "-10y"] {
        set(offset);
        // One that fails at once, and one of which nothing more is heard.
        home.log("a.log", line(read, "error") + &line(read + 1, "info"));
        kept.push(read);
        read += 2;
        agent.settled(read as u64);
    }
    collector.assert_whole(messages(kept.clone()));
    agent.stop();
    set("-20y");
    let agent = start();
    let started = agent.status()["started"].as_str().unwrap().to_owned();
    assert!(started.as_str() < "2020", "{started} is no time of twenty years ago");
    home.log("a.log", line(read, "error"));
    kept.push(read);
    agent.settled(read as u64 + 1);
    collector.assert_whole(messages(kept));
    collector.assert_in_order();
    agent.stop();
}

/// What `check-config` says, with the file's path left out.
fn faults(config: &str) -> (i32, String) {
    let home = Home::new();
    let path = home.path("agent.toml");
    std::fs::write(&path, config).unwrap();
    let output = home.run(&["check-config"]);
    let said = if output.code == 0 { output.stdout } else { output.stderr };
    (output.code, said.replace(path.to_str().unwrap(), "agent.toml"))
}

#[test]
fn faults_of_a_configuration_are_told_all_at_once_each_with_its_line() {
    let (code, said) = faults(
        r#"[agent]
stat = "/tmp"
collector = ["http://here:1", "ftp://there"]
batch_age = "soon"
keep = "level:("

[[agent.sources]]
kind = "file"
incldue = ["/var/log/*.log"]
format = "josn"

[[agent.sources]]
kind = "pipe"
"#,
    );
    assert_eq!(code, 2);
    insta::assert_snapshot!(said);
}

#[test]
fn a_configuration_that_says_nothing_has_nothing_to_read_and_says_so() {
    for config in ["", "[agent]\n", "# nothing\n"] {
        let home = Home::new();
        std::fs::write(home.path("agent.toml"), config).unwrap();
        let output = home.run(&["run"]);
        assert_eq!(output.code, 2, "{output:?}");
        assert!(output.stderr.contains("no source is configured"), "{output:?}");
        assert!(!home.state().exists());
    }
    let (code, said) = faults("[agent\n");
    assert!(code == 2 && said.contains("agent.toml:1:"), "{said}");
    let home = Home::new();
    let output = home.run(&["run"]);
    assert!(output.code == 2 && output.stderr.contains("cannot read"), "{output:?}");
}

#[test]
fn a_pattern_that_explodes_is_refused_and_one_that_could_be_slow_is_not() {
    let bomb = "[[agent.sources]]\nkind = \"file\"\ninclude = [\"/x\"]\nformat = \"regex\"\npattern = '((a{100}){100}){100}'\n";
    let (code, said) = faults(&format!("[agent]\n{bomb}"));
    assert!(code == 2 && said.contains("agent.toml:6:"), "{said}");

    let collector = Collector::start();
    let home = Home::new();
    let slow = "format = \"regex\"\npattern = '^(?<message>(a+)+)$'";
    home.configure(&[&collector.addr], "", &home.logs_source(slow));
    home.log("a.log", format!("{}b\naaa\n", "a".repeat(50_000)));
    let agent = home.start();
    agent.settled(2);
    assert_eq!(collector.messages().last().map(String::as_str), Some("aaa"));
    agent.stop();
}
