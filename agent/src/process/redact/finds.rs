//! What the rules found in one text, and the text without it.

use std::ops::Range;

use super::finder::Rule;
use super::{Action, HashKey};

/// Most finds in one text that are replaced one by one; beyond it the whole text is.
pub const FINDS_MAX: usize = 1_000;

/// What the rules found in one text.
#[derive(Debug, Default)]
pub(super) struct Finds {
    /// At most [`FINDS_MAX`].
    list: Vec<Find>,
    /// The first rule that wants the field or the record dropped.
    drop: Option<usize>,
    drop_record: Option<usize>,
}

#[derive(Debug)]
struct Find {
    place: Range<usize>,
    /// The rule's place in the list of rules.
    rule: usize,
}

/// What is left of a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// Nothing was found.
    All,
    /// It stands in the buffer.
    Rewritten,
    /// The field is to be removed.
    Nothing,
    /// The record is to be dropped, for this rule.
    NoRecord(usize),
}

impl Finds {
    pub(super) fn clear(&mut self) {
        self.list.clear();
        self.drop = None;
        self.drop_record = None;
    }

    pub(super) fn add(&mut self, rule: usize, action: Action, place: Range<usize>) {
        match action {
            Action::Drop => self.drop = self.drop.or(Some(rule)),
            Action::DropRecord => self.drop_record = self.drop_record.or(Some(rule)),
            Action::Mask | Action::Hash => {}
        }
        if self.list.len() < FINDS_MAX {
            self.list.push(Find { place, rule });
        }
    }

    /// Writes to `out` what is left of `text`, if it is neither the same nor nothing.
    pub(super) fn leave(
        &mut self,
        text: &str,
        rules: &[Rule],
        key: Option<&HashKey>,
        out: &mut String,
    ) -> Left {
        if self.list.is_empty() {
            return Left::All;
        }
        if let Some(rule) = self.drop_record {
            return Left::NoRecord(rule);
        }
        if self.drop.is_some() {
            return Left::Nothing;
        }
        out.clear();
        self.list.sort_by_key(|find| (find.place.start, find.rule));
        if self.list.len() == FINDS_MAX {
            replace(text, &rules[self.list[0].rule], key, out);
            return Left::Rewritten;
        }
        let mut copied = 0;
        let mut finds = self.list.iter().peekable();
        while let Some(Find { place, rule }) = finds.next() {
            let mut end = place.end;
            while let Some(next) = finds.next_if(|next| next.place.start < end) {
                end = end.max(next.place.end);
            }
            out.push_str(&text[copied..place.start]);
            replace(&text[place.start..end], &rules[*rule], key, out);
            copied = end;
        }
        out.push_str(&text[copied..]);
        Left::Rewritten
    }
}

/// Appends what stands in the place of `secret`.
pub(super) fn replace(secret: &str, rule: &Rule, key: Option<&HashKey>, out: &mut String) {
    match (rule.action, key) {
        (Action::Hash, Some(key)) => {
            out.push_str(&rule.name);
            out.push(':');
            key.push_hash(secret, out);
        }
        _ => {
            out.push_str("[REDACTED:");
            out.push_str(&rule.name);
            out.push(']');
        }
    }
}
