-- Replaces one reservation by its actual cost, and makes another one if it fits under the cap.
-- KEYS: epoch, costs ("slot:USD", oldest first), sums (spent, reserved), reservations (id:USD -> end of its lease).
-- ARGV: known epoch, cap in USD, window in s, lease in s, s of a slot, id of the new reservation or '', its USD,
--       reservation to settle or '', its actual USD.
-- Returns: 1 if the new reservation fits or none was asked for, else 0; USD left. False if the memory is a new one.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return false
end
local time = redis.call('TIME')
local now = time[1] + time[2] / 1e6
local cap, window_s, lease_s, slot_s = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local sums = redis.call('HMGET', KEYS[3], 'spent', 'reserved')
local spent, reserved = tonumber(sums[1]) or 0, tonumber(sums[2]) or 0

local function read(entry)
  local left, right = string.match(entry, '^(.*):(.-)$')
  return left, tonumber(right)
end

-- A cost counts until its whole slot has left the window, so never too briefly.
while true do
  local oldest = redis.call('LINDEX', KEYS[2], 0)
  if not oldest then
    spent = 0
    break
  end
  local slot, usd = read(oldest)
  if (slot + 1) * slot_s > now - window_s then
    break
  end
  spent = spent - usd
  redis.call('LPOP', KEYS[2])
end

-- A replica that died never settles its reservations.
for _, entry in ipairs(redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', now)) do
  local _, usd = read(entry)
  reserved = reserved - usd
  redis.call('ZREM', KEYS[4], entry)
end

if ARGV[8] ~= '' and redis.call('ZREM', KEYS[4], ARGV[8]) == 1 then
  local _, usd = read(ARGV[8])
  reserved = reserved - usd
end
local actual = tonumber(ARGV[9])
if actual > 0 then
  local slot = math.floor(now / slot_s)
  local last = redis.call('LINDEX', KEYS[2], -1)
  local last_slot, last_usd = 0, 0
  if last then
    last_slot, last_usd = read(last)
  end
  if tonumber(last_slot) == slot then
    redis.call('LSET', KEYS[2], -1, string.format('%d:%.17g', slot, last_usd + actual))
  else
    redis.call('RPUSH', KEYS[2], string.format('%d:%.17g', slot, actual))
  end
  spent = spent + actual
end
if redis.call('ZCARD', KEYS[4]) == 0 then
  reserved = 0
end

local fits = 1
if ARGV[6] ~= '' then
  local usd = tonumber(ARGV[7])
  if usd > math.max(0, cap - spent - reserved) then
    fits = 0
  else
    redis.call('ZADD', KEYS[4], now + lease_s, ARGV[6] .. ':' .. ARGV[7])
    reserved = reserved + usd
  end
end
redis.call('HSET', KEYS[3], 'spent', spent, 'reserved', reserved)
for i = 2, 4 do
  redis.call('EXPIRE', KEYS[i], math.ceil(window_s + lease_s))
end
return { fits, string.format('%.17g', math.max(0, cap - spent - reserved)) }
