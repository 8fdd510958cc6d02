//! What an administrator can set.

use std::time::Duration;

/// Settings of the IMAP listeners (imap(8gx)).
#[derive(Clone, Debug)]
pub struct Settings {
    /// `host_id`: the name in the greeting.
    pub host_id: String,
    /// `imap_conn_timeout`: how long a client may be silent before login.
    pub conn_timeout: Duration,
    /// `imap_autologout_time`: how long it may be silent after login.
    pub autologout_time: Duration,
    /// `imap_auth_times`: failed logins on one connection until it is cut.
    pub auth_times: u32,
    /// `imap_support_tls`: STARTTLS is offered, if there is a certificate.
    pub support_tls: bool,
    /// `imap_force_tls`: no login without TLS.
    pub force_tls: bool,
    /// `imap_rfc9051`: IMAP4rev2 is offered.
    pub rfc9051: bool,
    /// `enable_rfc2971_commands`: ID tells the program's name and version.
    pub rfc2971: bool,
    /// `imap_cmd_debug`: 1 logs commands that failed, 2 all commands.
    pub cmd_debug: u8,
    /// Largest message that APPEND takes, in bytes.
    pub message_size_limit: usize,
    /// `exmdb_file_compression`: the Zstandard level of stored messages.
    pub compression_level: Option<i32>,
}

impl Default for Settings {
    /// The manual's defaults, but TLS is offered where there is a certificate.
    fn default() -> Self {
        Self {
            host_id: "localhost".to_owned(),
            conn_timeout: Duration::from_mins(3),
            autologout_time: Duration::from_mins(30),
            auth_times: 10,
            support_tls: true,
            force_tls: false,
            rfc9051: true,
            rfc2971: false,
            cmd_debug: 0,
            message_size_limit: 64 * 1024 * 1024,
            compression_level: Some(3),
        }
    }
}
