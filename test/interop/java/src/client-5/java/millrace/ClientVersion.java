package millrace;

import java.util.Map;
import java.util.Set;
import org.apache.rocketmq.client.consumer.DefaultLitePullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.remoting.protocol.heartbeat.MessageModel;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;

/**
 * What the scenarios say differently to client 5.3.3 than to 4.9.8.
 */
class ClientVersion {
    private ClientVersion() {
    }

    static void addScenarios(Map<String, Scenarios.Scenario> all) {
        all.put("timed", p -> TimedScenarios.timed());
        all.put("timed-limit", p -> TimedScenarios.timedLimit());
        all.put("recall", p -> TimedScenarios.recall());
        all.put("beside-send", BesideScenarios::send);
        all.put("beside-receive", BesideScenarios::receive);
        all.put("beside-member", BesideScenarios::member);
    }

    static void broadcast(DefaultMQPushConsumer consumer) {
        consumer.setMessageModel(MessageModel.BROADCASTING);
    }

    static void commit(DefaultLitePullConsumer consumer) {
        consumer.commit();
    }

    static void deleteRoute(DefaultMQAdminExt admin, String nameServer, String cluster, String topic) throws Exception {
        admin.deleteTopicInNameServer(Set.of(nameServer), topic);
    }
}
