{{/* What each service is told, and the files that it is given. Takes root and name. */}}

{{- define "estafette.environment" -}}
{{- $root := .root -}}
{{- $values := $root.Values -}}
- {name: ESTAFETTE_LOG_LEVEL, value: {{ $values.logLevel | quote }}}
{{- with $values.otlpEndpoint }}
- {name: ESTAFETTE_OTLP_ENDPOINT, value: {{ . | quote }}}
{{- end }}
{{- if eq .name "web" }}
- {name: ESTAFETTE_API_URL, value: "http://{{ include "estafette.release" $root }}-api:{{ (include "estafette.part" (dict "root" $root "name" "api") | fromYaml).service.port }}"}
{{- else }}
- {name: ESTAFETTE_NATS_URL, value: {{ include "estafette.natsURL" $root | quote }}}
{{- if include "estafette.secret.nats" $root }}
- {name: ESTAFETTE_NATS_CREDENTIALS, value: /run/nats/services.creds}
{{- end }}
{{- end }}
{{- if has .name (list "manifest-planner" "hanging-job-cleaner" "log-sink" "notifier" "api") }}
{{ include "estafette.environment.database" $root }}
{{- end }}
{{- if has .name (list "manifest-planner" "job-dispatcher") }}
- name: ESTAFETTE_SECRET_KEY
  valueFrom: {secretKeyRef: {name: {{ include "estafette.secret.manifests" $root }}, key: secretKey}}
{{- end }}
{{- if has .name (list "manifest-planner" "notifier") }}
{{ include "estafette.environment.forge" $root }}
{{- end }}
{{- if has .name (list "job-dispatcher" "hanging-job-cleaner") }}
{{- include "estafette.environment.cluster" $root }}
- {name: ESTAFETTE_RUNTIME, value: kubernetes}
- {name: ESTAFETTE_KUBERNETES_NAMESPACE, value: {{ include "estafette.jobsNamespace" $root }}}
- {name: ESTAFETTE_RUN_NAMESPACES, value: {{ $values.jobs.runNamespaces.enabled | quote }}}
{{- end }}
{{- if eq .name "webhook-ingress" }}
- name: ESTAFETTE_GITHUB_WEBHOOK_SECRET
  valueFrom: {secretKeyRef: {name: {{ include "estafette.secret.webhooks" $root }}, key: webhookSecret}}
{{- else if eq .name "manifest-planner" }}
{{- $config := (index $values "manifest-planner").config }}
- {name: ESTAFETTE_CACHE_DIR, value: /cache}
- {name: ESTAFETTE_MANIFEST_SOURCE, value: {{ $config.manifestSource }}}
{{- with $config.cloneURL }}
- {name: ESTAFETTE_CLONE_URL, value: {{ . | quote }}}
{{- end }}
{{- if include "estafette.secret.config" $root }}
- {name: ESTAFETTE_CONFIG_FILE, value: /configs/config.yaml}
{{- end }}
{{- else if eq .name "job-dispatcher" }}
{{ include "estafette.environment.jobs" $root }}
{{- end }}
{{- end -}}

{{/* Takes the root. */}}
{{- define "estafette.environment.database" -}}
{{- $secret := include "estafette.secret.database" . -}}
{{- if .Values.db.enabled -}}
- name: DATABASE_PASSWORD
  valueFrom: {secretKeyRef: {name: {{ $secret }}, key: password}}
- {name: ESTAFETTE_DATABASE_URL, value: "postgresql://estafette:$(DATABASE_PASSWORD)@{{ include "estafette.release" . }}-db-public:5432/estafette"}
{{- else -}}
- name: ESTAFETTE_DATABASE_URL
  valueFrom: {secretKeyRef: {name: {{ $secret }}, key: url}}
{{- end -}}
{{- end -}}

{{/* Takes the root. */}}
{{- define "estafette.environment.forge" -}}
{{- $secret := include "estafette.secret.github" . -}}
- {name: ESTAFETTE_GITHUB_API_URL, value: {{ .Values.github.apiURL | quote }}}
- {name: ESTAFETTE_SERVER_URL, value: "http{{ if .Values.api.tls.enabled }}s{{ end }}://{{ tpl .Values.api.baseHost . }}"}
{{- if .Values.github.appId }}
- {name: ESTAFETTE_GITHUB_APP_ID, value: {{ .Values.github.appId | quote }}}
- {name: ESTAFETTE_GITHUB_APP_KEY_FILE, value: /run/github/appKey}
{{- else if $secret }}
- name: ESTAFETTE_GITHUB_TOKEN
  valueFrom: {secretKeyRef: {name: {{ $secret }}, key: token}}
{{- end }}
{{- end -}}

