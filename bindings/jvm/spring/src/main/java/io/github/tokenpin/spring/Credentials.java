package io.github.tokenpin.spring;

import io.github.tokenpin.Limits;
import java.util.List;
import java.util.Locale;

/** Which headers are a client's own credentials: the same as in the other gateways. */
final class Credentials {
  private Credentials() {}

  /** Returns the name as a server sees it that makes a variable of it. */
  static String folded(String name) {
    return name.toLowerCase(Locale.ROOT).replace('_', '-');
  }

  static boolean areOfClient(String name) {
    String folded = folded(name);
    List<String> words = List.of(folded.split("-", -1));
    for (int i = 0; i < words.size(); i++) {
      String word = words.get(i);
      boolean key =
          i > 0 && word.equals("key") && Limits.CREDENTIAL_KEYS.contains(words.get(i - 1));
      if (key || Limits.CREDENTIAL_WORDS.contains(word)) {
        return true;
      }
    }
    return Limits.PAYER_HEADERS.contains(folded);
  }
}
