package millrace;

import static millrace.Harness.bytes;
import static millrace.Harness.check;
import static millrace.Harness.equal;
import static millrace.Harness.producer;
import static millrace.Harness.topic;

import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageConst;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.producer.RecallMessageHandle;

/**
 * Messages for a time of the sender's choice, and taking them back. Client 4.9.8 has neither.
 */
class TimedScenarios {
    private TimedScenarios() {
    }

    /** What is allowed between due and received: the stock broker's wheel turns once a second. */
    static final int EARLY_MS = Harness.setting("INTEROP_TIMER_EARLY_MS", 0);
    static final int LATE_MS = Harness.setting("INTEROP_TIMER_LATE_MS", 1_000);

    /** Due between these, as the sender knows it; a delay begins somewhere within the send. */
    record Due(long fromMs, long toMs) {
    }

    static void timed() throws Exception {
        DefaultMQProducer producer = producer();
        String topic = topic("Timed");
        Inbox inbox = Inbox.open(producer, topic);
        Map<String, Due> due = new HashMap<>();
        Map<String, SendResult> results = new HashMap<>();
        for (int i = 0; i < 120; i++) {
            String body = "body " + i;
            Message message = new Message(topic, "tag" + i % 3, "key" + i, bytes(body));
            long delayMs = 1200 + i * 37L % 3000;
            long beforeMs = System.currentTimeMillis();
            Due exact = null;
            if (i % 3 == 0) {
                delayMs = 1000 * (1 + i % 4);
                message.setDelayTimeSec(delayMs / 1000);
            } else if (i % 3 == 1) {
                message.setDelayTimeMs(delayMs);
            } else {
                message.setDeliverTimeMs(beforeMs + delayMs);
                exact = new Due(beforeMs + delayMs, beforeMs + delayMs);
            }
            SendResult result = producer.send(message);
            equal(SendStatus.SEND_OK, result.getSendStatus(), "status");
            check(result.getRecallHandle() != null && !result.getRecallHandle().isEmpty(), "an answer without a handle");
            results.put(body, result);
            due.put(body, exact != null ? exact : new Due(beforeMs + delayMs, System.currentTimeMillis() + delayMs));
        }
        Message past = new Message(topic, bytes("past"));
        past.setDeliverTimeMs(System.currentTimeMillis() - 60_000);
        check(producer.send(past).getRecallHandle() == null, "a handle for what was due already");
        // A time is nothing beside a level.
        Message both = new Message(topic, bytes("both"));
        both.setDelayTimeLevel(1);
        both.setDelayTimeSec(3600);
        long bothAtMs = System.currentTimeMillis();
        producer.send(both);
        Set<String> expected = new HashSet<>(due.keySet());
        expected.addAll(List.of("past", "both"));
        inbox.awaitAll(expected, 20);
        Thread.sleep(1500);
        inbox.equalOnce(expected);
        check(inbox.of("both").get(0).atMs() - bothAtMs >= 1000, "came before its level");
        long earliestMs = Long.MAX_VALUE;
        long latestMs = Long.MIN_VALUE;
        for (Map.Entry<String, Due> entry : due.entrySet()) {
            Inbox.Arrival arrival = inbox.of(entry.getKey()).get(0);
            MessageExt message = arrival.message();
            int number = Integer.parseInt(entry.getKey().split(" ")[1]);
            equal("tag" + number % 3, message.getTags(), "tag");
            equal("key" + number, message.getKeys(), "key");
            equal(topic, message.getTopic(), "topic");
            equal(results.get(entry.getKey()).getMsgId(), message.getMsgId(), "id");
            equal(results.get(entry.getKey()).getMessageQueue().getQueueId(), message.getQueueId(), "queue");
            check(message.getProperty(MessageConst.PROPERTY_TIMER_OUT_MS) != null, "no TIMER_OUT_MS");
            earliestMs = Math.min(earliestMs, arrival.atMs() - entry.getValue().fromMs());
            latestMs = Math.max(latestMs, arrival.atMs() - entry.getValue().toMs());
        }
        System.out.println("INFO timed: received " + earliestMs + " to " + latestMs + " ms after the time (allowed: -" + EARLY_MS + " to " + LATE_MS + ")");
        check(earliestMs >= -EARLY_MS, "came early: " + earliestMs + " ms");
        check(latestMs <= LATE_MS, "came late: " + latestMs + " ms");
        inbox.close();
        producer.shutdown();
    }

