//! From RTF to the bodies that other readers show.

use std::fmt::Write;

use super::reader::{Alignment, Event, Format, Origin, origin, read};
use crate::html;

/// The body that an RTF document encapsulates.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Encapsulated {
    /// The HTML it was made from.
    Html(String),
    /// The plain text it was made from, with CRLF line ends.
    Text(String),
}

/// The original that the document encapsulates, if it does (MS-OXRTFEX 2.2.3).
pub fn encapsulated(rtf: &[u8]) -> Option<Encapsulated> {
    match origin(rtf) {
        Origin::Rtf => None,
        Origin::Html => {
            let mut out = String::with_capacity(rtf.len() / 2);
            read(rtf, &mut |event| match event {
                Event::Text(text, _) | Event::Tag(text) => out.push_str(text),
                Event::Paragraph(_) | Event::Line => out.push_str("\r\n"),
                _ => {}
            });
            Some(Encapsulated::Html(out))
        }
        Origin::Text => Some(Encapsulated::Text(to_text(rtf))),
    }
}

/// The document as plain text, with CRLF line ends.
pub fn to_text(rtf: &[u8]) -> String {
    if let Some(Encapsulated::Html(original)) =
        (origin(rtf) == Origin::Html).then(|| encapsulated(rtf)).flatten()
    {
        return html::to_text(&original);
    }
    let mut out = String::with_capacity(rtf.len() / 2);
    let mut link: Option<(String, usize)> = None;
    read(rtf, &mut |event| match event {
        Event::Text(text, _) => out.push_str(text),
        Event::Paragraph(_) | Event::Line => out.push_str("\r\n"),
        Event::Cell => out.push('\t'),
        Event::Row => {
            let length = out.trim_end_matches('\t').len();
            out.truncate(length);
            out.push_str("\r\n");
        }
        Event::LinkStart(target) => link = Some((target.to_owned(), out.len())),
        Event::LinkEnd => {
            if let Some((target, start)) = link.take() {
                let shown = out.get(start..).unwrap_or_default().trim();
                if !shown.is_empty() && !target.ends_with(shown) {
                    let _ = write!(out, " <{target}>");
                }
            }
        }
        Event::Tag(_) | Event::Attachment => {}
    });
    out
}

/// The document as HTML: the original where it encapsulates one.
pub fn to_html(rtf: &[u8]) -> String {
    match encapsulated(rtf) {
        Some(Encapsulated::Html(original)) => return original,
        Some(Encapsulated::Text(text)) => return html::from_text(&text),
        None => {}
    }
    let mut page = Page::default();
    read(rtf, &mut |event| page.event(event));
    page.end()
}

/// A page as it is written.
#[derive(Default)]
struct Page {
    out: String,
    /// What the current paragraph, or cell, has so far.
    line: String,
    /// The format that `line` has open tags for.
    open: Format,
    cells: Vec<String>,
    rows: String,
}

impl Page {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Text(text, format) => {
                self.format(format);
                html::escape_into(&mut self.line, text);
            }
            Event::Line => self.line.push_str("<br>"),
            Event::Paragraph(alignment) => {
                if self.cells.is_empty() {
                    self.paragraph(alignment);
                } else {
                    self.line.push_str("<br>");
                }
            }
            Event::Cell => {
                let cell = self.take_line();
                self.cells.push(cell);
            }
            Event::Row => {
                self.rows.push_str("<tr>");
                for cell in self.cells.drain(..) {
                    let _ = write!(self.rows, "<td>{cell}</td>");
                }
                self.rows.push_str("</tr>\r\n");
            }
            Event::LinkStart(target) => {
                self.format(Format::default());
                self.line.push_str("<a href=\"");
                html::escape_into(&mut self.line, target);
                self.line.push_str("\">");
            }
            Event::LinkEnd => {
                self.format(Format::default());
                self.line.push_str("</a>");
            }
            Event::Tag(_) | Event::Attachment => {}
        }
    }

    fn take_line(&mut self) -> String {
        self.format(Format::default());
        std::mem::take(&mut self.line)
    }

    fn table(&mut self) {
        if !self.rows.is_empty() {
            let _ = write!(self.out, "<table>\r\n{}</table>\r\n", self.rows);
            self.rows.clear();
        }
    }

    fn paragraph(&mut self, alignment: Alignment) {
        self.table();
        let line = self.take_line();
        let align = match alignment {
            Alignment::Left => "",
            Alignment::Right => " align=\"right\"",
            Alignment::Centre => " align=\"center\"",
            Alignment::Justified => " align=\"justify\"",
        };
        // An empty paragraph still takes a line.
        let line = if line.is_empty() { "&nbsp;" } else { &line };
        let _ = write!(self.out, "<p{align}>{line}</p>\r\n");
    }

    /// Closes the tags of the format before and opens those of this one.
    fn format(&mut self, format: Format) {
        // Fonts are named by number; their names say little on another machine.
        let format = Format { font: None, ..format };
        if format == self.open {
            return;
        }
        let old = std::mem::replace(&mut self.open, format);
        for (_, close) in tags(old).into_iter().rev().flatten() {
            self.line.push_str(close);
        }
        for (open, _) in tags(format).into_iter().flatten() {
            self.line.push_str(&open);
        }
    }

    fn end(mut self) -> String {
        if !self.cells.is_empty() {
            self.event(Event::Row);
        }
        self.table();
        if !self.line.is_empty() {
            self.paragraph(Alignment::Left);
        }
        format!("<html><body>\r\n{}</body></html>\r\n", self.out)
    }
}

