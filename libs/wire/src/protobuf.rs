//! Protobuf's wire format (<https://protobuf.dev/programming-guides/encoding/>), as far as OTLP needs it.
//!
//! A message is a run of fields, each a varint tag (number << 3 | wire type) and a value: 0 varint,
//! 1 eight bytes, 2 a length and as many bytes, 5 four bytes. Groups (3 and 4) are refused: no message of
//! OTLP has them and skipping them would need a stack. Reading borrows, checks every bound and never panics.

/// What is wrong with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("a field is cut off")]
    CutOff,
    #[error("a number is longer than 64 bits")]
    LongVarint,
    #[error("a field has wire type {0}, which it cannot have")]
    WireType(u8),
    #[error("a field has a number that is not allowed")]
    FieldNumber,
}

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Field<'b> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'b [u8]),
    Fixed32(u32),
}

impl Field<'_> {
    /// The fault of a known field that has this wire type instead of its own.
    pub(crate) fn unexpected(self) -> Fault {
        Fault::WireType(match self {
            Field::Varint(_) => 0,
            Field::Fixed64(_) => 1,
            Field::Bytes(_) => 2,
            Field::Fixed32(_) => 5,
        })
    }
}

/// Reads the fields of one message.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'b> {
    rest: &'b [u8],
}

impl<'b> Reader<'b> {
    pub(crate) fn new(message: &'b [u8]) -> Self {
        Self { rest: message }
    }

    /// The next field and its number; `None` at the end.
    #[inline(always)]
    pub(crate) fn next(&mut self) -> Result<Option<(u32, Field<'b>)>, Fault> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).map_err(|_| Fault::FieldNumber)?;
        if number == 0 || number > 0x1fff_ffff {
            return Err(Fault::FieldNumber);
        }
        let field = match tag & 7 {
            0 => Field::Varint(self.varint()?),
            1 => Field::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| Fault::CutOff)?;
                Field::Bytes(self.take(length)?)
            }
            5 => Field::Fixed32(u32::from_le_bytes(self.array()?)),
            wire_type => return Err(Fault::WireType(wire_type as u8)),
        };
        Ok(Some((number, field)))
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, Fault> {
        match self.rest {
            [byte, rest @ ..] if *byte < 0x80 => {
                self.rest = rest;
                Ok(u64::from(*byte))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, Fault> {
        let mut number = 0_u64;
        for (index, byte) in self.rest.iter().take(10).enumerate() {
            // The tenth byte has room for one bit.
            if index == 9 && *byte > 1 {
                return Err(Fault::LongVarint);
            }
            number |= u64::from(byte & 0x7f) << (index * 7);
            if *byte < 0x80 {
                self.rest = &self.rest[index + 1..];
                return Ok(number);
            }
        }
        Err(if self.rest.len() >= 10 { Fault::LongVarint } else { Fault::CutOff })
    }

    #[inline]
    fn take(&mut self, length: usize) -> Result<&'b [u8], Fault> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Fault::CutOff)?;
        self.rest = rest;
        Ok(taken)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(Fault::CutOff)?;
        self.rest = rest;
        Ok(*taken)
    }
}

/// How many bytes a varint takes.
pub(crate) fn varint_len(number: u64) -> usize {
    // Seven bits a byte, and one byte for 0.
    (64 - (number | 1).leading_zeros() as usize).div_ceil(7)
}

/// How many bytes a length-delimited field takes, with a tag of one byte.
pub(crate) fn bytes_field_len(length: usize) -> usize {
    1 + varint_len(length as u64) + length
}

pub(crate) fn push_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// The tag and length of a length-delimited field; its bytes are up to the caller. Numbers up to 15.
pub(crate) fn push_head(out: &mut Vec<u8>, number: u8, length: usize) {
    out.push(number << 3 | 2);
    push_varint(out, length as u64);
}

pub(crate) fn push_bytes_field(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    push_head(out, number, bytes.len());
    out.extend_from_slice(bytes);
}

pub(crate) fn push_varint_field(out: &mut Vec<u8>, number: u8, value: u64) {
    out.push(number << 3);
    push_varint(out, value);
}

pub(crate) fn push_fixed64_field(out: &mut Vec<u8>, number: u8, value: u64) {
    out.push(number << 3 | 1);
    out.extend_from_slice(&value.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn faults_are_named() {
        for (bytes, fault) in [
            (&[0x08][..], Fault::CutOff),
            (&[0x09, 1, 2, 3], Fault::CutOff),
            (&[0x0a, 2, 1], Fault::CutOff),
            (&[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], Fault::CutOff),
            (&[0x0d, 1], Fault::CutOff),
            (&[0x0b], Fault::WireType(3)),
            (&[0x0c], Fault::WireType(4)),
            (&[0x02, 0], Fault::FieldNumber),
            (&[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2], Fault::LongVarint),
            (&[0x08, 0x80, 0x80], Fault::CutOff),
        ] {
            assert_eq!(Reader::new(bytes).next(), Err(fault), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn fields_are_read_back(number in any::<u64>(), bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut out = Vec::new();
            push_varint_field(&mut out, 1, number);
            prop_assert_eq!(out.len(), 1 + varint_len(number));
            push_fixed64_field(&mut out, 2, number);
            let before = out.len();
            push_bytes_field(&mut out, 15, &bytes);
            prop_assert_eq!(out.len() - before, bytes_field_len(bytes.len()));
            let mut reader = Reader::new(&out);
            prop_assert_eq!(reader.next(), Ok(Some((1, Field::Varint(number)))));
            prop_assert_eq!(reader.next(), Ok(Some((2, Field::Fixed64(number)))));
            prop_assert_eq!(reader.next(), Ok(Some((15, Field::Bytes(&bytes)))));
            prop_assert_eq!(reader.next(), Ok(None));
        }
    }
}
