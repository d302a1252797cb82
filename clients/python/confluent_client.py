"""confluent-kafka (librdkafka) against a broker: topics, produce, consume, groups, admin."""

import functools

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka import ConsumerGroupTopicPartitions, IsolationLevel
from confluent_kafka.admin import (
    AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions, NewTopic, OffsetSpec,
)

from scenarios import CODECS, Member, check, compare, equal, run, samples, share_work, until


@functools.cache
def admin(bootstrap):
    """One client for all: a result is lost when its client goes away."""
    return AdminClient({"bootstrap.servers": bootstrap})


def create(bootstrap, name, partitions=1, **config):
    topic = NewTopic(name, num_partitions=partitions, replication_factor=1, config=config)
    admin(bootstrap).create_topics([topic])[name].result(30)


def send(bootstrap, topic, sent, partition=0, **config):
    """Sends and waits for every answer; gives the offsets in the order of the answers."""
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 20, **config})
    answers = []
    for sample in sent:
        producer.produce(
            topic, sample.value, sample.key, partition, headers=sample.headers,
            timestamp=sample.timestamp, on_delivery=lambda e, m: answers.append((e, m.offset())),
        )
    equal(producer.flush(30), 0, "records without an answer")
    errors = [str(error) for error, _ in answers if error]
    equal(errors, [], "errors of produce")
    return [offset for _, offset in answers]


def content(message):
    return (message.key(), message.value(), message.headers() or [], message.timestamp()[1])


def consumer(bootstrap, group, **config):
    settings = {"auto.offset.reset": "earliest", "enable.auto.commit": False}
    return Consumer({"bootstrap.servers": bootstrap, "group.id": group, **settings, **config})


def take(reader, count):
    """The next `count` messages."""
    taken = []

    def enough():
        for message in reader.consume(count - len(taken), 0.2):
            check(message.error() is None, f"consume: {message.error()}")
            taken.append(message)
        return len(taken) >= count

    until(enough, f"{count} messages")
    return taken


def read(bootstrap, topic, count, partition=0, offset=0):
    reader = consumer(bootstrap, "reader")
    reader.assign([TopicPartition(topic, partition, offset)])
    messages = take(reader, count)
    reader.close()
    return messages


def topics(bootstrap, name):
    create(bootstrap, name, 3, **{"retention.ms": "3600000"})
    found = admin(bootstrap).list_topics(name, timeout=30).topics[name]
    equal(sorted(found.partitions), [0, 1, 2], "partitions")
    try:
        create(bootstrap, name)
        raise AssertionError("the same topic was created twice")
    except KafkaException as error:
        equal(error.args[0].name(), "TOPIC_ALREADY_EXISTS", "creating a topic twice")
    admin(bootstrap).create_partitions([NewPartitions(name, 5)])[name].result(30)
    more = admin(bootstrap)
    until(lambda: len(more.list_topics(name, timeout=30).topics[name].partitions) == 5, "5 partitions")
    more.delete_topics([name])[name].result(30)
    until(lambda: name not in more.list_topics(timeout=30).topics, "the topic is gone")


def acks(bootstrap, name):
    create(bootstrap, name)
    sent = samples(90)
    for start, level in [(0, "0"), (30, "1"), (60, "all")]:
        send(bootstrap, name, sent[start:start + 30], acks=level)
    compare([content(message) for message in read(bootstrap, name, 90)], sent, "acks")


def codecs(bootstrap, name):
    create(bootstrap, name, len(CODECS))
    sent = samples(200)
    for partition, codec in enumerate(CODECS):
        offsets = send(bootstrap, name, sent, partition, **{"compression.type": codec})
        equal(offsets, list(range(200)), f"{codec}: offsets")
        messages = read(bootstrap, name, 200, partition)
        compare([content(message) for message in messages], sent, codec)
        equal([message.offset() for message in messages], list(range(200)), f"{codec}: offsets read")
        middle = read(bootstrap, name, 77, partition, 123)
        compare([content(message) for message in middle], sent[123:], f"{codec}: from the middle")


def idempotent(bootstrap, name):
    create(bootstrap, name)
    sent = samples(1000)
    offsets = send(bootstrap, name, sent, **{"enable.idempotence": True, "batch.num.messages": 10})
    equal(offsets, list(range(1000)), "offsets")
    compare([content(message) for message in read(bootstrap, name, 1000)], sent, "idempotent")


def groups(bootstrap, name):
    for strategy in ["range", "roundrobin", "cooperative-sticky"]:
        topic = f"{name}-{strategy}"
        create(bootstrap, topic, 4)
        producer = Producer({"bootstrap.servers": bootstrap})

        def produce(numbers):
            for number in numbers:
                producer.produce(topic, str(number), partition=number % 4)
            equal(producer.flush(30), 0, "records without an answer")

        def join():
            member = consumer(
                bootstrap, topic, **{
                    "partition.assignment.strategy": strategy, "session.timeout.ms": 10000,
                    "heartbeat.interval.ms": 300, "enable.auto.commit": True,
                    "auto.commit.interval.ms": 100, "topic.metadata.refresh.interval.ms": 500,
                })
            member.subscribe([topic])
            return Member(
                lambda: [int(m.value()) for m in member.consume(50, 0.1) if not m.error()],
                lambda: [part.partition for part in member.assignment()],
                member.close,
            )

        share_work(join, produce, 4)


