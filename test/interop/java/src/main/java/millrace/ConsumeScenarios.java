package millrace;

import static millrace.Harness.await;
import static millrace.Harness.bytes;
import static millrace.Harness.check;
import static millrace.Harness.consume;
import static millrace.Harness.consumeAs;
import static millrace.Harness.equal;
import static millrace.Harness.litePullConsumer;
import static millrace.Harness.producer;
import static millrace.Harness.pushConsumer;
import static millrace.Harness.text;
import static millrace.Harness.topic;

import java.util.ArrayList;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.rocketmq.client.consumer.DefaultLitePullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.MessageSelector;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.ConsumeOrderlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.consumer.listener.MessageListenerOrderly;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/**
 * Consumers of every kind: balance, offsets, redelivery.
 */
class ConsumeScenarios {
    private ConsumeScenarios() {
    }

    static void orderly() throws Exception {
        DefaultMQProducer producer = producer();
        String topic = topic("Orderly");
        producer.send(new Message(topic, bytes("makes the topic")));
        Map<Integer, List<Integer>> seen = new ConcurrentHashMap<>();
        AtomicInteger count = new AtomicInteger();
        AtomicInteger failures = new AtomicInteger();
        DefaultMQPushConsumer consumer = pushConsumer("group_" + topic, topic, "keyed");
        consumer.registerMessageListener((MessageListenerOrderly) (messages, context) -> {
            for (MessageExt message : messages) {
                String[] parts = text(message).split(" ");
                if (parts[1].equals("100") && failures.getAndIncrement() == 0) {
                    throw new IllegalStateException("not now: the queue waits, it does not go on");
                }
                seen.computeIfAbsent(Integer.valueOf(parts[0]), key -> new ArrayList<>()).add(Integer.valueOf(parts[1]));
                count.incrementAndGet();
            }
            return ConsumeOrderlyStatus.SUCCESS;
        });
        consumer.start();
        for (int i = 0; i < 200; i++) {
            int key = i % 4;
            producer.send(new Message(topic, "keyed", bytes(key + " " + i)),
                (queues, message, argument) -> queues.get((Integer) argument % queues.size()), key);
        }
        await(() -> count.get() >= 200, 40, "ordered messages missing");
        equal(2, failures.get(), "deliveries of the message that failed once");
        for (List<Integer> values : seen.values()) {
            List<Integer> sorted = new ArrayList<>(values);
            Collections.sort(sorted);
            equal(sorted, values, "order");
        }
        consumer.shutdown();
        producer.shutdown();
    }

    static void litePull() throws Exception {
        DefaultMQProducer producer = producer();
        String topic = topic("LitePull");
        for (int i = 0; i < 40; i++) {
            producer.send(new Message(topic, i % 2 == 0 ? "even" : "odd", bytes("body " + i)));
        }
        DefaultLitePullConsumer consumer = litePullConsumer("group_" + topic);
        consumer.subscribe(topic, "even");
        consumer.start();
        Set<String> bodies = new HashSet<>();
        await(() -> {
            for (MessageExt message : consumer.poll(500)) {
                bodies.add(text(message));
            }
            return bodies.size() >= 20;
        }, 30, () -> "polled only " + bodies.size());
        equal(20, bodies.size(), "polled");
        ClientVersion.commit(consumer);
        consumer.shutdown();
        DefaultLitePullConsumer next = litePullConsumer("group_" + topic);
        next.subscribe(topic, "even");
        next.start();
        producer.send(new Message(topic, "even", bytes("one more")));
        Set<String> more = new HashSet<>();
        await(() -> {
            for (MessageExt message : next.poll(500)) {
                more.add(text(message));
            }
            return more.contains("one more");
        }, 30, "nothing polled after a restart");
        equal(Set.of("one more"), more, "polled after a restart");
        next.shutdown();
        producer.shutdown();
    }

    static void litePullAssign() throws Exception {
        DefaultMQProducer producer = producer();
        String topic = topic("LiteAssign");
        for (int i = 0; i < 40; i++) {
            producer.send(new Message(topic, bytes("body " + i)));
        }
        DefaultLitePullConsumer consumer = litePullConsumer("group_" + topic);
        consumer.start();
        List<MessageQueue> queues = new ArrayList<>(consumer.fetchMessageQueues(topic));
        consumer.assign(queues);
        for (MessageQueue queue : queues) {
            consumer.seekToBegin(queue);
        }
        AtomicInteger count = new AtomicInteger();
        await(() -> count.addAndGet(consumer.poll(500).size()) >= 40, 30, "polled too little");
        equal(40, count.get(), "polled");
        consumer.shutdown();
        producer.shutdown();
    }

