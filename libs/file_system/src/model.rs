//! A file system in memory that fails, tears and forgets, for tests of durable state.
//!
//! Everything it does follows from its seed and from the operations asked of it. Every call of a trait's
//! method is one operation, reads too, counted from 1; [`ModelFileSystem::plan`] lets the n-th one fail, or
//! lets the machine or the process die in it.
//!
//! ```text
//! file    = content   what reads see
//!         + durable   what is on the disk for certain
//!         + versions  of each 512-byte sector written since the last sync, oldest first
//! folder  = names that reads see + names that are durable + changes since the last sync of the folder
//! ```
//!
//! * **A write that fails** has arrived as any prefix, or as any subset of its sectors.
//! * **A sync that fails** has taken any subset of the sectors to the disk. The others count as clean from
//!   then on: no later sync writes them, unless they are written again. Reads may go on to see them, until
//!   the machine dies, or may not.
//! * **A rename or a removal that fails** has happened, or has not.
//! * **The machine dies** ([`Fault::Crash`]): of each unsynced sector the durable or any later version
//!   survives; of the length the durable or the newest; of the changes of names any prefix or any subset.
//!   What survived is durable, and all that the next process sees.
//! * **The process dies** ([`Fault::Kill`]): all that reads saw stays, and is no more durable than before.
//! * After either, every operation fails until [`restart`](ModelFileSystem::restart), and handles of before
//!   it fail for ever.
//! * A sector is written whole or not at all, and folders are durable when they are made: simpler than truth.

mod node;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{FileReader, FileSystem, JournalFile};
use node::{Node, Random, sectors};

/// The unit that a disk writes whole.
pub const SECTOR_BYTES: usize = 512;

/// What happens to an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It fails so, perhaps half done.
    Fail(io::ErrorKind),
    /// The machine dies in it.
    Crash,
    /// The process dies in it.
    Kill,
}

/// A file system in memory; clones share it.
#[derive(Clone, Debug)]
pub struct ModelFileSystem(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    random: Random,
    nodes: BTreeMap<u64, Node>,
    next_node: u64,
    names: BTreeMap<PathBuf, u64>,
    durable_names: BTreeMap<PathBuf, u64>,
    changes: Vec<Change>,
    folders: BTreeSet<PathBuf>,
    operations: u64,
    plan: BTreeMap<u64, Fault>,
    died: Option<Fault>,
    life: u64,
    capacity_bytes: Option<u64>,
}

#[derive(Clone, Debug)]
enum Change {
    Link { path: PathBuf, node: u64 },
    Rename { from: PathBuf, to: PathBuf, node: u64 },
    Remove { path: PathBuf },
}

