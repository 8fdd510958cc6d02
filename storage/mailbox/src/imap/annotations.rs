//! Annotations of a store and of its folders (RFC 5464): values by entry name, shared by all or one reader's own.
//!
//! They are one property of the store or folder: three byte strings an annotation, whose it is (empty: shared), the
//! entry's name, the value.

use ringpost_mapi::{FolderId, PropTag, PropValue, PropertyBag};

use crate::{EventKind, Mailbox, StoreError, folder::built_in};

/// The property, of the range that is a store's own and goes to no client (MS-OXPROPS 1.3.3).
const ANNOTATIONS: PropTag = PropTag(0x67f9_1102);
/// Annotations of a store, or of one folder.
pub const MAX_ANNOTATIONS: usize = 1000;
/// Bytes of an annotation's name.
pub const MAX_ANNOTATION_NAME_BYTES: usize = 1024;
/// Bytes of all names and values of a store's annotations, or of one folder's.
pub const MAX_ANNOTATIONS_BYTES: usize = 1024 * 1024;

/// A value under a name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Annotation {
    /// Whose it is, an address in lower case; empty for all.
    pub owner: String,
    /// The entry's name, in lower case.
    pub name: String,
    /// The value.
    pub value: Vec<u8>,
}

impl Mailbox {
    /// The annotations of a folder, or of the store, in no order.
    pub fn annotations(&mut self, folder: Option<FolderId>) -> Result<Vec<Annotation>, StoreError> {
        let Some(PropValue::MultipleBinary(values)) = self.annotated(folder)?.remove(ANNOTATIONS) else {
            return Ok(Vec::new());
        };
        let text =
            |bytes: &Vec<u8>| String::from_utf8(bytes.clone()).map_err(|_| StoreError::damaged("annotation"));
        values
            .chunks(3)
            .map(|annotation| match annotation {
                [owner, name, value] => Ok(Annotation {
                    owner: text(owner)?,
                    name: text(name)?,
                    value: value.clone(),
                }),
                _ => Err(StoreError::damaged("annotation")),
            })
            .collect()
    }

    /// Sets or, with `None`, removes annotations: all or none. Whether that changed anything. The store's are told as
    /// a change of the root.
    pub fn set_annotations(
        &mut self,
        folder: Option<FolderId>,
        owner_name_value: &[(String, String, Option<Vec<u8>>)],
    ) -> Result<bool, StoreError> {
        self.transaction(|store| {
            let mut annotations = store.annotations(folder)?;
            let before = annotations.clone();
            for (owner, name, value) in owner_name_value {
                annotations.retain(|known| known.owner != *owner || known.name != *name);
                if let Some(value) = value {
                    annotations.push(Annotation {
                        owner: owner.clone(),
                        name: name.clone(),
                        value: value.clone(),
                    });
                }
            }
            if annotations == before {
                return Ok(false);
            }
            let bytes: usize = annotations
                .iter()
                .map(|annotation| annotation.owner.len() + annotation.name.len() + annotation.value.len())
                .sum();
            let longest = annotations.iter().map(|annotation| annotation.name.len()).max();
            if annotations.len() > MAX_ANNOTATIONS
                || bytes > MAX_ANNOTATIONS_BYTES
                || longest.is_some_and(|bytes| bytes > MAX_ANNOTATION_NAME_BYTES)
            {
                return Err(StoreError::LimitExceeded("annotations"));
            }
            let mut properties = store.annotated(folder)?;
            if annotations.is_empty() {
                properties.remove(ANNOTATIONS);
            } else {
                let values = annotations
                    .into_iter()
                    .flat_map(|annotation| {
                        [
                            annotation.owner.into_bytes(),
                            annotation.name.into_bytes(),
                            annotation.value,
                        ]
                    })
                    .collect();
                properties.set(ANNOTATIONS, PropValue::MultipleBinary(values));
            }
            if let Some(folder) = folder {
                store.set_folder_properties(folder, &properties)?;
            } else {
                store.set_store_properties(&properties)?;
                let change = store.next_change();
                store.tell(EventKind::FolderChanged, built_in::ROOT, None, change);
            }
            Ok(true)
        })
    }

    fn annotated(&mut self, folder: Option<FolderId>) -> Result<PropertyBag, StoreError> {
        match folder {
            Some(folder) => self.folder_properties(folder),
            None => self.store_properties(),
        }
    }
}
