/**
 * @file tokenpin.h
 * Pins sessions to upstream API tokens: C11, and C++ clean.
 *
 * Generated from src/capi by cbindgen: `make bindings` writes it, tests check it.
 *
 * Conventions, the same for every function:
 * - A function that can fail returns a `tokenpin_status` number, 0 for success. It writes its
 *   outputs only on success, unless it says otherwise.
 * - Bytes are a pointer and a length in bytes, and never end in a NUL. `(NULL, 0)` is empty. Any
 *   other null pointer is a status, unless the function says that it may be NULL.
 * - Enums cross as fixed-width integers and are checked. A switch is 0 or 1. Times are unix
 *   seconds.
 * - A buffer that is too small stays unchanged, and the length needed is reported.
 * - Inputs are borrowed for the call. Only `tokenpin_affinity_new` allocates (one `malloc`).
 * - Every function may be called from any thread. Any number of threads may use an affinity or an
 *   array of slots at the same time. Only `_init`, `_wipe` and `_free` need exclusive access.
 * - Nothing panics, unwinds, aborts, blocks, logs, reads a clock or draws random numbers.
 */

#ifndef TOKENPIN_H
#define TOKENPIN_H

#include <stddef.h>
#include <stdint.h>

/* Compilers warn where the status of a call is ignored. */
#if defined(__GNUC__) || defined(__clang__)
#define TOKENPIN_MUST_CHECK __attribute__((warn_unused_result))
#else
#define TOKENPIN_MUST_CHECK
#endif

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/* ================================================================================
 * Chapter 1: start here
 *
 * A gateway builds one affinity when it starts, and another after every change of its
 * configuration (chapter 2). For each request it calls `tokenpin_affinity_decide`, sends the
 * request with the token of the slot that the decision names, and calls `tokenpin_affinity_finish`
 * for the response (chapter 3). A gateway that changes a token's state calls
 * `tokenpin_affinity_set_slot`.
 *
 * Sealed ids add a step before the decision and one to the response (chapter 8). The functions of
 * chapters 4 to 7 do single steps of this on memory of the caller, without an affinity.
 *
 * Functions return a `tokenpin_status`. Bytes in structures are `tokenpin_bytes`. If a
 * configuration is refused, a `tokenpin_config_error` says why, at which `tokenpin_field`, and at
 * which element of it.
 *
 * Each function lists its statuses without their prefix `TOKENPIN_STATUS_`. `LENGTH` stands for an
 * array or bytes longer than memory can be, `NULL_POINTER` and `MISALIGNED` for any pointer.
 * ================================================================================ */

/**
 * The result of a function, as an `int32_t`. Numbers are never reused.
 */
enum tokenpin_status
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * Success.
     */
    TOKENPIN_STATUS_OK = 0,
    /**
     * A pointer is null that must not be null.
     */
    TOKENPIN_STATUS_NULL_POINTER = 1,
    /**
     * A pointer is not aligned for its type.
     */
    TOKENPIN_STATUS_MISALIGNED = 2,
    /**
     * A length is over `PTRDIFF_MAX`.
     */
    TOKENPIN_STATUS_LENGTH = 3,
    /**
     * A number is no value of its enum, or a switch is neither 0 nor 1.
     */
    TOKENPIN_STATUS_BAD_ENUM = 4,
    /**
     * An output overlaps an input.
     */
    TOKENPIN_STATUS_OVERLAP = 5,
    /**
     * A size-prefixed structure is shorter than its first version, has bytes set that this library
     * does not know, or is over 4096 bytes long.
     */
    TOKENPIN_STATUS_STRUCT_SIZE = 6,
    /**
     * The affinity was never initialised, or has been wiped or closed.
     */
    TOKENPIN_STATUS_NOT_INITIALISED = 7,
    /**
     * `malloc` returned NULL.
     */
    TOKENPIN_STATUS_OUT_OF_MEMORY = 8,
    /**
     * The buffer or memory is too small. A function with an output for it reports the length
     * needed.
     */
    TOKENPIN_STATUS_BUFFER_TOO_SMALL = 9,
    /**
     * There are no more values. Not an error.
     */
    TOKENPIN_STATUS_END = 10,
    /**
     * The cookie in the decision was not made by this library, or was changed.
     */
    TOKENPIN_STATUS_BAD_DECISION = 11,
    /**
     * The id is not 1 to 255 bytes of `A-Z a-z 0-9 _ -`, or the content is
     * empty.
     */
    TOKENPIN_STATUS_ID = 12,
    /**
     * The number of buckets is not 1 to 2147483647.
     */
    TOKENPIN_STATUS_BUCKET_COUNT = 20,
    /**
     * The scope is longer than 1024 bytes.
     */
    TOKENPIN_STATUS_SCOPE_LENGTH = 21,
    /**
     * The affinity key is empty or longer than 4096 bytes, an id does not
     * have 16 bytes, or the key is of another kind than the cookie.
     */
    TOKENPIN_STATUS_KEY_LENGTH = 22,
    /**
     * The identity is empty.
     */
    TOKENPIN_STATUS_IDENTITY_EMPTY = 23,
    /**
     * The weight is over 65536.
     */
    TOKENPIN_STATUS_WEIGHT = 24,
    /**
     * The until is over 35184372088831.
     */
    TOKENPIN_STATUS_UNTIL = 25,
    /**
     * A slot cannot become vacant, or stop being vacant.
     */
    TOKENPIN_STATUS_VACANT = 26,
    /**
     * The slot number is not below the capacity.
     */
    TOKENPIN_STATUS_SLOT_RANGE = 27,
    /**
     * The number of slots is not 1 to 2147483647.
     */
    TOKENPIN_STATUS_SLOT_COUNT = 28,
    /**
     * Two slots have the same identity.
     */
    TOKENPIN_STATUS_DUPLICATE_IDENTITY = 29,
    /**
     * The secret is all zero.
     */
    TOKENPIN_STATUS_ZERO_SECRET = 30,
    /**
     * The secret is used twice, or is the placement key as well.
     */
    TOKENPIN_STATUS_DUPLICATE_SECRET = 31,
    /**
     * Two cookie keys have the same id.
     */
    TOKENPIN_STATUS_DUPLICATE_KEY_ID = 32,
    /**
     * The number of cookie keys is not 1 to 8.
     */
    TOKENPIN_STATUS_KEY_COUNT = 33,
    /**
     * Not exactly one cookie key signs.
     */
    TOKENPIN_STATUS_SIGNING_KEYS = 34,
    /**
     * The cookie name is not 1 to 128 token bytes.
     */
    TOKENPIN_STATUS_COOKIE_NAME = 35,
    /**
     * The cookie's value or an attribute has a bad byte or is too long, or the path does not start
     * with a slash.
     */
    TOKENPIN_STATUS_ATTRIBUTE = 36,
    /**
     * A cookie's name with __Host- needs Secure, the path / and no domain; one with __Secure- needs Secure.
     */
    TOKENPIN_STATUS_NAME_PREFIX = 37,
    /**
     * SameSite=None and Partitioned need Secure.
     */
    TOKENPIN_STATUS_NEEDS_SECURE = 38,
    /**
     * Max-Age is over 34560000 seconds.
     */
    TOKENPIN_STATUS_MAX_AGE = 39,
    /**
     * The success range is empty or not within 100 to 599.
     */
    TOKENPIN_STATUS_SUCCESS_RANGE = 40,
    /**
     * The classification pattern has an empty segment, one of the bytes %?#, or a * that is not at the front of a segment behind the first.
     */
    TOKENPIN_STATUS_PATTERN = 41,
    /**
     * The time does not fit a cookie: it is past the year 2106.
     */
    TOKENPIN_STATUS_TIME = 42,
    /**
     * Randomness is needed, and the entropy or the id hint is all zero.
     */
    TOKENPIN_STATUS_ENTROPY = 43,
    /**
     * The decision belongs to another configuration.
     */
    TOKENPIN_STATUS_STALE = 44,
    /**
     * The strategy needs the key itself.
     */
    TOKENPIN_STATUS_STRATEGY = 45,
    /**
     * An addition to the table of ids is empty, too long, malformed, or one too many.
     */
    TOKENPIN_STATUS_ID_FIELD = 46,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum tokenpin_status tokenpin_status;
#else
typedef int32_t tokenpin_status;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * Borrowed bytes. `(NULL, 0)` is empty.
 */
typedef struct tokenpin_bytes {
    /**
     * The first byte.
     */
    const void *ptr;
    /**
     * The number of bytes.
     */
    size_t len;
} tokenpin_bytes;

/**
 * The part of a configuration that an error is about.
 */
enum tokenpin_field
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint8_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * The configuration as a whole, or its `size`.
     */
    TOKENPIN_FIELD_CONFIG = 0,
    /**
     * The placement key.
     */
    TOKENPIN_FIELD_PLACEMENT_KEY = 1,
    /**
     * A cookie key; the index is its position in the ring.
     */
    TOKENPIN_FIELD_COOKIE_KEYS = 2,
    /**
     * A slot; the index is its number.
     */
    TOKENPIN_FIELD_SLOTS = 3,
    /**
     * The scope.
     */
    TOKENPIN_FIELD_SCOPE = 4,
    /**
     * The cookie's name.
     */
    TOKENPIN_FIELD_COOKIE_NAME = 5,
    /**
     * `Path`.
     */
    TOKENPIN_FIELD_PATH = 6,
    /**
     * `Domain`.
     */
    TOKENPIN_FIELD_DOMAIN = 7,
    /**
     * `Max-Age`.
     */
    TOKENPIN_FIELD_MAX_AGE = 8,
    /**
     * `Secure`.
     */
    TOKENPIN_FIELD_SECURE = 9,
    /**
     * `SameSite`.
     */
    TOKENPIN_FIELD_SAME_SITE = 10,
    /**
     * `Partitioned`.
     */
    TOKENPIN_FIELD_PARTITIONED = 11,
    /**
     * The range of successful response statuses.
     */
    TOKENPIN_FIELD_SUCCESS = 12,
    /**
     * A classification rule; the index is its position in the table.
     */
    TOKENPIN_FIELD_RULES = 13,
    /**
     * The memory for the pin index.
     */
    TOKENPIN_FIELD_INDEX = 14,
    /**
     * The strategy.
     */
    TOKENPIN_FIELD_STRATEGY = 15,
    /**
     * The policy for requests that name existing state.
     */
    TOKENPIN_FIELD_POLICY_EXISTING = 16,
    /**
     * The policy for other requests.
     */
    TOKENPIN_FIELD_POLICY_NEW = 17,
    /**
     * `HttpOnly`.
     */
    TOKENPIN_FIELD_HTTP_ONLY = 18,
    /**
     * The switch `combine_keys`.
     */
    TOKENPIN_FIELD_COMBINE_KEYS = 19,
    /**
     * The switch `reject_bad_keys`.
     */
    TOKENPIN_FIELD_REJECT_BAD_KEYS = 20,
    /**
     * The switch `keyed_cookies`.
     */
    TOKENPIN_FIELD_KEYED_COOKIES = 21,
    /**
     * The switch `mint_single`.
     */
    TOKENPIN_FIELD_MINT_SINGLE = 22,
    /**
     * The switch `prompt_cache`.
     */
    TOKENPIN_FIELD_PROMPT_CACHE = 23,
    /**
     * The switch `replace_rules`.
     */
    TOKENPIN_FIELD_REPLACE_RULES = 24,
    /**
     * A key that seals ids; the index is its position in the ring.
     */
    TOKENPIN_FIELD_ID_KEYS = 25,
    /**
     * A key that is read for ids, in addition to the default ones.
     */
    TOKENPIN_FIELD_ID_FIELDS = 26,
    /**
     * A prefix of ids that are sealed, in addition to the default ones.
     */
    TOKENPIN_FIELD_ID_PREFIXES = 27,
    /**
     * A segment of a path that an id follows, in addition to the default ones.
     */
    TOKENPIN_FIELD_ID_COLLECTIONS = 28,
    /**
     * The treatment of ids.
     */
    TOKENPIN_FIELD_ID_MODE = 29,
    /**
     * The owner of a sealed id.
     */
    TOKENPIN_FIELD_ID_OWNER = 30,
    /**
     * The treatment of another gateway's ids.
     */
    TOKENPIN_FIELD_FOREIGN_SEALS = 31,
    /**
     * The switch `encrypted_content`.
     */
    TOKENPIN_FIELD_ENCRYPTED_CONTENT = 32,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum tokenpin_field tokenpin_field;
