//! Who this agent is: an id that is its own for as long as its state folder is where it was made.
//!
//! The id is bound to the machine's id and to the device and inode of the spool's folder. A copy of the folder,
//! or of the whole disk, is another agent: two of one name would have their batches taken for each other's.
//!
//! ```text
//! STATE/identity.json   agent, machine, device, inode, spool, made
//! ```

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use file_system::{FileSystem, write_whole};
use record::Timestamp;
use serde::{Deserialize, Serialize};

const FILE: &str = "identity.json";
const MACHINE_ID: &str = "/etc/machine-id";

/// What is kept in the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    /// The agent's id, in every batch name.
    pub(crate) agent: String,
    machine: String,
    device: u64,
    inode: u64,
    /// The spool's own id, hex.
    spool: String,
    made: String,
}

/// What is found at a start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// The same agent on the same spool.
    Same,
    /// Nobody was here before.
    New,
    /// The agent was here, its spool was not.
    SpoolLost,
    /// A spool, and perhaps an agent, that came from elsewhere.
    Cloned { former: String },
}

/// Where a state folder is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) machine: String,
    pub(crate) device: u64,
    pub(crate) inode: u64,
    pub(crate) spool: String,
}

impl Place {
    /// Looks where the spool's folder is.
    ///
    /// # Errors
    /// The folder cannot be looked at.
    pub(crate) fn of(spool_folder: &Path, spool: String) -> io::Result<Self> {
        let metadata = std::fs::metadata(spool_folder)?;
        // Not every container has one; then the folder alone has to tell.
        let machine = std::fs::read_to_string(MACHINE_ID).unwrap_or_default().trim().to_owned();
        Ok(Self { machine, device: metadata.dev(), inode: metadata.ino(), spool })
    }
}

/// Finds out who this is, and makes a new identity where there is none or another one's.
///
/// # Errors
/// The file cannot be read or written, or is no identity.
pub(crate) fn establish(
    fs: &Arc<dyn FileSystem>,
    state: &Path,
    place: &Place,
    spool_created: bool,
    host: &str,
) -> io::Result<(Identity, Found)> {
    let known = read(fs, state)?;
    let (agent, found) = decide(known.as_ref(), place, spool_created);
    let identity = Identity {
        agent: agent.unwrap_or_else(|| new_agent_id(host)),
        machine: place.machine.clone(),
        device: place.device,
        inode: place.inode,
        spool: place.spool.clone(),
        made: Timestamp::now().to_string(),
    };
    if found == Found::Same
        && let Some(known) = known
    {
        return Ok((known, found));
    }
    Ok((identity, found))
}

/// Makes an identity durable. What follows from it has to be durable before: a crash between the two must find
/// the same again.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn keep(fs: &Arc<dyn FileSystem>, state: &Path, identity: &Identity) -> io::Result<()> {
    let content = serde_json::to_vec_pretty(identity).map_err(io::Error::other)?;
    write_whole(&**fs, state, FILE, &content)?;
    fs.sync_folder(state)
}

fn read(fs: &Arc<dyn FileSystem>, state: &Path) -> io::Result<Option<Identity>> {
    let path = state.join(FILE);
    match fs.read(&path) {
        Ok(content) => serde_json::from_slice(&content).map(Some).map_err(|error| {
            io::Error::other(format!(
                "{} is no identity ({error}); remove it to begin as a new agent",
                path.display()
            ))
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The id to keep, if it can be kept, and what was found.
fn decide(known: Option<&Identity>, place: &Place, spool_created: bool) -> (Option<String>, Found) {
    let Some(known) = known else {
        let found = match spool_created {
            true => Found::New,
            false => Found::Cloned { former: "unknown".to_owned() },
        };
        return (None, found);
    };
    // The machine tells of a cloned disk even if the spool on it was removed.
    if !known.machine.is_empty() && !place.machine.is_empty() && known.machine != place.machine {
        return (None, Found::Cloned { former: known.agent.clone() });
    }
    if spool_created {
        return (Some(known.agent.clone()), Found::SpoolLost);
    }
    let same =
        (known.device, known.inode, &known.spool) == (place.device, place.inode, &place.spool);
    match same {
        true => (Some(known.agent.clone()), Found::Same),
        false => (None, Found::Cloned { former: known.agent.clone() }),
    }
}

/// The host's name and some chance.
fn new_agent_id(host: &str) -> String {
    let sound = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
    let host: String = host.chars().map(sound).take(64).collect();
    let id = &random_id()[..8];
    if host.is_empty() { id.to_owned() } else { format!("{host}-{id}") }
}

/// 16 hex digits of chance.
pub(crate) fn random_id() -> String {
    // Without random numbers the clock is what is left to tell two starts apart.
    let number = getrandom::u64().unwrap_or_else(|_| Timestamp::now().0 as u64);
    format!("{number:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(machine: &str, inode: u64, spool: &str) -> Place {
        Place { machine: machine.into(), device: 1, inode, spool: spool.into() }
    }

    fn known() -> Identity {
        Identity {
            agent: "a".into(),
            machine: "m".into(),
            device: 1,
            inode: 5,
            spool: "s".into(),
            made: String::new(),
        }
    }

    #[test]
    fn a_copy_is_another_agent_and_a_lost_spool_is_not() {
        let cloned = || Found::Cloned { former: "a".into() };
        let same = Some("a".to_owned());
        for (place, created, expected) in [
            (place("m", 5, "s"), false, (same.clone(), Found::Same)),
            (place("m", 6, "t"), true, (same, Found::SpoolLost)),
            (place("m", 6, "s"), false, (None, cloned())),
            (place("m", 5, "t"), false, (None, cloned())),
            (place("n", 5, "s"), false, (None, cloned())),
            (place("n", 5, "t"), true, (None, cloned())),
        ] {
            assert_eq!(decide(Some(&known()), &place, created), expected, "{place:?} {created}");
        }
        assert_eq!(decide(None, &place("m", 5, "s"), true), (None, Found::New));
        assert!(matches!(decide(None, &place("m", 5, "s"), false), (None, Found::Cloned { .. })));
    }

    #[test]
    fn ids_can_be_sent_in_headers() {
        let id = new_agent_id("hôst name!");
        assert!(id.starts_with("h-st-name--"), "{id}");
        assert!(id.is_ascii() && id.len() <= wire::BatchName::AGENT_BYTES_MAX);
    }
}
