//! Well-known property tags by their canonical names (MS-OXPROPS), in one table.
//!
//! `tags::SUBJECT` is `PidTagSubject`; [`by_name`] and [`by_id`] find the same at run time. Named properties
//! have no tag until a store maps them; their table is [`crate::named`].

use crate::PropTag;

/// A well-known property.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KnownTag {
    /// The canonical name, such as `PidTagSubject`.
    pub name: &'static str,
    /// Its tag.
    pub tag: PropTag,
}

/// The property with this canonical name; the prefix `PidTag` may be left out.
pub fn by_name(name: &str) -> Option<KnownTag> {
    let plain = |name: &'_ str| name.strip_prefix("PidTag").map_or(name.len(), str::len);
    let bare = &name[name.len() - plain(name)..];
    TABLE
        .iter()
        .copied()
        .find(|known| known.name == name || known.name[known.name.len() - plain(known.name)..] == *bare)
}

/// The property with this tag: with the same type if there is one, otherwise the first with the same id. A
/// few ids have several meanings.
pub fn by_tag(tag: PropTag) -> Option<KnownTag> {
    let same_id = by_id(tag.id());
    same_id
        .iter()
        .find(|known| known.tag == tag)
        .or(same_id.first())
        .copied()
}

/// The properties with this id.
pub fn by_id(id: u16) -> &'static [KnownTag] {
    let first = TABLE.partition_point(|known| known.tag.id() < id);
    let count = TABLE[first..].partition_point(|known| known.tag.id() == id);
    &TABLE[first..first + count]
}

macro_rules! property_tags {
    ($($constant:ident $name:literal $id:literal $kind:ident;)*) => {
        $(
            #[doc = concat!("`", $name, "`")]
            pub const $constant: PropTag = PropTag::new($id, PropType::$kind);
        )*

        /// All well-known tagged properties, by ascending id.
        pub static TABLE: &[KnownTag] = &[$(KnownTag { name: $name, tag: $constant }),*];
    };
}

mod table;
pub use table::*;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_found_by_name_and_id() {
        assert_eq!(SUBJECT, PropTag(0x0037_001f));
        assert_eq!(by_name("PidTagSubject").map(|known| known.tag), Some(SUBJECT));
        assert_eq!(by_name("Subject").map(|known| known.tag), Some(SUBJECT));
        assert_eq!(
            by_name("MetaTagCnsetSeen").map(|known| known.tag),
            Some(PropTag(0x6796_0102))
        );
        assert_eq!(by_name("PidTagNone"), None);
        assert_eq!(
            by_tag(PropTag(0x0037_001e)).map(|known| known.name),
            Some("PidTagSubject")
        );
        assert_eq!(
            by_tag(PropTag(0x0e08_0014)).map(|known| known.name),
            Some("PidTagMessageSizeExtended")
        );
        assert_eq!(by_id(0x3701).len(), 2);
        assert_eq!(by_tag(PropTag(0x8000_0003)), None);
    }

    #[test]
    fn the_table_is_sorted_and_has_each_name_once() {
        assert!(TABLE.is_sorted_by_key(|known| known.tag.id()));
        let mut names: Vec<_> = TABLE.iter().map(|known| known.name).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
        assert!(
            TABLE.iter().all(|known| known.tag.id() < 0x8000),
            "ids from 8000 on are named properties"
        );
    }
}
