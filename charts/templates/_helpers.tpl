{{/* Names and labels, written once. */}}

{{- define "shard-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 53 | trimSuffix "-" -}}
{{- end -}}

{{- define "shard-operator.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 53 | trimSuffix "-" -}}
{{- else if contains (include "shard-operator.name" .) .Release.Name -}}
{{- .Release.Name | trunc 53 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "shard-operator.name" .) | trunc 53 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "shard-operator.selector" -}}
app.kubernetes.io/name: {{ include "shard-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* Of two labels with the same key the user's stands, but for those by which the Deployment finds its pods. */}}
{{- define "shard-operator.labels" -}}
{{- include "shard-operator.labelsWith" (list . dict) -}}
{{- end -}}

{{- define "shard-operator.podLabels" -}}
{{- include "shard-operator.labelsWith" (list . (default dict .Values.podLabels)) -}}
{{- end -}}

{{- define "shard-operator.labelsWith" -}}
{{- $root := index . 0 -}}
{{- $fixed := dict "app.kubernetes.io/name" (include "shard-operator.name" $root) "app.kubernetes.io/instance" $root.Release.Name -}}
{{- $usual := dict
  "app.kubernetes.io/version" $root.Chart.AppVersion
  "app.kubernetes.io/managed-by" $root.Release.Service
  "helm.sh/chart" (printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_") -}}
{{- toYaml (merge $fixed (index . 1 | deepCopy) (default dict $root.Values.commonLabels | deepCopy) $usual) -}}
{{- end -}}

{{- define "shard-operator.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "shard-operator.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "shard-operator.image" -}}
{{- $name := .Values.image.repository -}}
{{- with .Values.image.registry -}}{{- $name = printf "%s/%s" . $name -}}{{- end -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" $name .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{/* What the operator does with the objects of bots. It must hold what it grants to their pods. */}}
{{- define "shard-operator.rules" -}}
- apiGroups: [shard-operator.dev]
  resources: [shardedbots]
  verbs: [get, list, watch]
- apiGroups: [shard-operator.dev]
  resources: [shardedbots/status]
  verbs: [patch]
- apiGroups: [apps]
  resources: [statefulsets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, create, patch, delete]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch, create, patch]
- apiGroups: [""]
  resources: [services, serviceaccounts]
  verbs: [get, create, patch]
- apiGroups: [rbac.authorization.k8s.io]
  resources: [roles, rolebindings]
  verbs: [get, create, patch]
# Deleted by force on a lost node, and never otherwise; created in dry runs alone, to see whether a change would be admitted; annotated
# when the token was replaced, so that kubelets look at it.
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, create, patch, delete]
# By name, never listed or watched: the token is read, the records of sessions are made and granted to the bot's pods.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, create, patch]
# Which installation keeps the namespace: one Lease, by name; a creation cannot be limited by name.
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [shard-operator.dev]
  verbs: [get, update, patch]
# Why pods of a bot could not be made.
- apiGroups: [""]
  resources: [events]
  verbs: [list]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end -}}

{{/* The namespaces to watch, as JSON. When the release is upgraded, those that exist: one that was deleted meanwhile must not keep it from
     that. */}}
{{- define "shard-operator.namespaces" -}}
{{- $found := list -}}
{{- $asks := and .Release.IsUpgrade (lookup "v1" "Namespace" "" "kube-system") -}}
{{- range .Values.watchNamespaces -}}
{{- if or (not $asks) (lookup "v1" "Namespace" "" .) -}}
{{- $found = append $found . -}}
{{- end -}}
{{- end -}}
{{- toJson $found -}}
{{- end -}}