#else
typedef uint8_t tokenpin_field;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * The reason why a configuration was refused, and the place at fault.
 */
typedef struct tokenpin_config_error {
    /**
     * The error: a `tokenpin_status`.
     */
    int32_t status;
    /**
     * The part of the configuration: a `tokenpin_field`.
     */
    uint32_t field;
    /**
     * The position within it, 0 for single values.
     */
    uint64_t index;
} tokenpin_config_error;

/**
 * The version of this interface. It is raised when a program compiled against an older header
 * could misbehave. Compare it with `tokenpin_abi_version()`.
 */
#define TOKENPIN_ABI_VERSION 1

/**
 * The number for no slot.
 */
#define TOKENPIN_SLOT_NONE 4294967295U

/**
 * The largest weight: the token always serves the sessions whose home it is.
 */
#define TOKENPIN_MAX_WEIGHT 65536

/**
 * The largest number of buckets and slots, 2^31 - 1.
 */
#define TOKENPIN_MAX_BUCKETS 2147483647

/**
 * The latest `until` of a slot, in unix seconds: 2^45 - 1.
 */
#define TOKENPIN_MAX_UNTIL 35184372088831

/**
 * The longest scope, in bytes.
 */
#define TOKENPIN_MAX_SCOPE 1024

/**
 * The longest consumer name or session key, in bytes.
 */
#define TOKENPIN_MAX_KEY 4096

/**
 * The most cookie keys in a ring.
 */
#define TOKENPIN_MAX_COOKIE_KEYS 8

/**
 * The longest cookie name, in bytes.
 */
#define TOKENPIN_MAX_COOKIE_NAME 128

/**
 * The length of a cookie's value, in characters.
 */
#define TOKENPIN_COOKIE_VALUE_LEN 67

/**
 * The longest value of a cookie's attribute, in bytes.
 */
#define TOKENPIN_MAX_ATTRIBUTE 1024

/**
 * The longest `Set-Cookie` value around a cookie value of this library, in bytes.
 */
#define TOKENPIN_MAX_SET_COOKIE 2400

/**
 * The largest `Max-Age`, in seconds: 400 days.
 */
#define TOKENPIN_MAX_MAX_AGE 34560000

/**
 * A `Max-Age` that follows from the limits on the cookie's life.
 */
#define TOKENPIN_MAX_AGE_AUTO 4294967295U

/**
 * The longest id of an object that is sealed, in bytes.
 */
#define TOKENPIN_MAX_ID 255

/**
 * The longest sealed id, in bytes.
 */
#define TOKENPIN_MAX_SEALED_ID 281

/**
 * The length of the mark behind encrypted content, in characters.
 */
#define TOKENPIN_ID_MARK_LEN 26

/**
 * The number for no key of the table of ids.
 */
#define TOKENPIN_ID_KEY_NONE 255

/**
 * The alignment of the memory for an affinity, in bytes. `malloc` provides it.
 */
#define TOKENPIN_AFFINITY_ALIGN 16

/**
 * Header fields that depend on the bytes of a body. Drop them if its ids were rewritten. In the braces of an array of `const char *`.
 */
#define TOKENPIN_DIGEST_HEADERS "content-md5", "digest", "content-digest", "repr-digest"

/**
 * Header fields of a response whose value is a target or a URI with ids. In the braces of an array of `const char *`.
 */
#define TOKENPIN_LOCATION_HEADERS "location", "content-location", "operation-location"

/**
 * The version of the library of this header.
 */
#define TOKENPIN_VERSION "0.1.0"

/**
 * The first number of the version.
 */
#define TOKENPIN_VERSION_MAJOR 0

/**
 * The second number of the version.
 */
#define TOKENPIN_VERSION_MINOR 1

/**
 * The third number of the version.
 */
#define TOKENPIN_VERSION_PATCH 0

/* ================================================================================
 * Chapter 2: the affinity
 *
 * One checked configuration. Only the state, weight and until of its slots can change. It lies in
 * one block of memory, the caller's or `malloc`'s, and any number of threads use it without locks.
 * ================================================================================ */

/**
 * The role of a key in a ring.
 */
enum tokenpin_role
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint8_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * Signs new cookies and ids, and those that it signed are valid. Exactly one key of a ring has
     * this role.
     */
    TOKENPIN_ROLE_SIGN = 0,
    /**
     * Cookies and ids that it signed are valid, and stay as they are.
     */
    TOKENPIN_ROLE_ACCEPT = 1,
    /**
     * Cookies and ids that it signed are valid. The cookies are issued again with the signing key;
     * the ids stay as they are.
     */
    TOKENPIN_ROLE_RETIRE = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum tokenpin_role tokenpin_role;
#else
typedef uint8_t tokenpin_role;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * One key of the cookie key ring.
 */
typedef struct tokenpin_cookie_key {
    /**
     * The number in a cookie that names the key that signed it.
     */
    uint8_t id;
    /**
     * A `tokenpin_role`.
     */
    uint8_t role;
    /**
     * The secret.
     */
    uint8_t secret[16];
} tokenpin_cookie_key;

/**
 * The state of a slot.
 */
enum tokenpin_state
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint8_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * Serves every request.
     */
    TOKENPIN_STATE_UP = 0,
    /**
     * Keeps its sessions. Anonymous newcomers go to other slots.
     */
    TOKENPIN_STATE_DRAINING = 1,
    /**
     * Serves no request.
     */
    TOKENPIN_STATE_DOWN = 2,
    /**
     * Holds no account. Fixed when the slot is made.
     */
    TOKENPIN_STATE_VACANT = 3,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum tokenpin_state tokenpin_state;
#else
typedef uint8_t tokenpin_state;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * State, weight and until of a slot.
 */
typedef struct tokenpin_slot_status {
    /**
     * The unix second from which a draining or down slot counts as up again. 0 for never. At most
     * 35184372088831.
     */
    uint64_t until;
    /**
     * 0 to 65536, the full weight. At 0 a slot takes only sessions
     * that are pinned to it.
     */
    uint32_t weight;
    /**
     * A `tokenpin_state`.
     */
    uint8_t state;
} tokenpin_slot_status;

/**
 * One slot of a configuration.
 */
typedef struct tokenpin_slot_config {
    /**
     * The bytes that name the account, unique in the set. Empty for a vacant slot.
     */
    struct tokenpin_bytes identity;
    /**
     * The first status. For a vacant slot the state is `TOKENPIN_STATE_VACANT`, and the rest is
     * ignored.
     */
    struct tokenpin_slot_status status;
} tokenpin_slot_config;

/**
 * The requests across sites with which a browser sends the cookie.
 */
enum tokenpin_same_site
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint8_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * Only top-level navigation. The default.
     */
    TOKENPIN_SAME_SITE_LAX = 0,
    /**
     * None.
     */
    TOKENPIN_SAME_SITE_STRICT = 1,
    /**
     * All; needs `Secure`.
     */
    TOKENPIN_SAME_SITE_NONE = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum tokenpin_same_site tokenpin_same_site;
#else
typedef uint8_t tokenpin_same_site;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * The attributes of the cookie.
 */
typedef struct tokenpin_attributes {
    /**
     * `Path`. Empty for `/`.
     */
    struct tokenpin_bytes path;
    /**
     * `Domain`. Empty for none.
     */
    struct tokenpin_bytes domain;
    /**
     * 1 for `Secure`.
     */
    uint8_t secure;
    /**
     * 1 for `HttpOnly`.
     */
    uint8_t http_only;
    /**
     * A `tokenpin_same_site`.
     */
    uint8_t same_site;
    /**
     * 1 for `Partitioned`.
     */
    uint8_t partitioned;
} tokenpin_attributes;

/**
 * The group of an API, by its use of accounts.
 */
enum tokenpin_group
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint8_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * Any account can serve.
     */
    TOKENPIN_GROUP_STATELESS = 0,
    /**
     * State lives inside the account.
     */
    TOKENPIN_GROUP_STATEFUL = 1,
    /**
     * Any account can serve. The one with the warm prompt cache is cheaper.
     */
    TOKENPIN_GROUP_PROMPT_CACHE = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum tokenpin_group tokenpin_group;
#else
typedef uint8_t tokenpin_group;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * The ids that are opened in the requests of an API, and sealed in its responses.
 */
enum tokenpin_ids
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint8_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * No id is opened or sealed.
     */
    TOKENPIN_IDS_NONE = 0,
    /**
     * Sealed ids in requests are opened. Responses stay as they are.
     */
    TOKENPIN_IDS_OPEN = 1,
    /**
     * Ids in requests are opened, and ids in responses are sealed.
     */
    TOKENPIN_IDS_BOTH = 2,
    /**
     * The same as both, with the ids of items and encrypted content: Responses and Conversations.
     */
    TOKENPIN_IDS_ITEMS = 3,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum tokenpin_ids tokenpin_ids;
#else
typedef uint8_t tokenpin_ids;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * One row of a classification table.
 */
typedef struct tokenpin_rule {
    /**
     * One or more path segments, such as `files` or `messages/batches`. A `*` at the front of a
     * segment, except the first one, stands for one or more bytes of it.
     */
    struct tokenpin_bytes pattern;
    /**
     * A `tokenpin_group`.
     */
    uint8_t group;
    /**
     * A `tokenpin_ids`: the ids that are opened in these requests and sealed in their responses.
     */
    uint8_t ids;
} tokenpin_rule;

/**
 * The meaning of a key's value.
 */
enum tokenpin_key_kind
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint8_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * No key of a document: the path of the request.
     */
    TOKENPIN_KEY_KIND_PATH = 0,
    /**
     * A parameter of the query.
     */
    TOKENPIN_KEY_KIND_QUERY = 1,
    /**
     * The id of the object that has this key.
     */
    TOKENPIN_KEY_KIND_OWN = 2,
    /**
     * An id.
     */
    TOKENPIN_KEY_KIND_ID = 3,
    /**
     * An array of ids.
     */
    TOKENPIN_KEY_KIND_IDS = 4,
    /**
     * An id, or an object with an `id`.
     */
    TOKENPIN_KEY_KIND_NAMED = 5,
    /**
     * An object with an `id`. A string here is no id.
     */
    TOKENPIN_KEY_KIND_HOLDER = 6,
    /**
     * Encrypted content, which carries a mark at its end.
     */
    TOKENPIN_KEY_KIND_ENCRYPTED = 7,
    /**
     * An absolute URL with an id in its path.
     */
    TOKENPIN_KEY_KIND_URL = 8,
    /**
     * Data of the client or of a tool. Nothing inside it is read.
     */
    TOKENPIN_KEY_KIND_OPAQUE = 9,
    /**
     * Data of a tool if the value is an object. An array holds items.
     */
    TOKENPIN_KEY_KIND_OPAQUE_OBJECT = 10,
    /**
     * Values for a prompt, in which only `file_id` is read.
     */
    TOKENPIN_KEY_KIND_VARIABLES = 11,
    /**
     * Items of a conversation.
     */
    TOKENPIN_KEY_KIND_ITEMS = 12,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum tokenpin_key_kind tokenpin_key_kind;
#else
typedef uint8_t tokenpin_key_kind;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * A key that is read for ids, in addition to those of the table.
 */
typedef struct tokenpin_id_field {
    /**
     * The key, 1 to 32 bytes.
     */
    struct tokenpin_bytes name;
    /**
     * A `tokenpin_key_kind`, except `path` and `own`.
     */
    uint8_t kind;
} tokenpin_id_field;

/**
 * The strategy that selects slots.
 */
