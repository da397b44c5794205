//! Standard output, or a pager in front of it when a person looks at a terminal.
//!
//! `$LOGQ_PAGER`, else `$PAGER`, else `less`, which ends by itself when everything fits on the screen; an empty
//! `$LOGQ_PAGER` is none. What a person has seen enough of is not asked for any more: leaving the pager ends the query.

use std::io::{self, IsTerminal, Write};
use std::process::{Child, ChildStdin, Command, Stdio};

/// Where an answer goes.
pub(crate) enum Out {
    Stdout(io::Stdout),
    /// A pager, started by the first that is printed: what fails before needs none.
    Wanted,
    Pager {
        child: Child,
        input: Option<ChildStdin>,
    },
}

impl Out {
    /// A pager if there is somebody to use it.
    pub(crate) fn new(wanted: bool) -> Self {
        match wanted && io::stdout().is_terminal() && io::stdin().is_terminal() {
            true => Out::Wanted,
            false => Out::Stdout(io::stdout()),
        }
    }

    pub(super) fn is_paged(&self) -> bool {
        matches!(self, Out::Pager { .. })
    }

    /// Waits until the person has read it.
    pub(crate) fn close(&mut self) {
        if let Out::Pager { child, input } = self {
            drop(input.take());
            let _ = child.wait();
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
        if matches!(self, Out::Wanted) {
            *self = start().unwrap_or_else(|| Out::Stdout(io::stdout()));
        }
        match self {
            Out::Stdout(out) => out.write(bytes),
            Out::Wanted => Ok(0),
            Out::Pager { input: Some(input), .. } => input.write(bytes),
            Out::Pager { input: None, .. } => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Out::Stdout(out) => out.flush(),
            Out::Pager { input: Some(input), .. } => input.flush(),
            Out::Wanted | Out::Pager { input: None, .. } => Ok(()),
        }
    }
}

impl Drop for Out {
    fn drop(&mut self) {
        self.close();
    }
}
