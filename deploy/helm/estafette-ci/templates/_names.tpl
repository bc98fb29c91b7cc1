{{/* Names. Every template takes (dict "root" $ "name" <part>) unless it says otherwise. */}}

{{/* Takes the root. */}}
{{- define "estafette.release" -}}
{{- .Values.fullnameOverride | default .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "estafette.name" -}}
{{- printf "%s-%s" (include "estafette.release" .root) .name -}}
{{- end -}}

{{- define "estafette.selector" -}}
app.kubernetes.io/name: estafette-ci
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .name }}
{{- end -}}

{{- define "estafette.labels" -}}
{{ include "estafette.selector" . }}
app.kubernetes.io/part-of: estafette-ci
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* The parts that are services of ours, each a Deployment. */}}
{{- define "estafette.parts" -}}
webhook-ingress cron-event-sender manifest-planner job-dispatcher hanging-job-cleaner log-sink notifier api web
{{- end -}}

{{/* The values of a part, with the defaults, as YAML. */}}
{{- define "estafette.part" -}}
{{- mergeOverwrite (deepCopy .root.Values.defaults) (deepCopy (index .root.Values .name)) | toYaml -}}
{{- end -}}

{{/* Takes root, kind, api with its newest version, since when Kubernetes has that, and the version before. */}}
{{- define "estafette.api" -}}
{{- $has := .root.Capabilities.APIVersions.Has (printf "%s/%s" .api .kind) -}}
{{- with .root.Values.kubeVersion -}}
{{- $has = semverCompare (printf ">=%s-0" $.since) . -}}
{{- end -}}
{{- ternary .api .before $has -}}
{{- end -}}

{{/* Takes root and image. */}}
{{- define "estafette.image" -}}
{{- printf "%s:%s" .image.repository (.image.tag | default .root.Values.imageTag | default .root.Chart.AppVersion) -}}
{{- end -}}

{{/* Takes the values of a part besides: the pull Secrets of its pods. Who has no credentials of its own has the api's. */}}
{{- define "estafette.pullSecrets" -}}
{{- $secrets := .part.imagePullSecrets | default list -}}
{{- $own := (.part.image.credentials | default dict).password -}}
{{- if or $own .root.Values.api.image.credentials -}}
{{- $secrets = append $secrets (dict "name" (printf "%s.registry" (ternary (include "estafette.name" .) (include "estafette.name" (dict "root" .root "name" "api")) (not (empty $own))))) -}}
{{- end -}}
{{- with $secrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "estafette.serviceAccount" -}}
{{- $part := include "estafette.part" . | fromYaml -}}
{{- $own := ternary (include "estafette.name" .) "default" $part.serviceAccount.create -}}
{{- $part.serviceAccount.name | default $own -}}
{{- end -}}

{{/* Takes the root. */}}
{{- define "estafette.jobsNamespace" -}}
{{- .Values.jobs.namespace | default (printf "%s-jobs" (.Release.Namespace | default "default")) -}}
{{- end -}}

{{/* Takes the root: where NATS is, for the services. */}}
{{- define "estafette.natsURL" -}}
{{- if .Values.queue.enabled -}}
nats://{{ include "estafette.release" . }}-queue:4222
{{- else -}}
{{- required "queue.external.url: say where NATS is, or set queue.enabled" .Values.queue.external.url -}}
{{- end -}}
{{- end -}}

{{/* Takes the root: where NATS is, for jobs, which are in another namespace. */}}
{{- define "estafette.jobNatsURL" -}}
{{- if .Values.queue.enabled -}}
nats://{{ include "estafette.release" . }}-queue.{{ .Release.Namespace }}.svc:4222
{{- else -}}
{{- .Values.queue.external.jobURL | default .Values.queue.external.url -}}
{{- end -}}
{{- end -}}

{{/* Names of the Secrets with keys, each made at the first installation or given. Each takes the root. */}}
{{- define "estafette.secret.manifests" -}}
{{- .Values.api.secret.existingSecret | default (include "estafette.name" (dict "root" . "name" "api")) -}}
{{- end -}}
{{- define "estafette.secret.webhooks" -}}
{{- (index .Values "webhook-ingress").secret.existingSecret | default (include "estafette.name" (dict "root" . "name" "webhook-ingress")) -}}
{{- end -}}
{{- define "estafette.secret.nats" -}}
{{- if .Values.queue.enabled -}}
{{- .Values.queue.auth.existingSecret | default (include "estafette.name" (dict "root" . "name" "queue")) -}}
{{- else -}}
{{- .Values.queue.external.existingSecret -}}
{{- end -}}
{{- end -}}
{{- define "estafette.secret.database" -}}
{{- if .Values.db.enabled -}}
{{- .Values.db.auth.existingSecret | default (include "estafette.name" (dict "root" . "name" "db")) -}}
{{- else -}}
{{- required "db.external.existingSecret: name a Secret with the key url, or set db.enabled" .Values.db.external.existingSecret -}}
{{- end -}}
{{- end -}}
{{- define "estafette.secret.github" -}}
{{- $given := or .Values.github.token .Values.github.appKey -}}
{{- .Values.github.existingSecret | default (ternary (include "estafette.name" (dict "root" . "name" "github")) "" (not (empty $given))) -}}
{{- end -}}
{{- define "estafette.secret.config" -}}
{{- $files := .Values.api.config.files -}}
{{- $given := or (index $files "config.yaml") (index $files "credentials.yaml") -}}
{{- .Values.api.config.existingSecret | default (ternary (include "estafette.name" (dict "root" . "name" "config")) "" (not (empty $given))) -}}
{{- end -}}
