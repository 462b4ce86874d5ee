-- The gateways of this nginx, by name: each is a configuration at work.

local ffi = require "ffi"
local build = require("resty.tokenpin.affinity").build
local entropy = require "resty.tokenpin.entropy"
local fleet_of = require("resty.tokenpin.fleet").of
local json = require "resty.tokenpin.json"
local keeper = require "resty.tokenpin.keeper"
local library = require "resty.tokenpin.library"
local metrics = require "resty.tokenpin.metrics"
local request = require "resty.tokenpin.request"
local secrets = require "resty.tokenpin.secrets"
local settings_of = require "resty.tokenpin.settings"
local tokens = require "resty.tokenpin.tokens"

local C, fail = library.C, library.fail

local DICT = "tokenpin"

local gateways = {}

-- Terms by name: those of gateways, and those of routes, which have an overlay.
local _M = { terms = {} }

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
  local text = secrets.read_file(given, secrets.MAX_FILE)
  return json.decode(text or fail("", "the file cannot be read: " .. tostring(given)))
end

-- Refuses to start, or to reload, with the reason, never with a secret.
local function checked(subject, read)
  local ok, result = pcall(read)
  if ok then return result end
  if library.is_problem(result) then error(("tokenpin: %s refused: %s"):format(subject, tostring(result)), 0) end
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

local function make(name, given)
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
  keeper.begin(gateway)
  gateway.fleet:follow(ngx.time())
  gateway.cookie_name = request.cookie_name(gateway.affinity, "")
  -- One connection's hint in this process must not be another's in the next.
  local seed = ffi.new("uint8_t[16]")
  entropy.fill(seed, 16)
  gateway.connection_seed = ffi.string(seed, 16)
  ngx.log(ngx.NOTICE, ("tokenpin: configuration accepted, scope %q: fingerprint %s, live %s"):format(
    settings.request.scope or "", bit.tohex(fingerprint_of(gateway), 16),
    bit.tohex(fingerprint_of(gateway, ngx.time()), 16)))
  return gateway
end

-- Makes a gateway of a table, or of a file with JSON.
function _M.setup(configuration, name)
  name = name or "default"
  local gateway = checked("configuration", function() return make(name, configuration) end)
  gateways[name] = gateway
  _M.terms[name] = terms_of(gateway, {})
end

-- Gives a location its own scope, group, existing, sealed_ids and observe.
function _M.route(overlay, route, gateway)
  _M.terms[route] = checked("route configuration", function()
    return terms_of(gateways[gateway or "default"] or fail("", "no such gateway: " .. tostring(gateway)),
      settings_of.parse_overlay(configuration_of(overlay)))
  end)
end

-- Looks after the files, cooldowns and counters of all gateways.
function _M.look_after(is_ending)
  for _, gateway in pairs(gateways) do
    if gateway.settings then
      if not is_ending then
        keeper.look(gateway)
        gateway.fleet:end_cooldowns(ngx.time())
      end
      gateway.metrics:flush()
    end
  end
end

-- The counters and fingerprints of all gateways, for Prometheus.
function _M.text_of_metrics()
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
  return metrics.text(lines, gauges)
end

-- Sets a token's state in all workers.
function _M.set_state(token, status, name)
  local gateway = gateways[name or "default"]
  return checked("state", function()
    if not gateway or not gateway.settings then fail("", "no such gateway") end
    for slot, each in pairs(gateway.settings.tokens) do
      if each.name == token then
        local fleet = gateway.fleet
        return fleet:set(slot, status and tokens.parse_status(status, fleet.declared[slot]), ngx.time())
      end
    end
    fail("", "no such token")
  end)
end

return _M
