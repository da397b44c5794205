//! The rules at work on one record after the other.

use bumpalo::Bump;
use record::{CORRELATION_ID_BYTES_MAX, RecordRef, ValueRef, keys};
use regex::RegexSet;

use super::finder::{Finder, Place, Rule};
use super::finds::{Finds, Left, replace};
use super::{Action, HashKey, Redaction, RuleCount};
use crate::process::ProcessError;

/// The rules of one source at work.
#[derive(Debug)]
pub(in crate::process) struct Redactor {
    rules: Vec<Rule>,
    key: Option<HashKey>,
    /// All patterns that look through every text, asked at once.
    patterns: Option<RegexSet>,
    finds: Finds,
    buffer: String,
    counts: Vec<RuleCount>,
}

/// The record is to be dropped for the rule of this place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::process) struct DropRecord(pub(in crate::process) usize);

/// What is left of a value.
enum Kept<'x> {
    Same,
    Text(&'x str),
    Removed,
}

impl Redactor {
    /// `None` if there is nothing to look for.
    pub(in crate::process) fn new(settings: &Redaction) -> Result<Option<Self>, ProcessError> {
        let detectors = settings.detectors.iter();
        let mut rules: Vec<Rule> =
            detectors.map(|(detector, action)| Rule::of_detector(*detector, *action)).collect();
        for pattern in &settings.patterns {
            rules.push(Rule::of_pattern(pattern)?);
        }
        for (index, rule) in rules.iter().enumerate() {
            let wrong = |reason: &str| {
                Err(ProcessError::Rule { rule: rule.name.clone(), reason: reason.to_owned() })
            };
            if rules[..index].iter().any(|other| other.name == rule.name) {
                return wrong("there is another rule of this name");
            }
            if rule.action == Action::Hash && settings.hash_key.is_none() {
                return wrong("`hash` needs a hash key");
            }
        }
        let everywhere = settings.patterns.iter().filter(|pattern| pattern.fields.is_empty());
        let everywhere: Vec<&str> = everywhere.map(|pattern| pattern.pattern.as_str()).collect();
        // One pattern is as quickly asked alone; several that are too large together are asked one by one.
        let patterns = if everywhere.len() > 1 { RegexSet::new(everywhere).ok() } else { None };
        let count = |rule: &Rule| RuleCount { name: rule.name.clone(), ..RuleCount::default() };
        let redactor = Self {
            key: settings.hash_key.clone(),
            patterns,
            finds: Finds::default(),
            buffer: String::new(),
            counts: rules.iter().map(count).collect(),
            rules,
        };
        Ok((!redactor.rules.is_empty()).then_some(redactor))
    }

    pub(in crate::process) fn counts(&self) -> &[RuleCount] {
        &self.counts
    }

