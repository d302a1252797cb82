// Command franz runs franz-go against a broker: topics, produce, consume, groups, admin.
package main

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"ottla/clients/check"
)

var ctx = context.Background()

func main() {
	check.Run([]check.Scenario{
		{Name: "topics", Do: topics},
		{Name: "acks", Do: acks},
		{Name: "codecs", Do: codecs},
		{Name: "idempotent", Do: idempotent},
		{Name: "groups", Do: groups},
		{Name: "resume", Do: resume},
		{Name: "configs", Do: configs},
		{Name: "offsets", Do: offsets},
		{Name: "records", Do: records},
		{Name: "group_admin", Do: groupAdmin},
		{Name: "cluster", Do: cluster},
	})
}

func client(bootstrap string, options ...kgo.Opt) *kgo.Client {
	cl, err := kgo.NewClient(append(options, kgo.SeedBrokers(bootstrap))...)
	check.Ok(err, "new client")
	return cl
}

func admin(bootstrap string) *kadm.Client {
	return kadm.NewClient(client(bootstrap, kgo.MetadataMinAge(50*time.Millisecond)))
}

func create(bootstrap, name string, partitions int32) {
	adm := admin(bootstrap)
	defer adm.Close()
	_, err := adm.CreateTopic(ctx, partitions, 1, nil, name)
	check.Ok(err, "create topic")
}

