"""What Redis does in one step to give all of its data, and to take another store's: Lua.

As in ``redis_scripts``: ``KEYS[1]`` is the prefix.  What only reads knows no time: it gives what
is over, too.  :data:`WRITE` may come twice, and so counts only what is not there yet.

Knows: Lua, the keys.  Does not know: connections, formats.
"""

_LIB = """
local prefix = KEYS[1]
local function at(...) return prefix .. table.concat({...}, ':') end
"""

FAMILIES = (
    _LIB
    + """
local found, seen = {}, {}
local cursor = ARGV[1]
for turn = 1, 10 do
  local page = redis.call('SCAN', cursor, 'MATCH', ARGV[2], 'COUNT', ARGV[3])
  cursor = page[1]
  for _, key in ipairs(page[2]) do
    local name = string.sub(key, #prefix + 1)
    local family = string.match(name, '^(%a+):')
    if (family == 'keys' or family == 'due' or family == 'intents') and not seen[name] then
      seen[name] = true
      found[#found + 1] = name
    end
  end
  if cursor == '0' then break end
end
return { cursor, found }
"""
)
"""``cursor pattern count``: the next cursor, and names of sets of keys, dates and intents."""

RECORDS = (
    _LIB
    + """
local kind, start, limit, bytes = ARGV[1], ARGV[2], tonumber(ARGV[3]), 0
local keys = redis.call('ZRANGEBYLEX', at('keys', kind), start, '+', 'LIMIT', 0, limit)
local found = {}
for _, key in ipairs(keys) do
  local one = redis.call('HMGET', at('record', kind, key), 'value', 'version', 'expires',
    'indexes', 'files')
  found[#found + 1] = { key, one[1], one[2], one[3], one[4], one[5] }
  start = '(' .. key
  bytes = bytes + #(one[1] or '')
  if bytes > 262144 then break end
end
return { start, #found == #keys and #keys < limit and '1' or '', found }
"""
)
"""``kind start limit``: where the next page starts, whether there is none, a page of records."""

RESERVATIONS = (
    _LIB
    + """
local found = {}
for place, member in ipairs(redis.call('ZRANGE', at('reserved'), ARGV[1],
    ARGV[1] + ARGV[2] - 1)) do
  local pool, number = string.match(member, '^(%Z*)%z(.*)$')
  found[place] = { member, redis.call('HGET', at('pool', pool), number) }
end
return found
"""
)
"""``first limit``."""

INTENTS = (
    _LIB
    + """
local found, bytes = {}, 0
for place, id in ipairs(redis.call('ZRANGE', at('intents', ARGV[1]), ARGV[2],
    ARGV[2] + ARGV[3] - 1)) do
  local payload = redis.call('HGET', at('intent', id), 'payload')
  found[place] = { id, payload }
  bytes = bytes + #(payload or '')
  if bytes > 262144 then break end
end
return found
"""
)
"""``topic first limit``: a page; an empty one: there is no more."""

WRITE = (
    _LIB
    + """
local now, next_ = ARGV[1], 2
local function take()
  next_ = next_ + 1
  return ARGV[next_ - 1]
end
local function name(kind, key) return kind .. '\\0' .. key end
local function total(field, by) redis.call('HINCRBY', at('totals'), field, by) end
local write = {}
function write.Record()
  local kind, key, value, version, expires = take(), take(), take(), take(), take()
  local indexes, files, count = take(), take(), tonumber(take())
  local record = at('record', kind, key)
  if redis.call('EXISTS', record) == 0 then
    total('records', 1)
    total('data', #value)
  end
  redis.call('HSET', record, 'value', value, 'version', version, 'expires', expires,
    'indexes', indexes, 'files', files)
  redis.call('ZADD', at('keys', kind), 0, key)
  for place = 1, count do redis.call('ZADD', at('index', kind, take()), 0, key) end
  if expires ~= '' then redis.call('ZADD', at('expiry'), expires, name(kind, key)) end
end
function write.File()
  local id, size, kind, key = take(), take(), take(), take()
  local file = at('file', id)
  if redis.call('EXISTS', file) == 0 then total('files', size) end
  redis.call('HSET', file, 'state', '1', 'size', size, 'since', now,
    'owner', name(kind, key), 'node', '')
end
function write.Chunk()
  local id, index, data = take(), take(), take()
  redis.call('SET', at('chunk', id, index), data)
end
function write.Reservation()
  local pool, number, holder, until_ = take(), take(), take(), take()
  redis.call('HSET', at('pool', pool), number, until_ .. ' ' .. holder)
  redis.call('ZADD', at('reserved'), until_, name(pool, number))
end
function write.Due()
  local queue, key, when = take(), take(), take()
  redis.call('ZADD', at('due', queue), when, key)
end
function write.Intent()
  local id, topic, payload = take(), take(), take()
  if redis.call('HSETNX', at('intent', id), 'topic', topic) == 1 then
    redis.call('HSET', at('intent', id), 'payload', payload)
    redis.call('ZADD', at('intents', topic), redis.call('INCR', at('intents')), id)
  end
end
while next_ <= #ARGV do write[take()]() end
return 1
"""
)
"""``now item...``; see ``redis_moving``."""

RECOUNT = (
    _LIB
    + """
local records, data = 0, 0
for _, key in ipairs(redis.call('ZRANGE', at('keys', ARGV[1]), 0, -1)) do
  records = records + 1
  data = data + redis.call('HSTRLEN', at('record', ARGV[1], key), 'value')
end
redis.call('HSET', at('totals'), 'records', records, 'data', data, 'files', 0)
return 1
"""
)
"""``kind``: makes the totals those of one kind, the only one that is left."""
