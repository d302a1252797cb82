"""aiokafka against a broker: topics, produce, consume, groups, admin."""

import asyncio

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAlreadyExistsError
from aiokafka.structs import OffsetAndMetadata

from scenarios import CODECS, DEADLINE_S, check, compare, equal, run, samples


class Admin:
    """An admin client as `async with`."""

    def __init__(self, bootstrap):
        self.client = AIOKafkaAdminClient(bootstrap_servers=bootstrap)

    async def __aenter__(self):
        await self.client.start()
        return self.client

    async def __aexit__(self, *_):
        await self.client.close()


async def create(bootstrap, name, partitions=1):
    async with Admin(bootstrap) as client:
        made = await client.create_topics([NewTopic(name, partitions, 1)])
        equal([error for _, error, _ in made.topic_errors], [0], "create topic")


async def send(bootstrap, topic, sent, partition=0, **config):
    """Sends and waits for every answer; gives the offsets in the order of sending."""
    config = {"acks": "all", **config}
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, linger_ms=20, **config) as producer:
        answers = [
            await producer.send(
                topic, sample.value, sample.key, partition, sample.timestamp, sample.headers)
            for sample in sent
        ]
        await producer.flush()
        return [answer and answer.offset for answer in await asyncio.gather(*answers)]


def content(message):
    return (message.key, message.value, list(message.headers), message.timestamp)


def consumer(bootstrap, group, *topics, **config):
    settings = {"auto_offset_reset": "earliest", "enable_auto_commit": False}
    return AIOKafkaConsumer(
        *topics, bootstrap_servers=bootstrap, group_id=group, **{**settings, **config})


async def take(reader, count):
    """The next `count` messages."""
    return await asyncio.wait_for(several(reader, count), DEADLINE_S)


async def several(reader, count):
    return [await reader.getone() for _ in range(count)]


async def read(bootstrap, topic, count, partition=0, offset=0):
    async with consumer(bootstrap, None) as reader:
        part = TopicPartition(topic, partition)
        reader.assign([part])
        reader.seek(part, offset)
        return await take(reader, count)


async def eventually(condition, what):
    """Awaits `condition` until it is true; fails after the deadline."""
    end = asyncio.get_running_loop().time() + DEADLINE_S
    while asyncio.get_running_loop().time() < end:
        found = await condition()
        if found:
            return found
        await asyncio.sleep(0.02)
    raise AssertionError(f"not within {DEADLINE_S} s: {what}")


async def topics(bootstrap, name):
    await create(bootstrap, name, 3)
    async with Admin(bootstrap) as client:
        found = (await client.describe_topics([name]))[0]["partitions"]
        equal(sorted(part["partition"] for part in found), [0, 1, 2], "partitions")
        again = await client.create_topics([NewTopic(name, 3, 1)])
        errors = [error for _, error, _ in again.topic_errors]
        equal(errors, [TopicAlreadyExistsError.errno], "creating a topic twice")
        await client.create_partitions({name: NewPartitions(5)})

        async def five():
            return len((await client.describe_topics([name]))[0]["partitions"]) == 5

        await eventually(five, "5 partitions")
        await client.delete_topics([name])

        async def gone():
            return name not in await client.list_topics()

        await eventually(gone, "the topic is gone")


async def acks(bootstrap, name):
    await create(bootstrap, name)
    sent = samples(90)
    for start, level in [(0, 0), (30, 1), (60, "all")]:
        await send(bootstrap, name, sent[start:start + 30], acks=level)
    compare([content(message) for message in await read(bootstrap, name, 90)], sent, "acks")


async def codecs(bootstrap, name):
    await create(bootstrap, name, len(CODECS))
    sent = samples(200)
    for partition, codec in enumerate(CODECS):
        kind = None if codec == "none" else codec
        offsets = await send(bootstrap, name, sent, partition, compression_type=kind)
        equal(offsets, list(range(200)), f"{codec}: offsets")
        messages = await read(bootstrap, name, 200, partition)
        compare([content(message) for message in messages], sent, codec)
        middle = await read(bootstrap, name, 77, partition, 123)
        compare([content(message) for message in middle], sent[123:], f"{codec}: from the middle")


async def idempotent(bootstrap, name):
    await create(bootstrap, name)
    sent = samples(1000)
    offsets = await send(bootstrap, name, sent, enable_idempotence=True, max_batch_size=1000)
    equal(offsets, list(range(1000)), "offsets")
    compare([content(message) for message in await read(bootstrap, name, 1000)], sent, "idempotent")


