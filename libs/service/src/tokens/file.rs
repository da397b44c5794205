//! The file of tokens: TOML, one table a token, mode 0600 when it is made.
//!
//! ```text
//! [[token]]
//! id = "9f86d081884c"
//! sha256 = "64 hexadecimal digits, of the whole token"
//! tenant = "team-a"                       # or "*": all of them
//! rights = ["ingest", "query"]
//! created_at = "2026-01-02T03:04:05Z"
//! expires_at = "2026-04-02T03:04:05Z"     # may be missing, as may the note
//! note = "the agents of the shop"
//! ```
//!
//! A change is written beside it, synced and renamed over it, so that a reader sees the old file or the new one. Who
//! changes it holds a lock on its folder. Bounds: 10,000 tokens, 16 MiB.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{HASH_BYTES, TokenError};
use crate::principal::{Right, TENANT_EVERY, check_tenant};

const TOKENS_MAX: usize = 10_000;
const FILE_BYTES_MAX: u64 = 16 << 20;
const NOTE_BYTES_MAX: usize = 500;
const ID_BYTES_MAX: usize = 64;
const MODE: u32 = 0o600;
const HEAD: &str = "# Tokens of logq: hashes, not secrets. `logq token` writes this file; changes count at once.\n";

/// A token as the file has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// What it is listed and revoked by.
    pub id: String,
    pub(super) sha256: String,
    /// A tenant's name, or `*` for all.
    pub tenant: String,
    /// What it gives.
    pub rights: BTreeSet<Right>,
    pub(super) created_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) expires_at: Option<Timestamp>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Token {
    /// When it was made, RFC 3339.
    pub fn created_at(&self) -> String {
        self.created_at.round(jiff::Unit::Second).unwrap_or(self.created_at).to_string()
    }

    /// When it expires, RFC 3339.
    pub fn expires_at(&self) -> Option<String> {
        self.expires_at.map(|at| at.round(jiff::Unit::Second).unwrap_or(at).to_string())
    }

    /// Whether its time is over.
    pub fn is_expired(&self) -> bool {
        self.expires_at.is_some_and(|at| at <= Timestamp::now())
    }

    pub(super) fn hash(&self) -> Option<[u8; HASH_BYTES]> {
        let mut hash = [0; HASH_BYTES];
        if self.sha256.len() != 2 * HASH_BYTES || !self.sha256.is_ascii() {
            return None;
        }
        for (byte, digits) in hash.iter_mut().zip(self.sha256.as_bytes().chunks(2)) {
            let digits = std::str::from_utf8(digits).ok()?;
            *byte = u8::from_str_radix(digits, 16).ok()?;
        }
        Some(hash)
    }

    fn check(&self) -> Result<(), String> {
        if self.id.is_empty() || self.id.len() > ID_BYTES_MAX {
            return Err("a token's id is empty or too long".to_owned());
        }
        let wrong = |what: &str| Err(format!("token {}: {what}", self.id.escape_debug()));
        if self.tenant != TENANT_EVERY
            && let Err(error) = check_tenant(&self.tenant)
        {
            return wrong(&format!("its tenant {error}"));
        }
        if self.hash().is_none() {
            return wrong("its sha256 is not 64 hexadecimal digits");
        }
        if self.rights.is_empty() {
            return wrong("it has no rights; give it ingest, query or admin");
        }
        if self.note.as_ref().is_some_and(|note| note.len() > NOTE_BYTES_MAX) {
            return wrong("its note is longer than 500 bytes");
        }
        Ok(())
    }
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tokens {
    #[serde(default)]
    token: Vec<Token>,
}

/// All tokens of a file, in its order.
///
/// # Errors
/// It cannot be read, or something in it cannot be used.
pub fn list(path: &Path) -> Result<Vec<Token>, TokenError> {
    let malformed = |detail: String| TokenError::Malformed { path: path.to_owned(), detail };
    let mut text = String::new();
    match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(TokenError::Absent { path: path.to_owned() });
        }
        file => file.and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)),
    }
    .map_err(|source| match source.kind() {
        io::ErrorKind::InvalidData => malformed("it is no text in UTF-8".to_owned()),
        _ => failed("read", path)(source),
    })?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(malformed("it is larger than 16 MiB".to_owned()));
    }
    let tokens: Tokens = toml::from_str(&text).map_err(|error| {
        // Not the error's own text, which shows the line: it may have a hash in it.
        let before = error.span().map_or(0, |span| span.start.min(text.len()));
        let line = text.as_bytes()[..before].iter().filter(|byte| **byte == b'\n').count() + 1;
        malformed(format!("line {line}: {}", error.message().trim().replace('\n', ", ")))
    })?;
    check(&tokens).map_err(malformed)?;
    Ok(tokens.token)
}

fn check(tokens: &Tokens) -> Result<(), String> {
    if tokens.token.len() > TOKENS_MAX {
        return Err(format!("it has more than {TOKENS_MAX} tokens; revoke some"));
    }
    let mut ids = BTreeSet::new();
    for token in &tokens.token {
        token.check()?;
        if !ids.insert(&token.id) {
            return Err(format!("token {} is there twice", token.id.escape_debug()));
        }
    }
    Ok(())
}

