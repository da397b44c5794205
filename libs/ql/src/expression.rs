//! Expressions of `where` and `eval`: what they are made of, and of which type.
//!
//! ```text
//! or · and · not · == != < <= > >= =~ !~ in · + - · * / % · - (sign)      loosest first
//! ```
//!
//! | written | means |
//! |---|---|
//! | `5`, `1.5`, `1MiB`, `"text"`, `true`, `null` | constants; a size is its bytes |
//! | `200ms` | a duration: in the unit of the field beside it (`duration_ms > 200ms`), else seconds |
//! | `name`, `` `odd name` `` | a field; the name in backticks is any |
//! | `level >= "warn"` | levels compare by their severity |
//! | `a =~ "^x"`, `a !~ "x$"` | whether a regular expression is found in the text |
//! | `a in (1, 2, "x")` | whether it equals one of them |
//! | `time - 5m`, `time - observed_timestamp` | a time; seconds |
//!
//! A field that a record does not have is `null`: arithmetic with it gives `null`, comparisons are false but for
//! `== null` and `!=`. Numbers compare with numbers and texts with texts; a number equals the text that it is printed as;
//! everything else differs. A condition that is `null` is false.
//!
//! This module reads and checks; values are computed where records are ([`Expression`] is plain data).

mod functions;
mod parse;

use std::fmt;

use record::Timestamp;

pub use functions::{FUNCTIONS, Function, FunctionHelp};
pub use parse::EXPRESSION_NODES_MAX;

use crate::cidr::Network;
use crate::field::Field;
use crate::pattern::Pattern;
use crate::severity_range::SeverityRange;

/// An expression that was checked.
#[derive(Clone, Debug, PartialEq)]
pub enum Expression {
    /// The same for every record.
    Constant(Constant),
    /// The value of a field.
    Field(Field),
    /// Whether it is not so.
    Not(Box<Expression>),
    /// The number with the other sign.
    Negate(Box<Expression>),
    /// Two numbers, or a time and seconds, or two times.
    Arithmetic(Arithmetic, Box<[Expression; 2]>),
    /// Two values of any type.
    Compare(Comparison, Box<[Expression; 2]>),
    /// Whether the severity lies in a range.
    Severity(SeverityRange),
    /// Whether all are true.
    And(Vec<Expression>),
    /// Whether one is true.
    Or(Vec<Expression>),
    /// Whether it equals one of the constants.
    OneOf(Box<Expression>, Vec<Constant>),
    /// Whether the pattern is found in the text.
    Matches(Box<Expression>, Pattern),
    /// Whether the text is an address in the network.
    Within(Box<Expression>, Network),
    /// A function of values.
    Call(Function, Vec<Expression>),
}

/// A value as it is written.
#[derive(Clone, Debug, PartialEq)]
pub enum Constant {
    /// What a missing field is.
    Null,
    /// `true`, `false`.
    Bool(bool),
    /// A whole number that fits.
    Integer(i64),
    /// Any other number; finite.
    Float(f64),
    /// A text.
    Text(String),
    /// A time, by `time("2026-01-01T10:00:00Z")`.
    Time(Timestamp),
}

/// An operator on numbers and times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    /// Whole numbers that divide stay whole; by zero it is `null`.
    Divide,
    /// With the sign of the divisor.
    Remainder,
}

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// What is known of a value before there is a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Nothing: an attribute, or `null`.
    Any,
    /// True or false.
    Bool,
    /// A number.
    Number,
    /// A text.
    Text,
    /// A time.
    Time,
}

impl Expression {
    /// What its values are, if they are not `null`.
    pub fn value_type(&self) -> Type {
        match self {
            Self::Constant(constant) => constant.value_type(),
            Self::Field(field) => type_of(field),
            Self::Negate(_) => Type::Number,
            Self::Arithmetic(operator, sides) => {
                match (operator, sides[0].value_type(), sides[1].value_type()) {
                    (Arithmetic::Subtract, Type::Time, Type::Time) => Type::Number,
                    (_, Type::Time, _) | (Arithmetic::Add, _, Type::Time) => Type::Time,
                    (Arithmetic::Add | Arithmetic::Subtract, Type::Any, _) => Type::Any,
                    (Arithmetic::Add, _, Type::Any) => Type::Any,
                    _ => Type::Number,
                }
            }
            Self::Call(Function::If, arguments) => common(arguments.iter().skip(1)),
            Self::Call(Function::Case, arguments) => {
                let odd = arguments.iter().skip(1).step_by(2);
                common(odd.chain(arguments.last().filter(|_| arguments.len() % 2 == 1)))
            }
            Self::Call(Function::Coalesce | Function::Least | Function::Greatest, arguments) => {
                common(arguments.iter())
            }
            Self::Call(function, _) => function.help().result,
            _ => Type::Bool,
        }
    }

    /// Tells of each field that it reads.
    pub fn for_each_field(&self, tell: &mut impl FnMut(&Field)) {
        match self {
            Self::Constant(_) => {}
            Self::Field(field) => tell(field),
            Self::Severity(_) => tell(&Field::Severity),
            Self::Not(inner)
            | Self::Negate(inner)
            | Self::OneOf(inner, _)
            | Self::Matches(inner, _)
            | Self::Within(inner, _) => inner.for_each_field(tell),
            Self::Arithmetic(_, sides) | Self::Compare(_, sides) => {
                sides.iter().for_each(|side| side.for_each_field(tell));
            }
            Self::And(members) | Self::Or(members) | Self::Call(_, members) => {
                members.iter().for_each(|member| member.for_each_field(tell));
            }
        }
    }
}

impl Constant {
    fn value_type(&self) -> Type {
        match self {
            Self::Null => Type::Any,
            Self::Bool(_) => Type::Bool,
            Self::Integer(_) | Self::Float(_) => Type::Number,
            Self::Text(_) => Type::Text,
            Self::Time(_) => Type::Time,
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Any => "any value",
            Self::Bool => "a condition",
            Self::Number => "a number",
            Self::Text => "a text",
            Self::Time => "a time",
        })
    }
}

fn type_of(field: &Field) -> Type {
    match field {
        Field::Timestamp | Field::ObservedTimestamp => Type::Time,
        Field::SourceOffset | Field::RecordSeq => Type::Number,
        Field::Attribute(_) => Type::Any,
        _ => Type::Text,
    }
}

/// The type of a value that is one of these.
fn common<'a>(values: impl Iterator<Item = &'a Expression>) -> Type {
    let mut all: Option<Type> = None;
    for value in values {
        let one = value.value_type();
        if matches!(value, Expression::Constant(Constant::Null)) {
            continue;
        }
        match all {
            None => all = Some(one),
            Some(known) if known == one => {}
            Some(_) => return Type::Any,
        }
    }
    all.unwrap_or(Type::Any)
}
