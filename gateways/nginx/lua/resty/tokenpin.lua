-- tokenpin in nginx: which token serves a request, and which cookie the client gets. README.md says
-- how to use it.
--
--   init_by_lua_block        { require("resty.tokenpin").setup("/etc/tokenpin.json") }
--   init_worker_by_lua_block { require("resty.tokenpin").init_worker() }
--   rewrite_by_lua_block     { require("resty.tokenpin").request() }
--   header_filter_by_lua_block, body_filter_by_lua_block, log_by_lua_block:
--     header_filter(), body_filter(), log()

local ffi = require "ffi"
local cooldowns = require "resty.tokenpin.cooldowns"
local entropy = require "resty.tokenpin.entropy"
local exchange_of = require "resty.tokenpin.exchange"
local gateways = require "resty.tokenpin.gateways"
local library = require "resty.tokenpin.library"
local opening = require "resty.tokenpin.opening"
local refusal = require "resty.tokenpin.refusal"
local request = require "resty.tokenpin.request"
local response = require "resty.tokenpin.response"
local retry = require "resty.tokenpin.retry"
local sealing = require "resty.tokenpin.sealing"

local C, SLOT_NONE = library.C, library.SLOT_NONE
local OK = C.TOKENPIN_STATUS_OK
local LEAST_ERROR = cooldowns.LEAST_ERROR
local own, recall, describe = exchange_of.own, exchange_of.recall, exchange_of.describe

local INTERVAL = 0.25 -- seconds between looks at files

local FOREIGN = ". If another tokenpin gateway in front of or behind this one made it, clients lose its sessions: give"
  .. " one of the two another cookie name (where none is set, a scope does). Said once; foreign_cookies counts all"

local _M = { _VERSION = ffi.string(C.tokenpin_version()) }

-- In init_by_lua*: makes a gateway from its configuration, a table or the path of a JSON file.
-- `name` tells several gateways apart.
_M.setup = gateways.setup

-- In init_by_lua*: gives a location its own scope, group, existing, sealed_ids and observe.
_M.route = gateways.route

-- Sets a token's state in all workers: { state = "draining", weight = 0, ["until"] = 0 }, with
-- values as in the configuration. A missing field is as declared. Nil undoes the change. Throws an
-- error for a mistake.
_M.set_state = gateways.set_state

-- In init_worker_by_lua*.
function _M.init_worker()
  entropy.forget()
  assert(ngx.timer.every(INTERVAL, gateways.look_after))
end

-- Of a request that cannot be decided.
local function fail_request(exchange, status)
  local terms = exchange.terms
  local is_tenant = status == C.TOKENPIN_STATUS_SCOPE_LENGTH
  terms.gateway.metrics:count(is_tenant and "bad_tenants" or "errors")
  if not is_tenant then
    ngx.log(ngx.ERR, "tokenpin: cannot decide: ", library.name(C.TOKENPIN_ENUM_STATUS, status))
  end
  if terms.observes then return exchange_of.forget(exchange) end
  return exchange_of.refuse(exchange, is_tenant and refusal.bad_tenant or refusal.error)
end

local function count(exchange)
  local counters, ids = exchange.terms.gateway.metrics, exchange.ids
  counters:count_decision(exchange.decision)
  if not ids then return end
  local report = ids:report()
  counters:count("ids_opened", report.opened)
  counters:count("ids_plain", report.plain)
  counters:count("echoes_lost", report.echoes_lost)
  counters:count("bodies_not_understood", ids.unexpected)
  -- From here on these are of the response's body.
  ids.changed, ids.unexpected = 0, 0
end

-- The maker of a cookie of our name loses it here.
local function note_foreign(gateway, where, what)
  gateway.metrics:count("foreign_cookies")
  -- Of all workers one reports it.
  if not gateway.dict:safe_add(gateway.name .. ":told:" .. where, true) then return end
  ngx.log(ngx.WARN, "tokenpin: removed from a ", where, " ", what, FOREIGN)
end

-- Makes the request the token's.
local function serve(exchange)
  local terms, decision, scope = exchange.terms, exchange.decision, exchange.scope
  local gateway = terms.gateway
  exchange.cookie_name = scope == "" and gateway.cookie_name or request.cookie_name(gateway.affinity, scope)
  exchange.serving = true
  request.strip_cookies(exchange, terms, exchange.cookie_name)
  -- The gateway does not speak it, and behind an upstream's 101 no id would be seen.
  if exchange.is_h2c then ngx.req.clear_header("Upgrade") end
  local verdict = decision.verdict
  if verdict == C.TOKENPIN_VERDICT_UNKNOWN_KEY or verdict == C.TOKENPIN_VERDICT_BAD_TAG then
    note_foreign(gateway, "request", ("a cookie named %s that no key of this configuration made (%s)"):format(
      exchange.cookie_name, library.name(C.TOKENPIN_ENUM_VERDICT, verdict)))
  end
  request.drop_when_moved(terms.settings.drop_when_moved, decision)
  request.put_credentials(terms.settings.tokens[decision.slot].credentials)
  if exchange.ids then opening.put(exchange) end
