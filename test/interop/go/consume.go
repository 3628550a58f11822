// Consumers of every kind: balance, offsets, redelivery.
package main

import (
	"context"
	"fmt"
	"sort"
	"sync"
	"time"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
)

func orderly() {
	from := newProducer(producer.WithQueueSelector(producer.NewHashQueueSelector()))
	topic := topicOf("Orderly")
	send(from, message(topic, "makes the topic"))
	box := &inbox{}
	failures := 0
	to := startConsumer("group_"+topic, topic, "keyed", func(ctx context.Context, received *primitive.MessageExt) consumer.ConsumeResult {
		if string(received.Body) == "body 100" {
			box.lock.Lock()
			failures++
			isFirst := failures == 1
			box.lock.Unlock()
			if isFirst {
				// The queue waits, it does not go on.
				return consumer.SuspendCurrentQueueAMoment
			}
		}
		return box.take(ctx, received)
	}, consumer.WithConsumerOrder(true))
	for i := 0; i < 200; i++ {
		send(from, message(topic, fmt.Sprintf("body %d", i)).WithTag("keyed").WithShardingKey(fmt.Sprint("key", i%4)))
	}
	box.await(200)
	stop(to)
	stop(from)
	equalBodies(box.all(), "body", 0, 200)
	equal(2, failures, "deliveries of the message that failed once")
	last := map[string]int64{}
	for _, each := range box.all() {
		place := fmt.Sprint("queue ", each.Queue.QueueId)
		previous, seen := last[place]
		check(!seen || previous < each.QueueOffset, "out of order in %s: %d after %d", place, each.QueueOffset, previous)
		last[place] = each.QueueOffset
	}
	check(len(last) > 1, "all keys went to one queue")
}

func tags() {
	from := newProducer()
	topic := topicOf("Tags")
	names := []string{"TagA", "TagB", "TagC"}
	for i := 0; i < 90; i++ {
		send(from, message(topic, fmt.Sprintf("body %d", i)).WithTag(names[i%3]))
	}
	asked := map[string]int{}
	for _, each := range consume(topic, "TagA || TagC", 60) {
		asked[each.GetTags()]++
	}
	equal("map[TagA:30 TagC:30]", fmt.Sprint(asked), "messages by tag")
	stop(from)
}

// The pulls of this client do not name an expression: the broker takes that of the group's heartbeat.
func sqlFilter() {
	from := newProducer()
	topic := topicOf("SqlFilter")
	for i := 0; i < 60; i++ {
		numbered := message(topic, fmt.Sprintf("body %d", i)).WithTag([]string{"Even", "Odd"}[i%2])
		numbered.WithProperty("number", fmt.Sprint(i))
		if i%3 == 0 {
			numbered.WithProperty("region", "北京")
		}
		send(from, numbered)
	}
	expected := []string{}
	for i := 20; i < 40; i++ {
		if i%2 == 0 || i%3 == 0 {
			expected = append(expected, fmt.Sprintf("body %d", i))
		}
	}
	box := &inbox{}
	expression := "number >= 20 AND number < 40 AND (TAGS = 'Even' OR region = '北京')"
	to := startSelecting("group_"+topic, topic, consumer.MessageSelector{Type: consumer.SQL92, Expression: expression}, box.take)
	box.await(len(expected))
	time.Sleep(300 * time.Millisecond)
	stop(to)
	stop(from)
	found := bodies(box.all())
	sort.Strings(found)
	equal(fmt.Sprint(expected), fmt.Sprint(found), "bodies")
}

func rebalance() {
	from := newProducer()
	topic := topicOf("Rebalance")
	send(from, message(topic, "body 0"))
	boxes := []*inbox{{}, {}}
	members := []rocketmq.PushConsumer{}
	for _, box := range boxes {
		members = append(members, startConsumer("group_"+topic, topic, "*", box.take))
	}
	sent := 1
	sendNext := func() {
		send(from, message(topic, fmt.Sprintf("body %d", sent)))
		sent++
	}
	// Both have queues once both receive.
	seen := []int{boxes[0].count(), boxes[1].count()}
	await(40*time.Second, func() bool {
		sendNext()
		return boxes[0].count() > seen[0] && boxes[1].count() > seen[1]
	}, func() string { return "the queues were not divided" })
	stop(members[1])
	for i := 0; i < 100; i++ {
		sendNext()
	}
	both := func() *inbox { return &inbox{messages: append(boxes[0].all(), boxes[1].all()...)} }
	await(40*time.Second, func() bool { return both().different() == sent }, func() string {
		return fmt.Sprintf("lost when a consumer left: %d of %d", both().different(), sent)
	})
	stop(members[0])
	stop(from)
}

