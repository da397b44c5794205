//! Exit codes, the same for every command.

/// What the process ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Found, done.
    Success = 0,
    /// Nothing found; or the account does not add up, the shipment is not whole.
    Failure = 1,
    /// Bad query or usage, bad configuration, a data folder in use.
    Usage = 2,
    /// The server cannot be reached.
    Unreachable = 3,
    /// The answer is partial.
    Partial = 4,
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        std::process::ExitCode::from(exit as u8)
    }
}
