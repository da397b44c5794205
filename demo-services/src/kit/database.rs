//! A database that belongs to one instance of one service: a SQLite file that no other process can read while it runs.
//!
//! One thread has the connection and does one piece of work after the other, each in a transaction of its own. So a
//! piece of work sees no other's half, and a service's runtime never waits for a disk. `locking_mode=EXCLUSIVE` keeps
//! the lock from the first access on; with it the index of the write-ahead log is in memory, and there is no file that
//! another process could share. `synchronous=NORMAL` keeps everything through a kill of the process, and may lose the
//! last transactions if the machine goes down.

use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use axum::http::StatusCode;
use rusqlite::types::Type;
use rusqlite::{Connection, Row, Transaction, TransactionBehavior};
use serde::de::DeserializeOwned;
use service::http::ErrorResponse;
use thiserror::Error;
use tokio::sync::oneshot;

/// Pieces of work that may wait; whoever comes then is refused.
const WAITING_MAX: usize = 1_024;

/// Why a piece of work was not done. Nothing of it is in the database then.
#[derive(Debug, Error)]
pub(crate) enum DatabaseError {
    /// SQLite refused.
    #[error("the database refused: {source}")]
    Sqlite {
        #[from]
        source: rusqlite::Error,
    },
    /// Too much was waiting already.
    #[error("the database has {WAITING_MAX} pieces of work waiting; try again later")]
    Busy,
    /// The thread is gone, or died in this piece of work.
    #[error("the database is closed")]
    Closed,
}

impl From<DatabaseError> for ErrorResponse {
    fn from(error: DatabaseError) -> Self {
        if matches!(error, DatabaseError::Busy) {
            let message = "too many changes are waiting; try again later";
            return Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", message)
                .retry_after(Duration::from_secs(1));
        }
        tracing::error!(%error, "the database failed");
        // Not what SQLite says: that is nothing for whoever asked.
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the database failed")
    }
}

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// Cheap to clone; the last one closes the file.
#[derive(Clone, Debug)]
pub(crate) struct Database {
    jobs: mpsc::SyncSender<Job>,
}

impl Database {
    /// Opens the file, which is made if absent, and brings it to its newest form: `migrations` are SQL scripts, each of
    /// which is run once, in order. One that was published is never changed; the next one is added behind it.
    ///
    /// # Errors
    /// The file cannot be opened, another process has it, it is of a newer form, or a migration failed.
    pub(crate) async fn open(
        file: &Path,
        migrations: &'static [&'static str],
    ) -> anyhow::Result<Self> {
        let (jobs, work) = mpsc::sync_channel::<Job>(WAITING_MAX);
        let (sender, opened) = oneshot::channel();
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let file = file.to_owned();
        // Opened there too: a predecessor that is about to end may have the lock still, and is waited for.
        thread::Builder::new().name(format!("db-{name}")).spawn(move || {
            let mut connection = match connect(&file, migrations) {
                Ok(connection) => connection,
                // Whoever asked may have gone.
                Err(error) => return drop(sender.send(Err(error))),
            };
            if sender.send(Ok(())).is_ok() {
                work.into_iter().for_each(|job| job(&mut connection));
            }
        })?;
        opened.await.map_err(|_| DatabaseError::Closed)??;
        Ok(Self { jobs })
    }

    /// Does a piece of work in a transaction, and commits it if the work succeeds. It is not begun if this is dropped before.
    ///
    /// # Errors
    /// The work's own, or why it was not done.
    pub(crate) async fn write<T, E>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DatabaseError> + Send + 'static,
    {
        let (sender, outcome) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            // Whoever asked has gone before it was begun: nobody would hear of it.
            if sender.is_closed() {
                return;
            }
            let done = in_transaction(connection, work);
            // Or goes meanwhile; what is done is done.
            let _ = sender.send(done);
        });
        self.jobs.try_send(job).map_err(|error| match error {
            mpsc::TrySendError::Full(_) => DatabaseError::Busy,
            mpsc::TrySendError::Disconnected(_) => DatabaseError::Closed,
        })?;
        outcome.await.map_err(|_| DatabaseError::Closed)?
    }

    /// As [`Database::write`], for work that cannot fail but for the database.
    ///
    /// # Errors
    /// Why it was not done.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, DatabaseError> {
        self.write(move |transaction| work(transaction).map_err(DatabaseError::from)).await
    }
}

