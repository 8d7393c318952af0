package catseye.clients;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Iterator;
import java.util.Map;
import org.apache.avro.generic.GenericRecordBuilder;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.tools.api.RecordReader;

/**
 * Gives Kafka's console producer frames: a line of its input is "format camera boot sequence captured_at_ms jpeg-file",
 * where format is single-object or confluent. The producer's own partitioner chooses the partition.
 */
public final class FrameReader implements RecordReader {
    private Envelope envelope;
    private String topic;

    @Override
    public void configure(Map<String, ?> settings) {
        envelope = new Envelope(settings);
        topic = (String) settings.get("topic");
    }

    @Override
    public Iterator<ProducerRecord<byte[], byte[]>> readRecords(InputStream input) {
        var lines = new BufferedReader(new InputStreamReader(input, StandardCharsets.UTF_8));
        return lines.lines().map(line -> frame(line.split(" "))).iterator();
    }

    private ProducerRecord<byte[], byte[]> frame(String[] said) {
        try {
            var draft = new GenericRecordBuilder(envelope.schema); // fields that are not set have their defaults
            draft.set("camera", said[1]);
            draft.set("boot", said[2]);
            draft.set("sequence", Long.parseLong(said[3]));
            draft.set("captured_at_ms", Long.parseLong(said[4]));
            draft.set("jpeg", ByteBuffer.wrap(Files.readAllBytes(Path.of(said[5]))));
            draft.set("telemetry", Map.of("temperature", 21.5));
            draft.set("explain", false);
            var frame = draft.build();
            byte[] value =
                    said[0].equals("confluent") ? envelope.confluent(frame, topic + "-value") : envelope.singleObject(frame);
            return new ProducerRecord<>(topic, said[1].getBytes(StandardCharsets.UTF_8), value);
        } catch (IOException fault) {
            throw new UncheckedIOException(fault);
        }
    }
}
