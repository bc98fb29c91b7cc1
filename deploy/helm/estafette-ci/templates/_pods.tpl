{{/* Pieces of pods. */}}

{{/* Takes root, name and pod (its values): where it may run. */}}
{{- define "estafette.placement" -}}
{{- with .pod.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .pod.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .pod.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
{{- if .pod.topologySpreadConstraints }}
  {{- toYaml .pod.topologySpreadConstraints | nindent 2 }}
{{- else }}
{{- range $key := list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ $key }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "estafette.selector" $ | nindent 8 }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Takes root and given: a list, or a text that gives one, in which templates are filled in. */}}
{{- define "estafette.extra" -}}
{{- if kindIs "string" .given -}}
{{- tpl .given .root -}}
{{- else if .given -}}
{{- tpl (toYaml .given) .root -}}
{{- end -}}
{{- end -}}

{{/* Takes root and name: changes when what a part is given in Secrets and ConfigMaps of this chart does. */}}
{{- define "estafette.checksum" -}}
{{- $values := .root.Values -}}
{{- $part := index $values .name -}}
{{- $given := list $part.extraSecrets $part.extraConfigmaps -}}
{{- if has .name (list "manifest-planner" "notifier") -}}
{{- $given = append $given (list $values.api.config.files $values.github) -}}
{{- end -}}
{{- $given | toJson | sha256sum -}}
{{- end -}}

{{/* What containers of the chart's own may do: nothing beside their work. */}}
{{- define "estafette.confined" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* Takes the user's id. */}}
{{- define "estafette.confinedPod" -}}
runAsNonRoot: true
runAsUser: {{ . }}
runAsGroup: {{ . }}
fsGroup: {{ . }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{/* Takes root, name and part: a container that brings the schema up to date, by the image of the part. */}}
{{- define "estafette.migrating" -}}
- name: migrate
  image: {{ include "estafette.image" (dict "root" .root "image" .part.image) }}
  imagePullPolicy: {{ .part.image.pullPolicy }}
  command: [python, -P, -m, estafette_common.database]
  env:
    {{- include "estafette.environment.database" .root | nindent 4 }}
  resources: {{- toYaml (index .root.Values "db-migrator").resources | nindent 4 }}
  securityContext: {{- include "estafette.confined" . | nindent 4 }}
{{- end -}}

{{/* Takes size, storageClass and accessMode: the spec of a PersistentVolumeClaim. */}}
{{- define "estafette.claim" -}}
accessModes: [{{ .accessMode | default "ReadWriteOnce" }}]
{{- with .storageClass }}
storageClassName: {{ . }}
{{- end }}
resources: {requests: {storage: {{ .size }}}}
{{- end -}}

{{/* Takes the root: image, settings and limits of a container with PostgreSQL's programs, signed in to the database. */}}
{{- define "estafette.client" -}}
image: {{ include "estafette.image" (dict "root" . "image" .Values.db.image) }}
imagePullPolicy: {{ .Values.db.image.pullPolicy }}
env:
  {{- if .Values.db.enabled }}
  - {name: PGHOST, value: {{ include "estafette.release" . }}-db-public}
  - {name: PGUSER, value: estafette}
  - {name: PGDATABASE, value: estafette}
  - name: PGPASSWORD
    valueFrom: {secretKeyRef: {name: {{ include "estafette.secret.database" . }}, key: password}}
  {{- else }}
  {{- include "estafette.environment.database" . | nindent 2 }}
  {{- end }}
resources: {requests: {cpu: 20m, memory: 64Mi}, limits: {memory: 512Mi}}
securityContext: {{- include "estafette.confined" . | nindent 2 }}
{{- end -}}
