//! The values of expressions, row by row.
//!
//! Whatever does not fit gives nothing: arithmetic with a text, a root of a negative number, a division by zero.

use std::cmp::Ordering;

use ql::{Arithmetic, Comparison, Constant, Expression, Field};
use record::{Level, Timestamp};

use crate::batch::{Batch, Piece, Rows};
use crate::cell::Cell;
use crate::functions;

const NANOS_PER_SECOND: f64 = 1e9;

/// An expression that is computed for many rows.
#[derive(Clone, Debug)]
pub(crate) struct Computed {
    expression: Expression,
    fields: Vec<Field>,
    now: Timestamp,
}

/// What an expression sees of a row.
pub(crate) type RowFields<'a> = dyn Fn(usize) -> Cell + 'a;

impl Computed {
    pub(crate) fn new(expression: Expression) -> Self {
        let mut fields = Vec::new();
        expression.for_each_field(&mut |field| {
            if !fields.contains(field) {
                fields.push(field.clone());
            }
        });
        Self { expression, fields, now: Timestamp(0) }
    }

    /// The query begins: what `now()` is from here on.
    pub(crate) fn begin(&mut self) {
        self.now = Timestamp::now();
    }

    /// The fields that it reads.
    pub(crate) fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The values of all rows of a piece.
    pub(crate) fn of_piece(&self, piece: &Piece) -> Vec<Cell> {
        let readers: Vec<_> = self.fields.iter().map(|field| piece.reader(field)).collect();
        let rows = 0..piece.batch.num_rows();
        rows.map(|row| self.value(&self.expression, &|field| readers[field].cell(row))).collect()
    }

    /// The values of all rows of a batch, as [`Batch::make`] takes them.
    pub(crate) fn of_whole(&self, batch: &Batch) -> Vec<Cell> {
        match batch {
            Batch::Records(records) => {
                records.pieces.iter().flat_map(|piece| self.of_piece(piece)).collect()
            }
            Batch::Rows(rows) => self.of_rows(rows),
        }
    }

    /// The values of rows.
    pub(crate) fn of_rows(&self, rows: &Rows) -> Vec<Cell> {
        let places: Vec<_> = self.fields.iter().map(|field| rows.place(field)).collect();
        let value = |row: &Vec<Cell>| {
            let cell = |field: usize| places[field].map_or(Cell::Null, |place| row[place].clone());
            self.value(&self.expression, &cell)
        };
        rows.rows.iter().map(value).collect()
    }

    fn value(&self, expression: &Expression, row: &RowFields<'_>) -> Cell {
        match expression {
            Expression::Constant(constant) => of_constant(constant),
            Expression::Field(field) => self.field(field, row),
            Expression::Not(inner) => Cell::Bool(!self.holds(inner, row)),
            Expression::Negate(inner) => match self.value(inner, row) {
                Cell::I64(number) => {
                    number.checked_neg().map_or(Cell::F64(-(number as f64)), Cell::I64)
                }
                Cell::F64(number) => Cell::F64(-number),
                _ => Cell::Null,
            },
            Expression::Arithmetic(operator, sides) => {
                calculate(*operator, &self.value(&sides[0], row), &self.value(&sides[1], row))
            }
            Expression::Compare(comparison, sides) => Cell::Bool(compare(
                *comparison,
                &self.value(&sides[0], row),
                &self.value(&sides[1], row),
            )),
            Expression::Severity(range) => {
                let level = match self.field(&Field::Severity, row) {
                    Cell::Text(name) => Level::ALL.into_iter().find(|level| level.name() == &*name),
                    _ => None,
                };
                let within =
                    |level: Level| (range.first..=range.last).contains(level.numbers().start());
                Cell::Bool(level.is_some_and(within))
            }
            Expression::And(members) => {
                Cell::Bool(members.iter().all(|member| self.holds(member, row)))
            }
            Expression::Or(members) => {
                Cell::Bool(members.iter().any(|member| self.holds(member, row)))
            }
            Expression::OneOf(inner, constants) => {
                let value = self.value(inner, row);
                Cell::Bool(constants.iter().any(|one| equal(&value, &of_constant(one))))
            }
            Expression::Matches(inner, pattern) => match self.value(inner, row) {
                Cell::Null | Cell::List(_) => Cell::Bool(false),
                Cell::Text(text) => Cell::Bool(pattern.is_match(&text)),
                other => Cell::Bool(pattern.is_match(&other.to_string())),
            },
            Expression::Within(inner, network) => match self.value(inner, row) {
                Cell::Text(text) => Cell::Bool(network.matches(&text)),
                _ => Cell::Bool(false),
            },
            Expression::Call(function, arguments) => {
                functions::call(*function, arguments, self.now, &|argument| {
                    self.value(argument, row)
                })
            }
        }
    }

