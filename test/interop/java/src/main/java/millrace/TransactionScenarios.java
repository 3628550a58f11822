package millrace;

import static millrace.Harness.CLIENTS;
import static millrace.Harness.RUN;
import static millrace.Harness.await;
import static millrace.Harness.bytes;
import static millrace.Harness.check;
import static millrace.Harness.equal;
import static millrace.Harness.nameServer;
import static millrace.Harness.text;
import static millrace.Harness.topic;

import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.LocalTransactionState;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.client.producer.TransactionListener;
import org.apache.rocketmq.client.producer.TransactionMQProducer;
import org.apache.rocketmq.client.producer.TransactionSendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageConst;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.sysflag.MessageSysFlag;

/**
 * Transactional messages: what is decided at once, what is decided when the broker asks, and by whom.
 */
class TransactionScenarios {
    private TransactionScenarios() {
    }

    /** Settings of the broker: nothing is asked for earlier, and not much later than the sum of both. */
    static final int TIMEOUT_MS = Harness.setting("INTEROP_TRANSACTION_TIMEOUT_MS", 6_000);
    static final int CHECK_INTERVAL_MS = Harness.setting("INTEROP_TRANSACTION_CHECK_INTERVAL_MS", 30_000);

    interface LocalTransaction {
        LocalTransactionState execute(Message message);
    }

    interface Check {
        /** Count is that of the checks of this message that this producer has had, this one included. */
        LocalTransactionState answer(MessageExt message, int count);
    }

    record Checked(MessageExt message, String body, long atMs) {
    }

    /** A producer that notes whatever the broker asks it. */
    static class Notary implements TransactionListener {
        final List<Checked> checks = new CopyOnWriteArrayList<>();
        private final LocalTransaction transaction;
        private final Check check;
        final TransactionMQProducer producer;

        Notary(String group, LocalTransaction transaction, Check check) throws MQClientException {
            this.transaction = transaction;
            this.check = check;
            producer = new TransactionMQProducer(group);
            producer.setNamesrvAddr(nameServer);
            producer.setInstanceName("t" + CLIENTS.incrementAndGet());
            producer.setSendMsgTimeout(10_000);
            producer.setTransactionListener(this);
            producer.start();
        }

        @Override
        public LocalTransactionState executeLocalTransaction(Message message, Object argument) {
            return transaction.execute(message);
        }

        @Override
        public LocalTransactionState checkLocalTransaction(MessageExt message) {
            checks.add(new Checked(message, text(message), System.currentTimeMillis()));
            return check.answer(message, of(text(message)).size());
        }

        List<Checked> of(String body) {
            return checks.stream().filter(checked -> checked.body().equals(body)).toList();
        }
    }

    /** Nobody may ask for what was decided at once. */
    static LocalTransactionState undecided(MessageExt message, int count) {
        return LocalTransactionState.UNKNOW;
    }

