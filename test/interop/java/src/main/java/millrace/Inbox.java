package millrace;

import static millrace.Harness.await;
import static millrace.Harness.bytes;
import static millrace.Harness.equal;
import static millrace.Harness.pushConsumer;
import static millrace.Harness.text;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CopyOnWriteArrayList;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.MQProducer;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/**
 * A consumer that is at work before what it waits for is sent, and notes each delivery with its time.
 */
class Inbox {
    private static final String FIRST = "makes the topic";

    record Arrival(MessageExt message, String body, long atMs) {
    }

    private final List<Arrival> arrivals = new CopyOnWriteArrayList<>();
    private DefaultMQPushConsumer consumer;

    private Inbox() {
    }

    /** Makes the topic where it is not there, and answers once a message of it has come. */
    static Inbox open(MQProducer producer, String topic) throws Exception {
        Inbox inbox = new Inbox();
        producer.send(new Message(topic, bytes(FIRST)));
        inbox.consumer = pushConsumer("inbox_" + topic, topic, "*");
        inbox.consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            long nowMs = System.currentTimeMillis();
            for (MessageExt message : messages) {
                inbox.arrivals.add(new Arrival(message, text(message), nowMs));
            }
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        inbox.consumer.start();
        // The stock broker may refuse the pulls of a new group until its second heartbeat.
        await(() -> !inbox.of(FIRST).isEmpty(), 60, "the first message of a topic did not come");
        return inbox;
    }

    /** Every delivery but that of the message that made the topic. */
    List<Arrival> all() {
        List<Arrival> found = new ArrayList<>(arrivals);
        found.removeIf(arrival -> arrival.body().equals(FIRST));
        return found;
    }

    List<Arrival> of(String body) {
        return arrivals.stream().filter(arrival -> arrival.body().equals(body)).toList();
    }

    Set<String> bodies() {
        Set<String> bodies = new HashSet<>();
        all().forEach(arrival -> bodies.add(arrival.body()));
        return bodies;
    }

    void awaitAll(Set<String> bodies, int seconds) throws Exception {
        await(() -> bodies().containsAll(bodies), seconds, () -> {
            Set<String> missing = new HashSet<>(bodies);
            missing.removeAll(bodies());
            return "not delivered: " + missing;
        });
    }

    /** These came, each once, and nothing else. */
    void equalOnce(Set<String> bodies) {
        equal(bodies, bodies(), "delivered");
        equal(bodies.size(), all().size(), "deliveries of " + bodies.size() + " messages");
    }

    void close() {
        consumer.shutdown();
    }
}
