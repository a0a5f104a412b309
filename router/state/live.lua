-- Takes what one replica has seen of its endpoints, and returns what all replicas know of them together.
-- KEYS: epoch, replicas (replica -> end of its lease), requests in flight (endpoint -> sum), those of this replica,
--       then for each endpoint: its facts, its latencies (bucket -> answers), the replica that has its probe.
-- A count of 0 and what is empty or false are left out of what was seen.
-- ARGV: replica, lease in s, name for a new memory, 1 to return latencies, beginning of the keys of requests in flight,
--       s to keep keys, known epoch or '', channel, s between two calls of the others, then for each endpoint: its name and what was seen (MessagePack).
-- Returns: now, epoch, number of replicas, and nothing else if the memory is not the known one. Else then for each endpoint: 1 if its move was accepted, requests in flight, its
--          facts, its latencies. Times are seconds by the clock of Redis.
local time = redis.call('TIME')
local now = time[1] + time[2] / 1e6
local replica, keep_s = ARGV[1], ARGV[6]

redis.call('SET', KEYS[1], ARGV[3], 'NX')
redis.call('EXPIRE', KEYS[1], keep_s)
local epoch = redis.call('GET', KEYS[1])
if ARGV[7] ~= '' and ARGV[7] ~= epoch then
  return { tostring(now), epoch, 1 }
end

-- A replica that died holds its requests in flight until its lease ends.
for _, dead in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, 100)) do
  local held = redis.call('HGETALL', ARGV[5] .. dead)
  for i = 1, #held, 2 do
    -- The number -0 would be no integer.
    redis.call('HINCRBY', KEYS[3], held[i], string.format('%d', -held[i + 1]))
  end
  redis.call('DEL', ARGV[5] .. dead)
  redis.call('ZREM', KEYS[2], dead)
end
redis.call('ZADD', KEYS[2], now + ARGV[2], replica)

-- As peak_ewma in router/health/latency.py.
local function peak_ewma(last, sample, kept)
  local decayed = last * kept
  return sample >= decayed and sample or decayed * kept + sample * (1 - kept)
end

local function add_pace(key, seen)
  local last = redis.call('HMGET', key, 'first_token_s', 'per_token_s', 'sampled_at')
  local first, per = seen.first_token_s, seen.per_token_s
  if last[1] then
    local kept = math.exp(-math.max(now - last[3], 0) / seen.decay_s)
    first, per = peak_ewma(last[1], first, kept), peak_ewma(last[2], per, kept)
  end
  redis.call('HSET', key, 'first_token_s', first, 'per_token_s', per, 'sampled_at', now)
end

-- Calls the other replicas, so that they ask at once. A failure calls them at most once in a while.
local function call(key, is_move)
  local last = tonumber(redis.call('HGET', key, 'called_at')) or 0
  if is_move or now - last >= tonumber(ARGV[9]) then
    redis.call('HSET', key, 'called_at', now)
    redis.call('PUBLISH', ARGV[8], replica)
  end
end

-- Cooldowns only grow.
local function extend(key, field, left_s)
  if not left_s or left_s <= 0 then
    return false
  end
  local before = tonumber(redis.call('HGET', key, field)) or 0
  if now + left_s <= before then
    return false
  end
  redis.call('HSET', key, field, now + left_s)
  return true
end

local function tell(key, latencies, probe, seen)
  for field, n in pairs(seen.counts or {}) do
    redis.call('HINCRBY', key, field, n)
  end
  for bucket, n in pairs(seen.latencies or {}) do
    redis.call('HINCRBY', latencies, bucket, n)
  end
  if seen.interrupted then
    redis.call('HSET', key, 'row', seen.row or 0)
  elseif seen.row then
    redis.call('HINCRBY', key, 'row', seen.row)
  end
  if seen.first_token_s then
    add_pace(key, seen)
  end
  if seen.context_limit then
    redis.call('HSET', key, 'context_limit', seen.context_limit)
  end
  if extend(key, 'limited_until', seen.limited_left_s) then
    redis.call('HSET', key, 'limits', seen.limits or 0)
  end
  extend(key, 'barred_until', seen.barred_left_s)
  local counts = seen.counts
  if counts and (counts.transient or counts.rate_limit or counts.auth) then
    call(key, false)
  end
  if seen.moved or seen.probe_ended then
    if redis.call('GET', probe) == replica then
      redis.call('DEL', probe)
    end
  end
  -- The first replica that saw the change decides it.
  if not seen.moved then
    return 0
  end
  local version = tonumber(redis.call('HGET', key, 'version')) or 0
  if (seen.version or 0) ~= version then
    return 0
  end
  redis.call('HSET', key, 'version', version + 1, 'row', 0, 'trips', seen.trips or 0, 'is_open', seen.is_open and 1 or 0,
    'open_until', now + (seen.open_left_s or 0), 'closed_at', seen.slow_age_s and now - seen.slow_age_s or '')
  call(key, true)
  return 1
end

local answer = { tostring(now), epoch, redis.call('ZCARD', KEYS[2]) }
for i = 10, #ARGV, 2 do
  local name, seen, place = ARGV[i], cmsgpack.unpack(ARGV[i + 1]), 5 + (i - 10) / 2 * 3
  local key, latencies = KEYS[place], KEYS[place + 1]
  local accepted = tell(key, latencies, KEYS[place + 2], seen)
  local before = tonumber(redis.call('HGET', KEYS[4], name)) or 0
  local inflight = seen.inflight or 0
  if inflight ~= before then
    redis.call('HINCRBY', KEYS[3], name, inflight - before)
    redis.call('HSET', KEYS[4], name, inflight)
  end
  -- Often enough for a key that is kept for a day.
  if ARGV[4] == '1' then
    redis.call('EXPIRE', key, keep_s)
    redis.call('EXPIRE', latencies, keep_s)
  end
  table.insert(answer, accepted)
  table.insert(answer, tonumber(redis.call('HGET', KEYS[3], name)) or 0)
  table.insert(answer, redis.call('HGETALL', key))
  table.insert(answer, ARGV[4] == '1' and redis.call('HGETALL', latencies) or {})
end
for i = 2, 4 do
  redis.call('EXPIRE', KEYS[i], keep_s)
end
return answer
