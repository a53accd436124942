"""What Redis does in one step: Lua, sent once and then named by its digest.

A script sees all of the data or nothing changes, and no other client comes between.  All
keys begin with ``KEYS[1]``, the prefix; ``redis_keys`` says what they hold.  Times come
with the call as Unix seconds: all nodes go by the clock of Redis, see ``redis``.

The last two arguments of each are the identity of the data that the caller knows, and until
when, by the clock of Redis, it may happen; else the answer is an error and nothing was done.

A unit must not be cut in half by a full memory.  Redis refuses the first write of a script
for that reason, never a later one; so a unit that adds data begins with a write that may be
refused, and one that only removes begins with one that may not (``freeing``).

A unit whose script was stopped in its middle, by a fault of ours, is never confirmed: its id
says ``!`` until it is done.

Knows: Lua, the keys.  Does not know: connections.
"""

_LIB = """
local prefix, now = KEYS[1], tonumber(ARGV[1])
local function at(...) return prefix .. table.concat({...}, ':') end
local not_after, identity = tonumber(table.remove(ARGV)), table.remove(ARGV)
if redis.call('GET', at('identity')) ~= identity then
  return redis.error_reply('GMSWIPED the data is not what it was')
end
local clock = redis.call('TIME')
if clock[1] + clock[2] / 1000000 > not_after then
  return redis.error_reply('GMSLATE it came after its deadline')
end
local function over(until_) return until_ and until_ ~= '' and tonumber(until_) <= now end
local function name(kind, key) return kind .. '\\0' .. key end
local function own(text)
  local found = {}
  for id in string.gmatch(text or '', '%S+') do found[#found + 1] = id end
  return found
end
local function total(field, by)
  if by ~= 0 then redis.call('HINCRBY', at('totals'), field, by) end
end
local function freeing() redis.call('DEL', at('none')) end
local function condemn(id)
  local file = at('file', id)
  redis.call('HSET', file, 'state', '2', 'since', ARGV[1])
  redis.call('HDEL', file, 'owner')
  redis.call('ZREM', at('files', 'unclaimed'), id)
  redis.call('ZADD', at('files', 'condemned'), ARGV[1], id)
end
local function entries(kind, text)
  -- Names and values, each after its length and a colon.
  local found, place = {}, 1
  local function one()
    local colon = string.find(text, ':', place, true)
    local size = tonumber(string.sub(text, place, colon - 1))
    place = colon + size + 1
    return string.sub(text, colon + 1, colon + size)
  end
  while place <= #text do found[#found + 1] = at('index', kind, one(), one()) end
  return found
end
local function unindex(kind, key, text)
  for _, entry in ipairs(entries(kind, text or '')) do redis.call('ZREM', entry, key) end
end
local function remove(kind, key)
  local record = at('record', kind, key)
  local former = redis.call('HMGET', record, 'version', 'indexes', 'files')
  if not former[1] then return false end
  for _, id in ipairs(own(former[3])) do condemn(id) end
  unindex(kind, key, former[2])
  total('records', -1)
  total('data', -redis.call('HSTRLEN', record, 'value'))
  redis.call('DEL', record)
  redis.call('ZREM', at('keys', kind), key)
  redis.call('ZREM', at('expiry'), name(kind, key))
  return true
end
"""

