//! An LMTP client that checks every reply (RFC 2033).

use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpStream},
};

use anyhow::{Result, bail};

/// A connection after LHLO.
pub(crate) struct Session {
    stream: BufReader<TcpStream>,
    out: Vec<u8>,
}

impl Session {
    /// Connects and greets.
    pub(crate) fn connect(server: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        let mut session = Self {
            stream: BufReader::new(stream),
            out: Vec::new(),
        };
        session.expect("220")?;
        session.send(b"LHLO load.example.org\r\n")?;
        session.expect("250")?;
        Ok(session)
    }

    /// Delivers one message: envelope and DATA pipelined, then the content.
    pub(crate) fn deliver(&mut self, sender: &str, recipient: &str, source: &[u8]) -> Result<()> {
        self.send(format!("MAIL FROM:<{sender}>\r\nRCPT TO:<{recipient}>\r\nDATA\r\n").as_bytes())?;
        self.expect("250")?;
        self.expect("250")?;
        self.expect("354")?;
        self.out.clear();
        // The generator makes no line that begins with a dot: nothing to stuff.
        self.out.extend_from_slice(source);
        self.out.extend_from_slice(b".\r\n");
        self.stream.get_mut().write_all(&self.out)?;
        self.expect("250")
    }

    /// Says goodbye.
    pub(crate) fn quit(&mut self) -> Result<()> {
        self.send(b"QUIT\r\n")?;
        self.expect("221")
    }

    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.stream.get_mut().write_all(bytes)?)
    }

    fn expect(&mut self, code: &str) -> Result<()> {
        let mut line = String::new();
        loop {
            line.clear();
            if self.stream.read_line(&mut line)? == 0 {
                bail!("the server closed the connection, expected {code}");
            }
            if !line.starts_with(code) {
                bail!("expected {code}, got {}", line.trim_end());
            }
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok(());
            }
        }
    }
}
