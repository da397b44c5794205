//! How much memory the rows of a segment take once they are read, from what its footer says of the pages.

use arrow::datatypes::DataType;
use parquet::arrow::arrow_reader::ArrowReaderMetadata;

/// Memory of one column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ColumnWidth {
    /// Of a row, in the page whose rows are the widest on average.
    pub(super) row_bytes: usize,
    /// Of a page while it is read, and of a dictionary.
    pub(super) page_bytes: usize,
}

/// The widths of all columns of a file.
pub(super) fn widths(metadata: &ArrowReaderMetadata) -> Vec<ColumnWidth> {
    let fields = metadata.schema().fields();
    (0..fields.len()).map(|column| width(metadata, column, fields[column].data_type())).collect()
}

fn width(metadata: &ArrowReaderMetadata, column: usize, data_type: &DataType) -> ColumnWidth {
    let fixed = match data_type {
        DataType::Dictionary(..) => Some(4),
        DataType::FixedSizeBinary(bytes) => Some(*bytes as usize),
        other => other.primitive_width().or((*other == DataType::Boolean).then_some(1)),
    };
    let file = metadata.metadata();
    let mut width = ColumnWidth::default();
    for (number, group) in file.row_groups().iter().enumerate() {
        let rows = (group.num_rows() as usize).max(1);
        let bytes = group.column(column).uncompressed_size().max(0) as usize;
        let pages = file.page_index_for_row_group(number);
        let index = pages.offset_index(column);
        let count = index.map_or(1, |index| index.page_locations().len()).max(1);
        width.page_bytes = width.page_bytes.max(bytes.div_ceil(count));
        let row_bytes = match (fixed, index) {
            (Some(bytes), _) => bytes,
            (None, None) => bytes.div_ceil(rows),
            (None, Some(index)) => {
                let starts = index.page_locations().iter().map(|page| page.first_row_index);
                let ends = starts.clone().skip(1).chain([rows as i64]);
                let lengths = starts.zip(ends).map(|(start, end)| (end - start).max(1) as usize);
                let texts = index.unencoded_byte_array_data_bytes();
                let widest = texts.and_then(|texts| {
                    let each = texts.iter().zip(lengths);
                    each.map(|(bytes, rows)| (*bytes).max(0) as usize / rows).max()
                });
                // With the offset of each text.
                widest.unwrap_or(bytes.div_ceil(rows)) + 4
            }
        };
        width.row_bytes = width.row_bytes.max(row_bytes);
    }
    width
}
