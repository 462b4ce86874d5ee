package io.github.tokenpin.spring;

import io.github.tokenpin.Affinity;
import io.github.tokenpin.Answer;
import io.github.tokenpin.Decision;
import io.github.tokenpin.Finished;
import io.github.tokenpin.IdOpener;
import io.github.tokenpin.IdOptions;
import io.github.tokenpin.IdReport;
import io.github.tokenpin.IdSealer;
import io.github.tokenpin.Ids;
import io.github.tokenpin.Limits;
import io.github.tokenpin.Mode;
import io.github.tokenpin.Request;
import io.github.tokenpin.Tokenpin;
import io.github.tokenpin.TokenpinException;
import java.io.ByteArrayOutputStream;
import java.net.URI;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Objects;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import org.reactivestreams.Publisher;
import org.springframework.cloud.gateway.filter.GatewayFilter;
import org.springframework.cloud.gateway.filter.GatewayFilterChain;
import org.springframework.cloud.gateway.support.ServerWebExchangeUtils;
import org.springframework.core.io.buffer.DataBuffer;
import org.springframework.core.io.buffer.DataBufferFactory;
import org.springframework.core.io.buffer.DataBufferUtils;
import org.springframework.http.HttpHeaders;
import org.springframework.http.HttpMethod;
import org.springframework.http.HttpStatusCode;
import org.springframework.http.server.reactive.ServerHttpRequest;
import org.springframework.http.server.reactive.ServerHttpRequestDecorator;
import org.springframework.http.server.reactive.ServerHttpResponse;
import org.springframework.http.server.reactive.ServerHttpResponseDecorator;
import org.springframework.web.server.ServerWebExchange;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;

/** Pins the requests of one route. */
final class PinFilter implements GatewayFilter {
  /** The attribute of an exchange that holds its decision. */
  static final String DECISION = "tokenpin.decision";

  private final Accounts accounts;

  PinFilter(Accounts accounts) {
    this.accounts = accounts;
  }

  @Override
  public Mono<Void> filter(ServerWebExchange exchange, GatewayFilterChain chain) {
    Pinning pinning;
    Mono<Void> done;
    try {
      pinning = new Pinning(accounts, exchange);
      done =
          pinning.waits()
              ? pinning.read().then(Mono.defer(() -> pinning.send(chain)))
              : pinning.send(chain);
    } catch (Refused refused) {
      return refused.answer(exchange);
    }
    return done.onErrorResume(Refused.class, refused -> refused.answer(exchange))
        .doFinally(signal -> pinning.close());
  }

  /** One request and its response. */
  private static final class Pinning {
    private final Accounts accounts;
    private final Affinity affinity;
    private final ServerWebExchange exchange;
    private final ServerHttpRequest request;
    private final HttpHeaders headers;
    private final String method;
    private final String target;
    private final String path;
    private final byte[] scope;
    private final String cookieName;
    private final Ids ids;
    private final @Nullable IdOpener opener;
    private final ByteArrayOutputStream opened = new ByteArrayOutputStream(0);
    private @Nullable Refused refused;
    private long came;
    private long held;
    private byte @Nullable [] body;
    private @Nullable Decision decision;
    private int slot;
    private @Nullable IdSealer sealer;
    private boolean responded;

    Pinning(Accounts accounts, ServerWebExchange exchange) {
      this.accounts = accounts;
      this.affinity = accounts.affinity();
      this.exchange = exchange;
      this.request = exchange.getRequest();
      this.headers = request.getHeaders();
      this.method = isHandshake() ? "CONNECT" : request.getMethod().name();
      URI uri = request.getURI();
      this.path = Objects.requireNonNullElse(uri.getRawPath(), "/");
      this.target = uri.getRawQuery() == null ? path : path + "?" + uri.getRawQuery();
      try {
        this.scope = scope();
        this.cookieName = affinity.cookieName(scope);
        this.ids = affinity.classify(method, path).ids();
        this.opener = opener();
      } catch (TokenpinException e) {
        throw Refused.of(e);
      }
    }

