package io.github.tokenpin;

/**
 * The time limits of cookies, in seconds. 0 switches a limit off, except for skew.
 *
 * @param skew how far in the future another clock may have stamped a cookie
 * @param maxLife the longest life since the first issue
 * @param maxIdle the longest time since the latest issue
 * @param refreshInterval a fifth of this after its latest issue a cookie is due to be issued again
 */
public record CookieLimits(long skew, long maxLife, long maxIdle, long refreshInterval) {
  /** A skew of 300 seconds, and 30 days of life. */
  public static final CookieLimits DEFAULT = new CookieLimits(300, 2_592_000, 0, 0);

  public CookieLimits {
    seconds(skew);
    seconds(maxLife);
    seconds(maxIdle);
    seconds(refreshInterval);
  }

  static int seconds(long seconds) {
    if (seconds >>> 32 != 0) {
      throw new IllegalArgumentException(
          "a number of seconds is 0 to 4294967295, and not " + seconds);
    }
    return (int) seconds;
  }

  int put(Core core) {
    int at = core.reserve(Layout.LIMITS_SIZE);
    core.putInt(at + Layout.LIMITS_AT_SKEW, (int) skew);
    core.putInt(at + Layout.LIMITS_AT_MAX_LIFE, (int) maxLife);
    core.putInt(at + Layout.LIMITS_AT_MAX_IDLE, (int) maxIdle);
    core.putInt(at + Layout.LIMITS_AT_REFRESH_INTERVAL, (int) refreshInterval);
    return at;
  }
}
