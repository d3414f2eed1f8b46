//! What the API server would make of a set, and whether it would admit a pod: both by dry runs.
//!
//! From a plan's question to its answer. Defaults, quantities written otherwise and what an admission webhook adds are the API server's to
//! say, so it is asked rather than imitated. Deliberately absent: what follows from the answer; and of a refusal of the set, the words: the
//! plan tries the set once more before it changes anything.

mod quantity;
mod quota;

use super::hands::other_hand;
use crate::context::{Context, Key};
use crate::crd::ShardedBot;
use crate::dry_run;
use crate::model::{Admission, Alike, Answers, Kind, Note, Question, Reason, Same};
use crate::reads;
use crate::world::path;
use k8s_openapi::api::core::v1::Pod;
use kube::{Resource, ResourceExt};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// The longest template that is compared, in bytes: what the spec may have, and as much again for what is added to it.
const LONGEST: usize = 512 << 10;
/// Of the API server's words so many characters are quoted.
const QUOTED: usize = 600;

/// Answers a plan's question.
/// That the API server cannot say is an answer, too.
pub async fn answer(ctx: &Context, bot: &ShardedBot, question: &Question, answers: &mut Answers) {
    let namespace = bot.namespace().unwrap_or_default();
    match question {
        Question::Alike { layout, stands, uid, written, identity } => {
            let key = (namespace.clone(), bot.name_any());
            let asked = (uid.clone(), identity.clone());
            let same = if ctx.memory.is_unlike(&key, &asked) {
                Same::No
            } else {
                match alike(ctx, &key, stands, &written.body).await {
                    Ok(Some(true)) => Same::Yes,
                    Ok(Some(false)) => {
                        ctx.memory.keep_unlike(key, asked);
                        Same::No
                    }
                    // The plan tries the set once more and tells why.
                    Ok(None) => Same::No,
                    Err(error) => Same::Unknown(error.to_string().chars().take(QUOTED).collect()),
                }
            };
            answers.alike = Some(Alike { layout: *layout, identity: identity.clone(), same });
        }
        Question::Admission { pod } => {
            let path = Pod::url_path(&(), Some(&namespace));
            let answer = ctx.reads.would_make(&dry_run::path(&path), pod, |_| ()).await;
            answers.admission = Some(answer.map_or_else(|error| admission(&error), |()| Admission::Admitted));
        }
    }
}

/// Whether the pods of what is written would be those of what stands; none: the API server would not make them.
async fn alike(
    ctx: &Context,
    key: &Key,
    stands: &str,
    written: &Value,
) -> Result<Option<bool>, reads::Error> {
    let sets = path(&key.0, Kind::StatefulSet);
    let named = format!("{}/{stands}", <&str>::from(Kind::StatefulSet));
    let owned = |text: &str| {
        let short = Some(template(text)?.get()).filter(|text| text.len() <= LONGEST);
        // The template of a set that somebody edited is not what its pods were made of.
        let is_own =
            || other_hand(text).is_none() || ctx.memory.corrections.is_clean(key, &named, generation(text));
        short.filter(|_| is_own()).map(str::to_owned)
    };
    let Some(stands) = ctx.reads.get(&format!("{sets}/{stands}"), owned).await?.flatten() else {
        return Ok(Some(false));
    };
    match ctx.reads.would_make(&dry_run::path(&sets), written, |text| is_alike(template(text), &stands)).await
    {
        Err(reads::Error::Api(kube::Error::Api(answer))) if dry_run::is_refusal(&answer) => Ok(None),
        answer => answer.map(Some),
    }
}

/// Most are equal byte by byte: the API server fills in its defaults, and writes what is equal in one way but for quantities.
fn is_alike(made: Option<&RawValue>, stands: &str) -> bool {
    let Some(made) = made.map(RawValue::get) else { return false };
    let parsed = |text: &str| serde_json::from_str::<Value>(text).ok();
    made == stands
        || parsed(made).zip(parsed(stands)).is_some_and(|(made, stands)| quantity::alike(&made, &stands))
}

/// A set's generation.
fn generation(text: &str) -> i64 {
    #[derive(Deserialize)]
    struct Set {
        metadata: Metadata,
    }
    #[derive(Deserialize)]
    struct Metadata {
        generation: Option<i64>,
    }
    let set: Option<Set> = serde_json::from_str(text).ok();
    set.and_then(|set| set.metadata.generation).unwrap_or(0)
}

