package millrace;

import static millrace.Harness.await;
import static millrace.Harness.bytes;
import static millrace.Harness.check;
import static millrace.Harness.consume;
import static millrace.Harness.equal;
import static millrace.Harness.producer;
import static millrace.Harness.pushConsumer;
import static millrace.Harness.text;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageClientExt;
import org.apache.rocketmq.common.message.MessageExt;

/**
 * The Java end of what test/interop/millrace-client does with our own client. Names and texts are the same there.
 */
class BesideScenarios {
    static final String LARGE = "compressible ".repeat(5000);
    static final String CHINESE = "消息正文 😀";
    static final String PROPERTY = "属性值 😀 \"quoted\" \\ / \t";

    private BesideScenarios() {
    }

    /** What our client reads: a large body, which the client compresses, text of many bytes, a batch, one for later. */
    static void send(String[] parameters) throws Exception {
        String topic = parameters[0];
        DefaultMQProducer producer = producer();
        producer.send(new Message(topic, "large", bytes(LARGE)));
        Message chinese = new Message(topic, "标签", "订单号", bytes(CHINESE));
        chinese.putUserProperty("属性名", PROPERTY);
        producer.send(chinese);
        List<Message> batch = new ArrayList<>();
        for (int i = 0; i < 10; i++) {
            batch.add(new Message(topic, "batch", "key" + i, bytes("batch " + i)));
        }
        producer.send(batch);
        Message later = new Message(topic, "later", bytes("later"));
        later.setDelayTimeMs(2000);
        producer.send(later);
        producer.shutdown();
    }

    /** What our client sent, the same messages. */
    static void receive(String[] parameters) throws Exception {
        Map<String, List<MessageExt>> byTag = new HashMap<>();
        for (MessageExt message : consume(parameters[0], "*", 13)) {
            byTag.computeIfAbsent(message.getTags(), tag -> new ArrayList<>()).add(message);
        }
        equal(LARGE, text(byTag.get("large").get(0)), "a compressed body");
        check(byTag.get("large").get(0).getStoreSize() < 10_000, "it was stored compressed");
        MessageExt chinese = byTag.get("标签").get(0);
        equal(CHINESE, text(chinese), "a body");
        equal("订单号", chinese.getKeys(), "keys");
        equal(PROPERTY, chinese.getUserProperty("属性名"), "a property");
        List<MessageExt> batch = byTag.get("batch");
        equal(10, batch.size(), "messages of a batch");
        for (MessageExt message : batch) {
            String number = text(message).substring("batch ".length());
            equal("key" + number, message.getKeys(), "a key of a batch");
        }
        MessageExt later = byTag.get("later").get(0);
        check(later.getStoreTimestamp() - later.getBornTimestamp() >= 1000, "a timed message came early");
        for (List<MessageExt> messages : byTag.values()) {
            for (MessageExt message : messages) {
                check(((MessageClientExt) message).getMsgId().length() == 32, "a message id of a client");
            }
        }
    }

    /** A member of a group that our client is in too: writes "queue body" for each message until a file is there. */
    static void member(String[] parameters) throws Exception {
        Path received = Path.of(parameters[2]);
        Path over = Path.of(parameters[2] + ".over");
        DefaultMQPushConsumer consumer = pushConsumer(parameters[1], parameters[0], "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            for (MessageExt message : messages) {
                write(received, message.getQueueId() + " " + text(message) + "\n");
            }
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        await(() -> Files.exists(over), 90, "nobody has ended the member of the group");
        consumer.shutdown();
    }

    private static synchronized void write(Path file, String line) {
        try {
            Files.writeString(file, line, StandardCharsets.UTF_8, StandardOpenOption.CREATE, StandardOpenOption.APPEND);
        } catch (IOException error) {
            throw new java.io.UncheckedIOException(error);
        }
    }
}
