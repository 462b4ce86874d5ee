// Configurations and state files that are refused, with which message; no message shows a secret.

#include <fcntl.h>
#include <sys/stat.h>

#include "files.h"
#include "settings.h"
#include "world.h"

namespace {

// The refusal of a configuration in the log; empty if it is accepted.
std::string Refusal(std::string_view text) {
  standin::TakeLog();
  const standin::Config config(text);
  std::string refusal;
  for (const standin::Line& line : standin::TakeLog()) {
    if (line.level == kLogError) refusal += line.text;
  }
  CHECK(config.accepted() == refusal.empty());
  constexpr std::string_view kStart = "tokenpin: configuration refused: ";
  if (!refusal.empty() && CHECK(refusal.compare(0, kStart.size(), kStart) == 0)) {
    refusal.erase(0, kStart.size());
  }
  return refusal;
}

void Expect(const std::string& text, std::string_view message) {
  std::snprintf(check_context, sizeof check_context, "%.100s", text.c_str());
  const std::string refusal = Refusal(text);
  if (!CHECK(refusal == message)) std::printf("  it says: %s\n", refusal.c_str());
}

struct Case {
  const char* field;
  const char* text;
  const char* message;  // empty: accepted
};

const Case kCases[] = {
    // Keys.
    {"placement_key", "1", "placement_key: expected an object"},
    {"placement_key", "{}", "placement_key: needs file or env"},
    {"placement_key", R"({"env":1})", "placement_key.env: expected a string"},
    {"placement_key", R"({"file":[]})", "placement_key.file: expected a string"},
    {"placement_key", R"({"env":"UNIT_NOT_SET"})",
     "placement_key.env: the environment variable is not set"},
    {"placement_key", R"({"env":"UNIT_PLACEMENT","file":"x"})",
     "placement_key: has both file and env"},
    {"placement_key", R"({"env":"UNIT_PLACEMENT","value":"x"})",
     "placement_key.value: unknown field"},
    {"placement_key", R"({"file":"/nowhere/at/all"})",
     "placement_key.file: the file cannot be read"},
    {"placement_key", R"({"env":"UNIT_ZERO"})", "placement_key: The secret is all zero."},
    {"placement_key", R"({"env":"UNIT_COOKIE"})",
     "cookie_keys[0]: The secret is used twice, or is the placement key as well."},
    {"cookie_keys", "{}", "cookie_keys: expected a list"},
    {"cookie_keys", "[]", "cookie_keys[0]: The number of cookie keys is not 1 to 8."},
    {"cookie_keys", "[1]", "cookie_keys[0]: expected an object"},
    {"cookie_keys", "[{}]", "cookie_keys[0].id: is required"},
    {"cookie_keys", R"([{"id":256}])", "cookie_keys[0].id: expected a whole number, 0 to 255"},
    {"cookie_keys", R"([{"id":-1}])", "cookie_keys[0].id: expected a whole number, 0 to 255"},
    {"cookie_keys", R"([{"id":1}])", "cookie_keys[0].role: is required"},
    {"cookie_keys", R"([{"id":1,"role":"SIGN"}])",
     "cookie_keys[0].role: expected one of sign, accept, retire"},
    {"cookie_keys", R"([{"id":1,"role":"sign"}])", "cookie_keys[0].key: is required"},
    {"cookie_keys", R"([{"id":1,"role":"sign","key":{"env":"UNIT_COOKIE"},"a":1}])",
     "cookie_keys[0].a: unknown field"},
    {"cookie_keys", R"([{"id":1,"role":"accept","key":{"env":"UNIT_COOKIE"}}])",
     "cookie_keys[0]: Not exactly one cookie key signs."},
    {"cookie_keys",
     R"([{"id":1,"role":"sign","key":{"env":"UNIT_COOKIE"}},
         {"id":1,"role":"accept","key":{"env":"UNIT_OTHER"}}])",
     "cookie_keys[1]: Two cookie keys have the same id."},
    {"cookie_keys",
     R"([{"id":1,"role":"sign","key":{"env":"UNIT_COOKIE"}},
         {"id":2,"role":"accept","key":{"env":"UNIT_COOKIE"}}])",
     "cookie_keys[1]: The secret is used twice, or is the placement key as well."},
    {"cookie_keys",
     R"([{"id":1,"role":"sign","key":{"env":"UNIT_COOKIE"}},
         {"id":2,"role":"retire","key":{"env":"UNIT_OTHER"}}])",
     ""},
    // Tokens.
    {"tokens", "{}", "tokens: expected a list"},
    {"tokens", "null", "tokens: expected a list"},
    {"tokens", "[]", "tokens: is empty"},
    {"tokens", "[\"a\"]", "tokens[0]: expected an object"},
    {"tokens", "[{}]", "tokens[0].name: is required"},
    {"tokens", R"([{"name":7}])", "tokens[0].name: expected a string"},
    {"tokens", R"([{"name":""}])", "tokens[0].name: is empty"},
    {"tokens", R"([{"name":"a"},{"name":"a"}])", "tokens (a): Two slots have the same identity."},
    {"tokens", R"([{"name":"a","slot":65536}])",
     "tokens[0].slot: expected a whole number, 0 to 65535"},
    {"tokens", R"([{"name":"a","slot":1},{"name":"b"}])", "tokens[1]: its slot is taken"},
    {"tokens", R"([{"name":"a","weight":65537}])",
     "tokens[0].weight: expected a whole number, 0 to 65536"},
    {"tokens", R"([{"name":"a","weight":1.5}])",
     "tokens[0].weight: expected a whole number, 0 to 65536"},
    {"tokens", R"([{"name":"a","weight":"1e3"}])",
     "tokens[0].weight: expected a whole number, 0 to 65536"},
    {"tokens", R"([{"name":"a","weight":""}])",
     "tokens[0].weight: expected a whole number, 0 to 65536"},
    {"tokens", R"([{"name":"a","weight":"65536"}])", ""},
    {"tokens", R"([{"name":"a","state":"vacant"}])",
     "tokens[0].state: expected one of up, draining, down"},
    {"tokens", R"([{"name":"a","state":0}])",
     "tokens[0].state: expected one of up, draining, down"},
    {"tokens", R"([{"name":"a","until":35184372088832}])",
     "tokens[0].until: expected a whole number, 0 to 35184372088831"},
    {"tokens", R"([{"name":"a","until":"18446744073709551616"}])",
     "tokens[0].until: expected a whole number, 0 to 35184372088831"},
    {"tokens", R"([{"name":"a","until":18446744073709551616}])",
     "tokens[0].until: expected a whole number, 0 to 35184372088831"},
    {"tokens", R"([{"name":"a","until":1e999}])", "holds a number that is too large"},
    {"tokens", R"([{"name":"a","until":"35184372088831","state":"down"}])", ""},
    {"tokens", R"([{"name":"a","colour":"red"}])", "tokens[0].colour: unknown field"},
    // Credentials.
    {"tokens", R"([{"name":"a","headers":{}}])", "tokens[0].headers: expected a list"},
    {"tokens", R"([{"name":"a","headers":[0]}])", "tokens[0].headers[0]: expected an object"},
    {"tokens", R"([{"name":"a","headers":[{}]}])", "tokens[0].headers[0].name: is required"},
    {"tokens", R"([{"name":"a","headers":[{"name":1,"value":"x"}]}])",
     "tokens[0].headers[0].name: expected a string"},
    {"tokens", R"([{"name":"a","headers":[{"name":"","value":"x"}]}])",
     "tokens[0].headers[0].name: expected a header's name"},
    {"tokens", R"([{"name":"a","headers":[{"name":"a b","value":"x"}]}])",
     "tokens[0].headers[0].name: expected a header's name"},
    {"tokens", R"([{"name":"a","headers":[{"name":":method","value":"PUT"}]}])",
     "tokens[0].headers[0].name: expected a header's name, or :authority, :path or :scheme"},
    {"tokens", R"([{"name":"a","headers":[{"name":":Path","value":"/"}]}])",
     "tokens[0].headers[0].name: expected a header's name, or :authority, :path or :scheme"},
    {"tokens", R"([{"name":"a","headers":[{"name":":","value":"/"}]}])",
     "tokens[0].headers[0].name: expected a header's name, or :authority, :path or :scheme"},
    {"tokens", R"([{"name":"a","headers":[{"name":":path","value":"v1/x"}]}])",
     "tokens[0].headers[0]: the value cannot stand in this pseudo-header"},
    {"tokens", R"([{"name":"a","headers":[{"name":":path","value":"/a b"}]}])",
     "tokens[0].headers[0]: the value cannot stand in this pseudo-header"},
    {"tokens", R"([{"name":"a","headers":[{"name":":scheme","value":"ftp"}]}])",
     "tokens[0].headers[0]: the value cannot stand in this pseudo-header"},
    {"tokens", R"([{"name":"a","headers":[{"name":":path","value":"/x?y=1"}]}])", ""},
    {"tokens", R"([{"name":"a","headers":[{"name":":scheme","value":"https"}]}])", ""},
    {"tokens", R"([{"name":"a","headers":[{"name":"Cookie","value":"x"}]}])",
     "tokens[0].headers[0].name: is not for the filter to set"},
    {"tokens", R"([{"name":"a","headers":[{"name":"host","value":"x"}]}])",
     "tokens[0].headers[0].name: is not for the filter to set"},
    {"tokens", R"([{"name":"a","headers":[{"name":":authority","value":"x"}]}])", ""},
    {"tokens", R"([{"name":"a","headers":[{"name":"x"}]}])",
     "tokens[0].headers[0]: needs one of value, file, env and remove"},
    {"tokens", R"([{"name":"a","headers":[{"name":"x","value":"v","env":"UNIT_CREDENTIAL"}]}])",
     "tokens[0].headers[0]: needs one of value, file, env and remove"},
    {"tokens", R"([{"name":"a","headers":[{"name":"x","value":"v","remove":true}]}])",
     "tokens[0].headers[0]: needs one of value, file, env and remove"},
    {"tokens", R"([{"name":"a","headers":[{"name":"x","env":"UNIT_CREDENTIAL","remove":true}]}])",
     "tokens[0].headers[0]: needs one of value, file, env and remove"},
    {"tokens", R"([{"name":"a","headers":[{"name":"x","remove":false}]}])",
     "tokens[0].headers[0]: needs one of value, file, env and remove"},
    {"tokens", R"([{"name":"a","headers":[{"name":"x","remove":"true"}]}])",
     "tokens[0].headers[0].remove: expected true or false"},
    {"tokens", R"([{"name":"a","headers":[{"name":"x","prefix":"p","remove":true}]}])",
     "tokens[0].headers[0].prefix: needs a value, file or env to stand in front of"},
    {"tokens", R"([{"name":"a","headers":[{"name":":authority","remove":true}]}])",
     "tokens[0].headers[0]: a request cannot be without it"},
    {"tokens", R"([{"name":"a","headers":[{"name":"cookie","remove":true}]}])",
     "tokens[0].headers[0].name: is not for the filter to set"},
    {"tokens", R"([{"name":"a","headers":[{"name":"x","value":"v"},{"name":"X","remove":true}]}])",
     "tokens[0].headers[1]: a header is given twice"},
    {"tokens", R"([{"name":"a","headers":[{"name":"x","remove":true}]}])", ""},
    {"tokens", R"([{"name":"a","headers":[{"name":"x","value":"v","remove":false}]}])", ""},
    {"tokens", R"([{"name":"a","headers":[{"name":"x","file":"v","env":"UNIT_CREDENTIAL"}]}])",
     "tokens[0].headers[0]: has both file and env"},
    {"tokens", R"([{"name":"a","headers":[{"name":"x","env":"UNIT_NOT_SET"}]}])",
     "tokens[0].headers[0].env: the environment variable is not set"},
    {"tokens", R"([{"name":"a","headers":[{"name":"x","value":7}]}])",
     "tokens[0].headers[0].value: expected a string"},
    {"tokens", R"([{"name":"a","headers":[{"name":"x","value":""}]}])",
     "tokens[0].headers[0]: the value is empty"},
    {"tokens", R"([{"name":"a","headers":[{"name":"x","value":"a\nb"}]}])",
     "tokens[0].headers[0]: the value cannot stand in a header"},
    {"tokens", R"([{"name":"a","headers":[{"name":"x","value":"a\u0000b"}]}])",
     "tokens[0].headers[0].value: has a zero byte"},
    {"tokens", R"([{"name":"a","headers":[{"name":"x","value":"ä"}]}])",
     "tokens[0].headers[0]: the value cannot stand in a header"},
    {"tokens", R"([{"name":"a","headers":[{"name":"x","value":"a "}]}])",
     "tokens[0].headers[0]: the value cannot stand in a header"},
    {"tokens", R"([{"name":"a","headers":[{"name":"x","prefix":1,"value":"a"}]}])",
     "tokens[0].headers[0].prefix: expected a string"},
    {"tokens", R"([{"name":"a","headers":[{"name":"x","value":"a","b":1}]}])",
     "tokens[0].headers[0].b: unknown field"},
    {"tokens", R"([{"name":"a","headers":[{"name":"x","value":"a"},{"name":"X","value":"b"}]}])",
     "tokens[0].headers[1]: a header is given twice"},
    // Single values.
    {"capacity", "0", "capacity: expected a whole number, 1 to 65536"},
    {"capacity", "65537", "capacity: expected a whole number, 1 to 65536"},
    {"capacity", "true", "capacity: expected a whole number, 1 to 65536"},
    {"capacity", "2", "tokens[2]: its slot is not below the capacity"},
    {"capacity", "65536", ""},
    {"scope", "1", "scope: expected a string"},
    {"scope", "\"\"", ""},
    {"group", "\"both\"", "group: expected one of stateless, stateful, prompt_cache"},
    {"group", "1", "group: expected one of stateless, stateful, prompt_cache"},
    {"rules", "1", "rules: expected a list"},
    {"rules", "[]", "rules: is empty"},
    {"rules", "[{}]", "rules[0].pattern: is required"},
    {"rules", R"([{"pattern":"a"}])", "rules[0].group: is required"},
    {"rules", R"([{"pattern":"a","group":"x"}])",
     "rules[0].group: expected one of stateless, stateful, prompt_cache"},
    {"rules", R"([{"pattern":"a","group":"stateful","x":1}])", "rules[0].x: unknown field"},
    {"rules", R"([{"pattern":"a","group":"stateful"},{"pattern":"a//b","group":"stateful"}])",
     "rules[1].pattern: expected segments with / between them, where one behind the first may "
     "begin "
     "with a *, and no %, ? or #"},
    {"rules", R"([{"pattern":"a/b*","group":"stateful"}])",
     "rules[0].pattern: expected segments with / between them, where one behind the first may "
     "begin "
     "with a *, and no %, ? or #"},
    {"rules",
     R"([{"pattern":"models/*:run","group":"stateful"},{"pattern":"a/*","group":"stateless"}])",
     ""},
    {"rules", R"([{"pattern":"a","group":"stateful","ids":"all"}])",
     "rules[0].ids: expected one of none, open, both, items"},
    {"rules", R"([{"pattern":"a","group":"stateless","ids":"open"}])", ""},
    {"replace_rules", "1", "replace_rules: expected true or false"},
    {"replace_rules", "true", "replace_rules: needs rules"},
    {"replace_rules", "false", ""},
    {"prompt_cache", "1", "prompt_cache: expected true or false"},
    {"prompt_cache", "\"true\"", "prompt_cache: expected true or false"},
    {"strategy", "\"ring\"", "strategy: expected one of jump, rendezvous, higress_fnv1a_modulo"},
    {"policy_existing", "\"x\"",
     "policy_existing: expected one of fail_fast, fallback_and_update, fallback_without_update"},
    {"policy_new", "null",
     "policy_new: expected one of fail_fast, fallback_and_update, fallback_without_update"},
    {"combine_keys", "0", "combine_keys: expected true or false"},
    {"reject_bad_keys", "0", "reject_bad_keys: expected true or false"},
    {"keyed_cookies", "0", "keyed_cookies: expected true or false"},
    {"mint_single", "0", "mint_single: expected true or false"},
    {"success", "200", "success: expected a list of two statuses"},
    {"success", "[200]", "success: expected a list of two statuses"},
    {"success", "[99,200]", "success[0]: expected a whole number, 100 to 599"},
    {"success", "[200,600]", "success[1]: expected a whole number, 100 to 599"},
    {"success", "[300,200]", "success: The success range is empty or not within 100 to 599."},
    {"clear_route_cache", "0", "clear_route_cache: expected true or false"},
    {"cache_control", "0", "cache_control: expected true or false"},
    {"metadata", "0", "metadata: expected true or false"},
    {"observe", "0", "observe: expected true or false"},
    {"carrier_header", "0", "carrier_header: expected a string"},
    {"carrier_header", "\"\"", "carrier_header: expected a header's name"},
    {"response_header", "\"a:\"", "response_header: expected a header's name"},
    {"carrier_header", "\"Cookie\"", "carrier_header: is not for the filter to set"},
    {"response_header", "\"set-cookie\"", "response_header: is not for the filter to set"},
    {"scope", R"("a\u0000b")", "scope: has a zero byte"},
    {"placement_key", R"({"file":"key\u0000s"})", "placement_key.file: has a zero byte"},
    {"state_file", "0", "state_file: expected a string"},
    {"unheard_of", "0", "unheard_of: unknown field"},
    // Sources.
    {"tenant", "1", "tenant: expected an object"},
    {"tenant", "{}", "tenant: needs one of header, metadata and filter_state"},
    {"tenant", R"({"header":"a","filter_state":"b"})",
     "tenant: needs one of header, metadata and filter_state"},
    {"tenant", R"({"header":""})", "tenant.header: expected a header's name"},
    {"tenant", R"({"header":"x","trusted":true})", "tenant.trusted: unknown field"},
    {"tenant", R"({"connection":true})", "tenant.connection: unknown field"},
    {"tenant", R"({"metadata":"x"})", "tenant.metadata: expected an object"},
    {"tenant", R"({"metadata":{"key":"k"}})", "tenant.metadata.namespace: is required"},
    {"tenant", R"({"metadata":{"namespace":"n"}})", "tenant.metadata.key: is required"},
    {"tenant", R"({"metadata":{"namespace":"n","key":1}})",
     "tenant.metadata.key: expected a string"},
    {"tenant", R"({"metadata":{"namespace":"n","key":"k","x":1}})",
     "tenant.metadata.x: unknown field"},
    {"tenant", R"({"filter_state":1})", "tenant.filter_state: expected a string"},
    {"consumer", R"({"header":"x"})",
     "consumer.trusted: must be true: only for a header that clients cannot set"},
    {"consumer", R"({"header":"x","trusted":false})",
     "consumer.trusted: must be true: only for a header that clients cannot set"},
    {"consumer", R"({"header":"x","trusted":"yes"})", "consumer.trusted: expected true or false"},
    {"consumer", R"({"filter_state":"x"})", ""},
    {"session", R"({"header":"x"})", "session: expected a list"},
    {"session", R"([{"header":"x"},{}])",
     "session[1]: needs one of header, metadata and filter_state"},
    // Sealed ids.
    {"sealed_ids", "\"on\"", "sealed_ids: expected one of off, open, seal, strict"},
    {"sealed_ids", "true", "sealed_ids: expected one of off, open, seal, strict"},
    {"sealed_ids", "\"off\"", ""},
    {"sealed_ids", "false", ""},
    {"sealed_ids", "\"strict\"", ""},
    {"id_keys", "1", "id_keys: expected a list"},
    {"id_keys", "[]", "id_keys: is empty"},
    {"id_keys", "[{}]", "id_keys[0].id: is required"},
    {"id_keys", R"([{"id":1,"role":"accept","key":{"env":"UNIT_OTHER"}}])",
     "id_keys[0]: Not exactly one cookie key signs."},
    {"id_keys",
     R"([{"id":1,"role":"sign","key":{"env":"UNIT_OTHER"}},
         {"id":2,"role":"accept","key":{"env":"UNIT_OTHER"}}])",
     "id_keys[1]: The secret is used twice, or is the placement key as well."},
    {"id_keys", R"([{"id":1,"role":"sign","key":{"env":"UNIT_PLACEMENT"}}])",
     "id_keys[0]: The secret is used twice, or is the placement key as well."},
    {"id_keys", R"([{"id":7,"role":"sign","key":{"env":"UNIT_COOKIE"}}])", ""},
    {"id_owner", "\"all\"", "id_owner: expected one of none, consumer"},
    {"id_owner", "\"consumer\"", ""},
    {"foreign_seals", "\"x\"", "foreign_seals: expected one of auto, refuse, plain"},
    {"foreign_seals", "\"plain\"", ""},
    {"encrypted_content", "1", "encrypted_content: expected true or false"},
    {"id_fields", "{}", "id_fields: expected a list"},
    {"id_fields", R"([{"name":"x"}])", "id_fields[0].kind: is required"},
    {"id_fields", R"([{"kind":"id"}])", "id_fields[0].name: is required"},
    {"id_fields", R"([{"name":"x","kind":"ids"},{"name":"y","kind":"named"}])", ""},
    {"id_prefixes", "[1]", "id_prefixes[0]: expected a string"},
    {"id_prefixes", R"(["x_","y-"])", ""},
    {"id_collections", R"(["things"])", ""},
    {"id_collections", R"({"a":"things"})", "id_collections: expected a list"},
    {"bodies", "0", "bodies: expected true or false"},
    {"max_body", "0", "max_body: expected a whole number, 1 to 4294967295"},
    {"max_body", "4294967296", "max_body: expected a whole number, 1 to 4294967295"},
    {"max_body", "\"4294967295\"", ""},
    {"max_held_bodies", "0", "max_held_bodies: expected a whole number, 1 to 18446744073709551615"},
    {"refuse_upgrades", "\"yes\"", "refuse_upgrades: expected true or false"},
    {"existing", "[]", "existing: expected an object"},
    {"existing", R"({"present":true})", "existing: needs one of header, metadata and filter_state"},
    {"existing", R"({"header":"x","present":"true"})", "existing.present: expected true or false"},
    {"existing", R"({"header":"x","present":true})", ""},
    {"existing", R"({"metadata":{"namespace":"n","key":"k","present":true}})",
     "existing.metadata.present: unknown field"},
    {"tenant", R"({"header":"x","present":true})", "tenant.present: unknown field"},
    {"id_hint", R"({"header":"x","present":true})", "id_hint.present: unknown field"},
    {"drop_when_moved", "{}", "drop_when_moved: expected a list"},
    {"drop_when_moved", "[0]", "drop_when_moved[0]: expected a string"},
    {"drop_when_moved", R"(["x","a b"])", "drop_when_moved[1]: expected a header's name"},
    {"drop_when_moved", R"([":path"])", "drop_when_moved[0]: expected a header's name"},
    {"drop_when_moved", R"(["Cookie"])", "drop_when_moved[0]: is not for the filter to set"},
    {"drop_when_moved", R"(["x","X-Y"])", ""},
    {"id_hint", "{}", "id_hint: needs one of header, metadata, filter_state and connection"},
    {"id_hint", R"({"connection":false})",
     "id_hint: needs one of header, metadata, filter_state and connection"},
    {"id_hint", R"({"connection":1})", "id_hint.connection: expected true or false"},
    // The cookie.
    {"cookie", "1", "cookie: expected an object"},
    {"cookie", R"({"colour":1})", "cookie.colour: unknown field"},
    {"cookie", R"({"name":1})", "cookie.name: expected a string"},
    {"cookie", R"({"name":"a b"})", "cookie.name: The cookie name is not 1 to 128 token bytes."},
    {"cookie", R"({"path":"x"})",
     "cookie.path: The cookie's value or an attribute has a bad byte or is too long, or the path "
     "does not start with a slash."},
    {"cookie", R"({"path":"/;"})",
     "cookie.path: The cookie's value or an attribute has a bad byte or is too long, or the path "
     "does not start with a slash."},
    {"cookie", R"({"domain":"x"})",
     "cookie.domain: A cookie's name with __Host- needs Secure, the path / and no domain; one with "
     "__Secure- needs Secure."},
    {"cookie", R"({"secure":false})",
     "cookie.secure: A cookie's name with __Host- needs Secure, the path / and no domain; one with "
     "__Secure- needs Secure."},
    {"cookie", R"({"secure":1})", "cookie.secure: expected true or false"},
    {"cookie", R"({"http_only":1})", "cookie.http_only: expected true or false"},
    {"cookie", R"({"partitioned":1})", "cookie.partitioned: expected true or false"},
    {"cookie", R"({"name":"x","secure":false,"partitioned":true})",
     "cookie.partitioned: SameSite=None and Partitioned need Secure."},
    {"cookie", R"({"name":"x","secure":false,"same_site":"none"})",
     "cookie.same_site: SameSite=None and Partitioned need Secure."},
    {"cookie", R"({"same_site":"Lax"})", "cookie.same_site: expected one of lax, strict, none"},
    {"cookie", R"({"max_age":34560001})", "cookie.max_age: expected a whole number, 0 to 34560000"},
    {"cookie", R"({"max_age":"never"})", "cookie.max_age: expected a whole number, 0 to 34560000"},
    {"cookie", R"({"skew":4294967296})", "cookie.skew: expected a whole number, 0 to 4294967295"},
    {"cookie", R"({"max_life":-1})", "cookie.max_life: expected a whole number, 0 to 4294967295"},
    {"cookie", R"({"max_idle":0.5})", "cookie.max_idle: expected a whole number, 0 to 4294967295"},
    {"cookie", R"({"max_age":"auto","skew":0,"max_life":0,"max_idle":"4294967295"})", ""},
    // Cooldowns and retries.
    {"cooldowns", "{}", "cooldowns: expected a list"},
    {"cooldowns", "[]", ""},
    {"cooldowns", "[{}]", "cooldowns[0].status: is required"},
    {"cooldowns", R"([{"status":429}])", "cooldowns[0].status: expected a list"},
    {"cooldowns", R"([{"status":[399]}])",
     "cooldowns[0].status[0]: expected a whole number, 400 to 599"},
    {"cooldowns", R"([{"status":[429]}])", "cooldowns[0].state: is required"},
    {"cooldowns", R"([{"status":[429],"state":"up"}])",
     "cooldowns[0].state: expected one of draining, down"},
    {"cooldowns", R"([{"status":[429],"state":"down"}])", "cooldowns[0].seconds: is required"},
    {"cooldowns", R"([{"status":[429],"state":"down","seconds":0}])",
     "cooldowns[0].seconds: expected a whole number, 1 to 4294967295"},
    {"cooldowns", R"([{"status":[429],"state":"down","seconds":1,"retry_after":1}])",
     "cooldowns[0].retry_after: expected true or false"},
    {"cooldowns", R"([{"status":[429],"state":"down","seconds":1,"max_seconds":0}])",
     "cooldowns[0].max_seconds: expected a whole number, 1 to 4294967295"},
    {"cooldowns", R"([{"status":[429],"state":"down","seconds":1,"x":0}])",
     "cooldowns[0].x: unknown field"},
    {"cooldowns", R"([{"status":[429],"headers":{}}])", "cooldowns[0].headers: expected a list"},
    {"cooldowns", R"([{"status":[429],"headers":[]}])", "cooldowns[0].headers: is empty"},
    {"cooldowns", R"([{"status":[429],"headers":["x"]}])",
     "cooldowns[0].headers[0]: expected an object"},
    {"cooldowns", R"([{"status":[429],"headers":[{"present":true}]}])",
     "cooldowns[0].headers[0].name: is required"},
    {"cooldowns", R"([{"status":[429],"headers":[{"name":"a b","present":true}]}])",
     "cooldowns[0].headers[0].name: expected a header's name"},
    {"cooldowns", R"([{"status":[429],"headers":[{"name":"x"}]}])",
     "cooldowns[0].headers[0]: needs one of exact, prefix and present"},
    {"cooldowns", R"([{"status":[429],"headers":[{"name":"x","exact":"a","prefix":"b"}]}])",
     "cooldowns[0].headers[0]: needs one of exact, prefix and present"},
    {"cooldowns", R"([{"status":[429],"headers":[{"name":"x","exact":0}]}])",
     "cooldowns[0].headers[0].exact: expected a string"},
    {"cooldowns", R"([{"status":[429],"headers":[{"name":"x","present":"true"}]}])",
     "cooldowns[0].headers[0].present: expected true or false"},
    {"cooldowns", R"([{"status":[429],"headers":[{"name":"x","exact":"a","y":1}]}])",
     "cooldowns[0].headers[0].y: unknown field"},
    {"cooldowns",
     R"([{"status":[429],"state":"down","seconds":1},
         {"status":[401,429],"headers":[{"name":"x","exact":"a"}],"state":"down","seconds":1}])",
     "cooldowns[1].status: has a status that an entry without headers has already"},
    {"cooldowns",
     R"([{"status":[429,401],"headers":[{"name":"x","exact":"a"}],"state":"down","seconds":1},
         {"status":[429],"headers":[{"name":"x","present":false}],"state":"down","seconds":1},
         {"status":[429],"state":"draining","seconds":1}])",
     ""},
    {"cooldowns", R"([{"status":[429,429],"state":"down","seconds":1}])",
     "cooldowns[0].status: has a status that an entry without headers has already"},
    {"retry", "[]", "retry: expected an object"},
    {"retry", "{}", "retry.status: is required"},
    {"retry", R"({"status":[200]})", "retry.status[0]: expected a whole number, 400 to 599"},
    {"retry", R"({"status":[429],"max":4})", "retry.max: expected a whole number, 1 to 3"},
    {"retry", R"({"status":[429],"max":0})", "retry.max: expected a whole number, 1 to 3"},
    {"retry", R"({"status":[429],"x":0})", "retry.x: unknown field"},
    {"retry", R"({"status":[429]})", ""},
};

void TestFields() {
  for (const Case& test : kCases) Expect(Text(With(World(), test.field, test.text)), test.message);
  for (const char* field : {"placement_key", "cookie_keys", "tokens"}) {
    Expect(Text(Without(World(), field)), std::string(field) + ": is required");
  }
  Expect(Text(With(World(), "scope", "\"" + std::string(1025, 's') + "\"")),
         "scope: is over 1024 bytes");
  Expect(Text(With(World(), "scope", "\"" + std::string(1024, 's') + "\"")), "");
  std::string keys = "[";
  for (int i = 0; i < 9; ++i) {
    keys += (i == 0 ? "" : ",") + std::string(R"({"id":)") + std::to_string(i) +
            R"(,"role":"accept","key":{"env":"UNIT_OTHER"}})";
  }
  Expect(Text(With(World(), "cookie_keys", keys + "]")), "cookie_keys: has more than 8 keys");
}

// A header that the filter writes has no other use.
void TestSharedHeaders() {
  const std::pair<const char*, const char*> uses[] = {
      {"tenant", R"({"header":"X-Used"})"},
      {"consumer", R"({"header":"x-used","trusted":true})"},
      {"session", R"([{"header":"x-other"},{"header":"x-used"}])"},
      {"existing", R"({"header":"x-used"})"},
      {"id_hint", R"({"header":"x-used"})"},
      {"tokens", R"([{"name":"a"},{"name":"b","headers":[{"name":"X-used","value":"v"}]}])"},
  };
  for (const std::string field : {"carrier_header", "response_header"}) {
    const Object writes = With(World(), field, "\"x-Used\"");
    Expect(Text(writes), "");
    for (const auto& [name, text] : uses) {
      Expect(Text(With(writes, name, text)), field + ": is the header of another setting");
    }
    // Of the same name, but no header.
    Expect(Text(With(writes, "tenant", R"({"filter_state":"x-used"})")), "");
  }
  const Object carrier = With(World(), "carrier_header", "\"x-a\"");
  Expect(Text(With(carrier, "response_header", "\"X-A\"")),
         "response_header: is the header of another setting");
  Expect(Text(With(carrier, "response_header", "\"x-b\"")), "");
}

void TestJson() {
  Expect("", "");
  Expect("{}", "");
  Expect(Text(World()), "");
  Expect("[]", "expected an object");
  Expect("null", "expected an object");
  Expect("\"text\"", "expected an object");
  Expect("{", "no valid JSON at line 1, column 2");
  Expect("{\n  \"tokens\": [1,\n", "no valid JSON at line 3, column 1");
  Expect("{\n  \"tokens\": [1,]}", "no valid JSON at line 2, column 16");
  Expect("{} x", "no valid JSON at line 1, column 4");
  Expect("{\"a\":tru}", "no valid JSON at line 1, column 9");
  Expect(std::string("{}\0", 3), "no valid JSON at line 1, column 3");
  Expect(std::string("{}\0x", 4), "no valid JSON at line 1, column 3");
  Expect("{\"scope\":\"\xff\"}", "no valid JSON at line 1, column 11");
  Expect("{\"scope\":\"\xc0\x80\"}", "no valid JSON at line 1, column 11");
  Expect("{\"scope\":\"\\ud800\"}", "no valid JSON at line 1, column 17");
  Expect("{\"scope\":\"a\nb\"}", "no valid JSON at line 1, column 12");
  Expect(R"({"scope":"a","scope":"b"})", "scope: given twice");
  Expect(R"({"cookie":{"path":"/a","path":"/b"}})", "cookie.path: given twice");
  Expect(R"({"tokens":[{"a":[1,[]]},{"headers":[{"name":"x","value":"y","name":"z"}]}]})",
         "tokens[1].headers[0].name: given twice");
  Expect(R"({"rules":[[],{},0,[1,{"a":{},"b":[{}],"a":[]}]]})", "rules[3][1].a: given twice");
  Expect(R"([{"a":1,"a":2}])", "[0].a: given twice");
  Expect(R"({"scope":1e999})", "holds a number that is too large");
  constexpr size_t kDeep = 100000;
  Expect(std::string(kDeep, '['), "no valid JSON at line 1, column 100001");
  Expect(std::string(kDeep, '[') + std::string(kDeep, ']'), "expected an object");
  Expect(R"({"tokens":)" + std::string(kDeep, '[') + std::string(kDeep, ']') + "}",
         "placement_key: is required");
  std::string nested;
  for (size_t i = 0; i < kDeep; ++i) nested += R"({"a":)";
  Expect(nested + "1" + std::string(kDeep, '}'), "tokens: is required");
}

// Every field that there is, with good values.
std::string Everything(const std::string& state_file) {
  return R"({
  "placement_key": {"env": "UNIT_PLACEMENT"},
  "cookie_keys": [{"id": 1, "role": "sign", "key": {"env": "UNIT_COOKIE"}},
                  {"id": 2, "role": "accept", "key": {"env": "UNIT_OTHER"}}],
  "capacity": 4, "scope": "openai",
  "tokens": [
    {"name": "a", "slot": 2, "weight": 1, "state": "down", "until": 1900000000,
     "headers": [{"name": "authorization", "prefix": "Bearer ", "env": "UNIT_CREDENTIAL"}]},
    {"name": "b", "slot": 0, "headers": [{"name": "x-api-key", "value": "secret"},
                                        {"name": "authorization", "remove": true}]}],
  "tenant": {"header": "x-tenant"},
  "consumer": {"header": "x-consumer", "trusted": true},
  "session": [{"header": "x-session"}, {"metadata": {"namespace": "n", "key": "k"}}],
  "existing": {"filter_state": "existing", "present": true},
  "id_hint": {"connection": true},
  "group": "stateful",
  "rules": [{"pattern": "a/b", "group": "prompt_cache"}], "replace_rules": true,
  "prompt_cache": true, "strategy": "rendezvous", "policy_existing": "fallback_and_update",
  "policy_new": "fallback_without_update", "combine_keys": true, "reject_bad_keys": true,
  "keyed_cookies": true, "mint_single": true, "success": [200, 399],
  "cookie": {"name": "pin", "path": "/v1", "domain": "example.com", "secure": true,
             "http_only": false, "partitioned": true, "same_site": "none", "max_age": 60,
             "skew": 1, "max_life": 100000, "max_idle": 1000},
  "carrier_header": "x-carrier", "drop_when_moved": ["x-old"], "state_file": ")" +
         state_file + R"(",
  "cooldowns": [{"status": [429, 503], "state": "down", "seconds": 9, "retry_after": true,
                 "max_seconds": 60,
                 "headers": [{"name": "x-quota", "exact": "0"}, {"name": "x-left", "prefix": "0"},
                             {"name": "retry-after", "present": true}]}],
  "retry": {"status": [500], "max": 2},
  "sealed_ids": "strict", "id_keys": [{"id": 3, "role": "sign", "key": {"env": "UNIT_OTHER"}}],
  "id_owner": "consumer", "foreign_seals": "plain", "encrypted_content": false,
  "id_fields": [{"name": "thing_id", "kind": "id"}], "id_prefixes": ["thing_"],
  "id_collections": ["things"], "max_body": 1000, "max_held_bodies": 10000, "bodies": true,
  "refuse_upgrades": true, "clear_route_cache": true, "cache_control": true, "metadata": true,
  "response_header": "x-decision", "observe": true})";
}

// The scalars of a JSON text: the start and the length of each.
std::vector<std::pair<size_t, size_t>> Leaves(const std::string& text) {
  std::vector<std::pair<size_t, size_t>> leaves;
  for (size_t i = 0; i < text.size();) {
    const size_t start = i;
    if (text[i] == '"') {
      i = text.find('"', i + 1) + 1;
      if (text.compare(i, 1, ":") != 0) leaves.emplace_back(start, i - start);
    } else if (isalnum(static_cast<unsigned char>(text[i]))) {
      while (isalnum(static_cast<unsigned char>(text[i]))) ++i;
      leaves.emplace_back(start, i - start);
    } else {
      ++i;
    }
  }
  return leaves;
}

constexpr std::string_view kSecret = "sk-Planted";

void ExpectNoSecret(const std::string& text) {
  const std::string refusal = Refusal(text);
  CHECK(refusal.find(kSecret) == std::string::npos);
  CHECK(refusal.find("7766554433") == std::string::npos);
}

void TestSecrets(Folder* folder) {
  const std::string states = folder->Write("good", R"({"tokens":{"a":{"state":"up"}}})");
  const std::string good = Everything(states);
  Expect(good, "");
  const auto leaves = Leaves(good);
  CHECK(leaves.size() > 60);
  const std::string plants[] = {"\"sk-Planted\"",    "[\"sk-Planted\"]", "{\"x\":\"sk-Planted\"}",
                                "7766554433",        "\"sk-Planted",     "\"sk-Planted\xff\"",
                                "\"sk-Planted\\n\"", "7766554433e999"};
  for (const auto& [start, length] : leaves) {
    for (const std::string& plant : plants) {
      std::string text = good;
      std::snprintf(check_context, sizeof check_context, "%s at %zu", plant.c_str(), start);
      ExpectNoSecret(text.replace(start, length, plant));
    }
  }
  // The same for a text that ends too early, in every place.
  std::string secretive = good;
  for (auto leaf = leaves.rbegin(); leaf != leaves.rend(); ++leaf) {
    secretive.replace(leaf->first, leaf->second, plants[0]);
  }
  for (size_t length = 1; length < secretive.size(); ++length) {
    std::snprintf(check_context, sizeof check_context, "the first %zu bytes", length);
    const std::string refusal = Refusal(secretive.substr(0, length));
    CHECK(refusal.compare(0, 22, "no valid JSON at line ") == 0);
    CHECK(refusal.find(kSecret) == std::string::npos);
  }
  // Secrets from the environment.
  setenv("UNIT_PLANTED", std::string(kSecret).c_str(), 1);
  for (const char* name : {"UNIT_PLACEMENT", "UNIT_COOKIE", "UNIT_OTHER"}) {
    std::string text = good;
    text.replace(text.find(name), strlen(name), "UNIT_PLANTED");
    ExpectNoSecret(text);
  }
  setenv("UNIT_PLANTED", "sk-Planted\nx", 1);
  std::string text = good;
  text.replace(text.find("UNIT_CREDENTIAL"), strlen("UNIT_CREDENTIAL"), "UNIT_PLANTED");
  ExpectNoSecret(text);
}

void TestStates(Folder* folder) {
  const Case cases[] = {
      {"", "{}", "tokens: is required"},
      {"", "[]", "expected an object"},
      {"", "", "no valid JSON at line 1, column 1"},
      {"", R"({"tokens":[]})", "tokens: expected an object"},
      {"", R"({"tokens":{},"x":1})", "x: unknown field"},
      {"", R"({"tokens":{"d":{"weight":-1}}})",
       "tokens.d.weight: expected a whole number, 0 to 65536"},
      {"", R"({"tokens":{"d":{},"":{"state":"down"}}})", ""},  // skipped, and logged
      {"", R"({"tokens":{"a":1}})", "tokens.a: expected an object"},
      {"", R"({"tokens":{"a":{"name":"a"}}})", "tokens.a.name: unknown field"},
      {"", R"({"tokens":{"a":{"state":"sk-Planted"}}})",
       "tokens.a.state: expected one of up, draining, down"},
      {"", R"({"tokens":{"a":{"weight":65537}}})",
       "tokens.a.weight: expected a whole number, 0 to 65536"},
      {"", R"({"tokens":{"a":{"until":"sk-Planted"}}})",
       "tokens.a.until: expected a whole number, 0 to 35184372088831"},
      {"", R"({"tokens":{"a":{"until":1e999}}})", "holds a number that is too large"},
      {"", R"({"tokens":{"a":{},"a":{}}})", "tokens.a: given twice"},
      {"", R"({"tokens":{"a":{"state":sk-Planted}}})", "no valid JSON at line 1, column 25"},
      {"", R"({"tokens":{}})", ""},
      {"", R"({"tokens":{"a":{},"b":{"weight":0,"state":"down","until":1}}})", ""},
  };
  for (const Case& test : cases) {
    const std::string path = folder->Write("states", test.text);
    const std::string message =
        *test.message == 0 ? "" : std::string("state_file: ") + test.message;
    Expect(Text(With(World(), "state_file", "\"" + path + "\"")), message);
    std::remove(path.c_str());
  }
  const std::string missing = folder->Path("missing");
  Expect(Text(With(World(), "state_file", "\"" + missing + "\"")), "");
  Expect(Text(With(World(), "state_file", "\"/tmp\"")), "state_file: cannot be read");
}

// Memory is taken for the size of a file, not for the limit.
void TestRoom(Folder* folder) {
  constexpr size_t kLimit = 16 << 20;
  const auto empty = tokenpin_envoy::ReadFile(folder->Write("empty", ""), kLimit);
  CHECK(empty && empty->empty() && empty->capacity() < 65536);
  // A file without a size, and longer than the first read.
  const auto endless = tokenpin_envoy::ReadFile("/proc/self/smaps", kLimit);
  CHECK(endless && endless->size() > 4096 && endless->capacity() < kLimit);
  CHECK(endless && endless->back() == '\n' && endless->find('\0') == std::string::npos);
  CHECK(!tokenpin_envoy::ReadFile("/proc/self/smaps", 4096));
}

// The same secret in a file and in the environment.
void TestKeyForms(Folder* folder) {
  const std::string digits = "00112233445566778899aabbccddeeff";
  const std::string_view kBad = "placement_key: the key is not 32 hexadecimal digits";
  const std::pair<std::string, std::string_view> forms[] = {
      {digits, ""},
      {digits + "\n", ""},
      {digits + "\r\n", ""},
      {"00112233445566778899AABBCCDDEEFF", ""},
      {digits + "\n\n", kBad},
      {digits + " ", kBad},
      {" " + digits, kBad},
      {digits + "0", kBad},
      {digits.substr(1), kBad},
      {digits + digits, kBad},
      {"0x" + digits.substr(2), kBad},
      {digits.substr(1) + "g", kBad},
      {"", kBad},
      {"\n", kBad},
      {std::string(65536, '0'), kBad},
  };
  for (const auto& [text, message] : forms) {
    const std::string path = folder->Write("key", text);
    Expect(Text(With(World(), "placement_key", "{\"file\":\"" + path + "\"}")), message);
    setenv("UNIT_FORM", text.c_str(), 1);
    Expect(Text(With(World(), "placement_key", R"({"env":"UNIT_FORM"})")), message);
  }
  constexpr std::string_view kUnread = "placement_key.file: the file cannot be read";
  const auto from = [](const std::string& path) {
    return Text(With(World(), "placement_key", "{\"file\":\"" + path + "\"}"));
  };
  Expect(from(folder->Write("key", std::string(65537, '0'))), kUnread);
  Expect(from(folder->Write("key", digits + std::string(1, '\0'))), kBad);
  Expect(from("/tmp"), kUnread);
  Expect(from(""), kUnread);
  Expect(from("/dev/zero"), kUnread);
  const std::string fifo = folder->Path("fifo");
  if (CHECK(mkfifo(fifo.c_str(), 0600) == 0)) {
    // A FIFO without a writer, and with a writer that sends nothing.
    Expect(from(fifo), kBad);
    const int writer = open(fifo.c_str(), O_RDWR);
    Expect(from(fifo), kUnread);
    close(writer);
  }
  // A credential may also have one line end.
  const std::string path = folder->Write("credential", "file-credential\r\n");
  const standin::Config config(Text(
      With(World(), "tokens",
           R"([{"name":"a","headers":[{"name":"X-Key","prefix":"k=","file":")" + path + "\"}]}]")));
  if (CHECK(config.accepted())) {
    standin::Stream stream(const_cast<standin::Config*>(&config));
    CHECK(stream.SendRequest());
    CHECK(stream.request.Get("x-key") == std::vector<std::string>{"k=file-credential"});
  }
}

void TestRoutes() {
  const Case cases[] = {
      {"", "{}", ""},
      {"", "", ""},
      {"", R"({"scope":"x","group":"stateless","existing":{"header":"e"},"observe":true})", ""},
      {"", "[]", "expected an object"},
      {"", "{", "no valid JSON at line 1, column 2"},
      {"", R"({"scope":""})", "scope: is empty"},
      {"", R"({"scope":7})", "scope: expected a string"},
      {"", R"({"group":"x"})", "group: expected one of stateless, stateful, prompt_cache"},
      {"", R"({"existing":{}})", "existing: needs one of header, metadata and filter_state"},
      {"", R"({"observe":"true"})", "observe: expected true or false"},
      {"", R"({"sealed_ids":"seal"})", ""},
      {"", R"({"sealed_ids":false})", ""},
      {"", R"({"sealed_ids":"x"})", "sealed_ids: expected one of off, open, seal, strict"},
      {"", R"({"max_body":1})", "max_body: unknown field"},
      {"", R"({"consumer":{"header":"x","trusted":true}})", "consumer: unknown field"},
      {"", R"({"tokens":[{"name":"a"}]})", "placement_key: is required"},
  };
  for (const Case& test : cases) {
    std::snprintf(check_context, sizeof check_context, "route %s", test.text);
    standin::TakeLog();
    const standin::Route route(test.text);
    const std::vector<standin::Line> log = standin::TakeLog();
    CHECK(route.accepted() == (*test.message == 0));
    const std::string message =
        std::string("tokenpin: route configuration refused: ") + test.message;
    CHECK(route.accepted() ? log.empty() : log.size() == 1 && log[0].text == message);
  }
  const standin::Route complete(Text(World()));
  CHECK(complete.accepted());
}

}  // namespace

int main() {
  SetKeys();
  setenv("UNIT_OTHER", "202122232425262728292a2b2c2d2e2f", 1);
  setenv("UNIT_ZERO", "00000000000000000000000000000000", 1);
  // Without the keeper's thread: there are hundreds of configurations.
  standin::SetValidationMode(true);
  Folder folder;
  TestFields();
  TestSharedHeaders();
  TestJson();
  TestSecrets(&folder);
  TestStates(&folder);
  TestRoom(&folder);
  TestKeyForms(&folder);
  TestRoutes();
  return check_report();
}
