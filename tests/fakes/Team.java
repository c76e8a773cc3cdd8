// A team that works its own store, in Java: it gives copies of what it holds (an access on the bus, Art. 15).
//
// java -cp 'libs/*' Team.java BOOTSTRAP INTAKE STORE: hears tasks on dsr.tasks.shop, fetches whom they are about at
// intake, uploads what its store has of them (lines of an address, a tab and what was bought), and replies. The team's
// API key is in DSR_API_KEY; kafka-clients and jackson-databind are on the class path.

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

class Team {
    static final String TOPIC = "dsr.tasks.shop";
    static final ObjectMapper JSON = new ObjectMapper();
    static final HttpClient HTTP = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
    static String intake;
    static Path store;

    public static void main(String[] arguments) throws Exception {
        intake = arguments[1];
        store = Path.of(arguments[2]);
        Map<String, Object> reading = Map.of("bootstrap.servers", arguments[0], "group.id", "team-shop",
            "enable.auto.commit", false, "auto.offset.reset", "earliest");
        Map<String, Object> writing = Map.of("bootstrap.servers", arguments[0], "acks", "all");
        try (var tasks = new KafkaConsumer<>(reading, new StringDeserializer(), new StringDeserializer());
             var replies = new KafkaProducer<>(writing, new StringSerializer(), new StringSerializer())) {
            tasks.subscribe(List.of(TOPIC));
            while (true) {
                for (ConsumerRecord<String, String> each : tasks.poll(Duration.ofSeconds(1))) {
                    String reply = answer(JSON.readTree(each.value()));
                    if (reply != null) {
                        replies.send(new ProducerRecord<>(TOPIC + ".replies", each.key(), reply)).get();
                    }
                }
                tasks.commitSync();
            }
        }
    }

    /** The reply to a task; null where its claim is too old: it comes again with a fresh one. A copy changes nothing. */
    static String answer(JsonNode task) throws Exception {
        String claim = task.get("claim").asText();
        HttpResponse<String> told = call(HttpRequest.newBuilder(URI.create(intake + "/v1/tasks/identities")), claim);
        if (told.statusCode() == 401) {
            return null;
        }
        ObjectNode copy = JSON.createObjectNode().put("command_id", task.get("command_id").asText());
        ArrayNode records = copy.putArray("records");
        for (JsonNode identity : JSON.readTree(told.body()).get("identities")) {
            String email = identity.get("value").asText();
            for (String line : Files.readAllLines(store)) {
                String[] row = line.split("\t");
                if (row[0].equals(email)) {
                    ObjectNode record = records.addObject().put("category", "account").put("source", "orders");
                    record.putObject("data").put("email", email).put("bought", row[1]);
                    record.putArray("matched").addObject().put("type", "email").put("value", email);
                }
            }
        }
        ObjectNode reply = JSON.createObjectNode().put("type", "dsr.task.replied.v1");
        for (String same : List.of("command_id", "task_id", "operation")) {
            reply.set(same, task.get(same));
        }
        if (records.isEmpty()) {
            return reply.put("outcome", "no_match").toString();
        }
        var upload = HttpRequest.newBuilder(URI.create(intake + "/v1/tasks/result"))
            .header("Content-Type", "application/json").PUT(BodyPublishers.ofString(copy.toString()));
        if (call(upload, claim).statusCode() != 200) {
            throw new IllegalStateException("the copy was not taken");
        }
        return reply.put("outcome", "exported").put("found", records.size()).toString();
    }

    static HttpResponse<String> call(HttpRequest.Builder request, String claim) throws Exception {
        request.header("Authorization", "Bearer " + System.getenv("DSR_API_KEY")).header("DSR-Claim", claim);
        return HTTP.send(request.build(), BodyHandlers.ofString());
    }
}
