//! Accounts as they are kept. Each write of a user is told as a change of its row, by id and state, never by what is in
//! it.

use std::path::Path;

use rusqlite::{OptionalExtension, Row, Transaction, named_params};
use service::semantics::database::{DELETE, INSERT, UPDATE};

use super::interface::Profile;
use crate::kit::clock::now_s;
use crate::kit::database::{Database, DatabaseError};
use crate::kit::identity::{CUSTOMER, OPERATOR, random_hex};
use crate::kit::rows;

const TABLES: &str = "
CREATE TABLE users (
    id TEXT PRIMARY KEY,
    email TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    -- argon2id, in the PHC string format
    password TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('customer', 'operator')),
    state TEXT NOT NULL CHECK (state IN ('active', 'deactivated')),
    version INTEGER NOT NULL,
    -- seconds since 1970
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
";

#[derive(Clone)]
pub(super) struct Accounts {
    database: Database,
}

/// A row.
pub(super) struct Account {
    pub(super) id: String,
    pub(super) email: String,
    pub(super) name: String,
    pub(super) password: String,
    pub(super) role: String,
    pub(super) state: String,
    pub(super) version: i64,
    pub(super) created_at: i64,
}

impl Account {
    fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get("id")?,
            email: row.get("email")?,
            name: row.get("name")?,
            password: row.get("password")?,
            role: row.get("role")?,
            state: row.get("state")?,
            version: row.get("version")?,
            created_at: row.get("created_at")?,
        })
    }

    pub(super) fn is_active(&self) -> bool {
        self.state == "active"
    }

    pub(super) fn into_profile(self) -> Profile {
        let Self { id, email, name, role, state, created_at, .. } = self;
        Profile { id, email, name, roles: vec![role], state, created_at }
    }
}

impl Accounts {
    pub(super) async fn open(file: &Path) -> anyhow::Result<Self> {
        Ok(Self { database: Database::open(file, &[TABLES]).await? })
    }

    /// A new customer; `None` if the address is taken.
    pub(super) async fn add(
        &self,
        email: String,
        name: String,
        password: String,
    ) -> Result<Option<Account>, DatabaseError> {
        let insert =
            "INSERT INTO users VALUES (:id, :email, :name, :password, :role, 'active', 1, :now)
            ON CONFLICT (email) DO NOTHING RETURNING *";
        let add = move |tx: &Transaction<'_>| {
            let values = named_params! {
                ":id": new_id(), ":email": email, ":name": name, ":password": password,
                ":role": CUSTOMER, ":now": now_s(),
            };
            tx.prepare_cached(insert)?.query_one(values, Account::of).optional()
        };
        let added = self.database.run(add).await?;
        added.iter().for_each(|account| changed(INSERT, account));
        Ok(added)
    }

    /// The operator, with this password from now on.
    pub(super) async fn seed_operator(
        &self,
        email: &'static str,
        password: String,
    ) -> Result<(), DatabaseError> {
        let upsert = "INSERT INTO users VALUES (:id, :email, 'Operator', :password, :role, 'active', 1, :now)
            ON CONFLICT (email) DO UPDATE SET password = excluded.password, role = excluded.role,
                state = excluded.state, version = version + 1";
        let seed = move |tx: &Transaction<'_>| {
            let values = named_params! {
                ":id": new_id(), ":email": email, ":password": password, ":role": OPERATOR,
                ":now": now_s(),
            };
            tx.execute(upsert, values)
        };
        self.database.run(seed).await.map(drop)
    }

    /// The operator of an earlier start, if there was one, cannot log in any more.
    pub(super) async fn retire_operator(&self, email: &'static str) -> Result<(), DatabaseError> {
        let update = "UPDATE users SET state = 'deactivated', version = version + 1
            WHERE email = ? AND state = 'active'";
        self.database.run(move |tx| tx.execute(update, [email])).await.map(drop)
    }

    pub(super) async fn by_id(&self, id: String) -> Result<Option<Account>, DatabaseError> {
        self.one("SELECT * FROM users WHERE id = ?", id).await
    }

    pub(super) async fn by_email(&self, email: String) -> Result<Option<Account>, DatabaseError> {
        self.one("SELECT * FROM users WHERE email = ?", email).await
    }

    pub(super) async fn rename(
        &self,
        id: String,
        name: String,
    ) -> Result<Option<Account>, DatabaseError> {
        let update = "UPDATE users SET name = ?2, version = version + 1 WHERE id = ?1 RETURNING *";
        let rename = move |tx: &Transaction<'_>| {
            tx.prepare_cached(update)?.query_one([id, name], Account::of).optional()
        };
        let renamed = self.database.run(rename).await?;
        renamed.iter().for_each(|account| changed(UPDATE, account));
        Ok(renamed)
    }

    /// The account, which is deactivated now or was so before.
    pub(super) async fn deactivate(&self, id: String) -> Result<Option<Account>, DatabaseError> {
        let update = "UPDATE users SET state = 'deactivated', version = version + 1
            WHERE id = ? AND state = 'active' RETURNING *";
        let updated = self.one(update, id.clone()).await?;
        updated.iter().for_each(|account| changed(UPDATE, account));
        match updated {
            None => self.by_id(id).await,
            updated => Ok(updated),
        }
    }

    pub(super) async fn remove(&self, id: String) -> Result<Option<Account>, DatabaseError> {
        let removed = self.one("DELETE FROM users WHERE id = ? RETURNING *", id).await?;
        removed.iter().for_each(|account| changed(DELETE, account));
        Ok(removed)
    }

    /// The row of a statement with one parameter.
    async fn one(
        &self,
        statement: &'static str,
        parameter: String,
    ) -> Result<Option<Account>, DatabaseError> {
        let one = move |tx: &Transaction<'_>| {
            tx.prepare_cached(statement)?.query_one([parameter], Account::of).optional()
        };
        self.database.run(one).await
    }
}

/// Not from the shop's seed: that draws the same again when the shop is opened again, and the accounts are still there.
fn new_id() -> String {
    format!("u-{}", random_hex(8))
}

/// After the commit.
fn changed(operation: &str, account: &Account) {
    let state = (operation != DELETE).then_some(account.state.as_str());
    let (key, version) = (account.id.as_str(), Some(account.version));
    let (database, table) = ("users", "users");
    rows::changed(rows::Row { database, table, operation, key, version, state, message: None });
}
