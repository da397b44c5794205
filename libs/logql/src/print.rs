//! An expression as a text that is parsed to the same expression.
//!
//! Parentheses stand only where they are needed: with more of them than it was written with, an expression could be
//! nested deeper than is allowed.

use std::fmt::{self, Display, Formatter, Write};

use crate::ast::{
    Binary, BinaryOperator, Expr, Extraction, Grouping, LabelChoice, LabelFilter, LabelFormat,
    LabelSource, LineFilter, LogQuery, LogRange, Logfmt, Matcher, Metric, Quantity,
    RangeAggregation, Side, Stage, Unwrap, VectorAggregation,
};
use crate::quantity::print_duration;

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Log(query) => query.node.fmt(f),
            Self::Metric(metric) => metric.node.fmt(f),
        }
    }
}

impl Display for LogQuery {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        list(f, self.matchers.iter().map(|matcher| &matcher.node))?;
        f.write_str("}")?;
        self.stages.iter().try_for_each(|stage| write!(f, " {}", stage.node))
    }
}

impl Display for Matcher {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.name, self.operator, Quoted(&self.value))
    }
}

impl Display for Stage {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(filter) => filter.fmt(f),
            Self::Json(extractions) => {
                f.write_str("| json")?;
                spaced(f, extractions)
            }
            Self::Logfmt(logfmt) => logfmt.fmt(f),
            Self::Pattern(pattern) => write!(f, "| pattern {}", Quoted(pattern)),
            Self::Regexp(regex) => write!(f, "| regexp {}", Quoted(regex)),
            Self::Unpack => f.write_str("| unpack"),
            Self::Filter(filter) => write!(f, "| {filter}"),
            Self::LineFormat(template) => write!(f, "| line_format {}", Quoted(template)),
            Self::LabelFormat(formats) => {
                f.write_str("| label_format")?;
                spaced(f, formats)
            }
            Self::Drop(choices) => {
                f.write_str("| drop")?;
                spaced(f, choices)
            }
            Self::Keep(choices) => {
                f.write_str("| keep")?;
                spaced(f, choices)
            }
            Self::Decolorize => f.write_str("| decolorize"),
            Self::Unwrap(unwrap) => unwrap.fmt(f),
        }
    }
}

impl Display for LineFilter {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.operator)?;
        separated(f, " or ", self.texts.iter().map(|text| Quoted(text)))
    }
}

impl Display for Logfmt {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("| logfmt")?;
        if self.strict {
            f.write_str(" --strict")?;
        }
        if self.keep_empty {
            f.write_str(" --keep-empty")?;
        }
        spaced(f, &self.extractions)
    }
}

impl Display for Extraction {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.label, Quoted(&self.source))
    }
}

impl Display for LabelFilter {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (all, separator) = match self {
            Self::Text(matcher) => return matcher.fmt(f),
            Self::Quantity(filter) => {
                return write!(f, "{} {} {}", filter.name, filter.comparison, filter.quantity);
            }
            Self::All(all) => (all, " and "),
            Self::Any(all) => (all, " or "),
        };
        for (index, one) in all.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { separator })?;
            match (self, one) {
                (Self::Any(_), Self::All(_)) | (_, Self::Text(_) | Self::Quantity(_)) => {
                    one.fmt(f)?
                }
                _ => write!(f, "({one})")?,
            }
        }
        Ok(())
    }
}

impl Display for Quantity {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Duration(duration_ns) => f.write_str(&print_duration(*duration_ns)),
            Self::Bytes(bytes) => write!(f, "{bytes}B"),
        }
    }
}

impl Display for LabelFormat {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.to {
            LabelSource::Label(label) => write!(f, "{}={label}", self.label),
            LabelSource::Template(template) => write!(f, "{}={}", self.label, Quoted(template)),
        }
    }
}

impl Display for LabelChoice {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Matching(matcher) => matcher.fmt(f),
        }
    }
}

impl Display for Unwrap {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.conversion {
            Some(conversion) => write!(f, "| unwrap {conversion}({})", self.label),
            None => write!(f, "| unwrap {}", self.label),
        }
    }
}

