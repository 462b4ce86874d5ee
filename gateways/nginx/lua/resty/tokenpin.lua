-- tokenpin in nginx: which token serves a request, and which cookie goes back. README.md says how to use it.
--
--   init_by_lua_block        { require("resty.tokenpin").setup("/etc/tokenpin.json") }
--   init_worker_by_lua_block { require("resty.tokenpin").init_worker() }
--   rewrite_by_lua_block     { require("resty.tokenpin").request() }
--   header_filter_by_lua_block, body_filter_by_lua_block, log_by_lua_block: header_filter(), body_filter(), log()

local ffi = require "ffi"
local build = require("resty.tokenpin.affinity").build
local content = require "resty.tokenpin.content"
local entropy = require "resty.tokenpin.entropy"
local fleet_of = require("resty.tokenpin.fleet").of
local headers = require "resty.tokenpin.headers"
local ids_of = require("resty.tokenpin.ids").of
local json = require "resty.tokenpin.json"
local library = require "resty.tokenpin.library"
local metrics = require "resty.tokenpin.metrics"
local refusal = require "resty.tokenpin.refusal"
local request = require "resty.tokenpin.request"
local response = require "resty.tokenpin.response"
local secrets = require "resty.tokenpin.secrets"
local settings_of = require "resty.tokenpin.settings"

local C, fail, SLOT_NONE = library.C, library.fail, library.SLOT_NONE
local OK = C.TOKENPIN_STATUS_OK
local LEAST_ERROR = settings_of.LEAST_ERROR

local INTERVAL = 0.25 -- seconds between looks at files
local MAX_FILE = 16 * 1024 * 1024
local DICT = "tokenpin"

local FOREIGN = ". If another tokenpin gateway in front of or behind this one made it, clients lose its sessions: give"
  .. " one of the two another cookie name (where none is set, a scope does). Said once; foreign_cookies counts all"

-- Headers that are of the bytes of a body.
local OF_THE_BYTES = { "content-length", "accept-ranges", "etag", unpack(headers.DIGESTS) }

local _M = { _VERSION = ffi.string(C.tokenpin_version()) }

-- Terms by name: those of gateways, and those of routes, which have an overlay.
local all_terms, gateways = {}, {}

local function terms_of(gateway, overlay)
  local own = gateway.settings and gateway.settings.request or {}
  local function pick(field)
    if overlay[field] ~= nil then return overlay[field] end
    return own[field]
  end
  return {
    gateway = gateway, settings = gateway.settings, overlay = overlay, scope = pick("scope"), group = pick("group"),
    existing = pick("existing"), mode = pick("sealed_ids") or C.TOKENPIN_MODE_OFF, observes = pick("observe") or false,
  }
end

-- A configuration as it was given: a table, or the path of a file with JSON.
local function configuration_of(given)
  if type(given) == "table" then return given end
  return json.decode(secrets.read_file(given, MAX_FILE) or fail("", "the file cannot be read: " .. tostring(given)))
end

-- Refuses to start, or to reload, with what is wrong, never with a secret.
local function checked(what, read)
  local ok, result = pcall(read)
  if ok then return result end
  if library.is_problem(result) then error(("tokenpin: %s refused: %s"):format(what, tostring(result)), 0) end
  error(result, 0)
end

local function fingerprint_of(gateway, now)
  local out = ffi.new("uint64_t[1]")
  if now then
    C.tokenpin_affinity_live_fingerprint(gateway.affinity, now, out)
  else
    C.tokenpin_affinity_fingerprint(gateway.affinity, out)
  end
  return out[0]
end

-- Applies the state file. At first a bad file refuses the configuration; later it changes nothing.
local function read_states(gateway)
  local settings = gateway.settings
  local text = secrets.read_file(settings.state_file, MAX_FILE) or fail("", "cannot be read")
  return settings_of.parse_states(text, settings)
end

local function first_states(gateway)
  local settings = gateway.settings
  if not settings.state_file then return end
  gateway.state_version = secrets.version_of(settings.state_file)
  if not gateway.state_version then
    ngx.log(ngx.WARN, "tokenpin: the state file is not there, states are as configured: ", settings.state_file)
    return
  end
  local ok, declared, unknown = pcall(read_states, gateway)
  if not ok and not library.is_problem(declared) then error(declared, 0) end
  if not ok then fail("state_file", tostring(declared)) end
  for _, name in ipairs(unknown) do
    ngx.log(ngx.WARN, "tokenpin: no such token: ", name, " in ", settings.state_file)
  end
  gateway.fleet.declared = declared
