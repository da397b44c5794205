//! What the kernel knows of a process: CPU time and memory, from `/proc/PID`.

use std::time::Duration;

use anyhow::Context;

/// One reading of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Usage {
    /// User and system time of all its threads since it began.
    pub(crate) cpu: Duration,
    /// The most memory that it ever had resident (`VmHWM`), in bytes.
    pub(crate) memory_peak_bytes: u64,
    /// What it has resident now (`VmRSS`), in bytes.
    pub(crate) memory_bytes: u64,
    /// That without pages of files (`RssAnon`), in bytes.
    pub(crate) memory_anonymous_bytes: u64,
}

impl Usage {
    /// Reads a process.
    ///
    /// # Errors
    /// When it is gone, or `/proc` is not there.
    pub(crate) fn of(pid: u32) -> anyhow::Result<Self> {
        let read = |name: &str| {
            let path = format!("/proc/{pid}/{name}");
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))
        };
        let ticks = cpu_ticks(&read("stat")?)
            .context("/proc/PID/stat has another form than proc(5) says")?;
        let status = read("status")?;
        let memory = |name: &str| {
            memory_bytes(&status, name)
                .with_context(|| format!("/proc/PID/status has no line {name}"))
        };
        let ticks_per_second = rustix::param::clock_ticks_per_second() as f64;
        Ok(Self {
            cpu: Duration::from_secs_f64(ticks as f64 / ticks_per_second),
            memory_peak_bytes: memory("VmHWM:")?,
            memory_bytes: memory("VmRSS:")?,
            memory_anonymous_bytes: memory("RssAnon:")?,
        })
    }

    /// Reads this process.
    ///
    /// # Errors
    /// When `/proc` is not there.
    pub(crate) fn of_self() -> anyhow::Result<Self> {
        Self::of(std::process::id())
    }
}

/// Fields 14 and 15 of `/proc/PID/stat`; the name before them is in parentheses and may hold anything.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn memory_bytes(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_behind_any_name() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194304 90 0 0 0 120 34 0 0 20 0 1 0 5 6 7";
        assert_eq!(cpu_ticks(stat), Some(154));
        assert_eq!(cpu_ticks("7 (a"), None);
    }

    #[test]
    fn memory_is_in_kibibytes() {
        let status = "Name:\tx\nVmHWM:\t   12 kB\nVmRSS:\t 3 kB\n";
        assert_eq!(memory_bytes(status, "VmHWM:"), Some(12_288));
        assert_eq!(memory_bytes(status, "VmRSS:"), Some(3_072));
        assert_eq!(memory_bytes("Name:\tx\n", "VmHWM:"), None);
    }

    #[test]
    fn this_process_can_be_read() {
        assert!(Usage::of_self().expect("linux").memory_peak_bytes > 100_000);
    }
}
