package io.github.tokenpin.spring;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import io.github.tokenpin.SlotStatus;
import io.github.tokenpin.State;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.context.ConfigurableApplicationContext;

/**
 * The filter in the real gateway, between a real client and a provider whose accounts know only
 * what they made.
 */
class GatewayTest {
  @SpringBootApplication
  static class Gateway {}

  private static final HttpClient CLIENT =
      HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
  private static final List<String> ACCOUNTS = List.of("a", "b", "c");
  private static HttpServer provider;

  /** Which account made an id. */
  private static final Map<String, String> MADE = new ConcurrentHashMap<>();

  private static final AtomicInteger NEXT = new AtomicInteger();
  private static volatile CountDownLatch halfway = new CountDownLatch(1);
  private static volatile String lastHeaders = "";

  private static ConfigurableApplicationContext cookies;
  private static ConfigurableApplicationContext sealing;
  private static ConfigurableApplicationContext tenants;

  @BeforeAll
  static void start() throws IOException {
    provider = HttpServer.create(new InetSocketAddress("127.0.0.1", 0), 0);
    provider.setExecutor(Executors.newCachedThreadPool());
    provider.createContext("/", GatewayTest::serve);
    provider.start();
    cookies = gateway(Map.of("tokenpin.carrier_header", "x-pin"));
    sealing = gateway(Map.of("tokenpin.sealed_ids", "seal", "tokenpin.max_body", "100000"));
    tenants =
        gateway(
            Map.of(
                "tokenpin.tenant.header", "x-tenant",
                "tokenpin.existing.header", "x-existing",
                "tokenpin.group", "stateful"));
  }

  @AfterAll
  static void stop() {
    cookies.close();
    sealing.close();
    tenants.close();
    provider.stop(0);
  }

  static Map<String, Object> properties(Map<String, String> more) {
    Map<String, Object> all = new LinkedHashMap<>();
    all.put("server.port", "0");
    all.put("server.address", "127.0.0.1");
    all.put("logging.level.root", "WARN");
    all.put("spring.main.banner-mode", "off");
    String route = "spring.cloud.gateway.server.webflux.routes[0].";
    all.put(route + "id", "provider");
    all.put(
        route + "uri",
        "http://127.0.0.1:" + (provider == null ? 1 : provider.getAddress().getPort()));
    all.put(route + "predicates[0]", "Path=/v1/**");
    all.put(route + "filters[0]", "Tokenpin");
    all.put("tokenpin.placement_key", "000102030405060708090a0b0c0d0e0f");
    all.put("tokenpin.cookie_keys[0].id", "1");
    all.put("tokenpin.cookie_keys[0].role", "sign");
    all.put("tokenpin.cookie_keys[0].key", "01010101010101010101010101010101");
    all.put("tokenpin.consumer.header", "x-consumer");
    all.put("tokenpin.consumer.trusted", "true");
    all.put("tokenpin.session[0].header", "x-session-id");
    all.put("tokenpin.cookie.name", "pin");
    all.put("tokenpin.cookie.secure", "false");
    for (int i = 0; i < ACCOUNTS.size(); i++) {
      String token = "tokenpin.tokens[" + i + "].";
      all.put(token + "name", "account-" + ACCOUNTS.get(i));
      all.put(token + "headers[0].name", "authorization");
      all.put(token + "headers[0].prefix", "Bearer ");
      all.put(token + "headers[0].value", "sk-" + ACCOUNTS.get(i));
    }
    all.putAll(more);
    return all;
  }

  static ConfigurableApplicationContext gateway(Map<String, String> more) {
    SpringApplication application = new SpringApplication(Gateway.class);
    application.setDefaultProperties(properties(more));
    return application.run();
  }

  // ---- The provider: no kinder than a real one

