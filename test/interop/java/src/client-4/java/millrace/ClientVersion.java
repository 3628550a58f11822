package millrace;

import java.util.Map;
import java.util.Set;
import org.apache.rocketmq.client.consumer.DefaultLitePullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.common.protocol.heartbeat.MessageModel;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;

/**
 * What the scenarios say differently to client 4.9.8 than to 5.3.3.
 */
class ClientVersion {
    private ClientVersion() {
    }

    /** Everything it can do is in the scenarios of both. */
    static void addScenarios(Map<String, Scenarios.Scenario> all) {
    }

    static void broadcast(DefaultMQPushConsumer consumer) {
        consumer.setMessageModel(MessageModel.BROADCASTING);
    }

    static void commit(DefaultLitePullConsumer consumer) {
        consumer.commitSync();
    }

    static void deleteRoute(DefaultMQAdminExt admin, String nameServer, String cluster, String topic) throws Exception {
        admin.deleteTopicInNameServer(Set.of(nameServer), topic, cluster);
    }
}
