//! Responses that several states share.

use ringpost_host::{CallError, LoginError};
use ringpost_store::StoreError;

use crate::Options;

/// Appends the capabilities (RFC 2449 §5). `stls` says whether STLS would work now; USER and SASL are
/// offered where a password may be sent.
pub(crate) fn capabilities(options: &Options, stls: bool, passwords: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(b"+OK capabilities follow\r\n");
    if passwords {
        out.extend_from_slice(b"USER\r\nSASL PLAIN\r\n");
    }
    if stls {
        out.extend_from_slice(b"STLS\r\n");
    }
    out.extend_from_slice(
        b"TOP\r\nUIDL\r\nPIPELINING\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nEXPIRE NEVER\r\nUTF8 USER\r\n",
    );
    if options.announce_implementation {
        out.extend_from_slice(
            concat!("IMPLEMENTATION ringpost-", env!("CARGO_PKG_VERSION"), "\r\n").as_bytes(),
        );
    }
    out.extend_from_slice(b".\r\n");
}

/// What the client learns of a failed login (RFC 3206): whether the credentials are to blame.
pub(crate) const fn login_failure(error: &LoginError) -> &'static str {
    match error {
        LoginError::Unavailable => "-ERR [SYS/TEMP] authentication is not available now",
        _ => "-ERR [AUTH] login rejected",
    }
}

/// What the client learns of a failed operation on its mailbox.
pub(crate) const fn call_failure(error: &CallError) -> &'static str {
    match error {
        CallError::Store(StoreError::NotFound(_)) => "-ERR no such message (any more)",
        CallError::Store(StoreError::Corrupt { .. } | StoreError::NewerSchema { .. }) => {
            "-ERR [SYS/PERM] the mailbox can't be used"
        }
        _ => "-ERR [SYS/TEMP] the mailbox can't be used now",
    }
}
