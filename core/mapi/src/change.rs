//! Change keys and predecessor change lists (MS-OXCFXICS 2.2.2.2, 2.2.2.3; conflicts: 3.1.5.6).

use crate::{CodecError, Guid, Reader};

/// The most changes a predecessor change list may hold: one a replica that ever changed the object.
pub const MAX_PREDECESSORS: usize = 1024;

/// An external identifier (XID): a namespace and a number that grows within it. A change key is one.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Xid {
    /// The namespace: the replica that made the change.
    pub namespace: Guid,
    /// The local id, 1 to 8 bytes, compared as a number with its first byte highest. A store's own changes
    /// have the six bytes of their global counter.
    pub local_id: Vec<u8>,
}

impl Xid {
    /// The change key of a change with this counter in the replica `namespace`.
    pub fn of_counter(namespace: Guid, counter: u64) -> Self {
        Self {
            namespace,
            local_id: counter.to_be_bytes()[2..].to_vec(),
        }
    }

    /// The counter, where the local id is a global counter.
    pub fn counter(&self) -> Option<u64> {
        let bytes: [u8; 6] = self.local_id.as_slice().try_into().ok()?;
        Some(bytes.iter().fold(0, |value, &byte| value << 8 | u64::from(byte)))
    }

    /// The XID that is all of `bytes`.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut reader = Reader::new(bytes);
        let namespace = Guid(reader.array(XID)?);
        match reader.remaining() {
            0 => Err(CodecError::Truncated(XID)),
            1..=MAX_LOCAL_ID_BYTES => Ok(Self {
                namespace,
                local_id: reader.rest().to_vec(),
            }),
            _ => Err(CodecError::OverLimit(XID)),
        }
    }

    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        [&self.namespace.0[..], &self.local_id].concat()
    }

    /// Whether this change, in the same namespace, is the other one or a later one.
    fn reaches(&self, other: &Self) -> bool {
        // Local ids of one namespace have one length; where they don't, leading zeros decide nothing.
        let significant = |id: &Self| {
            id.local_id
                .iter()
                .position(|&b| b != 0)
                .unwrap_or(id.local_id.len())
        };
        let (a, b) = (
            &self.local_id[significant(self)..],
            &other.local_id[significant(other)..],
        );
        (a.len(), a) >= (b.len(), b)
    }
}

/// The changes an object has seen, at most one a namespace: it includes all earlier ones of that namespace
/// (predecessor change list, PCL).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PredecessorChangeList {
    /// By ascending namespace.
    changes: Vec<Xid>,
}

/// How two versions of an object relate, by their predecessor change lists.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Precedence {
    /// The same version.
    Equal,
    /// The first has seen all of the second, and more.
    Newer,
    /// The second has seen all of the first, and more.
    Older,
    /// Each has changes that the other has not seen.
    Conflict,
}

impl PredecessorChangeList {
    /// An empty list.
    pub fn new() -> Self {
        Self::default()
    }

    /// The changes, by ascending namespace.
    pub fn changes(&self) -> &[Xid] {
        &self.changes
    }

    /// Adds a change; one that is included already changes nothing.
    pub fn add(&mut self, change: Xid) {
        match self
            .changes
            .binary_search_by(|known| known.namespace.cmp(&change.namespace))
        {
            Ok(at) if self.changes[at].reaches(&change) => {}
            Ok(at) => self.changes[at] = change,
            Err(at) => self.changes.insert(at, change),
        }
    }

    /// Adds all changes of `other` (what a resolved conflict has seen).
    pub fn merge(&mut self, other: &Self) {
        for change in &other.changes {
            self.add(change.clone());
        }
    }

    /// Whether the list includes a change.
    pub fn includes(&self, change: &Xid) -> bool {
        self.changes
            .binary_search_by(|known| known.namespace.cmp(&change.namespace))
            .is_ok_and(|at| self.changes[at].reaches(change))
    }

    /// Whether it includes all changes of `other`.
    pub fn includes_all(&self, other: &Self) -> bool {
        other.changes.iter().all(|change| self.includes(change))
    }

    /// How the version with this list relates to the one with `other`.
    pub fn compare(&self, other: &Self) -> Precedence {
        match (self.includes_all(other), other.includes_all(self)) {
            (true, true) => Precedence::Equal,
            (true, false) => Precedence::Newer,
            (false, true) => Precedence::Older,
            (false, false) => Precedence::Conflict,
        }
    }

