//! `kill -9` at moments drawn from the seed, and a new start on the same data and ports at once. Some starts are killed
//! as well, while the journal is replayed or just after.

use std::sync::Arc;
use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::progress::Progress;
use crate::server::{Installation, Server};

/// Waits are drawn again beyond this many times their mean, so that a run of some minutes has kills.
const WAIT_MEANS_MAX: f64 = 4.0;

/// How many starts are killed as well, and how soon at most.
const START_KILLED_SHARE: f64 = 0.3;
const START_KILLED_WITHIN: Duration = Duration::from_millis(300);

/// One kill.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kill {
    /// After the beginning of the run.
    pub(crate) at: Duration,
    /// When the start after it was killed too, after its spawn.
    pub(crate) start_killed: Option<Duration>,
    /// From the new spawn to the ready block.
    pub(crate) ready_after: Duration,
}

/// Kills until the run is over; gives the server that runs then, if one does.
pub(crate) async fn run(
    installation: Installation,
    mut server: Server,
    mean: Option<Duration>,
    seed: u64,
    progress: Arc<Progress>,
) -> (Option<Server>, Vec<Kill>) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut kills = Vec::new();
    loop {
        let Some(mean) = mean else {
            progress.until_over().await;
            return (Some(server), kills);
        };
        tokio::select! {
            () = progress.until_over() => return (Some(server), kills),
            () = tokio::time::sleep(draw_wait(mean, &mut random)) => {}
        }
        progress.down();
        let at = progress.begun.elapsed();
        server.kill();
        let start_killed = random
            .random_bool(START_KILLED_SHARE)
            .then(|| START_KILLED_WITHIN.mul_f64(random.random()));
        let installation = installation.clone();
        // The start waits for the ready block, and the senders must meet a dead server meanwhile.
        let started = tokio::task::spawn_blocking(move || {
            if let Some(after) = start_killed {
                installation.start_and_kill(after)?;
            }
            installation.start().map(|server| (server.started.elapsed(), server))
        });
        let ready_after;
        (ready_after, server) = match started.await {
            Ok(Ok(started)) => started,
            Ok(Err(error)) => {
                progress.abort(format!("no start after kill {}: {error:#}", kills.len() + 1));
                return (None, kills);
            }
            Err(error) => {
                progress.abort(format!("the thread that starts the server ended: {error}"));
                return (None, kills);
            }
        };
        kills.push(Kill { at, start_killed, ready_after });
        progress.up(kills.len() as u64 + 1, server.pid());
    }
}

/// Exponential: a kill is as likely at any moment.
fn draw_wait(mean: Duration, random: &mut impl Rng) -> Duration {
    loop {
        let means = -(1.0 - random.random::<f64>()).ln();
        if means <= WAIT_MEANS_MAX {
            return mean.mul_f64(means);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_around_their_mean_and_bounded() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let mean = Duration::from_secs(45);
        let waits: Vec<Duration> = (0..1_000).map(|_| draw_wait(mean, &mut random)).collect();
        assert!(waits.iter().all(|wait| *wait <= mean * 4));
        let average = waits.iter().sum::<Duration>() / 1_000;
        assert!((38..48).contains(&average.as_secs()), "{average:?}");
    }
}
