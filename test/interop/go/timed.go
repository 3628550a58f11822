// Messages that are not delivered as they are sent: for a time, or for the end of a transaction.
package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
)

// setting is one of the broker under test, in milliseconds, as the suite says; see broker-settings.ts.
func setting(variable string, standard int) time.Duration {
	value, err := strconv.Atoi(os.Getenv(variable))
	if err != nil {
		value = standard
	}
	return time.Duration(value) * time.Millisecond
}

type arrival struct {
	received *primitive.MessageExt
	at       time.Time
}

// timedInbox notes when each message came. It is open once the one that makes the topic has come.
type timedInbox struct {
	inbox
	at []time.Time
	to rocketmq.PushConsumer
}

const first = "makes the topic"

func openInbox(from rocketmq.Producer, topic string) *timedInbox {
	send(from, message(topic, first))
	box := &timedInbox{}
	box.to = startConsumer("inbox_"+topic, topic, "*", box.takeTimed)
	await(60*time.Second, func() bool { return box.count() > 0 }, func() string { return "the first message did not come" })
	return box
}

// takeTimed notes the moment as well.
func (box *timedInbox) takeTimed(_ context.Context, received *primitive.MessageExt) consumer.ConsumeResult {
	at := time.Now()
	box.lock.Lock()
	defer box.lock.Unlock()
	box.messages = append(box.messages, received)
	box.at = append(box.at, at)
	return consumer.ConsumeSuccess
}

// arrivals by body, but for the message that made the topic.
func (box *timedInbox) arrivals() map[string][]arrival {
	box.lock.Lock()
	defer box.lock.Unlock()
	found := map[string][]arrival{}
	for i, received := range box.messages {
		if body := string(received.Body); body != first {
			found[body] = append(found[body], arrival{received, box.at[i]})
		}
	}
	return found
}

// awaitOnce holds when these come, each once, and nothing else comes for a while after.
func (box *timedInbox) awaitOnce(expected map[string]bool, while time.Duration) map[string][]arrival {
	await(60*time.Second, func() bool {
		found := box.arrivals()
		for body := range expected {
			if len(found[body]) == 0 {
				return false
			}
		}
		return true
	}, func() string { return fmt.Sprintf("only %d of %d messages came", len(box.arrivals()), len(expected)) })
	time.Sleep(while)
	found := box.arrivals()
	for body, each := range found {
		check(expected[body], "delivered: %s", body)
		equal(1, len(each), "deliveries of "+body)
	}
	return found
}

// The client knows levels only. A time is a property that the broker reads.
func timed() {
	from := newProducer()
	topic := topicOf("Timed")
	box := openInbox(from, topic)
	expected := map[string]bool{}
	due := map[string][2]time.Time{}
	for i := 0; i < 60; i++ {
		body := fmt.Sprintf("body %d", i)
		expected[body] = true
		numbered := message(topic, body).WithTag(fmt.Sprint("tag", i%3))
		delay := time.Duration(1200+i*37%2000) * time.Millisecond
		before := time.Now()
		switch i % 3 {
		case 0:
			delay = time.Duration(1+i%4) * time.Second
			numbered.WithProperty("TIMER_DELAY_SEC", fmt.Sprint(int(delay.Seconds())))
		case 1:
			numbered.WithProperty("TIMER_DELAY_MS", fmt.Sprint(delay.Milliseconds()))
		default:
			at := time.UnixMilli(before.Add(delay).UnixMilli())
			numbered.WithProperty("TIMER_DELIVER_MS", fmt.Sprint(at.UnixMilli()))
			due[body] = [2]time.Time{at, at}
		}
		send(from, numbered)
		if i%3 != 2 {
			due[body] = [2]time.Time{before.Add(delay), time.Now().Add(delay)}
		}
	}
	found := box.awaitOnce(expected, 1500*time.Millisecond)
	earliest, latest := time.Hour, -time.Hour
	for body, times := range due {
		received := found[body][0]
		number, _ := strconv.Atoi(strings.TrimPrefix(body, "body "))
		equal(fmt.Sprint("tag", number%3), received.received.GetTags(), "tag")
		check(received.received.GetProperty("TIMER_OUT_MS") != "", "no TIMER_OUT_MS")
		// The broker's clock shows whole milliseconds.
		after := received.at.Sub(times[0].Truncate(time.Millisecond))
		earliest = min(earliest, after)
		latest = max(latest, received.at.Sub(times[1]))
	}
	fmt.Printf("INFO timed: received %d to %d ms after the time\n", earliest.Milliseconds(), latest.Milliseconds())
	check(earliest >= -setting("INTEROP_TIMER_EARLY_MS", 0), "came early: %v", earliest)
	check(latest <= setting("INTEROP_TIMER_LATE_MS", 1000), "came late: %v", latest)
	stop(box.to)
	stop(from)
}