{{/* Takes the root: how the API server is reached, where pods do not know. */}}
{{- define "estafette.environment.cluster" -}}
{{- if .Values.kubeconfigSecret }}
- {name: KUBECONFIG, value: /run/kubernetes/kubeconfig}
{{- end }}
{{- end -}}

{{/* Takes the root: what job-dispatcher gives jobs. */}}
{{- define "estafette.environment.jobs" -}}
{{- $jobs := .Values.jobs -}}
- {name: ESTAFETTE_BUILDER_IMAGE, value: {{ include "estafette.image" (dict "root" . "image" $jobs.image) }}}
- {name: ESTAFETTE_BUILDER_SERVICE_ACCOUNT, value: {{ $jobs.serviceAccount.name }}}
- {name: ESTAFETTE_BUILDER_USER, value: {{ $jobs.user | int | quote }}}
- {name: ESTAFETTE_BUILDER_CPU, value: {{ $jobs.resources.requests.cpu | quote }}}
- {name: ESTAFETTE_BUILDER_MEMORY, value: {{ $jobs.resources.requests.memory | quote }}}
- {name: ESTAFETTE_BUILDER_CPU_LIMIT, value: {{ $jobs.resources.limits.cpu | quote }}}
- {name: ESTAFETTE_BUILDER_MEMORY_LIMIT, value: {{ $jobs.resources.limits.memory | quote }}}
- {name: ESTAFETTE_HOST_NETWORK, value: {{ $jobs.hostNetwork | quote }}}
- {name: ESTAFETTE_JOB_NATS_URL, value: {{ include "estafette.jobNatsURL" . | quote }}}
{{- with $jobs.placement }}
- {name: ESTAFETTE_JOB_PLACEMENT, value: {{ toJson . | quote }}}
{{- end }}
- {name: ESTAFETTE_RUN_NAMESPACE_ROLE, value: {{ .Values.jobs.runNamespaces.role }}}
- {name: ESTAFETTE_JOB_STAGE_RUNTIME, value: {{ $jobs.stageRuntime }}}
{{- if include "estafette.secret.nats" . }}
- {name: ESTAFETTE_NATS_JOBS_SEED_FILE, value: /run/nats/jobs.seed}
{{- end }}
{{- end -}}

{{/* Volumes of a service as a map of name to {volume, mountPath}, in YAML. Takes the values of the part besides. */}}
{{- define "estafette.volumes" -}}
{{- $root := .root -}}
{{- $full := include "estafette.name" . -}}
tmp: {mountPath: /tmp, volume: {emptyDir: {}}}
{{- if and (ne .name "web") (include "estafette.secret.nats" $root) }}
nats:
  mountPath: /run/nats
  volume:
    secret:
      secretName: {{ include "estafette.secret.nats" $root }}
      defaultMode: 0440
      items:
        - {key: services.creds, path: services.creds}
        {{- if eq .name "job-dispatcher" }}
        - {key: jobs.seed, path: jobs.seed}
        {{- end }}
{{- end }}
{{- if eq .name "manifest-planner" }}
cache: {mountPath: /cache, volume: {emptyDir: {sizeLimit: {{ .part.cacheSize }}}}}
{{- with include "estafette.secret.config" $root }}
configs: {mountPath: /configs, volume: {secret: {secretName: {{ . }}, defaultMode: 0440}}}
{{- end }}
{{- end }}
{{- if and (has .name (list "manifest-planner" "notifier")) $root.Values.github.appId }}
github: {mountPath: /run/github, volume: {secret: {secretName: {{ required "github.appKey or github.existingSecret: the App needs its private key" (include "estafette.secret.github" $root) }}, defaultMode: 0440, items: [{key: appKey, path: appKey}]}}}
{{- end }}
{{- if and (has .name (list "job-dispatcher" "hanging-job-cleaner")) $root.Values.kubeconfigSecret }}
kubernetes: {mountPath: /run/kubernetes, volume: {secret: {secretName: {{ $root.Values.kubeconfigSecret }}, defaultMode: 0440}}}
{{- end }}
{{- range .part.extraSecrets }}
{{- if .mountPath }}
secret-{{ .key }}: {mountPath: {{ .mountPath }}, volume: {secret: {secretName: {{ $full }}.{{ .key }}, defaultMode: 0440}}}
{{- end }}
{{- end }}
{{- range .part.extraConfigmaps }}
{{- if .mountPath }}
configmap-{{ .key }}: {mountPath: {{ .mountPath }}, volume: {configMap: {name: {{ $full }}.{{ .key }}}}}
{{- end }}
{{- end }}
{{- end -}}
