//! An LMTP client.

use std::{
    io::{self, BufRead, BufReader, Write},
    net::TcpStream,
};

use super::{connect, malformed};

/// A connection to the server's LMTP port.
pub(crate) struct Lmtp {
    stream: BufReader<TcpStream>,
}

impl Lmtp {
    pub(crate) fn connect(port: u16) -> io::Result<Self> {
        let mut client = Self {
            stream: BufReader::new(connect(port)?),
        };
        client.reply()?;
        client.expect("LHLO client.example.org", 250)?;
        Ok(client)
    }

    /// Delivers a message; whether each recipient's copy was accepted, told as soon as it is known.
    pub(crate) fn deliver(
        &mut self,
        recipients: &[String],
        source: &[u8],
        mut told: impl FnMut(usize, bool),
    ) -> io::Result<()> {
        self.expect("MAIL FROM:<sender@example.org>", 250)?;
        let mut accepted = Vec::new();
        for (index, recipient) in recipients.iter().enumerate() {
            if self.command(&format!("RCPT TO:<{recipient}>"))? == 250 {
                accepted.push(index);
            } else {
                told(index, false);
            }
        }
        if accepted.is_empty() {
            self.expect("RSET", 250)?;
            return Ok(());
        }
        self.expect("DATA", 354)?;
        let mut data = Vec::with_capacity(source.len() + 64);
        for line in source.split_inclusive(|byte| *byte == b'\n') {
            if line.starts_with(b".") {
                data.push(b'.');
            }
            data.extend_from_slice(line);
        }
        data.extend_from_slice(b".\r\n");
        self.stream.get_mut().write_all(&data)?;
        for index in accepted {
            let code = self.reply()?;
            told(index, code == 250);
        }
        Ok(())
    }

    fn expect(&mut self, command: &str, wanted: u16) -> io::Result<()> {
        let code = self.command(command)?;
        if code == wanted {
            Ok(())
        } else {
            Err(malformed(&format!("{command}: {code}")))
        }
    }

    fn command(&mut self, line: &str) -> io::Result<u16> {
        self.stream
            .get_mut()
            .write_all(format!("{line}\r\n").as_bytes())?;
        self.reply()
    }

    fn reply(&mut self) -> io::Result<u16> {
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if line.as_bytes().get(3) != Some(&b'-') {
                let code = line.get(..3).and_then(|code| code.parse().ok());
                return code.ok_or_else(|| malformed(&line));
            }
        }
    }
}
