// Sends of every kind, and what an operator does with topics.
package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/apache/rocketmq-client-go/v2/admin"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
)

func syncSend() {
	from := newProducer()
	topic := topicOf("Sync")
	offsets := map[string]bool{}
	for i := 0; i < 100; i++ {
		sent := send(from, message(topic, fmt.Sprintf("body %d", i)).WithTag("TagA").WithKeys([]string{fmt.Sprintf("key%d", i)}))
		offsets[fmt.Sprint(sent.MessageQueue.QueueId, " ", sent.QueueOffset)] = true
	}
	equal(100, len(offsets), "different places")
	received := consume(topic, "*", 100)
	equalBodies(received, "body", 0, 100)
	for _, each := range received {
		equal("TagA", each.GetTags(), "tag")
		equal("key"+strings.TrimPrefix(string(each.Body), "body "), each.GetKeys(), "key")
		check(offsets[fmt.Sprint(each.Queue.QueueId, " ", each.QueueOffset)], "a place that was not answered")
	}
	stop(from)
}

func asyncSend() {
	from := newProducer()
	topic := topicOf("Async")
	send(from, message(topic, "makes the topic"))
	room := make(chan bool, 200)
	var done sync.WaitGroup
	var lock sync.Mutex
	ids := map[string]bool{}
	for i := 0; i < 1000; i++ {
		room <- true
		done.Add(1)
		succeeds(from.SendAsync(anyTime, func(_ context.Context, result *primitive.SendResult, err error) {
			if err == nil && result.Status == primitive.SendOK {
				lock.Lock()
				ids[result.MsgID] = true
				lock.Unlock()
			}
			<-room
			done.Done()
		}, message(topic, fmt.Sprintf("body %d", i)).WithTag("async")), "asynchronous send")
	}
	done.Wait()
	equal(1000, len(ids), "different ids in callbacks")
	equalBodies(consume(topic, "async", 1000), "body", 0, 1000)
	stop(from)

	// Queue 99 of the topic does not exist: the broker refuses it, and the callback hears of it.
	picky := newProducer(producer.WithQueueSelector(producer.NewManualQueueSelector()))
	queue := send(picky, queued(topic, nil)).MessageQueue
	refused := make(chan error, 1)
	succeeds(picky.SendAsync(anyTime, func(_ context.Context, _ *primitive.SendResult, err error) {
		refused <- err
	}, queued(topic, &primitive.MessageQueue{Topic: topic, BrokerName: queue.BrokerName, QueueId: 99})), "asynchronous send")
	select {
	case err := <-refused:
		check(err != nil && strings.Contains(err.Error(), "queueId"), "expected a refusal of the queue, got %v", err)
	case <-time.After(10 * time.Second):
		panic("no callback for an illegal queue")
	}
	stop(picky)
}

// queued is a message for one queue, the first of the topic unless another is named.
func queued(topic string, queue *primitive.MessageQueue) *primitive.Message {
	made := message(topic, "to a queue")
	made.Queue = queue
	if queue == nil {
		made.Queue = queuesOf(topic)[0]
	}
	return made
}

func oneway() {
	from := newProducer()
	topic := topicOf("Oneway")
	send(from, message(topic, "makes the topic"))
	for i := 0; i < 50; i++ {
		succeeds(from.SendOneWay(anyTime, message(topic, fmt.Sprintf("body %d", i)).WithTag("oneway")), "send without answer")
	}
	equalBodies(consume(topic, "oneway", 50), "body", 0, 50)
	stop(from)
}

func batch() {
	from := newProducer()
	topic := topicOf("Batch")
	send(from, message(topic, "makes the topic"))
	messages := []*primitive.Message{}
	for i := 0; i < 50; i++ {
		messages = append(messages, message(topic, fmt.Sprintf("body %d", i)).WithTag("TagB").WithKeys([]string{fmt.Sprintf("key%d", i)}))
	}
	sent := send(from, messages...)
	equal(50, len(strings.Split(sent.OffsetMsgID, ",")), "ids of a batch")
	received := consume(topic, "TagB", 50)
	equalBodies(received, "body", 0, 50)
	for _, each := range received {
		number := strings.TrimPrefix(string(each.Body), "body ")
		equal("key"+number, each.GetKeys(), "key")
		equal(number, fmt.Sprint(each.QueueOffset-sent.QueueOffset), "place behind the first of the batch")
		equal(sent.MessageQueue.QueueId, each.Queue.QueueId, "queue")
	}
	stop(from)
}