enum tokenpin_strategy
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint8_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * Jump consistent hash gives the home slot, and more probes give the next slots. Weighted
     * rendezvous takes over if none of them serves. The default.
     */
    TOKENPIN_STRATEGY_JUMP = 0,
    /**
     * Weighted rendezvous only. It is insensitive to the order of the list and to deletions in its
     * middle. Its cost grows with the number of slots.
     */
    TOKENPIN_STRATEGY_RENDEZVOUS = 1,
    /**
     * The mapping of Higress ai-proxy: FNV-1a modulo the number of accounts. For migration only:
     * anyone can aim a key at a slot, and changing the list moves most sessions.
     */
    TOKENPIN_STRATEGY_HIGRESS_FNV1A_MODULO = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum tokenpin_strategy tokenpin_strategy;
#else
typedef uint8_t tokenpin_strategy;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * The reaction to a pinned request whose token is down or was tried.
 */
enum tokenpin_policy
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint8_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * Refuse: another account would not know the state.
     */
    TOKENPIN_POLICY_FAIL_FAST = 0,
    /**
     * Select another token, and pin the session to it if the request creates state
     * there and succeeds.
     */
    TOKENPIN_POLICY_FALLBACK_AND_UPDATE = 1,
    /**
     * Select another token for this request. The session returns when its own token recovers.
     */
    TOKENPIN_POLICY_FALLBACK_WITHOUT_UPDATE = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum tokenpin_policy tokenpin_policy;
#else
typedef uint8_t tokenpin_policy;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * The treatment of ids. The modes are rolled out in this order.
 */
enum tokenpin_mode
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint8_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * No id is opened or sealed. Requests may still be read for ids that name existing state.
     */
    TOKENPIN_MODE_OFF = 0,
    /**
     * Sealed ids are opened and followed. Only ids that the client sent sealed are sealed again.
     */
    TOKENPIN_MODE_OPEN = 1,
    /**
     * All ids are sealed. Plain ids are accepted.
     */
    TOKENPIN_MODE_SEAL = 2,
    /**
     * All ids are sealed. Plain ids are refused.
     */
    TOKENPIN_MODE_STRICT = 3,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum tokenpin_mode tokenpin_mode;
#else
typedef uint8_t tokenpin_mode;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * The owner of a sealed id.
 */
enum tokenpin_id_owner
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint8_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * No one: every client that has the id can use it.
     */
    TOKENPIN_ID_OWNER_NONE = 0,
    /**
     * The consumer: another consumer's request is refused. This protection is not strict, because
     * lists are sealed for any consumer that asks for them.
     */
    TOKENPIN_ID_OWNER_CONSUMER = 1,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum tokenpin_id_owner tokenpin_id_owner;
#else
typedef uint8_t tokenpin_id_owner;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * The treatment of texts that look sealed but were not sealed by a key of the ring.
 */
enum tokenpin_foreign_seals
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint8_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * Depends on the mode: plain in [`Mode::Open`], where clients may still hold ids of another
     * gateway, else refused.
     */
    TOKENPIN_FOREIGN_SEALS_AUTO = 0,
    /**
     * They are refused.
     */
    TOKENPIN_FOREIGN_SEALS_REFUSE = 1,
    /**
     * They count as plain ids.
     */
    TOKENPIN_FOREIGN_SEALS_PLAIN = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum tokenpin_foreign_seals tokenpin_foreign_seals;
#else
typedef uint8_t tokenpin_foreign_seals;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * The input of an affinity. `tokenpin_config_init` sets the defaults; then the placement key, the
 * cookie keys and the slots have to be set. All of it is copied.
 */
typedef struct tokenpin_config {
    /**
     * `sizeof(tokenpin_config)`, which tells a library the fields that the program knows. A
     * library accepts every size from that of its first version on.
     */
    size_t size;
    /**
     * The cookie key ring, 1 to 8 keys.
     */
    const struct tokenpin_cookie_key *cookie_keys;
    /**
     * The number of cookie keys.
     */
    size_t cookie_key_count;
    /**
     * The slots, 1 to 2147483647.
     */
    const struct tokenpin_slot_config *slots;
    /**
     * The capacity: the number of slots, vacant ones included.
     */
    size_t slot_count;
    /**
     * The default scope, 0 to 1024 bytes.
     */
    struct tokenpin_bytes scope;
    /**
     * The cookie's name. Empty for the default name of the request's scope.
     */
    struct tokenpin_bytes cookie_name;
    /**
     * The cookie's attributes.
     */
    struct tokenpin_attributes attributes;
    /**
     * The classification table: these rules, followed by the default ones.
     */
    const struct tokenpin_rule *rules;
    /**
     * The number of these rules.
     */
    size_t rule_count;
    /**
     * The keys that seal ids, at most 8. None for the
     * cookie keys.
     */
    const struct tokenpin_cookie_key *id_keys;
    /**
     * The number of these keys.
     */
    size_t id_key_count;
    /**
     * Keys that are read for ids, in addition to those of the table. At most 32.
     */
    const struct tokenpin_id_field *id_fields;
    /**
     * The number of these keys.
     */
    size_t id_field_count;
    /**
     * Prefixes of ids that are sealed, in addition to those of the table. At most 32.
     */
    const struct tokenpin_bytes *id_prefixes;
    /**
     * The number of these prefixes.
     */
    size_t id_prefix_count;
    /**
     * Segments of a path that an id follows, in addition to those of the table. At most 32.
     */
    const struct tokenpin_bytes *id_collections;
    /**
     * The number of these segments.
     */
    size_t id_collection_count;
    /**
     * `Max-Age` in seconds. 0 is a session cookie. The default, `TOKENPIN_MAX_AGE_AUTO`, is as
     * long as the cookie can be valid.
     */
    uint32_t max_age;
    /**
     * The tolerance for clocks that run ahead, in seconds. Default 300.
     */
    uint32_t skew;
    /**
     * The longest life of a cookie since its first issue, in seconds; 0 for no limit. Default 30
     * days.
     */
    uint32_t max_life;
    /**
     * The longest time between refreshes of a cookie, in seconds; 0, the default, for no limit.
     */
    uint32_t max_idle;
    /**
     * The first response status on which a cookie is set. Default 200.
     */
    uint16_t success_first;
    /**
     * The last response status on which a cookie is set. Default 299.
     */
    uint16_t success_last;
    /**
     * The key that decides the mapping of keys. The same on all replicas; not all zero.
     */
    uint8_t placement_key[16];
    /**
     * A `tokenpin_strategy`. Default jump.
     */
    uint8_t strategy;
    /**
     * A `tokenpin_policy`, for requests that name existing state. Default fail_fast.
     */
    uint8_t policy_existing;
    /**
     * A `tokenpin_policy`, for all others. Default fallback_and_update.
     */
    uint8_t policy_new;
    /**
     * 1: use consumer and session key together if a request has both. Default 0.
     */
    uint8_t combine_keys;
    /**
     * 1: reject a request whose key is untrusted, ambiguous or too long. Default 0: try the next
     * source.
     */
    uint8_t reject_bad_keys;
    /**
     * 1: give cookies to sessions that have a key. Default 0.
     */
    uint8_t keyed_cookies;
    /**
     * 1: mint cookies also if only one slot holds an account. Default 0.
     */
    uint8_t mint_single;
    /**
     * 1: give affinity to the prompt-cache group too. Default 0.
     */
    uint8_t prompt_cache;
    /**
     * 1: leave the default rules out of the classification table. Default 0.
     */
    uint8_t replace_rules;
    /**
     * A `tokenpin_mode`: the treatment of ids. Default off.
     */
    uint8_t id_mode;
    /**
     * A `tokenpin_id_owner`: the owner of a sealed id. Default none.
     */
    uint8_t id_owner;
    /**
     * A `tokenpin_foreign_seals`: the treatment of another gateway's ids. Default auto.
     */
    uint8_t foreign_seals;
    /**
     * 1: mark encrypted content. Default 1.
     */
    uint8_t encrypted_content;
} tokenpin_config;

/**
 * Sets a configuration to the defaults. `size` is `sizeof(tokenpin_config)`. Fields of a newer
 * header that this library does not know are set to zero.
 *
 * Statuses: OK, NULL_POINTER, MISALIGNED, STRUCT_SIZE.
 */
TOKENPIN_MUST_CHECK
int32_t tokenpin_config_init(struct tokenpin_config *config, size_t size);

/**
 * Returns in `size` the number of bytes that an affinity of this configuration needs. Does not
 * check identities, keys and policies. `error` may be NULL; if it is not, it receives the reason
 * of a refusal.
 *
 * Statuses: OK, NULL_POINTER, MISALIGNED, LENGTH, BAD_ENUM, STRUCT_SIZE, SLOT_COUNT.
 */
TOKENPIN_MUST_CHECK
int32_t tokenpin_affinity_size(const struct tokenpin_config *config,
                               size_t *size,
                               struct tokenpin_config_error *error);

/**
 * A handle: private, and shared between threads without locks.
 */
typedef struct tokenpin_affinity tokenpin_affinity;

/**
 * Builds an affinity in `memory`, which is aligned to `TOKENPIN_AFFINITY_ALIGN` and has `size`
 * bytes, at least as many as `tokenpin_affinity_size` reports. The memory is separate from the
 * configuration and everything that it points to. The affinity must not be moved.
 * `tokenpin_affinity_wipe` ends its life.
 *
 * `affinity` receives the handle. `error` may be NULL; if it is not, it receives the reason of a
 * refusal, with the field and element at fault. The configuration is copied and may be freed. If
 * it is refused, the memory may have been written to, but holds nothing secret.
 *
 * Statuses: OK, NULL_POINTER, MISALIGNED, LENGTH, BAD_ENUM, OVERLAP, STRUCT_SIZE,
 * BUFFER_TOO_SMALL, SCOPE_LENGTH, IDENTITY_EMPTY, WEIGHT, UNTIL, VACANT, SLOT_COUNT,
 * DUPLICATE_IDENTITY, ZERO_SECRET, DUPLICATE_SECRET, DUPLICATE_KEY_ID, KEY_COUNT, SIGNING_KEYS,
 * COOKIE_NAME, ATTRIBUTE, NAME_PREFIX, NEEDS_SECURE, MAX_AGE, SUCCESS_RANGE, PATTERN, ID_FIELD.
 */
TOKENPIN_MUST_CHECK
int32_t tokenpin_affinity_init(void *memory,
                               size_t size,
                               const struct tokenpin_config *config,
                               struct tokenpin_affinity **affinity,
                               struct tokenpin_config_error *error);

/**
 * Builds an affinity in memory of one `malloc`. `tokenpin_affinity_free` ends its life. Otherwise
 * like `tokenpin_affinity_init`.
 *
 * Statuses: OK, NULL_POINTER, MISALIGNED, LENGTH, BAD_ENUM, STRUCT_SIZE, OUT_OF_MEMORY,
 * SCOPE_LENGTH, IDENTITY_EMPTY, WEIGHT, UNTIL, VACANT, SLOT_COUNT, DUPLICATE_IDENTITY,
 * ZERO_SECRET, DUPLICATE_SECRET, DUPLICATE_KEY_ID, KEY_COUNT, SIGNING_KEYS, COOKIE_NAME,
 * ATTRIBUTE, NAME_PREFIX, NEEDS_SECURE, MAX_AGE, SUCCESS_RANGE, PATTERN, ID_FIELD.
 */
TOKENPIN_MUST_CHECK
int32_t tokenpin_affinity_new(const struct tokenpin_config *config,
                              struct tokenpin_affinity **affinity,
                              struct tokenpin_config_error *error);

/**
 * Ends the life of an affinity of `tokenpin_affinity_init` and wipes its memory, which stays the
 * caller's. No thread may be using it. NULL is allowed, and so is an affinity that is wiped
 * already.
 */
void tokenpin_affinity_wipe(struct tokenpin_affinity *affinity);

/**
 * Ends the life of an affinity of `tokenpin_affinity_new`: wipes its memory and frees it. No
 * thread may be using it. NULL is allowed.
 */
