//! A query's filter as it was written, with places; made by the grammar, read by the checks.

use std::rc::Rc;

use crate::field::Field;
use crate::lexer::Comparison;
use crate::span::{Span, Spanned};
use crate::wildcard::Piece;

/// A filter as written.
#[derive(Debug)]
pub(crate) enum Node {
    And(Vec<Node>),
    Or(Vec<Node>),
    Not(Box<Node>),
    /// A value, of a field or bare.
    Leaf(Option<Rc<Target>>, Spanned<Value>),
    /// What could not be read, and was reported.
    Invalid,
}

/// What the name before a colon means. Shared by the values of one group.
#[derive(Debug)]
pub(crate) enum Target {
    Any,
    Field(Field),
}

/// A value as written.
#[derive(Debug)]
pub(crate) enum Value {
    /// Bare text with wildcards.
    Bare(Vec<Piece>),
    Quoted(String),
    Regex(String),
    /// `~` before a text.
    Fold(Vec<Piece>),
    Compare(Comparison, Spanned<OperandText>),
    Range(Limit, Limit),
}

/// An operand as written.
#[derive(Debug)]
pub(crate) struct OperandText {
    pub(crate) text: String,
    pub(crate) quoted: bool,
}

/// One end of a range.
#[derive(Debug)]
pub(crate) struct Limit {
    /// `None` is `*`.
    pub(crate) operand: Option<Spanned<OperandText>>,
    pub(crate) included: bool,
}

/// The text of a value without wildcards in it.
pub(crate) fn literal(pieces: &[Piece]) -> Option<&str> {
    match pieces {
        [] => Some(""),
        [Piece::Text(text)] => Some(text),
        _ => None,
    }
}

/// A text with its wildcards, as a text.
pub(crate) fn flat(pieces: &[Piece]) -> String {
    let parts = pieces.iter().map(|piece| match piece {
        Piece::Text(text) => text,
        Piece::AnyRun => "*",
        Piece::AnyOne => "?",
    });
    parts.collect()
}

impl OperandText {
    /// At `span`.
    pub(crate) fn at(span: Span, text: String, quoted: bool) -> Spanned<Self> {
        Spanned::new(Self { text, quoted }, span)
    }
}
