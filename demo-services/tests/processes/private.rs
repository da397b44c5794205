//! A database belongs to one process: nobody else reads it while that runs, and its successor waits until it is gone.

use std::fs;

use demo_services::CARD_GOOD;
use tokio::process::Command;

use super::asking::{new_key, order_of};
use super::shop::{EVERYBODY, Shop, until};

const READ: &str = "
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], timeout=0)
print(connection.execute('SELECT count(*) FROM sqlite_schema').fetchone())
";

/// What Python says when it reads a database; nothing where there is no Python.
async fn read(file: &std::path::Path) -> Option<String> {
    let mut python = Command::new("python3");
    let output = python.arg("-c").arg(READ).arg(file).kill_on_drop(true).output().await;
    match output {
        Ok(output) if output.status.success() => {
            Some(String::from_utf8_lossy(&output.stdout).into_owned())
        }
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            Some(said.lines().last().unwrap_or_default().to_owned())
        }
        Err(error) => {
            assert!(std::env::var("CI").is_err(), "python3 has to be there: {error}");
            eprintln!("SKIPPED: no other process reads the databases, since python3: {error}");
            None
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_other_process_reads_a_database_while_its_service_runs() {
    let mut shop = Shop::open(&EVERYBODY).await;
    let services =
        ["broker", "catalog", "inventory", "payments", "shipping", "notifications", "orders"];
    for service in services {
        let file = shop.data().join(format!("{service}-1/{service}.db"));
        assert!(file.is_file(), "{} is not there", file.display());
        let Some(said) = read(&file).await else { return };
        assert_eq!(said, "sqlite3.OperationalError: database is locked", "{service}");
    }
    // One that was killed leaves a file that can be read: what kept others away was its lock.
    shop.kill("payments-1").await;
    let said = read(&shop.data().join("payments-1/payments.db")).await.unwrap();
    assert!(said.starts_with('('), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_started_while_its_predecessor_ends_waits_for_the_database() {
    let mut shop = Shop::open(&EVERYBODY).await;
    for id in ["inventory-1", "orders-1", "broker-1", "notifications-1"] {
        let successor = shop.begin(id, &[]);
        let process = successor.id().unwrap();
        let (service, _) = id.rsplit_once('-').unwrap();
        let database = shop.data().join(format!("{id}/{service}.db"));
        until("it is at the lock", async || {
            let mut files = fs::read_dir(format!("/proc/{process}/fd")).ok()?.flatten();
            files
                .any(|file| fs::read_link(file.path()).is_ok_and(|to| to == database))
                .then_some(())
        })
        .await;
        shop.kill(id).await;
        shop.ready(id, successor).await;
    }
    shop.found().await;
    let end = shop.ended(&new_key(), &order_of("cup", CARD_GOOD)).await;
    assert_eq!(end.ledger, "authorise capture", "{end:?}");
    shop.check().await;
}
