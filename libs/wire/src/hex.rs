//! Hex digits to ids, by table: every record has two ids, and a comparison per digit costs more than the
//! rest of their parsing.

use record::{SpanId, TraceId};

/// Marks what is no digit.
const NO_DIGIT: u8 = 0xff;

const DIGITS: [u8; 256] = {
    let mut table = [NO_DIGIT; 256];
    let mut value = 0;
    while value < 16 {
        table[b"0123456789abcdef"[value] as usize] = value as u8;
        table[b"0123456789ABCDEF"[value] as usize] = value as u8;
        value += 1;
    }
    table
};

/// As [`TraceId::from_hex`].
pub(crate) fn trace_id(text: &str) -> Option<TraceId> {
    decoded(text).and_then(TraceId::from_bytes)
}

/// As [`SpanId::from_hex`].
pub(crate) fn span_id(text: &str) -> Option<SpanId> {
    decoded(text).and_then(SpanId::from_bytes)
}

fn decoded<const N: usize>(text: &str) -> Option<[u8; N]> {
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    let pairs: &[[u8; 2]; N] = pairs.try_into().ok()?;
    let mut bytes = [0; N];
    // A digit is below 16, so one look at the upper bits of all of them tells whether each was one.
    let mut all = 0;
    for (byte, pair) in bytes.iter_mut().zip(pairs) {
        let (high, low) = (DIGITS[usize::from(pair[0])], DIGITS[usize::from(pair[1])]);
        all |= high | low;
        *byte = high << 4 | low;
    }
    (all < 16).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ids_are_read_as_the_record_crate_reads_them(
            text in "[0-9a-fA-F]{15,17}|[0-9a-fA-F]{31,33}|0{16}|0{32}|[0-9a-g]{16}|é{8}|\\PC{0,33}",
        ) {
            prop_assert_eq!(trace_id(&text), TraceId::from_hex(&text));
            prop_assert_eq!(span_id(&text), SpanId::from_hex(&text));
        }
    }
}
