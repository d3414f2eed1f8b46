//! Which pods' kubelets are to look at the token's Secret now, since it holds another token.
//!
//! A kubelet looks at what it mounted once a minute or so, and at once when its pod's object changes: an annotation costs one write a pod, and
//! the fleet comes back in seconds. Deliberately absent: who began with another token, which is observed.

use crate::model::{Observed, Phase, PodSeen, Remount};

/// Those that run and were not told.
pub fn remounts(observed: &Observed) -> Vec<Remount> {
    // A kubelet never looks again at a Secret that it has as an immutable one.
    let looks = |pod: &&PodSeen| observed.token_immutable_since.is_none_or(|since| pod.made >= Some(since));
    let untold = observed.pods.iter().filter(|pod| observed.token_untold.contains(&pod.uid));
    let running = untold.filter(|pod| !pod.deleting && pod.phase == Phase::Running).filter(looks);
    running.map(|pod| Remount { pod: pod.name.clone(), uid: pod.uid.clone() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::jiff::Timestamp;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn kubelets_of_running_pods_that_began_with_another_token_are_told() {
        let pod = |uid: &str| PodSeen { uid: uid.into(), made: Some(at(10)), ..PodSeen::running() };
        let pods = vec![
            pod("untold"),
            pod("told"),
            PodSeen { phase: Phase::Ended, ..pod("ended") },
            PodSeen { deleting: true, ..pod("goes") },
            PodSeen { made: Some(at(30)), ..pod("younger") },
        ];
        let untold = ["untold", "ended", "goes", "younger"].map(str::to_owned).into();
        let mut observed = Observed { pods, token_untold: untold, ..Observed::nothing() };
        let told =
            |observed: &Observed| remounts(observed).into_iter().map(|one| one.uid).collect::<Vec<_>>();
        assert_eq!(told(&observed), ["untold", "younger"]);
        observed.token_immutable_since = Some(at(20));
        assert_eq!(told(&observed), ["younger"], "who has the one before as an immutable one never gets it");
    }
}