    static void commit() throws Exception {
        int count = 20;
        String topic = topic("TransactionCommit");
        String group = "transactions_commit_" + RUN;
        AtomicReference<Inbox> consumer = new AtomicReference<>();
        Map<String, String> ids = new ConcurrentHashMap<>();
        Set<String> visible = ConcurrentHashMap.newKeySet();
        Notary notary = new Notary(group, message -> {
            String body = new String(message.getBody());
            ids.put(body, message.getTransactionId());
            try {
                // Long enough for a consumer that waits at the queue to get what it could see.
                Thread.sleep(body.equals("order 0") ? 1000 : 20);
            } catch (InterruptedException ended) {
                return LocalTransactionState.ROLLBACK_MESSAGE;
            }
            visible.addAll(consumer.get().of(body).stream().map(Inbox.Arrival::body).toList());
            return LocalTransactionState.COMMIT_MESSAGE;
        }, TransactionScenarios::undecided);
        Inbox inbox = Inbox.open(notary.producer, topic);
        consumer.set(inbox);
        Map<String, TransactionSendResult> results = new ConcurrentHashMap<>();
        for (int i = 0; i < count; i++) {
            String body = "order " + i;
            Message message = new Message(topic, "tag" + i % 2, "key" + i, bytes(body));
            message.putUserProperty("序号", String.valueOf(i));
            // A minute, which the client leaves out of a transaction.
            message.setDelayTimeLevel(5);
            TransactionSendResult result = notary.producer.sendMessageInTransaction(message, null);
            equal(SendStatus.SEND_OK, result.getSendStatus(), "status");
            equal(LocalTransactionState.COMMIT_MESSAGE, result.getLocalTransactionState(), "state");
            equal(result.getMsgId(), result.getTransactionId(), "transaction id of the answer");
            equal(result.getMsgId(), ids.get(body), "transaction id for the local transaction");
            results.put(body, result);
        }
        inbox.awaitAll(results.keySet(), 20);
        Thread.sleep(500);
        inbox.equalOnce(results.keySet());
        equal(Set.of(), visible, "delivered before it was committed");
        Set<Long> halves = new HashSet<>();
        for (Inbox.Arrival arrival : inbox.all()) {
            MessageExt message = arrival.message();
            String number = arrival.body().split(" ")[1];
            TransactionSendResult sent = results.get(arrival.body());
            equal(sent.getMsgId(), message.getMsgId(), "id");
            equal(sent.getMsgId(), message.getTransactionId(), "transaction id");
            equal(sent.getMsgId(), message.getUserProperty("__transactionId__"), "transaction id in the properties");
            equal("true", message.getProperty(MessageConst.PROPERTY_TRANSACTION_PREPARED), "TRAN_MSG");
            equal(group, message.getProperty(MessageConst.PROPERTY_PRODUCER_GROUP), "PGROUP");
            equal(topic, message.getProperty(MessageConst.PROPERTY_REAL_TOPIC), "REAL_TOPIC");
            equal(topic, message.getTopic(), "topic");
            equal("tag" + Integer.parseInt(number) % 2, message.getTags(), "tag");
            equal("key" + number, message.getKeys(), "key");
            equal(number, message.getUserProperty("序号"), "property");
            equal(0, message.getReconsumeTimes(), "reconsume times");
            equal(sent.getMessageQueue().getQueueId(), message.getQueueId(), "queue");
            equal(MessageSysFlag.TRANSACTION_COMMIT_TYPE, MessageSysFlag.getTransactionValue(message.getSysFlag()), "type");
            long halfOffset = message.getPreparedTransactionOffset();
            check(halfOffset > 0 && halfOffset < message.getCommitLogOffset(), "offset of the half: " + halfOffset);
            halves.add(halfOffset);
        }
        equal(count, halves.size(), "different halves");
        await(() -> {
            try {
                return notary.producer.queryMessage(topic, "key0", 8, 0, System.currentTimeMillis() + 60_000).getMessageList().size() == 1;
            } catch (MQClientException notYet) {
                return false;
            }
        }, 20, "a committed message is not found by its key, or more than once");
        inbox.close();
        notary.producer.shutdown();
    }

    /** What was rolled back never comes, and nobody is asked for what was decided. */
    static void rollback() throws Exception {
        String topic = topic("TransactionRollback");
        Notary notary = new Notary("transactions_rollback_" + RUN,
            message -> new String(message.getBody()).startsWith("kept") ? LocalTransactionState.COMMIT_MESSAGE : LocalTransactionState.ROLLBACK_MESSAGE,
            TransactionScenarios::undecided);
        Inbox inbox = Inbox.open(notary.producer, topic);
        Set<String> kept = new HashSet<>();
        for (int i = 0; i < 40; i++) {
            String body = (i % 4 == 0 ? "dropped " : "kept ") + i;
            LocalTransactionState expected = i % 4 == 0 ? LocalTransactionState.ROLLBACK_MESSAGE : LocalTransactionState.COMMIT_MESSAGE;
            if (i % 4 != 0) {
                kept.add(body);
            }
            Message message = new Message(topic, bytes(body));
            equal(expected, notary.producer.sendMessageInTransaction(message, null).getLocalTransactionState(), "state");
        }
        inbox.awaitAll(kept, 20);
        Thread.sleep(TIMEOUT_MS + 2L * CHECK_INTERVAL_MS);
        inbox.equalOnce(kept);
        equal(0, notary.checks.size(), "checks of what was decided");
        inbox.close();
        notary.producer.shutdown();
    }

