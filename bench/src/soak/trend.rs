//! Whether memory grows: straight lines through it by least squares.
//!
//! What is resident is anonymous memory, which must not grow, and pages of mapped indexes, which have a bound: the store
//! keeps only so much mapped, and what is mapped the kernel can take back.
//!
//! A life of the process begins with a climb: the part fills, caches warm up. So its first seconds are left out, and a
//! slope of one life is judged only if the life was long. Over all lives the medians of what is left are judged.

use std::collections::BTreeMap;

use super::watch::Second;

/// The climb at the beginning of a life.
const CLIMB_S: f64 = 20.0;
/// Seconds that a median needs, after the climb.
const SECONDS_FOR_MEDIAN: usize = 5;
/// Medians that their slope needs to be judged.
const LIVES_FOR_SLOPE: usize = 3;
/// The medians of lives may grow by this at most. Far above it is any leak that would matter in a day.
pub(crate) const LIVES_SLOPE_MB_PER_MINUTE_MAX: f64 = 15.0;
/// The largest anonymous memory of the second half of a run may be this many times that of the first at most.
pub(crate) const SECOND_HALF_MAX: f64 = 1.25;
/// The store's bound of mapped indexes, with room for the program itself and for a journal that is replayed.
pub(crate) const MAPPED_MB_MAX: f64 = 537.0 + 100.0;
/// Seconds that both halves need.
const SECONDS_FOR_HALVES: usize = 240;

/// One life of the server, with its memory in MB.
#[derive(Clone, Debug)]
pub(crate) struct Life {
    pub(crate) number: u64,
    /// Seconds after the beginning of the run, and how many it was watched.
    pub(crate) from_s: f64,
    pub(crate) watched_s: f64,
    /// The most that was ever resident.
    pub(crate) peak_mb: f64,
    /// After the climb; `None` in a life that was too short.
    pub(crate) resident: Option<Line>,
    /// Without pages of files.
    pub(crate) anonymous: Option<Line>,
}

/// Memory after the climb.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    /// In minutes after the beginning of the run.
    middle: f64,
    pub(crate) median_mb: f64,
    pub(crate) mb_per_minute: f64,
}

/// All lives.
#[derive(Clone, Debug)]
pub(crate) struct Trend {
    pub(crate) lives: Vec<Life>,
    /// Slope of the medians; `None` if there were too few.
    pub(crate) anonymous_mb_per_minute: Option<f64>,
    /// The most in the first and in the second half; `None` if the run was too short.
    pub(crate) anonymous_mb_of_halves: Option<(f64, f64)>,
    /// Pages of files, at most.
    pub(crate) mapped_mb_max: f64,
}

