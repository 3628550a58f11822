package millrace;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Executors;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.rocketmq.client.QueryResult;
import org.apache.rocketmq.client.consumer.DefaultLitePullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.ConsumeOrderlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.consumer.listener.MessageListenerOrderly;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendCallback;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.remoting.protocol.heartbeat.MessageModel;

/**
 * What an unmodified RocketMQ 5.3.3 Java client does, one method a scenario. Arguments: name server
 * address, then names of scenarios, each with parameters behind a colon. Prints "PASS name" or
 * "FAIL name: why" for each, and exits with the number of failures.
 */
public class Scenarios {
    static String nameServer;
    /** Makes topics and groups of this run unlike those of any other. */
    static final String RUN = Long.toString(System.nanoTime(), 36);
    static final AtomicInteger CLIENTS = new AtomicInteger();

    interface Scenario {
        void run(String[] parameters) throws Exception;
    }

    static final Map<String, Scenario> ALL = new HashMap<>();

    static {
        ALL.put("sync-send", p -> syncSend());
        ALL.put("async-send", p -> asyncSend());
        ALL.put("oneway", p -> oneway());
        ALL.put("batch", p -> batch());
        ALL.put("large-body", p -> largeBody());
        ALL.put("compressed-body", p -> compressedBody());
        ALL.put("chinese", p -> chinese());
        ALL.put("orderly", p -> orderly());
        ALL.put("lite-pull", p -> litePull());
        ALL.put("lite-pull-assign", p -> litePullAssign());
        ALL.put("tags", p -> tags());
        ALL.put("rebalance", p -> rebalance());
        ALL.put("resume", p -> resume());
        ALL.put("from-last", p -> fromLast());
        ALL.put("retry", p -> retry());
        ALL.put("delay", p -> delay());
        ALL.put("broadcast", p -> broadcast());
        ALL.put("query", p -> query());
        ALL.put("vip", p -> vip());
        ALL.put("late-topic", p -> lateTopic());
        ALL.put("million", Scenarios::million);
        ALL.put("fill", Scenarios::fill);
        ALL.put("verify", Scenarios::verify);
        ALL.put("spread", Scenarios::spread);
        ALL.put("throw-first", Scenarios::throwFirst);
        ALL.put("receive-retried", Scenarios::receiveRetried);
    }

    public static void main(String[] args) {
        nameServer = args[0];
        int failures = 0;
        for (String argument : Arrays.asList(args).subList(1, args.length)) {
            String[] parts = argument.split(":");
            long start = System.currentTimeMillis();
            try {
                ALL.get(parts[0]).run(Arrays.copyOfRange(parts, 1, parts.length));
                System.out.println("PASS " + parts[0] + " " + (System.currentTimeMillis() - start) + " ms");
            } catch (Throwable error) {
                failures++;
                System.out.println("FAIL " + parts[0] + ": " + error);
                error.printStackTrace(System.out);
            }
        }
        System.exit(failures);
    }

    static void check(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }

    static void equal(Object expected, Object actual, String what) {
        check(expected.equals(actual), what + ": expected " + expected + ", got " + actual);
    }

    static String topic(String name) {
        return name + "_" + RUN;
    }

    static DefaultMQProducer producer() throws MQClientException {
        DefaultMQProducer producer = new DefaultMQProducer("producer_" + RUN);
        producer.setNamesrvAddr(nameServer);
        producer.setInstanceName("p" + CLIENTS.incrementAndGet());
        producer.setSendMsgTimeout(10_000);
        producer.start();
        return producer;
    }

    static DefaultMQPushConsumer pushConsumer(String group, String topic, String expression) throws MQClientException {
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(group);
        consumer.setNamesrvAddr(nameServer);
        consumer.setInstanceName("c" + CLIENTS.incrementAndGet());
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.subscribe(topic, expression);
        return consumer;
    }

    static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    static String text(MessageExt message) {
        return new String(message.getBody(), StandardCharsets.UTF_8);
    }

