//! Entries of systemd's journal, as `journalctl --output=json --all` prints them: one object a line, its members in
//! no order. A value is text; or an array of bytes where it is no UTF-8 or has control characters in it; or an array
//! of such values where the field was given several times; or null. The fields are those of `systemd.journal-fields(7)`.
//!
//! | field | becomes |
//! |---|---|
//! | `MESSAGE` | the message |
//! | `_SOURCE_REALTIME_TIMESTAMP`, else `__REALTIME_TIMESTAMP` | the time |
//! | `PRIORITY` | the severity |
//! | `_HOSTNAME` | the host |
//! | `_SYSTEMD_USER_UNIT` or `_SYSTEMD_UNIT` that ends in `.service`, else `SYSLOG_IDENTIFIER`, any other unit, `_COMM` | the service |
//! | `CORRELATION_ID`, `REQUEST_ID`, `TRACE_ID`, `SPAN_ID`, … | the ids, by the table in [`record::keys`], in lower case |
//! | `_SYSTEMD_UNIT`, `_SYSTEMD_USER_UNIT` | `systemd.unit`, `systemd.user_unit` |
//! | `_TRANSPORT`, `_BOOT_ID`, `MESSAGE_ID` | `systemd.transport`, `systemd.boot_id`, `systemd.message_id` |
//! | `SYSLOG_IDENTIFIER`, `SYSLOG_FACILITY` | `process.name`, `syslog.facility` (its word), as the format syslog has them |
//! | `_PID`, else `SYSLOG_PID`; `_UID`, `TID` | `process.pid`, `process.user.id`, `thread.id` |
//! | `_COMM`, `_EXE`, `_CMDLINE` | `process.executable.name`, `process.executable.path`, `process.command_line` |
//! | `CODE_FILE`, `CODE_LINE`, `CODE_FUNC` | `code.file.path`, `code.line.number`, `code.function.name` |
//! | `CONTAINER_NAME`, `CONTAINER_ID_FULL`, `IMAGE_NAME` (of Docker) | `container.name`, `container.id`, `container.image.name` |
//! | `_KERNEL_DEVICE`, `_KERNEL_SUBSYSTEM`, `ERRNO` | `kernel.device`, `kernel.subsystem`, `errno` |
//! | `_LINE_BREAK` = `line-max` | `logq.record_cut`: the line goes on in the next entry |
//! | other names that begin with `_`; `SYSLOG_TIMESTAMP`, `SYSLOG_RAW` | nothing: journald's own affairs |
//! | every other name | an attribute, in lower case |

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bumpalo::Bump;
use record::keys::{self, Role};
use record::{CORRELATION_ID_BYTES_MAX, Severity, SpanId, Timestamp, TraceId, ValueRef};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::draft::Attributes;
use crate::format::{FACILITIES, SEVERITIES};

const CURSOR: &str = "__CURSOR";
/// The roles that a field of the user can have; the others have fields of journald's.
const ROLES: [Role; 4] = [Role::CorrelationId, Role::TraceId, Role::SpanId, Role::EventName];

/// One entry, borrowed from its line and from the arena.
#[derive(Debug, Default)]
pub(crate) struct Entry<'a> {
    /// Where the entry is.
    pub(crate) cursor: Option<&'a str>,
    pub(crate) time: Option<Timestamp>,
    pub(crate) message: &'a [u8],
    /// The number and syslog's word.
    pub(crate) severity: Option<(Severity, &'static str)>,
    pub(crate) service: Option<&'a str>,
    pub(crate) host: Option<&'a str>,
    /// In the order of [`ROLES`]: by which name, and what.
    ids: [Option<(u8, &'a str, &'a str)>; ROLES.len()],
    /// The message goes on in the next entry.
    pub(crate) cut: bool,
    /// By name, names not unique.
    pub(crate) attributes: Attributes<'a>,
}

impl<'a> Entry<'a> {
    /// Reads one line; `None` if it is no JSON object of the journal's kind.
    pub(crate) fn read(line: &'a [u8], arena: &'a Bump) -> Option<Self> {
        let mut deserializer = serde_json::Deserializer::from_slice(line);
        let reading = Reading { arena, entry: Entry::default(), found: Found::default() };
        let reading = deserializer.deserialize_map(reading).ok()?;
        deserializer.end().ok()?;
        Some(reading.settle())
    }

