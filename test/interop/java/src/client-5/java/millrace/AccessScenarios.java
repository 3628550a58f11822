package millrace;

import static millrace.Harness.await;
import static millrace.Harness.bytes;
import static millrace.Harness.check;
import static millrace.Harness.equal;
import static millrace.Harness.text;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.commons.cli.CommandLine;
import org.apache.commons.cli.DefaultParser;
import org.apache.commons.cli.Options;
import org.apache.rocketmq.acl.common.AclClientRPCHook;
import org.apache.rocketmq.acl.common.AclUtils;
import org.apache.rocketmq.acl.common.SessionCredentials;
import org.apache.rocketmq.client.consumer.DefaultLitePullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.ConsumeOrderlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.consumer.listener.MessageListenerOrderly;
import org.apache.rocketmq.client.consumer.rebalance.AllocateMessageQueueAveragely;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.LocalTransactionState;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.client.producer.TransactionListener;
import org.apache.rocketmq.client.producer.TransactionMQProducer;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.remoting.RPCHook;
import org.apache.rocketmq.srvutil.ServerUtil;
import org.apache.rocketmq.tools.command.MQAdminStartup;
import org.apache.rocketmq.tools.command.SubCommand;

/**
 * Stock clients and mqadmin at brokers with users, with right and wrong credentials. Arguments: name server,
 * broker, a second broker of the same cluster secret, folder that `millrace init --secure` has made.
 * With `reachable` alone it only tells whether a signed send comes through.
 */
public final class AccessScenarios {
    private static final class Tools extends MQAdminStartup {
        static List<SubCommand> commands() {
            return SUB_COMMANDS;
        }
    }

    private static String nameServer;
    private static String broker;
    private static String otherBroker;
    private static RPCHook admin;
    private static RPCHook app;
    private static RPCHook current;

    public static void main(String[] arguments) {
        try {
            begin(arguments);
            System.out.println("PASS");
        } catch (Throwable fault) {
            System.out.print("FAILED ");
            fault.printStackTrace(System.out);
        }
        // Clients would keep the process.
        Runtime.getRuntime().halt(0);
    }

    private static void begin(String[] arguments) throws Exception {
        nameServer = arguments[0];
        broker = arguments[1];
        otherBroker = arguments[2];
        String home = arguments[3];
        System.setProperty("rocketmq.namesrv.addr", nameServer);
        admin = AclUtils.getAclRPCHook(home + "/conf/tools.yml");
        app = AclUtils.getAclRPCHook(home + "/conf/app.yml");
        current = admin;
        if (arguments.length > 4) {
            reachable();
        } else {
            MQAdminStartup.initCommand();
            users();
            clients();
            transactions();
            wrongCredentials();
            policies();
            copies();
            endings();
        }
    }

    private static void done(String what) {
        System.out.println("INFO " + what);
    }

    /** Runs a command of mqadmin with the credentials at hand; what it prints, or how it failed. */
    private static String run(String line) {
        String[] words = line.split(" ");
        PrintStream console = System.out;
        ByteArrayOutputStream printed = new ByteArrayOutputStream();
        System.setOut(new PrintStream(printed, true, StandardCharsets.UTF_8));
        try {
            SubCommand known = Tools.commands().stream().filter(one -> one.commandName().equalsIgnoreCase(words[0])).findFirst().orElseThrow();
            SubCommand command = known.getClass().getDeclaredConstructor().newInstance();
            Options options = command.buildCommandlineOptions(ServerUtil.buildCommandlineOptions(new Options()));
            String[] rest = java.util.Arrays.copyOfRange(words, 1, words.length);
            CommandLine commandLine = new DefaultParser().parse(options, rest);
            // The tools name their clients by the millisecond.
            Thread.sleep(5);
            command.execute(commandLine, options, current);
        } catch (Throwable fault) {
            StringBuilder causes = new StringBuilder("FAULT");
            for (Throwable cause = fault; cause != null; cause = cause.getCause()) causes.append(' ').append(cause);
            return causes + printed.toString(StandardCharsets.UTF_8);
        } finally {
            System.setOut(console);
        }
        return printed.toString(StandardCharsets.UTF_8);
    }

    private static void prints(String line, String expected) {
        String printed = run(line);
        check(printed.matches("(?s).*" + expected + ".*"), line + " printed: " + printed);
    }

    private static void refused(String line) {
        prints(line, "CODE: 16");
    }

    private static RPCHook user(String accessKey, String secretKey) {
        return new AclClientRPCHook(new SessionCredentials(accessKey, secretKey));
    }