    /** Consumes a topic as a new group until so many different bodies have come. */
    static List<MessageExt> consume(String topic, String expression, int count) throws Exception {
        Map<String, MessageExt> found = new ConcurrentHashMap<>();
        DefaultMQPushConsumer consumer = pushConsumer("group_" + RUN + "_" + CLIENTS.get() + "_" + topic, topic, expression);
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            for (MessageExt message : messages) {
                found.put(message.getMsgId(), message);
            }
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        await(() -> found.size() >= count, 30, "only " + found.size() + " of " + count + " messages came");
        Thread.sleep(200);
        consumer.shutdown();
        equal(count, found.size(), "messages received");
        return new ArrayList<>(found.values());
    }

    interface Condition {
        boolean holds() throws Exception;
    }

    static void await(Condition condition, int seconds, String what) throws Exception {
        long deadline = System.currentTimeMillis() + seconds * 1000L;
        while (!condition.holds()) {
            check(System.currentTimeMillis() < deadline, what + " (after " + seconds + " s)");
            Thread.sleep(20);
        }
    }

    static void syncSend() throws Exception {
        DefaultMQProducer producer = producer();
        String topic = topic("Sync");
        for (int i = 0; i < 100; i++) {
            SendResult result = producer.send(new Message(topic, "TagA", "key" + i, bytes("body " + i)));
            equal(SendStatus.SEND_OK, result.getSendStatus(), "status");
        }
        Set<String> bodies = new HashSet<>();
        for (MessageExt message : consume(topic, "*", 100)) {
            bodies.add(text(message));
            equal("TagA", message.getTags(), "tag");
        }
        equal(100, bodies.size(), "different bodies");
        producer.shutdown();
    }

    static void asyncSend() throws Exception {
        DefaultMQProducer producer = producer();
        String topic = topic("Async");
        producer.send(new Message(topic, bytes("makes the topic")));
        CountDownLatch done = new CountDownLatch(1000);
        AtomicInteger ok = new AtomicInteger();
        Semaphore room = new Semaphore(200);
        for (int i = 0; i < 1000; i++) {
            room.acquire();
            producer.send(new Message(topic, bytes("body " + i)), new SendCallback() {
                @Override
                public void onSuccess(SendResult result) {
                    ok.incrementAndGet();
                    room.release();
                    done.countDown();
                }

                @Override
                public void onException(Throwable error) {
                    room.release();
                    done.countDown();
                }
            });
        }
        check(done.await(30, TimeUnit.SECONDS), "callbacks missing: " + done.getCount());
        equal(1000, ok.get(), "onSuccess");
        AtomicReference<Throwable> failure = new AtomicReference<>();
        CountDownLatch failed = new CountDownLatch(1);
        producer.setRetryTimesWhenSendAsyncFailed(0);
        // Queue 99 of the topic does not exist: the broker refuses it.
        MessageQueue first = producer.fetchPublishMessageQueues(topic).get(0);
        producer.send(new Message(topic, bytes("x")), new MessageQueue(topic, first.getBrokerName(), 99), new SendCallback() {
            @Override
            public void onSuccess(SendResult result) {
                failed.countDown();
            }

            @Override
            public void onException(Throwable error) {
                failure.set(error);
                failed.countDown();
            }
        });
        check(failed.await(10, TimeUnit.SECONDS), "no callback for an illegal queue");
        check(failure.get() instanceof MQBrokerException, "onException with the broker's answer, got " + failure.get());
        consume(topic, "*", 1001);
        producer.shutdown();
    }

    static void oneway() throws Exception {
        DefaultMQProducer producer = producer();
        String topic = topic("Oneway");
        producer.send(new Message(topic, bytes("makes the topic")));
        for (int i = 0; i < 50; i++) {
            producer.sendOneway(new Message(topic, bytes("body " + i)));
        }
        consume(topic, "*", 51);
        producer.shutdown();
    }

    static void batch() throws Exception {
        DefaultMQProducer producer = producer();
        String topic = topic("Batch");
        List<Message> messages = new ArrayList<>();
        for (int i = 0; i < 50; i++) {
            messages.add(new Message(topic, "TagB", "batch" + i, bytes("body " + i)));
        }
        SendResult result = producer.send(messages);
        equal(SendStatus.SEND_OK, result.getSendStatus(), "status");
        equal(50, result.getMsgId().split(",").length, "ids of a batch");
        Set<Long> offsets = new HashSet<>();
        for (MessageExt message : consume(topic, "TagB", 50)) {
            offsets.add(message.getQueueOffset());
        }
        equal(50, offsets.size(), "different queue offsets");
        producer.shutdown();
    }

