//! `ringpost check-config`: what a configuration amounts to, and the reference of all directives.

use std::fmt::Write as _;

use serde_json::json;

use crate::{
    configuration::{Configuration, Setting, Source},
    diagnostic::{Diagnostic, Severity},
    directive::{self, Directive, Effect, File, Kind},
};

/// How [`check_config`] writes its report.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Format {
    /// A table for people, of the directives that are set or have an effect, and the diagnostics below it.
    #[default]
    Table,
    /// The same with all directives.
    FullTable,
    /// All of it for programs.
    Json,
}

/// What [`check_config`] found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// For standard output; ends with a line end.
    pub text: String,
    /// 0: nothing but notes, 1: warnings, 2: errors, with which the server would not start.
    pub exit_code: u8,
}

/// Loads a configuration, blocking, and reports its effective values with their origin and all that is wrong.
pub fn check_config(source: &Source, format: Format) -> Report {
    let (configuration, diagnostics) = Configuration::load(source);
    report(&configuration, &diagnostics, format)
}

/// As [`check_config`], for a configuration that is loaded already.
pub fn report(configuration: &Configuration, diagnostics: &[Diagnostic], format: Format) -> Report {
    let text = match format {
        Format::Table => table(configuration, diagnostics, false),
        Format::FullTable => table(configuration, diagnostics, true),
        Format::Json => json_report(configuration, diagnostics),
    };
    let exit_code = match diagnostics.iter().map(Diagnostic::severity).max() {
        None | Some(Severity::Note) => 0,
        Some(Severity::Warning) => 1,
        Some(Severity::Error) => 2,
    };
    Report { text, exit_code }
}

/// The reference of all directives, in Markdown.
pub fn describe() -> String {
    let (effective, not_yet, never) = coverage();
    let mut text = format!(
        "# Configuration directives\n\nOf gromox's directives {effective} are effective, {not_yet} will be once \
         the part of the server that they are about exists, and {never} have nothing to act on here.\n"
    );
    for &file in File::ALL {
        let _ = write!(text, "\n## {}\n", file.name());
        for directive in file.table() {
            describe_directive(&mut text, directive);
        }
    }
    text
}

fn describe_directive(text: &mut String, directive: &Directive) {
    let default = match directive.default {
        "" => "(none)",
        default => default,
    };
    let applied = if directive.reload { "SIGHUP" } else { "restart" };
    // Writing into a String can't fail.
    let _ = write!(
        text,
        "\n### {}\n\n{}\n\n- Type: {}\n- Default: `{default}`\n- Applied by: {applied}\n- Effect: {}\n",
        directive.name,
        directive.documentation(),
        directive.kind,
        directive.effect,
    );
}

/// What is shown in place of a secret.
const HIDDEN: &str = "(hidden)";

fn shown_value(directive: &Directive, setting: &Setting) -> String {
    match directive.kind {
        Kind::Secret if !setting.text.is_empty() => HIDDEN.to_owned(),
        _ => setting.value.to_string(),
    }
}

fn table(configuration: &Configuration, diagnostics: &[Diagnostic], full: bool) -> String {
    const HEADINGS: [&str; 4] = ["DIRECTIVE", "VALUE", "FROM", "EFFECT"];
    let rows: Vec<[String; 4]> = configuration
        .settings()
        .filter(|(directive, setting)| {
            full || setting.place.is_some() || directive.effect == Effect::Effective
        })
        .map(|(directive, setting)| {
            [
                directive.qualified_name(),
                shown_value(directive, setting),
                setting
                    .place
                    .as_ref()
                    .map_or_else(|| "default".to_owned(), ToString::to_string),
                directive.effect.to_string(),
            ]
        })
        .collect();
    let mut widths = HEADINGS.map(str::len);
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in std::iter::once(HEADINGS.map(str::to_owned)).chain(rows) {
        let [name, value, from, effect] = row;
        let [name_width, value_width, from_width, _] = widths;
        let line = format!("{name:name_width$}  {value:value_width$}  {from:from_width$}  {effect}");
        text.push_str(line.trim_end());
        text.push('\n');
    }
    if !diagnostics.is_empty() {
        text.push('\n');
    }
    for diagnostic in diagnostics {
        let _ = writeln!(text, "{diagnostic}");
    }
    text
}

