//! The tantivy index of a segment: message tokens, and hashes of exact values.
//!
//! The schema is the same in every segment. `message` holds the tokens of tokenizer 1 without frequencies
//! or positions; `exact` holds a 64-bit hash of (name, 0, value) for the correlation id, the trace id and
//! the attributes listed in the segment's footer. Nothing is stored and there are no fast fields; the doc
//! id is the row number. An answer of `exact` may hold rows whose hash only collides: the caller compares
//! the column.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{Array, StringArray};
use tantivy::directory::{Directory, OwnedBytes, RamDirectory};
use tantivy::index::SegmentReader;
use tantivy::postings::Postings;
use tantivy::schema::document::{ReferenceValue, ReferenceValueLeaf, Value};
use tantivy::schema::{
    Document, Field, IndexRecordOption, NumericOptions, Schema, TextFieldIndexing, TextOptions,
};
use tantivy::store::Compressor;
use tantivy::tokenizer::{Token, TokenStream, Tokenizer, TokenizerManager};
use tantivy::{DocSet, Index, IndexSettings, InvertedIndexReader, TERMINATED, Term};

use super::bundle::{self, BundleDirectory};
use super::rows::RowBitmap;
use crate::allowance::{Allowance, BLOCK_ROWS};
use crate::error::{Result, StoreError};

const TOKENIZER: &str = "logq1";
/// Decides the size of tantivy's hash table only; a segment's terms take what they take.
const WRITER_BUDGET_BYTES: usize = 100 << 20;

/// Hash of an exact value as it stands in the index: xxh3-64 of name, a zero byte, value.
pub(crate) fn exact_hash(name: &str, value: &[u8], scratch: &mut Vec<u8>) -> u64 {
    scratch.clear();
    scratch.extend_from_slice(name.as_bytes());
    scratch.push(0);
    scratch.extend_from_slice(value);
    twox_hash::XxHash3_64::oneshot(scratch)
}

fn schema() -> (Schema, Field, Field) {
    let mut builder = Schema::builder();
    let tokens = TextFieldIndexing::default()
        .set_tokenizer(TOKENIZER)
        .set_fieldnorms(false)
        .set_index_option(IndexRecordOption::Basic);
    let message =
        builder.add_text_field("message", TextOptions::default().set_indexing_options(tokens));
    let exact = builder.add_u64_field("exact", NumericOptions::default().set_indexed());
    (builder.build(), message, exact)
}

/// What a segment's rows put in its index: the message, and the hashes of each row one after the other.
#[derive(Debug)]
pub(super) struct IndexedRows {
    pub(super) messages: StringArray,
    /// Row r has `hashes[ends[r - 1]..ends[r]]`.
    pub(super) hashes: Vec<u64>,
    pub(super) ends: Vec<u32>,
}

/// Builds the index of a segment, row after row.
pub(super) struct IndexWriter {
    writer: tantivy::indexer::SingleSegmentIndexWriter<Row>,
    directory: RamDirectory,
    message: Field,
    exact: Field,
}

impl IndexWriter {
    pub(super) fn new() -> Result<Self> {
        let (schema, message, exact) = schema();
        let directory = RamDirectory::create();
        let settings = IndexSettings {
            docstore_compression: Compressor::Zstd(Default::default()),
            docstore_compress_dedicated_thread: false,
            ..IndexSettings::default()
        };
        let writer = Index::builder()
            .schema(schema)
            .settings(settings)
            .tokenizers(tokenizers())
            .single_segment_index_writer::<Row>(directory.clone(), WRITER_BUDGET_BYTES)
            .map_err(StoreError::segment("index"))?;
        Ok(Self { writer, directory, message, exact })
    }

    pub(super) fn add(&mut self, rows: IndexedRows) -> Result<()> {
        let rows = Arc::new(rows);
        for row in 0..rows.messages.len() as u32 {
            let document =
                Row { rows: Arc::clone(&rows), row, message: self.message, exact: self.exact };
            self.writer.add_document(document).map_err(StoreError::segment("index"))?;
        }
        Ok(())
    }

    /// The bytes of `index.tantivy`.
    pub(super) fn finish(self) -> Result<Vec<u8>> {
        let index = self.writer.finalize().map_err(StoreError::segment("index"))?;
        pack(&index, &self.directory)
    }
}

