-- The ids of a request: which of them are read, and which bodies are refused instead.

local content = require "resty.tokenpin.content"
local exchange_of = require "resty.tokenpin.exchange"
local headers = require "resty.tokenpin.headers"
local ids_of = require("resty.tokenpin.ids").of
local library = require "resty.tokenpin.library"
local refusal = require "resty.tokenpin.refusal"
local request = require "resty.tokenpin.request"

local C = library.C
local hold, refuse = exchange_of.hold, exchange_of.refuse

local _M = {}

local function opens(exchange)
  return exchange.terms.mode ~= C.TOKENPIN_MODE_OFF and not exchange.terms.observes
end

-- Returns whether there may be a body. Over HTTP/2 one needs no header.
local function has_body(exchange)
  if exchange.has_upgrade then return false end
  local length = rawget(exchange.headers, "content-length")
  if length then return length ~= "0" end
  return rawget(exchange.headers, "transfer-encoding") ~= nil or ngx.req.http_version() >= 2
end

-- Ids in the frames of a WebSocket, or behind another upgrade, would pass unseen. A client that is
-- refused asks by requests instead.
local function refuses_upgrade(exchange)
  if not opens(exchange) or (exchange.is_handshake and not exchange.ids:has_state()) then return false end
  return exchange.terms.mode ~= C.TOKENPIN_MODE_OPEN or exchange.terms.settings.refuse_upgrades
end

-- A body that cannot be read passes, except where the mode assumes that it hides ids.
local function check_unread(exchange, kind)
  local mode, counters = exchange.terms.mode, exchange.terms.gateway.metrics
  local may_pass
  if mode == C.TOKENPIN_MODE_STRICT then
    may_pass = kind == "multipart" and exchange.ids.is_upload
  else
    may_pass = kind ~= "json" or mode ~= C.TOKENPIN_MODE_SEAL
  end
  if opens(exchange) and not may_pass then
    counters:count("bodies_refused")
    return refuse(exchange, kind == "json" and refusal.wrong_encoding or refusal.wrong_type)
  end
  if kind == "json" then counters:count("bodies_not_read") end
end

-- Refuses a body of `size` bytes. Most clients read an answer only after they have sent everything,
-- so they may, up to a bound.
local function give_up(exchange, size, counter, with)
  local is_refused = opens(exchange)
  exchange.terms.gateway.metrics:count(is_refused and counter or "bodies_not_read")
  if not is_refused then return end
  if size <= 2 * exchange.terms.settings.max_body then ngx.req.read_body() end
  return refuse(exchange, with)
end

-- The bytes that a body counts for while nginx waits for it, of the `room` that is left: as many as
-- it may become, for one whose length is not announced. Those of HTTP/2 that only read have none.
local function expected(exchange, room)
  local length = request.first(exchange, "content-length")
  if length then return tonumber(length) end
  if exchange.method == "GET" or exchange.method == "HEAD" then return 0 end
  return math.max(1, math.min(exchange.terms.settings.max_body, room))
end

local function read_body(exchange)
  local terms, ids = exchange.terms, exchange.ids
  local settings, gateway = terms.settings, terms.gateway
  local kind = content.kind(request.first(exchange, "content-type"))
  if kind ~= "json" or content.is_encoded(rawget(exchange.headers, "content-encoding")) then
    return check_unread(exchange, kind)
  end
  local room = settings.max_held - gateway.held
  local length = expected(exchange, room)
  if length > settings.max_body then return give_up(exchange, length, "bodies_too_large", refusal.too_large) end
  if length > room then return give_up(exchange, length, "bodies_too_many", refusal.too_many) end
  hold(exchange, length)
  ngx.req.read_body()
  hold(exchange, 0)
  local size = ids:read_body()
  if not size then
    ngx.log(ngx.ERR, "tokenpin: cannot read the body that nginx has written: ", ngx.req.get_body_file())
    gateway.metrics:count("errors")
    if not terms.observes then return refuse(exchange, refusal.error) end
  elseif size > settings.max_body then
    ids:forget_body()
    return give_up(exchange, size, "bodies_too_large", refusal.too_large)
  elseif terms.mode == C.TOKENPIN_MODE_STRICT and opens(exchange) and (ids.unexpected ~= 0 or not ids.utf8.valid) then
    gateway.metrics:count("bodies_refused")
    return refuse(exchange, refusal.unreadable)
  end
end

-- Reads the ids of the target, and of the body, for which nginx waits. Does not return if the
-- request is refused. `read` is the request as the library reads it.
function _M.read(exchange, read)
  local terms = exchange.terms
  local settings, gateway = terms.settings, terms.gateway
  if terms.mode == C.TOKENPIN_MODE_OFF and not (settings.bodies and has_body(exchange)) then return end
  local ids = ids_of(gateway.affinity, read, exchange, terms.mode)
  if not ids then return end
  exchange.ids = ids
  exchange.opens_target = ids:open_target(exchange.target)
  if exchange.has_upgrade and refuses_upgrade(exchange) then
    gateway.metrics:count("upgrades_refused")
    return refuse(exchange, refusal.wrong_protocol)
  end
  if has_body(exchange) then return read_body(exchange) end
end

-- Puts the opened ids into the request.
function _M.put(exchange)
  local ids = exchange.ids
  if exchange.opens_target then
    local query = ngx.var.args
    local target = ngx.escape_uri(ngx.var.uri, 0) .. (query and "?" .. query or "")
    request.set_target(ids:open_rewritten(target))
  end
  -- The ids in a compressed response cannot be seen.
  if ids:seals() and not ids.is_download then ngx.req.set_header("Accept-Encoding", "identity") end
  if ids:put_body() then
    for _, name in ipairs(headers.DIGESTS) do ngx.req.clear_header(name) end
  end
end

return _M
