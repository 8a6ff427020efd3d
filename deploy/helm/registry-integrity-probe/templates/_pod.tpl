{{- /* The pod template of every workload; the context is the chart's. */}}
{{- define "probe.pod" -}}
metadata:
  labels:
    {{- include "probe.selectorLabels" . | nindent 4 }}
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- if or .Values.podAnnotations (not .Values.existingConfigMap) }}
  annotations:
    {{- if not .Values.existingConfigMap }}
    # A changed configuration starts new pods.
    checksum/config: {{ toYaml .Values.config | sha256sum }}
    {{- end }}
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- end }}
spec:
  {{- if eq .Values.mode "sweep" }}
  restartPolicy: Never
  {{- end }}
  serviceAccountName: {{ include "probe.serviceAccountName" . }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    fsGroup: 65532
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile:
      type: RuntimeDefault
  containers:
    - name: probe
      image: {{ include "probe.image" . }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args:
        {{- include (printf "probe.%sArgs" .Values.mode) . | nindent 8 }}
        {{- with .Values.extraArgs }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- $env := include "probe.env" . }}
      {{- if $env }}
      env:
        {{- trim $env | nindent 8 }}
      {{- end }}
      {{- if eq .Values.mode "serve" }}
      ports:
        - {name: http, containerPort: 10500, protocol: TCP}
      readinessProbe:
        {{- if .Values.serve.webConfigSecret }}
        tcpSocket: {port: http}
        {{- else }}
        httpGet: {path: {{ include "probe.prefix" . }}/-/ready, port: http}
        {{- end }}
        periodSeconds: 10
        timeoutSeconds: 5
      livenessProbe:
        {{- if .Values.serve.webConfigSecret }}
        tcpSocket: {port: http}
        {{- else }}
        httpGet: {path: {{ include "probe.prefix" . }}/-/healthy, port: http}
        {{- end }}
        periodSeconds: 20
        timeoutSeconds: 5
        failureThreshold: 3
      {{- end }}
      resources:
        {{- toYaml .Values.resources | nindent 8 }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: {drop: [ALL]}
      volumeMounts:
        - {name: config, mountPath: /etc/probe, readOnly: true}
        {{- if eq .Values.mode "serve" }}
        {{- if .Values.serve.webConfigSecret }}
        - {name: web-config, mountPath: /etc/probe-web, readOnly: true}
        {{- end }}
        {{- end }}
        {{- if .Values.storage.enabled }}
        - {name: state, mountPath: /var/lib/probe}
        {{- end }}
        {{- with .Values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    # One directory, so that the configuration can refer to the Secret's keys as files next to it.
    - name: config
      projected:
        defaultMode: 288 # r--r-----
        sources:
          - configMap: {name: {{ include "probe.configMap" . }}}
          - secret: {name: {{ include "probe.credentialsSecret" . }}, optional: true}
    {{- if eq .Values.mode "serve" }}
    {{- with .Values.serve.webConfigSecret }}
    - name: web-config
      secret: {secretName: {{ . }}, defaultMode: 288} # r--r-----
    {{- end }}
    {{- end }}
    {{- if and .Values.storage.enabled (not (include "probe.stateful" .)) }}
    - name: state
      persistentVolumeClaim: {claimName: {{ default (include "probe.fullname" .) .Values.storage.existingClaim }}}
    {{- end }}
    {{- with .Values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- range $key := list "nodeSelector" "tolerations" "affinity" "topologySpreadConstraints" }}
  {{- with index $.Values $key }}
  {{ $key }}:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- end }}
{{- end }}

{{- define "probe.serveArgs" -}}
- serve
- --config.file=/etc/probe/config.yaml
{{- if gt (int .Values.shards) 1 }}
- --shard.count={{ int .Values.shards }}
{{- end }}
{{- if .Values.storage.enabled }}
- --storage.path=/var/lib/probe
{{- end }}
{{- if .Values.serve.webConfigSecret }}
- --web.config.file=/etc/probe-web/web.yaml
{{- end }}
{{- with .Values.serve.externalUrl }}
- --web.external-url={{ . }}
{{- end }}
{{- if .Values.serve.enableLifecycle }}
- --web.enable-lifecycle
{{- end }}
{{- end }}

{{- define "probe.sweepArgs" -}}
- sweep
- --config.file=/etc/probe/config.yaml
- --push.gateway=$(PUSH_GATEWAY)
{{- if gt (int .Values.shards) 1 }}
- --shard.count={{ int .Values.shards }}
{{- end }}
{{- if .Values.storage.enabled }}
{{- /* The pods of an Indexed Job share one volume, in which each has a directory. */}}
- --storage.path=/var/lib/probe{{ if gt (int .Values.shards) 1 }}/$(JOB_COMPLETION_INDEX){{ end }}
{{- end }}
{{- end }}

{{- define "probe.env" -}}
{{- if eq .Values.mode "sweep" }}
- name: PUSH_GATEWAY
  {{- if .Values.sweep.pushGateway.url }}
  value: {{ .Values.sweep.pushGateway.url | quote }}
  {{- else }}
  valueFrom:
    secretKeyRef: {name: {{ include "probe.credentialsSecret" . }}, key: {{ .Values.sweep.pushGateway.secretKey }}}
  {{- end }}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}