fn json_report(configuration: &Configuration, diagnostics: &[Diagnostic]) -> String {
    let directives: Vec<_> = configuration
        .settings()
        .map(|(directive, setting)| {
            let place = setting.place.as_ref();
            json!({
                "file": directive.file.name(),
                "name": directive.name,
                "value": shown_value(directive, setting),
                "default": directive.default_value(),
                "path": place.map(|place| place.path.to_string_lossy()),
                "line": place.map(|place| place.line),
                "type": directive.kind.to_string(),
                "reload": directive.reload,
                "effective": directive.effect == Effect::Effective,
                "effect": directive.effect.to_string(),
            })
        })
        .collect();
    let diagnostics: Vec<_> = diagnostics
        .iter()
        .map(|diagnostic| {
            let place = diagnostic.place.as_ref();
            json!({
                "severity": diagnostic.severity().to_string(),
                "path": place.map(|place| place.path.to_string_lossy()),
                "line": place.map(|place| place.line),
                "message": diagnostic.problem.to_string(),
            })
        })
        .collect();
    format!(
        "{:#}\n",
        json!({ "directives": directives, "diagnostics": diagnostics })
    )
}

/// How many directives do what the manual says, will do it later, and never will.
fn coverage() -> (usize, usize, usize) {
    directive::all()
        .filter(|directive| directive.file != File::Ringpost)
        .fold(
            (0, 0, 0),
            |(effective, not_yet, never), directive| match directive.effect {
                Effect::Effective => (effective + 1, not_yet, never),
                Effect::NotYet(_) => (effective, not_yet + 1, never),
                Effect::NoEffect(_) => (effective, not_yet, never + 1),
            },
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, format: Format) -> Report {
        let (configuration, diagnostics) = Configuration::from_text(text);
        report(&configuration, &diagnostics, format)
    }

    #[test]
    fn the_table_shows_values_and_their_origin() {
        let report = check(
            "imap_autologout_time=1h30min\nmail_max_length=1.5M",
            Format::Table,
        );
        let line = |name: &str| report.text.lines().find(|line| line.starts_with(name)).map(cells);
        assert_eq!(
            line("imap.cfg:imap_autologout_time "),
            Some(vec![
                "imap.cfg:imap_autologout_time",
                "1h 30min",
                "(text):1",
                "effective"
            ])
        );
        assert_eq!(
            line("smtp.cfg:mail_max_length "),
            Some(vec![
                "smtp.cfg:mail_max_length",
                "1572864",
                "(text):2",
                "effective"
            ])
        );
        assert_eq!(
            line("gromox.cfg:imap_listen "),
            Some(vec!["gromox.cfg:imap_listen", "[::]:143", "default", "effective"])
        );
        assert_eq!(line("zcore.cfg:zcore_threads_num"), None);
        assert!(
            check("", Format::FullTable)
                .text
                .contains("zcore.cfg:zcore_threads_num")
        );
        assert_eq!(report.exit_code, 0, "{}", report.text);
    }

    fn cells(line: &str) -> Vec<&str> {
        line.split("  ")
            .map(str::trim)
            .filter(|cell| !cell.is_empty())
            .collect()
    }

    #[test]
    fn the_exit_code_tells_the_worst() {
        assert_eq!(check("context_average_mem=1M", Format::Table).exit_code, 0);
        assert_eq!(check("colour=red", Format::Table).exit_code, 1);
        assert_eq!(check("colour=red\nlog_level=much", Format::Table).exit_code, 2);
    }

    #[test]
    fn secrets_stay_hidden() {
        let text = "imap_certificate_passwd=hunter2\nmysql_password=hunter2\nldap_bind_pass=hunter2";
        for format in [Format::FullTable, Format::Json] {
            let report = check(text, format);
            assert!(!report.text.contains("hunter2"));
            assert!(report.text.contains(HIDDEN));
        }
    }

    #[test]
    fn json_is_complete() {
        let report = check("imap_conn_timeout=nonsense\nshards=2", Format::Json);
        let value: serde_json::Value = serde_json::from_str(&report.text).unwrap();
        assert_eq!(
            value["directives"].as_array().unwrap().len(),
            directive::all().count()
        );
        assert_eq!(value["diagnostics"][0]["severity"], "error");
        assert_eq!(value["diagnostics"][0]["line"], 1);
        assert_eq!(report.exit_code, 2);
    }

    #[test]
    fn every_directive_is_described() {
        let text = describe();
        for directive in directive::all() {
            assert!(!directive.documentation().is_empty());
            assert!(
                text.contains(&format!("\n### {}\n", directive.name)),
                "{}",
                directive.name
            );
        }
        let (effective, not_yet, never) = coverage();
        assert_eq!(
            effective + not_yet + never,
            directive::all().count() - File::Ringpost.table().len()
        );
    }
}
