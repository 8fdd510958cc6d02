//! Texts for reports that an administrator wrote: the manual's response templates.
//!
//! `data_file_path/local_bounce/SET/NAME` is a template for a failure at a mailbox of this server, `mail_bounce` for one
//! elsewhere. SET is the language of the report's reader (`de_DE`, `de`), where he has an account here, or gromox's
//! `ascii`; NAME is `BOUNCE_NO_USER`, `BOUNCE_MAILBOX_FULL`, `BOUNCE_MAIL_TOO_LARGE`, or `BOUNCE_OPERATION_ERROR`
//! (`BOUNCE_GENERIC_ERROR` elsewhere) for all other failures. A template begins with a `Subject` field and an empty
//! line; in its text `%(rcpt)`, `%(rcpts)`, `%(from)`, `%(time)`, `%(subject)`, `%(length)` and `%(postmaster)` stand for
//! what they say. Without templates the built-in text says it. Files are read once, at the start.

use std::{collections::HashMap, fs, path::PathBuf};

/// Octets of a template.
const TEMPLATE_MAX: u64 = 64 * 1024;
/// Templates that are read.
const TEMPLATES_MAX: usize = 1000;
/// The set for readers whose language is not known.
const DEFAULT_SET: &str = "ascii";
/// Folders of templates.
const KINDS: [&str; 2] = ["local_bounce", "mail_bounce"];

/// All templates that were found.
#[derive(Clone, Debug, Default)]
pub struct Templates(HashMap<(String, String, String), Template>);

/// A subject and a text, with variables in both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    subject: String,
    text: String,
}

/// What stands for the variables.
#[derive(Clone, Debug, Default)]
pub(crate) struct Values<'a> {
    pub(crate) recipients: Vec<&'a str>,
    pub(crate) from: &'a str,
    pub(crate) time: String,
    pub(crate) subject: String,
    pub(crate) length: usize,
    pub(crate) postmaster: &'a str,
}

impl Templates {
    /// Reads what is there; earlier folders of the path win. What can't be read is left out.
    pub fn read(data_file_path: &[PathBuf]) -> Self {
        let mut found = Self::default();
        for root in data_file_path {
            for kind in KINDS {
                let Ok(sets) = fs::read_dir(root.join(kind)) else {
                    continue;
                };
                for set in sets.flatten() {
                    let Ok(files) = fs::read_dir(set.path()) else {
                        continue;
                    };
                    for file in files.flatten() {
                        let small = file.metadata().is_ok_and(|data| data.len() <= TEMPLATE_MAX);
                        let (Some(set), Some(name)) = (text(&set.file_name()), text(&file.file_name()))
                        else {
                            continue;
                        };
                        // Templates in other charsets than UTF-8 are gromox's of long ago.
                        if let Ok(content) = fs::read_to_string(file.path())
                            && small
                            && found.0.len() < TEMPLATES_MAX
                            && let Some(template) = Template::parse(&content)
                        {
                            found.0.entry((kind.to_owned(), set, name)).or_insert(template);
                        }
                    }
                }
            }
        }
        found
    }

    /// The template for a failure, in the language of who reads it.
    pub(crate) fn find(&self, local: bool, enhanced: &str, locale: &str) -> Option<&Template> {
        let kind = if local { KINDS[0] } else { KINDS[1] };
        let name = match (local, enhanced) {
            (_, "5.1.1") => "BOUNCE_NO_USER",
            (_, "5.2.2") => "BOUNCE_MAILBOX_FULL",
            (_, "5.2.3" | "5.3.4") => "BOUNCE_MAIL_TOO_LARGE",
            (true, _) => "BOUNCE_OPERATION_ERROR",
            (false, _) => "BOUNCE_GENERIC_ERROR",
        };
        let language = locale.split('_').next().unwrap_or_default();
        [locale, language, DEFAULT_SET]
            .iter()
            .find_map(|set| self.0.get(&(kind.to_owned(), (*set).to_owned(), name.to_owned())))
    }
}

fn text(name: &std::ffi::OsStr) -> Option<String> {
    name.to_str().map(str::to_owned)
}

impl Template {
    fn parse(content: &str) -> Option<Self> {
        let content = content.replace("\r\n", "\n");
        let (head, body) = content.split_once("\n\n")?;
        let subject = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.trim()
                .eq_ignore_ascii_case("subject")
                .then(|| value.trim().to_owned())
        })?;
        Some(Self {
            subject,
            text: body.trim_end().to_owned(),
        })
    }

    /// Subject and text with everything said; lines end with CRLF.
    pub(crate) fn fill(&self, values: &Values<'_>) -> (String, String) {
        let fill = |text: &str| {
            let mut out = String::with_capacity(text.len() + 128);
            let mut rest = text;
            while let Some((before, after)) = rest.split_once("%(") {
                out.push_str(before);
                let Some((name, behind)) = after.split_once(')') else {
                    out.push_str("%(");
                    rest = after;
                    continue;
                };
                match name {
                    "rcpt" => out.push_str(values.recipients.first().unwrap_or(&"")),
                    "rcpts" => out.push_str(&values.recipients.join(", ")),
                    "from" => out.push_str(values.from),
                    "time" => out.push_str(&values.time),
                    "subject" => out.push_str(&values.subject),
                    "length" => out.push_str(&values.length.to_string()),
                    "postmaster" => out.push_str(values.postmaster),
                    // A word of somebody else's.
                    _ => {
                        out.push_str("%(");
                        out.push_str(name);
                        out.push(')');
                    }
                }
                rest = behind;
            }
            out.push_str(rest);
            out
        };
        let subject = fill(&self.subject).replace(char::is_control, " ");
        let clean = |line: &str| line.replace(|c: char| c.is_control() && c != '\t', " ");
        let lines: Vec<String> = fill(&self.text).split('\n').map(clean).collect();
        (subject, lines.join("\r\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_found_by_language_and_failure_and_filled() {
        let folder = tempfile::tempdir().unwrap();
        for (set, name, text) in [
            (
                "ascii",
                "BOUNCE_NO_USER",
                "Subject: No %(rcpt)\n\n%(from) wrote %(length) bytes to %(rcpts)\n%(what) 100%\n",
            ),
            (
                "de",
                "BOUNCE_NO_USER",
                "Subject: Kein Empf\u{e4}nger\r\n\r\nGr\u{fc}\u{df}e\r\n",
            ),
            ("ascii", "BOUNCE_OPERATION_ERROR", "no subject\n\nx"),
        ] {
            let path = folder.path().join("local_bounce").join(set);
            fs::create_dir_all(&path).unwrap();
            fs::write(path.join(name), text).unwrap();
        }
        let templates = Templates::read(&[folder.path().to_owned(), "/does/not/exist".into()]);
        let values = Values {
            recipients: vec!["a@x\r\nBcc: y", "b@x"],
            from: "me@x",
            length: 5,
            ..Values::default()
        };
        let (subject, text) = templates.find(true, "5.1.1", "fr_FR").unwrap().fill(&values);
        assert_eq!(subject, "No a@x  Bcc: y");
        assert_eq!(text, "me@x wrote 5 bytes to a@x \r\nBcc: y, b@x\r\n%(what) 100%");
        assert_eq!(
            templates.find(true, "5.1.1", "de_DE").unwrap().subject,
            "Kein Empf\u{e4}nger"
        );
        assert!(
            templates.find(true, "5.7.1", "de_DE").is_none(),
            "without a subject it is none"
        );
        assert!(templates.find(false, "5.1.1", "de_DE").is_none());
    }
}
