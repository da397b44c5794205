//! A disk that is soon full.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::skipped;

/// A small file system of its own in a mount namespace of its own, gone with the process that holds it.
#[derive(Debug)]
pub(crate) struct SmallDisk {
    holder: Child,
    path: PathBuf,
}

impl SmallDisk {
    /// `None`, loudly, where mounting is not allowed.
    pub(crate) fn mount(path: PathBuf, size_mib: usize) -> Option<Self> {
        let script =
            format!("mount -t tmpfs -o size={size_mib}m tmpfs \"$0\" && echo mounted && exec cat");
        let holder = Command::new("unshare")
            .args(["--map-root-user", "--mount", "sh", "-c", &script])
            .arg(&path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mounted = holder.ok().and_then(|mut holder| {
            let mut line = String::new();
            BufReader::new(holder.stdout.take()?).read_line(&mut line).ok()?;
            let disk = Self { holder, path };
            (line == "mounted\n").then_some(disk)
        });
        if mounted.is_none() {
            skipped("no file system can be mounted here, so no real process meets a full disk");
        }
        mounted
    }

    /// Begins the command line of a process that sees it.
    pub(crate) fn launcher(&self) -> Vec<String> {
        let holder = self.holder.id().to_string();
        let words = ["nsenter", "--preserve-credentials", "--user", "--mount", "--target", &holder];
        words.map(str::to_owned).to_vec()
    }

    /// Where those see it that are not in its namespace.
    pub(crate) fn outside(&self) -> PathBuf {
        let path = self.path.strip_prefix("/").unwrap();
        PathBuf::from(format!("/proc/{}/root", self.holder.id())).join(path)
    }

    fn filler(&self) -> PathBuf {
        self.outside().join("filler")
    }

    /// Writes until nothing more fits.
    pub(crate) fn fill(&self) {
        let mut file = File::create(self.filler()).unwrap();
        for size in [1 << 20, 4_096, 1] {
            let piece = vec![0; size];
            let error = loop {
                if let Err(error) = file.write_all(&piece) {
                    break error;
                }
            };
            assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}");
        }
    }

    /// Lets it be written, `rw`, or only read, `ro`.
    pub(crate) fn remount(&self, how: &str) {
        let launcher = self.launcher();
        let mount = Command::new(&launcher[0])
            .args(&launcher[1..])
            .args(["mount", "-o", &format!("remount,{how}")])
            .arg(&self.path)
            .output()
            .unwrap();
        assert!(mount.status.success(), "{}", String::from_utf8_lossy(&mount.stderr));
    }

    pub(crate) fn free(&self) {
        std::fs::remove_file(self.filler()).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
