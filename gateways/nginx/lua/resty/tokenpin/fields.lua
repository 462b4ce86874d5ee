-- Reading the fields of one object of a configuration. A mistake is thrown, with its path.

local json = require "resty.tokenpin.json"
local library = require "resty.tokenpin.library"

local C, fail = library.C, library.fail

-- Some headers carry the message itself, or are looked after otherwise.
local OTHERS = {
  connection = true, ["content-length"] = true, cookie = true, host = true, ["set-cookie"] = true, te = true,
  ["transfer-encoding"] = true, upgrade = true,
}

local Fields = {}
Fields.__index = Fields

local _M = {}

function _M.of(value, path)
  if not json.is_object(value) then fail(path, "expected an object") end
  return setmetatable({ value = value, path = path, known = {} }, Fields)
end

function Fields:at(name)
  return self.path == "" and name or self.path .. "." .. name
end

-- The value of a field, nil if it is not there.
function Fields:find(name)
  self.known[name] = true
  return self.value[name]
end

function Fields:require(name)
  local value = self:find(name)
  if value == nil then fail(self:at(name), "is required") end
  return value
end

function Fields:bool(name, default)
  local value = self:find(name)
  if value == nil then return default end
  if type(value) ~= "boolean" then fail(self:at(name), "expected true or false") end
  return value
end

function _M.text(value, path)
  if type(value) ~= "string" then fail(path, "expected a string") end
  if value:find("%z") then fail(path, "has a zero byte") end
  return value
end

function Fields:string(name, default)
  local value = self:find(name)
  if value == nil then return default end
  return _M.text(value, self:at(name))
end

-- A whole number, also as a string of digits. Beyond 2^53 a number of Lua's is not exact.
function _M.number(value, path, min, max)
  local number = type(value) == "string" and value:match("^%d+$") and tonumber(value) or value
  if type(number) ~= "number" or number % 1 ~= 0 or number < min or number > max then
    fail(path, ("expected a whole number, %d to %.0f"):format(min, max))
  end
  return number
end

function Fields:number(name, min, max, default)
  local value = self:find(name)
  if value == nil then return default end
  return _M.number(value, self:at(name), min, max)
end

-- In lower case, as nginx reports them. RFC 9110 section 5.6.2.
function _M.header_name(value, path)
  if type(value) ~= "string" then fail(path, "expected a string") end
  if not value:find("^[%w!#$%%&'*+.^_`|~-]+$") then fail(path, "expected a header's name") end
  return value:lower()
end

-- The same for a header that the gateway changes.
function _M.own_header_name(value, path)
  local name = _M.header_name(value, path)
  if OTHERS[name] then fail(path, "is not for the gateway to set") end
  return name
end

-- A header's name, as `read` reads it; nil if there is none.
function Fields:header(name, read)
  local value = self:find(name)
  return value ~= nil and read(value, self:at(name)) or nil
end

-- Reads one of the library's names, as its number.
function Fields:enum(name, which, default)
  local value = self:find(name)
  if value == nil then return default end
  local expected = {}
  local names = library.names(which)
  for number = 0, #names do
    -- The list of tokens says which slots are vacant.
    if which ~= C.TOKENPIN_ENUM_STATE or number ~= C.TOKENPIN_STATE_VACANT then
      if value == names[number] then return number end
      table.insert(expected, names[number])
    end
  end
  fail(self:at(name), "expected one of " .. table.concat(expected, ", "))
end

-- Returns what `read` makes of each element and its path; nil without a list.
function Fields:list(name, read)
  local value = self:find(name)
  if value == nil then return nil end
  if not json.is_list(value) then fail(self:at(name), "expected a list") end
  local results = {}
  for i, element in ipairs(value) do
    results[i] = read(element, ("%s[%d]"):format(self:at(name), i - 1))
  end
  return results
end

function Fields:refuse_empty(name)
  local value = self:find(name)
  if value ~= nil and next(value) == nil then fail(self:at(name), "is empty") end
end

function Fields:refuse_others()
  local others = {}
  for name in pairs(self.value) do
    if not self.known[name] then table.insert(others, name) end
  end
  table.sort(others)
  if others[1] then fail(self:at(others[1]), "unknown field") end
end

return _M
