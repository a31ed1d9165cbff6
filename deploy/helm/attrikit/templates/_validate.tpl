{{- /* What the schema cannot say. Fails the rendering with a message for the person who wrote the values. */ -}}
{{- define "attrikit.validate" -}}
{{- $v := .Values -}}
{{- if not (include "attrikit.kafkaBootstrap" .) -}}
{{- fail "kafka.bootstrap: give the brokers' addresses (or evaluation.enabled=true, to look at the product)" -}}
{{- end -}}
{{- range $store := list "clickhouse" "postgres" -}}
{{- if not (or (get $v $store).url (include "attrikit.storeSecret" (dict "root" $ "store" $store))) -}}
{{- fail (printf "%s.url or %s.existingSecret: give one (or evaluation.enabled=true, to look at the product)" $store $store) -}}
{{- end -}}
{{- end -}}
{{- if and $v.clickhouse.sharded (not $v.clickhouse.cluster) -}}
{{- fail "clickhouse.cluster: give the name of the cluster whose shards are meant by clickhouse.sharded" -}}
{{- end -}}
{{- range $name := list "stream" "loader" -}}
{{- $one := get $v $name -}}
{{- $most := ternary $one.keda.maxReplicas $one.replicas $one.keda.enabled -}}
{{- if gt (int $most) (int $v.partitions) -}}
{{- fail (printf "%s: %d replicas of %d partitions; the rest would have nothing to do" $name (int $most) (int $v.partitions)) -}}
{{- end -}}
{{- if and $one.keda.enabled (gt (int $one.keda.minReplicas) (int $one.keda.maxReplicas)) -}}
{{- fail (printf "%s.keda: minReplicas is more than maxReplicas" $name) -}}
{{- end -}}
{{- end -}}
{{- range $name := list "gateway" "query" -}}
{{- $one := get $v $name -}}
{{- if and $one.autoscaling.enabled (gt (int $one.autoscaling.minReplicas) (int $one.autoscaling.maxReplicas)) -}}
{{- fail (printf "%s.autoscaling: minReplicas is more than maxReplicas" $name) -}}
{{- end -}}
{{- end -}}
{{- $queries := ternary $v.query.autoscaling.maxReplicas $v.query.replicas $v.query.autoscaling.enabled -}}
{{- if and (gt (int $queries) 1) (not $v.exports.url) -}}
{{- fail "exports.url: several query pods need a store that they share: s3://bucket/prefix" -}}
{{- end -}}
{{- if and (hasPrefix "SASL_" $v.kafka.securityProtocol) (ne $v.kafka.saslMechanism "OAUTHBEARER") (not (and $v.kafka.username $v.kafka.existingSecret)) -}}
{{- fail "kafka.username and kafka.existingSecret: needed for SASL" -}}
{{- end -}}
{{- if lt (int $v.kafka.replicationFactor) (int $v.kafka.minInsyncReplicas) -}}
{{- fail "kafka.minInsyncReplicas is more than kafka.replicationFactor: no event could be written" -}}
{{- end -}}
{{- if and $v.backup.enabled (not $v.backup.url) -}}
{{- fail "backup.url: give the place of the backups: s3://bucket/prefix" -}}
{{- end -}}
{{- end -}}
