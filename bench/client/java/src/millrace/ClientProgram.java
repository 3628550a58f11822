package millrace;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendCallback;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;

/**
 * The Java client as a contender: what client-program.ts does, with the same arguments and the same last line.
 * Arguments: send or consume, address, topic, group, bytes of a body, sends outstanding, then the window.
 */
public class ClientProgram {
    static final AtomicLong ERRORS = new AtomicLong();

    private ClientProgram() {
    }

    public static void main(String[] args) throws Exception {
        String mode = args[0];
        int bodyBytes = Integer.parseInt(args[4]);
        int outstanding = Integer.parseInt(args[5]);
        Window window = new Window(Long.parseLong(args[6]), Long.parseLong(args[7]), Long.parseLong(args[8]), Long.parseLong(args[9]));
        if (mode.equals("send")) {
            send(args[1], args[2], args[3], bodyBytes, outstanding, window);
        } else {
            consume(args[1], args[2], args[3], window);
        }
        System.out.println("RESULT " + window.result(ERRORS.get()));
        System.exit(0);
    }

    static void send(String address, String topic, String group, int bodyBytes, int outstanding, Window window) throws Exception {
        DefaultMQProducer producer = new DefaultMQProducer(group);
        producer.setNamesrvAddr(address);
        producer.start();
        Semaphore room = new Semaphore(outstanding);
        byte[] body = new byte[bodyBytes];
        while (!window.isOver()) {
            room.acquire();
            try {
                producer.send(new Message(topic, body), new SendCallback() {
                    @Override
                    public void onSuccess(SendResult result) {
                        window.count();
                        room.release();
                    }

                    @Override
                    public void onException(Throwable error) {
                        ERRORS.incrementAndGet();
                        room.release();
                    }
                });
            } catch (Exception error) {
                ERRORS.incrementAndGet();
                room.release();
            }
        }
        producer.shutdown();
    }

    static void consume(String address, String topic, String group, Window window) throws Exception {
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(group);
        consumer.setNamesrvAddr(address);
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.subscribe(topic, "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            for (int i = 0; i < messages.size(); i++) {
                window.count();
            }
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        if (!window.over.await(300, TimeUnit.SECONDS)) {
            throw new IllegalStateException("the backlog did not come");
        }
        consumer.shutdown();
    }

    /** What window.ts says. */
    static class Window {
        final long warmCount;
        final long warmNs;
        final long endCount;
        final long spanNs;
        final AtomicLong counted = new AtomicLong();
        final CountDownLatch over = new CountDownLatch(1);
        volatile long firstNs;
        volatile long beginNs;
        long beginCount;
        long beginCpuMs;
        String result;

        Window(long warmCount, long warmMs, long count, long spanMs) {
            this.warmCount = warmCount;
            this.warmNs = warmMs * 1_000_000;
            this.endCount = warmCount + count;
            this.spanNs = spanMs * 1_000_000;
        }

        void count() {
            long count = counted.incrementAndGet();
            long now = System.nanoTime();
            if (beginNs == 0) {
                begin(count, now);
            } else if ((count >= endCount || now - beginNs >= spanNs) && over.getCount() > 0) {
                end(count, now);
            }
        }

        synchronized void begin(long count, long now) {
            if (firstNs == 0) {
                firstNs = now;
            }
            if (beginNs == 0 && (count >= warmCount || now - firstNs >= warmNs)) {
                beginCount = count;
                beginCpuMs = cpuMs();
                beginNs = now;
            }
        }

        synchronized void end(long count, long now) {
            if (over.getCount() > 0) {
                result = String.format("{\"messages\":%d,\"ms\":%.3f,\"cpuMs\":%d,\"errors\":", count - beginCount,
                    (now - beginNs) / 1e6, cpuMs() - beginCpuMs);
                over.countDown();
            }
        }

        boolean isOver() {
            return over.getCount() == 0;
        }

        String result(long errors) {
            return result + errors + "}";
        }

        /** Fields 14 and 15 of proc(5), in steps of 10 ms. */
        static long cpuMs() {
            try {
                String stat = Files.readString(Path.of("/proc/self/stat"));
                String[] fields = stat.substring(stat.lastIndexOf(')') + 2).split(" ");
                return 10 * (Long.parseLong(fields[11]) + Long.parseLong(fields[12]));
            } catch (java.io.IOException error) {
                throw new java.io.UncheckedIOException(error);
            }
        }
    }
}