    /// A line that is no entry, as the message of one.
    pub(crate) fn unread(line: &'a [u8]) -> Self {
        let attributes = vec![(keys::UNPARSED, ValueRef::Bool(true))];
        Self { message: line, attributes, ..Self::default() }
    }

    /// The name and value of the field that has this role.
    pub(crate) fn id(&self, role: Role) -> Option<(&'a str, &'a str)> {
        let at = ROLES.iter().position(|other| *other == role)?;
        self.ids[at].map(|(_, name, value)| (name, value))
    }
}

/// The cursor of an entry that cannot be read, if it can be found. A text that looks like it inside of a value has
/// its quotes escaped.
pub(crate) fn find_cursor(line: &[u8]) -> Option<&str> {
    const BEFORE: &[u8] = b"\"__CURSOR\":\"";
    let begin = memchr::memmem::find(line, BEFORE)? + BEFORE.len();
    if line[..begin - BEFORE.len()].last().is_none_or(|byte| !b"{,".contains(byte)) {
        return None;
    }
    let end = memchr::memchr(b'"', &line[begin..])?;
    std::str::from_utf8(&line[begin..begin + end]).ok().filter(|cursor| !cursor.contains('\\'))
}

/// What several fields decide together.
#[derive(Debug, Default)]
struct Found<'a> {
    happened: Option<Timestamp>,
    received: Option<Timestamp>,
    unit: Option<&'a str>,
    user_unit: Option<&'a str>,
    identifier: Option<&'a str>,
    command: Option<&'a str>,
    pid: Option<&'a str>,
    syslog_pid: Option<&'a str>,
    has_message: bool,
}

struct Reading<'a> {
    arena: &'a Bump,
    entry: Entry<'a>,
    found: Found<'a>,
}

impl<'a> Reading<'a> {
    fn take(&mut self, name: &'a str, value: &'a [u8]) {
        if name == "MESSAGE" && !self.found.has_message {
            (self.entry.message, self.found.has_message) = (value, true);
            return;
        }
        let text = match std::str::from_utf8(value) {
            Ok(text) => text,
            Err(_) => self.arena.alloc_str(&STANDARD.encode(value)),
        };
        let (entry, found) = (&mut self.entry, &mut self.found);
        let attribute = match name {
            CURSOR => return entry.cursor = Some(text),
            "__REALTIME_TIMESTAMP" => return found.received = microseconds(text),
            "_SOURCE_REALTIME_TIMESTAMP" => return found.happened = microseconds(text),
            "_HOSTNAME" => return entry.host = Some(text),
            "_PID" => return found.pid = Some(text),
            "SYSLOG_PID" => return found.syslog_pid = Some(text),
            "_LINE_BREAK" => return entry.cut = text == "line-max",
            "SYSLOG_TIMESTAMP" | "SYSLOG_RAW" => return,
            "PRIORITY" => {
                let word = text.parse().ok().and_then(|at: usize| SEVERITIES.get(at).copied());
                match word.and_then(|word| Some((Severity::from_text(word)?, word))) {
                    Some(severity) => return entry.severity = Some(severity),
                    None => "priority",
                }
            }
            "SYSLOG_FACILITY" => {
                let word = text.parse().ok().and_then(|at: usize| FACILITIES.get(at).copied());
                return entry.add("syslog.facility", word.unwrap_or(text));
            }
            "_SYSTEMD_UNIT" => {
                found.unit = Some(text);
                "systemd.unit"
            }
            "_SYSTEMD_USER_UNIT" => {
                found.user_unit = Some(text);
                "systemd.user_unit"
            }
            "SYSLOG_IDENTIFIER" => {
                found.identifier = Some(text);
                "process.name"
            }
            "_COMM" => {
                found.command = Some(text);
                "process.executable.name"
            }
            "_UID" => return entry.add_number("process.user.id", text),
            "TID" => return entry.add_number("thread.id", text),
            "CODE_LINE" => return entry.add_number("code.line.number", text),
            "ERRNO" => return entry.add_number("errno", text),
            "_EXE" => "process.executable.path",
            "_CMDLINE" => "process.command_line",
            "_TRANSPORT" => "systemd.transport",
            "_BOOT_ID" => "systemd.boot_id",
            "MESSAGE_ID" => "systemd.message_id",
            "CODE_FILE" => "code.file.path",
            "CODE_FUNC" => "code.function.name",
            "CONTAINER_NAME" => "container.name",
            "CONTAINER_ID_FULL" => "container.id",
            "IMAGE_NAME" => "container.image.name",
            "_KERNEL_DEVICE" => "kernel.device",
            "_KERNEL_SUBSYSTEM" => "kernel.subsystem",
            name if name.starts_with('_') => return,
            name => return self.take_own(name, text),
        };
        entry.add(attribute, text);
    }

