package io.github.tokenpin;

/** Refuses an argument. Nothing has changed. */
public class TokenpinException extends IllegalArgumentException {
  private static final long serialVersionUID = 1;

  private final Status status;

  TokenpinException(Status status) {
    this(status, "");
  }

  TokenpinException(Status status, String where) {
    super(where + status + ": " + status.text());
    this.status = status;
  }

  /** Why. */
  public final Status status() {
    return status;
  }
}