void tokenpin_affinity_free(struct tokenpin_affinity *affinity);

/**
 * Changes state, weight and until of a slot atomically. Safe while other threads decide, and never
 * waits.
 *
 * Statuses: OK, NULL_POINTER, MISALIGNED, BAD_ENUM, NOT_INITIALISED, WEIGHT, UNTIL, VACANT,
 * SLOT_RANGE.
 */
TOKENPIN_MUST_CHECK
int32_t tokenpin_affinity_set_slot(const struct tokenpin_affinity *affinity,
                                   uint32_t slot,
                                   const struct tokenpin_slot_status *status);

/**
 * Reads state, weight and until of a slot atomically. `identity_hash` may be NULL; if it is not,
 * it receives the identity hash of the slot's account, 0 for a vacant slot.
 *
 * Statuses: OK, NULL_POINTER, MISALIGNED, OVERLAP, NOT_INITIALISED, SLOT_RANGE.
 */
TOKENPIN_MUST_CHECK
int32_t tokenpin_affinity_get_slot(const struct tokenpin_affinity *affinity,
                                   uint32_t slot,
                                   struct tokenpin_slot_status *status,
                                   uint64_t *identity_hash);

/**
 * Finds the slot of the account that `identity` names, `TOKENPIN_SLOT_NONE` if there is none.
 *
 * Statuses: OK, NULL_POINTER, MISALIGNED, LENGTH, OVERLAP, NOT_INITIALISED, IDENTITY_EMPTY.
 */
TOKENPIN_MUST_CHECK
int32_t tokenpin_affinity_find(const struct tokenpin_affinity *affinity,
                               const void *identity,
                               size_t identity_len,
                               uint32_t *slot);

/**
 * Reports the number of slots, vacant ones included.
 *
 * Statuses: OK, NULL_POINTER, MISALIGNED, OVERLAP, NOT_INITIALISED.
 */
TOKENPIN_MUST_CHECK
int32_t tokenpin_affinity_capacity(const struct tokenpin_affinity *affinity, size_t *capacity);

/**
 * Writes the cookie's name for a scope, at most `TOKENPIN_MAX_COOKIE_NAME` bytes. An empty scope
 * is the configured one. Strip the cookie with this name from requests, and from the upstream's
 * responses.
 *
 * Statuses: OK, NULL_POINTER, MISALIGNED, LENGTH, OVERLAP, NOT_INITIALISED, BUFFER_TOO_SMALL,
 * SCOPE_LENGTH.
 */
TOKENPIN_MUST_CHECK
int32_t tokenpin_affinity_cookie_name(const struct tokenpin_affinity *affinity,
                                      const void *scope,
                                      size_t scope_len,
                                      void *buffer,
                                      size_t capacity,
                                      size_t *len);

/**
 * Computes the `id_hint` of the client that `of` belongs to. It is the same on every replica. `of`
 * is 1 to `TOKENPIN_MAX_KEY` bytes that no two clients share. `id_hint` receives 16 bytes.
 *
 * Statuses: OK, NULL_POINTER, MISALIGNED, LENGTH, OVERLAP, NOT_INITIALISED, KEY_LENGTH.
 */
TOKENPIN_MUST_CHECK
int32_t tokenpin_affinity_id_hint(const struct tokenpin_affinity *affinity,
                                  const void *of,
                                  size_t of_len,
                                  uint8_t *id_hint);

/**
 * Classifies a request by the configured table. See `tokenpin_classify`.
 *
 * Statuses: OK, NULL_POINTER, MISALIGNED, LENGTH, OVERLAP, NOT_INITIALISED.
 */
TOKENPIN_MUST_CHECK
int32_t tokenpin_affinity_classify(const struct tokenpin_affinity *affinity,
                                   const void *method,
                                   size_t method_len,
                                   const void *target,
                                   size_t target_len,
                                   uint8_t *group,
                                   uint8_t *existing,
                                   uint8_t *ids);

/**
 * Reports the configuration's fingerprint. Replicas with different fingerprints do not agree.
 *
 * Statuses: OK, NULL_POINTER, MISALIGNED, OVERLAP, NOT_INITIALISED.
 */
TOKENPIN_MUST_CHECK
int32_t tokenpin_affinity_fingerprint(const struct tokenpin_affinity *affinity,
                                      uint64_t *fingerprint);

/**
 * Reports the fingerprint of the weights, and of the states that count at `now`, in unix seconds.
 * Linear in the number of slots.
 *
 * Statuses: OK, NULL_POINTER, MISALIGNED, OVERLAP, NOT_INITIALISED.
 */
TOKENPIN_MUST_CHECK
int32_t tokenpin_affinity_live_fingerprint(const struct tokenpin_affinity *affinity,
                                           uint64_t now,
                                           uint64_t *fingerprint);

/* ================================================================================
 * Chapter 3: decide and finish
 *
 * The decision says which slot serves a request and which cookie is set on success. It is plain
 * data: keep it, and the affinity that made it, until the response.
 * ================================================================================ */

/**
 * The summary of a request's ids, and the forms in which the client wrote them: plain data. Keep
 * it until the response. A copy is a summary too.
 */
typedef struct tokenpin_id_summary {
    /**
     * Private.
     */
    uint64_t private_words[56];
} tokenpin_id_summary;

/**
 * One request, borrowed for the call. All zero is a valid start.
 */
typedef struct tokenpin_request {
    /**
     * The method, which classification reads. With a group it still says whether the request names
     * existing state. Use `CONNECT` for a WebSocket handshake, also if it is a `GET` with
     * `Upgrade`: a handshake reads nothing, and its connection may create state.
     */
    struct tokenpin_bytes method;
    /**
     * The target, such as `/v1/responses?x=1`, which classification reads.
     */
    struct tokenpin_bytes target;
    /**
     * The values of the consumer header. Empty ones are skipped, and equal ones count as one.
     */
    const struct tokenpin_bytes *consumers;
    /**
     * The number of these values.
     */
    size_t consumer_count;
    /**
     * The values of the session header. Empty ones are skipped, and equal ones count as one.
     */
    const struct tokenpin_bytes *sessions;
    /**
     * The number of these values.
     */
    size_t session_count;
    /**
     * The values of the `Cookie` fields.
     */
    const struct tokenpin_bytes *cookies;
    /**
     * The number of these fields.
     */
    size_t cookie_count;
    /**
     * A cookie's value that came in the carrier header. Empty for none.
     */
    struct tokenpin_bytes carrier_value;
    /**
     * The scope, 0 to 1024 bytes. Empty for the configured one.
     */
    struct tokenpin_bytes scope;
    /**
     * The summary of the ids in its path, query and body. NULL if they were not read.
     */
    const struct tokenpin_id_summary *ids;
    /**
     * The slots that this request has tried already.
     */
    const uint32_t *tried;
    /**
     * The number of these slots.
     */
    size_t tried_count;
    /**
     * The wall clock, in unix seconds.
     */
    uint64_t now;
    /**
     * NULL, or 16 bytes that become the id of a new session, so that parallel first requests of
     * one client agree: `tokenpin_affinity_id_hint` of something that belongs to only one client.
     * Not a connection behind a CDN, which carries many clients, and not an address behind a NAT.
     * NULL if in doubt.
     */
    const uint8_t *id_hint;
    /**
     * Sixteen fresh random bytes.
     */
    uint8_t entropy[16];
    /**
     * 1: `group` names the group. 0: method and target are classified.
     */
    uint8_t has_group;
    /**
     * A `tokenpin_group`, if `has_group` is 1.
     */
    uint8_t group;
    /**
     * 1: the request names existing state. Then it is stateful, regardless of group, method and
     * target. Set it if the body names state (`previous_response_id`, `input_file_id`, ...); the
     * library learns that only from `ids`.
     */
    uint8_t existing;
    /**
     * 1: the consumer values come from a source that may name consumers.
     */
    uint8_t consumer_trusted;
    /**
     * 1: the response returns the cookie in the carrier header. Implied if `carrier_value` is not
     * empty.
     */
    uint8_t carrier;
} tokenpin_request;

/**
 * The source of a request's affinity.
 */
enum tokenpin_source
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint8_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * Affinity was wanted, but no source had it, and nothing was minted.
     */
    TOKENPIN_SOURCE_NONE = 0,
    /**
     * The request needs no affinity.
     */
    TOKENPIN_SOURCE_STATELESS = 1,
    /**
     * The consumer name.
     */
    TOKENPIN_SOURCE_CONSUMER = 2,
    /**
     * The session key.
     */
    TOKENPIN_SOURCE_SESSION = 3,
    /**
     * Consumer name and session key together.
     */
    TOKENPIN_SOURCE_COMBINED = 4,
    /**
     * The id in a valid anonymous cookie.
     */
    TOKENPIN_SOURCE_COOKIE = 5,
    /**
     * A new anonymous id.
     */
    TOKENPIN_SOURCE_MINTED = 6,
    /**
     * A sealed id.
     */
    TOKENPIN_SOURCE_ID = 7,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum tokenpin_source tokenpin_source;
#else
typedef uint8_t tokenpin_source;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * The outcome of a decision.
 */
enum tokenpin_outcome
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint8_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * Selection chose the slot. No pin was involved.
     */
    TOKENPIN_OUTCOME_PLACED = 0,
    /**
     * The pinned token serves.
     */
    TOKENPIN_OUTCOME_PINNED = 1,
    /**
     * The pinned token cannot serve. Another does, and becomes the pin on success.
     */
    TOKENPIN_OUTCOME_REPINNED = 2,
    /**
     * The pinned token cannot serve. Another does, for this request only.
     */
    TOKENPIN_OUTCOME_FALLBACK = 3,
    /**
     * Selection chose a slot that was not tried yet. No pin was involved.
     */
    TOKENPIN_OUTCOME_RETRIED = 4,
    /**
     * Rejected by a policy, for its keys, or for its ids.
     */
    TOKENPIN_OUTCOME_REJECTED = 5,
    /**
     * No slot can serve.
     */
    TOKENPIN_OUTCOME_NONE = 6,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum tokenpin_outcome tokenpin_outcome;
#else
typedef uint8_t tokenpin_outcome;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * The state of the pinned token.
 */
enum tokenpin_pin_state
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint8_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * The request has no pin.
     */
    TOKENPIN_PIN_STATE_NONE = 0,
    /**
     * Up, and the slot that selection would choose without the pin.
     */
    TOKENPIN_PIN_STATE_HOME = 1,
    /**
     * Up, and another slot than selection would choose: without its pin, the session would move.
     */
    TOKENPIN_PIN_STATE_ELSEWHERE = 2,
    /**
     * Draining.
     */
    TOKENPIN_PIN_STATE_DRAINING = 3,
    /**
     * Down.
     */
    TOKENPIN_PIN_STATE_DOWN = 4,
    /**
     * Not in the set.
     */
    TOKENPIN_PIN_STATE_GONE = 5,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum tokenpin_pin_state tokenpin_pin_state;
#else
typedef uint8_t tokenpin_pin_state;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * The result of reading a cookie.
 */
enum tokenpin_verdict
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint8_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * There was no cookie, or the decision needed none.
     */
    TOKENPIN_VERDICT_ABSENT = 0,
    /**
     * Not 67 base64url characters with zero trailing bits, or of an undefined kind.
     */
    TOKENPIN_VERDICT_MALFORMED = 1,
    /**
     * Of another version of this format.
     */
    TOKENPIN_VERDICT_UNKNOWN_VERSION = 2,
    /**
     * Signed by a key that is not in the ring.
     */
    TOKENPIN_VERDICT_UNKNOWN_KEY = 3,
    /**
     * Forged, damaged, or made for another name, scope or affinity key.
     */
    TOKENPIN_VERDICT_BAD_TAG = 4,
    /**
     * Genuine, but of another kind than the request.
     */
    TOKENPIN_VERDICT_OTHER_KEY = 5,
    /**
     * Issued or refreshed later than now plus the skew.
     */
    TOKENPIN_VERDICT_NOT_YET_VALID = 6,
    /**
     * Issued longer ago than the maximum life.
     */
    TOKENPIN_VERDICT_EXPIRED_LIFE = 7,
    /**
     * Refreshed longer ago than the maximum idle time.
     */
    TOKENPIN_VERDICT_EXPIRED_IDLE = 8,
    /**
     * Usable.
     */
    TOKENPIN_VERDICT_VALID = 9,
    /**
     * Usable, and due for a refresh.
     */
    TOKENPIN_VERDICT_REFRESH_DUE = 10,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum tokenpin_verdict tokenpin_verdict;
