//! What others' programs say of what we write.

use super::*;

/// Writes every generated message as it is sent, and what it was made from, and lets a Python program judge.
#[test]
fn python_accepts_and_reads_the_same() {
    let folder = written(true);
    judged("defects.py", &folder);
}

/// rspamd finds nothing malformed in what is sent, where it is installed.
#[test]
fn rspamd_accepts() {
    let installed = Command::new("rspamd").arg("--version").output().is_ok();
    if !installed && std::env::var_os("CI").is_none() {
        println!("rspamd is not installed");
        return;
    }
    let folder = written(false);
    judged("rspamd.py", &folder);
}

/// What is written of every generated message. Of those made of broken ones Python may find defects that were there
/// before, so only `all` has them.
fn written(all: bool) -> tempfile::TempDir {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    for number in numbers() {
        let mail = mail::mail(number);
        let end = if mail.meant.is_some() { "same" } else { "original" };
        if all || mail.meant.is_some() {
            let written = to_mime(&whole(&mail.source), &OPTIONS, &mut |_| None);
            fs::write(folder.path().join(format!("{number:06}m.eml")), written).unwrap();
            fs::write(folder.path().join(format!("{number:06}m.{end}")), &mail.source).unwrap();
        }
        let written = to_mime(&composed(number, false), &OPTIONS, &mut |_| None);
        fs::write(folder.path().join(format!("{number:06}c.eml")), written).unwrap();
    }
    folder
}

/// Runs a program that judges a folder of messages.
fn judged(script: &str, folder: &tempfile::TempDir) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(script);
    let done = Command::new("python3")
        .arg(script)
        .arg(folder.path())
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&done.stdout);
    print!("{printed}");
    assert!(
        done.status.success(),
        "{printed}{}",
        String::from_utf8_lossy(&done.stderr)
    );
}
