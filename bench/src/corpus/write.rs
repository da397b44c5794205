//! `bench corpus`: the corpus as a file, or on stdout.

use std::fs::File;
use std::io::{BufWriter, ErrorKind, Write};
use std::path::Path;

use anyhow::Context;

use super::{CorpusOptions, Generator};

/// Writes the corpus; a reader that has seen enough is no failure.
///
/// # Errors
/// When the file cannot be made or written.
pub(crate) fn write_corpus(options: &CorpusOptions, output: Option<&Path>) -> anyhow::Result<()> {
    let result = match output {
        Some(path) => {
            let file =
                File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
            write_lines(options, BufWriter::new(file))
        }
        None => write_lines(options, BufWriter::new(std::io::stdout().lock())),
    };
    match result {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other.context("cannot write the corpus"),
    }
}

fn write_lines(options: &CorpusOptions, mut out: impl Write) -> std::io::Result<()> {
    let mut line = Vec::with_capacity(1 << 10);
    for entry in Generator::new(options) {
        line.clear();
        entry.write_line(&mut line);
        out.write_all(&line)?;
    }
    out.flush()
}
