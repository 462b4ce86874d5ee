// Requests and responses through the hooks: tables, and soups of random headers after each of which
// the promises of the reference are checked.

#include <map>
#include <memory>
#include <set>

#include "tokenpin.hpp"
#include "world.h"

namespace {

using standin::Config;
using standin::Fields;
using standin::Headers;
using standin::Route;
using standin::Stream;
using Strings = std::vector<std::string>;

constexpr std::string_view kCookie = "__Host-tokenpin";

void At(const char* what) { std::snprintf(check_context, sizeof check_context, "%s", what); }

std::string Quoted(std::string_view text) { return '"' + std::string(text) + '"'; }

std::string_view Trim(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t");
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

// The pairs of cookie fields, without the blanks around them; blank ones do not count.
Strings Pairs(const Strings& fields) {
  Strings pairs;
  for (const std::string& field : fields) {
    for (size_t start = 0; start <= field.size();) {
      const size_t end = std::min(field.find(';', start), field.size());
      const std::string_view pair = Trim(std::string_view(field).substr(start, end - start));
      if (!pair.empty()) pairs.emplace_back(pair);
      start = end + 1;
    }
  }
  return pairs;
}

// True if a pair, or the first pair of a Set-Cookie line, belongs to the cookie `name`.
bool Names(std::string_view pair, std::string_view name) {
  pair = pair.substr(0, pair.find(';'));
  const size_t equals = pair.find('=');
  return equals != pair.npos && Trim(pair.substr(0, equals)) == name;
}

size_t CountOf(const Strings& pairs, std::string_view name) {
  return static_cast<size_t>(std::count_if(pairs.begin(), pairs.end(),
                                           [&](const auto& pair) { return Names(pair, name); }));
}

// `name=value` of the Set-Cookie line of that name, ready for a Cookie field; empty if there is
// none.
std::string Taken(const Stream& stream, std::string_view name = kCookie) {
  for (const std::string& line : stream.response.Get("set-cookie")) {
    if (Names(line, name)) return line.substr(0, line.find(';'));
  }
  return "";
}

void AddRequest(Stream* stream, std::string_view method = "POST",
                std::string_view path = "/v1/responses") {
  stream->request.Add(":method", method);
  stream->request.Add(":path", path);
  stream->request.Add(":authority", "gateway");
}

// A worthless cookie of our name. A client that brings it keeps cookies, so it can follow its state
// to another token.
constexpr char kWorthless[] = "__Host-tokenpin=1";

void AddReturning(Stream* stream) {
  AddRequest(stream);
  stream->request.Add("cookie", kWorthless);
}

// Runs the whole exchange, so that the cookie of its answer can be taken.
void Exchange(Stream* stream, std::string_view status = "200") {
  if (!stream->SendRequest()) return;
  stream->response.Add(":status", status);
  stream->SendResponse();
}

// Returns the token that serves a new request with this cookie field.
std::string TokenFor(Config* config, std::string_view cookie) {
  Stream stream(config);
  AddRequest(&stream);
  if (!cookie.empty()) stream.request.Add("cookie", cookie);
  Exchange(&stream);
  return stream.Told("token");
}

void TestSession() {
  At("a session");
  Config config(Text(World()));
  Stream first(&config);
  AddRequest(&first);
  first.request.Add("authorization", "Bearer the client's");
  first.request.Add("x-org", "the client's");
  first.request.Add("cookie", "theme=dark");
  Exchange(&first);
  const std::string token = first.Told("token"), cookie = Taken(first);
  CHECK(first.Told("outcome") == "placed" && first.Told("source") == "minted");
  CHECK(first.request.Get("authorization") == Strings{"Bearer key-" + token});
  CHECK(first.request.Get("x-org") == (token == "c" ? Strings{"org-c"} : Strings{}));
  CHECK(first.request.Get("cookie") == Strings{"theme=dark"});
  CHECK(cookie.size() == kCookie.size() + 1 + TOKENPIN_COOKIE_VALUE_LEN);
  for (int i = 0; i < 10; ++i) {
    Stream next(&config);
    AddRequest(&next, "GET", "/v1/responses/r1");
    next.request.Add("cookie", "a=1; " + cookie + ";  b=2");
    Exchange(&next);
    CHECK(next.Told("outcome") == "pinned" && next.Told("token") == token);
    CHECK(next.request.Get("cookie") == Strings{"a=1;  b=2"});
    CHECK(Taken(next).empty());
  }
  CHECK(config.Metric("cookies_set") == 1);
}

void TestHostileHeaders() {
  Config config(Text(With(World(), "session", R"([{"header":"x-session"}])")));
  std::string seventy, quotes, wide(4096, 'v');
  const std::string ours = std::string(kCookie) + "=";
  for (int i = 0; i < 70; ++i) {
    // Well formed: a tag is computed for each.
    seventy += (i == 0 ? "" : "; ") + ours + "EA" + std::string(64, 'A' + i % 26) + "A";
  }
  std::string many;
  while (many.size() < 60000) many += "k" + std::to_string(many.size()) + "=v; ";
  const std::pair<Strings, Strings> cases[] = {
      {{seventy}, {}},
      {{seventy, "a=1", seventy}, {"a=1"}},
      {{seventy + "; last=1"}, {"last=1"}},
      {{ours + wide + "; big=" + wide}, {"big=" + wide}},
      {{"a=\"x; " + ours + "y\"; b=1"}, {"a=\"x; b=1"}},
      {{"\t" + ours + "\"v\"\t;\ta=1\t"}, {"a=1\t"}},
      {{"a=\xc3\xa4\xff; " + ours + "\xff\xfe"}, {"a=\xc3\xa4\xff"}},
      {{ours + "1; " + ours + "2; " + ours + "3"}, {}},
      {{"a=1; a=2; " + ours + "; a=3"}, {"a=1; a=2; a=3"}},
      {{"__host-tokenpin=1; __Host-tokenpin2=1; x__Host-tokenpin=1"},
       {"__host-tokenpin=1; __Host-tokenpin2=1; x__Host-tokenpin=1"}},
      {{"=" + ours + "1; __Host-tokenpin"}, {"=" + ours + "1; __Host-tokenpin"}},
      {{" __Host-tokenpin \t=1"}, {}},
      {{"", ";", ";;  ;"}, {"", ";", ";;  ;"}},
      {{"", ";; ;" + ours}, {}},
      {{many}, {many}},
      {{many + ours + "x"}, {many.substr(0, many.size() - 2)}},
      {{ours + "x", many}, {many}},
  };
  int number = 0;
  for (const auto& [fields, left] : cases) {
    std::snprintf(check_context, sizeof check_context, "hostile cookies %d", number++);
    Stream stream(&config);
    AddRequest(&stream);
    for (const std::string& field : fields) stream.request.Add("cookie", field);
    Exchange(&stream);
    if (!CHECK(stream.request.Get("cookie") == left)) {
      for (const auto& field : stream.request.Get("cookie")) {
        std::printf("  %.200s\n", field.c_str());
      }
    }
    CHECK(stream.Told("source") == "minted" && !Taken(stream).empty());
  }
  // A thousand fields, and keys of every length around the longest.
  At("a thousand fields");
  Stream stream(&config);
  AddRequest(&stream);
  for (int i = 0; i < 1000; ++i) {
    stream.request.Add("cookie", "c" + std::to_string(i) + "=1; " + ours + std::string(67, 'B'));
    stream.request.Add("authorization", std::string(60, 'x'));
  }
  Exchange(&stream);
  CHECK(stream.request.Get("cookie").size() == 1000);
  CHECK(CountOf(Pairs(stream.request.Get("cookie")), kCookie) == 0);
  CHECK(stream.request.Get("authorization") == Strings{"Bearer key-" + stream.Told("token")});
  for (const size_t length : {1, 4095, 4096, 4097, 60000}) {
    std::snprintf(check_context, sizeof check_context, "a key of %zu bytes", length);
    Stream keyed(&config);
    AddRequest(&keyed);
    keyed.request.Add("x-session", std::string(length, '\xff'));
    Exchange(&keyed);
    CHECK(keyed.Told("key_reason") == (length <= 4096 ? "ok" : "too_long"));
  }
}

void TestRefusals() {
  // A request that is not served does not continue, and keeps its headers unchanged.
  const auto refused = [](Stream* asked, uint32_t status, std::string_view code) {
    Stream& stream = *asked;
    stream.request.Add("authorization", "the client's");
    stream.request.Add("x-org", "the client's");
    const Fields before = stream.request.All();
    if (!CHECK(!stream.SendRequest())) return;
    CHECK(stream.request.All() == before && stream.route_cache_cleared == 0);
    if (!CHECK(stream.local_reply && stream.local_reply->status == status)) return;
    CHECK(stream.local_reply->details == code);
    CHECK(stream.local_reply->headers[0].first == "content-type");
    CHECK(stream.local_reply->headers[0].second == "application/json");
    CHECK(stream.local_reply->body.find(R"("code":")" + std::string(code) + '"') !=
          std::string::npos);
    for (const auto& [name, value] : stream.local_reply->headers) {
      CHECK(value.find("key-") == std::string::npos);
    }
  };
  {
    At("no account available");
    const char* const down =
        R"([{"name":"a","state":"down","headers":[{"name":"authorization","value":"key-a"}]}])";
    Config config(Text(With(With(World(), "tokens", down), "response_header", "\"X-Decision\"")));
    Stream stream(&config);
    AddRequest(&stream);
    refused(&stream, 503, "no_account_available");
    CHECK(stream.local_reply->headers.size() == 2 &&
          stream.local_reply->headers[1].first == "x-decision");
    CHECK(config.Metric("outcome_none") == 1 && config.Metric("errors") == 0);
  }
  {
    At("session unavailable");
    Config config(
        Text(With(World(), "cooldowns", R"([{"status":[403],"state":"down","seconds":60}])")));
    Stream first(&config);
    AddRequest(&first);
    Exchange(&first);
    const std::string cookie = Taken(first), token = first.Told("token");
    Stream broken(&config);
    AddRequest(&broken);
    broken.request.Add("cookie", cookie);
    Exchange(&broken, "403");
    CHECK(config.Metric("cooldowns") == 1);
    Stream read(&config);
    AddRequest(&read, "GET", "/v1/responses/r1");
    read.request.Add("cookie", cookie);
    refused(&read, 503, "session_unavailable");
    CHECK(TokenFor(&config, cookie) != token);
    standin::SetTime(standin::Time() + 60);
    CHECK(TokenFor(&config, cookie) == token);
  }
  {
    At("bad affinity key");
    Config config(Text(
        With(With(World(), "reject_bad_keys", "true"), "session", R"([{"header":"x-session"}])")));
    Stream stream(&config);
    AddRequest(&stream);
    stream.request.Add("x-session", "1");
    stream.request.Add("x-session", "2");
    refused(&stream, 503, "bad_affinity_key");
    CHECK(config.Metric("key_reason_several_values") == 1);
  }
  for (const char* observe : {"false", "true"}) {
    At("no randomness");
    Config config(Text(With(With(World(), "observe", observe), "response_header", "\"x-d\"")));
    standin::FailRandom(true);
    // The random bytes at hand are used up first.
    for (int i = 0; i < 20; ++i) {
      Stream stream(&config);
      AddRequest(&stream);
      const uint64_t before = config.Metric("errors");
      if (i < 16 || *observe == 't') {
        CHECK(stream.SendRequest() == (config.Metric("errors") == before || *observe == 't'));
      } else {
        refused(&stream, 500, "affinity_error");
        // No decision was made, so no header shows one.
        CHECK(stream.local_reply && stream.local_reply->headers.size() == 1);
      }
    }
    standin::FailRandom(false);
    CHECK(config.Metric("errors") >= 4);
    CHECK(config.Metric("errors") + config.Sum("outcome_") == 20);
  }
  {
    At("a clock past the year 2106");
    Config config(Text(World()));
    const uint64_t before = standin::Time();
    standin::SetTime(uint64_t{1} << 32);
    Stream stream(&config);
    AddRequest(&stream);
    refused(&stream, 500, "affinity_error");
    standin::SetTime(before);
  }
}

// While every token is down, Retry-After is the time until the first is up again; for a pinned
// session, until its own is.
void TestWhenToComeBack() {
  const auto token = [](const std::string& name, uint64_t seconds) {
    const uint64_t until = seconds == 0 ? 0 : standin::Time() + seconds;
    return R"({"name":")" + name + R"(","state":"down","until":)" + std::to_string(until) + "}";
  };
  Config up(Text(World()));
  std::map<std::string, std::string> cookies;
  while (cookies.size() < 3) {
    Stream stream(&up);
    AddRequest(&stream);
    Exchange(&stream);
    cookies[stream.Told("token")] = Taken(stream);
  }
  struct Case {
    uint64_t a, b, c;  // seconds until it is up again, 0 for never
    Strings new_one, of_a, of_c;
  };
  const Case cases[] = {
      {60, 7, 0, {"7"}, {"60"}, {}},  {7, 60, 3600, {"7"}, {"7"}, {"3600"}},
      {1, 1, 1, {"1"}, {"1"}, {"1"}}, {0, 0, 5, {"5"}, {}, {"5"}},
      {0, 0, 0, {}, {}, {}},          {uint64_t{1} << 40, 0, 0, {"4294967295"}, {"4294967295"}, {}},
  };
  for (const Case& test : cases) {
    std::snprintf(check_context, sizeof check_context, "down for %llu, %llu, %llu",
                  static_cast<unsigned long long>(test.a), static_cast<unsigned long long>(test.b),
                  static_cast<unsigned long long>(test.c));
    const std::string tokens =
        "[" + token("a", test.a) + "," + token("b", test.b) + "," + token("c", test.c) + "]";
    Config config(Text(With(With(World(), "tokens", tokens), "response_header", "\"x-decision\"")));
    const auto told = [&](std::string_view cookie) {
      Stream stream(&config);
      AddRequest(&stream, "GET", "/v1/responses/r1");
      if (!cookie.empty()) stream.request.Add("cookie", cookie);
      CHECK(!stream.SendRequest());
      Strings values;
      if (!CHECK(stream.local_reply && stream.local_reply->status == 503)) return values;
      for (const auto& [name, value] : stream.local_reply->headers) {
        if (name == "retry-after") values.push_back(value);
      }
      return values;
    };
    CHECK(told("") == test.new_one);
    CHECK(told(cookies["a"]) == test.of_a);
    CHECK(told(cookies["c"]) == test.of_c);
  }
}

void TestTenants() {
  for (const char* scope : {"", "openai"}) {
    At(scope);
    Object world = With(With(World(), "tenant", R"({"header":"x-tenant"})"), "response_header",
                        "\"x-decision\"");
    if (*scope != 0) world = With(world, "scope", Quoted(scope));
    Config config(Text(world));
    std::map<std::string, std::string> cookies;
    for (const std::string tenant : {"", "one", "two"}) {
      Stream stream(&config);
      AddRequest(&stream);
      if (!tenant.empty()) stream.request.Add("x-tenant", tenant);
      // An empty value counts as absent.
      stream.request.Add("x-tenant", "");
      Exchange(&stream);
      const std::string in = tenant.empty() ? scope : scope + std::string(1, '\0') + tenant;
      const auto name = tokenpin::cookie_default_name(in);
      const std::string cookie = Taken(stream, name->view());
      CHECK(!cookie.empty());
      cookies[tenant] = cookie;
    }
    CHECK(cookies["one"].substr(0, 25) != cookies["two"].substr(0, 25));
    // A cookie of another tenant counts as an application's: it stays, and does not pin.
    Stream other(&config);
    AddRequest(&other);
    other.request.Add("x-tenant", "one");
    other.request.Add("cookie", cookies["two"]);
    Exchange(&other);
    CHECK(other.Told("verdict") == "absent");
    CHECK(other.request.Get("cookie") == Strings{cookies["two"]});
    // Its value is invalid under this tenant's name.
    Stream renamed(&config);
    AddRequest(&renamed);
    renamed.request.Add("x-tenant", "one");
    renamed.request.Add("cookie", cookies["one"].substr(0, cookies["one"].find('=')) +
                                      cookies["two"].substr(cookies["two"].find('=')));
    Exchange(&renamed);
    CHECK(renamed.Told("verdict") == "bad_tag");

    const size_t most = TOKENPIN_MAX_SCOPE - 1 - strlen(scope);
    const std::pair<Strings, bool> cases[] = {
        {{"one", "two"}, false},
        {{"one", "one"}, true},
        {{"one", "", "one"}, true},
        {{"one,one"}, true},
        {{"one,", ",one", "one,,one"}, true},
        {{"one,", "two"}, false},
        {{"one,,one", "one, two"}, false},
        {{"one, two"}, true},  // a tenant of that name
        {{" , ,"}, true},      // none
        {{std::string(most, 't')}, true},
        {{std::string(most + 1, 't')}, false},
        {{std::string(60000, 't')}, false},
    };
    for (const auto& [values, good] : cases) {
      Stream stream(&config);
      AddRequest(&stream);
      for (const std::string& value : values) stream.request.Add("x-tenant", value);
      const uint64_t refused = config.Metric("bad_tenants"), decisions = config.Sum("source_");
      CHECK(stream.SendRequest() == good);
      CHECK(config.Metric("bad_tenants") - refused == (good ? 0 : 1));
      CHECK(config.Metric("errors") == 0);
      CHECK(config.Sum("source_") - decisions == (good ? 1 : 0));
      if (good || !CHECK(stream.local_reply.has_value())) continue;
      CHECK(stream.local_reply->status == 400 && stream.local_reply->details == "bad_tenant");
      // No decision was made, so no header shows one.
      CHECK(stream.local_reply->headers.size() == 1);
    }
  }
}

// Copies of one value count as that value, also joined by commas. Any other text with commas is one
// value.
void TestCopies() {
  At("copies");
  Config config(Text(With(World(), "session", R"([{"header":"x-session"}])")));
  const auto token = [&](const Strings& values) {
    Stream stream(&config);
    AddRequest(&stream);
    for (const std::string& value : values) stream.request.Add("x-session", value);
    Exchange(&stream);
    CHECK(stream.Told("key_reason") == "ok");
    return stream.Told("token");
  };
  int elsewhere = 0;
  for (int i = 0; i < 40; ++i) {
    const std::string key = "key " + std::to_string(i), one = token({key});
    for (const Strings& copies :
         {Strings{key, key}, Strings{key + "," + key}, Strings{"", key},
          Strings{key + " ,\t" + key + ", " + key, key}, Strings{",", key}, Strings{key + ","},
          Strings{"," + key}, Strings{key + ",," + key}}) {
      CHECK(token(copies) == one);
    }
    const std::string others[] = {key + ",x", "x," + key, key + ",," + key + "x", key + " " + key,
                                  key + ";"};
    for (const std::string& other : others) elsewhere += token({other}) != one;
  }
  // By chance a third of them have the same token.
  CHECK(elsewhere > 80);
}

void TestIdHints() {
  tokenpin::CookieKey key{1, TOKENPIN_ROLE_SIGN, {}};
  for (int i = 0; i < 16; ++i) key.secret[i] = static_cast<uint8_t>(0x10 + i);
  const auto ring = tokenpin::KeyRing::make({&key, 1});
  const tokenpin::Limits limits{};
  const auto id = [&](const Stream& stream) {
    const std::string cookie = Taken(stream);
    CHECK(!cookie.empty());
    const auto decoded = ring->decode(kCookie, "", limits, standin::Time(),
                                      std::string_view(cookie).substr(kCookie.size() + 1));
    CHECK(decoded && decoded->verdict == TOKENPIN_VERDICT_VALID);
    return std::string(reinterpret_cast<const char*>(decoded->cookie.id), 16);
  };
  // Null is a source that is present without text.
  const auto ask = [&](const char* source, std::optional<std::string> hint, uint64_t connection) {
    Config config(Text(With(World(), "id_hint", source)));
    Stream stream(&config);
    AddRequest(&stream);
    stream.connection = connection;
    if (hint) {
      if (hint->find('\0') == hint->npos) stream.request.Add("x-hint", *hint);
      stream.filter_state.emplace("hint", standin::Value(*hint));
      stream.metadata[{"n", "hint"}] = standin::Value(*hint);
    } else {
      stream.metadata[{"n", "hint"}] = std::nullopt;
    }
    Exchange(&stream);
    return id(stream);
  };
  for (const char* source : {R"({"header":"x-hint"})", R"({"filter_state":"hint"})",
                             R"({"metadata":{"namespace":"n","key":"hint"}})"}) {
    At(source);
    CHECK(ask(source, "one", 0) == ask(source, "one", 7));
    CHECK(ask(source, "one", 0) != ask(source, "two", 0));
    CHECK(ask(source, std::string(4096, 'x'), 0) == ask(source, std::string(4096, 'x'), 0));
    // An empty hint and one that is too long count as absent.
    for (const std::optional<std::string>& hint :
         {std::optional<std::string>(), std::optional<std::string>(""),
          std::optional<std::string>(std::string(4097, 'x'))}) {
      CHECK(ask(source, hint, 0) != ask(source, hint, 0));
    }
  }
  At("connection");
  const char* const connection = R"({"connection":true})";
  CHECK(ask(connection, "x", 7) == ask(connection, "y", 7));
  CHECK(ask(connection, "x", 7) != ask(connection, "x", 8));
  CHECK(ask(connection, "x", 0) != ask(connection, "x", 0));
  // An id cannot be computed from the hint only, and another source's hint gives another id.
  CHECK(ask(connection, "x", 7) != ask(R"({"header":"x-hint"})", "7", 0));
}

// A cookie whose token answered 403, which takes it down in this configuration.
std::string PinnedToOneThatIsDown(Config* config) {
  Stream first(config);
  AddRequest(&first);
  Exchange(&first);
  const std::string cookie = Taken(first);
  Stream broken(config);
  AddRequest(&broken);
  broken.request.Add("cookie", cookie);
  Exchange(&broken, "403");
  return cookie;
}

// Credentials that are no plain header, and the client's headers of the same names.
void TestCredentials() {
  At("removed, and pseudo-headers");
  const char* const tokens =
      R"([{"name":"a","headers":[{"name":"api-key","value":"key-a"},
                                {"name":"Authorization","remove":true},
                                {"name":":authority","value":"a.example"},
                                {"name":":path","value":"/a?v=1"}]},
          {"name":"b","headers":[{"name":"api-key","value":"key-b"},
                                {"name":":scheme","value":"https"}]},
          {"name":"c","headers":[{"name":"authorization","value":"Bearer key-c"}]}])";
  Config config(
      Text(With(With(World(), "tokens", tokens), "retry", R"({"status":[429],"max":3})")));
  std::set<std::string> seen;
  for (int i = 0; i < 60; ++i) {
    Stream first(&config);
    AddReturning(&first);
    first.request.Add(":scheme", "http");
    first.request.Add("authorization", "Bearer the client's");
    first.request.Add("authorization", "Bearer the client's other");
    first.request.Add("api-key", "the client's");
    CHECK(first.SendRequest());
    first.response.Add(":status", i % 2 == 0 ? "429" : "200");
    first.SendResponse();
    for (const Stream* stream = &first; stream != nullptr; stream = stream->next.get()) {
      const std::string token = stream->Told("token");
      seen.insert(token);
      if (stream != &first) CHECK(stream->Told("outcome") == "retried");
      const auto is = [&](const char* name, Strings values) {
        if (!CHECK(stream->request.Get(name) == values))
          std::printf("  %s of %s\n", name, token.c_str());
      };
      // After a retry the headers of the previous token are the client's again.
      if (stream->next != nullptr) continue;
      is("authorization", token == "c" ? Strings{"Bearer key-c"} : Strings{});
      is("api-key", token == "c" ? Strings{} : Strings{"key-" + token});
      is(":authority", {token == "a" ? "a.example" : "gateway"});
      is(":path", {token == "a" ? "/a?v=1" : "/v1/responses"});
      is(":scheme", {token == "b" ? "https" : "http"});
      is(":method", {"POST"});
    }
  }
  CHECK(seen.size() == 3 && config.Metric("retries") > 0);
}

