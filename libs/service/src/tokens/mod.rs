//! Bearer tokens: `logq_ID_SECRET`, the id 12 and the secret 64 hexadecimal digits.
//!
//! The secret is 32 random bytes. Nobody can guess those, so a fast hash (SHA-256 over the whole token) is enough: slow
//! ones make up for passwords that people choose, and would cost every request what they cost a thief. The id is no
//! secret; it finds the hash to compare with, and names the token in lists and logs.

mod file;

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use ring::digest;
use ring::rand::{SecureRandom, SystemRandom};
use subtle::ConstantTimeEq;
use thiserror::Error;

use crate::principal::Right;

pub use file::{Token, list, revoke};

/// What every token begins with, so that scanners for leaked secrets can know it.
const PREFIX: &str = "logq_";
const ID_BYTES: usize = 6;
const SECRET_BYTES: usize = 32;
const TOKEN_LEN: usize = PREFIX.len() + 2 * ID_BYTES + 1 + 2 * SECRET_BYTES;
const HASH_BYTES: usize = 32;

/// Why a file of tokens cannot be used or changed.
#[derive(Debug, Error)]
#[allow(missing_docs)]
pub enum TokenError {
    #[error("cannot read the token file {}; make one by `logq token create --file {}`", path.display(), path.display())]
    Absent { path: PathBuf },
    #[error("cannot {action} the token file {}: {source}", path.display())]
    Io { action: &'static str, path: PathBuf, source: std::io::Error },
    #[error("the token file {} cannot be used: {detail}; mend it, or make a new one by `logq token create`", path.display())]
    Malformed { path: PathBuf, detail: String },
    #[error("{0}")]
    Wrong(String),
    #[error("the machine gives no random bytes")]
    Random,
}

/// What a new token is to be.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// A tenant's name, or `*` for all.
    pub tenant: String,
    /// At least one.
    pub rights: BTreeSet<Right>,
    /// How long it is good for; `None` until it is revoked.
    pub expires_in: Option<Duration>,
    /// For people.
    pub note: Option<String>,
}

/// A token that was made just now.
#[derive(Debug)]
pub struct Created {
    /// What it is listed and revoked by.
    pub id: String,
    /// The token itself, which is stored nowhere.
    pub token: String,
}

/// Makes a token and puts its hash into the file, which is made if absent.
///
/// # Errors
/// The file cannot be read or written, or the tenant cannot have this name; nothing is changed then.
pub fn create(path: &Path, new: NewToken) -> Result<Created, TokenError> {
    let mut bytes = [0; ID_BYTES + SECRET_BYTES];
    SystemRandom::new().fill(&mut bytes).map_err(|_| TokenError::Random)?;
    let id = hex(&bytes[..ID_BYTES]);
    let token = format!("{PREFIX}{id}_{}", hex(&bytes[ID_BYTES..]));
    let now = Timestamp::now();
    let expires_at = match new.expires_in {
        None => None,
        Some(after) => Some(now.checked_add(after).map_err(|_| {
            TokenError::Wrong("that is too far ahead; leave --expires away for ever".to_owned())
        })?),
    };
    file::add(
        path,
        Token {
            id: id.clone(),
            sha256: hex(&hash(&token)),
            tenant: new.tenant,
            rights: new.rights,
            created_at: now,
            expires_at,
            note: new.note,
        },
    )?;
    Ok(Created { id, token })
}

/// The tokens of a file, ready to be asked.
#[derive(Debug, Default)]
pub(crate) struct TokenSet {
    by_id: HashMap<String, Known>,
}

#[derive(Debug)]
struct Known {
    hash: [u8; HASH_BYTES],
    expires_at: Option<SystemTime>,
    grant: Arc<Grant>,
}

/// What a token gives.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    /// A tenant's name, or `*`.
    pub(crate) tenant: Arc<str>,
    pub(crate) rights: BTreeSet<Right>,
}

impl TokenSet {
    pub(crate) fn load(path: &Path) -> Result<Self, TokenError> {
        let tokens = list(path)?;
        let known = tokens.into_iter().map(|token| {
            let hash = token.hash().unwrap_or_default();
            let grant = Grant { tenant: token.tenant.into(), rights: token.rights };
            let expires_at = token.expires_at.map(SystemTime::from);
            (token.id, Known { hash, expires_at, grant: Arc::new(grant) })
        });
        Ok(Self { by_id: known.collect() })
    }

    /// What this token gives now; `None` if it is none, not known, or expired.
    pub(crate) fn find(&self, token: &str, now: SystemTime) -> Option<Arc<Grant>> {
        if token.len() != TOKEN_LEN {
            return None;
        }
        let (id, _) = token.strip_prefix(PREFIX)?.split_once('_')?;
        let known = self.by_id.get(id)?;
        let same: bool = hash(token).ct_eq(&known.hash).into();
        let live = known.expires_at.is_none_or(|expires_at| now < expires_at);
        (same && live).then(|| Arc::clone(&known.grant))
    }
}

fn hash(token: &str) -> [u8; HASH_BYTES] {
    let mut hash = [0; HASH_BYTES];
    hash.copy_from_slice(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());
    hash
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn new_token(tenant: &str) -> NewToken {
        NewToken {
            tenant: tenant.to_owned(),
            rights: [Right::Query].into(),
            expires_in: None,
            note: None,
        }
    }

    #[test]
    fn a_token_gives_what_it_was_made_for_until_it_expires_or_is_revoked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.toml");
        let for_ever = create(&path, new_token("a")).unwrap();
        let hour = Duration::from_secs(3_600);
        let soon = NewToken { expires_in: Some(hour), ..new_token("*") };
        let soon = create(&path, soon).unwrap();
        assert_eq!(for_ever.token.len(), TOKEN_LEN);
        let now = SystemTime::now();
        let set = TokenSet::load(&path).unwrap();
        assert_eq!(*set.find(&for_ever.token, now).unwrap().tenant, *"a");
        assert_eq!(*set.find(&soon.token, now).unwrap().tenant, *"*");
        assert!(set.find(&soon.token, now + hour).is_none());
        assert!(set.find(&for_ever.token, now + hour).is_some());
        assert!(revoke(&path, &for_ever.id).unwrap() && !revoke(&path, &for_ever.id).unwrap());
        let set = TokenSet::load(&path).unwrap();
        assert!(set.find(&for_ever.token, now).is_none() && set.find(&soon.token, now).is_some());
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains(&soon.token[TOKEN_LEN - 64..]), "a secret is in the file");
    }

    #[test]
    fn what_is_nearly_a_token_gives_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.toml");
        let token = create(&path, new_token("a")).unwrap().token;
        let other = create(&path, new_token("b")).unwrap().token;
        let set = TokenSet::load(&path).unwrap();
        let mixed = format!("{}{}", &token[..TOKEN_LEN - 64], &other[TOKEN_LEN - 64..]);
        let cut = &token[..TOKEN_LEN - 1];
        let upper = token.to_uppercase();
        for wrong in
            [&mixed, cut, &upper, "", "logq_", "é", &"x".repeat(TOKEN_LEN), &format!("{token} ")]
        {
            assert!(set.find(wrong, SystemTime::now()).is_none(), "{wrong}");
        }
    }
}