    static void tags() throws Exception {
        DefaultMQProducer producer = producer();
        String topic = topic("Tags");
        String[] names = {"TagA", "TagB", "TagC"};
        for (int i = 0; i < 90; i++) {
            producer.send(new Message(topic, names[i % 3], bytes("body " + i)));
        }
        for (MessageExt message : consume(topic, "TagA || TagC", 60)) {
            check(!message.getTags().equals("TagB"), "a tag that was not asked for");
        }
        producer.shutdown();
    }

    static void sqlFilter() throws Exception {
        DefaultMQProducer producer = producer();
        String topic = topic("SqlFilter");
        for (int i = 0; i < 90; i++) {
            Message message = new Message(topic, i % 2 == 0 ? "Even" : "Odd", bytes("body " + i));
            message.putUserProperty("number", String.valueOf(i));
            if (i % 3 == 0) {
                message.putUserProperty("region", "\u5317\u4eac");
            }
            producer.send(message);
        }
        String sql = "number >= 30 AND number < 60 AND (TAGS = 'Even' OR region = '\u5317\u4eac')";
        for (MessageExt message : consume(topic, MessageSelector.bySql(sql), 20)) {
            int number = Integer.parseInt(message.getUserProperty("number"));
            check(number >= 30 && number < 60 && (number % 2 == 0 || number % 3 == 0), "not asked for: " + number);
        }
        equal(30, consume(topic, MessageSelector.bySql("region IS NOT NULL"), 30).size(), "messages with a region");
        DefaultMQPushConsumer broken = pushConsumer("broken_" + topic, topic, MessageSelector.bySql("number >"));
        broken.registerMessageListener((MessageListenerConcurrently) (m, c) -> ConsumeConcurrentlyStatus.CONSUME_SUCCESS);
        try {
            broken.start();
            throw new AssertionError("an expression without an end was accepted");
        } catch (MQClientException expected) {
            equal(23, expected.getResponseCode(), "answer to a broken expression");
        } finally {
            broken.shutdown();
        }
        producer.shutdown();
    }

