//! The table against the manual: no directive is forgotten, no default differs.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use ringpost_config::{File, directive};

/// What the manual says of a directive: its default as written, if any page gives one.
type Manual = BTreeMap<(String, String), BTreeSet<String>>;

#[test]
fn the_table_is_the_manual() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/reference/gromox-manual.txt");
    let text = fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("the manual is missing at {}: {error}", path.display()));
    let manual = read_manual(&text);
    assert!(
        manual.len() > 300,
        "only {} directives were found in the manual",
        manual.len()
    );

    let mut table: Manual = BTreeMap::new();
    for directive in directive::all().filter(|directive| directive.file != File::Ringpost) {
        let defaults = (!directive.default.is_empty()).then(|| directive.default.to_owned());
        table.insert(
            (directive.file.name().to_owned(), directive.name.to_owned()),
            defaults.into_iter().collect(),
        );
    }
    let missing: Vec<_> = manual.keys().filter(|key| !table.contains_key(*key)).collect();
    assert!(missing.is_empty(), "not in the table: {missing:?}");
    let invented: Vec<_> = table.keys().filter(|key| !manual.contains_key(*key)).collect();
    assert!(invented.is_empty(), "not in the manual: {invented:?}");
    for (key, defaults) in &manual {
        assert_eq!(&table[key], defaults, "default of {key:?}");
    }
}

/// Reads every section that lists directives. Blank lines separate the manual's paragraphs; a directive's
/// heading is a paragraph that is only its name.
fn read_manual(text: &str) -> Manual {
    let mut manual = Manual::new();
    let lines: Vec<&str> = text.lines().collect();
    let mut page = "";
    let mut file: Option<String> = None;
    let mut current: Option<(String, String)> = None;
    for (index, &line) in lines.iter().enumerate() {
        let before = index.checked_sub(1).map_or("", |index| lines[index]);
        if is_page(line) {
            (page, file, current) = (line, None, None);
        } else if let Some(named) = line.strip_prefix("Configuration directives") {
            file = section_file(named, page, &lines[index..]);
            current = None;
        } else if line == "Configuration" {
            file = named_file(&lines[index..]);
            current = None;
        } else if is_heading(line) {
            (file, current) = (None, None);
        } else if let Some(file) = &file {
            if before.trim().is_empty() && is_directive_name(line) {
                let key = (file.clone(), line.to_owned());
                manual.entry(key.clone()).or_default();
                current = Some(key);
            } else if let (Some(default), Some(key)) = (line.strip_prefix("Default:"), &current) {
                manual
                    .entry(key.clone())
                    .or_default()
                    .insert(default.trim().to_owned());
            }
        }
    }
    manual
}

/// `imap(8gx)`
fn is_page(line: &str) -> bool {
    line.strip_suffix(')')
        .and_then(|line| line.split_once('('))
        .is_some_and(|(name, section)| {
            !name.is_empty()
                && !name.contains(char::is_whitespace)
                && section.len() <= 3
                && section.starts_with(|first: char| first.is_ascii_digit())
        })
}

/// Sections that follow the directives of a page.
fn is_heading(line: &str) -> bool {
    [
        "Authentication modes",
        "Event protocol",
        "Files",
        "Multiserver map",
        "Network protocol",
        "Normative references",
        "Notes",
        "Outlook notes",
        "See also",
        "Sharding / Multiple Home Server Cluster",
        "Signals",
        "Timer protocol",
    ]
    .contains(&line)
}

fn section_file(named: &str, page: &str, following: &[&str]) -> Option<String> {
    let named = named.trim();
    if let Some(name) = named.strip_prefix('(').and_then(|name| name.strip_suffix(')')) {
        return Some(name.to_owned());
    }
    if page.starts_with("gromox.cfg(") {
        Some("gromox.cfg".to_owned())
    } else {
        named_file(following)
    }
}

/// The file that a section's introduction names.
fn named_file(following: &[&str]) -> Option<String> {
    following.iter().take(6).find_map(|line| {
        let (_, rest) = line.split_once("/etc/gromox/")?;
        let part_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
        let end = rest.find(|c| !part_of_name(c)).unwrap_or(rest.len());
        let name = rest[..end].trim_end_matches('.');
        [".cfg", ".ini"]
            .iter()
            .any(|end| name.ends_with(end))
            .then(|| name.to_owned())
    })
}

fn is_directive_name(line: &str) -> bool {
    line == "organization"
        || (line.contains('_')
            && line
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'))
}
