{{- /* Settings every process has; their checksum is in the pods' annotations. */ -}}
{{- define "attrikit.settings" -}}
ATTRIKIT_HOST: "0.0.0.0"
ATTRIKIT_LOG_LEVEL: {{ .Values.logLevel | quote }}
ATTRIKIT_PARTITIONS: {{ .Values.partitions | quote }}
{{- with .Values.traces.endpoint }}
ATTRIKIT_TRACES_ENDPOINT: {{ . | quote }}
ATTRIKIT_TRACES_SAMPLE_RATIO: {{ $.Values.traces.sampleRatio | quote }}
{{- end }}
{{- range $name, $value := .Values.settings }}
{{ $name }}: {{ $value | quote }}
{{- end }}
{{- end -}}

{{- /* The environment of one process: `root`, `needs`, and `migrates` where the role of migrations is to be used. */ -}}
{{- define "attrikit.env" -}}
{{- $root := .root -}}
{{- $v := .root.Values -}}
{{- if has "kafka" .needs }}
- {name: ATTRIKIT_KAFKA_BOOTSTRAP, value: {{ include "attrikit.kafkaBootstrap" $root | quote }}}
- {name: ATTRIKIT_REPLICATION_FACTOR, value: {{ ternary 1 $v.kafka.replicationFactor (and $v.evaluation.enabled (not $v.kafka.bootstrap)) | quote }}}
- {name: ATTRIKIT_MIN_INSYNC_REPLICAS, value: {{ ternary 1 $v.kafka.minInsyncReplicas (and $v.evaluation.enabled (not $v.kafka.bootstrap)) | quote }}}
- {name: ATTRIKIT_KAFKA_SECURITY_PROTOCOL, value: {{ $v.kafka.securityProtocol | quote }}}
{{- if hasPrefix "SASL_" $v.kafka.securityProtocol }}
- {name: ATTRIKIT_KAFKA_SASL_MECHANISM, value: {{ $v.kafka.saslMechanism | quote }}}
- {name: ATTRIKIT_KAFKA_USERNAME, value: {{ $v.kafka.username | quote }}}
{{- if $v.kafka.existingSecret }}
- {name: ATTRIKIT_KAFKA_PASSWORD_FILE, value: /run/secrets/attrikit/kafka-password}
{{- end }}
{{- end }}
{{- if $v.kafka.caSecret }}
- {name: ATTRIKIT_KAFKA_CA_PATH, value: /run/secrets/attrikit/kafka-ca.crt}
{{- end }}
{{- if $v.kafka.clientSecret }}
- {name: ATTRIKIT_KAFKA_CERTIFICATE_PATH, value: /run/secrets/attrikit/kafka-client.crt}
- {name: ATTRIKIT_KAFKA_KEY_PATH, value: /run/secrets/attrikit/kafka-client.key}
{{- end }}
{{- end }}
{{- range $store, $setting := dict "clickhouse" "ATTRIKIT_CLICKHOUSE_URL" "postgres" "ATTRIKIT_CONTROL_PLANE_URL" "redis" "ATTRIKIT_QUOTA_REDIS_URL" }}
{{- if has $store $.needs }}
{{- if include "attrikit.storeSecret" (dict "root" $root "store" $store) }}
- {name: {{ $setting }}_FILE, value: /run/secrets/attrikit/{{ $store }}-url}
{{- else if (get $v $store).url }}
- {name: {{ $setting }}, value: {{ (get $v $store).url | quote }}}
{{- end }}
{{- end }}
{{- end }}
{{- if and (has "clickhouse" .needs) $v.clickhouse.cluster }}
- {name: ATTRIKIT_CLICKHOUSE_CLUSTER, value: {{ $v.clickhouse.cluster | quote }}}
- {name: ATTRIKIT_CLICKHOUSE_SHARDED, value: {{ $v.clickhouse.sharded | quote }}}
{{- end }}
{{- range $need, $setting := dict "webhookKey" "ATTRIKIT_WEBHOOK_KEY" "operator" "ATTRIKIT_OPERATOR_TOKEN" "metrics" "ATTRIKIT_METRICS_TOKEN" }}
{{- if has $need $.needs }}
- {name: {{ $setting }}_FILE, value: /run/secrets/attrikit/{{ $need }}}
{{- end }}
{{- end }}
{{- if and (has "exports" .needs) $v.exports.url }}
- {name: ATTRIKIT_EXPORT_URL, value: {{ $v.exports.url | quote }}}
{{- end }}
{{- end -}}