impl Trend {
    pub(crate) fn of(seconds: &[Second]) -> Self {
        let mut lives: BTreeMap<u64, Vec<Reading>> = BTreeMap::new();
        for second in seconds {
            if let (Some(life), Some(usage)) = (second.life, second.usage) {
                let mb = |bytes: u64| bytes as f64 / 1e6;
                lives.entry(life).or_default().push(Reading {
                    at_s: second.at.as_secs_f64(),
                    resident_mb: mb(usage.memory_bytes),
                    anonymous_mb: mb(usage.memory_anonymous_bytes),
                    peak_mb: mb(usage.memory_peak_bytes),
                });
            }
        }
        let all: Vec<Reading> = lives.values().flatten().copied().collect();
        let mapped = all.iter().map(|reading| reading.resident_mb - reading.anonymous_mb);
        let mapped_mb_max = mapped.fold(0.0, f64::max);
        let most =
            |half: &[Reading]| half.iter().map(|reading| reading.anonymous_mb).fold(0.0, f64::max);
        let (first, second) = all.split_at(all.len() / 2);
        let anonymous_mb_of_halves =
            (all.len() >= SECONDS_FOR_HALVES).then(|| (most(first), most(second)));
        let lives: Vec<Life> =
            lives.iter().map(|(number, readings)| Life::of(*number, readings)).collect();
        let settled = lives.iter().filter_map(|life| life.anonymous);
        let medians: Vec<(f64, f64)> = settled.map(|line| (line.middle, line.median_mb)).collect();
        Self {
            anonymous_mb_per_minute: slope(&medians).filter(|_| medians.len() >= LIVES_FOR_SLOPE),
            anonymous_mb_of_halves,
            mapped_mb_max,
            lives,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Reading {
    at_s: f64,
    resident_mb: f64,
    anonymous_mb: f64,
    peak_mb: f64,
}

impl Life {
    fn of(number: u64, readings: &[Reading]) -> Self {
        let from_s = readings.first().map_or(0.0, |first| first.at_s);
        let until_s = readings.last().map_or(0.0, |last| last.at_s);
        let settled: Vec<Reading> =
            readings.iter().copied().filter(|reading| reading.at_s - from_s >= CLIMB_S).collect();
        Self {
            number,
            from_s,
            watched_s: until_s - from_s,
            peak_mb: readings.iter().map(|reading| reading.peak_mb).fold(0.0, f64::max),
            resident: Line::of(&settled, |reading| reading.resident_mb),
            anonymous: Line::of(&settled, |reading| reading.anonymous_mb),
        }
    }
}

impl Line {
    fn of(settled: &[Reading], memory: fn(&Reading) -> f64) -> Option<Self> {
        if settled.len() < SECONDS_FOR_MEDIAN {
            return None;
        }
        let points: Vec<(f64, f64)> =
            settled.iter().map(|reading| (reading.at_s / 60.0, memory(reading))).collect();
        let mut sorted: Vec<f64> = points.iter().map(|(_, memory)| *memory).collect();
        sorted.sort_by(f64::total_cmp);
        Some(Self {
            middle: points.iter().map(|(at, _)| at).sum::<f64>() / points.len() as f64,
            median_mb: sorted[sorted.len() / 2],
            mb_per_minute: slope(&points)?,
        })
    }
}

/// Of the straight line that fits best; `None` if all points have the same x.
fn slope(points: &[(f64, f64)]) -> Option<f64> {
    let n = points.len() as f64;
    let (x_mean, y_mean) =
        points.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0, y + point.1));
    let (x_mean, y_mean) = (x_mean / n, y_mean / n);
    let mut products = 0.0;
    let mut squares = 0.0;
    for (x, y) in points {
        products += (x - x_mean) * (y - y_mean);
        squares += (x - x_mean) * (x - x_mean);
    }
    (squares > 0.0).then(|| products / squares)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::process::Usage;

    /// Lives of two minutes and a half, each with its climb, on memory that grows by so much a minute over all.
    fn seconds(lives: u64, leak_mb_per_minute: f64) -> Vec<Second> {
        (0..lives * 150)
            .map(|at| {
                let of_life = (at % 150) as f64;
                let mb = 200.0 * (of_life / 20.0).min(1.0)
                    + (at % 3) as f64 * 20.0
                    + leak_mb_per_minute * at as f64 / 60.0;
                let memory_bytes = (mb * 1e6) as u64;
                Second {
                    at: Duration::from_secs(at),
                    life: Some(at / 150 + 1),
                    usage: Some(Usage {
                        cpu: Duration::ZERO,
                        memory_peak_bytes: memory_bytes,
                        memory_bytes,
                        memory_anonymous_bytes: memory_bytes / 2,
                    }),
                    disk: None,
                    segments: None,
                    acknowledged_bytes: 0,
                }
            })
            .collect()
    }

    #[test]
    fn a_climb_and_a_sawtooth_are_no_trend_and_a_leak_is_one() {
        let even = Trend::of(&seconds(4, 0.0));
        assert_eq!(even.lives.len(), 4);
        assert!(even.anonymous_mb_per_minute.unwrap().abs() < 1.0);
        let (first, second) = even.anonymous_mb_of_halves.unwrap();
        assert!((second / first - 1.0).abs() < 0.01);
        assert!((even.mapped_mb_max - 120.0).abs() < 1.0);
        let leak = Trend::of(&seconds(4, 30.0));
        assert!((leak.anonymous_mb_per_minute.unwrap() - 15.0).abs() < 1.0);
        let (first, second) = leak.anonymous_mb_of_halves.unwrap();
        assert!((second - first - 15.0 * 5.0).abs() < 2.0);
    }

    #[test]
    fn a_run_that_is_too_short_is_not_judged() {
        let trend = Trend::of(&seconds(4, 0.0)[..22]);
        assert_eq!(trend.lives.len(), 1);
        assert!(trend.anonymous_mb_per_minute.is_none() && trend.anonymous_mb_of_halves.is_none());
        assert!(Trend::of(&[]).lives.is_empty());
    }
}
