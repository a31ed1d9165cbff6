# Start Kafka as its official image does: each KAFKA_… variable is a line of the configuration.
set -euf
config=/opt/kafka/config/server.properties
env | sed -n 's/^KAFKA_\([A-Z_]*\)=\(.*\)/\1 \2/p' | while read -r name value; do
  echo "$(echo "$name" | tr 'A-Z_' 'a-z.')=$value"
done > $config
cat >> $config <<END
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
offsets.topic.num.partitions=4
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
log.cleaner.dedupe.buffer.size=16777216
group.initial.rebalance.delay.ms=0
END
java="java -Xms128m -Xmx512m -Dlog4j2.configurationFile=/opt/kafka/config/log4j2.properties -cp /opt/kafka/libs/*"
[ -e /var/lib/kafka/data/meta.properties ] ||
  $java kafka.tools.StorageTool format --cluster-id=MkU3OEVBNTcwNTJENDM2Qg -c $config
exec $java kafka.Kafka $config