func largeBody() {
	from := newProducer(producer.WithCompressMsgBodyOverHowmuch(1 << 30))
	topic := topicOf("Large")
	send(from, message(topic, "makes the topic"))
	body := make([]byte, 4<<20)
	for i := range body {
		body[i] = byte(i*31 + i/7)
	}
	send(from, primitive.NewMessage(topic, body).WithTag("large"))
	received := consume(topic, "large", 1)[0]
	check(bytes.Equal(body, received.Body), "the body came back changed, %d bytes", len(received.Body))
	_, err := from.SendSync(anyTime, primitive.NewMessage(topic, append(body, 0)).WithTag("large"))
	check(err != nil && strings.Contains(err.Error(), "CODE: 13"), "4 MiB and a byte: expected a refusal, got %v", err)
	stop(from)
}

func compressedBody() {
	from := newProducer()
	topic := topicOf("Compressed")
	body := strings.Repeat("compressible ", 5000)
	send(from, message(topic, body))
	received := consume(topic, "*", 1)[0]
	check(string(received.Body) == body, "the body came back changed, %d bytes", len(received.Body))
	check(received.StoreSize < 10_000, "it was not stored compressed: %d bytes", received.StoreSize)
	stop(from)
}

func chinese() {
	from := newProducer()
	topic := topicOf("Chinese")
	sent := message(topic, "消息正文 😀").WithTag("标签").WithKeys([]string{"订单号"})
	sent.WithProperty("属性名", "属性值 😀 \"quoted\" \\ / \t")
	send(from, sent)
	received := consume(topic, "*", 1)[0]
	equal("消息正文 😀", string(received.Body), "body")
	equal("标签", received.GetTags(), "tag")
	equal("订单号", received.GetKeys(), "key")
	equal("属性值 😀 \"quoted\" \\ / \t", received.GetProperty("属性名"), "property")
	stop(from)
}

func newAdmin() admin.Admin {
	created, err := admin.NewAdmin(admin.WithResolver(primitive.NewPassthroughResolver([]string{nameServer})))
	succeeds(err, "new administration client")
	return created
}

// queuesOf is where a topic takes messages, in the order of their numbers.
func queuesOf(topic string) []*primitive.MessageQueue {
	operator := newAdmin()
	defer operator.Close()
	queues, err := operator.FetchPublishMessageQueues(anyTime, topic)
	succeeds(err, "queues of "+topic)
	return queues
}

func isListed(operator admin.Admin, topic string) bool {
	list, err := operator.FetchAllTopicList(anyTime)
	succeeds(err, "list of topics")
	for _, each := range list.TopicList {
		if each == topic {
			return true
		}
	}
	return false
}

func administer() {
	from := newProducer()
	other := topicOf("AdminOther")
	send(from, message(other, "tells where its broker is"))
	address := consume(other, "*", 1)[0].StoreHost
	operator := newAdmin()
	topic := topicOf("Admin")
	succeeds(operator.CreateTopic(anyTime, admin.WithTopicCreate(topic), admin.WithBrokerAddrCreate(address),
		admin.WithReadQueueNums(3), admin.WithWriteQueueNums(3)), "create a topic")
	await(20*time.Second, func() bool { return isListed(operator, topic) }, func() string { return "the topic is not listed" })
	equal(3, len(queuesOf(topic)), "queues of the topic")
	used := map[int]bool{}
	for i := 0; i < 9; i++ {
		used[send(from, message(topic, fmt.Sprintf("body %d", i))).MessageQueue.QueueId] = true
	}
	equal(3, len(used), "queues that took messages")
	group := "group_" + topic
	equalBodies(consumeAs(group, topic, "*", 9), "body", 0, 9)
	stop(from)
	groups, err := operator.GetAllSubscriptionGroup(anyTime, address, 3*time.Second)
	succeeds(err, "list of groups")
	equal(group, groups.SubscriptionGroupTable[group].GroupName, "the group that consumed")
	succeeds(operator.DeleteTopic(anyTime, admin.WithTopicDelete(topic), admin.WithBrokerAddrDelete(address)), "delete a topic")
	await(20*time.Second, func() bool { return !isListed(operator, topic) }, func() string { return "a deleted topic is still listed" })
	succeeds(operator.Close(), "stop of the administration client")
	// That client may have learned the route between the two halves of the deletion, and keeps what it knows.
	fresh := newAdmin()
	_, err = fresh.FetchPublishMessageQueues(anyTime, topic)
	check(err != nil, "a deleted topic still has a route")
	succeeds(fresh.Close(), "stop of the administration client")
}
