#!/usr/bin/env bash
# Whether a field of a CustomResourceDefinition that is nullable, and has null among the values of its enum, may be null.
#
# Version: k8s.io/apiextensions-apiserver 0.37.2, with which the API server of Kubernetes 1.37.2 checks custom resources.
# Expected: null is taken. OpenAPI 3.0.3 says that null must then stand in the enum too, which is why it is written there; JSON Schema
# compares an enum's values as they are.
# Seen: null is refused, and the message lists it among the supported values: `Unsupported value: null: supported values: "Always",
# "null"`. Without the enum the same nullable field takes null, and a pattern in its place lets null through. Server-side apply of
# a manifest that a chart rendered with an empty `restartPolicy:` fails by it; client-side apply of a field that is not nullable does not,
# since null is dropped there before it is checked.
#
# Needs: Go and its module proxy. Ends with 0 when this is still so, 1 when something changed.
set -euo pipefail

folder=$(mktemp -d)
trap 'chmod -R u+w "$folder"; rm -rf "$folder"' EXIT

cat >"$folder/go.mod" <<'GO'
module finding

go 1.26.0

require k8s.io/apiextensions-apiserver v0.37.2
GO
cat >"$folder/main.go" <<'GO'
package main

import (
	"fmt"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
)

func main() {
	always := apiextensions.JSON("Always")
	null := apiextensions.JSON(nil)
	for _, one := range []struct {
		name  string
		field apiextensions.JSONSchemaProps
	}{
		{"nullable, enum with null", apiextensions.JSONSchemaProps{Type: "string", Nullable: true, Enum: []apiextensions.JSON{always, null}}},
		{"nullable, enum without null", apiextensions.JSONSchemaProps{Type: "string", Nullable: true, Enum: []apiextensions.JSON{always}}},
		{"nullable, no enum", apiextensions.JSONSchemaProps{Type: "string", Nullable: true}},
		{"nullable, pattern", apiextensions.JSONSchemaProps{Type: "string", Nullable: true, Pattern: "^Always$"}},
	} {
		schema := apiextensions.JSONSchemaProps{
			Type:       "object",
			Properties: map[string]apiextensions.JSONSchemaProps{"policy": one.field},
		}
		validator, _, err := validation.NewSchemaValidator(&schema)
		if err != nil {
			panic(err)
		}
		object := map[string]interface{}{"policy": nil}
		errors := validation.ValidateCustomResource(nil, object, validator)
		if len(errors) == 0 {
			fmt.Printf("%s: taken\n", one.name)
		}
		for _, err := range errors {
			fmt.Printf("%s: %s\n", one.name, err)
		}
	}
}
GO
cd "$folder"
export GOFLAGS=-mod=mod GOWORK=off
go mod tidy >go.log 2>&1 || { cat go.log; exit 1; }
go run . >seen
cat >expected <<'SEEN'
nullable, enum with null: policy: Unsupported value: null: supported values: "Always", "null"
nullable, enum without null: policy: Unsupported value: null: supported values: "Always"
nullable, no enum: taken
nullable, pattern: taken
SEEN
diff --unified expected seen