end

local function make_gateway(name, given)
  local settings = settings_of.parse(configuration_of(given))
  local gateway = { name = name, settings = settings, held = 0 }
  if not settings then
    ngx.log(ngx.NOTICE, "tokenpin: configuration accepted: no tokens, requests pass as they come: gateway ", name)
    return gateway
  end
  local dict = ngx.shared[DICT] or fail("", "nginx.conf needs lua_shared_dict " .. DICT)
  gateway.dict = dict
  gateway.affinity = build(settings)
  gateway.fleet = fleet_of(gateway.affinity, settings, name, dict)
  gateway.metrics = metrics.of(name, dict)
  first_states(gateway)
  gateway.fleet:follow(ngx.time())
  gateway.cookie_name = request.cookie_name(gateway.affinity, "")
  -- What is one connection's in this process must not be another's in the next.
  local seed = ffi.new("uint8_t[16]")
  entropy.fill(seed, 16)
  gateway.connection_seed = ffi.string(seed, 16)
  ngx.log(ngx.NOTICE, ("tokenpin: configuration accepted, scope %q: fingerprint %s, live %s"):format(
    settings.request.scope or "", bit.tohex(fingerprint_of(gateway), 16),
    bit.tohex(fingerprint_of(gateway, ngx.time()), 16)))
  return gateway
end

-- In init_by_lua*: a gateway by its configuration, which is a table or the path of a file with JSON. `name` is for those
-- who have several.
function _M.setup(configuration, name)
  name = name or "default"
  local gateway = checked("configuration", function() return make_gateway(name, configuration) end)
  gateways[name] = gateway
  all_terms[name] = terms_of(gateway, {})
end

-- In init_by_lua*: what a location has of its own: scope, group, existing, sealed_ids and observe.
function _M.route(overlay, route, gateway)
  all_terms[route] = checked("route configuration", function()
    return terms_of(gateways[gateway or "default"] or fail("", "no such gateway: " .. tostring(gateway)),
      settings_of.parse_overlay(configuration_of(overlay)))
  end)
end

-- All workers look at files. One of them tells what it found.
local function tell(gateway, level, counter, text)
  if ngx.worker.id() ~= 0 then return end
  ngx.log(level, "tokenpin: ", text)
  if counter then gateway.metrics:count(counter) end
end

local function check_state_file(gateway)
  local path = gateway.settings.state_file
  if not path then return end
  -- Taken before the file is read: what is written in between is seen the next time.
  local version = secrets.version_of(path)
  if version == gateway.state_version then return end
  gateway.state_version = version
  if not version then
    return tell(gateway, ngx.WARN, nil, "the state file is gone, states stay as they are: " .. path)
  end
  local ok, declared, unknown = pcall(read_states, gateway)
  if not ok then
    return tell(gateway, ngx.ERR, "state_file_refused",
      ("state file refused, states stay as they are: %s: %s"):format(path, tostring(declared)))
  end
  gateway.fleet:declare(declared, ngx.time())
  tell(gateway, ngx.NOTICE, "state_file_applied", "state file applied: " .. path)
  if #unknown ~= 0 then
    tell(gateway, ngx.WARN, "state_file_unknown", ("no such token: %s in %s"):format(table.concat(unknown, ", "), path))
  end
end

-- All secrets of a token together, so that no old one stands beside a new one.
local function check_secrets(gateway, token)
  local versions = {}
  for _, credential in ipairs(token.credentials) do
    if credential.file then table.insert(versions, secrets.version_of(credential.file) or "none") end
  end
  local version = table.concat(versions, ",")
  if version == "" or version == token.version then return end
  token.version = version
  local fresh = {}
  local function refuse(credential, wrong)
    tell(gateway, ngx.ERR, "secrets_refused",
      ("secrets refused, those of token %s stay as they are: %s: %s"):format(token.name, credential.name, wrong))
  end
  local is_changed = false
  for i, credential in ipairs(token.credentials) do
    fresh[i] = credential.value
    if credential.file then
      local secret = secrets.read_secret_file(credential.file)
      if not secret then return refuse(credential, "the file cannot be read") end
      local value, wrong = settings_of.header_value(credential.prefix, secret)
      if wrong then return refuse(credential, wrong) end
      is_changed = is_changed or value ~= credential.value
      fresh[i] = value
    end
  end
  if not is_changed then return end
  for i, credential in ipairs(token.credentials) do credential.value = fresh[i] end
  tell(gateway, ngx.NOTICE, "secrets_applied", "secrets applied: token " .. token.name)
