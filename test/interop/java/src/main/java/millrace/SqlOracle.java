package millrace;

import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.rocketmq.broker.filter.MessageEvaluationContext;
import org.apache.rocketmq.filter.FilterFactory;
import org.apache.rocketmq.filter.expression.Expression;

/**
 * What the stock broker's SQL filter says of expressions and properties. Each line of the first file is
 * an expression and properties, `name:value` with commas between, all in Base64, with a tab between the
 * two; each line of the second is refused, true or false.
 */
public final class SqlOracle {
    public static void main(String[] arguments) throws Exception {
        List<String> answers = new ArrayList<>();
        for (String line : Files.readAllLines(Path.of(arguments[0]))) {
            String[] parts = line.split("\t", -1);
            Map<String, String> properties = new HashMap<>();
            for (String property : parts[1].split(",")) {
                if (property.isEmpty()) continue;
                String[] pair = property.split(":", -1);
                properties.put(text(pair[0]), text(pair[1]));
            }
            answers.add(answer(text(parts[0]), properties));
        }
        Files.write(Path.of(arguments[1]), answers);
    }

    private static String answer(String sql, Map<String, String> properties) {
        Expression expression;
        try {
            expression = FilterFactory.INSTANCE.get("SQL92").compile(sql);
        } catch (Exception refused) {
            return "refused";
        }
        try {
            // As ExpressionMessageFilter has it: what is not true, or throws, does not match.
            return String.valueOf(Boolean.TRUE.equals(expression.evaluate(new MessageEvaluationContext(properties))));
        } catch (Exception fault) {
            return "false";
        }
    }

    private static String text(String base64) {
        return new String(Base64.getDecoder().decode(base64), StandardCharsets.UTF_8);
    }
}
