//! Mutations that know what parsers stumble over: lengths, numbers, tokens, nesting, broken characters, cut ends.

use crate::framed;

/// Longest input that is made.
pub const INPUT_BYTES_MAX: usize = 64 << 10;
/// Mutations of one input at most.
const STEPS_MAX: u64 = 8;
/// Longest range that is duplicated, removed or zeroed, most of the time.
const RANGE_BYTES: u64 = 64;

/// Bounds of integers and of lengths, and those beside them.
const INTEGERS: [u64; 20] = [
    0,
    1,
    7,
    8,
    0x7f,
    0x80,
    0xff,
    0x100,
    0x7fff,
    0xffff,
    0x1_0000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    u64::MAX - 1,
    u64::MAX - 11,
    u64::MAX,
];
/// Numbers as text that do not fit, or hardly.
const NUMBERS: [&str; 22] = [
    "0",
    "-0",
    "-1",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "-9223372036854775809",
    "18446744073709551615",
    "18446744073709551616",
    "340282366920938463463374607431768211456",
    "1e308",
    "1e309",
    "-1e309",
    "1e-400",
    "1e999999999",
    "1e-999999999999999999999",
    "4.9406564584124654e-324",
    "0.1000000000000000055511151231257827",
    "00",
    "1_000",
    "NaN",
    "0x7fffffffffffffff",
];
/// Characters that change their length in another case, stand alone, are cut off, or are none.
const CHARACTERS: [&[u8]; 16] = [
    "İ".as_bytes(),
    "ß".as_bytes(),
    "\u{feff}".as_bytes(),
    "\u{2028}".as_bytes(),
    "\u{0301}".as_bytes(),
    "\u{1f469}\u{200d}\u{1f680}".as_bytes(),
    "\u{10ffff}".as_bytes(),
    b"\xed\xa0\x80",
    b"\xc0\x80",
    b"\xf0\x9f",
    b"\xff",
    b"\\ud800",
    b"\\udc00\\ud800",
    b"\\u0000",
    b"\0",
    b"\r\n",
];
/// What opens something, and what closes it.
const NESTS: [(&[u8], &[u8]); 8] = [
    (b"[", b"]"),
    (b"{", b"}"),
    (b"(", b")"),
    (b"{\"a\":", b"}"),
    (b"[[[[{\"a\":[", b""),
    (b"\"", b"\""),
    (b"-(", b")"),
    (b"NOT ", b""),
];

/// Makes inputs out of seeds.
#[derive(Debug)]
pub struct Mutator<'a> {
    seed: u64,
    seeds: &'a [Vec<u8>],
    dictionary: &'a [&'a [u8]],
    /// Whether the inputs are protobuf.
    framed: bool,
}