    static void largeBody() throws Exception {
        DefaultMQProducer producer = producer();
        producer.setMaxMessageSize(8 * 1024 * 1024);
        producer.setCompressMsgBodyOverHowmuch(Integer.MAX_VALUE);
        String topic = topic("Large");
        byte[] body = new byte[4 * 1024 * 1024];
        for (int i = 0; i < body.length; i++) {
            body[i] = (byte) (i * 31 + i / 7);
        }
        equal(SendStatus.SEND_OK, producer.send(new Message(topic, body), 20_000).getSendStatus(), "status of 4 MiB");
        check(Arrays.equals(body, consume(topic, "*", 1).get(0).getBody()), "body came back changed");
        try {
            producer.send(new Message(topic, new byte[body.length + 1]), 20_000);
            check(false, "4 MiB and a byte was taken");
        } catch (MQBrokerException refused) {
            equal(13, refused.getResponseCode(), "answer code");
        }
        producer.shutdown();
    }

    static void compressedBody() throws Exception {
        DefaultMQProducer producer = producer();
        String topic = topic("Compressed");
        String body = String.join(" ", Collections.nCopies(5000, "compressible"));
        producer.send(new Message(topic, bytes(body)));
        MessageExt message = consume(topic, "*", 1).get(0);
        equal(body, text(message), "body");
        check(message.getStoreSize() < 10_000, "it was stored compressed: " + message.getStoreSize());
        producer.shutdown();
    }

    static void chinese() throws Exception {
        DefaultMQProducer producer = producer();
        String topic = topic("Chinese");
        Message message = new Message(topic, "标签", "订单号", bytes("消息正文 😀"));
        message.putUserProperty("属性名", "属性值 😀 \"quoted\" \\ / \t");
        producer.send(message);
        MessageExt received = consume(topic, "标签", 1).get(0);
        equal("消息正文 😀", text(received), "body");
        equal("标签", received.getTags(), "tag");
        equal("订单号", received.getKeys(), "key");
        equal("属性值 😀 \"quoted\" \\ / \t", received.getUserProperty("属性名"), "property");
        producer.shutdown();
    }

