"""kafka-python against a broker: topics, produce, consume, groups, admin."""

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, OffsetSpec
from kafka.errors import TopicAlreadyExistsError
from kafka.structs import OffsetAndMetadata

from scenarios import CODECS, Member, check, compare, equal, run, samples, share_work, until


def admin(bootstrap):
    return KafkaAdminClient(bootstrap_servers=bootstrap)


def create(bootstrap, name, partitions=1):
    with admin(bootstrap) as client:
        client.create_topics({name: {"num_partitions": partitions, "replication_factor": 1}})


def send(bootstrap, topic, sent, partition=0, **config):
    """Sends and waits for every answer; gives the offsets in the order of sending."""
    with KafkaProducer(bootstrap_servers=bootstrap, linger_ms=20, **config) as producer:
        futures = [
            producer.send(topic, sample.value, sample.key, sample.headers, partition, sample.timestamp)
            for sample in sent
        ]
        producer.flush(30)
        return [future.get(30).offset for future in futures]


def content(message):
    return (message.key, message.value, list(message.headers), message.timestamp)


def consumer(bootstrap, group, **config):
    settings = {"auto_offset_reset": "earliest", "enable_auto_commit": False}
    return KafkaConsumer(bootstrap_servers=bootstrap, group_id=group, **settings, **config)


def subscribe(reader, topic):
    """Subscribes, and waits until the topic's partitions are known to the group's member.

    A subscription that arrives together with the first metadata would not be asked about. A leader
    that assigns before the answer joins again after it, and if `poll` ends while that join is under
    way, the member forgets it: the assignment comes and is never taken, and no heartbeat is sent any
    more, with Apache Kafka as with Ottla.
    """
    reader.subscribe([topic])
    reader.topics()


def take(reader, count):
    """The next `count` messages of one partition, or of several in no order."""
    taken = []

    def enough():
        polled = reader.poll(timeout_ms=200, max_records=count - len(taken))
        for messages in polled.values():
            taken.extend(messages)
        return len(taken) >= count

    until(enough, f"{count} messages")
    return taken


def read(bootstrap, topic, count, partition=0, offset=0):
    reader = consumer(bootstrap, None)
    part = TopicPartition(topic, partition)
    reader.assign([part])
    reader.seek(part, offset)
    messages = take(reader, count)
    reader.close()
    return messages


def topics(bootstrap, name):
    create(bootstrap, name, 3)
    with admin(bootstrap) as client:
        found = client.describe_topics([name])[0]["partitions"]
        equal(sorted(part["partition_index"] for part in found), [0, 1, 2], "partitions")
        try:
            create(bootstrap, name)
            raise AssertionError("the same topic was created twice")
        except TopicAlreadyExistsError:
            pass
        client.create_partitions({name: 5})
        until(lambda: len(client.describe_topics([name])[0]["partitions"]) == 5, "5 partitions")
        client.delete_topics([name])
        until(lambda: name not in client.list_topics(), "the topic is gone")


def acks(bootstrap, name):
    create(bootstrap, name)
    sent = samples(90)
    for start, level in [(0, 0), (30, 1), (60, "all")]:
        send(bootstrap, name, sent[start:start + 30], acks=level, enable_idempotence=False)
    compare([content(message) for message in read(bootstrap, name, 90)], sent, "acks")


def codecs(bootstrap, name):
    create(bootstrap, name, len(CODECS))
    sent = samples(200)
    for partition, codec in enumerate(CODECS):
        kind = None if codec == "none" else codec
        offsets = send(bootstrap, name, sent, partition, compression_type=kind)
        equal(offsets, list(range(200)), f"{codec}: offsets")
        messages = read(bootstrap, name, 200, partition)
        compare([content(message) for message in messages], sent, codec)
        middle = read(bootstrap, name, 77, partition, 123)
        compare([content(message) for message in middle], sent[123:], f"{codec}: from the middle")


def idempotent(bootstrap, name):
    create(bootstrap, name)
    sent = samples(1000)
    offsets = send(bootstrap, name, sent, enable_idempotence=True, batch_size=1000)
    equal(offsets, list(range(1000)), "offsets")
    compare([content(message) for message in read(bootstrap, name, 1000)], sent, "idempotent")


def groups(bootstrap, name):
    create(bootstrap, name, 4)
    producer = KafkaProducer(bootstrap_servers=bootstrap)

    def produce(numbers):
        for number in numbers:
            producer.send(name, b"%d" % number, partition=number % 4)
        producer.flush(30)

    def join():
        member = consumer(bootstrap, name, session_timeout_ms=10000, heartbeat_interval_ms=300)
        subscribe(member, name)
        def poll():
            polled = member.poll(timeout_ms=100).values()
            numbers = [int(message.value) for messages in polled for message in messages]
            if numbers:
                member.commit()
            return numbers
        return Member(poll, lambda: [p.partition for p in member.assignment()], member.close)

    share_work(join, produce, 4)
    producer.close()


