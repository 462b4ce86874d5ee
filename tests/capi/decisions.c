// Decisions, as C sees them: every row of the vector files of decisions, with its target and body,
// its decision, and its cookie.
//
// Argument: the folder of the vectors.
#include "decisions.h"

#define OK TOKENPIN_STATUS_OK
#define SAY(...) snprintf(check_context, sizeof check_context, __VA_ARGS__)

static tokenpin_affinity* affinities[kMaxConfigs];
static size_t affinity_count;
static RequestRow request_row;
static tokenpin_id_summary summary;

// Opens target and body, so that the request has their summary.
static void open_ids(const tokenpin_affinity* affinity) {
  tokenpin_request* request = &request_row.request;
  const char* says = request_row.opened;
  if (says == NULL) return;
  const tokenpin_bytes target = request->target, body = request_row.body;
  uint8_t group, existing;
  tokenpin_id_use use;
  memset(&use, 0, sizeof use);
  use.scope = request->scope;
  CHECK(tokenpin_affinity_id_owner(affinity, request, &use.owner) == OK);
  CHECK(tokenpin_affinity_classify(affinity, request->method.ptr, request->method.len, target.ptr,
                                   target.len, &group, &existing, &use.ids) == OK);
  CHECK(use.ids == enum_of(says, "ids", TOKENPIN_ENUM_IDS));

  CHECK(tokenpin_id_summary_init(&summary) == OK);
  char* out = malloc(target.len + 1);
  size_t len = 0;
  CHECK(tokenpin_affinity_open_target(affinity, &use, &summary, target.ptr, target.len, out,
                                      target.len, &len) == OK);
  Value expected = value_of(says, "target");
  CHECK(same(out, len, &expected));
  free(out);

  out = malloc(body.len + 1);
  if (body.len != 0) memcpy(out, body.ptr, body.len);
  uint32_t unexpected = 77;
  CHECK(tokenpin_affinity_open_in_place(affinity, &use, &summary, out, body.len, &len,
                                        &unexpected) == OK);
  expected = value_of(says, "body");
  CHECK(same(out, len, &expected));
  CHECK(unexpected == number_of(says, "unexpected", 10));
  free(out);

  tokenpin_id_report report;
  CHECK(tokenpin_id_summary_report(&summary, &report) == OK);
  CHECK(report.seals == is_true(says, "seals"));
  report_is(&report, find_key(says, "summary"));
  request->ids = &summary;
}

static void decision_is(const tokenpin_decision* decision, const char* says) {
  Value value = value_of(says, "slot");
  CHECK(decision->slot == (value.there ? strtoul(value.bytes, NULL, 10) : TOKENPIN_SLOT_NONE));
  CHECK(decision->source == enum_of(says, "source", TOKENPIN_ENUM_SOURCE));
  CHECK(decision->outcome == enum_of(says, "outcome", TOKENPIN_ENUM_OUTCOME));
  CHECK(decision->pin_state == enum_of(says, "pin_state", TOKENPIN_ENUM_PIN_STATE));
  CHECK(decision->verdict == enum_of(says, "verdict", TOKENPIN_ENUM_VERDICT));
  CHECK(decision->id_verdict == enum_of(says, "id_verdict", TOKENPIN_ENUM_ID_VERDICT));
  unsigned first = 0, second = 0;
  CHECK(sscanf(find_key(says, "id_keys"), "[%u,%u]", &first, &second) == 2);
  CHECK(decision->id_keys[0] == first && decision->id_keys[1] == second);
  CHECK(decision->key_reason == enum_of(says, "key_reason", TOKENPIN_ENUM_KEY_REASON));
  CHECK(decision->ambiguous == is_true(says, "ambiguous"));
  CHECK(decision->existing == is_true(says, "existing"));
  CHECK(decision->may_move == is_true(says, "may_move"));
  CHECK(decision->retry_after == number_of(says, "retry_after", 10));
  CHECK(decision->fingerprint == number_of(says, "fingerprint", 16));
  uint16_t status = 77;
  uint8_t refusal = 77;
  CHECK(tokenpin_decision_refusal(decision, &status, &refusal) == OK);
  CHECK(refusal == enum_of(says, "refusal", TOKENPIN_ENUM_REFUSAL));
  CHECK(status == number_of(says, "refusal_status", 10));
  const char* cookie = find_key(says, "cookie");
  CHECK(decision->cookie == (*cookie == '{'));
  if (*cookie != '{') return;
  value = value_of(cookie, "value");
  CHECK(same(decision->value, sizeof decision->value, &value));
  CHECK(decision->max_age == number_of(cookie, "max_age", 10));
  CHECK(decision->carrier == is_true(cookie, "carrier"));
}

