//! What goes wrong meanwhile: each kind of trouble has a thread of its own, so that they meet in all ways.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::agent::Agent;
use super::collector::Collector;
use super::proxy::{Proxy, Weather};
use super::server::small_disk::SmallDisk;
use super::timeline::{Random, Timeline};

/// What all faults share.
#[derive(Debug)]
pub(crate) struct Faults<'a> {
    pub(crate) agent: &'a Agent,
    pub(crate) collector: &'a Collector<'a>,
    pub(crate) proxy: &'a Proxy,
    pub(crate) disk: Option<&'a SmallDisk>,
    pub(crate) timeline: &'a Timeline,
    pub(crate) stop: &'a AtomicBool,
}

impl Faults<'_> {
    /// Kills the agent, stops it, makes it read its configuration anew; leaves it running.
    pub(crate) fn of_agent(&self, mut random: Random) {
        while self.pause(random.between_ms(500, 8_000)) {
            match random.below(6) {
                0..3 => self.agent.kill(self.timeline),
                3 => self.agent.stop(self.timeline),
                _ => {
                    self.agent.reload(random.pick(&[20, 100, 200, 1_000]), self.timeline);
                    continue;
                }
            }
            self.pause(random.between_ms(1, 4_000));
            self.agent.start(self.timeline);
        }
    }

    /// Kills the collector; leaves it running.
    pub(crate) fn of_collector(&self, mut random: Random) {
        while self.pause(random.between_ms(2_000, 12_000)) {
            self.collector.kill(self.timeline);
            self.pause(random.between_ms(1, 3_000));
            self.collector.start(self.timeline);
        }
    }

    /// Breaks the network; leaves it whole.
    pub(crate) fn of_network(&self, mut random: Random) {
        while self.pause(random.between_ms(500, 5_000)) {
            let weather = random.pick(&Weather::BAD);
            self.timeline.note("network", format!("{weather:?}"));
            self.proxy.set(weather);
            self.pause(random.between_ms(200, 4_000));
            self.proxy.set(Weather::Fair);
            self.timeline.note("network", "is whole");
        }
    }

    /// Fills the agent's disk; leaves it free.
    pub(crate) fn of_disk(&self, mut random: Random) {
        let Some(disk) = self.disk else { return };
        while self.pause(random.between_ms(3_000, 12_000)) {
            disk.fill();
            self.timeline.note("disk", "is full");
            self.pause(random.between_ms(500, 5_000));
            disk.free();
            self.timeline.note("disk", "is free");
        }
    }

    /// Whether to go on afterwards.
    fn pause(&self, pause: Duration) -> bool {
        let until = Instant::now() + pause;
        while Instant::now() < until && !self.stop.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(10));
        }
        !self.stop.load(Ordering::SeqCst)
    }
}
