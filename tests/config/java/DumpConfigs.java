// Prints, as JSON, what Kafka's own classes say of configs: every broker setting and topic config with type, default and
// bounds, which broker settings a topic config's default comes from, which settings can change while a broker runs, and
// the verdict on each case of the file given (one object of topic configs a line).
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.TreeSet;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.server.config.AbstractKafkaConfig;
import org.apache.kafka.server.config.DynamicBrokerConfig;
import org.apache.kafka.server.config.ServerTopicConfigSynonyms;
import org.apache.kafka.storage.internals.log.LogConfig;

public class DumpConfigs {
    static Map<String, Object> describe(ConfigDef definitions) {
        Map<String, Object> all = new TreeMap<>();
        for (ConfigDef.ConfigKey key : definitions.configKeys().values()) {
            Map<String, Object> one = new TreeMap<>();
            boolean none = key.defaultValue == ConfigDef.NO_DEFAULT_VALUE || key.defaultValue == null;
            one.put("type", key.type.toString());
            one.put("default", none ? null : ConfigDef.convertToString(key.defaultValue, key.type));
            one.put("bounds", key.validator == null ? null : key.validator.toString());
            one.put("internal", key.internalConfig);
            all.put(key.name, one);
        }
        return all;
    }

    @SuppressWarnings("unchecked")
    public static void main(String[] arguments) throws Exception {
        ObjectMapper json = new ObjectMapper();
        Map<String, Object> dump = new TreeMap<>();
        dump.put("topic", describe(LogConfig.configDefCopy()));
        dump.put("broker", describe(AbstractKafkaConfig.CONFIG_DEF));
        dump.put("dynamic", new TreeSet<>(DynamicBrokerConfig.ALL_DYNAMIC_CONFIGS));
        Map<String, List<String>> synonyms = new TreeMap<>();
        ServerTopicConfigSynonyms.ALL_TOPIC_CONFIG_SYNONYMS.forEach((name, sources) -> {
            List<String> names = new ArrayList<>();
            sources.forEach(source -> names.add(source.name()));
            synonyms.put(name, names);
        });
        dump.put("synonyms", synonyms);
        List<Object> verdicts = new ArrayList<>();
        for (String line : Files.readAllLines(Path.of(arguments[0]))) {
            Map<String, String> configs = json.readValue(line, Map.class);
            String verdict = null;
            try {
                LogConfig.validate(Map.of(), configs, Map.of(), false);
            } catch (Exception refused) {
                verdict = refused.getMessage();
            }
            verdicts.add(verdict);
        }
        dump.put("verdicts", verdicts);
        System.out.println(json.enable(SerializationFeature.INDENT_OUTPUT).writeValueAsString(dump));
    }
}
