//! Rotates the logs, each by a method chosen at random, as people and `logrotate` do it.
//!
//! Exactly once is claimed for every line that lies in a file for long enough to be read, so the rules are:
//!
//! * a file is removed for good only when the store has all of it, or while the agent has it open and is not killed
//!   or restarted before the store has all of it: a line that was deleted unread is lost to anyone;
//! * a line that was truncated away after the copy was made may be lost: it is then in no file any more. The agent tells
//!   of the truncation, if it had the content before; what came and went while it was down is as if it had never been;
//! * a file is compressed only when the program has let go of it, as `logrotate` says itself;
//! * logs in `all/` are included together with their rotated files, and are rotated at any time. Of those in `live/`
//!   only the log itself is included, so it is rotated only when the store has a line of its present content:
//!   content that came and went while the agent was down has a name that the agent was not told to read.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::agent::Agent;
use super::collector::Collector;
use super::server::skipped;
use super::timeline::{Random, Timeline};
use super::truth::{self, Content};
use super::writer::Log;

/// How long the store may take to get what was written; longer than any fault lasts.
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Clone, Copy, Debug)]
enum Method {
    Rename,
    RenameAndWriteOn,
    CopyTruncate,
    DeleteWhenRead,
    DeleteWhileOpen,
    Logrotate(&'static str),
}

/// What all rotations share.
#[derive(Debug)]
pub(crate) struct Rotation<'a> {
    pub(crate) agent: &'a Agent,
    pub(crate) collector: &'a Collector<'a>,
    pub(crate) timeline: &'a Timeline,
    /// Where configurations and states of `logrotate` are.
    pub(crate) folder: &'a Path,
    /// What was in files that are gone.
    pub(crate) deleted: &'a Mutex<Content>,
    pub(crate) stop: &'a AtomicBool,
    pub(crate) has_logrotate: bool,
}

/// Whether `logrotate` is installed; said loudly if it is not. In CI that is a failure.
pub(crate) fn has_logrotate() -> bool {
    let found = Command::new("logrotate").arg("--version").stderr(Stdio::null()).status();
    let found = found.is_ok_and(|status| status.success());
    if !found {
        skipped("logrotate is not installed, so logs are rotated by hand only");
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "CI may skip nothing");
    }
    found
}

