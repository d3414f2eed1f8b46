//! Carries a plan out, in its order, without a decision of its own.
//!
//! From steps to requests: create, server-side apply, patch, delete, dry run; and the gate's limits. The first refusal ends the
//! round and is recorded, never lost: `report` always runs. Last, and whatever came of the steps, kubelets are told of another token
//! ([`remount`]). Deliberately absent: reads, and any choice.

mod remount;

use crate::context::{Context, Key, Made};
use crate::crd::ShardedBot;
use crate::dry_run;
use crate::model::{Applied, Failure, Hand, Kind, Note, Object, Observed, Plan, Reason, Step};
use crate::names::MANAGER;
use crate::world::{self, Apis};
use axum::http;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, DynamicObject, PostParams, Preconditions, Request};
use kube::{Client, ResourceExt};
use remount::remount;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

/// Carries out the plan.
pub async fn apply(ctx: &Context, bot: &ShardedBot, observed: &Observed, plan: &Plan) -> Applied {
    let Plan { steps, remounts, gate, layouts: _, verdict: _, node_loss: _, next_check: _ } = plan;
    let (namespace, name) = (bot.namespace().unwrap_or_default(), bot.name_any());
    let mut applied = Applied::default();
    if steps.iter().any(touches_secrets) {
        ctx.memory.forget_secrets(&(namespace.clone(), name.clone()));
    }
    let key = (namespace, name);
    for step in steps {
        match (carry_out(ctx, &key, observed, step).await, step) {
            (Ok(changed), Step::PutBack(_, hand)) => {
                applied.put_back.extend(changed.map(|what| put_back(&what, *hand)));
            }
            (Ok(changed), step) => {
                let hand = changed.as_ref().and_then(|_| hand(observed, step));
                applied.put_back.extend(hand.zip(changed.as_ref()).map(|(hand, what)| put_back(what, hand)));
                applied.changed.extend(changed);
            }
            (Err(failure), _) => {
                applied.failure = Some(failure);
                break;
            }
        }
        applied.done += 1;
    }
    // After the objects: a pod of a layout that was refused has nothing to ask for.
    ctx.gate.set(&key.0, &key.1, gate.clone()).await;
    remount(ctx, &key, remounts).await;
    applied
}

async fn carry_out(
    ctx: &Context,
    key: &Key,
    observed: &Observed,
    step: &Step,
) -> Result<Option<String>, Failure> {
    let namespace = &key.0;
    let api = |kind| Apis::of(&ctx.client, namespace, kind);
    match step {
        Step::Try(object) => {
            attempt(&ctx.client, &api(object.kind), object)
                .await
                .map_err(|error| refused(object, &error, true))?;
            Ok(None)
        }
        Step::Create(object) => {
            create(&ctx.client, &api(object.kind), object)
                .await
                .map_err(|error| refused(object, &error, false))?;
            Ok(Some(said(object.kind, &object.name)))
        }
        Step::Apply(object) | Step::Merge(object) | Step::PutBack(object, _) => {
            correct(ctx, key, observed, step, object).await
        }
        Step::Delete(kind, name) => match delete(&ctx.client, &api(*kind), name).await {
            Ok(()) => Ok(Some(said(*kind, name))),
            Err(kube::Error::Api(answer)) if answer.code == 404 => Ok(None),
            Err(error) => Err(failed(&said(*kind, name), &error)),
        },
        Step::Patch { secret, operations } => {
            let done = patch(&ctx.client, &api(Kind::Secret), secret, operations).await;
            done.map(|changed| changed.then(|| said(Kind::Secret, secret)))
                .map_err(|error| failed(&said(Kind::Secret, secret), &error))
        }
        Step::ForceDelete { pod, uid } => {
            let api: Api<Pod> = Api::namespaced(ctx.client.clone(), namespace);
            let done = force_delete(&api, pod, uid).await;
            done.map(|changed| changed.then(|| format!("Pod/{pod}")))
                .map_err(|error| failed(&format!("Pod/{pod}"), &error))
        }
    }
}

