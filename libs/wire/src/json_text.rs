//! Writing JSON text: the form in which arrays are kept as attribute values, and OTLP's JSON mapping.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// A string with its quotes; everything below a space is escaped, the rest stays UTF-8.
pub(crate) fn push_string(out: &mut String, text: &str) {
    out.push('"');
    let mut plain_from = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte >= b' ' && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.push_str(&text[plain_from..at]);
        plain_from = at + 1;
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            _ => push(out, format_args!("\\u{byte:04x}")),
        }
    }
    out.push_str(&text[plain_from..]);
    out.push('"');
}

/// A number in the fewest digits that read back as the same float; what is not finite becomes a string.
pub(crate) fn push_f64(out: &mut String, number: f64) {
    if number.is_finite() {
        push(out, format_args!("{number:?}"));
    } else {
        push(out, format_args!("\"{number}\""));
    }
}

/// Anything that can be displayed.
pub(crate) fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a String takes everything");
}

/// Standard base64 with padding, without quotes.
pub(crate) fn push_base64(out: &mut String, bytes: &[u8]) {
    STANDARD.encode_string(bytes, out);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn strings_and_floats_are_read_back(text in any::<String>(), number in any::<f64>()) {
            let mut json = String::new();
            push_string(&mut json, &text);
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
            json.clear();
            push_f64(&mut json, number);
            if number.is_finite() {
                prop_assert_eq!(serde_json::from_str::<f64>(&json).unwrap(), number);
            } else {
                prop_assert!(serde_json::from_str::<String>(&json).is_ok());
            }
        }
    }
}