def resume(bootstrap, name):
    create(bootstrap, name)
    sent = samples(100)
    send(bootstrap, name, sent)
    first = consumer(bootstrap, name)
    subscribe(first, name)
    taken = take(first, 60)
    equal(len(taken), 60, "taken")
    first.commit()
    first.close()
    second = consumer(bootstrap, name)
    subscribe(second, name)
    rest = take(second, 40)
    compare([content(message) for message in rest], sent[60:], "after the commit")
    part = TopicPartition(name, 0)
    second.commit({part: OffsetAndMetadata(77, "seventy-seven", -1)})
    found = second.committed(part, metadata=True)
    equal((found.offset, found.metadata), (77, "seventy-seven"), "committed")
    second.close()


def configs(bootstrap, name):
    create(bootstrap, name)
    with admin(bootstrap) as client:
        altered = ConfigResource(ConfigResourceType.TOPIC, name, {"retention.ms": "7200000"})
        client.alter_configs([altered])
        asked = ConfigResource(ConfigResourceType.TOPIC, name)

        def described():
            found = client.describe_configs([asked], config_filter="all")["topic"][name]
            return found["retention.ms"]["value"] == "7200000" and found

        found = until(described, "the altered setting is described")
        equal(found["cleanup.policy"]["value"], "delete", "cleanup.policy")
        client.reset_configs([altered])
        until(
            lambda: client.describe_configs([asked], config_filter="all")["topic"][name]["retention.ms"]["value"] == "604800000",
            "the setting is back at its default")


def offsets(bootstrap, name):
    create(bootstrap, name)
    sent = samples(50)
    send(bootstrap, name, sent)
    reader = consumer(bootstrap, None)
    part = TopicPartition(name, 0)
    equal(reader.beginning_offsets([part])[part], 0, "first offset")
    equal(reader.end_offsets([part])[part], 50, "end offset")
    equal(reader.offsets_for_times({part: sent[20].timestamp})[part].offset, 20, "offset of a timestamp")
    late = reader.offsets_for_times({part: sent[49].timestamp + 1000})[part]
    equal(late, None, "offset of a time after the end")
    reader.close()
    with admin(bootstrap) as client:
        for spec, wanted in [(OffsetSpec.EARLIEST, 0), (OffsetSpec.LATEST, 50), (OffsetSpec.MAX_TIMESTAMP, 49)]:
            found = client.list_partition_offsets({part: spec})[part]
            equal(found.offset, wanted, f"offset by {spec}")


def records(bootstrap, name):
    create(bootstrap, name)
    send(bootstrap, name, samples(50))
    with admin(bootstrap) as client:
        deleted = client.delete_records({TopicPartition(name, 0): 30})
        equal(deleted[TopicPartition(name, 0)]["low_watermark"], 30, "low watermark")
    left = [message.offset for message in read(bootstrap, name, 20, 0, 30)]
    equal(left, list(range(30, 50)), "what is left")
    equal(read(bootstrap, name, 1, 0, 5)[0].offset, 30, "reading a deleted offset")


def group_admin(bootstrap, name):
    create(bootstrap, name, 2)
    send(bootstrap, name, samples(20))
    member = consumer(bootstrap, name, client_id="the-member")
    subscribe(member, name)
    take(member, 20)
    member.commit()
    with admin(bootstrap) as client:
        described = client.describe_groups([name])[name]
        equal(described["group_state"], "Stable", "state with a member")
        equal([m["client_id"] for m in described["members"]], ["the-member"], "members")
        check(name in [group["group_id"] for group in client.list_groups()], "the group is listed")
        member.close()
        until(lambda: client.describe_groups([name])[name]["group_state"] == "Empty", "empty")
        part = TopicPartition(name, 0)
        equal(client.list_group_offsets({name: [part]})[name][part].offset, 20, "offsets of the group")
        client.alter_group_offsets(name, {part: OffsetAndMetadata(5, "", -1)})
        equal(client.list_group_offsets({name: [part]})[name][part].offset, 5, "altered offset")
        client.delete_groups([name])
        check(name not in [group["group_id"] for group in client.list_groups()], "the group is gone")


def cluster(bootstrap, _name):
    with admin(bootstrap) as client:
        found = client.describe_cluster()
        check(found["cluster_id"], "the cluster has an id")
        nodes = [f"{broker['host']}:{broker['port']}" for broker in found["brokers"]]
        equal(nodes, [bootstrap], "the address of the node")
        check(client.describe_log_dirs(), "log directories")


if __name__ == "__main__":
    run([topics, acks, codecs, idempotent, groups, resume, configs, offsets, records, group_admin, cluster])
