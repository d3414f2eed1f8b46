//! What a person is told before a long wait: what is missing, what is made of it, and about how long each takes.
//!
//! From what was found missing to a few lines, and nothing where nothing is missing but what cargo brings up to date by itself.
//! Times are those of two cores; they are measured, rounded up, and nothing depends on them. Deliberately absent: progress.

use super::room::Room;

/// What is about to be done.
#[derive(Debug)]
pub(super) struct Plan {
    /// Debian packages to install.
    pub packages: Vec<String>,
    /// Whether our programs were never built.
    pub ours: bool,
    /// Whether Kubernetes is to be built.
    pub kubernetes: bool,
    /// Whether images of ours were wanted and never made.
    pub images: bool,
    /// Where.
    pub room: Room,
}

impl Plan {
    /// Whether our programs and Kubernetes are built at once.
    pub fn is_side_by_side(&self) -> bool {
        self.kubernetes && self.room.is_enough_for_two()
    }

    /// What to say.
    pub fn lines(&self) -> Vec<String> {
        let packages = format!("Debian packages: {}", self.packages.join(" "));
        let steps = [
            (!self.packages.is_empty(), 1, packages.as_str()),
            (self.ours, 1, "the operator, the bot and the simulator, built by cargo"),
            (self.images, 1, "images of the three, made by buildah"),
            (self.kubernetes, 17, "Kubernetes, etcd, containerd, CoreDNS and Helm, built from source by go"),
        ];
        let steps: Vec<_> = steps.into_iter().filter(|(is_missing, ..)| *is_missing).collect();
        if steps.is_empty() {
            return Vec::new();
        }
        let minutes: u32 = steps.iter().map(|(_, minutes, _)| minutes).sum();
        let mut lines = vec![format!(
            "missing here, and made once: it takes about {minutes} minutes on two cores, the next time none of it"
        )];
        lines.extend(steps.iter().map(|(_, minutes, what)| format!("  about {minutes:>2} min: {what}")));
        if self.kubernetes && self.ours {
            let Room { cores, available } = self.room;
            let how = if self.is_side_by_side() {
                "the two builds go side by side, cargo quietly"
            } else {
                "one after the other"
            };
            lines.push(format!("  {how}: {cores} cores, {} GiB of memory", available >> 30));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fresh(cores: usize) -> Plan {
        Plan {
            packages: vec!["runc".to_owned(), "buildah".to_owned()],
            ours: true,
            kubernetes: true,
            images: true,
            room: Room { cores, available: 20 << 30 },
        }
    }

    #[test]
    fn a_fresh_machine_is_told_what_is_missing_how_long_it_takes_and_that_it_happens_once() {
        assert_eq!(
            fresh(2).lines(),
            [
                "missing here, and made once: it takes about 20 minutes on two cores, the next time none of it",
                "  about  1 min: Debian packages: runc buildah",
                "  about  1 min: the operator, the bot and the simulator, built by cargo",
                "  about  1 min: images of the three, made by buildah",
                "  about 17 min: Kubernetes, etcd, containerd, CoreDNS and Helm, built from source by go",
                "  one after the other: 2 cores, 20 GiB of memory",
            ]
        );
        assert_eq!(
            fresh(8).lines().last().unwrap(),
            "  the two builds go side by side, cargo quietly: 8 cores, 20 GiB of memory"
        );
    }

    #[test]
    fn only_what_is_missing_is_told() {
        let nothing =
            Plan { packages: Vec::new(), ours: false, kubernetes: false, images: false, ..fresh(8) };
        assert!(nothing.lines().is_empty());
        assert!(!nothing.is_side_by_side());
        let packages = Plan { packages: vec!["curl".to_owned()], ..nothing };
        assert_eq!(packages.lines()[1..], ["  about  1 min: Debian packages: curl"]);
    }
}