// State of another account does not go to the next one.
void TestDropWhenMoved() {
  const char* const down = R"([{"status":[403],"state":"down","seconds":60}])";
  struct Case {
    const char* name;
    const char* policy_new;
    bool pinned, down;
    const char* outcome;
    bool dropped;
  };
  const Case cases[] = {
      {"new", "fallback_and_update", false, false, "placed", false},
      {"pinned", "fallback_and_update", true, false, "pinned", false},
      {"re-pinned", "fallback_and_update", true, true, "repinned", true},
      {"elsewhere for a while", "fallback_without_update", true, true, "fallback", true},
  };
  for (const Case& test : cases) {
    At(test.name);
    Object world = With(With(World(), "cooldowns", down), "policy_new", Quoted(test.policy_new));
    // A token's own header of that name is kept: no other account made it.
    world = With(world, "drop_when_moved", R"(["X-Old-State","x-older","authorization"])");
    Config config(Text(world));
    std::string cookie;
    if (test.down) {
      cookie = PinnedToOneThatIsDown(&config);
    } else if (test.pinned) {
      Stream first(&config);
      AddRequest(&first);
      Exchange(&first);
      cookie = Taken(first);
    }
    Stream stream(&config);
    AddRequest(&stream);
    if (!cookie.empty()) stream.request.Add("cookie", cookie);
    for (const char* value : {"one", "two"}) stream.request.Add("x-old-state", value);
    stream.request.Add("x-other", "stays");
    CHECK(stream.SendRequest());
    CHECK(stream.Told("outcome") == test.outcome);
    CHECK(stream.request.Get("x-old-state").size() == (test.dropped ? 0 : 2));
    CHECK(stream.request.Get("x-other") == Strings{"stays"});
    CHECK(stream.request.Get("authorization") == Strings{"Bearer key-" + stream.Told("token")});
    standin::SetTime(standin::Time() + 60);
  }
}

