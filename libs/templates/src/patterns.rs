//! Patterns: shapes of which some words were found to vary, and which pattern each shape has become.

use std::collections::HashMap;

use crate::shape::{NUMBER, Token, tokens};
use crate::slots::{Slot, WILDCARD};
use crate::symbols::{Symbol, Symbols, UNIT_WORD, VALUE_WORD, WILD, WILD_WORDS};

/// A text that a template shows.
type Text = u32;

/// A word or a separator of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) symbol: Symbol,
    /// Derived from the symbol and what its values have in common.
    shown: Text,
}

/// The places of one pattern. Two patterns with the same symbols are the same.
pub(crate) type Pattern = Box<[Place]>;

/// All patterns, sorted by their symbols, and the pattern of each shape.
pub(crate) struct Patterns<'a> {
    pub(crate) symbols: Symbols<'a>,
    texts: Vec<String>,
    text_numbers: HashMap<String, Text, ahash::RandomState>,
    pub(crate) all: Vec<Pattern>,
    /// By shape, in the order in which shapes were given.
    of_shapes: Vec<u32>,
    wildcard: Text,
}

impl<'a> Patterns<'a> {
    /// One pattern for each shape. For the outcome to be the same, the order of the shapes has to be.
    pub(crate) fn new<'s>(shapes: impl Iterator<Item = (&'a [u8], &'s [Slot])>) -> Self {
        let mut patterns = Self {
            symbols: Symbols::new(),
            texts: Vec::new(),
            text_numbers: HashMap::default(),
            all: Vec::new(),
            of_shapes: Vec::new(),
            wildcard: 0,
        };
        patterns.wildcard = patterns.text(WILDCARD.to_owned());
        let mut all = Vec::new();
        for (key, slots) in shapes {
            let mut slots = slots.iter();
            let mut places = Vec::new();
            for token in tokens(key) {
                let shown = shown(token, &mut slots);
                let shown = patterns.text(shown);
                places.push(Place { symbol: patterns.symbols.number(token), shown });
            }
            all.push(places.into());
        }
        patterns.of_shapes = (0..all.len() as u32).collect();
        patterns.set(all);
        patterns
    }

    /// Makes one pattern of all those that have the same representative, which have to differ in words only. Whether
    /// there are fewer patterns then.
    pub(crate) fn merge(&mut self, mut sets: Sets) -> bool {
        let before = self.all.len();
        let mut new: Vec<Pattern> = Vec::new();
        let mut new_of: Vec<u32> = vec![u32::MAX; before];
        let mut to_new = Vec::with_capacity(before);
        for index in 0..before {
            let first = sets.find(index as u32) as usize;
            if new_of[first] == u32::MAX {
                new_of[first] = new.len() as u32;
                new.push(self.all[first].clone());
            }
            let number = new_of[first];
            to_new.push(number);
            if index != first {
                let mut joined = std::mem::take(&mut new[number as usize]);
                self.join(&mut joined, index);
                new[number as usize] = joined;
            }
        }
        self.replace(new, &to_new);
        self.all.len() != before
    }

    /// Puts a new pattern in the place of each; whether that changed any.
    pub(crate) fn rewrite(&mut self, new: Vec<Pattern>) -> bool {
        let changed = new != self.all;
        if changed {
            let to_new: Vec<u32> = (0..new.len() as u32).collect();
            self.replace(new, &to_new);
        }
        changed
    }

    /// Leaves out the patterns that another one takes in: the pattern, and how many places of the one that is left out
    /// stand for one of the other from which place on.
    pub(crate) fn absorb(&mut self, into: &[Option<(u32, usize, usize)>]) -> bool {
        if into.iter().all(Option::is_none) {
            return false;
        }
        let mut new = self.all.clone();
        let mut to_new: Vec<u32> = (0..new.len() as u32).collect();
        // The longest first: what takes them in may itself be taken in by a shorter one.
        let mut order: Vec<usize> = (0..new.len()).filter(|index| into[*index].is_some()).collect();
        order.sort_by_key(|index| (usize::MAX - self.all[*index].len(), *index));
        for &index in &order {
            let Some((target, start, length)) = into[index] else { continue };
            let mut short = new[index].to_vec();
            let rest = short.split_off(start + length);
            short.truncate(start);
            short.push(Place { symbol: WILD_WORDS, shown: self.wildcard });
            short.extend(rest);
            let mut joined = std::mem::take(&mut new[target as usize]);
            self.join_places(&mut joined, &short);
            new[target as usize] = joined;
            to_new[index] = target;
        }
        // Each target is shorter than what it takes in, so that this ends at one that stays.
        for &index in &order {
            let mut end = to_new[index];
            while to_new[end as usize] != end {
                end = to_new[end as usize];
            }
            to_new[index] = end;
        }
        self.replace(new, &to_new);
        true
    }

    /// A place for words that vary.
    pub(crate) fn wild(&self, several: bool) -> Place {
        Place { symbol: if several { WILD_WORDS } else { WILD }, shown: self.wildcard }
    }

    /// A place for a list of values.
    pub(crate) fn values(&self) -> Place {
        Place { symbol: VALUE_WORD, shown: self.wildcard }
    }

    /// The template of each shape.
    pub(crate) fn templates(&self) -> Vec<String> {
        let texts: Vec<String> = self.all.iter().map(|pattern| self.template(pattern)).collect();
        self.of_shapes.iter().map(|index| texts[*index as usize].clone()).collect()
    }

    fn template(&self, pattern: &[Place]) -> String {
        let mut template = String::new();
        for place in pattern {
            let shown = &self.texts[place.shown as usize];
            if place.symbol == UNIT_WORD && shown == WILDCARD && template.ends_with("<*> ") {
                template.truncate(template.len() - 1);
                continue;
            }
            template.push_str(shown);
        }
        template
    }

    fn join(&mut self, places: &mut [Place], other: usize) {
        let others = self.all[other].clone();
        self.join_places(places, &others);
    }

    fn join_places(&mut self, places: &mut [Place], others: &[Place]) {
        for (place, other) in places.iter_mut().zip(others) {
            if place.symbol != other.symbol {
                let several = place.symbol == WILD_WORDS || other.symbol == WILD_WORDS;
                *place = self.wild(several);
            } else if place.shown != other.shown {
                place.shown = self.join_shown(*place, *other);
            }
        }
    }

    fn join_shown(&mut self, place: Place, other: Place) -> Text {
        let (one, two) = (&self.texts[place.shown as usize], &self.texts[other.shown as usize]);
        let text = match place.symbol {
            VALUE_WORD => Slot::from_shown(one).join(&Slot::from_shown(two)).shown(),
            UNIT_WORD => WILDCARD.to_owned(),
            _ => without_numbers(one),
        };
        self.text(text)
    }

    fn text(&mut self, text: String) -> Text {
        *self.text_numbers.entry(text).or_insert_with_key(|text| {
            self.texts.push(text.clone());
            self.texts.len() as Text - 1
        })
    }

    fn set(&mut self, all: Vec<Pattern>) {
        let to_new: Vec<u32> = (0..all.len() as u32).collect();
        self.replace(all, &to_new);
    }

    /// Takes `new`, sorted and without doubles; `to_new` has for each pattern of before where it is in `new`.
    fn replace(&mut self, new: Vec<Pattern>, to_new: &[u32]) {
        let mut order: Vec<u32> = (0..new.len() as u32).collect();
        order.sort_by(|a, b| {
            let (a, b) = (&new[*a as usize], &new[*b as usize]);
            a.iter().map(|place| place.symbol).cmp(b.iter().map(|place| place.symbol))
        });
        let mut kept: Vec<bool> = vec![false; new.len()];
        for index in to_new {
            kept[*index as usize] = true;
        }
        let mut new: Vec<Option<Pattern>> = new.into_iter().map(Some).collect();
        let mut sorted: Vec<Pattern> = Vec::with_capacity(new.len());
        let mut position = vec![0; new.len()];
        for index in order {
            let Some(pattern) = new[index as usize].take().filter(|_| kept[index as usize]) else {
                continue;
            };
            let same = sorted.last().is_some_and(|last| {
                last.len() == pattern.len()
                    && last.iter().zip(&pattern).all(|(a, b)| a.symbol == b.symbol)
            });
            if same {
                let mut joined = sorted.pop().unwrap_or_default();
                self.join_places(&mut joined, &pattern);
                sorted.push(joined);
            } else {
                sorted.push(pattern);
            }
            position[index as usize] = sorted.len() as u32 - 1;
        }
        for index in &mut self.of_shapes {
            *index = position[to_new[*index as usize] as usize];
        }
        self.all = sorted;
    }
}

