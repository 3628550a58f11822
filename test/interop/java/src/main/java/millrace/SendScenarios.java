package millrace;

import static millrace.Harness.CLIENTS;
import static millrace.Harness.RUN;
import static millrace.Harness.await;
import static millrace.Harness.bytes;
import static millrace.Harness.check;
import static millrace.Harness.consume;
import static millrace.Harness.equal;
import static millrace.Harness.nameServer;
import static millrace.Harness.producer;
import static millrace.Harness.text;
import static millrace.Harness.topic;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.rocketmq.client.QueryResult;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendCallback;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.common.TopicConfig;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;

/**
 * Sends of every kind, and looking messages up again.
 */
class SendScenarios {
    private SendScenarios() {
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
        AtomicReference<Throwable> refusal = new AtomicReference<>();
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
                    refusal.compareAndSet(null, error);
                    room.release();
                    done.countDown();
                }
            });
        }
        check(done.await(30, TimeUnit.SECONDS), "callbacks missing: " + done.getCount());
        equal(1000, ok.get(), "onSuccess, where the first refusal was " + refusal.get());
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
        CountDownLatch illegal = new CountDownLatch(1);
        producer.send(new Message("no topic!", bytes("x")), new SendCallback() {
            @Override
            public void onSuccess(SendResult result) {
            }

            @Override
            public void onException(Throwable error) {
                illegal.countDown();
            }
        });
        check(illegal.await(10, TimeUnit.SECONDS), "no callback for an illegal topic");
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

    /** What operators do with topics, over the stock administration client. */
    static void admin() throws Exception {
        DefaultMQAdminExt admin = new DefaultMQAdminExt(10_000);
        admin.setNamesrvAddr(nameServer);
        admin.setInstanceName("a" + CLIENTS.incrementAndGet());
        admin.start();
        // Its class has another package in client 4.9.8.
        var cluster = admin.examineBrokerClusterInfo();
        String broker = cluster.getBrokerAddrTable().values().iterator().next().selectBrokerAddr();
        String topic = topic("Admin");
        admin.createAndUpdateTopicConfig(broker, new TopicConfig(topic, 3, 3, 6));
        await(() -> {
            try {
                return admin.examineTopicRouteInfo(topic).getQueueDatas().get(0).getWriteQueueNums() == 3;
            } catch (MQClientException notYet) {
                return false;
            }
        }, 20, "a topic made by hand has no route");
        check(admin.fetchAllTopicList().getTopicList().contains(topic), "the topic is not listed");
        DefaultMQProducer producer = producer();
        Set<Integer> queues = new HashSet<>();
        for (int i = 0; i < 9; i++) {
            queues.add(producer.send(new Message(topic, bytes("body " + i))).getMessageQueue().getQueueId());
        }
        equal(3, queues.size(), "queues that took messages");
        consume(topic, "*", 9);
        producer.shutdown();
        admin.deleteTopicInBroker(Set.of(broker), topic);
        ClientVersion.deleteRoute(admin, nameServer, cluster.getClusterAddrTable().keySet().iterator().next(), topic);
        await(() -> {
            try {
                admin.examineTopicRouteInfo(topic);
                return false;
            } catch (MQClientException gone) {
                return gone.getResponseCode() == 17;
            }
        }, 20, "a deleted topic still has a route");
        admin.shutdown();
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
}
