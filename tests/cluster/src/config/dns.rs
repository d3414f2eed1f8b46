//! The manifest of CoreDNS: `dns.yaml` with this cluster's numbers in it.
//!
//! One replica a node, so that the loss of a node is not the loss of DNS; applied by `cluster.rs`.
//! Deliberately absent: forwarding, since the cluster's network has no way out.

use crate::images;
use crate::place::DNS_SERVICE;

pub(crate) fn manifest(nodes: u8) -> String {
    include_str!("dns.yaml")
        .replace("$DNS_SERVICE", DNS_SERVICE)
        .replace("$REPLICAS", &nodes.to_string())
        .replace("$IMAGE", images::COREDNS)
}

#[cfg(test)]
mod tests {
    #[test]
    fn nothing_is_left_to_fill_in() {
        let manifest = super::manifest(2);
        assert!(!manifest.contains('$'));
        assert!(manifest.contains("replicas: 2"));
    }
}
