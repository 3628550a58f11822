package millrace;

import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/**
 * What an unmodified RocketMQ Java client does, 5.3.3 or 4.9.8. Arguments: name server address, then names of
 * scenarios, each with parameters behind colons. Prints "PASS name" or "FAIL name: why" for each, and
 * exits with the number of failures. A scenario that hangs fails, and the next one begins.
 */
public class Scenarios {
    static final int LIMIT_SECONDS = 100;
    static final int LIMIT_SECONDS_LONG = 280;
    static final List<String> LONG = List.of("million", "fill", "verify", "ride-over");

    interface Scenario {
        void run(String[] parameters) throws Exception;
    }

    static final Map<String, Scenario> ALL = new HashMap<>();

    static {
        ALL.put("sync-send", p -> SendScenarios.syncSend());
        ALL.put("async-send", p -> SendScenarios.asyncSend());
        ALL.put("oneway", p -> SendScenarios.oneway());
        ALL.put("batch", p -> SendScenarios.batch());
        ALL.put("large-body", p -> SendScenarios.largeBody());
        ALL.put("compressed-body", p -> SendScenarios.compressedBody());
        ALL.put("chinese", p -> SendScenarios.chinese());
        ALL.put("orderly", p -> ConsumeScenarios.orderly());
        ALL.put("lite-pull", p -> ConsumeScenarios.litePull());
        ALL.put("lite-pull-assign", p -> ConsumeScenarios.litePullAssign());
        ALL.put("tags", p -> ConsumeScenarios.tags());
        ALL.put("sql-filter", p -> ConsumeScenarios.sqlFilter());
        ALL.put("rebalance", p -> ConsumeScenarios.rebalance());
        ALL.put("resume", p -> ConsumeScenarios.resume());
        ALL.put("from-last", p -> ConsumeScenarios.fromLast());
        ALL.put("retry", p -> ConsumeScenarios.retry());
        ALL.put("dead-letter", p -> ConsumeScenarios.deadLetter());
        ALL.put("delay", p -> ConsumeScenarios.delay());
        ALL.put("broadcast", p -> ConsumeScenarios.broadcast());
        ALL.put("query", p -> SendScenarios.query());
        ALL.put("admin", p -> SendScenarios.admin());
        ALL.put("vip", p -> SendScenarios.vip());
        ALL.put("late-topic", p -> ConsumeScenarios.lateTopic());
        ALL.put("request-reply", p -> GroupScenarios.requestReply());
        ALL.put("trace", p -> GroupScenarios.trace());
        ALL.put("reset", p -> GroupScenarios.reset());
        ALL.put("orderly-retry", p -> GroupScenarios.orderlyRetry());
        ALL.put("watched-consumer", p -> ClientAskedScenarios.watchedConsumer());
        ALL.put("transaction", p -> ClientAskedScenarios.transaction());
        ALL.put("transaction-commit", p -> TransactionScenarios.commit());
        ALL.put("transaction-rollback", p -> TransactionScenarios.rollback());
        ALL.put("transaction-check", p -> TransactionScenarios.checkBack());
        ALL.put("transaction-hang", TransactionScenarios::hang);
        ALL.put("transaction-heir", TransactionScenarios::heir);
        ALL.put("million", LoadScenario::million);
        ALL.put("fill", BrokerScenarios::fill);
        ALL.put("verify", BrokerScenarios::verify);
        ALL.put("consume-on", BrokerScenarios::consumeOn);
        ALL.put("spread", BrokerScenarios::spread);
        ALL.put("throw-first", BrokerScenarios::throwFirst);
        ALL.put("receive-retried", BrokerScenarios::receiveRetried);
        ALL.put("ride-over", BrokerScenarios::rideOver);
        ALL.put("access-right", p -> CredentialScenarios.right());
        ALL.put("access-wrong-secret", p -> CredentialScenarios.wrongSecret());
        ALL.put("access-no-rights", p -> CredentialScenarios.noRights());
        ClientVersion.addScenarios(ALL);
    }

    private Scenarios() {
    }

    public static void main(String[] args) {
        Harness.nameServer = args[0];
        int failures = 0;
        for (String argument : Arrays.asList(args).subList(1, args.length)) {
            String[] parts = argument.split(":");
            long start = System.currentTimeMillis();
            try {
                runBounded(parts);
                System.out.println("PASS " + parts[0] + " " + (System.currentTimeMillis() - start) + " ms");
            } catch (Throwable error) {
                failures++;
                System.out.println("FAIL " + parts[0] + ": " + error);
                error.printStackTrace(System.out);
            }
        }
        System.exit(failures);
    }

    static void runBounded(String[] parts) throws Throwable {
        Scenario scenario = ALL.get(parts[0]);
        FutureTask<Void> task = new FutureTask<>(() -> {
            scenario.run(Arrays.copyOfRange(parts, 1, parts.length));
            return null;
        });
        Thread thread = new Thread(task, parts[0]);
        thread.setDaemon(true);
        thread.start();
        int seconds = LONG.contains(parts[0]) ? LIMIT_SECONDS_LONG : LIMIT_SECONDS;
        try {
            task.get(seconds, TimeUnit.SECONDS);
        } catch (ExecutionException failed) {
            throw failed.getCause();
        } catch (TimeoutException hanging) {
            AssertionError error = new AssertionError("not finished after " + seconds + " s");
            error.setStackTrace(thread.getStackTrace());
            task.cancel(true);
            throw error;
        }
    }
}
