// One round of writing into a directory that Apache Kafka and Ottla serve in turn: topics, records
// of every kind, deletions, settings, groups, and where the broker has a coordinator, transactions
// that are committed, aborted and left open.
// Usage: BothWays BOOTSTRAP ROUND plain|transactions

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.ScramCredentialInfo;
import org.apache.kafka.clients.admin.ScramMechanism;
import org.apache.kafka.clients.admin.UserScramCredentialUpsertion;
import org.apache.kafka.clients.consumer.ConsumerGroupMetadata;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.quota.ClientQuotaAlteration;
import org.apache.kafka.common.quota.ClientQuotaEntity;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

public final class BothWays {
    /** A segment for each tenth of a second of timestamps: some hundred records. */
    private static final Map<String, String> SMALL =
        Map.of("segment.ms", "100", "index.interval.bytes", "700");

    /** What the cleaner rewrites as soon as it can. */
    private static final Map<String, String> COMPACT = Map.of(
        "cleanup.policy", "compact", "min.cleanable.dirty.ratio", "0.01",
        "segment.ms", "150", "index.interval.bytes", "700");

    private final String bootstrap;
    private final int round;
    private final Admin admin;
    private final Random random;
    private ConsumerGroupMetadata group;

    private BothWays(String bootstrap, int round) {
        this.bootstrap = bootstrap;
        this.round = round;
        this.admin = Admin.create(Map.of("bootstrap.servers", bootstrap, "metadata.max.age.ms", 500));
        this.random = new Random(round);
    }

    public static void main(String[] arguments) throws Exception {
        if (arguments.length != 3) {
            System.err.println("usage: BothWays BOOTSTRAP ROUND plain|transactions");
            System.exit(2);
        }
        BothWays writer = new BothWays(arguments[0], Integer.parseInt(arguments[1]));
        writer.topics();
        writer.codecs();
        writer.plain();
        writer.keyed();
        writer.cut();
        writer.groups();
        writer.settings();
        if (arguments[2].equals("transactions")) {
            writer.quotas();
            writer.transactions();
        }
        System.out.println("ok round");
        System.out.flush();
        // No shutdown: that would end the open transaction.
        Runtime.getRuntime().halt(0);
    }

    private void create(String name, int partitions, Map<String, String> settings) throws Exception {
        NewTopic topic = new NewTopic(name, Optional.of(partitions), Optional.empty());
        for (int tries = 0; ; tries++) {
            try {
                admin.createTopics(List.of(topic.configs(settings))).all().get();
                return;
            } catch (ExecutionException error) {
                // A restarted broker may be fenced for a moment.
                boolean exists = error.getCause() instanceof TopicExistsException;
                if (exists || tries == 100) {
                    Check.truth(exists, "creating " + name + ": " + error.getCause());
                    return;
                }
                Thread.sleep(50);
            }
        }
    }

    private void topics() throws Exception {
        create("codecs", Check.CODECS.size(), SMALL);
        create("plain", 3, Map.of());
        create("appended", 1, Map.of("message.timestamp.type", "LogAppendTime", "index.interval.bytes", "500"));
        create("keyed", 2, COMPACT);
        create("both", 1, Map.of("cleanup.policy", "compact,delete", "retention.ms", "36000000"));
        create("cut", 2, SMALL);
        create("transactions", 2, SMALL);
        create("keyed-transactions", 1, COMPACT);
        create("empty", 2, Map.of());
        create("reborn", 1, Map.of("retention.ms", Integer.toString(36_000_000 + round)));
        create("growing", 1, Map.of());
        create("round-" + round, 2, Map.of("max.message.bytes", "500000"));
        if (round > 1) {
            admin.deleteTopics(List.of("reborn")).all().get();
            Check.until(() -> !admin.listTopics().names().get().contains("reborn"), "reborn is gone");
            create("reborn", 1 + round % 3, Map.of());
            admin.createPartitions(Map.of("growing", NewPartitions.increaseTo(round))).all().get();
        }
        if (round > 2) {
            admin.deleteTopics(List.of("round-" + (round - 2))).all().get();
        }
    }

