#include "request.h"

#include <algorithm>

#include "content.h"
#include "id_hint.h"

namespace tokenpin_envoy {

using tokenpin::Bytes;

namespace {

// One value for copies of it that were joined by commas, with empty ones or without: Envoy joins
// the values of some headers, and proxies in front those of others. Else the value as it is.
Bytes Unjoined(const Bytes& value) {
  std::string_view rest = tokenpin::view(value), one;
  if (rest.find(',') == rest.npos) return value;
  while (!rest.empty()) {
    const std::string_view part = TakeElement(&rest);
    if (one.empty()) one = part;
    if (!part.empty() && part != one) return value;
  }
  return tokenpin::bytes(one);
}

void DropEmpty(std::vector<Bytes>* values) {
  const auto empty = [](const Bytes& bytes) { return bytes.len == 0; };
  values->erase(std::remove_if(values->begin(), values->end(), empty), values->end());
}

// Returns whether they are copies of one value; not for none. Of several values, the right one is
// unknown.
bool AreOne(const std::vector<Bytes>& values) {
  const auto same = [&](const Bytes& value) {
    return tokenpin::view(value) == tokenpin::view(values[0]);
  };
  return !values.empty() && std::all_of(values.begin(), values.end(), same);
}

// Over HTTP/2, too, Envoy shows it so.
bool IsWebSocketHandshake(const HeaderList& headers) {
  return headers.First(":method") == "GET" && SameText(headers.First("upgrade"), "websocket");
}

bool IsPseudo(const Credential& credential) { return credential.name[0] == ':'; }

void Put(envoy_filter envoy, const Credential& credential) {
  if (credential.value) {
    SetHeader(envoy, kRequestHeader, credential.name, *credential.value);
  } else {
    RemoveHeader(envoy, kRequestHeader, credential.name);
  }
}

}  // namespace

bool RequestReader::ReadTarget(envoy_filter envoy, const Terms& terms, tokenpin::Request* request) {
  headers_.Read(envoy, kRequestHeader);
  if (!ReadScope(envoy, terms)) return false;
  request->scope = tokenpin::bytes(scope_);

  is_handshake_ = IsWebSocketHandshake(headers_);
  request->method =
      tokenpin::bytes(is_handshake_ ? std::string_view("CONNECT") : headers_.First(":method"));
  request->target = tokenpin::bytes(headers_.First(":path"));
  if (const auto& group = terms.Pick(&Overlay::group)) {
    request->set_group(static_cast<tokenpin::Group>(*group));
  }
  if (ReadsTrue(envoy, terms.Pick(&Overlay::existing))) request->existing = 1;
  return true;
}

void RequestReader::ReadKeys(envoy_filter envoy, const Terms& terms, tokenpin::Request* request) {
  const Settings& settings = terms.settings();
  ReadSource(envoy, settings.consumer, &consumers_);
  request->set_consumers(consumers_, true);
  sessions_.clear();
  for (const ValueSource& source : settings.session) {
    ReadSource(envoy, source, &sessions_);
    if (!sessions_.empty()) break;
  }
  request->set_sessions(sessions_);

  cookies_.clear();
  headers_.All("cookie", &cookies_);
  request->set_cookies(cookies_);
  values_.clear();
  if (!settings.carrier_header.empty()) {
    headers_.All(settings.carrier_header, &values_);
  }
  carried_ = !values_.empty();
  request->carrier = carried_;
  for (Bytes& value : values_) value = Unjoined(value);
  DropEmpty(&values_);
  if (AreOne(values_)) request->carrier_value = values_[0];

  if (ReadIdHint(envoy, *terms.config())) request->id_hint = id_hint_;
  request->now = tokenpin::unix_now();
}

void RequestReader::ReadSource(envoy_filter envoy, const ValueSource& source,
                               std::vector<Bytes>* values) {
  values->clear();
  envoy_buffer value{};
  switch (source.kind) {
    case ValueSource::Kind::kHeader:
      headers_.All(source.name, values);
      for (Bytes& each : *values) each = Unjoined(each);
      break;
    case ValueSource::Kind::kMetadata:
      if (envoy_dynamic_module_callback_http_get_metadata_string(
              envoy, kMetadataDynamic, Buffer(source.name), Buffer(source.key), &value)) {
        values->push_back({value.ptr, value.length});
      }
      break;
    case ValueSource::Kind::kFilterState:
      if (envoy_dynamic_module_callback_http_get_filter_state_bytes(envoy, Buffer(source.name),
                                                                    &value)) {
        values->push_back({value.ptr, value.length});
      }
      break;
    case ValueSource::Kind::kConnection:
    case ValueSource::Kind::kNone:
      break;
  }
  DropEmpty(values);
}

bool RequestReader::ReadScope(envoy_filter envoy, const Terms& terms) {
  scope_.clear();
  if (terms.overlay() != nullptr && terms.overlay()->scope) scope_ = *terms.overlay()->scope;
  ReadSource(envoy, terms.settings().tenant, &values_);
  if (values_.empty()) return true;
  if (!AreOne(values_)) return false;
  scope_ = terms.Pick(&Overlay::scope).value_or("");
  // No configured scope has a zero byte, so scope and tenant cannot run into each other.
  scope_ += '\0';
  scope_ += tokenpin::view(values_[0]);
  return scope_.size() <= TOKENPIN_MAX_SCOPE;
}

bool RequestReader::ReadsTrue(envoy_filter envoy, const ValueSource& source) {
  ReadSource(envoy, source, &values_);
  if (source.present) return !values_.empty();
  return std::any_of(values_.begin(), values_.end(), [](const Bytes& value) {
    const std::string_view text = tokenpin::view(value);
    return text == "true" || text == "1";
  });
}

// False without a hint, with several, or with one that is too long.
bool RequestReader::ReadIdHint(envoy_filter envoy, const Config& config) {
  const ValueSource& source = config.settings().id_hint;
  if (!source) return false;
  ConnectionHint of_connection;
  uint64_t connection = 0;
  ReadSource(envoy, source, &values_);
  if (source.kind == ValueSource::Kind::kConnection &&
      envoy_dynamic_module_callback_http_filter_get_attribute_int(envoy, kAttributeConnectionId,
                                                                  &connection)) {
    of_connection = HintOfConnection(connection);
    values_.push_back({of_connection.data(), of_connection.size()});
  }
  if (!AreOne(values_)) return false;
  const auto hint = config.affinity().id_hint(tokenpin::view(values_[0]));
  if (hint) std::copy(std::begin(*hint), std::end(*hint), id_hint_);
  return static_cast<bool>(hint);
}

// Fields are only touched if our cookie is in one of them.
void RequestReader::StripCookies(envoy_filter envoy, std::string_view cookie_name,
                                 std::string_view carrier_header) {
  // Copies the rest first: the first header that is set ends the views of all.
  size_t total = 0;
  for (const Bytes& field : cookies_) total += field.len;
  if (stripped_.size() < total) stripped_.resize(total);
  char* next = stripped_.data();
  bool changed = false;
  for (Bytes& field : cookies_) {
    const auto left = tokenpin::cookie_strip(tokenpin::view(field), cookie_name, {next, field.len});
    // Cannot fail; and if it did, a cookie that may be ours must not pass.
    const size_t length = left ? *left : 0;
    changed |= length != field.len;
    field = {next, length};
    next += length;
  }
  if (changed) {
    RemoveHeader(envoy, kRequestHeader, "cookie");
    for (const Bytes& field : cookies_) {
      if (field.len != 0) AddHeader(envoy, kRequestHeader, "cookie", tokenpin::view(field));
    }
  }
  if (carried_) RemoveHeader(envoy, kRequestHeader, carrier_header);
}

void PutCredentials(envoy_filter envoy, const Credentials& credentials) {
  for (const Credential& credential : credentials) Put(envoy, credential);
}

void DropCredentials(envoy_filter envoy, const Credentials& credentials) {
  for (const Credential& credential : credentials) {
    if (!IsPseudo(credential)) RemoveHeader(envoy, kRequestHeader, credential.name);
  }
}

void PutCredentialsAgain(envoy_filter envoy, const Credentials& credentials) {
  for (const Credential& credential : credentials) {
    if (!IsPseudo(credential)) Put(envoy, credential);
  }
}

void DropWhenMoved(envoy_filter envoy, const std::vector<std::string>& names,
                   const tokenpin::Decision& decision) {
  // Only a cookie names the account that a session was with.
  if (decision.outcome() != TOKENPIN_OUTCOME_REPINNED &&
      decision.outcome() != TOKENPIN_OUTCOME_FALLBACK) {
    return;
  }
  for (const std::string& name : names) RemoveHeader(envoy, kRequestHeader, name);
}

}  // namespace tokenpin_envoy
