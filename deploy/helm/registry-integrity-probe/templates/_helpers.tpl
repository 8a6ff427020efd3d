{{- define "probe.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 52 | trimSuffix "-" }}
{{- end }}

{{- /* At most 52 characters, because Kubernetes adds eleven to a CronJob's name. */}}
{{- define "probe.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" }}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "probe.selectorLabels" -}}
app.kubernetes.io/name: {{ include "probe.name" . }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: {{ .Values.mode }}
{{- end }}

{{- define "probe.labels" -}}
{{ include "probe.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "probe.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "probe.fullname" .) .Values.serviceAccount.name }}
{{- else -}}
{{- default "default" .Values.serviceAccount.name }}
{{- end -}}
{{- end }}

{{- define "probe.image" -}}
{{- .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- with .Values.image.digest }}@{{ . }}{{ end }}
{{- end }}

{{- define "probe.configMap" -}}
{{- default (include "probe.fullname" .) .Values.existingConfigMap }}
{{- end }}

{{- define "probe.credentialsSecret" -}}
{{- default (include "probe.fullname" .) .Values.credentialsSecret }}
{{- end }}

{{- define "probe.stateful" -}}
{{- if and (eq .Values.mode "serve") (gt (int .Values.shards) 1) -}}true{{- end -}}
{{- end }}

{{- define "probe.monitoredEndpoint" -}}
port: http
path: {{ include "probe.prefix" .chart }}/metrics
interval: {{ .monitor.interval }}
{{- with .monitor.scrapeTimeout }}
scrapeTimeout: {{ . }}
{{- end }}
{{- with .monitor.endpoint }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* The port of a URL, or the default port of its scheme. */}}
{{- define "probe.port" -}}
{{- $url := urlParse . -}}
{{- $port := regexFind ":[0-9]+$" $url.host | trimPrefix ":" -}}
{{- if $port }}{{ $port }}{{ else if eq $url.scheme "http" }}80{{ else if hasPrefix "socks5" $url.scheme }}1080{{ else }}443{{ end -}}
{{- end }}

{{- /* Reject contradictory values before anything is installed. */}}
{{- define "probe.check" -}}
{{- if and (not .Values.existingConfigMap) (not .Values.config.registries) }}
{{- fail "config.registries is empty: name at least one registry, such as --set 'config.registries[0].url=https://registry.example.com', or set existingConfigMap" }}
{{- end }}
{{- if and .Values.storage.enabled .Values.storage.existingClaim (include "probe.stateful" .) }}
{{- fail "storage.existingClaim is one volume, and each of several shards that serve needs its own: leave it empty" }}
{{- end }}
{{- if and .Values.serviceMonitor.enabled .Values.podMonitor.enabled }}
{{- fail "serviceMonitor and podMonitor would scrape every pod twice: enable one of them" }}
{{- end }}
{{- end }}

{{- /* The path prefix of every route. */}}
{{- define "probe.prefix" -}}
{{- with .Values.serve.externalUrl }}{{ (urlParse .).path | trimSuffix "/" }}{{ end -}}
{{- end }}
