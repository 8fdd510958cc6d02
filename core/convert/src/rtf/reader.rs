//! What RTF says: runs of text with their format, and the HTML tags that it encapsulates.
//!
//! Groups are remembered up to [`MAX_DEPTH`]; what is nested deeper has the format of the group around it.

use std::{borrow::Cow, collections::HashMap};

use ringpost_mapi::code_page;

use super::tokens::{Token, Tokens, tokens};

/// Groups in groups whose formats are kept apart.
pub const MAX_DEPTH: usize = 1000;
/// Fonts of the table that are remembered.
const MAX_FONTS: usize = 4096;
/// Colours of the table that are remembered.
const MAX_COLOURS: usize = 4096;

/// What the document was before it became RTF (MS-OXRTFEX 2.2.3.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Origin {
    /// It was written as RTF.
    #[default]
    Rtf,
    /// It encapsulates HTML: `\fromhtml1`.
    Html,
    /// It encapsulates plain text: `\fromtext`.
    Text,
}

/// How text looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Format {
    /// `\b`
    pub bold: bool,
    /// `\i`
    pub italic: bool,
    /// Any of `\ul`, `\ulw` and so on.
    pub underline: bool,
    /// `\strike`
    pub strike: bool,
    /// `\super`
    pub superscript: bool,
    /// `\sub`
    pub subscript: bool,
    /// `\fs`: half points.
    pub size: Option<u16>,
    /// `\cf`, looked up: `0xRRGGBB`.
    pub colour: Option<u32>,
    /// `\f`: a number of the font table.
    pub font: Option<i32>,
    /// `\v`: not shown.
    pub hidden: bool,
}

/// Where a paragraph's text stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Alignment {
    /// `\ql`
    #[default]
    Left,
    /// `\qr`
    Right,
    /// `\qc`
    Centre,
    /// `\qj`
    Justified,
}

