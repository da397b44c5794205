//! Records through all steps: what is dropped, what is taken out and what must stay as it is, byte for byte.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use agent::process::redact::{Action, Detector, FINDS_MAX, HashKey, Pattern, Redaction};
use agent::process::{
    Dropped, Outcome, ProcessError, ProcessSettings, Processor, RateLimit, RatePolicy,
};
use proptest::prelude::*;
use record::{Record, Severity, TraceId, Value, keys};

const KEY: &str = "a key for tests, not for use";

fn all_detectors(action: Action) -> Redaction {
    Redaction {
        detectors: Detector::ALL.into_iter().map(|detector| (detector, action)).collect(),
        hash_key: Some(HashKey::new(KEY).unwrap()),
        ..Redaction::default()
    }
}

fn pattern(name: &str, pattern: &str, fields: &[&str], action: Action) -> Pattern {
    let fields = fields.iter().map(|field| (*field).to_owned()).collect();
    Pattern { name: name.into(), pattern: pattern.into(), fields, action }
}

fn redaction(patterns: Vec<Pattern>) -> ProcessSettings {
    let hash_key = Some(HashKey::new(KEY).unwrap());
    ProcessSettings {
        redact: Redaction { patterns, hash_key, ..Redaction::default() },
        ..ProcessSettings::default()
    }
}

fn process(processor: &mut Processor, record: &Record) -> (Outcome, Option<Record>) {
    let mut out = None;
    let outcome = record.with_ref(|record| {
        processor.process(record, Instant::now(), |record| out = Some(record.to_record()))
    });
    (outcome, out)
}

fn message(text: &str) -> Record {
    Record { message: text.to_owned(), ..Record::default() }
}

fn with_attributes(attributes: &[(&str, Value)]) -> Record {
    let own = |(name, value): &(&str, Value)| ((*name).to_owned(), value.clone());
    Record { attributes: attributes.iter().map(own).collect(), ..Record::default() }
}

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

/// The message that is left of `before`.
fn check(settings: &ProcessSettings, before: &str, after: &str) {
    let mut processor = Processor::new(settings).unwrap();
    let (outcome, out) = process(&mut processor, &message(before));
    assert_eq!(outcome, Outcome::Kept, "{before}");
    assert_eq!(out.unwrap().message, after, "{before}");
}

#[test]
fn nothing_is_done_by_default() {
    let mut processor = Processor::new(&ProcessSettings::default()).unwrap();
    let record = message("password=hunter2");
    assert_eq!(process(&mut processor, &record), (Outcome::Kept, Some(record)));
}

#[test]
fn filters_drop_by_the_query_language_and_count_by_rule() {
    let settings = ProcessSettings {
        keep: Some("service:orders OR level:>=error".into()),
        drop: vec!["level:debug health".into(), "url.path:/metrics*".into()],
        ..ProcessSettings::default()
    };
    let mut processor = Processor::new(&settings).unwrap();
    let order = Record { service: Some("orders".into()), ..message("health is fine") };
    let debug = Record { severity: Severity::from_number(5).unwrap(), ..order.clone() };
    let scrape = Record {
        attributes: [("url.path".to_owned(), text("/metrics/x"))].into(),
        ..order.clone()
    };
    let failed = Record { severity: Severity::from_number(17).unwrap(), ..message("x") };
    for (record, outcome) in [
        (order, Outcome::Kept),
        (failed, Outcome::Kept),
        (message("x"), Outcome::Dropped(Dropped::NotKept)),
        (debug, Outcome::Dropped(Dropped::Filtered { rule: 0 })),
        (scrape, Outcome::Dropped(Dropped::Filtered { rule: 1 })),
    ] {
        assert_eq!(process(&mut processor, &record).0, outcome, "{record:?}");
    }
    let counts = processor.counts();
    assert_eq!((counts.processed, counts.kept, counts.not_kept), (5, 2, 1));
    assert_eq!(counts.filtered, [1, 1]);
}

