// Reads messages that another codec wrote with Apache Kafka's generated classes, and writes random
// ones for it to read. One message a line: name, version, bytes in hexadecimal; of those to read
// also "plain" when they have no unknown tagged field anywhere, else "tagged".
//
// Usage: CodecEquality IN OUT MESSAGES_PER_VERSION SEED

import com.fasterxml.jackson.databind.JsonNode;
import java.lang.reflect.Field;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.MessageUtil;
import org.apache.kafka.common.protocol.types.BoundField;
import org.apache.kafka.common.protocol.types.NullableSchema;
import org.apache.kafka.common.protocol.types.RawTaggedField;
import org.apache.kafka.common.protocol.types.Schema;
import org.apache.kafka.common.protocol.types.Struct;
import org.apache.kafka.common.protocol.types.TaggedFields;
import org.apache.kafka.common.protocol.types.Type;
import org.apache.kafka.common.record.internal.MemoryRecords;

public final class CodecEquality {
    private static final List<String> PACKAGES = List.of(
        "org.apache.kafka.common.message",
        "org.apache.kafka.common.metadata",
        "org.apache.kafka.coordinator.group.generated",
        "org.apache.kafka.coordinator.share.generated",
        "org.apache.kafka.coordinator.transaction.generated",
        "org.apache.kafka.raft.generated",
        "org.apache.kafka.server.log.remote.metadata.storage.generated",
        "org.apache.kafka.storage.internals.generated");

    private static final Set<String> WITH_RECORDS = Set.of(
        "ProduceRequest", "FetchResponse", "FetchSnapshotResponse", "ShareFetchResponse");

    private static int wrong = 0;
    private static int throughJson = 0;

    public static void main(String[] arguments) throws Exception {
        List<String> lines = Files.readAllLines(Path.of(arguments[0]));
        Map<String, TreeSet<Short>> versions = new TreeMap<>();
        for (String line : lines) {
            String[] words = line.split(" ", -1);
            short version = Short.parseShort(words[1]);
            versions.computeIfAbsent(words[0], n -> new TreeSet<>()).add(version);
            check(words[0], version, HexFormat.of().parseHex(words[2]), words[3].equals("plain"));
        }
        List<String> out = new ArrayList<>();
        Random random = new Random(Long.parseLong(arguments[3]));
        int each = Integer.parseInt(arguments[2]);
        for (Map.Entry<String, TreeSet<Short>> entry : versions.entrySet()) {
            checkRange(entry.getKey(), entry.getValue());
            for (short version : entry.getValue()) {
                for (int i = 0; i < each; i++) {
                    byte[] bytes = random(entry.getKey(), version, random);
                    String hex = HexFormat.of().formatHex(bytes);
                    out.add(entry.getKey() + " " + version + " " + hex);
                }
            }
        }
        Files.write(Path.of(arguments[1]), out);
        System.out.println(
            "read " + lines.size() + " messages of " + versions.size() + " kinds, "
            + throughJson + " of them also through JSON, " + wrong + " differ; wrote " + out.size());
        System.exit(wrong == 0 ? 0 : 1);
    }

    private static Class<?> named(String name) throws ClassNotFoundException {
        for (String suffix : List.of("Data", "")) {
            for (String in : PACKAGES) {
                try {
                    Class<?> found = Class.forName(in + "." + name + suffix);
                    if (Message.class.isAssignableFrom(found)) {
                        return found;
                    }
                } catch (ClassNotFoundException e) {
                    // Not in this package.
                }
            }
        }
        throw new ClassNotFoundException(name);
    }

    private static Message empty(String name) throws Exception {
        return (Message) named(name).getDeclaredConstructor().newInstance();
    }

    private static Schema schema(String name, short version) throws Exception {
        Field schemas = named(name).getField("SCHEMAS");
        return ((Schema[]) schemas.get(null))[version];
    }

    private static void checkRange(String name, TreeSet<Short> versions) throws Exception {
        Message message = empty(name);
        short lowest = message.lowestSupportedVersion();
        short highest = message.highestSupportedVersion();
        if (versions.first() != lowest || versions.last() != highest) {
            complain(name, versions.last(), "Kafka has versions " + lowest + " to " + highest);
        }
    }

    private static byte[] written(Message message, short version) {
        ByteBufferAccessor buffer = MessageUtil.toByteBufferAccessor(message, version);
        ByteBuffer bytes = buffer.buffer();
        byte[] array = new byte[bytes.remaining()];
        bytes.get(array);
        return array;
    }

    private static void check(String name, short version, byte[] bytes, boolean plain) {
        try {
            Message message = empty(name);
            ByteBuffer buffer = ByteBuffer.wrap(bytes);
            message.read(new ByteBufferAccessor(buffer), version);
            if (buffer.hasRemaining()) {
                complain(name, version, buffer.remaining() + " bytes are left");
                return;
            }
            byte[] again = written(message, version);
            if (!java.util.Arrays.equals(bytes, again)) {
                complain(name, version, differ(bytes, again));
                return;
            }
            if (plain) {
                checkJson(name, version, message, bytes);
            }
        } catch (Exception e) {
            Throwable cause = e.getCause() == null ? e : e.getCause();
            complain(name, version, cause + " for " + HexFormat.of().formatHex(bytes));
        }
    }

