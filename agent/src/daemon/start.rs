//! From a state folder to an agent that knows who it is.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use file_system::{FileSystem, RealFileSystem};
use record::Timestamp;
use spool::{Front, SpoolOptions};

use super::AgentError;
use super::dead_letters::{DeadLetter, DeadLetters, letter_id};
use super::durable::Durable;
use super::identity::{self, Found, Place};
use super::options::AgentOptions;
use super::reports::{self, EpochReason};
use super::state::{Epoch, Note, Settled};

/// What is found in a state folder, or made there.
pub(super) struct Opened {
    pub(super) agent: String,
    pub(super) durable: Durable,
    pub(super) dead_letters: DeadLetters,
    pub(super) lock: File,
}

/// Opens the state folder and finds out who this agent is. What has to be said about that is in the durable state
/// before anything else happens.
pub(super) fn open(options: &AgentOptions) -> Result<Opened, AgentError> {
    let state = options.state.as_path();
    let failed = |source| AgentError::State { path: state.to_owned(), source };
    // What logs say is not for everybody.
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(state).map_err(failed)?;
    let lock = lock(state)?;
    let fs: Arc<dyn FileSystem> = Arc::new(RealFileSystem);
    let folder = state.join("spool");
    let dead_letters = DeadLetters::open(Arc::clone(&fs), state, options.dead_letters_bytes_max)
        .map_err(failed)?;
    let spool_options =
        SpoolOptions { bytes_max: options.spool_bytes_max, ..SpoolOptions::default() };
    let (durable, opening) = Durable::open(Arc::clone(&fs), &folder, spool_options)?;
    for damage in &opening.damaged {
        tracing::error!(damage = reports::damage_text(damage), "the spool was damaged");
        let say = vec![reports::spool_damaged(damage)];
        durable.append(&Note { say, ..Note::default() }, None)?;
    }
    let place = Place::of(&folder, durable.spool_id()).map_err(failed)?;
    let (identity, found) =
        identity::establish(&fs, state, &place, opening.created, &options.host).map_err(failed)?;
    let untouched = durable.with_state(|state| state.epoch.id.is_empty() && state.ledger.read == 0);
    let found = match found {
        // A crash came between making the spool and the identity.
        Found::Cloned { .. } if untouched && !state.join("identity.json").exists() => Found::New,
        found => found,
    };
    begin(&durable, &dead_letters, &found, opening.rewound)?;
    if found != Found::Same {
        identity::keep(&fs, state, &identity).map_err(failed)?;
    }
    Ok(Opened { agent: identity.agent, durable, dead_letters, lock })
}

/// Begins an epoch where one has to begin.
fn begin(
    durable: &Durable,
    dead_letters: &DeadLetters,
    found: &Found,
    rewound: bool,
) -> Result<(), AgentError> {
    let has_epoch = durable.with_state(|state| !state.epoch.id.is_empty());
    let id = identity::random_id();
    let say = match found {
        Found::Same if has_epoch && rewound => reports::epoch_began(&id, EpochReason::SpoolRewound),
        Found::Same if has_epoch => return Ok(()),
        Found::Same | Found::New => reports::epoch_began(&id, EpochReason::New),
        Found::SpoolLost => reports::epoch_began(&id, EpochReason::SpoolLost),
        Found::Cloned { former } => {
            let (batches, records) = set_aside(durable, dead_letters, former)?;
            reports::epoch_began(&id, EpochReason::Cloned { former, batches, records })
        }
    };
    // What is in the spool is sent again under the new names.
    let first_number = durable.front_number();
    let epoch = Epoch { id, first_number, ..Epoch::default() };
    durable.append(&Note { epoch: Some(epoch), say: vec![say], ..Note::default() }, None)?;
    Ok(())
}

/// Makes dead letters of all batches of a copied spool: the agent that it was copied from may ship them.
fn set_aside(
    durable: &Durable,
    dead_letters: &DeadLetters,
    former: &str,
) -> Result<(u64, u64), AgentError> {
    let (mut batches, mut records) = (0, 0);
    let epoch = durable.with_state(|state| state.epoch.clone());
    loop {
        let (number, note, payload) = match durable.front()? {
            Some(Front::Batch { number, note, payload }) => (number, note, payload),
            Some(damaged @ Front::Damaged { .. }) => {
                let note = Note { settled: Some(Settled::Damaged), ..Note::default() };
                durable.settle(damaged.last(), &note)?;
                continue;
            }
            None => break,
        };
        let note: Note = serde_json::from_slice(&note).unwrap_or_default();
        let letter = DeadLetter {
            id: letter_id(&durable.spool_id(), number),
            agent: former.to_owned(),
            epoch: epoch.id.clone(),
            sequence: number.saturating_sub(epoch.first_number),
            records: note.records,
            spans: note.spans,
            status: 0,
            message: format!("not sent: {former}, which this was copied from, may ship it"),
            at: Timestamp::now().to_string(),
        };
        dead_letters
            .keep(&letter, &payload)
            .map_err(|source| AgentError::State { path: "dead-letters".into(), source })?;
        let settled =
            Note { records: note.records, settled: Some(Settled::DeadLettered), ..Note::default() };
        durable.settle(number, &settled)?;
        (batches, records) = (batches + 1, records + note.records);
    }
    durable.sync()?;
    Ok((batches, records))
}

/// Makes sure that this process alone has the state folder.
pub(crate) fn lock(state: &Path) -> Result<File, AgentError> {
    let path = state.join("LOCK");
    let failed = |source| AgentError::State { path: state.to_owned(), source };
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(failed)?;
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(AgentError::Locked { path: state.to_owned() }),
        Err(error) => Err(failed(io::Error::from(error))),
    }
}
