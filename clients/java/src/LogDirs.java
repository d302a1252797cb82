import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.stream.Collectors;

import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.DescribeReplicaLogDirsResult.ReplicaLogDirInfo;
import org.apache.kafka.clients.admin.LogDirDescription;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.TopicPartitionReplica;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * The stock admin client, producer and consumer while partitions move between log directories:
 * nothing lost, nothing twice, everything in order. Arguments: address, topic, the directories.
 */
public final class LogDirs {
    private static final int PARTITIONS = 3;
    private static final int ROUNDS = 12;
    private static final long LIMIT_MS = 120_000;

    private LogDirs() {}

    public static void main(String[] arguments) throws Exception {
        String address = arguments[0];
        String topic = arguments[1];
        List<String> dirs = List.of(arguments).subList(2, arguments.length);
        String name = "moves under a producer and a consumer";
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", address))) {
            admin.createTopics(List.of(new NewTopic(topic, PARTITIONS, (short) 1))).all().get();
            run(address, admin, topic, dirs);
            System.out.println("ok " + name);
        } catch (Exception | AssertionError failed) {
            System.out.println("FAILED " + name + ": " + failed);
            failed.printStackTrace(System.out);
            System.exit(1);
        }
    }

    private static void run(String address, Admin admin, String topic, List<String> dirs)
            throws Exception {
        AtomicBoolean done = new AtomicBoolean();
        long[] sent = new long[PARTITIONS];
        List<Throwable> failures = new ArrayList<>();
        Thread producer = new Thread(() -> {
            try {
                produce(address, topic, done, sent);
            } catch (Exception failed) {
                synchronized (failures) {
                    failures.add(failed);
                }
            }
        });
        producer.start();
        try {
            for (int round = 0; round < ROUNDS; round++) {
                for (int partition = 0; partition < PARTITIONS; partition++) {
                    move(admin, topic, partition, dirs.get((round + partition) % dirs.size()));
                }
                for (int partition = 0; partition < PARTITIONS; partition++) {
                    arrived(admin, topic, partition, dirs.get((round + partition) % dirs.size()));
                }
            }
        } finally {
            done.set(true);
            producer.join();
        }
        check(failures.isEmpty(), "the producer failed: " + failures);
        described(admin, topic, dirs);
        for (int partition = 0; partition < PARTITIONS; partition++) {
            check(sent[partition] > 0, "nothing was sent to " + partition);
        }
        consume(address, topic, sent);
    }

    private static void move(Admin admin, String topic, int partition, String dir)
            throws Exception {
        TopicPartitionReplica replica = new TopicPartitionReplica(topic, partition, 1);
        long end = System.currentTimeMillis() + LIMIT_MS;
        while (true) {
            try {
                admin.alterReplicaLogDirs(Map.of(replica, dir)).all().get();
                return;
            } catch (ExecutionException refused) {
                // It is being created.
                boolean young = refused.getCause()
                        instanceof org.apache.kafka.common.errors.RetriableException;
                if (!young || System.currentTimeMillis() > end) {
                    throw refused;
                }
            }
        }
    }

    private static void arrived(Admin admin, String topic, int partition, String dir)
            throws Exception {
        TopicPartitionReplica replica = new TopicPartitionReplica(topic, partition, 1);
        long end = System.currentTimeMillis() + LIMIT_MS;
        while (true) {
            ReplicaLogDirInfo info =
                    admin.describeReplicaLogDirs(List.of(replica)).all().get().get(replica);
            if (dir.equals(info.getCurrentReplicaLogDir())
                    && info.getFutureReplicaLogDir() == null) {
                return;
            }
            check(System.currentTimeMillis() < end, replica + " is not in " + dir + ": " + info);
            Thread.sleep(5);
        }
    }

    /** Each partition is in one directory, and each directory is healthy. */
    private static void described(Admin admin, String topic, List<String> dirs) throws Exception {
        Map<String, LogDirDescription> found =
                admin.describeLogDirs(List.of(1)).allDescriptions().get().get(1);
        check(found.keySet().containsAll(dirs) && found.size() == dirs.size(), "dirs " + found);
        List<TopicPartition> seen = new ArrayList<>();
        for (LogDirDescription dir : found.values()) {
            check(dir.error() == null, "an error: " + dir.error());
            check(dir.totalBytes().orElse(0) > 0 && dir.usableBytes().orElse(0) > 0, "no space");
            seen.addAll(dir.replicaInfos().keySet().stream()
                    .filter(partition -> partition.topic().equals(topic))
                    .collect(Collectors.toList()));
        }
        check(seen.size() == PARTITIONS, "replicas " + seen);
    }

    private static void produce(String address, String topic, AtomicBoolean done, long[] sent)
            throws Exception {
        Properties with = new Properties();
        with.put("bootstrap.servers", address);
        with.put("acks", "all");
        with.put("linger.ms", 1);
        try (KafkaProducer<byte[], byte[]> producer =
                new KafkaProducer<>(with, new ByteArraySerializer(), new ByteArraySerializer())) {
            List<java.util.concurrent.Future<RecordMetadata>> answers = new ArrayList<>();
            while (!done.get()) {
                for (int partition = 0; partition < PARTITIONS; partition++) {
                    byte[] value = value(partition, sent[partition]);
                    answers.add(producer.send(new ProducerRecord<>(topic, partition, null, value)));
                    sent[partition]++;
                }
                Thread.sleep(0, 300_000);
            }
            producer.flush();
            for (java.util.concurrent.Future<RecordMetadata> answer : answers) {
                answer.get();
            }
        }
    }

    private static byte[] value(int partition, long number) {
        String start = partition + ":" + number + ":";
        return (start + "x".repeat((int) (number * 37 % 900))).getBytes();
    }

    private static void consume(String address, String topic, long[] sent) {
        Properties with = new Properties();
        with.put("bootstrap.servers", address);
        with.put("auto.offset.reset", "earliest");
        with.put("check.crcs", "true");
        long[] found = new long[PARTITIONS];
        List<TopicPartition> all = new ArrayList<>();
        long wanted = 0;
        for (int partition = 0; partition < PARTITIONS; partition++) {
            all.add(new TopicPartition(topic, partition));
            wanted += sent[partition];
        }
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(
                with, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            consumer.assign(all);
            consumer.seekToBeginning(all);
            long end = System.currentTimeMillis() + LIMIT_MS;
            long read = 0;
            while (read < wanted) {
                check(System.currentTimeMillis() < end, read + " of " + wanted + " records");
                for (ConsumerRecord<byte[], byte[]> record
                        : consumer.poll(java.time.Duration.ofMillis(500))) {
                    int partition = record.partition();
                    long number = found[partition]++;
                    check(record.offset() == number, "offset " + record.offset());
                    byte[] value = value(partition, number);
                    check(java.util.Arrays.equals(record.value(), value), "record " + number);
                    read++;
                }
            }
            Map<TopicPartition, Long> ends = consumer.endOffsets(all);
            for (TopicPartition partition : all) {
                long last = sent[partition.partition()];
                check(ends.get(partition) == last, partition + " ends at " + ends.get(partition));
            }
        }
    }

    private static void check(boolean truth, String what) {
        if (!truth) {
            throw new AssertionError(what);
        }
    }
}
