//! An IMAP client.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::TcpStream,
};

use super::{connect, malformed};

/// No response is larger than this.
const LITERAL_MAX: usize = 16 * 1024 * 1024;

/// A connection to the server's IMAP port.
pub(crate) struct Imap {
    stream: BufReader<TcpStream>,
    tag: u32,
}

/// An untagged response: its text, with the literals taken out.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) text: String,
    pub(crate) literals: Vec<Vec<u8>>,
}

/// What a command brought.
#[derive(Debug)]
pub(crate) struct Done {
    /// The tagged response said OK.
    pub(crate) is_ok: bool,
    /// Its text.
    pub(crate) text: String,
    pub(crate) responses: Vec<Response>,
}

impl Imap {
    pub(crate) fn connect(port: u16) -> io::Result<Self> {
        let mut client = Self {
            stream: BufReader::new(connect(port)?),
            tag: 0,
        };
        client.response()?;
        Ok(client)
    }

    pub(crate) fn login(port: u16, user: &str, password: &str) -> io::Result<Self> {
        let mut client = Self::connect(port)?;
        let done = client.command(&format!("LOGIN {user} {password}"))?;
        if done.is_ok {
            Ok(client)
        } else {
            Err(io::Error::new(io::ErrorKind::PermissionDenied, done.text))
        }
    }

    pub(crate) fn command(&mut self, line: &str) -> io::Result<Done> {
        self.tag += 1;
        let tag = format!("t{} ", self.tag);
        self.stream
            .get_mut()
            .write_all(format!("{tag}{line}\r\n").as_bytes())?;
        self.finish(&tag)
    }

    /// A command whose last argument is a literal.
    pub(crate) fn command_with(&mut self, line: &str, literal: &[u8]) -> io::Result<Done> {
        self.tag += 1;
        let tag = format!("t{} ", self.tag);
        let head = format!("{tag}{line} {{{}}}\r\n", literal.len());
        self.stream.get_mut().write_all(head.as_bytes())?;
        let mut responses = Vec::new();
        loop {
            let response = self.response()?;
            if response.text.starts_with('+') {
                break;
            }
            if let Some(text) = response.text.strip_prefix(&tag) {
                return Ok(done(text, responses));
            }
            responses.push(response);
        }
        let stream = self.stream.get_mut();
        stream.write_all(literal)?;
        stream.write_all(b"\r\n")?;
        let mut done = self.finish(&tag)?;
        responses.append(&mut done.responses);
        Ok(Done { responses, ..done })
    }

    fn finish(&mut self, tag: &str) -> io::Result<Done> {
        let mut responses = Vec::new();
        loop {
            let response = self.response()?;
            if let Some(text) = response.text.strip_prefix(tag) {
                return Ok(done(text, responses));
            }
            if response.text.starts_with("* BYE") {
                return Err(io::Error::new(io::ErrorKind::ConnectionAborted, response.text));
            }
            responses.push(response);
        }
    }

    fn response(&mut self) -> io::Result<Response> {
        let mut response = Response {
            text: String::new(),
            literals: Vec::new(),
        };
        loop {
            let mut line = Vec::new();
            if self.stream.read_until(b'\n', &mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches(['\r', '\n']);
            let Some(length) = literal_length(line) else {
                response.text.push_str(line);
                return Ok(response);
            };
            if length > LITERAL_MAX {
                return Err(malformed(line));
            }
            response.text.push_str(line);
            let mut literal = vec![0; length];
            self.stream.read_exact(&mut literal)?;
            response.literals.push(literal);
        }
    }
}

fn done(text: &str, responses: Vec<Response>) -> Done {
    Done {
        is_ok: text.starts_with("OK"),
        text: text.to_owned(),
        responses,
    }
}

fn literal_length(line: &str) -> Option<usize> {
    let (_, length) = line.strip_suffix('}')?.rsplit_once('{')?;
    length.parse().ok()
}

/// What follows a word in a response, up to a blank or a bracket.
pub(crate) fn after<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(word)?;
    rest.trim_start().split([' ', ')', ']']).next()
}

/// The flags of a FETCH response, without `\Recent`, in order.
pub(crate) fn flags(text: &str) -> Option<Vec<String>> {
    let (_, rest) = text.split_once("FLAGS (")?;
    let (list, _) = rest.split_once(')')?;
    let mut flags: Vec<String> = list
        .split(' ')
        .filter(|flag| !flag.is_empty() && !flag.eq_ignore_ascii_case("\\Recent"))
        .map(str::to_owned)
        .collect();
    flags.sort();
    Some(flags)
}

/// The numbers of a set such as `3,5:7`.
pub(crate) fn numbers(set: &str) -> Vec<u32> {
    let mut all = Vec::new();
    for part in set.split(',') {
        let (first, last) = part.split_once(':').unwrap_or((part, part));
        if let (Ok(first), Ok(last)) = (first.parse::<u32>(), last.parse::<u32>()) {
            all.extend(first.min(last)..=first.max(last));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_are_taken_apart() {
        let text = r"* 3 FETCH (UID 17 FLAGS (\Seen \Recent $Junk) BODY[] {5}";
        assert_eq!(after(text, "UID "), Some("17"));
        assert_eq!(flags(text).unwrap(), ["$Junk", r"\Seen"]);
        assert_eq!(literal_length(text), Some(5));
        assert_eq!(literal_length("* OK"), None);
        assert_eq!(numbers("3,5:7,2:1"), [3, 5, 6, 7, 1, 2]);
        assert_eq!(after("OK [APPENDUID 12 34] done", "APPENDUID 12 "), Some("34"));
    }
}