#else
typedef uint8_t tokenpin_verdict;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * The verdict on a sealed id, or on all ids of a request. A later value is a worse verdict.
 */
enum tokenpin_id_verdict
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint8_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * There is no id.
     */
    TOKENPIN_ID_VERDICT_NONE = 0,
    /**
     * The id does not look sealed: it is as a provider made it.
     */
    TOKENPIN_ID_VERDICT_PLAIN = 1,
    /**
     * The id is authentic and names its account.
     */
    TOKENPIN_ID_VERDICT_SEALED = 2,
    /**
     * Two ids name different accounts.
     */
    TOKENPIN_ID_VERDICT_CONFLICT = 3,
    /**
     * The id has a later version.
     */
    TOKENPIN_ID_VERDICT_UNKNOWN_VERSION = 4,
    /**
     * The ring has no key with the id's key id.
     */
    TOKENPIN_ID_VERDICT_UNKNOWN_KEY = 5,
    /**
     * The seal is not what the key would have made.
     */
    TOKENPIN_ID_VERDICT_BAD_SEAL = 6,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum tokenpin_id_verdict tokenpin_id_verdict;
#else
typedef uint8_t tokenpin_id_verdict;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * Why a key of the request was not used: the reason of the first unusable one, else `ok` if a key
 * is used.
 */
enum tokenpin_key_reason
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint8_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * A key is used.
     */
    TOKENPIN_KEY_REASON_OK = 0,
    /**
     * There was no key, or the decision needed none.
     */
    TOKENPIN_KEY_REASON_ABSENT = 1,
    /**
     * A consumer name came from a source that is not trusted to name consumers.
     */
    TOKENPIN_KEY_REASON_UNTRUSTED = 2,
    /**
     * Several different values came where one is expected.
     */
    TOKENPIN_KEY_REASON_SEVERAL_VALUES = 3,
    /**
     * The key is over 4096 bytes.
     */
    TOKENPIN_KEY_REASON_TOO_LONG = 4,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum tokenpin_key_reason tokenpin_key_reason;
#else
typedef uint8_t tokenpin_key_reason;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * The answer to a request: plain data without pointers. Keep it until the response.
 */
typedef struct tokenpin_decision {
    /**
     * The fingerprint of the configuration that decided.
     */
    uint64_t fingerprint;
    /**
     * The slot that serves, or `TOKENPIN_SLOT_NONE`; then the host answers with an error itself.
     */
    uint32_t slot;
    /**
     * The `Max-Age` of the cookie.
     */
    uint32_t max_age;
    /**
     * Without a slot: the seconds until the first slot that can serve the request is up again.
     * Under `fail_fast`, and for an id, the seconds until the pinned slot is. At most 2^32-1. 0 if
     * that is unknown, if the slot can serve now but was tried, if the keys or ids were refused,
     * and if a slot serves.
     */
    uint32_t retry_after;
    /**
     * The source of the affinity: a `tokenpin_source`.
     */
    uint8_t source;
    /**
     * The outcome: a `tokenpin_outcome`.
     */
    uint8_t outcome;
    /**
     * The state of the pinned token: a `tokenpin_pin_state`.
     */
    uint8_t pin_state;
    /**
     * The verdict on the request's cookies: a `tokenpin_verdict`.
     */
    uint8_t verdict;
    /**
     * The verdict on the request's ids: a `tokenpin_id_verdict`.
     */
    uint8_t id_verdict;
    /**
     * Numbers of keys, or `TOKENPIN_ID_KEY_NONE`: the key of the id that names the account or is
     * refused, and for a conflict both keys. `tokenpin_affinity_id_key` spells them.
     */
    uint8_t id_keys[2];
    /**
     * Why a key of the request was not used: a `tokenpin_key_reason`.
     */
    uint8_t key_reason;
    /**
     * 1: valid cookies with different ids came.
     */
    uint8_t ambiguous;
    /**
     * 1: the request names existing state, according to its method, its target, its ids or the
     * caller.
     */
    uint8_t existing;
    /**
     * 1: a host may send the request to another token when this one refuses it. Such a request
     * names no state, and the state it creates will be looked for at the token that created it.
     */
    uint8_t may_move;
    /**
     * The condition for setting the cookie: 0 never, 1 on success.
     */
    uint8_t cookie;
    /**
     * 1: the value is returned in the carrier header.
     */
    uint8_t carrier;
    /**
     * 1: the cookie's name follows the request's own scope, with the suffix below.
     */
    uint8_t has_name_suffix;
    /**
     * The suffix of the name, before it is spelled in hexadecimal digits.
     */
    uint8_t name_suffix[4];
    /**
     * The value of the cookie, 67 characters without a NUL.
     */
    uint8_t value[TOKENPIN_COOKIE_VALUE_LEN];
} tokenpin_decision;

/**
 * Decides which slot serves a request, and prepares the cookie that the response sets. Any number
 * of threads may call it. Refuses with `TOKENPIN_STATUS_ENTROPY` if randomness is needed and all
 * zero, and with `TOKENPIN_STATUS_TIME` if a cookie is to be issued after the year 2106.
 *
 * Statuses: OK, NULL_POINTER, MISALIGNED, LENGTH, BAD_ENUM, OVERLAP, NOT_INITIALISED,
 * SCOPE_LENGTH, SLOT_RANGE, TIME, ENTROPY.
 */
TOKENPIN_MUST_CHECK
int32_t tokenpin_affinity_decide(const struct tokenpin_affinity *affinity,
                                 const struct tokenpin_request *request,
                                 struct tokenpin_decision *decision);

/**
 * The output of `finish`.
 */
enum tokenpin_answer
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint8_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * Nothing is set.
     */
    TOKENPIN_ANSWER_NOTHING = 0,
    /**
     * The value of a `Set-Cookie` field.
     */
    TOKENPIN_ANSWER_SET_COOKIE = 1,
    /**
     * The value of the carrier header.
     */
    TOKENPIN_ANSWER_CARRIER = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum tokenpin_answer tokenpin_answer;
#else
typedef uint8_t tokenpin_answer;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * Finishes a request: if the response's `status` is a success and there is a cookie to set, writes
 * the cookie. `answer` receives a `tokenpin_answer`, `*len` the length, 0 for no output.
 * `TOKENPIN_MAX_SET_COOKIE` bytes suffice. Only formats.
 *
 * Refuses with `TOKENPIN_STATUS_STALE` if another configuration decided: keep the affinity that
 * decides alive until the response. The buffer must not overlap the affinity's memory.
 *
 * Statuses: OK, NULL_POINTER, MISALIGNED, LENGTH, OVERLAP, NOT_INITIALISED, BUFFER_TOO_SMALL,
 * BAD_DECISION, STALE.
 */
TOKENPIN_MUST_CHECK
int32_t tokenpin_affinity_finish(const struct tokenpin_affinity *affinity,
                                 const struct tokenpin_decision *decision,
                                 uint16_t status,
                                 void *buffer,
                                 size_t capacity,
                                 size_t *len,
                                 uint8_t *answer);

/**
 * The refusal with which a host answers if no slot serves. The names are the codes that clients
 * see.
 */
enum tokenpin_refusal
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint8_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * None: a slot serves.
     */
    TOKENPIN_REFUSAL_NONE = 0,
    /**
     * No slot can serve.
     */
    TOKENPIN_REFUSAL_NO_ACCOUNT_AVAILABLE = 1,
    /**
     * The session's key cannot be used.
     */
    TOKENPIN_REFUSAL_BAD_AFFINITY_KEY = 2,
    /**
     * The session's account cannot serve now.
     */
    TOKENPIN_REFUSAL_SESSION_UNAVAILABLE = 3,
    /**
     * The `previous_response_id` is not one that this gateway issued for an account in its set.
     */
    TOKENPIN_REFUSAL_PREVIOUS_RESPONSE_NOT_FOUND = 4,
    /**
     * The mark of the encrypted content does not name an account in the set.
     */
    TOKENPIN_REFUSAL_INVALID_ENCRYPTED_CONTENT = 5,
    /**
     * Another id is not one that this gateway issued for an account in its set.
     */
    TOKENPIN_REFUSAL_NOT_FOUND = 6,
    /**
     * Two ids name different accounts.
     */
    TOKENPIN_REFUSAL_CONFLICTING_ACCOUNTS = 7,
    /**
     * A string of the body may be an id, and is too long to be read.
     */
    TOKENPIN_REFUSAL_UNREADABLE_BODY = 8,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum tokenpin_refusal tokenpin_refusal;
#else
typedef uint8_t tokenpin_refusal;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * Reports the refusal with which a host answers if no slot serves. `refusal` receives a
 * `tokenpin_refusal`, whose name is the code that clients see, and `status` its HTTP status. If a
 * slot serves, they are `NONE` and 200.
 *
 * Statuses: OK, NULL_POINTER, MISALIGNED, BAD_DECISION.
 */
TOKENPIN_MUST_CHECK
int32_t tokenpin_decision_refusal(const struct tokenpin_decision *decision,
                                  uint16_t *status,
                                  uint8_t *refusal);

/* ================================================================================
 * Chapter 4: slots and selection
 *
 * Selects the slot that serves a key, for callers that keep their own array of slots.
 * ================================================================================ */

/**
 * Computes jump consistent hash: the bucket, 0 to `buckets` - 1, of `key`.
 *
 * `buckets` is 1 to 2147483647. Takes about ln(`buckets`) steps.
 *
 * Statuses: OK, NULL_POINTER, MISALIGNED, BUCKET_COUNT.
 */
TOKENPIN_MUST_CHECK
int32_t tokenpin_jump(uint64_t key, uint32_t buckets, uint32_t *bucket);

/**
 * Computes the identity hash of the account that `identity` names, 1 byte or more.
 *
 * Statuses: OK, NULL_POINTER, MISALIGNED, LENGTH, IDENTITY_EMPTY.
 */
TOKENPIN_MUST_CHECK
int32_t tokenpin_identity_hash(const void *identity, size_t identity_len, uint64_t *hash);

/**
 * The kind of an affinity key, and of the cookies that belong to it. The numbers are the low
 * nibble of a cookie's first byte.
 */
enum tokenpin_kind
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint8_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * A random id that a cookie carries.
     */
    TOKENPIN_KIND_ANONYMOUS = 0,
    /**
     * A consumer name.
     */
    TOKENPIN_KIND_CONSUMER = 1,
    /**
     * A session key.
     */
    TOKENPIN_KIND_SESSION = 2,
    /**
     * A consumer name and a session key.
     */
    TOKENPIN_KIND_COMBINED = 3,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum tokenpin_kind tokenpin_kind;
#else
typedef uint8_t tokenpin_kind;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * An affinity key.
 */
typedef struct tokenpin_key {
    /**
     * A `tokenpin_kind`.
     */
    uint8_t kind;
    /**
     * The 16 bytes of an anonymous id, a consumer name, or a session key. For a combined key the
     * consumer name. Names and session keys have 1 to 4096 bytes.
     */
    struct tokenpin_bytes key;
    /**
     * The session key of a combined key. Ignored for the other kinds.
     */
    struct tokenpin_bytes session;
} tokenpin_key;

/**
 * Computes the hash of an affinity key, from which selection starts. `placement_key` has 16 bytes
 * and is not all zero. The scope has 0 to 1024 bytes.
 *
 * Statuses: OK, NULL_POINTER, MISALIGNED, LENGTH, BAD_ENUM, SCOPE_LENGTH, KEY_LENGTH, ZERO_SECRET.
 */
