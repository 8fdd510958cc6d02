//! Our RTF, as a program of others reads it.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use ringpost_convert::{
    body::charset,
    html,
    rtf::{compressed, extract, writer},
    tnef,
};
use ringpost_mapi::{PropValue, tags};

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
            // It writes what it can't name as bytes of the document's code page.
            Some(charset::decode(&done.stdout, b"").into_owned())
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

fn corpus(folder: &str, end: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/corpora/mimekit")
        .join(folder);
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files
        .filter(|path| path.extension().is_some_and(|found| found == end))
        .collect();
    files.sort();
    files
}

/// The words of a text that consist of ASCII letters and digits, and how many there are of each: how others show other
/// characters depends on where they run.
fn words(text: &str) -> BTreeMap<&str, usize> {
    let mut found = BTreeMap::new();
    for word in text.split(|c: char| !c.is_alphanumeric()) {
        if word.len() > 2 && word.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            *found.entry(word).or_default() += 1;
        }
    }
    found
}

/// How many of the first text's words the second has.
fn shared(first: &str, second: &str) -> (usize, usize) {
    let second = words(second);
    let first = words(first);
    let common = first
        .iter()
        .map(|(word, count)| *count.min(second.get(word).unwrap_or(&0)))
        .sum();
    (common, first.values().sum())
}

/// The text without the targets of links, and what stands for pictures.
fn shown_without_links(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['<', '[']) {
        let (before, after) = rest.split_at(at);
        out.push_str(before);
        let end = if after.starts_with('<') { '>' } else { ']' };
        let skipped = after.find(end).unwrap_or(0) + 1;
        rest = &after[skipped..];
    }
    out + rest
}

/// Real RTF: we read of it what `unrtf` reads.
#[test]
fn real_rtf_says_the_same_to_unrtf() {
    let mut compared = 0;
    for path in corpus("tnef", "tnef") {
        let message = tnef::read(&fs::read(&path).unwrap()).unwrap().message;
        let Some(PropValue::Binary(stream)) = message.properties.get(tags::RTF_COMPRESSED) else {
            continue;
        };
        let rtf = compressed::decompress(stream).unwrap();
        let Some(theirs) = shown(&rtf) else { return };
        // A comment about the program itself comes first.
        let theirs: String = theirs
            .lines()
            .filter(|line| !line.starts_with("###"))
            .collect::<Vec<_>>()
            .join("\n");
        let ours = extract::to_text(&rtf);
        let (common, all) = shared(&ours, &theirs);
        println!("{}: {common} of our {all} words", path.display());
        assert!(
            common * 100 >= all * 95,
            "{}\n{ours}\n-----\n{theirs}",
            path.display()
        );
        // It also shows where a link leads.
        let (common, all) = shared(&theirs, &ours);
        assert!(
            common * 100 >= all * 95 || all - common <= 1,
            "{}\n{ours}\n-----\n{theirs}",
            path.display()
        );
        compared += 1;
    }
    assert!(compared >= 5, "{compared}");
}

/// Real HTML and text as RTF: `unrtf` shows the words that the original shows.
#[test]
fn unrtf_shows_the_words_of_real_bodies() {
    let (mut compared, mut wrong) = (0, Vec::new());
    for path in [
        corpus("html", "html"),
        corpus("text", "html"),
        corpus("text", "txt"),
    ]
    .concat()
    {
        let Ok(original) = String::from_utf8(fs::read(&path).unwrap()) else {
            continue;
        };
        let text = path.extension().is_some_and(|end| end == "txt");
        let (rtf, expected) = if text {
            (writer::from_text(&original), original)
        } else {
            (
                writer::from_html(&original),
                shown_without_links(&html::to_text(&original)),
            )
        };
        let Some(theirs) = shown(&rtf) else { return };
        let theirs: String = theirs
            .lines()
            .filter(|line| !line.starts_with("###"))
            .collect::<Vec<_>>()
            .join("\n");
        let (common, all) = shared(&expected, &theirs);
        println!("{}: {common} of {all} words", path.display());
        let found = words(&theirs);
        let missing: Vec<_> = words(&expected)
            .into_keys()
            .filter(|word| !found.contains_key(word))
            .collect();
        if common * 100 < all * 95 {
            wrong.push(format!(
                "{}: {common} of {all} words; without {missing:?}",
                path.display()
            ));
        }
        compared += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(compared >= 20, "{compared}");
}
