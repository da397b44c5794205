//! Tables that read well on a terminal and are Markdown as they stand.

use std::fmt;

/// Rows under a header, all of the same number of cells.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new<const N: usize>(header: [&str; N]) -> Self {
        Self { rows: vec![header.map(str::to_owned).to_vec()] }
    }

    pub(crate) fn add<const N: usize>(&mut self, row: [String; N]) {
        debug_assert_eq!(N, self.rows[0].len(), "each row has a cell for each column");
        self.rows.push(row.to_vec());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows[0].len();
        let width = |column: usize| {
            self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0).max(3)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for (place, row) in self.rows.iter().enumerate() {
            for (cell, width) in row.iter().zip(&widths) {
                write!(f, "| {cell:<width$} ")?;
            }
            writeln!(f, "|")?;
            if place == 0 {
                for width in &widths {
                    write!(f, "|{}", "-".repeat(width + 2))?;
                }
                writeln!(f, "|")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_aligned_markdown() {
        let mut table = Table::new(["what", "ms"]);
        table.add(["newest ≤ 100".to_owned(), "1.5".to_owned()]);
        assert_eq!(
            table.to_string(),
            "| what         | ms  |\n|--------------|-----|\n| newest ≤ 100 | 1.5 |\n"
        );
    }
}
