-- The ids of one request and its response. What the library is asked of them is asked here.

local ffi = require "ffi"
local content = require "resty.tokenpin.content"
local library = require "resty.tokenpin.library"

local C = library.C
local OK = C.TOKENPIN_STATUS_OK
local MAX_SEALED_ID = tonumber(C.TOKENPIN_MAX_SEALED_ID)
local BLOCK = 65536

local Ids = {}
Ids.__index = Ids

local _M = {}

-- Of this worker. No use of them waits for anything.
local use = ffi.new("struct tokenpin_id_use")
local opener = ffi.new("struct tokenpin_id_opener")
local piece = ffi.new("struct tokenpin_piece")
local report = ffi.new("struct tokenpin_id_report")
local scratch = ffi.new("struct tokenpin_id_summary")
local length = ffi.new("size_t[1]")
local group, existing, kind = ffi.new("uint8_t[1]"), ffi.new("uint8_t[1]"), ffi.new("uint8_t[1]")
local owner = ffi.new("struct tokenpin_bytes")
local buffer, room = ffi.new("uint8_t[?]", 4096), 4096

-- Ids that no request needs any more. They are used again, with their structures.
local free = {}

local function need(size)
  if size <= room then return end
  while room < size do room = 2 * room end
  buffer = ffi.new("uint8_t[?]", room)
end

