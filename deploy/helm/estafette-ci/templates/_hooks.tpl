{{/* What is made before anything of the release, and is gone after. */}}

{{/* Takes the weight. */}}
{{- define "estafette.hook" -}}
helm.sh/hook: pre-install,pre-upgrade
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}

{{/* Takes root, name and part: the pull Secrets of the pods of a hook, which has one of its own. */}}
{{- define "estafette.hookPullSecrets" -}}
{{- $secrets := .part.imagePullSecrets | default list -}}
{{- if or .part.image.credentials .root.Values.api.image.credentials -}}
{{- $secrets = append $secrets (dict "name" (printf "%s.registry" (include "estafette.name" .))) -}}
{{- end -}}
{{- with $secrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
