//! When to stop: a token that every task can hold, and the signals that set it off.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// The exit code after a second signal: 128 + SIGINT.
pub const IMPATIENT_EXIT_CODE: i32 = 130;

/// Tells its holders when to stop. Cheap to clone; once set off it stays so.
#[derive(Clone, Debug)]
pub struct Shutdown {
    requested: watch::Receiver<bool>,
}

/// Sets off the [`Shutdown`] it was made with. Dropping it sets off too: whoever was to decide is gone.
#[derive(Debug)]
pub struct Trigger {
    requested: watch::Sender<bool>,
}

impl Shutdown {
    /// A token and what sets it off.
    pub fn new() -> (Trigger, Self) {
        let (sender, receiver) = watch::channel(false);
        (Trigger { requested: sender }, Self { requested: receiver })
    }

    /// A token that SIGTERM and SIGINT set off. A second signal ends the process at once with
    /// [`IMPATIENT_EXIT_CODE`].
    ///
    /// # Errors
    /// If the handlers cannot be installed. Must be called inside a tokio runtime.
    pub fn on_signals() -> io::Result<Self> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let (trigger, token) = Self::new();
        tokio::spawn(async move {
            for first in [true, false] {
                let name = tokio::select! {
                    _ = terminate.recv() => "SIGTERM",
                    _ = interrupt.recv() => "SIGINT",
                };
                if !first {
                    tracing::warn!(signal = name, "second signal, exiting at once");
                    std::process::exit(IMPATIENT_EXIT_CODE);
                }
                tracing::info!(signal = name, "stopping; a second signal exits at once");
                trigger.set_off();
            }
        });
        Ok(token)
    }

    /// Returns when it is time to stop, at once if it was time already.
    pub async fn requested(&self) {
        // An error says that the trigger was dropped.
        let _ = self.requested.clone().wait_for(|requested| *requested).await;
    }

    /// Whether it is time to stop.
    pub fn is_requested(&self) -> bool {
        *self.requested.borrow() || self.requested.has_changed().is_err()
    }
}

impl Trigger {
    /// Tells all holders to stop.
    pub fn set_off(&self) {
        self.requested.send_replace(true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_clones_hear_of_it_before_and_after() {
        let (trigger, token) = Shutdown::new();
        let early = tokio::spawn({
            let token = token.clone();
            async move { token.requested().await }
        });
        assert!(!token.is_requested());
        trigger.set_off();
        early.await.unwrap();
        token.clone().requested().await;
        assert!(token.is_requested());
    }

    #[tokio::test]
    async fn a_dropped_trigger_stops_too() {
        let (trigger, token) = Shutdown::new();
        drop(trigger);
        token.requested().await;
        assert!(token.is_requested());
    }
}