    /// Whether a condition is true; nothing and whatever is no boolean is false.
    fn holds(&self, expression: &Expression, row: &RowFields<'_>) -> bool {
        matches!(self.value(expression, row), Cell::Bool(true))
    }

    fn field(&self, field: &Field, row: &RowFields<'_>) -> Cell {
        self.fields.iter().position(|other| other == field).map_or(Cell::Null, row)
    }
}

fn of_constant(constant: &Constant) -> Cell {
    match constant {
        Constant::Null => Cell::Null,
        Constant::Bool(flag) => Cell::Bool(*flag),
        Constant::Integer(number) => Cell::I64(*number),
        Constant::Float(number) => Cell::float(*number),
        Constant::Text(text) => Cell::text(text),
        Constant::Time(time) => Cell::Time(*time),
    }
}

/// A number and the text that it is printed as are equal, as in the filter.
fn equal(one: &Cell, other: &Cell) -> bool {
    match (one, other) {
        (Cell::Text(text), number @ (Cell::I64(_) | Cell::F64(_)))
        | (number @ (Cell::I64(_) | Cell::F64(_)), Cell::Text(text)) => {
            number.to_string() == **text
        }
        _ => one == other,
    }
}

fn compare(comparison: Comparison, one: &Cell, other: &Cell) -> bool {
    let ordered = |wanted: fn(Ordering) -> bool| match (one, other) {
        (Cell::Bool(_), Cell::Bool(_))
        | (Cell::I64(_) | Cell::F64(_), Cell::I64(_) | Cell::F64(_))
        | (Cell::Time(_), Cell::Time(_))
        | (Cell::Text(_), Cell::Text(_)) => wanted(one.cmp(other)),
        _ => false,
    };
    match comparison {
        Comparison::Equal => equal(one, other),
        Comparison::NotEqual => !equal(one, other),
        Comparison::Less => ordered(Ordering::is_lt),
        Comparison::LessOrEqual => ordered(Ordering::is_le),
        Comparison::Greater => ordered(Ordering::is_gt),
        Comparison::GreaterOrEqual => ordered(Ordering::is_ge),
    }
}

fn calculate(operator: Arithmetic, one: &Cell, other: &Cell) -> Cell {
    match (one, other) {
        (Cell::I64(one), Cell::I64(other)) => of_integers(operator, *one, *other),
        (Cell::Time(time), Cell::Time(other)) if operator == Arithmetic::Subtract => {
            Cell::float((i128::from(time.0) - i128::from(other.0)) as f64 / NANOS_PER_SECOND)
        }
        (Cell::Time(time), seconds) => match operator {
            Arithmetic::Add => moved(*time, seconds.as_f64()),
            Arithmetic::Subtract => moved(*time, seconds.as_f64().map(|seconds| -seconds)),
            _ => Cell::Null,
        },
        (seconds, Cell::Time(time)) if operator == Arithmetic::Add => {
            moved(*time, seconds.as_f64())
        }
        _ => match (one.as_f64(), other.as_f64()) {
            (Some(one), Some(other)) => of_floats(operator, one, other),
            _ => Cell::Null,
        },
    }
}

/// Whole while it fits, a float beyond.
fn of_integers(operator: Arithmetic, one: i64, other: i64) -> Cell {
    let whole = match operator {
        Arithmetic::Add => one.checked_add(other),
        Arithmetic::Subtract => one.checked_sub(other),
        Arithmetic::Multiply => one.checked_mul(other),
        Arithmetic::Divide => {
            one.checked_rem(other).filter(|rest| *rest == 0).and_then(|_| one.checked_div(other))
        }
        Arithmetic::Remainder => {
            let rest = one.checked_rem(other);
            rest.map(
                |rest| if rest != 0 && (rest < 0) != (other < 0) { rest + other } else { rest },
            )
        }
    };
    whole.map_or_else(|| of_floats(operator, one as f64, other as f64), Cell::I64)
}

fn of_floats(operator: Arithmetic, one: f64, other: f64) -> Cell {
    Cell::float(match operator {
        Arithmetic::Add => one + other,
        Arithmetic::Subtract => one - other,
        Arithmetic::Multiply => one * other,
        Arithmetic::Divide => one / other,
        Arithmetic::Remainder => one - other * (one / other).floor(),
    })
}

fn moved(time: Timestamp, seconds: Option<f64>) -> Cell {
    let Some(nanos) = seconds.map(|seconds| seconds * NANOS_PER_SECOND) else { return Cell::Null };
    // The cast keeps within the range of the type; what is out of the years that a time can have is nothing.
    time.0
        .checked_add(nanos.round() as i64)
        .map_or(Cell::Null, |nanos| Cell::Time(Timestamp(nanos)))
}

#[cfg(test)]
mod tests {
    use ql::Arguments;

    use super::*;

