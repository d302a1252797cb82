// Command kafkago runs segmentio/kafka-go against a broker: topics, produce, consume, groups, admin.
package main

import (
	"context"
	"errors"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"

	"ottla/clients/check"
)

var ctx = context.Background()

func main() {
	check.Run([]check.Scenario{
		{Name: "topics", Do: topics},
		{Name: "acks", Do: acks},
		{Name: "codecs", Do: codecs},
		{Name: "groups", Do: groups},
		{Name: "resume", Do: resume},
		{Name: "configs", Do: configs},
		{Name: "offsets", Do: offsets},
		{Name: "group_admin", Do: groupAdmin},
		{Name: "cluster", Do: cluster},
	})
}

func admin(bootstrap string) *kafka.Client {
	return &kafka.Client{Addr: kafka.TCP(bootstrap), Timeout: check.Deadline}
}

func create(bootstrap, name string, partitions int) error {
	topic := kafka.TopicConfig{Topic: name, NumPartitions: partitions, ReplicationFactor: 1}
	made, err := admin(bootstrap).CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{topic}})
	if err != nil {
		return err
	}
	return made.Errors[name]
}

func message(sample check.Sample) kafka.Message {
	made := kafka.Message{Key: sample.Key, Value: sample.Value, Time: sample.Time}
	for _, header := range sample.Headers {
		made.Headers = append(made.Headers, kafka.Header{Key: header.Key, Value: header.Value})
	}
	return made
}

// one sends every record to the same partition.
func one(partition int) kafka.BalancerFunc {
	return func(kafka.Message, ...int) int { return partition }
}

func send(bootstrap, topic string, sent []check.Sample, partition int, acks kafka.RequiredAcks, codec kafka.Compression) {
	writer := &kafka.Writer{
		Addr: kafka.TCP(bootstrap), Topic: topic, Balancer: one(partition), RequiredAcks: acks,
		Compression: codec, BatchTimeout: 10 * time.Millisecond, BatchSize: 50,
	}
	messages := make([]kafka.Message, len(sent))
	for at, sample := range sent {
		messages[at] = message(sample)
	}
	check.Ok(writer.WriteMessages(ctx, messages...), "produce")
	check.Ok(writer.Close(), "close")
}

func content(found kafka.Message) check.Sample {
	sample := check.Sample{Key: found.Key, Value: found.Value, Time: found.Time}
	for _, header := range found.Headers {
		sample.Headers = append(sample.Headers, check.Header{Key: header.Key, Value: header.Value})
	}
	return sample
}

func within() (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, check.Deadline)
}

func read(bootstrap, topic string, count, partition int, offset int64) (found []check.Sample) {
	reader := kafka.NewReader(kafka.ReaderConfig{
		Brokers: []string{bootstrap}, Topic: topic, Partition: partition, MaxWait: 100 * time.Millisecond,
	})
	defer reader.Close()
	check.Ok(reader.SetOffset(offset), "set offset")
	limit, cancel := within()
	defer cancel()
	for at := range count {
		got, err := reader.ReadMessage(limit)
		check.Ok(err, "read")
		check.Equal(got.Offset, offset+int64(at), "offset of a record read")
		found = append(found, content(got))
	}
	return found
}

// without gives the samples as kafka-go reads them: it does not tell null from empty.
func without(samples []check.Sample) []check.Sample {
	told := make([]check.Sample, len(samples))
	for at, sample := range samples {
		if len(sample.Key) == 0 {
			sample.Key = nil
		}
		if len(sample.Value) == 0 {
			sample.Value = nil
		}
		told[at] = sample
	}
	return told
}

func partitions(bootstrap, name string) int {
	found, err := admin(bootstrap).Metadata(ctx, &kafka.MetadataRequest{Topics: []string{name}})
	check.Ok(err, "metadata")
	return len(found.Topics[0].Partitions)
}

func topics(bootstrap, name string) {
	check.Ok(create(bootstrap, name, 3), "create topic")
	check.Until(func() bool { return partitions(bootstrap, name) == 3 }, "3 partitions")
	check.Equal(errors.Is(create(bootstrap, name, 3), kafka.TopicAlreadyExists), true, "creating a topic twice")
	more := kafka.TopicPartitionsConfig{Name: name, Count: 5}
	made, err := admin(bootstrap).CreatePartitions(ctx, &kafka.CreatePartitionsRequest{Topics: []kafka.TopicPartitionsConfig{more}})
	check.Ok(err, "more partitions")
	check.Ok(made.Errors[name], "more partitions")
	check.Until(func() bool { return partitions(bootstrap, name) == 5 }, "5 partitions")
	gone, err := admin(bootstrap).DeleteTopics(ctx, &kafka.DeleteTopicsRequest{Topics: []string{name}})
	check.Ok(err, "delete topic")
	check.Ok(gone.Errors[name], "delete topic")
	check.Until(func() bool { return partitions(bootstrap, name) == 0 }, "the topic is gone")
}