// Cookies of our name that another gateway made are counted, and logged once for each way.
void TestForeignCookies() {
  const auto lines = [](const char* text) {
    size_t count = 0;
    for (const standin::Line& line : standin::TakeLog()) {
      count += line.level == kLogWarning && line.text.find(text) != std::string::npos;
      CHECK(line.text.find("EAFr") == std::string::npos);
    }
    return count;
  };
  setenv("UNIT_STRANGE", "303132333435363738393a3b3c3d3e3f", 1);
  const Object carrying = With(World(), "carrier_header", "\"x-pin\"");
  Config config(Text(carrying));
  const auto made_by = [&](const char* id, const char* key) {
    Config other(Text(
        With(carrying, "cookie_keys",
             R"([{"id":)" + std::string(id) + R"(,"role":"sign","key":{"env":")" + key + "\"}}]")));
    Stream stream(&other);
    AddRequest(&stream);
    Exchange(&stream);
    return Taken(stream);
  };
  const std::string own = made_by("1", "UNIT_COOKIE");
  struct Case {
    const char* name;
    std::string cookie, upstream;
    uint64_t counted;
  };
  const std::string junk = std::string(kCookie) + "=junk";
  const Case cases[] = {
      {"none", "", "", 0},
      {"our own", own, "", 0},
      {"junk", junk, "", 0},
      {"of another name", "x" + made_by("1", "UNIT_STRANGE"), "other=1", 0},
      {"another key id", made_by("2", "UNIT_STRANGE"), "", 1},
      {"another key", made_by("1", "UNIT_STRANGE"), "", 1},
      {"another key again", "a=1; " + made_by("1", "UNIT_STRANGE"), "", 1},
      {"beside our own", own + "; " + made_by("2", "UNIT_STRANGE"), "", 0},
      {"an upstream's", "", made_by("1", "UNIT_STRANGE"), 1},
      {"an upstream's of our key", own, own, 1},
      {"both", made_by("2", "UNIT_STRANGE"), junk, 2},
  };
  standin::TakeLog();
  uint64_t counted = 0;
  for (const Case& test : cases) {
    At(test.name);
    Stream stream(&config);
    AddRequest(&stream);
    if (!test.cookie.empty()) stream.request.Add("cookie", test.cookie);
    if (!test.upstream.empty()) stream.response.Add("set-cookie", test.upstream);
    Exchange(&stream);
    counted += test.counted;
    CHECK(config.Metric("foreign_cookies") == counted);
  }
  {
    At("an upstream's carrier header");
    Stream stream(&config);
    AddRequest(&stream);
    stream.response.Add("x-pin", "theirs");
    Exchange(&stream);
    CHECK(config.Metric("foreign_cookies") == ++counted);
  }
  At("the log");
  CHECK(lines("give one of the two another cookie name") == 2);
  {
    At("only observed: nothing is removed");
    Config observing(Text(With(World(), "observe", "true")));
    Stream stream(&observing);
    AddRequest(&stream);
    stream.request.Add("cookie", made_by("2", "UNIT_STRANGE"));
    stream.response.Add("set-cookie", junk);
    Exchange(&stream);
    CHECK(observing.Metric("foreign_cookies") == 0);
  }
  CHECK(lines("give one of the two another cookie name") == 0);
}

