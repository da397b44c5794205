//! Records and rows as lines of JSON.
//!
//! A record is flat: the fixed fields by their names, then what stages made, then `attributes` as an object. Fields that
//! a record does not have are left out; rows of stages have every column, `null` where there is no value.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, UInt8Type};
use ql::Field;
use store::schema::{self, AttributeType};

use crate::batch::{Batch, FieldReader, Piece};
use crate::cell::{Cell, write_display, write_json_text};
use crate::stages::Flow;

/// Appends a batch as one JSON object a line.
pub fn write_lines(batch: &Batch, out: &mut Vec<u8>) {
    let _ = write_blocks(batch, usize::MAX, out, &mut |_| Flow::More);
}

/// The same, but gives what is written to `give` whenever it has reached `block_bytes`, and ends when that has enough.
/// What is left in `out` is the rest.
pub(crate) fn write_blocks(
    batch: &Batch,
    block_bytes: usize,
    out: &mut Vec<u8>,
    give: &mut dyn FnMut(Vec<u8>) -> Flow,
) -> Flow {
    let mut line_written = |out: &mut Vec<u8>| {
        out.push(b'\n');
        if out.len() < block_bytes { Flow::More } else { give(std::mem::take(out)) }
    };
    match batch {
        Batch::Records(records) => {
            let writers: Vec<_> = records.pieces.iter().map(RecordWriter::new).collect();
            for (piece, row) in records.places() {
                writers[piece as usize].write(row as usize, out);
                if line_written(out) == Flow::Enough {
                    return Flow::Enough;
                }
            }
        }
        Batch::Rows(rows) => {
            for row in &rows.rows {
                write_row(&rows.names, row, out);
                if line_written(out) == Flow::Enough {
                    return Flow::Enough;
                }
            }
        }
    }
    Flow::More
}

fn write_row(names: &[String], row: &[Cell], out: &mut Vec<u8>) {
    out.push(b'{');
    for (index, (name, cell)) in names.iter().zip(row).enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_json_text(out, name);
        out.push(b':');
        cell.write_json(out);
    }
    out.push(b'}');
}

/// Writes the records of one piece.
struct RecordWriter<'a> {
    fixed: Vec<(&'static str, FieldReader)>,
    severity: Option<&'a arrow::array::UInt8Array>,
    /// What stages made under names that no fixed field has; it stands for attributes of the same names.
    made: Vec<(&'a str, &'a [Cell])>,
    attributes: Vec<(&'a str, FieldReader)>,
    overflow: Option<&'a arrow::array::StringArray>,
}

impl<'a> RecordWriter<'a> {
    fn new(piece: &'a Piece) -> Self {
        let schema = piece.batch.schema_ref();
        let fixed = Field::fixed()
            .map(|field| (store::fixed_column(&field), piece.reader(&field)))
            .filter(|(_, reader)| reader.single().is_some())
            .collect();
        let made: Vec<(&str, &[Cell])> = piece
            .made
            .iter()
            .filter_map(|(field, cells)| Some((field.attribute()?, &**cells)))
            .collect();
        let severity_made = piece.made.iter().any(|(field, _)| *field == Field::Severity);
        let mut attributes = Vec::new();
        for (field, column) in schema.fields().iter().zip(piece.batch.columns()) {
            if let Some((_, name)) = AttributeType::of_column(field.name()) {
                // A column without a value here is of other rows.
                let made = made.iter().any(|(other, _)| *other == name);
                if !made && column.null_count() < column.len() {
                    attributes.push((name, FieldReader::of(column)));
                }
            }
        }
        let text = |column: &'a arrow::array::ArrayRef| match column.data_type() {
            DataType::Utf8 => Some(column.as_string::<i32>()),
            _ => None,
        };
        Self {
            fixed,
            severity: piece
                .batch
                .column_by_name(schema::SEVERITY)
                .filter(|_| !severity_made)
                .map(|column| column.as_primitive::<UInt8Type>()),
            made,
            attributes,
            overflow: piece.batch.column_by_name(schema::OVERFLOW).and_then(text),
        }
    }

    fn write(&self, row: usize, out: &mut Vec<u8>) {
        out.push(b'{');
        let mut first = true;
        let mut comma = |out: &mut Vec<u8>| {
            if !std::mem::take(&mut first) {
                out.push(b',');
            }
        };
        for (name, reader) in &self.fixed {
            let cell = reader.cell(row);
            if cell.is_null() {
                continue;
            }
            comma(out);
            write_json_text(out, name);
            out.push(b':');
            cell.write_json(out);
            if *name == schema::SEVERITY
                && let Some(numbers) = self.severity
            {
                out.extend_from_slice(b",\"severity_number\":");
                write_display(out, &numbers.value(row));
            }
        }
        for (name, cells) in self.made.iter().filter(|(_, cells)| !cells[row].is_null()) {
            comma(out);
            write_json_text(out, name);
            out.push(b':');
            cells[row].write_json(out);
        }
        self.write_attributes(row, out, &mut comma);
        out.push(b'}');
    }

    fn write_attributes(
        &self,
        row: usize,
        out: &mut Vec<u8>,
        comma: &mut impl FnMut(&mut Vec<u8>),
    ) {
        let mut open = false;
        let mut begin = |out: &mut Vec<u8>| {
            if std::mem::replace(&mut open, true) {
                out.push(b',');
            } else {
                comma(out);
                out.extend_from_slice(b"\"attributes\":{");
            }
        };
        for (name, reader) in &self.attributes {
            let cell = reader.cell(row);
            if !cell.is_null() {
                begin(out);
                write_json_text(out, name);
                out.push(b':');
                cell.write_json(out);
            }
        }
        if let Some(overflow) = self.overflow.filter(|overflow| overflow.is_valid(row)) {
            // The overflow column is a JSON object already: its members are taken as they stand.
            let members =
                overflow.value(row).strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
            let overlaid = self.made.iter().any(|(name, _)| overflow.value(row).contains(name));
            match members.filter(|members| !members.is_empty()) {
                Some(members) if !overlaid => {
                    begin(out);
                    out.extend_from_slice(members.as_bytes());
                }
                Some(_) => self.write_overflow_without_made(overflow.value(row), out, &mut begin),
                None => {}
            }
        }
        if open {
            out.push(b'}');
        }
    }

    fn write_overflow_without_made(
        &self,
        object: &str,
        out: &mut Vec<u8>,
        begin: &mut impl FnMut(&mut Vec<u8>),
    ) {
        let members: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(object).unwrap_or_default();
        for (name, value) in members {
            if !self.made.iter().any(|(made, _)| *made == name) {
                begin(out);
                write_json_text(out, &name);
                out.push(b':');
                write_display(out, &value);
            }
        }
    }
}
