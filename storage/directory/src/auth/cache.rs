//! Remembers for a short while which passwords were right, so that a client that connects for every look at
//! its mail does not cost a slow hash each time.
//!
//! What is kept is a keyed hash of user name, stored hash and password, under a key that exists only in this
//! process. As the stored hash is part of it, a changed password makes the entry useless at once; whatever
//! else of the account changes is read anew for each login.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::{DirectoryError, LoginRecord, password::PasswordError};

/// Entries kept.
pub(super) const ENTRIES_MAX: usize = 10_000;

pub(super) struct CredentialCache {
    key: [u8; blake3::KEY_LEN],
    lifetime: Duration,
    /// When each was found right.
    entries: Mutex<HashMap<[u8; blake3::OUT_LEN], Instant>>,
}

impl CredentialCache {
    pub(super) fn new(lifetime: Duration) -> Result<Self, DirectoryError> {
        let mut key = [0; blake3::KEY_LEN];
        getrandom::fill(&mut key).map_err(|_| PasswordError::Unavailable)?;
        Ok(Self {
            key,
            lifetime,
            entries: Mutex::default(),
        })
    }

    /// Looking up a keyed hash tells by its time nothing about the password: who does not know the key can't
    /// choose the hash.
    pub(super) fn knows(&self, record: &LoginRecord, password: &str, now: Instant) -> bool {
        let digest = self.digest(record, password);
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries
            .get(&digest)
            .is_some_and(|since| now.duration_since(*since) < self.lifetime)
    }

    pub(super) fn remember(&self, record: &LoginRecord, password: &str, now: Instant) {
        if self.lifetime.is_zero() {
            return;
        }
        let digest = self.digest(record, password);
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= ENTRIES_MAX {
            entries.retain(|_, since| now.duration_since(*since) < self.lifetime);
        }
        if entries.len() < ENTRIES_MAX {
            entries.insert(digest, now);
        }
    }

    fn digest(&self, record: &LoginRecord, password: &str) -> [u8; blake3::OUT_LEN] {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        for part in [record.username.as_str(), record.password_hash.as_str(), password] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        *hasher.finalize().as_bytes()
    }
}