void TestRoutes() {
  Config config(Text(With(World(), "existing", R"({"header":"x-existing"})")));
  const auto route = [](const char* text) { return std::make_shared<const Route>(text); };
  {
    At("a route's scope");
    Stream stream(&config, route(R"({"scope":"files"})"));
    AddRequest(&stream);
    Exchange(&stream);
    CHECK(!Taken(stream, tokenpin::cookie_default_name("files")->view()).empty());
    CHECK(Taken(stream).empty());
  }
  for (const char* group : {"stateless", "stateful", "prompt_cache"}) {
    At(group);
    const auto of_group = route((R"({"group":")" + std::string(group) + "\"}").c_str());
    for (const char* path : {"/v1/responses", "/anything"}) {
      Stream stream(&config, of_group);
      AddRequest(&stream, "POST", path);
      Exchange(&stream);
      CHECK(stream.Told("source") == (*group == 's' && group[5] == 'l' ? "stateless"
                                      : *group == 's'                  ? "minted"
                                                                       : "none"));
    }
  }
  {
    At("a route that observes");
    Config retries(
        Text(With(With(World(), "retry", R"({"status":[401]})"), "carrier_header", "\"x-pin\"")));
    Stream stream(&retries, route(R"({"observe":true})"));
    AddRequest(&stream);
    stream.request.Add("authorization", "the client's");
    stream.request.Add("cookie", std::string(kCookie) + "=1; a=2");
    stream.request.Add("x-pin", "carrier_value");
    stream.response.Add("set-cookie", std::string(kCookie) + "=1");
    stream.response.Add("x-pin", "the upstream's");
    stream.response.Add(":status", "401");
    const Fields before = stream.request.All(), answered = stream.response.All();
    CHECK(stream.SendRequest() && stream.SendResponse("via_upstream", false));
    CHECK(stream.SendResponseBody(std::string(100, 'x'), true));
    CHECK(stream.request.All() == before && stream.response.All() == answered);
    CHECK(stream.Told("outcome") == "placed" && retries.Metric("cooldowns") == 0);
    CHECK(stream.next == nullptr && retries.Metric("retries") == 0);
  }
  {
    At("existing");
    Config strict(Text(With(With(World(), "existing", R"({"header":"x-existing"})"), "cooldowns",
                            R"([{"status":[403],"state":"down","seconds":60}])")));
    const std::string cookie = PinnedToOneThatIsDown(&strict);
    const auto passes = [&](const char* name, const char* value, const char* overlay) {
      Stream stream(&strict, overlay == nullptr ? nullptr : route(overlay));
      AddRequest(&stream);
      stream.request.Add("cookie", cookie);
      stream.request.Add(name, value);
      return stream.SendRequest();
    };
    for (const char* value : {"true", "1"}) {
      CHECK(!passes("x-existing", value, nullptr));
      CHECK(!passes("x-other", value, R"({"existing":{"header":"x-other"}})"));
      CHECK(passes("x-existing", value, R"({"existing":{"header":"x-other"}})"));
    }
    for (const char* value : {"TRUE", "yes", "0", "", "true "}) {
      CHECK(passes("x-existing", value, nullptr));
    }
    standin::SetTime(standin::Time() + 60);
  }
  for (const char* source :
       {R"({"header":"x-existing","present":true})", R"({"filter_state":"e","present":true})",
        R"({"metadata":{"namespace":"n","key":"e"},"present":true})"}) {
    At(source);
    Config present(Text(With(With(World(), "existing", source), "cooldowns",
                             R"([{"status":[403],"state":"down","seconds":60}])")));
    const std::string cookie = PinnedToOneThatIsDown(&present);
    // A request that names state is refused then. Null is a value that is no text.
    const auto names_state = [&](const std::vector<std::optional<std::string>>& values) {
      Stream stream(&present);
      AddRequest(&stream);
      stream.request.Add("cookie", cookie);
      for (const auto& value : values) {
        if (value) stream.request.Add("x-existing", *value);
        if (value) stream.filter_state.emplace("e", standin::Value(*value));
        stream.metadata[{"n", "e"}] = std::nullopt;
        if (value) stream.metadata[{"n", "e"}] = standin::Value(*value);
      }
      return !stream.SendRequest();
    };
    for (const char* value : {"resp_1", "true", "false", "0", " ", "-"}) {
      CHECK(names_state({value}));
    }
    CHECK(!names_state({}) && !names_state({std::nullopt}) && !names_state({""}));
    // One header with a text is enough.
    if (std::string_view(source).find("header") != std::string_view::npos) {
      CHECK(names_state({"", "resp_1"}));
    }
    standin::SetTime(standin::Time() + 60);
  }
  {
    At("another route when its cache is cleared");
    Config clears(Text(With(World(), "clear_route_cache", "true")));
    Stream stream(&clears);
    int chosen = 0;
    stream.choose_route = [&, scope = std::string()]() mutable {
      scope += "s";
      ++chosen;
      return route((R"({"scope":")" + scope + "\"}").c_str());
    };
    AddRequest(&stream);
    Exchange(&stream);
    // A request that begins under one route ends under it.
    CHECK(chosen == 2 && stream.route_cache_cleared == 1);
    CHECK(!Taken(stream, tokenpin::cookie_default_name("s")->view()).empty());
    CHECK(stream.response.Get("set-cookie").size() == 1);
  }
  {
    At("a complete configuration in a route");
    Config empty("{}");
    Stream passing(&empty);
    AddRequest(&passing);
    const Fields before = passing.request.All();
    Exchange(&passing);
    CHECK(passing.request.All() == before && passing.metadata.empty());
    CHECK(empty.Sum("source_") == 0);
    // The route is removed as soon as the request has found it, and its configuration stays.
    Stream stream(&empty, route(Text(World()).c_str()));
    AddRequest(&stream);
    CHECK(stream.SendRequest());
    stream.SetRoute(nullptr);
    stream.response.Add(":status", "200");
    stream.SendResponse();
    CHECK(stream.request.Get("authorization") == Strings{"Bearer key-" + stream.Told("token")});
    CHECK(!Taken(stream).empty());
    CHECK(empty.Metric("source_minted") == 1 && empty.Metric("cookies_set") == 1);
  }
}

void TestCooldowns() {
  struct Case {
    const char* status;
    const char* details;
    const char* retry_after;  // or null
    uint64_t seconds;         // 0: no cooldown
    const char* state;
  };
  const Case cases[] = {
      {"429", "via_upstream", nullptr, 30, "draining"},
      {"429", "via_upstream", "7", 7, "draining"},
      {"429", "via_upstream", "0", 1, "draining"},
      {"429", "via_upstream", "Sun, 06 Nov 1994 08:49:37 GMT", 1, "draining"},
      {"429", "via_upstream", "0.5", 1, "draining"},
      {"429", "via_upstream", "2.5", 3, "draining"},
      {"429", "via_upstream", "later", 30, "draining"},
      {"429", "via_upstream", "99999999999999999999999", 3600, "draining"},
      {"401", "via_upstream", "7", 7, "draining"},
      {"401", "via_upstream", nullptr, 30, "draining"},
      {"403", "via_upstream", nullptr, 0, "home"},
      {"400", "via_upstream", nullptr, 0, "home"},
      {"500", "via_upstream", "7", 0, "home"},
      {"200", "via_upstream", "7", 0, "home"},
      {"429", "direct_response", nullptr, 0, "home"},
      {"401", "upstream_reset_before_response_started{connection_termination}", nullptr, 0, "home"},
      {"401", "", nullptr, 0, "home"},
      {"429", "via_upstream2", nullptr, 0, "home"},
      {"", "via_upstream", nullptr, 0, "home"},
      {"4294967725", "via_upstream", nullptr, 0, "home"},  // 429 in 16 bits
      {"nonsense", "via_upstream", nullptr, 0, "home"},
  };
  for (const Case& test : cases) {
    std::snprintf(check_context, sizeof check_context, "%s, %s, %s", test.status, test.details,
                  test.retry_after == nullptr ? "" : test.retry_after);
    Config config(Text(With(World(), "policy_existing", "\"fallback_without_update\"")));
    Stream first(&config);
    AddRequest(&first);
    Exchange(&first);
    const std::string cookie = Taken(first), token = first.Told("token");
    Stream stream(&config);
    AddRequest(&stream);
    stream.request.Add("cookie", cookie);
    CHECK(stream.SendRequest());
    stream.response.Add(":status", test.status);
    if (test.retry_after != nullptr) stream.response.Add("retry-after", test.retry_after);
    stream.SendResponse(test.details);
    CHECK(config.Metric("cooldowns") == (test.seconds == 0 ? 0 : 1));
    const uint64_t start = standin::Time();
    const auto pin_state = [&](uint64_t later) {
      standin::SetTime(start + later);
      Stream next(&config);
      AddRequest(&next, "GET", "/v1/responses/r");
      next.request.Add("cookie", cookie);
      CHECK(next.SendRequest());
      return next.Told("pin_state");
    };
    CHECK(pin_state(0) == test.state);
    if (test.seconds != 0) CHECK(pin_state(test.seconds - 1) == test.state);
    CHECK(pin_state(test.seconds) == "home");
  }
}