/// Makes an object as it should be; none: it stayed as it was, as where a policy turns each write into what stands. That is not tried again until
/// the object changes. What somebody edited is put back at most once a minute: he may be a program that edits it again.
async fn correct(
    ctx: &Context,
    key: &Key,
    observed: &Observed,
    step: &Step,
    object: &Object,
) -> Result<Option<String>, Failure> {
    let Object { kind, name, body } = object;
    let what = said(*kind, name);
    let is_edit = matches!(step, Step::PutBack(..));
    let mut stands = observed.children.iter().filter(|child| child.kind == *kind && child.name == *name);
    // The generation rises with the spec alone, which is all that an edit is about.
    let before =
        stands.next().map(|child| if is_edit { child.generation.to_string() } else { child.version.clone() });
    let before = before.unwrap_or_default();
    if ctx.memory.corrections.are_pointless(key, &what, is_edit, body, &before) {
        return Ok(None);
    }
    let path = format!("{}/{name}", world::path(&key.0, *kind));
    let (query, content_type, body_sent) = match step {
        Step::Apply(_) => ("&force=true", "application/apply-patch+yaml", body.to_string()),
        Step::PutBack(..) => ("", "application/json-patch+json", operations(body).to_string()),
        _ => ("", "application/merge-patch+json", body.to_string()),
    };
    let request = http::Request::patch(format!("{path}?fieldManager={MANAGER}{query}"))
        .header(http::header::CONTENT_TYPE, content_type)
        .body(body_sent.into_bytes())
        .map_err(|error| failed(&what, &kube::Error::HttpError(error)))?;
    let after =
        ctx.client.request::<Stands>(request).await.map_err(|error| refused(object, &error, false))?;
    let Version { generation, resource_version } = after.metadata;
    let after = if is_edit { generation.to_string() } else { resource_version };
    let is_changed = after != before;
    ctx.memory.corrections.keep(key.clone(), what.clone(), Made::new(is_edit, is_changed, body, after));
    Ok(is_changed.then_some(what))
}

/// What is looked at of the answer to a correction: a tree of all of it would take many times its length.
#[derive(Deserialize)]
struct Stands {
    metadata: Version,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    #[serde(default)]
    generation: i64,
    #[serde(default)]
    resource_version: String,
}

/// Replaces whole fields of a spec: what somebody added within them goes, too, and what is null has the API server's default.
fn operations(body: &Value) -> Value {
    let fields = body["spec"].as_object().into_iter().flatten();
    let put = |(field, value): (&String, &Value)| json!({ "op": "add", "path": format!("/spec/{field}"), "value": value });
    fields.map(put).collect()
}

/// Who edited the set whose bounds a step brings back.
fn hand(observed: &Observed, step: &Step) -> Option<Hand> {
    let Step::Merge(Object { kind, name, .. }) = step else { return None };
    observed.children.iter().find(|child| child.kind == *kind && child.name == *name)?.hand
}

/// What is said of an edit, and the way to what was meant.
fn put_back(what: &str, hand: Hand) -> Note {
    match hand {
        Hand::Rollout => Note::new(
            Reason::RestartPutBack,
            format!(
                "{what}: kubectl rollout restart, or a restart by the same annotation, restarts nothing here and was put back; to restart the fleet, set spec.restartedAt of the ShardedBot to a new value"
            ),
        ),
        Hand::Beside | Hand::Somebody => Note::new(
            Reason::EditPutBack,
            format!(
                "{what} was edited by hand and was put back; change spec.template of the ShardedBot instead; a pod that was made meanwhile stays as it is until it is replaced"
            ),
        ),
    }
}

fn touches_secrets(step: &Step) -> bool {
    matches!(step, Step::Patch { .. } | Step::Create(Object { kind: Kind::Secret, .. }))
}

