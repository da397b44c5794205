//! Mutations of protobuf messages that keep the lengths around what they change, so that they reach what lies deep.

use std::ops::Range;

use crate::mutator::{Random, varint};

/// How deep is looked for messages.
const DEPTH_MAX: usize = 16;

/// One field: all of it, and its content if that has a length.
struct Field {
    whole: Range<usize>,
    tag: Range<usize>,
    content: Option<Range<usize>>,
}

/// Changes one field somewhere in the message; `None` if it is no message.
pub(crate) fn changed(
    random: &mut Random,
    message: &[u8],
    change: &mut dyn FnMut(&mut Random, &mut Vec<u8>),
) -> Option<Vec<u8>> {
    let fields = fields(message).filter(|fields| !fields.is_empty())?;
    changed_at(random, message, &fields, change, DEPTH_MAX)
}

fn changed_at(
    random: &mut Random,
    message: &[u8],
    all: &[Field],
    change: &mut dyn FnMut(&mut Random, &mut Vec<u8>),
    depth: usize,
) -> Option<Vec<u8>> {
    let field = random.choice(all);
    let mut out = message.to_vec();
    match (random.below(8), &field.content) {
        (0, _) => drop(out.drain(field.whole.clone())),
        (1, _) => {
            let copy = message[field.whole.clone()].to_vec();
            let at = random.choice(all).whole.start;
            out.splice(at..at, copy);
        }
        (2, _) => {
            // Another field number, or another wire type.
            let tag = varint(random.below(256));
            out.splice(field.tag.clone(), tag);
        }
        (_, None) => change(random, &mut out),
        (_, Some(content)) => {
            let old = &message[content.clone()];
            let inner = fields(old).filter(|inner| !inner.is_empty() && depth > 0);
            let new = match inner {
                Some(inner) => changed_at(random, old, &inner, change, depth - 1)?,
                None => {
                    let mut new = old.to_vec();
                    change(random, &mut new);
                    new
                }
            };
            let framed = [varint(new.len() as u64), new].concat();
            out.splice(field.tag.end..content.end, framed);
        }
    }
    Some(out)
}

/// The fields of a message; `None` if these bytes are none.
fn fields(message: &[u8]) -> Option<Vec<Field>> {
    let mut fields = Vec::new();
    let mut at = 0;
    while at < message.len() {
        let (tag, start) = read_varint(message, at)?;
        let tag_range = at..start;
        let (content, end) = match tag & 7 {
            0 => (None, read_varint(message, start)?.1),
            1 => (None, start + 8),
            2 => {
                let (length, begin) = read_varint(message, start)?;
                let end = begin.checked_add(usize::try_from(length).ok()?)?;
                (Some(begin..end), end)
            }
            5 => (None, start + 4),
            _ => return None,
        };
        if end > message.len() || tag >> 3 == 0 {
            return None;
        }
        fields.push(Field { whole: at..end, tag: tag_range, content });
        at = end;
    }
    Some(fields)
}

/// A varint and where it ends.
fn read_varint(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let mut value = 0;
    for index in 0..10 {
        let byte = *bytes.get(at + index)?;
        value |= u64::from(byte & 0x7f).checked_shl(7 * index as u32)?;
        if byte < 0x80 {
            return Some((value, at + index + 1));
        }
    }
    None
}
