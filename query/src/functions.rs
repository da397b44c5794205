//! What the functions of expressions compute; [`ql::FUNCTIONS`] says what each is for.

use jiff::tz::TimeZone;
use ql::{Expression, Function, Number};
use record::Timestamp;

use crate::cell::Cell;

/// The value of a call; only arguments that are needed are computed.
pub(crate) fn call(
    function: Function,
    arguments: &[Expression],
    now: Timestamp,
    value: &dyn Fn(&Expression) -> Cell,
) -> Cell {
    match function {
        Function::Now => Cell::Time(now),
        Function::If | Function::Case => chosen(arguments, value),
        Function::Coalesce => {
            let values = arguments.iter().map(value);
            values.into_iter().find(|cell| !cell.is_null()).unwrap_or_default()
        }
        Function::Least => some(arguments, value).min().unwrap_or_default(),
        Function::Greatest => some(arguments, value).max().unwrap_or_default(),
        Function::Concat => {
            Cell::text(&some(arguments, value).map(|cell| cell.to_string()).collect::<String>())
        }
        _ => {
            let cells: Vec<Cell> = arguments.iter().map(value).collect();
            of_cells(function, &cells)
        }
    }
}

/// `if` and `case`: conditions before their values, and what is left over at the end.
fn chosen(arguments: &[Expression], value: &dyn Fn(&Expression) -> Cell) -> Cell {
    for pair in arguments.chunks(2) {
        match pair {
            [condition, then] => {
                if matches!(value(condition), Cell::Bool(true)) {
                    return value(then);
                }
            }
            [otherwise] => return value(otherwise),
            _ => {}
        }
    }
    Cell::Null
}

fn some<'a>(
    arguments: &'a [Expression],
    value: &'a dyn Fn(&Expression) -> Cell,
) -> impl Iterator<Item = Cell> + 'a {
    arguments.iter().map(value).filter(|cell| !cell.is_null())
}

fn of_cells(function: Function, cells: &[Cell]) -> Cell {
    let first = cells.first().unwrap_or(&Cell::Null);
    let second = cells.get(1);
    let number = |change: fn(f64) -> f64| {
        first.as_f64().map_or(Cell::Null, |number| Cell::float(change(number)))
    };
    match function {
        Function::TypeOf => Cell::text(type_of(first)),
        Function::ToText if first.is_null() => Cell::Null,
        Function::ToText => Cell::text(&first.to_string()),
        Function::ToNumber => to_number(first),
        Function::ToTime => to_time(first),
        Function::Bin => bin(first, second.and_then(Cell::as_f64)),
        Function::Abs => match first {
            Cell::I64(number) => number.checked_abs().map_or(Cell::Null, Cell::I64),
            _ => number(f64::abs),
        },
        Function::Floor => whole(number(f64::floor)),
        Function::Ceil => whole(number(f64::ceil)),
        Function::Round => round(first, second),
        Function::Sqrt => whole(number(f64::sqrt)),
        Function::Exp => number(f64::exp),
        Function::Log => match second {
            None => number(f64::ln),
            Some(base) => match (first.as_f64(), base.as_f64()) {
                (Some(number), Some(2.0)) => whole(Cell::float(number.log2())),
                (Some(number), Some(10.0)) => whole(Cell::float(number.log10())),
                (Some(number), Some(base)) => whole(Cell::float(number.log(base))),
                _ => Cell::Null,
            },
        },
        Function::Power => match (first.as_f64(), second.and_then(Cell::as_f64)) {
            (Some(base), Some(exponent)) => whole(Cell::float(base.powf(exponent))),
            _ => Cell::Null,
        },
        Function::Year
        | Function::Month
        | Function::Day
        | Function::Hour
        | Function::Minute
        | Function::Weekday
        | Function::Epoch => of_time(function, first),
        _ => of_text(function, first, second, cells.get(2)),
    }
}

fn of_text(function: Function, first: &Cell, second: Option<&Cell>, third: Option<&Cell>) -> Cell {
    let Some(text) = text_of(first) else { return Cell::Null };
    let part = second.and_then(text_of);
    let part = part.as_deref();
    match (function, part) {
        (Function::Lower, _) => Cell::text(&text.to_lowercase()),
        (Function::Upper, _) => Cell::text(&text.to_uppercase()),
        (Function::Trim, _) => Cell::text(text.trim()),
        (Function::Length, _) => Cell::I64(text.chars().count() as i64),
        (Function::Substring, _) => substring(&text, second, third),
        (Function::Replace, Some(from)) => match third.and_then(text_of) {
            Some(to) if !from.is_empty() => Cell::text(&text.replace(from, &to)),
            Some(_) => Cell::text(&text),
            None => Cell::Null,
        },
        (Function::Contains, Some(part)) => Cell::Bool(text.contains(part)),
        (Function::StartsWith, Some(part)) => Cell::Bool(text.starts_with(part)),
        (Function::EndsWith, Some(part)) => Cell::Bool(text.ends_with(part)),
        (Function::Find, Some(part)) => match text.find(part) {
            Some(at) => Cell::I64(text[..at].chars().count() as i64 + 1),
            None => Cell::Null,
        },
        (Function::Split, Some(separator)) if !separator.is_empty() => {
            let wanted = match third.and_then(Cell::as_f64) {
                Some(number) if number >= 1.0 => text.split(separator).nth(number as usize - 1),
                Some(number) if number <= -1.0 => text.rsplit(separator).nth(-number as usize - 1),
                _ => None,
            };
            wanted.map_or(Cell::Null, Cell::text)
        }
        _ => Cell::Null,
    }
}

