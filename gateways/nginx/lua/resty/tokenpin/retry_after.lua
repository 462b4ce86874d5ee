-- The time for which an upstream asks to be left alone.

local _M = {}

local MONTHS = {}
for number, name in ipairs { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" } do
  MONTHS[name] = number
end

-- Digits, which may have a decimal point and digits behind it: rounded up.
local function read_decimal(text)
  local whole = text and (text:match("^%d+$") or text:match("^%d+%.%d+$"))
  return whole and math.ceil(tonumber(whole))
end

-- Days from 1970 to a day of the Gregorian calendar.
local function days_to(year, month, day)
  if month <= 2 then
    year, month = year - 1, month + 12
  end
  return 365 * year + math.floor(year / 4) - math.floor(year / 100) + math.floor(year / 400)
    + math.floor((153 * (month - 3) + 2) / 5) + day - 719469
end

local LENGTHS = { 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 }

-- RFC 9110 section 5.6.7: a recipient accepts all three forms of a date.
local function read_date(text)
  local day, month, year, hour, minute, second =
    text:match("^%a%a%a, (%d%d) (%a%a%a) (%d%d%d%d) (%d%d):(%d%d):(%d%d) GMT$")
  if not day then
    day, month, year, hour, minute, second = text:match("^%a+day, (%d%d)%-(%a%a%a)%-(%d%d) (%d%d):(%d%d):(%d%d) GMT$")
    if day then year = tonumber(year) + (tonumber(year) < 69 and 2000 or 1900) end
  end
  if not day then
    month, day, hour, minute, second, year = text:match("^%a%a%a (%a%a%a) ([ %d]%d) (%d%d):(%d%d):(%d%d) (%d%d%d%d)$")
  end
  month = month and MONTHS[month]
  if not month then return nil end
  day, year, hour, minute, second = tonumber(day), tonumber(year), tonumber(hour), tonumber(minute), tonumber(second)
  if day < 1 or day > LENGTHS[month] or hour > 23 or minute > 59 or second > 60 then return nil end
  return days_to(year, month, day) * 86400 + hour * 3600 + minute * 60 + second
end

-- Returns seconds; nil if they are unknown. RFC 9110 section 10.2.3 knows a number of seconds, or a
-- date. Providers send decimals too, and milliseconds.
function _M.read(milliseconds, text, now)
  local read = read_decimal(milliseconds)
  if read then return math.ceil(read / 1000) end
  read = read_decimal(text)
  if read then return read end
  local date = text and read_date(text)
  return date and math.max(0, date - now)
end

return _M
