//! The journal of systemd, from real journal files that grow while the agent is killed and started again.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use record::{Record, Value};

use crate::process::{Home, eventually, messages, records, reports};
use crate::server::Server;

/// Makes a journal file of the export format.
const WRITER: &str = "/lib/systemd/systemd-journal-remote";
/// When the first entry was made, µs.
const BEGIN: u64 = 1_760_000_000_000_000;

/// Whether what is needed is there; in CI it has to be.
fn can_run() -> bool {
    let reader = Command::new("journalctl").arg("--version").output().is_ok();
    let can = reader && Path::new(WRITER).exists();
    assert!(can || std::env::var_os("CI").is_none(), "journalctl or {WRITER} is missing");
    if !can {
        let _ = writeln!(std::io::stderr(), "SKIPPED: journalctl or {WRITER} is missing");
    }
    can
}

/// One entry in the export format: text as it stands, everything else with its length.
fn entry(number: u64, fields: &[(&str, &[u8])]) -> Vec<u8> {
    let mut entry = format!(
        "__REALTIME_TIMESTAMP={}\n__MONOTONIC_TIMESTAMP={}\n_BOOT_ID={}\n_HOSTNAME=machine-1\n",
        BEGIN + number,
        1_000 + number,
        // Journals of several boots and machines lie in one folder.
        format!("{:x}", number % 3 + 10).repeat(32),
    )
    .into_bytes();
    for (name, value) in fields {
        entry.extend_from_slice(name.as_bytes());
        if value.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ') {
            entry.push(b'=');
        } else {
            entry.push(b'\n');
            entry.extend_from_slice(&(value.len() as u64).to_le_bytes());
        }
        entry.extend_from_slice(value);
        entry.push(b'\n');
    }
    entry.push(b'\n');
    entry
}

fn said(number: u64, message: &str, unit: &str) -> Vec<u8> {
    entry(number, &[("MESSAGE", message.as_bytes()), ("_SYSTEMD_UNIT", unit.as_bytes())])
}

/// Adds entries to the folder's journal.
fn append(folder: &Path, entries: &[Vec<u8>]) {
    std::fs::create_dir_all(folder).unwrap();
    let mut writer = Command::new(WRITER)
        .arg("-o")
        .arg(folder.join("out.journal"))
        .arg("-")
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = writer.stdin.take().unwrap();
    for entry in entries {
        input.write_all(entry).unwrap();
    }
    drop(input);
    assert!(writer.wait().unwrap().success());
}

fn source(journal: &Path, keys: &str) -> String {
    format!(
        "[[agent.sources]]\nkind = \"journald\"\nname = \"journal\"\njournal = {journal:?}\nrestart_after = \"10ms\"\n{keys}"
    )
}

const FROM_BEGINNING: &str = "start_at = \"beginning\"";

