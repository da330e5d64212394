{{- define "web.labels" -}}
app: {{ .Chart.Name }}
release: {{ .Release.Name | trunc 63 | trimSuffix "-" }}
{{- end }}
