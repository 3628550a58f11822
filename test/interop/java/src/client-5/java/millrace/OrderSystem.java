package millrace;

import static millrace.Harness.bytes;
import static millrace.Harness.nameServer;
import static millrace.Harness.text;

import java.io.File;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.LocalTransactionState;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.client.producer.TransactionListener;
import org.apache.rocketmq.client.producer.TransactionMQProducer;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/**
 * Two services of a shop, each to be killed and started again at any moment; order-system.ts does so and
 * judges what they have written down.
 *
 * <p>Orders: an order and the message that announces it are one transaction. Each announced order is given
 * a time to be paid, by a message for that time; one that is not paid by then is cancelled, and that is
 * announced. Stock: what is ordered is taken from the stock, what is cancelled comes back, once for each
 * order however often a message comes.
 *
 * <p>Arguments: name server, orders or stock, directory. Files there: a ledger of each service, a line for
 * each thing it has done; "over" says that no more orders come, "finish" that the services end.
 */
public class OrderSystem {
    static final String CREATED = "OrderCreated";
    static final String TIMEOUT = "OrderTimeout";
    static final String CANCELLED = "OrderCancelled";
    static final int PAY_MS = 3000;
    static final int STOCK = 1_000_000;
    static final int ORDER_PAUSE_MS = 10;

    private OrderSystem() {
    }

    public static void main(String[] args) throws Exception {
        nameServer = args[0];
        File directory = new File(args[2]);
        AutoCloseable service = args[1].equals("orders") ? new Orders(directory) : new Stock(directory);
        System.out.println("INFO " + args[1] + ": started");
        while (!new File(directory, "finish").exists()) {
            Thread.sleep(50);
        }
        service.close();
        System.exit(0);
    }

    /**
     * What a service has done: lines "key words…". In a real one, a table of its database. A line is one
     * write: what is written survives the process.
     */
    static class Ledger {
        private final Map<String, String> entries = new HashMap<>();
        private final RandomAccessFile file;

        Ledger(File path) throws IOException {
            file = new RandomAccessFile(path, "rw");
            byte[] stored = new byte[(int) file.length()];
            file.readFully(stored);
            String text = new String(stored, StandardCharsets.UTF_8);
            // A kill may have cut the last line: then it was not done.
            String whole = text.substring(0, text.lastIndexOf('\n') + 1);
            whole.lines().forEach(line -> entries.put(keyOf(line), line));
            file.setLength(bytes(whole).length);
            file.seek(file.length());
        }

        private static String keyOf(String line) {
            String[] words = line.split(" ");
            return words[0] + " " + words[1];
        }

        synchronized boolean has(String key) {
            return entries.containsKey(key);
        }

        /** False where that was done before. */
        synchronized boolean add(String key, Object more) {
            if (has(key)) {
                return false;
            }
            append(key + " " + more);
            return true;
        }

        /** Also what may be there already. */
        synchronized void append(String line) {
            try {
                file.write(bytes(line + "\n"));
            } catch (IOException error) {
                throw new UncheckedIOException(error);
            }
            entries.put(keyOf(line), line);
        }
    }

    static class Orders implements TransactionListener, AutoCloseable {
        private final Ledger ledger;
        private final TransactionMQProducer producer;
        private final DefaultMQProducer announcer;
        private final DefaultMQPushConsumer clock;
        private final Thread customers;

        Orders(File directory) throws Exception {
            ledger = new Ledger(new File(directory, "orders"));
            producer = new TransactionMQProducer("order-service");
            producer.setTransactionListener(this);
            start(producer, "transactions");
            announcer = new DefaultMQProducer("order-announcer");
            start(announcer, "announcer");
            clock = consumer("order-clock", message -> {
                String order = text(message);
                if (message.getTopic().equals(CREATED)) {
                    giveTimeToPay(order);
                } else {
                    cancelIfUnpaid(order);
                }
                return true;
            }, CREATED, TIMEOUT);
            File over = new File(directory, "over");
            customers = new Thread(() -> order(over), "customers");
            customers.start();
        }

        /** One order after another, each again until the broker has taken its message. */
        private void order(File over) {
            int number = 1;
            while (ledger.has("begun " + number)) {
                number++;
            }
            // The last one may not have been sent, and then nobody will ever ask for it.
            boolean isAgain = number > 1 && !ledger.has("created " + (number - 1)) && !ledger.has("refused " + (number - 1));
            if (isAgain) {
                number--;
            }
            while (isAgain || !over.exists()) {
                ledger.add("begun " + number, "");
                try {
                    producer.sendMessageInTransaction(new Message(CREATED, "order", "order" + number, bytes(String.valueOf(number))), null);
                    isAgain = false;
                    number++;
                    Thread.sleep(ORDER_PAUSE_MS);
                } catch (MQClientException brokerIsAway) {
                    isAgain = true;
                    pause();
                } catch (InterruptedException ended) {
                    return;
                }
            }
        }