    private static DefaultMQProducer producer(RPCHook hook) throws Exception {
        DefaultMQProducer producer = new DefaultMQProducer("access-producer", hook);
        producer.setNamesrvAddr(nameServer);
        producer.setInstanceName("access-" + Harness.CLIENTS.incrementAndGet());
        producer.setSendMsgTimeout(10_000);
        producer.setRetryTimesWhenSendFailed(0);
        producer.start();
        return producer;
    }

    private static DefaultMQPushConsumer consumer(String group, String topic, RPCHook hook) throws Exception {
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(group, hook, new AllocateMessageQueueAveragely());
        consumer.setNamesrvAddr(nameServer);
        consumer.setInstanceName("access-" + Harness.CLIENTS.incrementAndGet());
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.setPollNameServerInterval(1000);
        consumer.subscribe(topic, "*");
        return consumer;
    }

    private static void send(RPCHook hook, String topic, String body) throws Exception {
        DefaultMQProducer producer = producer(hook);
        try {
            SendResult sent = producer.send(new Message(topic, "tag", "key", bytes(body)));
            equal(SendStatus.SEND_OK, sent.getSendStatus(), "send to " + topic);
        } finally {
            producer.shutdown();
        }
    }

    /** Not let in: the broker's refusal, or no route where already the name server refuses. */
    private static void cannotSend(RPCHook hook, String topic, boolean reachesBroker) throws Exception {
        try {
            send(hook, topic, "not wanted");
        } catch (MQBrokerException refusal) {
            equal(16, refusal.getResponseCode(), "answer to " + topic);
            return;
        } catch (MQClientException failure) {
            // The client takes it for one to be tried again, and tells of the last answer.
            if (reachesBroker) equal(16, failure.getResponseCode(), "answer to " + topic);
            return;
        }
        throw new AssertionError("a send to " + topic + " came through");
    }

    private static void reachable() throws Exception {
        send(app, "access", "reachable");
    }

    /** createUser, updateUser, getUser, listUser, deleteUser; by broker and by cluster. */
    private static void users() {
        prints("updateTopic -b " + broker + " -t access -r 4 -w 4", "create topic to .* success");
        prints("createUser -b " + broker + " -u first -p first-secret", "create user to " + broker + " success");
        prints("createUser -c DefaultCluster -u second -p second-secret -t Super", "create user to .* success");
        refused("createUser -b " + broker + " -u first -p again");
        prints("getUser -b " + broker + " -u first", "first +sealed:1:\\S+ +Normal +enable");
        prints("getUser -c DefaultCluster -u second", "second +sealed:1:\\S+ +Super +enable");
        prints("listUser -b " + broker, "(?=.*admin)(?=.*app)(?=.*cluster)(?=.*first).*second");
        prints("listUser -b " + broker + " -f fir", "(?!.*second).*first");
        prints("updateUser -b " + broker + " -u second -t Normal", "update user to .* success");
        prints("updateUser -b " + broker + " -u second -p other-secret", "update user to .* success");
        prints("updateUser -b " + broker + " -u second -s disable", "update user to .* success");
        prints("getUser -b " + broker + " -u second", "second +sealed:1:\\S+ +Normal +disable");
        prints("deleteUser -b " + broker + " -u second", "delete user to .* success");
        String gone = run("getUser -b " + broker + " -u second");
        check(!gone.contains("sealed"), gone);
        // Whatever else tools ask for.
        prints("topicList", "access");
        prints("clusterList", "DefaultCluster");
        prints("brokerStatus -b " + broker, "brokerVersionDesc");
        prints("getBrokerConfig -b " + broker, "authenticationEnabled += +true");
        String config = run("getBrokerConfig -b " + broker);
        check(!config.contains("assword") && !config.contains("redentials"), config);
        prints("updateKvConfig -s space -k name -v value", "success");
        done("users by mqadmin");
    }

