// Bodies through the hooks: cut anywhere, held, changed, refused; and what headers say of them.

#include "body.h"
#include "content.h"
#include "tokenpin.hpp"
#include "world.h"

namespace {

using standin::Config;
using standin::Headers;
using standin::Stream;
using Strings = std::vector<std::string>;

std::string Quoted(std::string_view text) { return '"' + std::string(text) + '"'; }

// Seals ids with the filter's ring.
class Sealer {
 public:
  Sealer() {
    tokenpin::CookieKey key{};
    for (int i = 0; i < 16; ++i) key.secret[i] = static_cast<uint8_t>(0x10 + i);
    key.id = 1;
    key.role = TOKENPIN_ROLE_SIGN;
    ring_ = std::move(*tokenpin::IdRing::make({&key, 1}));
  }
  std::string operator()(std::string_view id, std::string_view token) const {
    return std::string(ring_.seal({}, {}, *tokenpin::identity_hash(token), id)->view());
  }

 private:
  tokenpin::IdRing ring_;
};

std::string RandomId(Random& random, const char* prefix) {
  std::string id = prefix;
  for (int i = 0; i < 48; ++i) id += "0123456789abcdef"[Below(random, 16)];
  return id;
}

std::string RandomText(Random& random, size_t most) {
  std::string text;
  for (size_t left = Below(random, most + 1); left != 0; --left) {
    text += "abcdefghijklmnopqrstuvwxyz resp_{}[]:,"[Below(random, 38)];
  }
  return text;
}

// A document, as a client has it and as the account does.
struct Document {
  std::string sealed, native;
};

// With the id of one of the token's responses in it, or without any.
Document RandomDocument(Random& random, const Sealer& seal, const std::string& token,
                        bool with_id) {
  Document document;
  const auto both = [&](const std::string& text) {
    document.sealed += text;
    document.native += text;
  };
  both("{\"input\":" + Quoted(RandomText(random, Chance(random, 20) ? 40000 : 300)));
  if (with_id) {
    const std::string id = RandomId(random, "resp_");
    both(Chance(random, 50) ? R"( ,"previous_response_id" : ")" : R"(,"previous_response_id":")");
    document.sealed += seal(id, token);
    document.native += id;
    both("\"");
  }
  for (size_t i = Below(random, 4); i != 0; --i) {
    both(",\"note\":" + Quoted(RandomText(random, 100)));
  }
  both("}");
  return document;
}

// Sends a text in parts, and then its end in one of Envoy's ways.
void SendAll(Random& random, Stream* stream, std::string_view text) {
  const bool trailers = Chance(random, 30), empty_end = Chance(random, 50);
  while (!stream->local_reply) {
    const size_t size = Chance(random, 20) ? text.size() : Below(random, text.size() + 1);
    const std::string_view part = text.substr(0, size);
    text.remove_prefix(size);
    const bool ends = text.empty() && !trailers && !empty_end;
    stream->SendBody(part, ends);
    if (text.empty()) {
      if (trailers && !stream->local_reply) {
        stream->SendTrailers();
      } else if (!ends && !stream->local_reply) {
        stream->SendBody("", true);
      }
      return;
    }
  }
}

void TestRequests(Random& random) {
  const Sealer seal;
  for (int i = 0; i < 400; ++i) {
    const char* const modes[] = {"off", "open", "seal", "strict"};
    const std::string mode = modes[Below(random, 4)];
    Config config(Text(With(World(), "sealed_ids", Quoted(mode))));
    const std::string token(1, static_cast<char>('a' + Below(random, 3)));
    const bool with_id = Chance(random, 80);
    const Document document = RandomDocument(random, seal, token, with_id);
    std::snprintf(check_context, sizeof check_context, "request %d, %s", i, mode.c_str());
    Stream stream(&config);
    stream.piece = 1 + Below(random, Chance(random, 30) ? 20000 : 40);
    if (document.sealed.size() > 5000) stream.piece += 1000;
    stream.buffer_limit = Chance(random, 50) ? 100 : 0;
    stream.keeps_body = Chance(random, 50);
    stream.request.Add(":method", "POST");
    stream.request.Add(":path", "/v1/responses");
    stream.request.Add("content-md5", "x");
    const bool has_length = Chance(random, 70);
    if (has_length) stream.request.Add("content-length", std::to_string(document.sealed.size()));
    CHECK(!stream.SendRequest(false) && !stream.local_reply);
    SendAll(random, &stream, document.sealed);
    if (!CHECK(!stream.local_reply)) continue;
    const bool opens = mode != "off" && with_id;
    const std::string& expected = opens ? document.native : document.sealed;
    CHECK(stream.upstream_body == expected);
    const Strings length = stream.request.Get("content-length");
    CHECK(length == (has_length ? Strings{std::to_string(expected.size())} : Strings{}));
    CHECK(stream.request.Get("content-md5").empty() == opens);
    CHECK((stream.Told("source") == "id") == opens);
    if (opens) CHECK(stream.Told("token") == token && stream.Told("outcome") == "pinned");
    CHECK(stream.Told("id_verdict") == (!with_id ? "none" : opens ? "sealed" : "plain"));
    CHECK(config.Metric("ids_opened") == opens);
  }
}

void TestResponses(Random& random) {
  const Sealer seal;
  for (int i = 0; i < 400; ++i) {
    std::snprintf(check_context, sizeof check_context, "response %d", i);
    const bool observe = Chance(random, 20);
    Config config(
        Text(With(With(World(), "sealed_ids", "\"seal\""), "observe", observe ? "true" : "false")));
    Stream stream(&config);
    stream.piece = 1 + Below(random, Chance(random, 30) ? 20000 : 40);
    stream.request.Add(":method", "POST");
    stream.request.Add(":path", "/v1/responses");
    stream.SendRequest();
    const std::string token = stream.Told("token");
    Document document;
    const bool events = Chance(random, 50);
    size_t ids = 0;
    for (size_t left = 1 + (events ? Below(random, 5) : 0); left != 0; --left) {
      const Document one = RandomDocument(random, seal, token, true);
      ++ids;
      const std::string before = events ? "data: " : "", behind = events ? "\r\n\r\n" : "";
      document.native += before + one.native + behind;
      document.sealed += before + one.sealed + behind;
    }
    stream.response.Add(":status", "200");
    stream.response.Add("content-type", events ? "text/event-stream" : "application/json");
    stream.response.Add("content-length", std::to_string(document.native.size()));
    CHECK(stream.SendResponse("via_upstream", false));
    std::string_view text = document.native;
    const bool trailers = Chance(random, 30);
    size_t held = 0;
    while (!text.empty()) {
      const size_t size = Chance(random, 20) ? text.size() : 1 + Below(random, text.size());
      const bool ends = size == text.size() && !trailers && Chance(random, 50);
      CHECK(stream.SendResponseBody(text.substr(0, size), ends));
      text.remove_prefix(size);
      // The filter holds back only a possible part of an id.
      const size_t passed = document.native.size() - text.size();
      held = std::max(held, passed - std::min(passed, stream.client_body.size()));
      if (!text.empty()) continue;
      if (trailers) CHECK(stream.SendResponseTrailers());
      if (!ends && !trailers) CHECK(stream.SendResponseBody("", true));
    }
    CHECK(held <= 512);
    CHECK(stream.client_body == (observe ? document.native : document.sealed));
    CHECK(stream.response.Get("content-length").empty() == !observe);
    CHECK(config.Metric("ids_sealed") == ids);
  }
}

// Headers stay unchanged where the status means no body, or a part of one: over HTTP/2 such a
// response may end only behind an empty body.
void TestStatuses() {
  for (const char* status : {"200", "404", "101", "204", "206", "304"}) {
    std::snprintf(check_context, sizeof check_context, "status %s", status);
    Config config(Text(With(World(), "sealed_ids", "\"seal\"")));
    Stream stream(&config);
    stream.request.Add(":method", "GET");
    stream.request.Add(":path", "/v1/responses");
    stream.SendRequest();
    stream.response.Add(":status", status);
    stream.response.Add("etag", "\"x\"");
    CHECK(stream.SendResponse("via_upstream", false) && stream.SendResponseBody("", true));
    const bool has_body = *status == '4' || std::string_view(status) == "200";
    CHECK(stream.response.Get("etag").empty() == has_body);
  }
}

// The ids of a stream that ends early are counted.
void TestCutResponses() {
  std::snprintf(check_context, sizeof check_context, "a cut response");
  Config config(Text(With(World(), "sealed_ids", "\"seal\"")));
  {
    Stream stream(&config);
    stream.request.Add(":method", "POST");
    stream.request.Add(":path", "/v1/responses");
    stream.SendRequest();
    stream.response.Add(":status", "200");
    stream.response.Add("content-type", "application/json");
    stream.SendResponse("via_upstream", false);
    stream.SendResponseBody(R"({"id":"resp_1","previous_response_id":"resp_)", false);
    CHECK(config.Metric("ids_sealed") == 0);
  }
  CHECK(config.Metric("ids_sealed") == 1);
}

// Envoy's own answers, and those of another route, have no ids of the account.
void TestLocalReplies() {
  std::snprintf(check_context, sizeof check_context, "Envoy's own answer");
  Config config(Text(With(World(), "sealed_ids", "\"seal\"")));
  Stream stream(&config);
  stream.request.Add(":method", "POST");
  stream.request.Add(":path", "/v1/responses");
  stream.SendRequest();
  stream.response.Add(":status", "503");
  stream.response.Add("content-type", "application/json");
  stream.response.Add("content-length", "15");
  CHECK(stream.SendResponse("upstream_reset", false));
  CHECK(stream.SendResponseBody(R"({"id":"resp_1"})", true));
  CHECK(stream.client_body == R"({"id":"resp_1"})");
  CHECK(stream.response.Get("content-length") == Strings{"15"});
}

struct Asked {
  std::string code;      // empty: it passes
  size_t swallowed = 0;  // of its body
};

// Sends a body of `size` bytes, in parts, under a bound.
Asked Ask(Config* config, size_t size, bool has_length) {
  Stream stream(config);
  stream.request.Add(":method", "POST");
  stream.request.Add(":path", "/v1/responses");
  if (has_length) stream.request.Add("content-length", std::to_string(size));
  stream.SendRequest(false);
  size_t sent = 0;
  while (sent < size && !stream.local_reply) {
    const size_t part = std::min<size_t>(size - sent, 30);
    stream.SendBody(std::string(part, ' '), false);
    sent += part;
  }
  if (!stream.local_reply) stream.SendBody("", true);
  CHECK(stream.local_reply || stream.upstream_body.size() == size);
  return {stream.local_reply ? stream.local_reply->details : "", sent};
}

void TestBounds() {
  for (const bool has_length : {true, false}) {
    std::snprintf(check_context, sizeof check_context, "max_body, length %d", has_length);
    Config config(Text(With(With(World(), "sealed_ids", "\"seal\""), "max_body", "100")));
    for (const size_t size : {0, 1, 99, 100}) CHECK(Ask(&config, size, has_length).code.empty());
    for (const size_t size : {101, 102, 130, 199}) {
      const Asked asked = Ask(&config, size, has_length);
      // The client gets its answer when it has sent everything.
      CHECK(asked.code == "request_too_large" && asked.swallowed == size);
    }
    // Except a body without an end.
    const Asked endless = Ask(&config, 100000, has_length);
    CHECK(endless.code == "request_too_large" && endless.swallowed <= 300);
    CHECK(config.Metric("bodies_too_large") == 5);
    // A filter that opens no ids refuses no body.
    Config off(Text(With(World(), "max_body", "100")));
    CHECK(Ask(&off, 99, has_length).code.empty() && off.Metric("bodies_not_read") == 0);
    CHECK(Ask(&off, 100000, has_length).code.empty() && off.Metric("bodies_not_read") == 1);
  }
  std::snprintf(check_context, sizeof check_context, "max_held_bodies");
  const Object world = With(With(World(), "sealed_ids", "\"seal\""), "max_held_bodies", "100");
  Config config(Text(world)), another(Text(world));
  {
    Stream first(&config), second(&another);
    for (Stream* stream : {&first, &second}) {
      stream->request.Add(":method", "POST");
      stream->request.Add(":path", "/v1/responses");
      stream->SendRequest(false);
      stream->SendBody(std::string(40, ' '), false);
    }
    CHECK(Ask(&config, 20, false).code.empty());
    CHECK(Ask(&config, 21, false).code == "too_many_bodies");
    CHECK(config.Metric("bodies_too_many") == 1);
    // A request that is served no longer counts.
    CHECK(first.SendBody("", true));
    CHECK(Ask(&another, 60, false).code.empty() && !Ask(&another, 61, false).code.empty());
  }
  // Nor does a request that is gone.
  CHECK(Ask(&config, 100, false).code.empty() && !Ask(&config, 101, false).code.empty());
  Config off(Text(With(World(), "max_held_bodies", "100")));
  CHECK(Ask(&off, 1000, false).code.empty() && off.Metric("bodies_not_read") == 1);
}

// A body that turns out too long to be read passes unchanged, together with the part that was held
// until then.
void TestUnreadBodies(Random& random) {
  const Sealer seal;
  for (const char* name : {"max_body", "max_held_bodies"}) {
    for (const bool observe : {false, true}) {
      for (int i = 0; i < 50; ++i) {
        std::snprintf(check_context, sizeof check_context, "unread for %s, %d", name, observe);
        Object world = With(With(World(), name, "100"), "observe", observe ? "true" : "false");
        Config config(Text(With(world, "sealed_ids", observe ? "\"strict\"" : "\"off\"")));
        Stream stream(&config);
        stream.request.Add(":method", "POST");
        stream.request.Add(":path", "/v1/responses");
        stream.SendRequest(false);
        std::string text;
        while (text.size() < 200) {
          text += text.empty() ? "{" : ",";
          text += "\"previous_response_id\":\"" + seal(RandomId(random, "resp_"), "a") + '"';
        }
        SendAll(random, &stream, text + "}");
        CHECK(!stream.local_reply && stream.upstream_body == text + "}");
        CHECK(config.Metric("bodies_not_read") == 1);
      }
    }
  }
}

// A body behind an upgrade has no end and cannot be read, so a mode that would have to read it
// refuses the upgrade.
void TestUpgrades() {
  struct Case {
    const char *method, *path, *upgrade;
    const char* refused_in;  // the modes
  };
  constexpr Case kCases[] = {
      {"GET", "/v1/responses", "websocket", "seal strict"},
      {"GET", "/v1/responses", "WebSocket", "seal strict"},
      {"GET", "/v1/chat/completions", "websocket", ""},
      {"GET", "/v1/realtime", "websocket", ""},
      {"POST", "/v1/responses", "websocket", "seal strict"},
      {"POST", "/v1/responses", "foo", "seal strict"},
      {"POST", "/v1/responses/compact", "h2c, foo", "seal strict"},
      {"POST", "/v1/chat/completions", "websocket", "seal strict"},
      {"POST", "/v1/chat/completions", "foo", "seal strict"},
      {"PUT", "/v1/files/x", "foo", "seal strict"},
      {"POST", "/v1/embeddings", "foo", ""},
  };
  for (const Case& one : kCases) {
    for (const std::string mode : {"off", "open", "seal", "strict"}) {
      std::snprintf(check_context, sizeof check_context, "%s %s, upgrade %s, %s", one.method,
                    one.path, one.upgrade, mode.c_str());
      const bool refused = std::string_view(one.refused_in).find(mode) != std::string_view::npos;
      for (const bool observe : {false, true}) {
        const Object world = With(World(), "sealed_ids", Quoted(mode));
        Config config(Text(With(world, "observe", observe ? "true" : "false")));
        Stream stream(&config);
        stream.request.Add(":method", one.method);
        stream.request.Add(":path", one.path);
        stream.request.Add("upgrade", one.upgrade);
        stream.request.Add("connection", "upgrade");
        stream.request.Add("content-length", "2");
        const bool passes = stream.SendRequest(false);
        CHECK(passes == (observe || !refused));
        if (!passes) {
          CHECK(stream.local_reply && stream.local_reply->status == 426);
          CHECK(config.Metric("upgrades_refused") == 1);
        }
      }
    }
  }
}

// A body that was only read in part is sent again as a whole, or not at all.
void TestRetryOfLongBodies() {
  for (const char* name : {"max_body", "max_held_bodies"}) {
    for (const bool keeps : {true, false}) {
      std::snprintf(check_context, sizeof check_context, "a retry over %s, %d", name, keeps);
      Config config(Text(With(With(World(), "retry", R"({"status":[429]})"), name, "100")));
      Stream stream(&config);
      stream.keeps_body = keeps;
      stream.request.Add(":method", "POST");
      stream.request.Add(":path", "/v1/responses");
      stream.request.Add("cookie", "__Host-tokenpin=1");
      stream.SendRequest(false);
      CHECK(!stream.SendBody(std::string(70, ' '), false));
      CHECK(stream.SendBody(std::string(80, ' '), false));
      CHECK(stream.SendBody(std::string(90, ' '), true));
      stream.response.Add(":status", "429");
      CHECK(stream.SendResponse() == !keeps && (stream.next != nullptr) == keeps);
      if (keeps) CHECK(stream.next->upstream_body == std::string(240, ' '));
    }
  }
}

// A body that a filter in front has kept comes in one piece, and twice.
void TestBufferedInFront() {
  std::snprintf(check_context, sizeof check_context, "buffered in front");
  const Sealer seal;
  Config config(Text(With(World(), "sealed_ids", "\"seal\"")));
  Stream stream(&config);
  stream.buffered_in_front = true;
  stream.request.Add(":method", "POST");
  stream.request.Add(":path", "/v1/responses");
  CHECK(!stream.SendRequest(false));
  const auto body = [](const std::string& id) { return R"({"conversation":")" + id + "\"}"; };
  CHECK(stream.SendBody(body(seal("conv_1", "b")), true));
  CHECK(stream.upstream_body == body("conv_1") && stream.Told("token") == "b");
}

