// kafkajs against a broker: topics, produce, consume, groups, admin.
// Usage: node kafkajs_client.js BOOTSTRAP PREFIX [SCENARIO]...
"use strict";

const { isDeepStrictEqual } = require("node:util");
const {
  AssignerProtocol, CompressionCodecs, CompressionTypes, ConfigResourceTypes, Kafka, logLevel,
} = require("kafkajs");
const SnappyCodec = require("kafkajs-snappy");
const lz4 = require("lz4js");
const xxh32 = require("lz4js/xxh32.js");
const zstd = require("@bokuweb/zstd-wasm");

const DEADLINE_MS = 45_000;
const CODECS = ["None", "GZIP", "Snappy", "LZ4", "ZSTD"];

CompressionCodecs[CompressionTypes.Snappy] = SnappyCodec;
CompressionCodecs[CompressionTypes.LZ4] = () => ({
  compress: async (encoder) => independent(lz4.compress(encoder.buffer)),
  decompress: async (bytes) => Buffer.from(lz4.decompress(bytes)),
});
CompressionCodecs[CompressionTypes.ZSTD] = () => ({
  compress: async (encoder) => Buffer.from(zstd.compress(encoder.buffer)),
  decompress: async (bytes) => Buffer.from(zstd.decompress(bytes)),
});

// lz4js says that the blocks of its frames depend on each other, which Kafka refuses. Ours are one
// block, which depends on nothing: say so, and seal the header again.
function independent(frame) {
  frame[4] |= 0x20;
  frame[6] = (xxh32.hash(0, frame, 4, 2) >> 8) & 0xff;
  return Buffer.from(frame);
}

// Records with and without keys, values and headers; timestamps of the last minutes.
function samples(count) {
  const start = Date.now() - 200_000;
  return Array.from({ length: count }, (_, number) => {
    const key = number % 7 === 0 ? null : Buffer.from(`key-${number}`);
    let value = Buffer.from(`value-${number}-`.repeat(1 + (number % 50)));
    if (number % 11 === 5 && key) value = null;
    if (number % 13 === 3) value = Buffer.alloc(0);
    const headers =
      number % 3 === 0
        ? { h: [Buffer.from("one"), Buffer.from("two")], empty: Buffer.alloc(0), binary: Buffer.from([0, 255]) }
        : {};
    return { key, value, headers, timestamp: String(start + number) };
  });
}

function equal(found, wanted, what) {
  if (!isDeepStrictEqual(found, wanted)) {
    const short = (value) => JSON.stringify(value)?.slice(0, 300);
    throw new Error(`${what}: got ${short(found)}, wanted ${short(wanted)}`);
  }
}

function compare(found, sent, what) {
  equal(found.length, sent.length, `${what}: number of records`);
  found.forEach(({ key, value, headers, timestamp }, at) => {
    equal({ key, value, headers: { ...headers }, timestamp }, sent[at], `${what}: record ${at}`);
  });
}