func resume() {
	from := newProducer()
	topic := topicOf("Resume")
	for i := 0; i < 100; i++ {
		send(from, message(topic, fmt.Sprintf("first %d", i)))
	}
	equalBodies(consumeAs("group_"+topic, topic, "*", 100), "first", 0, 100)
	for i := 0; i < 50; i++ {
		send(from, message(topic, fmt.Sprintf("second %d", i)))
	}
	equalBodies(consumeAs("group_"+topic, topic, "*", 50), "second", 0, 50)
	stop(from)
}

func fromLast() {
	from := newProducer()
	topic := topicOf("FromLast")
	box := &inbox{}
	// A group that starts beside the first sends to a young topic misses none of them.
	send(from, message(topic, "body 0"))
	to := startConsumer("group_"+topic, topic, "*", box.take, consumer.WithConsumeFromWhere(consumer.ConsumeFromLastOffset))
	for i := 1; i < 20; i++ {
		send(from, message(topic, fmt.Sprintf("body %d", i)))
	}
	box.await(20)
	stop(to)
	stop(from)
	equalBodies(box.all(), "body", 0, 20)
}

// refuse makes a listener that refuses so many deliveries, to be repeated after a second.
func refuse(box *inbox, times int, arrivals *[]time.Time) listener {
	return func(ctx context.Context, received *primitive.MessageExt) consumer.ConsumeResult {
		box.take(ctx, received)
		box.lock.Lock()
		defer box.lock.Unlock()
		*arrivals = append(*arrivals, time.Now())
		repeat, _ := primitive.GetConcurrentlyCtx(ctx)
		repeat.DelayLevelWhenNextConsume = 1
		if len(*arrivals) <= times {
			return consumer.ConsumeRetryLater
		}
		return consumer.ConsumeSuccess
	}
}

func retry() {
	from := newProducer()
	topic := topicOf("Retry")
	send(from, message(topic, "fails twice").WithKeys([]string{"key"}))
	box := &inbox{}
	arrivals := []time.Time{}
	to := startConsumer("group_"+topic, topic, "*", refuse(box, 2, &arrivals))
	await(60*time.Second, func() bool { return box.count() >= 3 }, func() string {
		return fmt.Sprintf("delivered only %d times", box.count())
	})
	time.Sleep(1500 * time.Millisecond)
	stop(to)
	stop(from)
	equal(3, box.count(), "deliveries")
	for i, each := range box.all() {
		equal("fails twice", string(each.Body), "body")
		equal("key", each.GetKeys(), "key")
		equal(topic, each.Topic, "topic")
		equal(int32(i), each.ReconsumeTimes, "reconsume times")
		check(i == 0 || arrivals[i].Sub(arrivals[i-1]) >= time.Second, "delivery %d came early", i)
	}
}

func deadLetter() {
	from := newProducer()
	topic := topicOf("DeadLetter")
	group := "group_" + topic
	send(from, message(topic, "fails for good").WithKeys([]string{"key"}))
	box := &inbox{}
	arrivals := []time.Time{}
	to := startConsumer(group, topic, "*", refuse(box, 100, &arrivals), consumer.WithMaxReconsumeTimes(1))
	deadLetters := "%DLQ%" + group
	operator := newAdmin()
	await(70*time.Second, func() bool { return isListed(operator, deadLetters) }, func() string { return "no topic of dead letters" })
	received := consume(deadLetters, "*", 1)[0]
	equal("fails for good", string(received.Body), "body")
	equal("key", received.GetKeys(), "key")
	equal(2, box.count(), "deliveries")
	succeeds(operator.Close(), "stop of the administration client")
	stop(to)
	stop(from)
}

func delay() {
	from := newProducer()
	topic := topicOf("Delay")
	send(from, message(topic, "makes the topic"))
	arrived := make(chan time.Time, 10)
	to := startConsumer("group_"+topic, topic, "delayed", func(_ context.Context, received *primitive.MessageExt) consumer.ConsumeResult {
		if string(received.Body) == "later" {
			arrived <- time.Now()
		}
		return consumer.ConsumeSuccess
	})
	sent := time.Now()
	send(from, message(topic, "later").WithTag("delayed").WithDelayTimeLevel(1))
	select {
	case at := <-arrived:
		check(at.Sub(sent) >= time.Second, "came early, after %v", at.Sub(sent))
	case <-time.After(30 * time.Second):
		panic("a delayed message did not come")
	}
	time.Sleep(500 * time.Millisecond)
	equal(0, len(arrived), "further deliveries")
	stop(to)
	stop(from)
}

