#!/usr/bin/env bash
# Three dispatch types that twilight has an event and a flag for, and never delivers.
#
# Version: twilight-gateway and twilight-model 0.18.0 (Rust).
# Expected: `twilight_gateway::parse` with `EventTypeFlags::all()` gives an event for each type that `EventType::name` knows, as it does
# for ENTITLEMENT_CREATE.
# Seen: for ENTITLEMENT_UPDATE, ENTITLEMENT_DELETE and GUILD_STICKERS_UPDATE it gives `Ok(None)`, as for a type that nobody knows: frames
# are read by `EventType::try_from(&str)`, which lacks these three. A bot that handles them waits in vain, without an error.
#
# Needs: Rust and its package registry. Ends with 0 when this is still so, 1 when something changed.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/src"
cat >"$folder/Cargo.toml" <<'TOML'
[package]
name = "finding"
version = "0.0.0"
edition = "2024"

[dependencies]
twilight-gateway = { version = "=0.18.0", default-features = false }
twilight-model = "=0.18.0"

[workspace]
TOML
cat >"$folder/src/main.rs" <<'RUST'
use twilight_gateway::{EventType, EventTypeFlags, parse};

fn main() {
    let entitlement = r#"{"id":"1","sku_id":"2","application_id":"3","type":8,"deleted":false,"user_id":"4"}"#;
    let table = [
        (EventType::EntitlementCreate, entitlement),
        (EventType::EntitlementUpdate, entitlement),
        (EventType::EntitlementDelete, entitlement),
        (EventType::GuildEmojisUpdate, r#"{"guild_id":"1","emojis":[]}"#),
        (EventType::GuildStickersUpdate, r#"{"guild_id":"1","stickers":[]}"#),
    ];
    for (kind, data) in table {
        let name = kind.name().expect("a dispatch type");
        let frame = format!(r#"{{"t":"{name}","s":1,"op":0,"d":{data}}}"#);
        let found = parse(frame, EventTypeFlags::all()).expect("valid").is_some();
        println!("{name}: {}", if found { "an event" } else { "Ok(None)" });
    }
}
RUST

seen=$(cargo run --quiet --manifest-path "$folder/Cargo.toml" --target-dir "$folder/target")
expected='ENTITLEMENT_CREATE: an event
ENTITLEMENT_UPDATE: Ok(None)
ENTITLEMENT_DELETE: Ok(None)
GUILD_EMOJIS_UPDATE: an event
GUILD_STICKERS_UPDATE: Ok(None)'

printf '%s\n' "$seen"
if [ "$seen" != "$expected" ]; then
    printf 'changed; it was\n%s\n' "$expected" >&2
    exit 1
fi
