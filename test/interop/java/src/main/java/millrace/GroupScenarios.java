package millrace;

import static millrace.Harness.await;
import static millrace.Harness.bytes;
import static millrace.Harness.check;
import static millrace.Harness.equal;
import static millrace.Harness.producer;
import static millrace.Harness.pushConsumer;
import static millrace.Harness.text;
import static millrace.Harness.topic;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.ConsumeOrderlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.consumer.listener.MessageListenerOrderly;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.RequestCallback;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.utils.MessageUtil;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;

/**
 * What groups of clients rely on beyond sending and receiving: replies, traces, resets of offsets,
 * clones, suspended and exhausted retries in order.
 */
class GroupScenarios {
    private GroupScenarios() {
    }

    /** A producer asks, a consumer answers, and the answer comes back to that producer. */
    static void requestReply() throws Exception {
        String topic = topic("RequestReply");
        DefaultMQProducer asker = producer();
        DefaultMQProducer replier = producer();
        DefaultMQPushConsumer consumer = pushConsumer("g-" + topic, topic, "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            for (MessageExt message : messages) {
                try {
                    byte[] answer = bytes("reply to " + text(message));
                    replier.send(MessageUtil.createReplyMessage(message, answer), 3000);
                } catch (Exception fault) {
                    fault.printStackTrace(System.out);
                }
            }
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        asker.send(new Message(topic, bytes("makes the topic")));
        consumer.start();
        int count = 20;
        Map<Integer, String> replies = new ConcurrentHashMap<>();
        CountDownLatch ended = new CountDownLatch(count);
        for (int i = 0; i < count; i++) {
            int number = i;
            // The blocking form of client 5.3.3 times out by a fault of its own when the reply is slow.
            asker.request(new Message(topic, bytes("question " + number)), new RequestCallback() {
                @Override
                public void onSuccess(Message message) {
                    replies.put(number, new String(message.getBody(), java.nio.charset.StandardCharsets.UTF_8));
                    ended.countDown();
                }

                @Override
                public void onException(Throwable fault) {
                    replies.put(number, String.valueOf(fault));
                    ended.countDown();
                }
            }, 20_000);
        }
        check(ended.await(30, TimeUnit.SECONDS), "all are answered, of " + count + ": " + replies.size());
        for (int i = 0; i < count; i++) equal("reply to question " + i, replies.get(i), "reply");
        for (DefaultMQProducer one : List.of(asker, replier)) one.shutdown();
        consumer.shutdown();
    }

