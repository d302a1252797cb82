// The Java clients against a broker: topics, produce, consume, groups, admin.
// Usage: Clients BOOTSTRAP PREFIX [SCENARIO]...

import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.admin.GroupListing;
import org.apache.kafka.clients.admin.ListOffsetsResult;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.CooperativeStickyAssignor;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.RangeAssignor;
import org.apache.kafka.clients.consumer.StickyAssignor;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.GroupState;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

public final class Clients {
    private final String bootstrap;
    private final Admin admin;

    private Clients(String bootstrap) {
        this.bootstrap = bootstrap;
        this.admin = Admin.create(Map.of("bootstrap.servers", bootstrap, "metadata.max.age.ms", 500));
    }

    public static void main(String[] arguments) {
        if (arguments.length < 2) {
            System.err.println("usage: Clients BOOTSTRAP PREFIX [SCENARIO]...");
            System.exit(2);
        }
        Clients clients = new Clients(arguments[0]);
        List<Check.Named> scenarios = List.of(
            new Check.Named("topics", clients::topics),
            new Check.Named("acks", clients::acks),
            new Check.Named("codecs", clients::codecs),
            new Check.Named("idempotent", clients::idempotent),
            new Check.Named("too_large", clients::tooLarge),
            new Check.Named("groups", clients::groups),
            new Check.Named("resume", clients::resume),
            new Check.Named("configs", clients::configs),
            new Check.Named("offsets", clients::offsets),
            new Check.Named("records", clients::records),
            new Check.Named("group_admin", clients::groupAdmin),
            new Check.Named("cluster", clients::cluster));
        List<String> chosen = Arrays.asList(arguments).subList(2, arguments.length);
        int status = Check.run(scenarios, arguments[1], chosen);
        clients.admin.close();
        System.exit(status);
    }

    private void create(String name, int partitions) throws Exception {
        NewTopic topic = new NewTopic(name, Optional.of(partitions), Optional.empty());
        admin.createTopics(List.of(topic)).all().get();
    }

    private KafkaProducer<byte[], byte[]> producer(Map<String, Object> settings) {
        Map<String, Object> all = new HashMap<>(settings);
        all.put("bootstrap.servers", bootstrap);
        return new KafkaProducer<>(all, new ByteArraySerializer(), new ByteArraySerializer());
    }

    /** Sends and waits for every answer; gives the offsets in the order of sending. */
    private List<Long> send(List<ProducerRecord<byte[], byte[]>> sent, Map<String, Object> settings)
            throws Exception {
        List<Long> offsets = new ArrayList<>();
        try (KafkaProducer<byte[], byte[]> producer = producer(settings)) {
            List<Future<RecordMetadata>> answers = new ArrayList<>();
            for (ProducerRecord<byte[], byte[]> record : sent) {
                answers.add(producer.send(record));
            }
            producer.flush();
            for (Future<RecordMetadata> answer : answers) {
                offsets.add(answer.get().offset());
            }
        }
        return offsets;
    }