end

local function look_after(is_ending)
  for _, gateway in pairs(gateways) do
    if gateway.settings then
      if not is_ending then
        check_state_file(gateway)
        for _, token in pairs(gateway.settings.tokens) do check_secrets(gateway, token) end
        gateway.fleet:end_cooldowns(ngx.time())
      end
      gateway.metrics:flush()
    end
  end
end

-- In init_worker_by_lua*.
function _M.init_worker()
  entropy.forget()
  assert(ngx.timer.every(INTERVAL, look_after))
end

-- Exchanges by number, for requests that nginx redirects within itself: what it keeps for Lua (ngx.ctx) is lost
-- there, variables are not. When all is done, $tokenpin may tell the access log of the decision.
local exchanges, last_number = setmetatable({}, { __mode = "v" }), 0
local has_variable = true

local function write_number(number)
  ngx.var.tokenpin = number
end

local function remember(exchange)
  ngx.ctx.tokenpin = exchange
  if not has_variable or ngx.is_subrequest then return end
  last_number = last_number + 1
  exchanges[last_number] = exchange
  has_variable = pcall(write_number, last_number)
  if not has_variable then
    ngx.log(ngx.WARN, "tokenpin: no log_format has $tokenpin: what is redirected within nginx is forgotten")
  end
end

local function recall()
  local exchange = ngx.ctx.tokenpin
  if exchange or not has_variable or ngx.is_subrequest or not ngx.req.is_internal() then return exchange end
  exchange = exchanges[tonumber(ngx.var.tokenpin or "")]
  ngx.ctx.tokenpin = exchange
  return exchange
end

local function describe(exchange)
  local parts = {}
  for _, each in ipairs(library.DECISION) do
    table.insert(parts, each.field .. "=" .. each.names[exchange.decision[each.field]])
  end
  local slot = exchange.decision.slot
  if slot ~= SLOT_NONE then table.insert(parts, ("slot=%.0f"):format(slot)) end
  return table.concat(parts, ", ")
end

-- Answers the request, and does not return.
local function refuse(exchange, with)
  exchange.terms = nil
  if exchange.ids then exchange.ids:let_go() end
  exchange.ids = nil
  return refusal.send(with, exchange.headers_of_refusal)
end

local function opens(exchange)
  return exchange.terms.mode ~= C.TOKENPIN_MODE_OFF and not exchange.terms.observes
end

-- Of a request that cannot be decided.
local function fail_request(exchange, status)
  local terms = exchange.terms
  local is_tenant = status == C.TOKENPIN_STATUS_SCOPE_LENGTH
  terms.gateway.metrics:count(is_tenant and "bad_tenants" or "errors")
  if not is_tenant then
    ngx.log(ngx.ERR, "tokenpin: cannot decide: ", library.name(C.TOKENPIN_ENUM_STATUS, status))
  end
  if terms.observes then
    exchange.terms = nil
    return
  end
  return refuse(exchange, is_tenant and refusal.bad_tenant or refusal.error)
end

-- Whether there may be a body: over HTTP/2 only its end would tell.
local function has_body(exchange)
  if exchange.has_upgrade then return false end
  local length = exchange.headers["content-length"]
  if length then return length ~= "0" end
  return exchange.headers["transfer-encoding"] ~= nil or ngx.req.http_version() >= 2
end

-- Nobody sees the ids in a WebSocket's frames, nor a body behind another upgrade. Clients that are told so ask by
-- requests instead.
local function refuses_upgrade(exchange)
  if not opens(exchange) or (exchange.is_handshake and not exchange.ids:has_state()) then return false end
  return exchange.terms.mode ~= C.TOKENPIN_MODE_OPEN or exchange.terms.settings.refuse_upgrades
end

-- A body that cannot be read passes, unless the mode says that it might hide what counts.
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

-- A body of `size` bytes is too much for the gateway. Most clients read an answer only when they have sent everything:
-- up to a bound, they may.
local function give_up(exchange, size, counter, with)
  local is_refused = opens(exchange)
  exchange.terms.gateway.metrics:count(is_refused and counter or "bodies_not_read")
  if not is_refused then return end
  if size <= 2 * exchange.terms.settings.max_body then ngx.req.read_body() end
  return refuse(exchange, with)
end

