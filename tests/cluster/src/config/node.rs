//! A node's daemons and their files: containerd with its network plugins, kubelet, kube-proxy.
//!
//! Paths such as `/var/lib/kubelet` are the node's own (see `machine/init.sh`), so the defaults serve.
//! Settings that are not defaults are here for a kernel without CAP_SYS_RESOURCE, for cgroup v1 without
//! systemd, for two kubelets on one disk, or for tests that should not wait. Deliberately absent: CSI, device
//! plugins, a way to a registry.

use std::path::Path;

use serde_json::json;

use super::{Daemon, File, flag};
use crate::images;
use crate::place::{DNS_SERVICE, MachineName, PODS, Place};
use crate::programs::Programs;

/// What differs from one host to another.
pub(crate) struct Host<'a> {
    pub cni_folder: &'a Path,
    /// `overlayfs`, or `native` where the disk is itself an overlay.
    pub snapshotter: &'a str,
}

pub(crate) fn daemons(place: &Place, programs: &Programs, node: MachineName) -> Vec<Daemon> {
    let folder = place.machine(node);
    let program = |name| programs.path(name).display().to_string();
    vec![
        Daemon {
            name: "containerd",
            waits_for: None,
            command: vec![program("containerd"), flag("config", &folder.join("containerd.toml"))],
        },
        Daemon {
            name: "kubelet",
            waits_for: Some(folder.join("images-are-ready")),
            command: vec![
                program("kubelet"),
                flag("config", &folder.join("kubelet.json")),
                flag("kubeconfig", &folder.join("kubelet.kubeconfig")),
                format!("--hostname-override={node}"),
                format!("--node-ip={}", node.address()),
                format!("--node-labels=topology.kubernetes.io/zone=zone-{node}"),
            ],
        },
        Daemon {
            name: "kube-proxy",
            waits_for: Some(place.api_is_ready()),
            command: vec![program("kube-proxy"), flag("config", &folder.join("kube-proxy.json"))],
        },
    ]
}

pub(crate) fn files(place: &Place, programs: &Programs, node: MachineName, host: &Host<'_>) -> Vec<File> {
    let folder = place.machine(node);
    let pods = node.pods().unwrap_or_default();
    let kubeconfig = |user: &str| crate::kubeconfig::kubeconfig(&place.certificates(), user);
    let cni = folder.join("cni");
    let file = |name: &str, content| File { path: folder.join(name), content };
    vec![
        file("containerd.toml", containerd(&programs.path("containerd-shim-runc-v2"), &cni, host)),
        file("cni/pods.conflist", pod_network(&pods)),
        file("kubelet.json", kubelet(place, node)),
        file("kubelet.kubeconfig", kubeconfig(&node.to_string())),
        file("kube-proxy.json", kube_proxy(&folder.join("kube-proxy.kubeconfig"), node)),
        file("kube-proxy.kubeconfig", kubeconfig("kube-proxy")),
    ]
}

/// Without `restrict_oom_score_adj` every sandbox dies where root may not lower a process's OOM score.
fn containerd(shim: &Path, cni: &Path, host: &Host<'_>) -> String {
    format!(
        "version = 3
root = '/var/lib/containerd'
state = '/run/containerd'
imports = []

[grpc]
address = '/run/containerd/containerd.sock'

[plugins.'io.containerd.internal.v1.opt']
path = '/var/lib/containerd/opt'

[plugins.'io.containerd.cri.v1.images']
snapshotter = '{snapshotter}'

[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = '{pause}'

[plugins.'io.containerd.cri.v1.runtime']
restrict_oom_score_adj = true

[plugins.'io.containerd.cri.v1.runtime'.cni]
bin_dirs = ['{plugins}']
conf_dir = '{cni}'

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
runtime_type = 'io.containerd.runc.v2'
runtime_path = '{shim}'
",
        snapshotter = host.snapshotter,
        pause = images::PAUSE,
        plugins = host.cni_folder.display(),
        cni = cni.display(),
        shim = shim.display(),
    )
}

/// Routed pairs rather than a bridge: replies from a pod on the same node pass through iptables without
/// `br_netfilter`. Given addresses are remembered in `/run`, so a node that comes back has none taken.
fn pod_network(pods: &str) -> String {
    let config = json!({
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [
            {"type": "ptp", "ipMasq": false, "ipam": {
                "type": "host-local",
                "dataDir": "/run/cni/addresses",
                "ranges": [[{"subnet": pods}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            }},
            {"type": "portmap", "capabilities": {"portMappings": true}},
        ],
    });
    format!("{config:#}\n")
}

fn kubelet(place: &Place, node: MachineName) -> String {
    let certificate = |name: String| place.certificates().join(name);
    let config = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": certificate("ca.crt".to_owned())},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": certificate(format!("{node}.crt")),
        "tlsPrivateKeyFile": certificate(format!("{node}.key")),
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": Path::new("/").join(place.cgroup()).join(node.to_string()),
        "failCgroupV1": false,
        "failSwapOn": false,
        "clusterDNS": [DNS_SERVICE],
        "clusterDomain": "cluster.local",
        "resolvConf": "",
        "volumePluginDir": "/var/lib/kubelet/volume-plugins",
        // The disk is shared with everything else on this machine: a full one is not the node's to repair, and what is not
        // named here is not looked at. A share of it was too much of a big one: pods waited where gigabytes were free.
        "evictionHard": {"memory.available": "50Mi"},
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        // Renewed every quarter of it; see the grace period in control_plane.rs.
        "nodeLeaseDurationSeconds": 12,
        "nodeStatusUpdateFrequency": "5s",
        // A mounted ConfigMap or token follows its object within this, instead of a minute.
        "syncFrequency": "10s",
        "serializeImagePulls": false,
    });
    format!("{config:#}\n")
}

/// The conntrack zeros keep it from setting sysctls that it may not set here. `clusterCIDR` makes what comes
/// from outside of the pods' addresses masqueraded, so that Services answer the control plane too.
fn kube_proxy(kubeconfig: &Path, node: MachineName) -> String {
    let config = json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": kubeconfig},
        "hostnameOverride": node.to_string(),
        "mode": "iptables",
        "detectLocalMode": "ClusterCIDR",
        "clusterCIDR": PODS,
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    });
    format!("{config:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_node_has_its_own_pod_addresses_and_certificate() {
        let place = Place::of("x").unwrap();
        let text = kubelet(&place, MachineName::Node(2));
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["cgroupRoot"], "/shard-operator/x/node-2");
        assert!(value["tlsCertFile"].as_str().unwrap().ends_with("/x/certificates/node-2.crt"));
        assert_eq!(value["evictionHard"], json!({"memory.available": "50Mi"}), "the disk is nobody's here");
        let network: serde_json::Value =
            serde_json::from_str(&pod_network(&MachineName::Node(2).pods().unwrap())).unwrap();
        assert_eq!(network["plugins"][0]["ipam"]["ranges"][0][0]["subnet"], "10.244.2.0/24");
    }

    #[test]
    fn containerd_is_told_the_image_and_the_folders() {
        let host = Host { cni_folder: Path::new("/usr/lib/cni"), snapshotter: "overlayfs" };
        let text = containerd(Path::new("/p/shim"), Path::new("/c/cni"), &host);
        for line in
            ["sandbox = 'localhost/pause:1'", "bin_dirs = ['/usr/lib/cni']", "runtime_path = '/p/shim'"]
        {
            assert!(text.contains(line), "{line} in {text}");
        }
    }
}
