//! What raw lines are joined to, and that nothing is lost or doubled by it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use agent::assemble::{
    AssembleSettings, Assembler, Container, Cover, Logical, Multiline, PARTIAL_BYTES_MAX, Traces,
    kubernetes_attributes,
};
use agent::format::Format;
use agent::interpret::{Interpreter, SourceSettings};
use agent::lines::{Line, Part};
use agent::time_format::{TimeOptions, TimeReader};
use proptest::prelude::*;
use record::{Record, Timestamp, Value, keys};
use regex::bytes::Regex;

/// When everything is read: 2026-11-22T00:00:00Z.
const NOW: Timestamp = Timestamp(1_795_305_600_000_000_000);

/// A logical line, kept.
#[derive(Clone, Debug, PartialEq)]
struct Kept {
    text: String,
    offset: u64,
    stream: Option<String>,
    covers: Vec<Cover>,
    lines: u32,
    cut: bool,
}

fn keep(logical: &Logical<'_>) -> Kept {
    Kept {
        text: String::from_utf8_lossy(logical.line.bytes).into_owned(),
        offset: logical.line.offset,
        stream: logical.stream.map(str::to_owned),
        covers: logical.covers.to_vec(),
        lines: logical.lines,
        cut: logical.cut,
    }
}

fn line(bytes: &[u8], offset: u64) -> Line<'_> {
    Line { bytes, offset, number: 1, part: None }
}

/// The logical lines of a whole file.
fn assembled(settings: AssembleSettings, file: &str) -> Vec<Kept> {
    let mut assembler = Assembler::new(settings);
    let mut kept = Vec::new();
    let (now, mut at) = (Instant::now(), 0);
    for text in file.split_inclusive('\n') {
        let end = at + text.len() as u64;
        let text = text.strip_suffix('\n').unwrap_or(text);
        assembler.push(0, &line(text.as_bytes(), at), end, now, &mut |logical| {
            kept.push(keep(logical));
        });
        at = end;
    }
    assembler.flush(&mut |logical| kept.push(keep(logical)));
    assert_eq!((assembler.pending_bytes(), assembler.deadline()), (0, None));
    if let Some(last) = kept.last() {
        assert_eq!(last.covers, [Cover { file: 0, end: at }]);
    }
    assert_eq!(kept.iter().map(|kept| kept.lines as usize).sum::<usize>(), file.lines().count());
    kept
}

/// Blocks of `expected` are records; `---` stands between them.
fn check(multiline: Multiline, expected: &str) {
    let records: Vec<_> = expected.split("\n---\n").collect();
    let settings = AssembleSettings { multiline: Some(multiline), ..AssembleSettings::default() };
    let kept = assembled(settings, &(records.join("\n") + "\n"));
    let texts: Vec<_> = kept.iter().map(|kept| kept.text.as_str()).collect();
    assert_eq!(texts, records);
    assert!(kept.iter().all(|kept| !kept.cut));
}

fn starting(pattern: &str) -> Multiline {
    Multiline { start: Some(Regex::new(pattern).unwrap()), ..Multiline::default() }
}

#[test]
fn without_settings_every_line_passes_at_once() {
    let mut assembler = Assembler::new(AssembleSettings::default());
    let text = b"  indented";
    let mut seen = 0;
    assembler.push(7, &line(text, 100), 111, Instant::now(), &mut |logical| {
        assert!(std::ptr::eq(logical.line.bytes, text), "the line was copied");
        assert_eq!(logical.covers, [Cover { file: 7, end: 111 }]);
        seen += 1;
    });
    assert_eq!((seen, assembler.pending_bytes()), (1, 0));
}

#[test]
fn a_start_pattern_begins_records_and_all_else_continues() {
    check(starting(r"^\d{4}-"), "2026-11-21 one\nmore\n\n  more\n---\n2026-11-22 two");
    check(starting(r"^\d{4}-"), "before the first\nmore\n---\n2026-11-22 two");
    let continues =
        Multiline { continues: Some(Regex::new("^2026-.. ").unwrap()), ..starting("^2") };
    check(continues, "2026-11-21 one\n2026-11 again\nmore\n---\n2026-11-22 two");
}

#[test]
fn indented_lines_continue_and_empty_ones_only_between_them() {
    let indented = Multiline { indented: true, ..Multiline::default() };
    check(indented.clone(), "one\n  a\n\n\n\tb\n---\n\n---\n\n---\ntwo\n---\nthree\n  c\n---\n");
    check(indented, "\n---\n  first of all\n  and more\n---\ntwo");
    let continues = Regex::new(r"\+$").unwrap();
    check(
        Multiline { continues: Some(continues), ..Multiline::default() },
        "a\nb+\n---\nc\n---\n\n---\nd",
    );
}