// Only the first entry applies whose status and headers match.
void TestCooldownsByHeaders() {
  Config config(Text(With(World(), "cooldowns", R"([
      {"status":[429],"headers":[{"name":"X-Left-Requests","exact":"0"},
                                 {"name":"x-kind","prefix":"quota"}],"state":"down","seconds":600},
      {"status":[429],"headers":[{"name":"retry-after","present":false},
                                 {"name":"x-left-requests","present":true}],
       "state":"draining","seconds":60},
      {"status":[429,503],"headers":[{"name":"retry-after","present":true}],
       "state":"draining","seconds":20,"retry_after":true},
      {"status":[429],"state":"draining","seconds":5}])")));
  struct Case {
    const char* status;
    Fields headers;
    uint64_t seconds;
  };
  const Case cases[] = {
      {"429", {{"x-left-requests", "0"}, {"x-kind", "quota"}}, 600},
      {"429", {{"x-left-requests", "0"}, {"x-kind", "quota_exceeded"}, {"retry-after", "7"}}, 600},
      {"429", {{"x-kind", "rate"}, {"x-left-requests", "0"}, {"x-kind", "quota"}}, 600},
      {"503", {{"x-left-requests", "0"}, {"x-kind", "quota"}}, 0},
      {"429", {{"x-left-requests", "0"}, {"x-kind", "rate"}}, 60},
      {"429", {{"x-left-requests", "00"}, {"x-kind", "quota"}}, 60},
      {"429", {{"x-left-requests", ""}, {"x-kind", "quota"}}, 60},
      {"429", {{"x-left-requests", "0"}, {"x-kind", "quot"}}, 60},
      {"429", {{"x-left-requests", "0"}, {"x-kind", "Quota"}}, 60},
      {"429", {{"x-left-requests", "0"}}, 60},
      {"429", {{"x-left-requests", "0"}, {"retry-after", "7"}}, 7},
      {"429", {{"x-kind", "quota"}, {"retry-after", "soon"}}, 20},
      {"429", {{"retry-after", ""}}, 20},
      {"429", {{"retry-after", "7"}, {"retry-after-ms", "1100"}}, 2},
      {"503", {{"retry-after", "0.25"}}, 1},
      {"503", {{"retry-after-ms", "1100"}}, 0},
      {"429", {{"retry-after-ms", "1100"}}, 5},
      {"429", {{"x-kind", "quota"}}, 5},
      {"429", {}, 5},
      {"401", {{"retry-after", "7"}}, 0},
  };
  for (const Case& test : cases) {
    std::snprintf(check_context, sizeof check_context, "case %td", &test - cases);
    standin::SetTime(standin::Time() + 1000);  // the end of the case before
    const uint64_t start = standin::Time();
    config.RunMain();
    Stream first(&config);
    AddRequest(&first);
    Exchange(&first);
    const std::string cookie = Taken(first);
    Stream stream(&config);
    AddRequest(&stream);
    stream.request.Add("cookie", cookie);
    CHECK(stream.SendRequest());
    stream.response.Add(":status", test.status);
    for (const auto& [name, value] : test.headers) stream.response.Add(name, value);
    stream.SendResponse();
    const auto cools = [&](uint64_t later) {
      standin::SetTime(start + later);
      Stream next(&config);
      AddRequest(&next);
      next.request.Add("cookie", cookie);
      next.SendRequest();
      return next.Told("pin_state") == (test.seconds == 600 ? "down" : "draining");
    };
    CHECK(cools(0) == (test.seconds != 0));
    if (test.seconds != 0) CHECK(cools(test.seconds - 1) && !cools(test.seconds));
  }
}

Fields Sorted(Fields fields) {
  std::sort(fields.begin(), fields.end());
  return fields;
}

// Changes a request as the filters behind ours and the router do.
void PassOn(Stream* stream) {
  stream->request.Set(":path", "/rewritten");
  stream->request.Set("x-forwarded-for", "client");
  stream->request.Remove("x-other");
}

// Returns the number of retries when every answer has this status.
size_t Tries(Stream* stream, std::string_view status, std::set<std::string>* tokens = nullptr) {
  size_t tries = 0;
  for (; tries < 10; ++tries) {
    if (tokens != nullptr) tokens->insert(stream->Told("token"));
    stream->response.Add(":status", status);
    if (stream->SendResponse()) break;
    if (!CHECK(stream->next != nullptr)) break;
    stream = stream->next.get();
  }
  return tries;
}

void TestRetries() {
  struct Case {
    const char* name;
    const char* cookie;  // null: that of an earlier answer
    const char* consumer;
    const char* method;
    bool body, keeps, trailers, recreates;
    const char* status;
    const char* details;
    bool retries;
  };
  const char* const up = "via_upstream";
  const Case cases[] = {
      {"plain", kWorthless, "", "POST", false, false, false, true, "429", up, true},
      {"newcomer", "", "", "POST", false, false, false, true, "429", up, false},
      {"body kept", kWorthless, "", "POST", true, true, false, true, "429", up, true},
      {"body not kept", kWorthless, "", "POST", true, false, false, true, "429", up, false},
      {"trailers", kWorthless, "", "POST", true, true, true, true, "429", up, false},
      {"Envoy will not", kWorthless, "", "POST", false, false, false, false, "429", up, false},
      {"pinned", nullptr, "", "POST", false, false, false, true, "429", up, false},
      {"consumer", kWorthless, "alice", "POST", false, false, false, true, "429", up, false},
      {"other status", kWorthless, "", "POST", false, false, false, true, "500", up, false},
      {"success", kWorthless, "", "POST", false, false, false, true, "200", up, false},
      {"local reply", kWorthless, "", "POST", false, false, false, true, "429", "x", false},
      {"stateless", "", "alice", "OPTIONS", false, false, false, true, "429", up, true},
  };
  const Object world = With(With(With(World(), "retry", R"({"status":[429],"max":1})"), "consumer",
                                 R"({"header":"x-consumer","trusted":true})"),
                            "cooldowns", "[]");
  for (const Case& test : cases) {
    At(test.name);
    Config config(Text(world));
    Stream first(&config);
    AddRequest(&first);
    Exchange(&first);
    Stream stream(&config);
    AddRequest(&stream, test.method);
    stream.request.Add("authorization", "the client's");
    stream.request.Add("cookie", test.cookie == nullptr ? Taken(first) : test.cookie);
    stream.request.Add("x-consumer", test.consumer);
    stream.keeps_body = test.keeps;
    stream.can_recreate = test.recreates;
    // With a body, it waits until that has been read.
    CHECK(stream.SendRequest(!test.body) == !test.body);
    const std::string part(1000, ' ');
    if (test.body) CHECK(!stream.SendBody(part, false));
    if (test.body) CHECK(stream.SendBody(part, !test.trailers) == !test.trailers);
    if (test.trailers) CHECK(stream.SendTrailers());
    const std::string token = stream.Told("token");
    PassOn(&stream);
    const Fields routed = Sorted(stream.request.All());
    stream.response.Add(":status", test.status);
    CHECK(stream.SendResponse(test.details) == !test.retries);
    CHECK(config.Metric("retries") == (test.retries ? 1 : 0));
    if (!test.retries) CHECK(Sorted(stream.request.All()) == routed);
    if (!CHECK((stream.next != nullptr) == test.retries) || !test.retries) continue;
    CHECK(stream.next->Told("outcome") == "retried" && stream.next->Told("token") != token);
    CHECK(stream.next->request.Get(":path") == Strings{"/v1/responses"});
    CHECK(stream.next->request.Get("x-forwarded-for").empty());
    CHECK(stream.next->request.Get("authorization") ==
          Strings{"Bearer key-" + stream.next->Told("token")});
    // One retry is the limit.
    stream.next->response.Add(":status", "429");
    CHECK(stream.next->SendResponse() && stream.next->next == nullptr);
    CHECK(config.Metric("retries") == 1);
  }
  {
    At("every token in turn, and then the answer");
    Config config(Text(With(world, "retry", R"({"status":[429],"max":3})")));
    Stream stream(&config);
    AddReturning(&stream);
    CHECK(stream.SendRequest());
    std::set<std::string> tokens;
    CHECK(Tries(&stream, "429", &tokens) == 2);
    CHECK(tokens.size() == 3 && config.Metric("retries") == 2);
  }
  for (const size_t max : {1, 2, 3}) {
    // Each try chooses a route with a separate configuration.
    std::snprintf(check_context, sizeof check_context, "other routes, %zu tries", max);
    const std::string of_route =
        Text(With(world, "retry", R"({"status":[429],"max":)" + std::to_string(max) + "}"));
    Config config("{}");
    Stream stream(&config);
    stream.choose_route = [&] { return std::make_shared<const Route>(of_route); };
    AddReturning(&stream);
    CHECK(stream.SendRequest());
    CHECK(Tries(&stream, "429") == max && config.Metric("retries") == max);
    // The tokens of another configuration have not been tried.
    CHECK(stream.next->Told("outcome") == "placed");
  }
  {
    // Weighted clusters that change one field each, under one set of tokens.
    At("other routes, the same tokens");
    Config config(Text(With(world, "retry", R"({"status":[429],"max":2})")));
    for (int i = 0; i < 20; ++i) {
      Stream stream(&config);
      stream.choose_route = [number = 0]() mutable {
        return std::make_shared<const Route>(R"({"scope":"s)" + std::to_string(++number) + "\"}");
      };
      AddRequest(&stream, "POST", "/v1/models");
      CHECK(stream.SendRequest());
      std::set<std::string> tokens;
      CHECK(Tries(&stream, "429", &tokens) == 2 && tokens.size() == 3);
    }
  }
  {
    At("a route that brings nothing");
    Config config("{}");
    Stream stream(&config);
    stream.choose_route = [&, first = true]() mutable {
      return std::exchange(first, false) ? std::make_shared<const Route>(Text(world)) : nullptr;
    };
    AddReturning(&stream);
    const Fields before = stream.request.All();
    CHECK(stream.SendRequest() && Tries(&stream, "429") == 1);
    CHECK(Sorted(stream.next->request.All()) == Sorted(before) && stream.next->metadata.empty());
    CHECK(config.Metric("retries") == 1 && config.Sum("outcome_") == 1);
  }
  {
    At("no other token");
    Config config(Text(With(
        world, "tokens",
        R"([{"name":"a","headers":[{"name":"authorization","value":"a"}]},{"name":"b","state":"down"}])")));
    Stream stream(&config);
    AddRequest(&stream);
    stream.request.Add("cookie", std::string(kCookie) + "=1; a=2");
    CHECK(stream.SendRequest());
    PassOn(&stream);
    const Fields routed = Sorted(stream.request.All());
    CHECK(Tries(&stream, "429") == 0 && config.Metric("retries") == 0);
    CHECK(Sorted(stream.request.All()) == routed);
  }
}

// A request may move to another token only if the client will find its new state there again.
// Envoy follows a redirect: it begins the request again, with another path.
Stream* Redirected(Stream* stream) {
  stream->request.Set(":path", "/v1/elsewhere");
  stream->InHook([&] { CHECK(stream->Recreate()); });
  // The new route may be another provider's.
  CHECK(stream->request.Get("authorization").empty());
  return stream->next.get();
}

void TestRedirects() {
  constexpr char kMark[] = "x-tokenpin-redirect";
  Config config(Text(World()));
  std::set<std::string> tokens;
  for (int i = 0; i < 30; ++i) {
    At("a redirect and one more");
    Stream first(&config);
    AddReturning(&first);
    CHECK(first.SendRequest());
    const std::string token = first.Told("token");
    tokens.insert(token);
    Stream* last = Redirected(&first);
    CHECK(last->request.Get("authorization") == Strings{"Bearer key-" + token});
    last = Redirected(last);
    CHECK(last->request.Get("authorization") == Strings{"Bearer key-" + token});
    CHECK(last->Told("token") == token && last->request.Get(kMark).empty());
    last->response.Add(":status", "200");
    CHECK(last->SendResponse() && last->response.Get("set-cookie").size() == 1);
  }
  CHECK(tokens.size() == 3 && config.Metric("outcome_placed") == 30);
  {
    At("to another configuration");
    Stream stream(&config);
    AddReturning(&stream);
    CHECK(stream.SendRequest());
    const char* const another =
        R"([{"name":"x","headers":[{"name":"x-api-key","value":"key-x"}]}])";
    const auto route = std::make_shared<const Route>(Text(With(World(), "tokens", another)));
    stream.choose_route = [&] { return route; };
    const Stream* const next = Redirected(&stream);
    CHECK(next->Told("token") == "x" && next->request.Get("x-api-key") == Strings{"key-x"});
    CHECK(next->request.Get("authorization").empty() && next->request.Get(kMark).empty());
  }
  {
    At("a client that leaves");
    {
      Stream left(&config);
      AddRequest(&left);
      CHECK(left.SendRequest());
    }
    Stream later(&config);
    AddRequest(&later);
    later.request.Add(kMark, std::string(32, '0'));
    CHECK(later.SendRequest() && later.Told("outcome") == "placed");
    CHECK(config.Metric("outcome_placed") == 34);
  }
}

