import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.*;
import java.lang.reflect.InvocationTargetException;
import java.nio.charset.StandardCharsets;
import java.util.*;
import org.apache.kafka.common.utils.Exit;

/**
 * Runs Kafka's command-line tools one after the other in one JVM: each line of standard input is a JSON list, the class and its
 * arguments; each line of standard output a JSON object with the exit status and what the tool printed.
 */
public class ToolRunner {
    static final ObjectMapper JSON = new ObjectMapper();

    /** Unwinds a tool that wants to end the process. An Error, so that no tool takes it for a failure of its own. */
    static class Exited extends Error {
        final int status;

        Exited(int status) {
            this.status = status;
        }
    }

    public static void main(String[] arguments) throws Exception {
        PrintStream answers = System.out;
        Exit.setExitProcedure((status, message) -> {
            throw new Exited(status);
        });
        Exit.setHaltProcedure((status, message) -> {
            throw new Exited(status);
        });
        var in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line; (line = in.readLine()) != null; ) {
            String[] words = JSON.readValue(line, String[].class);
            var out = new ByteArrayOutputStream();
            var err = new ByteArrayOutputStream();
            System.setOut(new PrintStream(out, true, StandardCharsets.UTF_8));
            System.setErr(new PrintStream(err, true, StandardCharsets.UTF_8));
            int status = run(words[0], Arrays.copyOfRange(words, 1, words.length));
            System.out.flush();
            System.err.flush();
            answers.println(JSON.writeValueAsString(Map.of(
                "status", status,
                "out", out.toString(StandardCharsets.UTF_8),
                "err", err.toString(StandardCharsets.UTF_8))));
            answers.flush();
        }
    }

    static int run(String name, String[] arguments) throws Exception {
        try {
            Class.forName(name).getMethod("main", String[].class).invoke(null, (Object) arguments);
            return 0;
        } catch (InvocationTargetException thrown) {
            Throwable cause = thrown.getCause();
            while (cause.getCause() != null && !(cause instanceof Exited)) {
                cause = cause.getCause();
            }
            if (cause instanceof Exited exited) {
                return exited.status;
            }
            System.err.println(cause);
            return 1;
        }
    }
}
