//! The catalog in SQLite: `DATA/catalog.db`, WAL, `synchronous=FULL`, a checksum in each row.
//!
//! ```text
//! marks(name TEXT PRIMARY KEY, value TEXT, crc INTEGER)     store_id, generation, marks, segment_count (JSON)
//! segments(id INTEGER PRIMARY KEY, value TEXT, crc INTEGER) SegmentMeta (JSON)
//! senders(name TEXT PRIMARY KEY, value TEXT, crc INTEGER)   Sender (JSON) → SenderState (JSON)
//! agents(name TEXT PRIMARY KEY, value TEXT, crc INTEGER)    Agent (JSON) → AgentState (JSON), of retired epochs
//! deletes(id INTEGER PRIMARY KEY, value TEXT, crc INTEGER)  Delete (JSON)
//! quarantined(id INTEGER PRIMARY KEY, value TEXT, crc INTEGER) Quarantined (JSON)
//! ```
//! `crc` is crc32c over name, a zero byte, value.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use file_system::failpoint;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Transaction, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Catalog, CatalogChange, CatalogState};
use crate::error::{Result, StoreError};

/// Version of the tables, in `PRAGMA user_version`; 0 is a catalog of before it was kept there.
const VERSION: u32 = 2;

struct Table {
    name: &'static str,
    key: &'static str,
    /// The version that has it first.
    since: u32,
}

const TABLES: [Table; 6] = [
    Table { name: "marks", key: "name TEXT PRIMARY KEY", since: 0 },
    Table { name: "segments", key: "id INTEGER PRIMARY KEY", since: 0 },
    Table { name: "senders", key: "name TEXT PRIMARY KEY", since: 0 },
    Table { name: "agents", key: "name TEXT PRIMARY KEY", since: 0 },
    Table { name: "deletes", key: "id INTEGER PRIMARY KEY", since: 2 },
    Table { name: "quarantined", key: "id INTEGER PRIMARY KEY", since: 2 },
];

#[derive(Debug)]
pub(crate) struct SqliteCatalog {
    connection: Connection,
    path: PathBuf,
    new: bool,
}