void TestMoves() {
  struct Case {
    const char* method;
    const char* path;
    const char* key;       // of the session
    const char* existing;  // the value of the `existing` header
    const char* route;
    bool keyed_cookies, moves, moves_without_jar;
  };
  const char* const one = "/v1/responses/r1";
  const char* const all = "/v1/responses";
  const Case cases[] = {
      {"GET", one, "", "", "{}", true, false, false},
      {"GET", one, "", "", "{}", false, false, false},
      {"GET", one, "s", "", "{}", true, false, false},
      {"HEAD", one, "s", "", "{}", true, false, false},
      {"DELETE", one, "s", "", "{}", true, false, false},
      {"POST", "/v1/responses/r1/cancel", "s", "", "{}", true, false, false},
      {"POST", all, "s", "", "{}", true, true, false},
      {"POST", all, "s", "", "{}", false, false, false},
      {"POST", all, "", "", "{}", true, true, false},
      {"POST", all, "", "", "{}", false, true, false},
      {"POST", "/v1/files", "s", "", "{}", true, true, false},
      {"POST", "/v1/batches", "s", "true", "{}", true, false, false},
      {"POST", all, "", "true", "{}", true, false, false},
      {"POST", "/any", "s", "", R"({"group":"stateful"})", true, true, false},
      {"POST", "/any", "s", "1", R"({"group":"stateful"})", true, false, false},
      {"GET", "/any", "s", "", R"({"group":"stateful"})", true, false, false},
      {"GET", "/any", "", "", R"({"group":"stateful"})", true, false, false},
      {"GET", one, "s", "", R"({"group":"stateless"})", true, true, true},
      {"GET", "/v1/models", "s", "", "{}", true, true, true},
      {"POST", "/v1/chat/completions", "s", "", "{}", true, true, true},
      {"POST", "/any", "s", "", R"({"group":"prompt_cache"})", true, true, true},
      // The host's own source counts on any path and in any group.
      {"POST", "/v1/chat/completions", "s", "1", "{}", true, false, false},
      {"POST", all, "s", "1", R"({"group":"stateless"})", true, false, false},
      {"POST", "/any", "", "1", R"({"group":"prompt_cache"})", true, false, false},
  };
  enum class Jar { kNone, kCookies, kCarrier };
  for (const Case& test : cases) {
    for (const Jar jar : {Jar::kNone, Jar::kCookies, Jar::kCarrier}) {
      std::snprintf(check_context, sizeof check_context,
                    "%s %s, key %s, existing %s, %s, %d, jar %d", test.method, test.path, test.key,
                    test.existing, test.route, test.keyed_cookies, static_cast<int>(jar));
      Object world = With(With(World(), "session", R"([{"header":"x-session"}])"), "existing",
                          R"({"header":"x-existing"})");
      world = With(With(world, "retry", R"({"status":[429],"max":3})"), "keyed_cookies",
                   test.keyed_cookies ? "true" : "false");
      Config config(Text(With(world, "carrier_header", "\"x-pin\"")));
      const auto route = std::make_shared<const Route>(test.route);
      const auto ask = [&](const std::string& cookie) {
        auto stream = std::make_unique<Stream>(&config, route);
        AddRequest(stream.get(), test.method, test.path);
        stream->request.Add("x-session", test.key);
        stream->request.Add("x-existing", test.existing);
        if (jar == Jar::kCarrier) stream->request.Add("x-pin", "");
        if (!cookie.empty()) stream->request.Add("cookie", cookie);
        CHECK(stream->SendRequest());
        stream->response.Add(":status", "429");
        return stream;
      };
      const bool moves = jar == Jar::kNone ? test.moves_without_jar : test.moves;
      const auto stream = ask(jar == Jar::kCookies ? kWorthless : "");
      CHECK(stream->SendResponse() == !moves && config.Metric("retries") == moves);
      if (stream->next == nullptr) continue;
      stream->next->response.Add(":status", "200");
      CHECK(stream->next->SendResponse());
      const std::string cookie = Taken(*stream->next);
      if (cookie.empty()) continue;
      // With its new cookie the session stays.
      standin::SetTime(standin::Time() + 100);  // the cooldowns' end
      CHECK(ask(cookie)->SendResponse() && config.Metric("retries") == 1);
      standin::SetTime(standin::Time() + 100);
    }
  }
}

// An answer is held to its end, or up to half of Envoy's buffer.
void TestHolds() {
  constexpr size_t kMost = 65536;
  struct Case {
    size_t limit, most;
  };
  const Case cases[] = {{1 << 20, kMost}, {2 * kMost, kMost}, {kMost, kMost / 2}, {1000, 500},
                        {1, 0},           {0, kMost}};
  enum class End { kBody, kTrailers, kTooLong, kAtOnce };
  const Object world =
      With(With(With(With(World(), "retry", R"({"status":[429]})"), "success", "[200,499]"),
                "response_header", "\"x-decision\""),
           "cache_control", "true");
  for (const Case& test : cases) {
    for (const char* length : {"", "10", "65536", "9999999999"}) {
      for (const End end : {End::kBody, End::kTrailers, End::kTooLong, End::kAtOnce}) {
        for (const bool recreates : {true, false}) {
          std::snprintf(check_context, sizeof check_context, "limit %zu, length %s, end %d, %d",
                        test.limit, length, static_cast<int>(end), recreates);
          Config config(Text(world));
          Stream stream(&config);
          stream.buffer_limit = test.limit;
          stream.can_recreate = recreates;
          AddRequest(&stream);
          stream.request.Add("cookie", std::string("a=1; ") + kWorthless);
          CHECK(stream.SendRequest());
          PassOn(&stream);
          const Fields routed = Sorted(stream.request.All());
          Headers& response = stream.response;
          response.Add(":status", "429");
          response.Add("set-cookie", "a=1");
          response.Add("set-cookie", std::string(kCookie) + "=upstream");
          response.Add("set-cookie", "b=2");
          if (*length != 0) response.Add("content-length", length);
          CHECK(!stream.SendResponse("via_upstream", false) && stream.next == nullptr);
          size_t left = test.most;
          for (const size_t part : {left / 3, left / 2, left - left / 3 - left / 2}) {
            if (end == End::kAtOnce) break;
            CHECK(!stream.SendResponseBody(std::string(part, 'x'), false) &&
                  stream.next == nullptr);
          }
          bool passed = false;
          switch (end) {
            case End::kBody:
              passed = stream.SendResponseBody("", true);
              break;
            case End::kTrailers:
              passed = stream.SendResponseTrailers();
              break;
            case End::kTooLong:
              passed = stream.SendResponseBody("x", false);
              break;
            case End::kAtOnce:
              passed = stream.SendResponseBody(std::string(1 << 24, 'x'), false);
              break;
          }
          CHECK(passed == !recreates && (stream.next != nullptr) == recreates);
          CHECK(config.Metric("retries") == recreates);
          CHECK(config.Metric("cookies_set") == !recreates && config.Metric("cooldowns") == 1);
          if (recreates) {
            CHECK(stream.next->request.Get("cookie") == Strings{"a=1"});
            continue;
          }
          // The rest of it passes unread.
          CHECK(stream.SendResponseBody(std::string(1 << 20, 'x'), false) &&
                stream.SendResponseBody("x", true));
          CHECK(Sorted(stream.request.All()) == routed);
          const Strings cookies = response.Get("set-cookie");
          CHECK(cookies.size() == 3 && cookies[0] == "a=1" && cookies[1] == "b=2");
          CHECK(Taken(stream).size() == kCookie.size() + 1 + TOKENPIN_COOKIE_VALUE_LEN);
          CHECK(response.Get("x-decision").size() == 1);
          CHECK(response.Get("cache-control") == Strings{R"(no-cache="Set-Cookie")"});
          CHECK(config.Metric("cookies_set") == 1 && config.Metric("errors") == 0);
        }
      }
    }
  }
}

// The header that carries the cookie's value.
void TestCarrier() {
  const Object plain = With(World(), "retry", R"({"status":[429]})");
  const Object world = With(plain, "carrier_header", "\"x-pin\"");
  Config config(Text(world));
  const auto ask = [&](const Strings& carrier_value, const std::string& cookie) {
    auto stream = std::make_unique<Stream>(&config);
    AddRequest(stream.get());
    for (const std::string& value : carrier_value) stream->request.Add("x-pin", value);
    if (!cookie.empty()) stream->request.Add("cookie", std::string(kCookie) + "=" + cookie);
    Exchange(stream.get());
    CHECK(stream->request.Get("x-pin").empty());
    return stream;
  };
  At("one carrier value");
  std::string value = ask({""}, "")->response.Get("x-pin").at(0), token = "?", other = value;
  const auto pinned = ask({value}, "");
  token = pinned->Told("token");
  CHECK(pinned->Told("outcome") == "pinned" && pinned->response.Get("x-pin").empty());
  while (other == value || TokenFor(&config, std::string(kCookie) + "=" + other) == token) {
    other = ask({""}, "")->response.Get("x-pin").at(0);
  }
  At("copies of one carrier value");
  for (const Strings& copies :
       {Strings{value, value}, Strings{value, value, value}, Strings{value + "," + value},
        Strings{value + ", " + value + " ,\t" + value}, Strings{value + "," + value, value},
        Strings{value, ""}, Strings{"", value}, Strings{value, "", value}, Strings{value + ","},
        Strings{"," + value}, Strings{value + ",," + value},
        Strings{"", ", " + value + " ,\t,", value + ", ," + value, ","}}) {
    const auto again = ask(copies, other);
    CHECK(again->Told("outcome") == "pinned" && Taken(*again).empty());
    CHECK(again->Told("verdict") == "valid" && again->Told("token") == token);
  }
  At("several carrier values");
  for (const Strings& carrier_value :
       {Strings{value, other}, Strings{value, "", other}, Strings{"", value, other},
        Strings{"x", value, other}, Strings{value + ", " + value, other},
        Strings{value + ",", "," + other}, Strings{"", ""}, Strings{", ,"}}) {
    const auto several = ask(carrier_value, "");
    CHECK(several->Told("source") == "minted" && several->Told("verdict") == "absent");
    CHECK(several->response.Get("x-pin").size() == 1 && Taken(*several).empty());
    const auto with_cookie = ask(carrier_value, other);
    CHECK(with_cookie->Told("outcome") == "pinned" && with_cookie->Told("token") != token);
  }
  // An empty header cannot be put back when the request begins again, and still counts.
  for (const char* carrier_value : {"", "x"}) {
    for (const bool elsewhere : {false, true}) {
      std::snprintf(check_context, sizeof check_context, "carrier_value '%s', elsewhere %d",
                    carrier_value, elsewhere);
      Stream stream(&config);
      stream.choose_route = [&, first = true]() mutable {
        return std::exchange(first, false) || !elsewhere
                   ? nullptr
                   : std::make_shared<const Route>(Text(plain));
      };
      AddRequest(&stream);
      stream.request.Add("x-pin", carrier_value);
      CHECK(stream.SendRequest());
      stream.response.Add(":status", "429");
      if (!CHECK(!stream.SendResponse() && stream.next != nullptr)) continue;
      Stream& next = *stream.next;
      next.response.Add(":status", "200");
      CHECK(next.SendResponse());
      // On a route without a carrier header, it is an ordinary header.
      CHECK(next.response.Get("x-pin").size() == !elsewhere && Taken(next).empty() == !elsewhere);
      CHECK(next.request.Get("x-pin").size() == (elsewhere && *carrier_value != 0));
      standin::SetTime(standin::Time() + 100);
    }
  }
}

// A configuration of random switches, and its promises.
struct Setup {
  std::string text;
  std::string scope, carrier, response_header;
  std::string cookie;  // its name, if it is configured
  bool tenant, observe, metadata, cache_control, down, seals;
  size_t retries;
  std::map<std::string, std::map<std::string, std::string>> tokens;
};

