//! What the demo and the cluster tests share: our programs and images, a Kubernetes, a simulated Discord on it.
//!
//! Everything is driven as a user would: `kubectl`, `helm`, HTTP. The cluster is the one of `tests/cluster`, or the one
//! that `KUBECONFIG` names. Deliberately absent: a Kubernetes client, and anything that knows how the operator works.

pub mod checkout;
pub mod discord;
pub mod images;
pub mod kube;
pub mod until;
