package millrace;

import java.io.ByteArrayOutputStream;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.Permission;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.commons.cli.CommandLine;
import org.apache.commons.cli.DefaultParser;
import org.apache.commons.cli.Options;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.consumer.rebalance.AllocateMessageQueueAveragely;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.srvutil.ServerUtil;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;
import org.apache.rocketmq.tools.command.MQAdminStartup;
import org.apache.rocketmq.tools.command.SubCommand;

/**
 * Runs commands of stock mqadmin in this process, those without an empty line between them at once, against a broker that has a topic
 * with messages, a group that is behind, a live consumer and a live producer. Arguments: name server,
 * broker address, broker name, file of commands, file for what they print. A command is a line of
 * words; {broker}, {brokerName}, {msgId}, {uniqueKey}, {client}, {time} and {directory} are filled in.
 */
@SuppressWarnings("removal")
public final class AdminTools {
    /** Its table of commands is for subclasses. */
    private static final class Tools extends MQAdminStartup {
        static List<SubCommand> commands() {
            return SUB_COMMANDS;
        }
    }

    private static final InheritableThreadLocal<ByteArrayOutputStream> output = new InheritableThreadLocal<>();
    private static final String TOPIC = "Tools";
    private static final int QUEUES = 4;
    private static final int PER_QUEUE = 5;
    /** Some commands go on until they are stopped. */
    private static final long COMMAND_MS = 8_000;

    public static void main(String[] arguments) throws Exception {
        String nameServer = arguments[0];
        String broker = arguments[1];
        String brokerName = arguments[2];
        System.setProperty("rocketmq.namesrv.addr", nameServer);
        PrintStream console = System.out;
        MQAdminStartup.initCommand();
        PrintStream byThread = new PrintStream(new OutputStream() {
            @Override
            public void write(int value) {
                ByteArrayOutputStream to = output.get();
                if (to != null) to.write(value);
                else console.write(value);
            }
        }, true, StandardCharsets.UTF_8);
        System.setOut(byThread);
        System.setErr(byThread);
        System.setSecurityManager(new SecurityManager() {
            @Override
            public void checkExit(int status) {
                if (Thread.currentThread() instanceof Command) throw new SecurityException("exit " + status);
            }

            @Override
            public void checkPermission(Permission permission) {
            }
        });

        run(List.of("updateTopic", "-b", broker, "-t", TOPIC, "-r", "" + QUEUES, "-w", "" + QUEUES));
        for (String group : List.of("tools-behind", "tools-clone")) {
            run(List.of("updateSubGroup", "-b", broker, "-g", group));
            run(List.of("updateTopic", "-b", broker, "-t", "%RETRY%" + group, "-r", "1", "-w", "1"));
        }
        DefaultMQProducer producer = new DefaultMQProducer("tools-producer", null, true, null);
        producer.start();
        SendResult first = null;
        for (int index = 0; index < PER_QUEUE; index++) {
            for (int queue = 0; queue < QUEUES; queue++) {
                Message message = new Message(TOPIC, queue % 2 == 0 ? "TagA" : "TagB", "key-" + index, body(queue, index));
                SendResult sent = producer.send(message, new MessageQueue(TOPIC, brokerName, queue));
                if (first == null) first = sent;
            }
        }
        AtomicInteger consumed = new AtomicInteger();
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer("tools-live", null, new AllocateMessageQueueAveragely(), true, null);
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.setPersistConsumerOffsetInterval(500);
        consumer.subscribe(TOPIC, "TagA || TagB");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            consumed.addAndGet(messages.size());
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        DefaultMQAdminExt admin = new DefaultMQAdminExt();
        admin.start();
        for (int queue = 0; queue < QUEUES; queue++)
            admin.updateConsumeOffset(broker, "tools-behind", new MessageQueue(TOPIC, brokerName, queue), 2);
        for (int wait = 0; consumed.get() < QUEUES * PER_QUEUE && wait < 300; wait++) Thread.sleep(100);
        // Until offsets are committed; by then traces are sent as well.
        for (int wait = 0; admin.examineConsumeStats("tools-live").computeTotalDiff() > 0 && wait < 300; wait++) Thread.sleep(100);

        Path file = Path.of(arguments[3]);
        Map<String, String> values = Map.of(
            "{broker}", broker, "{brokerName}", brokerName, "{msgId}", first.getOffsetMsgId(),
            "{uniqueKey}", first.getMsgId(), "{client}", consumer.getDefaultMQPushConsumerImpl().getmQClientFactory().getClientId(),
            "{time}", "" + System.currentTimeMillis(), "{directory}", file.getParent().toString());
        StringBuilder all = new StringBuilder();
        List<Command> together = new ArrayList<>();
        for (String line : Files.readAllLines(file)) {
            if (!line.isEmpty()) {
                List<String> words = new ArrayList<>(List.of(line.split(" ")));
                words.replaceAll(word -> {
                    String filled = word;
                    for (var value : values.entrySet()) filled = filled.replace(value.getKey(), value.getValue());
                    return filled;
                });
                Command command = new Command(line, words);
                command.start();
                together.add(command);
                // The tools name their clients by the millisecond.
                Thread.sleep(20);
                continue;
            }
            for (Command command : together) all.append(command.end());
            together.clear();
        }
        for (Command command : together) all.append(command.end());
        Files.writeString(Path.of(arguments[4]), all.toString());
        console.println("PASS");
        // Clients of commands that were interrupted still run.
        Runtime.getRuntime().halt(0);
    }

    /** One command on a thread of its own; what it prints, there or on threads that it starts, is its own. */
    private static final class Command extends Thread {
        final String line;
        final List<String> words;
        final ByteArrayOutputStream printed = new ByteArrayOutputStream();

        Command(String line, List<String> words) {
            this.line = line;
            this.words = words;
        }

        @Override
        public void run() {
            output.set(printed);
            do {
                printed.reset();
                try {
                    execute(words);
                } catch (SecurityException exit) {
                    System.out.println(exit.getMessage());
                } catch (Throwable fault) {
                    fault.printStackTrace();
                }
                // Tools name their clients by the millisecond: another command has begun in the same one.
            } while (printed.toString(StandardCharsets.UTF_8).contains("has created already"));
        }

        String end() throws InterruptedException {
            join(COMMAND_MS);
            if (isAlive()) {
                interrupt();
                join(COMMAND_MS);
            }
            return "### " + line + "\n" + printed.toString(StandardCharsets.UTF_8) + "\n";
        }
    }

    /** As MQAdminStartup.main0 does it, with a command object of its own. */
    private static void execute(List<String> words) throws Exception {
        SubCommand known = Tools.commands().stream().filter(one -> one.commandName().equalsIgnoreCase(words.get(0))).findFirst().orElse(null);
        if (known == null) {
            System.out.printf("The sub command %s not exist.%n", words.get(0));
            return;
        }
        SubCommand command = known.getClass().getDeclaredConstructor().newInstance();
        String[] rest = words.subList(1, words.size()).toArray(new String[0]);
        Options options = command.buildCommandlineOptions(ServerUtil.buildCommandlineOptions(new Options()));
        CommandLine line = ServerUtil.parseCmdLine("mqadmin " + command.commandName(), rest, options, new DefaultParser());
        if (line != null) command.execute(line, options, null);
    }

    private static byte[] body(int queue, int index) {
        return ("body " + queue + " " + index).getBytes(StandardCharsets.UTF_8);
    }

    private static void run(List<String> words) throws Exception {
        Command command = new Command("", words);
        command.start();
        command.end();
    }
}
