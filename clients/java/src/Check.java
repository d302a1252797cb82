// Sample records, comparisons and the loop over scenarios. Knows no broker and no client settings.

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.Callable;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;

final class Check {
    static final long DEADLINE_MS = 45_000;
    static final List<String> CODECS = List.of("none", "gzip", "snappy", "lz4", "zstd");

    private Check() {}

    /** A scenario: it gets a name of its own for topics and groups. */
    interface Scenario {
        void run(String name) throws Exception;
    }

    /** A scenario with its name. */
    record Named(String name, Scenario scenario) {}

    /** Records with and without keys, values and headers; timestamps of the last minutes. */
    static List<ProducerRecord<byte[], byte[]>> samples(String topic, int partition, int count) {
        long start = System.currentTimeMillis() - 200_000;
        List<ProducerRecord<byte[], byte[]>> samples = new ArrayList<>();
        for (int number = 0; number < count; number++) {
            byte[] key = number % 7 == 0 ? null : ("key-" + number).getBytes();
            byte[] value = ("value-" + number + "-").repeat(1 + number % 50).getBytes();
            if (number % 11 == 5) {
                value = null;
            }
            if (number % 13 == 3) {
                value = new byte[0];
            }
            List<Header> headers = new ArrayList<>();
            if (number % 3 == 0) {
                headers.add(new RecordHeader("h", "one".getBytes()));
                headers.add(new RecordHeader("h", "two".getBytes()));
                headers.add(new RecordHeader("empty", new byte[0]));
                headers.add(new RecordHeader("null", (byte[]) null));
                headers.add(new RecordHeader("binary", new byte[] {0, (byte) 255}));
            }
            samples.add(new ProducerRecord<>(topic, partition, start + number, key, value, headers));
        }
        return samples;
    }

    static void equal(Object found, Object wanted, String what) {
        if (!Objects.equals(found, wanted)) {
            throw new AssertionError(what + ": got " + found + ", wanted " + wanted);
        }
    }

    static void truth(boolean truth, String what) {
        if (!truth) {
            throw new AssertionError(what);
        }
    }

    /** Compares keys, values, headers and timestamps in order. */
    static void compare(
            List<ConsumerRecord<byte[], byte[]>> found,
            List<ProducerRecord<byte[], byte[]>> sent,
            String what) {
        equal(found.size(), sent.size(), what + ": number of records");
        for (int at = 0; at < sent.size(); at++) {
            ConsumerRecord<byte[], byte[]> got = found.get(at);
            ProducerRecord<byte[], byte[]> wanted = sent.get(at);
            String which = what + ": record " + at + ": ";
            truth(Arrays.equals(got.key(), wanted.key()), which + "key");
            truth(Arrays.equals(got.value(), wanted.value()), which + "value");
            equal(got.timestamp(), wanted.timestamp(), which + "timestamp");
            equal(List.of(got.headers().toArray()), List.of(wanted.headers().toArray()), which + "headers");
        }
    }

    /** Asks until the answer is yes; fails after the deadline. */
    static void until(Callable<Boolean> condition, String what) throws Exception {
        long end = System.currentTimeMillis() + DEADLINE_MS;
        while (System.currentTimeMillis() < end) {
            if (condition.call()) {
                return;
            }
            Thread.sleep(10);
        }
        throw new AssertionError("not within " + DEADLINE_MS + " ms: " + what);
    }

    /** Runs the scenarios with names that start with `prefix`; gives the exit status. */
    static int run(List<Named> scenarios, String prefix, List<String> chosen) {
        int failed = 0;
        for (Named named : scenarios) {
            if (!chosen.isEmpty() && !chosen.contains(named.name())) {
                continue;
            }
            long start = System.currentTimeMillis();
            try {
                named.scenario().run(prefix + "-" + named.name());
                System.out.printf("ok %s %d ms%n", named.name(), System.currentTimeMillis() - start);
            } catch (Exception | AssertionError error) {
                failed++;
                System.out.printf("FAILED %s: %s%n", named.name(), error);
                error.printStackTrace();
            }
        }
        return failed == 0 ? 0 : 1;
    }
}
