//! Sets of row numbers of one segment.

use std::ops::Range;

/// A set of rows as bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowBitmap {
    words: Vec<u64>,
    rows: u32,
}

impl RowBitmap {
    /// No row of `rows`.
    pub fn empty(rows: u32) -> Self {
        Self { words: vec![0; rows.div_ceil(64) as usize], rows }
    }

    /// Adds a row.
    pub fn insert(&mut self, row: u32) {
        self.words[(row / 64) as usize] |= 1 << (row % 64);
    }

    /// Whether a row is in it.
    pub fn contains(&self, row: u32) -> bool {
        self.words[(row / 64) as usize] >> (row % 64) & 1 == 1
    }

    /// How many rows are in it.
    pub fn len(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether no row is in it.
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// Keeps the rows that are in both.
    pub fn intersect(&mut self, other: &RowBitmap) {
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word &= other;
        }
    }

    /// Adds the rows of the other.
    pub fn unite(&mut self, other: &RowBitmap) {
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word |= other;
        }
    }

    /// Exactly the rows that were not in it.
    pub fn invert(&mut self) {
        for word in &mut self.words {
            *word = !*word;
        }
        if let (Some(last), odd @ 1..) = (self.words.last_mut(), self.rows % 64) {
            *last &= (1 << odd) - 1;
        }
    }

    /// Rows in ascending order, within a range.
    pub fn rows_in(&self, range: Range<u32>) -> Vec<u32> {
        let mut rows = Vec::new();
        let end = range.end.min(self.rows);
        if range.start >= end {
            return rows;
        }
        for index in range.start / 64..=(end - 1) / 64 {
            let mut word = self.words[index as usize];
            while word != 0 {
                let row = index * 64 + word.trailing_zeros();
                if row >= end {
                    break;
                }
                if row >= range.start {
                    rows.push(row);
                }
                word &= word - 1;
            }
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_bitmap_is_a_set_of_rows(rows in 1_u32..300, a in prop::collection::btree_set(0_u32..300, 0..100), b in prop::collection::btree_set(0_u32..300, 0..100), start in 0_u32..300, end in 0_u32..400) {
            let within = |set: BTreeSet<u32>| set.into_iter().filter(|row| *row < rows).collect::<BTreeSet<_>>();
            let (a, b) = (within(a), within(b));
            let bitmap = |set: &BTreeSet<u32>| {
                let mut bitmap = RowBitmap::empty(rows);
                set.iter().for_each(|row| bitmap.insert(*row));
                bitmap
            };
            let all = |bitmap: &RowBitmap| bitmap.rows_in(0..rows).into_iter().collect::<BTreeSet<_>>();
            let mut both = bitmap(&a);
            both.intersect(&bitmap(&b));
            prop_assert_eq!(all(&both), &a & &b);
            let mut either = bitmap(&a);
            either.unite(&bitmap(&b));
            prop_assert_eq!(either.len(), (&a | &b).len());
            let mut not = bitmap(&a);
            not.invert();
            prop_assert_eq!(all(&not), (0..rows).filter(|row| !a.contains(row)).collect::<BTreeSet<_>>());
            let part: Vec<u32> = a.iter().copied().filter(|row| (start..end).contains(row)).collect();
            prop_assert_eq!(bitmap(&a).rows_in(start..end), part);
        }
    }
}
