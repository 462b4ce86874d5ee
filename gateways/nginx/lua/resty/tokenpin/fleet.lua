-- The tokens' live states: what is declared, and what cools down. All workers share them, in the dictionary
-- `lua_shared_dict tokenpin`, which outlives a reload.
--
-- A request reads the affinity, which is changed one atomic word at a time. A change is written to the dictionary,
-- and a number there tells all workers to read it again with their next request.

local ffi = require "ffi"
local library = require "resty.tokenpin.library"

local C = library.C

local Fleet = {}
Fleet.__index = Fleet

local _M = {}

local word = ffi.new("struct tokenpin_slot_status")

-- `declared` are statuses by slot; the affinity has those of the settings.
function _M.of(affinity, settings, name, dict)
  local fleet = setmetatable({
    affinity = affinity, tokens = settings.tokens, capacity = settings.capacity, dict = dict,
    prefix = name .. ":", version = false, declared = {}, live = {},
  }, Fleet)
  fleet.version_key = fleet.prefix .. "version"
  for slot, token in pairs(settings.tokens) do fleet.declared[slot] = token.status end
  return fleet
end

local function text_of(status)
  return ("%d %d %.0f"):format(status.state, status.weight, status["until"])
end

local function status_of(text)
  local state, weight, until_ = text:match("^(%d+) (%d+) (%d+)$")
  return { state = tonumber(state), weight = tonumber(weight), ["until"] = tonumber(until_) }
end

local function is_up(status, now)
  return status.state == C.TOKENPIN_STATE_UP or (status["until"] ~= 0 and now >= status["until"])
end

-- What counts of a slot but for cooldowns: what somebody has set, else what is declared.
function Fleet:base(slot)
  local set = self.dict:get(self.prefix .. "set:" .. self.tokens[slot].name)
  return set and status_of(set) or self.declared[slot]
end

-- The live status of a slot, and whether that is a cooldown. One belongs to what was declared when it began: a change
-- of that ends it.
function Fleet:status(slot, now)
  local base = self:base(slot)
  local cooling = self.dict:get(self.prefix .. "cooling:" .. self.tokens[slot].name)
  if cooling then
    local status, of = cooling:match("^(.-) of (.*)$")
    status = status_of(status)
    if of == text_of(base) and now < status["until"] then return status, true end
  end
  return base, false
end

function Fleet:put(slot, status)
  local text = text_of(status)
  if self.live[slot] == text then return end
  word.state, word.weight, word["until"] = status.state, status.weight, status["until"]
  -- Cannot be refused: the slot is in range, and the numbers are checked.
  C.tokenpin_affinity_set_slot(self.affinity, slot, word)
  self.live[slot] = text
end

-- Reads all again. Where a cooldown is over, that puts back what is declared. (Until then an ended one counts as up,
-- also where draining is declared.)
function Fleet:refresh(now)
  for slot in pairs(self.tokens) do self:put(slot, (self:status(slot, now))) end
end

-- Before each decision: takes over what another worker has changed.
function Fleet:follow(now)
  local version = self.dict:get(self.version_key)
  if version == self.version then return end
  self.version = version
  self:refresh(now)
end

-- Nothing else is put out for it.
function Fleet:write(key, text, seconds)
  local ok, wrong = self.dict:safe_set(self.prefix .. key, text, seconds)
  if not ok then ngx.log(ngx.ERR, "tokenpin: other workers cannot be told: ", wrong) end
  self.dict:incr(self.version_key, 1, 0)
end

-- A response asks for `state` until a unix second. False if the token keeps what it has: a cooldown makes no state
-- better, and lengthens only another cooldown to the same state. The last token that is up may drain too: where all
-- drain, newcomers are spread over them.
function Fleet:cool(slot, state, until_, now)
  local live, cooling = self:status(slot, now)
  if not is_up(live, now) then
    -- Down is worse than draining; of two that are as bad the longer one counts.
    if live.state ~= state and state ~= C.TOKENPIN_STATE_DOWN then return false end
    if live.state == state and (not cooling or live["until"] >= until_) then return false end
  end
  local status = { state = state, weight = live.weight, ["until"] = until_ }
  self:put(slot, status)
  local of = text_of(self:base(slot))
  self:write("cooling:" .. self.tokens[slot].name, text_of(status) .. " of " .. of, until_ - now)
  return true
end

-- What a state file says, by slot.
function Fleet:declare(declared, now)
  self.declared = declared
  self:refresh(now)
end

-- An operator's wish for a token, nil for none: it stands above what is declared, and outlives a reload.
function Fleet:set(slot, status, now)
  self:write("set:" .. self.tokens[slot].name, status and text_of(status), 0)
  self:refresh(now)
end

-- What is true of the tokens now, by slot.
function Fleet:statuses(now)
  local statuses = {}
  for slot in pairs(self.tokens) do statuses[slot] = self:status(slot, now) end
  return statuses
end

return _M