func broadcast() {
	from := newProducer()
	topic := topicOf("Broadcast")
	send(from, message(topic, "makes the topic"))
	boxes := []*inbox{{}, {}}
	members := []rocketmq.PushConsumer{}
	for _, box := range boxes {
		members = append(members, startConsumer("group_"+topic, topic, "all", box.take, consumer.WithConsumerModel(consumer.BroadCasting)))
	}
	for i := 0; i < 20; i++ {
		send(from, message(topic, fmt.Sprintf("body %d", i)).WithTag("all"))
	}
	for i, box := range boxes {
		box.await(20)
		stop(members[i])
		equalBodies(box.all(), "body", 0, 20)
	}
	stop(from)
}

func newPullConsumer(group, topic, expression string) rocketmq.PullConsumer {
	created, err := rocketmq.NewPullConsumer(
		consumer.WithNameServer(primitive.NamesrvAddr{nameServer}),
		consumer.WithGroupName(group),
		consumer.WithInstance(instance()),
		consumer.WithConsumeFromWhere(consumer.ConsumeFromFirstOffset),
		// Its default of zero messages is refused by brokers.
		consumer.WithPullBatchSize(32),
	)
	succeeds(err, "new pull consumer")
	succeeds(created.Subscribe(topic, consumer.MessageSelector{Type: consumer.TAG, Expression: expression}), "subscribe")
	succeeds(created.Start(), "start of a pull consumer")
	return created
}

// pull reads each queue from places that the program names itself.
func pull() {
	from := newProducer()
	topic := topicOf("Pull")
	for i := 0; i < 80; i++ {
		send(from, message(topic, fmt.Sprintf("body %d", i)).WithTag([]string{"even", "odd"}[i/4%2]))
	}
	to := newPullConsumer("group_"+topic, topic, "even")
	box := &inbox{}
	queues := queuesOf(topic)
	equal(4, len(queues), "queues")
	for _, queue := range queues {
		result, err := to.PullFrom(anyTime, queue, 0, 5)
		succeeds(err, "pull")
		equal(primitive.PullFound, result.Status, "status of a pull")
		equal(int64(0), result.MinOffset, "minimum offset")
		equal(int64(20), result.MaxOffset, "maximum offset")
		for offset := int64(0); offset < result.MaxOffset; offset = result.NextBeginOffset {
			result, err = to.PullFrom(anyTime, queue, offset, 5)
			succeeds(err, "pull")
			check(result.NextBeginOffset > offset, "a pull that gets no further than %d", offset)
			for _, each := range result.GetMessageExts() {
				equal("even", each.GetTags(), "tag")
				box.take(anyTime, each)
			}
		}
		// Behind the end the client is told where the end is.
		result, err = to.PullFrom(anyTime, queue, 1000, 5)
		succeeds(err, "pull behind the end")
		equal(primitive.PullOffsetIllegal, result.Status, "status of a pull behind the end")
		equal(int64(20), result.NextBeginOffset, "the end")
	}
	equal(40, box.count(), "messages pulled")
	equal(40, box.different(), "different messages pulled")
	stop(to)
	stop(from)
}

// poll takes what the client pulled of its own accord, and goes on where it had acknowledged.
func poll() {
	from := newProducer()
	topic := topicOf("Poll")
	for i := 0; i < 40; i++ {
		send(from, message(topic, fmt.Sprintf("first %d", i)))
	}
	equalBodies(pollAll("group_"+topic, topic, 40), "first", 0, 40)
	for i := 0; i < 20; i++ {
		send(from, message(topic, fmt.Sprintf("second %d", i)))
	}
	equalBodies(pollAll("group_"+topic, topic, 20), "second", 0, 20)
	stop(from)
}

func pollAll(group, topic string, count int) []*primitive.MessageExt {
	to := newPullConsumer(group, topic, "*")
	box := &inbox{}
	var polling sync.WaitGroup
	polling.Add(1)
	over := make(chan bool)
	go func() {
		defer polling.Done()
		for {
			select {
			case <-over:
				return
			default:
			}
			request, err := to.Poll(anyTime, 100*time.Millisecond)
			if err != nil {
				continue
			}
			for _, each := range request.GetMsgList() {
				box.take(anyTime, each)
			}
			to.ACK(anyTime, request, consumer.ConsumeSuccess)
		}
	}()
	box.await(count)
	time.Sleep(200 * time.Millisecond)
	close(over)
	polling.Wait()
	succeeds(to.PersistOffset(anyTime, topic), "commit")
	stop(to)
	return box.all()
}