/// What a template shows for a token of one shape.
fn shown<'s>(token: Token<'_>, slots: &mut impl Iterator<Item = &'s Slot>) -> String {
    // Of slots of which nothing can come, none are left.
    let mut next = || slots.next().map_or_else(|| WILDCARD.to_owned(), Slot::shown);
    match token {
        Token::Separator(text) => text.to_owned(),
        Token::Special(crate::shape::EMPTY) => String::new(),
        Token::Special(_) => next(),
        Token::Word(bytes) => {
            let mut parts = bytes.split(|byte| *byte == NUMBER).map(String::from_utf8_lossy);
            let mut text = parts.next().unwrap_or_default().into_owned();
            for part in parts {
                text.push_str(&next());
                text.push_str(&part);
            }
            text
        }
    }
}

/// A name with all its numbers left out.
fn without_numbers(name: &str) -> String {
    let mut text = String::new();
    let mut rest = name;
    while let Some(at) = rest.find(|it: char| it.is_ascii_digit() || it == '<') {
        text.push_str(&rest[..at]);
        text.push_str(WILDCARD);
        rest = &rest[at..];
        rest = rest.strip_prefix(WILDCARD).unwrap_or_else(|| {
            let bytes = rest.as_bytes();
            let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
            let mut end = 0;
            while digit(end) || (bytes.get(end) == Some(&b'.') && digit(end + 1)) {
                end += 1;
            }
            &rest[end.max(1)..]
        });
    }
    text.push_str(rest);
    text
}

/// Disjoint sets of patterns; the lowest number of each stands for it.
pub(crate) struct Sets {
    parents: Vec<u32>,
}

impl Sets {
    /// Each on its own.
    pub(crate) fn new(count: usize) -> Self {
        Self { parents: (0..count as u32).collect() }
    }

    pub(crate) fn find(&mut self, mut index: u32) -> u32 {
        while self.parents[index as usize] != index {
            let parent = self.parents[index as usize];
            self.parents[index as usize] = self.parents[parent as usize];
            index = parent;
        }
        index
    }

    pub(crate) fn unite(&mut self, one: u32, two: u32) {
        let (one, two) = (self.find(one), self.find(two));
        self.parents[one.max(two) as usize] = one.min(two);
    }
}
