//! Tells addresses that nothing a team names may be fetched from: what the machine itself or the cloud provider serves
//! there may be secret, such as a role's credentials. Private networks are none of them.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use tower::Service;

/// Whether `address` is loopback, link-local (169.254.169.254 among them), unspecified, multicast, one of AWS's own
/// (`fd00:ec2::/32`, its metadata and Pod Identity), or an IPv6 address that stands for such an IPv4 address.
pub fn is_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_local_v4(address),
        IpAddr::V6(address) => is_local_v6(address),
    }
}

fn is_local_v4(address: Ipv4Addr) -> bool {
    address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast()
        || address.octets()[0] == 0
}

fn is_local_v6(address: Ipv6Addr) -> bool {
    let [first, second, third, .., low, last] = address.segments();
    let v4 = |high: u16, low: u16| is_local_v4(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)));
    // `::1` and `::` are IPv4-compatible, too.
    let starts = |prefix: [u16; 5]| address.segments().starts_with(&prefix);
    address.is_loopback()
        || address.is_multicast()
        || first & 0xffc0 == 0xfe80
        || (first, second) == (0xfd00, 0x0ec2)
        || (starts([0; 5]) && v4(low, last))
        || (starts([0x64, 0xff9b, 0, 0, 0]) && v4(low, last))
        || (first == 0x2002 && v4(second, third))
}

/// The address that `host` is, if it is one; IPv6 in brackets.
pub(super) fn literal(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// A name that resolves to nothing but local addresses.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` has loopback or link-local addresses only")]
struct Refused(Name);

/// Whether `error` is that of a refused name.
pub(super) fn is_refusal(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        // An I/O error has what it was made of as its own, not as its source.
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if error.is::<Refused>() || inner.is_some_and(<dyn std::error::Error + Send + Sync>::is::<Refused>) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// The system's resolver; without local addresses where they are refused, so that the addresses that were looked at are
/// those that are connected to.
#[derive(Debug, Clone)]
pub(super) struct Resolver {
    system: GaiResolver,
    refuses_local: bool,
}

impl Resolver {
    pub(super) fn new(refuses_local: bool) -> Self {
        Self { system: GaiResolver::new(), refuses_local }
    }
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, io::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        self.system.poll_ready(context)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let (found, refuses_local) = (self.system.call(name.clone()), self.refuses_local);
        Box::pin(async move {
            let found: Vec<SocketAddr> = found.await?.filter(|found| !refuses_local || !is_local(found.ip())).collect();
            if found.is_empty() && refuses_local { Err(io::Error::other(Refused(name))) } else { Ok(found.into_iter()) }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_the_machine_or_the_provider_serves_is_local() {
        for local in [
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "169.254.170.23",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "febf::1",
            "ff02::1",
            "fd00:ec2::254",
            "fd00:ec2::23",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
            "2002:7f00:1::",
        ] {
            assert!(is_local(local.parse().unwrap()), "{local}");
        }
        for other in [
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "1.1.1.1",
            "fd00:1::1",
            "fc00::1",
            "2606:4700::1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "2002:a00:1::1",
        ] {
            assert!(!is_local(other.parse().unwrap()), "{other}");
        }
        assert_eq!(literal("[::1]"), Some(IpAddr::V6(Ipv6Addr::LOCALHOST)));
        assert_eq!(literal("example.com"), None);
    }

    #[tokio::test]
    async fn a_name_of_a_local_address_is_refused_by_what_it_resolves_to() {
        let name = || "localhost".parse::<Name>().unwrap();
        let error = Resolver::new(true).call(name()).await.unwrap_err();
        assert!(is_refusal(&error), "{error}");
        assert!(Resolver::new(false).call(name()).await.unwrap().count() > 0);
    }
}