    private @Nullable IdOpener opener() {
      Mode mode = accounts.properties.sealedIds();
      if (ids == Ids.NONE
          || (mode == Mode.OFF && !(accounts.properties.bodies() && mayHaveBody()))) {
        return null;
      }
      Request of = new Request().consumerTrusted(true);
      consumers(of);
      return affinity.opener(
          target, IdOptions.of(ids).withScope(scope).withOwner(affinity.idOwner(of)));
    }

    // ---- The request

    /** Returns whether the body has to be read before anything else is done. */
    boolean waits() {
      if (opener == null) {
        return false;
      }
      Mode mode = accounts.properties.sealedIds();
      if (method.equals("CONNECT")) {
        boolean mayPass =
            mode == Mode.OFF || (mode == Mode.OPEN && !accounts.properties.refuseUpgrades());
        boolean hasState = ids == Ids.BOTH || ids == Ids.ITEMS;
        if (mayPass || !hasState || List.of(path.split("/")).contains("realtime")) {
          return false;
        }
        throw Refused.upgrade();
      }
      if (!mayHaveBody()) {
        return false;
      }
      Content content = Content.of(headers);
      boolean encoded = isEncoded(headers);
      if (content == Content.JSON && !encoded) {
        // A body that is too long, or has no length, is not read if ids are not opened.
        long length = headers.getContentLength();
        if (mode == Mode.OFF && (length < 0 || length > accounts.properties.maxBody())) {
          return false;
        }
        if (length > accounts.properties.maxBody()) {
          refuse(Refused.tooLarge());
        }
        return true;
      }
      if (mode == Mode.OFF || mode == Mode.OPEN || (mode == Mode.SEAL && content != Content.JSON)) {
        return false;
      }
      if (mode == Mode.STRICT && content == Content.MULTIPART && opener.report().uploads()) {
        return false;
      }
      throw content == Content.JSON ? Refused.encoding() : Refused.type();
    }

    /** Reads the body, and opens its ids. */
    Mono<Void> read() {
      return request.getBody().doOnNext(this::take).then(Mono.fromRunnable(this::end));
    }

    private void take(DataBuffer buffer) {
      try {
        int length = buffer.readableByteCount();
        came += length;
        if (refused != null) {
          // Most clients read the answer no sooner than all is sent.
          if (came > accounts.properties.maxBody()) {
            throw refused;
          }
          return;
        }
        if (came > accounts.properties.maxBody()) {
          refuse(Refused.tooLarge());
        } else if (!accounts.hold(length)) {
          refuse(Refused.tooMany());
        } else {
          held += length;
          opened.writeBytes(Objects.requireNonNull(opener).push(bytes(buffer)));
        }
      } finally {
        DataBufferUtils.release(buffer);
      }
    }

    private void refuse(Refused why) {
      refused = why;
      came = 0;
      close();
      opened.reset();
    }

    private void end() {
      if (refused != null) {
        throw refused;
      }
      IdOpener it = Objects.requireNonNull(opener);
      opened.writeBytes(it.finish());
      byte[] all = opened.toByteArray();
      if (accounts.properties.sealedIds() == Mode.STRICT
          && (it.unexpected() != 0 || !isUtf8(all))) {
        throw Refused.unreadable();
      }
      body = all;
    }

    void close() {
      accounts.letGo(held);
      held = 0;
    }

    /** Decides, and sends the request on as the account's. */
    Mono<Void> send(GatewayFilterChain chain) {
      decide();
      ServerHttpResponse response = new Response(exchange.getResponse());
      response.beforeCommit(
          () -> {
            respond();
            return Mono.empty();
          });
      return chain.filter(exchange.mutate().request(outgoing()).response(response).build());
    }

