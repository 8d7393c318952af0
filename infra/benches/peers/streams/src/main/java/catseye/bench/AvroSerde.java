package catseye.bench;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;

import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.message.BinaryMessageDecoder;
import org.apache.avro.message.BinaryMessageEncoder;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;

/** Avro single-object encoding of generic records: what a reader needs of a writer's record, and nothing more. */
final class AvroSerde {

    private AvroSerde() {
    }

    /** Reads {@code NAME.avsc}. */
    static Schema schema(String directory, String name) {
        try {
            return new Schema.Parser().parse(Path.of(directory, name + ".avsc").toFile());
        } catch (IOException failure) {
            throw new UncheckedIOException(failure);
        }
    }

    /** The same record with only some of its fields: Avro skips the others while it reads. */
    static Schema only(Schema schema, String... names) {
        List<Schema.Field> fields = Arrays.stream(names)
            .map(schema::getField).map(field -> new Schema.Field(field, field.schema())).toList();
        return Schema.createRecord(schema.getName(), schema.getDoc(), schema.getNamespace(), false, fields);
    }

    /** Writes {@code read} and reads both {@code written} and {@code read} as {@code read}. */
    static Serde<GenericRecord> of(Schema written, Schema read) {
        GenericData model = new GenericData();
        BinaryMessageEncoder<GenericRecord> encoder = new BinaryMessageEncoder<>(model, read);
        BinaryMessageDecoder<GenericRecord> decoder = new BinaryMessageDecoder<>(model, read);
        decoder.addSchema(written);
        return Serdes.serdeFrom((topic, record) -> record == null ? null : encode(encoder, record),
            (topic, bytes) -> bytes == null ? null : decode(decoder, bytes));
    }

    private static byte[] encode(BinaryMessageEncoder<GenericRecord> encoder, GenericRecord record) {
        try {
            ByteBuffer buffer = encoder.encode(record);
            byte[] bytes = new byte[buffer.remaining()];
            buffer.get(bytes);
            return bytes;
        } catch (IOException failure) {
            throw new UncheckedIOException(failure);
        }
    }

    private static GenericRecord decode(BinaryMessageDecoder<GenericRecord> decoder, byte[] bytes) {
        try {
            return decoder.decode(bytes);
        } catch (IOException failure) {
            throw new UncheckedIOException(failure);
        }
    }
}
