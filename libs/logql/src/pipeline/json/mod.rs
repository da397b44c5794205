//! JSON lines: everything in them as labels, single values by their path, and packed lines.
//!
//! Keys within keys are joined by `_`, arrays are skipped, numbers stay as they are written, `null` is no label. By a
//! path, arrays and objects give their text. What stands behind the closing brace does not matter.

mod reader;

use reader::{JsonValue, Reader, unescaped};

use super::labels::Extracted;
use crate::ast::Extraction;

/// A step of a path: `a`, `["a"]`, `[0]`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

/// A label and the path to its value.
#[derive(Clone, Debug)]
pub(super) struct JsonPath {
    label: String,
    steps: Vec<Step>,
}

impl JsonPath {
    /// # Errors
    /// The path is none.
    pub(super) fn compile(extraction: &Extraction) -> Result<Self, String> {
        let fault = || format!("cannot parse expression [{}]: unexpected path", extraction.source);
        let mut steps = Vec::new();
        let mut rest = extraction.source.trim();
        while !rest.is_empty() {
            let length = if let Some(bracket) = rest.strip_prefix("[\"") {
                let end = bracket.find("\"]").ok_or_else(fault)?;
                steps.push(Step::Key(bracket[..end].to_owned()));
                end + 4
            } else if let Some(bracket) = rest.strip_prefix('[') {
                let end = bracket.find(']').ok_or_else(fault)?;
                steps.push(Step::Index(bracket[..end].trim().parse().map_err(|_| fault())?));
                end + 2
            } else {
                let dot = usize::from(!steps.is_empty());
                let key = if dot == 1 { rest.strip_prefix('.').ok_or_else(fault)? } else { rest };
                let end = key.find(['.', '[']).unwrap_or(key.len());
                if end == 0 || key[..end].contains(char::is_whitespace) {
                    return Err(fault());
                }
                steps.push(Step::Key(key[..end].to_owned()));
                end + dot
            };
            rest = &rest[length..];
        }
        if steps.is_empty() {
            Err(fault())
        } else {
            Ok(Self { label: extraction.label.clone(), steps })
        }
    }
}

/// All values of an object, `extracted` as labels.
///
/// # Errors
/// The line is no JSON object; what stands before the fault was extracted.
pub(super) fn extract_all(line: &str, extracted: &mut Extracted<'_, '_>) -> Result<(), String> {
    let mut reader = Reader::new(line, 0);
    let mut prefix = String::new();
    reader.skip_blanks();
    if reader.next() != Some(b'{') {
        return Err(reader.fault("expected an object"));
    }
    flatten(&mut reader, &mut prefix, extracted)
}

/// The values at the paths; a label whose value is not there is empty.
///
/// # Errors
/// The line is no JSON.
pub(super) fn extract_paths(
    line: &str,
    paths: &[JsonPath],
    extracted: &mut Extracted<'_, '_>,
) -> Result<(), String> {
    let value = Reader::new(line, 0).value()?;
    for path in paths {
        let mut found = Some(value);
        for step in &path.steps {
            found = match found {
                Some(value) => inner(value, step)?,
                None => break,
            };
        }
        extracted.add(&path.label, found.map_or(String::new(), JsonValue::text));
    }
    Ok(())
}

/// The texts of a packed line, and the line that was packed; `None` for the line if it is not packed, and then nothing
/// was extracted.
///
/// # Errors
/// The line is no JSON object.
pub(super) fn unpack(
    line: &str,
    extracted: &mut Extracted<'_, '_>,
) -> Result<Option<String>, String> {
    let value = Reader::new(line, 0).value()?;
    let JsonValue::Object(object) = value else { return Err("expected an object".to_owned()) };
    let mut packed = None;
    let mut texts = Vec::new();
    members(object, |key, value| {
        if let JsonValue::String(text) = value {
            match key.as_str() {
                "_entry" => packed = Some(unescaped(text)),
                _ => texts.push((key, unescaped(text))),
            }
        }
        true
    })?;
    if packed.is_some() {
        texts.into_iter().for_each(|(key, text)| extracted.add(&key, text));
    }
    Ok(packed)
}

/// Reads the members of an object whose brace is open.
fn flatten(
    reader: &mut Reader<'_>,
    prefix: &mut String,
    extracted: &mut Extracted<'_, '_>,
) -> Result<(), String> {
    let length = prefix.len();
    reader.deeper()?;
    let mut first = true;
    while let Some(key) = reader.key(first)? {
        first = false;
        if length > 0 {
            prefix.push('_');
        }
        prefix.push_str(&unescaped(key));
        if reader.peek() == Some(b'{') {
            reader.skip();
            flatten(reader, prefix, extracted)?;
        } else {
            match reader.value()? {
                JsonValue::Null | JsonValue::Array(_) => {}
                value => extracted.add(prefix, value.text()),
            }
        }
        prefix.truncate(length);
    }
    reader.shallower();
    Ok(())
}