static void answers_are(const tokenpin_affinity* affinity, const tokenpin_decision* decision,
                        const char* row) {
  const char* at = first_element(row, "finish");
  CHECK(at != NULL);
  for (; at != NULL; at = next_element(strchr(at, '}') + 1)) {
    char line[TOKENPIN_MAX_SET_COOKIE];
    size_t len = 77;
    uint8_t answer = 77;
    CHECK(tokenpin_affinity_finish(affinity, decision, (uint16_t)number_of(at, "status", 10), line,
                                   sizeof line, &len, &answer) == OK);
    CHECK(answer == enum_of(at, "answer", TOKENPIN_ENUM_ANSWER));
    const Value text = value_of(at, "text");
    CHECK(same(line, len, &text));
  }
}

static void a_case(const char* row, bool is_refused) {
  const uint64_t number = number_of(row, "config", 10);
  if (!CHECK(number < affinity_count)) return;
  const tokenpin_affinity* affinity = affinities[number];
  request_of(row, &request_row);
  open_ids(affinity);
  static const tokenpin_decision kNothing;
  tokenpin_decision decision = kNothing;
  const int32_t status = tokenpin_affinity_decide(affinity, &request_row.request, &decision);
  if (is_refused) {
    CHECK(status == enum_of(row, "error", TOKENPIN_ENUM_STATUS));
    CHECK(memcmp(&decision, &kNothing, sizeof decision) == 0);
    return;
  }
  CHECK(status == OK);
  decision_is(&decision, find_key(row, "decision"));
  uint64_t live = 0;
  CHECK(tokenpin_affinity_live_fingerprint(affinity, request_row.request.now, &live) == OK);
  CHECK(live == number_of(row, "live_fingerprint", 16));
  answers_are(affinity, &decision, row);
}

static void decisions_are_those_of(const char* folder, const char* name, bool with_ids) {
  static Rows rows;
  static ConfigRow config;
  rows.file = open_file(folder, name);
  size_t cases = 0, refused = 0;
  for (size_t line = 0; next_row(&rows); line++) {
    SAY("%s, %s, row %zu", name, rows.section, line);
    if (is_section(&rows, "configs") && CHECK(affinity_count < kMaxConfigs)) {
      config_of(rows.row, &config);
      CHECK(tokenpin_affinity_new(&config.config, &affinities[affinity_count++], NULL) == OK);
    }
    const bool is_refused = is_section(&rows, "refused");
    if (!is_refused && !is_section(&rows, "cases")) continue;
    a_case(rows.row, is_refused);
    CHECK((request_row.opened != NULL) == with_ids);
    *(is_refused ? &refused : &cases) += 1;
  }
  CHECK(cases > 500 && refused > 20);
  fclose(rows.file);
  while (affinity_count > 0) tokenpin_affinity_free(affinities[--affinity_count]);
}

int main(int argc, char** argv) {
  if (!CHECK(argc == 2)) return check_report();
  decisions_are_those_of(argv[1], "decision_v1.json", false);
  decisions_are_those_of(argv[1], "decision_ids_v1.json", true);
  return check_report();
}