#[test]
fn traces_of_java_join_what_logged_them() {
    check(
        Multiline::preset(Traces::Java),
        "2026-11-21 08:00:00 ERROR [main] c.e.Orders - order 7 failed
java.lang.IllegalStateException: no stock
\tat c.e.Orders.take(Orders.java:7)
\tat c.e.Orders.main(Orders.java:3)
Caused by: java.sql.SQLException: gone
\tat c.e.Db.get(Db.java:1)
\t... 2 more
---
2026-11-21 08:00:01 INFO [main] c.e.Orders - next
---
java.lang.OutOfMemoryError
\tat c.e.Orders.take(Orders.java:7)
---
java.lang.RuntimeException: another one
\tat c.e.Orders.take(Orders.java:7)
---
Exception in thread \"main\" java.lang.RuntimeException: x
\tat c.e.A.b(A.java:1)
---
c.e.Orders: is no exception",
    );
}

#[test]
fn traces_of_python_go_from_the_log_line_to_the_last_exception() {
    check(
        Multiline::preset(Traces::Python),
        "INFO:root:fine
---
ERROR:shop:order 7 failed
Traceback (most recent call last):
  File \"a.py\", line 1, in take
    stock[7]
KeyError: 7

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File \"a.py\", line 3, in take
    raise NoStock(7) from None
shop.errors.NoStock
---
INFO:root:next
---
Traceback (most recent call last):
  File \"a.py\", line 9, in <module>
  [Previous line repeated 3 more times]
KeyboardInterrupt
---

---
INFO:root:after an empty line
---
WARNING:shop:a group
  + Exception Group Traceback (most recent call last):
  |   File \"a.py\", line 1, in <module>
  | ExceptionGroup: two (2 sub-exceptions)
  +-+---------------- 1 ----------------
---
ERROR:shop:cut short
Traceback (most recent call last):
  File \"a.py\", line 9, in <module>
---
INFO: not an exception",
    );
}

#[test]
fn panics_of_go_are_one_record_with_all_goroutines() {
    check(
        Multiline::preset(Traces::Go),
        "2026/11/21 08:00:00 listening
---
panic: runtime error: index out of range [7] with length 3 [recovered]
\tpanic: again
[signal SIGSEGV: segmentation violation code=0x1 addr=0x0 pc=0x0]

goroutine 1 [running]:
main.(*Orders).Take(0xc0000140a0, {0x1, 0x2})
\t/src/orders.go:7 +0x1d
created by main.main in goroutine 1
\t/src/main.go:3 +0x2a

goroutine 6 [select, 2 minutes]:
main.wait(...)
\t/src/main.go:9 +0x11
exit status 2
---
2026/11/21 08:00:01 http: panic serving 192.0.2.7:5000: boom
goroutine 34 [running]:
net/http.(*conn).serve.func1()
\t/go/server.go:1868 +0xb9
---
2026/11/21 08:00:02 next
---
fatal error: all goroutines are asleep - deadlock!

goroutine 1 [chan receive]:
main.main()
---

---
done",
    );
}

#[test]
fn a_record_at_its_bound_is_cut_and_what_follows_begins_another() {
    let bounded = Multiline { lines_max: 3, ..starting("^S") };
    let settings = AssembleSettings { multiline: Some(bounded), ..AssembleSettings::default() };
    let kept = assembled(settings, "S\na\nb\nc\nd\nS");
    let texts: Vec<_> = kept.iter().map(|kept| (kept.text.as_str(), kept.cut)).collect();
    assert_eq!(texts, [("S\na\nb", true), ("c\nd", false), ("S", false)]);

    let bounded = Multiline { bytes_max: 5, indented: true, ..Multiline::default() };
    let settings = AssembleSettings { multiline: Some(bounded), ..AssembleSettings::default() };
    let kept = assembled(settings, "longer than that\n a\n b\n\n\n c\nd");
    let texts: Vec<_> = kept.iter().map(|kept| (kept.text.as_str(), kept.cut)).collect();
    let cut = [("longer than that", true), (" a\n b", true), ("", false), ("", false)];
    assert_eq!(texts, [&cut[..], &[(" c", false), ("d", false)]].concat());
}

