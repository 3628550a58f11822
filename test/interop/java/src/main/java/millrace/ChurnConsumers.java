package millrace;

import static millrace.Harness.text;

import java.io.File;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.List;
import java.util.Random;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.ConsumeOrderlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.consumer.listener.MessageListenerOrderly;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.MessageExt;

/**
 * Consumers that come and go at random in one process, until it is killed or told to end. Half of them
 * consume in order as group "orderly", half concurrently as group "concurrent". Whatever is delivered
 * goes to standard output in one write before and one after it is processed, so that a kill loses at
 * most the line that was not begun:
 *
 * <pre>
 *   B batch instance group queue nanoseconds offset:number offset:number …
 *   E batch nanoseconds
 * </pre>
 * Nanoseconds are those of the machine's monotonic clock, the same for all processes. Arguments: name
 * server, topic, name of this process, consumers of each group, seed, directory. In that directory a
 * file "settle" says that all shall run and stay, a file "finish" that all shall end.
 */
public class ChurnConsumers {
    static final int PROCESSING_MS = 2;
    static final FileOutputStream OUT = new FileOutputStream(FileDescriptor.out);
    static final AtomicInteger BATCHES = new AtomicInteger();
    static final AtomicInteger INSTANCES = new AtomicInteger();

    private ChurnConsumers() {
    }

    public static void main(String[] args) throws Exception {
        Harness.nameServer = args[0];
        String topic = args[1];
        String process = args[2];
        DefaultMQPushConsumer[] slots = new DefaultMQPushConsumer[2 * Integer.parseInt(args[3])];
        Random random = new Random(Long.parseLong(args[4]));
        File settle = new File(args[5], "settle");
        File finish = new File(args[5], "finish");
        boolean isSettled = true;
        while (!finish.exists()) {
            if (isSettled) {
                for (int slot = 0; slot < slots.length; slot++) {
                    if (slots[slot] == null) {
                        slots[slot] = start(topic, process, slot % 2 == 0);
                    }
                }
                Thread.sleep(200);
            } else {
                Thread.sleep(500 + random.nextInt(2500));
                int slot = random.nextInt(slots.length);
                if (slots[slot] == null) {
                    slots[slot] = start(topic, process, slot % 2 == 0);
                } else {
                    slots[slot].shutdown();
                    slots[slot] = null;
                }
            }
            isSettled = settle.exists();
        }
        for (DefaultMQPushConsumer consumer : slots) {
            if (consumer != null) {
                consumer.shutdown();
            }
        }
        System.exit(0);
    }

    static DefaultMQPushConsumer start(String topic, String process, boolean isOrderly) throws MQClientException {
        String group = isOrderly ? "orderly" : "concurrent";
        String instance = process + "-" + INSTANCES.incrementAndGet();
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(group);
        consumer.setNamesrvAddr(Harness.nameServer);
        consumer.setInstanceName(instance);
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.setConsumeThreadMin(2);
        consumer.setConsumeThreadMax(2);
        consumer.setConsumeMessageBatchMaxSize(32);
        consumer.setPullThresholdForQueue(256);
        consumer.setClientCallbackExecutorThreads(1);
        // Without it the client unlocks its queues while its listener still runs.
        consumer.setAwaitTerminationMillisWhenShutdown(10_000);
        consumer.subscribe(topic, "*");
        if (isOrderly) {
            consumer.registerMessageListener((MessageListenerOrderly) (messages, context) -> {
                process(instance, group, messages);
                return ConsumeOrderlyStatus.SUCCESS;
            });
        } else {
            consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
                process(instance, group, messages);
                return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
            });
        }
        consumer.start();
        return consumer;
    }

    static void process(String instance, String group, List<MessageExt> messages) {
        int batch = BATCHES.incrementAndGet();
        StringBuilder line = new StringBuilder("B ").append(batch).append(' ').append(instance).append(' ').append(group)
            .append(' ').append(messages.get(0).getQueueId()).append(' ').append(System.nanoTime());
        for (MessageExt message : messages) {
            line.append(' ').append(message.getQueueOffset()).append(':').append(text(message));
        }
        write(line.append('\n').toString());
        try {
            Thread.sleep(PROCESSING_MS);
        } catch (InterruptedException ended) {
            // Not processed: the message counts as one that was never finished.
            throw new IllegalStateException(ended);
        }
        write("E " + batch + " " + System.nanoTime() + "\n");
    }

    static synchronized void write(String line) {
        try {
            OUT.write(Harness.bytes(line));
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }
}