// Asks until the answer is yes; fails after the deadline.
async function until(condition, what) {
  for (const end = Date.now() + DEADLINE_MS; Date.now() < end; ) {
    if (await condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(`not within ${DEADLINE_MS} ms: ${what}`);
}

async function run(scenarios) {
  const [bootstrap, prefix, ...chosen] = process.argv.slice(2);
  if (!prefix) throw new Error("usage: kafkajs_client.js BOOTSTRAP PREFIX [SCENARIO]...");
  await zstd.init();
  const kafka = new Kafka({ brokers: [bootstrap], clientId: "the-member", logLevel: logLevel.NOTHING });
  let failed = 0;
  for (const scenario of scenarios) {
    if (chosen.length > 0 && !chosen.includes(scenario.name)) continue;
    const start = Date.now();
    try {
      await scenario(kafka, `${prefix}-${scenario.name}`, bootstrap);
      console.log(`ok ${scenario.name} ${Date.now() - start} ms`);
    } catch (error) {
      failed += 1;
      console.log(`FAILED ${scenario.name}: ${error.message}`);
      console.error(error.stack);
    }
  }
  process.exit(failed > 0 ? 1 : 0);
}

async function withAdmin(kafka, act) {
  const admin = kafka.admin({ retry: { retries: 5 } });
  await admin.connect();
  try {
    return await act(admin);
  } finally {
    await admin.disconnect();
  }
}

const create = (kafka, topic, numPartitions = 1) =>
  withAdmin(kafka, (admin) => admin.createTopics({ topics: [{ topic, numPartitions }], waitForLeaders: true }));

async function send(kafka, topic, messages, partition = 0, options = {}) {
  const { idempotent = false, acks = -1, compression = CompressionTypes.None } = options;
  const producer = kafka.producer({ idempotent, maxInFlightRequests: idempotent ? 1 : null });
  await producer.connect();
  const placed = messages.map((message) => ({ ...message, partition }));
  for (let at = 0; at < placed.length; at += 70) {
    const answer = await producer.send({ topic, acks, compression, messages: placed.slice(at, at + 70) });
    if (acks !== 0) equal(answer.map((part) => part.errorCode), [0], "produce");
  }
  await producer.disconnect();
}

// The first `count` records of a partition from `offset`, through a group of its own.
async function read(kafka, topic, count, partition = 0, offset = 0) {
  const consumer = kafka.consumer({ groupId: `${topic}-reader-${partition}-${offset}`, maxWaitTimeInMs: 200 });
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  const found = [];
  let failure;
  await consumer.run({
    autoCommit: false,
    eachMessage: async ({ partition: from, message }) => {
      if (from !== partition || found.length === count || Number(message.offset) < offset) return;
      if (Number(message.offset) !== offset + found.length) failure = `offset ${message.offset} at ${found.length}`;
      found.push(message);
    },
  });
  consumer.seek({ topic, partition, offset: String(offset) });
  await until(() => failure || found.length === count, `${count} records`);
  await consumer.disconnect();
  equal(failure, undefined, "offsets read");
  return found;
}

async function topics(kafka, name) {
  await create(kafka, name, 3);
  await withAdmin(kafka, async (admin) => {
    const partitions = async () => {
      const found = await admin.fetchTopicMetadata({ topics: [name] });
      return found.topics[0].partitions.length;
    };
    equal(await partitions(), 3, "partitions");
    equal(await admin.createTopics({ topics: [{ topic: name }] }), false, "creating a topic twice");
    await admin.createPartitions({ topicPartitions: [{ topic: name, count: 5 }] });
    await until(async () => (await partitions()) === 5, "5 partitions");
    await admin.deleteTopics({ topics: [name] });
    await until(async () => !(await admin.listTopics()).includes(name), "the topic is gone");
  });
}

async function acks(kafka, name) {
  await create(kafka, name);
  const sent = samples(90);
  for (const [at, level] of [0, 1, -1].entries()) {
    await send(kafka, name, sent.slice(30 * at, 30 * at + 30), 0, { acks: level });
  }
  compare(await read(kafka, name, 90), sent, "acks");
}

async function codecs(kafka, name) {
  await create(kafka, name, CODECS.length);
  const sent = samples(200);
  for (const [partition, codec] of CODECS.entries()) {
    await send(kafka, name, sent, partition, { compression: CompressionTypes[codec] });
    compare(await read(kafka, name, 200, partition), sent, codec);
    compare(await read(kafka, name, 77, partition, 123), sent.slice(123), `${codec} from the middle`);
  }
}

async function idempotent(kafka, name) {
  await create(kafka, name);
  const sent = samples(500);
  await send(kafka, name, sent, 0, { idempotent: true });
  compare(await read(kafka, name, 500), sent, "idempotent");
}

// A member of a group that notes the numbers it reads and the partitions it holds.
async function join(kafka, topic) {
  const consumer = kafka.consumer({
    groupId: topic, sessionTimeout: 10_000, heartbeatInterval: 300, maxWaitTimeInMs: 100, rebalanceTimeout: 10_000,
  });
  const member = { seen: new Set(), held: [], leave: () => consumer.disconnect() };
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
    member.held = payload.memberAssignment[topic] ?? [];
  });
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  await consumer.run({
    autoCommitThreshold: 1,
    eachMessage: async ({ message }) => member.seen.add(Number(message.value.toString())),
  });
  return member;
}

async function groups(kafka, name) {
  await create(kafka, name, 4);
  const producer = kafka.producer();
  await producer.connect();
  const produce = async (first, last) => {
    for (let number = first; number < last; number += 1) {
      await producer.send({ topic: name, messages: [{ value: String(number), partition: number % 4 }] });
    }
  };
  const have = (first, last, ...members) => {
    for (let number = first; number < last; number += 1) {
      if (!members.some((member) => member.seen.has(number))) return false;
    }
    return true;
  };
  const first = await join(kafka, name);
  await produce(0, 50);
  await until(() => have(0, 50, first), "the first member reads everything alone");
  const second = await join(kafka, name);
  await until(() => first.held.length === 2 && second.held.length === 2, "two members share the partitions");
  await produce(50, 100);
  await until(() => have(50, 100, first, second), "two members read everything");
  equal(have(50, 100, first) || second.seen.size === 0, false, "one member did all the work");
  await second.leave();
  await until(() => first.held.length === 4, "the first member takes everything back");
  await produce(100, 150);
  await until(() => have(100, 150, first), "the first member goes on");
  await first.leave();
  await producer.disconnect();
}

