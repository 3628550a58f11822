// A client that signs, at a broker with users: whose secret is right, whose is wrong, and who has no rights.
// Names of users, topics and groups are those of client-access.ts.
package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
)

const accessTopic = "access"

func appUser() primitive.Credentials {
	return primitive.Credentials{AccessKey: "app", SecretKey: os.Getenv("INTEROP_APP_SECRET")}
}

func accessRight() {
	from := newProducer(producer.WithCredentials(appUser()))
	box := &inbox{}
	refusals := 0
	to := startConsumer("access-group", accessTopic, "*", func(ctx context.Context, received *primitive.MessageExt) consumer.ConsumeResult {
		// What goes back, and its topic, need a signature and rights as well.
		if string(received.Body) == "first 3" && received.ReconsumeTimes == 0 {
			box.lock.Lock()
			refusals++
			box.lock.Unlock()
			concurrently, _ := primitive.GetConcurrentlyCtx(ctx)
			concurrently.DelayLevelWhenNextConsume = 1
			return consumer.ConsumeRetryLater
		}
		return box.take(ctx, received)
	}, consumer.WithCredentials(appUser()))
	for i := 0; i < 10; i++ {
		one := message(accessTopic, fmt.Sprintf("first %d", i)).WithTag("标签").WithKeys([]string{"key ü"})
		one.WithProperty("属性名", "属性值 😀 \"quoted\" \\ / \t")
		send(from, one)
	}
	batch := []*primitive.Message{}
	for i := 10; i < 15; i++ {
		batch = append(batch, message(accessTopic, fmt.Sprintf("first %d", i)))
	}
	send(from, batch...)
	box.await(15)
	stop(to)
	equalBodies(box.all(), "first", 0, 15)
	equal(1, refusals, "refusals")
	// The group goes on. This client may stop before its commits have gone: what it has had may come again.
	for i := 0; i < 5; i++ {
		send(from, message(accessTopic, fmt.Sprintf("second %d", i)))
	}
	rest := &inbox{}
	again := startConsumer("access-group", accessTopic, "*", func(ctx context.Context, received *primitive.MessageExt) consumer.ConsumeResult {
		if strings.HasPrefix(string(received.Body), "first") {
			return consumer.ConsumeSuccess
		}
		return rest.take(ctx, received)
	}, consumer.WithCredentials(appUser()))
	rest.await(5)
	time.Sleep(200 * time.Millisecond)
	stop(again)
	equalBodies(rest.all(), "second", 0, 5)
	stop(from)
}

func accessWrongSecret() {
	accessRefused("access-wrong-secret", primitive.Credentials{AccessKey: "app", SecretKey: "not the secret"})
}

func accessNoRights() {
	outsider := primitive.Credentials{AccessKey: "outsider", SecretKey: os.Getenv("INTEROP_OUTSIDER_SECRET")}
	accessRefused("access-no-rights", outsider)
}

// accessRefused holds when neither a send nor a consumer comes through, and says how the client tells of it.
func accessRefused(name string, credentials primitive.Credentials) {
	wanted := newProducer(producer.WithCredentials(appUser()))
	send(wanted, message(accessTopic, name))
	stop(wanted)

	from := newProducer(producer.WithCredentials(credentials), producer.WithRetry(0))
	_, err := from.SendSync(anyTime, message(accessTopic, "not wanted"))
	check(err != nil, "a send came through")
	fmt.Printf("INFO %s: send: %v\n", name, err)
	stop(from)

	group := "access-group-" + name
	box := &inbox{}
	to, err := rocketmq.NewPushConsumer(
		consumer.WithNameServer(primitive.NamesrvAddr{nameServer}),
		consumer.WithGroupName(group),
		consumer.WithInstance(instance()),
		consumer.WithConsumeFromWhere(consumer.ConsumeFromFirstOffset),
		consumer.WithCredentials(credentials),
	)
	succeeds(err, "new consumer")
	succeeds(to.Subscribe(accessTopic, consumer.MessageSelector{}, func(ctx context.Context, messages ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
		return box.take(ctx, messages[0]), nil
	}), "subscribe")
	if err = to.Start(); err == nil {
		time.Sleep(3 * time.Second)
		stop(to)
	} else {
		fmt.Printf("INFO %s: consumer: %v\n", name, err)
	}
	equal(0, box.count(), "messages received without rights")

	// There was something to receive: the same group gets it when the right user asks.
	seen := &inbox{}
	right := startConsumer(group, accessTopic, "*", seen.take, consumer.WithCredentials(appUser()))
	await(40*time.Second, func() bool {
		for _, body := range bodies(seen.all()) {
			if body == name {
				return true
			}
		}
		return false
	}, func() string { return "the right user does not get what the other was refused" })
	stop(right)
	for _, body := range bodies(seen.all()) {
		check(body != "not wanted", "what was refused was stored")
	}
}