#[test]
fn a_record_waits_for_its_timeout_and_no_longer() {
    let multiline = Some(starting("^S"));
    let mut assembler = Assembler::new(AssembleSettings { multiline, container: None });
    let (start, mut kept) = (Instant::now(), Vec::new());
    let second = Duration::from_secs(1);
    assembler.push(0, &line(b"S", 0), 2, start, &mut |_| panic!("too early"));
    assembler.push(0, &line(b"x", 2), 4, start + second / 2, &mut |_| panic!("too early"));
    assert_eq!(assembler.deadline(), Some(start + second / 2 + second));
    assembler.flush_due(start + second, &mut |_| panic!("too early"));
    assembler.flush_due(start + 2 * second, &mut |logical| kept.push(keep(logical)));
    assert_eq!((kept[0].text.as_str(), kept[0].cut), ("S\nx", false));
    assert_eq!(assembler.deadline(), None);
}

#[test]
fn a_record_goes_on_in_the_next_file_and_covers_both() {
    let multiline = Some(starting("^S"));
    let mut assembler = Assembler::new(AssembleSettings { multiline, container: None });
    let (now, mut kept) = (Instant::now(), Vec::new());
    let pushes: [(u64, &[u8], u64); 4] = [(3, b"S1", 0), (3, b"a", 3), (4, b"b", 0), (4, b"S2", 2)];
    for (file, text, at) in pushes {
        let end = at + text.len() as u64 + 1;
        assembler.push(file, &line(text, at), end, now, &mut |logical| kept.push(keep(logical)));
    }
    assembler.flush(&mut |logical| kept.push(keep(logical)));
    let cover = |file, end| Cover { file, end };
    assert_eq!(kept[0].text, "S1\na\nb");
    assert_eq!(kept[0].covers, [cover(3, 5), cover(4, 2)]);
    assert_eq!(kept[1].covers, [cover(4, 5)]);
}

#[test]
fn parts_of_a_long_line_are_never_joined() {
    let multiline = Some(starting("^S"));
    let mut assembler =
        Assembler::new(AssembleSettings { multiline, container: Some(Container::Auto) });
    let (now, mut kept) = (Instant::now(), Vec::new());
    assembler.push(0, &line(b"S", 0), 2, now, &mut |_| panic!("it may go on"));
    for (number, last) in [(1, false), (2, true)] {
        let part = Line { part: Some(Part { number, last }), ..line(b"xx", u64::from(number) * 2) };
        let end = part.offset + 2;
        assembler.push(0, &part, end, now, &mut |logical| {
            assert!(kept.is_empty() || logical.line.part.is_some());
            kept.push(keep(logical));
        });
    }
    let seen: Vec<_> = kept.iter().map(|kept| (kept.text.as_str(), kept.covers[0].end)).collect();
    assert_eq!(seen, [("S", 2), ("xx", 4), ("xx", 6)]);
}

fn cri(rest: &str) -> String {
    format!("2026-11-21T08:00:00.5Z {rest}\n")
}

#[test]
fn split_lines_of_containers_are_joined_for_each_stream() {
    let file = [
        cri("stdout P one "),
        cri("stderr F whole"),
        cri("stdout P and "),
        cri("stdout F only"),
        "no wrapping\n".to_owned(),
        "{\"log\":\"do\",\"stream\":\"stdout\",\"time\":\"2026-11-21T08:00:00Z\"}\n".to_owned(),
        "{\"log\":\"cker\\n\",\"stream\":\"stdout\",\"time\":\"2026-11-21T08:00:00Z\"}\n"
            .to_owned(),
        cri("stderr P without an end"),
    ];
    let settings = AssembleSettings { container: Some(Container::Auto), multiline: None };
    let kept = assembled(settings, &file.concat());
    let seen: Vec<_> = kept
        .iter()
        .map(|kept| (kept.text.as_str(), kept.stream.as_deref(), kept.lines, kept.cut))
        .collect();
    assert_eq!(
        seen,
        [
            ("whole", Some("stderr"), 1, false),
            ("one and only", Some("stdout"), 3, false),
            ("no wrapping", None, 1, false),
            ("docker", Some("stdout"), 2, false),
            ("without an end", Some("stderr"), 1, true),
        ]
    );
    assert_eq!(kept[0].covers[0].end, 0, "the split line before it is still held");
    let held = file[..4].iter().map(|line| line.len() as u64).sum::<u64>();
    assert_eq!((kept[1].covers[0].end, kept[1].offset), (held, 0));
}

