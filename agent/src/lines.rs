//! Bytes into lines, in bounded memory.
//!
//! A line ends with LF or CRLF, which is not part of it; a lone CR is, and so is NUL. The last line needs no
//! end. What lies between two ends is one line, the empty one too, and lines are never joined.
//!
//! A line longer than the bound is cut into parts of at most that many bytes, between characters where it is
//! UTF-8. How many parts there will be is not known while the first one is handed out, because the line may be
//! longer than memory; so parts are named `1/?`, `2/?`, and only the last one has its total, as in `3/3`.
//!
//! A file that grows is read a piece at a time: [`LineReader::resume`] goes on where an earlier reader stopped and
//! borrows a buffer that many files share, and [`LineReader::follow`] leaves a line without an end for later.
//! Nothing that was not handed out is remembered, so a reader can be thrown away after any line: the next one
//! begins at [`LineReader::position`] and gives what the first would have given.

use std::fmt;
use std::io::{self, Read};

/// Longest line that is handed out whole, in bytes, its end not counted.
pub const LINE_BYTES_MAX: usize = 1 << 20;

/// How much is asked of the input at a time.
const READ_BYTES: usize = 128 << 10;

/// One line, or one part of a long one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// Without the end of line.
    pub bytes: &'a [u8],
    /// Where it begins in the (decompressed) input.
    pub offset: u64,
    /// Which line it is, from 1; parts share their line's number.
    pub number: u64,
    /// Set if the line was too long for one piece.
    pub part: Option<Part>,
}

/// Which part of a long line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// From 1.
    pub number: u32,
    /// Whether the line ends with it.
    pub last: bool,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.last { write!(f, "{0}/{0}", self.number) } else { write!(f, "{}/?", self.number) }
    }
}

/// Reads lines; holds at most one line of [`LINE_BYTES_MAX`] and what was read behind it.
#[derive(Debug)]
pub struct LineReader<R> {
    input: R,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Up to here there is no LF.
    searched: usize,
    offset: u64,
    number: u64,
    parts: u32,
    ended: bool,
    follow: bool,
    line_bytes_max: usize,
}

impl<R: Read> LineReader<R> {
    /// Lines of `input`, cut at [`LINE_BYTES_MAX`].
    pub fn new(input: R) -> Self {
        Self::with_line_bytes_max(input, LINE_BYTES_MAX)
    }

    /// Lines of `input`, cut at `line_bytes_max` (at least 4, the longest character).
    pub fn with_line_bytes_max(input: R, line_bytes_max: usize) -> Self {
        let start = Self::resume(input, Vec::new(), 0, 1, 0);
        Self { line_bytes_max: line_bytes_max.max(4), ..start }
    }

    /// Goes on in the middle of a source, cutting at [`LINE_BYTES_MAX`]. `input` stands at `offset`, which is the
    /// [`position`](Self::position) of an earlier reader; `number` and `parts` are that reader's
    /// [`number`](Self::number) and [`parts`](Self::parts) (1 and 0 at the beginning).
    ///
    /// `buffer` is only room, its content does not count: any length will do, and it is grown as needed, to
    /// [`LINE_BYTES_MAX`] and 128 KiB at most.
    pub fn resume(input: R, mut buffer: Vec<u8>, offset: u64, number: u64, parts: u32) -> Self {
        if buffer.len() < READ_BYTES {
            buffer.resize(READ_BYTES, 0);
        }
        Self {
            input,
            buffer,
            start: 0,
            end: 0,
            searched: 0,
            offset,
            number,
            parts,
            ended: false,
            follow: false,
            line_bytes_max: LINE_BYTES_MAX,
        }
    }

    /// Whether the input may still grow. If so, a last line without an end is not handed out: the answer is
    /// `None`, and asking again, this reader or one that resumes from here, tries the input once more. Parts of a
    /// line that is too long are handed out all the same.
    pub fn follow(self, follow: bool) -> Self {
        Self { follow, ..self }
    }

    /// Where the last line handed out ends, its end of line counted: where the next one begins.
    pub fn position(&self) -> u64 {
        self.offset
    }

    /// The number of the line that is next, or goes on, at [`position`](Self::position).
    pub fn number(&self) -> u64 {
        self.number
    }

    /// How many parts of the line at [`position`](Self::position) were handed out; 0 between two lines.
    pub fn parts(&self) -> u32 {
        self.parts
    }

    /// How many bytes were read behind [`position`](Self::position) and not handed out: after a `None` in follow
    /// mode, what there is of the unfinished line.
    pub fn unfinished_bytes(&self) -> usize {
        self.end - self.start
    }

