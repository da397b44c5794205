//! What the kernel says about this process: `/proc` on Linux, nothing elsewhere.

use std::fs;

/// Clock ticks a second in `/proc/*/stat`; the kernel's interface has it fixed (USER_HZ).
const TICKS_PER_SECOND: f64 = 100.0;

/// Figures of the standard `process_` metrics; `None` where the system does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct ProcessFigures {
    pub(crate) cpu_seconds: Option<f64>,
    pub(crate) resident_bytes: Option<f64>,
    pub(crate) virtual_bytes: Option<f64>,
    pub(crate) open_fds: Option<f64>,
    pub(crate) max_fds: Option<f64>,
    pub(crate) start_time_seconds: Option<f64>,
}

impl ProcessFigures {
    /// Reads them now.
    pub(crate) fn read() -> Self {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let (stat, status, limits) =
            (text("/proc/self/stat"), text("/proc/self/status"), text("/proc/self/limits"));
        Self {
            cpu_seconds: stat_field(&stat, 14)
                .zip(stat_field(&stat, 15))
                .map(|(user, system)| (user + system) / TICKS_PER_SECOND),
            resident_bytes: status_kib(&status, "VmRSS:").map(|kib| kib * 1024.0),
            virtual_bytes: status_kib(&status, "VmSize:").map(|kib| kib * 1024.0),
            open_fds: fs::read_dir("/proc/self/fd").ok().map(|entries| entries.count() as f64),
            max_fds: max_fds(&limits),
            start_time_seconds: stat_field(&stat, 22)
                .zip(boot_time(&text("/proc/stat")))
                .map(|(ticks, boot)| boot + ticks / TICKS_PER_SECOND),
        }
    }
}

/// A field of `/proc/self/stat`, numbered from 1 as in proc(5). The second, a name in parentheses, may hold
/// blanks and parentheses itself.
fn stat_field(stat: &str, number: usize) -> Option<f64> {
    let after_name = &stat[stat.rfind(')')? + 1..];
    after_name.split_ascii_whitespace().nth(number.checked_sub(3)?)?.parse().ok()
}

fn status_kib(status: &str, name: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// The soft limit; none if it is "unlimited".
fn max_fds(limits: &str) -> Option<f64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

fn boot_time(stat: &str) -> Option<f64> {
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_blanks_and_parentheses_does_not_shift_the_fields() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 4 0 12345 1000 10";
        assert_eq!(stat_field(stat, 14), Some(250.0));
        assert_eq!(stat_field(stat, 22), Some(12_345.0));
        assert_eq!(stat_field("", 14), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn linux_says_everything() {
        let figures = ProcessFigures::read();
        assert!(figures.resident_bytes > Some(100_000.0), "{figures:?}");
        assert!(figures.virtual_bytes >= figures.resident_bytes, "{figures:?}");
        assert!(figures.open_fds > Some(2.0) && figures.cpu_seconds.is_some(), "{figures:?}");
        assert!(figures.start_time_seconds > Some(1.5e9), "{figures:?}");
    }
}
