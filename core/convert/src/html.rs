//! HTML as bodies have it: cut into tags and text, shown as plain text, made from plain text.
//!
//! No tree is built: what mail needs is where text, tags and comments are. Every piece of the input is some
//! token, and every function is linear in its input.

use std::borrow::Cow;

/// Open lists and quotes that are remembered.
const MAX_DEPTH: usize = 100;

/// A piece of HTML, with the bytes it was written as.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Token<'a> {
    /// Text, with character references.
    Text(&'a str),
    /// A start tag, end tag, comment or declaration, as written.
    Markup(&'a str),
    /// The content of `script`, `style`, `title` or the like, which is no markup.
    Raw(&'a str),
}

/// The tokens of a document.
pub fn tokens(html: &str) -> Tokens<'_> {
    Tokens {
        rest: html,
        raw: None,
    }
}

/// The tokens that are left.
#[derive(Clone, Debug)]
pub struct Tokens<'a> {
    rest: &'a str,
    /// The element whose content comes next, as it is.
    raw: Option<&'static str>,
}

/// Elements whose content is not markup.
const RAW_ELEMENTS: [&str; 6] = ["script", "style", "title", "textarea", "xmp", "noscript"];

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        if let Some(element) = self.raw.take() {
            let end = find_end_tag(self.rest, element);
            if end > 0 {
                return Some(Token::Raw(self.take(end)));
            }
        }
        if self.rest.is_empty() {
            return None;
        }
        if !starts_markup(self.rest) {
            let mut end = 1;
            // The first character may be a `<` that starts nothing.
            loop {
                let from = self.rest.as_bytes().get(end..).unwrap_or_default();
                match memchr::memchr(b'<', from) {
                    Some(at) if starts_markup(self.rest.get(end + at..).unwrap_or_default()) => {
                        end += at;
                        break;
                    }
                    Some(at) => end += at + 1,
                    None => {
                        end = self.rest.len();
                        break;
                    }
                }
            }
            return Some(Token::Text(self.take(end)));
        }
        let end = markup_end(self.rest);
        let markup = self.take(end);
        if !markup.starts_with("</") {
            let name = tag_name(markup);
            self.raw = RAW_ELEMENTS
                .into_iter()
                .find(|element| name.eq_ignore_ascii_case(element));
        }
        Some(Token::Markup(markup))
    }
}

impl<'a> Tokens<'a> {
    fn take(&mut self, mut count: usize) -> &'a str {
        while !self.rest.is_char_boundary(count) {
            count += 1;
        }
        let (head, rest) = self.rest.split_at(count);
        self.rest = rest;
        head
    }
}

/// Whether a tag, comment or declaration begins here.
fn starts_markup(html: &str) -> bool {
    let bytes = html.as_bytes();
    bytes.first() == Some(&b'<')
        && match bytes.get(1) {
            Some(b'/') => bytes.get(2).is_some_and(u8::is_ascii_alphabetic),
            Some(b'!' | b'?') => true,
            Some(byte) => byte.is_ascii_alphabetic(),
            None => false,
        }
}

/// Where the markup that begins here ends. A `>` in a quoted attribute does not end it.
fn markup_end(html: &str) -> usize {
    if html.starts_with("<!--") {
        return html
            .get(4..)
            .and_then(|rest| rest.find("-->"))
            .map_or(html.len(), |at| at + 7);
    }
    let mut quote = None;
    let mut after_equals = false;
    for (at, byte) in html.bytes().enumerate() {
        match (quote, byte) {
            (Some(open), _) if open == byte => quote = None,
            (Some(_), _) => {}
            (None, b'"' | b'\'') if after_equals => quote = Some(byte),
            (None, b'>') => return at + 1,
            _ => {}
        }
        after_equals = byte == b'=' || (after_equals && byte.is_ascii_whitespace());
    }
    html.len()
}