  private static void serve(HttpExchange exchange) throws IOException {
    try (exchange) {
      StringBuilder seen = new StringBuilder();
      exchange
          .getRequestHeaders()
          .forEach(
              (name, values) ->
                  seen.append(name.toLowerCase()).append(": ").append(values).append('\n'));
      lastHeaders = seen.toString();
      String authorization = String.valueOf(exchange.getRequestHeaders().getFirst("Authorization"));
      String body = new String(exchange.getRequestBody().readAllBytes(), StandardCharsets.UTF_8);
      if (!authorization.matches("Bearer sk-[abc]")) {
        answer(exchange, 401, "{\"error\":\"no account\"}");
        return;
      }
      String account = authorization.substring("Bearer sk-".length());
      String path = exchange.getRequestURI().getPath();
      exchange.getResponseHeaders().add("x-account", account);
      exchange.getResponseHeaders().add("Set-Cookie", "pin=of-the-upstream");
      exchange.getResponseHeaders().add("Set-Cookie", "other=kept");
      if (path.endsWith("/limited")) {
        exchange.getResponseHeaders().add("Retry-After", "60");
        answer(exchange, 429, "{\"error\":\"slow down\"}");
      } else if (exchange.getRequestMethod().equals("GET")) {
        String id = path.substring(path.lastIndexOf('/') + 1);
        answer(
            exchange,
            account.equals(MADE.get(id)) ? 200 : 404,
            "{\"id\":\"" + id + "\",\"object\":\"response\"}");
      } else {
        create(exchange, account, body);
      }
    } catch (InterruptedException e) {
      throw new IOException(e);
    }
  }

  private static void create(HttpExchange exchange, String account, String body)
      throws IOException, InterruptedException {
    JsonObject asked = JsonParser.parseString(body).getAsJsonObject();
    if (asked.has("previous_response_id")
        && !account.equals(MADE.get(asked.get("previous_response_id").getAsString()))) {
      answer(exchange, 404, "{\"error\":\"no such response\"}");
      return;
    }
    String id = "resp_" + NEXT.incrementAndGet();
    MADE.put(id, account);
    if (!asked.has("stream")) {
      exchange.getResponseHeaders().add("ETag", "\"strong\"");
      exchange.getResponseHeaders().add("Location", "/v1/responses/" + id);
      answer(
          exchange,
          200,
          "{\"id\":\"" + id + "\",\"object\":\"response\",\"asked\":" + body.length() + "}");
      return;
    }
    exchange.getResponseHeaders().add("Content-Type", "text/event-stream");
    exchange.sendResponseHeaders(200, 0);
    OutputStream out = exchange.getResponseBody();
    out.write(
        ("event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":\""
                + id
                + "\"}}\n\n")
            .getBytes(StandardCharsets.UTF_8));
    out.flush();
    halfway.await(20, TimeUnit.SECONDS);
    // An id in two pieces.
    out.write(
        ("event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"id\":\""
                + id.substring(0, 3))
            .getBytes(StandardCharsets.UTF_8));
    out.flush();
    out.write((id.substring(3) + "\"}}\n\n").getBytes(StandardCharsets.UTF_8));
  }

  private static void answer(HttpExchange exchange, int status, String body) throws IOException {
    byte[] bytes = body.getBytes(StandardCharsets.UTF_8);
    exchange.getResponseHeaders().add("Content-Type", "application/json");
    exchange.sendResponseHeaders(status, bytes.length);
    exchange.getResponseBody().write(bytes);
  }

  // ---- The client

  private static HttpRequest.Builder to(ConfigurableApplicationContext gateway, String target) {
    String port = gateway.getEnvironment().getProperty("local.server.port");
    return HttpRequest.newBuilder(URI.create("http://127.0.0.1:" + port + target));
  }

  private static HttpResponse<String> send(HttpRequest.Builder request)
      throws IOException, InterruptedException {
    return CLIENT.send(request.build(), HttpResponse.BodyHandlers.ofString());
  }

  private static HttpResponse<String> post(
      ConfigurableApplicationContext gateway, String body, String... headers)
      throws IOException, InterruptedException {
    HttpRequest.Builder request =
        to(gateway, "/v1/responses")
            .header("Content-Type", "application/json")
            .POST(HttpRequest.BodyPublishers.ofString(body));
    return send(headers.length == 0 ? request : request.headers(headers));
  }

  private static String account(HttpResponse<?> response) {
    return response.headers().firstValue("x-account").orElseThrow();
  }

  private static String cookie(HttpResponse<?> response) {
    List<String> ours =
        response.headers().allValues("set-cookie").stream()
            .filter(field -> field.startsWith("pin="))
            .toList();
    assertEquals(1, ours.size(), ours.toString());
    assertTrue(ours.get(0).contains("HttpOnly"), ours.get(0));
    return ours.get(0).split(";")[0];
  }

