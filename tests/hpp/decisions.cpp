// Decisions, as C++ sees them: every row of the vector files of decisions, through tokenpin.hpp.
// Bodies come one byte at a time; the program for the C interface opens them in place.
//
// Argument: the folder of the vectors.
#include "decisions.h"

#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <tokenpin.hpp>
#include <utility>
#include <vector>

namespace {

using tokenpin::Affinity;
using tokenpin::Decision;
using tokenpin::name;

std::string_view view(const Value& value) { return {value.bytes, value.len}; }

std::string_view view(const tokenpin_bytes& bytes) {
  return {static_cast<const char*>(bytes.ptr), bytes.len};
}

// Returns whether the row has this value for a key.
bool says(const char* row, const char* key, std::string_view text) {
  const Value value = value_of(row, key);
  return value.there && view(value) == text;
}

bool says(const char* row, const char* key, bool is) { return is_true(row, key) == is; }

tokenpin::Config& configure(tokenpin::Config& made, const ConfigRow& row) {
  static_cast<tokenpin_config&>(made) = row.config;
  made.set_cookie_keys({row.cookie_keys, row.config.cookie_key_count});
  made.set_slots({row.slots, row.config.slot_count});
  made.set_id_keys({row.id_keys, row.config.id_key_count});
  made.set_id_fields({row.fields, row.config.id_field_count});
  made.set_id_prefixes({row.prefixes, row.config.id_prefix_count});
  made.set_id_collections({row.collections, row.config.id_collection_count});
  return made;
}

// Opens target and body, so that the request has their summary.
void open_ids(const Affinity& affinity, const RequestRow& row, tokenpin::Request& request,
              tokenpin::IdSummary& summary) {
  const std::string_view target = view(request.target), body = view(row.body);
  const auto kind = affinity.classify(view(request.method), target);
  const auto owner = affinity.id_owner(request);
  if (!CHECK(kind && owner)) return;
  CHECK(says(row.opened, "ids", name(kind->ids)));
  tokenpin::IdUse use;
  use.scope = request.scope;
  use.owner = tokenpin::bytes(*owner);
  use.ids = kind->ids;

  std::string out(target.size(), '\0');
  const auto length = affinity.open_target(use, summary, target, out);
  CHECK(length && says(row.opened, "target", std::string_view(out).substr(0, *length)));

  out.clear();
  tokenpin::IdOpener opener;
  const auto sink = [&](std::string_view part) { out += part; };
  for (std::size_t at = 0; at < body.size(); at++) {
    CHECK(affinity.open(use, summary, opener, body.substr(at, 1), sink));
  }
  const auto end = affinity.open_end(use, summary, opener, sink);
  CHECK(end && end->unexpected == number_of(row.opened, "unexpected", 10));
  CHECK(says(row.opened, "body", out));

  const auto report = summary.report();
  CHECK(says(row.opened, "seals", report.seals != 0));
  report_is(&report, find_key(row.opened, "summary"));
  request.set_ids(summary);
}

void decision_is(const Decision& decision, const char* row) {
  const Value slot = value_of(row, "slot");
  CHECK(decision.has_slot() == slot.there);
  CHECK(decision.slot() ==
        (slot.there ? std::strtoul(slot.bytes, nullptr, 10) : TOKENPIN_SLOT_NONE));
  CHECK(says(row, "source", name(decision.source())));
  CHECK(says(row, "outcome", name(decision.outcome())));
  CHECK(says(row, "pin_state", name(decision.pin_state())));
  CHECK(says(row, "verdict", name(decision.verdict())));
  CHECK(says(row, "id_verdict", name(decision.id_verdict())));
  const std::string keys = "[" + std::to_string(decision.id_keys()[0]) + "," +
                           std::to_string(decision.id_keys()[1]) + "]";
  CHECK(std::string_view(find_key(row, "id_keys")).substr(0, keys.size()) == keys);
  CHECK(says(row, "key_reason", name(decision.key_reason())));
  CHECK(says(row, "ambiguous", decision.fields().ambiguous != 0));
  CHECK(says(row, "existing", decision.existing()));
  CHECK(says(row, "may_move", decision.may_move()));
  CHECK(decision.retry_after() == number_of(row, "retry_after", 10));
  CHECK(says(row, "refusal", name(decision.refusal().refusal)));
  CHECK(decision.refusal().status == number_of(row, "refusal_status", 10));
  CHECK(decision.fields().fingerprint == number_of(row, "fingerprint", 16));
  CHECK(decision.fields().cookie == (*find_key(row, "cookie") == '{'));
}

void a_case(const Affinity& affinity, const RequestRow& row, const char* text, bool is_refused) {
  tokenpin::Request request;
  static_cast<tokenpin_request&>(request) = row.request;
  request.set_consumers({row.consumers, row.request.consumer_count},
                        row.request.consumer_trusted != 0);
  request.set_sessions({row.sessions, row.request.session_count});
  request.set_cookies({row.cookies, row.request.cookie_count});
  request.set_tried({row.tried, row.request.tried_count});
  tokenpin::IdSummary summary;
  if (row.opened != nullptr) open_ids(affinity, row, request, summary);
  const auto decision = affinity.decide(request);
  if (is_refused) {
    CHECK(!decision && says(text, "error", name(decision.status)));
    return;
  }
  if (!CHECK(decision)) return;
  decision_is(*decision, find_key(text, "decision"));
  const auto live = affinity.live_fingerprint(request.now);
  CHECK(live && *live == number_of(text, "live_fingerprint", 16));
  for (const char* at = first_element(text, "finish"); at != nullptr;
       at = next_element(std::strchr(at, '}') + 1)) {
    const auto answer =
        affinity.finish(*decision, static_cast<std::uint16_t>(number_of(at, "status", 10)));
    CHECK(answer && says(at, "answer", name(answer->kind)));
    CHECK(says(at, "text", answer->text.view()));
  }
}

void decisions_are_those_of(const char* folder, const char* file, bool with_ids) {
  const auto rows = std::make_unique<Rows>();
  const auto config_row = std::make_unique<ConfigRow>();
  const auto request_row = std::make_unique<RequestRow>();
  std::vector<Affinity> affinities;
  rows->file = open_file(folder, file);
  std::size_t cases = 0, refused = 0;
  for (std::size_t line = 0; next_row(rows.get()); line++) {
    std::snprintf(check_context, sizeof check_context, "%s, %s, row %zu", file, rows->section,
                  line);
    if (is_section(rows.get(), "configs")) {
      config_of(rows->row, config_row.get());
      tokenpin::Config config;
      auto made = Affinity::make(configure(config, *config_row));
      CHECK(made);
      affinities.push_back(std::move(*made));
    }
    const bool is_refused = is_section(rows.get(), "refused");
    if (!is_refused && !is_section(rows.get(), "cases")) continue;
    const std::uint64_t number = number_of(rows->row, "config", 10);
    request_of(rows->row, request_row.get());
    CHECK((request_row->opened != nullptr) == with_ids);
    if (CHECK(number < affinities.size())) {
      a_case(affinities[number], *request_row, rows->row, is_refused);
    }
    (is_refused ? refused : cases)++;
  }
  CHECK(cases > 500 && refused > 20);
  std::fclose(rows->file);
}

}  // namespace

int main(int argc, char** argv) {
  if (!CHECK(argc == 2)) return check_report();
  decisions_are_those_of(argv[1], "decision_v1.json", false);
  decisions_are_those_of(argv[1], "decision_ids_v1.json", true);
  return check_report();
}
