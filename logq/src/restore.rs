//! `logq restore` and `logq backup --verify`: what is done with a backup without a server.

use std::path::Path;

use anyhow::Result;
use indicatif::HumanBytes;
use store::Ledger;
use store::backup::{BackupError, Checked, Restored, check_backup, restore};

use crate::arguments::Restore;
use crate::exit::Exit;
use crate::ship::progress_bar;

pub(crate) fn run(arguments: &Restore) -> Result<Exit> {
    let bar = progress_bar();
    let restored = restore(&arguments.folder, &arguments.data, &mut |bytes, all| {
        bar.set_length(all);
        bar.inc(bytes);
    });
    bar.finish_and_clear();
    let Restored { manifest, generation } = match restored {
        Ok(restored) => restored,
        Err(error) => return Ok(failed(&error)),
    };
    println!(
        "restored store {} from its backup at {} (generation {})",
        manifest.store_id, manifest.created_at, manifest.generation
    );
    println!("generation              {generation:>16}");
    println!(
        "records                 {:>16} in {} segments, {}",
        manifest.ledger.indexed,
        manifest.segments,
        HumanBytes(manifest.bytes())
    );
    print_ledger(&manifest.ledger);
    println!("start it with `logq up --data {}`", arguments.data.display());
    Ok(Exit::Success)
}

pub(crate) fn verify(folder: &Path) -> Result<Exit> {
    let bar = progress_bar();
    let checked = check_backup(folder, &mut |bytes, all| {
        bar.set_length(all);
        bar.inc(bytes);
    });
    bar.finish_and_clear();
    let Checked { manifest, faults, .. } = match checked {
        Ok(checked) => checked,
        Err(error) => return Ok(failed(&error)),
    };
    println!(
        "backup of store {} generation {} at {}",
        manifest.store_id, manifest.generation, manifest.created_at
    );
    println!(
        "records                 {:>16} in {} segments",
        manifest.ledger.indexed, manifest.segments
    );
    println!(
        "files                   {:>16} {}",
        manifest.files.len(),
        HumanBytes(manifest.bytes())
    );
    print_ledger(&manifest.ledger);
    if faults.is_empty() {
        println!("every checksum fits");
        return Ok(Exit::Success);
    }
    faults.iter().for_each(|fault| eprintln!("logq: {fault}"));
    eprintln!("logq: run `logq backup` into it again: it copies anew what is damaged");
    Ok(Exit::Failure)
}

/// The store's account, as `logq audit` words it.
pub(crate) fn print_ledger(ledger: &Ledger) {
    let counters = &ledger.counters;
    for (name, count) in [
        ("received", ledger.received),
        ("  duplicate", counters.duplicate),
        ("  rejected", counters.rejected_total()),
        ("  accepted", counters.accepted),
        ("accepted", counters.accepted),
        ("  indexed", ledger.indexed),
        ("  expired", counters.expired),
        ("  quarantined", counters.quarantined),
        ("senders", ledger.senders),
    ] {
        println!("{name:<24}{count:>16}");
    }
    match ledger.missing() {
        _ if ledger.adds_up() => println!("adds up"),
        missing => println!(
            "DOES NOT ADD UP: {missing} records are missing, as in the store that it is of"
        ),
    }
}

/// Says what is wrong with a folder.
pub(crate) fn failed(error: &BackupError) -> Exit {
    eprintln!("logq: {error}");
    if error.is_usage() { Exit::Usage } else { Exit::Failure }
}