    /// Takes out of the record what the rules find; texts without a find stay as they are.
    pub(in crate::process) fn apply<'x>(
        &mut self,
        record: &mut RecordRef<'x>,
        arena: &'x Bump,
    ) -> Result<(), DropRecord> {
        let mut changed = false;
        match self.text(Place::Message, record.message, arena)? {
            Kept::Same => {}
            Kept::Text(text) => (record.message, changed) = (text, true),
            Kept::Removed => (record.message, changed) = ("", true),
        }
        for (place, field) in [
            (Place::EventName, &mut record.event_name),
            (Place::SeverityText, &mut record.severity_text),
            (Place::CorrelationId, &mut record.correlation_id),
            (Place::SourcePath, &mut record.source.path),
        ] {
            let Some(text) = *field else { continue };
            match self.text(place, text, arena)? {
                Kept::Same => continue,
                Kept::Text(text) => *field = Some(text),
                Kept::Removed => *field = None,
            }
            changed = true;
        }
        changed |= self.attributes(record, arena)?;
        if changed {
            remove(keys::ORIGINAL_BYTES, record, arena);
        }
        Ok(())
    }

    /// True if some attribute changed; then the list is a copy.
    fn attributes<'x>(
        &mut self,
        record: &mut RecordRef<'x>,
        arena: &'x Bump,
    ) -> Result<bool, DropRecord> {
        let own = record.attributes;
        let mut copy: Option<&'x mut [(&'x str, ValueRef<'x>)]> = None;
        let mut length = 0;
        for (index, (name, value)) in own.iter().enumerate() {
            let kept = self.attribute(name, *value, arena)?;
            if !matches!(kept, Kept::Same) && copy.is_none() {
                copy = Some(arena.alloc_slice_copy(own));
                length = index;
            }
            let Some(copy) = &mut copy else { continue };
            let value = match kept {
                Kept::Same => *value,
                // What could not be read is of no use when it is masked.
                Kept::Text(_) if *name == keys::TIMESTAMP_TEXT => continue,
                Kept::Text(text) => ValueRef::String(text),
                Kept::Removed => continue,
            };
            copy[length] = (name, value);
            length += 1;
        }
        let Some(copy) = copy else { return Ok(false) };
        record.attributes = &copy[..length];
        Ok(true)
    }

    fn attribute<'x>(
        &mut self,
        name: &str,
        value: ValueRef<'x>,
        arena: &'x Bump,
    ) -> Result<Kept<'x>, DropRecord> {
        let whole = !matches!(value, ValueRef::Bool(_) | ValueRef::String(""));
        if whole && let Some(rule) = self.rules.iter().position(|rule| rule.wants_whole(name)) {
            return self.whole(rule, &value.to_text(), arena);
        }
        match value {
            // The line as it was, in base64: removed if something was found elsewhere.
            ValueRef::String(_) if name == keys::ORIGINAL_BYTES => Ok(Kept::Same),
            ValueRef::String(text) => self.text(Place::Attribute(name), text, arena),
            other => {
                let looked_at = |rule: &Rule| rule.looks_at_printed(name, other);
                match self.rules.iter().any(looked_at) {
                    true => {
                        let printed = arena.alloc_str(&other.to_text());
                        self.search(Place::Attribute(name), Some(other), printed, arena)
                    }
                    false => Ok(Kept::Same),
                }
            }
        }
    }

    /// Treats the whole text as one find of this rule.
    fn whole<'x>(
        &mut self,
        rule: usize,
        text: &str,
        arena: &'x Bump,
    ) -> Result<Kept<'x>, DropRecord> {
        self.counts[rule].finds += 1;
        match self.rules[rule].action {
            Action::Drop => return Ok(Kept::Removed),
            Action::DropRecord => return Err(self.dropping(rule)),
            Action::Mask | Action::Hash => {}
        }
        self.buffer.clear();
        replace(text, &self.rules[rule], self.key.as_ref(), &mut self.buffer);
        Ok(Kept::Text(arena.alloc_str(&self.buffer)))
    }

    fn text<'x>(
        &mut self,
        place: Place<'_>,
        text: &'x str,
        arena: &'x Bump,
    ) -> Result<Kept<'x>, DropRecord> {
        self.search(place, None, text, arena)
    }

    /// Asks the rules that look at this field, or, if it is `printed`, at a value of its type.
    fn search<'x>(
        &mut self,
        place: Place<'_>,
        printed: Option<ValueRef<'_>>,
        text: &str,
        arena: &'x Bump,
    ) -> Result<Kept<'x>, DropRecord> {
        if text.is_empty() {
            return Ok(Kept::Same);
        }
        self.finds.clear();
        let matched = self.patterns.as_ref().is_none_or(|patterns| patterns.is_match(text));
        for (index, rule) in self.rules.iter_mut().enumerate() {
            let looks = match (printed, place) {
                (Some(value), Place::Attribute(name)) => rule.looks_at_printed(name, value),
                _ => rule.looks_at(place),
            };
            let in_set = rule.fields.is_none() && matches!(rule.finder, Finder::Regex(_));
            if !looks || (in_set && !matched) {
                continue;
            }
            let action = rule.action;
            let count = &mut self.counts[index].finds;
            let finds = &mut self.finds;
            rule.find(text, &mut |range| {
                *count += 1;
                finds.add(index, action, range);
            });
        }
        match self.finds.leave(text, &self.rules, self.key.as_ref(), &mut self.buffer) {
            Left::All => return Ok(Kept::Same),
            Left::Nothing => return Ok(Kept::Removed),
            Left::NoRecord(rule) => return Err(self.dropping(rule)),
            Left::Rewritten => {}
        }
        if place == Place::CorrelationId && self.buffer.len() > CORRELATION_ID_BYTES_MAX {
            return Ok(Kept::Removed);
        }
        Ok(Kept::Text(arena.alloc_str(&self.buffer)))
    }

    fn dropping(&mut self, rule: usize) -> DropRecord {
        self.counts[rule].records_dropped += 1;
        DropRecord(rule)
    }
}

fn remove<'x>(unwanted: &str, record: &mut RecordRef<'x>, arena: &'x Bump) {
    let own = record.attributes;
    let kept = own.iter().filter(|(name, _)| *name != unwanted).count();
    if kept < own.len() {
        let mut wanted = own.iter().copied().filter(|(name, _)| *name != unwanted);
        let next = |_| wanted.next().expect("they were counted");
        record.attributes = arena.alloc_slice_fill_with(kept, next);
    }
}