/// A set's template.
fn template(text: &str) -> Option<&RawValue> {
    #[derive(Deserialize)]
    struct Set<'a> {
        #[serde(borrow)]
        spec: Spec<'a>,
    }
    #[derive(Deserialize)]
    struct Spec<'a> {
        #[serde(borrow)]
        template: &'a RawValue,
    }
    let Set { spec } = serde_json::from_str(text).ok()?;
    Some(spec.template)
}

/// What an answer that is not a pod means.
fn admission(error: &reads::Error) -> Admission {
    let reads::Error::Api(kube::Error::Api(answer)) = error else { return failed(&error.to_string()) };
    let plain = dry_run::plain(&answer.message)
        .replace("unknown field \"spec.", "unknown field \"spec.template.spec.");
    let said: String = plain.chars().take(QUOTED).collect();
    if dry_run::is_without_right(answer) {
        return Admission::Unknown("the operator has no right to create pods".to_owned());
    }
    if answer.message.contains("does not support dry run") {
        return Admission::Unknown(said);
    }
    if !dry_run::is_refusal(answer) {
        return failed(&said);
    }
    let (reason, remedy) = match quota::exceeded(&answer.message) {
        // The old layout's pods go first.
        Some(quota::Exceeded::ByAll) => return Admission::Admitted,
        Some(quota::Exceeded::ByOne) => {
            (Reason::QuotaExceeded, "raise the quota, or ask for less in spec.template")
        }
        None => (Reason::TemplateRefused, "correct spec.template, or what it names in the cluster"),
    };
    let message = format!("the API server would admit no pod of the next layout: {said}; {remedy}");
    Admission::Refused { note: Note::new(reason, message), stalled: true }
}

/// Whether a pod is refused only because there is no room for it beside those that run.
#[must_use]
pub fn lacks_room(refusal: &str) -> bool {
    quota::exceeded(refusal) == Some(quota::Exceeded::ByAll)
}

fn failed(said: &str) -> Admission {
    let message = format!(
        "whether a pod of the next layout would be admitted cannot be asked: {said}; it is tried again"
    );
    Admission::Refused { note: Note::new(Reason::ApiServerError, message), stalled: false }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::Status;

    fn refused(code: u16, message: &str) -> Admission {
        admission(&kube::Error::Api(Status::failure(message, "").with_code(code).boxed()).into())
    }

    #[test]
    fn what_cannot_be_admitted_is_told_apart_from_what_waits_for_room_and_from_what_cannot_be_asked() {
        let reason = |admission| match admission {
            Admission::Refused { note, stalled } => Some((note.reason, stalled)),
            _ => None,
        };
        for (code, message, expected) in [
            (
                403,
                "pods \"b-2-0\" is forbidden: no PriorityClass with name x was found",
                Some((Reason::TemplateRefused, true)),
            ),
            (
                403,
                "pods \"b-2-0\" is forbidden: violates PodSecurity \"restricted:latest\": …",
                Some((Reason::TemplateRefused, true)),
            ),
            (
                403,
                "pods \"b-2-0\" is forbidden: failed quota: q: must specify limits.cpu for: bot",
                Some((Reason::TemplateRefused, true)),
            ),
            (
                403,
                "pods \"b-2-0\" is forbidden: exceeded quota: q, requested: limits.memory=2Gi, used: limits.memory=0, limited: limits.memory=1Gi",
                Some((Reason::QuotaExceeded, true)),
            ),
            (
                403,
                "pods \"b-2-0\" is forbidden: exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2",
                None,
            ),
            (
                500,
                "Internal error occurred: failed calling webhook \"x\"",
                Some((Reason::ApiServerError, false)),
            ),
            (429, "too many requests", Some((Reason::ApiServerError, false))),
        ] {
            assert_eq!(reason(refused(code, message)), expected, "{message}");
        }
        for message in [
            "pods is forbidden: User \"system:serviceaccount:a:b\" cannot create resource \"pods\" in API group \"\" in the namespace \"bots\"",
            "admission webhook \"x\" does not support dry run",
        ] {
            assert!(matches!(refused(403, message), Admission::Unknown(_)), "{message}");
        }
    }
}