/// Where `</element` begins, or the end.
fn find_end_tag(html: &str, element: &str) -> usize {
    let bytes = html.as_bytes();
    memchr::memchr_iter(b'<', bytes)
        .find(|&at| {
            bytes.get(at + 1) == Some(&b'/')
                && bytes
                    .get(at + 2..at + 2 + element.len())
                    .is_some_and(|name| name.eq_ignore_ascii_case(element.as_bytes()))
        })
        .unwrap_or(html.len())
}

/// The name in a start or end tag, as written; empty for comments and declarations.
pub fn tag_name(markup: &str) -> &str {
    let inner = markup.trim_start_matches('<').trim_start_matches('/');
    let end = inner
        .find(|c: char| !c.is_ascii_alphanumeric() && c != ':' && c != '-')
        .unwrap_or(inner.len());
    &inner[..end]
}

/// The value of an attribute of a start tag, with its references resolved.
pub fn attribute<'a>(markup: &'a str, name: &str) -> Option<Cow<'a, str>> {
    let mut rest = markup.get(1 + tag_name(markup).len()..)?;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/');
        let end = rest.find(|c: char| c.is_ascii_whitespace() || matches!(c, '=' | '>' | '/'))?;
        if end == 0 {
            return None;
        }
        let (found, after) = rest.split_at(end);
        let after = after.trim_start();
        let Some(value) = after.strip_prefix('=') else {
            rest = after;
            continue;
        };
        let value = value.trim_start();
        let (value, after) = if let quote @ (b'"' | b'\'') = value.as_bytes().first()? {
            let inner = &value[1..];
            let end = inner.find(char::from(*quote)).unwrap_or(inner.len());
            (&inner[..end], inner.get(end + 1..).unwrap_or_default())
        } else {
            let end = value
                .find(|c: char| c.is_ascii_whitespace() || c == '>')
                .unwrap_or(value.len());
            value.split_at(end)
        };
        if found.eq_ignore_ascii_case(name) {
            return Some(unescape(value));
        }
        rest = after;
    }
}

/// Text with its character references resolved.
pub fn unescape(text: &str) -> Cow<'_, str> {
    html_escape::decode_html_entities(text)
}

/// Adds text to HTML.
pub fn escape_into(out: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\u{a0}' => out.push_str("&nbsp;"),
            _ => out.push(character),
        }
    }
}

/// Plain text as an HTML document: line ends and runs of spaces look the same.
pub fn from_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8 + 64);
    out.push_str("<html><body>\r\n");
    let text = text.strip_suffix('\n').unwrap_or(text);
    for (number, line) in text.split('\n').enumerate() {
        if number > 0 {
            out.push_str("<br>\r\n");
        }
        let mut rest = line.strip_suffix('\r').unwrap_or(line);
        // Spaces at the start and runs of them would be one, or none.
        let mut start = true;
        while !rest.is_empty() {
            let spaces = rest.len() - rest.trim_start_matches([' ', '\t']).len();
            let (blank, after) = rest.split_at(spaces);
            let width: usize = blank.bytes().map(|byte| if byte == b'\t' { 8 } else { 1 }).sum();
            let kept = if start || width > 1 {
                width.saturating_sub(usize::from(!start))
            } else {
                0
            };
            out.extend(std::iter::repeat_n("&nbsp;", kept));
            if width > kept {
                out.push(' ');
            }
            let end = after.find([' ', '\t']).unwrap_or(after.len());
            escape_into(&mut out, &after[..end]);
            rest = &after[end..];
            start = false;
        }
    }
    out.push_str("\r\n</body></html>\r\n");
    out
}

/// The document as plain text with CRLF line ends: what a reader without HTML is shown.
pub fn to_text(html: &str) -> String {
    let mut page = Plain::default();
    let mut skipped = None;
    for token in tokens(html) {
        match token {
            Token::Text(text) if skipped.is_none() => page.text(&unescape(text)),
            Token::Markup(markup) => {
                let name = tag_name(markup).to_ascii_lowercase();
                let end = markup.starts_with("</");
                match (&skipped, end) {
                    (Some(element), true) if *element == name => skipped = None,
                    (Some(_), _) => {}
                    // A head without end must not swallow the body.
                    (None, false) if name == "head" && find_end_tag(html, "head") < html.len() => {
                        skipped = Some(name);
                    }
                    (None, _) => page.tag(&name, end, markup),
                }
            }
            Token::Text(_) | Token::Raw(_) => {}
        }
    }
    page.end()
}

