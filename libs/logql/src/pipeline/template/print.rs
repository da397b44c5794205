//! Values as texts: as Go prints them, and by the verbs of `printf`.

use std::fmt::{self, Display, Formatter};

use record::Timestamp;

use super::{Value, bounded};

/// Largest width and precision.
const WIDTH_MAX: usize = 1_000;

impl Display for Value {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Integer(number) => number.fmt(f),
            Self::Float(number) => f.write_str(&float(*number)),
            Self::Bool(truth) => truth.fmt(f),
            Self::Pattern(pattern) => f.write_str(pattern.0.as_str()),
            Self::Time(time_ns) => {
                let seconds = time_ns - time_ns.rem_euclid(1_000_000_000);
                let text = Timestamp(seconds).to_string();
                let fraction = format!(".{:09}", time_ns.rem_euclid(1_000_000_000));
                let fraction = fraction.trim_end_matches('0').trim_end_matches('.');
                write!(
                    f,
                    "{}{fraction} +0000 UTC",
                    text.trim_end_matches('Z').replacen('T', " ", 1)
                )
            }
        }
    }
}

/// As Go's `%v`: with an exponent where the number is very large or small.
fn float(number: f64) -> String {
    if number.is_infinite() {
        return (if number > 0.0 { "+Inf" } else { "-Inf" }).to_owned();
    }
    let size = number.abs();
    if size == 0.0 || number.is_nan() || (1e-4..1e21).contains(&size) {
        return number.to_string();
    }
    let text = format!("{number:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, digits) = match exponent.strip_prefix('-') {
        Some(digits) => ('-', digits),
        None => ('+', exponent),
    };
    format!("{mantissa}e{sign}{digits:0>2}")
}

/// `printf`, with the faults in the text as Go has them.
///
/// # Errors
/// It makes too much.
pub(super) fn printf(format: &str, arguments: &[Value]) -> Result<String, String> {
    let mut output = String::new();
    let mut arguments = arguments.iter();
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        output.push_str(&rest[..at]);
        let (verb, length) = Verb::read(&rest[at + 1..]);
        rest = &rest[at + 1 + length..];
        match verb.letter {
            None => output.push_str("%!(NOVERB)"),
            Some('%') => output.push('%'),
            Some(letter) => match arguments.next() {
                Some(argument) => output.push_str(&verb.print(letter, argument)),
                None => output.push_str(&format!("%!{letter}(MISSING)")),
            },
        }
        bounded(output.len())?;
    }
    output.push_str(rest);
    bounded(output.len()).map(|()| output)
}

/// `%-5.2f`
#[derive(Default)]
struct Verb {
    left: bool,
    zero: bool,
    plus: bool,
    width: usize,
    precision: Option<usize>,
    letter: Option<char>,
}

impl Verb {
    /// The verb behind a `%`, and its length.
    fn read(text: &str) -> (Self, usize) {
        let mut verb = Self::default();
        let flags = text.find(|c| !"-0+ #".contains(c)).unwrap_or(text.len());
        verb.left = text[..flags].contains('-');
        verb.zero = text[..flags].contains('0') && !verb.left;
        verb.plus = text[..flags].contains('+');
        let mut length = flags;
        let number = |length: &mut usize| {
            let rest = &text[*length..];
            let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            *length += digits;
            rest[..digits].parse().map_or(0, |number: usize| number.min(WIDTH_MAX))
        };
        verb.width = number(&mut length);
        if text[length..].starts_with('.') {
            length += 1;
            verb.precision = Some(number(&mut length));
        }
        verb.letter = text[length..].chars().next();
        (verb, length + verb_length(text, length))
    }

    fn print(&self, letter: char, argument: &Value) -> String {
        let cut = |text: &str| match self.precision {
            Some(precision) => text.chars().take(precision).collect(),
            None => text.to_owned(),
        };
        let (text, is_number) = match (letter, argument) {
            ('v', value) => {
                (value.to_string(), matches!(value, Value::Integer(_) | Value::Float(_)))
            }
            ('s', Value::Text(text)) => (cut(text), false),
            ('s', Value::Time(_)) => (argument.to_string(), false),
            ('q', Value::Text(text)) => (crate::print::Quoted(text).to_string(), false),
            ('d', Value::Integer(number)) => (number.to_string(), true),
            ('x', Value::Integer(number)) => (format!("{number:x}"), true),
            ('t', Value::Bool(truth)) => (truth.to_string(), false),
            ('f' | 'F', Value::Float(number)) => {
                (format!("{number:.*}", self.precision.unwrap_or(6)), true)
            }
            ('g', Value::Float(number)) => (float(*number), true),
            (letter, other) => return format!("%!{letter}({}={other})", go_type(other)),
        };
        let signed = self.plus && is_number && !text.starts_with('-');
        let text = if signed { format!("+{text}") } else { text };
        let missing = self.width.saturating_sub(text.chars().count());
        match (self.left, self.zero && is_number) {
            (true, _) => text + &" ".repeat(missing),
            (false, true) => {
                let sign = usize::from(text.starts_with(['-', '+']));
                format!("{}{}{}", &text[..sign], "0".repeat(missing), &text[sign..])
            }
            (false, false) => " ".repeat(missing) + &text,
        }
    }
}

fn verb_length(text: &str, at: usize) -> usize {
    text[at..].chars().next().map_or(0, char::len_utf8)
}

fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Text(_) | Value::Pattern(_) => "string",
        Value::Integer(_) => "int",
        Value::Float(_) => "float64",
        Value::Bool(_) => "bool",
        Value::Time(_) => "time.Time",
    }
}
