//! Which files there are: globs, and a walk that looks only where they lead.
//!
//! A glob is cut at its slashes. A name without wildcards is stepped into without listing its folder; `**` stands
//! for any number of folders, none too. Wildcards match within one name, hidden ones too. Links are followed; a
//! folder is walked once for each place in a glob, however many links lead to it, so loops end.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs::{FileType, Metadata};
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use globset::{Glob, GlobBuilder, GlobMatcher, GlobSet, GlobSetBuilder};

use super::FileSourceError;
use super::identity::{Place, Stamp, is_absent};

/// Deeper folders are not walked.
const DEPTH_MAX: usize = 64;

/// At most so many faults are told in one walk.
const FAULTS_MAX: usize = 1_000;

/// A regular file that the globs lead to.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) place: Place,
    pub(super) stamp: Stamp,
}

/// What a walk saw.
#[derive(Debug, Default)]
pub(super) struct Walked {
    /// In order of the globs, then of names; a file with two names or two globs is here twice.
    pub(super) files: Vec<Found>,
    /// Matched, but neither file nor folder.
    pub(super) not_files: Vec<(PathBuf, &'static str)>,
    /// Could not be looked at.
    pub(super) faults: Vec<(PathBuf, io::Error)>,
    /// Where new files may appear.
    pub(super) folders: Vec<PathBuf>,
    /// Whether there were more files than asked for.
    pub(super) too_many: bool,
}

/// Globs that say which files belong to a source.
#[derive(Debug)]
pub(crate) struct Patterns {
    include: Vec<Pattern>,
    included: GlobSet,
    excluded: GlobSet,
}

#[derive(Debug)]
struct Pattern {
    base: PathBuf,
    steps: Vec<Step>,
}

#[derive(Debug)]
enum Step {
    Name(OsString),
    Match(GlobMatcher),
    Deep,
}

impl Patterns {
    pub(super) fn new(include: &[String], exclude: &[String]) -> Result<Self, FileSourceError> {
        if include.is_empty() {
            return Err(FileSourceError::NothingIncluded);
        }
        let current = std::env::current_dir().map_err(FileSourceError::Start)?;
        let patterns = include.iter().map(|glob| Pattern::new(glob, &current));
        let whole = |glob: &String, anywhere: bool| {
            if Path::new(glob).is_absolute() {
                return glob.clone();
            }
            if anywhere && !glob.contains('/') {
                return format!("**/{glob}");
            }
            let glob = glob.strip_prefix("./").unwrap_or(glob);
            format!("{}/{glob}", globset::escape(&current.to_string_lossy()))
        };
        Ok(Self {
            include: patterns.collect::<Result<_, _>>()?,
            included: glob_set(include.iter().map(|glob| whole(glob, false)))?,
            excluded: glob_set(exclude.iter().map(|glob| whole(glob, true)))?,
        })
    }

    /// Whether a file of this path would be read.
    pub(crate) fn matches(&self, path: &Path) -> bool {
        self.included.is_match(path) && !self.excluded.is_match(path)
    }