#[test]
fn a_bad_filter_is_shown_with_carets() {
    let settings = ProcessSettings { drop: vec!["level:eror".into()], ..Default::default() };
    let error = Processor::new(&settings).unwrap_err().to_string();
    assert!(error.starts_with("`drop[0]` is no filter:\n"), "{error}");
    assert!(error.contains("did you mean `error`?") && error.contains("^^^^"), "{error}");
}

#[test]
fn over_the_rate_a_source_drops_or_waits() {
    for policy in [RatePolicy::Drop, RatePolicy::Block] {
        let rate = RateLimit { records_per_second: Some(2.0), policy, ..RateLimit::default() };
        let settings = ProcessSettings { rate: Some(rate), ..ProcessSettings::default() };
        let mut processor = Processor::new(&settings).unwrap();
        let mut now = Instant::now();
        let record = message("x");
        let mut push = |now| record.with_ref(|record| processor.process(record, now, |_| {}));
        assert_eq!([push(now), push(now)], [Outcome::Kept; 2]);
        match (policy, push(now)) {
            (RatePolicy::Drop, outcome) => {
                assert_eq!(outcome, Outcome::Dropped(Dropped::RateLimited));
            }
            (RatePolicy::Block, Outcome::Wait(wait)) => {
                assert!(wait <= Duration::from_millis(500));
                now += wait + Duration::from_nanos(10);
                assert_eq!(push(now), Outcome::Kept);
            }
            (_, other) => panic!("{other:?}"),
        }
        let counts = processor.counts();
        assert_eq!(counts.processed, counts.kept + counts.rate_limited);
        assert_eq!(counts.waits + counts.rate_limited, 1);
    }
}

#[test]
fn finds_are_masked_and_the_rest_of_the_text_stays() {
    let settings =
        ProcessSettings { redact: all_detectors(Action::Mask), ..ProcessSettings::default() };
    for (before, after) in [
        ("user bob@example.com paid", "user [REDACTED:email] paid"),
        ("pan 4111 1111 1111 1111 ok", "pan [REDACTED:card] ok"),
        ("{\"password\":\"x\",\"n\":1}", "{\"password\":\"[REDACTED:password]\",\"n\":1}"),
        ("Authorization: Bearer abc, x", "Authorization: Bearer [REDACTED:bearer], x"),
        ("amqp://u:p%40x@mq:5672/v", "amqp://u:[REDACTED:password]@mq:5672/v"),
        // One secret, found twice: `p` by `password`, `p@mq.example` by `email`.
        ("amqp://u:p@mq.example/v", "amqp://u:[REDACTED:password]/v"),
        ("a@b.co, c@d.co", "[REDACTED:email], [REDACTED:email]"),
    ] {
        check(&settings, before, after);
        // A second agent on the way changes nothing any more.
        check(&settings, after, after);
    }
}

#[test]
fn attributes_are_looked_through_and_telling_names_give_away_their_values() {
    let settings =
        ProcessSettings { redact: all_detectors(Action::Mask), ..ProcessSettings::default() };
    let mut processor = Processor::new(&settings).unwrap();
    let record = Record {
        event_name: Some("mail to bob@example.com".into()),
        severity_text: Some("error".into()),
        correlation_id: Some("bob@example.com".into()),
        service: Some("bob@example.com".into()),
        ..with_attributes(&[
            ("a", text("clean")),
            ("card", Value::I64(4_111_111_111_111_111)),
            ("db.password", text("hunter2 and more")),
            ("http.request.header.authorization", text("[\"abc\"]")),
            ("list", text("[\"{\\\"token\\\":\\\"x\\\"}\"]")),
            ("order", Value::I64(4_111_111_111_111_112)),
            ("pwd", Value::I64(1234)),
            ("token", Value::Bool(true)),
            ("token#2", text("x")),
        ])
    };
    let wanted = Record {
        event_name: Some("mail to [REDACTED:email]".into()),
        ..with_attributes(&[
            ("a", text("clean")),
            ("card", text("[REDACTED:card]")),
            ("db.password", text("[REDACTED:password]")),
            ("http.request.header.authorization", text("[REDACTED:bearer]")),
            ("list", text("[\"{\\\"token\\\":\\\"[REDACTED:password]\\\"}\"]")),
            ("order", Value::I64(4_111_111_111_111_112)),
            ("pwd", text("[REDACTED:password]")),
            ("token", Value::Bool(true)),
            ("token#2", text("[REDACTED:password]")),
        ])
    };
    let out = process(&mut processor, &record).1.unwrap();
    assert_eq!(out.attributes, wanted.attributes);
    assert_eq!(out.event_name, wanted.event_name);
    assert_eq!(
        (out.severity_text, out.correlation_id, out.service),
        (record.severity_text, record.correlation_id, record.service)
    );
    let found: Vec<_> = processor.counts().redacted.iter().map(|rule| rule.finds).collect();
    assert_eq!(found, [1, 4, 1, 1]);
}

