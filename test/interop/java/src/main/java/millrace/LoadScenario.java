package millrace;

import static millrace.Harness.await;
import static millrace.Harness.bytes;
import static millrace.Harness.equal;
import static millrace.Harness.producer;
import static millrace.Harness.pushConsumer;
import static millrace.Harness.topic;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Queue;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Semaphore;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeOrderlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerOrderly;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendCallback;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/**
 * Many messages from many producers at once.
 */
class LoadScenario {
    /** Sends of one producer that may wait for their answers; a guess, far from what fills a client. */
    static final int OUTSTANDING = 128;

    /** Why a send was refused first, for whoever wonders about retries. */
    static final AtomicReference<Throwable> FIRST_REFUSAL = new AtomicReference<>();

    private LoadScenario() {
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
                    produce(topic, index, producers, total, retried);
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
        equal(0, failed.get(), "producers that gave up");
        await(() -> received.get() >= total, 200, () -> "received " + received.get() + " of " + total);
        long receivedMs = System.currentTimeMillis() - start;
        System.out.println("INFO million: sent " + total + " in " + sentMs + " ms, received in " + receivedMs + " ms, retried " + retried.size()
            + (FIRST_REFUSAL.get() == null ? "" : ", first because of " + FIRST_REFUSAL.get()));
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

    /** Sends every number of one producer; what is refused is sent again at the end. */
    static void produce(String topic, int index, int producers, int total, Set<Integer> retried) throws Exception {
        DefaultMQProducer producer = producer();
        producer.setRetryTimesWhenSendAsyncFailed(0);
        // The client's own pool of sender threads reorders asynchronous sends: one thread keeps their order.
        ExecutorService sender = Executors.newSingleThreadExecutor();
        producer.getDefaultMQProducerImpl().setAsyncSenderExecutor(sender);
        // One queue for each producer, so that the order of its sends is the order in that queue.
        List<MessageQueue> queues = producer.fetchPublishMessageQueues(topic);
        MessageQueue queue = queues.get(index % queues.size());
        // Sends that wait for the connection leave the client in any order, so it is opened first.
        producer.send(new Message(topic, "seed", bytes("opens the connection")), queue);
        Semaphore room = new Semaphore(OUTSTANDING);
        Queue<Integer> refused = new ConcurrentLinkedQueue<>();
        for (int number = index; number < total; number += producers) {
            room.acquire();
            producer.send(new Message(topic, "load", loadBody(number)), queue, callback(number, room, refused), 10_000);
        }
        room.acquire(OUTSTANDING);
        // Not in the callback: a send that blocks there holds the thread that its own answer needs.
        for (Integer number = refused.poll(); number != null; number = refused.poll()) {
            retried.add(number);
            producer.send(new Message(topic, "load", loadBody(number)), queue);
        }
        producer.shutdown();
        sender.shutdown();
    }

    static SendCallback callback(int number, Semaphore room, Queue<Integer> refused) {
        return new SendCallback() {
            @Override
            public void onSuccess(SendResult result) {
                room.release();
            }

            @Override
            public void onException(Throwable error) {
                FIRST_REFUSAL.compareAndSet(null, error);
                refused.add(number);
                room.release();
            }
        };
    }
}