def resume(bootstrap, name):
    create(bootstrap, name)
    sent = samples(100)
    send(bootstrap, name, sent)
    first = consumer(bootstrap, name)
    first.subscribe([name])
    taken = take(first, 60)
    first.commit(taken[59], asynchronous=False)
    first.close()
    second = consumer(bootstrap, name)
    second.subscribe([name])
    rest = take(second, 40)
    compare([content(message) for message in rest], sent[60:], "after the commit")
    mark = TopicPartition(name, 0, 77, metadata="seventy-seven")
    second.commit(offsets=[mark], asynchronous=False)
    committed = second.committed([TopicPartition(name, 0)], timeout=30)[0]
    equal((committed.offset, committed.metadata), (77, "seventy-seven"), "committed")
    second.close()


def configs(bootstrap, name):
    create(bootstrap, name)
    client = admin(bootstrap)
    retention = ConfigEntry("retention.ms", "7200000", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource("topic", name, incremental_configs=[retention])
    client.incremental_alter_configs([resource])[resource].result(30)
    asked = ConfigResource("topic", name)

    def described():
        found = client.describe_configs([asked])[asked].result(30)
        return found["retention.ms"].value == "7200000" and found

    found = until(described, "the altered setting is described")
    equal(found["cleanup.policy"].value, "delete", "cleanup.policy")
    check(found["cleanup.policy"].is_default, "cleanup.policy is a default")
    check(not found["retention.ms"].is_default, "retention.ms is no default")


def offsets(bootstrap, name):
    create(bootstrap, name)
    sent = samples(50)
    send(bootstrap, name, sent)
    reader = consumer(bootstrap, name)
    equal(reader.get_watermark_offsets(TopicPartition(name, 0), 30), (0, 50), "watermarks")
    asked = [TopicPartition(name, 0, sent[20].timestamp)]
    equal(reader.offsets_for_times(asked, 30)[0].offset, 20, "offset of a timestamp")
    late = [TopicPartition(name, 0, sent[49].timestamp + 1000)]
    equal(reader.offsets_for_times(late, 30)[0].offset, -1, "offset of a time after the end")
    reader.close()
    part = TopicPartition(name, 0)
    specs = [OffsetSpec.earliest(), OffsetSpec.latest(), OffsetSpec.max_timestamp()]
    for spec, wanted in zip(specs, [0, 50, 49]):
        asked = admin(bootstrap).list_offsets(
            {part: spec}, isolation_level=IsolationLevel.READ_UNCOMMITTED)
        equal(asked[part].result(30).offset, wanted, f"list_offsets {type(spec).__name__}")


def records(bootstrap, name):
    create(bootstrap, name)
    send(bootstrap, name, samples(50))
    deleted = admin(bootstrap).delete_records([TopicPartition(name, 0, 30)])
    equal([f.result(30).low_watermark for f in deleted.values()], [30], "low watermark")
    equal([m.offset() for m in read(bootstrap, name, 20, 0, 30)], list(range(30, 50)), "what is left")
    reader = consumer(bootstrap, name)
    reader.assign([TopicPartition(name, 0, 5)])
    equal(take(reader, 1)[0].offset(), 30, "reading a deleted offset goes on at the start")
    reader.close()


def group_admin(bootstrap, name):
    create(bootstrap, name, 2)
    send(bootstrap, name, samples(20))
    client = admin(bootstrap)
    member = consumer(bootstrap, name, **{"client.id": "the-member"})
    member.subscribe([name])
    take(member, 20)
    member.commit(asynchronous=False)
    described = client.describe_consumer_groups([name])[name].result(30)
    equal(described.state.name, "STABLE", "state with a member")
    equal([m.client_id for m in described.members], ["the-member"], "members")
    equal(len(described.members[0].assignment.topic_partitions), 2, "assignment")
    listed = client.list_consumer_groups().result().valid
    check(name in [group.group_id for group in listed], "the group is listed")
    member.close()
    until(lambda: client.describe_consumer_groups([name])[name].result(30).state.name == "EMPTY", "empty")
    asked = ConsumerGroupTopicPartitions(name)
    found = client.list_consumer_group_offsets([asked])[name].result(30).topic_partitions
    equal([(p.partition, p.offset) for p in found if p.offset >= 0], [(0, 20)], "offsets of the group")
    moved = ConsumerGroupTopicPartitions(name, [TopicPartition(name, 0, 5)])
    client.alter_consumer_group_offsets([moved])[name].result(30)
    again = consumer(bootstrap, name)
    again.subscribe([name])
    equal(take(again, 1)[0].offset(), 5, "reading goes on at the altered offset")
    again.close()
    until(lambda: client.describe_consumer_groups([name])[name].result(30).state.name == "EMPTY", "empty")
    client.delete_consumer_groups([name])[name].result(30)
    listed = client.list_consumer_groups().result().valid
    check(name not in [group.group_id for group in listed], "the group is gone")


def cluster(bootstrap, name):
    found = admin(bootstrap).describe_cluster().result(30)
    equal(len(found.nodes), 1, "nodes")
    check(found.cluster_id, "the cluster has an id")
    equal(f"{found.nodes[0].host}:{found.nodes[0].port}", bootstrap, "the address of the node")


if __name__ == "__main__":
    run([topics, acks, codecs, idempotent, groups, resume, configs, offsets, records, group_admin, cluster])