/// A format's tags, each with its end.
fn tags(format: Format) -> [Option<(String, &'static str)>; 7] {
    let simple = |on: bool, open: &str, close| on.then(|| (open.to_owned(), close));
    let mut style = String::new();
    if let Some(size) = format.size {
        let _ = write!(style, "font-size:{}pt;", f32::from(size) / 2.0);
    }
    if let Some(colour) = format.colour {
        let _ = write!(style, "color:#{colour:06x};");
    }
    [
        (!style.is_empty()).then(|| (format!("<span style=\"{style}\">"), "</span>")),
        simple(format.bold, "<b>", "</b>"),
        simple(format.italic, "<i>", "</i>"),
        simple(format.underline, "<u>", "</u>"),
        simple(format.strike, "<s>", "</s>"),
        simple(format.superscript, "<sup>", "</sup>"),
        simple(format.subscript, "<sub>", "</sub>"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encapsulated_html_comes_back() {
        let rtf = br#"{\rtf1\ansi\ansicpg1252\fromhtml1 \deff0{\fonttbl{\f0\fswiss\fcharset0 Arial;}{\f1\fcharset204 Cyr;}}
{\colortbl\red0\green0\blue0;\red0\green0\blue255;}\uc1\pard\plain\deftab360 \f0\fs24
{\*\htmltag19 <html>}{\*\htmltag34 <head>}{\*\htmltag41 </head>}{\*\htmltag50 <body>}\htmlrtf \par\htmlrtf0
{\*\htmltag64 <p class="a">}\htmlrtf {\htmlrtf0 caf\'e9 \f1\'e4\'e0\f0  \u8364 ?{\*\htmltag84 &lt;}\htmlrtf <\htmlrtf0 x\{\}\lquote\par
{\*\htmltag84 <b>}\htmlrtf {\b\htmlrtf0 bold{\*\htmltag92 </b>}\htmlrtf }\htmlrtf0
{\*\mhtmltag84 <a href="x">}{\*\htmltag241 <!-- a\par b \'80 -->}
\htmlrtf }\htmlrtf0{\*\htmltag72 </p>}{\*\htmltag58 </body>}{\*\htmltag27 </html>}}"#;
        let expected = "<html><head></head><body><p class=\"a\">caf\u{e9} \u{434}\u{430} \u{20ac}&lt;x{}\u{2018}\r\n\
                        <b>bold</b><!-- a\r\nb \u{20ac} --></p></body></html>";
        assert_eq!(encapsulated(rtf), Some(Encapsulated::Html(expected.to_owned())));
    }

    #[test]
    fn encapsulated_text_comes_back() {
        let rtf =
            br"{\rtf1\ansi\ansicpg1252\fromtext \fbidis \deff0{\fonttbl{\f0\fswiss Arial;}}{\*\generator X;}
\pard\plain one\tab two\par \'80 \u55357?\u56832?\line end\par }";
        let expected = "one\ttwo\r\n\u{20ac} \u{1f600}\r\nend\r\n";
        assert_eq!(encapsulated(rtf), Some(Encapsulated::Text(expected.to_owned())));
        assert!(to_html(rtf).contains("\u{1f600}<br>"), "{}", to_html(rtf));
    }

    #[test]
    fn written_as_rtf() {
        let rtf =
            br#"{\rtf1\ansi{\fonttbl{\f0 Arial;}}{\colortbl;\red255\green0\blue16;}{\stylesheet{\s0 Normal;}}
\pard\qc\b\cf1 A & B\b0\cf0\par\pard {\field{\*\fldinst{HYPERLINK "https://example.org/"}}{\fldrslt here}}\par
\trowd\cellx1\cellx2 a\cell b\cell\row {\v hidden}{\*\unknown gone}{\pict 0102}end}"#;
        assert_eq!(encapsulated(rtf), None);
        assert_eq!(
            to_text(rtf),
            "A & B\r\nhere <https://example.org/>\r\na\tb\r\nend"
        );
        assert_eq!(
            to_html(rtf),
            "<html><body>\r\n<p align=\"center\"><span style=\"color:#ff0010;\"><b>A &amp; B</b></span></p>\r\n\
             <p><a href=\"https://example.org/\">here</a></p>\r\n<table>\r\n<tr><td>a</td><td>b</td></tr>\r\n</table>\r\n\
             <p>end</p>\r\n</body></html>\r\n"
        );
    }

    #[test]
    fn groups_without_end() {
        let open = b"{\\rtf1{\\b ".repeat(5000);
        assert_eq!(to_text(&[&open[..], b"x"].concat()), "x");
        let closed = b"}".repeat(5000);
        assert_eq!(to_text(&[&closed[..], b"x"].concat()), "x");
    }
}