    private static void clients() throws Exception {
        AtomicInteger consumed = new AtomicInteger();
        AtomicInteger ordered = new AtomicInteger();
        AtomicInteger failures = new AtomicInteger();
        DefaultMQPushConsumer concurrently = consumer("access-group", "access", app);
        concurrently.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            for (MessageExt message : messages) {
                // Each goes back once: CONSUMER_SEND_MSG_BACK and the retry topic need rights, too.
                if (message.getReconsumeTimes() == 0 && text(message).equals("retried")) {
                    failures.incrementAndGet();
                    context.setDelayLevelWhenNextConsume(1);
                    return ConsumeConcurrentlyStatus.RECONSUME_LATER;
                }
                consumed.incrementAndGet();
            }
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        concurrently.setConsumeMessageBatchMaxSize(1);
        concurrently.start();
        DefaultMQPushConsumer orderly = consumer("access-ordered", "access", app);
        orderly.registerMessageListener((MessageListenerOrderly) (messages, context) -> {
            ordered.addAndGet(messages.size());
            return ConsumeOrderlyStatus.SUCCESS;
        });
        orderly.start();
        DefaultMQProducer producer = producer(app);
        List<Message> batch = new ArrayList<>();
        for (int index = 0; index < 10; index++) batch.add(new Message("access", bytes("batch " + index)));
        equal(SendStatus.SEND_OK, producer.send(batch).getSendStatus(), "batch");
        Message odd = new Message("access", "标签", "key ü", bytes("属性值 😀 \"quoted\" \\"));
        odd.putUserProperty("属性名", "属性值 😀 \"quoted\" \\ / \t");
        equal(SendStatus.SEND_OK, producer.send(odd).getSendStatus(), "text of many bytes");
        producer.send(new Message("access", bytes("compressible ".repeat(5000))));
        producer.send(new Message("access", bytes("retried")));
        producer.sendOneway(new Message("access", bytes("oneway")));
        CountDownLatch async = new CountDownLatch(1);
        producer.send(new Message("access", bytes("async")), new org.apache.rocketmq.client.producer.SendCallback() {
            @Override
            public void onSuccess(SendResult sendResult) {
                async.countDown();
            }

            @Override
            public void onException(Throwable e) {
                e.printStackTrace();
            }
        });
        await(() -> async.getCount() == 0, 30, "asynchronous send");
        await(() -> consumed.get() >= 15 && ordered.get() >= 15 && failures.get() >= 1, 30, "15 messages for each group, one sent back");
        DefaultLitePullConsumer lite = new DefaultLitePullConsumer("access-lite", app);
        lite.setNamesrvAddr(nameServer);
        lite.setInstanceName("access-" + Harness.CLIENTS.incrementAndGet());
        lite.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        lite.subscribe("access", "*");
        lite.start();
        AtomicInteger pulled = new AtomicInteger();
        await(() -> pulled.addAndGet(lite.poll(500).size()) >= 15, 30, "15 messages by pulls");
        lite.shutdown();
        concurrently.shutdown();
        orderly.shutdown();
        producer.shutdown();
        prints("consumerProgress -g access-group", "access +\\S+ +\\d");
        done("producers and consumers with rights: " + consumed.get() + " + " + ordered.get() + " + " + pulled.get());
    }

    private static void transactions() throws Exception {
        TransactionMQProducer producer = new TransactionMQProducer("access-transactions", app);
        producer.setNamesrvAddr(nameServer);
        producer.setInstanceName("access-" + Harness.CLIENTS.incrementAndGet());
        producer.setTransactionListener(new TransactionListener() {
            @Override
            public LocalTransactionState executeLocalTransaction(Message message, Object argument) {
                return (LocalTransactionState) argument;
            }

            @Override
            public LocalTransactionState checkLocalTransaction(MessageExt message) {
                return LocalTransactionState.COMMIT_MESSAGE;
            }
        });
        producer.start();
        List<String> bodies = Collections.synchronizedList(new ArrayList<>());
        DefaultMQPushConsumer consumer = consumer("access-committed", "access-transaction", app);
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            messages.forEach(message -> bodies.add(text(message)));
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        current = admin;
        prints("updateTopic -b " + broker + " -t access-transaction -r 1 -w 1", "success");
        consumer.start();
        for (LocalTransactionState state : LocalTransactionState.values())
            producer.sendMessageInTransaction(new Message("access-transaction", bytes(state.name())), state);
        // What is unknown is committed when the broker has asked: its question and the answer are not signed.
        await(() -> bodies.contains("COMMIT_MESSAGE") && bodies.contains("UNKNOW"), 30, "what was committed");
        check(!bodies.contains("ROLLBACK_MESSAGE"), "what was rolled back came");
        consumer.shutdown();
        producer.shutdown();
        done("transactions");
    }

