-- Strict JSON (RFC 8259) for configurations. Debian's cjson takes a list for an object, and of a
-- field that is given twice it keeps one.

local fail = require("resty.tokenpin.library").fail

local MAX_DEPTH = 64

local LIST, OBJECT = {}, {}

-- A number with a fraction or an exponent is no number of a configuration's, also if it is whole.
local _M = { null = setmetatable({}, { __tostring = function() return "null" end }), fraction = setmetatable({}, {}) }

-- Returns whether a value of a configuration is a list. An empty table that Lua made is both that
-- and an object.
function _M.is_list(value)
  if type(value) ~= "table" or value == _M.null then return false end
  local kind = getmetatable(value)
  if kind ~= nil then return kind == LIST end
  local count = 0
  for _ in pairs(value) do count = count + 1 end
  return count == #value
end

function _M.is_object(value)
  if type(value) ~= "table" or value == _M.null then return false end
  local kind = getmetatable(value)
  if kind ~= nil then return kind == OBJECT end
  for key in pairs(value) do
    if type(key) ~= "string" then return false end
  end
  return true
end

local ESCAPED = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t", ['"'] = '"', ["\\"] = "\\", ["/"] = "/" }

local function utf8(code)
  local function tail(shift) return 0x80 + math.floor(code / shift) % 64 end
  if code < 0x80 then return string.char(code) end
  if code < 0x800 then return string.char(0xc0 + math.floor(code / 64), tail(1)) end
  if code < 0x10000 then return string.char(0xe0 + math.floor(code / 4096), tail(64), tail(1)) end
  return string.char(0xf0 + math.floor(code / 262144), tail(4096), tail(64), tail(1))
end

function _M.decode(text)
  local at = 1
  local value

  local function refuse()
    local _, lines = text:sub(1, at - 1):gsub("\n", "")
    local line = text:sub(1, at - 1):match("[^\n]*$")
    fail("", ("no valid JSON at line %d, column %d"):format(lines + 1, #line + 1))
  end

  local function blanks()
    at = text:find("[^ \t\r\n]", at) or #text + 1
  end

  -- Steps over a byte, if it is the next one.
  local function take(byte)
    blanks()
    if text:sub(at, at) ~= byte then return false end
    at = at + 1
    return true
  end

  local function expect(byte)
    if not take(byte) then refuse() end
  end

  local function unicode()
    local digits = text:match("^u(%x%x%x%x)", at)
    if not digits then refuse() end
    at = at + 5
    return tonumber(digits, 16)
  end

  local function escaped()
    local letter = text:sub(at, at)
    if ESCAPED[letter] then
      at = at + 1
      return ESCAPED[letter]
    end
    local code = unicode()
    if code >= 0xdc00 and code < 0xe000 then refuse() end
    if code >= 0xd800 and code < 0xdc00 then
      if text:sub(at, at) ~= "\\" then refuse() end
      at = at + 1
      local low = unicode()
      if low < 0xdc00 or low >= 0xe000 then refuse() end
      code = 0x10000 + (code - 0xd800) * 0x400 + low - 0xdc00
    end
    return utf8(code)
  end

  local function a_string()
    expect('"')
    local parts = {}
    while true do
      local stop = text:find('[%c"\\]', at)
      if not stop then
        at = #text + 1
        refuse()
      end
      table.insert(parts, text:sub(at, stop - 1))
      at = stop
      local byte = text:sub(stop, stop)
      -- 0x7f is a control character to Lua, and none to JSON.
      if byte ~= '"' and byte ~= "\\" and byte ~= "\127" then refuse() end
      at = stop + 1
      if byte == '"' then return table.concat(parts) end
      table.insert(parts, byte == "\\" and escaped() or byte)
    end
  end

  local function a_number()
    local number = text:match("^-?%d+%.?%d*[eE]?[+-]?%d*", at)
    local plain = number and number:gsub("[eE][+-]?%d+$", "")
    if not number or number:match("^-?0%d") or not (plain:match("^-?%d+$") or plain:match("^-?%d+%.%d+$")) then
      refuse()
    end
    at = at + #number
    return number:match("^-?%d+$") and tonumber(number) or _M.fraction
  end

  local function path_of(path, name)
    return path == "" and name or path .. "." .. name
  end

  local function an_object(path, depth)
    local object = setmetatable({}, OBJECT)
    expect("{")
    if take("}") then return object end
    repeat
      blanks()
      local name = a_string()
      if object[name] ~= nil then fail(path_of(path, name), "is given twice") end
      expect(":")
      object[name] = value(path_of(path, name), depth)
    until not take(",")
    expect("}")
    return object
  end

  local function a_list(path, depth)
    local list = setmetatable({}, LIST)
    expect("[")
    if take("]") then return list end
    repeat
      table.insert(list, value(("%s[%d]"):format(path, #list), depth))
    until not take(",")
    expect("]")
    return list
  end

  function value(path, depth)
    blanks()
    if depth > MAX_DEPTH then refuse() end
    local first = text:sub(at, at)
    if first == "{" then return an_object(path, depth + 1) end
    if first == "[" then return a_list(path, depth + 1) end
    if first == '"' then return a_string() end
    local word = text:match("^%a+", at)
    if not word then return a_number() end
    if word ~= "true" and word ~= "false" and word ~= "null" then refuse() end
    at = at + #word
    if word == "null" then return _M.null end
    return word == "true"
  end

  local decoded = value("", 0)
  blanks()
  if at <= #text then refuse() end
  return decoded
end

local SHORT = { ['"'] = '\\"', ["\\"] = "\\\\" }

-- As it stands in a JSON string. The names of configured fields may be any text.
function _M.escape(text)
  return (text:gsub('[%z\1-\31"\\]', function(byte)
    return SHORT[byte] or ("\\u%04x"):format(byte:byte())
  end))
end

return _M
