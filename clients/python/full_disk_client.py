"""librdkafka's producer at a broker whose log directories count as full: each record fails at once
with the broker's reason, and the same producer goes on when there is space."""

from confluent_kafka import KafkaError, Producer
from confluent_kafka.admin import (
    AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic,
)

from scenarios import check, equal, run, until

# Far beyond what a test may take: a record that waits for it was not refused.
TIMEOUT_MS = 600_000
SETTING = "log.dir.free.refuse.bytes"


def refuse(admin, size):
    """More free space is wanted than there is, or as much as usual."""
    operation = AlterConfigOpType.SET if size else AlterConfigOpType.DELETE
    entry = ConfigEntry(SETTING, size or "", incremental_operation=operation)
    resource = ConfigResource(ConfigResource.Type.BROKER, "1", incremental_configs=[entry])
    for answer in admin.incremental_alter_configs([resource]).values():
        answer.result(30)


def one(producer, topic):
    """Sends a record and gives the error of its answer, or none."""
    answers = []
    producer.produce(topic, b"value", on_delivery=lambda error, _: answers.append(error))
    equal(producer.flush(60), 0, "records without an answer")
    return answers[0]


def refused(bootstrap, topic, **config):
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)])[topic].result(30)
    producer = Producer({
        "bootstrap.servers": bootstrap, "linger.ms": 0, "message.timeout.ms": TIMEOUT_MS, **config,
    })
    equal(one(producer, topic), None, "an answer while there is space")
    refuse(admin, str(1 << 60))
    seen = []

    def is_refused():
        seen.append(one(producer, topic))
        return seen[-1] is not None

    until(is_refused, "a refusal")
    for _ in range(3):
        error = one(producer, topic)
        check(error is not None, "a record was taken by a full disk")
        equal(error.code(), KafkaError.POLICY_VIOLATION, "the reason")
        check(not error.fatal(), f"the producer is lost: {error}")
    equal(seen[-1].code(), KafkaError.POLICY_VIOLATION, "the first reason")
    refuse(admin, None)
    until(lambda: one(producer, topic) is None, "a record that is taken again")


def plain(bootstrap, name):
    refused(bootstrap, name)


def idempotent(bootstrap, name):
    refused(bootstrap, name, **{"enable.idempotence": True})


if __name__ == "__main__":
    run([plain, idempotent])