Setup RandomSetup(Random& random) {
  const auto flag = [&] { return Chance(random, 50) ? "true" : "false"; };
  const auto pick = [&](std::initializer_list<const char*> values) {
    return Quoted(values.begin()[Below(random, values.size())]);
  };
  Setup setup{};
  setup.tokens = {{"a", {{"authorization", "Bearer key-a"}}},
                  {"b", {{"authorization", "Bearer key-b"}, {"x-org", "org-b"}}},
                  {"c", {{"authorization", "Bearer key-c"}, {"x-org", "org-c"}, {"x-two", "2"}}},
                  {"d", {{"authorization", "Bearer key-d"}}}};
  if (Chance(random, 30)) setup.tokens["b"][":authority"] = "api.b";
  Object world = Without(Without(World(), "tokens"), "metadata");
  std::string tokens = "[";
  for (const auto& [name, headers] : setup.tokens) {
    if (tokens.size() > 1) tokens += ",";
    tokens += "{\"name\":" + Quoted(name) +
              ",\"weight\":" + std::to_string(1 + Below(random, TOKENPIN_MAX_WEIGHT)) +
              ",\"state\":" + pick({"up", "up", "up", "draining", "down"}) + ",\"headers\":[";
    std::string list;
    for (const auto& [header, value] : headers) {
      list += (list.empty() ? "{\"name\":" : ",{\"name\":") + Quoted(header) +
              ",\"value\":" + Quoted(value) + "}";
    }
    tokens += list + "]}";
  }
  world.emplace_back("tokens", tokens + "]");
  if (Chance(random, 30)) world.emplace_back("capacity", std::to_string(4 + Below(random, 9)));
  if (Chance(random, 50)) world.emplace_back("scope", Quoted(setup.scope = "openai"));
  if (Chance(random, 20)) {
    setup.cookie = "pin";
    world.emplace_back("cookie", R"({"name":"pin","max_idle":500,"secure":false})");
  } else if (Chance(random, 50)) {
    world.emplace_back("cookie", R"({"max_life":2000,"max_age":100})");
  }
  if ((setup.tenant = Chance(random, 30))) {
    world.emplace_back("tenant", R"({"header":"x-tenant"})");
  }
  if (Chance(random, 50)) {
    world.emplace_back("consumer", R"({"header":"x-consumer","trusted":true})");
  }
  if (Chance(random, 50)) {
    world.emplace_back("session",
                       R"([{"metadata":{"namespace":"n","key":"k"}},{"header":"x-session"},
                       {"filter_state":"fs"}])");
  }
  if (Chance(random, 30)) world.emplace_back("existing", R"({"header":"x-existing"})");
  if (Chance(random, 30)) {
    world.emplace_back("id_hint",
                       Chance(random, 50) ? R"({"connection":true})" : R"({"header":"x-hint"})");
  }
  if (Chance(random, 50)) world.emplace_back("carrier_header", Quoted(setup.carrier = "x-pin"));
  if (Chance(random, 30)) {
    world.emplace_back("response_header", Quoted(setup.response_header = "x-decision"));
  }
  if (Chance(random, 50)) {
    setup.retries = 1 + Below(random, 3);
    world.emplace_back("retry",
                       R"({"status":[429,503],"max":)" + std::to_string(setup.retries) + "}");
  }
  for (const char* name : {"combine_keys", "reject_bad_keys", "keyed_cookies", "mint_single",
                           "prompt_cache", "clear_route_cache"}) {
    world.emplace_back(name, flag());
  }
  if (Chance(random, 60)) {
    const char* const modes[] = {"off", "open", "seal", "strict"};
    const size_t mode = Below(random, std::size(modes));
    setup.seals = mode > 1;
    world.emplace_back("sealed_ids", Quoted(modes[mode]));
    world.emplace_back("bodies", flag());
  }
  setup.observe = Chance(random, 15);
  setup.metadata = Chance(random, 80);
  setup.cache_control = Chance(random, 50);
  setup.down = Chance(random, 50);
  if (setup.down) {
    world.emplace_back("cooldowns", R"([{"status":[401,403],"state":"down","seconds":300},
                                        {"status":[429],"state":"draining","seconds":30}])");
  }
  world.emplace_back("observe", setup.observe ? "true" : "false");
  world.emplace_back("metadata", setup.metadata ? "true" : "false");
  world.emplace_back("cache_control", setup.cache_control ? "true" : "false");
  world.emplace_back("strategy", pick({"jump", "rendezvous", "higress_fnv1a_modulo"}));
  world.emplace_back("policy_existing",
                     pick({"fail_fast", "fallback_and_update", "fallback_without_update"}));
  world.emplace_back("policy_new",
                     pick({"fail_fast", "fallback_and_update", "fallback_without_update"}));
  setup.text = Text(world);
  return setup;
}

// One configuration and its clients.
class Kitchen {
 public:
  Kitchen(Random& random, Setup setup)
      : random_(random), setup_(std::move(setup)), config_(setup_.text) {
    if (!CHECK(config_.accepted())) std::printf("  %s\n", setup_.text.c_str());
    for (const auto& [token, headers] : setup_.tokens) {
      for (const auto& [name, value] : headers) credentials_.insert(name);
    }
  }

  void Serve() {
    standin::SetTime(standin::Time() + Below(random_, 40));
    Stream stream(&config_, RandomRoute());
    FillRequest(&stream);
    before_ = stream.request.All();
    pairs_ = Pairs(stream.request.Get("cookie"));
    carried_ = !setup_.carrier.empty() && !stream.request.Get(setup_.carrier).empty();
    tried_.clear();
    const uint64_t decisions = config_.Sum("source_"), refused = config_.Metric("bad_tenants");
    stream.keeps_body = Chance(random_, 70);
    stream.can_recreate = Chance(random_, 95);
    constexpr size_t kLimits[] = {0, 1000, 65536, 1 << 20};
    stream.buffer_limit = kLimits[Below(random_, std::size(kLimits))];
    const size_t chunks = Below(random_, 3);
    bool passed = stream.SendRequest(chunks == 0);
    for (size_t i = 0; !stream.local_reply && i < chunks; ++i) {
      passed = stream.SendBody(std::string(100 * i, ' '), i + 1 == chunks);
    }

    const uint64_t decided = config_.Sum("source_") - decisions;
    CHECK(decided + config_.Metric("bad_tenants") - refused == 1);
    for (const char* group : {"outcome_", "pin_state_", "verdict_", "key_reason_"}) {
      CHECK(config_.Sum(group) == decisions + decided);
    }
    CHECK(setup_.metadata && decided == 1 ? !stream.Told("outcome").empty()
                                          : stream.Told("outcome").empty());
    if (observe_ || !passed) {
      CHECK(stream.request.All() == before_);
      CHECK(!observe_ || passed);
      CHECK(stream.route_cache_cleared == 0);
    } else {
      CheckRequest(stream);
      const bool alone = CountOf(pairs_, name_) == 1 && !carried_;
      if (alone && stream.Told("outcome") == "pinned") CheckPinned(stream);
    }
    if (passed) Respond(&stream);
    CHECK(config_.Metric("bad_tenants") - refused == 1 - decided && config_.Metric("errors") == 0);
  }

 private:
  std::shared_ptr<const Route> RandomRoute() {
    scope_ = setup_.scope;
    observe_ = setup_.observe;
    switch (Below(random_, 8)) {
      case 0:
        scope_ = "route";
        return std::make_shared<const Route>(R"({"scope":"route"})");
      case 1:
        observe_ = !observe_;
        return std::make_shared<const Route>(observe_ ? R"({"observe":true})"
                                                      : R"({"observe":false})");
      case 2:
        return std::make_shared<const Route>(R"({"group":"stateful"})");
      case 3:
        return std::make_shared<const Route>("{}");
      default:
        return nullptr;
    }
  }

  // Any byte that Envoy lets into a header.
  std::string Junk(size_t most) {
    std::string junk(Below(random_, most + 1), '\0');
    for (char& c : junk) {
      constexpr std::string_view kOften = ";;==  \t\",a";
      do {
        c = Chance(random_, 40) ? kOften[Below(random_, kOften.size())]
                                : static_cast<char>(Below(random_, 256));
      } while (c == '\0' || c == '\r' || c == '\n');
    }
    return junk;
  }

  // A value for our cookie: good, stale, damaged or made up.
  std::string Value() {
    std::string value(67, 'A');
    if (!jar_.empty() && Chance(random_, 80)) {
      const size_t recent = std::min<size_t>(jar_.size(), 20);
      value = jar_[jar_.size() - 1 - Below(random_, recent)].first;
    }
    if (Chance(random_, 20)) value[Below(random_, value.size())] ^= 1;
    if (Chance(random_, 5)) value = Junk(200);
    if (Chance(random_, 20)) value = Quoted(value);
    return value;
  }

  std::string CookieField() {
    std::string field;
    const size_t pairs = Chance(random_, 5) ? Below(random_, 80) : Below(random_, 4);
    for (size_t i = 0; i < pairs; ++i) {
      if (i != 0) field += Chance(random_, 80) ? "; " : Junk(3) + ";";
      const std::string blank = Chance(random_, 10) ? "\t " : "";
      if (Chance(random_, 40)) {
        field += blank + name_ + blank + "=" + blank + Value() + blank;
      } else {
        field += Chance(random_, 70) ? "k" + std::to_string(i) + "=" + Junk(20) : Junk(30);
      }
    }
    return field;
  }

  void FillRequest(Stream* stream) {
    const auto one = [&](std::initializer_list<const char*> values) {
      return values.begin()[Below(random_, values.size())];
    };
    Strings tenants;
    if (setup_.tenant && Chance(random_, 70)) tenants.push_back(one({"t", "u", "v"}));
    if (setup_.tenant && Chance(random_, 5)) tenants.push_back("another");
    if (tenants.size() == 1) scope_ += std::string(1, '\0') + tenants[0];
    name_ = !setup_.cookie.empty() ? setup_.cookie
                                   : std::string(tokenpin::cookie_default_name(scope_)->view());

    Headers& request = stream->request;
    request.Add(":method", one({"POST", "POST", "GET", "DELETE", "OPTIONS", "post"}));
    request.Add(":path", one({"/v1/responses", "/v1/responses", "/v1/responses/r1", "/v1/files?x",
                              "/v1/chat/completions", "/", ""}));
    request.Add(":authority", "gateway");
    for (const std::string& value : tenants) request.Add("x-tenant", value);
    const size_t fields = Below(random_, 20);
    for (size_t i = 0; i < fields; ++i) {
      const char* const name =
          one({"authorization", "x-org", "x-two", "x-consumer", "x-session", "x-existing", "x-hint",
               "cookie", "cookie", "cookie", "x-other", "x-pin", "set-cookie", "retry-after"});
      if (name == std::string_view("cookie")) {
        request.Add(name, CookieField());
      } else if (name == std::string_view("x-pin")) {
        if (Chance(random_, 30)) request.Add(name, Chance(random_, 20) ? "" : Value());
      } else if (Chance(random_, 30)) {
        request.Add(name, Junk(Chance(random_, 3) ? 5000 : 40));
      } else {
        request.Add(name, one({"1", "alice", "true", ""}));
      }
    }
    if (Chance(random_, 30)) stream->metadata[{"n", "k"}] = standin::Value(one({"m", ""}));
    if (Chance(random_, 10)) stream->metadata[{"n", "k"}] = std::nullopt;
    if (Chance(random_, 20)) stream->filter_state.emplace("fs", standin::Value(Junk(30)));
    stream->connection = Below(random_, 3);
  }