TOKENPIN_MUST_CHECK
int32_t tokenpin_key_hash(const uint8_t *placement_key,
                          const void *scope,
                          size_t scope_len,
                          const struct tokenpin_key *key,
                          uint64_t *hash);

/**
 * One slot of a token set, in memory of the caller. `tokenpin_slot_init` or
 * `tokenpin_slot_init_vacant` makes it, and only `tokenpin_slot_set`, which is atomic, changes it.
 */
typedef struct tokenpin_slot {
    /**
     * The identity hash of the account; 0 for a vacant slot.
     */
    uint64_t identity_hash;
    /**
     * State, weight and until. Its layout is private.
     */
    uint64_t word;
} tokenpin_slot;

/**
 * Makes the slot of the account that `identity` names, 1 byte or more.
 *
 * Statuses: OK, NULL_POINTER, MISALIGNED, LENGTH, BAD_ENUM, IDENTITY_EMPTY, WEIGHT, UNTIL, VACANT.
 */
TOKENPIN_MUST_CHECK
int32_t tokenpin_slot_init(struct tokenpin_slot *slot,
                           const void *identity,
                           size_t identity_len,
                           const struct tokenpin_slot_status *status);

/**
 * Makes a slot without an account, kept for growth.
 *
 * Statuses: OK, NULL_POINTER, MISALIGNED.
 */
TOKENPIN_MUST_CHECK
int32_t tokenpin_slot_init_vacant(struct tokenpin_slot *slot);

/**
 * Changes state, weight and until of a slot atomically. Safe while other threads select. The state
 * vacant is never set or left.
 *
 * Statuses: OK, NULL_POINTER, MISALIGNED, BAD_ENUM, WEIGHT, UNTIL, VACANT.
 */
TOKENPIN_MUST_CHECK
int32_t tokenpin_slot_set(struct tokenpin_slot *slot, const struct tokenpin_slot_status *status);

/**
 * Reads state, weight and until of a slot atomically.
 *
 * Statuses: OK, NULL_POINTER, MISALIGNED.
 */
TOKENPIN_MUST_CHECK
int32_t tokenpin_slot_get(const struct tokenpin_slot *slot, struct tokenpin_slot_status *status);

/**
 * The filter that selects candidates.
 */
typedef struct tokenpin_filter {
    /**
     * Unix seconds.
     */
    uint64_t now;
    /**
     * The slots that this request has tried already.
     */
    const uint32_t *tried;
    /**
     * The number of these slots.
     */
    size_t tried_count;
    /**
     * 1 if the key is an anonymous id. Then a draining slot is a candidate only if no other slot
     * is.
     */
    uint8_t anonymous;
} tokenpin_filter;

/**
 * Selects the slot that serves the key with hash `hash`, `TOKENPIN_SLOT_NONE` if no slot is a
 * candidate.
 *
 * `strategy` is a `tokenpin_strategy`. That of Higress needs the key itself, and is refused with
 * `TOKENPIN_STATUS_STRATEGY`. `count` is 1 to 2147483647. Under jump it
 * takes about ln(`count`) steps, plus one for each probe, while a good part of the slots can
 * serve. If only few of many can, and under rendezvous, the time is linear in `count`. State,
 * weight and until of a slot are read atomically. If a slot's status changes meanwhile, the answer
 * is right for the statuses as they were read; one slot may have been read twice.
 *
 * Statuses: OK, NULL_POINTER, MISALIGNED, LENGTH, BAD_ENUM, OVERLAP, SLOT_COUNT, STRATEGY.
 */
TOKENPIN_MUST_CHECK
int32_t tokenpin_select(uint8_t strategy,
                        const struct tokenpin_slot *slots,
                        size_t count,
                        const struct tokenpin_filter *filter,
                        uint64_t hash,
                        uint32_t *slot);

/**
 * Selects the slot that Higress ai-proxy would choose for a key, for migration: number
 * `fnv1a32(key bytes) % n` of the `n` slots that hold an account, `TOKENPIN_SLOT_NONE` if no slot
 * is a candidate. `hash` is the `tokenpin_key_hash` of the key: if that slot cannot serve,
 * weighted rendezvous with the hash takes over. `count` is 1 to
 * 2147483647. Linear in `count`.
 *
 * Statuses: OK, NULL_POINTER, MISALIGNED, LENGTH, BAD_ENUM, OVERLAP, KEY_LENGTH, SLOT_COUNT.
 */
TOKENPIN_MUST_CHECK
int32_t tokenpin_select_higress(const struct tokenpin_slot *slots,
                                size_t count,
                                const struct tokenpin_filter *filter,
                                uint64_t hash,
                                const struct tokenpin_key *key,
                                uint32_t *slot);

/**
 * Selects like `tokenpin_select` for many hashes: `selected[i]` is the slot of `hashes[i]`.
 * `hash_count` 0 does nothing. `selected` must not overlap the slots, the tried ones and the
 * hashes.
 *
 * Statuses: OK, NULL_POINTER, MISALIGNED, LENGTH, BAD_ENUM, OVERLAP, SLOT_COUNT, STRATEGY.
 */
TOKENPIN_MUST_CHECK
int32_t tokenpin_select_batch(uint8_t strategy,
                              const struct tokenpin_slot *slots,
                              size_t count,
                              const struct tokenpin_filter *filter,
                              const uint64_t *hashes,
                              size_t hash_count,
                              uint32_t *selected);

/* ================================================================================
 * Chapter 5: cookies
 *
 * A key ring in memory of the caller, and the values that it signs and checks.
 * ================================================================================ */

/**
 * A key ring in memory of the caller, at least 8-aligned. Its contents are private and secret:
 * `tokenpin_key_ring_wipe` ends its life. A copy is a ring too, and must be wiped too.
 */
typedef struct tokenpin_key_ring {
    /**
     * Private.
     */
    uint64_t private_words[56];
} tokenpin_key_ring;

/**
 * Makes a key ring of 1 to 8 keys, exactly one of which
 * signs. `placement_key` may be NULL; if it is not, it has 16 bytes, and no secret may equal it.
 * `error` may be NULL; if it is not, it receives the reason of a refusal and the key at fault.
 *
 * Statuses: OK, NULL_POINTER, MISALIGNED, LENGTH, BAD_ENUM, ZERO_SECRET, DUPLICATE_SECRET,
 * DUPLICATE_KEY_ID, KEY_COUNT, SIGNING_KEYS.
 */
TOKENPIN_MUST_CHECK
int32_t tokenpin_key_ring_init(struct tokenpin_key_ring *ring,
                               const struct tokenpin_cookie_key *keys,
                               size_t key_count,
                               const uint8_t *placement_key,
                               struct tokenpin_config_error *error);

/**
 * Wipes a key ring. NULL is allowed, and so is a ring that is wiped already.
 */
void tokenpin_key_ring_wipe(struct tokenpin_key_ring *ring);

/**
 * The content of a cookie.
 */
typedef struct tokenpin_cookie {
    /**
     * The identity hash of the session's token.
     */
    uint64_t pin;
    /**
     * The first issue, in unix seconds; kept through every refresh.
     */
    uint32_t issued_at;
    /**
     * The latest issue, in unix seconds.
     */
    uint32_t refreshed_at;
    /**
     * The anonymous id; a nonce for the other kinds.
     */
    uint8_t id[16];
    /**
     * A `tokenpin_kind`.
     */
    uint8_t kind;
} tokenpin_cookie;

/**
 * Makes the value of a cookie, 67 characters without a NUL, signed with the ring's signing key.
 *
 * `name` has 1 to 128 token bytes, the scope 0 to
 * 1024 bytes. `key` is the affinity key that the cookie is bound to, of
 * the cookie's kind; it may be NULL for an anonymous cookie.
 *
 * Statuses: OK, NULL_POINTER, MISALIGNED, LENGTH, BAD_ENUM, OVERLAP, NOT_INITIALISED,
 * SCOPE_LENGTH, KEY_LENGTH, COOKIE_NAME.
 */
TOKENPIN_MUST_CHECK
int32_t tokenpin_cookie_encode(const struct tokenpin_key_ring *ring,
                               const void *name,
                               size_t name_len,
                               const void *scope,
                               size_t scope_len,
                               const struct tokenpin_key *key,
                               const struct tokenpin_cookie *cookie,
                               char *value);

/**
 * The time limits of cookies, in seconds. 0 switches a limit off, except for skew.
 */
typedef struct tokenpin_limits {
    /**
     * The tolerance for timestamps in the future, from clocks that run ahead.
     */
    uint32_t skew;
    /**
     * The longest life since the first issue.
     */
    uint32_t max_life;
    /**
     * The longest time since the latest issue.
     */
    uint32_t max_idle;
    /**
     * The refresh interval. A fifth of it after its latest issue, a cookie is due for a refresh.
     */
    uint32_t refresh_interval;
} tokenpin_limits;

/**
 * Reads the value of a cookie. `key` is the affinity key of the request, or NULL for an anonymous
 * request. A bad value is a verdict, not a status.
 *
 * `verdict` receives a `tokenpin_verdict`. `cookie` may be NULL; if it is not, it receives the
 * content of a cookie whose tag is good: for the verdicts `OTHER_KEY`, `NOT_YET_VALID`,
 * `EXPIRED_LIFE`, `EXPIRED_IDLE`, `VALID` and `REFRESH_DUE`.
 *
 * Statuses: OK, NULL_POINTER, MISALIGNED, LENGTH, BAD_ENUM, OVERLAP, NOT_INITIALISED,
 * SCOPE_LENGTH, KEY_LENGTH, COOKIE_NAME.
 */
TOKENPIN_MUST_CHECK
int32_t tokenpin_cookie_decode(const struct tokenpin_key_ring *ring,
                               const void *name,
                               size_t name_len,
                               const void *scope,
                               size_t scope_len,
                               const struct tokenpin_key *key,
                               const struct tokenpin_limits *limits,
                               uint64_t now,
                               const void *value,
                               size_t value_len,
                               uint8_t *verdict,
                               struct tokenpin_cookie *cookie);

/**
 * Writes the default name of a scope's cookie: `__Host-tokenpin`, with a suffix unless the scope
 * is empty.
 *
 * Statuses: OK, NULL_POINTER, MISALIGNED, LENGTH, BUFFER_TOO_SMALL, SCOPE_LENGTH.
 */
TOKENPIN_MUST_CHECK
int32_t tokenpin_cookie_default_name(const void *scope,
                                     size_t scope_len,
                                     void *buffer,
                                     size_t capacity,
                                     size_t *len);

/* ================================================================================
 * Chapter 6: fields
 *
 * The `Cookie` and `Set-Cookie` fields of a message.
 * ================================================================================ */

/**
 * Finds the values of the cookies called `name` in one `Cookie` field, one per call. `*offset`
 * starts at 0; each call finds the next value at or behind it and advances it.
 *
 * Returns `TOKENPIN_STATUS_END`, and changes nothing, when there is none. `value` points into the
 * field.
 *
 * Statuses: OK, NULL_POINTER, MISALIGNED, LENGTH, END.
 */
TOKENPIN_MUST_CHECK
int32_t tokenpin_cookie_next(const void *field,
                             size_t field_len,
                             const void *name,
                             size_t name_len,
                             size_t *offset,
                             struct tokenpin_bytes *value);

/**
 * Removes every cookie called `name` from one `Cookie` field. The other pairs stay the same, byte
 * for byte. `*len` 0 means that the field is empty now: drop it. The result is never longer than
 * the field. The buffer must not overlap the field or the name.
 *
 * Statuses: OK, NULL_POINTER, MISALIGNED, LENGTH, OVERLAP, BUFFER_TOO_SMALL.
 */
TOKENPIN_MUST_CHECK
int32_t tokenpin_cookie_strip(const void *field,
                              size_t field_len,
                              const void *name,
                              size_t name_len,
                              void *buffer,
                              size_t capacity,
                              size_t *len);

