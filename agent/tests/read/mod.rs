//! Lines of a source to owned records, for tests.

use agent::format::{Format, detect};
use agent::interpret::{Interpreted, Interpreter, SourceSettings};
use agent::lines::LineReader;
use agent::time_format::{TimeOptions, TimeReader};
use record::{Record, Timestamp};
use regex::Regex;

/// When everything is read: 2026-01-02T03:04:05Z.
pub(crate) const NOW: Timestamp = Timestamp(1_767_323_045_000_000_000);

/// How to read.
#[derive(Default)]
pub(crate) struct Reading<'a> {
    pub(crate) format: Format,
    pub(crate) pattern: Option<&'a str>,
    pub(crate) times: TimeOptions,
    pub(crate) settings: SourceSettings,
    pub(crate) line_bytes_max: Option<usize>,
}

impl Reading<'_> {
    /// The records of `input`, and what became of each line.
    pub(crate) fn read(&self, input: &[u8]) -> Vec<(Record, Interpreted)> {
        let format = if self.format == Format::Auto { detect(input) } else { self.format };
        let pattern = self.pattern.map(|pattern| Regex::new(pattern).unwrap());
        let mut interpreter = Interpreter::new(
            self.settings.clone(),
            "/var/log/x.log".to_owned(),
            format.reader(pattern.as_ref()),
            TimeReader::new(&self.times).unwrap(),
        );
        let max = self.line_bytes_max.unwrap_or(agent::lines::LINE_BYTES_MAX);
        let mut lines = LineReader::with_line_bytes_max(input, max);
        let mut records = Vec::new();
        while let Some(line) = lines.next_line().unwrap() {
            let mut made = None;
            let done = interpreter.interpret(&line, NOW, |record| made = Some(record.to_record()));
            records.push((made.expect("every line gives a record"), done));
        }
        records
    }
}