{{- /* Sources of the secrets volume of one process, as files of one folder. */ -}}
{{- define "attrikit.secretSources" -}}
{{- $root := .root -}}
{{- $v := .root.Values -}}
{{- if has "kafka" .needs }}
{{- if and (hasPrefix "SASL_" $v.kafka.securityProtocol) $v.kafka.existingSecret }}
- secret: {name: {{ $v.kafka.existingSecret }}, items: [{key: {{ $v.kafka.passwordKey }}, path: kafka-password}]}
{{- end }}
{{- if $v.kafka.caSecret }}
- secret: {name: {{ $v.kafka.caSecret }}, items: [{key: {{ $v.kafka.caKey }}, path: kafka-ca.crt}]}
{{- end }}
{{- if $v.kafka.clientSecret }}
- secret:
    name: {{ $v.kafka.clientSecret }}
    items:
      - {key: {{ $v.kafka.certificateKey }}, path: kafka-client.crt}
      - {key: {{ $v.kafka.privateKeyKey }}, path: kafka-client.key}
{{- end }}
{{- end }}
{{- range $store := list "clickhouse" "postgres" "redis" }}
{{- $secret := include "attrikit.storeSecret" (dict "root" $root "store" $store) }}
{{- if and (eq $store "postgres") $.migrates $v.postgres.migrationsSecret }}
{{- $secret = $v.postgres.migrationsSecret }}
{{- end }}
{{- if and (has $store $.needs) $secret }}
- secret: {name: {{ $secret }}, items: [{key: {{ (get $v $store).urlKey }}, path: {{ $store }}-url}]}
{{- end }}
{{- end }}
{{- range $need, $key := dict "webhookKey" "webhook-key" "operator" "operator-token" "metrics" "metrics-token" }}
{{- if has $need $.needs }}
- secret: {name: {{ $v.existingSecret }}, items: [{key: {{ $key }}, path: {{ $need }}}]}
{{- end }}
{{- end }}
{{- end -}}

{{- define "attrikit.secretsVolume" -}}
{{- $sources := include "attrikit.secretSources" . -}}
- name: {{ .name }}
{{- if trim $sources }}
  projected:
    defaultMode: 0440
    sources:
      {{- $sources | nindent 6 }}
{{- else }}
  emptyDir: {sizeLimit: 1Mi}
{{- end }}
{{- end -}}

{{- define "attrikit.mounts" -}}
- {name: {{ .secrets }}, mountPath: /run/secrets/attrikit, readOnly: true}
- {name: data, mountPath: /var/lib/attrikit}
- {name: tmp, mountPath: /tmp}
{{- end -}}