// send sends and waits for every answer; the offsets must follow each other from first.
func send(bootstrap, topic string, sent []check.Sample, partition int32, first int64, options ...kgo.Opt) {
	options = append(options, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	cl := client(bootstrap, options...)
	defer cl.Close()
	batch := make([]*kgo.Record, len(sent))
	for at, sample := range sent {
		batch[at] = &kgo.Record{
			Topic: topic, Partition: partition, Key: sample.Key, Value: sample.Value, Timestamp: sample.Time,
		}
		for _, header := range sample.Headers {
			batch[at].Headers = append(batch[at].Headers, kgo.RecordHeader{Key: header.Key, Value: header.Value})
		}
	}
	results := cl.ProduceSync(ctx, batch...)
	check.Ok(results.FirstErr(), "produce")
	if first < 0 {
		return
	}
	for at, record := range batch {
		check.Equal(record.Offset, first+int64(at), "offset of a sent record")
	}
}

func content(record *kgo.Record) check.Sample {
	sample := check.Sample{Key: record.Key, Value: record.Value, Time: record.Timestamp}
	for _, header := range record.Headers {
		sample.Headers = append(sample.Headers, check.Header{Key: header.Key, Value: header.Value})
	}
	return sample
}

// take gives the next count records.
func take(cl *kgo.Client, count int) (taken []*kgo.Record) {
	check.Until(func() bool {
		within, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
		defer cancel()
		taken = append(taken, cl.PollRecords(within, count-len(taken)).Records()...)
		return len(taken) >= count
	}, strconv.Itoa(count)+" records")
	return taken
}

func read(bootstrap, topic string, count int, partition int32, offset int64) (found []check.Sample) {
	from := map[string]map[int32]kgo.Offset{topic: {partition: kgo.NewOffset().At(offset)}}
	cl := client(bootstrap, kgo.ConsumePartitions(from))
	defer cl.Close()
	for at, record := range take(cl, count) {
		check.Equal(record.Offset, offset+int64(at), "offset of a record read")
		found = append(found, content(record))
	}
	return found
}

func topics(bootstrap, name string) {
	create(bootstrap, name, 3)
	adm := admin(bootstrap)
	defer adm.Close()
	partitions := func() int {
		found, err := adm.ListTopics(ctx, name)
		check.Ok(err, "list topics")
		return len(found[name].Partitions)
	}
	check.Equal(partitions(), 3, "partitions")
	_, err := adm.CreateTopic(ctx, 3, 1, nil, name)
	check.Equal(err != nil && err.Error()[:20] == "TOPIC_ALREADY_EXISTS", true, "creating a topic twice")
	_, err = adm.UpdatePartitions(ctx, 5, name)
	check.Ok(err, "more partitions")
	check.Until(func() bool { return partitions() == 5 }, "5 partitions")
	_, err = adm.DeleteTopic(ctx, name)
	check.Ok(err, "delete topic")
	check.Until(func() bool { return partitions() == 0 }, "the topic is gone")
}

func acks(bootstrap, name string) {
	create(bootstrap, name, 1)
	sent := check.Samples(90)
	plain := kgo.DisableIdempotentWrite()
	send(bootstrap, name, sent[:30], 0, -1, kgo.RequiredAcks(kgo.NoAck()), plain)
	send(bootstrap, name, sent[30:60], 0, 30, kgo.RequiredAcks(kgo.LeaderAck()), plain)
	send(bootstrap, name, sent[60:], 0, 60, kgo.RequiredAcks(kgo.AllISRAcks()))
	check.Compare(read(bootstrap, name, 90, 0, 0), sent, "acks")
}

func codecs(bootstrap, name string) {
	create(bootstrap, name, int32(len(check.Codecs)))
	sent := check.Samples(200)
	kinds := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	for at, codec := range check.Codecs {
		partition := int32(at)
		send(bootstrap, name, sent, partition, 0, kgo.ProducerBatchCompression(kinds[codec]))
		check.Compare(read(bootstrap, name, 200, partition, 0), sent, codec)
		check.Compare(read(bootstrap, name, 77, partition, 123), sent[123:], codec+" from the middle")
	}
}

func idempotent(bootstrap, name string) {
	create(bootstrap, name, 1)
	sent := check.Samples(1000)
	send(bootstrap, name, sent, 0, 0, kgo.ProducerBatchMaxBytes(2000))
	check.Compare(read(bootstrap, name, 1000, 0, 0), sent, "idempotent")
}

// member is a consumer on a goroutine of its own.
type member struct {
	lock     sync.Mutex
	seen     map[int]bool
	assigned map[int32]bool
	stop     context.CancelFunc
	left     chan struct{}
}

func join(bootstrap, name string, balancer kgo.GroupBalancer) *member {
	m := &member{seen: map[int]bool{}, assigned: map[int32]bool{}, left: make(chan struct{})}
	note := func(held bool) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, _ *kgo.Client, parts map[string][]int32) {
			m.lock.Lock()
			defer m.lock.Unlock()
			for _, part := range parts[name] {
				if held {
					m.assigned[part] = true
				} else {
					delete(m.assigned, part)
				}
			}
		}
	}
	cl := client(bootstrap, kgo.ConsumerGroup(name), kgo.ConsumeTopics(name), kgo.Balancers(balancer),
		kgo.OnPartitionsAssigned(note(true)), kgo.OnPartitionsRevoked(note(false)),
		kgo.OnPartitionsLost(note(false)), kgo.HeartbeatInterval(300*time.Millisecond),
		kgo.AutoCommitInterval(100*time.Millisecond))
	polling, stop := context.WithCancel(ctx)
	m.stop = stop
	go func() {
		defer close(m.left)
		defer cl.Close()
		for polling.Err() == nil {
			cl.PollFetches(polling).EachRecord(func(record *kgo.Record) {
				number, _ := strconv.Atoi(string(record.Value))
				m.lock.Lock()
				m.seen[number] = true
				m.lock.Unlock()
			})
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

func (m *member) holds(count int) bool {
	m.lock.Lock()
	defer m.lock.Unlock()
	return len(m.assigned) == count
}

// have says whether the members together have seen every number from first to before last.
func have(first, last int, members ...*member) func() bool {
	return func() bool {
		all := map[int]bool{}
		for _, m := range members {
			m.lock.Lock()
			for number := range m.seen {
				all[number] = true
			}
			m.lock.Unlock()
		}
		for number := first; number < last; number++ {
			if !all[number] {
				return false
			}
		}
		return true
	}
}

func groups(bootstrap, name string) {
	for _, balancer := range []kgo.GroupBalancer{
		kgo.RangeBalancer(), kgo.RoundRobinBalancer(), kgo.CooperativeStickyBalancer(),
	} {
		share(bootstrap, name+"-"+balancer.ProtocolName(), balancer)
	}
}

func share(bootstrap, name string, balancer kgo.GroupBalancer) {
	create(bootstrap, name, 4)
	cl := client(bootstrap, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	defer cl.Close()
	produce := func(first, last int) {
		for number := first; number < last; number++ {
			record := kgo.StringRecord(strconv.Itoa(number))
			record.Topic, record.Partition = name, int32(number%4)
			check.Ok(cl.ProduceSync(ctx, record).FirstErr(), "produce")
		}
	}
	one := join(bootstrap, name, balancer)
	produce(0, 50)
	check.Until(have(0, 50, one), "the first member reads everything alone")
	two := join(bootstrap, name, balancer)
	check.Until(func() bool { return one.holds(2) && two.holds(2) }, "two members share the partitions")
	produce(50, 100)
	check.Until(have(50, 100, one, two), "two members read everything")
	check.Equal(have(50, 100, one)(), false, "the first member did all the work")
	two.leave()
	check.Until(func() bool { return one.holds(4) }, "the first member takes everything back")
	produce(100, 150)
	check.Until(have(100, 150, one), "the first member goes on")
	one.leave()
}

func resume(bootstrap, name string) {
	create(bootstrap, name, 1)
	sent := check.Samples(100)
	send(bootstrap, name, sent, 0, 0)
	options := []kgo.Opt{kgo.ConsumerGroup(name), kgo.ConsumeTopics(name), kgo.DisableAutoCommit()}
	one := client(bootstrap, options...)
	taken := take(one, 60)
	check.Ok(one.CommitRecords(ctx, taken...), "commit")
	one.Close()
	two := client(bootstrap, options...)
	defer two.Close()
	var rest []check.Sample
	for _, record := range take(two, 40) {
		rest = append(rest, content(record))
	}
	check.Compare(rest, sent[60:], "after the commit")
}

func configs(bootstrap, name string) {
	create(bootstrap, name, 1)
	adm := admin(bootstrap)
	defer adm.Close()
	value := "7200000"
	set := []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "retention.ms", Value: &value}}
	altered, err := adm.AlterTopicConfigs(ctx, set, name)
	check.Ok(err, "alter configs")
	check.Ok(altered[0].Err, "alter configs")
	check.Until(func() bool {
		found, err := adm.DescribeTopicConfigs(ctx, name)
		check.Ok(err, "describe configs")
		values := map[string]string{}
		for _, entry := range found[0].Configs {
			values[entry.Key] = entry.MaybeValue()
		}
		check.Equal(values["cleanup.policy"], "delete", "cleanup.policy")
		return values["retention.ms"] == value
	}, "the altered setting is described")
}

func offsets(bootstrap, name string) {
	create(bootstrap, name, 1)
	sent := check.Samples(50)
	send(bootstrap, name, sent, 0, 0)
	adm := admin(bootstrap)
	defer adm.Close()
	offset := func(found kadm.ListedOffsets, err error) int64 {
		check.Ok(err, "list offsets")
		part, _ := found.Lookup(name, 0)
		check.Ok(part.Err, "list offsets")
		return part.Offset
	}
	check.Equal(offset(adm.ListStartOffsets(ctx, name)), 0, "first offset")
	check.Equal(offset(adm.ListEndOffsets(ctx, name)), 50, "end offset")
	check.Equal(offset(adm.ListOffsetsAfterMilli(ctx, sent[20].Time.UnixMilli(), name)), 20, "offset of a time")
	check.Equal(offset(adm.ListMaxTimestampOffsets(ctx, name)), 49, "offset of the greatest timestamp")
}

func records(bootstrap, name string) {
	create(bootstrap, name, 1)
	sent := check.Samples(50)
	send(bootstrap, name, sent, 0, 0)
	adm := admin(bootstrap)
	defer adm.Close()
	var before kadm.Offsets
	before.AddOffset(name, 0, 30, -1)
	deleted, err := adm.DeleteRecords(ctx, before)
	check.Ok(err, "delete records")
	part, _ := deleted.Lookup(name, 0)
	check.Ok(part.Err, "delete records")
	check.Equal(part.LowWatermark, 30, "low watermark")
	check.Compare(read(bootstrap, name, 20, 0, 30), sent[30:], "what is left")
}

func groupAdmin(bootstrap, name string) {
	create(bootstrap, name, 1)
	send(bootstrap, name, check.Samples(20), 0, 0)
	cl := client(bootstrap, kgo.ConsumerGroup(name), kgo.ConsumeTopics(name), kgo.ClientID("the-member"))
	check.Ok(cl.CommitRecords(ctx, take(cl, 20)...), "commit")
	adm := admin(bootstrap)
	defer adm.Close()
	state := func() string {
		found, err := adm.DescribeGroups(ctx, name)
		check.Ok(err, "describe groups")
		for _, member := range found[name].Members {
			check.Equal(member.ClientID, "the-member", "client id")
		}
		return found[name].State
	}
	listed := func() bool {
		found, err := adm.ListGroups(ctx)
		check.Ok(err, "list groups")
		_, is := found[name]
		return is
	}
	check.Equal(state(), "Stable", "state with a member")
	check.Equal(listed(), true, "the group is listed")
	cl.Close()
	check.Until(func() bool { return state() == "Empty" }, "empty")
	found, err := adm.FetchOffsets(ctx, name)
	check.Ok(err, "fetch offsets")
	offset, _ := found.Lookup(name, 0)
	check.Equal(offset.At, 20, "offset of the group")
	_, err = adm.DeleteGroup(ctx, name)
	check.Ok(err, "delete group")
	check.Equal(listed(), false, "the group is listed after its deletion")
}

func cluster(bootstrap, _ string) {
	adm := admin(bootstrap)
	defer adm.Close()
	found, err := adm.BrokerMetadata(ctx)
	check.Ok(err, "metadata")
	check.Equal(len(found.Brokers), 1, "brokers")
	node := found.Brokers[0]
	check.Equal(node.Host+":"+strconv.Itoa(int(node.Port)), bootstrap, "the address of the node")
}
