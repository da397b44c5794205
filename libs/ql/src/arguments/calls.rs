//! Calls of aggregates (`p95(duration_ms) as slow`) and the keys of groups (`by service, bin(5m)`).
//!
//! A column without an alias is called as it is written in its plainest form: `count` for `count()`,
//! `p95(duration_ms)`, `bin(5m)`, and a field by its canonical name.

use std::time::Duration;

use crate::arguments::{Arguments, LIST_MAX, Read, duration, float};
use crate::diagnostic::Diagnostic;
use crate::field::Field;
use crate::number::Number;
use crate::quantity;
use crate::span::{Span, Spanned};

/// A function and what it is applied to.
#[derive(Clone, Debug, PartialEq)]
pub struct AggregateCall {
    /// The function's name, as written.
    pub function: Spanned<String>,
    /// What stands in its parentheses; `count(*)` has none, like `count()` and `count`.
    pub arguments: Vec<Spanned<Argument>>,
    /// `as NAME`.
    pub alias: Option<Spanned<String>>,
    /// From the function's name to the closing parenthesis.
    pub span: Span,
}

/// One argument of a call.
#[derive(Clone, Debug, PartialEq)]
pub enum Argument {
    /// A field or a column.
    Field(Field),
    /// A number.
    Number(f64),
    /// A duration with its unit.
    Duration(Duration),
    /// A text in quotes that is followed by another argument's comma or the end.
    Text(String),
}

/// What records are grouped by.
#[derive(Clone, Debug, PartialEq)]
pub enum GroupBy {
    /// Equal values of a field.
    Field(Field),
    /// `bin(5m)`, `bin(observed_timestamp, 5m)`: the time, rounded down to a multiple of the width.
    TimeBin {
        /// A timestamp.
        field: Field,
        /// More than zero.
        width: Duration,
    },
    /// `bin(duration_ms, 100)`: the number, rounded down to a multiple of the width, which is more than zero
    /// and in the unit of the field.
    NumberBin {
        /// Any field but a timestamp.
        field: Field,
        /// More than zero and finite.
        width: f64,
    },
}

/// One key of a group.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupKey {
    /// What is the same within a group.
    pub by: GroupBy,
    /// `as NAME`.
    pub alias: Option<Spanned<String>>,
    /// The key without its alias.
    pub span: Span,
    column: String,
}

impl AggregateCall {
    /// The column's name: the alias, or the call in its plainest form.
    pub fn column(&self) -> String {
        if let Some(alias) = &self.alias {
            return alias.node.clone();
        }
        if self.arguments.is_empty() {
            return self.function.node.clone();
        }
        let arguments: Vec<_> = self.arguments.iter().map(|one| one.node.to_text()).collect();
        format!("{}({})", self.function.node, arguments.join(", "))
    }

    /// The only argument, which must be a field.
    ///
    /// # Errors
    /// When there is none, another kind, or more.
    pub fn one_field(&self) -> Read<&Field> {
        match &*self.arguments {
            [Spanned { node: Argument::Field(field), .. }] => Ok(field),
            _ => Err(self.wrong(&format!("`{}(FIELD)`", self.function.node))),
        }
    }

    /// # Errors
    /// When there are arguments.
    pub fn no_arguments(&self) -> Read<()> {
        match self.arguments.is_empty() {
            true => Ok(()),
            false => Err(self.wrong(&format!("`{}()`", self.function.node))),
        }
    }

    /// What to report for arguments that the function does not have.
    pub fn wrong(&self, expected: &str) -> Box<Diagnostic> {
        let message = format!("`{}` does not have these arguments", self.function.node);
        Diagnostic::error("bad_arguments", self.span, message).expecting(expected).into()
    }
}

impl Argument {
    fn to_text(&self) -> String {
        match self {
            Self::Field(field) => field.name().to_owned(),
            Self::Number(number) => number.to_string(),
            Self::Duration(duration) => print(*duration),
            Self::Text(text) => text.clone(),
        }
    }
}

impl GroupKey {
    /// The column's name: the alias, the field's canonical name, or the bin in its plainest form.
    pub fn column(&self) -> &str {
        self.alias.as_ref().map_or(&self.column, |alias| &alias.node)
    }
}