    private static void wrongCredentials() throws Exception {
        cannotSend(null, "access", false);
        cannotSend(user("app", "wrong"), "access", false);
        cannotSend(user("nobody", "wrong"), "access", false);
        DefaultMQPushConsumer stranger = consumer("access-stranger", "access", user("app", "wrong"));
        AtomicInteger seen = new AtomicInteger();
        stranger.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            seen.addAndGet(messages.size());
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        try {
            stranger.start();
            Thread.sleep(2000);
        } catch (Exception refused) {
            // It may already find no route.
        }
        stranger.shutdown();
        equal(0, seen.get(), "messages for a stranger");
        // A tool takes some seconds to end: those with TLS ask as others than those without.
        boolean isSecure = Boolean.getBoolean("tls.enable");
        for (RPCHook hook : isSecure ? new RPCHook[] {user("admin", "wrong"), app} : new RPCHook[] {null, user("nobody", "wrong")}) {
            current = hook;
            for (String line : List.of(
                "createUser -b " + broker + " -u thief -p thief-secret -t Super",
                "updateUser -b " + broker + " -u admin -p thief-secret",
                "deleteUser -b " + broker + " -u first",
                "getUser -b " + broker + " -u admin",
                "listUser -b " + broker,
                "createAcl -b " + broker + " -s User:app -r * -a All -d Allow",
                "updateAcl -b " + broker + " -s User:app -r * -a All -d Allow",
                "deleteAcl -b " + broker + " -s User:app",
                "getAcl -b " + broker + " -s User:app",
                "listAcl -b " + broker,
                "getBrokerConfig -b " + broker,
                "updateBrokerConfig -b " + broker + " -k autoCreateTopicEnable -v true",
                "brokerStatus -b " + broker,
                "updateTopic -b " + broker + " -t thief -r 1 -w 1",
                "updateSubGroup -b " + broker + " -g thief"))
                refused(line);
        }
        current = admin;
        check(!run("topicList").contains("thief"), "a topic was made");
        check(!run("listUser -b " + broker).contains("thief"), "a user was made");
        done("wrong credentials, and a user without rights");
    }

    /** createAcl, updateAcl, getAcl, listAcl, deleteAcl, and what they do to clients. */
    private static void policies() throws Exception {
        RPCHook first = user("first", "first-secret");
        cannotSend(first, "access", true);
        prints("createAcl -b " + broker + " -s User:first -r Topic:acc* -a Pub,Sub -d Allow", "create acl to .* success");
        prints("createAcl -c DefaultCluster -s User:first -r Group:first-* -a Sub -d Allow -i 127.0.0.1,10.0.0.0/8", "create acl to .* success");
        send(first, "access", "by first");
        prints("getAcl -b " + broker + " -s User:first", "User:first +Custom +Topic:acc\\* +\\[Pub, Sub\\]");
        prints("getAcl -b " + broker + " -s User:first", "Group:first-\\* +\\[Sub\\] +\\[127.0.0.1, 10.0.0.0/8\\] +Allow");
        prints("listAcl -b " + broker, "(?=.*User:app +Default).*User:first");
        prints("listAcl -b " + broker + " -s User:first -r Group", "(?!.*Topic:).*Group:first-");
        prints("updateAcl -b " + broker + " -s User:first -r Topic:access -a Pub -d Deny", "update acl to .* success");
        cannotSend(first, "access", true);
        prints("deleteAcl -b " + broker + " -s User:first -r Topic:access", "delete acl to .* success");
        send(first, "access", "by first again");
        prints("updateUser -b " + broker + " -u first -s disable", "success");
        cannotSend(first, "access", false);
        prints("updateUser -b " + broker + " -u first -s enable", "success");
        send(first, "access", "enabled");
        refused("createAcl -b " + broker + " -s User:nobody -r * -a All -d Allow");
        refused("createAcl -b " + broker + " -s User:first -r Nothing:a -a All -d Allow");
        done("policies by mqadmin");
    }

    /** copyUser and copyAcl carry users whose secrets nobody can read on the way. */
    private static void copies() throws Exception {
        prints("copyUser -f " + broker + " -t " + otherBroker + " -u first", "copy user of first from .* success");
        prints("copyAcl -f " + broker + " -t " + otherBroker + " -s User:first", "copy acl of User:first from .* success");
        prints("getAcl -b " + otherBroker + " -s User:first", "Topic:acc\\*");
        // The secret has come along: what is signed with it is let in, if only to be denied.
        current = user("first", "first-secret");
        prints("getBrokerConfig -b " + otherBroker, "User:first has no permission");
        current = user("first", "wrong");
        prints("getBrokerConfig -b " + otherBroker, "authentication failed");
        current = admin;
        done("copies of users and policies");
    }

    private static void endings() {
        prints("deleteAcl -b " + broker + " -s User:first", "success");
        prints("deleteUser -b " + broker + " -u first", "success");
        current = user("first", "first-secret");
        refused("getBrokerConfig -b " + broker);
        current = admin;
    }
}
