// Pins a session: its second request, with the cookie of the first, gets the same account.
import static java.nio.charset.StandardCharsets.US_ASCII;

import io.github.tokenpin.*;

public class Pin {
  public static void main(String[] args) {
    String[] accounts = {"account-a", "account-b"};
    Affinity affinity =
        Affinity.builder()
            .slot(accounts[0])
            .slot(accounts[1])
            // 16 random bytes each, from your secret store, the same on every replica.
            .placementKey("a placement key!".getBytes(US_ASCII))
            .cookieKey(CookieKey.of(1, "a cookie secret!".getBytes(US_ASCII)))
            .build();

    Decision first = affinity.decide(Request.of("POST", "/v1/responses"));
    // Empty where no account can serve: answer 503.
    System.out.println("a new session: " + accounts[first.slot().orElseThrow()]);

    // Send it with that account's token. Then, with the status of the account's response:
    Finished finished = affinity.finish(first, 200);
    if (finished.answer() != Answer.SET_COOKIE) throw new AssertionError();
    System.out.println("Set-Cookie: " + finished.value());

    String cookie = finished.value().split(";")[0];
    Decision next = affinity.decide(Request.of("GET", "/v1/responses/resp_1").cookie(cookie));
    String account = accounts[next.slot().orElseThrow()];
    System.out.println("its next request: " + account + ", " + next.outcome());
  }
}