COMMIT = (
    _LIB
    + """
local unit, keep, grows, next_ = at('unit', ARGV[2]), ARGV[3], ARGV[4], 5
local done = redis.call('GET', unit)
if done == '!' then return redis.error_reply('GMSBROKEN the unit was cut short') end
if done then return {'done', done} end
local function take()
  next_ = next_ + 1
  return ARGV[next_ - 1]
end
local function live(kind, key)
  local found = redis.call('HMGET', at('record', kind, key), 'version', 'expires')
  if not found[1] or over(found[2]) then return false end
  return found[1]
end

-- Conditions, the first that fails.
local count = tonumber(take())
for place = 1, count do
  local what, holds = take(), nil
  if what == 'absent' then
    holds = not live(take(), take())
  elseif what == 'unchanged' then
    local version = live(take(), take())
    holds = take() == version
  elseif what == 'free' then
    local held = redis.call('HGET', at('pool', take()), take())
    holds = not held or over(string.match(held, '^%S+'))
  else
    local epoch = redis.call('HGET', at('epochs'), take())
    holds = take() == (epoch or '0')
  end
  if not holds then return {'failed', place} end
end

-- Files, before anything changes: whether each put may have those that it names.
local changes, mine, owner = next_, {}, {}
local function owned(record, kind, key)
  if not mine[record] then
    local found = redis.call('HMGET', at('record', kind, key), 'expires', 'files')
    mine[record] = {}
    for _, id in ipairs(own(found[2])) do
      if over(found[1]) then owner[id] = '' else mine[record][id] = true; owner[id] = record end
    end
  end
  return mine[record]
end
local widths = { Delete = 2, Reserve = 4, Release = 3, Schedule = 3, Unschedule = 2, Intend = 3,
  Strike = 1 }
while next_ <= #ARGV do
  local what = take()
  if what == 'Put' then
    local kind, key = take(), take()
    next_ = next_ + 3
    local ids = own(take())
    local record, names = name(kind, key), {}
    local former = owned(record, kind, key)
    for _, id in ipairs(ids) do
      if owner[id] == nil then
        local file = redis.call('HMGET', at('file', id), 'state', 'owner')
        owner[id] = file[1] == '1' and (file[2] or 'nobody') or ''
      end
      if owner[id] ~= 'nobody' and owner[id] ~= record then return {'gone', id} end
      names[id] = true
    end
    for id in pairs(former) do
      if not names[id] then owner[id] = '' end
    end
    for id in pairs(names) do owner[id] = record end
    mine[record] = names
  elseif what == 'Delete' then
    local kind, key = take(), take()
    local record = name(kind, key)
    for id in pairs(owned(record, kind, key)) do owner[id] = '' end
    mine[record] = {}
  else
    next_ = next_ + widths[what]
  end
end

-- Changes; see above for the order of the first two writes.
if grows == '1' then
  redis.call('SET', unit, '!', 'EX', keep)
else
  redis.call('DEL', unit)
end
next_ = changes
local versions = {}
local change = {}
function change.Put()
  local kind, key, value, expires = take(), take(), take(), take()
  local indexes, files = take(), take()
  local record = at('record', kind, key)
  local former = redis.call('HMGET', record, 'version', 'expires', 'indexes', 'files')
  if former[1] and over(former[2]) then
    remove(kind, key)
    former = {}
  end
  local version = '1'
  if former[1] then
    version = tostring(tonumber(former[1]) + 1)
    total('data', #value - redis.call('HSTRLEN', record, 'value'))
    local names = {}
    for _, id in ipairs(own(files)) do names[id] = true end
    for _, id in ipairs(own(former[4])) do
      if not names[id] then condemn(id) end
    end
    if former[3] ~= indexes then unindex(kind, key, former[3]) end
  else
    total('records', 1)
    total('data', #value)
    redis.call('ZADD', at('keys', kind), 0, key)
  end
  redis.call('HSET', record, 'value', value, 'version', version, 'expires', expires,
    'indexes', indexes, 'files', files)
  if former[3] ~= indexes then
    for _, entry in ipairs(entries(kind, indexes)) do redis.call('ZADD', entry, 0, key) end
  end
  if expires == '' then
    redis.call('ZREM', at('expiry'), name(kind, key))
  else
    redis.call('ZADD', at('expiry'), expires, name(kind, key))
  end
  for _, id in ipairs(own(files)) do
    redis.call('HSET', at('file', id), 'owner', name(kind, key))
    redis.call('ZREM', at('files', 'unclaimed'), id)
  end
  versions[#versions + 1] = version
end
function change.Delete() remove(take(), take()) end
function change.Reserve()
  local pool, number, holder, until_ = take(), take(), take(), take()
  redis.call('HSET', at('pool', pool), number, until_ .. ' ' .. holder)
  redis.call('ZADD', at('reserved'), until_, name(pool, number))
end
function change.Release()
  local pool, number, holder = take(), take(), take()
  local held = redis.call('HGET', at('pool', pool), number)
  if held and string.match(held, '^%S+ (.*)$') == holder then
    redis.call('HDEL', at('pool', pool), number)
    redis.call('ZREM', at('reserved'), name(pool, number))
  end
end
function change.Schedule()
  local queue, key, when = take(), take(), take()
  redis.call('ZADD', at('due', queue), when, key)
end
function change.Unschedule() redis.call('ZREM', at('due', take()), take()) end
function change.Intend()
  local id, topic, payload = take(), take(), take()
  if redis.call('HSETNX', at('intent', id), 'topic', topic) == 1 then
    redis.call('HSET', at('intent', id), 'payload', payload)
    redis.call('ZADD', at('intents', topic), redis.call('INCR', at('intents')), id)
  end
end
function change.Strike()
  local id = take()
  local topic = redis.call('HGET', at('intent', id), 'topic')
  if topic then
    redis.call('DEL', at('intent', id))
    redis.call('ZREM', at('intents', topic), id)
  end
end
while next_ <= #ARGV do change[take()]() end
done = table.concat(versions, ' ')
redis.call('SET', unit, done, 'EX', keep)
return {'done', done}
"""
)
"""``now unit-id seconds-to-remember grows count condition... change...``; see ``redis_units``."""

SAME = _LIB + "return 1"
"""``now``: an error if the data is not what it was."""

