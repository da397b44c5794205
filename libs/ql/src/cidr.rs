//! Networks in CIDR notation, over the text of addresses.

use std::fmt;
use std::net::IpAddr;

/// An IPv4 or IPv6 network; the bits of its address beyond the prefix are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix_bits: u8,
}

impl Network {
    /// `None` unless `text` is `ADDRESS/DIGITS`; `Some(Err)` when the digits are more than the address has bits.
    /// Bits beyond the prefix are cleared, so `10.1.2.3/8` is `10.0.0.0/8`.
    pub(crate) fn parse(text: &str) -> Option<Result<Self, u8>> {
        let (address, digits) = text.split_once('/')?;
        let address: IpAddr = address.parse().ok()?;
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix_bits = digits.parse().ok().filter(|prefix| *prefix <= bits);
        Some(prefix_bits.ok_or(bits).map(|prefix| Self::new(address, prefix)))
    }

    /// The network's first address.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// How many leading bits are fixed.
    pub fn prefix_bits(&self) -> u8 {
        self.prefix_bits
    }

    /// Whether `text` is an address in this network. An IPv4 address written as IPv6 (`::ffff:10.0.0.1`) counts as IPv4.
    pub fn matches(&self, text: &str) -> bool {
        // The shortest address is `::`, the longest has 45 characters: most texts are told by their length.
        (2..=45).contains(&text.len()) && text.parse().is_ok_and(|address| self.contains(address))
    }

    fn contains(&self, address: IpAddr) -> bool {
        masked(address, self.prefix_bits) == self.address
            || masked(address.to_canonical(), self.prefix_bits) == self.address
    }

    fn new(address: IpAddr, prefix_bits: u8) -> Self {
        Self { address: masked(address, prefix_bits), prefix_bits }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_bits)
    }
}

fn masked(address: IpAddr, prefix_bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let rest = 32_u32.saturating_sub(prefix_bits.into());
            let mask = u32::MAX.checked_shl(rest).unwrap_or(0);
            IpAddr::V4((u32::from(address) & mask).into())
        }
        IpAddr::V6(address) => {
            let rest = 128_u32.saturating_sub(prefix_bits.into());
            let mask = u128::MAX.checked_shl(rest).unwrap_or(0);
            IpAddr::V6((u128::from(address) & mask).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_both_families_are_told() {
        let check = |network: &str, address: &str| {
            Network::parse(network).unwrap().unwrap().matches(address)
        };
        assert!(check("10.0.0.0/8", "10.255.1.2"));
        assert!(check("10.9.9.9/8", "10.255.1.2"));
        assert!(check("10.0.0.0/8", "::ffff:10.1.2.3"));
        assert!(!check("10.0.0.0/8", "11.0.0.1"));
        assert!(!check("10.0.0.0/8", "10.0.0.0/8"));
        assert!(check("0.0.0.0/0", "1.2.3.4"));
        assert!(!check("0.0.0.0/0", "::1"));
        assert!(check("2001:db8::/32", "2001:db8:1::2"));
        assert!(check("::1/128", "::1"));
        assert!(!check("::/0", "word"));
    }

    #[test]
    fn what_is_no_network_is_text() {
        assert_eq!(Network::parse("10.0.0.0/33"), Some(Err(32)));
        assert_eq!(Network::parse("::/129"), Some(Err(128)));
        for text in ["10.0.0.0", "10.0/8", "/api/1", "10.0.0.0/", "10.0.0.0/8x", "10.0.0.0/+8"] {
            assert_eq!(Network::parse(text), None, "{text}");
        }
    }
}
