package io.github.tokenpin;

import java.util.Objects;

/**
 * A key that is looked at for ids, beside those of the table.
 *
 * @param name 1 to 32 bytes
 * @param kind what its value is, but neither {@code PATH} nor {@code OWN}
 */
public record IdField(String name, KeyKind kind) {
  public IdField {
    Objects.requireNonNull(name);
    Objects.requireNonNull(kind);
  }
}
