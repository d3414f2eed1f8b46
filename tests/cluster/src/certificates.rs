//! The cluster's certificates: one authority, and a certificate for each of Kubernetes' standard users and
//! servers.
//!
//! From `cluster.rs` once per `up`; the files are used by `config/` and `kubeconfig.rs`, each by the name
//! given here. The standard users (`system:…`) are what Kubernetes' own RBAC rules are bound to. They are
//! valid for as long as the library's default says, since no cluster here grows old. Deliberately absent:
//! rotation and revocation.

use std::fs;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use crate::error::Error;
use crate::place::{API_SERVICE, MachineName};

/// A user of the API server, and where it serves, its addresses.
struct Subject {
    file: String,
    user: String,
    group: Option<&'static str>,
    serves: Vec<String>,
}

/// Writes `NAME.crt` and `NAME.key` for all, `ca` included, and `service-accounts.key` with its `.pub`, into
/// an existing folder.
pub(crate) fn write(folder: &Path, nodes: u8) -> Result<(), Error> {
    let key = KeyPair::generate()?;
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    authority.distinguished_name.push(DnType::CommonName, "shard-operator test cluster");
    store(folder, "ca.crt", &authority.self_signed(&key)?.pem())?;
    store(folder, "ca.key", &key.serialize_pem())?;
    let issuer = Issuer::new(authority, key);
    for subject in subjects(nodes) {
        let key = KeyPair::generate()?;
        let certificate = parameters(&subject)?.signed_by(&key, &issuer)?;
        store(folder, &format!("{}.crt", subject.file), &certificate.pem())?;
        store(folder, &format!("{}.key", subject.file), &key.serialize_pem())?;
    }
    let service_accounts = KeyPair::generate()?;
    store(folder, "service-accounts.pub", &service_accounts.public_key_pem())?;
    store(folder, "service-accounts.key", &service_accounts.serialize_pem())
}

fn subjects(nodes: u8) -> Vec<Subject> {
    let user = |file: &str, user: &str, group| Subject {
        file: file.to_owned(),
        user: user.to_owned(),
        group,
        serves: Vec::new(),
    };
    let mut subjects = vec![
        Subject {
            serves: [
                "kubernetes",
                "kubernetes.default",
                "kubernetes.default.svc",
                "kubernetes.default.svc.cluster.local",
                "localhost",
                "127.0.0.1",
                API_SERVICE,
                &MachineName::ControlPlane.address(),
            ]
            .map(str::to_owned)
            .into(),
            ..user("kube-apiserver", "kube-apiserver", None)
        },
        user("kubelet-client", "kube-apiserver-kubelet-client", Some("system:masters")),
        user("admin", "admin", Some("system:masters")),
        user("kube-controller-manager", "system:kube-controller-manager", None),
        user("kube-scheduler", "system:kube-scheduler", None),
        user("kube-proxy", "system:kube-proxy", None),
    ];
    for node in MachineName::nodes(nodes) {
        subjects.push(Subject {
            serves: vec![node.to_string(), node.address()],
            ..user(&node.to_string(), &format!("system:node:{node}"), Some("system:nodes"))
        });
    }
    subjects
}

fn parameters(subject: &Subject) -> Result<CertificateParams, Error> {
    let mut parameters = CertificateParams::new(subject.serves.clone())?;
    parameters.distinguished_name.push(DnType::CommonName, subject.user.as_str());
    if let Some(group) = subject.group {
        parameters.distinguished_name.push(DnType::OrganizationName, group);
    }
    parameters.use_authority_key_identifier_extension = true;
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    if !subject.serves.is_empty() {
        parameters.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
    }
    Ok(parameters)
}

fn store(folder: &Path, name: &str, pem: &str) -> Result<(), Error> {
    fs::write(folder.join(name), pem).map_err(Error::io("write", folder.join(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_user_gets_a_certificate_and_a_key() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), 2).unwrap();
        for name in ["ca", "kube-apiserver", "kubelet-client", "admin", "kube-proxy", "node-1", "node-2"] {
            let certificate = fs::read_to_string(folder.path().join(format!("{name}.crt"))).unwrap();
            let key = fs::read_to_string(folder.path().join(format!("{name}.key"))).unwrap();
            assert!(certificate.starts_with("-----BEGIN CERTIFICATE-----"), "{name}");
            assert!(key.starts_with("-----BEGIN PRIVATE KEY-----"), "{name}");
        }
        assert!(!folder.path().join("node-3.crt").exists());
        assert!(folder.path().join("service-accounts.key").exists());
    }
}