-- How much of a body is announced counts among what is held, until it was read or the request has ended.
local function hold(exchange, size)
  local gateway = exchange.terms.gateway
  gateway.held = gateway.held + size - (exchange.held or 0)
  exchange.held = size
end

-- Reads the ids of the target, and of the body, for which nginx waits. Afterwards the request may be answered.
local function read_ids(exchange, read)
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
  if not has_body(exchange) then return end
  local given = exchange.headers
  local function first(name)
    local value = rawget(given, name)
    return type(value) == "table" and value[1] or value
  end
  local kind = content.kind(first("content-type"))
  if kind ~= "json" or content.is_encoded(rawget(given, "content-encoding")) then return check_unread(exchange, kind) end
  local announced = tonumber(first("content-length")) or 0
  if announced > settings.max_body then return give_up(exchange, announced, "bodies_too_large", refusal.too_large) end
  if announced > settings.max_held - gateway.held then
    return give_up(exchange, announced, "bodies_too_many", refusal.too_many)
  end
  hold(exchange, announced)
  exchange.has_waited = true
  ngx.req.read_body()
  hold(exchange, 0)
  local size = ids:read_body()
  if not size then
    ngx.log(ngx.ERR, "tokenpin: cannot read the body that nginx has written: ", ngx.req.get_body_file())
    gateway.metrics:count("errors")
    if not terms.observes then return refuse(exchange, refusal.error) end
  elseif size > settings.max_body then
    ids.edits = {}
    return give_up(exchange, size, "bodies_too_large", refusal.too_large)
  elseif terms.mode == C.TOKENPIN_MODE_STRICT and opens(exchange) and (ids.unexpected ~= 0 or not ids.utf8.valid) then
    gateway.metrics:count("bodies_refused")
    return refuse(exchange, refusal.unreadable)
  end
end

local function count(exchange)
  local count_in, ids = exchange.terms.gateway.metrics, exchange.ids
  count_in:count_decision(exchange.decision)
  if not ids then return end
  local report = ids:report()
  count_in:count("ids_opened", report.opened)
  count_in:count("ids_plain", report.plain)
  count_in:count("echoes_lost", report.echoes_lost)
  count_in:count("bodies_not_understood", ids.unexpected)
end

-- A cookie of our name that another made is gone for whoever made it.
local function note_foreign(gateway, where, what)
  gateway.metrics:count("foreign_cookies")
  -- Of all workers one says so.
  if not gateway.dict:safe_add(gateway.name .. ":told:" .. where, true) then return end
  ngx.log(ngx.WARN, "tokenpin: removed from a ", where, " ", what, FOREIGN)
end

-- The request as the account knows it.
local function put_opened(exchange)
  local ids = exchange.ids
  if exchange.opens_target then
    local query = ngx.var.args
    local target = ngx.escape_uri(ngx.var.uri, 0) .. (query and "?" .. query or "")
    request.set_target(ids:open_rewritten(target))
  end
  -- The ids in a compressed response cannot be seen.
  if ids:seals() and not ids.is_download then ngx.req.set_header("Accept-Encoding", "identity") end
  if ids.edits and ids:put_body() then
    for _, name in ipairs(headers.DIGESTS) do ngx.req.clear_header(name) end
  end
end

local function serve(exchange)
  local terms, decision = exchange.terms, exchange.decision
  local scope = exchange.scope
  local name = scope == "" and terms.gateway.cookie_name or request.cookie_name(terms.gateway.affinity, scope)
  exchange.cookie_name, exchange.serving = name, true
  request.strip_cookies(exchange, terms, name)
  -- Nobody speaks it here, and behind an upstream's 101 no id would be seen.
  if exchange.is_h2c then ngx.req.clear_header("Upgrade") end
  local verdict = decision.verdict
  if verdict == C.TOKENPIN_VERDICT_UNKNOWN_KEY or verdict == C.TOKENPIN_VERDICT_BAD_TAG then
    note_foreign(terms.gateway, "request", ("a cookie named %s that no key of this configuration made (%s)"):format(name,
      library.name(C.TOKENPIN_ENUM_VERDICT, verdict)))
  end
  request.drop_when_moved(terms.settings.drop_when_moved, decision)
  request.put_credentials(terms.settings.tokens[decision.slot].credentials)
  if exchange.ids then put_opened(exchange) end
end

