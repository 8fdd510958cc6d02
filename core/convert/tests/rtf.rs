//! Our RTF, as a program of others reads it.

use std::process::Command;

use ringpost_convert::rtf::writer;

/// What `unrtf` shows of the RTF as plain text.
fn shown(rtf: &[u8]) -> Option<String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), rtf).unwrap();
    let done = Command::new("unrtf").arg("--text").arg(file.path()).output();
    match done {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && std::env::var_os("CI").is_none() => {
            println!("unrtf is not installed");
            None
        }
        done => {
            let done = done.unwrap();
            assert!(done.status.success(), "{done:?}");
            Some(String::from_utf8_lossy(&done.stdout).into_owned())
        }
    }
}

#[test]
fn unrtf_shows_our_html_and_text() {
    let html = "<html><head><title>T</title><style>p {}</style></head><body><p>One <b>two</b> &amp; {three}</p><p>Four</p></body></html>";
    for rtf in [
        writer::from_html(html),
        writer::from_text("One two & {three}\r\nFour\r\n"),
    ] {
        let Some(text) = shown(&rtf) else {
            return;
        };
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        assert!(
            lines.contains(&"One two & {three}") && lines.contains(&"Four"),
            "{text}"
        );
        assert!(!text.contains('<') && !text.contains("p {}"), "{text}");
    }
}
