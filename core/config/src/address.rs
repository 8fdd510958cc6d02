//! Host and socket addresses (gromox(7), "Host addresses"; the listeners' "bind address specifiers").

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use thiserror::Error;

use crate::Network;

/// Most addresses in one list.
pub const ADDRESSES_MAX: usize = 256;

/// Why a text is no address.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum AddressError {
    /// Not the form of RFC 4291 §2.2.
    #[error("`{0}` is no IP address in the form of RFC 4291, such as ::1 or ::ffff:192.0.2.1")]
    NotAnAddress(String),
    /// No `[address]:port`.
    #[error("`{0}` is no socket address; write [address]:port, such as [::]:143")]
    NotASocketAddress(String),
    /// No network.
    #[error(
        "`{0}` is no IP address and no network such as 2001:db8::/32 or 192.0.2.0/24, with no bits behind its prefix"
    )]
    NotANetwork(String),
    /// More than [`ADDRESSES_MAX`].
    #[error("more than {ADDRESSES_MAX} addresses")]
    TooMany,
}

/// Reads one IP address. IPv4 is written as `::ffff:192.0.2.1` (RFC 4291 §2.5.5.2) and comes back as
/// [`IpAddr::V4`]; dotted quads alone are read as well (see [`is_rfc4291`]).
pub fn parse_host(text: &str) -> Result<IpAddr, AddressError> {
    let text = text.trim();
    if let Ok(address) = text.parse::<Ipv6Addr>() {
        return Ok(IpAddr::V6(address).to_canonical());
    }
    text.parse::<Ipv4Addr>()
        .map(IpAddr::V4)
        .map_err(|_| AddressError::NotAnAddress(text.to_owned()))
}

/// Reads a list of IP addresses, separated by white space.
pub fn parse_hosts(text: &str) -> Result<Vec<IpAddr>, AddressError> {
    parse_list(text, parse_host)
}

/// Reads a list of networks, separated by white space.
pub fn parse_networks(text: &str) -> Result<Vec<Network>, AddressError> {
    parse_list(text, str::parse)
}

/// Reads one bind address specifier, `[address]:port`. IPv4 is written as `[::ffff:192.0.2.1]:143` and
/// comes back as [`SocketAddr::V4`]; `192.0.2.1:143` is read as well (see [`is_rfc4291`]).
pub fn parse_socket(text: &str) -> Result<SocketAddr, AddressError> {
    let text = text.trim();
    match text.parse::<SocketAddr>() {
        // A scope (`%eth0`) needs the system's interface table, which a parser has not.
        Ok(address) => Ok(SocketAddr::new(address.ip().to_canonical(), address.port())),
        Err(_) => Err(AddressError::NotASocketAddress(text.to_owned())),
    }
}

/// Reads a list of bind address specifiers, separated by white space; the empty list listens nowhere.
pub fn parse_sockets(text: &str) -> Result<Vec<SocketAddr>, AddressError> {
    parse_list(text, parse_socket)
}

/// Whether each address of a list is written as gromox(7) demands, so that gromox would read it too.
pub fn is_rfc4291(list: &str) -> bool {
    list.split_whitespace()
        .all(|text| text.parse::<Ipv4Addr>().is_err() && !is_v4_socket(text))
}

fn is_v4_socket(text: &str) -> bool {
    matches!(text.parse(), Ok(SocketAddr::V4(_)))
}

fn parse_list<T>(
    text: &str,
    parse: impl Fn(&str) -> Result<T, AddressError>,
) -> Result<Vec<T>, AddressError> {
    if text.split_whitespace().nth(ADDRESSES_MAX).is_some() {
        return Err(AddressError::TooMany);
    }
    text.split_whitespace().map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        assert_eq!(parse_host("::1"), Ok(IpAddr::V6(Ipv6Addr::LOCALHOST)));
        assert_eq!(
            parse_host("::ffff:127.0.0.1"),
            Ok(IpAddr::V4(Ipv4Addr::LOCALHOST))
        );
        assert_eq!(parse_host("127.0.0.1"), Ok(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        assert_eq!(
            parse_hosts("::1  2001:db8::1"),
            Ok(vec![
                IpAddr::V6(Ipv6Addr::LOCALHOST),
                "2001:db8::1".parse().unwrap()
            ])
        );
        for text in ["localhost", "", "[::1]", "10.0.0.0/8", "::1::"] {
            assert_eq!(parse_host(text), Err(AddressError::NotAnAddress(text.into())));
        }
    }

    #[test]
    fn sockets() {
        assert_eq!(
            parse_sockets("[::]:143 [::ffff:127.0.0.1]:10143"),
            Ok(vec![
                "[::]:143".parse().unwrap(),
                "127.0.0.1:10143".parse().unwrap()
            ])
        );
        assert_eq!(parse_sockets(" "), Ok(vec![]));
        for text in ["::1", "[::1]", ":143", "[::]:65536", "*:24", "host:143"] {
            assert_eq!(
                parse_sockets(text),
                Err(AddressError::NotASocketAddress(text.into()))
            );
        }
    }

    #[test]
    fn the_form_is_judged() {
        assert!(is_rfc4291("::1 ::ffff:10.0.0.1 [::]:25"));
        assert!(!is_rfc4291("::1 10.0.0.1"));
        assert!(!is_rfc4291("0.0.0.0:25"));
    }

    #[test]
    fn lists_have_a_limit() {
        assert_eq!(
            parse_hosts(&"::1 ".repeat(ADDRESSES_MAX)).map(|list| list.len()),
            Ok(ADDRESSES_MAX)
        );
        assert_eq!(
            parse_hosts(&"::1 ".repeat(ADDRESSES_MAX + 1)),
            Err(AddressError::TooMany)
        );
    }
}
