// Tells the platform that a user asks for a copy of their data; prints the request.
// java -cp 'kafka-clients.jar:slf4j-api.jar' SendUserEvent.java '{"subject": {"email": "ada@example.org"}}'
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.UUID;
import java.util.regex.Pattern;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringSerializer;

public class SendUserEvent {
    public static void main(String[] arguments) throws Exception {
        var post = HttpRequest.newBuilder(URI.create(System.getenv("API") + "/v1/subjects"))
            .header("Authorization", "Bearer " + System.getenv("API_KEY")).header("Content-Type", "application/json")
            .POST(HttpRequest.BodyPublishers.ofString(arguments[0])).build();
        var answer = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build().send(post, BodyHandlers.ofString()).body();
        var token = Pattern.compile("\"subject\":\"([0-9a-f-]{36})\"").matcher(answer);
        if (!token.find()) throw new IllegalStateException(answer);
        var event = new ProducerRecord<String, String>("user.events.selfcare", "{\"subject\": \"" + token.group(1) + "\"}");
        Map.of("ce_specversion", "1.0", "ce_id", UUID.randomUUID().toString(), "ce_source", "/selfcare",
                "ce_type", "user.requested.access", "content-type", "application/json")
            .forEach((name, value) -> event.headers().add(name, value.getBytes(StandardCharsets.UTF_8)));
        var settings = Map.<String, Object>of("bootstrap.servers", System.getenv("KAFKA"), "acks", "all");
        try (var kafka = new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer())) {
            kafka.send(event).get();
        }
        System.out.println(token.group(1));
    }
}