    private KafkaProducer<byte[], byte[]> producer(Map<String, Object> settings) {
        Map<String, Object> all = new HashMap<>(settings);
        all.put("bootstrap.servers", bootstrap);
        return new KafkaProducer<>(all, new ByteArraySerializer(), new ByteArraySerializer());
    }

    private void send(List<ProducerRecord<byte[], byte[]>> records, Map<String, Object> settings)
            throws Exception {
        try (KafkaProducer<byte[], byte[]> producer = producer(settings)) {
            List<Future<RecordMetadata>> answers = new ArrayList<>();
            records.forEach(record -> answers.add(producer.send(record)));
            producer.flush();
            for (Future<RecordMetadata> answer : answers) {
                answer.get();
            }
        }
    }

    private void codecs() throws Exception {
        for (int partition = 0; partition < Check.CODECS.size(); partition++) {
            send(Check.samples("codecs", partition, 300), Map.of(
                "compression.type", Check.CODECS.get(partition), "linger.ms", 5, "batch.size", 3_000));
        }
    }

    private void plain() throws Exception {
        for (int partition = 0; partition < 3; partition++) {
            List<ProducerRecord<byte[], byte[]>> records = Check.samples("plain", partition, 100);
            send(records.subList(0, 40), Map.of("acks", "1", "enable.idempotence", false, "batch.size", 900));
            send(records.subList(40, 100), Map.of("batch.size", 1_500));
        }
        send(Check.samples("appended", 0, 100), Map.of("batch.size", 700, "compression.type", "lz4"));
        send(Check.samples("round-" + round, 0, 50), Map.of("batch.size", 700));
        send(Check.samples("reborn", 0, 30), Map.of("batch.size", 700));
        send(Check.samples("growing", 0, 20), Map.of());
    }

    /** Records with few keys: values, tombstones, large and small. */
    private List<ProducerRecord<byte[], byte[]>> keyed(String topic, int partition, int count) {
        List<ProducerRecord<byte[], byte[]>> records = new ArrayList<>();
        long start = System.currentTimeMillis() - 100_000;
        for (int number = 0; number < count; number++) {
            byte[] key = ("key-" + random.nextInt(60)).getBytes();
            byte[] value = ("round-" + round + "-" + number + "-").repeat(1 + random.nextInt(30)).getBytes();
            boolean tombstone = random.nextInt(8) == 0;
            records.add(new ProducerRecord<>(topic, partition, start + number, key, tombstone ? null : value));
        }
        return records;
    }

    private void keyed() throws Exception {
        send(keyed("keyed", 0, 600), Map.of("batch.size", 1_500, "compression.type", "zstd", "linger.ms", 5));
        send(keyed("keyed", 1, 600), Map.of("batch.size", 1_500));
        send(keyed("both", 0, 200), Map.of("batch.size", 1_500, "compression.type", "gzip"));
    }

    private long end(TopicPartition part) throws Exception {
        return admin.listOffsets(Map.of(part, OffsetSpec.latest())).partitionResult(part).get().offset();
    }

    private long start(TopicPartition part) throws Exception {
        return admin.listOffsets(Map.of(part, OffsetSpec.earliest())).partitionResult(part).get().offset();
    }

    /** Deletes records up to somewhere in the middle, of one partition inside a batch. */
    private void cut() throws Exception {
        for (int partition = 0; partition < 2; partition++) {
            send(Check.samples("cut", partition, 300), Map.of("batch.size", 1_500, "compression.type", "lz4"));
            TopicPartition part = new TopicPartition("cut", partition);
            long start = start(part);
            long to = start + (end(part) - start) / 2 + partition;
            Check.equal(admin.deleteRecords(Map.of(part, RecordsToDelete.beforeOffset(to))).lowWatermarks()
                .get(part).get().lowWatermark(), to, "low watermark");
        }
    }

    private void groups() throws Exception {
        TopicPartition part = new TopicPartition("plain", 1);
        TopicPartition other = new TopicPartition("codecs", 3);
        for (String group : List.of("readers", "group-" + round)) {
            admin.alterConsumerGroupOffsets(group, Map.of(
                part, new OffsetAndMetadata(end(part) - 7, Optional.of(0), "round " + round),
                other, new OffsetAndMetadata(end(other)))).all().get();
        }
        if (round > 1) {
            admin.deleteConsumerGroups(List.of("group-" + (round - 1))).all().get();
        }
    }

