//! Those among whom the server's room is shared.

use std::net::{IpAddr, Ipv6Addr};

use crate::auth::Caller;
use crate::auth::principal::Principal;

/// Whoever a request, a body or a connection is charged to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::http) enum Holder {
    /// Somebody who said who they are, over however many connections.
    Principal(Principal),
    /// Whoever is at this address: nobody asked, or they did not say.
    Address(IpAddr),
}

impl Holder {
    pub(in crate::http) fn of(caller: &Caller, address: IpAddr) -> Self {
        match caller {
            Caller::Known(principal) => Self::Principal(principal.clone()),
            Caller::Unchecked | Caller::Anonymous => Self::at(address),
        }
    }

    /// An IPv6 address stands for its network of 64 bits, which one host has to itself.
    pub(in crate::http) fn at(address: IpAddr) -> Self {
        Self::Address(match address.to_canonical() {
            IpAddr::V6(address) => {
                let network = address.to_bits() & !u128::from(u64::MAX);
                IpAddr::V6(Ipv6Addr::from_bits(network))
            }
            v4 => v4,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_ipv6_network_are_one_holder() {
        let at = |text: &str| Holder::at(text.parse().expect("an address"));
        assert_eq!(at("2001:db8::1"), at("2001:db8::ffff:1"));
        assert_ne!(at("2001:db8::1"), at("2001:db8:0:1::1"));
        assert_eq!(at("::ffff:192.0.2.1"), at("192.0.2.1"));
        assert_ne!(at("192.0.2.1"), at("192.0.2.2"));
    }
}