    private KafkaConsumer<byte[], byte[]> consumer(String group, Map<String, Object> settings) {
        Map<String, Object> all = new HashMap<>();
        all.put("bootstrap.servers", bootstrap);
        all.put("auto.offset.reset", "earliest");
        all.put("enable.auto.commit", false);
        all.put("session.timeout.ms", 10_000);
        all.put("heartbeat.interval.ms", 300);
        if (group != null) {
            all.put("group.id", group);
        }
        all.putAll(settings);
        return new KafkaConsumer<>(all, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    /** The next `count` records. */
    private static List<ConsumerRecord<byte[], byte[]>> take(KafkaConsumer<byte[], byte[]> consumer, int count)
            throws Exception {
        List<ConsumerRecord<byte[], byte[]>> taken = new ArrayList<>();
        Check.until(() -> {
            consumer.poll(Duration.ofMillis(200)).forEach(taken::add);
            return taken.size() >= count;
        }, count + " records");
        return taken;
    }

    private List<ConsumerRecord<byte[], byte[]>> read(TopicPartition part, long offset, int count)
            throws Exception {
        try (KafkaConsumer<byte[], byte[]> consumer = consumer(null, Map.of())) {
            consumer.assign(List.of(part));
            consumer.seek(part, offset);
            return take(consumer, count);
        }
    }

    private void topics(String name) throws Exception {
        NewTopic topic = new NewTopic(name, Map.of(0, List.of(node()), 1, List.of(node()), 2, List.of(node())));
        admin.createTopics(List.of(topic.configs(Map.of("retention.ms", "3600000")))).all().get();
        TopicDescription found = admin.describeTopics(List.of(name)).allTopicNames().get().get(name);
        Check.equal(found.partitions().size(), 3, "partitions");
        Check.equal(found.partitions().get(1).leader().id(), node(), "leader");
        Check.equal(found.partitions().get(1).isr().size(), 1, "in-sync replicas");
        fails(TopicExistsException.class, () -> create(name, 1), "creating a topic twice");
        admin.createPartitions(Map.of(name, NewPartitions.increaseTo(5))).all().get();
        Check.until(() -> admin.describeTopics(List.of(name)).allTopicNames().get().get(name)
            .partitions().size() == 5, "5 partitions");
        Check.truth(admin.listTopics().names().get().contains(name), "the topic is listed");
        admin.deleteTopics(List.of(name)).all().get();
        Check.until(() -> !admin.listTopics().names().get().contains(name), "the topic is gone");
        fails(UnknownTopicOrPartitionException.class, () -> admin.describeTopics(List.of(name))
            .allTopicNames().get(), "describing a deleted topic");
    }

    private int node() throws Exception {
        return admin.describeCluster().nodes().get().iterator().next().id();
    }

    private interface Attempt {
        void run() throws Exception;
    }

    private static void fails(Class<? extends Exception> wanted, Attempt attempt, String what)
            throws Exception {
        try {
            attempt.run();
        } catch (ExecutionException error) {
            Check.equal(error.getCause().getClass(), wanted, what);
            return;
        }
        throw new AssertionError(what + " did not fail");
    }

    private void acks(String name) throws Exception {
        create(name, 1);
        List<ProducerRecord<byte[], byte[]>> sent = Check.samples(name, 0, 90);
        int start = 0;
        for (String acks : List.of("0", "1", "all")) {
            send(sent.subList(start, start + 30), Map.of("acks", acks, "enable.idempotence", false));
            start += 30;
        }
        Check.compare(read(new TopicPartition(name, 0), 0, 90), sent, "acks");
    }

    private void codecs(String name) throws Exception {
        create(name, Check.CODECS.size());
        for (int partition = 0; partition < Check.CODECS.size(); partition++) {
            String codec = Check.CODECS.get(partition);
            List<ProducerRecord<byte[], byte[]>> sent = Check.samples(name, partition, 200);
            List<Long> offsets = send(sent, Map.of("compression.type", codec, "linger.ms", 20));
            Check.equal(offsets.get(199), 199L, codec + ": last offset");
            TopicPartition part = new TopicPartition(name, partition);
            Check.compare(read(part, 0, 200), sent, codec);
            Check.compare(read(part, 123, 77), sent.subList(123, 200), codec + " from the middle");
        }
    }

    private void idempotent(String name) throws Exception {
        create(name, 1);
        List<ProducerRecord<byte[], byte[]>> sent = Check.samples(name, 0, 1_000);
        List<Long> offsets = send(sent, Map.of("enable.idempotence", true, "batch.size", 1_000));
        for (int at = 0; at < 1_000; at++) {
            Check.equal(offsets.get(at), (long) at, "offset");
        }
        Check.compare(read(new TopicPartition(name, 0), 0, 1_000), sent, "idempotent");
    }

    private void tooLarge(String name) throws Exception {
        NewTopic topic = new NewTopic(name, 1, (short) 1).configs(Map.of("max.message.bytes", "1000"));
        admin.createTopics(List.of(topic)).all().get();
        fails(RecordTooLargeException.class, () -> send(List.of(
            new ProducerRecord<>(name, new byte[2_000])), Map.of()), "a record that is too large");
        Check.equal(send(List.of(new ProducerRecord<>(name, new byte[10])), Map.of()), List.of(0L), "offset");
    }

    /** A consumer on a thread of its own. */
    private final class Member extends Thread {
        final Set<Integer> seen = ConcurrentHashMap.newKeySet();
        private volatile Set<TopicPartition> assignment = Set.of();
        private volatile boolean leaving;
        private volatile Throwable failure;
        private final String topic;
        private final Class<?> assignor;

        Member(String topic, Class<?> assignor) {
            this.topic = topic;
            this.assignor = assignor;
            start();
        }

        @Override
        public void run() {
            Map<String, Object> settings =
                Map.of("partition.assignment.strategy", assignor.getName(), "metadata.max.age.ms", 500);
            try (KafkaConsumer<byte[], byte[]> consumer = consumer(topic, settings)) {
                consumer.subscribe(List.of(topic));
                while (!leaving) {
                    consumer.poll(Duration.ofMillis(50))
                        .forEach(record -> seen.add(Integer.parseInt(new String(record.value()))));
                    assignment = consumer.assignment();
                    consumer.commitAsync();
                }
            } catch (Throwable error) {
                failure = error;
            }
        }

        int held() {
            Check.equal(failure, null, "failure of a member");
            return assignment.size();
        }

        void leave() throws Exception {
            leaving = true;
            join(Check.DEADLINE_MS);
            Check.truth(!isAlive(), "a member did not leave");
            Check.equal(failure, null, "failure of a member");
        }
    }

    private static boolean have(int first, int last, Member... members) {
        Set<Integer> all = new HashSet<>();
        for (Member member : members) {
            all.addAll(member.seen);
        }
        for (int number = first; number < last; number++) {
            if (!all.contains(number)) {
                return false;
            }
        }
        return true;
    }

    private void groups(String name) throws Exception {
        for (Class<?> assignor : List.of(RangeAssignor.class, StickyAssignor.class, CooperativeStickyAssignor.class)) {
            share(name + "-" + assignor.getSimpleName(), assignor);
        }
    }

    private void share(String name, Class<?> assignor) throws Exception {
        create(name, 4);
        Member one = new Member(name, assignor);
        produce(name, 0, 50);
        Check.until(() -> have(0, 50, one), "the first member reads everything alone");
        Member two = new Member(name, assignor);
        Check.until(() -> one.held() == 2 && two.held() == 2, "two members share the partitions");
        produce(name, 50, 100);
        Check.until(() -> have(50, 100, one, two), "two members read everything");
        Check.truth(!have(50, 100, one) && !two.seen.isEmpty(), "both members did work");
        two.leave();
        Check.until(() -> one.held() == 4, "the first member takes everything back");
        produce(name, 100, 150);
        Check.until(() -> have(100, 150, one), "the first member goes on");
        one.leave();
    }

    private void produce(String topic, int first, int last) throws Exception {
        List<ProducerRecord<byte[], byte[]>> records = new ArrayList<>();
        for (int number = first; number < last; number++) {
            records.add(new ProducerRecord<>(topic, number % 4, null, Integer.toString(number).getBytes()));
        }
        send(records, Map.of());
    }

    private void resume(String name) throws Exception {
        create(name, 1);
        List<ProducerRecord<byte[], byte[]>> sent = Check.samples(name, 0, 100);
        send(sent, Map.of());
        TopicPartition part = new TopicPartition(name, 0);
        try (KafkaConsumer<byte[], byte[]> first = consumer(name, Map.of("max.poll.records", 60))) {
            first.subscribe(List.of(name));
            Check.equal(take(first, 60).size(), 60, "records of a poll");
            first.commitSync();
        }
        try (KafkaConsumer<byte[], byte[]> second = consumer(name, Map.of())) {
            second.subscribe(List.of(name));
            Check.compare(take(second, 40), sent.subList(60, 100), "after the commit");
            OffsetAndMetadata mark = new OffsetAndMetadata(77, Optional.of(0), "seventy-seven");
            second.commitSync(Map.of(part, mark));
            Check.equal(second.committed(Set.of(part)).get(part), mark, "committed");
        }
    }

    private void configs(String name) throws Exception {
        create(name, 1);
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, name);
        alter(resource, "retention.ms", "7200000", AlterConfigOp.OpType.SET);
        alter(resource, "cleanup.policy", "compact", AlterConfigOp.OpType.APPEND);
        Check.until(() -> value(resource, "retention.ms").value().equals("7200000"), "retention.ms is altered");
        Check.until(() -> value(resource, "cleanup.policy").value().equals("delete,compact"), "policy is altered");
        Check.equal(value(resource, "retention.ms").source(),
            ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG, "source of an altered setting");
        Check.equal(value(resource, "segment.bytes").source(),
            ConfigEntry.ConfigSource.DEFAULT_CONFIG, "source of a default");
        alter(resource, "retention.ms", null, AlterConfigOp.OpType.DELETE);
        Check.until(() -> value(resource, "retention.ms").value().equals("604800000"), "retention.ms is back");
        ConfigResource broker = new ConfigResource(ConfigResource.Type.BROKER, Integer.toString(node()));
        Check.equal(value(broker, "node.id").value(), Integer.toString(node()), "node.id");
        Check.truth(value(broker, "node.id").isReadOnly(), "node.id is read-only");
    }

    private void alter(ConfigResource resource, String key, String value, AlterConfigOp.OpType type)
            throws Exception {
        Collection<AlterConfigOp> changes = List.of(new AlterConfigOp(new ConfigEntry(key, value), type));
        admin.incrementalAlterConfigs(Map.of(resource, changes)).all().get();
    }

    private ConfigEntry value(ConfigResource resource, String key) throws Exception {
        Config found = admin.describeConfigs(List.of(resource)).all().get().get(resource);
        ConfigEntry entry = found.get(key);
        Check.truth(entry != null, key + " is described");
        return entry;
    }

    private void offsets(String name) throws Exception {
        create(name, 1);
        List<ProducerRecord<byte[], byte[]>> sent = Check.samples(name, 0, 50);
        send(sent, Map.of());
        TopicPartition part = new TopicPartition(name, 0);
        Check.equal(offset(part, OffsetSpec.earliest()), 0L, "first offset");
        Check.equal(offset(part, OffsetSpec.latest()), 50L, "end offset");
        Check.equal(offset(part, OffsetSpec.maxTimestamp()), 49L, "offset of the greatest timestamp");
        Check.equal(offset(part, OffsetSpec.forTimestamp(sent.get(20).timestamp())), 20L, "offset of a time");
        Check.equal(offset(part, OffsetSpec.forTimestamp(sent.get(49).timestamp() + 1)), -1L, "a time after the end");
        Check.equal(offset(part, OffsetSpec.earliestLocal()), 0L, "first local offset");
        try (KafkaConsumer<byte[], byte[]> consumer = consumer(null, Map.of())) {
            Check.equal(consumer.endOffsets(List.of(part)), Map.of(part, 50L), "end offsets");
            Check.equal(consumer.offsetsForTimes(Map.of(part, sent.get(7).timestamp())).get(part).offset(),
                7L, "offset for a time");
        }
    }

    private long offset(TopicPartition part, OffsetSpec spec) throws Exception {
        ListOffsetsResult.ListOffsetsResultInfo found =
            admin.listOffsets(Map.of(part, spec)).partitionResult(part).get();
        return found.offset();
    }

    private void records(String name) throws Exception {
        create(name, 1);
        List<ProducerRecord<byte[], byte[]>> sent = Check.samples(name, 0, 50);
        send(sent, Map.of());
        TopicPartition part = new TopicPartition(name, 0);
        Check.equal(admin.deleteRecords(Map.of(part, RecordsToDelete.beforeOffset(30))).lowWatermarks()
            .get(part).get().lowWatermark(), 30L, "low watermark");
        Check.compare(read(part, 30, 20), sent.subList(30, 50), "what is left");
        Check.equal(read(part, 5, 1).get(0).offset(), 30L, "reading a deleted offset");
    }

    private void groupAdmin(String name) throws Exception {
        create(name, 1);
        send(Check.samples(name, 0, 20), Map.of());
        TopicPartition part = new TopicPartition(name, 0);
        try (KafkaConsumer<byte[], byte[]> member = consumer(name, Map.of("client.id", "the-member"))) {
            member.subscribe(List.of(name));
            take(member, 20);
            member.commitSync();
            ConsumerGroupDescription found = describe(name);
            Check.equal(found.groupState(), GroupState.STABLE, "state with a member");
            Check.equal(found.members().iterator().next().clientId(), "the-member", "client id");
            Check.equal(found.members().iterator().next().assignment().topicPartitions(), Set.of(part), "assignment");
            Check.truth(listed(name), "the group is listed");
        }
        Check.until(() -> describe(name).groupState() == GroupState.EMPTY, "the group is empty");
        Map<TopicPartition, OffsetAndMetadata> offsets =
            admin.listConsumerGroupOffsets(name).partitionsToOffsetAndMetadata().get();
        Check.equal(offsets.get(part).offset(), 20L, "offset of the group");
        admin.alterConsumerGroupOffsets(name, Map.of(part, new OffsetAndMetadata(5))).all().get();
        Check.equal(admin.listConsumerGroupOffsets(name).partitionsToOffsetAndMetadata().get().get(part).offset(),
            5L, "altered offset");
        admin.deleteConsumerGroupOffsets(name, Set.of(part)).all().get();
        Check.equal(admin.listConsumerGroupOffsets(name).partitionsToOffsetAndMetadata().get(),
            Collections.emptyMap(), "offsets after their deletion");
        admin.deleteConsumerGroups(List.of(name)).all().get();
        Check.truth(!listed(name), "the group is listed after its deletion");
    }

    private ConsumerGroupDescription describe(String name) throws Exception {
        return admin.describeConsumerGroups(List.of(name)).all().get().get(name);
    }

    private boolean listed(String name) throws Exception {
        return admin.listGroups().all().get().stream().map(GroupListing::groupId).anyMatch(name::equals);
    }

    private void cluster(String name) throws Exception {
        create(name, 1);
        Collection<Node> nodes = admin.describeCluster().nodes().get();
        Check.equal(nodes.size(), 1, "nodes");
        Node node = nodes.iterator().next();
        Check.equal(node.host() + ":" + node.port(), bootstrap, "the address of the node");
        Check.truth(!admin.describeCluster().clusterId().get().isEmpty(), "the cluster has an id");
        Check.truth(admin.describeMetadataQuorum().quorumInfo().get().highWatermark() > 0, "quorum");
        Check.truth(admin.describeLogDirs(List.of(node.id())).allDescriptions().get().get(node.id()).values()
            .stream().anyMatch(dir -> dir.replicaInfos().containsKey(new TopicPartition(name, 0))), "log dirs");
        Check.truth(admin.describeFeatures().featureMetadata().get().finalizedFeatures()
            .containsKey("metadata.version"), "features");
        Check.equal(admin.describeProducers(List.of(new TopicPartition(name, 0))).all().get()
            .get(new TopicPartition(name, 0)).activeProducers(), List.of(), "active producers");
    }
}
