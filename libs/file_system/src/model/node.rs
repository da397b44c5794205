//! The bytes of one file of the model, and what of them a crash leaves.

use std::collections::BTreeMap;

use super::SECTOR_BYTES;

/// A file without its name.
#[derive(Debug, Default)]
pub(super) struct Node {
    pub(super) content: Vec<u8>,
    pub(super) durable: Vec<u8>,
    pub(super) versions: BTreeMap<usize, Vec<Vec<u8>>>,
}

impl Node {
    pub(super) fn write(&mut self, bytes: &[u8], position: usize) {
        if self.content.len() < position + bytes.len() {
            self.content.resize(position + bytes.len(), 0);
        }
        for (piece, start) in sectors(bytes, position) {
            self.content[start..start + piece.len()].copy_from_slice(piece);
            let sector = start / SECTOR_BYTES;
            let version = self.sector(sector).to_vec();
            self.versions.entry(sector).or_default().push(version);
        }
    }

    fn sector(&self, sector: usize) -> &[u8] {
        let start = sector * SECTOR_BYTES;
        let end = (start + SECTOR_BYTES).min(self.content.len());
        self.content.get(start..end).unwrap_or_default()
    }

    /// Takes to the disk what was written, as far as `arrives` says; the rest counts as clean.
    pub(super) fn sync(&mut self, mut arrives: impl FnMut() -> bool) {
        if self.durable.len() != self.content.len() && arrives() {
            self.durable.resize(self.content.len(), 0);
        }
        for sector in std::mem::take(&mut self.versions).into_keys() {
            if arrives() {
                let bytes = self.sector(sector).to_vec();
                put(&mut self.durable, sector, &bytes);
            }
        }
    }

    pub(super) fn crash(&mut self, random: &mut Random) {
        if random.coin() {
            self.durable.resize(self.content.len(), 0);
        }
        for (sector, versions) in std::mem::take(&mut self.versions) {
            let chosen = random.below(versions.len() + 1);
            if chosen > 0 {
                put(&mut self.durable, sector, &versions[chosen - 1]);
            }
        }
        self.content.clone_from(&self.durable);
    }
}

/// Overwrites a sector as far as the file reaches.
fn put(file: &mut [u8], sector: usize, bytes: &[u8]) {
    let start = (sector * SECTOR_BYTES).min(file.len());
    let count = bytes.len().min(file.len() - start);
    file[start..start + count].copy_from_slice(&bytes[..count]);
}

/// The pieces of a write by sector, with their positions.
pub(super) fn sectors(
    mut bytes: &[u8],
    mut position: usize,
) -> impl Iterator<Item = (&[u8], usize)> {
    std::iter::from_fn(move || {
        let room = SECTOR_BYTES - position % SECTOR_BYTES;
        let (piece, rest) = bytes.split_at(room.min(bytes.len()));
        let start = position;
        (bytes, position) = (rest, position + piece.len());
        (!piece.is_empty()).then_some((piece, start))
    })
}

/// SplitMix64 (Steele, Lea, Flood 2014): enough to choose faults, and the same everywhere.
#[derive(Debug)]
pub(super) struct Random(pub(super) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn coin(&mut self) -> bool {
        self.next() & 1 == 1
    }

    /// A number from 0 to `bound - 1`.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}
