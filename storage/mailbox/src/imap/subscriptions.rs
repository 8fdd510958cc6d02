//! Subscriptions (RFC 9051 §6.3.7) to names that no folder of this store can carry: mailboxes that are gone, which a
//! server must not unsubscribe by itself, and other users' and public folders, whose own mark is their owner's.
//!
//! A folder's own subscription is its column `subscribed`; these are a property of the store.

use ringpost_mapi::{PropTag, PropValue};

use crate::{EventKind, Mailbox, StoreError, folder::built_in};

/// The property, of the range that is a store's own and goes to no client (MS-OXPROPS 1.3.3).
pub(crate) const SUBSCRIBED_NAMES: PropTag = PropTag(0x67fb_101f);
/// Names that are kept beside those of folders.
pub const MAX_SUBSCRIBED_NAMES: usize = 1000;
/// Bytes of such a name.
pub const MAX_SUBSCRIBED_NAME_BYTES: usize = 1024;

impl Mailbox {
    /// Names that are subscribed to beside the folders that say so themselves, in the order of subscription.
    pub fn subscribed_names(&mut self) -> Result<Vec<String>, StoreError> {
        Ok(match self.store_properties()?.remove(SUBSCRIBED_NAMES) {
            Some(PropValue::MultipleString(names)) => names,
            _ => Vec::new(),
        })
    }

    /// Adds or removes such a name; whether that changed anything. Told as a change of the root.
    pub fn set_subscribed_name(&mut self, name: &str, subscribed: bool) -> Result<bool, StoreError> {
        self.transaction(|store| {
            let mut names = store.subscribed_names()?;
            let known = names.iter().position(|known| known == name);
            match (known, subscribed) {
                (Some(_), true) | (None, false) => return Ok(false),
                (Some(at), false) => drop(names.remove(at)),
                (None, true) => {
                    if names.len() == MAX_SUBSCRIBED_NAMES || name.len() > MAX_SUBSCRIBED_NAME_BYTES {
                        return Err(StoreError::LimitExceeded("subscriptions"));
                    }
                    names.push(name.to_owned());
                }
            }
            let mut properties = store.store_properties()?;
            if names.is_empty() {
                properties.remove(SUBSCRIBED_NAMES);
            } else {
                properties.set(SUBSCRIBED_NAMES, PropValue::MultipleString(names));
            }
            store.set_store_properties(&properties)?;
            let change = store.next_change();
            store.tell(EventKind::FolderChanged, built_in::ROOT, None, change);
            Ok(true)
        })
    }
}
