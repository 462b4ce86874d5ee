package io.github.tokenpin.spring;

import io.github.tokenpin.ForeignSeals;
import io.github.tokenpin.Group;
import io.github.tokenpin.IdOwner;
import io.github.tokenpin.Ids;
import io.github.tokenpin.KeyKind;
import io.github.tokenpin.Mode;
import io.github.tokenpin.Policy;
import io.github.tokenpin.Role;
import io.github.tokenpin.SameSite;
import io.github.tokenpin.State;
import io.github.tokenpin.Strategy;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.springframework.boot.context.properties.ConfigurationProperties;
import org.springframework.boot.context.properties.bind.DefaultValue;

/**
 * The properties {@code tokenpin.*}: the words of gateways/config.schema.json. A key is 32
 * hexadecimal digits; Spring's placeholders say where secrets come from.
 *
 * @param placementKey the key that all replicas share and that decides which token serves a key
 * @param cookieKeys the cookie key ring
 * @param tokens the tokens
 * @param capacity the number of slots, vacant ones included; without it the highest slot in use,
 *     plus 1
 * @param scope the set of accounts that the affinity is about
 * @param tenant a header with a tenant's name, which becomes part of the scope
 * @param existing a header that says that a request names existing state
 * @param group the group of all requests, instead of classifying them
 * @param consumer a header with the consumer's name, that clients cannot set
 * @param session headers with a session key: the first one that the request has counts
 * @param carrierHeader a header that carries the cookie's value for clients that keep no cookies
 * @param rules count before the built-in table
 * @param replaceRules whether they stand instead of it
 * @param promptCache affinity for the prompt-cache group too
 * @param combineKeys consumer and session key together make the key where a request has both
 * @param rejectBadKeys refuse a request whose key cannot be used
 * @param keyedCookies sessions with a key get a cookie too
 * @param mintSingle give cookies also where only one token is configured
 * @param success the first and the last response status on which a cookie is set
 * @param cooldowns what an upstream's status does to its token: the first entry that matches counts
 * @param sealedIds what is done with ids
 * @param idKeys the ring that seals ids; without it, that of the cookie
 * @param maxBody the longest body, in bytes, of a request that is held
 * @param maxHeldBodies how many bytes of bodies are held at a time
 * @param bodies whether bodies are read in the mode {@code off} too
 * @param refuseUpgrades whether WebSockets are refused in the mode {@code open} too, where ids are
 *     sealed
 * @param forwardClientCredentials whether the client's own credentials are left in
 */
@ConfigurationProperties(prefix = "tokenpin", ignoreUnknownFields = false)
public record TokenpinProperties(
    String placementKey,
    List<RingKey> cookieKeys,
    List<Token> tokens,
    @Nullable Integer capacity,
    @DefaultValue("") String scope,
    @Nullable Source tenant,
    @Nullable Switch existing,
    @Nullable Group group,
    @Nullable Source consumer,
    @DefaultValue List<Source> session,
    @Nullable String carrierHeader,
    @DefaultValue("jump") Strategy strategy,
    @DefaultValue("fail-fast") Policy policyExisting,
    @DefaultValue("fallback-and-update") Policy policyNew,
    @DefaultValue List<Rule> rules,
    @DefaultValue("false") boolean replaceRules,
    @DefaultValue("false") boolean promptCache,
    @DefaultValue("false") boolean combineKeys,
    @DefaultValue("false") boolean rejectBadKeys,
    @DefaultValue("false") boolean keyedCookies,
    @DefaultValue("false") boolean mintSingle,
    @DefaultValue({"200", "299"}) List<Integer> success,
    @DefaultValue Cookie cookie,
    @Nullable List<Cooldown> cooldowns,
    @DefaultValue("off") Mode sealedIds,
    @DefaultValue List<RingKey> idKeys,
    @DefaultValue("none") IdOwner idOwner,
    @DefaultValue("auto") ForeignSeals foreignSeals,
    @DefaultValue("true") boolean encryptedContent,
    @DefaultValue List<IdField> idFields,
    @DefaultValue List<String> idPrefixes,
    @DefaultValue List<String> idCollections,
    @DefaultValue("67108864") int maxBody,
    @DefaultValue("1073741824") long maxHeldBodies,
    @DefaultValue("true") boolean bodies,
    @DefaultValue("false") boolean refuseUpgrades,
    @DefaultValue("false") boolean forwardClientCredentials) {

  /** One key of a ring; {@code key} is its secret. */
  public record RingKey(int id, Role role, String key) {
    @Override
    public String toString() {
      return "RingKey[id=" + id + ", role=" + role + "]";
    }
  }

  /**
   * One account.
   *
   * @param name its identity, which outlives the secret
   * @param slot the slot number; without it the position in the list
   * @param headers the credentials
   */
  public record Token(
      String name,
      @Nullable Integer slot,
      @DefaultValue("65536") int weight,
      @DefaultValue("up") State state,
      @DefaultValue("0") long until,
      @DefaultValue List<Credential> headers) {}

  /** A header that is set, {@code prefix} in front of the secret. */
  public record Credential(String name, @DefaultValue("") String prefix, String value) {
    @Override
    public String toString() {
      return "Credential[name=" + name + "]";
    }
  }

  /** The values of a request's header; {@code trusted} says that clients cannot set it. */
  public record Source(String header, @DefaultValue("false") boolean trusted) {}

  /**
   * A header that says so by the value {@code true} or {@code 1}; with {@code present}, by any
   * value that is not empty.
   */
  public record Switch(String header, @DefaultValue("false") boolean present) {}

  /**
   * A row of the classification table. Without {@code ids}, both for the group stateful and else
   * none.
   */
  public record Rule(String pattern, Group group, @Nullable Ids ids) {}

  /** A key that holds ids. */
  public record IdField(String name, KeyKind kind) {}

  /** The cookie. Without {@code maxAge}, it lasts as long as it can be valid. */
  public record Cookie(
      @DefaultValue("") String name,
      @DefaultValue("") String path,
      @DefaultValue("") String domain,
      @DefaultValue("true") boolean secure,
      @DefaultValue("true") boolean httpOnly,
      @DefaultValue("lax") SameSite sameSite,
      @DefaultValue("false") boolean partitioned,
      @Nullable Long maxAge,
      @DefaultValue("300") long skew,
      @DefaultValue("2592000") long maxLife,
      @DefaultValue("0") long maxIdle) {}

  /** The effect of some statuses on the account that answered with them. */
  public record Cooldown(
      List<Integer> status,
      State state,
      long seconds,
      @DefaultValue("false") boolean retryAfter,
      @DefaultValue("3600") long maxSeconds) {}

  /** Without the secrets. */
  @Override
  public String toString() {
    return "TokenpinProperties[tokens=" + tokens.size() + "]";
  }
}