/// A JSON Patch; tells whether it was taken. When a pod's write came first its test fails, which is as it should be: what the
/// pod wrote stands, and the next round reads it. By hand, since kube's type needs a crate of its own.
async fn patch(
    client: &Client,
    api: &Api<DynamicObject>,
    name: &str,
    operations: &[Value],
) -> Result<bool, kube::Error> {
    let url = format!("{}/{name}?fieldManager={MANAGER}", api.resource_url());
    let body = serde_json::to_vec(operations).map_err(kube::Error::SerdeError)?;
    let request = http::Request::patch(url)
        .header(http::header::CONTENT_TYPE, "application/json-patch+json")
        .body(body)
        .map_err(kube::Error::HttpError)?;
    // The answer carries sessions, so it is not even parsed.
    match client.request::<IgnoredAny>(request).await {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(answer)) if matches!(answer.code, 404 | 409) => Ok(false),
        // A failed test is told as an error in the request; what is invalid afterwards would be so again.
        Err(kube::Error::Api(answer)) if answer.code == 422 && !answer.message.contains(" is invalid") => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Deletes exactly this pod without its kubelet's word; tells whether it was there.
async fn force_delete(api: &Api<Pod>, name: &str, uid: &str) -> Result<bool, kube::Error> {
    let this = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
    match api.delete(name, &DeleteParams::default().grace_period(0).preconditions(this)).await {
        Ok(_) => Ok(true),
        // Gone already, or another one of the same name.
        Err(kube::Error::Api(answer)) if matches!(answer.code, 404 | 409) => Ok(false),
        Err(error) => Err(error),
    }
}

/// A creation that is only checked.
async fn attempt(client: &Client, api: &Api<DynamicObject>, object: &Object) -> Result<(), kube::Error> {
    let url = dry_run::path(api.resource_url());
    let body = serde_json::to_vec(&object.body).map_err(kube::Error::SerdeError)?;
    let request = http::Request::post(url).header(http::header::CONTENT_TYPE, "application/json").body(body);
    client.request::<IgnoredAny>(request.map_err(kube::Error::HttpError)?).await.map(|_| ())
}

async fn create(client: &Client, api: &Api<DynamicObject>, object: &Object) -> Result<(), kube::Error> {
    let params = PostParams { dry_run: false, field_manager: Some(MANAGER.into()) };
    let body = serde_json::to_vec(&object.body).map_err(kube::Error::SerdeError)?;
    let request =
        Request::new(api.resource_url()).create(&params, body).map_err(kube::Error::BuildRequest)?;
    client.request::<IgnoredAny>(request).await.map(|_| ())
}

async fn delete(client: &Client, api: &Api<DynamicObject>, name: &str) -> Result<(), kube::Error> {
    let params = DeleteParams::background();
    let request =
        Request::new(api.resource_url()).delete(name, &params).map_err(kube::Error::BuildRequest)?;
    client.request::<IgnoredAny>(request).await.map(|_| ())
}

fn said(kind: Kind, name: &str) -> String {
    format!("{}/{name}", <&str>::from(kind))
}

/// What a refusal means to the user.
fn refused(object: &Object, error: &kube::Error, trying: bool) -> Failure {
    let what = said(object.kind, &object.name);
    let kube::Error::Api(answer) = error else { return failed(&what, error) };
    let message = &answer.message;
    if answer.code == 409 && answer.reason == "AlreadyExists" {
        let note = Note::new(
            Reason::NameTaken,
            format!("{what} exists and is not this bot's; remove it or rename the ShardedBot"),
        );
        return Failure { note, stalled: true };
    }
    if answer.code == 403 && message.contains("exceeded quota") {
        let note = Note::new(
            Reason::QuotaExceeded,
            format!("the API server refuses {what}: {message}; raise the quota"),
        );
        return Failure { note, stalled: true };
    }
    let users =
        object.kind == Kind::StatefulSet && (trying || answer.code == 422) && dry_run::is_refusal(answer);
    if users {
        let note = Note::new(
            Reason::TemplateRefused,
            format!(
                "spec.template: the API server refuses it: {}; correct the template",
                dry_run::plain(message).chars().take(600).collect::<String>()
            ),
        );
        return Failure { note, stalled: true };
    }
    failed(&what, error)
}

fn failed(what: &str, error: &kube::Error) -> Failure {
    let cause = match error {
        kube::Error::Api(answer) => format!("{} ({} {})", answer.message, answer.code, answer.reason),
        other => other.to_string(),
    };
    let note = Note::new(Reason::ApiServerError, format!("{what}: {cause}; it is tried again"));
    Failure { note, stalled: false }
}