impl SqliteCatalog {
    /// Opens the database; an empty one gets its tables.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if it is no database of this kind.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let connection = Connection::open(path).map_err(|error| failed("open", path, error))?;
        let mut catalog = Self { connection, path: path.to_owned(), new: false };
        catalog
            .connection
            .execute_batch(
                "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA busy_timeout=5000;",
            )
            .map_err(|error| failed("open", path, error))?;
        catalog.create_tables()?;
        if catalog.new {
            let id: String = catalog
                .connection
                .query_row("SELECT lower(hex(randomblob(16)))", [], |row| row.get(0))
                .map_err(StoreError::catalog("create"))?;
            catalog.set_identity(&id, 1)?;
        }
        Ok(catalog)
    }

    /// Whether it was empty when it was opened.
    pub(crate) fn is_new(&self) -> bool {
        self.new
    }

    /// A table that is missing was not always so: its name is what changed. Those of an earlier version lack some.
    fn create_tables(&mut self) -> Result<()> {
        let read = |error| failed("open", &self.path, error);
        let version: u32 =
            self.connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(read)?;
        let mut statement = self
            .connection
            .prepare("SELECT name FROM sqlite_master WHERE type = 'table'")
            .map_err(read)?;
        let names = statement.query_map([], |row| row.get::<_, String>(0)).map_err(read)?;
        let there = names.collect::<Result<BTreeSet<String>, _>>().map_err(read)?;
        drop(statement);
        self.new = there.is_empty();
        let expected = TABLES.iter().filter(|table| version >= table.since);
        let missing = expected.clone().find(|table| !there.contains(table.name));
        if let (false, Some(missing)) = (self.new, missing) {
            return Err(StoreError::corrupt(
                &self.path,
                format!("table {} is missing", missing.name),
            ));
        }
        let create: String = TABLES
            .iter()
            .map(|Table { name, key, .. }| {
                format!("CREATE TABLE IF NOT EXISTS {name}({key}, value TEXT NOT NULL, crc INTEGER NOT NULL);")
            })
            .collect();
        // Always a write, and so a sync: what the log of a killed process holds is durable before anybody relies on it.
        self.connection
            .execute_batch(&format!("BEGIN; {create} PRAGMA user_version = {VERSION}; COMMIT;"))
            .map_err(|error| failed("open", &self.path, error))
    }

    /// Looks through all pages of the database.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] with the first fault.
    pub(crate) fn check_integrity(&self) -> Result<()> {
        let verdict: String = self
            .connection
            .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
            .map_err(|error| failed("check", &self.path, error))?;
        if verdict == "ok" { Ok(()) } else { Err(StoreError::corrupt(&self.path, verdict)) }
    }

    /// Makes it the catalog of a store that was there before.
    pub(crate) fn set_identity(&mut self, store_id: &str, generation: u64) -> Result<()> {
        put_mark(&self.connection, "store_id", &store_id)?;
        put_mark(&self.connection, "generation", &generation)
    }

    /// Closes it, so that all of it is in the one file.
    pub(crate) fn close(self) -> Result<()> {
        self.connection.close().map_err(|(_, error)| failed("close", &self.path, error))
    }

    /// What is in a copy; not a byte of it changes.
    pub(crate) fn read_copy(path: &Path) -> Result<CatalogState> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)
            .map_err(|error| failed("open", path, error))?;
        Self { connection, path: path.to_owned(), new: false }.load()
    }

    /// After a restore; durable when the catalog is dropped.
    pub(crate) fn set_generation(&self, generation: u64) -> Result<()> {
        put_mark(&self.connection, "generation", &generation)
    }

    fn mark<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        let row = self
            .connection
            .query_row("SELECT value, crc FROM marks WHERE name = ?1", [name], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, u32>(1)?))
            })
            .optional()
            .map_err(|error| failed("read", &self.path, error))?;
        row.map(|(value, crc)| self.checked(name, &value, crc)).transpose()
    }

    fn checked<T: DeserializeOwned>(&self, name: &str, value: &str, crc: u32) -> Result<T> {
        if checksum(name, value) != crc {
            return Err(StoreError::corrupt(
                &self.path,
                format!("the checksum of {name} does not fit"),
            ));
        }
        serde_json::from_str(value)
            .map_err(|error| StoreError::corrupt(&self.path, format!("{name}: {error}")))
    }

    fn rows<T: DeserializeOwned>(&self, query: &str) -> Result<Vec<(String, T)>> {
        let mut statement =
            self.connection.prepare(query).map_err(|error| failed("read", &self.path, error))?;
        let rows = statement
            .query_map([], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, u32>(2)?))
            })
            .map_err(|error| failed("read", &self.path, error))?;
        let mut found = Vec::new();
        for row in rows {
            let (name, value, crc) = row.map_err(|error| failed("read", &self.path, error))?;
            let value = self.checked(&name, &value, crc)?;
            found.push((name, value));
        }
        Ok(found)
    }

    /// Rows whose names are JSON too.
    fn keyed<K: DeserializeOwned, V: DeserializeOwned>(&self, query: &str) -> Result<Vec<(K, V)>> {
        let keyed = |(name, value): (String, V)| match serde_json::from_str(&name) {
            Ok(key) => Ok((key, value)),
            Err(error) => Err(StoreError::corrupt(&self.path, format!("name {name}: {error}"))),
        };
        self.rows(query)?.into_iter().map(keyed).collect()
    }
}

impl Catalog for SqliteCatalog {
    fn load(&mut self) -> Result<CatalogState> {
        let missing = |name: &str| StoreError::corrupt(&self.path, format!("{name} is missing"));
        let state = CatalogState {
            store_id: self.mark("store_id")?.ok_or_else(|| missing("store_id"))?,
            generation: self.mark("generation")?.ok_or_else(|| missing("generation"))?,
            marks: self.mark("marks")?.unwrap_or_default(),
            segments: self
                .rows("SELECT CAST(id AS TEXT), value, crc FROM segments ORDER BY id")?
                .into_iter()
                .map(|(_, segment)| segment)
                .collect(),
            senders: self.keyed("SELECT name, value, crc FROM senders ORDER BY name")?,
            agents: self.keyed("SELECT name, value, crc FROM agents ORDER BY name")?,
            deletes: self
                .rows("SELECT CAST(id AS TEXT), value, crc FROM deletes ORDER BY id")?
                .into_iter()
                .map(|(_, delete)| delete)
                .collect(),
            quarantined: self
                .rows("SELECT CAST(id AS TEXT), value, crc FROM quarantined ORDER BY id")?
                .into_iter()
                .map(|(_, segment)| segment)
                .collect(),
        };
        match self.mark::<usize>("segment_count")? {
            Some(count) if count != state.segments.len() => Err(StoreError::corrupt(
                &self.path,
                format!("{} segments are listed, {count} should be", state.segments.len()),
            )),
            _ => Ok(state),
        }
    }