  private static String id(HttpResponse<String> response) {
    return JsonParser.parseString(response.body()).getAsJsonObject().get("id").getAsString();
  }

  private static JsonObject error(HttpResponse<String> response) {
    return JsonParser.parseString(response.body()).getAsJsonObject().getAsJsonObject("error");
  }

  // ---- Cookies

  @Test
  void aSessionWithACookieStaysWithItsAccount() throws Exception {
    for (int session = 0; session < 8; session++) {
      HttpResponse<String> first = post(cookies, "{}");
      assertEquals(200, first.statusCode());
      assertTrue(first.headers().allValues("set-cookie").contains("other=kept"));
      assertEquals(
          "no-cache=\"Set-Cookie\"", first.headers().firstValue("cache-control").orElseThrow());
      String cookie = cookie(first);
      assertNotEquals("pin=of-the-upstream", cookie);
      for (int turn = 0; turn < 3; turn++) {
        HttpResponse<String> next =
            send(
                to(cookies, "/v1/responses/" + id(first))
                    .header("Cookie", "a=1; " + cookie + "; b=2"));
        assertEquals(200, next.statusCode(), "another account would not know it");
        assertTrue(lastHeaders.contains("cookie: [a=1; b=2]"), lastHeaders);
        assertFalse(
            next.headers().allValues("set-cookie").stream()
                .anyMatch(field -> field.startsWith("pin=")));
      }
    }
  }

  @Test
  void theClientsOwnCredentialsAndTheCarrierDoNotGoUpstream() throws Exception {
    HttpResponse<String> first =
        post(cookies, "{}", "Authorization", "Bearer sk-mine", "api-key", "mine", "x-pin", "");
    assertEquals(200, first.statusCode());
    assertFalse(lastHeaders.contains("mine"), lastHeaders);
    assertFalse(lastHeaders.contains("x-pin"), lastHeaders);
    String carried = first.headers().firstValue("x-pin").orElseThrow();
    HttpResponse<String> next =
        send(to(cookies, "/v1/responses/" + id(first)).header("x-pin", carried));
    assertEquals(200, next.statusCode());
  }

  @Test
  void aConsumerIsOneSessionAndTwoConsumersAreNone() throws Exception {
    String account = account(post(cookies, "{}", "x-consumer", "alice"));
    for (int i = 0; i < 5; i++) {
      assertEquals(account, account(post(cookies, "{}", "x-consumer", "alice")));
      assertEquals(account, account(post(cookies, "{}", "x-consumer", "alice, alice")));
    }
    HttpResponse<String> two = post(cookies, "{}", "x-consumer", "alice", "x-consumer", "bob");
    // An unknown client gets its own session, and so a cookie.
    cookie(two);
  }

  @Test
  void anAccountThatIsDownIsRefusedToItsSessionsAndOthersServeNewOnes() throws Exception {
    HttpResponse<String> first = post(cookies, "{}");
    String cookie = cookie(first);
    int slot = ACCOUNTS.indexOf(account(first));
    Accounts accounts = cookies.getBean(Accounts.class);
    accounts.setSlot(
        slot, new SlotStatus(State.DOWN, 65536, System.currentTimeMillis() / 1000 + 30));
    try {
      HttpResponse<String> next =
          send(to(cookies, "/v1/responses/" + id(first)).header("Cookie", cookie));
      assertEquals(503, next.statusCode());
      assertEquals("session_unavailable", error(next).get("code").getAsString());
      assertTrue(Integer.parseInt(next.headers().firstValue("retry-after").orElseThrow()) <= 30);
      assertTrue(next.headers().allValues("set-cookie").isEmpty());
      for (int i = 0; i < 10; i++) {
        assertNotEquals(ACCOUNTS.get(slot), account(post(cookies, "{}")));
      }
    } finally {
      accounts.setSlot(slot, SlotStatus.UP);
    }
    assertEquals(
        200, send(to(cookies, "/v1/responses/" + id(first)).header("Cookie", cookie)).statusCode());
  }