async function resume(kafka, name) {
  await create(kafka, name);
  const sent = samples(100);
  await send(kafka, name, sent);
  const take = async (count, commit) => {
    const consumer = kafka.consumer({ groupId: name, maxWaitTimeInMs: 200 });
    await consumer.connect();
    await consumer.subscribe({ topic: name, fromBeginning: true });
    const found = [];
    await consumer.run({ autoCommit: false, eachMessage: async ({ message }) => found.push(message) });
    await until(() => found.length >= count, `${count} records`);
    await consumer.commitOffsets([{ topic: name, partition: 0, offset: commit, metadata: "a mark" }]);
    await consumer.disconnect();
    return found.slice(0, count);
  };
  await take(60, "60");
  compare(await take(40, "77"), sent.slice(60), "after the commit");
  const found = await withAdmin(kafka, (admin) => admin.fetchOffsets({ groupId: name, topics: [name] }));
  equal(found[0].partitions, [{ partition: 0, offset: "77", metadata: "a mark" }], "committed");
}

async function configs(kafka, name) {
  await create(kafka, name);
  await withAdmin(kafka, async (admin) => {
    const type = ConfigResourceTypes.TOPIC;
    const configEntries = [{ name: "retention.ms", value: "7200000" }];
    await admin.alterConfigs({ resources: [{ type, name, configEntries }] });
    await until(async () => {
      const found = await admin.describeConfigs({ resources: [{ type, name }] });
      const value = (key) => found.resources[0].configEntries.find((entry) => entry.configName === key).configValue;
      equal(value("cleanup.policy"), "delete", "cleanup.policy");
      return value("retention.ms") === "7200000";
    }, "the altered setting is described");
  });
}

async function offsets(kafka, name) {
  await create(kafka, name);
  const sent = samples(50);
  await send(kafka, name, sent);
  await withAdmin(kafka, async (admin) => {
    equal(await admin.fetchTopicOffsets(name), [{ partition: 0, offset: "50", high: "50", low: "0" }], "offsets");
    const found = await admin.fetchTopicOffsetsByTimestamp(name, Number(sent[20].timestamp));
    equal(found, [{ partition: 0, offset: "20" }], "offset of a time");
  });
}

async function records(kafka, name) {
  await create(kafka, name);
  const sent = samples(50);
  await send(kafka, name, sent);
  await withAdmin(kafka, async (admin) => {
    equal((await admin.fetchTopicOffsets(name))[0].low, "0", "low watermark");
    await admin.deleteTopicRecords({ topic: name, partitions: [{ partition: 0, offset: "30" }] });
    equal((await admin.fetchTopicOffsets(name))[0].low, "30", "low watermark");
  });
  compare(await read(kafka, name, 20, 0, 30), sent.slice(30), "what is left");
}

async function group_admin(kafka, name) {
  await create(kafka, name);
  const member = await join(kafka, name);
  await until(() => member.held.length === 1, "the member holds its partition");
  await withAdmin(kafka, async (admin) => {
    const describe = async () => (await admin.describeGroups([name])).groups[0];
    const found = await describe();
    equal(found.state, "Stable", "state with a member");
    equal(found.members[0].clientId, "the-member", "client id");
    const assigned = AssignerProtocol.MemberAssignment.decode(found.members[0].memberAssignment).assignment;
    equal({ ...assigned }, { [name]: [0] }, "assignment");
    const listed = async () => (await admin.listGroups()).groups.some((group) => group.groupId === name);
    equal(await listed(), true, "the group is listed");
    await member.leave();
    await until(async () => (await describe()).state === "Empty", "the group is empty");
    await admin.deleteGroups([name]);
    equal(await listed(), false, "the group is listed after its deletion");
  });
}

async function cluster(kafka, _name, bootstrap) {
  const found = await withAdmin(kafka, (admin) => admin.describeCluster());
  equal(found.brokers.map((node) => `${node.host}:${node.port}`), [bootstrap], "the address of the node");
}

run([topics, acks, codecs, idempotent, groups, resume, configs, offsets, records, group_admin, cluster]);