func acks(bootstrap, name string) {
	check.Ok(create(bootstrap, name, 1), "create topic")
	sent := check.Samples(90)
	for at, level := range []kafka.RequiredAcks{kafka.RequireNone, kafka.RequireOne, kafka.RequireAll} {
		send(bootstrap, name, sent[30*at:30*at+30], 0, level, 0)
	}
	check.Compare(without(read(bootstrap, name, 90, 0, 0)), without(sent), "acks")
}

func codecs(bootstrap, name string) {
	check.Ok(create(bootstrap, name, len(check.Codecs)), "create topic")
	sent := check.Samples(200)
	kinds := []kafka.Compression{0, kafka.Gzip, kafka.Snappy, kafka.Lz4, kafka.Zstd}
	for partition, codec := range check.Codecs {
		send(bootstrap, name, sent, partition, kafka.RequireAll, kinds[partition])
		check.Compare(without(read(bootstrap, name, 200, partition, 0)), without(sent), codec)
		check.Compare(without(read(bootstrap, name, 77, partition, 123)), without(sent[123:]), codec+" from the middle")
	}
}

// member is a group reader on a goroutine of its own.
type member struct {
	lock sync.Mutex
	seen map[int]bool
	stop context.CancelFunc
	left chan struct{}
}

func reader(bootstrap, name string) *kafka.Reader {
	return kafka.NewReader(kafka.ReaderConfig{
		Brokers: []string{bootstrap}, Topic: name, GroupID: name, MaxWait: 100 * time.Millisecond,
		StartOffset: kafka.FirstOffset, HeartbeatInterval: 300 * time.Millisecond,
		SessionTimeout: 10 * time.Second, RebalanceTimeout: 10 * time.Second,
	})
}

func join(bootstrap, name string) *member {
	m := &member{seen: map[int]bool{}, left: make(chan struct{})}
	polling, stop := context.WithCancel(ctx)
	m.stop = stop
	go func() {
		defer close(m.left)
		group := reader(bootstrap, name)
		defer group.Close()
		for {
			got, err := group.ReadMessage(polling)
			if err != nil {
				return
			}
			number, _ := strconv.Atoi(string(got.Value))
			m.lock.Lock()
			m.seen[number] = true
			m.lock.Unlock()
		}
	}()
	return m
}

func (m *member) leave() {
	m.stop()
	select {
	case <-m.left:
	case <-time.After(check.Deadline):
		check.Fail("a member did not leave")
	}
}

// count says how many of the numbers from first to before last the member has seen.
func (m *member) count(first, last int) (count int) {
	m.lock.Lock()
	defer m.lock.Unlock()
	for number := first; number < last; number++ {
		if m.seen[number] {
			count++
		}
	}
	return count
}

// members gives how many members the group has, once it is stable; 0 before.
func members(bootstrap, name string) int {
	found, err := admin(bootstrap).DescribeGroups(ctx, &kafka.DescribeGroupsRequest{GroupIDs: []string{name}})
	check.Ok(err, "describe groups")
	if found.Groups[0].GroupState != "Stable" {
		return 0
	}
	return len(found.Groups[0].Members)
}

func groups(bootstrap, name string) {
	check.Ok(create(bootstrap, name, 4), "create topic")
	produce := func(first, last int) {
		writer := &kafka.Writer{
			Addr: kafka.TCP(bootstrap), Topic: name, Balancer: &kafka.RoundRobin{}, BatchTimeout: time.Millisecond,
			RequiredAcks: kafka.RequireAll, BatchSize: 1,
		}
		defer writer.Close()
		for number := first; number < last; number++ {
			record := kafka.Message{Value: []byte(strconv.Itoa(number))}
			check.Ok(writer.WriteMessages(ctx, record), "produce")
		}
	}
	first := join(bootstrap, name)
	produce(0, 50)
	check.Until(func() bool { return first.count(0, 50) == 50 }, "the first member reads everything alone")
	second := join(bootstrap, name)
	check.Until(func() bool { return members(bootstrap, name) == 2 }, "two members")
	produce(50, 100)
	check.Until(func() bool { return first.count(50, 100)+second.count(50, 100) >= 50 }, "two members read everything")
	check.Equal(first.count(50, 100) < 50 && second.count(50, 100) > 0, true, "both members did work")
	second.leave()
	check.Until(func() bool { return members(bootstrap, name) == 1 }, "one member")
	produce(100, 150)
	check.Until(func() bool { return first.count(100, 150) == 50 }, "the first member goes on")
	first.leave()
}