    fn value(text: &str) -> Cell {
        let query = ql::parse(&format!("* | eval {text}")).unwrap();
        let mut arguments = Arguments::new(&query.stages[0]);
        let expression = arguments.expression().map_err(|error| error.render(text)).unwrap().node;
        arguments.expression_ends().unwrap();
        let names = ["i", "f", "t", "b", "duration_ms", "timestamp", "severity", "none"];
        let row = vec![
            Cell::I64(7),
            Cell::F64(2.5),
            Cell::text("Hello wörld"),
            Cell::Bool(true),
            Cell::I64(300),
            Cell::Time(Timestamp::parse_rfc3339("2026-01-02T03:04:05.5Z").unwrap()),
            Cell::text("warn"),
            Cell::Null,
        ];
        let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
        let batch = Batch::Rows(Rows { names: names.into(), rows: vec![row] });
        let mut computed = Computed::new(expression);
        computed.begin();
        computed.of_whole(&batch).remove(0)
    }

    /// Expression and value as JSON.
    const GOLDEN: &str = r#"
1 + 2 * 3                                  7
(1 + 2) * 3                                9
7 / 2                                      3.5
6 / 2                                      3
-7 % 3                                     2
7.5 % 2                                    1.5
1 / 0                                      null
9223372036854775807 + 1                    9.223372036854776e+18
i + f                                      9.5
i + none                                   null
i + t                                      null
-i                                         -7
i > 5 and f < 3                            true
i > 5 && !(f < 3)                          false
i > 5 or none > 1                          true
none > 1                                   false
none == null                               true
none != 5                                  true
not none > 1                               true
i == "7"                                   true
i == 7.0                                   true
t =~ "^Hello"                              true
t !~ "^Hello"                              false
none =~ "x"                                false
i in (1, 7)                                true
t in ("a", "b")                            false
b == true                                  true
b and i == 7                               true
duration_ms > 200ms                        true
duration_ms > 1s                           false
duration_ms in (300ms, 1s)                 true
level >= "warn"                            true
level > "warn"                             false
level == "WARNING"                         true
level != "error"                           true
"error" > level                            true
level in ("error", "warning")              true
time > "2026-01-01"                        true
time == "2026-01-02T03"                    true
time < "2026-01-02"                        false
time - 5m                                  "2026-01-02T02:59:05.500Z"
time + 1.5                                 "2026-01-02T03:04:07Z"
time - time("2026-01-02T03:04:05Z")        0.5
time(1700000000)                           "2023-11-14T22:13:20Z"
time("2026-01-02")                         "2026-01-02T00:00:00Z"
time(t)                                    null
bin(time, 1h)                              "2026-01-02T03:00:00Z"
bin(i, 5)                                  5
bin(duration_ms, 200ms)                    200
if(i > 5, "big", "small")                  "big"
case(i > 10, "a", i > 5, "b", "c")         "b"
case(i > 10, "a")                          null
coalesce(none, i)                          7
least(3, i, none, f)                       2.5
greatest(3, i, none, f)                    7
typeof(none)                               "null"
typeof(time)                               "time"
lower(t)                                   "hello wörld"
upper("ß")                                 "SS"
trim("  a ")                               "a"
length(t)                                  11
substring(t, 7)                            "wörld"
substring(t, 7, 2)                         "wö"
substring(t, -2)                           "ld"
substring(t, 50)                           ""
replace(t, "o", "0")                       "Hell0 wörld"
contains(t, "wör")                         true
starts_with(t, "hello")                    false
ends_with(t, "ld")                         true
concat(t, "/", i, none)                    "Hello wörld/7"
split("a/b/c", "/", 2)                     "b"
split("a/b/c", "/", -1)                    "c"
split("a/b/c", "/", 9)                     null
find(t, "wör")                             7
find(t, "x")                               null
in_network("10.1.2.3", "10.0.0.0/8")       true
text(f)                                    "2.5"
number("12")                               12
number("1e3")                              1000.0
number("x")                                null
number(b)                                  1
abs(-3)                                    3
round(2.5)                                 3
round(2.345, 2)                            2.35
floor(-2.5)                                -3
ceil(2.1)                                  3
sqrt(-1)                                   null
log(8, 2)                                  3
power(2, 10)                               1024
year(time)                                 2026
month(time)                                1
day(time)                                  2
hour(time)                                 3
minute(time)                               4
weekday(time)                              5
epoch(time("2026-01-01T00:00:00Z"))        1767225600
1MiB                                       1048576.0
"#;

    #[test]
    fn expressions_give_these_values() {
        for line in GOLDEN.lines().filter(|line| !line.is_empty()) {
            let at = line.rfind("  ").unwrap();
            let (expression, expected) = (line[..at].trim(), line[at..].trim());
            let mut found = Vec::new();
            value(expression).write_json(&mut found);
            assert_eq!(String::from_utf8(found).unwrap(), expected, "{expression}");
        }
    }

    #[test]
    fn now_is_a_time() {
        assert!(matches!(value("now()"), Cell::Time(time) if time.0 > 1_700_000_000_000_000_000));
    }
}
