package io.github.tokenpin;

/**
 * The cookie or the carrier's value for a client.
 *
 * @param answer nothing, a {@code Set-Cookie} field, or the carrier header
 * @param value the value of that field or header; empty for none. A credential of the client, and
 *     not for logs
 */
public record Finished(Answer answer, String value) {
  static final Finished NOTHING = new Finished(Answer.NOTHING, "");

  /** Without the value. */
  @Override
  public String toString() {
    return "Finished[answer=" + answer + "]";
  }
}