fn tokenizers() -> TokenizerManager {
    let tokenizers = TokenizerManager::new();
    tokenizers.register(TOKENIZER, Tokenizer1);
    // tantivy looks one up for every field, also for numbers that have no tokens.
    tokenizers.register("default", Tokenizer1);
    tokenizers
}

fn pack(index: &Index, directory: &RamDirectory) -> Result<Vec<u8>> {
    let mut names: HashSet<PathBuf> = index.directory().list_managed_files();
    names.insert(PathBuf::from("meta.json"));
    let mut names: Vec<_> =
        names.into_iter().filter(|name| directory.exists(name).unwrap_or(false)).collect();
    names.sort();
    bundle::pack(directory, names.into_iter()).map_err(StoreError::segment("index"))
}

fn open_index(bytes: &OwnedBytes) -> Result<Index> {
    let directory = BundleDirectory::open(bytes)
        .ok_or_else(|| StoreError::segment("open")("the index bundle is damaged"))?;
    let mut index = Index::open(directory).map_err(StoreError::segment("open"))?;
    index.set_tokenizers(tokenizers());
    Ok(index)
}

/// A segment's index, open for reading.
#[derive(Clone)]
pub(crate) struct IndexReader {
    message: Arc<InvertedIndexReader>,
    exact: Arc<InvertedIndexReader>,
    message_field: Field,
    exact_field: Field,
    rows: u32,
}

impl IndexReader {
    pub(super) fn open(bytes: &OwnedBytes) -> Result<Self> {
        let index = open_index(bytes)?;
        let (_, message_field, exact_field) = schema();
        let segments = index.searchable_segments().map_err(StoreError::segment("open"))?;
        let [segment] = segments.as_slice() else {
            return Err(StoreError::segment("open")("the index bundle has not one segment"));
        };
        let reader = SegmentReader::open(segment).map_err(StoreError::segment("open"))?;
        Ok(Self {
            message: reader.inverted_index(message_field).map_err(StoreError::segment("open"))?,
            exact: reader.inverted_index(exact_field).map_err(StoreError::segment("open"))?,
            message_field,
            exact_field,
            rows: reader.max_doc(),
        })
    }

    /// How many rows have this token, without reading them.
    pub(crate) fn token_count(&self, token: &str) -> Result<u32> {
        self.message
            .doc_freq(&Term::from_field_text(self.message_field, token))
            .map_err(StoreError::segment("read"))
    }

    /// Rows whose message has this token; exact.
    pub(crate) fn token_rows(&self, token: &str, allowance: &dyn Allowance) -> Result<RowBitmap> {
        let term = Term::from_field_text(self.message_field, token);
        self.term_rows(&self.message, &term, allowance)
    }

    /// Rows that have a token for which `matches` holds; exact. `prefix` narrows the tokens looked at.
    pub(crate) fn matching_token_rows(
        &self,
        prefix: &str,
        matches: &dyn Fn(&str) -> bool,
        allowance: &dyn Allowance,
    ) -> Result<RowBitmap> {
        let mut bitmap = RowBitmap::empty(self.rows);
        let mut terms = self
            .message
            .terms()
            .range()
            .ge(prefix.as_bytes())
            .into_stream()
            .map_err(StoreError::segment("read"))?;
        let mut looked_at = 0_usize;
        while terms.advance() {
            looked_at += 1;
            if looked_at.is_multiple_of(BLOCK_ROWS) {
                allowance.check()?;
            }
            let Ok(token) = std::str::from_utf8(terms.key()) else { continue };
            if !token.starts_with(prefix) {
                break;
            }
            if matches(token) {
                self.add_rows(&self.message, terms.value(), &mut bitmap, allowance)?;
            }
        }
        Ok(bitmap)
    }

    /// Rows that may have this value under this name.
    pub(crate) fn exact_rows(&self, hash: u64, allowance: &dyn Allowance) -> Result<RowBitmap> {
        self.term_rows(&self.exact, &Term::from_field_u64(self.exact_field, hash), allowance)
    }