/**
 * Writes the value of a `Set-Cookie` field. `max_age` 0 makes a session cookie. A buffer of
 * `TOKENPIN_MAX_SET_COOKIE` bytes suffices for a value of this library. The buffer must not
 * overlap the inputs.
 *
 * Statuses: OK, NULL_POINTER, MISALIGNED, LENGTH, BAD_ENUM, OVERLAP, BUFFER_TOO_SMALL,
 * COOKIE_NAME, ATTRIBUTE, NAME_PREFIX, NEEDS_SECURE, MAX_AGE.
 */
TOKENPIN_MUST_CHECK
int32_t tokenpin_set_cookie_write(const void *name,
                                  size_t name_len,
                                  const void *value,
                                  size_t value_len,
                                  const struct tokenpin_attributes *attributes,
                                  uint32_t max_age,
                                  void *buffer,
                                  size_t capacity,
                                  size_t *len);

/**
 * Reports whether a `Set-Cookie` field sets a cookie called `name`: 1 or 0. Drop such fields from
 * an upstream's response.
 *
 * Statuses: OK, NULL_POINTER, LENGTH.
 */
TOKENPIN_MUST_CHECK
int32_t tokenpin_set_cookie_matches(const void *field,
                                    size_t field_len,
                                    const void *name,
                                    size_t name_len,
                                    uint8_t *matches);

/* ================================================================================
 * Chapter 7: classification
 *
 * Finds the group of the API that a request belongs to, and whether it names existing state.
 * ================================================================================ */

/**
 * Classifies a request by its method and its target as the client sent it. The rules come before
 * the default ones, or replace them with `replace_rules` 1. `prompt_cache` 1 opts in to that
 * group. `group` receives a `tokenpin_group`, `existing` 1 if the request names existing state,
 * and `ids` a `tokenpin_ids`.
 *
 * Statuses: OK, NULL_POINTER, MISALIGNED, LENGTH, BAD_ENUM, PATTERN.
 */
TOKENPIN_MUST_CHECK
int32_t tokenpin_classify(const struct tokenpin_rule *rules,
                          size_t rule_count,
                          uint8_t replace_rules,
                          uint8_t prompt_cache,
                          const void *method,
                          size_t method_len,
                          const void *target,
                          size_t target_len,
                          uint8_t *group,
                          uint8_t *existing,
                          uint8_t *ids);

/* ================================================================================
 * Chapter 8: sealed ids
 *
 * A sealed id says, authenticated and masked, which account its object lives in. A gateway opens
 * the ids of a request: first those of its target, then those of its body. The result is a
 * `tokenpin_id_summary`, which goes into the `tokenpin_request`. In the response it seals the ids
 * of the body, and of the fields that hold a target.
 *
 * A body is read in steps. Each step describes in a `tokenpin_piece` the front of its input:
 * `pass` bytes go out unchanged, `put` follows them, and `taken` bytes are consumed, including
 * those that pass. Pass a chunk until all of it is taken, and then the next one. The end of the
 * body puts out the bytes still held. Each step on a chunk takes something or puts something out.
 *
 * The functions that take a ring do this for one id, without an affinity.
 * ================================================================================ */

/**
 * The result of a step at the front of its input.
 */
typedef struct tokenpin_piece {
    /**
     * The number of input bytes that go out unchanged.
     */
    size_t pass;
    /**
     * The bytes that follow them, in the rewriter's memory, until its next call.
     */
    const uint8_t *put;
    /**
     * The number of these bytes.
     */
    size_t put_len;
    /**
     * The number of input bytes consumed, including those that pass.
     */
    size_t taken;
    /**
     * The number of ids rewritten in the body so far.
     */
    uint32_t changed;
    /**
     * The number of documents in the body so far that are not JSON as the scanner reads it. Their
     * rest passed unchanged.
     */
    uint32_t unexpected;
} tokenpin_piece;

/**
 * The keys that seal ids, in memory of the caller, at least 8-aligned. The contents are private
 * and secret: `tokenpin_id_ring_wipe` ends their life. A copy is a ring too, and must be wiped
 * too.
 */
typedef struct tokenpin_id_ring {
    /**
     * Private.
     */
    uint64_t private_words[38];
} tokenpin_id_ring;

/**
 * Makes a ring of 1 to 8 keys, exactly one of which
 * signs; the roles accept and retire mean the same here. The keys of cookies may be used again,
 * because ids derive other keys from them. `placement_key` may be NULL; if it is not, it has 16
 * bytes, and no secret may equal it. `error` may be NULL; if it is not, it receives the reason of
 * a refusal and the key at fault.
 *
 * Statuses: OK, NULL_POINTER, MISALIGNED, LENGTH, BAD_ENUM, ZERO_SECRET, DUPLICATE_SECRET,
 * DUPLICATE_KEY_ID, KEY_COUNT, SIGNING_KEYS.
 */
TOKENPIN_MUST_CHECK
int32_t tokenpin_id_ring_init(struct tokenpin_id_ring *ring,
                              const struct tokenpin_cookie_key *keys,
                              size_t key_count,
                              const uint8_t *placement_key,
                              struct tokenpin_config_error *error);

/**
 * Wipes a ring. NULL is allowed, and so is a ring that is wiped already.
 */
void tokenpin_id_ring_wipe(struct tokenpin_id_ring *ring);

/**
 * Seals the id of an object in the account with the identity hash `pin`, with the ring's signing
 * key. `id` is 1 to 255 bytes of `A-Z a-z 0-9 _ -`. An id that already
 * carries this seal stays as it is. 281 bytes suffice.
 *
 * The scope has 0 to 1024 bytes, the owner 0 to
 * 4096.
 *
 * Statuses: OK, NULL_POINTER, MISALIGNED, LENGTH, OVERLAP, NOT_INITIALISED, BUFFER_TOO_SMALL, ID,
 * SCOPE_LENGTH, KEY_LENGTH.
 */
TOKENPIN_MUST_CHECK
int32_t tokenpin_id_seal(const struct tokenpin_id_ring *ring,
                         const void *scope,
                         size_t scope_len,
                         const void *owner,
                         size_t owner_len,
                         uint64_t pin,
                         const void *id,
                         size_t id_len,
                         void *buffer,
                         size_t capacity,
                         size_t *len);

/**
 * Opens a text that may be a sealed id. The result is a verdict and not a status: `verdict`
 * receives a `tokenpin_id_verdict`. With `SEALED`, the native id is written, `pin` receives the
 * identity hash of the account that holds the object, and `key_id` the key that sealed it.
 * Otherwise these stay unchanged.
 *
 * Statuses: OK, NULL_POINTER, MISALIGNED, LENGTH, OVERLAP, NOT_INITIALISED, BUFFER_TOO_SMALL,
 * SCOPE_LENGTH, KEY_LENGTH.
 */
TOKENPIN_MUST_CHECK
int32_t tokenpin_id_open(const struct tokenpin_id_ring *ring,
                         const void *scope,
                         size_t scope_len,
                         const void *owner,
                         size_t owner_len,
                         const void *text,
                         size_t text_len,
                         void *buffer,
                         size_t capacity,
                         size_t *len,
                         uint8_t *verdict,
                         uint64_t *pin,
                         uint8_t *key_id);

/**
 * Makes the mark for encrypted content of the account with the identity hash `pin`:
 * `TOKENPIN_ID_MARK_LEN` characters without a NUL. Empty content has none.
 *
 * Statuses: OK, NULL_POINTER, MISALIGNED, LENGTH, OVERLAP, NOT_INITIALISED, ID, SCOPE_LENGTH,
 * KEY_LENGTH.
 */
TOKENPIN_MUST_CHECK
int32_t tokenpin_id_mark(const struct tokenpin_id_ring *ring,
                         const void *scope,
                         size_t scope_len,
                         const void *owner,
                         size_t owner_len,
                         uint64_t pin,
                         const void *content,
                         size_t content_len,
                         char *mark);

/**
 * Reads the mark behind encrypted content. `verdict` receives a `tokenpin_id_verdict`, `PLAIN` for
 * content without a mark. With `SEALED`, `content_len` receives the length of the content without
 * the mark, and `pin` the identity hash of its account. Otherwise these stay unchanged.
 *
 * Statuses: OK, NULL_POINTER, MISALIGNED, LENGTH, OVERLAP, NOT_INITIALISED, SCOPE_LENGTH,
 * KEY_LENGTH.
 */
TOKENPIN_MUST_CHECK
int32_t tokenpin_id_open_mark(const struct tokenpin_id_ring *ring,
                              const void *scope,
                              size_t scope_len,
                              const void *owner,
                              size_t owner_len,
                              const void *text,
                              size_t text_len,
                              size_t *content_len,
                              uint8_t *verdict,
                              uint64_t *pin);

/**
 * Reports the owner of a request's ids. It is the request's consumer if the configuration says
 * that ids belong to consumers and the consumer is usable, and otherwise empty. `owner` points to
 * memory that the request points to.
 *
 * Statuses: OK, NULL_POINTER, MISALIGNED, LENGTH, BAD_ENUM, OVERLAP, NOT_INITIALISED.
 */
TOKENPIN_MUST_CHECK
int32_t tokenpin_affinity_id_owner(const struct tokenpin_affinity *affinity,
                                   const struct tokenpin_request *request,
                                   struct tokenpin_bytes *owner);

/**
 * Begins the summary of a request without ids.
 *
 * Statuses: OK, NULL_POINTER, MISALIGNED.
 */
TOKENPIN_MUST_CHECK
int32_t tokenpin_id_summary_init(struct tokenpin_id_summary *summary);

/**
 * The content of a summary. A key is a number that `tokenpin_affinity_id_key` spells;
 * `TOKENPIN_ID_KEY_NONE` is none.
 */
typedef struct tokenpin_id_report {
    /**
     * The number of opened ids.
     */
    uint32_t opened;
    /**
     * The number of plain ids.
     */
    uint32_t plain;
    /**
     * The number of ids whose form could not be remembered. In the response they have the form of
     * the mode.
     */
    uint32_t echoes_lost;
    /**
     * A `tokenpin_id_verdict`: the worst of all ids.
     */
    uint8_t verdict;
    /**
     * The key of the refused id. For a conflict, both keys.
     */
    uint8_t keys[2];
    /**
     * 1: the request is refused for its ids.
     */
    uint8_t refused;
    /**
     * 1: a string that may be an id is too long to be read. The request is refused too.
     */
    uint8_t unreadable;
    /**
     * 1: the request names existing state.
     */
    uint8_t existing;
    /**
     * 1: the ids of the response are sealed, regardless of what the client sent.
     */
    uint8_t seals;
    /**
     * 1: anything in the response may change. If not, the response need not be read.
     */
    uint8_t changes_response;
    /**
     * 1: the body says `"store": false`.
     */
    uint8_t unstored;
    /**
     * 1: the path is for uploads, so that the request may have a multipart body.
     */
    uint8_t uploads;
    /**
     * 1: the path is a download. Its response is a client's file, in which nothing is to be
     * sealed.
     */
    uint8_t downloads;
    /**
     * The length of `quoted`. 0 for an id over 64 bytes or with other characters than ids have,
     * and for encrypted content.
     */
    uint8_t quoted_len;
    /**
     * The refused id, or else the id that names the account, as the client wrote it except for
     * escapes, for the text of a refusal. The rest is 0.
     */
    uint8_t quoted[64];
} tokenpin_id_report;

/**
 * Reports the content of a summary.
 *
 * Statuses: OK, NULL_POINTER, MISALIGNED, OVERLAP, NOT_INITIALISED.
 */
TOKENPIN_MUST_CHECK
int32_t tokenpin_id_summary_report(const struct tokenpin_id_summary *summary,
                                   struct tokenpin_id_report *report);

/**
 * The context in which a request's ids are opened and its response's are sealed, borrowed for each
 * call. All zero is a valid start.
 */