        @Override
        public LocalTransactionState executeLocalTransaction(Message message, Object argument) {
            int number = Integer.parseInt(new String(message.getBody()));
            int kind = number % 10;
            if (kind == 7) {
                throw new IllegalStateException("the database is away");
            }
            LocalTransactionState state = kind == 0 || kind == 8 ? refuse(number) : create(number);
            // As if the process had ended before it could say so.
            return kind == 5 || kind == 8 ? LocalTransactionState.UNKNOW : state;
        }

        @Override
        public LocalTransactionState checkLocalTransaction(MessageExt message) {
            int number = Integer.parseInt(text(message));
            ledger.append("asked " + number);
            synchronized (ledger) {
                return ledger.has("created " + number) ? LocalTransactionState.COMMIT_MESSAGE : refuse(number);
            }
        }

        private LocalTransactionState create(int number) {
            synchronized (ledger) {
                if (ledger.has("refused " + number)) {
                    return LocalTransactionState.ROLLBACK_MESSAGE;
                }
                ledger.add("created " + number, number % 3 == 0 ? "paid" : "unpaid");
                return LocalTransactionState.COMMIT_MESSAGE;
            }
        }

        private LocalTransactionState refuse(int number) {
            synchronized (ledger) {
                if (ledger.has("created " + number)) {
                    return LocalTransactionState.COMMIT_MESSAGE;
                }
                ledger.add("refused " + number, "");
                return LocalTransactionState.ROLLBACK_MESSAGE;
            }
        }

        private void giveTimeToPay(String order) throws Exception {
            Message message = new Message(TIMEOUT, "timeout", "order" + order, bytes(order));
            message.setDelayTimeMs(PAY_MS);
            // The first one counts: a message that comes again gives no more time.
            ledger.add("timed " + order, System.currentTimeMillis());
            send(announcer, message);
        }

        private void cancelIfUnpaid(String order) throws Exception {
            if (Integer.parseInt(order) % 3 != 0) {
                ledger.add("cancelled " + order, System.currentTimeMillis());
                // Again where it was cancelled before: a kill may have come between the two.
                send(announcer, new Message(CANCELLED, "cancelled", "order" + order, bytes(order)));
            }
        }

        @Override
        public void close() throws Exception {
            customers.join();
            clock.shutdown();
            announcer.shutdown();
            producer.shutdown();
        }
    }

    static class Stock implements AutoCloseable {
        private final Ledger ledger;
        private final DefaultMQPushConsumer consumer;
        private int left = STOCK;

        Stock(File directory) throws Exception {
            ledger = new Ledger(new File(directory, "stock"));
            for (String key : ledger.entries.keySet()) {
                left += key.startsWith("deducted ") ? -1 : key.startsWith("returned ") ? 1 : 0;
            }
            consumer = consumer("stock-service", this::take, CREATED, CANCELLED);
        }

        private synchronized boolean take(MessageExt message) {
            String order = text(message);
            boolean isCancelled = message.getTopic().equals(CANCELLED);
            if (isCancelled && !ledger.has("deducted " + order)) {
                // The order itself has not come yet.
                return false;
            }
            if (!ledger.add((isCancelled ? "returned " : "deducted ") + order, left + (isCancelled ? 1 : -1))) {
                ledger.append("again " + order);
                return true;
            }
            left += isCancelled ? 1 : -1;
            return true;
        }

        @Override
        public void close() {
            consumer.shutdown();
        }
    }

    interface Handler {
        /** False, or a throw: later. */
        boolean handle(MessageExt message) throws Exception;
    }

    private static DefaultMQPushConsumer consumer(String group, Handler handler, String... topics) throws Exception {
        DefaultMQPushConsumer consumer = Harness.pushConsumer(group, topics[0], "*");
        for (int i = 1; i < topics.length; i++) {
            consumer.subscribe(topics[i], "*");
        }
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            context.setDelayLevelWhenNextConsume(1);
            try {
                for (MessageExt message : messages) {
                    if (!handler.handle(message)) {
                        return ConsumeConcurrentlyStatus.RECONSUME_LATER;
                    }
                }
                return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
            } catch (Exception brokerIsAway) {
                return ConsumeConcurrentlyStatus.RECONSUME_LATER;
            }
        });
        consumer.start();
        return consumer;
    }

    private static void start(DefaultMQProducer producer, String name) throws MQClientException {
        producer.setNamesrvAddr(nameServer);
        producer.setInstanceName(name + "-" + ProcessHandle.current().pid());
        producer.setSendMsgTimeout(3000);
        producer.setHeartbeatBrokerInterval(Harness.HEARTBEAT_MS);
        producer.start();
    }

    private static void send(DefaultMQProducer producer, Message message) throws Exception {
        SendStatus status = producer.send(message).getSendStatus();
        if (status != SendStatus.SEND_OK) {
            throw new IllegalStateException(status.toString());
        }
    }

    private static void pause() {
        try {
            Thread.sleep(100);
        } catch (InterruptedException ended) {
            Thread.currentThread().interrupt();
        }
    }
}