/// What is within a value.
fn inner<'a>(value: JsonValue<'a>, step: &Step) -> Result<Option<JsonValue<'a>>, String> {
    let mut found = None;
    match (value, step) {
        (JsonValue::Object(object), Step::Key(wanted)) => members(object, |key, value| {
            if key == *wanted {
                found = Some(value);
            }
            found.is_none()
        })?,
        (JsonValue::Array(array), Step::Index(index)) => {
            let mut reader = Reader::new(array, 1);
            let mut at = 0;
            while reader.element(at == 0)? {
                let value = reader.value()?;
                if at == *index {
                    return Ok(Some(value));
                }
                at += 1;
            }
        }
        _ => {}
    }
    Ok(found)
}

/// Calls `member` for each member of an object, as long as it answers `true`.
fn members<'a>(
    object: &'a str,
    mut member: impl FnMut(String, JsonValue<'a>) -> bool,
) -> Result<(), String> {
    let mut reader = Reader::new(object, 1);
    let mut first = true;
    while let Some(key) = reader.key(first)? {
        first = false;
        let value = reader.value()?;
        if !member(unescaped(key), value) {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::labels::{LineLabels, Origin};
    use super::*;
    use crate::labels::Labels;

    fn parsed(read: impl FnOnce(&mut Extracted<'_, '_>) -> Result<(), String>) -> (String, bool) {
        let (stream, metadata) = ([("app", "x")].into_iter().collect::<Labels>(), Labels::new());
        let mut labels = LineLabels::new(&stream, &metadata);
        let ok = read(&mut Extracted::into(&mut labels)).is_ok();
        (labels.of(Origin::Parsed).to_string(), ok)
    }

    #[test]
    fn keys_are_joined_and_arrays_skipped() {
        for (line, expected, ok) in [
            (r#"{"a":"b","n":1.0,"t":true,"z":null}"#, r#"{a="b", n="1.0", t="true"}"#, true),
            (r#"{"a":{"b":{"c-d":"e"},"f":[1,{"g":2}]},"h":""}"#, r#"{a_b_c_d="e", h=""}"#, true),
            (r#" { "app" : "y" , "1" : -2e3 } tail"#, r#"{_1="-2e3", app_extracted="y"}"#, true),
            (r#"{"a":"q\"\\\n\u00e9\ud83d\ude00\ud83d"}"#, r#"{a="q\"\\\né😀�"}"#, true),
            (r#"{"a":1,"a":2}"#, r#"{a="1"}"#, true),
            (r#"{"a":1,"b":"#, r#"{a="1"}"#, false),
            (r#"{"a":{}}"#, "{}", true),
            (r#"{"a":1 "b":2}"#, r#"{a="1"}"#, false),
            (r#"{,"a":1}"#, "{}", false),
            ("[1]", "{}", false),
            ("text", "{}", false),
            ("", "{}", false),
        ] {
            assert_eq!(parsed(|into| extract_all(line, into)), (expected.to_owned(), ok), "{line}");
        }
        let deep = format!("{}1{}", r#"{"a":"#.repeat(5_000), "}".repeat(5_000));
        assert!(!parsed(|into| extract_all(&deep, into)).1);
    }

    #[test]
    fn paths_find_single_values() {
        let line = r#"{"a":{"b":[10,{"c":"d\n"}],"x.y":1},"n":null,"o":{"p":1}}"#;
        for (path, expected) in [
            ("a.b[0]", "10"),
            ("a.b[1].c", "d\n"),
            (r#"a["x.y"]"#, "1"),
            (r#"["a"]["b"][0]"#, "10"),
            ("a.b", r#"[10,{"c":"d\n"}]"#),
            ("o", r#"{"p":1}"#),
            ("n", ""),
            ("a.missing.x", ""),
            ("a.b[7]", ""),
            ("a[0]", ""),
        ] {
            let extraction = Extraction { label: "f".to_owned(), source: path.to_owned() };
            let paths = [JsonPath::compile(&extraction).unwrap()];
            let expected: Labels = [("f", expected)].into_iter().collect();
            let found = parsed(|into| extract_paths(line, &paths, into));
            assert_eq!(found, (expected.to_string(), true), "{path}");
        }
    }

    #[test]
    fn paths_that_are_none_are_refused() {
        for path in ["", ".a", "a..b", "a[", "a[x]", "a[\"b]", "a b", "a."] {
            let extraction = Extraction { label: "f".to_owned(), source: path.to_owned() };
            assert!(JsonPath::compile(&extraction).is_err(), "{path}");
        }
    }

    #[test]
    fn a_packed_line_gives_its_labels_and_the_line_within() {
        let mut packed = None;
        let line = r#"{"pod":"p","n":1,"_entry":"the \"line\""}"#;
        let found = parsed(|into| unpack(line, into).map(|line| packed = line));
        assert_eq!(found, (r#"{pod="p"}"#.to_owned(), true));
        assert_eq!(packed.as_deref(), Some(r#"the "line""#));
        assert_eq!(parsed(|into| unpack(r#"{"a":"b"}"#, into).map(drop)), ("{}".to_owned(), true));
        assert!(!parsed(|into| unpack("text", into).map(drop)).1);
    }
}
