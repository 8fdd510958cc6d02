//! Which message class a message has (MS-OXCMAIL 2.2.3.2.1, MS-OXOSMIME 2.1.3). Those of reports are
//! [`super::report`]'s.

use super::attachments::given_name;
use crate::structure::Part;

/// The message class of a message with this root that isn't a report.
pub(super) fn of(root: &Part) -> &'static str {
    if is_clear_signed(root) {
        "IPM.Note.SMIME.MultipartSigned"
    } else if is_opaque(root) {
        "IPM.Note.SMIME"
    } else {
        "IPM.Note"
    }
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