impl ModelFileSystem {
    /// An empty one; the same seed and the same operations give the same faults.
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            random: Random(seed),
            nodes: BTreeMap::new(),
            next_node: 0,
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            changes: Vec::new(),
            folders: BTreeSet::new(),
            operations: 0,
            plan: BTreeMap::new(),
            died: None,
            life: 0,
            capacity_bytes: None,
        })))
    }

    /// Operations so far.
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// Lets the `after`-th operation from now (1 is the next one) meet `fault`.
    pub fn plan(&self, after: u64, fault: Fault) {
        let mut state = self.state();
        let at = state.operations + after;
        state.plan.insert(at, fault);
    }

    /// Forgets what was planned and did not come yet.
    pub fn clear_plan(&self) {
        self.state().plan.clear();
    }

    /// One operation of something else that keeps its state on the same disk, such as a database: it is counted and
    /// meets what is planned, as those of files do.
    ///
    /// # Errors
    /// What was planned for it.
    pub fn other_operation(&self) -> io::Result<()> {
        self.state().step()
    }

    /// Heads or tails, from the seed.
    pub fn coin(&self) -> bool {
        self.state().random.coin()
    }

    /// What all files together may hold; more fails with [`io::ErrorKind::StorageFull`].
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state().capacity_bytes = bytes;
    }

    /// Whether a planned death has come.
    pub fn is_dead(&self) -> bool {
        self.state().died.is_some()
    }

    /// Begins a new life after a planned death; without one the process is killed now.
    pub fn restart(&self) {
        let mut state = self.state();
        if state.died == Some(Fault::Crash) {
            state.lose_what_is_not_durable();
        }
        state.died = None;
        state.plan.clear();
        state.life += 1;
    }

    /// The machine dies now, and comes back.
    pub fn crash(&self) {
        self.state().died = Some(Fault::Crash);
        self.restart();
    }

    /// Changes the bytes of a file behind everybody's back, on the disk too. False if there is no such file.
    pub fn corrupt(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) -> bool {
        let mut state = self.state();
        let Some(node) = state.names.get(path).copied() else { return false };
        let Some(node) = state.nodes.get_mut(&node) else { return false };
        change(&mut node.content);
        node.durable.clone_from(&node.content);
        node.versions.clear();
        true
    }

    /// All files with their content.
    pub fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let state = self.state();
        let content = |node: &u64| state.nodes.get(node).map(|node| node.content.clone());
        state.names.iter().filter_map(|(path, node)| Some((path.clone(), content(node)?))).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A test that panicked elsewhere has its own say; the state itself is never half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FileSystem for ModelFileSystem {
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.step()?;
        let folders: Vec<_> = path.ancestors().map(Path::to_owned).collect();
        state.folders.extend(folders);
        Ok(())
    }

    fn create_preallocated(&self, path: &Path, length: u64) -> io::Result<Box<dyn JournalFile>> {
        let mut state = self.state();
        if state.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.needs_folder(path)?;
        state.needs_space(length)?;
        if let Some(fault) = state.fault()? {
            if state.random.coin() && !matches!(fault, Fault::Fail(_)) {
                state.link(path, Node::default());
            }
            return Err(state.meet(fault));
        }
        let zeros = vec![0; length as usize];
        let node = Node { content: zeros.clone(), durable: zeros, versions: BTreeMap::new() };
        let node = state.link(path, node);
        Ok(Box::new(self.handle(node, &state)))
    }

    fn open_write(&self, path: &Path) -> io::Result<Box<dyn JournalFile>> {
        let mut state = self.state();
        state.step()?;
        let node = state.node_of(path)?;
        Ok(Box::new(self.handle(node, &state)))
    }

    fn open_read(&self, path: &Path) -> io::Result<Box<dyn FileReader>> {
        let mut state = self.state();
        state.step()?;
        let node = state.node_of(path)?;
        Ok(Box::new(self.handle(node, &state)))
    }

    fn write_synced(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let mut handle = {
            let mut state = self.state();
            state.step()?;
            state.needs_folder(path)?;
            let node = match state.names.get(path) {
                Some(node) => *node,
                None => state.link(path, Node::default()),
            };
            self.handle(node, &state)
        };
        let written = handle
            .set_length(0)
            .and_then(|()| handle.write_at(content, 0))
            .and_then(|()| handle.sync());
        if written.is_err() {
            let mut state = self.state();
            if state.died.is_none() {
                state.unlink(path);
            }
        }
        written
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut state = self.state();
        state.step()?;
        let node = state.node_of(path)?;
        Ok(state.nodes[&node].content.clone())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        let fault = state.fault()?;
        let node = state.node_of(from)?;
        state.needs_folder(to)?;
        if fault.is_none() || state.random.coin() {
            state.change(Change::Rename { from: from.to_owned(), to: to.to_owned(), node });
        }
        fault.map_or(Ok(()), |fault| Err(state.meet(fault)))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        let fault = state.fault()?;
        if fault.is_none() || state.random.coin() {
            state.unlink(path);
        }
        fault.map_or(Ok(()), |fault| Err(state.meet(fault)))
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<(String, u64)>> {
        let mut state = self.state();
        state.step()?;
        if !state.folders.contains(folder) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let inside = state.names.iter().filter(|(path, _)| path.parent() == Some(folder));
        Ok(inside
            .filter_map(|(path, node)| {
                let name = path.file_name()?.to_str()?.to_owned();
                Some((name, state.nodes[node].content.len() as u64))
            })
            .collect())
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        let mut state = self.state();
        if let Some(fault) = state.fault()? {
            return Err(state.meet(fault));
        }
        let State { durable_names, changes, .. } = &mut *state;
        changes.retain(|change| {
            let covered = change.path().parent() == Some(folder);
            if covered {
                change.apply(durable_names);
            }
            !covered
        });
        Ok(())
    }
}

/// Both ends of an open file.
#[derive(Debug)]
struct Handle {
    fs: ModelFileSystem,
    node: u64,
    life: u64,
}

impl ModelFileSystem {
    fn handle(&self, node: u64, state: &State) -> Handle {
        Handle { fs: self.clone(), node, life: state.life }
    }
}

impl Handle {
    fn state(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.fs.state();
        let alive = self.life == state.life && state.nodes.contains_key(&self.node);
        alive.then_some(state).ok_or_else(|| io::Error::other("a handle of an earlier life"))
    }
}