  @Test
  void aLimitedAccountDrains() throws Exception {
    HttpResponse<String> limited = send(to(cookies, "/v1/responses/limited"));
    assertEquals(429, limited.statusCode());
    int slot = ACCOUNTS.indexOf(account(limited));
    Accounts accounts = cookies.getBean(Accounts.class);
    SlotStatus status = accounts.affinity().getSlot(slot);
    assertEquals(State.DRAINING, status.state());
    long left = status.until() - System.currentTimeMillis() / 1000;
    assertTrue(left > 50 && left <= 61, () -> left + " s");
    for (int i = 0; i < 10; i++) {
      assertNotEquals(ACCOUNTS.get(slot), account(post(cookies, "{}")));
    }
    accounts.setSlot(slot, SlotStatus.UP);
  }

  // ---- Sealed ids

  @Test
  void aClientWithoutCookiesIsFollowedByItsIds() throws Exception {
    for (int session = 0; session < 8; session++) {
      HttpResponse<String> first = post(sealing, "{\"input\":\"x\"}");
      String sealed = id(first);
      assertTrue(sealed.matches("resp_.*tp[0-9]"), sealed);
      assertEquals("/v1/responses/" + sealed, first.headers().firstValue("location").orElseThrow());
      assertTrue(first.headers().firstValue("etag").isEmpty());
      HttpResponse<String> read = send(to(sealing, "/v1/responses/" + sealed));
      assertEquals(200, read.statusCode());
      assertEquals(sealed, id(read));
      HttpResponse<String> next = post(sealing, "{\"previous_response_id\":\"" + sealed + "\"}");
      assertEquals(200, next.statusCode(), next.body());
      assertEquals(account(first), account(next));
    }
  }

  @Test
  void aStreamIsSealedWhileItRuns() throws Exception {
    halfway = new CountDownLatch(1);
    HttpRequest request =
        to(sealing, "/v1/responses")
            .header("Content-Type", "application/json")
            .POST(HttpRequest.BodyPublishers.ofString("{\"stream\":true}"))
            .build();
    HttpResponse<InputStream> response =
        CLIENT.send(request, HttpResponse.BodyHandlers.ofInputStream());
    assertEquals(200, response.statusCode());
    cookie(response);
    List<String> ids = new ArrayList<>();
    try (BufferedReader lines =
        new BufferedReader(new InputStreamReader(response.body(), StandardCharsets.UTF_8))) {
      for (String line; (line = lines.readLine()) != null; ) {
        if (line.startsWith("data: ")) {
          ids.add(
              JsonParser.parseString(line.substring(6))
                  .getAsJsonObject()
                  .getAsJsonObject("response")
                  .get("id")
                  .getAsString());
          // The provider continues only when the first event has come through.
          halfway.countDown();
        }
      }
    }
    assertEquals(2, ids.size());
    assertEquals(ids.get(0), ids.get(1));
    HttpResponse<String> next = post(sealing, "{\"previous_response_id\":\"" + ids.get(0) + "\"}");
    assertEquals(200, next.statusCode(), next.body());
  }

  @Test
  void whatNobodySealedHereIsRefused() throws Exception {
    String sealed = id(post(sealing, "{}"));
    int at = sealed.length() - 8;
    String forged =
        sealed.substring(0, at) + (sealed.charAt(at) == 'A' ? 'B' : 'A') + sealed.substring(at + 1);
    HttpResponse<String> next = post(sealing, "{\"previous_response_id\":\"" + forged + "\"}");
    assertEquals(400, next.statusCode());
    JsonObject error = error(next);
    assertEquals("previous_response_not_found", error.get("code").getAsString());
    assertEquals("previous_response_id", error.get("param").getAsString());
    assertEquals(
        "The previous response '" + forged + "' was not found.",
        error.get("message").getAsString());
    HttpResponse<String> read =
        send(to(sealing, "/v1/responses/" + forged).header("anthropic-version", "1"));
    assertEquals(404, read.statusCode());
    assertEquals("not_found_error", error(read).get("type").getAsString());
  }

