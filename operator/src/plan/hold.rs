//! What forbids a new layout, whatever it would be.
//!
//! A list of small named checks in order of how much they say; the first that holds is the reason. A held fleet is kept
//! as it is: its objects are put back, its shards run on. Deliberately absent: what depends on the change itself
//! (`spec.paused`, the budget), which [`super::wanted`] asks.

use super::spec::Spec;
use crate::model::{DiscordProblem, Kind, Note, Observed, Phase, PodSeen, Reason, TokenSeen, Verdict};

/// A reason to keep things as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Why.
    pub note: Note,
    /// Whether only a person can mend it.
    pub stalled: bool,
}

impl Hold {
    /// As a verdict.
    #[must_use]
    pub fn into_verdict(self) -> Verdict {
        if self.stalled { Verdict::Stalled(self.note) } else { Verdict::Moving(self.note) }
    }
}

/// The first check that holds.
#[must_use]
pub fn hold(spec: &Spec, observed: &Observed) -> Option<Hold> {
    let checks: [fn(&Spec, &Observed) -> Option<Hold>; 4] =
        [token_cannot_be_read, token_in_use, others_unknown, discord];
    checks.iter().find_map(|check| check(spec, observed))
}

fn token_cannot_be_read(spec: &Spec, observed: &Observed) -> Option<Hold> {
    let (name, key) = &spec.token;
    let namespace = &spec.owner.namespace;
    stalled(match &observed.token {
        TokenSeen::Present(_) => return None,
        TokenSeen::SecretMissing => Note::new(
            Reason::SecretMissing,
            format!(
                "spec.tokenSecretRef.name: there is no Secret {name:?} in namespace {namespace}; make it: kubectl -n {namespace} create secret generic {name} --from-file={key}=FILE"
            ),
        ),
        TokenSeen::KeyMissing(keys) => Note::new(
            Reason::TokenKeyMissing,
            format!(
                "spec.tokenSecretRef.key: Secret {name:?} has no key {key:?}, it has {keys:?}; name one of them, or add the key"
            ),
        ),
        TokenSeen::Unusable(why) => Note::new(
            Reason::TokenUnusable,
            format!("key {key:?} of Secret {name:?} holds no token: {why}; put the bot's token there"),
        ),
    })
}

/// Pods hold a token that is not the one in the Secret any more, and will as long as they live.
#[must_use]
pub fn stale_token(spec: &Spec, observed: &Observed) -> Option<Note> {
    let since = observed.token_immutable_since?;
    let lives = |pod: &&PodSeen| !pod.deleting && pod.phase != Phase::Ended;
    let before = observed.pods.iter().filter(lives).filter(|pod| pod.made.is_some_and(|made| made < since));
    let pods: Vec<_> = before.map(|pod| pod.name.as_str()).collect();
    let first = pods.first()?;
    Some(Note::new(
        Reason::TokenImmutable,
        format!(
            "Secret {:?} is immutable and was made at {since}, after {} pods ({first} is one): a kubelet never gives those what is in it now, so they hold the token that they began with; set spec.restartedAt to a new value to have pods with the new one, and leave immutable out of the Secret to have the next one reach them by itself",
            spec.token.0,
            pods.len()
        ),
    ))
}

fn token_in_use(_: &Spec, observed: &Observed) -> Option<Hold> {
    let rival = observed.rival.as_ref()?;
    stalled(Note::new(
        Reason::TokenInUse,
        format!(
            "spec.tokenSecretRef: ShardedBot {rival} holds the same token; two fleets of one token answer everything twice; delete one of the two, or give this one a token of its own"
        ),
    ))
}

fn others_unknown(_: &Spec, observed: &Observed) -> Option<Hold> {
    let runs = observed.children.iter().any(|child| child.kind == Kind::StatefulSet);
    (observed.waits_for_others && !runs).then(|| Hold {
        stalled: false,
        note: Note::new(
            Reason::Initializing,
            "the operator has just started and looks at the other ShardedBots first: one of them may hold the same token",
        ),
    })
}

fn discord(spec: &Spec, observed: &Observed) -> Option<Hold> {
    match observed.discord.problem.as_ref()? {
        DiscordProblem::TokenRefused => stalled(Note::new(
            Reason::TokenRefused,
            format!(
                "Discord refuses the token in key {:?} of Secret {:?} (401); it is asked again within 5 minutes, and the fleet goes on by itself when Discord takes it; if the token was reset, copy the current one from Discord's developer portal into the Secret",
                spec.token.1, spec.token.0
            ),
        )),
        // With an earlier answer at hand the fleet goes on; the condition RecommendationFresh says the rest.
        DiscordProblem::Unreachable(_) if observed.discord.answer.is_some() => None,
        DiscordProblem::Unreachable(why) => Some(Hold {
            stalled: false,
            note: Note::new(
                Reason::DiscordUnreachable,
                format!(
                    "Discord cannot be asked for the identify budget: {why}; it is asked again. If this lasts, check the operator's egress and --discord-api"
                ),
            ),
        }),
    }
}

#[expect(clippy::unnecessary_wraps, reason = "every check answers with an Option")]
fn stalled(note: Note) -> Option<Hold> {
    Some(Hold { note, stalled: true })
}
