//! A self-signed certificate for the demo.

use std::{fs, os::unix::fs::OpenOptionsExt, path::Path};

use anyhow::{Context, Result};

/// Writes `certificate.pem` and `key.pem` into `directory`, unless they are there already.
pub(super) fn ensure(directory: &Path) -> Result<()> {
    let (certificate, key) = (directory.join("certificate.pem"), directory.join("key.pem"));
    if certificate.exists() && key.exists() {
        return Ok(());
    }
    let names = ["localhost", "example.test", "127.0.0.1"].map(String::from);
    let made = rcgen::generate_simple_self_signed(names).context("making a self-signed certificate")?;
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(&key).with_context(|| key.display().to_string())?;
    std::io::Write::write_all(&mut file, made.signing_key.serialize_pem().as_bytes())?;
    fs::write(&certificate, made.cert.pem()).with_context(|| certificate.display().to_string())
}
