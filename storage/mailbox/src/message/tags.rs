//! Properties that the store itself knows: it keeps them as columns, or computes them.

use ringpost_mapi::{PropTag, PropType};

pub(crate) const IMPORTANCE: PropTag = PropTag::new(0x0017, PropType::INTEGER32);
pub(crate) const MESSAGE_CLASS: PropTag = PropTag::new(0x001a, PropType::STRING);
pub(crate) const SUBJECT: PropTag = PropTag::new(0x0037, PropType::STRING);
pub(crate) const SUBJECT_PREFIX: PropTag = PropTag::new(0x003d, PropType::STRING);
pub(crate) const SENT_REPRESENTING_NAME: PropTag = PropTag::new(0x0042, PropType::STRING);
pub(crate) const TRANSPORT_MESSAGE_HEADERS: PropTag = PropTag::new(0x007d, PropType::STRING);
pub(crate) const NORMALIZED_SUBJECT: PropTag = PropTag::new(0x0e1d, PropType::STRING);
pub(crate) const MESSAGE_DELIVERY_TIME: PropTag = PropTag::new(0x0e06, PropType::TIME);
pub(crate) const MESSAGE_FLAGS: PropTag = PropTag::new(0x0e07, PropType::INTEGER32);
pub(crate) const MESSAGE_SIZE: PropTag = PropTag::new(0x0e08, PropType::INTEGER32);
pub(crate) const HAS_ATTACHMENTS: PropTag = PropTag::new(0x0e1b, PropType::BOOLEAN);
pub(crate) const LAST_MODIFICATION_TIME: PropTag = PropTag::new(0x3008, PropType::TIME);
pub(crate) const ATTACHMENT_HIDDEN: PropTag = PropTag::new(0x7ffe, PropType::BOOLEAN);
pub(crate) const PROHIBIT_RECEIVE_QUOTA: PropTag = PropTag::new(0x666a, PropType::INTEGER32);
