//! The checks: [`Node`]s to a [`Filter`] whose every test suits its field.
//!
//! What a field can be asked is in the table at [`Test`]. A value that does not suit is an error with the
//! form that would; nothing is quietly made to match no record.

mod fixed;
mod text;

use std::ops::Bound;
use std::rc::Rc;

use crate::diagnostic::Diagnostic;
use crate::field::Field;
use crate::filter::Filter;
use crate::grammar::clip;
use crate::lexer::Comparison;
use crate::pattern::Pattern;
use crate::phrase::{PHRASE_TOKENS_MAX, Phrase};
use crate::span::{Span, Spanned};
use crate::syntax::{Limit, Node, OperandText, Target, Value};
use crate::test::Test;
use crate::wildcard::{Piece, WILDCARD_BYTES_MAX, Wildcard};

/// Most regular expressions in one query; each may take a megabyte.
pub const REGEXES_MAX: usize = 64;

/// A value that was checked, or what is wrong with it.
type Checked<T> = Result<T, Box<Diagnostic>>;

/// The checks of one query.
#[derive(Default)]
pub(crate) struct Check {
    regexes: usize,
    pub(crate) diagnostics: Vec<Diagnostic>,
}

impl Check {
    /// The filter that `node` means; what is wrong is kept in the diagnostics, and matches everything.
    pub(crate) fn filter(&mut self, node: &Node) -> Filter {
        match node {
            Node::And(members) => {
                Filter::and(members.iter().map(|member| self.filter(member)).collect())
            }
            Node::Or(members) => {
                Filter::or(members.iter().map(|member| self.filter(member)).collect())
            }
            Node::Not(inner) => Filter::negated(self.filter(inner)),
            Node::Invalid => Filter::All,
            Node::Leaf(target, value) => {
                self.leaf(target.as_ref(), value).unwrap_or_else(|wrong| {
                    self.diagnostics.push(*wrong);
                    Filter::All
                })
            }
        }
    }

    fn leaf(&mut self, target: Option<&Rc<Target>>, value: &Spanned<Value>) -> Checked<Filter> {
        let span = value.span;
        let Some(target) = target else { return text::bare(&value.node, span) };
        let field = match &**target {
            Target::Any => return self.any(&value.node, span),
            Target::Field(field) => field,
        };
        if is_star(&value.node) {
            return Ok(Filter::field(field.clone(), Test::Exists));
        }
        let test = match field {
            Field::Message => self.message(&value.node, span)?,
            Field::Severity => self.severity(&value.node, span)?,
            Field::Timestamp | Field::ObservedTimestamp => self.time(field, &value.node, span)?,
            Field::TraceId | Field::SpanId => self.id(field, &value.node, span)?,
            Field::SourceOffset | Field::RecordSeq => fixed::integer(field, &value.node, span)?,
            Field::SeverityText
            | Field::Service
            | Field::Host
            | Field::CorrelationId
            | Field::EventName
            | Field::SourceAgent
            | Field::SourcePath
            | Field::Attribute(_) => self.text(field, &value.node, span)?,
        };
        Ok(Filter::field(field.clone(), test))
    }

    fn regex(&mut self, pattern: &str, span: Span) -> Checked<Pattern> {
        if pattern.is_empty() {
            return Err(Diagnostic::error("empty_regex", span, "this regular expression is empty")
                .with_help("quote `//` to search the text")
                .into());
        }
        self.regexes += 1;
        if self.regexes > REGEXES_MAX {
            let message = format!("a query has at most {REGEXES_MAX} regular expressions");
            return Err(Diagnostic::error("too_many_regexes", span, message)
                .with_help("join them with `|` in one")
                .into());
        }
        Pattern::new(pattern).map_err(|reason| {
            Diagnostic::error(
                "bad_regex",
                span,
                format!("this regular expression is wrong: {reason}"),
            )
            .with_help("a text that is no regular expression goes in quotes")
            .into()
        })
    }

    fn warn_of_nothing(&mut self, span: Span) {
        self.diagnostics.push(Diagnostic::warning(
            "matches_nothing",
            span,
            "no value can be in this range",
        ));
    }
}

