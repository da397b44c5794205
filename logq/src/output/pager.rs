//! Standard output, or a pager in front of it when a person looks at a terminal.
//!
//! `$LOGQ_PAGER`, else `$PAGER`, else `less`, which ends by itself when everything fits on the screen; an empty
//! `$LOGQ_PAGER` is none. What a person has seen enough of is not asked for any more: leaving the pager ends the query.

use std::io::{self, IsTerminal, Write};
use std::process::{Child, ChildStdin, Command, Stdio};

/// Where an answer goes.
pub(crate) enum Out {
    Stdout(io::Stdout),
    Pager { child: Child, input: Option<ChildStdin> },
}

impl Out {
    /// A pager if there is somebody to use it.
    pub(crate) fn new(wanted: bool) -> Self {
        let person = io::stdout().is_terminal() && io::stdin().is_terminal();
        match (wanted && person).then(start).flatten() {
            Some(out) => out,
            None => Out::Stdout(io::stdout()),
        }
    }
}

fn start() -> Option<Out> {
    let program = std::env::var("LOGQ_PAGER").or_else(|_| std::env::var("PAGER"));
    let program = program.unwrap_or_else(|_| "less".to_owned());
    let mut words = program.split_whitespace();
    let mut command = Command::new(words.next()?);
    command.args(words).stdin(Stdio::piped());
    if std::env::var_os("LESS").is_none() {
        // Ends if it fits, colours pass, the screen stays.
        command.env("LESS", "FRX");
    }
    // Without the program the answer is printed as it is.
    let mut child = command.spawn().ok()?;
    let input = child.stdin.take();
    Some(Out::Pager { child, input })
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Out::Stdout(out) => out.write(bytes),
            Out::Pager { input: Some(input), .. } => input.write(bytes),
            Out::Pager { input: None, .. } => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Out::Stdout(out) => out.flush(),
            Out::Pager { input: Some(input), .. } => input.flush(),
            Out::Pager { input: None, .. } => Ok(()),
        }
    }
}

impl Drop for Out {
    /// Waits until the person has read it.
    fn drop(&mut self) {
        if let Out::Pager { child, input } = self {
            drop(input.take());
            let _ = child.wait();
        }
    }
}
