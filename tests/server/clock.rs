//! A server whose clock is not the machine's, by libfaketime.

use std::path::Path;
use std::process::Command;

use super::skipped;

/// Where the library is; `None` if it is not installed, which is told, and which CI may not do without.
pub(crate) fn faketime_library() -> Option<String> {
    // Its own wrapper takes signals for itself, so it is only asked where its library is.
    let asked =
        Command::new("faketime").args(["-m", "-f", "-1h", "printenv", "LD_PRELOAD"]).output();
    let Ok(asked) = asked else {
        skipped("faketime is missing, so no clock is set back");
        assert!(std::env::var("CI").as_deref() != Ok("true"), "CI may skip nothing");
        return None;
    };
    Some(String::from_utf8(asked.stdout).unwrap().trim().to_owned())
}

/// Lets a process believe what `offset` says, such as `-1h`; its timers run as they should.
pub(crate) fn set_apart(command: &mut Command, library: &str, offset: &str) {
    command
        .env("LD_PRELOAD", library)
        .env("FAKETIME", offset)
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
}

/// The same by what stands in a file, which may change while it runs.
pub(crate) fn set_by_file(command: &mut Command, library: &str, file: &Path) {
    command
        .env("LD_PRELOAD", library)
        .env("FAKETIME_TIMESTAMP_FILE", file)
        .env("FAKETIME_NO_CACHE", "1")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
}
