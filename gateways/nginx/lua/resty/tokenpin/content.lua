-- The kind and the coding of a body, by its headers.

local _M = {}

-- "json", "events", "multipart" or "other". Bodies without a type are JSON mostly.
function _M.kind(content_type)
  -- Most are so, and LuaJIT does not compile what reads the others.
  if not content_type or content_type == "application/json" then return "json" end
  local kind = content_type:match("^[ \t]*([^;,]-)[ \t]*[;,]") or content_type:match("^[ \t]*(.-)[ \t]*$")
  kind = kind:lower()
  if kind == "" or kind == "application/json" or kind:sub(-5) == "+json" then return "json" end
  if kind == "text/event-stream" then return "events" end
  return kind:sub(1, 10) == "multipart/" and "multipart" or "other"
end

-- Of all its `Content-Encoding`: a string, a list of such, or nil for none.
function _M.is_encoded(fields)
  if not fields then return false end
  local list = type(fields) == "table" and table.concat(fields, ",") or fields
  for coding in list:gmatch("[^, \t]+") do
    if coding:lower() ~= "identity" then return true end
  end
  return false
end

-- A reader of UTF-8, part by part: the table of well-formed sequences in chapter 3.9 of the Unicode
-- standard.
local Utf8 = {}
Utf8.__index = Utf8

function _M.utf8()
  return setmetatable({ valid = true, left = 0, low = 0x80, high = 0xbf }, Utf8)
end

function Utf8:read(part)
  if not self.valid or (self.left == 0 and not part:find("[\128-\255]")) then return end
  local left, low, high = self.left, self.low, self.high
  for i = 1, #part do
    local byte = part:byte(i)
    if left ~= 0 then
      if byte < low or byte > high then
        self.valid = false
        return
      end
      low, high, left = 0x80, 0xbf, left - 1
    elseif byte >= 0x80 then
      if byte < 0xc2 or byte > 0xf4 then
        self.valid = false
        return
      end
      left = byte < 0xe0 and 1 or byte < 0xf0 and 2 or 3
      low = byte == 0xe0 and 0xa0 or byte == 0xf0 and 0x90 or 0x80
      high = byte == 0xed and 0x9f or byte == 0xf4 and 0x8f or 0xbf
    end
  end
  self.left, self.low, self.high = left, low, high
end

return _M
