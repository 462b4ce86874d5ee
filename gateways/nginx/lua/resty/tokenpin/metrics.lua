-- Counters, of all workers together, and Prometheus's text of them.
--
-- A worker counts in a table, and adds what is in it to the shared dictionary four times a second.
-- Counters outlive a reload.

local library = require "resty.tokenpin.library"

local OWN = {
  "ambiguous", "cookies_set", "cooldowns", "retries", "errors", "bad_tenants", "foreign_cookies", "ids_opened",
  "ids_plain", "ids_sealed", "echoes_lost", "bodies_not_understood", "bodies_not_read", "bodies_not_sealed",
  "bodies_refused", "bodies_too_large", "bodies_too_many", "upgrades_refused", "state_file_applied",
  "state_file_refused", "state_file_unknown", "secrets_applied", "secrets_refused",
}

local Metrics = {}
Metrics.__index = Metrics

local _M = {}

-- All names, in the order in which they are reported.
local NAMES = {}
-- Of a decision's field, by its value, the counter's name.
local OF_DECISION = {}
for _, each in ipairs(library.DECISION) do
  local names = {}
  for value = 0, #each.names do
    names[value] = each.field .. "_" .. each.names[value]
    table.insert(NAMES, names[value])
  end
  OF_DECISION[each.field] = names
end
for _, name in ipairs(OWN) do table.insert(NAMES, name) end

function _M.of(name, dict)
  local metrics = setmetatable({ prefix = name .. ":count:", dict = dict, counts = {} }, Metrics)
  for _, each in ipairs(NAMES) do metrics.counts[each] = 0 end
  return metrics
end

function Metrics:count(name, by)
  self.counts[name] = self.counts[name] + (by or 1)
end

function Metrics:count_decision(decision)
  -- Not in a loop: with a constant for a field's name the compiler knows the field.
  self:count(OF_DECISION.source[decision.source])
  self:count(OF_DECISION.outcome[decision.outcome])
  self:count(OF_DECISION.pin_state[decision.pin_state])
  self:count(OF_DECISION.verdict[decision.verdict])
  self:count(OF_DECISION.id_verdict[decision.id_verdict])
  self:count(OF_DECISION.key_reason[decision.key_reason])
  if decision.ambiguous ~= 0 then self:count("ambiguous") end
end

function Metrics:flush()
  for name, by in pairs(self.counts) do
    if by ~= 0 then
      -- Without room there, it stays for later.
      if self.dict:incr(self.prefix .. name, by, 0) then self.counts[name] = 0 end
    end
  end
end

-- Adds the lines of one gateway to those of others, by metric.
function Metrics:tell(label, lines)
  self:flush()
  for _, name in ipairs(NAMES) do
    lines[name] = lines[name] or {}
    table.insert(lines[name], ("tokenpin_%s%s %.0f\n"):format(name, label, self.dict:get(self.prefix .. name) or 0))
  end
end

function _M.text(lines, gauges)
  local text = {}
  local function add(kind, name, each)
    table.insert(text, ("# TYPE tokenpin_%s %s\n"):format(name, kind))
    table.insert(text, table.concat(each))
  end
  for _, name in ipairs(NAMES) do
    if lines[name] then add("counter", name, lines[name]) end
  end
  for _, name in ipairs { "config_fingerprint", "live_fingerprint" } do
    if gauges[name] then add("gauge", name, gauges[name]) end
  end
  return table.concat(text)
end

return _M