#[test]
fn a_split_line_is_bounded_and_an_unfinished_one_is_not_waited_for_for_ever() {
    let half = "x".repeat(PARTIAL_BYTES_MAX / 2);
    let file =
        [cri(&format!("stdout P {half}")), cri(&format!("stdout P {half}")), cri("stdout F y")];
    let settings = AssembleSettings { container: Some(Container::Cri), multiline: None };
    let kept = assembled(settings.clone(), &file.concat());
    let seen: Vec<_> = kept.iter().map(|kept| (kept.text.len(), kept.cut)).collect();
    assert_eq!(seen, [(PARTIAL_BYTES_MAX, true), (1, false)]);

    let (mut assembler, now) = (Assembler::new(settings), Instant::now());
    let (raw, mut kept) = (cri("stdout P a"), Vec::new());
    assembler.push(0, &line(raw.trim_end().as_bytes(), 0), 9, now, &mut |_| panic!("no end"));
    let due = assembler.deadline().unwrap();
    assembler.flush_due(due, &mut |logical| kept.push(keep(logical)));
    assert_eq!((kept[0].text.as_str(), kept[0].cut), ("a", true));
}

#[test]
fn lines_of_a_record_are_joined_behind_the_container() {
    let file = [
        cri("stderr F Traceback (most recent call last):"),
        cri("stdout F INFO:a:fine"),
        cri("stderr P   File \"a.py\", "),
        cri("stderr F line 1"),
        cri("stdout F INFO:a:fine again"),
        cri("stderr F KeyError: 7"),
    ];
    let settings = AssembleSettings {
        container: Some(Container::Cri),
        multiline: Some(Multiline::preset(Traces::Python)),
    };
    let kept = assembled(settings, &file.concat());
    let texts: BTreeSet<_> = kept.iter().map(|kept| (kept.text.as_str(), kept.lines)).collect();
    let trace = "Traceback (most recent call last):\n  File \"a.py\", line 1\nKeyError: 7";
    assert_eq!(texts, [("INFO:a:fine", 1), ("INFO:a:fine again", 1), (trace, 4)].into());
}

/// The records of a container's log.
fn records(format: Format, settings: &AssembleSettings, file: &str) -> Vec<Record> {
    let names = kubernetes_attributes("/var/log/pods/shop_orders_1-2/app/0.log".as_ref()).unwrap();
    let attributes = names.attributes().map(|(name, value)| (name.to_owned(), value.to_owned()));
    let source = SourceSettings {
        default_service: Some(names.default_service().to_owned()),
        attributes: attributes.to_vec(),
        ..SourceSettings::default()
    };
    let times = TimeReader::new(&TimeOptions::default()).unwrap();
    let mut interpreter = Interpreter::new(source, "x".to_owned(), format.reader(None), times);
    let mut records = Vec::new();
    let mut sink = |logical: &Logical<'_>| {
        interpreter.interpret_logical(logical, NOW, |record| records.push(record.to_record()));
    };
    let mut assembler = Assembler::new(settings.clone());
    let (now, mut at) = (Instant::now(), 0);
    for text in file.lines() {
        let end = at + text.len() as u64 + 1;
        assembler.push(0, &line(text.as_bytes(), at), end, now, &mut sink);
        at = end;
    }
    assembler.flush(&mut sink);
    records
}

#[test]
fn a_container_gives_its_time_only_to_lines_without_one() {
    let settings = AssembleSettings { container: Some(Container::Auto), multiline: None };
    let file = [
        cri("stdout F {\"time\":\"2026-11-20T00:00:00Z\",\"msg\":\"own\",\"service\":\"orders\"}"),
        cri("stderr F {\"msg\":\"none\"}"),
        cri("stderr F {\"time\":\"soon\",\"msg\":\"unreadable\"}"),
        cri("stderr F no json"),
        cri("stderr P cut"),
    ];
    let records = records(Format::Json, &settings, &file.concat());
    let at = |text: &str| Timestamp::parse_rfc3339(text).unwrap();
    let taken = at("2026-11-21T08:00:00.5Z");
    let times: Vec<_> = records.iter().map(|record| record.timestamp).collect();
    assert_eq!(times, [at("2026-11-20T00:00:00Z"), taken, taken, taken, taken]);
    let attribute = |record: &Record, name: &str| record.attributes.get(name).cloned();
    assert_eq!(attribute(&records[0], keys::IO_STREAM), Some(Value::String("stdout".into())));
    assert_eq!(attribute(&records[2], keys::TIMESTAMP_TEXT), Some(Value::String("soon".into())));
    assert_eq!(attribute(&records[3], keys::UNPARSED), Some(Value::Bool(true)));
    assert_eq!(attribute(&records[3], keys::RECORD_CUT), None);
    assert_eq!(attribute(&records[4], keys::RECORD_CUT), Some(Value::Bool(true)));
    let services: Vec<_> = records.iter().map(|record| record.service.as_deref()).collect();
    assert_eq!(services, [Some("orders"), Some("app"), Some("app"), Some("app"), Some("app")]);
    assert_eq!(attribute(&records[1], "k8s.pod.name"), Some(Value::String("orders".into())));
}