    static void rebalance() throws Exception {
        DefaultMQProducer producer = producer();
        String topic = topic("Rebalance");
        producer.send(new Message(topic, bytes("makes the topic")));
        Set<String> received = ConcurrentHashMap.newKeySet();
        AtomicInteger[] counts = {new AtomicInteger(), new AtomicInteger()};
        DefaultMQPushConsumer[] consumers = new DefaultMQPushConsumer[2];
        for (int i = 0; i < 2; i++) {
            int index = i;
            consumers[i] = pushConsumer("group_" + topic, topic, "*");
            consumers[i].registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
                for (MessageExt message : messages) {
                    received.add(text(message));
                    counts[index].incrementAndGet();
                }
                return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
            });
            consumers[i].start();
        }
        // Both have queues once both receive.
        AtomicInteger sent = new AtomicInteger();
        await(() -> {
            producer.send(new Message(topic, bytes("body " + sent.getAndIncrement())));
            return counts[0].get() > 0 && counts[1].get() > 0;
        }, 40, "the queues were not divided");
        consumers[1].shutdown();
        for (int i = 0; i < 100; i++) {
            producer.send(new Message(topic, bytes("body " + sent.getAndIncrement())));
        }
        await(() -> received.size() == sent.get() + 1, 40, () -> "lost when a consumer left: " + received.size() + " of " + (sent.get() + 1));
        consumers[0].shutdown();
        producer.shutdown();
    }

    static void resume() throws Exception {
        DefaultMQProducer producer = producer();
        String topic = topic("Resume");
        for (int i = 0; i < 100; i++) {
            producer.send(new Message(topic, bytes("first " + i)));
        }
        Set<String> first = consumeAs("group_" + topic, topic, 100);
        for (int i = 0; i < 50; i++) {
            producer.send(new Message(topic, bytes("second " + i)));
        }
        Set<String> second = consumeAs("group_" + topic, topic, 50);
        check(second.stream().allMatch(body -> body.startsWith("second")), "consumed again after a restart: " + second);
        producer.shutdown();
    }

    static void fromLast() throws Exception {
        DefaultMQProducer producer = producer();
        String topic = topic("FromLast");
        Set<String> bodies = ConcurrentHashMap.newKeySet();
        DefaultMQPushConsumer consumer = pushConsumer("group_" + topic, topic, "*");
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_LAST_OFFSET);
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            for (MessageExt message : messages) {
                bodies.add(text(message));
            }
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        // A group that starts beside the first sends to a young topic misses none of them.
        producer.send(new Message(topic, bytes("body 0")));
        consumer.start();
        for (int i = 1; i < 20; i++) {
            producer.send(new Message(topic, bytes("body " + i)));
        }
        await(() -> bodies.size() == 20, 40, () -> "got only " + bodies);
        consumer.shutdown();
        producer.shutdown();
    }

    static void retry() throws Exception {
        DefaultMQProducer producer = producer();
        String topic = topic("Retry");
        producer.send(new Message(topic, bytes("fails twice")));
        List<Long> times = Collections.synchronizedList(new ArrayList<>());
        AtomicInteger reconsumed = new AtomicInteger(-1);
        DefaultMQPushConsumer consumer = pushConsumer("group_" + topic, topic, "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            times.add(System.currentTimeMillis());
            reconsumed.set(messages.get(0).getReconsumeTimes());
            context.setDelayLevelWhenNextConsume(1);
            if (times.size() < 3) {
                throw new IllegalStateException("not yet");
            }
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        await(() -> times.size() >= 3, 60, () -> "redelivered only " + times.size() + " times");
        equal(2, reconsumed.get(), "reconsume times");
        check(times.get(1) - times.get(0) >= 1000, "redelivered early");
        Thread.sleep(1500);
        equal(3, times.size(), "deliveries after success");
        consumer.shutdown();
        producer.shutdown();
    }

    static void deadLetter() throws Exception {
        DefaultMQProducer producer = producer();
        String topic = topic("DeadLetter");
        String group = "group_" + topic;
        producer.send(new Message(topic, "TagA", "key", bytes("fails for good")));
        AtomicInteger deliveries = new AtomicInteger();
        DefaultMQPushConsumer consumer = pushConsumer(group, topic, "*");
        consumer.setMaxReconsumeTimes(1);
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            deliveries.incrementAndGet();
            // After the last delivery the level does not matter: the broker puts the message aside.
            context.setDelayLevelWhenNextConsume(1);
            return ConsumeConcurrentlyStatus.RECONSUME_LATER;
        });
        consumer.start();
        String deadLetters = "%DLQ%" + group;
        await(() -> {
            try {
                return !producer.fetchPublishMessageQueues(deadLetters).isEmpty();
            } catch (MQClientException notYet) {
                return false;
            }
        }, 70, "no topic of dead letters");
        MessageExt message = consume(deadLetters, "*", 1).get(0);
        equal("fails for good", text(message), "body");
        equal("key", message.getKeys(), "key");
        equal(2, deliveries.get(), "deliveries");
        consumer.shutdown();
        producer.shutdown();
    }

    static void delay() throws Exception {
        DefaultMQProducer producer = producer();
        String topic = topic("Delay");
        producer.send(new Message(topic, bytes("makes the topic")));
        AtomicLong arrived = new AtomicLong();
        DefaultMQPushConsumer consumer = pushConsumer("group_" + topic, topic, "delayed");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            arrived.set(System.currentTimeMillis());
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        Message message = new Message(topic, "delayed", bytes("later"));
        message.setDelayTimeLevel(1);
        long sent = System.currentTimeMillis();
        producer.send(message);
        await(() -> arrived.get() > 0, 30, "a delayed message did not come");
        check(arrived.get() - sent >= 1000, "came early, after " + (arrived.get() - sent) + " ms");
        consumer.shutdown();
        producer.shutdown();
    }

    static void broadcast() throws Exception {
        DefaultMQProducer producer = producer();
        String topic = topic("Broadcast");
        producer.send(new Message(topic, bytes("makes the topic")));
        List<Set<String>> received = List.of(ConcurrentHashMap.newKeySet(), ConcurrentHashMap.newKeySet());
        List<DefaultMQPushConsumer> consumers = new ArrayList<>();
        for (Set<String> bodies : received) {
            DefaultMQPushConsumer consumer = pushConsumer("group_" + topic, topic, "*");
            ClientVersion.broadcast(consumer);
            consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
                for (MessageExt message : messages) {
                    bodies.add(text(message));
                }
                return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
            });
            consumer.start();
            consumers.add(consumer);
        }
        Thread.sleep(1000);
        for (int i = 0; i < 20; i++) {
            producer.send(new Message(topic, bytes("body " + i)));
        }
        for (Set<String> bodies : received) {
            await(() -> bodies.stream().filter(body -> body.startsWith("body")).count() == 20, 30, () -> "a member of a broadcast group got " + bodies.size());
        }
        for (DefaultMQPushConsumer consumer : consumers) {
            consumer.shutdown();
        }
        producer.shutdown();
    }

    static void lateTopic() throws Exception {
        String topic = topic("LateTopic");
        Set<String> bodies = ConcurrentHashMap.newKeySet();
        DefaultMQPushConsumer consumer = pushConsumer("group_" + topic, topic, "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            for (MessageExt message : messages) {
                bodies.add(text(message));
            }
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        DefaultMQProducer producer = producer();
        for (int i = 0; i < 10; i++) {
            producer.send(new Message(topic, bytes("body " + i)));
        }
        await(() -> bodies.size() == 10, 60, () -> "a consumer that was there first got " + bodies.size());
        consumer.shutdown();
        producer.shutdown();
    }
}
