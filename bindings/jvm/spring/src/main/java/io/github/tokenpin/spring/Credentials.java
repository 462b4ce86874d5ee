package io.github.tokenpin.spring;

import java.util.List;
import java.util.Locale;
import java.util.Set;

/** Which headers are a client's own credentials: the same as in the other gateways. */
final class Credentials {
  private static final Set<String> PROOFS =
      Set.of(
          "authorization",
          "auth",
          "token",
          "jwt",
          "secret",
          "password",
          "credential",
          "credentials",
          "apikey");
  private static final Set<String> BEFORE_KEY =
      Set.of("api", "access", "functions", "subscription");
  private static final Set<String> PAYERS =
      Set.of("openai-organization", "openai-project", "x-goog-user-project");

  private Credentials() {}

  /** What a name is to a server that makes a variable of it. */
  static String folded(String name) {
    return name.toLowerCase(Locale.ROOT).replace('_', '-');
  }

  static boolean areOfClient(String name) {
    String folded = folded(name);
    List<String> words = List.of(folded.split("-", -1));
    for (int i = 0; i < words.size(); i++) {
      boolean key = i > 0 && words.get(i).equals("key") && BEFORE_KEY.contains(words.get(i - 1));
      if (key || PROOFS.contains(words.get(i))) {
        return true;
      }
    }
    return PAYERS.contains(folded);
  }
}
