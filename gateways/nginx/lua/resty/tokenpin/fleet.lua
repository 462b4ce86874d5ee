-- The tokens' live states: declared, set by an operator, or cooling down. All workers share them,
-- in the dictionary `lua_shared_dict tokenpin`, which outlives a reload.
--
-- A request reads the affinity, which is changed one atomic word at a time. A change is written to
-- the dictionary under the next number, and each worker takes over with its next request what has a
-- number that it has not seen.

local ffi = require "ffi"
local library = require "resty.tokenpin.library"

local C = library.C

local Fleet = {}
Fleet.__index = Fleet

local _M = {}

-- The number of changes that are followed one by one, and the seconds for which they are kept.
-- Beyond that all is read again.
local MOST_CHANGES, KEPT = 64, 60

local word = ffi.new("struct tokenpin_slot_status")

-- `declared` are statuses by slot; the affinity has those of the settings.
function _M.of(affinity, settings, name, dict)
  local fleet = setmetatable({
    affinity = affinity, tokens = settings.tokens, capacity = settings.capacity, dict = dict,
    prefix = name .. ":", version = false, declared = {}, live = {}, cooling = {}, slots = {},
  }, Fleet)
  fleet.version_key = fleet.prefix .. "version"
  for slot, token in pairs(settings.tokens) do
    fleet.declared[slot], fleet.slots[token.name] = token.status, slot
  end
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

-- The status of a slot without cooldowns: the one that an operator has set, else the declared one.
function Fleet:base(slot)
  local set = self.dict:get(self.prefix .. "set:" .. self.tokens[slot].name)
  return set and status_of(set) or self.declared[slot]
end

-- The live status of a slot, and whether that is a cooldown. One belongs to what was declared when
-- it began: a change of that ends it.
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

function Fleet:update(slot, now)
  local status, is_cooling = self:status(slot, now)
  self:put(slot, status)
  self.cooling[slot] = is_cooling or nil
end

function Fleet:update_all(now)
  for slot in pairs(self.tokens) do self:update(slot, now) end
end

-- Puts back what is declared where a cooldown is over. (Until then an ended one counts as up, also
-- where draining is declared.)
function Fleet:end_cooldowns(now)
  for slot in pairs(self.cooling) do self:update(slot, now) end
end

-- Before each decision: takes over what other workers have changed.
function Fleet:follow(now)
  local version, seen = self.dict:get(self.version_key) or 0, self.version
  if version == seen then return end
  self.version = version
  if not seen or version < seen or version - seen > MOST_CHANGES then return self:update_all(now) end
  for number = seen + 1, version do
    local name = self.dict:get(self.prefix .. "change:" .. number)
    -- One that is not written yet, or too old.
    if not name then return self:update_all(now) end
    -- A worker of another configuration may know more tokens.
    if self.slots[name] then self:update(self.slots[name], now) end
  end
end

-- Writes a text about a slot; nil takes it back. No other entry is evicted for it.
function Fleet:write(kind, slot, text, seconds)
  local ok, wrong = self.dict:safe_set(self.prefix .. kind .. self.tokens[slot].name, text, seconds)
  if not ok then ngx.log(ngx.ERR, "tokenpin: other workers cannot learn of it: ", wrong) end
  local number = self.dict:incr(self.version_key, 1, 0)
  if number then self.dict:safe_set(self.prefix .. "change:" .. number, self.tokens[slot].name, KEPT) end
end

-- A response asks for `state` until a unix second. False if the token keeps what it has: a cooldown
-- makes no state better, and lengthens only another cooldown to the same state. The last token that
-- is up may drain too: where all drain, newcomers are spread over them.
function Fleet:cool(slot, state, until_, now)
  local live, cooling = self:status(slot, now)
  if not is_up(live, now) then
    -- Down is worse than draining; of two that are as bad the longer one counts.
    if live.state ~= state and state ~= C.TOKENPIN_STATE_DOWN then return false end
    if live.state == state and (not cooling or live["until"] >= until_) then return false end
  end
  local status = { state = state, weight = live.weight, ["until"] = until_ }
  self:write("cooling:", slot, text_of(status) .. " of " .. text_of(self:base(slot)), until_ - now)
  self:update(slot, now)
  return true
end

-- Takes the statuses of a state file, by slot.
function Fleet:declare(declared, now)
  self.declared = declared
  self:update_all(now)
end

-- Sets an operator's status of a token; nil takes it back. It stands above the declared one, and
-- outlives a reload.
function Fleet:set(slot, status, now)
  self:write("set:", slot, status and text_of(status), 0)
  self:update(slot, now)
end

return _M