/// Plain text as it is written.
#[derive(Default)]
struct Plain {
    out: String,
    /// Line ends that come before the next text.
    breaks: usize,
    space: bool,
    /// Open `pre` elements.
    preformatted: usize,
    quotes: usize,
    /// Open lists; for ordered ones the next number.
    lists: Vec<Option<u32>>,
    links: Vec<(String, usize)>,
}

impl Plain {
    fn text(&mut self, text: &str) {
        if self.preformatted > 0 {
            for (number, line) in text.split('\n').enumerate() {
                if number > 0 {
                    self.breaks += 1;
                }
                let line = line.strip_suffix('\r').unwrap_or(line);
                if !line.is_empty() {
                    self.start_text();
                    self.out.push_str(line);
                }
            }
            return;
        }
        for word in text.split_inclusive(|c: char| c.is_ascii_whitespace()) {
            let bare = word.trim_end_matches(|c: char| c.is_ascii_whitespace());
            if !bare.is_empty() {
                self.start_text();
                self.out.push_str(bare);
            }
            self.space |= bare.len() < word.len();
        }
    }

    /// Writes the line ends, or the space, before text.
    fn start_text(&mut self) {
        if self.breaks > 0 || self.out.is_empty() {
            let breaks = if self.out.is_empty() {
                0
            } else {
                self.breaks.min(2 + self.preformatted * 100)
            };
            self.out.extend(std::iter::repeat_n("\r\n", breaks));
            self.out
                .extend(std::iter::repeat_n("> ", self.quotes.min(MAX_DEPTH)));
            self.breaks = 0;
        } else if self.space {
            self.out.push(' ');
        }
        self.space = false;
    }

    fn break_lines(&mut self, count: usize) {
        self.breaks = self.breaks.max(count);
        self.space = false;
    }

    fn tag(&mut self, name: &str, end: bool, markup: &str) {
        match name {
            "br" => {
                self.breaks += 1;
                self.space = false;
            }
            "p" | "h1" | "h2" | "h3" | "h4" | "h5" | "h6" | "dl" | "table" => self.break_lines(2),
            "div" | "tr" | "dt" | "dd" | "section" | "article" | "header" | "footer" | "form" | "center" => {
                self.break_lines(1);
            }
            "pre" => {
                self.break_lines(2);
                self.preformatted = if end {
                    self.preformatted.saturating_sub(1)
                } else {
                    self.preformatted + 1
                };
            }
            "blockquote" => {
                self.break_lines(2);
                self.quotes = if end {
                    self.quotes.saturating_sub(1)
                } else {
                    self.quotes + 1
                };
            }
            "ul" | "ol" => {
                self.break_lines(if self.lists.is_empty() { 2 } else { 1 });
                if end {
                    self.lists.pop();
                } else if self.lists.len() < MAX_DEPTH {
                    self.lists.push((name == "ol").then_some(1));
                }
            }
            "li" if !end => {
                self.break_lines(1);
                let indent = "  ".repeat(self.lists.len().saturating_sub(1));
                let mark = match self.lists.last_mut() {
                    Some(Some(number)) => {
                        *number += 1;
                        format!("{indent}{}. ", *number - 1)
                    }
                    _ => format!("{indent}* "),
                };
                self.start_text();
                self.out.push_str(&mark);
            }
            "td" | "th" if !end && self.breaks == 0 && !self.out.is_empty() => {
                self.out.push('\t');
                self.space = false;
            }
            "hr" => {
                self.break_lines(1);
                self.start_text();
                self.out.push_str("----------------------------------------");
                self.break_lines(1);
            }
            "img" => {
                if let Some(text) = attribute(markup, "alt").filter(|text| !text.trim().is_empty()) {
                    self.text(&format!("[{}]", text.trim()));
                }
            }
            "a" if !end => {
                if let Some(target) = attribute(markup, "href")
                    && self.links.len() < MAX_DEPTH
                {
                    self.links.push((target.into_owned(), self.out.len()));
                }
            }
            "a" => {
                if let Some((target, start)) = self.links.pop() {
                    self.link_end(&target, start);
                }
            }
            _ => {}
        }
    }

