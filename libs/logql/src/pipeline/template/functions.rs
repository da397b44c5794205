//! The functions of templates, under the names that Loki has for them: some from Go, some from sprig.
//!
//! Those of sprig take the text last, so that it can be piped into them; those with a capital take it first, as in Go.

use std::sync::Arc;

use regex::Regex;

use super::print::printf;
use super::{Pattern, Value, bounded};
use crate::pipeline::label_filter::parse_number;
use crate::pipeline::regex::compile;
use crate::quantity::{parse_bytes, parse_duration_ns};

type Call = fn(&[Value]) -> Result<Value, String>;

/// A function and how many arguments it takes.
pub(super) struct Function {
    name: &'static str,
    pub(super) least: usize,
    pub(super) most: usize,
    call: Call,
}

/// Functions whose first argument is a regular expression; one of them begins with another.
pub(super) const WITH_PATTERN: [&str; 2] = ["count", "regexReplaceAll"];
/// Most arguments of a call.
const ARGUMENTS_MAX: usize = 64;

const fn function(name: &'static str, arguments: usize, call: Call) -> Function {
    Function { name, least: arguments, most: arguments, call }
}

const fn variadic(name: &'static str, least: usize, call: Call) -> Function {
    Function { name, least, most: ARGUMENTS_MAX, call }
}

static FUNCTIONS: [Function; 58] = [
    function("contains", 2, |of| truth(text(of, 1).contains(&text(of, 0)))),
    function("hasPrefix", 2, |of| truth(text(of, 1).starts_with(&text(of, 0)))),
    function("hasSuffix", 2, |of| truth(text(of, 1).ends_with(&text(of, 0)))),
    function("trim", 1, |of| done(text(of, 0).trim())),
    function("TrimSpace", 1, |of| done(text(of, 0).trim())),
    function("trimAll", 2, |of| done(text(of, 1).trim_matches(any_of(&text(of, 0))))),
    function("Trim", 2, |of| done(text(of, 0).trim_matches(any_of(&text(of, 1))))),
    function("TrimLeft", 2, |of| done(text(of, 0).trim_start_matches(any_of(&text(of, 1))))),
    function("TrimRight", 2, |of| done(text(of, 0).trim_end_matches(any_of(&text(of, 1))))),
    function("trimPrefix", 2, |of| prefix(&text(of, 1), &text(of, 0))),
    function("TrimPrefix", 2, |of| prefix(&text(of, 0), &text(of, 1))),
    function("trimSuffix", 2, |of| suffix(&text(of, 1), &text(of, 0))),
    function("TrimSuffix", 2, |of| suffix(&text(of, 0), &text(of, 1))),
    function("replace", 3, |of| replace(&text(of, 2), &text(of, 0), &text(of, 1), None)),
    function("Replace", 4, |of| {
        replace(&text(of, 0), &text(of, 1), &text(of, 2), Some(integer(of, 3)?))
    }),
    function("upper", 1, |of| done(&text(of, 0).to_uppercase())),
    function("ToUpper", 1, |of| done(&text(of, 0).to_uppercase())),
    function("lower", 1, |of| done(&text(of, 0).to_lowercase())),
    function("ToLower", 1, |of| done(&text(of, 0).to_lowercase())),
    function("title", 1, |of| done(&title(&text(of, 0)))),
    function("trunc", 2, |of| trunc(integer(of, 0)?, &text(of, 1))),
    function("substr", 3, |of| substr(integer(of, 0)?, integer(of, 1)?, &text(of, 2))),
    function("default", 2, |of| Ok(of[usize::from(of[1].is_true())].clone())),
    function("len", 1, |of| number(text(of, 0).len())),
    function("count", 2, |of| number(pattern(of)?.find_iter(&text(of, 1)).count())),
    variadic("print", 1, |of| done(&of.iter().map(Value::to_string).collect::<String>())),
    variadic("printf", 1, |of| printf(&text(of, 0), &of[1..]).map(Value::Text)),
    function("regexReplaceAll", 3, |of| regex_replace(&*pattern(of)?, &text(of, 1), &text(of, 2))),
    function("regexReplaceAllLiteral", 3, |of| {
        regex_replace(&*pattern(of)?, &text(of, 1), &text(of, 2).replace('$', "$$"))
    }),
    variadic("and", 1, |of| {
        Ok(of.iter().find(|one| !one.is_true()).unwrap_or(&of[of.len() - 1]).clone())
    }),
    variadic("or", 1, |of| {
        Ok(of.iter().find(|one| one.is_true()).unwrap_or(&of[of.len() - 1]).clone())
    }),
    function("not", 1, |of| truth(!of[0].is_true())),
    variadic("eq", 2, |of| truth(of[1..].iter().any(|one| *one == of[0]))),
    function("ne", 2, |of| truth(of[0] != of[1])),
    function("lt", 2, |of| ordered(of).map(|order| Value::Bool(order.is_lt()))),
    function("le", 2, |of| ordered(of).map(|order| Value::Bool(order.is_le()))),
    function("gt", 2, |of| ordered(of).map(|order| Value::Bool(order.is_gt()))),
    function("ge", 2, |of| ordered(of).map(|order| Value::Bool(order.is_ge()))),
    function("int", 1, |of| Ok(Value::Integer(float(&of[0]) as i64))),
    function("float64", 1, |of| Ok(Value::Float(float(&of[0])))),
    variadic("add", 2, |of| integers(of, i64::checked_add)),
    function("sub", 2, |of| integers(of, i64::checked_sub)),
    variadic("mul", 2, |of| integers(of, i64::checked_mul)),
    function("div", 2, |of| integers(of, i64::checked_div)),
    function("mod", 2, |of| integers(of, i64::checked_rem)),
    variadic("addf", 2, |of| floats(of, |left, right| left + right)),
    function("subf", 2, |of| floats(of, |left, right| left - right)),
    variadic("mulf", 2, |of| floats(of, |left, right| left * right)),
    function("divf", 2, |of| floats(of, |left, right| left / right)),
    variadic("max", 1, |of| {
        Ok(Value::Integer(of.iter().map(|one| float(one) as i64).max().unwrap_or(0)))
    }),
    variadic("min", 1, |of| {
        Ok(Value::Integer(of.iter().map(|one| float(one) as i64).min().unwrap_or(0)))
    }),
    function("round", 2, |of| {
        let scale = 10f64.powi(i32::try_from(integer(of, 1)?).unwrap_or(0).clamp(0, 15));
        Ok(Value::Float((float(&of[0]) * scale).round() / scale))
    }),
    function("unixEpoch", 1, |of| {
        time(of).map(|time_ns| Value::Text(time_ns.div_euclid(1_000_000_000).to_string()))
    }),
    function("unixEpochMillis", 1, |of| {
        time(of).map(|time_ns| Value::Text(time_ns.div_euclid(1_000_000).to_string()))
    }),
    function("unixEpochNanos", 1, |of| time(of).map(|time_ns| Value::Text(time_ns.to_string()))),
    function("duration", 1, |of| seconds(&text(of, 0))),
    function("duration_seconds", 1, |of| seconds(&text(of, 0))),
    function("bytes", 1, |of| {
        let text = text(of, 0);
        let bytes = parse_bytes(&text).ok_or_else(|| format!("\"{text}\" is no size"))?;
        Ok(Value::Float(bytes as f64))
    }),
];

