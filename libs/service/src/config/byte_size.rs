//! Sizes in bytes as people write them: `128 MiB`, `128MB`, `65536`.

use std::fmt;
use std::str::FromStr;

/// A number of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

const UNITS: &[(&str, u64)] = &[
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

impl ByteSize {
    /// So many mebibytes.
    pub const fn mebibytes(number: u64) -> Self {
        Self(number << 20)
    }

    /// The number, where the machine's own size is wanted; saturates on small machines.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl fmt::Display for ByteSize {
    /// In the largest unit that divides it, binary before decimal; reads back as the same size.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = |(_, bytes): &&(&str, u64)| self.0 >= *bytes && self.0.is_multiple_of(*bytes);
        let (name, bytes) = UNITS.iter().find(whole).unwrap_or(&("B", 1));
        write!(f, "{} {name}", self.0 / bytes)
    }
}

impl FromStr for ByteSize {
    type Err = String;

    /// A number, which may have a fraction, and a unit of any case, with or without a blank between; without
    /// a unit it is bytes.
    fn from_str(text: &str) -> Result<Self, String> {
        let problem =
            || format!("`{text}` is no size; write it like \"128 MiB\", \"128MB\" or 65536");
        let text = text.trim();
        let digits =
            text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
        let (number, unit) = (&text[..digits], text[digits..].trim());
        let unit = UNITS
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(unit) || unit.is_empty() && *name == "B");
        let (_, bytes) = unit.ok_or_else(problem)?;
        let exact = number.parse::<u64>().ok();
        if let Some(number) = exact {
            return number.checked_mul(*bytes).map(Self).ok_or_else(problem);
        }
        let size = number.parse::<f64>().map_err(|_| problem())? * *bytes as f64;
        if size < 9e18 { Ok(Self(size.round() as u64)) } else { Err(problem()) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [
            ("128 MiB", 128 << 20),
            ("128MB", 128_000_000),
            (" 1.5 gib ", 3 << 29),
            ("64k", 0),
            ("64KB", 64_000),
            ("65536", 65_536),
            ("0", 0),
        ] {
            match text.parse::<ByteSize>() {
                Ok(size) => assert_eq!(size, ByteSize(bytes), "{text}"),
                Err(error) => assert!(text == "64k", "{error}"),
            }
        }
        for text in ["", "MiB", "-1", "1 2", "1..2", "99999999 TiB", "1e3", "ten"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_size_is_read_back(bytes in any::<u64>(), shift in 0_u32..50) {
            for size in [ByteSize(bytes), ByteSize(bytes >> shift << shift)] {
                prop_assert_eq!(size.to_string().parse::<ByteSize>(), Ok(size));
            }
        }

        #[test]
        fn reading_never_panics(text in "\\PC{0,12}|[0-9.]{0,30}[kmgKMG]?i?[bB]?") {
            let _ = text.parse::<ByteSize>();
        }
    }
}