#[tokio::test(flavor = "multi_thread")]
async fn entries_of_every_kind_become_records() {
    if !can_run() {
        return;
    }
    let (home, server) = (Home::new(), Server::start([]).await);
    let journal = home.path("journal");
    append(
        &journal,
        &[
            said(0, "plain", "orders.service"),
            entry(1, &[("MESSAGE", b"two\nlines"), ("PRIORITY", b"3"), ("CORRELATION_ID", b"c-1")]),
            entry(2, &[("MESSAGE", b"bad \xff bytes")]),
            entry(3, &[("MESSAGE", b"\x1b[1mbold\x1b[0m"), ("ITEM", b"1"), ("ITEM", b"2")]),
            entry(4, &[("ORDER", b"no message")]),
            entry(5, &[("MESSAGE", b"{\"msg\":\"json\",\"level\":\"warn\",\"trace_id\":\"4bf92f3577b34da6a3ce929d0e0e4736\"}")]),
            entry(6, &[("MESSAGE", "é".repeat(1_300_000).as_bytes()), ("SYSLOG_IDENTIFIER", b"long")]),
        ],
    );
    home.configure(
        &server.addr,
        "",
        &source(&journal, &format!("{FROM_BEGINNING}\nformat = \"json\"")),
    );
    let agent = home.start();
    // The long one is three records.
    eventually("all arrive", || (records(&server).len() >= 9).then_some(()));
    agent.stop();

    let records = records(&server);
    let one = |number: i64| -> Vec<&Record> {
        let time = (BEGIN as i64 + number) * 1_000;
        records.iter().filter(|record| record.timestamp.0 == time).collect()
    };
    let text = |record: &Record, name: &str| match record.attributes.get(name) {
        Some(Value::String(text)) => text.clone(),
        None => String::new(),
        other => panic!("{other:?}"),
    };
    assert_eq!(records.len(), 9);
    assert!(records.iter().all(|record| record.host.as_deref() == Some("machine-1")));
    assert_eq!(
        (one(0)[0].message.as_str(), one(0)[0].service.as_deref()),
        ("plain", Some("orders"))
    );
    assert_eq!(one(0)[0].source.path, Some(format!("journald:{}", journal.display())));
    assert_eq!(one(1)[0].message, "two\nlines");
    assert_eq!(
        (one(1)[0].severity.name(), one(1)[0].correlation_id.as_deref()),
        ("error", Some("c-1"))
    );
    assert_eq!(one(2)[0].message, "bad \u{fffd} bytes");
    assert_eq!(text(one(2)[0], "logq.original_bytes"), "YmFkIP8gYnl0ZXM=");
    assert_eq!(one(3)[0].message, "\u{1b}[1mbold\u{1b}[0m");
    assert_eq!((text(one(3)[0], "item"), text(one(3)[0], "item#2")), ("1".into(), "2".into()));
    assert_eq!((one(4)[0].message.as_str(), text(one(4)[0], "order")), ("", "no message".into()));
    assert_eq!((one(5)[0].message.as_str(), one(5)[0].severity.name()), ("json", "warn"));
    assert!(one(5)[0].trace_id.is_some());
    let parts = one(6);
    assert_eq!(
        parts.iter().map(|part| text(part, "logq.line_part")).collect::<Vec<_>>(),
        ["1/?", "2/?", "3/3"]
    );
    assert_eq!(parts.iter().map(|part| part.message.chars().count()).sum::<usize>(), 1_300_000);
    assert!(parts.iter().all(|part| part.service.as_deref() == Some("long")));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_entry_of_the_units_arrives_once_over_kills() {
    const CHUNKS: u64 = 8;
    const CHUNK: u64 = 60;
    if !can_run() {
        return;
    }
    let (home, server) = (Home::new(), Server::start([]).await);
    let journal = home.path("journal");
    let units = format!("{FROM_BEGINNING}\nunits = [\"a.service\", \"cart.service\"]");
    home.configure(&server.addr, "batch_records = 7", &source(&journal, &units));
    let mut expected = BTreeMap::new();
    for chunk in 0..CHUNKS {
        let numbers = chunk * CHUNK..(chunk + 1) * CHUNK;
        let unit = |number: u64| ["a.service", "b.service", "cart.service"][number as usize % 3];
        let entries: Vec<_> =
            numbers.clone().map(|number| said(number, &number.to_string(), unit(number))).collect();
        let wanted = numbers.filter(|number| unit(*number) != "b.service");
        expected.extend(wanted.map(|number| (number.to_string(), 1)));
        // Half of the time the agent is there when entries come.
        let before = (chunk % 2 == 0).then(|| home.start());
        append(&journal, &entries);
        let agent = before.unwrap_or_else(|| home.start());
        // In the middle of the chunk, at another place each time.
        let enough = expected.len() - 35 + 5 * chunk as usize;
        eventually("some arrive", || (records(&server).len() >= enough).then_some(()));
        agent.kill();
    }
    let agent = home.start();
    eventually("all arrive", || (messages(&server).len() >= expected.len()).then_some(()));
    let last = CHUNKS * CHUNK;
    append(&journal, &[said(last, "last", "a.service")]);
    expected.insert("last".to_owned(), 1);
    eventually("the last arrives", || messages(&server).contains_key("last").then_some(()));
    let status = agent.status().await;
    agent.stop();
    assert_eq!(messages(&server), expected);
    assert_eq!(status["ledger"]["read"], expected.len(), "{status:#}");
    assert_eq!(reports(&server, "logq.agent.journal_position_lost"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_part_of_long_messages_arrives_once_over_kills() {
    const LONG: u64 = 3;
    const PARTS: usize = 3;
    if !can_run() {
        return;
    }
    let (home, server) = (Home::new(), Server::start([]).await);
    let journal = home.path("journal");
    let long: Vec<_> = (0..LONG)
        .map(|number| {
            let message = vec![b'a' + number as u8; (PARTS << 20) - 7];
            entry(
                number,
                &[("MESSAGE", &message), ("REQUEST_ID", format!("r-{number}").as_bytes())],
            )
        })
        .collect();
    append(&journal, &long);
    home.configure(&server.addr, "batch_size = \"64 KiB\"", &source(&journal, FROM_BEGINNING));
    for enough in [1, 2, 5, 7] {
        let agent = home.start();
        eventually("some arrive", || (records(&server).len() >= enough).then_some(()));
        agent.kill();
    }
    let agent = home.start();
    append(&journal, &[said(LONG, "last", "a.service")]);
    eventually("the last arrives", || messages(&server).contains_key("last").then_some(()));
    agent.stop();
    let mut found = BTreeMap::new();
    for record in records(&server).into_iter().filter(|record| record.message != "last") {
        let part = record.attributes["logq.line_part"].to_string();
        *found.entry((record.correlation_id.unwrap(), part)).or_insert(0) += 1;
    }
    let expected = (0..LONG).flat_map(|number| {
        ["1/?", "2/?", "3/3"].map(|part| ((format!("r-{number}"), part.to_owned()), 1))
    });
    assert_eq!(found, expected.collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_starts_at_the_end_takes_what_comes_later_over_restarts_too() {
    if !can_run() {
        return;
    }
    let (home, server) = (Home::new(), Server::start([]).await);
    let journal = home.path("journal");
    append(&journal, &(0..5).map(|number| said(number, "old", "a.service")).collect::<Vec<_>>());
    home.configure(&server.addr, "", &source(&journal, ""));
    let agent = home.start();
    // Where the end is may be found out after the first of these.
    let mut number = 10;
    eventually("something arrives", || {
        append(&journal, &[said(number, &format!("new {number}"), "a.service")]);
        number += 1;
        messages(&server).keys().next().cloned()
    });
    agent.kill();
    append(&journal, &[said(1_000, "meanwhile", "a.service")]);
    let agent = home.start();
    eventually("what came meanwhile", || messages(&server).contains_key("meanwhile").then_some(()));
    agent.stop();
    let messages = messages(&server);
    assert!(!messages.contains_key("old"), "{messages:?}");
    assert!(messages.values().all(|count| *count == 1), "{messages:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_machines_own_journal_is_read_over_its_boots_and_then_followed() {
    if !can_run() {
        return;
    }
    let (home, server) = (Home::new(), Server::start([]).await);
    let journal = home.path("journal");
    append(&journal, &(0..9).map(|n| said(n, &n.to_string(), "a.service")).collect::<Vec<_>>());
    // The machine's journal is this one.
    let real = Command::new("sh").args(["-c", "command -v journalctl"]).output().unwrap().stdout;
    let real = String::from_utf8(real).unwrap();
    let script = format!("#!/bin/sh\nexec {} --directory={journal:?} \"$@\"\n", real.trim());
    let path = install(&home, &script);
    let source = "[[agent.sources]]\nkind = \"journald\"\nrestart_after = \"10ms\"\n";
    home.configure(&server.addr, "", &format!("{source}{FROM_BEGINNING}"));
    let agent = home.start_as(home.command().env("PATH", &path));
    eventually("all boots arrive", || (messages(&server).len() == 9).then_some(()));
    // Of the same boot as the last one.
    append(&journal, &[said(11, "followed", "a.service")]);
    eventually("it goes on", || messages(&server).contains_key("followed").then_some(()));
    agent.kill();
    append(&journal, &[said(12, "next boot", "a.service"), said(15, "last", "a.service")]);
    let agent = home.start_as(home.command().env("PATH", &path));
    eventually("the last arrives", || messages(&server).contains_key("last").then_some(()));
    agent.stop();
    let messages = messages(&server);
    assert_eq!(messages.len(), 12, "{messages:?}");
    assert!(messages.values().all(|count| *count == 1), "{messages:?}");
}

/// Puts a program in place of journalctl; gives the PATH with it.
fn install(home: &Home, script: &str) -> String {
    let program = home.path("bin/journalctl");
    std::fs::create_dir(home.path("bin")).unwrap();
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    format!("{}:{}", home.path("bin").display(), std::env::var("PATH").unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_lost_the_place_is_told_and_read_on() {
    if !can_run() {
        return;
    }
    let (home, server) = (Home::new(), Server::start([]).await);
    let journal = home.path("journal");
    append(&journal, &[said(0, "first", "a.service"), said(1, "second", "a.service")]);
    home.configure(&server.addr, "", &source(&journal, FROM_BEGINNING));
    let agent = home.start();
    eventually("both arrive", || (messages(&server).len() == 2).then_some(()));
    agent.stop();
    std::fs::remove_dir_all(&journal).unwrap();
    append(&journal, &[said(8, "third", "a.service"), said(9, "fourth", "a.service")]);
    let agent = home.start();
    eventually("it is told", || {
        (reports(&server, "logq.agent.journal_position_lost") == 1).then_some(())
    });
    eventually("all arrive", || (messages(&server).len() == 4).then_some(()));
    agent.stop();
    assert!(messages(&server).values().all(|count| *count == 1), "{:?}", messages(&server));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_journalctl_prints_badly_is_shipped_or_counted_and_told() {
    let (home, server) = (Home::new(), Server::start([]).await);
    let (printed, again) = (home.path("printed"), home.path("again"));
    let mut lines = b"-- nothing of the kind --\n{\"MESSAGE\":\"no cursor\"}\n".to_vec();
    lines.extend_from_slice(b"{\"__CURSOR\":\"c-1\",\"MESSAGE\":\"");
    lines.resize(lines.len() + (9 << 20), b'x');
    lines.extend_from_slice(
        b"\"}\n{\"MESSAGE\":\"good\",\"__CURSOR\":\"c-2\"}\n{\"MESSAGE\":\"torn",
    );
    std::fs::write(&printed, lines).unwrap();
    // Prints once, fails, and then has nothing more.
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in *lines=1*) echo '{{\"__CURSOR\":\"c-2\"}}'; exit 0;; esac\n\
         [ -e {again:?} ] && {{ echo 'no more' >&2; exit 4; }}\n: >{again:?}\ncat {printed:?}\nexit 3\n"
    );
    let path = install(&home, &script);
    home.configure(&server.addr, "", &source(&home.path("journal"), FROM_BEGINNING));
    let agent = home.start_as(home.command().env("PATH", path));

    agent
        .shows("its end is told", |status| {
            let told = status["sources"][0]["last_error"].as_str()?;
            told.contains("exit status: 4: no more").then_some(())
        })
        .await;
    eventually("all arrive", || (messages(&server).len() == 4).then_some(()));
    eventually("it is told", || {
        (reports(&server, "logq.agent.journal_entry_too_long") == 1).then_some(())
    });
    let status = agent.status().await;
    agent.stop();
    assert_eq!(status["ledger"]["dropped"]["entry_too_long"], 1, "{status:#}");
    let messages: Vec<_> = messages(&server).into_keys().collect();
    assert_eq!(messages, ["-- nothing of the kind --", "good", "no cursor", "{\"MESSAGE\":\"torn"]);
}