impl Function {
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        FUNCTIONS.iter().find(|function| function.name == name)
    }

    /// The argument at a place, compiled if it is a regular expression.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn prepared(&self, at: usize, constant: Value) -> Result<Value, String> {
        match constant {
            Value::Text(text)
                if at == 0 && WITH_PATTERN.iter().any(|name| self.name.starts_with(name)) =>
            {
                Ok(Value::Pattern(Pattern(Arc::new(compile(&text)?))))
            }
            constant => Ok(constant),
        }
    }

    pub(super) fn call(&self, arguments: &[Value]) -> Result<Value, String> {
        (self.call)(arguments).map_err(|fault| format!("{}: {fault}", self.name))
    }
}

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// The first argument, which may come from the line.
fn pattern(of: &[Value]) -> Result<Arc<Regex>, String> {
    match &of[0] {
        Value::Pattern(pattern) => Ok(Arc::clone(&pattern.0)),
        other => compile(&other.to_string()).map(Arc::new),
    }
}

fn text(of: &[Value], at: usize) -> String {
    of[at].to_string()
}

fn integer(of: &[Value], at: usize) -> Result<i64, String> {
    match &of[at] {
        Value::Integer(number) => Ok(*number),
        other => Err(format!("expected an integer, and not \"{other}\"")),
    }
}