/// What a document consists of, in order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event<'a> {
    /// Text.
    Text(&'a str, Format),
    /// The end of a paragraph.
    Paragraph(Alignment),
    /// A line break within a paragraph.
    Line,
    /// The end of a table's cell.
    Cell,
    /// The end of a table's row.
    Row,
    /// A piece of the original HTML (`\*\htmltag`).
    Tag(&'a str),
    /// A link to this address begins.
    LinkStart(&'a str),
    /// It ends.
    LinkEnd,
    /// The place of an attachment (`\objattph`).
    Attachment,
}

/// Reads a document and tells `sink` what it consists of.
pub fn read(rtf: &[u8], sink: &mut dyn FnMut(Event<'_>)) -> Origin {
    let origin = origin(rtf);
    Reader {
        tokens: tokens(rtf),
        origin,
        group: Group::default(),
        groups: Vec::new(),
        too_deep: 0,
        fonts: HashMap::new(),
        colours: Vec::new(),
        code_page: 1252,
        bytes: Vec::new(),
        surrogate: None,
        collected: String::new(),
        link: String::new(),
        sink,
    }
    .run();
    origin
}

/// What the document was: said within its first tokens (MS-OXRTFEX 2.2.3.1).
pub fn origin(rtf: &[u8]) -> Origin {
    const FIRST_TOKENS: usize = 10;
    for token in tokens(rtf).take(FIRST_TOKENS) {
        match token {
            Token::Word(b"fromhtml", Some(1)) => return Origin::Html,
            Token::Word(b"fromtext", _) => return Origin::Text,
            Token::Text(_) => return Origin::Rtf,
            _ => {}
        }
    }
    Origin::Rtf
}

/// Where the bytes of a group go.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Destination {
    #[default]
    Body,
    /// Read and forgotten.
    Ignored,
    HtmlTag,
    FontTable,
    ColourTable,
    /// `\fldinst`: the instruction of a field; links are of interest.
    Instruction,
    /// `\field` as a whole.
    Field,
}

/// What a group inherits and its end restores.
#[derive(Clone, Copy, Debug)]
struct Group {
    destination: Destination,
    format: Format,
    alignment: Alignment,
    /// `\htmlrtf`: RTF that was not in the HTML.
    html_rtf: bool,
    /// Characters to skip behind `\u`.
    unicode_skip: usize,
    /// In the font table: the font that is described.
    font: i32,
    /// This very group opened a link.
    link: bool,
}

impl Default for Group {
    fn default() -> Self {
        Self {
            destination: Destination::Body,
            format: Format::default(),
            alignment: Alignment::Left,
            html_rtf: false,
            unicode_skip: 1,
            font: 0,
            link: false,
        }
    }
}

struct Reader<'a, 'sink> {
    tokens: Tokens<'a>,
    origin: Origin,
    group: Group,
    groups: Vec<Group>,
    too_deep: usize,
    /// The code page of each font.
    fonts: HashMap<i32, u32>,
    colours: Vec<u32>,
    code_page: u32,
    /// Bytes of the code page, until it is clear where they end: a character may have several.
    bytes: Vec<u8>,
    surrogate: Option<u16>,
    /// The text of a field's instruction, or the red, green and blue of a colour.
    collected: String,
    link: String,
    sink: &'sink mut dyn FnMut(Event<'_>),
}

impl<'a> Reader<'a, '_> {
    fn run(&mut self) {
        // `\*` says that the next control word's destination may be ignored if it is not known.
        let mut optional = false;
        let mut first = false;
        while let Some(token) = self.tokens.next() {
            if !matches!(token, Token::Hex(_) | Token::Text(_)) {
                self.flush();
            }
            match token {
                Token::Open => {
                    self.open();
                    (optional, first) = (false, true);
                    continue;
                }
                Token::Close => self.close(),
                Token::Symbol(b'*') => {
                    optional = first;
                    continue;
                }
                Token::Symbol(symbol) => self.symbol(symbol),
                Token::Word(word, number) => {
                    self.word(word, number, optional);
                    optional = false;
                }
                Token::Hex(byte) => self.byte(byte),
                Token::Text(text) => text.iter().for_each(|&byte| self.byte(byte)),
                Token::Binary(_) => {}
            }
            first = false;
        }
        self.flush();
    }

    fn open(&mut self) {
        if self.groups.len() < MAX_DEPTH {
            self.groups.push(self.group);
            self.group.link = false;
        } else {
            self.too_deep += 1;
        }
    }

    fn close(&mut self) {
        if self.too_deep > 0 {
            self.too_deep -= 1;
            return;
        }
        let closed = self.group;
        self.group = self.groups.pop().unwrap_or_default();
        if closed.destination == Destination::Instruction
            && self.group.destination != Destination::Instruction
        {
            self.link = link_target(&std::mem::take(&mut self.collected)).unwrap_or_default();
        }
        if closed.link {
            (self.sink)(Event::LinkEnd);
        }
    }

    fn word(&mut self, word: &'a [u8], number: Option<i32>, optional: bool) {
        let on = number != Some(0);
        let format = &mut self.group.format;
        match word {
            b"htmltag" if self.origin == Origin::Html => self.group.destination = Destination::HtmlTag,
            b"htmlrtf" => self.group.html_rtf = on,
            b"fonttbl" => self.group.destination = Destination::FontTable,
            b"colortbl" => {
                self.group.destination = Destination::ColourTable;
                self.colours.clear();
                self.collected.clear();
            }
            b"field" => self.group.destination = Destination::Field,
            b"fldinst" => {
                self.group.destination = Destination::Instruction;
                self.collected.clear();
            }
            b"fldrslt" => self.field_result(),
            // Destinations whose text is not the document's.
            b"stylesheet" | b"info" | b"pict" | b"object" | b"header" | b"footer" | b"headerl"
            | b"headerr" | b"footerl" | b"footerr" | b"footnote" | b"mhtmltag" | b"themedata"
            | b"datastore" | b"listtable" | b"listoverridetable" | b"revtbl" | b"rsidtbl" | b"generator"
            | b"xmlnstbl" | b"filetbl" | b"pntext" | b"objdata" | b"nonshppict" | b"datafield"
            | b"bkmkstart" | b"bkmkend"
                if !(word == b"pntext" && self.origin == Origin::Rtf) =>
            {
                self.group.destination = Destination::Ignored;
            }
            b"objattph" => self.event(Event::Attachment),
            b"ansicpg" => self.code_page = number.and_then(|page| u32::try_from(page).ok()).unwrap_or(1252),
            b"mac" => self.code_page = 10000,
            b"pc" => self.code_page = 437,
            b"pca" => self.code_page = 850,
            b"f" => {
                self.group.font = number.unwrap_or(0);
                self.group.format.font = number;
            }
            b"fcharset" if self.group.destination == Destination::FontTable => {
                if self.fonts.len() < MAX_FONTS
                    && let Some(page) = charset_code_page(number.unwrap_or(0))
                {
                    self.fonts.insert(self.group.font, page);
                }
            }
            b"cpg" if self.group.destination == Destination::FontTable => {
                if self.fonts.len() < MAX_FONTS {
                    let page = number.and_then(|page| u32::try_from(page).ok()).unwrap_or(1252);
                    self.fonts.insert(self.group.font, page);
                }
            }
            b"red" | b"green" | b"blue" if self.group.destination == Destination::ColourTable => {
                let level = number.unwrap_or(0).clamp(0, 255) as u8;
                self.collected.push(char::from(word[0]));
                self.collected.push(char::from(level));
            }
            b"uc" => self.group.unicode_skip = usize::try_from(number.unwrap_or(1)).unwrap_or(1).min(64),
            b"u" => self.unicode(number.unwrap_or(0) as u16),
            b"plain" => self.group.format = Format::default(),
            b"pard" => self.group.alignment = Alignment::Left,
            b"ql" => self.group.alignment = Alignment::Left,
            b"qr" => self.group.alignment = Alignment::Right,
            b"qc" => self.group.alignment = Alignment::Centre,
            b"qj" => self.group.alignment = Alignment::Justified,
            b"b" => format.bold = on,
            b"i" => format.italic = on,
            b"ul" | b"uld" | b"uldash" | b"uldb" | b"ulw" | b"ulth" | b"ulwave" => format.underline = on,
            b"ulnone" => format.underline = false,
            b"strike" | b"striked" => format.strike = on,
            b"super" => format.superscript = on,
            b"sub" => format.subscript = on,
            b"nosupersub" => (format.superscript, format.subscript) = (false, false),
            b"v" => format.hidden = on,
            b"fs" => format.size = number.and_then(|size| u16::try_from(size).ok()),
            b"cf" => {
                let colour = number.and_then(|index| usize::try_from(index).ok());
                // The first is the reader's own choice.
                format.colour = colour
                    .filter(|&index| index > 0)
                    .and_then(|index| self.colours.get(index).copied());
            }
            b"par" | b"sect" | b"page" => {
                let alignment = self.group.alignment;
                self.event(Event::Paragraph(alignment));
            }
            b"line" | b"lbr" => self.event(Event::Line),
            b"cell" | b"nestcell" => self.event(Event::Cell),
            b"row" | b"nestrow" => self.event(Event::Row),
            _ => match character_of(word) {
                Some(character) => self.character(character),
                None if optional => self.group.destination = Destination::Ignored,
                None => {}
            },
        }
    }

    fn field_result(&mut self) {
        self.group.destination = Destination::Body;
        let link = std::mem::take(&mut self.link);
        if !link.is_empty() && self.shown() {
            self.group.link = true;
            (self.sink)(Event::LinkStart(&link));
        }
    }

    fn symbol(&mut self, symbol: u8) {
        match symbol {
            b'~' => self.character('\u{a0}'),
            b'-' => self.character('\u{ad}'),
            b'_' => self.character('\u{2011}'),
            b'{' | b'}' | b'\\' => self.character(char::from(symbol)),
            _ => {}
        }
    }

    /// `\uN`: a UTF-16 unit, and for older readers some characters that mean about the same.
    fn unicode(&mut self, unit: u16) {
        let character = match (self.surrogate.take(), unit) {
            (_, 0xd800..0xdc00) => {
                self.surrogate = Some(unit);
                None
            }
            (Some(high), _) => char::decode_utf16([high, unit]).next().and_then(Result::ok),
            (None, _) => char::from_u32(u32::from(unit)),
        };
        if let Some(character) = character {
            self.character(character);
        }
        self.skip(self.group.unicode_skip);
    }

    /// Skips the next `count` characters of the text: single bytes, `\'hh` or control words.
    fn skip(&mut self, mut count: usize) {
        while count > 0 {
            let mut ahead = self.tokens.clone();
            match ahead.next() {
                Some(Token::Text(text)) => {
                    let skipped = text.len().min(count);
                    count -= skipped;
                    if skipped < text.len() {
                        self.tokens = ahead;
                        text[skipped..].iter().for_each(|&byte| self.byte(byte));
                        return;
                    }
                }
                Some(Token::Hex(_) | Token::Symbol(_)) => count -= 1,
                // The end of the group, or a control word that some writers forgot to count.
                _ => return,
            }
            self.tokens = ahead;
        }
    }

    /// A byte of text in the code page of its place.
    fn byte(&mut self, byte: u8) {
        self.bytes.push(byte);
    }

    fn flush(&mut self) {
        if self.bytes.is_empty() {
            return;
        }
        let bytes = std::mem::take(&mut self.bytes);
        // Tags are in the document's code page, text in its font's (MS-OXRTFEX 2.2.3.2).
        let font = self
            .group
            .format
            .font
            .filter(|_| self.group.destination != Destination::HtmlTag);
        let page = font
            .and_then(|font| self.fonts.get(&font).copied())
            .unwrap_or(self.code_page);
        let text = if bytes.is_ascii() {
            String::from_utf8_lossy(&bytes)
        } else {
            code_page::decode(&bytes, page)
        };
        self.text(&text);
        self.bytes = bytes;
        self.bytes.clear();
    }

    fn character(&mut self, character: char) {
        let mut buffer = [0; 4];
        self.text(character.encode_utf8(&mut buffer));
    }

    fn text(&mut self, text: &str) {
        match self.group.destination {
            Destination::Body if self.shown() => (self.sink)(Event::Text(text, self.group.format)),
            Destination::HtmlTag => (self.sink)(Event::Tag(text)),
            Destination::Instruction => self.collected.push_str(text),
            Destination::ColourTable if text.contains(';') => self.colour(text.matches(';').count()),
            _ => {}
        }
    }

    /// Adds what was collected of a colour to the table, once for each semicolon.
    fn colour(&mut self, count: usize) {
        let collected = std::mem::take(&mut self.collected);
        let mut levels = collected.chars();
        let mut colour = 0;
        while let (Some(name), Some(level)) = (levels.next(), levels.next()) {
            let shift = match name {
                'r' => 16,
                'g' => 8,
                _ => 0,
            };
            colour |= (level as u32) << shift;
        }
        for _ in 0..count.min(MAX_COLOURS.saturating_sub(self.colours.len())) {
            self.colours.push(colour);
            colour = 0;
        }
    }

    /// An event of the body, or a line end of a tag.
    fn event(&mut self, event: Event<'_>) {
        match (self.group.destination, &event) {
            (Destination::HtmlTag, Event::Paragraph(_) | Event::Line) => (self.sink)(Event::Tag("\r\n")),
            (Destination::Body, _) if self.shown() => (self.sink)(event),
            // The place of an attachment stands in an `\object`, which is ignored otherwise.
            (Destination::Ignored, Event::Attachment) => (self.sink)(event),
            _ => {}
        }
    }

    /// Whether text here is the document's.
    fn shown(&self) -> bool {
        let repeated = self.origin == Origin::Html && self.group.html_rtf;
        self.group.destination == Destination::Body && !repeated && !self.group.format.hidden
    }
}