#[test]
fn the_first_line_of_a_record_is_read_by_the_format_and_the_others_follow_the_message() {
    let preset = |traces| AssembleSettings {
        multiline: Some(Multiline::preset(traces)),
        ..AssembleSettings::default()
    };
    let trace = "Traceback (most recent call last):\n  File \"a.py\"\nKeyError: 7";
    for (format, first, message) in [
        (Format::Python, "ERROR:shop:failed", "failed"),
        (Format::Json, "{\"level\":\"error\",\"msg\":\"failed\"}", "failed"),
        (Format::Logfmt, "level=error msg=failed", "failed"),
    ] {
        let records = records(format, &preset(Traces::Python), &format!("{first}\n{trace}\n"));
        assert_eq!(records.len(), 1);
        assert_eq!(records[0].message, format!("{message}\n{trace}"));
        assert_eq!(records[0].severity.name(), "error");
    }
    // Only the whole of it is JSON.
    let multiline = Some(starting(r"^\{"));
    let settings = AssembleSettings { multiline, container: None };
    let records = records(Format::Json, &settings, "{\n  \"msg\": \"a\"\n}\n");
    assert_eq!(records[0].message, "a");
}

/// A raw line of a history: which file it is in, and what it says.
#[derive(Clone, Debug)]
struct Raw {
    file: u64,
    text: String,
    offset: u64,
    part: bool,
}

impl Raw {
    /// The stream that it will come out with; parts are not looked into.
    fn stream(&self) -> Option<String> {
        let named = ["stdout", "stderr"].into_iter().find(|name| self.text.contains(name));
        named.filter(|_| !self.part).map(str::to_owned)
    }

    fn end(&self) -> u64 {
        self.offset + self.text.len() as u64 + 1
    }
}

fn raw_line(streams: usize) -> impl Strategy<Value = (u8, String, bool)> {
    let words = ["S", "x", "  in", "", "Traceback (most recent call last):", "KeyError: 7", "warn"];
    let word = proptest::sample::select(words.to_vec());
    let tags = ["P", "F", "F"];
    (0..8_u8, 0..streams, proptest::sample::select(tags.to_vec()), word, 0..12_u8).prop_map(
        move |(step, stream, tag, word, odd)| {
            let name = ["stdout", "stderr"][stream];
            // One stream is one stream only if every line is of it.
            let text = if streams > 1 && odd == 0 {
                word.to_owned()
            } else {
                format!("2026-11-21T08:00:00Z {name} {tag} {word}")
            };
            (step, text, streams > 1 && odd == 1)
        },
    )
}

/// Lines in files 1, 2 and 3; a few come from the file before, which is still written to.
fn history(streams: usize) -> impl Strategy<Value = Vec<Raw>> {
    proptest::collection::vec(raw_line(streams), 0..40).prop_map(|lines| {
        let mut ends = [0_u64; 5];
        let mut newest = 1;
        lines
            .into_iter()
            .map(|(step, text, part)| {
                newest = if step == 0 { (newest + 1).min(3) } else { newest };
                let file = if step == 1 { (newest - 1).max(1) } else { newest };
                let offset = ends[file];
                let raw = Raw { file: file as u64, text, offset, part };
                ends[file] = raw.end();
                raw
            })
            .collect()
    })
}

fn rule() -> impl Strategy<Value = Option<Multiline>> {
    let rules = vec![
        None,
        Some(starting("^S")),
        Some(Multiline { indented: true, ..Multiline::default() }),
        Some(Multiline::preset(Traces::Python)),
        Some(Multiline::preset(Traces::Go)),
    ];
    (proptest::sample::select(rules), 1..6_u32, 5..60_usize).prop_map(
        |(rule, lines_max, bytes_max)| rule.map(|rule| Multiline { lines_max, bytes_max, ..rule }),
    )
}

