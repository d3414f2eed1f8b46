//! The control plane's daemons: etcd, the API server, and the controllers and scheduler where there are
//! nodes.
//!
//! Flags that differ from the defaults are here because something failed or was slow without them; the
//! reasons stand beside them. etcd's data is in the machine's memory and ends with it. Deliberately absent:
//! high availability, encryption at rest, audit logs, the aggregation layer.

use super::{Daemon, flag};
use crate::place::{MachineName, Place, SERVICES};
use crate::programs::Programs;

/// All of them; without nodes the API server alone, for tests that play the controllers themselves.
pub(crate) fn daemons(place: &Place, programs: &Programs, nodes: u8) -> Vec<Daemon> {
    let mut daemons = vec![etcd(programs), api_server(place, programs)];
    if nodes > 0 {
        daemons.push(controller_manager(place, programs));
        daemons.push(scheduler(place, programs));
    }
    daemons
}

fn etcd(programs: &Programs) -> Daemon {
    let program = programs.path("etcd").display().to_string();
    let command = [
        program.as_str(),
        "--data-dir=/run/etcd",
        "--listen-client-urls=http://127.0.0.1:2379",
        "--advertise-client-urls=http://127.0.0.1:2379",
        "--listen-peer-urls=http://127.0.0.1:2380",
        "--logger=zap",
        "--log-level=warn",
    ];
    Daemon { name: "etcd", waits_for: None, command: command.map(str::to_owned).into() }
}

fn api_server(place: &Place, programs: &Programs) -> Daemon {
    let folder = place.certificates();
    let command = vec![
        programs.path("kube-apiserver").display().to_string(),
        "--etcd-servers=http://127.0.0.1:2379".to_owned(),
        format!("--advertise-address={}", MachineName::ControlPlane.address()),
        "--bind-address=0.0.0.0".to_owned(),
        "--secure-port=6443".to_owned(),
        format!("--service-cluster-ip-range={SERVICES}"),
        flag("client-ca-file", &folder.join("ca.crt")),
        flag("tls-cert-file", &folder.join("kube-apiserver.crt")),
        flag("tls-private-key-file", &folder.join("kube-apiserver.key")),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        flag("service-account-key-file", &folder.join("service-accounts.pub")),
        flag("service-account-signing-key-file", &folder.join("service-accounts.key")),
        "--authorization-mode=Node,RBAC".to_owned(),
        "--enable-admission-plugins=NodeRestriction".to_owned(),
        "--allow-privileged=true".to_owned(),
        flag("kubelet-client-certificate", &folder.join("kubelet-client.crt")),
        flag("kubelet-client-key", &folder.join("kubelet-client.key")),
        flag("kubelet-certificate-authority", &folder.join("ca.crt")),
        // Otherwise `kubectl logs` looks the node's name up in DNS.
        "--kubelet-preferred-address-types=InternalIP".to_owned(),
    ];
    Daemon { name: "kube-apiserver", waits_for: None, command }
}

fn controller_manager(place: &Place, programs: &Programs) -> Daemon {
    let folder = place.certificates();
    let command = vec![
        programs.path("kube-controller-manager").display().to_string(),
        flag("kubeconfig", &place.folder().join("kube-controller-manager.kubeconfig")),
        "--use-service-account-credentials".to_owned(),
        flag("service-account-private-key-file", &folder.join("service-accounts.key")),
        flag("root-ca-file", &folder.join("ca.crt")),
        flag("cluster-signing-cert-file", &folder.join("ca.crt")),
        flag("cluster-signing-key-file", &folder.join("ca.key")),
        format!("--service-cluster-ip-range={SERVICES}"),
        "--bind-address=127.0.0.1".to_owned(),
        "--leader-elect=false".to_owned(),
        // A lost node is noticed after 20 s (default 50 s); nodes renew every 3 s, so a busy machine is not lost.
        "--node-monitor-grace-period=20s".to_owned(),
        "--node-monitor-period=2s".to_owned(),
        // By default it makes a folder in the host's /usr/libexec.
        "--flex-volume-plugin-dir=/run/volume-plugins".to_owned(),
        "--kube-api-qps=100".to_owned(),
        "--kube-api-burst=200".to_owned(),
    ];
    Daemon { name: "kube-controller-manager", waits_for: Some(place.api_is_ready()), command }
}

fn scheduler(place: &Place, programs: &Programs) -> Daemon {
    let command = vec![
        programs.path("kube-scheduler").display().to_string(),
        flag("kubeconfig", &place.folder().join("kube-scheduler.kubeconfig")),
        "--bind-address=127.0.0.1".to_owned(),
        "--leader-elect=false".to_owned(),
    ];
    Daemon { name: "kube-scheduler", waits_for: Some(place.api_is_ready()), command }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::API_SERVICE;

    #[test]
    fn the_api_service_is_the_first_address_of_services() {
        assert_eq!(SERVICES, format!("{}0/16", API_SERVICE.trim_end_matches('1')));
    }
}
