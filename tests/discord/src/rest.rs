//! REST `/api/v10`, and the other versions under its paths: the routes, and the one door to them.
//!
//! From: HTTP requests of bots. For: twilight-http, discord.py, hikari, @discordjs/rest. What every call goes through is in
//! `rest/gate.rs`, the routes' own work in the files beside it. Deliberately absent: CDN, OAuth2 beyond the bot's own
//! application, webhooks but those of interactions, threads, voice, emojis, stickers, moderation.

pub mod answer;
mod buckets;
mod channels;
mod commands;
mod damage;
mod draft;
mod form;
mod gate;
mod guilds;
mod identity;
mod interactions;
mod invalid;
mod limits;
mod query;
mod reactions;
mod users;
pub mod version;
mod webhooks;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware;
use axum::response::Response;
use axum::routing::{MethodRouter, any, get, post, put};

use crate::discord::Discord;
use answer::error;
use gate::{Gate, pass};

/// Base of every route.
pub const BASE: &str = "/api/v10";
/// The longest body: Discord takes files of 10 MiB.
const LONGEST_BODY: usize = 11 * 1024 * 1024;

type Routes = [(&'static str, MethodRouter<Arc<Discord>>); 26];

/// Every route by its template, without the base: the names by which faults and the ledger call it.
fn routes() -> Routes {
    let scope = commands::GLOBAL;
    let guild_scope = commands::OF_GUILD;
    [
        ("/gateway", get(identity::gateway)),
        ("/gateway/bot", get(identity::gateway_bot)),
        ("/oauth2/applications/@me", get(identity::application)),
        ("/applications/@me", get(identity::application).patch(identity::edit_application)),
        ("/users/@me", get(identity::current_user)),
        ("/users/@me/guilds", get(users::guilds)),
        ("/users/@me/channels", post(users::open_direct)),
        ("/users/{user}", get(users::read)),
        ("/guilds/{guild}", get(guilds::read)),
        ("/guilds/{guild}/channels", get(guilds::channels)),
        ("/guilds/{guild}/roles", get(guilds::roles)),
        ("/guilds/{guild}/members", get(guilds::members)),
        ("/guilds/{guild}/members/{user}", get(guilds::member)),
        ("/channels/{channel}", get(channels::read)),
        ("/channels/{channel}/typing", post(channels::type_in)),
        ("/channels/{channel}/messages", get(channels::history).post(channels::write)),
        (
            "/channels/{channel}/messages/{message}",
            get(channels::message).patch(channels::edit).delete(channels::delete),
        ),
        ("/channels/{channel}/messages/{message}/reactions/{emoji}", get(reactions::list)),
        (
            "/channels/{channel}/messages/{message}/reactions/{emoji}/@me",
            put(reactions::add).delete(reactions::remove),
        ),
        (scope.0, commands::of_scope()),
        (scope.1, commands::of_command()),
        (guild_scope.0, commands::of_scope()),
        (guild_scope.1, commands::of_command()),
        ("/interactions/{interaction}/{token}/callback", post(interactions::callback)),
        ("/webhooks/{webhook}/{token}", post(webhooks::follow_up)),
        (
            "/webhooks/{webhook}/{token}/messages/{message}",
            get(webhooks::read).patch(webhooks::edit).delete(webhooks::delete),
        ),
    ]
}

/// REST as a router.
pub fn router(discord: &Arc<Discord>) -> Router {
    let gate = Gate::new(discord);
    let unknown = any(|State(discord): State<Arc<Discord>>, request: Request| async move {
        unknown_route(&discord, &request)
    });
    let mut router = Router::new().route("/api/{*rest}", unknown);
    for (template, methods) in routes() {
        router = router.route(&format!("{BASE}{template}"), methods);
    }
    router
        .method_not_allowed_fallback(|State(discord): State<Arc<Discord>>, request: Request| async move {
            // Discord may have what is missing here.
            discord.record_unknown_route(gate::method_name(request.method()), request.uri().path());
            error(StatusCode::METHOD_NOT_ALLOWED, 0, "405: Method Not Allowed")
        })
        .route_layer(middleware::from_fn_with_state(gate, pass))
        .layer(DefaultBodyLimit::max(LONGEST_BODY))
        .layer(middleware::map_response_with_state(Arc::clone(discord), dated))
        .with_state(Arc::clone(discord))
}

/// The answer with Discord's own time in whole seconds, which `POST /control/time` moves: clients read the schedule off it.
async fn dated(State(discord): State<Arc<Discord>>, mut response: Response) -> Response {
    response.headers_mut().insert(header::DATE, answer::date(discord.clock.rules_unix_ms()));
    response
}

/// Whether there is a route of this template.
pub fn has_route(template: &str) -> bool {
    routes().iter().any(|(known, _)| *known == template)
}

/// The answer to a path of the API that is none of the routes.
pub fn unknown_route(discord: &Discord, request: &Request) -> Response {
    discord.record_unknown_route(gate::method_name(request.method()), request.uri().path());
    if version::is_discontinued(request.uri().path()) {
        return error(StatusCode::BAD_REQUEST, 50041, "Invalid API version provided");
    }
    error(StatusCode::NOT_FOUND, 0, "404: Not Found")
}
