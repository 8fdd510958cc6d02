//! RTF that encapsulates HTML or plain text (MS-OXRTFEX 2.2.2): readers of RTF see about the same, and the
//! original comes back whole.

use std::fmt::Write;

use crate::html::{self, Token};

const HEADER: &str = "{\\rtf1\\ansi\\ansicpg1252";
const FONTS: &str = " \\fbidis \\deff0{\\fonttbl\r\n{\\f0\\fswiss\\fcharset0 Arial;}\r\n{\\f1\\fmodern\\fcharset0 Courier New;}\r\n}\r\n\
{\\colortbl\\red0\\green0\\blue0;\\red0\\green0\\blue255;}\r\n\\uc1\\pard\\plain\\deftab360 \\f0\\fs20 ";

/// Plain text as RTF.
pub fn from_text(text: &str) -> Vec<u8> {
    let mut out = String::with_capacity(text.len() + 256);
    out.push_str(HEADER);
    out.push_str("\\fromtext");
    out.push_str(FONTS);
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(['\r', '\n']).unwrap_or(rest.len());
        escape_into(&mut out, &rest[..end]);
        rest = &rest[end..];
        if !rest.is_empty() {
            out.push_str("\\par\r\n");
            rest = rest
                .strip_prefix("\r\n")
                .or_else(|| rest.get(1..))
                .unwrap_or_default();
        }
    }
    out.push('}');
    out.into_bytes()
}

/// HTML as RTF.
pub fn from_html(html: &str) -> Vec<u8> {
    let mut writer = Writer {
        out: String::with_capacity(html.len() * 2 + 256),
        open: Vec::new(),
        in_body: false,
    };
    writer.out.push_str(HEADER);
    writer.out.push_str("\\fromhtml1");
    writer.out.push_str(FONTS);
    // Before any text that is shown (2.2.2).
    writer.out.push_str("{\\*\\htmltag64}\r\n");
    let has_body = html::tokens(html).any(
        |token| matches!(token, Token::Markup(markup) if html::tag_name(markup).eq_ignore_ascii_case("body")),
    );
    writer.in_body = !has_body;
    for token in html::tokens(html) {
        match token {
            Token::Text(text) => writer.text(text),
            Token::Markup(markup) => writer.markup(markup),
            Token::Raw(text) => writer.tag(241, text),
        }
    }
    writer.close_all();
    writer.out.push('}');
    writer.out.into_bytes()
}

/// Elements that look like something in RTF: their name, the control words, and the kind of their tag as
/// Outlook writes it (2.1.3.1.4.1; readers need not look at it).
const STYLES: [(&str, &str, u16); 10] = [
    ("b", "\\b", 84),
    ("strong", "\\b", 84),
    ("i", "\\i", 84),
    ("em", "\\i", 84),
    ("u", "\\ul", 84),
    ("s", "\\strike", 84),
    ("strike", "\\strike", 84),
    ("sup", "\\super", 84),
    ("sub", "\\sub", 84),
    ("pre", "\\f1", 96),
];

/// Groups that may be open at once; elements beyond look like what is around them.
const MAX_OPEN: usize = 200;

struct Writer {
    out: String,
    /// The elements whose group is open.
    open: Vec<&'static str>,
    in_body: bool,
}

impl Writer {
    /// A piece of the HTML that RTF has no form for.
    fn tag(&mut self, kind: u16, content: &str) {
        if content.is_empty() {
            return;
        }
        let _ = write!(self.out, "{{\\*\\htmltag{kind} ");
        let mut rest = content;
        while !rest.is_empty() {
            let end = rest.find(['\r', '\n']).unwrap_or(rest.len());
            escape_into(&mut self.out, &rest[..end]);
            rest = &rest[end..];
            if !rest.is_empty() {
                self.out.push_str("\\par ");
                rest = rest
                    .strip_prefix("\r\n")
                    .or_else(|| rest.get(1..))
                    .unwrap_or_default();
            }
        }
        self.out.push('}');
    }

    /// RTF that was not in the HTML.
    fn only_rtf(&mut self, rtf: &str) {
        let _ = write!(self.out, "\\htmlrtf {rtf}\\htmlrtf0 ");
    }

    fn text(&mut self, text: &str) {
        if !self.in_body {
            return self.tag(if text.trim().is_empty() { 0 } else { 241 }, text);
        }
        let preformatted = self.open.contains(&"pre");
        let mut rest = text;
        while !rest.is_empty() {
            let end = rest
                .find(|c: char| matches!(c, '&' | '\r' | '\n') || (!preformatted && c == '\t'))
                .unwrap_or(rest.len());
            escape_into(&mut self.out, &rest[..end]);
            rest = &rest[end..];
            let Some(first) = rest.chars().next() else {
                return;
            };
            if first == '&' {
                let length = reference_length(rest);
                let (reference, after) = rest.split_at(length);
                self.tag(84, reference);
                let mut shown = String::new();
                escape_into(&mut shown, &html::unescape(reference));
                self.only_rtf(&shown);
                rest = after;
            } else {
                let length = if rest.starts_with("\r\n") { 2 } else { 1 };
                let (blank, after) = rest.split_at(length);
                if blank == "\t" {
                    // As a character it would be a tab stop.
                    self.out.push_str("{\\*\\htmltag4 \\tab }");
                } else {
                    self.out.push_str("{\\*\\htmltag4 \\par }");
                }
                self.only_rtf(if preformatted && blank != "\t" {
                    "\\line "
                } else {
                    " "
                });
                rest = after;
            }
        }
    }

