#include "tokens.h"

#include <map>
#include <set>

#include "header_name.h"
#include "secrets.h"

namespace tokenpin_envoy {
namespace {

constexpr uint32_t kMaxCapacity = 65536;

void ReadStatus(Fields* fields, tokenpin_slot_status* status) {
  fields->Number("weight", 0, TOKENPIN_MAX_WEIGHT, &status->weight);
  fields->Enum("state", TOKENPIN_ENUM_STATE, &status->state);
  fields->Number("until", 0, TOKENPIN_MAX_UNTIL, &status->until);
}

// Those that Envoy's router sends as a filter set them. (Of the others, :method would make another
// request of it.)
bool IsPseudoHeader(std::string_view name) {
  return name == ":authority" || name == ":path" || name == ":scheme";
}

std::string ReadCredentialName(const Json& json, const std::string& path, Problem* problem) {
  const std::string name = json.is_string() ? json.get<std::string>() : "";
  if (name.empty() || name[0] != ':') return ReadOwnHeaderName(json, path, problem);
  if (!IsPseudoHeader(name)) {
    problem->Set(path, "expected a header's name, or :authority, :path or :scheme");
  }
  return name;
}

Credential ReadCredential(const Json& json, const std::string& path, Problem* problem) {
  Fields fields(json, path, problem);
  const Json* const name = fields.Require("name");
  Credential credential(name == nullptr ? ""
                                        : ReadCredentialName(*name, fields.Path("name"), problem));

  SecretText secret;
  bool remove = false;
  fields.Bool("remove", &remove);
  const int sources =
      ReadSecret(&fields, &secret.text) + (fields.Find("value") != nullptr) + remove;
  if (sources != 1) problem->Set(path, "needs one of value, file, env and remove");
  fields.String("value", &secret.text);
  fields.String("file", &credential.file);
  fields.String("prefix", &credential.prefix);
  fields.RefuseOthers();
  if (remove) {
    if (IsPseudoHeader(credential.name)) problem->Set(path, "a request cannot be without it");
    if (!credential.prefix.empty())
      problem->Set(fields.Path("prefix"), "needs a value, file or env to stand in front of");
  } else if (const char* const wrong = credential.Take(secret.text)) {
    problem->Set(path, wrong);
  }
  return credential;
}

// A token sends its own credentials and nothing of another's, also not from the client.
void RemoveOthersCredentials(std::vector<Token>* tokens) {
  std::set<std::string> names;
  for (const Token& token : *tokens) {
    for (const Credential& credential : token.credentials) names.insert(credential.name);
  }
  for (Token& token : *tokens) {
    std::set<std::string> missing = names;
    for (const Credential& credential : token.credentials) missing.erase(credential.name);
    for (const std::string& name : missing) {
      // A request cannot be without its pseudo-headers: it keeps the client's.
      if (!IsPseudoHeader(name)) token.credentials.emplace_back(name);
    }
  }
}

}  // namespace

void ReadTokens(Fields* fields, std::vector<Token>* tokens) {
  Problem* const problem = fields->problem();
  uint32_t capacity = 0;
  fields->Number("capacity", 1, kMaxCapacity, &capacity);
  uint32_t position = 0;
  const size_t limit = capacity == 0 ? kMaxCapacity : capacity;
  fields->List("tokens", [&](const Json& json, const std::string& path) {
    Fields token(json, path, problem);
    uint32_t slot = position++;
    token.Number("slot", 0, kMaxCapacity - 1, &slot);
    if (slot >= limit) return problem->Set(path, "its slot is not below the capacity");
    if (slot >= tokens->size()) tokens->resize(slot + 1);
    Token& result = (*tokens)[slot];
    if (!result.name.empty()) problem->Set(path, "its slot is taken");
    result.status.state = TOKENPIN_STATE_UP;
    token.Require("name");
    token.String("name", &result.name);
    if (result.name.empty()) problem->Set(token.Path("name"), "is empty");
    ReadStatus(&token, &result.status);
    std::set<std::string> names;
    token.List("headers", [&](const Json& header, const std::string& at) {
      result.credentials.push_back(ReadCredential(header, at, problem));
      if (!names.insert(result.credentials.back().name).second) {
        problem->Set(at, "a header is given twice");
      }
    });
    token.RefuseOthers();
  });
  if (tokens->empty()) problem->Set(fields->Path("tokens"), "is empty");
  if (capacity > tokens->size()) tokens->resize(capacity);
  RemoveOthersCredentials(tokens);
}

States ParseStates(std::string_view text, const std::vector<Token>& tokens, Problem* problem) {
  States states;
  std::map<std::string_view, size_t> slots;
  for (const Token& token : tokens) {
    if (!token.name.empty()) slots.emplace(token.name, states.declared.size());
    states.declared.push_back(token.status);
  }
  const Json json = ParseJson(text, problem);
  if (problem->Found()) return states;
  Fields fields(json, "", problem);
  const Json* tokens_field = fields.Require("tokens");
  fields.RefuseOthers();
  if (tokens_field == nullptr) return states;
  if (!tokens_field->is_object()) {
    problem->Set("tokens", "expected an object");
    return states;
  }
  for (const auto& [name, entry] : tokens_field->items()) {
    tokenpin_slot_status nobodys{0, TOKENPIN_MAX_WEIGHT, TOKENPIN_STATE_UP};
    const auto slot = slots.find(name);
    const bool known = slot != slots.end();
    Fields token(entry, "tokens." + name, problem);
    ReadStatus(&token, known ? &states.declared[slot->second] : &nobodys);
    token.RefuseOthers();
    if (!known) states.unknown.push_back(name);
  }
  return states;
}

}  // namespace tokenpin_envoy