    /** The broker asks for what is not decided, as often as it takes, and does what it is told. */
    static void checkBack() throws Exception {
        int immunitySeconds = TIMEOUT_MS / 1000 + 2;
        String topic = topic("TransactionCheck");
        Map<String, Long> sentAt = new ConcurrentHashMap<>();
        Notary notary = new Notary("transactions_check_" + RUN, message -> {
            if (new String(message.getBody()).startsWith("throws")) {
                throw new IllegalStateException("the local transaction failed, who knows how far it came");
            }
            return LocalTransactionState.UNKNOW;
        }, (message, count) -> switch (text(message).split(" ")[0]) {
            case "dropped" -> LocalTransactionState.ROLLBACK_MESSAGE;
            case "twice" -> count < 2 ? LocalTransactionState.UNKNOW : LocalTransactionState.COMMIT_MESSAGE;
            case "fails" -> {
                if (count < 2) {
                    throw new IllegalStateException("not able to look it up now");
                }
                yield LocalTransactionState.COMMIT_MESSAGE;
            }
            default -> LocalTransactionState.COMMIT_MESSAGE;
        });
        Inbox inbox = Inbox.open(notary.producer, topic);
        Set<String> committed = new HashSet<>();
        for (String kind : List.of("kept", "dropped", "twice", "throws", "fails", "immune")) {
            for (int i = 0; i < 3; i++) {
                String body = kind + " " + i;
                Message message = new Message(topic, "tag", "key", bytes(body));
                if (kind.equals("immune")) {
                    message.putUserProperty(MessageConst.PROPERTY_CHECK_IMMUNITY_TIME_IN_SECONDS, String.valueOf(immunitySeconds));
                }
                if (!kind.equals("dropped")) {
                    committed.add(body);
                }
                sentAt.put(body, System.currentTimeMillis());
                equal(LocalTransactionState.UNKNOW, notary.producer.sendMessageInTransaction(message, null).getLocalTransactionState(), "state");
            }
        }
        equal(Set.of(), inbox.bodies(), "delivered before anybody was asked");
        inbox.awaitAll(committed, 60);
        await(() -> sentAt.keySet().stream().noneMatch(body -> notary.of(body).isEmpty()), 60, "not all were asked for");
        // Time for whatever would be asked for or delivered once more.
        Thread.sleep(2L * CHECK_INTERVAL_MS + 500);
        inbox.equalOnce(committed);
        long earliestMs = Long.MAX_VALUE;
        long latestMs = 0;
        for (Map.Entry<String, Long> sent : sentAt.entrySet()) {
            String body = sent.getKey();
            List<Checked> checks = notary.of(body);
            boolean isTwice = body.startsWith("twice") || body.startsWith("fails");
            equal(isTwice ? 2 : 1, checks.size(), "checks of " + body);
            int number = 0;
            for (Checked checked : checks) {
                MessageExt message = checked.message();
                equal(topic, message.getTopic(), "topic of a check");
                equal("tag", message.getTags(), "tag of a check");
                equal("key", message.getKeys(), "key of a check");
                check(message.getTransactionId() != null && message.getTransactionId().equals(message.getUserProperty("__transactionId__")), "transaction id of a check");
                int times = Integer.parseInt(message.getUserProperty(MessageConst.PROPERTY_TRANSACTION_CHECK_TIMES));
                // The stock broker counts those as well that it did not make for the sake of immunity.
                check(body.startsWith("immune") ? times > number : times == number + 1, "number of a check of " + body + ": " + times);
                number = times;
            }
            int immuneMs = body.startsWith("immune") ? immunitySeconds * 1000 : TIMEOUT_MS;
            long afterMs = checks.get(0).atMs() - sent.getValue();
            check(afterMs >= immuneMs, body + " was asked for after " + afterMs + " ms");
            earliestMs = Math.min(earliestMs, afterMs - immuneMs);
            latestMs = Math.max(latestMs, afterMs - immuneMs);
        }
        System.out.println("INFO transaction-check: first asked " + earliestMs + " to " + latestMs + " ms after the timeout");
        inbox.close();
        notary.producer.shutdown();
    }

    /** A transaction that is never decided: its producer is to be killed. Parameters: topic, group. */
    static void hang(String[] parameters) throws Exception {
        Notary notary = new Notary(parameters[1], message -> {
            System.out.println("INFO transaction-hang: half of " + message.getTransactionId());
            try {
                Thread.sleep(Long.MAX_VALUE);
            } catch (InterruptedException ended) {
                Thread.currentThread().interrupt();
            }
            return LocalTransactionState.UNKNOW;
        }, TransactionScenarios::undecided);
        notary.producer.sendMessageInTransaction(new Message(parameters[0], bytes("left behind")), null);
    }

    /** Another member of the group answers for one that was killed. Parameters: topic, group. */
    static void heir(String[] parameters) throws Exception {
        Notary notary = new Notary(parameters[1], message -> LocalTransactionState.UNKNOW, (message, count) -> LocalTransactionState.COMMIT_MESSAGE);
        Inbox inbox = Inbox.open(notary.producer, parameters[0]);
        System.out.println("INFO transaction-heir: waiting");
        inbox.awaitAll(Set.of("left behind"), 60);
        Thread.sleep(2L * CHECK_INTERVAL_MS);
        inbox.equalOnce(Set.of("left behind"));
        equal(1, notary.checks.size(), "checks");
        long visibleMs = inbox.all().get(0).atMs() - notary.checks.get(0).atMs();
        check(visibleMs >= 0, "delivered before anybody was asked");
        inbox.close();
        notary.producer.shutdown();
    }
}