func min(left, right time.Duration) time.Duration {
	if left < right {
		return left
	}
	return right
}

func max(left, right time.Duration) time.Duration {
	if left > right {
		return left
	}
	return right
}

// notary decides by the first word of a body, and notes what it is asked.
type notary struct {
	lock   sync.Mutex
	checks map[string][]time.Time
	// Ids that the client gave to local transactions and to checks, by body.
	ids map[string]map[string]bool
}

func (own *notary) note(body, id string) {
	if own.ids[body] == nil {
		own.ids[body] = map[string]bool{}
	}
	own.ids[body][id] = true
}

func (own *notary) ExecuteLocalTransaction(half *primitive.Message) primitive.LocalTransactionState {
	own.lock.Lock()
	defer own.lock.Unlock()
	own.note(string(half.Body), half.TransactionId)
	switch strings.Split(string(half.Body), " ")[0] {
	case "commit":
		return primitive.CommitMessageState
	case "rollback":
		return primitive.RollbackMessageState
	}
	return primitive.UnknowState
}

func (own *notary) CheckLocalTransaction(half *primitive.MessageExt) primitive.LocalTransactionState {
	own.lock.Lock()
	defer own.lock.Unlock()
	body := string(half.Body)
	own.note(body, half.TransactionId)
	own.checks[body] = append(own.checks[body], time.Now())
	switch strings.Split(body, " ")[1] {
	case "commit":
		return primitive.CommitMessageState
	case "rollback":
		return primitive.RollbackMessageState
	}
	if len(own.checks[body]) < 2 {
		return primitive.UnknowState
	}
	return primitive.CommitMessageState
}

// Decided at once, or unknown and then, as in the client's own example, committed, rolled back or still
// unknown when the broker asks.
func transaction() {
	timeout := setting("INTEROP_TRANSACTION_TIMEOUT_MS", 6000)
	interval := setting("INTEROP_TRANSACTION_CHECK_INTERVAL_MS", 30000)
	own := &notary{checks: map[string][]time.Time{}, ids: map[string]map[string]bool{}}
	from, err := rocketmq.NewTransactionProducer(own,
		producer.WithNameServer(primitive.NamesrvAddr{nameServer}),
		producer.WithGroupName("transactions_"+run),
		producer.WithInstanceName(instance()),
		producer.WithSendMsgTimeout(10*time.Second))
	succeeds(err, "new transaction producer")
	succeeds(from.Start(), "start of a transaction producer")
	plain := newProducer()
	topic := topicOf("Transaction")
	box := openInbox(plain, topic)
	expected := map[string]bool{}
	sentAt := map[string]time.Time{}
	for _, kind := range []string{"commit", "rollback", "ask commit", "ask rollback", "ask twice"} {
		for i := 0; i < 3; i++ {
			body := fmt.Sprint(kind, " ", i)
			half := message(topic, body).WithTag("tag").WithKeys([]string{"key"})
			sentAt[body] = time.Now()
			sent, err := from.SendMessageInTransaction(anyTime, half)
			succeeds(err, "send of a half")
			equal(primitive.SendOK, sent.Status, "status")
			equal(half.TransactionId, sent.TransactionID, "transaction id of the answer")
			if !strings.Contains(kind, "rollback") {
				expected[body] = true
			}
		}
	}
	for body := range box.arrivals() {
		check(strings.HasPrefix(body, "commit"), "delivered before anybody was asked: %s", body)
	}
	found := box.awaitOnce(expected, 2*interval+500*time.Millisecond)
	for body, each := range found {
		received := each[0].received
		equal("tag", received.GetTags(), "tag")
		equal("key", received.GetKeys(), "key")
		equal("true", received.GetProperty(primitive.PropertyTransactionPrepared), "TRAN_MSG")
		check(own.ids[body][received.MsgId], "id of %s: %s is none of %v", body, received.MsgId, own.ids[body])
	}
	own.lock.Lock()
	defer own.lock.Unlock()
	for body, at := range sentAt {
		times := 0
		if strings.HasPrefix(body, "ask twice") {
			times = 2
		} else if strings.HasPrefix(body, "ask") {
			times = 1
		}
		equal(times, len(own.checks[body]), "checks of "+body)
		equal(1, len(own.ids[body]), "transaction ids of "+body)
		check(times == 0 || own.checks[body][0].Sub(at.Truncate(time.Millisecond)) >= timeout, "%s was asked for early", body)
	}
	stop(box.to)
	stop(plain)
	succeeds(from.Shutdown(), "stop of a transaction producer")
}