func resume(bootstrap, name string) {
	check.Ok(create(bootstrap, name, 1), "create topic")
	sent := check.Samples(100)
	send(bootstrap, name, sent, 0, kafka.RequireAll, 0)
	take := func(count int) (taken []check.Sample) {
		group := reader(bootstrap, name)
		limit, cancel := within()
		defer cancel()
		for range count {
			got, err := group.FetchMessage(limit)
			check.Ok(err, "fetch")
			check.Ok(group.CommitMessages(limit, got), "commit")
			taken = append(taken, content(got))
		}
		check.Ok(group.Close(), "close")
		return taken
	}
	check.Compare(without(take(60)), without(sent[:60]), "before")
	check.Compare(without(take(40)), without(sent[60:]), "after the commit")
	asked := &kafka.OffsetFetchRequest{GroupID: name, Topics: map[string][]int{name: {0}}}
	found, err := admin(bootstrap).OffsetFetch(ctx, asked)
	check.Ok(err, "offset fetch")
	check.Equal(found.Topics[name][0].CommittedOffset, 100, "committed")
}

func configs(bootstrap, name string) {
	check.Ok(create(bootstrap, name, 1), "create topic")
	set := kafka.IncrementalAlterConfigsRequestConfig{
		Name: "retention.ms", Value: "7200000", ConfigOperation: kafka.ConfigOperationSet,
	}
	resource := kafka.IncrementalAlterConfigsRequestResource{
		ResourceType: kafka.ResourceTypeTopic, ResourceName: name,
		Configs: []kafka.IncrementalAlterConfigsRequestConfig{set},
	}
	altered, err := admin(bootstrap).IncrementalAlterConfigs(ctx, &kafka.IncrementalAlterConfigsRequest{
		Resources: []kafka.IncrementalAlterConfigsRequestResource{resource},
	})
	check.Ok(err, "alter configs")
	check.Ok(altered.Resources[0].Error, "alter configs")
	check.Until(func() bool {
		found, err := admin(bootstrap).DescribeConfigs(ctx, &kafka.DescribeConfigsRequest{
			Resources: []kafka.DescribeConfigRequestResource{{ResourceType: kafka.ResourceTypeTopic, ResourceName: name}},
		})
		check.Ok(err, "describe configs")
		values := map[string]string{}
		for _, entry := range found.Resources[0].ConfigEntries {
			values[entry.ConfigName] = entry.ConfigValue
		}
		check.Equal(values["cleanup.policy"], "delete", "cleanup.policy")
		return values["retention.ms"] == "7200000"
	}, "the altered setting is described")
}

func offsets(bootstrap, name string) {
	check.Ok(create(bootstrap, name, 1), "create topic")
	sent := check.Samples(50)
	send(bootstrap, name, sent, 0, kafka.RequireAll, 0)
	found, err := admin(bootstrap).ListOffsets(ctx, &kafka.ListOffsetsRequest{
		Topics: map[string][]kafka.OffsetRequest{name: {kafka.FirstOffsetOf(0), kafka.LastOffsetOf(0)}},
	})
	check.Ok(err, "list offsets")
	part := found.Topics[name][0]
	check.Ok(part.Error, "list offsets")
	check.Equal(part.FirstOffset, 0, "first offset")
	check.Equal(part.LastOffset, 50, "end offset")
	conn, err := kafka.DialLeader(ctx, "tcp", bootstrap, name, 0)
	check.Ok(err, "dial")
	defer conn.Close()
	offset, err := conn.ReadOffset(sent[20].Time)
	check.Ok(err, "offset of a time")
	check.Equal(offset, 20, "offset of a time")
}

func groupAdmin(bootstrap, name string) {
	check.Ok(create(bootstrap, name, 1), "create topic")
	send(bootstrap, name, check.Samples(5), 0, kafka.RequireAll, 0)
	group := reader(bootstrap, name)
	limit, cancel := within()
	defer cancel()
	_, err := group.ReadMessage(limit)
	check.Ok(err, "read")
	check.Equal(members(bootstrap, name), 1, "members")
	listed := func() bool {
		found, err := admin(bootstrap).ListGroups(ctx, &kafka.ListGroupsRequest{})
		check.Ok(err, "list groups")
		for _, entry := range found.Groups {
			if entry.GroupID == name {
				return true
			}
		}
		return false
	}
	check.Equal(listed(), true, "the group is listed")
	check.Ok(group.Close(), "close")
	check.Until(func() bool {
		gone, err := admin(bootstrap).DeleteGroups(ctx, &kafka.DeleteGroupsRequest{GroupIDs: []string{name}})
		check.Ok(err, "delete group")
		return gone.Errors[name] == nil
	}, "the empty group is deleted")
	check.Equal(listed(), false, "the group is listed after its deletion")
}

func cluster(bootstrap, _ string) {
	found, err := admin(bootstrap).Metadata(ctx, &kafka.MetadataRequest{})
	check.Ok(err, "metadata")
	check.Equal(len(found.Brokers), 1, "brokers")
	node := found.Brokers[0]
	check.Equal(net.JoinHostPort(node.Host, strconv.Itoa(node.Port)), bootstrap, "the address of the node")
}
