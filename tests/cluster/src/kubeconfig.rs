//! Kubeconfig files: who one is, and where the API server is.
//!
//! One for each of Kubernetes' own programs and one for the administrator; certificates are named by path.
//! JSON, which every reader of kubeconfigs takes for the YAML it also is. Deliberately absent: contexts to
//! choose from, and tokens.

use std::path::Path;

use serde_json::json;

use crate::place::MachineName;

/// The file's content for the user with `USER.crt` and `USER.key` in the folder of certificates.
pub(crate) fn kubeconfig(certificates: &Path, user: &str) -> String {
    let file = |name: String| certificates.join(name).display().to_string();
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "shard-operator", "cluster": {
            "server": format!("https://{}:6443", MachineName::ControlPlane.address()),
            "certificate-authority": file("ca.crt".to_owned()),
        }}],
        "users": [{"name": user, "user": {
            "client-certificate": file(format!("{user}.crt")),
            "client-key": file(format!("{user}.key")),
        }}],
        "contexts": [{"name": "shard-operator", "context": {"cluster": "shard-operator", "user": user}}],
        "current-context": "shard-operator",
    });
    format!("{config:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_named_with_its_own_certificate() {
        let text = kubeconfig(Path::new("/c"), "admin");
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["users"][0]["user"]["client-certificate"], "/c/admin.crt");
        assert_eq!(value["clusters"][0]["cluster"]["server"], "https://10.88.0.1:6443");
        assert_eq!(value["contexts"][0]["name"], value["current-context"]);
    }
}