    private void decide() {
      Request it = Request.of(method, path).consumerTrusted(true).ids(opener).scope(scope);
      it.group(accounts.properties.group()).existing(namesExisting());
      consumers(it);
      for (TokenpinProperties.Source source : accounts.properties.session()) {
        List<byte[]> values = values(source.header());
        values.forEach(it::session);
        if (values.stream().anyMatch(value -> value.length != 0)) {
          break;
        }
      }
      headers.getOrEmpty(HttpHeaders.COOKIE).forEach(field -> it.cookie(raw(field)));
      String carrier = accounts.properties.carrierHeader();
      if (carrier != null && headers.containsHeader(carrier)) {
        it.carrier(true);
        Set<String> different = different(carrier);
        if (different.size() == 1) {
          it.carrierValue(different.iterator().next());
        }
      }
      try {
        decision = affinity.decide(it);
      } catch (TokenpinException e) {
        throw Refused.of(e);
      }
      exchange.getAttributes().put(DECISION, decision);
      slot = decision.slot().orElseThrow(() -> refusedFor(Objects.requireNonNull(decision)));
    }

    private Refused refusedFor(Decision it) {
      return Refused.of(affinity, it, opener == null ? "" : opener.report().quoted());
    }

    private void consumers(Request it) {
      TokenpinProperties.Source consumer = accounts.properties.consumer();
      if (consumer != null) {
        values(consumer.header()).forEach(it::consumer);
      }
    }

    /** The configured scope, a zero byte and the tenant; empty for the configured one. */
    private byte[] scope() {
      TokenpinProperties.Source tenant = accounts.properties.tenant();
      Set<String> names = tenant == null ? Set.of() : different(tenant.header());
      if (names.size() > 1) {
        throw Refused.tenant();
      }
      byte[] own = accounts.properties.scope().getBytes(StandardCharsets.UTF_8);
      ByteArrayOutputStream made = new ByteArrayOutputStream();
      for (String name : names) {
        made.writeBytes(own);
        made.write(0);
        made.writeBytes(raw(name));
      }
      return made.toByteArray();
    }

    private boolean namesExisting() {
      TokenpinProperties.Switch existing = accounts.properties.existing();
      if (existing == null) {
        return false;
      }
      Set<String> values = different(existing.header());
      return existing.present()
          ? !values.isEmpty()
          : values.contains("true") || values.contains("1");
    }

    /** The different values of a header, without empty ones. */
    private Set<String> different(String header) {
      Set<String> different = new LinkedHashSet<>();
      headers.getOrEmpty(header).forEach(value -> different.add(unjoined(value)));
      different.remove("");
      return different;
    }

    private List<byte[]> values(String header) {
      return headers.getOrEmpty(header).stream().map(value -> raw(unjoined(value))).toList();
    }

    private ServerHttpRequest outgoing() {
      IdReport report = opener == null ? null : opener.report();
      ServerHttpRequest.Builder builder = request.mutate().headers(out -> outgoing(out, report));
      if (opener != null && !opener.target().equals(target)) {
        URI uri = request.getURI();
        builder.uri(URI.create(uri.getScheme() + "://" + uri.getRawAuthority() + opener.target()));
      }
      ServerHttpRequest made = builder.build();
      byte[] whole = body;
      if (whole == null) {
        return made;
      }
      return new ServerHttpRequestDecorator(made) {
        @Override
        public Flux<DataBuffer> getBody() {
          DataBufferFactory factory = exchange.getResponse().bufferFactory();
          return whole.length == 0
              ? Flux.empty()
              : Flux.defer(() -> Flux.just(factory.wrap(whole)));
        }
      };
    }

    private void outgoing(HttpHeaders out, @Nullable IdReport report) {
      List<String> cookies = new ArrayList<>();
      for (String field : out.getOrEmpty(HttpHeaders.COOKIE)) {
        String left = Tokenpin.cookieStrip(field, cookieName);
        if (!left.isEmpty()) {
          cookies.add(left);
        }
      }
      out.remove(HttpHeaders.COOKIE);
      cookies.forEach(field -> out.add(HttpHeaders.COOKIE, field));
      if (accounts.properties.carrierHeader() != null) {
        out.remove(accounts.properties.carrierHeader());
      }
      if (!accounts.properties.forwardClientCredentials()) {
        out.headerNames().stream().filter(Credentials::areOfClient).toList().forEach(out::remove);
      }
      if (report != null && report.changesResponse() && !report.downloads()) {
        // The ids in a compressed response could not be seen.
        out.set(HttpHeaders.ACCEPT_ENCODING, "identity");
      }
      if (body != null) {
        if (body.length != came) {
          // The text in place of an id is shorter.
          Limits.DIGEST_HEADERS.forEach(out::remove);
        }
        out.remove(HttpHeaders.TRANSFER_ENCODING);
        out.setContentLength(body.length);
      }
      accounts.apply(slot, out);
    }

