//! Cuts a stream of bytes into lines.

/// What has come of the next line.
#[derive(Default)]
pub(crate) struct Lines {
    begun: Vec<u8>,
}

impl Lines {
    pub(crate) fn push(&mut self, mut bytes: &[u8], line: &mut impl FnMut(&[u8])) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            if self.begun.is_empty() {
                line(&bytes[..end]);
            } else {
                self.begun.extend_from_slice(&bytes[..end]);
                line(&self.begun);
                self.begun.clear();
            }
            bytes = &bytes[end + 1..];
        }
        self.begun.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_however_the_bytes_come() {
        let bytes = b"one\ntwo\n\nthree\n";
        for size in 1..bytes.len() {
            let mut lines = Lines::default();
            let mut seen = Vec::new();
            for piece in bytes.chunks(size) {
                lines
                    .push(piece, &mut |line| seen.push(String::from_utf8_lossy(line).into_owned()));
            }
            assert_eq!(seen, ["one", "two", "", "three"], "{size}");
        }
    }
}
