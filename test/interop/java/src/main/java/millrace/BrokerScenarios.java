package millrace;

import static millrace.Harness.await;
import static millrace.Harness.bytes;
import static millrace.Harness.check;
import static millrace.Harness.consume;
import static millrace.Harness.equal;
import static millrace.Harness.producer;
import static millrace.Harness.pushConsumer;
import static millrace.Harness.text;

import java.io.File;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.rocketmq.client.QueryResult;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageClientExt;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.remoting.exception.RemotingException;

/**
 * Steps of larger scenarios, in which brokers stop, start, change or are several.
 */
class BrokerScenarios {
    private BrokerScenarios() {
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
        List<MessageExt> messages = consume(topic, "*", count);
        Map<Integer, MessageExt> byNumber = new HashMap<>();
        // The first message of each instant in each queue: what a search by time must find.
        Map<String, Long> firstAt = new HashMap<>();
        for (MessageExt message : messages) {
            int number = Integer.parseInt(message.getUserProperty("序号"));
            check(Arrays.equals(storedBody(number), message.getBody()), "body of " + number);
            equal("tag" + number % 3, message.getTags(), "tag");
            equal("key" + number, message.getKeys(), "key");
            numbers.add(number);
            byNumber.put(number, message);
            firstAt.merge(message.getQueueId() + " " + message.getStoreTimestamp(), message.getQueueOffset(), Math::min);
        }
        equal(count, numbers.size(), "different messages");
        DefaultMQProducer producer = producer();
        for (int number : new int[] {0, count / 2, count - 1}) {
            QueryResult result = producer.queryMessage(topic, "key" + number, 8, 0, System.currentTimeMillis() + 60_000);
            equal(1, result.getMessageList().size(), "found by key" + number);
            MessageExt message = byNumber.get(number);
            String offsetId = ((MessageClientExt) message).getOffsetMsgId();
            for (String id : new String[] {message.getMsgId(), offsetId}) {
                MessageExt viewed = producer.viewMessage(topic, id);
                check(Arrays.equals(storedBody(number), viewed.getBody()), "body by id " + id);
                equal(message.getQueueOffset(), viewed.getQueueOffset(), "queue offset by id " + id);
            }
            MessageQueue queue = new MessageQueue(topic, message.getBrokerName(), message.getQueueId());
            long time = message.getStoreTimestamp();
            equal(firstAt.get(message.getQueueId() + " " + time), producer.searchOffset(queue, time), "offset at the time of " + number);
        }
        long length = 0;
        for (MessageQueue queue : producer.fetchPublishMessageQueues(topic)) {
            length += producer.maxOffset(queue) - producer.minOffset(queue);
        }
        equal((long) count, length, "sum of queue lengths");
        producer.shutdown();
    }

    /**
     * Goes on as a group that may have consumed at another broker: it must get these messages and none before.
     * Parameters: topic, group, number of the first message, count.
     */
    static void consumeOn(String[] parameters) throws Exception {
        int first = Integer.parseInt(parameters[2]);
        int count = Integer.parseInt(parameters[3]);
        Set<Integer> numbers = ConcurrentHashMap.newKeySet();
        DefaultMQPushConsumer consumer = pushConsumer(parameters[1], parameters[0], "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            for (MessageExt message : messages) {
                numbers.add(Integer.valueOf(message.getUserProperty("序号")));
            }
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        await(() -> numbers.size() >= count, 60, "too few messages for " + parameters[1]);
        Thread.sleep(500);
        // Stopping writes the offsets of the group to the broker.
        consumer.shutdown();
        equal(count, numbers.size(), "messages of " + parameters[1]);
        check(numbers.stream().allMatch(number -> number >= first), "consumed again what was consumed at the other broker");
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

    /**
     * Sends without pause while whoever reads the output stops and starts the broker. Parameters: topic,
     * file that says that this is over.
     */
    static void rideOver(String[] parameters) throws Exception {
        String topic = parameters[0];
        File over = new File(parameters[1]);
        Set<String> received = ConcurrentHashMap.newKeySet();
        DefaultMQProducer producer = producer();
        producer.send(new Message(topic, bytes("makes the topic")));
        DefaultMQPushConsumer consumer = pushConsumer("group_" + topic, topic, "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            for (MessageExt message : messages) {
                received.add(text(message));
            }
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        Set<String> acknowledged = new HashSet<>();
        AtomicInteger sent = new AtomicInteger();
        int refused = 0;
        System.out.println("INFO ride-over: sending");
        while (!over.exists()) {
            String body = "body " + sent.getAndIncrement();
            try {
                producer.send(new Message(topic, bytes(body)), 3000);
                acknowledged.add(body);
                Thread.sleep(2);
            } catch (RemotingException | MQBrokerException | MQClientException away) {
                refused++;
                Thread.sleep(50);
            }
        }
        check(refused > 0, "the broker was never away: this tested nothing");
        await(() -> {
            String body = "body " + sent.getAndIncrement();
            try {
                producer.send(new Message(topic, bytes(body)), 3000);
                return acknowledged.add(body);
            } catch (RemotingException | MQBrokerException | MQClientException stillAway) {
                return false;
            }
        }, 40, "no send is taken after the restart");
        await(() -> received.containsAll(acknowledged), 60, "an acknowledged message has not come");
        System.out.println("INFO ride-over: " + acknowledged.size() + " acknowledged, " + refused + " sends failed on the way");
        consumer.shutdown();
        producer.shutdown();
    }
}