-- Of a request, as it was read into `request`. Nil if its path has none.
function _M.of(affinity, request, exchange, mode)
  local method, target = exchange.method, exchange.target
  local status = C.tokenpin_affinity_classify(affinity, method, #method, target, #target, group, existing, kind)
  if status ~= OK or kind[0] == C.TOKENPIN_IDS_NONE then return nil end
  local ids = table.remove(free) or setmetatable({
    summary = ffi.new("struct tokenpin_id_summary"), sealer = ffi.new("struct tokenpin_id_sealer"),
  }, Ids)
  ids.affinity, ids.kind, ids.mode, ids.scope = affinity, kind[0], mode, exchange.scope
  ids.owner, ids.origin, ids.upstream = "", "", ""
  ids.unexpected, ids.at, ids.changed = 0, 0, 0
  ids.is_head, ids.is_done, ids.is_sealing = method == "HEAD", false, false
  C.tokenpin_id_summary_init(ids.summary)
  if C.tokenpin_affinity_id_owner(affinity, request, owner) == OK and owner.len ~= 0 then
    ids.owner = ffi.string(owner.ptr, owner.len)
  end
  if mode ~= C.TOKENPIN_MODE_OFF and ids:has_state() then
    ids.origin = ngx.var.scheme .. "://" .. (rawget(exchange.headers, "host") or "")
  end
  return ids
end

-- Returns whether the API keeps what it makes in its account.
function Ids:has_state()
  return self.kind == C.TOKENPIN_IDS_BOTH or self.kind == C.TOKENPIN_IDS_ITEMS
end

-- Its strings are kept by the ids themselves.
function Ids:use()
  use.scope.ptr, use.scope.len = self.scope, #self.scope
  use.owner.ptr, use.owner.len = self.owner, #self.owner
  use.upstream.ptr, use.upstream.len = self.upstream, #self.upstream
  use.origin.ptr, use.origin.len = self.origin, #self.origin
  use.ids, use.has_mode, use.mode = self.kind, 1, self.mode
  return use
end

function Ids:opened(target, summary)
  -- Opening never lengthens it.
  need(#target)
  local using = self:use()
  local status = C.tokenpin_affinity_open_target(self.affinity, using, summary, target, #target, buffer, room, length)
  return status == OK and ffi.string(buffer, length[0]) or target
end

-- Opens the ids in the client's target. Returns whether there were any.
function Ids:open_target(target)
  local opened = self:opened(target, self.summary)
  local said = self:report()
  self.is_upload, self.is_download = said.uploads ~= 0, said.downloads ~= 0
  return opened ~= target
end

-- Opens those in the target that nginx has made of it, by a `rewrite`. The request's summary stays
-- as it is.
function Ids:open_rewritten(target)
  C.tokenpin_id_summary_init(scratch)
  return self:opened(target, scratch)
end

-- Pieces that pass as they are leave no trace.
function Ids:take_opened()
  local pass, taken, put_len = tonumber(piece.pass), tonumber(piece.taken), tonumber(piece.put_len)
  if taken ~= pass or put_len ~= 0 then
    self.edits = self.edits or {}
    table.insert(self.edits, { at = self.at + pass, length = taken - pass, text = ffi.string(piece.put, put_len) })
  end
  self.at = self.at + taken
  self.changed, self.unexpected = piece.changed, piece.unexpected
  return taken
end

function Ids:begin_opening()
  self.utf8 = self.mode == C.TOKENPIN_MODE_STRICT and content.utf8()
  C.tokenpin_id_opener_init(opener)
end

function Ids:open(part)
  if self.utf8 then self.utf8:read(part) end
  -- Keeps it from the collector while C reads it.
  self.part = part
  local using, bytes, at = self:use(), ffi.cast("const uint8_t *", part), 0
  while at < #part do
    local status = C.tokenpin_affinity_open_step(self.affinity, using, self.summary, opener, bytes + at, #part - at,
      piece)
    -- Cannot fail; and if it did, the rest would pass as it is.
    if status ~= OK then break end
    at = at + self:take_opened()
  end
  self.part = nil
end

function Ids:end_opening()
  if C.tokenpin_affinity_open_end(self.affinity, self:use(), self.summary, opener, piece) == OK then
    self:take_opened()
  end
  -- Bytes that were held back and went out unchanged are no change.
  if self.changed == 0 then self.edits = nil end
end

-- Reads a body that nginx has read whole: in memory, or in the file to which it has written a
-- longer one. Returns its size; nil if the file cannot be read.
function Ids:read_body()
  self:begin_opening()
  local size = 0
  self.data = ngx.req.get_body_data()
  if self.data then
    size = #self.data
    self:open(self.data)
  else
    local path = ngx.req.get_body_file()
    self.file = path and io.open(path, "rb")
    if path and not self.file then return nil end
    local part = self.file and self.file:read(BLOCK)
    while part do
      size = size + #part
      self:open(part)
      part = self.file:read(BLOCK)
    end
  end
  self:end_opening()
  return size
end

-- Calls `append` with each part of the body that the upstream gets.
function Ids:changed_body(append)
  local from = 0
  local function copy(to)
    if self.data then return append(self.data:sub(from + 1, to)) end
    self.file:seek("set", from)
    while from < to do
      local part = self.file:read(math.min(BLOCK, to - from))
      if not part then return end
      append(part)
      from = from + #part
    end
  end
  for _, edit in ipairs(self.edits) do
    copy(edit.at)
    append(edit.text)
    from = edit.at + edit.length
  end
  copy(self.at)
end

-- Replaces the request's body. A separate function, because LuaJIT compiles none that makes
-- closures.
local function put_changed(self)
  if self.data then
    local parts = {}
    self:changed_body(function(part) table.insert(parts, part) end)
    ngx.req.set_body_data(table.concat(parts))
  else
    ngx.req.init_body(BLOCK)
    self:changed_body(function(part)
      if part ~= "" then ngx.req.append_body(part) end
    end)
    ngx.req.finish_body()
  end
end

-- Puts the changed body in the place of the other. Returns whether it differs.
function Ids:put_body()
  if not self.edits then return false end
  put_changed(self)
  return true
end

-- The request's body is not read any more.
function Ids:forget_body()
  if self.file then self.file:close() end
  self.data, self.file, self.edits, self.utf8 = nil, nil, nil, nil
end

function Ids:report()
  C.tokenpin_id_summary_report(self.summary, report)
  return report
end

-- Returns whether ids in the response may change.
function Ids:seals()
  if not self:has_state() or self.mode == C.TOKENPIN_MODE_OFF then return false end
  return self.mode ~= C.TOKENPIN_MODE_OPEN or self:report().opened ~= 0
end

-- Returns whether ids are sealed in a body of this kind: not without a body, nor in a part of one.
function Ids:seals_body(status, kind_of)
  if self.is_download or (kind_of ~= "json" and kind_of ~= "events") then return false end
  return status ~= 101 and status ~= 204 and status ~= 206 and status ~= 304
end

-- Of a target or a URL in the response's headers; nil if nothing in it changes.
function Ids:seal_target(target, slot)
  need(#self.origin + #target + MAX_SEALED_ID)
  local status
  repeat
    local had = room
    status = C.tokenpin_affinity_seal_target(self.affinity, self:use(), self.summary, slot, target, #target,
      buffer, room, length)
    if status == C.TOKENPIN_STATUS_BUFFER_TOO_SMALL then need(tonumber(length[0])) end
  until status ~= C.TOKENPIN_STATUS_BUFFER_TOO_SMALL or room == had
  local sealed = status == OK and ffi.string(buffer, length[0])
  return sealed and sealed ~= target and sealed or nil
end

function Ids:begin_sealing(kind_of)
  self.changed, self.unexpected, self.is_sealing = 0, 0, true
  C.tokenpin_id_sealer_init(self.sealer, kind_of == "events" and C.TOKENPIN_FRAMING_EVENTS or C.TOKENPIN_FRAMING_JSON)
end

-- Adds the bytes of the piece, which begins at `at` of `part`, to `out`. Returns where the next
-- piece begins.
function Ids:take_sealed(part, at, out)
  local pass, taken, put_len = tonumber(piece.pass), tonumber(piece.taken), tonumber(piece.put_len)
  if pass ~= 0 then out[#out + 1] = part:sub(at + 1, at + pass) end
  if put_len ~= 0 then out[#out + 1] = ffi.string(piece.put, put_len) end
  self.differs = self.differs or taken ~= pass or put_len ~= 0
  self.changed, self.unexpected = piece.changed, piece.unexpected
  return at + taken
end

-- A part of the response's body, and whether it ends there. Returns what goes out instead; nil if
-- that is the same.
function Ids:seal(part, is_last, slot)
  self.part, self.differs = part, false
  local using, bytes, at, out = self:use(), ffi.cast("const uint8_t *", part), 0, {}
  while at < #part do
    local status = C.tokenpin_affinity_seal_step(self.affinity, using, self.summary, slot, self.sealer, bytes + at,
      #part - at, piece)
    -- Cannot fail; and if it did, the rest would pass as it is.
    if status ~= OK then
      out[#out + 1] = part:sub(at + 1)
      break
    end
    at = self:take_sealed(part, at, out)
  end
  if is_last then
    self.is_sealing = false
    if C.tokenpin_affinity_seal_end(self.affinity, using, self.summary, slot, self.sealer, piece) == OK then
      self:take_sealed(part, at, out)
    end
  end
  self.part = nil
  return self.differs and table.concat(out) or nil
end

-- The request has ended: another one may use these, without anything of its client's.
function Ids:let_go()
  if self.affinity == nil then return end
  self:forget_body()
  self.affinity, self.scope, self.owner, self.origin, self.upstream = nil, nil, nil, nil, nil
  ffi.fill(self.summary, ffi.sizeof(self.summary))
  ffi.fill(self.sealer, ffi.sizeof(self.sealer))
  table.insert(free, self)
end

return _M