// Edits of a body in random pieces give the same text as edits of the whole.
void TestEdits(Random& random) {
  std::snprintf(check_context, sizeof check_context, "edits");
  for (int i = 0; i < 5000; ++i) {
    std::string text = RandomText(random, 60);
    std::string expected = text;
    tokenpin_envoy::Edits edits;
    size_t gone = 0;
    for (size_t at = 0; Chance(random, 80);) {
      at += Below(random, text.size() - at + 1);
      const size_t length = Below(random, text.size() - at + 1);
      const std::string put = RandomText(random, length);
      // The order for a string that was cut: first the removal, then the replacement.
      const size_t first = Below(random, length + 1);
      edits.Replace(at, first, "");
      edits.Replace(at + first, length - first, put);
      expected.replace(at - gone, length, put);
      gone += length - put.size();
      at += length;
    }
    CHECK(edits.Shrinks() && edits.loss() == gone);
    tokenpin_envoy::Pieces pieces;
    for (size_t at = 0; at < text.size();) {
      const size_t size = std::min<size_t>(Below(random, 10), text.size() - at);
      pieces.push_back({text.data() + at, size});
      at += size;
    }
    edits.Apply(pieces, text.size());
    CHECK(text.substr(gone) == expected);
    // Edits do not touch a body other than the one that was read.
    if (!edits.empty() && !text.empty()) {
      const std::string before = text;
      edits.Apply({{text.data(), 0}}, 0);
      CHECK(text == before || edits.loss() == 0);
    }
  }
  tokenpin_envoy::Edits longer;
  longer.Replace(0, 2, "abc");
  longer.Replace(9, 9, "");
  CHECK(!longer.Shrinks());
}

