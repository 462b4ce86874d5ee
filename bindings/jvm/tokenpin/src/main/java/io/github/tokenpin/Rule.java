package io.github.tokenpin;

import java.util.List;
import java.util.Objects;

/**
 * One row of a classification table.
 *
 * @param pattern one or more segments of a path, such as {@code files} or {@code messages/batches}.
 *     A {@code *} at the front of a segment, but not of the first, is one or more bytes of it
 * @param ids which ids of the requests and responses are looked at
 */
public record Rule(String pattern, Group group, Ids ids) {
  public Rule {
    Objects.requireNonNull(pattern);
    Objects.requireNonNull(group);
    Objects.requireNonNull(ids);
  }

  static int put(Core core, List<Rule> rules) {
    int at = core.reserve(rules.size(), Layout.RULE_SIZE);
    int one = at;
    for (Rule rule : rules) {
      core.bytes(one + Layout.RULE_AT_PATTERN, rule.pattern);
      core.putByte(one + Layout.RULE_AT_GROUP, rule.group.number());
      core.putByte(one + Layout.RULE_AT_IDS, rule.ids.number());
      one += Layout.RULE_SIZE;
    }
    return at;
  }
}