impl Rotation<'_> {
    /// Rotates a log every few seconds until it is told to stop.
    pub(crate) fn run(&self, log: &Log, mut random: Random) {
        let mut number = 0;
        while !self.stop.load(Ordering::SeqCst) {
            self.pause(random.between_ms(500, 4_000));
            if !is_in_all(log) && !self.is_begun(log) {
                continue;
            }
            number += 1;
            self.rotate(log, number, &mut random);
        }
    }

    fn pause(&self, pause: Duration) {
        let until = Instant::now() + pause;
        while Instant::now() < until && !self.stop.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Whether the store has a line of what the log holds now, so that the agent knows that content for good.
    fn is_begun(&self, log: &Log) -> bool {
        log.ids().is_some_and(|(first, _)| self.collector.count(&format!("id:{first}")) == Some(1))
    }

    fn rotate(&self, log: &Log, number: u32, random: &mut Random) {
        let directives = random.pick(logrotate_directives(log.number));
        let method = match random.below(if self.has_logrotate { 7 } else { 5 }) {
            0 => Method::Rename,
            1 => Method::RenameAndWriteOn,
            2 => Method::CopyTruncate,
            3 => Method::DeleteWhenRead,
            4 => Method::DeleteWhileOpen,
            _ => Method::Logrotate(directives),
        };
        self.note(log, format!("{method:?} {number} begins"));
        match method {
            Method::Rename => self.rename(log, number, Duration::ZERO, random),
            Method::RenameAndWriteOn => {
                let moment = random.between_ms(1, 3_000);
                self.rename(log, number, moment, random);
            }
            Method::CopyTruncate => self.copy_and_truncate(log, number, random),
            Method::DeleteWhenRead => self.delete_when_read(log),
            Method::DeleteWhileOpen => self.delete_while_open(log),
            Method::Logrotate(directives) => self.logrotate(log, directives),
        }
        self.note(log, format!("{method:?} {number} is done"));
    }

    fn note(&self, log: &Log, what: impl Into<String>) {
        self.timeline.note(&log.actor(), what);
    }

    fn rename(&self, log: &Log, number: u32, write_on: Duration, random: &mut Random) {
        std::fs::rename(&log.path, rotated(log, number, random)).unwrap();
        self.pause(write_on);
        log.reopen(self.timeline);
    }

    fn copy_and_truncate(&self, log: &Log, number: u32, random: &mut Random) {
        log.begin_window(self.is_begun(log));
        std::fs::copy(&log.path, rotated(log, number, random)).unwrap();
        std::thread::sleep(Duration::from_millis(random.pick(&[0, 0, 5, 100])));
        OpenOptions::new().write(true).open(&log.path).unwrap().set_len(0).unwrap();
        log.end_window();
    }

    fn delete_when_read(&self, log: &Log) {
        log.close(self.timeline);
        let content = truth::read(&log.path);
        self.wait_for(log, &content);
        std::fs::remove_file(&log.path).unwrap();
        self.deleted.lock().unwrap().extend(content);
        log.reopen(self.timeline);
    }

    fn delete_while_open(&self, log: &Log) {
        let Some(_spared) = self.agent.spare_while_open(&log.path) else {
            return self.note(log, "the agent does not have it open: it stays");
        };
        let mut file = File::open(&log.path).unwrap();
        std::fs::remove_file(&log.path).unwrap();
        log.reopen(self.timeline);
        log.complete_line(self.timeline);
        let content = truth::read_open(&mut file);
        self.wait_for(log, &content);
        self.deleted.lock().unwrap().extend(content);
    }

    /// Waits until the store has all of what a file of the log held.
    fn wait_for(&self, log: &Log, content: &Content) {
        let started = Instant::now();
        while self.is_stored(log, content) != Some(true) {
            assert!(
                started.elapsed() < PATIENCE,
                "the store does not have all {} lines of {}, ids {:?} to {:?}, after {} s\n{}",
                content.ids.len(),
                log.path.display(),
                content.ids.first(),
                content.ids.last(),
                PATIENCE.as_secs(),
                self.timeline.around(Duration::ZERO, Duration::MAX, &[log.actor()])
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// `None` while the store does not answer.
    fn is_stored(&self, log: &Log, content: &Content) -> Option<bool> {
        if !content.fragments.is_empty() {
            let stored = self.collector.fragments()?;
            if !content.fragments.iter().all(|fragment| stored.contains(fragment)) {
                return Some(false);
            }
        }
        let (Some(first), Some(last)) = (content.ids.first(), content.ids.last()) else {
            return Some(true);
        };
        // The log has no other ids in between.
        let query = format!("of_log:{} id:[{first} TO {last}]", log.number);
        Some(self.collector.count(&query)? == content.ids.len() as u64)
    }

    fn logrotate(&self, log: &Log, directives: &str) {
        log.complete_line(self.timeline);
        let file = |what: &str| self.folder.join(format!("logrotate-{}.{what}", log.number));
        let (config, state, reopen) = (file("conf"), file("state"), file("reopen"));
        let copies = directives.contains("copytruncate");
        let script = match copies {
            true => String::new(),
            // As after `kill -USR1`, but the program is waited for.
            false => format!(
                "postrotate\n: > {reopen}\nwhile [ -e {reopen} ]; do sleep 0.02; done\nendscript",
                reopen = reopen.display()
            ),
        };
        let text = format!("{} {{\nrotate 10000\n{directives}\n{script}\n}}\n", log.path.display());
        std::fs::write(&config, text).unwrap();
        if directives.contains("dateext") {
            // The names have seconds: a second rotation within one would not be done.
            wait_for_the_next_second();
        }
        if copies {
            log.begin_window(self.is_begun(log));
        }
        let mut child = Command::new("logrotate")
            .args(["--force", "--state"])
            .args([&state, &config])
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        while child.try_wait().unwrap().is_none() {
            if reopen.exists() {
                log.reopen(self.timeline);
                // It may be compressed from here on.
                log.complete_line(self.timeline);
                std::fs::remove_file(&reopen).unwrap();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        if copies {
            log.end_window();
        }
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "logrotate: {}", String::from_utf8_lossy(&output.stderr));
    }
}

fn wait_for_the_next_second() {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    std::thread::sleep(Duration::from_nanos(u64::from(1_000_000_000 - since.subsec_nanos())));
}

fn is_in_all(log: &Log) -> bool {
    log.path.parent().is_some_and(|folder| folder.ends_with("all"))
}

/// What `logrotate` does to a log: one way of naming each, because it overwrites what another way has named.
fn logrotate_directives(log: usize) -> &'static [&'static str] {
    match log % 5 {
        0 => &["create", "copytruncate"],
        1 => &["create\ncompress", "copytruncate\ncompress"],
        2 => &["create\ncompress\ndelaycompress"],
        3 => &[
            "create\ndateext\ndateformat -%Y%m%d-%s",
            "create\ncompress\ndateext\ndateformat -%Y%m%d-%s",
            "copytruncate\ndateext\ndateformat -%Y%m%d-%s",
            "copytruncate\ncompress\ndateext\ndateformat -%Y%m%d-%s",
        ],
        _ => &["create", "copytruncate"],
    }
}

/// A name that is given to a rotated file by hand.
fn rotated(log: &Log, number: u32, random: &mut Random) -> PathBuf {
    let name = log.path.file_name().unwrap().to_str().unwrap();
    let stem = name.strip_suffix(".log").unwrap();
    let names = [
        format!("{name}.old-{number}"),
        format!("{name}-{number}"),
        // In `live/` it would be included.
        if is_in_all(log) {
            format!("{stem}-{number}.log")
        } else {
            format!("{stem}.log~{number}")
        },
    ];
    log.path.with_file_name(&names[random.below(3) as usize])
}