#[test]
fn what_holds_the_original_goes_with_the_first_find() {
    let settings =
        ProcessSettings { redact: all_detectors(Action::Mask), ..ProcessSettings::default() };
    let mut processor = Processor::new(&settings).unwrap();
    let line = |message: &str, time: &str| Record {
        message: message.to_owned(),
        ..with_attributes(&[
            ("a", text("x")),
            (keys::ORIGINAL_BYTES, text("Ym9iQGV4YW1wbGUuY29t")),
            (keys::TIMESTAMP_TEXT, text(time)),
        ])
    };
    let names = |record: Record| record.attributes.into_keys().collect::<Vec<_>>();
    let mut left = |record| names(process(&mut processor, &record).1.unwrap());
    let all = ["a", keys::ORIGINAL_BYTES, keys::TIMESTAMP_TEXT];
    assert_eq!(left(line("clean", "yesterday")), all);
    assert_eq!(left(line("bob@example.com", "yesterday")), ["a", keys::TIMESTAMP_TEXT]);
    assert_eq!(left(line("clean", "password=x")), ["a"]);
}

#[test]
fn hashes_are_equal_for_equal_values_and_need_the_key() {
    let settings =
        ProcessSettings { redact: all_detectors(Action::Hash), ..ProcessSettings::default() };
    let mut processor = Processor::new(&settings).unwrap();
    let mut left = |text: &str| process(&mut processor, &message(text)).1.unwrap().message;
    let (first, second) = (left("from bob@example.com"), left("to bob@example.com"));
    assert_eq!(first.strip_prefix("from "), second.strip_prefix("to "));
    assert_eq!(first.len(), "from email:".len() + 16);
    assert_ne!(first.strip_prefix("from "), Some(left("bob@example.org").as_str()));

    let mut without = all_detectors(Action::Hash);
    without.hash_key = None;
    let settings = ProcessSettings { redact: without, ..ProcessSettings::default() };
    assert!(Processor::new(&settings).unwrap_err().to_string().contains("hash key"));
    let debug = format!("{:?}", all_detectors(Action::Hash));
    assert!(!debug.contains(KEY) && debug.contains("HashKey(..)"), "{debug}");
}

