//! Which message class a message has (MS-OXCMAIL 2.2.3.1, MS-OXOSMIME).

use crate::structure::Part;

/// The message class of a message with this root.
pub(super) fn of(root: &Part) -> String {
    let parameter = |name: &str| root.parameter(name).unwrap_or_default().to_ascii_lowercase();
    if root.is("multipart", "report") {
        let mail_report = match parameter("report-type").as_slice() {
            b"delivery-status" => Some("REPORT.IPM.Note.NDR"),
            b"disposition-notification" => Some("REPORT.IPM.Note.IPNRN"),
            _ => None,
        };
        if let Some(class) = mail_report {
            return class.to_owned();
        }
    }
    if is_signed(root) {
        return "IPM.Note.SMIME.MultipartSigned".to_owned();
    }
    if is_smime(root) {
        return "IPM.Note.SMIME".to_owned();
    }
    "IPM.Note".to_owned()
}

/// Whether the message is kept byte for byte as one attachment: S/MIME, whose signature covers the bytes.
pub(super) fn is_opaque(root: &Part) -> bool {
    is_signed(root) || is_smime(root)
}

fn is_signed(root: &Part) -> bool {
    let protocol = root
        .parameter("protocol")
        .unwrap_or_default()
        .to_ascii_lowercase();
    root.is("multipart", "signed")
        && matches!(
            protocol.as_slice(),
            b"application/pkcs7-signature" | b"application/x-pkcs7-signature"
        )
}

fn is_smime(root: &Part) -> bool {
    root.is("application", "pkcs7-mime") || root.is("application", "x-pkcs7-mime")
}