/// Which raw lines each logical line is made of, by their places in `raws`, and its covers. `due` says after
/// which of them time runs out. The lines of a stream come out in their order, so counting them tells which they are.
fn run(settings: &AssembleSettings, raws: &[Raw], due: &[bool]) -> Vec<(Vec<usize>, Vec<Cover>)> {
    let mut streams: BTreeMap<_, Vec<usize>> = BTreeMap::new();
    for (place, raw) in raws.iter().enumerate().rev() {
        streams.entry(raw.stream()).or_default().push(place);
    }
    let mut assembler = Assembler::new(settings.clone());
    let (mut now, mut seen) = (Instant::now(), Vec::new());
    let mut sink = |logical: &Logical<'_>| {
        let stream = streams.get_mut(&logical.stream.map(str::to_owned)).unwrap();
        let first = stream.len() - logical.lines as usize;
        let places: Vec<_> = stream.drain(first..).rev().collect();
        assert_eq!(logical.line.offset, raws[places[0]].offset);
        seen.push((places, logical.covers.to_vec()));
    };
    for (index, raw) in raws.iter().enumerate() {
        let part = raw.part.then_some(Part { number: 1, last: true });
        let line = Line { part, ..line(raw.text.as_bytes(), raw.offset) };
        assembler.push(raw.file, &line, raw.end(), now, &mut sink);
        if due.get(index) == Some(&true) {
            now += Duration::from_secs(60);
            assembler.flush_due(now, &mut sink);
            assert!(assembler.deadline().is_none() && assembler.pending_bytes() == 0);
        }
    }
    assembler.flush(&mut sink);
    seen
}

proptest! {
    #[test]
    fn a_cover_never_passes_a_line_that_is_held_and_reading_on_from_it_misses_none(
        raws in history(2),
        rule in rule(),
        due in proptest::collection::vec(prop::bool::weighted(0.1), 40),
    ) {
        let settings = AssembleSettings { container: Some(Container::Auto), multiline: rule };
        let seen = run(&settings, &raws, &due);
        let all: BTreeSet<usize> = (0..raws.len()).collect();
        let mut out = BTreeSet::new();
        let mut covered = BTreeMap::new();
        for (places, covers) in &seen {
            out.extend(places);
            for cover in covers {
                let before = covered.insert(cover.file, cover.end);
                prop_assert!(before.is_none_or(|end| end <= cover.end), "a cover went back");
            }
            let done = |raw: &Raw| covered.get(&raw.file).is_some_and(|end| raw.offset < *end);
            let passed: BTreeSet<usize> =
                raws.iter().enumerate().filter(|(_, raw)| done(raw)).map(|(at, _)| at).collect();
            prop_assert!(passed.is_subset(&out), "{passed:?} is not in {out:?}");
            // After a crash here, what is not covered is read again.
            let rest: Vec<usize> = all.difference(&passed).copied().collect();
            let again: Vec<Raw> = rest.iter().map(|at| raws[*at].clone()).collect();
            let replayed: BTreeSet<usize> = run(&settings, &again, &[])
                .into_iter()
                .flat_map(|(places, _)| places)
                .map(|place| rest[place])
                .collect();
            prop_assert_eq!(&replayed, &rest.iter().copied().collect::<BTreeSet<_>>());
            prop_assert_eq!(&out.union(&replayed).copied().collect::<BTreeSet<_>>(), &all);
        }
        prop_assert_eq!(out, all);
        let ends: BTreeMap<u64, u64> = raws.iter().map(|raw| (raw.file, raw.end())).collect();
        prop_assert_eq!(covered, ends);
    }

    #[test]
    fn with_one_stream_what_was_handed_out_is_covered_exactly(
        raws in history(1),
        rule in rule(),
        due in proptest::collection::vec(prop::bool::weighted(0.1), 40),
    ) {
        let settings = AssembleSettings { container: Some(Container::Cri), multiline: rule };
        let mut taken = 0;
        let mut covered = BTreeMap::new();
        for (places, covers) in run(&settings, &raws, &due) {
            taken += places.len();
            covered.extend(covers.iter().map(|cover| (cover.file, cover.end)));
            let (done, rest) = raws.split_at(taken);
            prop_assert!(done.iter().all(|raw| raw.offset < covered[&raw.file]));
            let ahead =
                |raw: &Raw| covered.get(&raw.file).is_some_and(|end| raw.offset < *end);
            prop_assert!(!rest.iter().any(ahead));
        }
        prop_assert_eq!(taken, raws.len());
    }
}
