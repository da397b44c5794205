//! How stack traces of Java, Python and Go look, line by line.
//!
//! A trace is joined to the line before it only if that line may have logged it: if it is the first of its record
//! and has a word of trouble in it (`ERROR`, `warning`, `failed`, `panic` …). A trace that a program wrote on its
//! way down stands for itself.

use record::Severity;

use super::multiline::{Open, Traces, Verdict};

/// Where in a trace the lines of a stream are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Inside {
    #[default]
    No,
    PythonFrames,
    /// Behind the exception; others that it was raised from may follow.
    PythonException,
    /// Behind the sentence that announces another trace.
    PythonChain,
    Go,
}

pub(super) fn verdict(
    traces: Traces,
    inside: &mut Inside,
    open: Option<Open<'_>>,
    line: &[u8],
) -> Verdict {
    match traces {
        Traces::Java => java(open, line),
        Traces::Python => python(inside, open, line),
        Traces::Go => go(inside, open, line),
    }
}

fn java(open: Option<Open<'_>>, line: &[u8]) -> Verdict {
    let more = || line.starts_with(b"... ") && line.ends_with(b" more");
    if line.starts_with(b"Caused by: ") || line.starts_with(b"Suppressed: ") || more() {
        return Verdict::Continues;
    }
    if java_exception(line) && logged_by(open) { Verdict::Continues } else { Verdict::Begins }
}

/// `a.b.SomeException`, alone or with `: message`.
fn java_exception(line: &[u8]) -> bool {
    let end = memchr::memchr(b':', line).unwrap_or(line.len());
    let name = &line[..end];
    let inside = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | b'.');
    let Some(dot) = memchr::memrchr(b'.', name) else { return false };
    let class = &name[dot + 1..];
    name.iter().all(inside)
        && name[0].is_ascii_lowercase()
        && class.first().is_some_and(u8::is_ascii_uppercase)
        && ["Exception", "Error", "Throwable", "Failure"]
            .iter()
            .any(|end| memchr::memmem::find(class, end.as_bytes()).is_some())
        && line.get(end + 1).is_none_or(|byte| *byte == b' ')
}

fn python(inside: &mut Inside, open: Option<Open<'_>>, line: &[u8]) -> Verdict {
    const CHAINS: [&[u8]; 2] = [
        b"During handling of the above exception, another exception occurred:",
        b"The above exception was the direct cause of the following exception:",
    ];
    let indented = matches!(line.first(), Some(b' ' | b'\t'));
    let outside = *inside == Inside::No || *inside == Inside::PythonException;
    if begins_python_trace(line) {
        let joins = if outside { *inside == Inside::No && logged_by(open) } else { true };
        *inside = Inside::PythonFrames;
        return if joins { Verdict::Continues } else { Verdict::Begins };
    }
    let next = match *inside {
        Inside::PythonFrames | Inside::PythonException if indented => *inside,
        Inside::PythonFrames if python_exception(line) => Inside::PythonException,
        Inside::PythonException if CHAINS.contains(&line) => Inside::PythonChain,
        Inside::PythonFrames | Inside::PythonException | Inside::PythonChain if line.is_empty() => {
            return Verdict::Waits;
        }
        _ => Inside::No,
    };
    *inside = next;
    if next == Inside::No { Verdict::Begins } else { Verdict::Continues }
}

fn begins_python_trace(line: &[u8]) -> bool {
    let line = line.trim_ascii_start();
    let line = line.strip_prefix(b"+ ").unwrap_or(line);
    let line = line.strip_prefix(b"Exception Group ").unwrap_or(line);
    line.starts_with(b"Traceback (most recent call last):")
}

/// `KeyboardInterrupt`, `package.SomeError: text`; not `INFO: text`.
fn python_exception(line: &[u8]) -> bool {
    let end = memchr::memchr(b':', line).unwrap_or(line.len());
    let name = &line[..end];
    let inside = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.');
    let is_level = || std::str::from_utf8(name).ok().and_then(Severity::from_text).is_some();
    name.first().is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'_')
        && name.iter().all(inside)
        && line.get(end + 1).is_none_or(|byte| *byte == b' ')
        && !is_level()
}

fn go(inside: &mut Inside, open: Option<Open<'_>>, line: &[u8]) -> Verdict {
    let crash = line.starts_with(b"panic: ") || line.starts_with(b"fatal error: ");
    let goroutine = line.starts_with(b"goroutine ") && line.ends_with(b"]:");
    let within = *inside == Inside::Go;
    if crash || goroutine {
        *inside = Inside::Go;
        let joins = goroutine && (within || logged_by(open));
        return if joins { Verdict::Continues } else { Verdict::Begins };
    }
    if within && line.is_empty() {
        return Verdict::Waits;
    }
    if within && go_frame(line) {
        return Verdict::Continues;
    }
    *inside = Inside::No;
    Verdict::Begins
}

/// What stands below `goroutine 1 [running]:` and around it.
fn go_frame(line: &[u8]) -> bool {
    const PREFIXES: [&[u8]; 5] =
        [b"created by ", b"[signal ", b"runtime stack:", b"exit status ", b"..."];
    let indented = matches!(line.first(), Some(b' ' | b'\t'));
    // `main.(*Orders).Take(0xc0000140a0, {0x1, 0x2})`
    let call = || {
        line.ends_with(b")")
            && memchr::memchr(b'(', line).is_some_and(|at| at > 0 && !line[..at].contains(&b' '))
    };
    // `rax    0x0`
    let register = || {
        let at = memchr::memchr(b' ', line).unwrap_or(0);
        (2..=6).contains(&at) && line[at..].trim_ascii_start().starts_with(b"0x")
    };
    indented || PREFIXES.iter().any(|prefix| line.starts_with(prefix)) || call() || register()
}

/// Whether the record may have logged the trace that follows it.
fn logged_by(open: Option<Open<'_>>) -> bool {
    let Some(Open { lines: 1, last_line }) = open else { return false };
    if java_exception(last_line) {
        return false;
    }
    let line = last_line.to_ascii_lowercase();
    ["error", "warn", "crit", "fatal", "severe", "exception", "fail", "panic", "emerg", "alert"]
        .iter()
        .any(|word| memchr::memmem::find(&line, word.as_bytes()).is_some())
}