typedef struct tokenpin_id_use {
    /**
     * The scope, as in the request. Empty for the configured one.
     */
    struct tokenpin_bytes scope;
    /**
     * The owner that `tokenpin_affinity_id_owner` returns for the request.
     */
    struct tokenpin_bytes owner;
    /**
     * The upstream's authority: the host, and the port if there is one. Absolute URLs of this
     * authority are rewritten under the keys of the table. Empty leaves them as they are.
     */
    struct tokenpin_bytes upstream;
    /**
     * Scheme and authority of the client's request, such as `https://gateway.example`.
     */
    struct tokenpin_bytes origin;
    /**
     * A `tokenpin_ids`, from `tokenpin_affinity_classify`.
     */
    uint8_t ids;
    /**
     * 1: `mode` replaces the configured one.
     */
    uint8_t has_mode;
    /**
     * A `tokenpin_mode`, if `has_mode` is 1.
     */
    uint8_t mode;
} tokenpin_id_use;

/**
 * Opens the ids in the path and in the query of a request's target, and writes the target for the
 * upstream. Call it before the body is read. The buffer needs room for as many bytes as the target
 * has, and must not overlap the inputs; `*len` is never more.
 *
 * Statuses: OK, NULL_POINTER, MISALIGNED, LENGTH, BAD_ENUM, OVERLAP, NOT_INITIALISED,
 * BUFFER_TOO_SMALL, SCOPE_LENGTH, KEY_LENGTH.
 */
TOKENPIN_MUST_CHECK
int32_t tokenpin_affinity_open_target(const struct tokenpin_affinity *affinity,
                                      const struct tokenpin_id_use *using_,
                                      struct tokenpin_id_summary *summary,
                                      const void *target,
                                      size_t target_len,
                                      void *buffer,
                                      size_t capacity,
                                      size_t *len);

/**
 * The state of opening one request's body. Plain data.
 */
typedef struct tokenpin_id_opener {
    /**
     * Private.
     */
    uint64_t private_words[96];
} tokenpin_id_opener;

/**
 * Begins the body of a request.
 *
 * Statuses: OK, NULL_POINTER, MISALIGNED.
 */
TOKENPIN_MUST_CHECK
int32_t tokenpin_id_opener_init(struct tokenpin_id_opener *opener);

/**
 * Opens the ids at the front of a chunk of a request's body: one step.
 *
 * Statuses: OK, NULL_POINTER, MISALIGNED, LENGTH, BAD_ENUM, OVERLAP, NOT_INITIALISED,
 * SCOPE_LENGTH, KEY_LENGTH.
 */
TOKENPIN_MUST_CHECK
int32_t tokenpin_affinity_open_step(const struct tokenpin_affinity *affinity,
                                    const struct tokenpin_id_use *using_,
                                    struct tokenpin_id_summary *summary,
                                    struct tokenpin_id_opener *opener,
                                    const void *chunk,
                                    size_t len,
                                    struct tokenpin_piece *piece);

/**
 * Ends the body of a request, and puts out the bytes still held.
 *
 * Statuses: OK, NULL_POINTER, MISALIGNED, LENGTH, BAD_ENUM, OVERLAP, NOT_INITIALISED,
 * SCOPE_LENGTH, KEY_LENGTH.
 */
TOKENPIN_MUST_CHECK
int32_t tokenpin_affinity_open_end(const struct tokenpin_affinity *affinity,
                                   const struct tokenpin_id_use *using_,
                                   struct tokenpin_id_summary *summary,
                                   struct tokenpin_id_opener *opener,
                                   struct tokenpin_piece *piece);

/**
 * Opens the ids of a request's whole body in place. `*new_len` receives the new length, which is
 * never longer; `*unexpected` the number of documents that are not JSON as the scanner reads it.
 * Their rest passed unchanged. The body must not overlap the inputs.
 *
 * Statuses: OK, NULL_POINTER, MISALIGNED, LENGTH, BAD_ENUM, OVERLAP, NOT_INITIALISED,
 * SCOPE_LENGTH, KEY_LENGTH.
 */
TOKENPIN_MUST_CHECK
int32_t tokenpin_affinity_open_in_place(const struct tokenpin_affinity *affinity,
                                        const struct tokenpin_id_use *using_,
                                        struct tokenpin_id_summary *summary,
                                        void *body,
                                        size_t len,
                                        size_t *new_len,
                                        uint32_t *unexpected);

/**
 * The framing of the documents in a body.
 */
enum tokenpin_framing
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint8_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * One JSON document. A body that begins like an event stream is read as events.
     */
    TOKENPIN_FRAMING_JSON = 0,
    /**
     * Server-sent events.
     */
    TOKENPIN_FRAMING_EVENTS = 1,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum tokenpin_framing tokenpin_framing;
#else
typedef uint8_t tokenpin_framing;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * The state of sealing one response's body. Plain data.
 */
typedef struct tokenpin_id_sealer {
    /**
     * Private.
     */
    uint64_t private_words[128];
} tokenpin_id_sealer;

/**
 * Begins the body of a response. `framing` is a `tokenpin_framing`.
 *
 * Statuses: OK, NULL_POINTER, MISALIGNED, BAD_ENUM.
 */
TOKENPIN_MUST_CHECK
int32_t tokenpin_id_sealer_init(struct tokenpin_id_sealer *sealer, uint8_t framing);

/**
 * Seals the ids at the front of a chunk of a response's body: one step. `slot` is the account that
 * answered. `summary` is that of the request, or NULL for none: an id that the client sent in
 * another form than the gateway would write keeps the client's form.
 *
 * Statuses: OK, NULL_POINTER, MISALIGNED, LENGTH, BAD_ENUM, OVERLAP, NOT_INITIALISED, VACANT,
 * SLOT_RANGE, SCOPE_LENGTH, KEY_LENGTH.
 */
TOKENPIN_MUST_CHECK
int32_t tokenpin_affinity_seal_step(const struct tokenpin_affinity *affinity,
                                    const struct tokenpin_id_use *using_,
                                    const struct tokenpin_id_summary *summary,
                                    uint32_t slot,
                                    struct tokenpin_id_sealer *sealer,
                                    const void *chunk,
                                    size_t len,
                                    struct tokenpin_piece *piece);

/**
 * Ends the body of a response, and puts out the bytes still held.
 *
 * Statuses: OK, NULL_POINTER, MISALIGNED, LENGTH, BAD_ENUM, OVERLAP, NOT_INITIALISED, VACANT,
 * SLOT_RANGE, SCOPE_LENGTH, KEY_LENGTH.
 */
TOKENPIN_MUST_CHECK
int32_t tokenpin_affinity_seal_end(const struct tokenpin_affinity *affinity,
                                   const struct tokenpin_id_use *using_,
                                   const struct tokenpin_id_summary *summary,
                                   uint32_t slot,
                                   struct tokenpin_id_sealer *sealer,
                                   struct tokenpin_piece *piece);

/**
 * Seals the ids in a target or a URI: in the fields `Location`, `Content-Location` and
 * `Operation-Location` of a response. In an absolute URI of `upstream`, `origin` replaces scheme
 * and authority, unless either is empty. A URI of another host stays as it is, and so does every
 * URI if nothing in the response is sealed. Otherwise like `tokenpin_affinity_seal_step`. The
 * buffer must not overlap the inputs.
 *
 * Statuses: OK, NULL_POINTER, MISALIGNED, LENGTH, BAD_ENUM, OVERLAP, NOT_INITIALISED,
 * BUFFER_TOO_SMALL, VACANT, SLOT_RANGE, SCOPE_LENGTH, KEY_LENGTH.
 */
TOKENPIN_MUST_CHECK
int32_t tokenpin_affinity_seal_target(const struct tokenpin_affinity *affinity,
                                      const struct tokenpin_id_use *using_,
                                      const struct tokenpin_id_summary *summary,
                                      uint32_t slot,
                                      const void *text,
                                      size_t text_len,
                                      void *buffer,
                                      size_t capacity,
                                      size_t *len);

/**
 * Reports the name of a key, by its number: bytes that live as long as the affinity.
 *
 * Statuses: OK, NULL_POINTER, MISALIGNED, BAD_ENUM, OVERLAP, NOT_INITIALISED.
 */
TOKENPIN_MUST_CHECK
int32_t tokenpin_affinity_id_key(const struct tokenpin_affinity *affinity,
                                 uint8_t number,
                                 struct tokenpin_bytes *name);

/* ================================================================================
 * Chapter 9: versions and names
 *
 * The versions of the library and of its interface, and the stable names of its enums.
 * ================================================================================ */

/**
 * Returns the version of the interface that the library was built with. A program compares it with
 * the `TOKENPIN_ABI_VERSION` that it was compiled with.
 */
uint32_t tokenpin_abi_version(void);

/**
 * Does nothing. Only libraries of version 1 of the interface have it, so that a program that
 * refers to it does not link with a library of another version.
 */
void tokenpin_abi_v1(void);

/**
 * Returns the version of the library, such as `"1.2.3"`: a static string that ends in a NUL.
 */
const char *tokenpin_version(void);

/**
 * The enums that `tokenpin_enum_name` knows.
 */
enum tokenpin_enum
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * `tokenpin_status`
     */
    TOKENPIN_ENUM_STATUS = 0,
    /**
     * `tokenpin_field`
     */
    TOKENPIN_ENUM_FIELD = 1,
    /**
     * `tokenpin_kind`
     */
    TOKENPIN_ENUM_KIND = 2,
    /**
     * `tokenpin_state`
     */
    TOKENPIN_ENUM_STATE = 3,
    /**
     * `tokenpin_strategy`
     */
    TOKENPIN_ENUM_STRATEGY = 4,
    /**
     * `tokenpin_role`
     */
    TOKENPIN_ENUM_ROLE = 5,
    /**
     * `tokenpin_verdict`
     */
    TOKENPIN_ENUM_VERDICT = 6,
    /**
     * `tokenpin_same_site`
     */
    TOKENPIN_ENUM_SAME_SITE = 7,
    /**
     * `tokenpin_group`
     */
    TOKENPIN_ENUM_GROUP = 8,
    /**
     * `tokenpin_policy`
     */
    TOKENPIN_ENUM_POLICY = 9,
    /**
     * `tokenpin_source`
     */
    TOKENPIN_ENUM_SOURCE = 10,
    /**
     * `tokenpin_outcome`
     */
    TOKENPIN_ENUM_OUTCOME = 11,
    /**
     * `tokenpin_pin_state`
     */
    TOKENPIN_ENUM_PIN_STATE = 12,
    /**
     * `tokenpin_key_reason`
     */
    TOKENPIN_ENUM_KEY_REASON = 13,
    /**
     * `tokenpin_answer`
     */
    TOKENPIN_ENUM_ANSWER = 14,
    /**
     * `tokenpin_id_verdict`
     */
    TOKENPIN_ENUM_ID_VERDICT = 15,
    /**
     * `tokenpin_ids`
     */
    TOKENPIN_ENUM_IDS = 16,
    /**
     * `tokenpin_mode`
     */
    TOKENPIN_ENUM_MODE = 17,
    /**
     * `tokenpin_key_kind`
     */
    TOKENPIN_ENUM_KEY_KIND = 18,
    /**
     * `tokenpin_id_owner`
     */
    TOKENPIN_ENUM_ID_OWNER = 19,
    /**
     * `tokenpin_foreign_seals`
     */
    TOKENPIN_ENUM_FOREIGN_SEALS = 20,
    /**
     * `tokenpin_framing`
     */
    TOKENPIN_ENUM_FRAMING = 21,
    /**
     * `tokenpin_refusal`
     */
    TOKENPIN_ENUM_REFUSAL = 22,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum tokenpin_enum tokenpin_enum;
#else
typedef int32_t tokenpin_enum;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * Reports the stable snake_case name of an enum's value, fit for a metric's label: bytes that live
 * as long as the library. `which` is a `tokenpin_enum`.
 *
 * Returns `TOKENPIN_STATUS_BAD_ENUM` for a number without a name.
 *
 * Statuses: OK, NULL_POINTER, MISALIGNED, BAD_ENUM.
 */
TOKENPIN_MUST_CHECK
int32_t tokenpin_enum_name(int32_t which, int32_t value, struct tokenpin_bytes *name);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* TOKENPIN_H */