#[test]
fn own_patterns_look_where_they_are_told_and_replace_their_group() {
    let settings = redaction(vec![
        pattern("iban", r"\b[A-Z]{2}\d{2}[A-Z0-9]{11,30}\b", &[], Action::Mask),
        pattern("ssn", r"ssn (?<secret>\d+-\d+)", &["message"], Action::Mask),
        pattern("user", r".+", &["correlation_id", "user.*", "source.path"], Action::Hash),
        pattern("number", r"\d{4}$", &["account"], Action::Mask),
        pattern("empty", r"x*", &["message"], Action::Mask),
    ]);
    check(
        &settings,
        "iban DE89370400440532013000, ssn 1-2",
        "iban [REDACTED:iban], ssn [REDACTED:ssn]",
    );
    check(&settings, "éxx", "é[REDACTED:empty]");
    let mut processor = Processor::new(&settings).unwrap();
    let record = Record {
        correlation_id: Some("bob".into()),
        source: record::Source { path: Some("/home/bob/log".into()), ..Default::default() },
        ..with_attributes(&[
            ("user.name", text("bob")),
            ("account", Value::I64(123_456)),
            ("account#2", text("9999")),
            ("other", text("1234")),
        ])
    };
    let out = process(&mut processor, &record).1.unwrap();
    assert_eq!(out.attributes["account"], text("12[REDACTED:number]"));
    assert_eq!(out.attributes["account#2"], text("[REDACTED:number]"));
    assert_eq!(out.attributes["other"], text("1234"));
    assert_eq!(Value::String(out.correlation_id.unwrap()), out.attributes["user.name"]);
    assert!(out.source.path.unwrap().starts_with("user:"));
}

#[test]
fn drop_removes_the_field_and_drop_record_the_record() {
    let mut settings = redaction(vec![
        pattern("gone", "GONE", &[], Action::Drop),
        pattern("never", "NEVER", &[], Action::DropRecord),
    ]);
    settings.redact.detectors = vec![(Detector::Email, Action::Mask)];
    let mut processor = Processor::new(&settings).unwrap();
    let record = Record {
        event_name: Some("x GONE".into()),
        ..with_attributes(&[("a", text("GONE a@b.co")), ("b", text("x@y.zz"))])
    };
    let record = Record { message: "a@b.co GONE".into(), ..record };
    let out = process(&mut processor, &record).1.unwrap();
    assert_eq!((out.message.as_str(), out.event_name), ("", None));
    assert_eq!(out.attributes, [("b".to_owned(), text("[REDACTED:email]"))].into());
    let (outcome, out) = process(&mut processor, &message("GONE NEVER"));
    assert_eq!((outcome, out), (Outcome::Dropped(Dropped::Redacted { rule: 2 }), None));
    let counts = processor.counts();
    assert_eq!(counts.redacted[2].records_dropped, 1);
    assert_eq!(counts.processed, 2);
}

#[test]
fn a_text_with_very_many_finds_is_replaced_as_a_whole() {
    let settings =
        ProcessSettings { redact: all_detectors(Action::Mask), ..ProcessSettings::default() };
    check(&settings, &"a@b.co ".repeat(FINDS_MAX), "[REDACTED:email]");
    let few = "a@b.co ".repeat(FINDS_MAX - 1);
    check(&settings, &few, &few.replace("a@b.co", "[REDACTED:email]"));
}

#[test]
fn settings_that_cannot_be_are_refused() {
    for wrong in [
        pattern("", "x", &[], Action::Mask),
        pattern("a b", "x", &[], Action::Mask),
        pattern("x", "(", &[], Action::Mask),
        pattern("x", "x", &["service"], Action::Mask),
        pattern("x", "x", &["trace_id"], Action::Mask),
    ] {
        assert!(Processor::new(&redaction(vec![wrong.clone()])).is_err(), "{wrong:?}");
    }
    let twice = pattern("x", "x", &[], Action::Mask);
    let error = Processor::new(&redaction(vec![twice.clone(), twice])).unwrap_err();
    assert!(matches!(error, ProcessError::Rule { .. }));
}

#[test]
fn names_are_read_back() {
    for detector in Detector::ALL {
        assert_eq!(Detector::from_name(detector.name()), Some(detector));
    }
    for action in Action::ALL {
        assert_eq!(Action::from_name(action.name()), Some(action));
    }
}

