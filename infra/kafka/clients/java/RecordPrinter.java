package catseye.clients;

import java.io.IOException;
import java.io.PrintStream;
import java.io.UncheckedIOException;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.MessageFormatter;

/** Lets Kafka's console consumer print records of one schema, in either wire format: one line of JSON each. */
public final class RecordPrinter implements MessageFormatter {
    private Envelope envelope;

    @Override
    public void configure(Map<String, ?> settings) {
        envelope = new Envelope(settings);
    }

    @Override
    public void writeTo(ConsumerRecord<byte[], byte[]> message, PrintStream output) {
        try {
            output.println(envelope.opened(message.value()));
        } catch (IOException fault) {
            throw new UncheckedIOException(fault);
        }
    }
}