    /** Three days unless the broker is set otherwise. */
    static void timedLimit() throws Exception {
        DefaultMQProducer producer = producer();
        String topic = topic("TimedLimit");
        producer.send(new Message(topic, bytes("makes the topic")));
        long limitMs = TimeUnit.DAYS.toMillis(3);
        Message within = new Message(topic, bytes("within"));
        within.setDeliverTimeMs(System.currentTimeMillis() + limitMs - 5_000);
        equal(SendStatus.SEND_OK, producer.send(within).getSendStatus(), "status");
        for (int kind = 0; kind < 3; kind++) {
            Message beyond = new Message(topic, bytes("beyond"));
            switch (kind) {
                case 0 -> beyond.setDelayTimeSec(limitMs / 1000 + 5);
                case 1 -> beyond.setDelayTimeMs(limitMs + 5_000);
                default -> beyond.setDeliverTimeMs(System.currentTimeMillis() + limitMs + 5_000);
            }
            try {
                producer.send(beyond);
                throw new AssertionError("a time beyond the limit was accepted");
            } catch (MQBrokerException expected) {
                equal(13, expected.getResponseCode(), "answer to a time beyond the limit");
            }
        }
        producer.shutdown();
    }

    static void recall() throws Exception {
        DefaultMQProducer producer = producer();
        String topic = topic("Recall");
        String other = topic("RecallOther");
        producer.send(new Message(other, bytes("makes the topic")));
        Inbox inbox = Inbox.open(producer, topic);
        check(producer.send(new Message(topic, bytes("plain"))).getRecallHandle() == null, "a handle for a message that does not wait");
        long dueMs = System.currentTimeMillis() + 5_000;
        Map<String, SendResult> sent = new HashMap<>();
        Set<String> kept = new HashSet<>(Set.of("plain"));
        for (int i = 0; i < 30; i++) {
            String body = "body " + i;
            Message message = new Message(topic, bytes(body));
            // Some at the same instant, some beside it.
            message.setDeliverTimeMs(dueMs + i / 10 * 300L);
            sent.put(body, producer.send(message));
            if (i % 3 != 0) {
                kept.add(body);
            }
        }
        for (int i = 0; i < 30; i += 3) {
            SendResult result = sent.get("body " + i);
            equal(result.getMsgId(), producer.recallMessage(topic, result.getRecallHandle()), "id of what was taken back");
        }
        SendResult again = sent.get("body 0");
        equal(again.getMsgId(), producer.recallMessage(topic, again.getRecallHandle()), "id of what was taken back twice");
        String broker = again.getMessageQueue().getBrokerName();
        String later = String.valueOf(dueMs + 60_000);
        equal(604, refusal(producer, other, again.getRecallHandle()), "answer to a handle of another topic");
        equal(604, refusal(producer, topic, RecallMessageHandle.HandleV1.buildHandle(topic, "nobody", later, "id")), "answer to a handle of another broker");
        equal(604, refusal(producer, topic, RecallMessageHandle.HandleV1.buildHandle(topic, broker, "1000", "id")), "answer to a handle of the past");
        equal(604, refusal(producer, topic, RecallMessageHandle.HandleV1.buildHandle(topic, broker, "soon", "id")), "answer to a handle without a time");
        equal(17, refusal(producer, topic("RecallNowhere"), again.getRecallHandle()), "answer to a topic that is not there");
        try {
            producer.recallMessage(topic, "not a handle");
            throw new AssertionError("the client took what is no handle");
        } catch (MQClientException expected) {
            // Not the broker's to refuse.
        }
        // Of one that never was, for a time to come: nothing to say against it.
        equal("id", producer.recallMessage(topic, RecallMessageHandle.HandleV1.buildHandle(topic, broker, later, "id")), "id of what never was");
        inbox.awaitAll(kept, 20);
        Thread.sleep(Math.max(0, dueMs + 600 + LATE_MS - System.currentTimeMillis()) + 500);
        inbox.equalOnce(kept);
        equal(604, refusal(producer, topic, sent.get("body 1").getRecallHandle()), "answer to a handle of what was delivered");
        inbox.close();
        producer.shutdown();
    }

    private static int refusal(DefaultMQProducer producer, String topic, String handle) throws Exception {
        try {
            producer.recallMessage(topic, handle);
        } catch (MQBrokerException refused) {
            return refused.getResponseCode();
        }
        throw new AssertionError("a handle was taken that should not be");
    }
}