    private static AlterConfigOp set(String name, String value) {
        return new AlterConfigOp(new ConfigEntry(name, value), AlterConfigOp.OpType.SET);
    }

    private void settings() throws Exception {
        ConfigResource plain = new ConfigResource(ConfigResource.Type.TOPIC, "plain");
        ConfigResource reborn = new ConfigResource(ConfigResource.Type.TOPIC, "reborn");
        ConfigResource all = new ConfigResource(ConfigResource.Type.BROKER, "");
        ConfigResource one = new ConfigResource(ConfigResource.Type.BROKER, "1");
        admin.incrementalAlterConfigs(Map.of(
            plain, List.of(set("retention.ms", Integer.toString(50_000_000 + round)), set("min.insync.replicas", "1")),
            reborn, List.of(new AlterConfigOp(new ConfigEntry("retention.ms", ""), AlterConfigOp.OpType.DELETE)),
            all, List.of(set("message.max.bytes", Integer.toString(1_048_588 + round))),
            one, List.of(set("log.flush.interval.ms", Integer.toString(9_000_000 + round))))).all().get();
    }

    /** What only Kafka can be asked of so far, but both keep. */
    private void quotas() throws Exception {
        ClientQuotaEntity user = new ClientQuotaEntity(Map.of(ClientQuotaEntity.USER, "user-" + round));
        admin.alterClientQuotas(List.of(new ClientQuotaAlteration(user,
            List.of(new ClientQuotaAlteration.Op("producer_byte_rate", 1_000_000.0 + round))))).all().get();
        admin.alterUserScramCredentials(List.of(new UserScramCredentialUpsertion("user-" + round,
            new ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, 4096), "secret"))).all().get();
    }

    private KafkaProducer<byte[], byte[]> transactional(String id) {
        KafkaProducer<byte[], byte[]> producer = producer(Map.of(
            "transactional.id", id, "transaction.timeout.ms", 900_000, "batch.size", 1_000));
        producer.initTransactions();
        return producer;
    }

    private void sendIn(KafkaProducer<byte[], byte[]> producer, int count) throws Exception {
        List<Future<RecordMetadata>> answers = new ArrayList<>();
        for (int partition = 0; partition < 2; partition++) {
            Check.samples("transactions", partition, count).forEach(record -> answers.add(producer.send(record)));
        }
        keyed("keyed-transactions", 0, count).forEach(record -> answers.add(producer.send(record)));
        producer.flush();
        for (Future<RecordMetadata> answer : answers) {
            answer.get();
        }
    }

    private void offsetsIn(KafkaProducer<byte[], byte[]> producer, long offset) {
        TopicPartition part = new TopicPartition("plain", 0);
        producer.sendOffsetsToTransaction(Map.of(part, new OffsetAndMetadata(offset)), group);
    }

    /** A group without members, as a transaction names it. */
    private ConsumerGroupMetadata group(String name) {
        Map<String, Object> settings = Map.of("bootstrap.servers", bootstrap, "group.id", name);
        try (KafkaConsumer<byte[], byte[]> consumer =
                new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            return consumer.groupMetadata();
        }
    }

    private void transactions() throws Exception {
        group = group("in-transactions");
        // What an earlier round left open under this name is aborted now.
        KafkaProducer<byte[], byte[]> left = transactional("left");
        KafkaProducer<byte[], byte[]> first = transactional("first");
        KafkaProducer<byte[], byte[]> second = transactional("second");
        for (int turn = 0; turn < 4; turn++) {
            first.beginTransaction();
            sendIn(first, 20);
            second.beginTransaction();
            sendIn(second, 10);
            send(Check.samples("transactions", turn % 2, 5), Map.of());
            offsetsIn(first, 1 + turn);
            if (turn % 2 == 0) {
                first.abortTransaction();
                sendIn(second, 5);
                second.commitTransaction();
            } else {
                second.abortTransaction();
                sendIn(first, 5);
                first.commitTransaction();
            }
        }
        left.beginTransaction();
        sendIn(left, 15);
        offsetsIn(left, 77);
        first.beginTransaction();
        sendIn(first, 10);
        first.commitTransaction();
        second.beginTransaction();
        sendIn(second, 10);
        second.abortTransaction();
    }
}