#[test]
fn lines_without_secrets_stay_as_they_are() {
    let settings =
        ProcessSettings { redact: all_detectors(Action::Mask), ..ProcessSettings::default() };
    for line in [
        "550e8400-e29b-41d4-a716-446655440000 12345678-1234-4123-8123-123456789012",
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "commit 4111111111111111deadbeef, etag W/\"4111111111111112\"",
        "2026-01-02T03:04:05.123456789Z took 1792000000000000000 ns",
        "order 4000123412341235 and 1234567890123456 and 20260102030405678",
        "10.0.0.1 - - [02/Jan/2026:03:04:05 +0000] \"GET /reset-password HTTP/1.1\" 200 512",
        "Failed password for invalid user admin from 10.0.0.1 port 4242 ssh2",
        "pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser=",
        "unexpected token } in JSON at position 4000",
        "Token bucket is empty, tokens=0 token_count=17 max_tokens: 4096",
        "Bearer token expired; basic auth is off",
        "class com.acme.token.Reader::read, std::token::Kind",
        "installed react@18.2.0 and @types/node@20.1.0, icon@2x.png",
        "root@db1:~# uptime; com.acme.Foo@1a2b3c4d",
        "see https://docs.example.com:8443/a/b@c#d?x=1 and ssh://git@github.com/x",
        "password=null token: false secret=\"\"",
        "phone +49 30 1234567-89, dates 2026-01-02 03:04:05 2026-01-02 03:04:06",
        "pi 3.4111111111111111 and 0.4242424242424242",
        "primary key: 5, sort key=x, keyboard: qwerty",
    ] {
        check(&settings, line, line);
    }
}

#[test]
fn steps_that_change_nothing_hand_on_the_same_texts() {
    let settings = ProcessSettings {
        redact: all_detectors(Action::Mask),
        drop: vec!["level:debug".into()],
        ..ProcessSettings::default()
    };
    let mut processor = Processor::new(&settings).unwrap();
    let record = Record { message: "all is well".into(), ..with_attributes(&[("a", text("b"))]) };
    record.with_ref(|before| {
        processor.process(before, Instant::now(), |after| {
            assert_eq!(before, after);
            assert!(std::ptr::eq(before.message, after.message));
            assert!(std::ptr::eq(before.attributes, after.attributes));
        });
    });
}

#[test]
fn fields_are_added_last_and_are_not_looked_through() {
    let settings = ProcessSettings {
        redact: all_detectors(Action::Mask),
        add: vec![("contact".into(), text("ops@example.com")), ("env".into(), text("prod"))],
        set: vec![("service".into(), text("orders"))],
        ..ProcessSettings::default()
    };
    let mut processor = Processor::new(&settings).unwrap();
    let out = process(&mut processor, &with_attributes(&[("env", text("bob@x.com"))])).1.unwrap();
    assert_eq!(out.service.as_deref(), Some("orders"));
    assert_eq!(out.attributes["contact"], text("ops@example.com"));
    assert_eq!(out.attributes["env"], text("[REDACTED:email]"));
}

/// Something that a rule must find, with what stands around it, and the part that must be gone.
fn planted() -> impl Strategy<Value = (String, String)> {
    let word = "[a-zA-Z0-9]{1,12}";
    let secret = "[a-zA-Z0-9!$%*+/_.~^-]{4,20}".prop_map(|text| format!("Zq9{text}x"));
    prop_oneof![
        (
            word,
            secret.clone(),
            prop::sample::select(vec![
                "password=@",
                "pwd: @",
                "{\"api_key\":\"@\"}",
                "{\\\"token\\\":\\\"@\\\"}",
                "secret='@'",
                "client-secret=@, x=1",
                "?access_token=@&y=2",
                "--password @ -v",
                "DB_PASSWORD=@;",
                "Authorization: Basic @",
                "Authorization: Bearer @",
                "<passwd>@</passwd>",
            ])
        )
            .prop_map(|(word, secret, form)| (
                format!("{word} {}", form.replace('@', &secret)),
                secret
            )),
        (word, "[a-zA-Z0-9!$%*_.~^-]{4,20}").prop_map(|(word, secret)| {
            let secret = format!("Zq9{secret}x");
            (format!("postgres://{word}:{secret}@db/x"), secret)
        }),
        ("[a-z][a-z0-9._+]{5,12}q", "[a-z][a-z0-9]{2,8}")
            .prop_map(|(local, domain)| { (format!("<{local}@{domain}.com>"), local) }),
        ("eyJ[A-Za-z0-9_-]{10,30}", "[A-Za-z0-9_-]{10,40}", "[A-Za-z0-9_-]{10,40}").prop_map(
            |(header, payload, signature)| {
                let token = format!("{header}.{payload}.{signature}");
                (format!("jwt {token}"), token)
            }
        ),
        ("4[0-9]{14}", prop::sample::select(vec!["", " ", "-"])).prop_map(|(digits, separator)| {
            let check = (0..10).find(|check| luhn(&format!("{digits}{check}"))).unwrap();
            let digits = format!("{digits}{check}");
            let groups = [&digits[..4], &digits[4..8], &digits[8..12], &digits[12..]];
            let number = groups.join(separator);
            (format!("card {number}."), number)
        }),
    ]
}

