#include "settings.h"

#include <string.h>

#include <algorithm>
#include <set>
#include <string>

#include "header_name.h"
#include "json.h"
#include "secrets.h"
#include "tokens.h"

namespace tokenpin_envoy {
namespace {

// The properties that only some sources may have.
enum class Special { kNothing, kConnection, kTrusted, kPresent };

ValueSource ReadSource(const Json& json, const std::string& path, Problem* problem,
                       Special special = Special::kNothing) {
  ValueSource source;
  Fields fields(json, path, problem);
  int kinds = 0;
  if (fields.Find("header") != nullptr) {
    ++kinds;
    source.kind = ValueSource::Kind::kHeader;
    ReadAnyHeaderName(&fields, "header", &source.name);
    bool trusted = special != Special::kTrusted;
    if (!trusted) fields.Bool("trusted", &trusted);
    if (!trusted) {
      problem->Set(fields.Path("trusted"),
                   "must be true: only for a header that clients cannot set");
    }
  }
  if (const Json* metadata = fields.Find("metadata")) {
    ++kinds;
    source.kind = ValueSource::Kind::kMetadata;
    Fields inner(*metadata, fields.Path("metadata"), problem);
    inner.Require("namespace");
    inner.Require("key");
    inner.String("namespace", &source.name);
    inner.String("key", &source.key);
    inner.RefuseOthers();
  }
  if (fields.Find("filter_state") != nullptr) {
    ++kinds;
    source.kind = ValueSource::Kind::kFilterState;
    fields.String("filter_state", &source.name);
  }
  bool of_connection = false;
  if (special == Special::kConnection) fields.Bool("connection", &of_connection);
  if (of_connection) {
    ++kinds;
    source.kind = ValueSource::Kind::kConnection;
  }
  if (special == Special::kPresent) fields.Bool("present", &source.present);
  fields.RefuseOthers();
  if (kinds != 1) {
    problem->Set(path, special == Special::kConnection
                           ? "needs one of header, metadata, filter_state and connection"
                           : "needs one of header, metadata and filter_state");
  }
  return source;
}

void ReadSource(Fields* fields, const char* name, ValueSource* source,
                Special special = Special::kNothing) {
  if (const Json* json = fields->Find(name)) {
    *source = ReadSource(*json, fields->Path(name), fields->problem(), special);
  }
}

void ReadOverlay(Fields* fields, Overlay* overlay) {
  if (fields->Find("scope") != nullptr) {
    fields->String("scope", &overlay->scope.emplace());
    if (overlay->scope->size() > TOKENPIN_MAX_SCOPE) {
      fields->problem()->Set(fields->Path("scope"),
                             "is over " + std::to_string(TOKENPIN_MAX_SCOPE) + " bytes");
    }
  }
  if (fields->Find("group") != nullptr) {
    fields->Enum("group", TOKENPIN_ENUM_GROUP, &overlay->group.emplace());
  }
  ReadSource(fields, "existing", &overlay->existing, Special::kPresent);
  if (const Json* mode = fields->Find("sealed_ids")) {
    uint8_t& sealed_ids = overlay->sealed_ids.emplace(TOKENPIN_MODE_OFF);
    // YAML reads `off` as false.
    if (*mode != false) fields->Enum("sealed_ids", TOKENPIN_ENUM_MODE, &sealed_ids);
  }
  if (fields->Find("observe") != nullptr) fields->Bool("observe", &overlay->observe.emplace());
}

void ReadKeyRing(Fields* fields, const char* name, std::vector<tokenpin_cookie_key>* keys) {
  // A growing vector would leave copies of the keys behind.
  keys->reserve(TOKENPIN_MAX_COOKIE_KEYS);
  fields->List(name, [&](const Json& json, const std::string& path) {
    if (keys->size() == TOKENPIN_MAX_COOKIE_KEYS) {
      return fields->problem()->Set(
          fields->Path(name),
          "has more than " + std::to_string(TOKENPIN_MAX_COOKIE_KEYS) + " keys");
    }
    tokenpin_cookie_key& key = keys->emplace_back();
    Fields entry(json, path, fields->problem());
    entry.Require("id");
    entry.Number("id", 0, 255, &key.id);
    entry.Require("role");
    entry.Enum("role", TOKENPIN_ENUM_ROLE, &key.role);
    if (const Json* secret = entry.Require("key")) {
      ReadKey(*secret, entry.Path("key"), key.secret, fields->problem());
    }
    entry.RefuseOthers();
  });
}

void ReadRule(const Json& json, const std::string& path, Rule* rule, Problem* problem) {
  Fields fields(json, path, problem);
  fields.Require("pattern");
  fields.String("pattern", &rule->pattern);
  fields.Require("group");
  fields.Enum("group", TOKENPIN_ENUM_GROUP, &rule->group);
  // An API that keeps state in an account names it by ids.
  rule->ids = rule->group == TOKENPIN_GROUP_STATEFUL ? TOKENPIN_IDS_BOTH : TOKENPIN_IDS_NONE;
  fields.Enum("ids", TOKENPIN_ENUM_IDS, &rule->ids);
  fields.RefuseOthers();
}

void ReadTexts(Fields* fields, const char* name, std::vector<std::string>* texts) {
  fields->List(name, [&](const Json& json, const std::string& path) {
    if (!json.is_string()) return fields->problem()->Set(path, "expected a string");
    texts->push_back(json.get<std::string>());
  });
}

void ReadIds(Fields* fields, Settings* settings) {
  tokenpin_config& library = settings->library;
  library.id_mode = settings->request.sealed_ids.value_or(TOKENPIN_MODE_OFF);
  ReadKeyRing(fields, "id_keys", &settings->id_keys);
  const Json* keys = fields->Find("id_keys");
  if (keys != nullptr && keys->empty()) fields->problem()->Set(fields->Path("id_keys"), "is empty");
  fields->Enum("id_owner", TOKENPIN_ENUM_ID_OWNER, &library.id_owner);
  fields->Enum("foreign_seals", TOKENPIN_ENUM_FOREIGN_SEALS, &library.foreign_seals);
  fields->Bool("encrypted_content", &library.encrypted_content);
  fields->List("id_fields", [&](const Json& json, const std::string& path) {
    IdField& field = settings->id_fields.emplace_back();
    Fields entry(json, path, fields->problem());
    entry.Require("name");
    entry.String("name", &field.name);
    entry.Require("kind");
    entry.Enum("kind", TOKENPIN_ENUM_KEY_KIND, &field.kind);
    entry.RefuseOthers();
  });
  ReadTexts(fields, "id_prefixes", &settings->id_prefixes);
  ReadTexts(fields, "id_collections", &settings->id_collections);
  fields->Bool("bodies", &settings->bodies);
  fields->Number("max_body", 1, UINT32_MAX, &settings->max_body);
  fields->Number("max_held_bodies", 1, UINT64_MAX, &settings->max_held);
  fields->Bool("refuse_upgrades", &settings->refuse_upgrades);
}

void ReadCookie(Fields* fields, Settings* settings) {
  const Json* json = fields->Find("cookie");
  if (json == nullptr) return;
  tokenpin_config& library = settings->library;
  Fields cookie(*json, fields->Path("cookie"), fields->problem());
  cookie.String("name", &settings->cookie_name);
  cookie.String("path", &settings->path);
  cookie.String("domain", &settings->domain);
  cookie.Bool("secure", &library.attributes.secure);
  cookie.Bool("http_only", &library.attributes.http_only);
  cookie.Bool("partitioned", &library.attributes.partitioned);
  cookie.Enum("same_site", TOKENPIN_ENUM_SAME_SITE, &library.attributes.same_site);
  const Json* max_age = cookie.Find("max_age");
  if (max_age != nullptr && *max_age == "auto") {
    library.max_age = TOKENPIN_MAX_AGE_AUTO;
  } else {
    cookie.Number("max_age", 0, TOKENPIN_MAX_MAX_AGE, &library.max_age);
  }
  cookie.Number("skew", 0, UINT32_MAX, &library.skew);
  cookie.Number("max_life", 0, UINT32_MAX, &library.max_life);
  cookie.Number("max_idle", 0, UINT32_MAX, &library.max_idle);
  cookie.RefuseOthers();
}

void ReadStatuses(Fields* fields, const char* name, std::vector<uint16_t>* statuses) {
  fields->Require(name);
  fields->List(name, [&](const Json& json, const std::string& path) {
    const uint64_t status = Fields::ReadNumber(json, path, kLeastError, 599, fields->problem());
    statuses->push_back(static_cast<uint16_t>(status));
  });
  const Json* list = fields->Find(name);
  if (list != nullptr && list->empty()) fields->problem()->Set(fields->Path(name), "is empty");
}

void ReadHeaderMatches(Fields* fields, const char* name, std::vector<HeaderMatch>* matches) {
  using Kind = HeaderMatch::Kind;
  fields->List(name, [&](const Json& json, const std::string& path) {
    HeaderMatch& match = matches->emplace_back();
    Fields entry(json, path, fields->problem());
    entry.Require("name");
    ReadAnyHeaderName(&entry, "name", &match.name);
    int kinds = 0;
    for (const auto& [field, kind] :
         {std::pair{"exact", Kind::kExact}, {"prefix", Kind::kPrefix}}) {
      if (entry.Find(field) == nullptr) continue;
      ++kinds;
      match.kind = kind;
      entry.String(field, &match.text);
    }
    if (entry.Find("present") != nullptr) {
      ++kinds;
      bool present = true;
      entry.Bool("present", &present);
      match.kind = present ? Kind::kPresent : Kind::kAbsent;
    }
    entry.RefuseOthers();
    if (kinds != 1) fields->problem()->Set(path, "needs one of exact, prefix and present");
  });
  const Json* list = fields->Find(name);
  if (list != nullptr && list->empty()) fields->problem()->Set(fields->Path(name), "is empty");
}

// None goes down: a client may have caused the answer, and would take the token from all others.
std::vector<Cooldown> DefaultCooldowns() {
  Cooldown refused{{401, 429}, {}, TOKENPIN_STATE_DRAINING, 30};
  refused.retry_after = true;
  return {refused};
}

void ReadCooldowns(Fields* fields, std::vector<Cooldown>* cooldowns) {
  if (fields->Find("cooldowns") == nullptr) {
    *cooldowns = DefaultCooldowns();
    return;
  }
  std::set<uint16_t> settled;
  fields->List("cooldowns", [&](const Json& json, const std::string& path) {
    Cooldown& cooldown = cooldowns->emplace_back();
    Fields entry(json, path, fields->problem());
    ReadStatuses(&entry, "status", &cooldown.statuses);
    ReadHeaderMatches(&entry, "headers", &cooldown.headers);
    // Behind an entry that always matches, another is a mistake.
    for (const uint16_t status : cooldown.statuses) {
      if (settled.count(status) != 0) {
        fields->problem()->Set(entry.Path("status"),
                               "has a status that an entry without headers has already");
      }
      if (cooldown.headers.empty()) settled.insert(status);
    }
    entry.Require("state");
    entry.Enum("state", TOKENPIN_ENUM_STATE, &cooldown.state);
    if (cooldown.state == TOKENPIN_STATE_UP) {
      fields->problem()->Set(entry.Path("state"), "expected one of draining, down");
    }
    entry.Require("seconds");
    entry.Number("seconds", 1, UINT32_MAX, &cooldown.seconds);
    entry.Bool("retry_after", &cooldown.retry_after);
    entry.Number("max_seconds", 1, UINT32_MAX, &cooldown.max_seconds);
    entry.RefuseOthers();
  });
}

void ReadRetry(Fields* fields, Settings* settings) {
  const Json* json = fields->Find("retry");
  if (json == nullptr) return;
  Fields retry(*json, fields->Path("retry"), fields->problem());
  ReadStatuses(&retry, "status", &settings->retry_statuses);
  settings->max_retries = 1;
  retry.Number("max", 1, kMaxRetries, &settings->max_retries);
  retry.RefuseOthers();
}

void ReadSuccess(Fields* fields, tokenpin_config* library) {
  const Json* json = fields->Find("success");
  if (json == nullptr) return;
  const std::string path = fields->Path("success");
  if (!json->is_array() || json->size() != 2) {
    return fields->problem()->Set(path, "expected a list of two statuses");
  }
  const auto status = [&](size_t i) {
    const std::string at = path + "[" + std::to_string(i) + "]";
    return static_cast<uint16_t>(Fields::ReadNumber((*json)[i], at, 100, 599, fields->problem()));
  };
  library->success_first = status(0);
  library->success_last = status(1);
}

// A header that the filter writes for one purpose must not be read or written for another.
void RefuseSharedHeaders(Fields* fields, const Settings& settings) {
  std::set<std::string_view> others;
  const auto add = [&](const ValueSource& source) {
    if (source.kind == ValueSource::Kind::kHeader) others.insert(source.name);
  };
  for (const Token& token : settings.tokens) {
    for (const Credential& credential : token.credentials) others.insert(credential.name);
  }
  add(settings.consumer);
  add(settings.tenant);
  add(settings.id_hint);
  add(settings.request.existing);
  for (const ValueSource& source : settings.session) add(source);
  if (others.count(settings.carrier_header) != 0) {
    fields->problem()->Set(fields->Path("carrier_header"), "is the header of another setting");
  }
  others.insert(settings.carrier_header);
  if (!settings.response_header.empty() && others.count(settings.response_header) != 0) {
    fields->problem()->Set(fields->Path("response_header"), "is the header of another setting");
  }
}

void ReadSettings(Fields* fields, Settings* settings) {
  tokenpin_config& library = settings->library;
  if (const Json* key = fields->Require("placement_key")) {
    ReadKey(*key, fields->Path("placement_key"), library.placement_key, fields->problem());
  }
  fields->Require("cookie_keys");
  ReadKeyRing(fields, "cookie_keys", &settings->cookie_keys);
  ReadTokens(fields, &settings->tokens);
  ReadOverlay(fields, &settings->request);
  ReadSource(fields, "tenant", &settings->tenant);
  ReadSource(fields, "consumer", &settings->consumer, Special::kTrusted);
  fields->List("session", [&](const Json& json, const std::string& path) {
    settings->session.push_back(ReadSource(json, path, fields->problem()));
  });
  ReadSource(fields, "id_hint", &settings->id_hint, Special::kConnection);
  fields->List("rules", [&](const Json& json, const std::string& path) {
    ReadRule(json, path, &settings->rules.emplace_back(), fields->problem());
  });
  if (fields->Find("rules") != nullptr && settings->rules.empty()) {
    fields->problem()->Set(fields->Path("rules"), "is empty");
  }
  fields->Bool("replace_rules", &library.replace_rules);
  if (library.replace_rules != 0 && settings->rules.empty()) {
    fields->problem()->Set(fields->Path("replace_rules"), "needs rules");
  }
  fields->Enum("strategy", TOKENPIN_ENUM_STRATEGY, &library.strategy);
  fields->Enum("policy_existing", TOKENPIN_ENUM_POLICY, &library.policy_existing);
  fields->Enum("policy_new", TOKENPIN_ENUM_POLICY, &library.policy_new);
  fields->Bool("combine_keys", &library.combine_keys);
  fields->Bool("reject_bad_keys", &library.reject_bad_keys);
  fields->Bool("keyed_cookies", &library.keyed_cookies);
  fields->Bool("mint_single", &library.mint_single);
  fields->Bool("prompt_cache", &library.prompt_cache);
  ReadSuccess(fields, &library);
  ReadCookie(fields, settings);
  ReadIds(fields, settings);
  ReadOwnHeaderName(fields, "carrier_header", &settings->carrier_header);
  fields->List("drop_when_moved", [&](const Json& json, const std::string& path) {
    settings->drop_when_moved.push_back(ReadOwnHeaderName(json, path, fields->problem()));
  });
  fields->String("state_file", &settings->state_file);
  ReadCooldowns(fields, &settings->cooldowns);
  ReadRetry(fields, settings);
  fields->Bool("clear_route_cache", &settings->clear_route_cache);
  fields->Bool("cache_control", &settings->cache_control);
  fields->Bool("metadata", &settings->metadata);
  ReadOwnHeaderName(fields, "response_header", &settings->response_header);
  RefuseSharedHeaders(fields, *settings);
}

}  // namespace

bool HeaderMatch::Matches(const HeaderList& headers) const {
  std::vector<tokenpin::Bytes> values;
  headers.All(name, &values);
  if (kind == Kind::kAbsent) return values.empty();
  return std::any_of(values.begin(), values.end(), [this](const tokenpin::Bytes& value) {
    const std::string_view given = tokenpin::view(value);
    switch (kind) {
      case Kind::kExact:
        return given == text;
      case Kind::kPrefix:
        return given.substr(0, text.size()) == text;
      default:
        return true;
    }
  });
}

void Settings::WipeKeys() {
  explicit_bzero(library.placement_key, sizeof library.placement_key);
  for (auto* const ring : {&cookie_keys, &id_keys}) {
    for (tokenpin_cookie_key& key : *ring) explicit_bzero(key.secret, sizeof key.secret);
  }
}

Parsed ParseConfiguration(std::string_view text, bool route, Problem* problem) {
  Parsed parsed;
  const Json json = text.empty() ? Json::object() : ParseJson(text, problem);
  if (problem->Found()) return parsed;
  Fields fields(json, "", problem);
  if (json.is_object() && (route ? json.contains("tokens") : !json.empty())) {
    fields.Require("tokens");
    parsed.settings = std::make_unique<Settings>();
    ReadSettings(&fields, parsed.settings.get());
  } else if (route) {
    ReadOverlay(&fields, &parsed.overlay);
    // To the library an empty scope is the configured one.
    if (parsed.overlay.scope == "") problem->Set("scope", "is empty");
  }
  fields.RefuseOthers();
  return parsed;
}

}  // namespace tokenpin_envoy
