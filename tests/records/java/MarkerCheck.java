import java.util.HexFormat;
import org.apache.kafka.common.record.internal.ControlRecordType;
import org.apache.kafka.common.record.internal.EndTransactionMarker;
import org.apache.kafka.common.record.internal.MemoryRecords;

/** Prints the control batch that ends a transaction, as Kafka builds it, for every line "commit|abort time producer epoch coordinator". */
class MarkerCheck {
    public static void main(String[] arguments) {
        for (String argument : arguments) {
            String[] fields = argument.split(" ");
            ControlRecordType type = ControlRecordType.valueOf(fields[0].toUpperCase());
            MemoryRecords records = MemoryRecords.withEndTransactionMarker(
                Long.parseLong(fields[1]),
                Long.parseLong(fields[2]),
                Short.parseShort(fields[3]),
                new EndTransactionMarker(type, Integer.parseInt(fields[4])));
            byte[] bytes = new byte[records.sizeInBytes()];
            records.buffer().duplicate().get(bytes);
            System.out.println(HexFormat.of().formatHex(bytes));
        }
    }
}