    /// Adds a link's address unless its text shows it.
    fn link_end(&mut self, target: &str, start: usize) {
        let shown = self.out.get(start..).unwrap_or_default().trim();
        let bare = target.trim_start_matches("mailto:").trim_end_matches('/');
        let web = ["http:", "https:", "mailto:", "ftp:"]
            .iter()
            .any(|scheme| target.starts_with(scheme));
        if web && !shown.is_empty() && !shown.contains(bare) {
            let text = format!(" <{target}>");
            self.out.push_str(&text);
        }
    }

    fn end(mut self) -> String {
        if !self.out.is_empty() {
            self.out.push_str("\r\n");
        }
        self.out
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn html_as_text() {
        let html = "<html><head><title>T</title><style>p { color: red }</style></head>\n<body><h1>Hello &amp; welcome</h1>\n\
                    <p>One <b>two</b>\n three&nbsp;four &euro;<br>five</p><ul><li>a<li>b<ol><li>c</li></ol></ul>\
                    <blockquote>quoted<br>twice</blockquote><pre>x  y\n z</pre><table><tr><td>1</td><td>2</td></tr>\
                    <tr><td>3</td></tr></table>1 < 2 <a href='https://example.org/x'>link</a> \
                    <a href=\"mailto:a@b.c\">a@b.c</a><!-- no > text --><img alt='pic' src=x></body></html>";
        let expected = "Hello & welcome\r\n\r\nOne two three\u{a0}four \u{20ac}\r\nfive\r\n\r\n* a\r\n* b\r\n  1. c\r\n\r\n\
                        > quoted\r\n> twice\r\n\r\nx  y\r\n z\r\n\r\n1\t2\r\n3\r\n\r\n\
                        1 < 2 link <https://example.org/x> a@b.c[pic]\r\n";
        assert_eq!(to_text(html), expected);
    }

    #[test]
    fn text_as_html_and_back() {
        let text = "a  b\r\n  <indented>\r\n\r\ntab\there\r\n";
        let html = from_text(text);
        assert_eq!(
            html,
            "<html><body>\r\na&nbsp; b<br>\r\n&nbsp;&nbsp;&lt;indented&gt;<br>\r\n<br>\r\n\
             tab&nbsp;&nbsp;&nbsp;&nbsp;&nbsp;&nbsp;&nbsp; here\r\n</body></html>\r\n"
        );
        assert_eq!(
            to_text(&html).replace('\u{a0}', " "),
            "a  b\r\n  <indented>\r\n\r\ntab        here\r\n"
        );
    }

    #[test]
    fn attributes() {
        let tag = "<a title = 'x>y' HREF=\"a&amp;b\" checked data-x=1>";
        assert_eq!(attribute(tag, "href").as_deref(), Some("a&b"));
        assert_eq!(attribute(tag, "title").as_deref(), Some("x>y"));
        assert_eq!(attribute(tag, "data-x").as_deref(), Some("1"));
        assert_eq!(attribute(tag, "none"), None);
        assert_eq!(markup_end(tag), tag.len());
    }

    proptest! {
        #[test]
        fn every_byte_is_in_a_token(html in "[<>/a-c!\\-\"'= &;\u{e9}]{0,60}") {
            let whole: String = tokens(&html)
                .map(|token| match token {
                    Token::Text(text) | Token::Markup(text) | Token::Raw(text) => text,
                })
                .collect();
            prop_assert_eq!(whole, html);
        }
    }
}