impl JournalFile for Handle {
    fn write_at(&mut self, bytes: &[u8], position: u64) -> io::Result<()> {
        let mut state = self.state()?;
        let fault = state.fault()?;
        let length = state.nodes[&self.node].content.len() as u64;
        let fault = fault.or_else(|| {
            let growth = (position + bytes.len() as u64).saturating_sub(length);
            state.needs_space(growth).err().map(|error| Fault::Fail(error.kind()))
        });
        let State { nodes, random, .. } = &mut *state;
        let node = nodes.get_mut(&self.node).expect("looked up above");
        let Some(fault) = fault else {
            node.write(bytes, position as usize);
            return Ok(());
        };
        if random.coin() {
            let length = random.below(bytes.len() + 1);
            node.write(&bytes[..length], position as usize);
        } else {
            for (piece, start) in sectors(bytes, position as usize) {
                if random.coin() {
                    node.write(piece, start);
                }
            }
        }
        Err(state.meet(fault))
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.state()?;
        let fault = state.fault()?;
        let State { nodes, random, .. } = &mut *state;
        let node = nodes.get_mut(&self.node).expect("looked up above");
        match fault {
            None => node.sync(|| true),
            // Dying in it is nothing else than dying before or after it.
            Some(Fault::Crash | Fault::Kill) => {}
            Some(Fault::Fail(_)) => {
                node.sync(|| random.coin());
                if random.coin() {
                    node.content.clone_from(&node.durable);
                }
            }
        }
        fault.map_or(Ok(()), |fault| Err(state.meet(fault)))
    }

    fn set_length(&mut self, length: u64) -> io::Result<()> {
        let mut state = self.state()?;
        let growth = length.saturating_sub(state.nodes[&self.node].content.len() as u64);
        state.step()?;
        state.needs_space(growth)?;
        let node = state.nodes.get_mut(&self.node).expect("looked up above");
        node.content.resize(length as usize, 0);
        let end = (length as usize).div_ceil(SECTOR_BYTES);
        node.versions.split_off(&end);
        Ok(())
    }
}

impl FileReader for Handle {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let mut state = self.state()?;
        state.step()?;
        let content = &state.nodes[&self.node].content;
        let rest = content.get(position as usize..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn length(&self) -> io::Result<u64> {
        let mut state = self.state()?;
        state.step()?;
        Ok(state.nodes[&self.node].content.len() as u64)
    }
}

impl State {
    /// Counts an operation; gives the fault that it is to meet.
    fn fault(&mut self) -> io::Result<Option<Fault>> {
        if let Some(fault) = self.died {
            return Err(fault.error());
        }
        self.operations += 1;
        Ok(self.plan.remove(&self.operations))
    }

    /// Counts an operation that a fault leaves undone.
    fn step(&mut self) -> io::Result<()> {
        self.fault()?.map_or(Ok(()), |fault| Err(self.meet(fault)))
    }

    fn meet(&mut self, fault: Fault) -> io::Error {
        if !matches!(fault, Fault::Fail(_)) {
            self.died = Some(fault);
        }
        fault.error()
    }

    fn needs_folder(&self, path: &Path) -> io::Result<()> {
        let known = path.parent().is_some_and(|folder| self.folders.contains(folder));
        if known { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    fn needs_space(&self, growth: u64) -> io::Result<()> {
        let Some(capacity) = self.capacity_bytes.filter(|_| growth > 0) else { return Ok(()) };
        let used: usize = self.names.values().map(|node| self.nodes[node].content.len()).sum();
        if used as u64 + growth > capacity {
            Err(io::ErrorKind::StorageFull.into())
        } else {
            Ok(())
        }
    }

    fn node_of(&self, path: &Path) -> io::Result<u64> {
        self.names.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn link(&mut self, path: &Path, content: Node) -> u64 {
        let node = self.next_node;
        self.next_node += 1;
        self.nodes.insert(node, content);
        self.change(Change::Link { path: path.to_owned(), node });
        node
    }

    fn unlink(&mut self, path: &Path) {
        if self.names.contains_key(path) {
            self.change(Change::Remove { path: path.to_owned() });
        }
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.names);
        self.changes.push(change);
    }

    fn lose_what_is_not_durable(&mut self) {
        let changes = std::mem::take(&mut self.changes);
        let in_order = self.random.coin();
        let kept = self.random.below(changes.len() + 1);
        for (index, change) in changes.iter().enumerate() {
            if if in_order { index < kept } else { self.random.coin() } {
                change.apply(&mut self.durable_names);
            }
        }
        self.names.clone_from(&self.durable_names);
        let named: BTreeSet<u64> = self.names.values().copied().collect();
        self.nodes.retain(|node, _| named.contains(node));
        for node in self.nodes.values_mut() {
            node.crash(&mut self.random);
        }
    }
}

impl Change {
    /// Whose folder has to be synced for it.
    fn path(&self) -> &Path {
        match self {
            Self::Link { path, .. } | Self::Remove { path } => path,
            Self::Rename { to, .. } => to,
        }
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, u64>) {
        match self {
            Self::Link { path, node } => {
                names.insert(path.clone(), *node);
            }
            Self::Rename { from, to, node } => {
                if names.get(from) == Some(node) {
                    names.remove(from);
                }
                names.insert(to.clone(), *node);
            }
            Self::Remove { path } => {
                names.remove(path);
            }
        }
    }
}

impl Fault {
    fn error(self) -> io::Error {
        match self {
            Self::Fail(kind) => kind.into(),
            Self::Crash => io::Error::other("the machine is dead"),
            Self::Kill => io::Error::other("the process is dead"),
        }
    }
}

#[cfg(test)]
mod tests;
