//! Numbers for the words and separators of shapes, and what the grouping wants to know of each.

use std::collections::HashMap;

use crate::scan::{Script, script};
use crate::shape::{EMPTY, NUMBER, Token, UNIT, VALUE};

/// The number of a word or a separator.
pub(crate) type Symbol = u32;

/// A word that varies between messages of the same statement.
pub(crate) const WILD: Symbol = 0;
/// One or more such words.
pub(crate) const WILD_WORDS: Symbol = 1;
/// See [`VALUE`].
pub(crate) const VALUE_WORD: Symbol = 2;
/// See [`UNIT`].
pub(crate) const UNIT_WORD: Symbol = 3;
const EMPTY_WORD: Symbol = 4;

/// Evidence is counted in tenths of what one common word gives.
pub(crate) type Evidence = u32;

/// A place that was found to vary takes in whatever else stands there.
const WILD_EVIDENCE: Evidence = 1000;
/// Two of them are enough where three common words are asked for: values by their looks, names with numbers or dots in
/// them, truth values.
const VALUE_EVIDENCE: Evidence = 20;
const WORD_EVIDENCE: Evidence = 10;
/// A word that begins with a capital letter is more often the name of a state or a kind, which tells statements apart.
const CAPITALIZED_EVIDENCE: Evidence = 7;
/// A word of capitals is nearly always one of a closed set that is worth telling apart: a method, a state, a level.
const CAPITALS_EVIDENCE: Evidence = 4;

/// Words that are values although they look like any word.
const LITERALS: [&str; 11] =
    ["true", "false", "True", "False", "TRUE", "FALSE", "null", "NULL", "Null", "nil", "undefined"];

/// What is known of a symbol.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    pub(crate) is_word: bool,
    pub(crate) is_wild: bool,
    /// How much it tells that something else stands in its place in another message.
    pub(crate) evidence: Evidence,
    /// How much it tells as a word that two messages share, in half words. An ideograph is half a word.
    pub(crate) half_words: u32,
    /// An equals sign, after which a value of a key stands.
    pub(crate) is_equals: bool,
    /// Between two values it joins them to one.
    pub(crate) joins: bool,
    pub(crate) is_space: bool,
    pub(crate) is_comma: bool,
    /// What may stand between the words of one value.
    pub(crate) is_within_values: bool,
}

/// All symbols of a grouping.
pub(crate) struct Symbols<'a> {
    numbers: HashMap<Token<'a>, Symbol, ahash::RandomState>,
    facts: Vec<Facts>,
}

impl<'a> Symbols<'a> {
    pub(crate) fn new() -> Self {
        let special = |is_wild, evidence| Facts { is_wild, evidence, ..word(0) };
        Self {
            numbers: HashMap::default(),
            facts: vec![
                special(true, WILD_EVIDENCE),
                special(true, WILD_EVIDENCE),
                special(false, VALUE_EVIDENCE),
                special(false, VALUE_EVIDENCE),
                special(false, VALUE_EVIDENCE),
            ],
        }
    }

    pub(crate) fn number(&mut self, token: Token<'a>) -> Symbol {
        match token {
            Token::Special(VALUE) => VALUE_WORD,
            Token::Special(UNIT) => UNIT_WORD,
            Token::Special(EMPTY) => EMPTY_WORD,
            _ => *self.numbers.entry(token).or_insert_with(|| {
                self.facts.push(facts(token));
                self.facts.len() as Symbol - 1
            }),
        }
    }

    pub(crate) fn facts(&self, symbol: Symbol) -> &Facts {
        &self.facts[symbol as usize]
    }
}

fn word(half_words: u32) -> Facts {
    Facts {
        is_word: true,
        is_wild: false,
        evidence: WORD_EVIDENCE,
        half_words,
        is_equals: false,
        joins: false,
        is_space: false,
        is_comma: false,
        is_within_values: false,
    }
}

fn facts(token: Token<'_>) -> Facts {
    match token {
        Token::Separator(text) => Facts {
            is_word: false,
            is_equals: text == "=",
            joins: matches!(text, " " | ":" | ","),
            is_space: text == " ",
            is_comma: text == ",",
            is_within_values: matches!(text, " " | "," | "'" | "."),
            ..word(0)
        },
        Token::Word(bytes) => {
            let numbered = bytes.contains(&NUMBER);
            let text = String::from_utf8_lossy(bytes);
            let has_letter = text.chars().any(char::is_alphabetic);
            let ideograph = text.chars().next().and_then(script) == Some(Script::Ideographs);
            let half_words = if !has_letter {
                0
            } else if ideograph {
                1
            } else {
                2
            };
            Facts { evidence: evidence(&text, numbered), ..word(half_words) }
        }
        Token::Special(_) => word(0),
    }
}

fn evidence(text: &str, numbered: bool) -> Evidence {
    let has_lower = text.chars().any(char::is_lowercase);
    let has_upper = text.chars().any(char::is_uppercase);
    let mut within = text.chars();
    let _ = (within.next(), within.next_back());
    if numbered || LITERALS.contains(&text) || within.any(|it| matches!(it, '.' | '/' | '\\' | '@'))
    {
        VALUE_EVIDENCE
    } else if has_upper && !has_lower {
        CAPITALS_EVIDENCE
    } else if text.starts_with(char::is_uppercase) {
        CAPITALIZED_EVIDENCE
    } else {
        WORD_EVIDENCE
    }
}