    fn markup(&mut self, markup: &str) {
        let name = html::tag_name(markup).to_ascii_lowercase();
        let end = markup.starts_with("</");
        let style = STYLES.iter().find(|(element, _, _)| *element == name);
        let kind = match name.as_str() {
            "html" => 19,
            "head" => 34,
            "body" => 50,
            "p" | "div" | "h1" | "h2" | "h3" | "h4" | "h5" | "h6" | "li" | "ul" | "ol" | "table" | "tr"
            | "td" => 64,
            "br" => 116,
            "" | "meta" | "style" | "script" | "title" | "link" | "base" => 241,
            _ => style.map_or(148, |(_, _, kind)| *kind),
        };
        let closing = if end && kind != 241 && kind != 116 { 8 } else { 0 };
        if end && let Some((element, _, _)) = style {
            self.tag(kind + closing, markup);
            return self.close(element);
        }
        self.tag(kind + closing, markup);
        match (name.as_str(), end) {
            ("body", false) => self.in_body = true,
            _ if !self.in_body => {}
            ("br", _) => self.only_rtf("\\line "),
            ("p" | "div" | "h1" | "h2" | "h3" | "h4" | "h5" | "h6" | "li" | "tr", true) => {
                self.only_rtf("\\par ");
            }
            ("td" | "th", true) => self.only_rtf("\\tab "),
            ("li", false) => self.only_rtf("\\bullet  "),
            ("hr", _) => self.only_rtf("\\par ________________\\par "),
            _ => {
                if let Some((element, words, _)) = style
                    && self.open.len() < MAX_OPEN
                {
                    self.only_rtf(&format!("{{{words} "));
                    self.open.push(element);
                }
            }
        }
    }

    /// Closes the group of an element, and those opened inside it.
    fn close(&mut self, element: &str) {
        if let Some(at) = self.open.iter().rposition(|open| *open == element) {
            for _ in at..self.open.len() {
                self.only_rtf("}");
            }
            self.open.truncate(at);
        }
    }

    fn close_all(&mut self) {
        for _ in 0..self.open.len() {
            self.only_rtf("}");
        }
        self.open.clear();
    }
}

/// How long the character reference is that begins with this `&`; an `&` that begins none is one by itself.
fn reference_length(text: &str) -> usize {
    const LONGEST: usize = 32;
    let name = text.bytes().skip(1).take(LONGEST);
    let length = name
        .take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'#')
        .count();
    1 + length + usize::from(length > 0 && text.as_bytes().get(1 + length) == Some(&b';'))
}

/// Adds text; characters beyond ASCII become `\u`, in UTF-16 units.
fn escape_into(out: &mut String, text: &str) {
    let mut units = [0; 2];
    for character in text.chars() {
        match character {
            '\\' | '{' | '}' => {
                out.push('\\');
                out.push(character);
            }
            '\t' => out.push_str("\\tab "),
            '\u{a0}' => out.push_str("\\~"),
            // Other control characters are no part of a text.
            '\0'..' ' | '\u{7f}' => {}
            ' '..'\u{7f}' => out.push(character),
            _ => {
                for unit in character.encode_utf16(&mut units) {
                    let _ = write!(out, "\\u{}?", *unit as i16);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        super::extract::{Encapsulated, encapsulated, to_text},
        *,
    };

    #[test]
    fn html_comes_back() {
        let html = "<!DOCTYPE html>\r\n<html><head><meta charset=utf-8><style>\r\np { x }\r\n</style><title>A &amp; {B}</title></head>\r\n\
                    <body bgcolor=\"#fff\">\r\n<p>Gr\u{fc}\u{df}e \u{1f600} &amp; <b>bold <i>both</b> \\ {x}</i><br>\tx&nbsp;\u{a0}y & z</p>\
                    <pre>a\tb\r\n c</pre></body></html>\r\n";
        let rtf = from_html(html);
        assert!(rtf.is_ascii());
        assert_eq!(encapsulated(&rtf), Some(Encapsulated::Html(html.to_owned())));
    }

    #[test]
    fn text_comes_back() {
        let text = "a {b} \\c\ttab\r\n\r\n\u{20ac} \u{1f600}\u{a0}x\r\n";
        let rtf = from_text(text);
        assert_eq!(encapsulated(&rtf), Some(Encapsulated::Text(text.to_owned())));
        assert_eq!(to_text(&rtf), text);
    }

    proptest! {
        #[test]
        fn any_html_comes_back(html in "(</?(b|i|p|br|body|pre|html|style|x y='>')>|<!-- -->|&(amp;|#8364;|x| )|[ -~]|\t|\r\n|\u{e9}|\u{1f600}){0,40}") {
            let Some(Encapsulated::Html(back)) = encapsulated(&from_html(&html)) else {
                panic!("no HTML");
            };
            prop_assert_eq!(back, html);
        }
    }
}
