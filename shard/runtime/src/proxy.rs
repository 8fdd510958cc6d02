//! PROXY protocol version 2: a load balancer tells who the client is (haproxy's proxy-protocol.txt §2.2).

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use crate::connection::{Ends, ShardConnection};

/// Every header begins so (§2.2).
pub const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family, length.
pub const FIXED: usize = 16;
/// Addresses and extensions may be so long: an application's choice; balancers send well under 1 kB.
pub const MAX_REST: usize = 4096;

/// Between two parts of a header; the caller limits the whole.
const PATIENCE: Duration = Duration::from_mins(1);

/// What a header says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Proxied {
    /// The balancer's own connection (a health check): keep the socket's addresses.
    Local,
    /// A client's.
    Client {
        /// The client.
        peer: SocketAddr,
        /// Where it connected to.
        local: SocketAddr,
    },
}

/// Why a header is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// Other bytes than the signature.
    #[error("no PROXY v2 header")]
    Signature,
    /// Not version 2, or an unknown command.
    #[error("unknown version or command {0:#04x}")]
    Version(u8),
    /// Longer than [`MAX_REST`].
    #[error("{0} bytes of addresses and extensions are too many")]
    TooLong(usize),
    /// Too short for its addresses.
    #[error("too short for its addresses")]
    TooShort,
}

/// Reads a header at the start of `data`: what it says and how long it is. `None`: more bytes are needed.
pub fn parse(data: &[u8]) -> Result<Option<(Proxied, usize)>, ProxyError> {
    let known = data.len().min(SIGNATURE.len());
    if data[..known] != SIGNATURE[..known] {
        return Err(ProxyError::Signature);
    }
    let Some(fixed) = data.first_chunk::<FIXED>() else {
        return Ok(None);
    };
    let [.., command, family, high, low] = *fixed;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if !matches!(command, 0x20 | 0x21) {
        return Err(ProxyError::Version(command));
    }
    if length > MAX_REST {
        return Err(ProxyError::TooLong(length));
    }
    let Some(rest) = data.get(FIXED..FIXED + length) else {
        return Ok(None);
    };
    let proxied = match (command, family) {
        (0x21, 0x11) => addresses::<4>(rest)?,
        (0x21, 0x21) => addresses::<16>(rest)?,
        // LOCAL, or a family that has no meaning here (UNIX, UDP): §2.2 says to use the real ones.
        _ => Proxied::Local,
    };
    Ok(Some((proxied, FIXED + length)))
}

/// Source, destination, source port, destination port.
fn addresses<const N: usize>(data: &[u8]) -> Result<Proxied, ProxyError>
where
    Address<N>: Into<IpAddr>,
{
    let read = || {
        let (source, rest) = data.split_first_chunk::<N>()?;
        let (destination, rest) = rest.split_first_chunk::<N>()?;
        let (source_port, rest) = rest.split_first_chunk::<2>()?;
        let (destination_port, _) = rest.split_first_chunk::<2>()?;
        let address = |bytes: &[u8; N], port: &[u8; 2]| {
            SocketAddr::new(Address(*bytes).into(), u16::from_be_bytes(*port))
        };
        Some(Proxied::Client {
            peer: address(source, source_port),
            local: address(destination, destination_port),
        })
    };
    read().ok_or(ProxyError::TooShort)
}

struct Address<const N: usize>([u8; N]);

impl From<Address<4>> for IpAddr {
    fn from(address: Address<4>) -> Self {
        Ipv4Addr::from(address.0).into()
    }
}

impl From<Address<16>> for IpAddr {
    fn from(address: Address<16>) -> Self {
        IpAddr::from(Ipv6Addr::from(address.0)).to_canonical()
    }
}

/// Reads the header from a new connection, which then has the client's addresses.
pub(crate) async fn read_header(connection: &mut ShardConnection) -> io::Result<()> {
    let mut data = Vec::new();
    loop {
        let parsed = parse(&data).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        if let Some((proxied, length)) = parsed {
            let ends = match proxied {
                Proxied::Local => None,
                Proxied::Client { peer, local } => Some(Ends { peer, local }),
            };
            data.drain(..length);
            connection.set_proxied(ends, data);
            return Ok(());
        }
        let received = connection
            .receive(PATIENCE, |bytes| {
                data.extend_from_slice(bytes);
                bytes.len()
            })
            .await?;
        if received == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = (rest.len() as u16).to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, rest].concat()
    }

    #[test]
    fn addresses_of_both_families_are_read() {
        let four = header(0x21, 0x11, &[192, 0, 2, 1, 198, 51, 100, 2, 0x30, 0x39, 0, 143]);
        let expected = Proxied::Client {
            peer: "192.0.2.1:12345".parse().unwrap(),
            local: "198.51.100.2:143".parse().unwrap(),
        };
        assert_eq!(parse(&four), Ok(Some((expected, 28))));

        let mut rest = [0; 36];
        rest[15] = 1;
        rest[31] = 2;
        rest[33] = 7;
        rest[35] = 25;
        let mut six = header(0x21, 0x21, &[&rest[..], b"extension"].concat());
        six.extend(b"EHLO");
        let expected = Proxied::Client {
            peer: "[::1]:7".parse().unwrap(),
            local: "[::2]:25".parse().unwrap(),
        };
        assert_eq!(parse(&six), Ok(Some((expected, 16 + 36 + 9))));
    }

    #[test]
    fn a_health_check_keeps_the_sockets_addresses() {
        assert_eq!(parse(&header(0x20, 0, b"")), Ok(Some((Proxied::Local, 16))));
        assert_eq!(
            parse(&header(0x21, 0x31, &[0; 216])),
            Ok(Some((Proxied::Local, 232)))
        );
    }

    #[test]
    fn a_part_of_a_header_waits_for_the_rest() {
        let whole = header(0x21, 0x11, &[0; 12]);
        for length in 0..whole.len() {
            assert_eq!(parse(&whole[..length]), Ok(None), "{length} bytes");
        }
    }

    #[test]
    fn malformed_headers_are_refused() {
        assert_eq!(parse(b"PROXY TCP4 "), Err(ProxyError::Signature));
        assert_eq!(parse(b"\r\n\r\nX"), Err(ProxyError::Signature));
        assert_eq!(
            parse(&header(0x11, 0x11, &[0; 12])),
            Err(ProxyError::Version(0x11))
        );
        assert_eq!(
            parse(&header(0x22, 0x11, &[0; 12])),
            Err(ProxyError::Version(0x22))
        );
        assert_eq!(parse(&header(0x21, 0x11, &[0; 11])), Err(ProxyError::TooShort));
        let long = header(0x21, 0x11, &vec![0; MAX_REST + 1]);
        assert_eq!(parse(&long), Err(ProxyError::TooLong(MAX_REST + 1)));
    }
}