/// Numbers and times are texts as they are printed.
fn text_of(cell: &Cell) -> Option<std::sync::Arc<str>> {
    match cell {
        Cell::Null => None,
        Cell::Text(text) => Some(std::sync::Arc::clone(text)),
        other => Some(other.to_string().into()),
    }
}

fn substring(text: &str, start: Option<&Cell>, length: Option<&Cell>) -> Cell {
    let Some(start) = start.and_then(Cell::as_f64) else { return Cell::Null };
    let skipped = if start < 0.0 {
        text.chars().count().saturating_sub(-start as usize)
    } else {
        (start as usize).saturating_sub(1)
    };
    let rest = text.chars().skip(skipped);
    let part: String = match length {
        None => rest.collect(),
        Some(length) => match length.as_f64() {
            Some(length) => rest.take(length as usize).collect(),
            None => return Cell::Null,
        },
    };
    Cell::text(&part)
}

fn type_of(cell: &Cell) -> &'static str {
    match cell {
        Cell::Null => "null",
        Cell::Bool(_) => "bool",
        Cell::I64(_) | Cell::F64(_) => "number",
        Cell::Time(_) => "time",
        Cell::Text(_) => "text",
        Cell::List(_) => "list",
    }
}

fn to_number(cell: &Cell) -> Cell {
    match cell {
        Cell::I64(_) | Cell::F64(_) => cell.clone(),
        Cell::Bool(flag) => Cell::I64(i64::from(*flag)),
        Cell::Text(text) => match text.trim().parse::<i64>() {
            Ok(number) => Cell::I64(number),
            Err(_) if Number::parse(text.trim()).is_some() => {
                text.trim().parse().map_or(Cell::Null, Cell::float)
            }
            Err(_) => Cell::Null,
        },
        _ => Cell::Null,
    }
}

/// An epoch number is in seconds, milliseconds, microseconds or nanoseconds, by its size, as everywhere.
fn to_time(cell: &Cell) -> Cell {
    let time = match cell {
        Cell::Time(_) => return cell.clone(),
        Cell::Text(text) => {
            let epoch = || text.trim().parse().ok().and_then(Timestamp::from_epoch_f64);
            Timestamp::parse_rfc3339(text.trim()).or_else(epoch)
        }
        Cell::I64(number) => Timestamp::from_epoch(*number),
        Cell::F64(number) => Timestamp::from_epoch_f64(*number),
        _ => None,
    };
    time.map_or(Cell::Null, Cell::Time)
}

fn bin(cell: &Cell, width: Option<f64>) -> Cell {
    let Some(width) = width.filter(|width| *width > 0.0) else { return Cell::Null };
    match cell {
        Cell::Time(time) => {
            let nanos = (width * 1e9).round() as i64;
            let start = time.0.div_euclid(nanos.max(1)).saturating_mul(nanos.max(1));
            Cell::Time(Timestamp(start))
        }
        _ => match cell.as_f64() {
            Some(number) => whole(Cell::float((number / width).floor() * width)),
            None => Cell::Null,
        },
    }
}

fn round(cell: &Cell, digits: Option<&Cell>) -> Cell {
    let Some(number) = cell.as_f64() else { return Cell::Null };
    match digits {
        None => whole(Cell::float(number.round())),
        Some(digits) => match digits.as_f64() {
            Some(digits) => {
                let scale = 10_f64.powi(digits.clamp(-300.0, 300.0) as i32);
                whole(Cell::float((number * scale).round() / scale))
            }
            None => Cell::Null,
        },
    }
}

/// Whole numbers are integers while they are exact.
fn whole(cell: Cell) -> Cell {
    match cell {
        Cell::F64(number) if number.fract() == 0.0 && number.abs() < 9e15 => {
            Cell::I64(number as i64)
        }
        other => other,
    }
}

fn of_time(function: Function, cell: &Cell) -> Cell {
    let Cell::Time(time) = cell else { return Cell::Null };
    if function == Function::Epoch {
        return whole(Cell::float(time.0 as f64 / 1e9));
    }
    let Ok(instant) = jiff::Timestamp::from_nanosecond(i128::from(time.0)) else {
        return Cell::Null;
    };
    let local = instant.to_zoned(TimeZone::UTC);
    Cell::I64(match function {
        Function::Year => i64::from(local.year()),
        Function::Month => i64::from(local.month()),
        Function::Day => i64::from(local.day()),
        Function::Hour => i64::from(local.hour()),
        Function::Minute => i64::from(local.minute()),
        _ => i64::from(local.weekday().to_monday_one_offset()),
    })
}