/// A number of anything; what is none is 0, as in sprig.
fn float(value: &Value) -> f64 {
    match value {
        Value::Integer(number) => *number as f64,
        Value::Float(number) => *number,
        Value::Bool(truth) => f64::from(u8::from(*truth)),
        Value::Text(text) => parse_number(text).unwrap_or(0.0),
        Value::Time(time_ns) => *time_ns as f64,
        Value::Pattern(_) => 0.0,
    }
}

fn time(of: &[Value]) -> Result<i64, String> {
    match &of[0] {
        Value::Time(time_ns) => Ok(*time_ns),
        other => Err(format!("expected a time, and not \"{other}\"")),
    }
}

fn seconds(text: &str) -> Result<Value, String> {
    let duration_ns =
        parse_duration_ns(text).ok_or_else(|| format!("\"{text}\" is no duration"))?;
    Ok(Value::Float(duration_ns as f64 / 1e9))
}

fn done(text: &str) -> Result<Value, String> {
    bounded(text.len()).map(|()| Value::Text(text.to_owned()))
}

fn truth(truth: bool) -> Result<Value, String> {
    Ok(Value::Bool(truth))
}

fn number(count: usize) -> Result<Value, String> {
    Ok(Value::Integer(i64::try_from(count).unwrap_or(i64::MAX)))
}

fn any_of(characters: &str) -> impl Fn(char) -> bool + Copy {
    move |character| characters.contains(character)
}

fn prefix(text: &str, prefix: &str) -> Result<Value, String> {
    done(text.strip_prefix(prefix).unwrap_or(text))
}

fn suffix(text: &str, suffix: &str) -> Result<Value, String> {
    done(text.strip_suffix(suffix).unwrap_or(text))
}

/// The first `count` of them, all if it is below 0.
fn replace(text: &str, old: &str, new: &str, count: Option<i64>) -> Result<Value, String> {
    let count = usize::try_from(count.unwrap_or(-1)).unwrap_or(usize::MAX);
    // Before it is made: a short text with many places can become very long.
    let places = text.matches(old).take(count).count();
    bounded(text.len().saturating_add(places.saturating_mul(new.len())))?;
    done(&text.replacen(old, new, count))
}

fn title(text: &str) -> String {
    let mut before = ' ';
    let capital = |character: char| {
        let starts = !before.is_alphanumeric();
        before = character;
        if starts { character.to_uppercase().collect::<String>() } else { character.to_string() }
    };
    text.chars().map(capital).collect()
}

/// The first `count` characters, or the last of them if it is below 0.
fn trunc(count: i64, text: &str) -> Result<Value, String> {
    let length = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    let skipped = if count < 0 { text.chars().count().saturating_sub(length) } else { 0 };
    done(&text.chars().skip(skipped).take(length).collect::<String>())
}

/// Characters `start` to `end`; to the end if `end` is below 0.
fn substr(start: i64, end: i64, text: &str) -> Result<Value, String> {
    let start = usize::try_from(start).unwrap_or(0);
    let end = usize::try_from(end).unwrap_or(usize::MAX);
    done(&text.chars().skip(start).take(end.saturating_sub(start)).collect::<String>())
}

fn regex_replace(regex: &Regex, text: &str, replacement: &str) -> Result<Value, String> {
    let mut output = String::new();
    let mut at = 0;
    for captures in regex.captures_iter(text) {
        let whole = captures.get_match();
        output.push_str(&text[at..whole.start()]);
        captures.expand(replacement, &mut output);
        at = whole.end();
        bounded(output.len())?;
    }
    done(&(output + &text[at..]))
}

fn ordered(of: &[Value]) -> Result<std::cmp::Ordering, String> {
    let order = match (&of[0], &of[1]) {
        (Value::Integer(left), Value::Integer(right)) => Some(left.cmp(right)),
        (Value::Text(left), Value::Text(right)) => Some(left.cmp(right)),
        (Value::Float(left), Value::Float(right)) => left.partial_cmp(right),
        _ => None,
    };
    order.ok_or_else(|| "incompatible types for comparison".to_owned())
}

fn integers(of: &[Value], operation: fn(i64, i64) -> Option<i64>) -> Result<Value, String> {
    let mut numbers = of.iter().map(|one| float(one) as i64);
    let first = numbers.next().unwrap_or(0);
    let result = numbers.try_fold(first, operation);
    result.map(Value::Integer).ok_or_else(|| "division by zero, or a number too large".to_owned())
}

fn floats(of: &[Value], operation: fn(f64, f64) -> f64) -> Result<Value, String> {
    Ok(Value::Float(of.iter().map(float).reduce(operation).unwrap_or(0.0)))
}
