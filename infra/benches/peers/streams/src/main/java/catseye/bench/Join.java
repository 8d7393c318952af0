package catseye.bench;

import java.time.Duration;
import java.util.Map;
import java.util.concurrent.CountDownLatch;

import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.util.Utf8;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.JoinWindows;
import org.apache.kafka.streams.kstream.Joined;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.KTable;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.StreamJoined;
import org.apache.kafka.streams.state.KeyValueStore;

/**
 * Labels joined to predictions on Kafka Streams, EOS v2, RocksDB.
 *
 * <p>Both topics are keyed by frame already, which spares it a repartition topic. {@code --join stream} is the left
 * join of two streams within a week, which also finds a label that comes before its prediction; {@code --join table}
 * keeps predictions in a table, which finds only labels that come later and never forgets.
 */
public final class Join {

    private static final Duration HORIZON = Duration.ofDays(7);

    private Join() {
    }

    public static void main(String[] arguments) throws InterruptedException {
        Flags flags = Flags.parse(arguments);
        Schema prediction = AvroSerde.schema(flags.get("schemas"), "prediction");
        Schema kept = AvroSerde.only(prediction, "camera", "boot", "sequence", "captured_at_ms", "received_at_ms",
            "predicted_at_ms", "prediction_id", "model", "version", "role", "frame_partition", "frame_offset", "label",
            "probabilities", "brightness", "kind", "track", "box", "first_seen_ms", "last_seen_ms");
        Schema label = AvroSerde.schema(flags.get("schemas"), "accepted_label");
        Outcomes outcomes = new Outcomes(AvroSerde.schema(flags.get("schemas"), "outcome"));
        Serde<GenericRecord> predictionSerde = AvroSerde.of(prediction, kept);
        Serde<GenericRecord> labelSerde = AvroSerde.of(label, label);

        StreamsBuilder builder = new StreamsBuilder();
        KStream<byte[], GenericRecord> labels =
            builder.stream(flags.get("labels"), Consumed.with(Serdes.ByteArray(), labelSerde));
        KStream<byte[], GenericRecord> joined;
        if (flags.get("join", "stream").equals("stream")) {
            KStream<byte[], GenericRecord> predictions =
                builder.stream(flags.get("input"), Consumed.with(Serdes.ByteArray(), predictionSerde));
            joined = labels.leftJoin(predictions, outcomes::of,
                JoinWindows.ofTimeDifferenceAndGrace(HORIZON, Duration.ofHours(1)),
                StreamJoined.with(Serdes.ByteArray(), labelSerde, predictionSerde));
        } else {
            KTable<byte[], GenericRecord> predictions = builder.table(flags.get("input"),
                Consumed.with(Serdes.ByteArray(), predictionSerde),
                Materialized.<byte[], GenericRecord, KeyValueStore<Bytes, byte[]>>as("predictions")
                    .withKeySerde(Serdes.ByteArray()).withValueSerde(predictionSerde));
            joined = labels.leftJoin(predictions, outcomes::of,
                Joined.with(Serdes.ByteArray(), labelSerde, predictionSerde));
        }
        // A label whose prediction did not come within the week has no outcome; here none is left without.
        joined.filter((key, outcome) -> outcome != null)
            .to(flags.get("output"), Produced.with(Serdes.ByteArray(), AvroSerde.of(outcomes.schema, outcomes.schema)));

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

    /** Makes outcomes. */
    private static final class Outcomes {
        private final Schema schema;
        private final GenericData.EnumSymbol matched;

        Outcomes(Schema schema) {
            this.schema = schema;
            this.matched = new GenericData.EnumSymbol(schema.getField("change").schema(), "matched");
        }

        GenericRecord of(GenericRecord label, GenericRecord prediction) {
            if (prediction == null) {
                return null;
            }
            GenericRecord outcome = new GenericData.Record(schema);
            for (String same : new String[] {"camera", "boot", "sequence", "captured_at_ms", "received_at_ms",
                "predicted_at_ms", "prediction_id", "model", "version", "role", "frame_partition", "frame_offset",
                "brightness", "kind", "track", "box", "first_seen_ms", "last_seen_ms"}) {
                outcome.put(same, prediction.get(same));
            }
            Object predicted = prediction.get("label");
            Object truth = label.get("label");
            @SuppressWarnings("unchecked")
            Map<Utf8, Float> probabilities = (Map<Utf8, Float>) prediction.get("probabilities");
            outcome.put("predicted", predicted);
            outcome.put("confidence", probabilities.get(predicted));
            outcome.put("change", matched);
            outcome.put("label", truth);
            outcome.put("correct", predicted.equals(truth));
            outcome.put("label_probability", probabilities.getOrDefault(truth, 0f));
            outcome.put("source", label.get("source"));
            outcome.put("propensity", label.get("propensity"));
            outcome.put("labelled_at_ms", label.get("labelled_at_ms"));
            outcome.put("label_received_at_ms", label.get("received_at_ms"));
            outcome.put("label_delay_ms", (Long) label.get("received_at_ms") - (Long) prediction.get("received_at_ms"));
            return outcome;
        }
    }
}
