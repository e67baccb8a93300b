import org.apache.kafka.common.message.ApiMessageType;
import org.apache.kafka.common.protocol.ApiKeys;

/**
 * Prints one line per API of Kafka's own table: key, name, oldest and newest version, newest stable version,
 * the header versions of request and response for every version, and the listeners that offer it.
 *
 * java -cp 'LIB/*' DumpApis.java
 */
public final class DumpApis {
    public static void main(String[] args) {
        for (ApiMessageType type : ApiMessageType.values()) {
            ApiKeys api = ApiKeys.forId(type.apiKey());
            StringBuilder line = new StringBuilder();
            line.append(type.apiKey()).append(' ').append(api.name).append(' ').append(api.name());
            line.append(' ').append(type.lowestSupportedVersion());
            line.append(' ').append(type.highestSupportedVersion(true));
            line.append(' ').append(type.highestSupportedVersion(false)).append(" ,");
            for (short version = type.lowestSupportedVersion(); version <= type.highestSupportedVersion(true); version++) {
                line.append(version).append(':').append(type.requestHeaderVersion(version));
                line.append(':').append(type.responseHeaderVersion(version)).append(',');
            }
            line.append(' ').append(type.listeners());
            System.out.println(line);
        }
    }
}