    // ---- The response

    /** Makes the headers of the response the client's: once, when all of them are there. */
    private void respond() {
      // Only what the upstream answered: other filters answer, too.
      if (responded || exchange.getAttribute(ServerWebExchangeUtils.CLIENT_RESPONSE_ATTR) == null) {
        return;
      }
      responded = true;
      HttpHeaders out = exchange.getResponse().getHeaders();
      HttpStatusCode code = exchange.getResponse().getStatusCode();
      int status = code == null ? 200 : code.value();
      accounts.cool(slot, status, out);
      String carrier = accounts.properties.carrierHeader();
      if (carrier != null) {
        out.remove(carrier);
      }
      List<String> cookies =
          out.getOrEmpty(HttpHeaders.SET_COOKIE).stream()
              .filter(field -> !Tokenpin.setCookieMatches(field, cookieName))
              .toList();
      out.remove(HttpHeaders.SET_COOKIE);
      cookies.forEach(field -> out.add(HttpHeaders.SET_COOKIE, field));
      if (opener != null) {
        IdReport report = opener.report();
        if (report.changesResponse()) {
          seal(status, out, report);
        }
      }
      cookie(status, out, carrier);
    }

    private void seal(int status, HttpHeaders out, IdReport report) {
      Content content = Content.of(out);
      IdSealer made =
          affinity.sealer(slot, Objects.requireNonNull(opener), content == Content.EVENTS);
      for (String name : Limits.LOCATION_HEADERS) {
        List<String> values = List.copyOf(out.getOrEmpty(name));
        if (!values.isEmpty()) {
          out.put(name, values.stream().map(made::target).toList());
        }
      }
      boolean listed = content == Content.JSON || content == Content.EVENTS;
      boolean bodiless = status == 101 || status == 204 || status == 206 || status == 304;
      if (bodiless || !listed || report.downloads() || isEncoded(out)) {
        return;
      }
      Limits.DIGEST_HEADERS.forEach(out::remove);
      out.remove(HttpHeaders.CONTENT_LENGTH);
      out.remove(HttpHeaders.ACCEPT_RANGES);
      String tag = out.getETag();
      if (tag != null && !tag.strip().startsWith("W/")) {
        out.remove(HttpHeaders.ETAG);
      }
      sealer = request.getMethod() == HttpMethod.HEAD ? null : made;
    }

    private void cookie(int status, HttpHeaders out, @Nullable String carrier) {
      Decision it = Objects.requireNonNull(decision);
      if (!it.setsCookie()) {
        return;
      }
      Finished finished = affinity.finish(it, status);
      String name = finished.answer() == Answer.SET_COOKIE ? HttpHeaders.SET_COOKIE : carrier;
      if (finished.answer() != Answer.NOTHING && name != null) {
        out.add(name, finished.value());
        // A cached value would share a session.
        out.add(HttpHeaders.CACHE_CONTROL, "no-cache=\"" + name + "\"");
      }
    }

    /** The response, whose ids are sealed as it is written. */
    private final class Response extends ServerHttpResponseDecorator {
      Response(ServerHttpResponse response) {
        super(response);
      }

      @Override
      public Mono<Void> writeWith(Publisher<? extends DataBuffer> body) {
        respond();
        IdSealer it = sealer;
        return it == null
            ? super.writeWith(body)
            : super.writeWith(Flux.concat(sealed(it, body), rest(it)));
      }