    // JSON carries neither records nor unknown tagged fields.
    private static void checkJson(String name, short version, Message message, byte[] bytes)
        throws Exception {
        if (WITH_RECORDS.contains(name)) {
            return;
        }
        Class<?> converter = Class.forName(message.getClass().getName() + "JsonConverter");
        JsonNode json = (JsonNode) converter
            .getMethod("write", message.getClass(), short.class)
            .invoke(null, message, version);
        Message back = (Message) converter
            .getMethod("read", JsonNode.class, short.class)
            .invoke(null, json, version);
        byte[] again = written(back, version);
        throughJson++;
        if (!java.util.Arrays.equals(bytes, again)) {
            complain(name, version, "through JSON: " + differ(bytes, again));
        }
    }

    private static String differ(byte[] expected, byte[] found) {
        HexFormat hex = HexFormat.of();
        return "\n  read    " + hex.formatHex(expected) + "\n  written " + hex.formatHex(found);
    }

    private static void complain(String name, short version, String what) {
        wrong++;
        if (wrong <= 20) {
            String line = name + " version " + version + ": " + what;
            System.out.println(line.length() < 2000 ? line : line.substring(0, 2000) + "…");
        }
    }

    private static byte[] random(String name, short version, Random random) throws Exception {
        Struct struct = struct(schema(name, version), random, 0);
        ByteBuffer buffer = ByteBuffer.allocate(struct.sizeOf());
        struct.writeTo(buffer);
        buffer.flip();
        Message message = empty(name);
        message.read(new ByteBufferAccessor(buffer), version);
        return written(message, version);
    }

    private static Struct struct(Schema schema, Random random, int depth) {
        Struct struct = new Struct(schema);
        for (BoundField field : schema.fields()) {
            struct.set(field, value(field.def.type, random, depth));
        }
        return struct;
    }

    private static Object value(Type type, Random random, int depth) {
        if (type instanceof TaggedFields tagged) {
            return tags(tagged, random, depth);
        }
        if (type.isNullable() && random.nextInt(4) == 0) {
            return null;
        }
        if (type.isArray()) {
            Object[] array = new Object[random.nextInt(Math.max(2, 4 - depth))];
            for (int i = 0; i < array.length; i++) {
                array[i] = value(type.arrayElementType().orElseThrow(), random, depth + 1);
            }
            return array;
        }
        if (type instanceof Schema schema) {
            return struct(schema, random, depth + 1);
        }
        return scalar(type, random);
    }

    private static Object scalar(Type type, Random random) {
        if (type == Type.BOOLEAN) {
            return random.nextBoolean();
        } else if (type == Type.INT8) {
            return (byte) number(random);
        } else if (type == Type.INT16) {
            return (short) number(random);
        } else if (type == Type.UINT16) {
            return (int) number(random) & 0xffff;
        } else if (type == Type.INT32) {
            return (int) number(random);
        } else if (type == Type.UNSIGNED_INT32) {
            return number(random) & 0xffff_ffffL;
        } else if (type == Type.INT64) {
            return number(random);
        } else if (type == Type.FLOAT64) {
            return random.nextGaussian();
        } else if (type == Type.UUID) {
            boolean zero = random.nextInt(4) == 0;
            return zero ? Uuid.ZERO_UUID : new Uuid(random.nextLong(), random.nextLong());
        } else if (type == Type.STRING || type == Type.COMPACT_STRING
            || type == Type.NULLABLE_STRING || type == Type.COMPACT_NULLABLE_STRING) {
            return text(random);
        } else if (type == Type.BYTES || type == Type.COMPACT_BYTES
            || type == Type.NULLABLE_BYTES || type == Type.COMPACT_NULLABLE_BYTES) {
            return ByteBuffer.wrap(bytes(random));
        } else if (type == Type.RECORDS || type == Type.COMPACT_RECORDS
            || type == Type.NULLABLE_RECORDS || type == Type.COMPACT_NULLABLE_RECORDS) {
            return MemoryRecords.readableRecords(ByteBuffer.wrap(bytes(random)));
        }
        throw new IllegalStateException("no values of type " + type);
    }

    private static Map<Integer, Object> tags(TaggedFields type, Random random, int depth) {
        Map<Integer, Object> tags = new TreeMap<>();
        for (var field : type.fields().entrySet()) {
            // Kafka's schemas write the mark before a nullable struct in a tag other than its
            // generated classes do, which is what counts.
            boolean struct = field.getValue().type instanceof NullableSchema;
            if (!struct && random.nextBoolean()) {
                tags.put(field.getKey(), value(field.getValue().type, random, depth + 1));
            }
        }
        for (int left = random.nextInt(8) - 5; left > 0; left--) {
            // Above every tag that some version knows.
            int tag = 40 + random.nextInt(300);
            tags.put(tag, new RawTaggedField(tag, bytes(random)));
        }
        return tags;
    }

    private static long number(Random random) {
        return switch (random.nextInt(6)) {
            case 0 -> 0;
            case 1 -> -1;
            case 2 -> random.nextInt(128);
            case 3 -> 1L << random.nextInt(64);
            default -> random.nextLong();
        };
    }

    private static int size(Random random) {
        return random.nextInt(9) == 0 ? 125 + random.nextInt(6) : random.nextInt(10);
    }

    private static String text(Random random) {
        StringBuilder text = new StringBuilder();
        int[] letters = {'a', 'Z', '0', '-', ' ', 0xfc, 0x65e5, 0x1f600};
        for (int left = size(random); left > 0; left--) {
            text.appendCodePoint(letters[random.nextInt(letters.length)]);
        }
        return new String(text.toString().getBytes(StandardCharsets.UTF_8), StandardCharsets.UTF_8);
    }

    private static byte[] bytes(Random random) {
        byte[] bytes = new byte[size(random)];
        random.nextBytes(bytes);
        return bytes;
    }
}