    /// Looks at what is there, at no more than about `files_max` files.
    pub(super) fn walk(&self, files_max: usize) -> Walked {
        let mut walk = Walk {
            excluded: &self.excluded,
            files_max,
            walked: Walked::default(),
            pattern: 0,
            visited: HashSet::new(),
            listed: None,
        };
        for (number, pattern) in self.include.iter().enumerate() {
            walk.pattern = number;
            walk.step(&pattern.base, &pattern.steps, 0);
        }
        walk.walked
    }
}

fn glob_set(globs: impl Iterator<Item = String>) -> Result<GlobSet, FileSourceError> {
    let mut set = GlobSetBuilder::new();
    for glob in globs {
        set.add(compile(&glob)?);
    }
    set.build().map_err(|error| FileSourceError::Pattern {
        pattern: String::new(),
        reason: error.to_string(),
    })
}

fn compile(glob: &str) -> Result<Glob, FileSourceError> {
    GlobBuilder::new(glob).literal_separator(true).build().map_err(|error| {
        FileSourceError::Pattern { pattern: glob.to_owned(), reason: error.kind().to_string() }
    })
}

impl Pattern {
    fn new(glob: &str, current: &Path) -> Result<Self, FileSourceError> {
        let fault = |reason: &str| FileSourceError::Pattern {
            pattern: glob.to_owned(),
            reason: reason.to_owned(),
        };
        if glob.is_empty() {
            return Err(fault("it is empty"));
        }
        let mut base = if glob.starts_with('/') { "/".into() } else { current.to_owned() };
        let mut steps = Vec::new();
        for name in glob.split('/').filter(|name| !name.is_empty() && *name != ".") {
            if name == ".." {
                return Err(fault("`..` is not understood, write the path without it"));
            }
            let plain = !name.contains(['*', '?', '[', ']', '{', '}', '\\']);
            if name == "**" {
                if !matches!(steps.last(), Some(Step::Deep)) {
                    steps.push(Step::Deep);
                }
            } else if !plain {
                let matcher = compile(name).map_err(|error| match error {
                    FileSourceError::Pattern { reason, .. } if glob.contains('{') => {
                        fault(&format!(
                            "{reason}; a slash between braces is not understood, write two globs"
                        ))
                    }
                    FileSourceError::Pattern { reason, .. } => fault(&reason),
                    other => other,
                })?;
                steps.push(Step::Match(matcher.compile_matcher()));
            } else if steps.is_empty() {
                base.push(name);
            } else {
                steps.push(Step::Name(name.into()));
            }
        }
        if matches!(steps.last(), Some(Step::Deep)) {
            steps.push(Step::Match(compile("*")?.compile_matcher()));
        }
        // A glob without wildcards names one file; its folder is where it may appear.
        if steps.is_empty() {
            let last = base.file_name().map(OsStr::to_owned);
            steps.push(Step::Name(last.ok_or_else(|| fault("it names no file"))?));
            base.pop();
        }
        debug_assert!(base.components().all(|part| part != Component::ParentDir));
        Ok(Self { base, steps })
    }
}

struct Entry {
    name: OsString,
    kind: Option<FileType>,
}

struct Walk<'a> {
    excluded: &'a GlobSet,
    files_max: usize,
    walked: Walked,
    pattern: usize,
    /// Folders that `**` has been in, for each place in a glob.
    visited: HashSet<(usize, usize, Place)>,
    /// The folder that was listed last: `**` and what follows it look at the same one.
    listed: Option<(PathBuf, Rc<[Entry]>)>,
}

impl Walk<'_> {
    fn step(&mut self, folder: &Path, steps: &[Step], depth: usize) {
        let Some((step, rest)) = steps.split_first() else { return };
        if depth > DEPTH_MAX {
            return;
        }
        match step {
            Step::Name(name) if rest.is_empty() => {
                self.folder(folder);
                self.file(folder.join(name), None);
            }
            Step::Name(name) => self.step(&folder.join(name), rest, depth + 1),
            Step::Match(matcher) => {
                for entry in self.list(folder).iter() {
                    if !matcher.is_match(&entry.name) {
                        continue;
                    }
                    let path = folder.join(&entry.name);
                    if rest.is_empty() {
                        self.file(path, entry.kind);
                    } else if may_be_folder(entry.kind) {
                        self.step(&path, rest, depth + 1);
                    }
                }
            }
            Step::Deep => self.deep(folder, steps, rest, depth),
        }
    }

    fn deep(&mut self, folder: &Path, steps: &[Step], rest: &[Step], depth: usize) {
        let Some(metadata) = self.look(folder).filter(Metadata::is_dir) else { return };
        if !self.visited.insert((self.pattern, steps.len(), Place::of(&metadata))) {
            return;
        }
        let entries = self.list(folder);
        self.step(folder, rest, depth);
        for entry in entries.iter().filter(|entry| may_be_folder(entry.kind)) {
            let path = folder.join(&entry.name);
            if !self.excluded.is_match(&path) {
                self.step(&path, steps, depth + 1);
            }
        }
    }

    fn file(&mut self, path: PathBuf, kind: Option<FileType>) {
        if kind.is_some_and(|kind| kind.is_dir()) || self.excluded.is_match(&path) {
            return;
        }
        let Some(metadata) = self.look(&path) else { return };
        if let Some(what) = not_a_file(metadata.file_type()) {
            if self.walked.not_files.len() < FAULTS_MAX {
                self.walked.not_files.push((path, what));
            }
        } else if metadata.is_file() {
            if self.walked.files.len() >= self.files_max {
                self.walked.too_many = true;
                return;
            }
            let (place, stamp) = (Place::of(&metadata), Stamp::of(&metadata));
            self.walked.files.push(Found { path, place, stamp });
        }
    }

    fn look(&mut self, path: &Path) -> Option<Metadata> {
        match std::fs::metadata(path) {
            Ok(metadata) => Some(metadata),
            Err(error) => {
                self.fault(path, error);
                None
            }
        }
    }

    fn fault(&mut self, path: &Path, error: io::Error) {
        if !is_absent(&error) && self.walked.faults.len() < FAULTS_MAX {
            self.walked.faults.push((path.to_owned(), error));
        }
    }

    fn folder(&mut self, folder: &Path) {
        if self.walked.folders.last().is_none_or(|last| last != folder) {
            self.walked.folders.push(folder.to_owned());
        }
    }

    fn list(&mut self, folder: &Path) -> Rc<[Entry]> {
        if let Some((listed, entries)) = &self.listed
            && listed == folder
        {
            return entries.clone();
        }
        self.folder(folder);
        let mut entries = Vec::new();
        match std::fs::read_dir(folder) {
            Ok(list) => {
                for entry in list {
                    match entry {
                        Ok(entry) => {
                            let kind = entry.file_type().ok();
                            entries.push(Entry { name: entry.file_name(), kind });
                        }
                        Err(error) => {
                            self.fault(folder, error);
                            break;
                        }
                    }
                }
            }
            Err(error) => self.fault(folder, error),
        }
        entries.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        let entries: Rc<[Entry]> = entries.into();
        self.listed = Some((folder.to_owned(), entries.clone()));
        entries
    }
}

