//! HDFS's daemons.
//!
//! ```text
//! 081109 203615 148 INFO dfs.DataNode$PacketResponder: PacketResponder 1 for block blk_38865049064139660 terminating
//! ```
//!
//! The correlation id is the first block id of the message: what happens to one block on all nodes belongs
//! together.

use nom::Parser;
use nom::character::complete::char;
use nom::combinator::consumed;

use super::LineFormat;
use super::header::{Parsed, level, logger_and_colon, number};
use crate::draft::Draft;
use crate::time_format::{CivilTime, layout};

#[derive(Debug)]
pub(super) struct Hdfs;

struct Header<'a> {
    stamp: &'a str,
    time: CivilTime,
    pid: &'a str,
    level: &'a str,
    logger: &'a str,
}

impl LineFormat for Hdfs {
    fn parse<'a>(&mut self, line: &'a str, draft: &mut Draft<'a>) -> bool {
        let Ok((message, header)) = header(line) else { return false };
        draft.set_time(header.stamp, &header.time);
        draft.set_level(header.level);
        draft.add_number("process.pid", header.pid);
        draft.add_text("logger", header.logger);
        draft.message = message;
        if let Some(id) = block_id(message) {
            draft.set_correlation(id);
        }
        true
    }
}

fn header(line: &str) -> Parsed<'_, Header<'_>> {
    let (rest, ((stamp, time), _, pid, _, level, _, logger)) = (
        consumed(layout::compact),
        char(' '),
        number,
        char(' '),
        level,
        char(' '),
        logger_and_colon,
    )
        .parse(line)?;
    Ok((rest, Header { stamp, time, pid, level, logger }))
}

/// The first `blk_` with a number behind it, which may be negative.
fn block_id(message: &str) -> Option<&str> {
    const NAME: &str = "blk_";
    message.match_indices(NAME).find_map(|(at, _)| {
        let number = &message[at + NAME.len()..];
        let sign = usize::from(number.starts_with('-'));
        let digits = number[sign..].bytes().take_while(u8::is_ascii_digit).count();
        (digits > 0).then(|| &message[at..at + NAME.len() + sign + digits])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_id_is_a_name_with_a_number() {
        for (message, id) in [
            ("for block blk_38865049064139660 terminating", Some("blk_38865049064139660")),
            ("blk_-6952295868487656571", Some("blk_-6952295868487656571")),
            ("blk_ blk_-x blk_7.", Some("blk_7")),
            ("no block", None),
        ] {
            assert_eq!(block_id(message), id, "{message}");
        }
    }
}