    static void orderly() throws Exception {
        DefaultMQProducer producer = producer();
        String topic = topic("Orderly");
        producer.send(new Message(topic, bytes("makes the topic")));
        Map<Integer, List<Integer>> seen = new ConcurrentHashMap<>();
        AtomicInteger count = new AtomicInteger();
        DefaultMQPushConsumer consumer = pushConsumer("group_" + topic, topic, "keyed");
        consumer.registerMessageListener((MessageListenerOrderly) (messages, context) -> {
            for (MessageExt message : messages) {
                String[] parts = text(message).split(" ");
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
        for (List<Integer> values : seen.values()) {
            List<Integer> sorted = new ArrayList<>(values);
            Collections.sort(sorted);
            equal(sorted, values, "order");
        }
        consumer.shutdown();
        producer.shutdown();
    }

    static DefaultLitePullConsumer litePullConsumer(String group) {
        DefaultLitePullConsumer consumer = new DefaultLitePullConsumer(group);
        consumer.setNamesrvAddr(nameServer);
        consumer.setInstanceName("l" + CLIENTS.incrementAndGet());
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        return consumer;
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
        }, 30, "polled only " + bodies.size());
        equal(20, bodies.size(), "polled");
        consumer.commit();
        consumer.shutdown();
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
        await(() -> received.size() == sent.get() + 1, 40, "lost when a consumer left: " + received.size() + " of " + (sent.get() + 1));
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

    static Set<String> consumeAs(String group, String topic, int count) throws Exception {
        Set<String> bodies = ConcurrentHashMap.newKeySet();
        DefaultMQPushConsumer consumer = pushConsumer(group, topic, "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            for (MessageExt message : messages) {
                bodies.add(text(message));
            }
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        await(() -> bodies.size() >= count, 30, "too few messages");
        Thread.sleep(300);
        consumer.shutdown();
        return bodies;
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
        await(() -> bodies.size() == 20, 40, "got only " + bodies);
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
        await(() -> times.size() >= 3, 60, "redelivered only " + times.size() + " times");
        equal(2, reconsumed.get(), "reconsume times");
        check(times.get(1) - times.get(0) >= 1000, "redelivered early");
        Thread.sleep(1500);
        equal(3, times.size(), "deliveries after success");
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
            consumer.setMessageModel(MessageModel.BROADCASTING);
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
            await(() -> bodies.stream().filter(body -> body.startsWith("body")).count() == 20, 30, "a member of a broadcast group got " + bodies.size());
        }
        for (DefaultMQPushConsumer consumer : consumers) {
            consumer.shutdown();
        }
        producer.shutdown();
    }

    static void query() throws Exception {
        DefaultMQProducer producer = producer();
        String topic = topic("Query");
        SendResult result = producer.send(new Message(topic, "TagA", "order-17 order-18", bytes("wanted")));
        producer.send(new Message(topic, "TagA", "order-19", bytes("other")));
        AtomicReference<QueryResult> found = new AtomicReference<>();
        await(() -> {
            try {
                found.set(producer.queryMessage(topic, "order-18", 10, 0, System.currentTimeMillis() + 10_000));
                return true;
            } catch (MQClientException notYet) {
                return false;
            }
        }, 10, "a message was not found by its key");
        equal(1, found.get().getMessageList().size(), "messages by key");
        equal("wanted", text(found.get().getMessageList().get(0)), "message by key");
        equal("wanted", text(producer.viewMessage(topic, result.getMsgId())), "message by unique id");
        equal("wanted", text(producer.viewMessage(topic, result.getOffsetMsgId())), "message by offset id");
        MessageQueue queue = result.getMessageQueue();
        equal(0L, producer.minOffset(queue), "minimum offset");
        check(producer.maxOffset(queue) >= 1, "maximum offset");
        equal(0L, producer.searchOffset(queue, 0), "offset by time");
        check(producer.earliestMsgStoreTime(queue) > 0, "earliest store time");
        producer.shutdown();
    }

    static void vip() throws Exception {
        DefaultMQProducer producer = new DefaultMQProducer("producer_vip_" + RUN);
        producer.setNamesrvAddr(nameServer);
        producer.setInstanceName("p" + CLIENTS.incrementAndGet());
        producer.setVipChannelEnabled(true);
        producer.setSendMessageWithVIPChannel(true);
        producer.start();
        String topic = topic("Vip");
        for (int i = 0; i < 10; i++) {
            producer.send(new Message(topic, bytes("body " + i)));
        }
        consume(topic, "*", 10);
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
        await(() -> bodies.size() == 10, 60, "a consumer that was there first got " + bodies.size());
        consumer.shutdown();
        producer.shutdown();
    }

    /** Parameters: count of messages. */
    static void million(String[] parameters) throws Exception {
        int total = Integer.parseInt(parameters[0]);
        int producers = 8;
        String topic = topic("Million");
        DefaultMQProducer first = producer();
        first.send(new Message(topic, "seed", bytes("makes the topic")));
        AtomicInteger[] seen = new AtomicInteger[total];
        for (int i = 0; i < total; i++) {
            seen[i] = new AtomicInteger();
        }
        AtomicInteger received = new AtomicInteger();
        AtomicInteger damaged = new AtomicInteger();
        AtomicInteger misordered = new AtomicInteger();
        Map<String, Integer> last = new ConcurrentHashMap<>();
        Set<Integer> retried = ConcurrentHashMap.newKeySet();
        DefaultMQPushConsumer consumer = pushConsumer("group_" + topic, topic, "load");
        consumer.setConsumeMessageBatchMaxSize(32);
        consumer.setPullThresholdForQueue(20_000);
        consumer.registerMessageListener((MessageListenerOrderly) (messages, context) -> {
            for (MessageExt message : messages) {
                int number = Integer.parseInt(new String(message.getBody(), 0, 10, StandardCharsets.US_ASCII).trim());
                if (!Arrays.equals(loadBody(number), message.getBody())) {
                    damaged.incrementAndGet();
                }
                if (seen[number].getAndIncrement() == 0) {
                    received.incrementAndGet();
                    String key = number % producers + " " + message.getQueueId();
                    Integer previous = last.put(key, number);
                    if (previous != null && previous > number && !retried.contains(number) && !retried.contains(previous)) {
                        misordered.incrementAndGet();
                    }
                }
            }
            return ConsumeOrderlyStatus.SUCCESS;
        });
        consumer.start();
        long start = System.currentTimeMillis();
        Thread[] threads = new Thread[producers];
        AtomicInteger failed = new AtomicInteger();
        for (int p = 0; p < producers; p++) {
            int index = p;
            threads[p] = new Thread(() -> {
                try {
                    produce(topic, index, producers, total, retried, failed);
                } catch (Exception error) {
                    error.printStackTrace(System.out);
                    failed.incrementAndGet();
                }
            });
            threads[p].start();
        }
        for (Thread thread : threads) {
            thread.join();
        }
        long sentMs = System.currentTimeMillis() - start;
        await(() -> received.get() + failed.get() >= total, 240, "received " + received.get() + " of " + total);
        long receivedMs = System.currentTimeMillis() - start;
        System.out.println("INFO million: sent " + total + " in " + sentMs + " ms, received in " + receivedMs + " ms, retried " + retried.size());
        equal(0, failed.get(), "sends that failed for good");
        equal(0, damaged.get(), "bodies that changed");
        equal(0, misordered.get(), "messages out of order");
        consumer.shutdown();
        first.shutdown();
    }

    static byte[] loadBody(int number) {
        byte[] body = new byte[128];
        byte[] head = bytes(String.format("%10d", number));
        System.arraycopy(head, 0, body, 0, 10);
        for (int i = 10; i < 128; i++) {
            body[i] = (byte) (number + i);
        }
        return body;
    }

    static void produce(String topic, int index, int producers, int total, Set<Integer> retried, AtomicInteger failed) throws Exception {
        DefaultMQProducer producer = producer();
        producer.setRetryTimesWhenSendAsyncFailed(0);
        // The client's own pool of sender threads reorders asynchronous sends: one thread keeps their order.
        producer.getDefaultMQProducerImpl().setAsyncSenderExecutor(Executors.newSingleThreadExecutor());
        // One queue for each producer, so that the order of its sends is the order in that queue.
        List<MessageQueue> queues = producer.fetchPublishMessageQueues(topic);
        MessageQueue queue = queues.get(index % queues.size());
        Semaphore room = new Semaphore(256);
        for (int number = index; number < total; number += producers) {
            send(producer, queue, topic, number, room, retried, failed, 0);
        }
        room.acquire(256);
        producer.shutdown();
    }

    static void send(DefaultMQProducer producer, MessageQueue queue, String topic, int number, Semaphore room,
        Set<Integer> retried, AtomicInteger failed, int attempt) throws Exception {
        room.acquire();
        producer.send(new Message(topic, "load", loadBody(number)), queue, new SendCallback() {
            @Override
            public void onSuccess(SendResult result) {
                room.release();
            }

            @Override
            public void onException(Throwable error) {
                retried.add(number);
                try {
                    if (attempt < 5) {
                        Thread.sleep(50);
                        producer.send(new Message(topic, "load", loadBody(number)), queue);
                    } else {
                        failed.incrementAndGet();
                    }
                } catch (Exception again) {
                    again.printStackTrace(System.out);
                    failed.incrementAndGet();
                }
                room.release();
            }
        }, 10_000);
    }

    /** Fills a topic that another broker will serve. Parameters: topic, count. */
    static void fill(String[] parameters) throws Exception {
        String topic = parameters[0];
        int count = Integer.parseInt(parameters[1]);
        int from = parameters.length > 2 ? Integer.parseInt(parameters[2]) : 0;
        DefaultMQProducer producer = producer();
        producer.setCompressMsgBodyOverHowmuch(Integer.MAX_VALUE);
        for (int i = from; i < from + count; i++) {
            Message message = new Message(topic, "tag" + i % 3, "key" + i, storedBody(i));
            message.putUserProperty("序号", String.valueOf(i));
            equal(SendStatus.SEND_OK, producer.send(message, 10_000).getSendStatus(), "status");
        }
        producer.shutdown();
    }

    static byte[] storedBody(int number) {
        byte[] body = new byte[number % 10 == 0 ? 60_000 : 100 + number % 50];
        byte[] head = bytes("body " + number + " ");
        Arrays.fill(body, (byte) ('a' + number % 26));
        System.arraycopy(head, 0, body, 0, head.length);
        return body;
    }

    /** Reads what `fill` has sent, by pull and by key. Parameters: topic, count. */
    static void verify(String[] parameters) throws Exception {
        String topic = parameters[0];
        int count = Integer.parseInt(parameters[1]);
        Set<Integer> numbers = new HashSet<>();
        for (MessageExt message : consume(topic, "*", count)) {
            int number = Integer.parseInt(message.getUserProperty("序号"));
            check(Arrays.equals(storedBody(number), message.getBody()), "body of " + number);
            equal("tag" + number % 3, message.getTags(), "tag");
            equal("key" + number, message.getKeys(), "key");
            numbers.add(number);
        }
        equal(count, numbers.size(), "different messages");
        DefaultMQProducer producer = producer();
        for (int number : new int[] {0, count / 2, count - 1}) {
            QueryResult result = producer.queryMessage(topic, "key" + number, 8, 0, System.currentTimeMillis() + 60_000);
            equal(1, result.getMessageList().size(), "found by key" + number);
        }
        long messages = 0;
        for (MessageQueue queue : producer.fetchPublishMessageQueues(topic)) {
            messages += producer.maxOffset(queue) - producer.minOffset(queue);
        }
        equal((long) count, messages, "sum of queue lengths");
        producer.shutdown();
    }

    /** One topic over several brokers. Parameters: topic, count, brokers that must take part. */
    static void spread(String[] parameters) throws Exception {
        String topic = parameters[0];
        int count = Integer.parseInt(parameters[1]);
        int brokers = Integer.parseInt(parameters[2]);
        DefaultMQProducer producer = producer();
        await(() -> {
            Set<String> names = new HashSet<>();
            try {
                for (MessageQueue queue : producer.fetchPublishMessageQueues(topic)) {
                    names.add(queue.getBrokerName());
                }
            } catch (MQClientException notYet) {
                return false;
            }
            return names.size() == brokers;
        }, 40, "the topic is not on all brokers");
        Set<String> used = new HashSet<>();
        for (int i = 0; i < count; i++) {
            used.add(producer.send(new Message(topic, "spread", bytes("body " + i))).getMessageQueue().getBrokerName());
        }
        equal(brokers, used.size(), "brokers that took messages");
        consume(topic, "spread", count);
        producer.shutdown();
    }

    /** First half of a redelivery over a restart: the listener fails. Parameters: topic. */
    static void throwFirst(String[] parameters) throws Exception {
        String topic = parameters[0];
        DefaultMQProducer producer = producer();
        producer.send(new Message(topic, bytes("survives a restart")));
        CountDownLatch thrown = new CountDownLatch(1);
        DefaultMQPushConsumer consumer = pushConsumer("group_" + topic, topic, "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            context.setDelayLevelWhenNextConsume(2);
            thrown.countDown();
            throw new IllegalStateException("not now");
        });
        consumer.start();
        check(thrown.await(30, TimeUnit.SECONDS), "never delivered");
        // The message goes back to the broker right after the listener has thrown.
        Thread.sleep(1000);
        consumer.shutdown();
        producer.shutdown();
    }

    /** Second half, against the broker that was started again. Parameters: topic. */
    static void receiveRetried(String[] parameters) throws Exception {
        String topic = parameters[0];
        CountDownLatch received = new CountDownLatch(1);
        AtomicInteger reconsumed = new AtomicInteger(-1);
        DefaultMQPushConsumer consumer = pushConsumer("group_" + topic, topic, "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            reconsumed.set(messages.get(0).getReconsumeTimes());
            received.countDown();
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        check(received.await(40, TimeUnit.SECONDS), "not redelivered after the restart");
        equal(1, reconsumed.get(), "reconsume times");
        consumer.shutdown();
    }
}
