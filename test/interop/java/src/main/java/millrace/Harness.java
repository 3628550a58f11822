package millrace;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Supplier;
import org.apache.rocketmq.client.consumer.DefaultLitePullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.MessageSelector;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.MessageClientExt;
import org.apache.rocketmq.common.message.MessageExt;

/**
 * What every scenario uses: clients of this run, waiting, checking.
 */
class Harness {
    private Harness() {
    }

    static String nameServer;
    /** Makes topics and groups of this run unlike those of any other. */
    static final String RUN = Long.toString(System.nanoTime(), 36);
    static final AtomicInteger CLIENTS = new AtomicInteger();
    /** As the client has it, unless the run is in a hurry: the stock broker refuses pulls (25) until a lost beat is repeated. */
    static final int HEARTBEAT_MS = Integer.getInteger("millrace.heartbeatMs", 30_000);

    /** Of the broker under test, as the suite has set it; see broker-settings.ts. */
    static int setting(String variable, int standard) {
        String value = System.getenv(variable);
        return value == null ? standard : Integer.parseInt(value);
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
        return pushConsumer(group, topic, MessageSelector.byTag(expression));
    }

    static DefaultMQPushConsumer pushConsumer(String group, String topic, MessageSelector selector) throws MQClientException {
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(group);
        consumer.setNamesrvAddr(nameServer);
        consumer.setInstanceName("c" + CLIENTS.incrementAndGet());
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        // A route that the name server learns a moment later is not missed for half a minute.
        consumer.setPollNameServerInterval(1000);
        consumer.setHeartbeatBrokerInterval(HEARTBEAT_MS);
        consumer.subscribe(topic, selector);
        return consumer;
    }

    static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    static String text(MessageExt message) {
        return new String(message.getBody(), StandardCharsets.UTF_8);
    }

    /** Consumes a topic as a new group until so many different messages have come. */
    static List<MessageExt> consume(String topic, String expression, int count) throws Exception {
        return consume(topic, MessageSelector.byTag(expression), count);
    }

    static List<MessageExt> consume(String topic, MessageSelector selector, int count) throws Exception {
        Map<String, MessageExt> found = new ConcurrentHashMap<>();
        DefaultMQPushConsumer consumer = pushConsumer("group_" + RUN + "_" + CLIENTS.get() + "_" + topic, topic, selector);
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            for (MessageExt message : messages) {
                // The stock broker stores every message of a batch with the unique id of the batch as well.
                found.put(((MessageClientExt) message).getOffsetMsgId(), message);
            }
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        await(() -> found.size() >= count, 40, () -> "only " + found.size() + " of " + count + " messages came");
        Thread.sleep(200);
        consumer.shutdown();
        equal(count, found.size(), "messages received");
        return new ArrayList<>(found.values());
    }

    interface Condition {
        boolean holds() throws Exception;
    }

    static void await(Condition condition, int seconds, String what) throws Exception {
        await(condition, seconds, () -> what);
    }

    /** The words are made when they are needed, so that they say how far it came. */
    static void await(Condition condition, int seconds, Supplier<String> what) throws Exception {
        long deadline = System.currentTimeMillis() + seconds * 1000L;
        while (!condition.holds()) {
            if (System.currentTimeMillis() >= deadline) {
                throw new AssertionError(what.get() + " (after " + seconds + " s)");
            }
            Thread.sleep(20);
        }
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

    static DefaultLitePullConsumer litePullConsumer(String group) {
        DefaultLitePullConsumer consumer = new DefaultLitePullConsumer(group);
        consumer.setNamesrvAddr(nameServer);
        consumer.setInstanceName("l" + CLIENTS.incrementAndGet());
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        return consumer;
    }
}