impl Display for Metric {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(number) => number.fmt(f),
            Self::Vector(number) => write!(f, "vector({number})"),
            Self::Range(aggregation) => aggregation.fmt(f),
            Self::Aggregate(aggregation) => aggregation.fmt(f),
            Self::Binary(binary) => binary.fmt(f),
            Self::LabelReplace(replace) => {
                write!(f, "label_replace({}, ", replace.of.node)?;
                let texts =
                    [&replace.destination, &replace.replacement, &replace.source, &replace.regex];
                list(f, texts.map(|text| Quoted(text)))?;
                f.write_str(")")
            }
        }
    }
}

impl Display for LogRange {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]", self.query.node, print_duration(self.range_ns))?;
        match self.offset_ns {
            0 => Ok(()),
            offset_ns => write!(f, " offset {}", print_duration(offset_ns)),
        }
    }
}

impl Display for RangeAggregation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.function)?;
        if let Some(parameter) = self.parameter {
            write!(f, "{parameter}, ")?;
        }
        write!(f, "{})", self.range)?;
        self.grouping.as_ref().map_or(Ok(()), |grouping| write!(f, " {grouping}"))
    }
}

impl Display for Grouping {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(if self.without { "without (" } else { "by (" })?;
        list(f, &self.labels)?;
        f.write_str(")")
    }
}

impl Display for VectorAggregation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.function.fmt(f)?;
        if let Some(grouping) = &self.grouping {
            write!(f, " {grouping} ")?;
        }
        f.write_str("(")?;
        if let Some(parameter) = self.parameter {
            write!(f, "{parameter}, ")?;
        }
        write!(f, "{})", self.of.node)
    }
}

impl Display for Binary {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let precedence = self.operator.precedence();
        let is_power = self.operator == BinaryOperator::Power;
        operand(f, &self.left.node, precedence + u8::from(is_power))?;
        write!(f, " {}", self.operator)?;
        if self.returns_bool {
            f.write_str(" bool")?;
        }
        if let Some(matching) = &self.matching {
            f.write_str(if matching.on { " on (" } else { " ignoring (" })?;
            list(f, &matching.labels)?;
            f.write_str(")")?;
            if let Some(group) = &matching.group {
                let side = if group.side == Side::Left { "left" } else { "right" };
                write!(f, " group_{side} (")?;
                list(f, &group.include)?;
                f.write_str(")")?;
            }
        }
        f.write_str(" ")?;
        operand(f, &self.right.node, precedence + u8::from(!is_power))
    }
}

/// An operand that has to bind at least as close as `precedence`.
fn operand(f: &mut Formatter<'_>, metric: &Metric, precedence: u8) -> fmt::Result {
    match metric {
        Metric::Binary(binary) if binary.operator.precedence() < precedence => {
            write!(f, "({binary})")
        }
        metric => metric.fmt(f),
    }
}

/// A blank, and a list.
fn spaced<T: Display>(f: &mut Formatter<'_>, all: &[T]) -> fmt::Result {
    f.write_str(if all.is_empty() { "" } else { " " })?;
    list(f, all)
}

fn list<T: Display>(f: &mut Formatter<'_>, all: impl IntoIterator<Item = T>) -> fmt::Result {
    separated(f, ", ", all)
}

fn separated<T: Display>(
    f: &mut Formatter<'_>,
    separator: &str,
    all: impl IntoIterator<Item = T>,
) -> fmt::Result {
    for (index, one) in all.into_iter().enumerate() {
        f.write_str(if index == 0 { "" } else { separator })?;
        one.fmt(f)?;
    }
    Ok(())
}

/// A text in double quotes, with Go's escapes.
pub(crate) struct Quoted<'a>(pub(crate) &'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for character in self.0.chars() {
            match character {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                '\t' => f.write_str("\\t")?,
                control if control.is_control() => write!(f, "\\u{:04x}", u32::from(control))?,
                plain => f.write_char(plain)?,
            }
        }
        f.write_char('"')
    }
}
