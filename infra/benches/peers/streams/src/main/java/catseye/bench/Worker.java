package catseye.bench;

import java.nio.ByteBuffer;
import java.util.concurrent.CountDownLatch;

import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.processor.api.FixedKeyProcessor;
import org.apache.kafka.streams.processor.api.FixedKeyProcessorContext;
import org.apache.kafka.streams.processor.api.FixedKeyRecord;
import org.apache.kafka.streams.state.KeyValueBytesStoreSupplier;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/** The same work on Kafka Streams, EOS v2: a record's count field becomes 1, or how many its key has had. */
public final class Worker {

    private static final String COUNTS = "counts";

    private Worker() {
    }

    /** Numbers the records of each key; the store's cache writes a key's changelog once a commit. */
    private static final class Count implements FixedKeyProcessor<byte[], byte[], byte[]> {
        private FixedKeyProcessorContext<byte[], byte[]> context;
        private KeyValueStore<byte[], Long> counts;

        @Override
        public void init(FixedKeyProcessorContext<byte[], byte[]> context) {
            this.context = context;
            this.counts = context.getStateStore(COUNTS);
        }

        @Override
        public void process(FixedKeyRecord<byte[], byte[]> record) {
            Long before = counts.get(record.key());
            long n = before == null ? 1 : before + 1;
            counts.put(record.key(), n);
            context.forward(record.withValue(numbered(record.value(), n)));
        }
    }

    private static byte[] numbered(byte[] value, long n) {
        byte[] out = value.clone();
        ByteBuffer.wrap(out).putLong(8, n);
        return out;
    }

    public static void main(String[] arguments) throws InterruptedException {
        Flags flags = Flags.parse(arguments);
        StreamsBuilder builder = new StreamsBuilder();
        KStream<byte[], byte[]> records =
            builder.stream(flags.get("input"), Consumed.with(Serdes.ByteArray(), Serdes.ByteArray()));
        KStream<byte[], byte[]> results;
        if (flags.get("mode").equals("count")) {
            KeyValueBytesStoreSupplier supplier = flags.get("store", "memory").equals("memory")
                ? Stores.inMemoryKeyValueStore(COUNTS) : Stores.persistentKeyValueStore(COUNTS);
            builder.addStateStore(
                Stores.keyValueStoreBuilder(supplier, Serdes.ByteArray(), Serdes.Long()).withCachingEnabled());
            results = records.processValues(Count::new, COUNTS);
        } else {
            results = records.mapValues(value -> numbered(value, 1));
        }
        results.to(flags.get("output"), Produced.with(Serdes.ByteArray(), Serdes.ByteArray()));

        KafkaStreams streams = new KafkaStreams(builder.build(), flags.settings());
        CountDownLatch stopped = new CountDownLatch(1);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            streams.close();
            stopped.countDown();
        }));
        streams.setUncaughtExceptionHandler(failure -> {
            failure.printStackTrace();
            Runtime.getRuntime().halt(1);
            return null;
        });
        streams.start();
        stopped.await();
    }
}