impl Arguments<'_> {
    /// One or more aggregates: `count() as errors, p95(duration_ms)`; ends before `by`.
    ///
    /// # Errors
    /// When something else stands here.
    pub fn aggregates(&mut self) -> Read<Vec<AggregateCall>> {
        self.list(Self::aggregate)
    }

    /// One aggregate with its alias; parentheses without arguments can be left out.
    ///
    /// # Errors
    /// When something else stands here.
    pub fn aggregate(&mut self) -> Read<AggregateCall> {
        let mut call = self.call()?;
        call.alias = self.alias()?;
        Ok(call)
    }

    /// `by` and its keys, if it stands here: `by service, bin(5m), bin(duration_ms, 100) as slow`.
    ///
    /// # Errors
    /// When no key follows the `by`.
    pub fn group_keys(&mut self) -> Read<Vec<GroupKey>> {
        match self.keyword("by") {
            Some(_) => self.list(Self::group_key),
            None => Ok(Vec::new()),
        }
    }

    pub(super) fn call(&mut self) -> Read<AggregateCall> {
        let mut ahead = self.clone();
        let function = match ahead.sign('"') {
            Some(_) => return Err(self.unexpected("a function like `count()`")),
            None => ahead.name().map_err(|_| self.unexpected("a function like `count()`"))?,
        };
        let mut span = function.span;
        let mut arguments = Vec::new();
        if ahead.sign('(').is_some() {
            span.end = ahead.call_arguments(&mut arguments)?.end;
        }
        *self = ahead;
        Ok(AggregateCall { function, arguments, alias: None, span })
    }

    fn call_arguments(&mut self, arguments: &mut Vec<Spanned<Argument>>) -> Read<Span> {
        if self.sign('*').is_some() {
            return self.expect_sign(')');
        }
        if let Some(close) = self.sign(')') {
            return Ok(close);
        }
        loop {
            if arguments.len() == LIST_MAX {
                let message = format!("a list has at most {LIST_MAX} members");
                return Err(Diagnostic::error("list_too_long", self.rest_span(), message).into());
            }
            arguments.push(self.argument()?);
            if let Some(close) = self.sign(')') {
                return Ok(close);
            }
            if self.sign(',').is_none() {
                return Err(self.unexpected("`,` or `)`"));
            }
        }
    }

    fn argument(&mut self) -> Read<Spanned<Argument>> {
        if let Ok(number) = self.number() {
            return Ok(number.map(Argument::Number));
        }
        if let Ok(duration) = self.duration() {
            return Ok(duration.map(Argument::Duration));
        }
        let quoted = self.rest().trim_start().starts_with('"');
        if quoted {
            return Ok(self.text()?.map(Argument::Text));
        }
        let mut ahead = self.clone();
        let name = ahead.name().map_err(|_| self.unexpected("a field, a number or a text"))?;
        *self = ahead;
        Ok(name.map(|name| Argument::Field(Field::resolve(&name))))
    }

    fn group_key(&mut self) -> Read<GroupKey> {
        let mut ahead = self.clone();
        let is_bin = ahead.name().is_ok_and(|name| name.node == "bin") && ahead.sign('(').is_some();
        let (by, span, column) = if is_bin {
            let call = self.call()?;
            (bin(&call)?, call.span, call.column())
        } else {
            let field = self.field()?;
            let column = field.node.name().to_owned();
            (GroupBy::Field(field.node), field.span, column)
        };
        Ok(GroupKey { by, alias: self.alias()?, span, column })
    }
}

fn bin(call: &AggregateCall) -> Read<GroupBy> {
    let arguments: Vec<_> = call.arguments.iter().map(|one| &one.node).collect();
    let is_time = |field: &Field| matches!(field, Field::Timestamp | Field::ObservedTimestamp);
    Ok(match arguments[..] {
        [Argument::Duration(width)] => GroupBy::TimeBin { field: Field::Timestamp, width: *width },
        [Argument::Field(field), Argument::Duration(width)] if is_time(field) => {
            GroupBy::TimeBin { field: field.clone(), width: *width }
        }
        [Argument::Field(field), Argument::Duration(width)] => {
            let nanos = i128::try_from(width.as_nanos()).unwrap_or(i128::MAX);
            let width = float(Number::ratio(nanos, quantity::unit_nanos_of(field.name())));
            GroupBy::NumberBin { field: field.clone(), width }
        }
        [Argument::Field(field), Argument::Number(width)] if *width > 0.0 && !is_time(field) => {
            GroupBy::NumberBin { field: field.clone(), width: *width }
        }
        _ => return Err(call.wrong("`bin(5m)`, `bin(FIELD, 100)` or `bin(FIELD, 5m)`")),
    })
}

fn print(width: Duration) -> String {
    let nanos = i128::try_from(width.as_nanos()).unwrap_or(i128::MAX);
    let text = quantity::print_duration(nanos);
    debug_assert_eq!(duration(&text), Some(width));
    text
}