    /// The list that `bytes` encode: XIDs, each after one byte of its size. Sizes, order and number are
    /// checked loosely, as stored lists of other servers have them: unordered ones are sorted.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut reader = Reader::new(bytes);
        let mut list = Self::new();
        while !reader.is_empty() {
            let size = usize::from(reader.u8(PCL)?);
            list.add(Xid::decode(reader.take(size, PCL)?)?);
            if list.changes.len() > MAX_PREDECESSORS {
                return Err(CodecError::OverLimit(PCL));
            }
        }
        Ok(list)
    }

    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(23 * self.changes.len());
        for change in &self.changes {
            out.push((change.namespace.0.len() + change.local_id.len()) as u8);
            out.extend_from_slice(&change.namespace.0);
            out.extend_from_slice(&change.local_id);
        }
        out
    }
}

/// The longest local id: XIDs have 17 to 24 bytes (MS-OXCFXICS 2.2.2.2).
const MAX_LOCAL_ID_BYTES: usize = 8;
const XID: &str = "XID";
const PCL: &str = "predecessor change list";

#[cfg(test)]
mod tests {
    use super::*;

    const A: Guid = Guid([0xa; 16]);
    const B: Guid = Guid([0xb; 16]);

    fn list(changes: &[(Guid, u64)]) -> PredecessorChangeList {
        let mut list = PredecessorChangeList::new();
        for (namespace, counter) in changes {
            list.add(Xid::of_counter(*namespace, *counter));
        }
        list
    }

    #[test]
    fn a_list_keeps_the_latest_change_of_each_namespace() {
        let kept = list(&[(B, 3), (A, 1), (A, 0x100), (A, 2)]);
        assert_eq!(kept.changes(), [Xid::of_counter(A, 0x100), Xid::of_counter(B, 3)]);
        assert_eq!(kept.changes()[0].counter(), Some(0x100));
        assert!(kept.includes(&Xid::of_counter(A, 0xff)));
        assert!(!kept.includes(&Xid::of_counter(A, 0x101)));
    }

    #[test]
    fn versions_compare() {
        let compare = |a: &[(Guid, u64)], b: &[(Guid, u64)]| list(a).compare(&list(b));
        assert_eq!(compare(&[(A, 1)], &[(A, 1)]), Precedence::Equal);
        assert_eq!(compare(&[(A, 2)], &[(A, 1)]), Precedence::Newer);
        assert_eq!(compare(&[(A, 1)], &[(A, 1), (B, 1)]), Precedence::Older);
        assert_eq!(
            compare(&[(A, 2), (B, 1)], &[(A, 1), (B, 2)]),
            Precedence::Conflict
        );
        assert_eq!(compare(&[(A, 1)], &[(B, 1)]), Precedence::Conflict);
        let mut merged = list(&[(A, 2), (B, 1)]);
        merged.merge(&list(&[(A, 1), (B, 2)]));
        assert_eq!(merged, list(&[(A, 2), (B, 2)]));
    }

    #[test]
    fn local_ids_of_different_lengths_compare_as_numbers() {
        let xid = |bytes: &[u8]| Xid {
            namespace: A,
            local_id: bytes.to_vec(),
        };
        assert!(xid(&[1, 0]).reaches(&xid(&[0xff])));
        assert!(xid(&[0, 0, 5]).reaches(&xid(&[5])));
        assert!(!xid(&[0, 0, 4]).reaches(&xid(&[5])));
    }

    /// The two XIDs of a contact's list, in the form of MS-OXCFXICS 2.2.2.3: size, namespace, local id.
    #[test]
    fn lists_round_trip() {
        let kept = list(&[(A, 0x1234), (B, 1)]);
        let bytes = kept.encode();
        assert_eq!(bytes.len(), 2 * 23);
        assert_eq!(
            (bytes[0], &bytes[1..17], &bytes[17..23]),
            (22, &A.0[..], &[0, 0, 0, 0, 0x12, 0x34][..])
        );
        assert_eq!(PredecessorChangeList::decode(&bytes), Ok(kept));
        assert_eq!(
            Xid::decode(&Xid::of_counter(A, 7).encode()),
            Ok(Xid::of_counter(A, 7))
        );
    }

    #[test]
    fn malformed_lists_are_refused() {
        assert_eq!(
            PredecessorChangeList::decode(&[22, 1]),
            Err(CodecError::Truncated(PCL))
        );
        assert_eq!(
            PredecessorChangeList::decode(&[&[16][..], &[0; 16]].concat()),
            Err(CodecError::Truncated(XID))
        );
        assert_eq!(
            PredecessorChangeList::decode(&[&[25][..], &[0; 25]].concat()),
            Err(CodecError::OverLimit(XID))
        );
        let many: Vec<u8> = (0..=MAX_PREDECESSORS)
            .flat_map(|at| {
                let mut guid = [0; 16];
                guid[..8].copy_from_slice(&(at as u64).to_le_bytes());
                [&[17][..], &guid, &[1]].concat()
            })
            .collect();
        assert_eq!(
            PredecessorChangeList::decode(&many),
            Err(CodecError::OverLimit(PCL))
        );
    }
}