      @Override
      public Mono<Void> writeAndFlushWith(
          Publisher<? extends Publisher<? extends DataBuffer>> body) {
        respond();
        IdSealer it = sealer;
        if (it == null) {
          return super.writeAndFlushWith(body);
        }
        return super.writeAndFlushWith(
            Flux.concat(Flux.from(body).map(part -> sealed(it, part)), Flux.just(rest(it))));
      }

      private Flux<DataBuffer> sealed(IdSealer it, Publisher<? extends DataBuffer> body) {
        return Flux.from(body)
            .map(
                buffer -> {
                  try {
                    return it.push(bytes(buffer));
                  } finally {
                    DataBufferUtils.release(buffer);
                  }
                })
            .filter(part -> part.length != 0)
            .map(part -> bufferFactory().wrap(part));
      }

      private Flux<DataBuffer> rest(IdSealer it) {
        return Flux.defer(
            () -> {
              byte[] rest = it.finish();
              return rest.length == 0 ? Flux.empty() : Flux.just(bufferFactory().wrap(rest));
            });
      }
    }

    // ---- Headers

    private boolean isHandshake() {
      return request.getMethod() == HttpMethod.GET
          && hasToken(HttpHeaders.CONNECTION, "upgrade")
          && hasToken(HttpHeaders.UPGRADE, "websocket");
    }

    private boolean hasToken(String header, String token) {
      for (String value : headers.getOrEmpty(header)) {
        for (String part : value.split(",")) {
          if (part.strip().equalsIgnoreCase(token)) {
            return true;
          }
        }
      }
      return false;
    }

    private boolean mayHaveBody() {
      long length = headers.getContentLength();
      if (length >= 0) {
        return length != 0;
      }
      return headers.containsHeader(HttpHeaders.TRANSFER_ENCODING)
          || !Set.of("GET", "HEAD", "DELETE", "OPTIONS").contains(request.getMethod().name());
    }
  }

  private enum Content {
    JSON,
    EVENTS,
    MULTIPART,
    OTHER;

    /** A body without a type is taken for JSON: many servers do, too. */
    static Content of(HttpHeaders headers) {
      String type = headers.getFirst(HttpHeaders.CONTENT_TYPE);
      String kind = type == null ? "" : type.split("[;,]", -1)[0].strip().toLowerCase(Locale.ROOT);
      if (kind.isEmpty() || kind.equals("application/json") || kind.endsWith("+json")) {
        return JSON;
      }
      if (kind.equals("text/event-stream")) {
        return EVENTS;
      }
      return kind.startsWith("multipart/") ? MULTIPART : OTHER;
    }
  }

  private static boolean isEncoded(HttpHeaders headers) {
    for (String value : headers.getOrEmpty(HttpHeaders.CONTENT_ENCODING)) {
      for (String coding : value.split(",")) {
        if (!coding.isBlank() && !coding.strip().equalsIgnoreCase("identity")) {
          return true;
        }
      }
    }
    return false;
  }

  /** The bytes that were on the wire: the server has read them as ISO 8859-1. */
  private static byte[] raw(String value) {
    return value.getBytes(StandardCharsets.ISO_8859_1);
  }

  /**
   * The value that copies of it make, which a proxy in front has joined by commas. Else the value
   * as it is.
   */
  private static String unjoined(String value) {
    if (value.indexOf(',') < 0) {
      return value.strip();
    }
    Set<String> different = new LinkedHashSet<>();
    for (String part : value.split(",")) {
      different.add(part.strip());
    }
    different.remove("");
    return different.isEmpty() ? "" : different.size() == 1 ? different.iterator().next() : value;
  }

  private static byte[] bytes(DataBuffer buffer) {
    byte[] bytes = new byte[buffer.readableByteCount()];
    buffer.read(bytes);
    return bytes;
  }

  private static boolean isUtf8(byte[] bytes) {
    try {
      StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(bytes));
      return true;
    } catch (CharacterCodingException e) {
      return false;
    }
  }
}