    fn apply(&mut self, change: &CatalogChange) -> Result<()> {
        let transaction = self.connection.transaction().map_err(StoreError::catalog("change"))?;
        apply_in(&transaction, change)?;
        failpoint::check("catalog.in_transaction").map_err(StoreError::catalog("change"))?;
        transaction.commit().map_err(StoreError::catalog("change"))
    }

    fn copy_to(&mut self, path: &Path) -> Result<()> {
        let text = path.to_str().ok_or("its path is no text");
        let text = text.map_err(StoreError::catalog("copy"))?;
        match self.connection.execute("VACUUM INTO ?1", [text]) {
            Ok(_) => Ok(()),
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DiskFull) => {
                Err(StoreError::Full { path: path.to_owned() })
            }
            Err(error) => Err(StoreError::catalog("copy")(error)),
        }
    }
}

fn apply_in(transaction: &Transaction<'_>, change: &CatalogChange) -> Result<()> {
    let changed = StoreError::catalog::<rusqlite::Error>;
    for id in &change.remove {
        transaction
            .execute("DELETE FROM segments WHERE id = ?1", [id.0.cast_signed()])
            .map_err(changed("change"))?;
    }
    for segment in &change.add {
        let value = to_json(segment)?;
        let crc = checksum(&segment.id.0.to_string(), &value);
        transaction
            .execute(
                "INSERT INTO segments(id, value, crc) VALUES (?1, ?2, ?3)",
                params![segment.id.0.cast_signed(), value, crc],
            )
            .map_err(changed("change"))?;
    }
    put_rows(
        transaction,
        "DELETE FROM senders WHERE name = ?1",
        "INSERT OR REPLACE INTO senders(name, value, crc) VALUES (?1, ?2, ?3)",
        &change.senders.senders,
    )?;
    put_rows(
        transaction,
        "DELETE FROM agents WHERE name = ?1",
        "INSERT OR REPLACE INTO agents(name, value, crc) VALUES (?1, ?2, ?3)",
        &change.senders.agents,
    )?;
    put_rows(
        transaction,
        "DELETE FROM deletes WHERE id = ?1",
        "INSERT OR REPLACE INTO deletes(id, value, crc) VALUES (?1, ?2, ?3)",
        &change.deletes,
    )?;
    put_rows(
        transaction,
        "DELETE FROM quarantined WHERE id = ?1",
        "INSERT OR REPLACE INTO quarantined(id, value, crc) VALUES (?1, ?2, ?3)",
        &change.quarantined,
    )?;
    let count: i64 = transaction
        .query_row("SELECT count(*) FROM segments", [], |row| row.get(0))
        .map_err(changed("change"))?;
    put_mark(transaction, "segment_count", &count)?;
    put_mark(transaction, "marks", &change.marks)
}

/// Writes the rows that are there and deletes those that are gone.
fn put_rows<K: Serialize, V: Serialize>(
    transaction: &Transaction<'_>,
    delete: &str,
    insert: &str,
    rows: &BTreeMap<K, Option<V>>,
) -> Result<()> {
    let mut delete = transaction.prepare(delete).map_err(StoreError::catalog("change"))?;
    let mut insert = transaction.prepare(insert).map_err(StoreError::catalog("change"))?;
    for (key, value) in rows {
        let name = to_json(key)?;
        let done = match value {
            None => delete.execute([name]),
            Some(value) => {
                let value = to_json(value)?;
                let crc = checksum(&name, &value);
                insert.execute(params![name, value, crc])
            }
        };
        done.map_err(StoreError::catalog("change"))?;
    }
    Ok(())
}

/// A damaged database is told from one that cannot be read now.
fn failed(action: &'static str, path: &Path, error: rusqlite::Error) -> StoreError {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    match error.sqlite_error_code() {
        // Without a code it is a value that cannot be what was written.
        None | Some(DatabaseCorrupt | NotADatabase) => StoreError::corrupt(path, error.to_string()),
        Some(_) => StoreError::catalog(action)(error),
    }
}

fn put_mark(connection: &Connection, name: &str, value: &impl Serialize) -> Result<()> {
    let value = to_json(value)?;
    let crc = checksum(name, &value);
    connection
        .execute(
            "INSERT OR REPLACE INTO marks(name, value, crc) VALUES (?1, ?2, ?3)",
            params![name, value, crc],
        )
        .map(|_| ())
        .map_err(StoreError::catalog("change"))
}

fn to_json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(StoreError::catalog("change"))
}

fn checksum(name: &str, value: &str) -> u32 {
    let crc = crc32c::crc32c(name.as_bytes());
    let crc = crc32c::crc32c_append(crc, &[0]);
    crc32c::crc32c_append(crc, value.as_bytes())
}