impl<'a> Mutator<'a> {
    /// From seeds of at most [`INPUT_BYTES_MAX`] bytes each, and the tokens of their language.
    ///
    /// # Panics
    /// Without any seed.
    pub fn new(seed: u64, seeds: &'a [Vec<u8>], dictionary: &'a [&'a [u8]]) -> Self {
        assert!(!seeds.is_empty(), "there is nothing to mutate");
        Self { seed, seeds, dictionary, framed: false }
    }

    /// The same for protobuf: most mutations keep the lengths around what they change.
    #[must_use]
    pub fn framed(self) -> Self {
        Self { framed: true, ..self }
    }

    /// What all inputs depend on.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The input of a number. The first ones are the seeds themselves.
    pub fn input(&self, number: u64) -> Vec<u8> {
        if let Some(seed) = self.seeds.get(number as usize) {
            return seed.clone();
        }
        let mut random = Random(self.seed ^ number.wrapping_mul(0xd134_2543_de82_ef95));
        let mut input = random.choice(self.seeds).clone();
        // Most inputs stay near their seed, so that they get far.
        let steps = 1 + random.below(STEPS_MAX).min(random.below(STEPS_MAX));
        for _ in 0..steps {
            let mut step = |random: &mut Random, part: &mut Vec<u8>| self.step(random, part);
            let framed = match self.framed && random.below(4) > 0 {
                true => framed::changed(&mut random, &input, &mut step),
                false => None,
            };
            match framed {
                Some(framed) => input = framed,
                None => self.step(&mut random, &mut input),
            }
            input.truncate(INPUT_BYTES_MAX);
        }
        input
    }

    fn step(&self, random: &mut Random, input: &mut Vec<u8>) {
        let at = random.place(input.len() + 1);
        let range = random.range(input.len());
        match random.below(20) {
            0 => change(input, at, |byte| byte ^ (1 << random.below(8))),
            1 => change(input, at, |_| random.next() as u8),
            2 => insert(input, at, &[random.next() as u8]),
            3 => drop(input.drain(range)),
            4 => {
                let copy = input[range].to_vec();
                insert(input, at, &copy.repeat(1 + random.rarely(200)));
            }
            5 => input[range].fill(0),
            6 => {
                let copy = input[range].to_vec();
                overwrite(input, at, &copy);
            }
            7 => {
                let other = random.choice(self.seeds);
                input.truncate(at);
                input.extend_from_slice(&other[random.place(other.len() + 1)..]);
            }
            8 => {
                let other = random.choice(self.seeds);
                insert(input, at, &other[random.range(other.len())]);
            }
            9 => input.truncate(at),
            10 | 11 => integer(random, input, at),
            12 => number(random, input, at),
            13 => insert(input, at, random.choice::<&[u8]>(&CHARACTERS)),
            14 => nest(random, input, at),
            15 => enclose(random, input, range),
            _ => self.token(random, input, at),
        }
    }

    /// A token of the language: inserted, instead of another, or many times.
    fn token(&self, random: &mut Random, input: &mut Vec<u8>, at: usize) {
        if self.dictionary.is_empty() {
            return change(input, at, |_| random.next() as u8);
        }
        let token = *random.choice(self.dictionary);
        if random.below(3) == 0 {
            let old = *random.choice(self.dictionary);
            let found: Vec<usize> =
                (at..input.len()).filter(|at| input[*at..].starts_with(old)).take(1).collect();
            if let [found] = found[..] {
                input.splice(found..found + old.len(), token.iter().copied());
                return;
            }
        }
        insert(input, at, &token.repeat(1 + random.rarely(2_000)));
    }
}

fn change(input: &mut [u8], at: usize, with: impl FnOnce(u8) -> u8) {
    if let Some(byte) = input.get_mut(at) {
        *byte = with(*byte);
    }
}

fn insert(input: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    let bytes = &bytes[..bytes.len().min(INPUT_BYTES_MAX)];
    input.splice(at..at, bytes.iter().copied());
}

fn overwrite(input: &mut [u8], at: usize, bytes: &[u8]) {
    let length = bytes.len().min(input.len() - at);
    input[at..at + length].copy_from_slice(&bytes[..length]);
}

/// A bound of integers, as 1 to 8 bytes in both orders or as a varint, over what is there or between it.
fn integer(random: &mut Random, input: &mut Vec<u8>, at: usize) {
    let near = random.below(3).wrapping_sub(1);
    let value = match random.below(4) {
        0 => (input.len() as u64).wrapping_sub(at as u64).wrapping_add(near),
        _ => random.choice(&INTEGERS).wrapping_add(near),
    };
    let width = 1 << random.below(4);
    let bytes = match random.below(3) {
        0 => value.to_le_bytes()[..width].to_vec(),
        1 => value.to_be_bytes()[8 - width..].to_vec(),
        _ => varint(value),
    };
    match random.below(3) {
        0 => insert(input, at, &bytes),
        _ => overwrite(input, at, &bytes),
    }
}

pub(crate) fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// A number as text, instead of the next one if there is one.
fn number(random: &mut Random, input: &mut Vec<u8>, at: usize) {
    let digits = match random.below(8) {
        0 => "9".repeat(1 + random.rarely(4_000)),
        1 => format!("0.{}1", "0".repeat(random.rarely(4_000))),
        _ => (*random.choice(&NUMBERS)).to_owned(),
    };
    let start = (at..input.len()).find(|at| input[*at].is_ascii_digit()).unwrap_or(at);
    let old = input[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    input.splice(start..start + old, digits.bytes());
}

/// Opens something many times, and mostly closes it again.
fn nest(random: &mut Random, input: &mut Vec<u8>, at: usize) {
    let (open, close) = *random.choice(&NESTS);
    let depth = match random.below(8) {
        0 => 1 + random.place(20_000),
        1 | 2 => 1 + random.place(300),
        _ => 1 + random.place(8),
    };
    if random.below(4) > 0 {
        let end = at + random.place(input.len() - at + 1);
        insert(input, end, &close.repeat(depth));
    }
    insert(input, at, &open.repeat(depth));
}

/// Makes a range the content of protobuf fields in each other.
fn enclose(random: &mut Random, input: &mut Vec<u8>, range: std::ops::Range<usize>) {
    let field = 1 + random.below(15) as u8;
    let depth = 1 + random.rarely(1_000);
    let mut content = input[range.clone()].to_vec();
    for _ in 0..depth {
        let mut outer = vec![field << 3 | 2];
        outer.extend_from_slice(&varint(content.len() as u64));
        outer.append(&mut content);
        content = outer;
    }
    input.splice(range, content);
}

/// SplitMix64: enough to choose with, and the same everywhere.
pub(crate) struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `end`, 0 if there is nothing below.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    fn place(&mut self, end: usize) -> usize {
        self.below(end as u64) as usize
    }

    /// Mostly 0, sometimes anything below `end`.
    fn rarely(&mut self, end: u64) -> usize {
        if self.below(16) == 0 { self.below(end) as usize } else { 0 }
    }

    /// Mostly a short one.
    fn range(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.place(length + 1);
        let longest = if self.below(8) == 0 { length as u64 } else { RANGE_BYTES };
        start..(start + self.below(longest + 1) as usize).min(length)
    }

    pub(crate) fn choice<'c, T>(&mut self, from: &'c [T]) -> &'c T {
        &from[self.place(from.len())]
    }
}
