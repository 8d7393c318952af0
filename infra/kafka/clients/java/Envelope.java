package catseye.clients;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.io.EncoderFactory;
import org.apache.avro.message.BinaryMessageDecoder;
import org.apache.avro.message.BinaryMessageEncoder;

/** Both wire formats as Apache Avro and a schema registry have them; nothing here knows Catseye's own library. */
final class Envelope {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final HttpClient HTTP = HttpClient.newHttpClient();

    final Schema schema;
    private final String registry;

    /** Settings: schema, the path of an .avsc file; registry, its address, which Confluent's format alone needs. */
    Envelope(Map<String, ?> settings) {
        try {
            schema = new Schema.Parser().parse(Files.readString(Path.of((String) settings.get("schema"))));
        } catch (IOException fault) {
            throw new IllegalArgumentException(fault);
        }
        registry = (String) settings.get("registry");
    }

    byte[] singleObject(GenericRecord record) throws IOException {
        ByteBuffer encoded = new BinaryMessageEncoder<GenericRecord>(GenericData.get(), schema).encode(record);
        byte[] value = new byte[encoded.remaining()];
        encoded.get(value);
        return value;
    }

    byte[] confluent(GenericRecord record, String subject) throws IOException {
        String question = JSON.createObjectNode().put("schema", schema.toString()).toString();
        JsonNode answer = ask(HttpRequest.newBuilder(URI.create(registry + "/subjects/" + subject + "/versions"))
                .header("Content-Type", "application/vnd.schemaregistry.v1+json")
                .POST(HttpRequest.BodyPublishers.ofString(question)));
        ByteArrayOutputStream value = new ByteArrayOutputStream();
        value.write(ByteBuffer.allocate(5).put((byte) 0).putInt(answer.get("id").asInt()).array());
        var encoder = EncoderFactory.get().binaryEncoder(value, null);
        new GenericDatumWriter<GenericRecord>(schema).write(record, encoder);
        encoder.flush();
        return value.toByteArray();
    }

    GenericRecord opened(byte[] value) throws IOException {
        if (value[0] != 0) {
            return new BinaryMessageDecoder<GenericRecord>(GenericData.get(), schema).decode(value);
        }
        int id = ByteBuffer.wrap(value).getInt(1);
        JsonNode answer = ask(HttpRequest.newBuilder(URI.create(registry + "/schemas/ids/" + id)));
        Schema writer = new Schema.Parser().parse(answer.get("schema").asText());
        var decoder = DecoderFactory.get().binaryDecoder(value, 5, value.length - 5, null);
        return new GenericDatumReader<GenericRecord>(writer, schema).read(null, decoder);
    }

    private static JsonNode ask(HttpRequest.Builder question) throws IOException {
        try {
            var answer = HTTP.send(question.build(), BodyHandlers.ofString());
            if (answer.statusCode() != 200) {
                throw new IOException(answer.statusCode() + " " + answer.body());
            }
            return JSON.readTree(answer.body());
        } catch (InterruptedException fault) {
            throw new IOException(fault);
        }
    }
}