fn may_be_folder(kind: Option<FileType>) -> bool {
    kind.is_none_or(|kind| kind.is_dir() || kind.is_symlink())
}

/// What it is, if it must not be opened.
fn not_a_file(kind: FileType) -> Option<&'static str> {
    if kind.is_fifo() {
        return Some("named pipe");
    }
    if kind.is_socket() {
        return Some("socket");
    }
    (kind.is_block_device() || kind.is_char_device()).then_some("device")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn tree() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for file in ["a.log", "b.txt", "x/a.log", "x/y/a.log", "x/y/c.log.1", ".hidden.log"] {
            let path = root.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, file).unwrap();
        }
        symlink(root.path(), root.path().join("x/loop")).unwrap();
        symlink(root.path().join("b.txt"), root.path().join("link.log")).unwrap();
        symlink(root.path().join("nowhere"), root.path().join("dangling.log")).unwrap();
        root
    }

    fn check(include: &[&str], exclude: &[&str], expected: &[&str]) {
        let root = tree();
        let base = root.path().to_str().unwrap().to_owned();
        let whole = |globs: &[&str]| -> Vec<String> {
            globs.iter().map(|glob| glob.replace('~', &base)).collect()
        };
        let patterns = Patterns::new(&whole(include), &whole(exclude)).unwrap();
        let walked = patterns.walk(1000);
        let names: Vec<_> = walked
            .files
            .iter()
            .map(|found| found.path.strip_prefix(&base).unwrap().to_str().unwrap().to_owned())
            .collect();
        assert_eq!(names, expected, "{include:?}");
        assert!(walked.files.iter().all(|found| patterns.matches(&found.path)));
        assert!(walked.faults.is_empty(), "{:?}", walked.faults);
    }

    #[test]
    fn globs_lead_to_files() {
        check(&["~/a.log"], &[], &["a.log"]);
        check(&["~/*.log"], &[], &[".hidden.log", "a.log", "link.log"]);
        check(&["~/*/a.log"], &[], &["x/a.log"]);
        check(&["~/x/{y,z}/*.{log,log.1}"], &[], &["x/y/a.log", "x/y/c.log.1"]);
        check(&["~/nowhere/**/*.log", "~/[ab].*"], &[], &["a.log", "b.txt"]);
        check(&["~/x/y/**"], &[], &["x/y/a.log", "x/y/c.log.1"]);
    }

    #[test]
    fn any_number_of_folders_is_walked_and_loops_end() {
        check(&["~/**/a.log"], &[], &["a.log", "x/a.log", "x/y/a.log"]);
        check(&["~/**/y/**/*.1"], &[], &["x/y/c.log.1"]);
    }

    #[test]
    fn what_is_excluded_is_left_out() {
        check(&["~/*"], &["*.log"], &["b.txt"]);
        check(&["~/**/a.log"], &["~/x/**"], &["a.log"]);
    }

    #[test]
    fn a_pipe_is_told_and_not_opened() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("pipe.log");
        let pipe = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, &path, pipe, rustix::fs::Mode::RUSR, 0).unwrap();
        let glob = root.path().join("*.log").to_str().unwrap().to_owned();
        let walked = Patterns::new(&[glob], &[]).unwrap().walk(10);
        assert_eq!(walked.not_files, [(path, "named pipe")]);
        assert!(walked.files.is_empty());
    }

    #[test]
    fn a_bad_glob_is_refused_with_its_reason() {
        let message = |glob: &str| {
            Patterns::new(&[glob.to_owned()], &[]).err().map(|error| error.to_string()).unwrap()
        };
        for (glob, reason) in [
            ("", "is empty"),
            ("/", "names no file"),
            ("/a/[b", "unclosed character class"),
            ("/{a/b,c}", "write two globs"),
            ("/a/../b*", "`..`"),
        ] {
            assert!(message(glob).contains(reason), "{glob}: {}", message(glob));
        }
        assert!(Patterns::new(&[], &[]).is_err());
    }
}