-- In rewrite_by_lua*, or in access_by_lua* behind what authenticates: decides which token serves the request, and makes
-- it that token's. Where none may serve, it answers, and does not return. `name` is of a gateway or a route.
function _M.request(name)
  if recall() then return end
  local terms = all_terms[name or "default"] or error("tokenpin: no such gateway or route: " .. tostring(name), 2)
  if not terms.settings then return end
  -- HTTP/0.9 has no headers, and Lua can set none: it would go on without credentials.
  if not terms.observes and (ngx.req.http_version() or 1) < 1 then return ngx.exit(ngx.HTTP_BAD_REQUEST) end
  local exchange = request.of_client()
  exchange.terms = terms
  remember(exchange)
  terms.gateway.fleet:follow(ngx.time())
  local read = request.read(exchange, terms)
  if not read then return fail_request(exchange, C.TOKENPIN_STATUS_SCOPE_LENGTH) end
  read_ids(exchange, read)
  -- Others came by meanwhile, and used what `read` fills.
  if exchange.has_waited then
    terms.gateway.fleet:follow(ngx.time())
    request.read(exchange, terms)
  end
  local status = request.decide(exchange, terms, exchange.decision)
  if status ~= OK then return fail_request(exchange, status) end
  count(exchange)
  local header = terms.settings.response_header
  if not terms.observes and exchange.decision.slot == SLOT_NONE then
    if header then exchange.headers_of_refusal = { [header] = describe(exchange) } end
    local report = exchange.ids and exchange.ids:report()
    return refuse(exchange, refusal.of(exchange.decision, terms.gateway.affinity, report))
  end
  if not terms.observes then serve(exchange) end
  local ids = exchange.ids
  if not ids then return end
  -- What is not read any more is not kept.
  ids:forget_body()
  ids.is_done = not ids:seals() or exchange.decision.slot == SLOT_NONE
end

-- Whether the answer of the token may be followed by another token's: decides for that, as if it had come already.
local function prepare_next(exchange)
  local terms = exchange.terms
  local retry = terms.settings.retry
  if not retry or exchange.tries >= retry.max or exchange.decision.may_move == 0 then return false end
  terms.gateway.fleet:follow(ngx.time())
  if not request.read(exchange, terms) then return false end
  exchange.tried = exchange.tried or {}
  exchange.tries = exchange.tries + 1
  exchange.tried[exchange.tries] = exchange.decision.slot
  exchange.next = exchange.next or ffi.new("struct tokenpin_decision")
  local status = request.decide(exchange, terms, exchange.next)
  exchange.tries = exchange.tries - 1
  -- Without another token nothing may move: the answer that is there is better than none.
  return status == OK and exchange.next.may_move ~= 0
end

local function begin_next(exchange, balancer)
  local terms, decision = exchange.terms, exchange.decision
  local slot = decision.slot
  local _, status = balancer.get_last_failure()
  response.cool_down(terms, slot, status, response.field_of_upstream)
  exchange.tries = exchange.tries + 1
  exchange.decision, exchange.next = exchange.next, decision
  count(exchange)
  terms.gateway.metrics:count("retries")
  request.put_credentials(terms.settings.tokens[exchange.decision.slot].credentials)
  assert(balancer.recreate_request())
end

-- In balancer_by_lua*, in front of `set_current_peer`: where nginx tries again (proxy_next_upstream), the next token
-- serves.
function _M.balancer()
  local balancer = require "ngx.balancer"
  local exchange = ngx.ctx.tokenpin
  if not exchange or not exchange.serving then return end
  local state, status = balancer.get_last_failure()
  if state then
    -- A connection that failed says nothing of the token.
    local times = ngx.var.upstream_header_time or "-"
    local has_answered = times:match("[^, :]+$") ~= "-"
    if not exchange.may_follow or not has_answered or not exchange.terms.settings.retry.statuses[status] then return end
    begin_next(exchange, balancer)
  end
  exchange.may_follow = prepare_next(exchange)
  if exchange.may_follow then balancer.set_more_tries(1) end
end