    /// The buffer, for the next file.
    pub fn into_buffer(self) -> Vec<u8> {
        self.buffer
    }

    /// The next line; `None` at the end of the input.
    ///
    /// # Errors
    /// What reading the input gives, interruptions aside.
    pub fn next_line(&mut self) -> io::Result<Option<Line<'_>>> {
        Ok(self.next_line_and_end()?.map(|(line, _)| line))
    }

    /// The next line and the [`position`](Self::position) behind it, which cannot be asked for while the line
    /// is borrowed; `None` at the end of the input.
    ///
    /// # Errors
    /// What reading the input gives, interruptions aside.
    pub fn next_line_and_end(&mut self) -> io::Result<Option<(Line<'_>, u64)>> {
        // CRLF may stand behind a line of the longest length, so look two bytes further before cutting.
        let enough = self.line_bytes_max + 2;
        loop {
            let found = memchr::memchr(b'\n', &self.buffer[self.searched..self.end]);
            if let Some(at) = found {
                let line_end = self.searched + at;
                let content = without_cr(&self.buffer[self.start..line_end]).len();
                return Ok(Some(self.hand_out(content, line_end + 1)));
            }
            self.searched = self.end;
            let held = self.end - self.start;
            if held >= enough {
                return Ok(Some(self.hand_out(held, self.end)));
            }
            if self.ended && self.follow {
                self.ended = false;
                return Ok(None);
            }
            if self.ended {
                let end = self.end;
                return Ok((held > 0).then(|| self.hand_out(held, end)));
            }
            self.fill()?;
        }
    }

    /// Hands out a line whose text is `content` long and whose end is at `next`, or as much of it as is allowed.
    fn hand_out(&mut self, content: usize, next: usize) -> (Line<'_>, u64) {
        let whole = content <= self.line_bytes_max;
        let taken = if whole { content } else { self.cut() };
        let begin = self.start;
        let part = (!whole || self.parts > 0)
            .then(|| Part { number: self.parts.saturating_add(1), last: whole });
        let (offset, number) = (self.offset, self.number);
        self.start = if whole { next } else { begin + taken };
        self.offset += (self.start - begin) as u64;
        // A rest that was searched already is searched again only once a line: its LF is near.
        self.searched = self.start;
        if whole {
            self.number += 1;
            self.parts = 0;
        } else {
            self.parts = self.parts.saturating_add(1);
        }
        let line = Line { bytes: &self.buffer[begin..begin + taken], offset, number, part };
        (line, self.offset)
    }

    /// The longest part that ends between two characters; at the bound where there is no such place near it.
    fn cut(&self) -> usize {
        let continues = |at: &usize| self.buffer[self.start + at] & 0b1100_0000 == 0b1000_0000;
        let max = self.line_bytes_max;
        (max - 3..=max).rev().find(|at| !continues(at)).unwrap_or(max)
    }

    fn fill(&mut self) -> io::Result<()> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.searched -= self.start;
            self.end -= self.start;
            self.start = 0;
        }
        if self.buffer.len() - self.end < READ_BYTES / 2 {
            let room = (self.buffer.len() * 2).min(self.line_bytes_max + READ_BYTES);
            self.buffer.resize(room.max(self.end + READ_BYTES / 2), 0);
        }
        // A buffer that a long line has grown is no reason to read more of the next file than it may have.
        let room = self.buffer.len().min(self.end + READ_BYTES);
        loop {
            match self.input.read(&mut self.buffer[self.end..room]) {
                Ok(0) => self.ended = true,
                Ok(read) => self.end += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            return Ok(());
        }
    }
}

/// Undoes gzip and zstd, told by their first bytes; anything else is handed on as it is.
///
/// # Errors
/// What reading the first four bytes gives, or starting the decoder.
pub fn decompressed<R: Read + Send + 'static>(mut input: R) -> io::Result<Box<dyn Read + Send>> {
    let mut magic = Vec::with_capacity(4);
    (&mut input).take(4).read_to_end(&mut magic)?;
    let gzip = magic.starts_with(&[0x1f, 0x8b, 0x08]);
    let zstd = magic == [0x28, 0xb5, 0x2f, 0xfd];
    let whole = io::Cursor::new(magic).chain(input);
    if gzip {
        return Ok(Box::new(flate2::read::MultiGzDecoder::new(whole)));
    }
    if zstd {
        return Ok(Box::new(zstd::stream::read::Decoder::new(whole)?));
    }
    Ok(Box::new(whole))
}

