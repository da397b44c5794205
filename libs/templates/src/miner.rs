//! Takes messages and keeps their distinct shapes.

use std::collections::HashMap;

use crate::grouping;
use crate::shape::{Shaper, VALUE};
use crate::slots::Slot;
use crate::templates::Templates;

/// What a distinct shape takes beside its bytes: entries of the table and the list, with their spare room.
const SHAPE_OVERHEAD_BYTES: usize = 112;
/// What grouping takes for each word and separator: its place in a pattern and in the next one, its context, and its place
/// in the table of separators.
const TOKEN_BYTES: usize = 40;

/// The most that a [`Miner`] keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Distinct shapes.
    pub shapes_max: usize,
    /// Bytes of the distinct shapes, with all that is kept for them and what grouping will take.
    pub bytes_max: usize,
}

impl Default for Bounds {
    /// 100,000 shapes and 256 MiB.
    fn default() -> Self {
        Self { shapes_max: 100_000, bytes_max: 256 << 20 }
    }
}

/// Collects the shapes of messages.
pub struct Miner {
    bounds: Bounds,
    shaper: Shaper,
    numbers: HashMap<Box<[u8]>, u32, ahash::RandomState>,
    /// By shape; no slots once nothing can come of them.
    slots: Vec<Box<[Slot]>>,
    memory_bytes: usize,
    /// The shape of all that came when the bounds were reached.
    overflow: Option<u32>,
    overflowed: u64,
}

impl Miner {
    /// Keeps at most what `bounds` say, and one shape more.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            shaper: Shaper::default(),
            numbers: HashMap::default(),
            slots: Vec::new(),
            memory_bytes: 0,
            overflow: None,
            overflowed: 0,
        }
    }

    /// The number of the message's shape, counted from zero as they come. Only the first line that is not blank counts,
    /// and of it the first 4,096 bytes.
    ///
    /// A new shape beyond the bounds gets the number of a shape that stands for all of these, whose template is `<*>`.
    pub fn add(&mut self, message: &str) -> u32 {
        let line = self.shaper.read(message);
        if let Some(&number) = self.numbers.get(self.shaper.key()) {
            if let Some(slots) = self.slots.get_mut(number as usize).filter(|it| !it.is_empty())
                && !self.shaper.join(line, slots)
            {
                *slots = Box::default();
            }
            return number;
        }
        let slots = self.shaper.slots(line);
        let bytes = SHAPE_OVERHEAD_BYTES
            + self.shaper.key().len()
            + self.shaper.tokens() * TOKEN_BYTES
            + slots.iter().map(|slot| size_of::<Slot>() + slot.heap_bytes()).sum::<usize>();
        if self.numbers.len() >= self.bounds.shapes_max
            || self.memory_bytes.saturating_add(bytes) > self.bounds.bytes_max
        {
            self.overflowed += 1;
            return self.overflow();
        }
        let number = self.slots.len() as u32;
        self.memory_bytes += bytes;
        self.numbers.insert(self.shaper.key().into(), number);
        self.slots.push(slots.into());
        number
    }

    /// Distinct shapes so far.
    pub fn shapes(&self) -> usize {
        self.slots.len()
    }

    /// Messages whose shape was not kept because the bounds were reached.
    pub fn overflowed(&self) -> u64 {
        self.overflowed
    }

    /// Bytes that are kept, and that [`Miner::finish`] will take for a moment.
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.memory_bytes
    }

    /// Groups the shapes. The time grows with their number, a little more than in proportion.
    pub fn finish(self) -> Templates {
        let mut shapes: Vec<(Box<[u8]>, u32)> = self.numbers.into_iter().collect();
        if let Some(overflow) = self.overflow {
            shapes.push((Box::new([VALUE]), overflow));
        }
        shapes.sort_unstable();
        grouping::group(&shapes, &self.slots)
    }

    fn overflow(&mut self) -> u32 {
        let number = self.slots.len() as u32;
        *self.overflow.get_or_insert_with(|| {
            self.slots.push(Box::default());
            number
        })
    }
}
