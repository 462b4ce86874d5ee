package io.github.tokenpin;

/** A configuration is refused. */
public final class ConfigException extends TokenpinException {
  private static final long serialVersionUID = 1;

  private final Field field;
  private final long index;

  ConfigException(Status status, Field field, long index) {
    super(status, field + "[" + index + "]: ");
    this.field = field;
    this.index = index;
  }

  /** Which part of it. */
  public Field field() {
    return field;
  }

  /** Which element of that part, from 0 on; 0 for what is single. */
  public long index() {
    return index;
  }

  /** Reads the error that a call has written behind its configuration. */
  static void check(Core core, int status, int error) {
    if (status != 0) {
      throw new ConfigException(
          Status.of(status),
          Field.of(core.intAt(error + Layout.CONFIG_ERROR_AT_FIELD)),
          core.longAt(error + Layout.CONFIG_ERROR_AT_INDEX));
    }
  }
}