/// A column that holds JSON.
pub(crate) fn json_of<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    serde_json::from_str(row.get_ref(column)?.as_str()?).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
    })
}

fn in_transaction<T, E: From<DatabaseError>>(
    connection: &mut Connection,
    work: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
) -> Result<T, E> {
    // Immediate, so that there is nothing left that could be refused for a lock.
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(DatabaseError::from)?;
    let done = work(&transaction)?;
    transaction.commit().map_err(DatabaseError::from)?;
    Ok(done)
}

fn connect(file: &Path, migrations: &[&str]) -> anyhow::Result<Connection> {
    let mut connection = Connection::open(file)?;
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.set_prepared_statement_cache_capacity(64);
    migrate(&mut connection, migrations)?;
    Ok(connection)
}

fn migrate(connection: &mut Connection, migrations: &[&str]) -> anyhow::Result<()> {
    let version: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let version = version as usize;
    anyhow::ensure!(
        version <= migrations.len(),
        "the database is of form {version}, this program knows {} forms; use a newer one",
        migrations.len()
    );
    for (number, script) in migrations.iter().enumerate().skip(version) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(script)?;
        transaction.pragma_update(None, "user_version", u32::try_from(number + 1)?)?;
        transaction.commit()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "CREATE TABLE numbers (number INTEGER PRIMARY KEY) STRICT;";

    async fn open(folder: &tempfile::TempDir) -> anyhow::Result<Database> {
        Database::open(&folder.path().join("numbers.db"), &[TABLE]).await
    }

    async fn insert(database: &Database, number: i64) -> Result<usize, DatabaseError> {
        database.run(move |tx| tx.execute("INSERT INTO numbers VALUES (?)", [number])).await
    }

    async fn count(database: &Database) -> i64 {
        let count = |tx: &Transaction<'_>| {
            tx.query_row("SELECT count(*) FROM numbers", [], |row| row.get(0))
        };
        database.run(count).await.unwrap()
    }

    #[tokio::test]
    async fn work_that_fails_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let database = open(&folder).await.unwrap();
        insert(&database, 1).await.unwrap();
        let failed = database.run(|tx| {
            tx.execute("INSERT INTO numbers VALUES (2)", [])?;
            tx.execute("INSERT INTO numbers VALUES (1)", [])
        });
        assert!(matches!(failed.await, Err(DatabaseError::Sqlite { .. })));
        assert_eq!(count(&database).await, 1);
    }

    #[tokio::test]
    async fn nobody_else_can_read_it_while_it_is_open() {
        let folder = tempfile::tempdir().unwrap();
        let database = open(&folder).await.unwrap();
        insert(&database, 1).await.unwrap();
        // A connection of its own locks as another process would.
        let other = Connection::open(folder.path().join("numbers.db")).unwrap();
        other.busy_timeout(std::time::Duration::ZERO).unwrap();
        let read = other.query_row("SELECT count(*) FROM numbers", [], |row| row.get::<_, i64>(0));
        let error = read.unwrap_err();
        assert_eq!(error.sqlite_error_code(), Some(rusqlite::ErrorCode::DatabaseBusy), "{error}");
    }

    #[tokio::test]
    async fn a_database_goes_on_where_it_was_and_a_newer_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("numbers.db");
        let first = Database::open(&file, &[TABLE]).await.unwrap();
        insert(&first, 1).await.unwrap();
        drop(first);
        // The thread closes the file a moment after the last one is dropped.
        let second = loop {
            match Database::open(&file, &[TABLE, "INSERT INTO numbers VALUES (7);"]).await {
                Ok(database) => break database,
                Err(error) => assert!(error.to_string().contains("locked"), "{error}"),
            }
        };
        assert_eq!(count(&second).await, 2);
        drop(second);
        let error = loop {
            match open(&folder).await {
                Err(error) if error.to_string().contains("locked") => {}
                outcome => break outcome.unwrap_err().to_string(),
            }
        };
        assert!(error.contains("form 2"), "{error}");
    }
}
