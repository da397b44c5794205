//! Products as they are kept and found. A variant is a product of its own that says which one it is a variant of; pages
//! and search show it there.

use rusqlite::{OptionalExtension, Row, Transaction};

use super::interface::{Page, Product, Variant};

pub(super) const TABLES: &str = "
CREATE TABLE products (
    sku TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    price_cents INTEGER NOT NULL CHECK (price_cents > 0),
    variant_of TEXT REFERENCES products (sku),
    size TEXT,
    colour TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX products_by_variant_of ON products (variant_of, sku);
CREATE VIRTUAL TABLE words USING fts5 (sku UNINDEXED, name, description, variants);
";

const FOUND_MAX: u32 = 20;
/// Words of a search that count; further ones are not looked for.
const WORDS_MAX: usize = 8;

/// Which numbers and limits there are, the caller sees to.
pub(super) fn page(tx: &Transaction<'_>, page: u32, limit: u32) -> rusqlite::Result<Page> {
    let of_products = "FROM products WHERE variant_of IS NULL";
    let total = tx.query_row(&format!("SELECT count(*) {of_products}"), [], |row| row.get(0))?;
    let before = i64::from(page.saturating_sub(1)) * i64::from(limit);
    let select = format!("SELECT * {of_products} ORDER BY sku LIMIT ? OFFSET ?");
    let mut select = tx.prepare_cached(&select)?;
    let rows = select.query_map([i64::from(limit), before], |row| whole(tx, row))?;
    Ok(Page { products: rows.collect::<Result<_, _>>()?, page, limit, total })
}

pub(super) fn by_sku(tx: &Transaction<'_>, sku: &str) -> rusqlite::Result<Option<Product>> {
    let mut select = tx.prepare_cached("SELECT * FROM products WHERE sku = ?")?;
    select.query_one([sku], |row| whole(tx, row)).optional()
}

/// Products that have all of the words, the best first. Nothing for a text without words.
pub(super) fn search(tx: &Transaction<'_>, text: &str) -> rusqlite::Result<Vec<Product>> {
    let Some(query) = match_query(text) else { return Ok(Vec::new()) };
    let mut select = tx.prepare_cached(
        "SELECT products.* FROM words JOIN products USING (sku) WHERE words MATCH ?1
        ORDER BY bm25(words, 0, 4, 1, 2), sku LIMIT ?2",
    )?;
    let found = select.query_map((query, FOUND_MAX), |row| whole(tx, row))?;
    found.collect()
}

/// The words as FTS5 takes them: quoted, so that none is read as its syntax, and each as the beginning of one.
fn match_query(text: &str) -> Option<String> {
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let words: Vec<_> = words.take(WORDS_MAX).map(|word| format!("\"{word}\"*")).collect();
    (!words.is_empty()).then(|| words.join(" "))
}

fn whole(tx: &Transaction<'_>, row: &Row<'_>) -> rusqlite::Result<Product> {
    let sku: String = row.get("sku")?;
    let mut select =
        tx.prepare_cached("SELECT * FROM products WHERE variant_of = ? ORDER BY sku")?;
    let variants = select.query_map([&sku], |row| {
        Ok(Variant {
            sku: row.get("sku")?,
            name: row.get("name")?,
            price_cents: row.get("price_cents")?,
            size: row.get("size")?,
            colour: row.get("colour")?,
        })
    })?;
    Ok(Product {
        variants: variants.collect::<Result<_, _>>()?,
        sku,
        name: row.get("name")?,
        description: row.get("description")?,
        price_cents: row.get("price_cents")?,
        variant_of: row.get("variant_of")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_looked_for_is_words() {
        for (text, expected) in [
            ("tea", Some(r#""tea"*"#)),
            ("Green tea!", Some(r#""Green"* "tea"*"#)),
            ("\"tea\" OR name:*", Some(r#""tea"* "OR"* "name"*"#)),
            ("a b c d e f g h i", Some(r#""a"* "b"* "c"* "d"* "e"* "f"* "g"* "h"*"#)),
            ("茶", Some(r#""茶"*"#)),
            ("\"*^-:()", None),
            ("\0", None),
            ("", None),
        ] {
            assert_eq!(match_query(text).as_deref(), expected, "{text:?}");
        }
    }
}