fn without_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    /// Gives a few bytes at a time, as a pipe does.
    struct Trickle<'a>(&'a [u8], usize);

    impl Read for Trickle<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let size = self.1.min(self.0.len()).min(into.len());
            let (now, rest) = self.0.split_at(size);
            into[..size].copy_from_slice(now);
            self.0 = rest;
            Ok(size)
        }
    }

    type Owned = (Vec<u8>, u64, u64, Option<String>);

    fn read(input: &[u8], at_a_time: usize, max: usize) -> Vec<Owned> {
        let mut reader = LineReader::with_line_bytes_max(Trickle(input, at_a_time), max);
        let mut lines = Vec::new();
        while let Some(line) = reader.next_line().unwrap() {
            let part = line.part.map(|part| part.to_string());
            lines.push((line.bytes.to_vec(), line.offset, line.number, part));
        }
        lines
    }

    fn texts(input: &[u8], max: usize) -> Vec<(String, Option<String>)> {
        let lossy = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        read(input, 3, max).into_iter().map(|(bytes, _, _, part)| (lossy(bytes), part)).collect()
    }

    #[test]
    fn both_ends_of_line_are_ends_and_a_lone_cr_is_not() {
        let lines = read(b"a\r\nb\n\nc\rd\0\r\r\nlast", 1, 100);
        let bytes: Vec<_> = lines.iter().map(|line| line.0.as_slice()).collect();
        assert_eq!(bytes, [b"a".as_slice(), b"b", b"", b"c\rd\0\r", b"last"]);
        assert_eq!(lines.iter().map(|line| line.1).collect::<Vec<_>>(), [0, 3, 5, 6, 13]);
        assert_eq!(lines.iter().map(|line| line.2).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    }

    #[test]
    fn a_line_of_the_longest_length_is_whole_with_any_end() {
        for end in ["", "\n", "\r\n"] {
            let input = format!("123456{end}");
            assert_eq!(texts(input.as_bytes(), 6), [("123456".to_owned(), None)], "{end:?}");
        }
    }

    #[test]
    fn a_longer_line_is_cut_between_characters_into_named_parts() {
        let part = |text: &str, name: &str| (text.to_owned(), Some(name.to_owned()));
        assert_eq!(
            texts("aaaaaéééé€b\r\nshort\n".as_bytes(), 6),
            [
                part("aaaaa", "1/?"),
                part("ééé", "2/?"),
                part("é€b", "3/3"),
                ("short".to_owned(), None)
            ]
        );
        let offsets: Vec<_> = read(b"0123456789\nx", 2, 4).iter().map(|line| line.1).collect();
        assert_eq!(offsets, [0, 4, 8, 11]);
        // A CR that ends up alone in the rest is the end of the line only before LF.
        assert_eq!(texts(b"1234\r", 4), [part("1234", "1/?"), part("\r", "2/2")]);
    }

    #[test]
    fn a_line_of_ten_megabytes_is_read_in_bounded_memory() {
        let input = vec![b'x'; 10 << 20];
        let mut reader = LineReader::new(&*input);
        let mut total = 0;
        while let Some(line) = reader.next_line().unwrap() {
            total += line.bytes.len();
            assert_eq!(line.number, 1);
        }
        assert_eq!(total, input.len());
        assert!(reader.buffer.len() <= LINE_BYTES_MAX + 2 * READ_BYTES);
    }

    #[test]
    fn an_unfinished_line_of_a_followed_input_waits_and_is_read_from_its_beginning() {
        let file = b"one\ntwo\r\nthree";
        let mut reader = LineReader::resume(&file[..6], Vec::new(), 0, 1, 0).follow(true);
        assert_eq!(reader.next_line().unwrap().unwrap().bytes, b"one");
        assert_eq!(reader.next_line().unwrap(), None);
        assert_eq!((reader.position(), reader.unfinished_bytes()), (4, 2));
        // The same reader asks the input again.
        reader.input = &file[6..8];
        assert_eq!(reader.next_line().unwrap(), None);
        assert_eq!(reader.unfinished_bytes(), 4);
        // Another one resumes, with the same room, which still holds bytes of the first.
        let (at, number) = (reader.position(), reader.number());
        let mut reader =
            LineReader::resume(&file[at as usize..], reader.into_buffer(), at, number, 0)
                .follow(true);
        let line = reader.next_line().unwrap().unwrap();
        assert_eq!((line.bytes, line.offset, line.number), (b"two".as_slice(), 4, 2));
        assert_eq!(reader.position(), 9);
        assert_eq!(reader.next_line().unwrap(), None);
        // Nothing more will come.
        let mut reader = reader.follow(false);
        assert_eq!(reader.next_line().unwrap().unwrap().bytes, b"three");
        assert_eq!((reader.position(), reader.next_line().unwrap()), (14, None));
    }

    #[test]
    fn gzip_and_zstd_are_undone_and_short_inputs_are_not_mistaken() {
        let plain = b"one\ntwo\n".repeat(100);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&plain).unwrap();
        let zstd = wire::compress(wire::Encoding::Zstd, &plain);
        for input in [gzip.finish().unwrap(), zstd, plain.clone()] {
            let mut read = Vec::new();
            decompressed(io::Cursor::new(input)).unwrap().read_to_end(&mut read).unwrap();
            assert_eq!(read, plain);
        }
        for short in [b"".as_slice(), b"\x1f", b"\x1f\x8b", b"\x28\xb5\x2f"] {
            let mut read = Vec::new();
            decompressed(short).unwrap().read_to_end(&mut read).unwrap();
            assert_eq!(read, short);
        }
    }

    /// Reads a file that grows to each of `sizes` in turn, with a new reader after every `lines_each` lines.
    fn read_growing(input: &[u8], sizes: &[usize], lines_each: usize, max: usize) -> Vec<Owned> {
        let mut lines = Vec::new();
        let (mut buffer, mut at, mut number, mut parts) = (Vec::new(), 0_u64, 1, 0);
        let ends = sizes.iter().map(|size| (*size, true)).chain([(input.len(), false)]);
        for (size, follow) in ends {
            loop {
                let rest = Trickle(&input[at as usize..size.max(at as usize)], 7);
                let mut reader = LineReader::resume(rest, buffer, at, number, parts).follow(follow);
                reader.line_bytes_max = max;
                let before = lines.len();
                while lines.len() < before + lines_each
                    && let Some((line, end)) = reader.next_line_and_end().unwrap()
                {
                    assert!(end >= line.offset + line.bytes.len() as u64);
                    let part = line.part.map(|part| part.to_string());
                    lines.push((line.bytes.to_vec(), line.offset, line.number, part));
                }
                (at, number, parts) = (reader.position(), reader.number(), reader.parts());
                buffer = reader.into_buffer();
                if lines.len() == before {
                    break;
                }
            }
        }
        lines
    }

    proptest! {
        #[test]
        fn a_file_read_while_it_grows_by_readers_that_resume_gives_the_same_lines_and_parts(
            input in proptest::collection::vec(
                prop_oneof![Just(b'\n'), Just(b'\r'), Just(b'a'), any::<u8>()], 0..300),
            mut sizes in proptest::collection::vec(0_usize..300, 0..6),
            lines_each in 1_usize..5,
            max in 4_usize..20,
        ) {
            sizes.iter_mut().for_each(|size| *size = (*size).min(input.len()));
            sizes.sort_unstable();
            let whole = read(&input, 50, max);
            prop_assert_eq!(read_growing(&input, &sizes, lines_each, max), whole);
        }

        #[test]
        fn lines_equal_a_naive_split(
            input in proptest::collection::vec(
                prop_oneof![Just(b'\n'), Just(b'\r'), Just(b'a'), any::<u8>()], 0..300),
            at_a_time in 1_usize..50,
        ) {
            let mut naive: Vec<&[u8]> = input.split(|byte| *byte == b'\n').collect();
            let last = naive.pop().unwrap();
            let mut naive: Vec<_> = naive.into_iter().map(without_cr).collect();
            if !last.is_empty() {
                naive.push(last);
            }
            let lines = read(&input, at_a_time, 1_000);
            let bytes: Vec<_> = lines.iter().map(|line| line.0.as_slice()).collect();
            prop_assert_eq!(&bytes, &naive);
            for (bytes, offset, _, _) in &lines {
                prop_assert!(input[*offset as usize..].starts_with(bytes));
            }
        }

        #[test]
        fn parts_put_together_are_the_line(
            input in proptest::collection::vec(
                prop_oneof![Just(b'\n'), Just(b'\r'), Just(b'a'), any::<u8>()], 0..300),
            at_a_time in 1_usize..50,
            max in 4_usize..20,
        ) {
            let mut joined: Vec<Vec<u8>> = Vec::new();
            for (bytes, _, number, part) in read(&input, at_a_time, max) {
                prop_assert!(bytes.len() <= max && (part.is_none() || !bytes.is_empty()));
                if number as usize > joined.len() {
                    joined.push(Vec::new());
                }
                joined[number as usize - 1].extend(bytes);
            }
            let whole: Vec<_> = read(&input, 50, 1_000).into_iter().map(|line| line.0).collect();
            prop_assert_eq!(joined, whole);
        }
    }
}
