//! No layout at all: the line is the message, and its time is when it was read.

use super::LineFormat;
use crate::draft::Draft;

#[derive(Debug)]
pub(super) struct Raw;

impl LineFormat for Raw {
    fn parse<'a>(&mut self, line: &'a str, draft: &mut Draft<'a>) -> bool {
        draft.message = line;
        true
    }
}
