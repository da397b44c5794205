//! Severities: OpenTelemetry's numbers 1 to 24, in six named levels of four.

use std::ops::RangeInclusive;

/// OpenTelemetry's severity number, 1 to 24; 0 is "unspecified".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Severity(u8);

/// One of the six names; each covers four severity numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
    Fatal,
}

impl Level {
    /// From least to most severe.
    pub const ALL: [Level; 6] =
        [Level::Trace, Level::Debug, Level::Info, Level::Warn, Level::Error, Level::Fatal];

    /// Lower-case name, as it is printed and queried.
    pub fn name(self) -> &'static str {
        match self {
            Level::Trace => "trace",
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
            Level::Fatal => "fatal",
        }
    }

    /// The four severity numbers of this level.
    pub fn numbers(self) -> RangeInclusive<u8> {
        let first = self as u8 * 4 + 1;
        first..=first + 3
    }
}

impl Severity {
    /// No severity was given.
    pub const UNSPECIFIED: Severity = Severity(0);

    /// `None` outside 0 to 24.
    pub fn from_number(number: i64) -> Option<Self> {
        u8::try_from(number).ok().filter(|number| *number <= 24).map(Self)
    }

    /// OpenTelemetry's number; 0 is unspecified.
    pub fn number(self) -> u8 {
        self.0
    }

    /// The level that covers this number; `None` if unspecified.
    pub fn level(self) -> Option<Level> {
        Some(Level::ALL[usize::from(self.0.checked_sub(1)? / 4)])
    }

    /// The level's name, or the empty text if unspecified.
    pub fn name(self) -> &'static str {
        self.level().map_or("", Level::name)
    }

    /// Reads the words that logging libraries, syslog and OpenTelemetry use, in any case.
    ///
    /// Levels of four numbers have their short names too (`info2`, `error4`). The syslog words above
    /// error are all fatal, in their order.
    pub fn from_text(text: &str) -> Option<Self> {
        let mut lower = [0_u8; 12];
        let text = text.trim();
        let folded = lower.get_mut(..text.len())?;
        folded.copy_from_slice(text.as_bytes());
        folded.make_ascii_lowercase();
        let number = match &*folded {
            b"trace" | b"trc" | b"finest" | b"verbose" | b"silly" => 1,
            b"trace2" | b"finer" => 2,
            b"trace3" => 3,
            b"trace4" => 4,
            b"debug" | b"dbg" | b"fine" => 5,
            b"debug2" => 6,
            b"debug3" => 7,
            b"debug4" => 8,
            b"info" | b"inf" | b"information" | b"informational" | b"config" => 9,
            b"info2" | b"notice" => 10,
            b"info3" => 11,
            b"info4" => 12,
            b"warn" | b"wrn" | b"warning" => 13,
            b"warn2" => 14,
            b"warn3" => 15,
            b"warn4" => 16,
            b"error" | b"err" | b"severe" => 17,
            b"error2" => 18,
            b"error3" => 19,
            b"error4" => 20,
            b"fatal" | b"ftl" | b"critical" | b"crit" => 21,
            b"fatal2" | b"alert" => 22,
            b"fatal3" | b"panic" => 23,
            b"fatal4" | b"emerg" | b"emergency" => 24,
            _ => return None,
        };
        Some(Self(number))
    }
}

impl From<Level> for Severity {
    /// The lowest number of the level.
    fn from(level: Level) -> Self {
        Self(*level.numbers().start())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_belongs_to_the_level_that_covers_it() {
        assert_eq!(Severity::UNSPECIFIED.level(), None);
        for level in Level::ALL {
            for number in level.numbers() {
                assert_eq!(Severity::from_number(i64::from(number)).unwrap().level(), Some(level));
            }
            assert_eq!(Severity::from_text(level.name()), Some(Severity::from(level)));
        }
        assert_eq!(Severity::from_number(25), None);
        assert_eq!(Severity::from_number(-1), None);
    }

    #[test]
    fn words_of_any_case_are_read_and_others_are_not() {
        assert_eq!(Severity::from_text(" WARNING ").unwrap().level(), Some(Level::Warn));
        assert_eq!(Severity::from_text("Critical").unwrap().level(), Some(Level::Fatal));
        assert_eq!(Severity::from_text("notice").unwrap().name(), "info");
        for text in ["", "loud", "a very long word indeed", "ünfo"] {
            assert_eq!(Severity::from_text(text), None, "{text}");
        }
    }
}