    fn term_rows(
        &self,
        index: &InvertedIndexReader,
        term: &Term,
        allowance: &dyn Allowance,
    ) -> Result<RowBitmap> {
        let mut bitmap = RowBitmap::empty(self.rows);
        if let Some(info) = index.get_term_info(term).map_err(StoreError::segment("read"))? {
            self.add_rows(index, &info, &mut bitmap, allowance)?;
        }
        Ok(bitmap)
    }

    fn add_rows(
        &self,
        index: &InvertedIndexReader,
        info: &tantivy::postings::TermInfo,
        bitmap: &mut RowBitmap,
        allowance: &dyn Allowance,
    ) -> Result<()> {
        // One posting list is at most a segment's rows: asked before each of them.
        allowance.check()?;
        let mut postings = index
            .read_postings_from_terminfo(info, IndexRecordOption::Basic)
            .map_err(StoreError::segment("read"))?;
        debug_assert_eq!(postings.term_freq().min(1), 1);
        let mut row = postings.doc();
        while row != TERMINATED {
            bitmap.insert(row);
            row = postings.advance();
        }
        Ok(())
    }
}

impl std::fmt::Debug for IndexReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IndexReader").field("rows", &self.rows).finish_non_exhaustive()
    }
}

/// A document that is only a row of shared columns.
struct Row {
    rows: Arc<IndexedRows>,
    row: u32,
    message: Field,
    exact: Field,
}

#[derive(Clone, Debug)]
enum Indexed<'a> {
    Text(&'a str),
    Hash(u64),
}

impl<'a> Value<'a> for Indexed<'a> {
    type ArrayIter = std::iter::Empty<Self>;
    type ObjectIter = std::iter::Empty<(&'a str, Self)>;

    fn as_value(&self) -> ReferenceValue<'a, Self> {
        ReferenceValue::Leaf(match self {
            Indexed::Text(text) => ReferenceValueLeaf::Str(text),
            Indexed::Hash(hash) => ReferenceValueLeaf::U64(*hash),
        })
    }
}

impl Document for Row {
    type Value<'a> = Indexed<'a>;
    type FieldsValuesIter<'a> = RowValues<'a>;

    fn iter_fields_and_values(&self) -> RowValues<'_> {
        let row = self.row as usize;
        let start = row.checked_sub(1).map_or(0, |before| self.rows.ends[before]) as usize;
        RowValues {
            message: Some((self.message, self.rows.messages.value(row))),
            exact: self.exact,
            hashes: self.rows.hashes[start..self.rows.ends[row] as usize].iter(),
        }
    }
}

/// The message, then the hashes; a type of its own because it is made three times a row.
struct RowValues<'a> {
    message: Option<(Field, &'a str)>,
    exact: Field,
    hashes: std::slice::Iter<'a, u64>,
}

impl<'a> Iterator for RowValues<'a> {
    type Item = (Field, Indexed<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        match self.message.take() {
            Some((field, text)) => Some((field, Indexed::Text(text))),
            None => self.hashes.next().map(|hash| (self.exact, Indexed::Hash(*hash))),
        }
    }
}

/// [`record::tokenizer`] as tantivy wants it.
#[derive(Clone)]
struct Tokenizer1;

impl Tokenizer for Tokenizer1 {
    type TokenStream<'a> = Tokens<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> Tokens<'a> {
        // tantivy adds positions up even where it keeps none; its default would overflow.
        let token = Token { position: 0, ..Token::default() };
        Tokens { text, token, waiting: None }
    }
}

struct Tokens<'a> {
    text: &'a str,
    token: Token,
    /// Only for [`TokenStream::advance`], which the indexer does not use.
    waiting: Option<std::vec::IntoIter<String>>,
}

impl TokenStream for Tokens<'_> {
    fn advance(&mut self) -> bool {
        let text = self.text;
        let waiting =
            self.waiting.get_or_insert_with(|| record::tokenizer::tokens(text).into_iter());
        match waiting.next() {
            Some(token) => {
                self.token.text = token;
                true
            }
            None => false,
        }
    }

    fn token(&self) -> &Token {
        &self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        &mut self.token
    }

    fn process(&mut self, sink: &mut dyn FnMut(&Token)) {
        let token = &mut self.token;
        record::tokenizer::for_each_token(self.text, |text| {
            token.text.clear();
            token.text.push_str(text);
            sink(token);
            true
        });
    }
}
