//! Named places in the code at which a test lets the real process die, wait or fail; nothing in a release build.
//!
//! ```text
//! LOGQ_FAILPOINT = point [, point …]
//! point          = NAME = ACTION [ @ TIMES ]
//! ACTION         = kill        SIGKILL to the own process: no destructor runs, nothing is flushed
//!                | sleep:MS    the thread waits that many milliseconds
//!                | fail        the operation fails, where the place is one that can (see [`check`])
//! TIMES          = N           only the N-th time, counted from 1; every time if not given
//! ```
//!
//! Read once, when the first place is reached. What cannot be read is told on standard error and ends the process:
//! a test that meant to kill and does not would prove nothing.

use std::io;

/// A place that was reached; a `fail` for it is only counted.
pub fn reach(name: &'static str) {
    let _ = check(name);
}

/// A place at which the operation may be made to fail.
///
/// # Errors
/// When the environment says so.
#[cfg(debug_assertions)]
pub fn check(name: &'static str) -> io::Result<()> {
    configured::check(name)
}

/// As above; a release build has no such places.
///
/// # Errors
/// Never.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn check(_name: &'static str) -> io::Result<()> {
    Ok(())
}

#[cfg(debug_assertions)]
mod configured {
    use std::io;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    static POINTS: OnceLock<Vec<Point>> = OnceLock::new();

    #[derive(Debug)]
    pub(super) struct Point {
        pub(super) name: String,
        pub(super) action: Action,
        /// Only this time, counted from 1.
        pub(super) time: Option<u64>,
        reached: AtomicU64,
    }

    #[derive(Debug, PartialEq, Eq)]
    pub(super) enum Action {
        Kill,
        Sleep(Duration),
        Fail,
    }

    pub(super) fn check(name: &str) -> io::Result<()> {
        let points = POINTS.get_or_init(|| {
            let text = std::env::var("LOGQ_FAILPOINT").unwrap_or_default();
            parse(&text).unwrap_or_else(|fault| {
                // Only debug builds come here, and a wrong point must not pass for one that was survived.
                tell(&fault);
                std::process::exit(2)
            })
        });
        for point in points.iter().filter(|point| point.name == name) {
            let reached = point.reached.fetch_add(1, Ordering::Relaxed) + 1;
            if point.time.is_some_and(|time| time != reached) {
                continue;
            }
            match point.action {
                Action::Kill => kill(),
                Action::Sleep(time) => std::thread::sleep(time),
                Action::Fail => return Err(io::Error::other(format!("failpoint {name}"))),
            }
        }
        Ok(())
    }

    fn tell(fault: &str) {
        use io::Write;
        let _ = writeln!(io::stderr(), "LOGQ_FAILPOINT: {fault}");
    }

    fn kill() {
        let _ =
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        // Nothing runs after it; if the system would not let us, dying is still what was asked for.
        std::process::abort()
    }

    pub(super) fn parse(text: &str) -> Result<Vec<Point>, String> {
        let points = text.split(',').map(str::trim).filter(|point| !point.is_empty());
        points
            .map(|point| {
                let (name, rest) =
                    point.split_once('=').ok_or_else(|| format!("`{point}` has no `=`"))?;
                let (action, time) = match rest.split_once('@') {
                    Some((action, time)) => {
                        let time = time.parse().ok().filter(|time| *time > 0);
                        (action, Some(time.ok_or_else(|| format!("`{rest}` has no number"))?))
                    }
                    None => (rest, None),
                };
                let action = match action.split_once(':') {
                    None if action == "kill" => Action::Kill,
                    None if action == "fail" => Action::Fail,
                    Some(("sleep", ms)) => Action::Sleep(Duration::from_millis(
                        ms.parse().map_err(|_| format!("`{action}` has no milliseconds"))?,
                    )),
                    _ => return Err(format!("`{action}` is none of kill, fail, sleep:MS")),
                };
                Ok(Point { name: name.to_owned(), action, time, reached: AtomicU64::new(0) })
            })
            .collect()
    }
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use std::time::Duration;

    use super::configured::{Action, parse};

    #[test]
    fn points_are_read_from_the_environment_and_faults_are_told() {
        let points = parse("a.b=kill@3, c=sleep:1000,d=fail").unwrap();
        let points: Vec<_> =
            points.iter().map(|point| (point.name.as_str(), &point.action, point.time)).collect();
        let sleep = Action::Sleep(Duration::from_secs(1));
        let expected =
            [("a.b", &Action::Kill, Some(3)), ("c", &sleep, None), ("d", &Action::Fail, None)];
        assert_eq!(points, expected);
        assert!(parse("").unwrap().is_empty());
        for wrong in ["a", "a=stop", "a=kill@0", "a=kill@x", "a=sleep:long"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