    /** Traces of both sides are stored and found by the message's id. */
    static void trace() throws Exception {
        String topic = topic("Traced");
        DefaultMQProducer producer = new DefaultMQProducer("p-" + topic, null, true, null);
        producer.setNamesrvAddr(Harness.nameServer);
        producer.setInstanceName("traced" + Harness.CLIENTS.incrementAndGet());
        producer.start();
        SendResult sent = producer.send(new Message(topic, "TagA", "key-t", bytes("traced")));
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer("g-" + topic, null,
            new org.apache.rocketmq.client.consumer.rebalance.AllocateMessageQueueAveragely(), true, null);
        consumer.setNamesrvAddr(Harness.nameServer);
        consumer.setInstanceName("traced" + Harness.CLIENTS.incrementAndGet());
        consumer.setConsumeFromWhere(org.apache.rocketmq.common.consumer.ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.subscribe(topic, "*");
        AtomicInteger consumed = new AtomicInteger();
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            consumed.addAndGet(messages.size());
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        await(() -> consumed.get() == 1, 30, "consumed");
        DefaultMQAdminExt admin = admin();
        AtomicReference<String> traces = new AtomicReference<>("");
        await(() -> {
            try {
                long now = System.currentTimeMillis();
                StringBuilder all = new StringBuilder();
                for (MessageExt one : admin.queryMessage("RMQ_SYS_TRACE_TOPIC", sent.getMsgId(), 64, now - 600_000, now + 600_000).getMessageList())
                    all.append(text(one));
                traces.set(all.toString());
            } catch (Exception none) {
                return false;
            }
            return traces.get().contains("Pub") && traces.get().contains("SubBefore") && traces.get().contains("SubAfter");
        }, 30, "Pub, SubBefore and SubAfter are there");
        check(traces.get().contains(topic), "the topic is in the trace");
        producer.shutdown();
        consumer.shutdown();
        admin.shutdown();
    }

    /** A group that runs is set back and forward, one that is away too, and offsets are cloned. */
    static void reset() throws Exception {
        String topic = topic("Reset");
        String group = "g-" + topic;
        int count = 40;
        DefaultMQProducer producer = producer();
        for (int i = 0; i < count; i++) producer.send(new Message(topic, bytes("m" + i)));
        Map<String, AtomicInteger> seen = new ConcurrentHashMap<>();
        DefaultMQPushConsumer consumer = counting(group, topic, seen);
        await(() -> seen.size() == count, 30, "all are consumed");
        DefaultMQAdminExt admin = admin();
        await(() -> behind(admin, group) == 0, 30, "all are committed");

        // Online, to the start: every message comes once more.
        Map<MessageQueue, Long> table = admin.resetOffsetByTimestamp(topic, group, 0, true);
        check(table.values().stream().allMatch(offset -> offset == 0), "targets are the start: " + table);
        await(() -> seen.values().stream().allMatch(times -> times.get() >= 2), 40, "all come again");
        await(() -> behind(admin, group) == 0, 30, "all are committed again");
        Thread.sleep(500);
        for (AtomicInteger times : seen.values()) equal(2, times.get(), "times");
        consumer.shutdown();

        // Offline, to the end: what was sent meanwhile is skipped.
        for (int i = count; i < count + 10; i++) producer.send(new Message(topic, bytes("m" + i)));
        admin.resetOffsetByTimestamp(topic, group, -1, true);
        equal(0L, behind(admin, group), "nothing is behind");
        DefaultMQPushConsumer again = counting(group, topic, seen);
        for (int i = count + 10; i < count + 20; i++) producer.send(new Message(topic, bytes("m" + i)));
        await(() -> seen.size() == count + 10, 30, "the last ten come");
        for (int i = count; i < count + 10; i++) check(!seen.containsKey("m" + i), "m" + i + " was skipped");
        again.shutdown();
        producer.shutdown();
        admin.shutdown();
    }

    /** In order: a queue that fails is suspended and tried again, and at the end goes to the dead letters, then the rest comes. */
    static void orderlyRetry() throws Exception {
        String topic = topic("OrderlyRetry");
        String group = "g-" + topic;
        DefaultMQProducer producer = producer();
        int count = 6;
        for (int i = 0; i < count; i++)
            producer.send(new Message(topic, bytes("m" + i)), (queues, message, key) -> queues.get(0), null);
        List<String> log = new java.util.concurrent.CopyOnWriteArrayList<>();
        DefaultMQPushConsumer consumer = pushConsumer(group, topic, "*");
        consumer.setMaxReconsumeTimes(2);
        consumer.setSuspendCurrentQueueTimeMillis(200);
        consumer.registerMessageListener((MessageListenerOrderly) (messages, context) -> {
            for (MessageExt message : messages) {
                log.add(text(message));
                if (text(message).equals("m2")) return ConsumeOrderlyStatus.SUSPEND_CURRENT_QUEUE_A_MOMENT;
            }
            return ConsumeOrderlyStatus.SUCCESS;
        });
        consumer.start();
        await(() -> log.contains("m" + (count - 1)), 60, () -> "the rest comes: " + log);
        equal(List.of("m0", "m1", "m2", "m2", "m2", "m3", "m4", "m5"), log, "order");
        List<MessageExt> dead = Harness.consume("%DLQ%" + group, "*", 1);
        equal("m2", text(dead.get(0)), "dead letter");
        consumer.shutdown();
        producer.shutdown();
    }

    private static DefaultMQPushConsumer counting(String group, String topic, Map<String, AtomicInteger> seen) throws Exception {
        DefaultMQPushConsumer consumer = pushConsumer(group, topic, "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            for (MessageExt message : messages)
                seen.computeIfAbsent(text(message), key -> new AtomicInteger()).incrementAndGet();
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        return consumer;
    }

    private static long behind(DefaultMQAdminExt admin, String group) {
        try {
            return admin.examineConsumeStats(group).computeTotalDiff();
        } catch (Exception fault) {
            return -1;
        }
    }

    private static DefaultMQAdminExt admin() throws Exception {
        DefaultMQAdminExt admin = new DefaultMQAdminExt();
        admin.setNamesrvAddr(Harness.nameServer);
        admin.setInstanceName("admin" + Harness.CLIENTS.incrementAndGet());
        admin.start();
        return admin;
    }
}
