//! What a user may do in a folder (MS-OXCPERM 2.2.7).

bitflags::bitflags! {
    /// `PidTagMemberRights`
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
    pub struct Rights: u32 {
        /// Read all messages.
        const READ_ANY = 0x0000_0001;
        /// Create messages.
        const CREATE = 0x0000_0002;
        /// Change messages one created.
        const EDIT_OWNED = 0x0000_0008;
        /// Delete messages one created.
        const DELETE_OWNED = 0x0000_0010;
        /// Change any message.
        const EDIT_ANY = 0x0000_0020;
        /// Delete any message.
        const DELETE_ANY = 0x0000_0040;
        /// Create subfolders.
        const CREATE_SUBFOLDER = 0x0000_0080;
        /// Change the folder and its permissions.
        const FOLDER_OWNER = 0x0000_0100;
        /// Be named as the one to ask; grants nothing.
        const FOLDER_CONTACT = 0x0000_0200;
        /// See the folder.
        const FOLDER_VISIBLE = 0x0000_0400;
        /// See when the calendar's owner is busy.
        const FREE_BUSY_SIMPLE = 0x0000_0800;
        /// See the calendar's subjects and places.
        const FREE_BUSY_DETAILED = 0x0000_1000;
    }
}

#[allow(missing_docs)] // The roles that Outlook's permission dialog offers, by its names.
impl Rights {
    pub const NONE: Self = Self::empty();
    pub const REVIEWER: Self = Self::READ_ANY.union(Self::FOLDER_VISIBLE);
    pub const CONTRIBUTOR: Self = Self::CREATE.union(Self::FOLDER_VISIBLE);
    pub const NONEDITING_AUTHOR: Self = Self::REVIEWER.union(Self::CREATE).union(Self::DELETE_OWNED);
    pub const AUTHOR: Self = Self::NONEDITING_AUTHOR.union(Self::EDIT_OWNED);
    pub const PUBLISHING_AUTHOR: Self = Self::AUTHOR.union(Self::CREATE_SUBFOLDER);
    pub const EDITOR: Self = Self::AUTHOR.union(Self::EDIT_ANY).union(Self::DELETE_ANY);
    pub const PUBLISHING_EDITOR: Self = Self::EDITOR.union(Self::CREATE_SUBFOLDER);
    pub const OWNER: Self = Self::PUBLISHING_EDITOR
        .union(Self::FOLDER_OWNER)
        .union(Self::FOLDER_CONTACT);
}

impl Rights {
    /// What these rights mean in effect: the right to change or delete any message includes one's own, and an
    /// owner sees the folder (MS-OXCPERM 2.2.7).
    #[must_use]
    pub fn effective(self) -> Self {
        let mut rights = self;
        for (has, includes) in [
            (Self::EDIT_ANY, Self::EDIT_OWNED),
            (Self::DELETE_ANY, Self::DELETE_OWNED),
            (Self::FOLDER_OWNER, Self::FOLDER_VISIBLE),
            (Self::FREE_BUSY_DETAILED, Self::FREE_BUSY_SIMPLE),
        ] {
            if rights.contains(has) {
                rights |= includes;
            }
        }
        rights
    }
}

/// `PidTagMemberId` of everyone who is logged in and not named (MS-OXCPERM 2.2.5).
pub const MEMBER_DEFAULT: i64 = 0;
/// `PidTagMemberId` of those who are not logged in.
pub const MEMBER_ANONYMOUS: i64 = -1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_have_the_known_values() {
        assert_eq!(Rights::OWNER.bits(), 0x7fb);
        assert_eq!(Rights::PUBLISHING_EDITOR.bits(), 0x4fb);
        assert_eq!(Rights::EDITOR.bits(), 0x47b);
        assert_eq!(Rights::PUBLISHING_AUTHOR.bits(), 0x49b);
        assert_eq!(Rights::AUTHOR.bits(), 0x41b);
        assert_eq!(Rights::NONEDITING_AUTHOR.bits(), 0x413);
        assert_eq!(Rights::REVIEWER.bits(), 0x401);
        assert_eq!(Rights::CONTRIBUTOR.bits(), 0x402);
    }

    #[test]
    fn wide_rights_include_narrow_ones() {
        assert_eq!(
            Rights::EDIT_ANY.effective(),
            Rights::EDIT_ANY | Rights::EDIT_OWNED
        );
        assert!(Rights::FOLDER_OWNER.effective().contains(Rights::FOLDER_VISIBLE));
    }
}