-- A response begins to go to the client. What its headers say of its body, and what is not right any more once ids are
-- sealed in it, is taken off.
local function begin_sealing(exchange)
  local ids, terms = exchange.ids, exchange.terms
  if not ids or ids.is_done or not response.is_from_upstream() then return end
  ids.upstream = ngx.var.tokenpin_upstream or ""
  local slot = exchange.decision.slot
  local kind = content.kind(ngx.header["Content-Type"])
  local seals = ids:seals_body(ngx.status, kind)
  if seals and content.is_encoded(response.field("content-encoding")) then
    terms.gateway.metrics:count("bodies_not_sealed")
    seals = false
  end
  if seals and not ids.is_head then ids:begin_sealing(kind) end
  if terms.observes then return end
  for _, name in ipairs(headers.LOCATIONS) do
    local target = ngx.header[name]
    local sealed = type(target) == "string" and ids:seal_target(target, slot)
    if sealed then ngx.header[name] = sealed end
  end
  -- Of a response without a body they say what is true.
  if not seals or ngx.header["Content-Length"] == "0" then return end
  for _, name in ipairs(OF_THE_BYTES) do
    local value = ngx.header[name]
    if type(value) ~= "string" or value:sub(1, 2) ~= "W/" then ngx.header[name] = nil end
  end
end

-- In header_filter_by_lua*.
function _M.header_filter()
  local exchange = recall()
  local terms = exchange and exchange.terms
  if not terms then return end
  if not exchange.serving then return begin_sealing(exchange) end
  local settings, decision, status = terms.settings, exchange.decision, ngx.status
  if settings.response_header then ngx.header[settings.response_header] = describe(exchange) end
  local given, kept = response.others_cookies(exchange.cookie_name)
  local carrier = settings.carrier_header
  local carries = carrier and ngx.header[carrier] ~= nil
  -- Most responses leave nothing to do: it does not matter where they came from.
  if status < LEAST_ERROR and decision.cookie == 0 and not (given and kept) and not carries then
    return begin_sealing(exchange)
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
  begin_sealing(exchange)
end

-- In body_filter_by_lua*.
function _M.body_filter()
  local exchange = ngx.ctx.tokenpin
  local ids = exchange and exchange.ids
  if not ids or not ids.sealer then return end
  local is_last = ngx.arg[2]
  local sealed = ids:seal(ngx.arg[1], is_last, exchange.decision.slot)
  if sealed and not exchange.terms.observes then ngx.arg[1] = sealed end
end

-- In log_by_lua*.
function _M.log()
  local exchange = recall()
  local terms = exchange and exchange.terms
  if not terms then return end
  if terms.settings.metadata and has_variable and not ngx.is_subrequest then
    local slot = exchange.decision.slot
    local token = slot ~= SLOT_NONE and terms.settings.tokens[slot]
    ngx.var.tokenpin = describe(exchange) .. (token and ", token=" .. token.name or "")
  end
  if exchange.held then hold(exchange, 0) end
  local ids = exchange.ids
  if not ids then return end
  if exchange.decision.slot ~= SLOT_NONE then
    terms.gateway.metrics:count("ids_sealed", ids.changed)
    terms.gateway.metrics:count("bodies_not_understood", ids.unexpected)
  end
  exchange.ids = nil
  ids:let_go()
end

-- In content_by_lua* of a location for error_page 413: nginx's own limits in the gateway's words.
function _M.too_large()
  return refusal.send(refusal.too_large)
end

-- In content_by_lua*: the counters and fingerprints of all gateways, for Prometheus.
function _M.metrics()
  local lines, gauges, now = {}, {}, ngx.time()
  for name, gateway in pairs(gateways) do
    if gateway.settings then
      local label = ('{gateway="%s"}'):format(json.escape(name))
      gateway.metrics:tell(label, lines)
      gateway.fleet:follow(now)
      for gauge, value in pairs {
        config_fingerprint = fingerprint_of(gateway), live_fingerprint = fingerprint_of(gateway, now),
      } do
        gauges[gauge] = gauges[gauge] or {}
        local line = "tokenpin_%s%s %s\n"
        table.insert(gauges[gauge], line:format(gauge, label, (tostring(value):gsub("ULL$", ""))))
      end
    end
  end
  ngx.header["Content-Type"] = "text/plain; version=0.0.4"
  ngx.print(metrics.text(lines, gauges))
end

-- Sets a token's state in all workers: { state = "draining", weight = 0, ["until"] = 0 }, each as in the configuration,
-- and what is left out is as declared. Nil takes that back. What is wrong is thrown.
function _M.set_state(token, status, gateway)
  local of = gateways[gateway or "default"]
  return checked("state", function()
    if not of or not of.settings then fail("", "no such gateway") end
    for slot, each in pairs(of.settings.tokens) do
      if each.name == token then
        return of.fleet:set(slot, status and settings_of.parse_status(status, of.fleet.declared[slot]), ngx.time())
      end
    end
    fail("", "no such token")
  end)
end

return _M
