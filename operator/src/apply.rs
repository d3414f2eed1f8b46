//! Carries a plan out, in its order, without a decision of its own.
//!
//! From steps to requests: create, server-side apply, patch, delete, dry run; and the gate's limits. The first refusal ends the
//! round and is recorded, never lost: `report` always runs. Deliberately absent: reads, and any choice.

use crate::context::Context;
use crate::crd::ShardedBot;
use crate::dry_run;
use crate::model::{Applied, Failure, Kind, Note, Object, Plan, Reason, Step};
use crate::names::MANAGER;
use crate::world::Apis;
use axum::http;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions, Request};
use kube::{Client, ResourceExt};
use serde::de::IgnoredAny;
use serde_json::Value;

/// Carries out the plan.
pub async fn apply(ctx: &Context, bot: &ShardedBot, plan: &Plan) -> Applied {
    let Plan { steps, gate, layouts: _, verdict: _, node_loss: _, next_check: _ } = plan;
    let (namespace, name) = (bot.namespace().unwrap_or_default(), bot.name_any());
    let mut applied = Applied::default();
    if steps.iter().any(touches_secrets) {
        ctx.memory.forget_secrets(&(namespace.clone(), name.clone()));
    }
    for step in steps {
        match carry_out(ctx, &namespace, step).await {
            Ok(changed) => applied.changed.extend(changed),
            Err(failure) => {
                applied.failure = Some(failure);
                break;
            }
        }
        applied.done += 1;
    }
    // After the objects: a pod of a layout that was refused has nothing to ask for.
    ctx.gate.set(&namespace, &name, gate.clone()).await;
    applied
}

async fn carry_out(ctx: &Context, namespace: &str, step: &Step) -> Result<Option<String>, Failure> {
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
        Step::Apply(object) => {
            let params = PatchParams::apply(MANAGER).force();
            let url = api(object.kind).resource_url().to_owned();
            let request = Request::new(url).patch(&object.name, &params, &Patch::Apply(&object.body));
            send(&ctx.client, request).await.map_err(|error| refused(object, &error, false))?;
            Ok(Some(said(object.kind, &object.name)))
        }
        Step::Merge(object) => {
            let params = PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
            let url = api(object.kind).resource_url().to_owned();
            let request = Request::new(url).patch(&object.name, &params, &Patch::Merge(&object.body));
            send(&ctx.client, request).await.map_err(|error| refused(object, &error, false))?;
            Ok(Some(said(object.kind, &object.name)))
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
    send(client, Request::new(api.resource_url()).create(&params, body)).await
}

async fn delete(client: &Client, api: &Api<DynamicObject>, name: &str) -> Result<(), kube::Error> {
    send(client, Request::new(api.resource_url()).delete(name, &DeleteParams::background())).await
}

/// Sends a request whose answer is the object, which is not looked at: a tree of it would take many times its length.
async fn send(
    client: &Client,
    request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
) -> Result<(), kube::Error> {
    client.request::<IgnoredAny>(request.map_err(kube::Error::BuildRequest)?).await.map(|_| ())
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
