{{- define "attrikit.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "attrikit.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "attrikit.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "attrikit.selector" -}}
app.kubernetes.io/name: {{ include "attrikit.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "attrikit.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: attrikit
{{ include "attrikit.selector" . }}
{{- end -}}

{{- define "attrikit.image" -}}
{{- $image := .Values.image -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ default .Chart.AppVersion $image.tag }}
{{- end -}}
{{- end -}}

{{- define "attrikit.serviceAccount" -}}
{{- default (include "attrikit.fullname" .) .Values.serviceAccount.name -}}
{{- end -}}

{{- /* Whether a store's URL comes out of a Secret, and of which. */ -}}
{{- define "attrikit.storeSecret" -}}
{{- $store := get .root.Values .store -}}
{{- if $store.existingSecret -}}
{{- $store.existingSecret -}}
{{- else if and .root.Values.evaluation.enabled (not $store.url) -}}
{{- .root.Values.existingSecret -}}
{{- end -}}
{{- end -}}

{{- define "attrikit.kafkaBootstrap" -}}
{{- if .Values.kafka.bootstrap -}}
{{- .Values.kafka.bootstrap -}}
{{- else if .Values.evaluation.enabled -}}
{{- include "attrikit.fullname" . }}-kafka:9092
{{- end -}}
{{- end -}}

{{- define "attrikit.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "attrikit.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- /* The processes: command, where they listen, and what each needs to reach or know. */ -}}
{{- define "attrikit.processes" -}}
gateway: {args: [gateway], port: 8000, portSetting: ATTRIKIT_PORT, needs: [kafka, postgres, redis, metrics]}
query: {args: [query], port: 8000, portSetting: ATTRIKIT_PORT, needs: [clickhouse, postgres, webhookKey, operator, metrics, exports]}
stream: {args: [worker], port: 8080, portSetting: ATTRIKIT_WORKER_PORT, needs: [kafka, postgres]}
loader: {args: [loader], port: 8080, portSetting: ATTRIKIT_LOADER_PORT, needs: [kafka, clickhouse]}
{{- if .Values.webhooks.enabled }}
webhooks: {args: [webhooks, serve], port: 8080, portSetting: ATTRIKIT_WEBHOOKS_PORT, needs: [kafka, postgres, webhookKey]}
{{- end }}
{{- if .Values.alerts.enabled }}
alerts: {args: [alerts, serve], port: 8080, portSetting: ATTRIKIT_ALERTS_PORT, needs: [kafka, clickhouse, postgres]}
{{- end }}
{{- if .Values.console.enabled }}
console: {args: [console], port: 8000, portSetting: ATTRIKIT_CONSOLE_PORT, needs: [kafka, postgres, webhookKey, operator, metrics]}
{{- end }}
{{- end -}}