  @Test
  void bodiesThatCannotBeHeldOrReadAreRefused() throws Exception {
    HttpResponse<String> large = post(sealing, "{\"input\":\"" + "x".repeat(100_000) + "\"}");
    assertEquals(413, large.statusCode());
    assertEquals("request_too_large", error(large).get("code").getAsString());
    HttpRequest.Builder encoded =
        to(sealing, "/v1/responses")
            .header("Content-Type", "application/json")
            .header("Content-Encoding", "gzip")
            .POST(HttpRequest.BodyPublishers.ofString("{}"));
    HttpResponse<String> refused = send(encoded);
    assertEquals(415, refused.statusCode());
    assertEquals("identity", refused.headers().firstValue("accept-encoding").orElseThrow());
  }

  // ---- Configuration

  @Test
  void aTenantHasItsOwnSessionsAndAHeaderNamesExistingState() throws Exception {
    HttpResponse<String> first = send(ofTenant("t1", ""));
    String cookie = cookie(first);
    assertFalse(setsPin(send(ofTenant("t1", cookie))));
    assertTrue(setsPin(send(ofTenant("t2", cookie))), "another tenant's is of no use");
    Accounts accounts = tenants.getBean(Accounts.class);
    accounts.setSlot(ACCOUNTS.indexOf(account(first)), SlotStatus.of(State.DOWN));
    HttpResponse<String> existing = send(ofTenant("t1", cookie).header("x-existing", "true"));
    assertEquals("session_unavailable", error(existing).get("code").getAsString());
    assertEquals(200, send(ofTenant("t1", cookie)).statusCode());
    for (HttpRequest.Builder bad :
        List.of(ofTenant("t1", "").header("x-tenant", "t2"), ofTenant("t".repeat(1100), ""))) {
      HttpResponse<String> refused = send(bad);
      assertEquals(400, refused.statusCode());
      assertEquals("bad_tenant", error(refused).get("code").getAsString());
    }
  }

  private static HttpRequest.Builder ofTenant(String tenant, String cookie) {
    return to(tenants, "/v1/chat/completions")
        .header("x-tenant", tenant)
        .header("Cookie", cookie)
        .POST(HttpRequest.BodyPublishers.ofString("{}"));
  }

  private static boolean setsPin(HttpResponse<?> response) {
    return response.headers().allValues("set-cookie").stream()
        .anyMatch(field -> field.startsWith("pin=") && !field.startsWith("pin=of-the-upstream"));
  }

  @Test
  void aMisspeltPropertyStopsTheStart() {
    Throwable thrown =
        assertThrows(Exception.class, () -> gateway(Map.of("tokenpin.sealed_id", "seal")));
    while (thrown.getCause() != null) {
      thrown = thrown.getCause();
    }
    assertTrue(thrown.getMessage().contains("[tokenpin.sealedid]"), thrown.getMessage());
  }

  @Test
  void aBadConfigurationSaysWhere() {
    Map<String, Map<String, String>> bad =
        Map.of(
            "tokenpin.tokens[1]: weight: the weight is over 65536",
            Map.of("tokenpin.tokens[1].weight", "65537"),
            "tokenpin.tokens[2]: duplicate_identity: two slots have the same identity",
            Map.of("tokenpin.tokens[2].name", "account-a"),
            "tokenpin.cookie_keys[0].key: has 32 hexadecimal digits",
            Map.of("tokenpin.cookie_keys[0].key", "0101"),
            "tokenpin.cookie.secure: name_prefix: ",
            Map.of("tokenpin.cookie.name", "__Secure-x"),
            "tokenpin.tokens[0].headers[0].value: is empty",
            Map.of("tokenpin.tokens[0].headers[0].value", "x\ny"),
            "tokenpin.cooldowns[0].status: is not one or more",
            Map.of(
                "tokenpin.cooldowns[0].status", "200",
                "tokenpin.cooldowns[0].state", "down",
                "tokenpin.cooldowns[0].seconds", "1"));
    bad.forEach(
        (says, change) -> {
          Throwable thrown = assertThrows(Exception.class, () -> gateway(change));
          while (thrown.getCause() != null) {
            thrown = thrown.getCause();
          }
          String message = thrown.getMessage();
          assertTrue(message.startsWith(says), message);
          assertFalse(message.contains("0101"), message);
        });
  }

  @Test
  void secretsAreInNoText() {
    TokenpinProperties properties = cookies.getBean(TokenpinProperties.class);
    String text = properties + " " + properties.tokens() + " " + properties.cookieKeys();
    assertFalse(text.contains("sk-a") || text.contains("0101"), text);
  }
}
