//! Networks: the addresses that begin with the same bits (RFC 4632 §3.1, RFC 4291 §2.3).

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    str::FromStr,
};

use crate::address::{self, AddressError};

/// Bits of an IPv6 address, and of one of IPv4 as it is written in IPv6 (`::ffff:192.0.2.1`).
const BITS: u8 = 128;
/// Bits before the IPv4 address in that form.
const MAPPED: u8 = 96;

/// A network. One of IPv4 holds its addresses in whichever of both forms a socket tells them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Network {
    /// Its first address, one of IPv4 in the form of IPv6.
    first: u128,
    /// How many bits all of its addresses have in common.
    prefix: u8,
}

impl Network {
    /// Whether an address is one of its.
    pub fn contains(&self, address: IpAddr) -> bool {
        (bits(address) ^ self.first) & mask(self.prefix) == 0
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn mask(prefix: u8) -> u128 {
    u128::MAX.checked_shl(u32::from(BITS - prefix)).unwrap_or(0)
}

impl From<IpAddr> for Network {
    /// The network of this address alone.
    fn from(address: IpAddr) -> Self {
        Self {
            first: bits(address),
            prefix: BITS,
        }
    }
}

impl FromStr for Network {
    type Err = AddressError;

    /// Reads `192.0.2.0/24`, `::ffff:192.0.2.0/120`, `2001:db8::/32`, or an address alone. An address with bits
    /// behind the prefix is none: whoever wrote it may have meant either.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        let error = || AddressError::NotANetwork(text.to_owned());
        let Some((address, prefix)) = text.split_once('/') else {
            return address::parse_host(text).map(Self::from).map_err(|_| error());
        };
        let prefix: u8 = Some(prefix)
            .filter(|prefix| prefix.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|prefix| prefix.parse().ok())
            .ok_or_else(error)?;
        // Written as IPv4, the prefix counts the bits of IPv4.
        let address: IpAddr = address.parse().map_err(|_| error())?;
        let before = if address.is_ipv4() { MAPPED } else { 0 };
        if prefix > BITS - before {
            return Err(error());
        }
        let network = Self {
            first: bits(address),
            prefix: before + prefix,
        };
        if network.first & !mask(network.prefix) != 0 {
            return Err(error());
        }
        Ok(network)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Ipv6Addr::from_bits(self.first))?;
        if self.prefix < BITS {
            write!(f, "/{}", self.prefix)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn what_is_in_a_network() {
        for (written, inside, outside) in [
            ("192.0.2.0/24", "192.0.2.255", "192.0.3.0"),
            ("192.0.2.0/24", "::ffff:192.0.2.1", "::192.0.2.1"),
            ("::ffff:192.0.2.0/120", "192.0.2.7", "192.0.1.7"),
            ("192.0.2.1", "192.0.2.1", "192.0.2.0"),
            ("10.128.0.0/9", "10.200.0.1", "10.127.255.255"),
            ("0.0.0.0/0", "203.0.113.9", "2001:db8::1"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("2001:db8::8000/113", "2001:db8::ffff", "2001:db8::7fff"),
            ("::1", "::1", "::2"),
        ] {
            let network = network(written);
            assert!(
                network.contains(inside.parse().unwrap()),
                "{inside} is in {written}"
            );
            assert!(
                !network.contains(outside.parse().unwrap()),
                "{outside} is not in {written}"
            );
        }
        assert!(network("::/0").contains("192.0.2.1".parse().unwrap()));
    }

    #[test]
    fn what_is_shown_can_be_read_again() {
        for (written, shown) in [
            ("192.0.2.0/24", "::ffff:192.0.2.0/120"),
            ("192.0.2.1", "::ffff:192.0.2.1"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("::/0", "::/0"),
        ] {
            assert_eq!(network(written).to_string(), shown);
            assert_eq!(network(shown), network(written));
        }
    }

    #[test]
    fn what_is_no_network() {
        for text in [
            "",
            "/8",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "10.0.0.1/8",
            "10.0.0/8",
            "2001:db8::/129",
            "2001:db8::1/32",
            "::1/8/8",
            "localhost",
        ] {
            assert_eq!(
                text.parse::<Network>(),
                Err(AddressError::NotANetwork(text.into()))
            );
        }
    }
}