fn luhn(digits: &str) -> bool {
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(place, digit)| {
            let digit = u32::from(digit - b'0') << (place % 2);
            digit / 10 + digit % 10
        })
        .sum();
    sum.is_multiple_of(10)
}

/// Texts that are full of what detectors look at.
fn soup() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "password",
        "token",
        "Authorization",
        "Bearer",
        "Basic",
        "eyJ",
        "://",
        "@",
        "%40",
        ".com",
        "=",
        ":",
        "\"",
        "'",
        "\\",
        "[",
        "]",
        "{",
        "}",
        "(",
        "<",
        ">",
        ",",
        ";",
        "&",
        " ",
        "\n",
        "--",
        "4111",
        "1111",
        "-",
        ".",
        "a",
        "é",
        "—",
        "\u{1f600}",
        "Digest",
        "null",
        "#2",
        "bob",
    ]);
    prop::collection::vec(pieces, 0..30).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn no_planted_secret_comes_through(
        planted in prop::collection::vec(planted(), 1..4),
        in_attribute in any::<bool>(),
    ) {
        let settings =
            ProcessSettings { redact: all_detectors(Action::Mask), ..ProcessSettings::default() };
        let mut processor = Processor::new(&settings).unwrap();
        let line: Vec<&str> = planted.iter().map(|(text, _)| text.as_str()).collect();
        let line = line.join(" ");
        let record = match in_attribute {
            true => with_attributes(&[("detail", text(&line))]),
            false => message(&line),
        };
        let out = format!("{:?}", process(&mut processor, &record).1.unwrap());
        for (_, secret) in &planted {
            prop_assert!(!out.contains(secret.as_str()), "{} is in {}", secret, out);
        }
    }

    #[test]
    fn no_text_panics_and_a_record_changes_only_by_a_find(
        body in prop_oneof![soup(), ".{0,60}"],
        name in prop_oneof![soup(), Just("db.password".to_owned()), Just("a".to_owned())],
    ) {
        for action in Action::ALL {
            let settings =
                ProcessSettings { redact: all_detectors(action), ..ProcessSettings::default() };
            let mut processor = Processor::new(&settings).unwrap();
            let record = Record {
                message: body.clone(),
                event_name: (!body.is_empty()).then(|| body.clone()),
                trace_id: TraceId::from_bytes([1; 16]),
                ..with_attributes(&[(&name, text(&body)), ("z", text(&body))])
            };
            let (outcome, out) = process(&mut processor, &record);
            let finds: u64 = processor.counts().redacted.iter().map(|rule| rule.finds).sum();
            if finds == 0 {
                prop_assert_eq!(&out, &Some(record.clone()));
            }
            prop_assert_eq!(outcome == Outcome::Kept, out.is_some());
            if action == Action::DropRecord {
                prop_assert_eq!(out.is_none(), finds > 0);
            } else {
                prop_assert!(out.is_some_and(|out| (out == record) == (finds == 0)));
            }
        }
    }
}