    /// A field that the service itself has given.
    fn take_own(&mut self, name: &str, text: &'a str) {
        let name: &'a str = self.arena.alloc_str(&name.to_ascii_lowercase());
        let role = keys::role(name).and_then(|(role, rank)| {
            let at = ROLES.iter().position(|other| *other == role)?;
            is_id(role, text).then_some((at, rank))
        });
        let Some((at, rank)) = role else { return self.entry.add(name, text) };
        let holder = &mut self.entry.ids[at];
        if holder.is_some_and(|(held, _, _)| held <= rank) {
            return self.entry.add(name, text);
        }
        if let Some((_, name, text)) = holder.replace((rank, name, text)) {
            self.entry.add(name, text);
        }
    }

    fn settle(self) -> Entry<'a> {
        let Self { mut entry, found, .. } = self;
        entry.time = found.happened.or(found.received);
        if let Some(pid) = found.pid.or(found.syslog_pid) {
            entry.add_number("process.pid", pid);
        }
        let service = |unit: Option<&'a str>| unit.and_then(|unit| unit.strip_suffix(".service"));
        // The manager of a user's services is a service too, and not the one that wrote it.
        let others = [found.identifier, found.user_unit, found.unit, found.command];
        entry.service = service(found.user_unit)
            .or_else(|| service(found.unit))
            .or_else(|| others.into_iter().flatten().next())
            .filter(|service| !service.is_empty());
        entry.host = entry.host.filter(|host| !host.is_empty());
        entry.cursor = entry.cursor.filter(|cursor| !cursor.is_empty());
        // The members come in any order.
        entry.attributes.sort_by_key(|(name, _)| *name);
        entry
    }
}

impl<'a> Entry<'a> {
    fn add(&mut self, name: &'a str, text: &'a str) {
        self.attributes.push((name, ValueRef::String(text)));
    }

    fn add_number(&mut self, name: &'a str, text: &'a str) {
        self.attributes.push((name, text.parse().map_or(ValueRef::String(text), ValueRef::I64)));
    }
}

fn is_id(role: Role, text: &str) -> bool {
    match role {
        Role::CorrelationId => (1..=CORRELATION_ID_BYTES_MAX).contains(&text.len()),
        Role::TraceId => TraceId::from_hex(text).is_some(),
        Role::SpanId => SpanId::from_hex(text).is_some(),
        _ => !text.is_empty(),
    }
}

fn microseconds(text: &str) -> Option<Timestamp> {
    text.parse::<i64>().ok()?.checked_mul(1_000).map(Timestamp)
}

impl<'a> Visitor<'a> for Reading<'a> {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an entry of the journal")
    }

    fn visit_map<A: MapAccess<'a>>(mut self, mut map: A) -> Result<Self, A::Error> {
        while let Some(name) = map.next_key_seed(Text(self.arena))? {
            map.next_value_seed(Field { name, reading: &mut self })?;
        }
        Ok(self)
    }
}

/// A text that lives as long as the entry.
struct Text<'a>(&'a Bump);

impl<'a> DeserializeSeed<'a> for Text<'a> {
    type Value = &'a str;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<&'a str, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'a> Visitor<'a> for Text<'a> {
    type Value = &'a str;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'a str) -> Result<&'a str, E> {
        Ok(text)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<&'a str, E> {
        Ok(self.0.alloc_str(text))
    }
}

/// The values of one field, given to [`Reading::take`].
struct Field<'r, 'a> {
    name: &'a str,
    reading: &'r mut Reading<'a>,
}

