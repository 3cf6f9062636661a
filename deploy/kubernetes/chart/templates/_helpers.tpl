{{- define "hallmark.labels" -}}
app.kubernetes.io/name: hallmark
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "hallmark.selector" -}}
app.kubernetes.io/name: hallmark
{{- end }}

{{/* A claim for each replica. */}}
{{- define "hallmark.claims" -}}
{{- if or .Values.persistence.enabled .Values.dataDir.enabled }}yes{{ end -}}
{{- end }}

{{/* A key of a ConfigMap holds no slash. */}}
{{- define "hallmark.key" -}}
{{ replace "/" "__" . }}
{{- end }}
