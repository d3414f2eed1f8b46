//! What demo, soak and tests share: our programs and images, a Kubernetes, a simulated Discord on it, fleets without nodes.
//!
//! On a whole cluster everything is driven as a user would: `kubectl`, `helm`, HTTP; it is the one of `tests/cluster`, or
//! the one that `KUBECONFIG` names. [`fleet`] plays nodes and controllers itself, on the API server alone. Deliberately
//! absent: anything that knows how the operator works.

pub mod any_fleet;
pub mod checkout;
pub mod discord;
pub mod fleet;
pub mod fresh;
pub mod grants;
pub mod images;
pub mod kube;
pub mod setup;
pub mod thread;
pub mod until;