// The length of the first code point by the definition of UTF-8; 0 if there is none.
size_t CodePoint(std::string_view text) {
  const auto byte = [&](size_t i) -> uint32_t {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0;
  };
  const size_t length = byte(0) < 0x80       ? 1
                        : byte(0) >> 5 == 6  ? 2
                        : byte(0) >> 4 == 14 ? 3
                        : byte(0) >> 3 == 30 ? 4
                                             : 0;
  if (length < 2) return length;
  uint32_t point = byte(0) & (0x7f >> length);
  for (size_t i = 1; i < length; ++i) {
    if (byte(i) >> 6 != 2) return 0;
    point = point << 6 | (byte(i) & 0x3f);
  }
  constexpr uint32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = point >= 0xd800 && point < 0xe000;
  return point >= kLeast[length] && point < 0x110000 && !surrogate ? length : 0;
}

bool IsUtf8(std::string_view text) {
  while (!text.empty()) {
    const size_t length = CodePoint(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

void TestUtf8(Random& random) {
  std::snprintf(check_context, sizeof check_context, "UTF-8");
  const auto check = [&](const std::string& text) {
    tokenpin_envoy::Utf8 whole, parts;
    whole.Read(text);
    for (const char c : text) parts.Read({&c, 1});
    CHECK(whole.valid() == IsUtf8(text) && parts.valid() == whole.valid());
  };
  // All sequences of two bytes, and of the bytes at the edges up to five.
  for (int a = 0; a < 256; ++a) {
    for (int b = 0; b < 256; ++b) check({static_cast<char>(a), static_cast<char>(b)});
  }
  constexpr char kEdges[] =
      "\x00\x7f\x80\x8f\x90\x9f\xa0\xbf\xc0\xc1\xc2\xdf\xe0\xed\xef\xf0\xf4\xf5";
  for (int i = 0; i < 100000; ++i) {
    std::string text;
    for (size_t left = Below(random, 6); left != 0; --left) {
      text += kEdges[Below(random, sizeof kEdges - 1)];
    }
    check(text);
  }
}

// The facts about a body that its headers give.
void TestContent() {
  using tokenpin_envoy::Content;
  const auto of = [](const char* name, const char* value, auto ask) {
    Config config(Text(World()));
    static tokenpin_envoy::HeaderList list;
    Stream stream(&config);
    if (value != nullptr) stream.request.Add(name, value);
    stream.request.Add(":method", "GET");
    stream.request.Add(":path", "/");
    decltype(ask(list)) answer{};
    stream.InHook([&] {
      list.Read(&stream, kRequestHeader);
      answer = ask(list);
    });
    return answer;
  };
  const std::pair<const char*, Content> types[] = {
      {nullptr, Content::kJson},
      {"", Content::kJson},
      {"application/json", Content::kJson},
      {"Application/JSON ; charset=utf-8", Content::kJson},
      {"application/problem+json", Content::kJson},
      {"application/json, text/plain", Content::kJson},
      {"text/event-stream;charset=utf-8", Content::kEvents},
      {"Multipart/Form-Data; boundary=x", Content::kMultipart},
      {"application/jsonl", Content::kOther},
      {"application/json-seq", Content::kOther},
      {"text/plain", Content::kOther},
      {"multipart", Content::kOther},
      {"json", Content::kOther},
  };
  for (const auto& [value, expected] : types) {
    std::snprintf(check_context, sizeof check_context, "content-type %s", value);
    CHECK(of("content-type", value, tokenpin_envoy::ContentOf) == expected);
  }
  const std::pair<const char*, bool> encodings[] = {
      {nullptr, false}, {"identity", false}, {" Identity ", false},
      {"", false},      {"gzip", true},      {"br, identity", true},
  };
  for (const auto& [value, expected] : encodings) {
    std::snprintf(check_context, sizeof check_context, "content-encoding %s", value);
    CHECK(of("content-encoding", value, tokenpin_envoy::IsEncoded) == expected);
  }
}

}  // namespace

int main(int argc, char** argv) {
  SetKeys();
  standin::SetValidationMode(true);
  Random random(Seed(argc, argv));
  TestContent();
  TestUtf8(random);
  TestEdits(random);
  TestRequests(random);
  TestResponses(random);
  TestStatuses();
  TestCutResponses();
  TestLocalReplies();
  TestBounds();
  TestUnreadBodies(random);
  TestUpgrades();
  TestBufferedInFront();
  TestRetryOfLongBodies();
  return check_report();
}
