//! Which message class a message has (MS-OXCMAIL 2.2.3.2.1, MS-OXOSMIME 2.1.3). Those of reports are
//! [`super::report`]'s.

use super::attachments::given_name;
use crate::{header::Field, structure::Part};

/// The message class of a message that is nothing else.
pub(super) const PLAIN: &str = "IPM.Note";

/// The message class of a message with this root that isn't a report.
pub(super) fn of(root: &Part) -> &'static str {
    if is_clear_signed(root) {
        "IPM.Note.SMIME.MultipartSigned"
    } else if is_opaque(root) {
        "IPM.Note.SMIME"
    } else {
        PLAIN
    }
}

/// Content classes that stand for a message class (MS-OXCMAIL 2.2.3.2.15), and the type of a part that the message
/// must have for it.
const CONTENT_CLASSES: &[(&str, &str, Option<MediaType>)] = &[
    ("fax", "IPM.Note.Microsoft.Fax", Some(TIFF)),
    ("fax-ca", "IPM.Note.Microsoft.Fax.CA", Some(TIFF)),
    ("missedcall", "IPM.Note.Microsoft.Missed.Voice", None),
    ("voice-uc", "IPM.Note.Microsoft.Conversation.Voice", None),
    ("voice-ca", "IPM.Note.Microsoft.Voicemail.UM.CA", Some(AUDIO)),
    ("voice", "IPM.Note.Microsoft.Voicemail.UM", Some(AUDIO)),
];
/// A media type, and a subtype where that matters.
type MediaType = (&'static str, Option<&'static str>);
const TIFF: MediaType = ("image", Some("tiff"));
const AUDIO: MediaType = ("audio", None);
/// The longest message class (MS-OXCMSG 2.2.1.3).
const MAX_CLASS_BYTES: usize = 254;

/// The message class that a `Content-Class:` stands for, where the message would be a plain `IPM.Note`.
pub(super) fn of_content_class(field: &Field<'_>, root: &Part) -> Option<String> {
    let text = String::from_utf8(field.unfolded().to_vec()).ok()?;
    let text = text.trim();
    if text.len() + "IPM.Note.".len() > MAX_CLASS_BYTES || !text.bytes().all(|c| (0x21..0x7f).contains(&c)) {
        return None;
    }
    let after = |prefix: &str| {
        let (start, rest) = text.split_at_checked(prefix.len())?;
        (start.eq_ignore_ascii_case(prefix) && !rest.is_empty() && !rest.ends_with('.')).then_some(rest)
    };
    if let Some(rest) = after("urn:content-class:custom.") {
        return Some(format!("IPM.Note.Custom.{rest}"));
    }
    if let Some(rest) = after("InfoPathForm.") {
        return Some(format!("IPM.InfoPathForm.{rest}"));
    }
    let (_, class, needed) = CONTENT_CLASSES
        .iter()
        .find(|(known, ..)| text.eq_ignore_ascii_case(known))?;
    let fits = needed.is_none_or(|(media, subtype)| {
        super::parts(root).iter().any(|part| {
            part.media_type == media.as_bytes()
                && subtype.is_none_or(|subtype| part.media_subtype == subtype.as_bytes())
        })
    });
    fits.then(|| (*class).to_owned())
}

/// Whether it is a clear-signed message (MS-OXOSMIME 2.1.3.1), by whichever protocol: OpenPGP's need their
/// bytes as much as S/MIME's.
pub(super) fn is_clear_signed(root: &Part) -> bool {
    root.is("multipart", "signed") && !super::parts(root).is_empty()
}

/// Whether it is an opaque-signed or encrypted S/MIME message (MS-OXOSMIME 2.1.3.2).
pub(super) fn is_opaque(root: &Part) -> bool {
    root.is("application", "pkcs7-mime")
        || root.is("application", "x-pkcs7-mime")
        || (root.is("application", "octet-stream")
            && given_name(root).is_some_and(|name| name.to_ascii_lowercase().ends_with(".p7m")))
}