impl<'a> DeserializeSeed<'a> for Field<'_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for Field<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, an array of bytes, or an array of these")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'a str) -> Result<(), E> {
        self.reading.take(self.name, text.as_bytes());
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        let text = self.reading.arena.alloc_str(text);
        self.reading.take(self.name, text.as_bytes());
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.visit_str(&value.to_string())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.visit_str(&value.to_string())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.visit_str(&value.to_string())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.visit_str(&value.to_string())
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut values: A) -> Result<(), A::Error> {
        let Self { name, reading } = self;
        let mut bytes = Vec::new();
        let mut any = false;
        while let Some(element) = values.next_element_seed(Element(reading.arena))? {
            any = true;
            match element {
                Part::Byte(byte) => bytes.push(byte),
                Part::Value(value) => reading.take(name, value),
                Part::Nothing => {}
            }
        }
        if !bytes.is_empty() || !any {
            reading.take(name, reading.arena.alloc_slice_copy(&bytes));
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

/// A byte of a value, or one value of several.
enum Part<'a> {
    Byte(u8),
    Value(&'a [u8]),
    Nothing,
}

struct Element<'a>(&'a Bump);

impl<'a> DeserializeSeed<'a> for Element<'a> {
    type Value = Part<'a>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Part<'a>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for Element<'a> {
    type Value = Part<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a byte, a text or an array of bytes")
    }

    fn visit_u64<E: Error>(self, byte: u64) -> Result<Part<'a>, E> {
        let byte = u8::try_from(byte).map_err(|_| E::custom("a number is no byte"))?;
        Ok(Part::Byte(byte))
    }

    fn visit_borrowed_str<E: Error>(self, text: &'a str) -> Result<Part<'a>, E> {
        Ok(Part::Value(text.as_bytes()))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Part<'a>, E> {
        Ok(Part::Value(self.0.alloc_str(text).as_bytes()))
    }

    fn visit_unit<E: Error>(self) -> Result<Part<'a>, E> {
        Ok(Part::Nothing)
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut values: A) -> Result<Part<'a>, A::Error> {
        let mut bytes: Vec<u8> = Vec::new();
        while let Some(byte) = values.next_element()? {
            bytes.push(byte);
        }
        Ok(Part::Value(self.0.alloc_slice_copy(&bytes)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(line: &str, expected: &[(&str, &str)]) {
        let arena = Bump::new();
        let entry = Entry::read(line.as_bytes(), &arena).unwrap();
        let text =
            |name: &'static str, value: Option<&str>| Some((name.to_owned(), value?.to_owned()));
        let mut found: Vec<(String, String)> = [
            text("cursor", entry.cursor),
            text(
                "message",
                Some(&String::from_utf8_lossy(entry.message))
                    .filter(|it| !it.is_empty())
                    .map(|it| &**it),
            ),
            text("time", entry.time.map(|time| time.to_string()).as_deref()),
            text("severity", entry.severity.map(|(_, word)| word)),
            text("service", entry.service),
            text("host", entry.host),
            text("cut", entry.cut.then_some("yes")),
            text("correlation", entry.id(Role::CorrelationId).map(|(_, id)| id)),
            text("trace", entry.id(Role::TraceId).map(|(_, id)| id)),
            text("event", entry.id(Role::EventName).map(|(_, id)| id)),
        ]
        .into_iter()
        .flatten()
        .collect();
        let attributes = entry.attributes.iter();
        found.extend(attributes.map(|(name, value)| ((*name).to_owned(), value.to_string())));
        let expected: Vec<_> =
            expected.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        assert_eq!(found, expected, "{line}");
    }

    #[test]
    fn fields_become_what_the_table_says() {
        check(
            r#"{"__CURSOR":"s=1;i=2","MESSAGE":"hello","__REALTIME_TIMESTAMP":"1760000000000001","PRIORITY":"3",
               "_HOSTNAME":"h1","_SYSTEMD_UNIT":"orders.service","SYSLOG_IDENTIFIER":"java","_PID":"7","_UID":"33",
               "_MACHINE_ID":"m","__MONOTONIC_TIMESTAMP":"9","SYSLOG_FACILITY":"3","_LINE_BREAK":"line-max",
               "CORRELATION_ID":"c-1","TRACE_ID":"4bf92f3577b34da6a3ce929d0e0e4736","Order_Id":"o-1","CODE_LINE":"12"}"#,
            &[
                ("cursor", "s=1;i=2"),
                ("message", "hello"),
                ("time", "2025-10-09T08:53:20.000001Z"),
                ("severity", "err"),
                ("service", "orders"),
                ("host", "h1"),
                ("cut", "yes"),
                ("correlation", "c-1"),
                ("trace", "4bf92f3577b34da6a3ce929d0e0e4736"),
                ("code.line.number", "12"),
                ("order_id", "o-1"),
                ("process.name", "java"),
                ("process.pid", "7"),
                ("process.user.id", "33"),
                ("syslog.facility", "daemon"),
                ("systemd.unit", "orders.service"),
            ],
        );
        // The service's own clock wins; the id with the better name wins, wherever it stands.
        check(
            r#"{"_SOURCE_REALTIME_TIMESTAMP":"1760000000000000","__REALTIME_TIMESTAMP":"1760000009000000",
               "REQUEST_ID":"r","CORRELATION_ID":"c","TRACE_ID":"nope","EVENT_NAME":"x","_PID":"1","SYSLOG_PID":"2"}"#,
            &[
                ("time", "2025-10-09T08:53:20Z"),
                ("correlation", "c"),
                ("event", "x"),
                ("process.pid", "1"),
                ("request_id", "r"),
                ("trace_id", "nope"),
            ],
        );
    }

    #[test]
    fn the_service_is_the_unit_or_else_who_says_to_have_written_it() {
        for (fields, service) in [
            (r#""_SYSTEMD_UNIT":"a.service","SYSLOG_IDENTIFIER":"b""#, Some("a")),
            (r#""_SYSTEMD_UNIT":"user@7.service","_SYSTEMD_USER_UNIT":"a.service""#, Some("a")),
            (r#""_SYSTEMD_UNIT":"session-1.scope","SYSLOG_IDENTIFIER":"sudo""#, Some("sudo")),
            (r#""SYSLOG_IDENTIFIER":"kernel""#, Some("kernel")),
            (r#""_SYSTEMD_UNIT":"init.scope""#, Some("init.scope")),
            (r#""_COMM":"sh""#, Some("sh")),
            (r#""_SYSTEMD_UNIT":".service""#, None),
            (r#""MESSAGE":"x""#, None),
        ] {
            let (line, arena) = (format!("{{{fields}}}"), Bump::new());
            assert_eq!(Entry::read(line.as_bytes(), &arena).unwrap().service, service, "{line}");
        }
    }

    #[test]
    fn values_are_text_bytes_several_or_nothing() {
        check(
            r#"{"MESSAGE":[104,105,27],"A":null,"B":[],"C":7}"#,
            &[("message", "hi\u{1b}"), ("b", ""), ("c", "7")],
        );
        check(
            r#"{"MESSAGE":["one","two"],"A":["1",[50,255]],"B":[255]}"#,
            &[("message", "one"), ("a", "1"), ("a", "Mv8="), ("b", "/w=="), ("message", "two")],
        );
        check(
            r#"{"PRIORITY":"9","SYSLOG_FACILITY":"99","__REALTIME_TIMESTAMP":"99999999999999999"}"#,
            &[("priority", "9"), ("syslog.facility", "99")],
        );
    }

    #[test]
    fn what_is_no_entry_is_none() {
        for line in
            ["", "-- No entries --", "[]", "{", r#"{"A":"b"} x"#, r#"{"A":[256]}"#, r#"{"A":[-1]}"#]
        {
            assert!(Entry::read(line.as_bytes(), &Bump::new()).is_none(), "{line}");
        }
        assert!(Entry::read(b"{\"A\":\"\xff\"}", &Bump::new()).is_none());
    }

    #[test]
    fn a_cursor_is_found_in_a_piece_and_never_within_a_value() {
        for (piece, cursor) in [
            (r#"{"__CURSOR":"s=1","A"#, Some("s=1")),
            (r#"x","__CURSOR":"s=1","A"#, Some("s=1")),
            (r#"{"A":"\"__CURSOR\":\"s=1\"#, None),
            (r#""__CURSOR":"s="#, None),
            (r#"{"__CURSOR":"s="#, None),
            ("", None),
        ] {
            assert_eq!(find_cursor(piece.as_bytes()), cursor, "{piece}");
        }
    }

    proptest! {
        #[test]
        fn no_line_makes_a_reader_panic(line in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (Entry::read(&line, &Bump::new()), find_cursor(&line));
        }

        #[test]
        fn every_field_of_a_service_is_kept(fields in proptest::collection::btree_map("[A-Z][A-Z0-9]{4,8}Q", "[ -~é]{0,20}", 0..20)) {
            let line = serde_json::to_string(&fields).unwrap();
            let arena = Bump::new();
            let entry = Entry::read(line.as_bytes(), &arena).unwrap();
            let found: std::collections::BTreeMap<_, _> =
                entry.attributes.iter().map(|(name, value)| (name.to_ascii_uppercase(), value.to_string())).collect();
            prop_assert_eq!(found, fields);
        }
    }
}