{{- /* The pod of one process: `root`, `name`, `process`. */ -}}
{{- define "attrikit.pod" -}}
{{- $root := .root -}}
{{- $v := .root.Values -}}
{{- $one := get $v .name -}}
{{- $process := .process -}}
metadata:
  labels:
    {{- include "attrikit.labels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ .name }}
  annotations:
    checksum/settings: {{ include "attrikit.settings" $root | sha256sum | trunc 16 }}
    {{- with $one.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "attrikit.serviceAccount" $root }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ $one.terminationGracePeriodSeconds }}
  securityContext:
    {{- include "attrikit.podSecurity" $root | nindent 4 }}
  {{- with $v.imagePullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . }}
    {{- end }}
  {{- end }}
  {{- if $v.migrations.enabled }}
  initContainers:
    - name: wait-for-migrations
      image: {{ include "attrikit.image" $root }}
      imagePullPolicy: {{ $v.image.pullPolicy }}
      args: [migrate, --wait]
      envFrom:
        - configMapRef: {name: {{ include "attrikit.fullname" $root }}}
      env:
        {{- include "attrikit.env" (dict "root" $root "needs" (list "kafka" "clickhouse" "postgres")) | nindent 8 }}
      securityContext:
        {{- include "attrikit.containerSecurity" $root | nindent 8 }}
      resources:
        requests: {cpu: 50m, memory: 128Mi}
        limits: {memory: 384Mi}
      volumeMounts:
        {{- include "attrikit.mounts" (dict "secrets" "migration-secrets") | nindent 8 }}
  {{- end }}
  containers:
    - name: {{ .name }}
      image: {{ include "attrikit.image" $root }}
      imagePullPolicy: {{ $v.image.pullPolicy }}
      args: {{ toJson $process.args }}
      ports:
        - {name: http, containerPort: {{ $process.port }}}
      envFrom:
        - configMapRef: {name: {{ include "attrikit.fullname" $root }}}
        {{- if and (has "exports" $process.needs) $v.exports.existingSecret }}
        - secretRef: {name: {{ $v.exports.existingSecret }}}
        {{- end }}
      env:
        - {name: {{ $process.portSetting }}, value: {{ $process.port | quote }}}
        {{- include "attrikit.env" (dict "root" $root "needs" $process.needs) | nindent 8 }}
        {{- if has .name (list "gateway" "console") }}
        - {name: ATTRIKIT_QUERY_URL, value: http://{{ include "attrikit.fullname" $root }}-query:8000}
        {{- end }}
        {{- if eq .name "console" }}
        - {name: ATTRIKIT_GATEWAY_URL, value: http://{{ include "attrikit.fullname" $root }}-gateway:8000}
        {{- end }}
        {{- if eq .name "gateway" }}
        - {name: ATTRIKIT_TRUSTED_PROXIES, value: {{ $v.gateway.trustedProxies | quote }}}
        {{- end }}
        {{- if eq .name "query" }}
        # Requests come through the gateway, which has counted them.
        - {name: ATTRIKIT_COUNT_REQUESTS, value: "false"}
        {{- end }}
        {{- if and (has .name (list "webhooks" "console")) $v.webhooks.allowedNetworks }}
        - {name: ATTRIKIT_WEBHOOK_ALLOWED_NETWORKS, value: {{ join "," $v.webhooks.allowedNetworks | quote }}}
        {{- end }}
        {{- range $setting, $value := $one.settings }}
        - {name: {{ $setting }}, value: {{ $value | quote }}}
        {{- end }}
      lifecycle:
        preStop: {sleep: {seconds: {{ $v.preStopSleepSeconds }}}}
      startupProbe:
        httpGet: {path: /healthz, port: http}
        periodSeconds: 5
        failureThreshold: 60
      livenessProbe:
        httpGet: {path: /healthz, port: http}
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 3
      readinessProbe:
        httpGet: {path: /readyz, port: http}
        periodSeconds: 5
        timeoutSeconds: 5
        failureThreshold: 3
      securityContext:
        {{- include "attrikit.containerSecurity" $root | nindent 8 }}
      resources:
        {{- toYaml $one.resources | nindent 8 }}
      volumeMounts:
        {{- include "attrikit.mounts" (dict "secrets" "secrets") | nindent 8 }}
  volumes:
    {{- include "attrikit.secretsVolume" (dict "root" $root "needs" $process.needs "name" "secrets") | nindent 4 }}
    {{- if $v.migrations.enabled }}
    {{- include "attrikit.secretsVolume" (dict "root" $root "needs" (list "kafka" "clickhouse" "postgres") "name" "migration-secrets") | nindent 4 }}
    {{- end }}
    - name: tmp
      emptyDir: {sizeLimit: 1Gi}
    {{- if ne .name "stream" }}
    - name: data
      emptyDir: {sizeLimit: 2Gi}
    {{- end }}
  topologySpreadConstraints:
    {{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
    - maxSkew: 1
      topologyKey: {{ $key }}
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "attrikit.selector" $root | nindent 10 }}
          app.kubernetes.io/component: {{ $.name }}
    {{- end }}
  {{- range $field := list "nodeSelector" "tolerations" "affinity" }}
  {{- with get $one $field }}
  {{ $field }}:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- end }}
{{- end -}}
