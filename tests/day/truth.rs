//! What is in the files: what the store has to have, once.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use serde_json::Value;

/// What one file holds.
#[derive(Debug, Default)]
pub(crate) struct Content {
    pub(crate) ids: BTreeSet<u64>,
    /// Lines that are none: halves of one that was torn by a truncation.
    pub(crate) fragments: Vec<String>,
}

impl Content {
    pub(crate) fn extend(&mut self, other: Self) {
        self.ids.extend(other.ids);
        self.fragments.extend(other.fragments);
    }
}

/// What all files of some folders hold.
#[derive(Debug, Default)]
pub(crate) struct Files {
    pub(crate) ids: BTreeMap<u64, PathBuf>,
    pub(crate) fragments: Vec<(String, PathBuf)>,
}

pub(crate) fn read(path: &Path) -> Content {
    let mut file = File::open(path).unwrap();
    if path.extension().is_some_and(|extension| extension == "gz") {
        let mut text = Vec::new();
        MultiGzDecoder::new(file).read_to_end(&mut text).unwrap();
        return parse(&text);
    }
    read_open(&mut file)
}

pub(crate) fn read_open(file: &mut File) -> Content {
    let mut text = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut text).unwrap();
    parse(&text)
}

fn parse(text: &[u8]) -> Content {
    let mut content = Content::default();
    // A copy may end right before the end of a line, so that what comes next begins with an empty line.
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let parsed: Option<Value> = serde_json::from_slice(line).ok();
        match parsed.and_then(|line| line["id"].as_u64()) {
            Some(id) => assert!(content.ids.insert(id), "line {id} is in a file twice"),
            None => content.fragments.push(String::from_utf8_lossy(line).into_owned()),
        }
    }
    content
}

/// Reads all files of the folders. A line must be in one place only.
pub(crate) fn read_all(folders: &[&Path]) -> Files {
    let mut all = Files::default();
    for entry in folders.iter().flat_map(|folder| std::fs::read_dir(folder).unwrap()) {
        let path = entry.unwrap().path();
        let content = read(&path);
        for id in content.ids {
            if let Some(other) = all.ids.insert(id, path.clone()) {
                panic!("line {id} is in {} and in {}", other.display(), path.display());
            }
        }
        all.fragments.extend(content.fragments.into_iter().map(|text| (text, path.clone())));
    }
    all
}
