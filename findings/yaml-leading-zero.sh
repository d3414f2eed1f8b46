#!/usr/bin/env bash
# What a file mode in a Kubernetes manifest, `defaultMode: 0644`, is read as by two well-kept YAML libraries.
#
# Versions: serde-saphyr 2.1.1 (Rust, default options), sigs.k8s.io/yaml 1.6.0 (Go; kubectl and the API server read YAML with it).
# Expected: an integer: 420, as YAML 1.1 has it and Kubernetes' documentation of `defaultMode` relies on, or 644, as YAML 1.2 has it.
# Seen: Go reads the integer 420. serde-saphyr reads the floating-point number 644.0 where no type is asked for, and says
# "invalid i32" where one is. Both read `0o644` as 420. So a manifest that kubectl takes is refused, or applied with another value,
# by a Rust program that reads it; what is safe with both is the decimal 420 or 0o644.
#
# Needs: Rust, Go, and their package registries. Ends with 0 when this is still so, 1 when something changed.
set -euo pipefail

folder=$(mktemp -d)
trap 'chmod -R u+w "$folder"; rm -rf "$folder"' EXIT

mkdir -p "$folder/rust/src" "$folder/go"
cat >"$folder/rust/Cargo.toml" <<'TOML'
[package]
name = "finding"
version = "0.0.0"
edition = "2021"

[dependencies]
serde-saphyr = "=2.1.1"
serde_json = "=1.0.154"
TOML
cat >"$folder/rust/src/main.rs" <<'RUST'
use std::collections::BTreeMap;

fn main() {
    for mode in ["0644", "0o644", "420"] {
        let text = format!("defaultMode: {mode}\n");
        let untyped: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
        let typed: Result<BTreeMap<String, i32>, _> = serde_saphyr::from_str(&text);
        let typed = typed.map_or_else(|_| "refused".to_owned(), |typed| typed["defaultMode"].to_string());
        println!("rust {mode}: {}, as i32: {typed}", untyped["defaultMode"]);
    }
}
RUST
cat >"$folder/go/go.mod" <<'GO'
module finding

go 1.23

require sigs.k8s.io/yaml v1.6.0
GO
cat >"$folder/go/main.go" <<'GO'
package main

import (
	"fmt"

	"sigs.k8s.io/yaml"
)

func main() {
	for _, mode := range []string{"0644", "0o644", "420"} {
		json, err := yaml.YAMLToJSON([]byte("defaultMode: " + mode + "\n"))
		if err != nil {
			panic(err)
		}
		fmt.Printf("go %s: %s\n", mode, json)
	}
}
GO

seen=$(
    cargo run --quiet --manifest-path "$folder/rust/Cargo.toml" --target-dir "$folder/rust/target"
    cd "$folder/go"
    export GOFLAGS=-mod=mod
    go mod tidy >/dev/null 2>&1
    go run .
)
expected='rust 0644: 644.0, as i32: refused
rust 0o644: 420, as i32: 420
rust 420: 420, as i32: 420
go 0644: {"defaultMode":420}
go 0o644: {"defaultMode":420}
go 420: {"defaultMode":420}'

printf '%s\n' "$seen"
if [ "$seen" != "$expected" ]; then
    printf 'changed; it was\n%s\n' "$expected" >&2
    exit 1
fi
