//! Being told that something changed, instead of looking: inotify on folders, and a way to be woken.
//!
//! Watching only ever saves time. Whatever cannot be watched (a network file system, no watches left), and
//! whatever was missed (a queue that ran over), is found by polling: see [`Changes::polling`].

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;

/// More folders than these are polled.
const FOLDERS_MAX: usize = 65_536;

/// So many events are taken at a time.
const EVENTS_MAX: usize = 65_536;

/// A busy writer wakes at most once in this time.
const WAKE_EVERY: Duration = Duration::from_millis(20);

/// How long is slept at most: a caller that gives a far time only looks again.
const SLEEP_MAX: Duration = Duration::from_secs(3600);

/// File systems whose changes may come from elsewhere: NFS, SMB (three numbers), Ceph, 9P, FUSE, AFS, GFS2, OCFS2,
/// Lustre.
const REMOTE: [u32; 11] = [
    0x6969,
    0x517b,
    0xff53_4d42,
    0xfe53_4d42,
    0x00c3_6400,
    0x0102_1997,
    0x6573_5546,
    0x5346_414f,
    0x0116_1970,
    0x7461_636f,
    0x0bd0_0bd0,
];

/// Wakes a source from another thread.
#[derive(Clone, Debug)]
pub struct Waker(Arc<OwnedFd>);

impl Waker {
    /// Ends the [`wait`](super::FileSource::wait) that goes on, or the next one.
    pub fn wake(&self) {
        // It fails only if it was woken 2^64 times already.
        let _ = rustix::io::write(&*self.0, &1_u64.to_ne_bytes());
    }
}

/// What happened since the last look.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Written to.
    pub(super) files: HashSet<PathBuf>,
    /// Files or folders came, went, or got other names.
    pub(super) names: bool,
    /// Something was missed: everything is to be looked at.
    pub(super) missed: bool,
}

/// Folders that are watched.
#[derive(Debug)]
pub(super) struct Watch {
    wake: Arc<OwnedFd>,
    inotify: Option<OwnedFd>,
    /// Links resolved.
    paths: HashMap<i32, PathBuf>,
    /// As they were asked for.
    folders: HashMap<PathBuf, i32>,
    /// Folders that cannot be watched.
    polled: HashSet<PathBuf>,
    woken_at: Option<Instant>,
    /// Why files are polled, until it was told.
    pub(super) fault: Option<io::Error>,
}

impl Watch {
    pub(super) fn new(wanted: bool) -> io::Result<Self> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let started = wanted.then(|| inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK));
        let (inotify, fault) = match started {
            None => (None, None),
            Some(Ok(inotify)) => (Some(inotify), None),
            Some(Err(error)) => (None, Some(error.into())),
        };
        Ok(Self {
            wake: Arc::new(wake),
            inotify,
            paths: HashMap::new(),
            folders: HashMap::new(),
            polled: HashSet::new(),
            woken_at: None,
            fault,
        })
    }

    pub(super) fn waker(&self) -> Waker {
        Waker(self.wake.clone())
    }

    /// Whether there are folders whose changes are not told.
    pub(super) fn polling(&self) -> bool {
        self.inotify.is_none() || !self.polled.is_empty()
    }

    /// From now on tells what happens in `folder`, if that can be. Answers whether it is new: what happened in it
    /// before is not told.
    pub(super) fn add(&mut self, folder: &Path) -> bool {
        let Some(inotify) = &self.inotify else { return false };
        if self.folders.contains_key(folder) || self.polled.contains(folder) {
            return false;
        }
        let Ok(real) = std::fs::canonicalize(folder) else { return false };
        let flags = WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::MODIFY
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR;
        if self.folders.len() + self.polled.len() >= FOLDERS_MAX {
            // One that stands for all of them.
            self.polled.insert(PathBuf::new());
            return false;
        }
        if is_remote(&real) {
            self.polled.insert(folder.to_owned());
            return false;
        }
        match inotify::add_watch(inotify, &real, flags) {
            Ok(watch) => {
                self.paths.insert(watch, real);
                self.folders.insert(folder.to_owned(), watch);
                true
            }
            // It is gone already, or is seen when it can be read.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS) => false,
            Err(error) => {
                if self.polled.is_empty() {
                    self.fault = Some(error.into());
                }
                self.polled.insert(folder.to_owned());
                false
            }
        }
    }

    /// Takes what was told since the last time.
    pub(super) fn changes(&mut self) -> Changes {
        let mut changes = Changes::default();
        let Some(inotify) = &self.inotify else { return changes };
        let mut buffer = [MaybeUninit::uninit(); 16 << 10];
        let mut reader = inotify::Reader::new(inotify, &mut buffer);
        let mut lost = Vec::new();
        // What is left waits for the next turn.
        for _ in 0..EVENTS_MAX {
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => break,
                Err(_) => {
                    changes.missed = true;
                    break;
                }
            };
            let what = event.events();
            if what.contains(ReadFlags::QUEUE_OVERFLOW) {
                changes.missed = true;
            } else if what.intersects(
                ReadFlags::IGNORED
                    | ReadFlags::DELETE_SELF
                    | ReadFlags::MOVE_SELF
                    | ReadFlags::UNMOUNT,
            ) {
                lost.push(event.wd());
                changes.names = true;
            } else if what.contains(ReadFlags::MODIFY) {
                if let (Some(folder), Some(name)) = (self.paths.get(&event.wd()), event.file_name())
                {
                    changes.files.insert(folder.join(OsStr::from_bytes(name.to_bytes())));
                }
            } else {
                changes.names = true;
            }
        }
        for watch in lost {
            self.paths.remove(&watch);
            self.folders.retain(|_, of| *of != watch);
            // It is gone already if the kernel said so.
            let _ = inotify::remove_watch(inotify, watch);
        }
        changes
    }

    /// Sleeps until something changed, somebody wakes it, or it is `until`.
    pub(super) fn wait(&mut self, until: Instant) {
        let pause = self.woken_at.map(|at| at + WAKE_EVERY);
        if let Some(pause) = pause.filter(|pause| *pause > Instant::now())
            && self.sleep(pause.min(until), false)
        {
            return;
        }
        self.sleep(until, true);
        self.woken_at = Some(Instant::now());
    }

    /// Whether it was woken by somebody.
    fn sleep(&self, until: Instant, changes: bool) -> bool {
        let mut room = [
            PollFd::from_borrowed_fd(self.wake.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.wake.as_fd(), PollFlags::IN),
        ];
        let mut polled = 1;
        if let Some(inotify) = self.inotify.as_ref().filter(|_| changes) {
            room[1] = PollFd::from_borrowed_fd(inotify.as_fd(), PollFlags::IN);
            polled = 2;
        }
        let left = until.saturating_duration_since(Instant::now()).min(SLEEP_MAX);
        let timeout =
            Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
        // An interruption is a reason to look, too.
        let _ = poll(&mut room[..polled], Some(&timeout));
        rustix::io::read(&*self.wake, &mut [0_u8; 8]).is_ok()
    }
}

fn is_remote(folder: &Path) -> bool {
    rustix::fs::statfs(folder).is_ok_and(|about| REMOTE.contains(&(about.f_type as u32)))
}