/// Adds a token; makes the file if there is none.
pub(super) fn add(path: &Path, token: Token) -> Result<(), TokenError> {
    token.check().map_err(TokenError::Wrong)?;
    let (path, _lock) = lock(path)?;
    let mut tokens = match list(&path) {
        Err(TokenError::Absent { .. }) => Vec::new(),
        other => other?,
    };
    tokens.push(token);
    write(&path, tokens)
}

/// Takes a token out; says whether it was there.
///
/// # Errors
/// The file cannot be read or written.
pub fn revoke(path: &Path, id: &str) -> Result<bool, TokenError> {
    let (path, _lock) = lock(path)?;
    let mut tokens = list(&path)?;
    let before = tokens.len();
    tokens.retain(|token| token.id != id);
    let found = tokens.len() < before;
    if found {
        write(&path, tokens)?;
    }
    Ok(found)
}

/// The file itself where the path is a link, and a lock on its folder.
fn lock(path: &Path) -> Result<(PathBuf, File), TokenError> {
    let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = folder(&path);
    let locked = File::open(&folder).and_then(|folder| folder.lock().map(|()| folder));
    let locked = locked.map_err(failed("lock the folder of", &path))?;
    Ok((path, locked))
}

fn folder(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn write(path: &Path, token: Vec<Token>) -> Result<(), TokenError> {
    let tokens = Tokens { token };
    check(&tokens).map_err(TokenError::Wrong)?;
    let text = toml::to_string(&tokens)
        .map_err(|error| TokenError::Wrong(format!("a token cannot be written: {error}")))?;
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let temporary = PathBuf::from(temporary);
    let replaced = replace(path, &temporary, &format!("{HEAD}\n{text}"));
    if replaced.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    replaced.map_err(failed("write", path))
}

fn replace(path: &Path, temporary: &Path, text: &str) -> io::Result<()> {
    match std::fs::remove_file(temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(temporary)?;
    // Whoever could read the old file can read the new one: the server may be another user than who runs this.
    if let Ok(old) = std::fs::metadata(path) {
        file.set_permissions(Permissions::from_mode(old.mode() & 0o777))?;
        let new = file.metadata()?;
        if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
            std::os::unix::fs::fchown(&file, Some(old.uid()), Some(old.gid()))?;
        }
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    drop(file);
    std::fs::rename(temporary, path)?;
    File::open(folder(path))?.sync_all()
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> TokenError {
    move |source| TokenError::Io { action, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::super::tests::new_token;
    use super::super::{NewToken, create};
    use super::*;

    #[test]
    fn the_file_is_for_its_owner_alone_and_keeps_the_mode_that_it_was_given() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.toml");
        let mode = || std::fs::metadata(&path).unwrap().mode() & 0o777;
        create(&path, new_token("a")).unwrap();
        assert_eq!(mode(), 0o600);
        std::fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        create(&path, new_token("b")).unwrap();
        assert_eq!((mode(), list(&path).unwrap().len()), (0o640, 2));
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        create(&link, new_token("c")).unwrap();
        assert!(link.is_symlink() && list(&path).unwrap().len() == 3);
    }

    #[test]
    fn files_that_cannot_be_used_are_refused_without_showing_what_is_in_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.toml");
        assert!(matches!(list(&path), Err(TokenError::Absent { .. })));
        create(&path, NewToken { note: Some("a \"note\"\n".into()), ..new_token("a") }).unwrap();
        let good = std::fs::read(&path).unwrap();
        let text = String::from_utf8(good.clone()).unwrap();
        let hash = list(&path).unwrap()[0].sha256.clone();
        for (what, content) in [
            ("garbage", b"\x00\xff\xfe garbage".to_vec()),
            ("line 1", b"no toml".to_vec()),
            ("cut", good[..good.len() - 40].to_vec()),
            ("hash", text.replace(&hash, &hash[1..]).into_bytes()),
            ("hash", text.replace(&hash, &"x".repeat(64)).into_bytes()),
            ("tenant", text.replace("\"a\"", "\"a/b\"").into_bytes()),
            ("right", text.replace("\"query\"", "\"root\"").into_bytes()),
            ("no rights", text.replace("\"query\"", "").into_bytes()),
            ("key", text.replace("tenant =", "tenannt =").into_bytes()),
            ("twice", [&good[..], &good[HEAD.len()..]].concat()),
            ("large", vec![b'#'; FILE_BYTES_MAX as usize + 1]),
        ] {
            std::fs::write(&path, &content).unwrap();
            let error = list(&path).expect_err(what).to_string();
            assert!(error.contains("cannot be used") && !error.contains(&hash[1..]), "{error}");
            assert!(create(&path, new_token("b")).is_err(), "{what}");
            assert_eq!(std::fs::read(&path).unwrap(), content, "{what}: nothing is changed");
        }
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert!(matches!(list(&path), Err(TokenError::Io { .. })));
    }

    #[test]
    fn tokens_that_are_made_at_the_same_time_are_all_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.toml");
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| create(&path, new_token("a")).unwrap());
            }
        });
        assert_eq!(list(&path).unwrap().len(), 8);
    }
}
