package millrace;

import static millrace.Harness.await;
import static millrace.Harness.bytes;
import static millrace.Harness.check;
import static millrace.Harness.equal;
import static millrace.Harness.text;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.rocketmq.acl.common.AclClientRPCHook;
import org.apache.rocketmq.acl.common.SessionCredentials;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.consumer.rebalance.AllocateMessageQueueAveragely;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.remoting.RPCHook;

/**
 * A client that signs, at a broker with users: whose secret is right, whose is wrong, and who has no rights.
 * Names of users, topics and groups are those of client-access.ts. AccessScenarios does more of it, on one client.
 */
class CredentialScenarios {
    private static final String TOPIC = "access";
    private static final String GROUP = "access-group";

    private CredentialScenarios() {
    }

    private static RPCHook user(String accessKey, String secretKey) {
        return new AclClientRPCHook(new SessionCredentials(accessKey, secretKey));
    }

    private static RPCHook app() {
        return user("app", System.getenv("INTEROP_APP_SECRET"));
    }

    private static DefaultMQProducer producer(RPCHook hook) throws MQClientException {
        DefaultMQProducer producer = new DefaultMQProducer("producer_" + Harness.RUN, hook);
        producer.setNamesrvAddr(Harness.nameServer);
        producer.setInstanceName("a" + Harness.CLIENTS.incrementAndGet());
        producer.setSendMsgTimeout(10_000);
        producer.setRetryTimesWhenSendFailed(0);
        producer.start();
        return producer;
    }

    private static DefaultMQPushConsumer consumer(RPCHook hook, String group, MessageListenerConcurrently listener) throws MQClientException {
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(group, hook, new AllocateMessageQueueAveragely());
        consumer.setNamesrvAddr(Harness.nameServer);
        consumer.setInstanceName("a" + Harness.CLIENTS.incrementAndGet());
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.setPollNameServerInterval(1000);
        consumer.subscribe(TOPIC, "*");
        consumer.registerMessageListener(listener);
        return consumer;
    }

    private static void send(DefaultMQProducer producer, Message message) throws Exception {
        equal(SendStatus.SEND_OK, producer.send(message).getSendStatus(), "status");
    }

    private static void equalBodies(List<String> received, String prefix, int count) {
        List<String> expected = IntStream.range(0, count).mapToObj(number -> prefix + " " + number).sorted().collect(Collectors.toList());
        equal(expected, received.stream().sorted().collect(Collectors.toList()), "bodies");
    }

    static void right() throws Exception {
        DefaultMQProducer producer = producer(app());
        List<String> bodies = new CopyOnWriteArrayList<>();
        AtomicInteger refusals = new AtomicInteger();
        DefaultMQPushConsumer consumer = consumer(app(), GROUP, (messages, context) -> {
            // What goes back, and its topic, need a signature and rights as well.
            if (text(messages.get(0)).equals("first 3") && messages.get(0).getReconsumeTimes() == 0) {
                refusals.incrementAndGet();
                context.setDelayLevelWhenNextConsume(1);
                return ConsumeConcurrentlyStatus.RECONSUME_LATER;
            }
            messages.forEach(message -> bodies.add(text(message)));
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        for (int i = 0; i < 10; i++) {
            Message message = new Message(TOPIC, "标签", "key ü", bytes("first " + i));
            message.putUserProperty("属性名", "属性值 😀 \"quoted\" \\ / \t");
            send(producer, message);
        }
        List<Message> batch = new ArrayList<>();
        for (int i = 10; i < 15; i++) {
            batch.add(new Message(TOPIC, bytes("first " + i)));
        }
        equal(SendStatus.SEND_OK, producer.send(batch).getSendStatus(), "status of a batch");
        await(() -> bodies.size() >= 15, 40, () -> "only " + bodies.size() + " of 15 messages came");
        consumer.shutdown();
        equalBodies(bodies, "first", 15);
        equal(1, refusals.get(), "refusals");
        // Where the group stands was committed, with a signature.
        for (int i = 0; i < 5; i++) {
            send(producer, new Message(TOPIC, bytes("second " + i)));
        }
        List<String> rest = new CopyOnWriteArrayList<>();
        DefaultMQPushConsumer again = consumer(app(), GROUP, taking(rest));
        again.start();
        await(() -> rest.size() >= 5, 40, () -> "only " + rest.size() + " of 5 messages came");
        Thread.sleep(200);
        again.shutdown();
        equalBodies(rest, "second", 5);
        producer.shutdown();
    }

    static void wrongSecret() throws Exception {
        refused("access-wrong-secret", user("app", "not the secret"));
    }

    static void noRights() throws Exception {
        refused("access-no-rights", user("outsider", System.getenv("INTEROP_OUTSIDER_SECRET")));
    }

    private static MessageListenerConcurrently taking(List<String> bodies) {
        return (messages, context) -> {
            messages.forEach(message -> bodies.add(text(message)));
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        };
    }

    /** Client 4.9.8 tries what was refused again, and leaves the refusal to the cause of its own error. */
    private static void say(String what, Exception refusal) {
        String text = refusal.getMessage() + (refusal.getCause() == null ? "" : " " + refusal.getCause().getMessage());
        System.out.println("INFO " + what + ": " + text.replaceAll("\\R", " "));
    }

    /** Holds when neither a send nor a consumer comes through, and says how the client tells of it. */
    private static void refused(String name, RPCHook hook) throws Exception {
        DefaultMQProducer wanted = producer(app());
        send(wanted, new Message(TOPIC, bytes(name)));
        wanted.shutdown();

        DefaultMQProducer producer = producer(hook);
        try {
            producer.send(new Message(TOPIC, bytes("not wanted")));
            throw new AssertionError("a send came through");
        } catch (MQBrokerException | MQClientException refusal) {
            say(name + ": send", refusal);
        } finally {
            producer.shutdown();
        }

        String group = GROUP + "-" + name;
        List<String> bodies = new CopyOnWriteArrayList<>();
        DefaultMQPushConsumer consumer = consumer(hook, group, taking(bodies));
        try {
            consumer.start();
            Thread.sleep(3000);
        } catch (MQClientException refusal) {
            say(name + ": consumer", refusal);
        }
        consumer.shutdown();
        equal(0, bodies.size(), "messages received without rights");

        // There was something to receive: the same group gets it when the right user asks.
        List<String> seen = new CopyOnWriteArrayList<>();
        DefaultMQPushConsumer right = consumer(app(), group, taking(seen));
        right.start();
        await(() -> seen.contains(name), 40, "the right user does not get what the other was refused");
        right.shutdown();
        check(!seen.contains("not wanted"), "what was refused was stored");
    }
}