  // Answers a request that reached the upstream.
  void Respond(Stream* stream) {
    PassOn(stream);
    const Fields routed = Sorted(stream->request.All());
    FillResponse(stream);
    const Fields answered = stream->response.All();
    const std::string status = stream->response.Get(":status")[0];
    const bool upstream = Chance(random_, 85);
    const uint64_t set = config_.Metric("cookies_set"), cooled = config_.Metric("cooldowns");
    const uint64_t retries = config_.Metric("retries"), decisions = config_.Sum("source_");
    const bool ends = Chance(random_, 50);
    bool passed = stream->SendResponse(upstream ? "via_upstream" : "response_timeout", ends);
    while (!passed && stream->next == nullptr) {
      passed = Chance(random_, 20)
                   ? stream->SendResponseTrailers()
                   : stream->SendResponseBody(std::string(Below(random_, 40000), 'x'),
                                              Chance(random_, 30));
    }
    const uint64_t cooldowns = config_.Metric("cooldowns") - cooled;
    const bool refused = status == "401" || status == "429" || (setup_.down && status == "403");
    CHECK(cooldowns <= (upstream && refused && !observe_));
    const uint64_t cookies = config_.Metric("cookies_set") - set;
    const std::string outcome = stream->Told("outcome");
    if (stream->next != nullptr) {
      CHECK(!passed && upstream && (status == "429" || status == "503") && !observe_);
      CHECK(outcome.empty() || outcome == "placed" || outcome == "retried" ||
            outcome == "repinned");
      CHECK(config_.Metric("retries") == retries + 1 && config_.Sum("source_") == decisions + 1);
      CHECK(cookies == 0);
      tried_.push_back(token_);
      CHECK(tried_.size() <= setup_.retries);
      CheckRequest(*stream->next);
      CHECK(std::find(tried_.begin(), tried_.end(), token_) == tried_.end());
      return Respond(stream->next.get());
    }
    CHECK(passed && config_.Sum("source_") == decisions);
    CHECK(config_.Metric("retries") == retries && Sorted(stream->request.All()) == routed);
    if (observe_) {
      CHECK(stream->response.All() == answered && cookies == 0);
    } else {
      CheckResponse(*stream, answered, upstream, status[0] == '2', carried_, cookies);
    }
  }

  void CheckRequest(const Stream& stream) {
    const Strings authorization = stream.request.Get("authorization");
    std::string token;
    for (const auto& [name, headers] : setup_.tokens) {
      if (authorization == Strings{headers.at("authorization")}) token = name;
    }
    if (!CHECK(!token.empty())) return;
    CHECK(!setup_.metadata || stream.Told("token") == token);
    token_ = token;
    const auto& headers = setup_.tokens.at(token);
    for (const std::string& name : credentials_) {
      const auto own = headers.find(name);
      if (own != headers.end()) {
        CHECK(stream.request.Get(name) == Strings{own->second});
      } else {
        CHECK(stream.request.Get(name) == (name == ":authority" ? Strings{"gateway"} : Strings{}));
      }
    }
    if (!setup_.carrier.empty()) CHECK(stream.request.Get(setup_.carrier).empty());
    const auto others = [&](const Fields& fields) {
      Fields others;
      for (const auto& field : fields) {
        // The client never sends it.
        const bool for_ids = field.first == "accept-encoding" && field.second == "identity";
        if (field.first != "cookie" && field.first != setup_.carrier && !for_ids &&
            credentials_.count(field.first) == 0) {
          others.push_back(field);
        }
      }
      return others;
    };
    Fields now = others(stream.request.All()), then = others(before_);
    if (!tried_.empty()) {
      // A retried request has the same fields, except for their order, and for empty ones, which no
      // filter can set again in Envoy.
      for (Fields* fields : {&now, &then}) {
        const auto by_name = [](const auto& a, const auto& b) { return a.first < b.first; };
        const auto empty = [](const auto& field) { return field.second.empty(); };
        fields->erase(std::remove_if(fields->begin(), fields->end(), empty), fields->end());
        std::stable_sort(fields->begin(), fields->end(), by_name);
      }
    }
    CHECK(now == then);

    Strings left = pairs_, cookies;
    left.erase(std::remove_if(left.begin(), left.end(),
                              [&](const auto& pair) { return Names(pair, name_); }),
               left.end());
    CHECK(Pairs(stream.request.Get("cookie")) == left);
    for (const auto& [name, value] : before_) {
      if (name == "cookie") cookies.push_back(value);
    }
    // Cookie fields without ours stay unchanged.
    if (left.size() == pairs_.size()) CHECK(stream.request.Get("cookie") == cookies);
  }

  // A session's account is the one that its only cookie names.
  void CheckPinned(const Stream& stream) {
    for (const std::string& pair : pairs_) {
      if (!Names(pair, name_)) continue;
      std::string_view value = Trim(std::string_view(pair).substr(pair.find('=') + 1));
      if (value.size() == 69) value = value.substr(1, 67);
      const auto found = std::find_if(jar_.begin(), jar_.end(),
                                      [&](const auto& cookie) { return cookie.first == value; });
      CHECK(found != jar_.end() && found->second == stream.Told("token"));
    }
  }

  void FillResponse(Stream* stream) {
    Headers& response = stream->response;
    constexpr const char* kStatuses[] = {"200", "200", "200", "201", "400", "401",
                                         "403", "429", "500", "503", "302"};
    response.Add(":status", kStatuses[Below(random_, std::size(kStatuses))]);
    const size_t fields = Below(random_, 6);
    for (size_t i = 0; i < fields; ++i) {
      switch (Below(random_, 7)) {
        case 6:
          response.Add("content-length", Chance(random_, 70) ? "100" : Junk(10));
          break;
        case 0:
          response.Add("set-cookie", name_ + "=" + kPlanted + "; Path=/");
          break;
        case 1:
          response.Add("set-cookie", Chance(random_, 50) ? "k=v; Secure" : Junk(60));
          break;
        case 2:
          if (!setup_.carrier.empty()) response.Add(setup_.carrier, kPlanted);
          break;
        case 3:
          response.Add("retry-after", Chance(random_, 50) ? "5" : Junk(30));
          break;
        case 4:
          response.Add("cache-control", "private");
          break;
        default:
          response.Add("x-other", Junk(30));
      }
    }
  }

  void CheckResponse(const Stream& stream, const Fields& before, bool upstream, bool success,
                     bool carrier_value, uint64_t cookies) {
    const Headers& response = stream.response;
    if (!setup_.response_header.empty()) {
      CHECK(response.Get(setup_.response_header).size() == 1);
    }
    Strings lines, ours;
    for (const std::string& line : response.Get("set-cookie")) {
      (upstream && Names(line, name_) ? ours : lines).push_back(line);
    }
    Strings carrier;
    if (upstream && !setup_.carrier.empty()) carrier = response.Get(setup_.carrier);
    CHECK(ours.size() + carrier.size() == cookies && cookies <= (upstream && success));
    CHECK(carrier.empty() || carrier_value);
    CHECK(ours.empty() || !carrier_value);
    std::string value;
    if (!ours.empty()) value = ours[0].substr(name_.size() + 1, 67);
    if (!carrier.empty()) value = carrier[0];
    CHECK(value.find(kPlanted) == std::string::npos);
    const std::string outcome = stream.Told("outcome");
    // A fallback's cookie still names the account of the session.
    if (!value.empty() && !outcome.empty() && outcome != "fallback") {
      jar_.emplace_back(value, token_);
    }
    const std::string no_cache =
        "no-cache=\"" + (carrier.empty() ? "Set-Cookie" : setup_.carrier) + '"';
    // Nothing else is changed.
    const auto others = [&](const Fields& fields, bool added) {
      Fields others;
      for (const auto& [name, text] : fields) {
        if (name == setup_.response_header) continue;
        if (upstream && name == setup_.carrier) continue;
        if (upstream && name == "set-cookie") continue;
        // The length of a body whose ids are sealed may change: bodies.cc tests when.
        if (upstream && setup_.seals && name == "content-length") continue;
        if (added && text == no_cache) continue;
        others.emplace_back(name, text);
      }
      return others;
    };
    const bool uncached = setup_.cache_control && cookies != 0;
    CHECK(others(response.All(), uncached) == others(before, false));
    const Strings caching = response.Get("cache-control");
    CHECK(std::count(caching.begin(), caching.end(), no_cache) == uncached);
    Strings upstream_lines;
    for (const auto& [name, line] : before) {
      if (name == "set-cookie" && !(upstream && Names(line, name_))) upstream_lines.push_back(line);
    }
    // To remove our line, the filter sets the others again, and Envoy sets no empty value.
    const auto drop_empty = [](Strings* lines) {
      lines->erase(std::remove(lines->begin(), lines->end(), ""), lines->end());
    };
    drop_empty(&lines);
    drop_empty(&upstream_lines);
    CHECK(lines == upstream_lines);
  }

  static constexpr char kPlanted[] = "planted-by-the-upstream";

  Random& random_;
  const Setup setup_;
  Config config_;
  std::set<std::string> credentials_;
  std::vector<std::pair<std::string, std::string>> jar_;  // values, and their tokens
  // Of the request at hand.
  Fields before_;
  Strings pairs_;
  std::string scope_, name_, token_;
  Strings tried_;
  bool carried_ = false, observe_ = false;
};

}  // namespace

int main(int argc, char** argv) {
  SetKeys();
  // Without the keeper's thread: there are hundreds of configurations.
  standin::SetValidationMode(true);
  TestSession();
  TestHostileHeaders();
  TestRefusals();
  TestWhenToComeBack();
  TestTenants();
  TestCopies();
  TestIdHints();
  TestCredentials();
  TestDropWhenMoved();
  TestForeignCookies();
  TestRoutes();
  TestCooldowns();
  TestCooldownsByHeaders();
  TestRetries();
  TestRedirects();
  TestMoves();
  TestHolds();
  TestCarrier();
  Random random(Seed(argc, argv));
  for (int i = 0; i < 50; ++i) {
    Kitchen kitchen(random, RandomSetup(random));
    for (int request = 0; request < 200; ++request) {
      std::snprintf(check_context, sizeof check_context, "kitchen %d, request %d", i, request);
      kitchen.Serve();
    }
  }
  return check_report();
}