/// Whether a value is `*` alone.
fn is_star(value: &Value) -> bool {
    matches!(value, Value::Bare(pieces) if pieces.iter().all(|piece| *piece == Piece::AnyRun))
}

/// A pattern without a `*` next to another, not too long. Escapes do not count: printed, the same one has more of them.
fn wildcard(pieces: &[Piece], folded: bool, span: Span) -> Checked<Wildcard> {
    let mut pieces = pieces.to_vec();
    pieces.dedup_by(|one, other| *one == Piece::AnyRun && *other == Piece::AnyRun);
    let bytes = |piece: &Piece| match piece {
        Piece::Text(text) => text.len(),
        Piece::AnyRun | Piece::AnyOne => 1,
    };
    if pieces.iter().map(bytes).sum::<usize>() > WILDCARD_BYTES_MAX {
        let message = format!("a pattern with wildcards has at most {WILDCARD_BYTES_MAX} bytes");
        return Err(Diagnostic::error("wildcard_too_long", span, message).into());
    }
    Ok(if folded { Wildcard::folded(pieces) } else { Wildcard::new(pieces) })
}

/// The words of the message that `text` asks for.
fn phrase(text: &str, span: Span) -> Checked<Phrase> {
    if text.trim().is_empty() {
        return Err(Diagnostic::error("empty_phrase", span, "there is no word in these quotes")
            .expecting("words of the message")
            .with_help("write `msg:=\"\"` for records without a message")
            .into());
    }
    let Some(phrase) = Phrase::new(text) else {
        let operator = matches!(text, "&&" | "&" | "!" | "-");
        let help = match operator {
            true => {
                "the operators are `AND`, `OR`, `NOT`; a `-` stands right before what it excludes"
            }
            false => "search signs with a regular expression: `msg:/…/`",
        };
        let message =
            format!("`{}` has no letter and no digit, words are made of these", clip(text));
        return Err(Diagnostic::error("no_word", span, message).with_help(help).into());
    };
    if phrase.tokens().len() > PHRASE_TOKENS_MAX {
        let message = format!("a phrase has at most {PHRASE_TOKENS_MAX} words");
        return Err(Diagnostic::error("phrase_too_long", span, message).into());
    }
    Ok(phrase)
}

/// The wrong kind of value for a field.
fn unsuitable(field: &str, what: &str, expected: &str, span: Span) -> Box<Diagnostic> {
    let message = format!("`{field}` cannot be tested by {what}");
    Diagnostic::error("unsuitable_value", span, message).expecting(expected).into()
}

/// The limits of a comparison that is not `=`, or of a range; each limit is read by `read`.
fn limits<T>(
    value: &Value,
    mut read: impl FnMut(&Spanned<OperandText>) -> Checked<T>,
) -> Checked<Option<(Bound<T>, Bound<T>)>> {
    let mut side = |limit: &Limit| -> Checked<Bound<T>> {
        Ok(match &limit.operand {
            None => Bound::Unbounded,
            Some(operand) if limit.included => Bound::Included(read(operand)?),
            Some(operand) => Bound::Excluded(read(operand)?),
        })
    };
    Ok(Some(match value {
        Value::Range(lower, upper) => (side(lower)?, side(upper)?),
        Value::Compare(operator, operand) => match operator {
            Comparison::Equal => return Ok(None),
            Comparison::Greater => (Bound::Excluded(read(operand)?), Bound::Unbounded),
            Comparison::GreaterOrEqual => (Bound::Included(read(operand)?), Bound::Unbounded),
            Comparison::Less => (Bound::Unbounded, Bound::Excluded(read(operand)?)),
            Comparison::LessOrEqual => (Bound::Unbounded, Bound::Included(read(operand)?)),
        },
        _ => return Ok(None),
    }))
}

/// The operand of a limit.
fn operand<T>(limit: &Bound<T>) -> Option<&T> {
    match limit {
        Bound::Unbounded => None,
        Bound::Included(operand) | Bound::Excluded(operand) => Some(operand),
    }
}

fn reversed(span: Span) -> Box<Diagnostic> {
    Diagnostic::error("bad_range", span, "the lower limit of this range is above the upper")
        .expecting("`[LOW TO HIGH]`")
        .into()
}
