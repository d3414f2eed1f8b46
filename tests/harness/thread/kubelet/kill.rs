//! Containers that end at once, without a word.
//!
//! From a pod's name or UID to its process's end. Deliberately absent: pods that are deleted; they are told.

use super::Kubelet;
use kube::ResourceExt;

impl Kubelet {
    /// Names of the pods that were not told to end. What a container handles when it is killed after that is promised to nobody.
    #[must_use]
    pub fn staying(&self) -> Vec<String> {
        let kept = self.shared.pods();
        let staying = kept.values().filter(|kept| !kept.is_lost && kept.deadline.is_none());
        let mut names: Vec<_> = staying.map(|kept| kept.pod.name_any()).collect();
        names.sort();
        names
    }

    /// Ends a pod's container at once, as the kernel does when memory is short.
    pub fn kill(&self, pod: &str) {
        let mut pods = self.shared.pods();
        let kept = pods.values_mut().find(|kept| kept.pod.name_any() == pod && !kept.is_lost);
        if let Some(process) = kept.and_then(|kept| kept.process.take()) {
            process.kill();
        }
    }

    /// The same, of the pod with this UID.
    pub(in crate::thread) fn kill_uid(&self, uid: &str) {
        let process = self.shared.pods().get_mut(uid).and_then(|kept| kept.process.take());
        if let Some(process) = process {
            process.kill();
        }
    }
}
