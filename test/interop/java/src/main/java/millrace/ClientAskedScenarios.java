package millrace;

import static millrace.Harness.CLIENTS;
import static millrace.Harness.RUN;
import static millrace.Harness.await;
import static millrace.Harness.bytes;
import static millrace.Harness.check;
import static millrace.Harness.nameServer;
import static millrace.Harness.producer;
import static millrace.Harness.pushConsumer;
import static millrace.Harness.topic;

import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.LocalTransactionState;
import org.apache.rocketmq.client.producer.TransactionListener;
import org.apache.rocketmq.client.producer.TransactionMQProducer;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;

/**
 * What makes a broker ask its clients. A broker that refuses is told of and not a failure: these are for
 * comparing what is said, see recording-proxy.ts.
 */
class ClientAskedScenarios {
    private ClientAskedScenarios() {
    }

    interface Step {
        void run() throws Exception;
    }

    private static void attempt(String what, Step step) throws Exception {
        try {
            step.run();
        } catch (MQBrokerException | MQClientException refused) {
            System.out.println("REFUSED " + what + ": " + refused.getMessage().lines().findFirst().orElse(""));
        }
    }

    /** An operator looks at a consumer that is running, gives it a message and sets it back. */
    static void watchedConsumer() throws Exception {
        DefaultMQProducer producer = producer();
        String topic = topic("Watched");
        String group = "group_" + topic;
        String id = producer.send(new Message(topic, "TagA", "key", bytes("watched"))).getMsgId();
        AtomicInteger received = new AtomicInteger();
        DefaultMQPushConsumer consumer = pushConsumer(group, topic, "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            received.addAndGet(messages.size());
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        await(() -> received.get() > 0, 30, "nothing was consumed");
        DefaultMQAdminExt admin = new DefaultMQAdminExt(10_000);
        admin.setNamesrvAddr(nameServer);
        admin.setInstanceName("a" + CLIENTS.incrementAndGet());
        admin.start();
        String client = admin.examineConsumerConnectionInfo(group).getConnectionSet().iterator().next().getClientId();
        attempt("running info", () -> admin.getConsumerRunningInfo(group, client, false));
        attempt("running info with stacks", () -> admin.getConsumerRunningInfo(group, client, true));
        attempt("running info of nobody", () -> admin.getConsumerRunningInfo(group, "nobody", false));
        attempt("consume directly", () -> admin.consumeMessageDirectly(group, client, topic, id));
        attempt("status of consumers", () -> admin.getConsumeStatus(topic, group, ""));
        attempt("who consumes", () -> admin.queryTopicConsumeByWho(topic));
        attempt("time span", () -> admin.queryConsumeTimeSpan(topic, group));
        attempt("progress", () -> admin.examineConsumeStats(group));
        attempt("track", () -> admin.messageTrackDetail(admin.viewMessage(topic, id)));
        // By the broker, as it is set up, then by its consumers.
        String broker = admin.examineBrokerClusterInfo().getBrokerAddrTable().values().iterator().next().selectBrokerAddr();
        for (String isByServer : new String[] {"true", "false"}) {
            attempt("reset", () -> {
                Properties settings = new Properties();
                settings.setProperty("useServerSideResetOffset", isByServer);
                admin.updateBrokerConfig(broker, settings);
                int before = received.get();
                admin.resetOffsetByTimestamp(topic, group, 0, true);
                await(() -> received.get() > before, 30, "nothing came again after a reset");
            });
        }
        admin.shutdown();
        consumer.shutdown();
        producer.shutdown();
    }

    /** One transaction is committed at once, one rolled back, one when the broker asks. */
    static void transaction() throws Exception {
        String topic = topic("Transaction");
        CountDownLatch checked = new CountDownLatch(1);
        TransactionMQProducer producer = new TransactionMQProducer("transactions_" + RUN);
        producer.setNamesrvAddr(nameServer);
        producer.setInstanceName("t" + CLIENTS.incrementAndGet());
        producer.setTransactionListener(new TransactionListener() {
            @Override
            public LocalTransactionState executeLocalTransaction(Message message, Object argument) {
                return (LocalTransactionState) argument;
            }

            @Override
            public LocalTransactionState checkLocalTransaction(MessageExt message) {
                checked.countDown();
                return LocalTransactionState.COMMIT_MESSAGE;
            }
        });
        producer.start();
        producer.send(new Message(topic, bytes("makes the topic")));
        AtomicReference<String> refused = new AtomicReference<>("every send was refused");
        for (LocalTransactionState state : LocalTransactionState.values()) {
            attempt("transaction", () -> {
                producer.sendMessageInTransaction(new Message(topic, bytes(state.name())), state);
                refused.set(null);
            });
        }
        if (refused.get() == null) {
            check(checked.await(40, TimeUnit.SECONDS), "the broker did not ask for an unknown transaction");
        }
        Thread.sleep(200);
        producer.shutdown();
    }
}
