//! Where passwords come from.

use std::io::{self, IsTerminal as _, Read as _};

use anyhow::{Context as _, bail, ensure};
use ringpost_directory::password::PASSWORD_MAX;

use super::Input;

/// The first line of the standard input; on a terminal it is not shown.
pub(super) fn read_line(input: Input<'_>) -> anyhow::Result<String> {
    if let Input::Standard = input
        && io::stdin().is_terminal()
    {
        return ask("Password: ");
    }
    // One more than is allowed, and a line end: too long a one is seen to be so.
    let mut line = Vec::new();
    input
        .reader()
        .take(PASSWORD_MAX as u64 + 3)
        .read_to_end(&mut line)?;
    let line = line.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let line = std::str::from_utf8(line).context("the password is not UTF-8")?;
    let password = line.strip_suffix('\r').unwrap_or(line);
    ensure!(
        !password.is_empty(),
        "the first line of the standard input is empty"
    );
    Ok(password.to_owned())
}

/// Asks on the terminal, without showing what is typed, until both answers are the same.
pub(super) fn ask_twice() -> anyhow::Result<String> {
    let password = ask("Password: ")?;
    if password != ask("Again: ")? {
        bail!("the two passwords differ");
    }
    ensure!(!password.is_empty(), "the password is empty");
    Ok(password)
}

fn ask(prompt: &str) -> anyhow::Result<String> {
    rpassword::prompt_password(prompt).context("can't ask on the terminal")
}
