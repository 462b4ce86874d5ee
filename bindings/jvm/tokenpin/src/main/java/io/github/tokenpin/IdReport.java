package io.github.tokenpin;

/**
 * The ids of a request so far.
 *
 * @param verdict the worst verdict of all ids
 * @param keys the number of the key of the id that is refused; of a conflict both. {@link
 *     Affinity#idKey} spells them
 * @param refused whether the request is refused for its ids
 * @param unreadable whether a string that may be an id is too long to be read
 * @param existing whether the request names existing state
 * @param seals whether the ids of the response are sealed, regardless of what the client sent
 * @param changesResponse whether anything in the response may change: else no one has to look into
 *     it
 * @param quoted the id that is refused, or that names the account, as the client wrote it, for the
 *     text of a refusal; empty for what is longer than 64 bytes or no id
 * @param unstored whether the body says {@code "store": false}
 * @param uploads whether the path is for uploads, so that the request may have a multipart body
 * @param downloads whether the path is a download: the body of its response is a client's own
 * @param opened the number of opened ids
 * @param plain the number of plain ids
 * @param echoesLost how many ids found no room among those whose form is remembered
 */
public record IdReport(
    IdVerdict verdict,
    int[] keys,
    boolean refused,
    boolean unreadable,
    boolean existing,
    boolean seals,
    boolean changesResponse,
    String quoted,
    boolean unstored,
    boolean uploads,
    boolean downloads,
    long opened,
    long plain,
    long echoesLost) {

  static int[] keys(int first, int second) {
    int none = Layout.ID_KEY_NONE;
    return first == none
        ? new int[0]
        : second == none ? new int[] {first} : new int[] {first, second};
  }
}
