package io.github.tokenpin.spring;

import io.github.tokenpin.Affinity;
import io.github.tokenpin.Decision;
import io.github.tokenpin.Refusal;
import io.github.tokenpin.Status;
import io.github.tokenpin.TokenpinException;
import java.nio.charset.StandardCharsets;
import org.jspecify.annotations.Nullable;
import org.springframework.http.HttpHeaders;
import org.springframework.http.HttpStatusCode;
import org.springframework.http.MediaType;
import org.springframework.http.server.reactive.ServerHttpResponse;
import org.springframework.web.server.ServerWebExchange;
import reactor.core.publisher.Mono;

/** The answer of the gateway itself: a row of docs/guides/embedding.md. */
final class Refused extends RuntimeException {
  private static final long serialVersionUID = 1;

  private final int status;
  private final String code;
  private final @Nullable String param;
  private final boolean ofRequest;
  private final long retryAfter;
  private final String headerName;
  private final String headerValue;

  private Refused(
      int status,
      String code,
      String message,
      @Nullable String param,
      boolean ofRequest,
      long retryAfter,
      String headerName,
      String headerValue) {
    // It is no error of the program: no one reads a stack.
    super(message, null, false, false);
    this.status = status;
    this.code = code;
    this.param = param;
    this.ofRequest = ofRequest;
    this.retryAfter = retryAfter;
    this.headerName = headerName;
    this.headerValue = headerValue;
  }

  private static Refused ofRequest(int status, String code, String message) {
    return new Refused(status, code, message, null, true, 0, "", "");
  }

  static Refused tooLarge() {
    return ofRequest(413, "request_too_large", "The request's body is too large.");
  }

  static Refused tooMany() {
    return new Refused(
        503, "too_many_bodies", "The gateway holds too many requests.", null, false, 1, "", "");
  }

  static Refused unreadable() {
    return ofRequest(400, "unreadable_body", "The request's body cannot be read.");
  }

  static Refused type() {
    return ofRequest(415, "unsupported_content_type", "The request's body has to be JSON.");
  }

  static Refused encoding() {
    return new Refused(
        415,
        "unsupported_content_encoding",
        "The request's body must not be encoded.",
        null,
        true,
        0,
        "Accept-Encoding",
        "identity");
  }

  static Refused upgrade() {
    return new Refused(
        426,
        "websocket_not_supported",
        "This is not served over a WebSocket.",
        null,
        true,
        0,
        "Upgrade",
        "HTTP/1.1");
  }

  static Refused tenant() {
    return new Refused(
        400, "bad_tenant", "The tenant cannot be determined.", null, false, 0, "", "");
  }

  static Refused of(TokenpinException error) {
    return error.status() == Status.SCOPE_LENGTH
        ? tenant()
        : new Refused(
            500, "affinity_error", "The gateway cannot choose an account.", null, false, 0, "", "");
  }

  static Refused of(Affinity affinity, Decision decision, String quoted) {
    // The client's own text, of the characters that ids have.
    String id = quoted.isEmpty() ? "" : " '" + quoted + "'";
    int[] keys = decision.idKeys();
    String first = keys.length > 0 ? affinity.idKey(keys[0]) : null;
    String second = keys.length > 1 ? affinity.idKey(keys[1]) : null;
    Refusal refusal = decision.refusal();
    String message =
        switch (refusal) {
          case NONE -> "";
          case NO_ACCOUNT_AVAILABLE -> "No account is available.";
          case BAD_AFFINITY_KEY -> "The session's key cannot be used.";
          case SESSION_UNAVAILABLE -> "The session's account is unavailable.";
          case PREVIOUS_RESPONSE_NOT_FOUND -> "The previous response" + id + " was not found.";
          case INVALID_ENCRYPTED_CONTENT -> "The encrypted content could not be verified.";
          case NOT_FOUND -> "The object" + id + " named by '" + first + "' was not found.";
          case CONFLICTING_ACCOUNTS ->
              "The objects named by '"
                  + first
                  + "' and '"
                  + second
                  + "' cannot be used together: they were created apart.";
          case UNREADABLE_BODY -> "The request's body cannot be read.";
        };
    String param =
        switch (refusal) {
          case PREVIOUS_RESPONSE_NOT_FOUND, NOT_FOUND -> first;
          case CONFLICTING_ACCOUNTS -> second;
          default -> null;
        };
    int status = decision.refusalStatus();
    return new Refused(
        status, refusal.toString(), message, param, status < 500, decision.retryAfter(), "", "");
  }

  /** In the form that the client of this request expects. */
  Mono<Void> answer(ServerWebExchange exchange) {
    ServerHttpResponse response = exchange.getResponse();
    response.setStatusCode(HttpStatusCode.valueOf(status));
    HttpHeaders headers = response.getHeaders();
    headers.setContentType(MediaType.APPLICATION_JSON);
    if (retryAfter != 0) {
      headers.set(HttpHeaders.RETRY_AFTER, Long.toString(retryAfter));
    }
    if (!headerName.isEmpty()) {
      headers.set(headerName, headerValue);
    }
    if (status == 426) {
      headers.set(HttpHeaders.CONNECTION, "upgrade");
    }
    boolean anthropic = exchange.getRequest().getHeaders().containsHeader("anthropic-version");
    byte[] body = (anthropic ? anthropic() : openai()).getBytes(StandardCharsets.UTF_8);
    headers.setContentLength(body.length);
    return response.writeWith(Mono.fromSupplier(() -> response.bufferFactory().wrap(body)));
  }

  private String openai() {
    String type = ofRequest ? "invalid_request_error" : "gateway_error";
    return "{\"error\":{\"message\":"
        + quoted(getMessage())
        + ",\"type\":\""
        + type
        + "\",\"param\":"
        + (param == null ? "null" : quoted(param))
        + ",\"code\":\""
        + code
        + "\"}}";
  }

  private String anthropic() {
    String type =
        status >= 500
            ? "api_error"
            : switch (status) {
              case 404 -> "not_found_error";
              case 413 -> "request_too_large";
              default -> "invalid_request_error";
            };
    return "{\"type\":\"error\",\"error\":{\"type\":\""
        + type
        + "\",\"message\":"
        + quoted(getMessage())
        + "}}";
  }

  /** A key of the table of ids, which a configuration may add to, is the only foreign text here. */
  private static String quoted(@Nullable String text) {
    StringBuilder made = new StringBuilder("\"");
    for (char letter : String.valueOf(text).toCharArray()) {
      if (letter < 0x20 || letter == '"' || letter == '\\') {
        made.append(String.format("\\u%04x", (int) letter));
      } else {
        made.append(letter);
      }
    }
    return made.append('"').toString();
  }
}
