// What every scenario uses: clients of this run, waiting, checking.
package main

import (
	"context"
	"fmt"
	"sort"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
)

var (
	nameServer string
	// Makes topics and groups of this run unlike those of any other.
	run     = strconv.FormatInt(time.Now().UnixNano(), 36)
	clients int32
	anyTime = context.Background()
)

func check(holds bool, what string, values ...any) {
	if !holds {
		panic(fmt.Sprintf(what, values...))
	}
}

func equal[Value comparable](expected, actual Value, what string) {
	check(expected == actual, "%s: expected %v, got %v", what, expected, actual)
}

func succeeds(err error, what string) {
	check(err == nil, "%s: %v", what, err)
}

func await(limit time.Duration, holds func() bool, what func() string) {
	deadline := time.Now().Add(limit)
	for !holds() {
		check(time.Now().Before(deadline), "%s (after %v)", what(), limit)
		time.Sleep(20 * time.Millisecond)
	}
}

func topicOf(name string) string {
	return "Go" + name + "_" + run
}

// The client shares one connection among clients of the same instance name, and a stop stops all.
func instance() string {
	return fmt.Sprintf("go%s_%d", run, atomic.AddInt32(&clients, 1))
}

func newProducer(options ...producer.Option) rocketmq.Producer {
	created, err := rocketmq.NewProducer(append([]producer.Option{
		producer.WithNameServer(primitive.NamesrvAddr{nameServer}),
		producer.WithGroupName("producer_" + run),
		producer.WithInstanceName(instance()),
		producer.WithSendMsgTimeout(10 * time.Second),
	}, options...)...)
	succeeds(err, "new producer")
	succeeds(created.Start(), "start of a producer")
	return created
}

func send(from rocketmq.Producer, messages ...*primitive.Message) *primitive.SendResult {
	result, err := from.SendSync(anyTime, messages...)
	succeeds(err, "send")
	equal(primitive.SendOK, result.Status, "status of a send")
	return result
}

func message(topic, body string) *primitive.Message {
	return primitive.NewMessage(topic, []byte(body))
}

type listener func(context.Context, *primitive.MessageExt) consumer.ConsumeResult

// startConsumer subscribes a group, which begins at the first message unless an option says otherwise.
func startConsumer(group, topic, expression string, on listener, options ...consumer.Option) rocketmq.PushConsumer {
	selector := consumer.MessageSelector{Type: consumer.TAG, Expression: expression}
	return startSelecting(group, topic, selector, on, options...)
}

func startSelecting(group, topic string, selector consumer.MessageSelector, on listener, options ...consumer.Option) rocketmq.PushConsumer {
	created, err := rocketmq.NewPushConsumer(append([]consumer.Option{
		consumer.WithNameServer(primitive.NamesrvAddr{nameServer}),
		consumer.WithGroupName(group),
		consumer.WithInstance(instance()),
		consumer.WithConsumeFromWhere(consumer.ConsumeFromFirstOffset),
	}, options...)...)
	succeeds(err, "new consumer")
	succeeds(created.Subscribe(topic, selector, func(ctx context.Context, messages ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
		// One at a time: the client's default batch size is one.
		return on(ctx, messages[0]), nil
	}), "subscribe")
	succeeds(created.Start(), "start of a consumer")
	return created
}

func stop(client interface{ Shutdown() error }) {
	succeeds(client.Shutdown(), "stop of a client")
}

// inbox holds what listeners received; every delivery counts, also of the same message.
type inbox struct {
	lock     sync.Mutex
	messages []*primitive.MessageExt
}

func (box *inbox) take(_ context.Context, received *primitive.MessageExt) consumer.ConsumeResult {
	box.lock.Lock()
	defer box.lock.Unlock()
	box.messages = append(box.messages, received)
	return consumer.ConsumeSuccess
}

func (box *inbox) all() []*primitive.MessageExt {
	box.lock.Lock()
	defer box.lock.Unlock()
	return append([]*primitive.MessageExt{}, box.messages...)
}

func (box *inbox) count() int {
	return len(box.all())
}

// different is how many different bodies have come.
func (box *inbox) different() int {
	found := map[string]bool{}
	for _, body := range bodies(box.all()) {
		found[body] = true
	}
	return len(found)
}

func (box *inbox) await(count int) {
	await(40*time.Second, func() bool { return box.different() >= count }, func() string {
		return fmt.Sprintf("only %d of %d messages came", box.different(), count)
	})
}

// consume reads a topic as a new group, and holds when exactly so many messages come, each once.
func consume(topic, expression string, count int) []*primitive.MessageExt {
	return consumeAs(fmt.Sprintf("group_%s_%s", instance(), topic), topic, expression, count)
}

func consumeAs(group, topic, expression string, count int) []*primitive.MessageExt {
	box := &inbox{}
	from := startConsumer(group, topic, expression, box.take)
	box.await(count)
	time.Sleep(200 * time.Millisecond)
	stop(from)
	equal(count, box.count(), "messages received")
	return box.all()
}

func bodies(messages []*primitive.MessageExt) []string {
	found := []string{}
	for _, received := range messages {
		found = append(found, string(received.Body))
	}
	return found
}

// equalBodies holds when each body from "prefix first" up to before "prefix end" came, and no other.
func equalBodies(messages []*primitive.MessageExt, prefix string, first, end int) {
	expected := []string{}
	for number := first; number < end; number++ {
		expected = append(expected, fmt.Sprintf("%s %d", prefix, number))
	}
	found := bodies(messages)
	sort.Strings(expected)
	sort.Strings(found)
	equal(fmt.Sprint(expected), fmt.Sprint(found), "bodies")
}