end

-- In rewrite_by_lua*, or in access_by_lua* behind the module that authenticates: decides which
-- token serves the request, and sets that token's headers. If none may serve, it answers and does
-- not return. `name` is that of a gateway or a route.
function _M.request(name)
  if recall() or exchange_of.is_part_of_another() then return end
  local terms = gateways.terms[name or "default"] or error("tokenpin: no such gateway or route: " .. tostring(name), 2)
  if not terms.settings then return end
  local exchange = exchange_of.begin(terms)
  request.of_client(exchange)
  -- HTTP/0.9 has no headers, and Lua can set none: the request would continue without credentials.
  if not terms.observes and request.has_no_version(exchange) then
    exchange_of.forget(exchange)
    return ngx.exit(ngx.HTTP_BAD_REQUEST)
  end
  local read = request.read(exchange, terms)
  if not read then return fail_request(exchange, C.TOKENPIN_STATUS_SCOPE_LENGTH) end
  opening.read(exchange, read)
  local decision = exchange.decision
  local status = request.decide(exchange, terms, decision)
  if status ~= OK then return fail_request(exchange, status) end
  count(exchange)
  local ids = exchange.ids
  if not terms.observes then
    if decision.slot == SLOT_NONE then
      local header = terms.settings.response_header
      return exchange_of.refuse(exchange, refusal.of(decision, terms.gateway.affinity, ids and ids:report()),
        header and { [header] = describe(exchange) })
    end
    serve(exchange)
  end
  if not ids then return end
  -- Its body is not needed any more.
  ids:forget_body()
  ids.is_done = not ids:seals() or decision.slot == SLOT_NONE
end

-- In balancer_by_lua*, in front of `set_current_peer`: if nginx tries again (proxy_next_upstream),
-- the next token serves.
function _M.balancer()
  local exchange = own(ngx.ctx)
  if exchange and exchange.serving then retry.balance(exchange, count) end
end

-- In header_filter_by_lua*.
function _M.header_filter()
  local exchange = recall()
  local terms = exchange and exchange.terms
  if not terms then return end
  if not exchange.serving then return sealing.begin(exchange) end
  local settings, decision, status = terms.settings, exchange.decision, ngx.status
  if settings.response_header then ngx.header[settings.response_header] = describe(exchange) end
  local given, kept = response.others_cookies(exchange.cookie_name)
  local carrier = settings.carrier_header
  local carries = carrier and ngx.header[carrier] ~= nil
  -- Most responses leave nothing to do: it does not matter where they came from.
  if status < LEAST_ERROR and decision.cookie == 0 and not (given and kept) and not carries then
    return sealing.begin(exchange)
  end
  if not response.is_from_upstream() then return end
  if status >= LEAST_ERROR then response.cool_down(terms, decision.slot, status, response.field) end
  if kept or carries then
    if kept then ngx.header["Set-Cookie"] = #kept ~= 0 and kept or nil end
    if carries then ngx.header[carrier] = nil end
    note_foreign(terms.gateway, "response", ("the upstream's own cookie named %s, or carrier header"):format(
      exchange.cookie_name))
  end
  response.write_cookie(terms, decision, status)
  sealing.begin(exchange)
end

-- In body_filter_by_lua*.
function _M.body_filter()
  local exchange = own(ngx.ctx)
  if exchange then sealing.seal(exchange) end
end

-- In log_by_lua*.
function _M.log()
  local exchange = recall()
  if not exchange then return end
  local terms = exchange.terms
  if terms then exchange_of.tell(exchange) end
  local ids = exchange.ids
  if ids and exchange.decision.slot ~= SLOT_NONE then
    terms.gateway.metrics:count("ids_sealed", ids.changed)
    terms.gateway.metrics:count("bodies_not_understood", ids.unexpected)
  end
  exchange_of.finish(exchange)
end

-- In content_by_lua* of a location for error_page 413: answers with the gateway's own 413.
function _M.too_large()
  local exchange = recall()
  -- This location may have no log().
  if exchange and exchange.terms then exchange_of.hold(exchange, 0) end
  return refusal.send(refusal.too_large)
end

-- In content_by_lua*: the counters and fingerprints of all gateways, for Prometheus.
function _M.metrics()
  ngx.header["Content-Type"] = "text/plain; version=0.0.4"
  ngx.print(gateways.text_of_metrics())
end

return _M
