//! Real messages for tests.

use std::path::{Path, PathBuf};

/// Where Debian's package `libpython3.11-testsuite` has CPython's e-mail test data.
pub(crate) const CPYTHON: &str = "/usr/lib/python3.11/test/test_email/data";

/// Every message of the corpora, of CPython's test data where it is installed, and of the mbox files among them.
pub(crate) fn messages() -> Vec<PathBuf> {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpora");
    assert!(
        corpora.is_dir(),
        "the test corpora are missing: {}",
        corpora.display()
    );
    let files = |folder: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).unwrap();
        entries
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_file())
            .collect()
    };
    let mut found = Vec::new();
    for folder in [
        "mail-parser/rfc",
        "mail-parser/legacy",
        "mail-parser/thirdparty",
        "mail-parser/malformed",
        "mimekit/messages",
        "mimekit/partial",
        "mimekit/dkim",
        "mimekit/mbox",
    ] {
        found.extend(files(&corpora.join(folder)));
    }
    let mut boxes: Vec<PathBuf> = found.iter().filter(|path| is_mbox(path)).cloned().collect();
    boxes.sort();
    for path in boxes {
        found.extend(split(&path));
    }
    let cpython = Path::new(CPYTHON);
    if cpython.is_dir() {
        found.extend(
            files(cpython)
                .into_iter()
                .filter(|path| path.extension().is_some_and(|end| end == "txt")),
        );
    } else {
        println!("CPython's test data is not installed");
    }
    found.sort();
    found
}

fn is_mbox(path: &Path) -> bool {
    path.to_string_lossy().contains("mimekit/mbox") && std::fs::read(path).unwrap().starts_with(b"From ")
}

/// Writes the messages of an mbox file into files: what is between lines that begin with `From `.
fn split(path: &Path) -> Vec<PathBuf> {
    let content = std::fs::read(path).unwrap();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("mbox")
        .join(path.file_name().unwrap());
    std::fs::create_dir_all(&folder).unwrap();
    let mut messages: Vec<Vec<u8>> = Vec::new();
    for line in content.split_inclusive(|&byte| byte == b'\n') {
        match messages.last_mut() {
            _ if line.starts_with(b"From ") => messages.push(Vec::new()),
            Some(message) => message.extend_from_slice(line),
            None => {}
        }
    }
    let files = messages.iter().enumerate().map(|(index, message)| {
        let file = folder.join(format!("{index:03}"));
        // Several tests may write it at once, always the same.
        if std::fs::read(&file).ok().as_ref() != Some(message) {
            std::fs::write(&file, message).unwrap();
        }
        file
    });
    files.collect()
}
