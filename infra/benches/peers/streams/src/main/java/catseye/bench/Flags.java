package catseye.bench;

import java.util.HashMap;
import java.util.Map;
import java.util.Properties;

import org.apache.kafka.streams.StreamsConfig;

/** The flags that every peer takes: {@code --name value} pairs, the same as those of the Python peers. */
record Flags(Map<String, String> values) {

    static Flags parse(String[] arguments) {
        Map<String, String> values = new HashMap<>();
        for (int i = 0; i + 1 < arguments.length; i += 2) {
            values.put(arguments[i].replaceFirst("^--", ""), arguments[i + 1]);
        }
        return new Flags(values);
    }

    String get(String name) {
        String value = values.get(name);
        if (value == null) {
            throw new IllegalArgumentException("--" + name + " is missing");
        }
        return value;
    }

    String get(String name, String otherwise) {
        return values.getOrDefault(name, otherwise);
    }

    /** Settings of one single-threaded, exactly-once application. */
    Properties settings() {
        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, get("group"));
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, get("bootstrap"));
        settings.put(StreamsConfig.STATE_DIR_CONFIG, get("directory"));
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
        settings.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
        settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, get("commit-ms", "100"));
        settings.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, get("cache-bytes", "67108864"));
        settings.put(StreamsConfig.METRICS_RECORDING_LEVEL_CONFIG, "INFO");
        settings.put(StreamsConfig.consumerPrefix("auto.offset.reset"), "earliest");
        settings.put(StreamsConfig.consumerPrefix("max.poll.records"), get("batch", "5000"));
        settings.put(StreamsConfig.consumerPrefix("fetch.max.wait.ms"), "20");
        settings.put(StreamsConfig.producerPrefix("linger.ms"), get("linger-ms", "5"));
        settings.put(StreamsConfig.producerPrefix("batch.size"), get("batch-bytes", "1000000"));
        return settings;
    }
}
