//! Severities of a query: a level is its four numbers, a number is itself.

use record::{Level, Severity};

/// The severity numbers from `first` to `last`, both included; empty if `first` is larger.
///
/// 0 is "unspecified": it is in no range that was written with names, nor below any number but in `0` itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct SeverityRange {
    pub first: u8,
    pub last: u8,
}

impl SeverityRange {
    /// The largest severity number.
    pub const MAX: u8 = 24;
    /// No severity at all.
    pub const EMPTY: SeverityRange = SeverityRange { first: Self::MAX + 1, last: Self::MAX };

    /// From `first` to `last`, or [`SeverityRange::EMPTY`].
    pub fn new(first: u8, last: u8) -> Self {
        if first > last { Self::EMPTY } else { Self { first, last } }
    }

    /// Whether `severity` lies in it.
    pub fn contains(&self, severity: Severity) -> bool {
        (self.first..=self.last).contains(&severity.number())
    }

    /// Whether no severity lies in it.
    pub fn is_empty(&self) -> bool {
        self.first > self.last
    }

    /// The level whose four numbers these are.
    pub fn level(&self) -> Option<Level> {
        let is_it = |level: &Level| level.numbers() == (self.first..=self.last);
        Level::ALL.into_iter().find(is_it)
    }
}

/// Reads a number, or a word for a level in any case. A word for the lowest number of a level is the whole
/// level (`warning`, `err`, `critical`), a word for another number is that number (`notice`, `error2`, `alert`).
pub(crate) fn parse(text: &str) -> Option<SeverityRange> {
    if let Ok(number) = text.parse::<i64>() {
        let number = Severity::from_number(number)?.number();
        return Some(SeverityRange { first: number, last: number });
    }
    let severity = Severity::from_text(text)?;
    let numbers = severity.level()?.numbers();
    let whole = *numbers.start() == severity.number();
    let last = if whole { *numbers.end() } else { severity.number() };
    Some(SeverityRange { first: severity.number(), last })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_four_numbers() {
        for (text, first, last) in [
            ("error", 17, 20),
            ("WARNING", 13, 16),
            ("crit", 21, 24),
            ("notice", 10, 10),
            ("error2", 18, 18),
            ("17", 17, 17),
            ("0", 0, 0),
        ] {
            assert_eq!(parse(text), Some(SeverityRange { first, last }), "{text}");
        }
        assert_eq!(parse("25"), None);
        assert_eq!(parse("eror"), None);
    }
}