FIND = (
    _LIB
    + """
local kind, index, after, limit, bytes = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5]), 0
local from = index == '' and at('keys', kind) or index
local start = after == '' and '-' or '(' .. after
local keys = redis.call('ZRANGEBYLEX', from, start, '+', 'LIMIT', 0, limit)
local found, last = {}, ''
for _, key in ipairs(keys) do
  local one = redis.call('HMGET', at('record', kind, key), 'value', 'expires', 'version', 'files')
  last = key
  if one[1] and not over(one[2]) then
    found[#found + 1] = { key, one[1], one[2], one[3], one[4] }
    bytes = bytes + #one[1]
    if bytes > 262144 then break end
  end
end
return { last, #keys < limit and last == (keys[#keys] or '') and '1' or '', found }
"""
)
"""``now kind index-key after limit``: a page of live records, its last key, whether it is the
last page.  A page ends at 256 KiB, so that nobody else waits long."""

INTENTS = (
    _LIB
    + """
local found = {}
for place, id in ipairs(redis.call('ZRANGE', at('intents', ARGV[2]), 0, ARGV[3] - 1)) do
  found[place] = { id, redis.call('HGET', at('intent', id), 'payload') }
end
return found
"""
)
"""``now topic limit``."""

FILE = (
    _LIB
    + """
local file = redis.call('HMGET', at('file', ARGV[2]), 'state', 'size', 'owner')
if file[1] ~= '1' then return false end
if file[3] then
  local kind, key = string.match(file[3], '^(%Z*)%z(.*)$')
  local record = redis.call('HMGET', at('record', kind, key), 'version', 'expires')
  if not record[1] or over(record[2]) then return false end
end
return file[2]
"""
)
"""``now file-id``: its size, if it is whole and its record lives."""

BEGIN_FILE = (
    _LIB
    + """
if redis.call('EXISTS', at('file', ARGV[2])) == 1 then return 1 end
redis.call('HSET', at('file', ARGV[2]), 'state', '0', 'size', ARGV[3], 'since', ARGV[1],
  'node', ARGV[4])
redis.call('ZADD', at('files', 'unclaimed'), ARGV[1], ARGV[2])
total('files', tonumber(ARGV[3]))
return 1
"""
)
"""``now file-id size node``."""

ADD_CHUNKS = (
    _LIB
    + """
local file = at('file', ARGV[2])
local state = redis.call('HGET', file, 'state')
if state ~= '0' then return state == ARGV[3] and 1 or 0 end
for place = 5, #ARGV do
  redis.call('SET', at('chunk', ARGV[2], ARGV[4] + place - 5), ARGV[place])
end
redis.call('HSET', file, 'since', ARGV[1])
redis.call('ZADD', at('files', 'unclaimed'), ARGV[1], ARGV[2])
if ARGV[3] == '1' then redis.call('HSET', file, 'state', '1') end
return 1
"""
)
"""``now file-id is-last first-index chunk...``; 0 if the file was dropped meanwhile."""

DROP_FILE = (
    _LIB
    + """
freeing()
if redis.call('EXISTS', at('file', ARGV[2])) == 1 then condemn(ARGV[2]) end
return 1
"""
)
"""``now file-id``."""

DROP_UNCLAIMED = (
    _LIB
    + """
freeing()
local dropped = 0
for _, id in ipairs(redis.call('ZRANGE', at('files', 'unclaimed'), 0, -1)) do
  if redis.call('HGET', at('file', id), 'node') == ARGV[2] then
    condemn(id)
    dropped = dropped + 1
  end
end
return dropped
"""
)
"""``now node``: condemns what an earlier run of this node kept for nobody."""

SWEEP = (
    _LIB
    + """
freeing()
local limit, removed = tonumber(ARGV[2]), 0
local function each(zset, until_, act)
  if removed >= limit or until_ == '' then return end
  local found = redis.call('ZRANGEBYSCORE', zset, '-inf', until_, 'LIMIT', 0, limit - removed)
  for _, member in ipairs(found) do
    act(member)
    removed = removed + 1
  end
end
each(at('reserved'), ARGV[1], function (member)
  local pool, number = string.match(member, '^(%Z*)%z(.*)$')
  redis.call('HDEL', at('pool', pool), number)
  redis.call('ZREM', at('reserved'), member)
end)
each(at('expiry'), ARGV[1], function (member)
  local kind, key = string.match(member, '^(%Z*)%z(.*)$')
  if not remove(kind, key) then redis.call('ZREM', at('expiry'), member) end
end)
local function forget(zset)
  return function (id)
    local size = tonumber(redis.call('HGET', at('file', id), 'size') or 0)
    for place = 0, math.ceil(size / ARGV[5]) - 1 do
      redis.call('UNLINK', at('chunk', id, place))
    end
    redis.call('DEL', at('file', id))
    redis.call('ZREM', zset, id)
    total('files', -size)
  end
end
each(at('files', 'condemned'), ARGV[3], forget(at('files', 'condemned')))
each(at('files', 'unclaimed'), ARGV[4], forget(at('files', 'unclaimed')))
return removed
"""
)
"""``now limit condemned-until unclaimed-until chunk-bytes``: one slice; no time, none of these."""