/// The character that a control word means (MS-OXRTFEX 2.1.3.1.4.2 and [MSFT-RTF], "Special Characters").
fn character_of(word: &[u8]) -> Option<char> {
    Some(match word {
        b"tab" => '\t',
        b"lquote" => '\u{2018}',
        b"rquote" => '\u{2019}',
        b"ldblquote" => '\u{201c}',
        b"rdblquote" => '\u{201d}',
        b"bullet" => '\u{2022}',
        b"endash" => '\u{2013}',
        b"emdash" => '\u{2014}',
        b"enspace" => '\u{2002}',
        b"emspace" => '\u{2003}',
        b"qmspace" => '\u{2005}',
        b"zwj" => '\u{200d}',
        b"zwnj" => '\u{200c}',
        b"ltrmark" => '\u{200e}',
        b"rtlmark" => '\u{200f}',
        _ => return None,
    })
}

/// The code page of a font's `\fcharset`; `None` for those that say nothing.
fn charset_code_page(charset: i32) -> Option<u32> {
    Some(match charset {
        0 => 1252,
        77 => 10000,
        128 => 932,
        129 | 130 => 949,
        134 => 936,
        136 => 950,
        161 => 1253,
        162 => 1254,
        163 => 1258,
        177 => 1255,
        178..=180 => 1256,
        186 => 1257,
        204 => 1251,
        222 => 874,
        238 => 1250,
        254 => 437,
        _ => return None,
    })
}

/// The address of a field's instruction such as `HYPERLINK "https://example.org/"`.
fn link_target(instruction: &str) -> Option<String> {
    let rest = instruction.trim().strip_prefix("HYPERLINK")?.trim_start();
    let target: Cow<'_, str> = match rest.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next()?.into(),
        None => rest.split_whitespace().next()?.into(),
    };
    (!target.is_empty() && !target.starts_with('\\')).then(|| target.into_owned())
}