async def groups(bootstrap, name):
    """Two members share four partitions, one leaves, the other goes on; nothing is lost."""
    await create(bootstrap, name, 4)
    config = {"session_timeout_ms": 10000, "heartbeat_interval_ms": 300, "enable_auto_commit": True,
              "auto_commit_interval_ms": 100}

    async def join():
        member = consumer(bootstrap, name, name, **config)
        await member.start()
        seen = []

        async def follow():
            async for message in member:
                seen.append(int(message.value))

        return member, seen, asyncio.create_task(follow())

    async def leave(member, _seen, task):
        task.cancel()
        await member.stop()

    async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
        async def produce(numbers):
            for number in numbers:
                await producer.send(name, b"%d" % number, partition=number % 4)
            await producer.flush()

        def reads(wanted, *members):
            async def condition():
                for _, _, task in members:
                    check(not task.done(), "a member failed")
                return set(wanted) <= {number for _, seen, _ in members for number in seen}
            return condition

        def holds(counts, *members):
            async def condition():
                held = [sorted(p.partition for p in m.assignment()) for m, _, _ in members]
                return sorted(sum(held, [])) == [0, 1, 2, 3] and list(map(len, held)) == counts
            return condition

        first = await join()
        await produce(range(100))
        await eventually(reads(range(100), first), "the first member reads everything alone")
        second = await join()
        await eventually(holds([2, 2], first, second), "two members share the partitions")
        before = len(first[1]), len(second[1])
        await produce(range(100, 200))
        await eventually(reads(range(200), first, second), "two members read everything")
        check(len(first[1]) > before[0] and len(second[1]) > before[1], "both members did work")
        await leave(*second)
        await eventually(holds([4], first), "the first member takes everything back")
        await produce(range(200, 300))
        await eventually(reads(range(200, 300), first), "the first member goes on")
        await leave(*first)


async def resume(bootstrap, name):
    await create(bootstrap, name)
    sent = samples(100)
    await send(bootstrap, name, sent)
    part = TopicPartition(name, 0)
    async with consumer(bootstrap, name, name) as first:
        await take(first, 60)
        await first.commit({part: 60})
    async with consumer(bootstrap, name, name) as second:
        rest = await take(second, 40)
        compare([content(message) for message in rest], sent[60:], "after the commit")
        await second.commit({part: OffsetAndMetadata(77, "seventy-seven")})
        equal(await second.committed(part), 77, "committed")


async def configs(bootstrap, name):
    await create(bootstrap, name)
    async with Admin(bootstrap) as client:
        await client.alter_configs(
            [ConfigResource(ConfigResourceType.TOPIC, name, {"retention.ms": "7200000"})])

        async def described():
            answer = await client.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
            found = {entry[0]: entry[1] for entry in answer[0].resources[0][4]}
            return found["retention.ms"] == "7200000" and found

        found = await eventually(described, "the altered setting is described")
        equal(found["cleanup.policy"], "delete", "cleanup.policy")


async def offsets(bootstrap, name):
    await create(bootstrap, name)
    sent = samples(50)
    await send(bootstrap, name, sent)
    part = TopicPartition(name, 0)
    async with consumer(bootstrap, None) as reader:
        equal((await reader.beginning_offsets([part]))[part], 0, "first offset")
        equal((await reader.end_offsets([part]))[part], 50, "end offset")
        found = await reader.offsets_for_times({part: sent[20].timestamp})
        equal(found[part].offset, 20, "offset of a timestamp")
        late = await reader.offsets_for_times({part: sent[49].timestamp + 1000})
        equal(late[part], None, "offset of a time after the end")


async def records(bootstrap, name):
    await create(bootstrap, name)
    await send(bootstrap, name, samples(50))
    part = TopicPartition(name, 0)
    async with Admin(bootstrap) as client:
        deleted = await client.delete_records({part: RecordsToDelete(30)})
        equal(deleted[part], 30, "low watermark")
    left = [message.offset for message in await read(bootstrap, name, 20, 0, 30)]
    equal(left, list(range(30, 50)), "what is left")
    equal((await read(bootstrap, name, 1, 0, 5))[0].offset, 30, "reading a deleted offset")


async def group_admin(bootstrap, name):
    await create(bootstrap, name)
    await send(bootstrap, name, samples(20))
    part = TopicPartition(name, 0)
    async with Admin(bootstrap) as client:
        async with consumer(bootstrap, name, name, client_id="the-member") as member:
            await take(member, 20)
            await member.commit()
            listed = await client.list_consumer_groups()
            check(name in [group[0] for group in listed], "the group is listed")
            described = (await client.describe_consumer_groups([name]))[0].groups[0]
            equal((described[1], described[2]), (name, "Stable"), "state with a member")
        found = await client.list_consumer_group_offsets(name)
        equal(found[part].offset, 20, "offsets of the group")


def blocking(scenario):
    """The scenario as a plain function of the same name."""
    def plain(bootstrap, name):
        asyncio.run(scenario(bootstrap, name))
    plain.__name__ = scenario.__name__
    return plain


if __name__ == "__main__":
    run([blocking(scenario) for scenario in [
        topics, acks, codecs, idempotent, groups, resume, configs, offsets, records, group_admin]])
