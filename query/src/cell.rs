//! A value in a query's answer.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use record::Timestamp;

/// One value of a row. Order and equality are total: nothing < booleans < numbers < times < text < lists;
/// integers and floats compare as numbers, exactly.
#[derive(Clone, Debug, Default)]
pub enum Cell {
    /// No value.
    #[default]
    Null,
    /// A boolean.
    Bool(bool),
    /// An integer.
    I64(i64),
    /// A finite float.
    F64(f64),
    /// A time.
    Time(Timestamp),
    /// A text.
    Text(Arc<str>),
    /// Several values.
    List(Vec<Cell>),
}

impl Cell {
    /// A text.
    pub fn text(text: &str) -> Self {
        Cell::Text(text.into())
    }

    /// A float, or nothing if it is not finite.
    pub fn float(number: f64) -> Self {
        if number.is_finite() { Cell::F64(number) } else { Cell::Null }
    }

    /// Whether there is no value.
    pub fn is_null(&self) -> bool {
        matches!(self, Cell::Null)
    }

    /// The value as a number, if it is one.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Cell::I64(number) => Some(*number as f64),
            Cell::F64(number) => Some(*number),
            _ => None,
        }
    }

    /// Memory that it holds, its own size included, about.
    pub(crate) fn memory_bytes(&self) -> usize {
        size_of::<Cell>() + self.heap_bytes()
    }

    /// Memory that it holds beside its own size: with the counts of a shared text and what the allocator adds.
    pub(crate) fn heap_bytes(&self) -> usize {
        match self {
            Cell::Text(text) => text.len() + 32,
            Cell::List(cells) => cells.iter().map(Cell::memory_bytes).sum(),
            _ => 0,
        }
    }

    /// Writes it as JSON.
    pub(crate) fn write_json(&self, out: &mut Vec<u8>) {
        match self {
            Cell::Null => out.extend_from_slice(b"null"),
            Cell::Bool(flag) => out.extend_from_slice(if *flag { b"true" } else { b"false" }),
            Cell::I64(number) => write_display(out, number),
            Cell::F64(number) => write_json_float(out, *number),
            Cell::Time(time) => {
                out.push(b'"');
                write_display(out, time);
                out.push(b'"');
            }
            Cell::Text(text) => write_json_text(out, text),
            Cell::List(cells) => {
                out.push(b'[');
                for (index, cell) in cells.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    cell.write_json(out);
                }
                out.push(b']');
            }
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Cell::Null => 0,
            Cell::Bool(_) => 1,
            Cell::I64(_) | Cell::F64(_) => 2,
            Cell::Time(_) => 3,
            Cell::Text(_) => 4,
            Cell::List(_) => 5,
        }
    }
}

impl Ord for Cell {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Cell::Bool(a), Cell::Bool(b)) => a.cmp(b),
            (Cell::I64(a), Cell::I64(b)) => a.cmp(b),
            (Cell::F64(a), Cell::F64(b)) => (a + 0.0).total_cmp(&(b + 0.0)),
            (Cell::I64(a), Cell::F64(b)) => compare_exactly(*a, *b),
            (Cell::F64(a), Cell::I64(b)) => compare_exactly(*b, *a).reverse(),
            (Cell::Time(a), Cell::Time(b)) => a.cmp(b),
            (Cell::Text(a), Cell::Text(b)) => a.cmp(b),
            (Cell::List(a), Cell::List(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

/// Without rounding the integer, which loses digits beyond 2^53.
fn compare_exactly(integer: i64, float: f64) -> Ordering {
    if float >= 9_223_372_036_854_775_808.0 {
        return Ordering::Less;
    }
    if float < -9_223_372_036_854_775_808.0 {
        return Ordering::Greater;
    }
    integer.cmp(&(float.trunc() as i64)).then_with(|| 0.0_f64.total_cmp(&(float.fract() + 0.0)))
}

impl PartialOrd for Cell {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Cell {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Cell {}

impl Hash for Cell {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.rank().hash(state);
        match self {
            Cell::Null => {}
            Cell::Bool(flag) => flag.hash(state),
            // Equal numbers hash alike: a whole float as the integer that it is.
            Cell::I64(number) => number.hash(state),
            Cell::F64(number) if number.fract() == 0.0 && number.abs() < 9.2e18 => {
                (*number as i64).hash(state)
            }
            Cell::F64(number) => number.to_bits().hash(state),
            Cell::Time(time) => time.hash(state),
            Cell::Text(text) => text.hash(state),
            Cell::List(cells) => cells.hash(state),
        }
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cell::Null => Ok(()),
            Cell::Bool(flag) => flag.fmt(f),
            Cell::I64(number) => number.fmt(f),
            Cell::F64(number) => number.fmt(f),
            Cell::Time(time) => time.fmt(f),
            Cell::Text(text) => f.write_str(text),
            Cell::List(cells) => {
                for (index, cell) in cells.iter().enumerate() {
                    if index > 0 {
                        f.write_str(", ")?;
                    }
                    cell.fmt(f)?;
                }
                Ok(())
            }
        }
    }
}

pub(crate) fn write_display(out: &mut Vec<u8>, value: &dyn fmt::Display) {
    use std::io::Write;
    write!(out, "{value}").expect("writing to memory cannot fail");
}

pub(crate) fn write_json_text(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("text can be written as JSON to memory");
}

/// A float keeps its point, so that it stays a float for who reads it.
pub(crate) fn write_json_float(out: &mut Vec<u8>, number: f64) {
    serde_json::to_writer(out, &number).expect("a float can be written as JSON to memory");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_compare_exactly_and_hash_alike_when_equal() {
        assert_eq!(Cell::I64(5), Cell::F64(5.0));
        assert!(Cell::I64(i64::MAX) < Cell::F64(9.3e18));
        assert!(Cell::I64(9_007_199_254_740_993) > Cell::F64(9_007_199_254_740_992.0));
        assert!(Cell::I64(-1) > Cell::F64(-1.5));
        assert_eq!(Cell::F64(0.0), Cell::F64(-0.0));
        let mut set = std::collections::HashSet::new();
        assert!(set.insert(Cell::I64(5)) && !set.insert(Cell::F64(5.0)));
    }

    #[test]
    fn different_kinds_have_a_fixed_order() {
        let mut cells = [Cell::text("a"), Cell::I64(1), Cell::Null, Cell::Bool(true)];
        cells.sort();
        assert_eq!(cells, [Cell::Null, Cell::Bool(true), Cell::I64(1), Cell::text("a")]);
    }
}
