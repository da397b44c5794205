//! What the collector says in the body of an answer.
//!
//! ```text
//! 200  ExportLogsServiceResponse { 1: partial_success { 1: rejected_log_records int64, 2: error_message } }
//! else google.rpc.Status { 1: code, 2: message }, or {"error":{"message","hint"}}, or text
//! ```

/// What a 200 says about records that were not taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PartialSuccess {
    pub(crate) rejected: u64,
    pub(crate) message: String,
}

/// Longest text that is taken over from an answer, in characters.
const MESSAGE_CHARS_MAX: usize = 500;

/// Reads the body of a 200; what is not understood says nothing.
pub(crate) fn partial_success(body: &[u8]) -> PartialSuccess {
    let Some(Field::Bytes(partial)) = field(body, 1) else { return PartialSuccess::default() };
    let rejected = match field(partial, 1) {
        Some(Field::Varint(rejected)) => rejected,
        _ => 0,
    };
    PartialSuccess { rejected, message: text_field(partial, 2).unwrap_or_default() }
}

/// The text for people in the body of an error, whatever it is written in.
pub(crate) fn error_message(content_type: &str, body: &[u8]) -> String {
    let said = if content_type.contains("json") {
        json_message(body)
    } else if content_type.contains("protobuf") {
        text_field(body, 2)
    } else {
        None
    };
    let said = said.unwrap_or_else(|| String::from_utf8_lossy(body).trim().to_owned());
    if said.is_empty() {
        return "no reason given".to_owned();
    }
    said.chars().take(MESSAGE_CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn json_message(body: &[u8]) -> Option<String> {
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    let error = body.get("error").unwrap_or(&body);
    let text = |name| error.get(name).and_then(serde_json::Value::as_str);
    let message = text("message").or(error.as_str())?;
    Some(match text("hint") {
        Some(hint) => format!("{message} ({hint})"),
        None => message.to_owned(),
    })
}

enum Field<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
}

/// The last field of this number in a protobuf message.
fn field(mut message: &[u8], wanted: u64) -> Option<Field<'_>> {
    let mut found = None;
    while !message.is_empty() {
        let tag = varint(&mut message)?;
        let value = match tag & 7 {
            0 => Field::Varint(varint(&mut message)?),
            1 => Field::Bytes(message.split_off(..8)?),
            2 => {
                let length = usize::try_from(varint(&mut message)?).ok()?;
                Field::Bytes(message.split_off(..length)?)
            }
            5 => Field::Bytes(message.split_off(..4)?),
            _ => return None,
        };
        if tag >> 3 == wanted {
            found = Some(value);
        }
    }
    found
}

fn text_field(message: &[u8], number: u64) -> Option<String> {
    match field(message, number)? {
        Field::Bytes(text) => Some(String::from_utf8_lossy(text).into_owned()),
        Field::Varint(_) => None,
    }
}

fn varint(message: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = *message.split_off_first()?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use wire::Format;

    use super::*;

    #[test]
    fn answers_of_our_collector_are_understood() {
        let body = wire::export_response(Format::OtlpProtobuf, 300, "too deep");
        let expected = PartialSuccess { rejected: 300, message: "too deep".into() };
        assert_eq!(partial_success(&body), expected);
        assert_eq!(partial_success(b""), PartialSuccess::default());
        let status = wire::status(Format::OtlpProtobuf, 3, "line 7 is too long");
        assert_eq!(error_message("application/x-protobuf", &status), "line 7 is too long");
        let json = br#"{"error":{"code":"x","message":"no","hint":"send less"}}"#;
        assert_eq!(error_message("application/json", json), "no (send less)");
        assert_eq!(error_message("text/plain", b"just no\n"), "just no");
        assert_eq!(error_message("", b""), "no reason given");
    }

    proptest! {
        #[test]
        fn arbitrary_answers_never_panic(body in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = partial_success(&body);
            let _ = error_message("application/x-protobuf", &body);
            let _ = error_message("application/json", &body);
        }
    }
}
