//! What a mail program needs of IMAP and LMTP: as little as possible, and nothing of the server's own code.

pub(crate) mod imap;
pub(crate) mod lmtp;
pub(crate) mod message;

use std::{
    io,
    net::{Ipv4Addr, TcpStream},
    time::Duration,
};

/// A server that says nothing for so long is one that hangs.
const PATIENCE: Duration = Duration::from_secs(20);

fn connect(port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        what.chars().take(300).collect::<String>(),
    )
}
